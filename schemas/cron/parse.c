#include <stdarg.h>
#include <stdio.h>

#include "schemas/base/mem.h"
#include "schemas/cron/private.h"

typedef struct field {
    const char *name;
    unsigned min, max;
    const char *words; /* three letters each, the first is `min` */
} field;
static const field fields[] = {{"minute", 0, 59, ""},
                               {"hour", 0, 23, ""},
                               {"day of month", 1, 31, ""},
                               {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                               {"day of week", 0, 6, "sunmontuewedthufrisat"}};
enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

typedef struct parser {
    const char *start; /* of the whole text */
    size_t at;         /* of the error, when there is one */
    hf_err *reterr;
} parser;

static hf_code fault(parser *p, const char *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
static hf_code fault(parser *p, const char *at, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->at = (size_t)(at - p->start);
    return hf_fail(p->reterr, HF_E_INVALID, "column %zu: %s", p->at + 1, text);
}

/* ---- white space ------------------------------------------------------------------------------------- */
/* Bytes of the white space (Unicode's White_Space, in UTF-8) that begins here; 0: none does. */
static size_t space_bytes(const char *p, const char *end) {
    const unsigned char *u = (const unsigned char *)p;
    if (p == end)
        return 0;
    if (u[0] < 0x80)
        return u[0] == ' ' || (u[0] >= '\t' && u[0] <= '\r');
    if (end - p >= 2 && u[0] == 0xc2)
        return u[1] == 0x85 || u[1] == 0xa0 ? 2 : 0;
    if (end - p < 3)
        return 0;
    unsigned code = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    bool three = (u[0] & 0xf0) == 0xe0 && (u[1] & 0xc0) == 0x80 && (u[2] & 0xc0) == 0x80;
    bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
                 code == 0x202f || code == 0x205f || code == 0x3000;
    return three && space ? 3 : 0;
}

static hf_str trim(const char *p, const char *end) {
    for (size_t n; (n = space_bytes(p, end)) > 0;)
        p += n;
    const char *last = p;
    for (const char *q = p; q < end;) {
        size_t n = space_bytes(q, end);
        q += n ? n : 1;
        if (!n)
            last = q;
    }
    return (hf_str){p, (uint32_t)(last - p)};
}

/* The next word; *from moves behind it. Empty at the end. */
static hf_str take_word(const char **from, const char *end) {
    const char *p = *from;
    for (size_t n; (n = space_bytes(p, end)) > 0;)
        p += n;
    const char *start = p;
    while (p < end && space_bytes(p, end) == 0)
        p++;
    *from = p;
    return (hf_str){start, (uint32_t)(p - start)};
}

/* ---- one field --------------------------------------------------------------------------------------- */
typedef struct set {
    uint64_t bits;
    bool star;     /* for the rule of days */
    bool wildcard; /* for daylight saving */
} set;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* A whole number as Go's Atoi takes it: any zeros in front, a plus. Numbers too large to matter are all the same. */
static hf_code read_number(parser *p, const field *f, hf_str text, uint64_t *ret) {
    uint32_t i = text.len > 0 && (text.p[0] == '+' || text.p[0] == '-');
    bool negative = i && text.p[0] == '-';
    uint64_t n = 0;
    const char *at = text.p;
    if (i == text.len)
        return fault(p, at, "%s: a number is missing", f->name);
    for (; i < text.len; i++) {
        if (!is_digit(text.p[i]))
            return fault(p, text.p, "%s: this is neither a number nor a name of one", f->name);
        uint64_t digit = (uint64_t)(text.p[i] - '0');
        if (n > (INT64_MAX - digit) / 10)
            return fault(p, at, "%s: this number is too large", f->name);
        n = n * 10 + digit;
    }
    if (negative && n > 0)
        return fault(p, at, "%s: a number must not be negative", f->name);
    *ret = n;
    return HF_OK;
}

static hf_code read_value(parser *p, const field *f, hf_str text, uint64_t *ret) {
    for (unsigned i = 0; text.len == 3 && f->words[i]; i += 3) {
        bool same = true;
        for (unsigned k = 0; k < 3; k++)
            same = same && (text.p[k] >= 'A' && text.p[k] <= 'Z' ? text.p[k] + 32 : text.p[k]) == f->words[i + k];
        if (same) {
            *ret = f->min + i / 3;
            return HF_OK;
        }
    }
    return read_number(p, f, text, ret);
}

/* Cuts at the first `c`; false: there is none, and all of it is the head. */
static bool cut(hf_str text, char c, hf_str *ret_head, hf_str *ret_tail) {
    const char *at = memchr(text.p, c, text.len);
    *ret_head = at ? (hf_str){text.p, (uint32_t)(at - text.p)} : text;
    *ret_tail = at ? (hf_str){at + 1, text.len - ret_head->len - 1} : HF_STR_NONE;
    return at != NULL;
}

typedef struct range {
    uint64_t first, last, step;
    bool star, single;
} range;

static hf_code read_ends(parser *p, const field *f, hf_str text, range *r) {
    hf_str low, high;
    r->single = !cut(text, '-', &low, &high);
    r->star = hf_str_eqz(low, "*") || hf_str_eqz(low, "?");
    if (r->star) {
        r->first = f->min;
        r->last = f->max;
        return HF_OK;
    }
    hf_code code = read_value(p, f, low, &r->first);
    r->last = r->first;
    if (code || r->single)
        return code;
    const char *more = memchr(high.p, '-', high.len);
    return more ? fault(p, more, "%s: too many hyphens", f->name) : read_value(p, f, high, &r->last);
}

static hf_code read_item(parser *p, const field *f, hf_str item, range *r) {
    hf_str ends, step;
    bool stepped = cut(item, '/', &ends, &step);
    hf_code code = read_ends(p, f, ends, r);
    r->step = 1;
    if (code || !stepped)
        return code;
    const char *more = memchr(step.p, '/', step.len);
    if (more)
        return fault(p, more, "%s: too many slashes", f->name);
    if ((code = read_number(p, f, step, &r->step)))
        return code;
    if (r->single)
        r->last = f->max;
    return r->step ? HF_OK : fault(p, step.p, "%s: a step must be 1 or more", f->name);
}

static hf_code check_range(parser *p, const field *f, hf_str item, const range *r) {
    if (r->first < f->min)
        return fault(p, item.p, "%s: %ju is below %u", f->name, (uintmax_t)r->first, f->min);
    uint64_t beyond = r->first > f->max ? r->first : r->last;
    if (beyond > f->max)
        return fault(p, item.p, "%s: %ju is above %u", f->name, (uintmax_t)beyond, f->max);
    if (r->first > r->last)
        return fault(p, item.p, "%s: the range begins (%ju) behind its end (%ju)", f->name, (uintmax_t)r->first,
                     (uintmax_t)r->last);
    return HF_OK;
}

static hf_code read_field(parser *p, const field *f, hf_str text, set *ret) {
    *ret = (set){0};
    hf_str item, rest = text;
    for (bool more = true; more;) {
        more = cut(rest, ',', &item, &rest);
        if (item.len == 0)
            continue;
        range r = {0};
        hf_code code = read_item(p, f, item, &r);
        if (!code)
            code = check_range(p, f, item, &r);
        if (code)
            return code;
        for (uint64_t n = r.first; n <= r.last; n += r.step)
            ret->bits |= (uint64_t)1 << n;
        ret->star = ret->star || (r.star && r.step == 1);
        ret->wildcard = ret->wildcard || r.star;
    }
    return HF_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */
static void take_sets(const set sets[FIELDS], hf_cron *cron) {
    cron->minutes = sets[MINUTE].bits;
    cron->hours = sets[HOUR].bits;
    cron->days = sets[DAY].bits;
    cron->months = sets[MONTH].bits;
    cron->weekdays = sets[WEEKDAY].bits;
    cron->day_star = sets[DAY].star;
    cron->weekday_star = sets[WEEKDAY].star;
    cron->follows_clock = sets[MINUTE].wildcard || sets[HOUR].wildcard;
}

static hf_code read_fields(parser *p, hf_str text, hf_cron *cron) {
    hf_str words[FIELDS];
    const char *from = text.p, *end = text.p + text.len;
    size_t count = 0;
    for (hf_str word; (word = take_word(&from, end)).len > 0; count++) {
        if (count == FIELDS)
            return fault(p, word.p,
                         "a schedule has 5 fields (minute hour day month weekday); here begins one too many");
        words[count] = word;
    }
    if (count < FIELDS)
        return fault(p, end, "a schedule has 5 fields (minute hour day month weekday); %s is missing here",
                     fields[count].name);
    set sets[FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        hf_code code = read_field(p, &fields[i], words[i], &sets[i]);
        if (code)
            return code;
    }
    take_sets(sets, cron);
    return HF_OK;
}

static hf_code read_every(parser *p, hf_str text, hf_cron *cron) {
    int64_t ns;
    if (!hf_cron_duration(text, &ns))
        return fault(p, text.p, "@every needs a duration like 1h30m or 90s behind one space");
    cron->every_s = ns < 1000000000 ? 1 : ns / 1000000000;
    return HF_OK;
}

static hf_code read_descriptor(parser *p, hf_str text, hf_cron *cron) {
    static const struct {
        const char *name, *fields;
    } known[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                 {"@hourly", "0 * * * *"}};
    static const hf_str every = HF_STR_INIT("@every ");
    for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
        if (hf_str_eqz(text, known[i].name))
            return read_fields(p, hf_str_of(known[i].fields), cron);
    if (hf_str_starts(text, every))
        return read_every(p, (hf_str){text.p + every.len, text.len - every.len}, cron);
    return fault(p, text.p,
                 "give @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every DURATION");
}

/* `TZ=NAME ` in front; *text moves behind it. */
static hf_code take_zone(parser *p, hf_str *text, hf_cron *cron) {
    bool tz = hf_str_starts(*text, HF_STR("TZ="));
    if (!tz && !hf_str_starts(*text, HF_STR("CRON_TZ=")))
        return HF_OK;
    const char *name = text->p + (tz ? 3 : 8), *end = text->p + text->len;
    const char *space = memchr(name, ' ', (size_t)(end - name));
    if (!space)
        return fault(p, end, "behind the time zone a space and the schedule are missing");
    hf_str zone = {name, (uint32_t)(space - name)};
    if (zone.len > 0 && !hf_zone_name_ok(zone))
        return fault(p, name, "this is not shaped like a time zone's name (Europe/Berlin is)");
    *text = trim(space, end);
    if (hf_str_eqz(zone, "Local"))
        return HF_OK;
    cron->has_zone = true;
    if (zone.len > 0)
        memcpy(cron->zone, zone.p, zone.len);
    return HF_OK;
}

static hf_code parse(parser *p, hf_str text, hf_cron *cron) {
    if (text.len == 0)
        return fault(p, text.p, "the schedule is empty");
    if (text.len > HF_CRON_TEXT_MAX)
        return hf_fail(p->reterr, HF_E_LIMIT, "the schedule has %u bytes; at most %d are read", text.len,
                       HF_CRON_TEXT_MAX);
    hf_code code = take_zone(p, &text, cron);
    if (code)
        return code;
    return hf_str_starts(text, HF_STR("@")) ? read_descriptor(p, text, cron) : read_fields(p, text, cron);
}

hf_code hf_cron_parse(hf_str text, hf_cron *ret, size_t *ret_at, hf_err *reterr) {
    hf_cron cron = {0};
    if (!text.p)
        text.p = "";
    parser p = {.start = text.p, .reterr = reterr};
    hf_code code = parse(&p, text, &cron);
    if (!code)
        *ret = cron;
    else if (ret_at)
        *ret_at = p.at;
    return code;
}

hf_code hf_cron_zone(const hf_cron *cron, hf_str otherwise, hf_zone **ret, hf_err *reterr) {
    return hf_zone_load(cron->has_zone ? hf_str_of(cron->zone) : otherwise, ret, reterr);
}
