/* What a job must be to make sense: each rule names the field, the limit and the remedy. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "schemas/job/intake_parts.h"

typedef struct judge {
    const hf_spec *spec;
    hf_arena *arena;
    hf_intake_errors *errors, *warnings;
} judge;

#define SAY(j, ...) hf_intake_add((j)->errors, (j)->arena, __VA_ARGS__)

/* A piece of the sender's text that may stand in an error: short and printable. */
typedef struct quoted {
    char text[48];
} quoted;
static quoted quote(hf_str s) {
    quoted q;
    uint32_t n = s.len < sizeof q.text - 1 ? s.len : sizeof q.text - 1;
    for (uint32_t i = 0; i < n; i++)
        q.text[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
    q.text[n] = 0;
    return q;
}

/* Is the word one of " a b c "? */
static bool one_of(hf_str word, const char *words) {
    char needle[64];
    if (word.len == 0 || word.len > sizeof needle - 3 || memchr(word.p, ' ', word.len) || memchr(word.p, 0, word.len))
        return false;
    snprintf(needle, sizeof needle, " %.*s ", HF_STR_ARG(word));
    return strcasestr(words, needle) != NULL;
}

static void check_word(judge *j, const char *field, hf_str word, const char *words) {
    if (word.len && !one_of(word, words))
        SAY(j, "%s: \"%s\" is not one of:%.*s", field, quote(word).text, (int)strlen(words) - 1, words);
}

static void check_range(judge *j, const char *field, int64_t value, int64_t min, int64_t max) {
    if (value < min || value > max)
        SAY(j, "%s: %lld is out of range; give %lld to %lld", field, (long long)value, (long long)min, (long long)max);
}

static void check_amount(judge *j, const char *field, double value) {
    if (!isfinite(value) || value < 0 || value > 1e6)
        SAY(j, "%s: must be 0 to 1000000", field);
}

static void check_operation(judge *j) {
    hf_str s = j->spec->operation;
    bool good = s.len <= 64 && s.p[0] >= 'a' && s.p[0] <= 'z';
    for (uint32_t i = 0; good && i < s.len; i++)
        good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_' || s.p[i] == '-' ||
               s.p[i] == '.';
    if (!good)
        SAY(j,
            "operation: \"%s\" is no name of one; give 1 to 64 of a-z 0-9 _ - . that begin with a letter, like export",
            quote(s).text);
}

static void check_name_like(judge *j, const char *field, hf_str s) {
    if (s.len && !hf_id_valid(s))
        SAY(j, "%s: \"%s\" is no name; give letters, digits and . _ : @ + = ~ - only", field, quote(s).text);
}

/* Absolute, as a path or as a file:// URL of this host. */
static bool is_absolute(hf_str path) {
    if (hf_str_starts(path, HF_STR("file://"))) {
        path.p += 7;
        path.len -= 7;
    }
    return path.len && path.p[0] == '/';
}

static void check_disks(judge *j) {
    hf_list disks = j->spec->disks;
    if (disks.count && !hf_str_eqz(j->spec->provider, "local"))
        SAY(j, "disks: only for provider local; leave it out, or leave the provider out");
    for (uint32_t i = 0; i < disks.count && i < HF_MAX_DISKS; i++) {
        const hf_disk *disk = HF_LIST_AT(disks, hf_disk, i);
        char field[32];
        if (!is_absolute(disk->path))
            SAY(j, "disks[%u].path: must be an absolute path or a file:// URL of the worker's host", i);
        if (disk->size_bytes < 0)
            SAY(j, "disks[%u].size_bytes: must not be negative", i);
        snprintf(field, sizeof field, "disks[%u].format", i);
        check_word(j, field, disk->format, " qcow2 vmdk raw vdi vhd vhdx ");
    }
}

static void check_source(judge *j, const hf_intake_operation *operation) {
    const hf_spec *spec = j->spec;
    if (operation && operation->needs_source && spec->vm_path.len == 0 && spec->disks.count == 0)
        SAY(j, "vm_path: required for operation %s; give an inventory path, the path of a disk image, or disks",
            operation->name);
    if (spec->vm_path.len && spec->disks.count == 0 && hf_str_eqz(spec->provider, "local") &&
        !is_absolute(spec->vm_path))
        SAY(j, "vm_path: must be an absolute path or a file:// URL for provider local");
    check_disks(j);
}

static void check_result(judge *j, const hf_intake_operation *operation) {
    const hf_spec *spec = j->spec;
    if (!operation)
        return;
    if (operation->needs_output && spec->output_dir.len == 0)
        SAY(j, "output_dir: required for operation %s; give an absolute directory on the worker's host",
            operation->name);
    if (spec->output_dir.len && !is_absolute(spec->output_dir))
        SAY(j, "output_dir: must be an absolute path on the worker's host");
    if (operation->formats)
        check_word(j, "format", spec->format, operation->formats);
    if (operation->formats && spec->options.create_ova && !hf_str_eqz(spec->format, "ova"))
        hf_intake_add(j->warnings, j->arena, "options.create_ova: not acted on, since format says otherwise");
}

/* The repair family writes a new image, unless its parameters say that it works in place or only reports. */
static void check_guest(judge *j, const hf_intake_operation *operation) {
    const hf_spec *spec = j->spec;
    if (!operation || !operation->guest)
        return;
    static const char *const flags[] = {"dry_run", "in_place"};
    bool set[2] = {false, false};
    json_t *parameters = spec->parameters.len ? json_loadb(spec->parameters.p, spec->parameters.len, 0, NULL) : NULL;
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(parameters, flags[i]);
        set[i] = json_is_true(value);
        if (value && !json_is_boolean(value))
            SAY(j, "parameters.%s: must be true or false", flags[i]);
    }
    json_decref(parameters);
    if (!set[0] && !set[1] && spec->output_dir.len == 0)
        SAY(j,
            "output_dir: required for operation %s, which writes a new image; give an absolute directory on the worker's "
            "host, or \"in_place\": true or \"dry_run\": true in parameters",
            operation->name);
    if (set[1] && spec->output_dir.len)
        SAY(j, "output_dir: in_place changes the image itself; leave out one of them");
    if (spec->provider.len && !hf_str_eqz(spec->provider, "local"))
        SAY(j, "provider: %s works on disk images; export the VM first, then give the path of its image",
            operation->name);
}

