#include "consumer/provider/vsphere/own_snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumer/pipeline/digest.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { JOB_MAX = 60, JOB_HEAD = 40, JOB_HASH = 16, ATTEMPT_DIGITS = 7, FIND_MAX = HF_VSPHERE_SNAPSHOTS_MAX };
enum { AGAIN_FIRST_MS = 250, AGAIN_MAX_MS = 1000, FAULT_TRIES = 4 };

/* "hyperfleet-JOB-": what all attempts of a job begin with. */
static hf_code prefix_of(hf_str job_id, char prefix[HF_SNAPSHOT_NAME_MAX + 1], hf_err *reterr) {
    char hex[HF_DIGEST_HEX_MAX];
    if (job_id.len <= JOB_MAX) {
        snprintf(prefix, HF_SNAPSHOT_NAME_MAX + 1, HF_SNAPSHOT_PREFIX "%.*s-", HF_STR_ARG(job_id));
        return HF_OK;
    }
    hf_code code = hf_digest_bytes(HF_DIGEST_SHA256, job_id.p, job_id.len, hex, reterr);
    if (code == HF_OK)
        snprintf(prefix, HF_SNAPSHOT_NAME_MAX + 1, HF_SNAPSHOT_PREFIX "%.*s~%.*s-", JOB_HEAD, job_id.p, JOB_HASH, hex);
    return code;
}

hf_code hf_snapshot_name(hf_str job_id, int32_t attempt, char name[HF_SNAPSHOT_NAME_MAX + 1], hf_err *reterr) {
    char prefix[HF_SNAPSHOT_NAME_MAX + 1];
    hf_code code = prefix_of(job_id, prefix, reterr);
    int n = code == HF_OK ? snprintf(name, HF_SNAPSHOT_NAME_MAX + 1, "%s%" PRId32, prefix, attempt) : 0;
    if (code == HF_OK && (n < 0 || n > HF_SNAPSHOT_NAME_MAX))
        return hf_fail(reterr, HF_E_LIMIT, "a snapshot's name for attempt %" PRId32 " is longer than %d bytes", attempt,
                       HF_SNAPSHOT_NAME_MAX);
    return code;
}

bool hf_snapshot_name_parse(hf_str name, hf_str *ret_job, int32_t *ret_attempt) {
    const uint32_t prefix = sizeof HF_SNAPSHOT_PREFIX - 1;
    uint32_t at = name.len;
    int32_t attempt = 0, unit = 1;
    while (at > prefix && name.p[at - 1] >= '0' && name.p[at - 1] <= '9' && name.len - at < ATTEMPT_DIGITS) {
        attempt += (name.p[--at] - '0') * unit;
        unit *= 10;
    }
    if (!hf_str_starts(name, HF_STR(HF_SNAPSHOT_PREFIX)) || at == name.len || at < prefix + 2 || name.p[at - 1] != '-')
        return false;
    *ret_job = (hf_str){name.p + prefix, at - 1 - prefix};
    *ret_attempt = attempt;
    return true;
}

/* What another task of the VM holds now it may let go of in a moment; a host's failure of its own is often its last. A job that has
 * ended well has no next attempt to remove what stays behind. */
static hf_code remove_patiently(hf_vsphere *v, const hf_moref *ref, hf_err *reterr) {
    int64_t end = hf_mono_ns() / 1000000 + hf_vsphere_endpoint(v)->task_wait_ms;
    int failures = 0;
    for (int64_t wait = AGAIN_FIRST_MS;; wait = wait * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS : wait * 2) {
        hf_code code = hf_snapshot_remove(v, ref, reterr);
        bool again =
            code == HF_E_BUSY || code == HF_E_UNREACHABLE || (code == HF_E_PROVIDER_FAULT && ++failures < FAULT_TRIES);
        if (!again || hf_mono_ns() / 1000000 + wait > end)
            return code;
        nanosleep(&(struct timespec){.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000}, NULL);
    }
}

static bool is_ours(const hf_vsphere_snapshot *s, hf_str prefix, int32_t attempt) {
    hf_str job;
    int32_t made_by;
    hf_str name = hf_str_of(s->name);
    /* "hyperfleet-a-" begins the names of job "a-b", too: only digits may follow */
    return hf_snapshot_name_parse(name, &job, &made_by) && job.len + sizeof HF_SNAPSHOT_PREFIX == prefix.len &&
           made_by <= attempt;
}

hf_code hf_snapshots_remove(hf_vsphere *v, const hf_moref *vm, hf_str job_id, int32_t attempt, uint32_t *ret_count,
                            hf_err *reterr) {
    char prefix[HF_SNAPSHOT_NAME_MAX + 1];
    uint32_t count = 0, removed = 0;
    hf_auto_free hf_vsphere_snapshot *found = hf_alloc(FIND_MAX * sizeof *found);
    if (!found)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a list of snapshots");
    hf_code code = prefix_of(job_id, prefix, reterr);
    if (code == HF_OK)
        code = hf_snapshot_find(v, vm, hf_str_of(prefix), found, FIND_MAX, &count, reterr);
    for (uint32_t i = 0; code == HF_OK && i < count && i < FIND_MAX; i++)
        if (is_ours(&found[i], hf_str_of(prefix), attempt)) {
            code = remove_patiently(v, &found[i].ref, reterr);
            if (code != HF_OK)
                return hf_context(reterr, "removing snapshot %s of %s", found[i].name, vm->value);
            removed++;
        }
    if (code == HF_OK && ret_count)
        *ret_count = removed;
    return code;
}
