/* What a qcow2 image says of itself, and the chain of images it stands on: told by name, never opened by a tool. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "consumer/operation/inspect.h"
#include "consumer/provider/path.h"
#include "schemas/base/mem.h"

static hf_code no_memory(hf_err *reterr) { return hf_fail(reterr, HF_E_NO_MEMORY, "the report"); }

static hf_code read_fd(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr) {
    return hf_read_fully(*(int *)ctx, to, len, offset, reterr);
}

/* ---- the header ------------------------------------------------------------------------------------------------------- */
static json_t *snapshot_json(const hf_qcow2_snapshot *s) {
    char date[32] = "";
    struct tm tm;
    time_t at = (time_t)s->date_s;
    if (gmtime_r(&at, &tm))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_t *one = json_pack("{s:o, s:o, s:s, s:I, s:I}", "id", hf_inspect_text(s->id), "name", hf_inspect_text(s->name),
                            "date", date, "vm_state_bytes", (json_int_t)s->vm_state_bytes, "vm_clock_ms",
                            (json_int_t)(s->vm_clock_ns / 1000000));
    if (one && s->disk_bytes >= 0 && json_object_set_new(one, "disk_bytes", json_integer(s->disk_bytes)) != 0) {
        json_decref(one);
        one = NULL;
    }
    return one;
}

hf_code hf_inspect_qcow2(json_t *to, const hf_qcow2_info *info, hf_err *reterr) {
    json_t *list = json_array();
    bool fine = list != NULL;
    for (uint32_t i = 0; i < info->snapshot_count; i++)
        fine &= json_array_append_new(list, snapshot_json(&info->snapshots[i])) == 0;
    json_t *image = json_pack("{s:i, s:i, s:b, s:b, s:b, s:b}", "version", (int)info->version, "refcount_bits",
                              (int)info->refcount_bits, "dirty", info->dirty, "corrupt", info->corrupt,
                              "lazy_refcounts", info->lazy_refcounts, "extended_l2", info->extended_l2);
    fine &= json_object_set_new(to, "snapshots", list) == 0;
    fine &= json_object_set_new(to, "snapshot_count", json_integer(info->snapshot_total)) == 0;
    fine &= json_object_set_new(to, "image", image) == 0;
    fine &= json_object_set_new(to, "cluster_bytes", json_integer(info->cluster_bytes)) == 0;
    fine &= json_object_set_new(to, "compression", json_string(info->compression)) == 0;
    if (info->snapshots_unreadable)
        fine &= json_object_set_new(to, "snapshots_unreadable", json_true()) == 0;
    return fine ? HF_OK : no_memory(reterr);
}

/* ---- the chain ------------------------------------------------------------------------------------------------------------ */
typedef struct image {
    char path[HF_MAX_PATH + 1];
    int fd;
    hf_source_id id;
    hf_format format;
    int64_t virtual_bytes;
    hf_qcow2_info info; /* where format is qcow2 */
} image;

static hf_code open_image(const hf_inspect *x, image *l, hf_err *reterr) {
    uint8_t magic[4];
    hf_code rc = x->opener->open(x->opener->ctx, hf_str_of(l->path), &l->fd, reterr);
    if (rc != HF_OK || (rc = hf_source_identify(l->fd, &l->id, reterr)) != HF_OK)
        return rc;
    if (l->id.size_bytes >= 4 && (rc = hf_read_fully(l->fd, magic, sizeof magic, 0, reterr)) != HF_OK)
        return rc;
    memset(&l->info, 0, sizeof l->info);
    if (l->id.size_bytes >= 4 && memcmp(magic, "QFI\xfb", 4) == 0) {
        l->format = HF_F_QCOW2;
        rc = hf_qcow2_read_info(read_fd, &l->fd, l->id.size_bytes, &l->info, reterr);
        l->virtual_bytes = l->info.virtual_bytes;
        return rc;
    }
    hf_probe probe;
    rc = hf_probe_fd(l->fd, l->id.size_bytes, &probe, reterr);
    l->format = rc == HF_OK ? probe.format : HF_F_RAW;
    l->virtual_bytes = rc == HF_OK ? probe.virtual_bytes : -1;
    return rc;
}

static json_t *image_json(const image *l) {
    json_t *one = json_pack("{s:o, s:s, s:I}", "path", hf_inspect_text(l->path), "format", hf_format_name(l->format),
                            "file_bytes", (json_int_t)l->id.size_bytes);
    if (one && l->virtual_bytes >= 0 &&
        json_object_set_new(one, "virtual_bytes", json_integer(l->virtual_bytes)) != 0) {
        json_decref(one);
        one = NULL;
    }
    return one;
}

