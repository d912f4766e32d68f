/* Drives the sender for test_webhook_sender.py: one post a line of JSON on stdin, one outcome a line on stdout, in the order they end.
 *
 *   {"url", "body", "endpoint", "content_type", "id", "secrets": [], "headers": {}, "timeout_ms", "wait": true}
 *   {"url", "event", "format", "at", "job_id", …facts…}: with the body of that event instead
 *
 * A post's tag is its line, from 1. "wait": this post waits until those before it ended. A line {"sleep_ms": n} waits. Options: --allow-private,
 * --ca FILE, --proxy URL, --in-flight N, --per-endpoint N, --no-dns-cache, --step-max (the longest step, in ms, as the last line). */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "consumer/notify/send.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/webhook/payload.h"

static hf_sender *sender;
static int64_t longest_step_ms;

static void die(const char *what, const hf_err *err) {
    fprintf(stderr, "sender_batch: %s: %s\n", what, err ? err->detail : "");
    exit(1);
}

static void print(uint64_t tag, const char *class, const hf_post_outcome *o) {
    json_t *line =
        json_pack("{sI ss ss si sI sI ss*}", "tag", (json_int_t)tag, "class", class, "code", hf_code_name(o->code),
                  "status", o->status, "retry_after_ms", (json_int_t)o->retry_after_ms, "duration_ms",
                  (json_int_t)o->duration_ms, "error", o->error);
    if (!line || json_dumpf(line, stdout, JSON_COMPACT) || putchar('\n') < 0 || fflush(stdout))
        die("stdout", NULL);
    json_decref(line);
}

static void on_done(void *ctx, uint64_t tag, const hf_post_outcome *o) {
    static const char *const classes[] = {[HF_POST_DELIVERED] = "delivered",
                                          [HF_POST_RETRY] = "retry",
                                          [HF_POST_GONE] = "gone",
                                          [HF_POST_REFUSED] = "refused"};
    (void)ctx;
    print(tag, classes[o->class], o);
}

static void turn(int most_ms) {
    hf_err err;
    struct pollfd fd = {.fd = hf_sender_fd(sender), .events = POLLIN};
    int timeout = hf_sender_timeout_ms(sender);
    poll(&fd, 1, timeout < 0 || timeout > most_ms ? most_ms : timeout);
    int64_t begun = hf_mono_ns();
    if (hf_sender_step(sender, &err))
        die("step", &err);
    int64_t took = (hf_mono_ns() - begun) / 1000000;
    longest_step_ms = took > longest_step_ms ? took : longest_step_ms;
}

static hf_str text(const json_t *line, const char *name, const char *otherwise) {
    const char *value = json_string_value(json_object_get(line, name));
    return hf_str_of(value ? value : otherwise);
}

static double number(const json_t *line, const char *name) { return json_number_value(json_object_get(line, name)); }
static int64_t whole(const json_t *line, const char *name) { return json_integer_value(json_object_get(line, name)); }

/* The body of an event, where the line names one. */
static void compose(const json_t *line, hf_buf *body, hf_post *p) {
    hf_str files[16];
    hf_err err;
    size_t i;
    json_t *value;
    hf_payload_format format = HF_PAYLOAD_STANDARD;
    hf_webhook_facts f = {.event = HF_WE_TEST};
    if (!json_object_get(line, "event"))
        return;
    hf_webhook_event_from_name(text(line, "event", ""), &f.event);
    hf_payload_format_from_name(text(line, "format", ""), &format);
    f.at = whole(line, "at");
    f.job_id = text(line, "job_id", "");
    f.job_name = text(line, "job_name", "");
    f.vm_path = text(line, "vm_path", "");
    f.output_path = text(line, "output_path", "");
    f.duration_seconds = number(line, "duration_seconds");
    f.ovf_path = text(line, "ovf_path", "");
    f.error = text(line, "error", "");
    f.phase = text(line, "phase", "");
    f.percent_complete = number(line, "percent_complete");
    f.files_done = whole(line, "files_done");
    f.files_total = whole(line, "files_total");
    f.bytes_done = whole(line, "bytes_done");
    f.bytes_total = whole(line, "bytes_total");
    f.provider = text(line, "provider", "");
    f.vms = text(line, "vms", "");
    json_array_foreach(json_object_get(line, "exported_files"), i, value)
        if (i < HF_ARRAY_LEN(files))
            files[f.exported_files.count++] = hf_str_of(json_string_value(value));
    f.exported_files.items = files;
    if (hf_payload_write(body, format, &f, p->webhook_id, HF_STR("/hyperfleet/test"), &err))
        die("payload", &err);
    p->body = hf_buf_str(body);
    p->content_type = hf_str_of(hf_payload_content_type(format));
}

