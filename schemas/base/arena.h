/* A bump allocator: decoded records live in one, and go all at once.
 * Reset keeps the first block, so a loop that decodes into the same arena stops allocating.
 * Not thread-safe: one arena, one thread. Bounded: past max_bytes an allocation fails. */
#pragma once
#include <stddef.h>

#include "schemas/base/str.h"

typedef struct hf_arena_block hf_arena_block;
typedef struct hf_arena {
    hf_arena_block *blocks; /* newest first */
    char *next, *end;
    size_t used_bytes, max_bytes;
} hf_arena;

void hf_arena_init(hf_arena *arena, size_t max_bytes);
void hf_arena_done(hf_arena *arena);
void hf_arena_reset(hf_arena *arena);
/* size_bytes zeroed, aligned for any object; NULL past the bound or when memory is short. */
void *hf_arena_alloc(hf_arena *arena, size_t size_bytes);
/* A copy of s, NUL-terminated behind its end; {NULL,0} with s.len > 0 means no memory. */
hf_str hf_arena_str(hf_arena *arena, hf_str s);
char *hf_arena_printf(hf_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
