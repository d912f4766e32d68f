/* GET / and /ui/{id}: the dashboard. Its files are embedded as the build compressed them (gzip). Nothing of it comes from anywhere else, and the
 * Content-Security-Policy lets nothing else in. */
#include <zlib.h>

#include "journal/http/inside.h"
#include "schemas/base/mem.h"

#define HF_ASSET(id, file, type)                                                                                       \
    __asm__(".section .rodata\n"                                                                                       \
            "hf_asset_" #id "_from:\n"                                                                                 \
            ".incbin \"" HF_PAGE_DIR "/" file ".gz\"\n"                                                                \
            "hf_asset_" #id "_to:\n"                                                                                   \
            ".byte 0\n"                                                                                                \
            ".previous\n");                                                                                            \
    extern const uint8_t hf_asset_##id##_from[] __asm__("hf_asset_" #id "_from");                                      \
    extern const uint8_t hf_asset_##id##_to[] __asm__("hf_asset_" #id "_to");
#include "journal/http/page.def"
#undef HF_ASSET

static const struct asset {
    const char *file, *type;
    const uint8_t *from, *to;
} assets[] = {
#define HF_ASSET(id, file, type) {file, type, hf_asset_##id##_from, hf_asset_##id##_to},
#include "journal/http/page.def"
#undef HF_ASSET
};

enum { PAGE_MAX = 1 << 20 };

/* For a client that does not take gzip: none that shows pages. */
static bool inflate_into(hf_buf *out, const uint8_t *from, size_t len) {
    z_stream z = {0};
    union {
        const uint8_t *from;
        Bytef *in;
    } bytes = {.from = from}; /* only read */
    uint8_t *to = hf_buf_reserve(out, PAGE_MAX);
    if (!to || inflateInit2(&z, 15 + 16) != Z_OK)
        return false;
    z.next_in = bytes.in;
    z.avail_in = (uInt)len;
    z.next_out = to;
    z.avail_out = PAGE_MAX;
    int rc = inflate(&z, Z_FINISH);
    out->len += z.total_out;
    inflateEnd(&z);
    return rc == Z_STREAM_END;
}

static void send_asset(hf_request *r, const struct asset *a) {
    const char *accept = hf_request_header(r, "Accept-Encoding");
    size_t len = (size_t)(a->to - a->from);
    hf_buf_clear(&r->reply);
    r->encoded = accept && strstr(accept, "gzip");
    if (!(r->encoded ? hf_buf_put(&r->reply, a->from, len) : inflate_into(&r->reply, a->from, len))) {
        hf_reply_error(r, 503, "no memory for the page");
        return;
    }
    r->status = 200;
    r->content_type = a->type;
    r->page = true;
}

void hf_handle_page(hf_request *r) { send_asset(r, &assets[0]); }

void hf_handle_page_file(hf_request *r) {
    for (size_t i = 0; i < HF_ARRAY_LEN(assets); i++)
        if (strcmp(assets[i].file, r->params[0]) == 0) {
            send_asset(r, &assets[i]);
            return;
        }
    hf_reply_error(r, 404, "the page has no such file");
}
