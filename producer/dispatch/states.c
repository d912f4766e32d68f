#include "producer/dispatch/states.h"

#include <stdio.h>
#include <uthash.h>

#include "schemas/base/log.h"
#include "schemas/base/mem.h"

#define TAG_BIT (1ull << 62)

typedef struct entry {
    UT_hash_handle hh;
    char *bytes; /* the id, then the framed record */
    uint32_t id_len, value_len;
    int32_t partition;
    uint32_t slot;
    int64_t first_offset; /* of job-events: the first change this publication stands for */
    uint64_t number;      /* of the marking: the order they are sent in */
    bool dirty;
    uint32_t in_flight; /* records without a report; their order in the partition is the order sent */
    struct entry *next_dirty;
} entry;

typedef struct part {
    bool open;
    int64_t through; /* no more is published, as far as known */
    uint64_t last;   /* through holds for markings up to this number */
} part;

struct hf_states {
    part parts[HF_STATES_PARTITIONS];
    uint64_t marked;
    hf_klog *log;
    hf_codec *codec;
    hf_buf out;
    entry *by_id;
    entry *slots[HF_STATES_MAX];
    uint32_t free_slots[HF_STATES_MAX], free_count;
    entry *first, *last; /* dirty ones, oldest first */
    int64_t since_ms;    /* when the oldest of them came; 0: at the next flush */
};

hf_states *hf_states_new(hf_klog *log, hf_codec *codec) {
    hf_states *s = hf_alloc(sizeof *s);
    if (!s)
        return NULL;
    s->log = log;
    s->codec = codec;
    hf_buf_init(&s->out, HF_MAX_RECORD);
    for (uint32_t i = 0; i < HF_STATES_MAX; i++)
        s->free_slots[s->free_count++] = HF_STATES_MAX - 1 - i;
    return s;
}

static void forget(hf_states *s, entry *e) {
    HASH_DEL(s->by_id, e);
    s->slots[e->slot] = NULL;
    s->free_slots[s->free_count++] = e->slot;
    free(e->bytes);
    free(e);
}

void hf_states_free(hf_states *s) {
    if (!s)
        return;
    for (uint32_t i = 0; i < HF_STATES_MAX; i++)
        if (s->slots[i])
            forget(s, s->slots[i]);
    hf_buf_done(&s->out);
    free(s);
}

bool hf_states_full(const hf_states *s) { return s->free_count == 0; }
size_t hf_states_waiting(const hf_states *s) { return HF_STATES_MAX - s->free_count; }

/* Oldest first, so that whatever changed before the head's first_offset is published: what hf-through says. */
static void mark_dirty(hf_states *s, entry *e) {
    if (e->dirty)
        return;
    e->dirty = true;
    e->number = ++s->marked;
    e->next_dirty = NULL;
    if (s->last)
        s->last->next_dirty = e;
    else
        s->first = e;
    s->last = e;
}

static part *part_of(hf_states *s, int32_t partition) {
    return partition >= 0 && partition < HF_STATES_PARTITIONS ? &s->parts[partition] : NULL;
}

void hf_states_open(hf_states *s, int32_t partition, int64_t through) {
    part *p = part_of(s, partition);
    if (p)
        *p = (part){.open = true, .through = through, .last = UINT64_MAX};
}

void hf_states_caught_up(hf_states *s, int32_t partition) {
    part *p = part_of(s, partition);
    if (p)
        p->last = s->marked;
}

void hf_states_shut(hf_states *s, int32_t partition) {
    part *p = part_of(s, partition);
    if (p)
        p->open = false;
}

bool hf_states_is_open(const hf_states *s, int32_t partition) {
    return partition >= 0 && partition < HF_STATES_PARTITIONS && s->parts[partition].open;
}

hf_code hf_states_changed(hf_states *s, const hf_job *job, int32_t partition, hf_err *reterr) {
    hf_buf_clear(&s->out);
    hf_code code = hf_encode(s->codec, HF_SCHEMA_JOB, job, &s->out, reterr);
    if (code != HF_OK)
        return code;
    entry *e = NULL;
    HASH_FIND(hh, s->by_id, job->id.p, job->id.len, e);
    if (!e && s->free_count == 0)
        return hf_fail(reterr, HF_E_BUSY, "%d job states wait for Kafka's acknowledgement", HF_STATES_MAX);
    char *bytes = hf_alloc(job->id.len + s->out.len);
    entry *fresh = e ? e : hf_alloc(sizeof *fresh);
    if (!bytes || !fresh) {
        free(bytes);
        if (!e)
            free(fresh);
        return hf_fail(reterr, HF_E_NO_MEMORY, "state of a job");
    }
    memcpy(bytes, job->id.p, job->id.len);
    memcpy(bytes + job->id.len, s->out.data, s->out.len);
    if (e)
        HASH_DEL(s->by_id, e); /* its key lives in the bytes that go */
    else
        s->slots[fresh->slot = s->free_slots[--s->free_count]] = fresh;
    free(fresh->bytes);
    fresh->bytes = bytes;
    fresh->id_len = job->id.len;
    fresh->value_len = (uint32_t)s->out.len;
    fresh->partition = partition;
    if (!fresh->dirty)
        fresh->first_offset = job->last.offset;
    HASH_ADD_KEYPTR(hh, s->by_id, fresh->bytes, fresh->id_len, fresh);
    mark_dirty(s, fresh);
    return HF_OK;
}

static bool publish(hf_states *s, entry *e) {
    hf_err err;
    char through[24];
    const part *p = &s->parts[e->partition];
    int64_t offset = e->number <= p->last && p->through < e->first_offset - 1 ? p->through : e->first_offset - 1;
    snprintf(through, sizeof through, "%lld", (long long)offset);
    hf_header header = {HF_STR(HF_STATES_THROUGH), hf_str_of(through)};
    hf_str key = {e->bytes, e->id_len}, value = {e->bytes + e->id_len, e->value_len};
    hf_code code = hf_klog_produce(s->log, HF_TOPIC_JOB_STATES, e->partition, key, value, "Job", &header, 1,
                                   TAG_BIT | e->slot, &err);
    if (code == HF_OK)
        e->in_flight++;
    else if (code != HF_E_LOG_QUEUE_FULL)
        HF_LOG_ERR(WARN, "job-state-not-sent", &err, {"job", HF_V_STR(key)});
    return code == HF_OK;
}

void hf_states_flush(hf_states *s, int64_t mono_ms, bool now) {
    if (s->first && s->since_ms == 0)
        s->since_ms = mono_ms;
    if (!s->first || (!now && mono_ms < s->since_ms + HF_STATES_GATHER_MS && s->free_count > HF_STATES_MAX / 2))
        return;
    while (s->first && publish(s, s->first)) {
        entry *e = s->first;
        s->first = e->next_dirty;
        e->dirty = false;
    }
    if (!s->first)
        s->last = NULL;
    s->since_ms = s->first ? mono_ms : 0; /* the queue to Kafka was full: again in a moment */
}

int64_t hf_states_next_ms(const hf_states *s) { return s->first ? s->since_ms + HF_STATES_GATHER_MS : INT64_MAX; }

void hf_states_report(hf_states *s, uint64_t tag, const hf_report *report) {
    entry *e = s->slots[(tag & ~TAG_BIT) % HF_STATES_MAX];
    if (!e)
        return;
    e->in_flight--;
    if (report->error != HF_OK)
        mark_dirty(s, e); /* once more, as it is by now */
    else if (!e->dirty && !e->in_flight)
        forget(s, e);
}
