/* The walk is a machine over units: a state says how many bytes the next unit has, feed() gathers them (without a copy where the caller's
 * buffer holds the whole unit), a step looks at the unit and says what comes next. */
#include "consumer/pipeline/vmdk_walk.h"

#include <inttypes.h>
#include <stdio.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/probe_vmdk.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/mem.h"

enum {
    SECTOR = HF_VMDK_SECTOR,
    GRAIN_MAX = HF_VMDK_GRAIN_SECTORS * SECTOR,
    UNIT_MAX = 2 * GRAIN_MAX + SECTOR, /* a grain with its marker, padded; also holds a table */
    TABLE_BYTES = HF_VMDK_TABLE_SECTORS * SECTOR,
    ENTRIES_PER_SECTOR = SECTOR / 4,
    EMPTY_TABLES_FIRST = 64,
};

typedef enum walk_state { AT_HEADER, AT_OVERHEAD, AT_MARKER, AT_TABLE, AT_DIRECTORY, AT_FOOTER, BEHIND_END } walk_state;

/* Of a set of (grain, sector) pairs: equal sets have equal sums, whatever their order. */
typedef struct pair_sum {
    uint64_t a, b;
    int64_t count;
} pair_sum;

struct hf_vmdk_walk {
    hf_vmdk_on_grain on_grain;
    void *ctx;
    hf_err error; /* sticky; code 0 while all is well */
    walk_state state;
    size_t need, have; /* of the unit under way; have > 0: it is being gathered in unit */
    int64_t offset;    /* in the stream, of the unit under way */

    hf_vmdk_header h;
    char *descriptor;
    uint32_t *directory; /* sector of each grain table that came (TABLES_FIRST: that the directory names) */
    int64_t table;       /* whose grains are coming; -1: none since the last table */
    uint32_t entries[HF_VMDK_GTES];
    uint32_t *empty; /* sectors of tables without a grain, rising */
    uint32_t empty_count, empty_cap;
    int64_t gd_sector; /* -1: has not come */
    uint32_t directory_read;
    bool footer;
    uint32_t first_table; /* TABLES_FIRST: the table that is passing or comes next */
    int64_t floor;        /* TABLES_FIRST: the sector from which on the directory's next table can be */
    pair_sum named, came; /* TABLES_FIRST: by the tables; by the grains */
    hf_vmdk_summary sum;
    uint8_t unit[UNIT_MAX];
};

