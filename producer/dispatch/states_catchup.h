/* What the former owner of a partition did not publish on `job-states`, found and published by the new one.
 *
 * The last record of the partition says through which offset of job-events everything is published. From there on the
 * log is read again for the ids of jobs that changed. Those that live are in the replica; those that ended meanwhile are
 * folded again from where they were created. Works in small steps between the dispatcher's other work.
 * Bounds: HF_CATCHUP_IDS_MAX jobs a pass; what is beyond is the next pass. One partition at a time. */
#pragma once
#include "journal/replica/replica.h"
#include "producer/dispatch/states.h"

enum { HF_CATCHUP_IDS_MAX = 20000 };
typedef struct hf_catchup hf_catchup;

hf_catchup *hf_catchup_new(hf_klog *log, hf_codec *codec, hf_replica *replica, hf_store *store,
                           hf_states *states); /* NULL without memory */
void hf_catchup_free(hf_catchup *c);
/* Partition `p` is ours from now on (or no longer). */
void hf_catchup_want(hf_catchup *c, int32_t partition, bool ours);
/* One bounded step; true while there is more to do. Errors of the log are logged and tried again. */
bool hf_catchup_step(hf_catchup *c);
