/* Rendered answers, kept for as long as the journal they were made from stays the same: an answer belongs to the store's transaction
 * whose snapshot it was rendered from, and is given only to a request whose own snapshot is of that transaction. So one that is kept
 * is, byte for byte and with its ETag, what would be rendered anew; nothing ever has to be thrown away because something changed.
 * Only answers that depend on nothing but the snapshot, the route and the query may be kept: none that holds a time of its own, or
 * that is another for another client.
 * Bounds: HF_ANSWERS_SHARDS * HF_ANSWERS_WAYS answers of at most HF_ANSWER_MAX_BYTES; in each shard the one that was used longest ago
 * gives way. Threads: any; a lock for each shard, a leaf, never held while bytes are copied. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/str.h"

enum {
    HF_ANSWERS_SHARDS = 8,
    HF_ANSWERS_WAYS = 8,
    HF_ANSWER_MAX_BYTES = 512 * 1024,
    HF_ANSWER_KEY_MAX = 256,
    HF_ANSWER_ETAG = 40
};

typedef struct hf_answers hf_answers;
/* Immutable while anybody holds it. */
typedef struct hf_answer {
    _Atomic uint32_t holders;
    uint64_t txn, used;
    bool compressed;
    char etag[HF_ANSWER_ETAG];
    char key[HF_ANSWER_KEY_MAX];
    uint32_t key_len;
    size_t len;
    uint8_t bytes[];
} hf_answer;

hf_answers *hf_answers_new(void); /* NULL without memory */
void hf_answers_free(hf_answers *answers);
/* The answer of that key and transaction, held for the caller; NULL: none. */
hf_answer *hf_answers_find(hf_answers *answers, hf_str key, uint64_t txn);
void hf_answer_drop(void *answer); /* hf_answer *; NULL is fine */
/* Keeps a copy; one that is too large, or without memory, is not kept. */
void hf_answers_keep(hf_answers *answers, hf_str key, uint64_t txn, const char *etag, bool compressed,
                     const uint8_t *bytes, size_t len);
