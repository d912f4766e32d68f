/* What is known of a virtual machine beside the bytes of its disks: what a provider learns, an OVF descriptor says, and a report
 * shows. One flat value; copied by assignment; nothing in it is owned elsewhere. Texts are UTF-8, "" where not known;
 * numbers 0 where not known. Terms are those of DSP0243 and of VMware's inventory. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { HF_MACHINE_NICS_MAX = 16, HF_MACHINE_CONTROLLERS_MAX = 16 };

typedef enum hf_firmware { HF_FIRMWARE_UNKNOWN, HF_FIRMWARE_BIOS, HF_FIRMWARE_EFI } hf_firmware;

typedef enum hf_controller_kind {
    HF_CTL_NONE, /* not known: the writer chooses */
    HF_CTL_IDE,
    HF_CTL_SATA,
    HF_CTL_LSILOGIC,
    HF_CTL_LSISAS,
    HF_CTL_BUSLOGIC,
    HF_CTL_PVSCSI,
    HF_CTL_NVME,
} hf_controller_kind;

typedef struct hf_machine_controller {
    hf_controller_kind kind;
    int32_t bus; /* number among those of its kind: scsi0, scsi1 … */
} hf_machine_controller;

typedef struct hf_machine_nic {
    char model[32];    /* as OVF's ResourceSubType: "VmxNet3", "E1000", "E1000e" … */
    char network[128]; /* the network's name */
    char mac[18];      /* "00:50:56:…" */
} hf_machine_nic;

typedef struct hf_machine {
    char name[256];
    char os_type[64];  /* VMware's guest id, e.g. "debian12_64Guest" or "otherGuest64" */
    char os_name[128]; /* in words, e.g. "Debian GNU/Linux 12 (64-bit)" */
    int32_t cpus, cores_per_socket, memory_mb;
    hf_firmware firmware;
    bool secure_boot, cdrom, floppy;
    uint32_t hardware_version; /* vmx-NN */
    uint32_t controller_count, nic_count;
    hf_machine_controller controllers[HF_MACHINE_CONTROLLERS_MAX];
    hf_machine_nic nics[HF_MACHINE_NICS_MAX];
} hf_machine;

/* Where a disk hangs: an index into controllers and the unit on it; controller -1 where not known. */
typedef struct hf_machine_place {
    int32_t controller, unit;
} hf_machine_place;
