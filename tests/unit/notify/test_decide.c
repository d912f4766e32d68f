/* What is sent when, and what an outcome means: every rule of the core by itself, with time in the test's hand. */
#include "rig.h"

#include <stdio.h>

#include "schemas/base/mem.h"

enum { P = 3 }; /* the partition that most tests use */

static void open_one(rig *r, hf_decide_options options, hf_webhook w) {
    rig_open(r, options);
    rig_hook(r, &w);
    hf_decide_caught_up(r->core);
    hf_decide_own(r->core, P, true);
}

/* ---- retries --------------------------------------------------------------------------------------------------------- */
static void retries_double_with_jitter(void **state) {
    (void)state;
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        rig r = {.seed = seed};
        hf_webhook w = rig_webhook("a");
        w.retry = 6;
        open_one(&r, (hf_decide_options){.backoff_max_ms = 10 * SECOND, .breaker_failures = 1000}, w);
        rig_event(&r, P, 7, HF_WE_JOB_CREATED, "j");
        rig_pass(&r, 0);
        static const int64_t want[] = {1000, 2000, 4000, 8000, 10000, 10000};
        for (int32_t i = 0; i < 6; i++) {
            hf_decide_send s = rig_must(&r);
            assert_int_equal(s.attempt, i + 1);
            assert_int_equal(hf_place_offset(s.place), 7);
            hf_delivery d = rig_fail(&r, &s);
            assert_int_equal(d.outcome, HF_DELIVERY_RETRYING);
            assert_int_equal(d.attempt, i + 1);
            int64_t wait = d.next_at - r.wall;
            assert_in_range(wait, want[i] * 4 / 5, want[i] * 6 / 5);
            least = i == 3 && wait < least ? wait : least;
            most = i == 3 && wait > most ? wait : most;
            rig_pass(&r, wait - 1);
            rig_nothing(&r);
            assert_true(hf_decide_next_ms(r.core) <= r.mono + 1);
            rig_pass(&r, 1);
        }
        hf_decide_send s = rig_must(&r);
        hf_delivery d = rig_fail(&r, &s);
        assert_int_equal(d.outcome, HF_DELIVERY_FAILED);
        assert_int_equal(d.attempt, 7);
        assert_int_equal(d.next_at, 0);
        rig_pass(&r, HOUR);
        rig_nothing(&r);
        assert_int_equal(rig_stat(&r).failed_kept, 1);
        rig_close(&r);
    }
    assert_true(least < 7000 && most > 9000); /* it is jitter, not a constant */
}

static void no_retry_is_one_attempt(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    w.retry = 0;
    open_one(&r, (hf_decide_options){0}, w);
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 0);
    hf_decide_send s = rig_must(&r);
    assert_int_equal(rig_fail(&r, &s).outcome, HF_DELIVERY_FAILED);
    rig_close(&r);
}

static void retry_after_holds_the_endpoint(void **state) {
    (void)state;
    static const struct { int64_t asked, waits; } cases[] = {{90 * SECOND, 90 * SECOND}, {48LL * HOUR, HOUR}};
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        rig r = {.seed = 5};
        open_one(&r, (hf_decide_options){.retry_after_max_ms = HOUR}, rig_webhook("a"));
        rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
        rig_pass(&r, 0);
        hf_decide_send s = rig_must(&r);
        hf_delivery d = rig_answer(&r, &s, HF_POST_RETRY, 429, cases[i].asked);
        assert_int_equal(d.next_at - r.wall, cases[i].waits);
        rig_event(&r, P, 1, HF_WE_JOB_CREATED, "k"); /* nor anything else to it */
        rig_pass(&r, cases[i].waits - 1);
        rig_nothing(&r);
        rig_pass(&r, 1);
        assert_int_equal(rig_must(&r).attempt, 2);
        assert_int_equal(hf_place_offset(rig_must(&r).place), 1);
        rig_close(&r);
    }
}

static void a_short_retry_after_shortens_nothing(void **state) {
    (void)state;
    rig r = {.seed = 5};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 0);
    hf_decide_send s = rig_must(&r);
    assert_true(rig_answer(&r, &s, HF_POST_RETRY, 503, 1).next_at - r.wall >= 800);
    rig_close(&r);
}

