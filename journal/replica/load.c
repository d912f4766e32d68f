/* Opening: what the store holds becomes the replica's state; closing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal/replica/inside.h"
#include "schemas/base/mem.h"

static hf_code take_offset(hf_replica *r, hf_str key, hf_str value, hf_err *reterr) {
    char name[HF_PART_NAME_BYTES + 8];
    hf_topic topic;
    int32_t partition;
    snprintf(name, sizeof name, "log/%.*s", HF_STR_ARG(key));
    if (!hf_logcopy_parse(name, &topic, &partition) || value.len != 8)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `offsets` is damaged; run `hyperjournal rebuild`");
    if (!hf_replica_keeps_offset(r, topic))
        return HF_OK;
    hf_part *part = hf_replica_part(r, topic, partition);
    if (!part)
        return hf_fail(reterr, HF_E_NO_MEMORY, "opening the replica");
    part->next = part->sealed = part->committed = (int64_t)hf_u64_of(value);
    return HF_OK;
}

static hf_code take_chain(hf_replica *r, hf_str key, hf_str value, hf_err *reterr) {
    if (key.len != 8 || value.len != HF_CHAIN_VALUE_BYTES)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `chain` is damaged; run `hyperjournal rebuild`");
    hf_part *part = hf_replica_part(r, HF_TOPIC_JOB_EVENTS, (int32_t)hf_u64_of(key));
    if (!part)
        return hf_fail(reterr, HF_E_NO_MEMORY, "opening the replica");
    memcpy(part->hash, value.p + 8, HF_HASH_BYTES);
    return HF_OK;
}

static hf_code take_job(hf_replica *r, hf_str key, hf_str value, hf_err *reterr) {
    hf_slot *slot = NULL;
    (void)key;
    return hf_replica_adopt(r, value, &slot, reterr);
}

typedef hf_code (*take_fn)(hf_replica *r, hf_str key, hf_str value, hf_err *reterr);
static hf_code take_all(hf_replica *r, hf_read *read, hf_store_table_id table, take_fn take, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_code rc = hf_cursor_open(read, r->tables.of[table], &cursor, reterr);
    while (rc == HF_OK && (rc = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr)) == HF_OK)
        rc = take(r, key, value, reterr);
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* A job's partition follows from how many there are, so the number must not change under it. */
static hf_code take_partitions(hf_replica *r, hf_read *read, hf_err *reterr) {
    hf_str value;
    char text[16];
    hf_code rc = hf_read_get(read, r->tables.of[HF_TB_META], HF_STR("partitions"), &value, reterr);
    if (rc == HF_OK) {
        snprintf(text, sizeof text, "%.*s", HF_STR_ARG(value));
        int32_t stored = (int32_t)strtol(text, NULL, 10);
        if (r->options.partitions == 0)
            r->options.partitions = stored;
        return r->options.partitions == stored
                   ? HF_OK
                   : hf_fail(
                         reterr, HF_E_TOPIC_MISMATCH,
                         "job-events has %d partitions and had %d: jobs would be looked for in the wrong one. Make a new fleet to have more",
                         (int)r->options.partitions, (int)stored);
    }
    if (rc != HF_E_NOT_FOUND || r->options.partitions == 0)
        return rc == HF_E_NOT_FOUND ? HF_OK : rc;
    int len = snprintf(text, sizeof text, "%d", (int)r->options.partitions);
    return hf_changes_put(r->open, r->tables.of[HF_TB_META], HF_STR("partitions"), (hf_str){text, (uint32_t)len}, 0)
               ? HF_OK
               : hf_fail(reterr, HF_E_NO_MEMORY, "opening the replica");
}