/* Where l's backing file is: beside l when the name is relative. Names that are more than paths are refused. */
static hf_code backing_path(const image *l, char to[HF_MAX_PATH + 1], hf_err *reterr) {
    const char *name = l->info.backing_file;
    size_t first = strcspn(name, "/:");
    if (name[first] == ':')
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "the backing file's name is no path but a protocol (%.*s:): such a chain is not followed",
                       (int)(first < 32 ? first : 32), name);
    const char *slash = strrchr(l->path, '/');
    int n = name[0] == '/'
                ? snprintf(to, HF_MAX_PATH + 1, "%s", name)
                : snprintf(to, HF_MAX_PATH + 1, "%.*s/%s", (int)(slash ? slash - l->path : 0), l->path, name);
    if (n < 0 || n > HF_MAX_PATH)
        return hf_fail(reterr, HF_E_LIMIT, "the backing file's path is longer than %d bytes", HF_MAX_PATH);
    return HF_OK;
}

/* The images below `top`, nearest first. `l` is room for one at a time. */
static hf_code follow(const hf_inspect *x, const image *top, image *l, json_t *list, hf_err *reterr) {
    hf_source_id seen[HF_INSPECT_CHAIN_MAX + 1];
    char next[HF_MAX_PATH + 1];
    const image *above = top;
    for (int depth = 0; above->info.backing_file[0]; depth++) {
        seen[depth] = above->id;
        if (depth == HF_INSPECT_CHAIN_MAX)
            return hf_fail(reterr, HF_E_LIMIT, "the chain of backing files is longer than %d images",
                           HF_INSPECT_CHAIN_MAX);
        hf_code rc = backing_path(above, next, reterr);
        if (rc != HF_OK)
            return hf_context(reterr, "%s", above->path);
        memcpy(l->path, next, sizeof next);
        hf_close_p(&l->fd);
        if (open_image(x, l, reterr) != HF_OK)
            return hf_context(reterr, "backing file %s", next);
        for (int i = 0; i <= depth; i++)
            if (seen[i].dev == l->id.dev && seen[i].ino == l->id.ino)
                return hf_fail(reterr, HF_E_SOURCE_INVALID, "the chain of backing files comes back to %s", next);
        if (json_array_append_new(list, image_json(l)) != 0)
            return no_memory(reterr);
        above = l;
    }
    return HF_OK;
}

static hf_code overlay_report(const hf_inspect *x, const image *top, json_t *to, hf_err *reterr) {
    json_t *chain = json_array();
    struct stat st = {0};
    hf_auto_free image *room = hf_alloc(sizeof *room);
    if (json_object_set_new(to, "path", hf_inspect_text(top->path)) != 0 ||
        json_object_set_new(to, "backing_chain", chain) != 0 || !room)
        return no_memory(reterr);
    room->fd = -1;
    hf_code rc = follow(x, top, room, chain, reterr);
    hf_close_p(&room->fd);
    if (rc != HF_OK)
        return rc;
    fstat(top->fd, &st);
    bool fine = json_object_set_new(to, "format", json_string("qcow2")) == 0;
    fine &= json_object_set_new(to, "variant", json_string("overlay")) == 0;
    fine &= json_object_set_new(to, "virtual_bytes", json_integer(top->virtual_bytes)) == 0;
    fine &= json_object_set_new(to, "file_bytes", json_integer(top->id.size_bytes)) == 0;
    fine &= json_object_set_new(to, "file_disk_bytes", json_integer((json_int_t)st.st_blocks * 512)) == 0;
    fine &=
        json_object_set_new(to, "contents", json_string("not read: the image stands on others; flatten it first")) == 0;
    return fine ? hf_inspect_qcow2(to, &top->info, reterr) : no_memory(reterr);
}

hf_code hf_inspect_overlay(const hf_inspect *x, const hf_disk *disk, json_t **ret, hf_err *reterr) {
    hf_err ignored;
    *ret = NULL;
    hf_auto_free image *top = hf_alloc(sizeof *top);
    if (!top)
        return no_memory(reterr);
    top->fd = -1;
    hf_code rc = hf_path_plain(disk->path, top->path, reterr);
    /* What is wrong with an image that is no overlay is for the ordinary way to say. */
    if (rc != HF_OK || open_image(x, top, &ignored) != HF_OK || !top->info.backing_file[0]) {
        hf_close_p(&top->fd);
        return rc;
    }
    *ret = json_object();
    rc = *ret ? overlay_report(x, top, *ret, reterr) : no_memory(reterr);
    hf_close_p(&top->fd);
    if (rc == HF_OK)
        return HF_OK;
    json_decref(*ret);
    *ret = NULL;
    return rc;
}