/* ---- switched off ------------------------------------------------------------------------------------------------------ */
static void gone_asks_to_be_switched_off(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    open_one(&r, (hf_decide_options){.endpoint_in_flight = 1}, w);
    for (int64_t o = 0; o < 3; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 0);
    hf_decide_send s = rig_must(&r);
    bool final = false, off = false;
    hf_delivery d = rig_outcome(&r, &s, HF_POST_GONE, 410, -1, &final, &off);
    assert_int_equal(d.outcome, HF_DELIVERY_DISABLED);
    assert_true(final && off);
    hf_decide_reported(r.core, s.tag);
    rig_read(&r, &d);
    rig_pass(&r, 10);
    rig_nothing(&r); /* the record that switches it off is on its way */
    w.enabled = false;
    rig_hook(&r, &w);
    rig_pass(&r, HOUR);
    rig_nothing(&r); /* its events wait … */
    w.enabled = true;
    rig_hook(&r, &w);
    rig_pass(&r, 1);
    s = rig_must(&r); /* … and are told when it is switched on again */
    assert_int_equal(hf_place_offset(s.place), 1);
    rig_close(&r);
}

static void switched_off_waits_until_too_old(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    w.enabled = false;
    open_one(&r, (hf_decide_options){.max_age_ms = HOUR}, w);
    for (int64_t o = 0; o < 1000; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, HOUR);
    rig_nothing(&r);
    assert_int_equal(rig_stat(&r).queued, 0); /* and takes no room meanwhile */
    uint32_t failed = 0;
    hf_decide_send s;
    for (int i = 0; i < 20; i++) {
        rig_pass(&r, 1000);
        for (; rig_next(&r, &s); failed++) {
            assert_true(s.expired);
            assert_int_equal(rig_answer(&r, &s, HF_POST_REFUSED, 0, -1).outcome, HF_DELIVERY_FAILED);
        }
    }
    assert_int_equal(failed, 1000);
    rig_close(&r);
}

/* ---- age ------------------------------------------------------------------------------------------------------------------ */
static void too_old_is_failed_and_kept(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){.max_age_ms = HOUR, .keep_ms = 5LL * HOUR}, rig_webhook("a"));
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, HOUR + 1);
    hf_decide_send s = rig_must(&r);
    assert_true(s.expired && s.entry);
    bool final, off;
    hf_delivery d = rig_outcome(&r, &s, HF_POST_REFUSED, 0, -1, &final, &off);
    assert_int_equal(d.outcome, HF_DELIVERY_FAILED);
    assert_int_equal(d.attempt, 0);
    assert_non_null(strstr(d.error.p, "webhook.max_age"));
    assert_true(final && !off);
    hf_decide_reported(r.core, s.tag);
    rig_read(&r, &d);
    hf_decide_tidy(r.core, r.wall, r.mono + HOUR);
    assert_int_equal(hf_outbox_count(r.outbox), 1);
    rig_replay(&r, "a", P, 0, HF_WE_JOB_CREATED); /* whatever its age */
    rig_pass(&r, 10);
    s = rig_must(&r);
    assert_false(s.expired);
    rig_fail(&r, &s);
    rig_pass(&r, 2 * SECOND);
    s = rig_must(&r);
    assert_int_equal(s.attempt, 2);
    rig_deliver(&r, &s);
    hf_decide_tidy(r.core, r.wall, r.mono + HOUR);
    assert_int_equal(hf_outbox_count(r.outbox), 0);
    rig_close(&r);
}

/* It grows old while it waits for its next attempt, or in the queue. */
static void too_old_between_attempts(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){.max_age_ms = 1500}, rig_webhook("a"));
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 700);
    hf_decide_send s = rig_must(&r);
    int64_t wait = rig_fail(&r, &s).next_at - r.wall;
    rig_pass(&r, 100); /* a turn shortly before, so that a sweep is not due at the time */
    rig_pass(&r, wait - 100 > 701 ? wait - 100 : 701);
    s = rig_must(&r);
    assert_true(s.expired);
    assert_int_equal(s.attempt, 1);
    assert_int_equal(rig_answer(&r, &s, HF_POST_REFUSED, 0, -1).outcome, HF_DELIVERY_FAILED);
    rig_close(&r);
}

