// LIBS: hf_log hf_support
/* The log on a real broker: produce acknowledged, follow, and the round trip of one record.
 *   bench_log [--bootstrap HOST:PORT] [--records N] [--bytes N] [--partitions N]
 * Without --bootstrap it starts a Kafka of its own (tests/support/kafka). Makes topics of a fleet "bench-…" and
 * leaves them there. Peers on two cores: docs/PERFORMANCE.md. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "journal/log/klog.h"
#include "schemas/base/clock.h"
#include "schemas/base/id.h"
#include "tests/support/kafka.h"

enum { TRIPS = 2000, WARM_UP = 200, WAIT_MS = 60000, BATCH = 20000, PARTITIONS_MAX = 256 };

typedef struct options {
    const char *bootstrap;
    uint64_t records;
    uint32_t bytes;
    int partitions;
} options;

static _Noreturn void die(const char *what, const hf_err *err) {
    fprintf(stderr, "bench_log: %s: %s: %s\n", what, hf_code_name(err->code), err->detail);
    exit(1);
}

static double seconds_since(int64_t begin_ns) { return (double)(hf_mono_ns() - begin_ns) / 1e9; }

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long resident_kib(void) {
    long pages = 0, skip;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%ld %ld", &skip, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static hf_klog *open_log(const options *o) {
    char text[128], uuid[HF_UUID_BYTES];
    hf_err err = {0};
    hf_klog *log;
    hf_id_new(hf_clock_system(), hf_random_system(), uuid);
    snprintf(text, sizeof text, "bench-%.18s", uuid);
    hf_config *config = hf_test_config(o->bootstrap, text);
    snprintf(text, sizeof text, "topics.partitions=%d", o->partitions);
    hf_test_config_set(config, text);
    if (hf_klog_open(config, "bench@here/1", true, WAIT_MS, &log, &err))
        die("open", &err);
    hf_config_free(config);
    return log;
}

static uint64_t acked, failed;
static void on_report(void *ctx, uint64_t tag, const hf_report *report) {
    (void)ctx, (void)tag;
    if (report->error)
        failed++;
    else
        acked++;
}

static void produce(hf_klog *log, hf_topic topic, const options *o, const char *name) {
    char value[4096], key[40];
    hf_err err = {0};
    memset(value, 'v', sizeof value);
    double cpu = cpu_seconds();
    int64_t begin = hf_mono_ns();
    acked = 0;
    for (uint64_t i = 0; i < o->records; i++) {
        hf_str k = {key, (uint32_t)snprintf(key, sizeof key, "job-%08llx", (unsigned long long)(i * 2654435761U))};
        hf_code code;
        while ((code = hf_klog_produce(log, topic, -1, k, (hf_str){value, o->bytes}, "JobEvent", NULL, 0, i, &err)) ==
               HF_E_LOG_QUEUE_FULL)
            hf_klog_poll_reports(log, 10);
        if (code)
            die("produce", &err);
        if (i % 256 == 0)
            hf_klog_poll_reports(log, 0);
    }
    if (hf_klog_flush(log, WAIT_MS, &err) || failed)
        die("flush", &err);
    double s = seconds_since(begin);
    printf("%-34s %8.0f k/s  %6.1f MB/s  %.2f us CPU each\n", name, (double)acked / s / 1e3,
           (double)acked * o->bytes / s / 1e6, (cpu_seconds() - cpu) * 1e6 / (double)acked);
}

static hf_follower *follow_all(hf_klog *log, hf_topic topic) {
    hf_follow_from from[PARTITIONS_MAX];
    int32_t count;
    hf_err err = {0};
    hf_follower *f;
    if (hf_klog_partitions(log, topic, &count, &err))
        die("partitions", &err);
    for (int32_t p = 0; p < count; p++)
        from[p] = (hf_follow_from){topic, p, 0};
    if (hf_follower_open(log, from, (size_t)count, &f, &err))
        die("follow", &err);
    return f;
}

static void follow(hf_klog *log, hf_topic topic, const options *o, bool replay, bool headers, const char *name) {
    hf_err err = {0};
    uint64_t read = 0;
    double cpu = cpu_seconds();
    int64_t begin = hf_mono_ns();
    hf_follower *f = follow_all(log, topic);
    if (replay)
        hf_follower_replay_mode(f, true);
    if (!headers)
        hf_follower_skip_headers(f);
    while (read < o->records) {
        hf_batch batch;
        if (hf_follower_poll(f, BATCH, 1000, &batch, &err))
            die("poll", &err);
        read += batch.count;
        hf_batch_release(&batch);
    }
    double s = seconds_since(begin);
    printf("%-34s %8.0f k/s  %6.1f MB/s  %.2f us CPU each, %ld MiB resident\n", name, (double)read / s / 1e3,
           (double)read * o->bytes / s / 1e6, (cpu_seconds() - cpu) * 1e6 / (double)read, resident_kib() / 1024);
    hf_batch none;
    hf_follower_poll(f, BATCH, 0, &none, NULL); /* caught up and idle: memory goes back */
    hf_follower_close(f);
}

