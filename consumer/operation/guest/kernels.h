/* The kernels of a guest: what belongs to each, which drivers it has, and what is in its initramfs. Only looks; for every operation that has to
 * do with booting. */
#pragma once
#include "consumer/operation/guest/guest.h"
#include "consumer/operation/guest/initramfs_scan.h"

enum { HF_GUEST_KERNELS_MAX = 32 };

typedef enum hf_driver {
    HF_DRIVER_ABSENT,
    HF_DRIVER_BUILT_IN,
    HF_DRIVER_MODULE,
} hf_driver;

/* What a guest on KVM may need: for its disks first. */
enum { HF_KVM_DRIVERS = 5 };
extern const char *const hf_kvm_drivers[HF_KVM_DRIVERS + 1]; /* NULL last */

typedef struct hf_guest_kernel {
    const char *version;   /* the name of its folder below /lib/modules */
    const char *folder;    /* /lib/modules/VERSION */
    const char *image;     /* its own file: folders of modules without one are not listed */
    const char *initramfs; /* NULL: none where they are known to be */
    hf_driver drivers[HF_KVM_DRIVERS];
} hf_guest_kernel;

/* Kernels that are installed (image and modules); needs the guest mounted. *ret_count at most HF_GUEST_KERNELS_MAX. */
hf_code hf_guest_kernels(hf_guest_session *guest, hf_guest_kernel list[HF_GUEST_KERNELS_MAX], uint32_t *ret_count,
                         hf_err *reterr);
hf_driver hf_guest_driver(const hf_guest_kernel *kernel, const char *name); /* of hf_kvm_drivers */
const char *hf_guest_driver_says(hf_driver driver);                         /* "built in", "module", "absent" */

/* What is in an initramfs of the guest (initramfs_scan.h). */
hf_code hf_guest_initramfs_look(hf_guest_session *guest, const char *path, const char *version,
                                const char *const *wanted, bool whole, hf_initramfs_scan *ret, hf_err *reterr);
