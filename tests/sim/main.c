/* sim [--seeds N] [--from SEED] [--seed SEED [--verbose]] [--expect-violation]
 *   runs N schedules from seed FROM on (default 20000 from 1) and prints how many a second; the first that fails is
 *   printed with its seed and the command that replays it. --expect-violation: fails unless one fails, for builds
 *   whose fold is broken on purpose. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "schemas/base/clock.h"
#include "tests/sim/sim.h"

static sim_world world;

/* A crash in what is tested is a failing seed, too. */
static void say_seed(void) { fprintf(stderr, "sim: died in seed %" PRIu64 "\n", world.seed); }
static void on_death(int number) {
    say_seed();
    signal(number, SIG_DFL);
    raise(number);
}
/* The sanitizers end a program in ways of their own unless told to abort. */
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1"; }

static void print_counts(const sim_world *w, uint64_t seeds, double seconds, uint64_t steps) {
    double cpu = (double)clock() / CLOCKS_PER_SEC; /* one thread: what it would take on a core of its own */
    printf("%" PRIu64 " schedules in %.1f s (%.1f s of CPU): %.0f schedules/s, %.0f steps/s of CPU\n", seeds, seconds,
           cpu, (double)seeds / cpu, (double)steps / cpu);
    printf("%" PRIu64 " proposals of schedules' runs, %" PRIu64 " triggers, %" PRIu64 " jumps of a clock; %" PRIu64
           " runs owed in calms, and there\n",
           w->counts.ticks, w->counts.triggers, w->counts.jumps, w->counts.owed);
    printf("%" PRIu64 " records (%" PRIu64 " proposals accepted), %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64
           " forged; %" PRIu64 " runs, %" PRIu64 " announcements on record, %" PRIu64 " crashes, %" PRIu64
           " sleeps, %" PRIu64 " restarts, %" PRIu64 " controls, %" PRIu64 " limits told\n",
           w->counts.records, w->counts.accepted, w->counts.lost, w->counts.duplicates, w->counts.forged,
           w->counts.runs, w->counts.announced, w->counts.crashes, w->counts.pauses, w->counts.restarts,
           w->counts.controls, w->counts.limits);
}

/* Schedules in which some kind of event never happens prove nothing about it. */
static bool print_coverage(const sim_world *w) {
    bool all = w->counts.announced > 0 && w->counts.owed > 0 && w->counts.jumps > 0 && w->counts.limits > 0 &&
               w->counts.controls > 0 && w->counts.taken > 0 && w->counts.full > 0;
    printf("limits: %" PRIu64 " grants taken, %" PRIu64 " refused, %" PRIu64 " freed\n", w->counts.taken,
           w->counts.full, w->counts.freed);
    fputs("accepted:", stdout);
    for (int e = 0; e < HF_EVENT_COUNT; e++) {
        printf(" %s %" PRIu64, hf_event_name((hf_event)e), w->happened[e]);
        all = all && w->happened[e];
    }
    fputs("\nverdicts:", stdout);
    for (int v = 0; v < HF_VERDICT_COUNT; v++)
        if (w->verdicts[v])
            printf(" %s %" PRIu64, hf_verdict_name((hf_verdict)v), w->verdicts[v]);
    putchar('\n');
    return all;
}

/* A schedule is nothing but its seed: run again after others, it ends in the same state after as many steps. */
static bool replays(sim_world *w, uint64_t seed) {
    uint64_t steps = w->steps, digests[SIM_PARTITIONS];
    memcpy(digests, w->end_digest, sizeof digests);
    if (sim_schedule(w, seed) && w->steps == steps && memcmp(digests, w->end_digest, sizeof digests) == 0)
        return true;
    sim_violation(w, "run a second time, it went another way");
    return false;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'},      {"from", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},       {"verbose", no_argument, NULL, 'v'},
        {"expect-violation", no_argument, NULL, 'x'}, {NULL, 0, NULL, 0}};
    uint64_t seeds = 20000, from = 1, steps = 0, ran = 0;
    bool expect = false, failed = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'n': seeds = strtoull(optarg, NULL, 0); break;
        case 'f': from = strtoull(optarg, NULL, 0); break;
        case 's': from = strtoull(optarg, NULL, 0), seeds = 1; break;
        case 'v': world.verbose = setvbuf(stdout, NULL, _IOLBF, 0) == 0; break;
        case 'x': expect = true; break;
        default: return 64;
        }
    }
    hf_err err;
    if (hf_codec_new(NULL, NULL, &world.codec, &err) != HF_OK)
        return fprintf(stderr, "sim: %s\n", err.detail), 70;
    hf_arena_init(&world.arena, (size_t)256 << 20);
    hf_arena_init(&world.scratch, (size_t)16 << 20);
    hf_buf_init(&world.bytes, HF_MAX_RECORD);
    signal(SIGABRT, on_death);
    signal(SIGSEGV, on_death);
    int64_t began = hf_mono_ns();
    for (uint64_t i = 0; i < seeds && !failed; i++, ran++) {
        failed = !sim_schedule(&world, from + i);
        steps += world.steps;
        if (!failed && i % 50 == 0 && !world.verbose)
            failed = !replays(&world, from + i);
    }
    print_counts(&world, ran, (double)(hf_mono_ns() - began) / 1e9, steps);
    bool covered = print_coverage(&world) || ran < 1000;
    if (!covered && !failed)
        puts("a kind of event never happened in all these schedules");
    if (failed)
        printf("seed %" PRIu64 ": %s\nreplay: %s --seed %" PRIu64 " --verbose\n", world.seed, world.violation, argv[0],
               world.seed);
    free(world.events);
    for (int t = 0; t < SIM_TOPICS; t++)
        for (int p = 0; p < SIM_PARTITIONS; p++)
            free(world.log[t][p].entries);
    hf_buf_done(&world.bytes);
    hf_arena_done(&world.arena);
    hf_arena_done(&world.scratch);
    hf_codec_free(world.codec);
    if (expect)
        puts(failed ? "broken on purpose, and found" : "broken on purpose, and NOT found");
    return failed == expect && (covered || failed) ? 0 : 1;
}
