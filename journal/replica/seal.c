/* Batches: closing one, and learning that it is in the store. */
#include "journal/replica/inside.h"
#include "schemas/base/mem.h"

enum { PART_ROOM = 320 };

bool hf_slots_reserve(hf_slots *slots) {
    if (slots->count < slots->room)
        return true;
    size_t room = slots->room ? slots->room * 2 : 64;
    hf_slot **of = hf_realloc(slots->of, room * sizeof *of);
    if (!of)
        return false;
    slots->of = of;
    slots->room = room;
    return true;
}

size_t hf_replica_batch_bytes(const hf_replica *r) { return r->store ? hf_changes_bytes(r->open) + r->dirty_bytes : 0; }
bool hf_replica_dirty(const hf_replica *r) { return r->moved; }
bool hf_replica_must_commit(const hf_replica *r) {
    return hf_replica_batch_bytes(r) > r->options.batch_max_bytes / 4 * 3;
}

/* ---- a job's rows ------------------------------------------------------------------------------------------ */
/* Where a queued job waits, so that the oldest of each kind is the first. */
static bool write_wait(hf_replica *r, const hf_slot *slot) {
    const hf_job *job = &slot->job;
    char was[HF_BY_WAIT_BYTES], is[HF_BY_WAIT_BYTES];
    hf_table by_wait = r->tables.of[HF_TB_BY_WAIT];
    uint32_t operation = hf_counters_operation(job->spec->operation);
    uint32_t priority = hf_counters_priority(hf_job_priority(job));
    bool waited = slot->stored_state == HF_S_QUEUED, waits = job->state == HF_S_QUEUED && !job->deleted;
    if (waited && waits && slot->stored_queued == job->queued_at && slot->stored_priority == priority)
        return true;
    if (waited &&
        !hf_changes_delete(r->open, by_wait,
                           hf_by_wait_key(operation, slot->stored_priority, slot->stored_queued, slot->key, was)))
        return false;
    return !waits || hf_changes_put(r->open, by_wait,
                                    hf_by_wait_key(operation, priority, job->queued_at, slot->key, is), HF_STR_NONE, 0);
}

static hf_code write_indexes(hf_replica *r, const hf_slot *slot, hf_err *reterr) {
    char was[HF_BY_STATE_BYTES], is[HF_BY_STATE_BYTES], path[HF_BY_PATH_BYTES], at[HF_BY_CREATED_BYTES];
    const hf_job *job = &slot->job;
    hf_table by_state = r->tables.of[HF_TB_BY_STATE];
    bool ok = true;
    if (slot->stored_state != HF_S_NONE)
        ok = hf_changes_delete(r->open, by_state,
                               hf_by_state_key(slot->stored_state, slot->stored_updated, slot->key, was));
    if (ok && !job->deleted)
        ok = hf_changes_put(r->open, by_state, hf_by_state_key(job->state, job->updated_at, slot->key, is), HF_STR_NONE,
                            0);
    if (ok)
        ok = write_wait(r, slot);
    hf_str created = hf_by_created_key(job->created_at, slot->key, at);
    if (ok && !slot->has_row && !job->deleted)
        ok = hf_changes_put(r->open, r->tables.of[HF_TB_BY_CREATED], created, HF_STR_NONE, 0);
    if (ok && slot->has_row && job->deleted)
        ok = hf_changes_delete(r->open, r->tables.of[HF_TB_BY_CREATED], created);
    if (ok && !slot->has_row && job->spec->vm_path.len > 0)
        ok = hf_changes_put(r->open, r->tables.of[HF_TB_BY_PATH], hf_by_path_key(job->spec->vm_path, slot->key, path),
                            HF_STR_NONE, 0);
    return ok ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu bytes", hf_changes_bytes(r->open));
}

static hf_code write_job(hf_replica *r, hf_slot *slot, hf_err *reterr) {
    hf_table jobs = r->tables.of[HF_TB_JOBS];
    if (!r->full && hf_state_terminal((hf_state)slot->job.state))
        return !slot->has_row || hf_changes_delete_u64(r->open, jobs, slot->key)
                   ? HF_OK
                   : hf_fail(reterr, HF_E_NO_MEMORY, "a batch");
    hf_buf_clear(&r->row);
    hf_code rc = hf_encode_body(HF_SCHEMA_JOB, &slot->job, &r->row, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "job %.*s", HF_STR_ARG(slot->job.id)), rc;
    if (!hf_changes_put_u64(r->open, jobs, slot->key, hf_buf_str(&r->row), 0))
        return hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu bytes", hf_changes_bytes(r->open));
    slot->bytes = r->row.len;
    return r->full ? write_indexes(r, slot, reterr) : HF_OK;
}

