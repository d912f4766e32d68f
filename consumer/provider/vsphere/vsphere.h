/* Provider vsphere: VMs of a vCenter or ESX host, as streams of streamOptimized VMDKs.
 *
 * A VM that is off is exported as it is (ExportVm); a running or suspended one by way of a snapshot, which is on the job's record before
 * it exists and is removed whatever happens. The lease is kept alive while disks come; hf_vm_close completes or aborts it, removes the
 * snapshot and logs out. What kill -9 leaves behind: the lease ends by itself after its time-out, the session after the server's; the
 * snapshot is removed by the next attempt, or by a job of operation `sweep`.
 * parameters.allow_crash_consistent false: fail where the guest cannot be quiesced, whatever the endpoint's `quiesce` says.
 * Threads: one, except disks' streams, which may be opened and read by one each. */
#pragma once
#include "consumer/provider/provider.h"

hf_code hf_vsphere_vm_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret,
                           hf_err *reterr);
