#include "check.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>

#include "schemas/base/log.h"
#include "schemas/base/mem.h"

static FILE *sink;
static char text[1 << 20];

static const char *logged(void) {
    rewind(sink);
    size_t n = fread(text, 1, sizeof text - 1, sink);
    text[n] = 0;
    assert_int_equal(ftruncate(fileno(sink), 0), 0);
    rewind(sink);
    return text;
}

static void set_up(hf_log_format format) { hf_log_setup("tester", HF_LOG_DEBUG, format, fileno(sink)); }

static json_t *logged_json(void) {
    json_error_t error;
    const char *line = logged();
    json_t *value = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        fail_msg("%s: %s", error.text, line);
    assert_int_equal(strcspn(line, "\n"), strlen(line) - 1); /* one line */
    return value;
}

static void logfmt_quotes_what_needs_it(void **state) {
    (void)state;
    set_up(HF_LOG_LOGFMT);
    HF_LOG(INFO, "job-started", {"job", HF_V_Z("a-1")}, {"attempt", HF_V_INT(-2)}, {"ratio", HF_V_NUM(0.5)},
           {"ok", HF_V_BOOL(3)}, {"name", HF_V_Z("a b")}, {"q", HF_V_Z("x\"y\\z")}, {"empty", HF_V_Z("")},
           {"none", HF_V_Z(NULL)}, {"lines", HF_V_Z("a\nb\tc\x01")}, {"eq", HF_V_Z("a=b")});
    const char *line = logged();
    assert_memory_equal(line, "ts=20", 5);
    CHECK_HAS(line, " level=info program=tester event=job-started job=a-1 attempt=-2 ratio=0.5 ok=true name=\"a b\" "
                    "q=\"x\\\"y\\\\z\" empty=\"\" none=\"\" lines=\"a\\nb\\tc\\u0001\" eq=\"a=b\"\n");
    HF_LOG(WARN, "bare");
    CHECK_HAS(logged(), "level=warn program=tester event=bare\n");
}

static void json_parses_and_keeps_values(void **state) {
    (void)state;
    set_up(HF_LOG_JSON);
    HF_LOG(ERROR, "x", {"s", HF_V_Z("a\"b\\c\nd\x02é")}, {"i", HF_V_INT(INT64_MIN)}, {"n", HF_V_NUM(1e300)},
           {"inf", HF_V_NUM(1e308 * 10)}, {"b", HF_V_BOOL(false)}, {"bad", HF_V_STR(HF_STR("\xff\xc3(\xed\xa0\x80"))},
           {"nul", HF_V_STR(((hf_str){"a\0b", 3}))});
    json_t *line = logged_json();
    assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(line, "s")), "a\"b\\c\nd\x02é");
    assert_true(json_integer_value(json_object_get(line, "i")) == INT64_MIN);
    assert_true(json_is_null(json_object_get(line, "inf")));
    assert_true(json_is_false(json_object_get(line, "b")));
    CHECK_HAS(json_string_value(json_object_get(line, "bad")), "\xef\xbf\xbd(");
    json_decref(line);
}

static void secrets_are_never_written(void **state) {
    (void)state;
    for (int format = 0; format < 2; format++) {
        set_up((hf_log_format)format);
        HF_LOG(INFO, "x", {"password", HF_V_Z("hunter2")}, {"sasl.Password", HF_V_Z("hunter2")},
               {"client_secret", HF_V_Z("hunter2")}, {"api_token", HF_V_Z("hunter2")},
               {"Authorization", HF_V_Z("hunter2")}, {"set-cookie", HF_V_Z("hunter2")}, {"pin_token", HF_V_INT(4711)},
               {"user", HF_V_Z("root")});
        const char *line = logged();
        CHECK_HAS_NOT(line, "hunter2");
        CHECK_HAS_NOT(line, "4711");
        CHECK_HAS(line, "***");
        CHECK_HAS(line, "root");
    }
}

