/* What every text of a specification must be made of, walked by the field tables so that none is forgotten: UTF-8
 * without control characters, within its bound, and no secret. */
#include <jansson.h>
#include <stdio.h>

#include "schemas/job/intake_parts.h"
#include "schemas/job/secret.h"

typedef struct walk {
    hf_arena *arena;
    hf_intake_errors *errors;
    size_t total_bytes;
} walk;

enum { PATH_BYTES = 128 };

/* Length of the UTF-8 sequence at p, 0 where there is none (RFC 3629: no overlong forms, no surrogates). */
static uint32_t sequence_len(const unsigned char *p, uint32_t left) {
    uint32_t len = p[0] < 0x80                   ? 1
                   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                   : (p[0] & 0xf0) == 0xe0       ? 3
                   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                 : 0;
    if (len == 0 || len > left)
        return 0;
    for (uint32_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return len > 1 && (overlong || outside) ? 0 : len;
}

static const char *fault_of_text(hf_str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    for (uint32_t i = 0; i < s.len;) {
        uint32_t len = sequence_len(p + i, s.len - i);
        if (len == 0)
            return "is not UTF-8; send text in UTF-8";
        if (p[i] < 0x20 || p[i] == 0x7f || (len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0))
            return "has a control character; remove it";
        i += len;
    }
    return hf_secret_in_text(s) ? "looks like a secret; leave it out and name an endpoint instead" : NULL;
}

static void refuse(walk *w, const char *path, hf_str *text, const char *fault) {
    hf_intake_add(w->errors, w->arena, "%s: %s", path, fault);
    *text = HF_STR_NONE;
}

static bool over_bound(walk *w, const char *path, hf_str *text, uint32_t max) {
    if (text->len <= max)
        return false;
    hf_intake_add(w->errors, w->arena, "%s: has %u bytes, the limit is %u; shorten it", path, text->len, max);
    *text = HF_STR_NONE;
    return true;
}

static void check_text(walk *w, const char *path, hf_str *text, uint32_t max) {
    const char *fault = over_bound(w, path, text, max) ? NULL : fault_of_text(*text);
    if (fault)
        refuse(w, path, text, fault);
    w->total_bytes += text->len;
}

static void check_raw(walk *w, const char *path, hf_str *text, uint32_t max) {
    char inner[HF_SECRET_PATH_BYTES];
    if (text->len == 0 || over_bound(w, path, text, max))
        return;
    json_t *json = json_loadb(text->p, text->len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        refuse(w, path, text, "must be a JSON object");
    } else if (hf_secret_in_json(json, inner)) {
        hf_intake_add(w->errors, w->arena, "%s%s%s: looks like a secret; leave it out and name an endpoint instead",
                      path, inner[0] ? "." : "", inner);
        *text = HF_STR_NONE;
    }
    json_decref(json);
    w->total_bytes += text->len;
}

static void check_record(walk *w, const hf_type *type, const char *prefix, void *record);

/* Elements are borrowed and may be shared: each is judged as a copy, and one bad element empties the list. */
static void check_list(walk *w, const hf_field *f, const char *path, hf_list *list) {
    uint32_t before = w->errors->count, count = list->count;
    if (count > f->max)
        hf_intake_add(w->errors, w->arena, "%s: has %u elements, the limit is %u; remove some", path, count, f->max);
    for (uint32_t i = 0; i < count && i < f->max; i++) {
        char here[PATH_BYTES];
        snprintf(here, sizeof here, "%.100s[%u]", path, i);
        if (f->sub == &HF_TYPE_DISK) {
            hf_disk disk = *HF_LIST_AT(*list, hf_disk, i);
            check_record(w, f->sub, here, &disk);
        } else {
            hf_str text = *HF_LIST_AT(*list, hf_str, i);
            check_text(w, here, &text, HF_MAX_TEXT);
        }
    }
    if (w->errors->count != before)
        *list = (hf_list){0};
}

/* Most of what a specification may have is not there: its path is not spelt out for nothing. */
static bool is_nothing(const hf_field *f, const void *at) {
    if (f->kind == HF_K_STR || f->kind == HF_K_RAW)
        return ((const hf_str *)at)->len == 0;
    return f->kind == HF_K_LIST ? ((const hf_list *)at)->count == 0 : f->kind != HF_K_RECORD;
}

static void check_record(walk *w, const hf_type *type, const char *prefix, void *record) {
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        void *at = (char *)record + f->offset;
        char path[PATH_BYTES];
        if (is_nothing(f, at))
            continue;
        snprintf(path, sizeof path, "%.60s%s%.60s", prefix, *prefix ? "." : "", f->name);
        switch (f->kind) {
        case HF_K_STR: check_text(w, path, at, f->max); break;
        case HF_K_RAW: check_raw(w, path, at, f->max); break;
        case HF_K_RECORD: check_record(w, f->sub, path, at); break;
        case HF_K_LIST: check_list(w, f, path, at); break;
        case HF_K_OPTION:
        case HF_K_UNIONS: /* a specification has none */
        case HF_K_BOOL:
        case HF_K_I32:
        case HF_K_I64:
        case HF_K_TIME:
        case HF_K_F64:
        case HF_K_ENUM: break;
        }
    }
}

void hf_intake_texts(hf_spec *spec, hf_arena *arena, hf_intake_errors *errors) {
    walk w = {arena, errors, 0};
    check_record(&w, &HF_TYPE_SPEC, "", spec);
    if (w.total_bytes <= HF_MAX_SUBMISSION)
        return;
    hf_intake_add(errors, arena,
                  "the job: has %zu bytes of text, the limit is %d; shorten parameters, metadata or disks",
                  w.total_bytes, HF_MAX_SUBMISSION);
    spec->parameters = spec->metadata = HF_STR_NONE;
    spec->disks = (hf_list){0};
}

void hf_intake_texts_of(const hf_type *type, void *record, hf_arena *arena, hf_intake_errors *errors) {
    walk w = {arena, errors, 0};
    check_record(&w, type, "", record);
    if (w.total_bytes > HF_MAX_SUBMISSION)
        hf_intake_add(errors, arena,
                      "%s: has %zu bytes of text, the limit is %d; shorten parameters, metadata or disks", type->name,
                      w.total_bytes, HF_MAX_SUBMISSION);
}
