/* The appliance: started on the disks, watched, ended; what inspection finds in it is looked up and mounted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "consumer/operation/guest/inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { WATCH_MS = 50, LAUNCH_SECONDS = 600, MEMORY_MB = 1280 };

/* ---- the watch ---------------------------------------------------------------------------------------------------------
 * libguestfs's calls cannot be interrupted, and its handle is locked while one is under way. So a thread of ours kills the
 * appliance where it has to end; the call then fails. */
static bool is_appliance(pid_t pid) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, name, sizeof name - 1) : 0;
    return n > 0 && (strncmp(name, "qemu-system", 11) == 0 || strncmp(name, "qemu-kvm", 8) == 0 ||
                     strncmp(name, "supermin", 8) == 0);
}

/* Children of one of our threads. */
static void kill_children(const char *task) {
    char path[96], list[4096];
    snprintf(path, sizeof path, "/proc/self/task/%.32s/children", task);
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, list, sizeof list - 1) : 0;
    list[n > 0 ? n : 0] = 0;
    for (char *at = list, *end; *at; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (pid > 1 && is_appliance((pid_t)pid))
            kill((pid_t)pid, SIGKILL);
    }
}

static void kill_appliance(void) {
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            kill_children(e->d_name);
    closedir(dir);
}

static void *watch(void *ctx) {
    hf_guest_session *x = ctx;
    while (!atomic_load(&x->done)) {
        int64_t deadline = atomic_load(&x->deadline_ns);
        bool cancelled = x->run->cancel && atomic_load(x->run->cancel), late = deadline && hf_mono_ns() > deadline;
        if (cancelled || late) {
            int none = HF_OK;
            atomic_compare_exchange_strong(&x->killed, &none, cancelled ? HF_E_CANCELLED : HF_E_TIMEOUT);
            kill_appliance();
        }
        struct timespec rest = {.tv_nsec = WATCH_MS * 1000000L};
        nanosleep(&rest, NULL);
    }
    return NULL;
}

void hf_guest_allow(hf_guest_session *x, int seconds) {
    atomic_store(&x->deadline_ns, seconds ? hf_mono_ns() + (int64_t)seconds * 1000000000 : 0);
}

hf_code hf_guest_fail(hf_guest_session *x, hf_err *reterr, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (atomic_load(&x->killed) == HF_E_CANCELLED)
        return hf_fail(reterr, HF_E_CANCELLED, "%s", what);
    if (atomic_load(&x->killed) == HF_E_TIMEOUT)
        return hf_fail(reterr, HF_E_TIMEOUT, "%s: not done in its time (parameters.step_seconds)", what);
    if (hf_guest_gone(x))
        return hf_guest_fail_gone(x, what, reterr);
    const char *words = x->g ? guestfs_last_error(x->g) : NULL;
    size_t len = words ? strcspn(words, "\n") : 0; /* what follows is advice on debugging libguestfs */
    if (x->g && guestfs_last_errno(x->g) == ENOSPC)
        return hf_fail(reterr, HF_E_NO_SPACE, "%s: no space left in the guest's file system, or behind its disk", what);
    return hf_fail(reterr, HF_E_TOOL_FAILED, "%s: %.*s", what, words ? (int)len : 25,
                   words ? words : "libguestfs gave no reason");
}

/* ---- starting ---------------------------------------------------------------------------------------------------------- */
/* Hardware virtualisation that is there and does not work is learnt once. */
static atomic_bool only_emulation;

