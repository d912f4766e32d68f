/* What a program says: its lines, its end, its outputs. Nothing of it is trusted. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "consumer/operation/external_private.h"
#include "consumer/pipeline/out.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

static hf_str text_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return (hf_str){json_string_value(value), (uint32_t)json_string_length(value)};
}

static hf_str cut(hf_str s, uint32_t max) { return s.len > max ? (hf_str){s.p, max} : s; }

static void report_event(hf_external_talk *talk, const json_t *event) {
    const json_t *percent = json_object_get(event, "progress_percent");
    double value = json_is_number(percent) ? json_number_value(percent) : -1;
    hf_str phase = cut(text_of(event, "phase"), sizeof talk->phase_text - 1);
    if (!hf_str_eqz(phase, talk->phase_text)) {
        memcpy(talk->phase_text, phase.p, phase.len);
        talk->phase_text[phase.len] = 0;
    }
    if (!talk->run->report)
        return;
    hf_progress p = {.phase = hf_str_of(talk->phase_text),
                     .percent = value >= 0 && value <= 100 ? value : -1,
                     .eta_seconds = -1,
                     .message = cut(text_of(event, "message"), 4096)};
    talk->run->report(talk->run->report_ctx, &p);
}

hf_code hf_external_line(hf_external_talk *talk, hf_str line, hf_err *reterr) {
    if (talk->result)
        return hf_fail(reterr, HF_E_PROTOCOL, "the program wrote a line after its JobResult");
    hf_err why;
    json_t *json = hf_json_parse(line, HF_EXTERNAL_LINE_MAX, &why);
    if (!json)
        return hf_fail(reterr, HF_E_PROTOCOL, "the program wrote a line that cannot be read: %s", why.detail);
    hf_code rc = HF_OK;
    hf_str job_id = text_of(json, "job_id");
    if (!json_is_object(json))
        rc = hf_fail(reterr, HF_E_PROTOCOL, "the program wrote a line that is not a JSON object");
    else if (!hf_str_eq(job_id, talk->run->job_id))
        rc = hf_fail(reterr, HF_E_PROTOCOL, "the program wrote of job \"%.*s\", and was given %.*s",
                     (int)cut(job_id, 128).len, job_id.p ? job_id.p : "", HF_STR_ARG(talk->run->job_id));
    else if (json_object_get(json, "status"))
        talk->result = json_incref(json);
    else if (text_of(json, "phase").len > 0)
        report_event(talk, json);
    else
        rc = hf_fail(reterr, HF_E_PROTOCOL,
                     "the program wrote an object that is neither a ProgressEvent (phase) nor a JobResult (status)");
    json_decref(json);
    return rc;
}

/* ---- the end -------------------------------------------------------------------------------------------- */
static bool says_success(const json_t *result) {
    hf_str status = text_of(result, "status");
    return hf_str_eqz(status, "success") || hf_str_eqz(status, "completed") || hf_str_eqz(status, "succeeded");
}