/* No room to write the record of it: it stays what it is, and is not sent after all. */
static void too_old_stays_too_old(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){.max_age_ms = HOUR}, rig_webhook("a"));
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, HOUR + 1);
    for (int i = 0; i < 3; i++) {
        hf_decide_send s = rig_must(&r);
        assert_true(s.expired);
        assert_int_equal(s.attempt, 0);
        hf_decide_unsent(r.core, s.tag, 0);
    }
    rig_close(&r);
}

static void failed_is_kept_for_a_time(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    w.retry = 0;
    open_one(&r, (hf_decide_options){.keep_ms = 48LL * HOUR}, w);
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 0);
    hf_decide_send s = rig_must(&r);
    rig_fail(&r, &s);
    rig_pass(&r, 47LL * HOUR);
    hf_decide_tidy(r.core, r.wall, r.mono);
    assert_int_equal(hf_outbox_count(r.outbox), 1);
    rig_pass(&r, 2LL * HOUR);
    hf_decide_tidy(r.core, r.wall, r.mono);
    assert_int_equal(hf_outbox_count(r.outbox), 0);
    assert_int_equal(rig_stat(&r).failed_kept, 0);
    rig_replay(&r, "a", P, 0, HF_WE_JOB_CREATED); /* too late, and it says so */
    rig_pass(&r, 10);
    s = rig_must(&r);
    assert_true(s.expired && !s.entry);
    assert_int_equal(rig_answer(&r, &s, HF_POST_REFUSED, 0, -1).outcome, HF_DELIVERY_FAILED);
    rig_pass(&r, MINUTE);
    rig_nothing(&r);
    rig_close(&r);
}

/* ---- the breaker -------------------------------------------------------------------------------------------------------- */
static void breaker_opens_probes_and_closes(void **state) {
    (void)state;
    rig r = {.seed = 9};
    hf_webhook w = rig_webhook("a");
    w.retry = 0;
    open_one(&r, (hf_decide_options){.breaker_failures = 5, .breaker_max_ms = 8 * SECOND}, w);
    for (int64_t o = 0; o < 100; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 0);
    for (int i = 0; i < 5; i++) {
        hf_decide_send s = rig_must(&r);
        assert_int_equal(rig_stat(&r).blocked, 0);
        rig_fail(&r, &s);
    }
    assert_int_equal(rig_stat(&r).blocked, 1);
    static const int64_t want[] = {1000, 2000, 4000, 8000, 8000, 8000};
    for (size_t i = 0; i < HF_ARRAY_LEN(want); i++) {
        rig_pass(&r, want[i] * 4 / 5 - 1);
        rig_nothing(&r);
        rig_pass(&r, want[i] * 2 / 5 + 2);
        hf_decide_send s = rig_must(&r);
        rig_nothing(&r); /* one at a time */
        if (i + 1 < HF_ARRAY_LEN(want))
            rig_fail(&r, &s);
        else
            rig_deliver(&r, &s);
    }
    assert_int_equal(rig_stat(&r).blocked, 0);
    rig_pass(&r, 10);
    for (int i = 0; i < 8; i++)
        rig_must(&r);
    rig_nothing(&r); /* as many as endpoint_in_flight */
    rig_close(&r);
}

/* Those under way when it opened tell of the same outage: they do not double the time to the probe. */
static void stragglers_do_not_count_twice(void **state) {
    (void)state;
    rig r = {.seed = 9};
    hf_decide_send s[8];
    open_one(&r, (hf_decide_options){.breaker_failures = 2}, rig_webhook("a"));
    for (int64_t o = 0; o < 100; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 0);
    for (int i = 0; i < 8; i++)
        s[i] = rig_must(&r);
    for (int i = 0; i < 8; i++)
        rig_fail(&r, &s[i]);
    rig_pass(&r, 1201);
    rig_must(&r);
    rig_close(&r);
}

