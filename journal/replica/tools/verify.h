/* Is the journal what its log copy says? Everything but the copy is folded anew, aside, and compared byte for byte; the chain
 * that comes out of the copy proves the copy. Works on one snapshot while the fleet runs. */
#pragma once
#include "journal/replica/tools/rebuild.h"

typedef struct hf_verify_stats {
    hf_rebuild_stats rebuilt;
    uint64_t jobs;
} hf_verify_stats;
/* VERIFY_FAILED names the first difference by table and key. `dir` is not written but for a scratch directory in $TMPDIR or /tmp. */
hf_code hf_verify(const char *dir, const hf_rebuild_options *options, hf_verify_stats *ret, hf_err *reterr);
