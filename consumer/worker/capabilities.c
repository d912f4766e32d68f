#include "consumer/worker/capabilities.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "consumer/operation/external.h"
#include "consumer/operation/guest/possible.h"
#include "consumer/operation/operation.h"
#include "consumer/provider/provider.h"
#include "schemas/base/host.h"
#include "schemas/base/mem.h"

enum { CAP_SYS_ADMIN_BIT = 21, NAMES_MAX = 256, FILE_MAX = 64 * 1024 };
static const double GIB = 1024.0 * 1024 * 1024;

typedef struct probe {
    const char *root, *path;
    bool admin;
} probe;

/* ---- looking ------------------------------------------------------------------------------------------------ */
static bool reachable(const probe *p, const char *file, int mode) {
    char full[4096];
    return snprintf(full, sizeof full, "%s%s", p->root, file) < (int)sizeof full && access(full, mode) == 0;
}

/* The file's beginning, NUL-terminated; "" when it cannot be read. */
static void read_file(const probe *p, const char *file, char *text, size_t size) {
    char full[4096];
    text[0] = 0;
    if (snprintf(full, sizeof full, "%s%s", p->root, file) >= (int)sizeof full)
        return;
    hf_auto_fd int fd = open(full, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
    text[n > 0 ? n : 0] = 0;
}

static bool has_program(const probe *p, const char *name) {
    for (const char *dir = p->path; dir && *dir;) {
        size_t len = strcspn(dir, ":");
        char full[4096];
        if (len && snprintf(full, sizeof full, "%.*s/%s", (int)len, dir, name) < (int)sizeof full &&
            access(full, X_OK) == 0)
            return true;
        dir += len + (dir[len] == ':');
    }
    return false;
}

/* The text behind `key` on its line, without quotes. */
static bool value_of(const char *text, const char *key, char *value, size_t size) {
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *from = line + strlen(key);
        from += strspn(from, " \t\"");
        snprintf(value, size, "%.*s", (int)strcspn(from, "\"\n"), from);
        return true;
    }
    return false;
}

/* ---- the machine --------------------------------------------------------------------------------------------- */
static bool is_admin(const probe *p) {
    char text[8192], value[64];
    read_file(p, "/proc/self/status", text, sizeof text);
    return value_of(text, "CapEff:", value, sizeof value) && (strtoull(value, NULL, 16) >> CAP_SYS_ADMIN_BIT & 1);
}

static bool in_container(const probe *p) {
    static const char *const marks[] = {"docker", "kubepods", "containerd", "libpod", "lxc"};
    char text[8192];
    if (reachable(p, "/.dockerenv", F_OK) || reachable(p, "/run/.containerenv", F_OK) ||
        reachable(p, "/run/systemd/container", F_OK))
        return true;
    read_file(p, "/proc/1/cgroup", text, sizeof text);
    for (size_t i = 0; i < HF_ARRAY_LEN(marks); i++)
        if (strstr(text, marks[i]))
            return true;
    return false;
}

static double memory_gb(const probe *p) {
    char text[8192], value[64];
    double bytes = 0;
    read_file(p, "/proc/meminfo", text, sizeof text);
    if (value_of(text, "MemTotal:", value, sizeof value))
        bytes = strtod(value, NULL) * 1024;
    read_file(p, "/sys/fs/cgroup/memory.max", text, sizeof text); /* "max" reads as 0: no limit */
    double limit = strtod(text, NULL);
    return (limit > 0 && limit < bytes ? limit : bytes) / GIB;
}

static int32_t cpus(const probe *p) {
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    char text[128], *end = NULL;
    read_file(p, "/sys/fs/cgroup/cpu.max", text, sizeof text);
    double quota = strtod(text, &end), period = strtod(end, NULL);
    if (quota > 0 && period > 0 && quota / period < (double)n)
        n = (long)(quota / period + 0.5);
    return n < 1 ? 1 : (int32_t)n;
}

static double free_gb(const char *path) {
    struct statvfs v;
    return statvfs(path, &v) == 0 ? (double)v.f_bavail * (double)v.f_frsize / GIB : 0;
}

static double disk_gb(const hf_config *config) {
    const json_t *roots = hf_config_json(config, HF_C_WORKER_ROOTS), *root = NULL;
    double most = json_array_size(roots) ? 0 : free_gb("/");
    size_t i;
    json_array_foreach(roots, i, root) {
        double here = json_is_string(root) ? free_gb(json_string_value(root)) : 0;
        most = here > most ? here : most;
    }
    return most;
}

/* ---- what it offers --------------------------------------------------------------------------------------------- */
typedef struct names {
    hf_arena *arena;
    hf_str *items;
    uint32_t count;
    const hf_capabilities *have;
    bool no_memory;
} names;

