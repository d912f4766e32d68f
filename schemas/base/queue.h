/* A bounded queue of fixed-size items passed by value between threads: the only way they talk.
 * Full is an answer, not a wait, unless the caller asks to wait. Any number of threads on both
 * ends. hf_queue_fd is readable while items may be there, for a poll loop (eventfd(2)). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hf_queue hf_queue;

/* NULL without memory. */
hf_queue *hf_queue_new(size_t item_bytes, uint32_t max_items);
void hf_queue_free(hf_queue *queue); /* NULL is fine; drops what is left */
/* False when full or closed; waits up to wait_ms for room (0: not at all, -1: for ever). */
bool hf_queue_push(hf_queue *queue, const void *item, int wait_ms);
/* False when empty (after waiting) or closed and drained. */
bool hf_queue_pop(hf_queue *queue, void *ret_item, int wait_ms);
void hf_queue_close(hf_queue *queue); /* pushes fail from now on; pops drain */
uint32_t hf_queue_len(hf_queue *queue);
int hf_queue_fd(hf_queue *queue);
