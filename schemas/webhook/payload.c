#include "schemas/webhook/payload.h"

#include <inttypes.h>
#include <math.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/webhook/payload_inside.h"

static const char *const event_names[] = {
#define HF_WEBHOOK_EVENT(id, name, title) name,
#include "schemas/webhook/events.def"
#undef HF_WEBHOOK_EVENT
    "webhook.test",
};
static const struct {
    const char *name, *content_type;
} formats[] = {
    [HF_PAYLOAD_STANDARD] = {"standard", "application/json"},
    [HF_PAYLOAD_CLOUDEVENTS] = {"cloudevents", "application/cloudevents+json; charset=utf-8"},
    [HF_PAYLOAD_SLACK] = {"slack", "application/json"},
};

const char *hf_webhook_event_name(hf_webhook_event event) { return event_names[event]; }

bool hf_webhook_event_from_name(hf_str name, hf_webhook_event *ret) {
    for (int i = 0; i < HF_WEBHOOK_EVENT_COUNT; i++)
        if (hf_str_eqz(name, event_names[i])) {
            *ret = (hf_webhook_event)i;
            return true;
        }
    return false;
}

const char *hf_payload_format_name(hf_payload_format format) { return formats[format].name; }
const char *hf_payload_content_type(hf_payload_format format) { return formats[format].content_type; }

bool hf_payload_format_from_name(hf_str name, hf_payload_format *ret) {
    for (size_t i = 0; i < HF_ARRAY_LEN(formats); i++)
        if (hf_str_eqz(name, formats[i].name)) {
            *ret = (hf_payload_format)i;
            return true;
        }
    return false;
}

/* ---- members ------------------------------------------------------------------------------------------------------- */
/* `out` stays marked as failed, so the whole is checked once, at its end. */
static void key(hf_buf *out, const char *name) {
    bool first = out->len && (out->data[out->len - 1] == '{' || out->data[out->len - 1] == '[');
    hf_buf_printf(out, first ? "\"%s\":" : ",\"%s\":", name);
}

static void text(hf_buf *out, const char *name, hf_str value) {
    key(out, name);
    hf_payload_text(out, value);
}

static void whole(hf_buf *out, const char *name, int64_t value) {
    key(out, name);
    hf_buf_printf(out, "%" PRId64, value);
}

static void texts(hf_buf *out, const char *name, hf_list values) {
    key(out, name);
    hf_buf_puts(out, "[");
    for (uint32_t i = 0; i < values.count; i++) {
        hf_buf_puts(out, i ? "," : "");
        hf_payload_text(out, *HF_LIST_AT(values, hf_str, i));
    }
    hf_buf_puts(out, "]");
}

static void seconds(hf_buf *out, const char *name, double value) {
    bool sound = isfinite(value) && value >= 0 && value < 1e12;
    key(out, name);
    if (sound && value == floor(value))
        hf_buf_printf(out, "%.0f", value);
    else
        hf_buf_printf(out, "%.3f", sound ? value : 0);
}

static void percent(hf_buf *out, const char *name, double value) {
    key(out, name);
    if (!isfinite(value) || value < 0)
        hf_buf_puts(out, "null");
    else if (value == floor(value) || value > 100)
        hf_buf_printf(out, "%.0f", value > 100 ? 100 : value);
    else
        hf_buf_printf(out, "%.2f", value);
}

static int append(const char *bytes, size_t len, void *ctx) { return hf_buf_put(ctx, bytes, len) ? 0 : -1; }

/* The list comes from a job's report, which an operation wrote: parsed once more, since one bad byte would spoil the body. */
static void vms(hf_buf *out, hf_str list) {
    json_t *json = list.len ? hf_json_parse(list, HF_PAYLOAD_MAX_BYTES, NULL) : NULL;
    key(out, "vms");
    if (!json_is_array(json))
        hf_buf_puts(out, "[]");
    else if (json_dump_callback(json, append, out, JSON_COMPACT))
        out->failed = true;
    json_decref(json);
}

/* ---- data: members and their order are the older API's -------------------------------------------------------------- */
static void job(hf_buf *out, const hf_webhook_facts *f) {
    text(out, "job_id", f->job_id);
    text(out, "job_name", f->job_name);
}

