/* GET /api/v1/audit/records: who changed what, when, on the topics that say what is wanted rather than what happened to a job. The journal's
 * copy keeps every record that it read, also those that Kafka has compacted away since. */
#include <stdio.h>

#include "journal/http/v1/v1.h"
#include "journal/replica/logcopy.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { SCAN_MAX = 20000 };

/* A topic that may be asked for, and what its records are. A row more is a topic more; params.def and docs/openapi.json name them too. */
static const struct audited {
    hf_topic topic;
    hf_schema schema;
    const hf_type *type;
    size_t size;
} topics[] = {
    {HF_TOPIC_SCHEDULES, HF_SCHEMA_SCHEDULE, &HF_TYPE_SCHEDULE, sizeof(hf_schedule)},
    {HF_TOPIC_CONTROLS, HF_SCHEMA_CONTROL, &HF_TYPE_CONTROL, sizeof(hf_control)},
    {HF_TOPIC_WEBHOOKS, HF_SCHEMA_WEBHOOK, &HF_TYPE_WEBHOOK, sizeof(hf_webhook)},
    {HF_TOPIC_LIMITS, HF_SCHEMA_LIMIT, &HF_TYPE_LIMIT_EVENT, sizeof(hf_limit_event)},
};

typedef struct listing {
    int32_t partitions;
    hf_request *r;
    hf_look look;
    const struct audited *of;
    const char *key;
    json_t *items;
    size_t limit, scanned;
    int32_t partition; /* of the page's end */
    int64_t offset;
    bool more;
} listing;

static hf_str header_of(const hf_log_record *record, const char *name) {
    for (uint32_t i = 0; i < record->header_count; i++)
        if (hf_str_eqz(record->headers[i].name, name))
            return record->headers[i].value;
    return HF_STR_NONE;
}

static hf_str by_of(const json_t *record, const hf_log_record *source) {
    hf_str header = header_of(source, "hf-by");
    const json_t *member = json_object_get(record, "by");
    if (header.len)
        return header;
    return member ? (hf_str){json_string_value(member), (uint32_t)json_string_length(member)}
                  : header_of(source, "hf-producer");
}

static json_t *record_of(listing *l, const hf_log_record *source) {
    hf_err err;
    void *record = hf_arena_alloc(&l->look.arena, l->of->size);
    if (!source->value.p || !record ||
        hf_decode(l->r->http->options.codec, l->of->schema, source->value, &l->look.arena, record, &err) != HF_OK)
        return NULL;
    return hf_json_of(l->of->type, record, 0);
}

/* Of limits only what was wanted: grants come and go with the jobs. */
static bool left_out(const listing *l, const json_t *record) {
    const char *kind = json_string_value(json_object_get(record, "kind"));
    return l->of->topic == HF_TOPIC_LIMITS && kind && strcmp(kind, "set") != 0;
}

static bool deleted(const listing *l, const hf_log_record *source, const json_t *record) {
    return !source->value.p ||
           (l->of->topic == HF_TOPIC_LIMITS && record && json_integer_value(json_object_get(record, "max")) < 0);
}

static void add(listing *l, const hf_log_record *source) {
    char at[HF_RFC3339_BYTES];
    json_t *record = record_of(l, source);
    if (left_out(l, record)) {
        json_decref(record);
        hf_arena_reset(&l->look.arena);
        return;
    }
    json_t *key = hf_json_text(source->key), *by = hf_json_text(by_of(record, source));
    json_t *o = json_pack("{s:s, s:i, s:I, s:s, s:o, s:o, s:s}", "topic", hf_topic_suffix(l->of->topic), "partition",
                          (int)source->partition, "offset", (json_int_t)source->offset, "at",
                          hf_time_format(source->timestamp_ms, at), "key", key ? key : json_string(""), "by",
                          by ? by : json_string(""), "change",
                          deleted(l, source, record) ? "deleted"
                          : record                   ? "set"
                                                     : "unreadable");
    if (record)
        json_object_set_new(o, "record", record);
    json_array_append_new(l->items, o);
    hf_arena_reset(&l->look.arena);
}

