/* A webhook's rules and JSON: both shapes in, every error named, nothing secret in the record or in an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "schemas/event/codec.h"
#include "schemas/event/json.h"
#include "schemas/webhook/webhook.h"

#define SIGN "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static hf_arena arena;
static hf_webhook webhook;
static hf_webhook_secret secret;
static hf_intake_errors errors, warnings;

static int setup(void **state) {
    (void)state;
    hf_arena_init(&arena, 1 << 20);
    hf_type_init(&HF_TYPE_WEBHOOK, &webhook);
    webhook.endpoint_id = HF_STR("w1");
    secret = (hf_webhook_secret){0};
    return 0;
}
static int teardown(void **state) {
    (void)state;
    hf_arena_done(&arena);
    return 0;
}

static hf_code read_over(const char *text, unsigned flags) {
    hf_err err;
    json_t *json = hf_json_parse(hf_str_of(text), 1 << 20, &err);
    if (!json)
        fail_msg("%s: %s", text, err.detail);
    errors = warnings = (hf_intake_errors){.count = 0};
    hf_code code = hf_webhook_read(json, flags, &arena, &webhook, &secret, &errors, &warnings, &err);
    json_decref(json);
    return code;
}

static void must(const char *text, unsigned flags) {
    assert_int_equal(read_over(text, flags), HF_OK);
    if (errors.count)
        fail_msg("%s: %.*s", text, HF_STR_ARG(errors.text[0]));
}

static bool says(const hf_intake_errors *list, const char *begin) {
    for (uint32_t i = 0; i < list->count; i++)
        if (hf_str_starts(list->text[i], hf_str_of(begin)))
            return true;
    return false;
}

/* ---- in ------------------------------------------------------------------------------------------------------ */
static void the_older_shape(void **state) {
    (void)state;
    must("{\"url\": \"https://hooks.example/x\", \"events\": [\"job.completed\", \"job.failed\"], "
         "\"headers\": {\"Authorization\": \"Bearer abc\"}, \"timeout\": 10000000000, \"retry\": 5, \"enabled\": true}",
         HF_WEBHOOK_LENIENT);
    assert_true(hf_str_eqz(webhook.url, "https://hooks.example/x"));
    assert_int_equal(webhook.events.count, 2);
    assert_int_equal(webhook.timeout_ms, 10000);
    assert_int_equal(webhook.retry, 5);
    assert_true(webhook.enabled);
    assert_int_equal(webhook.header_names.count, 1);
    assert_true(hf_str_eqz(secret.headers[0].name, "Authorization") &&
                hf_str_eqz(secret.headers[0].value, "Bearer abc"));
    assert_true(hf_webhook_wants(&webhook, HF_WE_JOB_FAILED) && !hf_webhook_wants(&webhook, HF_WE_JOB_PROGRESS));
    must("{\"url\": \"https://hooks.example/x\", \"timeout\": 1.5, \"events\": [], \"retry\": null, \"colour\": 1}",
         HF_WEBHOOK_LENIENT);
    assert_int_equal(webhook.timeout_ms, 1500);
    assert_int_equal(webhook.retry, 5); /* null is absent there */
    assert_true(says(&warnings, "colour:"));
    assert_true(hf_webhook_wants(&webhook, HF_WE_VM_DISCOVERED));
    must("{\"events\": [\"job.failed\", \"*\"]}", 0);
    assert_int_equal(webhook.events.count, 0);
}

static void what_is_absent_means_the_default(void **state) {
    (void)state;
    must("{\"url\": \"http://h\"}", 0);
    assert_int_equal(webhook.timeout_ms, 10000);
    assert_int_equal(webhook.retry, 3);
    assert_int_equal(webhook.progress_interval_ms, 10000);
    assert_true(webhook.enabled && !webhook.ordered && webhook.format == HF_PAYLOAD_STANDARD);
    assert_false(hf_webhook_has_secret(&secret));
    must("{\"retry\": 0, \"format\": \"cloudevents\", \"ordered\": true, \"secret\": \"" SIGN "\"}", 0);
    must("{\"retry\": null}", 0);
    assert_int_equal(webhook.retry, 3);
    assert_int_equal(webhook.format, HF_PAYLOAD_CLOUDEVENTS);
    assert_int_equal(secret.secret_count, 1);
}

