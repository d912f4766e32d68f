#include "producer/dispatch/grants.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "schemas/base/mem.h"

enum { OWNED_WORDS = 16, RECHECK_MS = 60000, STALL_MIN_MS = 1000, CALLS_A_STALL = 4 };

typedef struct watch { /* one grant that is held */
    UT_hash_handle hh;
    uint64_t place;  /* partition and offset of the record that took it */
    int64_t seen_ms; /* monotonic */
    int64_t due_ms;  /* when to look */
    int64_t ttl_ms;
    int32_t attempt;
    hf_str key, job_id;
    char text[];
} watch;

struct hf_freer {
    hf_freer_options o;
    watch *by_place;
    int64_t next_ms, last_call_ms, from_ms;
    uint64_t owned[OWNED_WORDS];
};

hf_freer *hf_freer_new(const hf_freer_options *options) {
    hf_freer *f = hf_alloc(sizeof *f);
    if (f) {
        f->o = *options;
        f->next_ms = INT64_MAX;
    }
    return f;
}

static void drop(hf_freer *f, watch *w) {
    HASH_DEL(f->by_place, w);
    free(w);
}

void hf_freer_free(hf_freer *f) {
    watch *w, *next;
    if (!f)
        return;
    HASH_ITER(hh, f->by_place, w, next)
        drop(f, w);
    free(f);
}

static void look_at(hf_freer *f, watch *w, int64_t at_ms) {
    w->due_ms = at_ms;
    if (at_ms < f->next_ms)
        f->next_ms = at_ms;
}

static watch *find(hf_freer *f, uint64_t place) {
    watch *w = NULL;
    HASH_FIND(hh, f->by_place, &place, sizeof place, w);
    return w;
}

static bool add(hf_freer *f, int32_t partition, hf_str key, const hf_grant *g, int64_t mono_ms) {
    uint64_t place = hf_position_key((hf_position){partition, g->offset});
    if (find(f, place))
        return true;
    watch *w = hf_alloc(sizeof *w + key.len + g->job_id.len);
    if (!w)
        return false;
    memcpy(w->text, key.p, key.len);
    memcpy(w->text + key.len, g->job_id.p, g->job_id.len);
    w->key = (hf_str){w->text, key.len};
    w->job_id = (hf_str){w->text + key.len, g->job_id.len};
    w->place = place;
    w->seen_ms = mono_ms;
    w->ttl_ms = g->ttl_ms;
    w->attempt = g->attempt;
    HASH_ADD(hh, f->by_place, place, sizeof w->place, w);
    if (!w->hh.tbl) {
        free(w);
        return false;
    }
    look_at(f, w, mono_ms + f->o.patience_ms);
    return true;
}

bool hf_freer_limit(hf_freer *f, int32_t partition, const hf_limit *limit, int64_t mono_ms) {
    for (uint32_t i = 0; i < limit->held; i++)
        if (!add(f, partition, limit->key, limit->grants[i], mono_ms))
            return false;
    return true;
}

bool hf_freer_change(hf_freer *f, const hf_limit_change *c, int64_t mono_ms) {
    if (c->verdict != HF_LV_ACCEPTED)
        return true;
    if (c->event->kind == HF_LIMIT_TAKEN) {
        const hf_grant *g = hf_limit_grant(c->limit, c->position.offset);
        return !g || add(f, c->position.partition, c->event->key, g, mono_ms);
    }
    watch *w = c->freed ? find(f, hf_position_key((hf_position){c->position.partition, c->freed->offset})) : NULL;
    if (w)
        drop(f, w);
    return true;
}

static bool is_over(const hf_job *job, int32_t attempt) {
    return hf_state_terminal((hf_state)job->state) || job->attempt > attempt ||
           (job->attempt == attempt && !hf_state_has_attempt((hf_state)job->state));
}

