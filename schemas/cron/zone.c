#include "schemas/cron/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "schemas/base/mem.h"
#include "schemas/cron/civil.h"
#include "schemas/cron/rule.h"

struct hf_zone {
    size_t count; /* transitions */
    bool has_rule;
    hf_tz_rule rule; /* after the last transition */
    int32_t first_s; /* offset before the first */
    struct {
        int64_t at_s;
        int32_t offset_s; /* from at_s on */
    } change[];
};

void hf_zone_free(hf_zone *zone) { free(zone); }

/* ---- TZif ------------------------------------------------------------------------------------------ */
enum { HEADER_BYTES = 44, TYPE_BYTES = 6 };

typedef struct header {
    uint8_t version; /* 0 (version 1), '2' … */
    uint32_t isut, isstd, leap, time, type, chars;
} header;
typedef struct reader {
    const uint8_t *p;
    size_t left;
} reader;

static uint64_t big_endian(const uint8_t *p, int bytes) {
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

static const uint8_t *take(reader *r, size_t bytes) {
    if (bytes > r->left)
        return NULL;
    const uint8_t *p = r->p;
    r->p += bytes;
    r->left -= bytes;
    return p;
}

static hf_code take_header(reader *r, header *ret, hf_err *reterr) {
    const uint8_t *p = take(r, HEADER_BYTES);
    if (!p || memcmp(p, "TZif", 4) != 0)
        return hf_fail(reterr, HF_E_PARSE, "not a TZif file");
    *ret = (header){.version = p[4],
                    .isut = (uint32_t)big_endian(p + 20, 4),
                    .isstd = (uint32_t)big_endian(p + 24, 4),
                    .leap = (uint32_t)big_endian(p + 28, 4),
                    .time = (uint32_t)big_endian(p + 32, 4),
                    .type = (uint32_t)big_endian(p + 36, 4),
                    .chars = (uint32_t)big_endian(p + 40, 4)};
    const uint32_t counts[] = {ret->isut, ret->isstd, ret->leap, ret->time, ret->type, ret->chars};
    for (size_t i = 0; i < HF_ARRAY_LEN(counts); i++)
        if (counts[i] > HF_ZONE_TRANSITIONS_MAX)
            return hf_fail(reterr, HF_E_LIMIT, "a table has %u entries; at most %d are read", counts[i],
                           HF_ZONE_TRANSITIONS_MAX);
    return HF_OK;
}

static size_t block_bytes(const header *h, size_t time_bytes) {
    return h->time * (time_bytes + 1) + h->type * (size_t)TYPE_BYTES + h->chars + h->leap * (time_bytes + 4) +
           h->isstd + h->isut;
}

static int64_t signed_time(const uint8_t *p, int bytes) {
    uint64_t n = big_endian(p, bytes);
    return bytes == 8 ? (int64_t)n : (int64_t)(int32_t)(uint32_t)n;
}

/* Offsets lie within a week's hours at most (RFC 9636 3.2: -25 h to 26 h). */
static bool read_offset(const uint8_t *types, const header *h, uint8_t index, int32_t *ret) {
    if (index >= h->type)
        return false;
    *ret = (int32_t)(uint32_t)big_endian(types + (size_t)index * TYPE_BYTES, 4);
    return *ret > -25 * HF_HOUR_S && *ret < 26 * HF_HOUR_S;
}

static hf_code read_block(reader *r, const header *h, int time_bytes, hf_zone *zone, hf_err *reterr) {
    size_t bytes = (size_t)time_bytes;
    if (h->leap > 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "it counts leap seconds (a \"right/\" zone), which schedules do not");
    const uint8_t *p = take(r, block_bytes(h, bytes));
    if (!p)
        return hf_fail(reterr, HF_E_PARSE, "the file ends within its table");
    const uint8_t *indexes = p + h->time * bytes, *types = indexes + h->time;
    if (!read_offset(types, h, 0, &zone->first_s))
        return hf_fail(reterr, HF_E_PARSE, "it has no type of local time that makes sense");
    for (uint32_t i = 0; i < h->time; i++) {
        zone->change[i].at_s = signed_time(p + i * bytes, time_bytes);
        if (i > 0 && zone->change[i].at_s <= zone->change[i - 1].at_s)
            return hf_fail(reterr, HF_E_PARSE, "transition %u is not later than the one before", i);
        if (!read_offset(types, h, indexes[i], &zone->change[i].offset_s))
            return hf_fail(reterr, HF_E_PARSE, "transition %u has a type that makes no sense", i);
    }
    zone->count = h->time;
    return HF_OK;
}

static hf_code read_footer(reader *r, hf_zone *zone, hf_err *reterr) {
    const uint8_t *end = r->left > 1 && r->p[0] == '\n' ? memchr(r->p + 1, '\n', r->left - 1) : NULL;
    if (!end)
        return hf_fail(reterr, HF_E_PARSE, "the footer is missing or has no end");
    size_t len = (size_t)(end - r->p) - 1;
    if (len > HF_ZONE_FOOTER_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the footer has %zu bytes; at most %d are read", len, HF_ZONE_FOOTER_MAX);
    zone->has_rule = len > 0;
    return len ? hf_tz_rule_parse((hf_str){(const char *)r->p + 1, (uint32_t)len}, &zone->rule, reterr) : HF_OK;
}

static hf_code read_file(reader *r, hf_zone *zone, hf_err *reterr) {
    header h;
    hf_code code = take_header(r, &h, reterr);
    if (code || h.version == 0)
        return code ? code : read_block(r, &h, 4, zone, reterr);
    if (!take(r, block_bytes(&h, 4))) /* the 32-bit table is for readers that know no better */
        return hf_fail(reterr, HF_E_PARSE, "the file ends within its first table");
    code = take_header(r, &h, reterr);
    if (!code)
        code = read_block(r, &h, 8, zone, reterr);
    return code ? code : read_footer(r, zone, reterr);
}

hf_code hf_zone_parse(const uint8_t *bytes, size_t size, hf_zone **ret, hf_err *reterr) {
    if (size > HF_ZONE_FILE_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "larger than %d bytes", HF_ZONE_FILE_MAX);
    hf_zone *zone = hf_alloc(sizeof *zone + HF_ZONE_TRANSITIONS_MAX * sizeof zone->change[0]);
    if (!zone)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a time zone");
    reader r = {bytes, size};
    hf_code code = read_file(&r, zone, reterr);
    if (code) {
        hf_zone_free(zone);
        return code;
    }
    hf_zone *small = hf_realloc(zone, sizeof *zone + zone->count * sizeof zone->change[0]);
    *ret = small ? small : zone;
    return HF_OK;
}

/* ---- files ------------------------------------------------------------------------------------------ */
bool hf_zone_name_ok(hf_str name) {
    if (name.len == 0 || name.len > HF_ZONE_NAME_MAX || name.p[name.len - 1] == '/')
        return false;
    for (uint32_t i = 0; i < name.len; i++) {
        char c = name.p[i], before = i ? name.p[i - 1] : '/';
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                     c == '+' || c == '-';
        bool inner = (c == '.' || c == '/') && before != '/' && !(c == '.' && before == '.');
        if (!plain && !inner)
            return false;
    }
    return true;
}

static hf_code read_all(int fd, uint8_t *bytes, size_t size, size_t *ret_len, hf_err *reterr) {
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, bytes + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_fail_errno(reterr, errno, "read");
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return HF_OK;
}

static hf_code load_file(const char *path, hf_zone **ret, hf_err *reterr) {
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return hf_fail(reterr, HF_E_NOT_FOUND, "no such zone in " HF_ZONE_FOLDER " (the package tzdata has them all)");
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "open");
    if (!S_ISREG(st.st_mode))
        return hf_fail(reterr, HF_E_NOT_FOUND, "that is no zone");
    hf_auto_free uint8_t *bytes = hf_alloc(HF_ZONE_FILE_MAX + 1);
    if (!bytes)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a time zone's file");
    size_t len = 0;
    hf_code code = read_all(fd, bytes, HF_ZONE_FILE_MAX + 1, &len, reterr);
    return code ? code : hf_zone_parse(bytes, len, ret, reterr);
}

hf_code hf_zone_load(hf_str name, hf_zone **ret, hf_err *reterr) {
    if (name.len == 0 || hf_str_eqz(name, "UTC")) {
        hf_zone *utc = hf_alloc(sizeof *utc);
        if (!utc)
            return hf_fail(reterr, HF_E_NO_MEMORY, "a time zone");
        *ret = utc;
        return HF_OK;
    }
    if (!hf_zone_name_ok(name))
        return hf_fail(reterr, HF_E_INVALID, "this is not shaped like a time zone's name (Europe/Berlin is)");
    char path[sizeof HF_ZONE_FOLDER + 1 + HF_ZONE_NAME_MAX];
    snprintf(path, sizeof path, HF_ZONE_FOLDER "/%.*s", HF_STR_ARG(name));
    hf_code code = load_file(path, ret, reterr);
    if (code)
        hf_context(reterr, "time zone %.*s", HF_STR_ARG(name));
    return code;
}

/* ---- questions -------------------------------------------------------------------------------------- */
hf_zone_span hf_zone_at(const hf_zone *zone, int64_t unix_s) {
    if (!zone)
        return (hf_zone_span){INT64_MIN, INT64_MAX, 0};
    size_t low = 0, high = zone->count; /* transitions at or before the instant */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->change[middle].at_s <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    int64_t start = low ? zone->change[low - 1].at_s : INT64_MIN;
    if (low < zone->count)
        return (hf_zone_span){start, zone->change[low].at_s, low ? zone->change[low - 1].offset_s : zone->first_s};
    if (!zone->has_rule)
        return (hf_zone_span){start, INT64_MAX, low ? zone->change[low - 1].offset_s : zone->first_s};
    hf_zone_span span = hf_tz_rule_at(&zone->rule, unix_s);
    if (span.start_s < start)
        span.start_s = start;
    return span;
}

/* Offsets differ by 51 hours at most, so the spans that may show a local time lie within a few days of it. */
int64_t hf_zone_first(const hf_zone *zone, int64_t local_s) {
    enum { REACH_S = 27 * HF_HOUR_S, SPANS_MAX = 64 };
    hf_zone_span span = hf_zone_at(zone, local_s - REACH_S);
    for (int i = 0; i < SPANS_MAX; i++) {
        int64_t at = local_s - span.offset_s;
        if (at < span.start_s)
            return span.start_s; /* the clocks were set forward over it */
        if (at < span.end_s)
            return at;
        span = hf_zone_at(zone, span.end_s);
    }
    return local_s - span.offset_s;
}

const char *hf_zone_format(const hf_zone *zone, int64_t unix_s, char text[HF_ZONE_TIME_BYTES]) {
    int minutes = hf_zone_at(zone, unix_s).offset_s / HF_MINUTE_S;
    hf_civil c = hf_civil_of(unix_s + minutes * HF_MINUTE_S);
    text[0] = 0;
    if (c.year < 0 || c.year > 9999)
        return text;
    int n = snprintf(text, HF_ZONE_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d", (int)c.year, c.month, c.day, c.hour,
                     c.minute, c.second);
    size_t at = (size_t)n, left = HF_ZONE_TIME_BYTES - at;
    if (minutes == 0)
        snprintf(text + at, left, "Z");
    else
        snprintf(text + at, left, "%c%02d:%02d", minutes < 0 ? '-' : '+', abs(minutes) / 60, abs(minutes) % 60);
    return text;
}
