/* Operation lvm_repair: groups whose physical volumes lost their labels or metadata get them back from the newest copy there is: another
 * physical volume's, what is left on the disk, or /etc/lvm/backup and archive in the guest. What cannot be put right is told with the UUID and
 * size that are missing. Groups that are whole are left alone, so that a second run changes nothing. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/inside.h"
#include "consumer/operation/guest/lvm_look.h"
#include "schemas/base/mem.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { CHUNK = 16 * 1024 };
static const char text_file[] = "/tmp/hf-lvm.conf"; /* in the appliance's memory */

static hf_lvm *lvm_of(hf_guest_session *x) { return *hf_guest_own(x, HF_GUEST_LVM); }

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    const json_t *clones = json_object_get(parameters, "clones"), *name = NULL;
    size_t i;
    if (clones && (!json_is_array(clones) || json_array_size(clones) > 16))
        return hf_fail(reterr, HF_E_INVALID, "parameters.clones must be a list of at most 16 devices");
    json_array_foreach(clones, i, name)
        if (!json_is_string(name) || strncmp(json_string_value(name), "/dev/", 5) != 0)
            return hf_fail(reterr, HF_E_INVALID, "parameters.clones: each must be a device, such as /dev/sdb1");
    *hf_guest_own(x, HF_GUEST_LVM) = hf_alloc(sizeof(hf_lvm));
    return *hf_guest_own(x, HF_GUEST_LVM) ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
}

static hf_code look(hf_guest_session *x, hf_err *reterr) {
    hf_lvm *lvm = lvm_of(x);
    hf_code rc = hf_lvm_look(x, lvm, reterr);
    if (rc == HF_OK && lvm->copy_count == 0 && lvm->vg_count == 0)
        hf_guest_finding(x, "info", "no-lvm", NULL, "there is no LVM on the disks, nor what is left of it");
    hf_guest_result(x, "done", "%u devices, %u physical volumes, %u groups, metadata of %u groups",
                    (unsigned)lvm->device_count, (unsigned)lvm->pv_count, (unsigned)lvm->vg_count,
                    (unsigned)lvm->copy_count);
    return rc;
}

/* ---- duplicates ------------------------------------------------------------------------------------------------------------- */
static bool named_as_clone(hf_guest_session *x, const char *device) {
    const json_t *name = NULL;
    size_t i;
    json_array_foreach(json_object_get(hf_guest_parameters(x), "clones"), i, name)
        if (strcmp(json_string_value(name), device) == 0)
            return true;
    return false;
}

/* The UUID of the group that has a physical volume of that UUID; NULL: none is known. */
static const char *group_of(const hf_lvm *lvm, const char *label) {
    for (uint32_t i = 0; i < lvm->copy_count; i++)
        for (uint32_t k = 0; k < lvm->copies[i].vg.pv_count; k++)
            if (strcmp(lvm->copies[i].vg.pvs[k].uuid, label) == 0)
                return lvm->copies[i].vg.uuid;
    return NULL;
}

/* Takes the first clone, and those of its group, each volume once: a group is imported whole. How many there are. */
static uint32_t take_clones(hf_lvm *lvm, bool *clones, hf_lvm_device *ret[HF_LVM_PVS_MAX]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < lvm->device_count && n < HF_LVM_PVS_MAX; i++) {
        hf_lvm_device *d = &lvm->devices[i];
        const char *group = clones[i] ? group_of(lvm, d->label) : NULL;
        bool fits = clones[i] && (n == 0 || (group && group == group_of(lvm, ret[0]->label)));
        for (uint32_t k = 0; fits && k < n; k++)
            fits = strcmp(ret[k]->label, d->label) != 0;
        if (fits) {
            ret[n++] = d;
            clones[i] = false;
        }
    }
    return n;
}

/* vgimportclone gives copies UUIDs and a name of their own. */
static hf_code import_clones(hf_guest_session *x, hf_lvm_device *const *list, uint32_t count, hf_err *reterr) {
    const char *argv[HF_LVM_PVS_MAX + 3] = {"lvm", "vgimportclone"};
    int status = 0;
    char *out = (char[]){""};
    for (uint32_t i = 0; i < count; i++)
        argv[2 + i] = list[i]->name;
    if (!hf_guest_dry(x)) {
        hf_code rc = hf_guest_tool(x, argv, &status, &out, reterr);
        if (rc != HF_OK)
            return rc;
    }
    if (status != 0)
        hf_guest_finding(x, "error", "clone-not-imported",
                         "Name the copies of all of the group's volumes in parameters.clones.", "%s: %.600s",
                         list[0]->name, out);
    for (uint32_t i = 0; status == 0 && i < count; i++) {
        hf_guest_change(x, "physical volume", list[i]->name, list[i]->label, "a group of its own, with new UUIDs");
        if (!hf_guest_dry(x))
            list[i]->label[0] = 0; /* it has another one by now */
    }
    return HF_OK;
}

