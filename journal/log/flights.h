/* Records on their way to Kafka: one slot each, from produce to the owner's report. This is what makes
 * "exactly one report" hold whatever librdkafka does: a slot is taken before a record is handed over and given back
 * only when its report was delivered. Slots are found by number (the message's opaque), live in chunks that
 * never move, and are bounded in number and bytes.
 * Not locked: the producer's lock guards it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/err.h"

enum { HF_FLIGHT_CHUNK = 1024, HF_FLIGHT_NONE = UINT32_MAX };

typedef enum hf_flight_state { HF_FLIGHT_FREE, HF_FLIGHT_FLYING, HF_FLIGHT_DUE } hf_flight_state;

typedef struct hf_flight {
    uint64_t tag;
    int64_t offset;
    const char *detail; /* static text */
    uint32_t next;      /* in the free or the due list */
    uint32_t size_bytes;
    int32_t partition;
    uint16_t slot; /* of the key (producer.c) */
    uint8_t topic, lane, state;
    bool keyed;
    hf_code error;
} hf_flight;

typedef struct hf_flights {
    hf_flight **chunks;
    uint32_t made, max_count, used; /* used: flying or due */
    size_t used_bytes, max_bytes;
    uint32_t free_head, due_head, due_tail;
} hf_flights;

bool hf_flights_init(hf_flights *flights, uint32_t max_count, size_t max_bytes); /* false: no memory */
void hf_flights_done(hf_flights *flights);
/* Takes a slot; HF_FLIGHT_NONE and the reason: LOG_QUEUE_FULL past a bound, NO_MEMORY. */
uint32_t hf_flights_take(hf_flights *flights, uint32_t size_bytes, hf_code *ret_why);
static inline hf_flight *hf_flights_at(const hf_flights *f, uint32_t i) {
    return &f->chunks[i / HF_FLIGHT_CHUNK][i % HF_FLIGHT_CHUNK];
}
/* Its fate is known: queue it for the report, behind those before it. */
void hf_flights_due(hf_flights *flights, uint32_t index);
/* All that are due, as a list linked by .next; the caller gives each back after its report. */
uint32_t hf_flights_take_due(hf_flights *flights);
void hf_flights_give_back(hf_flights *flights, uint32_t index);
