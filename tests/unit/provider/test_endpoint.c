/* The section `endpoints`: what it gives, and that every mistake in it names endpoint, member and remedy; secrets and pins. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "consumer/provider/vsphere/endpoint.h"
#include "schemas/base/mem.h"

#define PIN "4C3D58C280EA08A0675379A8D53B7C776A8A40EED1804E1726395BD70723D4D8"
#define GOOD "provider: vsphere, url: \"https://vc/sdk\", username: u"
#define SECRET "password_file: /p"

static hf_code load(const char *members, hf_endpoint *ret, hf_err *reterr) {
    char yaml[2048];
    hf_config *config = hf_config_new();
    snprintf(yaml, sizeof yaml, "endpoints: {vc1: {%s}}", members);
    hf_code code = hf_config_load_yaml(config, hf_str_of(yaml), "test", reterr);
    if (!code)
        code = hf_endpoint_find(config, HF_STR("vc1"), ret, reterr);
    hf_config_free(config);
    return code;
}

static void an_endpoint_is_read_with_its_defaults(void **state) {
    (void)state;
    hf_endpoint e;
    assert_ok(load(GOOD ", " SECRET ", thumbprint: \"" PIN "\"", &e, err));
    assert_string_equal(e.url, "https://vc:443/sdk");
    assert_string_equal(e.authority, "vc:443");
    assert_string_equal(e.host, "vc");
    assert_int_equal(e.tls.pin_len, 32);
    assert_int_equal(e.tls.pin[0], 0x4c);
    assert_int_equal(e.max_disks, 3);
    assert_int_equal(e.max_downloads, 12);
    assert_int_equal(e.keepalive_ms, 10000);
    assert_int_equal(e.quiesce, HF_QUIESCE_PREFERRED);
    assert_false(e.token);
}

static void urls_are_taken_apart(void **state) {
    static const struct {
        const char *url, *to, *host;
        int port;
    } urls[] = {{"https://vc.example.com", "https://vc.example.com:443/sdk", "vc.example.com", 443},
                {"https://vc.example.com:8443/", "https://vc.example.com:8443/sdk", "vc.example.com", 8443},
                {"https://[2001:db8::1]:444/sdk", "https://[2001:db8::1]:444/sdk", "2001:db8::1", 444},
                {"https://10.0.0.1/proxy/sdk", "https://10.0.0.1:443/proxy/sdk", "10.0.0.1", 443}};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(urls); i++) {
        hf_endpoint e;
        char members[512];
        snprintf(members, sizeof members, "provider: vsphere, url: \"%s\", username: u, " SECRET, urls[i].url);
        assert_ok(load(members, &e, err));
        assert_string_equal(e.url, urls[i].to);
        assert_string_equal(e.host, urls[i].host);
        assert_int_equal(e.port, urls[i].port);
    }
}

static void every_mistake_names_the_member_and_the_remedy(void **state) {
    static const struct {
        const char *members, *says;
    } mistakes[] = {
        {"url: \"https://vc\", username: u, " SECRET, "endpoints.vc1.provider: is missing: give vsphere"},
        {"provider: hyperv, url: \"https://vc\"", "endpoints.vc1.provider: is not known"},
        {"provider: vsphere, username: u, " SECRET, "endpoints.vc1.url: is missing"},
        {"provider: vsphere, username: u, url: \"http://vc/sdk\", " SECRET, "endpoints.vc1.url: must be https"},
        {"provider: vsphere, username: u, url: \"https://a:b@vc/sdk\", " SECRET, "endpoints.vc1.url: must be https"},
        {"provider: vsphere, username: u, url: \"https://vc/sdk?x=1\", " SECRET, "endpoints.vc1.url: must be https"},
        {"provider: vsphere, username: u, url: \"https://\", " SECRET, "endpoints.vc1.url: must be https"},
        {"provider: vsphere, username: u, url: 5, " SECRET, "endpoints.vc1.url: must be a text"},
        {"provider: vsphere, url: \"https://vc\", " SECRET, "endpoints.vc1.username: is missing"},
        {"provider: vsphere, url: \"https://vc\", username: \"a\\nb\", " SECRET,
         "endpoints.vc1.username: must be a text"},
        {GOOD, "endpoints.vc1.password_file: is missing"},
        {GOOD ", password_file: p", "endpoints.vc1.password_file: must be an absolute path"},
        {GOOD ", " SECRET ", password_env: X", "give one of password_file, password_env, credential"},
        {GOOD ", credential: a/b", "endpoints.vc1.credential: must be the name"},
        {GOOD ", password: hunter2", "endpoints.vc1.password: secrets do not stand in the configuration"},
        {GOOD ", " SECRET ", thumbprint: \"AA:BB\"", "endpoints.vc1.thumbprint: must be the SHA-256"},
        {GOOD ", " SECRET ", thumbprint: \"" PIN "\", insecure: true", "give one of ca_file, thumbprint and insecure"},
        {GOOD ", " SECRET ", ca_file: ca.pem", "endpoints.vc1.ca_file: must be an absolute path"},
        {GOOD ", " SECRET ", insecure: maybe", "endpoints.vc1.insecure: must be true or false"},
        {GOOD ", " SECRET ", max_disks: 4", "endpoints.vc1.max_disks: must be a number from 1 to 3"},
        {GOOD ", " SECRET ", max_downloads: 0", "endpoints.vc1.max_downloads: must be a number from 1 to 64"},
        {GOOD ", " SECRET ", page_size: 0", "endpoints.vc1.page_size: must be a number from 1 to 1000"},
        {GOOD ", " SECRET ", call_timeout: 5", "endpoints.vc1.call_timeout: must be a duration"},
        {GOOD ", " SECRET ", connect_timeout: 2h", "endpoints.vc1.connect_timeout: must be a duration"},
        {GOOD ", " SECRET ", quiesce: maybe", "endpoints.vc1.quiesce: must be preferred, required or never"},
        {GOOD ", " SECRET ", thumb: x", "endpoints.vc1.thumb: is not known; there are provider, url"},
    };
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(mistakes); i++) {
        hf_endpoint e;
        hf_err err = {0};
        hf_code code = load(mistakes[i].members, &e, &err);
        if (code != HF_E_CONFIG || !strstr(err.detail, mistakes[i].says) || strstr(err.detail, "hunter2"))
            fail_msg("{%s}: %s: %s", mistakes[i].members, hf_code_name(code), err.detail);
    }
}

static void an_endpoint_that_is_not_there_lists_those_that_are(void **state) {
    (void)state;
    hf_endpoint e;
    hf_config *config = hf_config_new();
    assert_fails(hf_endpoint_find(config, HF_STR("x"), &e, err), HF_E_NOT_FOUND, "it has none");
    assert_fails(hf_endpoint_find(config, HF_STR(""), &e, err), HF_E_INVALID, "names no endpoint");
    assert_ok(hf_endpoints_check(config, err));
    assert_ok(
        hf_config_load_yaml(config, HF_STR("endpoints: {a: {" GOOD ", " SECRET "}, b: {provider: 5}}"), "test", err));
    assert_fails(hf_endpoint_find(config, HF_STR("x"), &e, err), HF_E_NOT_FOUND, "there are: a, b");
    assert_ok(hf_endpoint_find(config, HF_STR("a"), &e, err));
    assert_fails(hf_endpoints_check(config, err), HF_E_CONFIG, "endpoints.b.provider");
    hf_config_free(config);
}

/* ---- secrets ------------------------------------------------------------------------------------------------------ */
typedef struct place {
    char dir[64], file[128];
    hf_endpoint e;
} place;

