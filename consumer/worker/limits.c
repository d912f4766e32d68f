/* Limits: jobs that wait for one, and the grants of attempts. */
#include "consumer/worker/core.h"

/* ---- limits ------------------------------------------------------------------------------------------------ */
static hf_wlimit *find(const hf_wlimits *limits, hf_str key) {
    hf_wlimit *l = NULL;
    if (key.len)
        HASH_FIND(hh, limits->by_key, key.p, key.len, l);
    return l;
}

static hf_wlimit *find_or_make(hf_worker_core *core, hf_str key) {
    hf_wlimit *l = find(&core->limits, key);
    if (l || key.len > HF_LIMIT_KEY_MAX)
        return l;
    l = hf_alloc(sizeof *l);
    if (!l)
        return NULL;
    memcpy(l->key, key.p, key.len);
    l->key_len = key.len;
    HASH_ADD_KEYPTR(hh, core->limits.by_key, l->key, l->key_len, l);
    if (l->hh.tbl)
        return l;
    free(l);
    return NULL;
}

static void unref(hf_worker_core *core, hf_wlimit *l) {
    if (l->refs)
        l->refs--;
    if (l->refs || l->set)
        return;
    HASH_DEL(core->limits.by_key, l);
    free(l->parked.items);
    free(l);
}

static void qlimits_free(hf_worker_core *core, hf_qlimits *q) {
    for (uint32_t i = 0; q && i < q->count; i++)
        unref(core, q->of[i]);
    free(q);
}

/* ---- jobs ----------------------------------------------------------------------------------------------------- */
static bool is_set(void *ctx, hf_str key) {
    const hf_wlimit *l = find(ctx, key);
    return l && l->set;
}

static void unoffer(hf_worker_core *core, hf_qjob *job) {
    if (!job->offered)
        return;
    job->offered->offered--;
    job->offered = NULL;
    core->limits.offers = true;
}

void hf_limits_forget(hf_worker_core *core, hf_qjob *job) {
    if (!job->limits)
        return;
    unoffer(core, job);
    if (job->heap == HF_HEAP_PARKED)
        hf_qjobs_take(&core->jobs, job);
    qlimits_free(core, job->limits);
    job->limits = NULL;
}

void hf_limits_match(hf_worker_core *core, hf_qjob *job, const hf_spec *spec) {
    hf_limits_forget(core, job);
    if (!core->limits.by_key)
        return;
    hf_limit_keys *keys = &core->limits.keys;
    uint32_t n = hf_limit_match(spec, is_set, &core->limits, keys);
    if (n == 0)
        return;
    hf_qlimits *q = hf_alloc(sizeof *q + n * sizeof(hf_wlimit *));
    if (!q) {
        core->broken = true;
        return;
    }
    for (q->count = 0; q->count < n; q->count++) {
        q->of[q->count] = find(&core->limits, keys->of[q->count]);
        q->of[q->count]->refs++;
    }
    job->limits = q;
}

bool hf_limits_park(hf_worker_core *core, hf_qjob *job) {
    for (uint32_t i = 0; job->limits && i < job->limits->count; i++)
        if (hf_wlimit_room(job->limits->of[i]) < 1) {
            unoffer(core, job);
            if (!hf_qjobs_park(&core->jobs, job, &job->limits->of[i]->parked))
                core->broken = true;
            return true;
        }
    return false;
}

void hf_limits_taken(hf_worker_core *core, hf_qjob *job) { unoffer(core, job); }

/* As many jobs as there is room for come among those to claim, the most urgent first. */
void hf_limits_offer(hf_worker_core *core, hf_now now) {
    if (!core->limits.offers)
        return;
    core->limits.offers = false;
    int moves = HF_WALK_STEP;
    for (hf_wlimit *l = core->limits.by_key; l; l = l->hh.next)
        for (; l->parked.count && (int64_t)l->offered < hf_wlimit_room(l) && !core->broken; moves--) {
            if (moves == 0) {
                core->limits.offers = true;
                return;
            }
            hf_qjob *job = l->parked.items[0];
            hf_qjobs_take(&core->jobs, job);
            job->offered = l;
            l->offered++;
            hf_core_judge(core, job, now);
        }
}

