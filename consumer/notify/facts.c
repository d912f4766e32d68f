#include "consumer/notify/facts.h"

#include <jansson.h>

#include "schemas/base/mem.h"

/* The event a transition means, if it means one. A lease that ran out is a failure only where no attempt was left. */
static bool meaning(hf_event event, const hf_job *after, hf_webhook_event *ret) {
    static const struct {
        hf_event event;
        hf_webhook_event means;
    } table[] = {{HF_EV_CREATED, HF_WE_JOB_CREATED},     {HF_EV_STARTED, HF_WE_JOB_STARTED},
                 {HF_EV_COMPLETED, HF_WE_JOB_COMPLETED}, {HF_EV_CANCELLED, HF_WE_JOB_CANCELLED},
                 {HF_EV_REJECTED, HF_WE_JOB_FAILED},     {HF_EV_FAILED, HF_WE_JOB_FAILED},
                 {HF_EV_LEASE_EXPIRED, HF_WE_JOB_FAILED}};
    if (event == HF_EV_LEASE_EXPIRED && after->state != HF_S_FAILED)
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(table); i++)
        if (table[i].event == event) {
            *ret = table[i].means;
            return true;
        }
    return false;
}

static void say_result(const hf_result *result, hf_arena *arena, hf_webhook_facts *f) {
    hf_str *files = hf_arena_alloc(arena, (result->artifacts.count + 1) * sizeof *files);
    for (uint32_t i = 0; i < result->artifacts.count; i++) {
        const hf_artifact *artifact = HF_LIST_AT(result->artifacts, hf_artifact, i);
        if (files)
            files[i] = artifact->path;
        if (hf_str_eqz(artifact->kind, "ovf") || (hf_str_eqz(artifact->kind, "ova") && !f->ovf_path.len))
            f->ovf_path = artifact->path;
    }
    f->exported_files = (hf_list){files, files ? result->artifacts.count : 0};
}

static void say_end(const hf_job *job, hf_arena *arena, hf_webhook_facts *f) {
    int64_t began = job->started_at ? job->started_at : job->created_at;
    f->duration_seconds = job->finished_at > began ? (double)(job->finished_at - began) / 1000.0 : 0;
    if (f->event == HF_WE_JOB_COMPLETED && job->result)
        say_result(job->result, arena, f);
    if (f->event == HF_WE_JOB_FAILED && job->error)
        f->error = job->error->message.len ? job->error->message : job->error->code;
}

/* The report of a `discover` job: {"provider", "vms": […]}. */
static void say_machines(const hf_job *job, hf_arena *arena, hf_webhook_facts *f) {
    hf_str report = job->result ? job->result->report : HF_STR_NONE;
    json_t *json = json_loadb(report.p ? report.p : "", report.len, 0, NULL);
    const char *provider = json_string_value(json_object_get(json, "provider"));
    const json_t *vms = json_object_get(json, "vms");
    hf_auto_free char *text = json_is_array(vms) ? json_dumps(vms, JSON_COMPACT) : NULL;
    f->provider = provider ? hf_arena_str(arena, hf_str_of(provider)) : job->spec->provider;
    f->vms = text ? hf_arena_str(arena, hf_str_of(text)) : HF_STR_NONE;
    json_decref(json);
}

static hf_webhook_facts about(hf_webhook_event event, int64_t at, const hf_job *job) {
    return (hf_webhook_facts){.event = event,
                              .at = at,
                              .job_id = job->id,
                              .job_name = job->spec->name,
                              .vm_path = job->spec->vm_path,
                              .output_path = job->spec->output_dir};
}

uint32_t hf_facts_of(const hf_record *record, const hf_job *after, hf_arena *arena,
                     hf_webhook_facts ret[HF_FACTS_MAX]) {
    uint32_t n = 0;
    hf_webhook_event event;
    for (uint32_t i = 0; i < record->transitions.count && n < HF_FACTS_MAX - 1; i++) {
        if (!meaning(hf_record_event(record, i), after, &event))
            continue;
        ret[n] = about(event, record->at, after);
        say_end(after, arena, &ret[n++]);
        if (event == HF_WE_JOB_COMPLETED && hf_str_eqz(after->spec->operation, "discover")) {
            ret[n] = about(HF_WE_VM_DISCOVERED, record->at, after);
            say_machines(after, arena, &ret[n++]);
        }
    }
    return n;
}

hf_webhook_facts hf_facts_of_progress(const hf_progress *p, const hf_job *job) {
    hf_webhook_facts f = about(HF_WE_JOB_PROGRESS, p->at, job);
    f.phase = p->phase;
    f.percent_complete = p->percent;
    f.files_done = p->files_done;
    f.files_total = p->files_total;
    f.bytes_done = p->bytes_done;
    f.bytes_total = p->bytes_total;
    return f;
}
