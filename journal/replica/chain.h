/* The proof that history was not edited: per partition of job-events,
 *
 *   h(-1) = 32 zero bytes
 *   h(n)  = SHA-256( h(n-1) || offset as 8 bytes big-endian || row )     row: the record as logcopy.h lays it out
 *
 * over every record in offset order, readable or not. Whoever keeps h(n) from another day can tell whether anything
 * up to n was changed, removed or added since. */
#pragma once
#include "journal/replica/layout.h"

typedef struct hf_chain {
    void *context;
} hf_chain; /* OpenSSL's, used over and over */
hf_code hf_chain_init(hf_chain *chain, hf_err *reterr);
void hf_chain_done(hf_chain *chain);
/* hash: h(n-1) in, h(n) out. False: the library failed; hash is as before. */
bool hf_chain_next(hf_chain *chain, uint8_t hash[HF_HASH_BYTES], int64_t offset, const char *row, uint32_t row_len);
