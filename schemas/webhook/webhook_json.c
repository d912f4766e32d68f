/* A webhook's JSON, in and out. */
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/event/json.h"
#include "schemas/event/json_schedule.h"
#include "schemas/webhook/webhook_inside.h"

typedef struct reader {
    unsigned flags;
    hf_arena *arena;
    hf_webhook *webhook;
    hf_webhook_secret *secret;
    hf_intake_errors *errors, *warnings;
    hf_str url; /* as given */
} reader;
#define SAY(r, ...) hf_webhook_say((r)->errors, (r)->arena, __VA_ARGS__)

typedef struct member member;
struct member {
    const char *name;
    void (*read)(reader *r, const member *m,
                 const json_t *value); /* NULL: of an answer that is sent back; passed over */
    const char *field;                 /* of the record */
};

static hf_str text_of(const json_t *value) {
    return (hf_str){json_string_value(value), (uint32_t)json_string_length(value)};
}
static bool is_mask(hf_str s) { return hf_str_eqz(s, HF_WEBHOOK_MASK); }

static const hf_field *field_of(const char *name) {
    for (uint32_t i = 0; i < HF_TYPE_WEBHOOK.field_count; i++)
        if (strcmp(HF_TYPE_WEBHOOK.fields[i].name, name) == 0)
            return &HF_TYPE_WEBHOOK.fields[i];
    return NULL;
}

static void read_field(reader *r, const member *m, const json_t *value) {
    hf_err err;
    hf_webhook fresh;
    const hf_field *f = field_of(m->field);
    if (json_is_null(value)) {
        hf_type_init(&HF_TYPE_WEBHOOK, &fresh);
        size_t end = f + 1 < HF_TYPE_WEBHOOK.fields + HF_TYPE_WEBHOOK.field_count ? f[1].offset : sizeof fresh;
        memcpy((char *)r->webhook + f->offset, (const char *)&fresh + f->offset, end - f->offset);
    } else if (hf_json_to_field(f, value, m->name, r->arena, r->webhook, &err) != HF_OK)
        SAY(r, "%s", err.detail);
}

/* "1m30s", seconds as a number, or Go's nanoseconds. */
static void read_span(reader *r, const member *m, const json_t *value) {
    const hf_field *f = field_of(m->field);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    int64_t ms = -1;
    if (json_is_null(value))
        ms = f->def;
    else if (number >= 1e6 && number <= 1e18)
        ms = (int64_t)(number / 1e6);
    else if (number >= 0 && number < 1e6)
        ms = (int64_t)(number * 1000 + 0.5);
    else if (!json_is_string(value) || !hf_duration_parse(text_of(value), &ms))
        ms = -1;
    if (ms < 0)
        SAY(r, "%s: must be a duration like \"10s\", or seconds as a number", m->name);
    else
        *(int64_t *)(void *)((char *)r->webhook + f->offset) = ms;
}

static void read_url(reader *r, const member *m, const json_t *value) {
    if (!json_is_string(value))
        SAY(r, "%s: must be text, an http or https URL", m->name);
    else
        r->url = hf_arena_str(r->arena, text_of(value));
}

static void read_events(reader *r, const member *m, const json_t *value) {
    size_t count = json_array_size(value), n = 0;
    hf_str *names = hf_arena_alloc(r->arena, (count + 1) * sizeof *names);
    if (!names || (!json_is_array(value) && !json_is_string(value) && !json_is_null(value)) || count > HF_MAX_TAGS) {
        SAY(r, "%s: must be a list of at most %d names of events", m->name, HF_MAX_TAGS);
        return;
    }
    bool all = count == 0 && (!json_is_string(value) || hf_str_eqz(text_of(value), "*"));
    if (json_is_string(value) && !all)
        names[n++] = hf_arena_str(r->arena, text_of(value));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item))
            SAY(r, "%s[%zu]: must be the name of an event", m->name, i);
        else if (hf_str_eqz(text_of(item), "*"))
            all = true;
        else
            names[n++] = hf_arena_str(r->arena, text_of(item));
    }
    r->webhook->events = all ? (hf_list){0} : (hf_list){names, (uint32_t)n};
}

