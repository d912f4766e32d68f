#include "consumer/pipeline/ova_stream.h"

#include <string.h>
#include <zlib.h>

#include "consumer/pipeline/ova_read_inside.h"
#include "schemas/base/mem.h"

enum { BLOCK = 256 * 1024 };

typedef struct member_stream {
    hf_stream stream;
    const hf_appliance *appliance;
    hf_flow *flow;
    const hf_ovf_file *file;
    const hf_member *member; /* being read; NULL: all are */
    int fd;
    int64_t at; /* in member */
    bool gzip, gzip_over;
    z_stream gz;
    uint8_t *block; /* of compressed bytes */
} member_stream;

static const hf_member *member_after(const member_stream *s) {
    char name[HF_OVF_ID_MAX + 32];
    if (s->member->chunk < 0 || s->member->chunk + 1 >= HF_APPLIANCE_MEMBERS_MAX)
        return NULL;
    hf_chunk_name(s->file, s->member->chunk + 1, name, sizeof name);
    const hf_member *next = hf_appliance_find(s->appliance, name);
    return next && next->file == s->member->file && next->chunk == s->member->chunk + 1 ? next : NULL;
}

static hf_code next_member(member_stream *s, const hf_member *member, hf_err *reterr) {
    hf_close_p(&s->fd);
    s->member = member;
    s->at = 0;
    return member ? hf_member_open(s->appliance, member, &s->fd, reterr) : HF_OK;
}

/* Bytes as they are stored; *ret_len 0 at the end of the last member. */
static hf_code read_stored(member_stream *s, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    hf_code rc = HF_OK;
    while (rc == HF_OK && s->member && s->at == s->member->size_bytes)
        rc = next_member(s, member_after(s), reterr);
    *ret_len = 0;
    if (rc != HF_OK || !s->member)
        return rc;
    int64_t left = s->member->size_bytes - s->at;
    size_t n = left < (int64_t)cap ? (size_t)left : cap;
    if ((rc = hf_flow_charge(s->flow, (int64_t)n, reterr)) != HF_OK ||
        (rc = hf_read_fully(s->fd, to, n, s->member->base + s->at, reterr)) != HF_OK)
        return rc;
    atomic_fetch_add_explicit(&s->flow->bytes_read, (long long)n, memory_order_relaxed);
    s->at += (int64_t)n;
    *ret_len = n;
    return HF_OK;
}

static hf_code refill(member_stream *s, hf_err *reterr) {
    size_t n = 0;
    hf_code rc = read_stored(s, s->block, BLOCK, &n, reterr);
    s->gz.next_in = s->block;
    s->gz.avail_in = (uInt)n;
    if (rc == HF_OK && n == 0 && !s->gzip_over)
        rc = hf_fail(reterr, HF_E_SOURCE_INVALID, "%s: the compressed stream ends early", s->file->href);
    return rc;
}

static hf_code inflate_step(member_stream *s, hf_err *reterr) {
    int status = inflate(&s->gz, Z_NO_FLUSH);
    if (status == Z_STREAM_END) { /* another one may follow */
        s->gzip_over = true;
        inflateReset(&s->gz);
    } else if (status == Z_OK)
        s->gzip_over = false;
    else if (status != Z_BUF_ERROR || s->gz.avail_in > 0)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s: %s", s->file->href, s->gz.msg ? s->gz.msg : "not gzip");
    return HF_OK;
}

static hf_code read_stream(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    member_stream *s = (member_stream *)stream;
    if (!s->gzip)
        return read_stored(s, to, cap, ret_len, reterr);
    if (cap > BLOCK)
        cap = BLOCK;
    hf_code rc = HF_OK;
    s->gz.next_out = to;
    s->gz.avail_out = (uInt)cap;
    while (rc == HF_OK && s->gz.avail_out == cap) {
        if (s->gz.avail_in == 0 && (rc = refill(s, reterr)) == HF_OK && s->gz.avail_in == 0)
            break;
        if (rc == HF_OK)
            rc = inflate_step(s, reterr);
    }
    *ret_len = rc == HF_OK ? cap - s->gz.avail_out : 0;
    return rc;
}

static void close_stream(hf_stream *stream) {
    member_stream *s = (member_stream *)stream;
    if (s->gzip)
        inflateEnd(&s->gz);
    hf_close_p(&s->fd);
    free(s->block);
    free(s);
}

static const hf_stream_class member_class = {"appliance", read_stream, close_stream};

static const hf_member *first_member(const hf_appliance *a, int32_t file) {
    for (uint32_t i = 0; i < a->member_count; i++)
        if (!a->members[i].refused && a->members[i].file == file && a->members[i].chunk <= 0)
            return &a->members[i];
    return NULL;
}

hf_code hf_appliance_open_stream(const hf_appliance *a, uint32_t disk, hf_flow *flow, hf_stream **ret, hf_err *reterr) {
    int32_t file = a->ovf && disk < a->ovf->disk_count ? a->ovf->disks[disk].file : -1;
    const hf_member *first = file >= 0 ? first_member(a, file) : NULL;
    if (!first)
        return hf_fail(reterr, HF_E_NOT_FOUND, "disk %u has no file in the appliance", disk);
    member_stream *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a stream");
    *s = (member_stream){
        .stream = {&member_class, -1}, .appliance = a, .flow = flow, .file = &a->ovf->files[file], .fd = -1};
    hf_code rc = HF_OK;
    if (s->file->gzip) {
        s->block = hf_alloc(BLOCK);
        s->gzip = s->block && inflateInit2(&s->gz, 15 + 16) == Z_OK;
        if (!s->gzip)
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "decompressing %s", s->file->href);
    }
    if (rc == HF_OK)
        rc = next_member(s, first, reterr);
    if (rc != HF_OK) {
        close_stream(&s->stream);
        return rc;
    }
    *ret = &s->stream;
    return HF_OK;
}
