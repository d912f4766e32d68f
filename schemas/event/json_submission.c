#include "schemas/event/json_submission.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/event/json.h"
#include "schemas/job/secret.h"

typedef struct reader {
    const json_t *json;
    hf_arena *arena;
    hf_submission *submission;
    hf_str unsupported[HF_MAX_TAGS];
    uint32_t unsupported_count;
    hf_err *err;
} reader;

typedef struct member member;
typedef hf_code (*member_reader)(reader *r, const member *m, const json_t *value);
struct member {
    const char *name;
    member_reader read;
    const char *target; /* where in JobSubmission; for read_field */
};

static bool is_absent(const json_t *value) {
    return !value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

/* ---- what nothing acts on -------------------------------------------------------------------------- */
static hf_code note_unsupported(reader *r, const char *group, const char *name) {
    if (r->unsupported_count == HF_MAX_TAGS)
        return hf_fail(r->err, HF_E_LIMIT,
                       "more than %d members that are not known, the last of them %s%s%.64s: remove them", HF_MAX_TAGS,
                       group, *group ? "." : "", name);
    if (strlen(name) > 128)
        return hf_fail(r->err, HF_E_LIMIT, "%s: the name of a member has %zu bytes, the limit is 128",
                       *group ? group : "the job", strlen(name));
    char *text = hf_arena_printf(r->arena, "%s%s%s", group, *group ? "." : "", name);
    if (!text)
        return hf_fail(r->err, HF_E_NO_MEMORY, "%s: no memory", name);
    r->unsupported[r->unsupported_count++] = hf_str_of(text);
    return HF_OK;
}

/* {"show_individual_progress": false} asks for nothing: only what asks for something is told. */
static hf_code read_unsupported(reader *r, const member *m, const json_t *value) {
    return is_absent(value) || json_is_false(value) ? HF_OK : note_unsupported(r, "", m->name);
}

static bool type_has(const hf_type *type, const char *name) {
    for (uint32_t i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].name, name) == 0)
            return true;
    return false;
}

/* Members of a group that its record does not have; `known` is one more that is dealt with elsewhere. */
static hf_code note_unknown_members(reader *r, const hf_type *type, const char *group, const char *known,
                                    const json_t *object) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        if (is_absent(value) || json_is_false(value) || type_has(type, name) || (known && strcmp(name, known) == 0))
            continue;
        hf_code code = note_unsupported(r, group, name);
        if (code != HF_OK)
            return code;
    }
    return HF_OK;
}

/* ---- members that are fields, under whatever name ---------------------------------------------------- */
/* The field at "spec.audit.ticket", and the struct it lies in. */
static const hf_field *resolve(const char *target, void **record) {
    const hf_type *type = &HF_TYPE_SUBMISSION;
    for (;;) {
        size_t len = strcspn(target, ".");
        const hf_field *f = NULL;
        for (uint32_t i = 0; i < type->field_count && !f; i++)
            if (strlen(type->fields[i].name) == len && memcmp(type->fields[i].name, target, len) == 0)
                f = &type->fields[i];
        if (!f || !target[len])
            return f;
        *record = (char *)*record + f->offset;
        type = f->sub;
        target += len + 1;
    }
}

static hf_code read_field(reader *r, const member *m, const json_t *value) {
    void *record = r->submission;
    const hf_field *field = resolve(m->target, &record);
    if (!field)
        return hf_fail(r->err, HF_E_INTERNAL, "the member table names %s, which is no field", m->target);
    return hf_json_to_field(field, value, m->name, r->arena, record, r->err);
}

/* The same thing under two names must be the same. */
static hf_code read_alias(reader *r, const member *m, const json_t *value) {
    void *record = r->submission;
    const hf_field *field = resolve(m->target, &record);
    if (!field)
        return hf_fail(r->err, HF_E_INTERNAL, "the member table names %s, which is no field", m->target);
    hf_str *at = (hf_str *)(void *)((char *)record + field->offset), before = *at;
    hf_code code = hf_json_to_field(field, value, m->name, r->arena, record, r->err);
    if (code == HF_OK && before.len && !hf_str_eq(before, *at))
        return hf_fail(r->err, HF_E_INVALID, "%s: differs from %s, which means the same: give one of them", m->name,
                       strrchr(m->target, '.') ? strrchr(m->target, '.') + 1 : m->target);
    return code;
}

