/* hyperctl watch: follows jobs until they end. One request asks for all of them (POST /jobs/query with their ids), so watching a
 * thousand jobs costs the sidecar what watching one does; the pace follows what happens. A sidecar that goes away is
 * waited for: the jobs do not depend on it. */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/jobview.h"
#include "producer/ctl/text.h"
#include "schemas/base/clock.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"

enum {
    PACE_FIRST_MS = 20,
    PACE_MS = 250,
    PACE_AWAY_MS = 2000,
    FRESH_MS = 30000, /* how long a job that was submitted just now may be unknown */
    IDS_A_REQUEST = 1000,
    LINES_MAX = 20, /* live lines on a terminal; further jobs are summed up */
};

typedef struct watched {
    const char *id;
    char name[64], state[24], phase[64], error[256];
    double percent, bytes_done, bytes_total;
    bool known, ended, missing;
    int told_tenth; /* last tenth of the way that was told in a pipe */
} watched;

typedef struct watch {
    hf_ctl *ctl;
    hf_http *http;
    watched *jobs;
    size_t count, open;
    int64_t began_ms;
    hf_watch_kind kind;
    int drawn; /* lines of the picture on the terminal */
    bool away; /* the sidecar did not answer the last time */
} watch;

static volatile sig_atomic_t interrupted;
static void on_interrupt(int sig) { interrupted = sig; }