/* Whether volumes of the group are on two devices each, still: LVM then warns, whatever the state of its metadata. */
static bool has_copies(const hf_lvm *lvm, const char *group) {
    for (uint32_t i = 0; i < lvm->device_count; i++)
        for (uint32_t k = i + 1; k < lvm->device_count; k++) {
            const char *label = lvm->devices[i].label, *of = NULL;
            if (label[0] && strcmp(label, lvm->devices[k].label) == 0)
                of = group_of(lvm, label);
            if (of && strcmp(of, group) == 0)
                return true;
        }
    return false;
}

static hf_code duplicates(hf_guest_session *x, hf_err *reterr) {
    hf_lvm *lvm = lvm_of(x);
    hf_lvm_device *list[HF_LVM_PVS_MAX];
    bool clones[HF_LVM_DEVICES_MAX] = {false};
    hf_code rc = HF_OK;
    for (uint32_t i = 0; i < lvm->device_count; i++)
        for (uint32_t k = i + 1; k < lvm->device_count; k++) {
            const hf_lvm_device *a = &lvm->devices[i], *b = &lvm->devices[k];
            if (!a->label[0] || strcmp(a->label, b->label) != 0)
                continue;
            if (named_as_clone(x, a->name) || named_as_clone(x, b->name))
                clones[named_as_clone(x, b->name) ? k : i] = true;
            else
                hf_guest_finding(
                    x, "error", "duplicate-volume",
                    "Leave the disk that is a copy out of the job, or name it in parameters.clones: it is renamed then.",
                    "%s and %s are the same physical volume %s: one is a copy", a->name, b->name, a->label);
        }
    for (uint32_t n; rc == HF_OK && (n = take_clones(lvm, clones, list)) > 0;)
        rc = import_clones(x, list, n, reterr);
    return rc == HF_OK ? hf_lvm_list(x, lvm, reterr) : rc;
}

/* ---- what is missing ---------------------------------------------------------------------------------------------------------- */
/* Where a physical volume without a label is: a device on which nothing is known to be and that is as large as it was, or larger and has the
 * group's metadata on it. Only if there is just one. */
static const hf_lvm_device *place_of(const hf_lvm *lvm, const hf_lvm_copy *copy, const hf_lvm_pv *pv,
                                     const hf_lvm_device *const *taken, uint32_t taken_count) {
    for (int by_size = 0; by_size < 2; by_size++) {
        const hf_lvm_device *found = NULL;
        uint32_t count = 0;
        for (uint32_t i = 0; i < lvm->device_count; i++) {
            const hf_lvm_device *d = &lvm->devices[i];
            bool used = !d->free || d->label[0] || d->sectors != pv->sectors;
            for (uint32_t t = 0; t < taken_count; t++)
                used |= taken[t] == d;
            if (used || (!by_size && strcmp(d->had_group, copy->vg.uuid) != 0))
                continue;
            found = d;
            count++;
        }
        if (count == 1)
            return found;
    }
    return NULL;
}

typedef struct need {
    const hf_lvm_pv *pvs[HF_LVM_PVS_MAX];
    const hf_lvm_device *places[HF_LVM_PVS_MAX];
    uint32_t count;
    bool whole; /* each has its place */
} need;

static void find_needs(hf_guest_session *x, const hf_lvm_copy *copy, need *ret) {
    const hf_lvm *lvm = lvm_of(x);
    *ret = (need){.whole = true};
    for (uint32_t i = 0; i < copy->vg.pv_count; i++) {
        const hf_lvm_pv *pv = &copy->vg.pvs[i];
        if (hf_lvm_pv_of(lvm, pv->uuid))
            continue;
        const hf_lvm_device *place = place_of(lvm, copy, pv, ret->places, ret->count);
        ret->pvs[ret->count] = pv;
        ret->places[ret->count++] = place;
        if (place)
            continue;
        ret->whole = false;
        hf_guest_finding(x, "error", "missing-volume",
                         "Give the job all of the VM's disks; if the disk is lost, what was on it is lost.",
                         "group %s lacks the physical volume %s of %lld sectors (it was %s): no disk of the job is it",
                         copy->vg.name, pv->uuid, (long long)pv->sectors, pv->device);
    }
}