static hf_code fault(hf_vmdk_walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static hf_code fault(hf_vmdk_walk *w, const char *format, ...) {
    char what[HF_ERR_DETAIL_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return hf_fail(&w->error, HF_E_VERIFY_FAILED, "the VMDK at byte %" PRId64 ": %s", w->offset, what);
}

static uint64_t mixed(uint64_t x) { /* a permutation of 64 bits in which each bit depends on each */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void pair_add(pair_sum *sum, int64_t grain, uint32_t sector) {
    uint64_t x = mixed(mixed((uint64_t)grain + 0x9e3779b97f4a7c15u) ^ sector);
    sum->a += x;
    sum->b += mixed(x + 0xd1b54a32d192ed03u);
    sum->count++;
}

static void expect(hf_vmdk_walk *w, walk_state state, size_t need) {
    w->state = state;
    w->need = need;
}

static int64_t sector_of(const hf_vmdk_walk *w) { return w->offset / SECTOR; }

/* ---- header, and what stands before the grains ----------------------------------------------------- */
static hf_code take_header(hf_vmdk_walk *w, const uint8_t *unit) {
    hf_code rc = hf_vmdk_header_parse(unit, HF_E_VERIFY_FAILED, &w->h, &w->error);
    if (rc != HF_OK)
        return hf_context(&w->error, "the VMDK's header");
    uint32_t both = HF_VMDK_FLAG_COMPRESSED | HF_VMDK_FLAG_MARKERS;
    if ((w->h.flags & both) != both)
        return fault(w, "the header's flags 0x%" PRIx32 " are not those of a streamOptimized VMDK", w->h.flags);
    if (w->h.descriptor_sector == 0)
        return fault(w, "a streamOptimized VMDK has its descriptor inside, and the header names none");
    w->sum.layout = w->h.gd_sector == HF_VMDK_GD_AT_END                 ? HF_VMDK_FOOTER
                    : w->h.gd_sector >= (uint64_t)w->h.overhead_sectors ? HF_VMDK_HEADER_KNOWS
                                                                        : HF_VMDK_TABLES_FIRST;
    if (w->sum.layout == HF_VMDK_TABLES_FIRST &&
        (w->h.gd_sector == 0 || w->h.gd_sector + w->h.directory_sectors > (uint64_t)w->h.overhead_sectors))
        return fault(w, "the header puts the grain directory at sector %" PRIu64 ", where it cannot be",
                     w->h.gd_sector);
    w->sum.version = w->h.version;
    w->sum.capacity_bytes = w->h.capacity_sectors * SECTOR;
    w->descriptor = hf_alloc((size_t)w->h.descriptor_sectors * SECTOR + 1);
    w->directory = hf_alloc((size_t)w->h.tables * sizeof *w->directory);
    if (!w->descriptor || !w->directory)
        return hf_fail(&w->error, HF_E_NO_MEMORY, "walking a VMDK of %" PRId64 " bytes", w->sum.capacity_bytes);
    if (w->h.overhead_sectors == 1)
        expect(w, AT_MARKER, SECTOR);
    else
        expect(w, AT_OVERHEAD, SECTOR);
    return HF_OK;
}

static hf_code take_descriptor(hf_vmdk_walk *w) {
    hf_probe probe = {.detail = ""};
    hf_str text = {w->descriptor, (uint32_t)strlen(w->descriptor)};
    if (hf_vmdk_check_embedded(text, &probe, &w->error) != HF_OK)
        return w->error.code;
    if (!hf_vmdk_is_descriptor(text))
        return fault(w, "where the header puts the descriptor there is none");
    snprintf(w->sum.create_type, sizeof w->sum.create_type, "%s", probe.detail);
    return HF_OK;
}

/* TABLES_FIRST: a sector of the directory. Its tables stand behind it, in its order. */
static hf_code take_first_directory(hf_vmdk_walk *w, const uint8_t *unit) {
    if (w->directory_read == 0)
        w->floor = (int64_t)w->h.gd_sector + w->h.directory_sectors;
    for (uint32_t i = 0; i < ENTRIES_PER_SECTOR && w->directory_read < w->h.tables; i++) {
        uint32_t at = hf_le32(unit + (size_t)4 * i);
        if (at && (at < w->floor || at + (int64_t)HF_VMDK_TABLE_SECTORS > w->h.overhead_sectors))
            return fault(w, "the grain directory puts table %" PRIu32 " at sector %" PRIu32 ", where it cannot be",
                         w->directory_read, at);
        if (at)
            w->floor = (int64_t)at + HF_VMDK_TABLE_SECTORS;
        w->directory[w->directory_read++] = at;
    }
    return HF_OK;
}

static hf_code take_first_table(hf_vmdk_walk *w, uint32_t table, uint32_t part, const uint8_t *unit) {
    for (uint32_t i = 0; i < ENTRIES_PER_SECTOR; i++) {
        uint32_t at = hf_le32(unit + (size_t)4 * i);
        int64_t grain = (int64_t)table * HF_VMDK_GTES + part * ENTRIES_PER_SECTOR + i;
        if (at == 0 || (at == HF_VMDK_GTE_ZERO && w->h.flags & HF_VMDK_FLAG_ZERO_GTE))
            continue;
        if (grain >= w->h.grains || at < w->h.overhead_sectors)
            return fault(w, "a grain table puts grain %" PRId64 " at sector %" PRIu32 ", where it cannot be", grain,
                         at);
        pair_add(&w->named, grain, at);
    }
    return HF_OK;
}

static hf_code take_first(hf_vmdk_walk *w, const uint8_t *unit) {
    int64_t s = sector_of(w);
    if (s >= (int64_t)w->h.gd_sector && s < (int64_t)w->h.gd_sector + w->h.directory_sectors)
        return take_first_directory(w, unit);
    if (w->directory_read < w->h.tables)
        return HF_OK;
    while (w->first_table < w->h.tables &&
           (w->directory[w->first_table] == 0 || w->directory[w->first_table] + (int64_t)HF_VMDK_TABLE_SECTORS <= s))
        w->first_table++;
    if (w->first_table == w->h.tables || s < w->directory[w->first_table])
        return HF_OK;
    return take_first_table(w, w->first_table, (uint32_t)(s - w->directory[w->first_table]), unit);
}

static hf_code take_overhead(hf_vmdk_walk *w, const uint8_t *unit) {
    int64_t s = sector_of(w), part = s - w->h.descriptor_sector;
    hf_code rc = HF_OK;
    if (part >= 0 && part < w->h.descriptor_sectors)
        memcpy(w->descriptor + part * SECTOR, unit, SECTOR);
    if (part == w->h.descriptor_sectors - 1)
        rc = take_descriptor(w);
    if (rc == HF_OK && w->sum.layout == HF_VMDK_TABLES_FIRST)
        rc = take_first(w, unit);
    if (s == w->h.overhead_sectors - 1)
        expect(w, AT_MARKER, SECTOR);
    return rc;
}

/* ---- grains -------------------------------------------------------------------------------------------- */
static hf_code check_grain(hf_vmdk_walk *w, uint64_t lba, uint32_t size) {
    if (w->gd_sector >= 0)
        return fault(w, "a grain (sector %" PRIu64 " of the disk) behind the grain directory", lba);
    if (lba >= (uint64_t)w->h.capacity_sectors || lba % w->h.grain_sectors != 0)
        return fault(w, "a grain for sector %" PRIu64 " of a disk of %" PRId64 " sectors", lba, w->h.capacity_sectors);
    if (size > 2 * w->h.grain_bytes)
        return fault(w, "a grain of %" PRIu32 " compressed bytes; %" PRIu32 " are the bound", size,
                     2 * w->h.grain_bytes);
    if (sector_of(w) > UINT32_MAX)
        return fault(w, "a grain behind 2 TiB of the file, where no grain table can point");
    return HF_OK;
}

/* The grain's place goes where its table will be compared with it. */
static hf_code note_grain(hf_vmdk_walk *w, int64_t grain) {
    uint32_t sector = (uint32_t)sector_of(w);
    if (w->sum.layout == HF_VMDK_TABLES_FIRST) {
        pair_add(&w->came, grain, sector);
        return HF_OK;
    }
    int64_t table = grain / HF_VMDK_GTES;
    if (w->table < 0) {
        if (w->directory[table])
            return fault(w, "grain %" PRId64 " comes behind its grain table (sector %" PRIu32 ")", grain,
                         w->directory[table]);
        w->table = table;
    }
    if (table != w->table)
        return fault(w, "grain %" PRId64 " belongs to table %" PRId64 ", but table %" PRId64 " has not come", grain,
                     table, w->table);
    uint32_t *entry = &w->entries[grain % HF_VMDK_GTES];
    if (*entry)
        return fault(w, "grain %" PRId64 " came before, at sector %" PRIu32, grain, *entry);
    *entry = sector;
    return HF_OK;
}

static hf_code take_grain(hf_vmdk_walk *w, const uint8_t *unit) {
    int64_t lba = (int64_t)hf_le64(unit), disk_offset = lba * SECTOR;
    uint32_t size = hf_le32(unit + 8);
    const uint8_t *data = unit + HF_VMDK_MARKER_BYTES;
    /* RFC 1950: method 8, no preset dictionary, the first two bytes a multiple of 31 */
    if (size < 8 || (data[0] & 15) != 8 || data[1] & 0x20 || (data[0] << 8 | data[1]) % 31 != 0)
        return fault(w, "the grain for sector %" PRId64 " is not a zlib stream", lba);
    if (note_grain(w, lba / w->h.grain_sectors) != HF_OK)
        return w->error.code;
    int64_t left = w->sum.capacity_bytes - disk_offset;
    w->sum.grains++;
    w->sum.populated_bytes += left < w->h.grain_bytes ? left : w->h.grain_bytes;
    return w->on_grain ? w->on_grain(w->ctx, disk_offset, data, size, &w->error) : HF_OK;
}

/* ---- markers, tables, directory, footer ------------------------------------------------------------------ */
static bool is_zero(const uint8_t *p, size_t len) {
    static const uint8_t zero[16];
    if (len <= sizeof zero)
        return memcmp(p, zero, len) == 0;
    return memcmp(p, zero, sizeof zero) == 0 && memcmp(p, p + sizeof zero, len - sizeof zero) == 0;
}

static hf_code take_end_marker(hf_vmdk_walk *w, const uint8_t *unit) {
    if (!is_zero(unit, SECTOR))
        return fault(w, "an end-of-stream marker that is not a sector of zeros");
    if (w->sum.layout != HF_VMDK_TABLES_FIRST && w->gd_sector < 0)
        return fault(w, "the end-of-stream marker before the grain directory");
    if (w->sum.layout == HF_VMDK_FOOTER && !w->footer)
        return fault(w, "the end-of-stream marker before the footer");
    expect(w, BEHIND_END, 1);
    return HF_OK;
}

static hf_code take_marker(hf_vmdk_walk *w, const uint8_t *unit) {
    uint64_t sectors = hf_le64(unit);
    uint32_t type = hf_le32(unit + HF_VMDK_MARKER_BYTES);
    if (type == HF_VMDK_MARKER_EOS)
        return take_end_marker(w, unit);
    if (type == HF_VMDK_MARKER_PROGRESS && sectors == 0)
        return HF_OK;
    uint64_t should = type == HF_VMDK_MARKER_GT   ? HF_VMDK_TABLE_SECTORS
                      : type == HF_VMDK_MARKER_GD ? w->h.directory_sectors
                                                  : 1;
    if (type > HF_VMDK_MARKER_FOOTER || sectors != should)
        return fault(w, "a marker of type %" PRIu32 " for %" PRIu64 " sectors", type, sectors);
    if (w->sum.layout == HF_VMDK_TABLES_FIRST)
        return fault(w, "a marker of type %" PRIu32 " in a VMDK whose tables stand before its grains", type);
    if (type != HF_VMDK_MARKER_FOOTER && w->gd_sector >= 0)
        return fault(w, "a marker of type %" PRIu32 " behind the grain directory", type);
    if (type == HF_VMDK_MARKER_GT)
        expect(w, AT_TABLE, TABLE_BYTES);
    else if (type == HF_VMDK_MARKER_GD)
        expect(w, AT_DIRECTORY, SECTOR);
    else if (w->gd_sector < 0 || w->footer)
        return fault(w, "a footer where none can be");
    else
        expect(w, AT_FOOTER, SECTOR);
    return HF_OK;
}

static hf_code note_empty(hf_vmdk_walk *w) {
    if (w->empty_count >= w->h.tables)
        return fault(w, "more empty grain tables than the disk has tables");
    if (w->empty_count == w->empty_cap) {
        uint32_t cap = w->empty_cap ? 2 * w->empty_cap : EMPTY_TABLES_FIRST;
        uint32_t *more = hf_realloc(w->empty, cap * sizeof *more);
        if (!more)
            return hf_fail(&w->error, HF_E_NO_MEMORY, "walking a VMDK with many empty tables");
        w->empty = more;
        w->empty_cap = cap;
    }
    w->empty[w->empty_count++] = (uint32_t)sector_of(w);
    return HF_OK;
}

static hf_code take_table(hf_vmdk_walk *w, const uint8_t *unit) {
    if (sector_of(w) > UINT32_MAX)
        return fault(w, "a grain table behind 2 TiB of the file, where no directory can point");
    for (uint32_t i = 0; i < HF_VMDK_GTES; i++) {
        uint32_t says = hf_le32(unit + (size_t)4 * i), is = w->entries[i];
        if (says != is && !(is == 0 && says == HF_VMDK_GTE_ZERO && w->h.flags & HF_VMDK_FLAG_ZERO_GTE))
            return fault(
                w, "grain table %" PRId64 " puts its grain %" PRIu32 " at sector %" PRIu32 "; it came at %" PRIu32,
                w->table, i, says, is);
    }
    expect(w, AT_MARKER, SECTOR);
    if (w->table < 0)
        return note_empty(w);
    w->directory[w->table] = (uint32_t)sector_of(w);
    w->table = -1;
    memset(w->entries, 0, sizeof w->entries);
    return HF_OK;
}

static bool is_empty_table(const hf_vmdk_walk *w, uint32_t sector) {
    uint32_t low = 0, high = w->empty_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (w->empty[mid] < sector)
            low = mid + 1;
        else
            high = mid;
    }
    return low < w->empty_count && w->empty[low] == sector;
}

static hf_code take_directory(hf_vmdk_walk *w, const uint8_t *unit) {
    if (w->gd_sector < 0) {
        if (w->table >= 0)
            return fault(w, "the grain directory comes before grain table %" PRId64, w->table);
        if (w->sum.layout == HF_VMDK_HEADER_KNOWS && (uint64_t)sector_of(w) != w->h.gd_sector)
            return fault(w, "the grain directory, which the header puts at sector %" PRIu64, w->h.gd_sector);
        w->gd_sector = sector_of(w);
    }
    for (uint32_t i = 0; i < ENTRIES_PER_SECTOR && w->directory_read < w->h.tables; i++) {
        uint32_t says = hf_le32(unit + (size_t)4 * i), is = w->directory[w->directory_read];
        if (says != is && !(is == 0 && is_empty_table(w, says)))
            return fault(w, "the grain directory puts table %" PRIu32 " at sector %" PRIu32 "; it came at %" PRIu32,
                         w->directory_read, says, is);
        w->directory_read++;
    }
    if (w->directory_read == w->h.tables)
        expect(w, AT_MARKER, SECTOR);
    return HF_OK;
}

static hf_code take_footer(hf_vmdk_walk *w, const uint8_t *unit) {
    hf_vmdk_header f;
    if (hf_vmdk_header_parse(unit, HF_E_VERIFY_FAILED, &f, &w->error) != HF_OK)
        return hf_context(&w->error, "the VMDK's footer at byte %" PRId64, w->offset);
    if (f.capacity_sectors != w->h.capacity_sectors || f.grain_sectors != w->h.grain_sectors || f.flags != w->h.flags ||
        f.version != w->h.version || f.descriptor_sector != w->h.descriptor_sector ||
        f.descriptor_sectors != w->h.descriptor_sectors || f.overhead_sectors != w->h.overhead_sectors)
        return fault(w, "the footer does not say what the header says");
    if (f.gd_sector != (uint64_t)w->gd_sector)
        return fault(w, "the footer puts the grain directory at sector %" PRIu64 "; it came at %" PRId64, f.gd_sector,
                     w->gd_sector);
    w->footer = true;
    expect(w, AT_MARKER, SECTOR);
    return HF_OK;
}

/* ---- the machine ----------------------------------------------------------------------------------------- */
/* Looks at a unit of w->need bytes. *ret_more: it turned out to be longer (w->need is new), and is not taken yet. */
static hf_code step(hf_vmdk_walk *w, const uint8_t *unit, bool *ret_more) {
    *ret_more = false;
    switch (w->state) {
    case AT_HEADER: return take_header(w, unit);
    case AT_OVERHEAD: return take_overhead(w, unit);
    case AT_TABLE: return take_table(w, unit);
    case AT_DIRECTORY: return take_directory(w, unit);
    case AT_FOOTER: return take_footer(w, unit);
    case BEHIND_END: return HF_OK;
    case AT_MARKER: break;
    }
    uint32_t size = hf_le32(unit + 8);
    if (size == 0)
        return take_marker(w, unit);
    if (w->need == SECTOR) {
        hf_code rc = check_grain(w, hf_le64(unit), size);
        if (rc != HF_OK)
            return rc;
        w->need = (size + HF_VMDK_MARKER_BYTES + SECTOR - 1) / SECTOR * SECTOR;
        if ((*ret_more = w->need > SECTOR))
            return HF_OK;
    }
    w->need = SECTOR; /* of the marker that follows */
    return take_grain(w, unit);
}

/* The next unit, whole: in the caller's bytes, or gathered. NULL: not all of it is there yet. */
static const uint8_t *gather(hf_vmdk_walk *w, const uint8_t **p, size_t *len) {
    if (w->have == 0 && *len >= w->need)
        return *p;
    size_t n = w->have < w->need ? w->need - w->have : 0;
    if (n > *len)
        n = *len;
    memcpy(w->unit + w->have, *p, n);
    w->have += n;
    *p += n;
    *len -= n;
    return w->have == w->need ? w->unit : NULL;
}

static hf_code take_padding(hf_vmdk_walk *w, const uint8_t *p, size_t len) {
    if (!is_zero(p, len)) {
        size_t zeros = 0;
        while (p[zeros] == 0)
            zeros++;
        w->offset += (int64_t)zeros;
        return fault(w, "something behind the end-of-stream marker");
    }
    w->sum.padding_bytes += (int64_t)len;
    w->offset += (int64_t)len;
    return HF_OK;
}

static hf_code feed(hf_vmdk_walk *w, const uint8_t *p, size_t len) {
    while (len > 0) {
        if (w->state == BEHIND_END)
            return take_padding(w, p, len);
        const uint8_t *unit = gather(w, &p, &len);
        if (!unit)
            return HF_OK;
        size_t used = w->need;
        bool more;
        hf_code rc = step(w, unit, &more);
        if (rc != HF_OK)
            return rc;
        if (more)
            continue;
        w->offset += (int64_t)used;
        if (unit == w->unit)
            w->have = 0;
        else {
            p += used;
            len -= used;
        }
    }
    return HF_OK;
}

hf_code hf_vmdk_walk_feed(hf_vmdk_walk *w, const void *bytes, size_t len, hf_err *reterr) {
    if (w->error.code == HF_OK) {
        w->sum.stream_bytes += (int64_t)len;
        hf_code rc = feed(w, bytes, len);
        if (rc != HF_OK && w->error.code == HF_OK)
            w->error.code = rc; /* a callback that gave no detail */
    }
    if (w->error.code != HF_OK && reterr)
        *reterr = w->error;
    return w->error.code;
}

static hf_code check_whole(hf_vmdk_walk *w) {
    bool tables_first = w->sum.layout == HF_VMDK_TABLES_FIRST && w->state >= AT_MARKER;
    w->offset += (int64_t)w->have;
    if (w->have > 0 || (w->state != BEHIND_END && !tables_first))
        return fault(w, "truncated: the stream ends here, without its end-of-stream marker");
    if (tables_first && w->came.count < w->named.count)
        return fault(w, "truncated: %" PRId64 " of the %" PRId64 " grains that its tables name have come",
                     w->came.count, w->named.count);
    if (tables_first && (w->came.count != w->named.count || w->came.a != w->named.a || w->came.b != w->named.b))
        return fault(w, "the %" PRId64 " grains that came are not those that its tables name", w->came.count);
    return HF_OK;
}

hf_code hf_vmdk_walk_end(hf_vmdk_walk *w, hf_vmdk_summary *ret, hf_err *reterr) {
    if (w->error.code == HF_OK && check_whole(w) == HF_OK) {
        if (ret)
            *ret = w->sum;
        return HF_OK;
    }
    if (reterr)
        *reterr = w->error;
    return w->error.code;
}

int64_t hf_vmdk_walk_capacity(const hf_vmdk_walk *w) { return w->directory ? w->sum.capacity_bytes : -1; }
int64_t hf_vmdk_walk_grain_bytes(const hf_vmdk_walk *w) { return w->directory ? (int64_t)w->h.grain_bytes : -1; }

hf_code hf_vmdk_walk_new(hf_vmdk_on_grain on_grain, void *ctx, hf_vmdk_walk **ret, hf_err *reterr) {
    hf_vmdk_walk *w = hf_alloc(sizeof *w);
    if (!w)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK walker");
    w->on_grain = on_grain;
    w->ctx = ctx;
    w->table = w->gd_sector = -1;
    expect(w, AT_HEADER, SECTOR);
    *ret = w;
    return HF_OK;
}

void hf_vmdk_walk_free(hf_vmdk_walk *w) {
    if (!w)
        return;
    free(w->descriptor);
    free(w->directory);
    free(w->empty);
    free(w);
}
