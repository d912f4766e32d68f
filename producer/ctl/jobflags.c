#include "producer/ctl/jobflags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/job/intake.h"
#include "schemas/job/job.h"

/* Flags that are a text member of the job as they stand. */
static const struct {
    hf_option_id option;
    const char *member;
} texts[] = {
    {HF_OPT_JOB_ID, "job_id"}, {HF_OPT_NAME, "name"},         {HF_OPT_OPERATION, "operation"},
    {HF_OPT_FORMAT, "format"}, {HF_OPT_PROVIDER, "provider"}, {HF_OPT_ENDPOINT, "endpoint"},
};

const char *hf_job_flag_given(const hf_args *args) {
    static const hf_option_id flags[] = {
        HF_OPT_NAME,         HF_OPT_VM_PATH, HF_OPT_OUTPUT_DIR, HF_OPT_FORMAT, HF_OPT_OPERATION, HF_OPT_PROVIDER,
        HF_OPT_ENDPOINT,     HF_OPT_DISK,    HF_OPT_PRIORITY,   HF_OPT_RETRY,  HF_OPT_TIMEOUT,   HF_OPT_TAG,
        HF_OPT_REQUESTED_BY, HF_OPT_TICKET,  HF_OPT_JOB_ID,     HF_OPT_PARAM,  HF_OPT_OPTION};
    for (size_t i = 0; i < HF_ARRAY_LEN(flags); i++)
        if (hf_args_get(args, flags[i]))
            return hf_option_name(flags[i]);
    return NULL;
}

/* Adds text if there is any; takes nothing. */
static bool put(json_t *object, const char *member, const char *text) {
    return !text || json_object_set_new(object, member, json_string(text)) == 0;
}

static bool has_scheme(const char *path) { return strstr(path, "://") != NULL; }

/* cwd/path for a relative path; malloc'd. "." and "./x" lose their dot, ".." stays: the worker resolves it. */
static char *absolute(const char *path, const char *cwd) {
    if (*path == '/' || has_scheme(path))
        return hf_strndup(path, strlen(path));
    while (path[0] == '.' && (path[1] == '/' || !path[1]))
        path += path[1] ? 2 : 1;
    size_t size = strlen(cwd) + strlen(path) + 2;
    char *text = hf_alloc(size);
    if (text)
        snprintf(text, size, "%s%s%s", cwd, *path ? "/" : "", path);
    return text;
}

static bool is_local_image(const hf_args *args, const char *path) {
    const char *provider = hf_args_get(args, HF_OPT_PROVIDER);
    return provider ? strcmp(provider, "local") == 0 : hf_str_eqz(hf_intake_provider_of(hf_str_of(path)), "local");
}

static bool put_path(json_t *object, const char *member, const char *path, const char *cwd, bool complete) {
    if (!path)
        return true;
    hf_auto_free char *text = complete ? absolute(path, cwd) : hf_strndup(path, strlen(path));
    return text && put(object, member, text);
}

/* web-01 of /images/web-01.qcow2 and of /dc/vm/web-01 */
static bool put_default_name(json_t *job, const char *path) {
    if (!path || json_object_get(job, "name"))
        return true;
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *dot = hf_str_eqz(hf_intake_provider_of(hf_str_of(path)), "local") ? strrchr(base, '.') : NULL;
    size_t len = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    return len == 0 || json_object_set_new(job, "name", json_stringn(base, len)) == 0;
}

/* "true", 4, [1,2] and {"a":1} are JSON; anything else is text. */
static json_t *value_of(const char *text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return value ? value : json_string(text);
}

static hf_code put_pairs(const hf_args *args, hf_option_id option, json_t *job, const char *member, hf_err *reterr) {
    size_t cursor = 0;
    for (const char *pair; (pair = hf_args_next(args, option, &cursor));) {
        const char *equals = strchr(pair, '=');
        if (!equals || equals == pair) /* the text may be a secret in the wrong place: it is not repeated */
            return hf_fail(reterr, HF_E_USAGE, "--%s: give KEY=VALUE", hf_option_name(option));
        json_t *object = json_object_get(job, member);
        if (!object) {
            json_object_set_new(job, member, json_object());
            object = json_object_get(job, member);
        }
        hf_auto_free char *key = hf_strndup(pair, (size_t)(equals - pair));
        if (!key || json_object_set_new(object, key, value_of(equals + 1)) != 0)
            return hf_fail(reterr, HF_E_INVALID, "--%s '%.64s': key or value is not valid UTF-8",
                           hf_option_name(option), key ? key : "");
    }
    return HF_OK;
}

static hf_code put_list(const hf_args *args, hf_option_id option, json_t *object, const char *member, const char *cwd,
                        hf_err *reterr) {
    json_t *list = NULL;
    size_t cursor = 0;
    for (const char *item; (item = hf_args_next(args, option, &cursor));) {
        if (!list && json_object_set_new(object, member, json_array()) == 0)
            list = json_object_get(object, member);
        hf_auto_free char *text = cwd ? absolute(item, cwd) : hf_strndup(item, strlen(item));
        if (!list || !text || json_array_append_new(list, json_string(text)) != 0)
            return hf_fail(reterr, HF_E_INVALID, "--%s: not valid UTF-8, or no memory", hf_option_name(option));
    }
    return HF_OK;
}

