#include "producer/dispatch/decide.h"

#include <uthash.h>

#include "schemas/base/mem.h"
#include "schemas/job/intake.h"
#include "schemas/job/propose.h"

enum { OWNED_WORDS = 16, RECHECK_MS = 60000, STALL_MIN_MS = 1000, CALLS_A_STALL = 4 };

/* One job somebody must act for. */
typedef struct watch {
    UT_hash_handle hh;
    hf_job *job;         /* a copy of our own */
    int64_t due_ms;      /* monotonic: when to look again; place in the heap */
    int64_t seen_ms;     /* monotonic: when the job came into this state, as far as we know */
    int64_t renewed_ms;  /* monotonic: last sign of life of its attempt */
    int64_t proposed_ms; /* monotonic: last proposal for this state; 0 none */
    size_t at;           /* index in the heap */
} watch;

struct hf_dispatch {
    hf_dispatch_options options;
    watch *by_id;
    watch **heap;
    size_t count, capacity;
    uint64_t owned[OWNED_WORDS];
    int64_t last_call_ms;   /* of hf_dispatch_due */
    int64_t leases_from_ms; /* no lease is judged before */
};

/* ---- the heap, by due_ms ------------------------------------------------------------------------ */
static void place(hf_dispatch *d, watch *w, size_t at) {
    d->heap[at] = w;
    w->at = at;
}

static void sift(hf_dispatch *d, watch *w) {
    size_t i = w->at;
    for (; i > 0 && d->heap[(i - 1) / 2]->due_ms > w->due_ms; i = (i - 1) / 2)
        place(d, d->heap[(i - 1) / 2], i);
    for (size_t child; (child = 2 * i + 1) < d->count; i = child) {
        if (child + 1 < d->count && d->heap[child + 1]->due_ms < d->heap[child]->due_ms)
            child++;
        if (d->heap[child]->due_ms >= w->due_ms)
            break;
        place(d, d->heap[child], i);
    }
    place(d, w, i);
}

static bool heap_room(hf_dispatch *d) {
    if (d->count < d->capacity)
        return true;
    size_t capacity = d->capacity ? d->capacity * 2 : 64;
    watch **heap = hf_realloc(d->heap, capacity * sizeof(*heap));
    if (!heap)
        return false;
    d->heap = heap;
    d->capacity = capacity;
    return true;
}

static void heap_remove(hf_dispatch *d, watch *w) {
    size_t at = w->at;
    watch *last = d->heap[--d->count];
    if (last == w)
        return;
    place(d, last, at);
    sift(d, last);
}

/* ---- what a job waits for ------------------------------------------------------------------------ */
static bool owns(const hf_dispatch *d, const hf_job *job) {
    uint32_t p = (uint32_t)job->created.partition;
    return p < OWNED_WORDS * 64 && (d->owned[p / 64] >> (p % 64) & 1);
}

static bool needs_watching(const hf_job *job) {
    hf_state s = (hf_state)job->state;
    return !hf_state_terminal(s) && (s != HF_S_QUEUED || job->cancel_requested);
}

/* Monotonic time at which the owner would act for this job. */
static int64_t owner_acts_ms(const hf_dispatch *d, const watch *w, int64_t now_wall, int64_t now_mono) {
    const hf_job *job = w->job;
    if (hf_state_has_attempt((hf_state)job->state)) {
        int64_t from = w->renewed_ms + job->lease_ms + d->options.lease_grace_ms;
        return from > d->leases_from_ms ? from : d->leases_from_ms;
    }
    if (job->cancel_requested)
        return w->seen_ms;
    if (job->state == HF_S_RETRYING)
        return job->not_before > now_wall ? now_mono + (job->not_before - now_wall) : w->seen_ms;
    return w->seen_ms + d->options.half_way_ms;
}