/* ---- bounds ---------------------------------------------------------------------------------------------------------------- */
static void queues_are_bounded(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){.queue_max = 20, .in_flight = 6, .endpoint_in_flight = 4}, rig_webhook("a"));
    hf_webhook b = rig_webhook("b");
    rig_hook(&r, &b);
    for (int64_t o = 0; o < 5000; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    assert_int_equal(rig_stat(&r).queued, 40);
    uint32_t a = 0, n = 0, told[2] = {0};
    hf_decide_send s[6], more;
    for (; n < 6; n++) {
        s[n] = rig_must(&r);
        a += hf_str_eqz(s[n].webhook->endpoint_id, "a");
    }
    assert_false(rig_next(&r, &more)); /* all of them */
    assert_int_equal(a, 3);            /* in turn */
    while (n) {
        n--;
        told[hf_str_eqz(s[n].webhook->endpoint_id, "b")]++;
        rig_deliver(&r, &s[n]);
    }
    for (;;) {
        rig_pass(&r, 10);
        assert_true(rig_stat(&r).queued <= 40);
        if (!rig_next(&r, &more))
            break;
        told[hf_str_eqz(more.webhook->endpoint_id, "b")]++;
        rig_deliver(&r, &more);
    }
    assert_int_equal(told[0], 5000);
    assert_int_equal(told[1], 5000);
    rig_close(&r);
}

static void name_of(char name[16], int i) { snprintf(name, 16, "e%04d", i); }

/* 1,000 endpoints, one of them dead (or as good as): all the others are told of all, and wait for nothing. */
static void a_dead_endpoint_holds_up_no_other(void **state) {
    (void)state;
    enum { ENDPOINTS = 1000, EVENTS = 40, DEAD = 17 };
    rig r = {.seed = 3};
    rig_open(&r, (hf_decide_options){0});
    char name[16];
    for (int i = 0; i < ENDPOINTS; i++) {
        name_of(name, i);
        hf_webhook w = rig_webhook(name);
        rig_hook(&r, &w);
    }
    hf_decide_caught_up(r.core);
    hf_decide_own(r.core, P, true);
    for (int64_t o = 0; o < EVENTS; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 1);
    uint32_t told = 0;
    hf_decide_send s, hanging[8];
    uint32_t hangs = 0;
    while (rig_next(&r, &s)) {
        name_of(name, DEAD);
        if (hf_str_eqz(s.webhook->endpoint_id, name)) {
            assert_true(hangs < 8); /* it takes so many places, and no more */
            hanging[hangs++] = s;
            continue;
        }
        rig_deliver(&r, &s);
        told++;
        rig_pass(&r, 0);
    }
    assert_int_equal(told, (ENDPOINTS - 1) * EVENTS);
    assert_int_equal(hangs, 8);
    for (uint32_t i = 0; i < hangs; i++)
        rig_fail(&r, &hanging[i]);
    rig_close(&r);
}

/* Those that are too slow for all that happens take no more of the memory than their share. */
static void slow_endpoints_leave_room_for_others(void **state) {
    (void)state;
    enum { SLOW = 1100, EVENTS = 260 };
    rig r = {.seed = 3};
    rig_open(&r, (hf_decide_options){.in_flight = 1 << 20});
    char name[16];
    for (int i = 0; i < SLOW; i++) {
        name_of(name, i);
        hf_webhook w = rig_webhook(name);
        rig_hook(&r, &w);
    }
    hf_decide_caught_up(r.core);
    hf_decide_own(r.core, P, true);
    for (int64_t o = 0; o < EVENTS; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 1000);
    hf_decide_send s;
    while (rig_next(&r, &s)) /* all of them hang */
        ;
    hf_webhook w = rig_webhook("late");
    rig_hook(&r, &w);
    rig_pass(&r, 1000);
    assert_true(rig_next(&r, &s));
    assert_true(hf_str_eqz(s.webhook->endpoint_id, "late"));
    rig_close(&r);
}

