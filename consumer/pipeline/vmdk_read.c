/* Random access to sparse extents. The grain directory is held as a whole (4 bytes per 32 MiB of disk; it lies in the file), grain
 * tables in a cache of fixed size. Grains are read a window of the file at a time: those of a chunk lie one behind the other. */
#include "consumer/pipeline/vmdk_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/probe_vmdk.h"
#include "consumer/pipeline/vmdk.h"
#include "consumer/pipeline/vmdk_inflate.h"
#include "schemas/base/mem.h"

enum {
    SECTOR = HF_VMDK_SECTOR,
    CACHED_TABLES = 256,       /* 512 KiB: 8 GiB of disk */
    BATCH = 16,                /* grains looked up at once: a chunk of the pipeline */
    WINDOW = 18 * 65536,       /* a chunk that did not compress, and the bound of one grain */
    EXTENT_TABLES_MAX = 16,    /* looked at for one answer: 512 MiB */
    COUNTED_TABLES_MAX = 8192, /* read at opening to know what is allocated: 256 GiB; a guess for larger disks */
    PADDING_MAX = 1024 * 1024, /* zeros behind the end-of-stream marker that the footer is looked for in front of */
    SCAN_BLOCK = 64 * 1024,
};

typedef struct cached_table {
    int64_t table; /* -1: none */
    uint32_t entries[HF_VMDK_GTES];
} cached_table;

typedef struct vmdk_source {
    hf_source source;
    int64_t base, len; /* of the VMDK in the file */
    hf_vmdk_header h;
    bool compressed;
    uint32_t *directory;
    hf_vmdk_lanes lanes;
    pthread_mutex_t lock; /* of the cache */
    cached_table cache[CACHED_TABLES];
} vmdk_source;

/* ---- tables ------------------------------------------------------------------------------------- */
static hf_code read_at(const vmdk_source *v, void *to, size_t len, int64_t at, const char *what, hf_err *reterr) {
    if (at < 0 || at > v->len || (int64_t)len > v->len - at)
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "the VMDK is truncated or damaged: %s is said to be at byte %" PRId64 " of %" PRId64, what, at,
                       v->len);
    return hf_read_fully(v->source.fd, to, len, v->base + at, reterr);
}

static hf_code table_load(vmdk_source *v, int64_t table, uint32_t entries[HF_VMDK_GTES], hf_err *reterr) {
    hf_code rc = read_at(v, entries, HF_VMDK_GTES * sizeof *entries, (int64_t)v->directory[table] * SECTOR,
                         "a grain table", reterr);
    for (unsigned i = 0; rc == HF_OK && i < HF_VMDK_GTES; i++)
        entries[i] = hf_le32(entries + i);
    return rc;
}

/* The sectors of `count` grains of one table; 0 for a grain of zeros. */
static hf_code grains_at(vmdk_source *v, int64_t grain, unsigned count, uint32_t *ret, hf_err *reterr) {
    int64_t table = grain / HF_VMDK_GTES;
    unsigned first = (unsigned)(grain % HF_VMDK_GTES);
    memset(ret, 0, count * sizeof *ret);
    if (v->directory[table] == 0)
        return HF_OK;
    cached_table *slot = &v->cache[table % CACHED_TABLES];
    pthread_mutex_lock(&v->lock);
    bool hit = slot->table == table;
    if (hit)
        memcpy(ret, slot->entries + first, count * sizeof *ret);
    pthread_mutex_unlock(&v->lock);
    if (!hit) {
        uint32_t entries[HF_VMDK_GTES];
        hf_code rc = table_load(v, table, entries, reterr);
        if (rc != HF_OK)
            return rc;
        pthread_mutex_lock(&v->lock);
        slot->table = table;
        memcpy(slot->entries, entries, sizeof entries);
        pthread_mutex_unlock(&v->lock);
        memcpy(ret, entries + first, count * sizeof *ret);
    }
    if (v->h.flags & HF_VMDK_FLAG_ZERO_GTE)
        for (unsigned i = 0; i < count; i++)
            if (ret[i] == HF_VMDK_GTE_ZERO)
                ret[i] = 0;
    return HF_OK;
}

