/* The command line: options into a job specification, and the functions of the jobs run on it in this process. */
#include "consumer/operation/ova/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "consumer/operation/ova/text.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { ARENA_MAX = 16 << 20, OPERANDS_MAX = HF_MAX_DISKS + 1, STATUS_WARNINGS = 1 };

typedef struct command command;
typedef struct line { /* what was asked for */
    const command *command;
    const char *format, *name, *manifest, *codec, *os_type;
    long cpus, memory_mb;
    bool json, deep, strict, hash, quiet, help;
    char **operands;
    int count;
} line;

typedef struct session {
    line line;
    hf_arena arena;
    hf_roots roots;
    hf_config *config;
    hf_spec spec;
    hf_run run;
    hf_ova_work work;
    hf_result result; /* of create */
    hf_err err;
} session;

struct command {
    const char *name, *operands, *summary, *options, *more, *examples;
    int least, most;
    hf_code (*run)(session *s, hf_err *reterr);
};

static atomic_bool cancelled;
static void on_signal(int signal_number) {
    (void)signal_number;
    atomic_store(&cancelled, true);
}

/* ---- paths ------------------------------------------------------------------------------------------------- */
static hf_code absolute(session *s, const char *path, hf_str *ret, hf_err *reterr) {
    char here[HF_MAX_PATH + 1];
    if (path[0] != '/' && !getcwd(here, sizeof here))
        return hf_fail_errno(reterr, errno, "the current directory");
    *ret = hf_str_of(path[0] == '/' ? hf_arena_printf(&s->arena, "%s", path)
                                    : hf_arena_printf(&s->arena, "%s/%s", here, path));
    return ret->p ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a path");
}

static hf_code open_input(session *s, hf_err *reterr) {
    const char *path = s->line.operands[0];
    hf_code rc = hf_ova_begin(&s->work, &s->run, reterr);
    if (rc != HF_OK)
        return rc;
    if (strcmp(path, "-") == 0) {
        snprintf(s->work.path, sizeof s->work.path, "standard input");
        return hf_appliance_open_archive(STDIN_FILENO, &s->work.findings, &s->work.appliance, reterr);
    }
    rc = absolute(s, path, &s->spec.vm_path, reterr);
    return rc == HF_OK ? hf_ova_open(&s->work, reterr) : rc;
}

/* ---- the commands ------------------------------------------------------------------------------------------------ */
static hf_code run_look(session *s, hf_err *reterr) { return open_input(s, reterr); }

static hf_code run_validate(session *s, hf_err *reterr) {
    hf_code rc = open_input(s, reterr);
    return rc == HF_OK ? hf_ova_validate(&s->work, s->line.deep ? HF_PASS_DEEP : 0, reterr) : rc;
}

static hf_code run_extract(session *s, hf_err *reterr) {
    hf_code rc = absolute(s, s->line.count > 1 ? s->line.operands[1] : ".", &s->spec.output_dir, reterr);
    if (rc != HF_OK || (rc = open_input(s, reterr)) != HF_OK)
        return rc;
    s->work.hash_outputs = s->line.hash;
    rc = hf_ova_extract(&s->work, hf_str_of(s->line.format), reterr);
    s->result.artifacts = (hf_list){s->work.artifacts, s->work.artifact_count};
    return rc;
}

/* "/x/web.ova": directory and name. */
static hf_code split_target(session *s, const char *path, hf_err *reterr) {
    hf_str whole;
    char plain[81];
    hf_code rc = absolute(s, path, &whole, reterr);
    if (rc != HF_OK)
        return rc;
    uint32_t slash = whole.len;
    while (slash > 0 && whole.p[slash - 1] != '/')
        slash--;
    hf_str name = {whole.p + slash, whole.len - slash};
    if (!hf_str_ends(name, HF_STR(".ova")) || name.len == 4)
        return hf_fail(reterr, HF_E_USAGE, "%s: the last argument is the archive to be made, and ends in .ova", path);
    name.len -= 4;
    hf_file_name(name, plain);
    if (!hf_str_eqz(name, plain))
        return hf_fail(reterr, HF_E_USAGE, "%s: name it with letters, digits, '.', '_' and '-', like %s.ova", path,
                       plain);
    s->spec.name = name;
    s->spec.output_dir = (hf_str){whole.p, slash > 1 ? slash - 1 : slash};
    return HF_OK;
}

