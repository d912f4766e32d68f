/* Operation initramfs_regenerate: kernels whose initramfs is missing, damaged, another kernel's, older than its modules, or without the drivers
 * of virtio get a new one, made by the guest's own program. It is made beside the old one, read to its end, and takes its place only then:
 * whatever happens before, the guest has the old one. Kernels that need none are left alone, so that a second run changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumer/operation/guest/appliance.h"
#include "consumer/operation/guest/initramfs_make.h"
#include "consumer/operation/guest/initramfs_text.h"
#include "consumer/operation/guest/inside.h"
#include "consumer/operation/inspect.h"
#include "schemas/base/mem.h"

enum {
    MUST = 0x07,              /* of hf_kvm_drivers: without these a disk on virtio is not found */
    SHOULD = 0x08,            /* nvme: wanted in each, unless the guest's program was told and leaves it out */
    SLACK_BYTES = 4 << 20,    /* beside a new initramfs in its file system */
    GUESSED_BYTES = 32 << 20, /* a new one, where the guest has none to go by */
};

typedef struct one {
    hf_guest_kernel kernel;
    const char *path;                        /* where it is, or will be */
    char sha256[72], reason[200];            /* of the old one; why a new one is needed, "" it is not */
    int64_t size;                            /* of the old one; 0 there is none */
    const char *drivers[HF_KVM_DRIVERS + 1]; /* which the kernel has as modules */
    uint32_t modules;                        /* the same as bits of hf_kvm_drivers */
    hf_initramfs_scan scan;
    bool made, failed;
} one;

typedef struct state {
    const char *kernel; /* parameters.kernel, NULL all */
    bool force;
    hf_generator generator;
    uint32_t count, needed;
    one all[HF_GUEST_KERNELS_MAX];
} state;

static state *state_of(hf_guest_session *x) { return *hf_guest_own(x, HF_GUEST_INITRAMFS); }

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    const json_t *kernel = json_object_get(parameters, "kernel");
    bool force;
    if (kernel && (!json_is_string(kernel) || !hf_kernel_version_ok(json_string_value(kernel))))
        return hf_fail(reterr, HF_E_INVALID, "parameters.kernel must be a kernel's version, such as 6.1.0-18-amd64");
    hf_code rc = hf_guest_flag(parameters, "force", &force, reterr);
    if (rc != HF_OK)
        return rc;
    state *s = *hf_guest_own(x, HF_GUEST_INITRAMFS) = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
    s->kernel = json_string_value(kernel);
    s->force = force;
    return HF_OK;
}

/* ---- what there is ---------------------------------------------------------------------------------------------------------- */
static const char *default_path(hf_guest_session *x, const hf_guest_kernel *k) {
    const hf_guest_os *os = hf_guest_os_of(x);
    bool deb = strcmp(os->package_format, "deb") == 0,
         suse = strstr(os->distro, "suse") != NULL || strncmp(os->distro, "sle", 3) == 0;
    return hf_arena_printf(hf_guest_arena(x), "/boot/%s-%s%s",
                           deb    ? "initrd.img"
                           : suse ? "initrd"
                                  : "initramfs",
                           k->version, deb || suse ? "" : ".img");
}

static hf_code measure(hf_guest_session *x, const char *path, int64_t *ret_size, char sha256[72]) {
    *ret_size = guestfs_filesize(hf_guest_handle(x), path);
    hf_auto_free char *sum = *ret_size < 0 ? NULL : guestfs_checksum(hf_guest_handle(x), "sha256", path);
    snprintf(sha256, 72, "%.64s", sum ? sum : "");
    return sum ? HF_OK : HF_E_TOOL_FAILED;
}

