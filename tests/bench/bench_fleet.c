// LIBS: hf_submit hf_support
/* The load of tests/bench/bench_fleet.py, which starts the fleet:
 *
 *   bench_fleet submit BOOTSTRAP FLEET JOBS        puts JOBS jobs of no work on `submissions`, acknowledged
 *   bench_fleet pickup BOOTSTRAP FLEET JOBS RATE   RATE jobs a second, one by one; prints p50, p90, p99 of the time from the
 *                                                  submit call to the start of the job in its runner, the first 20 left out
 * The start is the runner's own clock (report.started_unix_ns of the operation `sleep`), read from job-events. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "producer/submit/submit.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include <jansson.h>

enum { WARM_UP = 20, WAIT_MS = 60000 };

typedef struct bench {
    hf_klog *log;
    hf_codec *codec;
    hf_submitter *submitter;
    hf_arena arena;
    char prefix[64];
    int64_t *sent_ns, *waited_ns; /* by job number; 0: not known yet */
    long jobs, done;
} bench;

static void die(const char *what, const hf_err *err) {
    fprintf(stderr, "bench_fleet: %s: %s (%s)\n", what, err->detail, hf_code_name(err->code));
    exit(1);
}

static int64_t unix_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void open_all(bench *b, const char *bootstrap, const char *fleet) {
    hf_err err;
    char text[512];
    hf_config *config = hf_config_new();
    snprintf(text, sizeof text, "kafka.bootstrap.servers=%s", bootstrap);
    if (hf_config_set(config, text, &err))
        die("configuration", &err);
    snprintf(text, sizeof text, "fleet=%s", fleet);
    if (hf_config_set(config, text, &err))
        die("configuration", &err);
    if (hf_codec_new(NULL, NULL, &b->codec, &err) || hf_klog_open(config, "bench_fleet", true, 30000, &b->log, &err))
        die("Kafka", &err);
    if (hf_submitter_open(b->log, b->codec, &(hf_submitter_options){0}, &b->submitter, &err))
        die("submitter", &err);
    hf_arena_init(&b->arena, 8 << 20);
    snprintf(b->prefix, sizeof b->prefix, "b%" PRIx64 "-", (uint64_t)unix_ns() / 1000);
}

static void submit(bench *b, long number) {
    hf_err err;
    char id[HF_ID_MAX_BYTES];
    hf_str tags[] = {HF_STR("bench")};
    hf_submission s;
    hf_type_init(&HF_TYPE_SUBMISSION, &s);
    snprintf(id, sizeof id, "%s%08ld", b->prefix, number);
    s.job_id = hf_str_of(id);
    s.submitted_at = hf_wall_ms(hf_clock_system());
    s.spec.name = HF_STR("no work");
    s.spec.operation = HF_STR("sleep");
    s.spec.audit.requested_by = HF_STR("bench");
    s.spec.audit.tags = (hf_list){tags, 1};
    if (b->sent_ns)
        b->sent_ns[number] = unix_ns();
    if (hf_submitter_put(b->submitter, &s, (uint64_t)number, &err))
        die("put", &err);
}

static void run_submit(bench *b) {
    hf_err err;
    int64_t begun = hf_mono_ns();
    for (long i = 0; i < b->jobs; i++)
        submit(b, i);
    if (hf_submitter_finish(b->submitter, &err))
        die("finish", &err);
    double seconds = (double)(hf_mono_ns() - begun) / 1e9;
    printf("submitted %ld jobs, acknowledged, in %.2f s: %.0f jobs/s\n", b->jobs, seconds, (double)b->jobs / seconds);
}

/* ---- pick-up ------------------------------------------------------------------------------------------------- */
static void on_completed(bench *b, const hf_record *r, const hf_ev_completed *e) {
    if (!hf_str_starts(r->job_id, hf_str_of(b->prefix)))
        return;
    char number[16];
    snprintf(number, sizeof number, "%.*s", (int)(r->job_id.len - strlen(b->prefix)), r->job_id.p + strlen(b->prefix));
    long i = strtol(number, NULL, 10);
    json_t *report = json_loadb(e->result.report.p, e->result.report.len, 0, NULL);
    int64_t started = json_integer_value(json_object_get(report, "started_unix_ns"));
    json_decref(report);
    if (i < 0 || i >= b->jobs || b->waited_ns[i] || !started)
        return;
    b->waited_ns[i] = started - b->sent_ns[i];
    b->done++;
}

