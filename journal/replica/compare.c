#include "journal/replica/compare.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/mem.h"

static bool printable(hf_str s) {
    for (uint32_t i = 0; i < s.len; i++)
        if (!isprint((unsigned char)s.p[i]))
            return false;
    return s.len > 0;
}

const char *hf_key_text(const char *table, hf_str key, char text[128]) {
    if (printable(key)) {
        snprintf(text, 128, "%.*s", (int)(key.len < 120 ? key.len : 120), key.p);
    } else if (key.len == 8 && strncmp(table, "log/", 4) == 0) {
        snprintf(text, 128, "offset %" PRIu64, hf_u64_of(key));
    } else if (key.len == 8) {
        hf_position p = hf_position_of_key(hf_u64_of(key));
        snprintf(text, 128, "%d/%" PRId64, (int)p.partition, p.offset);
    } else {
        int at = 0;
        for (uint32_t i = 0; i < key.len && at < 120; i++)
            at += snprintf(text + at, 128 - (size_t)at, "%02x", (unsigned char)key.p[i]);
        text[at] = 0;
    }
    return text;
}

/* ---- one table ------------------------------------------------------------------------------------------------- */
typedef struct {
    const char *name;
    hf_cursor *cursor;
    hf_str key, value;
    bool end;
    uint64_t rows;
} side;

static hf_code next_row(side *s, hf_err *reterr) {
    hf_code rc = hf_cursor_move(s->cursor, HF_NEXT, &s->key, &s->value, reterr);
    s->end = rc == HF_E_NOT_FOUND;
    s->rows += rc == HF_OK;
    return s->end ? HF_OK : rc;
}

static hf_code differ(const char *table, const side *a, const side *b, hf_err *reterr) {
    char key[128];
    bool same_key = !a->end && !b->end && hf_str_eq(a->key, b->key);
    const side *has =
        a->end || (!b->end && !same_key && a->key.len == b->key.len && memcmp(b->key.p, a->key.p, a->key.len) < 0) ? b
                                                                                                                   : a;
    const side *lacks = has == a ? b : a;
    hf_key_text(table, has->key, key);
    if (!same_key)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "table `%s`, key %s: %s has it, %s does not", table, key, has->name,
                       lacks->name);
    uint32_t at = 0;
    while (at < a->value.len && at < b->value.len && a->value.p[at] == b->value.p[at])
        at++;
    return hf_fail(reterr, HF_E_VERIFY_FAILED,
                   "table `%s`, key %s: the values differ from byte %u on (%s: %u bytes, %s: %u bytes)", table, key, at,
                   a->name, a->value.len, b->name, b->value.len);
}

static hf_code compare_rows(const char *table, side *a, side *b, hf_err *reterr) {
    for (;;) {
        hf_code rc = next_row(a, reterr);
        if (rc == HF_OK)
            rc = next_row(b, reterr);
        if (rc != HF_OK)
            return hf_context(reterr, "table `%s`", table), rc;
        if (a->end && b->end)
            return HF_OK;
        if (a->end || b->end || !hf_str_eq(a->key, b->key) || !hf_str_eq(a->value, b->value))
            return differ(table, a, b, reterr);
    }
}

static hf_code compare_table(const char *name, hf_store *sa, hf_read *ra, side *a, hf_store *sb, hf_read *rb, side *b,
                             hf_err *reterr) {
    hf_table ta, tb;
    unsigned fa, fb;
    hf_code rc = hf_store_table_as_is(sa, name, &ta, &fa, reterr);
    if (rc == HF_OK)
        rc = hf_store_table_as_is(sb, name, &tb, &fb, reterr);
    if (rc == HF_OK && fa != fb)
        rc = hf_fail(reterr, HF_E_VERIFY_FAILED, "table `%s`: made with other flags", name);
    if (rc == HF_OK)
        rc = hf_cursor_open(ra, ta, &a->cursor, reterr);
    if (rc == HF_OK)
        rc = hf_cursor_open(rb, tb, &b->cursor, reterr);
    if (rc == HF_OK)
        rc = compare_rows(name, a, b, reterr);
    hf_cursor_close(a->cursor);
    hf_cursor_close(b->cursor);
    return rc;
}

hf_code hf_stores_compare(hf_store *sa, hf_read *ra, const char *a_name, hf_store *sb, hf_read *rb, const char *b_name,
                          bool (*skip)(const char *table), hf_err *reterr) {
    hf_table_names na = {0}, nb = {0};
    hf_code rc = hf_read_tables(ra, hf_table_names_add, &na, reterr);
    if (rc == HF_OK)
        rc = hf_read_tables(rb, hf_table_names_add, &nb, reterr);
    for (size_t i = 0, j = 0; rc == HF_OK && (i < na.count || j < nb.count);) {
        int order = i == na.count ? 1 : j == nb.count ? -1 : strcmp(na.of[i], nb.of[j]);
        const char *name = order <= 0 ? na.of[i] : nb.of[j];
        if (!(skip && skip(name))) {
            if (order != 0)
                rc = hf_fail(reterr, HF_E_VERIFY_FAILED, "table `%s`: %s has it, %s does not", name,
                             order < 0 ? a_name : b_name, order < 0 ? b_name : a_name);
            else {
                side a = {.name = a_name}, b = {.name = b_name};
                rc = compare_table(name, sa, ra, &a, sb, rb, &b, reterr);
            }
        }
        i += order <= 0;
        j += order >= 0;
    }
    hf_table_names_done(&na);
    hf_table_names_done(&nb);
    return rc;
}
