/* The sidecar: a small HTTP/1.1 server (libmicrohttpd) beside the journal, answering from its LMDB.
 *
 * Reads are answered on the server's own threads, each in one short read transaction. Writes
 * (submit, cancel) are proposals: the request is suspended, the loop's thread produces the
 * records, and the answer goes out when the journal has folded and committed them, so that the next GET sees them
 * (bounded by http.write_wait; then 504 says that the write may still take effect).
 * Nothing blocks in a callback. Bounds: connections, header and body sizes, writes waiting (HF_HTTP_WRITES_MAX),
 * all answered with 4xx/503 past them.
 * Threads: hf_http_step and the report function belong to the thread that owns follow and log. */
#pragma once
#include "journal/log/klog.h"
#include "journal/replica/follow.h"

enum { HF_HTTP_WRITES_MAX = 4096, HF_HTTP_JOBS_PER_SUBMIT = 10000 };

typedef struct hf_http hf_http;
typedef struct hf_http_options {
    const hf_config *config;
    hf_follow *follow;
    hf_klog *log;
    hf_codec *codec;
    const char *me; /* identity for `by` */
} hf_http_options;

hf_code hf_http_start(const hf_http_options *options, hf_http **ret, hf_err *reterr);
void hf_http_stop(hf_http *http);                 /* NULL is fine; open requests get 503 */
const char *hf_http_address(const hf_http *http); /* "127.0.0.1:8080", the real port */
int hf_http_fd(hf_http *http);                    /* readable when hf_http_step has something to do */
/* Produces what requests asked for and answers those whose writes are committed or late. Never blocks. Returns the
 * milliseconds until it wants to be called again (-1: when the fd says so). */
int hf_http_step(hf_http *http);
/* Reports of records the sidecar produced have this bit set in their tag; hand them over. */
#define HF_HTTP_TAG_BIT (1ull << 61)
void hf_http_report(hf_http *http, uint64_t tag, const hf_report *report);
/* The replica's hooks, handed on: what live streams wait for. */
void hf_http_changed(hf_http *http, const hf_change *change);
void hf_http_record(hf_http *http, const hf_log_record *record);
