#include "consumer/worker/propose.h"

hf_record *hf_worker_propose(hf_arena *arena, hf_str job_id, int32_t attempt, hf_str by, int64_t wall_ms) {
    hf_record *record = hf_arena_alloc(arena, sizeof *record);
    hf_variant *transitions = hf_arena_alloc(arena, HF_PROPOSAL_MAX * sizeof *transitions);
    if (!record || !transitions)
        return NULL;
    *record = (hf_record){.job_id = hf_arena_str(arena, job_id), .attempt = attempt, .at = wall_ms, .by = by, .transitions = {transitions, 0}};
    return record->job_id.p ? record : NULL;
}

hf_record *hf_worker_propose_add(hf_arena *arena, hf_record *record, hf_event event, const void *payload) {
    if (!record || record->transitions.count == HF_PROPOSAL_MAX)
        return NULL;
    size_t size = HF_TYPES_EVENT[event]->size_bytes;
    void *copy = hf_arena_alloc(arena, size);
    if (!copy)
        return NULL;
    memcpy(copy, payload, size);
    hf_variant added = {.branch = (int32_t)event, .record = copy};
    hf_variant *transitions = __extension__({ union { const void *in; hf_variant *out; } u = {.in = record->transitions.items}; u.out; });
    transitions[record->transitions.count++] = added;
    return record;
}
