/* hyperjournal: follows every topic into the full journal and serves it over HTTP; and the tools that look after one.
 *
 * Threads: this one polls Kafka, folds and proposes what the sidecar asks for; one commits to LMDB (replica/writer.h); the
 * sidecar's answer requests. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "journal/http/access.h"
#include "journal/http/server.h"
#include "journal/log/registry_codec.h"
#include "journal/replica/tools/print.h"
#include "journal/replica/tools/snapshot.h"
#include "journal/replica/tools/verify.h"
#include "schemas/base/host.h"
#include "schemas/base/id.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/base/ready.h"

enum { OPEN_MS = 30000, STEP_RECORDS = 2000 /* what they are copied into stays in the cache */, HELD_MS = 200 };
#define DEAD_LETTER_TAG (1ull << 60)

/* job-states is left out: it says nothing that job-events does not. */
#define TOPICS ((1u << HF_TOPIC_COUNT) - 1u - (1u << HF_TOPIC_JOB_STATES))

typedef struct options {
    hf_config *config;
    hf_registry_link *registry;
    hf_codec *codec;
    hf_print_options print;
    hf_asof as_of;
    int threads;
    bool from_kafka;
    char **args; /* what is not an option */
    int arg_count;
} options;

static atomic_bool interrupted;
static void on_interrupt(int signal_number) {
    (void)signal_number;
    atomic_store(&interrupted, true);
}

/* ---- run ---------------------------------------------------------------------------------------------------------- */
typedef struct journal {
    options *options;
    hf_klog *log;
    hf_follow *follow;
    hf_http *http;
    char me[256];
    bool ready, stopping;

} journal;

static void map_options(const hf_config *config, hf_store_options *o) {
    o->map_bytes = (size_t)hf_config_int(config, HF_C_JOURNAL_MAP);
    o->map_max_bytes = (size_t)hf_config_int(config, HF_C_JOURNAL_MAP_MAX);
}

/* An unreadable job-event goes to dead-letters as it came, once the journal is no longer reading its past. */
static void bury(journal *j, const hf_change *change) {
    char place[64];
    hf_err err;
    if (!j->ready || j->stopping)
        return;
    snprintf(place, sizeof place, "job-events/%d/%lld", (int)change->position.partition,
             (long long)change->position.offset);
    const hf_header headers[] = {{HF_STR("hf-origin"), hf_str_of(place)},
                                 {HF_STR("hf-error"), hf_str_of(change->detail)}};
    HF_LOG(WARN, "record-unreadable", {"position", HF_V_Z(place)}, {"detail", HF_V_Z(change->detail)});
    if (hf_klog_produce(j->log, HF_TOPIC_DEAD_LETTERS, -1, change->source->key, change->source->value, "DeadLetter",
                        headers, 2, DEAD_LETTER_TAG, &err) != HF_OK)
        HF_LOG_ERR(WARN, "dead-letter-not-sent", &err, {"position", HF_V_Z(place)});
}

static void on_change(void *ctx, const hf_change *change) {
    journal *j = ctx;
    if (change->unreadable)
        bury(j, change);
    if (j->http)
        hf_http_changed(j->http, change);
}
static void on_record(void *ctx, const hf_log_record *record) {
    journal *j = ctx;
    if (j->http)
        hf_http_record(j->http, record);
}
static void on_report(void *ctx, uint64_t tag, const hf_report *report) {
    journal *j = ctx;
    if (tag & HF_HTTP_TAG_BIT && j->http)
        hf_http_report(j->http, tag, report);
    else if (report->error != HF_OK)
        HF_LOG(WARN, "dead-letter-not-sent", {"error", HF_V_Z(hf_code_name(report->error))},
               {"detail", HF_V_Z(report->detail ? report->detail : "")});
}

/* Ids of a schema registry that a journal has read are kept in its folder `schemas`; a tool only reads them. */
static hf_code open_codec(options *o, const char *dir, uint32_t writes, hf_err *reterr) {
    char keep_dir[4096];
    if (snprintf(keep_dir, sizeof keep_dir, "%s/schemas", dir) >= (int)sizeof keep_dir)
        return hf_fail(reterr, HF_E_LIMIT, "the path %.100s… is too long", dir);
    return hf_registry_codec(o->config, writes, keep_dir, &o->registry, &o->codec, reterr);
}

