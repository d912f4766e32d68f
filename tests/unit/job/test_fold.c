/* The fold, exhaustively: every state x event x attempt x worker x cancel flag x budget x deleted, against an
 * oracle that states docs/ARCHITECTURE.md's "Job life" a second time. The oracle must never be made
 * from transitions.def: that the two agree is what is proved here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/base/mem.h"
#include "schemas/job/fold.h"

/* ---- the oracle ------------------------------------------------------------------------------------ */
typedef struct model {
    bool exists, deleted, cancel_requested, budget;
    hf_state state;
    int32_t attempt;
} model;

static bool among(hf_state state, const char *names) {
    char needle[32], hay[128];
    snprintf(needle, sizeof needle, " %s ", hf_state_name(state));
    snprintf(hay, sizeof hay, " %s ", names);
    return strstr(hay, needle) != NULL;
}

static bool ended(hf_state state) { return among(state, "completed failed cancelled"); }
static bool held(hf_state state) { return among(state, "assigned running progressing"); }

/* The verdict for one transition; *to is the state it leads to. */
static hf_verdict oracle(const model *m, hf_event event, int32_t attempt, bool right_worker, hf_state *to) {
    const char *from = "";
    bool attempt_counts = true, worker_counts = false;
    int32_t wanted = m->attempt;
    *to = m->state;
    switch (event) {
    case HF_EV_CREATED: *to = HF_S_CREATED; return m->exists ? HF_V_JOB_EXISTS : HF_V_ACCEPTED;
    case HF_EV_VALIDATED:
        from = "created";
        attempt_counts = false;
        *to = HF_S_VALIDATED;
        break;
    case HF_EV_REJECTED:
        from = "created validated";
        attempt_counts = false;
        *to = HF_S_FAILED;
        break;
    case HF_EV_QUEUED:
        from = "validated retrying";
        *to = HF_S_QUEUED;
        break;
    case HF_EV_ASSIGNED:
        from = "queued";
        wanted++;
        *to = HF_S_ASSIGNED;
        break;
    case HF_EV_STARTED:
        from = "assigned";
        worker_counts = true;
        *to = HF_S_RUNNING;
        break;
    case HF_EV_PROGRESSING:
        from = "running progressing";
        worker_counts = true;
        *to = HF_S_PROGRESSING;
        break;
    case HF_EV_COMPLETED:
        from = "assigned running progressing";
        worker_counts = true;
        *to = HF_S_COMPLETED;
        break;
    case HF_EV_RETRY_SCHEDULED:
        from = "assigned running progressing";
        worker_counts = true;
        *to = HF_S_RETRYING;
        break;
    case HF_EV_FAILED:
        from = "assigned running progressing retrying queued";
        worker_counts = held(m->state);
        *to = HF_S_FAILED;
        break;
    case HF_EV_LEASE_EXPIRED:
        from = "assigned running progressing";
        *to = m->budget ? HF_S_RETRYING : HF_S_FAILED;
        break;
    case HF_EV_CANCEL_REQUESTED:
        from = "created validated queued assigned running progressing retrying";
        attempt_counts = false;
        break;
    case HF_EV_CANCELLED:
        from = "created validated queued assigned running progressing retrying";
        *to = HF_S_CANCELLED;
        break;
    case HF_EV_RELEASED:
        from = "assigned";
        worker_counts = true;
        *to = HF_S_QUEUED;
        break;
    case HF_EV_DELETED:
        from = "completed failed cancelled";
        attempt_counts = false;
        break;
    case HF_EV_ADJUSTED:
        from = "created validated queued assigned running progressing retrying";
        attempt_counts = false;
        break;
    case HF_EVENT_COUNT: break;
    }
    if (!m->exists)
        return HF_V_NO_SUCH_JOB;
    if (m->deleted)
        return HF_V_DELETED;
    if (ended(m->state) && event != HF_EV_DELETED)
        return HF_V_TERMINAL;
    if (attempt_counts && attempt != wanted)
        return attempt < wanted ? HF_V_STALE_ATTEMPT : HF_V_FUTURE_ATTEMPT;
    if (!among(m->state, from))
        return HF_V_WRONG_STATE;
    if (worker_counts && !right_worker)
        return HF_V_WRONG_WORKER;
    if (event == HF_EV_RETRY_SCHEDULED && !m->budget)
        return HF_V_NO_ATTEMPTS_LEFT;
    if (event == HF_EV_CANCELLED && !m->cancel_requested)
        return HF_V_NOT_REQUESTED;
    return HF_V_ACCEPTED;
}

