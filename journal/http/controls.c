#include "journal/http/controls.h"

#include "journal/http/inside.h"
#include "journal/replica/controls.h"

enum { ARENA_BYTES = 64 << 10 };

/* Whoever paused it, without the program they did it through. */
static hf_str person(hf_str by) {
    for (uint32_t i = 0; i + 5 <= by.len; i++)
        if (memcmp(by.p + i, " via ", 5) == 0)
            return (hf_str){by.p, i};
    return by;
}

bool hf_intake_open(hf_request *r) {
    hf_read *read = NULL;
    hf_control control;
    hf_arena arena;
    hf_err err;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code code = hf_read_begin(hf_http_store(r->http), &read, &err);
    if (code == HF_OK)
        code = hf_query_control(read, &r->http->tables, HF_SCOPE_INTAKE, HF_STR_NONE, &arena, &control, &err);
    if (code == HF_OK) {
        hf_str by = person(control.by);
        hf_fail(&err, HF_E_PAUSED, "intake was paused by %.*s%s%.*s; try again when it is resumed", HF_STR_ARG(by),
                control.reason.len ? ": " : "", HF_STR_ARG(control.reason));
        r->retry_after_s = HF_PAUSED_RETRY_S;
    }
    if (code != HF_E_NOT_FOUND)
        hf_reply_err(r, &err);
    hf_read_end(read);
    hf_arena_done(&arena);
    return code == HF_E_NOT_FOUND;
}
