/* A replica on a scratch store, fed from a made-up history. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/replica/compare.h"
#include "journal/replica/replica.h"
#include "tests/support/dirs.h"
#include "tests/support/history.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        hf_err e_ = {0};                                                                                               \
        hf_err *err = &e_;                                                                                             \
        (void)err;                                                                                                     \
        if ((call) != HF_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, hf_code_name(e_.code), e_.detail);                                           \
    } while (0)

enum { RIG_PARTITIONS = 3 };

typedef struct rig {
    char dir[HF_TEST_PATH];
    hf_store *store; /* NULL: memory only */
    hf_codec *codec;
    hf_replica *replica;
    hf_profile profile;
    hf_replica_options options;
    hf_replica_hooks hooks;
} rig;

void rig_open(rig *r, hf_profile profile, bool with_store);
void rig_reopen(rig *r); /* as after a restart: what was not committed is gone */
void rig_close(rig *r);  /* removes the directory */
/* Feeds records [from, to), committing after each `batch` (0: never) and at the end (unless 0). */
void rig_feed(rig *r, const hf_history *h, size_t from, size_t to, size_t batch);
void rig_commit(rig *r);
void rig_assert_same(rig *a, rig *b);
