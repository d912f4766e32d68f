#include "consumer/pipeline/codec_place.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP_BITS = 16, HASH_BITS = 13 }; /* igzip's table of level 2: 8 Ki entries */
#define STEP ((uintptr_t)1 << STEP_BITS)
/* CRC is linear: over 2^15 steps in line, from a multiple of that, each value is met (over 2^13 not: the map has rank 12 there). */
#define WINDOW ((size_t)2 << (STEP_BITS + 15))
#define CASTAGNOLI 0x82f63b78U /* reflected: what the instruction crc32 divides by (SSE4.2) */

static size_t whole_pages(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

uint32_t hf_place_hash(const void *memory) {
    uint32_t crc = (uint32_t)((uint64_t)(uintptr_t)memory >> STEP_BITS);
    for (int bit = 0; bit < 32; bit++)
        crc = crc >> 1 ^ (CASTAGNOLI & (0U - (crc & 1)));
    return crc & ((1U << HASH_BITS) - 1);
}

void *hf_place_alloc(size_t size) {
    size = whole_pages(size);
    size_t room = WINDOW + size;
    char *all = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *place = NULL;
    if (all == MAP_FAILED)
        return NULL;
    char *first = all + (STEP - ((uintptr_t)all & (STEP - 1))) % STEP;
    for (char *at = first; !place && at + size <= all + room; at += STEP)
        place = hf_place_hash(at) == 0 ? at : NULL;
    if (!place || mprotect(place, size, PROT_READ | PROT_WRITE) != 0) {
        munmap(all, room);
        return NULL;
    }
    if (place > all)
        munmap(all, (size_t)(place - all));
    if (place + size < all + room)
        munmap(place + size, (size_t)(all + room - place) - size);
    return place;
}

void hf_place_free(void *memory, size_t size) {
    if (memory)
        munmap(memory, whole_pages(size));
}
