/* The bandwidth of a program's job, where the program can look at it while it runs. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "consumer/operation/external_private.h"
#include "schemas/base/mem.h"

static const char FRESH[] = HF_EXTERNAL_LIMIT_FILE ".new";

bool hf_external_tell_limit(int dir_fd, int64_t bytes_per_second) {
    char text[32];
    int len = snprintf(text, sizeof text, "%" PRId64 "\n", bytes_per_second);
    unlinkat(dir_fd, FRESH, 0); /* the directory is the program's too: whatever it put there is not written through */
    hf_auto_fd int fd = openat(dir_fd, FRESH, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, text, (size_t)len) == len &&
           renameat(dir_fd, FRESH, dir_fd, HF_EXTERNAL_LIMIT_FILE) == 0;
}
