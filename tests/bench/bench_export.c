// LIBS: hf_operation
/* Exports one disk to an OVA with each codec, and does what a person would do instead (qemu-img convert to streamOptimized,
 * sha256sum, tar), in turns, in one run; then the way back, OVA to raw, beside qemu-img's; and what the stages cost in one thread, from which
 * the floor on these cores follows, and what more cores would give. The disk: half of it files of this machine (programs, libraries, texts), an eighth
 * noise, an eighth zeros, a quarter hole.
 *
 *   bench_export [MiB of disk, 2048] [rounds, 2] [directory, /tmp] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "consumer/operation/operation.h"
#include "consumer/pipeline/codec.h"
#include "consumer/pipeline/digest.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { CODECS = 3, ONE_THREAD = CODECS, CHAIN, COPY, EXTRACT, QEMU_RAW, CONTESTANTS };
static const char *const codecs[CODECS] = {"fast", "balanced", "small"};

typedef struct figures {
    char name[64];
    double wall_s, cpu_s;
    int64_t out_bytes;
} figures;

static char dir[256];

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
    fprintf(stderr, "bench_export: %s\n", what);
    if (*dir)
        sh("rm -rf '%s'", dir);
    exit(1);
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

static int64_t size_of(const char *name) {
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(stat(path, &st) == 0, "an output is missing");
    return st.st_size;
}

static void make_disk(int mib) {
    must(
        sh("cd '%s' && { for i in 1 2 3 4; do find /usr/lib /usr/bin /usr/share -xdev -type f -print0 | sort -z | "
           "xargs -0 cat 2>/dev/null; done | head -c %dM; head -c %dM /dev/urandom; head -c %dM /dev/zero; } >disk.raw && "
           "truncate -s %dM disk.raw && sync",
           dir, mib / 2, mib / 8, mib / 8, mib) == 0,
        "the disk could not be made");
}

static void run_ours(const char *codec, int threads) {
    hf_config *config = hf_config_new();
    hf_arena arena;
    hf_roots roots = {.any = true};
    atomic_bool cancel = false;
    hf_spec spec;
    char path[512];
    hf_result result;
    hf_str phase;
    hf_err err;
    hf_arena_init(&arena, 1 << 20);
    hf_type_init(&HF_TYPE_SPEC, &spec);
    snprintf(path, sizeof path, "%s/disk.raw", dir);
    spec.operation = HF_STR("export");
    spec.vm_path = hf_str_of(path);
    spec.output_dir = hf_str_of(dir);
    spec.name = hf_str_of(codec);
    spec.options.codec = hf_str_of(codec);
    hf_run run = {.job_id = HF_STR("bench"),
                  .attempt = 1,
                  .spec = &spec,
                  .config = config,
                  .roots = &roots,
                  .arena = &arena,
                  .cancel = &cancel,
                  .threads = threads};
    hf_code rc = hf_operation_run(&run, &result, &phase, &err);
    if (rc != HF_OK)
        fprintf(stderr, "%s\n", err.detail);
    must(rc == HF_OK, "the export failed");
    hf_arena_done(&arena);
    hf_config_free(config);
}

static void run_chain(void) {
    must(sh("cd '%s' && qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw chain.vmdk && "
            "sha256sum chain.vmdk >chain.mf && tar --format=ustar -cf chain.ova chain.mf chain.vmdk && sync chain.ova",
            dir) == 0,
         "qemu-img, sha256sum or tar failed");
}

/* The program beside this one: bin/hyperworker, of bin/bench/bench_export. */
static void run_extract(void) {
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    must(n > 0, "/proc/self/exe");
    self[n] = 0;
    for (int up = 0; up < 2; up++)
        *strrchr(self, '/') = 0;
    must(sh("cd '%s' && '%s/hyperworker' ova extract --format raw kept.ova back >/dev/null && sync back/*", dir,
            self) == 0,
         "ova extract failed");
    must(sh("cd '%s' && cmp disk.raw back/*.raw", dir) == 0, "the disk that came back is another");
}

static void run_qemu_raw(void) {
    must(sh("cd '%s' && tar -xf kept.ova && qemu-img convert -f vmdk -O raw *-disk1.vmdk back.raw && sync back.raw",
            dir) == 0,
         "tar or qemu-img failed");
}

static void run_one(int which, figures *f, char out[80]) {
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (which <= ONE_THREAD) {
        const char *codec = which < CODECS ? codecs[which] : codecs[0];
        snprintf(f->name, sizeof f->name, which < CODECS ? "ours, codec %s" : "ours, codec %s, one thread", codec);
        snprintf(out, 80, "%s.ova", codec);
        run_ours(codec, which < CODECS ? cores : 1);
    } else if (which == CHAIN) {
        snprintf(f->name, sizeof f->name, "qemu-img + sha256sum + tar");
        snprintf(out, 80, "chain.ova");
        run_chain();
    } else if (which == COPY) {
        snprintf(f->name, sizeof f->name, "cp of the disk, synced");
        snprintf(out, 80, "copy.raw");
        must(sh("cd '%s' && cp --sparse=always --reflink=never disk.raw copy.raw && sync copy.raw", dir) == 0,
             "cp failed");
    } else if (which == EXTRACT) {
        snprintf(f->name, sizeof f->name, "ours, OVA to raw");
        snprintf(out, 80, "kept.ova");
        run_extract();
    } else {
        snprintf(f->name, sizeof f->name, "tar + qemu-img, OVA to raw");
        snprintf(out, 80, "kept.ova");
        run_qemu_raw();
    }
}

