/* MBR: four entries; one of them may be extended, the head of a chain of sectors with one logical partition each. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consumer/operation/partition.h"
#include "consumer/pipeline/bytes.h"

enum { SECTOR = 512, TABLE = 446, ENTRY = 16, LOGICAL_MAX = HF_PARTITIONS_MAX - 4 };

typedef struct entry {
    uint8_t flag, type;
    uint32_t first, sectors;
} entry;

static entry entry_at(const uint8_t *sector, int i) {
    const uint8_t *e = sector + TABLE + ENTRY * i;
    return (entry){.flag = e[0], .type = e[4], .first = hf_le32(e + 8), .sectors = hf_le32(e + 12)};
}

static bool is_extended(uint8_t type) { return type == 0x05 || type == 0x0f || type == 0x85; }
static bool is_used(entry e) { return e.type != 0 && e.sectors != 0; }

/* Boot sectors of file systems have the signature, too. */
static bool is_table(const uint8_t *sector) {
    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    for (int i = 0; i < 4; i++)
        if ((entry_at(sector, i).flag & 0x7f) != 0)
            return false;
    if (memcmp(sector + 3, "NTFS    ", 8) == 0 || memcmp(sector + 3, "EXFAT   ", 8) == 0)
        return false;
    bool fat = memcmp(sector + 54, "FAT", 3) == 0 || memcmp(sector + 82, "FAT32", 5) == 0;
    return !fat || is_used(entry_at(sector, 0));
}

static void say_type(hf_partition *p, uint8_t type) {
    static const struct {
        uint8_t number;
        const char *name;
    } types[] = {
#define HF_MBR_TYPE(number, name) {number, name},
#define HF_GPT_TYPE(guid, name)
#include "consumer/operation/partition_types.def"
#undef HF_MBR_TYPE
#undef HF_GPT_TYPE
    };
    snprintf(p->type, sizeof p->type, "0x%02x", type);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].number == type)
            p->type_name = types[i].name;
}

static bool add(hf_partition_table *table, const hf_source *s, int32_t number, uint64_t first, entry e) {
    hf_partition *p = hf_table_add(table, s, number, first, e.sectors);
    if (!p)
        return false;
    say_type(p, e.type);
    if (e.flag & 0x80)
        p->flags |= HF_PART_BOOTABLE;
    if (is_extended(e.type))
        p->flags |= HF_PART_EXTENDED;
    if (number > 4)
        p->flags |= HF_PART_LOGICAL;
    return true;
}

/* Each link stands within the extended partition and behind none that came already. */
static hf_code read_logical(hf_source *s, hf_partition_table *table, entry extended, hf_err *reterr) {
    uint64_t visited[LOGICAL_MAX], link = extended.first;
    uint8_t sector[SECTOR];
    int32_t number = 5;
    for (int n = 0;; n++) {
        for (int i = 0; i < n; i++)
            if (visited[i] == link) {
                hf_table_problem(table, "the chain of logical partitions comes back to sector %" PRIu64, link);
                return HF_OK;
            }
        if (n == LOGICAL_MAX) {
            table->more = true;
            return HF_OK;
        }
        visited[n] = link;
        hf_code rc = hf_table_fetch(s, sector, sizeof sector, (int64_t)link * SECTOR, reterr);
        if (rc != HF_OK)
            return rc;
        if (sector[510] != 0x55 || sector[511] != 0xaa) {
            hf_table_problem(table, "the chain of logical partitions breaks at sector %" PRIu64, link);
            return HF_OK;
        }
        entry own = entry_at(sector, 0), next = entry_at(sector, 1);
        if (is_used(own) && !add(table, s, number++, link + own.first, own))
            return HF_OK;
        if (!is_used(next))
            return HF_OK;
        if (next.first >= extended.sectors) {
            hf_table_problem(table, "the chain of logical partitions leaves the extended one at sector %" PRIu64, link);
            return HF_OK;
        }
        link = (uint64_t)extended.first + next.first;
    }
}

hf_code hf_mbr_read(hf_source *s, hf_partition_table *table, bool *ret_found, hf_err *reterr) {
    uint8_t sector[SECTOR];
    entry extended = {0};
    hf_code rc = hf_table_fetch(s, sector, sizeof sector, 0, reterr);
    *ret_found = rc == HF_OK && is_table(sector);
    if (!*ret_found)
        return rc;
    table->kind = HF_TABLE_MBR;
    table->sector_bytes = SECTOR;
    snprintf(table->id, sizeof table->id, "%08" PRIx32, hf_le32(sector + 440));
    for (int i = 0; i < 4; i++) {
        entry e = entry_at(sector, i);
        if (!is_used(e))
            continue;
        add(table, s, i + 1, e.first, e);
        if (is_extended(e.type) && extended.sectors)
            hf_table_problem(table, "partition %d is a second extended one: its logical partitions are not listed",
                             i + 1);
        else if (is_extended(e.type))
            extended = e;
    }
    return extended.sectors ? read_logical(s, table, extended, reterr) : HF_OK;
}
