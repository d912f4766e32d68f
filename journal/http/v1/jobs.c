/* GET /api/v1/jobs, one job, its events and its log. */
#include "journal/http/reply.h"
#include "journal/http/shapes.h"
#include "journal/http/stream.h"
#include "journal/http/v1/v1.h"
#include "schemas/event/json.h"

/* ---- the list ------------------------------------------------------------------------------------------------- */
static bool add_job(void *ctx, const hf_job *job) {
    hf_buf *out = ctx;
    if (out->data[out->len - 1] != '[')
        hf_buf_puts(out, ",");
    hf_v1_put_job(out, job, NULL);
    return !out->failed;
}

static void put_page(hf_request *r, hf_look *l, const hf_job_filter *filter, hf_page *page) {
    hf_buf *out = &r->reply;
    hf_buf_clear(out);
    hf_buf_puts(out, "{\"items\":[");
    if (hf_query_page(l->read, &r->http->tables, filter, page, &l->arena, add_job, out, &l->err) != HF_OK) {
        hf_reply_err(r, &l->err);
        return;
    }
    hf_buf_printf(out, "],\"scanned\":%zu", page->scanned);
    if (*page->next)
        hf_buf_printf(out, ",\"next_cursor\":\"%s\"", page->next);
    hf_buf_puts(out, "}\n");
    hf_reply_text(r, 200);
}

void hf_handle_v1_jobs(hf_request *r) {
    hf_look l;
    hf_job_filter filter;
    hf_page page = {.limit = (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT),
                    .cursor = hf_str_of(hf_request_text(r, HF_P_CURSOR))};
    const char *sort = hf_request_text(r, HF_P_SORT);
    if (sort && !hf_page_sort_parse(hf_str_of(sort), &page.sort)) {
        hf_reply_error(r, 400, "sort is one of created, -created, updated, -updated");
        return;
    }
    hf_v1_filter_of_query(r, &filter);
    if (hf_look_at_jobs(r, &l) && !hf_reply_kept(r, hf_read_txn(l.read)))
        put_page(r, &l, &filter, &page);
    hf_look_end(&l);
}

/* ---- one job -------------------------------------------------------------------------------------------------------- */
void hf_handle_v1_job(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_progress p;
    if (hf_look_at_jobs(r, &l) && hf_look_job(r, &l, &job)) {
        bool has = hf_lookup_progress(r->http, l.read, &job, &l.arena, &p, &l.err) == HF_OK;
        hf_buf_clear(&r->reply);
        hf_v1_put_job(&r->reply, &job, has ? &p : NULL);
        hf_buf_puts(&r->reply, "\n");
        hf_reply_text(r, 200);
    }
    hf_look_end(&l);
}

/* ---- its events ------------------------------------------------------------------------------------------------------- */
typedef struct listing {
    hf_request *r;
    json_t *items;
    size_t limit;
    bool more;
    hf_position last;
    const char *verdict; /* NULL: all */
} listing;

/* A page of what has a position ends with it: "partition-offset". */
static hf_code after_of(const hf_request *r, hf_position *ret, hf_err *reterr) {
    const char *text = hf_request_text(r, HF_P_CURSOR);
    int partition;
    long long offset;
    char behind;
    *ret = (hf_position){0, -1};
    if (!text)
        return HF_OK;
    if (sscanf(text, "%d-%lld%c", &partition, &offset, &behind) != 2 || partition < 0 || offset < 0)
        return hf_fail(reterr, HF_E_INVALID, "cursor is not one that a page ended with");
    *ret = (hf_position){partition, offset};
    return HF_OK;
}

static void reply_listing(hf_request *r, listing *l) {
    json_t *o = json_pack("{s:s, s:O}", "job_id", r->params[0], "items", l->items);
    if (l->more)
        json_object_set_new(o, "next_cursor", json_sprintf("%d-%lld", l->last.partition, (long long)l->last.offset));
    hf_reply_json(r, 200, o);
}

static bool add_event(void *ctx, const hf_query_event *event) {
    listing *l = ctx;
    bool accepted = event->row.verdict == HF_V_ACCEPTED;
    if (l->verdict && accepted != (strcmp(l->verdict, "accepted") == 0))
        return true;
    if (json_array_size(l->items) == l->limit) {
        l->more = true;
        return false;
    }
    json_array_append_new(l->items, hf_shape_event(event));
    l->last = event->row.position;
    return true;
}

static bool verdict_of(hf_request *r, const char **ret) {
    *ret = hf_request_text(r, HF_P_VERDICT);
    if (!*ret || strcmp(*ret, "accepted") == 0 || strcmp(*ret, "rejected") == 0)
        return true;
    hf_reply_error(r, 400, "verdict is accepted or rejected");
    return false;
}

void hf_handle_v1_job_events(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_position after;
    listing list = {.r = r, .items = json_array(), .limit = (size_t)hf_request_number(r, HF_P_LIMIT, 1000)};
    bool found = verdict_of(r, &list.verdict) && hf_look_begin(r, &l);
    if (found) {
        found = hf_look_job(r, &l, &job);
        if (found && !hf_request_wants_stream(r)) {
            if (after_of(r, &after, &l.err) != HF_OK ||
                hf_lookup_events(r->http, l.read, job.id, after, SIZE_MAX, add_event, &list, &l.err) != HF_OK)
                hf_reply_err(r, &l.err);
            else
                reply_listing(r, &list);
        }
        hf_look_end(&l);
    }
    json_decref(list.items);
    if (found && hf_request_wants_stream(r)) {
        const char *last = hf_request_header(r, "Last-Event-ID");
        hf_streams_open(r->http->streams, r, hf_str_of(r->params[0]), last ? last : hf_request_text(r, HF_P_LAST_ID));
    }
}

/* ---- its log ------------------------------------------------------------------------------------------------------------- */
static bool add_line(void *ctx, hf_position position, const hf_progress *line) {
    listing *l = ctx;
    if (json_array_size(l->items) == l->limit) {
        l->more = true;
        return false;
    }
    json_t *o = hf_json_of(&HF_TYPE_PROGRESS, line, 0);
    json_object_set_new(o, "partition", json_integer(position.partition));
    json_object_set_new(o, "offset", json_integer(position.offset));
    json_array_append_new(l->items, o);
    l->last = position;
    return true;
}

void hf_handle_v1_job_logs(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_position after;
    listing list = {.r = r, .items = json_array(), .limit = (size_t)hf_request_number(r, HF_P_LIMIT, 1000)};
    if (hf_look_begin(r, &l) && hf_look_job(r, &l, &job)) {
        hf_str id = hf_str_of(r->params[0]);
        if (after_of(r, &after, &l.err) != HF_OK ||
            hf_query_lines(hf_http_store(r->http), l.read, &r->http->tables, r->http->options.codec, id, after,
                           SIZE_MAX, &l.arena, add_line, &list, &l.err) != HF_OK)
            hf_reply_err(r, &l.err);
        else
            reply_listing(r, &list);
    }
    json_decref(list.items);
    hf_look_end(&l);
}
