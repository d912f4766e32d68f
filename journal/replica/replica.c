/* Folding. Each step that can fail comes before the first one that shows, so a record that could not be folded for want
 * of memory or room can be fed again. */
#include <inttypes.h>
#include <stdio.h>

#include "journal/replica/inside.h"
#include "schemas/base/mem.h"
#include "schemas/job/control.h"

/* ---- partitions ----------------------------------------------------------------------------------------- */
const hf_part *hf_replica_part_seen(const hf_replica *r, hf_topic topic, int32_t partition) {
    const hf_part *part = partition >= 0 && partition < r->part_count[topic] ? &r->parts[topic][partition] : NULL;
    return part && part->next != NEVER ? part : NULL;
}

hf_part *hf_replica_part(hf_replica *r, hf_topic topic, int32_t partition) {
    if (partition < 0 || partition > INT16_MAX)
        return NULL;
    int32_t has = r->part_count[topic];
    if (partition >= has) {
        hf_part *parts = hf_realloc(r->parts[topic], (size_t)(partition + 1) * sizeof *parts);
        if (!parts)
            return NULL;
        memset(parts + has, 0, (size_t)(partition + 1 - has) * sizeof *parts);
        for (int32_t p = has; p <= partition; p++)
            parts[p].next = parts[p].sealed = parts[p].committed = NEVER;
        r->parts[topic] = parts;
        r->part_count[topic] = partition + 1;
    }
    return &r->parts[topic][partition];
}

int64_t hf_replica_next_offset(const hf_replica *r, hf_topic topic, int32_t partition) {
    const hf_part *part = hf_replica_part_seen(r, topic, partition);
    return part ? part->next : NEVER;
}

int64_t hf_replica_committed_in(const hf_replica *r, hf_topic topic, int32_t partition) {
    const hf_part *part = hf_replica_part_seen(r, topic, partition);
    return part && part->committed != NEVER ? part->committed : 0;
}

int64_t hf_replica_committed_offset(const hf_replica *r, int32_t partition) {
    return hf_replica_committed_in(r, HF_TOPIC_JOB_EVENTS, partition);
}

void hf_replica_skip(hf_replica *r, hf_topic topic, int32_t partition, int64_t offset) {
    hf_part *part = hf_replica_part(r, topic, partition);
    if (part && part->next < offset) {
        part->next = offset;
        r->moved = true;
    }
}

/* ---- the log copy and the chain ------------------------------------------------------------------------- */
static size_t row_room(const hf_log_record *record) { return hf_logcopy_size(record) + 2 * CHANGE_ROOM; }

/* The copy's row of a record: in the batch, or aside when only the chain wants it; or given, and only referred to. */
static const char *lay_out(hf_replica *r, const hf_part *part, const hf_log_record *record, uint32_t size) {
    uint64_t offset = (uint64_t)record->offset;
    const char *given = r->given_row.p;
    if (given)
        return r->options.without_copy ||
                       hf_changes_put_borrowed(r->open, part->copy, hf_key_u64(&offset), r->given_row, HF_PUT_APPEND)
                   ? given
                   : NULL;
    hf_buf_clear(&r->row);
    char *row = r->options.without_copy
                    ? (char *)hf_buf_reserve(&r->row, size)
                    : hf_changes_put_room(r->open, part->copy, hf_key_u64(&offset), size, HF_PUT_APPEND);
    if (row)
        hf_logcopy_write(record, row);
    return row;
}

static hf_code open_copy(hf_replica *r, hf_part *part, const hf_log_record *record, hf_err *reterr) {
    char name[HF_PART_NAME_BYTES];
    if (part->copy_open || r->options.without_copy)
        return HF_OK;
    hf_code rc = hf_store_table(r->store, hf_logcopy_name(record->topic, record->partition, name), HF_TABLE_INTEGER_KEY,
                                &part->copy, reterr);
    part->copy_open = rc == HF_OK;
    return rc;
}

static hf_code copy_record(hf_replica *r, hf_part *part, const hf_log_record *record, hf_err *reterr) {
    bool chained = record->topic == HF_TOPIC_JOB_EVENTS;
    if (!r->full || !r->store || (r->options.without_copy && !chained))
        return HF_OK;
    hf_code rc = open_copy(r, part, record, reterr);
    if (rc != HF_OK)
        return rc;
    uint32_t size = r->given_row.p ? r->given_row.len : hf_logcopy_size(record);
    const char *row = lay_out(r, part, record, size);
    if (!row)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the log copy");
    if (chained && !hf_chain_next(&r->chain, part->hash, record->offset, row, size))
        return hf_fail(reterr, HF_E_NO_MEMORY, "SHA-256 of the chain");
    return HF_OK;
}

