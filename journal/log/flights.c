#include "journal/log/flights.h"

#include <assert.h>

#include "schemas/base/mem.h"

bool hf_flights_init(hf_flights *f, uint32_t max_count, size_t max_bytes) {
    *f = (hf_flights){.max_count = max_count,
                      .max_bytes = max_bytes,
                      .free_head = HF_FLIGHT_NONE,
                      .due_head = HF_FLIGHT_NONE,
                      .due_tail = HF_FLIGHT_NONE};
    f->chunks = hf_alloc((max_count / HF_FLIGHT_CHUNK + 1) * sizeof *f->chunks);
    return f->chunks != NULL;
}

void hf_flights_done(hf_flights *f) {
    for (uint32_t i = 0; f->chunks && i < f->made; i += HF_FLIGHT_CHUNK)
        free(f->chunks[i / HF_FLIGHT_CHUNK]);
    free(f->chunks);
    f->chunks = NULL;
}

static bool grow(hf_flights *f) {
    hf_flight *chunk = hf_alloc(HF_FLIGHT_CHUNK * sizeof *chunk);
    if (!chunk)
        return false;
    f->chunks[f->made / HF_FLIGHT_CHUNK] = chunk;
    for (uint32_t i = HF_FLIGHT_CHUNK; i-- > 0;) { /* lowest first */
        chunk[i].next = f->free_head;
        f->free_head = f->made + i;
    }
    f->made += HF_FLIGHT_CHUNK;
    return true;
}

uint32_t hf_flights_take(hf_flights *f, uint32_t size_bytes, hf_code *ret_why) {
    if (f->used >= f->max_count || f->used_bytes + size_bytes > f->max_bytes) {
        *ret_why = HF_E_LOG_QUEUE_FULL;
        return HF_FLIGHT_NONE;
    }
    if (f->free_head == HF_FLIGHT_NONE && !grow(f)) {
        *ret_why = HF_E_NO_MEMORY;
        return HF_FLIGHT_NONE;
    }
    uint32_t index = f->free_head;
    hf_flight *flight = hf_flights_at(f, index);
    f->free_head = flight->next;
    *flight = (hf_flight){.next = HF_FLIGHT_NONE, .size_bytes = size_bytes, .state = HF_FLIGHT_FLYING};
    f->used++;
    f->used_bytes += size_bytes;
    return index;
}

void hf_flights_due(hf_flights *f, uint32_t index) {
    hf_flight *flight = hf_flights_at(f, index);
    assert(flight->state == HF_FLIGHT_FLYING);
    flight->state = HF_FLIGHT_DUE;
    flight->next = HF_FLIGHT_NONE;
    if (f->due_tail == HF_FLIGHT_NONE)
        f->due_head = index;
    else
        hf_flights_at(f, f->due_tail)->next = index;
    f->due_tail = index;
}

uint32_t hf_flights_take_due(hf_flights *f) {
    uint32_t head = f->due_head;
    f->due_head = f->due_tail = HF_FLIGHT_NONE;
    return head;
}

void hf_flights_give_back(hf_flights *f, uint32_t index) {
    hf_flight *flight = hf_flights_at(f, index);
    assert(flight->state != HF_FLIGHT_FREE);
    f->used--;
    f->used_bytes -= flight->size_bytes;
    flight->state = HF_FLIGHT_FREE;
    flight->next = f->free_head;
    f->free_head = index;
}
