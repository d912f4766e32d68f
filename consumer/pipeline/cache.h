/* Reading and writing that does not push out what the host keeps in its page cache.
 *
 * Read: before a window of 32 MiB is read, mincore(2) tells which MiBs of it are in the cache already; the others are dropped two
 * windows behind the reader. The kernel tells that only to whoever owns the file or may write to it; for others all counts as
 * cached, and nothing is dropped. What qemu-nbd reads is not looked after.
 * Write: each 32 MiB is sent on its way to the disk (sync_file_range), and what has arrived there is dropped 64 MiB behind the writer; not
 * the first keep_bytes, for files that are read back at the end. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { HF_CACHE_WINDOW = 32 << 20, HF_CACHE_WINDOWS = 16 };
#define HF_CACHE_READ_BACK ((int64_t)1 << 30) /* keep_bytes of outputs that are read back for their hash */

typedef struct hf_reading {
    pthread_mutex_t lock;
    int64_t furthest; /* window that is read */
    struct {
        int64_t number;  /* of the window; -1: none */
        uint32_t cached; /* bit i: something of its MiB i was cached before we came */
    } windows[HF_CACHE_WINDOWS];
} hf_reading;

void hf_reading_init(hf_reading *reading);
void hf_reading_done(hf_reading *reading, int fd);
/* Before each read at offset, by any thread, roughly front to back. */
void hf_read_behind(hf_reading *reading, int fd, int64_t size_bytes, int64_t offset);

typedef struct hf_write_behind {
    int64_t keep_bytes; /* of the file's front; set before the first note */
    int64_t sent, dropped;
} hf_write_behind;

/* All before `end` is written, and does not change any more. */
void hf_write_behind_note(hf_write_behind *behind, int fd, int64_t end);
/* The file is durable and is not read again here. */
void hf_cache_drop(int fd, int64_t size_bytes);