static place a_place(const char *contents, size_t len, mode_t mode) {
    place p = {.dir = "/tmp/hf-secret-XXXXXX"};
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.file, sizeof p.file, "%s/s", p.dir);
    FILE *f = fopen(p.file, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(contents, 1, len, f), len);
    fclose(f);
    chmod(p.file, mode);
    snprintf(p.e.name, sizeof p.e.name, "vc1");
    snprintf(p.e.secret_at, sizeof p.e.secret_at, "%s", p.file);
    return p;
}

static void leave(place *p) {
    unlink(p->file);
    rmdir(p->dir);
}

static void a_secret_comes_without_its_line_end(void **state) {
    (void)state;
    hf_secret s;
    place p = a_place("hunter2 \n", 9, 0600);
    assert_ok(hf_secret_read(&p.e, &s, err));
    assert_string_equal(s.text, "hunter2 ");
    hf_secret_done(&s);
    assert_null(s.text);
    setenv("CREDENTIALS_DIRECTORY", p.dir, 1);
    p.e.secret_from = HF_SECRET_CREDENTIAL;
    snprintf(p.e.secret_at, sizeof p.e.secret_at, "s");
    assert_ok(hf_secret_read(&p.e, &s, err));
    hf_secret_done(&s);
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "LoadCredential=");
    setenv("HF_TEST_SECRET", "from-env", 1);
    p.e.secret_from = HF_SECRET_ENV;
    snprintf(p.e.secret_at, sizeof p.e.secret_at, "HF_TEST_SECRET");
    assert_ok(hf_secret_read(&p.e, &s, err));
    assert_string_equal(s.text, "from-env");
    hf_secret_done(&s);
    unsetenv("HF_TEST_SECRET");
    assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "HF_TEST_SECRET is not set");
    leave(&p);
}