static void a_line_is_bounded_and_still_parses(void **state) {
    (void)state;
    /* Every length around the bound, so that a cut falls on each place of an escape or a character. */
    for (size_t len = HF_LOG_LINE_BYTES - 240; len < HF_LOG_LINE_BYTES + 20; len += 2) {
        for (int kind = 0; kind < 3; kind++) {
            char *value = calloc(1, len + 2);
            size_t odd = kind == 2 ? 0 : (len / 2) % 2; /* whole characters only */
            len += odd;
            for (size_t i = 0; i < len; i++)
                value[i] = kind == 0 ? 'x' : kind == 1 ? '\x01' : "é"[i % 2];
            set_up(HF_LOG_JSON);
            HF_LOG(INFO, "x", {"v", HF_V_Z(value)}, {"after", HF_V_INT(1)});
            json_t *line = logged_json();
            bool cut = json_is_true(json_object_get(line, "cut"));
            const char *v = json_string_value(json_object_get(line, "v"));
            size_t kept = strlen(v);
            assert_true(strlen(text) <= HF_LOG_LINE_BYTES);
            assert_int_equal(cut, kept != len || !json_object_get(line, "after"));
            if (cut && json_object_get(line, "after") == NULL && kept != len)
                assert_string_equal(v + kept - 3, "…");
            json_decref(line);
            set_up(HF_LOG_LOGFMT);
            HF_LOG(INFO, "x", {"v", HF_V_Z(value)}, {"after", HF_V_INT(1)});
            const char *plain = logged();
            assert_true(strlen(plain) <= HF_LOG_LINE_BYTES);
            assert_int_equal(plain[strlen(plain) - 1], '\n');
            free(value);
            len -= odd;
        }
    }
}

static void many_pairs_are_cut_between_pairs(void **state) {
    (void)state;
    hf_log_pair pairs[500];
    for (int i = 0; i < 500; i++)
        pairs[i] = (hf_log_pair){"some_key_or_other", HF_V_INT(i)};
    set_up(HF_LOG_LOGFMT);
    hf_log_pairs(HF_LOG_INFO, "x", pairs, 500);
    const char *line = logged();
    assert_true(strlen(line) <= HF_LOG_LINE_BYTES);
    assert_string_equal(line + strlen(line) - 10, " cut=true\n");
}

static void levels_are_read_and_kept(void **state) {
    (void)state;
    hf_log_level level;
    assert_true(hf_log_level_parse(HF_STR("warn"), &level) && level == HF_LOG_WARN);
    assert_false(hf_log_level_parse(HF_STR("WARN"), &level));
    assert_false(hf_log_level_parse(HF_STR(""), &level));
    hf_log_setup("tester", HF_LOG_WARN, HF_LOG_LOGFMT, fileno(sink));
    HF_LOG(INFO, "quiet");
    assert_string_equal(logged(), "");
    hf_err err;
    hf_fail(&err, HF_E_NO_SPACE, "disk of %s", "x");
    HF_LOG_ERR(ERROR, "write-failed", &err, {"job", HF_V_Z("j")});
    CHECK_HAS(logged(), "event=write-failed error=no-space detail=\"disk of x\" job=j\n");
}

static void *log_many(void *arg) {
    for (int i = 0; i < 500; i++)
        HF_LOG(INFO, "x", {"who", HF_V_INT((intptr_t)arg)}, {"v", HF_V_Z("a b c")});
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    char path[] = "/tmp/hf-log-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    assert_true(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0);
    hf_log_setup("tester", HF_LOG_INFO, HF_LOG_JSON, fd);
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, (void *)i), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    FILE *f = fdopen(fd, "r");
    rewind(f);
    char line[HF_LOG_LINE_BYTES + 1];
    int count = 0;
    for (; fgets(line, sizeof line, f); count++) {
        json_t *value = json_loads(line, 0, NULL);
        assert_non_null(value);
        json_decref(value);
    }
    fclose(f);
    assert_int_equal(count, 2000);
}

int main(void) {
    sink = tmpfile();
    if (!sink)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_what_needs_it),      cmocka_unit_test(json_parses_and_keeps_values),
        cmocka_unit_test(secrets_are_never_written),        cmocka_unit_test(a_line_is_bounded_and_still_parses),
        cmocka_unit_test(many_pairs_are_cut_between_pairs), cmocka_unit_test(levels_are_read_and_kept),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fclose(sink);
    return failed;
}
