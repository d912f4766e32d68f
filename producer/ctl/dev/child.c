#include "producer/ctl/dev/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "producer/ctl/sibling.h"
#include "schemas/base/mem.h"

hf_code hf_child_init(hf_child *child, const char *name, const char *program, const char *log_dir, hf_err *reterr) {
    memset(child, 0, sizeof *child);
    child->out_fd = child->ready_fd = child->log_fd = -1;
    child->state = HF_CHILD_STOPPED;
    snprintf(child->name, sizeof child->name, "%s", name);
    snprintf(child->log_path, sizeof child->log_path, "%s/%s.log", log_dir, name);
    hf_code code = hf_sibling_path(program, child->path, sizeof child->path, reterr);
    return code ? code : hf_child_arg(child, reterr, "%s", program);
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void hf_child_done(hf_child *child) {
    for (int i = 0; i < child->argc; i++)
        free(child->argv[i]);
    close_fd(&child->out_fd);
    close_fd(&child->ready_fd);
    close_fd(&child->log_fd);
    child->argc = 0;
}

hf_code hf_child_arg(hf_child *child, hf_err *reterr, const char *format, ...) {
    if (child->argc >= HF_CHILD_ARGS_MAX - 1)
        return hf_fail(reterr, HF_E_LIMIT, "more than %d arguments for %s", HF_CHILD_ARGS_MAX - 1, child->name);
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return hf_fail(reterr, HF_E_NO_MEMORY, "arguments of %s", child->name);
    child->argv[child->argc++] = text;
    return HF_OK;
}

/* ---- starting -------------------------------------------------------------------------------------- */
enum { READY_FD = 3 };
/* The environment, without what is said to hyperctl alone, with the descriptor to say READY on. malloc'd list; strings borrow. */
static char **environment(void) {
    static char ready[] = "HF_READY_FD=3"; /* one digit: a shell can write to it, too */
    size_t n = 0, at = 0;
    while (environ[n])
        n++;
    char **list = hf_alloc((n + 2) * sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (strncmp(environ[i], "HF_READY_FD=", 12) != 0 && strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
            list[at++] = environ[i];
    if (list)
        list[at] = ready;
    return list;
}

/* After fork, in a process whose other threads are gone: system calls only. */
static void become(const hf_child *child, char **envp, int out, int ready, int null, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before prctl */
        _exit(127);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* libraries' sockets are not always close-on-exec */
    if (ready == READY_FD ? fcntl(ready, F_SETFD, 0) != 0 : dup2(ready, READY_FD) != READY_FD)
        _exit(127);
    execve(child->path, child->argv, envp);
    _exit(127);
}

static hf_code open_log(hf_child *child, hf_err *reterr) {
    if (child->log_fd >= 0)
        return HF_OK;
    child->log_fd = open(child->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (child->log_fd < 0)
        return hf_fail_errno(reterr, errno, "%.400s", child->log_path);
    child->log_bytes = lseek(child->log_fd, 0, SEEK_END);
    return HF_OK;
}

static hf_code fork_it(hf_child *child, int out[2], int ready[2], hf_err *reterr) {
    hf_auto_free char **envp = environment();
    hf_auto_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!envp || null < 0)
        return hf_fail(reterr, HF_E_NO_MEMORY, "start %s", child->name);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return hf_fail_errno(reterr, errno, "fork for %s", child->name);
    if (pid == 0)
        become(child, envp, out[1], ready[1], null, parent);
    setpgid(pid, pid); /* both sides, so that the group is there for whoever is first to signal it */
    child->pid = pid;
    return HF_OK;
}

hf_code hf_child_start(hf_child *child, int64_t now_ms, hf_err *reterr) {
    int out[2] = {-1, -1}, ready[2] = {-1, -1};
    hf_code code = open_log(child, reterr);
    if (code)
        return code;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0)
        code = hf_fail_errno(reterr, errno, "pipe for %s", child->name);
    if (!code)
        code = fork_it(child, out, ready, reterr);
    close_fd(&out[1]);
    close_fd(&ready[1]);
    if (code) {
        close_fd(&out[0]);
        close_fd(&ready[0]);
        return code;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(ready[0], F_SETFL, O_NONBLOCK);
    close_fd(&child->out_fd);
    close_fd(&child->ready_fd);
    child->out_fd = out[0];
    child->ready_fd = ready[0];
    child->line_len = child->ready_len = 0;
    child->started_ms = now_ms;
    child->state = HF_CHILD_STARTING;
    return HF_OK;
}

/* ---- what it says ------------------------------------------------------------------------------------ */
bool hf_child_line_matters(const char *line) {
    if (strncmp(line, "ts=", 3) == 0)
        return strstr(line, " level=error ") != NULL;
    if (line[0] == '{')
        return strstr(line, "\"level\":\"error\"") != NULL;
    return *line != 0;
}

static void echo(hf_child *child, int64_t now_ms) {
    if (child->echo_second != now_ms / 1000) {
        child->echo_second = now_ms / 1000;
        child->echoed = 0;
    }
    if (child->echoed < HF_CHILD_ECHO_A_SECOND)
        fprintf(stderr, "%s: %s\n", child->name, child->line);
    else if (child->echoed == HF_CHILD_ECHO_A_SECOND)
        fprintf(stderr, "%s: further lines are in %s\n", child->name, child->log_path);
    child->echoed++;
}

static void rotate(hf_child *child) {
    char former[2400];
    hf_err err;
    snprintf(former, sizeof former, "%s.1", child->log_path);
    close_fd(&child->log_fd);
    if (rename(child->log_path, former) != 0 || open_log(child, &err))
        fprintf(stderr, "hyperctl dev: %s is full and could not be put aside; further lines are lost\n",
                child->log_path);
}

/* A disk that is full costs log lines, never the fleet. */
static void keep(hf_child *child) {
    if (child->log_fd < 0)
        return;
    if (child->log_bytes > HF_CHILD_LOG_BYTES)
        rotate(child);
    child->line[child->line_len] = '\n';
    ssize_t n = child->log_fd >= 0 ? write(child->log_fd, child->line, child->line_len + 1) : 0;
    child->log_bytes += n > 0 ? n : 0;
    child->line[child->line_len] = 0;
}

static void end_line(hf_child *child, int64_t now_ms) {
    child->line[child->line_len] = 0;
    keep(child);
    if (hf_child_line_matters(child->line)) {
        snprintf(child->last_error, sizeof child->last_error, "%.1000s", child->line);
        echo(child, now_ms);
    }
    child->line_len = 0;
}

static void take_output(hf_child *child, const char *bytes, size_t len, int64_t now_ms) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n' || child->line_len == HF_CHILD_LINE_BYTES - 2)
            end_line(child, now_ms);
        if (bytes[i] != '\n')
            child->line[child->line_len++] = bytes[i] ? bytes[i] : ' ';
    }
}

static void take_note(hf_child *child) {
    char *equals = strchr(child->ready_line, '=');
    if (!equals)
        return;
    *equals = 0;
    if (strcmp(child->ready_line, "READY") == 0 && child->state == HF_CHILD_STARTING)
        child->state = HF_CHILD_READY;
    else if (child->on_note)
        child->on_note(child->ctx, child->ready_line, equals + 1);
}

static void take_notes(hf_child *child, const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (child->ready_len < sizeof child->ready_line - 1)
                child->ready_line[child->ready_len++] = bytes[i];
            continue;
        }
        child->ready_line[child->ready_len] = 0;
        child->ready_len = 0;
        take_note(child);
    }
}

