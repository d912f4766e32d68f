#include "schemas/base/program.h"

#include <getopt.h>
#include <stdio.h>

#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum { SETS_MAX = 256, OPTIONS_MAX = 32, OWN = 1000 };

extern char **environ;
volatile sig_atomic_t hf_program_stop;

static void on_signal(int sig) {
    (void)sig;
    if (hf_program_stop < 2)
        hf_program_stop++;
}

int hf_program_fail(const hf_program *program, const hf_err *err) {
    fprintf(stderr, "%s: %s (%s)\n", program->name, err->detail, hf_code_name(err->code));
    return hf_code_exit_status(err->code);
}

void hf_program_done(hf_program *program) {
    hf_config_free(program->config);
    program->config = NULL;
}

static int fill_options(const hf_program *program, struct option *to) {
    int n = 0;
    to[n++] = (struct option){"config", required_argument, NULL, 'c'};
    to[n++] = (struct option){"set", required_argument, NULL, 's'};
    to[n++] = (struct option){"help", no_argument, NULL, 'h'};
    to[n++] = (struct option){"version", no_argument, NULL, 'v'};
    for (int i = 0; program->options && program->options[i].name && n < OPTIONS_MAX; i++)
        to[n++] = (struct option){program->options[i].name,
                                  program->options[i].ret_value ? required_argument : no_argument, NULL, OWN + i};
    to[n] = (struct option){0};
    return n;
}

static void take_own(const hf_program_option *option) {
    if (option->ret_value)
        *option->ret_value = optarg;
    if (option->ret_flag)
        *option->ret_flag = true;
}

static hf_code read_arguments(hf_program *program, int argc, char **argv, bool *ret_done, hf_err *reterr) {
    struct option options[OPTIONS_MAX + 1];
    const char *sets[SETS_MAX];
    size_t set_count = 0;
    hf_code code = HF_OK;
    fill_options(program, options);
    for (int c; code == HF_OK && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'h' || c == 'v') {
            if (c == 'h')
                fputs(program->help, stdout);
            else
                printf("%s %s\n", program->name, HF_VERSION);
            *ret_done = true;
            return HF_OK;
        }
        if (c == 'c')
            code = hf_config_load_file(program->config, optarg, reterr);
        else if (c == 's' && set_count == SETS_MAX)
            code = hf_fail(reterr, HF_E_USAGE, "more than %d --set; put them into a file and give --config", SETS_MAX);
        else if (c == 's')
            sets[set_count++] = optarg;
        else if (c >= OWN)
            take_own(&program->options[c - OWN]);
        else
            return hf_fail(reterr, HF_E_USAGE, "see %s --help", program->name);
    }
    if (code == HF_OK)
        code = hf_config_load_env(program->config, environ, reterr);
    for (size_t i = 0; code == HF_OK && i < set_count; i++)
        code = hf_config_set(program->config, sets[i], reterr);
    if (code == HF_OK)
        code = hf_config_check(program->config, reterr);
    program->operands = argv + optind;
    program->operand_count = argc - optind;
    return code;
}

static void set_up_process(const hf_program *program) {
    hf_log_level level = HF_LOG_INFO;
    hf_log_level_parse(hf_str_of(hf_config_str(program->config, HF_C_LOG_LEVEL)), &level);
    bool json = hf_str_eqz(hf_str_of(hf_config_str(program->config, HF_C_LOG_FORMAT)), "json");
    hf_log_setup(program->name, level, json ? HF_LOG_JSON : HF_LOG_LOGFMT, 2);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool hf_program_start(hf_program *program, int argc, char **argv, int *ret_exit) {
    hf_err err;
    bool done = false;
    program->config = hf_config_new();
    hf_code code = program->config ? read_arguments(program, argc, argv, &done, &err)
                                   : hf_fail(&err, HF_E_NO_MEMORY, "no memory for the configuration");
    if (code == HF_OK && !done) {
        set_up_process(program);
        return true;
    }
    *ret_exit = code == HF_OK ? 0 : hf_program_fail(program, &err);
    hf_program_done(program);
    return false;
}