/* ---- a job-event ------------------------------------------------------------------------------------------ */
typedef struct {
    const hf_log_record *source;
    hf_part *part;
    hf_position position;
    hf_record record;
    hf_verdict verdict;
    uint32_t refused;
    hf_slot *slot;    /* NULL: no such job, or not of this record */
    hf_slot *fresh;   /* the slot, when it is not among the jobs yet */
    hf_run_slot *run; /* NULL: it is of no schedule, or nothing of that changed */
    hf_job ended;     /* live: an ended job */
    bool is_ended, unreadable;
    hf_job before, after;
    hf_pieces made, old;
    char detail[HF_ERR_DETAIL_BYTES];
} folding;

static bool is_unreadable(hf_code code) {
    return code == HF_E_FRAME_UNKNOWN || code == HF_E_SCHEMA_UNKNOWN || code == HF_E_RECORD_MALFORMED ||
           code == HF_E_PARSE || code == HF_E_LIMIT || code == HF_E_INVALID;
}

static hf_code read_record(hf_replica *r, folding *f, hf_err *reterr) {
    hf_err err = {0};
    hf_arena_reset(&r->arena);
    hf_code rc = !f->source->value.p
                     ? hf_fail(&err, HF_E_RECORD_MALFORMED, "a tombstone: the record has no value")
                     : hf_decode(r->codec, HF_SCHEMA_RECORD, f->source->value, &r->arena, &f->record, &err);
    if (rc == HF_OK)
        return HF_OK;
    if (!is_unreadable(rc)) {
        if (reterr)
            *reterr = err;
        return hf_context(reterr, "job-events/%d, offset %" PRId64, (int)f->position.partition, f->position.offset), rc;
    }
    f->unreadable = true;
    f->verdict = HF_V_EMPTY;
    memcpy(f->detail, err.detail, sizeof f->detail);
    return HF_OK;
}

/* Does the record stand where its job's records stand? Whatever else it says would depend on which partition is read first. */
static bool in_its_place(const hf_replica *r, const hf_log_record *record, hf_str job_id) {
    return hf_str_eq(record->key, job_id) &&
           (r->options.partitions <= 0 ||
            hf_klog_partition_of(record->key, r->options.partitions) == record->partition);
}

static hf_code judge(hf_replica *r, folding *f, hf_err *reterr) {
    f->verdict = HF_V_INVALID_ID;
    if (!in_its_place(r, f->source, f->record.job_id))
        return HF_OK;
    hf_code rc = hf_replica_find(r, f->record.job_id, &f->slot, &f->ended, &f->is_ended, reterr);
    if (rc != HF_OK)
        return rc;
    const hf_job *before = f->is_ended ? &f->ended : f->slot ? &f->slot->job : NULL;
    if (before && before->created.partition != f->position.partition) {
        f->slot = NULL;
        f->is_ended = false;
        return HF_OK;
    }
    if (before)
        f->before = *before;
    f->verdict = hf_fold(before, &f->record, f->position, &f->after, &f->refused);
    return HF_OK;
}

/* Everything that may fail for an accepted proposal. */
static hf_code prepare(hf_replica *r, folding *f, hf_err *reterr) {
    hf_str schedule;
    if (hf_runs_concern(f->before.spec ? &f->before : NULL, &f->after, &schedule) &&
        !(f->run = hf_replica_run_slot(r, schedule, reterr)))
        return reterr ? reterr->code : HF_E_NO_MEMORY;
    if (!f->slot)
        f->slot = f->fresh = hf_slot_new();
    if (f->slot && hf_jobs_reserve(&r->jobs) && hf_slots_reserve(&r->dirty) &&
        hf_pieces_copy(f->fresh || f->slot->ended ? NULL : &f->slot->job, &f->after, &f->made, &f->old))
        return HF_OK;
    hf_slot_free(f->fresh);
    f->fresh = NULL;
    return hf_fail(reterr, HF_E_NO_MEMORY, "folding a job");
}

