/* Operation fs_repair: every file system on partitions, logical volumes and whole disks is checked, repaired where it is damaged, and
 * checked again. Nothing is repaired that is not damaged, so that a second run changes nothing. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/fs_tools.h"
#include "consumer/operation/inspect.h"
#include "schemas/base/mem.h"

enum { FS_MAX = 48, OUTPUT_KEPT = 900, OUTPUT_KEPT_MANY = 150 };

typedef struct state {
    uint32_t count;
    hf_fs all[FS_MAX];
} state;

static state *state_of(hf_guest_session *x) { return *hf_guest_own(x, HF_GUEST_FS); }

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    bool given;
    hf_code rc = hf_guest_flag(parameters, "btrfs_repair", &given, reterr);
    if (rc == HF_OK)
        rc = hf_guest_flag(parameters, "xfs_zero_log", &given, reterr);
    if (rc == HF_OK && !(*hf_guest_own(x, HF_GUEST_FS) = hf_alloc(sizeof(state))))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
    return rc;
}

/* ---- look ------------------------------------------------------------------------------------------------------------- */
static void tell_left_alone(hf_guest_session *x, const hf_fs *fs) {
    if (strcmp(fs->type, "crypto_LUKS") == 0)
        hf_guest_finding(x, "info", "encrypted", "Open it in the running guest and check it there.",
                         "%s is encrypted: what is in it is not checked", fs->device);
    else if (strcmp(fs->type, "unknown") == 0)
        hf_guest_finding(x, "info", "no-file-system", NULL,
                         "%s has no file system that is known, nor what is left of one", fs->device);
}

static hf_code add(hf_guest_session *x, const char *device, const char *type, hf_err *reterr) {
    state *s = state_of(x);
    if (s->count == FS_MAX) {
        hf_guest_finding(x, "warning", "too-many", "Repair the disks in several jobs.",
                         "%s: only the first %d file systems are checked", device, FS_MAX);
        return HF_OK;
    }
    hf_fs *fs = &s->all[s->count];
    hf_str name = hf_arena_str(hf_guest_arena(x), hf_str_of(device)),
           word = hf_arena_str(hf_guest_arena(x), hf_str_of(type && *type ? type : "unknown"));
    if (!name.p || !word.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of file systems");
    *fs = (hf_fs){.device = name.p, .type = word.p};
    hf_code rc = hf_fs_identify(x, fs, reterr);
    s->count += rc == HF_OK && fs->kind != HF_FS_NONE;
    if (rc == HF_OK && fs->kind == HF_FS_NONE)
        tell_left_alone(x, fs);
    if (rc == HF_OK && fs->super_lost)
        hf_guest_finding(x, "warning", "superblock-lost", NULL, "%s: its superblock is gone, but a copy says it is %s",
                         fs->device, fs->type);
    return rc;
}

static hf_code look(hf_guest_session *x, hf_err *reterr) {
    char **list = hf_guest_file_systems(x);
    if (!list)
        return hf_guest_fail(x, reterr, "looking for file systems");
    hf_code rc = HF_OK;
    for (char **at = list; rc == HF_OK && at[0] && at[1]; at += 2)
        if (strncmp(at[0], "btrfsvol:", 9) != 0) /* part of one that is in the list */
            rc = add(x, at[0], at[1], reterr);
    hf_guest_free_strings(list);
    if (rc == HF_OK && state_of(x)->count == 0)
        hf_guest_finding(x, "warning", "nothing-found", "Run lvm_repair first where the guest uses LVM.",
                         "no file system was found on the disks");
    hf_guest_result(x, "done", "%u file systems", (unsigned)state_of(x)->count);
    return rc;
}

/* ---- check, repair, verify ------------------------------------------------------------------------------------------------ */
static hf_code check(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    uint32_t damaged = 0;
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < s->count; i++) {
        hf_fs *fs = &s->all[i];
        rc = hf_fs_check(x, fs, reterr);
        damaged += fs->damaged;
        if (rc == HF_OK && fs->damaged) {
            rc = hf_fs_count_lost(x, fs, &fs->lost_before, reterr);
            hf_guest_finding(x, "warning", fs->log_dirty ? "not-unmounted" : "damaged", NULL, "%s (%s) %s", fs->device,
                             fs->type,
                             fs->log_dirty ? "was not taken off: its journal is to be played back" : "is damaged");
        }
    }
    hf_guest_result(x, "done", "%u of %u file systems are not clean", (unsigned)damaged, (unsigned)s->count);
    return rc;
}

