/* The reference pages of docs/, made from the tables that the programs are made from. No part of any program.
 *
 *   docs_pages NAME          prints docs/NAME
 *   docs_pages NAME FILE     fails unless FILE is that, naming the first line that differs
 *   docs_pages               names the pages, one a line
 *
 * ops/build/docs writes them all; the tests unit/docs/NAME compare. */
#include <stdio.h>
#include <string.h>

#include "schemas/base/config.h"
#include "schemas/base/mem.h"
#include "schemas/job/job.h"
#include "tests/unit/docs/openapi.h"

static FILE *out;

/* Text of a table's cell: a bar would end it. */
static const char *cell(const char *text) {
    static char cells[4][1024];
    static unsigned next;
    char *to = cells[next++ % 4];
    size_t n = 0;
    for (; *text && n < sizeof cells[0] - 2; text++) {
        if (*text == '|')
            to[n++] = '\\';
        to[n++] = *text;
    }
    to[n] = '\0';
    return to;
}

static void list(const char *separator, unsigned bits, const char *const *names, size_t count) {
    const char *before = "";
    for (size_t i = 0; i < count; i++)
        if (bits & 1u << i) {
            fprintf(out, "%s%s", before, names[i]);
            before = separator;
        }
}

/* ---- configuration --------------------------------------------------------------------------------------- */
static void configuration(void) {
    hf_auto_free char *text = hf_config_reference();
    fputs(text ? text : "", out);
}

/* ---- errors -------------------------------------------------------------------------------------------------- */
static void put_error(const char *name, const char *policy, int http, int status, const char *sentence) {
    fprintf(out, "| `%s` | %s | %d | %d | %s |\n", name, policy, http, status, cell(sentence));
}

static void errors(void) {
    fputs(
        "# Errors\n\n"
        "Made from `schemas/base/errors.def`. Whatever goes wrong has one of these codes, and it is the same one everywhere: in\n"
        "events and JSON, in log lines (`error=`), as the status of an HTTP answer and as the exit status of a program. The\n"
        "policy says what the fleet does about it:\n\n"
        "- **retry**: the same may go well later. A job's attempt that ends so is repeated while attempts remain;\n"
        "- **reject**: this input will never do. Its sender is told, or it goes to `dead-letters`;\n"
        "- **stop**: going on could do harm. The program or the attempt ends and a person has to look.\n\n"
        "| Code | Policy | HTTP | Exit | What it means |\n|---|---|---|---|---|\n",
        out);
#define RETRY "retry"
#define REJECT "reject"
#define STOP "stop"
#define HF_ERR(id, name, policy, http, exit, sentence) put_error(name, policy, http, exit, sentence);
#include "schemas/base/errors.def"
#undef HF_ERR
    fputs(
        "\nExit status 0 is success. The numbers follow sysexits.h, so a script can tell usage (64) from data (65), a thing that is\n"
        "missing (66), a server that is away (69) and what is worth trying again (75).\n",
        out);
}

/* ---- findings ------------------------------------------------------------------------------------------------ */
#define ERROR "**error**"
#define WARNING "warning"
#define INFO "info"
static void put_finding(const char *name, const char *severity, const char *sentence) {
    fprintf(out, "| `%s` | %s | %s |\n", name, severity, cell(sentence));
}

static void findings(void) {
    fputs(
        "# Findings\n\n"
        "Made from `consumer/pipeline/findings.def`. What `hyperctl ova validate` and the operation `ova-validate` can find in an OVA or\n"
        "an OVF directory; all of it is listed, not only the first. The names are stable.\n\n"
        "- **error**: damaged, incomplete or hostile. It is not extracted;\n"
        "- warning: it can be used, but breaks a rule that some reader holds to (`--strict` minds them);\n"
        "- info: worth knowing.\n\n"
        "| name | severity | meaning |\n|---|---|---|\n",
        out);
#define HF_FINDING(id, name, severity, sentence) put_finding(name, severity, sentence);
#include "consumer/pipeline/findings.def"
#undef HF_FINDING
}
#undef ERROR
#undef WARNING
#undef INFO

