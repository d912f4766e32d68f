/* Exports of disks that come as streams, from a provider made up here: what it serves, and how its streams break, each test says. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

#include "consumer/pipeline/pipeline.h"
#include "consumer/provider/provider.h"
#include "schemas/base/clock.h"

enum { DISKS = 4, DISK_BYTES = 5 << 20 };

/* ---- the provider --------------------------------------------------------------------------------------------- */
typedef struct fault { /* of the n-th stream of a disk */
    int64_t after;     /* bytes, then: */
    hf_code code;      /* HF_OK: it ends as if that were all */
    bool hang;         /* or it says nothing more, until a cancel */
    bool damage;       /* or it goes on with a byte changed */
} fault;

static struct {
    int disk_count, streams_max;
    bool announce_sizes;
    int64_t wrong_size;     /* announced instead */
    fault faults[DISKS][8]; /* by disk and opening; after 0: none */
    hf_code open_fails;
    int opened[DISKS]; /* how often */
    atomic_int open_now, open_most;
    int gather; /* the first bytes come when so many were open at once */
    int released, ended_well, verified;
    hf_vm_received received[DISKS];
    hf_code verify;
    int bytes_per_read;
    char vmdk[DISKS][128];
} served;

typedef struct file_stream {
    hf_stream base;
    int fd;
    int64_t at;
    fault fault;
    hf_flow *flow;
} file_stream;

static hf_code hang(const file_stream *s, hf_err *reterr) {
    for (;;) {
        hf_code rc = hf_flow_check(s->flow, reterr);
        if (rc != HF_OK)
            return rc;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

static hf_code await_others(const file_stream *s, hf_err *reterr) {
    hf_code rc = HF_OK;
    for (int ms = 0; rc == HF_OK && atomic_load(&served.open_most) < served.gather; ms += 5) {
        assert_true(ms < 30000);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        rc = hf_flow_check(s->flow, reterr);
    }
    return rc;
}

static hf_code file_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    file_stream *s = (file_stream *)stream;
    bool faulty = s->fault.after > 0;
    if (served.bytes_per_read > 0 && cap > (size_t)served.bytes_per_read)
        cap = (size_t)served.bytes_per_read;
    if (faulty && s->at >= s->fault.after && !s->fault.damage) {
        *ret_len = 0;
        return s->fault.hang   ? hang(s, reterr)
               : s->fault.code ? hf_fail(reterr, s->fault.code, "as the test has it")
                               : HF_OK;
    }
    if (faulty && !s->fault.damage && (int64_t)cap > s->fault.after - s->at)
        cap = (size_t)(s->fault.after - s->at);
    hf_code rc = await_others(s, reterr);
    if (rc == HF_OK)
        rc = hf_flow_charge(s->flow, (int64_t)cap, reterr);
    if (rc != HF_OK)
        return rc;
    ssize_t n = pread(s->fd, to, cap, s->at);
    assert_true(n >= 0);
    if (faulty && s->fault.damage && s->fault.after >= s->at && s->fault.after < s->at + n)
        ((uint8_t *)to)[s->fault.after - s->at] ^= 0xff;
    s->at += n;
    *ret_len = (size_t)n;
    return HF_OK;
}

static void file_close(hf_stream *stream) {
    file_stream *s = (file_stream *)stream;
    close(s->fd);
    free(s);
    atomic_fetch_sub(&served.open_now, 1);
}

static const hf_stream_class file_class = {"file", file_read, file_close};

static hf_code open_stream(hf_vm_disk *disk, hf_flow *flow, hf_stream **ret, hf_err *reterr) {
    int i = (int)(intptr_t)disk->stream_ctx;
    int n = served.opened[i]++;
    if (served.open_fails)
        return hf_fail(reterr, served.open_fails, "as the test has it");
    file_stream *s = hf_alloc(sizeof *s);
    assert_non_null(s);
    *s = (file_stream){.base = {&file_class, disk->stream_bytes}, .flow = flow};
    if (n < 8)
        s->fault = served.faults[i][n];
    s->fd = open(served.vmdk[i], O_RDONLY | O_CLOEXEC);
    assert_true(s->fd >= 0);
    int now = atomic_fetch_add(&served.open_now, 1) + 1;
    for (int most = atomic_load(&served.open_most); now > most;)
        if (atomic_compare_exchange_strong(&served.open_most, &most, now))
            break;
    *ret = &s->base;
    return HF_OK;
}

static hf_code verify(hf_vm *vm, const hf_vm_received *received, hf_err *reterr) {
    served.verified++;
    memcpy(served.received, received, vm->disk_count * sizeof *received);
    return served.verify ? hf_fail(reterr, served.verify, "the manifest says otherwise") : HF_OK;
}

static void release(hf_vm *vm, bool ended_well) {
    (void)vm;
    served.released++;
    served.ended_well += ended_well;
}

hf_code hf_vm_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret, hf_err *reterr) {
    (void)spec, (void)opener, (void)flow, (void)reterr;
    hf_vm vm = {.machine = {.name = "web", .cpus = 2, .memory_mb = 2048},
                .disk_count = (uint32_t)served.disk_count,
                .provider = "made-up",
                .streams_max = served.streams_max,
                .note = "from a test",
                .verify = verify,
                .release = release};
    vm.disks = hf_alloc(DISKS * sizeof *vm.disks);
    assert_non_null(vm.disks);
    for (int i = 0; i < served.disk_count; i++) {
        struct stat st;
        assert_int_equal(stat(served.vmdk[i], &st), 0);
        vm.disks[i] = (hf_vm_disk){.probe = {.format = HF_F_VMDK, .detail = "streamOptimized"},
                                   .path = HF_STR("[ds] web.vmdk"),
                                   .place = {.controller = -1},
                                   .capacity_bytes = served.announce_sizes ? DISK_BYTES : 0,
                                   .stream_bytes = served.wrong_size ? served.wrong_size : st.st_size,
                                   .open_stream = open_stream,
                                   .stream_ctx = (void *)(intptr_t)i};
        if (!served.announce_sizes)
            vm.disks[i].stream_bytes = 0;
    }
    *ret = vm;
    return HF_OK;
}

