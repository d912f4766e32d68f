/* GPT: the primary header behind the protective MBR, the backup in the last sector; each names its entries and has a CRC-32 of itself
 * and of them. The entries of the first whole one are told; where none is whole, the primary's as they stand. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "consumer/operation/partition.h"
#include "consumer/pipeline/bytes.h"

enum {
    SECTOR_MAX = 4096,
    HEADER_MIN = 92,
    ENTRY_MIN = 128,
    ENTRY_MAX = 4096,
    ENTRIES_MAX = 4096, /* 128 is usual */
    PIECE = 16 * 1024,
};

typedef struct header {
    uint8_t bytes[SECTOR_MAX];
    int64_t at;           /* where it stands */
    int32_t sector_bytes; /* 0: it is not there */
    uint64_t entries_at;  /* in bytes; 0: cannot be */
    uint32_t entry_count, entry_bytes;
} header;

static bool looks_like(const uint8_t *bytes) { return memcmp(bytes, "EFI PART", 8) == 0; }

/* Mixed-endian, as EFI prints it. */
static void guid_text(const uint8_t *g, char text[37]) {
    snprintf(text, 37, "%08" PRIx32 "-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", hf_le32(g), hf_le16(g + 4),
             hf_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

/* UTF-16LE to UTF-8, to its NUL; halves of pairs and control characters as '?'. */
static void name_text(const uint8_t *units, size_t count, char *to, size_t room) {
    size_t n = 0;
    for (size_t i = 0; i < count && n + 5 <= room; i++) {
        uint32_t c = hf_le16(units + 2 * i), low = i + 1 < count ? hf_le16(units + 2 * i + 2) : 0;
        if (c == 0)
            break;
        if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i++;
        }
        if (c < 0x20 || c == 0x7f || (c >= 0xd800 && c < 0xe000) || c >= 0xfffe)
            c = c >= 0x10000 ? c : '?';
        if (c < 0x80)
            to[n++] = (char)c;
        else if (c < 0x800) {
            to[n++] = (char)(0xc0 | c >> 6);
            to[n++] = (char)(0x80 | (c & 0x3f));
        } else {
            if (c < 0x10000)
                to[n++] = (char)(0xe0 | c >> 12);
            else {
                to[n++] = (char)(0xf0 | c >> 18);
                to[n++] = (char)(0x80 | (c >> 12 & 0x3f));
            }
            to[n++] = (char)(0x80 | (c >> 6 & 0x3f));
            to[n++] = (char)(0x80 | (c & 0x3f));
        }
    }
    to[n] = 0;
}

static const char *type_name(const char *guid) {
    static const struct {
        const char *guid, *name;
    } types[] = {
#define HF_MBR_TYPE(number, name)
#define HF_GPT_TYPE(guid, name) {guid, name},
#include "consumer/operation/partition_types.def"
#undef HF_MBR_TYPE
#undef HF_GPT_TYPE
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].guid, guid) == 0)
            return types[i].name;
    return "";
}

/* ---- headers ------------------------------------------------------------------------------------------------------ */
static hf_code read_header(hf_source *s, int64_t at, int32_t sector_bytes, header *ret, hf_err *reterr) {
    *ret = (header){.at = at};
    if (at < 0 || at > s->size_bytes - sector_bytes)
        return HF_OK;
    hf_code rc = hf_table_fetch(s, ret->bytes, (size_t)sector_bytes, at, reterr);
    if (rc != HF_OK || !looks_like(ret->bytes))
        return rc;
    const uint8_t *h = ret->bytes;
    uint64_t entries = hf_le64(h + 72);
    ret->sector_bytes = sector_bytes;
    ret->entry_count = hf_le32(h + 80);
    ret->entry_bytes = hf_le32(h + 84);
    if (ret->entry_bytes >= ENTRY_MIN && ret->entry_bytes <= ENTRY_MAX && entries > 0 &&
        entries <= (uint64_t)s->size_bytes / (uint64_t)sector_bytes)
        ret->entries_at = entries * (uint64_t)sector_bytes;
    return HF_OK;
}

static hf_code entries_crc(hf_source *s, const header *h, uint32_t *ret, hf_err *reterr) {
    uint8_t piece[PIECE];
    uint64_t left = (uint64_t)h->entry_count * h->entry_bytes, at = h->entries_at;
    uLong crc = crc32(0, NULL, 0);
    while (left > 0) {
        size_t n = left < PIECE ? (size_t)left : PIECE;
        hf_code rc = hf_table_fetch(s, piece, n, (int64_t)at, reterr);
        if (rc != HF_OK)
            return rc;
        crc = crc32(crc, piece, (uInt)n);
        at += n;
        left -= n;
    }
    *ret = (uint32_t)crc;
    return HF_OK;
}

static bool header_crc_right(const header *h) {
    uint8_t copy[SECTOR_MAX];
    uint32_t len = hf_le32(h->bytes + 12);
    if (len < HEADER_MIN || len > (uint32_t)h->sector_bytes)
        return false;
    memcpy(copy, h->bytes, len);
    memset(copy + 16, 0, 4);
    return (uint32_t)crc32(0, copy, len) == hf_le32(h->bytes + 16);
}

