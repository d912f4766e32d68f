#include "tests/support/history.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct entry {
    hf_topic topic;
    int32_t partition;
    int64_t offset, at;
    uint32_t key_len, value_len;
    size_t bytes;
    bool tombstone;
} entry;
typedef struct model {
    int32_t attempt;
    int worker;
    bool free, waiting;
} model; /* roughly what the job is up to */

struct hf_history {
    uint64_t seed;
    int32_t partitions;
    int64_t now;
    entry *entries;
    size_t count, room;
    char *bytes;
    size_t used, bytes_room;
    int64_t next[HF_TOPIC_COUNT][64];
    hf_codec *codec;
    hf_buf buf;
    model models[HF_HISTORY_CHAOS_JOBS];
    uint64_t serial;
    bool scheduled; /* some jobs are runs of schedules */
};

static void need(bool ok) {
    if (!ok) {
        fputs("history: out of memory or a record that cannot be encoded\n", stderr);
        abort();
    }
}
static uint64_t draw(hf_history *h) { /* xorshift64* */
    h->seed ^= h->seed >> 12;
    h->seed ^= h->seed << 25;
    h->seed ^= h->seed >> 27;
    return h->seed * 0x2545f4914f6cdd1du;
}
static int below(hf_history *h, int n) { return (int)(draw(h) >> 33) % n; }

hf_history *hf_history_new(uint64_t seed, int32_t partitions) {
    hf_history *h = calloc(1, sizeof *h);
    need(h && partitions <= 64);
    h->seed = seed * 2654435761u + 88172645463325252u;
    h->partitions = partitions;
    h->now = 1768645800000;
    hf_buf_init(&h->buf, 1 << 20);
    need(hf_codec_new(NULL, NULL, &h->codec, NULL) == HF_OK);
    return h;
}
void hf_history_free(hf_history *h) {
    if (!h)
        return;
    hf_codec_free(h->codec);
    hf_buf_done(&h->buf);
    free(h->entries);
    free(h->bytes);
    free(h);
}

/* ---- the log ------------------------------------------------------------------------------------------------ */
static void append(hf_history *h, hf_topic topic, int32_t partition, hf_str key, const void *value, size_t len,
                   bool tombstone) {
    if (h->count == h->room) {
        h->room = h->room ? h->room * 2 : 1024;
        h->entries = realloc(h->entries, h->room * sizeof *h->entries);
        need(h->entries);
    }
    while (h->used + key.len + len > h->bytes_room) {
        h->bytes_room = h->bytes_room ? h->bytes_room * 2 : 1 << 20;
        h->bytes = realloc(h->bytes, h->bytes_room);
        need(h->bytes);
    }
    h->entries[h->count++] = (entry){.topic = topic,
                                     .partition = partition,
                                     .offset = h->next[topic][partition]++,
                                     .at = h->now,
                                     .key_len = key.len,
                                     .value_len = (uint32_t)len,
                                     .bytes = h->used,
                                     .tombstone = tombstone};
    if (key.len)
        memcpy(h->bytes + h->used, key.p, key.len);
    if (len)
        memcpy(h->bytes + h->used + key.len, value, len);
    h->used += key.len + len;
    h->now += below(h, 3);
}

static void write_record(hf_history *h, hf_topic topic, int32_t partition, hf_schema schema, hf_str key,
                         const void *record) {
    hf_buf_clear(&h->buf);
    hf_err e;
    if (hf_encode(h->codec, schema, record, &h->buf, &e) != HF_OK) {
        fprintf(stderr, "history: %s\n", e.detail);
        abort();
    }
    append(h, topic, partition, key, h->buf.data, h->buf.len, false);
}

