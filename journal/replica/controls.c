#include "journal/replica/controls.h"

hf_code hf_query_worker(hf_read *read, const hf_tables *tables, hf_str id, hf_arena *arena, hf_heartbeat *ret,
                        hf_err *reterr) {
    hf_str row;
    hf_code code = id.len && id.len <= HF_ID_MAX_BYTES ? hf_read_get(read, tables->of[HF_TB_WORKERS], id, &row, reterr)
                                                       : HF_E_NOT_FOUND;
    if (code == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_NOT_FOUND, "worker not found: %.*s", HF_STR_ARG(id));
    return code == HF_OK ? hf_decode_body(HF_SCHEMA_HEARTBEAT, row, arena, ret, reterr) : code;
}

/* A stop is over when the process it was for is. */
static hf_code stop_in_force(hf_read *read, const hf_tables *tables, const hf_control *control, hf_arena *arena,
                             bool *ret, hf_err *reterr) {
    int32_t scope;
    hf_str id;
    hf_heartbeat beat;
    *ret = false;
    if (!hf_control_target(control->key, control, &scope, &id))
        return HF_OK;
    hf_code code = hf_query_worker(read, tables, id, arena, &beat, reterr);
    if (code == HF_OK)
        *ret =
            beat.state != HF_W_STOPPED && (control->incarnation.len ? hf_str_eq(beat.incarnation, control->incarnation)
                                                                    : beat.started_at <= control->at);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

static hf_code read_row(hf_read *read, const hf_tables *tables, hf_str row, hf_arena *arena, hf_control *ret,
                        bool *ret_in_force, hf_err *reterr) {
    hf_code code = hf_decode_body(HF_SCHEMA_CONTROL, row, arena, ret, reterr);
    if (code != HF_OK)
        return code;
    *ret_in_force = ret->action != HF_CONTROL_RESUME;
    return ret->action == HF_CONTROL_STOP ? stop_in_force(read, tables, ret, arena, ret_in_force, reterr) : HF_OK;
}

hf_code hf_query_control(hf_read *read, const hf_tables *tables, int32_t scope, hf_str name, hf_arena *arena,
                         hf_control *ret, hf_err *reterr) {
    char key[HF_CONTROL_KEY_BYTES];
    hf_str row;
    bool in_force = false;
    if (!hf_control_key(scope, name, key))
        return hf_fail(reterr, HF_E_NOT_FOUND, "there is no such target of a control");
    hf_code code = hf_read_get(read, tables->of[HF_TB_CONTROLS], hf_str_of(key), &row, reterr);
    if (code == HF_OK)
        code = read_row(read, tables, row, arena, ret, &in_force, reterr);
    if (code == HF_E_NOT_FOUND || (code == HF_OK && !in_force))
        return hf_fail(reterr, HF_E_NOT_FOUND, "nothing is in force for %s", key);
    return code;
}

hf_code hf_query_controls(hf_read *read, const hf_tables *tables, hf_arena *arena, hf_query_each_control each,
                          void *ctx, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key, row;
    hf_code code = hf_cursor_open(read, tables->of[HF_TB_CONTROLS], &cursor, reterr);
    for (hf_move move = HF_FIRST; code == HF_OK; move = HF_NEXT) {
        hf_control control;
        bool in_force = false;
        code = hf_cursor_move(cursor, move, &key, &row, reterr);
        if (code == HF_OK)
            code = read_row(read, tables, row, arena, &control, &in_force, reterr);
        if (code == HF_OK && in_force && !each(ctx, &control))
            break;
    }
    hf_cursor_close(cursor);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}
