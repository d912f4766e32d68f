/* Lists of jobs, a page at a time: filtered, in a stated order, continued by a cursor that says where the page before ended (a place in
 * the order, not a count), so that jobs which come, change or go meanwhile neither repeat others nor hide them.
 * In the order of creation, which never changes, every job that stays is met exactly once; in that of the last
 * update a job that changes moves, and may be met again or be passed.
 * A page looks at no more than HF_PAGE_SCAN_MAX jobs: with a filter that few match it may be short, or empty, and yet have a
 * cursor; ask on until there is none. */
#pragma once
#include "journal/replica/query.h"

enum { HF_PAGE_SCAN_MAX = 20000, HF_PAGE_CURSOR_BYTES = 48 };

typedef enum hf_page_sort {
    HF_SORT_CREATED_DOWN,
    HF_SORT_CREATED_UP,
    HF_SORT_UPDATED_DOWN,
    HF_SORT_UPDATED_UP
} hf_page_sort;
/* "-created", "created", "-updated", "updated" */
bool hf_page_sort_parse(hf_str text, hf_page_sort *ret);

/* Empty members let everything through. Strings are borrowed. */
typedef struct hf_job_filter {
    uint32_t states;                           /* bits 1u << hf_state; 0: all */
    hf_str operation, provider, endpoint;      /* the same ("export" and "local" stand for jobs that named none) */
    hf_str vm_path;                            /* its beginning */
    hf_str tag, requested_by, origin, worker;  /* worker: the id, without incarnation */
    int64_t created_from_ms, created_until_ms; /* [from, until); 0: open */
} hf_job_filter;
bool hf_job_filter_takes(const hf_job_filter *filter, const hf_job *job);

typedef struct hf_page {
    hf_page_sort sort;
    hf_str cursor; /* "" from the start */
    size_t limit;
    /* out: */
    size_t found, scanned;
    char next[HF_PAGE_CURSOR_BYTES]; /* "" the list is over */
} hf_page;

/* Calls each(ctx, job) for at most page->limit jobs; `job` is valid during the call. The callback's false ends the page behind that job.
 * INVALID for a cursor that is none, or of another order. `read` from hf_read_begin. */
hf_code hf_query_page(hf_read *read, const hf_tables *tables, const hf_job_filter *filter, hf_page *page,
                      hf_arena *arena, hf_query_each_job each, void *ctx, hf_err *reterr);
