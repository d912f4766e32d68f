/* The list of findings; names and sentences come from findings.def. */
#include "consumer/pipeline/findings.h"

#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"

typedef struct row {
    const char *name, *sentence;
    hf_severity severity;
} row;

static const row rows[HF_FIND_COUNT] = {
#define HF_FINDING(id, name, severity, sentence) [HF_FIND_##id] = {name, sentence, HF_SEVERITY_##severity},
#include "consumer/pipeline/findings.def"
#undef HF_FINDING
};

const char *hf_finding_name(hf_finding_id id) { return rows[id].name; }
const char *hf_finding_sentence(hf_finding_id id) { return rows[id].sentence; }
hf_severity hf_finding_severity(hf_finding_id id) { return rows[id].severity; }

const char *hf_severity_name(hf_severity severity) {
    static const char *const names[HF_SEVERITY_COUNT] = {"info", "warning", "error"};
    return names[severity];
}

void hf_findings_init(hf_findings *findings) { *findings = (hf_findings){0}; }

void hf_findings_done(hf_findings *findings) {
    free(findings->items);
    *findings = (hf_findings){0};
}

/* Bytes of the UTF-8 character at p, 0 where it is none (overlong forms, surrogates and C1 controls are none). */
static size_t utf8_length(const unsigned char *p, size_t len) {
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    size_t n = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : n;
}

void hf_printable(char *to, size_t size, const char *text, size_t len) {
    size_t at = 0;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length((const unsigned char *)text + i, len - i), step = n ? n : 1;
        if (at + step >= size)
            break;
        if (n)
            memcpy(to + at, text + i, n);
        else
            to[at] = '?';
        at += step;
        i += step;
    }
    to[at] = 0;
}

static hf_finding *next_item(hf_findings *findings) {
    if (findings->count == HF_FINDINGS_MAX)
        return NULL;
    if (findings->count == findings->room) {
        uint32_t room = findings->room ? 2 * findings->room : 16;
        hf_finding *items = hf_realloc(findings->items, room * sizeof *items);
        if (!items)
            return NULL;
        findings->items = items;
        findings->room = room;
    }
    return &findings->items[findings->count++];
}

void hf_finding_add(hf_findings *findings, hf_finding_id id, const char *subject, const char *format, ...) {
    char text[2 * HF_FINDING_DETAIL_BYTES];
    va_list args;
    if (!findings)
        return;
    findings->by_severity[rows[id].severity]++;
    hf_finding *item = next_item(findings);
    if (!item) {
        findings->dropped++;
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    item->id = id;
    hf_printable(item->subject, sizeof item->subject, subject ? subject : "", subject ? strlen(subject) : 0);
    hf_printable(item->detail, sizeof item->detail, text, strlen(text));
}

uint32_t hf_findings_errors(const hf_findings *findings) { return findings->by_severity[HF_SEVERITY_ERROR]; }

bool hf_findings_has(const hf_findings *findings, hf_finding_id id) {
    for (uint32_t i = 0; i < findings->count; i++)
        if (findings->items[i].id == id)
            return true;
    return false;
}

hf_code hf_findings_verdict(const hf_findings *findings, hf_err *reterr) {
    uint32_t errors = hf_findings_errors(findings);
    if (errors == 0)
        return HF_OK;
    for (uint32_t i = 0; i < findings->count; i++) {
        const hf_finding *f = &findings->items[i];
        if (rows[f->id].severity != HF_SEVERITY_ERROR)
            continue;
        char more[48] = "";
        if (errors > 1)
            snprintf(more, sizeof more, " (and %u more errors)", errors - 1);
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s%s%s: %s%s", f->subject, *f->subject ? ": " : "",
                       rows[f->id].name, f->detail, more);
    }
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "%u errors, none of which could be kept in memory", errors);
}
