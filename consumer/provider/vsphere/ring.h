/* A bounded ring of bytes between one thread that brings and one that takes: the room that a download may run ahead, and no more. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hf_ring {
    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    uint8_t *bytes;
    size_t cap, at, len; /* len bytes from at on, round the end */
    bool over;           /* nothing more will be put */
    bool closed;         /* nothing more will be taken */
} hf_ring;

bool hf_ring_init(hf_ring *ring, size_t cap); /* false: no memory */
void hf_ring_done(hf_ring *ring);             /* of an initialised one, or one of zeros */
/* Puts all of it, waiting for room. False once it is closed. */
bool hf_ring_put(hf_ring *ring, const void *bytes, size_t len);
/* Takes what is there, at most cap; waits up to wait_ms for `worth` bytes, then for fewer. 0: nothing in time, or over. */
size_t hf_ring_take(hf_ring *ring, void *to, size_t cap, size_t worth, int64_t wait_ms, bool *ret_over);
void hf_ring_end(hf_ring *ring);   /* by the one that puts */
void hf_ring_close(hf_ring *ring); /* by the one that takes */
