/* Following: assign() with the caller's offsets, one queue for all partitions, batches out of it.
 *
 * The descriptor stays readable until a poll has found the queue empty, although librdkafka's own event fires only
 * when a queue stops being empty: a caller that stops at its bound loses nothing.
 *
 * An offset that is gone is found twice: at open, against the watermarks, and later through auto.offset.reset=error.
 * It breaks the follower for good: its error comes back from every poll after the records before it. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>
#include <sys/eventfd.h>

#include "journal/log/inside.h"
#include "schemas/base/clock.h"

enum { TAKE_MAX = 131072 };

#define REMEDY                                                                                                         \
    "records were deleted before they were read: check the topic's retention, then restore from a snapshot of a "      \
    "journal that has them, or rebuild into an empty state directory"

typedef struct track {
    hf_topic topic;
    int32_t partition;
    int64_t next;     /* offset behind what was given out; may be -2 until the first record */
    int64_t low, end; /* as at open */
    bool reached;
} track;

struct hf_follower {
    hf_klog *log;
    hf_client *client;
    hf_topic_cache cache;
    track *tracks;
    size_t count, behind; /* behind: tracks not reached */
    int32_t *index[HF_TOPIC_COUNT], index_size[HF_TOPIC_COUNT];
    rd_kafka_message_t **held; /* taken out of the queue, not given out yet */
    size_t held_count, held_room;
    int event_fd;
    bool replay, trim_due;
    hf_headers headers;
    hf_err broken;
};

static const hf_setting soft[] = {
    {"queued.min.messages", "100000"}, /* a full queue makes a partition sleep for 1 s in librdkafka 2.0.2 */
    {"queued.max.messages.kbytes", "16384"},
    {"fetch.wait.max.ms",
     "100"}, /* 500 by default: partitions that miss the first fetch were deaf for up to 1 s at the start */
    {NULL, NULL},
};
static const hf_setting hard[] = {
    {"group.id", "hyperfleet-follower"}, /* must be set; nothing is ever committed under it */
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},
    {NULL, NULL},
};
static const hf_setting hard_replay[] = {
    {"group.id", "hyperfleet-follower"},       {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},     {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},          {"queued.min.messages", "1000000"},
    {"queued.max.messages.kbytes", "1000000"}, {NULL, NULL},
};

/* ---- tracks ---------------------------------------------------------------------------------- */
static track *track_of(const hf_follower *f, hf_topic topic, int32_t partition) {
    if (topic >= HF_TOPIC_COUNT || partition < 0 || partition >= f->index_size[topic])
        return NULL;
    int32_t i = f->index[topic][partition];
    return i < 0 ? NULL : &f->tracks[i];
}

static hf_code index_tracks(hf_follower *f, hf_err *reterr) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++) {
        int32_t size = 0;
        for (size_t i = 0; i < f->count; i++)
            if (f->tracks[i].topic == (hf_topic)t && f->tracks[i].partition >= size)
                size = f->tracks[i].partition + 1;
        if (!size)
            continue;
        f->index[t] = hf_alloc((size_t)size * sizeof *f->index[t]);
        if (!f->index[t])
            return hf_fail(reterr, HF_E_NO_MEMORY, "a follower");
        memset(f->index[t], 0xff, (size_t)size * sizeof *f->index[t]);
        f->index_size[t] = size;
    }
    for (size_t i = 0; i < f->count; i++)
        f->index[f->tracks[i].topic][f->tracks[i].partition] = (int32_t)i;
    return HF_OK;
}

static hf_code make_tracks(hf_follower *f, const hf_follow_from *from, hf_err *reterr) {
    f->tracks = hf_alloc(f->count * sizeof *f->tracks);
    if (!f->tracks)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a follower");
    for (size_t i = 0; i < f->count; i++) {
        int32_t partitions;
        hf_code code = hf_klog_partitions(f->log, from[i].topic, &partitions, reterr);
        if (code)
            return code;
        if (from[i].partition < 0 || from[i].partition >= partitions)
            return hf_fail(reterr, HF_E_NOT_FOUND, "%s has no partition %d", f->log->topic_names[from[i].topic],
                           from[i].partition);
        f->tracks[i] = (track){.topic = from[i].topic, .partition = from[i].partition, .next = from[i].offset};
    }
    return index_tracks(f, reterr);
}

static rd_kafka_topic_partition_list_t *list_of(const hf_follower *f) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)f->count);
    for (size_t i = 0; i < f->count; i++)
        rd_kafka_topic_partition_list_add(list, f->log->topic_names[f->tracks[i].topic], f->tracks[i].partition)
            ->offset = f->tracks[i].next;
    return list;
}

static void reached(hf_follower *f, track *t) {
    if (t->reached)
        return;
    t->reached = true;
    f->trim_due = --f->behind == 0;
}