/* --cpus, --memory and --os-type, as the job's parameters. */
static hf_code put_parameters(session *s, hf_err *reterr) {
    json_t *parameters = json_object();
    if (s->line.cpus)
        json_object_set_new(parameters, "cpus", json_integer(s->line.cpus));
    if (s->line.memory_mb)
        json_object_set_new(parameters, "memory_mb", json_integer(s->line.memory_mb));
    if (s->line.os_type)
        json_object_set_new(parameters, "os_type", json_string(s->line.os_type));
    hf_auto_free char *text = parameters ? json_dumps(parameters, JSON_COMPACT) : NULL;
    json_decref(parameters);
    s->spec.parameters = text ? hf_arena_str(&s->arena, hf_str_of(text)) : HF_STR_NONE;
    return s->spec.parameters.p ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "parameters");
}

static hf_code put_images(session *s, int count, hf_err *reterr) {
    hf_disk *disks = hf_arena_alloc(&s->arena, (size_t)count * sizeof *disks);
    hf_code rc = disks ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "disks");
    for (int i = 0; rc == HF_OK && i < count; i++)
        rc = absolute(s, s->line.operands[i], &disks[i].path, reterr);
    s->spec.vm_path = rc == HF_OK ? disks[0].path : HF_STR_NONE;
    if (count > 1)
        s->spec.disks = (hf_list){disks, (uint32_t)count};
    return rc;
}

static hf_code run_create(session *s, hf_err *reterr) {
    const line *l = &s->line;
    hf_str phase;
    hf_code rc = split_target(s, l->operands[l->count - 1], reterr);
    if (rc != HF_OK || (rc = put_parameters(s, reterr)) != HF_OK || (rc = put_images(s, l->count - 1, reterr)) != HF_OK)
        return rc;
    s->spec.options.manifest = hf_str_of(l->manifest);
    if (!hf_ova_packs(&s->run)) {
        s->spec.options.codec = hf_str_of(l->codec);
        return hf_op_ova_create(&s->run, &s->result, &phase, reterr);
    }
    if (l->cpus || l->memory_mb || l->os_type || l->codec)
        return hf_fail(reterr, HF_E_USAGE,
                       "--cpus, --memory, --os-type and --codec are for disk images; a descriptor is packed as it is");
    if ((rc = hf_ova_begin(&s->work, &s->run, reterr)) != HF_OK || (rc = hf_ova_open(&s->work, reterr)) != HF_OK)
        return rc;
    rc = hf_ova_pack(&s->work, s->spec.name, reterr);
    s->result.artifacts = (hf_list){s->work.artifacts, s->work.artifact_count};
    return rc;
}

