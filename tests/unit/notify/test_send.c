/* The sender with a receiver on loopback: bounds, what is asked in between, and that any allocation, libcurl's among them, may fail. What
 * receivers do wrong is tests/integration/test_webhook_sender.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <poll.h>
#include <string.h>

#include "consumer/notify/send.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "tests/support/http_sink.h"

static http_sink sink;
static char url[64];

typedef struct told {
    unsigned count;
    uint64_t tags; /* as bits */
    hf_post_outcome last;
    hf_sender *sender; /* where set: on_done posts again, once */
} told;

static hf_post a_post(uint64_t tag, const char *endpoint) {
    return (hf_post){.tag = tag,
                     .endpoint = hf_str_of(endpoint),
                     .url = hf_str_of(url),
                     .content_type = HF_STR("application/json"),
                     .body = HF_STR("{}"),
                     .webhook_id = HF_STR("msg_1"),
                     .timeout_ms = 2000};
}

static void on_done(void *ctx, uint64_t tag, const hf_post_outcome *outcome) {
    told *t = ctx;
    t->count++;
    t->tags |= 1ull << tag;
    t->last = *outcome;
    if (t->sender) {
        hf_post again = a_post(tag + 1, "one");
        assert_int_equal(hf_sender_post(t->sender, &again, NULL), HF_OK);
        t->sender = NULL;
    }
}

static hf_code run(hf_sender *sender, hf_err *reterr) {
    hf_code code = HF_OK;
    while (!code && hf_sender_in_flight(sender)) {
        struct pollfd fd = {.fd = hf_sender_fd(sender), .events = POLLIN};
        int timeout = hf_sender_timeout_ms(sender);
        poll(&fd, 1, timeout < 0 ? 100 : timeout);
        code = hf_sender_step(sender, reterr);
    }
    return code;
}

static hf_sender *a_sender(const hf_sender_options *options, told *t) {
    hf_sender *sender = NULL;
    hf_sender_hooks hooks = {.on_done = on_done, .ctx = t};
    assert_int_equal(hf_sender_new(options, &hooks, &sender, NULL), HF_OK);
    return sender;
}

static void bounds_are_told_and_kept(void **state) {
    (void)state;
    told t = {0};
    hf_err err;
    hf_sender *s = a_sender(&(hf_sender_options){.allow_private = true, .in_flight = 5, .endpoint_in_flight = 2}, &t);
    static const char *const endpoints[] = {"one", "two", "three"};
    unsigned taken = 0;
    assert_int_equal(hf_sender_timeout_ms(s), -1);
    for (uint64_t tag = 0; tag < 9; tag++) {
        hf_post p = a_post(tag, endpoints[tag / 3]);
        uint32_t room = hf_sender_room(s, p.endpoint);
        hf_code code = hf_sender_post(s, &p, &err);
        assert_int_equal(code, room ? HF_OK : HF_E_BUSY);
        taken += code == HF_OK;
    }
    assert_int_equal(taken, 5); /* 2, 2, and 1 of the 5 in all */
    assert_int_equal(hf_sender_in_flight(s), 5);
    assert_int_equal(hf_sender_timeout_ms(s), 0);
    assert_int_equal(run(s, &err), HF_OK);
    assert_int_equal(t.count, 5);
    assert_int_equal(t.tags, 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6);
    assert_int_equal(t.last.class, HF_POST_DELIVERED);
    assert_int_equal(hf_sender_room(s, HF_STR("one")), 2);
    hf_sender_free(s);
}

static void bytes_on_their_way_are_bounded(void **state) {
    (void)state;
    told t = {0};
    hf_sender *s = a_sender(&(hf_sender_options){.allow_private = true, .bytes_in_flight = 1000}, &t);
    hf_auto_free char *large = hf_alloc(5000);
    memset(large, ' ', 5000);
    hf_post p = a_post(0, "one");
    p.body = (hf_str){large, 5000};
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_OK); /* one always goes */
    p.body.len = 1;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_BUSY);
    assert_int_equal(run(s, NULL), HF_OK);
    p.body.len = 600;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_OK);
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_BUSY);
    p.body.len = 400;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_OK);
    assert_int_equal(run(s, NULL), HF_OK);
    assert_int_equal(t.count, 3);
    hf_sender_free(s);
}

static void on_done_may_post(void **state) {
    (void)state;
    told t = {0};
    hf_sender *s = a_sender(&(hf_sender_options){.allow_private = true, .endpoint_in_flight = 1, .in_flight = 1}, &t);
    hf_post p = a_post(3, "one");
    t.sender = s;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_OK);
    assert_int_equal(run(s, NULL), HF_OK);
    assert_int_equal(t.tags, 1 << 3 | 1 << 4);
    hf_sender_free(s);
}