/* Where each partition begins and ends now: what "caught up" is measured by, and whether the wanted offset is there. */
static hf_code read_ends(hf_follower *f, hf_err *reterr) {
    rd_kafka_topic_partition_list_t *list = list_of(f);
    hf_code code = hf_log_ends(f->log, list, RD_KAFKA_OFFSET_BEGINNING, HF_LOG_STEP_MS, reterr);
    for (size_t i = 0; !code && i < f->count; i++)
        f->tracks[i].low = list->elems[i].offset;
    if (!code)
        code = hf_log_ends(f->log, list, RD_KAFKA_OFFSET_END, HF_LOG_STEP_MS, reterr);
    f->behind = f->count;
    for (size_t i = 0; !code && i < f->count; i++) {
        track *t = &f->tracks[i];
        t->end = list->elems[i].offset;
        if (t->next >= 0 && (t->next < t->low || t->next > t->end))
            code = hf_log_truncated(f->log, f->log->topic_names[t->topic], t->partition, t->next, REMEDY, reterr);
        else if ((t->next < 0 ? t->low : t->next) >= t->end)
            reached(f, t);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

/* ---- the client -------------------------------------------------------------------------------- */
/* assign() with unknown leaders waits half a second for its first retry: make them known. */
static void warm_metadata(const hf_follower *f, rd_kafka_t *rk) {
    rd_kafka_topic_t *topics[HF_TOPIC_COUNT] = {0};
    const struct rd_kafka_metadata *metadata;
    for (size_t i = 0; i < f->count; i++)
        if (!topics[f->tracks[i].topic])
            topics[f->tracks[i].topic] = rd_kafka_topic_new(rk, f->log->topic_names[f->tracks[i].topic], NULL);
    if (!rd_kafka_metadata(rk, 0, NULL, &metadata, HF_LOG_STEP_MS))
        rd_kafka_metadata_destroy(metadata);
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        if (topics[t])
            rd_kafka_topic_destroy(topics[t]);
}

static hf_code assign(const hf_follower *f, rd_kafka_t *rk, hf_err *reterr) {
    rd_kafka_topic_partition_list_t *list = list_of(f);
    rd_kafka_resp_err_t err = rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? hf_fail(reterr, hf_log_code(err), "following: %s", rd_kafka_err2str(err)) : HF_OK;
}

static hf_code open_client(hf_follower *f, bool replay, hf_client **ret, hf_err *reterr) {
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    hf_code code = hf_conf_new(f->log, "follower", soft, replay ? hard_replay : hard, &conf, reterr);
    if (!code)
        code = hf_handle_new(RD_KAFKA_CONSUMER, conf, &rk, reterr);
    if (code)
        return code;
    rd_kafka_poll_set_consumer(rk);
    warm_metadata(f, rk);
    code = hf_client_new(rk, f->event_fd, ret, reterr);
    if (code) {
        rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        return code;
    }
    code = assign(f, rk, reterr);
    if (code)
        hf_client_put(*ret);
    return code;
}

hf_code hf_follower_open(hf_klog *log, const hf_follow_from *from, size_t count, hf_follower **ret, hf_err *reterr) {
    if (!count || count > HF_TOPIC_COUNT * HF_LOG_PARTITIONS_MAX)
        return hf_fail(reterr, HF_E_INVALID, "a follower of %zu partitions", count);
    hf_follower *f = hf_alloc(sizeof *f);
    if (!f)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a follower");
    f->log = log;
    f->count = count;
    f->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hf_code code = f->event_fd < 0 ? hf_fail_errno(reterr, errno, "eventfd") : make_tracks(f, from, reterr);
    if (!code)
        code = read_ends(f, reterr);
    if (!code)
        code = open_client(f, false, &f->client, reterr);
    if (code) {
        f->client = NULL;
        hf_follower_close(f);
        return code;
    }
    *ret = f;
    return HF_OK;
}

static void drop_held(hf_follower *f) {
    for (size_t i = 0; i < f->held_count; i++)
        rd_kafka_message_destroy(f->held[i]);
    f->held_count = 0;
}

void hf_follower_close(hf_follower *f) {
    if (!f)
        return;
    drop_held(f);
    if (f->client)
        hf_client_silence(f->client);
    hf_client_put(f->client);
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        free(f->index[t]);
    free(f->tracks);
    free(f->held);
    if (f->event_fd >= 0)
        close(f->event_fd);
    free(f);
}

int hf_follower_fd(hf_follower *f) { return f->event_fd; }

/* ---- polling ------------------------------------------------------------------------------------- */
static hf_code hold_room(hf_follower *f, size_t max, hf_err *reterr) {
    if (f->held_room >= max)
        return HF_OK;
    rd_kafka_message_t **room = hf_realloc(f->held, max * sizeof *room);
    if (!room)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu records", max);
    f->held = room;
    f->held_room = max;
    return HF_OK;
}

/* What comes instead of a record. True: the follower cannot go on. */
static bool take_error(hf_follower *f, const rd_kafka_message_t *m) {
    track *t = m->rkt ? track_of(f, hf_topic_cache_get(&f->cache, f->log, m->rkt), m->partition) : NULL;
    int err = m->err;
    if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (t && m->offset >= t->end)
            reached(f, t);
        if (t && m->offset > t->next) /* behind the last record there may be markers without records */
            t->next = m->offset;
        return false;
    }
    if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && t) {
        hf_log_truncated(f->log, f->log->topic_names[t->topic], t->partition, t->next, REMEDY, &f->broken);
        return true;
    }
    if (!t || err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        hf_trouble_on_error(f->client->rk, err, rd_kafka_message_errstr(m), f->log); /* librdkafka tries again */
        return false;
    }
    hf_fail(&f->broken, hf_log_code(m->err), "%s [%d] at offset %" PRId64 ": %s", f->log->topic_names[t->topic],
            t->partition, t->next, rd_kafka_message_errstr(m));
    return true;
}