static int by_size(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void round_trip(hf_klog *log) {
    static int64_t ns[TRIPS];
    hf_err err = {0};
    hf_follower *f = follow_all(log, HF_TOPIC_PROGRESS);
    for (int i = 0; i < TRIPS; i++) {
        hf_batch batch;
        int64_t begin = hf_mono_ns();
        if (hf_klog_produce(log, HF_TOPIC_PROGRESS, -1, HF_STR("k"), HF_STR("v"), "T", NULL, 0, 0, &err))
            die("produce", &err);
        do
            if (hf_follower_poll(f, 100, 1000, &batch, &err))
                die("poll", &err);
        while (!batch.count);
        ns[i] = hf_mono_ns() - begin;
        hf_batch_release(&batch);
        hf_klog_poll_reports(log, 0);
    }
    hf_klog_flush(log, WAIT_MS, NULL);
    hf_follower_close(f);
    qsort(ns + WARM_UP, TRIPS - WARM_UP, sizeof *ns, by_size);
    printf("%-34s p50 %.2f ms, p99 %.2f ms\n", "produce -> follow, idle",
           (double)ns[WARM_UP + (TRIPS - WARM_UP) / 2] / 1e6, (double)ns[WARM_UP + (TRIPS - WARM_UP) * 99 / 100] / 1e6);
}

static options parse(int argc, char **argv) {
    static const struct option longs[] = {{"bootstrap", 1, NULL, 'b'},
                                          {"records", 1, NULL, 'r'},
                                          {"bytes", 1, NULL, 's'},
                                          {"partitions", 1, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    options o = {.records = 1000000, .bytes = 200, .partitions = 1};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) >= 0;) {
        if (c == 'b')
            o.bootstrap = optarg;
        else if (c == 'r')
            o.records = strtoull(optarg, NULL, 10);
        else if (c == 's')
            o.bytes = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'p')
            o.partitions = atoi(optarg);
        else
            exit(64);
    }
    if (o.bytes > 4096 || !o.records || o.partitions < 1 || o.partitions > PARTITIONS_MAX) {
        fprintf(stderr, "bench_log: at most 4096 bytes, 1 to %d partitions\n", PARTITIONS_MAX);
        exit(64);
    }
    return o;
}

int main(int argc, char **argv) {
    options o = parse(argc, argv);
    hf_test_kafka kafka = {.guard_fd = -1};
    bool own = !o.bootstrap;
    if (own) {
        if (hf_test_kafka_missing())
            return 69;
        hf_test_kafka_up(&kafka, 1);
        o.bootstrap = kafka.bootstrap;
    }
    hf_klog *log = open_log(&o);
    hf_klog_on_report(log, on_report, NULL);
    printf("%llu records of %u bytes, %d partitions, %s\n", (unsigned long long)o.records, o.bytes, o.partitions,
           HF_BUILD_TYPE);
    hf_follower *idle = follow_all(log, HF_TOPIC_PROGRESS);
    printf("%-34s %.1f MiB resident\n", "idle: log, follower", (double)resident_kib() / 1024);
    hf_follower_close(idle);
    round_trip(log);
    printf("%-34s %.1f MiB resident\n", "and a producer", (double)resident_kib() / 1024);
    hf_klog_bulk(log, true);
    produce(log, HF_TOPIC_JOB_EVENTS, &o, "produce, acknowledged, bulk");
    hf_klog_bulk(log, false);
    produce(log, HF_TOPIC_SUBMISSIONS, &o, "produce, acknowledged, at once");
    follow(log, HF_TOPIC_JOB_EVENTS, &o, false, true, "follow");
    printf("%-34s %.1f MiB resident\n", "after it", (double)resident_kib() / 1024);
    follow(log, HF_TOPIC_JOB_EVENTS, &o, true, true, "follow, replay mode");
    follow(log, HF_TOPIC_JOB_EVENTS, &o, true, false, "follow, replay mode, no headers");
    printf("%-34s %.1f MiB resident\n", "after replay", (double)resident_kib() / 1024);
    hf_klog_close(log);
    if (own)
        hf_test_kafka_down(&kafka);
    return 0;
}