static hf_code list_installed(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    hf_guest_kernel *kernels = hf_arena_alloc(hf_guest_arena(x), HF_GUEST_KERNELS_MAX * sizeof *kernels);
    uint32_t count = 0;
    char names[700] = "";
    s->count = s->needed = 0;
    if (!kernels)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the guest's kernels");
    hf_code rc = hf_guest_kernels(x, kernels, &count, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < count; i++) {
        size_t had = strlen(names);
        snprintf(names + had, sizeof names - had, "%s%s", had ? ", " : "", kernels[i].version);
        if (!s->kernel || strcmp(s->kernel, kernels[i].version) == 0)
            s->all[s->count++] = (one){.kernel = kernels[i]};
    }
    if (rc == HF_OK && s->kernel && s->count == 0)
        rc = hf_fail(reterr, HF_E_NOT_FOUND, "parameters.kernel: %s is not installed in the guest; installed: %s",
                     s->kernel, *names ? names : "none");
    return rc;
}

/* ---- whether a new one is needed ------------------------------------------------------------------------------------------------- */
static bool older_than_modules(hf_guest_session *x, const one *o) {
    char path[300];
    snprintf(path, sizeof path, "%s/modules.dep", o->kernel.folder);
    struct guestfs_statns *file = guestfs_statns(hf_guest_handle(x), o->path),
                          *modules = guestfs_statns(hf_guest_handle(x), path);
    /* A clock that was wrong must not make it old for ever. */
    bool older =
        file && modules && file->st_mtime_sec < modules->st_mtime_sec && modules->st_mtime_sec <= (int64_t)time(NULL);
    guestfs_free_statns(file);
    guestfs_free_statns(modules);
    return older;
}

static void name_missing(const one *o, uint32_t bits, char *to, size_t size) {
    size_t at = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < HF_KVM_DRIVERS && at < size; i++)
        if (o->modules & ~o->scan.found & bits & 1U << i)
            at += (size_t)snprintf(to + at, size - at, "%s%s", at ? ", " : "", hf_kvm_drivers[i]);
}

static void judge_content(hf_guest_session *x, one *o) {
    char names[120];
    uint32_t wanted = MUST;
    if (!hf_initramfs_asked(x, state_of(x)->generator, "nvme"))
        wanted |= SHOULD;
    name_missing(o, wanted, names, sizeof names);
    if (o->scan.state == HF_INITRAMFS_DAMAGED)
        snprintf(o->reason, sizeof o->reason, "damaged");
    else if (o->scan.state == HF_INITRAMFS_UNKNOWN)
        hf_guest_finding(x, "info", "not-readable", "With \"force\": true it is made again.",
                         "%s cannot be looked into (%s): whether it has the drivers is not known", o->path,
                         o->scan.why);
    else if (o->scan.other_kernels && !o->scan.for_kernel)
        snprintf(o->reason, sizeof o->reason, "made for another kernel");
    else if (*names)
        snprintf(o->reason, sizeof o->reason, "without %s", names);
}

static hf_code judge(hf_guest_session *x, one *o, hf_err *reterr) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < HF_KVM_DRIVERS; i++)
        if (o->kernel.drivers[i] == HF_DRIVER_MODULE) {
            o->drivers[n++] = hf_kvm_drivers[i];
            o->modules |= 1U << i;
        }
    if (hf_guest_driver(&o->kernel, "virtio_blk") == HF_DRIVER_ABSENT &&
        hf_guest_driver(&o->kernel, "virtio_scsi") == HF_DRIVER_ABSENT)
        hf_guest_finding(x, "warning", "kernel-without-virtio",
                         "Install a newer kernel in the guest, or give the VM SATA disks.",
                         "the kernel %s has no driver for virtio disks", o->kernel.version);
    o->path = o->kernel.initramfs ? o->kernel.initramfs : default_path(x, &o->kernel);
    if (!o->path)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the guest's initramfs");
    if (!o->kernel.initramfs) {
        if (o->modules & MUST)
            snprintf(o->reason, sizeof o->reason, "missing");
    } else {
        if (measure(x, o->path, &o->size, o->sha256) != HF_OK)
            return hf_guest_fail(x, reterr, "reading the guest's %s", o->path);
        hf_code rc = hf_guest_initramfs_look(x, o->path, o->kernel.version, hf_kvm_drivers, true, &o->scan, reterr);
        if (rc != HF_OK)
            return rc;
        judge_content(x, o);
        if (!*o->reason && older_than_modules(x, o))
            snprintf(o->reason, sizeof o->reason, "older than the kernel's modules");
    }
    if (!*o->reason && state_of(x)->force)
        snprintf(o->reason, sizeof o->reason, "asked for");
    state_of(x)->needed += *o->reason != 0;
    return HF_OK;
}

