#include "journal/replica/logcopy.h"

#include <endian.h>
#include <inttypes.h>

enum { HEAD = 16, HEADER_HEAD = 6, TOMBSTONE = 1 };

uint32_t hf_logcopy_size(const hf_log_record *r) {
    uint32_t size = HEAD + r->key.len + r->value.len;
    for (uint32_t i = 0; i < r->header_count; i++)
        size += HEADER_HEAD + r->headers[i].name.len + r->headers[i].value.len;
    return size;
}

static char *bytes(char *to, hf_str s) {
    if (s.len)
        memcpy(to, s.p, s.len);
    return to + s.len;
}

void hf_logcopy_write(const hf_log_record *r, char *to) {
    uint64_t timestamp = htole64((uint64_t)r->timestamp_ms);
    uint32_t key_len = htole32(r->key.len);
    uint16_t count = htole16((uint16_t)r->header_count), flags = htole16(r->value.p ? 0 : TOMBSTONE);
    memcpy(to, &timestamp, 8);
    memcpy(to + 8, &key_len, 4);
    memcpy(to + 12, &count, 2);
    memcpy(to + 14, &flags, 2);
    to = bytes(to + HEAD, r->key);
    for (uint32_t i = 0; i < r->header_count; i++) {
        uint16_t name_len = htole16((uint16_t)r->headers[i].name.len);
        uint32_t value_len = htole32(r->headers[i].value.len);
        memcpy(to, &name_len, 2);
        memcpy(to + 2, &value_len, 4);
        to = bytes(bytes(to + HEADER_HEAD, r->headers[i].name), r->headers[i].value);
    }
    bytes(to, r->value);
}

typedef struct {
    hf_str left;
    bool failed;
} reader;

static hf_str take(reader *in, uint32_t len) {
    if (len > in->left.len) {
        in->failed = true;
        return HF_STR_NONE;
    }
    hf_str s = {in->left.p, len};
    in->left = (hf_str){in->left.p + len, in->left.len - len};
    return s;
}

static void take_headers(reader *in, uint32_t count, hf_log_record *ret) {
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        hf_str head = take(in, HEADER_HEAD);
        uint16_t name_len = 0;
        uint32_t value_len = 0;
        if (in->failed)
            return;
        memcpy(&name_len, head.p, 2);
        memcpy(&value_len, head.p + 2, 4);
        ret->headers[i].name = take(in, le16toh(name_len));
        ret->headers[i].value = take(in, le32toh(value_len));
    }
}

hf_code hf_logcopy_read(hf_topic topic, int32_t partition, int64_t offset, hf_str row, hf_log_record *ret,
                        hf_err *reterr) {
    reader in = {.left = row};
    hf_str head = take(&in, HEAD);
    uint64_t timestamp = 0;
    uint32_t key_len = 0;
    uint16_t count = 0, flags = 0;
    if (!in.failed) {
        memcpy(&timestamp, head.p, 8);
        memcpy(&key_len, head.p + 8, 4);
        memcpy(&count, head.p + 12, 2);
        memcpy(&flags, head.p + 14, 2);
        ret->topic = topic;
        ret->partition = partition;
        ret->offset = offset;
        ret->timestamp_ms = (int64_t)le64toh(timestamp);
        ret->header_count = le16toh(count);
        ret->key = take(&in, le32toh(key_len));
        if (ret->header_count > HF_LOG_HEADERS_MAX)
            in.failed = true;
        else
            take_headers(&in, ret->header_count, ret);
    }
    if (in.failed)
        return hf_fail(reterr, HF_E_RECORD_MALFORMED, "log copy of %s/%d, offset %" PRId64 ": the row is damaged",
                       hf_topic_suffix(topic), (int)partition, offset);
    ret->value = le16toh(flags) & TOMBSTONE ? HF_STR_NONE : in.left;
    return HF_OK;
}
