// LIBS: hf_operation
/* Whatever stands where partition tables stand: every read is inside the disk, there are few of them, lists are bounded, and what is
 * not marked as outside lies within. The input is the disk's front, and its end as well, so that both GPT headers are reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/partition.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DISK = 256 * 1024 };

typedef struct disk {
    hf_source source;
    uint8_t bytes[DISK];
    int reads;
} disk;

static hf_code extent_of(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    (void)offset;
    (void)reterr;
    *ret_end = source->size_bytes;
    *ret_data = true;
    return HF_OK;
}

static hf_code read_disk(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr) {
    disk *d = (disk *)source;
    (void)reterr;
    MUST(offset >= 0 && offset <= source->size_bytes && (int64_t)len <= source->size_bytes - offset);
    memcpy(to, d->bytes + offset, len);
    d->reads++;
    return HF_OK;
}

static void close_disk(hf_source *source) { (void)source; }

static void check(const disk *d, const hf_partition_table *t) {
    int32_t last = 0;
    MUST(t->count <= HF_PARTITIONS_MAX && t->problem_count <= HF_PARTITION_PROBLEMS_MAX);
    MUST(t->kind != HF_TABLE_NONE || (t->count == 0 && !t->id[0]));
    for (uint32_t i = 0; i < t->count; i++) {
        const hf_partition *p = &t->list[i];
        bool inside = p->start_bytes <= d->source.size_bytes && p->size_bytes <= d->source.size_bytes - p->start_bytes;
        MUST(p->start_bytes >= 0 && p->size_bytes >= 0);
        MUST(inside == !(p->flags & HF_PART_OUTSIDE));
        MUST(p->type_name && p->type[0] && strnlen(p->name, sizeof p->name) < sizeof p->name);
        MUST(p->number > last);
        last = p->number;
    }
    /* 124 links of a chain; or 4,096 entries twice, each table's checksum in pieces of 16 KiB */
    MUST(d->reads <= 4096 + 2 * 1024 + 16);
}

static void run(const uint8_t *data, size_t size, int64_t disk_bytes) {
    static disk d;
    static hf_partition_table table;
    static const hf_source_class class = {"memory", extent_of, read_disk, close_disk};
    memset(&d, 0, sizeof d);
    d.source = (hf_source){.cls = &class, .fd = -1, .size_bytes = disk_bytes};
    size_t head = size < (size_t)disk_bytes ? size : (size_t)disk_bytes;
    memcpy(d.bytes, data, head);
    if (size >= 512 && disk_bytes == DISK)
        memcpy(d.bytes + DISK - 512, data + size - 512, 512);
    hf_err err = {0};
    MUST(hf_partition_table_read(&d.source, &table, &err) == HF_OK);
    check(&d, &table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > DISK / 2)
        return 0;
    run(data, size, DISK);
    run(data, size, (int64_t)size); /* a disk that ends anywhere */
    return 0;
}
