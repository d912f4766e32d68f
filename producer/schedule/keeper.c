#include "producer/schedule/keeper.h"

#include <stdlib.h>

#include "producer/schedule/listed.h"
#include "producer/schedule/ticker.h"
#include "schemas/base/fault.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/job/schedule_check.h"

enum {
    DUE_MAX = 512, /* proposals a step */
    ARENA_BYTES = 16 << 20,
    STAND_IN_MS = 5000,
    REPEAT_MS = 5000,
    SETTLE_AGAIN_MS = 5000, /* after records of the configuration's list were not acknowledged */
};
#define TAG_LISTED (UINT64_C(1) << 61)

struct hf_keeper {
    hf_klog *log;
    hf_codec *codec;
    const hf_clock *clock;
    hf_ticker *ticker;
    hf_listed *listed; /* NULL: the configuration says nothing of schedules */
    int32_t partitions;
    int64_t settle_ms; /* monotonic: when to make the topic agree with the list; INT64_MAX: it does */
    hf_arena arena;
    hf_buf out;
    hf_record due[DUE_MAX];
};

hf_code hf_keeper_new(const hf_config *config, hf_klog *log, hf_codec *codec, const hf_clock *clock, hf_str me,
                      hf_keeper **ret, hf_err *reterr) {
    hf_keeper *k = hf_alloc(sizeof *k);
    if (!k)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    *k = (hf_keeper){.log = log, .codec = codec, .clock = clock};
    hf_arena_init(&k->arena, ARENA_BYTES);
    hf_buf_init(&k->out, HF_MAX_RECORD);
    k->ticker = hf_ticker_new(&(hf_ticker_options){me, STAND_IN_MS, REPEAT_MS});
    hf_code rc = k->ticker ? hf_listed_read(config, hf_wall_ms(clock), &k->listed, reterr)
                           : hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    if (rc == HF_OK)
        rc = hf_klog_partitions(log, HF_TOPIC_JOB_EVENTS, &k->partitions, reterr);
    k->settle_ms = k->listed ? 0 : INT64_MAX;
    if (rc == HF_OK)
        *ret = k;
    else
        hf_keeper_free(k);
    return rc;
}

void hf_keeper_free(hf_keeper *k) {
    if (!k)
        return;
    hf_ticker_free(k->ticker);
    hf_listed_free(k->listed);
    hf_arena_done(&k->arena);
    hf_buf_done(&k->out);
    free(k);
}

size_t hf_keeper_count(const hf_keeper *k) { return hf_ticker_count(k->ticker); }

/* ---- what the log says ------------------------------------------------------------------------------------- */
static hf_code pass_by(hf_keeper *k, const hf_log_record *r, const char *why) {
    HF_LOG(WARN, "schedule-invalid", {"schedule", HF_V_STR(r->key)}, {"detail", HF_V_Z(why)},
           {"offset", HF_V_INT(r->offset)});
    hf_ticker_drop(k->ticker, r->key);
    return HF_OK;
}

static hf_code check(hf_keeper *k, const hf_log_record *r, hf_schedule *s, hf_err *reterr) {
    hf_intake_errors *errors = hf_arena_alloc(&k->arena, 2 * sizeof *errors);
    if (!errors)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedule %.*s", HF_STR_ARG(r->key));
    if (!hf_str_eq(s->schedule_id, r->key))
        return hf_fail(reterr, HF_E_INVALID, "schedule_id differs from the record's key");
    if (s->created_at == 0) /* written by hand: then the log says when */
        s->created_at = r->timestamp_ms;
    if (s->updated_at == 0)
        s->updated_at = r->timestamp_ms;
    hf_schedule_check(s, hf_wall_ms(k->clock), &k->arena, errors, errors + 1);
    if (errors->count == 0)
        return HF_OK;
    return errors->text[0].p ? hf_fail(reterr, HF_E_INVALID, "%.*s", HF_STR_ARG(errors->text[0]))
                             : hf_fail(reterr, HF_E_NO_MEMORY, "schedule %.*s", HF_STR_ARG(r->key));
}

hf_code hf_keeper_record(hf_keeper *k, hf_replica *replica, const hf_log_record *r, hf_err *reterr) {
    hf_schedule s;
    hf_schedule_runs runs;
    hf_err err = {0};
    hf_arena_reset(&k->arena);
    if (!r->value.p) {
        hf_ticker_drop(k->ticker, r->key);
        return HF_OK;
    }
    hf_code rc = hf_decode(k->codec, HF_SCHEMA_SCHEDULE, r->value, &k->arena, &s, &err);
    if (rc == HF_OK)
        rc = check(k, r, &s, &err);
    if (rc == HF_OK && !hf_replica_schedule_runs(replica, s.schedule_id, &runs))
        rc = hf_fail(&err, HF_E_NO_MEMORY, "the runs of schedule %.*s", HF_STR_ARG(r->key));
    if (rc == HF_OK)
        rc = hf_ticker_put(k->ticker, &s, hf_klog_partition_of(s.schedule_id, k->partitions), &runs, &err);
    if (rc == HF_OK)
        return HF_OK;
    if (rc == HF_E_NO_MEMORY || hf_code_policy(rc) == HF_POLICY_RETRY)
        return hf_fail(reterr, rc, "%s", err.detail);
    return pass_by(k, r, err.detail);
}