void hf_vm_close(hf_vm *vm) {
    if (vm->release)
        vm->release(vm, vm->ended_well);
    free(vm->disks);
    *vm = (hf_vm){0};
}

const hf_provider *hf_provider_find(hf_str name) {
    (void)name;
    return NULL;
}

const hf_provider *hf_providers(size_t *ret_count) {
    *ret_count = 0;
    return NULL;
}

/* ---- the rig ---------------------------------------------------------------------------------------------------------- */
static void make_vmdk(rig *r, int i) {
    char raw[32];
    hf_err err;
    hf_flow flow;
    hf_out out;
    hf_source *source = NULL;
    hf_sink *sink = NULL;
    hf_pipeline *pipeline = NULL;
    snprintf(raw, sizeof raw, "%d.raw", i);
    rig_image(r, raw, DISK_BYTES, (uint64_t)i + 7);
    snprintf(served.vmdk[i], sizeof served.vmdk[i], "%s", rig_path(r, "in/%d.vmdk", i));
    hf_auto_fd int in = open(rig_path(r, "in/%s", raw), O_RDONLY | O_CLOEXEC);
    hf_auto_fd int to = open(served.vmdk[i], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    hf_flow_init(&flow);
    assert_int_equal(hf_source_open_raw(in, &source, &err), HF_OK);
    assert_int_equal(hf_out_init(&out, to, 0, HF_DIGEST_NONE, &flow, &err), HF_OK);
    assert_int_equal(hf_sink_vmdk_new(&out, hf_codec_find(HF_STR("")), DISK_BYTES, "x.vmdk", &sink, &err), HF_OK);
    assert_int_equal(hf_pipeline_new(2, &flow, &pipeline, &err), HF_OK);
    assert_int_equal(hf_pipeline_run(pipeline, source, sink, &err), HF_OK);
    hf_pipeline_free(pipeline);
    hf_sink_free(sink);
    hf_out_done(&out);
    hf_source_close(source);
    hf_flow_done(&flow);
}

static void begin(rig *r, int disks) {
    memset(&served, 0, sizeof served);
    served.disk_count = disks;
    served.streams_max = 3;
    served.announce_sizes = true;
    rig_open(r);
    for (int i = 0; i < disks; i++)
        make_vmdk(r, i);
}

static hf_code export_as(rig *r, const char *format) {
    hf_spec spec = rig_spec(r, "export", NULL, format);
    spec.vm_path = HF_STR("/DC0/vm/web");
    spec.name = HF_STR("web");
    return rig_run(r, "job-1", 1, &spec);
}

static void must(rig *r, hf_code rc) {
    if (rc != HF_OK)
        fail_msg("%s: %s", hf_code_name(rc), r->err.detail);
}

static void nothing_left(rig *r) {
    assert_true(rig_out_empty(r));
    assert_int_equal(served.released, 1);
    assert_int_equal(served.ended_well, 0);
    assert_int_equal(atomic_load(&served.open_now), 0);
}

static double last_percent;
static void on_report(rig *r, const hf_progress *p) {
    (void)r;
    if (p->level.len == 0 && p->percent >= 0)
        last_percent = p->percent;
}

/* ---- what comes out ---------------------------------------------------------------------------------------------------- */
static void vmdks_are_kept_as_they_come(void **state) {
    rig r;
    (void)state;
    begin(&r, 2);
    must(&r, export_as(&r, "ovf"));
    rig_check_artifacts(&r);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_sh(&r, "cmp in/%d.vmdk out/web/web-disk%d.vmdk", i, i + 1), 0);
        assert_int_equal(rig_sh(&r, "grep -q $(sha256sum <in/%d.vmdk | cut -c1-64) out/web/web.mf", i), 0);
        assert_int_equal(rig_sh(&r, "test $(stat -c %%s in/%d.vmdk) = %lld", i, (long long)served.received[i].bytes),
                         0);
        assert_int_equal(rig_sh(&r, "test $(sha256sum <in/%d.vmdk | cut -c1-64) = %s", i, served.received[i].sha256),
                         0);
    }
    assert_int_equal(
        rig_sh(&r, "cd out/web && sed 's/^SHA256(\\(.*\\))= \\(.*\\)$/\\2  \\1/' web.mf | sha256sum -c --quiet -"), 0);
    assert_int_equal(rig_sh(&r, "grep -q 'ovf:capacity=\"%d\"' out/web/web.ovf", DISK_BYTES), 0);
    assert_non_null(strstr(r.result.report.p, "\"as it came\""));
    assert_non_null(strstr(r.result.report.p, "\"from a test\""));
    assert_non_null(strstr(r.result.report.p, "\"ovf_seconds\""));
    assert_int_equal(served.ended_well, 1);
    assert_int_equal(served.verified, 1);
    rig_sh(&r, "rm -rf out/*");
    must(&r, export_as(&r, "ova"));
    rig_check_artifacts(&r);
    assert_int_equal(
        rig_sh(&r,
               "mkdir x && tar -C x -xf out/web.ova && cmp x/web-disk1.vmdk in/0.vmdk && cmp x/web-disk2.vmdk "
               "in/1.vmdk && cd x && sed 's/^SHA256(\\(.*\\))= \\(.*\\)$/\\2  \\1/' web.mf | sha256sum -c --quiet -"),
        0);
    rig_sh(&r, "rm -rf out/*");
    must(&r, export_as(&r, "vmdk"));
    rig_check_artifacts(&r);
    assert_int_equal(rig_sh(&r, "cmp out/web-disk1.vmdk in/0.vmdk && cmp out/web-disk2.vmdk in/1.vmdk"), 0);
    rig_close(&r);
}

