#include "journal/replica/asof.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

hf_code hf_asof_parse(hf_str text, hf_asof *ret, hf_err *reterr) {
    char z[64], *end = NULL;
    int64_t ms = 0;
    if (hf_time_parse(text, &ms)) {
        *ret = (hf_asof){.by = HF_ASOF_TIME, .time_ms = ms};
        return HF_OK;
    }
    snprintf(z, sizeof z, "%.*s", (int)(text.len < sizeof z ? text.len : 0), text.p ? text.p : "");
    long long first = strtoll(z, &end, 10);
    if (end != z && *end == 0 && first >= 0) {
        *ret = (hf_asof){.by = HF_ASOF_OFFSET, .partition = -1, .offset = first};
        return HF_OK;
    }
    if (end != z && *end == '/' && first >= 0 && first <= INT16_MAX) {
        char *rest = end + 1;
        long long offset = strtoll(rest, &end, 10);
        if (end != rest && *end == 0 && offset >= 0) {
            *ret = (hf_asof){.by = HF_ASOF_OFFSET, .partition = (int32_t)first, .offset = offset};
            return HF_OK;
        }
    }
    return hf_fail(reterr, HF_E_USAGE,
                   "`%.*s` is no time (2026-01-17T10:30:00Z), offset (17) or partition/offset (3/17)",
                   HF_STR_ARG(text));
}

typedef struct {
    const hf_asof *at;
    hf_job *job;
    bool no_memory;
} folding;

static bool counts(const hf_asof *at, const hf_query_event *e) {
    if (at->by == HF_ASOF_TIME)
        return e->source->timestamp_ms <= at->time_ms;
    return (at->partition >= 0 && at->partition != e->row.position.partition) || e->row.position.offset <= at->offset;
}

static bool fold_one(void *ctx, const hf_query_event *e) {
    folding *f = ctx;
    hf_job after;
    if (!counts(f->at, e))
        return false;
    if (e->row.verdict != HF_V_ACCEPTED || !e->record ||
        hf_fold(f->job, e->record, e->row.position, &after, NULL) != HF_V_ACCEPTED)
        return true;
    hf_job *copy = hf_type_clone(&HF_TYPE_JOB, &after);
    f->no_memory = !copy;
    free(f->job);
    f->job = copy;
    return copy != NULL;
}

hf_code hf_asof_job(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, uint64_t job_key,
                    const hf_asof *at, hf_job **ret, hf_err *reterr) {
    folding f = {.at = at};
    hf_arena arena;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    hf_code rc = hf_query_events(store, read, tables, codec, job_key, (hf_position){0, 0}, SIZE_MAX, &arena, fold_one,
                                 &f, reterr);
    hf_arena_done(&arena);
    if (rc == HF_OK && f.no_memory)
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "folding a job anew");
    if (rc == HF_OK && !f.job)
        rc = hf_fail(reterr, HF_E_NOT_FOUND, "the job was not created then");
    if (rc != HF_OK) {
        free(f.job);
        return rc;
    }
    *ret = f.job;
    return HF_OK;
}

typedef struct {
    folding of[2];
    bool over[2];
} both;

/* Each point takes events until the first that does not count for it. */
static bool fold_both(void *ctx, const hf_query_event *e) {
    both *b = ctx;
    for (int i = 0; i < 2; i++)
        if (!b->over[i] && !fold_one(&b->of[i], e))
            b->over[i] = true;
    return !b->over[0] || !b->over[1];
}

hf_code hf_asof_between(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, uint64_t job_key,
                        const hf_asof *from, const hf_asof *to, hf_job **ret_from, hf_job **ret_to, hf_err *reterr) {
    both b = {.of = {{.at = from}, {.at = to}}};
    hf_arena arena;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    hf_code rc = hf_query_events(store, read, tables, codec, job_key, (hf_position){0, 0}, SIZE_MAX, &arena, fold_both,
                                 &b, reterr);
    hf_arena_done(&arena);
    if (rc == HF_OK && (b.of[0].no_memory || b.of[1].no_memory))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "folding a job anew");
    if (rc != HF_OK) {
        free(b.of[0].job);
        free(b.of[1].job);
        return rc;
    }
    *ret_from = b.of[0].job;
    *ret_to = b.of[1].job;
    return HF_OK;
}
