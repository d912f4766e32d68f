#include "consumer/pipeline/cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 1 << 20, PAGE = 4096, DROP_BEHIND = 64 << 20, LOOK_AHEAD = 4, DROP_AFTER = 2 };

/* ---- reading ---------------------------------------------------------------------------------------------- */
void hf_reading_init(hf_reading *b) {
    b->furthest = -1;
    pthread_mutex_init(&b->lock, NULL);
    for (unsigned i = 0; i < HF_CACHE_WINDOWS; i++)
        b->windows[i].number = -1;
}

static uint32_t cached_of(int fd, int64_t size, int64_t from) {
    unsigned char resident[HF_CACHE_WINDOW / PAGE];
    size_t len = size - from < HF_CACHE_WINDOW ? (size_t)(size - from) : HF_CACHE_WINDOW;
    uint32_t cached = 0;
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, from);
    if (map == MAP_FAILED)
        return UINT32_MAX;
    if (sysconf(_SC_PAGESIZE) != PAGE || mincore(map, len, resident) != 0)
        cached = UINT32_MAX;
    else
        for (size_t page = 0; page < (len + PAGE - 1) / PAGE; page++)
            cached |= (uint32_t)(resident[page] & 1) << (page / (PIECE / PAGE));
    munmap(map, len);
    return cached;
}

/* What was not cached before of a window, in runs: a folio of the cache (2 MiB and more) goes only as a whole. */
static void drop_window(int fd, int64_t number, uint32_t cached) {
    for (unsigned i = 0; i < HF_CACHE_WINDOW / PIECE;) {
        unsigned from = i;
        while (i < HF_CACHE_WINDOW / PIECE && !(cached >> i & 1))
            i++;
        if (i > from)
            (void)posix_fadvise(fd, number * HF_CACHE_WINDOW + (int64_t)from * PIECE, (int64_t)(i - from) * PIECE,
                                POSIX_FADV_DONTNEED);
        else
            i++;
    }
}

static void look_at(hf_reading *b, int fd, int64_t size, int64_t number) {
    int64_t from = number * HF_CACHE_WINDOW;
    if (b->windows[number % HF_CACHE_WINDOWS].number >= number || from >= size)
        return; /* known, or so far behind that its place is taken */
    int64_t former = b->windows[number % HF_CACHE_WINDOWS].number;
    if (former >= 0) /* its place is taken */
        drop_window(fd, former, b->windows[number % HF_CACHE_WINDOWS].cached);
    b->windows[number % HF_CACHE_WINDOWS].number = number;
    b->windows[number % HF_CACHE_WINDOWS].cached = cached_of(fd, size, from);
}

void hf_read_behind(hf_reading *b, int fd, int64_t size, int64_t offset) {
    int64_t number = offset / HF_CACHE_WINDOW, drop = -1;
    uint32_t cached = 0;
    pthread_mutex_lock(&b->lock);
    for (int64_t ahead = 0; ahead < LOOK_AHEAD; ahead++) /* the kernel's read-ahead was seen to get 32 MiB ahead */
        look_at(b, fd, size, number + ahead);
    if (number > b->furthest) {
        b->furthest = number;
        drop = number - DROP_AFTER;
        cached = drop >= 0 && b->windows[drop % HF_CACHE_WINDOWS].number == drop
                     ? b->windows[drop % HF_CACHE_WINDOWS].cached
                     : UINT32_MAX;
    }
    pthread_mutex_unlock(&b->lock);
    if (drop >= 0)
        drop_window(fd, drop, cached);
}

void hf_reading_done(hf_reading *b, int fd) {
    for (unsigned i = 0; fd >= 0 && i < HF_CACHE_WINDOWS; i++)
        if (b->windows[i].number >= 0)
            drop_window(fd, b->windows[i].number, b->windows[i].cached);
    pthread_mutex_destroy(&b->lock);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */
void hf_write_behind_note(hf_write_behind *b, int fd, int64_t end) {
    if (end - b->sent < HF_CACHE_WINDOW)
        return;
    /* Only starts the writing; an error shows at fsync. */
    (void)sync_file_range(fd, b->sent, end - b->sent, SYNC_FILE_RANGE_WRITE);
    b->sent = end;
    int64_t from = b->dropped > b->keep_bytes ? b->dropped : b->keep_bytes, to = end - DROP_BEHIND;
    if (to <= from)
        return;
    (void)posix_fadvise(fd, from, to - from, POSIX_FADV_DONTNEED);
    b->dropped = to - DROP_BEHIND > from ? to - DROP_BEHIND : from; /* once more: what was still on its way */
}

void hf_cache_drop(int fd, int64_t size_bytes) {
    if (size_bytes >= HF_CACHE_WINDOW)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}
