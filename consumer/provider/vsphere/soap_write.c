/* Requests. Names come from this program; only texts are from outside. */
#include <inttypes.h>

#include "consumer/provider/vsphere/soap.h"

/* Length of the UTF-8 sequence at p (at most n bytes), 0 if it is none that XML 1.0 allows as a character. */
static size_t character(const unsigned char *p, size_t n) {
    if (p[0] < 0x80)
        return p[0] >= 0x20 || p[0] == '\t' || p[0] == '\n' || p[0] == '\r';
    size_t len = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
                 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                               : 0;
    if (len == 0 || len > n)
        return 0;
    uint32_t c = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    bool too_long = (len == 3 && c < 0x800) || (len == 4 && c < 0x10000);
    return too_long || (c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff || c > 0x10ffff ? 0 : len;
}

static void put_escaped(hf_buf *body, hf_str text) {
    for (uint32_t i = 0; i < text.len;) {
        const char *at = text.p + i;
        size_t n = character((const unsigned char *)at, text.len - i);
        switch (n == 1 ? *at : 0) {
        case '&': hf_buf_puts(body, "&amp;"); break;
        case '<': hf_buf_puts(body, "&lt;"); break;
        case '>': hf_buf_puts(body, "&gt;"); break;
        case '"': hf_buf_puts(body, "&quot;"); break;
        case '\r': hf_buf_puts(body, "&#13;"); break;
        default: hf_buf_put(body, at, n);
        }
        if (n == 0) {
            body->failed = true;
            return;
        }
        i += (uint32_t)n;
    }
}

void hf_soap_text(hf_buf *body, const char *name, hf_str text) {
    hf_buf_printf(body, "<%s>", name);
    put_escaped(body, text);
    hf_buf_printf(body, "</%s>", name);
}

void hf_soap_int(hf_buf *body, const char *name, int64_t value) {
    hf_buf_printf(body, "<%s>%" PRId64 "</%s>", name, value, name);
}

void hf_soap_bool(hf_buf *body, const char *name, bool value) {
    hf_buf_printf(body, "<%s>%s</%s>", name, value ? "true" : "false", name);
}

void hf_soap_ref(hf_buf *body, const char *name, const hf_moref *ref) {
    hf_buf_printf(body, "<%s type=\"", name);
    put_escaped(body, hf_str_of(ref->type));
    hf_buf_puts(body, "\">");
    put_escaped(body, hf_str_of(ref->value));
    hf_buf_printf(body, "</%s>", name);
}

void hf_soap_open(hf_buf *body, const char *name, const char *xsi_type) {
    if (xsi_type)
        hf_buf_printf(body, "<%s xsi:type=\"v:%s\">", name, xsi_type);
    else
        hf_buf_printf(body, "<%s>", name);
}

void hf_soap_close(hf_buf *body, const char *name) { hf_buf_printf(body, "</%s>", name); }

void hf_soap_begin(hf_buf *body, const char *method, const hf_moref *self) {
    hf_buf_printf(body, "<%s xmlns=\"" HF_VIM_NS "\">", method);
    hf_soap_ref(body, "_this", self);
}

void hf_soap_end(hf_buf *body, const char *method) { hf_soap_close(body, method); }