static void other_formats_are_coded_from_the_stream(void **state) {
    rig r;
    (void)state;
    begin(&r, 2);
    must(&r, export_as(&r, "raw"));
    rig_check_artifacts(&r);
    assert_int_equal(rig_sh(&r, "cmp out/web-disk1.raw in/0.raw && cmp out/web-disk2.raw in/1.raw"), 0);
    assert_int_equal(rig_sh(&r, "test $(sha256sum <in/1.vmdk | cut -c1-64) = %s", served.received[1].sha256), 0);
    rig_sh(&r, "rm -rf out/*");
    must(&r, export_as(&r, "qcow2"));
    rig_check_artifacts(&r);
    if (rig_have("qemu-img"))
        assert_int_equal(rig_sh(&r, "qemu-img convert -f qcow2 -O raw out/web-disk2.qcow2 b.raw && cmp b.raw in/1.raw"),
                         0);
    assert_int_equal(served.ended_well, 2);
    rig_close(&r);
}

static void sizes_are_hints(void **state) {
    static const struct {
        bool announce;
        int64_t size;
    } cases[] = {{false, 0}, {true, 1}, {true, 1LL << 33}};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        rig r;
        begin(&r, 1);
        served.announce_sizes = cases[i].announce;
        served.wrong_size = cases[i].size;
        r.on_report = on_report;
        r.limit = 30 << 20; /* so that there is time for progress */
        last_percent = -1;
        must(&r, export_as(&r, "ova"));
        assert_true(last_percent <= 100);
        assert_int_equal(
            rig_sh(&r, "tar -xf out/web.ova && cmp web-disk1.vmdk in/0.vmdk && grep -q 'ovf:capacity=\"%d\"' web.ovf",
                   DISK_BYTES),
            0);
        rig_close(&r);
    }
}

