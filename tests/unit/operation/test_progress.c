/* How far a job is, in all and per disk; a cancel in each phase; disks and members larger than most. */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "consumer/pipeline/ova_write.h"
#include "rig.h"
#include "schemas/base/clock.h"

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

/* ---- progress ------------------------------------------------------------------------------------------------------- */
static int64_t last_of_disk[3], last_in_all;
static int details_seen;

static void watch(rig *r, const hf_progress *p) {
    (void)r;
    if (p->details.len == 0)
        return;
    json_t *d = json_loadb(p->details.p, p->details.len, 0, NULL);
    int64_t disk = json_integer_value(json_object_get(d, "disk")),
            done = json_integer_value(json_object_get(d, "disk_bytes_done")),
            total = json_integer_value(json_object_get(d, "disk_bytes_total"));
    assert_true(disk >= 1 && disk <= 2 && json_integer_value(json_object_get(d, "disks")) == 2);
    json_decref(d);
    assert_true(done >= last_of_disk[disk] && done <= total && total > 0);
    assert_true(p->bytes_done >= last_in_all && p->bytes_done <= p->bytes_total && p->bytes_total >= total);
    assert_int_equal(p->files_total, 2);
    assert_int_equal(p->files_done, disk - 1);
    assert_true(p->current.len > 0 && p->bytes_per_second >= 0);
    last_of_disk[disk] = done;
    last_in_all = p->bytes_done;
    details_seen++;
}

static void progress_is_told_per_disk_and_in_all(void **state) {
    rig *r = *state;
    hf_disk disks[2];
    rig_image(r, "a.raw", 24 << 20, 1);
    rig_image(r, "b.raw", 30 << 20, 2);
    disks[0] = (hf_disk){.path = hf_str_of(rig_path(r, "in/a.raw"))};
    disks[1] = (hf_disk){.path = hf_str_of(rig_path(r, "in/b.raw"))};
    hf_spec spec = rig_spec(r, "export", NULL, "ova");
    spec.disks = (hf_list){disks, 2};
    atomic_store(&r->limit, 20 << 20);
    r->on_report = watch;
    assert_int_equal(rig_run(r, "progress", 1, &spec), HF_OK);
    assert_true(details_seen >= 6 && last_of_disk[1] > 10 << 20 && last_of_disk[2] > 10 << 20);
}

/* ---- cancel ---------------------------------------------------------------------------------------------------------- */
static rig *cancelled;
static int64_t cancelled_ns;
static void on_alarm(int number) {
    (void)number;
    cancelled_ns = hf_mono_ns();
    atomic_store(&cancelled->cancel, true);
}

static const char *cancel_in;
static void cancel_in_phase(rig *r, const hf_progress *p) {
    if (cancel_in && hf_str_eqz(p->phase, cancel_in) && (strcmp(cancel_in, "export") != 0 || p->bytes_done > 0)) {
        static const struct itimerval soon = {.it_value.tv_usec = 20000};
        bool at_once = strcmp(cancel_in, "finalize") == 0; /* it may be over soon */
        cancelled = r;
        cancel_in = NULL;
        if (at_once)
            on_alarm(0);
        else
            assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    }
}

static void a_cancel_in_any_phase_is_quick_and_leaves_nothing(void **state) {
    rig *r = *state;
    static const char *const phases[] = {"prepare", "export", "finalize"};
#ifdef HF_SANITIZED
    const int64_t most_ns = 1000000000; /* slower, and not alone on its machine */
#else
    const int64_t most_ns = 200000000;
#endif
    struct sigaction alarm_action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &alarm_action, NULL);
    assert_int_equal(rig_sh(r, "truncate -s 6G in/hole.raw"), 0); /* takes seconds to hash */
    rig_image(r, "base.raw", 64 << 20, 1);
    for (size_t i = 0; i < HF_ARRAY_LEN(phases); i++) {
        hf_spec spec = rig_spec(r, "export", i == 0 ? "hole.raw" : "base.raw", "ova");
        hf_disk disk = {.path = spec.vm_path,
                        .checksum = HF_STR("sha256:0000000000000000000000000000000000000000000000000000000000000000")};
        if (i == 0)
            spec.disks = (hf_list){&disk, 1};
        atomic_store(&r->cancel, false);
        atomic_store(&r->limit, i == 1 ? 10 << 20 : 0);
        cancelled_ns = 0;
        cancel_in = phases[i];
        r->on_report = cancel_in_phase;
        hf_code rc = rig_run(r, "cancel", 1, &spec);
        int64_t ended = hf_mono_ns();
        static const struct itimerval never;
        setitimer(ITIMER_REAL, &never, NULL);
        assert_int_equal(rc, HF_E_CANCELLED);
        if (ended - cancelled_ns > most_ns)
            fail_msg("%s: %lld ms", phases[i], (long long)(ended - cancelled_ns) / 1000000);
        assert_true(rig_out_empty(r));
    }
}