static hf_code take_everything(hf_replica *r, hf_read *read, hf_err *reterr) {
    hf_code rc = take_partitions(r, read, reterr);
    if (rc == HF_OK)
        rc = take_all(r, read, HF_TB_OFFSETS, take_offset, reterr);
    if (rc == HF_OK)
        rc = take_all(r, read, HF_TB_LIMITS, hf_limits_take_limit, reterr);
    if (rc == HF_OK)
        rc = take_all(r, read, HF_TB_LIMIT_GRANTS, hf_limits_take_grant, reterr);
    if (rc == HF_OK && !r->full)
        rc = take_all(r, read, HF_TB_JOBS, take_job, reterr);
    if (rc == HF_OK && r->full)
        rc = take_all(r, read, HF_TB_CHAIN, take_chain, reterr);
    if (rc == HF_OK && r->full && !r->options.counters_apart)
        rc = hf_counters_load(&r->counters, read, r->tables.of[HF_TB_COUNTERS], reterr);
    return rc;
}

hf_code hf_replica_load(hf_replica *r, hf_err *reterr) {
    hf_read *read = NULL;
    hf_code rc = hf_tables_open(r->store, r->options.profile, &r->tables, reterr);
    if (rc == HF_OK)
        rc = hf_read_begin(r->store, &read, reterr);
    if (rc == HF_OK)
        rc = take_everything(r, read, reterr);
    hf_read_end(read);
    return rc;
}

static hf_code set_up(hf_replica *r, hf_err *reterr) {
    hf_code rc = HF_OK;
    if (r->store) {
        r->open = hf_changes_new(r->options.batch_max_bytes + 2 * BATCH_SLACK);
        r->sealed = hf_changes_new(r->options.batch_max_bytes + 2 * BATCH_SLACK);
        if (!r->open || !r->sealed)
            return hf_fail(reterr, HF_E_NO_MEMORY, "opening the replica");
    }
    if (r->full)
        rc = hf_counters_init(&r->counters, reterr);
    if (rc == HF_OK && r->full)
        rc = hf_chain_init(&r->chain, reterr);
    if (rc == HF_OK && r->store)
        rc = hf_replica_load(r, reterr);
    return rc;
}

hf_code hf_replica_new(hf_store *store, hf_codec *codec, const hf_replica_options *options,
                       const hf_replica_hooks *hooks, hf_replica **ret, hf_err *reterr) {
    hf_replica *r = hf_alloc(sizeof *r);
    if (!r)
        return hf_fail(reterr, HF_E_NO_MEMORY, "opening the replica");
    r->store = store;
    r->codec = codec;
    r->options = *options;
    r->full = options->profile == HF_PROFILE_FULL;
    if (hooks)
        r->hooks = *hooks;
    if (!r->options.batch_max_bytes)
        r->options.batch_max_bytes = BATCH_BYTES;
    if (!r->options.jobs_cached)
        r->options.jobs_cached = JOBS_CACHED;
    r->batch = 1;
    hf_jobs_init(&r->jobs);
    hf_arena_init(&r->arena, HF_DECODE_ARENA_BYTES);
    hf_arena_init(&r->side, HF_DECODE_ARENA_BYTES);
    hf_buf_init(&r->row, HF_MAX_RECORD * 2);
    hf_code rc = set_up(r, reterr);
    if (rc != HF_OK) {
        hf_replica_free(r);
        return rc;
    }
    *ret = r;
    return HF_OK;
}

void hf_replica_free(hf_replica *r) {
    if (!r)
        return;
    hf_jobs_done(&r->jobs);
    hf_counters_done(&r->counters);
    hf_chain_done(&r->chain);
    hf_tallies_done(&r->tallies);
    hf_runs_done(&r->runs);
    hf_limits_done(&r->limits);
    hf_arena_done(&r->arena);
    hf_arena_done(&r->side);
    hf_buf_done(&r->row);
    hf_changes_free(r->open);
    hf_changes_free(r->sealed);
    free(r->dirty.of);
    free(r->sealed_jobs.of);
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        free(r->parts[t]);
    free(r);
}

const struct hf_counters *hf_replica_counters(const hf_replica *r) { return r->full ? &r->counters : NULL; }
const struct hf_runs *hf_replica_runs(const hf_replica *r) { return &r->runs; }
size_t hf_replica_jobs_in_memory(const hf_replica *r) { return r->jobs.count; }
