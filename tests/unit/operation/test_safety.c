/* What must not happen: files read or written outside the roots, images that choose which host files are read, output that is
 * not whole under its name, somebody's file replaced, anything left behind by a failure or a cancel. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "rig.h"

static int open_rig(void **state) {
    rig *r = calloc(1, sizeof *r);
    rig_open(r);
    *state = r;
    return 0;
}
static int close_rig(void **state) {
    rig_close(*state);
    free(*state);
    return 0;
}

static void expect(rig *r, const hf_spec *spec, hf_code code, const char *words) {
    hf_code rc = rig_run(r, "safe-1", 1, spec);
    if (rc != code)
        fail_msg("%s instead of %s: %s", hf_code_name(rc), hf_code_name(code), r->err.detail);
    if (!strstr(r->err.detail, words))
        fail_msg("\"%s\" does not say \"%s\"", r->err.detail, words);
    assert_true(rig_out_empty(r));
}

static void images_that_name_other_files_are_refused(void **state) {
    rig *r = *state;
    static const struct {
        const char *make, *image, *words;
    } cases[] = {
        {"qemu-img create -q -f qcow2 -b /etc/passwd -F raw in/a.qcow2 1M", "a.qcow2", "backing file"},
        {"qemu-img create -q -f qcow2 -o data_file=in/a.data,data_file_raw=on in/b.qcow2 1M", "b.qcow2", "external"},
        {"printf '# Disk DescriptorFile\\nversion=1\\nCID=1\\nparentCID=ffffffff\\ncreateType=\"monolithicFlat\"\\nRW 4 FLAT \"/etc/passwd\" 0\\n' >in/c.vmdk",
         "c.vmdk", "/etc/passwd"},
        {"printf '# Disk DescriptorFile\\nparentCID=ffffffff\\nRW 4 FLAT \"../../etc/passwd\" 0\\n' >in/d.vmdk",
         "d.vmdk", "passwd"},
        {"printf '# Disk DescriptorFile\\nparentCID=12345678\\nRW 4 FLAT \"x-flat.vmdk\" 0\\n' >in/e.vmdk", "e.vmdk",
         "child"},
        {"printf '# Disk DescriptorFile\\nRW 4 FLAT \"a\" 0\\nRW 4 FLAT \"b\" 0\\n' >in/f.vmdk", "f.vmdk", "2 extents"},
        {"printf '# Disk DescriptorFile\\nRW 4 SPARSE \"a\"\\n' >in/g.vmdk", "g.vmdk", "SPARSE"},
        {"qemu-img create -q -f vmdk -o subformat=monolithicSparse in/h.vmdk 1M && printf 'parentFileNameHint=\"/etc/passwd\"\\n' | dd of=in/h.vmdk bs=1 seek=512 conv=notrunc status=none",
         "h.vmdk", "child"},
        {"qemu-img create -q -f vmdk -o subformat=monolithicSparse in/i.vmdk 1M && head -c 8 /dev/zero | dd of=in/i.vmdk bs=1 seek=12 conv=notrunc status=none",
         "i.vmdk", "no sectors"},
        {"qemu-img create -q -f vpc in/j.vhd 1M && printf '\\0\\0\\0\\4' | dd of=in/j.vhd bs=1 seek=60 conv=notrunc status=none",
         "j.vhd", "difference"},
        {"qemu-img create -q -f vdi in/k.vdi 1M && printf '\\4' | dd of=in/k.vdi bs=1 seek=76 conv=notrunc status=none",
         "k.vdi", "difference"},
        {"printf 'QFI\\373\\0\\0\\0\\3' >in/l.qcow2", "l.qcow2", "version 3"},
        {"printf 'hello' >in/m.qcow2", "m.qcow2", "no header of a known format"},
    };
    if (!rig_have("qemu-img"))
        skip();
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        assert_int_equal(rig_sh(r, "%s", cases[i].make), 0);
        hf_spec spec = rig_spec(r, "export", cases[i].image, "raw");
        expect(r, &spec, HF_E_SOURCE_INVALID, cases[i].words);
    }
    hf_spec spec = rig_spec(r, "export", "a.qcow2", "raw");
    hf_disk disk = {.path = spec.vm_path, .format = HF_STR("vmdk")};
    assert_int_equal(rig_sh(r, "qemu-img create -q -f qcow2 in/a.qcow2 1M"), 0);
    spec.disks = (hf_list){&disk, 1};
    expect(r, &spec, HF_E_SOURCE_INVALID, "header says qcow2");
    disk.format = HF_STR("qed");
    expect(r, &spec, HF_E_UNSUPPORTED, "qed");
}

static void a_flat_extent_beside_its_descriptor_is_read(void **state) {
    rig *r = *state;
    rig_image(r, "w-flat.vmdk", 2 << 20, 3);
    assert_int_equal(
        rig_sh(
            r,
            "printf '# Disk DescriptorFile\\nversion=1\\nparentCID=ffffffff\\ncreateType=\"monolithicFlat\"\\n\\nRW 4096 FLAT \"w-flat.vmdk\" 0\\n' >in/w.vmdk"),
        0);
    hf_spec spec = rig_spec(r, "export", "w.vmdk", "raw");
    assert_int_equal(rig_run(r, "flat", 1, &spec), HF_OK);
    assert_int_equal(rig_sh(r, "cmp out/w.raw in/w-flat.vmdk && rm out/w.raw"), 0);
    assert_int_equal(rig_sh(r, "truncate -s 1M in/w-flat.vmdk"), 0);
    expect(r, &spec, HF_E_SOURCE_INVALID, "1048576 bytes of 2097152");
    assert_int_equal(rig_sh(r, "rm in/w-flat.vmdk && ln -s /etc/passwd in/w-flat.vmdk"), 0);
    expect(r, &spec, HF_E_OUTSIDE_ROOT, "worker.roots");
}

static void paths_do_not_leave_the_roots(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 1 << 20, 1);
    assert_int_equal(
        rig_sh(
            r,
            "ln -s /etc/passwd in/link.raw; ln -s ../../../../../../etc/passwd in/up.raw; ln -s /etc etc; ln -s base.raw in/fine.raw; mkfifo in/fifo.raw; ln -s /proc/self/fd/0 in/magic.raw"),
        0);
    static const char *const sources[] = {"/etc/passwd",
                                          "%s/../../etc/passwd",
                                          "%s/in/../../../etc/passwd",
                                          "%s/in/link.raw",
                                          "%s/in/up.raw",
                                          "%s/etc/passwd",
                                          "file://%s/in/%%2e%%2e/%%2e%%2e/%%2e%%2e/etc/passwd",
                                          "%s-other/x.raw",
                                          "%s/in/magic.raw"};
    for (size_t i = 0; i < HF_ARRAY_LEN(sources); i++) {
        char path[512];
        const char *at = strstr(sources[i], "%s");
        if (at)
            snprintf(path, sizeof path, "%.*s%s%s", (int)(at - sources[i]), sources[i], r->dir, at + 2);
        else
            snprintf(path, sizeof path, "%s", sources[i]);
        for (char *p; (p = strstr(path, "%%2e")) != NULL;)
            memmove(p, p + 1, strlen(p));
        hf_spec spec = rig_spec(r, "export", NULL, "raw");
        spec.vm_path = hf_str_of(path);
        expect(r, &spec, HF_E_OUTSIDE_ROOT, "worker.roots");
    }
    static const char *const outputs[] = {"/etc/hf-test", "/tmp/hf-test-elsewhere", "%s/etc/x", "%s/../x"};
    for (size_t i = 0; i < HF_ARRAY_LEN(outputs); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s%s", outputs[i][0] == '%' ? r->dir : "",
                 outputs[i] + (outputs[i][0] == '%' ? 2 : 0));
        hf_spec spec = rig_spec(r, "export", "base.raw", "raw");
        spec.output_dir = hf_str_of(path);
        expect(r, &spec, HF_E_OUTSIDE_ROOT, "worker.roots");
    }
    hf_spec spec = rig_spec(r, "export", "fifo.raw", "raw");
    expect(r, &spec, HF_E_SOURCE_INVALID, "neither a regular file");
    spec.vm_path = HF_STR("relative.raw");
    expect(r, &spec, HF_E_INVALID, "absolute");
    spec = rig_spec(r, "export", "fine.raw",
                    "raw"); /* a link inside the root is fine, a URL too, and directories are made */
    spec.vm_path = hf_str_of(hf_arena_printf(&r->arena, "file://%s/in/fine%%2eraw", r->dir));
    spec.output_dir = hf_str_of(hf_arena_printf(&r->arena, "file://%s/out/a%%20b/b//c/", r->dir));
    assert_int_equal(rig_run(r, "fine", 1, &spec), HF_OK);
    assert_int_equal(rig_sh(r, "ls 'out/a b/b/c/fine.raw' >/dev/null && rm -r out/*"), 0);
    assert_string_equal(HF_LIST_AT(r->result.artifacts, hf_artifact, 0)->path.p, rig_path(r, "out/a b/b//c/fine.raw"));
    hf_roots none = {0}, kept = r->roots;
    r->roots = none;
    expect(r, &spec, HF_E_OUTSIDE_ROOT, "none");
    r->roots.any = true;
    spec = rig_spec(r, "export", "base.raw", "raw");
    assert_int_equal(rig_run(r, "any", 1, &spec), HF_OK);
    r->roots = kept;
}