static void describe_end(int status, char *text, size_t size) {
    if (WIFSIGNALED(status))
        snprintf(text, size, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

hf_code hf_external_judge(hf_external_talk *talk, int status, const char *tail, hf_str *ret_phase, hf_err *reterr) {
    char end[96];
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    const char *colon = *tail ? "; its stderr ends: " : "";
    describe_end(status, end, sizeof end);
    if (!talk->result && clean)
        return hf_fail(reterr, HF_E_PROTOCOL, "the program ended without a JobResult%s%s", colon, tail);
    if (!talk->result)
        return hf_fail(reterr, HF_E_TOOL_FAILED, "the program %s and gave no JobResult%s%s", end, colon, tail);
    if (says_success(talk->result))
        return clean ? HF_OK
                     : hf_fail(reterr, HF_E_PROTOCOL, "the program reported success and then %s%s%s", end, colon, tail);
    const json_t *error = json_object_get(talk->result, "error");
    hf_str code = cut(text_of(error, "code"), 64), message = cut(text_of(error, "message"), 300),
           phase = cut(text_of(error, "phase"), 127);
    if (phase.len > 0) {
        hf_str kept = hf_arena_str(talk->run->arena, phase);
        if (kept.p)
            *ret_phase = kept;
    }
    return hf_fail(reterr, HF_E_TOOL_FAILED, "the program reported %.*s: %.*s%s%.*s%s%s",
                   HF_STR_ARG(cut(text_of(talk->result, "status"), 32)), HF_STR_ARG(code), code.len ? ": " : "",
                   HF_STR_ARG(message), message.len ? "" : colon, message.len ? "" : tail);
}

/* ---- outputs ------------------------------------------------------------------------------------------------- */
typedef struct outputs {
    hf_external_talk *talk;
    hf_stage *stage;
    hf_flow flow;
    const char *names[HF_STAGE_ENTRIES_MAX];
    hf_artifact artifacts[HF_STAGE_ENTRIES_MAX];
    uint32_t count;
    hf_str report; /* contents of the first report that is JSON */
} outputs;

/* A plain name in the working directory; its absolute form is taken too. */
static hf_code plain_output(const outputs *o, hf_str given, const char **ret, hf_err *reterr) {
    char cwd[2 * HF_MAX_PATH];
    int n = snprintf(cwd, sizeof cwd, "%s/%s/", o->stage->out_path, o->stage->dir_name);
    hf_str prefix = {cwd, (uint32_t)n};
    hf_str name = hf_str_starts(given, prefix) ? (hf_str){given.p + prefix.len, given.len - prefix.len} : given;
    if (hf_str_starts(name, HF_STR("./")))
        name = (hf_str){name.p + 2, name.len - 2};
    if (name.len == 0 || name.len > HF_STAGE_NAME_MAX || memchr(name.p, '/', name.len) || *name.p == '.' ||
        memchr(name.p, 0, name.len))
        return hf_fail(
            reterr, HF_E_PROTOCOL,
            "the program names the output \"%.*s\": only plain names of files in its working directory are taken",
            HF_STR_ARG(cut(given, 200)));
    hf_str kept = hf_arena_str(o->talk->run->arena, name);
    if (!kept.p) {
        hf_fail(reterr, HF_E_NO_MEMORY, "the list of outputs");
        return HF_E_NO_MEMORY;
    }
    *ret = kept.p;
    return HF_OK;
}

static void keep_report(outputs *o, int fd, int64_t size) {
    char *text = size > 0 && size <= HF_MAX_JSON ? hf_arena_alloc(o->talk->run->arena, (size_t)size) : NULL;
    if (!text || o->report.len || hf_read_fully(fd, text, (size_t)size, 0, NULL) != HF_OK)
        return;
    json_t *json = hf_json_parse((hf_str){text, (uint32_t)size}, HF_MAX_JSON, NULL);
    if (json)
        o->report = (hf_str){text, (uint32_t)size};
    json_decref(json);
}

static hf_code add_output(outputs *o, hf_str given, const char *kind, hf_err *reterr) {
    const char *name = NULL;
    struct stat st;
    char hex[HF_DIGEST_HEX_MAX];
    hf_arena *arena = o->talk->run->arena;
    hf_code rc = plain_output(o, given, &name, reterr);
    if (rc != HF_OK || !name)
        return rc;
    if (o->count == HF_STAGE_ENTRIES_MAX)
        return hf_fail(reterr, HF_E_PROTOCOL, "the program names more than %d outputs", HF_STAGE_ENTRIES_MAX);
    for (uint32_t i = 0; i < o->count; i++)
        if (strcmp(o->names[i], name) == 0)
            return hf_fail(reterr, HF_E_PROTOCOL, "the program names the output %s twice", name);
    hf_auto_fd int fd = openat(o->stage->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return hf_fail(reterr, HF_E_PROTOCOL,
                       "the program names the output %s, which is no regular file in its working directory", name);
    if (hf_hash_file(fd, st.st_size, &o->flow, hex, reterr) != HF_OK)
        return hf_context(reterr, "output %s", name);
    if (fsync(fd) != 0)
        return hf_fail_errno(reterr, errno, "output %s", name);
    hf_str path = hf_str_of(hf_arena_printf(arena, "%s/%s", o->stage->out_path, name)),
           sum = hf_arena_str(arena, hf_str_of(hex));
    if (!path.p || !sum.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of outputs");
    if (strcmp(kind, "report") == 0)
        keep_report(o, fd, st.st_size);
    o->names[o->count] = name;
    o->artifacts[o->count++] =
        (hf_artifact){.path = path, .kind = hf_str_of(kind), .size_bytes = st.st_size, .sha256 = sum};
    return HF_OK;
}

/* The member may be a string, a list of strings, or null. */
static hf_code add_member(outputs *o, const json_t *value, const char *kind, hf_err *reterr) {
    if (!value || json_is_null(value))
        return HF_OK;
    if (json_is_string(value))
        return add_output(o, (hf_str){json_string_value(value), (uint32_t)json_string_length(value)}, kind, reterr);
    hf_code rc = json_is_array(value)
                     ? HF_OK
                     : hf_fail(reterr, HF_E_PROTOCOL, "outputs of the JobResult must be strings or lists of strings");
    for (size_t i = 0; rc == HF_OK && i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        rc = json_is_string(item)
                 ? add_output(o, (hf_str){json_string_value(item), (uint32_t)json_string_length(item)}, kind, reterr)
                 : hf_fail(reterr, HF_E_PROTOCOL, "outputs of the JobResult must be strings or lists of strings");
    }
    return rc;
}

static int64_t metric(const json_t *result, const char *name) {
    json_int_t n = json_integer_value(json_object_get(json_object_get(result, "metrics"), name));
    return n > 0 ? n : 0;
}

hf_code hf_external_outputs(hf_external_talk *talk, hf_stage *stage, hf_result *ret, hf_err *reterr) {
    const json_t *named = json_object_get(talk->result, "outputs");
    bool keep = talk->run->spec->artifacts.keep_intermediates;
    outputs *o = hf_alloc(sizeof *o);
    if (!o)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of outputs");
    o->talk = talk;
    o->stage = stage;
    hf_flow_init(&o->flow);
    o->flow.cancel = talk->run->cancel;
    hf_code rc = add_member(o, json_object_get(named, "fixed_image"), "disk", reterr);
    if (rc == HF_OK && (rc = add_member(o, json_object_get(named, "report"), "report", reterr)) == HF_OK &&
        (rc = add_member(o, json_object_get(named, "logs"), "log", reterr)) == HF_OK && keep)
        rc = add_member(o, json_object_get(named, "intermediates"), "disk", reterr);
    hf_artifact *kept = rc == HF_OK ? hf_arena_alloc(talk->run->arena, (o->count + 1) * sizeof *kept) : NULL;
    if (rc == HF_OK && !kept)
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "the list of outputs");
    for (uint32_t i = 0; rc == HF_OK && i < o->count; i++)
        rc = hf_stage_check_free(stage, o->names[i], reterr);
    if (rc == HF_OK && (rc = hf_flow_check(&o->flow, reterr)) == HF_OK)
        rc = hf_stage_publish(stage, o->names, o->count, reterr);
    if (rc == HF_OK && kept) {
        memcpy(kept, o->artifacts, o->count * sizeof *kept);
        *ret = (hf_result){.artifacts = {kept, o->count},
                           .bytes_read = metric(talk->result, "disk_read_bytes"),
                           .bytes_written = metric(talk->result, "disk_write_bytes"),
                           .report = o->report};
    }
    hf_flow_done(&o->flow);
    free(o);
    return rc;
}