static void progress(hf_buf *out, const hf_webhook_facts *f) {
    text(out, "phase", f->phase);
    percent(out, "percent_complete", f->percent_complete);
    whole(out, "files_done", f->files_done);
    whole(out, "files_total", f->files_total);
    whole(out, "bytes_done", f->bytes_done);
    whole(out, "bytes_total", f->bytes_total);
}

static void completed(hf_buf *out, const hf_webhook_facts *f) {
    seconds(out, "duration_seconds", f->duration_seconds);
    text(out, "ovf_path", f->ovf_path);
    texts(out, "exported_files", f->exported_files);
}

static void members(hf_buf *out, const hf_webhook_facts *f) {
    if (f->event != HF_WE_VM_DISCOVERED && f->event != HF_WE_TEST)
        job(out, f);
    if (f->event != HF_WE_VM_DISCOVERED && f->event != HF_WE_TEST && f->event != HF_WE_JOB_PROGRESS)
        text(out, "vm_path", f->vm_path);
    switch ((int)f->event) {
    case HF_WE_JOB_CREATED: text(out, "output_path", f->output_path); break;
    case HF_WE_JOB_PROGRESS: progress(out, f); break;
    case HF_WE_JOB_COMPLETED: completed(out, f); break;
    case HF_WE_JOB_FAILED: text(out, "error", f->error); break;
    case HF_WE_VM_DISCOVERED:
        text(out, "provider", f->provider);
        vms(out, f->vms);
        break;
    case HF_WE_TEST: text(out, "message", HF_STR("A trial delivery: no job is behind it.")); break;
    default: break; /* started, cancelled: nothing besides */
    }
}

static void data(hf_buf *out, const hf_webhook_facts *f) {
    key(out, "data");
    hf_buf_puts(out, "{");
    if (f->test || f->event == HF_WE_TEST) {
        key(out, "test");
        hf_buf_puts(out, "true");
    }
    members(out, f);
    hf_buf_puts(out, "}");
}

/* ---- formats --------------------------------------------------------------------------------------------------------- */
static void standard(hf_buf *out, const hf_webhook_facts *f) {
    char at[HF_RFC3339_BYTES];
    hf_str name = hf_str_of(hf_webhook_event_name(f->event));
    hf_buf_puts(out, "{");
    text(out, "event", name);
    text(out, "type", name);
    text(out, "timestamp", hf_str_of(hf_time_format(f->at, at)));
    data(out, f);
    hf_buf_puts(out, "}");
}

static void cloudevents(hf_buf *out, const hf_webhook_facts *f, hf_str id, hf_str source) {
    char type[64] = "io.hyperfleet.", at[HF_RFC3339_BYTES];
    strcat(type, hf_webhook_event_name(f->event));
    hf_str subject = f->event == HF_WE_VM_DISCOVERED ? f->provider : f->job_id;
    hf_buf_puts(out, "{");
    text(out, "specversion", HF_STR("1.0"));
    text(out, "id", id);
    text(out, "source", source);
    text(out, "type", hf_str_of(type));
    text(out, "time", hf_str_of(hf_time_format(f->at, at)));
    if (subject.len)
        text(out, "subject", subject);
    text(out, "datacontenttype", HF_STR("application/json"));
    data(out, f);
    hf_buf_puts(out, "}");
}

hf_code hf_payload_write(hf_buf *out, hf_payload_format format, const hf_webhook_facts *facts, hf_str delivery_id,
                         hf_str source, hf_err *reterr) {
    size_t most = out->max_bytes, before = out->len;
    switch (format) {
    case HF_PAYLOAD_STANDARD: standard(out, facts); break;
    case HF_PAYLOAD_CLOUDEVENTS: cloudevents(out, facts, delivery_id, source); break;
    case HF_PAYLOAD_SLACK: hf_payload_slack(out, facts); break;
    }
    if (!out->failed)
        return HF_OK;
    bool full = out->cap == most || most - out->len < 8192; /* otherwise it was the memory that failed */
    out->len = before;
    if (!full)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the body of %s of job %.*s", event_names[facts->event],
                       HF_STR_ARG(facts->job_id));
    return hf_fail(reterr, HF_E_LIMIT, "the body of %s of job %.*s is larger than %zu bytes", event_names[facts->event],
                   HF_STR_ARG(facts->job_id), most);
}