static int64_t acts_ms(const hf_dispatch *d, const watch *w, int64_t now_wall, int64_t now_mono) {
    int64_t at = owner_acts_ms(d, w, now_wall, now_mono) + (owns(d, w->job) ? 0 : d->options.stand_in_ms);
    if (w->proposed_ms && at < w->proposed_ms + d->options.repeat_ms)
        at = w->proposed_ms + d->options.repeat_ms;
    return at;
}

static void schedule(hf_dispatch *d, watch *w, int64_t now_wall, int64_t now_mono) {
    int64_t at = acts_ms(d, w, now_wall, now_mono);
    /* not_before is wall time, which can jump: look again within a minute. */
    w->due_ms = at > now_mono + RECHECK_MS ? now_mono + RECHECK_MS : at;
    sift(d, w);
}

/* ---- what happened ------------------------------------------------------------------------------- */
hf_dispatch *hf_dispatch_new(const hf_dispatch_options *options) {
    hf_dispatch *d = hf_alloc(sizeof *d);
    if (d)
        d->options = *options;
    return d;
}

static void drop(hf_dispatch *d, watch *w) {
    heap_remove(d, w);
    HASH_DEL(d->by_id, w);
    free(w->job);
    free(w);
}

void hf_dispatch_free(hf_dispatch *d) {
    if (!d)
        return;
    while (d->count)
        drop(d, d->heap[0]);
    free(d->heap);
    free(d);
}

static watch *find(hf_dispatch *d, hf_str id) {
    watch *w = NULL;
    HASH_FIND(hh, d->by_id, id.p, id.len, w);
    return w;
}

void hf_dispatch_forget(hf_dispatch *d, hf_str job_id) {
    watch *w = find(d, job_id);
    if (w)
        drop(d, w);
}

hf_code hf_dispatch_job(hf_dispatch *d, const hf_job *after, int64_t now_wall_ms, int64_t now_mono_ms) {
    if (!needs_watching(after)) {
        hf_dispatch_forget(d, after->id);
        return HF_OK;
    }
    hf_job *copy = hf_type_clone(&HF_TYPE_JOB, after);
    watch *w = find(d, after->id);
    bool is_new = !w;
    if (copy && is_new && heap_room(d))
        w = hf_alloc(sizeof *w);
    if (!copy || !w) {
        free(copy);
        return HF_E_NO_MEMORY;
    }
    bool same = !is_new && w->job->state == after->state && w->job->attempt == after->attempt &&
                w->job->cancel_requested == after->cancel_requested;
    if (!is_new)
        HASH_DEL(d->by_id, w); /* its key lives in the copy that goes */
    free(w->job);
    w->job = copy;
    HASH_ADD_KEYPTR(hh, d->by_id, copy->id.p, copy->id.len, w);
    if (!same) {
        w->seen_ms = now_mono_ms;
        w->proposed_ms = 0;
    }
    w->renewed_ms = now_mono_ms; /* an accepted event is a sign of life, too */
    if (is_new)
        place(d, w, d->count++);
    schedule(d, w, now_wall_ms, now_mono_ms);
    return HF_OK;
}

void hf_dispatch_heartbeat(hf_dispatch *d, const hf_heartbeat *beat, int64_t now_mono_ms) {
    for (uint32_t i = 0; i < beat->running.count; i++) {
        const hf_attempt_ref *ref = HF_LIST_AT(beat->running, hf_attempt_ref, i);
        watch *w = find(d, ref->job_id);
        if (w && w->job->attempt == ref->attempt)
            w->renewed_ms = now_mono_ms; /* due_ms is mended when it comes up: a renewal costs no heap move */
    }
}

void hf_dispatch_owned(hf_dispatch *d, const uint64_t *bits, size_t words) {
    memset(d->owned, 0, sizeof d->owned);
    memcpy(d->owned, bits, (words < OWNED_WORDS ? words : OWNED_WORDS) * sizeof *bits);
    /* What we own now may be due earlier than planned: look at everything once. Rebalances are rare. */
    for (size_t i = 0; i < d->count; i++)
        d->heap[i]->due_ms = 0;
}

