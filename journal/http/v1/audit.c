/* The audit: any job, and all jobs, as of a time or an offset; what changed between two; the heads of the chain of hashes; proofs of single records. Deleted jobs are
 * in it: the log forgets nothing. */
#include "journal/http/merkle.h"
#include "journal/http/v1/v1.h"
#include "journal/replica/chain.h"
#include "journal/replica/logcopy.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { SCAN_MAX = 5000 };

/* The point that a parameter names; false: answered. Without one: now. */
bool hf_v1_point(hf_request *r, hf_param param, hf_asof *ret) {
    const char *text = hf_request_text(r, param);
    hf_err err;
    *ret = (hf_asof){.by = HF_ASOF_TIME, .time_ms = INT64_MAX};
    if (!text || hf_asof_parse(hf_str_of(text), ret, &err) == HF_OK)
        return true;
    hf_reply_error(r, 400, "%s: %s", HF_PARAMS[param].name, err.detail);
    return false;
}

bool hf_v1_point_from(hf_request *r, hf_asof *ret) {
    if (hf_request_text(r, HF_P_FROM))
        return hf_v1_point(r, HF_P_FROM, ret);
    hf_reply_error(r, 400, "from is missing: a time (2026-01-17T10:30:00Z) or an offset (17, 3/17)");
    return false;
}

static hf_code job_at(hf_request *r, hf_look *l, uint64_t key, const hf_asof *at, hf_job **ret, hf_err *reterr) {
    hf_http *http = r->http;
    return hf_asof_job(hf_http_store(http), l->read, &http->tables, http->options.codec, key, at, ret, reterr);
}

/* ---- all jobs as of then -------------------------------------------------------------------------------------------- */
typedef struct listing {
    json_t *items;
    size_t limit, scanned;
    uint32_t states;
    uint64_t last; /* job key looked at last */
    bool more;
} listing;

