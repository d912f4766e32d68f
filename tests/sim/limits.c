/* Limits: who sets them, and what must hold of them, said without their fold.
 *
 *   - a grant is given only while fewer than max are held, and to an attempt that has none; every replica comes to the same, record by record
 *   - a worker claims a job only while its replica shows a grant, its own, of each limit that it knows and the job matches
 *   - what it starts on grants still has them, unless the log has that its attempt is over
 *   - nobody's grant is freed while its attempt runs (in a worker that is awake, the attempt being current on record)
 *   - in the end nobody holds any
 * A limit counts from when a worker has read that it is set: a job it claimed before runs on without. */
#include <inttypes.h>

#include "schemas/base/mem.h"
#include "tests/sim/sim.h"

const hf_str sim_limit_keys[SIM_LIMITS_MAX] = {HF_STR_INIT("tag/a"), HF_STR_INIT("tag/b"), HF_STR_INIT("tag/c")};

static int index_of(hf_str key) {
    for (int i = 0; i < SIM_LIMITS_MAX; i++)
        if (hf_str_eq(key, sim_limit_keys[i]))
            return i;
    return -1;
}

/* ---- clients ------------------------------------------------------------------------------------------------ */
static void set(sim_world *w, int i, int32_t max) {
    hf_limit_event e;
    hf_type_init(&HF_TYPE_LIMIT_EVENT, &e);
    e.key = sim_limit_keys[i];
    e.at = SIM_WALL_BASE_MS + w->now_ms;
    e.by = HF_STR("client");
    e.max = max;
    sim_send(w, NULL, SIM_LIMITS, sim_partition_of(e.key), &e, 0);
}

void sim_limits_client(sim_world *w) {
    if (!w->limited || w->limit_changes_left == 0)
        return;
    w->limit_changes_left--;
    set(w, (int)sim_roll(w, SIM_LIMITS_MAX), sim_chance(w, 150) ? -1 : 1 + (int32_t)sim_roll(w, 2));
}

void sim_limits_draw(sim_world *w, hf_spec *spec) {
    hf_str *tags = sim_must(hf_arena_alloc(&w->arena, SIM_LIMITS_MAX * sizeof *tags));
    uint32_t n = 0;
    for (int i = 0; w->limited && i < SIM_LIMITS_MAX; i++)
        if (sim_chance(w, 450))
            tags[n++] = (hf_str){sim_limit_keys[i].p + 4, sim_limit_keys[i].len - 4};
    spec->audit.tags = (hf_list){tags, n};
}

/* ---- the record ------------------------------------------------------------------------------------------------ */
static int grant_of(const sim_limit *l, hf_str job_id, int32_t attempt) {
    for (uint32_t i = 0; i < l->held; i++)
        if (l->grants[i].attempt == attempt && hf_str_eq(l->grants[i].job_id, job_id))
            return (int)i;
    return -1;
}

/* Where an attempt runs now: its worker is awake, and the record has it as current. */
static const sim_actor *runs_in(sim_world *w, hf_str job_id, int32_t attempt) {
    const hf_job *job = sim_replica_job(&w->reference, job_id);
    if (!job || job->attempt != attempt || !hf_state_has_attempt((hf_state)job->state))
        return NULL;
    for (int i = 0; i < w->actor_count; i++) {
        const sim_actor *a = &w->actors[i];
        if (a->kind != SIM_WORKER || !a->up || a->resume_at > w->now_ms || !hf_str_eqz(job->worker, a->identity))
            continue;
        for (int s = 0; s < SIM_SLOTS; s++)
            if (a->slots[s].count && a->slots[s].runs[0].attempt == attempt &&
                hf_str_eq(a->slots[s].runs[0].job_id, job_id))
                return a;
    }
    return NULL;
}

static bool judge_taken(sim_world *w, sim_limit *l, int64_t offset, const hf_limit_event *e) {
    if (!l->exists || l->max < 0 || grant_of(l, e->job_id, e->attempt) >= 0)
        return false;
    if (l->held >= (uint32_t)l->max) {
        w->counts.full++;
        return false;
    }
    l->grants[l->held].job_id = e->job_id;
    l->grants[l->held].worker = e->by;
    l->grants[l->held].attempt = e->attempt;
    l->grants[l->held++].offset = offset;
    w->counts.taken++;
    return true;
}

static bool judge_freed(sim_world *w, sim_limit *l, const hf_limit_event *e) {
    int i = grant_of(l, e->job_id, e->attempt);
    if (i < 0 || l->grants[i].offset != e->grant)
        return false;
    const sim_actor *a = runs_in(w, e->job_id, e->attempt);
    if (a && hf_str_eqz(l->grants[i].worker, a->identity))
        sim_violation(w, "%.*s frees the grant of %.*s that %.*s #%d holds, which runs in %s", HF_STR_ARG(e->by),
                      HF_STR_ARG(e->key), HF_STR_ARG(e->job_id), e->attempt, a->identity);
    l->grants[i] = l->grants[--l->held];
    w->counts.freed++;
    return true;
}