/* ---- extents -------------------------------------------------------------------------------------- */
static int64_t grain_start(const vmdk_source *v, int64_t grain) {
    int64_t at = grain * v->h.grain_bytes;
    return at < v->source.size_bytes ? at : v->source.size_bytes;
}

static hf_code vmdk_extent(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    vmdk_source *v = (vmdk_source *)source;
    int64_t grain = offset / v->h.grain_bytes;
    bool data = false, first = true;
    uint32_t entries[HF_VMDK_GTES];
    for (unsigned looked = 0; grain < v->h.grains && looked < EXTENT_TABLES_MAX;) {
        int64_t table = grain / HF_VMDK_GTES, stop = (table + 1) * HF_VMDK_GTES;
        if (stop > v->h.grains)
            stop = v->h.grains;
        if (v->directory[table]) {
            hf_code rc = grains_at(v, grain, (unsigned)(stop - grain), entries, reterr);
            if (rc != HF_OK)
                return rc;
            looked++;
        } else {
            if (!first && data)
                break;
            first = false;
            grain = stop;
            continue;
        }
        unsigned i = 0, count = (unsigned)(stop - grain);
        if (first)
            data = entries[0] != 0;
        first = false;
        while (i < count && (entries[i] != 0) == data)
            i++;
        grain += i;
        if (i < count)
            break;
    }
    *ret_data = data;
    *ret_end = grain_start(v, grain);
    return HF_OK;
}

/* ---- compressed grains ------------------------------------------------------------------------------ */
/* Makes the window hold [at, at + need), reading up to `end` if it must read. */
static hf_code window_hold(const vmdk_source *v, hf_vmdk_lane *lane, int64_t at, size_t need, int64_t end,
                           hf_err *reterr) {
    if (lane->have > 0 && at >= lane->at && at + (int64_t)need <= lane->at + (int64_t)lane->have)
        return HF_OK;
    if (end > v->len)
        end = v->len;
    if (end < at + (int64_t)need)
        end = at + (int64_t)need;
    if (end > at + WINDOW)
        end = at + WINDOW;
    lane->have = 0;
    hf_code rc = read_at(v, lane->window, (size_t)(end - at), at, "a grain", reterr);
    if (rc == HF_OK) {
        lane->at = at;
        lane->have = (size_t)(end - at);
    }
    return rc;
}

/* How far to read for the first of these grains: through those that lie behind it in the file. `count` of them are wanted; where the one
 * after them begins is where they end. */
static int64_t window_end(const vmdk_source *v, const uint32_t *entries, unsigned count, unsigned known) {
    int64_t guess = v->h.grain_bytes + SECTOR, from = (int64_t)entries[0] * SECTOR, last = from, end = from + guess;
    for (unsigned i = 1; i < known; i++) {
        int64_t at = (int64_t)entries[i] * SECTOR;
        if (at == 0)
            continue;
        if (at < last || at - from + guess > WINDOW)
            break;
        last = at;
        if (i >= count)
            return at;
        end = at + guess;
    }
    return end;
}

static hf_code grain_inflate(const vmdk_source *v, hf_vmdk_lane *lane, int64_t grain, uint32_t sector, int64_t end,
                             void *to, size_t from, size_t len, hf_err *reterr) {
    int64_t at = (int64_t)sector * SECTOR, lba = grain * v->h.grain_sectors, disk = lba * SECTOR;
    hf_code rc = window_hold(v, lane, at, HF_VMDK_MARKER_BYTES, end, reterr);
    if (rc != HF_OK)
        return rc;
    const uint8_t *marker = lane->window + (at - lane->at);
    uint32_t size = hf_le32(marker + 8);
    if (hf_le64(marker) != (uint64_t)lba || size == 0 || size > 2 * v->h.grain_bytes)
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "the VMDK's tables put the grain of disk offset %" PRId64 " at byte %" PRId64
                       ", where it is not (sector %" PRIu64 ", %" PRIu32 " bytes)",
                       disk, at, hf_le64(marker), size);
    if ((rc = window_hold(v, lane, at, HF_VMDK_MARKER_BYTES + (size_t)size, end, reterr)) != HF_OK)
        return rc;
    int64_t left = v->source.size_bytes - disk;
    hf_vmdk_packed packed = {.data = lane->window + (at - lane->at) + HF_VMDK_MARKER_BYTES,
                             .len = size,
                             .disk_offset = disk,
                             .grain_bytes = v->h.grain_bytes,
                             .need_bytes = left < v->h.grain_bytes ? (uint32_t)left : v->h.grain_bytes};
    return hf_vmdk_inflate(lane, &packed, to, from, len, reterr);
}

