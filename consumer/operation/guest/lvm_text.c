/* LVM's metadata as text. It comes from a disk that is damaged, or hostile: every length is checked. */
#include "consumer/operation/guest/lvm_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, DEPTH_MAX = 16 };

typedef struct reader {
    hf_lvm_vg *vg;
    int depth;
    bool in_pvs, ended;
} reader;

/* The value of "key = value" without quotes. */
static bool value_of(const char *line, const char *key, char *to, size_t size) {
    size_t len = strlen(key);
    if (strncmp(line, key, len) != 0 || strncmp(line + len, " = ", 3) != 0)
        return false;
    const char *from = line + len + 3;
    from += *from == '"';
    snprintf(to, size, "%.*s", (int)strcspn(from, "\""), from);
    return true;
}

static bool is_name(const char *text, size_t len) {
    if (len == 0 || len > 127 || text[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("+_.-", text[i]))
            return false;
    return true;
}

static bool is_uuid(const char *text) {
    if (strlen(text) != 38)
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-')
            return false;
    return true;
}

static bool open_section(reader *r, const char *line, size_t len) {
    if (r->depth == 0) {
        if (len < 3 || !is_name(line, len - 2))
            return false;
        snprintf(r->vg->name, sizeof r->vg->name, "%.*s", (int)(len - 2), line);
    } else if (r->depth == 1)
        r->in_pvs = strcmp(line, "physical_volumes {") == 0;
    else if (r->depth == 2 && r->in_pvs) {
        if (r->vg->pv_count == HF_LVM_PVS_MAX)
            return false;
        r->vg->pvs[r->vg->pv_count++] = (hf_lvm_pv){0};
    }
    return ++r->depth < DEPTH_MAX;
}

static void take_value(reader *r, const char *line) {
    char number[32];
    if (r->depth == 1) {
        value_of(line, "id", r->vg->uuid, sizeof r->vg->uuid);
        if (value_of(line, "seqno", number, sizeof number))
            r->vg->seqno = strtoll(number, NULL, 10);
    } else if (r->depth == 3 && r->in_pvs && r->vg->pv_count) {
        hf_lvm_pv *pv = &r->vg->pvs[r->vg->pv_count - 1];
        value_of(line, "id", pv->uuid, sizeof pv->uuid);
        value_of(line, "device", pv->device, sizeof pv->device);
        if (value_of(line, "dev_size", number, sizeof number))
            pv->sectors = strtoll(number, NULL, 10);
    }
}

static bool take_line(reader *r, char *line) {
    while (*line == ' ' || *line == '\t')
        line++;
    char *comment = strstr(line, "\t#");
    if (comment)
        *comment = 0;
    size_t len = strlen(line);
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        line[--len] = 0;
    if (len >= 2 && strcmp(line + len - 2, " {") == 0)
        return open_section(r, line, len);
    if (strcmp(line, "}") == 0) {
        r->ended = --r->depth == 0;
        return r->depth >= 0;
    }
    take_value(r, line);
    return true;
}

bool hf_lvm_parse(const char *text, size_t len, hf_lvm_vg *ret) {
    reader r = {.vg = ret};
    *ret = (hf_lvm_vg){0};
    len = strnlen(text, len);
    for (size_t at = 0; at < len && !r.ended;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at;
        char line[1024];
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text + at);
        if (!take_line(&r, line))
            return false;
        at += n + 1;
    }
    bool fine = r.ended && is_uuid(ret->uuid) && ret->seqno > 0 && ret->pv_count > 0;
    for (uint32_t i = 0; fine && i < ret->pv_count; i++)
        fine = is_uuid(ret->pvs[i].uuid);
    return fine;
}

void hf_lvm_each(const char *data, size_t len, void (*found)(void *ctx, const char *text, size_t len), void *ctx) {
    for (size_t at = 0; at + SECTOR <= len; at += SECTOR) {
        const char *text = data + at;
        const char *brace = memchr(text, ' ', 128);
        if (!brace || !is_name(text, (size_t)(brace - text)) || memcmp(brace, " {\nid = \"", 9) != 0)
            continue;
        size_t n = strnlen(text, len - at < HF_LVM_TEXT_MAX ? len - at : HF_LVM_TEXT_MAX);
        found(ctx, text, n);
    }
}

bool hf_lvm_label(const char *data, size_t len, char uuid[40]) {
    for (size_t at = 0; at < (size_t)4 * SECTOR && at + SECTOR <= len; at += SECTOR) {
        const unsigned char *s = (const unsigned char *)data + at;
        if (memcmp(s, "LABELONE", 8) != 0 || memcmp(s + 24, "LVM2 001", 8) != 0)
            continue;
        uint32_t from = (uint32_t)s[20] | (uint32_t)s[21] << 8;
        if (from + 32 > SECTOR)
            return false;
        /* Written as it is shown: 6-4-4-4-4-4-6. */
        static const int groups[] = {6, 4, 4, 4, 4, 4, 6};
        char *to = uuid;
        const char *c = data + at + from;
        for (int g = 0; g < 7; g++) {
            for (int i = 0; i < groups[g]; i++)
                *to++ = *c++;
            *to++ = g < 6 ? '-' : 0;
        }
        return is_uuid(uuid);
    }
    return false;
}
