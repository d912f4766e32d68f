#define HASH_NONFATAL_OOM 1
#include "journal/replica/runs.h"

#include "schemas/base/mem.h"

/* ---- the map ------------------------------------------------------------------------------------------- */
void hf_runs_done(hf_runs *runs) {
    hf_run_slot *slot, *next;
    HASH_ITER(hh, runs->by_id, slot, next) {
        HASH_DEL(runs->by_id, slot);
        free(slot);
    }
    *runs = (hf_runs){0};
}

hf_run_slot *hf_runs_slot(hf_runs *runs, hf_str id) {
    hf_run_slot *slot = NULL;
    HASH_FIND(hh, runs->by_id, id.p, id.len, slot);
    if (slot || id.len > HF_ID_MAX_BYTES)
        return slot;
    slot = hf_alloc(sizeof *slot);
    if (!slot)
        return NULL;
    slot->runs.outcome = HF_S_NONE;
    memcpy(slot->id, id.p, id.len);
    HASH_ADD_KEYPTR(hh, runs->by_id, slot->id, id.len, slot);
    if (!slot->hh.tbl) {
        free(slot);
        return NULL;
    }
    return slot;
}

void hf_runs_drop(hf_runs *runs, hf_run_slot *slot) {
    HASH_DEL(runs->by_id, slot);
    free(slot);
}

void hf_runs_evict(hf_runs *runs, uint64_t committed) {
    while (HASH_COUNT(runs->by_id) > HF_RUNS_CACHED && !runs->by_id->dirty && runs->by_id->batch <= committed)
        hf_runs_drop(runs, runs->by_id);
}

/* ---- counting -------------------------------------------------------------------------------------------- */
static bool ended(const hf_job *job) { return job && hf_state_terminal((hf_state)job->state); }

bool hf_runs_concern(const hf_job *before, const hf_job *after, hf_str *ret_id) {
    bool created = !before, ends = !ended(before) && ended(after);
    return (created || ends) && after->spec->origin.len > 0 && hf_origin_schedule(after->spec->origin, ret_id);
}

static hf_str keep_id(char place[HF_ID_MAX_BYTES + 1], hf_str id) {
    uint32_t len = id.len < HF_ID_MAX_BYTES ? id.len : HF_ID_MAX_BYTES;
    if (len)
        memmove(place, id.p, len);
    return (hf_str){place, len};
}

static void take_last(hf_run_slot *slot, int64_t at, uint64_t key, hf_str job) {
    hf_schedule_runs *r = &slot->runs;
    if (r->last_job.len && (at < r->last_at || (at == r->last_at && key <= slot->last_key)))
        return;
    r->last_at = at;
    slot->last_key = key;
    r->last_job = keep_id(slot->last_job, job);
}

/* One of the latest? Between equal times the later place is the latest, as everywhere: whichever partition is read first, it is the same. */
static void take_recent(hf_schedule_runs *r, hf_run_place run) {
    uint32_t i = r->recent_count;
    while (i && (run.created_at > r->recent[i - 1].created_at ||
                 (run.created_at == r->recent[i - 1].created_at && run.job_key > r->recent[i - 1].job_key)))
        i--;
    if (i == HF_RUNS_RECENT)
        return;
    r->recent_count += r->recent_count < HF_RUNS_RECENT;
    memmove(&r->recent[i + 1], &r->recent[i], (r->recent_count - i - 1) * sizeof run);
    r->recent[i] = run;
}

static void take_ended(hf_run_slot *slot, int64_t at, uint64_t key, hf_str job, int32_t outcome) {
    hf_schedule_runs *r = &slot->runs;
    if (r->ended_job.len && (at < r->ended_at || (at == r->ended_at && key <= slot->ended_key)))
        return;
    r->ended_at = at;
    slot->ended_key = key;
    r->ended_job = keep_id(slot->ended_job, job);
    r->outcome = outcome;
}

/* A tick's id says of which time it is: what a trigger or a stranger wrote into its specification moves nothing. */
static bool is_tick(const hf_run_slot *slot, const hf_job *job) {
    char id[HF_UUID_BYTES];
    hf_str schedule = {slot->id, slot->hh.keylen};
    return job->spec->scheduled_for > 0 &&
           hf_str_eqz(job->id, hf_id_from_schedule(schedule, job->spec->scheduled_for, id));
}

static void mark(hf_runs *runs, hf_run_slot *slot) {
    if (slot->dirty)
        return;
    slot->dirty = true;
    slot->next_dirty = runs->dirty;
    runs->dirty = slot;
}

