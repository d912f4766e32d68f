#include "producer/ctl/ctl.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "producer/ctl/http.h"
#include "producer/ctl/schedules.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

/* ---- configuration ------------------------------------------------------------------------------ */
static hf_code load_config(hf_ctl *ctl, char *const *envp, hf_err *reterr) {
    if (!(ctl->config = hf_config_new()))
        return hf_fail(reterr, HF_E_NO_MEMORY, "configuration");
    const char *file = hf_args_get(&ctl->args, HF_OPT_CONFIG);
    hf_code code = file ? hf_config_load_file(ctl->config, file, reterr) : HF_OK;
    if (!code)
        code = hf_config_load_env(ctl->config, envp, reterr);
    size_t cursor = 0;
    for (const char *set; !code && (set = hf_args_next(&ctl->args, HF_OPT_SET, &cursor));)
        code = hf_config_set(ctl->config, set, reterr);
    return code;
}

static void set_up_log(const hf_ctl *ctl) {
    hf_log_level least = HF_LOG_INFO;
    hf_log_level_parse(hf_str_of(hf_config_str(ctl->config, HF_C_LOG_LEVEL)), &least);
    /* A person reads this program's errors in its own words; lines below an error would only be in the way. */
    if (least == HF_LOG_INFO)
        least = HF_LOG_ERROR;
    hf_log_format format =
        strcmp(hf_config_str(ctl->config, HF_C_LOG_FORMAT), "json") == 0 ? HF_LOG_JSON : HF_LOG_LOGFMT;
    hf_log_setup("hyperctl", least, format, STDERR_FILENO);
}

static hf_code read_output_format(hf_ctl *ctl, hf_err *reterr) {
    const char *output = hf_args_get(&ctl->args, HF_OPT_OUTPUT);
    if (output && strcmp(output, "json") != 0 && strcmp(output, "table") != 0)
        return hf_fail(reterr, HF_E_USAGE, "--output '%.32s': give table or json", output);
    ctl->json = output && strcmp(output, "json") == 0;
    return HF_OK;
}

/* These must work with a broken configuration: they explain it, or have nothing to do with it. */
static bool needs_config(const hf_args *args) {
    const hf_command *command = args->command;
    if (command->id == HF_CMD_SCHEDULE && args->rest_count == 2 && strcmp(args->rest[0], "next") == 0)
        return !hf_schedule_is_expression(args->rest[1]);
    return command->id != HF_CMD_HELP && command->id != HF_CMD_VERSION && command->id != HF_CMD_CONFIG;
}

static hf_code run(hf_ctl *ctl, char *const *envp, hf_err *reterr) {
    const hf_command *command = ctl->args.command;
    if (!command && hf_args_get(&ctl->args, HF_OPT_HELP)) {
        hf_help_all(ctl->out);
        return HF_OK;
    }
    if (!command) {
        hf_help_all(stderr);
        return hf_fail(reterr, HF_E_USAGE, "name a command");
    }
    if (hf_args_get(&ctl->args, HF_OPT_HELP)) {
        hf_help_command(ctl->out, command);
        return HF_OK;
    }
    hf_code code = read_output_format(ctl, reterr);
    if (!code && needs_config(&ctl->args))
        code = load_config(ctl, envp, reterr);
    if (!code && ctl->config)
        set_up_log(ctl);
    return code ? code : command->run(ctl, reterr);
}

static int tell(const hf_ctl *ctl, const hf_err *err) {
    const char *command = ctl->args.command ? ctl->args.command->name : NULL;
    fflush(stdout);
    fprintf(stderr, "hyperctl%s%s: %s (%s)\n", command ? " " : "", command ? command : "", err->detail,
            hf_code_name(err->code));
    return hf_code_exit_status(err->code);
}

/* Output that could not be written (a full disk, a closed pipe) must not look like success. */
static hf_code check_output(hf_err *reterr) {
    if (fflush(stdout) != 0 || ferror(stdout))
        return hf_fail_errno(reterr, errno ? errno : EIO, "standard output");
    return HF_OK;
}

int hf_ctl_main(int argc, char **argv, char *const *envp) {
    hf_ctl ctl = {.out = stdout, .terminal = isatty(STDOUT_FILENO) == 1};
    hf_err err = {0};
    signal(SIGPIPE, SIG_IGN);
    static char version[] = "version";
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
        argv[1] = version;
    hf_code code = hf_args_parse(argc, argv, &ctl.args, &err);
    if (!code)
        code = run(&ctl, envp, &err);
    if (!code)
        code = check_output(&err);
    int status = code ? tell(&ctl, &err) : ctl.exit_status;
    hf_http_free(ctl.http);
    hf_config_free(ctl.config);
    hf_args_done(&ctl.args);
    return status;
}

hf_code hf_ctl_print_json(hf_ctl *ctl, const json_t *json, hf_err *reterr) {
    if (json_dumpf(json, ctl->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) != 0)
        return hf_fail(reterr, HF_E_IO, "could not print the JSON");
    fputc('\n', ctl->out);
    return HF_OK;
}

hf_code hf_ctl_http(hf_ctl *ctl, hf_http **ret, hf_err *reterr) {
    if (!ctl->http) {
        hf_where where;
        hf_code code = hf_ctl_where(ctl, &where, reterr);
        if (!code)
            code = hf_http_new(where.http,
                               "Is the fleet's hyperjournal running there? --http URL or HF_HTTP names another place",
                               &ctl->http, reterr);
        if (!code)
            code = hf_http_identify(ctl->http, ctl->config, reterr);
        if (code)
            return code;
    }
    *ret = ctl->http;
    return HF_OK;
}
