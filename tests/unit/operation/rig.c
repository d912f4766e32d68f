#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "schemas/base/buf.h"

/* Any thread of the operation reports; a test's own hook may make it report again. */
static pthread_mutex_t reporting = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void on_report(void *ctx, const hf_progress *p) {
    rig *r = ctx;
    char phase[64];
    pthread_mutex_lock(&reporting);
    r->reports++;
    r->logs += p->level.len > 0;
    snprintf(phase, sizeof phase, "%.*s ", HF_STR_ARG(p->phase));
    size_t had = strlen(r->phases);
    if (!strstr(r->phases, phase))
        snprintf(r->phases + had, sizeof r->phases - had, "%s", phase);
    if (r->on_report)
        r->on_report(r, p);
    pthread_mutex_unlock(&reporting);
}

const char *rig_path(rig *r, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *path = hf_arena_printf(&r->arena, "%s/%s", r->dir, text);
    assert_non_null(path);
    return path;
}

int rig_sh(rig *r, const char *format, ...) {
    char command[8192];
    int n = snprintf(command, sizeof command, "cd %s && { ", r->dir);
    va_list args;
    va_start(args, format);
    n += vsnprintf(command + n, sizeof command - (size_t)n, format, args);
    va_end(args);
    snprintf(command + n, sizeof command - (size_t)n, "\n}");
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool rig_have(const char *program) {
    char command[256];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

static void open_in(rig *r, const char *parent) {
    hf_err err;
    char set[128];
    memset(r, 0, sizeof *r);
    snprintf(r->dir, sizeof r->dir, "%s/hf-operation-XXXXXX", parent);
    assert_non_null(mkdtemp(r->dir));
    hf_arena_init(&r->arena, 64 << 20);
    r->config = hf_config_new();
    assert_non_null(r->config);
    snprintf(set, sizeof set, "worker.roots=[%s]", r->dir);
    assert_int_equal(hf_config_set(r->config, set, &err), HF_OK);
    assert_int_equal(hf_config_set(r->config, "worker.sleep_operation=true", &err), HF_OK);
    assert_int_equal(hf_roots_open(r->config, false, &r->roots, &err), HF_OK);
    r->threads = 2;
    assert_int_equal(rig_sh(r, "mkdir in out"), 0);
}

void rig_open(rig *r) { open_in(r, "/tmp"); }

void rig_open_fast(rig *r) {
    struct statvfs fs;
    bool room =
        statvfs("/dev/shm", &fs) == 0 && fs.f_bavail * fs.f_frsize > (1ULL << 30) && access("/dev/shm", W_OK) == 0;
    open_in(r, room ? "/dev/shm" : "/tmp");
}

void rig_close(rig *r) {
    hf_roots_close(&r->roots);
    hf_config_free(r->config);
    hf_arena_done(&r->arena);
    assert_int_equal(rig_sh(r, "rm -rf %s", r->dir), 0);
}

hf_spec rig_spec(rig *r, const char *operation, const char *image, const char *format) {
    hf_spec spec;
    hf_type_init(&HF_TYPE_SPEC, &spec);
    spec.operation = hf_str_of(operation);
    if (image)
        spec.vm_path = hf_str_of(rig_path(r, "in/%s", image));
    spec.output_dir = hf_str_of(rig_path(r, "out"));
    spec.format = hf_str_of(format);
    return spec;
}

hf_code rig_run(rig *r, const char *job_id, int32_t attempt, const hf_spec *spec) {
    hf_run run = {.job_id = hf_str_of(job_id),
                  .attempt = attempt,
                  .spec = spec,
                  .config = r->config,
                  .roots = &r->roots,
                  .threads = r->threads,
                  .arena = &r->arena,
                  .cancel = &r->cancel,
                  .bandwidth_limit = &r->limit,
                  .report = on_report,
                  .report_ctx = r};
    r->phases[0] = 0;
    r->reports = 0;
    r->err = (hf_err){0};
    hf_code rc = hf_operation_run(&run, &r->result, &r->phase, &r->err);
    if (rc != HF_OK)
        assert_int_equal(rc, r->err.code);
    return rc;
}

static uint64_t next(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void rig_image(rig *r, const char *name, int64_t size, uint64_t seed) {
    enum { PIECE = 96 * 1024 + 512 }; /* not a multiple of a grain */
    static uint8_t piece[PIECE];
    hf_auto_fd int fd = open(rig_path(r, "in/%s", name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    for (int64_t at = 0; at < size; at += PIECE) {
        uint64_t kind = next(&seed) % 4;
        size_t len = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (kind == 0)
            continue; /* a hole */
        for (size_t i = 0; i < PIECE; i += 8) {
            uint64_t word = kind == 1 ? 0 : kind == 2 ? 0x6574206120736920 + (next(&seed) & 0xff) : next(&seed);
            memcpy(piece + i, &word, PIECE - i < 8 ? PIECE - i : 8);
        }
        assert_int_equal(pwrite(fd, piece, len, at), len);
    }
    assert_int_equal(ftruncate(fd, size), 0);
}

bool rig_out_empty(rig *r) {
    DIR *dir = opendir(rig_path(r, "out"));
    assert_non_null(dir);
    bool empty = true;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            print_message("left behind: %s\n", e->d_name);
            empty = false;
        }
    closedir(dir);
    return empty;
}

static const hf_artifact *artifact(rig *r, const char *kind, uint32_t n) {
    for (uint32_t i = 0; i < r->result.artifacts.count; i++) {
        const hf_artifact *a = HF_LIST_AT(r->result.artifacts, hf_artifact, i);
        if (hf_str_eqz(a->kind, kind) && n-- == 0)
            return a;
    }
    return NULL;
}

/* Each artifact is there with the size and the SHA-256 that the result tells. */
void rig_check_artifacts(rig *r) {
    struct stat st;
    assert_true(r->result.artifacts.count > 0);
    for (uint32_t i = 0; i < r->result.artifacts.count; i++) {
        const hf_artifact *a = HF_LIST_AT(r->result.artifacts, hf_artifact, i);
        assert_int_equal(stat(a->path.p, &st), 0);
        assert_int_equal(st.st_size, a->size_bytes);
        assert_int_equal(rig_sh(r, "echo '%.*s  %s' | sha256sum -c --quiet -", HF_STR_ARG(a->sha256), a->path.p), 0);
    }
}

/* Leaves the exported disk's path, and its format, in the arena. */
const char *rig_unpack(rig *r, const char *format, const char **ret_qemu) {
    static const char *const own[] = {"qcow2", "raw", "vdi", "vhdx"};
    *ret_qemu = strcmp(format, "vhd") == 0 ? "vpc" : "vmdk";
    for (size_t i = 0; i < HF_ARRAY_LEN(own); i++)
        if (strcmp(format, own[i]) == 0)
            *ret_qemu = own[i];
    if (strcmp(format, "ova") == 0) {
        assert_int_equal(
            rig_sh(
                r,
                "mkdir x && tar -C x -xf out/disk.ova && cd x && "
                "test \"$(tar -tf ../out/disk.ova | tr '\\n' ' ')\" = 'disk.ovf disk.mf disk-disk1.vmdk ' && "
                "sed 's/^SHA256(\\(.*\\))= \\(.*\\)$/\\2  \\1/' disk.mf | sha256sum -c --quiet - && test $(wc -l <disk.mf) = 2"),
            0);
        return rig_path(r, "x/disk-disk1.vmdk");
    }
    if (strcmp(format, "ovf") == 0)
        assert_int_equal(
            rig_sh(
                r,
                "cd out/disk && sed 's/^SHA256(\\(.*\\))= \\(.*\\)$/\\2  \\1/' disk.mf | sha256sum -c --quiet - && test $(wc -l <disk.mf) = 2"),
            0);
    assert_non_null(artifact(r, "disk", 0));
    return artifact(r, "disk", 0)->path.p;
}