static void secrets_that_others_can_read_are_refused(void **state) {
    static const mode_t modes[] = {0640, 0604, 0620, 0660, 0601};
    (void)state;
    hf_secret s;
    for (size_t i = 0; i < HF_ARRAY_LEN(modes); i++) {
        place p = a_place("hunter2", 7, modes[i]);
        assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "endpoints.vc1.password_file");
        assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "chmod 0600");
        leave(&p);
    }
    place p = a_place("hunter2", 7, 0600);
    snprintf(p.e.secret_at, sizeof p.e.secret_at, "%s", p.dir);
    assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "not a regular file");
    snprintf(p.e.secret_at, sizeof p.e.secret_at, "%s/none", p.dir);
    assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "does not exist");
    leave(&p);
}

static void secrets_that_are_none_are_refused(void **state) {
    (void)state;
    hf_secret s;
    char *large = calloc(1, HF_ENDPOINT_SECRET_MAX + 10);
    memset(large, 'x', HF_ENDPOINT_SECRET_MAX + 9);
    place p = a_place("\n\r\n", 3, 0600), q = a_place("a\0b", 3, 0400),
          r = a_place(large, HF_ENDPOINT_SECRET_MAX + 9, 0600);
    assert_fails(hf_secret_read(&p.e, &s, err), HF_E_CONFIG, "is empty");
    assert_fails(hf_secret_read(&q.e, &s, err), HF_E_CONFIG, "NUL");
    assert_fails(hf_secret_read(&r.e, &s, err), HF_E_CONFIG, "64 KiB");
    leave(&p), leave(&q), leave(&r);
    free(large);
}

/* ---- pins ---------------------------------------------------------------------------------------------------------- */
static void thumbprints_are_read_with_and_without_colons(void **state) {
    uint8_t pin[HF_TLS_PIN_MAX];
    uint32_t len = 0;
    char text[HF_TLS_PIN_TEXT];
    (void)state;
    assert_true(hf_tls_pin_parse(HF_STR("00:11:22:33:44:55:66:77:88:99:aa:BB:cc:dd:ee:ff:00:01:02:03"), pin, &len));
    assert_int_equal(len, 20);
    assert_string_equal(hf_tls_pin_text(pin, len, text), "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:01:02:03");
    assert_true(hf_tls_pin_parse(HF_STR(PIN), pin, &len));
    assert_int_equal(len, 32);
    assert_false(hf_tls_pin_parse(HF_STR(""), pin, &len));
    assert_false(hf_tls_pin_parse(HF_STR(PIN "00"), pin, &len));
    assert_false(hf_tls_pin_parse(HF_STR(":" PIN), pin, &len));
    assert_false(hf_tls_pin_parse(HF_STR(PIN ":"), pin, &len));
    assert_false(hf_tls_pin_parse(HF_STR("0g"), pin, &len));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_endpoint_is_read_with_its_defaults),
                                       cmocka_unit_test(urls_are_taken_apart),
                                       cmocka_unit_test(every_mistake_names_the_member_and_the_remedy),
                                       cmocka_unit_test(an_endpoint_that_is_not_there_lists_those_that_are),
                                       cmocka_unit_test(a_secret_comes_without_its_line_end),
                                       cmocka_unit_test(secrets_that_others_can_read_are_refused),
                                       cmocka_unit_test(secrets_that_are_none_are_refused),
                                       cmocka_unit_test(thumbprints_are_read_with_and_without_colons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
