/* A line for people: "Job completed: web-01 (20 min 34 s)". Slack reads &, < and > as mark-up (<!channel> rings everybody's bell), so
 * texts have them escaped; a message is short, whatever the job says. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "schemas/event/json.h"
#include "schemas/webhook/payload_inside.h"

static const char *const titles[] = {
#define HF_WEBHOOK_EVENT(id, name, title) title,
#include "schemas/webhook/events.def"
#undef HF_WEBHOOK_EVENT
    "A trial delivery of Hyperfleet: no job is behind it",
};

static void piece(hf_buf *out, hf_str value) { hf_payload_slack_piece(out, value, HF_PAYLOAD_SLACK_TEXT); }

static void duration(hf_buf *out, double seconds) {
    int64_t s = isfinite(seconds) && seconds > 0 && seconds < 1e9 ? (int64_t)(seconds + 0.5) : 0;
    if (s >= 3600)
        hf_buf_printf(out, " (%" PRId64 " h %" PRId64 " min)", s / 3600, s / 60 % 60);
    else if (s >= 60)
        hf_buf_printf(out, " (%" PRId64 " min %" PRId64 " s)", s / 60, s % 60);
    else
        hf_buf_printf(out, " (%" PRId64 " s)", s);
}

static void progress(hf_buf *out, const hf_webhook_facts *f) {
    if (f->phase.len) {
        hf_buf_puts(out, ", ");
        piece(out, f->phase);
    }
    if (isfinite(f->percent_complete) && f->percent_complete >= 0)
        hf_buf_printf(out, " %.0f %%", f->percent_complete > 100 ? 100 : f->percent_complete);
}

static void count(hf_buf *out, const hf_webhook_facts *f) {
    json_t *vms = f->vms.len ? hf_json_parse(f->vms, HF_PAYLOAD_MAX_BYTES, NULL) : NULL;
    hf_buf_puts(out, ": ");
    piece(out, f->provider);
    hf_buf_printf(out, " has %zu of them", json_is_array(vms) ? json_array_size(vms) : 0);
    json_decref(vms);
}

static void about_job(hf_buf *out, const hf_webhook_facts *f) {
    hf_buf_puts(out, ": ");
    piece(out, f->job_name.len ? f->job_name : f->job_id);
    switch ((int)f->event) {
    case HF_WE_JOB_CREATED:
        hf_buf_puts(out, " from ");
        piece(out, f->vm_path);
        break;
    case HF_WE_JOB_PROGRESS: progress(out, f); break;
    case HF_WE_JOB_COMPLETED: duration(out, f->duration_seconds); break;
    case HF_WE_JOB_FAILED:
        hf_buf_puts(out, ": ");
        piece(out, f->error);
        break;
    default: break;
    }
}

static void line(hf_buf *out, const hf_webhook_facts *f) {
    hf_buf_puts(out, f->test && f->event != HF_WE_TEST ? "Trial: " : "");
    hf_buf_puts(out, titles[f->event]);
    if (f->event == HF_WE_VM_DISCOVERED)
        count(out, f);
    else if (f->event != HF_WE_TEST)
        about_job(out, f);
}

static void small_print(hf_buf *out, const hf_webhook_facts *f) {
    hf_buf_puts(out, ",{\"type\":\"context\",\"elements\":[{\"type\":\"mrkdwn\",\"text\":\"");
    hf_payload_slack_piece(out, hf_str_of(hf_webhook_event_name(f->event)), HF_PAYLOAD_SLACK_TEXT);
    if (f->job_id.len) {
        hf_buf_puts(out, " of job ");
        piece(out, f->job_id);
    }
    hf_buf_puts(out, "\"}]}");
}

void hf_payload_slack(hf_buf *out, const hf_webhook_facts *f) {
    hf_buf_puts(out, "{\"text\":\"");
    line(out, f);
    hf_buf_puts(out, "\",\"blocks\":[{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"");
    line(out, f);
    hf_buf_puts(out, "\"}}");
    small_print(out, f);
    hf_buf_puts(out, "]}");
}
