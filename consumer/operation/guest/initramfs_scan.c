/* The walk through an initramfs: a buffered stream of its bytes, a second one of what a decompressor makes of its last part. */
#include "consumer/operation/guest/initramfs_scan.h"

#include <archive.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/base/mem.h"

enum { PIECE = 128 * 1024, HEADER = 110, NAME_MAX_BYTES = 4096, ENTRIES_MAX = 500000 };

typedef struct look look;

typedef struct stream {
    ssize_t (*fill)(struct stream *s, void *to, size_t len);
    look *look;
    void *ctx;
    uint8_t *data;
    size_t at, len;
    int64_t passed; /* bytes taken so far */
    bool ended;
} stream;

struct look {
    hf_initramfs_read *read;
    const char *version;
    const char *const *wanted;
    bool whole, done, read_failed;
    int64_t left; /* of what may be looked at */
    uint32_t all; /* bits of everything that is wanted */
    hf_initramfs_scan *scan;
};

/* ---- the stream ------------------------------------------------------------------------------------------------------------- */
static void say(look *l, hf_initramfs_state state, const char *why) {
    if (l->scan->state != HF_INITRAMFS_READ)
        return;
    l->scan->state = state;
    snprintf(l->scan->why, sizeof l->scan->why, "%s", why);
}

/* At least n bytes in the buffer, as far as there are any; how many there are. */
static size_t have(stream *s, size_t n) {
    if (s->len - s->at >= n)
        return s->len - s->at;
    memmove(s->data, s->data + s->at, s->len - s->at);
    s->len -= s->at;
    s->at = 0;
    while (s->len < n && !s->ended) {
        ssize_t got = 0;
        if (s->look->left > 0)
            got = s->fill(s, s->data + s->len, PIECE - s->len);
        else
            say(s->look, HF_INITRAMFS_UNKNOWN, "it is larger than what is looked at");
        s->ended = got <= 0;
        s->len += got > 0 ? (size_t)got : 0;
        s->look->left -= got > 0 ? got : 0;
    }
    return s->len - s->at;
}

static bool skip(stream *s, int64_t n) {
    while (n > 0) {
        size_t there = have(s, 1);
        if (there == 0)
            return false;
        size_t step = (int64_t)there < n ? there : (size_t)n;
        s->at += step;
        s->passed += (int64_t)step;
        n -= (int64_t)step;
    }
    return true;
}

static void skip_zeros(stream *s) {
    while (have(s, 1) > 0 && s->data[s->at] == 0) {
        s->at++;
        s->passed++;
    }
}

/* ---- names -------------------------------------------------------------------------------------------------------------------- */
static bool same_name(const char *a, const char *b, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i]))
            return false;
    return true;
}

bool hf_is_module(const char *path, size_t len, const char *name) {
    static const char *const ends[] = {".ko", ".ko.gz", ".ko.xz", ".ko.zst"};
    const char *slash = memrchr(path, '/', len);
    const char *base = slash ? slash + 1 : path;
    size_t n = len - (size_t)(base - path), want = strlen(name);
    if (n <= want || !same_name(base, name, want))
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(ends); i++)
        if (n - want == strlen(ends[i]) && memcmp(base + want, ends[i], n - want) == 0)
            return true;
    return false;
}

static const char *without(const char *name, const char *front) {
    size_t len = strlen(front);
    return strncmp(name, front, len) == 0 ? name + len : name;
}

static void take_name(look *l, const char *name) {
    static const char modules[] = "lib/modules/";
    name = without(without(without(name, "."), "/"), "usr/");
    if (strncmp(name, modules, sizeof modules - 1) != 0)
        return;
    name += sizeof modules - 1;
    size_t version = strlen(l->version);
    if (strncmp(name, l->version, version) != 0 || name[version] != '/') {
        l->scan->other_kernels |= strchr(name, '/') != NULL;
        return;
    }
    l->scan->for_kernel = true;
    for (uint32_t i = 0; l->wanted[i]; i++)
        if (hf_is_module(name, strlen(name), l->wanted[i]))
            l->scan->found |= 1U << i;
    l->done = !l->whole && l->scan->found == l->all;
}

/* ---- cpio ---------------------------------------------------------------------------------------------------------------------- */
static bool hex8(const uint8_t *from, int64_t *ret) {
    int64_t n = 0;
    for (int i = 0; i < 8; i++) {
        int c = from[i] | 0x20;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        n = n << 4 | digit;
    }
    *ret = n;
    return true;
}

static bool is_cpio(stream *s) {
    return have(s, 6) >= 6 && (memcmp(s->data + s->at, "070701", 6) == 0 || memcmp(s->data + s->at, "070702", 6) == 0);
}

static int64_t to_four(int64_t n) { return -n & 3; }

