#include "journal/http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "journal/http/exchange.h"
#include "journal/http/inside.h"
#include "journal/http/merkle.h"
#include "journal/http/metrics.h"
#include "journal/http/samples.h"
#include "journal/http/stream.h"
#include "journal/http/webhooks.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum {
    CONNECTION_MEMORY = 16 * 1024,
    PER_IP_MAX = 8192,
    SEND_BUFFER = 256 * 1024,
    OVER_MAX = 256,         /* connections beyond http.connections, kept to be told so */
    OTHER_DESCRIPTORS = 256 /* brokers, files, children */
};

hf_store *hf_http_store(hf_http *http) { return hf_follow_store(http->options.follow); }
const char *hf_http_address(const hf_http *http) { return http->address; }

/* ---- news for the streams ---- */
void hf_http_changed(hf_http *http, const hf_change *change) {
    hf_exemplars_note(http->exemplars, change);
    if (change->record)
        hf_streams_changed(http->streams, change->record->job_id, change->position, hf_mono_ms(http->clock));
}

void hf_http_record(hf_http *http, const hf_log_record *record) {
    if (record->topic == HF_TOPIC_PROGRESS)
        hf_streams_changed(http->streams, record->key, (hf_position){0, -1}, hf_mono_ms(http->clock));
}

/* ---- connections ----------------------------------------------------------------------------------------- */
/* One beyond http.connections is let in for a moment to be answered 503 (hf_watched_is_over); beyond those libmicrohttpd leaves them to wait
 * in the socket's queue. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    hf_http *http = cls;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        atomic_fetch_sub(&http->connections, 1);
        hf_watch_remove(http->watch, *context);
        return;
    }
    bool over = atomic_fetch_add(&http->connections, 1) >= hf_config_int(http->options.config, HF_C_HTTP_CONNECTIONS);
    *context = hf_watch_add(http->watch, connection, over);
    if (over)
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)(HF_WATCH_OVER_MS / 1000));
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

static hf_code bind_socket(const char *listen_text, int *ret_fd, bool *ret_loopback, hf_err *reterr) {
    struct sockaddr_storage a;
    socklen_t len = 0;
    hf_code code = parse_listen(listen_text, &a, &len, reterr);
    if (code != HF_OK)
        return code;
    *ret_loopback = is_loopback(&a);
    int on = 1;
    hf_auto_fd int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "http.listen %s", listen_text);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* What is accepted from it has the same: without it the kernel keeps megabytes for each client that does not read. */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
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

/* Access control is settled before the first connection can come: the socket does not listen to others' addresses without it. */
static hf_code secure(hf_http *http, bool loopback, hf_err *reterr) {
    const hf_config *config = http->options.config;
    hf_code code = hf_access_open(config, loopback, http->clock, &http->access, reterr);
    if (code == HF_OK)
        code = hf_tls_open(config, http->clock, &http->tls, reterr);
    if (code == HF_OK)
        code = hf_secrets_open(hf_config_str(config, HF_C_WEBHOOK_SECRETS), &http->secrets, reterr);
    if (code == HF_OK && !loopback && !http->tls)
        HF_LOG(
            WARN, "http-in-clear",
            {"remedy", HF_V_Z("tokens cross the network unencrypted: set http.tls.certificate and http.tls.key, or put "
                              "a proxy with TLS before it")});
    return code;
}

/* Each connection is a descriptor, and so are the log's and the store's: the process takes as many as it is allowed to, up to what it may need. */
static void make_room(const hf_config *config) {
    struct rlimit limit;
    rlim_t needed = (rlim_t)hf_config_int(config, HF_C_HTTP_CONNECTIONS) + OVER_MAX + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < needed)
        HF_LOG(WARN, "http-few-descriptors", {"limit", HF_V_INT((int64_t)limit.rlim_cur)},
               {"needed", HF_V_INT((int64_t)needed)},
               {"remedy", HF_V_Z("raise LimitNOFILE= (ulimit -n), or lower http.connections")});
}

static hf_code start_daemon(hf_http *http, int fd, hf_err *reterr) {
    const hf_config *config = http->options.config;
    struct MHD_OptionItem tls[HF_TLS_OPTIONS] = {{MHD_OPTION_END, 0, NULL}};
    if (http->tls)
        hf_tls_options(http->tls, tls);
    note_address(http, fd);
    make_room(config);
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (http->tls ? MHD_USE_TLS : 0), 0, NULL, NULL,
        hf_exchange_step, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)hf_config_int(config, HF_C_HTTP_THREADS), MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)hf_config_int(config, HF_C_HTTP_CONNECTIONS) + OVER_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        PER_IP_MAX, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(hf_config_int(config, HF_C_HTTP_IDLE) / 1000), MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, hf_exchange_begin, http, MHD_OPTION_UNESCAPE_CALLBACK, hf_exchange_unescape, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, hf_exchange_end, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!http->daemon) {
        close(fd);
        return hf_fail(reterr, HF_E_IO, "the HTTP server did not start on %s", http->address);
    }
    return HF_OK;
}

static hf_code listen_and_serve(hf_http *http, hf_err *reterr) {
    int fd = -1;
    bool loopback = false;
    hf_code code = bind_socket(hf_config_str(http->options.config, HF_C_HTTP_LISTEN), &fd, &loopback, reterr);
    if (code != HF_OK)
        return code;
    if ((code = secure(http, loopback, reterr)) != HF_OK) {
        close(fd);
        return code;
    }
    return start_daemon(http, fd, reterr);
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
    http->samples = hf_samples_new();
    http->merkle = hf_merkle_new();
    http->exemplars = hf_exemplars_new();
    http->guards = hf_guards_new();
    http->watch = hf_watch_new(options->config);
    http->answers = hf_answers_new();
    http->writes = hf_queue_new(sizeof(hf_write *), HF_HTTP_WRITES_MAX);
    bool made = http->writes && http->watch && http->answers && http->samples && http->merkle && http->exemplars &&
                http->guards;
    hf_code code = made ? hf_streams_new(http, &http->streams, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "HTTP");
    if (code == HF_OK)
        code = hf_tables_open(hf_http_store(http), HF_PROFILE_FULL, &http->tables, reterr);
    if (code == HF_OK)
        code = listen_and_serve(http, reterr);
    if (code != HF_OK) {
        hf_http_stop(http);
        return code;
    }
    HF_LOG(INFO, "http-listening", {"address", HF_V_Z(http->address)}, {"tls", HF_V_Z(http->tls ? "on" : "off")},
           {"access",
            HF_V_Z(hf_access_required(http->access) ? "by token" : "off: anyone on this machine may do everything")});
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
    hf_webhook_trials_end(http);
    hf_streams_stop(http->streams);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    hf_streams_free(http->streams);
    hf_samples_free(http->samples);
    hf_merkle_free(http->merkle);
    hf_exemplars_free(http->exemplars);
    hf_guards_free(http->guards);
    hf_secrets_close(http->secrets);
    hf_tls_close(http->tls);
    hf_access_close(http->access);
    hf_watch_free(http->watch);
    hf_answers_free(http->answers);
    hf_queue_free(http->writes);
    free(http);
}