size_t hf_history_count(const hf_history *h) { return h->count; }
void hf_history_record(const hf_history *h, size_t i, hf_log_record *r) {
    const entry *e = &h->entries[i];
    r->topic = e->topic;
    r->partition = e->partition;
    r->offset = e->offset;
    r->timestamp_ms = e->at;
    r->key = (hf_str){h->bytes + e->bytes, e->key_len};
    r->value = e->tombstone ? HF_STR_NONE : (hf_str){h->bytes + e->bytes + e->key_len, e->value_len};
    r->header_count = 2;
    r->headers[0] = (hf_header){HF_STR("hf-type"), HF_STR("JobEvent")};
    r->headers[1] = (hf_header){HF_STR("hf-producer"), HF_STR("history@test/0190a0b0")};
}

/* ---- proposals ----------------------------------------------------------------------------------------------- */
static const char *const worker_names[] = {"worker-a/0190a0b0", "worker-b/0190a0b1", "worker-c/0190a0b2"};

static void propose(hf_history *h, hf_str id, int32_t attempt, hf_str by, const hf_variant *transitions, uint32_t count,
                    int32_t partition) {
    hf_record r = {.job_id = id, .attempt = attempt, .at = h->now, .by = by, .transitions = {transitions, count}};
    write_record(h, HF_TOPIC_JOB_EVENTS, partition >= 0 ? partition : hf_klog_partition_of(id, h->partitions),
                 HF_SCHEMA_RECORD, id, &r);
}

static void create(hf_history *h, hf_str id) {
    char path[64], name[32];
    uint64_t n = h->serial++;
    snprintf(path, sizeof path, "/dc1/vm/web-%03d", (int)(n % 500));
    snprintf(name, sizeof name, "nightly-%d", (int)(n % 1000));
    hf_ev_created created = {.submission = HF_STR("submissions/0/17")};
    hf_type_init(&HF_TYPE_SPEC, &created.spec);
    created.spec.name = hf_str_of(name);
    created.spec.operation = n % 7 == 0 ? HF_STR("inspect") : HF_STR("export");
    created.spec.provider = n % 3 == 0 ? HF_STR("local") : HF_STR("vsphere");
    created.spec.endpoint = HF_STR("vc1");
    created.spec.vm_path = hf_str_of(path);
    created.spec.output_dir = HF_STR("/exports/nightly");
    created.spec.format = HF_STR("ova");
    created.spec.policy.retry_count = n % 4 ? 2 : 0;
    if (h->scheduled && n % 5 < 2) {
        created.spec.origin = n % 5 ? HF_STR("schedule:nightly") : HF_STR("schedule:hourly");
        created.spec.scheduled_for = h->now / 60000 * 60000;
    }
    hf_ev_validated validated = {0};
    hf_ev_queued queued = {0};
    const hf_variant t[] = {{HF_EV_CREATED, &created}, {HF_EV_VALIDATED, &validated}, {HF_EV_QUEUED, &queued}};
    propose(h, id, 0, HF_STR("hyperdispatch@host/0190a0b0"), t, 3, -1);
}
static void assign(hf_history *h, hf_str id, int32_t attempt, int worker, int32_t partition) {
    hf_ev_assigned assigned = {.worker = hf_str_of(worker_names[worker]), .lease_ms = 30000};
    const hf_variant t[] = {{HF_EV_ASSIGNED, &assigned}};
    propose(h, id, attempt, assigned.worker, t, 1, partition);
}
static void start(hf_history *h, hf_str id, int32_t attempt, int worker) {
    hf_ev_started started = {.runner = HF_STR("runner-1")};
    const hf_variant t[] = {{HF_EV_STARTED, &started}};
    propose(h, id, attempt, hf_str_of(worker_names[worker]), t, 1, -1);
}
static void complete(hf_history *h, hf_str id, int32_t attempt, int worker, bool quick) {
    hf_artifact artifact = {.path = HF_STR("/exports/nightly/web.ova"),
                            .kind = HF_STR("ova"),
                            .size_bytes = 12345678,
                            .sha256 = HF_STR("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")};
    hf_ev_completed completed = {.result = {.artifacts = {&artifact, 1},
                                            .bytes_read = 1 << 30,
                                            .bytes_written = 12345678,
                                            .duration_ms = 1000 + below(h, 100000),
                                            .vm_name = HF_STR("web"),
                                            .os_type = HF_STR("Debian 12")}};
    hf_ev_started started = {.runner = HF_STR("runner-1")};
    const hf_variant t[] = {{HF_EV_STARTED, &started}, {HF_EV_COMPLETED, &completed}};
    propose(h, id, attempt, hf_str_of(worker_names[worker]), quick ? t : t + 1, quick ? 2 : 1, -1);
}

