/* Downloads of any size: jobs as CSV (RFC 4180) or JSON Lines, the log of job-events as an Avro object container file. Made a piece at a time
 * as the client reads, each piece in a read transaction of its own, so nothing waits in memory and no snapshot is held. */
#include <stdio.h>

#include "journal/http/v1/v1.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { PIECE_JOBS = 200, PIECE_RECORDS = 500, BLOCK_BYTES = 64 * 1024, PIECE_MAX = 4 << 20, SYNC_BYTES = 16 };

typedef struct download {
    hf_http *http;
    hf_job_filter filter;
    char *texts; /* what the filter borrows */
    bool csv, over;
    hf_buf out;
    size_t out_at;
    char cursor[HF_PAGE_CURSOR_BYTES];
    /* of the log */
    int32_t partition, partition_end;
    int64_t offset;
    uint8_t sync[SYNC_BYTES];
    void (*fill)(struct download *d);
} download;

static void download_free(void *cls) {
    download *d = cls;
    hf_buf_done(&d->out);
    free(d->texts);
    free(d);
}

static ssize_t on_read(void *cls, uint64_t pos, char *to, size_t max) {
    download *d = cls;
    (void)pos;
    while (d->out_at == d->out.len) {
        if (d->over)
            return MHD_CONTENT_READER_END_OF_STREAM;
        hf_buf_clear(&d->out);
        d->out_at = 0;
        d->fill(d);
        if (d->out.failed)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = d->out.len - d->out_at;
    n = n < max ? n : max;
    memcpy(to, d->out.data + d->out_at, n);
    d->out_at += n;
    return (ssize_t)n;
}

static download *download_new(hf_request *r, void (*fill)(download *d)) {
    download *d = hf_alloc(sizeof *d);
    if (!d) {
        hf_reply_error(r, 503, "no memory for a download");
        return NULL;
    }
    d->http = r->http;
    d->fill = fill;
    hf_buf_init(&d->out, PIECE_MAX);
    return d;
}

static void serve(hf_request *r, download *d, const char *type) {
    r->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64 * 1024, on_read, d, download_free);
    if (!r->stream) {
        download_free(d);
        hf_reply_error(r, 503, "no memory for a download");
        return;
    }
    r->status = 200;
    r->content_type = type;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------ */
static const char *const columns[] = {"job_id",        "name",         "operation",   "provider",      "vm_path",
                                      "state",         "status",       "attempt",     "worker",        "created_at",
                                      "started_at",    "finished_at",  "duration_ms", "bytes_written", "error_code",
                                      "error_message", "requested_by", "ticket"};

/* Quoted where it must be; a leading = + - @ gets a quote of its own before it, or a spreadsheet would calculate it. */
static void csv_text(hf_buf *out, hf_str s) {
    bool formula = s.len && strchr("=+-@\t\r", s.p[0]) != NULL;
    hf_buf_puts(out, "\"");
    if (formula)
        hf_buf_puts(out, "'");
    for (uint32_t i = 0; i < s.len; i++) {
        if (s.p[i] == '"')
            hf_buf_puts(out, "\"");
        hf_buf_put(out, &s.p[i], 1);
    }
    hf_buf_puts(out, "\"");
}

static void csv_time(hf_buf *out, int64_t ms) {
    char text[HF_RFC3339_BYTES];
    hf_buf_puts(out, ms ? hf_time_format(ms, text) : "");
}

static void csv_job(hf_buf *out, const hf_job *j) {
    const hf_spec *s = j->spec;
    const hf_str head[] = {j->id, s->name, s->operation.len ? s->operation : HF_STR("export"),
                           s->provider.len ? s->provider : HF_STR("local"), s->vm_path};
    for (size_t i = 0; i < HF_ARRAY_LEN(head); i++) {
        csv_text(out, head[i]);
        hf_buf_puts(out, ",");
    }
    hf_buf_printf(out, "%s,%s,%d,", hf_state_name((hf_state)j->state), hf_state_status((hf_state)j->state),
                  (int)j->attempt);
    csv_text(out, j->worker);
    const int64_t times[] = {j->created_at, j->started_at, j->finished_at};
    for (size_t i = 0; i < HF_ARRAY_LEN(times); i++) {
        hf_buf_puts(out, ",");
        csv_time(out, times[i]);
    }
    hf_buf_printf(out, ",%lld,%lld,", j->result ? (long long)j->result->duration_ms : 0,
                  j->result ? (long long)j->result->bytes_written : 0);
    const hf_str tail[] = {j->error ? j->error->code : HF_STR_NONE, j->error ? j->error->message : HF_STR_NONE,
                           s->audit.requested_by, s->audit.ticket};
    for (size_t i = 0; i < HF_ARRAY_LEN(tail); i++) {
        csv_text(out, tail[i]);
        hf_buf_puts(out, i + 1 < HF_ARRAY_LEN(tail) ? "," : "\r\n");
    }
}

static int append(const char *bytes, size_t len, void *ctx) { return hf_buf_put(ctx, bytes, len) ? 0 : -1; }

static bool put_job(void *ctx, const hf_job *job) {
    download *d = ctx;
    if (d->csv)
        csv_job(&d->out, job);
    else {
        json_t *o = hf_v1_job(job);
        if (!o || json_dump_callback(o, append, &d->out, JSON_COMPACT) != 0 || !hf_buf_puts(&d->out, "\n"))
            d->out.failed = true;
        json_decref(o);
    }
    return d->out.len < PIECE_MAX / 4;
}

static void fill_jobs(download *d) {
    hf_read *read = NULL;
    hf_arena arena;
    hf_err err;
    char cursor[HF_PAGE_CURSOR_BYTES];
    memcpy(cursor, d->cursor, sizeof cursor);
    hf_page page = {.sort = HF_SORT_CREATED_UP, .cursor = hf_str_of(cursor), .limit = PIECE_JOBS};
    hf_arena_init(&arena, HF_V1_ARENA_BYTES);
    hf_code code = hf_read_begin(hf_http_store(d->http), &read, &err);
    if (code == HF_OK)
        code = hf_query_page(read, &d->http->tables, &d->filter, &page, &arena, put_job, d, &err);
    hf_read_end(read);
    hf_arena_done(&arena);
    d->out.failed |= code != HF_OK;
    memcpy(d->cursor, page.next, sizeof d->cursor);
    d->over = code != HF_OK || !*page.next;
}

/* The filter's texts outlive the request's. */
static bool keep_filter(download *d, const hf_request *r) {
    hf_job_filter *f = &d->filter;
    hf_v1_filter_of_query(r, f);
    hf_str *texts[] = {&f->operation, &f->provider, &f->endpoint, &f->vm_path, &f->tag, &f->requested_by, &f->worker};
    size_t total = 1, at = 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        total += texts[i]->len;
    if (!(d->texts = hf_alloc(total)))
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        if (texts[i]->len) {
            memcpy(d->texts + at, texts[i]->p, texts[i]->len);
            texts[i]->p = d->texts + at;
            at += texts[i]->len;
        }
    return true;
}

void hf_handle_v1_download_jobs(hf_request *r) {
    const char *format = hf_request_text(r, HF_P_FORMAT);
    if (format && strcmp(format, "csv") != 0 && strcmp(format, "jsonl") != 0) {
        hf_reply_error(r, 400, "format is csv or jsonl");
        return;
    }
    download *d = download_new(r, fill_jobs);
    if (!d)
        return;
    d->csv = format && strcmp(format, "csv") == 0;
    if (!keep_filter(d, r)) {
        download_free(d);
        hf_reply_error(r, 503, "no memory for a download");
        return;
    }
    for (size_t i = 0; d->csv && i < HF_ARRAY_LEN(columns); i++)
        hf_buf_printf(&d->out, "%s%s", columns[i], i + 1 < HF_ARRAY_LEN(columns) ? "," : "\r\n");
    serve(r, d, d->csv ? "text/csv; charset=utf-8; header=present" : "application/jsonl");
}

/* ---- the log (Avro 1.11.1 specification, "Object Container Files") --------------------------------------------------- */
static void put_long(hf_buf *out, int64_t value) { /* zig-zag, 7 bits a byte */
    uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    uint8_t bytes[10];
    size_t len = 0;
    do {
        bytes[len++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n);
    hf_buf_put(out, bytes, len);
}

static void put_bytes(hf_buf *out, const char *bytes, size_t len) {
    put_long(out, (int64_t)len);
    hf_buf_put(out, bytes, len);
}

static void put_file_header(download *d) {
    const char *schema = hf_schema_text(HF_SCHEMA_RECORD);
    hf_buf_put(&d->out, "Obj\1", 4);
    put_long(&d->out, 2);
    put_bytes(&d->out, "avro.schema", 11);
    put_bytes(&d->out, schema, strlen(schema));
    put_bytes(&d->out, "avro.codec", 10);
    put_bytes(&d->out, "null", 4);
    put_long(&d->out, 0);
    hf_buf_put(&d->out, d->sync, SYNC_BYTES);
}

typedef struct block {
    download *d;
    hf_arena arena;
    hf_buf body;
    int64_t count;
} block;

/* Whatever framing and writer's schema a record came with, here it is in the current one. What cannot be read is left out. */
static bool put_record(void *ctx, const hf_log_record *source) {
    block *b = ctx;
    hf_record record;
    size_t before = b->body.len;
    b->d->offset = source->offset + 1;
    hf_arena_reset(&b->arena);
    if (!source->value.p ||
        hf_decode(b->d->http->options.codec, HF_SCHEMA_RECORD, source->value, &b->arena, &record, NULL) != HF_OK)
        return true;
    if (hf_encode_body(HF_SCHEMA_RECORD, &record, &b->body, NULL) != HF_OK) {
        b->body.len = before;
        return true;
    }
    return ++b->count < PIECE_RECORDS && b->body.len < BLOCK_BYTES;
}

static void fill_log(download *d) {
    hf_read *read = NULL;
    hf_err err;
    block b = {.d = d};
    int64_t was = d->offset;
    hf_arena_init(&b.arena, HF_V1_ARENA_BYTES);
    hf_buf_init(&b.body, PIECE_MAX / 2);
    hf_code code = hf_read_begin_all(hf_http_store(d->http), &read, &err);
    if (code == HF_OK)
        code = hf_query_log_each(hf_http_store(d->http), read, HF_TOPIC_JOB_EVENTS, d->partition, d->offset, put_record,
                                 &b, &err);
    hf_read_end(read);
    if (b.count) {
        put_long(&d->out, b.count);
        put_bytes(&d->out, (const char *)b.body.data, b.body.len);
        hf_buf_put(&d->out, d->sync, SYNC_BYTES);
    }
    if (code != HF_OK && code != HF_E_NOT_FOUND)
        d->out.failed = true;
    if (d->offset == was) { /* the partition is over */
        d->partition++;
        d->offset = 0;
        d->over = d->partition >= d->partition_end;
    }
    hf_buf_done(&b.body);
    hf_arena_done(&b.arena);
}

static bool note_partition(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    download *d = ctx;
    (void)next;
    if (topic == HF_TOPIC_JOB_EVENTS && partition >= d->partition_end)
        d->partition_end = partition + 1;
    return true;
}

void hf_handle_v1_download_log(hf_request *r) {
    hf_look l;
    download *d = download_new(r, fill_log);
    if (!d)
        return;
    bool ok = hf_look_begin(r, &l);
    if (ok && hf_query_offsets(l.read, &r->http->tables, note_partition, d, &l.err) != HF_OK) {
        hf_reply_err(r, &l.err);
        ok = false;
    }
    hf_look_end(&l);
    if (!ok) {
        download_free(d);
        return;
    }
    for (int i = 0; i < SYNC_BYTES; i += 8) {
        uint64_t random = hf_random_u64(hf_random_system());
        memcpy(d->sync + i, &random, 8);
    }
    d->over = d->partition_end == 0;
    put_file_header(d);
    serve(r, d, "application/vnd.apache.avro+binary");
}