static void names_lead_nowhere(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 70000, 1);
    static const struct {
        const char *name, *file;
    } cases[] = {{"../../x", "x.raw"},      {"/etc/passwd", "etc-passwd.raw"}, {"..", "vm.raw"},
                 {"a\tb/\\c", "a-b-c.raw"}, {".hidden", "hidden.raw"},         {"äöü", "vm.raw"},
                 {"", "base.raw"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", "raw");
        spec.name = hf_str_of(cases[i].name);
        assert_int_equal(rig_run(r, "names", 1, &spec), HF_OK);
        assert_int_equal(rig_sh(r, "test \"$(ls -A out)\" = '%s' && rm out/*", cases[i].file), 0);
    }
}

static void promises_about_the_image_are_checked(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 1 << 20, 1);
    hf_spec spec = rig_spec(r, "export", "base.raw", "raw");
    hf_disk disk = {.path = spec.vm_path, .size_bytes = 5};
    spec.disks = (hf_list){&disk, 1};
    expect(r, &spec, HF_E_SOURCE_INVALID, "1048576 bytes, and the job says 5");
    disk = (hf_disk){.path = spec.vm_path,
                     .checksum = HF_STR("sha256:0000000000000000000000000000000000000000000000000000000000000000")};
    expect(r, &spec, HF_E_SOURCE_INVALID, "SHA-256");
    disk.checksum = HF_STR("md5:11");
    expect(r, &spec, HF_E_UNSUPPORTED, "md5:11");
    assert_int_equal(rig_sh(r, "sha256sum in/base.raw | cut -d' ' -f1 | tr -d '\\n' >sum"), 0);
    char sum[80] = "sha256:";
    hf_auto_fd int fd = open(rig_path(r, "sum"), O_RDONLY);
    assert_int_equal(read(fd, sum + 7, 64), 64);
    disk.checksum = hf_str_of(sum);
    assert_int_equal(rig_run(r, "sum", 1, &spec), HF_OK);
}