/* ---- what breaks --------------------------------------------------------------------------------------------------------- */
static void a_stream_that_breaks_is_fetched_again(void **state) {
    static const char *const formats[] = {"ova", "ovf", "vmdk", "raw", "qcow2"};
    (void)state;
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        rig r;
        begin(&r, 2);
        served.faults[1][0] = (fault){.after = 700000, .code = HF_E_UNREACHABLE};
        served.faults[1][1] = (fault){.after = 1}; /* and then one that is cut short */
        must(&r, export_as(&r, formats[f]));
        rig_check_artifacts(&r);
        assert_int_equal(served.opened[0], 1);
        assert_int_equal(served.opened[1], 3);
        assert_int_equal(r.logs, 2);
        if (f == 0)
            assert_int_equal(
                rig_sh(&r, "tar -xf out/web.ova && cmp web-disk2.vmdk in/1.vmdk && cmp web-disk1.vmdk in/0.vmdk"), 0);
        if (f == 3)
            assert_int_equal(rig_sh(&r, "cmp out/web-disk2.raw in/1.raw"), 0);
        rig_close(&r);
    }
}

static void a_stream_that_is_no_whole_vmdk_fails_the_export(void **state) {
    static const char *const formats[] = {"ova", "ovf", "raw"};
    (void)state;
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        rig r;
        begin(&r, 1);
        for (int i = 0; i < 8; i++)
            served.faults[0][i] = (fault){.after = 1 << 20};
        assert_int_equal(export_as(&r, formats[f]), HF_E_VERIFY_FAILED);
        assert_non_null(strstr(r.err.detail, "truncated"));
        assert_int_equal(served.opened[0], 3);
        nothing_left(&r);
        rig_close(&r);
    }
}

static void what_cannot_get_better_fails_at_once(void **state) {
    static const hf_code codes[] = {HF_E_PERMISSION, HF_E_NOT_FOUND, HF_E_EXPORT_LEASE_LOST, HF_E_CERTIFICATE};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(codes); i++) {
        rig r;
        begin(&r, 1);
        served.faults[0][0] = (fault){.after = 100000, .code = codes[i]};
        assert_int_equal(export_as(&r, "ova"), codes[i]);
        assert_int_equal(served.opened[0], 1);
        nothing_left(&r);
        rig_close(&r);
        begin(&r, 1);
        served.open_fails = codes[i];
        assert_int_equal(export_as(&r, "raw"), codes[i]);
        assert_int_equal(served.opened[0], 1);
        nothing_left(&r);
        rig_close(&r);
    }
}

static void what_the_manifest_denies_is_not_published(void **state) {
    rig r;
    (void)state;
    begin(&r, 2);
    served.verify = HF_E_VERIFY_FAILED;
    assert_int_equal(export_as(&r, "ovf"), HF_E_VERIFY_FAILED);
    nothing_left(&r);
    rig_close(&r);
}

