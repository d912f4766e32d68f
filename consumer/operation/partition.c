#include "consumer/operation/partition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consumer/pipeline/bytes.h"

enum { SECTOR = 512, PARTITIONS_MAX = 128, GPT_ENTRY = 128, GPT_ENTRIES_BYTES = PARTITIONS_MAX * GPT_ENTRY };

/* Magics by where they stand in a partition. */
static const struct {
    const char *name;
    int64_t at;
    const char *bytes;
    size_t len;
} magics[] = {
    {"ext", 1024 + 56, "\x53\xef", 2},     {"xfs", 0, "XFSB", 4},
    {"btrfs", 65536 + 64, "_BHRfS_M", 8},  {"ntfs", 3, "NTFS    ", 8},
    {"vfat", 82, "FAT32   ", 8},           {"vfat", 54, "FAT16   ", 8},
    {"vfat", 54, "FAT12   ", 8},           {"exfat", 3, "EXFAT   ", 8},
    {"swap", 4096 - 10, "SWAPSPACE2", 10}, {"lvm2", 512 + 24, "LVM2 001", 8},
    {"crypto_LUKS", 0, "LUKS\xba\xbe", 6}, {"iso9660", 32769, "CD001", 5},
    {"f2fs", 1024, "\x10\x20\xf5\xf2", 4}, {"squashfs", 0, "hsqs", 4},
};

/* Less than len where the disk ends; *ret_len says how much. */
static hf_code read_some(hf_source *s, void *to, size_t len, int64_t at, size_t *ret_len, hf_err *reterr) {
    memset(to, 0, len);
    int64_t room = s->size_bytes - at;
    *ret_len = at < 0 || room <= 0 ? 0 : room < (int64_t)len ? (size_t)room : len;
    return *ret_len ? hf_source_read(s, to, *ret_len, at, reterr) : HF_OK;
}

static hf_code find_filesystem(hf_source *s, int64_t start, const char **ret, hf_err *reterr) {
    uint8_t bytes[16];
    size_t got;
    *ret = NULL;
    for (size_t i = 0; i < sizeof magics / sizeof *magics && !*ret; i++) {
        if (start > INT64_MAX - magics[i].at)
            return HF_OK;
        hf_code rc = read_some(s, bytes, magics[i].len, start + magics[i].at, &got, reterr);
        if (rc != HF_OK)
            return rc;
        if (got == magics[i].len && memcmp(bytes, magics[i].bytes, got) == 0)
            *ret = magics[i].name;
    }
    return HF_OK;
}

static hf_code add_partition(hf_source *s, json_t *list, int number, uint64_t first, uint64_t sectors, const char *type,
                             hf_err *reterr) {
    const char *fs = NULL;
    if (first > INT64_MAX / SECTOR || sectors > INT64_MAX / SECTOR)
        return HF_OK; /* lies outside any disk */
    int64_t start = (int64_t)first * SECTOR;
    hf_code rc = find_filesystem(s, start, &fs, reterr);
    if (rc == HF_OK)
        json_array_append_new(list,
                              json_pack("{s:i, s:I, s:I, s:s, s:s*}", "number", number, "start", (json_int_t)start,
                                        "size_bytes", (json_int_t)sectors * SECTOR, "type", type, "filesystem", fs));
    return rc;
}

/* Mixed-endian, as EFI prints it. */
static void guid_text(const uint8_t *g, char text[37]) {
    snprintf(text, 37, "%08" PRIx32 "-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", hf_le32(g), hf_le16(g + 4),
             hf_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

static hf_code read_gpt(hf_source *s, const uint8_t *header, json_t *list, hf_err *reterr) {
    static uint8_t const unused[16];
    uint8_t entry[GPT_ENTRY];
    char type[37];
    size_t got;
    uint64_t table = hf_le64(header + 72);
    uint32_t count = hf_le32(header + 80), size = hf_le32(header + 84);
    if (size < GPT_ENTRY || size > 4096 || table > INT64_MAX / SECTOR / 2)
        return HF_OK; /* a table that cannot be: report none of it */
    for (uint32_t i = 0; i < count && i < PARTITIONS_MAX; i++) {
        hf_code rc = read_some(s, entry, sizeof entry, (int64_t)table * SECTOR + (int64_t)i * size, &got, reterr);
        if (rc != HF_OK)
            return rc;
        uint64_t first = hf_le64(entry + 32), last = hf_le64(entry + 40);
        if (memcmp(entry, unused, sizeof unused) == 0 || last < first)
            continue;
        guid_text(entry, type);
        if ((rc = add_partition(s, list, (int)i + 1, first, last - first + 1, type, reterr)) != HF_OK)
            return rc;
    }
    return HF_OK;
}

/* The four of the sector; logical ones inside an extended partition are not followed. */
static hf_code read_mbr(hf_source *s, const uint8_t *sector, json_t *list, hf_err *reterr) {
    char type[8];
    for (int i = 0; i < 4; i++) {
        const uint8_t *e = sector + 446 + 16 * i;
        if (e[4] == 0 || hf_le32(e + 12) == 0)
            continue;
        snprintf(type, sizeof type, "0x%02x", e[4]);
        hf_code rc = add_partition(s, list, i + 1, hf_le32(e + 8), hf_le32(e + 12), type, reterr);
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}

static bool is_mbr(const uint8_t *sector) {
    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    for (int i = 0; i < 4; i++) /* a boot sector of a file system has the signature too, but not this */
        if ((sector[446 + 16 * i] & 0x7f) != 0)
            return false;
    return true;
}

json_t *hf_partitions_report(hf_source *s, hf_err *reterr) {
    uint8_t head[2 * SECTOR];
    size_t got;
    const char *fs = NULL, *table = "none";
    json_t *list = json_array();
    hf_code rc = read_some(s, head, sizeof head, 0, &got, reterr);
    if (rc == HF_OK && memcmp(head + SECTOR, "EFI PART", 8) == 0) {
        table = "gpt";
        rc = read_gpt(s, head + SECTOR, list, reterr);
    } else if (rc == HF_OK && (rc = find_filesystem(s, 0, &fs, reterr)) == HF_OK && !fs && is_mbr(head)) {
        table = "mbr";
        rc = read_mbr(s, head, list, reterr);
    }
    if (rc != HF_OK) {
        json_decref(list);
        return NULL;
    }
    json_t *report = json_pack("{s:s, s:o, s:s*}", "partition_table", table, "partitions", list, "filesystem", fs);
    if (!report)
        hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    return report;
}
