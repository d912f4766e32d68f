/* hyperworker: claims jobs, runs each in a child process, reports. main() reads the command line; what it does is in
 * consumer/worker (worker.h, runner.h, capabilities.h) and consumer/operation (direct.h). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/operation/direct.h"
#include "consumer/operation/endpoint_cli.h"
#include "consumer/operation/operation.h"
#include "consumer/operation/ova/cli.h"
#include "consumer/worker/capabilities.h"
#include "consumer/worker/runner.h"
#include "consumer/worker/worker.h"
#include "schemas/base/buf.h"
#include "schemas/base/host.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/intake.h"

enum { SETTINGS_MAX = 64 };

typedef struct command_line {
    const char *command, *file, *config_file, *job_id;
    int32_t attempt;
    const char *verb, *endpoint; /* of the command endpoint */
    const char *settings[SETTINGS_MAX];
    char *runner_arguments[2 * SETTINGS_MAX + 4]; /* the configuration options again, for the runners */
    size_t setting_count, runner_count;
    bool json;
} command_line;

static const char HELP[] =
    "Usage: hyperworker [run | capabilities | run-job FILE | endpoint VERB | ova COMMAND] [OPTION]...\n"
    "\n"
    "Claims jobs of a Hyperfleet fleet, runs each in a child process, and reports what becomes of them.\n"
    "\n"
    "  run             work until SIGTERM or SIGINT, then drain; a second one stops at once (the default)\n"
    "  capabilities    say what this machine and this configuration can do\n"
    "  run-job FILE    run one job here and now, without Kafka; progress on stderr, the result on stdout\n"
    "                  (FILE: a job in JSON as for `hyperctl submit`; `-` reads stdin)\n"
    "  endpoint check NAME\n"
    "                  say step by step what of an endpoint of the configuration works\n"
    "  endpoint list   list the endpoints of the configuration\n"
    "  ova COMMAND     create, extract, validate, info or ls of an OVA, without a fleet; see `hyperworker ova --help`\n"
    "\n"
    "  --config FILE   read this YAML file; HF_... environment variables and --set go before it\n"
    "  --set KEY=VALUE set one key; may be repeated\n"
    "  --job-id ID     of run-job: the job's id, instead of its own or a new one\n"
    "  --attempt N     of run-job: which attempt this is (1); a later one goes on where a killed one had got to\n"
    "  --output FORMAT of capabilities and endpoint: table (the default) or json\n"
    "  --help, --version\n"
    "\n"
    "Examples:\n"
    "  hyperworker --config /etc/hyperfleet/worker.yaml\n"
    "  hyperworker run --set worker.slots=4 --set 'worker.roots=[/srv/images, /srv/exports]'\n"
    "  hyperworker capabilities --output json\n"
    "  echo '{\"vm_path\": \"/srv/images/web.qcow2\", \"output_dir\": \"/srv/exports\", \"format\": \"ova\"}' |\n"
    "    hyperworker run-job - --set 'worker.roots=[/srv]'\n"
    "\n"
    "Exit status: 0 when all went well; else as sysexits.h has it: 64 usage, 65 data, 69 Kafka or a server cannot be\n"
    "reached, 70 a bug, 74 I/O, 75 try again (also: jobs were left when it had to stop), 77 permission, 78 configuration.\n";

static int failed(const hf_err *err) {
    fprintf(stderr, "hyperworker: %s: %s\n", hf_code_name(err->code), err->detail);
    return hf_code_exit_status(err->code);
}

/* ---- command line ------------------------------------------------------------------------------------------------- */
static hf_code keep(command_line *c, const char *option, char *value, hf_err *reterr) {
    static char config_option[] = "--config", set_option[] = "--set";
    bool set = !strcmp(option, "set");
    if (c->setting_count == SETTINGS_MAX)
        return hf_fail(reterr, HF_E_USAGE, "at most %d --set are taken; put them into a file and give it with --config",
                       SETTINGS_MAX);
    if (set)
        c->settings[c->setting_count++] = value;
    else if (c->config_file)
        return hf_fail(reterr, HF_E_USAGE, "--config was given twice");
    else
        c->config_file = value;
    c->runner_arguments[c->runner_count++] = set ? set_option : config_option;
    c->runner_arguments[c->runner_count++] = value;
    return HF_OK;
}

