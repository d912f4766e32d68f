#include "producer/ctl/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "producer/ctl/ctl.h"
#include "schemas/base/mem.h"

#define C(id) (1u << HF_CMD_##id)
#define EVERYWHERE 0xffffffffu
_Static_assert(HF_CMD_COUNT < 32, "a bit for each command");

static const hf_command commands[] = {
#define HF_COMMAND(id_, name_, arguments_, least_, most_, run_, summary_, more_, examples_)                            \
    {HF_CMD_##id_, name_, arguments_, least_, most_, run_, summary_, more_, examples_},
#include "producer/ctl/commands.def"
#undef HF_COMMAND
};

typedef struct {
    const char *name, *argument, *text;
    unsigned commands;
    char letter;
} option_row;
static const option_row options[] = {
#define HF_OPTION(id_, name_, letter_, argument_, commands_, text_) {name_, argument_, text_, commands_, letter_},
#include "producer/ctl/options.def"
#undef HF_OPTION
};

const hf_command *hf_command_at(hf_command_id id) { return &commands[id]; }
const char *hf_option_name(hf_option_id option) { return options[option].name; }

const hf_command *hf_command_find(const char *name) {
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

bool hf_command_takes(const hf_command *command, hf_option_id option) {
    return options[option].commands == EVERYWHERE || (command && options[option].commands & 1u << command->id);
}

/* These hand their arguments on to a sibling program, options and all. */
static bool hands_on(const hf_command *command) {
    const unsigned those = C(OVA) | C(CAPABILITIES) | C(ENDPOINT);
    return those & 1u << command->id;
}

/* Edit distance (insert, delete, replace), for "did you mean"; both words are short. */
static int distance(const char *a, const char *b) {
    enum { WORD_MAX = 32 };
    int row[WORD_MAX + 1];
    int len = (int)strlen(b);
    if (len > WORD_MAX || strlen(a) > WORD_MAX)
        return WORD_MAX;
    for (int j = 0; j <= len; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= len; j++) {
            int best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[len];
}

static hf_code unknown_command(const char *name, hf_err *reterr) {
    const char *nearest = NULL;
    int best = 3; /* further away it is another word */
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        if (distance(name, commands[i].name) < best) {
            best = distance(name, commands[i].name);
            nearest = commands[i].name;
        }
    if (nearest)
        return hf_fail(reterr, HF_E_USAGE,
                       "there is no command '%.64s'; did you mean '%s'? (hyperctl --help lists them)", name, nearest);
    return hf_fail(reterr, HF_E_USAGE, "there is no command '%.64s'; hyperctl --help lists them", name);
}

/* The tables in getopt_long's form. val is the option's id + 1000, so that it is no letter. */
enum { LONG_BASE = 1000 };
typedef struct {
    struct option longs[HF_OPT_COUNT + 1];
    char letters[2 + 2 * HF_OPT_COUNT + 1];
} getopt_form;

static void make_form(const hf_command *command, bool stop_early, getopt_form *form) {
    size_t n = 0, at = 0;
    if (stop_early)
        form->letters[at++] = '+';
    form->letters[at++] = ':';
    for (size_t i = 0; i < HF_OPT_COUNT; i++) {
        if (!hf_command_takes(command, (hf_option_id)i))
            continue;
        form->longs[n++] = (struct option){options[i].name, options[i].argument ? required_argument : no_argument, NULL,
                                           LONG_BASE + (int)i};
        if (options[i].letter) {
            form->letters[at++] = options[i].letter;
            if (options[i].argument)
                form->letters[at++] = ':';
        }
    }
    form->longs[n] = (struct option){NULL, 0, NULL, 0};
    form->letters[at] = 0;
}

static int option_of(int c) {
    if (c >= LONG_BASE)
        return c - LONG_BASE;
    for (size_t i = 0; i < HF_OPT_COUNT; i++)
        if (options[i].letter == c)
            return (int)i;
    return -1;
}

static hf_code bad_option(int c, char **argv, const hf_command *command, hf_err *reterr) {
    const char *where = command ? command->name : "";
    if (c == ':')
        return hf_fail(reterr, HF_E_USAGE, "%.64s needs a value; see hyperctl %s --help", argv[optind - 1], where);
    if (optopt && optopt < LONG_BASE)
        return hf_fail(reterr, HF_E_USAGE, "there is no option -%c here; see hyperctl %s --help", optopt, where);
    return hf_fail(reterr, HF_E_USAGE, "there is no option %.64s here, or it takes no value; see hyperctl %s --help",
                   argv[optind - 1], where);
}

/* Reads options from argv[1]; returns the index of the first argument in *ret_next. */
static hf_code read_options(int argc, char **argv, const hf_command *command, bool stop_early, hf_args *args,
                            int *ret_next, hf_err *reterr) {
    getopt_form form;
    make_form(command, stop_early, &form);
    optind = 0; /* glibc: start anew */
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, form.letters, form.longs, NULL)) != -1;) {
        int id = c == '?' || c == ':' ? -1 : option_of(c);
        if (id < 0)
            return bad_option(c, argv, command, reterr);
        if (args->option_count == HF_OPTIONS_MAX)
            return hf_fail(reterr, HF_E_LIMIT, "more than %d options; put the jobs into a file and use -f",
                           HF_OPTIONS_MAX);
        if (args->option_count % 64 == 0) {
            hf_option_given *more = hf_realloc(args->options, (args->option_count + 64) * sizeof *more);
            if (!more)
                return hf_fail(reterr, HF_E_NO_MEMORY, "options");
            args->options = more;
        }
        args->options[args->option_count++] = (hf_option_given){(hf_option_id)id, optarg ? optarg : ""};
    }
    *ret_next = optind;
    return HF_OK;
}

