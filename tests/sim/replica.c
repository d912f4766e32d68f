/* The referee's replica: the fold over a handful of jobs, with a digest of everything it came to. */
#include <stdlib.h>

#include "tests/sim/sim.h"

void sim_replica_clear(sim_replica *r) {
    for (uint32_t i = 0; i < r->count; i++)
        free(r->jobs[i]);
    *r = (sim_replica){0};
}

static hf_job **slot_of(sim_replica *r, hf_str id) {
    for (uint32_t i = 0; i < r->count; i++)
        if (hf_str_eq(r->jobs[i]->id, id))
            return &r->jobs[i];
    return NULL;
}

const hf_job *sim_replica_job(const sim_replica *r, hf_str id) {
    for (uint32_t i = 0; i < r->count; i++)
        if (hf_str_eq(r->jobs[i]->id, id))
            return r->jobs[i];
    return NULL;
}

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

uint64_t sim_digest(uint64_t h, hf_verdict verdict, const hf_job *job) {
    h = mix(h, (uint64_t)verdict + 1);
    if (!job)
        return h;
    if ((verdict != HF_V_ACCEPTED || job->deleted) && hf_state_terminal((hf_state)job->state))
        return mix(mix(h, hf_position_key(job->created)), job->deleted);
    h = mix(h, (uint64_t)job->state | (uint64_t)job->attempt << 8 | (uint64_t)job->released << 24 |
                   (uint64_t)job->cancel_requested << 40 | (uint64_t)job->deleted << 41);
    h = mix(h, hf_position_key(job->created));
    h = mix(h, hf_position_key(job->last));
    h = mix(h, (uint64_t)job->updated_at ^ (uint64_t)job->finished_at << 1 ^ (uint64_t)job->not_before << 2);
    for (uint32_t i = 0; i < job->worker.len; i++)
        h = mix(h, (unsigned char)job->worker.p[i]);
    return h;
}

hf_verdict sim_replica_feed(sim_replica *r, int partition, const hf_record *record, const hf_job **ret_after) {
    hf_job **slot = slot_of(r, record->job_id), after;
    hf_position position = {partition, r->next[partition]++};
    hf_verdict verdict = hf_fold(slot ? *slot : NULL, record, position, &after, NULL);
    if (verdict == HF_V_ACCEPTED) {
        hf_job *kept = sim_must(hf_type_clone(&HF_TYPE_JOB, &after));
        if (slot) {
            free(*slot);
        } else {
            if (r->count == SIM_JOBS_MAX)
                abort();
            slot = &r->jobs[r->count++];
        }
        *slot = kept;
    }
    *ret_after = slot ? *slot : NULL;
    r->digest[partition] = sim_digest(r->digest[partition], verdict, *ret_after);
    return verdict;
}
