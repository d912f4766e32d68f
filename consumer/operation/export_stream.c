#include "consumer/operation/export_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "consumer/operation/export.h"
#include "consumer/pipeline/stream_copy.h"
#include "consumer/pipeline/vmdk_read.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { WAIT_FIRST_MS = 250, WAIT_MAX_MS = 8000, SLICE_MS = 50, WINDOW_BYTES = 4 << 20 };

/* ---- a stream that is counted, hashed where nobody else does, and whose errors are told from those of the output ---------- */
typedef struct tap {
    hf_stream base;
    hf_stream *inner;
    hf_export *x;
    hf_digest sha256;
    int64_t bytes, counted; /* that came; of them, that the flow was told of */
    hf_code failed;         /* how reading ended, if it was an error */
} tap;

static hf_code tap_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    tap *t = (tap *)stream;
    hf_code rc = hf_stream_read(t->inner, to, cap, ret_len, reterr);
    if (rc != HF_OK) {
        t->failed = rc;
        return rc;
    }
    t->bytes += (int64_t)*ret_len;
    if (!t->sha256.ctx) /* whoever keeps it counts and hashes what is written */
        return HF_OK;
    hf_flow_advance(&t->x->flow, (int64_t)*ret_len);
    t->counted += (int64_t)*ret_len;
    return hf_digest_add(&t->sha256, to, *ret_len, reterr);
}

static void tap_close(hf_stream *stream) {
    tap *t = (tap *)stream;
    hf_stream_close(t->inner);
    t->inner = NULL;
    hf_digest_done(&t->sha256);
}

static const hf_stream_class tap_class = {"tap", tap_read, tap_close};

static hf_code tap_open(hf_export *x, uint32_t i, hf_digest_kind kind, tap *t, hf_err *reterr) {
    *t = (tap){.x = x};
    hf_code rc = hf_digest_init(&t->sha256, kind, reterr);
    if (rc != HF_OK)
        return rc;
    hf_vm_disk *disk = &x->vm.disks[i];
    if ((rc = disk->open_stream(disk, &x->flow, &t->inner, reterr)) != HF_OK) {
        t->failed = rc;
        hf_digest_done(&t->sha256);
        return rc;
    }
    t->base = (hf_stream){&tap_class, t->inner->size_bytes};
    return HF_OK;
}

/* ---- again, or not ---------------------------------------------------------------------------------------------- */
bool hf_export_streams_kept(const hf_export *x) {
    return x->streams.on && (x->format->write == hf_export_write_ova || x->format->write == hf_export_write_ovf ||
                             x->format->write == hf_export_write_vmdk);
}

static int64_t expected(const hf_vm_disk *disk) {
    return disk->stream_bytes > 0 ? disk->stream_bytes : disk->capacity_bytes > 0 ? disk->capacity_bytes : 0;
}

/* One try at a disk; leaves in *t what is known of its stream. */
typedef hf_code (*try_one)(hf_export *x, uint32_t i, void *to, tap *t, hf_err *reterr);

static bool worth_again(const tap *t, hf_code rc, int tries) {
    if (t->failed) /* the stream's fault; a lease that is over takes its disks with it */
        return t->failed != HF_E_EXPORT_LEASE_LOST && t->failed != HF_E_LEASE_LOST &&
               hf_code_policy(t->failed) == HF_POLICY_RETRY && tries < HF_STREAM_TRIES;
    /* it came without an error, and was cut short or damaged */
    return (rc == HF_E_VERIFY_FAILED || rc == HF_E_SOURCE_INVALID || rc == HF_E_PARSE) && tries < HF_STREAM_BAD_TRIES;
}

static hf_code wait_again(hf_export *x, int tries, hf_err *reterr) {
    int64_t ms = (int64_t)WAIT_FIRST_MS << (tries - 1);
    ms = ms > WAIT_MAX_MS ? WAIT_MAX_MS : ms;
    hf_code rc = hf_flow_check(&x->flow, reterr);
    for (int64_t end = hf_mono_ns() + ms * 1000000; rc == HF_OK && hf_mono_ns() < end;) {
        nanosleep(&(struct timespec){.tv_nsec = SLICE_MS * 1000000L}, NULL);
        rc = hf_flow_check(&x->flow, reterr);
    }
    return rc;
}

static void say(const hf_export *x, const char *level, const char *text) {
    hf_progress line = {.percent = -1, .eta_seconds = -1, .level = hf_str_of(level), .message = hf_str_of(text)};
    if (x->run->report)
        x->run->report(x->run->report_ctx, &line);
}

static void say_again(const hf_export *x, uint32_t i, const hf_err *err, int number) {
    char text[1024];
    snprintf(text, sizeof text, "%.*s: %s: fetched again from its start, for the %d. time",
             HF_STR_ARG(x->vm.disks[i].path), err->detail, number);
    say(x, "warn", text);
}

