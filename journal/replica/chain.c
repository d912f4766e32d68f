#include "journal/replica/chain.h"

#include <openssl/evp.h>

hf_code hf_chain_init(hf_chain *chain, hf_err *reterr) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(context);
        return hf_fail(reterr, HF_E_NO_MEMORY, "SHA-256 of the chain");
    }
    chain->context = context;
    return HF_OK;
}

void hf_chain_done(hf_chain *chain) {
    EVP_MD_CTX_free(chain->context);
    chain->context = NULL;
}

bool hf_chain_next(hf_chain *chain, uint8_t hash[HF_HASH_BYTES], int64_t offset, const char *row, uint32_t row_len) {
    uint8_t head[HF_HASH_BYTES + 8], next[HF_HASH_BYTES];
    uint64_t at = htobe64((uint64_t)offset);
    memcpy(head, hash, HF_HASH_BYTES);
    memcpy(head + HF_HASH_BYTES, &at, 8);
    if (!EVP_DigestInit_ex(chain->context, NULL, NULL) || !EVP_DigestUpdate(chain->context, head, sizeof head) ||
        !EVP_DigestUpdate(chain->context, row, row_len) || !EVP_DigestFinal_ex(chain->context, next, NULL))
        return false;
    memcpy(hash, next, HF_HASH_BYTES);
    return true;
}
