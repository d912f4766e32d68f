#include "schemas/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static struct {
    const char *program;
    hf_log_level least;
    hf_log_format format;
    int fd;
} out = {"hyperfleet", HF_LOG_INFO, HF_LOG_LOGFMT, 2};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void hf_log_setup(const char *program, hf_log_level least, hf_log_format format, int fd) {
    out.program = program;
    out.least = least;
    out.format = format;
    out.fd = fd;
}

bool hf_log_level_parse(hf_str text, hf_log_level *ret) {
    for (unsigned i = 0; i < HF_ARRAY_LEN(level_names); i++) {
        if (hf_str_eqz(text, level_names[i])) {
            *ret = (hf_log_level)i;
            return true;
        }
    }
    return false;
}

/* ---- one line, in a fixed buffer ---------------------------------------------------------------
 * Text may grow up to LIMIT; behind it there is always room for the marks of a cut line. */
enum { TAIL = 32, LIMIT = HF_LOG_LINE_BYTES - TAIL };

typedef struct line {
    char text[HF_LOG_LINE_BYTES];
    size_t len;
    bool cut;
} line;

static void put(line *l, const char *bytes, size_t n) {
    if (l->cut || l->len + n > LIMIT) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->len, bytes, n);
    l->len += n;
}
static void puts_z(line *l, const char *z) { put(l, z, strlen(z)); }
static void put_tail(line *l, const char *z) {
    size_t n = strlen(z);
    memcpy(l->text + l->len, z, n);
    l->len += n;
}

/* Length of the well-formed UTF-8 character at p (RFC 3629, table in section 4); 0 if it is none. */
static size_t utf8_len(const unsigned char *p, size_t left) {
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
               (p[0] == 0xf4 && p[1] >= 0x90);
    return bad ? 0 : n;
}

/* Between quotes: JSON's escapes, which readers of logfmt take too. */
static void put_escaped(line *l, hf_str s) {
    for (uint32_t i = 0; i < s.len && !l->cut;) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        size_t n = utf8_len(p, s.len - i);
        char text[8];
        if (n == 0 || *p == 0) /* NUL: JSON can say it, but most readers refuse it */
            puts_z(l, "\xef\xbf\xbd");
        else if (*p == '"' || *p == '\\')
            put(l, (char[]){'\\', (char)*p}, 2);
        else if (*p == '\n')
            puts_z(l, "\\n");
        else if (*p == '\t')
            puts_z(l, "\\t");
        else if (*p < 0x20 || *p == 0x7f) {
            snprintf(text, sizeof text, "\\u%04x", *p);
            puts_z(l, text);
        } else
            put(l, (const char *)p, n);
        i += n ? (uint32_t)n : 1;
    }
}

/* put_pair has seen to it that both quotes fit. */
static void put_quoted(line *l, hf_str s) {
    puts_z(l, "\"");
    put_escaped(l, s);
    put_tail(l, l->cut ? "…\"" : "\"");
}

static bool needs_quotes(hf_str s) {
    if (s.len == 0)
        return true;
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f)
            return true;
    }
    return false;
}

static void put_text(line *l, hf_str s) {
    if (out.format == HF_LOG_LOGFMT && !needs_quotes(s) && l->len + s.len <= LIMIT)
        put(l, s.p, s.len);
    else
        put_quoted(l, s);
}

static bool is_secret(const char *key) {
    static const char *const words[] = {"password", "secret", "token", "authorization", "cookie"};
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
        if (strcasestr(key, words[i]))
            return true;
    return false;
}

static void put_value(line *l, const hf_log_value *v) {
    char text[40];
    switch (v->kind) {
    case HF_V_KIND_STR: put_text(l, v->str); return;
    case HF_V_KIND_BOOL: puts_z(l, v->i ? "true" : "false"); return;
    case HF_V_KIND_INT: snprintf(text, sizeof text, "%lld", (long long)v->i); break;
    case HF_V_KIND_NUM: snprintf(text, sizeof text, isfinite(v->num) ? "%.9g" : "null", v->num); break;
    }
    puts_z(l, text);
}

static void put_pair(line *l, const char *key, hf_log_value value) {
    /* A pair goes in whole up to its value's first bytes, or not at all: the line stays readable. */
    if (l->cut || l->len + strlen(key) + 48 > LIMIT) {
        l->cut = true;
        return;
    }
    if (out.format == HF_LOG_JSON) {
        puts_z(l, l->len > 1 ? ",\"" : "\"");
        put_escaped(l, hf_str_of(key));
        puts_z(l, "\":");
    } else {
        if (l->len)
            puts_z(l, " ");
        puts_z(l, key);
        puts_z(l, "=");
    }
    if (is_secret(key))
        value = HF_V_Z("***");
    put_value(l, &value);
}

static void write_line(const line *l) {
    for (size_t done = 0; done < l->len;) {
        ssize_t n = write(out.fd, l->text + done, l->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody can be told */
        done += (size_t)n;
    }
}

void hf_log_pairs(hf_log_level level, const char *event, const hf_log_pair *pairs, size_t count) {
    if (level < out.least)
        return;
    line l;
    l.len = 0;
    l.cut = false;
    char ts[HF_RFC3339_BYTES];
    if (out.format == HF_LOG_JSON)
        puts_z(&l, "{");
    put_pair(&l, "ts", HF_V_Z(hf_time_format(hf_wall_ms(hf_clock_system()), ts)));
    put_pair(&l, "level", HF_V_Z(level_names[level]));
    put_pair(&l, "program", HF_V_Z(out.program));
    put_pair(&l, "event", HF_V_Z(event));
    for (size_t i = 0; i < count; i++)
        put_pair(&l, pairs[i].key, pairs[i].value);
    if (l.cut)
        put_tail(&l, out.format == HF_LOG_JSON ? ",\"cut\":true" : " cut=true");
    put_tail(&l, out.format == HF_LOG_JSON ? "}\n" : "\n");
    write_line(&l);
}
