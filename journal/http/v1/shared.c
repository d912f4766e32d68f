#include "journal/http/v1/v1.h"
#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"
#include "schemas/event/json.h"

static bool look(hf_request *r, hf_look *l, bool log) {
    *l = (hf_look){0};
    hf_arena_init(&l->arena, HF_V1_ARENA_BYTES);
    hf_store *store = hf_http_store(r->http);
    if ((log ? hf_read_begin_all(store, &l->read, &l->err) : hf_read_begin(store, &l->read, &l->err)) == HF_OK)
        return true;
    hf_reply_err(r, &l->err);
    return false;
}

bool hf_look_begin(hf_request *r, hf_look *l) { return look(r, l, true); }
bool hf_look_at_jobs(hf_request *r, hf_look *l) { return look(r, l, false); }

void hf_look_end(hf_look *l) {
    hf_read_end(l->read);
    hf_arena_done(&l->arena);
}

bool hf_look_job(hf_request *r, hf_look *l, hf_job *ret) {
    if (hf_lookup_job(r->http, l->read, hf_str_of(r->params[0]), &l->arena, ret, &l->err) == HF_OK)
        return true;
    hf_reply_err(r, &l->err);
    return false;
}

json_t *hf_v1_job(const hf_job *job) {
    json_t *o = hf_json_of(&HF_TYPE_JOB, job, 0);
    if (o)
        json_object_set_new(o, "status", json_string(hf_state_status((hf_state)job->state)));
    return o;
}

void hf_v1_put_job(hf_buf *out, const hf_job *job, const hf_progress *progress) {
    hf_json_put(out, &HF_TYPE_JOB, job);
    if (out->failed || out->len == 0)
        return;
    out->len--; /* its closing brace */
    hf_buf_puts(out, ",\"status\":\"");
    hf_buf_puts(out, hf_state_status((hf_state)job->state));
    hf_buf_puts(out, "\"");
    if (progress) {
        hf_buf_puts(out, ",\"progress\":");
        hf_json_put(out, &HF_TYPE_PROGRESS, progress);
    }
    hf_buf_puts(out, "}");
}

json_t *hf_request_json(hf_request *r) {
    hf_err err;
    const char *type = hf_request_header(r, "Content-Type");
    hf_str text = hf_buf_str(&r->body);
    json_t *json = type && strstr(type, "yaml") ? hf_yaml_parse(text, r->http->body_max, &err)
                                                : hf_json_parse(text, r->http->body_max, &err);
    if (!json)
        hf_reply_error(r, 400, "the body cannot be read: %s", err.detail);
    return json;
}

json_t *hf_v1_reason(hf_request *r, const char **ret_reason) {
    json_t *body = r->body.len ? hf_request_json(r) : json_object();
    const json_t *reason = json_object_get(body, "reason");
    *ret_reason = reason ? json_string_value(reason) : "";
    if (!body || (json_is_object(body) && json_object_size(body) == (reason != NULL) &&
                  (!reason || (json_is_string(reason) && json_string_length(reason) <= HF_MAX_TEXT))))
        return body;
    hf_reply_error(r, 400, "the body may be left out, or is {\"reason\": a text of at most %d bytes} and nothing else",
                   HF_MAX_TEXT);
    json_decref(body);
    return NULL;
}

/* ---- filters --------------------------------------------------------------------------------------------- */
static void take_param(hf_job_filter *f, hf_param param, const hf_param_value *v) {
    hf_str text = hf_str_of(v->text);
    switch ((int)param) { /* the others are not about which jobs */
    case HF_P_STATE:
    case HF_P_STATUS: f->states = (uint32_t)v->number; break;
    case HF_P_OPERATION: f->operation = text; break;
    case HF_P_PROVIDER: f->provider = text; break;
    case HF_P_ENDPOINT: f->endpoint = text; break;
    case HF_P_VM_PATH: f->vm_path = text; break;
    case HF_P_TAG: f->tag = text; break;
    case HF_P_REQUESTER: f->requested_by = text; break;
    case HF_P_ORIGIN: f->origin = text; break;
    case HF_P_WORKER: f->worker = text; break;
    case HF_P_SINCE: f->created_from_ms = v->number; break;
    case HF_P_UNTIL: f->created_until_ms = v->number; break;
    default: break;
    }
}

void hf_v1_filter_of_query(const hf_request *r, hf_job_filter *ret) {
    *ret = (hf_job_filter){0};
    for (int p = 0; p < HF_PARAM_COUNT; p++)
        if (r->query[p].text)
            take_param(ret, (hf_param)p, &r->query[p]);
}

#define FILTERS "state operation provider endpoint vm_path tag requested_by origin worker since until"

hf_code hf_v1_filter_of_json(const json_t *object, int64_t now_ms, hf_job_filter *ret, hf_err *reterr) {
    *ret = (hf_job_filter){0};
    if (!json_is_object(object))
        return hf_fail(reterr, HF_E_INVALID, "filter must be an object with some of: " FILTERS);
    for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
         i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
        const char *name = json_object_iter_key(i), *text = json_string_value(json_object_iter_value(i));
        hf_param param = hf_param_find(name);
        hf_param_value value = {0};
        if (param == HF_PARAM_COUNT || !hf_param_listed(FILTERS, param))
            return hf_fail(reterr, HF_E_INVALID, "filter has no %.64s; there are " FILTERS, name);
        if (!text)
            return hf_fail(reterr, HF_E_INVALID, "filter.%s must be a text", name);
        hf_code code = hf_param_read(param, text, now_ms, &value, reterr);
        if (code != HF_OK)
            return code;
        take_param(ret, param, &value);
    }
    return HF_OK;
}

hf_str hf_request_proposer(const hf_request *r, hf_arena *arena) {
    hf_str me = hf_str_of(r->http->options.me);
    hf_str both = *r->who.name ? hf_str_of(hf_arena_printf(arena, "%s via %.*s", r->who.name, HF_STR_ARG(me))) : me;
    return both.p ? both : me;
}

json_t *hf_v1_base64(hf_str value) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t room = ((size_t)value.len + 2) / 3 * 4, n = 0;
    hf_auto_free char *text = hf_alloc(room + 1);
    for (uint32_t i = 0; text && i < value.len; i += 3) {
        uint32_t left = value.len - i, bits = (uint32_t)(uint8_t)value.p[i] << 16;
        bits |= left > 1 ? (uint32_t)(uint8_t)value.p[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)(uint8_t)value.p[i + 2] : 0;
        text[n++] = digits[bits >> 18 & 63];
        text[n++] = digits[bits >> 12 & 63];
        text[n++] = left > 1 ? digits[bits >> 6 & 63] : '=';
        text[n++] = left > 2 ? digits[bits & 63] : '=';
    }
    return text ? json_stringn(text, n) : NULL;
}

bool hf_v1_position(hf_request *r, hf_position *ret) {
    char *end[2] = {NULL, NULL};
    long long partition = strtoll(r->params[0], &end[0], 10), offset = strtoll(r->params[1], &end[1], 10);
    *ret = (hf_position){(int32_t)partition, offset};
    if (!*end[0] && !*end[1] && partition >= 0 && partition <= INT16_MAX && offset >= 0 && offset >> 48 == 0)
        return true;
    hf_reply_error(r, 400, "a record is named by its partition and offset, two numbers");
    return false;
}