/* ---- telling, in a pipe ---------------------------------------------------------------------------- */
static void print_change(const watch *w, const watched *j) {
    FILE *out = w->ctl->out;
    if (w->ctl->json) {
        json_t *line =
            json_pack("{s:s,s:s,s:s*,s:f*,s:s*}", "job_id", j->id, "state", j->state, "phase",
                      *j->phase ? j->phase : NULL, "percent", j->percent, "error", *j->error ? j->error : NULL);
        if (line)
            json_dumpf(line, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
        json_decref(line);
        fputc('\n', out);
    } else {
        fprintf(out, "%s %s", j->id, j->state);
        if (*j->phase && !j->ended)
            fprintf(out, " %s", j->phase);
        if (j->percent >= 0 && !j->ended)
            fprintf(out, " %.0f%%", j->percent);
        if (*j->error)
            fprintf(out, ": %s", j->error);
        fputc('\n', out);
    }
    fflush(out);
}

/* ---- telling, on a terminal -------------------------------------------------------------------------- */
static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

static void draw_job(FILE *out, const watched *j, int columns) {
    char bar[128], line[512], done[HF_TEXT_BYTES], total[HF_TEXT_BYTES], bytes[HF_TEXT_BYTES * 2 + 8] = "",
                                                                                                   percent[16] = "";
    if (j->bytes_total > 0 && j->bytes_done >= 0 && !j->ended)
        snprintf(bytes, sizeof bytes, " %s of %s", hf_text_bytes(j->bytes_done, done),
                 hf_text_bytes(j->bytes_total, total));
    if (j->percent >= 0 && !j->ended)
        snprintf(percent, sizeof percent, " %3.0f %%", j->percent);
    double shown = strcmp(j->state, "completed") == 0 ? 100 : j->percent < 0 ? 0 : j->percent;
    snprintf(line, sizeof line, "%-20.20s %s%s %s %s%s%s%s", *j->name ? j->name : j->id,
             hf_text_bar(shown, columns > 100 ? 40 : 20, bar), percent, j->state, j->ended ? "" : j->phase, bytes,
             *j->error ? ": " : "", j->error);
    fprintf(out, "\r\033[K%.*s\n", columns - 1, line);
}

static void draw(watch *w) {
    FILE *out = w->ctl->out;
    int columns = terminal_columns(), lines = 0;
    if (w->drawn)
        fprintf(out, "\033[%dA", w->drawn);
    for (size_t i = 0; i < w->count && lines < LINES_MAX; i++)
        if (w->count <= LINES_MAX || !w->jobs[i].ended) {
            draw_job(out, &w->jobs[i], columns);
            lines++;
        }
    for (; w->count > LINES_MAX && lines < LINES_MAX; lines++)
        fprintf(out, "\r\033[K\n");
    fprintf(out, "\r\033[K%zu of %zu ended%s\n", w->count - w->open, w->count,
            w->away ? "; waiting for the sidecar" : "");
    w->drawn = lines + 1;
    fflush(out);
}

/* ---- asking ------------------------------------------------------------------------------------------- */
static int compare_id(const void *a, const void *b) {
    return strcmp(((const watched *)a)->id, ((const watched *)b)->id);
}

static void copy(char *to, size_t size, const char *from) { hf_text_harmless(from ? from : "", to, size); }

static void take(watch *w, const json_t *json) {
    hf_job_view v;
    hf_job_view_read(json, &v);
    const watched key = {.id = v.id};
    watched *j = v.id ? bsearch(&key, w->jobs, w->count, sizeof *w->jobs, compare_id) : NULL;
    if (!j || j->ended || !v.state)
        return;
    const watched before = *j;
    copy(j->name, sizeof j->name, v.name);
    copy(j->state, sizeof j->state, v.state);
    copy(j->phase, sizeof j->phase, v.phase);
    copy(j->error, sizeof j->error, v.ended ? v.error : NULL);
    j->percent = v.percent;
    j->bytes_done = v.bytes_done;
    j->bytes_total = v.bytes_total;
    j->known = true;
    j->ended = v.ended;
    w->open -= v.ended;
    int tenth = v.percent < 0 ? -1 : (int)(v.percent / 10);
    bool news = !before.known || strcmp(before.state, j->state) != 0 || strcmp(before.phase, j->phase) != 0 ||
                tenth > j->told_tenth;
    if (strcmp(before.phase, j->phase) != 0 || tenth > j->told_tenth)
        j->told_tenth = tenth;
    if (news && (!w->ctl->terminal || w->ctl->json))
        print_change(w, j);
}

/* Asks for up to IDS_A_REQUEST open jobs from *at on. */
static hf_code ask_some(watch *w, size_t *at, hf_err *reterr) {
    json_t *ids = json_array(), *answer = NULL, *job;
    for (; *at < w->count && json_array_size(ids) < IDS_A_REQUEST; ++*at)
        if (!w->jobs[*at].ended && !w->jobs[*at].missing)
            json_array_append_new(ids, json_string(w->jobs[*at].id));
    json_t *request = json_array_size(ids) ? json_pack("{s:O}", "job_ids", ids) : NULL;
    hf_code code = request ? hf_http_call(w->http, "POST", "/jobs/query", request, &answer, reterr) : HF_OK;
    size_t i;
    if (!code)
        json_array_foreach(json_object_get(answer, "jobs"), i, job)
            take(w, job);
    json_decref(request);
    json_decref(answer);
    json_decref(ids);
    return code;
}

/* Our ids begin with the time they were made (48 bits of milliseconds, RFC 9562): a job that was submitted through Kafka a moment
 * ago, by another command, need not have been taken in yet. */
static bool made_just_now(const char *id, int64_t now_wall_ms) {
    unsigned long long high, low;
    if (strlen(id) != HF_UUID_BYTES - 1 || sscanf(id, "%8llx-%4llx-", &high, &low) != 2 ||
        (id[14] != '7' && id[14] != '8'))
        return false;
    int64_t made = (int64_t)(high << 16 | low);
    return made <= now_wall_ms + FRESH_MS && now_wall_ms - made < FRESH_MS;
}

/* Jobs that nobody knows: at once when they should be known, after a while when they are fresh. */
static void give_up_on_unknown(watch *w) {
    int64_t now_wall_ms = hf_wall_ms(hf_clock_system());
    if (w->kind == HF_WATCH_FRESH && hf_mono_ms(hf_clock_system()) - w->began_ms < FRESH_MS)
        return;
    for (size_t i = 0; i < w->count; i++)
        if (!w->jobs[i].known && !w->jobs[i].missing && !made_just_now(w->jobs[i].id, now_wall_ms)) {
            w->jobs[i].missing = true;
            w->open--;
        }
}

/* One round. An answer that did not come is no error here; one that says no is. */
static hf_code ask_all(watch *w, hf_err *reterr) {
    hf_code code = HF_OK;
    for (size_t at = 0; !code && at < w->count;)
        code = ask_some(w, &at, reterr);
    bool was_away = w->away;
    w->away = code && hf_code_policy(code) == HF_POLICY_RETRY;
    if (w->away && !was_away && (!w->ctl->terminal || w->ctl->json))
        fprintf(stderr, "hyperctl watch: %s; waiting for it\n", reterr->detail);
    if (!code)
        give_up_on_unknown(w);
    return w->away ? HF_OK : code;
}

static void sleep_ms(int ms) {
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* The first answer must come: with no sidecar at all, waiting for it would only hide a wrong address. */
static hf_code follow(watch *w, hf_err *reterr) {
    int pace = PACE_FIRST_MS;
    bool first = w->kind == HF_WATCH_KNOWN;
    while (w->open > 0 && !interrupted) {
        hf_code code = ask_all(w, reterr);
        if (!code && first && w->away)
            code = reterr->code;
        if (code)
            return code;
        first = false;
        if (w->ctl->terminal && !w->ctl->json)
            draw(w);
        if (w->open > 0)
            sleep_ms(w->away ? PACE_AWAY_MS : pace);
        pace = pace * 3 / 2 > PACE_MS ? PACE_MS : pace * 3 / 2;
    }
    if (interrupted)
        return hf_fail(reterr, HF_E_CANCELLED, "interrupted; %zu jobs go on (hyperctl cancel ID stops one)", w->open);
    return HF_OK;
}

static hf_code outcome(watch *w, hf_err *reterr) {
    size_t failed = 0, cancelled = 0, missing = 0;
    const char *missing_id = NULL;
    for (size_t i = 0; i < w->count; i++) {
        failed += strcmp(w->jobs[i].state, "failed") == 0;
        cancelled += strcmp(w->jobs[i].state, "cancelled") == 0;
        if (w->jobs[i].missing)
            missing_id = ++missing ? w->jobs[i].id : NULL;
    }
    if (missing)
        return hf_fail(reterr, HF_E_NOT_FOUND, "job not found: %s%s", missing_id, missing > 1 ? ", and others" : "");
    w->ctl->exit_status = failed ? 1 : cancelled ? hf_code_exit_status(HF_E_CANCELLED) : 0;
    return HF_OK;
}

/* Sorted by id, each once. */
static hf_code prepare(watch *w, char *const *ids, size_t count, hf_err *reterr) {
    w->jobs = hf_alloc(count * sizeof *w->jobs);
    if (!w->jobs)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%zu jobs to watch", count);
    for (size_t i = 0; i < count; i++) {
        if (!hf_id_valid(hf_str_of(ids[i])))
            return hf_fail(reterr, HF_E_USAGE, "'%.128s' is no job id", ids[i]);
        w->jobs[i] = (watched){.id = ids[i], .state = "unknown", .percent = -1, .told_tenth = -1};
    }
    qsort(w->jobs, count, sizeof *w->jobs, compare_id);
    for (size_t i = 0; i < count; i++)
        if (w->count == 0 || strcmp(w->jobs[w->count - 1].id, w->jobs[i].id) != 0)
            w->jobs[w->count++] = w->jobs[i];
    w->open = w->count;
    return HF_OK;
}

hf_code hf_ctl_watch(hf_ctl *ctl, char *const *ids, size_t count, hf_watch_kind kind, hf_err *reterr) {
    watch w = {.ctl = ctl, .kind = kind, .began_ms = hf_mono_ms(hf_clock_system())};
    const struct sigaction action = {.sa_handler = on_interrupt}, usual = {.sa_handler = SIG_DFL};
    hf_code code = prepare(&w, ids, count, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &w.http, reterr);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!code)
        code = follow(&w, reterr);
    sigaction(SIGINT, &usual, NULL);
    sigaction(SIGTERM, &usual, NULL);
    if (!code)
        code = outcome(&w, reterr);
    free(w.jobs);
    return code;
}

hf_code hf_cmd_watch(hf_ctl *ctl, hf_err *reterr) {
    return hf_ctl_watch(ctl, ctl->args.rest, (size_t)ctl->args.rest_count, HF_WATCH_KNOWN, reterr);
}