static void mark_written(hf_replica *r, hf_slot *slot) {
    bool gone = !r->full && hf_state_terminal((hf_state)slot->job.state);
    slot->has_row = !gone;
    slot->stored_state = (int8_t)(slot->job.deleted ? HF_S_NONE : slot->job.state);
    slot->stored_updated = slot->job.updated_at;
    slot->stored_queued = slot->job.queued_at;
    slot->stored_priority = slot->job.spec ? (uint8_t)hf_counters_priority(hf_job_priority(&slot->job)) : 0;
    slot->dirty = false;
    slot->batch = r->batch;
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */
static bool write_part(hf_replica *r, hf_topic topic, int32_t partition, const hf_part *part) {
    char name[HF_PART_NAME_BYTES], chain[HF_CHAIN_VALUE_BYTES];
    uint64_t next = (uint64_t)part->next, key = (uint64_t)partition, last = next - 1;
    bool ok = hf_changes_put(r->open, r->tables.of[HF_TB_OFFSETS], hf_str_of(hf_offsets_key(topic, partition, name)),
                             hf_key_u64(&next), 0);
    if (!ok || !r->full || topic != HF_TOPIC_JOB_EVENTS)
        return ok;
    memcpy(chain, &last, 8);
    memcpy(chain + 8, part->hash, HF_HASH_BYTES);
    return hf_changes_put_u64(r->open, r->tables.of[HF_TB_CHAIN], key, (hf_str){chain, sizeof chain}, 0);
}

static bool write_parts(hf_replica *r) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        for (int32_t p = 0; p < r->part_count[t]; p++) {
            const hf_part *part = &r->parts[t][p];
            bool kept = hf_replica_keeps_offset(r, (hf_topic)t);
            if (kept && part->next != part->sealed && !write_part(r, (hf_topic)t, p, part))
                return false;
        }
    return true;
}

static bool write_runs(hf_replica *r) {
    char row[HF_RUNS_ROW_MAX];
    for (const hf_run_slot *slot = r->runs.dirty; slot && !r->options.counters_apart; slot = slot->next_dirty)
        if (!hf_changes_put(r->open, r->tables.of[HF_TB_SCHEDULE_RUNS], (hf_str){slot->id, slot->hh.keylen},
                            hf_runs_row(slot, row), 0))
            return false;
    return true;
}

static void mark_runs(hf_replica *r) {
    for (hf_run_slot *slot = r->runs.dirty; slot; slot = slot->next_dirty) {
        slot->dirty = false;
        slot->batch = r->batch;
    }
    r->runs.dirty = NULL;
}

static hf_code write_all(hf_replica *r, hf_err *reterr) {
    size_t room = r->dirty_bytes + (r->full ? hf_counters_room(&r->counters) : 0);
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        room += (size_t)r->part_count[t] * PART_ROOM;
    if (!hf_changes_reserve(r->open, room))
        return hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu bytes", hf_changes_bytes(r->open) + room);
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < r->dirty.count; i++)
        rc = write_job(r, r->dirty.of[i], reterr);
    if (rc == HF_OK && (!write_parts(r) || !write_runs(r) ||
                        (r->full && !r->options.counters_apart &&
                         !hf_counters_put(&r->counters, r->open, r->tables.of[HF_TB_COUNTERS]))))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu bytes", hf_changes_bytes(r->open));
    if (rc == HF_OK && r->hooks.on_seal && !r->hooks.on_seal(r->hooks.ctx, r->open))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu bytes", hf_changes_bytes(r->open));
    return rc;
}

/* Rows that were put already by a seal that failed are put again by the next one: later wins. */
hf_code hf_replica_seal(hf_replica *r, const hf_changes **ret_batch, hf_err *reterr) {
    if (r->sealing)
        return hf_fail(reterr, HF_E_BUSY, "the batch before is not committed yet");
    if (r->store) {
        hf_code rc = write_all(r, reterr);
        if (rc != HF_OK)
            return rc;
    }
    for (size_t i = 0; i < r->dirty.count; i++)
        mark_written(r, r->dirty.of[i]);
    mark_runs(r);
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        for (int32_t p = 0; p < r->part_count[t]; p++)
            r->parts[t][p].sealed = r->parts[t][p].next;
    if (r->full)
        hf_counters_mark(&r->counters);
    hf_changes *batch = r->open;
    hf_slots slots = r->dirty;
    r->open = r->sealed;
    r->sealed = batch;
    r->dirty = r->sealed_jobs;
    r->sealed_jobs = slots;
    r->dirty.count = 0;
    r->dirty_bytes = 0;
    r->batch++;
    r->moved = false;
    r->sealing = true;
    *ret_batch = batch;
    return HF_OK;
}

/* live: of a job that ended, the store has the id now. */
static void let_go(hf_replica *r, hf_slot *slot) {
    if (!r->full && r->store && !slot->dirty && hf_state_terminal((hf_state)slot->job.state))
        hf_jobs_drop(&r->jobs, slot);
}

void hf_replica_committed(hf_replica *r) {
    if (!r->sealing)
        return;
    r->sealing = false;
    r->committed = r->batch - 1;
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        for (int32_t p = 0; p < r->part_count[t]; p++)
            r->parts[t][p].committed = r->parts[t][p].sealed;
    for (size_t i = 0; i < r->sealed_jobs.count; i++)
        let_go(r, r->sealed_jobs.of[i]);
    r->sealed_jobs.count = 0;
    if (r->sealed)
        hf_changes_clear(r->sealed);
    if (r->store && !r->options.counters_apart)
        hf_runs_evict(&r->runs, r->committed);
    hf_replica_evict(r);
}
