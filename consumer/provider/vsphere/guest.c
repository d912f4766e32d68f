/* The snapshot through which a VM that is not off is read: quiesced by the guest's tools where they can, else crash-consistent where that is
 * allowed, and said. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consumer/provider/vsphere/export_inside.h"

/* Faults after which a snapshot that is not quiesced may still be had. */
static bool quiescing_failed(const char *fault) {
    static const char *const faults[] = {"ApplicationQuiesceFault", "FilesystemQuiesceFault", "ToolsUnavailable",
                                         "SnapshotFault", "GenericVmConfigFault"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (strcmp(fault, faults[i]) == 0)
            return true;
    return false;
}

static hf_code announce(hf_vsphere_export *x, const char *name, hf_err *reterr) {
    char text[512];
    int n = snprintf(text, sizeof text, "snapshot %s of %s", name, x->vm->ref.value);
    if (n > HF_ID_MAX_BYTES)
        return hf_fail(reterr, HF_E_LIMIT, "the announcement of snapshot %s has %d bytes, and a record takes %d", name,
                       n, HF_ID_MAX_BYTES);
    hf_code code = x->opener.announce ? x->opener.announce(x->opener.job, hf_str_of(text), reterr) : HF_OK;
    return code == HF_OK ? HF_OK : hf_context(reterr, "putting the snapshot on record");
}

static hf_code create(hf_vsphere_export *x, const char *name, const char *description, bool quiesce, hf_err *reterr) {
    hf_snapshot_options options = {.name = hf_str_of(name), .description = hf_str_of(description), .quiesce = quiesce};
    x->snapshot_tried = true;
    return hf_snapshot_create(x->v, &x->vm->ref, &options, &x->snapshot, reterr);
}

/* What a snapshot that failed half-way left; there is no second of that name then. */
static hf_code tidy_up(hf_vsphere_export *x, hf_err *reterr) {
    return hf_snapshots_remove(x->v, &x->vm->ref, x->job_id, x->opener.attempt, NULL, reterr);
}

static hf_code create_some(hf_vsphere_export *x, const char *name, const char *description, hf_err *reterr) {
    hf_quiesce wish = x->endpoint.quiesce;
    /* a suspended guest does nothing: there is nobody to quiesce and nothing to be lost */
    bool quiesce = wish != HF_QUIESCE_NEVER && x->vm->power != HF_POWER_SUSPENDED;
    hf_code code = create(x, name, description, quiesce, reterr);
    x->crash_consistent = !quiesce && x->vm->power != HF_POWER_SUSPENDED;
    if (code == HF_OK || !quiesce || !quiescing_failed(hf_vsphere_fault(x->v)))
        return code;
    if (!x->crash_consistent_allowed)
        return hf_context(reterr,
                          "a quiesced snapshot is required (endpoints.%s.quiesce, "
                          "parameters.allow_crash_consistent), and none could be made",
                          x->endpoint.name);
    hf_vsphere_export_tell(x, "warn", "the guest could not be quiesced (%s): the export is crash-consistent",
                           hf_vsphere_fault(x->v));
    if ((code = tidy_up(x, reterr)) == HF_OK)
        code = create(x, name, description, false, reterr);
    x->crash_consistent = true;
    return code;
}

hf_code hf_vsphere_export_snapshot(hf_vsphere_export *x, hf_err *reterr) {
    char name[HF_SNAPSHOT_NAME_MAX + 1], description[512];
    hf_code code = hf_snapshot_name(x->job_id, x->opener.attempt, name, reterr);
    if (code != HF_OK || (code = announce(x, name, reterr)) != HF_OK)
        return code;
    snprintf(description, sizeof description,
             "Made for an export: job %.*s, attempt %" PRId32 ". It is removed when the export ends.",
             HF_STR_ARG(x->job_id), x->opener.attempt);
    /* A cancel does not leave the server at work on a snapshot nobody waits for: it is heard when the snapshot is there. */
    hf_vsphere_set_cancel(x->v, NULL);
    code = x->snapshot_tried ? tidy_up(x, reterr) : HF_OK; /* a try before this one, of the same attempt */
    if (code == HF_OK)
        code = create_some(x, name, description, reterr);
    hf_vsphere_set_cancel(x->v, x->flow->cancel);
    if (code == HF_OK)
        code = hf_flow_check(x->flow, reterr);
    return code == HF_OK ? HF_OK : hf_context(reterr, "snapshot %s", name);
}
