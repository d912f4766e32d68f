#include "tests/support/dirs.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/base/id.h"

const char *hf_test_dir_make(const char *what, char path[HF_TEST_PATH]) {
    const char *tmp = getenv("TMPDIR");
    snprintf(path, HF_TEST_PATH, "%s/hyperfleet-%s-XXXXXX", tmp && *tmp ? tmp : "/tmp", what);
    if (!mkdtemp(path))
        fail_msg("cannot make a directory %s", path);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void hf_test_dir_remove(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

int hf_test_free_port(void) {
    for (int i = 0; i < 1000; i++) {
        int port = 10000 + (int)(hf_random_u64(hf_random_system()) % 5000);
        struct sockaddr_in a = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int failed = bind(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
        if (!failed)
            return port;
    }
    fail_msg("no free port between 10000 and 15000");
    return -1;
}
