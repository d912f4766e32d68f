#include "consumer/pipeline/machine.h"

#include <string.h>
#include <strings.h>

static const char *const firmwares[] = {
    [HF_FIRMWARE_UNKNOWN] = "", [HF_FIRMWARE_BIOS] = "bios", [HF_FIRMWARE_EFI] = "efi"};

static const char *const controllers[] = {
    [HF_CTL_NONE] = "",         [HF_CTL_IDE] = "ide",
    [HF_CTL_SATA] = "sata",     [HF_CTL_LSILOGIC] = "lsilogic",
    [HF_CTL_LSISAS] = "lsisas", [HF_CTL_BUSLOGIC] = "buslogic",
    [HF_CTL_PVSCSI] = "pvscsi", [HF_CTL_NVME] = "nvme",
};

static const hf_guest guests[] = {
#define HF_GUEST(id, cim, name) {id, cim, name},
#include "consumer/pipeline/guest_os.def"
#undef HF_GUEST
};

/* Index of name among names[1..], 0 if it is not there. */
static size_t find(hf_str name, const char *const *names, size_t count) {
    for (size_t i = 1; i < count; i++)
        if (name.len == strlen(names[i]) && strncasecmp(name.p, names[i], name.len) == 0)
            return i;
    return 0;
}

const char *hf_firmware_name(hf_firmware firmware) { return firmwares[firmware]; }

bool hf_firmware_parse(hf_str name, hf_firmware *ret) {
    size_t i = find(name, firmwares, sizeof firmwares / sizeof *firmwares);
    if (i)
        *ret = (hf_firmware)i;
    return i != 0;
}

const char *hf_controller_name(hf_controller_kind kind) { return controllers[kind]; }

bool hf_controller_parse(hf_str name, hf_controller_kind *ret) {
    size_t i = find(name, controllers, sizeof controllers / sizeof *controllers);
    if (i)
        *ret = (hf_controller_kind)i;
    return i != 0;
}

const hf_guest *hf_guest_find(const char *id) {
    for (size_t i = 0; i < sizeof guests / sizeof *guests; i++)
        if (strcmp(id, guests[i].id) == 0)
            return &guests[i];
    return NULL;
}

uint16_t hf_guest_cim(const char *id) {
    const hf_guest *guest = hf_guest_find(id);
    if (guest)
        return guest->cim;
    bool linux_kind = strcasestr(id, "linux") != NULL, wide = strstr(id, "64") != NULL;
    return linux_kind ? (wide ? 101 : 36) : wide ? 102 : 1;
}