static hf_code take_option(command_line *c, int option, char *value, hf_err *reterr) {
    switch (option) {
    case 'c': return keep(c, "config", value, reterr);
    case 's': return keep(c, "set", value, reterr);
    case 'o':
        c->json = !strcmp(value, "json");
        return c->json || !strcmp(value, "table")
                   ? HF_OK
                   : hf_fail(reterr, HF_E_USAGE, "--output %s: it is table or json", value);
    case 'j': c->job_id = value; return HF_OK;
    case 'a':
        c->attempt = (int32_t)strtol(value, NULL, 10);
        return c->attempt > 0 ? HF_OK : hf_fail(reterr, HF_E_USAGE, "--attempt %s: a number from 1 on", value);
    case 'h':
    case 'v': c->command = option == 'h' ? "help" : "version"; return HF_OK;
    default: return hf_fail(reterr, HF_E_USAGE, "see `hyperworker --help`");
    }
}

static hf_code take_words(command_line *c, int argc, char **argv, hf_err *reterr) {
    const char *word = optind < argc ? argv[optind++] : "run";
    c->command = c->command ? c->command : word;
    if (!strcmp(word, "run-job")) {
        if (optind >= argc)
            return hf_fail(reterr, HF_E_USAGE, "run-job needs a FILE, or `-` for stdin");
        c->file = argv[optind++];
    }
    if (!strcmp(word, "endpoint")) {
        c->verb = optind < argc ? argv[optind++] : "";
        c->endpoint = optind < argc ? argv[optind++] : NULL;
    }
    if (optind < argc)
        return hf_fail(reterr, HF_E_USAGE, "\"%s\" is one word too many; see `hyperworker --help`", argv[optind]);
    return HF_OK;
}

static hf_code read_command_line(command_line *c, int argc, char **argv, hf_err *reterr) {
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},  {"set", required_argument, NULL, 's'},
        {"output", required_argument, NULL, 'o'},  {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {"job-id", required_argument, NULL, 'j'},
        {"attempt", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    hf_code code = HF_OK;
    for (int option; !code && (option = getopt_long(argc, argv, "c:s:o:hv", options, NULL)) != -1;)
        code = take_option(c, option, optarg, reterr);
    return code ? code : take_words(c, argc, argv, reterr);
}

static hf_code load_config(const command_line *c, hf_config **ret, hf_err *reterr) {
    hf_config *config = hf_config_new();
    if (!config)
        return hf_fail(reterr, HF_E_NO_MEMORY, "configuration");
    hf_code code = c->config_file ? hf_config_load_file(config, c->config_file, reterr) : HF_OK;
    if (!code)
        code = hf_config_load_env(config, environ, reterr);
    for (size_t i = 0; !code && i < c->setting_count; i++)
        code = hf_config_set(config, c->settings[i], reterr);
    if (!code)
        code = hf_config_check(config, reterr);
    if (code)
        hf_config_free(config);
    else
        *ret = config;
    return code;
}

static void set_up_log(const hf_config *config, const char *program) {
    hf_log_level level = HF_LOG_INFO;
    hf_log_level_parse(hf_str_of(hf_config_str(config, HF_C_LOG_LEVEL)), &level);
    hf_log_setup(program, level, strcmp(hf_config_str(config, HF_C_LOG_FORMAT), "json") ? HF_LOG_LOGFMT : HF_LOG_JSON,
                 2);
}

/* `hyperctl dev` runs the fleet "dev" on one person's machine: there paths are confined only where roots are given. */
static bool any_root(const hf_config *config) { return !strcmp(hf_config_str(config, HF_C_FLEET), "dev"); }

/* ---- capabilities ----------------------------------------------------------------------------------------------------- */
static void print_names(const char *label, hf_list names) {
    printf("%-16s", label);
    for (uint32_t i = 0; i < names.count; i++)
        printf("%s%.*s", i ? ", " : "", HF_STR_ARG(*HF_LIST_AT(names, hf_str, i)));
    printf(names.count ? "\n" : "none\n");
}

static void print_table(const char *id, int slots, const hf_capabilities *c) {
    printf("%-16s%s\n%-16s%.*s\n%-16s%.*s\n", "worker", id, "execution mode", HF_STR_ARG(c->execution_mode), "level",
           HF_STR_ARG(c->level));
    printf("%-16s%s%s%s%s%s\n", "has", c->nbd ? "nbd " : "", c->lvm ? "lvm " : "", c->mount ? "mount " : "",
           c->selinux_tools ? "selinux " : "", c->qemu_img ? "qemu-img" : "");
    printf("%-16s%s%s%.*s\n", "guest repair", c->guestfs ? "possible" : "not possible", c->guestfs ? "" : ": ",
           HF_STR_ARG(c->guestfs_why));
    printf("%-16s%d\n%-16s%d\n%-16s%.1f GiB\n%-16s%.1f GiB\n", "slots", slots, "cpus", c->cpus, "memory", c->memory_gb,
           "disk free", c->disk_space_gb);
    printf("%-16s%.*s\n%-16s%.*s\n", "os", HF_STR_ARG(c->os_info), "kernel", HF_STR_ARG(c->kernel_version));
    print_names("operations", c->operations);
    print_names("providers", c->providers);
    print_names("endpoints", c->endpoints);
}

static hf_code capabilities(const command_line *line, const hf_config *config, hf_err *reterr) {
    hf_arena arena;
    hf_capabilities c;
    char id[HF_ID_MAX_BYTES + 1], host[256];
    hf_arena_init(&arena, 1u << 20);
    hf_code code = hf_worker_id(config, id, reterr);
    if (!code)
        code = hf_capabilities_probe(config, NULL, &arena, &c, reterr);
    int slots = (int)hf_config_int(config, HF_C_WORKER_SLOTS);
    if (!code && line->json) {
        json_t *json = hf_capabilities_json(&c, hf_str_of(id), hf_str_of(hf_host_name(host, sizeof host)), slots,
                                            hf_wall_ms(hf_clock_system()));
        if (!json || json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(8)) || putchar('\n') < 0)
            code = hf_fail(reterr, HF_E_NO_MEMORY, "capabilities");
        json_decref(json);
    } else if (!code)
        print_table(id, slots, &c);
    hf_arena_done(&arena);
    return code;
}

