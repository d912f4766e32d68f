/* Proofs that one record of job-events is part of the history, and that history is the one somebody saw before: a Merkle tree over each
 * partition, as RFC 6962 section 2.1 builds it. A leaf is the record at one offset:
 *
 *   leaf  = SHA-256( 0x00 || offset as 8 bytes big-endian || row )     row: as logcopy.h lays it out; none where the log has a gap
 *   node  = SHA-256( 0x01 || left || right )
 *
 * The roots of full blocks of HF_MERKLE_BLOCK leaves are kept in memory (32 bytes each) and made as they are asked for, a bounded
 * number of records at a time; the rest is hashed anew for each answer. Nothing is stored: every journal computes the same from its copy of
 * the log. Any thread. */
#pragma once
#include "journal/http/request.h"
#include "journal/replica/query.h"

enum { HF_MERKLE_BLOCK = 1024, HF_MERKLE_TURN = 200000, HF_MERKLE_HASH = 32, HF_MERKLE_PATH_MAX = 64 };

typedef struct hf_merkle hf_merkle;
hf_merkle *hf_merkle_new(void); /* NULL without memory */
void hf_merkle_free(hf_merkle *merkle);

/* Root of the first `size` leaves (size >= 1). BUSY: not all blocks are made yet, or another request makes them; the call got further: ask
 * again. */
hf_code hf_merkle_root(hf_merkle *merkle, hf_store *store, hf_read *read, int32_t partition, int64_t size,
                       uint8_t root[HF_MERKLE_HASH], hf_err *reterr);
/* The leaf's hash and its audit path (RFC 6962 section 2.1.1) in a tree of `size` leaves, nearest sibling first. */
hf_code hf_merkle_path(hf_merkle *merkle, hf_store *store, hf_read *read, int32_t partition, int64_t index,
                       int64_t size, uint8_t leaf[HF_MERKLE_HASH], uint8_t path[HF_MERKLE_PATH_MAX][HF_MERKLE_HASH],
                       int *ret_count, hf_err *reterr);
