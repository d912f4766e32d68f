/* hyperhook: delivers webhooks. What it does is in consumer/notify. */
#include <string.h>

#include "consumer/notify/hook.h"
#include "consumer/notify/trial.h"
#include "schemas/base/program.h"

static const char HELP[] =
    "Usage: hyperhook [--config FILE] [--set key=value]... [--id NAME]\n"
    "       hyperhook test [OPTION]... <WEBHOOK.json\n"
    "\n"
    "Tells webhooks what happens in the fleet: every accepted event of a job at least once. Any number may run; they\n"
    "share the partitions of job-events and take over from each other. SIGTERM or SIGINT ends it: what is under way is\n"
    "heard out first.\n"
    "\n"
    "  test              send one trial delivery to the webhook that stdin describes (JSON, as POST /webhooks takes\n"
    "                    it) and print what came of it: {\"delivered\", \"status_code\", \"duration_ms\", \"error\", ...}\n"
    "\n"
    "  --id NAME         name of this one's folder below state_dir, where several share a host\n"
    "  --event NAME      of test: that event with sample values instead of webhook.test\n"
    "  --stored          of test: take what is masked in it from webhook.secrets_file (only for the fleet's own records)\n"
    "  --config FILE     configuration (YAML)\n"
    "  --set key=value   one key of it, over the file and the environment\n"
    "  --help, --version\n"
    "\n"
    "Example:\n"
    "  echo '{\"url\": \"https://example.com/hook\"}' | hyperhook test --event job.completed\n"
    "\n"
    "Exit status: 0 delivered; else as sysexits.h has it: 64 usage, 65 data, 69 nobody there, 75 time-out,\n"
    "76 an answer that is no success, 77 an address that may not be called, 78 configuration.\n";

int main(int argc, char **argv) {
    hf_trial_options trial = {.stored = false};
    const char *id = "";
    const hf_program_option options[] = {
        {"id", &id, NULL}, {"event", &trial.event, NULL}, {"stored", NULL, &trial.stored}, {0}};
    hf_program program = {.name = "hyperhook", .help = HELP, .options = options};
    hf_err err;
    int exit_status = 0;
    if (!hf_program_start(&program, argc, argv, &exit_status))
        return exit_status;
    trial.config = program.config;
    hf_code code;
    if (program.operand_count == 1 && !strcmp(program.operands[0], "test"))
        code = hf_trial_command(&trial, &err);
    else if (program.operand_count == 0)
        code = hf_hook_run(&(hf_hook_options){.config = program.config, .id = id, .stop = &hf_program_stop}, &err);
    else
        code = hf_fail(&err, HF_E_USAGE, "\"%s\" was not expected; see hyperhook --help",
                       program.operands[program.operand_count - 1]);
    if (code != HF_OK)
        exit_status = hf_program_fail(&program, &err);
    hf_program_done(&program);
    return exit_status;
}