/* ---- payloads ---------------------------------------------------------------------------------------- */
enum { NOW = 5000, LATER = 9000, ATTEMPT = 2 };
static const hf_str ID = HF_STR_INIT("job-1"), WORKER = HF_STR_INIT("w1/a"), OTHER = HF_STR_INIT("w2/b");

static const hf_ev_created created = {
    .spec = {.name = HF_STR_INIT("web"), .policy = {.retry_count = 3, .priority = 5}}};
static const hf_ev_validated validated;
static const hf_ev_rejected rejected = {.error = {.code = HF_STR_INIT("invalid")}};
static const hf_ev_queued queued;
static const hf_ev_assigned assigned = {.worker = HF_STR_INIT("w1/a"), .lease_ms = 30000};
static const hf_ev_started started = {.runner = HF_STR_INIT("r")};
static const hf_ev_progressing progressing = {.phase = HF_STR_INIT("copy")};
static const hf_ev_completed completed = {.result = {.bytes_written = 7}};
static const hf_ev_retry_scheduled retry = {.error = {.code = HF_STR_INIT("io")}, .not_before = LATER};
static const hf_ev_failed failed = {.error = {.code = HF_STR_INIT("no-space")}};
static const hf_ev_lease_expired expired = {.reason = HF_STR_INIT("silent"), .not_before = LATER};
static const hf_ev_cancel_requested asked = {.reason = HF_STR_INIT("mistake")};
static const hf_ev_cancelled cancelled;
static const hf_ev_released released;
static const hf_ev_deleted deleted;
static const hf_ev_adjusted adjusted = {.priority = 2, .bandwidth_limit = 4096};
static const void *const payloads[HF_EVENT_COUNT] = {
    [HF_EV_CREATED] = &created,         [HF_EV_VALIDATED] = &validated,   [HF_EV_REJECTED] = &rejected,
    [HF_EV_QUEUED] = &queued,           [HF_EV_ASSIGNED] = &assigned,     [HF_EV_STARTED] = &started,
    [HF_EV_PROGRESSING] = &progressing, [HF_EV_COMPLETED] = &completed,   [HF_EV_RETRY_SCHEDULED] = &retry,
    [HF_EV_FAILED] = &failed,           [HF_EV_LEASE_EXPIRED] = &expired, [HF_EV_CANCEL_REQUESTED] = &asked,
    [HF_EV_CANCELLED] = &cancelled,     [HF_EV_RELEASED] = &released,     [HF_EV_DELETED] = &deleted,
    [HF_EV_ADJUSTED] = &adjusted,
};

static hf_record record_of(const hf_variant *transitions, uint32_t count, int32_t attempt, hf_str by) {
    return (hf_record){.job_id = ID, .attempt = attempt, .at = NOW, .by = by, .transitions = {transitions, count}};
}

static hf_job job_of(const model *m, hf_spec *spec) {
    *spec = created.spec;
    spec->policy.retry_count = m->budget ? ATTEMPT + 1 : ATTEMPT - 1;
    return (hf_job){.id = ID,
                    .created = {0, 1},
                    .last = {0, 7},
                    .state = m->state,
                    .attempt = m->attempt,
                    .cancel_requested = m->cancel_requested,
                    .deleted = m->deleted,
                    .created_at = 1000,
                    .queued_at = 1100,
                    .assigned_at = 1200,
                    .started_at = 1300,
                    .updated_at = 1400,
                    .not_before = 1500,
                    .worker = WORKER,
                    .spec = spec,
                    .priority = 7,
                    .bandwidth_limit = 512};
}

