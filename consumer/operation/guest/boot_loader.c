/* Step boot_loader: what the firmware starts, and what that reads. Which loaders there are is told by their files; those that are not known here are
 * named. */
#include "consumer/operation/guest/boot.h"
#include "consumer/operation/guest/grub_text.h"

typedef struct loaders {
    bool grub2, grub1, systemd, syslinux;
} loaders;

static bool any(hf_guest_session *x, const char *const *paths) {
    for (; *paths; paths++)
        if (hf_guest_exists(x, *paths))
            return true;
    return false;
}

static loaders look(hf_guest_session *x) {
    static const char *const grub2[] = {"/boot/grub2/grub.cfg", "/boot/grub/grub.cfg", "/etc/default/grub",
                                        "/usr/lib/grub", NULL};
    static const char *const grub2_installed[] = {"/boot/grub2", "/boot/grub", NULL};
    static const char *const grub1[] = {"/boot/grub/menu.lst", "/boot/grub/grub.conf", NULL};
    static const char *const systemd[] = {"/boot/loader/loader.conf",
                                          "/boot/efi/loader/loader.conf",
                                          "/efi/loader/loader.conf",
                                          "/mnt/loader/loader.conf",
                                          "/boot/efi/loader/entries",
                                          "/efi/loader/entries",
                                          NULL};
    static const char *const syslinux[] = {"/boot/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg",
                                           "/extlinux.conf", NULL};
    loaders found = {
        .grub2 = any(x, grub2), .grub1 = any(x, grub1), .systemd = any(x, systemd), .syslinux = any(x, syslinux)};
    if (found.systemd && !any(x, grub2_installed)) /* GRUB's packages alone start nothing */
        found.grub2 = false;
    found.grub1 &= !found.grub2;
    return found;
}

static void tell_unknown(hf_guest_session *x, const char *name) {
    hf_guest_finding(x, "warning", "loader-not-handled",
                     "Install it again in the guest if it does not start; or install GRUB.",
                     "%s is not installed anew by this operation", name);
    hf_guest_result(x, "not possible", "%s is not handled", name);
}

static bool has_config(hf_guest_session *x, const char *esp) {
    const char *paths[5];
    hf_boot_config_paths(x, esp, paths);
    return paths[0] != NULL;
}

hf_code hf_boot_loader(hf_guest_session *x, hf_err *reterr) {
    hf_boot *boot;
    uint32_t wrong = 0;
    hf_code rc = hf_boot_begin(x, &boot, reterr);
    if (rc != HF_OK || !boot)
        return rc;
    const char *esp = hf_boot_esp(x);
    loaders found = look(x);
    if (!found.grub2 && !found.systemd && (found.grub1 || found.syslinux)) {
        tell_unknown(x, found.grub1 ? "GRUB 1" : "syslinux or extlinux");
        return HF_OK;
    }
    if (!found.grub2 && !found.systemd && !esp[0]) {
        hf_guest_finding(x, "error", "no-loader", "Install GRUB in the guest.",
                         "there is no boot loader that is known here");
        hf_guest_result(x, "not possible", "no boot loader was found");
        return HF_OK;
    }
    if (found.grub2)
        rc = hf_boot_bios(x, boot, esp[0] != 0, &wrong, reterr);
    if (rc == HF_OK)
        rc = hf_boot_efi(x, boot, esp, &wrong, reterr);
    if (rc == HF_OK && found.grub2)
        rc = hf_boot_config(x, boot, esp, &wrong, reterr);
    if (rc == HF_OK && found.grub2 && !found.systemd && !has_config(x, esp)) {
        hf_guest_finding(x, "error", "configuration-missing",
                         "Install GRUB's packages again in the guest, and run this again.",
                         "there is no grub.cfg, and the guest has no grub-mkconfig that could make one");
        wrong++;
    }
    if (rc == HF_OK && wrong)
        hf_guest_result(x, "not possible", "%u parts of the boot loader are wrong still", (unsigned)wrong);
    return rc;
}
