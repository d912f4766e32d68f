/* Jobs by id: in memory, else in the store. What is in memory is never older than what the store has. */
#include "journal/replica/inside.h"
#include "schemas/base/mem.h"

hf_code hf_replica_adopt(hf_replica *r, hf_str row, hf_slot **ret, hf_err *reterr) {
    hf_pieces made, unused;
    hf_job job;
    hf_arena_reset(&r->side);
    hf_code rc = hf_decode_body(HF_SCHEMA_JOB, row, &r->side, &job, reterr);
    if (rc != HF_OK)
        return hf_fail(reterr, rc == HF_E_NO_MEMORY ? rc : HF_E_STORE_DAMAGED,
                       "a row of `jobs` cannot be read; run `hyperjournal rebuild`");
    hf_slot *slot = hf_slot_new();
    if (!slot || !hf_jobs_reserve(&r->jobs) || !hf_pieces_copy(NULL, &job, &made, &unused)) {
        free(slot);
        return hf_fail(reterr, HF_E_NO_MEMORY, "reading a job back");
    }
    slot->job = job;
    slot->key = hf_position_key(job.created);
    slot->bytes = row.len;
    slot->has_row = true;
    slot->stored_state = (int8_t)(job.deleted ? HF_S_NONE : job.state);
    slot->stored_updated = job.updated_at;
    slot->stored_queued = job.queued_at;
    slot->stored_priority = job.spec ? (uint8_t)hf_counters_priority(hf_job_priority(&job)) : 0;
    hf_jobs_add(&r->jobs, slot);
    *ret = slot;
    return HF_OK;
}

/* NOT_FOUND: the id is new. */
static hf_code look_up(hf_replica *r, hf_read *read, hf_str id, hf_slot **ret, hf_job *ret_stub, bool *ret_is_stub,
                       hf_err *reterr) {
    static const hf_spec nothing = {0};
    hf_str value, row;
    hf_code rc = hf_read_get(read, r->tables.of[HF_TB_IDS], id, &value, reterr);
    if (rc != HF_OK)
        return rc;
    uint64_t key = 0;
    if (value.len < sizeof key)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `ids` is damaged; run `hyperjournal rebuild`");
    memcpy(&key, value.p, sizeof key);
    if (!r->full) { /* the jobs that have not ended are all in memory */
        *ret_stub = (hf_job){.id = id,
                             .created = hf_position_of_key(key),
                             .state = HF_S_COMPLETED,
                             .deleted = value.len > sizeof key,
                             .spec = &nothing};
        *ret_is_stub = true;
        return HF_OK;
    }
    rc = hf_read_get_u64(read, r->tables.of[HF_TB_JOBS], key, &row, reterr);
    if (rc == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "`ids` names a job that `jobs` lacks; run `hyperjournal rebuild`");
    return rc == HF_OK ? hf_replica_adopt(r, row, ret, reterr) : rc;
}