uint32_t hf_limits_parked(const hf_worker_core *core) {
    uint32_t n = 0;
    for (const hf_wlimit *l = core->limits.by_key; l; l = l->hh.next)
        n += l->parked.count;
    return n;
}

/* ---- grants ------------------------------------------------------------------------------------------------------- */
static void due(hf_worker_core *core, hf_wgrant *g) {
    hf_wlimits *ls = &core->limits;
    g->resend = false;
    if (g->due)
        return;
    g->due = true;
    g->due_next = NULL;
    if (ls->due)
        ls->due_last->due_next = g;
    else
        ls->due = g;
    ls->due_last = g;
}

static hf_wgrant *grant_new(hf_worker_core *core, hf_wlimit *l, hf_str id, int32_t attempt, hf_wgrant_state state) {
    hf_wgrant *g = hf_alloc(sizeof *g + id.len);
    if (!g) {
        core->broken = true;
        return NULL;
    }
    memcpy(g->id, id.p, id.len);
    g->id_len = (uint8_t)id.len;
    g->attempt = attempt;
    g->state = state;
    g->limit = l;
    l->refs++;
    l->asked += state == HF_WG_ASKED;
    DL_APPEND(l->grants, g);
    core->limits.grants++;
    due(core, g);
    return g;
}

static void grant_free(hf_worker_core *core, hf_wgrant *g) {
    hf_wlimit *l = g->limit;
    if (g->due) { /* out of the list of those to tell */
        hf_wgrant **at = &core->limits.due, *last = NULL;
        for (; *at != g; at = &(*at)->due_next)
            last = *at;
        *at = g->due_next;
        if (core->limits.due_last == g)
            core->limits.due_last = last;
    }
    if (g->state == HF_WG_ASKED) {
        l->asked--;
        core->limits.offers = true;
    }
    if (g->held && g->held->asking == g)
        g->held->asking = NULL;
    DL_DELETE(l->grants, g); /* NOLINT(clang-analyzer-core.NullDereference): in a list `prev` is never NULL */
    core->limits.grants--;
    free(g);
    unref(core, l);
}

static void grant_release(hf_worker_core *core, hf_wgrant *g) {
    g->held = NULL;
    if (g->state != HF_WG_HELD)
        return; /* asked: its read-back settles it */
    g->state = HF_WG_FREEING;
    due(core, g);
}

void hf_grants_release(hf_worker_core *core, hf_held *held) {
    for (uint32_t i = 0; held->limits && i < held->limits->count; i++) {
        hf_wgrant *g, *next;
        DL_FOREACH_SAFE(held->limits->of[i]->grants, g, next)
        if (g->held == held)
            grant_release(core, g);
    }
    qlimits_free(core, held->limits);
    held->limits = NULL;
    held->asking = NULL;
}

bool hf_grants_begin(hf_worker_core *core, hf_held *held, hf_now now) {
    const hf_qlimits *from = held->job->limits;
    size_t size = sizeof *from + from->count * sizeof(hf_wlimit *);
    held->limits = hf_alloc(size);
    if (!held->limits) {
        core->broken = true;
        return false;
    }
    memcpy(held->limits, from, size);
    for (uint32_t i = 0; i < from->count; i++)
        from->of[i]->refs++;
    held->granted = 0;
    held->granted_ms = now.mono_ms;
    return true;
}

bool hf_grants_late(const hf_worker_core *core, const hf_held *held, hf_now now) {
    return held->limits && now.mono_ms - held->granted_ms > core->o.grant_ttl_ms / 2;
}

/* A limit that was set meanwhile wants a grant, too. */
bool hf_grants_match(const hf_held *held) {
    const hf_qlimits *now = held->job->limits;
    for (uint32_t i = 0; now && i < now->count; i++) {
        bool has = false;
        for (uint32_t k = 0; held->limits && k < held->limits->count && !has; k++)
            has = held->limits->of[k] == now->of[i];
        if (!has)
            return false;
    }
    return true;
}

