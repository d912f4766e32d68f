/* A guest operation's private directory: what a killed session left is removed by the next one, and nobody else's. No appliance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifdef HF_HAVE_GUESTFS
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/operation/guest/inside.h"
#include "schemas/base/mem.h"

static hf_guest_session *begin(void) {
    hf_guest_session *x = hf_alloc(sizeof *x);
    hf_err err = {0};
    assert_non_null(x);
    x->aside_fd = x->aside_lock = -1;
    if (hf_guest_aside_open(x, &err) != HF_OK)
        fail_msg("%s", err.detail);
    return x;
}

static void end(hf_guest_session *x) {
    hf_guest_aside_close(x);
    free(x);
}

static bool is_there(const char *path) { return access(path, F_OK) == 0; }

static void put(const char *dir, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    hf_auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
}

static void what_the_dead_left_goes_and_the_living_stay(void **state) {
    (void)state;
    char dead[64], other[] = "/var/tmp/hf-other-XXXXXX", early[] = "/var/tmp/hf-guest-XXXXXX";
    hf_guest_session *killed = begin(), *living = begin();
    assert_true(is_there(killed->aside) && is_there(living->aside));
    put(killed->aside, "overlay-1.qcow2");
    put(living->aside, "overlay-1.qcow2");
    snprintf(dead, sizeof dead, "%s", killed->aside);
    hf_close_p(&killed->aside_fd); /* as when its process ends: the directory stays, the lock does not */
    hf_close_p(&killed->aside_lock);
    free(killed);
    assert_non_null(mkdtemp(other)); /* not one of ours by its name */
    put(other, ".lock");
    assert_non_null(mkdtemp(early)); /* somebody is just making it */
    hf_guest_session *next = begin();
    assert_false(is_there(dead));
    assert_true(is_there(living->aside) && is_there(other) && is_there(early) && is_there(next->aside));
    const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, early, old, 0), 0);
    end(begin());
    assert_false(is_there(early)); /* nobody is making it any more */
    hf_remove_tree(AT_FDCWD, other);
    end(next);
    snprintf(dead, sizeof dead, "%s", living->aside);
    end(living);
    assert_false(is_there(dead));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_the_dead_left_goes_and_the_living_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) { return 77; }
#endif
