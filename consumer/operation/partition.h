/* A disk's partition table: GPT (UEFI 2.10, chapter 5; both headers, each with its checksums) or MBR with its chain of logical
 * partitions. A table that lies is told as it stands, with its problems; nothing it says makes for an allocation or a read outside the
 * disk, and no chain is followed twice. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "consumer/pipeline/source.h"

enum { HF_PARTITIONS_MAX = 128, HF_PARTITION_PROBLEMS_MAX = 8 };

typedef enum hf_table_kind { HF_TABLE_NONE, HF_TABLE_MBR, HF_TABLE_GPT } hf_table_kind;

typedef struct hf_partition {
    int32_t number; /* as Linux counts: from 1, logical ones from 5 */
    int64_t start_bytes, size_bytes;
    char type[37];         /* "0x83", or a GUID */
    const char *type_name; /* "" where not known */
    char uuid[37];         /* GPT */
    char name[112];        /* GPT; UTF-8 */
    enum { HF_PART_BOOTABLE = 1, HF_PART_LOGICAL = 2, HF_PART_EXTENDED = 4, HF_PART_OUTSIDE = 8 } flags;
} hf_partition;

typedef struct hf_partition_table {
    hf_table_kind kind;
    char id[37];                  /* the disk's GUID; of an MBR its signature, 8 hex digits */
    int32_t sector_bytes;         /* that the table counts in */
    char primary[48], backup[48]; /* GPT: "ok", or what is wrong with the header or its entries */
    hf_partition list[HF_PARTITIONS_MAX];
    uint32_t count;
    bool more; /* there are more than are listed */
    char problems[HF_PARTITION_PROBLEMS_MAX][128];
    uint32_t problem_count;
} hf_partition_table;

const char *hf_table_name(hf_table_kind kind); /* "none", "mbr", "gpt" */
/* Fails only where the source cannot be read, or without memory. */
hf_code hf_partition_table_read(hf_source *source, hf_partition_table *ret, hf_err *reterr);

/* For the two readers: as much of [at, at + len) as the disk has, zeros behind it. */
hf_code hf_table_fetch(hf_source *source, void *to, size_t len, int64_t at, hf_err *reterr);
/* The next partition of the list, with what is common to both kinds; NULL when the list is full. Sectors may lie anywhere. */
hf_partition *hf_table_add(hf_partition_table *table, const hf_source *source, int32_t number, uint64_t first,
                           uint64_t sectors);
void hf_table_problem(hf_partition_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* *ret_found false: there is none. */
hf_code hf_gpt_read(hf_source *source, hf_partition_table *table, bool *ret_found, hf_err *reterr);
hf_code hf_mbr_read(hf_source *source, hf_partition_table *table, bool *ret_found, hf_err *reterr);
