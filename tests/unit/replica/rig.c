#include "rig.h"

static void open_replica(rig *r) {
    if (r->dir[0]) {
        hf_store_options o = {.map_bytes = 16 << 20, .flags = HF_STORE_FAST}; /* nothing here pulls the plug */
        hf_layout_options(r->profile, "test", &o);
        assert_ok(hf_store_open(r->dir, &o, &r->store, err));
    }
    assert_ok(hf_replica_new(r->store, r->codec, &r->options, &r->hooks, &r->replica, err));
}

void rig_open(rig *r, hf_profile profile, bool with_store) {
    r->dir[0] = 0;
    r->store = NULL;
    r->profile = profile;
    if (r->options.partitions == 0)
        r->options.partitions = RIG_PARTITIONS;
    r->options.profile = profile;
    r->options.fleet = "test";
    assert_ok(hf_codec_new(NULL, NULL, &r->codec, err));
    if (with_store)
        hf_test_dir_make("replica", r->dir);
    open_replica(r);
}

void rig_reopen(rig *r) {
    hf_replica_free(r->replica);
    hf_store_close(r->store);
    open_replica(r);
}

void rig_close(rig *r) {
    hf_replica_free(r->replica);
    hf_store_close(r->store);
    hf_codec_free(r->codec);
    if (r->dir[0])
        hf_test_dir_remove(r->dir);
}

void rig_commit(rig *r) {
    const hf_changes *batch = NULL;
    assert_ok(hf_replica_seal(r->replica, &batch, err));
    if (r->store)
        assert_ok(hf_store_commit(r->store, batch, err));
    hf_replica_committed(r->replica);
}

void rig_feed(rig *r, const hf_history *h, size_t from, size_t to, size_t batch) {
    hf_log_record record;
    for (size_t i = from; i < to; i++) {
        hf_history_record(h, i, &record);
        assert_ok(hf_replica_feed(r->replica, &record, err));
        if (batch && (i - from + 1) % batch == 0)
            rig_commit(r);
    }
    if (batch)
        rig_commit(r);
}

void rig_assert_same(rig *a, rig *b) {
    hf_read *ra = NULL, *rb = NULL;
    assert_ok(hf_read_begin_all(a->store, &ra, err));
    assert_ok(hf_read_begin_all(b->store, &rb, err));
    assert_ok(hf_stores_compare(a->store, ra, "one", b->store, rb, "the other", NULL, err));
    hf_read_end(ra);
    hf_read_end(rb);
}