hf_code hf_replica_find(hf_replica *r, hf_str id, hf_slot **ret, hf_job *ret_stub, bool *ret_is_stub, hf_err *reterr) {
    hf_read *read = NULL;
    *ret_is_stub = false;
    *ret = hf_jobs_find(&r->jobs, id);
    if (*ret || !r->store || id.len == 0)
        return HF_OK;
    hf_code rc = hf_read_begin(r->store, &read, reterr);
    if (rc == HF_OK)
        rc = look_up(r, read, id, ret, ret_stub, ret_is_stub, reterr);
    hf_read_end(read);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

const hf_job *hf_replica_job(hf_replica *r, hf_str id) {
    hf_slot *slot = NULL;
    hf_job ended;
    bool is_ended = false;
    if (hf_replica_find(r, id, &slot, &ended, &is_ended, NULL) != HF_OK || !slot)
        return NULL;
    return r->full || !hf_state_terminal((hf_state)slot->job.state) ? &slot->job : NULL;
}

bool hf_replica_id_known(hf_replica *r, hf_str id) {
    hf_slot *slot = NULL;
    hf_job ended;
    bool is_ended = false;
    return hf_replica_find(r, id, &slot, &ended, &is_ended, NULL) == HF_OK && (slot || is_ended);
}

/* Oldest by use first; what the store does not have yet stays. */
void hf_replica_evict(hf_replica *r) {
    size_t bound = r->options.jobs_cached;
    while (r->full && r->store && r->jobs.count > bound) {
        hf_slot *slot = r->jobs.oldest;
        if (slot->dirty || slot->batch > r->committed)
            return;
        hf_jobs_drop(&r->jobs, slot);
    }
}

/* ---- runs of schedules ------------------------------------------------------------------------------------ */
static hf_code read_runs(hf_replica *r, hf_run_slot *slot, hf_str id, hf_err *reterr) {
    hf_read *read = NULL;
    hf_str row;
    hf_code rc = hf_read_begin(r->store, &read, reterr);
    if (rc == HF_OK)
        rc = hf_read_get(read, r->tables.of[HF_TB_SCHEDULE_RUNS], id, &row, reterr);
    if (rc == HF_OK && !hf_runs_take_row(slot, row))
        rc = hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `schedule_runs` is damaged; run `hyperjournal rebuild`");
    hf_read_end(read);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

hf_run_slot *hf_replica_run_slot(hf_replica *r, hf_str id, hf_err *reterr) {
    unsigned had = HASH_COUNT(r->runs.by_id);
    hf_run_slot *slot = hf_runs_slot(&r->runs, id);
    if (!slot) {
        hf_fail(reterr, HF_E_NO_MEMORY, "runs of schedule %.*s", HF_STR_ARG(id));
        return NULL;
    }
    if (HASH_COUNT(r->runs.by_id) == had || !r->store || r->options.counters_apart ||
        read_runs(r, slot, id, reterr) == HF_OK)
        return slot;
    hf_runs_drop(&r->runs, slot);
    return NULL;
}

bool hf_replica_schedule_runs(hf_replica *r, hf_str id, hf_schedule_runs *ret) {
    const hf_run_slot *slot = hf_replica_run_slot(r, id, NULL);
    if (slot)
        *ret = slot->runs;
    return slot != NULL;
}

/* ---- every job that has not ended ----------------------------------------------------------------------- */
typedef struct {
    bool (*each)(void *ctx, const hf_job *job);
    void *ctx;
    bool stopped;
} visitor;

static void visit_memory(const hf_replica *r, visitor *v) {
    for (hf_slot *slot = r->jobs.oldest, *next; slot && !v->stopped; slot = next) {
        next = slot->newer;
        if (!hf_state_terminal((hf_state)slot->job.state) && !v->each(v->ctx, &slot->job))
            v->stopped = true;
    }
}

static void visit_row(const hf_replica *r, hf_str row, visitor *v) {
    hf_arena arena;
    hf_job job;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    if (hf_decode_body(HF_SCHEMA_JOB, row, &arena, &job, NULL) == HF_OK && !hf_jobs_find(&r->jobs, job.id) &&
        !v->each(v->ctx, &job))
        v->stopped = true;
    hf_arena_done(&arena);
}

static void visit_store(const hf_replica *r, hf_read *read, visitor *v) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, empty, row;
    if (hf_cursor_open(read, r->tables.of[HF_TB_BY_STATE], &cursor, NULL) != HF_OK)
        return;
    while (!v->stopped && hf_cursor_move(cursor, HF_NEXT, &key, &empty, NULL) == HF_OK &&
           key.len == HF_BY_STATE_BYTES && !hf_state_terminal((hf_state)key.p[0]))
        if (hf_read_get_u64(read, r->tables.of[HF_TB_JOBS], hf_by_state_job(key), &row, NULL) == HF_OK)
            visit_row(r, row, v);
    hf_cursor_close(cursor);
}

void hf_replica_each_live(const hf_replica *r, bool (*each)(void *ctx, const hf_job *job), void *ctx) {
    visitor v = {each, ctx, false};
    hf_read *read = NULL;
    visit_memory(r, &v);
    if (!r->full || !r->store || v.stopped || hf_read_begin(r->store, &read, NULL) != HF_OK)
        return;
    visit_store(r, read, &v);
    hf_read_end(read);
}
