/* POSIX.1-2017 pax ("pax Interchange Format", "ustar Interchange Format"); GNU tar manual, "Basic Tar Format". */
#include "consumer/pipeline/tar_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/tar.h"
#include "schemas/base/mem.h"

enum { AT_NAME = 0, AT_SIZE = 124, AT_SUM = 148, AT_TYPE = 156, AT_MAGIC = 257, AT_PREFIX = 345 };
enum { NAME_BYTES = 100, PREFIX_BYTES = 155, SCAN_BLOCK = 64 * 1024, EXTENDED_IN_A_ROW = 8 };

/* What extended headers say about the member behind them. */
typedef struct extension {
    bool has_name, has_size, sparse;
    int64_t size_bytes;
} extension;

hf_code hf_tar_reader_init(hf_tar_reader *reader, int fd, int64_t size_bytes, hf_findings *findings, hf_err *reterr) {
    *reader = (hf_tar_reader){.fd = fd, .size_bytes = size_bytes, .findings = findings};
    reader->extended = hf_alloc(HF_TAR_EXTENDED_MAX);
    return reader->extended ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a reader of archives");
}

void hf_tar_reader_done(hf_tar_reader *reader) {
    free(reader->extended);
    reader->extended = NULL;
}

/* ---- numbers and sums ------------------------------------------------------------------------------- */
static bool all_zero(const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/* Octal digits between blanks, up to a NUL or blank; or GNU's base-256: the top bit, then big-endian. */
static bool read_number(const uint8_t *field, size_t len, int64_t *ret) {
    size_t i = 0;
    int64_t value = 0;
    if (field[0] & 0x80) {
        if (field[0] != 0x80 || len < 9 || !all_zero(field + 1, len - 9) || field[len - 8] & 0x80)
            return false;
        *ret = (int64_t)hf_be64(field + len - 8);
        return true;
    }
    while (i < len && field[i] == ' ')
        i++;
    size_t first = i;
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (field[i] - '0');
    if (i == first)
        return false;
    for (; i < len; i++)
        if (field[i] != ' ' && field[i] != 0)
            return false;
    *ret = value;
    return true;
}

static bool sum_agrees(const uint8_t block[HF_TAR_BLOCK]) {
    int64_t want;
    int64_t sum = 8 * ' ';
    for (int i = 0; i < HF_TAR_BLOCK; i++)
        sum += i >= AT_SUM && i < AT_SUM + 8 ? 0 : block[i];
    return read_number(block + AT_SUM, 8, &want) && want == sum;
}

/* ---- the end ---------------------------------------------------------------------------------------------- */
static void stop(hf_tar_reader *r, hf_finding_id id, const char *what) {
    hf_finding_add(r->findings, id, NULL, "%s, at offset %" PRId64, what, r->at);
    r->over = true;
}

/* Whether anything but zeros lies behind `from`; holes are passed over. */
static hf_code find_trailing(hf_tar_reader *r, int64_t from, hf_err *reterr) {
    while (from < r->size_bytes) {
        off_t data = lseek(r->fd, from, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return HF_OK;
        from = data > from ? data : from;
        size_t n = r->size_bytes - from < SCAN_BLOCK ? (size_t)(r->size_bytes - from) : SCAN_BLOCK;
        hf_code rc = hf_read_fully(r->fd, r->extended, n, from, reterr);
        if (rc != HF_OK)
            return rc;
        if (!all_zero(r->extended, n)) {
            size_t i = 0;
            while (!r->extended[i])
                i++;
            hf_finding_add(r->findings, HF_FIND_TAR_TRAILING, NULL, "bytes at offset %" PRId64 " of %" PRId64,
                           from + (int64_t)i, r->size_bytes);
            return HF_OK;
        }
        from += (int64_t)n;
    }
    return HF_OK;
}

/* A block of zeros: the first of two that end the archive. */
static hf_code end_here(hf_tar_reader *r, hf_err *reterr) {
    uint8_t second[HF_TAR_BLOCK];
    int64_t behind = r->at + HF_TAR_BLOCK;
    r->over = true;
    if (behind + HF_TAR_BLOCK > r->size_bytes) {
        hf_finding_add(r->findings, HF_FIND_TAR_NO_END, NULL, "one block of zeros at offset %" PRId64 ", and no second",
                       r->at);
        return HF_OK;
    }
    hf_code rc = hf_read_fully(r->fd, second, sizeof second, behind, reterr);
    if (rc == HF_OK && !all_zero(second, sizeof second))
        hf_finding_add(r->findings, HF_FIND_TAR_NO_END, NULL, "a lone block of zeros at offset %" PRId64, r->at);
    return rc == HF_OK ? find_trailing(r, behind, reterr) : rc;
}

/* ---- extended headers -------------------------------------------------------------------------------------- */
static bool take_name(hf_tar_entry *e, extension *x, const uint8_t *text, size_t len) {
    if (len > HF_TAR_ENTRY_NAME_MAX)
        return false;
    memcpy(e->name, text, len);
    e->name[len] = 0;
    e->name_len = (uint32_t)len;
    x->has_name = true;
    return true;
}

static bool take_decimal(const uint8_t *text, size_t len, int64_t *ret) {
    int64_t value = 0;
    if (len == 0 || len > 18)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

static bool key_is(const uint8_t *key, size_t len, const char *name) {
    return len == strlen(name) && memcmp(key, name, len) == 0;
}

static bool take_record(hf_tar_entry *e, extension *x, const uint8_t *key, size_t key_len, const uint8_t *value,
                        size_t value_len) {
    if (key_is(key, key_len, "path"))
        return take_name(e, x, value, value_len);
    if (key_is(key, key_len, "size")) {
        x->has_size = true;
        return take_decimal(value, value_len, &x->size_bytes);
    }
    if (key_len > 11 && memcmp(key, "GNU.sparse.", 11) == 0)
        x->sparse = true;
    return true; /* times, owners, comments, attributes: nothing that changes what the member is */
}

/* Records "LENGTH KEY=VALUE\n". */
static bool take_pax(hf_tar_entry *e, extension *x, const uint8_t *text, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t digits = 0;
        int64_t size;
        while (at + digits < len && text[at + digits] >= '0' && text[at + digits] <= '9')
            digits++;
        if (at + digits >= len || text[at + digits] != ' ' || !take_decimal(text + at, digits, &size) ||
            size > (int64_t)(len - at) || size < (int64_t)digits + 4 || text[at + (size_t)size - 1] != '\n')
            return false;
        const uint8_t *key = text + at + digits + 1, *end = text + at + size - 1;
        const uint8_t *equals = memchr(key, '=', (size_t)(end - key));
        if (!equals || !take_record(e, x, key, (size_t)(equals - key), equals + 1, (size_t)(end - equals - 1)))
            return false;
        at += (size_t)size;
    }
    return true;
}

/* The extended header in block; its payload is read. False: it is broken. */
static hf_code take_extended(hf_tar_reader *r, const uint8_t block[HF_TAR_BLOCK], hf_tar_entry *e, extension *x,
                             hf_err *reterr) {
    int64_t size;
    char type = (char)block[AT_TYPE];
    if (!read_number(block + AT_SIZE, 12, &size) || size < 0 || size > HF_TAR_EXTENDED_MAX) {
        stop(r, HF_FIND_TAR_HEADER, "an extended header of more bytes than are read");
        return HF_OK;
    }
    if (hf_tar_padded(size) > r->size_bytes - r->at - HF_TAR_BLOCK) {
        stop(r, HF_FIND_TAR_TRUNCATED, "the file ends in an extended header");
        return HF_OK;
    }
    hf_code rc = hf_read_fully(r->fd, r->extended, (size_t)size, r->at + HF_TAR_BLOCK, reterr);
    if (rc != HF_OK)
        return rc;
    size_t len = (size_t)size;
    bool good = true;
    if (type == 'x')
        good = take_pax(e, x, r->extended, len);
    else if (type == 'L')
        good = take_name(e, x, r->extended, len && !r->extended[len - 1] ? len - 1 : len);
    else if (type == 'g') { /* for all that follow: only what changes nothing is taken */
        hf_tar_entry ignored_entry = {0};
        extension global = {0};
        good = take_pax(&ignored_entry, &global, r->extended, len) && !global.has_name && !global.has_size &&
               !global.sparse;
    }
    if (!good)
        stop(r, HF_FIND_TAR_HEADER, "an extended header that is malformed or changes all members");
    r->at += HF_TAR_BLOCK + hf_tar_padded(size);
    return HF_OK;
}

/* ---- members ------------------------------------------------------------------------------------------------- */
/* The name field: up to the first NUL; what is not zero behind that counts as part of the name, so that it is seen. */
static uint32_t field_length(const uint8_t *field, uint32_t room) {
    uint32_t len = room;
    while (len > 0 && !field[len - 1])
        len--;
    return len;
}

static void take_plain_name(const uint8_t block[HF_TAR_BLOCK], hf_tar_entry *e) {
    uint32_t n = 0, name = field_length(block + AT_NAME, NAME_BYTES);
    if (memcmp(block + AT_MAGIC, "ustar\0", 6) == 0 && block[AT_PREFIX]) {
        n = field_length(block + AT_PREFIX, PREFIX_BYTES);
        memcpy(e->name, block + AT_PREFIX, n);
        e->name[n++] = '/';
    }
    memcpy(e->name + n, block + AT_NAME, name);
    e->name_len = n + name;
    e->name[e->name_len] = 0;
}

static void take_member(hf_tar_reader *r, const uint8_t block[HF_TAR_BLOCK], const extension *x, hf_tar_entry *e) {
    int64_t size;
    if (!x->has_name)
        take_plain_name(block, e);
    if (!read_number(block + AT_SIZE, 12, &size) && !x->has_size) {
        stop(r, HF_FIND_TAR_HEADER, "a member's size is not a number");
        return;
    }
    char type = (char)block[AT_TYPE];
    e->type = x->sparse ? 'S' : type == 0 || type == '7' ? '0' : type;
    e->size_bytes = x->has_size ? x->size_bytes : size;
    if (e->type >= '1' && e->type <= '6')
        e->size_bytes = 0; /* links, devices, directories: nothing follows, whatever the field says */
    e->base = r->at + HF_TAR_BLOCK;
    if (e->size_bytes > r->size_bytes - e->base) {
        char shown[128];
        hf_printable(shown, sizeof shown, e->name, e->name_len);
        hf_finding_add(r->findings, HF_FIND_TAR_TRUNCATED, shown,
                       "%" PRId64 " bytes from offset %" PRId64 " on, and the file has %" PRId64, e->size_bytes,
                       e->base, r->size_bytes);
        r->over = true;
        return;
    }
    r->at = e->base + hf_tar_padded(e->size_bytes);
}

/* One block at r->at. *ret_member: it was a member's header. */
static hf_code take_block(hf_tar_reader *r, hf_tar_entry *e, extension *x, bool *ret_member, hf_err *reterr) {
    uint8_t block[HF_TAR_BLOCK];
    hf_code rc = hf_read_fully(r->fd, block, sizeof block, r->at, reterr);
    if (rc != HF_OK)
        return rc;
    if (all_zero(block, sizeof block)) {
        if (e->header_at != r->at)
            stop(r, HF_FIND_TAR_HEADER, "an extended header without a member");
        return r->over ? HF_OK : end_here(r, reterr);
    }
    if (!sum_agrees(block)) {
        stop(r, HF_FIND_TAR_HEADER, "not a tar header");
        return HF_OK;
    }
    switch (block[AT_TYPE]) {
    case 'x':
    case 'g':
    case 'L':
    case 'K': return take_extended(r, block, e, x, reterr);
    default:
        take_member(r, block, x, e);
        *ret_member = !r->over;
        return HF_OK;
    }
}

hf_code hf_tar_reader_next(hf_tar_reader *r, hf_tar_entry *ret, bool *ret_more, hf_err *reterr) {
    extension x = {0};
    bool member = false;
    hf_code rc = HF_OK;
    memset(ret, 0, offsetof(hf_tar_entry, name) + 1);
    ret->name_len = 0;
    ret->header_at = r->at;
    for (int i = 0; rc == HF_OK && !member && !r->over; i++) {
        if (i > EXTENDED_IN_A_ROW)
            stop(r, HF_FIND_TAR_HEADER, "too many extended headers in a row");
        else if (r->at == r->size_bytes && ret->header_at == r->at)
            stop(r, HF_FIND_TAR_NO_END, "the file ends without an end");
        else if (r->size_bytes - r->at < HF_TAR_BLOCK)
            stop(r, HF_FIND_TAR_TRUNCATED, "the file ends in a header");
        else
            rc = take_block(r, ret, &x, &member, reterr);
    }
    if (rc == HF_OK && member && ret->base - ret->header_at > HF_TAR_BLOCK)
        hf_finding_add(r->findings, HF_FIND_TAR_EXTENDED, ret->name, "%" PRId64 " bytes of extended headers",
                       ret->base - ret->header_at - HF_TAR_BLOCK);
    *ret_more = member;
    return rc;
}
