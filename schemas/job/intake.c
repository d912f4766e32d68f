/* Intake's order of work, what it fills in, and the proposal it makes. */
#include "schemas/job/intake.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "schemas/job/intake_parts.h"

void hf_intake_add(hf_intake_errors *list, hf_arena *arena, const char *format, ...) {
    char text[HF_MAX_TEXT / 2];
    va_list args;
    if (list->count++ >= HF_MAX_ERRORS)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hf_str kept = hf_arena_str(arena, hf_str_of(text));
    list->text[list->count - 1] = kept.p ? kept : HF_STR_NONE;
}

/* The second blank in front: no default, the result has the format of the source. */
#define GUEST_FORMATS "  qcow2 raw vmdk vmdk-sparse vdi vhd vhdx ova ovf "

static const hf_intake_operation operations[] = {
    {"export", true, true, " ova ovf vmdk vmdk-sparse qcow2 raw vdi vhd vhdx ", false},
    {"convert", true, true, " qcow2 raw vmdk vmdk-sparse vdi vhd vhdx ova ovf ", false},
    {"inspect", true, false, NULL, false},
    {"ova-create", true, true, " ova ", false},
    {"ova-extract", true, true, " vmdk raw qcow2 vmdk-sparse vdi vhd vhdx ", false},
    {"ova-validate", true, false, NULL, false},
    {"offline_fix", true, false, GUEST_FORMATS, true},
    {"boot_repair", true, false, GUEST_FORMATS, true},
    {"selinux_prep", true, false, GUEST_FORMATS, true},
    {"lvm_repair", true, false, GUEST_FORMATS, true},
    {"fs_repair", true, false, GUEST_FORMATS, true},
    {"initramfs_regenerate", true, false, GUEST_FORMATS, true},
    {"discover", false, false, NULL, false},
    {"sweep", false, false, NULL, false},
};

const hf_intake_operation *hf_intake_operation_find(hf_str name) {
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (hf_str_eqz(name, operations[i].name))
            return &operations[i];
    return NULL;
}

/* ---- what was left out ----------------------------------------------------------------------------- */
static bool ends_with_ci(hf_str s, hf_str with) {
    return s.len >= with.len && strncasecmp(s.p + s.len - with.len, with.p, with.len) == 0;
}

hf_str hf_intake_provider_of(hf_str vm_path) {
    static const hf_str images[] = {HF_STR_INIT(".raw"),  HF_STR_INIT(".img"), HF_STR_INIT(".qcow2"),
                                    HF_STR_INIT(".vmdk"), HF_STR_INIT(".vdi"), HF_STR_INIT(".vhd"),
                                    HF_STR_INIT(".vhdx"), HF_STR_INIT(".ova"), HF_STR_INIT(".ovf")};
    if (hf_str_starts(vm_path, HF_STR("file://")))
        return HF_STR("local");
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        if (ends_with_ci(vm_path, images[i]))
            return HF_STR("local");
    return HF_STR("vsphere");
}

/* "/images/web-01.qcow2" -> "web-01"; an inventory path keeps its last part whole. */
static hf_str name_of_path(hf_str path, bool image) {
    while (path.len && path.p[path.len - 1] == '/')
        path.len--;
    if (path.len == 0)
        return HF_STR_NONE;
    uint32_t from = path.len;
    while (from && path.p[from - 1] != '/')
        from--;
    hf_str name = {path.p + from, path.len - from};
    for (uint32_t i = name.len; image && i > 1; i--)
        if (name.p[i - 1] == '.') {
            name.len = i - 1;
            break;
        }
    return name.len <= HF_MAX_TEXT ? name : HF_STR_NONE;
}