static void read_events(bench *b, hf_follower *f, int wait_ms) {
    hf_err err;
    hf_batch batch;
    if (hf_follower_poll(f, 1000, wait_ms, &batch, &err))
        die("follow", &err);
    for (size_t i = 0; i < batch.count; i++) {
        hf_record r;
        hf_arena_reset(&b->arena);
        if (hf_decode(b->codec, HF_SCHEMA_RECORD, batch.records[i].value, &b->arena, &r, &err))
            continue;
        for (uint32_t t = 0; t < r.transitions.count; t++)
            if (hf_record_event(&r, t) == HF_EV_COMPLETED)
                on_completed(b, &r, HF_LIST_AT(r.transitions, hf_variant, t)->record);
    }
    hf_batch_release(&batch);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_waits(bench *b) {
    long n = b->jobs - WARM_UP;
    int64_t *w = b->waited_ns + WARM_UP;
    qsort(w, (size_t)n, sizeof *w, by_value);
    printf("pick-up of %ld jobs: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms\n", n, (double)w[n / 2] / 1e6,
           (double)w[n * 9 / 10] / 1e6, (double)w[n * 99 / 100] / 1e6, (double)w[n - 1] / 1e6);
}

static void run_pickup(bench *b, double rate) {
    hf_err err;
    int32_t partitions;
    if (hf_klog_partitions(b->log, HF_TOPIC_JOB_EVENTS, &partitions, &err))
        die("partitions", &err);
    hf_follow_from *from = hf_alloc((size_t)partitions * sizeof *from);
    for (int32_t p = 0; p < partitions; p++) {
        int64_t low, high;
        if (hf_klog_watermarks(b->log, HF_TOPIC_JOB_EVENTS, p, 10000, &low, &high, &err))
            die("watermarks", &err);
        from[p] = (hf_follow_from){HF_TOPIC_JOB_EVENTS, p, high};
    }
    hf_follower *f;
    if (hf_follower_open(b->log, from, (size_t)partitions, &f, &err))
        die("follow", &err);
    b->sent_ns = hf_alloc((size_t)b->jobs * sizeof *b->sent_ns);
    b->waited_ns = hf_alloc((size_t)b->jobs * sizeof *b->waited_ns);
    for (long i = 0; i < b->jobs; i++) {
        int64_t next = hf_mono_ns() + (int64_t)(1e9 / rate);
        submit(b, i);
        do {
            hf_klog_poll_reports(b->log, 0);
            read_events(b, f, 5);
        } while (hf_mono_ns() < next);
    }
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    while (b->done < b->jobs && hf_mono_ms(hf_clock_system()) < until)
        read_events(b, f, 100);
    if (b->done < b->jobs) {
        fprintf(stderr, "bench_fleet: %ld of %ld jobs completed within %d ms\n", b->done, b->jobs, WAIT_MS);
        exit(1);
    }
    print_waits(b);
    hf_follower_close(f);
    free(from);
}

int main(int argc, char **argv) {
    bench b = {0};
    if (argc < 5 || (strcmp(argv[1], "pickup") == 0 && argc < 6)) {
        fprintf(stderr, "Usage: bench_fleet submit BOOTSTRAP FLEET JOBS | pickup BOOTSTRAP FLEET JOBS RATE\n");
        return 64;
    }
    b.jobs = atol(argv[4]);
    open_all(&b, argv[2], argv[3]);
    if (strcmp(argv[1], "submit") == 0)
        run_submit(&b);
    else if (b.jobs > WARM_UP)
        run_pickup(&b, atof(argv[5]));
    hf_submitter_close(b.submitter);
    hf_klog_close(b.log);
    hf_codec_free(b.codec);
    hf_arena_done(&b.arena);
    free(b.sent_ns);
    free(b.waited_ns);
    return 0;
}
