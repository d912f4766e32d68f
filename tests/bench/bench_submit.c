// LIBS: hf_submit hf_support
/* Bulk submission, acknowledged: jobs a second from one producer to a real broker, from JobSubmission struct to the last
 * report. Idempotent, acks=all, one partition key a job, Avro in single-object framing, two headers a record. Ids are made
 * before the clock starts: they are the caller's, and half a microsecond of getrandom(2) each.
 *
 *   bench_submit [BOOTSTRAP [JOBS [IN_FLIGHT]]]      without BOOTSTRAP it starts a broker of its own (tests/support/kafka)
 *
 * Prints one line a round. The broker shares the machine: its CPU is part of the figure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "producer/submit/submit.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "tests/support/kafka.h"

enum { ROUNDS = 3, JOBS_DEFAULT = 300000 };

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what, const hf_err *err) {
    fprintf(stderr, "bench_submit: %s: %s (%s)\n", what, err->detail, hf_code_name(err->code));
    exit(1);
}

static char (*make_ids(long jobs))[HF_UUID_BYTES] {
    char(*ids)[HF_UUID_BYTES] = hf_alloc((size_t)jobs * sizeof *ids);
    for (long i = 0; ids && i < jobs; i++)
        hf_id_new(hf_clock_system(), hf_random_system(), ids[i]);
    return ids;
}

static void round_of(hf_klog *log, const hf_codec *codec, long jobs, uint32_t in_flight, int round) {
    hf_err err = {HF_E_NO_MEMORY, "ids"};
    char(*ids)[HF_UUID_BYTES] = make_ids(jobs);
    if (!ids)
        die("start", &err);
    hf_submitter *submitter = NULL;
    const hf_submitter_options options = {.max_in_flight = in_flight, .expected = (uint64_t)jobs};
    if (hf_submitter_open(log, codec, &options, &submitter, &err))
        die("open", &err);
    hf_submission s;
    hf_type_init(&HF_TYPE_SUBMISSION, &s);
    s.spec.name = HF_STR("web-01");
    s.spec.operation = HF_STR("export");
    s.spec.vm_path = HF_STR("/dc/vm/web-01");
    s.spec.output_dir = HF_STR("/exports/web-01");
    s.spec.audit.requested_by = HF_STR("bench");
    double cpu = cpu_seconds();
    int64_t begun = hf_mono_ns();
    for (long i = 0; i < jobs; i++) {
        s.job_id = (hf_str){ids[i], HF_UUID_BYTES - 1};
        s.submitted_at = hf_wall_ms(hf_clock_system());
        if (hf_submitter_put(submitter, &s, (uint64_t)i, &err))
            die("put", &err);
    }
    if (hf_submitter_finish(submitter, &err))
        die("finish", &err);
    double seconds = (double)(hf_mono_ns() - begun) / 1e9;
    if (hf_submitter_acknowledged(submitter) != (uint64_t)jobs) {
        fprintf(stderr, "bench_submit: %" PRIu64 " of %ld were acknowledged\n", hf_submitter_acknowledged(submitter),
                jobs);
        exit(1);
    }
    printf(
        "submit round %d: %ld jobs acknowledged in %.3f s = %.0f jobs/s, %.2f us CPU a job here, %u in flight at most (%s)\n",
        round, jobs, seconds, (double)jobs / seconds, (cpu_seconds() - cpu) * 1e6 / (double)jobs,
        in_flight ? in_flight : 50000, HF_BUILD_TYPE);
    fflush(stdout);
    hf_submitter_close(submitter);
    free(ids);
}

static void run(const char *bootstrap, long jobs, uint32_t in_flight) {
    char set[600];
    hf_err err = {0};
    hf_config *config = hf_config_new();
    hf_klog *log = NULL;
    hf_codec *codec = NULL;
    snprintf(set, sizeof set, "kafka.bootstrap.servers='%s'", bootstrap);
    if (!config || hf_config_set(config, set, &err) || hf_config_set(config, "fleet=bench", &err))
        die("configuration", &err);
    if (hf_codec_new(NULL, NULL, &codec, &err) || hf_klog_open(config, "bench_submit", true, 30000, &log, &err))
        die("start", &err);
    for (int round = 1; round <= ROUNDS; round++)
        round_of(log, codec, jobs, in_flight, round);
    hf_klog_close(log);
    hf_codec_free(codec);
    hf_config_free(config);
}

int main(int argc, char **argv) {
    long jobs = argc > 2 ? atol(argv[2]) : JOBS_DEFAULT;
    uint32_t in_flight = argc > 3 ? (uint32_t)atol(argv[3]) : 0;
    if (jobs < 1) {
        fprintf(stderr, "Usage: bench_submit [BOOTSTRAP [JOBS [IN_FLIGHT]]]\n");
        return 64;
    }
    if (argc > 1) {
        run(argv[1], jobs, in_flight);
        return 0;
    }
    if (hf_test_kafka_missing())
        return HF_TEST_SKIPPED;
    hf_test_kafka kafka;
    hf_test_kafka_up(&kafka, 1);
    run(kafka.bootstrap, jobs, in_flight);
    hf_test_kafka_down(&kafka);
    return 0;
}
