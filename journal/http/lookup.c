#include "journal/http/lookup.h"

#include "journal/http/inside.h"
#include "journal/replica/logcopy.h"
#include "schemas/base/mem.h"

enum { ROW_ARENA_BYTES = 8 << 20 };

static hf_table table(const hf_http *http, hf_store_table_id id) { return http->tables.of[id]; }

static hf_code not_found(hf_str id, hf_err *reterr) {
    return hf_fail(reterr, HF_E_NOT_FOUND, "job not found: %.*s", HF_STR_ARG(id));
}

static hf_code key_of(hf_http *http, hf_read *read, hf_str id, uint64_t *ret, hf_err *reterr) {
    hf_str value;
    if (id.len == 0 || id.len > HF_ID_MAX_BYTES)
        return not_found(id, reterr);
    hf_code code = hf_read_get(read, table(http, HF_TB_IDS), id, &value, reterr);
    if (code == HF_E_NOT_FOUND)
        return not_found(id, reterr);
    if (code == HF_OK && value.len < sizeof *ret)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "the id index holds %u bytes for a job", value.len);
    if (code == HF_OK)
        memcpy(ret, value.p, sizeof *ret);
    return code;
}

static hf_code job_at(hf_http *http, hf_read *read, uint64_t key, hf_arena *arena, hf_job *ret, hf_err *reterr) {
    hf_str row;
    hf_code code = hf_read_get_u64(read, table(http, HF_TB_JOBS), key, &row, reterr);
    return code == HF_OK ? hf_decode_body(HF_SCHEMA_JOB, row, arena, ret, reterr) : code;
}

hf_code hf_lookup_job(hf_http *http, hf_read *read, hf_str id, hf_arena *arena, hf_job *ret, hf_err *reterr) {
    uint64_t key;
    hf_code code = key_of(http, read, id, &key, reterr);
    if (code == HF_OK)
        code = job_at(http, read, key, arena, ret, reterr);
    return code == HF_E_NOT_FOUND || (code == HF_OK && ret->deleted) ? not_found(id, reterr) : code;
}

hf_code hf_lookup_state(hf_http *http, hf_read *read, hf_state state, bool (*each)(void *ctx, const hf_job *job), void *ctx,
                        hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_arena arena;
    char after[HF_BY_STATE_BYTES];
    hf_arena_init(&arena, ROW_ARENA_BYTES);
    /* The newest of a state stands just before the first key of the next. */
    hf_str key = hf_by_state_key((int32_t)state + 1, 0, 0, after), value;
    hf_code code = hf_cursor_open(read, table(http, HF_TB_BY_STATE), &cursor, reterr);
    if (code == HF_OK) {
        code = hf_cursor_move(cursor, HF_SEEK, &key, &value, reterr);
        code = hf_cursor_move(cursor, code == HF_OK ? HF_PREV : HF_LAST, &key, &value, reterr);
    }
    while (code == HF_OK && key.len == HF_BY_STATE_BYTES && key.p[0] == (char)state) {
        hf_job job;
        hf_arena_reset(&arena);
        code = job_at(http, read, hf_by_state_job(key), &arena, &job, reterr);
        if (code != HF_OK || !each(ctx, &job))
            break;
        code = hf_cursor_move(cursor, HF_PREV, &key, &value, reterr);
    }
    hf_cursor_close(cursor);
    hf_arena_done(&arena);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

hf_code hf_lookup_progress(hf_http *http, hf_read *read, const hf_job *job, hf_arena *arena, hf_progress *ret, hf_err *reterr) {
    hf_str row;
    hf_code code = hf_read_get(read, table(http, HF_TB_PROGRESS), job->id, &row, reterr);
    return code == HF_OK ? hf_decode_body(HF_SCHEMA_PROGRESS, row, arena, ret, reterr) : code;
}

/* ---- proposals about a job ------------------------------------------------------------------------------------ */
static hf_code find_event(hf_http *http, hf_read *read, uint64_t job_key, uint64_t from, hf_cursor **ret_cursor, hf_event_row *ret,
                          hf_err *reterr) {
    hf_str key = hf_key_u64(&job_key), value;
    hf_code code = hf_cursor_open(read, table(http, HF_TB_EVENTS), ret_cursor, reterr);
    if (code == HF_OK)
        code = hf_cursor_move(*ret_cursor, HF_SEEK, &key, &value, reterr);
    while (code == HF_OK) {
        if (hf_u64_of(key) != job_key)
            return HF_E_NOT_FOUND;
        *ret = hf_event_row_read(value);
        if (hf_position_key(ret->position) >= from)
            return HF_OK;
        code = hf_cursor_move(*ret_cursor, HF_NEXT, &key, &value, reterr);
    }
    return code;
}

static bool next_event(hf_cursor *cursor, uint64_t job_key, hf_event_row *ret, hf_code *ret_code, hf_err *reterr) {
    hf_str key, value;
    *ret_code = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr);
    if (*ret_code != HF_OK || hf_u64_of(key) != job_key)
        return false;
    *ret = hf_event_row_read(value);
    return true;
}