/* ---- room ------------------------------------------------------------------------------------------------------------------------ */
/* A new one is as large as the largest there is, and a little more. */
static int64_t estimate(const state *s) {
    int64_t largest = 0;
    for (uint32_t i = 0; i < s->count; i++)
        largest = s->all[i].size > largest ? s->all[i].size : largest;
    return (largest ? largest + largest / 8 : GUESSED_BYTES) + SLACK_BYTES;
}

static bool has_room(hf_guest_session *x, const one *o) {
    const state *s = state_of(x);
    char folder[400], others[400] = "";
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(o->path, '/') - o->path + 1), o->path);
    struct guestfs_statvfs *use = guestfs_statvfs(hf_guest_handle(x), folder);
    int64_t there = use ? use->bavail * use->frsize : INT64_MAX, needed = estimate(s);
    guestfs_free_statvfs(use);
    for (uint32_t i = 0; i < s->count; i++) {
        size_t had = strlen(others);
        if (&s->all[i] != o)
            snprintf(others + had, sizeof others - had, "%s%s", had ? ", " : "", s->all[i].kernel.version);
    }
    if (there >= needed)
        return true;
    hf_guest_finding(x, "error", "no-space",
                     *others ? "Remove a kernel that is not used any more with the guest's package manager, or its old "
                               "initramfs files."
                             : "Remove what is not needed there, or enlarge it.",
                     "%s has %lld MiB free, and a new initramfs for %s needs about %lld MiB beside the old one%s%s",
                     folder, (long long)(there >> 20), o->kernel.version, (long long)(needed >> 20),
                     *others ? "; other kernels: " : "", others);
    return false;
}

/* ---- making it --------------------------------------------------------------------------------------------------------------------- */
/* What was made is read to its end before anything is done with it. */
static hf_code verify(hf_guest_session *x, one *o, const char *aside, bool *ret_fine, hf_err *reterr) {
    char names[120];
    hf_code rc = hf_guest_initramfs_look(x, aside, o->kernel.version, hf_kvm_drivers, true, &o->scan, reterr);
    *ret_fine = false;
    if (rc != HF_OK)
        return rc;
    name_missing(o, MUST, names, sizeof names);
    if (o->scan.state == HF_INITRAMFS_UNKNOWN)
        hf_guest_finding(x, "warning", "not-verified", NULL, "the new initramfs of %s cannot be looked into: %s",
                         o->kernel.version, o->scan.why);
    else if (o->scan.state == HF_INITRAMFS_DAMAGED || *names) {
        hf_guest_finding(x, "error", "initramfs-failed",
                         "Look in its configuration for what leaves drivers out (omit_drivers, MODULES=list).",
                         "what %s made for %s is not used: %s%s", hf_generator_name(state_of(x)->generator),
                         o->kernel.version, *names ? "it lacks " : o->scan.why, names);
        return HF_OK;
    }
    name_missing(o, ~(uint32_t)MUST, names, sizeof names);
    if (*names && o->scan.state == HF_INITRAMFS_READ)
        hf_guest_finding(x, "warning", "left-out", NULL, "%s left %s out of the initramfs of %s",
                         hf_generator_name(state_of(x)->generator), names, o->kernel.version);
    *ret_fine = true;
    return HF_OK;
}

static void words_of(const char *reason, const char *sha256, int64_t size, char words[400]) {
    if (size > 0)
        snprintf(words, 400, "sha256:%s (%lld bytes)%s%s", sha256, (long long)size, *reason ? ": " : "", reason);
    else
        snprintf(words, 400, "absent");
}

