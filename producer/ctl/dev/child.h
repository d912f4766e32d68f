/* One program that `hyperctl dev` runs: started, watched, its lines kept, started anew when it dies.
 *
 * A child dies with hyperctl, even after kill -9 (PR_SET_PDEATHSIG; so start them from the main thread alone), and has a
 * process group of its own, so that Ctrl-C on the terminal reaches hyperctl only, which stops its children in order. What a child
 * prints goes to DIR/log/NAME.log (two files of HF_CHILD_LOG_BYTES); errors, and lines that are not log lines, also to
 * the terminal, HF_CHILD_ECHO_A_SECOND at most. It says that it is ready by schemas/base/ready.h. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "schemas/base/err.h"

enum {
    HF_CHILD_ARGS_MAX = 512,
    HF_CHILD_LOG_BYTES = 64 << 20,
    HF_CHILD_ECHO_A_SECOND = 20,
    HF_CHILD_LINE_BYTES = 8192
};

typedef enum hf_child_state {
    HF_CHILD_STARTING, /* runs, is not ready yet */
    HF_CHILD_READY,
    HF_CHILD_WAITING, /* died; will be started again at restart_at_ms */
    HF_CHILD_STOPPED, /* ended, and shall not run again */
} hf_child_state;

typedef struct hf_child {
    char name[64];   /* "hyperworker worker-1": in messages; its log is named after it */
    char path[4200]; /* of the program */
    char *argv[HF_CHILD_ARGS_MAX];
    int argc;
    char log_path[2300];
    hf_child_state state;
    pid_t pid; /* 0: does not run */
    int out_fd, ready_fd, log_fd;
    int64_t log_bytes, started_ms, restart_at_ms, echo_second;
    int echoed, failures; /* failures in a row, without HF_CHILD_STEADY_MS between */
    int exit_status;      /* of the last end, as wait(2) gives it */
    char line[HF_CHILD_LINE_BYTES], ready_line[512], last_error[1024];
    size_t line_len, ready_len;
    void (*on_note)(void *ctx, const char *name, const char *value); /* "HTTP", "127.0.0.1:41234" */
    void *ctx;
} hf_child;

enum { HF_CHILD_STEADY_MS = 10000, HF_CHILD_BACKOFF_MS = 100, HF_CHILD_BACKOFF_MAX_MS = 5000 };

/* program: found beside this one. log_dir: where NAME.log goes. */
hf_code hf_child_init(hf_child *child, const char *name, const char *program, const char *log_dir, hf_err *reterr);
void hf_child_done(hf_child *child);
hf_code hf_child_arg(hf_child *child, hf_err *reterr, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Starts it (anew). From the main thread. */
hf_code hf_child_start(hf_child *child, int64_t now_ms, hf_err *reterr);
/* Takes what it printed and what it said about being ready; never blocks. */
void hf_child_read(hf_child *child, int64_t now_ms);
/* Looks whether it ended; true when it just did: then state is WAITING with restart_at_ms set. Whatever it left of its process group is
 * killed. */
bool hf_child_reap(hf_child *child, int64_t now_ms);
void hf_child_signal(hf_child *child, int sig);
/* "exit status 78", "signal 9 (Killed)" */
const char *hf_child_end_text(const hf_child *child, char *text, size_t size);
/* Is this line worth the terminal: an error, or no log line at all? */
bool hf_child_line_matters(const char *line);
/* Wait before the nth restart in a row (from 1). */
int64_t hf_child_backoff_ms(int failures);
