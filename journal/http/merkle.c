#include "journal/http/merkle.h"

#include <endian.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "journal/replica/logcopy.h"
#include "schemas/base/mem.h"

enum { PARTITIONS_MAX = 1024 };

typedef struct tree {
    uint8_t (*blocks)[HF_MERKLE_HASH]; /* roots of full blocks */
    int64_t count, room;
} tree;

struct hf_merkle {
    pthread_mutex_t lock; /* of the trees; held while blocks are made: others are told to come again */
    tree trees[PARTITIONS_MAX];
};

/* One answer's work. */
typedef struct work {
    tree *tree;
    hf_store *store;
    hf_read *read;
    int32_t partition;
    EVP_MD_CTX *digest;
    hf_err *err;
} work;

hf_merkle *hf_merkle_new(void) {
    hf_merkle *m = hf_alloc(sizeof *m);
    if (m)
        pthread_mutex_init(&m->lock, NULL);
    return m;
}

void hf_merkle_free(hf_merkle *m) {
    if (!m)
        return;
    for (int i = 0; i < PARTITIONS_MAX; i++)
        free(m->trees[i].blocks);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- hashes -------------------------------------------------------------------------------------------------- */
static hf_code hash(work *w, uint8_t prefix, const void *a, size_t a_len, const void *b, size_t b_len,
                    uint8_t out[HF_MERKLE_HASH]) {
    unsigned len = 0;
    bool ok = EVP_DigestInit_ex(w->digest, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(w->digest, &prefix, 1) == 1 &&
              EVP_DigestUpdate(w->digest, a, a_len) == 1 && (!b_len || EVP_DigestUpdate(w->digest, b, b_len) == 1) &&
              EVP_DigestFinal_ex(w->digest, out, &len) == 1;
    return ok ? HF_OK : hf_fail(w->err, HF_E_INTERNAL, "SHA-256 failed");
}

static hf_code leaf_of(work *w, int64_t offset, const char *row, size_t row_len, uint8_t out[HF_MERKLE_HASH]) {
    uint64_t at = htobe64((uint64_t)offset);
    return hash(w, 0, &at, sizeof at, row, row_len, out);
}

/* ---- leaves ---------------------------------------------------------------------------------------------------- */
typedef struct leaves {
    work *work;
    int64_t next, end; /* offsets not hashed yet */
    uint8_t (*to)[HF_MERKLE_HASH];
    int64_t base;
    hf_buf row;
    hf_code code;
} leaves;

static bool take_leaf(void *ctx, const hf_log_record *record) {
    leaves *l = ctx;
    for (; l->code == HF_OK && l->next < record->offset && l->next < l->end; l->next++) /* a gap */
        l->code = leaf_of(l->work, l->next, NULL, 0, l->to[l->next - l->base]);
    if (l->code != HF_OK || l->next >= l->end)
        return false;
    uint32_t size = hf_logcopy_size(record);
    hf_buf_clear(&l->row);
    char *row = (char *)hf_buf_reserve(&l->row, size);
    if (!row) {
        l->code = hf_fail(l->work->err, HF_E_NO_MEMORY, "a record of %u bytes", size);
        return false;
    }
    hf_logcopy_write(record, row);
    l->code = leaf_of(l->work, record->offset, row, size, l->to[record->offset - l->base]);
    l->next = record->offset + 1;
    return l->code == HF_OK && l->next < l->end;
}

/* Hashes of the leaves [from, end) into to[0…]. */
static hf_code hash_leaves(work *w, int64_t from, int64_t end, uint8_t (*to)[HF_MERKLE_HASH]) {
    leaves l = {.work = w, .next = from, .end = end, .to = to, .base = from};
    hf_buf_init(&l.row, 16 << 20);
    hf_code code = hf_query_log_each(w->store, w->read, HF_TOPIC_JOB_EVENTS, w->partition, from, take_leaf, &l, w->err);
    hf_buf_done(&l.row);
    if (code == HF_OK)
        code = l.code;
    for (; code == HF_OK && l.next < end; l.next++)
        code = leaf_of(w, l.next, NULL, 0, to[l.next - from]);
    return code;
}

/* ---- the tree ------------------------------------------------------------------------------------------------------ */
/* The largest power of two below n (n > 1). */
static int64_t split_of(int64_t n) {
    int64_t k = 1;
    while (k * 2 < n)
        k *= 2;
    return k;
}

/* Root over hashes [0, n). */
static hf_code fold_hashes(work *w, uint8_t (*of)[HF_MERKLE_HASH], int64_t n, uint8_t out[HF_MERKLE_HASH]) {
    if (n == 1) {
        memcpy(out, of[0], HF_MERKLE_HASH);
        return HF_OK;
    }
    uint8_t left[HF_MERKLE_HASH], right[HF_MERKLE_HASH];
    int64_t k = split_of(n);
    hf_code code = fold_hashes(w, of, k, left);
    if (code == HF_OK)
        code = fold_hashes(w, of + k, n - k, right);
    return code == HF_OK ? hash(w, 1, left, sizeof left, right, sizeof right, out) : code;
}

/* Root over leaves [from, from + n): from is a multiple of every split above n, as the tree's ranges are. */
static hf_code range_root(work *w, int64_t from, int64_t n, uint8_t out[HF_MERKLE_HASH]) {
    if (n == HF_MERKLE_BLOCK && from % HF_MERKLE_BLOCK == 0 && from / HF_MERKLE_BLOCK < w->tree->count) {
        memcpy(out, w->tree->blocks[from / HF_MERKLE_BLOCK], HF_MERKLE_HASH);
        return HF_OK;
    }
    if (n <= HF_MERKLE_BLOCK) {
        uint8_t(*of)[HF_MERKLE_HASH] = hf_alloc((size_t)n * HF_MERKLE_HASH);
        hf_code code = of ? hash_leaves(w, from, from + n, of) : hf_fail(w->err, HF_E_NO_MEMORY, "a Merkle tree");
        if (code == HF_OK)
            code = fold_hashes(w, of, n, out);
        free(of);
        return code;
    }
    uint8_t left[HF_MERKLE_HASH], right[HF_MERKLE_HASH];
    int64_t k = split_of(n);
    hf_code code = range_root(w, from, k, left);
    if (code == HF_OK)
        code = range_root(w, from + k, n - k, right);
    return code == HF_OK ? hash(w, 1, left, sizeof left, right, sizeof right, out) : code;
}

static hf_code grow(work *w, int64_t blocks) {
    tree *t = w->tree;
    int64_t end = t->count + HF_MERKLE_TURN / HF_MERKLE_BLOCK;
    while (t->count < blocks && t->count < end) {
        if (t->count == t->room) {
            int64_t room = t->room ? 2 * t->room : 64;
            void *more = hf_realloc(t->blocks, (size_t)room * HF_MERKLE_HASH);
            if (!more)
                return hf_fail(w->err, HF_E_NO_MEMORY, "a Merkle tree");
            t->blocks = more;
            t->room = room;
        }
        uint8_t root[HF_MERKLE_HASH];
        hf_code code = range_root(w, t->count * HF_MERKLE_BLOCK, HF_MERKLE_BLOCK, root);
        if (code != HF_OK)
            return code;
        memcpy(t->blocks[t->count++], root, HF_MERKLE_HASH);
    }
    return t->count >= blocks
               ? HF_OK
               : hf_fail(w->err, HF_E_BUSY,
                         "the tree of partition %d is being made: %" PRId64 " of %" PRId64 " blocks; ask again",
                         (int)w->partition, t->count, blocks);
}

static hf_code begin(hf_merkle *m, hf_store *store, hf_read *read, int32_t partition, int64_t size, work *w,
                     hf_err *err) {
    if (partition < 0 || partition >= PARTITIONS_MAX || size < 1)
        return hf_fail(err, HF_E_INVALID, "there is no tree of %" PRId64 " records of partition %d", size,
                       (int)partition);
    if (pthread_mutex_trylock(&m->lock) != 0)
        return hf_fail(err, HF_E_BUSY, "another request works on the trees; ask again");
    *w = (work){.tree = &m->trees[partition],
                .store = store,
                .read = read,
                .partition = partition,
                .digest = EVP_MD_CTX_new(),
                .err = err};
    return w->digest ? grow(w, size / HF_MERKLE_BLOCK) : hf_fail(err, HF_E_NO_MEMORY, "SHA-256");
}

static void end(hf_merkle *m, work *w) {
    if (!w->tree)
        return;
    EVP_MD_CTX_free(w->digest);
    pthread_mutex_unlock(&m->lock);
}

hf_code hf_merkle_root(hf_merkle *m, hf_store *store, hf_read *read, int32_t partition, int64_t size,
                       uint8_t root[HF_MERKLE_HASH], hf_err *reterr) {
    work w = {0};
    hf_code code = begin(m, store, read, partition, size, &w, reterr);
    if (code == HF_OK)
        code = range_root(&w, 0, size, root);
    end(m, &w);
    return code;
}

hf_code hf_merkle_path(hf_merkle *m, hf_store *store, hf_read *read, int32_t partition, int64_t index, int64_t size,
                       uint8_t leaf[HF_MERKLE_HASH], uint8_t path[HF_MERKLE_PATH_MAX][HF_MERKLE_HASH], int *ret_count,
                       hf_err *reterr) {
    work w = {0};
    hf_code code = begin(m, store, read, partition, size, &w, reterr);
    uint8_t siblings[HF_MERKLE_PATH_MAX][HF_MERKLE_HASH]; /* from the root down */
    int count = 0;
    int64_t from = 0, n = size;
    if (code == HF_OK)
        code = range_root(&w, index, 1, leaf);
    while (code == HF_OK && n > 1 && count < HF_MERKLE_PATH_MAX) {
        int64_t k = split_of(n);
        bool left = index < from + k;
        code = left ? range_root(&w, from + k, n - k, siblings[count++]) : range_root(&w, from, k, siblings[count++]);
        from += left ? 0 : k;
        n = left ? k : n - k;
    }
    end(m, &w);
    for (int i = 0; code == HF_OK && i < count; i++)
        memcpy(path[i], siblings[count - 1 - i], HF_MERKLE_HASH);
    *ret_count = count;
    return code;
}