/* The new one takes the old one's place, with its owner, mode and label. */
static hf_code take_place(hf_guest_session *x, one *o, const char *aside, const char *real, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    char sha256[72], before[400], after[400];
    int64_t size;
    if (measure(x, aside, &size, sha256) != HF_OK)
        return hf_guest_fail(x, reterr, "reading the guest's %s", aside);
    struct guestfs_copy_attributes_argv all = {.bitmask = GUESTFS_COPY_ATTRIBUTES_ALL_BITMASK, .all = 1};
    if (o->kernel.initramfs)
        guestfs_copy_attributes_argv(g, real, aside, &all); /* not every file system of /boot has them */
    if (guestfs_mv(g, aside, real) != 0 || guestfs_sync(g) != 0)
        return hf_guest_fail(x, reterr, "putting the new initramfs to %s", o->path);
    o->made = true;
    if (strcmp(sha256, o->sha256) == 0)
        return HF_OK; /* the same once more */
    words_of(o->reason, o->sha256, o->size, before);
    words_of("", sha256, size, after);
    hf_guest_change(x, "initramfs", o->path, before, after);
    snprintf(o->sha256, sizeof o->sha256, "%s", sha256);
    o->size = size;
    hf_initramfs_announce(x, state_of(x)->generator, o->kernel.version, o->path);
    return HF_OK;
}

/* A program of the guest's that failed is a finding; an appliance that is gone ends the job. */
static hf_code tool_failed(hf_guest_session *x, one *o, hf_code rc, hf_err *reterr) {
    if (rc != HF_E_TOOL_FAILED)
        return rc;
    if (guestfs_ping_daemon(hf_guest_handle(x)) != 0)
        return hf_guest_fail(x, reterr, "making the initramfs of %s", o->kernel.version);
    o->failed = true;
    hf_guest_finding(x, "error", "initramfs-failed", "The old one is as it was.", "the initramfs of %s: %s",
                     o->kernel.version, reterr->detail);
    return HF_OK;
}

static hf_code make(hf_guest_session *x, one *o, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    bool fine = false;
    o->failed = !has_room(x, o);
    if (o->failed)
        return HF_OK;
    hf_auto_free char *real = o->kernel.initramfs ? guestfs_realpath(g, o->path) : hf_strndup(o->path, strlen(o->path));
    const char *aside = real ? hf_arena_printf(hf_guest_arena(x), "%s.hf-new", real) : NULL;
    if (!aside)
        return real ? hf_fail(reterr, HF_E_NO_MEMORY, "the guest's initramfs")
                    : hf_guest_fail(x, reterr, "the guest's %s", o->path);
    guestfs_rm_f(g, aside);
    hf_code rc = hf_initramfs_generate(x, state_of(x)->generator, o->kernel.version, aside, o->drivers, reterr);
    rc = rc == HF_OK ? verify(x, o, aside, &fine, reterr) : tool_failed(x, o, rc, reterr);
    if (rc == HF_OK && fine)
        return take_place(x, o, aside, real, reterr);
    o->failed = true;
    guestfs_rm_f(g, aside);
    return rc;
}

static hf_code make_all(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    const char *drivers[HF_KVM_DRIVERS + 1] = {0};
    uint32_t bits = 0, n = 0, done = 0;
    for (uint32_t i = 0; i < s->count; i++)
        bits |= *s->all[i].reason ? s->all[i].modules : 0;
    for (uint32_t i = 0; i < HF_KVM_DRIVERS; i++)
        if (bits & 1U << i)
            drivers[n++] = hf_kvm_drivers[i];
    hf_code rc = n ? hf_initramfs_configure(x, s->generator, drivers, reterr) : HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < s->count; i++) {
        one *o = &s->all[i];
        if (!*o->reason)
            continue;
        hf_guest_say(x, "info", "%u of %u: %s makes the initramfs of %s (%s)", (unsigned)++done, (unsigned)s->needed,
                     hf_generator_name(s->generator), o->kernel.version, o->reason);
        if (!hf_guest_dry(x)) {
            hf_guest_allow(x, x->step_seconds); /* each kernel has the time of a step: in emulation one takes minutes */
            rc = make(x, o, reterr);
            continue;
        }
        char before[400];
        words_of(o->reason, o->sha256, o->size, before);
        hf_guest_change(x, "initramfs", o->path, before, "made again");
    }
    return rc;
}

