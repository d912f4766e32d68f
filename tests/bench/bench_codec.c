// LIBS: hf_event PkgConfig::AVRO
/* Nanoseconds to encode and to decode each record, beside avro-c's generic values on the same bytes.
 *
 *   bench_codec [seconds per figure, default 0.5]
 *
 * Each figure is the best of five rounds: on a shared machine the others measure the neighbours. */
#include <avro.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/codec.h"

enum { ROUNDS = 5, ARENA_BYTES = HF_DECODE_ARENA_BYTES, STRUCT_BYTES = 1024 };

typedef struct sample {
    const char *name;
    hf_schema schema;
    const void *record;
} sample;

typedef struct bench {
    hf_codec *codec;
    hf_arena arena;
    hf_buf buf;
    const sample *sample;
    avro_value_t value;
} bench;

static void must(hf_code code, const hf_err *err) {
    if (code) {
        fprintf(stderr, "bench_codec: %s: %s\n", hf_code_name(code), err->detail);
        exit(hf_code_exit_status(code));
    }
}

/* ---- what is measured ------------------------------------------------------------------------------ */
static void encode(bench *b) {
    hf_err err;
    hf_buf_clear(&b->buf);
    must(hf_encode(b->codec, b->sample->schema, b->sample->record, &b->buf, &err), &err);
}

static void decode(bench *b) {
    _Alignas(16) char record[STRUCT_BYTES];
    hf_err err;
    hf_arena_reset(&b->arena);
    must(hf_decode(b->codec, b->sample->schema, hf_buf_str(&b->buf), &b->arena, record, &err), &err);
}

static void decode_generic(bench *b) {
    avro_reader_t reader = avro_reader_memory((const char *)b->buf.data + 10, (int64_t)b->buf.len - 10);
    avro_value_reset(&b->value);
    if (avro_value_read(reader, &b->value)) {
        fprintf(stderr, "bench_codec: avro-c: %s\n", avro_strerror());
        exit(70);
    }
    avro_reader_free(reader);
}

static double best_ns(void (*body)(bench *), bench *b, double seconds) {
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = hf_mono_ns(), now = start, until = start + (int64_t)(seconds * 1e9 / ROUNDS);
        uint64_t runs = 0;
        for (; now < until; now = hf_mono_ns(), runs += 256)
            for (int i = 0; i < 256; i++)
                body(b);
        double ns = (double)(now - start) / (double)runs;
        if (round == 0 || ns < best)
            best = ns;
    }
    return best;
}

