/* What the writers of VDI, VHD and VHDX share: the disk is cut into blocks of some MiB; one that holds anything gets a place at the
 * file's end when its first data comes, and its used grains are written there, the rest staying a hole; one table tells each
 * block's place. A format brings the table's entries, what stands before a block's data, and the headers. */
#pragma once
#include "consumer/pipeline/sink.h"

enum { HF_BLOCK_ID_BYTES = 16 };

typedef struct hf_block_sink hf_block_sink;
typedef struct hf_block_format {
    const char *name;
    void (*put_entry)(hf_block_sink *b, int64_t block, int64_t at);
    /* Headers, table and whatever else the file has. */
    hf_code (*finish)(hf_block_sink *b, hf_err *reterr);
} hf_block_format;

struct hf_block_sink {
    hf_sink sink;
    const hf_block_format *format;
    int fd;
    hf_flow *flow;
    /* the format's, set before the first chunk */
    int64_t size_bytes;    /* of the disk, in whole sectors */
    int64_t block_bytes;   /* a multiple of HF_CHUNK_BYTES */
    int64_t align;         /* where a block's data may begin */
    const uint8_t *prefix; /* right before a block's data; NULL: nothing */
    size_t prefix_bytes;
    uint8_t *table;
    size_t table_bytes;
    int64_t table_at;
    uint8_t ids[2][HF_BLOCK_ID_BYTES]; /* made from the seed */
    /* the writer's */
    int64_t end; /* of the file so far */
    int64_t block, block_at;
    uint32_t used_blocks;
};

/* A sink of `format`, with size_bytes rounded up to sectors; the caller fills in the rest, and frees it by hf_sink_free. */
hf_code hf_block_sink_new(const hf_block_format *format, int fd, const char *seed, int64_t size_bytes, hf_flow *flow,
                          hf_block_sink **ret, hf_err *reterr);
/* The table, of so many bytes, each `fill`; it and the file's first blocks come behind it. */
hf_code hf_block_table_new(hf_block_sink *b, int64_t at, int64_t bytes, uint8_t fill, hf_err *reterr);
hf_code hf_block_put(hf_block_sink *b, const void *bytes, size_t len, int64_t at, hf_err *reterr);
int64_t hf_round_up(int64_t n, int64_t to);