static hf_code add_disks(hf_guest_session *x, hf_err *reterr) {
    for (uint32_t i = 0; i < x->vm.disk_count; i++) {
        char path[64], label[HF_GUEST_LABEL_BYTES];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), x->disks[i].work_fd);
        hf_guest_label(i, label);
        struct guestfs_add_drive_opts_argv o = {
            .bitmask = GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK | GUESTFS_ADD_DRIVE_OPTS_DISCARD_BITMASK |
                       GUESTFS_ADD_DRIVE_OPTS_CACHEMODE_BITMASK | GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK |
                       GUESTFS_ADD_DRIVE_OPTS_LABEL_BITMASK,
            .label = label, /* by which the appliance itself finds the disk, whatever name it gave it */
            .format = hf_format_qemu(x->disks[i].format),
            .discard = "besteffort",
            .cachemode = x->in_place && !x->dry ? "writeback" : "unsafe", /* an overlay that is lost is begun anew */
            .readonly = x->in_place && x->dry};
        if (guestfs_add_drive_opts_argv(x->g, path, &o) != 0)
            return hf_guest_fail(x, reterr, "disk %u", (unsigned)i + 1);
    }
    return HF_OK;
}

static hf_code make_handle(hf_guest_session *x, bool emulation, hf_err *reterr) {
    if (x->g)
        guestfs_close(x->g);
    x->g = guestfs_create_flags(GUESTFS_CREATE_NO_ENVIRONMENT);
    if (!x->g)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a handle of libguestfs");
    guestfs_set_error_handler(x->g, NULL, NULL);
    if (!hf_guest_listen(x))
        return hf_guest_fail(x, reterr, "preparing the appliance");
    bool fine = guestfs_set_tmpdir(x->g, x->aside) == 0 && guestfs_set_backend(x->g, "direct") == 0 &&
                guestfs_set_memsize(x->g, MEMORY_MB) == 0 &&
                guestfs_set_smp(x->g, x->run->threads > 2   ? 2
                                      : x->run->threads > 0 ? x->run->threads
                                                            : 1) == 0 &&
                guestfs_set_network(x->g, 0) == 0;
    if (fine && emulation)
        fine = guestfs_set_backend_setting(x->g, "force_tcg", "1") == 0;
    return fine ? add_disks(x, reterr) : hf_guest_fail(x, reterr, "preparing the appliance");
}

hf_code hf_guest_start(hf_guest_session *x, hf_err *reterr) {
    if (!x->watching && pthread_create(&x->watch, NULL, watch, x) == 0)
        x->watching = true;
    if (!x->watching)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a thread that watches the appliance");
    hf_report_phase(&x->reporter, "appliance");
    hf_guest_allow(x, LAUNCH_SECONDS);
    bool emulation = atomic_load(&only_emulation) || access("/dev/kvm", R_OK | W_OK) != 0;
    int64_t began = hf_mono_ns();
    hf_code rc = make_handle(x, emulation, reterr);
    if (rc == HF_OK && guestfs_launch(x->g) != 0) {
        rc = hf_guest_fail_launch(x, "the appliance does not start", reterr);
        if (!emulation && rc == HF_E_TOOL_FAILED) {
            hf_guest_say(
                x, "warning",
                "hardware virtualisation does not start the appliance (%s): going on in emulation, which is slower",
                reterr ? reterr->detail : "no reason given");
            emulation = true;
            rc = make_handle(x, true, reterr);
            if (rc == HF_OK && guestfs_launch(x->g) != 0)
                rc = hf_guest_fail_launch(x, "the appliance does not start, in emulation either", reterr);
            if (rc == HF_OK)
                atomic_store(&only_emulation, true);
        }
    }
    hf_guest_allow(x, 0);
    if (rc != HF_OK)
        return rc;
    x->launched = true;
    hf_guest_note(x, "virtualisation", json_string(emulation ? "emulated" : "hardware"));
    hf_guest_note(x, "appliance_seconds", json_real((double)(hf_mono_ns() - began) * 1e-9));
    return HF_OK;
}

hf_code hf_guest_stop(hf_guest_session *x, hf_err *reterr) {
    if (!x->g)
        return HF_OK;
    hf_guest_allow(x, LAUNCH_SECONDS);
    hf_code rc = hf_guest_unmount(x, reterr);
    x->launched = false; /* from here its end is meant */
    if (rc == HF_OK && guestfs_shutdown(x->g) != 0)
        rc = hf_guest_fail(x, reterr, "ending the appliance");
    hf_guest_allow(x, 0);
    guestfs_close(x->g);
    x->g = NULL;
    return rc;
}