static void every_error_is_told(void **state) {
    (void)state;
    assert_int_equal(
        read_over(
            "{\"id\": \"a.b\", \"url\": \"ftp://x\", \"events\": [\"job.exploded\"], \"timeout\": \"1h\", "
            "\"retry\": 21, \"headers\": {\"Host\": \"x\", \"bad name\": \"y\", \"A\": \"a\\nb\"}, \"format\": \"xml\", "
            "\"secret\": \"hunter2\", \"progress_interval\": \"1ms\", \"color\": 1}",
            0),
        HF_OK);
    static const char *const wanted[] = {"id: ",     "url: ",  "events[0]: ", "timeout: ",           "retry: ",
                                         "headers[", "format", "secret: ",    "progress_interval: ", "color: "};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!says(&errors, wanted[i]))
            fail_msg("nothing about %s", wanted[i]);
    for (uint32_t i = 0; i < errors.count; i++)
        assert_null(memmem(errors.text[i].p, errors.text[i].len, "hunter2", 7));
    assert_int_equal(read_over("[]", 0), HF_E_INVALID);
    assert_int_equal(read_over("{\"id\": \"12\", \"url\": \"http://h\"}", 0), HF_OK);
    assert_true(says(&errors, "id: a number"));
    assert_int_equal(read_over("{\"id\": \"test\"}", 0), HF_OK);
    assert_true(says(&errors, "id: \"test\""));
}

static void urls_that_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "https://",
                                      "https:///p",
                                      "https://u@h/",
                                      "https://u:p@h",
                                      "http://h/#f",
                                      "http://h/a b",
                                      "file:///etc",
                                      "http://[]/",
                                      "//h/p",
                                      "http://h/\\u00e9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"url\": \"%s\"}", bad[i]);
        webhook.url = HF_STR_NONE;
        assert_int_equal(read_over(text, 0), HF_OK);
        if (!says(&errors, "url: "))
            fail_msg("%s was taken", bad[i]);
    }
    must("{\"url\": \"HTTPS://[2001:db8::1]:8443/p?x=1&y\"}", 0);
}

/* ---- what is secret ------------------------------------------------------------------------------------------- */
static void a_url_that_is_a_secret_is_masked(void **state) {
    (void)state;
    static const char *const urls[][3] = {
        {"https://hooks.slack.com/services/T0/B0/XXXX", "standard", "https://hooks.slack.com/***"},
        {"https://hooks.slack.com./services/T0/B0/XXXX", "standard", "https://hooks.slack.com./***"},
        {"https://chat.example/hook/XXXX?a=b", "slack", "https://chat.example/***"},
        {"https://x.webhook.office.com/a", "standard", "https://x.webhook.office.com/***"},
        {"https://h/p?access_token=XXXX&x=1&sig=YYYY", "standard", "https://h/p?access_token=***&x=1&sig=***"},
        {"https://h/p?apiKey=XXXX;z", "standard", "https://h/p?apiKey=***&z"},
        {"https://h/p?x=1", "standard", "https://h/p?x=1"},
        {"https://h/p?%74oken=XXXX", "standard", "https://h/p?%74oken=***"},
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char text[512];
        webhook.url = secret.url = HF_STR_NONE;
        snprintf(text, sizeof text, "{\"url\": \"%s\", \"format\": \"%s\"}", urls[i][0], urls[i][1]);
        must(text, 0);
        if (!hf_str_eqz(webhook.url, urls[i][2]))
            fail_msg("%s became %.*s", urls[i][0], HF_STR_ARG(webhook.url));
        assert_true(hf_str_eqz(hf_webhook_target(&webhook, &secret), urls[i][0]));
        assert_int_equal(hf_webhook_target(&webhook, NULL).p == NULL, strcmp(urls[i][0], urls[i][2]) != 0);
    }
}