/* ---- order ------------------------------------------------------------------------------------------------------------------- */
static void ordered_is_one_at_a_time_per_job(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    w.ordered = true;
    open_one(&r, (hf_decide_options){0}, w);
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_event(&r, P, 1, HF_WE_JOB_STARTED, "j");
    rig_event(&r, P, 2, HF_WE_JOB_CREATED, "k");
    rig_event(&r, P, 3, HF_WE_JOB_COMPLETED, "j");
    rig_pass(&r, 10);
    hf_decide_send first = rig_must(&r), other = rig_must(&r);
    assert_int_equal(hf_place_offset(first.place), 0);
    assert_int_equal(hf_place_offset(other.place), 2); /* another job does not wait */
    rig_nothing(&r);
    rig_deliver(&r, &other);
    int64_t wait = rig_fail(&r, &first).next_at - r.wall;
    rig_pass(&r, wait - 1);
    rig_nothing(&r); /* nor does the job's next overtake what waits for its next attempt */
    rig_pass(&r, 1);
    first = rig_must(&r);
    assert_int_equal(hf_place_offset(first.place), 0);
    rig_deliver(&r, &first);
    for (int64_t o = 1; o <= 3; o += 2) {
        hf_decide_send s = rig_must(&r);
        assert_int_equal(hf_place_offset(s.place), o);
        rig_nothing(&r);
        if (o == 1) /* what is given up lets the next through */
            for (int i = 0; i < 4; i++) {
                wait = rig_fail(&r, &s).next_at - r.wall;
                rig_pass(&r, i < 3 ? wait : 0);
                if (i < 3)
                    s = rig_must(&r);
            }
        else
            rig_deliver(&r, &s);
    }
    rig_nothing(&r);
    assert_int_equal(rig_stat(&r).failed_kept, 1);
    rig_close(&r);
}

