/* labels: guest slow */
/* fs_repair on a disk whose file systems were damaged in known ways; without its repair step they stay so. */
#include "tests/unit/operation/rig.h"

#ifdef HF_HAVE_GUESTFS
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/operation/guest/guest.h"

/* Five partitions: ext4 that lost a directory's inode, ext4 without superblock, XFS without superblock, FAT whose tables differ, NTFS
 * whose second boot sector is gone. Hostile besides: /etc leads out of the root. */
static const char make[] =
    "set -e; d=in/disk.raw; truncate -s 400M $d; "
    "printf 'label: gpt\\nstart=2048,size=65536\\nstart=67584,size=65536\\nstart=133120,size=614400\\nstart=747520,"
    "size=32768\\nstart=780288,size=16384\\n' | sfdisk -q $d; "
    "mkdir -p tree/dir; for i in 1 2 3; do mkdir tree/dir/d$i; echo $i >tree/dir/d$i/file; done; ln -s /../../.. tree/etc; "
    "truncate -s 32M a b; truncate -s 300M x; truncate -s 16M f; truncate -s 8M n; "
    "mke2fs -q -t ext4 -d tree a; debugfs -w -R 'clri /dir' a 2>/dev/null; "
    "mke2fs -q -t ext4 -d tree b; dd if=/dev/zero of=b bs=1024 count=2 conv=notrunc status=none; "
    "mkfs.xfs -q x; dd if=/dev/zero of=x bs=512 count=1 conv=notrunc status=none; "
    "mkfs.vfat f >/dev/null; printf '\\125\\125\\125' | dd of=f bs=1 seek=$((512*(4+33))) conv=notrunc status=none; "
    "mkntfs -q -F n >/dev/null 2>&1; dd if=/dev/zero of=n bs=512 seek=16383 count=1 conv=notrunc status=none; "
    "at=2048; for p in a b x f n; do dd if=$p of=$d bs=512 seek=$at conv=notrunc,sparse status=none; "
    "at=$((at + $(stat -c %s $p) / 512)); done; rm a b x f n; sha256sum $d >before";

static bool said(const json_t *report, const char *list, const char *member, const char *word) {
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(report, list), i, o)
        if (strcmp(json_string_value(json_object_get(o, member)) ?: "", word) == 0)
            return true;
    return false;
}

static json_t *run_it(rig *r, const char *job, const char *image, const char *format, const char *parameters) {
    hf_spec spec = rig_spec(r, "fs_repair", image, format ? format : "");
    if (!format)
        spec.output_dir = HF_STR_NONE;
    spec.parameters = hf_str_of(parameters);
    if (rig_run(r, job, 1, &spec) != HF_OK)
        fail_msg("%s", r->err.detail);
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, NULL);
    assert_non_null(report);
    return report;
}

static int64_t changed(const json_t *report) { return json_integer_value(json_object_get(report, "changed")); }

static const json_t *system_at(const json_t *report, size_t i) {
    return json_array_get(json_object_get(json_object_get(report, "guest"), "file_systems"), i);
}

static const char *state_at(const json_t *report, size_t i) {
    return json_string_value(json_object_get(system_at(report, i), "state"));
}

static void damaged_file_systems_are_repaired_into_a_new_image(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "%s", make), 0);

    json_t *report = run_it(&r, "job-0", "disk.raw", "qcow2", "{\"skip\": [\"repair\"]}"); /* the damage is real */
    assert_int_equal(changed(report), 0);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(state_at(report, i), "damaged");
    json_decref(report);
    assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);

    report = run_it(&r, "job-1", "disk.raw", "qcow2", "{}");
    char *text = json_dumps(report, JSON_INDENT(1));
    fprintf(stderr, "%s\n", text);
    free(text);
    assert_int_equal(changed(report), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(state_at(report, i), "repaired");
        assert_true(json_is_true(json_object_get(system_at(report, i), "mounts")));
    }
    assert_int_equal(json_integer_value(json_object_get(system_at(report, 0), "lost_found_before")), 0);
    assert_int_equal(json_integer_value(json_object_get(system_at(report, 0), "lost_found_after")), 3);
    assert_true(said(report, "findings", "code", "superblock-lost"));
    assert_false(said(report, "findings", "severity", "error"));
    json_decref(report);
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    rig_check_artifacts(&r);
    assert_int_equal(
        rig_sh(&r, "qemu-img convert -O raw out/disk.qcow2 after.raw && "
                   "dd if=after.raw of=a bs=1M skip=1 count=32 status=none && e2fsck -fn a >/dev/null 2>&1 && "
                   "dd if=after.raw of=b bs=1M skip=33 count=32 status=none && e2fsck -fn b >/dev/null 2>&1 && "
                   "debugfs -R 'cat /dir/d2/file' b 2>/dev/null | grep -qx 2 && mv out/disk.qcow2 in/ && rm a b"),
        0);

    report = run_it(&r, "job-2", "disk.qcow2", NULL, "{\"in_place\": true}"); /* nothing is left to do */
    assert_int_equal(changed(report), 0);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(state_at(report, i), "clean");
    json_decref(report);
    rig_close(&r);
}

/* ---- a kill --------------------------------------------------------------------------------------------------------------------- */
static void die_in_the_middle(rig *r, const hf_progress *progress) {
    (void)r;
    if (hf_str_eqz(progress->phase, "check"))
        kill(getpid(), SIGKILL);
}

/* An appliance that was started on overlays below the rig's directory: a test has its own. */
static bool appliance_of(const rig *r) {
    bool found = false;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (struct dirent *e; !found && (e = readdir(dir)) != NULL;) {
        char path[300], line[8192];
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        int fd = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
        line[n > 0 ? n : 0] = 0;
        if (fd >= 0)
            close(fd);
        found = n > 0 && strstr(line, "qemu-system") && memmem(line, (size_t)n, r->dir, strlen(r->dir));
    }
    closedir(dir);
    return found;
}

static void a_kill_leaves_neither_appliance_nor_files(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(
        rig_sh(&r, "truncate -s 8M in/disk.raw && mke2fs -q -t ext4 in/disk.raw && sha256sum in/disk.raw >before"), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        hf_spec spec = rig_spec(&r, "fs_repair", "disk.raw", "qcow2");
        r.on_report = die_in_the_middle;
        rig_run(&r, "job-1", 1, &spec);
        _exit(0);
    }
    bool seen = false;
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        seen = seen || appliance_of(&r);
        usleep(100000);
    }
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && seen);
    for (int i = 0; i < 50 && appliance_of(&r); i++)
        usleep(100000);
    assert_false(appliance_of(&r));
    assert_true(rig_out_empty(&r));
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    rig_close(&r);
}

static void flags_that_are_none_are_refused(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "truncate -s 1M in/disk.raw"), 0);
    hf_spec spec = rig_spec(&r, "fs_repair", "disk.raw", "qcow2");
    spec.parameters = HF_STR("{\"btrfs_repair\": 1}");
    assert_int_equal(rig_run(&r, "job-1", 1, &spec), HF_E_INVALID);
    assert_non_null(strstr(r.err.detail, "btrfs_repair"));
    assert_true(rig_out_empty(&r));
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL)) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(flags_that_are_none_are_refused),
                                           cmocka_unit_test(a_kill_leaves_neither_appliance_nor_files),
                                           cmocka_unit_test(damaged_file_systems_are_repaired_into_a_new_image)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here");
    return 77;
}
