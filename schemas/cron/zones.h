/* Time zones by name, each read once and shared: a hundred thousand schedules use a handful. One thread. */
#pragma once
#include "schemas/cron/cron.h"

enum { HF_ZONES_MAX = 1024 }; /* names; tzdata lists about 600 */

typedef struct hf_zones hf_zones;
hf_zones *hf_zones_new(void);        /* NULL without memory */
void hf_zones_free(hf_zones *zones); /* NULL is fine; zones that were given out are gone with it */
/* The zone a schedule reckons in: its own if its text names one, else `otherwise`. Errors as of hf_zone_load (a failure is not
 * remembered); LIMIT past HF_ZONES_MAX names. */
hf_code hf_zones_of(hf_zones *zones, const hf_cron *cron, hf_str otherwise, const hf_zone **ret, hf_err *reterr);
