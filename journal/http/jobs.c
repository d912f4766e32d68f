/* Reading jobs in the older shapes: query, one job, progress, ETA. */
#include <math.h>
#include <stdio.h>

#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/shapes.h"
#include "journal/http/v1/v1.h"
#include "schemas/event/json.h"

enum { LIMIT_DEFAULT = 1000, LIMIT_MAX = 10000 };

static const hf_progress *progress_of(hf_request *r, hf_look *l, const hf_job *job, hf_progress *p) {
    hf_err none;
    return hf_lookup_progress(r->http, l->read, job, &l->arena, p, &none) == HF_OK ? p : NULL;
}

/* ---- lists --------------------------------------------------------------------------------------------- */
typedef struct listing {
    hf_request *r;
    hf_look *look;
    json_t *jobs;
    json_int_t limit;
    bool cut;
} listing;

static bool add_job(void *ctx, const hf_job *job) {
    listing *l = ctx;
    hf_progress p;
    if (job->deleted)
        return true;
    if ((json_int_t)json_array_size(l->jobs) >= l->limit) {
        l->cut = true;
        return false;
    }
    json_array_append_new(l->jobs, hf_shape_job(job, progress_of(l->r, l->look, job, &p)));
    return true;
}

static void reply_listing(hf_request *r, listing *l) {
    json_t *o = json_pack("{s:O,s:I,s:o}", "jobs", l->jobs, "total", (json_int_t)json_array_size(l->jobs), "timestamp",
                          hf_json_now());
    if (o && l->cut)
        json_object_set_new(o, "truncated", json_true());
    hf_reply_json(r, 200, o);
}

static void list_states(hf_request *r, unsigned states, json_int_t limit) {
    hf_look l;
    listing list = {.r = r, .look = &l, .jobs = json_array(), .limit = limit};
    if (hf_look_at_jobs(r, &l)) {
        hf_code code = hf_lookup_states(r->http, l.read, states, add_job, &list, &l.err);
        if (code == HF_OK)
            reply_listing(r, &list);
        else
            hf_reply_err(r, &l.err);
    }
    json_decref(list.jobs);
    hf_look_end(&l);
}

static unsigned live_states(void) {
    unsigned states = 0;
    for (int s = 0; s < HF_STATE_COUNT; s++)
        states |= hf_state_terminal((hf_state)s) ? 0 : 1u << s;
    return states;
}
enum { ALL_STATES = (1u << HF_STATE_COUNT) - 1 };

void hf_handle_jobs_list(hf_request *r) {
    bool all = hf_request_number(r, HF_P_ALL, 0) != 0;
    list_states(r, all ? ALL_STATES : (unsigned)hf_request_number(r, HF_P_STATUS, live_states()),
                hf_request_number(r, HF_P_LIMIT, LIMIT_DEFAULT));
}

static void list_ids(hf_request *r, const json_t *ids) {
    hf_look l;
    listing list = {.r = r, .look = &l, .jobs = json_array(), .limit = LIMIT_MAX};
    size_t i;
    json_t *id;
    if (hf_look_at_jobs(r, &l)) {
        json_array_foreach(ids, i, id) {
            hf_job job;
            if (json_is_string(id) &&
                hf_lookup_job(r->http, l.read, hf_str_of(json_string_value(id)), &l.arena, &job, &l.err) == HF_OK)
                if (!add_job(&list, &job))
                    break;
            hf_arena_reset(&l.arena);
        }
        reply_listing(r, &list);
    }
    json_decref(list.jobs);
    hf_look_end(&l);
}

static void query(hf_request *r, const json_t *q) {
    const json_t *ids = json_object_get(q, "job_ids"), *status = json_object_get(q, "status"),
                 *limit = json_object_get(q, "limit"), *s;
    unsigned states = 0;
    size_t i;
    if (json_array_size(ids)) {
        list_ids(r, ids);
        return;
    }
    int64_t n = LIMIT_DEFAULT;
    if (limit && !hf_json_whole(limit, 0, LIMIT_MAX, &n)) {
        hf_reply_error(r, 400, "limit must be 1 to %d", LIMIT_MAX);
        return;
    }
    json_array_foreach(status, i, s)
        states |= json_is_string(s) ? hf_param_states(json_string_value(s)) : 0;
    if (json_is_true(json_object_get(q, "all")))
        states = ALL_STATES;
    else if (json_array_size(status) == 0)
        states = live_states();
    if (!states)
        hf_reply_error(r, 400, "status must be a list of pending, running, completed, failed, cancelled, or states");
    else
        list_states(r, states, n ? n : LIMIT_DEFAULT);
}