/* ---- putting it right ------------------------------------------------------------------------------------------------------------ */
/* guestfs_write writes into the guest; LVM's programs need the text in the appliance. So its shell writes it, piece by piece. */
static hf_code put_text(hf_guest_session *x, const hf_lvm_copy *copy, hf_err *reterr) {
    hf_code rc = HF_OK;
    for (size_t at = 0; rc == HF_OK && at < copy->len; at += CHUNK) {
        hf_buf line;
        hf_buf_init(&line, 128 * 1024);
        hf_auto_free char *piece = hf_strndup(copy->text + at, copy->len - at < CHUNK ? copy->len - at : CHUNK);
        bool fine = piece && hf_buf_puts(&line, "printf %s") && hf_guest_put_quoted(&line, piece) &&
                    hf_buf_printf(&line, " %s %s", at ? ">>" : ">", text_file);
        hf_auto_free char *text = fine ? hf_strndup(hf_buf_str(&line).p, hf_buf_str(&line).len) : NULL;
        hf_buf_done(&line);
        int status = 0;
        rc = text ? hf_guest_tool_line(x, text, &status, NULL, reterr)
                  : hf_fail(reterr, HF_E_NO_MEMORY, "LVM's metadata");
        if (rc == HF_OK && status != 0)
            rc = hf_fail(reterr, HF_E_TOOL_FAILED, "LVM's metadata cannot be written into the appliance");
    }
    return rc;
}

/* A command that LVM may refuse: then it is a finding, and *fine false. */
static hf_code try(hf_guest_session *x, const char *const *argv, const char *group, bool *fine, hf_err *reterr) {
    int status = 0;
    char *out = (char[]){""};
    hf_code rc = hf_guest_tool(x, argv, &status, &out, reterr);
    *fine = rc == HF_OK && status == 0;
    if (rc == HF_OK && status != 0)
        hf_guest_finding(x, "error", "lvm-refused", NULL, "group %s: %s ended with status %d: %.600s", group, argv[1],
                         status, out);
    return rc;
}

static hf_code restore(hf_guest_session *x, const hf_lvm_copy *copy, const need *n, hf_err *reterr) {
    bool fine = true;
    hf_code rc = hf_guest_dry(x) ? HF_OK : put_text(x, copy, reterr);
    for (uint32_t i = 0; rc == HF_OK && fine && i < n->count; i++) {
        if (!hf_guest_dry(x))
            rc = try(x,
                     ARGV("lvm", "pvcreate", "-y", "--uuid", n->pvs[i]->uuid, "--restorefile", text_file,
                          n->places[i]->name),
                     copy->vg.name, &fine, reterr);
        if (rc == HF_OK && fine)
            hf_guest_change(x, "physical volume", n->places[i]->name, "no label", n->pvs[i]->uuid);
    }
    if (rc != HF_OK || !fine)
        return rc;
    if (!hf_guest_dry(x))
        rc = try(x, ARGV("lvm", "vgcfgrestore", "-f", text_file, copy->vg.name), copy->vg.name, &fine, reterr);
    if (rc == HF_OK && fine) {
        char *after =
            hf_arena_printf(hf_guest_arena(x), "metadata number %lld, from %s", (long long)copy->vg.seqno, copy->from);
        hf_guest_change(x, "volume group", copy->vg.name, "damaged", after ? after : "restored");
    }
    return rc;
}

static hf_code metadata(hf_guest_session *x, hf_err *reterr) {
    hf_lvm *lvm = lvm_of(x);
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < lvm->copy_count; i++) {
        const hf_lvm_copy *copy = &lvm->copies[i];
        const hf_lvm_row *vg = hf_lvm_vg_of(lvm, copy->vg.uuid);
        need n;
        if (vg && !vg->missing)
            continue;
        find_needs(x, copy, &n);
        if (n.whole && (!vg || n.count > 0))
            rc = restore(x, copy, &n, reterr);
    }
    return rc == HF_OK ? hf_lvm_list(x, lvm, reterr) : rc;
}

/* ---- what is stale ------------------------------------------------------------------------------------------------------------------ */
static hf_code check_group(hf_guest_session *x, const hf_lvm_row *vg, hf_err *reterr) {
    int status = 0;
    bool fine = true;
    char *out = (char[]){""};
    hf_code rc = HF_OK;
    if (vg->exported) {
        if (!hf_guest_dry(x))
            rc = try(x, ARGV("lvm", "vgimport", vg->name), vg->name, &fine, reterr);
        if (rc == HF_OK && fine)
            hf_guest_change(x, "volume group", vg->name, "exported", "imported");
    }
    if (rc != HF_OK || vg->missing)
        return rc;
    rc = hf_guest_tool(x, ARGV("lvm", "vgck", vg->name), &status, &out, reterr);
    if (rc != HF_OK || (status == 0 && !strstr(out, "WARNING")))
        return rc;
    if (!hf_guest_dry(x))
        rc = try(x, ARGV("lvm", "vgck", "--updatemetadata", vg->name), vg->name, &fine, reterr);
    if (rc == HF_OK && fine)
        hf_guest_change(x, "volume group", vg->name, "copies of its metadata differ", "all are the newest");
    return rc;
}

