#include "schemas/base/fault.h"

#ifdef HF_FAULT_POINTS
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void hf_fault_point(const char *name) {
    static atomic_long passes;
    const char *wanted = getenv("HF_KILL_AT");
    if (!wanted)
        return;
    size_t len = strcspn(wanted, ":");
    if (strlen(name) != len || memcmp(wanted, name, len) != 0)
        return;
    long nth = wanted[len] ? strtol(wanted + len + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&passes, 1) + 1 >= nth)
        raise(SIGKILL);
}

/* ---- calls that fail --------------------------------------------------------------------------------------- */
static atomic_ullong write_left, sync_left, calls;
static atomic_int write_errno, sync_errno;
static atomic_size_t piece;

void hf_fault_write_at(uint64_t nth, int err) {
    atomic_store(&write_errno, err);
    atomic_store(&write_left, nth);
}
void hf_fault_sync_at(uint64_t nth, int err) {
    atomic_store(&sync_errno, err);
    atomic_store(&sync_left, nth);
}
void hf_fault_pieces(size_t bytes) { atomic_store(&piece, bytes); }

/* Counts down; true for the one that comes at zero. */
static bool is_due(atomic_ullong *left) {
    unsigned long long now = atomic_load(left);
    while (now > 0 && !atomic_compare_exchange_weak(left, &now, now - 1))
        ;
    return now == 1;
}

/* False: interrupted. */
static bool in_pieces(size_t *len) {
    size_t most = atomic_load(&piece);
    if (most == 0)
        return true;
    *len = *len < most ? *len : most;
    if (atomic_fetch_add(&calls, 1) % 3 != 0)
        return true;
    errno = EINTR;
    return false;
}

ssize_t hf_pread(int fd, void *to, size_t len, off_t offset) {
    return in_pieces(&len) ? pread(fd, to, len, offset) : -1;
}

ssize_t hf_pwrite(int fd, const void *from, size_t len, off_t offset) {
    if (is_due(&write_left)) {
        errno = atomic_load(&write_errno);
        return -1;
    }
    return in_pieces(&len) ? pwrite(fd, from, len, offset) : -1;
}

int hf_fsync(int fd) {
    if (!is_due(&sync_left))
        return fsync(fd);
    errno = atomic_load(&sync_errno);
    return -1;
}

int hf_fdatasync(int fd) {
    if (!is_due(&sync_left))
        return fdatasync(fd);
    errno = atomic_load(&sync_errno);
    return -1;
}
#else
typedef int hf_fault_points_are_off; /* an empty translation unit is not allowed */
#endif