/* <state_dir>/journal */
static hf_code journal_dir(const hf_config *config, char dir[4096], hf_err *reterr) {
    const char *state = hf_config_str(config, HF_C_STATE_DIR);
    return snprintf(dir, 4096, "%s/journal", state) < 4096
               ? HF_OK
               : hf_fail(reterr, HF_E_CONFIG, "state_dir is too long: %.200s", state);
}

static hf_code open_follow(journal *j, const char *dir, hf_err *reterr) {
    hf_store_options map = {0};
    map_options(j->options->config, &map);
    hf_follow_options o = {
        .replica = {.profile = HF_PROFILE_FULL, .fleet = hf_config_str(j->options->config, HF_C_FLEET)},
        .hooks = {.ctx = j, .on_change = on_change, .on_record = on_record},
        .topics = TOPICS,
        .commit_interval_ms = (int)hf_config_int(j->options->config, HF_C_JOURNAL_COMMIT)};
    hf_code rc = hf_follow_open(j->log, j->options->codec, dir, &map, &o, &j->follow, reterr);
    if (rc != HF_E_STORE_VERSION)
        return rc;
    HF_LOG_ERR(WARN, "journal-rebuild", reterr, {"dir", HF_V_Z(dir)});
    hf_rebuild_stats stats;
    rc = hf_rebuild_dir(dir, &map, &(hf_rebuild_options){.codec = j->options->codec, .stop = &interrupted}, &stats,
                        reterr);
    if (rc != HF_OK)
        return rc;
    HF_LOG(INFO, "journal-rebuilt", {"records", HF_V_INT(stats.records)}, {"seconds", HF_V_NUM(stats.seconds)});
    return hf_follow_open(j->log, j->options->codec, dir, &map, &o, &j->follow, reterr);
}

static hf_code open_journal(journal *j, hf_err *reterr) {
    char dir[4096], incarnation[HF_UUID_BYTES];
    hf_id_new(hf_clock_system(), hf_random_system(), incarnation);
    hf_producer_name("hyperjournal", incarnation, j->me, sizeof j->me);
    hf_code rc = journal_dir(j->options->config, dir, reterr);
    if (rc == HF_OK)
        rc = open_codec(j->options, dir, HF_REGISTRY_WRITES_ALL, reterr);
    if (rc == HF_OK)
        rc = hf_klog_open(j->options->config, j->me, true, OPEN_MS, &j->log, reterr);
    if (rc != HF_OK)
        return rc;
    hf_klog_on_report(j->log, on_report, j);
    rc = open_follow(j, dir, reterr);
    if (rc != HF_OK)
        return rc;
    const hf_http_options http = {
        .config = j->options->config, .follow = j->follow, .log = j->log, .codec = j->options->codec, .me = j->me};
    rc = hf_http_start(&http, &j->http, reterr);
    if (rc == HF_OK)
        HF_LOG(INFO, "journal-started", {"dir", HF_V_Z(dir)}, {"http", HF_V_Z(hf_http_address(j->http))});
    return rc;
}

static void note_ready(journal *j) {
    if (j->ready || !hf_follow_caught_up(j->follow))
        return;
    j->ready = true;
    HF_LOG(INFO, "journal-ready",
           {"jobs_in_memory", HF_V_INT(hf_replica_jobs_in_memory(hf_follow_replica(j->follow)))});
    hf_ready_note("HTTP", hf_http_address(j->http));
    hf_ready_notify();
}

static int sooner(int a, int b) { return a < 0 ? b : b < 0 || a < b ? a : b; }

/* One turn: what has come is folded, what the sidecar wants is proposed, then wait. */
static hf_code turn(journal *j, int signal_fd, hf_err *reterr) {
    size_t fed = 0;
    hf_code rc = hf_follow_step(j->follow, STEP_RECORDS, &fed, reterr);
    /* A schema's id that the registry must tell: its record waits, requests do not. */
    bool held = rc == HF_E_UNREACHABLE;
    if (rc != HF_OK && !held)
        return rc;
    if (held)
        HF_LOG_ERR(WARN, "follow", reterr, {"then", HF_V_Z("tried again")});
    note_ready(j);
    hf_klog_poll_reports(j->log, 0);
    int wait = sooner(hf_http_step(j->http), hf_follow_timeout_ms(j->follow));
    struct pollfd fds[] = {{signal_fd, POLLIN, 0},
                           {hf_follow_fd(j->follow), POLLIN, 0},
                           {hf_http_fd(j->http), POLLIN, 0},
                           {hf_klog_report_fd(j->log), POLLIN, 0}};
    if (poll(fds, held ? 1 : HF_ARRAY_LEN(fds), held ? HELD_MS : fed == STEP_RECORDS ? 0 : wait) < 0 && errno != EINTR)
        return hf_fail_errno(reterr, errno, "poll");
    if (fds[0].revents) {
        struct signalfd_siginfo info;
        if (read(signal_fd, &info, sizeof info) == sizeof info)
            j->stopping = true;
    }
    return HF_OK;
}

