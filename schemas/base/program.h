/* What every program's main() does in the same way: the common options, configuration from its four sources, log
 * lines, signals, and how an error ends the process.
 *
 *   --config FILE, --set key=value (any number), --help, --version, and the program's own options. Options may stand before or
 *   after operands. */
#pragma once
#include <signal.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"

typedef struct hf_program_option {
    const char *name;       /* "id" for --id */
    const char **ret_value; /* takes a value, put here; NULL: takes none */
    bool *ret_flag;         /* set to true when given */
} hf_program_option;

typedef struct hf_program {
    const char *name, *help;          /* "hyperdispatch", the text of --help */
    const hf_program_option *options; /* NULL-named last; may be NULL */
    hf_config *config;                /* set by hf_program_start */
    char **operands;                  /* what is left of argv */
    int operand_count;
} hf_program;

/* Reads argv and the configuration and sets up logging. True: go on. False: *ret_exit is what main returns (help and version
 * were printed; an error was reported). */
bool hf_program_start(hf_program *program, int argc, char **argv, int *ret_exit);
/* Set by SIGTERM and SIGINT from hf_program_start on (1, then 2 for the second signal); SIGPIPE is ignored. */
extern volatile sig_atomic_t hf_program_stop;
/* Says on stderr what happened and returns the exit status for it. */
int hf_program_fail(const hf_program *program, const hf_err *err);
void hf_program_done(hf_program *program);
