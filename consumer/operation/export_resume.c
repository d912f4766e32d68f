#include "consumer/operation/export_resume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "consumer/operation/export.h"
#include "schemas/base/clock.h"
#include "schemas/base/fault.h"
#include "schemas/base/mem.h"

static const int64_t space_look_ns = 250 * 1000000LL;

void hf_resume_init(hf_resume *r) {
    *r = (hf_resume){.fd = -1};
    hf_checkpoint_init(&r->found);
    hf_checkpoint_init(&r->made);
}

void hf_resume_done(hf_resume *r) {
    hf_aside_leave(&r->aside);
    hf_checkpoint_done(&r->found);
    hf_checkpoint_done(&r->made);
    r->mark = (hf_sink_mark){0};
}

/* ---- what must be the same ------------------------------------------------------------------------------- */
/* Whatever, beside the sources, shapes the bytes of the disks. */
static void put_options(const hf_export *x, hf_buf *text) {
    hf_buf_printf(text, "version=" HF_VERSION "\nformat=%s\ncodec=%s %s %d\nmanifest=%s\ndisks=%" PRIu32 "\n",
                  x->format->name, x->codec->name, x->codec->library, x->codec->level, hf_digest_label(x->manifest),
                  x->vm.disk_count);
    for (uint32_t i = 0; i < x->entry_count; i++)
        hf_buf_printf(text, "entry=%s\n", x->entries[i]);
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        hf_buf_printf(text, "disk=%s\n", x->disks[i].file_name);
}

static void put_sources(const hf_export *x, hf_buf *text) {
    for (uint32_t i = 0; i < x->vm.disk_count; i++) {
        const hf_vm_disk *d = &x->vm.disks[i];
        const hf_source_id *id = &d->source->id;
        hf_buf_printf(text, "%s %" PRIu64 ":%" PRIu64 " bytes=%" PRId64 " mtime=%" PRId64 " disk=%" PRId64 "\n",
                      hf_format_name(d->probe.format), id->dev, id->ino, id->size_bytes, id->mtime_ns,
                      d->source->size_bytes);
    }
}

static bool same(const hf_buf *a, const hf_buf *b) { return a->len == b->len && memcmp(a->data, b->data, a->len) == 0; }

/* Why the checkpoint found cannot be gone on from; NULL if it can. */
static const char *unusable(const hf_export *x) {
    const hf_resume *r = &x->resume;
    if (!r->on)
        return "this format or source does not go on from one";
    if (!same(&r->found.sources, &r->made.sources))
        return "source changed since the checkpoint";
    if (!same(&r->found.options, &r->made.options))
        return "options or version changed since the checkpoint";
    if (r->found.disk >= x->vm.disk_count || r->found.next_offset > x->vm.disks[r->found.disk].source->size_bytes ||
        r->found.next_offset % HF_CHUNK_BYTES != 0)
        return "the checkpoint does not fit the disks";
    return NULL;
}

/* ---- beginning ------------------------------------------------------------------------------------------- */
static hf_code go_on(hf_export *x) {
    hf_resume *r = &x->resume;
    const hf_checkpoint_disk *d = &r->found.disks[r->found.disk];
    r->going = true;
    r->from_bytes = r->found.bytes_done;
    r->mark = (hf_sink_mark){
        .next_offset = r->found.next_offset, .file_bytes = d->file_bytes, .state = r->found.state /* borrowed */};
    memcpy(r->mark.sha256, d->sha256, sizeof d->sha256);
    hf_report_line(&x->reporter, "info",
                   "attempt %" PRId32 " was killed: going on from its checkpoint, %" PRId64 " of %" PRId64
                   " bytes are done",
                   x->stage.adopted, r->from_bytes, x->flow.bytes_total);
    hf_flow_start_at(&x->flow, r->from_bytes);
    r->done_at_last = r->from_bytes;
    return HF_OK;
}

hf_code hf_resume_begin(hf_export *x, hf_err *reterr) {
    hf_resume *r = &x->resume;
    hf_err err = {0};
    r->on = hf_config_int(x->run->config, HF_C_WORKER_CHECKPOINT) > 0;
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        if (!x->vm.disks[i].source)
            r->on = false; /* a stream cannot be asked again from the middle */
    if (r->on) {
        put_options(x, &r->made.options);
        put_sources(x, &r->made.sources);
        if (r->made.options.failed || r->made.sources.failed)
            return hf_fail(reterr, HF_E_NO_MEMORY, "what a checkpoint says of the job");
    }
    if (!x->stage.adopted)
        return HF_OK;
    const char *why = hf_checkpoint_load(x->stage.dir_fd, &r->found, &err) == HF_OK ? unusable(x) : err.detail;
    return why ? hf_resume_start_over(x, why, reterr) : go_on(x);
}

