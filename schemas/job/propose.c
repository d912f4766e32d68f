#include "schemas/job/propose.h"

hf_record *hf_propose(hf_arena *arena, hf_str job_id, int32_t attempt, int64_t now_ms, hf_str by) {
    hf_record *r = hf_arena_alloc(arena, sizeof *r);
    if (r)
        *r = (hf_record){.job_id = job_id, .attempt = attempt, .at = now_ms, .by = by};
    return r;
}

void *hf_propose_add(hf_arena *arena, hf_record *record, hf_event event) {
    uint32_t n = record->transitions.count;
    if (n >= HF_MAX_TRANSITIONS)
        return NULL;
    hf_variant *list = hf_arena_alloc(arena, (n + 1) * sizeof *list);
    void *payload = hf_arena_alloc(arena, HF_TYPES_EVENT[event]->size_bytes);
    if (!list || !payload)
        return NULL;
    if (n)
        memcpy(list, record->transitions.items, n * sizeof *list);
    hf_type_init(HF_TYPES_EVENT[event], payload);
    list[n] = (hf_variant){(int32_t)event, payload};
    record->transitions = (hf_list){list, n + 1};
    return payload;
}
