/* How a guest makes an initramfs: which of its programs does it, what that one's configuration is told, and the command itself. */
#pragma once
#include "consumer/operation/guest/kernels.h"

typedef enum hf_generator {
    HF_GENERATOR_NONE,
    HF_GENERATOR_TOOLS, /* Debian's initramfs-tools */
    HF_GENERATOR_DRACUT,
    HF_GENERATOR_MKINITCPIO,
} hf_generator;

hf_generator hf_initramfs_generator(hf_guest_session *guest);
const char *hf_generator_name(hf_generator generator);

/* Whether its configuration asks for the driver already. */
bool hf_initramfs_asked(hf_guest_session *guest, hf_generator generator, const char *driver);
/* Puts the drivers (NULL-terminated) into its configuration, for this time and all to come. What is not possible is a finding. */
hf_code hf_initramfs_configure(hf_guest_session *guest, hf_generator generator, const char *const *drivers,
                               hf_err *reterr);
/* Makes the kernel's initramfs at `path`, which may not be where it will be. TOOL_FAILED with the program's last words. */
hf_code hf_initramfs_generate(hf_guest_session *guest, hf_generator generator, const char *version, const char *path,
                              const char *const *drivers, hf_err *reterr);
/* After the new one has taken its place: hooks that the guest runs then. */
void hf_initramfs_announce(hf_guest_session *guest, hf_generator generator, const char *version, const char *path);