hf_code hf_resume_start_over(hf_export *x, const char *why, hf_err *reterr) {
    hf_resume *r = &x->resume;
    hf_report_line(&x->reporter, "warn", "%s: starting from zero", why);
    r->going = false;
    r->from_bytes = r->done_at_last = r->written_at_last = 0;
    hf_flow_start_at(&x->flow, 0);
    atomic_store(&x->flow.bytes_written, 0);
    x->artifact_count = 0;
    x->reporter.files_done = 0;
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        x->disks[i].sha256[0] = 0;
    hf_aside_leave(&r->aside);
    return hf_stage_empty(&x->stage, reterr);
}

hf_code hf_resume_file(hf_export *x, int dir_fd, const char *name, uint32_t i, int *ret_fd, hf_err *reterr) {
    struct stat st;
    if (!x->resume.going || i > x->resume.found.disk) {
        if (x->resume.going)
            unlinkat(dir_fd, name, 0); /* begun, but not in the checkpoint */
        return hf_stage_create(dir_fd, name, ret_fd, reterr);
    }
    hf_auto_fd int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    /* A second link: it was being published when its attempt was killed, and is not to be written to any more. */
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "%s is not there any more", name);
    *ret_fd = fd;
    fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): the caller's now, not closed here */
    return HF_OK;
}

const hf_checkpoint_disk *hf_resume_whole(const hf_export *x, uint32_t i) {
    return x->resume.going && i < x->resume.found.disk ? &x->resume.found.disks[i] : NULL;
}

const hf_sink_mark *hf_resume_mark(const hf_export *x, uint32_t i) {
    return x->resume.going && i == x->resume.found.disk ? &x->resume.mark : NULL;
}

void hf_resume_count(hf_export *x, uint32_t i) {
    x->disks[i].populated_bytes = x->resume.found.disks[i].populated_bytes;
    x->reporter.files_done++;
}

/* ---- making checkpoints ------------------------------------------------------------------------------------ */
/* Stored by a thread of its own, which holds all it needs. */
typedef struct store {
    int fd, dir_fd, out_fd;
    hf_buf bytes;
    uint32_t disk;
    char dir_name[HF_STAGE_NAME_MAX + 1];
} store;

static hf_code store_run(void *arg, hf_err *reterr) {
    store *s = arg;
    if (hf_fdatasync(s->fd) != 0)
        return hf_fail_errno(reterr, errno, "making the output durable for a checkpoint");
    hf_code rc = hf_checkpoint_store(s->dir_fd, &s->bytes, reterr);
    if (s->disk > 0)
        hf_fault_point("checkpoint-later-disk");
    return rc;
}

static void store_drop(void *arg, bool left) {
    store *s = arg;
    if (left) /* the job has ended meanwhile, and its directory with it, but perhaps for our file */
        hf_remove_tree(s->out_fd, s->dir_name);
    hf_close_p(&s->fd);
    hf_close_p(&s->dir_fd);
    hf_close_p(&s->out_fd);
    hf_buf_done(&s->bytes);
    free(s);
}

static hf_code store_begin(hf_export *x, hf_err *reterr) {
    static const hf_aside_class cls = {store_run, store_drop};
    store *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a checkpoint");
    *s = (store){.disk = x->resume.made.disk,
                 .fd = fcntl(x->resume.fd, F_DUPFD_CLOEXEC, 3),
                 .dir_fd = fcntl(x->stage.dir_fd, F_DUPFD_CLOEXEC, 3),
                 .out_fd = fcntl(x->stage.out_fd, F_DUPFD_CLOEXEC, 3)};
    hf_buf_init(&s->bytes, 2 * HF_CHECKPOINT_STATE_MAX);
    memcpy(s->dir_name, x->stage.dir_name, sizeof s->dir_name);
    hf_code rc = s->fd < 0 || s->dir_fd < 0 || s->out_fd < 0 ? hf_fail_errno(reterr, errno, "a checkpoint")
                                                             : hf_checkpoint_encode(&x->resume.made, &s->bytes, reterr);
    if (rc != HF_OK) {
        store_drop(s, false);
        return rc;
    }
    return hf_aside_start(&cls, s, &x->resume.aside, reterr);
}