void hf_handle_jobs_query(hf_request *r) {
    json_t *q = r->body.len ? hf_request_json(r) : json_object();
    if (!q)
        return; /* answered */
    if (!json_is_object(q))
        hf_reply_error(r, 400, "the body must be an object: {job_ids?, status?, all?, limit?}");
    else
        query(r, q);
    json_decref(q);
}

/* ---- one job ------------------------------------------------------------------------------------------- */
void hf_handle_job_get(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_progress p;
    if (hf_look_at_jobs(r, &l) && hf_look_job(r, &l, &job))
        hf_reply_json(r, 200, hf_shape_job(&job, progress_of(r, &l, &job, &p)));
    hf_look_end(&l);
}

static json_t *head_of(const hf_job *job) {
    return json_pack("{s:o,s:s,s:o}", "job_id", hf_shape_str(job->id), "status", hf_state_status((hf_state)job->state),
                     "timestamp", hf_json_now());
}

static double elapsed_seconds(hf_request *r, const hf_job *job) {
    int64_t end = job->finished_at ? job->finished_at : hf_wall_ms(r->http->clock);
    return job->started_at && end > job->started_at ? (double)(end - job->started_at) / 1000 : 0;
}

static json_t *progress_shape(hf_request *r, const hf_job *job, const hf_progress *p) {
    json_t *o = head_of(job), *whole = hf_shape_job(job, p);
    json_t *progress = json_object_get(whole, "progress"), *error = json_object_get(whole, "error");
    if (progress)
        json_object_set(o, "progress", progress);
    if (p && p->bytes_per_second > 0)
        json_object_set_new(o, "transfer_rate_mbps", json_real(p->bytes_per_second / 1e6));
    if (job->started_at) {
        json_object_set_new(o, "started_at", hf_shape_time(job->started_at));
        json_object_set_new(o, "elapsed_seconds", json_real(elapsed_seconds(r, job)));
    }
    if (job->finished_at)
        json_object_set_new(o, "completed_at", hf_shape_time(job->finished_at));
    if (error)
        json_object_set(o, "error", error);
    json_decref(whole);
    return o;
}

void hf_handle_job_progress(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_progress p;
    if (hf_look_at_jobs(r, &l) && hf_look_job(r, &l, &job))
        hf_reply_json(r, 200, progress_shape(r, &job, progress_of(r, &l, &job, &p)));
    hf_look_end(&l);
}

static json_t *duration_text(double seconds) { /* as Go prints it: 1h2m3s */
    int64_t s = (int64_t)llround(seconds);
    char text[64];
    if (s >= 3600)
        snprintf(text, sizeof text, "%lldh%lldm%llds", (long long)(s / 3600), (long long)(s / 60 % 60),
                 (long long)(s % 60));
    else if (s >= 60)
        snprintf(text, sizeof text, "%lldm%llds", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(text, sizeof text, "%llds", (long long)s);
    return json_string(text);
}

static json_t *eta_shape(hf_request *r, const hf_job *job, const hf_progress *p) {
    double elapsed = elapsed_seconds(r, job), left = -1;
    if (hf_state_terminal((hf_state)job->state))
        return json_pack("{s:s}", "message", "the job is over");
    if (!job->started_at || !p || p->percent <= 0)
        return json_pack("{s:s}", "message", job->started_at ? "too early to tell" : "the job has not started");
    left = p->eta_seconds >= 0 ? (double)p->eta_seconds : elapsed * (100 - p->percent) / p->percent;
    return json_pack("{s:o,s:o,s:f,s:o,s:f,s:f}", "estimated_completion",
                     hf_shape_time(hf_wall_ms(r->http->clock) + (int64_t)(left * 1000)), "time_remaining",
                     duration_text(left), "time_remaining_seconds", left, "elapsed", duration_text(elapsed),
                     "elapsed_seconds", elapsed, "percent_complete", p->percent);
}

void hf_handle_job_eta(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_progress p;
    if (hf_look_at_jobs(r, &l) && hf_look_job(r, &l, &job)) {
        json_t *o = head_of(&job);
        json_object_set_new(o, "eta", eta_shape(r, &job, progress_of(r, &l, &job, &p)));
        hf_reply_json(r, 200, o);
    }
    hf_look_end(&l);
}