hf_code hf_lookup_verdict(hf_http *http, hf_read *read, hf_str id, hf_position position, hf_verdict *ret, hf_err *reterr) {
    uint64_t job_key;
    hf_event_row row;
    hf_cursor *cursor = NULL;
    hf_code code = key_of(http, read, id, &job_key, reterr);
    if (code == HF_OK)
        code = find_event(http, read, job_key, hf_position_key(position), &cursor, &row, reterr);
    hf_cursor_close(cursor);
    if (code == HF_E_NOT_FOUND || (code == HF_OK && hf_position_key(row.position) != hf_position_key(position)))
        return hf_fail(reterr, HF_E_INTERNAL, "the journal holds no verdict on offset %lld", (long long)position.offset);
    if (code == HF_OK)
        *ret = row.verdict;
    return code;
}

static hf_code view_of(hf_http *http, hf_read *read, const hf_event_row *row, hf_arena *arena, hf_record *record, hf_event_view *ret,
                       hf_err *reterr) {
    char name[HF_PART_NAME_BYTES];
    hf_table log;
    hf_str bytes;
    hf_log_record source;
    hf_err unreadable;
    *ret = (hf_event_view){.position = row->position, .verdict = row->verdict, .refused = row->refused};
    hf_code code = hf_store_table(hf_http_store(http), hf_logcopy_name(HF_TOPIC_JOB_EVENTS, row->position.partition, name), HF_TABLE_INTEGER_KEY, &log, reterr);
    if (code == HF_OK)
        code = hf_read_get_u64(read, log, (uint64_t)row->position.offset, &bytes, reterr);
    if (code == HF_OK)
        code = hf_logcopy_read(HF_TOPIC_JOB_EVENTS, row->position.partition, row->position.offset, bytes, &source, reterr);
    if (code == HF_OK && hf_decode(http->options.codec, HF_SCHEMA_RECORD, source.value, arena, record, &unreadable) == HF_OK)
        ret->record = record;
    return code;
}

hf_code hf_lookup_events(hf_http *http, hf_read *read, hf_str id, hf_position after,
                         bool (*each)(void *ctx, const hf_event_view *view), void *ctx, hf_err *reterr) {
    uint64_t job_key;
    hf_event_row row;
    hf_cursor *cursor = NULL;
    hf_arena arena;
    hf_arena_init(&arena, ROW_ARENA_BYTES);
    uint64_t from = after.offset < 0 ? 0 : hf_position_key(after) + 1;
    hf_code code = key_of(http, read, id, &job_key, reterr);
    bool known = code == HF_OK;
    if (known)
        code = find_event(http, read, job_key, from, &cursor, &row, reterr);
    while (code == HF_OK) {
        hf_record record;
        hf_event_view view;
        hf_arena_reset(&arena);
        code = view_of(http, read, &row, &arena, &record, &view, reterr);
        if (code != HF_OK || !each(ctx, &view) || !next_event(cursor, job_key, &row, &code, reterr))
            break;
    }
    hf_cursor_close(cursor);
    hf_arena_done(&arena);
    return code == HF_E_NOT_FOUND && known ? HF_OK : code;
}
