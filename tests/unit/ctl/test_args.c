/* The command line: what is understood, what is refused and how, and help that always has an example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "producer/ctl/args.h"
#include "schemas/base/mem.h"

enum { ARGC_MAX = 32 };
/* Parses "a b c"; the words live until the next call. */
static hf_code parse(const char *line, hf_args *ret, hf_err *err) {
    static char text[1024];
    static char *argv[ARGC_MAX];
    int argc = 0;
    snprintf(text, sizeof text, "hyperctl %s", line);
    for (char *word = strtok(text, " "); word && argc < ARGC_MAX - 1; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return hf_args_parse(argc, argv, ret, err);
}

static void options_stand_before_between_and_after_arguments(void **state) {
    (void)state;
    static const char *const lines[] = {"-o json watch a b --http h", "watch --output=json a --http h b",
                                        "--http h watch a b -ojson"};
    for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
        hf_args args;
        hf_err err;
        assert_int_equal(parse(lines[i], &args, &err), HF_OK);
        assert_int_equal(args.command->id, HF_CMD_WATCH);
        assert_string_equal(hf_args_get(&args, HF_OPT_OUTPUT), "json");
        assert_string_equal(hf_args_get(&args, HF_OPT_HTTP), "h");
        assert_int_equal(args.rest_count, 2);
        assert_string_equal(args.rest[0], "a");
        assert_string_equal(args.rest[1], "b");
        hf_args_done(&args);
    }
}

static void a_repeated_option_gives_all_and_the_last_counts(void **state) {
    (void)state;
    hf_args args;
    hf_err err;
    size_t cursor = 0;
    assert_int_equal(parse("submit x --tag one --tag two --name a --name b", &args, &err), HF_OK);
    assert_string_equal(hf_args_next(&args, HF_OPT_TAG, &cursor), "one");
    assert_string_equal(hf_args_next(&args, HF_OPT_TAG, &cursor), "two");
    assert_null(hf_args_next(&args, HF_OPT_TAG, &cursor));
    assert_string_equal(hf_args_get(&args, HF_OPT_NAME), "b");
    hf_args_done(&args);
}

static void a_dash_is_an_argument_and_two_end_the_options(void **state) {
    (void)state;
    hf_args args;
    hf_err err;
    assert_int_equal(parse("submit -", &args, &err), HF_OK);
    assert_string_equal(args.rest[0], "-");
    hf_args_done(&args);
    assert_int_equal(parse("submit -- --odd-name", &args, &err), HF_OK);
    assert_string_equal(args.rest[0], "--odd-name");
    hf_args_done(&args);
}

static void what_belongs_to_a_sibling_is_handed_on_untouched(void **state) {
    (void)state;
    hf_args args;
    hf_err err;
    assert_int_equal(parse("ova validate file.ova --strange -x", &args, &err), HF_OK);
    assert_int_equal(args.rest_count, 4);
    assert_string_equal(args.rest[2], "--strange");
    hf_args_done(&args);
}

static void mistakes_are_usage_errors_that_name_the_thing(void **state) {
    (void)state;
    static const struct {
        const char *line, *named;
    } mistakes[] = {{"lst", "'list'"},        {"frobnicate", "'frobnicate'"},      {"show", "ID"},
                    {"show a b", "'b'"},      {"list --nonsense", "--nonsense"},   {"list --limit", "--limit"},
                    {"list -z", "-z"},        {"list --priority 1", "--priority"}, {"list extra", "'extra'"},
                    {"--wait list", "--wait"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(mistakes); i++) {
        hf_args args;
        hf_err err = {0};
        assert_int_equal(parse(mistakes[i].line, &args, &err), HF_E_USAGE);
        if (!strstr(err.detail, mistakes[i].named))
            fail_msg("'%s': \"%s\" does not name %s", mistakes[i].line, err.detail, mistakes[i].named);
    }
    assert_int_equal(hf_code_exit_status(HF_E_USAGE), 64);
}

static void numbers_are_checked_against_their_range(void **state) {
    (void)state;
    static const char *const bad[] = {"list --limit 0", "list --limit 11", "list --limit 3x",
                                      "list --limit=", "list --limit 99999999999999999999"};
    hf_args args;
    hf_err err;
    long value;
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(bad[i], &args, &err), HF_OK);
        assert_int_equal(hf_args_int(&args, HF_OPT_LIMIT, 1, 10, 5, &value, &err), HF_E_USAGE);
        assert_non_null(strstr(err.detail, "from 1 to 10"));
        hf_args_done(&args);
    }
    assert_int_equal(parse("list --limit 10", &args, &err), HF_OK);
    assert_int_equal(hf_args_int(&args, HF_OPT_LIMIT, 1, 10, 5, &value, &err), HF_OK);
    assert_int_equal(value, 10);
    hf_args_done(&args);
}

static void a_short_memory_is_survived(void **state) {
    (void)state;
    hf_args args;
    hf_err err;
    hf_alloc_fail_after(1);
    assert_int_equal(parse("list --limit 3", &args, &err), HF_E_NO_MEMORY);
    hf_alloc_fail_after(0);
}

static char *help_of(const hf_command *command) {
    static char *text; /* open_memstream keeps the address: gcc must not think it dangles */
    size_t size = 0;
    text = NULL;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (command)
        hf_help_command(out, command);
    else
        hf_help_all(out);
    fclose(out);
    return text;
}

static void help_of_every_command_has_an_example_and_its_options(void **state) {
    (void)state;
    hf_auto_free char *all = help_of(NULL);
    for (int i = 0; i < HF_CMD_COUNT; i++) {
        const hf_command *command = hf_command_at((hf_command_id)i);
        hf_auto_free char *help = help_of(command);
        char example[64];
        snprintf(example, sizeof example, "hyperctl %s", command->name);
        char *examples = strstr(help, "\nExamples:\n");
        assert_non_null(examples);
        assert_non_null(strstr(examples, example));
        assert_non_null(strstr(all, command->summary));
        for (int o = 0; o < HF_OPT_COUNT; o++) {
            char name[64];
            snprintf(name, sizeof name, "--%s", hf_option_name((hf_option_id)o));
            if (hf_command_takes(command, (hf_option_id)o))
                assert_non_null(strstr(help, name));
        }
    }
}

/* Each example of the help is a command line that is understood (its pipes and $(…) apart). */
static void examples_are_understood(void **state) {
    (void)state;
    for (int i = 0; i < HF_CMD_COUNT; i++) {
        const hf_command *command = hf_command_at((hf_command_id)i);
        hf_auto_free char *copy = hf_strndup(command->examples, strlen(command->examples));
        char *rest = NULL;
        for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            char *at = strstr(line, "hyperctl ");
            assert_non_null(at);
            if (strchr(line, '$') || strchr(line, '\''))
                continue;
            hf_args args;
            hf_err err = {0};
            if (parse(at + strlen("hyperctl "), &args, &err))
                fail_msg("%s: %s", line, err.detail);
            assert_int_equal(args.command->id, command->id);
            hf_args_done(&args);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_before_between_and_after_arguments),
        cmocka_unit_test(a_repeated_option_gives_all_and_the_last_counts),
        cmocka_unit_test(a_dash_is_an_argument_and_two_end_the_options),
        cmocka_unit_test(what_belongs_to_a_sibling_is_handed_on_untouched),
        cmocka_unit_test(mistakes_are_usage_errors_that_name_the_thing),
        cmocka_unit_test(numbers_are_checked_against_their_range),
        cmocka_unit_test(a_short_memory_is_survived),
        cmocka_unit_test(help_of_every_command_has_an_example_and_its_options),
        cmocka_unit_test(examples_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
