/* What is known of a virtual machine beside the bytes of its disks: what a provider learns, an OVF descriptor says, and a report
 * shows. One flat value; copied by assignment; nothing in it is owned elsewhere. Texts are UTF-8, "" where not known;
 * numbers 0 where not known. Terms are those of DSP0243 and of VMware's inventory. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

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

/* ---- names (machine.c) ----------------------------------------------------------------------------------------------- */
const char *hf_firmware_name(hf_firmware firmware); /* "bios", "efi"; "" where not known */
bool hf_firmware_parse(hf_str name, hf_firmware *ret);
const char *hf_controller_name(hf_controller_kind kind); /* "pvscsi"; "" for HF_CTL_NONE */
bool hf_controller_parse(hf_str name, hf_controller_kind *ret);

/* A row of guest_os.def. */
typedef struct hf_guest {
    const char *id; /* VMware's */
    uint16_t cim;   /* CIM_OperatingSystem.OSType */
    const char *name;
} hf_guest;
const hf_guest *hf_guest_find(const char *id); /* NULL: not in the table */
/* What inspection says of a system, in libguestfs' words; "" where not known. */
typedef struct hf_guest_facts {
    const char *type, *distro, *product, *arch;
    int major, minor;
} hf_guest_facts;
/* The id of the table that is nearest; false: it is neither a PC's Linux nor Windows. */
bool hf_guest_id(const hf_guest_facts *facts, char ret[64]);
/* OSType for any id: of its row, else "other", by whether the id says 64. */
uint16_t hf_guest_cim(const char *id);

/* ---- what a machine can hold (machine_plan.c) -------------------------------------------------------------------------- */
/* Controllers of one family are numbered together: all SCSI kinds are scsi0, scsi1 … */
typedef enum hf_controller_family { HF_BUS_IDE, HF_BUS_SCSI, HF_BUS_SATA, HF_BUS_NVME } hf_controller_family;
hf_controller_family hf_controller_family_of(hf_controller_kind kind);

/* Makes the machine one that a descriptor can say: numbers, guest and buses that are missing are filled in; each of the disk_count
 * places that is missing, doubled or impossible is chosen anew, controllers are added for them, and for the CD-ROM drive.
 * wanted, unless HF_CTL_NONE: the one kind of controller for all disks; LIMIT when they do not fit on it. What was
 * whole before is not changed, so that a second call changes nothing. */
hf_code hf_machine_complete(hf_machine *machine, hf_machine_place *places, uint32_t disk_count,
                            hf_controller_kind wanted, hf_err *reterr);
/* Where the CD-ROM drive of a completed machine hangs: the first free unit of an IDE, else of a SATA controller. controller -1: none is
 * free. */
hf_machine_place hf_machine_cdrom_place(const hf_machine *machine, const hf_machine_place *places, uint32_t disk_count);
/* What is known of the virtual hardware (vmx-NN), else 10 (ESXi 5.5), raised to what the machine's parts need. */
uint32_t hf_machine_hardware(const hf_machine *machine);
