#include "schemas/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "schemas/base/mem.h"

void hf_buf_init(hf_buf *buf, size_t max_bytes) { *buf = (hf_buf){.max_bytes = max_bytes}; }

void hf_buf_done(hf_buf *buf) {
    free(buf->data);
    *buf = (hf_buf){.max_bytes = buf->max_bytes};
}

void hf_buf_clear(hf_buf *buf) {
    buf->len = 0;
    buf->failed = false;
}

uint8_t *hf_buf_reserve(hf_buf *buf, size_t more) {
    if (buf->failed)
        return NULL;
    if (buf->cap - buf->len >= more)
        return buf->data + buf->len;
    if (more > buf->max_bytes - buf->len) {
        buf->failed = true;
        return NULL;
    }
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap < buf->len + more)
        cap *= 2;
    if (cap > buf->max_bytes)
        cap = buf->max_bytes;
    uint8_t *data = hf_realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return NULL;
    }
    buf->data = data;
    buf->cap = cap;
    return data + buf->len;
}

bool hf_buf_put(hf_buf *buf, const void *bytes, size_t len) {
    if (len == 0) /* of a buffer without memory not even an end may be asked for */
        return !buf->failed;
    uint8_t *to = hf_buf_reserve(buf, len);
    if (!to)
        return false;
    memcpy(to, bytes, len);
    buf->len += len;
    return true;
}

bool hf_buf_puts(hf_buf *buf, const char *z) { return hf_buf_put(buf, z, strlen(z)); }

bool hf_buf_printf(hf_buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->failed ? 0 : buf->cap - buf->len; /* mostly enough, and then it is formatted once */
    int len = vsnprintf(room ? (char *)buf->data + buf->len : NULL, room, format, args);
    va_end(args);
    char *to = len < 0 ? NULL : (char *)hf_buf_reserve(buf, (size_t)len + 1);
    if (to && (size_t)len >= room)
        vsnprintf(to, (size_t)len + 1, format, again);
    if (to)
        buf->len += (size_t)len;
    va_end(again);
    return to != NULL;
}
