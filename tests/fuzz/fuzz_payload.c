// LIBS: hf_webhook
/* Whatever the facts of an event hold, its body is JSON in each format, with the members that belong to the event; what was sound text
 * arrives as it was; and a Slack message has nothing in it that rings a bell. First byte: the event; second: how the rest is shared out. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/event/utf8.h"
#include "schemas/webhook/payload.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct rest {
    const char *p;
    size_t len;
    unsigned part;
} rest;

static hf_str next(rest *r) {
    size_t n = r->part ? r->len * r->part / 256 : 0;
    hf_str s = {r->p, (uint32_t)n};
    r->p += n;
    r->len -= n;
    return s;
}

static double number(rest *r) {
    double value = 0;
    if (r->len >= sizeof value) {
        memcpy(&value, r->p, sizeof value);
        r->p += sizeof value;
        r->len -= sizeof value;
    }
    return value;
}

static json_t *body(const hf_webhook_facts *f, hf_payload_format format, hf_str id) {
    hf_buf out;
    hf_buf_init(&out, HF_PAYLOAD_MAX_BYTES);
    MUST(hf_payload_write(&out, format, f, id, HF_STR("/hyperfleet/fuzz"), NULL) == HF_OK);
    MUST(hf_utf8_valid(out.data, out.len));
    json_t *json = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    MUST(json);
    MUST(format != HF_PAYLOAD_SLACK || (!memchr(out.data, '<', out.len) && !memchr(out.data, '>', out.len)));
    hf_buf_done(&out);
    return json;
}

static void same(const json_t *object, const char *name, hf_str was) {
    const json_t *value = json_object_get(object, name);
    MUST(json_is_string(value));
    if (hf_utf8_valid(was.p, was.len))
        MUST(json_string_length(value) == was.len && (!was.len || !memcmp(json_string_value(value), was.p, was.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 65536)
        return 0;
    rest r = {(const char *)data + 2, size - 2, data[1]};
    hf_webhook_facts f = {
        .event = (hf_webhook_event)(data[0] % (HF_WE_TEST + 1)), .test = data[0] & 0x80, .at = data[0] * 1000003LL};
    f.duration_seconds = number(&r);
    f.percent_complete = number(&r);
    f.bytes_done = (int64_t)r.len - 7;
    f.job_id = next(&r);
    f.job_name = next(&r);
    f.vm_path = next(&r);
    f.output_path = f.ovf_path = f.provider = next(&r);
    f.error = f.phase = next(&r);
    hf_str files[2] = {next(&r), f.error};
    f.exported_files = (hf_list){files, 2};
    f.vms = (hf_str){r.p, (uint32_t)r.len};
    json_t *standard = body(&f, HF_PAYLOAD_STANDARD, f.job_id), *event = body(&f, HF_PAYLOAD_CLOUDEVENTS, f.job_id),
           *slack = body(&f, HF_PAYLOAD_SLACK, f.job_id);
    const json_t *members = json_object_get(standard, "data");
    MUST(json_object_size(standard) == 4 && json_equal(members, json_object_get(event, "data")));
    MUST(json_string_length(json_object_get(slack, "text")) < 5000);
    if (f.event != HF_WE_VM_DISCOVERED && f.event != HF_WE_TEST)
        same(members, "job_id", f.job_id), same(members, "job_name", f.job_name);
    if (f.event == HF_WE_JOB_FAILED)
        same(members, "error", f.error);
    if (f.event == HF_WE_VM_DISCOVERED)
        MUST(json_is_array(json_object_get(members, "vms")));
    json_decref(standard);
    json_decref(event);
    json_decref(slack);
    return 0;
}
