/* The next time as robfig/cron v3.0.1 finds it. It moves one instant forward, unit by unit, until all fields agree; where clocks are
 * set it errs in ways that people's schedules have come to rely on, so the moves are kept as they are, one function each. */
#include "schemas/cron/civil.h"
#include "schemas/cron/private.h"

/* More moves than any schedule makes that is due within the years that are searched. */
enum { MOVES_MAX = 100000 };

typedef struct walk {
    const hf_cron *cron;
    const hf_zone *zone;
    int64_t at_s;
    bool moved; /* a field was moved on: the smaller ones have been set to their beginning */
    int moves;
} walk;

static int64_t local_of(const walk *w) { return w->at_s + hf_zone_at(w->zone, w->at_s).offset_s; }
static hf_civil shown(const walk *w) { return hf_civil_of(local_of(w)); }
static bool has(uint64_t bits, int n) { return bits >> n & 1; }

/* A local time as Go's time.Date makes it an instant: it takes the local time for UTC, looks which offset holds then, and, where that
 * does not hold at the instant it leads to, the offset that holds there. An offset of 0 is believed at once. */
static int64_t go_date(const hf_zone *zone, int64_t local_s) {
    hf_zone_span span = hf_zone_at(zone, local_s);
    int64_t at = local_s - span.offset_s;
    if (span.offset_s != 0 && (at < span.start_s || at >= span.end_s))
        at = local_s - hf_zone_at(zone, at).offset_s;
    return at;
}

/* To midnight of a date, keeping the time of day. */
static void move_to_date(walk *w, int64_t days, int64_t in_day_s) {
    w->at_s = go_date(w->zone, days * HF_DAY_S + in_day_s);
}

/* The moves; each returns false when the larger fields have to be looked at again. */
static bool move_month(walk *w) {
    hf_civil c = shown(w);
    if (!w->moved)
        move_to_date(w, hf_civil_days(c.year, c.month, 1), 0);
    w->moved = true;
    c = shown(w);
    int64_t in_day = c.hour * HF_HOUR_S + c.minute * HF_MINUTE_S + c.second;
    move_to_date(w, hf_civil_days(c.year, c.month + 1, c.day), in_day);
    return shown(w).month != 1;
}

static bool move_day(walk *w) {
    int64_t local = local_of(w);
    if (!w->moved)
        move_to_date(w, hf_floor_div(local, HF_DAY_S), 0);
    w->moved = true;
    local = local_of(w);
    int64_t days = hf_floor_div(local, HF_DAY_S);
    move_to_date(w, days + 1, local - days * HF_DAY_S);
    int hour = shown(w).hour; /* not 0 where there is no midnight */
    if (hour != 0)
        w->at_s += (hour > 12 ? 24 - hour : -hour) * HF_HOUR_S;
    return shown(w).day != 1;
}

static bool move_hour(walk *w) {
    int64_t local = local_of(w);
    if (!w->moved) {
        int64_t days = hf_floor_div(local, HF_DAY_S);
        move_to_date(w, days, (local - days * HF_DAY_S) / HF_HOUR_S * HF_HOUR_S);
    }
    w->moved = true;
    w->at_s += HF_HOUR_S;
    return shown(w).hour != 0;
}

static bool move_minute(walk *w) {
    if (!w->moved)
        w->at_s = hf_floor_div(w->at_s, HF_MINUTE_S) * HF_MINUTE_S;
    w->moved = true;
    w->at_s += HF_MINUTE_S;
    return shown(w).minute != 0;
}

static bool move_second(walk *w) {
    w->moved = true;
    w->at_s++;
    return shown(w).second != 0;
}

static bool month_due(const walk *w) { return has(w->cron->months, shown(w).month); }
static bool day_due(const walk *w) { return hf_cron_has_day(w->cron, hf_floor_div(local_of(w), HF_DAY_S)); }
static bool hour_due(const walk *w) { return has(w->cron->hours, shown(w).hour); }
static bool minute_due(const walk *w) { return has(w->cron->minutes, shown(w).minute); }
static bool second_due(const walk *w) { return shown(w).second == 0; }

static const struct {
    bool (*due)(const walk *w);
    bool (*move)(walk *w);
} units[] = {{month_due, move_month},
             {day_due, move_day},
             {hour_due, move_hour},
             {minute_due, move_minute},
             {second_due, move_second}};

/* Moves until every field agrees (true), or a larger one has to be looked at again. */
static bool settle(walk *w) {
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        while (!units[i].due(w)) {
            if (++w->moves > MOVES_MAX || !units[i].move(w))
                return false;
        }
    return true;
}

bool hf_cron_next_robfig(const hf_cron *cron, const hf_zone *zone, int64_t after_s, int64_t *ret_s) {
    walk w = {.cron = cron, .zone = zone, .at_s = after_s + 1};
    int64_t last_year = shown(&w).year + HF_CRON_YEARS;
    while (shown(&w).year <= last_year && w.moves <= MOVES_MAX)
        if (settle(&w)) {
            *ret_s = w.at_s;
            return true;
        }
    return false;
}