/* ---- what an accepted event leaves behind -------------------------------------------------------------- */
static void check_effect(const model *m, hf_event event, hf_state to, const hf_job *before, const hf_job *after) {
    bool ends = ended(to) && !ended(m->state);
    assert_int_equal(after->state, to);
    assert_int_equal(after->updated_at, NOW);
    assert_int_equal(after->last.offset, 8);
    assert_true(hf_str_eq(after->id, ID));
    assert_int_equal(after->finished_at, ends ? NOW : before->finished_at);
    assert_int_equal(after->attempt, before->attempt + (event == HF_EV_ASSIGNED));
    assert_int_equal(after->released, before->released + (event == HF_EV_RELEASED));
    assert_int_equal(after->deleted, event == HF_EV_DELETED);
    assert_int_equal(after->cancel_requested, m->cancel_requested || event == HF_EV_CANCEL_REQUESTED);
    assert_int_equal(after->queued_at, event == HF_EV_QUEUED || event == HF_EV_RELEASED ? NOW : before->queued_at);
    assert_int_equal(after->assigned_at, event == HF_EV_ASSIGNED ? NOW : before->assigned_at);
    assert_int_equal(after->started_at, event == HF_EV_STARTED    ? NOW
                                        : event == HF_EV_ASSIGNED ? 0
                                                                  : before->started_at);
    if (event == HF_EV_CREATED)
        assert_int_equal(after->created.offset, 8);
    else
        assert_int_equal(after->created.offset, before->created.offset);
    assert_int_equal(after->priority, event == HF_EV_ADJUSTED ? 2 : before->priority);
    assert_int_equal(after->bandwidth_limit, event == HF_EV_ADJUSTED ? 4096 : before->bandwidth_limit);
    if (to == HF_S_RETRYING && event != HF_EV_CANCEL_REQUESTED && event != HF_EV_ADJUSTED)
        assert_int_equal(after->not_before, LATER);
    if (ends)
        assert_int_equal(after->not_before, 0);
    if (event == HF_EV_ASSIGNED)
        assert_true(hf_str_eq(after->worker, WORKER) && after->lease_ms == 30000 && after->not_before == 0);
    if (event == HF_EV_COMPLETED)
        assert_true(after->result->bytes_written == 7 && !after->error);
    if (event == HF_EV_FAILED)
        assert_true(hf_str_eqz(after->error->code, "no-space"));
    if (event == HF_EV_RETRY_SCHEDULED)
        assert_true(hf_str_eqz(after->error->code, "io"));
    if (event == HF_EV_LEASE_EXPIRED)
        assert_true(hf_str_eqz(after->error->code, "worker-lost"));
    if (event == HF_EV_REJECTED)
        assert_true(hf_str_eqz(after->error->code, "invalid"));
    if (event == HF_EV_PROGRESSING)
        assert_true(hf_str_eqz(after->phase, "copy"));
    if (event == HF_EV_CANCEL_REQUESTED && !m->cancel_requested)
        assert_true(hf_str_eqz(after->cancel_reason, "mistake"));
}

static unsigned long tried, accepted;

static void try_one(const model *m, hf_event event, int32_t attempt, bool right_worker) {
    hf_spec spec;
    hf_job before = job_of(m, &spec), after = {.state = 99};
    hf_variant transition = {event, payloads[event]};
    hf_record record = record_of(&transition, 1, attempt, right_worker ? WORKER : OTHER);
    hf_state to;
    uint32_t refused = 99;
    hf_verdict expected = oracle(m, event, attempt, right_worker, &to);
    hf_verdict got = hf_fold(m->exists ? &before : NULL, &record, (hf_position){0, 8}, &after, &refused);
    tried++;
    if (got != expected)
        fail_msg("%s in %s (attempt %d of %d, %s worker%s%s%s): %s, not %s", hf_event_name(event),
                 m->exists ? hf_state_name(m->state) : "none", attempt, m->attempt, right_worker ? "right" : "wrong",
                 m->cancel_requested ? ", cancel asked" : "", m->budget ? "" : ", no budget",
                 m->deleted ? ", deleted" : "", hf_verdict_name(got), hf_verdict_name(expected));
    if (got != HF_V_ACCEPTED) {
        assert_int_equal(after.state, 99);
        assert_int_equal(refused, 0);
        return;
    }
    accepted++;
    hf_job none = {.state = HF_S_NONE, .bandwidth_limit = -1};
    check_effect(m, event, to, m->exists ? &before : &none, &after);
}

static void every_combination_agrees_with_the_oracle(void **state) {
    (void)state;
    for (int s = -1; s < HF_STATE_COUNT; s++)
        for (int flags = 0; flags < 8; flags++) {
            model m = {.exists = s >= 0, .state = s >= 0 ? (hf_state)s : HF_S_NONE, .attempt = s >= 0 ? ATTEMPT : 0};
            m.deleted = s >= 0 && (flags & 1);
            m.cancel_requested = s >= 0 && (flags & 2);
            m.budget = flags & 4;
            for (int e = 0; e < HF_EVENT_COUNT; e++)
                for (int32_t attempt = m.attempt - 1; attempt <= m.attempt + 2; attempt++) {
                    try_one(&m, (hf_event)e, attempt, true);
                    try_one(&m, (hf_event)e, attempt, false);
                }
        }
    assert_int_equal(tried, 11 * 8 * HF_EVENT_COUNT * 4 * 2);
    assert_true(accepted > 400);
}