/* ---- jobs that go well ----------------------------------------------------------------------------------------- */
static hf_str uuid(hf_history *h, uint64_t n, char text[HF_UUID_BYTES]) { /* in time order, as hf_id_new makes them */
    uint64_t r = n * 0x9e3779b97f4a7c15u;
    (void)h;
    snprintf(text, HF_UUID_BYTES, "%08x-%04x-7%03x-8%03x-%012llx", (unsigned)(0x0190a0b0 + n / 65536),
             (unsigned)(n % 65536), (unsigned)(r & 0xfff), (unsigned)(r >> 12 & 0xfff),
             (unsigned long long)(r >> 16 & 0xffffffffffffULL));
    return (hf_str){text, HF_UUID_BYTES - 1};
}

void hf_history_jobs(hf_history *h, size_t jobs, size_t abreast) {
    uint64_t first = h->serial;
    char text[HF_UUID_BYTES];
    for (size_t step = 0; step < jobs + 3 * abreast; step++) {
        const size_t lag[] = {0, abreast, 2 * abreast, 3 * abreast};
        for (int phase = 0; phase < 4; phase++) {
            if (step < lag[phase] || step - lag[phase] >= jobs)
                continue;
            uint64_t n = first + step - lag[phase];
            hf_str id = uuid(h, n, text);
            int worker = (int)(n % 3);
            if (phase == 0)
                create(h, id);
            else if (phase == 1)
                assign(h, id, 1, worker, -1);
            else if (phase == 2)
                start(h, id, 1, worker);
            else
                complete(h, id, 1, worker, false);
        }
    }
    h->serial = first + jobs;
}

void hf_history_queued(hf_history *h, size_t jobs) {
    char text[HF_UUID_BYTES];
    for (size_t i = 0; i < jobs; i++)
        create(h, uuid(h, h->serial, text));
}

/* ---- anything ------------------------------------------------------------------------------------------------------ */
static void fail_attempt(hf_history *h, hf_str id, const model *m, model *truth) {
    hf_job_error error = {.code = HF_STR("io"), .message = HF_STR("read failed"), .phase = HF_STR("copy")};
    hf_ev_retry_scheduled retry = {.error = error, .not_before = h->now + 2000};
    hf_ev_failed failed = {.error = error};
    hf_ev_lease_expired lease = {.reason = HF_STR("silent")};
    hf_ev_queued queued = {0};
    const hf_variant all[] = {{HF_EV_RETRY_SCHEDULED, &retry},
                              {HF_EV_FAILED, &failed},
                              {HF_EV_LEASE_EXPIRED, &lease},
                              {HF_EV_QUEUED, &queued}};
    int kind = truth->waiting ? 3 : below(h, 4);
    truth->waiting = kind == 0 || kind == 2;
    truth->free = kind == 3;
    propose(h, id, m->attempt, hf_str_of(worker_names[m->worker]), &all[kind], 1, -1);
}
static void by_people(hf_history *h, hf_str id, model *m) {
    hf_ev_cancel_requested ask = {.reason = HF_STR("no longer needed")};
    hf_ev_cancelled cancelled = {.reason = HF_STR("asked")};
    hf_ev_released released = {.reason = HF_STR("drain")};
    hf_ev_deleted deleted = {.reason = HF_STR("tidy")};
    hf_ev_progressing phase = {.phase = HF_STR("copy")};
    hf_ev_adjusted adjusted = {.priority = below(h, 12), .bandwidth_limit = below(h, 3) - 1};
    const hf_variant all[] = {{HF_EV_ADJUSTED, &adjusted},   {HF_EV_CANCEL_REQUESTED, &ask},
                              {HF_EV_CANCELLED, &cancelled}, {HF_EV_RELEASED, &released},
                              {HF_EV_PROGRESSING, &phase},   {HF_EV_DELETED, &deleted}};
    propose(h, id, m->attempt, hf_str_of(worker_names[m->worker]), &all[below(h, 6)], 1, -1);
}

