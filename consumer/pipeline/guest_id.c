/* From what libguestfs says of a system to VMware's guest id. */
#include <stdio.h>
#include <string.h>

#include "consumer/pipeline/machine.h"

/* libguestfs' names of distributions (guestfs_inspect_get_distro), and how VMware's ids begin. */
static const struct {
    const char *distro, *id;
    bool versions; /* ids have the major version behind */
} distros[] = {
    {"debian", "debian", true},           {"ubuntu", "ubuntu", false},     {"rhel", "rhel", true},
    {"centos", "centos", true},           {"rocky", "rockylinux_", false}, {"almalinux", "almalinux_", false},
    {"oraclelinux", "oracleLinux", true}, {"sles", "sles", true},          {"opensuse", "opensuse", false},
    {"fedora", "fedora", false}};

/* Server releases have one kernel version in several; the name in words tells. */
static const struct {
    const char *words, *id;
} servers[] = {{"Server 2008 R2", "windows7Server64Guest"},
               {"Server 2012", "windows8Server64Guest"},
               {"Server", "windows9Server64Guest"}};

static bool known(const char *id, char ret[64]) {
    if (!hf_guest_find(id))
        return false;
    snprintf(ret, 64, "%s", id);
    return true;
}

static bool linux_id(const char *distro, int major, bool wide, char ret[64]) {
    char id[64];
    for (size_t i = 0; i < sizeof distros / sizeof *distros; i++) {
        if (strcmp(distro, distros[i].distro) != 0)
            continue;
        /* A release that is newer than the table is told as the newest one that is in it. */
        for (int n = major < 99 ? major : 99; distros[i].versions && n > 0; n--) {
            snprintf(id, sizeof id, "%s%d%s", distros[i].id, n, wide ? "_64Guest" : "Guest");
            if (known(id, ret))
                return true;
        }
        snprintf(id, sizeof id, "%s%s", distros[i].id, wide ? "64Guest" : "Guest");
        if (known(id, ret))
            return true;
    }
    return known(wide ? "otherLinux64Guest" : "otherLinuxGuest", ret);
}

static bool windows_id(const char *product, int major, int minor, bool wide, char ret[64]) {
    for (size_t i = 0; i < sizeof servers / sizeof *servers && wide; i++)
        if (strstr(product, servers[i].words) && (major > 6 || (major == 6 && minor >= 1)))
            return known(servers[i].id, ret);
    if (major >= 10)
        return known(strstr(product, "Windows 11") ? "windows11_64Guest"
                     : wide                        ? "windows9_64Guest"
                                                   : "windows9Guest",
                     ret);
    if (major == 6 && minor >= 2)
        return known(wide ? "windows8_64Guest" : "windows8Guest", ret);
    return major == 6 && minor == 1 && known(wide ? "windows7_64Guest" : "windows7Guest", ret);
}

bool hf_guest_id(const hf_guest_facts *facts, char ret[64]) {
    bool wide = strcmp(facts->arch, "x86_64") == 0;
    if (!wide && strcmp(facts->arch, "i386") != 0)
        return false;
    if (strcmp(facts->type, "linux") == 0)
        return linux_id(facts->distro, facts->major, wide, ret);
    return strcmp(facts->type, "windows") == 0 && windows_id(facts->product, facts->major, facts->minor, wide, ret);
}