/* ---- several at a time ------------------------------------------------------------------------------------------------------ */
static void disks_come_several_at_a_time(void **state) {
    static const struct {
        const char *format;
        int asked, most;
    } cases[] = {{"ovf", 0, 3}, {"raw", 2, 2}, {"vmdk", 1, 1}, {"ova", 3, 1}, {"qcow2", 9, 3}};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        rig r;
        begin(&r, 4);
        served.bytes_per_read = 64 * 1024;
        served.gather = cases[i].most;
        hf_spec spec = rig_spec(&r, "export", NULL, cases[i].format);
        spec.vm_path = HF_STR("/DC0/vm/web");
        spec.options.parallel_downloads = cases[i].asked;
        must(&r, rig_run(&r, "job-1", 1, &spec));
        rig_check_artifacts(&r);
        assert_int_equal(atomic_load(&served.open_most), cases[i].most);
        rig_close(&r);
    }
}

static void one_that_fails_stops_the_others(void **state) {
    rig r;
    (void)state;
    begin(&r, 3);
    for (int i = 0; i < 2; i++)
        served.faults[i][0] = (fault){.after = 65536, .hang = true};
    served.faults[2][0] = (fault){.after = 65536, .code = HF_E_PERMISSION};
    int64_t began = hf_mono_ns();
    assert_int_equal(export_as(&r, "ovf"), HF_E_PERMISSION);
    assert_true(hf_mono_ns() - began < 20000000000); /* the others would say nothing for ever */
    nothing_left(&r);
    rig_close(&r);
}

static void *cancel_soon(void *arg) {
    rig *r = arg;
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    atomic_store(&r->cancel, true);
    return NULL;
}

static void a_cancel_is_heard_while_nothing_comes(void **state) {
    static const char *const formats[] = {"ova", "ovf", "raw"};
    (void)state;
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        rig r;
        pthread_t thread;
        begin(&r, 2);
        for (int i = 0; i < 2; i++)
            served.faults[i][0] = (fault){.after = 1 << 20, .hang = true};
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &r), 0);
        int64_t began = hf_mono_ns();
        assert_int_equal(export_as(&r, formats[f]), HF_E_CANCELLED);
        assert_true(hf_mono_ns() - began < 20000000000); /* it would be waited for for ever */
        pthread_join(thread, NULL);
        nothing_left(&r);
        rig_close(&r);
    }
}

static void the_limit_is_the_jobs(void **state) {
    rig r;
    (void)state;
    begin(&r, 3);
    struct stat st;
    int64_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stat(served.vmdk[i], &st), 0);
        bytes += st.st_size;
    }
    served.bytes_per_read = 64 * 1024;
    r.limit = bytes; /* a second's worth, for all three together */
    int64_t began = hf_mono_ns();
    must(&r, export_as(&r, "raw"));
    assert_true(hf_mono_ns() - began > 700000000);
    rig_close(&r);
}

static void what_is_not_done_is_said(void **state) {
    rig r;
    (void)state;
    begin(&r, 1);
    hf_spec spec = rig_spec(&r, "export", NULL, "ovf");
    spec.vm_path = HF_STR("/DC0/vm/web");
    spec.options.compress = false;
    must(&r, rig_run(&r, "job-1", 1, &spec));
    assert_int_equal(r.logs, 1); /* kept as it came, compressed */
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vmdks_are_kept_as_they_come),
        cmocka_unit_test(other_formats_are_coded_from_the_stream),
        cmocka_unit_test(sizes_are_hints),
        cmocka_unit_test(a_stream_that_breaks_is_fetched_again),
        cmocka_unit_test(a_stream_that_is_no_whole_vmdk_fails_the_export),
        cmocka_unit_test(what_cannot_get_better_fails_at_once),
        cmocka_unit_test(what_the_manifest_denies_is_not_published),
        cmocka_unit_test(disks_come_several_at_a_time),
        cmocka_unit_test(one_that_fails_stops_the_others),
        cmocka_unit_test(a_cancel_is_heard_while_nothing_comes),
        cmocka_unit_test(the_limit_is_the_jobs),
        cmocka_unit_test(what_is_not_done_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
