#include "check.h"

#include "schemas/base/clock.h"
#include "schemas/base/config.h"
#include "schemas/base/config_table.h"
#include "schemas/base/mem.h"

static hf_config *fresh(void) {
    hf_config *c = hf_config_new();
    assert_non_null(c);
    return c;
}

/* ---- the table --------------------------------------------------------------------------------- */
static void every_row_has_docs_and_a_default_inside_its_range(void **state) {
    (void)state;
    hf_config *c = fresh(); /* parses every default */
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        const hf_config_row *row = &hf_config_rows[i];
        size_t len = strlen(row->doc);
        if (len < 10 || row->doc[len - 1] != '.')
            fail_msg("%s: its documentation is not a sentence", row->key);
        if (strspn(row->key, "abcdefghijklmnopqrstuvwxyz_.") != strlen(row->key))
            fail_msg("%s: a key is lower case, '_' and '.'", row->key);
        if (hf_config_find(hf_str_of(row->key)) != (hf_config_key)i)
            fail_msg("%s is in the table twice", row->key);
        if (row->kind != HF_CK_JSON && !c->values[i].text)
            fail_msg("%s has no default", row->key);
        if ((row->kind == HF_CK_SIZE) != (strcmp(row->unit, "bytes") == 0) ||
            (row->kind == HF_CK_DURATION) != (strcmp(row->unit, "ms") == 0))
            fail_msg("%s: unit \"%s\" does not fit its kind", row->key, row->unit);
    }
    CHECK_OK(hf_config_check(c, err));
    hf_config_free(c);
}

static void no_two_keys_share_an_environment_variable(void **state) {
    (void)state;
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        for (int j = i + 1; j < HF_CONFIG_COUNT; j++) {
            char a[HF_CONFIG_KEY_BYTES], b[HF_CONFIG_KEY_BYTES];
            snprintf(a, sizeof a, "%s", hf_config_rows[i].key);
            snprintf(b, sizeof b, "%s", hf_config_rows[j].key);
            for (char *p = a; *p; p++)
                *p = *p == '.' ? '_' : *p;
            for (char *p = b; *p; p++)
                *p = *p == '.' ? '_' : *p;
            assert_string_not_equal(a, b);
        }
    }
}

static void defaults_are_what_the_table_says(void **state) {
    (void)state;
    hf_config *c = fresh();
    assert_string_equal(hf_config_str(c, HF_C_FLEET), "main");
    assert_string_equal(hf_config_str(c, HF_C_LOG_LEVEL), "info");
    assert_int_equal(hf_config_int(c, HF_C_HTTP_BODY_MAX), 8 << 20);
    assert_int_equal(hf_config_int(c, HF_C_WORKER_LEASE), 30000);
    assert_int_equal(hf_config_int(c, HF_C_TOPIC_REPLICATION), -1);
    assert_true(hf_config_bool(c, HF_C_DISPATCH_STATES));
    assert_null(hf_config_json(c, HF_C_ENDPOINTS));
    assert_int_equal(json_object_size(hf_config_kafka(c)), 0);
    hf_config_free(c);
}

/* ---- sources ----------------------------------------------------------------------------------- */
static void nested_and_dotted_keys_mean_the_same(void **state) {
    (void)state;
    static const char *const texts[] = {
        "worker: {slots: 7}\nkafka: {bootstrap.servers: 'b:1', sasl: {password: 0123}, linger.ms: 5}\n",
        "worker.slots: 7\nkafka.bootstrap.servers: b:1\nkafka.sasl.password: 0123\nkafka.linger.ms: 5\n",
        "worker:\n  slots: 7\nkafka:\n  bootstrap: {servers: b:1}\n  sasl.password: \"0123\"\n  linger: {ms: 5}\n",
        "{\"worker\": {\"slots\": 7}, \"kafka.bootstrap\": {\"servers\": \"b:1\"}, \"kafka\": {\"sasl.password\": "
        "\"0123\", \"linger.ms\": 5}}",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        hf_config *c = fresh();
        CHECK_OK(hf_config_load_yaml(c, hf_str_of(texts[i]), "t", err));
        assert_int_equal(hf_config_int(c, HF_C_WORKER_SLOTS), 7);
        assert_string_equal(hf_config_str(c, HF_C_KAFKA_BOOTSTRAP), "b:1");
        assert_string_equal(json_string_value(json_object_get(hf_config_kafka(c), "sasl.password")), "0123");
        assert_string_equal(json_string_value(json_object_get(hf_config_kafka(c), "linger.ms")), "5");
        assert_int_equal(json_object_size(hf_config_kafka(c)), 2);
        hf_config_free(c);
    }
}