/* ---- whole records ------------------------------------------------------------------------------------- */
static hf_verdict fold_events(const hf_job *before, const hf_event *events, uint32_t count, int32_t attempt,
                              hf_job *after, uint32_t *refused) {
    hf_variant transitions[HF_MAX_TRANSITIONS];
    for (uint32_t i = 0; i < count; i++)
        transitions[i] = (hf_variant){events[i], payloads[events[i]]};
    hf_record record = record_of(transitions, count, attempt, WORKER);
    return hf_fold(before, &record, (hf_position){0, 8}, after, refused);
}

static void faults_of_the_record_come_before_those_of_the_job(void **state) {
    (void)state;
    hf_job after;
    uint32_t refused = 99;
    hf_variant two[] = {{HF_EV_COMPLETED, &completed}, {-1, NULL}};
    hf_record record = record_of(NULL, 0, 0, WORKER);
    record.job_id = HF_STR("../x");
    assert_int_equal(hf_fold(NULL, &record, (hf_position){0, 8}, &after, NULL), HF_V_EMPTY);
    record.transitions = (hf_list){two, 2};
    assert_int_equal(hf_fold(NULL, &record, (hf_position){0, 8}, &after, &refused), HF_V_UNKNOWN_EVENT);
    assert_int_equal(refused, 1);
    two[1].branch = HF_EVENT_COUNT;
    assert_int_equal(hf_fold(NULL, &record, (hf_position){0, 8}, &after, &refused), HF_V_UNKNOWN_EVENT);
    two[1] = two[0];
    assert_int_equal(hf_fold(NULL, &record, (hf_position){0, 8}, &after, NULL), HF_V_INVALID_ID);
    hf_spec spec;
    model m = {.exists = true, .state = HF_S_RUNNING, .attempt = ATTEMPT};
    hf_job before = job_of(&m, &spec);
    record.job_id = HF_STR("job-2"); /* an id, but not this job's */
    assert_int_equal(hf_fold(&before, &record, (hf_position){0, 8}, &after, NULL), HF_V_INVALID_ID);
}

static void a_record_takes_effect_whole_or_not_at_all(void **state) {
    (void)state;
    hf_job job = {0}, kept;
    uint32_t refused = 99;
    const hf_event intake[] = {HF_EV_CREATED, HF_EV_VALIDATED, HF_EV_QUEUED};
    assert_int_equal(fold_events(NULL, intake, 3, 0, &job, &refused), HF_V_ACCEPTED);
    assert_int_equal(job.state, HF_S_QUEUED);
    const hf_event claim[] = {HF_EV_ASSIGNED, HF_EV_STARTED}, torn[] = {HF_EV_ASSIGNED, HF_EV_STARTED, HF_EV_RELEASED};
    kept = job;
    assert_int_equal(fold_events(&job, torn, 3, 1, &job, &refused), HF_V_WRONG_STATE);
    assert_int_equal(refused, 2);
    assert_true(hf_type_equal(&HF_TYPE_JOB, &job, &kept));
    assert_int_equal(fold_events(&job, claim, 2, 1, &job, &refused), HF_V_ACCEPTED);
    assert_int_equal(job.state, HF_S_RUNNING);
    const hf_event twice[] = {HF_EV_CREATED, HF_EV_CREATED};
    assert_int_equal(fold_events(NULL, twice, 2, 0, &kept, &refused), HF_V_JOB_EXISTS);
    assert_int_equal(refused, 1);
}

static void released_attempts_cost_no_retry(void **state) {
    (void)state;
    hf_job job = {0};
    const hf_event intake[] = {HF_EV_CREATED, HF_EV_VALIDATED, HF_EV_QUEUED}, claim[] = {HF_EV_ASSIGNED},
                   give_back[] = {HF_EV_RELEASED}, again[] = {HF_EV_RETRY_SCHEDULED}, queue[] = {HF_EV_QUEUED};
    fold_events(NULL, intake, 3, 0, &job, NULL);
    int32_t attempt = 0;
    for (int i = 0; i < 9; i++) {
        assert_int_equal(fold_events(&job, claim, 1, ++attempt, &job, NULL), HF_V_ACCEPTED);
        assert_int_equal(fold_events(&job, give_back, 1, attempt, &job, NULL), HF_V_ACCEPTED);
    }
    assert_int_equal(hf_job_attempts_left(&job), 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fold_events(&job, claim, 1, ++attempt, &job, NULL), HF_V_ACCEPTED);
        assert_int_equal(fold_events(&job, again, 1, attempt, &job, NULL), HF_V_ACCEPTED);
        assert_int_equal(fold_events(&job, queue, 1, attempt, &job, NULL), HF_V_ACCEPTED);
    }
    assert_int_equal(fold_events(&job, claim, 1, ++attempt, &job, NULL), HF_V_ACCEPTED);
    assert_int_equal(fold_events(&job, again, 1, attempt, &job, NULL), HF_V_NO_ATTEMPTS_LEFT);
}

