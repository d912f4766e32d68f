/* What is refused before anything is sent: URLs, headers; and what Retry-After means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "consumer/notify/retry_after.h"
#include "consumer/notify/send.h"
#include "schemas/base/mem.h"

typedef struct url_case {
    const char *url;
    hf_code code, code_private; /* without, and with allow_private */
} url_case;
#define OK HF_OK
#define BAD HF_E_INVALID
#define NO HF_E_PERMISSION

static const url_case urls[] = {
    {"https://example.com/hook", OK, OK},
    {"http://example.com", OK, OK},
    {"https://example.com:8443/a?b=c#d", OK, OK},
    {"HTTPS://EXAMPLE.COM/", OK, OK},
    {"http://8.8.8.8/", OK, OK},
    {"http://[2606:4700:4700::1111]:8080/", OK, OK},
    {"", BAD, BAD},
    {"example.com", BAD, BAD},
    {"//example.com/", BAD, BAD},
    {"ftp://example.com/", BAD, BAD},
    {"file:///etc/passwd", BAD, BAD},
    {"gopher://example.com/", BAD, BAD},
    {"javascript:alert(1)", BAD, BAD},
    {"https://", BAD, BAD},
    {"https:///path", BAD, BAD},
    {"https:/example.com/", BAD, BAD},
    {"https:example.com/", BAD, BAD},
    {"https:////example.com/", BAD, BAD},
    {"https:/example.com/?://", BAD, BAD}, /* curl would take it for example.com */
    {"https:/example.com/://b", BAD, BAD},
    {"https://%6cocalhost/", BAD, BAD}, /* curl decodes it */
    {"https://%30x7f.1/", BAD, BAD},
    {"https://hooks%2eslack.com/services/x", BAD, BAD},
    {"https://example.com/%2e", OK, OK},
    {"https://user@example.com/", BAD, BAD},
    {"https://user:password@example.com/", BAD, BAD},
    {"https://:password@example.com/", BAD, BAD},
    {"https://example.com /", BAD, BAD},
    {"https://example.com/\r\nX: y", BAD, BAD},
    {"https://ex\xc3\xa4mple.com/", BAD, BAD},
    {"https://example.com:99999/", BAD, BAD},
    {"https://example.com:x/", BAD, BAD},
    {"http://[::1", BAD, BAD},
    {"http://127.0.0.1/", NO, OK},
    {"http://127.1/", NO, OK},
    {"http://2130706433/", NO, OK},
    {"http://0x7f000001/", NO, OK},
    {"http://0x7f.1/", NO, OK},
    {"http://0177.0.0.1/", NO, OK},
    {"http://0/", NO, OK},
    {"http://169.254.169.254/latest/meta-data/", NO, OK},
    {"http://10.1.2.3:9000/", NO, OK},
    {"http://[::1]/", NO, OK},
    {"http://[::ffff:127.0.0.1]/", NO, OK},
    {"http://[::ffff:7f00:1]/", NO, OK},
    {"http://[fe80::1%25eth0]/", NO, OK},
    {"http://[fd00::1]:80/", NO, OK},
    {"http://localhost/", NO, OK},
    {"http://LocalHost:8080/", NO, OK},
    {"http://localhost./", NO, OK},
    {"http://a.localhost/", NO, OK},
    {"http://notlocalhost/", OK, OK},
    {"http://localhost.example.com/", OK, OK},
};

static void urls_one_by_one(void **state) {
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(urls); i++) {
        hf_err err = {0};
        if (hf_post_url_check(hf_str_of(urls[i].url), false, &err) != urls[i].code ||
            hf_post_url_check(hf_str_of(urls[i].url), true, NULL) != urls[i].code_private)
            fail_msg("%s: %s", urls[i].url, err.detail);
        assert_null(strstr(err.detail, "password@"));
        assert_true(urls[i].code == OK || err.detail[0]);
    }
}

static void a_url_is_bounded(void **state) {
    (void)state;
    char url[HF_URL_MAX_BYTES + 2] = "https://example.com/";
    memset(url + 20, 'a', sizeof url - 20);
    assert_int_equal(hf_post_url_check((hf_str){url, HF_URL_MAX_BYTES}, false, NULL), HF_OK);
    assert_int_equal(hf_post_url_check((hf_str){url, HF_URL_MAX_BYTES + 1}, false, NULL), HF_E_LIMIT);
}