static hf_code read_group(reader *r, const member *m, const json_t *value) {
    void *record = r->submission;
    const hf_field *field = resolve(m->target, &record);
    hf_code code = read_field(r, m, value);
    return code == HF_OK && field ? note_unknown_members(r, field->sub, m->name, NULL, value) : code;
}

static hf_code read_object_text(reader *r, const member *m, const json_t *value) {
    if (!json_is_object(value))
        return hf_fail(r->err, HF_E_INVALID, "%s: must be an object", m->name);
    return read_field(r, m, value);
}

/* ---- members that need more ---------------------------------------------------------------------------- */
static hf_code read_version(reader *r, const member *m, const json_t *value) {
    const char *text = json_string_value(value);
    if (text && (strcmp(text, "1.0") == 0 || strcmp(text, "1") == 0))
        return HF_OK;
    return hf_fail(r->err, HF_E_UNSUPPORTED, "%s: only version \"1.0\" of the worker protocol is read here", m->name);
}

/* Python's isoformat() leaves the zone out; it means UTC. */
static hf_code read_created_at(reader *r, const member *m, const json_t *value) {
    char text[64];
    int64_t at;
    if (json_is_string(value) && json_string_length(value) < sizeof text - 1) {
        snprintf(text, sizeof text, "%sZ", json_string_value(value));
        if (hf_time_parse(hf_str_of(text), &at)) {
            r->submission->submitted_at = at < 0 ? 0 : at;
            return HF_OK;
        }
    }
    return read_field(r, m, value);
}

static hf_code read_disk(reader *r, const json_t *value, const char *path, hf_disk *disk) {
    hf_type_init(&HF_TYPE_DISK, disk);
    if (json_is_string(value))
        return hf_json_to_field(&HF_TYPE_DISK.fields[0], value, path, r->arena, disk, r->err);
    if (!json_is_object(value))
        return hf_fail(r->err, HF_E_INVALID, "%s: must be a path, or an object with a path", path);
    for (uint32_t i = 0; i < HF_TYPE_DISK.field_count; i++) {
        const hf_field *f = &HF_TYPE_DISK.fields[i];
        const json_t *given = json_object_get(value, f->name);
        char name[128];
        snprintf(name, sizeof name, "%s.%s", path, f->name);
        if (is_absent(given))
            continue;
        hf_code code = hf_json_to_field(f, given, name, r->arena, disk, r->err);
        if (code != HF_OK)
            return code;
    }
    return note_unknown_members(r, &HF_TYPE_DISK, path, NULL, value);
}

static hf_code read_disks(reader *r, const member *m, const json_t *value) {
    size_t count = json_array_size(value);
    if (!json_is_array(value))
        return hf_fail(r->err, HF_E_INVALID, "%s: must be a list of paths, or of objects with a path", m->name);
    if (count > HF_MAX_DISKS)
        return hf_fail(r->err, HF_E_LIMIT, "%s: has %zu elements, the limit is %d", m->name, count, HF_MAX_DISKS);
    hf_disk *disks = count ? hf_arena_alloc(r->arena, count * sizeof *disks) : NULL;
    if (count && !disks)
        return hf_fail(r->err, HF_E_NO_MEMORY, "%s: no memory", m->name);
    for (size_t i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s[%zu]", m->name, i);
        hf_code code = read_disk(r, json_array_get(value, i), path, &disks[i]);
        if (code != HF_OK)
            return code;
    }
    r->submission->spec.disks = (hf_list){disks, (uint32_t)count};
    return HF_OK;
}

/* Worker protocol v1 has one image: the first and only disk. */
static hf_code read_image(reader *r, const member *m, const json_t *value) {
    if (r->submission->spec.disks.count)
        return hf_fail(r->err, HF_E_INVALID, "%s: given besides disks, which means the same: give one of them",
                       m->name);
    hf_disk *disk = hf_arena_alloc(r->arena, sizeof *disk);
    if (!disk)
        return hf_fail(r->err, HF_E_NO_MEMORY, "%s: no memory", m->name);
    hf_code code = read_disk(r, value, m->name, disk);
    if (code == HF_OK)
        r->submission->spec.disks = (hf_list){disk, 1};
    return code;
}

