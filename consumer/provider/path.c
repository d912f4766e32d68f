#include "consumer/provider/path.h"

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte at path[*i], percent-decoded in a URL; -1 for a broken escape. */
static int next_byte(hf_str path, uint32_t *i, bool url) {
    char c = path.p[(*i)++];
    if (!url || c != '%')
        return (unsigned char)c;
    if (*i + 2 > path.len)
        return -1;
    int high = hex_digit(path.p[*i]), low = hex_digit(path.p[*i + 1]);
    *i += 2;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

hf_code hf_path_plain(hf_str path, char to[HF_MAX_PATH + 1], hf_err *reterr) {
    hf_str given = path;
    bool url = hf_str_starts(path, HF_STR("file://"));
    if (url) {
        path = (hf_str){path.p + 7, path.len - 7};
        if (hf_str_starts(path, HF_STR("localhost/")))
            path = (hf_str){path.p + 9, path.len - 9};
    }
    size_t n = 0;
    for (uint32_t i = 0; i < path.len;) {
        int byte = next_byte(path, &i, url);
        if (byte <= 0)
            return hf_fail(reterr, HF_E_INVALID, "path %.*s has a NUL, or a %% without two hex digits",
                           HF_STR_ARG(given));
        if (n == HF_MAX_PATH)
            return hf_fail(reterr, HF_E_INVALID, "a path is longer than %d bytes", HF_MAX_PATH);
        to[n++] = (char)byte;
    }
    to[n] = 0;
    if (to[0] != '/')
        return hf_fail(reterr, HF_E_INVALID, "path \"%.*s\": give an absolute path or a file:/// URL",
                       HF_STR_ARG(given));
    return HF_OK;
}