static void close_journal(journal *j) {
    hf_http_stop(j->http);
    j->http = NULL;
    hf_follow_close(j->follow);
    hf_klog_close(j->log);
}

static hf_code run(options *o, hf_err *reterr) {
    journal j = {.options = o};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before any thread */
    signal(SIGPIPE, SIG_IGN);
    hf_auto_fd int signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    hf_code rc = signal_fd < 0 ? hf_fail_errno(reterr, errno, "signalfd") : open_journal(&j, reterr);
    while (rc == HF_OK && !j.stopping)
        rc = turn(&j, signal_fd, reterr);
    close_journal(&j);
    if (rc == HF_OK)
        HF_LOG(INFO, "journal-stopped", {"signal", HF_V_Z("asked to stop")});
    return rc;
}

/* ---- tools ------------------------------------------------------------------------------------------------------------ */
/* DIR may be the journal's folder or the state directory around it. */
static hf_code find_dir(const options *o, char dir[4096], hf_err *reterr) {
    char inside[4200];
    if (o->arg_count < 1)
        return hf_fail(reterr, HF_E_USAGE, "of which directory?");
    if (snprintf(dir, 4096, "%s", o->args[0]) >= 4096)
        return hf_fail(reterr, HF_E_LIMIT, "the path %.100s… is too long", o->args[0]);
    snprintf(inside, sizeof inside, "%s/journal/data.mdb", dir);
    if (access(inside, F_OK) == 0 && strlen(inside) < 4096)
        snprintf(dir, 4096, "%.*s", (int)(strlen(inside) - strlen("/data.mdb")), inside);
    return HF_OK;
}

static hf_code exactly(const options *o, int count, hf_err *reterr) {
    return o->arg_count == count
               ? HF_OK
               : hf_fail(reterr, HF_E_USAGE, o->arg_count < count ? "too few arguments" : "too many arguments");
}

