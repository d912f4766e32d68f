/* What hyperctl's commands share: the command line, the configuration, where things are, and how to print.
 * One thread. Commands print results on stdout and errors through their return value: main prints those, once. */
#pragma once
#include <jansson.h>
#include <stdio.h>

#include "producer/ctl/args.h"
#include "schemas/base/config.h"

struct hf_http;
typedef struct hf_ctl {
    hf_args args;
    hf_config *config;
    bool json;            /* --output json */
    bool terminal;        /* stdout is one */
    struct hf_http *http; /* made at first use: hf_ctl_http */
    FILE *out;
    int exit_status; /* of a command that did what it should and has something to tell (watch) */
} hf_ctl;

/* The program: parses, dispatches, prints errors; returns the exit status. envp: the environment. */
int hf_ctl_main(int argc, char **argv, char *const *envp);

/* The commands (commands.def). */
#define HF_COMMAND(id, name, arguments, least, most, run, ...) hf_code run(hf_ctl *ctl, hf_err *reterr);
#include "producer/ctl/commands.def"
#undef HF_COMMAND

/* Prints JSON on one indented page. */
hf_code hf_ctl_print_json(hf_ctl *ctl, const json_t *json, hf_err *reterr);
/* Follows jobs until they end (watch and submit --wait); sets ctl->exit_status. FRESH: the jobs were submitted just now, the
 * journal may not know them yet. */
typedef enum hf_watch_kind { HF_WATCH_KNOWN, HF_WATCH_FRESH } hf_watch_kind;
hf_code hf_ctl_watch(hf_ctl *ctl, char *const *ids, size_t count, hf_watch_kind kind, hf_err *reterr);

/* Where the fleet is. Source: what the user said, a running `hyperctl dev`, or the configuration. */
typedef struct hf_where {
    char http[512];  /* URL without trailing slash */
    char kafka[512]; /* "" : as configured */
    bool http_said;  /* --http or HF_HTTP */
    bool from_dev;   /* read from the ready file of a running dev fleet */
} hf_where;
hf_code hf_ctl_where(const hf_ctl *ctl, hf_where *ret, hf_err *reterr);
/* $XDG_RUNTIME_DIR/hyperfleet-dev.json or /tmp/hyperfleet-dev-UID.json */
const char *hf_dev_file_path(char *text, size_t size);