static void contest(int which, figures *best) {
    figures f = {0};
    char out[80];
    double cpu = cpu_seconds();
    int64_t start = hf_mono_ns();
    run_one(which, &f, out);
    f.wall_s = (double)(hf_mono_ns() - start) * 1e-9;
    f.cpu_s = cpu_seconds() - cpu;
    f.out_bytes = size_of(out);
    if (which == 0)
        must(sh("cd '%s' && rm -f kept.ova && ln fast.ova kept.ova", dir) == 0, "ln failed");
    must(sh("cd '%s' && rm -rf %s chain.* back back.raw *.vmdk *.mf *.ovf", dir, which < EXTRACT ? out : "none") == 0,
         "rm failed");
    printf("  %-28s %8.2f s wall %8.2f s CPU %8.1f MiB\n", f.name, f.wall_s, f.cpu_s, (double)f.out_bytes / 1048576);
    fflush(stdout);
    if (best->wall_s <= 0 || f.wall_s < best->wall_s)
        *best = f;
}

/* ---- what the stages cost ---------------------------------------------------------------------------------------- */
static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool is_zero(const uint8_t *p, size_t n) { return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0; }

/* One thread, nothing written: reading, zero test and codec are what more threads share; the hash is the committer's alone. */
static void tell_stages(double best_wall) {
    const hf_codec *codec = hf_codec_find(hf_str_of(codecs[0]));
    void *lane = codec->lane_new(codec->level);
    static uint8_t in[HF_GRAIN_BYTES], out[HF_CODEC_BOUND];
    char path[512], hex[HF_DIGEST_HEX_MAX];
    hf_digest digest;
    hf_err err;
    double shared = 0, alone = 0;
    int64_t at = 0, data, end;
    snprintf(path, sizeof path, "%s/disk.raw", dir);
    hf_auto_fd int fd = open(path, O_RDONLY);
    must(fd >= 0 && lane && hf_digest_init(&digest, HF_DIGEST_SHA256, &err) == HF_OK, "the stages cannot be measured");
    while ((data = lseek(fd, at, SEEK_DATA)) >= 0) {
        end = lseek(fd, data, SEEK_HOLE);
        for (at = data; at < end; at += HF_GRAIN_BYTES) {
            double begun = thread_seconds();
            ssize_t n = pread(fd, in, sizeof in, at);
            size_t made = n == (ssize_t)sizeof in && !is_zero(in, sizeof in)
                              ? codec->compress(lane, in, sizeof in, out, sizeof out)
                              : 0;
            double middle = thread_seconds();
            shared += middle - begun;
            if (made)
                must(hf_digest_add(&digest, out, made, &err) == HF_OK, "SHA-256 failed");
            alone += thread_seconds() - middle;
        }
    }
    hf_digest_end(&digest, hex, &err);
    hf_digest_done(&digest);
    codec->lane_free(lane);
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    double floor = (shared + alone) / cores;
    printf(
        "stages in one thread: read + zero test + codec %.2f CPU s, hash %.2f CPU s: floor on %d cores %.2f s; ours took %.2f times that\n",
        shared, alone, cores, floor, best_wall / floor);
    printf("by these costs, hash and order in one thread, the rest shared:");
    for (int n = 1; n <= 16; n *= 2) {
        double all = (shared + alone) / n; /* n cores, whoever works on them */
        printf("  %d cores %.2f s", n, all > alone ? all : alone);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    int mib = argc > 1 ? atoi(argv[1]) : 2048, rounds = argc > 2 ? atoi(argv[2]) : 2;
    figures best[CONTESTANTS] = {0};
    struct utsname host;
    if (mib < 8 || rounds < 1) {
        fprintf(stderr, "usage: bench_export [MiB of disk, at least 8] [rounds] [directory]\n");
        return 64;
    }
    snprintf(dir, sizeof dir, "%s/hf-bench-XXXXXX", argc > 3 ? argv[3] : "/tmp");
    must(mkdtemp(dir) != NULL, "no scratch directory");
    uname(&host);
    size_t count;
    printf("export of a disk of %d MiB to an OVA; %ld cores, %s %s, build %s, %s; fast is %s level %d\n", mib,
           sysconf(_SC_NPROCESSORS_ONLN), host.sysname, host.release, HF_BUILD_TYPE, HF_COMPILER,
           hf_codecs(&count)->library, hf_codecs(&count)->level);
    make_disk(mib);
    for (int round = 0; round < rounds; round++)
        for (int which = 0; which < CONTESTANTS; which++)
            contest(which, &best[which]);
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    printf("best of %d:\n", rounds);
    for (int i = 0; i < CONTESTANTS; i++)
        printf("  %-28s %8.2f s  %6.2f times as fast as the chain, %6.3f of its size\n", best[i].name, best[i].wall_s,
               best[CHAIN].wall_s / best[i].wall_s, (double)best[i].out_bytes / (double)best[CHAIN].out_bytes);
    printf("two threads against one: %.2f times as fast; OVA to raw against tar + qemu-img: %.2f times\n",
           best[ONE_THREAD].wall_s / best[0].wall_s, best[QEMU_RAW].wall_s / best[EXTRACT].wall_s);
    tell_stages(best[0].wall_s);
    printf("peak resident memory of this process (ours): %.1f MiB\n", (double)self.ru_maxrss / 1024);
    sh("rm -rf '%s'", dir);
    return 0;
}
