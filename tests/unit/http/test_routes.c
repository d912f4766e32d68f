/* Which route a path is, what its segments say, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/http/request.h"

static int find(const char *method, const char *path, hf_request *r) {
    char raw[512];
    memset(r, 0, sizeof *r);
    snprintf(raw, sizeof raw, "%s", path);
    r->method = method;
    r->raw_path = raw;
    int status = hf_route_find(r);
    r->raw_path = NULL;
    return status;
}

static void every_route_is_found_at_its_own_path(void **state) {
    (void)state;
    hf_request *r = calloc(1, sizeof *r);
    for (int i = 0; i < HF_ROUTE_COUNT; i++) {
        char path[256];
        size_t n = 0;
        int params = 0;
        for (const char *t = HF_ROUTES[i].path; *t; t++) {
            if (*t == '{') {
                n += (size_t)snprintf(path + n, sizeof path - n, "v%d", params++);
                t = strchr(t, '}');
            } else
                path[n++] = *t;
        }
        path[n] = 0;
        assert_int_equal(find(HF_ROUTES[i].method, path, r), 0);
        assert_int_equal(r->route, i);
        for (int p = 0; p < params; p++) {
            char wanted[16];
            snprintf(wanted, sizeof wanted, "v%d", p);
            assert_string_equal(r->params[p], wanted);
        }
        assert_int_equal(find("BREW", path, r), 405);
        snprintf(path + n, sizeof path - n, "%s", n > 1 ? "/" : "no-such-thing");
        assert_int_equal(find(HF_ROUTES[i].method, path, r), 404);
    }
    free(r);
}

static void a_literal_beats_a_parameter_and_methods_are_told(void **state) {
    (void)state;
    hf_request *r = calloc(1, sizeof *r);
    assert_int_equal(find("GET", "/jobs/query", r), 0);
    assert_string_equal(HF_ROUTES[r->route].path, "/jobs/query");
    assert_int_equal(find("GET", "/jobs/querying", r), 0);
    assert_string_equal(HF_ROUTES[r->route].path, "/jobs/{id}");
    assert_string_equal(r->params[0], "querying");
    assert_int_equal(find("HEAD", "/jobs/x", r), 0);
    assert_int_equal(find("DELETE", "/jobs/x", r), 405);
    assert_string_equal(r->allow, "GET, HEAD, OPTIONS");
    assert_int_equal(find("GET", "/webhooks/test", r), 405);
    assert_non_null(strstr(r->allow, "POST"));
    assert_null(strstr(r->allow, "DELETE")); /* that is of /webhooks/{id} */
    free(r);
}

static void segments_are_decoded_once_and_no_path_becomes_another(void **state) {
    (void)state;
    static const struct {
        const char *path;
        int status;
        const char *first;
    } cases[] = {{"/jobs/a%20b", 0, "a b"},
                 {"/jobs/a%2520b", 0, "a%20b"},
                 {"/jobs/a%2fb", 400, NULL},
                 {"/jobs/a%2Fb", 400, NULL},
                 {"/jobs/a%00", 400, NULL},
                 {"/jobs/%0a", 400, NULL},
                 {"/jobs/%7f", 400, NULL},
                 {"/jobs/a%", 400, NULL},
                 {"/jobs/a%2", 400, NULL},
                 {"/jobs/a%zz", 400, NULL},
                 {"/jobs/", 404, NULL},
                 {"/jobs//events", 404, NULL},
                 {"//jobs", 404, NULL},
                 {"//", 404, NULL},
                 {"", 404, NULL},
                 {"jobs", 404, NULL},
                 {"/job", 404, NULL},
                 {"/statusx", 404, NULL},
                 {"/", 0, ""}};
    hf_request *r = calloc(1, sizeof *r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(find("GET", cases[i].path, r), cases[i].status);
        if (cases[i].first)
            assert_string_equal(r->params[0], cases[i].first);
    }
    char longest[HF_ID_MAX_BYTES * 3 + 16];
    int head = snprintf(longest, sizeof longest, "/jobs/");
    memset(longest + head, 'x', HF_ID_MAX_BYTES * 3 + 1);
    longest[head + HF_ID_MAX_BYTES * 3] = 0;
    assert_int_equal(find("GET", longest, r), 0);
    longest[head + HF_ID_MAX_BYTES * 3] = 'x';
    longest[head + HF_ID_MAX_BYTES * 3 + 1] = 0;
    assert_int_equal(find("GET", longest, r), 400);
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_route_is_found_at_its_own_path),
                                       cmocka_unit_test(a_literal_beats_a_parameter_and_methods_are_told),
                                       cmocka_unit_test(segments_are_decoded_once_and_no_path_becomes_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
