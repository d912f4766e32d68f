#include "producer/ctl/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/base/mem.h"

const char *hf_text_bytes(double bytes, char text[HF_TEXT_BYTES]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < HF_ARRAY_LEN(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, HF_TEXT_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

const char *hf_text_duration(int64_t ms, char text[HF_TEXT_BYTES]) {
    int64_t s = ms / 1000;
    if (ms < 1000)
        snprintf(text, HF_TEXT_BYTES, "%" PRId64 "ms", ms < 0 ? 0 : ms);
    else if (s < 60)
        snprintf(text, HF_TEXT_BYTES, "%" PRId64 "s", s);
    else if (s < 3600)
        snprintf(text, HF_TEXT_BYTES, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(text, HF_TEXT_BYTES, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(text, HF_TEXT_BYTES, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
    return text;
}

const char *hf_text_bar(double percent, int width, char text[128]) {
    if (width < 1)
        width = 1;
    if (width > 120)
        width = 120;
    int full = percent < 0 ? 0 : percent >= 100 ? width : (int)(percent * width / 100);
    text[0] = '[';
    for (int i = 0; i < width; i++)
        text[1 + i] = percent < 0 ? '?' : i < full ? '#' : '.';
    text[1 + width] = ']';
    text[2 + width] = 0;
    return text;
}

size_t hf_text_width(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Bytes of the UTF-8 character at p, 0 when it is none (Unicode 15, table 3-7, without the finer second-byte ranges). */
static size_t utf8_bytes(const unsigned char *p) {
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static bool is_control(const unsigned char *p) {
    return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0); /* C0, DEL, C1 */
}

const char *hf_text_harmless(const char *from, char *to, size_t size) {
    size_t at = 0;
    for (const unsigned char *p = (const unsigned char *)from; *p;) {
        size_t n = utf8_bytes(p);
        if (at + (n ? n : 1) >= size)
            break;
        if (n == 0 || is_control(p)) {
            to[at++] = '?';
            p += n ? n : 1;
            continue;
        }
        memcpy(to + at, p, n);
        at += n;
        p += n;
    }
    to[at] = 0;
    return to;
}

/* ---- tables -------------------------------------------------------------------------------------- */
enum { CELLS_MAX = 10000000, CELL_BYTES = 800, CELL_WIDTH = 200 };
struct hf_table {
    char **cells; /* the headings first */
    size_t columns, count;
    bool failed;
};

hf_table *hf_table_new(const char *const *headings, size_t columns) {
    hf_table *t = hf_alloc(sizeof *t);
    if (!t)
        return NULL;
    t->columns = columns;
    for (size_t i = 0; i < columns; i++)
        hf_table_put(t, headings[i]);
    return t;
}

void hf_table_free(hf_table *table) {
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

static bool grow(hf_table *t) {
    if (t->count == CELLS_MAX)
        return false;
    if (t->count & (t->count - 1) || t->count == 1) /* room is there until the next power of two */
        return true;
    char **more = hf_realloc(t->cells, (t->count ? t->count * 2 : 2) * sizeof *more);
    if (!more)
        return false;
    t->cells = more;
    return true;
}

/* Cuts at CELL_WIDTH characters. */
static void cut(char *text) {
    size_t width = 0;
    for (char *p = text; *p; p++)
        if (((unsigned char)*p & 0xc0) != 0x80 && ++width > CELL_WIDTH) {
            *p = 0;
            return;
        }
}

void hf_table_put(hf_table *t, const char *cell) {
    char text[CELL_BYTES];
    hf_text_harmless(cell && *cell ? cell : "-", text, sizeof text);
    cut(text);
    char *copy = t->failed || !grow(t) ? NULL : hf_strndup(text, strlen(text));
    if (!copy) {
        t->failed = true;
        return;
    }
    t->cells[t->count++] = copy;
}

void hf_table_putf(hf_table *t, const char *format, ...) {
    char text[CELL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hf_table_put(t, text);
}

hf_code hf_table_print(const hf_table *t, FILE *out, hf_err *reterr) {
    enum { COLUMNS_MAX = 32 };
    size_t widths[COLUMNS_MAX] = {0};
    if (t->failed || t->columns > COLUMNS_MAX)
        return hf_fail(reterr, t->count == CELLS_MAX ? HF_E_LIMIT : HF_E_NO_MEMORY, "table of %zu cells", t->count);
    for (size_t i = 0; i < t->count; i++) {
        size_t w = hf_text_width(t->cells[i]);
        if (w > widths[i % t->columns])
            widths[i % t->columns] = w;
    }
    for (size_t i = 0; i < t->count; i++) {
        bool last = (i + 1) % t->columns == 0;
        fputs(t->cells[i], out);
        if (last)
            fputc('\n', out);
        else
            fprintf(out, "%*s", (int)(widths[i % t->columns] - hf_text_width(t->cells[i]) + 2), "");
    }
    return HF_OK;
}