static void mark_dirty(hf_replica *r, hf_slot *slot, size_t more) {
    slot->bytes += more;
    if (slot->dirty) {
        r->dirty_bytes += more;
        return;
    }
    slot->dirty = true;
    slot->batch = r->batch;
    r->dirty.of[r->dirty.count++] = slot;
    r->dirty_bytes += slot->bytes + SLOT_ROOM;
}

static void take_over(hf_replica *r, folding *f) {
    hf_slot *slot = f->slot;
    if (f->fresh)
        slot->job = f->after;
    else
        hf_slot_put(slot, &f->after);
    slot->ended = false;
    slot->batch = r->batch;
    if (f->fresh) {
        slot->key = hf_position_key(slot->job.created);
        hf_jobs_add(&r->jobs, slot);
    } else
        hf_jobs_touch(&r->jobs, slot);
    mark_dirty(r, slot, f->source->value.len);
    if (!f->run)
        return;
    if (!f->run->dirty)
        r->dirty_bytes += HF_RUNS_ROOM;
    f->run->batch = r->batch;
    hf_runs_count(&r->runs, f->run, f->before.spec ? &f->before : NULL, &slot->job);
}

static void write_proposal(hf_replica *r, const folding *f) {
    if (f->slot) {
        char place[HF_EVENT_KEY_BYTES];
        const char value[HF_EVENT_VALUE_BYTES] = {(char)f->verdict, (char)f->refused};
        hf_changes_put(r->open, r->tables.of[HF_TB_EVENTS], hf_event_key(f->slot->key, f->position, place),
                       (hf_str){value, sizeof value}, 0);
        return;
    }
    const char head[HF_ORPHAN_HEAD] = {(char)f->verdict, (char)f->refused, f->unreadable};
    uint64_t key = hf_position_key(f->position);
    uint32_t text = (uint32_t)strlen(f->detail);
    char *to = hf_changes_put_room(r->open, r->tables.of[HF_TB_ORPHANS], hf_key_u64(&key), HF_ORPHAN_HEAD + text, 0);
    if (to) {
        memcpy(to, head, sizeof head);
        memcpy(to + sizeof head, f->detail, text);
    }
}

/* Room was reserved: none of these puts fails. */
static void write_down(hf_replica *r, const folding *f) {
    if (!r->store)
        return;
    if (r->full)
        write_proposal(r, f);
    if (f->verdict != HF_V_ACCEPTED)
        return;
    const hf_job *job = &f->slot->job;
    char deleted[9] = {0};
    memcpy(deleted, &f->slot->key, 8);
    if (f->fresh && !f->is_ended)
        hf_changes_put(r->open, r->tables.of[HF_TB_IDS], job->id, hf_key_u64(&f->slot->key), 0);
    if (!r->full && job->deleted)
        hf_changes_put(r->open, r->tables.of[HF_TB_IDS], job->id, (hf_str){deleted, sizeof deleted}, 0);
}

static void count(hf_replica *r, const folding *f) {
    if (!r->full)
        return;
    hf_counters_record(&r->counters, HF_TOPIC_JOB_EVENTS);
    if (f->unreadable)
        hf_counters_unreadable(&r->counters, HF_TOPIC_JOB_EVENTS);
    else
        hf_counters_change(&r->counters, &f->record, f->verdict, f->before.spec ? &f->before : NULL,
                           f->verdict == HF_V_ACCEPTED ? &f->after : NULL);
}

static void tell(hf_replica *r, const folding *f) {
    if (!r->hooks.on_change)
        return;
    const hf_job *before = f->before.spec ? &f->before : NULL;
    r->hooks.on_change(r->hooks.ctx, &(hf_change){.source = f->source,
                                                  .position = f->position,
                                                  .record = f->unreadable ? NULL : &f->record,
                                                  .verdict = f->verdict,
                                                  .refused = f->refused,
                                                  .before = before,
                                                  .after = f->verdict == HF_V_ACCEPTED ? &f->slot->job : before,
                                                  .unreadable = f->unreadable,
                                                  .detail = f->unreadable ? f->detail : NULL});
}

static hf_code fold_in(hf_replica *r, folding *f, hf_err *reterr) {
    hf_code rc = read_record(r, f, reterr);
    if (rc == HF_OK && !f->unreadable)
        rc = judge(r, f, reterr);
    if (rc == HF_OK && f->verdict == HF_V_ACCEPTED)
        rc = prepare(r, f, reterr);
    if (rc != HF_OK)
        return rc;
    rc = copy_record(r, f->part, f->source, reterr);
    if (rc != HF_OK) {
        hf_slot_free(f->fresh);
        hf_pieces_free(&f->made);
        return rc;
    }
    if (f->verdict == HF_V_ACCEPTED)
        take_over(r, f);
    write_down(r, f);
    count(r, f);
    return HF_OK;
}