static void post(const json_t *line, uint64_t tag) {
    hf_signing_key keys[HF_SIGNING_KEYS_MAX];
    hf_post_header headers[HF_POST_HEADERS_MAX + 1];
    hf_err err = {0};
    hf_post p = {.tag = tag,
                 .url = text(line, "url", ""),
                 .endpoint = text(line, "endpoint", "e"),
                 .body = text(line, "body", "{}"),
                 .content_type = text(line, "content_type", "application/json"),
                 .webhook_id = text(line, "id", "msg_1"),
                 .timeout_ms = json_integer_value(json_object_get(line, "timeout_ms")),
                 .keys = keys,
                 .headers = headers};
    size_t i;
    json_t *value;
    const char *name;
    json_array_foreach(json_object_get(line, "secrets"), i, value)
        if (hf_signing_key_parse(hf_str_of(json_string_value(value)), &keys[p.key_count++], &err))
            die("secret", &err);
    json_object_foreach(json_object_get(line, "headers"), name, value)
        if (p.header_count <= HF_POST_HEADERS_MAX)
            headers[p.header_count++] = (hf_post_header){hf_str_of(name), hf_str_of(json_string_value(value))};
    hf_buf body;
    hf_buf_init(&body, HF_PAYLOAD_MAX_BYTES);
    compose(line, &body, &p);
    hf_code code;
    while ((code = hf_sender_post(sender, &p, &err)) == HF_E_BUSY)
        turn(1000);
    if (code) {
        hf_post_outcome o = {.code = code, .retry_after_ms = -1};
        snprintf(o.error, sizeof o.error, "%.399s", err.detail);
        print(tag, "not-taken", &o);
    }
    hf_buf_done(&body);
}

static void drain(void) {
    while (hf_sender_in_flight(sender))
        turn(1000);
}

int main(int argc, char **argv) {
    hf_sender_options options = {.allow_private = false};
    hf_sender_hooks hooks = {.on_done = on_done};
    hf_err err;
    bool step_max = false;
    for (int i = 1; i < argc; i++) {
        options.allow_private |= !strcmp(argv[i], "--allow-private");
        step_max |= !strcmp(argv[i], "--step-max");
        options.dns_cache_ms = strcmp(argv[i], "--no-dns-cache") ? options.dns_cache_ms : -1;
        if (i + 1 == argc)
            break;
        options.ca_file = strcmp(argv[i], "--ca") ? options.ca_file : argv[i + 1];
        options.proxy = strcmp(argv[i], "--proxy") ? options.proxy : argv[i + 1];
        options.in_flight = strcmp(argv[i], "--in-flight") ? options.in_flight : (uint32_t)atoi(argv[i + 1]);
        options.endpoint_in_flight =
            strcmp(argv[i], "--per-endpoint") ? options.endpoint_in_flight : (uint32_t)atoi(argv[i + 1]);
    }
    if (hf_sender_new(&options, &hooks, &sender, &err))
        die("sender", &err);
    hf_auto_free char *buffer = NULL;
    size_t size = 0;
    for (uint64_t tag = 1; getline(&buffer, &size, stdin) > 0; tag++) {
        json_t *line = json_loads(buffer, 0, NULL);
        if (!line)
            die("a line is no JSON", NULL);
        if (json_is_true(json_object_get(line, "wait")) || json_object_get(line, "sleep_ms"))
            drain();
        if (json_object_get(line, "sleep_ms"))
            usleep((useconds_t)json_integer_value(json_object_get(line, "sleep_ms")) * 1000);
        else
            post(line, tag);
        json_decref(line);
    }
    drain();
    hf_sender_free(sender);
    if (step_max)
        printf("{\"longest_step_ms\":%lld}\n", (long long)longest_step_ms);
    return 0;
}