void hf_guest_kill(hf_guest_session *x) {
    if (x->g) {
        kill_appliance();
        guestfs_close(x->g);
    }
    x->g = NULL;
    x->launched = false;
    atomic_store(&x->done, true);
    if (x->watching)
        pthread_join(x->watch, NULL);
    x->watching = false;
}

/* ---- the operating system ------------------------------------------------------------------------------------------------- */
static const char *keep(hf_guest_session *x, char *text) {
    hf_str kept = text ? hf_arena_str(&x->arena, hf_str_of(text)) : HF_STR("");
    free(text);
    return kept.p ? kept.p : "";
}

static void free_strings(char **list) {
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

/* Pairs sorted by mount point, so that parents come first. */
static int by_path(const void *a, const void *b) {
    char *const *one = a, *const *two = b;
    int order = strcmp(one[0], two[0]);
    return order ? order : strcmp(one[1], two[1]);
}

/* An fstab may name the same a thousand times: each pair once, and no more than are mounted in any time at all. */
static size_t bound_mountpoints(hf_guest_session *x, char **pairs, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i += 2)
        if (kept == 0 || by_path(&pairs[kept - 2], &pairs[i]) != 0) {
            pairs[kept++] = pairs[i];
            pairs[kept++] = pairs[i + 1];
        }
    if (kept <= 2 * HF_GUEST_MOUNTS_MAX)
        return kept;
    hf_guest_finding(x, "warning", "too-many-mounts",
                     "Take out of the guest's /etc/fstab what the operation need not see.",
                     "the guest has %zu mount points: the first %d by name are mounted, up to %s", kept / 2,
                     HF_GUEST_MOUNTS_MAX, pairs[2 * HF_GUEST_MOUNTS_MAX - 2]);
    return 2 * HF_GUEST_MOUNTS_MAX;
}

static hf_code keep_mountpoints(hf_guest_session *x, char **list, hf_err *reterr) {
    size_t n = 0;
    while (list && list[n])
        n++;
    char **kept = hf_arena_alloc(&x->arena, (n + 1) * sizeof *kept);
    for (size_t i = 0; kept && i < n; i++)
        if (!(kept[i] = (char *)(uintptr_t)hf_arena_str(&x->arena, hf_str_of(list[i])).p))
            kept = NULL;
    free_strings(list);
    if (!kept)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the guest's mount points");
    qsort(kept, n / 2, 2 * sizeof *kept, by_path);
    kept[bound_mountpoints(x, kept, n)] = NULL;
    x->os.mountpoints = kept;
    return HF_OK;
}