static void tell_repair(hf_guest_session *x, const hf_fs *fs, bool dirty) {
    char after[160];
    snprintf(after, sizeof after, "clean (%d inodes cleared, %d put into lost+found)", (int)fs->cleared,
             (int)fs->reconnected);
    if (fs->repaired)
        hf_guest_change(x, "file system", fs->device, dirty ? "not taken off" : "damaged", after);
    else
        hf_guest_finding(x, "error", "not-repaired",
                         "The report has the last words of the program that was to repair it.",
                         "%s (%s) is still damaged", fs->device, fs->type);
}

static hf_code repair(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < s->count; i++) {
        hf_fs *fs = &s->all[i];
        bool dirty = fs->log_dirty;
        if (!fs->damaged)
            continue;
        bool asked = fs->kind != HF_FS_BTRFS || json_is_true(json_object_get(hf_guest_parameters(x), "btrfs_repair"));
        if (hf_guest_dry(x) && asked) { /* of what is not asked for is told the same in a dry run */
            hf_guest_change(x, "file system", fs->device, dirty ? "not taken off" : "damaged", "repaired");
            continue;
        }
        rc = hf_fs_repair(x, fs, reterr);
        if (rc == HF_OK)
            tell_repair(x, fs, dirty);
    }
    return rc;
}

static json_t *describe(const hf_fs *fs, size_t kept, bool dry) {
    const char *word = fs->repaired         ? "repaired"
                       : fs->unrepaired     ? "damaged"
                       : fs->damaged && dry ? "would be repaired"
                       : fs->damaged        ? "damaged"
                       : fs->checked        ? "clean"
                                            : "not checked";
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:b}", "device", fs->device, "type", fs->type, "state", word, "mounts", fs->mounts);
    if (!o || !(fs->damaged || fs->repaired))
        return o;
    json_object_set_new(o, "found", hf_guest_tail(fs->found, kept));
    if (*fs->did)
        json_object_set_new(o, "did", hf_guest_tail(fs->did, kept));
    if (fs->log_zeroed)
        json_object_set_new(o, "log_thrown_away", json_true());
    if (fs->repaired || fs->unrepaired) {
        json_object_set_new(o, "inodes_cleared", json_integer(fs->cleared));
        json_object_set_new(o, "inodes_reconnected", json_integer(fs->reconnected));
    }
    json_object_set_new(o, "lost_found_before", fs->lost_before < 0 ? json_null() : json_integer(fs->lost_before));
    json_object_set_new(o, "lost_found_after", fs->lost_after < 0 ? json_null() : json_integer(fs->lost_after));
    return o;
}

static hf_code verify_one(hf_guest_session *x, hf_fs *fs, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    fs->mounts = hf_guest_mount_to_look(x, fs->device, fs->type);
    if (!fs->mounts)
        hf_guest_finding(x, fs->damaged ? "warning" : "error", "not-mountable", NULL, "%s (%s) cannot be mounted: %s",
                         fs->device, fs->type, guestfs_last_error(g) ? guestfs_last_error(g) : "no reason given");
    if (guestfs_umount_all(g) != 0)
        return hf_guest_fail(x, reterr, "taking %s off", fs->device);
    return fs->repaired ? hf_fs_count_lost(x, fs, &fs->lost_after, reterr) : HF_OK;
}

static hf_code verify(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    hf_code rc = HF_OK;
    json_t *list = json_array();
    uint32_t bad = 0;
    for (uint32_t i = 0; rc == HF_OK && i < s->count; i++) {
        rc = verify_one(x, &s->all[i], reterr);
        bad += s->all[i].damaged || !s->all[i].mounts;
        json_array_append_new(list,
                              describe(&s->all[i], s->count > 8 ? OUTPUT_KEPT_MANY : OUTPUT_KEPT, hf_guest_dry(x)));
    }
    hf_guest_note(x, "file_systems", list);
    hf_guest_result(x, bad ? "not possible" : "done", "%u of %u file systems are clean and can be mounted",
                    (unsigned)(s->count - bad), (unsigned)s->count);
    return rc;
}

static const hf_guest_step steps[] = {{"look", "looks for file systems", look},
                                      {"check", "checks each, without changing it", check},
                                      {"repair", "repairs those that are damaged", repair},
                                      {"verify", "checks what was repaired, and mounts each", verify},
                                      {NULL, NULL, NULL}};
const hf_guest_plan hf_fs_repair_plan = {.operation = "fs_repair", .steps = steps, .prepare = prepare};

hf_code hf_op_fs_repair(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &hf_fs_repair_plan, ret_result, ret_phase, reterr);
}
