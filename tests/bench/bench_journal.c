// LIBS: hf_replica hf_support
/* The journal's rates: refolding a log into a full replica's LMDB, committed per batch by its writer thread; rebuilding
 * from the local copy; and, with --bootstrap, refolding from a real Kafka.
 *
 *   bench_journal [--jobs N] [--dir DIR] [--bootstrap HOST:PORT] [--rebuild-only] [--batch-mib N]
 *
 * A job is four records: created+validated+queued, assigned, started, completed. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/replica/follow.h"
#include "journal/replica/tools/verify.h"
#include "journal/replica/writer.h"
#include "schemas/base/clock.h"
#include "tests/support/dirs.h"
#include "tests/support/history.h"
#include "tests/support/kafka.h"

enum { PARTITIONS = 4, ABREAST = 512 };

static void die(const char *what, const hf_err *err) {
    fprintf(stderr, "%s: %s: %s\n", what, hf_code_name(err->code), err->detail);
    exit(1);
}

static long rss_kib(void) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = atol(line + 8);
    if (f)
        fclose(f);
    return kib;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

typedef struct mark {
    int64_t ns;
    double cpu;
} mark;
static mark now(void) { return (mark){hf_mono_ns(), cpu_seconds()}; }
static void say(const char *what, size_t records, mark since) {
    double seconds = (double)(hf_mono_ns() - since.ns) / 1e9;
    printf("%-34s %9zu records  %6.2f s  %8.0f records/s  %5.2f us CPU each  anonymous RSS %ld MiB\n", what, records,
           seconds, (double)records / seconds, (cpu_seconds() - since.cpu) / (double)records * 1e6, rss_kib() / 1024);
}

static off_t file_size(const char *dir) {
    char path[4200];
    struct stat st = {0};
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    stat(path, &st);
    return st.st_size;
}

/* ---- from memory ------------------------------------------------------------------------------------------------ */
typedef struct rig {
    hf_store *store;
    hf_codec *codec;
    hf_replica *replica;
    hf_writer writer;
    bool writing;
} rig;

static void take_finished(rig *r, bool wait) {
    hf_err err = {0};
    if (r->writing && hf_writer_finished(&r->writer, wait, &err)) {
        if (err.code != HF_OK)
            die("commit", &err);
        hf_replica_committed(r->replica);
        r->writing = false;
    }
}
static void seal(rig *r) {
    const hf_changes *batch = NULL;
    hf_err err = {0};
    take_finished(r, true);
    if (hf_replica_seal(r->replica, &batch, &err) != HF_OK)
        die("seal", &err);
    hf_writer_commit(&r->writer, batch);
    r->writing = true;
}

static void refold(const char *dir, hf_profile profile, size_t jobs, size_t batch) {
    rig r = {0};
    hf_err err = {0};
    hf_store_options o = {0};
    hf_history *h = hf_history_new(1, PARTITIONS);
    hf_history_jobs(h, jobs, ABREAST);
    size_t count = hf_history_count(h);
    hf_layout_options(profile, "bench", &o);
    const hf_replica_options options = {.profile = profile, .fleet = "bench", .partitions = PARTITIONS};
    if (hf_codec_new(NULL, NULL, &r.codec, &err) != HF_OK || hf_store_open(dir, &o, &r.store, &err) != HF_OK ||
        hf_replica_new(r.store, r.codec, &options, NULL, &r.replica, &err) != HF_OK ||
        hf_writer_start(&r.writer, r.store, eventfd(0, EFD_NONBLOCK), &err) != HF_OK)
        die("opening", &err);
    mark began = now();
    hf_log_record record;
    for (size_t i = 0; i < count; i++) {
        hf_history_record(h, i, &record);
        if (hf_replica_feed(r.replica, &record, &err) != HF_OK)
            die("feed", &err);
        if ((i + 1) % batch == 0 || hf_replica_must_commit(r.replica))
            seal(&r);
    }
    seal(&r);
    take_finished(&r, true);
    char what[64];
    snprintf(what, sizeof what, "refold, %s, batches of %zu", profile == HF_PROFILE_FULL ? "full" : "live", batch);
    hf_history_free(h);
    say(what, count, began);
    printf("%-34s %.0f bytes a record on disk, %zu jobs in memory\n", "", (double)file_size(dir) / (double)count,
           hf_replica_jobs_in_memory(r.replica));
    hf_writer_stop(&r.writer);
    hf_replica_free(r.replica);
    hf_store_close(r.store);
    hf_codec_free(r.codec);
}

static size_t batch_bytes;

static void rebuild(const char *dir, int threads) {
    hf_err err = {0};
    hf_rebuild_stats stats = {0};
    char what[64];
    mark began = now();
    if (hf_rebuild_dir(dir, NULL, &(hf_rebuild_options){.threads = threads, .batch_max_bytes = batch_bytes}, &stats,
                       &err) != HF_OK)
        die("rebuild", &err);
    snprintf(what, sizeof what, "rebuild, %d thread%s", threads, threads == 1 ? "" : "s");
    say(what, stats.records, began);
}