static void find_esp(hf_guest_session *x) {
    x->os.esp = "";
    char **parts = guestfs_list_partitions(x->g);
    for (char **p = parts; p && *p; p++) {
        hf_auto_free char *disk = guestfs_part_to_dev(x->g, *p), *type = NULL;
        int number = guestfs_part_to_partnum(x->g, *p);
        hf_auto_free char *table = disk ? guestfs_part_get_parttype(x->g, disk) : NULL;
        if (table && number > 0 && strcmp(table, "gpt") == 0)
            type = guestfs_part_get_gpt_type(x->g, disk, number);
        if (type && strcasecmp(type, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B") == 0) {
            x->os.esp = keep(x, strdup(*p));
            x->os.uefi = true;
            break;
        }
    }
    free_strings(parts);
}

hf_code hf_guest_look(hf_guest_session *x, hf_err *reterr) {
    hf_code rc = hf_guest_unmount(x, reterr);
    if (rc != HF_OK)
        return rc;
    x->os = (hf_guest_os){0};
    x->looked = true;
    char **roots = guestfs_inspect_os(x->g);
    if (!roots)
        return hf_guest_fail(x, reterr, "looking for an operating system");
    size_t count = 0;
    while (roots[count])
        count++;
    if (count > 1)
        hf_guest_finding(x, "warning", "several-systems", "Give parameters.root, the device of the one that is meant.",
                         "%zu operating systems were found; the first is worked on: %s", count, roots[0]);
    const char *wanted = json_string_value(json_object_get(x->parameters, "root"));
    const char *root = NULL;
    for (size_t i = 0; i < count && !root; i++)
        root = !wanted || strcmp(wanted, roots[i]) == 0 ? roots[i] : NULL;
    if (root) {
        x->os.root = keep(x, strdup(root));
        x->os.type = keep(x, guestfs_inspect_get_type(x->g, root));
        x->os.distro = keep(x, guestfs_inspect_get_distro(x->g, root));
        x->os.product = keep(x, guestfs_inspect_get_product_name(x->g, root));
        x->os.arch = keep(x, guestfs_inspect_get_arch(x->g, root));
        x->os.hostname = keep(x, guestfs_inspect_get_hostname(x->g, root));
        x->os.package_format = keep(x, guestfs_inspect_get_package_format(x->g, root));
        x->os.major = guestfs_inspect_get_major_version(x->g, root);
        x->os.minor = guestfs_inspect_get_minor_version(x->g, root);
        x->os.linux_guest = strcmp(x->os.type, "linux") == 0;
        x->os.windows = strcmp(x->os.type, "windows") == 0;
        rc = keep_mountpoints(x, guestfs_inspect_get_mountpoints(x->g, root), reterr);
        find_esp(x);
    }
    free_strings(roots);
    if (rc == HF_OK && wanted && !x->os.root)
        return hf_fail(reterr, HF_E_NOT_FOUND, "parameters.root: no operating system was found on %s", wanted);
    return rc;
}

/* libguestfs puts a mount point behind its own root without a look at it: "..", or a link of the guest's, would lead out of the guest, over
 * the appliance's own files. So it is resolved inside the guest first. */
static int mount_one(hf_guest_session *x, const char *path, const char *device) {
    bool read_only = x->dry || x->plan->read_only;
    hf_auto_free char *real = strcmp(path, "/") == 0 ? hf_strndup("/", 1) : guestfs_realpath(x->g, path);
    if (!real)
        return -1;
    return read_only ? guestfs_mount_ro(x->g, device, real) : guestfs_mount_options(x->g, "", device, real);
}

hf_code hf_guest_mount(hf_guest_session *x, hf_err *reterr) {
    if (x->mounted)
        return HF_OK;
    if (!x->os.root)
        return hf_fail(
            reterr, HF_E_SOURCE_INVALID,
            "no operating system was found on the disks: nothing can be mounted (a Linux root has /etc, /bin, and /etc/fstab or "
            "/etc/hosts as a file). Where volumes or file systems are damaged, run lvm_repair or fs_repair first");
    x->mounted = true;
    for (char **m = x->os.mountpoints; *m; m += 2) {
        int bad = mount_one(x, m[0], m[1]);
        if (bad && (strcmp(m[0], "/") == 0 || hf_guest_gone(x)))
            return hf_guest_fail(x, reterr, "mounting %s on %s", m[1], m[0]);
        if (bad)
            hf_guest_finding(x, "warning", "not-mounted", "Run fs_repair on the image, or correct its fstab.",
                             "%s cannot be mounted on %s: %s", m[1], m[0], guestfs_last_error(x->g));
    }
    return HF_OK;
}

hf_code hf_guest_unmount(hf_guest_session *x, hf_err *reterr) {
    if (!x->mounted)
        return HF_OK;
    x->mounted = false;
    return guestfs_umount_all(x->g) == 0 ? HF_OK : hf_guest_fail(x, reterr, "taking the guest's file systems off");
}