/* Bytes read, 0 when there is nothing now, -1 at the end. */
static ssize_t read_some(int fd, char *bytes, size_t size) {
    for (;;) {
        ssize_t n = read(fd, bytes, size);
        if (n > 0)
            return n;
        if (n < 0 && errno == EINTR)
            continue;
        return n < 0 && errno == EAGAIN ? 0 : -1;
    }
}

void hf_child_read(hf_child *child, int64_t now_ms) {
    enum { READS_MAX = 64 }; /* a child that floods must not keep the others waiting */
    char bytes[16384];
    ssize_t n = 0;
    for (int i = 0; i < READS_MAX && child->out_fd >= 0 && (n = read_some(child->out_fd, bytes, sizeof bytes)) != 0;
         i++) {
        if (n > 0)
            take_output(child, bytes, (size_t)n, now_ms);
        else
            close_fd(&child->out_fd);
    }
    while (child->ready_fd >= 0 && (n = read_some(child->ready_fd, bytes, sizeof bytes)) != 0) {
        if (n > 0)
            take_notes(child, bytes, (size_t)n);
        else
            close_fd(&child->ready_fd);
    }
}

/* ---- its end ------------------------------------------------------------------------------------------- */
int64_t hf_child_backoff_ms(int failures) {
    int64_t ms = HF_CHILD_BACKOFF_MS;
    for (int i = 1; i < failures && ms < HF_CHILD_BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < HF_CHILD_BACKOFF_MAX_MS ? ms : HF_CHILD_BACKOFF_MAX_MS;
}

bool hf_child_reap(hf_child *child, int64_t now_ms) {
    siginfo_t info = {0};
    if (child->pid <= 0 || waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid != child->pid)
        return false;
    kill(-child->pid, SIGKILL); /* while its number cannot be anybody else's yet */
    waitpid(child->pid, &child->exit_status, 0);
    hf_child_read(child, now_ms); /* its last words */
    if (child->line_len > 0)
        end_line(child, now_ms);
    close_fd(&child->out_fd);
    close_fd(&child->ready_fd);
    child->pid = 0;
    child->failures = now_ms - child->started_ms >= HF_CHILD_STEADY_MS ? 1 : child->failures + 1;
    child->restart_at_ms = now_ms + hf_child_backoff_ms(child->failures);
    child->state = HF_CHILD_WAITING;
    return true;
}

void hf_child_signal(hf_child *child, int sig) {
    if (child->pid > 0)
        kill(child->pid, sig);
}

const char *hf_child_end_text(const hf_child *child, char *text, size_t size) {
    int status = child->exit_status;
    if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exit status %d", WEXITSTATUS(status));
    return text;
}