static void settle(hf_export *x, uint32_t i, const tap *t, int64_t thought) {
    hf_flow_correct(&x->flow, 0, t->bytes - thought); /* what was announced is a hint; now it is known */
    x->streams.received[i].bytes = t->bytes;
}

static hf_code with_tries(hf_export *x, uint32_t i, try_one one, void *to, hf_err *reterr) {
    int64_t began = hf_mono_ns(), thought = expected(&x->vm.disks[i]);
    hf_err err = {0};
    x->reporter.current = x->disks[i].file_name;
    for (int tries = 1;; tries++) {
        tap t = {0};
        hf_code rc = one(x, i, to, &t, &err);
        if (rc == HF_OK) {
            settle(x, i, &t, thought);
            x->disks[i].seconds = (double)(hf_mono_ns() - began) * 1e-9;
            x->reporter.files_done++;
            return HF_OK;
        }
        hf_flow_correct(&x->flow, -t.counted, 0);
        if (!worth_again(&t, rc, tries))
            break;
        say_again(x, i, &err, tries + 1);
        if (wait_again(x, tries, &err) != HF_OK)
            break;
    }
    hf_context(&err, "%.*s", HF_STR_ARG(x->vm.disks[i].path));
    if (reterr)
        *reterr = err;
    return err.code;
}

/* ---- kept as it comes ---------------------------------------------------------------------------------------------- */
static hf_code keep_once(hf_export *x, uint32_t i, void *to, tap *t, hf_err *reterr) {
    hf_vmdk_summary summary;
    hf_out *out = to;
    hf_code rc = out->len > 0 ? hf_out_reset(out, reterr) : HF_OK; /* what an earlier try wrote */
    if (rc != HF_OK || (rc = tap_open(x, i, HF_DIGEST_NONE, t, reterr)) != HF_OK)
        return rc;
    rc = hf_stream_copy(&t->base, out, !x->vm.disks[i].hash_known, x->streams.threads, &x->flow, &summary, reterr);
    hf_stream_close(&t->base);
    if (rc != HF_OK)
        return rc;
    x->disks[i].populated_bytes = summary.populated_bytes;
    x->vm.disks[i].capacity_bytes = summary.capacity_bytes;
    return HF_OK;
}

hf_code hf_export_stream_keep(hf_export *x, uint32_t i, hf_out *out, hf_err *reterr) {
    return with_tries(x, i, keep_once, out, reterr);
}

/* ---- coded anew ------------------------------------------------------------------------------------------------------ */
typedef struct coding {
    int fd;
    hf_export_write_one write;
} coding;

/* The rest of a stream behind the disk's last grain is tables and markers: the walk wants them too. */
static hf_code code_with(hf_export *x, uint32_t i, const coding *c, tap *t, hf_err *reterr) {
    hf_source *source = NULL;
    hf_pipeline *pipeline = NULL;
    hf_code rc = hf_pipeline_new(x->streams.threads, &x->streams.coding, &pipeline, reterr);
    if (rc == HF_OK)
        rc = hf_source_open_vmdk_stream(&t->base, WINDOW_BYTES, &source, reterr);
    if (rc == HF_OK) {
        x->vm.disks[i].capacity_bytes = source->size_bytes;
        x->streams.pipelines[i] = pipeline;
        x->vm.disks[i].source = source;
        rc = c->write(x, i, c->fd, reterr);
        x->vm.disks[i].source = NULL;
        x->streams.pipelines[i] = NULL;
    }
    hf_source_close(source);
    hf_pipeline_free(pipeline);
    return rc;
}

static hf_code code_once(hf_export *x, uint32_t i, void *to, tap *t, hf_err *reterr) {
    const coding *c = to;
    if (ftruncate(c->fd, 0) != 0)
        return hf_fail_errno(reterr, errno, "emptying the output");
    x->disks[i].sha256[0] = 0;
    hf_code rc = tap_open(x, i, HF_DIGEST_SHA256, t, reterr);
    if (rc != HF_OK)
        return rc;
    if ((rc = code_with(x, i, c, t, reterr)) == HF_OK)
        rc = hf_digest_end(&t->sha256, x->streams.received[i].sha256, reterr);
    hf_stream_close(&t->base);
    return rc;
}

hf_code hf_export_stream_code(hf_export *x, uint32_t i, int fd, hf_export_write_one write, hf_err *reterr) {
    coding c = {fd, write};
    return with_tries(x, i, code_once, &c, reterr);
}

hf_code hf_export_stream_run(hf_export *x, uint32_t i, hf_sink *sink, hf_err *reterr) {
    hf_code rc = hf_pipeline_run(x->streams.pipelines[i], x->vm.disks[i].source, sink, reterr);
    if (rc == HF_OK)
        x->disks[i].populated_bytes = hf_pipeline_populated(x->streams.pipelines[i]);
    return rc;
}

