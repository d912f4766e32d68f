/* Reading a journal's store: what the sidecar and `hyperjournal print` ask. Every function reads inside a snapshot that
 * the caller began with hf_read_begin_all (and ends soon); what is returned borrows from it or lives in the caller's arena.
 * Threads: any, each with its own snapshot and arena. */
#pragma once
#include "journal/replica/layout.h"
#include "schemas/event/codec.h"

/* NOT_FOUND when no job of that id was ever created. Deleted ones are found: look at ret->deleted. */
hf_code hf_query_job(hf_read *read, const hf_tables *tables, hf_str id, hf_arena *arena, hf_job *ret, hf_err *reterr);
hf_code hf_query_job_at(hf_read *read, const hf_tables *tables, uint64_t job_key, hf_arena *arena, hf_job *ret,
                        hf_err *reterr);
hf_code hf_query_job_key(hf_read *read, const hf_tables *tables, hf_str id, uint64_t *ret, hf_err *reterr);

/* Jobs not deleted that are in one of `states` (bits 1u << hf_state; 0: all), last updated first. Stops after `limit` or when
 * the callback returns false. `job` is valid during the call; the arena is reset between jobs. */
typedef bool (*hf_query_each_job)(void *ctx, const hf_job *job);
hf_code hf_query_jobs(hf_read *read, const hf_tables *tables, uint32_t states, size_t limit, hf_arena *arena,
                      hf_query_each_job each, void *ctx, hf_err *reterr);
/* Jobs of that vm_path, oldest first. */
hf_code hf_query_jobs_of_path(hf_read *read, const hf_tables *tables, hf_str vm_path, size_t limit, hf_arena *arena,
                              hf_query_each_job each, void *ctx, hf_err *reterr);

/* One proposal about a job, in log order; record NULL when its bytes cannot be read. */
typedef struct hf_query_event {
    hf_event_row row;
    const hf_log_record *source;
    const hf_record *record;
} hf_query_event;
typedef bool (*hf_query_each_event)(void *ctx, const hf_query_event *event);
/* From position `from` on (0: all). */
hf_code hf_query_events(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, uint64_t job_key,
                        hf_position from, size_t limit, hf_arena *arena, hf_query_each_event each, void *ctx,
                        hf_err *reterr);

/* Lines of a job's log in the order of its partition, from behind `after` (offset -1: all); progress->level is never "". Lines whose
 * record the copy no longer has are left out. `read` from hf_read_begin_all. */
typedef bool (*hf_query_each_line)(void *ctx, hf_position position, const hf_progress *line);
hf_code hf_query_lines(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str job_id,
                       hf_position after, size_t limit, hf_arena *arena, hf_query_each_line each, void *ctx,
                       hf_err *reterr);

/* One record of the log copy. NOT_FOUND when there is none. */
hf_code hf_query_log(hf_store *store, hf_read *read, hf_topic topic, int32_t partition, int64_t offset,
                     hf_log_record *ret, hf_err *reterr);
/* Records of a partition from `from` on; stops when the callback returns false. Opens the partition's table itself: `read` from
 * hf_read_begin_all. */
typedef bool (*hf_query_each_record)(void *ctx, const hf_log_record *record);
hf_code hf_query_log_each(hf_store *store, hf_read *read, hf_topic topic, int32_t partition, int64_t from,
                          hf_query_each_record each, void *ctx, hf_err *reterr);
/* Next offset of each partition the store has, by the row's name ("job-events/0"). */
typedef bool (*hf_query_each_offset)(void *ctx, hf_topic topic, int32_t partition, int64_t next);
hf_code hf_query_offsets(hf_read *read, const hf_tables *tables, hf_query_each_offset each, void *ctx, hf_err *reterr);