static hf_str lower(hf_str s, hf_arena *arena) {
    hf_str copy = s.len && s.len <= 64 ? hf_arena_str(arena, s) : HF_STR_NONE;
    if (!copy.p)
        return s;
    char *p = (char *)(uintptr_t)copy.p; /* ours, made just now */
    for (uint32_t i = 0; i < copy.len; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return copy;
}

static void fill_format(hf_spec *spec, hf_arena *arena) {
    const hf_intake_operation *operation = hf_intake_operation_find(spec->operation);
    if (!operation || !operation->formats)
        return;
    if (spec->format.len == 0) /* the first of them */
        spec->format = (hf_str){operation->formats + 1, (uint32_t)strcspn(operation->formats + 1, " ")};
    spec->format = lower(spec->format, arena);
    if (spec->options.create_ova && hf_str_eqz(spec->format, "ovf"))
        spec->format = HF_STR("ova");
}

void hf_intake_fill(hf_spec *spec, hf_arena *arena) {
    if (spec->operation.len == 0)
        spec->operation = HF_STR("export");
    if (spec->vm_path.len == 0 && spec->disks.count)
        spec->vm_path = HF_LIST_AT(spec->disks, hf_disk, 0)->path;
    if (spec->provider.len == 0 && (spec->disks.count || hf_str_starts(spec->operation, HF_STR("ova-"))))
        spec->provider = HF_STR("local");
    if (spec->provider.len == 0 && spec->endpoint.len && spec->vm_path.len == 0)
        spec->provider = HF_STR("vsphere"); /* only it has endpoints */
    if (spec->provider.len == 0 && spec->vm_path.len)
        spec->provider = hf_intake_provider_of(spec->vm_path);
    if (spec->name.len == 0)
        spec->name = name_of_path(spec->vm_path, hf_str_eqz(spec->provider, "local"));
    if (spec->name.len == 0)
        spec->name = spec->operation;
    fill_format(spec, arena);
}

void hf_intake_check(hf_spec *spec, hf_arena *arena, hf_intake_errors *errors, hf_intake_errors *warnings) {
    hf_intake_fill(spec, arena);
    hf_intake_rules(spec, arena, errors, warnings);
    hf_intake_texts(spec, arena, errors);
}

/* ---- the proposal ------------------------------------------------------------------------------------ */
static bool all_kept(const hf_intake_errors *list) {
    for (uint32_t i = 0; i < list->count && i < HF_MAX_ERRORS; i++)
        if (!list->text[i].p)
            return false;
    return true;
}

static hf_list as_list(const hf_intake_errors *list) {
    return (hf_list){list->text, list->count < HF_MAX_ERRORS ? list->count : HF_MAX_ERRORS};
}

static hf_str summary(const hf_intake_errors *errors, hf_arena *arena) {
    if (errors->count == 1)
        return errors->text[0];
    return hf_str_of(hf_arena_printf(arena, "%.*s (and %u more)", HF_STR_ARG(errors->text[0]), errors->count - 1));
}

typedef struct proposal { /* all that one intake needs, in one piece of the arena */
    hf_intake_errors errors, warnings;
    hf_ev_created created;
    hf_ev_validated validated;
    hf_ev_queued queued;
    hf_ev_rejected rejected;
    hf_variant transitions[3];
} proposal;

static uint32_t accept(proposal *p) {
    p->validated.warnings = as_list(&p->warnings);
    p->transitions[1] = (hf_variant){HF_EV_VALIDATED, &p->validated};
    p->transitions[2] = (hf_variant){HF_EV_QUEUED, &p->queued};
    return 3;
}

static uint32_t reject(proposal *p, hf_arena *arena) {
    hf_str message = summary(&p->errors, arena);
    p->rejected = (hf_ev_rejected){as_list(&p->errors),
                                   {.code = HF_STR("invalid"), .message = message, .phase = HF_STR("validate")}};
    p->transitions[1] = (hf_variant){HF_EV_REJECTED, &p->rejected};
    return message.p ? 2 : 0;
}

hf_code hf_intake(hf_submission *submission, hf_str job_id, hf_str submission_at, hf_str by, int64_t now_ms,
                  hf_arena *arena, hf_record *ret_record, hf_intake_errors *ret_errors, hf_err *reterr) {
    if (!hf_id_valid(job_id))
        return hf_fail(reterr, HF_E_INVALID,
                       "job_id: must be 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ - and not begin with . or -",
                       HF_ID_MAX_BYTES);
    proposal *p = hf_arena_alloc(arena, sizeof *p);
    if (!p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "intake of job %.*s", HF_STR_ARG(job_id));
    hf_intake_check(&submission->spec, arena, &p->errors, &p->warnings);
    p->created = (hf_ev_created){submission->spec, submission_at};
    p->transitions[0] = (hf_variant){HF_EV_CREATED, &p->created};
    bool kept = all_kept(&p->errors) && all_kept(&p->warnings);
    uint32_t count = p->errors.count == 0 ? accept(p) : kept ? reject(p, arena) : 0;
    if (!kept || count == 0)
        return hf_fail(reterr, HF_E_NO_MEMORY, "intake of job %.*s", HF_STR_ARG(job_id));
    if (ret_errors)
        *ret_errors = p->errors;
    *ret_record = (hf_record){.job_id = job_id, .at = now_ms, .by = by, .transitions = {p->transitions, count}};
    return HF_OK;
}
