#include "schemas/job/due.h"

#include "schemas/cron/civil.h"

bool hf_origin_schedule(hf_str origin, hf_str *ret_id) {
    const hf_str front = HF_STR("schedule:");
    if (!hf_str_starts(origin, front))
        return false;
    *ret_id = (hf_str){origin.p + front.len, origin.len - front.len};
    return hf_id_valid(*ret_id);
}

/* FNV-1a, then mixed: its low bits alone are poor. Fixed for ever: replicas of different versions must agree. */
int64_t hf_due_delay_ms(hf_str schedule_id, int64_t jitter_ms) {
    uint64_t h = 0xcbf29ce484222325u;
    if (jitter_ms <= 0)
        return 0;
    for (uint32_t i = 0; i < schedule_id.len; i++)
        h = (h ^ (uint8_t)schedule_id.p[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    return (int64_t)(h % ((uint64_t)jitter_ms + 1));
}

hf_code hf_due_of(const hf_schedule *s, hf_zones *zones, hf_due *ret, hf_err *reterr) {
    hf_due due = {.dst_policy = s->dst_policy == HF_DST_ROBFIG ? HF_DST_ROBFIG : HF_DST_VIXIE,
                  .origin = hf_floor_div(s->created_at, 1000) * 1000,
                  .delay_ms = hf_due_delay_ms(s->schedule_id, s->jitter_ms),
                  .start_at = s->start_at,
                  .end_at = s->end_at};
    if (s->created_at < 0 || s->start_at < 0 || s->end_at < 0 || s->jitter_ms < 0 || s->catchup_window_ms < 0 ||
        s->max_runs < 0)
        return hf_fail(reterr, HF_E_INVALID, "a time or number below 0");
    hf_code rc = hf_cron_parse(s->schedule, &due.cron, NULL, reterr);
    if (rc == HF_OK)
        rc = hf_zones_of(zones, &due.cron, s->time_zone, &due.zone, reterr);
    if (rc == HF_OK)
        *ret = due;
    return rc;
}

static bool next_every(const hf_due *due, int64_t after_ms, int64_t *ret_ms) {
    int64_t step = due->cron.every_s * 1000, gone = after_ms - due->origin;
    int64_t n = gone < 0 ? 1 : gone / step + 1; /* the first is one step behind the origin */
    return !__builtin_mul_overflow(n, step, ret_ms) && !__builtin_add_overflow(*ret_ms, due->origin, ret_ms);
}

bool hf_due_next(const hf_due *due, int64_t after_ms, int64_t *ret_ms) {
    int64_t from = after_ms < due->start_at - 1 ? due->start_at - 1 : after_ms, at = 0;
    bool is = due->cron.every_s > 0 ? next_every(due, from, &at)
                                    : hf_cron_next(&due->cron, due->zone, due->dst_policy, from, &at);
    if (!is || (due->end_at > 0 && at > due->end_at))
        return false;
    *ret_ms = at;
    return true;
}
