#include "consumer/worker/frame.h"

#include <errno.h>
#include <unistd.h>

typedef struct prefix {
    uint32_t len; /* of everything behind the prefix */
    uint32_t kind;
} prefix;

hf_code hf_frame_put(hf_buf *out, hf_frame_kind kind, hf_frame_head head, hf_str job_id, hf_schema schema,
                     const void *record, hf_err *reterr) {
    size_t start = out->len;
    prefix p = {0, (uint32_t)kind};
    head.id_len = job_id.len;
    hf_code code = HF_OK;
    bool put =
        hf_buf_put(out, &p, sizeof p) && hf_buf_put(out, &head, sizeof head) && hf_buf_put(out, job_id.p, job_id.len);
    if (put && record)
        code = hf_encode_body(schema, record, out, reterr);
    size_t len = out->len - start - sizeof p;
    if (!put || code || len > HF_FRAME_MAX) {
        out->len = start;
        out->failed = false;
        return code
                   ? code
                   : hf_fail(reterr, HF_E_LIMIT,
                             "message '%c' of %zu bytes to or from a runner; the bound is %d a message and %zu waiting",
                             (int)kind, len, HF_FRAME_MAX, out->max_bytes);
    }
    p.len = (uint32_t)len;
    memcpy(out->data + start, &p, sizeof p);
    return HF_OK;
}

hf_code hf_frame_take(const hf_buf *in, size_t *at, hf_frame *ret, hf_err *reterr) {
    size_t left = in->len - *at;
    prefix p;
    if (left < sizeof p)
        return HF_E_NOT_FOUND;
    memcpy(&p, in->data + *at, sizeof p);
    if (p.len < sizeof ret->head || p.len > HF_FRAME_MAX)
        return hf_fail(reterr, HF_E_PROTOCOL, "a message of %u bytes; allowed are %zu to %d", p.len, sizeof ret->head,
                       HF_FRAME_MAX);
    if (left - sizeof p < p.len)
        return HF_E_NOT_FOUND;
    const char *bytes = (const char *)in->data + *at + sizeof p;
    memcpy(&ret->head, bytes, sizeof ret->head);
    uint32_t rest = p.len - (uint32_t)sizeof ret->head, id_len = ret->head.id_len;
    if (id_len > rest || id_len > HF_ID_MAX_BYTES)
        return hf_fail(reterr, HF_E_PROTOCOL, "a message with a job id of %u bytes; %u are left and %d allowed", id_len,
                       rest, HF_ID_MAX_BYTES);
    ret->kind = (hf_frame_kind)p.kind;
    ret->job_id = (hf_str){bytes + sizeof ret->head, id_len};
    ret->body = (hf_str){ret->job_id.p + id_len, rest - id_len};
    *at += sizeof p + p.len;
    return HF_OK;
}

void hf_frame_drop(hf_buf *in, size_t used) {
    if (used == 0)
        return;
    memmove(in->data, in->data + used, in->len - used);
    in->len -= used;
}

long hf_frame_read(int fd, hf_buf *in) {
    enum { CHUNK = 64 * 1024 };
    size_t room = in->max_bytes - in->len;
    size_t want = room < CHUNK ? room : CHUNK;
    uint8_t *to = want ? hf_buf_reserve(in, want) : NULL;
    if (!to) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = read(fd, to, want);
    if (n > 0)
        in->len += (size_t)n;
    return n;
}
