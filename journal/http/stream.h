/* Server-sent events (WHATWG HTML, section "Server-sent events") of one job: what happened so far, then what happens; or of the fleet.
 *
 *   event: transition   id: <partition>-<offset>   every proposal with its verdict
 *   event: progress     the last ProgressEvent, when it is newer than the one sent before
 *   event: end          the job is over; the stream ends
 *
 * Each subscriber is a suspended connection; the loop's thread wakes it when its job changed, and about every 15 s
 * for a comment line, which is how a peer that went away is noticed. Last-Event-ID resumes without a gap.
 * A subscriber holds no read transaction between events and at most HF_STREAM_BUFFER bytes: a slow reader
 * delays only itself. Bound: HF_STREAMS_MAX subscribers, then 503. */
#pragma once
#include "journal/http/request.h"

enum { HF_STREAMS_MAX = 6000, HF_STREAM_BUFFER = 256 * 1024, HF_STREAM_BEAT_MS = 15000, HF_STREAM_GATHER_MS = 100 };
typedef struct hf_streams hf_streams;

hf_code hf_streams_new(hf_http *http, hf_streams **ret, hf_err *reterr);
void hf_streams_stop(hf_streams *s); /* wakes and ends all; before the daemon stops */
void hf_streams_free(hf_streams *s);
/* Answers `r` with the stream of that job, from behind the position in `last_event_id` (NULL: from the start). */
void hf_streams_open(hf_streams *s, hf_request *r, hf_str job_id, const char *last_event_id);
/* Answers `r` with the stream of the whole fleet: every proposal of every job, and progress. An event's id says for each partition up to where
 * was sent ("0-17,1-4"): as Last-Event-ID it goes on without a gap or a repeat. Without one the stream begins with what comes next.
 * Its first event is `begin`, whose id is where it begins. */
void hf_streams_open_fleet(hf_streams *s, hf_request *r, const char *last_event_id);
/* The loop's thread: the record at `position` of job-events was folded and concerns that job; or (offset -1) its progress came.
 * Whoever listens is woken by the first hf_streams_wake that finds it committed. */
void hf_streams_changed(hf_streams *s, hf_str job_id, hf_position position, int64_t mono_ms);
/* The loop's thread. Returns ms until it wants to be called again (-1: nobody listens). */
int hf_streams_wake(hf_streams *s, int64_t mono_ms);