/* ---- run-job ------------------------------------------------------------------------------------------------------------- */
static hf_code read_all(const char *file, hf_buf *text, hf_err *reterr) {
    hf_auto_fd int fd = strcmp(file, "-") ? open(file, O_RDONLY | O_CLOEXEC) : dup(0);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "%s", file);
    for (;;) {
        uint8_t *to = hf_buf_reserve(text, 4096);
        ssize_t n = to ? read(fd, to, 4096) : -1;
        if (!to)
            return hf_fail(reterr, HF_E_LIMIT, "%s: a job has at most %d bytes", file, HF_MAX_SUBMISSION);
        if (n < 0)
            return hf_fail_errno(reterr, errno, "%s", file);
        if (n == 0)
            return HF_OK;
        text->len += (size_t)n;
    }
}

static hf_code read_job(const char *file, hf_buf *text, hf_arena *arena, hf_submission *ret, hf_err *reterr) {
    hf_code code = read_all(file, text, reterr);
    json_t *json = code ? NULL : hf_json_parse(hf_buf_str(text), HF_MAX_SUBMISSION, reterr);
    if (!code && !json)
        return hf_context(reterr, "%s", file);
    if (!code)
        code = hf_submission_from_json(json, arena, ret, reterr);
    json_decref(json);
    hf_intake_errors errors = {.count = 0}, warnings = {.count = 0};
    if (!code) {
        hf_intake_check(&ret->spec, arena, &errors, &warnings);
        for (uint32_t i = 0; i < errors.count && i < HF_MAX_ERRORS; i++)
            fprintf(stderr, "hyperworker: %s: %.*s\n", file, HF_STR_ARG(errors.text[i]));
        for (uint32_t i = 0; i < warnings.count && i < HF_MAX_ERRORS; i++)
            fprintf(stderr, "hyperworker: %s: warning: %.*s\n", file, HF_STR_ARG(warnings.text[i]));
    }
    return errors.count ? hf_fail(reterr, HF_E_INVALID, "%s: %u errors; the job was not run", file, errors.count)
                        : code;
}

