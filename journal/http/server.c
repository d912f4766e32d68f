#include "journal/http/server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "journal/http/inside.h"
#include "journal/http/stream.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum { CONNECTION_MEMORY = 32 * 1024, PER_IP_MAX = 4096, IDLE_SECONDS = 60, REPLY_MAX = 256 << 20 };

const double HF_HTTP_BUCKET_SECONDS[HF_HTTP_BUCKETS] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

hf_store *hf_http_store(hf_http *http) { return hf_follow_store(http->options.follow); }
const char *hf_http_address(const hf_http *http) { return http->address; }

/* ---- what libmicrohttpd lets through and we do not ------------------------------------------------------ */
typedef struct {
    int hosts, lengths, codings;
    const char *length, *why;
} header_check;

static bool is_token(const char *s, size_t len) { /* RFC 9110 section 5.6.2 */
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
            return false;
    return len > 0;
}

static enum MHD_Result check_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                    const char *value, size_t value_len) {
    header_check *c = ctx;
    (void)kind;
    if (!is_token(name, name_len))
        c->why = "a header's name is not a token";
    for (size_t i = 0; i < value_len; i++)
        if ((unsigned char)value[i] < 0x20 && value[i] != '\t')
            c->why = "a header's value contains a control character";
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
    return MHD_YES;
}

