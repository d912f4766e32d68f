// LIBS: hf_operation
/* Exports one disk to an OVA with each codec, and does what a person would do instead (qemu-img convert to streamOptimized,
 * sha256sum, tar), in turns, in one run. The disk: half of it files of this machine (programs, libraries, texts), an eighth
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

#include "consumer/operation/operation.h"
#include "consumer/pipeline/codec.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { CODECS = 3, CONTESTANTS = CODECS + 2 };
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

static void run_ours(const char *codec) {
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
                  .threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
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

static void contest(int which, figures *best) {
    figures f = {0};
    char out[80];
    double cpu = cpu_seconds();
    int64_t start = hf_mono_ns();
    if (which < CODECS) {
        snprintf(f.name, sizeof f.name, "ours, codec %s", codecs[which]);
        snprintf(out, sizeof out, "%s.ova", codecs[which]);
        run_ours(codecs[which]);
    } else if (which == CODECS) {
        snprintf(f.name, sizeof f.name, "qemu-img + sha256sum + tar");
        snprintf(out, sizeof out, "chain.ova");
        run_chain();
    } else {
        snprintf(f.name, sizeof f.name, "cp of the disk, synced");
        snprintf(out, sizeof out, "copy.raw");
        must(sh("cd '%s' && cp --sparse=always --reflink=never disk.raw copy.raw && sync copy.raw", dir) == 0,
             "cp failed");
    }
    f.wall_s = (double)(hf_mono_ns() - start) * 1e-9;
    f.cpu_s = cpu_seconds() - cpu;
    f.out_bytes = size_of(out);
    must(sh("cd '%s' && rm -f %s chain.*", dir, out) == 0, "rm failed");
    printf("  %-28s %8.2f s wall %8.2f s CPU %8.1f MiB\n", f.name, f.wall_s, f.cpu_s, (double)f.out_bytes / 1048576);
    fflush(stdout);
    if (best->wall_s <= 0 || f.wall_s < best->wall_s)
        *best = f;
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
               best[CODECS].wall_s / best[i].wall_s, (double)best[i].out_bytes / (double)best[CODECS].out_bytes);
    printf("peak resident memory of this process (ours): %.1f MiB\n", (double)self.ru_maxrss / 1024);
    sh("rm -rf '%s'", dir);
    return 0;
}
