#include "consumer/pipeline/qemu_nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schemas/base/mem.h"

enum {
    LISTEN_FD = 3,     /* sd_listen_fds(3): where a program looks for its socket */
    HIGH_FD_FROM = 64, /* ours are put above those that the child's standard ones and LISTEN_FD replace */
    WORDS_BYTES = 4096,
    PATH_ROOM = 4096,
};

void hf_qemu_nbd_init(hf_qemu_nbd *q) {
    q->pid = 0;
    q->words_fd = -1;
    for (int i = 0; i < HF_QEMU_NBD_CONNECTIONS_MAX; i++)
        q->sockets[i] = -1;
}

static hf_code find_program(const char *format, char program[PATH_ROOM], hf_err *reterr) {
    const char *path = getenv("PATH");
    for (const char *dir = path ? path : "/usr/bin:/bin"; *dir;) {
        size_t n = strcspn(dir, ":");
        if (snprintf(program, PATH_ROOM, "%.*s/qemu-nbd", (int)n, dir) < PATH_ROOM && access(program, X_OK) == 0)
            return HF_OK;
        dir += n + (dir[n] == ':');
    }
    return hf_fail(reterr, HF_E_CAPABILITY,
                   "images of format %s are read by the program qemu-nbd, which is not in PATH: install qemu-utils, or "
                   "convert the image to raw",
                   format);
}

/* A file in memory that cannot grow: what goes past its end is lost, not kept. */
static int words_file(void) {
    int fd = memfd_create("qemu-nbd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, WORDS_BYTES) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0))
        hf_close_p(&fd);
    return fd;
}

/* ---- the socket, and our connections to it -------------------------------------------------------------- */
static hf_code connect_all(hf_qemu_nbd *q, int connections, const struct sockaddr_un *at, hf_err *reterr) {
    for (int i = 0; i < connections; i++) {
        q->sockets[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (q->sockets[i] < 0 || connect(q->sockets[i], (const struct sockaddr *)at, sizeof *at) != 0)
            return hf_fail_errno(reterr, errno, "connecting to qemu-nbd's socket");
    }
    return HF_OK;
}

static hf_code listen_in(const char *dir, hf_qemu_nbd *q, int connections, int *ret_fd, hf_err *reterr) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/nbd", dir);
    hf_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        return hf_fail_errno(reterr, errno, "a socket for qemu-nbd, %s", at.sun_path);
    hf_code rc = listen(fd, HF_QEMU_NBD_CONNECTIONS_MAX) == 0 ? connect_all(q, connections, &at, reterr)
                                                              : hf_fail_errno(reterr, errno, "listening for qemu-nbd");
    unlink(at.sun_path);
    if (rc == HF_OK) {
        *ret_fd = fd;
        fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): the caller's now, not closed here */
    }
    return rc;
}

static hf_code make_socket(hf_qemu_nbd *q, int connections, int *ret_fd, hf_err *reterr) {
    char dir[] = "/tmp/hf-nbd-XXXXXX";
    if (!mkdtemp(dir))
        return hf_fail_errno(reterr, errno, "a directory in /tmp for qemu-nbd's socket");
    hf_code rc = listen_in(dir, q, connections, ret_fd, reterr);
    rmdir(dir);
    return rc;
}

/* ---- the program -------------------------------------------------------------------------------------------- */
typedef struct start {
    char program[PATH_ROOM], path[PATH_ROOM], image[64], format[32], shared[16];
    char listen_pid[32];
    int image_fd, listen_fd, words_fd; /* all above LISTEN_FD */
} start;