static hf_code check_counts(const hf_args *args, hf_err *reterr) {
    const hf_command *c = args->command;
    if (hf_args_get(args, HF_OPT_HELP))
        return HF_OK;
    if (args->rest_count < c->least)
        return hf_fail(reterr, HF_E_USAGE, "%s needs %s; see hyperctl %s --help", c->name, c->arguments, c->name);
    if (c->most >= 0 && args->rest_count > c->most)
        return hf_fail(reterr, HF_E_USAGE, "'%.64s' is one argument too many for %s; see hyperctl %s --help",
                       args->rest[c->most], c->name, c->name);
    return HF_OK;
}

hf_code hf_args_parse(int argc, char **argv, hf_args *ret, hf_err *reterr) {
    hf_args args = {0};
    int next = 1;
    hf_code code = read_options(argc, argv, NULL, true, &args, &next, reterr);
    if (!code && next < argc) {
        args.command = hf_command_find(argv[next]);
        code = args.command ? HF_OK : unknown_command(argv[next], reterr);
    }
    if (!code && args.command) {
        char **from = argv + next; /* from[0] is the command's name, where getopt expects a program's */
        int count = argc - next, after = 1;
        code = read_options(count, from, args.command, hands_on(args.command), &args, &after, reterr);
        args.rest = from + after;
        args.rest_count = count - after;
        if (!code)
            code = check_counts(&args, reterr);
    }
    if (code) {
        hf_args_done(&args);
        return code;
    }
    *ret = args;
    return HF_OK;
}

void hf_args_done(hf_args *args) {
    free(args->options);
    *args = (hf_args){0};
}

const char *hf_args_get(const hf_args *args, hf_option_id option) {
    for (size_t i = args->option_count; i-- > 0;)
        if (args->options[i].id == option)
            return args->options[i].value;
    return NULL;
}

const char *hf_args_next(const hf_args *args, hf_option_id option, size_t *cursor) {
    while (*cursor < args->option_count) {
        const hf_option_given *given = &args->options[(*cursor)++];
        if (given->id == option)
            return given->value;
    }
    return NULL;
}

hf_code hf_args_int(const hf_args *args, hf_option_id option, long min, long max, long otherwise, long *ret,
                    hf_err *reterr) {
    const char *text = hf_args_get(args, option);
    if (!text) {
        *ret = otherwise;
        return HF_OK;
    }
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return hf_fail(reterr, HF_E_USAGE, "--%s '%.32s': give a whole number from %ld to %ld", options[option].name,
                       text, min, max);
    *ret = value;
    return HF_OK;
}

/* ---- help --------------------------------------------------------------------------------------- */
static void print_option(FILE *out, const option_row *o) {
    char left[64];
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    fprintf(out, "  %-28s %s\n", left, o->text);
}

static void print_options(FILE *out, unsigned mask, bool everywhere) {
    for (size_t i = 0; i < HF_OPT_COUNT; i++)
        if (everywhere ? options[i].commands == EVERYWHERE
                       : options[i].commands != EVERYWHERE && options[i].commands & mask)
            print_option(out, &options[i]);
}

static void print_indented(FILE *out, const char *text) {
    while (*text) {
        int len = (int)strcspn(text, "\n");
        fprintf(out, "  %.*s\n", len, text);
        text += len + (text[len] == '\n');
    }
}

void hf_help_command(FILE *out, const hf_command *command) {
    fprintf(out, "Usage: hyperctl %s [OPTIONS]%s%s\n\n%s.\n", command->name, *command->arguments ? " " : "",
            command->arguments, command->summary);
    if (*command->more)
        fprintf(out, "%s\n", command->more);
    unsigned mask = 1u << command->id;
    bool own = false;
    for (size_t i = 0; i < HF_OPT_COUNT; i++)
        own |= options[i].commands != EVERYWHERE && options[i].commands & mask;
    if (own) {
        fprintf(out, "\nOptions:\n");
        print_options(out, mask, false);
    }
    fprintf(out, "\nCommon options:\n");
    print_options(out, 0, true);
    fprintf(out, "\nExamples:\n");
    print_indented(out, command->examples);
}

void hf_help_all(FILE *out) {
    fprintf(out,
            "Usage: hyperctl COMMAND [OPTIONS] [ARGUMENTS]\n\n"
            "Hyperfleet's command line: submits jobs that export virtual machines and follows them.\n\nCommands:\n");
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nCommon options:\n");
    print_options(out, 0, true);
    fprintf(out,
            "\nExit status: 0 done; 64 usage; 65 refused; 66 not found; 69 unreachable or not built; 70 internal;\n"
            "75 try again; 77 permission; 78 configuration. `hyperctl COMMAND --help` has examples.\n");
}