/* ---- reading ------------------------------------------------------------------------------------------ */
/* A run of bytes that lies in grains of one table, at most BATCH of them. */
typedef struct run {
    int64_t grain; /* the first */
    unsigned count, known;
    uint32_t entries[BATCH + 1]; /* known of them: the grain after the run, too, where the table has it */
    size_t from, len;            /* in the first grain; of all */
} run;

static hf_code run_find(vmdk_source *v, int64_t offset, size_t len, run *ret, hf_err *reterr) {
    int64_t size = v->h.grain_bytes, grain = offset / size, table_end = (grain / HF_VMDK_GTES + 1) * HF_VMDK_GTES;
    int64_t last = (offset + (int64_t)len - 1) / size;
    if (last >= grain + BATCH)
        last = grain + BATCH - 1;
    if (last >= table_end)
        last = table_end - 1;
    *ret = (run){.grain = grain, .count = (unsigned)(last - grain + 1), .from = (size_t)(offset % size)};
    ret->known = last + 1 < table_end && last + 1 < v->h.grains ? ret->count + 1 : ret->count;
    int64_t end = (last + 1) * size;
    ret->len = offset + (int64_t)len < end ? len : (size_t)(end - offset);
    return grains_at(v, grain, ret->known, ret->entries, reterr);
}

static hf_code run_inflate(const vmdk_source *v, hf_vmdk_lane *lane, const run *r, uint8_t *to, hf_err *reterr) {
    hf_code rc = HF_OK;
    size_t from = r->from, left = r->len;
    for (unsigned i = 0; rc == HF_OK && i < r->count; i++, from = 0) {
        size_t n = v->h.grain_bytes - from < left ? v->h.grain_bytes - from : left;
        if (r->entries[i] == 0)
            memset(to, 0, n);
        else
            rc = grain_inflate(v, lane, r->grain + i, r->entries[i],
                               window_end(v, r->entries + i, r->count - i, r->known - i), to, from, n, reterr);
        to += n;
        left -= n;
    }
    return rc;
}

/* Not compressed: grains that lie one behind the other are one read. */
static hf_code run_plain(const vmdk_source *v, const run *r, uint8_t *to, hf_err *reterr) {
    hf_code rc = HF_OK;
    size_t from = r->from, left = r->len;
    for (unsigned i = 0; rc == HF_OK && i < r->count; from = 0) {
        uint32_t sector = r->entries[i];
        size_t n = v->h.grain_bytes - from;
        unsigned next = i + 1;
        for (; next < r->count &&
               (sector ? r->entries[next] == sector + (next - i) * v->h.grain_sectors : r->entries[next] == 0);
             next++)
            n += v->h.grain_bytes;
        if (n > left)
            n = left;
        if (sector == 0)
            memset(to, 0, n);
        else
            rc = read_at(v, to, n, (int64_t)sector * SECTOR + (int64_t)from, "a grain", reterr);
        to += n;
        left -= n;
        i = next;
    }
    return rc;
}

static hf_code vmdk_read(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr) {
    vmdk_source *v = (vmdk_source *)source;
    if (offset < 0 || offset > source->size_bytes || (int64_t)len > source->size_bytes - offset)
        return hf_fail(reterr, HF_E_INTERNAL, "a read behind the disk's end");
    hf_vmdk_lane *lane = v->compressed ? hf_vmdk_lane_take(&v->lanes, reterr) : NULL;
    if (v->compressed && !lane)
        return HF_E_NO_MEMORY;
    hf_code rc = HF_OK;
    uint8_t *p = to;
    while (rc == HF_OK && len > 0) {
        run r;
        if ((rc = run_find(v, offset, len, &r, reterr)) == HF_OK)
            rc = lane ? run_inflate(v, lane, &r, p, reterr) : run_plain(v, &r, p, reterr);
        p += r.len;
        offset += (int64_t)r.len;
        len -= r.len;
    }
    if (lane)
        hf_vmdk_lane_give(&v->lanes, lane);
    return rc;
}

