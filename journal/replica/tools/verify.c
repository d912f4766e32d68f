#include "journal/replica/tools/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/replica/compare.h"

static void remove_scratch(const char *dir) {
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static bool is_copy(const char *table) { return strncmp(table, "log/", 4) == 0; }

static hf_code count_jobs(hf_store *store, hf_read *read, uint64_t *ret, hf_err *reterr) {
    hf_tables tables;
    hf_code rc = hf_tables_open(store, HF_PROFILE_FULL, &tables, reterr);
    return rc == HF_OK ? hf_read_count(read, tables.of[HF_TB_IDS], ret, reterr) : rc;
}

static hf_code rebuild_and_compare(hf_store *source, hf_read *read, const char *scratch,
                                   const hf_rebuild_options *options, hf_verify_stats *ret, hf_err *reterr) {
    hf_store *target = NULL;
    hf_read *rebuilt = NULL;
    char fleet[128];
    hf_store_options o = {.flags = HF_STORE_FAST};
    hf_rebuild_options aside = *options;
    aside.without_copy = true;
    hf_code rc = hf_fleet_of(source, read, fleet, reterr);
    hf_layout_options(HF_PROFILE_FULL, fleet[0] ? fleet : NULL, &o);
    if (rc == HF_OK)
        rc = hf_store_open(scratch, &o, &target, reterr);
    if (rc == HF_OK)
        rc = hf_rebuild_into(source, read, target, &aside, &ret->rebuilt, reterr);
    if (rc == HF_OK)
        rc = hf_read_begin_all(target, &rebuilt, reterr);
    if (rc == HF_OK)
        rc = hf_stores_compare(source, read, "the journal", target, rebuilt, "what its log gives", is_copy, reterr);
    if (rc == HF_OK)
        rc = count_jobs(source, read, &ret->jobs, reterr);
    hf_read_end(rebuilt);
    hf_store_close(target);
    return rc;
}

hf_code hf_verify(const char *dir, const hf_rebuild_options *options, hf_verify_stats *ret, hf_err *reterr) {
    hf_store *source = NULL;
    hf_read *read = NULL;
    hf_store_options o = {.flags = HF_STORE_READONLY};
    char scratch[4096];
    const char *tmp = getenv("TMPDIR");
    hf_layout_options(HF_PROFILE_FULL, NULL, &o);
    hf_code rc = hf_store_open(dir, &o, &source, reterr);
    if (rc != HF_OK)
        return rc;
    snprintf(scratch, sizeof scratch, "%s/hyperjournal-verify-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch)) {
        rc = hf_fail_errno(reterr, errno, "%s", scratch);
    } else {
        rc = hf_read_begin_all(source, &read, reterr);
        if (rc == HF_OK)
            rc = rebuild_and_compare(source, read, scratch, options, ret, reterr);
        remove_scratch(scratch);
    }
    hf_read_end(read);
    hf_store_close(source);
    return rc;
}
