// LIBS: hf_schedule
/* What a dispatcher pays for schedules: putting N of them in (a start), a call of the ticker when nothing is due, one when
 * `due` of them are (each proposal built, as it would be produced), and the news of a run. 1 in 10 is `@every`, the rest cron
 * expressions spread over the hours of a day and four time zones.
 * One core, no I/O; measured in the thread's own time. Usage: bench_schedules [schedules]; prints a line each. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "producer/schedule/ticker.h"
#include "schemas/base/mem.h"

enum { DUE_MAX = 512, IDLE_CALLS = 1000000 };
#define BEGIN_MS INT64_C(1768521600000)

static int64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const char *zones[] = {"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"};

static void put(hf_ticker *t, int i) {
    char id[32], text[64];
    hf_schedule s;
    hf_schedule_runs runs = {.outcome = HF_S_NONE};
    hf_err err;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    snprintf(id, sizeof id, "schedule-%d", i);
    if (i % 10 == 0)
        snprintf(text, sizeof text, "@every %ds", 3600 + i % 86400);
    else
        snprintf(text, sizeof text, "%d %d * * *", i % 60, i / 60 % 24);
    s.schedule_id = hf_str_of(id);
    s.schedule = hf_str_of(text);
    s.time_zone = hf_str_of(zones[i % 4]);
    s.overlap = HF_OVERLAP_ALLOW;
    s.created_at = s.updated_at = BEGIN_MS - 1000;
    s.job_template.name = HF_STR("nightly export");
    s.job_template.vm_path = HF_STR("/dc1/vm/production/web-01");
    s.job_template.output_dir = HF_STR("/exports/nightly");
    s.job_template.format = HF_STR("ova");
    if (hf_ticker_put(t, &s, i % 12, &runs, &err) != HF_OK) {
        fprintf(stderr, "%s\n", err.detail);
        exit(70);
    }
}

int main(int argc, char **argv) {
    static const hf_ticker_options options = {.me = HF_STR_INIT("bench"), .stand_in_ms = 5000, .repeat_ms = 5000};
    static hf_record due[DUE_MAX];
    int count = argc > 1 ? atoi(argv[1]) : 100000;
    uint64_t all = UINT64_MAX;
    hf_arena arena;
    hf_arena_init(&arena, (size_t)64 << 20);
    hf_ticker *t = hf_ticker_new(&options);
    if (!t)
        return 70;
    hf_ticker_owned(t, &all, 1);

    size_t before = mallinfo2().uordblks;
    int64_t from = thread_ns();
    for (int i = 0; i < count; i++)
        put(t, i);
    double put_us = (double)(thread_ns() - from) / 1e3 / count;
    from = thread_ns();
    hf_ticker_due(t, BEGIN_MS, 1, &arena, due, DUE_MAX);
    printf("start: %d schedules, %.2f us each to put, %.2f us each for the first look, %zu bytes each\n", count, put_us,
           (double)(thread_ns() - from) / 1e3 / count, (mallinfo2().uordblks - before) / (size_t)count);

    from = thread_ns();
    for (int i = 0; i < IDLE_CALLS; i++)
        hf_ticker_due(t, BEGIN_MS + i % 1000, 1 + i % 1000, &arena, due, DUE_MAX);
    printf("a call with nothing due: %.0f ns\n", (double)(thread_ns() - from) / IDLE_CALLS);

    uint64_t fired = 0;
    int64_t worst = 0, begun = thread_ns();
    for (int64_t s = 1; s <= 3600; s++) { /* an hour, a call each second */
        from = thread_ns();
        for (size_t n = DUE_MAX; n == DUE_MAX; fired += n) {
            hf_arena_reset(&arena);
            n = hf_ticker_due(t, BEGIN_MS + s * 1000, 1 + s * 1000, &arena, due, DUE_MAX);
            for (size_t i = 0; i < n; i++) {
                const hf_ev_created *c = HF_LIST_AT(due[i].transitions, hf_variant, 0)->record;
                hf_str id;
                hf_schedule_runs runs = {.count = 1, .nominal = c->spec.scheduled_for, .outcome = HF_S_NONE};
                if (hf_origin_schedule(c->spec.origin, &id))
                    hf_ticker_runs(t, id, &runs);
            }
        }
        worst = thread_ns() - from > worst ? thread_ns() - from : worst;
    }
    double took = (double)(thread_ns() - begun) / 1e3;
    printf("an hour: %" PRIu64
           " runs due, %.2f us each with their news; the dearest second %.2f ms; %.3f %% of a core\n",
           fired, fired ? took / (double)fired : 0, (double)worst / 1e6, took / 3600e6 * 100);
    hf_ticker_free(t);
    hf_arena_done(&arena);
    return 0;
}
