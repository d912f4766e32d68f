#include "producer/submit/jobfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"
#include "schemas/event/json.h"

/* YAML's flow style looks like JSON, so the first character decides only which parser's errors are told. */
static bool looks_like_json(hf_str text) {
    for (uint32_t i = 0; i < text.len; i++)
        if (!isspace((unsigned char)text.p[i]))
            return text.p[i] == '{' || text.p[i] == '[';
    return false;
}

static hf_code check_list(const json_t *jobs, const char *source, hf_err *reterr) {
    size_t count = json_array_size(jobs);
    if (count == 0)
        return hf_fail(reterr, HF_E_INVALID, "%s: holds no job", source);
    if (count > HF_JOBS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "%s: %zu jobs; %d at once are allowed, split the file", source, count,
                       HF_JOBS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!json_is_object(json_array_get(jobs, i)))
            return hf_fail(reterr, HF_E_INVALID,
                           "%s: job %zu is no object; a job is {\"name\": ..., \"vm_path\": ..., \"output_dir\": ...}",
                           source, i + 1);
    return HF_OK;
}

/* Takes `parsed`. */
static hf_code list_of(json_t *parsed, const char *source, json_t **ret_jobs, hf_err *reterr) {
    json_t *jobs = NULL, *inside = json_object_get(parsed, "jobs");
    if (json_is_array(parsed))
        jobs = json_incref(parsed);
    else if (json_is_array(inside))
        jobs = json_incref(inside);
    else if (json_is_object(parsed) && !inside)
        jobs = json_pack("[O]", parsed);
    json_decref(parsed);
    if (!jobs)
        return hf_fail(reterr, HF_E_INVALID, "%s: give one job, a list of jobs, or {jobs: [...]}", source);
    hf_code code = check_list(jobs, source, reterr);
    if (code)
        json_decref(jobs);
    else
        *ret_jobs = jobs;
    return code;
}

hf_code hf_jobs_parse(hf_str text, const char *source, json_t **ret_jobs, hf_err *reterr) {
    json_t *parsed = looks_like_json(text) ? hf_json_parse(text, HF_JOBFILE_MAX, reterr)
                                           : hf_yaml_parse(text, HF_JOBFILE_MAX, reterr);
    /* {name: web-01, vm_path: ...} is YAML that begins like JSON. The error told is that of JSON: it is what was meant more often. */
    if (!parsed && looks_like_json(text))
        parsed = hf_yaml_parse(text, HF_JOBFILE_MAX, NULL);
    if (!parsed)
        return reterr ? hf_context(reterr, "%s", source) : HF_E_PARSE;
    return list_of(parsed, source, ret_jobs, reterr);
}

static hf_code read_all(int fd, const char *source, hf_buf *text, hf_err *reterr) {
    for (;;) {
        uint8_t *room = hf_buf_reserve(text, 65536);
        if (!room)
            return hf_fail(reterr, HF_E_LIMIT, "%s: longer than %d bytes; split it", source, HF_JOBFILE_MAX);
        ssize_t n = read(fd, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_fail_errno(reterr, errno, "%s", source);
        if (n == 0)
            return HF_OK;
        text->len += (size_t)n;
    }
}

hf_code hf_jobs_read(const char *path, json_t **ret_jobs, hf_err *reterr) {
    bool standard = strcmp(path, "-") == 0;
    const char *source = standard ? "standard input" : path;
    hf_auto_fd int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!standard && opened < 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    hf_buf text;
    hf_buf_init(&text, (size_t)HF_JOBFILE_MAX + 65536);
    hf_code code = read_all(standard ? STDIN_FILENO : opened, source, &text, reterr);
    if (!code)
        code = hf_jobs_parse(hf_buf_str(&text), source, ret_jobs, reterr);
    hf_buf_done(&text);
    return code;
}
