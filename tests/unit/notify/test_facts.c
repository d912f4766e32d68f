/* What an accepted record says that a webhook may want to know, by way of the fold itself. */
#include "rig.h"

#include "consumer/notify/facts.h"
#include "schemas/job/fold.h"

enum { CREATED_AT = 1000, STARTED_AT = 5000, ENDED_AT = 12500 };

typedef struct story {
    hf_job job;
    bool there;
    int64_t offset;
    hf_arena arena;
    hf_webhook_facts facts[HF_FACTS_MAX];
} story;

/* Folds one record, and takes its facts if it was accepted: 0 otherwise. */
static uint32_t tell(story *s, int32_t attempt, int64_t at, const hf_variant *transitions, uint32_t count) {
    hf_record record = {.job_id = HF_STR("job-1"),
                        .attempt = attempt,
                        .at = at,
                        .by = HF_STR("w/1"),
                        .transitions = {transitions, count}};
    hf_job after;
    hf_verdict verdict = hf_fold(s->there ? &s->job : NULL, &record, (hf_position){0, s->offset++}, &after, NULL);
    if (verdict != HF_V_ACCEPTED)
        return 0; /* as hook_on_change does */
    s->job = after;
    s->there = true;
    return hf_facts_of(&record, &after, &s->arena, s->facts);
}

static hf_ev_created created;
static hf_ev_validated validated;
static hf_ev_queued queued;
static hf_ev_assigned assigned = {.worker = HF_STR_INIT("w/1"), .lease_ms = 60000};
static hf_ev_lease_expired expired;

static uint32_t tell_one(story *s, int32_t attempt, int64_t at, hf_event event, const void *payload) {
    return tell(s, attempt, at, &(hf_variant){(int32_t)event, payload}, 1);
}

static void begin(story *s, const char *operation, int32_t retries) {
    *s = (story){0};
    hf_arena_init(&s->arena, 1 << 20);
    hf_type_init(&HF_TYPE_SPEC, &created.spec);
    created.spec.name = HF_STR("nightly");
    created.spec.operation = hf_str_of(operation);
    created.spec.provider = HF_STR("vsphere");
    created.spec.vm_path = HF_STR("/dc/vm/a");
    created.spec.output_dir = HF_STR("/backup");
    created.spec.policy.retry_count = retries;
}

static void run_it(story *s) {
    assert_int_equal(tell_one(s, 0, CREATED_AT, HF_EV_CREATED, &created), 1);
    assert_int_equal(s->facts[0].event, HF_WE_JOB_CREATED);
    assert_int_equal(s->facts[0].at, CREATED_AT);
    assert_true(hf_str_eqz(s->facts[0].job_id, "job-1") && hf_str_eqz(s->facts[0].job_name, "nightly"));
    assert_true(hf_str_eqz(s->facts[0].vm_path, "/dc/vm/a") && hf_str_eqz(s->facts[0].output_path, "/backup"));
    assert_int_equal(tell_one(s, 0, CREATED_AT, HF_EV_CREATED, &created), 0); /* the same again is refused */
    assert_int_equal(tell_one(s, 0, CREATED_AT, HF_EV_VALIDATED, &validated), 0);
    assert_int_equal(tell_one(s, 0, CREATED_AT, HF_EV_QUEUED, &queued), 0);
    assert_int_equal(tell_one(s, 1, CREATED_AT + 1, HF_EV_ASSIGNED, &assigned), 0);
    assert_int_equal(tell_one(s, 1, STARTED_AT, HF_EV_STARTED, NULL), 1);
    assert_int_equal(s->facts[0].event, HF_WE_JOB_STARTED);
}

static void completed(void **state) {
    (void)state;
    story s;
    begin(&s, "export", 0);
    run_it(&s);
    hf_artifact files[] = {{.path = HF_STR_INIT("/backup/a.ovf"), .kind = HF_STR_INIT("ovf")},
                           {.path = HF_STR_INIT("/backup/a.ova"), .kind = HF_STR_INIT("ova")},
                           {.path = HF_STR_INIT("/backup/a.vmdk"), .kind = HF_STR_INIT("disk")}};
    hf_ev_completed end = {.result = {.artifacts = {files, 3}}};
    assert_int_equal(tell_one(&s, 7, ENDED_AT, HF_EV_COMPLETED, &end), 0); /* another attempt's word is not accepted */
    assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_COMPLETED, &end), 1);
    assert_int_equal(s.facts[0].event, HF_WE_JOB_COMPLETED);
    assert_int_equal((int)(s.facts[0].duration_seconds * 1000 + 0.5), ENDED_AT - STARTED_AT);
    assert_true(hf_str_eqz(s.facts[0].ovf_path, "/backup/a.ovf"));
    assert_int_equal(s.facts[0].exported_files.count, 3);
    assert_true(hf_str_eqz(*HF_LIST_AT(s.facts[0].exported_files, hf_str, 2), "/backup/a.vmdk"));
    assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_COMPLETED, &end), 0); /* nor twice */
    hf_arena_done(&s.arena);
}

