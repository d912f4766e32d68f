/* The worker's core with a great many jobs queued: no event may cost more for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>

#include "consumer/worker/decide.h"
#include "schemas/base/mem.h"

enum { JOBS = 100000, CLAIMS = 512 };

static const hf_str operations[] = {HF_STR_INIT("sleep")};
static hf_spec spec;

static hf_worker_core *make(int claims) {
    hf_worker_options o = {.worker_id = HF_STR("w1"),
                           .incarnation = HF_STR("inc"),
                           .capabilities = {.operations = {operations, 1}},
                           .slots = 2,
                           .claims_max = claims,
                           .lease_ms = 30000,
                           .heartbeat_ms = 5000,
                           .stranger_wait_ms = 500,
                           .ageing_ms = 600000,
                           .retry_base_ms = 2000,
                           .retry_max_ms = 60000,
                           .kill_grace_ms = 5000};
    hf_worker_core *core = NULL;
    hf_err err;
    hf_type_init(&HF_TYPE_SPEC, &spec);
    spec.operation = HF_STR("sleep");
    assert_int_equal(hf_worker_core_new(&o, (hf_now){1000000, 1000}, &core, &err), HF_OK);
    return core;
}

static hf_job job_of(const char *id, int i) {
    return (hf_job){
        .id = hf_str_of(id), .state = HF_S_QUEUED, .spec = &spec, .created_at = i * 37 % 1000, .created = {i % 4, i}};
}

static void queue(hf_worker_core *core, int count, hf_now now) {
    char id[64];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "0190163d-8694-739b-aea5-%012d", i);
        hf_job job = job_of(id, i);
        assert_int_equal(hf_worker_core_change(core, NULL, HF_V_ACCEPTED, &job, now), HF_OK);
    }
}

/* Reads a claim back, runs the job, reads its end back. */
static int turn(hf_worker_core *core, hf_now now) {
    hf_action actions[CLAIMS];
    size_t count = 0;
    hf_err err;
    int done = 0;
    assert_int_equal(hf_worker_core_step(core, now, actions, CLAIMS, &count, &err), HF_OK);
    for (size_t i = 0; i < count; i++) {
        const hf_action *a = &actions[i];
        if (a->kind == HF_ACT_HEARTBEAT)
            hf_worker_core_ack(core, a->tag, HF_OK, now);
        if (a->kind == HF_ACT_START)
            hf_worker_core_done(core, a->slot, a->job_id, a->attempt, &(hf_outcome){.code = HF_OK, .duration_us = 10},
                                now);
        if (a->kind != HF_ACT_PROPOSE)
            continue;
        bool claim = hf_record_event(a->record, 0) == HF_EV_ASSIGNED;
        hf_job after = {.id = a->record->job_id,
                        .state = claim ? HF_S_ASSIGNED : HF_S_COMPLETED,
                        .attempt = a->record->attempt,
                        .spec = &spec,
                        .worker = hf_worker_core_identity(core)};
        assert_int_equal(hf_worker_core_change(core, a->record, HF_V_ACCEPTED, &after, now), HF_OK);
        done += !claim;
    }
    return done;
}

static void a_hundred_thousand_jobs_go_through(void **state) {
    (void)state;
    hf_now now = {1000000, 1000};
    hf_worker_core *core = make(CLAIMS);
    size_t before = mallinfo2().uordblks;
    int64_t began = hf_mono_ns();
    queue(core, JOBS, now);
    double queued_s = (double)(hf_mono_ns() - began) / 1e9;
    double bytes = (double)(mallinfo2().uordblks - before) / JOBS;
    hf_worker_core_caught_up(core);
    began = hf_mono_ns();
    int done = 0;
    for (int turns = 0; done < JOBS; turns++) {
        assert_true(turns < JOBS);
        done += turn(core, now);
    }
    double run_s = (double)(hf_mono_ns() - began) / 1e9;
    print_message("%d jobs: queued in %.2f s (%.0f bytes each), claimed, run and ended in %.2f s\n", JOBS, queued_s,
                  bytes, run_s);
    assert_true(queued_s < 30 && run_s < 60); /* a scan of the queue for each job would take hours */
#ifndef HF_SANITIZED
    assert_true(bytes < 260);
#endif
    hf_worker_stats stats;
    hf_worker_core_stats(core, now, &stats);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.done, JOBS);
    assert_true(hf_worker_core_idle(core));
    hf_worker_core_free(core);
}

static void other_workers_that_come_and_go_cost_bounded_steps(void **state) {
    (void)state;
    hf_now now = {1000000, 1000};
    hf_worker_core *core = make(CLAIMS);
    queue(core, JOBS, now);
    int64_t worst_ns = 0;
    hf_worker_core_quiet(core, true, false, now);
    hf_worker_core_caught_up(core);
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "other-%d", i % 20);
        hf_worker_core_heartbeat(core,
                                 &(hf_heartbeat){.worker_id = hf_str_of(id),
                                                 .at = now.wall_ms,
                                                 .slots = 2,
                                                 .lease_ms = 30000,
                                                 .state = i % 3 ? HF_W_ACTIVE : HF_W_DRAINING,
                                                 .capabilities = {.operations = {operations, 1}}},
                                 now);
        int64_t began = hf_mono_ns();
        turn(core, now);
        int64_t took = hf_mono_ns() - began;
        worst_ns = took > worst_ns ? took : worst_ns;
        now.mono_ms += 10;
        now.wall_ms += 10;
    }
    print_message("worst step %.2f ms\n", (double)worst_ns / 1e6);
    assert_true(worst_ns < 2000000000);
    hf_worker_core_free(core);
}

/* Whatever allocation fails, the object says so or goes on, and can be freed. */
static void every_failed_allocation_is_survived(void **state) {
    (void)state;
    hf_now now = {1000000, 1000};
    int failed = 0;
    for (uint64_t n = 1; n < 400; n += n < 60 ? 1 : 7) {
        hf_worker_core *core = make(16);
        hf_err err;
        char id[32];
        hf_worker_core_caught_up(core);
        hf_alloc_fail_after(n);
        hf_code code = HF_OK;
        for (int i = 0; i < 100 && !code; i++) {
            snprintf(id, sizeof id, "job-%d", i);
            hf_job job = job_of(id, i);
            code = hf_worker_core_change(core, NULL, HF_V_ACCEPTED, &job, now);
            hf_action actions[32];
            size_t count = 0;
            if (!code)
                code = hf_worker_core_step(core, now, actions, 32, &count, &err);
            for (size_t a = 0; a < count && !code; a++)
                if (actions[a].kind == HF_ACT_HEARTBEAT)
                    hf_worker_core_ack(core, actions[a].tag, HF_OK, now);
        }
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
        failed += code != HF_OK;
        hf_alloc_fail_after(0);
        hf_worker_core_free(core);
    }
    assert_true(failed > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_hundred_thousand_jobs_go_through),
                                       cmocka_unit_test(other_workers_that_come_and_go_cost_bounded_steps),
                                       cmocka_unit_test(every_failed_allocation_is_survived)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
