/* Targets of controls: their keys there and back, the older forms, what a tombstone can have meant, which action is for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "schemas/job/control.h"

static bool is_named(int32_t scope) {
    return scope == HF_SCOPE_OPERATION || scope == HF_SCOPE_PROVIDER || scope == HF_SCOPE_WORKER;
}

static void every_target_has_a_key_that_names_it_alone(void **state) {
    (void)state;
    char keys[HF_CONTROL_SCOPES][HF_CONTROL_KEY_BYTES];
    for (int32_t scope = 0; scope < HF_CONTROL_SCOPES; scope++) {
        assert_true(hf_control_key(scope, HF_STR("intake"), keys[scope])); /* a name that is also a word */
        for (int32_t other = 0; other < scope; other++)
            assert_string_not_equal(keys[scope], keys[other]);
        /* The key says it, whatever scope the record itself names: an absent field is the first one. */
        hf_control c = {.scope = is_named(scope) ? HF_SCOPE_FLEET + 1 : scope};
        int32_t found = -1;
        hf_str name;
        assert_true(hf_control_target(hf_str_of(keys[scope]), &c, &found, &name));
        assert_int_equal(found, scope);
        assert_true(hf_str_eqz(name, is_named(scope) ? "intake" : ""));
    }
    assert_string_equal(keys[HF_SCOPE_FLEET], "fleet");
    assert_string_equal(keys[HF_SCOPE_INTAKE], "intake");
    assert_string_equal(keys[HF_SCOPE_OPERATION], "operation/intake");
    assert_string_equal(keys[HF_SCOPE_PROVIDER], "provider/intake");
    assert_string_equal(keys[HF_SCOPE_WORKER], "worker/intake");
}

