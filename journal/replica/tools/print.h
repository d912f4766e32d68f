/* What a journal says, for people and for scripts: `hyperjournal print`. */
#pragma once
#include <stdio.h>

#include "journal/replica/asof.h"

typedef struct hf_print_options {
    bool json;            /* one object a line */
    size_t limit;         /* rows; 0: 100 for lists that have no end, else all */
    const hf_asof *as_of; /* NULL: now */
    hf_codec *codec;      /* borrowed; NULL: one that knows the schemas compiled in */
} hf_print_options;

/* what: "jobs", "job ID", "events ID", "offsets", "counters", "chain", "log TOPIC", "orphans", "schedule_runs"; argument NULL where there is none. USAGE for
 * anything else. */
hf_code hf_print(const char *dir, const char *what, const char *argument, const hf_print_options *options, FILE *out,
                 hf_err *reterr);
