/* POST /api/v1/jobs/{id}/adjust: another priority or bandwidth, while the job is alive. */
#include <stdio.h>

#include "journal/http/v1/v1.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/propose.h"

#define BANDWIDTH_MAX ((int64_t)1 << 50)

/* Bytes a second: a number, or a text such as "50MiB/s". */
static bool read_bandwidth(const json_t *value, int64_t *ret) {
    if (json_is_string(value))
        return hf_bytes_parse((hf_str){json_string_value(value), (uint32_t)json_string_length(value)}, ret) &&
               *ret <= BANDWIDTH_MAX;
    return hf_json_whole(value, 0, BANDWIDTH_MAX, ret);
}

static hf_code read_body(const json_t *body, hf_ev_adjusted *ret, hf_err *reterr) {
    const json_t *priority = json_object_get(body, "priority"), *limit = json_object_get(body, "bandwidth_limit"),
                 *reason = json_object_get(body, "reason");
    size_t known = (size_t)((priority != NULL) + (limit != NULL) + (reason != NULL));
    *ret = (hf_ev_adjusted){.bandwidth_limit = -1};
    if (!json_is_object(body) || (!priority && !limit) || json_object_size(body) > known)
        return hf_fail(reterr, HF_E_INVALID,
                       "the body must have priority, bandwidth_limit or both, may have reason, and nothing else");
    int64_t number = 0;
    if (priority && !hf_json_whole(priority, HF_PRIORITY_HIGHEST, HF_PRIORITY_LOWEST, &number))
        return hf_fail(reterr, HF_E_INVALID, "priority must be %d (highest) to %d", HF_PRIORITY_HIGHEST,
                       HF_PRIORITY_LOWEST);
    if (limit && !read_bandwidth(limit, &ret->bandwidth_limit))
        return hf_fail(
            reterr, HF_E_INVALID,
            "bandwidth_limit must be bytes a second, such as 1048576 or \"50MiB/s\", at most 1024TiB/s, or 0 for none");
    if (reason && (!json_is_string(reason) || json_string_length(reason) > HF_MAX_TEXT))
        return hf_fail(reterr, HF_E_INVALID, "reason must be a text of at most %d bytes", HF_MAX_TEXT);
    ret->priority = (int32_t)number;
    ret->reason = hf_str_of(reason ? json_string_value(reason) : "");
    return HF_OK;
}

/* With what counts now, which is what was asked for unless somebody else was as quick. */
static void answer(hf_request *r, hf_write *w) {
    const hf_write_item *item = &w->items[0];
    hf_look l;
    hf_job job;
    if (w->late) {
        hf_reply_error(r, 504, "the journal did not fold the request within %lld ms; it may still take effect",
                       (long long)r->http->write_wait_ms);
        return;
    }
    if (item->code != HF_OK) {
        hf_err err;
        hf_fail(&err, item->code, "%s", item->code == HF_E_REFUSED ? "it ended a moment before" : item->error);
        hf_reply_err(r, &err);
        return;
    }
    if (hf_look_at_jobs(r, &l) && hf_look_job(r, &l, &job))
        hf_reply_json(r, 200,
                      json_pack("{s:s, s:i, s:I}", "job_id", item->id, "priority", (int)hf_job_priority(&job),
                                "bandwidth_limit", (json_int_t)hf_job_bandwidth(&job)));
    hf_look_end(&l);
}

static hf_code propose(hf_request *r, const hf_ev_adjusted *to, const hf_job *job, hf_arena *arena, hf_write **ret,
                       hf_err *reterr) {
    if (hf_state_terminal((hf_state)job->state))
        return hf_fail(reterr, HF_E_CONFLICT, "job %.*s cannot be adjusted (status: %s)", HF_STR_ARG(job->id),
                       hf_state_status((hf_state)job->state));
    hf_record *record =
        hf_propose(arena, job->id, job->attempt, hf_wall_ms(r->http->clock), hf_request_proposer(r, arena));
    hf_ev_adjusted *adjusted = record ? hf_propose_add(arena, record, HF_EV_ADJUSTED) : NULL;
    if (!adjusted || !(*ret = hf_write_new(r, 1, answer)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    *adjusted = *to;
    hf_write_put(*ret, 0, record);
    return HF_OK;
}

void hf_handle_v1_job_adjust(hf_request *r) {
    hf_look l;
    hf_job job;
    hf_err err;
    hf_ev_adjusted to;
    hf_write *w = NULL;
    json_t *body = hf_request_json(r);
    if (!body)
        return;
    if (read_body(body, &to, &err) != HF_OK)
        hf_reply_err(r, &err);
    else {
        if (hf_look_at_jobs(r, &l) && hf_look_job(r, &l, &job) && propose(r, &to, &job, &l.arena, &w, &l.err) != HF_OK)
            hf_reply_err(r, &l.err);
        hf_look_end(&l);
    }
    json_decref(body);
    if (w)
        hf_write_begin(w);
}
