/* Checkpoints: what an export that was killed needs to go on. One small file in the job's private directory, replaced as a whole:
 *
 *   "HFCKPT1\n"; u32 length and text of `options`; the same of `sources`; u32 disk;
 *   of each disk up to and with that one: i64 file_bytes, i64 populated_bytes, 65 bytes of sha256;
 *   i64 next_offset, i64 bytes_done; u32 length and bytes of `state`; SHA-256 of all before it
 *
 * Numbers little-endian. `options` and `sources` are compared as texts: an attempt goes on only where both are what they were.
 * The data it speaks of was made durable before the file got its name. */
#pragma once
#include "consumer/pipeline/digest.h"
#include "schemas/base/buf.h"

enum { HF_CHECKPOINT_DISKS_MAX = 64, HF_CHECKPOINT_TEXT_MAX = 256 * 1024, HF_CHECKPOINT_STATE_MAX = 16 << 20 };
#define HF_CHECKPOINT_NAME ".checkpoint"

typedef struct hf_checkpoint_disk {
    int64_t file_bytes, populated_bytes;
    char sha256[HF_SHA256_HEX]; /* of those file_bytes */
} hf_checkpoint_disk;

typedef struct hf_checkpoint {
    hf_buf options, sources; /* whatever shapes the bytes; the identities of what is read */
    uint32_t disk; /* the one under way: those before it are whole, of it disks[disk] is the part that is done */
    hf_checkpoint_disk disks[HF_CHECKPOINT_DISKS_MAX];
    int64_t next_offset; /* in that disk */
    int64_t bytes_done;  /* of all sources: what progress counts */
    hf_buf state;        /* the sink's */
} hf_checkpoint;

void hf_checkpoint_init(hf_checkpoint *checkpoint);
void hf_checkpoint_done(hf_checkpoint *checkpoint);
hf_code hf_checkpoint_encode(const hf_checkpoint *checkpoint, hf_buf *ret_bytes, hf_err *reterr);
/* Into an initialised one. VERIFY_FAILED for bytes that encode did not give. */
hf_code hf_checkpoint_decode(const uint8_t *bytes, size_t len, hf_checkpoint *ret, hf_err *reterr);
/* Puts the bytes into directory dir_fd, durably and whole or not at all. */
hf_code hf_checkpoint_store(int dir_fd, const hf_buf *bytes, hf_err *reterr);
/* NOT_FOUND if there is none. */
hf_code hf_checkpoint_load(int dir_fd, hf_checkpoint *ret, hf_err *reterr);
