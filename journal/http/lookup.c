#include "journal/http/lookup.h"

#include "journal/http/inside.h"
#include "journal/replica/query.h"

enum { ROW_ARENA_BYTES = 8 << 20 };

static hf_code not_found(hf_str id, hf_err *reterr) {
    return hf_fail(reterr, HF_E_NOT_FOUND, "job not found: %.*s", HF_STR_ARG(id));
}

hf_code hf_lookup_job(hf_http *http, hf_read *read, hf_str id, hf_arena *arena, hf_job *ret, hf_err *reterr) {
    if (id.len == 0 || id.len > HF_ID_MAX_BYTES)
        return not_found(id, reterr);
    hf_code code = hf_query_job(read, &http->tables, id, arena, ret, reterr);
    return code == HF_E_NOT_FOUND || (code == HF_OK && ret->deleted) ? not_found(id, reterr) : code;
}

hf_code hf_lookup_states(hf_http *http, hf_read *read, uint32_t states, bool (*each)(void *ctx, const hf_job *job),
                         void *ctx, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, ROW_ARENA_BYTES);
    hf_code code = hf_query_jobs(read, &http->tables, states, SIZE_MAX, &arena, each, ctx, reterr);
    hf_arena_done(&arena);
    return code;
}

hf_code hf_lookup_progress(hf_http *http, hf_read *read, const hf_job *job, hf_arena *arena, hf_progress *ret,
                           hf_err *reterr) {
    hf_str row;
    hf_code code = hf_read_get(read, http->tables.of[HF_TB_PROGRESS], job->id, &row, reterr);
    return code == HF_OK ? hf_decode_body(HF_SCHEMA_PROGRESS, row, arena, ret, reterr) : code;
}

/* ---- proposals about a job ------------------------------------------------------------------------------------ */
hf_code hf_lookup_events(hf_http *http, hf_read *read, hf_str id, hf_position after, size_t limit,
                         hf_query_each_event each, void *ctx, hf_err *reterr) {
    uint64_t job_key;
    hf_arena arena;
    hf_position from = after.offset < 0 ? (hf_position){0} : (hf_position){after.partition, after.offset + 1};
    hf_arena_init(&arena, ROW_ARENA_BYTES);
    hf_code code = hf_query_job_key(read, &http->tables, id, &job_key, reterr);
    if (code == HF_E_NOT_FOUND)
        not_found(id, reterr);
    if (code == HF_OK)
        code = hf_query_events(hf_http_store(http), read, &http->tables, http->options.codec, job_key, from, limit,
                               &arena, each, ctx, reterr);
    hf_arena_done(&arena);
    return code;
}

typedef struct sought {
    hf_position position;
    hf_verdict verdict;
    bool found;
} sought;

static bool take_verdict(void *ctx, const hf_query_event *event) {
    sought *s = ctx;
    s->found = hf_position_key(event->row.position) == hf_position_key(s->position);
    s->verdict = event->row.verdict;
    return false;
}

hf_code hf_lookup_verdict(hf_http *http, hf_read *read, hf_str id, hf_position position, hf_verdict *ret,
                          hf_err *reterr) {
    sought s = {.position = position};
    hf_position before = {position.partition, position.offset - 1};
    hf_code code = hf_lookup_events(http, read, id, before, 1, take_verdict, &s, reterr);
    if (code == HF_OK && !s.found)
        return hf_fail(reterr, HF_E_INTERNAL, "the journal holds no verdict on offset %lld",
                       (long long)position.offset);
    if (code == HF_OK)
        *ret = s.verdict;
    return code;
}