static hf_code feed_event(hf_replica *r, hf_part *part, const hf_log_record *record, hf_err *reterr) {
    folding f;
    f.source = record;
    f.part = part;
    f.position = (hf_position){record->partition, record->offset};
    f.slot = f.fresh = NULL;
    f.run = NULL;
    f.is_ended = f.unreadable = false;
    f.refused = 0;
    f.before.spec = NULL;
    f.made.count = f.old.count = 0;
    f.detail[0] = 0;
    f.record.job_id = HF_STR_NONE;
    hf_code rc = fold_in(r, &f, reterr);
    if (rc != HF_OK)
        return rc;
    part->next = record->offset + 1;
    r->moved = true;
    tell(r, &f);
    hf_pieces_free(&f.old);
    if (f.slot && !r->store && !r->full && hf_state_terminal((hf_state)f.slot->job.state))
        hf_slot_make_stub(f.slot);
    return HF_OK;
}

/* ---- any other record ------------------------------------------------------------------------------------ */
/* A line of a job's log: the copy has it, this says where. */
static hf_code keep_line(hf_replica *r, const hf_log_record *record, hf_str job_id, hf_err *reterr) {
    char key[HF_LOG_KEY_BYTES];
    hf_str at = hf_log_key(job_id, (hf_position){record->partition, record->offset}, key);
    return hf_changes_put(r->open, r->tables.of[HF_TB_LOGS], at, HF_STR_NONE, 0)
               ? HF_OK
               : hf_fail(reterr, HF_E_NO_MEMORY, "keeping a record");
}

/* The row to keep of a heartbeat or progress: what it can be read as, in the current schema. */
static hf_code keep_last(hf_replica *r, const hf_log_record *record, bool *ret_unreadable, hf_err *reterr) {
    union {
        hf_heartbeat heartbeat;
        hf_progress progress;
    } what;
    bool beat = record->topic == HF_TOPIC_WORKERS;
    hf_schema schema = beat ? HF_SCHEMA_HEARTBEAT : HF_SCHEMA_PROGRESS;
    hf_table table = r->tables.of[beat ? HF_TB_WORKERS : HF_TB_PROGRESS];
    if (!record->value.p) {
        hf_changes_delete(r->open, table, record->key);
        return HF_OK;
    }
    hf_arena_reset(&r->arena);
    hf_buf_clear(&r->row);
    hf_code rc = hf_decode(r->codec, schema, record->value, &r->arena, &what, reterr);
    if (rc == HF_OK)
        rc = hf_encode_body(schema, &what, &r->row, reterr);
    hf_str key = rc != HF_OK ? HF_STR_NONE : beat ? what.heartbeat.worker_id : what.progress.job_id;
    bool placed = beat ? hf_str_eq(key, record->key) : rc == HF_OK && in_its_place(r, record, key);
    *ret_unreadable = is_unreadable(rc) || (rc == HF_OK && (!hf_id_valid(key) || !placed));
    if (*ret_unreadable)
        return HF_OK;
    if (rc == HF_OK && !hf_changes_put(r->open, table, key, hf_buf_str(&r->row), 0))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "keeping a record");
    if (rc == HF_OK && !beat && what.progress.level.len > 0)
        rc = keep_line(r, record, key, reterr);
    return rc;
}

/* A letter is in the list until a record names it as handled ("partition/offset"). */
static hf_code keep_letter(hf_replica *r, const hf_log_record *record, hf_err *reterr) {
    hf_table table = r->tables.of[HF_TB_DEAD];
    hf_position at = {record->partition, record->offset};
    bool handles = false;
    for (uint32_t i = 0; i < record->header_count; i++) {
        char text[48];
        int partition;
        long long offset;
        if (!hf_str_eqz(record->headers[i].name, "hf-handles"))
            continue;
        handles = true;
        snprintf(text, sizeof text, "%.*s", HF_STR_ARG(record->headers[i].value));
        if (sscanf(text, "%d/%lld", &partition, &offset) == 2 && partition == record->partition && offset >= 0 &&
            offset < record->offset)
            at = (hf_position){partition, offset};
    }
    bool done = handles ? hf_changes_delete_u64(r->open, table, hf_position_key(at))
                        : hf_changes_put_u64(r->open, table, hf_position_key(at), HF_STR_NONE, 0);
    return done ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "keeping a record");
}

