/* The schema registry's client against a server that answers as told: well, badly, too much, not at all. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/registry.h"

typedef struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    const char *status, *body; /* of every answer */
    size_t flood_bytes;        /* sent instead of body */
    char request[8192];
} server;

/* One connection, one request, one answer; requests of the client fit one small body. */
static void serve_one(server *s, int fd) {
    size_t len = 0;
    char *end = NULL;
    while (len < sizeof s->request - 1) {
        ssize_t n = recv(fd, s->request + len, sizeof s->request - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        s->request[len] = '\0';
        end = strstr(s->request, "\r\n\r\n");
        const char *length = strcasestr(s->request, "Content-Length:");
        if (end && (size_t)(end + 4 - s->request) + (length ? strtoul(length + 15, NULL, 10) : 0) <= len)
            break;
    }
    dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", s->status,
            s->flood_bytes ? s->flood_bytes : strlen(s->body));
    for (size_t i = 0; i < s->flood_bytes; i += 1000) {
        static const char block[1000];
        if (send(fd, block, sizeof block, MSG_NOSIGNAL) < 0)
            break;
    }
    if (!s->flood_bytes)
        dprintf(fd, "%s", s->body);
}

static void *serve(void *arg) {
    server *s = arg;
    int fd = accept(s->fd, NULL, NULL);
    if (fd >= 0) {
        serve_one(s, fd);
        close(fd);
    }
    return NULL;
}

static void listen_on(server *s) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a) || listen(s->fd, 4), 0);
    getsockname(s->fd, (struct sockaddr *)&a, &size);
    s->port = ntohs(a.sin_port);
}

static hf_err err;
static server s;

static hf_registry *begin(const char *status, const char *body, size_t flood_bytes) {
    char url[128];
    hf_registry *r = NULL;
    s = (server){.status = status, .body = body, .flood_bytes = flood_bytes};
    err = (hf_err){0};
    listen_on(&s);
    assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
    snprintf(url, sizeof url, "http://user:hunter2@127.0.0.1:%u/base/", s.port);
    assert_int_equal(hf_registry_open(url, &r, &err), HF_OK);
    return r;
}

static void end(hf_registry *r) {
    shutdown(s.fd, SHUT_RDWR);
    pthread_join(s.thread, NULL);
    close(s.fd);
    hf_registry_close(r);
    assert_null(strstr(err.detail, "hunter2"));
}

static void a_schema_is_registered_as_written(void **state) {
    (void)state;
    int32_t id = 0;
    hf_registry *r = begin("200 OK", "{\"id\": 7}", 0);
    assert_int_equal(
        hf_registry_register(r, "hyperfleet.x.job-events", "{\"type\": \"string\",\n  \"doc\": \"a\"}", &id, &err),
        HF_OK);
    assert_int_equal(id, 7);
    end(r);
    assert_non_null(strstr(s.request, "POST /base/subjects/hyperfleet.x.job-events-value/versions HTTP/1.1\r\n"));
    assert_non_null(strstr(s.request, "{\"schema\":\"{\\\"type\\\": \\\"string\\\",\\n  \\\"doc\\\": \\\"a\\\"}\"}"));
    assert_non_null(strstr(s.request, "Authorization: Basic dXNlcjpodW50ZXIy"));
}

static void a_schema_is_fetched_by_id(void **state) {
    (void)state;
    char *text = NULL;
    hf_registry *r = begin("200 OK", "{\"schema\": \"\\\"string\\\"\"}", 0);
    assert_int_equal(hf_registry_lookup(r, 12, &text, &err), HF_OK);
    assert_string_equal(text, "\"string\"");
    free(text);
    end(r);
    assert_non_null(strstr(s.request, "GET /base/schemas/ids/12 HTTP/1.1\r\n"));
}

static void look_up(const char *status, const char *body, size_t flood_bytes, hf_code want, const char *says) {
    char *text = NULL;
    hf_registry *r = begin(status, body, flood_bytes);
    assert_int_equal(hf_registry_lookup(r, 1, &text, &err), want);
    assert_null(text);
    if (!strstr(err.detail, says))
        fail_msg("\"%s\" is not in: %s", says, err.detail);
    end(r);
}

static void bad_answers_are_errors_that_name_the_registry(void **state) {
    (void)state;
    look_up("404 Not Found", "{\"error_code\":40403,\"message\":\"Schema 1 not found\"}", 0, HF_E_SCHEMA_UNKNOWN,
            "HTTP 404: Schema 1 not found");
    look_up("401 Unauthorized", "", 0, HF_E_UNAUTHORIZED, "HTTP 401");
    look_up("500 Oops", "<html>", 0, HF_E_PROTOCOL, "HTTP 500");
    look_up("302 Found\r\nLocation: http://127.0.0.1:9/", "", 0, HF_E_PROTOCOL, "HTTP 302");
    look_up("200 OK", "[]", 0, HF_E_PROTOCOL, "not a JSON object");
    look_up("200 OK", "{}", 0, HF_E_PROTOCOL, "no schema");
    look_up("200 OK", "{\"schema\":\"x\",\"schemaType\":\"PROTOBUF\"}", 0, HF_E_UNSUPPORTED, "PROTOBUF");
    look_up("200 OK", "", 3 * 1024 * 1024, HF_E_LIMIT, "more than 1048576 bytes");
    int32_t id;
    hf_registry *r = begin("409 Conflict", "{\"message\":\"incompatible\"}", 0);
    assert_int_equal(hf_registry_register(r, "t", "\"string\"", &id, &err), HF_E_INVALID);
    assert_non_null(strstr(err.detail, "registering t-value: HTTP 409: incompatible"));
    end(r);
    r = begin("200 OK", "{\"id\": 99999999999}", 0);
    assert_int_equal(hf_registry_register(r, "t", "\"string\"", &id, &err), HF_E_PROTOCOL);
    end(r);
}

static void nobody_there_and_no_url(void **state) {
    (void)state;
    char *text, url[64];
    hf_registry *r;
    listen_on(&s);
    close(s.fd);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", s.port);
    assert_int_equal(hf_registry_open(url, &r, &err), HF_OK);
    assert_int_equal(hf_registry_lookup(r, 1, &text, &err), HF_E_UNREACHABLE);
    assert_non_null(strstr(err.detail, url));
    hf_registry_close(r);
    assert_int_equal(hf_registry_open("file:///etc/passwd", &r, &err), HF_E_CONFIG);
    assert_int_equal(hf_registry_open("not a url", &r, &err), HF_E_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schema_is_registered_as_written),
        cmocka_unit_test(a_schema_is_fetched_by_id),
        cmocka_unit_test(bad_answers_are_errors_that_name_the_registry),
        cmocka_unit_test(nobody_there_and_no_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
