/* hyperctl submit: jobs from flags or a file, to Kafka or to the sidecar. */
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "journal/log/registry_codec.h"
#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/jobflags.h"
#include "producer/submit/jobfile.h"
#include "producer/submit/submit.h"
#include "schemas/base/host.h"
#include "schemas/base/mem.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/intake.h"

enum { JOBS_A_REQUEST = 1000, BODY_BYTES = 4 << 20, ERRORS_SHOWN = 20, ARENA_BYTES = 4 << 20, CONNECT_MS = 10000 };

/* Everything that was decided about the jobs of one call. */
typedef struct outcome {
    char (*ids)[HF_ID_MAX_BYTES + 1]; /* one a job, in order */
    hf_code *codes;                   /* HF_OK: on record or acknowledged */
    json_t *errors;                   /* texts */
    size_t count;
} outcome;

static void outcome_done(outcome *o) {
    free(o->ids);
    free(o->codes);
    json_decref(o->errors);
}

/* ---- jobs and their ids --------------------------------------------------------------------------- */
static hf_code gather(hf_ctl *ctl, json_t **ret_jobs, hf_err *reterr) {
    const char *file = hf_args_get(&ctl->args, HF_OPT_FILE);
    if (!file && ctl->args.rest_count > 0 && strcmp(ctl->args.rest[0], "-") == 0)
        file = "-";
    const char *flag = hf_job_flag_given(&ctl->args);
    if (file && flag)
        return hf_fail(reterr, HF_E_USAGE, "--%s and a job file exclude each other: put it into the file", flag);
    if (file)
        return hf_jobs_read(file, ret_jobs, reterr);
    hf_auto_free char *cwd = getcwd(NULL, 0);
    const struct passwd *user = getpwuid(geteuid());
    json_t *job = NULL;
    hf_code code = hf_job_from_args(&ctl->args, cwd ? cwd : "", user ? user->pw_name : NULL, &job, reterr);
    if (!code && !(*ret_jobs = json_pack("[o]", job)))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "job");
    return code;
}

/* An id made here, before anything is sent, lets an unanswered request be repeated without a second job. */
static hf_code give_ids(json_t *jobs, outcome *o, hf_err *reterr) {
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job) {
        json_t *given = json_object_get(job, "job_id");
        if (!given)
            given = json_object_get(job, "id");
        const char *id = json_string_value(given);
        if (json_is_null(given) || (id && !*id)) /* as good as absent */
            given = NULL, id = NULL;
        if (given && (!id || !hf_id_valid(hf_str_of(id))))
            return hf_fail(reterr, HF_E_INVALID,
                           "job %zu: its id must be 1 to %d characters of A-Z a-z 0-9 . _ : @ + = ~ -", i + 1,
                           HF_ID_MAX_BYTES);
        if (id) {
            snprintf(o->ids[i], sizeof o->ids[i], "%s", id);
            continue;
        }
        char made[HF_UUID_BYTES];
        hf_id_new(hf_clock_system(), hf_random_system(), made);
        snprintf(o->ids[i], sizeof o->ids[i], "%s", made);
        if (json_object_set_new(job, "job_id", json_string(made)) != 0)
            return hf_fail(reterr, HF_E_NO_MEMORY, "job id");
    }
    return HF_OK;
}

static void note_error(outcome *o, size_t job, hf_code code, const char *text) {
    o->codes[job] = code;
    if (json_array_size(o->errors) < HF_OPTIONS_MAX)
        json_array_append_new(o->errors, json_sprintf("job %zu (%s): %s", job + 1, o->ids[job], text));
}

