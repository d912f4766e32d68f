#include "producer/dispatch/states_catchup.h"

#include <stdio.h>
#include <uthash.h>

#include "journal/replica/layout.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum { PARTITIONS_MAX = 1024, STEP_RECORDS = 2000, EMPTY_POLLS_MAX = 200, ARENA_BYTES = 8 << 20 };

typedef struct ended { /* a job that changed and is not live: to be folded again */
    UT_hash_handle hh;
    hf_job *job; /* as folded so far; NULL: not created yet */
    char id[];
} ended;

typedef enum phase { IDLE, FIND_LAST, READ_IDS, FOLD_ENDED } phase;

struct hf_catchup {
    hf_klog *log;
    hf_codec *codec;
    hf_replica *replica;
    hf_store *store;
    hf_states *states;
    hf_table ids;
    bool has_ids;
    uint8_t wanted[PARTITIONS_MAX]; /* 1: to be caught up */
    int32_t partition;
    phase phase;
    hf_follower *follower;
    int64_t from, end; /* of job-events, still to be read for ids: [from, end) */
    int64_t to;        /* the pass folds up to here */
    int64_t fold_from;
    uint32_t empty_polls;
    ended *by_id;
    hf_arena arena;
};

hf_catchup *hf_catchup_new(hf_klog *log, hf_codec *codec, hf_replica *replica, hf_store *store, hf_states *states) {
    hf_catchup *c = hf_alloc(sizeof *c);
    if (!c)
        return NULL;
    *c =
        (hf_catchup){.log = log, .codec = codec, .replica = replica, .store = store, .states = states, .partition = -1};
    hf_arena_init(&c->arena, ARENA_BYTES);
    c->has_ids = hf_store_table(store, "ids", 0, &c->ids, NULL) == HF_OK;
    return c;
}

static void drop_ended(hf_catchup *c) {
    ended *e, *next;
    HASH_ITER(hh, c->by_id, e, next) {
        HASH_DEL(c->by_id, e);
        free(e->job);
        free(e);
    }
}

static void stop(hf_catchup *c) {
    hf_follower_close(c->follower);
    c->follower = NULL;
    drop_ended(c);
    c->phase = IDLE;
}

void hf_catchup_free(hf_catchup *c) {
    if (!c)
        return;
    stop(c);
    hf_arena_done(&c->arena);
    free(c);
}

void hf_catchup_want(hf_catchup *c, int32_t partition, bool ours) {
    if (partition < 0 || partition >= PARTITIONS_MAX)
        return;
    c->wanted[partition] = ours;
    if (!ours)
        hf_states_shut(c->states, partition);
    if (!ours && c->phase != IDLE && c->partition == partition)
        stop(c);
}

static hf_code open_at(hf_catchup *c, hf_topic topic, int64_t offset, hf_err *reterr) {
    hf_follower_close(c->follower);
    c->follower = NULL;
    c->empty_polls = 0;
    hf_follow_from from = {topic, c->partition, offset};
    return hf_follower_open(c->log, &from, 1, &c->follower, reterr);
}

/* ---- 1: through where is everything published? ------------------------------------------------------------------ */
static hf_code begin_pass(hf_catchup *c, hf_err *reterr) {
    c->phase = READ_IDS;
    c->fold_from = INT64_MAX;
    return open_at(c, HF_TOPIC_JOB_EVENTS, c->from, reterr);
}

static hf_code begin_reading(hf_catchup *c, hf_err *reterr) {
    c->end = hf_replica_next_offset(c->replica, HF_TOPIC_JOB_EVENTS, c->partition);
    hf_states_open(c->states, c->partition, c->from - 1); /* what changes from `to` on is published as it comes */
    if (c->end <= c->from) {
        hf_states_caught_up(c->states, c->partition);
        stop(c);
        return HF_OK;
    }
    return begin_pass(c, reterr);
}