static hf_code keep_delivery(hf_replica *r, const hf_log_record *record, bool *ret_unreadable, int32_t *ret_outcome,
                             hf_err *reterr) {
    hf_delivery d;
    hf_arena_reset(&r->arena);
    hf_code rc = record->value.p ? hf_decode(r->codec, HF_SCHEMA_DELIVERY, record->value, &r->arena, &d, reterr)
                                 : HF_E_RECORD_MALFORMED;
    *ret_unreadable =
        is_unreadable(rc) || (rc == HF_OK && (!hf_id_valid(d.endpoint) || !hf_str_eq(d.endpoint, record->key)));
    if (*ret_unreadable || rc != HF_OK)
        return *ret_unreadable ? HF_OK : rc;
    *ret_outcome = d.outcome;
    return hf_tallies_keep(&r->tallies, r->store, &r->tables, r->open, (hf_position){record->partition, record->offset},
                           &d, reterr);
}

/* Under the key of its target, whichever form it came under: of each target the last one is in force. */
static hf_code keep_control(hf_replica *r, const hf_log_record *record, bool *ret_unreadable, hf_err *reterr) {
    hf_table table = r->tables.of[HF_TB_CONTROLS];
    char key[HF_CONTROL_KEY_BYTES];
    hf_control control;
    hf_str name;
    int32_t scope = 0;
    bool done = true;
    if (!record->value.p) {
        unsigned scopes = hf_control_scopes_of(record->key, &name);
        for (scope = 0; scope < HF_CONTROL_SCOPES && done; scope++)
            if (scopes & 1u << scope && hf_control_key(scope, name, key))
                done = hf_changes_delete(r->open, table, hf_str_of(key));
        return done ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "keeping a record");
    }
    hf_arena_reset(&r->arena);
    hf_buf_clear(&r->row);
    hf_code rc = hf_decode(r->codec, HF_SCHEMA_CONTROL, record->value, &r->arena, &control, reterr);
    *ret_unreadable = is_unreadable(rc) || (rc == HF_OK && (!hf_control_target(record->key, &control, &scope, &name) ||
                                                            !hf_control_key(scope, name, key)));
    if (*ret_unreadable)
        return HF_OK;
    control.key = hf_str_of(key);
    control.scope = scope;
    if (rc == HF_OK)
        rc = hf_encode_body(HF_SCHEMA_CONTROL, &control, &r->row, reterr);
    if (rc != HF_OK)
        return rc;
    done = hf_changes_put(r->open, table, control.key, hf_buf_str(&r->row), 0);
    return done ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "keeping a record");
}

/* The table that keeps a compacted topic's records as they came. */
static bool kept_as_it_came(hf_topic topic, hf_store_table_id *ret) {
    *ret = topic == HF_TOPIC_SCHEDULES ? HF_TB_SCHEDULES : topic == HF_TOPIC_WEBHOOKS ? HF_TB_WEBHOOKS : HF_TB_COUNT;
    return *ret != HF_TB_COUNT;
}

static hf_code keep(hf_replica *r, const hf_log_record *record, bool *ret_unreadable, int32_t *ret_outcome,
                    hf_err *reterr) {
    hf_store_table_id id = HF_TB_COUNT;
    if (record->topic == HF_TOPIC_DEAD_LETTERS)
        return keep_letter(r, record, reterr);
    if (record->topic == HF_TOPIC_WORKERS || record->topic == HF_TOPIC_PROGRESS)
        return keep_last(r, record, ret_unreadable, reterr);
    if (record->topic == HF_TOPIC_DELIVERIES)
        return keep_delivery(r, record, ret_unreadable, ret_outcome, reterr);
    if (record->topic == HF_TOPIC_CONTROLS)
        return keep_control(r, record, ret_unreadable, reterr);
    if (!kept_as_it_came(record->topic, &id))
        return HF_OK;
    *ret_unreadable = record->key.len == 0 || record->key.len > HF_KEY_MAX_BYTES;
    if (*ret_unreadable)
        return HF_OK;
    hf_table table = r->tables.of[id];
    bool done = record->value.p ? hf_changes_put(r->open, table, record->key, record->value, 0)
                                : hf_changes_delete(r->open, table, record->key);
    return done ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "keeping a record");
}