static const char *unsound(struct MHD_Connection *connection, const char *method, const char *version) {
    header_check c = {0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, check_header, &c);
    if (c.why)
        return c.why;
    if (!is_token(method, strlen(method)))
        return "the method is not a token";
    if (c.lengths && c.codings)
        return "Content-Length and Transfer-Encoding are both there";
    if (c.hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
        return "Host is missing";
    return NULL;
}

/* ---- a request's life ------------------------------------------------------------------------------------ */
static void *begin(void *cls, const char *uri, struct MHD_Connection *connection) {
    hf_request *r = hf_alloc(sizeof *r);
    if (!r)
        return NULL;
    r->http = cls;
    r->connection = connection;
    r->begun_ns = hf_mono_ns();
    r->route = HF_ROUTE_COUNT;
    r->raw_path = hf_strndup(uri, strcspn(uri, "?#"));
    hf_buf_init(&r->body, r->http->body_max);
    hf_buf_init(&r->reply, REPLY_MAX);
    return r;
}

/* Called by libmicrohttpd for arguments; paths are decoded by the router, from what was sent. */
static size_t unescape(void *cls, struct MHD_Connection *c, char *text) {
    (void)cls;
    (void)c;
    return MHD_http_unescape(text);
}

static void count_request(hf_request *r) {
    hf_route_stats *s = &r->http->stats[r->route];
    int64_t us = (hf_mono_ns() - r->begun_ns) / 1000;
    int i = 0;
    while (i < HF_HTTP_BUCKETS && (double)us / 1e6 > HF_HTTP_BUCKET_SECONDS[i])
        i++;
    atomic_fetch_add(&s->buckets[i], 1);
    atomic_fetch_add(&s->sum_us, (unsigned long long)us);
    if (r->status >= 100 && r->status < HF_STATUS_CLASSES)
        atomic_fetch_add(&s->by_status[r->status], 1);
}

static void finished(void *cls, struct MHD_Connection *connection, void **con_cls,
                     enum MHD_RequestTerminationCode why) {
    hf_request *r = *con_cls;
    (void)cls;
    (void)connection;
    (void)why;
    if (!r)
        return;
    count_request(r);
    hf_write_free(r->write);
    hf_buf_done(&r->body);
    hf_buf_done(&r->reply);
    free(r->raw_path);
    free(r);
    *con_cls = NULL;
}

static enum MHD_Result send_reply(hf_request *r) {
    bool stream = r->stream != NULL;
    struct MHD_Response *response = r->stream;
    if (!stream) {
        response = MHD_create_response_from_buffer(r->reply.len, r->reply.data, MHD_RESPMEM_MUST_FREE);
        if (!response)
            return MHD_NO;
        r->reply = (hf_buf){.max_bytes = r->reply.max_bytes}; /* it is the response's now */
    }
    MHD_add_response_header(response, "Content-Type", r->content_type ? r->content_type : "application/json");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (r->allow && (r->status == 405 || r->status == 204))
        MHD_add_response_header(response, "Allow", r->allow);
    if (r->refused)
        MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result ok = MHD_queue_response(r->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    r->stream = NULL;
    return ok;
}

static void refuse(hf_request *r, int status, const char *why) {
    r->refused = status;
    r->refused_why = why;
}

static void look_at_head(hf_request *r, const char *version) {
    const char *why = r->raw_path ? unsound(r->connection, r->method, version) : "no memory";
    if (why) {
        refuse(r, 400, why);
        return;
    }
    int status = hf_route_find(r);
    if (status == 405 && strcmp(r->method, "OPTIONS") == 0)
        status = 204;
    if (status)
        refuse(r, status,
               status == 404   ? "there is nothing at this path; GET /status and the README name what there is"
               : status == 405 ? "this path does not take that method"
                               : "the path does not decode");
    const char *length = hf_request_header(r, "Content-Length");
    if (!status && length && (strlen(length) > 12 || strtoull(length, NULL, 10) > r->http->body_max))
        refuse(r, 413, "the body is larger than http.body_max");
}

static enum MHD_Result answer_refusal(hf_request *r) {
    if (r->refused == 204) {
        r->status = 204;
        r->refused = 0;
        return send_reply(r);
    }
    hf_reply_error(r, r->refused, "%s", r->refused_why);
    return send_reply(r);
}

static void handle(hf_request *r) {
    if (r->body_too_large) {
        refuse(r, 413, "the body is larger than http.body_max");
        hf_reply_error(r, 413, "the body is larger than http.body_max (%zu bytes)", r->http->body_max);
    } else
        HF_ROUTES[r->route].handler(r);
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload, size_t *upload_len, void **con_cls) {
    hf_request *r = *con_cls;
    (void)cls;
    (void)connection;
    (void)url;
    if (!r)
        return MHD_NO; /* no memory for the request */
    if (!r->method) {  /* the head has been read */
        r->method = method;
        look_at_head(r, version);
        return r->refused ? answer_refusal(r) : MHD_YES;
    }
    if (*upload_len) {
        if (!hf_buf_put(&r->body, upload, *upload_len))
            r->body_too_large = true;
        *upload_len = 0;
        return MHD_YES;
    }
    if (r->write) { /* resumed: the outcome is there */
        r->write->answer(r, r->write);
        return send_reply(r);
    }
    handle(r);
    if (r->write && !r->status)
        return MHD_YES; /* suspended */
    return send_reply(r);
}

/* ---- news for the streams ---- */
void hf_http_changed(hf_http *http, const hf_change *change) {
    if (change->record)
        hf_streams_changed(http->streams, change->record->job_id, change->position, hf_mono_ms(http->clock));
}

void hf_http_record(hf_http *http, const hf_log_record *record) {
    if (record->topic == HF_TOPIC_PROGRESS)
        hf_streams_changed(http->streams, record->key, (hf_position){0, -1}, hf_mono_ms(http->clock));
}

/* ---- start and stop -------------------------------------------------------------------------------------- */
static hf_code parse_listen(const char *listen, struct sockaddr_storage *ret, socklen_t *ret_len, hf_err *reterr) {
    char host[256];
    const char *colon = strrchr(listen, ':');
    if (!colon || (size_t)(colon - listen) >= sizeof host)
        return hf_fail(reterr, HF_E_CONFIG, "http.listen is '%s'; it must be host:port", listen);
    snprintf(host, sizeof host, "%.*s", (int)(colon - listen), listen);
    size_t len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') {
        memmove(host, host + 1, len - 2);
        host[len - 2] = 0;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return hf_fail(reterr, HF_E_CONFIG, "http.listen: '%s' is not an address", listen);
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return HF_OK;
}

static bool is_loopback(const struct sockaddr_storage *a) {
    if (a->ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static void note_address(hf_http *http, int fd) {
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN + 8] = "?", port[16] = "?";
    if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(http->address, sizeof http->address, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static hf_code bind_socket(const char *listen_text, int *ret_fd, hf_err *reterr) {
    struct sockaddr_storage a;
    socklen_t len = 0;
    hf_code code = parse_listen(listen_text, &a, &len, reterr);
    if (code != HF_OK)
        return code;
    if (!is_loopback(&a))
        return hf_fail(
            reterr, HF_E_CONFIG,
            "http.listen is %s: this version has no access control, so it serves loopback addresses only; put a proxy "
            "with authentication before it",
            listen_text);
    int on = 1;
    hf_auto_fd int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "http.listen %s", listen_text);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 1024) != 0)
        return errno == EADDRINUSE
                   ? hf_fail(reterr, HF_E_CONFIG,
                             "http.listen %s: the address is in use by another process; stop it or choose another port",
                             listen_text)
                   : hf_fail_errno(reterr, errno, "http.listen %s", listen_text);
    *ret_fd = fd;
    fd = -1;
    return HF_OK;
}

static hf_code start_daemon(hf_http *http, hf_err *reterr) {
    const hf_config *config = http->options.config;
    int fd = -1;
    hf_code code = bind_socket(hf_config_str(config, HF_C_HTTP_LISTEN), &fd, reterr);
    if (code != HF_OK)
        return code;
    note_address(http, fd);
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, http,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)hf_config_int(config, HF_C_HTTP_THREADS),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)hf_config_int(config, HF_C_HTTP_CONNECTIONS),
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, PER_IP_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, begin, http, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, finished, NULL, MHD_OPTION_END);
    if (!http->daemon) {
        close(fd);
        return hf_fail(reterr, HF_E_IO, "the HTTP server did not start on %s", http->address);
    }
    return HF_OK;
}