static void what_can_never_be_sent_is_not_taken(void **state) {
    (void)state;
    told t = {0};
    hf_sender *s = a_sender(NULL, &t);
    hf_post_header bad = {HF_STR("Host"), HF_STR("x")}, many[HF_POST_HEADERS_MAX + 1];
    hf_signing_key key;
    hf_post p = a_post(0, "one");
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_PERMISSION); /* loopback */
    p.url = HF_STR("ftp://example.com/");
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_INVALID);
    p.url = HF_STR("http://93.184.216.34:9/");
    p.headers = &bad;
    p.header_count = 1;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_INVALID);
    for (size_t i = 0; i < HF_ARRAY_LEN(many); i++)
        many[i] = (hf_post_header){HF_STR("X"), HF_STR("y")};
    p.headers = many;
    p.header_count = HF_POST_HEADERS_MAX + 1;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_LIMIT);
    p.header_count = 0;
    p.webhook_id = HF_STR("a\r\nb");
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_INVALID);
    assert_int_equal(hf_signing_key_parse(HF_STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &key, NULL), HF_OK);
    p.keys = &key;
    p.key_count = 1;
    p.webhook_id = HF_STR("a.b");
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_INVALID);
    p.webhook_id = HF_STR("msg_1");
    p.endpoint = HF_STR_NONE;
    assert_int_equal(hf_sender_post(s, &p, NULL), HF_E_INVALID);
    assert_int_equal(hf_sender_in_flight(s), 0);
    assert_int_equal(t.count, 0);
    hf_sender_free(s);
}

static void freed_while_posts_are_on_their_way(void **state) {
    (void)state;
    told t = {0};
    hf_sender *s = a_sender(&(hf_sender_options){.allow_private = true}, &t);
    for (uint64_t tag = 0; tag < 4; tag++) {
        hf_post p = a_post(tag, "one");
        assert_int_equal(hf_sender_post(s, &p, NULL), HF_OK);
        if (tag == 1)
            assert_int_equal(hf_sender_step(s, NULL), HF_OK);
    }
    hf_sender_free(s);
    hf_sender_free(NULL);
    assert_true(t.count <= 2);
}

/* ---- memory --------------------------------------------------------------------------------------------------------------- */
static void *curl_realloc(void *p, size_t size) { return hf_realloc(p, size); }
static void *curl_calloc(size_t count, size_t size) { return hf_alloc(count * size); }
static char *curl_strdup(const char *text) { return hf_strndup(text, strlen(text)); }

/* Two posts, the second on the kept connection; says whether all of it went well. */
static bool two_posts(uint64_t fail_at) {
    told t = {0};
    hf_sender *s = NULL;
    hf_sender_hooks hooks = {.on_done = on_done, .ctx = &t};
    hf_sender_options options = {.allow_private = true};
    hf_post_header header = {HF_STR("X-Key"), HF_STR("value")};
    hf_err err = {0};
    unsigned taken = 0;
    hf_alloc_fail_after(fail_at);
    hf_code code = hf_sender_new(&options, &hooks, &s, &err);
    for (unsigned i = 0; !code && i < 2; i++) {
        hf_post p = a_post(i, "one");
        p.headers = &header;
        p.header_count = 1;
        code = hf_sender_post(s, &p, &err);
        taken += code == HF_OK;
        hf_code stepped = code ? HF_OK : run(s, &err);
        code = code ? code : stepped;
    }
    hf_alloc_fail_after(0);
    bool well = !code && t.count == 2 && t.last.class == HF_POST_DELIVERED;
    if (code)
        assert_true(err.detail[0]);
    if (code && code != HF_E_NO_MEMORY && code != HF_E_INVALID)
        fail_msg("allocation %llu: %s", (unsigned long long)fail_at, err.detail);
    if (!code)
        assert_int_equal(t.count, taken); /* exactly one outcome each */
    hf_sender_free(s);
    return well;
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    unsigned well_in_a_row = 0;
    uint64_t n = 1;
    for (; well_in_a_row < 100 && n < 5000; n++)
        well_in_a_row = two_posts(n) ? well_in_a_row + 1 : 0;
    print_message("%llu allocations failed, one at a time\n", (unsigned long long)(n - 100));
    assert_true(n > 160); /* libcurl's own are among them */
    assert_true(n < 5000);
}

int main(void) {
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, hf_alloc, free, curl_realloc, curl_strdup, curl_calloc) ||
        !http_sink_start(&sink))
        return 1;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/hook", sink.port);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_told_and_kept),
        cmocka_unit_test(bytes_on_their_way_are_bounded),
        cmocka_unit_test(on_done_may_post),
        cmocka_unit_test(what_can_never_be_sent_is_not_taken),
        cmocka_unit_test(freed_while_posts_are_on_their_way),
        cmocka_unit_test(any_allocation_may_fail),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_sink_stop(&sink);
    curl_global_cleanup();
    return failed;
}