/* "90m", "2h" or plain seconds -> seconds */
static hf_code read_timeout(const hf_args *args, json_t *policy, hf_err *reterr) {
    const char *text = hf_args_get(args, HF_OPT_TIMEOUT);
    int64_t ms = 0;
    if (!text)
        return HF_OK;
    bool digits = *text != 0;
    for (const char *p = text; *p; p++)
        digits &= isdigit((unsigned char)*p) != 0;
    if (digits && strlen(text) < 10)
        ms = atoll(text) * 1000;
    else if (digits || !hf_duration_parse(hf_str_of(text), &ms))
        ms = -1;
    if (ms < HF_TIMEOUT_MIN_S * 1000LL || ms > HF_TIMEOUT_MAX_S * 1000LL)
        return hf_fail(reterr, HF_E_USAGE, "--timeout '%.32s': give 90m, 2h or a number of seconds, from %d to %d s",
                       text, HF_TIMEOUT_MIN_S, HF_TIMEOUT_MAX_S);
    json_object_set_new(policy, "timeout_seconds", json_integer(ms / 1000));
    return HF_OK;
}

static hf_code put_policy(const hf_args *args, json_t *job, hf_err *reterr) {
    json_t *policy = json_object();
    long value;
    hf_code code = policy ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "job");
    if (!code && hf_args_get(args, HF_OPT_PRIORITY) &&
        !(code = hf_args_int(args, HF_OPT_PRIORITY, HF_PRIORITY_HIGHEST, HF_PRIORITY_LOWEST, 0, &value, reterr)))
        json_object_set_new(policy, "priority", json_integer(value));
    if (!code && hf_args_get(args, HF_OPT_RETRY) &&
        !(code = hf_args_int(args, HF_OPT_RETRY, 0, HF_RETRIES_MAX, 0, &value, reterr)))
        json_object_set_new(policy, "retry_count", json_integer(value));
    if (!code)
        code = read_timeout(args, policy, reterr);
    if (!code && json_object_size(policy) > 0)
        json_object_set(job, "execution_policy", policy);
    json_decref(policy);
    return code;
}

static hf_code put_audit(const hf_args *args, const char *user, json_t *job, hf_err *reterr) {
    json_t *audit = json_object();
    const char *by = hf_args_get(args, HF_OPT_REQUESTED_BY);
    bool good =
        audit && put(audit, "requested_by", by ? by : user) && put(audit, "ticket", hf_args_get(args, HF_OPT_TICKET));
    hf_code code = good ? put_list(args, HF_OPT_TAG, audit, "tags", NULL, reterr)
                        : hf_fail(reterr, HF_E_INVALID, "--requested-by or --ticket is not valid UTF-8");
    if (!code && json_object_size(audit) > 0)
        json_object_set(job, "audit", audit);
    json_decref(audit);
    return code;
}

static hf_code put_texts(const hf_args *args, const char *cwd, json_t *job, hf_err *reterr) {
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        if (!put(job, texts[i].member, hf_args_get(args, texts[i].option)))
            return hf_fail(reterr, HF_E_INVALID, "--%s is not valid UTF-8", hf_option_name(texts[i].option));
    const char *path = hf_args_get(args, HF_OPT_VM_PATH);
    if (!path && args->rest_count > 0)
        path = args->rest[0];
    size_t cursor = 0;
    const char *disk = hf_args_next(args, HF_OPT_DISK, &cursor);
    if (!path && !disk)
        return hf_fail(reterr, HF_E_USAGE, "name what to work on: a disk image or inventory path, --disk, or -f FILE");
    if (!put_path(job, "vm_path", path, cwd, path && is_local_image(args, path)) ||
        !put_path(job, "output_dir", hf_args_get(args, HF_OPT_OUTPUT_DIR), cwd, true) ||
        !put_default_name(job, path ? path : disk))
        return hf_fail(reterr, HF_E_INVALID, "a path is not valid UTF-8, or no memory");
    return put_list(args, HF_OPT_DISK, job, "disks", cwd, reterr);
}

hf_code hf_job_from_args(const hf_args *args, const char *cwd, const char *user, json_t **ret_job, hf_err *reterr) {
    json_t *job = json_object();
    hf_code code = job ? put_texts(args, cwd, job, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "job");
    if (!code)
        code = put_pairs(args, HF_OPT_OPTION, job, "options", reterr);
    if (!code)
        code = put_pairs(args, HF_OPT_PARAM, job, "parameters", reterr);
    if (!code)
        code = put_policy(args, job, reterr);
    if (!code)
        code = put_audit(args, user, job, reterr);
    if (code)
        json_decref(job);
    else
        *ret_job = job;
    return code;
}
