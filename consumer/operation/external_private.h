/* Inside external.c and its helpers: a declared program, and what it said. */
#pragma once
#include "consumer/operation/builtin.h"
#include "consumer/operation/external.h"
#include "consumer/operation/stage.h"

typedef struct hf_external {
    const char *name;
    const json_t *command, *needs, *environment; /* borrowed from the configuration */
    int64_t timeout_ms;                          /* 0: none */
} hf_external;

hf_code hf_external_find(const hf_config *config, hf_str name, hf_external *ret, hf_err *reterr);

/* What came over stdout so far. */
typedef struct hf_external_talk {
    hf_run *run;
    json_t *result; /* the JobResult, owned; NULL until it came */
    hf_str phase;   /* of the last ProgressEvent, in the run's arena */
    char phase_text[128];
} hf_external_talk;

/* The JobSpec as one line; paths in it were checked against the worker's roots. New string, free() it. */
char *hf_external_job_spec(const hf_run *run, const hf_stage *stage, hf_err *reterr);
/* One line of stdout: a ProgressEvent (reported) or the JobResult (kept). PROTOCOL for anything else. */
hf_code hf_external_line(hf_external_talk *talk, hf_str line, hf_err *reterr);
/* Judges the end: the wait status against the JobResult; tail is the end of stderr. */
hf_code hf_external_judge(hf_external_talk *talk, int status, const char *tail, hf_str *ret_phase, hf_err *reterr);
#define HF_EXTERNAL_LIMIT_FILE ".bandwidth_limit"
/* Writes the file HF_BANDWIDTH_FILE of the private directory anew, whole: bytes a second, 0 for none. False: it could not. */
bool hf_external_tell_limit(int dir_fd, int64_t bytes_per_second);
/* Publishes the outputs the JobResult names and fills *ret. */
hf_code hf_external_outputs(hf_external_talk *talk, hf_stage *stage, hf_result *ret, hf_err *reterr);