static void later_sources_win(void **state) {
    (void)state;
    hf_config *c = fresh();
    CHECK_OK(hf_config_load_yaml(c, HF_STR("fleet: file\nworker: {slots: 3, id: file}\nlog.level: warn"), "f", err));
    char *env[] = {"PATH=/bin",
                   "HF_FLEET=env",
                   "HF_WORKER_SLOTS=4",
                   "HF_DISPATCH_JOB_STATES=no",
                   "HF_KAFKA_SECURITY_PROTOCOL=SSL",
                   "HF_WORKER_ROOTS=[/a, /b]",
                   "HF_TEST_PYTHON=x",
                   NULL};
    CHECK_OK(hf_config_load_env(c, env, err));
    CHECK_OK(hf_config_set(c, "worker.slots=5", err));
    CHECK_OK(hf_config_set(c, "kafka.debug=all", err));
    CHECK_OK(hf_config_set(c, "http={threads: 3, listen: '[::1]:80'}", err));
    assert_string_equal(hf_config_str(c, HF_C_FLEET), "env");
    assert_string_equal(hf_config_str(c, HF_C_WORKER_ID), "file");
    assert_string_equal(hf_config_str(c, HF_C_LOG_LEVEL), "warn");
    assert_int_equal(hf_config_int(c, HF_C_WORKER_SLOTS), 5);
    assert_int_equal(hf_config_int(c, HF_C_HTTP_THREADS), 3);
    assert_string_equal(hf_config_str(c, HF_C_HTTP_LISTEN), "[::1]:80");
    assert_false(hf_config_bool(c, HF_C_DISPATCH_STATES));
    assert_int_equal(json_array_size(hf_config_json(c, HF_C_WORKER_ROOTS)), 2);
    assert_string_equal(json_string_value(json_object_get(hf_config_kafka(c), "security.protocol")), "SSL");
    assert_string_equal(json_string_value(json_object_get(hf_config_kafka(c), "debug")), "all");
    hf_config_free(c);
}

static void a_set_value_is_taken_as_it_stands_unless_quoted(void **state) {
    (void)state;
    hf_config *c = fresh();
    CHECK_OK(hf_config_set(c, "kafka.sasl.password=#not: a, comment", err));
    CHECK_OK(hf_config_set(c, "worker.id=\"a\\tb\"", err));
    CHECK_OK(hf_config_set(c, "kafka.x='a=b'", err));
    CHECK_OK(hf_config_set(c, "kafka.y=", err));
    const json_t *kafka = hf_config_kafka(c);
    assert_string_equal(json_string_value(json_object_get(kafka, "sasl.password")), "#not: a, comment");
    assert_string_equal(json_string_value(json_object_get(kafka, "x")), "a=b");
    assert_string_equal(json_string_value(json_object_get(kafka, "y")), "");
    assert_string_equal(hf_config_str(c, HF_C_WORKER_ID), "a\tb");
    hf_config_free(c);
}

static void units_and_spellings_are_read(void **state) {
    (void)state;
    hf_config *c = fresh();
    CHECK_OK(hf_config_load_yaml(c,
                                 HF_STR("http: {body_max: 2048, write_wait: 1.5s}\njournal: {map_size: 2 GiB}\n"
                                        "worker: {sleep_operation: True, lease: 1m30s}\nendpoints:\n"),
                                 "t", err));
    assert_int_equal(hf_config_int(c, HF_C_HTTP_BODY_MAX), 2048);
    assert_int_equal(hf_config_int(c, HF_C_HTTP_WRITE_WAIT), 1500);
    assert_int_equal(hf_config_int(c, HF_C_JOURNAL_MAP), INT64_C(2) << 30);
    assert_int_equal(hf_config_int(c, HF_C_WORKER_LEASE), 90000);
    assert_true(hf_config_bool(c, HF_C_WORKER_SLEEP));
    assert_null(hf_config_json(c, HF_C_ENDPOINTS));
    hf_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_docs_and_a_default_inside_its_range),
        cmocka_unit_test(no_two_keys_share_an_environment_variable),
        cmocka_unit_test(defaults_are_what_the_table_says),
        cmocka_unit_test(nested_and_dotted_keys_mean_the_same),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_set_value_is_taken_as_it_stands_unless_quoted),
        cmocka_unit_test(units_and_spellings_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