void hf_runs_count(hf_runs *runs, hf_run_slot *slot, const hf_job *before, const hf_job *after) {
    hf_schedule_runs *r = &slot->runs;
    uint64_t key = hf_position_key(after->created);
    if (!before) {
        r->count++;
        r->alive++;
        take_last(slot, after->created_at, key, after->id);
        take_recent(r, (hf_run_place){after->created_at, key});
        if (after->spec->scheduled_for > r->nominal && is_tick(slot, after))
            r->nominal = after->spec->scheduled_for;
    }
    if (ended(after)) {
        r->alive--;
        take_ended(slot, after->finished_at, key, after->id, after->state);
    }
    mark(runs, slot);
}

bool hf_runs_add(hf_runs *runs, const hf_runs *from) {
    for (const hf_run_slot *of = from->by_id; of; of = of->hh.next) {
        hf_run_slot *slot = hf_runs_slot(runs, (hf_str){of->id, of->hh.keylen});
        if (!slot)
            return false;
        slot->runs.count += of->runs.count;
        slot->runs.alive += of->runs.alive;
        if (of->runs.nominal > slot->runs.nominal)
            slot->runs.nominal = of->runs.nominal;
        if (of->runs.last_job.len)
            take_last(slot, of->runs.last_at, of->last_key, of->runs.last_job);
        if (of->runs.ended_job.len)
            take_ended(slot, of->runs.ended_at, of->ended_key, of->runs.ended_job, of->runs.outcome);
        for (uint32_t i = 0; i < of->runs.recent_count; i++)
            take_recent(&slot->runs, of->runs.recent[i]);
        mark(runs, slot);
    }
    return true;
}

/* ---- rows: seven numbers, the outcome, the lengths of two ids, how many places; the ids; the places ---------------------------------------- */
enum { NUMBERS = 7, HEAD = NUMBERS * 8 + 4 };

hf_str hf_runs_row(const hf_run_slot *slot, char row[HF_RUNS_ROW_MAX]) {
    const hf_schedule_runs *r = &slot->runs;
    const uint64_t numbers[NUMBERS] = {(uint64_t)r->count,   (uint64_t)r->alive,    (uint64_t)r->nominal,
                                       (uint64_t)r->last_at, (uint64_t)r->ended_at, slot->last_key,
                                       slot->ended_key};
    _Static_assert(HEAD + 2 * HF_ID_MAX_BYTES + sizeof r->recent <= HF_RUNS_ROW_MAX, "a row holds both ids");
    uint32_t ids = r->last_job.len + r->ended_job.len, places = r->recent_count * (uint32_t)sizeof *r->recent;
    memcpy(row, numbers, sizeof numbers);
    row[HEAD - 4] = (char)r->outcome;
    row[HEAD - 3] = (char)r->last_job.len;
    row[HEAD - 2] = (char)r->ended_job.len;
    row[HEAD - 1] = (char)r->recent_count;
    if (r->last_job.len)
        memcpy(row + HEAD, r->last_job.p, r->last_job.len);
    if (r->ended_job.len)
        memcpy(row + HEAD + r->last_job.len, r->ended_job.p, r->ended_job.len);
    memcpy(row + HEAD + ids, r->recent, places);
    return (hf_str){row, HEAD + ids + places};
}

bool hf_runs_row_read(hf_str row, hf_schedule_runs *ret, uint64_t *ret_last_key, uint64_t *ret_ended_key) {
    uint64_t numbers[NUMBERS];
    if (row.len < HEAD)
        return false;
    uint32_t last = (uint8_t)row.p[HEAD - 3], end = (uint8_t)row.p[HEAD - 2], recent = (uint8_t)row.p[HEAD - 1];
    if (last > HF_ID_MAX_BYTES || end > HF_ID_MAX_BYTES || recent > HF_RUNS_RECENT ||
        row.len != HEAD + last + end + recent * sizeof *ret->recent)
        return false;
    memcpy(numbers, row.p, sizeof numbers);
    *ret = (hf_schedule_runs){.count = (int64_t)numbers[0],
                              .alive = (int64_t)numbers[1],
                              .nominal = (int64_t)numbers[2],
                              .last_at = (int64_t)numbers[3],
                              .last_job = {row.p + HEAD, last},
                              .ended_at = (int64_t)numbers[4],
                              .ended_job = {row.p + HEAD + last, end},
                              .outcome = (int8_t)row.p[HEAD - 4],
                              .recent_count = recent};
    memcpy(ret->recent, row.p + HEAD + last + end, recent * sizeof *ret->recent);
    *ret_last_key = numbers[5];
    *ret_ended_key = numbers[6];
    return true;
}

bool hf_runs_take_row(hf_run_slot *slot, hf_str row) {
    if (!hf_runs_row_read(row, &slot->runs, &slot->last_key, &slot->ended_key))
        return false;
    slot->runs.last_job = keep_id(slot->last_job, slot->runs.last_job);
    slot->runs.ended_job = keep_id(slot->ended_job, slot->runs.ended_job);
    return true;
}
