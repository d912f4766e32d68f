/* hyperdispatch: takes submissions in, retries what is due, expires leases. See docs/ARCHITECTURE.md. */
#include "producer/dispatch/dispatcher.h"
#include "schemas/base/log.h"
#include "schemas/base/program.h"

static const char HELP[] =
    "Usage: hyperdispatch [--config FILE] [--set key=value]... [--id NAME]\n"
    "\n"
    "Takes jobs in from the fleet's `submissions` topic and proposes what nobody else would:\n"
    "retries that are due, leases that ran out, jobs left half-way, runs of schedules. Any number\n"
    "may run.\n"
    "\n"
    "  --config FILE     configuration (YAML)\n"
    "  --set key=value   one key of it, over the file and the environment\n"
    "  --id NAME         name of this one's folder below state_dir, where several share a host\n"
    "  --help, --version\n"
    "\n"
    "SIGTERM or SIGINT ends it: what is in flight is acknowledged first.\n"
    "Example: hyperdispatch --set fleet=main --set kafka.bootstrap.servers=kafka-1:9092\n";

int main(int argc, char **argv) {
    const char *id = "";
    const hf_program_option options[] = {{"id", &id, NULL}, {0}};
    hf_program program = {.name = "hyperdispatch", .help = HELP, .options = options};
    hf_err err;
    int exit_status = 0;
    if (!hf_program_start(&program, argc, argv, &exit_status))
        return exit_status;
    hf_code code = HF_OK;
    if (program.operand_count)
        code = hf_fail(&err, HF_E_USAGE, "'%s' was not expected; see hyperdispatch --help", program.operands[0]);
    else
        code = hf_dispatcher_run(&(hf_dispatcher_options){.config = program.config, .id = id, .stop = &hf_program_stop},
                                 &err);
    if (code != HF_OK)
        exit_status = hf_program_fail(&program, &err);
    hf_program_done(&program);
    return exit_status;
}
