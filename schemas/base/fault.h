/* Faults for tests, compiled in only where HF_FAULT_POINTS is defined (dev and tsan presets); nothing otherwise.
 *
 * Named places at which a test makes the process kill -9 itself: HF_KILL_AT=name, or name:N for the Nth time the process comes by.
 * And calls of the kernel that fail when a test asks for it: what writes or reads outputs and images calls them by these names. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef HF_FAULT_POINTS
void hf_fault_point(const char *name);

/* The Nth hf_pwrite from now on fails with err, once (0: none does). */
void hf_fault_write_at(uint64_t nth, int err);
/* The Nth hf_fsync or hf_fdatasync from now on fails with err, once. */
void hf_fault_sync_at(uint64_t nth, int err);
/* hf_pread and hf_pwrite do at most so many bytes at a time, and every third is interrupted before it begins; 0: as asked. */
void hf_fault_pieces(size_t bytes);

ssize_t hf_pread(int fd, void *to, size_t len, off_t offset);
ssize_t hf_pwrite(int fd, const void *from, size_t len, off_t offset);
int hf_fsync(int fd);
int hf_fdatasync(int fd);
#else
#define hf_fault_point(name) ((void)0)
#define hf_pread pread
#define hf_pwrite pwrite
#define hf_fsync fsync
#define hf_fdatasync fdatasync
#endif