static void headers_one_by_one(void **state) {
    (void)state;
    static const struct {
        const char *name, *value;
        hf_code code;
    } cases[] = {
        {"Authorization", "Bearer abcdef", OK},
        {"X-Empty", "", OK},
        {"x_y", "a\tb \xc3\xa4", OK},
        {"Content-Type", "text/plain", OK},
        {"User-Agent", "mine", OK},
        {"", "x", BAD},
        {"a b", "x", BAD},
        {"a:", "x", BAD},
        {"a\r\nb", "x", BAD},
        {"\xc3\xa4", "x", BAD},
        {"Host", "evil", BAD},
        {"hOST", "evil", BAD},
        {"Content-Length", "0", BAD},
        {"Transfer-Encoding", "chunked", BAD},
        {"Connection", "close", BAD},
        {"Expect", "100-continue", BAD},
        {"webhook-id", "x", BAD},
        {"Webhook-Signature", "x", BAD},
        {"webhook-timestamp", "1", BAD},
        {"Upgrade", "h2c", BAD},
        {"X", "secret-value\r\nEvil: y", BAD},
        {"X", "secret-value\n", BAD},
        {"X", "secret-value\x7f", BAD},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        hf_err err = {0};
        if (hf_post_header_check(hf_str_of(cases[i].name), hf_str_of(cases[i].value), &err) != cases[i].code)
            fail_msg("%s: %s", cases[i].name, err.detail);
        assert_null(strstr(err.detail, "secret-value"));
    }
    assert_int_equal(hf_post_header_check((hf_str){"a\0b", 3}, HF_STR("x"), NULL), BAD);
    assert_int_equal(hf_post_header_check(HF_STR("x"), (hf_str){"a\0b", 3}, NULL), BAD);
    hf_auto_free char *large = hf_alloc(HF_POST_HEADER_BYTES + 1);
    memset(large, 'x', HF_POST_HEADER_BYTES);
    assert_int_equal(hf_post_header_check(HF_STR("x"), (hf_str){large, HF_POST_HEADER_BYTES - 1}, NULL), OK);
    assert_int_equal(hf_post_header_check(HF_STR("x"), (hf_str){large, HF_POST_HEADER_BYTES}, NULL), HF_E_LIMIT);
}

static void when_to_come_back(void **state) {
    (void)state;
    const int64_t now = 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT, the RFC's own example */
    static const struct {
        const char *text;
        int64_t ms; /* -2: none */
    } cases[] = {
        {"120", 120000},
        {"0", 0},
        {" 7\r\n", 7000},
        {"\t7 ", 7000},
        {"00012", 12000},
        {"99999999999999999999999", 100LL * 366 * 86400 * 1000},
        {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
        {"Sunday, 06-Nov-94 08:49:47 GMT", 10000},
        {"Sun Nov  6 08:49:47 1994", 10000},
        {"Sun Nov 16 08:49:37 1994", 10 * 86400000},
        {"Sun, 06 Nov 1994 08:49:36 GMT", 0}, /* past */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sunday, 06-Nov-43 08:49:37 GMT", 1546300800000}, /* two digits: 2043, 49 years ahead */
        {"Sunday, 06-Nov-45 08:49:37 GMT", 0},             /* 1945 */
        {"Fri, 31 Dec 9999 23:59:59 GMT", 100LL * 366 * 86400 * 1000},
        {"Sat, 31 Dec 1994 23:59:60 GMT", 4806623000},
        {"", -2},
        {" ", -2},
        {"-1", -2},
        {"+1", -2},
        {"1.5", -2},
        {"1s", -2},
        {"0x10", -2},
        {"soon", -2},
        {"Sun, 06 Nov 1994 08:49:47", -2},
        {"Sun, 06 Nov 1994 08:49:47 CET", -2},
        {"Sun, 06 nov 1994 08:49:47 GMT", -2},
        {"Sun, 6 Nov 1994 08:49:47 GMT", -2},
        {"Sun, 31 Feb 1994 08:49:47 GMT", -2},
        {"Sun, 00 Nov 1994 08:49:47 GMT", -2},
        {"Sun, 06 Nov 1994 24:49:47 GMT", -2},
        {"Sun, 06 Nov 1994 08:60:47 GMT", -2},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -2},
        {"Sun, 06 Nov 1994 08:49:47 GMT, 5", -2},
        {"1994-11-06T08:49:47Z", -2},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        int64_t ms = -2;
        bool known = hf_retry_after_parse(hf_str_of(cases[i].text), now, &ms);
        if (known != (cases[i].ms != -2) || ms != cases[i].ms)
            fail_msg("\"%s\": %lld, not %lld", cases[i].text, (long long)ms, (long long)cases[i].ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_one_by_one),
        cmocka_unit_test(a_url_is_bounded),
        cmocka_unit_test(headers_one_by_one),
        cmocka_unit_test(when_to_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