static void beat(hf_history *h) {
    char id[16];
    snprintf(id, sizeof id, "worker-%c", 'a' + below(h, 3));
    hf_heartbeat b;
    hf_type_init(&HF_TYPE_HEARTBEAT, &b);
    b.worker_id = hf_str_of(id);
    b.incarnation = HF_STR("0190a0b0");
    b.at = h->now;
    b.slots = 2;
    b.slots_busy = below(h, 3);
    write_record(h, HF_TOPIC_WORKERS, 0, HF_SCHEMA_HEARTBEAT, b.worker_id, &b);
}
static void progress(hf_history *h, hf_str id, const model *m) {
    hf_progress p;
    hf_type_init(&HF_TYPE_PROGRESS, &p);
    p.job_id = id;
    p.attempt = m->attempt;
    p.at = h->now;
    p.percent = below(h, 100);
    write_record(h, HF_TOPIC_PROGRESS, below(h, 8) ? hf_klog_partition_of(id, h->partitions) : below(h, h->partitions),
                 HF_SCHEMA_PROGRESS, id, &p);
}
static void garbage(hf_history *h, hf_str id) {
    char bytes[64];
    size_t len = (size_t)below(h, (int)sizeof bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)draw(h);
    int kind = below(h, 6);
    if (kind == 0)
        append(h, HF_TOPIC_JOB_EVENTS, below(h, h->partitions), id, NULL, 0, true);
    else if (kind == 1) /* a right record under a wrong key */
        append(h, HF_TOPIC_JOB_EVENTS, below(h, h->partitions), HF_STR("somebody-else"), h->buf.data, h->buf.len,
               false);
    else if (kind == 2)
        append(h, HF_TOPIC_SCHEDULES, 0, HF_STR("nightly"), "{}", 2, below(h, 2));
    else if (kind == 3)
        append(h, HF_TOPIC_WORKERS, 0, HF_STR("worker-a"), bytes, len, false);
    else
        append(h, HF_TOPIC_JOB_EVENTS, below(h, h->partitions), id, bytes, len, false);
}

static void claim(hf_history *h, hf_str id, model *m) {
    if (!m->free && below(h, 10))
        return;
    m->free = false;
    int worker = below(h, 3);
    int32_t next = m->attempt + 1;
    assign(h, id, next, worker, below(h, 12) == 0 ? below(h, h->partitions) : -1);
    if (below(h, 2))
        assign(h, id, next, (worker + 1) % 3, -1); /* lost the race */
    m->attempt = next;
    m->worker = worker;
}

void hf_history_chaos(hf_history *h, size_t records) {
    h->scheduled = true;
    for (size_t until = h->count + records; h->count < until;) {
        char text[16];
        int n = below(h, HF_HISTORY_CHAOS_JOBS);
        snprintf(text, sizeof text, "job-%d", n);
        hf_str id = hf_str_of(text);
        model *m = &h->models[n], off = *m;
        off.attempt += below(h, 8) == 0 ? below(h, 3) - 1 : 0;
        off.worker = below(h, 8) == 0 ? below(h, 3) : off.worker;
        switch (below(h, 12)) {
        case 0:
        case 1:
            create(h, id);
            m->free = m->free || m->attempt == 0;
            break;
        case 2:
        case 3:
        case 4: claim(h, id, m); break;
        case 5:
        case 6: start(h, id, off.attempt, off.worker); break;
        case 7: complete(h, id, off.attempt, off.worker, below(h, 2)); break;
        case 8: fail_attempt(h, id, &off, m); break;
        case 9: by_people(h, id, &off); break;
        case 10: below(h, 2) ? beat(h) : progress(h, id, m); break;
        default: garbage(h, id); break;
        }
    }
}
