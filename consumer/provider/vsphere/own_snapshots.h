/* Snapshots that exports of running VMs make: their names, and getting rid of them.
 *
 * The name says whose it is: "hyperfleet-JOB-ATTEMPT". It is on the job's record before the snapshot is made (hf_run's announce), so
 * whatever dies in between, the next attempt of that job, on whatever worker, knows what to remove; of jobs that have ended a sweep does. */
#pragma once
#include "consumer/provider/vsphere/lease.h"

enum { HF_SNAPSHOT_NAME_MAX = 80 /* what vCenter takes */ };
#define HF_SNAPSHOT_PREFIX "hyperfleet-"

/* Of a job id longer than fits: its beginning, '~' and a hash of it. */
hf_code hf_snapshot_name(hf_str job_id, int32_t attempt, char name[HF_SNAPSHOT_NAME_MAX + 1], hf_err *reterr);
/* Is that name of a snapshot of ours? Which job's (as in the name) and attempt. */
bool hf_snapshot_name_parse(hf_str name, hf_str *ret_job, int32_t *ret_attempt);
/* Removes the VM's snapshots that attempts up to `attempt` of the job made; *ret_count (may be NULL) how many. Snapshots that are busy are
 * tried again for up to the endpoint's task_wait. */
hf_code hf_snapshots_remove(hf_vsphere *v, const hf_moref *vm, hf_str job_id, int32_t attempt, uint32_t *ret_count,
                            hf_err *reterr);