static void what_was_masked_may_be_sent_back(void **state) {
    (void)state;
    must("{\"url\": \"https://h/p?token=XXXX\", \"headers\": {\"X-Key\": \"v1\", \"B\": \"b\"}, \"secrets\": [\"" SIGN
         "\"]}",
         0);
    json_t *out = hf_webhook_json(&webhook);
    char *text = json_dumps(out, 0);
    assert_null(strstr(text, "XXXX"));
    assert_null(strstr(text, "v1\""));
    assert_null(strstr(text, "whsec"));
    json_object_set_new(json_object_get(out, "headers"), "B", json_string("c"));
    json_object_set_new(out, "timeout", json_string("3s"));
    free(text);
    text = json_dumps(out, 0);
    must(text, 0);
    assert_int_equal(webhook.timeout_ms, 3000);
    assert_true(hf_str_eqz(hf_webhook_target(&webhook, &secret), "https://h/p?token=XXXX"));
    assert_int_equal(secret.header_count, 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_true(hf_str_eqz(secret.headers[i].value, hf_str_eqz(secret.headers[i].name, "B") ? "c" : "v1"));
    assert_int_equal(secret.secret_count, 1);
    free(text);
    json_decref(out);
    assert_int_equal(read_over("{\"url\": \"https://other/p?token=***\"}", 0), HF_OK);
    assert_true(says(&errors, "url: ***"));
    assert_int_equal(read_over("{\"headers\": {\"New\": \"***\"}}", 0), HF_OK);
    assert_true(says(&errors, "headers[0]: ***"));
}

static void a_change_of_format_masks_anew(void **state) {
    (void)state;
    must("{\"url\": \"https://chat.example/hook/XXXX\"}", 0);
    must("{\"format\": \"slack\"}", 0);
    assert_true(hf_str_eqz(webhook.url, "https://chat.example/***"));
    must("{\"format\": \"standard\"}", 0);
    assert_true(hf_str_eqz(webhook.url, "https://chat.example/hook/XXXX") && !secret.url.len);
}

static void the_whole_of_it_reads_the_same(void **state) {
    (void)state;
    must("{\"url\": \"https://h/p?token=XXXX\", \"headers\": {\"X-Key\": \"v1\"}, \"secret\": \"" SIGN "\"}", 0);
    json_t *out = hf_webhook_json_whole(&webhook, &secret);
    hf_webhook before = webhook, again;
    hf_webhook_secret known = {0};
    hf_err err;
    hf_type_init(&HF_TYPE_WEBHOOK, &again);
    errors.count = 0;
    assert_int_equal(hf_webhook_read(out, 0, &arena, &again, &known, &errors, &warnings, &err), HF_OK);
    assert_int_equal(errors.count, 0);
    assert_true(hf_type_equal(&HF_TYPE_WEBHOOK, &before, &again));
    assert_true(hf_str_eqz(known.url, "https://h/p?token=XXXX") && hf_str_eqz(known.secrets[0], SIGN));
    json_decref(out);
}

/* ---- ids and positions ---------------------------------------------------------------------------------------- */
static void ids_of_deliveries_stay(void **state) {
    (void)state;
    char a[HF_DELIVERY_ID_BYTES], b[HF_DELIVERY_ID_BYTES];
    hf_webhook_delivery_id(HF_STR("ops"), (hf_position){3, 1234567}, a);
    assert_string_equal(a, "msg_f7a62871e93b201cd9a05019548aac97");
    assert_string_not_equal(a, hf_webhook_delivery_id(HF_STR("ops"), (hf_position){3, 1234568}, b));
    assert_string_not_equal(a, hf_webhook_delivery_id(HF_STR("ops"), (hf_position){2, 1234567}, b));
    assert_string_not_equal(a, hf_webhook_delivery_id(HF_STR("opt"), (hf_position){3, 1234567}, b));
}

static void an_id_is_derived_of_the_url(void **state) {
    (void)state;
    webhook.endpoint_id = HF_STR_NONE;
    must("{\"url\": \"https://hooks.slack.com/services/A\"}", HF_WEBHOOK_DERIVE_ID);
    hf_str first = webhook.endpoint_id;
    assert_int_equal(first.len, 24);
    webhook.endpoint_id = HF_STR_NONE;
    must("{\"url\": \"https://hooks.slack.com/services/B\"}", HF_WEBHOOK_DERIVE_ID);
    assert_false(hf_str_eq(first, webhook.endpoint_id));
    webhook.endpoint_id = HF_STR_NONE;
    must("{\"url\": \"https://hooks.slack.com/services/A\"}", HF_WEBHOOK_DERIVE_ID);
    assert_true(hf_str_eq(first, webhook.endpoint_id));
}

static void what_stands_before_is_not_its_business(void **state) {
    (void)state;
    const hf_position from[] = {{0, 10}, {2, 5}};
    webhook.from = (hf_list){from, 2};
    assert_false(hf_webhook_reaches(&webhook, (hf_position){0, 9}));
    assert_true(hf_webhook_reaches(&webhook, (hf_position){0, 10}));
    assert_true(hf_webhook_reaches(&webhook, (hf_position){1, 0}));
    assert_false(hf_webhook_reaches(&webhook, (hf_position){2, 4}));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_older_shape),
        T(what_is_absent_means_the_default),
        T(every_error_is_told),
        T(urls_that_are_refused),
        T(a_url_that_is_a_secret_is_masked),
        T(what_was_masked_may_be_sent_back),
        T(a_change_of_format_masks_anew),
        T(the_whole_of_it_reads_the_same),
        T(ids_of_deliveries_stay),
        T(an_id_is_derived_of_the_url),
        T(what_stands_before_is_not_its_business),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