static void only_an_older_attempt_of_the_same_job_is_replaced(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 1 << 20, 1);
    static const char *const formats[] = {"ova", "ovf", "raw"};
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        assert_int_equal(rig_run(r, "job-a", 2, &spec), HF_OK);
        assert_int_equal(rig_sh(r, "cp -r out keep"), 0);
        assert_int_equal(rig_run(r, "job-b", 9, &spec), HF_E_EXISTS); /* somebody else's */
        assert_non_null(strstr(r->err.detail, "another"));
        assert_int_equal(rig_run(r, "job-a", 1, &spec), HF_E_LEASE_LOST); /* we are the late one */
        assert_int_equal(rig_run(r, "job", 3, &spec), HF_E_EXISTS);       /* an id that only begins alike */
        assert_int_equal(rig_sh(r, "diff -r out keep"), 0);
        assert_int_equal(rig_run(r, "job-a", 3, &spec), HF_OK);
        assert_int_equal(rig_sh(r, "diff -r out keep && rm -r keep out && mkdir out"), 0);
        /* A file of a person: never. */
        assert_int_equal(rig_sh(r, "echo mine >out/base.ova; echo mine >out/base.raw; mkdir out/base"), 0);
        assert_int_equal(rig_run(r, "job-a", 4, &spec), HF_E_EXISTS);
        assert_int_equal(
            rig_sh(
                r,
                "test \"$(cat out/base.raw out/base.ova)\" = \"mine\nmine\" && test \"$(ls -A out | tr '\\n' ' ')\" = 'base base.ova base.raw ' && rm -r out && mkdir out"),
            0);
    }
}

