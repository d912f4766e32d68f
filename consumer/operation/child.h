/* A child process with pipes to its stdin, stdout and stderr, in a process group of its own, with the given environment and directory
 * and no other descriptor but one it may be given. The kernel kills it when the thread that started it ends (PR_SET_PDEATHSIG). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schemas/base/err.h"

typedef struct hf_child_options {
    char *const *argv; /* argv[0]: absolute, or a name looked up in PATH */
    char *const *envp;
    int cwd_fd;
    const int *pass_fd;   /* NULL: none; else the child has it as descriptor 3 (HF_CHILD_FD) */
    int64_t memory_bytes; /* of address space; 0: no bound */
} hf_child_options;

#define HF_CHILD_FD "/proc/self/fd/3" /* the passed descriptor as a path, for programs that want one */

typedef struct hf_child {
    pid_t pid;        /* of the process and its group; 0: reaped */
    int in, out, err; /* our ends, non-blocking; -1 once closed */
} hf_child;

hf_code hf_child_start(const hf_child_options *options, hf_child *ret, hf_err *reterr);
/* Whether it has ended; it stays to be reaped, so that its group's id is not given to others. */
bool hf_child_ended(const hf_child *child);
void hf_child_signal(const hf_child *child, int signal_number); /* to the whole group */
/* Kills what is left of the group, reaps the child and closes the pipes. Its wait status. */
int hf_child_finish(hf_child *child);
