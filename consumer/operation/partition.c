#include "consumer/operation/partition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *hf_table_name(hf_table_kind kind) {
    return kind == HF_TABLE_GPT ? "gpt" : kind == HF_TABLE_MBR ? "mbr" : "none";
}

hf_code hf_table_fetch(hf_source *s, void *to, size_t len, int64_t at, hf_err *reterr) {
    memset(to, 0, len);
    int64_t room = at < 0 ? 0 : s->size_bytes - at;
    size_t there = room <= 0 ? 0 : room < (int64_t)len ? (size_t)room : len;
    return there ? hf_source_read(s, to, there, at, reterr) : HF_OK;
}

void hf_table_problem(hf_partition_table *table, const char *format, ...) {
    if (table->problem_count == HF_PARTITION_PROBLEMS_MAX)
        return;
    char *to = table->problems[table->problem_count++];
    va_list args;
    va_start(args, format);
    vsnprintf(to, sizeof table->problems[0], format, args);
    va_end(args);
}

/* sectors as bytes, cut at what fits. */
static int64_t bytes_of(uint64_t sectors, int32_t sector_bytes) {
    uint64_t max = (uint64_t)INT64_MAX / (uint64_t)sector_bytes;
    return (int64_t)((sectors < max ? sectors : max) * (uint64_t)sector_bytes);
}

hf_partition *hf_table_add(hf_partition_table *table, const hf_source *s, int32_t number, uint64_t first,
                           uint64_t sectors) {
    if (table->count == HF_PARTITIONS_MAX) {
        table->more = true;
        return NULL;
    }
    hf_partition *p = &table->list[table->count++];
    *p = (hf_partition){.number = number,
                        .start_bytes = bytes_of(first, table->sector_bytes),
                        .size_bytes = bytes_of(sectors, table->sector_bytes),
                        .type_name = ""};
    if (p->start_bytes > s->size_bytes || p->size_bytes > s->size_bytes - p->start_bytes) {
        p->flags |= HF_PART_OUTSIDE;
        hf_table_problem(table, "partition %" PRId32 " does not lie within the disk", number);
    }
    return p;
}

static void find_overlaps(hf_partition_table *t) {
    for (uint32_t i = 0; i < t->count; i++)
        for (uint32_t k = 0; k < i; k++) {
            const hf_partition *a = &t->list[i], *b = &t->list[k];
            bool apart =
                a->start_bytes - b->start_bytes >= b->size_bytes || b->start_bytes - a->start_bytes >= a->size_bytes;
            if (!apart && !((a->flags | b->flags) & HF_PART_EXTENDED))
                hf_table_problem(t, "partitions %" PRId32 " and %" PRId32 " overlap", b->number, a->number);
        }
}

hf_code hf_partition_table_read(hf_source *s, hf_partition_table *ret, hf_err *reterr) {
    bool found = false;
    memset(ret, 0, sizeof *ret);
    hf_code rc = hf_gpt_read(s, ret, &found, reterr);
    if (rc == HF_OK && !found) {
        memset(ret, 0, sizeof *ret);
        rc = hf_mbr_read(s, ret, &found, reterr);
    }
    if (rc == HF_OK)
        find_overlaps(ret);
    return rc;
}