/* The same where a file system has no extended attributes for the marks. */
static void replacing_works_without_extended_attributes(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 1 << 20, 1);
    const char *out = rig_path(r, "out");
    if (mount("ramfs", out, "ramfs", 0, NULL) != 0) {
        print_message("    skipped: mounting a ramfs needs root (%s)\n", strerror(errno));
        skip();
    }
    hf_spec file = rig_spec(r, "export", "base.raw", "ova"), directory = rig_spec(r, "export", "base.raw", "ovf");
    const hf_code got[] = {rig_run(r, "job-a", 2, &file),      rig_run(r, "job-b", 9, &file),
                           rig_run(r, "job-a", 1, &file),      rig_run(r, "job-a", 3, &file),
                           rig_run(r, "job-a", 3, &directory), rig_run(r, "job-b", 9, &directory),
                           rig_run(r, "job-a", 4, &directory)};
    int listed = rig_sh(r, "test \"$(ls -A out | tr '\\n' ' ')\" = '.hf-job-a.published base base.ova '");
    assert_int_equal(umount2(out, MNT_DETACH), 0);
    static const hf_code want[] = {HF_OK, HF_E_EXISTS, HF_E_LEASE_LOST, HF_OK, HF_OK, HF_E_EXISTS, HF_OK};
    for (size_t i = 0; i < HF_ARRAY_LEN(want); i++)
        assert_int_equal(got[i], want[i]);
    assert_int_equal(listed, 0);
}

#ifdef HF_FAULT_POINTS
/* Runs the job in a child that kills itself at the named point. */
static void run_killed_at(rig *r, const char *point, const hf_spec *spec) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("HF_KILL_AT", point, 1);
        rig_run(r, "job-k", 1, spec);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
#endif

static void a_killed_attempt_is_made_good_by_the_next(void **state) {
    rig *r = *state;
#ifndef HF_FAULT_POINTS
    (void)r;
    print_message("    skipped: this build has no points to be killed at\n");
    skip();
#else
    rig_image(r, "base.raw", 1 << 20, 1);
    static const char *const formats[] = {"ova", "ovf", "raw"};
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        run_killed_at(r, "publish-before", &spec);
        assert_int_equal(rig_sh(r, "test \"$(ls -A out)\" = .hf-job-k-1.partial"), 0); /* nothing under its name */
        run_killed_at(r, "publish-after", &spec);
        assert_int_equal(rig_run(r, "job-k", 2, &spec), HF_OK);
        assert_int_equal(rig_sh(r, "test $(ls -A out | wc -l) = 1 && rm -r out && mkdir out"), 0);
    }
#endif
}

static void what_dead_attempts_left_is_removed(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 1 << 20, 1);
    assert_int_equal(
        rig_sh(
            r,
            "mkdir -p out/.hf-job-1-1.partial/x/y out/.hf-job-1-2.partial out/.hf-job-1.partial out/.hf-job-11-1.partial && echo old >out/.hf-job-1-1.partial/x/y/z"),
        0);
    hf_spec spec = rig_spec(r, "export", "base.raw", "raw");
    assert_int_equal(rig_run(r, "job-1", 3, &spec), HF_OK);
    assert_int_equal(
        rig_sh(r, "test \"$(ls -A out | tr '\\n' ' ')\" = '.hf-job-1.partial .hf-job-11-1.partial base.raw '"), 0);
    assert_int_equal(rig_sh(r, "mkdir out/.hf-job-1-5.partial"), 0);
    assert_int_equal(rig_run(r, "job-1", 4, &spec), HF_E_CONFLICT);
    assert_non_null(strstr(r->err.detail, "attempt 5"));
}

static void cancel_midway(rig *r, const hf_progress *p) {
    if (hf_str_eqz(p->phase, "export") && p->bytes_done > 0)
        atomic_store(&r->cancel, true);
}

static void a_cancel_leaves_nothing_and_is_quick(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 64 << 20, 1);
    static const char *const formats[] = {"ova", "ovf", "vmdk", "qcow2", "raw"};
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        atomic_store(&r->limit, 20 << 20); /* so that there is a midway */
        atomic_store(&r->cancel, false);
        r->on_report = cancel_midway;
        expect(r, &spec, HF_E_CANCELLED, "cancelled");
    }
    assert_true(hf_str_eqz(r->phase, "export"));
}

static void change_source(rig *r, const hf_progress *p) {
    if (hf_str_eqz(p->phase, "export") && p->bytes_done > 0 && r->on_report) {
        r->on_report = NULL;
        atomic_store(&r->limit, 0);
        assert_int_equal(rig_sh(r, r->logs ? "truncate -s 1M in/base.raw"
                                           : "printf x | dd of=in/base.raw bs=1 seek=5 conv=notrunc status=none"),
                         0);
    }
}

