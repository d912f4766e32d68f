/* Which disk hangs where. The bounds are those of VMware's virtual hardware, the narrowest of what reads a descriptor. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consumer/pipeline/machine.h"

enum { UNITS_MAX = 64 };

static const struct {
    const char *name;
    int32_t controllers; /* at most, of the family */
    int32_t units;       /* that are given out, on each */
    int32_t units_known; /* that a machine may have already */
    int32_t own;         /* the unit that is the controller itself; -1: none */
} families[] = {
    [HF_BUS_IDE] = {"IDE", 2, 2, 2, -1},
    [HF_BUS_SCSI] = {"SCSI", 4, 16, UNITS_MAX, 7},
    [HF_BUS_SATA] = {"SATA", 4, 30, 30, -1},
    [HF_BUS_NVME] = {"NVMe", 4, 15, UNITS_MAX, -1},
};

hf_controller_family hf_controller_family_of(hf_controller_kind kind) {
    switch (kind) {
    case HF_CTL_IDE: return HF_BUS_IDE;
    case HF_CTL_SATA: return HF_BUS_SATA;
    case HF_CTL_NVME: return HF_BUS_NVME;
    case HF_CTL_NONE:
    case HF_CTL_LSILOGIC:
    case HF_CTL_LSISAS:
    case HF_CTL_BUSLOGIC:
    case HF_CTL_PVSCSI: break;
    }
    return HF_BUS_SCSI;
}

static hf_controller_family family_at(const hf_machine *m, int32_t controller) {
    return hf_controller_family_of(m->controllers[controller].kind);
}

/* ---- controllers ------------------------------------------------------------------------------------------------- */
static bool bus_used(const hf_machine *m, uint32_t before, hf_controller_family family, int32_t bus) {
    for (uint32_t i = 0; i < before; i++)
        if (hf_controller_family_of(m->controllers[i].kind) == family && m->controllers[i].bus == bus)
            return true;
    return false;
}

static int32_t free_bus(const hf_machine *m, hf_controller_family family) {
    int32_t bus = 0;
    while (bus_used(m, m->controller_count, family, bus))
        bus++;
    return bus;
}

/* Index of the new controller, -1 if the family has no room. */
static int32_t add_controller(hf_machine *m, hf_controller_kind kind) {
    hf_controller_family family = hf_controller_family_of(kind);
    int32_t have = 0;
    for (uint32_t i = 0; i < m->controller_count; i++)
        have += hf_controller_family_of(m->controllers[i].kind) == family;
    if (have >= families[family].controllers || m->controller_count == HF_MACHINE_CONTROLLERS_MAX)
        return -1;
    m->controllers[m->controller_count] = (hf_machine_controller){.kind = kind, .bus = free_bus(m, family)};
    return (int32_t)m->controller_count++;
}

/* Kinds that are missing, and buses that cannot be or are there twice. */
static void mend_controllers(hf_machine *m) {
    if (m->controller_count > HF_MACHINE_CONTROLLERS_MAX)
        m->controller_count = HF_MACHINE_CONTROLLERS_MAX;
    for (uint32_t i = 0; i < m->controller_count; i++) {
        hf_machine_controller *c = &m->controllers[i];
        if (c->kind == HF_CTL_NONE)
            c->kind = HF_CTL_LSILOGIC;
        hf_controller_family family = hf_controller_family_of(c->kind);
        if (c->bus >= 0 && c->bus < HF_MACHINE_CONTROLLERS_MAX && !bus_used(m, i, family, c->bus))
            continue;
        c->bus = -1;
        c->bus = free_bus(m, family);
    }
}

/* ---- places --------------------------------------------------------------------------------------------------------- */
static bool unit_used(const hf_machine_place *places, uint32_t count, int32_t controller, int32_t unit) {
    for (uint32_t i = 0; i < count; i++)
        if (places[i].controller == controller && places[i].unit == unit)
            return true;
    return false;
}

static bool possible(const hf_machine *m, hf_machine_place p) {
    if (p.controller < 0 || (uint32_t)p.controller >= m->controller_count)
        return false;
    hf_controller_family family = family_at(m, p.controller);
    return p.unit >= 0 && p.unit < families[family].units_known && p.unit != families[family].own;
}

static int32_t free_unit(const hf_machine *m, const hf_machine_place *places, uint32_t count, int32_t controller) {
    hf_controller_family family = family_at(m, controller);
    for (int32_t unit = 0; unit < families[family].units; unit++)
        if (unit != families[family].own && !unit_used(places, count, controller, unit))
            return unit;
    return -1;
}

/* A free place on a controller of that kind, which may be added for it. */
static bool place_on(hf_machine *m, hf_machine_place *places, uint32_t count, hf_controller_kind kind,
                     hf_machine_place *ret) {
    for (int32_t c = 0; c < (int32_t)m->controller_count; c++) {
        int32_t unit = m->controllers[c].kind == kind ? free_unit(m, places, count, c) : -1;
        if (unit >= 0) {
            *ret = (hf_machine_place){c, unit};
            return true;
        }
    }
    *ret = (hf_machine_place){add_controller(m, kind), 0};
    return ret->controller >= 0;
}