static hf_code begin(hf_catchup *c, hf_err *reterr) {
    int64_t low, high;
    hf_code code = hf_klog_watermarks(c->log, HF_TOPIC_JOB_STATES, c->partition, 2000, &low, &high, reterr);
    if (code != HF_OK)
        return code;
    c->from = 0;
    if (low >= high)
        return begin_reading(c, reterr);
    c->phase = FIND_LAST;
    return open_at(c, HF_TOPIC_JOB_STATES, high - 1, reterr);
}

static hf_code find_last(hf_catchup *c, hf_err *reterr) {
    hf_batch batch;
    hf_code code = hf_follower_poll(c->follower, 16, 0, &batch, reterr);
    if (code != HF_OK)
        return code;
    for (size_t i = 0; i < batch.count; i++)
        for (uint32_t h = 0; h < batch.records[i].header_count; h++)
            if (hf_str_eqz(batch.records[i].headers[h].name, HF_STATES_THROUGH)) {
                char text[24];
                snprintf(text, sizeof text, "%.*s", HF_STR_ARG(batch.records[i].headers[h].value));
                c->from = strtoll(text, NULL, 10) + 1;
            }
    bool found = batch.count > 0;
    hf_batch_release(&batch);
    return found || ++c->empty_polls > EMPTY_POLLS_MAX ? begin_reading(c, reterr) : HF_OK;
}

/* ---- 2: which jobs changed since? ------------------------------------------------------------------------------- */
/* Where the job was created; the start of the log where the index does not tell. */
static int64_t created_at(hf_catchup *c, hf_str id) {
    hf_read *read = NULL;
    hf_str value;
    int64_t offset = 0;
    if (!c->has_ids || hf_read_begin(c->store, &read, NULL) != HF_OK)
        return 0;
    if (hf_read_get(read, c->ids, id, &value, NULL) == HF_OK && value.len >= sizeof(uint64_t)) {
        uint64_t key;
        memcpy(&key, value.p, sizeof key);
        offset = hf_position_of_key(key).offset;
    }
    hf_read_end(read);
    return offset;
}

static hf_code note_ended(hf_catchup *c, hf_str id, hf_err *reterr) {
    ended *e = NULL;
    HASH_FIND(hh, c->by_id, id.p, id.len, e);
    if (e)
        return HF_OK;
    e = hf_alloc(sizeof *e + id.len + 1);
    if (!e)
        return hf_fail(reterr, HF_E_NO_MEMORY, "catching up with job-states");
    memcpy(e->id, id.p, id.len);
    HASH_ADD_KEYPTR(hh, c->by_id, e->id, id.len, e);
    int64_t at = created_at(c, id);
    c->fold_from = at < c->fold_from ? at : c->fold_from;
    return HF_OK;
}

static hf_code note_changed(hf_catchup *c, hf_str id, hf_err *reterr) {
    const hf_job *live = hf_replica_job(c->replica, id);
    if (live)
        return hf_states_changed(c->states, live, c->partition, reterr);
    return hf_replica_id_known(c->replica, id) ? note_ended(c, id, reterr) : HF_OK;
}

/* All that this pass found is marked. */
static hf_code end_pass(hf_catchup *c, hf_err *reterr) {
    if (c->from < c->end)
        return begin_pass(c, reterr);
    hf_states_caught_up(c->states, c->partition);
    HF_LOG(INFO, "job-states-caught-up", {"partition", HF_V_INT(c->partition)}, {"through", HF_V_INT(c->end - 1)});
    stop(c);
    return HF_OK;
}

static hf_code end_reading(hf_catchup *c, hf_err *reterr) {
    c->to = c->from; /* read up to here; what came later is on_change's, or the next pass's */
    if (!c->by_id)
        return end_pass(c, reterr);
    c->phase = FOLD_ENDED;
    return open_at(c, HF_TOPIC_JOB_EVENTS, c->fold_from, reterr);
}