static void interruptible(void) {
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void say_rebuilt(const hf_rebuild_stats *s) {
    printf("rebuilt: %llu records of %llu partitions in %.2f s (%.0f records/s)\n", (unsigned long long)s->records,
           (unsigned long long)s->partitions, s->seconds, s->seconds > 0 ? (double)s->records / s->seconds : 0.0);
}

/* Everything again from Kafka, aside; the journal as it is stays until that is done. */
static hf_code follow_to_end(options *o, const char *dir, const char *aside, hf_err *reterr) {
    hf_klog *log = NULL;
    hf_follow *follow = NULL;
    hf_store_options map = {0};
    map_options(o->config, &map);
    const hf_follow_options follow_options = {
        .replica = {.profile = HF_PROFILE_FULL, .fleet = hf_config_str(o->config, HF_C_FLEET)}, .topics = TOPICS};
    hf_code rc = open_codec(o, dir, HF_REGISTRY_WRITES_ALL, reterr);
    if (rc == HF_OK)
        rc = hf_klog_open(o->config, "hyperjournal@rebuild/0", false, OPEN_MS, &log, reterr);
    if (rc == HF_OK)
        rc = hf_follow_open(log, o->codec, aside, &map, &follow_options, &follow, reterr);
    while (rc == HF_OK && !hf_follow_caught_up(follow) && !atomic_load(&interrupted)) {
        size_t fed = 0;
        struct pollfd fd = {follow ? hf_follow_fd(follow) : -1, POLLIN, 0};
        rc = hf_follow_step(follow, STEP_RECORDS, &fed, reterr);
        if (rc == HF_OK && fed == 0)
            poll(&fd, 1, sooner(100, hf_follow_timeout_ms(follow)));
    }
    if (rc == HF_OK && atomic_load(&interrupted))
        rc = hf_fail(reterr, HF_E_CANCELLED, "rebuilding was stopped");
    hf_follow_close(follow);
    hf_klog_close(log);
    return rc;
}

static hf_code rebuild_from_kafka(options *o, const char *dir, hf_err *reterr) {
    hf_store *held = NULL; /* for its lock */
    char aside[4096];
    hf_store_options any = {0};
    hf_code rc = hf_store_open(dir, &any, &held, reterr);
    if (rc == HF_E_STORE_FOREIGN ||
        rc == HF_E_STORE_DAMAGED) /* a damaged file is what this is for; its lock is not held then */
        rc = HF_OK;
    if (rc == HF_OK)
        rc = hf_rebuild_aside(dir, aside, reterr);
    if (rc == HF_OK)
        rc = follow_to_end(o, dir, aside, reterr);
    if (rc == HF_OK)
        rc = hf_rebuild_swap(dir, aside, reterr);
    hf_store_close(held);
    if (rc == HF_OK)
        printf("rebuilt from Kafka: %s\n", dir);
    return rc;
}

static hf_code rebuild(options *o, hf_err *reterr) {
    char dir[4096];
    hf_rebuild_stats stats;
    hf_store_options map = {0};
    map_options(o->config, &map);
    interruptible();
    hf_code rc = exactly(o, 1, reterr);
    if (rc == HF_OK)
        rc = find_dir(o, dir, reterr);
    if (rc != HF_OK)
        return rc;
    if (o->from_kafka)
        return rebuild_from_kafka(o, dir, reterr);
    rc = open_codec(o, dir, HF_REGISTRY_WRITES_NONE, reterr);
    if (rc == HF_OK)
        rc = hf_rebuild_dir(dir, &map,
                            &(hf_rebuild_options){.threads = o->threads, .codec = o->codec, .stop = &interrupted},
                            &stats, reterr);
    if (rc == HF_OK)
        say_rebuilt(&stats);
    return rc;
}

static hf_code verify(options *o, hf_err *reterr) {
    char dir[4096];
    hf_verify_stats stats = {0};
    interruptible();
    hf_code rc = exactly(o, 1, reterr);
    if (rc == HF_OK)
        rc = find_dir(o, dir, reterr);
    if (rc == HF_OK)
        rc = open_codec(o, dir, HF_REGISTRY_WRITES_NONE, reterr);
    if (rc == HF_OK)
        rc = hf_verify(dir, &(hf_rebuild_options){.threads = o->threads, .codec = o->codec, .stop = &interrupted},
                       &stats, reterr);
    if (rc == HF_OK)
        printf(
            "verified: %llu records fold to the %llu jobs on record, byte for byte, and the chain of hashes holds (%.2f s)\n",
            (unsigned long long)stats.rebuilt.records, (unsigned long long)stats.jobs, stats.rebuilt.seconds);
    return rc;
}

static hf_code print(options *o, hf_err *reterr) {
    char dir[4096];
    hf_code rc = find_dir(o, dir, reterr);
    if (rc == HF_OK && (o->arg_count < 2 || o->arg_count > 3))
        rc = hf_fail(
            reterr, HF_E_USAGE,
            "print what? jobs, job ID, events ID, offsets, counters, chain, orphans, schedule_runs or log TOPIC");
    if (rc == HF_OK)
        rc = open_codec(o, dir, HF_REGISTRY_WRITES_NONE, reterr);
    o->print.codec = o->codec;
    return rc == HF_OK ? hf_print(dir, o->args[1], o->arg_count > 2 ? o->args[2] : NULL, &o->print, stdout, reterr)
                       : rc;
}

static hf_code snapshot(options *o, hf_err *reterr) {
    char dir[4096];
    hf_code rc = exactly(o, 2, reterr);
    if (rc == HF_OK)
        rc = find_dir(o, dir, reterr);
    return rc == HF_OK ? hf_snapshot(dir, o->args[1], reterr) : rc;
}

static hf_code restore(options *o, hf_err *reterr) {
    hf_code rc = exactly(o, 2, reterr);
    return rc == HF_OK ? hf_restore(o->args[0], o->args[1], reterr) : rc;
}

/* ---- token ------------------------------------------------------------------------------------------------------------------ */
/* The token itself is shown this once and kept nowhere; the lines are for access.tokens_file. */
static hf_code token(options *o, hf_err *reterr) {
    char text[HF_TOKEN_BYTES], hash[HF_TOKEN_HASH_BYTES];
    hf_scope scope;
    if (o->arg_count < 1 || !hf_id_valid(hf_str_of(o->args[0])))
        return hf_fail(reterr, HF_E_USAGE, "whose token? `hyperjournal token NAME [read|submit|operate|admin]...`");
    for (int i = 1; i < o->arg_count; i++)
        if (!hf_scope_parse(hf_str_of(o->args[i]), &scope))
            return hf_fail(reterr, HF_E_USAGE, "`%s` is no scope: there are read, submit, operate and admin",
                           o->args[i]);
    hf_code rc = hf_token_new(text, hash, reterr);
    if (rc != HF_OK)
        return rc;
    printf("# the token, shown this once:\n# %s\ntokens:\n  - {name: \"%s\", sha256: \"%s\", scopes: [", text,
           o->args[0], hash);
    for (int i = 1; i < o->arg_count; i++)
        printf("%s%s", i > 1 ? ", " : "", o->args[i]);
    printf("%s]}\n", o->arg_count == 1 ? "read" : "");
    return HF_OK;
}

/* ---- the command line ---------------------------------------------------------------------------------------------------- */
static const struct command {
    const char *name, *args, *summary, *example;
    hf_code (*fn)(options *, hf_err *);
} commands[] = {
    {"run", "", "follow every topic into the journal and serve it over HTTP; what is done without a command",
     "hyperjournal run --config /etc/hyperfleet/hyperfleet.yaml", run},
    {"rebuild", "DIR", "fold the journal anew from its own copy of the log, or from Kafka (--from-kafka)",
     "hyperjournal rebuild /var/lib/hyperfleet/journal", rebuild},
    {"verify", "DIR", "fold it anew aside and compare everything, byte for byte; also while the fleet runs",
     "hyperjournal verify /var/lib/hyperfleet/journal", verify},
    {"print", "DIR WHAT",
     "show jobs | job ID | events ID | offsets | counters | chain | orphans | schedule_runs | log TOPIC",
     "hyperjournal print /var/lib/hyperfleet/journal job 0190… --as-of 2026-01-17T10:30:00Z", print},
    {"snapshot", "DIR FILE", "a consistent copy in one file, while the journal goes on",
     "hyperjournal snapshot /var/lib/hyperfleet/journal /backup/journal.mdb", snapshot},
    {"restore", "FILE DIR", "a snapshot becomes the journal in a new directory",
     "hyperjournal restore /backup/journal.mdb /var/lib/hyperfleet/journal", restore},
    {"token", "NAME", "make a token for the sidecar, and its line for access.tokens_file; scopes may follow the name",
     "hyperjournal token ci read submit", token}};

static void help(FILE *out) {
    fprintf(
        out,
        "Usage: hyperjournal [COMMAND] [ARGUMENT]... [OPTION]...\nThe journal of a Hyperfleet fleet: all that Kafka said, and what it comes to.\n\nCommands:\n");
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        fprintf(out, "  %-8s %-9s %s\n  %18s %s\n", commands[i].name, commands[i].args, commands[i].summary, "",
                commands[i].example);
    fprintf(
        out,
        "DIR is the journal's folder, or the state directory around it.\n\n"
        "Options:\n"
        "  -c, --config FILE    read the configuration from FILE\n"
        "  -s, --set KEY=VALUE  one setting, over the file and HF_… variables; may be repeated\n"
        "  -o, --output FORM    text (the default) or json, an object a line (print)\n"
        "  -n, --limit N        at most N rows (print; 100 for jobs and logs)\n"
        "      --as-of WHEN     state as of a time (2026-01-17T10:30:00Z), an offset (17) or partition/offset (3/17) (print)\n"
        "  -j, --threads N      threads to fold with (rebuild, verify; one a processor)\n"
        "      --from-kafka     read everything from Kafka again (rebuild)\n"
        "  -h, --help           this\n"
        "  -V, --version        the version\n\n"
        "Exit status: 0 done; 65 the journal is not what its log says, or damaged; 64 usage; 66 not found; 75 try again.\n");
}

static hf_code number(const char *text, long max, long *ret, hf_err *reterr) {
    char *end = NULL;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > max)
        return hf_fail(reterr, HF_E_USAGE, "`%s` is no number from 1 to %ld", text, max);
    *ret = n;
    return HF_OK;
}

