/* What can be found about an appliance without its payloads: roles, References against members, manifest against members, order. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "consumer/pipeline/ova_read_inside.h"
#include "schemas/base/buf.h"
#include "schemas/base/mem.h"

/* ---- by name ----------------------------------------------------------------------------------------------- */
static int by_folded_name(const void *left, const void *right, void *ctx) {
    const hf_member *members = ctx;
    uint32_t l = *(const uint32_t *)left, r = *(const uint32_t *)right;
    int order = strcasecmp(members[l].name, members[r].name);
    return order ? order : (l > r) - (l < r);
}

/* Refused members have no name that counts. */
static hf_code sort_members(hf_appliance *a, hf_err *reterr) {
    free(a->by_name);
    a->by_name = hf_alloc((a->member_count + 1) * sizeof *a->by_name);
    if (!a->by_name)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of names");
    a->by_name_count = 0;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (!a->members[i].refused)
            a->by_name[a->by_name_count++] = i;
    qsort_r(a->by_name, a->by_name_count, sizeof *a->by_name, by_folded_name, a->members);
    return HF_OK;
}

hf_member *hf_appliance_find(const hf_appliance *a, const char *name) {
    uint32_t low = 0, high = a->by_name_count;
    while (low < high) { /* the first that is not less */
        uint32_t middle = low + (high - low) / 2;
        if (strcasecmp(a->members[a->by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < a->by_name_count && strcasecmp(a->members[a->by_name[low]].name, name) == 0; low++)
        if (strcmp(a->members[a->by_name[low]].name, name) == 0)
            return &a->members[a->by_name[low]];
    return NULL;
}

static void find_duplicates(hf_appliance *a) {
    for (uint32_t i = 1; i < a->by_name_count; i++) {
        hf_member *former = &a->members[a->by_name[i - 1]], *m = &a->members[a->by_name[i]];
        if (strcasecmp(former->name, m->name) == 0)
            hf_finding_add(a->findings, HF_FIND_NAME_DUPLICATE, m->name, "also \"%s\"", former->name);
    }
}

/* ---- descriptor and manifest ---------------------------------------------------------------------------------- */
static hf_code read_text(const hf_appliance *a, const hf_member *m, hf_buf *ret, hf_err *reterr) {
    hf_auto_fd int fd = -1;
    hf_code rc = hf_member_open(a, m, &fd, reterr);
    if (rc != HF_OK || m->size_bytes == 0)
        return rc;
    uint8_t *to = hf_buf_reserve(ret, (size_t)m->size_bytes);
    if (!to)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%s", m->name);
    if ((rc = hf_read_fully(fd, to, (size_t)m->size_bytes, m->base, reterr)) == HF_OK)
        ret->len += (size_t)m->size_bytes;
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", m->name);
}

static hf_code read_ovf(hf_appliance *a, hf_err *reterr) {
    for (uint32_t i = 0; i < a->member_count && a->ovf_at < 0; i++)
        if (!a->members[i].refused && hf_name_ends(a->members[i].name, ".ovf"))
            a->ovf_at = (int32_t)i;
    if (a->ovf_at < 0) {
        hf_finding_add(a->findings, HF_FIND_OVF_MISSING, NULL, "no *.ovf among %u members", a->member_count);
        return HF_OK;
    }
    hf_member *m = &a->members[a->ovf_at];
    m->role = HF_ROLE_OVF;
    if (m->size_bytes > HF_OVF_READ_MAX) {
        hf_finding_add(a->findings, HF_FIND_OVF_SIZE, m->name, "%" PRId64 " bytes; at most %d are read", m->size_bytes,
                       HF_OVF_READ_MAX);
        return HF_OK;
    }
    hf_buf text;
    hf_buf_init(&text, HF_OVF_READ_MAX);
    hf_code rc = read_text(a, m, &text, reterr);
    if (rc == HF_OK)
        rc = hf_ovf_read(hf_buf_str(&text), m->name, a->findings, &a->ovf, reterr);
    hf_buf_done(&text);
    return rc;
}

static hf_code read_manifest(hf_appliance *a, hf_err *reterr) {
    if (a->manifest_at < 0) {
        hf_finding_add(a->findings, HF_FIND_MANIFEST_MISSING, NULL, "no *.mf");
        return HF_OK;
    }
    hf_member *m = &a->members[a->manifest_at];
    if (m->size_bytes > HF_MANIFEST_READ_MAX) {
        hf_finding_add(a->findings, HF_FIND_MANIFEST_SIZE, m->name, "%" PRId64 " bytes; at most %d are read",
                       m->size_bytes, HF_MANIFEST_READ_MAX);
        return HF_OK;
    }
    hf_buf text;
    hf_buf_init(&text, HF_MANIFEST_READ_MAX);
    hf_code rc = read_text(a, m, &text, reterr);
    if (rc == HF_OK)
        rc = hf_manifest_read(hf_buf_str(&text), m->name, a->findings, &a->manifest, reterr);
    hf_buf_done(&text);
    if (rc == HF_OK && !(a->next_line = hf_alloc((a->manifest->count + 1) * sizeof *a->next_line)))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "the manifest's lines");
    return rc;
}

/* ---- References -------------------------------------------------------------------------------------------------- */
static void take_file(hf_appliance *a, uint32_t index, hf_member *m, int64_t chunk) {
    (void)a;
    m->role = HF_ROLE_FILE;
    m->file = (int32_t)index;
    m->chunk = chunk;
}

static void match_chunks(hf_appliance *a, uint32_t index) {
    const hf_ovf_file *file = &a->ovf->files[index];
    char name[HF_OVF_ID_MAX + 32];
    int64_t sum = 0,
            expected = file->size_bytes < 0 ? -1 : (file->size_bytes + file->chunk_bytes - 1) / file->chunk_bytes;
    hf_member *former = NULL;
    for (int64_t i = 0;; i++) {
        hf_chunk_name(file, i, name, sizeof name);
        hf_member *m = i < HF_APPLIANCE_MEMBERS_MAX ? hf_appliance_find(a, name) : NULL;
        if (!m) {
            if (i == 0 || i < expected)
                hf_finding_add(a->findings, HF_FIND_MEMBER_MISSING, name, "chunk %" PRId64 " of %s", i, file->href);
            break;
        }
        if (former && former->size_bytes != file->chunk_bytes)
            hf_finding_add(a->findings, HF_FIND_CHUNK_SIZE, former->name, "%" PRId64 " bytes, not %" PRId64,
                           former->size_bytes, file->chunk_bytes);
        if (m->size_bytes > file->chunk_bytes)
            hf_finding_add(a->findings, HF_FIND_CHUNK_SIZE, m->name, "%" PRId64 " bytes, more than %" PRId64,
                           m->size_bytes, file->chunk_bytes);
        take_file(a, index, m, i);
        sum += m->size_bytes;
        former = m;
    }
    if (former && !file->gzip && file->size_bytes >= 0 && sum != file->size_bytes)
        hf_finding_add(a->findings, HF_FIND_MEMBER_SIZE, file->href,
                       "its chunks have %" PRId64 " bytes, and ovf:size says %" PRId64, sum, file->size_bytes);
}

static void match_file(hf_appliance *a, uint32_t index) {
    const hf_ovf_file *file = &a->ovf->files[index];
    if (!file->plain_name)
        return; /* that is a finding already */
    if (file->chunk_bytes > 0) {
        match_chunks(a, index);
        return;
    }
    hf_member *m = hf_appliance_find(a, file->href);
    if (!m) {
        hf_finding_add(a->findings, HF_FIND_MEMBER_MISSING, file->href, "no member of that name");
        return;
    }
    if (m->role != HF_ROLE_OVF)
        take_file(a, index, m, -1);
    if (file->size_bytes >= 0 && !file->gzip && m->size_bytes != file->size_bytes)
        hf_finding_add(a->findings, HF_FIND_MEMBER_SIZE, m->name, "%" PRId64 " bytes, and ovf:size says %" PRId64,
                       m->size_bytes, file->size_bytes);
}

/* ---- roles ---------------------------------------------------------------------------------------------------------- */
static bool same_stem(const char *left, const char *right) {
    const char *l = strrchr(left, '.'), *r = strrchr(right, '.');
    return l && r && l - left == r - right && strncasecmp(left, right, (size_t)(l - left)) == 0;
}

/* The member with that suffix, named after the descriptor if there are several. */
static int32_t choose(hf_appliance *a, const char *suffix, hf_finding_id many) {
    int32_t chosen = -1;
    const char *ovf = a->ovf_at >= 0 ? a->members[a->ovf_at].name : NULL;
    for (uint32_t i = 0; i < a->member_count; i++) {
        hf_member *m = &a->members[i];
        if (m->refused || m->role != HF_ROLE_OTHER || !hf_name_ends(m->name, suffix))
            continue;
        if (chosen >= 0)
            hf_finding_add(a->findings, many, m->name, "beside %s", a->members[chosen].name);
        if (chosen < 0 || (ovf && !same_stem(a->members[chosen].name, ovf) && same_stem(m->name, ovf)))
            chosen = (int32_t)i;
    }
    if (chosen >= 0 && ovf && !same_stem(a->members[chosen].name, ovf))
        hf_finding_add(a->findings, HF_FIND_MANIFEST_NAME, a->members[chosen].name, "the descriptor is %s", ovf);
    return chosen;
}

static void give_roles(hf_appliance *a) {
    for (uint32_t i = 0; a->ovf && i < a->ovf->file_count; i++)
        match_file(a, i);
    for (uint32_t i = 0; i < a->member_count; i++) {
        hf_member *m = &a->members[i];
        if (!m->refused && m->role == HF_ROLE_OTHER && hf_name_ends(m->name, ".ovf"))
            hf_finding_add(a->findings, HF_FIND_OVF_MANY, m->name, "beside %s", a->members[a->ovf_at].name);
    }
    if ((a->manifest_at = choose(a, ".mf", HF_FIND_MANIFEST_MANY)) >= 0)
        a->members[a->manifest_at].role = HF_ROLE_MANIFEST;
    if ((a->cert_at = choose(a, ".cert", HF_FIND_CERT_MANY)) >= 0) {
        a->members[a->cert_at].role = HF_ROLE_CERT;
        hf_finding_add(a->findings, HF_FIND_CERT_UNVERIFIED, a->members[a->cert_at].name, "not verified");
    }
}

/* ---- manifest against members --------------------------------------------------------------------------------------- */
static void match_line(hf_appliance *a, uint32_t index) {
    const hf_manifest_line *line = &a->manifest->lines[index];
    hf_member *m = hf_appliance_find(a, line->name);
    a->next_line[index] = -1;
    if (!m) {
        hf_finding_add(a->findings, HF_FIND_MANIFEST_UNKNOWN, line->name, "line %u", line->number);
        return;
    }
    for (int32_t l = m->line; l >= 0; l = a->next_line[l])
        if (a->manifest->lines[l].kind == line->kind) {
            hf_finding_add(a->findings, HF_FIND_MANIFEST_TWICE, m->name, "lines %u and %u",
                           a->manifest->lines[l].number, line->number);
            break;
        }
    a->next_line[index] = m->line;
    m->line = (int32_t)index;
    if (m->role == HF_ROLE_OTHER && !hf_name_ends(m->name, ".ovf") && !hf_name_ends(m->name, ".mf"))
        m->role = HF_ROLE_FILE;
}

static void judge_members(hf_appliance *a) {
    for (uint32_t i = 0; i < a->member_count; i++) {
        hf_member *m = &a->members[i];
        if (m->refused)
            continue;
        if (a->ovf && m->role == HF_ROLE_OTHER && !hf_name_ends(m->name, ".ovf") && !hf_name_ends(m->name, ".mf") &&
            !hf_name_ends(m->name, ".cert"))
            hf_finding_add(a->findings, HF_FIND_MEMBER_EXTRA, m->name, "%" PRId64 " bytes", m->size_bytes);
        if (a->manifest && m->line < 0 && (m->role == HF_ROLE_FILE || m->role == HF_ROLE_OVF))
            hf_finding_add(a->findings, HF_FIND_MANIFEST_UNCOVERED, m->name, "no line in %s",
                           a->members[a->manifest_at].name);
    }
}

/* ---- order ------------------------------------------------------------------------------------------------------------ */
/* Manifest, then certificate: right behind the descriptor, or last. */
static bool manifest_well_placed(const hf_appliance *a) {
    int32_t first = a->manifest_at >= 0 ? a->manifest_at : a->cert_at,
            last = a->cert_at >= 0 ? a->cert_at : a->manifest_at;
    int32_t both = a->manifest_at >= 0 && a->cert_at >= 0;
    return first < 0 || (last - first == both && (first == a->ovf_at + 1 || last == (int32_t)a->member_count - 1));
}

static void judge_order(hf_appliance *a) {
    int32_t file = -1;
    int64_t chunk = -1;
    if (a->ovf_at > 0)
        hf_finding_add(a->findings, HF_FIND_ORDER_OVF, a->members[a->ovf_at].name, "it is member %d", a->ovf_at + 1);
    if (!manifest_well_placed(a))
        hf_finding_add(a->findings, HF_FIND_ORDER_MANIFEST,
                       a->members[a->manifest_at >= 0 ? a->manifest_at : a->cert_at].name, "it is member %d of %u",
                       (a->manifest_at >= 0 ? a->manifest_at : a->cert_at) + 1, a->member_count);
    for (uint32_t i = 0; i < a->member_count; i++) {
        const hf_member *m = &a->members[i];
        if (m->refused || m->file < 0)
            continue;
        if (m->file < file || (m->file == file && m->chunk < chunk)) {
            hf_finding_add(a->findings, HF_FIND_ORDER_FILES, m->name, "it comes before it in References");
            break;
        }
        file = m->file;
        chunk = m->chunk;
    }
}

hf_code hf_appliance_judge(hf_appliance *a, hf_err *reterr) {
    hf_code rc = sort_members(a, reterr);
    if (rc != HF_OK || (rc = read_ovf(a, reterr)) != HF_OK)
        return rc;
    for (uint32_t i = 0; rc == HF_OK && a->ovf && !a->archive && i < a->ovf->file_count; i++)
        if ((rc = hf_appliance_look_for_file(a, &a->ovf->files[i], reterr)) == HF_OK)
            rc = sort_members(a, reterr);
    if (rc != HF_OK)
        return rc;
    find_duplicates(a);
    give_roles(a);
    if ((rc = read_manifest(a, reterr)) != HF_OK)
        return rc;
    for (uint32_t i = 0; a->manifest && i < a->manifest->count; i++)
        match_line(a, i);
    judge_members(a);
    if (a->archive)
        judge_order(a);
    if (a->ovf && !(a->summaries = hf_alloc((a->ovf->disk_count + 1) * sizeof *a->summaries)))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "the disks' summaries");
    return rc;
}
