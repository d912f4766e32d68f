#include "consumer/operation/ova/text.h"

#include <inttypes.h>

typedef struct amount {
    char text[24];
} amount;

static amount bytes(int64_t n) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    amount a;
    double value = (double)n;
    size_t unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    if (n < 0)
        snprintf(a.text, sizeof a.text, "unknown");
    else
        snprintf(a.text, sizeof a.text, unit == 0 || value == (double)(int64_t)value ? "%.0f %s" : "%.1f %s", value,
                 units[unit]);
    return a;
}

void hf_ova_print_findings(FILE *out, const hf_ova_work *w) {
    for (int severity = HF_SEVERITY_ERROR; severity >= HF_SEVERITY_INFO; severity--)
        for (uint32_t i = 0; i < w->findings.count; i++) {
            const hf_finding *f = &w->findings.items[i];
            if (hf_finding_severity(f->id) == (hf_severity)severity)
                fprintf(out, "%-8s%-20s%s%s%s\n        %s\n", hf_severity_name((hf_severity)severity),
                        hf_finding_name(f->id), f->subject, *f->subject ? ": " : "", f->detail,
                        hf_finding_sentence(f->id));
        }
    if (w->findings.dropped)
        fprintf(out, "… and %u more\n", w->findings.dropped);
}

void hf_ova_print_verdict(FILE *out, const hf_ova_work *w) {
    const uint32_t *n = w->findings.by_severity;
    const hf_appliance *a = w->appliance;
    int64_t size = a->archive ? a->id.size_bytes : hf_appliance_bytes(a);
    fprintf(out, "%s: %s (%u errors, %u warnings, %u notes; %u members, %s)\n", w->path, hf_ova_verdict(&w->findings),
            n[HF_SEVERITY_ERROR], n[HF_SEVERITY_WARNING], n[HF_SEVERITY_INFO], a->member_count, bytes(size).text);
}

/* ---- info --------------------------------------------------------------------------------------------------- */
static void line(FILE *out, const char *label, const char *text) {
    if (*text) {
        char printable[512];
        hf_printable(printable, sizeof printable, text, strlen(text));
        fprintf(out, "%-16s%s\n", label, printable);
    }
}

static void number(FILE *out, const char *label, int64_t n, const char *unit) {
    if (n > 0)
        fprintf(out, "%-16s%" PRId64 "%s\n", label, n, unit);
}

static void print_machine(FILE *out, const hf_machine *m) {
    static const char *const firmware[] = {"", "BIOS", "UEFI"};
    line(out, "name", m->name);
    line(out, "system", m->os_name);
    line(out, "guest id", m->os_type);
    number(out, "CPUs", m->cpus, "");
    number(out, "memory", m->memory_mb, " MiB");
    line(out, "firmware", firmware[m->firmware]);
    line(out, "secure boot", m->secure_boot ? "yes" : "");
    number(out, "hardware", m->hardware_version, " (vmx)");
    line(out, "has", m->cdrom && m->floppy ? "CD-ROM, floppy" : m->cdrom ? "CD-ROM" : m->floppy ? "floppy" : "");
    for (uint32_t i = 0; i < m->nic_count; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s%s%s%s%s", m->nics[i].model, *m->nics[i].network ? " on " : "",
                 m->nics[i].network, *m->nics[i].mac ? ", " : "", m->nics[i].mac);
        line(out, "NIC", text);
    }
}

static void print_disk(FILE *out, const hf_appliance *a, const hf_ovf_read_disk *d) {
    char text[512];
    snprintf(text, sizeof text, "%s, %s", d->file >= 0 ? a->ovf->files[d->file].href : "empty",
             bytes(d->capacity_bytes).text);
    size_t n = strlen(text);
    if (d->populated_bytes >= 0)
        snprintf(text + n, sizeof text - n, " (%s used)", bytes(d->populated_bytes).text);
    line(out, "disk", text);
}

void hf_ova_print_info(FILE *out, const hf_ova_work *w) {
    const hf_appliance *a = w->appliance;
    line(out, "appliance", w->path);
    if (a->ovf) {
        line(out, "OVF", a->ovf->version);
        print_machine(out, &a->ovf->machine);
        for (uint32_t i = 0; i < a->ovf->disk_count; i++)
            print_disk(out, a, &a->ovf->disks[i]);
    }
    line(out, "manifest", a->manifest ? hf_digest_label(a->manifest->kind) : "none");
    if (a->cert_at >= 0)
        line(out, "certificate", "there, not verified");
    if (w->findings.count)
        fprintf(out, "%-16s%s; `ova validate` lists what is odd and reads the disks\n", "first look",
                hf_ova_verdict(&w->findings));
}

/* ---- ls ------------------------------------------------------------------------------------------------------- */
void hf_ova_print_members(FILE *out, const hf_ova_work *w) {
    const hf_appliance *a = w->appliance;
    fprintf(out, "%15s %15s  %-9s %-32s %s\n", "SIZE", "OFFSET", "ROLE", "NAME", "DIGEST");
    for (uint32_t i = 0; i < a->member_count; i++) {
        const hf_member *m = &a->members[i];
        char name[HF_MEMBER_NAME_MAX + 1];
        hf_printable(name, sizeof name, m->name, strlen(m->name));
        const hf_manifest_line *l = m->line >= 0 ? &a->manifest->lines[m->line] : NULL;
        fprintf(out, "%15" PRId64 " %15" PRId64 "  %-9s %-32s %s%s%s\n", m->size_bytes, m->base,
                m->refused ? "refused" : hf_member_role_name(m->role), name, l ? hf_digest_label(l->kind) : "-",
                l ? ":" : "", l ? l->hex : "");
    }
}

void hf_ova_print_artifacts(FILE *out, hf_list artifacts) {
    for (uint32_t i = 0; i < artifacts.count; i++) {
        const hf_artifact *a = HF_LIST_AT(artifacts, hf_artifact, i);
        fprintf(out, "%.*s%s%.*s\n", HF_STR_ARG(a->sha256), a->sha256.len ? "  " : "", HF_STR_ARG(a->path));
    }
}