/* One partition's records before `before`, newest first. */
static hf_code list_partition(listing *l, hf_table table, int32_t partition, int64_t before, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    uint64_t from = (uint64_t)before;
    hf_str key = hf_key_u64(&from), value;
    hf_code code = hf_cursor_open(l->look.read, table, &cursor, reterr);
    if (code == HF_OK) /* the first at or behind `before`, then the one in front of it; or the last of all */
        code = hf_cursor_move(cursor, HF_SEEK, &key, &value, reterr) == HF_OK
                   ? hf_cursor_move(cursor, HF_PREV, &key, &value, reterr)
                   : hf_cursor_move(cursor, HF_LAST, &key, &value, reterr);
    for (; code == HF_OK; code = hf_cursor_move(cursor, HF_PREV, &key, &value, reterr)) {
        hf_log_record record;
        if (json_array_size(l->items) == l->limit || l->scanned == SCAN_MAX) {
            l->more = true;
            break;
        }
        l->scanned++;
        l->partition = partition;
        l->offset = (int64_t)hf_u64_of(key);
        code = hf_logcopy_read(l->of->topic, partition, l->offset, value, &record, reterr);
        if (code != HF_OK)
            break;
        if (!l->key || hf_str_eqz(record.key, l->key))
            add(l, &record);
    }
    hf_cursor_close(cursor);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

/* One more than the last partition of which something was read. */
static bool count_partitions(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    listing *l = ctx;
    if (next > 0 && topic == l->of->topic && partition >= l->partitions)
        l->partitions = partition + 1;
    return true;
}

/* Partition after partition: most of these topics have one; of limits, newest first holds within each. */
static hf_code list_all(listing *l, int32_t partition, int64_t before, hf_err *reterr) {
    hf_code code = hf_query_offsets(l->look.read, &l->r->http->tables, count_partitions, l, reterr);
    for (; code == HF_OK && !l->more && partition < l->partitions; partition++, before = INT64_MAX) {
        char name[64];
        hf_table table;
        unsigned flags;
        snprintf(name, sizeof name, "log/%s/%d", hf_topic_suffix(l->of->topic), (int)partition);
        code = hf_store_table_as_is(hf_http_store(l->r->http), name, &table, &flags, reterr);
        if (code == HF_E_NOT_FOUND) { /* nothing was ever in that one */
            code = HF_OK;
            continue;
        }
        if (code == HF_OK)
            code = list_partition(l, table, partition, before, reterr);
    }
    return code;
}

static const struct audited *topic_of(hf_request *r) {
    const char *name = hf_request_text(r, HF_P_TOPIC);
    for (size_t i = 0; name && i < HF_ARRAY_LEN(topics); i++)
        if (strcmp(hf_topic_suffix(topics[i].topic), name) == 0)
            return &topics[i];
    hf_reply_error(r, 400,
                   "topic: name one of those whose records say what is wanted: schedules, controls, webhooks, "
                   "limits");
    return NULL;
}

/* "partition-offset": the page before ended there. */
static bool place_of(hf_request *r, int32_t *ret_partition, int64_t *ret_before) {
    const char *text = hf_request_text(r, HF_P_CURSOR);
    int partition = 0;
    long long offset = INT64_MAX;
    char behind;
    bool ok = !text || (sscanf(text, "%d-%lld%c", &partition, &offset, &behind) == 2 && partition >= 0 && offset >= 0);
    if (!ok)
        hf_reply_error(r, 400, "cursor is not one that a page ended with");
    *ret_partition = partition;
    *ret_before = offset;
    return ok;
}

void hf_handle_v1_audit_records(hf_request *r) {
    int32_t partition;
    int64_t before;
    listing l = {.r = r,
                 .of = topic_of(r),
                 .key = hf_request_text(r, HF_P_KEY),
                 .limit = (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT)};
    if (!l.of || !place_of(r, &partition, &before))
        return;
    l.items = json_array();
    if (hf_look_begin(r, &l.look)) {
        if (list_all(&l, partition, before, &l.look.err) != HF_OK)
            hf_reply_err(r, &l.look.err);
        else {
            json_t *o = json_pack("{s:O}", "items", l.items);
            if (l.more)
                json_object_set_new(o, "next_cursor", json_sprintf("%d-%lld", (int)l.partition, (long long)l.offset));
            hf_reply_json(r, 200, o);
        }
    }
    hf_look_end(&l.look);
    json_decref(l.items);
}
