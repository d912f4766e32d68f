/* What a stream of one job sends. */
#include <stdio.h>

#include "journal/http/stream_inside.h"
#include "schemas/event/json.h"

static int append(const char *bytes, size_t len, void *ctx) { return hf_buf_put(ctx, bytes, len) ? 0 : -1; }

bool hf_stream_put(hf_subscriber *b, const char *name, const char *id, json_t *data) {
    size_t before = b->out.len;
    bool ok = data && hf_buf_printf(&b->out, "event: %s\n", name);
    if (ok && id)
        ok = hf_buf_printf(&b->out, "id: %s\n", id);
    ok = ok && hf_buf_puts(&b->out, "data: ") && json_dump_callback(data, append, &b->out, JSON_COMPACT) == 0 &&
         hf_buf_puts(&b->out, "\n\n");
    json_decref(data);
    if (!ok) { /* it did not fit: it comes with the next fill */
        b->out.len = before;
        b->out.failed = false;
    }
    return ok;
}

static bool put_row(void *ctx, const hf_query_event *event) {
    hf_subscriber *b = ctx;
    char id[48];
    snprintf(id, sizeof id, "%d-%lld", event->row.position.partition, (long long)event->row.position.offset);
    if (!hf_stream_put(b, "transition", id, hf_shape_event(event)) && b->out.len > 0)
        return false;
    b->last = event->row.position;
    return b->out.len < HF_STREAM_BUFFER / 2;
}

static void put_progress(hf_subscriber *b, hf_read *read, const hf_job *job, hf_arena *arena) {
    hf_progress p;
    hf_err err;
    if (hf_lookup_progress(b->streams->http, read, job, arena, &p, &err) != HF_OK || p.at <= b->progress_at)
        return;
    if (hf_stream_put(b, "progress", NULL, hf_json_of(&HF_TYPE_PROGRESS, &p, 0)))
        b->progress_at = p.at;
}

void hf_stream_fill_job(hf_subscriber *b) {
    hf_http *http = b->streams->http;
    hf_read *read = NULL;
    hf_arena arena;
    hf_job job;
    hf_err err;
    hf_buf_clear(&b->out);
    b->out_at = 0;
    hf_arena_init(&arena, HF_STREAM_ARENA_BYTES);
    hf_str id = hf_str_of(b->job->id);
    if (hf_read_begin_all(hf_http_store(http), &read, &err) == HF_OK &&
        hf_lookup_job(http, read, id, &arena, &job, &err) == HF_OK) {
        put_progress(b, read, &job, &arena);
        hf_lookup_events(http, read, id, b->last, SIZE_MAX, put_row, b, &err);
        if (hf_state_terminal((hf_state)job.state) && b->out.len == 0 && !b->over) {
            hf_stream_put(b, "end", NULL,
                          json_pack("{s:s,s:s}", "job_id", b->job->id, "state", hf_state_name((hf_state)job.state)));
            b->over = true;
        }
    } else if (!b->over) { /* deleted meanwhile, or the journal is stopping */
        hf_stream_put(b, "end", NULL, json_pack("{s:s}", "job_id", b->job->id));
        b->over = true;
    }
    hf_read_end(read);
    hf_arena_done(&arena);
    if (b->out.len == 0 && b->beat_due)
        hf_buf_puts(&b->out, ": still here\n\n");
    b->beat_due = false;
}