static const hf_webhook_header *find_header(const hf_webhook_secret *s, hf_str name) {
    for (uint32_t i = 0; i < s->header_count; i++)
        if (hf_webhook_same_header(s->headers[i].name, name))
            return &s->headers[i];
    return NULL;
}

static void read_header(reader *r, hf_webhook_secret *next, hf_str *names, const char *name, const json_t *value) {
    hf_str as_name = hf_arena_str(r->arena, hf_str_of(name)), text = text_of(value);
    const hf_webhook_header *known = find_header(r->secret, as_name);
    const char *fault = json_is_string(value) ? hf_webhook_value_fault(text) : "its value must be text";
    if (hf_webhook_same_header(as_name, HF_STR("content-type"))) {
        hf_webhook_say(r->warnings, r->arena, "headers: Content-Type is the format's to say; it is left out");
        return;
    }
    if (fault)
        SAY(r, "headers[%u]: %s", next->header_count, fault);
    else if (is_mask(text) && !known)
        SAY(r, "headers[%u]: *** stands for a value that is known, and none is; give the value", next->header_count);
    names[next->header_count] = as_name;
    next->headers[next->header_count++] =
        (hf_webhook_header){as_name, fault           ? HF_STR_NONE
                                     : is_mask(text) ? (known ? known->value : HF_STR_NONE)
                                                     : hf_arena_str(r->arena, text)};
}

