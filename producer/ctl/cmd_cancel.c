/* hyperctl cancel. */
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "schemas/base/id.h"

static hf_code request_of(const hf_ctl *ctl, json_t **ret, hf_err *reterr) {
    json_t *ids = json_array();
    for (int i = 0; ids && i < ctl->args.rest_count; i++) {
        const char *id = ctl->args.rest[i];
        if (!hf_id_valid(hf_str_of(id))) {
            json_decref(ids);
            return hf_fail(reterr, HF_E_USAGE, "'%.128s' is no job id", id);
        }
        json_array_append_new(ids, json_string(id));
    }
    const char *reason = hf_args_get(&ctl->args, HF_OPT_REASON);
    json_t *request = ids ? json_pack("{s:o,s:s*}", "job_ids", ids, "reason", reason) : NULL;
    if (!request)
        return hf_fail(reterr, HF_E_NO_MEMORY, "request");
    *ret = request;
    return HF_OK;
}

/* The sidecar tells in words which it was: an id that does not exist, or a job that had ended. */
static hf_code failure_of(const char *words) {
    return words && strstr(words, "not found") ? HF_E_NOT_FOUND : HF_E_CONFLICT;
}

static bool is_in(const json_t *list, const char *id) {
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), id) == 0)
            return true;
    return false;
}

static hf_code tell(hf_ctl *ctl, const json_t *answer, hf_err *reterr) {
    hf_code code = HF_OK;
    const json_t *errors = json_object_get(answer, "errors");
    for (int i = 0; i < ctl->args.rest_count; i++) {
        const char *id = ctl->args.rest[i], *words = json_string_value(json_object_get(errors, id));
        if (!words && !is_in(json_object_get(answer, "cancelled"), id))
            words =
                "the sidecar's answer does not name the job; `hyperctl events ID` shows whether the request is on record";
        if (!words) {
            if (!ctl->json)
                fprintf(ctl->out, "%s: cancel requested\n", id);
            continue;
        }
        if (ctl->args.rest_count > 1)
            fprintf(stderr, "hyperctl cancel: %s\n", words);
        code = hf_fail(reterr, failure_of(words), "%s", words);
    }
    return code && ctl->args.rest_count > 1 ? hf_fail(reterr, code, "%zu of %d jobs could not be cancelled",
                                                      json_object_size(errors), ctl->args.rest_count)
                                            : code;
}

hf_code hf_cmd_cancel(hf_ctl *ctl, hf_err *reterr) {
    hf_http *http;
    json_t *request = NULL, *answer = NULL;
    hf_code code = request_of(ctl, &request, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &http, reterr);
    if (!code)
        code = hf_http_call(http, "POST", "/jobs/cancel", request, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    if (!code)
        code = tell(ctl, answer, reterr);
    json_decref(request);
    json_decref(answer);
    return code;
}
