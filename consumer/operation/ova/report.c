/* What is known of an appliance as JSON. */
#include "consumer/operation/ova/ova.h"
#include "schemas/base/mem.h"

static const char *controller_name(hf_controller_kind kind) {
    static const char *const names[] = {"", "ide", "sata", "lsilogic", "lsisas1068", "buslogic", "pvscsi", "nvme"};
    return names[kind];
}

static const char *firmware_name(hf_firmware firmware) {
    static const char *const names[] = {"unknown", "bios", "efi"};
    return names[firmware];
}

static json_t *text(const char *t) { /* what came from outside may be cut inside a character */
    char printable[1024];
    hf_printable(printable, sizeof printable, t, strlen(t));
    return json_string(printable);
}

static json_t *machine_json(const hf_machine *m) {
    json_t *nics = json_array(), *controllers = json_array();
    for (uint32_t i = 0; i < m->nic_count; i++)
        json_array_append_new(nics, json_pack("{s:o, s:o, s:o}", "model", text(m->nics[i].model), "network",
                                              text(m->nics[i].network), "mac", text(m->nics[i].mac)));
    for (uint32_t i = 0; i < m->controller_count; i++)
        json_array_append_new(controllers, json_pack("{s:s, s:i}", "kind", controller_name(m->controllers[i].kind),
                                                     "bus", (int)m->controllers[i].bus));
    return json_pack("{s:o, s:o, s:o, s:i, s:i, s:i, s:s, s:b, s:b, s:b, s:i, s:o, s:o}", "name", text(m->name),
                     "os_type", text(m->os_type), "os_name", text(m->os_name), "cpus", (int)m->cpus, "cores_per_socket",
                     (int)m->cores_per_socket, "memory_mb", (int)m->memory_mb, "firmware", firmware_name(m->firmware),
                     "secure_boot", m->secure_boot, "cdrom", m->cdrom, "floppy", m->floppy, "hardware_version",
                     (int)m->hardware_version, "controllers", controllers, "nics", nics);
}

static json_t *disk_json(const hf_appliance *a, uint32_t i) {
    const hf_ovf_read_disk *d = &a->ovf->disks[i];
    const hf_vmdk_summary *s = &a->summaries[i];
    json_t *disk =
        json_pack("{s:o, s:o, s:o, s:I, s:I, s:i, s:i}", "id", text(d->id), "file",
                  d->file >= 0 ? text(a->ovf->files[d->file].href) : json_null(), "format", text(d->format),
                  "capacity_bytes", (json_int_t)d->capacity_bytes, "populated_bytes", (json_int_t)d->populated_bytes,
                  "controller", (int)d->place.controller, "unit", (int)d->place.unit);
    if (s->stream_bytes > 0)
        json_object_set_new(disk, "vmdk",
                            json_pack("{s:I, s:I, s:I, s:i, s:o}", "capacity_bytes", (json_int_t)s->capacity_bytes,
                                      "grains", (json_int_t)s->grains, "populated_bytes",
                                      (json_int_t)s->populated_bytes, "version", (int)s->version, "create_type",
                                      text(s->create_type)));
    return disk;
}

static json_t *member_json(const hf_appliance *a, const hf_member *m) {
    json_t *member = json_pack("{s:o, s:s, s:I, s:I, s:b}", "name", text(m->name), "role",
                               m->refused ? "refused" : hf_member_role_name(m->role), "size_bytes",
                               (json_int_t)m->size_bytes, "offset", (json_int_t)m->base, "refused", m->refused);
    if (m->line >= 0) {
        const hf_manifest_line *line = &a->manifest->lines[m->line];
        json_object_set_new(member, "digest",
                            json_pack("{s:s, s:s}", "kind", hf_digest_label(line->kind), "hex", line->hex));
    }
    if (m->hashed && m->line >= 0)
        json_object_set_new(member, "verified", json_boolean(m->verified));
    if (m->sha256[0])
        json_object_set_new(member, "sha256", json_string(m->sha256));
    return member;
}

static json_t *finding_json(const hf_finding *f) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", hf_finding_name(f->id), "severity",
                     hf_severity_name(hf_finding_severity(f->id)), "subject", f->subject, "detail", f->detail,
                     "meaning", hf_finding_sentence(f->id));
}

const char *hf_ova_verdict(const hf_findings *f) {
    return f->by_severity[HF_SEVERITY_ERROR] ? "errors" : f->by_severity[HF_SEVERITY_WARNING] ? "warnings" : "sound";
}

static void add_findings(json_t *report, const hf_findings *f, uint32_t limit) {
    json_t *list = json_array();
    uint32_t shown = 0;
    for (int severity = HF_SEVERITY_ERROR; severity >= HF_SEVERITY_INFO; severity--) /* the worst first */
        for (uint32_t i = 0; i < f->count && shown < limit; i++)
            if (hf_finding_severity(f->items[i].id) == (hf_severity)severity) {
                json_array_append_new(list, finding_json(&f->items[i]));
                shown++;
            }
    json_object_set_new(report, "errors", json_integer(f->by_severity[HF_SEVERITY_ERROR]));
    json_object_set_new(report, "warnings", json_integer(f->by_severity[HF_SEVERITY_WARNING]));
    json_object_set_new(report, "infos", json_integer(f->by_severity[HF_SEVERITY_INFO]));
    json_object_set_new(report, "findings", list);
    json_object_set_new(report, "findings_left_out", json_integer(f->count - shown + f->dropped));
}

static void add_contents(json_t *report, const hf_appliance *a, uint32_t limit) {
    json_t *members = json_array(), *disks = json_array();
    for (uint32_t i = 0; i < a->member_count && i < limit; i++)
        json_array_append_new(members, member_json(a, &a->members[i]));
    for (uint32_t i = 0; a->ovf && i < a->ovf->disk_count; i++)
        json_array_append_new(disks, disk_json(a, i));
    json_object_set_new(report, "ovf_version", a->ovf ? text(a->ovf->version) : json_null());
    json_object_set_new(report, "machine", a->ovf ? machine_json(&a->ovf->machine) : json_null());
    json_object_set_new(report, "disks", disks);
    json_object_set_new(report, "manifest",
                        a->manifest
                            ? json_pack("{s:o, s:s, s:i}", "file", text(a->members[a->manifest_at].name), "kind",
                                        hf_digest_label(a->manifest->kind), "lines", (int)a->manifest->count)
                            : json_null());
    json_object_set_new(report, "members", members);
    json_object_set_new(report, "members_left_out",
                        json_integer(a->member_count > limit ? a->member_count - limit : 0));
}

json_t *hf_ova_report(const hf_ova_work *w, uint32_t limit) {
    const hf_appliance *a = w->appliance;
    json_t *report = json_pack(
        "{s:o, s:s, s:I, s:s}", "appliance", text(w->path), "kind", a->archive ? "ova" : "directory", "size_bytes",
        (json_int_t)(a->archive ? a->id.size_bytes : hf_appliance_bytes(a)), "verdict", hf_ova_verdict(&w->findings));
    if (!report)
        return NULL;
    add_findings(report, &w->findings, limit);
    add_contents(report, a, limit);
    if (w->outputs)
        json_object_set(report, "outputs", w->outputs);
    return report;
}