/* One after the other, in the order of the keys: who waits for one holds only earlier ones, and gives them back when it is refused. */
hf_take hf_grants_next(hf_worker_core *core, hf_held *held, hf_now now) {
    if (core->draining || held->ungranted || hf_grants_late(core, held, now))
        return HF_TAKE_GIVE_UP;
    if (held->asking)
        return HF_TAKE_WAIT;
    while (held->granted < held->limits->count && !held->limits->of[held->granted]->set)
        held->granted++; /* it was taken away meanwhile */
    if (held->granted == held->limits->count)
        return hf_grants_match(held) ? HF_TAKE_ALL : HF_TAKE_GIVE_UP;
    hf_wgrant *g = grant_new(core, held->limits->of[held->granted], hf_qjob_id(held->job), held->attempt, HF_WG_ASKED);
    if (g)
        g->held = held;
    held->asking = g;
    return HF_TAKE_WAIT;
}

const hf_limit_event *hf_grants_pop(hf_worker_core *core, hf_now now, uint64_t *ret_tag) {
    hf_wgrant *g = core->limits.due;
    if (!g)
        return NULL;
    hf_limit_event *e = hf_arena_alloc(&core->arena, sizeof *e);
    hf_str id = hf_arena_str(&core->arena, (hf_str){g->id, g->id_len}),
           key = hf_arena_str(&core->arena, hf_wlimit_key(g->limit));
    if (!e || !id.p || !key.p) {
        core->broken = true;
        return NULL;
    }
    hf_type_init(&HF_TYPE_LIMIT_EVENT, e);
    e->key = key;
    e->kind = g->state == HF_WG_ASKED ? HF_LIMIT_TAKEN : HF_LIMIT_FREED;
    e->at = now.wall_ms;
    e->by = core->identity;
    e->job_id = id;
    e->attempt = g->attempt;
    e->ttl_ms = core->o.grant_ttl_ms;
    if (e->kind == HF_LIMIT_FREED)
        e->grant = g->offset;
    core->limits.due = g->due_next;
    g->due = false;
    g->serial = ++core->limits.serial;
    *ret_tag = 1ULL << HF_LIMIT_TAG_BIT | g->serial;
    return e;
}

void hf_grants_ack(hf_worker_core *core, uint32_t serial, hf_now now) {
    for (hf_wlimit *l = core->limits.by_key; l; l = l->hh.next) {
        hf_wgrant *g;
        DL_SEARCH_SCALAR(l->grants, g, serial, serial);
        if (!g || g->due || g->state == HF_WG_HELD)
            continue;
        g->resend = true;
        if (!core->limits.resends)
            core->limits.resend_at = now.mono_ms + HF_RESEND_MS;
        core->limits.resends = true;
    }
}

/* What was not acknowledged is said again; a grant that nobody wants any more is not. Should it be in the log after all, it is freed when
 * it is read. */
void hf_grants_resend(hf_worker_core *core, hf_now now) {
    if (!core->limits.resends || now.mono_ms < core->limits.resend_at)
        return;
    core->limits.resends = false;
    for (hf_wlimit *l = core->limits.by_key, *after; l; l = after) {
        hf_wgrant *g, *next;
        after = l->hh.next;
        l->refs++;
        DL_FOREACH_SAFE(l->grants, g, next) {
            if (g->resend && g->state == HF_WG_ASKED && !g->held)
                grant_free(core, g);
            else if (g->resend)
                due(core, g);
        }
        unref(core, l);
    }
}

/* ---- what was read -------------------------------------------------------------------------------------------------- */
static hf_wgrant *own_of(const hf_wlimit *l, hf_str id, int32_t attempt, hf_wgrant_state state) {
    hf_wgrant *g;
    DL_FOREACH(l->grants, g)
    if (g->state == state && g->attempt == attempt && hf_str_eq((hf_str){g->id, g->id_len}, id))
        return g;
    return NULL;
}

static hf_wgrant *own_at(const hf_wlimit *l, int64_t offset) {
    hf_wgrant *g;
    DL_FOREACH(l->grants, g)
    if (g->state != HF_WG_ASKED && g->offset == offset)
        return g;
    return NULL;
}

static void granted(hf_worker_core *core, hf_wgrant *g, int64_t offset) {
    g->limit->asked--;
    g->state = HF_WG_HELD;
    g->offset = offset;
    g->resend = false;
    if (!g->held) {
        grant_release(core, g);
        return;
    }
    g->held->asking = NULL;
    g->held->granted++;
    hf_held_touch(core, g->held);
}