/* The older shapes carry where a VM lives and who logs in there; a job that did would spread it over a log. */
static hf_code refuse_vcenter(reader *r, const member *m, const json_t *value) {
    if (json_is_object(value) && json_object_size(value) == 0)
        return HF_OK;
    return hf_fail(
        r->err, HF_E_UNSUPPORTED,
        "%s: a job does not say how to log in; declare the server as an endpoint in the workers' configuration "
        "and name it here as \"endpoint\"",
        m->name);
}

bool hf_bytes_parse(hf_str text, int64_t *ret_bytes) {
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},
                 {"B", 1},
                 {"KB", 1000},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"TB", 1000000000000},
                 {"KiB", 1 << 10},
                 {"MiB", 1 << 20},
                 {"GiB", 1 << 30},
                 {"TiB", (int64_t)1 << 40}};
    uint32_t i = 0;
    int64_t number = 0;
    for (; i < text.len && isdigit((unsigned char)text.p[i]); i++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, text.p[i] - '0', &number))
            return false;
    if (i == 0)
        return false;
    while (i < text.len && text.p[i] == ' ')
        i++;
    hf_str unit = {text.p + i, text.len - i};
    if (hf_str_ends(unit, HF_STR("/s")))
        unit.len -= 2;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        if (hf_str_eqz(unit, units[u].name))
            return !__builtin_mul_overflow(number, units[u].bytes, ret_bytes);
    return false;
}

static hf_code read_bandwidth(reader *r, const member *m, const json_t *value) {
    hf_str text = {json_string_value(value), (uint32_t)json_string_length(value)};
    if (!json_is_string(value))
        return read_field(r, m, value);
    if (!hf_bytes_parse(text, &r->submission->spec.options.bandwidth_limit))
        return hf_fail(r->err, HF_E_INVALID, "%s: must be bytes a second, as a number or like \"50MiB\"", m->name);
    return HF_OK;
}

/* v1's artifacts.output_path is where the result goes; it has no field of its own. */
static hf_code read_artifacts(reader *r, const member *m, const json_t *value) {
    static const member output = {"artifacts.output_path", read_alias, "spec.output_dir"};
    hf_code code = read_field(r, m, value);
    const json_t *path = json_object_get(value, "output_path");
    if (code == HF_OK && !is_absent(path))
        code = read_alias(r, &output, path);
    void *record = r->submission;
    const hf_field *field = resolve(m->target, &record);
    return code == HF_OK && field ? note_unknown_members(r, field->sub, m->name, "output_path", value) : code;
}

static hf_code read_options(reader *r, const member *m, const json_t *value);

/* ---- the table ------------------------------------------------------------------------------------------ */
/* In the order they are read: groups before the shortcuts into them, names before their aliases. */
static const member members[] = {
    {"job_id", read_field, "job_id"},
    {"id", read_alias, "job_id"},
    {"version", read_version, NULL},
    {"created_at", read_created_at, "submitted_at"},
    {"submitted_at", read_created_at, "submitted_at"},
    {"name", read_field, "spec.name"},
    {"operation", read_field, "spec.operation"},
    {"provider", read_field, "spec.provider"},
    {"endpoint", read_field, "spec.endpoint"},
    {"vm_path", read_field, "spec.vm_path"},
    {"disks", read_disks, NULL},
    {"image", read_image, NULL},
    {"output_dir", read_field, "spec.output_dir"},
    {"output_path", read_alias, "spec.output_dir"},
    {"format", read_field, "spec.format"},
    {"options", read_options, "spec.options"},
    {"compress", read_field, "spec.options.compress"},
    {"bandwidth_limit", read_bandwidth, "spec.options.bandwidth_limit"},
    {"requested_actions", read_field, "spec.requested_actions"},
    {"capability_requirements", read_group, "spec.capability_requirements"},
    {"execution_policy", read_group, "spec.execution_policy"},
    {"retry_count", read_field, "spec.execution_policy.retry_count"},
    {"timeout_seconds", read_field, "spec.execution_policy.timeout_seconds"},
    {"idempotent", read_field, "spec.execution_policy.idempotent"},
    {"priority", read_field, "spec.execution_policy.priority"},
    {"artifacts", read_artifacts, "spec.artifacts"},
    {"audit", read_group, "spec.audit"},
    {"requested_by", read_field, "spec.audit.requested_by"},
    {"ticket", read_field, "spec.audit.ticket"},
    {"tags", read_field, "spec.audit.tags"},
    {"parameters", read_object_text, "spec.parameters"},
    {"metadata", read_object_text, "spec.metadata"},
    {"vcenter", refuse_vcenter, NULL},
    {"vcenter_url", refuse_vcenter, NULL},
    {"username", refuse_vcenter, NULL},
};
enum { MEMBER_COUNT = sizeof members / sizeof *members };