static hf_code make_checkpoint(hf_export *x, hf_sink *sink, int64_t next_offset, hf_err *reterr) {
    hf_resume *r = &x->resume;
    hf_checkpoint *c = &r->made;
    hf_sink_mark mark = {.state = c->state};
    hf_buf_clear(&mark.state);
    hf_code rc = sink->cls->save(sink, next_offset, &mark, reterr);
    c->state = mark.state;
    if (rc != HF_OK)
        return rc;
    for (uint32_t i = 0; i < c->disk; i++) {
        c->disks[i] =
            (hf_checkpoint_disk){.file_bytes = x->disks[i].file_bytes, .populated_bytes = x->disks[i].populated_bytes};
        memcpy(c->disks[i].sha256, x->disks[i].sha256, HF_SHA256_HEX);
    }
    c->disks[c->disk] =
        (hf_checkpoint_disk){.file_bytes = mark.file_bytes, .populated_bytes = hf_pipeline_populated(x->pipeline)};
    memcpy(c->disks[c->disk].sha256, mark.sha256, HF_SHA256_HEX);
    c->next_offset = mark.next_offset;
    c->bytes_done = hf_flow_bytes_done(&x->flow);
    return store_begin(x, reterr);
}

static bool due(hf_export *x) {
    hf_resume *r = &x->resume;
    int64_t every = hf_config_int(x->run->config, HF_C_WORKER_CHECKPOINT);
    int64_t done = hf_flow_bytes_done(&x->flow),
            written = atomic_load_explicit(&x->flow.bytes_written, memory_order_relaxed);
    if (done - r->done_at_last < every && written - r->written_at_last < every)
        return false;
    if (r->aside && !hf_aside_ended(r->aside))
        return false; /* the disk is slower than we are: later */
    r->done_at_last = done;
    r->written_at_last = written;
    return true;
}

hf_code hf_export_check_reserve(hf_export *x, hf_err *reterr) {
    int64_t reserve = hf_config_int(x->run->config, HF_C_WORKER_MIN_FREE), now = hf_mono_ns();
    struct statvfs fs;
    if (reserve == 0 || now - x->resume.space_looked_ns < space_look_ns)
        return HF_OK;
    x->resume.space_looked_ns = now;
    if (fstatvfs(x->stage.out_fd, &fs) != 0 || fs.f_blocks == 0) /* it does not tell */
        return HF_OK;
    int64_t left = (int64_t)(fs.f_bavail * fs.f_frsize);
    if (left >= reserve)
        return HF_OK;
    return hf_fail(reterr, HF_E_NO_SPACE,
                   "%s has %" PRId64 " MiB left and worker.min_free_space keeps %" PRId64
                   " MiB free: the job stopped and removed what it wrote; free some space",
                   x->stage.out_path, left >> 20, reserve >> 20);
}

static hf_code before_chunk(void *ctx, hf_sink *sink, int64_t next_offset, hf_err *reterr) {
    hf_export *x = ctx;
    hf_resume *r = &x->resume;
    hf_fault_point("export-chunk");
    hf_code rc = hf_export_check_reserve(x, reterr);
    if (rc != HF_OK || !r->on || !sink->cls->save || next_offset / sink->cls->save_unit_bytes == r->unit)
        return rc;
    r->unit = next_offset / sink->cls->save_unit_bytes;
    if (!due(x))
        return HF_OK;
    if ((rc = hf_aside_wait(&r->aside, NULL, reterr)) != HF_OK) /* has ended */
        return rc;
    return make_checkpoint(x, sink, next_offset, reterr);
}

hf_code hf_resume_run(hf_export *x, uint32_t i, hf_sink *sink, hf_err *reterr) {
    hf_resume *r = &x->resume;
    const hf_sink_mark *mark = hf_resume_mark(x, i);
    r->made.disk = i;
    r->unit = -1;
    x->reporter.disk_from = hf_flow_bytes_done(&x->flow);
    if (mark) { /* it began before this attempt did */
        x->reporter.disk_from = 0;
        for (uint32_t before = 0; before < i; before++)
            x->reporter.disk_from += x->vm.disks[before].source->allocated_bytes;
    }
    x->reporter.disk = (int32_t)i + 1;
    x->reporter.disk_total = x->vm.disks[i].source->allocated_bytes;
    hf_pipeline_watch(x->pipeline, before_chunk, x);
    hf_code rc = hf_pipeline_run_from(x->pipeline, x->vm.disks[i].source, sink, mark ? mark->next_offset : 0,
                                      mark ? r->found.disks[i].populated_bytes : 0, reterr);
    if (rc == HF_OK)
        rc = hf_aside_wait(&r->aside, &x->flow, reterr);
    else
        hf_aside_leave(&r->aside);
    x->reporter.disk = 0;
    return rc;
}
