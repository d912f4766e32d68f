#include "producer/ctl/jobview.h"

#include <string.h>

#include "schemas/base/clock.h"

static const char *text_of(const json_t *object, const char *member) {
    const char *text = json_string_value(json_object_get(object, member));
    return text && *text ? text : NULL;
}

static int64_t time_of(const json_t *object, const char *member) {
    int64_t ms;
    const char *text = text_of(object, member);
    return text && hf_time_parse(hf_str_of(text), &ms) ? ms : 0;
}

static double number_of(const json_t *object, const char *member) {
    const json_t *value = json_object_get(object, member);
    return json_is_number(value) ? json_number_value(value) : -1;
}

static const char *first(const char *a, const char *b) { return a ? a : b; }

static void read_progress(const json_t *progress, hf_job_view *v) {
    v->phase = text_of(progress, "phase");
    v->percent = number_of(progress, "percent_complete");
    v->bytes_done = number_of(progress, "bytes_transferred");
    if (v->bytes_done < 0)
        v->bytes_done = number_of(progress, "bytes_downloaded");
    v->bytes_total = number_of(progress, "total_bytes");
}

/* Some tell the error as text, some as {code, message}. */
static const char *error_of(const json_t *job) {
    const json_t *error = json_object_get(job, "error");
    return json_is_object(error) ? text_of(error, "message") : text_of(job, "error");
}

void hf_job_view_read(const json_t *job, hf_job_view *ret) {
    const json_t *d = json_object_get(job, "definition");
    hf_job_view v = {.id = first(text_of(d, "id"), first(text_of(job, "job_id"), text_of(job, "id"))),
                     .name = text_of(d, "name"),
                     .vm_path = text_of(d, "vm_path"),
                     .output_dir = first(text_of(d, "output_dir"), text_of(d, "output_path")),
                     .format = text_of(d, "format"),
                     .provider = text_of(d, "provider"),
                     .operation = text_of(d, "operation"),
                     .status = text_of(job, "status"),
                     .worker = text_of(job, "worker"),
                     .error = error_of(job),
                     .attempt = (int64_t)number_of(job, "attempt"),
                     .created_ms = time_of(d, "created_at"),
                     .started_ms = time_of(job, "started_at"),
                     .finished_ms = time_of(job, "completed_at"),
                     .updated_ms = time_of(job, "updated_at")};
    v.state = first(text_of(job, "state"), v.status);
    read_progress(json_object_get(job, "progress"), &v);
    v.phase = first(v.phase, text_of(job, "phase"));
    v.ended = v.status && (strcmp(v.status, "completed") == 0 || strcmp(v.status, "failed") == 0 ||
                           strcmp(v.status, "cancelled") == 0);
    *ret = v;
}