/* ---- to Kafka --------------------------------------------------------------------------------------- */
/* The dispatcher would refuse it all the same, but hours later somebody reads that. */
static hf_code check_job(const json_t *json, hf_arena *arena, hf_submission *ret, hf_err *reterr) {
    hf_code code = hf_submission_from_json(json, arena, ret, reterr);
    if (code)
        return code;
    hf_spec spec = ret->spec; /* the check normalises; what is sent stays as it was given */
    hf_intake_errors *errors = hf_arena_alloc(arena, 2 * sizeof *errors);
    if (!errors)
        return hf_fail(reterr, HF_E_NO_MEMORY, "check");
    hf_intake_check(&spec, arena, &errors[0], &errors[1]);
    if (errors[0].count == 0)
        return HF_OK;
    char all[HF_ERR_DETAIL_BYTES] = "";
    for (uint32_t i = 0; i < errors[0].count && i < HF_MAX_ERRORS; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%.*s", i ? "; " : "", HF_STR_ARG(errors[0].text[i]));
    return hf_fail(reterr, HF_E_INVALID, "%s", all);
}

/* All or none: a file with an error in its middle is mended and submitted again as a whole. */
static hf_code check_jobs(const json_t *jobs, outcome *o, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    size_t i, bad = 0;
    json_t *job;
    json_array_foreach(jobs, i, job) {
        hf_submission submission;
        hf_err err;
        hf_arena_reset(&arena);
        if (check_job(job, &arena, &submission, &err)) {
            note_error(o, i, err.code, err.detail);
            bad++;
            *reterr = err;
        }
    }
    hf_arena_done(&arena);
    if (bad == 0)
        return HF_OK;
    if (o->count == 1)
        return reterr->code;
    return hf_fail(reterr, HF_E_INVALID, "%zu of %zu jobs have errors; none was submitted", bad, o->count);
}

static void on_submitted(void *ctx, uint64_t tag, const hf_report *report) {
    outcome *o = ctx;
    if (report->error)
        note_error(o, tag, report->error, report->detail ? report->detail : hf_code_sentence(report->error));
    else
        o->codes[tag] = HF_OK;
}

static hf_code put_all(hf_submitter *submitter, const json_t *jobs, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code code = HF_OK;
    for (size_t i = 0; !code && i < json_array_size(jobs); i++) {
        hf_submission submission;
        hf_arena_reset(&arena);
        code = hf_submission_from_json(json_array_get(jobs, i), &arena, &submission, reterr);
        if (code)
            break;
        if (!submission.submitted_at)
            submission.submitted_at = hf_wall_ms(hf_clock_system());
        code = hf_submitter_put(submitter, &submission, i, reterr);
    }
    hf_arena_done(&arena);
    return code;
}

static hf_code send_on(const hf_config *config, hf_klog *log, const json_t *jobs, outcome *o, hf_err *reterr) {
    hf_registry_link *registry = NULL;
    hf_codec *codec = NULL;
    hf_submitter *submitter = NULL;
    const hf_submitter_options options = {.expected = o->count, .done = on_submitted, .ctx = o};
    hf_code code = hf_registry_codec(config, 1u << HF_SCHEMA_SUBMISSION, NULL, &registry, &codec, reterr);
    if (!code)
        code = hf_submitter_open(log, codec, &options, &submitter, reterr);
    if (!code)
        code = put_all(submitter, jobs, reterr);
    hf_err late;
    hf_code rest = submitter ? hf_submitter_finish(submitter, &late) : HF_OK; /* also what was put before an error */
    if (!code && rest) {
        *reterr = late;
        code = rest;
    }
    hf_submitter_close(submitter);
    hf_codec_free(codec);
    hf_registry_link_free(registry);
    return code;
}

static hf_code aim_at(hf_ctl *ctl, const hf_where *where, hf_err *reterr) {
    char set[600];
    if (!where->from_dev)
        return HF_OK;
    snprintf(set, sizeof set, "kafka.bootstrap.servers='%s'", where->kafka);
    hf_code code = hf_config_set(ctl->config, set, reterr);
    return code ? code : hf_config_set(ctl->config, "fleet=dev", reterr);
}

static hf_code via_kafka(hf_ctl *ctl, const hf_where *where, const json_t *jobs, outcome *o, hf_err *reterr) {
    char incarnation[HF_UUID_BYTES], name[256];
    hf_klog *log = NULL;
    hf_producer_name("hyperctl", hf_id_new(hf_clock_system(), hf_random_system(), incarnation), name, sizeof name);
    hf_code code = check_jobs(jobs, o, reterr);
    if (!code)
        code = aim_at(ctl, where, reterr);
    if (!code)
        code = hf_klog_open(ctl->config, name, true, CONNECT_MS, &log, reterr);
    if (!code)
        code = send_on(ctl->config, log, jobs, o, reterr);
    hf_klog_close(log);
    return code;
}

/* ---- to the sidecar ---------------------------------------------------------------------------------- */
/* "job 2: text" of several, "text" of one: the number is of the request and is left out. */
static const char *without_number(const char *text) {
    size_t digits = strncmp(text, "job ", 4) == 0 ? strspn(text + 4, "0123456789") : 0;
    return digits && strncmp(text + 4 + digits, ": ", 2) == 0 ? text + 4 + digits + 2 : text;
}

/* The answer has the ids that were taken and an error for each of the others, both in the order of the request. */
static void take_answer(const json_t *answer, size_t from, size_t to, outcome *o) {
    const json_t *ids = json_object_get(answer, "job_ids"), *errors = json_object_get(answer, "errors");
    size_t taken = 0, refused = 0;
    for (size_t i = from; i < to; i++) {
        const char *id = json_string_value(json_array_get(ids, taken));
        if (id && strcmp(id, o->ids[i]) == 0) {
            o->codes[i] = HF_OK;
            taken++;
            continue;
        }
        const char *why = json_string_value(json_array_get(errors, refused++));
        why = why ? without_number(why) : "refused";
        note_error(o, i, strstr(why, "already exists") ? HF_E_EXISTS : HF_E_INVALID, why);
    }
}

/* Jobs from `from` that fit one request. */
static json_t *next_request(const json_t *jobs, size_t from, size_t *ret_to) {
    json_t *some = json_array();
    size_t bytes = 0, i = from;
    for (; some && i < json_array_size(jobs) && i - from < JOBS_A_REQUEST; i++) {
        json_t *job = json_array_get(jobs, i);
        bytes += json_dumpb(job, NULL, 0, JSON_COMPACT);
        if (i > from && bytes > BODY_BYTES)
            break;
        json_array_append(some, job);
    }
    *ret_to = i;
    return some ? json_pack("{s:o}", "jobs", some) : NULL;
}

static hf_code via_http(hf_ctl *ctl, const json_t *jobs, outcome *o, hf_err *reterr) {
    hf_http *http;
    hf_code code = hf_ctl_http(ctl, &http, reterr);
    for (size_t from = 0, to; !code && from < o->count; from = to) {
        json_t *answer = NULL, *request = next_request(jobs, from, &to);
        code = request ? hf_http_call(http, "POST", "/jobs/submit", request, &answer, reterr)
                       : hf_fail(reterr, HF_E_NO_MEMORY, "request");
        if (!code)
            take_answer(answer, from, to, o);
        json_decref(answer);
        json_decref(request);
    }
    return code;
}

/* ---- telling ------------------------------------------------------------------------------------------ */
static hf_code print_outcome(hf_ctl *ctl, const outcome *o, size_t accepted, hf_err *reterr) {
    if (!ctl->json) {
        for (size_t i = 0; i < o->count; i++)
            if (o->codes[i] == HF_OK)
                fprintf(ctl->out, "%s\n", o->ids[i]);
        for (size_t i = 0; o->count > 1 && i < json_array_size(o->errors) && i < ERRORS_SHOWN; i++)
            fprintf(stderr, "hyperctl submit: %s\n", json_string_value(json_array_get(o->errors, i)));
        if (json_array_size(o->errors) > ERRORS_SHOWN)
            fprintf(stderr, "hyperctl submit: and %zu more\n", json_array_size(o->errors) - ERRORS_SHOWN);
        return HF_OK;
    }
    json_t *ids = json_array();
    for (size_t i = 0; i < o->count; i++)
        if (o->codes[i] == HF_OK)
            json_array_append_new(ids, json_string(o->ids[i]));
    json_t *all = json_pack("{s:o,s:I,s:I,s:O}", "job_ids", ids, "accepted", (json_int_t)accepted, "rejected",
                            (json_int_t)(o->count - accepted), "errors", o->errors);
    hf_code code = all ? hf_ctl_print_json(ctl, all, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "answer");
    json_decref(all);
    return code;
}

static hf_code wait_for(hf_ctl *ctl, const outcome *o, hf_err *reterr) {
    hf_auto_free char **ids = hf_alloc((o->count + 1) * sizeof *ids);
    size_t n = 0;
    if (!ids)
        return hf_fail(reterr, HF_E_NO_MEMORY, "ids");
    for (size_t i = 0; i < o->count; i++)
        if (o->codes[i] == HF_OK)
            ids[n++] = o->ids[i];
    fflush(ctl->out);
    return n ? hf_ctl_watch(ctl, ids, n, HF_WATCH_FRESH, reterr) : HF_OK;
}

static hf_code choose_way(hf_ctl *ctl, const hf_where *where, bool *ret_http, hf_err *reterr) {
    const char *via = hf_args_get(&ctl->args, HF_OPT_VIA);
    if (via && strcmp(via, "http") != 0 && strcmp(via, "kafka") != 0)
        return hf_fail(reterr, HF_E_USAGE, "--via '%.32s': give kafka or http", via);
    *ret_http = via ? strcmp(via, "http") == 0 : where->http_said || where->from_dev;
    return HF_OK;
}

/* Of the only job: without its number and id, which the user gave or does not know. */
static const char *first_error(const outcome *o) {
    const char *text = json_string_value(json_array_get(o->errors, 0)), *after = text ? strstr(text, "): ") : NULL;
    return after ? after + 3 : "the job was refused";
}

static hf_code submit(hf_ctl *ctl, json_t *jobs, outcome *o, hf_err *reterr) {
    hf_where where;
    bool http = false;
    hf_code code = hf_ctl_where(ctl, &where, reterr);
    if (!code)
        code = choose_way(ctl, &where, &http, reterr);
    if (!code)
        code = give_ids(jobs, o, reterr);
    if (code)
        return code;
    code = http ? via_http(ctl, jobs, o, reterr) : via_kafka(ctl, &where, jobs, o, reterr);
    size_t accepted = 0;
    for (size_t i = 0; i < o->count; i++)
        accepted += o->codes[i] == HF_OK;
    hf_err print_err;
    hf_code printed = print_outcome(ctl, o, accepted, &print_err);
    if (code)
        return code;
    if (printed) {
        *reterr = print_err;
        return printed;
    }
    if (accepted < o->count)
        code = o->count == 1
                   ? hf_fail(reterr, o->codes[0], "%s", first_error(o))
                   : hf_fail(reterr, HF_E_INVALID, "%zu of %zu jobs were refused", o->count - accepted, o->count);
    if (hf_args_get(&ctl->args, HF_OPT_WAIT) && !code)
        code = wait_for(ctl, o, reterr);
    return code;
}

static hf_code outcome_init(outcome *o, size_t count, hf_err *reterr) {
    *o = (outcome){.count = count, .errors = json_array()};
    o->ids = hf_alloc(count * sizeof *o->ids);
    o->codes = hf_alloc(count * sizeof *o->codes);
    if (!o->ids || !o->codes || !o->errors)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%zu jobs", count);
    for (size_t i = 0; i < count; i++)
        o->codes[i] = HF_E_LOG_NOT_ACKED; /* until somebody says otherwise */
    return HF_OK;
}

hf_code hf_cmd_submit(hf_ctl *ctl, hf_err *reterr) {
    json_t *jobs = NULL;
    outcome o;
    hf_code code = gather(ctl, &jobs, reterr);
    if (code)
        return code;
    code = outcome_init(&o, json_array_size(jobs), reterr);
    if (!code)
        code = submit(ctl, jobs, &o, reterr);
    outcome_done(&o);
    json_decref(jobs);
    return code;
}
