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

/* ---- errors ------------------------------------------------------------------------------------ */
static void each_mistake_names_its_place_the_key_and_the_remedy(void **state) {
    (void)state;
    static const struct {
        const char *text, *place, *says;
    } rows[] = {
        {"fleet: main\nworker:\n  slotz: 4\n",
         "f.yaml:3:3: ", "unknown key \"worker.slotz\"; did you mean \"worker.slots\"?"},
        {"slots: 4\n", "f.yaml:1:1: ", "did you mean \"worker.slots\"?"},
        {"wroker: {slots: 1}\n", "f.yaml:1:1: ", "unknown key \"wroker\""},
        {"worker.slots.x: 4\n", "f.yaml:1:1: ", "unknown key \"worker.slots.x\""},
        {"\n\nqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq: 4\n", "f.yaml:3:1: ", "hyperctl config show"},
        {"worker:\n  slots: 0\n", "f.yaml:2:3: ", "worker.slots is 0; it must be from 1 to 256"},
        {"worker: {slots: 257}\n", "f.yaml:1:10: ", "from 1 to 256"},
        {"worker: {slots: many}\n", "f.yaml:1:10: ", "worker.slots is \"many\"; it must be a whole number"},
        {"worker: {slots: 99999999999999999999}\n", "f.yaml:1:10: ", "a whole number"},
        {"worker: {slots: [1]}\n", "f.yaml:1:10: ", "worker.slots takes one value, not a list"},
        {"worker.slots: {a: 1}\n", "f.yaml:1:1: ", "takes one value, not a section"},
        {"worker: {slots: }\n", "f.yaml:1:10: ", "worker.slots has no value"},
        {"worker: {lease: 30}\n", "f.yaml:1:10: ", "a duration such as 250ms, 10s or 1h30m"},
        {"worker: {lease: 10ms}\n", "f.yaml:1:10: ", "from 1000 to 3600000 ms"},
        {"http: {body_max: 8MB}\n", "f.yaml:1:8: ", "KiB, MiB, GiB or TiB"},
        {"http: {body_max: 9999999999999TiB}\n", "f.yaml:1:8: ", "a whole number of bytes"},
        {"http: {body_max: 1GiB}\n", "f.yaml:1:8: ", "from 1024 to 268435456 bytes"},
        {"log: {level: loud}\n", "f.yaml:1:7: ", "one of info|debug|warn|error"},
        {"log: {level: info|debug}\n", "f.yaml:1:7: ", "one of info|debug|warn|error"},
        {"dispatch: {job_states: maybe}\n", "f.yaml:1:12: ", "true or false"},
        {"fleet: a b\n", "f.yaml:1:1: ", "letters, digits"},
        {"fleet: ''\n", "f.yaml:1:1: ", "fleet has 0 bytes; it must have 1 to 64"},
        {"worker: 5\n", "f.yaml:1:1: ", "worker is a section"},
        {"kafka: 5\n", "f.yaml:1:1: ", "kafka is a section"},
        {"kafka: {linger.ms: [5]}\n", "f.yaml:1:9: ", "kafka.linger.ms takes one value, not a list"},
        {"endpoints: 5\n", "f.yaml:1:1: ", "endpoints must be a list or a section"},
        {"fleet: a\nfleet: b\n", "f.yaml:2:1: ", "fleet is given twice"},
        {"worker: {slots: 1}\nworker.slots: 2\n", "f.yaml:2:1: ", "worker.slots is given twice"},
        {"worker:\n  slots: 1\nworker:\n  id: x\n", "f.yaml:3:1: ", "worker is given twice"},
        {"kafka: {a.b: 1, a: {b: 2}}\n", "f.yaml:1:21: ", "kafka.a.b is given twice"},
        {"endpoints:\n  lab: {url: x}\n  lab: {url: y}\n",
         "f.yaml:1:1: ", "line 3 column 3: the key \"lab\" is given twice"},
        {"fleet: &a main\n", "f.yaml: line 1 column 8: ", "anchors"},
        {"fleet: *a\n", "f.yaml: line 1 column 8: ", "aliases"},
        {"fleet: !x main\n", "f.yaml: line 1 column 8: ", "tags"},
        {"fleet: [main\n", "f.yaml: line ", "column "},
        {"- a\n- b\n", "f.yaml:1:1: ", "key: value"},
        {"just a text\n", "f.yaml:1:1: ", "key: value"},
        {"fleet: a\n---\nfleet: b\n", "f.yaml: line 2 column 1: ", "only one document"},
        {"fleet: \"a\\0b\"\n", "f.yaml: line 1 column 8: ", "NUL"},
        {"fleet: \xff\n", "f.yaml: ", "byte"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_config *c = fresh();
        hf_err e = {0};
        hf_code code = hf_config_load_yaml(c, hf_str_of(rows[i].text), "f.yaml", &e);
        if (code != HF_E_CONFIG || e.code != code)
            fail_msg("%s gave %s: %s", rows[i].text, hf_code_name(code), e.detail);
        if (strncmp(e.detail, rows[i].place, strlen(rows[i].place)) != 0)
            fail_msg("%s: not at %s but: %s", rows[i].text, rows[i].place, e.detail);
        CHECK_HAS(e.detail, rows[i].says);
        assert_int_equal(hf_config_load_yaml(c, hf_str_of(rows[i].text), "f.yaml", NULL), HF_E_CONFIG);
        hf_config_free(c);
    }
}

static void mistakes_in_the_environment_and_on_the_command_line_are_named(void **state) {
    (void)state;
    static const struct {
        const char *variable, *says;
    } variables[] = {
        {"HF_WORKER_SLOTZ=1", "HF_WORKER_SLOTZ; did you mean HF_WORKER_SLOTS?"},
        {"HF_WORKER_NEVER_HEARD=1", "unknown environment variable HF_WORKER_NEVER_HEARD"},
        {"HF_FLEETS=x", "did you mean HF_FLEET?"},
        {"HF_WORKER_SLOTS=0", "environment variable HF_WORKER_SLOTS: worker.slots is 0"},
        {"HF_WORKER_ROOTS=[/a", "environment variable HF_WORKER_ROOTS: "},
        {"HF_WORKER_ROOTS=/a", "worker.roots must be a list or a section"},
        {"HF_DISPATCH_JOB_STATES=2", "true or false"},
    };
    static const struct {
        const char *assignment, *says;
    } assignments[] = {
        {"worker.slots", "--set needs key=value"},
        {"=1", "--set needs key=value"},
        {"worker.slotz=1", "--set worker.slotz: unknown key \"worker.slotz\"; did you mean \"worker.slots\"?"},
        {"worker.slots=", "a whole number"},
        {"http=8080", "--set http: --set:1:1: expected"},
        {"http={threadz: 1}", "did you mean \"http.threads\"?"},
        {"worker.roots=[a, b", "--set worker.roots: line "},
        {"worker.roots=[1, &a 2]", "anchors"},
    };
    hf_config *c = fresh();
    for (size_t i = 0; i < HF_ARRAY_LEN(variables); i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", variables[i].variable);
        char *env[] = {text, NULL};
        hf_err e = {0};
        assert_int_not_equal(hf_config_load_env(c, env, &e), HF_OK);
        CHECK_HAS(e.detail, variables[i].says);
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(assignments); i++) {
        hf_err e = {0};
        assert_int_not_equal(hf_config_set(c, assignments[i].assignment, &e), HF_OK);
        CHECK_HAS(e.detail, assignments[i].says);
    }
    hf_config_free(c);
}

static void booleans_in_the_environment_take_six_spellings(void **state) {
    (void)state;
    static const char *const spellings[] = {"true", "1", "yes", "false", "0", "no"};
    hf_config *c = fresh();
    for (size_t i = 0; i < HF_ARRAY_LEN(spellings); i++) {
        char text[64];
        snprintf(text, sizeof text, "HF_WORKER_SLEEP_OPERATION=%s", spellings[i]);
        char *env[] = {text, NULL};
        CHECK_OK(hf_config_load_env(c, env, err));
        assert_int_equal(hf_config_bool(c, HF_C_WORKER_SLEEP), i < 3);
    }
    hf_config_free(c);
}

static void keys_that_do_not_fit_together_are_refused_at_the_end(void **state) {
    (void)state;
    hf_config *c = fresh();
    hf_err e = {0};
    CHECK_OK(hf_config_set(c, "worker.lease=10s", err));
    assert_int_equal(hf_config_check(c, &e), HF_E_CONFIG);
    CHECK_HAS(e.detail, "worker.heartbeat_interval is 5s (default); it must be at most a third of worker.lease");
    CHECK_OK(hf_config_set(c, "worker.heartbeat_interval=3s", err));
    CHECK_OK(hf_config_check(c, err));
    CHECK_OK(hf_config_set(c, "journal.map_max=512MiB", err));
    assert_int_equal(hf_config_check(c, &e), HF_E_CONFIG);
    CHECK_HAS(e.detail, "journal.map_size is 1GiB (default); it must be at most journal.map_max");
    hf_config_free(c);
}

static void a_failed_value_leaves_the_old_one(void **state) {
    (void)state;
    hf_config *c = fresh();
    CHECK_OK(hf_config_set(c, "worker.slots=9", err));
    assert_int_not_equal(hf_config_set(c, "worker.slots=x", NULL), HF_OK);
    assert_int_equal(hf_config_int(c, HF_C_WORKER_SLOTS), 9);
    CHECK_OK(hf_config_set(c, "worker.roots=[/a]", err));
    assert_int_not_equal(hf_config_set(c, "worker.roots=[/a", NULL), HF_OK);
    assert_int_equal(json_array_size(hf_config_json(c, HF_C_WORKER_ROOTS)), 1);
    hf_config_free(c);
}

static void lists_and_files_have_bounds(void **state) {
    (void)state;
    hf_config *c = fresh();
    char text[1024] = "worker.roots=[";
    for (int i = 0; i < 65; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "/%d,", i);
    strcat(text, "]");
    hf_err e = {0};
    assert_int_equal(hf_config_set(c, text, &e), HF_E_CONFIG);
    CHECK_HAS(e.detail, "worker.roots has 65 entries; at most 64");
    char *big = calloc(1, HF_CONFIG_FILE_BYTES + 2);
    memset(big, ' ', HF_CONFIG_FILE_BYTES + 1);
    assert_int_equal(hf_config_load_yaml(c, hf_str_of(big), "big", &e), HF_E_CONFIG);
    CHECK_HAS(e.detail, "at most 1048576 are read");
    free(big);
    hf_config_free(c);
}

/* ---- files ------------------------------------------------------------------------------------- */
static void a_file_is_read_and_a_missing_one_is_named(void **state) {
    (void)state;
    hf_config *c = fresh();
    hf_err e = {0};
    assert_int_equal(hf_config_load_file(c, "/nonexistent/hf.yaml", &e), HF_E_NOT_FOUND);
    CHECK_HAS(e.detail, "/nonexistent/hf.yaml");
    assert_int_not_equal(hf_config_load_file(c, "/", &e), HF_OK);
    char path[] = "/tmp/hf-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "fleet: lab\n", 11) == 11);
    close(fd);
    CHECK_OK(hf_config_load_file(c, path, err));
    assert_string_equal(hf_config_str(c, HF_C_FLEET), "lab");
    unlink(path);
    hf_config_free(c);
}

/* ---- what is shown ----------------------------------------------------------------------------- */
static void show_tells_sources_and_never_secrets(void **state) {
    (void)state;
    hf_config *c = fresh();
    CHECK_OK(hf_config_load_yaml(
        c,
        HF_STR("fleet: lab\nkafka: {sasl.password: hunter2, ssl.key.pem: hunter2, ssl.ca.location: /ca}\n"
               "schema_registry.url: https://u:hunter2@registry/x@y\n"
               "endpoints:\n  lab: {password: hunter2, password_file: /pw, token: hunter2, n: [1, 1.5, null]}\n"),
        "f.yaml", err));
    CHECK_OK(hf_config_set(c, "worker.id=\"a\\n\\\"b\"", err));
    CHECK_OK(
        hf_config_load_yaml(c,
                            HF_STR("webhooks:\n- {url: \"https://me:hunter2@hook.example:8443/hunter2?k=hunter2\", "
                                   "headers: {X-Api-Key: hunter2}, secret: hunter2, events: [job.failed]}\n"),
                            "w.yaml", err));
    hf_auto_free char *text = hf_config_show(c);
    CHECK_HAS_NOT(text, "hunter2");
    CHECK_HAS(text, "fleet: \"lab\"  # f.yaml:1\n");
    CHECK_HAS(text, "kafka.sasl.password: \"***\"  # f.yaml:2\n");
    CHECK_HAS(text, "kafka.ssl.ca.location: \"/ca\"");
    CHECK_HAS(text, "schema_registry.url: \"https://***@registry/x@y\"");
    CHECK_HAS(text, "\"password_file\": \"/pw\"");
    CHECK_HAS(text, "\"https://hook.example:8443/***\", \"headers\": {\"X-Api-Key\": \"***\"}");
    CHECK_HAS(text, "worker.lease: 30s  # default\n");
    CHECK_HAS(text, "  # --set\n");
    /* What is shown can be loaded again and gives the same. */
    hf_config *again = fresh();
    CHECK_OK(hf_config_load_yaml(again, hf_str_of(text), "shown", err));
    assert_string_equal(hf_config_str(again, HF_C_WORKER_ID), "a\n\"b");
    assert_int_equal(hf_config_int(again, HF_C_WORKER_LEASE), 30000);
    hf_config_free(again);
    hf_config_free(c);
}

static void the_reference_names_every_key(void **state) {
    (void)state;
    hf_auto_free char *text = hf_config_reference();
    assert_non_null(text);
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        CHECK_HAS(text, hf_config_rows[i].key);
        CHECK_HAS(text, hf_config_rows[i].doc);
    }
    CHECK_HAS(text, "| `log.format` | one of | `logfmt` | `logfmt`, `json` |");
}

