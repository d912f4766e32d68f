#include "consumer/pipeline/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/out.h"
#include "consumer/pipeline/source.h"
#include "schemas/base/fault.h"
#include "schemas/base/mem.h"

enum { MAGIC_BYTES = 8, SUM_BYTES = HF_SHA256_HEX - 1, DISK_BYTES = 16 + HF_SHA256_HEX };
static const char magic[MAGIC_BYTES + 1] = "HFCKPT1\n";
static const size_t file_max = MAGIC_BYTES + 2 * (4 + HF_CHECKPOINT_TEXT_MAX) + 4 +
                               HF_CHECKPOINT_DISKS_MAX * DISK_BYTES + 16 + 4 + HF_CHECKPOINT_STATE_MAX + SUM_BYTES;

void hf_checkpoint_init(hf_checkpoint *c) {
    memset(c, 0, sizeof *c);
    hf_buf_init(&c->options, HF_CHECKPOINT_TEXT_MAX);
    hf_buf_init(&c->sources, HF_CHECKPOINT_TEXT_MAX);
    hf_buf_init(&c->state, HF_CHECKPOINT_STATE_MAX);
}

void hf_checkpoint_done(hf_checkpoint *c) {
    hf_buf_done(&c->options);
    hf_buf_done(&c->sources);
    hf_buf_done(&c->state);
}

/* ---- writing ------------------------------------------------------------------------------------------ */
static void put_u32(hf_buf *to, uint32_t n) {
    uint8_t bytes[4];
    hf_put_le32(bytes, n);
    hf_buf_put(to, bytes, sizeof bytes);
}
static void put_i64(hf_buf *to, int64_t n) {
    uint8_t bytes[8];
    hf_put_le64(bytes, (uint64_t)n);
    hf_buf_put(to, bytes, sizeof bytes);
}
static void put_block(hf_buf *to, const hf_buf *block) {
    put_u32(to, (uint32_t)block->len);
    hf_buf_put(to, block->data, block->len);
}

hf_code hf_checkpoint_encode(const hf_checkpoint *c, hf_buf *ret, hf_err *reterr) {
    char hex[HF_DIGEST_HEX_MAX];
    hf_buf_put(ret, magic, MAGIC_BYTES);
    put_block(ret, &c->options);
    put_block(ret, &c->sources);
    put_u32(ret, c->disk);
    for (uint32_t i = 0; i <= c->disk; i++) {
        put_i64(ret, c->disks[i].file_bytes);
        put_i64(ret, c->disks[i].populated_bytes);
        hf_buf_put(ret, c->disks[i].sha256, HF_SHA256_HEX);
    }
    put_i64(ret, c->next_offset);
    put_i64(ret, c->bytes_done);
    put_block(ret, &c->state);
    if (ret->failed)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a checkpoint");
    hf_code rc = hf_digest_bytes(HF_DIGEST_SHA256, ret->data, ret->len, hex, reterr);
    if (rc == HF_OK && !hf_buf_put(ret, hex, SUM_BYTES))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "a checkpoint");
    return rc;
}

hf_code hf_checkpoint_store(int dir_fd, const hf_buf *bytes, hf_err *reterr) {
    static const char fresh[] = HF_CHECKPOINT_NAME ".new";
    hf_auto_fd int fd = openat(dir_fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "making a checkpoint");
    hf_code rc = hf_write_fully(fd, bytes->data, bytes->len, 0, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "a checkpoint");
    hf_fault_point("checkpoint-written");
    if (hf_fsync(fd) != 0 || renameat(dir_fd, fresh, dir_fd, HF_CHECKPOINT_NAME) != 0 || hf_fsync(dir_fd) != 0)
        return hf_fail_errno(reterr, errno, "making a checkpoint durable");
    hf_fault_point("checkpoint-durable");
    return HF_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------- */
typedef struct reader {
    const uint8_t *at, *end;
    bool bad;
} reader;

static const uint8_t *take(reader *r, size_t len) {
    if (r->bad || (size_t)(r->end - r->at) < len) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += len;
    return p;
}
static uint32_t take_u32(reader *r) {
    const uint8_t *p = take(r, 4);
    return p ? hf_le32(p) : 0;
}
static int64_t take_i64(reader *r) {
    const uint8_t *p = take(r, 8);
    int64_t n = p ? (int64_t)hf_le64(p) : 0;
    r->bad |= n < 0;
    return n;
}
static void take_block(reader *r, hf_buf *to) {
    uint32_t len = take_u32(r);
    const uint8_t *p = take(r, len);
    if (p && !hf_buf_put(to, p, len))
        r->bad = true;
}

static bool sum_fits(const uint8_t *bytes, size_t len) {
    char hex[HF_DIGEST_HEX_MAX];
    return len > MAGIC_BYTES + SUM_BYTES && memcmp(bytes, magic, MAGIC_BYTES) == 0 &&
           hf_digest_bytes(HF_DIGEST_SHA256, bytes, len - SUM_BYTES, hex, NULL) == HF_OK &&
           memcmp(hex, bytes + len - SUM_BYTES, SUM_BYTES) == 0;
}

hf_code hf_checkpoint_decode(const uint8_t *bytes, size_t len, hf_checkpoint *ret, hf_err *reterr) {
    if (!sum_fits(bytes, len))
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the checkpoint is damaged, or of another version");
    reader r = {.at = bytes + MAGIC_BYTES, .end = bytes + len - SUM_BYTES};
    take_block(&r, &ret->options);
    take_block(&r, &ret->sources);
    ret->disk = take_u32(&r);
    r.bad |= ret->disk >= HF_CHECKPOINT_DISKS_MAX;
    for (uint32_t i = 0; !r.bad && i <= ret->disk; i++) {
        ret->disks[i].file_bytes = take_i64(&r);
        ret->disks[i].populated_bytes = take_i64(&r);
        const uint8_t *hex = take(&r, HF_SHA256_HEX);
        if (hex && hex[HF_SHA256_HEX - 1] == 0)
            memcpy(ret->disks[i].sha256, hex, HF_SHA256_HEX);
        else
            r.bad = true;
    }
    ret->next_offset = take_i64(&r);
    ret->bytes_done = take_i64(&r);
    take_block(&r, &ret->state);
    if (r.bad || r.at != r.end)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the checkpoint contradicts itself");
    return HF_OK;
}

hf_code hf_checkpoint_load(int dir_fd, hf_checkpoint *ret, hf_err *reterr) {
    struct stat st;
    hf_auto_fd int fd = openat(dir_fd, HF_CHECKPOINT_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "the checkpoint");
    if (!S_ISREG(st.st_mode) || (size_t)st.st_size > file_max)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the checkpoint is no file of ours");
    hf_auto_free uint8_t *bytes = hf_alloc((size_t)st.st_size + 1);
    if (!bytes)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the checkpoint");
    hf_code rc = hf_read_fully(fd, bytes, (size_t)st.st_size, 0, reterr);
    return rc == HF_OK ? hf_checkpoint_decode(bytes, (size_t)st.st_size, ret, reterr) : rc;
}