static const command commands[] = {
    {"create", "INPUT... TARGET.ova", "Make an OVA",
     "  --manifest KIND  sha256 (the default), sha1 or sha512\n"
     "  --cpus N, --memory MIB, --os-type ID\n"
     "                   the machine, where the input is disk images\n"
     "  --codec NAME     fast (the default), balanced or small, for disk images\n",
     "INPUT is an .ovf file or a directory with one (packed as it is, with the files it names; a manifest beside it\n"
     "is verified and made anew), or disk images (raw, qcow2, vmdk, vdi, vhd, vhdx), which become its disks.",
     "  hyperctl ova create /exports/web-01/web-01.ovf web-01.ova\n"
     "  hyperctl ova create --cpus 2 --memory 4096 root.qcow2 data.raw web-01.ova\n",
     2, OPERANDS_MAX, run_create},
    {"extract", "FILE.ova [DIRECTORY]", "Extract its files, or its disks in another format",
     "  --format FORMAT  vmdk (files as they are, the default), or disks alone, inflated by all cores, as\n"
     "                   raw, qcow2, vmdk-sparse, vdi, vhd or vhdx\n"
     "  --hash           tell the SHA-256 of such disks, too, which takes as long again\n",
     "Nothing appears in DIRECTORY (default: here) before the whole archive was read, every hash agreed and nothing\n"
     "was found that a hostile archive would do. What is there already is never replaced.",
     "  hyperctl ova extract web-01.ova /images/web-01\n"
     "  hyperctl ova extract --format qcow2 web-01.ova /var/lib/libvirt/images\n",
     1, 2, run_extract},
    {"validate", "FILE", "List all that is wrong or odd",
     "  --deep           inflate every grain of every VMDK as well\n"
     "  --strict         exit status 1 for warnings, too\n",
     "FILE is an OVA, an .ovf file, a directory with one, or - for a file as standard input.\n"
     "Exit status: 0 sound (or warnings), 1 warnings with --strict, 65 errors.",
     "  hyperctl ova validate web-01.ova\n"
     "  hyperctl ova validate --deep --strict --output json web-01.ova\n",
     1, 1, run_validate},
    {"info", "FILE", "Tell what machine is in it", "", "Reads descriptor and manifest alone.",
     "  hyperctl ova info web-01.ova\n  hyperctl ova info --output json /exports/web-01\n", 1, 1, run_look},
    {"ls", "FILE", "List its members", "", "Size, offset in the archive, role, name, and the manifest's digest.",
     "  hyperctl ova ls web-01.ova\n  hyperctl ova ls --output json web-01.ova\n", 1, 1, run_look},
};

/* ---- help ---------------------------------------------------------------------------------------------------------- */
static void help_all(FILE *out) {
    fputs("Usage: hyperctl ova COMMAND [OPTION]... (the same as hyperworker ova)\n\n"
          "Works on OVAs: archives with a machine's OVF descriptor, manifest and disks. Needs no fleet.\n\n",
          out);
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        fprintf(out, "  %-9s %-22s %s\n", commands[i].name, commands[i].operands, commands[i].summary);
    fputs("\nExamples:\n", out);
    for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++)
        fputs(commands[i].examples, out);
    fputs("\n`hyperctl ova COMMAND --help` tells more.\n", out);
}

static void help_command(FILE *out, const command *c) {
    fprintf(out,
            "Usage: hyperctl ova %s [OPTION]... %s\n\n%s. %s\n\n%s"
            "  --output FORMAT  text (the default) or json\n"
            "  --quiet          no progress on standard error\n\nExamples:\n%s",
            c->name, c->operands, c->summary, c->more, c->options, c->examples);
}

/* ---- options --------------------------------------------------------------------------------------------------------- */
static hf_code take_count(const char *name, const char *text, long max, long *ret, hf_err *reterr) {
    char *end;
    errno = 0;
    *ret = strtol(text, &end, 10);
    return !errno && end != text && !*end && *ret >= 1 && *ret <= max
               ? HF_OK
               : hf_fail(reterr, HF_E_USAGE, "--%s %s: give a whole number from 1 to %ld", name, text, max);
}

static bool for_command(const command *c, const char *option) {
    char needle[40];
    snprintf(needle, sizeof needle, "--%s", option);
    return !strcmp(option, "output") || !strcmp(option, "quiet") || !strcmp(option, "help") ||
           strstr(c->options, needle);
}

