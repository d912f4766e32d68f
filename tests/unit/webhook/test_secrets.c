/* The hook's own store: who may read the file, what it holds after whom wrote it, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/base/mem.h"
#include "schemas/webhook/secrets.h"

#define SIGN "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
static char dir[] = "/tmp/hf-secrets-XXXXXX", path[64];
static hf_arena arena;
static hf_err err;

static int begin(void **state) {
    (void)state;
    hf_arena_init(&arena, HF_SECRETS_ARENA_BYTES);
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/secrets", dir);
    unsetenv("CREDENTIALS_DIRECTORY");
    return 0;
}
static int end(void **state) {
    (void)state;
    static const char *const files[] = {"secrets", "secrets.lock", "secrets.new", "webhooks", "link", "link.lock"};
    char file[96];
    for (size_t i = 0; i < HF_ARRAY_LEN(files); i++) {
        snprintf(file, sizeof file, "%s/%s", dir, files[i]);
        unlink(file);
    }
    hf_arena_done(&arena);
    return rmdir(dir);
}

static void write_file(const char *name, mode_t mode, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static hf_secrets *must_open(const char *name) {
    hf_secrets *s = NULL;
    if (hf_secrets_open(name, &s, &err) != HF_OK)
        fail_msg("%s", err.detail);
    return s;
}

static const char yaml[] =
    "webhooks:\n  ops:\n    secrets: [" SIGN "]\n    headers: {Authorization: \"Bearer hunter2\"}\n"
    "    url: https://hooks.slack.com/services/x\n";

static void a_file_of_mode_0600_is_read(void **state) {
    (void)state;
    hf_webhook_secret found;
    write_file(path, 0600, yaml);
    hf_secrets *s = must_open(path);
    assert_true(hf_secrets_writable(s));
    assert_true(hf_secrets_find(s, HF_STR("ops"), &arena, &found));
    assert_int_equal(found.secret_count, 1);
    assert_true(hf_str_eqz(found.headers[0].value, "Bearer hunter2"));
    assert_true(hf_str_eqz(found.url, "https://hooks.slack.com/services/x"));
    assert_false(hf_secrets_find(s, HF_STR("other"), &arena, &found));
    assert_false(hf_secrets_find(NULL, HF_STR("ops"), &arena, &found));
    hf_secrets_close(s);
}

static void a_file_that_others_may_use_is_refused(void **state) {
    (void)state;
    static const mode_t modes[] = {0640, 0604, 0660, 0620, 0601, 0644};
    hf_secrets *s = NULL;
    for (size_t i = 0; i < HF_ARRAY_LEN(modes); i++) {
        write_file(path, modes[i], yaml);
        assert_int_equal(hf_secrets_open(path, &s, &err), HF_E_PERMISSION);
        assert_non_null(strstr(err.detail, "chmod 600"));
    }
    write_file(path, 0400, yaml);
    hf_secrets_close(must_open(path));
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(hf_secrets_open(path, &s, &err), HF_E_PERMISSION);
    rmdir(path);
}

static void what_is_wrong_with_a_file_is_told_without_it(void **state) {
    (void)state;
    static const char *const bad[] = {"webhooks: [hunter2]\n",
                                      "hunter2\n",
                                      "webhooks: {ops: {secrets: hunter2}}\n",
                                      "webhooks: {ops: {secrets: [hunter2]}}\n",
                                      "webhooks: {ops: {headers: {A: [hunter2]}}}\n",
                                      "webhooks: {ops: {headers: {\"a b\": hunter2}}}\n",
                                      "webhooks: {ops: {headers: {Host: hunter2}}}\n",
                                      "webhooks: {ops: {url: [hunter2]}}\n",
                                      "webhooks: {ops: hunter2\n",
                                      "{\"webhooks\": {\"ops\": {\"headers\": {\"A\": \"hunter2\\n\"}}}}"};
    hf_secrets *s = NULL;
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        write_file(path, 0600, bad[i]);
        if (hf_secrets_open(path, &s, &err) == HF_OK)
            fail_msg("%s was taken", bad[i]);
        assert_null(strstr(err.detail, "hunter2"));
        assert_non_null(strstr(err.detail, path));
    }
}

static void what_is_put_is_there_for_all(void **state) {
    (void)state;
    struct stat st;
    bool changed;
    hf_webhook_secret found, in = {.secrets = {HF_STR(SIGN)},
                                   .secret_count = 1,
                                   .headers = {{HF_STR("X-Key"), HF_STR("a \"b\"\t")}},
                                   .header_count = 1};
    mode_t before = umask(0);
    hf_secrets *one = must_open(path), *two = must_open(path);
    assert_int_equal(hf_secrets_put(one, HF_STR("a"), &in, &err), HF_OK);
    assert_int_equal(hf_secrets_put(two, HF_STR("b"), &in, &err), HF_OK); /* keeps what the other wrote */
    umask(before);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(hf_secrets_refresh(one, &changed, &err), HF_OK);
    assert_true(changed);
    assert_int_equal(hf_secrets_refresh(one, &changed, &err), HF_OK);
    assert_false(changed);
    assert_true(hf_secrets_find(one, HF_STR("a"), &arena, &found) && hf_secrets_find(one, HF_STR("b"), &arena, &found));
    assert_true(hf_str_eqz(found.headers[0].value, "a \"b\"\t") && hf_str_eqz(found.secrets[0], SIGN));
    assert_int_equal(hf_secrets_put(one, HF_STR("a"), NULL, &err), HF_OK);
    assert_int_equal(hf_secrets_put(one, HF_STR("never"), NULL, &err), HF_OK);
    assert_int_equal(hf_secrets_refresh(two, NULL, &err), HF_OK);
    assert_false(hf_secrets_find(two, HF_STR("a"), &arena, &found));
    assert_true(hf_secrets_find(two, HF_STR("b"), &arena, &found));
    hf_secrets_close(one);
    hf_secrets_close(two);
}