static void add_name(names *n, const char *name) {
    if (n->count == NAMES_MAX)
        return;
    hf_str copy = hf_arena_str(n->arena, hf_str_of(name));
    n->no_memory |= !copy.p;
    n->items[n->count++] = copy;
}

static bool begin_names(names *n, hf_arena *arena, const hf_capabilities *have) {
    *n = (names){.arena = arena, .items = hf_arena_alloc(arena, NAMES_MAX * sizeof *n->items), .have = have};
    return n->items != NULL;
}

/* What a program on this host can use: the appliance's LVM is no use to it. */
static bool has_capability(const hf_capabilities *c, hf_str name) {
    return (hf_str_eqz(name, "nbd") && c->nbd) || (hf_str_eqz(name, "lvm") && c->host_lvm) ||
           (hf_str_eqz(name, "mount") && c->host_mount) ||
           ((hf_str_eqz(name, "selinux") || hf_str_eqz(name, "selinux_tools")) && c->host_selinux_tools) ||
           (hf_str_eqz(name, "qemu_img") && c->qemu_img) || (hf_str_eqz(name, "guestfs") && c->guestfs);
}

/* `needs` of a built-in row: words between blanks or commas. */
static bool has_all(const hf_capabilities *c, const char *needs) {
    for (const char *at = needs ? needs : ""; *at;) {
        size_t len = strcspn(at, " ,");
        if (len && !has_capability(c, (hf_str){at, (uint32_t)len}))
            return false;
        at += len + (at[len] != 0);
    }
    return true;
}

static void add_external(void *ctx, const char *name, const json_t *needs) {
    names *n = ctx;
    const json_t *need = NULL;
    size_t i;
    json_array_foreach(needs, i, need)
        if (!json_is_string(need) || !has_capability(n->have, hf_str_of(json_string_value(need))))
            return;
    add_name(n, name);
}

static bool list_operations(const hf_config *config, hf_arena *arena, hf_capabilities *c) {
    names n;
    if (!begin_names(&n, arena, c))
        return false;
    for (const hf_operation *o = hf_operations(); o->name; o++)
        if (hf_operation_offered(config, o) && has_all(c, o->needs))
            add_name(&n, o->name);
    hf_external_each(config, add_external, &n);
    c->operations = (hf_list){n.items, n.count};
    return !n.no_memory;
}

