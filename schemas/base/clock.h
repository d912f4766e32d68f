/* Time as a thing that is handed in, so that a test or the simulator owns it.
 * Wall time (milliseconds since 1970, UTC) is for records; monotonic time is for every deadline.
 * RFC 3339 in and out, always UTC with milliseconds on the way out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/str.h"

typedef struct hf_clock {
    int64_t (*wall_ms)(void *self);
    int64_t (*mono_ms)(void *self); /* CLOCK_BOOTTIME: a suspended machine's lease runs out too */
    void *self;
} hf_clock;

/* The machine's own clocks. Thread-safe. */
const hf_clock *hf_clock_system(void);

static inline int64_t hf_wall_ms(const hf_clock *c) { return c->wall_ms(c->self); }
static inline int64_t hf_mono_ms(const hf_clock *c) { return c->mono_ms(c->self); }
int64_t hf_mono_ns(void); /* for measuring only */

#define HF_RFC3339_BYTES 32
/* "2026-01-17T10:30:00.000Z" into text: always of that width, so that times sort as text. */
const char *hf_time_format(int64_t wall_ms, char text[HF_RFC3339_BYTES]);
/* RFC 3339 section 5.6, any offset, seconds fraction cut to milliseconds; false if it is not one. */
bool hf_time_parse(hf_str text, int64_t *ret_wall_ms);
/* Go's duration syntax: "1h30m", "10s", "250ms", "1.5s"; plain numbers are refused. */
bool hf_duration_parse(hf_str text, int64_t *ret_ms);