static hf_code stale(hf_guest_session *x, hf_err *reterr) {
    hf_lvm *lvm = lvm_of(x);
    hf_code rc = HF_OK;
    bool fine = true;
    for (uint32_t i = 0; rc == HF_OK && i < lvm->pv_count; i++) {
        const hf_lvm_row *pv = &lvm->pvs[i];
        if (!pv->missing || pv->name[0] != '/' || !pv->group[0])
            continue; /* it came back, and its group still takes it for missing */
        if (!hf_guest_dry(x))
            rc = try(x, ARGV("lvm", "vgextend", "--restoremissing", pv->group, pv->name), pv->group, &fine, reterr);
        if (rc == HF_OK && fine)
            hf_guest_change(x, "physical volume", pv->name, "marked as missing", "in use");
    }
    for (uint32_t i = 0; rc == HF_OK && i < lvm->vg_count; i++)
        if (!has_copies(lvm, lvm->vgs[i].uuid))
            rc = check_group(x, &lvm->vgs[i], reterr);
    return rc == HF_OK ? hf_lvm_list(x, lvm, reterr) : rc;
}

/* ---- verify --------------------------------------------------------------------------------------------------------------------------- */
static void put_volume(hf_guest_session *x, json_t *list, char *line) {
    char words[4][128];
    for (size_t i = 0; i < 4; i++) {
        line += strspn(line, " ");
        size_t len = strcspn(line, "|");
        snprintf(words[i], sizeof words[i], "%.*s", (int)len, line);
        line += len + (line[len] == '|');
    }
    bool active = strcmp(words[2], "active") == 0;
    json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "group", words[0], "volume", words[1], "active",
                                          active, "health", words[3]));
    if (!active)
        hf_guest_finding(x, "warning", "inactive-volume", NULL, "%s/%s cannot be activated, or is set not to be",
                         words[0], words[1]);
    if (words[3][0])
        hf_guest_finding(x, "error", "volume-not-whole", NULL, "%s/%s: %s", words[0], words[1], words[3]);
}

static hf_code verify(hf_guest_session *x, hf_err *reterr) {
    hf_lvm *lvm = lvm_of(x);
    int status = 0;
    uint32_t bad = 0;
    char *out = (char[]){""};
    hf_code rc = hf_guest_tool(x, ARGV("lvm", "vgchange", "-a", "y"), &status, &out, reterr);
    if (rc == HF_OK)
        rc = hf_guest_tool_line(x, "lvm lvs --noheadings --separator '|' -o vg_name,lv_name,lv_active,lv_health_status",
                                &status, &out, reterr);
    if (rc != HF_OK)
        return rc;
    json_t *list = json_array();
    for (char *line = out, *rest; line && *line && json_array_size(list) < 256; line = rest) {
        rest = strchr(line, '\n');
        if (rest)
            *rest++ = 0;
        if (strchr(line, '|'))
            put_volume(x, list, line);
    }
    for (uint32_t i = 0; i < lvm->vg_count; i++)
        bad += lvm->vgs[i].missing;
    for (uint32_t i = 0; i < lvm->copy_count; i++)
        bad += !hf_lvm_vg_of(lvm, lvm->copies[i].vg.uuid);
    size_t count = json_array_size(list);
    hf_guest_note(x, "volumes", list);
    hf_guest_result(x, bad && !hf_guest_dry(x) ? "not possible" : "done", "%u groups, %zu volumes; %u groups not whole",
                    (unsigned)lvm->vg_count, count, (unsigned)bad);
    return HF_OK;
}

static const hf_guest_step steps[] = {{"look", "looks for LVM, its metadata and their backups", look},
                                      {"duplicates", "looks for copies of physical volumes", duplicates},
                                      {"metadata", "puts back labels and metadata that are lost", metadata},
                                      {"stale", "puts right what is out of date", stale},
                                      {"verify", "activates the volumes", verify},
                                      {NULL, NULL, NULL}};
const hf_guest_plan hf_lvm_repair_plan = {.operation = "lvm_repair", .steps = steps, .prepare = prepare};

hf_code hf_op_lvm_repair(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &hf_lvm_repair_plan, ret_result, ret_phase, reterr);
}
