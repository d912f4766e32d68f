#include "consumer/worker/qjobs.h"

uint64_t hf_worker_hash(hf_str s) { /* FNV-1a, then mixed: ids differ in few bits */
    uint64_t h = 0xcbf29ce484222325ULL;
    for (uint32_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3ULL;
    return hf_worker_mix(h);
}

hf_qjob *hf_qjobs_find(const hf_qjobs *jobs, hf_str id) {
    hf_qjob *found = NULL;
    if (id.len)
        HASH_FIND_BYHASHVALUE(hh, jobs->table, id.p, id.len, (unsigned)hf_worker_hash(id), found);
    return found;
}

hf_qjob *hf_qjobs_add(hf_qjobs *jobs, hf_str id) {
    if (!id.len || id.len > HF_ID_MAX_BYTES)
        return NULL;
    hf_qjob *job = hf_alloc(sizeof *job + id.len);
    if (!job)
        return NULL;
    memcpy(job->id, id.p, id.len);
    job->id_len = (uint8_t)id.len;
    job->hash = hf_worker_hash(id);
    job->heap = HF_HEAP_NONE;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, jobs->table, job->id, job->id_len, (unsigned)job->hash, job);
    if (!job->hh.tbl) { /* uthash had no memory and took it out again */
        free(job);
        return NULL;
    }
    return job;
}

/* ---- heaps ------------------------------------------------------------------------------------------ */
static bool before(const hf_qjob *a, const hf_qjob *b) {
    return a->order != b->order ? a->order < b->order : a->created < b->created;
}

static void set(hf_qheap *heap, uint32_t place, hf_qjob *job) {
    heap->items[place] = job;
    job->place = place;
}

static void sift_up(hf_qheap *heap, uint32_t place) {
    hf_qjob *job = heap->items[place];
    while (place > 0 && before(job, heap->items[(place - 1) / 2])) {
        set(heap, place, heap->items[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    set(heap, place, job);
}

static void sift_down(hf_qheap *heap, uint32_t place) {
    hf_qjob *job = heap->items[place];
    for (uint32_t child; (child = 2 * place + 1) < heap->count; place = child) {
        if (child + 1 < heap->count && before(heap->items[child + 1], heap->items[child]))
            child++;
        if (!before(heap->items[child], job))
            break;
        set(heap, place, heap->items[child]);
    }
    set(heap, place, job);
}

static bool reserve(hf_qheap *heap) {
    if (heap->count < heap->cap)
        return true;
    uint32_t cap = heap->cap ? heap->cap + heap->cap / 2 : 64;
    hf_qjob **items = hf_realloc(heap->items, cap * sizeof(*items));
    if (!items)
        return false;
    heap->items = items;
    heap->cap = cap;
    return true;
}

void hf_qjobs_take(hf_qjobs *jobs, hf_qjob *job) {
    if (job->heap == HF_HEAP_NONE)
        return;
    hf_qheap *heap = job->heap == HF_HEAP_PARKED ? job->parked_in : &jobs->heaps[job->heap];
    uint32_t place = job->place;
    hf_qjob *last = heap->items[--heap->count];
    job->heap = HF_HEAP_NONE;
    if (last == job)
        return;
    set(heap, place, last);
    sift_up(heap, place);
    sift_down(heap, last->place);
}

bool hf_qjobs_put(hf_qjobs *jobs, hf_qjob *job, hf_qheap_id id, int64_t order) {
    hf_qjobs_take(jobs, job);
    hf_qheap *heap = &jobs->heaps[id];
    if (!reserve(heap))
        return false;
    job->heap = (uint8_t)id;
    job->order = order;
    set(heap, heap->count++, job);
    sift_up(heap, job->place);
    return true;
}

bool hf_qjobs_park(hf_qjobs *jobs, hf_qjob *job, hf_qheap *heap) {
    hf_qjobs_take(jobs, job);
    if (!reserve(heap))
        return false;
    job->heap = HF_HEAP_PARKED;
    job->parked_in = heap;
    job->order = job->urgency;
    set(heap, heap->count++, job);
    sift_up(heap, job->place);
    return true;
}

/* ---- the whole table ---------------------------------------------------------------------------------- */
void hf_qjobs_drop(hf_qjobs *jobs, hf_qjob *job) {
    hf_qjobs_take(jobs, job);
    if (jobs->walk == job)
        jobs->walk = job->hh.next;
    HASH_DEL(jobs->table, job);
    free(job);
}

hf_qjob *hf_qjobs_walk_next(hf_qjobs *jobs) {
    hf_qjob *job = jobs->walk;
    if (job)
        jobs->walk = job->hh.next;
    return job;
}

void hf_qjobs_done(hf_qjobs *jobs) {
    hf_qjob *job = jobs->table, *next = NULL;
    HASH_CLEAR(hh, jobs->table);
    for (; job; job = next) {
        next = job->hh.next;
        free(job->limits);
        free(job);
    }
    for (int i = 0; i < HF_HEAP_COUNT; i++)
        free(jobs->heaps[i].items);
    *jobs = (hf_qjobs){0};
}
