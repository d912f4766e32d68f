/* Disks of an appliance in another format: read as VMDKs from where they lie in the archive, inflated by all threads of the job, with no
 * temporary file. The pass that hashes the archive and walks its VMDKs runs beside, in a thread of its own; nothing is published
 * before both are done, and what stops one of them stops the other. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/operation/ova/extract.h"
#include "consumer/pipeline/ova_stream.h"
#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/vmdk_read.h"
#include "schemas/base/mem.h"

enum { STREAM_WINDOW_BYTES = 8 << 20 };

static hf_code make_raw(int fd, const char *name, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    (void)name;
    return hf_sink_raw_new(fd, size_bytes, flow, ret, reterr);
}

static hf_code make_raw_unhashed(int fd, const char *name, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                                 hf_err *reterr) {
    (void)name;
    return hf_sink_raw_unhashed_new(fd, size_bytes, flow, ret, reterr);
}

/* Not compressed: what is extracted is to be run. */
static hf_code make_qcow2(int fd, const char *name, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    (void)name;
    return hf_sink_qcow2_new(fd, size_bytes, flow, ret, reterr);
}

static const hf_extract_sink sinks[] = {
    {"raw", ".raw", make_raw, make_raw_unhashed, hf_sink_raw_sha256},
    {"qcow2", ".qcow2", make_qcow2, NULL, NULL},
    {"vmdk-sparse", ".vmdk", hf_sink_vmdk_sparse_new, NULL, NULL},
    {"vdi", ".vdi", hf_sink_vdi_new, NULL, NULL},
    {"vhd", ".vhd", hf_sink_vhd_new, NULL, NULL},
    {"vhdx", ".vhdx", hf_sink_vhdx_new, NULL, NULL},
};

const hf_extract_sink *hf_extract_sink_find(hf_str format) {
    for (size_t i = 0; i < HF_ARRAY_LEN(sinks); i++)
        if (hf_str_eqz(format, sinks[i].format))
            return &sinks[i];
    return NULL;
}

/* "web-disk1.vmdk" (or "web-disk1.vmdk.gz") -> "web-disk1.raw" */
static void output_name(const hf_extract *x, const hf_member *m, char *to, size_t size) {
    static const char *const suffixes[] = {".gz", ".vmdk"};
    const char *href = x->work->appliance->ovf->files[m->file].href;
    size_t len = strlen(href);
    for (size_t i = 0; i < HF_ARRAY_LEN(suffixes); i++) {
        size_t n = strlen(suffixes[i]);
        if (len > n && strncasecmp(href + len - n, suffixes[i], n) == 0)
            len -= n;
    }
    snprintf(to, size, "%.*s%s", (int)len, href, x->sink->suffix);
}

/* The member that disk i begins with, when it is the first disk with that file; NULL: nothing to do. */
static const hf_member *member_of(const hf_extract *x, uint32_t i) {
    const hf_appliance *a = x->work->appliance;
    int32_t file = a->ovf->disks[i].file;
    for (uint32_t former = 0; former < i; former++)
        if (a->ovf->disks[former].file == file)
            return NULL;
    for (uint32_t m = 0; file >= 0 && m < a->member_count; m++)
        if (a->members[m].file == file && a->members[m].chunk <= 0 && !a->members[m].refused)
            return &a->members[m];
    return NULL;
}

static hf_code check_disk(hf_extract *x, uint32_t i, int64_t *needed, hf_err *reterr) {
    const hf_ovf_document *ovf = x->work->appliance->ovf;
    const hf_ovf_read_disk *disk = &ovf->disks[i];
    char name[HF_MEMBER_NAME_MAX + 16];
    if (disk->file < 0)
        return HF_OK; /* an empty disk: there is nothing to extract */
    if (!disk->stream_vmdk)
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "%s is not a streamOptimized VMDK: extract it as it is, then convert it",
                       ovf->files[disk->file].href);
    const hf_member *m = member_of(x, i);
    if (!m)
        return HF_OK;
    output_name(x, m, name, sizeof name);
    if (strlen(name) > HF_STAGE_NAME_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the name of %s is too long", m->name);
    /* At least what is stored; what it inflates to is not known before. */
    *needed += disk->populated_bytes > m->size_bytes && disk->populated_bytes <= disk->capacity_bytes
                   ? disk->populated_bytes
                   : m->size_bytes;
    return hf_stage_check_free(&x->work->stage, name, reterr);
}

