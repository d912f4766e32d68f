#include "schemas/base/ready.h"

#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int parent_fd = -2; /* -2: the environment was not read yet; -1: nobody listens, or no more */

/* Under the lock. The descriptor must not reach programs that this one starts. */
static int parent(void) {
    if (parent_fd != -2)
        return parent_fd;
    const char *text = getenv("HF_READY_FD");
    char *end = NULL;
    long fd = text && *text ? strtol(text, &end, 10) : -1;
    parent_fd =
        text && *text && !*end && fd > 2 && fd < 65536 && fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0 ? (int)fd : -1;
    return parent_fd;
}

static void say(const char *name, const char *value) {
    char line[512];
    int n = snprintf(line, sizeof line, "%s=%s\n", name, value);
    if (n > 0 && (size_t)n < sizeof line && parent() >= 0 && write(parent_fd, line, (size_t)n) != n) {
        close(parent_fd); /* the parent is gone */
        parent_fd = -1;
    }
}

static void tell_systemd(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = 0; /* abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    static const char ready[] = "READY=1";
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)!sendto(fd, ready, sizeof ready - 1, MSG_NOSIGNAL, (struct sockaddr *)&to, size);
    close(fd);
}

void hf_ready_note(const char *name, const char *value) {
    pthread_mutex_lock(&lock);
    say(name, value);
    pthread_mutex_unlock(&lock);
}

void hf_ready_notify(void) {
    static int done;
    pthread_mutex_lock(&lock);
    if (!done) {
        done = 1;
        say("READY", "1");
        if (parent() >= 0)
            close(parent_fd);
        parent_fd = -1;
        tell_systemd();
    }
    pthread_mutex_unlock(&lock);
}
