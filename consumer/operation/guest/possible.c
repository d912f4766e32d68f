/* Whether an appliance could be started here, by what is installed: nothing is run. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/operation/guest/inside.h"
#include "schemas/base/mem.h"

static bool in_path(const char *name) {
    char full[4096];
    const char *path = getenv("PATH");
    for (const char *dir = path ? path : "/usr/bin:/bin"; *dir;) {
        size_t len = strcspn(dir, ":");
        if (len && snprintf(full, sizeof full, "%.*s/%s", (int)len, dir, name) < (int)sizeof full &&
            access(full, X_OK) == 0)
            return true;
        dir += len + (dir[len] == ':');
    }
    return false;
}

/* A kernel that supermin can take, with its modules. */
static bool has_kernel(void) {
    bool found = false;
    char path[300];
    DIR *dir = opendir("/lib/modules");
    for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' && snprintf(path, sizeof path, "/boot/vmlinuz-%.200s", e->d_name) > 0)
            found = access(path, R_OK) == 0;
    if (dir)
        closedir(dir);
    return found;
}

bool hf_guest_possible(const char **ret_why) {
    const char *fixed = getenv("LIBGUESTFS_PATH"), *why = NULL;
    if (!in_path("qemu-system-x86_64") && !in_path("qemu-system-aarch64") && access("/usr/libexec/qemu-kvm", X_OK) != 0)
        why = "no qemu-system is in PATH: install qemu-system-x86";
    else if (!in_path("qemu-img"))
        why = "qemu-img is not in PATH: install qemu-utils";
    else if (!(fixed && *fixed) && !in_path("supermin"))
        why = "supermin is not in PATH and LIBGUESTFS_PATH names no fixed appliance: install supermin";
    else if (!(fixed && *fixed) && !has_kernel())
        why =
            "there is no readable kernel in /boot with modules in /lib/modules for the appliance: install linux-image-cloud-amd64 (on Ubuntu also: "
            "chmod 0644 /boot/vmlinuz-*)";
    if (ret_why)
        *ret_why = why ? why : "";
    return !why;
}