static void discovered(void **state) {
    (void)state;
    static const struct {
        const char *report, *provider, *vms;
    } cases[] = {{"{\"provider\":\"libvirt\",\"vms\":[{\"name\":\"a\"}, {\"name\":\"b\"}]}", "libvirt",
                  "[{\"name\":\"a\"},{\"name\":\"b\"}]"},
                 {"{\"vms\":[]}", "vsphere", "[]"},
                 {"{\"vms\":7}", "vsphere", ""},
                 {"no JSON", "vsphere", ""},
                 {"", "vsphere", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        story s;
        begin(&s, "discover", 0);
        run_it(&s);
        hf_ev_completed end = {.result = {.report = hf_str_of(cases[i].report)}};
        assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_COMPLETED, &end), 2);
        assert_int_equal(s.facts[0].event, HF_WE_JOB_COMPLETED);
        assert_int_equal(s.facts[1].event, HF_WE_VM_DISCOVERED);
        assert_true(hf_str_eqz(s.facts[1].provider, cases[i].provider));
        assert_true(hf_str_eqz(s.facts[1].vms, cases[i].vms));
        hf_arena_done(&s.arena);
    }
}

static void failed(void **state) {
    (void)state;
    story s;
    begin(&s, "export", 0);
    run_it(&s);
    hf_ev_failed why = {.error = {.code = HF_STR_INIT("disk-full"), .message = HF_STR_INIT("No room.")}};
    assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_FAILED, &why), 1);
    assert_int_equal(s.facts[0].event, HF_WE_JOB_FAILED);
    assert_true(hf_str_eqz(s.facts[0].error, "No room."));
    assert_int_equal(s.facts[0].exported_files.count, 0);
    hf_arena_done(&s.arena);
}

/* A lease that ran out is told where it was the last attempt, and only there. */
static void lease_ran_out(void **state) {
    (void)state;
    for (int32_t retries = 0; retries < 2; retries++) {
        story s;
        begin(&s, "export", retries);
        run_it(&s);
        assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_LEASE_EXPIRED, &expired), retries == 0);
        if (retries == 0)
            assert_true(s.facts[0].event == HF_WE_JOB_FAILED && s.facts[0].error.len);
        hf_arena_done(&s.arena);
    }
}

/* Created and rejected in one record: two events, at two places. */
static void several_in_one_record(void **state) {
    (void)state;
    story s;
    begin(&s, "export", 0);
    hf_ev_rejected rejected = {.error = {.code = HF_STR_INIT("invalid")}};
    const hf_variant both[] = {{HF_EV_CREATED, &created}, {HF_EV_REJECTED, &rejected}};
    assert_int_equal(tell(&s, 0, CREATED_AT, both, 2), 2);
    assert_int_equal(s.facts[0].event, HF_WE_JOB_CREATED);
    assert_int_equal(s.facts[1].event, HF_WE_JOB_FAILED);
    assert_true(hf_str_eqz(s.facts[1].error, "invalid"));
    assert_true(hf_place_of(3, s.facts[0].event) != hf_place_of(3, s.facts[1].event));
    hf_arena_done(&s.arena);
}

static void cancelled(void **state) {
    (void)state;
    story s;
    begin(&s, "export", 0);
    run_it(&s);
    hf_ev_cancel_requested ask = {0};
    assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_CANCEL_REQUESTED, &ask), 0);
    assert_int_equal(tell_one(&s, 1, ENDED_AT, HF_EV_CANCELLED, NULL), 1);
    assert_int_equal(s.facts[0].event, HF_WE_JOB_CANCELLED);
    hf_arena_done(&s.arena);
}

static void progress(void **state) {
    (void)state;
    story s;
    begin(&s, "export", 0);
    run_it(&s);
    hf_progress p = {.at = 7000, .phase = HF_STR_INIT("export"), .percent = 12.5, .bytes_done = 3, .bytes_total = 24};
    hf_webhook_facts f = hf_facts_of_progress(&p, &s.job);
    assert_int_equal(f.event, HF_WE_JOB_PROGRESS);
    assert_int_equal(f.at, 7000);
    assert_true(hf_str_eqz(f.job_id, "job-1") && hf_str_eqz(f.phase, "export"));
    assert_true(f.percent_complete > 12.4 && f.percent_complete < 12.6 && f.bytes_done == 3 && f.bytes_total == 24);
    hf_arena_done(&s.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completed),
        cmocka_unit_test(discovered),
        cmocka_unit_test(failed),
        cmocka_unit_test(lease_ran_out),
        cmocka_unit_test(several_in_one_record),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
