/* labels: slow */
/* What disks, file systems and other people do in the middle of an export: every failing write and fsync, reads and writes in pieces,
 * a file system that fills, a source that grows, shrinks or is rewritten. A clear error, nothing published, nothing left. */
#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>

#include "rig.h"
#include "schemas/base/fault.h"

static const char *const formats[] = {"ova", "ovf", "vmdk", "qcow2", "raw"};

static int open_rig(void **state) {
    rig *r = calloc(1, sizeof *r);
    rig_open_fast(r);
    *state = r;
    return 0;
}
static int close_rig(void **state) {
    rig_close(*state);
    free(*state);
    return 0;
}

static void setting(rig *r, const char *set) {
    hf_err err;
    assert_int_equal(hf_config_set(r->config, set, &err), HF_OK);
}

#ifdef HF_FAULT_POINTS
static void clear_out(rig *r) { assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0); }

/* Fails the Nth, N = 1, 2, … until the export passes; what an abandoned checkpoint's thread still removes is waited for. */
static void fail_each(rig *r, const char *format, void (*inject)(uint64_t nth, int err), int err, hf_code code,
                      unsigned least) {
    hf_spec spec = rig_spec(r, "export", "base.raw", format);
    unsigned n = 0;
    for (hf_code rc = code; rc != HF_OK;) {
        inject(++n, err);
        rc = rig_run(r, "faults", 1, &spec);
        inject(0, 0);
        assert_true(n < 1000);
        if (rc == HF_OK)
            break;
        if (rc != code || r->err.detail[0] == 0)
            fail_msg("%s, the %uth: %s: %s", format, n, hf_code_name(rc), r->err.detail);
        assert_true(rig_out_empty(r));
    }
    rig_check_artifacts(r);
    if (n < least)
        fail_msg("%s: only %u could fail", format, n - 1);
    clear_out(r);
}

static void every_write_may_fail(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 2500000, 1);
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        fail_each(r, formats[f], hf_fault_write_at, EIO, HF_E_IO, 4);
        fail_each(r, formats[f], hf_fault_write_at, ENOSPC, HF_E_NO_SPACE, 4);
        fail_each(r, formats[f], hf_fault_write_at, EDQUOT, HF_E_NO_SPACE, 4);
    }
}

static void every_fsync_may_fail(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 2500000, 1);
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++)
        fail_each(r, formats[f], hf_fault_sync_at, EIO, HF_E_IO, 3);
}

/* The same with checkpoints on the way: an error that a checkpoint's fdatasync met is not met again by the last fsync. */
static void a_checkpoint_that_cannot_be_made_durable_fails_the_job(void **state) {
    rig *r = *state;
    setting(r, "worker.checkpoint_bytes=1MiB");
    rig_image(r, "base.raw", 100 << 20, 2);
    for (size_t f = 0; f < 3; f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        for (unsigned nth = 1; nth <= 3; nth++) { /* fdatasync, the checkpoint, its directory */
            hf_fault_sync_at(nth, EIO);
            assert_int_equal(rig_run(r, "faults", 1, &spec), HF_E_IO);
            assert_non_null(strstr(r->err.detail, "checkpoint"));
            assert_true(rig_out_empty(r));
        }
    }
}

static void reads_and_writes_in_pieces_give_the_same(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 5000001, 3);
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        assert_int_equal(rig_run(r, "pieces", 1, &spec), HF_OK);
        assert_int_equal(rig_sh(r, "mv out whole && mkdir out"), 0);
        hf_fault_pieces(7777);
        hf_code rc = rig_run(r, "pieces", 1, &spec);
        hf_fault_pieces(0);
        assert_int_equal(rc, HF_OK);
        assert_int_equal(rig_sh(r, "diff -r out whole && rm -rf whole"), 0);
        clear_out(r);
    }
}
#endif

/* ---- sources ------------------------------------------------------------------------------------------------------ */
static const char *change;
static void change_midway(rig *r, const hf_progress *p) {
    if (!change || !hf_str_eqz(p->phase, "export") || p->bytes_done == 0)
        return;
    assert_int_equal(rig_sh(r, "%s", change), 0);
    change = NULL;
    atomic_store(&r->limit, 0);
}

static void a_source_that_changes_under_us_is_told(void **state) {
    rig *r = *state;
    static const struct {
        const char *what, *how;
    } changes[] = {{"grows", "truncate -s +1M $F"},
                   {"shrinks", "truncate -s -10M $F"},
                   {"is emptied", ": >$F"},
                   {"is written to", "printf x | dd of=$F bs=1 seek=5000 conv=notrunc status=none"},
                   {"is touched", "touch $F"}};
    bool qemu = rig_have("qemu-img");
    r->on_report = change_midway;
    for (size_t c = 0; c < HF_ARRAY_LEN(changes); c++)
        for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
            bool qcow2 = qemu && f % 2 == 1; /* some through qemu-nbd */
            char command[128];
            rig_image(r, "base.raw", 24 << 20, 4);
            if (qcow2)
                assert_int_equal(rig_sh(r, "qemu-img convert -O qcow2 in/base.raw in/base.qcow2"), 0);
            snprintf(command, sizeof command, "F=in/base.%s; %s", qcow2 ? "qcow2" : "raw", changes[c].how);
            change = command;
            atomic_store(&r->limit, 40 << 20);
            hf_spec spec = rig_spec(r, "export", qcow2 ? "base.qcow2" : "base.raw", formats[f]);
            hf_code rc = rig_run(r, "changes", 1, &spec);
            if (rc != HF_E_SOURCE_CHANGED || !strstr(r->err.detail, "base."))
                fail_msg("%s, %s: %s: %s", changes[c].what, formats[f], hf_code_name(rc), r->err.detail);
            assert_true(rig_out_empty(r));
        }
}

/* ---- space --------------------------------------------------------------------------------------------------------- */
static void a_job_stops_before_the_file_system_is_full(void **state) {
    rig *r = *state;
    rig_image(r, "base.raw", 64 << 20, 5);
    const char *small = rig_path(r, "out");
    if (mount("tmpfs", small, "tmpfs", 0, "size=48m") != 0) {
        print_message("    skipped: mounting a small tmpfs needs root (%s)\n", strerror(errno));
        skip();
    }
    setting(r, "worker.min_free_space=40MiB");
    hf_code codes[HF_ARRAY_LEN(formats)];
    bool said = true, clean = true;
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = rig_spec(r, "export", "base.raw", formats[f]);
        spec.parameters = HF_STR("{\"space_check\": false}");
        atomic_store(&r->limit, 40 << 20); /* more than a second: time to look */
        codes[f] = rig_run(r, "space", 1, &spec);
        said &= strstr(r->err.detail, "worker.min_free_space keeps 40 MiB free") != NULL;
        clean &= rig_out_empty(r);
    }
    assert_int_equal(umount2(small, MNT_DETACH), 0);
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++)
        assert_int_equal(codes[f], HF_E_NO_SPACE);
    assert_true(said && clean);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef HF_FAULT_POINTS
        EACH(every_write_may_fail),
        EACH(every_fsync_may_fail),
        EACH(a_checkpoint_that_cannot_be_made_durable_fails_the_job),
        EACH(reads_and_writes_in_pieces_give_the_same),
#endif
        EACH(a_source_that_changes_under_us_is_told),
        EACH(a_job_stops_before_the_file_system_is_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