static hf_code take_option(line *l, int option, const char *value, hf_err *reterr) {
    switch (option) {
    case 'f': l->format = value; return HF_OK;
    case 'm': l->manifest = value; return HF_OK;
    case 'c': l->codec = value; return HF_OK;
    case 't': l->os_type = value; return HF_OK;
    case 'C': return take_count("cpus", value, 1024, &l->cpus, reterr);
    case 'M': return take_count("memory", value, 64 << 20, &l->memory_mb, reterr);
    case 'd': l->deep = true; return HF_OK;
    case 's': l->strict = true; return HF_OK;
    case 'H': l->hash = true; return HF_OK;
    case 'q': l->quiet = true; return HF_OK;
    case 'h': l->help = true; return HF_OK;
    case 'o':
        l->json = !strcmp(value, "json");
        return l->json || !strcmp(value, "text") || !strcmp(value, "table")
                   ? HF_OK
                   : hf_fail(reterr, HF_E_USAGE, "--output %s: it is text or json", value);
    default: return hf_fail(reterr, HF_E_USAGE, "see `hyperctl ova %s --help`", l->command->name);
    }
}

static hf_code read_line(line *l, int argc, char **argv, hf_err *reterr) {
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"manifest", required_argument, NULL, 'm'},
                                            {"codec", required_argument, NULL, 'c'},
                                            {"os-type", required_argument, NULL, 't'},
                                            {"cpus", required_argument, NULL, 'C'},
                                            {"memory", required_argument, NULL, 'M'},
                                            {"deep", no_argument, NULL, 'd'},
                                            {"strict", no_argument, NULL, 's'},
                                            {"hash", no_argument, NULL, 'H'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"output", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    hf_code rc = HF_OK;
    int index = -1;
    optind = 0; /* glibc: start anew */
    for (int option; rc == HF_OK && (option = getopt_long(argc, argv, "qho:", options, &index)) != -1; index = -1) {
        if (index >= 0 && !for_command(l->command, options[index].name))
            return hf_fail(reterr, HF_E_USAGE, "ova %s has no option --%s", l->command->name, options[index].name);
        rc = take_option(l, option, optarg, reterr);
    }
    l->operands = argv + optind;
    l->count = argc - optind;
    if (rc == HF_OK && !l->help && (l->count < l->command->least || l->count > l->command->most))
        rc = hf_fail(reterr, HF_E_USAGE, "it is: ova %s %s", l->command->name, l->command->operands);
    return rc;
}

/* ---- a session --------------------------------------------------------------------------------------------------------- */
static void print_progress(void *ctx, const hf_progress *p) {
    (void)ctx;
    if (p->level.len)
        fprintf(stderr, "\r\033[K%.*s: %.*s\n", HF_STR_ARG(p->level), HF_STR_ARG(p->message));
    else if (p->percent >= 0)
        fprintf(stderr, "\r\033[K%.*s %5.1f%% %.0f MB/s, %" PRId64 " s left", HF_STR_ARG(p->phase), p->percent,
                p->bytes_per_second / 1e6, p->eta_seconds);
}

static hf_code begin_session(session *s, hf_err *reterr) {
    char id[HF_UUID_BYTES];
    bool terminal = isatty(STDERR_FILENO) == 1 && !s->line.quiet;
    hf_arena_init(&s->arena, ARENA_MAX);
    s->roots.any = true;
    hf_type_init(&HF_TYPE_SPEC, &s->spec);
    s->config = hf_config_new();
    hf_str job_id = hf_arena_str(&s->arena, hf_str_of(hf_id_new(hf_clock_system(), hf_random_system(), id)));
    s->run = (hf_run){.job_id = job_id,
                      .attempt = 1,
                      .spec = &s->spec,
                      .config = s->config,
                      .roots = &s->roots,
                      .threads = (int)sysconf(_SC_NPROCESSORS_ONLN),
                      .arena = &s->arena,
                      .cancel = &cancelled,
                      .report = terminal ? print_progress : NULL};
    return s->config && job_id.p ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a session");
}

/* A stage marks what it publishes, for later attempts of the same job; here there are none. */
static void remove_mark_file(const session *s) {
    char name[HF_STAGE_NAME_MAX + 1];
    snprintf(name, sizeof name, ".hf-%.*s.published", HF_STR_ARG(s->run.job_id));
    if (s->work.stage.out_fd >= 0)
        unlinkat(s->work.stage.out_fd, name, 0);
}

