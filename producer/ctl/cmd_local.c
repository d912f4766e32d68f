/* Commands that ask no server: help, version, config, and those that hand on to a sibling program. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/sibling.h"
#include "schemas/base/mem.h"
#include "schemas/job/fold.h"

hf_code hf_cmd_help(hf_ctl *ctl, hf_err *reterr) {
    if (ctl->args.rest_count == 0) {
        hf_help_all(ctl->out);
        return HF_OK;
    }
    const hf_command *command = hf_command_find(ctl->args.rest[0]);
    if (!command)
        return hf_fail(reterr, HF_E_USAGE, "there is no command '%.64s'; hyperctl --help lists them",
                       ctl->args.rest[0]);
    hf_help_command(ctl->out, command);
    return HF_OK;
}

hf_code hf_cmd_version(hf_ctl *ctl, hf_err *reterr) {
    if (!ctl->json) {
        fprintf(ctl->out, "hyperctl %s (fold version %d)\n", HF_VERSION, HF_FOLD_VERSION);
        return HF_OK;
    }
    json_t *json =
        json_pack("{s:s,s:s,s:i}", "program", "hyperctl", "version", HF_VERSION, "fold_version", HF_FOLD_VERSION);
    hf_code code = json ? hf_ctl_print_json(ctl, json, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "version");
    json_decref(json);
    return code;
}

/* execv takes its arguments as if it wrote to them; it does not. */
static char *word(const char *text) { return (char *)(uintptr_t)text; }

/* --config and --set that stood before the arguments. */
static size_t hand_settings_on(const hf_ctl *ctl, char **argv, size_t n) {
    for (size_t i = 0; i < ctl->args.option_count; i++) {
        const hf_option_given *given = &ctl->args.options[i];
        if (given->id != HF_OPT_CONFIG && given->id != HF_OPT_SET)
            continue;
        argv[n++] = word(given->id == HF_OPT_SET ? "--set" : "--config");
        argv[n++] = word(given->value);
    }
    return n;
}

/* argv of the sibling: the command's own name, then what followed it; what stood before the command as well. */
static hf_code hand_on(hf_ctl *ctl, hf_err *reterr) {
    hf_auto_free char **argv = hf_alloc(((size_t)ctl->args.rest_count + 2 * ctl->args.option_count + 4) * sizeof *argv);
    if (!argv)
        return hf_fail(reterr, HF_E_NO_MEMORY, "arguments");
    static char output[] = "--output", json[] = "json";
    const hf_command *command = ctl->args.command;
    size_t n = 0;
    argv[n++] = word(command->name);
    if (command->id != HF_CMD_OVA) /* which needs no configuration */
        n = hand_settings_on(ctl, argv, n);
    for (int i = 0; i < ctl->args.rest_count; i++)
        argv[n++] = ctl->args.rest[i];
    if (ctl->json) {
        argv[n++] = output;
        argv[n++] = json;
    }
    fflush(NULL);
    return hf_sibling_exec("hyperworker", argv, reterr);
}

hf_code hf_cmd_ova(hf_ctl *ctl, hf_err *reterr) { return hand_on(ctl, reterr); }
hf_code hf_cmd_endpoint(hf_ctl *ctl, hf_err *reterr) { return hand_on(ctl, reterr); }
hf_code hf_cmd_capabilities(hf_ctl *ctl, hf_err *reterr) { return hand_on(ctl, reterr); }

/* ---- config -------------------------------------------------------------------------------------- */
static hf_code load_all(hf_ctl *ctl, const char *file, hf_err *reterr) {
    if (!(ctl->config = hf_config_new()))
        return hf_fail(reterr, HF_E_NO_MEMORY, "configuration");
    hf_code code = file ? hf_config_load_file(ctl->config, file, reterr) : HF_OK;
    if (!code)
        code = hf_config_load_env(ctl->config, environ, reterr);
    size_t cursor = 0;
    for (const char *set; !code && (set = hf_args_next(&ctl->args, HF_OPT_SET, &cursor));)
        code = hf_config_set(ctl->config, set, reterr);
    return code;
}

static hf_code print_text(hf_ctl *ctl, char *text, hf_err *reterr) {
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "configuration");
    fputs(text, ctl->out);
    free(text);
    return HF_OK;
}

hf_code hf_cmd_config(hf_ctl *ctl, hf_err *reterr) {
    const char *what = ctl->args.rest[0];
    const char *file = ctl->args.rest_count > 1 ? ctl->args.rest[1] : hf_args_get(&ctl->args, HF_OPT_CONFIG);
    if (strcmp(what, "reference") == 0)
        return print_text(ctl, hf_config_reference(), reterr);
    bool check = strcmp(what, "check") == 0;
    if (!check && strcmp(what, "show") != 0)
        return hf_fail(reterr, HF_E_USAGE, "config '%.32s': give check, show or reference", what);
    if (check && !file && !hf_args_get(&ctl->args, HF_OPT_SET))
        return hf_fail(reterr, HF_E_USAGE, "name the file to check: hyperctl config check FILE");
    hf_code code = load_all(ctl, file, reterr);
    if (code)
        return code;
    if (!check)
        return print_text(ctl, hf_config_show(ctl->config), reterr);
    fprintf(ctl->out, "%s: no errors\n", file ? file : "configuration");
    return HF_OK;
}