/* What is wrong with a header, in words; "ok". */
static hf_code judge(hf_source *s, const header *h, char to[48], hf_err *reterr) {
    uint32_t crc = 0;
    const char *words = NULL;
    if (!h->sector_bytes)
        words = "missing";
    else if (!header_crc_right(h))
        words = "the header's checksum is wrong";
    else if (hf_le64(h->bytes + 24) != (uint64_t)(h->at / h->sector_bytes))
        words = "the header says it stands elsewhere";
    else if (!h->entries_at || h->entry_count > ENTRIES_MAX)
        words = "the table of entries cannot be";
    if (!words) {
        hf_code rc = entries_crc(s, h, &crc, reterr);
        if (rc != HF_OK)
            return rc;
        words = crc == hf_le32(h->bytes + 88) ? "ok" : "the entries' checksum is wrong";
    }
    snprintf(to, 48, "%s", words);
    return HF_OK;
}

/* ---- entries -------------------------------------------------------------------------------------------------------- */
static hf_code read_entries(hf_source *s, const header *h, hf_partition_table *table, hf_err *reterr) {
    static const uint8_t unused[16];
    uint8_t entry[ENTRY_MIN];
    uint32_t count = h->entry_count < ENTRIES_MAX ? h->entry_count : ENTRIES_MAX;
    if (!h->entries_at)
        return HF_OK;
    for (uint32_t i = 0; i < count; i++) {
        int64_t at = (int64_t)(h->entries_at + (uint64_t)i * h->entry_bytes);
        if (at >= s->size_bytes)
            break;
        hf_code rc = hf_table_fetch(s, entry, sizeof entry, at, reterr);
        if (rc != HF_OK)
            return rc;
        uint64_t first = hf_le64(entry + 32), last = hf_le64(entry + 40);
        if (memcmp(entry, unused, sizeof unused) == 0)
            continue;
        if (last < first) {
            hf_table_problem(table, "partition %" PRIu32 " ends before it begins", i + 1);
            continue;
        }
        hf_partition *p =
            hf_table_add(table, s, (int32_t)i + 1, first, last - first == UINT64_MAX ? last : last - first + 1);
        if (!p)
            break;
        guid_text(entry, p->type);
        guid_text(entry + 16, p->uuid);
        p->type_name = type_name(p->type);
        name_text(entry + 56, 36, p->name, sizeof p->name);
        if (hf_le64(entry + 48) & 4) /* legacy BIOS bootable */
            p->flags |= HF_PART_BOOTABLE;
    }
    return HF_OK;
}

static hf_code find_primary(hf_source *s, header *ret, hf_err *reterr) {
    hf_code rc = read_header(s, 512, 512, ret, reterr);
    if (rc == HF_OK && !ret->sector_bytes)
        rc = read_header(s, 4096, 4096, ret, reterr);
    return rc;
}

static hf_code find_backup(hf_source *s, const header *primary, bool primary_whole, header *ret, hf_err *reterr) {
    int32_t sector = primary->sector_bytes ? primary->sector_bytes : 512;
    uint64_t said = primary_whole ? hf_le64(primary->bytes + 32) : 0;
    int64_t last = s->size_bytes / sector * sector - sector;
    hf_code rc = HF_OK;
    *ret = (header){0};
    if (said > 0 && said <= (uint64_t)s->size_bytes / (uint64_t)sector)
        rc = read_header(s, (int64_t)said * sector, sector, ret, reterr);
    if (rc == HF_OK && !ret->sector_bytes)
        rc = read_header(s, last, sector, ret, reterr);
    if (rc == HF_OK && !ret->sector_bytes && !primary->sector_bytes)
        rc = read_header(s, s->size_bytes / 4096 * 4096 - 4096, 4096, ret, reterr);
    return rc;
}

/* A lone backup counts only behind a protective MBR: it may be left over from a table before. */
static hf_code is_protected(hf_source *s, bool *ret, hf_err *reterr) {
    uint8_t sector[512];
    hf_code rc = hf_table_fetch(s, sector, sizeof sector, 0, reterr);
    *ret = false;
    for (int i = 0; rc == HF_OK && i < 4; i++)
        *ret |= sector[510] == 0x55 && sector[511] == 0xaa && sector[446 + 16 * i + 4] == 0xee;
    return rc;
}

hf_code hf_gpt_read(hf_source *s, hf_partition_table *table, bool *ret_found, hf_err *reterr) {
    header primary, backup;
    bool protected = false;
    hf_code rc = find_primary(s, &primary, reterr);
    if (rc != HF_OK || (rc = judge(s, &primary, table->primary, reterr)) != HF_OK ||
        (rc = find_backup(s, &primary, strcmp(table->primary, "ok") == 0, &backup, reterr)) != HF_OK ||
        (rc = judge(s, &backup, table->backup, reterr)) != HF_OK || (rc = is_protected(s, &protected, reterr)) != HF_OK)
        return rc;
    *ret_found = primary.sector_bytes || (backup.sector_bytes && protected);
    if (!*ret_found)
        return HF_OK;
    bool use_backup = strcmp(table->primary, "ok") != 0 && (strcmp(table->backup, "ok") == 0 || !primary.sector_bytes);
    const header *use = use_backup ? &backup : &primary;
    table->kind = HF_TABLE_GPT;
    table->sector_bytes = use->sector_bytes;
    guid_text(use->bytes + 56, table->id);
    if (strcmp(table->primary, "ok") != 0)
        hf_table_problem(table, "the primary GPT: %s", table->primary);
    if (strcmp(table->backup, "ok") != 0)
        hf_table_problem(table, "the backup GPT: %s", table->backup);
    else if (strcmp(table->primary, "ok") == 0 && hf_le32(primary.bytes + 88) != hf_le32(backup.bytes + 88))
        hf_table_problem(table, "the two GPTs differ in their entries");
    if (!protected)
        hf_table_problem(table, "there is no protective MBR before the GPT");
    return read_entries(s, use, table, reterr);
}