/* ---- properties, over random histories -------------------------------------------------------------------- */
static uint64_t seed = 88172645463325252u;
static uint32_t roll(uint32_t below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % below;
}

static uint32_t random_transitions(hf_variant *transitions) {
    static const hf_event starts[] = {HF_EV_CREATED, HF_EV_VALIDATED, HF_EV_QUEUED, HF_EV_ASSIGNED, HF_EV_STARTED};
    uint32_t count = 1 + roll(3);
    for (uint32_t i = 0; i < count; i++) {
        hf_event e = roll(3) ? starts[roll(5)] : (hf_event)roll(HF_EVENT_COUNT);
        transitions[i] = (hf_variant){e, payloads[e]};
    }
    return count;
}

/* The record at once = its transitions one by one, up to the first refusal; then none. */
static void check_against_single_steps(const hf_job *before, const hf_record *r, hf_verdict verdict,
                                       const hf_job *after, uint32_t refused) {
    hf_job step;
    const hf_job *at = before;
    for (uint32_t i = 0; i < r->transitions.count; i++) {
        hf_record one = *r;
        hf_job next;
        one.transitions = (hf_list){HF_LIST_AT(r->transitions, hf_variant, i), 1};
        hf_verdict v = hf_fold(at, &one, (hf_position){0, 8}, &next, NULL);
        if (v != HF_V_ACCEPTED) {
            assert_int_equal(verdict, v);
            assert_int_equal(refused, i);
            return;
        }
        step = next;
        at = &step;
    }
    assert_int_equal(verdict, HF_V_ACCEPTED);
    assert_true(hf_type_equal(&HF_TYPE_JOB, after, at));
}

static void check_properties(const hf_job *before, const hf_record *r, hf_verdict verdict, const hf_job *after) {
    if (verdict != HF_V_ACCEPTED)
        return;
    if (before && ended((hf_state)before->state)) {
        assert_int_equal(after->state, before->state);
        assert_true(after->deleted && !before->deleted && hf_record_event(r, 0) == HF_EV_DELETED);
    }
    int32_t was = before ? before->attempt : 0;
    assert_true(after->attempt == was || after->attempt == r->attempt);
    assert_true(after->attempt >= was);
    assert_true(hf_job_attempts_left(after) >= 0);
}

static hf_job *random_step(hf_job *before) {
    hf_variant transitions[3];
    uint32_t count = random_transitions(transitions), refused = 99;
    int32_t attempt = (before ? before->attempt : 0) + (int32_t)roll(3) - (roll(4) == 0);
    hf_record record = record_of(transitions, count, attempt, roll(4) ? WORKER : OTHER);
    hf_auto_free hf_record *record_before = hf_type_clone(&HF_TYPE_RECORD, &record);
    hf_auto_free hf_job *job_before = before ? hf_type_clone(&HF_TYPE_JOB, before) : NULL;
    hf_job after = {0}, again = {0};
    hf_verdict verdict = hf_fold(before, &record, (hf_position){0, 8}, &after, &refused);
    assert_int_equal(hf_fold(before, &record, (hf_position){0, 8}, &again, NULL), verdict);
    assert_true(hf_type_equal(&HF_TYPE_RECORD, &record, record_before));
    assert_true(!before || hf_type_equal(&HF_TYPE_JOB, before, job_before));
    check_against_single_steps(before, &record, verdict, &after, refused);
    check_properties(before, &record, verdict, &after);
    if (verdict != HF_V_ACCEPTED)
        return before;
    assert_true(hf_type_equal(&HF_TYPE_JOB, &after, &again));
    hf_job *kept = hf_type_clone(&HF_TYPE_JOB, &after);
    free(before);
    return kept;
}

static void random_histories_keep_the_properties(void **state) {
    (void)state;
    unsigned ends = 0;
    for (int history = 0; history < 300; history++) {
        hf_job *job = NULL;
        for (int i = 0; i < 120; i++)
            job = random_step(job);
        ends += job && ended((hf_state)job->state);
        free(job);
    }
    assert_true(ends > 50); /* the histories reach the end of a life */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_agrees_with_the_oracle),
        cmocka_unit_test(faults_of_the_record_come_before_those_of_the_job),
        cmocka_unit_test(a_record_takes_effect_whole_or_not_at_all),
        cmocka_unit_test(released_attempts_cost_no_retry),
        cmocka_unit_test(random_histories_keep_the_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
