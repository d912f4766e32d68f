/* Who may ask for what: the tokens file, scopes, rotation, and the rate of requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/http/access.h"
#include "schemas/base/mem.h"

static char path[256];
static int64_t now_ms = 1000000, wall_ms = 1800000000000;
static int64_t mono(void *self) { return (void)self, now_ms; }
static int64_t wall(void *self) { return (void)self, wall_ms; }
static const hf_clock test_clock = {.wall_ms = wall, .mono_ms = mono};

static void write_file(const char *text, unsigned mode) {
    unlink(path); /* a new inode: a rotation is seen whatever the clock's grain */
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static hf_code open_with(const char *text, unsigned mode, const char *more, bool loopback, hf_access **ret,
                         hf_err *err) {
    char setting[300];
    hf_config *config = hf_config_new();
    write_file(text, mode);
    snprintf(setting, sizeof setting, "access.tokens_file=%s", path);
    assert_int_equal(hf_config_set(config, setting, err), HF_OK);
    if (more)
        assert_int_equal(hf_config_set(config, more, err), HF_OK);
    hf_code code = hf_access_open(config, loopback, &test_clock, ret, err);
    hf_config_free(config);
    return code;
}

static void without_a_file_only_loopback_is_served(void **state) {
    (void)state;
    hf_err err;
    hf_access *a = NULL;
    hf_identity who;
    hf_config *config = hf_config_new();
    assert_int_equal(hf_access_open(config, false, &test_clock, &a, &err), HF_E_CONFIG);
    assert_non_null(strstr(err.detail, "access.tokens_file"));
    assert_int_equal(hf_access_open(config, true, &test_clock, &a, &err), HF_OK);
    assert_false(hf_access_required(a));
    assert_int_equal(hf_access_identify(a, NULL, NULL, &who, &err), HF_OK);
    assert_int_equal(hf_access_allow(&who, HF_SCOPE_ADMIN, &err), HF_OK);
    hf_access_close(a);
    hf_config_free(config);
}

static void a_token_does_what_its_scopes_say(void **state) {
    (void)state;
    char token[HF_TOKEN_BYTES], hash[HF_TOKEN_HASH_BYTES], text[512], header[128];
    hf_err err;
    hf_access *a = NULL;
    hf_identity who;
    assert_int_equal(hf_token_new(token, hash, &err), HF_OK);
    assert_int_equal(strlen(token), HF_TOKEN_BYTES - 1);
    snprintf(text, sizeof text,
             "tokens:\n  - {name: ci, sha256: \"%s\", scopes: [read, submit], expires: \"2030-01-01T00:00:00Z\"}\n",
             hash);
    assert_int_equal(open_with(text, 0600, NULL, false, &a, &err), HF_OK);
    assert_true(hf_access_required(a));
    snprintf(header, sizeof header, "Bearer %s", token);
    assert_int_equal(hf_access_identify(a, header, NULL, &who, &err), HF_OK);
    assert_string_equal(who.name, "ci");
    assert_int_equal(hf_access_allow(&who, HF_SCOPE_SUBMIT, &err), HF_OK);
    assert_int_equal(hf_access_allow(&who, HF_SCOPE_OPERATE, &err), HF_E_PERMISSION);
    assert_non_null(strstr(err.detail, "operate"));
    assert_int_equal(hf_access_identify(a, NULL, NULL, &who, &err), HF_E_UNAUTHORIZED);
    assert_int_equal(hf_access_allow(&who, HF_SCOPE_READ, &err), HF_E_PERMISSION);
    header[12] ^= 1;
    assert_int_equal(hf_access_identify(a, header, NULL, &who, &err), HF_E_UNAUTHORIZED);
    assert_null(strstr(err.detail, header + 7)); /* never echoed */
    header[12] ^= 1;
    wall_ms = 1900000000000;
    assert_int_equal(hf_access_identify(a, header, NULL, &who, &err), HF_E_UNAUTHORIZED);
    assert_non_null(strstr(err.detail, "expired"));
    wall_ms = 1800000000000;
    hf_access_close(a);
}

static void a_certificate_is_known_by_its_subject(void **state) {
    (void)state;
    hf_err err;
    hf_access *a = NULL;
    hf_identity who;
    assert_int_equal(
        open_with("certificates:\n  - {subject: \"CN=ops\", scopes: [admin]}\n", 0600, NULL, false, &a, &err), HF_OK);
    assert_int_equal(hf_access_identify(a, NULL, "CN=ops", &who, &err), HF_OK);
    assert_int_equal(who.scopes, HF_SCOPES_ALL);
    assert_int_equal(hf_access_identify(a, NULL, "CN=nobody", &who, &err), HF_E_UNAUTHORIZED);
    hf_access_close(a);
}

