#include "consumer/pipeline/probe_vmdk.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef struct lines {
    hf_str rest;
} lines;

static hf_str trim(hf_str s) {
    while (s.len > 0 && isspace((unsigned char)*s.p)) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && isspace((unsigned char)s.p[s.len - 1]))
        s.len--;
    return s;
}

static bool next_line(lines *l, hf_str *ret) {
    if (l->rest.len == 0)
        return false;
    const char *end = memchr(l->rest.p, '\n', l->rest.len);
    uint32_t len = end ? (uint32_t)(end - l->rest.p) : l->rest.len, used = end ? len + 1 : len;
    *ret = trim((hf_str){l->rest.p, len});
    l->rest = (hf_str){l->rest.p + used, l->rest.len - used};
    return true;
}

static bool starts_nocase(hf_str s, const char *with) {
    size_t n = strlen(with);
    return s.len >= n && strncasecmp(s.p, with, n) == 0;
}

/* The value of `key = value`, quotes taken off; false if the line is something else. */
static bool key_value(hf_str line, const char *key, hf_str *ret) {
    if (!starts_nocase(line, key))
        return false;
    uint32_t n = (uint32_t)strlen(key);
    hf_str rest = trim((hf_str){line.p + n, line.len - n});
    if (rest.len == 0 || *rest.p != '=')
        return false;
    rest = trim((hf_str){rest.p + 1, rest.len - 1});
    if (rest.len >= 2 && rest.p[0] == '"' && rest.p[rest.len - 1] == '"')
        rest = (hf_str){rest.p + 1, rest.len - 2};
    *ret = rest;
    return true;
}

bool hf_vmdk_is_descriptor(hf_str text) {
    lines l = {text};
    hf_str line, value;
    for (int i = 0; i < 16 && next_line(&l, &line); i++)
        if (starts_nocase(line, "# Disk DescriptorFile") || key_value(line, "parentCID", &value) ||
            key_value(line, "createType", &value))
            return true;
    return false;
}

static const char *create_type(hf_str value) {
    static const char *const known[] = {
        "streamOptimized", "monolithicSparse",     "monolithicFlat",     "vmfs",       "vmfsSparse",
        "vmfsThin",        "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "fullDevice", "partitionedDevice",
        "custom"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (value.len == strlen(known[i]) && strncasecmp(value.p, known[i], value.len) == 0)
            return known[i];
    return "";
}

/* Parents: a hint, or an id that is not "none". */
static hf_code check_parent(hf_str text, hf_probe *ret, hf_err *reterr) {
    lines l = {text};
    hf_str line, value;
    while (next_line(&l, &line)) {
        if (key_value(line, "createType", &value))
            ret->detail = create_type(value);
        if (starts_nocase(line, "parentFileNameHint"))
            return hf_fail(
                reterr, HF_E_SOURCE_INVALID,
                "the VMDK is a child of another image (parentFileNameHint), which is not opened: consolidate it first");
        if (key_value(line, "parentCID", &value) && !starts_nocase(value, "ffffffff"))
            return hf_fail(reterr, HF_E_SOURCE_INVALID,
                           "the VMDK is a child of another image (parentCID %.*s): consolidate it first",
                           HF_STR_ARG(value));
    }
    return HF_OK;
}

hf_code hf_vmdk_check_embedded(hf_str text, hf_probe *ret, hf_err *reterr) {
    const char *nul = text.len ? memchr(text.p, 0, text.len) : NULL;
    if (nul)
        text.len = (uint32_t)(nul - text.p);
    return check_parent(text, ret, reterr);
}

typedef struct extent_line {
    int64_t sectors, offset;
    char type[16], name[256];
} extent_line;

/* ACCESS SECTORS TYPE ["NAME" [OFFSET]] */
static bool parse_extent(hf_str line, extent_line *ret) {
    char z[512], access[16];
    if (line.len >= sizeof z ||
        !(starts_nocase(line, "RW ") || starts_nocase(line, "RDONLY ") || starts_nocase(line, "NOACCESS ")))
        return false;
    memcpy(z, line.p, line.len);
    z[line.len] = 0;
    *ret = (extent_line){0};
    int n = sscanf(z, "%15s %" SCNd64 " %15s \"%255[^\"]\" %" SCNd64, access, &ret->sectors, ret->type, ret->name,
                   &ret->offset);
    return n >= 3;
}

static bool plain_name(const char *name) {
    return *name && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static hf_code take_extent(const extent_line *e, hf_probe *ret, hf_err *reterr) {
    if (!plain_name(e->name))
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "the VMDK descriptor names %s, which is not a file beside it: such images are not opened",
                       *e->name ? e->name : "an extent without a file");
    if ((strcasecmp(e->type, "FLAT") != 0 && strcasecmp(e->type, "VMFS") != 0) || e->offset != 0)
        return hf_fail(
            reterr, HF_E_SOURCE_INVALID,
            "the VMDK descriptor's extent %s is of type %s: only one whole flat extent is read; convert the disk with "
            "vmware-vdiskmanager or give the extent itself",
            e->name, e->type);
    if (e->sectors < 0 || e->sectors > INT64_MAX / 512)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VMDK descriptor says its extent has %" PRId64 " sectors",
                       e->sectors);
    ret->flat = true;
    ret->virtual_bytes = e->sectors * 512;
    snprintf(ret->flat_name, sizeof ret->flat_name, "%s", e->name);
    return HF_OK;
}

hf_code hf_vmdk_check_descriptor_file(hf_str text, hf_probe *ret, hf_err *reterr) {
    hf_code rc = check_parent(text, ret, reterr);
    lines l = {text};
    hf_str line;
    extent_line e, first = {0};
    int extents = 0;
    while (rc == HF_OK && next_line(&l, &line)) {
        if (!parse_extent(line, &e))
            continue;
        if (!plain_name(e.name)) /* say the worst thing first */
            return take_extent(&e, ret, reterr);
        if (extents++ == 0)
            first = e;
    }
    if (rc != HF_OK)
        return rc;
    if (extents != 1)
        return hf_fail(
            reterr, HF_E_SOURCE_INVALID,
            "the VMDK descriptor has %d extents, and exactly one is read: convert the disk to one file first", extents);
    return take_extent(&first, ret, reterr);
}