static void vmdk_close(hf_source *source) {
    vmdk_source *v = (vmdk_source *)source;
    hf_vmdk_lanes_done(&v->lanes);
    pthread_mutex_destroy(&v->lock);
    free(v->directory);
    hf_close_p(&source->fd);
    free(v);
}

static const hf_source_class vmdk_class = {"vmdk", vmdk_extent, vmdk_read, vmdk_close};

/* ---- opening -------------------------------------------------------------------------------------------- */
static hf_code check_descriptor(const vmdk_source *v, hf_err *reterr) {
    if (v->h.descriptor_sector == 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "the VMDK has no descriptor inside: it is an extent of a larger disk");
    size_t len = (size_t)v->h.descriptor_sectors * SECTOR;
    hf_auto_free char *text = hf_alloc(len + 1);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK descriptor");
    hf_probe probe = {.detail = ""};
    hf_code rc = read_at(v, text, len, v->h.descriptor_sector * SECTOR, "the descriptor", reterr);
    if (rc != HF_OK || (rc = hf_vmdk_check_embedded((hf_str){text, (uint32_t)len}, &probe, reterr)) != HF_OK)
        return rc;
    if (strcmp(probe.detail, "streamOptimized") != 0 && strcmp(probe.detail, "monolithicSparse") != 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "a VMDK of type \"%s\"", probe.detail);
    return HF_OK;
}

/* The last sector before `end` that is not zeros; -1 if the last PADDING_MAX bytes are. */
static hf_code find_last_sector(const vmdk_source *v, int64_t *ret_at, hf_err *reterr) {
    hf_auto_free uint8_t *block = hf_alloc(SCAN_BLOCK);
    if (!block)
        return hf_fail(reterr, HF_E_NO_MEMORY, "looking for a VMDK's footer");
    int64_t end = v->len, floor = end > PADDING_MAX ? end - PADDING_MAX : 0;
    for (*ret_at = -1; end > floor;) {
        int64_t from = (end - 1) / SCAN_BLOCK * SCAN_BLOCK;
        hf_code rc = read_at(v, block, (size_t)(end - from), from, "the footer", reterr);
        if (rc != HF_OK)
            return rc;
        for (int64_t at = end; at-- > from;)
            if (block[at - from]) {
                *ret_at = at / SECTOR * SECTOR;
                return HF_OK;
            }
        end = from;
    }
    return HF_OK;
}

/* The header says that the directory's place is in the footer. */
static hf_code take_footer(vmdk_source *v, hf_err *reterr) {
    int64_t at = -1;
    uint8_t sector[SECTOR];
    hf_vmdk_header f;
    hf_code rc = find_last_sector(v, &at, reterr);
    if (rc != HF_OK)
        return rc;
    if (at < SECTOR || at + 2 * SECTOR > v->len || read_at(v, sector, SECTOR, at, "the footer", reterr) != HF_OK ||
        hf_vmdk_header_parse(sector, HF_E_SOURCE_INVALID, &f, reterr) != HF_OK)
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "the VMDK is truncated: it does not end with a footer and an end-of-stream marker");
    if (f.gd_sector == HF_VMDK_GD_AT_END || f.capacity_sectors != v->h.capacity_sectors ||
        f.grain_sectors != v->h.grain_sectors || f.flags != v->h.flags)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VMDK's footer does not fit its header");
    v->h.gd_sector = f.gd_sector;
    return HF_OK;
}

static hf_code load_directory(vmdk_source *v, hf_err *reterr) {
    size_t bytes = (size_t)v->h.tables * sizeof *v->directory;
    int64_t at = (int64_t)v->h.gd_sector * SECTOR;
    if (at > v->len || (int64_t)bytes > v->len - at) /* before memory is taken for it */
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "the VMDK is truncated or damaged: its grain directory is said to be at byte %" PRId64
                       " of %" PRId64,
                       at, v->len);
    if (!(v->directory = hf_alloc(bytes)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "the grain directory");
    hf_code rc = read_at(v, v->directory, bytes, at, "the grain directory", reterr);
    for (uint32_t i = 0; rc == HF_OK && i < v->h.tables; i++) {
        v->directory[i] = hf_le32(v->directory + i);
        if ((int64_t)v->directory[i] * SECTOR > v->len - HF_VMDK_TABLE_SECTORS * SECTOR)
            rc = hf_fail(reterr, HF_E_SOURCE_INVALID,
                         "the VMDK is truncated or damaged: its grain table %" PRIu32
                         " is said to be at sector %" PRIu32,
                         i, v->directory[i]);
    }
    return rc;
}