static void check_options(judge *j) {
    const hf_options *o = &j->spec->options;
    check_range(j, "options.parallel_downloads", o->parallel_downloads, 0, 64);
    check_range(j, "options.compress_level", o->compress_level, 0, 12);
    check_word(j, "options.codec", o->codec, " fast balanced small ");
    check_word(j, "options.manifest", o->manifest, " sha256 sha1 sha512 ");
    if (o->bandwidth_limit < 0)
        SAY(j, "options.bandwidth_limit: must be bytes a second, or 0 for none");
    for (uint32_t i = 0; i < o->unsupported.count && i < HF_MAX_TAGS; i++)
        hf_intake_add(j->warnings, j->arena, "%.*s: not supported, nothing acts on it",
                      HF_STR_ARG(*HF_LIST_AT(o->unsupported, hf_str, i)));
}

static void check_policy(judge *j) {
    const hf_exec_policy *p = &j->spec->policy;
    check_range(j, "execution_policy.retry_count", p->retry_count, 0, HF_RETRIES_MAX);
    check_range(j, "execution_policy.timeout_seconds", p->timeout_seconds, HF_TIMEOUT_MIN_S, HF_TIMEOUT_MAX_S);
    check_range(j, "execution_policy.priority", p->priority, HF_PRIORITY_HIGHEST, HF_PRIORITY_LOWEST);
    check_amount(j, "capability_requirements.min_memory_gb", j->spec->needs.min_memory_gb);
    check_amount(j, "capability_requirements.min_disk_space_gb", j->spec->needs.min_disk_space_gb);
}

void hf_intake_rules(const hf_spec *spec, hf_arena *arena, hf_intake_errors *errors, hf_intake_errors *warnings) {
    judge j = {spec, arena, errors, warnings};
    const hf_intake_operation *operation = hf_intake_operation_find(spec->operation);
    check_operation(&j);
    check_name_like(&j, "provider", spec->provider);
    check_name_like(&j, "endpoint", spec->endpoint);
    check_source(&j, operation);
    check_result(&j, operation);
    check_guest(&j, operation);
    check_options(&j);
    check_policy(&j);
}
