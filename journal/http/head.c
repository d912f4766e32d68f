#include "journal/http/head.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* libmicrohttpd up to 0.9.76 reads the head in place: a line's CR and LF and the colon become NUL, and its answer for a value ends at the
 * first NUL, whoever put it there. So a NUL that came in, a line that ends in LF alone, and a folded line are found by walking over the bytes:
 * every name must begin right behind the line before. (A NUL before a lone LF looks like CR and LF and means the same.) Later versions
 * refuse all of these themselves. */
enum { READ_IN_PLACE_UNTIL = 0x00097700 };

typedef struct header_check {
    int count, hosts, lengths, codings;
    const char *why;
    const char *at; /* where the next line must begin; NULL: not walked */
} header_check;

static bool is_token(const char *s, size_t len) { /* RFC 9110 section 5.6.2 */
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
            return false;
    return len > 0;
}

/* Goes over one line; *at is behind it then. */
static bool walk(const char **at, const char *name, size_t name_len, const char *value, size_t value_len) {
    const char *p = *at + name_len;
    if (name != *at || *p++ != 0)
        return false;
    while (p < value && (*p == ' ' || *p == '\t'))
        p++;
    if (p != value || p[value_len] != 0 || p[value_len + 1] != 0)
        return false;
    *at = p + value_len + 2;
    return true;
}

static bool has_control(const char *value, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
            return true;
    return false;
}

static enum MHD_Result check_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                    const char *value, size_t value_len) {
    header_check *c = ctx;
    (void)kind;
    c->count++;
    value = value ? value : "";
    if (!is_token(name, name_len))
        c->why = "a header's name is not a token";
    else if (has_control(value, value_len))
        c->why = "a header's value contains a control character";
    else if (c->at && !walk(&c->at, name, name_len, value, value_len))
        c->why = "a header contains NUL, is folded, or does not end in CR LF";
    if (strcasecmp(name, "host") == 0 && ++c->hosts > 1)
        c->why = "Host is there twice";
    if (strcasecmp(name, "content-length") == 0) {
        if (++c->lengths > 1)
            c->why = "Content-Length is there twice";
        if (value_len == 0 || strspn(value, "0123456789") != value_len)
            c->why = "Content-Length is not a number";
    }
    if (strcasecmp(name, "transfer-encoding") == 0 && (++c->codings > 1 || strcasecmp(value, "chunked") != 0))
        c->why = "Transfer-Encoding is not just chunked";
    return c->why ? MHD_NO : MHD_YES;
}

/* Behind the request's line; `end` is where the head ends. NULL where this version does not read in place. */
static const char *first_line(struct MHD_Connection *connection, const char *method, const char *version,
                              const char **end) {
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (!size || MHD_VERSION >= READ_IN_PLACE_UNTIL)
        return NULL;
    *end = method + size->header_size;
    return version > method && version < *end ? version + strlen(version) + 2 : *end; /* no version: no head either */
}

const char *hf_head_unsound(struct MHD_Connection *connection, const char *method, const char *target_end,
                            const char *version, int *ret_status) {
    const char *end;
    header_check c = {.at = first_line(connection, method, version, &end)};
    bool walked = c.at != NULL;
    *ret_status = 400;
    if (walked && (c.at >= end || c.at[-1] != 0))
        return "the request's line does not end in CR LF";
    if (walked && target_end + 1 != version)
        return "the request's line contains NUL, or more than its three parts";
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, check_header, &c);
    if (c.why)
        return c.why;
    if (walked && (c.at + 2 != end || c.at[0] != 0 || c.at[1] != 0))
        return "a header contains NUL, is folded, or does not end in CR LF";
    if (!is_token(method, strlen(method)))
        return "the method is not a token";
    if (c.lengths && c.codings)
        return "Content-Length and Transfer-Encoding are both there";
    if (c.hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
        return "Host is missing";
    if (c.count <= HF_HEADERS_MAX)
        return NULL;
    *ret_status = 431;
    return "the request has more than 100 headers";
}