/* Keeps records, takes in the rest; what follows an error that ends the follower is dropped. */
static void sift(hf_follower *f, size_t count) {
    size_t kept = 0;
    bool stop = false;
    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_t *m = f->held[i];
        if (!stop && !m->err)
            f->held[kept++] = m;
        else {
            stop = stop || take_error(f, m);
            rd_kafka_message_destroy(m);
        }
    }
    f->held_count = kept;
}

static hf_code give_out(hf_follower *f, hf_batch *ret, hf_err *reterr) {
    hf_code code = hf_batch_make(f->client, &f->cache, f->log, f->headers, f->held, f->held_count, ret, reterr);
    if (code)
        return code;
    f->held_count = 0;
    for (size_t i = 0; i < ret->count; i++) {
        track *t = track_of(f, ret->records[i].topic, ret->records[i].partition);
        if (!t) /* nobody asked for that partition */
            continue;
        t->next = ret->records[i].offset + 1;
        if (!t->reached && t->next >= t->end)
            reached(f, t);
    }
    hf_trouble_over(&f->log->trouble);
    return HF_OK;
}

/* Fills `held` with what the queue has. */
static void drain(hf_follower *f, size_t max) {
    while (!f->held_count && !f->broken.code) {
        ssize_t n = rd_kafka_consume_batch_queue(f->client->queue, 0, f->held, max);
        if (n <= 0)
            return;
        sift(f, (size_t)n);
    }
}

hf_code hf_follower_poll(hf_follower *f, size_t max, int timeout_ms, hf_batch *ret, hf_err *reterr) {
    *ret = (hf_batch){0};
    max = max > TAKE_MAX ? TAKE_MAX : max;
    hf_code code = hold_room(f, max, reterr);
    if (code)
        return code;
    int64_t until = timeout_ms > 0 ? hf_mono_ms(hf_clock_system()) + timeout_ms : 0;
    for (;;) {
        drain(f, max);
        if (!f->held_count && !f->broken.code) { /* empty: clear the event, then look once more */
            hf_event_clear(f->event_fd);
            drain(f, max);
        }
        if (f->held_count)
            return give_out(f, ret, reterr);
        if (f->broken.code)
            return hf_fail(reterr, f->broken.code, "%s", f->broken.detail);
        if (f->trim_due) /* caught up and idle: give back what the queues took meanwhile */
            f->trim_due = malloc_trim(0) < 0;
        int64_t left = until ? until - hf_mono_ms(hf_clock_system()) : 0;
        if (left <= 0 || hf_event_wait(f->event_fd, (int)left) <= 0)
            return HF_OK;
    }
}

void hf_follower_skip_headers(hf_follower *f) { f->headers = HF_HEADERS_SKIP; }

bool hf_follower_caught_up(const hf_follower *f) { return f->behind == 0; }

int64_t hf_follower_lag(hf_follower *f, hf_topic topic, int32_t partition) {
    int64_t low = 0, high = -1;
    const track *t = track_of(f, topic, partition);
    if (!t)
        return -1;
    rd_kafka_get_watermark_offsets(f->client->rk, f->log->topic_names[topic], partition, &low, &high);
    int64_t end = high > t->end ? high : t->end; /* negative until the first fetch */
    int64_t next = t->next >= 0 ? t->next : t->low;
    return end > next ? end - next : 0;
}

void hf_follower_replay_mode(hf_follower *f, bool far_behind) {
    hf_client *client;
    hf_err err = {0};
    if (f->replay == far_behind || f->broken.code)
        return;
    if (open_client(f, far_behind, &client, &err)) {
        HF_LOG_ERR(WARN, "replay-mode-unchanged", &err, {"wanted", HF_V_BOOL(far_behind)});
        return;
    }
    drop_held(f); /* not given out: the new client reads it again */
    hf_client_silence(f->client);
    hf_client_put(f->client);
    f->client = client;
    f->cache = (hf_topic_cache){0};
    f->replay = far_behind;
    if (!far_behind)
        malloc_trim(0); /* gives back what the large queues took */
}