/* ---- large ones --------------------------------------------------------------------------------------------------------- */
static void a_disk_of_three_tebibytes_is_exported_and_reads_back(void **state) {
    rig *r = *state;
    static const char *const formats[] = {"ova", "vmdk", "qcow2"};
    if (!rig_have("qemu-io"))
        skip();
    assert_int_equal(
        rig_sh(
            r,
            "truncate -s 3T in/big.raw && for at in 4096 1099511627776 3298534879232; do printf 'foundone' | dd of=in/big.raw bs=4096 seek=$((at / 4096)) conv=notrunc status=none; done"),
        0);
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        const char *qemu;
        hf_spec spec = rig_spec(r, "export", "big.raw", formats[f]);
        spec.name = HF_STR("disk");
        assert_int_equal(rig_run(r, "big", 1, &spec), HF_OK);
        rig_check_artifacts(r);
        const char *disk = rig_unpack(r, formats[f], &qemu);
        assert_int_equal(
            rig_sh(
                r,
                "for at in 4096 1099511627776 3298534879232; do qemu-io -r -f %s -c \"read -v $at 8\" %s | grep -q 'foundone' || exit 1; done && test $(du -k %s | cut -f1) -lt 2000",
                qemu, disk, disk),
            0);
        assert_int_equal(rig_sh(r, "rm -rf x out/*"), 0);
    }
}

/* As if 9 GiB had been written: the member's bytes are a hole. */
static void members_past_eight_gibibytes_are_read_by_others(void **state) {
    rig *r = *state;
    const int64_t sizes[] = {(int64_t)9 << 30, 512, ((int64_t)8 << 30) + 512};
    hf_machine machine = {.cpus = 1, .memory_mb = 64};
    hf_ovf_disk disks[] = {
        {.file_name = "a.vmdk", .file_bytes = INT64_MAX, .capacity_bytes = 1 << 20, .populated_bytes = INT64_MAX},
        {.file_name = "b.vmdk", .file_bytes = INT64_MAX, .capacity_bytes = 1 << 20, .populated_bytes = INT64_MAX},
        {.file_name = "c.vmdk", .file_bytes = INT64_MAX, .capacity_bytes = 1 << 20, .populated_bytes = INT64_MAX}};
    hf_ovf ovf = {.name = "large", .machine = &machine, .disks = disks, .disk_count = 3};
    hf_ova *ova = NULL;
    hf_flow flow;
    hf_err err = {0};
    int64_t bytes = 0;
    hf_auto_fd int fd = open(rig_path(r, "large.ova"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    hf_flow_init(&flow);
    assert_int_equal(hf_ova_new(fd, "large.ovf", "large.mf", &ovf, HF_DIGEST_SHA256, &flow, &ova, &err), HF_OK);
    for (int i = 0; i < 3; i++) {
        hf_out *out = NULL;
        assert_int_equal(hf_ova_disk_begin(ova, &out, &err), HF_OK);
        assert_int_equal(out->base % 512, 0);
        out->len = sizes[i];
        assert_int_equal(hf_ova_disk_end(ova, &err), HF_OK);
        disks[i].file_bytes = sizes[i];
    }
    assert_int_equal(hf_ova_finish(ova, &ovf, &bytes, &err), HF_OK);
    assert_true(bytes > (int64_t)17 << 30);
    hf_ova_free(ova);
    hf_flow_done(&flow);
    assert_int_equal(
        rig_sh(
            r,
            "test \"$(tar -tvf large.ova | awk '{print $3, $6}' | tail -3 | tr '\\n' ' ')\" = '9663676416 a.vmdk 512 b.vmdk 8589935104 c.vmdk '"),
        0);
    assert_int_equal(
        rig_sh(
            r,
            "python3 -c \"import tarfile; t = tarfile.open('large.ova'); print([m.size for m in t])\" | grep -q '9663676416, 512, 8589935104'"),
        0);
    assert_int_equal(rig_sh(r, "tar -xOf large.ova large.ovf | grep -q 'size=\"9663676416\"'"), 0);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
int main(void) {
    const struct CMUnitTest tests[] = {EACH(progress_is_told_per_disk_and_in_all),
                                       EACH(a_cancel_in_any_phase_is_quick_and_leaves_nothing),
                                       EACH(a_disk_of_three_tebibytes_is_exported_and_reads_back),
                                       EACH(members_past_eight_gibibytes_are_read_by_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
