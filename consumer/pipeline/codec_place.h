/* Where a lane's memory lies, for a library whose output depends on it.
 *
 * igzip 2.30 files the third position of each stream that has no history under a hash of what its register happens to hold, which is bits 16 to 47
 * of the address of its struct isal_zstream, instead of the data's (igzip_icf_body_h1_gr_bt.asm, write_first_byte). That rarely crowds
 * out a match, so equal grains could become other bytes in another lane. A lane whose address has always the same hash makes
 * always the same bytes: one in 8,192 places of 64 KiB does, and this finds one in a piece of address space that costs no memory.
 *
 * Threads: any. Memory is zeroed. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* NULL without memory, or where the address space is bounded so tightly (RLIMIT_AS) that 1 GiB of it cannot be looked through. */
void *hf_place_alloc(size_t size);
void hf_place_free(void *memory, size_t size); /* the size it was asked with; NULL is nothing to do */
/* The hash that such an address has: always 0 for what hf_place_alloc returns. */
uint32_t hf_place_hash(const void *memory);