static void a_file_made_unreadable_keeps_what_was_there(void **state) {
    (void)state;
    hf_webhook_secret found;
    write_file(path, 0600, yaml);
    hf_secrets *s = must_open(path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(hf_secrets_refresh(s, NULL, &err), HF_E_PERMISSION);
    assert_true(hf_secrets_find(s, HF_STR("ops"), &arena, &found));
    assert_int_equal(hf_secrets_put(s, HF_STR("x"), &(hf_webhook_secret){.url = HF_STR("https://h/")}, &err),
                     HF_E_PERMISSION);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(hf_secrets_refresh(s, NULL, &err), HF_OK);
    hf_secrets_close(s);
}

static void the_credential_of_systemd_is_read_only(void **state) {
    (void)state;
    hf_secrets *s = (void *)1;
    hf_webhook_secret found;
    char file[96];
    assert_int_equal(hf_secrets_open("", &s, &err), HF_OK);
    assert_null(s); /* there is no store */
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_int_equal(hf_secrets_open("", &s, &err), HF_OK);
    assert_null(s);
    snprintf(file, sizeof file, "%s/webhooks", dir);
    write_file(file, 0440, yaml);
    s = must_open("");
    assert_true(hf_secrets_find(s, HF_STR("ops"), &arena, &found));
    assert_false(hf_secrets_writable(s));
    assert_int_equal(hf_secrets_put(s, HF_STR("x"), &found, &err), HF_E_UNSUPPORTED);
    assert_non_null(strstr(err.detail, "webhook.secrets_file"));
    hf_secrets_close(s);
}

static void a_link_stays_a_link(void **state) {
    (void)state;
    char link[96];
    struct stat st;
    snprintf(link, sizeof link, "%s/link", dir);
    write_file(path, 0600, yaml);
    assert_int_equal(symlink(path, link), 0);
    hf_secrets *s = must_open(link);
    assert_int_equal(hf_secrets_put(s, HF_STR("ops"), NULL, &err), HF_OK);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    hf_secrets_close(s);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_file_of_mode_0600_is_read),
        T(a_file_that_others_may_use_is_refused),
        T(what_is_wrong_with_a_file_is_told_without_it),
        T(what_is_put_is_there_for_all),
        T(a_file_made_unreadable_keeps_what_was_there),
        T(the_credential_of_systemd_is_read_only),
        T(a_link_stays_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