static void verify(const char *dir) {
    hf_err err = {0};
    hf_verify_stats stats = {0};
    mark began = now();
    if (hf_verify(dir, &(hf_rebuild_options){0}, &stats, &err) != HF_OK)
        die("verify", &err);
    say("verify", stats.rebuilt.records, began);
}

/* ---- from Kafka --------------------------------------------------------------------------------------------------- */
static void produce(hf_klog *log, size_t jobs) {
    hf_err err = {0};
    hf_history *h = hf_history_new(1, PARTITIONS);
    hf_history_jobs(h, jobs, ABREAST);
    hf_klog_bulk(log, true);
    mark began = now();
    for (size_t i = 0; i < hf_history_count(h); i++) {
        hf_log_record r;
        hf_history_record(h, i, &r);
        while (hf_klog_produce(log, r.topic, r.partition, r.key, r.value, "JobEvent", NULL, 0, 0, &err) ==
               HF_E_LOG_QUEUE_FULL)
            hf_klog_poll_reports(log, 10);
        if (i % 1000 == 0)
            hf_klog_poll_reports(log, 0);
    }
    if (hf_klog_flush(log, 60000, &err) != HF_OK)
        die("produce", &err);
    say("produce", hf_history_count(h), began);
    hf_history_free(h);
}

static void refold_from_kafka(const char *bootstrap, const char *dir, hf_profile profile, size_t jobs) {
    char fleet[64];
    hf_err err = {0};
    hf_klog *log = NULL;
    hf_codec *codec = NULL;
    hf_follow *follow = NULL;
    snprintf(fleet, sizeof fleet, "bench-%d-%" PRId64, (int)getpid(), hf_mono_ns() % 1000000);
    hf_config *config = hf_test_config(bootstrap, fleet);
    if (hf_klog_open(config, "bench@here/1", true, 20000, &log, &err) != HF_OK ||
        hf_codec_new(NULL, NULL, &codec, &err) != HF_OK)
        die("open", &err);
    produce(log, jobs);
    const hf_follow_options o = {.replica = {.profile = profile, .fleet = fleet}};
    mark began = now();
    if (hf_follow_open(log, codec, dir, NULL, &o, &follow, &err) != HF_OK)
        die("follow", &err);
    size_t total = 0;
    while (!hf_follow_caught_up(follow) || hf_follow_timeout_ms(follow) >= 0) {
        size_t fed = 0;
        if (hf_follow_step(follow, 2000, &fed, &err) != HF_OK)
            die("step", &err);
        total += fed;
        struct pollfd p = {hf_follow_fd(follow), POLLIN, 0};
        if (fed == 0)
            poll(&p, 1, hf_follow_timeout_ms(follow) >= 0 ? hf_follow_timeout_ms(follow) : 10);
    }
    hf_follow_close(follow);
    say(profile == HF_PROFILE_FULL ? "refold from Kafka, full" : "refold from Kafka, live", total, began);
    hf_klog_close(log);
    hf_codec_free(codec);
    hf_config_free(config);
}

int main(int argc, char **argv) {
    size_t jobs = 250000;
    bool rebuild_only = false;
    const char *bootstrap = NULL, *base = NULL;
    char made[HF_TEST_PATH], full[HF_TEST_PATH + 16], live[HF_TEST_PATH + 16];
    static const struct option options[] = {
        {"jobs", required_argument, NULL, 'j'},      {"dir", required_argument, NULL, 'd'},
        {"bootstrap", required_argument, NULL, 'b'}, {"rebuild-only", no_argument, NULL, 'r'},
        {"batch-mib", required_argument, NULL, 'm'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "j:d:b:rm:", options, NULL)) != -1;) {
        if (c == 'j')
            jobs = (size_t)atol(optarg);
        else if (c == 'd')
            base = optarg;
        else if (c == 'b')
            bootstrap = optarg;
        else if (c == 'r')
            rebuild_only = true;
        else if (c == 'm')
            batch_bytes = (size_t)atol(optarg) << 20;
        else
            return 64;
    }
    if (!base)
        base = hf_test_dir_make("bench", made);
    snprintf(full, sizeof full, "%s/full", base);
    snprintf(live, sizeof live, "%s/live", base);
    printf("%zu jobs of 4 records, %d partitions, build %s\n", jobs, PARTITIONS, HF_BUILD_TYPE);
    if (bootstrap) {
        refold_from_kafka(bootstrap, full, HF_PROFILE_FULL, jobs);
        refold_from_kafka(bootstrap, live, HF_PROFILE_LIVE, jobs);
    } else if (rebuild_only) { /* of what an earlier run left in --dir */
        rebuild(full, 1);
        rebuild(full, 2);
    } else {
        refold(full, HF_PROFILE_FULL, jobs, 20000);
        refold(live, HF_PROFILE_LIVE, jobs, 100000);
        rebuild(full, 1);
        rebuild(full, 2);
        verify(full);
    }
    if (base == made)
        hf_test_dir_remove(made);
    return 0;
}
