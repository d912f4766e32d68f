/* Kinds of file systems, their checks and repairs. */
#include "consumer/operation/guest/fs_tools.h"

#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/inside.h"
#include "schemas/base/mem.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- what it is ------------------------------------------------------------------------------------------------------ */
static hf_fs_kind kind_of(const char *type) {
    static const struct {
        const char *type;
        hf_fs_kind kind;
    } kinds[] = {{"ext2", HF_FS_EXT},    {"ext3", HF_FS_EXT}, {"ext4", HF_FS_EXT},  {"xfs", HF_FS_XFS},
                 {"btrfs", HF_FS_BTRFS}, {"vfat", HF_FS_FAT}, {"msdos", HF_FS_FAT}, {"ntfs", HF_FS_NTFS}};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (strcmp(type, kinds[i].type) == 0)
            return kinds[i].kind;
    return HF_FS_NONE;
}

/* Whether the device has `mark` at that place. */
static bool has_mark(hf_guest_session *x, const char *device, int64_t at, const char *mark) {
    size_t len = 0;
    hf_auto_free char *text =
        at >= 0 ? guestfs_pread_device(hf_guest_handle(x), device, (int)strlen(mark), at, &len) : NULL;
    return text && len == strlen(mark) && memcmp(text, mark, len) == 0;
}

static hf_code find_ext_backup(hf_guest_session *x, hf_fs *fs, hf_err *reterr) {
    static const struct { int at, bytes; } places[] = {{8193, 1024}, {32768, 4096}, {16384, 2048}};
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(places); i++) {
        int64_t mark = (int64_t)places[i].at * places[i].bytes + 56;
        if (!has_mark(x, fs->device, mark, "\x53\xef"))
            continue;
        char super[48], bytes[48];
        int status = 0;
        snprintf(super, sizeof super, "superblock=%d", places[i].at);
        snprintf(bytes, sizeof bytes, "blocksize=%d", places[i].bytes);
        rc = hf_guest_tool(x, ARGV("dumpe2fs", "-h", "-o", super, "-o", bytes, fs->device), &status, NULL, reterr);
        if (rc == HF_OK && status == 0) {
            *fs = (hf_fs){.device = fs->device, .type = "ext4", .kind = HF_FS_EXT, .super_lost = true};
            fs->superblock = places[i].at;
            fs->block_bytes = places[i].bytes;
            break;
        }
    }
    return rc;
}

hf_code hf_fs_identify(hf_guest_session *x, hf_fs *fs, hf_err *reterr) {
    fs->kind = kind_of(fs->type);
    fs->lost_before = fs->lost_after = -1;
    fs->found = fs->did = "";
    if (fs->kind != HF_FS_NONE || strcmp(fs->type, "unknown") != 0)
        return HF_OK;
    const char *device = fs->device;
    int64_t size = guestfs_blockdev_getsize64(hf_guest_handle(x), device);
    hf_code rc = find_ext_backup(x, fs, reterr);
    if (rc == HF_OK && fs->kind == HF_FS_NONE) {
        /* mkfs.xfs makes four allocation groups unless told otherwise: the second begins a quarter in. */
        int64_t quarter = (size / 4 + 4095) / 4096 * 4096;
        if (has_mark(x, device, quarter, "XFSB") || has_mark(x, device, size / 4 / 4096 * 4096, "XFSB"))
            *fs = (hf_fs){.device = device, .type = "xfs", .kind = HF_FS_XFS, .super_lost = true};
        else if (has_mark(x, device, size - 512 + 3, "NTFS    "))
            *fs = (hf_fs){.device = device, .type = "ntfs", .kind = HF_FS_NTFS, .super_lost = true};
        else if (size > (64 << 20) + 4096 && has_mark(x, device, (64 << 20) + 64, "_BHRfS_M"))
            *fs = (hf_fs){.device = device, .type = "btrfs", .kind = HF_FS_BTRFS, .super_lost = true};
    }
    fs->lost_before = fs->lost_after = -1;
    fs->found = fs->did = "";
    return rc;
}