/* One entry; false where the archive ends: with its trailer, or because it is not whole. */
static bool entry(stream *s, int64_t began, bool *ret_trailer) {
    int64_t size, name_len;
    char name[NAME_MAX_BYTES + 1];
    if (have(s, HEADER) < HEADER || !is_cpio(s) || !hex8(s->data + s->at + 54, &size) ||
        !hex8(s->data + s->at + 94, &name_len) || name_len < 1 || name_len > NAME_MAX_BYTES)
        return false;
    skip(s, HEADER);
    if (have(s, (size_t)name_len) < (size_t)name_len)
        return false;
    memcpy(name, s->data + s->at, (size_t)name_len);
    name[name_len] = 0;
    skip(s, name_len);
    *ret_trailer = strcmp(name, "TRAILER!!!") == 0;
    if (*ret_trailer)
        return false;
    take_name(s->look, name);
    return skip(s, to_four(s->passed - began)) && skip(s, size) && skip(s, to_four(s->passed - began));
}

static void segment(stream *s) {
    look *l = s->look;
    int64_t began = s->passed;
    bool trailer = false;
    while (!l->done && l->scan->entries < ENTRIES_MAX && entry(s, began, &trailer))
        l->scan->entries++;
    if (l->scan->entries == ENTRIES_MAX)
        say(l, HF_INITRAMFS_UNKNOWN, "it has more entries than are looked at");
    else if (!trailer && !l->done && l->left > 0)
        say(l, HF_INITRAMFS_DAMAGED, "it ends in the middle of an archive");
    else if (!trailer && !l->done)
        say(l, HF_INITRAMFS_UNKNOWN, "it is larger than what is looked at");
}

/* ---- compression ------------------------------------------------------------------------------------------------------------------ */
static la_ssize_t give(struct archive *a, void *ctx, const void **ret) {
    stream *s = ctx;
    size_t n = have(s, 1);
    (void)a;
    *ret = s->data + s->at;
    s->at += n;
    s->passed += (int64_t)n;
    return (la_ssize_t)n;
}

static ssize_t unpack(stream *s, void *to, size_t len) { return (ssize_t)archive_read_data(s->ctx, to, len); }

/* Only what libarchive was built with: where it was not, it would start a program. */
static struct archive *decompressor(void) {
    struct archive *a = archive_read_new();
    bool fine = a && archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
                archive_read_support_filter_bzip2(a) == ARCHIVE_OK &&
                archive_read_support_filter_lzma(a) == ARCHIVE_OK && archive_read_support_filter_xz(a) == ARCHIVE_OK &&
                archive_read_support_filter_lz4(a) == ARCHIVE_OK && archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
                archive_read_support_format_raw(a) == ARCHIVE_OK;
    if (!fine && a)
        archive_read_free(a);
    return fine ? a : NULL;
}

static void walk(stream *s, int depth);

static void compressed(stream *outer) {
    look *l = outer->look;
    static const uint8_t lzop[] = {0x89, 'L', 'Z', 'O'};
    if (have(outer, 4) >= 4 && memcmp(outer->data + outer->at, lzop, 4) == 0) {
        say(l, HF_INITRAMFS_UNKNOWN, "it is compressed by lzop");
        return;
    }
    struct archive *a = decompressor();
    struct archive_entry *e;
    stream inner = {.fill = unpack, .look = l, .ctx = a, .data = hf_alloc(PIECE)};
    if (!a || !inner.data)
        l->read_failed = true;
    else if (archive_read_open(a, outer, NULL, give, NULL) != ARCHIVE_OK ||
             archive_read_next_header(a, &e) != ARCHIVE_OK || archive_filter_count(a) < 2)
        say(l, HF_INITRAMFS_DAMAGED, "what is in it is no archive");
    else
        walk(&inner, 1);
    free(inner.data);
    if (a)
        archive_read_free(a);
}

/* Archives one behind the other. What follows the last one is passed over, as the kernel does. */
static void walk(stream *s, int depth) {
    look *l = s->look;
    uint32_t segments = 0;
    for (skip_zeros(s); !l->done && l->scan->state == HF_INITRAMFS_READ && have(s, 1) > 0; skip_zeros(s), segments++) {
        if (is_cpio(s))
            segment(s);
        else if (depth == 0) {
            compressed(s);
            return;
        } else
            break;
    }
    if (segments == 0 && !l->done)
        say(l, HF_INITRAMFS_DAMAGED, "what is in it is no archive");
}

/* ---- from outside -------------------------------------------------------------------------------------------------------------------- */
static ssize_t fill_from_reader(stream *s, void *to, size_t len) {
    ssize_t n = s->look->read(s->ctx, to, len);
    s->look->read_failed |= n < 0;
    return n;
}

hf_code hf_initramfs_look(hf_initramfs_read *read, void *ctx, const char *version, const char *const *wanted,
                          bool whole, int64_t most, hf_initramfs_scan *ret, hf_err *reterr) {
    look l = {.read = read, .version = version, .wanted = wanted, .whole = whole, .left = most, .scan = ret};
    stream s = {.fill = fill_from_reader, .look = &l, .ctx = ctx, .data = hf_alloc(PIECE)};
    *ret = (hf_initramfs_scan){0};
    if (!s.data)
        return hf_fail(reterr, HF_E_NO_MEMORY, "looking into an initramfs");
    for (uint32_t i = 0; i < 32 && wanted[i]; i++)
        l.all |= 1U << i;
    walk(&s, 0);
    free(s.data);
    return l.read_failed ? hf_fail(reterr, HF_E_TOOL_FAILED, "an initramfs cannot be read") : HF_OK;
}
