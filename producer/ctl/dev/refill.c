#include "producer/ctl/dev/refill.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "journal/replica/layout.h"
#include "journal/replica/logcopy.h"
#include "producer/ctl/dev/state.h"

/* ---- reading stores --------------------------------------------------------------------------------------- */
static bool has_store(const char *dir) {
    char path[2400];
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    return access(path, F_OK) == 0;
}

static hf_code open_store(const char *dir, hf_store **ret, hf_err *reterr) {
    const hf_store_options options = {.flags = HF_STORE_READONLY, .fleet = "dev"};
    return hf_store_open(dir, &options, ret, reterr);
}

/* The names are collected first: a table is opened outside the read that found it. */
enum { PARTS_MAX = 4096 };
typedef struct part {
    hf_topic topic;
    int32_t partition;
} part;
typedef struct parts {
    part of[PARTS_MAX];
    size_t count;
} parts;

static hf_code note_part(void *ctx, const char *name, hf_err *reterr) {
    parts *p = ctx;
    part one;
    if (!hf_logcopy_parse(name, &one.topic, &one.partition))
        return HF_OK;
    if (p->count == PARTS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the journal holds more than %d partitions", PARTS_MAX);
    p->of[p->count++] = one;
    return HF_OK;
}

static hf_code find_parts(hf_store *store, parts *ret, hf_err *reterr) {
    hf_read *read = NULL;
    ret->count = 0;
    hf_code code = hf_read_begin(store, &read, reterr);
    if (!code)
        code = hf_read_tables(read, note_part, ret, reterr);
    hf_read_end(read);
    return code;
}

hf_code hf_dev_log_read(const char *journal_dir, hf_dev_log *ret, hf_err *reterr) {
    hf_dev_log log = {0};
    hf_store *store = NULL;
    static parts all; /* 32 KiB; this program has one thread that comes here */
    hf_code code = has_store(journal_dir) ? open_store(journal_dir, &store, reterr) : HF_OK;
    if (!code && store)
        code = find_parts(store, &all, reterr);
    for (size_t i = 0; !code && store && i < all.count; i++)
        if (all.of[i].partition >= log.partitions[all.of[i].topic])
            log.partitions[all.of[i].topic] = all.of[i].partition + 1;
    hf_store_close(store);
    if (!code)
        *ret = log;
    return code;
}

/* ---- filling the broker ------------------------------------------------------------------------------------- */
static hf_code put_back(hf_broker *broker, const char *topic_name, hf_topic topic, int32_t partition, hf_str key,
                        hf_str row, int64_t *next, hf_err *reterr) {
    hf_log_record record;
    int64_t offset = (int64_t)hf_u64_of(key), got = -1;
    if (offset != *next)
        return hf_fail(reterr, HF_E_LOG_TRUNCATED,
                       "the journal's copy of %s/%d has offset %" PRId64 " where %" PRId64
                       " should be; offsets could not agree. Start with another --state",
                       topic_name, (int)partition, offset, *next);
    hf_code code = hf_logcopy_read(topic, partition, offset, row, &record, reterr);
    if (!code)
        code = hf_broker_refill(broker, topic_name, &record, &got, reterr);
    if (!code && got != offset)
        code =
            hf_fail(reterr, HF_E_INTERNAL, "%s/%d: the broker gave offset %" PRId64 " to the record of offset %" PRId64,
                    topic_name, (int)partition, got, offset);
    *next = offset + 1;
    return code;
}

/* A bounded bite of one partition a read transaction: they stay short. */
enum { BITE = 1000, REFILL_MS = 60000 };
static hf_code fill_some(hf_store *store, hf_table table, hf_broker *broker, const char *topic_name, const part *p,
                         int64_t *next, bool *ret_end, hf_err *reterr) {
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    uint64_t from = (uint64_t)*next;
    hf_str key = hf_key_u64(&from), row;
    hf_code code = hf_read_begin(store, &read, reterr);
    if (!code)
        code = hf_cursor_open(read, table, &cursor, reterr);
    hf_code moved = code ? code : hf_cursor_move(cursor, HF_SEEK, &key, &row, reterr);
    for (int i = 0; !code && !moved && i < BITE; i++) {
        code = put_back(broker, topic_name, p->topic, p->partition, key, row, next, reterr);
        if (!code)
            moved = hf_cursor_move(cursor, HF_NEXT, &key, &row, reterr);
    }
    *ret_end = moved == HF_E_NOT_FOUND;
    if (!code && moved && moved != HF_E_NOT_FOUND)
        code = moved;
    hf_cursor_close(cursor);
    hf_read_end(read);
    return code;
}

static hf_code fill_part(hf_store *store, hf_broker *broker, const char *topic_name, const part *p, uint64_t *records,
                         hf_err *reterr) {
    char name[HF_PART_NAME_BYTES];
    hf_table table;
    int64_t next = 0;
    bool end = false;
    hf_code code =
        hf_store_table(store, hf_logcopy_name(p->topic, p->partition, name), HF_TABLE_INTEGER_KEY, &table, reterr);
    while (!code && !end)
        code = fill_some(store, table, broker, topic_name, p, &next, &end, reterr);
    *records += (uint64_t)next;
    return code;
}

hf_code hf_dev_refill(const char *journal_dir, hf_broker *broker, const char *const topic_names[HF_TOPIC_COUNT],
                      uint64_t *ret_records, hf_err *reterr) {
    hf_store *store = NULL;
    static parts all;
    uint64_t records = 0;
    hf_code code = has_store(journal_dir) ? open_store(journal_dir, &store, reterr) : HF_OK;
    if (!code && store)
        code = find_parts(store, &all, reterr);
    for (size_t i = 0; !code && store && i < all.count; i++)
        code = fill_part(store, broker, topic_names[all.of[i].topic], &all.of[i], &records, reterr);
    if (!code)
        code = hf_broker_refill_done(broker, REFILL_MS, reterr);
    hf_store_close(store);
    if (!code)
        *ret_records = records;
    return code;
}

/* ---- offsets ---------------------------------------------------------------------------------------------------- */
/* Next offset of that partition in a store's own view; 0 when it never saw one. */
static hf_code next_offset(hf_store *store, hf_topic topic, int32_t partition, int64_t *ret, hf_err *reterr) {
    hf_table table;
    hf_read *read = NULL;
    hf_str value;
    char key[HF_PART_NAME_BYTES];
    *ret = 0;
    hf_code code = hf_store_table(store, "offsets", 0, &table, reterr);
    if (code == HF_E_NOT_FOUND)
        return HF_OK;
    if (!code)
        code = hf_read_begin(store, &read, reterr);
    if (!code)
        code = hf_read_get(read, table, hf_str_of(hf_offsets_key(topic, partition, key)), &value, reterr);
    if (!code)
        *ret = (int64_t)hf_u64_of(value);
    hf_read_end(read);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

static hf_code is_ahead(const char *dir, hf_store *journal, bool *ret, hf_err *reterr) {
    hf_store *store = NULL;
    *ret = false;
    hf_code code = open_store(dir, &store, reterr);
    for (int topic = 0; !code && topic < HF_TOPIC_COUNT; topic++)
        for (int32_t p = 0; !code && p < 1024; p++) {
            int64_t seen = 0, kept = 0;
            code = next_offset(store, (hf_topic)topic, p, &seen, reterr);
            if (!code && seen > 0 && journal) /* one that was never seen does not end the search: keys are spread */
                code = next_offset(journal, (hf_topic)topic, p, &kept, reterr);
            *ret |= seen > kept;
        }
    hf_store_close(store);
    return code;
}

static hf_code drop_if_ahead(const char *dir, hf_store *journal, hf_err *reterr) {
    bool ahead = false;
    hf_code code = is_ahead(dir, journal, &ahead, reterr);
    if (code == HF_OK && !ahead)
        return HF_OK;
    if (code)
        fprintf(stderr, "hyperctl dev: %s cannot be read (%s); it is removed and folded anew from the log\n", dir,
                reterr ? reterr->detail : "");
    else
        fprintf(
            stderr,
            "hyperctl dev: %s had seen more than the journal kept before the last end; it is removed and folded anew from the log\n",
            dir);
    return hf_dev_remove_tree(dir, reterr);
}

hf_code hf_dev_drop_ahead(const char *state_dir, const char *journal_dir, hf_err *reterr) {
    hf_store *journal = NULL;
    hf_code code = has_store(journal_dir) ? open_store(journal_dir, &journal, reterr) : HF_OK;
    DIR *dir = code ? NULL : opendir(state_dir);
    if (!code && !dir)
        code = hf_fail_errno(reterr, errno, "%.300s", state_dir);
    for (const struct dirent *entry; !code && dir && (entry = readdir(dir));) {
        char path[2300];
        snprintf(path, sizeof path, "%s/%s", state_dir, entry->d_name);
        if (entry->d_name[0] != '.' && strcmp(path, journal_dir) != 0 && has_store(path))
            code = drop_if_ahead(path, journal, reterr);
    }
    if (dir)
        closedir(dir);
    hf_store_close(journal);
    return code;
}

/* Only topics the journal has begun to copy are compared: what it does not follow is nobody's loss. */
static hf_code lag_of(hf_klog *log, hf_store *journal, const parts *all, int64_t *ret, hf_err *reterr) {
    hf_code code = HF_OK;
    for (size_t i = 0; !code && i < all->count; i++) {
        int64_t low, high, next;
        code = hf_klog_watermarks(log, all->of[i].topic, all->of[i].partition, 1000, &low, &high, reterr);
        if (!code)
            code = next_offset(journal, all->of[i].topic, all->of[i].partition, &next, reterr);
        if (!code && high > next)
            *ret += high - next;
    }
    return code;
}

hf_code hf_dev_journal_lag(hf_klog *log, const char *journal_dir, int64_t *ret_records, hf_err *reterr) {
    hf_store *store = NULL;
    static parts all;
    int64_t lag = 0;
    hf_code code = open_store(journal_dir, &store, reterr);
    if (!code)
        code = find_parts(store, &all, reterr);
    if (!code)
        code = lag_of(log, store, &all, &lag, reterr);
    hf_store_close(store);
    if (!code)
        *ret_records = lag;
    return code;
}