/* ---- checking ---------------------------------------------------------------------------------------------------------- */
hf_code hf_fs_check(hf_guest_session *x, hf_fs *fs, hf_err *reterr) {
    char *out = (char[]){""};
    int status = 0;
    hf_code rc = HF_OK;
    switch (fs->kind) {
    case HF_FS_EXT:
        rc = hf_guest_tool(x, ARGV("e2fsck", "-f", "-n", fs->device), &status, &out, reterr);
        fs->log_dirty = strstr(out, "skipping journal recovery") != NULL;
        break;
    case HF_FS_XFS:
        rc = hf_guest_tool(x, ARGV("xfs_repair", "-n", fs->device), &status, &out, reterr);
        fs->log_dirty = strstr(out, "valuable metadata changes in a log") != NULL;
        break;
    case HF_FS_BTRFS:
        rc = hf_guest_tool(x, ARGV("btrfs", "check", "--readonly", fs->device), &status, &out, reterr);
        break;
    case HF_FS_FAT: rc = hf_guest_tool(x, ARGV("fsck.vfat", "-n", fs->device), &status, &out, reterr); break;
    case HF_FS_NTFS:
        rc = hf_guest_tool(x, ARGV("ntfsfix", "-n", fs->device), &status, &out, reterr);
        status = status || strstr(out, "FAILED") || strstr(out, "Unrecoverable");
        break;
    case HF_FS_NONE: break;
    }
    if (rc != HF_OK)
        return rc;
    fs->damaged = status != 0 || fs->log_dirty;
    fs->found = out;
    fs->checked = true;
    return HF_OK;
}

/* ---- repairing --------------------------------------------------------------------------------------------------------- */
static hf_code repair_ext(hf_guest_session *x, hf_fs *fs, int *ret_status, char **out, hf_err *reterr) {
    char super[16], bytes[16];
    snprintf(super, sizeof super, "%d", fs->superblock);
    snprintf(bytes, sizeof bytes, "%d", fs->block_bytes);
    hf_code rc = fs->superblock ? hf_guest_tool(x, ARGV("e2fsck", "-f", "-y", "-b", super, "-B", bytes, fs->device),
                                                ret_status, out, reterr)
                                : hf_guest_tool(x, ARGV("e2fsck", "-f", "-y", fs->device), ret_status, out, reterr);
    *ret_status = *ret_status >= 4; /* 1 and 2: errors were corrected */
    return rc;
}

static bool asked(hf_guest_session *x, const char *flag) {
    return json_is_true(json_object_get(hf_guest_parameters(x), flag));
}

/* The log is played back by mounting, as its program asks for; it is thrown away only where the job says so. */
static hf_code repair_xfs(hf_guest_session *x, hf_fs *fs, int *ret_status, char **out, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    if (fs->log_dirty && guestfs_mount(g, fs->device, "/") == 0)
        guestfs_umount_all(g);
    hf_code rc = hf_guest_tool(x, ARGV("xfs_repair", fs->device), ret_status, out, reterr);
    if (rc != HF_OK || *ret_status != 2)
        return rc;
    if (!asked(x, "xfs_zero_log")) {
        hf_guest_finding(x, "error", "xfs-log-dirty",
                         "Ask for it with \"xfs_zero_log\": true in parameters: the last changes before the VM stopped "
                         "are lost then.",
                         "%s: its log cannot be played back, and it cannot be repaired without throwing the log away",
                         fs->device);
        return HF_OK;
    }
    fs->log_zeroed = true;
    hf_guest_finding(x, "warning", "xfs-log-zeroed", NULL, "%s: its log was thrown away (parameters.xfs_zero_log)",
                     fs->device);
    return hf_guest_tool(x, ARGV("xfs_repair", "-L", fs->device), ret_status, out, reterr);
}

static hf_code repair_btrfs(hf_guest_session *x, hf_fs *fs, int *ret_status, char **out, hf_err *reterr) {
    if (!asked(x, "btrfs_repair")) {
        *ret_status = 1;
        hf_guest_finding(
            x, "error", "btrfs-damaged",
            "Keep a copy, then ask for it with \"btrfs_repair\": true in parameters: btrfs check --repair can make "
            "things worse.",
            "%s is damaged and was left as it is", fs->device);
        return HF_OK;
    }
    hf_code rc = HF_OK;
    if (fs->super_lost)
        rc = hf_guest_tool(x, ARGV("btrfs", "rescue", "super-recover", "-y", fs->device), ret_status, out, reterr);
    return rc == HF_OK
               ? hf_guest_tool(x, ARGV("btrfs", "check", "--repair", "--force", fs->device), ret_status, out, reterr)
               : rc;
}