static void measure(bench *b, const sample *s, double seconds) {
    b->sample = s;
    avro_schema_t schema;
    if (avro_schema_from_json_length(hf_schema_text(s->schema), strlen(hf_schema_text(s->schema)), &schema))
        exit(70);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    avro_generic_value_new(class, &b->value);
    double encoding = best_ns(encode, b, seconds), decoding = best_ns(decode, b, seconds);
    double generic = best_ns(decode_generic, b, seconds);
    printf("%-28s %6zu %9.0f %9.0f %9.0f %7.1f\n", s->name, b->buf.len, encoding, decoding, generic,
           generic / decoding);
    avro_value_decref(&b->value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
}

/* ---- records like those of a fleet ------------------------------------------------------------------ */
#define JOB_ID HF_STR_INIT("0190b2c4-7a1e-7c3d-9e5f-1a2b3c4d5e6f")
#define WORKER HF_STR_INIT("worker-17/0190b2c0-1111-7222-8333-444455556666")
#define PROGRAM HF_STR_INIT("hyperdispatch@dispatch-0/0190b2c0-aaaa-7bbb-8ccc-ddddeeeeffff")
#define NOW 1768645800000

static const hf_disk disks[] = {
    {HF_STR_INIT("/srv/images/web-01/disk-0.qcow2"), HF_STR_INIT("qcow2"), HF_STR_INIT(""), 42949672960},
    {HF_STR_INIT("/srv/images/web-01/disk-1.qcow2"), HF_STR_INIT("qcow2"), HF_STR_INIT(""), 107374182400}};
static const hf_str tags[] = {HF_STR_INIT("migration"), HF_STR_INIT("wave-3")};
static const hf_spec spec = {
    .name = HF_STR_INIT("web-01 to the new site"),
    .operation = HF_STR_INIT("export"),
    .provider = HF_STR_INIT("local"),
    .vm_path = HF_STR_INIT("/srv/images/web-01/disk-0.qcow2"),
    .disks = {disks, 2},
    .output_dir = HF_STR_INIT("/srv/exports/web-01"),
    .format = HF_STR_INIT("ova"),
    .options = {.parallel_downloads = 4, .create_ova = true, .compress = true, .codec = HF_STR_INIT("balanced")},
    .needs = {.nbd = true, .min_memory_gb = 2, .min_disk_space_gb = 140},
    .policy = {2, 86400, true, 5},
    .audit = {HF_STR_INIT("alice@example.org"), HF_STR_INIT("CHG-20260117-42"), {tags, 2}},
    .metadata = HF_STR_INIT("{\"owner\":\"web\",\"site\":\"fra1\"}")};
static const hf_artifact artifacts[] = {
    {HF_STR_INIT("/srv/exports/web-01/web-01.ova"), HF_STR_INIT("ova"), 21474836480,
     HF_STR_INIT("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")},
    {HF_STR_INIT("/srv/exports/web-01/web-01.mf"), HF_STR_INIT("manifest"), 512,
     HF_STR_INIT("60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752")}};
static const hf_result result = {{artifacts, 2},        150323855360,         21474837000, 1800000,
                                 HF_STR_INIT("web-01"), HF_STR_INIT("linux"), {NULL, 0}};

static hf_ev_created created = {.submission = HF_STR_INIT("hyperfleet.dev.submissions/3/1234567")};
static const hf_ev_validated validated;
static const hf_ev_queued queued;
static const hf_ev_assigned assigned = {WORKER, 30000};
static const hf_ev_started started = {HF_STR_INIT("runner-4")};
static hf_ev_completed completed;
static const hf_variant intake[] = {{HF_EV_CREATED, &created}, {HF_EV_VALIDATED, &validated}, {HF_EV_QUEUED, &queued}};
static const hf_variant claim[] = {{HF_EV_ASSIGNED, &assigned}};
static const hf_variant end[] = {{HF_EV_STARTED, &started}, {HF_EV_COMPLETED, &completed}};

static hf_submission submission = {.job_id = JOB_ID, .submitted_at = NOW};
static const hf_record intake_record = {JOB_ID, 0, NOW, PROGRAM, {intake, 3}};
static const hf_record claim_record = {JOB_ID, 1, NOW, WORKER, {claim, 1}};
static const hf_record end_record = {JOB_ID, 1, NOW, WORKER, {end, 2}};
static const hf_job job = {.id = JOB_ID,
                           .created = {3, 7654321},
                           .last = {3, 7654399},
                           .state = HF_S_COMPLETED,
                           .attempt = 1,
                           .created_at = NOW,
                           .queued_at = NOW,
                           .assigned_at = NOW,
                           .started_at = NOW,
                           .finished_at = NOW,
                           .updated_at = NOW,
                           .lease_ms = 30000,
                           .worker = WORKER,
                           .result = &result,
                           .spec = &spec};
static const hf_progress progress = {
    JOB_ID,      1,  NOW, WORKER, HF_STR_INIT("copy"),         41.5,      17825792000, 42949672960,
    524288000.0, 48, 0,   2,      HF_STR_INIT("disk-0.qcow2"), {NULL, 0}, {NULL, 0},   {NULL, 0}};
static const hf_str operations[] = {HF_STR_INIT("export"), HF_STR_INIT("inspect"), HF_STR_INIT("convert")};
static const hf_attempt_ref running[] = {{JOB_ID, 1}, {JOB_ID, 2}, {JOB_ID, 1}, {JOB_ID, 1}};
static const hf_heartbeat heartbeat = {.worker_id = HF_STR_INIT("worker-17"),
                                       .incarnation = HF_STR_INIT("0190b2c0-1111-7222-8333-444455556666"),
                                       .hostname = HF_STR_INIT("fra1-17"),
                                       .version = HF_STR_INIT("0.1.0"),
                                       .at = NOW,
                                       .started_at = NOW,
                                       .slots = 4,
                                       .slots_busy = 4,
                                       .interval_ms = 5000,
                                       .lease_ms = 30000,
                                       .capabilities = {.nbd = true,
                                                        .qemu_img = true,
                                                        .execution_mode = HF_STR_INIT("host"),
                                                        .memory_gb = 32,
                                                        .cpus = 16,
                                                        .operations = {operations, 3}},
                                       .running = {running, 4}};
static hf_schedule schedule = {
    .schedule_id = HF_STR_INIT("nightly-web"), .schedule = HF_STR_INIT("30 2 * * *"), .enabled = true};
static const hf_control control = {.key = HF_STR_INIT("fleet"),
                                   .scope = HF_SCOPE_FLEET,
                                   .action = HF_CONTROL_PAUSE,
                                   .by = HF_STR_INIT("alice"),
                                   .reason = HF_STR_INIT("storage is being moved"),
                                   .at = NOW};
static const hf_delivery delivery = {.endpoint = HF_STR_INIT("billing"),
                                     .delivery_id = HF_STR_INIT("msg_3_7654399"),
                                     .event = HF_STR_INIT("job.completed"),
                                     .job_id = JOB_ID,
                                     .event_partition = 3,
                                     .event_offset = 7654399,
                                     .attempt = 1,
                                     .outcome = HF_DELIVERY_DELIVERED,
                                     .status_code = 204,
                                     .at = NOW,
                                     .duration_ms = 41};

static const sample samples[] = {
    {"JobSubmission", HF_SCHEMA_SUBMISSION, &submission},
    {"JobEvent: Assigned", HF_SCHEMA_RECORD, &claim_record},
    {"JobEvent: Created..Queued", HF_SCHEMA_RECORD, &intake_record},
    {"JobEvent: Started, Completed", HF_SCHEMA_RECORD, &end_record},
    {"Job: completed", HF_SCHEMA_JOB, &job},
    {"ProgressEvent", HF_SCHEMA_PROGRESS, &progress},
    {"WorkerHeartbeat", HF_SCHEMA_HEARTBEAT, &heartbeat},
    {"Schedule", HF_SCHEMA_SCHEDULE, &schedule},
    {"Control", HF_SCHEMA_CONTROL, &control},
    {"WebhookDelivery", HF_SCHEMA_DELIVERY, &delivery},
};

/* clang takes no const object into the initialiser of another. */
static void complete_samples(void) {
    created.spec = submission.spec = schedule.job_template = spec;
    completed.result = result;
}

static void print_machine(void) {
    char line[256], model[200] = "unknown";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %199[^\n]", model) == 1)
            break;
    if (f)
        fclose(f);
    struct utsname system;
    uname(&system);
    printf("machine   %s, %ld processors online, %s %s\n", model, sysconf(_SC_NPROCESSORS_ONLN), system.sysname,
           system.release);
    printf("versions  hyperfleet %s (%s, %s), avro-c %s, jansson %s\n\n", HF_VERSION, HF_BUILD_TYPE, HF_COMPILER,
           HF_AVRO_VERSION, JANSSON_VERSION);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    if (seconds <= 0 || seconds > 60) {
        fprintf(stderr, "usage: bench_codec [seconds per figure, more than 0, at most 60]\n");
        return 64;
    }
    bench b = {0};
    hf_err err;
    must(hf_codec_new(NULL, NULL, &b.codec, &err), &err);
    hf_arena_init(&b.arena, ARENA_BYTES);
    hf_buf_init(&b.buf, HF_MAX_RECORD);
    complete_samples();
    print_machine();
    printf("%-28s %6s %9s %9s %9s %7s\n", "ns per record, best of 5", "bytes", "encode", "decode", "avro-c", "times");
    for (size_t i = 0; i < HF_ARRAY_LEN(samples); i++)
        measure(&b, &samples[i], seconds);
    hf_buf_done(&b.buf);
    hf_arena_done(&b.arena);
    hf_codec_free(b.codec);
    return 0;
}