/* What the tables say is there; for very large disks, what the directory says might be. */
static hf_code count_allocated(vmdk_source *v, hf_err *reterr) {
    int64_t grains = 0, present = 0;
    uint32_t entries[HF_VMDK_GTES];
    for (uint32_t t = 0; t < v->h.tables; t++)
        present += v->directory[t] != 0;
    for (uint32_t t = 0; t < v->h.tables; t++) {
        int64_t first = (int64_t)t * HF_VMDK_GTES, left = v->h.grains - first;
        unsigned count = left < HF_VMDK_GTES ? (unsigned)left : HF_VMDK_GTES;
        if (v->directory[t] == 0)
            continue;
        if (present > COUNTED_TABLES_MAX) {
            grains += count;
            continue;
        }
        hf_code rc = grains_at(v, first, count, entries, reterr);
        if (rc != HF_OK)
            return rc;
        for (unsigned i = 0; i < count; i++)
            grains += entries[i] != 0;
    }
    int64_t bytes = grains * v->h.grain_bytes;
    v->source.allocated_bytes = bytes < v->source.size_bytes ? bytes : v->source.size_bytes;
    return HF_OK;
}

static hf_code open_tables(vmdk_source *v, hf_err *reterr) {
    uint8_t sector[SECTOR];
    if (v->len < SECTOR)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "a VMDK of %" PRId64 " bytes", v->len);
    hf_code rc = read_at(v, sector, SECTOR, 0, "the header", reterr);
    if (rc != HF_OK)
        return rc;
    if (hf_le32(sector) != HF_VMDK_MAGIC)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "a VMDK that is not a sparse extent");
    if ((rc = hf_vmdk_header_parse(sector, HF_E_SOURCE_INVALID, &v->h, reterr)) != HF_OK)
        return rc;
    v->compressed = v->h.flags & HF_VMDK_FLAG_COMPRESSED;
    if (v->compressed != ((v->h.flags & HF_VMDK_FLAG_MARKERS) != 0))
        return hf_fail(reterr, HF_E_UNSUPPORTED, "a VMDK with flags 0x%" PRIx32, v->h.flags);
    v->source.size_bytes = v->h.capacity_sectors * SECTOR;
    if ((rc = check_descriptor(v, reterr)) != HF_OK)
        return rc;
    if (v->h.gd_sector == HF_VMDK_GD_AT_END && (rc = take_footer(v, reterr)) != HF_OK)
        return rc;
    if ((rc = load_directory(v, reterr)) != HF_OK)
        return rc;
    return count_allocated(v, reterr);
}

hf_code hf_source_open_vmdk(int fd, int64_t base, int64_t len, hf_source **ret, hf_err *reterr) {
    hf_source_id id;
    hf_code rc = hf_source_identify(fd, &id, reterr);
    if (rc != HF_OK)
        return rc;
    if (base < 0 || len < 0 || base > id.size_bytes || len > id.size_bytes - base)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the file ends before the VMDK that is said to be in it");
    vmdk_source *v = hf_alloc(sizeof *v);
    if (!v)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK reader");
    v->source = (hf_source){.cls = &vmdk_class, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), .id = id};
    v->base = base;
    v->len = len;
    pthread_mutex_init(&v->lock, NULL);
    hf_vmdk_lanes_init(&v->lanes, WINDOW);
    for (unsigned i = 0; i < CACHED_TABLES; i++)
        v->cache[i].table = -1;
    rc = v->source.fd < 0 ? hf_fail_errno(reterr, errno, "duplicating the image's descriptor") : open_tables(v, reterr);
    if (rc != HF_OK) {
        vmdk_close(&v->source);
        return rc;
    }
    (void)posix_fadvise(v->source.fd, base, len, POSIX_FADV_SEQUENTIAL);
    *ret = &v->source;
    return HF_OK;
}