static void what_is_no_target_has_no_key(void **state) {
    (void)state;
    char key[HF_CONTROL_KEY_BYTES];
    static const char *const bad[] = {"", "a/b", "worker/w1", "two words", ".", "-x"};
    for (int32_t scope = 0; scope < HF_CONTROL_SCOPES; scope++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            assert_int_equal(hf_control_key(scope, hf_str_of(bad[i]), key), !is_named(scope));
    assert_false(hf_control_key(-1, HF_STR("a"), key));
    assert_false(hf_control_key(HF_CONTROL_SCOPES, HF_STR("a"), key));
}

static void the_longest_name_fits_its_key(void **state) {
    (void)state;
    char name[HF_ID_MAX_BYTES + 2], key[HF_CONTROL_KEY_BYTES];
    uint32_t len = 1;
    memset(name, 'n', sizeof name);
    while (len < sizeof name && hf_id_valid((hf_str){name, len + 1}))
        len++;
    assert_in_range(len, 16, HF_ID_MAX_BYTES);
    assert_true(hf_control_key(HF_SCOPE_OPERATION, (hf_str){name, len}, key));
    assert_int_equal(strlen(key), len + strlen("operation/"));
    assert_false(hf_control_key(HF_SCOPE_OPERATION, (hf_str){name, len + 1}, key));
}

static void older_records_keep_their_meaning(void **state) {
    (void)state;
    static const struct {
        const char *key;
        int32_t scope;
        bool known;
        int32_t wanted;
        const char *name;
    } rows[] = {
        {"export", HF_SCOPE_OPERATION, true, HF_SCOPE_OPERATION, "export"}, /* a bare name beside its scope */
        {"w1", HF_SCOPE_WORKER, true, HF_SCOPE_WORKER, "w1"},
        {"", HF_SCOPE_FLEET, true, HF_SCOPE_FLEET, ""},
        {"fleet", HF_SCOPE_FLEET, true, HF_SCOPE_FLEET, ""},
        {"worker/w1", HF_SCOPE_OPERATION, true, HF_SCOPE_WORKER, "w1"}, /* the key decides */
        {"operation/", HF_SCOPE_OPERATION, false, 0, NULL},             /* no name behind the slash */
        {"operation/a/b", HF_SCOPE_OPERATION, false, 0, NULL},
        {"operations/a", HF_SCOPE_OPERATION, false, 0, NULL},
        {"", HF_SCOPE_WORKER, false, 0, NULL},
        {"moon", HF_CONTROL_SCOPES, false, 0, NULL}, /* a scope of a later version */
        {"moon", -1, false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hf_control c = {.scope = rows[i].scope};
        int32_t scope = -1;
        hf_str name;
        assert_int_equal(hf_control_target(hf_str_of(rows[i].key), &c, &scope, &name), rows[i].known);
        if (!rows[i].known)
            continue;
        assert_int_equal(scope, rows[i].wanted);
        assert_true(hf_str_eqz(name, rows[i].name));
    }
}

static void a_tombstone_lifts_whatever_its_key_can_have_meant(void **state) {
    (void)state;
    static const struct {
        const char *key;
        unsigned scopes;
        const char *name;
    } rows[] = {
        {"intake", 1u << HF_SCOPE_INTAKE, ""},
        {"fleet", 1u << HF_SCOPE_FLEET | 1u << HF_SCOPE_OPERATION | 1u << HF_SCOPE_WORKER, "fleet"},
        {"w1", 1u << HF_SCOPE_OPERATION | 1u << HF_SCOPE_WORKER, "w1"},
        {"provider/vsphere", 1u << HF_SCOPE_PROVIDER, "vsphere"},
        {"worker/w1", 1u << HF_SCOPE_WORKER, "w1"},
        {"operation/export", 1u << HF_SCOPE_OPERATION, "export"},
        {"operation/", 0, ""},
        {"two words", 0, ""},
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hf_str name;
        assert_int_equal(hf_control_scopes_of(hf_str_of(rows[i].key), &name), rows[i].scopes);
        if (rows[i].scopes)
            assert_true(hf_str_eqz(name, rows[i].name));
    }
}

static void pause_is_for_all_but_workers_and_resume_for_everything(void **state) {
    (void)state;
    for (int32_t scope = 0; scope < HF_CONTROL_SCOPES; scope++) {
        bool worker = scope == HF_SCOPE_WORKER;
        assert_true(hf_control_applies(scope, HF_CONTROL_RESUME));
        assert_int_equal(hf_control_applies(scope, HF_CONTROL_PAUSE), !worker);
        assert_int_equal(hf_control_applies(scope, HF_CONTROL_QUIET), worker);
        assert_int_equal(hf_control_applies(scope, HF_CONTROL_DRAIN), worker);
        assert_int_equal(hf_control_applies(scope, HF_CONTROL_STOP), worker);
    }
}

/* Records of all versions are on the log: a symbol keeps its number, and nothing said means resume. */
static void names_and_numbers_stay(void **state) {
    (void)state;
    static const char *const scopes[] = {"fleet", "operation", "worker", "provider", "intake"}, *const actions[] = {
                                                                                                    "resume", "pause",
                                                                                                    "quiet", "stop",
                                                                                                    "drain"};
    for (int32_t i = 0; i < 5; i++) {
        assert_string_equal(hf_control_scope_name(i), scopes[i]);
        assert_string_equal(hf_control_action_name(i), actions[i]);
    }
    assert_null(hf_control_scope_name(HF_CONTROL_SCOPES));
    assert_null(hf_control_scope_name(-1));
    assert_null(hf_control_action_name(HF_CONTROL_ACTIONS));
    assert_null(hf_control_action_name(-1));
    assert_int_equal((hf_control){0}.action, HF_CONTROL_RESUME);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_has_a_key_that_names_it_alone),
        cmocka_unit_test(what_is_no_target_has_no_key),
        cmocka_unit_test(the_longest_name_fits_its_key),
        cmocka_unit_test(older_records_keep_their_meaning),
        cmocka_unit_test(a_tombstone_lifts_whatever_its_key_can_have_meant),
        cmocka_unit_test(pause_is_for_all_but_workers_and_resume_for_everything),
        cmocka_unit_test(names_and_numbers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