void hf_freer_job(hf_freer *f, const hf_job *job, int64_t mono_ms) {
    if (!f->by_place || hf_state_has_attempt((hf_state)job->state))
        return;
    for (watch *w = f->by_place; w; w = w->hh.next)
        if (hf_str_eq(w->job_id, job->id) && is_over(job, w->attempt))
            look_at(f, w, mono_ms + f->o.patience_ms);
}

void hf_freer_owned(hf_freer *f, const uint64_t *bits, size_t words) {
    memset(f->owned, 0, sizeof f->owned);
    memcpy(f->owned, bits, (words < OWNED_WORDS ? words : OWNED_WORDS) * sizeof *bits);
}

static bool owns(const hf_freer *f, const watch *w) {
    uint32_t p = (uint32_t)hf_position_of_key(w->place).partition;
    return p < OWNED_WORDS * 64 && (f->owned[p / 64] >> (p % 64) & 1);
}

/* Why it is to be freed now; NULL: it is not, and due_ms says when to look again. */
static const char *why(hf_freer *f, watch *w, hf_freer_look look, void *ctx, int64_t mono_ms) {
    bool ended = false;
    const hf_job *job = look(ctx, w->job_id, &ended);
    int64_t stand_in = owns(f, w) ? 0 : f->o.stand_in_ms;
    const char *reason = "its attempt is over";
    int64_t at = w->seen_ms + f->o.patience_ms + stand_in;
    if (!ended && !(job && is_over(job, w->attempt))) {
        if (job && job->attempt == w->attempt) { /* it runs: a change of the job says when it does not */
            w->due_ms = mono_ms + RECHECK_MS;
            return NULL;
        }
        at = w->seen_ms + w->ttl_ms + stand_in;
        at = at > f->from_ms ? at : f->from_ms;
        reason = "its attempt never came";
    }
    w->due_ms = at > mono_ms ? at : mono_ms + f->o.repeat_ms;
    return at > mono_ms ? NULL : reason;
}

static int64_t stall_ms(const hf_freer *f) { return f->o.grace_ms > STALL_MIN_MS ? f->o.grace_ms : STALL_MIN_MS; }

size_t hf_freer_due(hf_freer *f, int64_t wall_ms, int64_t mono_ms, hf_freer_look look, void *ctx, hf_arena *arena,
                    hf_limit_event *ret, size_t max) {
    size_t n = 0;
    if (f->last_call_ms == 0 || mono_ms - f->last_call_ms > stall_ms(f))
        f->from_ms = mono_ms + f->o.grace_ms; /* we slept: read what was said meanwhile first */
    f->last_call_ms = mono_ms;
    if (mono_ms < f->next_ms)
        return 0;
    f->next_ms = INT64_MAX;
    for (watch *w = f->by_place; w; w = w->hh.next) {
        const char *reason = w->due_ms <= mono_ms && n < max ? why(f, w, look, ctx, mono_ms) : NULL;
        if (reason) {
            hf_type_init(&HF_TYPE_LIMIT_EVENT, &ret[n]);
            ret[n].key = hf_arena_str(arena, w->key);
            ret[n].job_id = hf_arena_str(arena, w->job_id);
            ret[n].kind = HF_LIMIT_FREED;
            ret[n].at = wall_ms;
            ret[n].by = f->o.me;
            ret[n].attempt = w->attempt;
            ret[n].grant = hf_position_of_key(w->place).offset;
            ret[n].reason = hf_str_of(reason);
            if (!ret[n].key.p || !ret[n].job_id.p)
                w->due_ms = mono_ms; /* the arena is full: it stays due */
            else
                n++;
        }
        if (w->due_ms < f->next_ms)
            f->next_ms = w->due_ms;
    }
    return n;
}

/* Well before a stall, as hf_dispatch_next_ms. */
int64_t hf_freer_next_ms(const hf_freer *f) {
    int64_t look = f->last_call_ms + stall_ms(f) / CALLS_A_STALL;
    if (!f->by_place)
        return INT64_MAX;
    return f->next_ms < look ? f->next_ms : look;
}
