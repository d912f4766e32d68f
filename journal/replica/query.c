#include "journal/replica/query.h"

#include <inttypes.h>
#include <stdio.h>

#include "journal/replica/logcopy.h"

static hf_code damaged(hf_err *reterr, const char *table) {
    return hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `%s` cannot be read; run `hyperjournal rebuild`", table);
}

/* ---- a job ---------------------------------------------------------------------------------------------------- */
hf_code hf_query_job_key(hf_read *read, const hf_tables *tables, hf_str id, uint64_t *ret, hf_err *reterr) {
    hf_str value;
    hf_code rc = id.len ? hf_read_get(read, tables->of[HF_TB_IDS], id, &value, reterr) : HF_E_NOT_FOUND;
    if (rc == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_NOT_FOUND, "job not found: %.*s", HF_STR_ARG(id));
    if (rc == HF_OK && value.len < sizeof *ret)
        return damaged(reterr, "ids");
    if (rc == HF_OK)
        memcpy(ret, value.p, sizeof *ret);
    return rc;
}

hf_code hf_query_job_at(hf_read *read, const hf_tables *tables, uint64_t job_key, hf_arena *arena, hf_job *ret,
                        hf_err *reterr) {
    hf_str row;
    hf_code rc = hf_read_get_u64(read, tables->of[HF_TB_JOBS], job_key, &row, reterr);
    if (rc == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_NOT_FOUND, "job not found at %d/%" PRId64,
                       (int)hf_position_of_key(job_key).partition, hf_position_of_key(job_key).offset);
    if (rc == HF_OK && (rc = hf_decode_body(HF_SCHEMA_JOB, row, arena, ret, reterr)) != HF_OK && rc != HF_E_NO_MEMORY)
        return damaged(reterr, "jobs");
    return rc;
}

hf_code hf_query_job(hf_read *read, const hf_tables *tables, hf_str id, hf_arena *arena, hf_job *ret, hf_err *reterr) {
    uint64_t key = 0;
    hf_code rc = hf_query_job_key(read, tables, id, &key, reterr);
    return rc == HF_OK ? hf_query_job_at(read, tables, key, arena, ret, reterr) : rc;
}

/* ---- many jobs: one cursor a state, walked backwards together -------------------------------------------------- */
typedef struct {
    hf_cursor *cursor;
    hf_str key;
} walker;