static hf_code read_ids(hf_catchup *c, hf_err *reterr) {
    hf_batch batch;
    hf_code code = hf_follower_poll(c->follower, STEP_RECORDS, 0, &batch, reterr);
    for (size_t i = 0; code == HF_OK && i < batch.count && c->from < c->end; i++) {
        const hf_log_record *r = &batch.records[i];
        if (r->offset >= c->end)
            c->from = c->end;
        else if ((code = note_changed(c, r->key, reterr)) == HF_OK)
            c->from = r->offset + 1;
    }
    hf_batch_release(&batch);
    if (code == HF_E_BUSY) { /* job states wait for acknowledgement: from here again in a moment */
        hf_err later;
        return open_at(c, HF_TOPIC_JOB_EVENTS, c->from, &later);
    }
    if (code != HF_OK)
        return code;
    bool full = HASH_COUNT(c->by_id) >= HF_CATCHUP_IDS_MAX;
    return c->from >= c->end || full ? end_reading(c, reterr) : HF_OK;
}

/* ---- 3: fold those that ended -------------------------------------------------------------------------------------- */
static hf_code fold_one(hf_catchup *c, const hf_log_record *source, hf_err *reterr) {
    ended *e = NULL;
    hf_record record;
    hf_job after;
    hf_err unreadable;
    HASH_FIND(hh, c->by_id, source->key.p, source->key.len, e);
    hf_arena_reset(&c->arena);
    if (!e || hf_decode(c->codec, HF_SCHEMA_RECORD, source->value, &c->arena, &record, &unreadable) != HF_OK)
        return HF_OK;
    if (hf_fold(e->job, &record, (hf_position){source->partition, source->offset}, &after, NULL) != HF_V_ACCEPTED)
        return HF_OK;
    hf_job *copy = hf_type_clone(&HF_TYPE_JOB, &after);
    if (!copy)
        return hf_fail(reterr, HF_E_NO_MEMORY, "catching up with job-states");
    free(e->job);
    e->job = copy;
    return HF_OK;
}

static hf_code publish_ended(hf_catchup *c, hf_err *reterr) {
    ended *e, *next;
    HASH_ITER(hh, c->by_id, e, next) {
        hf_code code = e->job ? hf_states_changed(c->states, e->job, c->partition, reterr) : HF_OK;
        if (code != HF_OK)
            return code == HF_E_BUSY ? HF_OK : code; /* the rest in the next step */
        HASH_DEL(c->by_id, e);
        free(e->job);
        free(e);
    }
    HF_LOG(INFO, "job-states-caught-up", {"partition", HF_V_INT(c->partition)}, {"through", HF_V_INT(c->to - 1)});
    stop(c);
    return HF_OK;
}

static hf_code fold_ended(hf_catchup *c, hf_err *reterr) {
    if (c->fold_from >= c->to)
        return publish_ended(c, reterr);
    hf_batch batch;
    hf_code code = hf_follower_poll(c->follower, STEP_RECORDS, 0, &batch, reterr);
    for (size_t i = 0; code == HF_OK && i < batch.count; i++) {
        if (batch.records[i].offset < c->to)
            code = fold_one(c, &batch.records[i], reterr);
        c->fold_from = batch.records[i].offset + 1;
    }
    hf_batch_release(&batch);
    return code;
}

/* ---- the step ----------------------------------------------------------------------------------------------------------- */
static bool next_partition(hf_catchup *c) {
    for (int32_t p = 0; p < PARTITIONS_MAX; p++)
        if (c->wanted[p]) {
            c->wanted[p] = 0;
            c->partition = p;
            return true;
        }
    return false;
}

bool hf_catchup_step(hf_catchup *c) {
    hf_err err;
    hf_code code = HF_OK;
    switch (c->phase) {
    case IDLE:
        if (!next_partition(c))
            return false;
        code = begin(c, &err);
        break;
    case FIND_LAST: code = find_last(c, &err); break;
    case READ_IDS: code = read_ids(c, &err); break;
    case FOLD_ENDED: code = fold_ended(c, &err); break;
    }
    if (code != HF_OK) {
        HF_LOG_ERR(WARN, "job-states-catch-up", &err, {"partition", HF_V_INT(c->partition)});
        stop(c);
        c->wanted[c->partition] = hf_code_policy(code) == HF_POLICY_RETRY;
    }
    return true;
}