/* What it came to, as one number: every replica must come to the same. */
static uint64_t sum_of(bool accepted, int32_t max, uint32_t held) {
    return (uint64_t)accepted | (uint64_t)(uint32_t)(max + 1) << 1 | (uint64_t)held << 33;
}

void sim_limits_judge(sim_world *w, int partition, int64_t offset, const hf_limit_event *e) {
    int i = index_of(e->key);
    if (i < 0) {
        sim_violation(w, "a limit of key %.*s, which nobody set", HF_STR_ARG(e->key));
        return;
    }
    sim_limit *l = &w->limits[i];
    bool accepted = true;
    if (e->kind == HF_LIMIT_SET) {
        accepted = e->max >= 0 || l->exists;
        if (accepted)
            l->max = e->max;
        l->exists = l->exists || accepted;
    } else
        accepted = e->kind == HF_LIMIT_TAKEN ? judge_taken(w, l, offset, e) : judge_freed(w, l, e);
    if (l->exists && l->max < 0 && l->held == 0)
        l->exists = false;
    SIM_SAY(w, "limits %d/%lld  %.*s %s %.*s #%d by %.*s -> %s, %u of %d", partition, (long long)offset,
            HF_STR_ARG(e->key),
            e->kind == HF_LIMIT_SET     ? "set"
            : e->kind == HF_LIMIT_TAKEN ? "taken"
                                        : "freed",
            HF_STR_ARG(e->job_id), e->attempt, HF_STR_ARG(e->by), accepted ? "accepted" : "refused", l->held,
            l->exists ? l->max : -1);
    w->log[SIM_LIMITS][partition].entries[offset].digest = sum_of(accepted, l->exists ? l->max : -1, l->held);
}

/* ---- the actors --------------------------------------------------------------------------------------------------- */
void sim_limits_tell(sim_world *w, sim_actor *a, const hf_limit_change *c) {
    uint64_t is = sum_of(c->verdict == HF_LV_ACCEPTED, c->limit ? c->limit->max : -1, c->limit ? c->limit->held : 0);
    uint64_t wanted = w->log[SIM_LIMITS][c->position.partition].entries[c->position.offset].digest;
    if (is != wanted)
        sim_violation(w, "%s has another idea of %.*s than the referee at limits %d/%" PRId64 " (%s)", a->identity,
                      HF_STR_ARG(c->event->key), c->position.partition, c->position.offset,
                      hf_limit_verdict_name(c->verdict));
    if (a->loading)
        return;
    if (a->kind == SIM_WORKER)
        sim_worker_limit(w, a, c);
    else if (a->kind == SIM_DISPATCHER)
        sim_dispatcher_limit(w, a, c);
}

static bool holds(const hf_limit *limit, const sim_actor *a, hf_str job_id, int32_t attempt) {
    for (uint32_t i = 0; i < limit->held; i++)
        if (limit->grants[i]->attempt == attempt && hf_str_eq(limit->grants[i]->job_id, job_id) &&
            hf_str_eqz(limit->grants[i]->worker, a->identity))
            return true;
    return false;
}

static bool matches(const hf_job *job, hf_str key) {
    for (uint32_t i = 0; i < job->spec->audit.tags.count; i++) {
        hf_str tag = *HF_LIST_AT(job->spec->audit.tags, hf_str, i);
        if (tag.len + 4 == key.len && memcmp(tag.p, key.p + 4, tag.len) == 0)
            return true;
    }
    return false;
}

void sim_limits_claim(sim_world *w, const sim_actor *a, const hf_record *r) {
    const hf_job *job = hf_replica_job(a->memory, r->job_id);
    for (int i = 0; job && i < SIM_LIMITS_MAX; i++) {
        const hf_limit *limit = hf_replica_limit(a->memory, sim_limit_keys[i]);
        if (limit && limit->max >= 0 && matches(job, sim_limit_keys[i]) && !holds(limit, a, r->job_id, r->attempt))
            sim_violation(w, "%s claims %.*s #%d without a grant of %.*s", a->identity, HF_STR_ARG(r->job_id),
                          r->attempt, HF_STR_ARG(sim_limit_keys[i]));
    }
}

void sim_limits_start(sim_world *w, const sim_actor *a, hf_str job_id, int32_t attempt) {
    const hf_job *truth = sim_replica_job(&w->reference, job_id);
    if (!truth || truth->attempt != attempt || !hf_state_has_attempt((hf_state)truth->state))
        return; /* it is over, and the worker will read so */
    for (int i = 0; i < SIM_LIMITS_MAX; i++) {
        const hf_limit *limit = hf_replica_limit(a->memory, sim_limit_keys[i]);
        if (limit && holds(limit, a, job_id, attempt) && grant_of(&w->limits[i], job_id, attempt) < 0)
            sim_violation(w, "%s starts %.*s #%d, whose grant of %.*s is not held any more", a->identity,
                          HF_STR_ARG(job_id), attempt, HF_STR_ARG(sim_limit_keys[i]));
    }
}

bool sim_limits_free(const sim_world *w) {
    for (int i = 0; i < SIM_LIMITS_MAX; i++)
        if (w->limits[i].held)
            return false;
    return true;
}
