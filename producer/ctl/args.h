/* The command line of hyperctl, as two tables say it (commands.def, options.def): parsing and help.
 * Pure but for the text that help prints. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

#include "schemas/base/err.h"

typedef enum hf_command_id {
#define HF_COMMAND(id, ...) HF_CMD_##id,
#include "producer/ctl/commands.def"
#undef HF_COMMAND
    HF_CMD_COUNT
} hf_command_id;

typedef enum hf_option_id {
#define HF_OPTION(id, ...) HF_OPT_##id,
#include "producer/ctl/options.def"
#undef HF_OPTION
    HF_OPT_COUNT
} hf_option_id;

enum { HF_OPTIONS_MAX = 4096 }; /* given on one command line */

struct hf_ctl;
typedef hf_code (*hf_command_fn)(struct hf_ctl *ctl, hf_err *reterr);
typedef struct hf_command {
    hf_command_id id;
    const char *name, *arguments;
    int least, most; /* arguments; most -1: any number */
    hf_command_fn run;
    const char *summary, *more, *examples;
} hf_command;

typedef struct hf_option_given {
    hf_option_id id;
    const char *value;
} hf_option_given;
typedef struct hf_args {
    const hf_command *command; /* NULL: none was named */
    hf_option_given *options;
    size_t option_count;
    char **rest; /* arguments after the options; points into argv */
    int rest_count;
} hf_args;

const hf_command *hf_command_find(const char *name);
const hf_command *hf_command_at(hf_command_id id);
/* Does this command take that option? */
bool hf_command_takes(const hf_command *command, hf_option_id option);
const char *hf_option_name(hf_option_id option);

/* argv is reordered: options first. USAGE names what was not understood, and what is nearest to it. */
hf_code hf_args_parse(int argc, char **argv, hf_args *ret, hf_err *reterr);
void hf_args_done(hf_args *args);
/* The last value given; NULL when the option was not given ("" for one without argument). */
const char *hf_args_get(const hf_args *args, hf_option_id option);
/* The next value of a repeated option; *cursor starts at 0. NULL at the end. */
const char *hf_args_next(const hf_args *args, hf_option_id option, size_t *cursor);
/* A whole number in [min, max], `otherwise` when not given. USAGE names option, value and range. */
hf_code hf_args_int(const hf_args *args, hf_option_id option, long min, long max, long otherwise, long *ret,
                    hf_err *reterr);

void hf_help_all(FILE *out);
void hf_help_command(FILE *out, const hf_command *command);