static void read_headers(reader *r, const member *m, const json_t *value) {
    const char *name;
    json_t *item;
    hf_str *names = hf_arena_alloc(r->arena, HF_WEBHOOK_HEADERS_MAX * sizeof *names);
    hf_webhook_secret next = {0};
    if (!names || !(json_is_object(value) || json_is_null(value)) || json_object_size(value) > HF_WEBHOOK_HEADERS_MAX) {
        SAY(r, "%s: must be an object of at most %d names with their values", m->name, HF_WEBHOOK_HEADERS_MAX);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
        read_header(r, &next, names, name, item);
    memcpy(r->secret->headers, next.headers, sizeof next.headers);
    r->secret->header_count = next.header_count;
    r->webhook->header_names = next.header_count ? (hf_list){names, next.header_count} : (hf_list){0};
}

static void read_secret(reader *r, const member *m, const json_t *value) {
    hf_signing_key key;
    hf_err err;
    hf_str kept[HF_SIGNING_KEYS_MAX];
    size_t count = json_is_array(value) ? json_array_size(value) : !json_is_null(value);
    if (json_is_string(value) && is_mask(text_of(value)))
        return;
    if (count > HF_SIGNING_KEYS_MAX) {
        SAY(r, "%s: at most %d secrets at a time", m->name, HF_SIGNING_KEYS_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(item) || hf_signing_key_parse(text_of(item), &key, &err) != HF_OK) {
            SAY(r, "%s: %s", m->name, json_is_string(item) ? err.detail : "must be text that begins with whsec_");
            return;
        }
        hf_signing_key_wipe(&key);
        kept[i] = hf_arena_str(r->arena, text_of(item));
    }
    memcpy(r->secret->secrets, kept, count * sizeof *kept);
    r->secret->secret_count = (uint32_t)count;
}

static const member members[] = {
    {"id", read_field, "endpoint_id"},
    {"url", read_url, NULL},
    {"events", read_events, NULL},
    {"format", read_field, "format"},
    {"headers", read_headers, NULL},
    {"secret", read_secret, NULL},
    {"secrets", read_secret, NULL},
    {"timeout", read_span, "timeout_ms"},
    {"retry", read_field, "retry"},
    {"ordered", read_field, "ordered"},
    {"enabled", read_field, "enabled"},
    {"progress_interval", read_span, "progress_interval_ms"},
    {"created_at", NULL, NULL},
    {"updated_at", NULL, NULL},
    {"by", NULL, NULL},
    {"origin", NULL, NULL},
    {"disabled_reason", NULL, NULL},
    {"index", NULL, NULL},
    {"signed", NULL, NULL},
    {"state", NULL, NULL},
    {"deliveries", NULL, NULL},
    {"last_delivery", NULL, NULL},
    {"failed_waiting", NULL, NULL},
    {"failed_in_row", NULL, NULL},
    {"version", NULL, NULL},
};
enum { MEMBER_COUNT = sizeof members / sizeof *members };

static bool is_empty(const json_t *value) {
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

static void note_unknown(reader *r, const char *name) {
    bool lenient = (r->flags & HF_WEBHOOK_LENIENT) != 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        if (strcmp(members[i].name, name) == 0)
            return;
    hf_webhook_say(lenient ? r->warnings : r->errors, r->arena, "%.64s: %s", name,
                   lenient ? "not known, nothing acts on it"
                           : "is no member of a webhook; remove it, or see docs/webhooks.md for the names");
}

/* ---- what follows from what was read ------------------------------------------------------------------------ */
static void derive_id(reader *r, hf_str whole) {
    uint8_t digest[32];
    char text[8 + 16 + 1] = "webhook-";
    if (EVP_Digest(whole.p, whole.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return;
    for (int i = 0; i < 8; i++)
        snprintf(text + 8 + 2 * i, 3, "%02x", digest[i]);
    r->webhook->endpoint_id = hf_arena_str(r->arena, hf_str_of(text));
}

/* The URL is parted once its format is known. */
static hf_code part_url(reader *r, hf_err *reterr) {
    hf_webhook *w = r->webhook;
    hf_str whole = r->url.p && !hf_str_eq(r->url, w->url) ? r->url : r->secret->url.len ? r->secret->url : w->url;
    bool masked;
    if ((r->flags & HF_WEBHOOK_DERIVE_ID) && !w->endpoint_id.len && whole.len)
        derive_id(r, whole);
    if (hf_webhook_url_is_masked(whole)) {
        if (r->url.p && !hf_str_eq(r->url, w->url))
            SAY(r, "url: *** stands for a part that is known, and this URL's is not; give it whole");
        return HF_OK;
    }
    if (hf_webhook_url_fault(whole)) { /* hf_webhook_check says which, and nobody keeps it */
        w->url = whole;
        return HF_OK;
    }
    w->url = hf_webhook_url_mask(whole, w->format, r->arena, &masked);
    r->secret->url = masked ? whole : HF_STR_NONE;
    return w->url.p ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "webhook: no memory");
}

/* "url" of "url: required" */
static hf_str member_of(hf_str error) {
    uint32_t len = 0;
    while (len < error.len && error.p[len] != ':' && error.p[len] != '[')
        len++;
    return (hf_str){error.p, len};
}

static void add_untold(hf_intake_errors *errors, const hf_intake_errors *judged) {
    uint32_t before = errors->count;
    for (uint32_t i = 0; i < judged->count && i < HF_MAX_ERRORS; i++) {
        bool told = false;
        for (uint32_t k = 0; k < before && k < HF_MAX_ERRORS; k++)
            told |= hf_str_eq(member_of(errors->text[k]), member_of(judged->text[i]));
        if (!told && errors->count++ < HF_MAX_ERRORS)
            errors->text[errors->count - 1] = judged->text[i];
    }
}

hf_code hf_webhook_read(const json_t *json, unsigned flags, hf_arena *arena, hf_webhook *webhook,
                        hf_webhook_secret *secret, hf_intake_errors *errors, hf_intake_errors *warnings,
                        hf_err *reterr) {
    reader r = {flags, arena, webhook, secret, errors, warnings, HF_STR_NONE};
    hf_intake_errors *judged = hf_arena_alloc(arena, sizeof *judged);
    const char *name;
    json_t *value;
    if (!json_is_object(json))
        return hf_fail(reterr, HF_E_INVALID, "a webhook must be a JSON object with url");
    if (!judged)
        return hf_fail(reterr, HF_E_NO_MEMORY, "webhook: no memory");
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        value = json_object_get(json, members[i].name);
        if (value && members[i].read && !((flags & HF_WEBHOOK_LENIENT) && is_empty(value)))
            members[i].read(&r, &members[i], value);
    }
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
        note_unknown(&r, name);
    hf_code code = part_url(&r, reterr);
    if (code != HF_OK)
        return code;
    hf_webhook_check(webhook, arena, judged);
    add_untold(errors, judged);
    return HF_OK;
}

/* ---- out --------------------------------------------------------------------------------------------------- */
static void set_span(json_t *o, const char *name, int64_t ms) {
    char text[HF_SPAN_BYTES];
    json_object_set_new(o, name, json_string(hf_span_format(ms, text)));
}

static void set_time(json_t *o, const char *name, int64_t at) {
    char text[HF_RFC3339_BYTES];
    if (at)
        json_object_set_new(o, name, json_string(hf_time_format(at, text)));
}

static void set_text(json_t *o, const char *name, hf_str text) {
    if (text.len)
        json_object_set_new(o, name, hf_json_text(text));
}

static json_t *texts_json(hf_list list) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < list.count; i++)
        json_array_append_new(array, hf_json_text(*HF_LIST_AT(list, hf_str, i)));
    return array;
}

