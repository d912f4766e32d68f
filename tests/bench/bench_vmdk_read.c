// LIBS: hf_pipeline
/* Reads a streamOptimized VMDK in every way there is, in turns, in one run: to a raw file natively (from the file, and as a stream that comes),
 * to nowhere, and by qemu-img convert; and keeps it as a stream that comes, walked and hashed, with and without inflating, beside a mere
 * copy of its bytes. The disk is that of bench_export: half files of this machine, an eighth noise, an eighth zeros, a quarter hole.
 *
 *   bench_vmdk_read [MiB of disk, 1024] [rounds, 2] [directory, /tmp] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/stream_copy.h"
#include "consumer/pipeline/vmdk_read.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static char dir[256];
static int vmdk;
static int64_t vmdk_bytes;

static int sh(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int sh(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

static void must(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "bench_vmdk_read: %s\n", what);
    if (*dir)
        sh("rm -rf '%s'", dir);
    exit(1);
}

static int file_of(const char *name, int flags) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, flags | O_CLOEXEC, 0644);
    must(fd >= 0, path);
    return fd;
}

/* ---- a stream that comes as fast as it is taken ---------------------------------------------------- */
typedef struct file_stream {
    hf_stream stream;
    int64_t at;
} file_stream;

static hf_code file_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    file_stream *f = (file_stream *)stream;
    ssize_t n = pread(vmdk, to, cap < 65536 ? cap : 65536, f->at); /* what a connection gives at once, or less */
    if (n < 0)
        return hf_fail(reterr, HF_E_IO, "reading");
    f->at += n;
    *ret_len = (size_t)n;
    return HF_OK;
}
static void file_close(hf_stream *stream) { (void)stream; }
static const hf_stream_class file_class = {"file", file_read, file_close};

/* ---- a sink that keeps nothing, and one that only writes ------------------------------------------------ */
typedef struct plain_sink {
    hf_sink sink;
    int fd; /* -1: nowhere */
} plain_sink;

static hf_code plain_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    int fd = ((plain_sink *)sink)->fd;
    for (unsigned i = 0, from; fd >= 0 && i < HF_CHUNK_GRAINS;) {
        if (!(chunk->used >> i & 1)) {
            i++;
            continue;
        }
        for (from = i; i < HF_CHUNK_GRAINS && chunk->used >> i & 1;)
            i++;
        size_t at = (size_t)from * HF_GRAIN_BYTES, end = (size_t)i * HF_GRAIN_BYTES;
        hf_code rc = hf_write_fully(fd, chunk->data + at, end - at, chunk->offset + (int64_t)at, reterr);
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}
static hf_code plain_finish(hf_sink *sink, hf_err *reterr) {
    (void)sink;
    (void)reterr;
    return HF_OK;
}
static void plain_free(hf_sink *sink) { (void)sink; }
static const hf_sink_class plain_class = {
    .name = "plain", .commit = plain_commit, .finish = plain_finish, .free = plain_free};

/* ---- the contestants ---------------------------------------------------------------------------------------- */
typedef enum way {
    TO_RAW,
    TO_RAW_ONE,
    TO_RAW_HASHED,
    TO_NOWHERE,
    STREAM_TO_RAW,
    BY_QEMU,
    KEEP,
    KEEP_DEEP,
    MERE_COPY,
    WAYS
} way;
static const char *const names[WAYS] = {"ours to raw",       "ours to raw, one thread",     "ours to raw, hashed",
                                        "ours to nowhere",   "ours, a stream, to raw",      "qemu-img convert -O raw",
                                        "kept, walk + hash", "kept, walk + hash + inflate", "a mere copy of its bytes"};

static void run_pipeline(way how, int fd) {
    hf_flow flow;
    hf_source *source = NULL;
    hf_pipeline *pipeline = NULL;
    hf_err err = {0};
    file_stream stream = {.stream = {&file_class, vmdk_bytes}};
    plain_sink plain = {{&plain_class}, how == TO_NOWHERE ? -1 : fd};
    hf_sink *sink = &plain.sink;
    hf_flow_init(&flow);
    hf_code rc = how == STREAM_TO_RAW ? hf_source_open_vmdk_stream(&stream.stream, 8 << 20, &source, &err)
                                      : hf_source_open_vmdk(vmdk, 0, vmdk_bytes, &source, &err);
    if (rc == HF_OK && how == TO_RAW_HASHED)
        rc = hf_sink_raw_new(fd, source->size_bytes, &flow, &sink, &err);
    if (rc == HF_OK)
        rc = hf_pipeline_new(how == TO_RAW_ONE ? 1 : (int)sysconf(_SC_NPROCESSORS_ONLN), &flow, &pipeline, &err);
    if (rc == HF_OK)
        rc = hf_pipeline_run(pipeline, source, sink, &err);
    must(rc == HF_OK && (how == TO_NOWHERE || ftruncate(fd, source->size_bytes) == 0), err.detail);
    hf_pipeline_free(pipeline);
    hf_sink_free(sink);
    hf_source_close(source);
    hf_flow_done(&flow);
}