/* ---- events ------------------------------------------------------------------------------------------------------- */
#define F(state) (1u << HF_S_##state)
#define F_NONE 0u
#define F_TERMINAL (F(COMPLETED) | F(FAILED) | F(CANCELLED))
#define F_LIVE (((1u << HF_STATE_COUNT) - 1) & ~F_TERMINAL)
enum { G_ATTEMPT = 1, G_NEXT = 2, G_WORKER = 4, G_WORKER_IF = 8, G_BUDGET = 16, G_ASKED = 32 };

static const char *const states[] = {
#define HF_STATE(id, name, status, terminal) name,
#include "schemas/job/states.def"
#undef HF_STATE
};
static const char *const guards[] = {"attempt is the current one",
                                     "attempt is the next one",
                                     "`by` is the assigned worker",
                                     "`by` is the assigned worker while an attempt runs",
                                     "attempts remain",
                                     "a cancel was requested"};

static void put_event(const char *name, unsigned from, const char *to, unsigned guarded, const char *sentence) {
    fprintf(out, "| `%s` | ", name);
    if (from == F_NONE)
        fputs("— (no such job)", out);
    else if (from == F_LIVE || from == F_TERMINAL)
        fputs(from == F_LIVE ? "any but the terminal ones" : "the terminal ones", out);
    else
        list(", ", from, states, HF_ARRAY_LEN(states));
    fprintf(out, " | %s | ", to);
    list("; ", guarded, guards, HF_ARRAY_LEN(guards));
    fprintf(out, "%s | %s |\n", guarded ? "" : "—", cell(sentence));
}

static void put_states(void) {
    fputs(
        "## States\n\nThe column `status` is the older, coarser name that the HTTP API shows beside `state`. A job stays for ever in a\n"
        "terminal state.\n\n| State | `status` | Terminal |\n|---|---|---|\n",
        out);
#define HF_STATE(id, name, status, terminal)                                                                           \
    fprintf(out, "| `%s` | `%s` | %s |\n", name, status, terminal ? "yes" : "");
#include "schemas/job/states.def"
#undef HF_STATE
}

static void put_events(void) {
    fputs(
        "\n## Events\n\nAn event is accepted in one of the states of the second column, and only where its conditions hold.\n\n"
        "| Event | From | To | Conditions | What it says |\n|---|---|---|---|---|\n",
        out);
#define TO_SAME "the same"
#define TO_RETRY_OR_FAIL "retrying; failed after the last attempt"
#define TO_CREATED states[HF_S_CREATED]
#define TO_VALIDATED states[HF_S_VALIDATED]
#define TO_QUEUED states[HF_S_QUEUED]
#define TO_ASSIGNED states[HF_S_ASSIGNED]
#define TO_RUNNING states[HF_S_RUNNING]
#define TO_PROGRESSING states[HF_S_PROGRESSING]
#define TO_RETRYING states[HF_S_RETRYING]
#define TO_COMPLETED states[HF_S_COMPLETED]
#define TO_FAILED states[HF_S_FAILED]
#define TO_CANCELLED states[HF_S_CANCELLED]
#define HF_EVENT(id, name, from, to, guards_, sentence) put_event(name, from, TO_##to, guards_, sentence);
#include "schemas/job/transitions.def"
#undef HF_EVENT
}

static void put_verdicts(void) {
    fputs(
        "\n## Verdicts\n\nWhat the fold said of a proposal; the first that applies is the reason. `hyperctl events` and\n"
        "`GET /jobs/{id}/events` show it with each.\n\n| Verdict | What it means |\n|---|---|\n",
        out);
#define HF_VERDICT(id, name, sentence) fprintf(out, "| `%s` | %s |\n", name, cell(sentence));
#include "schemas/job/verdicts.def"
#undef HF_VERDICT
}

static void put_topic(const char *suffix, const char *cleanup, long long kept_ms, bool single, const char *doc) {
    char kept[32] = "for ever";
    if (kept_ms >= 0)
        snprintf(kept, sizeof kept, "%lld d", kept_ms / 86400000);
    fprintf(out, "| `%s` | %s | %s | %s | %s |\n", suffix, cleanup, kept, single ? "1" : "`topics.partitions`",
            cell(doc));
}

