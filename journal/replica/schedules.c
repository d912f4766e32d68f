#include "journal/replica/schedules.h"

#include "journal/replica/runs.h"

static const hf_schedule_runs NONE = {.outcome = HF_S_NONE};

hf_code hf_query_schedule_runs(hf_read *read, const hf_tables *tables, hf_str id, hf_schedule_runs *ret,
                               hf_err *reterr) {
    hf_str row;
    uint64_t last, end;
    hf_code rc = id.len ? hf_read_get(read, tables->of[HF_TB_SCHEDULE_RUNS], id, &row, reterr) : HF_E_NOT_FOUND;
    if (rc == HF_E_NOT_FOUND) {
        *ret = NONE;
        return HF_OK;
    }
    if (rc == HF_OK && !hf_runs_row_read(row, ret, &last, &end))
        return hf_fail(reterr, HF_E_STORE_DAMAGED,
                       "a row of `schedule_runs` cannot be read; run `hyperjournal rebuild`");
    return rc;
}

/* Bytes that are no schedule were put on the topic by somebody; the journal keeps them, and says what they are. */
static hf_code view_of(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str key, hf_str value,
                       hf_arena *arena, hf_schedule_view *ret, hf_err *reterr) {
    hf_code rc = hf_decode(codec, HF_SCHEMA_SCHEDULE, value, arena, &ret->schedule, reterr);
    if (rc == HF_E_NO_MEMORY || rc == HF_E_UNREACHABLE)
        return rc;
    ret->unreadable = rc != HF_OK || !hf_id_valid(key);
    if (rc != HF_OK)
        hf_type_init(&HF_TYPE_SCHEDULE, &ret->schedule);
    ret->schedule.schedule_id = key;
    return hf_query_schedule_runs(read, tables, key, &ret->runs, reterr);
}

hf_code hf_query_schedule(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str id, hf_arena *arena,
                          hf_schedule_view *ret, hf_err *reterr) {
    hf_str value;
    hf_code rc = id.len && id.len <= HF_KEY_MAX_BYTES
                     ? hf_read_get(read, tables->of[HF_TB_SCHEDULES], id, &value, reterr)
                     : HF_E_NOT_FOUND;
    if (rc == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_NOT_FOUND, "schedule not found: %.*s", HF_STR_ARG(id));
    return rc == HF_OK ? view_of(read, tables, codec, id, value, arena, ret, reterr) : rc;
}

hf_code hf_query_schedules(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str after, size_t limit,
                           hf_arena *arena, hf_query_each_schedule each, void *ctx, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = after, value;
    hf_schedule_view view;
    hf_move move = after.len ? HF_SEEK : HF_FIRST;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_SCHEDULES], &cursor, reterr);
    for (size_t n = 0; rc == HF_OK && n < limit; move = HF_NEXT) {
        rc = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (rc != HF_OK || (move == HF_SEEK && hf_str_eq(key, after)))
            continue;
        hf_arena_reset(arena);
        rc = view_of(read, tables, codec, key, value, arena, &view, reterr);
        n++;
        if (rc == HF_OK && !each(ctx, &view))
            break;
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

bool hf_schedule_next_run(const hf_schedule *schedule, const hf_schedule_runs *runs, hf_zones *zones, int64_t now_ms,
                          int64_t *ret_ms) {
    hf_zones *own = zones ? NULL : hf_zones_new();
    hf_due due;
    int64_t at = 0;
    bool on = schedule->enabled && (schedule->max_runs == 0 || runs->count < schedule->max_runs);
    bool is = on && (zones || own) && hf_due_of(schedule, zones ? zones : own, &due, NULL) == HF_OK;
    if (is) {
        is = hf_due_next(&due, now_ms - due.delay_ms, &at);
        if (is && at == runs->nominal) /* done already, by a clock that was ahead */
            is = hf_due_next(&due, at, &at);
    }
    if (is)
        *ret_ms = at + due.delay_ms;
    hf_zones_free(own);
    return is;
}