hf_code hf_extract_check_disks(hf_extract *x, int64_t *needed_bytes, hf_err *reterr) {
    const hf_ovf_document *ovf = x->work->appliance->ovf;
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < ovf->disk_count; i++)
        rc = check_disk(x, i, needed_bytes, reterr);
    return rc;
}

/* ---- one disk ------------------------------------------------------------------------------------------------- */
static hf_code note_output(hf_extract *x, const char *name, const hf_member *m, int64_t capacity, int64_t populated,
                           hf_err *reterr) {
    hf_ova_work *w = x->work;
    if (!w->outputs)
        w->outputs = json_array();
    json_t *output = json_pack("{s:s, s:s, s:I, s:I}", "file", name, "from", m->name, "capacity_bytes",
                               (json_int_t)capacity, "populated_bytes", (json_int_t)populated);
    return json_array_append_new(w->outputs, output) == 0 ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the report");
}

static hf_code write_disk(hf_extract *x, hf_pipeline *pipeline, hf_source *source, int fd, const char *name,
                          char sha256[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    const hf_extract_sink *kind = x->sink;
    bool hashed = x->work->hash_outputs;
    hf_sink *sink = NULL;
    struct stat st;
    sha256[0] = 0;
    hf_code rc = (hashed || !kind->make_unhashed ? kind->make : kind->make_unhashed)(fd, name, source->size_bytes,
                                                                                     &x->work->flow, &sink, reterr);
    if (rc == HF_OK && (rc = hf_pipeline_run(pipeline, source, sink, reterr)) == HF_OK && hashed && kind->sha256)
        rc = kind->sha256(sink, sha256, reterr);
    hf_sink_free(sink);
    if (rc == HF_OK && (fsync(fd) != 0 || fstat(fd, &st) != 0))
        rc = hf_fail_errno(reterr, errno, "making the disk durable");
    if (rc == HF_OK && hashed && !kind->sha256)
        rc = hf_hash_file(fd, st.st_size, &x->work->flow, sha256, reterr);
    return rc;
}

/* Where a disk lies in one piece it is read at any place by all threads; else it comes as a stream. */
static hf_code open_disk(hf_extract *x, uint32_t i, hf_stream **ret_stream, hf_source **ret, hf_err *reterr) {
    const hf_appliance *a = x->work->appliance;
    const hf_member *whole = hf_appliance_disk_member(a, i);
    hf_auto_fd int fd = -1;
    hf_code rc;
    if (whole) {
        rc = hf_member_open(a, whole, &fd, reterr);
        return rc == HF_OK ? hf_source_open_vmdk(fd, whole->base, whole->size_bytes, ret, reterr) : rc;
    }
    rc = hf_appliance_open_stream(a, i, &x->work->flow, ret_stream, reterr);
    return rc == HF_OK ? hf_source_open_vmdk_stream(*ret_stream, STREAM_WINDOW_BYTES, ret, reterr) : rc;
}

static hf_code extract_disk(hf_extract *x, hf_pipeline *pipeline, uint32_t i, const hf_member *m, hf_err *reterr) {
    hf_ova_work *w = x->work;
    hf_auto_fd int to = -1;
    hf_source *source = NULL;
    hf_stream *stream = NULL;
    char name[HF_MEMBER_NAME_MAX + 16], sha256[HF_DIGEST_HEX_MAX];
    struct stat st = {0};
    output_name(x, m, name, sizeof name);
    w->reporter.current = m->name;
    hf_code rc = open_disk(x, i, &stream, &source, reterr);
    if (rc == HF_OK && (rc = hf_stage_create(w->stage.dir_fd, name, &to, reterr)) == HF_OK)
        rc = write_disk(x, pipeline, source, to, name, sha256, reterr);
    if (rc == HF_OK && fstat(to, &st) != 0)
        rc = hf_fail_errno(reterr, errno, "%s", name);
    if (rc == HF_OK && (rc = hf_ova_add_artifact(w, name, "disk", st.st_size, sha256, reterr)) == HF_OK)
        rc = note_output(x, name, m, source->size_bytes, hf_pipeline_populated(pipeline), reterr);
    hf_source_close(source);
    hf_stream_close(stream);
    w->reporter.files_done++;
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", m->name);
}

static hf_code extract_all(hf_extract *x, hf_err *reterr) {
    hf_pipeline *pipeline = NULL;
    const hf_ovf_document *ovf = x->work->appliance->ovf;
    hf_code rc = hf_pipeline_new(x->work->run->threads, &x->work->flow, &pipeline, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < ovf->disk_count; i++) {
        const hf_member *m = member_of(x, i);
        if (m)
            rc = extract_disk(x, pipeline, i, m, reterr);
    }
    hf_pipeline_free(pipeline);
    return rc;
}

/* ---- the pass beside -------------------------------------------------------------------------------------------- */
typedef struct beside {
    hf_extract extract; /* its own: it writes other members */
    hf_flow flow;       /* tells no progress and takes no bandwidth: the disks' does, for the same bytes */
    atomic_bool stop;   /* of both */
    hf_code rc;
    hf_err error;
} beside;

static void *pass_main(void *arg) {
    beside *b = arg;
    hf_ova_work *w = b->extract.work;
    hf_pass pass = hf_extract_pass(&b->extract, &b->flow);
    b->rc = hf_appliance_pass(w->appliance, &pass, &b->error);
    if (b->rc == HF_OK)
        b->rc = hf_findings_verdict(&w->findings, &b->error);
    if (b->rc != HF_OK)
        atomic_store(&b->stop, true);
    return NULL;
}

static int64_t bytes_of_disks(const hf_extract *x) {
    const hf_ovf_document *ovf = x->work->appliance->ovf;
    int64_t sum = 0;
    for (uint32_t i = 0; i < ovf->disk_count; i++)
        if (ovf->disks[i].capacity_bytes > 0 && ovf->disks[i].file >= 0)
            sum += ovf->disks[i].populated_bytes > 0 ? ovf->disks[i].populated_bytes : ovf->disks[i].capacity_bytes;
    return sum;
}

static hf_code run_both(hf_extract *x, beside *b, hf_err *reterr) {
    pthread_t thread;
    hf_err error = {0};
    if (pthread_create(&thread, NULL, pass_main, b) != 0)
        return hf_fail(reterr, HF_E_NO_MEMORY, "no thread could be started");
    hf_code rc = extract_all(x, &error);
    if (rc != HF_OK)
        atomic_store(&b->stop, true);
    pthread_join(thread, NULL);
    if (b->rc != HF_OK &&
        (rc == HF_OK || b->rc != HF_E_CANCELLED)) { /* what is wrong with the archive explains the rest */
        error = b->error;
        rc = b->rc;
    }
    if (rc != HF_OK && reterr)
        *reterr = error;
    return rc;
}

hf_code hf_extract_disks(hf_extract *x, hf_err *reterr) {
    hf_flow *flow = &x->work->flow;
    beside b = {.extract = *x};
    b.extract.beside = true;
    atomic_init(&b.stop, false);
    hf_flow_init(&b.flow);
    b.flow.cancel = flow->cancel;
    b.flow.stop = flow->stop = &b.stop;
    flow->bytes_total = bytes_of_disks(x);
    hf_code rc = run_both(x, &b, reterr);
    flow->stop = NULL;
    hf_close_p(&b.extract.fd);
    hf_flow_done(&b.flow);
    return rc;
}