static void put_topics(void) {
    fputs(
        "\n## Topics\n\nTheir full names are `hyperfleet.<fleet>.<topic>`. Missing ones are created so; one whose settings could lose data is\n"
        "refused. The key is the job's id, but where the last column says `by` something else; a dead letter keeps the key it came with.\n\n"
        "| Topic | Clean-up | Kept | Partitions | What it carries |\n|---|---|---|---|---|\n",
        out);
#define HF_TOPIC(id, suffix, cleanup, retention_ms, single, doc) put_topic(suffix, cleanup, retention_ms, single, doc);
#include "journal/log/topics.def"
#undef HF_TOPIC
}

static void events(void) {
    fputs(
        "# States, events, verdicts and topics\n\n"
        "Made from `schemas/job/states.def`, `transitions.def`, `verdicts.def` and `journal/log/topics.def`. A record on\n"
        "`job-events` is a *proposal*: one or more events of one job, accepted all or none. Every program folds the log with\n"
        "these tables and nothing else, so all agree on which proposals took effect; the first valid one in log order wins.\n\n",
        out);
    put_states();
    put_events();
    put_verdicts();
    put_topics();
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */
enum counter {
#define HF_COUNTER(id, family, a, b, c, labels, doc) N_##id,
#include "journal/replica/counters.def"
};
static const char *const counter_labels[] = {
#define HF_COUNTER(id, family, a, b, c, labels, doc) labels,
#include "journal/replica/counters.def"
};

static void put_labels(const char *names) {
    for (const char *p = names; *p; p += strcspn(p, ","), p += *p == ',')
        fprintf(out, "%s`%.*s`", p == names ? "" : ", ", (int)strcspn(p, ","), p);
    fputs(*names ? "" : "—", out);
}

static void put_counter(const char *family, const char *kind, const char *labels, const char *help) {
    fprintf(out, "| `%s` | %s | ", family, kind);
    put_labels(labels);
    fprintf(out, " | %s |\n", cell(help));
}

static void metrics(void) {
    fputs(
        "# Metrics\n\n"
        "Made from `journal/http/metrics.def`; labels from `journal/replica/counters.def`. `GET /metrics` of a journal's sidecar\n"
        "answers them as Prometheus text 0.0.4, or as OpenMetrics 1.0 where Accept asks for that. The names `hypersdk_…` and their labels are public API, kept from HyperSDK;\n"
        "`hyperfleet_…` are this system's own. No label takes a job's id or a VM's name; what is in no list is `other`. A scrape walks no jobs.\n\n"
        "In OpenMetrics the buckets of `hypersdk_job_duration_seconds` carry exemplars: `trace_id` of the last job that ended in the bucket,\n"
        "when its submission came with a `traceparent`, else its `job_id`. `ops/prometheus` has a scrape configuration, recording rules and\n"
        "alerts with their test, `ops/grafana` a dashboard made of them.\n\n"
        "## Folded with the jobs\n\nThese are facts of the log: they survive restarts, and every journal of a fleet shows the same. So do not add up what\n"
        "several journals say.\n\n"
        "| Family | Kind | Labels | What it counts |\n|---|---|---|---|\n",
        out);
#define counter "counter"
#define gauge "gauge"
#define histogram "histogram"
#define HF_METRIC_COUNTER(id, family, kind, help) put_counter(family, kind, counter_labels[N_##id], help);
#include "journal/http/metrics.def"
    fputs(
        "\n## Measured by the process that answers\n\nTaken when `/metrics` is asked for; what counts requests and commits begins anew with the process.\n\n"
        "| Family | Kind | Labels | What it says |\n|---|---|---|---|\n",
        out);
#define HF_METRIC_VALUE(id, family, kind, labels, help) put_counter(family, #kind, labels, help);
#include "journal/http/metrics.def"
#undef counter
#undef gauge
#undef histogram
}

/* ---- HTTP ---------------------------------------------------------------------------------------------------------------- */
static void put_names(const char *names) {
    for (const char *p = names; *p; p += strcspn(p, " "), p += *p == ' ')
        fprintf(out, "%s`%.*s`", p == names ? "" : " ", (int)strcspn(p, " "), p);
}

static void put_route(const char *method, const char *path, const char *scope, const char *params, const char *body,
                      const char *summary) {
    fprintf(out, "| %s | `%s` | %c%s", method, path, scope[0] + 32, "");
    for (const char *c = scope + 1; *c; c++)
        fputc(*c + 32, out);
    fputs(" | ", out);
    put_names(params);
    fprintf(out, " | %s | %s |\n", strcmp(body, "NONE") == 0 ? "" : body, cell(summary));
}

static void put_param(const char *name, const char *example, const char *doc) {
    fprintf(out, "| `%s` | `%s` | %s |\n", name, example, cell(doc));
}

static void http(void) {
    fputs(
        "# HTTP\n\n"
        "Made from `journal/http/routes.def`: everything the journal's sidecar answers. An error is JSON,\n"
        "`{\"error\": a sentence for people, \"timestamp\": …}`, with the HTTP status that [errors.md](errors.md) gives. A POST that makes or changes a job answers\n"
        "after the journal has folded its own write (at most `http.write_wait`), so the next GET sees it. A path that is here\n"
        "asked with another method is answered 405, with `Allow`.\n\n"
        "Scopes are what a token must allow (`access.tokens_file`); `open` routes answer without one.\n\n"
        "| Method | Path | Scope | Parameters | Body | What it does |\n|---|---|---|---|---|---|\n",
        out);
#define HF_ROUTE(method, path, handler, body, scope, params, answer, summary)                                          \
    put_route(#method, path, #scope, params, #body, summary);
#include "journal/http/routes.def"
#undef HF_ROUTE
    fputs("\n## Parameters\n\n| Name | Example | What it does |\n|---|---|---|\n", out);
#define HF_PARAM(id, name, kind, min, max, example, doc) put_param(name, example, doc);
#include "journal/http/params.def"
#undef HF_PARAM
}

/* ---- OpenAPI ---------------------------------------------------------------------------------------------------------- */
static void openapi(void) {
    if (!hf_openapi_print(out))
        fputs("(no memory)\n", out);
}

/* ---- the command line -------------------------------------------------------------------------------------------------------- */
static const struct page {
    const char *name;
    void (*print)(void);
} pages[] = {{"configuration.md", configuration},
             {"errors.md", errors},
             {"findings.md", findings},
             {"events.md", events},
             {"metrics.md", metrics},
             {"http.md", http},
             {"openapi.json", openapi}};

static char *read_whole(const char *path) {
    FILE *f = fopen(path, "r");
    char *text = f ? hf_alloc((1u << 20) + 1) : NULL;
    if (text)
        text[fread(text, 1, 1u << 20, f)] = '\0';
    if (f)
        fclose(f);
    return text;
}

static int compare(const char *made, const char *path, const char *name) {
    hf_auto_free char *is = read_whole(path);
    if (is && strcmp(is, made) == 0)
        return 0;
    const char *a = made, *b = is ? is : "";
    int line = 1;
    for (; *a && *a == *b; a++, b++)
        line += *a == '\n';
    while (a > made && a[-1] != '\n')
        a--, b--;
    fprintf(
        stderr,
        "%s, line %d, is not what the tables give.\n  it says    %.*s\n  should be  %.*s\nRun ops/build/docs (it writes docs/%s) and commit what changed.\n",
        path, line, (int)strcspn(b, "\n"), b, (int)strcspn(a, "\n"), a, name);
    return 1;
}

static int make(const struct page *p, const char *file) {
    char *made = NULL;
    size_t size = 0;
    out = open_memstream(&made, &size);
    if (!out)
        return 70;
    p->print();
    if (fclose(out) != 0)
        return 70;
    int rc = file ? compare(made, file, p->name) : fputs(made, stdout) < 0 ? 74 : 0;
    free(made);
    return rc;
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < HF_ARRAY_LEN(pages); i++) {
        if (argc < 2)
            puts(pages[i].name);
        else if (strcmp(argv[1], pages[i].name) == 0)
            return make(&pages[i], argc > 2 ? argv[2] : NULL);
    }
    return argc < 2 ? 0 : 64;
}