hf_code hf_http_start(const hf_http_options *options, hf_http **ret, hf_err *reterr) {
    hf_http *http = hf_alloc(sizeof *http);
    if (!http)
        return hf_fail(reterr, HF_E_NO_MEMORY, "HTTP");
    http->options = *options;
    http->clock = hf_clock_system();
    http->started_wall_ms = hf_wall_ms(http->clock);
    http->body_max = (size_t)hf_config_int(options->config, HF_C_HTTP_BODY_MAX);
    http->write_wait_ms = hf_config_int(options->config, HF_C_HTTP_WRITE_WAIT);
    http->next_number = 1;
    http->writes = hf_queue_new(sizeof(hf_write *), HF_HTTP_WRITES_MAX);
    hf_code code =
        http->writes ? hf_streams_new(http, &http->streams, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "HTTP");
    if (code == HF_OK)
        code = hf_tables_open(hf_http_store(http), HF_PROFILE_FULL, &http->tables, reterr);
    if (code == HF_OK)
        code = start_daemon(http, reterr);
    if (code != HF_OK) {
        hf_http_stop(http);
        return code;
    }
    HF_LOG(INFO, "http-listening", {"address", HF_V_Z(http->address)},
           {"access", HF_V_Z("off: anyone on this machine may read and submit")});
    *ret = http;
    return HF_OK;
}

void hf_http_stop(hf_http *http) {
    if (!http)
        return;
    atomic_store(&http->stopping, true);
    hf_write *w;
    while (http->writes && hf_queue_pop(http->writes, &w, 0)) {
        w->next = http->waiting;
        http->waiting = w;
    }
    while (http->waiting) { /* resume all before the daemon stops */
        w = http->waiting;
        http->waiting = w->next;
        w->late = true;
        MHD_resume_connection(w->request->connection);
    }
    hf_streams_stop(http->streams);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    hf_streams_free(http->streams);
    hf_queue_free(http->writes);
    free(http);
}