/* ---- all disks ----------------------------------------------------------------------------------------------------------- */
hf_code hf_export_streams_begin(hf_export *x, hf_err *reterr) {
    uint32_t streams = 0;
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        streams += x->vm.disks[i].source == NULL;
    if (streams != 0 && streams != x->vm.disk_count)
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "%" PRIu32 " of %" PRIu32 " disks come as streams: all must, or none", streams,
                       x->vm.disk_count);
    x->streams.on = streams > 0;
    x->streams.threads = x->run->threads > 0 ? x->run->threads : 1;
    x->flow.stop = &x->streams.stop;
    hf_flow_init(&x->streams.coding);
    x->streams.coding.cancel = x->flow.cancel;
    x->streams.coding.stop = &x->streams.stop;
    if (hf_export_streams_kept(x) && !x->run->spec->options.compress)
        say(x, "info",
            "options.compress is false, and the source sends its disks compressed: they are kept as they come");
    return HF_OK;
}

void hf_export_streams_done(hf_export *x) {
    if (x->flow.stop) /* begun */
        hf_flow_done(&x->streams.coding);
}

void hf_export_streams_sizes(const hf_export *x, int64_t *ret_bytes, int64_t *ret_needed) {
    *ret_bytes = *ret_needed = 0;
    for (uint32_t i = 0; i < x->vm.disk_count; i++) {
        const hf_vm_disk *disk = &x->vm.disks[i];
        int64_t bytes = expected(disk);
        *ret_bytes += bytes;
        /* coded anew it may take all its capacity; as it comes what it says, which is a hint */
        *ret_needed += hf_export_streams_kept(x) || disk->capacity_bytes <= 0 ? bytes : disk->capacity_bytes;
    }
}

hf_code hf_export_check_end(const hf_export *x, int fd, int64_t base, int64_t len, hf_err *reterr) {
    return x->streams.on ? HF_OK : hf_vmdk_check_end(fd, base, len, reterr);
}

hf_code hf_export_streams_verify(hf_export *x, hf_err *reterr) {
    if (!x->streams.on)
        return HF_OK;
    for (uint32_t i = 0; i < x->vm.disk_count; i++) /* kept: the file is the stream */
        if (!x->streams.received[i].sha256[0])
            memcpy(x->streams.received[i].sha256, x->disks[i].sha256, sizeof x->disks[i].sha256);
    return x->vm.verify ? x->vm.verify(&x->vm, x->streams.received, reterr) : HF_OK;
}

/* ---- several at a time ------------------------------------------------------------------------------------------------------ */
typedef struct crew {
    hf_export *x;
    hf_code (*one)(void *ctx, uint32_t i, hf_err *reterr);
    void *ctx;
    pthread_mutex_t lock;
    uint32_t next;
    hf_err error; /* the first */
} crew;

static bool crew_next(crew *c, uint32_t *ret_i) {
    pthread_mutex_lock(&c->lock);
    bool more = c->error.code == HF_OK && c->next < c->x->vm.disk_count;
    if (more)
        *ret_i = c->next++;
    pthread_mutex_unlock(&c->lock);
    return more;
}

static void crew_failed(crew *c, const hf_err *error) {
    pthread_mutex_lock(&c->lock);
    if (c->error.code == HF_OK)
        c->error = *error;
    pthread_mutex_unlock(&c->lock);
    atomic_store(&c->x->streams.stop, true);
}

static void *crew_main(void *arg) {
    crew *c = arg;
    hf_err err = {0};
    for (uint32_t i = 0; crew_next(c, &i);)
        if (c->one(c->ctx, i, &err) != HF_OK)
            crew_failed(c, &err);
    return NULL;
}

static unsigned crew_size(const hf_export *x) {
    int32_t asked = x->run->spec->options.parallel_downloads, most = x->vm.streams_max > 0 ? x->vm.streams_max : 1;
    int32_t n = asked > 0 && asked < most ? asked : most;
    return !x->streams.on ? 1 : (uint32_t)n < x->vm.disk_count ? (unsigned)n : x->vm.disk_count;
}

hf_code hf_export_each_disk(hf_export *x, hf_code (*one)(void *ctx, uint32_t i, hf_err *reterr), void *ctx,
                            hf_err *reterr) {
    crew c = {.x = x, .one = one, .ctx = ctx, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[HF_MAX_DISKS];
    unsigned size = crew_size(x), started = 0;
    atomic_store(&x->streams.stop, false); /* an earlier round may have failed */
    x->streams.threads = x->run->threads / (int)size > 0 ? x->run->threads / (int)size : 1;
    while (started + 1 < size && pthread_create(&threads[started], NULL, crew_main, &c) == 0)
        started++;
    crew_main(&c);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&c.lock);
    if (c.error.code != HF_OK && reterr)
        *reterr = c.error;
    return c.error.code;
}
