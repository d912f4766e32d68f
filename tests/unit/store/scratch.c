#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int scratch_make(void **state) {
    char *dir = strdup("/tmp/hf-store-XXXXXX");
    *state = dir;
    return dir && mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int scratch_remove(void **state) {
    nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return 0;
}

const char *scratch_path(void **state, const char *name, char text[512]) {
    snprintf(text, 512, "%s/%s", (const char *)*state, name);
    return text;
}

hf_store *scratch_store(void **state, const hf_store_options *options) {
    hf_store *store = NULL;
    assert_ok(hf_store_open(*state, options, &store, err));
    return store;
}

hf_code scratch_fill(hf_store *store, hf_table table, uint64_t first, uint64_t count, uint32_t bytes, hf_err *reterr) {
    hf_changes *c = hf_changes_new((size_t)1 << 30);
    char *value = malloc(bytes + 1);
    assert_non_null(c);
    assert_non_null(value);
    memset(value, 'v', bytes);
    for (uint64_t k = first; k < first + count; k++)
        assert_true(hf_changes_put_u64(c, table, k, (hf_str){value, bytes}, HF_PUT_APPEND));
    hf_code rc = hf_store_commit(store, c, reterr);
    free(value);
    hf_changes_free(c);
    return rc;
}

uint64_t scratch_count(hf_store *store, hf_table table) {
    hf_read *read = NULL;
    uint64_t n = 0;
    assert_ok(hf_read_begin(store, &read, err));
    assert_ok(hf_read_count(read, table, &n, err));
    hf_read_end(read);
    return n;
}
