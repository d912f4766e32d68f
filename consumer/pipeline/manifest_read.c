#include "consumer/pipeline/manifest_read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "schemas/base/mem.h"

typedef struct reading {
    const char *shown;
    hf_findings *findings;
    hf_manifest *manifest;
    uint32_t number, room, crlf, spaced, sha1;
    unsigned kinds;
} reading;

static bool kind_of(hf_str label, hf_digest_kind *ret) {
    static const struct {
        const char *name;
        hf_digest_kind kind;
    } kinds[] = {{"SHA256", HF_DIGEST_SHA256},  {"SHA1", HF_DIGEST_SHA1},  {"SHA512", HF_DIGEST_SHA512},
                 {"SHA-256", HF_DIGEST_SHA256}, {"SHA-1", HF_DIGEST_SHA1}, {"SHA-512", HF_DIGEST_SHA512}};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (label.len == strlen(kinds[i].name) && strncasecmp(label.p, kinds[i].name, label.len) == 0) {
            *ret = kinds[i].kind;
            return true;
        }
    return false;
}

static hf_str trimmed(hf_str s) {
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* "LABEL(name)= hex" cut into its parts. A name may have parentheses: it ends at the last ')' before the last '='. */
static bool cut(hf_str line, hf_str *label, hf_str *name, hf_str *hex, bool *spaced) {
    const char *open = memchr(line.p, '(', line.len), *equals = memrchr(line.p, '=', line.len);
    if (!open || !equals || equals < open)
        return false;
    const char *close = memrchr(open, ')', (size_t)(equals - open));
    if (!close || trimmed((hf_str){close + 1, (uint32_t)(equals - close - 1)}).len)
        return false;
    *spaced = open > line.p && open[-1] == ' ';
    *label = trimmed((hf_str){line.p, (uint32_t)(open - line.p)});
    *name = (hf_str){open + 1, (uint32_t)(close - open - 1)};
    *hex = trimmed((hf_str){equals + 1, line.len - (uint32_t)(equals + 1 - line.p)});
    return label->len > 0 && name->len > 0;
}

static bool take_hex(hf_str hex, size_t want, char to[HF_DIGEST_HEX_MAX]) {
    if (hex.len != want)
        return false;
    for (uint32_t i = 0; i < hex.len; i++) {
        char c = hex.p[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        to[i] = c;
    }
    to[hex.len] = 0;
    return true;
}

static hf_manifest_line *next_line(reading *r) {
    hf_manifest *m = r->manifest;
    if (m->count == r->room) {
        uint32_t room = r->room ? 2 * r->room : 16;
        hf_manifest_line *lines = hf_realloc(m->lines, room * sizeof *lines);
        if (!lines)
            return NULL;
        m->lines = lines;
        r->room = room;
    }
    return &m->lines[m->count];
}

static void not_understood(reading *r, const char *why) {
    hf_finding_add(r->findings, HF_FIND_MANIFEST_SYNTAX, r->shown, "line %u: %s", r->number, why);
}

static hf_code take_line(reading *r, hf_str text, hf_err *reterr) {
    hf_str label, name, hex;
    bool spaced;
    hf_digest_kind kind;
    if (!cut(text, &label, &name, &hex, &spaced)) {
        not_understood(r, "expected \"SHA256(name)= hex\"");
        return HF_OK;
    }
    if (!kind_of(label, &kind)) {
        hf_finding_add(r->findings, HF_FIND_MANIFEST_KIND, r->shown, "line %u: %.*s", r->number,
                       label.len < 32 ? (int)label.len : 32, label.p);
        return HF_OK;
    }
    hf_manifest_line *line = next_line(r);
    if (!line)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the manifest's lines");
    *line = (hf_manifest_line){.kind = kind, .number = r->number};
    if (name.len > HF_MANIFEST_NAME_MAX || memchr(name.p, 0, name.len))
        not_understood(r, "the name is too long or has a NUL");
    else if (!take_hex(hex, hf_digest_hex_len(kind), line->hex))
        not_understood(r, "the hash is not one of that function");
    else {
        memcpy(line->name, name.p, name.len);
        r->manifest->count++;
        r->spaced += spaced;
        r->sha1 += kind == HF_DIGEST_SHA1;
        r->kinds |= 1u << kind;
    }
    return HF_OK;
}

static hf_code take_lines(reading *r, hf_str text, hf_err *reterr) {
    hf_code rc = HF_OK;
    if (text.len >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        text = (hf_str){text.p + 3, text.len - 3};
    for (uint32_t at = 0; rc == HF_OK && at < text.len;) {
        const char *end = memchr(text.p + at, '\n', text.len - at);
        hf_str line = {text.p + at, end ? (uint32_t)(end - text.p) - at : text.len - at};
        at += line.len + 1;
        r->number++;
        if (line.len && line.p[line.len - 1] == '\r') {
            line.len--;
            r->crlf++;
        }
        if (r->manifest->count == HF_MANIFEST_LINES_MAX) {
            not_understood(r, "too many lines; the rest is not read");
            break;
        }
        if (trimmed(line).len)
            rc = take_line(r, line, reterr);
    }
    return rc;
}

static void say_what_is_odd(const reading *r) {
    const hf_manifest *m = r->manifest;
    if (r->crlf)
        hf_finding_add(r->findings, HF_FIND_MANIFEST_CRLF, r->shown, "%u lines", r->crlf);
    if (r->spaced)
        hf_finding_add(r->findings, HF_FIND_MANIFEST_FORM, r->shown, "%u lines", r->spaced);
    if (r->kinds & (r->kinds - 1))
        hf_finding_add(r->findings, HF_FIND_MANIFEST_MIXED, r->shown, "%s and others", hf_digest_label(m->kind));
    if (r->sha1)
        hf_finding_add(r->findings, HF_FIND_MANIFEST_WEAK, r->shown, "%u lines", r->sha1);
}

hf_code hf_manifest_read(hf_str text, const char *shown, hf_findings *findings, hf_manifest **ret, hf_err *reterr) {
    hf_manifest *manifest = hf_alloc(sizeof *manifest);
    if (!manifest)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a manifest");
    reading r = {.shown = shown, .findings = findings, .manifest = manifest};
    hf_code rc = take_lines(&r, text, reterr);
    if (rc != HF_OK) {
        hf_manifest_free(manifest);
        return rc;
    }
    manifest->kind = manifest->count ? manifest->lines[0].kind : HF_DIGEST_NONE;
    say_what_is_odd(&r);
    *ret = manifest;
    return HF_OK;
}

void hf_manifest_free(hf_manifest *manifest) {
    if (!manifest)
        return;
    free(manifest->lines);
    free(manifest);
}