static hf_code list_one(hf_request *r, hf_look *l, listing *list, uint64_t key, const hf_asof *at, hf_err *reterr) {
    hf_job *job = NULL;
    hf_code code = job_at(r, l, key, at, &job, reterr);
    list->scanned++;
    list->last = key;
    if (code == HF_OK && !job->deleted && (!list->states || list->states & 1u << job->state))
        json_array_append_new(list->items, hf_v1_job(job));
    free(job);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

static hf_code list_all(hf_request *r, hf_look *l, listing *list, uint64_t from, const hf_asof *at, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = hf_key_u64(&from), value;
    hf_code code = hf_cursor_open(l->read, r->http->tables.of[HF_TB_JOBS], &cursor, reterr);
    hf_move move = HF_SEEK;
    while (code == HF_OK && (code = hf_cursor_move(cursor, move, &key, &value, reterr)) == HF_OK) {
        if (json_array_size(list->items) == list->limit || list->scanned == SCAN_MAX) {
            list->more = true;
            break;
        }
        code = list_one(r, l, list, hf_u64_of(key), at, reterr);
        move = HF_NEXT;
    }
    hf_cursor_close(cursor);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

bool hf_v1_audit_cursor(hf_request *r, uint64_t *ret) {
    const char *text = hf_request_text(r, HF_P_CURSOR);
    char *end = NULL;
    *ret = text ? strtoull(text, &end, 16) + 1 : 0;
    if (!text || (end != text && *end == 0 && strlen(text) <= 16))
        return true;
    hf_reply_error(r, 400, "cursor is not one that a page ended with");
    return false;
}

void hf_handle_v1_audit_jobs(hf_request *r) {
    hf_look l;
    hf_asof at;
    uint64_t from;
    listing list = {.items = json_array(),
                    .limit = (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT),
                    .states = (uint32_t)hf_request_number(r, HF_P_STATE, 0)};
    if (hf_v1_point(r, HF_P_AS_OF, &at) && hf_v1_audit_cursor(r, &from)) {
        if (hf_look_begin(r, &l)) {
            if (list_all(r, &l, &list, from, &at, &l.err) != HF_OK)
                hf_reply_err(r, &l.err);
            else {
                json_t *o = json_pack("{s:O, s:I}", "items", list.items, "scanned", (json_int_t)list.scanned);
                if (list.more)
                    json_object_set_new(o, "next_cursor", json_sprintf("%llx", (unsigned long long)list.last));
                hf_reply_json(r, 200, o);
            }
        }
        hf_look_end(&l);
    }
    json_decref(list.items);
}

/* ---- one job, and what changed ------------------------------------------------------------------------------------------ */
static bool key_of(hf_request *r, hf_look *l, uint64_t *ret) {
    if (hf_query_job_key(l->read, &r->http->tables, hf_str_of(r->params[0]), ret, &l->err) == HF_OK)
        return true;
    hf_reply_err(r, &l->err);
    return false;
}

/* Null where the job did not exist yet. */
static hf_code shape_at(hf_request *r, hf_look *l, uint64_t key, const hf_asof *at, json_t **ret) {
    hf_job *job = NULL;
    hf_code code = job_at(r, l, key, at, &job, &l->err);
    if (code == HF_OK || code == HF_E_NOT_FOUND)
        *ret = job ? hf_v1_job(job) : json_null();
    free(job);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

void hf_handle_v1_audit_job(hf_request *r) {
    hf_look l;
    hf_asof at;
    uint64_t key;
    json_t *job = NULL;
    if (!hf_v1_point(r, HF_P_AS_OF, &at))
        return;
    if (hf_look_begin(r, &l) && key_of(r, &l, &key)) {
        if (shape_at(r, &l, key, &at, &job) == HF_OK)
            hf_reply_json(r, 200, json_pack("{s:s, s:o}", "job_id", r->params[0], "job", job));
        else
            hf_reply_err(r, &l.err);
    }
    hf_look_end(&l);
}

/* {"state": {"from": …, "to": …}, …}: members that differ. */
static json_t *difference(const json_t *from, const json_t *to) {
    json_t *o = json_object(), *value;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)to, name, value) {
        json_t *was = json_object_get(from, name);
        if (!was || !json_equal(was, value))
            json_object_set_new(o, name, json_pack("{s:O?, s:O}", "from", was, "to", value));
    }
    json_object_foreach((json_t *)(uintptr_t)from, name, value)
        if (!json_object_get(to, name))
            json_object_set_new(o, name, json_pack("{s:O, s:n}", "from", value, "to"));
    return o;
}

void hf_handle_v1_audit_changes(hf_request *r) {
    hf_look l;
    hf_asof from, to;
    uint64_t key;
    json_t *a = NULL, *b = NULL;
    if (!hf_v1_point_from(r, &from) || !hf_v1_point(r, HF_P_TO, &to))
        return;
    if (hf_look_begin(r, &l) && key_of(r, &l, &key)) {
        if (shape_at(r, &l, key, &from, &a) == HF_OK && shape_at(r, &l, key, &to, &b) == HF_OK)
            hf_reply_json(r, 200,
                          json_pack("{s:s, s:b, s:b, s:o}", "job_id", r->params[0], "existed_from", json_is_object(a),
                                    "existed_to", json_is_object(b), "changes", difference(a, b)));
        else
            hf_reply_err(r, &l.err);
    }
    json_decref(a);
    json_decref(b);
    hf_look_end(&l);
}

/* ---- the chain ------------------------------------------------------------------------------------------------------------- */
void hf_handle_v1_audit_chain(hf_request *r) {
    hf_look l;
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    json_t *items = json_array();
    bool begun = hf_look_begin(r, &l);
    hf_code code = begun ? hf_cursor_open(l.read, r->http->tables.of[HF_TB_CHAIN], &cursor, &l.err) : HF_E_IO;
    for (hf_move move = HF_FIRST; code == HF_OK; move = HF_NEXT) {
        char hex[2 * HF_HASH_BYTES + 1];
        uint64_t offset;
        code = hf_cursor_move(cursor, move, &key, &value, &l.err);
        if (code != HF_OK || value.len != HF_CHAIN_VALUE_BYTES)
            break;
        memcpy(&offset, value.p, 8);
        for (size_t i = 0; i < HF_HASH_BYTES; i++)
            snprintf(hex + 2 * i, 3, "%02x", (unsigned char)value.p[8 + i]);
        json_array_append_new(items,
                              json_pack("{s:s, s:I, s:I, s:s}", "topic", "job-events", "partition",
                                        (json_int_t)hf_u64_of(key), "offset", (json_int_t)offset, "sha256", hex));
    }
    hf_cursor_close(cursor);
    if (begun && (code == HF_OK || code == HF_E_NOT_FOUND))
        hf_reply_json(r, 200, json_pack("{s:O}", "items", items));
    else if (begun)
        hf_reply_err(r, &l.err);
    json_decref(items);
    hf_look_end(&l);
}

/* ---- proofs ---------------------------------------------------------------------------------------------------------------- */
static json_t *hex_of(const uint8_t hash[HF_MERKLE_HASH]) {
    char hex[2 * HF_MERKLE_HASH + 1];
    for (size_t i = 0; i < HF_MERKLE_HASH; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    return json_string(hex);
}

static void reply_merkle_err(hf_request *r, const hf_err *err) {
    if (err->code == HF_E_BUSY)
        r->retry_after_s = 1;
    hf_reply_err(r, err);
}

typedef struct heads {
    hf_request *r;
    hf_look *look;
    json_t *items;
    hf_code code;
} heads;

static bool add_head(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    heads *h = ctx;
    uint8_t root[HF_MERKLE_HASH];
    if (topic != HF_TOPIC_JOB_EVENTS || next < 1)
        return true;
    h->code = hf_merkle_root(h->r->http->merkle, hf_http_store(h->r->http), h->look->read, partition, next, root,
                             &h->look->err);
    if (h->code == HF_OK)
        json_array_append_new(h->items, json_pack("{s:s, s:i, s:I, s:o}", "topic", "job-events", "partition",
                                                  (int)partition, "tree_size", (json_int_t)next, "root", hex_of(root)));
    return h->code == HF_OK;
}

void hf_handle_v1_audit_tree(hf_request *r) {
    hf_look l;
    heads h = {.r = r, .look = &l, .items = json_array()};
    if (hf_look_begin(r, &l)) {
        hf_code code = hf_query_offsets(l.read, &r->http->tables, add_head, &h, &l.err);
        if (code == HF_OK && h.code == HF_OK)
            hf_reply_json(r, 200, json_pack("{s:O}", "items", h.items));
        else
            reply_merkle_err(r, &l.err);
    }
    json_decref(h.items);
    hf_look_end(&l);
}

typedef struct sought_next {
    int32_t partition;
    int64_t next;
} sought_next;

static bool note_next(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    sought_next *s = ctx;
    if (topic == HF_TOPIC_JOB_EVENTS && partition == s->partition)
        s->next = next;
    return true;
}

/* The record's row, as it is hashed. */
static json_t *row_of(const hf_log_record *record) {
    uint32_t size = hf_logcopy_size(record);
    hf_auto_free char *row = hf_alloc(size + 1);
    if (!row)
        return NULL;
    hf_logcopy_write(record, row);
    return hf_v1_base64((hf_str){row, size});
}

static void prove(hf_request *r, hf_look *l, hf_position at, int64_t size) {
    hf_http *http = r->http;
    uint8_t leaf[HF_MERKLE_HASH], root[HF_MERKLE_HASH], path[HF_MERKLE_PATH_MAX][HF_MERKLE_HASH];
    int count = 0;
    hf_log_record record;
    hf_code code =
        hf_query_log(hf_http_store(http), l->read, HF_TOPIC_JOB_EVENTS, at.partition, at.offset, &record, &l->err);
    if (code == HF_OK)
        code = hf_merkle_path(http->merkle, hf_http_store(http), l->read, at.partition, at.offset, size, leaf, path,
                              &count, &l->err);
    if (code == HF_OK)
        code = hf_merkle_root(http->merkle, hf_http_store(http), l->read, at.partition, size, root, &l->err);
    if (code != HF_OK) {
        reply_merkle_err(r, &l->err);
        return;
    }
    json_t *hashes = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(hashes, hex_of(path[i]));
    hf_reply_json(r, 200,
                  json_pack("{s:i, s:I, s:I, s:o, s:o, s:o, s:o}", "partition", (int)at.partition, "offset",
                            (json_int_t)at.offset, "tree_size", (json_int_t)size, "root", hex_of(root), "leaf",
                            hex_of(leaf), "path", hashes, "row", row_of(&record)));
}

void hf_handle_v1_audit_proof(hf_request *r) {
    hf_look l;
    hf_position at;
    if (!hf_v1_position(r, &at))
        return;
    sought_next s = {.partition = at.partition};
    if (hf_look_begin(r, &l)) {
        hf_code code = hf_query_offsets(l.read, &r->http->tables, note_next, &s, &l.err);
        int64_t size = hf_request_number(r, HF_P_TREE_SIZE, s.next);
        if (code != HF_OK)
            hf_reply_err(r, &l.err);
        else if (at.offset >= s.next)
            hf_reply_error(r, 404, "partition %d of job-events ends before offset %lld", (int)at.partition,
                           (long long)at.offset);
        else if (size <= at.offset || size > s.next)
            hf_reply_error(r, 400, "tree_size must be from %lld to %lld: behind the record, and no more than there are",
                           (long long)at.offset + 1, (long long)s.next);
        else
            prove(r, &l, at, size);
    }
    hf_look_end(&l);
}
