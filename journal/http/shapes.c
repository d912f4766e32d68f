#include "journal/http/shapes.h"

#include "schemas/event/json.h"

json_t *hf_shape_time(int64_t wall_ms) {
    char text[HF_RFC3339_BYTES];
    return wall_ms ? json_string(hf_time_format(wall_ms, text)) : json_null();
}

json_t *hf_shape_str(hf_str s) {
    json_t *j = json_stringn(s.p ? s.p : "", s.len);
    return j ? j : json_string("(not UTF-8)");
}

static void set(json_t *o, const char *key, json_t *value) { json_object_set_new(o, key, value); }
static void set_str(json_t *o, const char *key, hf_str s) {
    if (s.len)
        set(o, key, hf_shape_str(s));
}
static void set_time(json_t *o, const char *key, int64_t wall_ms) {
    if (wall_ms)
        set(o, key, hf_shape_time(wall_ms));
}
static void set_raw(json_t *o, const char *key, hf_str raw) {
    json_t *value = raw.len ? json_loadb(raw.p, raw.len, JSON_DECODE_ANY, NULL) : NULL;
    if (value)
        set(o, key, value);
}

static json_t *options_of(const hf_options *options) {
    json_t *o = json_object();
    if (options->parallel_downloads)
        set(o, "parallel_downloads", json_integer(options->parallel_downloads));
    set(o, "remove_cdrom", json_boolean(options->remove_cdrom));
    set(o, "create_ova", json_boolean(options->create_ova));
    if (options->compress_level)
        set(o, "compress_level", json_integer(options->compress_level));
    set_str(o, "codec", options->codec);
    if (options->bandwidth_limit)
        set(o, "bandwidth_limit", json_integer(options->bandwidth_limit));
    set_str(o, "manifest", options->manifest);
    return o;
}

json_t *hf_shape_definition(const hf_job *job) {
    const hf_spec *s = job->spec;
    json_t *d = json_object();
    set(d, "id", hf_shape_str(job->id));
    set(d, "name", hf_shape_str(s->name));
    set(d, "vm_path", hf_shape_str(s->vm_path));
    set_str(d, "output_path", s->output_dir);
    set_str(d, "output_dir", s->output_dir);
    set_str(d, "format", s->format);
    set_str(d, "operation", s->operation);
    set_str(d, "provider", s->provider);
    set_str(d, "endpoint", s->endpoint);
    if (s->disks.count) {
        json_t *disks = json_array();
        for (uint32_t i = 0; i < s->disks.count; i++)
            json_array_append_new(disks, hf_json_of(&HF_TYPE_DISK, HF_LIST_AT(s->disks, hf_disk, i), 0));
        set(d, "disks", disks);
    }
    set(d, "options", options_of(&s->options));
    set(d, "compress", json_boolean(s->options.compress));
    set(d, "priority", json_integer(hf_job_priority(job)));
    set(d, "retry_count", json_integer(s->policy.retry_count));
    set(d, "timeout_seconds", json_integer(s->policy.timeout_seconds));
    set_str(d, "requested_by", s->audit.requested_by);
    set_str(d, "ticket", s->audit.ticket);
    if (s->audit.tags.count) {
        json_t *tags = json_array();
        for (uint32_t i = 0; i < s->audit.tags.count; i++)
            json_array_append_new(tags, hf_shape_str(*HF_LIST_AT(s->audit.tags, hf_str, i)));
        set(d, "tags", tags);
    }
    set_raw(d, "parameters", s->parameters);
    set_raw(d, "metadata", s->metadata);
    set_time(d, "created_at", job->created_at);
    return d;
}

static json_t *progress_of(const hf_job *job, const hf_progress *p) {
    json_t *o = json_object();
    set(o, "phase", hf_shape_str(p->phase.len ? p->phase : job->phase));
    set_str(o, "current_file", p->current);
    set_str(o, "current_step", p->message);
    set(o, "files_downloaded", json_integer(p->files_done));
    set(o, "total_files", json_integer(p->files_total));
    set(o, "bytes_downloaded", json_integer(p->bytes_done));
    set(o, "bytes_transferred", json_integer(p->bytes_done));
    set(o, "total_bytes", json_integer(p->bytes_total));
    set(o, "percent_complete", json_real(job->state == HF_S_COMPLETED ? 100 : p->percent < 0 ? 0 : p->percent));
    if (p->eta_seconds >= 0)
        set(o, "estimated_remaining", json_integer(p->eta_seconds * 1000000000)); /* Go's time.Duration */
    return o;
}

static json_t *result_of(const hf_job *job) {
    const hf_result *r = job->result;
    json_t *o = json_object(), *files = json_array(), *artifacts = json_array();
    json_int_t total = 0;
    set(o, "vm_name", hf_shape_str(r->vm_name.len ? r->vm_name : job->spec->name));
    set(o, "output_dir", hf_shape_str(job->spec->output_dir));
    hf_str main = HF_STR_NONE;
    for (uint32_t i = 0; i < r->artifacts.count; i++) {
        const hf_artifact *a = HF_LIST_AT(r->artifacts, hf_artifact, i);
        total += a->size_bytes;
        if (hf_str_eqz(a->kind, "ovf") || (main.len == 0 && i == 0))
            main = a->path;
        json_array_append_new(files, hf_shape_str(a->path));
        json_array_append_new(artifacts, hf_json_of(&HF_TYPE_ARTIFACT, a, 0));
    }
    set(o, "ovf_path", hf_shape_str(main));
    set(o, "files", files);
    set(o, "output_files", json_incref(files));
    set(o, "artifacts", artifacts);
    set(o, "total_size", json_integer(total));
    set(o, "duration", json_integer(r->duration_ms * 1000000)); /* Go's time.Duration: ns */
    set(o, "success", json_true());
    set_str(o, "os_type", r->os_type);
    set_raw(o, "report", r->report);
    return o;
}

json_t *hf_shape_job(const hf_job *job, const hf_progress *progress) {
    json_t *o = json_object();
    set(o, "definition", hf_shape_definition(job));
    set(o, "status", json_string(hf_state_status((hf_state)job->state)));
    set(o, "state", json_string(hf_state_name((hf_state)job->state)));
    set(o, "attempt", json_integer(job->attempt));
    set_str(o, "worker", job->worker);
    if (job->cancel_requested)
        set(o, "cancel_requested", json_true());
    if (progress)
        set(o, "progress", progress_of(job, progress));
    if (job->result)
        set(o, "result", result_of(job));
    if (job->error && job->state != HF_S_COMPLETED) {
        set(o, "error", hf_shape_str(job->error->message));
        set(o, "error_detail", hf_json_of(&HF_TYPE_JOB_ERROR, job->error, 0));
    }
    set_time(o, "started_at", job->started_at);
    set_time(o, "completed_at", job->finished_at);
    set(o, "updated_at", hf_shape_time(job->updated_at));
    return o;
}