/* ---- what to propose ------------------------------------------------------------------------------ */
static hf_record *propose_intake(const hf_job *job, hf_record *r, hf_arena *arena) {
    hf_spec *spec = hf_type_copy(&HF_TYPE_SPEC, job->spec, arena);
    hf_intake_errors *errors = hf_arena_alloc(arena, sizeof *errors),
                     *warnings = hf_arena_alloc(arena, sizeof *warnings);
    if (!spec || !errors || !warnings)
        return NULL;
    if (job->state == HF_S_CREATED) {
        hf_intake_check(spec, arena, errors, warnings);
        if (errors->count) {
            hf_ev_rejected *no = hf_propose_add(arena, r, HF_EV_REJECTED);
            if (!no)
                return NULL;
            uint32_t kept = errors->count < HF_MAX_ERRORS ? errors->count : HF_MAX_ERRORS;
            no->errors = (hf_list){errors->text, kept};
            no->error =
                (hf_job_error){.code = HF_STR("invalid"), .message = errors->text[0], .phase = HF_STR("validate")};
            return r;
        }
        if (!hf_propose_add(arena, r, HF_EV_VALIDATED))
            return NULL;
    }
    return hf_propose_add(arena, r, HF_EV_QUEUED) ? r : NULL;
}

static hf_record *propose(const hf_dispatch *d, const hf_job *job, int64_t now_wall, hf_arena *arena) {
    hf_record *r = hf_propose(arena, job->id, job->attempt, now_wall, d->options.me);
    if (!r)
        return NULL;
    if (hf_state_has_attempt((hf_state)job->state)) {
        hf_ev_lease_expired *e = hf_propose_add(arena, r, HF_EV_LEASE_EXPIRED);
        if (e)
            e->reason = HF_STR("the worker was silent for longer than its lease");
        return e ? r : NULL;
    }
    if (job->cancel_requested) {
        hf_ev_cancelled *e = hf_propose_add(arena, r, HF_EV_CANCELLED);
        if (e)
            e->reason = job->cancel_reason;
        return e ? r : NULL;
    }
    if (job->state == HF_S_RETRYING)
        return hf_propose_add(arena, r, HF_EV_QUEUED) ? r : NULL;
    return propose_intake(job, r, arena);
}

static int64_t stall_ms(const hf_dispatch *d) {
    return d->options.lease_grace_ms > STALL_MIN_MS ? d->options.lease_grace_ms : STALL_MIN_MS;
}

size_t hf_dispatch_due(hf_dispatch *d, int64_t now_wall_ms, int64_t now_mono_ms, hf_arena *arena, hf_record *ret,
                       size_t max) {
    if (d->last_call_ms == 0 || now_mono_ms - d->last_call_ms > stall_ms(d))
        d->leases_from_ms = now_mono_ms + d->options.lease_grace_ms; /* we slept: hear the heartbeats first */
    d->last_call_ms = now_mono_ms;
    size_t n = 0;
    while (n < max && d->count && d->heap[0]->due_ms <= now_mono_ms) {
        watch *w = d->heap[0];
        if (acts_ms(d, w, now_wall_ms, now_mono_ms) <= now_mono_ms) {
            hf_record *r = propose(d, w->job, now_wall_ms, arena);
            if (!r)
                break; /* the arena is full: what is left stays due */
            ret[n++] = *r;
            w->proposed_ms = now_mono_ms ? now_mono_ms : 1;
        }
        schedule(d, w, now_wall_ms, now_mono_ms);
    }
    return n;
}

/* Well before a stall, whatever is due: one who is called only for what is due would take each wait for sleep, and put off every lease for
 * as long as it wakes a moment late. */
int64_t hf_dispatch_next_ms(const hf_dispatch *d) {
    int64_t look = d->last_call_ms + stall_ms(d) / CALLS_A_STALL;
    if (d->count == 0)
        return INT64_MAX;
    return d->heap[0]->due_ms < look ? d->heap[0]->due_ms : look;
}
size_t hf_dispatch_watched(const hf_dispatch *d) { return d->count; }