static void a_rotation_needs_no_restart_and_a_broken_file_changes_nothing(void **state) {
    (void)state;
    char token[2][HF_TOKEN_BYTES], hash[2][HF_TOKEN_HASH_BYTES], text[512], header[2][128];
    hf_err err;
    hf_access *a = NULL;
    hf_identity who;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hf_token_new(token[i], hash[i], &err), HF_OK);
        snprintf(header[i], sizeof header[i], "Bearer %s", token[i]);
    }
    snprintf(text, sizeof text, "tokens: [{name: old, sha256: \"%s\", scopes: [read]}]\n", hash[0]);
    assert_int_equal(open_with(text, 0600, NULL, true, &a, &err), HF_OK);
    write_file("tokens: [{name: broken}]\n", 0600);
    now_ms += 1500;
    assert_int_equal(hf_access_identify(a, header[0], NULL, &who, &err), HF_OK);
    snprintf(text, sizeof text, "tokens: [{name: new, sha256: \"%s\", scopes: [read]}]\n", hash[1]);
    write_file(text, 0600);
    assert_int_equal(hf_access_identify(a, header[1], NULL, &who, &err), HF_E_UNAUTHORIZED); /* within the second */
    now_ms += 1500;
    assert_int_equal(hf_access_identify(a, header[1], NULL, &who, &err), HF_OK);
    assert_string_equal(who.name, "new");
    assert_int_equal(hf_access_identify(a, header[0], NULL, &who, &err), HF_E_UNAUTHORIZED);
    hf_access_close(a);
}

static void files_that_cannot_be_trusted_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
        unsigned mode;
    } cases[] = {
        {"tokens: []\n", "chmod go-w", 0666},
        {"tokens: [{name: \"../x\", sha256: \"00\", scopes: [read]}]\n", "name must be", 0600},
        {"tokens: [{name: x, sha256: \"00\", scopes: [read]}]\n", "64 hex digits", 0600},
        {"tokens: [{name: x, sha256: \"0123456789012345678901234567890123456789012345678901234567890123\", scopes: [all]}]\n",
         "read, submit, operate, admin", 0600},
        {"tokens: [{name: x, token: secret}]\n", "no member", 0600},
        {"users: []\n", "nothing else", 0600},
        {"tokens: [\n", "line", 0600}};
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        hf_err err = {0};
        hf_access *a = NULL;
        assert_int_not_equal(open_with(cases[i].text, cases[i].mode, NULL, true, &a, &err), HF_OK);
        assert_non_null(strstr(err.detail, cases[i].says));
        assert_null(strstr(err.detail, "secret"));
    }
}

static void a_client_may_ask_so_often_and_others_are_not_held_up(void **state) {
    (void)state;
    hf_err err;
    hf_access *a = NULL;
    int wait = 0;
    hf_config *config = hf_config_new();
    assert_int_equal(hf_config_set(config, "access.rate=10", &err), HF_OK);
    assert_int_equal(hf_config_set(config, "access.burst=3", &err), HF_OK);
    assert_int_equal(hf_access_open(config, true, &test_clock, &a, &err), HF_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hf_access_rate(a, "one", &wait, &err), HF_OK);
    assert_int_equal(hf_access_rate(a, "one", &wait, &err), HF_E_BUSY);
    assert_true(wait >= 1);
    assert_int_equal(hf_access_rate(a, "two", &wait, &err), HF_OK);
    now_ms += 150;
    assert_int_equal(hf_access_rate(a, "one", &wait, &err), HF_OK);
    assert_int_equal(hf_access_rate(a, "one", &wait, &err), HF_E_BUSY);
    for (int i = 0; i < HF_ACCESS_CLIENTS_MAX + 100; i++) { /* bounded, whoever comes */
        char name[32];
        snprintf(name, sizeof name, "client-%d", i);
        assert_int_equal(hf_access_rate(a, name, &wait, &err), HF_OK);
    }
    hf_access_close(a);
    hf_config_free(config);
}

int main(void) {
    snprintf(path, sizeof path, "/tmp/hf-access-%d.yaml", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_only_loopback_is_served),
        cmocka_unit_test(a_token_does_what_its_scopes_say),
        cmocka_unit_test(a_certificate_is_known_by_its_subject),
        cmocka_unit_test(a_rotation_needs_no_restart_and_a_broken_file_changes_nothing),
        cmocka_unit_test(files_that_cannot_be_trusted_are_refused_by_name),
        cmocka_unit_test(a_client_may_ask_so_often_and_others_are_not_held_up),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