static void a_source_that_changes_is_told(void **state) {
    rig *r = *state;
    for (r->logs = 0; r->logs < 2; r->logs++) { /* 0: written to; 1: cut short */
        rig_image(r, "base.raw", 64 << 20, 1);
        hf_spec spec = rig_spec(r, "export", "base.raw", "ova");
        atomic_store(&r->limit, 30 << 20);
        r->on_report = change_source;
        expect(r, &spec, HF_E_SOURCE_CHANGED, "base.raw");
    }
}

static void a_full_disk_leaves_nothing(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 48 << 20, 1);
    const char *small = rig_path(r, "out");
    if (mount("tmpfs", small, "tmpfs", 0, "size=8m") != 0) {
        print_message("    skipped: mounting a small tmpfs needs root (%s)\n", strerror(errno));
        skip();
    }
    static const char *const formats[] = {"ova", "ovf", "vmdk", "qcow2", "raw"};
    hf_code first = HF_OK, worst = HF_OK;
    bool clean = true;
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        first = rig_run(r, "full", 1, &spec);
        bool said = strstr(r->err.detail, "8 MiB free") != NULL;
        spec.parameters = HF_STR("{\"space_check\": false}"); /* then the writing itself runs into it */
        hf_code second = rig_run(r, "full", 1, &spec);
        clean &= rig_out_empty(r) && said;
        if (first != HF_E_NO_SPACE || second != HF_E_NO_SPACE)
            worst = first != HF_E_NO_SPACE ? first : second;
    }
    assert_int_equal(umount2(small, MNT_DETACH), 0);
    assert_int_equal(worst, HF_OK);
    assert_int_equal(first, HF_E_NO_SPACE);
    assert_true(clean);
}

static void every_allocation_may_fail(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 2 << 20, 1);
    static const char *const formats[] = {"ova", "qcow2", "ovf"};
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_code rc = HF_E_NO_MEMORY;
        uint64_t n = 1;
        for (; rc != HF_OK && n < 500; n++) {
            hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
            hf_alloc_fail_after(n);
            rc = rig_run(r, "memory", 1, &spec);
            hf_alloc_fail_after(0);
            if (rc != HF_OK) {
                assert_int_equal(rc, HF_E_NO_MEMORY);
                assert_true(rig_out_empty(r));
            }
        }
        assert_int_equal(rc, HF_OK);
        assert_true(n > 8);
        assert_int_equal(rig_sh(r, "rm -r out && mkdir out"), 0);
    }
}

static void bad_wishes(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 1 << 20, 1);
    hf_spec spec = rig_spec(r, "export", "base.raw", "tar");
    expect(r, &spec, HF_E_UNSUPPORTED, "ova, ovf, vmdk, vmdk-sparse, qcow2, raw, vdi, vhd, vhdx");
    spec = rig_spec(r, "export", "base.raw", "ova");
    spec.options.codec = HF_STR("best");
    expect(r, &spec, HF_E_INVALID, "fast, balanced, small");
    spec = rig_spec(r, "export", "base.raw", "ova");
    spec.options.manifest = HF_STR("md5");
    expect(r, &spec, HF_E_INVALID, "sha256");
    spec = rig_spec(r, "export", "base.raw", "ova");
    spec.parameters = HF_STR("{\"cpus\": 0}");
    expect(r, &spec, HF_E_INVALID, "parameters.cpus");
    spec = rig_spec(r, "export", "base.raw", "ova");
    spec.provider = HF_STR("vsphere");
    expect(r, &spec, HF_E_INVALID, "names no endpoint");
    spec = rig_spec(r, "export", "base.raw", "ova");
    spec.output_dir = HF_STR_NONE;
    expect(r, &spec, HF_E_INVALID, "output_dir");
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
int main(void) {
    const struct CMUnitTest tests[] = {EACH(images_that_name_other_files_are_refused),
                                       EACH(a_flat_extent_beside_its_descriptor_is_read),
                                       EACH(paths_do_not_leave_the_roots),
                                       EACH(names_lead_nowhere),
                                       EACH(promises_about_the_image_are_checked),
                                       EACH(only_an_older_attempt_of_the_same_job_is_replaced),
                                       EACH(replacing_works_without_extended_attributes),
                                       EACH(a_killed_attempt_is_made_good_by_the_next),
                                       EACH(what_dead_attempts_left_is_removed),
                                       EACH(a_cancel_leaves_nothing_and_is_quick),
                                       EACH(a_source_that_changes_is_told),
                                       EACH(a_full_disk_leaves_nothing),
                                       EACH(every_allocation_may_fail),
                                       EACH(bad_wishes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