void hf_keeper_change(hf_keeper *k, hf_replica *replica, const hf_change *c) {
    hf_str id;
    hf_schedule_runs runs;
    if (c->verdict == HF_V_ACCEPTED && c->after && c->after->spec && hf_origin_schedule(c->after->spec->origin, &id) &&
        hf_replica_schedule_runs(replica, id, &runs))
        hf_ticker_runs(k->ticker, id, &runs);
}

void hf_keeper_owned(hf_keeper *k, const uint64_t *bits, size_t words) { hf_ticker_owned(k->ticker, bits, words); }

/* ---- the configuration's list ------------------------------------------------------------------------------- */
static hf_code publish(void *ctx, hf_str id, const hf_schedule *schedule, hf_err *reterr) {
    hf_keeper *k = ctx;
    hf_buf_clear(&k->out);
    hf_code rc = schedule ? hf_encode(k->codec, HF_SCHEMA_SCHEDULE, schedule, &k->out, reterr) : HF_OK;
    if (rc == HF_OK)
        rc = hf_klog_produce(k->log, HF_TOPIC_SCHEDULES, -1, id, schedule ? hf_buf_str(&k->out) : HF_STR_NONE,
                             "Schedule", NULL, 0, TAG_LISTED, reterr);
    if (rc == HF_OK)
        HF_LOG(INFO, "schedule-of-configuration", {"schedule", HF_V_STR(id)},
               {"what", HF_V_Z(schedule ? "published" : "taken away")});
    return rc;
}

/* What could not be produced now, or is not acknowledged, differs still when it is looked at again. */
static hf_code settle(hf_keeper *k, int64_t mono, hf_err *reterr) {
    k->settle_ms = INT64_MAX;
    hf_code rc = hf_listed_settle(k->listed, k->ticker, hf_wall_ms(k->clock), publish, k, reterr);
    if (rc == HF_OK)
        return HF_OK;
    k->settle_ms = mono + SETTLE_AGAIN_MS;
    return rc == HF_E_LOG_QUEUE_FULL ? HF_OK : rc;
}

void hf_keeper_report(hf_keeper *k, uint64_t tag, const hf_report *report) {
    (void)tag;
    if (report->error == HF_OK)
        return;
    HF_LOG(WARN, "schedule-not-acknowledged", {"error", HF_V_Z(hf_code_name(report->error))},
           {"detail", HF_V_Z(report->detail)});
    k->settle_ms = hf_mono_ms(k->clock) + SETTLE_AGAIN_MS;
}

/* ---- what is due --------------------------------------------------------------------------------------------- */
static hf_code propose(hf_keeper *k, const hf_record *r, hf_err *reterr) {
    const hf_ev_created *created = HF_LIST_AT(r->transitions, hf_variant, 0)->record;
    hf_buf_clear(&k->out);
    hf_code rc = hf_encode(k->codec, HF_SCHEMA_RECORD, r, &k->out, reterr);
    if (rc == HF_OK)
        rc = hf_klog_produce(k->log, HF_TOPIC_JOB_EVENTS, -1, r->job_id, hf_buf_str(&k->out), "JobEvent", NULL, 0, 0,
                             reterr);
    if (rc != HF_OK && hf_code_policy(rc) == HF_POLICY_REJECT) {
        HF_LOG_ERR(ERROR, "schedule-run-refused", reterr, {"job", HF_V_STR(r->job_id)},
                   {"origin", HF_V_STR(created->spec.origin)});
        hf_ticker_give_up(k->ticker, r);
        return HF_OK;
    }
    if (rc == HF_OK)
        HF_LOG(INFO, "schedule-due", {"job", HF_V_STR(r->job_id)}, {"origin", HF_V_STR(created->spec.origin)},
               {"late_ms", HF_V_INT(r->at - created->spec.scheduled_for)});
    hf_fault_point("schedule-after-propose");
    return rc;
}

hf_code hf_keeper_step(hf_keeper *k, bool *ret_more, hf_err *reterr) {
    int64_t mono = hf_mono_ms(k->clock);
    *ret_more = false;
    if (k->settle_ms <= mono) {
        hf_code rc = settle(k, mono, reterr);
        if (rc != HF_OK)
            return rc;
    }
    hf_arena_reset(&k->arena);
    size_t n = hf_ticker_due(k->ticker, hf_wall_ms(k->clock), mono, &k->arena, k->due, DUE_MAX);
    *ret_more = n == DUE_MAX;
    for (size_t i = 0; i < n; i++) {
        hf_code rc = propose(k, &k->due[i], reterr);
        if (rc == HF_E_LOG_QUEUE_FULL)
            return HF_OK; /* what did not come back is proposed again */
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}

int64_t hf_keeper_idle_ms(const hf_keeper *k) {
    int64_t idle = hf_ticker_idle_ms(k->ticker, hf_wall_ms(k->clock));
    if (k->settle_ms == INT64_MAX)
        return idle;
    int64_t settle = k->settle_ms - hf_mono_ms(k->clock);
    return settle < 0 ? 0 : settle < idle ? settle : idle;
}
