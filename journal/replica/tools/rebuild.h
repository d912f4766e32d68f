/* Folding a journal anew from its own copy of the log: a pool of threads, a replica each, a partition at a time (partitions
 * are independent: replica.h), all committing to one new store that is synced at its end. */
#pragma once
#include <stdatomic.h>

#include "journal/replica/replica.h"

typedef struct hf_rebuild_options {
    int threads;             /* 0: as many as there are processors, at most one a partition */
    bool without_copy;       /* leave the log copy out (verify) */
    size_t batch_max_bytes;  /* of each thread; 0: 64 MiB */
    hf_codec *codec;         /* borrowed; NULL: one that knows the schemas compiled in */
    const atomic_bool *stop; /* set from outside: CANCELLED; NULL: never */
} hf_rebuild_options;
typedef struct hf_rebuild_stats {
    uint64_t records, partitions;
    double seconds;
} hf_rebuild_stats;

/* Folds what `read` (hf_read_begin_all) of `source` has into the empty store `target`, the offsets included. */
hf_code hf_rebuild_into(hf_store *source, hf_read *read, hf_store *target, const hf_rebuild_options *options,
                        hf_rebuild_stats *ret, hf_err *reterr);
/* The fleet a store's `meta` names, NUL-terminated in text; "" when none. */
hf_code hf_fleet_of(hf_store *store, hf_read *read, char text[128], hf_err *reterr);

/* Rebuilds the journal in `dir` from its own copy: aside, in dir/rebuild, then put in place by a rename. The old one is
 * untouched until then. Nobody may be writing it (STORE_IN_USE). Readers go on with the old one until they open it anew. */
hf_code hf_rebuild_dir(const char *dir, const hf_store_options *map, const hf_rebuild_options *options,
                       hf_rebuild_stats *ret, hf_err *reterr);
/* The two steps around a rebuild aside, for one that reads from elsewhere: dir/rebuild, empty; and its data in place. The caller
 * holds dir's lock (an open store) meanwhile. */
hf_code hf_rebuild_aside(const char *dir, char aside[4096], hf_err *reterr);
hf_code hf_rebuild_swap(const char *dir, const char *aside, hf_err *reterr);
