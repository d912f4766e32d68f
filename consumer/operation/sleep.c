/* Operation sleep: {"ms": N, "steps": n, "fail": "text"}; its report is {"started_unix_ns"}, when the runner began. For trials and tests; never offered unless configured. */
#include <inttypes.h>
#include <time.h>

#include "consumer/operation/builtin.h"
#include "schemas/base/clock.h"

enum { SLICE_MS = 20, STEPS_MAX = 1000 };
static const int64_t sleep_ms_max = 24LL * 3600 * 1000;

static const char *report_of_now(const hf_run *run) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return hf_arena_printf(run->arena, "{\"started_unix_ns\":%" PRId64 "}", (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

static hf_code sleep_until(const hf_run *run, int64_t end_ns, hf_err *reterr) {
    for (int64_t left; (left = end_ns - hf_mono_ns()) > 0;) {
        if (run->cancel && atomic_load(run->cancel))
            return hf_fail(reterr, HF_E_CANCELLED, "cancelled on request");
        struct timespec slice = {.tv_nsec = left < SLICE_MS * 1000000L ? left : SLICE_MS * 1000000L};
        nanosleep(&slice, NULL);
    }
    return HF_OK;
}

hf_code hf_op_sleep(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    json_t *parameters = hf_run_parameters(run, reterr);
    if (!parameters)
        return reterr ? reterr->code : HF_E_INVALID;
    int64_t ms = json_integer_value(json_object_get(parameters, "ms"));
    int64_t steps = json_integer_value(json_object_get(parameters, "steps"));
    const char *fail = json_string_value(json_object_get(parameters, "fail"));
    *ret_phase = HF_STR("sleep");
    hf_code rc = ms >= 0 && ms <= sleep_ms_max && steps >= 0 && steps <= STEPS_MAX
                     ? HF_OK
                     : hf_fail(reterr, HF_E_INVALID, "sleep takes ms from 0 to %" PRId64 " and steps from 0 to %d",
                               sleep_ms_max, STEPS_MAX);
    int64_t start = hf_mono_ns();
    const char *report = report_of_now(run);
    for (int64_t i = 0; rc == HF_OK && i < (steps ? steps : 1); i++) {
        rc = sleep_until(run, start + ms * 1000000 * (i + 1) / (steps ? steps : 1), reterr);
        if (rc == HF_OK && steps > 0 && run->report) {
            hf_progress p = {
                .phase = *ret_phase, .percent = 100.0 * (double)(i + 1) / (double)steps, .eta_seconds = -1};
            run->report(run->report_ctx, &p);
        }
    }
    if (rc == HF_OK && fail)
        rc = hf_fail(reterr, HF_E_TOOL_FAILED, "%s", fail);
    json_decref(parameters);
    if (rc == HF_OK)
        *ret_result = (hf_result){.duration_ms = (hf_mono_ns() - start) / 1000000, .report = hf_str_of(report)};
    return rc;
}