/* ---- faults ------------------------------------------------------------------------------------ */

static hf_code load_everything(hf_err *reterr) {
    char *env[] = {"HF_WORKER_SLOTS=4", "HF_WORKER_ROOTS=[/a, /b]", "HF_KAFKA_DEBUG=all", NULL};
    hf_config *c = hf_config_new();
    if (!c)
        return hf_fail(reterr, HF_E_NO_MEMORY, "defaults");
    hf_code code = hf_config_load_yaml(
        c, HF_STR("fleet: lab\nkafka: {a.b: c}\nendpoints:\n  lab: {url: x, list: [1, 2.5, yes, {a: b}]}\n"), "t",
        reterr);
    if (!code)
        code = hf_config_load_env(c, env, reterr);
    if (!code)
        code = hf_config_set(c, "worker={id: x, operations: {a: {command: [b, c]}}}", reterr);
    if (!code) {
        hf_auto_free char *shown = hf_config_show(c), *reference = hf_config_reference();
        if (!shown || !reference)
            code = hf_fail(reterr, HF_E_NO_MEMORY, "show");
    }
    hf_config_free(c);
    return code;
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    json_set_alloc_funcs(hf_alloc, free); /* jansson's too */
    uint64_t n = 0;
    hf_code code;
    do {
        hf_err e = {0};
        hf_alloc_fail_after(++n);
        code = load_everything(&e);
        if (code != HF_OK && code != HF_E_NO_MEMORY)
            fail_msg("allocation %u: %s: %s", (unsigned)n, hf_code_name(code), e.detail);
    } while (code != HF_OK && n < 100000);
    hf_alloc_fail_after(0);
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(code, HF_OK);
    assert_true(n > 100); /* it did fail that often before it went through */
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
        cmocka_unit_test(each_mistake_names_its_place_the_key_and_the_remedy),
        cmocka_unit_test(mistakes_in_the_environment_and_on_the_command_line_are_named),
        cmocka_unit_test(booleans_in_the_environment_take_six_spellings),
        cmocka_unit_test(keys_that_do_not_fit_together_are_refused_at_the_end),
        cmocka_unit_test(a_failed_value_leaves_the_old_one),
        cmocka_unit_test(lists_and_files_have_bounds),
        cmocka_unit_test(a_file_is_read_and_a_missing_one_is_named),
        cmocka_unit_test(show_tells_sources_and_never_secrets),
        cmocka_unit_test(the_reference_names_every_key),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