static hf_code repair_once(hf_guest_session *x, hf_fs *fs, int *ret_status, char **out, hf_err *reterr) {
    hf_code rc = HF_OK;
    switch (fs->kind) {
    case HF_FS_EXT: return repair_ext(x, fs, ret_status, out, reterr);
    case HF_FS_XFS: return repair_xfs(x, fs, ret_status, out, reterr);
    case HF_FS_BTRFS: return repair_btrfs(x, fs, ret_status, out, reterr);
    case HF_FS_FAT:
        rc = hf_guest_tool(x, ARGV("fsck.vfat", "-a", "-w", fs->device), ret_status, out, reterr);
        *ret_status = *ret_status > 1;
        return rc;
    case HF_FS_NTFS: /* sets the mark by which Windows checks it at its next start */
        return hf_guest_tool(x, ARGV("ntfsfix", fs->device), ret_status, out, reterr);
    case HF_FS_NONE: break;
    }
    return rc;
}

hf_code hf_fs_repair(hf_guest_session *x, hf_fs *fs, hf_err *reterr) {
    static const char *const cleared[] = {"CLEARED", "Clear? yes", "cleared inode", "clearing inode"};
    static const char *const reconnected[] = {"Connect to /lost+found? yes", "moving to lost+found"};
    const char *found = fs->found;
    for (int round = 0; round < 2 && fs->damaged && !fs->unrepaired; round++) {
        char *out = (char[]){""};
        int status = 0;
        hf_code rc = repair_once(x, fs, &status, &out, reterr);
        if (rc != HF_OK)
            return rc;
        if (round == 0 || !*fs->did)
            fs->did = hf_arena_str(hf_guest_arena(x), hf_str_of(out)).p;
        for (size_t i = 0; i < HF_ARRAY_LEN(cleared); i++)
            fs->cleared += hf_count_words(out, cleared[i]);
        for (size_t i = 0; i < HF_ARRAY_LEN(reconnected); i++)
            fs->reconnected += hf_count_words(out, reconnected[i]);
        if (!fs->did)
            return hf_fail(reterr, HF_E_NO_MEMORY, "the output of a repair");
        fs->unrepaired = status != 0;
        fs->superblock = 0; /* by now the first one is there again */
        if ((rc = hf_fs_check(x, fs, reterr)) != HF_OK)
            return rc;
    }
    fs->repaired = !fs->damaged;
    fs->unrepaired = fs->damaged;
    if (fs->repaired)
        fs->found = found;
    return HF_OK;
}

/* ---- what was lost ------------------------------------------------------------------------------------------------------ */
hf_code hf_fs_count_lost(hf_guest_session *x, const hf_fs *fs, int32_t *ret, hf_err *reterr) {
    *ret = -1;
    if (fs->super_lost && !fs->repaired)
        return HF_OK;
    hf_buf line;
    hf_buf_init(&line, 4096);
    bool fine = false, mounted = false;
    if (fs->kind == HF_FS_EXT)
        fine = hf_buf_puts(&line, "debugfs -c -R 'ls -p /lost+found'") && hf_guest_put_word(x, &line, fs->device) &&
               hf_buf_puts(&line, " | grep '^/[1-9]' | grep -cv '/\\.\\.\\?/'");
    else if (fs->kind == HF_FS_XFS) {
        /* Its root alone is looked at; find follows no link that it is given. */
        mounted = guestfs_mount_options(hf_guest_handle(x), "ro,norecovery", fs->device, "/") == 0;
        fine = mounted &&
               hf_buf_puts(&line, "find /sysroot/lost+found -mindepth 1 -maxdepth 1 -printf '.\\n' | grep -c .");
    }
    int status = 0;
    char *out = NULL;
    hf_str text = hf_buf_str(&line);
    hf_auto_free char *copy = fine ? hf_strndup(text.p, text.len) : NULL;
    hf_buf_done(&line);
    hf_code rc = copy ? hf_guest_tool_line(x, copy, &status, &out, reterr) : HF_OK;
    if (mounted)
        guestfs_umount_all(hf_guest_handle(x));
    if (rc == HF_OK && out)
        *ret = (int32_t)strtol(out, NULL, 10);
    return rc;
}