static const member option_members[] = {
    {"options.parallel_downloads", read_field, "spec.options.parallel_downloads"},
    {"options.remove_cdrom", read_field, "spec.options.remove_cdrom"},
    {"options.create_ova", read_field, "spec.options.create_ova"},
    {"options.compress", read_field, "spec.options.compress"},
    {"options.compress_level", read_field, "spec.options.compress_level"},
    {"options.codec", read_field, "spec.options.codec"},
    {"options.bandwidth_limit", read_bandwidth, "spec.options.bandwidth_limit"},
    {"options.manifest", read_field, "spec.options.manifest"},
};
enum { OPTION_COUNT = sizeof option_members / sizeof *option_members, GROUP_LEN = sizeof "options." - 1 };

static const member *find_member(const member *table, size_t count, size_t skip, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name + skip, name) == 0)
            return &table[i];
    return NULL;
}

static hf_code read_options(reader *r, const member *m, const json_t *value) {
    const char *name;
    json_t *option;
    if (!json_is_object(value))
        return hf_fail(r->err, HF_E_INVALID, "%s: must be an object", m->name);
    json_object_foreach((json_t *)(uintptr_t)value, name, option) {
        const member *known = find_member(option_members, OPTION_COUNT, GROUP_LEN, name);
        hf_code code = HF_OK;
        if (is_absent(option))
            continue;
        if (known)
            code = known->read(r, known, option);
        else if (!json_is_false(option))
            code = note_unsupported(r, "", name);
        if (code != HF_OK)
            return code;
    }
    return HF_OK;
}

static hf_code read_members(reader *r) {
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const json_t *value = json_object_get(r->json, members[i].name);
        hf_code code = is_absent(value) ? HF_OK : members[i].read(r, &members[i], value);
        if (code != HF_OK)
            return code;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)r->json, name, value) {
        member unknown = {name, read_unsupported, NULL};
        hf_code code = find_member(members, MEMBER_COUNT, 0, name) ? HF_OK : read_unsupported(r, &unknown, value);
        if (code != HF_OK)
            return code;
    }
    return HF_OK;
}

static hf_code keep_unsupported(reader *r) {
    size_t bytes = r->unsupported_count * sizeof(hf_str);
    hf_str *names = bytes ? hf_arena_alloc(r->arena, bytes) : NULL;
    if (bytes && !names)
        return hf_fail(r->err, HF_E_NO_MEMORY, "no memory");
    if (bytes)
        memcpy(names, r->unsupported, bytes);
    r->submission->spec.options.unsupported = (hf_list){names, r->unsupported_count};
    return HF_OK;
}

hf_code hf_submission_from_json(const json_t *json, hf_arena *arena, hf_submission *ret, hf_err *reterr) {
    char path[HF_SECRET_PATH_BYTES];
    hf_submission submission;
    if (!json_is_object(json))
        return hf_fail(reterr, HF_E_INVALID, "a submission must be a JSON object with a vm_path");
    if (hf_secret_in_json(json, path))
        return hf_fail(reterr, HF_E_SECRET,
                       "%s: looks like a secret; leave it out and name an endpoint whose credentials the workers hold",
                       path[0] ? path : "the job");
    hf_type_init(&HF_TYPE_SUBMISSION, &submission);
    reader r = {.json = json, .arena = arena, .submission = &submission, .err = reterr};
    hf_code code = read_members(&r);
    if (code == HF_OK)
        code = keep_unsupported(&r);
    if (code == HF_OK && submission.job_id.len && !hf_id_valid(submission.job_id))
        code =
            hf_fail(reterr, HF_E_INVALID,
                    "job_id: must be 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ - and not begin with . or -; leave it out to "
                    "have one made",
                    HF_ID_MAX_BYTES);
    if (code == HF_OK)
        *ret = submission;
    return code;
}
