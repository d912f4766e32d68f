#include "schemas/base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "schemas/base/mem.h"

enum { BLOCK_BYTES = 8192, ALIGN = 16 };

struct hf_arena_block {
    hf_arena_block *older;
    size_t size_bytes;
    _Alignas(ALIGN) char bytes[];
};

void hf_arena_init(hf_arena *arena, size_t max_bytes) { *arena = (hf_arena){.max_bytes = max_bytes}; }

void hf_arena_done(hf_arena *arena) {
    while (arena->blocks) {
        hf_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        free(block);
    }
    arena->next = arena->end = NULL;
    arena->used_bytes = 0;
}

void hf_arena_reset(hf_arena *arena) {
    while (arena->blocks && arena->blocks->older) {
        hf_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        free(block);
    }
    arena->used_bytes = 0;
    if (arena->blocks) {
        arena->next = arena->blocks->bytes;
        arena->end = arena->next + arena->blocks->size_bytes;
    }
}

static int add_block(hf_arena *arena, size_t at_least) {
    size_t size = at_least > BLOCK_BYTES ? at_least : BLOCK_BYTES;
    hf_arena_block *block = hf_alloc(sizeof *block + size);
    if (!block)
        return 0;
    block->size_bytes = size;
    block->older = arena->blocks;
    arena->blocks = block;
    arena->next = block->bytes;
    arena->end = block->bytes + size;
    return 1;
}

void *hf_arena_alloc(hf_arena *arena, size_t size_bytes) {
    size_t wanted = size_bytes ? size_bytes : 1; /* nothing is something that can be pointed to */
    size_t size = (wanted + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size < wanted || size > arena->max_bytes - arena->used_bytes)
        return NULL;
    if ((size_t)(arena->end - arena->next) < size && !add_block(arena, size))
        return NULL;
    void *p = arena->next;
    arena->next += size;
    arena->used_bytes += size;
    return memset(p, 0, size);
}

hf_str hf_arena_str(hf_arena *arena, hf_str s) {
    char *copy = hf_arena_alloc(arena, (size_t)s.len + 1);
    if (!copy)
        return (hf_str){NULL, s.len};
    if (s.len)
        memcpy(copy, s.p, s.len);
    return (hf_str){copy, s.len};
}

char *hf_arena_printf(hf_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : hf_arena_alloc(arena, (size_t)len + 1);
    if (text)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}