static json_t *masked_headers(hf_list names) {
    json_t *o = json_object();
    for (uint32_t i = 0; i < names.count; i++) {
        hf_str name = *HF_LIST_AT(names, hf_str, i);
        char key[HF_WEBHOOK_HEADER_NAME_MAX + 1];
        snprintf(key, sizeof key, "%.*s", HF_STR_ARG(name));
        json_object_set_new(o, key, json_string(HF_WEBHOOK_MASK));
    }
    return o;
}

json_t *hf_webhook_json(const hf_webhook *w) {
    json_t *o = json_object();
    if (!o)
        return NULL;
    json_object_set_new(o, "id", hf_json_text(w->endpoint_id));
    json_object_set_new(o, "url", hf_json_text(w->url));
    json_object_set_new(o, "events", texts_json(w->events));
    json_object_set_new(o, "headers", masked_headers(w->header_names));
    set_span(o, "timeout", w->timeout_ms);
    json_object_set_new(o, "retry", json_integer(w->retry));
    json_object_set_new(o, "enabled", json_boolean(w->enabled));
    json_object_set_new(o, "format", json_string(hf_payload_format_name((hf_payload_format)w->format)));
    json_object_set_new(o, "ordered", json_boolean(w->ordered));
    set_span(o, "progress_interval", w->progress_interval_ms);
    set_time(o, "created_at", w->created_at);
    set_time(o, "updated_at", w->updated_at);
    set_text(o, "by", w->by);
    set_text(o, "origin", w->origin);
    set_text(o, "disabled_reason", w->disabled_reason);
    return o;
}

json_t *hf_webhook_json_whole(const hf_webhook *w, const hf_webhook_secret *secret) {
    json_t *o = hf_webhook_json(w), *headers = json_object(), *secrets = json_array();
    for (uint32_t i = 0; i < secret->header_count; i++) {
        char key[HF_WEBHOOK_HEADER_NAME_MAX + 1];
        snprintf(key, sizeof key, "%.*s", HF_STR_ARG(secret->headers[i].name));
        json_object_set_new(headers, key, hf_json_text(secret->headers[i].value));
    }
    for (uint32_t i = 0; i < secret->secret_count; i++)
        json_array_append_new(secrets, hf_json_text(secret->secrets[i]));
    hf_str url = hf_webhook_target(w, secret);
    json_object_set_new(o, "url", hf_json_text(url.p ? url : w->url));
    json_object_set_new(o, "headers", headers);
    json_object_set_new(o, "secrets", secrets);
    return o;
}