static hf_code feed_other(hf_replica *r, hf_part *part, const hf_log_record *record, hf_err *reterr) {
    bool unreadable = false;
    int32_t outcome = -1;
    if (r->full && r->store) {
        hf_code rc = keep(r, record, &unreadable, &outcome, reterr);
        if (rc == HF_OK)
            rc = copy_record(r, part, record, reterr);
        if (rc != HF_OK)
            return rc;
    }
    if (r->full)
        hf_counters_record(&r->counters, record->topic);
    if (unreadable)
        hf_counters_unreadable(&r->counters, record->topic);
    if (outcome >= 0)
        hf_counters_delivery(&r->counters, outcome);
    part->next = record->offset + 1;
    r->moved = true;
    if (r->hooks.on_record)
        r->hooks.on_record(r->hooks.ctx, record);
    return HF_OK;
}

static hf_code feed_limit(hf_replica *r, hf_part *part, const hf_log_record *record, hf_err *reterr) {
    hf_limit_folding f;
    hf_code rc = hf_replica_limit_begin(r, record, &f, reterr);
    if (rc != HF_OK)
        return rc;
    rc = copy_record(r, part, record, reterr);
    if (rc != HF_OK) {
        hf_replica_limit_undo(r, &f);
        return rc;
    }
    if (r->full)
        hf_counters_record(&r->counters, record->topic);
    if (r->full && f.unreadable)
        hf_counters_unreadable(&r->counters, record->topic);
    part->next = record->offset + 1;
    r->moved = true;
    hf_replica_limit_finish(r, record, &f);
    return HF_OK;
}

/* ---- feeding ---------------------------------------------------------------------------------------------- */
/* At most: the copy, one row beside it, its own growth of the job's row. */
static size_t room_for(const hf_log_record *record) {
    return 2 * row_room(record) + record->value.len + HF_ERR_DETAIL_BYTES + 2 * HF_ID_MAX_BYTES + SLOT_ROOM +
           HF_RUNS_ROOM + 8 * CHANGE_ROOM;
}

static hf_code make_room(hf_replica *r, const hf_log_record *record, hf_err *reterr) {
    if (!r->store)
        return HF_OK;
    size_t need = room_for(record);
    if (hf_replica_batch_bytes(r) + need > r->options.batch_max_bytes + BATCH_SLACK)
        return hf_fail(reterr, HF_E_BUSY, "the open batch has reached its bound of %zu bytes: commit it first",
                       r->options.batch_max_bytes);
    return hf_changes_reserve(r->open, need)
               ? HF_OK
               : hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu bytes", hf_changes_bytes(r->open));
}

static hf_code check_gap(const hf_part *part, const hf_log_record *record, hf_err *reterr) {
    int64_t wanted = part->next == NEVER ? 0 : part->next;
    if ((record->topic != HF_TOPIC_JOB_EVENTS && record->topic != HF_TOPIC_LIMITS) || record->offset <= wanted)
        return HF_OK;
    return hf_fail(
        reterr, HF_E_LOG_TRUNCATED,
        "%s/%d: offset %" PRId64 " is wanted next, the log goes on at %" PRId64
        ": records are gone. Restore the journal from a snapshot that has them (hyperjournal restore), and set retention.ms=-1",
        hf_topic_suffix(record->topic), (int)record->partition, wanted, record->offset);
}

hf_code hf_replica_feed(hf_replica *r, const hf_log_record *record, hf_err *reterr) {
    hf_part *part = hf_replica_part(r, record->topic, record->partition);
    if (!part)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%s/%d", hf_topic_suffix(record->topic), (int)record->partition);
    if (record->offset < part->next)
        return HF_OK;
    hf_code rc = check_gap(part, record, reterr);
    if (rc == HF_OK)
        rc = make_room(r, record, reterr);
    if (rc == HF_OK)
        rc = record->topic == HF_TOPIC_JOB_EVENTS ? feed_event(r, part, record, reterr)
             : record->topic == HF_TOPIC_LIMITS   ? feed_limit(r, part, record, reterr)
                                                  : feed_other(r, part, record, reterr);
    hf_replica_evict(r);
    return rc;
}

hf_code hf_replica_feed_row(hf_replica *r, const hf_log_record *record, hf_str row, hf_err *reterr) {
    r->given_row = row;
    hf_code rc = hf_replica_feed(r, record, reterr);
    r->given_row = HF_STR_NONE;
    return rc;
}