static void unordered_is_parallel(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    for (int64_t o = 0; o < 5; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    for (int64_t o = 0; o < 5; o++)
        assert_int_equal(hf_place_offset(rig_must(&r).place), o);
    rig_close(&r);
}

/* The hook that takes over in between keeps the order: what waits for its next attempt stays the job's first. */
static void order_survives_a_takeover(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    w.ordered = true;
    open_one(&r, (hf_decide_options){0}, w);
    for (int64_t o = 0; o < 3; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    hf_decide_send s = rig_must(&r);
    int64_t wait = rig_fail(&r, &s).next_at - r.wall;
    hf_decide_own(r.core, P, false);
    rig_pass(&r, 10);
    rig_nothing(&r);
    assert_int_equal(rig_stat(&r).queued, 0);
    hf_decide_own(r.core, P, true);
    rig_pass(&r, wait - 11);
    rig_nothing(&r);
    rig_pass(&r, 1);
    s = rig_must(&r);
    assert_int_equal(hf_place_offset(s.place), 0);
    assert_int_equal(s.attempt, 2); /* attempts made by another count */
    rig_nothing(&r);
    rig_close(&r);
}

/* ---- replay ------------------------------------------------------------------------------------------------------------------ */
static void replay_of_what_failed_and_of_what_arrived(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    w.retry = 1;
    open_one(&r, (hf_decide_options){0}, w);
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_event(&r, P, 1, HF_WE_JOB_CREATED, "k");
    rig_pass(&r, 10);
    hf_decide_send s = rig_must(&r), t = rig_must(&r);
    rig_fail(&r, &s);
    rig_deliver(&r, &t);
    rig_pass(&r, 2 * SECOND);
    s = rig_must(&r);
    assert_int_equal(rig_fail(&r, &s).outcome, HF_DELIVERY_FAILED);
    hf_place place = s.place;
    for (int i = 0; i < 3; i++) { /* as often as one likes, with all its attempts each time */
        rig_replay(&r, "a", P, 0, HF_WE_JOB_CREATED);
        rig_replay(&r, "a", P, 0, HF_WE_JOB_CREATED); /* twice is once */
        rig_pass(&r, 10);
        s = rig_must(&r);
        rig_nothing(&r);
        assert_true(s.place == place);
        assert_int_equal(s.attempt, 1);
        assert_int_equal(rig_fail(&r, &s).outcome, HF_DELIVERY_RETRYING);
        rig_pass(&r, 2 * SECOND);
        s = rig_must(&r);
        if (i < 2)
            assert_int_equal(rig_fail(&r, &s).outcome, HF_DELIVERY_FAILED);
        else
            assert_int_equal(rig_deliver(&r, &s).outcome, HF_DELIVERY_DELIVERED);
    }
    rig_pass(&r, MINUTE);
    rig_nothing(&r);
    rig_replay(&r, "a", P, 1, HF_WE_JOB_CREATED); /* what arrived is told again too, while it is kept */
    rig_pass(&r, 10);
    s = rig_must(&r);
    assert_int_equal(hf_place_offset(s.place), 1);
    rig_deliver(&r, &s);
    rig_replay(&r, "nobody", P, 1, HF_WE_JOB_CREATED);
    rig_pass(&r, 10);
    rig_nothing(&r);
    assert_int_equal(rig_stat(&r).endpoints, 1);
    rig_close(&r);
}

/* ---- progress ------------------------------------------------------------------------------------------------------------------ */
static void progress_is_throttled(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook a = rig_webhook("a"), b = rig_webhook("b");
    a.progress_interval_ms = 10 * SECOND;
    b.progress_interval_ms = SECOND;
    open_one(&r, (hf_decide_options){.breaker_failures = 1}, a);
    rig_hook(&r, &b);
    int told[3] = {0};
    for (int i = 0; i < 600; i++) { /* a minute, ten a second */
        told[0] += hf_decide_progress(r.core, &a, HF_STR("j"), r.mono);
        told[1] += hf_decide_progress(r.core, &a, HF_STR("k"), r.mono);
        told[2] += hf_decide_progress(r.core, &b, HF_STR("j"), r.mono);
        rig_pass(&r, 100);
    }
    assert_int_equal(told[0], 6);
    assert_int_equal(told[1], 6);
    assert_int_equal(told[2], 60);
    rig_nothing(&r); /* it is nothing that is kept, or tried again */
    assert_int_equal(hf_outbox_count(r.outbox), 0);
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    hf_decide_send s = rig_must(&r), t = rig_must(&r);
    s = hf_str_eqz(s.webhook->endpoint_id, "a") ? s : t;
    rig_fail(&r, &s);
    rig_pass(&r, MINUTE);
    assert_false(hf_decide_progress(r.core, &a, HF_STR("j"), r.mono)); /* the breaker is open */
    assert_true(hf_decide_progress(r.core, &b, HF_STR("j"), r.mono));
    rig_close(&r);
}

static void a_record_of_progress_is_none_of_the_cores(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    rig_replay(&r, "a", P, 5, HF_WE_JOB_PROGRESS);
    rig_pass(&r, MINUTE);
    rig_nothing(&r);
    rig_close(&r);
}

/* ---- what is whose business ---------------------------------------------------------------------------------------------------- */
static void several_events_of_one_record(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    static const hf_webhook_event events[] = {HF_WE_JOB_STARTED, HF_WE_JOB_COMPLETED, HF_WE_VM_DISCOVERED};
    char ids[3][HF_DELIVERY_ID_BYTES];
    for (uint8_t i = 0; i < 3; i++) {
        hf_str row = rig_row(&r, events[i], "j", r.wall, i);
        assert_ok(hf_outbox_add(r.outbox, P, hf_place_of(9, events[i]), r.mono, row, err));
    }
    rig_pass(&r, 10);
    for (int i = 0; i < 3; i++) {
        hf_decide_send s = rig_must(&r);
        assert_int_equal(hf_place_event(s.place), events[i]);
        assert_int_equal(hf_place_offset(s.place), 9);
        assert_int_equal(s.entry->nth, i);
        hf_webhook_delivery_id(s.webhook->endpoint_id, (hf_position){P + s.entry->nth * (1 << 16), 9}, ids[i]);
        if (i == 1) {
            rig_fail(&r, &s); /* each is settled by itself */
            continue;
        }
        rig_deliver(&r, &s);
    }
    for (int i = 0; i < 3; i++)
        assert_string_not_equal(ids[i], ids[(i + 1) % 3]);
    rig_pass(&r, 2 * SECOND);
    assert_int_equal(hf_place_event(rig_must(&r).place), HF_WE_JOB_COMPLETED);
    rig_nothing(&r);
    rig_close(&r);
}

static void only_what_is_wanted(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    hf_str events[] = {HF_STR("job.failed")};
    hf_position from[] = {{P, 10}};
    w.events = (hf_list){events, 1};
    w.from = (hf_list){from, 1};
    open_one(&r, (hf_decide_options){.grace_ms = 1000}, w);
    rig_event(&r, P, 9, HF_WE_JOB_FAILED, "j"); /* before its time */
    rig_event(&r, P, 10, HF_WE_JOB_CREATED, "k");
    rig_event(&r, P, 11, HF_WE_JOB_FAILED, "k");
    rig_event(&r, P + 1, 0, HF_WE_JOB_FAILED, "l"); /* another hook's */
    rig_pass(&r, 10);
    hf_decide_send s = rig_must(&r);
    assert_int_equal(hf_place_offset(s.place), 11);
    rig_nothing(&r);
    assert_true(hf_decide_wanted(r.core, HF_WE_JOB_FAILED));
    assert_false(hf_decide_wanted(r.core, HF_WE_JOB_PROGRESS));
    rig_deliver(&r, &s);
    rig_pass(&r, 2000);
    hf_decide_tidy(r.core, r.wall, r.mono);
    assert_int_equal(hf_outbox_count(r.outbox), 1); /* the other hook's is not settled */
    rig_close(&r);
}

static void an_endpoint_that_goes(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook w = rig_webhook("a");
    open_one(&r, (hf_decide_options){.grace_ms = 1000}, w);
    for (int64_t o = 0; o < 20; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    hf_decide_send s[3] = {rig_must(&r), rig_must(&r), rig_must(&r)};
    rig_fail(&r, &s[0]);
    hf_decide_webhook_gone(r.core, HF_STR("a"));
    rig_nothing(&r);
    bool final, off;
    hf_delivery d = rig_outcome(&r, &s[1], HF_POST_GONE, 410, -1, &final, &off);
    assert_true(final && !off); /* nothing is there to be switched off */
    assert_true(hf_str_eqz(d.endpoint, "a"));
    assert_int_equal(hf_decide_under_way(r.core, -1), 2);
    rig_outcome(&r, &s[2], HF_POST_RETRY, 500, -1, &final, &off);
    hf_decide_reported(r.core, s[1].tag);
    hf_decide_reported(r.core, s[2].tag);
    assert_int_equal(hf_decide_under_way(r.core, -1), 0);
    rig_pass(&r, 2000);
    hf_decide_tidy(r.core, r.wall, r.mono);
    assert_int_equal(hf_outbox_count(r.outbox), 0);
    hf_position from[] = {{P, 20}};
    w.from = (hf_list){from, 1};
    rig_hook(&r, &w); /* the same name again is another webhook */
    rig_event(&r, P, 20, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    assert_int_equal(hf_place_offset(rig_must(&r).place), 20);
    rig_close(&r);
}

/* ---- ownership ------------------------------------------------------------------------------------------------------------------- */
static void what_is_under_way_is_counted(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    for (int64_t o = 0; o < 4; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    hf_decide_send s = rig_must(&r), t = rig_must(&r);
    assert_int_equal(hf_decide_under_way(r.core, P), 2);
    hf_decide_own(r.core, P, false);
    rig_pass(&r, 10);
    rig_nothing(&r);
    bool final, off;
    hf_delivery d = rig_outcome(&r, &s, HF_POST_DELIVERED, 200, -1, &final, &off);
    assert_int_equal(d.outcome, HF_DELIVERY_DELIVERED);
    assert_int_equal(hf_decide_under_way(r.core, P), 2); /* until its record is acknowledged */
    hf_decide_reported(r.core, s.tag);
    hf_decide_reported(r.core, s.tag); /* once */
    assert_int_equal(hf_decide_under_way(r.core, P), 1);
    rig_outcome(&r, &t, HF_POST_RETRY, 500, -1, &final, &off);
    assert_true(final); /* the next attempt is its new owner's */
    hf_decide_reported(r.core, t.tag);
    assert_int_equal(hf_decide_under_way(r.core, P), 0);
    rig_read(&r, &d);
    rig_pass(&r, MINUTE);
    rig_nothing(&r);
    hf_decide_own(r.core, P, true);
    rig_pass(&r, 10);
    for (int64_t o = 1; o < 4; o++)
        assert_int_equal(hf_place_offset(rig_must(&r).place), o); /* all but what was settled */
    rig_nothing(&r);
    rig_close(&r);
}

static void unsent_is_first_again(void **state) {
    (void)state;
    rig r = {.seed = 1};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    for (int64_t o = 0; o < 4; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    for (int i = 0; i < 5; i++) {
        hf_decide_send s = rig_must(&r);
        assert_int_equal(hf_place_offset(s.place), 0);
        assert_int_equal(s.attempt, 1);
        hf_decide_unsent(r.core, s.tag, 0);
    }
    assert_int_equal(rig_stat(&r).in_flight, 0);
    assert_int_equal(rig_stat(&r).queued, 4);
    rig_close(&r);
}

/* Whoever may write to the topics may write any number. */
static void numbers_without_bounds_are_passed_over(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook far = rig_webhook("far");
    hf_position from = {P, INT64_MAX};
    far.from = (hf_list){&from, 1};
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    rig_hook(&r, &far);
    const hf_delivery wild[] = {{.event_offset = INT64_MAX},
                                {.attempt = INT32_MAX, .outcome = HF_DELIVERY_RETRYING},
                                {.attempt = -1, .outcome = HF_DELIVERY_RETRYING},
                                {.at = INT64_MIN, .outcome = HF_DELIVERY_FAILED},
                                {.next_at = INT64_MAX, .outcome = HF_DELIVERY_RETRYING}};
    for (size_t i = 0; i < HF_ARRAY_LEN(wild); i++) {
        hf_delivery d = wild[i];
        d.endpoint = HF_STR("a");
        d.event = HF_STR("job.created");
        d.event_partition = P;
        rig_read(&r, &d);
    }
    rig_event(&r, P, 0, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    hf_decide_send s = rig_must(&r);
    assert_true(hf_str_eqz(s.webhook->endpoint_id, "a") && s.attempt == 1);
    rig_nothing(&r);
    rig_deliver(&r, &s);
    rig_close(&r);
}

/* How often a loop turns that sleeps as long as it is told to: a sender without room for one endpoint takes nothing of it. */
static void what_has_no_room_is_not_asked_for_again_and_again(void **state) {
    (void)state;
    rig r = {.seed = 1};
    hf_webhook other = rig_webhook("b");
    open_one(&r, (hf_decide_options){0}, rig_webhook("a"));
    rig_hook(&r, &other);
    for (int64_t o = 0; o < 4; o++)
        rig_event(&r, P, o, HF_WE_JOB_CREATED, "j");
    int64_t end = r.mono + 2 * SECOND, turns = 0;
    uint32_t told = 0;
    for (rig_pass(&r, 10); r.mono < end; turns++) {
        hf_decide_send s;
        while (rig_next(&r, &s))
            if (hf_str_eqz(s.webhook->endpoint_id, "a"))
                hf_decide_unsent(r.core, s.tag, r.mono + 20);
            else {
                rig_deliver(&r, &s);
                told++;
            }
        int64_t wait = hf_decide_next_ms(r.core) - r.mono;
        rig_pass(&r, wait > 0 ? wait : 0);
        assert_true(turns < 1000);
    }
    assert_int_equal(told, 4); /* the other one is not held up */
    assert_in_range(turns, 50, 2 * SECOND / 20 + 10);
    assert_int_equal(rig_stat(&r).queued, 4);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_double_with_jitter),
        cmocka_unit_test(no_retry_is_one_attempt),
        cmocka_unit_test(retry_after_holds_the_endpoint),
        cmocka_unit_test(a_short_retry_after_shortens_nothing),
        cmocka_unit_test(gone_asks_to_be_switched_off),
        cmocka_unit_test(switched_off_waits_until_too_old),
        cmocka_unit_test(too_old_is_failed_and_kept),
        cmocka_unit_test(too_old_between_attempts),
        cmocka_unit_test(too_old_stays_too_old),
        cmocka_unit_test(failed_is_kept_for_a_time),
        cmocka_unit_test(breaker_opens_probes_and_closes),
        cmocka_unit_test(stragglers_do_not_count_twice),
        cmocka_unit_test(queues_are_bounded),
        cmocka_unit_test(a_dead_endpoint_holds_up_no_other),
        cmocka_unit_test(slow_endpoints_leave_room_for_others),
        cmocka_unit_test(ordered_is_one_at_a_time_per_job),
        cmocka_unit_test(unordered_is_parallel),
        cmocka_unit_test(order_survives_a_takeover),
        cmocka_unit_test(replay_of_what_failed_and_of_what_arrived),
        cmocka_unit_test(progress_is_throttled),
        cmocka_unit_test(a_record_of_progress_is_none_of_the_cores),
        cmocka_unit_test(several_events_of_one_record),
        cmocka_unit_test(only_what_is_wanted),
        cmocka_unit_test(an_endpoint_that_goes),
        cmocka_unit_test(what_is_under_way_is_counted),
        cmocka_unit_test(unsent_is_first_again),
        cmocka_unit_test(numbers_without_bounds_are_passed_over),
        cmocka_unit_test(what_has_no_room_is_not_asked_for_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