static bool list_places(const hf_config *config, hf_arena *arena, hf_capabilities *c) {
    names providers, endpoints;
    if (!begin_names(&providers, arena, c) || !begin_names(&endpoints, arena, c))
        return false;
    size_t count = 0;
    const hf_provider *built = hf_providers(&count);
    for (size_t i = 0; i < count; i++)
        add_name(&providers, built[i].name);
    const char *name = NULL;
    json_t *endpoint = NULL, *all = __extension__({
        union {
            const json_t *in;
            json_t *out;
        } u = {.in = hf_config_json(config, HF_C_ENDPOINTS)};
        u.out;
    });
    json_object_foreach(all, name, endpoint)
        add_name(&endpoints, name);
    c->providers = (hf_list){providers.items, providers.count};
    c->endpoints = (hf_list){endpoints.items, endpoints.count};
    return !providers.no_memory && !endpoints.no_memory;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */
static void look(const probe *p, hf_capabilities *c) {
    c->nbd = reachable(p, "/dev/nbd0", R_OK | W_OK) && has_program(p, "qemu-nbd");
    c->host_lvm = p->admin && has_program(p, "lvm") && reachable(p, "/dev/mapper/control", R_OK | W_OK);
    c->host_mount = p->admin && has_program(p, "mount");
    c->host_selinux_tools = has_program(p, "setfiles") && has_program(p, "restorecon");
    c->qemu_img = has_program(p, "qemu-img");
    /* The appliance has lvm2, mounts what the guest has, and runs the guest's own SELinux tools. */
    c->lvm = c->host_lvm || c->guestfs;
    c->mount = c->host_mount || c->guestfs;
    c->selinux_tools = c->host_selinux_tools || c->guestfs;
    c->execution_mode = !in_container(p) ? HF_STR("host")
                        : p->admin       ? HF_STR("privileged_container")
                                         : HF_STR("safe_container");
    c->level = c->guestfs || (c->nbd && c->host_lvm && c->host_mount) ? HF_STR("full-offline-fixes")
               : c->nbd                                               ? HF_STR("nbd-inspection")
                                                                      : HF_STR("userspace-only");
    c->memory_gb = memory_gb(p);
    c->cpus = cpus(p);
}

hf_code hf_capabilities_probe(const hf_config *config, const hf_probe_from *from, hf_arena *arena, hf_capabilities *ret,
                              hf_err *reterr) {
    const char *path = getenv("PATH");
    probe p = {.root = from && from->root ? from->root : "",
               .path = from && from->path ? from->path
                       : path             ? path
                                          : "/usr/sbin:/usr/bin:/sbin:/bin"};
    char text[8192], os[256] = "";
    struct utsname name;
    p.admin = is_admin(&p);
    const char *why = from && from->guestfs_why ? from->guestfs_why : NULL;
    *ret = (hf_capabilities){0};
    if (!why)
        hf_guest_possible(&why);
    ret->guestfs = !*why;
    ret->guestfs_why = hf_str_of(why);
    look(&p, ret);
    ret->disk_space_gb = disk_gb(config);
    ret->max_disk_size_tb = ret->disk_space_gb / 1024;
    read_file(&p, "/etc/os-release", text, sizeof text);
    if (!value_of(text, "PRETTY_NAME=", os, sizeof os))
        snprintf(os, sizeof os, "Linux");
    ret->os_info = hf_arena_str(arena, hf_str_of(os));
    ret->kernel_version = uname(&name) == 0 ? hf_arena_str(arena, hf_str_of(name.release)) : HF_STR("unknown");
    if (!ret->os_info.p || !ret->kernel_version.p || !list_operations(config, arena, ret) ||
        !list_places(config, arena, ret))
        return hf_fail(reterr, HF_E_NO_MEMORY, "probing capabilities");
    return HF_OK;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------ */
static json_t *json_names(hf_list list) {
    json_t *array = json_array();
    for (uint32_t i = 0; array && i < list.count; i++) {
        hf_str s = *HF_LIST_AT(list, hf_str, i);
        json_array_append_new(array, json_stringn(s.p, s.len));
    }
    return array;
}

static json_t *json_str(hf_str s) { return json_stringn(s.p ? s.p : "", s.len); }

/* By what each of the needs is met, and whether guest operations can run. */
static json_t *json_guest(const hf_capabilities *c) {
    const struct {
        const char *name;
        bool host;
    } needs[] = {{"lvm", c->host_lvm}, {"mount", c->host_mount}, {"selinux", c->host_selinux_tools}};
    json_t *by = json_object();
    for (size_t i = 0; i < HF_ARRAY_LEN(needs); i++) {
        json_t *list = json_array();
        if (needs[i].host)
            json_array_append_new(list, json_string("host"));
        if (c->guestfs)
            json_array_append_new(list, json_string("appliance"));
        json_object_set_new(by, needs[i].name, list);
    }
    return json_pack("{s:b, s:o, s:o}", "possible", c->guestfs, "why_not",
                     c->guestfs ? json_null() : json_str(c->guestfs_why), "met_by", by);
}

static double hundredths(double value) { return (double)(int64_t)(value * 100 + 0.5) / 100; }

json_t *hf_capabilities_json(const hf_capabilities *c, hf_str worker_id, hf_str hostname, int slots, int64_t wall_ms) {
    char at[HF_RFC3339_BYTES];
    return json_pack(
        "{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:f, s:i, s:f, s:f, s:o, s:o, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:o}",
        "worker_id", json_str(worker_id), "hostname", json_str(hostname), "capabilities", "nbd", c->nbd, "lvm", c->lvm,
        "mount", c->mount, "selinux", c->selinux_tools, "qemu_img", c->qemu_img, "max_disk_size_tb",
        hundredths(c->max_disk_size_tb), "max_concurrent_jobs", slots, "memory_gb", hundredths(c->memory_gb),
        "disk_space_gb", hundredths(c->disk_space_gb), "os_info", json_str(c->os_info), "kernel_version",
        json_str(c->kernel_version), "last_heartbeat", hf_time_format(wall_ms, at), "execution_mode",
        json_str(c->execution_mode), "level", json_str(c->level), "cpus", c->cpus, "operations",
        json_names(c->operations), "providers", json_names(c->providers), "endpoints", json_names(c->endpoints),
        "guest_operations", json_guest(c));
}

hf_code hf_worker_id(const hf_config *config, char *text, hf_err *reterr) {
    const char *wanted = hf_config_str(config, HF_C_WORKER_ID);
    if (*wanted)
        snprintf(text, HF_ID_MAX_BYTES + 1, "%s", wanted);
    else
        hf_host_name(text, HF_ID_MAX_BYTES + 1);
    if (!hf_id_valid(hf_str_of(text)))
        return hf_fail(reterr, HF_E_INVALID,
                       "worker.id \"%s\" is no id: 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -, not beginning with . or -",
                       text, HF_ID_MAX_BYTES);
    return HF_OK;
}
