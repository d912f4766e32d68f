/* A webhook's URL: what is wrong with it, and which part of it is secret. */
#include <ctype.h>
#include <strings.h>

#include "schemas/base/buf.h"
#include "schemas/webhook/webhook_inside.h"

typedef struct parts {
    hf_str scheme, authority, host, path, query; /* path with its slash, query without its mark */
    bool fragment;
} parts;

static hf_str until(hf_str *rest, const char *stops) {
    uint32_t n = 0;
    while (n < rest->len && !strchr(stops, rest->p[n]))
        n++;
    hf_str piece = {rest->p, n};
    rest->p += n;
    rest->len -= n;
    return piece;
}

static bool split(hf_str url, parts *ret) {
    *ret = (parts){0};
    const char *mark = url.len ? memmem(url.p, url.len, "://", 3) : NULL;
    if (!mark)
        return false;
    ret->scheme = (hf_str){url.p, (uint32_t)(mark - url.p)};
    hf_str rest = {mark + 3, url.len - ret->scheme.len - 3};
    ret->authority = until(&rest, "/?#");
    ret->path = until(&rest, "?#");
    if (rest.len && rest.p[0] == '?') {
        rest.p++, rest.len--;
        ret->query = until(&rest, "#");
    }
    ret->fragment = rest.len > 0;
    hf_str port = ret->authority;
    ret->host = until(&port, port.len && port.p[0] == '[' ? "]" : ":");
    return true;
}

static bool is(hf_str s, const char *word) {
    return s.len == strlen(word) && (s.len == 0 || strncasecmp(s.p, word, s.len) == 0);
}
static bool ends(hf_str s, const char *word) {
    size_t n = strlen(word);
    return s.len > n && strncasecmp(s.p + s.len - n, word, n) == 0;
}

bool hf_webhook_url_hides_host(hf_str url) {
    parts p;
    return split(url, &p) && p.host.len && p.host.p[0] != '[' && memchr(p.host.p, '%', p.host.len) != NULL;
}

const char *hf_webhook_url_fault(hf_str url) {
    parts p;
    if (url.len == 0)
        return "required; give an http or https URL";
    if (url.len > HF_WEBHOOK_URL_MAX)
        return "is longer than 2048 bytes; shorten it";
    for (uint32_t i = 0; i < url.len; i++)
        if ((unsigned char)url.p[i] <= ' ' || (unsigned char)url.p[i] > '~')
            return "has a blank, a control character or one outside of ASCII; write it as %XX";
    if (!split(url, &p) || !(is(p.scheme, "http") || is(p.scheme, "https")))
        return "must begin with http:// or https://";
    if (memchr(p.authority.p, '@', p.authority.len))
        return "has a user or password before the host; send a header (Authorization) instead";
    if (p.host.len == 0 || (p.host.p[0] == '[' && p.host.len < 3))
        return "names no host";
    if (hf_webhook_url_hides_host(url))
        return "has its host percent-encoded; write it as it is";
    if (p.fragment)
        return "has a #fragment, which is never sent; remove it";
    return NULL;
}

/* ---- what is secret of it ---------------------------------------------------------------------------------- */
static bool path_is_token(hf_str host, int32_t format) {
    while (host.len && host.p[host.len - 1] == '.') /* the same host */
        host.len--;
    return format == HF_PAYLOAD_SLACK || is(host, "hooks.slack.com") || is(host, "discord.com") ||
           is(host, "discordapp.com") || ends(host, ".webhook.office.com") || ends(host, ".logic.azure.com");
}

/* The member's name without separators ends in one of these. */
static bool name_is_secret(hf_str name) {
    static const char *const words[] = {"token",  "key",  "secret", "sig",    "signature",    "password",
                                        "passwd", "pwd",  "code",   "auth",   "credential",   "session",
                                        "jwt",    "hmac", "apikey", "bearer", "authorization"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is(name, words[i]) || ends(name, words[i]))
            return true;
    return memchr(name.p, '%', name.len) != NULL; /* written so that it cannot be read */
}

static bool put_query(hf_buf *out, hf_str query) {
    bool masked = false;
    const char *gap = "?";
    while (query.len) {
        hf_str pair = until(&query, "&;"), value = pair;
        hf_str name = until(&value, "=");
        bool secret = value.len > 1 && name_is_secret(name);
        hf_buf_puts(out, gap);
        hf_buf_printf(out, "%.*s%s", HF_STR_ARG(secret ? name : pair), secret ? "=" HF_WEBHOOK_MASK : "");
        masked |= secret;
        gap = "&";
        if (query.len)
            query.p++, query.len--;
    }
    return masked;
}

hf_str hf_webhook_url_mask(hf_str url, int32_t format, hf_arena *arena, bool *ret_masked) {
    parts p;
    hf_buf out;
    *ret_masked = true;
    if (hf_webhook_url_fault(url))
        return hf_arena_str(arena, HF_STR(HF_WEBHOOK_MASK));
    split(url, &p);
    hf_buf_init(&out, 2 * HF_WEBHOOK_URL_MAX);
    hf_buf_printf(&out, "%.*s://%.*s", HF_STR_ARG(p.scheme), HF_STR_ARG(p.authority));
    if (path_is_token(p.host, format)) {
        *ret_masked = p.path.len > 1 || p.query.len > 0;
        hf_buf_puts(&out, *ret_masked ? "/" HF_WEBHOOK_MASK : "/");
    } else {
        hf_buf_put(&out, p.path.p, p.path.len);
        *ret_masked = put_query(&out, p.query);
    }
    hf_str text = !*ret_masked ? hf_arena_str(arena, url)
                  : out.failed ? HF_STR_NONE
                               : hf_arena_str(arena, hf_buf_str(&out));
    hf_buf_done(&out);
    return text;
}

bool hf_webhook_url_is_masked(hf_str url) { return url.len >= 3 && memmem(url.p, url.len, HF_WEBHOOK_MASK, 3) != NULL; }
