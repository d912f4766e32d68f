/* A time zone: which offset from UTC is in force at an instant. Read from the system's TZif files, never through tzset(), which
 * changes the whole process. A zone does not change after it was made: any number of threads may use it.
 *
 * Sources: RFC 9636 (which replaced RFC 8536) for TZif, versions 1 to 4; its section 3.3.1 and POSIX.1 for the footer, which says
 * what holds after the table's end. Units: seconds since 1970 UTC without leap seconds; offsets in seconds east of Greenwich. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

enum {
    HF_ZONE_NAME_MAX = 64,          /* bytes of a name */
    HF_ZONE_FILE_MAX = 64 * 1024,   /* of a TZif file; the largest of 2026 has 4 KiB */
    HF_ZONE_TRANSITIONS_MAX = 4096, /* in a file's table */
    HF_ZONE_FOOTER_MAX = 128,       /* bytes of the footer */
};
#define HF_ZONE_FOLDER "/usr/share/zoneinfo"

typedef struct hf_zone hf_zone;

/* A run of time with one offset: start_s <= t < end_s. INT64_MIN and INT64_MAX: for ever. */
typedef struct hf_zone_span {
    int64_t start_s, end_s;
    int32_t offset_s;
} hf_zone_span;

/* Is this shaped like a zone's name? Letters, digits and _ + - / ., no "..", neither absolute nor hidden, not ending in "/". */
bool hf_zone_name_ok(hf_str name);
/* The zone of that name; "" and "UTC" need no file. INVALID: no name of a zone. NOT_FOUND: no such zone here (the package tzdata
 * has them). PARSE, LIMIT, UNSUPPORTED (leap seconds): as hf_zone_parse. *ret is the caller's. */
hf_code hf_zone_load(hf_str name, hf_zone **ret, hf_err *reterr);
/* From the bytes of a TZif file. PARSE: not one, or a damaged one; LIMIT: larger than the bounds above. */
hf_code hf_zone_parse(const uint8_t *bytes, size_t size, hf_zone **ret, hf_err *reterr);
void hf_zone_free(hf_zone *zone);
static inline void hf_zone_free_p(hf_zone **zone) { hf_zone_free(*zone); }

/* The span that holds the instant. Spans that meet may have the same offset. A zone of NULL is UTC. */
hf_zone_span hf_zone_at(const hf_zone *zone, int64_t unix_s);
/* How a local time (seconds since 1970 as if it were UTC) is found: the first instant at which clocks show it; when they never do,
 * because they were set forward over it, the instant at which they were. */
int64_t hf_zone_first(const hf_zone *zone, int64_t local_s);

/* "2026-03-29T03:00:00+02:00", "Z" where the offset is 0. An offset with seconds (before 1972) is cut to minutes, and the local
 * time with it, so that the text still names the instant. Years 0 to 9999; text ends up empty outside. */
#define HF_ZONE_TIME_BYTES 32
const char *hf_zone_format(const hf_zone *zone, int64_t unix_s, char text[HF_ZONE_TIME_BYTES]);
