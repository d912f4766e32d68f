#include "consumer/operation/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schemas/base/mem.h"

#define SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What execve gets: name as it is when absolute, else found in the search path. */
static hf_code find_program(const char *name, char path[4096], hf_err *reterr) {
    if (name[0] == '/') {
        snprintf(path, 4096, "%s", name);
        return access(path, X_OK) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "program %s", name);
    }
    if (strchr(name, '/'))
        return hf_fail(reterr, HF_E_CONFIG, "program %s: give an absolute path or a plain name", name);
    for (const char *dir = SEARCH_PATH; *dir;) {
        size_t n = strcspn(dir, ":");
        snprintf(path, 4096, "%.*s/%s", (int)n, dir, name);
        if (access(path, X_OK) == 0)
            return HF_OK;
        dir += n + (dir[n] == ':');
    }
    return hf_fail(reterr, HF_E_NOT_FOUND, "program %s is not in %s", name, SEARCH_PATH);
}

/* The rest runs in the child, between fork and exec: only calls that are safe there. */
enum { PASSED = 3 };

/* After every descriptor was marked to be closed: `fd` as number 3, open; *report_fd out of its way. */
static bool pass_on(int fd, int *report_fd) {
    if (*report_fd == PASSED && (*report_fd = fcntl(PASSED, F_DUPFD_CLOEXEC, PASSED + 1)) < 0)
        return false;
    return dup2(fd, PASSED) == PASSED && fcntl(PASSED, F_SETFD, 0) == 0;
}

static bool bound_memory(int64_t bytes) {
    struct rlimit limit = {(rlim_t)bytes, (rlim_t)bytes};
    return bytes == 0 || setrlimit(RLIMIT_AS, &limit) == 0;
}

_Noreturn static void become(const hf_child_options *o, const char *path, const int fds[3], int report_fd,
                             pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    bool fine = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && fchdir(o->cwd_fd) == 0;
    for (int i = 0; fine && i < 3; i++)
        fine = dup2(fds[i], i) == i;
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fine = fine && close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
    if (fine && (!o->pass_fd || pass_on(*o->pass_fd, &report_fd)) && bound_memory(o->memory_bytes))
        execve(path, o->argv, o->envp);
    int err = errno;
    (void)!write(report_fd, &err, sizeof err);
    _exit(127);
}

/* A pipe whose ends are not 0, 1 or 2, as they can be in a parent that closed its own: the child's dup2 would cut them off. */
static int high_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (ends[i] <= 2) {
            int low = ends[i];
            ends[i] = fcntl(low, F_DUPFD_CLOEXEC, 3);
            close(low);
            if (ends[i] < 0)
                return -1;
        }
    return 0;
}

static void close_all(int *fds, int count) {
    for (int i = 0; i < count; i++)
        hf_close_p(&fds[i]);
}

hf_code hf_child_start(const hf_child_options *options, hf_child *ret, hf_err *reterr) {
    char path[4096];
    hf_code rc = find_program(options->argv[0], path, reterr);
    if (rc != HF_OK)
        return rc;
    int p[8] = {-1, -1, -1, -1, -1, -1, -1, -1}; /* in, out, err, report: read end, write end */
    for (int i = 0; i < 4; i++)
        if (high_pipe(p + 2 * (size_t)i) != 0) {
            rc = hf_fail_errno(reterr, errno, "pipes to program %s", path);
            close_all(p, 8);
            return rc;
        }
    const int theirs[3] = {p[0], p[3], p[5]};
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(options, path, theirs, p[7], parent);
    int err = errno;
    hf_close_p(&p[0]);
    hf_close_p(&p[3]);
    hf_close_p(&p[5]);
    hf_close_p(&p[7]);
    if (pid < 0)
        rc = hf_fail_errno(reterr, err, "starting program %s", path);
    else if (setpgid(pid, pid), read(p[6], &err, sizeof err) == sizeof err) { /* ends at exec */
        waitpid(pid, NULL, 0);
        rc = hf_fail_errno(reterr, err, "starting program %s", path);
    }
    hf_close_p(&p[6]);
    if (rc != HF_OK) {
        close_all(p, 8);
        return rc;
    }
    *ret = (hf_child){.pid = pid, .in = p[1], .out = p[2], .err = p[4]};
    fcntl(ret->in, F_SETFL, O_NONBLOCK);
    fcntl(ret->out, F_SETFL, O_NONBLOCK);
    fcntl(ret->err, F_SETFL, O_NONBLOCK);
    return HF_OK;
}

bool hf_child_ended(const hf_child *child) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == child->pid;
}

void hf_child_signal(const hf_child *child, int signal_number) {
    if (child->pid > 0)
        kill(-child->pid, signal_number);
}

int hf_child_finish(hf_child *child) {
    int status = 0;
    hf_child_signal(child, SIGKILL);
    while (child->pid > 0 && waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    child->pid = 0;
    hf_close_p(&child->in);
    hf_close_p(&child->out);
    hf_close_p(&child->err);
    return status;
}