static int run_job(const command_line *line, const hf_config *config) {
    hf_arena arena;
    hf_buf text;
    hf_submission job;
    hf_roots roots;
    hf_err err;
    char id[HF_UUID_BYTES];
    hf_arena_init(&arena, 16u << 20);
    hf_buf_init(&text, HF_MAX_SUBMISSION + 4096);
    hf_type_init(&HF_TYPE_SUBMISSION, &job);
    hf_code code = read_job(line->file ? line->file : "-", &text, &arena, &job, &err);
    if (!code)
        code = hf_roots_open(config, any_root(config), &roots, &err);
    int status = code ? failed(&err) : 0;
    if (!code) {
        hf_str job_id = line->job_id     ? hf_str_of(line->job_id)
                        : job.job_id.len ? job.job_id
                                         : hf_str_of(hf_id_new(hf_clock_system(), hf_random_system(), id));
        status = hf_operation_run_direct(job_id, line->attempt ? line->attempt : 1, &job.spec, config, &roots, 0);
        hf_roots_close(&roots);
    }
    hf_buf_done(&text);
    hf_arena_done(&arena);
    return status;
}

/* ---- commands ---------------------------------------------------------------------------------------------------------------- */
/* A root that cannot be opened must stop the worker, not each of its runners. */
static hf_code check_roots(const hf_config *config, hf_err *reterr) {
    hf_roots roots = {0};
    hf_code code = hf_roots_open(config, any_root(config), &roots, reterr);
    if (!code)
        hf_roots_close(&roots);
    return code;
}

static int run(const command_line *line, const hf_config *config) {
    hf_err err;
    if (check_roots(config, &err))
        return failed(&err);
    hf_worker_run_options options = {
        .config = config, .runner_arguments = line->runner_arguments, .any_root = any_root(config)};
    hf_worker_block_signals();
    hf_code code = hf_worker_run(&options, &err);
    if (!code)
        return 0;
    HF_LOG_ERR(ERROR, "ended", &err, {"meaning", HF_V_Z(hf_code_sentence(code))});
    return hf_code_exit_status(code);
}

static int endpoint(const command_line *line, const hf_config *config) {
    hf_err err;
    hf_code code = hf_endpoint_command(config, line->verb, line->endpoint, line->json, &err);
    bool told = line->endpoint && !strcmp(line->verb, "check"); /* as the last line of the check */
    return code && !told ? failed(&err) : hf_code_exit_status(code);
}

static int command(const command_line *line, const hf_config *config) {
    hf_err err;
    hf_code code = HF_OK;
    if (!strcmp(line->command, "run"))
        return run(line, config);
    if (!strcmp(line->command, "run-job"))
        return run_job(line, config);
    if (!strcmp(line->command, "endpoint"))
        return endpoint(line, config);
    if (!strcmp(line->command, "capabilities"))
        code = capabilities(line, config, &err);
    else
        code = hf_fail(&err, HF_E_USAGE,
                       "there is no command \"%s\"; there are run, capabilities, run-job FILE, endpoint and ova",
                       line->command);
    return code ? failed(&err) : 0;
}

/* hyperworker --runner FD PID [--config FILE] [--set KEY=VALUE]...: what the worker starts for each slot. */
static int runner(int argc, char **argv) {
    command_line line = {.command = "run"};
    hf_err err;
    hf_config *config = NULL;
    int fd = atoi(argv[2]), parent = atoi(argv[3]);
    argv[3] = argv[0];
    if (read_command_line(&line, argc - 3, argv + 3, &err) || load_config(&line, &config, &err))
        return failed(&err);
    set_up_log(config, "hyperworker-runner");
    int status = hf_runner_main(
        &(hf_runner_child_options){.fd = fd, .parent = parent, .config = config, .any_root = any_root(config)});
    hf_config_free(config);
    return status;
}

int main(int argc, char **argv) {
    command_line line = {0};
    hf_err err;
    hf_config *config = NULL;
    if (argc >= 4 && !strcmp(argv[1], "--runner"))
        return runner(argc, argv);
    if (argc >= 2 && !strcmp(argv[1], "ova"))
        return hf_ova_main(argc - 1, argv + 1);
    if (read_command_line(&line, argc, argv, &err))
        return failed(&err);
    if (!strcmp(line.command, "help") || !strcmp(line.command, "version")) {
        fputs(line.command[0] == 'h' ? HELP : "hyperworker " HF_VERSION "\n", stdout);
        return 0;
    }
    if (load_config(&line, &config, &err))
        return failed(&err);
    set_up_log(config, "hyperworker");
    int status = command(&line, config);
    hf_config_free(config);
    return status;
}