static hf_code step_back(walker *w, int state, bool first, hf_err *reterr) {
    char end[HF_BY_STATE_BYTES];
    hf_str key = {end, 1}, value;
    end[0] = (char)(state + 1);
    hf_code rc;
    if (!first)
        rc = hf_cursor_move(w->cursor, HF_PREV, &key, &value, reterr);
    else if ((rc = hf_cursor_move(w->cursor, HF_SEEK, &key, &value, reterr)) == HF_OK)
        rc = hf_cursor_move(w->cursor, HF_PREV, &key, &value, reterr);
    else if (rc == HF_E_NOT_FOUND)
        rc = hf_cursor_move(w->cursor, HF_LAST, &key, &value, reterr);
    if (rc == HF_OK && (key.len != HF_BY_STATE_BYTES || key.p[0] != state))
        rc = HF_E_NOT_FOUND;
    w->key = rc == HF_OK ? key : HF_STR_NONE;
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

static int latest(const walker *walkers) {
    int best = -1;
    for (int s = 0; s < HF_STATE_COUNT; s++)
        if (walkers[s].key.len &&
            (best < 0 || memcmp(walkers[s].key.p + 1, walkers[best].key.p + 1, HF_BY_STATE_BYTES - 1) > 0))
            best = s;
    return best;
}

static hf_code walk(hf_read *read, const hf_tables *tables, walker *walkers, size_t limit, hf_arena *arena,
                    hf_query_each_job each, void *ctx, hf_err *reterr) {
    for (size_t n = 0; n < limit; n++) {
        int s = latest(walkers);
        hf_job job;
        if (s < 0)
            return HF_OK;
        hf_arena_reset(arena);
        hf_code rc = hf_query_job_at(read, tables, hf_by_state_job(walkers[s].key), arena, &job, reterr);
        if (rc != HF_OK)
            return rc;
        if (!each(ctx, &job))
            return HF_OK;
        rc = step_back(&walkers[s], s, false, reterr);
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}

hf_code hf_query_jobs(hf_read *read, const hf_tables *tables, uint32_t states, size_t limit, hf_arena *arena,
                      hf_query_each_job each, void *ctx, hf_err *reterr) {
    walker walkers[HF_STATE_COUNT] = {0};
    hf_code rc = HF_OK;
    for (int s = 0; rc == HF_OK && s < HF_STATE_COUNT; s++)
        if (!states || states & 1u << s) {
            rc = hf_cursor_open(read, tables->of[HF_TB_BY_STATE], &walkers[s].cursor, reterr);
            if (rc == HF_OK)
                rc = step_back(&walkers[s], s, true, reterr);
        }
    if (rc == HF_OK)
        rc = walk(read, tables, walkers, limit, arena, each, ctx, reterr);
    for (int s = 0; s < HF_STATE_COUNT; s++)
        hf_cursor_close(walkers[s].cursor);
    return rc;
}

hf_code hf_query_jobs_of_path(hf_read *read, const hf_tables *tables, hf_str vm_path, size_t limit, hf_arena *arena,
                              hf_query_each_job each, void *ctx, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    char first[HF_BY_PATH_BYTES];
    hf_str key = hf_by_path_key(vm_path, 0, first), value;
    const hf_str front = {first, key.len - 8};
    hf_code rc = vm_path.len ? hf_cursor_open(read, tables->of[HF_TB_BY_PATH], &cursor, reterr) : HF_E_NOT_FOUND;
    hf_move move = HF_SEEK;
    for (size_t n = 0; rc == HF_OK && n < limit; move = HF_NEXT) {
        hf_job job;
        uint64_t at = 0;
        rc = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (rc != HF_OK || key.len != front.len + 8 || !hf_str_starts(key, front))
            break;
        memcpy(&at, key.p + front.len, 8);
        hf_arena_reset(arena);
        rc = hf_query_job_at(read, tables, be64toh(at), arena, &job, reterr);
        if (rc == HF_OK && !job.deleted && hf_str_eq(job.spec->vm_path, vm_path)) {
            n++;
            if (!each(ctx, &job))
                break;
        }
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* ---- the log copy --------------------------------------------------------------------------------------------------- */
static hf_code log_table(hf_store *store, hf_topic topic, int32_t partition, hf_table *ret, hf_err *reterr) {
    char name[HF_PART_NAME_BYTES];
    unsigned flags;
    return hf_store_table_as_is(store, hf_logcopy_name(topic, partition, name), ret, &flags, reterr);
}

hf_code hf_query_log(hf_store *store, hf_read *read, hf_topic topic, int32_t partition, int64_t offset,
                     hf_log_record *ret, hf_err *reterr) {
    hf_table table;
    hf_str row;
    hf_code rc = log_table(store, topic, partition, &table, reterr);
    if (rc == HF_OK)
        rc = hf_read_get_u64(read, table, (uint64_t)offset, &row, reterr);
    if (rc == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_NOT_FOUND, "the journal has no offset %" PRId64 " of %s/%d", offset,
                       hf_topic_suffix(topic), (int)partition);
    return rc == HF_OK ? hf_logcopy_read(topic, partition, offset, row, ret, reterr) : rc;
}

hf_code hf_query_log_each(hf_store *store, hf_read *read, hf_topic topic, int32_t partition, int64_t from,
                          hf_query_each_record each, void *ctx, hf_err *reterr) {
    hf_table table;
    hf_cursor *cursor = NULL;
    uint64_t at = from > 0 ? (uint64_t)from : 0;
    hf_str key = hf_key_u64(&at), row;
    hf_code rc = log_table(store, topic, partition, &table, reterr);
    if (rc == HF_OK)
        rc = hf_cursor_open(read, table, &cursor, reterr);
    for (hf_move move = HF_SEEK; rc == HF_OK && (rc = hf_cursor_move(cursor, move, &key, &row, reterr)) == HF_OK;
         move = HF_NEXT) {
        hf_log_record record;
        rc = hf_logcopy_read(topic, partition, (int64_t)hf_u64_of(key), row, &record, reterr);
        if (rc == HF_OK && !each(ctx, &record))
            break;
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* ---- a job's proposals ------------------------------------------------------------------------------------------------- */
static hf_code read_event(hf_store *store, hf_read *read, hf_codec *codec, const hf_event_row *row, hf_arena *arena,
                          hf_query_each_event each, void *ctx, bool *ret_more, hf_err *reterr) {
    hf_log_record source;
    hf_record record;
    source.value = HF_STR_NONE;
    hf_code rc =
        hf_query_log(store, read, HF_TOPIC_JOB_EVENTS, row->position.partition, row->position.offset, &source, reterr);
    if (rc != HF_OK)
        return rc;
    hf_arena_reset(arena);
    bool readable = hf_decode(codec, HF_SCHEMA_RECORD, source.value, arena, &record, NULL) == HF_OK;
    *ret_more = each(ctx, &(hf_query_event){*row, &source, readable ? &record : NULL});
    return HF_OK;
}

hf_code hf_query_events(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, uint64_t job_key,
                        hf_position from, size_t limit, hf_arena *arena, hf_query_each_event each, void *ctx,
                        hf_err *reterr) {
    hf_cursor *cursor = NULL;
    char first[HF_EVENT_KEY_BYTES];
    hf_str key = hf_event_key(job_key, from, first), value;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_EVENTS], &cursor, reterr);
    hf_move move = HF_SEEK;
    bool more = true;
    for (size_t n = 0; rc == HF_OK && more && n < limit; n++, move = HF_NEXT) {
        hf_event_row row = {0};
        uint64_t of = 0;
        rc = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (rc == HF_OK && !hf_event_row_read(key, value, &of, &row))
            rc = damaged(reterr, "events");
        if (rc != HF_OK || of != job_key)
            break;
        rc = read_event(store, read, codec, &row, arena, each, ctx, &more, reterr);
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* ---- offsets ------------------------------------------------------------------------------------------------------------- */
hf_code hf_query_offsets(hf_read *read, const hf_tables *tables, hf_query_each_offset each, void *ctx, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_OFFSETS], &cursor, reterr);
    while (rc == HF_OK && (rc = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr)) == HF_OK) {
        char name[HF_PART_NAME_BYTES + 8];
        hf_topic topic;
        int32_t partition;
        snprintf(name, sizeof name, "log/%.*s", (int)(key.len < HF_PART_NAME_BYTES ? key.len : HF_PART_NAME_BYTES),
                 key.p);
        if (!hf_logcopy_parse(name, &topic, &partition) || value.len != 8)
            rc = damaged(reterr, "offsets");
        else if (!each(ctx, topic, partition, (int64_t)hf_u64_of(value)))
            break;
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* ---- a job's log ------------------------------------------------------------------------------------------------------- */
static hf_code read_line(hf_store *store, hf_read *read, hf_codec *codec, hf_position at, hf_arena *arena,
                         hf_query_each_line each, void *ctx, bool *ret_more, hf_err *reterr) {
    hf_log_record source;
    hf_progress line;
    hf_code rc = hf_query_log(store, read, HF_TOPIC_PROGRESS, at.partition, at.offset, &source, reterr);
    if (rc == HF_E_NOT_FOUND)
        return HF_OK; /* let go of with its topic's retention */
    if (rc != HF_OK)
        return rc;
    hf_arena_reset(arena);
    if (hf_decode(codec, HF_SCHEMA_PROGRESS, source.value, arena, &line, NULL) == HF_OK)
        *ret_more = each(ctx, at, &line);
    return HF_OK;
}

hf_code hf_query_lines(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str job_id,
                       hf_position after, size_t limit, hf_arena *arena, hf_query_each_line each, void *ctx,
                       hf_err *reterr) {
    char first[HF_LOG_KEY_BYTES];
    hf_position from = after.offset < 0 ? (hf_position){0} : (hf_position){after.partition, after.offset + 1};
    hf_str key = hf_log_key(job_id, from, first), value;
    const hf_str front = {first, key.len - 8};
    hf_cursor *cursor = NULL;
    bool more = true;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_LOGS], &cursor, reterr);
    hf_move move = HF_SEEK;
    for (size_t n = 0; rc == HF_OK && more && n < limit; n++, move = HF_NEXT) {
        uint64_t at;
        rc = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (rc != HF_OK || key.len != front.len + 8 || memcmp(key.p, job_id.p, job_id.len) != 0 ||
            key.p[job_id.len] != 0)
            break;
        memcpy(&at, key.p + front.len, 8);
        rc = read_line(store, read, codec, hf_position_of_key(be64toh(at)), arena, each, ctx, &more, reterr);
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}