enum { OPT_AS_OF = 256, OPT_FROM_KAFKA };
static hf_code take_option(options *o, int option, const char *value, hf_err *reterr) {
    long n = 0;
    hf_code rc = HF_OK;
    switch (option) {
    case 'o':
        o->print.json = strcmp(value, "json") == 0;
        return o->print.json || strcmp(value, "text") == 0
                   ? HF_OK
                   : hf_fail(reterr, HF_E_USAGE, "--output is text or json, not `%s`", value);
    case 'n':
        rc = number(value, 1000000000, &n, reterr);
        o->print.limit = (size_t)n;
        return rc;
    case 'j':
        rc = number(value, 64, &n, reterr);
        o->threads = (int)n;
        return rc;
    case OPT_AS_OF: o->print.as_of = &o->as_of; return hf_asof_parse(hf_str_of(value), &o->as_of, reterr);
    case OPT_FROM_KAFKA: o->from_kafka = true; return HF_OK;
    default: return hf_fail(reterr, HF_E_USAGE, "see hyperjournal --help");
    }
}

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"set", required_argument, NULL, 's'},
                                             {"output", required_argument, NULL, 'o'},
                                             {"limit", required_argument, NULL, 'n'},
                                             {"as-of", required_argument, NULL, OPT_AS_OF},
                                             {"threads", required_argument, NULL, 'j'},
                                             {"from-kafka", no_argument, NULL, OPT_FROM_KAFKA},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {0}};

