/* A growing byte buffer with a stated bound. A write past the bound, or without memory, fails
 * and leaves the buffer as it was; `failed` stays set until hf_buf_clear, so that a sequence of
 * writes can be checked once at its end. Not thread-safe. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/str.h"

typedef struct hf_buf {
    uint8_t *data;
    size_t len, cap, max_bytes;
    bool failed;
} hf_buf;

void hf_buf_init(hf_buf *buf, size_t max_bytes);
void hf_buf_done(hf_buf *buf);
void hf_buf_clear(hf_buf *buf); /* keeps the memory */
/* Makes room for `more` bytes behind len and returns where they go; NULL sets failed. */
uint8_t *hf_buf_reserve(hf_buf *buf, size_t more);
bool hf_buf_put(hf_buf *buf, const void *bytes, size_t len);
bool hf_buf_puts(hf_buf *buf, const char *z);
bool hf_buf_printf(hf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The contents as text; valid until the next write. */
static inline hf_str hf_buf_str(const hf_buf *buf) { return (hf_str){(const char *)buf->data, (uint32_t)buf->len}; }