static void print_json(session *s, hf_code rc) {
    json_t *out = s->work.appliance ? hf_ova_report(&s->work, HF_FINDINGS_MAX) : json_object();
    json_t *result = rc == HF_OK && s->result.artifacts.count ? hf_json_of(&HF_TYPE_RESULT, &s->result, 0) : NULL;
    if (result)
        json_object_set(out, "artifacts", json_object_get(result, "artifacts"));
    if (rc != HF_OK)
        json_object_set_new(out, "error", json_pack("{s:s, s:s}", "code", hf_code_name(rc), "message", s->err.detail));
    hf_auto_free char *text = out ? json_dumps(out, JSON_INDENT(2)) : NULL;
    printf("%s\n", text ? text : "{}");
    json_decref(result);
    json_decref(out);
}

static void print_text(session *s, hf_code rc) {
    const char *name = s->line.command->name;
    bool findings_matter = !strcmp(name, "validate") || (rc != HF_OK && s->work.findings.count);
    if (s->work.appliance && findings_matter)
        hf_ova_print_findings(rc == HF_OK ? stdout : stderr, &s->work);
    if (rc != HF_OK)
        return;
    if (!strcmp(name, "validate"))
        hf_ova_print_verdict(stdout, &s->work);
    else if (!strcmp(name, "info"))
        hf_ova_print_info(stdout, &s->work);
    else if (!strcmp(name, "ls"))
        hf_ova_print_members(stdout, &s->work);
    else
        hf_ova_print_artifacts(stdout, s->result.artifacts);
}

static int status_of(const session *s, hf_code rc) {
    if (rc != HF_OK)
        return hf_code_exit_status(rc);
    if (strcmp(s->line.command->name, "validate") != 0)
        return 0;
    if (hf_findings_errors(&s->work.findings))
        return hf_code_exit_status(HF_E_SOURCE_INVALID);
    return s->line.strict && s->work.findings.by_severity[HF_SEVERITY_WARNING] ? STATUS_WARNINGS : 0;
}

static int run_session(session *s) {
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    s->work.stage = (hf_stage){.out_fd = -1, .dir_fd = -1};
    hf_code rc = begin_session(s, &s->err);
    if (rc == HF_OK)
        rc = s->line.command->run(s, &s->err);
    if (s->run.report)
        fputs("\r\033[K", stderr);
    if (s->line.json)
        print_json(s, rc);
    else
        print_text(s, rc);
    if (rc != HF_OK)
        fprintf(stderr, "hyperworker: ova %s: %s: %s\n", s->line.command->name, hf_code_name(rc), s->err.detail);
    int status = status_of(s, rc);
    remove_mark_file(s);
    if (s->work.run)
        hf_ova_end(&s->work);
    hf_config_free(s->config);
    hf_arena_done(&s->arena);
    return fflush(stdout) == 0 ? status : hf_code_exit_status(HF_E_IO);
}

int hf_ova_main(int argc, char **argv) {
    hf_auto_free session *s = hf_alloc(sizeof *s);
    const char *word = argc > 1 ? argv[1] : "--help";
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        help_all(stdout);
        return 0;
    }
    for (size_t i = 0; s && i < HF_ARRAY_LEN(commands); i++)
        if (!strcmp(word, commands[i].name))
            s->line.command = &commands[i];
    hf_err err = {0};
    hf_code rc = !s ? hf_fail(&err, HF_E_NO_MEMORY, "a session")
                 : s->line.command
                     ? read_line(&s->line, argc - 1, argv + 1, &err)
                     : hf_fail(&err, HF_E_USAGE, "there is no command ova %s; see `hyperctl ova --help`", word);
    if (rc != HF_OK) {
        fprintf(stderr, "hyperworker: %s: %s\n", hf_code_name(rc), err.detail);
        return hf_code_exit_status(rc);
    }
    if (s->line.help) {
        help_command(stdout, s->line.command);
        return 0;
    }
    return run_session(s);
}
