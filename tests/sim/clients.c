/* Those outside: they submit (once, twice, half-way, nonsense), cancel and delete. */
#include "schemas/job/intake.h"
#include "tests/sim/sim.h"

enum { TWICE = 150, DIRECT = 250, HALF_WAY = 400, WITHOUT_ID = 300, NONSENSE = 80 };

static hf_submission draw_submission(sim_world *w) {
    hf_submission s;
    hf_type_init(&HF_TYPE_SUBMISSION, &s);
    char id[16];
    snprintf(id, sizeof id, "job-%d", w->submitted++);
    if (!sim_chance(w, WITHOUT_ID))
        s.job_id = hf_arena_str(&w->arena, hf_str_of(id));
    s.spec.operation = HF_STR("sleep");
    s.spec.policy.retry_count = (int32_t)sim_roll(w, 4);
    s.spec.policy.idempotent = !sim_chance(w, 200);
    s.spec.policy.priority = sim_chance(w, NONSENSE) ? 77 : 1 + (int32_t)sim_roll(w, 10);
    s.spec.options.bandwidth_limit = sim_roll(w, 3) * 1000;
    s.spec.policy.timeout_seconds = 60;
    sim_limits_draw(w, &s.spec);
    return s;
}

/* As the sidecar does it: one hop less, and if it dies on the way, half-way. */
static void submit_directly(sim_world *w, hf_submission *s) {
    hf_record record;
    hf_arena_reset(&w->scratch);
    char id[24];
    snprintf(id, sizeof id, "direct-%d", w->submitted);
    if (hf_intake(s, hf_str_of(id), HF_STR_NONE, HF_STR("sidecar"), w->wall_base_ms + w->now_ms, &w->scratch, &record,
                  NULL, NULL) != HF_OK)
        sim_must(NULL);
    if (sim_storm_chance(w, HALF_WAY))
        record.transitions.count = 1 + (uint32_t)sim_roll(w, record.transitions.count);
    sim_send(w, NULL, SIM_EVENTS, sim_partition_of(record.job_id), &record, 0);
}

static void submit(sim_world *w) {
    hf_submission s = draw_submission(w);
    if (sim_chance(w, DIRECT)) {
        submit_directly(w, &s);
        return;
    }
    int partition = (int)sim_roll(w, SIM_PARTITIONS);
    sim_send(w, NULL, SIM_SUBMISSIONS, partition, &s, 0);
    if (sim_chance(w, TWICE)) /* "did that go through?" */
        sim_send(w, NULL, SIM_SUBMISSIONS, sim_chance(w, 500) ? partition : 1 - partition, &s, 0);
}

static void say_one(sim_world *w, hf_event event, const void *payload) {
    if (w->model_count == 0)
        return;
    hf_str id = w->models[sim_roll(w, w->model_count)].id;
    hf_variant transition = {event, payload};
    hf_record record = {
        .job_id = id, .at = w->wall_base_ms + w->now_ms, .by = HF_STR("client"), .transitions = {&transition, 1}};
    sim_send(w, NULL, SIM_EVENTS, sim_partition_of(id), &record, 0);
}

void sim_client(sim_world *w) {
    static const hf_ev_cancel_requested cancel = {HF_STR_INIT("changed my mind")};
    static const hf_ev_deleted deleted = {HF_STR_INIT("tidy up")};
    if (w->timetable_count && sim_chance(w, 80))
        sim_trigger(w);
    int64_t left = w->submissions_left + w->cancels_left + w->deletes_left + w->adjusts_left;
    if (left == 0)
        return;
    if (sim_chance(w, 500))
        sim_limits_client(w);
    int64_t n = sim_roll(w, left);
    if (n < w->submissions_left) {
        w->submissions_left--;
        submit(w);
    } else if (n < w->submissions_left + w->cancels_left) {
        w->cancels_left--;
        say_one(w, HF_EV_CANCEL_REQUESTED, &cancel);
    } else if (n < w->submissions_left + w->cancels_left + w->adjusts_left) {
        hf_ev_adjusted adjusted = {.priority = (int32_t)sim_roll(w, 13) - 1, .bandwidth_limit = sim_roll(w, 4000) - 2};
        w->adjusts_left--;
        say_one(w, HF_EV_ADJUSTED, &adjusted);
    } else {
        w->deletes_left--;
        say_one(w, HF_EV_DELETED, &deleted);
    }
    sim_at(w, w->now_ms + sim_roll(w, w->storm_ms / (left + 1) + 1), (sim_event){.kind = SIM_AT_CLIENT});
}
