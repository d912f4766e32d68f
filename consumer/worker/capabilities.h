/* What this machine and this worker can do: probed once at start, announced in every heartbeat. Nothing is run for
 * it: devices, programs on PATH, effective capabilities and limits are looked at.
 *
 *   execution_mode  host; safe_container; privileged_container (one with CAP_SYS_ADMIN)
 *   level           full-offline-fixes (guest operations can run, or nbd, lvm and mount), nbd-inspection (nbd), userspace-only
 * Each capability is one an operation could act on now: nbd is a usable /dev/nbd0 with qemu-nbd, lvm and mount need
 * CAP_SYS_ADMIN besides their programs, or libguestfs's appliance, which has them of its own ("guest_operations" tells by which; an
 * external program's needs are met by the host alone). Memory and CPUs are those the cgroup leaves; disk space is the most that is free
 * below one of worker.roots (below the root directory where none are configured). */
#pragma once
#include <jansson.h>

#include "schemas/base/config.h"
#include "schemas/job/job.h"

/* Where to look; NULL fields are the machine's own. Tests bring a directory tree. */
typedef struct hf_probe_from {
    const char *root;        /* prefix of /proc, /dev, /etc, /run, /sys */
    const char *path;        /* of programs, as PATH */
    const char *guestfs_why; /* why guest operations are not possible; "" if they are; NULL: looked up */
} hf_probe_from;

/* Strings and lists live in arena. Fails only without memory. */
hf_code hf_capabilities_probe(const hf_config *config, const hf_probe_from *from, hf_arena *arena, hf_capabilities *ret,
                              hf_err *reterr);
/* WorkerCapabilities of worker protocol v1, with execution_mode, level, cpus, operations, providers and endpoints besides.
 * New reference; NULL without memory. */
json_t *hf_capabilities_json(const hf_capabilities *capabilities, hf_str worker_id, hf_str hostname, int slots,
                             int64_t wall_ms);
/* worker.id, or the host name where it is empty; into text of HF_ID_MAX_BYTES + 1. INVALID where it is no id. */
hf_code hf_worker_id(const hf_config *config, char *text, hf_err *reterr);