/* Is the grant that stands in the way our own, from a copy of the record? */
static const hf_grant *ours(const hf_worker_core *core, const hf_limit_change *c) {
    for (uint32_t i = 0; c->limit && i < c->limit->held; i++) {
        const hf_grant *g = c->limit->grants[i];
        if (g->attempt == c->event->attempt && hf_str_eq(g->job_id, c->event->job_id) &&
            hf_str_eq(g->worker, core->identity))
            return g;
    }
    return NULL;
}

static void refused_grant(hf_worker_core *core, hf_wgrant *g, hf_limit_verdict verdict, hf_now now) {
    hf_held *held = g->held;
    grant_free(core, g);
    if (!held)
        return;
    if (verdict != HF_LV_NO_SUCH) /* which says that none is needed */
        held->ungranted = true;
    if (verdict == HF_LV_HELD) /* another worker is about to claim the job */
        held->job->again_ms = now.mono_ms + HF_HELD_AGAIN_MS;
    hf_held_touch(core, held);
}

static void read_taken(hf_worker_core *core, hf_wlimit *l, const hf_limit_change *c, hf_now now) {
    const hf_limit_event *e = c->event;
    hf_wgrant *g = own_of(l, e->job_id, e->attempt, HF_WG_ASKED);
    if (c->verdict == HF_LV_ACCEPTED) {
        if (!g && !(g = grant_new(core, l, e->job_id, e->attempt, HF_WG_ASKED)))
            return;
        granted(core, g, c->position.offset); /* nobody's: it is freed at once */
        return;
    }
    const hf_grant *own = c->verdict == HF_LV_HELD && g ? ours(core, c) : NULL;
    if (own && !own_at(l, own->offset))
        granted(core, g, own->offset);
    else if (g)
        refused_grant(core, g, c->verdict, now);
}

/* Somebody thought the attempt over, or that it would never come: it must not run on. */
static void lost(hf_worker_core *core, hf_held *held) {
    held->ungranted = true;
    held->release = true;
    hf_held_touch(core, held);
}

static void read_freed(hf_worker_core *core, hf_wlimit *l, const hf_limit_change *c) {
    hf_wgrant *g = own_at(l, c->event->grant);
    if (!g || g->attempt != c->event->attempt)
        return;
    hf_held *held = g->held;
    grant_free(core, g);
    if (held)
        lost(core, held);
}

static bool note_limit(hf_worker_core *core, hf_wlimit *l, const hf_limit *limit) {
    bool was = l->set;
    l->set = limit && limit->max >= 0;
    l->max = limit ? limit->max : -1;
    l->held = limit ? limit->held : 0;
    core->limits.offers = true;
    return l->set && !was;
}

hf_code hf_worker_core_limit(hf_worker_core *core, const hf_limit_change *c, hf_now now, bool *ret_again) {
    hf_wlimit *l = find(&core->limits, c->event->key);
    *ret_again = false;
    if (!l && (!c->limit || c->limit->max < 0) && !(c->event->kind == HF_LIMIT_TAKEN && c->verdict == HF_LV_ACCEPTED))
        return HF_OK;
    if (!l && !(l = find_or_make(core, c->event->key)))
        return HF_E_NO_MEMORY;
    l->refs++;
    *ret_again = note_limit(core, l, c->limit);
    if (c->event->kind == HF_LIMIT_TAKEN && hf_str_eq(c->event->by, core->identity))
        read_taken(core, l, c, now);
    else if (c->event->kind == HF_LIMIT_FREED)
        read_freed(core, l, c);
    unref(core, l);
    return core->broken ? HF_E_NO_MEMORY : HF_OK;
}

hf_code hf_worker_core_limit_is(hf_worker_core *core, const hf_limit *limit) {
    hf_wlimit *l = find_or_make(core, limit->key);
    if (!l)
        return HF_E_NO_MEMORY;
    note_limit(core, l, limit);
    return HF_OK;
}

void hf_wlimits_done(hf_worker_core *core) {
    hf_wlimit *l, *next;
    HASH_ITER(hh, core->limits.by_key, l, next) {
        hf_wgrant *g, *after;
        DL_FOREACH_SAFE(l->grants, g, after)
        free(g);
        HASH_DEL(core->limits.by_key,
                 l); /* NOLINT(clang-analyzer-unix.Malloc): the table is freed with its last element */
        free(l->parked.items);
        free(l);
    }
}
