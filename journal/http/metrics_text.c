/* Prometheus text exposition 0.0.4 and OpenMetrics 1.0. */
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "journal/http/metrics.h"
#include "schemas/base/mem.h"
#include "schemas/event/utf8.h"

const char *hf_metrics_number(double v, bool open, char text[HF_METRICS_NUMBER]) {
    if (isnan(v) || isinf(v))
        return isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf";
    if (v > -1e6 && v < 1e6 && v == (double)(int)v && !(v == 0 && signbit(v))) {
        snprintf(text, HF_METRICS_NUMBER, open ? "%d.0" : "%d", (int)v);
        return text;
    }
    int precision = 0;
    for (; precision < 17; precision++) {
        snprintf(text, HF_METRICS_NUMBER, "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 6) {
        int digits = precision > exponent ? precision - exponent : 0;
        snprintf(text, HF_METRICS_NUMBER, open && digits == 0 ? "%.*f.0" : "%.*f", digits, v);
    }
    return text;
}

void hf_metrics_escape(hf_str value, char *to, size_t room) {
    size_t n = 0;
    bool text = hf_utf8_valid(value.p, value.len);
    for (uint32_t i = 0; i < value.len && i < room / 2; i++) {
        char c = value.p[i];
        if (c == '\\' || c == '"' || c == '\n')
            to[n++] = '\\';
        if ((unsigned char)c >= 0x20 || c == '\n')
            to[n++] = c == '\n' ? 'n' : (unsigned char)c >= 0x80 && !text ? '?' : c;
    }
    to[n] = 0;
}

static bool ends_with(const char *text, size_t len, const char *end) {
    size_t n = strlen(end);
    return len > n && memcmp(text + len - n, end, n) == 0;
}

/* OpenMetrics: a family's name is without _total, and says its unit. */
void hf_metrics_head(hf_metrics_page *p, const char *family, const char *kind, const char *help) {
    int len = (int)strlen(family);
    if (p->open && strcmp(kind, "counter") == 0 && ends_with(family, (size_t)len, "_total"))
        len -= (int)strlen("_total");
    hf_buf_printf(p->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", len, family, help, len, family, kind);
    static const char *const units[] = {"bytes_per_second", "seconds", "bytes"};
    for (size_t i = 0; p->open && i < HF_ARRAY_LEN(units); i++)
        if (ends_with(family, (size_t)len, units[i]) && family[len - (int)strlen(units[i]) - 1] == '_') {
            hf_buf_printf(p->out, "# UNIT %.*s %s\n", len, family, units[i]);
            break;
        }
}

static void name(hf_metrics_page *p, const char *family, const char *suffix, const char *labels) {
    hf_buf_printf(p->out, *labels ? "%s%s{%s} " : "%s%s%s ", family, suffix, labels);
}

void hf_metrics_int(hf_metrics_page *p, const char *family, const char *suffix, const char *labels, int64_t value) {
    name(p, family, suffix, labels);
    hf_buf_printf(p->out, "%lld\n", (long long)value);
}

void hf_metrics_float(hf_metrics_page *p, const char *family, const char *suffix, const char *labels, double value) {
    char text[HF_METRICS_NUMBER];
    name(p, family, suffix, labels);
    hf_buf_printf(p->out, "%s\n", hf_metrics_number(value, p->open, text));
}

void hf_metrics_bucket(hf_metrics_page *p, const char *family, const char *labels, double bound, int64_t count,
                       const hf_exemplar *exemplar) {
    char text[HF_METRICS_NUMBER];
    hf_buf_printf(p->out, "%s_bucket{%s%sle=\"%s\"} %lld", family, labels, *labels ? "," : "",
                  hf_metrics_number(bound, p->open, text), (long long)count);
    if (p->open && exemplar && exemplar->at_ms)
        hf_buf_printf(p->out, " # {%s} %s %lld.%03lld", exemplar->labels,
                      hf_metrics_number(exemplar->value, true, text), (long long)(exemplar->at_ms / 1000),
                      (long long)(exemplar->at_ms % 1000));
    hf_buf_printf(p->out, "\n");
}

/* ---- Accept (RFC 9110 section 12.5.1) --------------------------------------------------------------------------- */
typedef struct range {
    char type[64], version[16];
    double q;
} range;

static const char *read_range(const char *at, range *ret) {
    size_t len = strcspn(at, ","), type = strcspn(at, ",; ");
    const char *end = at + len;
    *ret = (range){.q = 1};
    snprintf(ret->type, sizeof ret->type, "%.*s", (int)type, at);
    for (const char *p = memchr(at, ';', len); p; p = memchr(p, ';', (size_t)(end - p))) {
        p += 1 + strspn(p + 1, " ");
        if (strncasecmp(p, "q=", 2) == 0)
            ret->q = strtod(p + 2, NULL);
        else if (strncasecmp(p, "version=", 8) == 0)
            snprintf(ret->version, sizeof ret->version, "%.*s", (int)strcspn(p + 8, ",; "), p + 8);
    }
    return *end ? end + 1 + strspn(end + 1, " ") : end;
}

bool hf_metrics_wants_open(const char *accept) {
    double open = 0, plain = 0;
    for (range r; accept && *accept;) {
        accept = read_range(accept, &r);
        bool ours = !*r.version || strcmp(r.version, "1.0.0") == 0;
        if (strcasecmp(r.type, "application/openmetrics-text") == 0 && ours && r.q > open)
            open = r.q;
        if (strncasecmp(r.type, "text/", 5) == 0 && r.q > plain)
            plain = r.q;
    }
    return open > 0 && open >= plain;
}