/* The file first, then the environment, then --set, wherever they stand. */
static hf_code take_settings(options *o, int argc, char **argv, const char *file, hf_err *reterr) {
    hf_code rc = file ? hf_config_load_file(o->config, file, reterr) : HF_OK;
    if (rc == HF_OK)
        rc = hf_config_load_env(o->config, environ, reterr);
    optind = 0;
    for (int c; rc == HF_OK && (c = getopt_long(argc, argv, "c:s:o:n:j:hV", long_options, NULL)) != -1;)
        if (c == 's')
            rc = hf_config_set(o->config, optarg, reterr);
    return rc;
}

/* *ret_done: help or the version was asked for and given. */
static hf_code parse(options *o, int argc, char **argv, bool *ret_done, hf_err *reterr) {
    const char *file = NULL;
    hf_code rc = HF_OK;
    for (int c; rc == HF_OK && (c = getopt_long(argc, argv, "c:s:o:n:j:hV", long_options, NULL)) != -1;) {
        if (c == 'h' || c == 'V') {
            c == 'h' ? help(stdout) : (void)printf("hyperjournal %s\n", HF_VERSION);
            *ret_done = true;
            return HF_OK;
        }
        if (c == 'c')
            file = optarg;
        else if (c != 's')
            rc = take_option(o, c, optarg, reterr);
    }
    if (rc == HF_OK)
        rc = take_settings(o, argc, argv, file, reterr);
    o->args = argv + optind;
    o->arg_count = argc - optind;
    return rc;
}

static void set_up_log(const options *o) {
    hf_log_level level = HF_LOG_INFO;
    hf_log_level_parse(hf_str_of(hf_config_str(o->config, HF_C_LOG_LEVEL)), &level);
    bool json = strcmp(hf_config_str(o->config, HF_C_LOG_FORMAT), "json") == 0;
    hf_log_setup("hyperjournal", level, json ? HF_LOG_JSON : HF_LOG_LOGFMT, 2);
}

static hf_code dispatch(options *o, hf_err *reterr) {
    const char *name = o->arg_count > 0 ? o->args[0] : "run";
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0) {
            if (o->arg_count > 0) {
                o->args++;
                o->arg_count--;
            }
            return commands[i].fn(o, reterr);
        }
    return hf_fail(reterr, HF_E_USAGE, "there is no command `%s`; see hyperjournal --help", name);
}

int main(int argc, char **argv) {
    hf_err err = {0};
    options o = {.config = hf_config_new()};
    bool done = false;
    hf_log_setup("hyperjournal", HF_LOG_INFO, HF_LOG_LOGFMT, 2);
    hf_code rc = o.config ? parse(&o, argc, argv, &done, &err) : hf_fail(&err, HF_E_NO_MEMORY, "starting");
    if (rc == HF_OK && !done) {
        set_up_log(&o);
        rc = dispatch(&o, &err);
    }
    if (rc != HF_OK) {
        bool tool = o.arg_count > 0 || rc == HF_E_USAGE;
        if (tool)
            fprintf(stderr, "hyperjournal: %s: %s\n", hf_code_name(rc), err.detail);
        else
            HF_LOG_ERR(ERROR, "journal-failed", &err, {"remedy", HF_V_Z(hf_code_sentence(rc))});
    }
    if (fflush(stdout) != 0 && rc == HF_OK)
        rc = HF_E_IO;
    hf_codec_free(o.codec);
    hf_registry_link_free(o.registry);
    hf_config_free(o.config);
    return hf_code_exit_status(rc);
}