/* ---- whether it can be made here ------------------------------------------------------------------------------------------------------ */
static bool runs_here(const char *arch) {
#if defined __x86_64__
    return !*arch || strcmp(arch, "x86_64") == 0 || strcmp(arch, "i386") == 0;
#elif defined __aarch64__
    return !*arch || strcmp(arch, "aarch64") == 0;
#else
    return !*arch;
#endif
}

static bool can_make(hf_guest_session *x) {
    const hf_guest_os *os = hf_guest_os_of(x);
    if (!runs_here(os->arch)) {
        hf_guest_finding(x, "error", "other-architecture", "Run the job on a worker of that architecture.",
                         "the guest is %s: its programs cannot be run in this appliance", os->arch);
        hf_guest_result(x, "not possible", "the guest is %s", os->arch);
        return false;
    }
    if (state_of(x)->generator == HF_GENERATOR_NONE) {
        hf_guest_finding(x, "error", "no-generator", "Install one of them in the guest, or make it there by hand.",
                         "the guest has none of mkinitramfs, dracut and mkinitcpio: its initramfs cannot be made");
        hf_guest_result(x, "not possible", "no program of the guest makes an initramfs");
        return false;
    }
    return true;
}

/* ---- the step ---------------------------------------------------------------------------------------------------------------------- */
static const char *word_for(const hf_guest_session *x, const one *o) {
    return o->made                         ? "made"
           : !*o->reason                   ? o->kernel.initramfs ? "as it should be" : "none needed"
           : hf_guest_dry(x) && !o->failed ? "would be made"
                                           : "not made";
}

static void note(hf_guest_session *x) {
    const state *s = state_of(x);
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->count; i++) {
        const one *o = &s->all[i];
        json_t *drivers = json_array();
        for (uint32_t d = 0; d < HF_KVM_DRIVERS; d++)
            if (o->scan.found & 1U << d)
                json_array_append_new(drivers, json_string(hf_kvm_drivers[d]));
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s, s:I, s:o}", "kernel", o->kernel.version, "path",
                                              hf_inspect_text(o->path), "state", word_for(x, o), "reason", o->reason,
                                              "bytes", (json_int_t)o->size, "drivers", drivers));
    }
    hf_guest_note(x, "initramfs", list);
}

static uint32_t count_made(const state *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        n += s->all[i].made;
    return n;
}

static hf_code initramfs_step(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    const hf_guest_os *os = hf_guest_os_of(x);
    if (!os || !os->linux_guest) {
        hf_guest_result(x, "not possible", "%s",
                        os && os->windows ? "Windows: virt-v2v puts drivers into it" : "no Linux was found");
        return HF_OK;
    }
    hf_code rc = hf_guest_mount(x, reterr);
    if (rc == HF_OK)
        rc = list_installed(x, reterr);
    s->generator = rc == HF_OK ? hf_initramfs_generator(x) : HF_GENERATOR_NONE;
    for (uint32_t i = 0; rc == HF_OK && i < s->count; i++)
        rc = judge(x, &s->all[i], reterr);
    if (rc != HF_OK)
        return rc;
    if (s->count == 0)
        hf_guest_result(x, "not possible", "no kernel with modules was found");
    else if (s->needed == 0)
        hf_guest_result(x, "nothing to do", "each of %u kernels has what it needs", (unsigned)s->count);
    else if (can_make(x)) {
        rc = make_all(x, reterr);
        if (rc == HF_OK && !hf_guest_dry(x))
            hf_guest_result(x, count_made(s) == s->needed ? "done" : "not possible", "%u of %u were made",
                            (unsigned)count_made(s), (unsigned)s->needed);
    }
    note(x);
    return rc;
}

static const hf_guest_step steps[] = {{"initramfs", "looks into the initramfs of each kernel", initramfs_step},
                                      {NULL, NULL, NULL}};
const hf_guest_plan hf_initramfs_plan = {
    .operation = "initramfs_regenerate", .steps = steps, .needs_os = true, .prepare = prepare};

hf_code hf_op_initramfs_regenerate(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &hf_initramfs_plan, ret_result, ret_phase, reterr);
}