/* Between fork and exec: only calls that are safe there. */
_Noreturn static void become(start *s) {
    static const char unable[] = "the program could not be started";
    char digits[16], *argv[] = {(char[]){"qemu-nbd"},
                                (char[]){"-r"},
                                (char[]){"-e"},
                                s->shared,
                                (char[]){"-f"},
                                s->format,
                                (char[]){"--"},
                                s->image,
                                NULL};
    char *envp[] = {s->path, (char[]){"LC_ALL=C"}, (char[]){"LISTEN_FDS=1"}, s->listen_pid, NULL};
    size_t n = 0, at = strlen(s->listen_pid);
    for (pid_t pid = getpid(); pid > 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n > 0)
        s->listen_pid[at++] = digits[--n];
    s->listen_pid[at] = 0;
    sigset_t none;
    sigemptyset(&none);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool fine = nothing >= 0 && dup2(nothing, 0) == 0 && dup2(s->words_fd, 1) == 1 && dup2(s->words_fd, 2) == 2 &&
                dup2(s->listen_fd, LISTEN_FD) == LISTEN_FD;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fine && close_range(LISTEN_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && fcntl(s->image_fd, F_SETFD, 0) == 0)
        execve(s->program, argv, envp);
    (void)!write(s->words_fd, unable, sizeof unable - 1);
    _exit(127);
}

static hf_code spawn(start *s, hf_qemu_nbd *q, hf_err *reterr) {
    const char *path = getenv("PATH");
    snprintf(s->path, sizeof s->path, "PATH=%s", path ? path : "/usr/bin:/bin");
    snprintf(s->listen_pid, sizeof s->listen_pid, "LISTEN_PID=");
    snprintf(s->image, sizeof s->image, "/proc/self/fd/%d", s->image_fd);
    pid_t pid = fork();
    if (pid == 0)
        become(s);
    if (pid < 0)
        return hf_fail_errno(reterr, errno, "starting qemu-nbd");
    q->pid = pid;
    return HF_OK;
}

hf_code hf_qemu_nbd_start(int image_fd, const char *format, int connections, hf_qemu_nbd *q, hf_err *reterr) {
    hf_auto_free start *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting qemu-nbd");
    hf_code rc = find_program(format, s->program, reterr);
    hf_auto_fd int listening = -1;
    if (rc != HF_OK || (rc = make_socket(q, connections, &listening, reterr)) != HF_OK)
        return rc;
    snprintf(s->format, sizeof s->format, "%s", format);
    snprintf(s->shared, sizeof s->shared, "%d", connections);
    q->words_fd = words_file();
    hf_auto_fd int image = fcntl(image_fd, F_DUPFD_CLOEXEC, HIGH_FD_FROM);
    hf_auto_fd int listen_high = fcntl(listening, F_DUPFD_CLOEXEC, HIGH_FD_FROM);
    hf_auto_fd int words_high = q->words_fd < 0 ? -1 : fcntl(q->words_fd, F_DUPFD_CLOEXEC, HIGH_FD_FROM);
    if (image < 0 || listen_high < 0 || words_high < 0)
        return hf_fail_errno(reterr, errno, "descriptors for qemu-nbd");
    s->image_fd = image;
    s->listen_fd = listen_high;
    s->words_fd = words_high;
    return spawn(s, q, reterr);
}

void hf_qemu_nbd_words(const hf_qemu_nbd *q, char words[HF_QEMU_NBD_WORDS]) {
    ssize_t n = q->words_fd < 0 ? 0 : pread(q->words_fd, words, HF_QEMU_NBD_WORDS - 1, 0);
    size_t len = n > 0 ? strnlen(words, (size_t)n) : 0;
    while (len > 0 && words[len - 1] == '\n')
        len--;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)words[i] < ' ' || words[i] == 0x7f)
            words[i] = ' ';
    words[len] = 0;
}

/* It only reads, so that nothing is lost by killing it. */
void hf_qemu_nbd_stop(hf_qemu_nbd *q) {
    for (int i = 0; i < HF_QEMU_NBD_CONNECTIONS_MAX; i++)
        hf_close_p(&q->sockets[i]);
    if (q->pid > 0) {
        kill(q->pid, SIGKILL);
        while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    q->pid = 0;
    hf_close_p(&q->words_fd);
}