/* The kind for disks whose place is not known: that of the machine's first controller for disks. */
static hf_controller_kind usual_kind(const hf_machine *m) {
    for (uint32_t i = 0; i < m->controller_count; i++)
        if (m->controllers[i].kind != HF_CTL_IDE)
            return m->controllers[i].kind;
    return m->controller_count ? HF_CTL_IDE : HF_CTL_LSILOGIC;
}

static hf_code place_disks(hf_machine *m, hf_machine_place *places, uint32_t count, hf_controller_kind wanted,
                           hf_err *reterr) {
    for (uint32_t i = 0; i < count; i++)
        if (!possible(m, places[i]) || unit_used(places, i, places[i].controller, places[i].unit))
            places[i] = (hf_machine_place){-1, 0};
    hf_controller_kind kind = wanted != HF_CTL_NONE ? wanted : usual_kind(m);
    for (uint32_t i = 0; i < count; i++) {
        if (places[i].controller >= 0 || place_on(m, places, count, kind, &places[i]))
            continue;
        hf_controller_family family = hf_controller_family_of(kind);
        if (wanted != HF_CTL_NONE)
            return hf_fail(reterr, HF_E_LIMIT,
                           "%" PRIu32 " disks do not fit on %s controllers, which hold %" PRId32
                           ": choose another kind",
                           count, families[family].name,
                           families[family].controllers * (families[family].units - (families[family].own >= 0)));
        if (!place_on(m, places, count, HF_CTL_LSILOGIC, &places[i]) &&
            !place_on(m, places, count, HF_CTL_SATA, &places[i]))
            return hf_fail(reterr, HF_E_LIMIT, "the machine has no place left for disk %" PRIu32, i + 1);
    }
    return HF_OK;
}

hf_machine_place hf_machine_cdrom_place(const hf_machine *m, const hf_machine_place *places, uint32_t disk_count) {
    static const hf_controller_kind kinds[] = {HF_CTL_IDE, HF_CTL_SATA};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int32_t c = 0; c < (int32_t)m->controller_count; c++) {
            int32_t unit = m->controllers[c].kind == kinds[k] ? free_unit(m, places, disk_count, c) : -1;
            if (unit >= 0)
                return (hf_machine_place){c, unit};
        }
    return (hf_machine_place){-1, 0};
}

/* ---- the rest ------------------------------------------------------------------------------------------------------- */
static void fill_in(hf_machine *m) {
    if (m->cpus < 1)
        m->cpus = 1;
    if (m->memory_mb < 1)
        m->memory_mb = 1024;
    if (m->cores_per_socket < 0 || (m->cores_per_socket > 0 && m->cpus % m->cores_per_socket != 0))
        m->cores_per_socket = 0;
    if (!m->os_type[0])
        snprintf(m->os_type, sizeof m->os_type, "otherGuest64");
    const hf_guest *guest = hf_guest_find(m->os_type);
    if (!m->os_name[0] && guest)
        snprintf(m->os_name, sizeof m->os_name, "%s", guest->name);
    if (m->nic_count > HF_MACHINE_NICS_MAX)
        m->nic_count = HF_MACHINE_NICS_MAX;
    for (uint32_t i = 0; i < m->nic_count; i++) {
        if (!m->nics[i].model[0])
            snprintf(m->nics[i].model, sizeof m->nics[i].model, "E1000");
        if (!m->nics[i].network[0])
            snprintf(m->nics[i].network, sizeof m->nics[i].network, "VM Network");
    }
}

hf_code hf_machine_complete(hf_machine *m, hf_machine_place *places, uint32_t disk_count, hf_controller_kind wanted,
                            hf_err *reterr) {
    fill_in(m);
    if (wanted != HF_CTL_NONE) {
        m->controller_count = 0;
        for (uint32_t i = 0; i < disk_count; i++)
            places[i] = (hf_machine_place){-1, 0};
    }
    mend_controllers(m);
    hf_code rc = place_disks(m, places, disk_count, wanted, reterr);
    if (rc == HF_OK && m->cdrom && hf_machine_cdrom_place(m, places, disk_count).controller < 0 &&
        add_controller(m, HF_CTL_IDE) < 0 && add_controller(m, HF_CTL_SATA) < 0)
        m->cdrom = false;
    m->hardware_version = hf_machine_hardware(m);
    return rc;
}

uint32_t hf_machine_hardware(const hf_machine *m) {
    uint32_t needed = m->hardware_version > 0 ? m->hardware_version : 10;
#define HF_NEEDS(version, condition) needed = (condition) && needed < (version) ? (version) : needed
    for (uint32_t i = 0; i < m->controller_count; i++) {
        HF_NEEDS(10, m->controllers[i].kind == HF_CTL_SATA);
        HF_NEEDS(13, m->controllers[i].kind == HF_CTL_NVME);
    }
    HF_NEEDS(8, m->firmware == HF_FIRMWARE_EFI);
    HF_NEEDS(13, m->secure_boot);
    HF_NEEDS(11, m->cpus > 64 || m->memory_mb > 1 << 20);
    HF_NEEDS(18, m->cpus > 128 || m->memory_mb > 6 << 20);
#undef HF_NEEDS
    return needed;
}