static void run_copy(bool deep, int fd) {
    hf_flow flow;
    hf_out out;
    hf_vmdk_summary sum;
    hf_err err = {0};
    file_stream stream = {.stream = {&file_class, vmdk_bytes}};
    hf_flow_init(&flow);
    must(hf_out_init(&out, fd, 0, HF_DIGEST_NONE, &flow, &err) == HF_OK &&
             hf_stream_copy(&stream.stream, &out, deep, (int)sysconf(_SC_NPROCESSORS_ONLN), &flow, &sum, &err) == HF_OK,
         err.detail);
    hf_out_done(&out);
    hf_flow_done(&flow);
}

static double cpu_seconds(void) {
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    struct timeval t[4] = {self.ru_utime, self.ru_stime, children.ru_utime, children.ru_stime};
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)t[i].tv_sec + (double)t[i].tv_usec * 1e-6;
    return sum;
}

static void contest(way how, double *best) {
    int fd = file_of("out", O_RDWR | O_CREAT | O_TRUNC);
    double cpu = cpu_seconds();
    int64_t start = hf_mono_ns();
    if (how == BY_QEMU)
        must(sh("qemu-img convert -f vmdk -O raw '%s/disk.vmdk' '%s/out'", dir, dir) == 0, "qemu-img failed");
    else if (how == MERE_COPY)
        must(sh("cp --reflink=never '%s/disk.vmdk' '%s/out'", dir, dir) == 0, "cp failed");
    else if (how == KEEP || how == KEEP_DEEP)
        run_copy(how == KEEP_DEEP, fd);
    else
        run_pipeline(how, fd);
    double wall = (double)(hf_mono_ns() - start) * 1e-9;
    printf("  %-28s %8.2f s wall %8.2f s CPU\n", names[how], wall, cpu_seconds() - cpu);
    fflush(stdout);
    close(fd);
    if (how == TO_RAW || how == STREAM_TO_RAW)
        must(sh("cmp '%s/out' '%s/disk.raw'", dir, dir) == 0, "the disk is another");
    must(sh("rm -f '%s/out' && sync '%s'", dir, dir) == 0, "rm failed");
    if (*best <= 0 || wall < *best)
        *best = wall;
}

static void make_vmdk(int mib) {
    must(
        sh("cd '%s' && { find /usr/lib /usr/bin /usr/share -xdev -type f -print0 | sort -z | xargs -0 cat 2>/dev/null | "
           "head -c %dM; head -c %dM /dev/urandom; head -c %dM /dev/zero; } >disk.raw && truncate -s %dM disk.raw && sync",
           dir, mib / 2, mib / 8, mib / 8, mib) == 0,
        "the disk could not be made");
    int raw = file_of("disk.raw", O_RDONLY);
    vmdk = file_of("disk.vmdk", O_RDWR | O_CREAT);
    hf_flow flow;
    hf_out out;
    hf_source *source;
    hf_sink *sink;
    hf_pipeline *pipeline;
    hf_err err = {0};
    hf_flow_init(&flow);
    must(hf_out_init(&out, vmdk, 0, HF_DIGEST_NONE, &flow, &err) == HF_OK &&
             hf_source_open_raw(raw, &source, &err) == HF_OK &&
             hf_sink_vmdk_new(&out, hf_codec_find(HF_STR("")), source->size_bytes, "disk.vmdk", &sink, &err) == HF_OK &&
             hf_pipeline_new((int)sysconf(_SC_NPROCESSORS_ONLN), &flow, &pipeline, &err) == HF_OK &&
             hf_pipeline_run(pipeline, source, sink, &err) == HF_OK,
         err.detail);
    vmdk_bytes = out.len;
    hf_pipeline_free(pipeline);
    hf_sink_free(sink);
    hf_source_close(source);
    hf_out_done(&out);
    hf_flow_done(&flow);
    close(raw);
}

int main(int argc, char **argv) {
    int mib = argc > 1 ? atoi(argv[1]) : 1024, rounds = argc > 2 ? atoi(argv[2]) : 2;
    double best[WAYS] = {0};
    struct utsname host;
    if (mib < 8 || rounds < 1) {
        fprintf(stderr, "usage: bench_vmdk_read [MiB of disk, at least 8] [rounds] [directory]\n");
        return 64;
    }
    snprintf(dir, sizeof dir, "%s/hf-bench-XXXXXX", argc > 3 ? argv[3] : "/tmp");
    must(mkdtemp(dir) != NULL, "no scratch directory");
    uname(&host);
    make_vmdk(mib);
    printf("a VMDK of a disk of %d MiB, %.0f MiB long; %ld cores, %s %s, build %s, %s\n", mib,
           (double)vmdk_bytes / 1048576, sysconf(_SC_NPROCESSORS_ONLN), host.sysname, host.release, HF_BUILD_TYPE,
           HF_COMPILER);
    for (int round = 0; round < rounds; round++)
        for (int how = 0; how < WAYS; how++)
            contest((way)how, &best[how]);
    printf("best of %d:\n", rounds);
    for (int i = 0; i < WAYS; i++)
        printf(
            "  %-28s %8.2f s  %6.2f times as fast as qemu-img, %6.2f of a mere copy's time, %5.0f MB/s of the VMDK\n",
            names[i], best[i], best[BY_QEMU] / best[i], best[i] / best[MERE_COPY], (double)vmdk_bytes * 1e-6 / best[i]);
    sh("rm -rf '%s'", dir);
    return 0;
}
