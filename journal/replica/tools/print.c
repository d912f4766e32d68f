#include "journal/replica/tools/print.h"

#include <inttypes.h>
#include <stdlib.h>

#include "journal/replica/compare.h"
#include "journal/replica/logcopy.h"
#include "journal/replica/runs.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { LIST_LIMIT = 100 };

typedef struct printer {
    hf_store *store;
    hf_read *read;
    hf_tables tables;
    hf_codec *codec, *plain; /* plain: ours, where none was given */
    hf_arena arena;
    const hf_print_options *options;
    const char *argument;
    FILE *out;
    size_t printed;
    hf_err err; /* of a callback */
    bool header;
} printer;

static size_t limit_of(const printer *p) { return p->options->limit ? p->options->limit : LIST_LIMIT; }
static const char *time_text(int64_t ms, char text[HF_RFC3339_BYTES]) { return ms ? hf_time_format(ms, text) : "-"; }
static const char *or_dash(hf_str s, char *text, size_t size) {
    snprintf(text, size, "%.*s", HF_STR_ARG(s));
    return s.len ? text : "-";
}

/* Takes the reference. */
static void put_json(printer *p, json_t *json) {
    if (!json || json_dumpf(json, p->out, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0)
        hf_fail(&p->err, HF_E_NO_MEMORY, "printing");
    fputc('\n', p->out);
    json_decref(json);
}
static void title(printer *p, const char *line) {
    if (!p->header && !p->options->json)
        fprintf(p->out, "%s\n", line);
    p->header = true;
}

/* ---- jobs -------------------------------------------------------------------------------------------------------- */
static void put_job_line(printer *p, const hf_job *job) {
    char at[HF_RFC3339_BYTES], worker[64], name[48], id[HF_ID_MAX_BYTES + 1];
    if (p->options->json) {
        put_json(p, hf_json_of(&HF_TYPE_JOB, job, 0));
        return;
    }
    title(
        p,
        "JOB                                   STATE        TRY  UPDATED                   WORKER                NAME");
    fprintf(p->out, "%-37s %-12s %3d  %-25s %-21s %s\n", or_dash(job->id, id, sizeof id),
            hf_state_name((hf_state)job->state), (int)job->attempt, time_text(job->updated_at, at),
            or_dash(job->worker, worker, 21), or_dash(job->spec->name, name, sizeof name));
}

static bool each_job(void *ctx, const hf_job *job) {
    put_job_line(ctx, job);
    return true;
}

static hf_code job_as_of(printer *p, uint64_t key, hf_job **ret, hf_err *reterr) {
    return hf_asof_job(p->store, p->read, &p->tables, p->codec, key, p->options->as_of, ret, reterr);
}

static hf_code print_jobs_then(printer *p, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_code rc = hf_cursor_open(p->read, p->tables.of[HF_TB_JOBS], &cursor, reterr);
    for (size_t n = 0;
         rc == HF_OK && n < limit_of(p) && (rc = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr)) == HF_OK;) {
        hf_job *job = NULL;
        rc = job_as_of(p, hf_u64_of(key), &job, reterr);
        if (rc == HF_OK && !job->deleted) {
            put_job_line(p, job);
            n++;
        }
        free(job);
        if (rc == HF_E_NOT_FOUND)
            rc = HF_OK;
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

static hf_code print_jobs(printer *p, hf_err *reterr) {
    if (p->options->as_of)
        return print_jobs_then(p, reterr);
    return hf_query_jobs(p->read, &p->tables, 0, limit_of(p), &p->arena, each_job, p, reterr);
}

static void put_members(printer *p, const char *path, const json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        char name[256];
        snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", key);
        if (json_is_object(value)) {
            put_members(p, name, value);
            continue;
        }
        fprintf(p->out, "%-32s ", name);
        if (json_is_string(value))
            fputs(json_string_value(value), p->out);
        else
            json_dumpf(value, p->out, JSON_ENCODE_ANY | JSON_COMPACT);
        fputc('\n', p->out);
    }
}

static void put_job(printer *p, const hf_job *job) {
    json_t *json = hf_json_of(&HF_TYPE_JOB, job, 0);
    if (p->options->json || !json) {
        put_json(p, json);
        return;
    }
    put_members(p, "", json);
    json_decref(json);
}

static hf_code print_job(printer *p, hf_err *reterr) {
    uint64_t key = 0;
    hf_code rc = hf_query_job_key(p->read, &p->tables, hf_str_of(p->argument), &key, reterr);
    if (rc != HF_OK)
        return rc;
    if (p->options->as_of) {
        hf_job *then = NULL;
        rc = job_as_of(p, key, &then, reterr);
        if (rc == HF_OK)
            put_job(p, then);
        free(then);
        return rc;
    }
    hf_job job;
    rc = hf_query_job_at(p->read, &p->tables, key, &p->arena, &job, reterr);
    if (rc == HF_OK)
        put_job(p, &job);
    return rc;
}

/* ---- proposals ------------------------------------------------------------------------------------------------------ */
static json_t *event_json(const hf_query_event *e) {
    char at[HF_RFC3339_BYTES];
    json_t *json = json_object();
    json_object_set_new(json, "partition", json_integer(e->row.position.partition));
    json_object_set_new(json, "offset", json_integer(e->row.position.offset));
    json_object_set_new(json, "timestamp", json_string(hf_time_format(e->source->timestamp_ms, at)));
    json_object_set_new(json, "verdict", json_string(hf_verdict_name(e->row.verdict)));
    if (e->row.verdict != HF_V_ACCEPTED)
        json_object_set_new(json, "refused_transition", json_integer(e->row.refused));
    json_object_set_new(json, "record", e->record ? hf_json_of(&HF_TYPE_RECORD, e->record, 0) : json_null());
    return json;
}

static void event_names(const hf_record *record, char text[128]) {
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; record && i < record->transitions.count && at < 100; i++)
        at += (size_t)snprintf(text + at, 128 - at, "%s%s", i ? "+" : "", hf_event_name(hf_record_event(record, i)));
}

static bool each_event(void *ctx, const hf_query_event *e) {
    printer *p = ctx;
    char at[HF_RFC3339_BYTES], names[128], place[32];
    if (p->options->as_of &&
        (p->options->as_of->by == HF_ASOF_TIME ? e->source->timestamp_ms > p->options->as_of->time_ms
                                               : e->row.position.offset > p->options->as_of->offset))
        return false;
    if (p->options->json) {
        put_json(p, event_json(e));
        return true;
    }
    title(p, "POSITION        TIME                      VERDICT               TRY  TRANSITIONS                    BY");
    event_names(e->record, names);
    snprintf(place, sizeof place, "%d/%" PRId64, (int)e->row.position.partition, e->row.position.offset);
    fprintf(p->out, "%-15s %-25s %-21s %3d  %-30s %.*s\n", place, hf_time_format(e->source->timestamp_ms, at),
            hf_verdict_name(e->row.verdict), e->record ? (int)e->record->attempt : 0, names,
            HF_STR_ARG(e->record ? e->record->by : HF_STR_NONE));
    return true;
}

static hf_code print_events(printer *p, hf_err *reterr) {
    uint64_t key = 0;
    hf_code rc = hf_query_job_key(p->read, &p->tables, hf_str_of(p->argument), &key, reterr);
    return rc == HF_OK
               ? hf_query_events(p->store, p->read, &p->tables, p->codec, key, (hf_position){0, 0},
                                 p->options->limit ? p->options->limit : SIZE_MAX, &p->arena, each_event, p, reterr)
               : rc;
}

static void put_orphan(printer *p, hf_str key, hf_str value) {
    char place[128];
    hf_str why = {value.p + HF_ORPHAN_HEAD, value.len - HF_ORPHAN_HEAD};
    const char *verdict = value.p[2] ? "unreadable" : hf_verdict_name((hf_verdict)(uint8_t)value.p[0]);
    hf_key_text("orphans", key, place);
    if (p->options->json) {
        put_json(
            p, json_pack("{s:s, s:s, s:s%}", "position", place, "verdict", verdict, "detail", why.p, (size_t)why.len));
        return;
    }
    title(p, "POSITION        VERDICT               DETAIL");
    fprintf(p->out, "%-15s %-21s %.*s\n", place, verdict, HF_STR_ARG(why));
}

/* ---- small tables ------------------------------------------------------------------------------------------------------- */
typedef void (*put_row)(printer *p, hf_str key, hf_str value);
static hf_code print_table(printer *p, hf_store_table_id table, put_row put, size_t least, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_code rc = hf_cursor_open(p->read, p->tables.of[table], &cursor, reterr);
    for (size_t n = 0; rc == HF_OK && (!p->options->limit || n < p->options->limit) &&
                       (rc = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr)) == HF_OK;
         n++)
        if (value.len >= least)
            put(p, key, value);
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

static void put_offset(printer *p, hf_str key, hf_str value) {
    int64_t next = (int64_t)hf_u64_of(value);
    if (p->options->json) {
        put_json(p, json_pack("{s:s%, s:I}", "partition", key.p, (size_t)key.len, "next_offset", (json_int_t)next));
        return;
    }
    title(p, "PARTITION                 NEXT OFFSET");
    fprintf(p->out, "%-25.*s %" PRId64 "\n", HF_STR_ARG(key), next);
}

static void put_counter(printer *p, hf_str key, hf_str value) {
    int64_t n = (int64_t)hf_u64_of(value);
    if (p->options->json) {
        put_json(p, json_pack("{s:s%, s:I}", "counter", key.p, (size_t)key.len, "value", (json_int_t)n));
        return;
    }
    fprintf(p->out, "%-50.*s %" PRId64 "\n", HF_STR_ARG(key), n);
}

static void put_chain(printer *p, hf_str key, hf_str value) {
    char hex[2 * HF_HASH_BYTES + 1];
    int64_t partition = (int64_t)hf_u64_of(key), offset = (int64_t)hf_u64_of((hf_str){value.p, 8});
    for (int i = 0; i < HF_HASH_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)value.p[8 + i]);
    if (p->options->json) {
        put_json(p, json_pack("{s:I, s:I, s:s}", "partition", (json_int_t)partition, "offset", (json_int_t)offset,
                              "sha256", hex));
        return;
    }
    title(p, "PARTITION  OFFSET      SHA-256 UP TO IT");
    fprintf(p->out, "%-10" PRId64 " %-11" PRId64 " %s\n", partition, offset, hex);
}

static void put_runs(printer *p, hf_str key, hf_str value) {
    char last[HF_RFC3339_BYTES], nominal[HF_RFC3339_BYTES], id[48], job[48];
    hf_schedule_runs runs;
    uint64_t unused[2];
    if (!hf_runs_row_read(value, &runs, &unused[0], &unused[1])) {
        hf_fail(&p->err, HF_E_STORE_DAMAGED, "the row of schedule %.*s cannot be read; run `hyperjournal rebuild`",
                HF_STR_ARG(key));
        return;
    }
    const char *outcome = runs.ended_job.len ? hf_state_name((hf_state)runs.outcome) : "-";
    if (p->options->json) {
        put_json(p, json_pack("{s:s%, s:I, s:I, s:s, s:s%, s:s, s:s%, s:s}", "schedule", key.p, (size_t)key.len, "runs",
                              (json_int_t)runs.count, "alive", (json_int_t)runs.alive, "last_run",
                              time_text(runs.last_at, last), "last_job", runs.last_job.p, (size_t)runs.last_job.len,
                              "last_nominal", time_text(runs.nominal, nominal), "ended_job", runs.ended_job.p,
                              (size_t)runs.ended_job.len, "last_outcome", outcome));
        return;
    }
    title(p, "SCHEDULE                         RUNS  ALIVE  LAST RUN                  OF THE TIME               "
             "LAST JOB                              LAST OUTCOME");
    fprintf(p->out, "%-30s %6" PRId64 " %6" PRId64 "  %-25s %-25s %-37s %s\n", or_dash(key, id, sizeof id), runs.count,
            runs.alive, time_text(runs.last_at, last), time_text(runs.nominal, nominal),
            or_dash(runs.last_job, job, sizeof job), outcome);
}

/* ---- the log copy --------------------------------------------------------------------------------------------------------- */
static const struct {
    hf_topic topic;
    hf_schema schema;
} schemas[] = {{HF_TOPIC_SUBMISSIONS, HF_SCHEMA_SUBMISSION}, {HF_TOPIC_JOB_EVENTS, HF_SCHEMA_RECORD},
               {HF_TOPIC_JOB_STATES, HF_SCHEMA_JOB},         {HF_TOPIC_PROGRESS, HF_SCHEMA_PROGRESS},
               {HF_TOPIC_WORKERS, HF_SCHEMA_HEARTBEAT},      {HF_TOPIC_SCHEDULES, HF_SCHEMA_SCHEDULE},
               {HF_TOPIC_CONTROLS, HF_SCHEMA_CONTROL},       {HF_TOPIC_DELIVERIES, HF_SCHEMA_DELIVERY},
               {HF_TOPIC_WEBHOOKS, HF_SCHEMA_WEBHOOK},       {HF_TOPIC_LIMITS, HF_SCHEMA_LIMIT}};

/* The value as its schema reads it; NULL where it has none or cannot be read. */
static json_t *value_json(printer *p, const hf_log_record *r) {
    for (size_t i = 0; i < HF_ARRAY_LEN(schemas); i++) {
        const hf_type *type = hf_schema_type(schemas[i].schema);
        if (schemas[i].topic != r->topic || !r->value.p)
            continue;
        hf_arena_reset(&p->arena);
        void *record = hf_arena_alloc(&p->arena, type->size_bytes);
        if (record && hf_decode(p->codec, schemas[i].schema, r->value, &p->arena, record, NULL) == HF_OK)
            return hf_json_of(type, record, 0);
    }
    return NULL;
}

static json_t *record_json(printer *p, const hf_log_record *r) {
    char at[HF_RFC3339_BYTES];
    json_t *json = json_object(), *headers = json_object(), *value = value_json(p, r);
    json_object_set_new(json, "topic", json_string(hf_topic_suffix(r->topic)));
    json_object_set_new(json, "partition", json_integer(r->partition));
    json_object_set_new(json, "offset", json_integer(r->offset));
    json_object_set_new(json, "timestamp", json_string(hf_time_format(r->timestamp_ms, at)));
    json_object_set_new(json, "key", json_stringn(r->key.p ? r->key.p : "", r->key.len));
    for (uint32_t i = 0; i < r->header_count; i++) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", HF_STR_ARG(r->headers[i].name));
        json_object_set_new(headers, name,
                            json_stringn(r->headers[i].value.p ? r->headers[i].value.p : "", r->headers[i].value.len));
    }
    json_object_set_new(json, "headers", headers);
    json_object_set_new(json, "value_bytes", json_integer(r->value.len));
    json_object_set_new(json, "value", value ? value : json_null());
    return json;
}

static bool each_record(void *ctx, const hf_log_record *r) {
    printer *p = ctx;
    char at[HF_RFC3339_BYTES], place[32], key[48];
    if (p->printed++ >= limit_of(p))
        return false;
    if (p->options->json) {
        put_json(p, record_json(p, r));
        return true;
    }
    title(p, "POSITION        TIME                      KEY                                    VALUE");
    snprintf(place, sizeof place, "%d/%" PRId64, (int)r->partition, r->offset);
    fprintf(p->out, "%-15s %-25s %-38s ", place, hf_time_format(r->timestamp_ms, at), or_dash(r->key, key, sizeof key));
    json_t *value = value_json(p, r);
    if (value)
        json_dumpf(value, p->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    else
        fprintf(p->out, r->value.p ? "(%u bytes that cannot be read)" : "(tombstone)", r->value.len);
    fputc('\n', p->out);
    json_decref(value);
    return true;
}

typedef struct {
    printer *p;
    hf_topic topic;
    int64_t next[1024];
    int32_t count;
} log_parts;
static bool note_part(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    log_parts *l = ctx;
    if (topic == l->topic && partition < 1024) {
        l->next[partition] = next;
        l->count = partition + 1 > l->count ? partition + 1 : l->count;
    }
    return true;
}

static hf_code print_log(printer *p, hf_err *reterr) {
    hf_auto_free log_parts *l = hf_alloc(sizeof *l);
    if (!l)
        return hf_fail(reterr, HF_E_NO_MEMORY, "printing");
    l->topic = HF_TOPIC_COUNT;
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        if (strcmp(p->argument, hf_topic_suffix((hf_topic)t)) == 0)
            l->topic = (hf_topic)t;
    if (l->topic == HF_TOPIC_COUNT)
        return hf_fail(reterr, HF_E_USAGE, "there is no topic `%s` (job-events, submissions, progress, …)",
                       p->argument);
    hf_code rc = hf_query_offsets(p->read, &p->tables, note_part, l, reterr);
    for (int32_t part = 0; rc == HF_OK && part < l->count; part++) {
        rc = hf_query_log_each(p->store, p->read, l->topic, part, 0, each_record, p, reterr);
        if (rc == HF_E_NOT_FOUND) /* the partition is followed and has no record yet */
            rc = HF_OK;
    }
    return rc;
}

/* ---- which --------------------------------------------------------------------------------------------------------------------- */
static hf_code print_offsets(printer *p, hf_err *e) { return print_table(p, HF_TB_OFFSETS, put_offset, 8, e); }
static hf_code print_counters(printer *p, hf_err *e) { return print_table(p, HF_TB_COUNTERS, put_counter, 8, e); }
static hf_code print_chain(printer *p, hf_err *e) {
    return print_table(p, HF_TB_CHAIN, put_chain, HF_CHAIN_VALUE_BYTES, e);
}
static hf_code print_runs(printer *p, hf_err *e) { return print_table(p, HF_TB_SCHEDULE_RUNS, put_runs, 0, e); }
static hf_code print_orphans(printer *p, hf_err *e) {
    return print_table(p, HF_TB_ORPHANS, put_orphan, HF_ORPHAN_HEAD, e);
}

static const struct {
    const char *name;
    bool argument;
    hf_code (*print)(printer *, hf_err *);
} prints[] = {{"jobs", false, print_jobs},
              {"job", true, print_job},
              {"events", true, print_events},
              {"offsets", false, print_offsets},
              {"counters", false, print_counters},
              {"chain", false, print_chain},
              {"log", true, print_log},
              {"orphans", false, print_orphans},
              {"schedule_runs", false, print_runs}};

static hf_code open_printer(printer *p, const char *dir, hf_err *reterr) {
    hf_store_options o = {.flags = HF_STORE_READONLY};
    hf_layout_options(HF_PROFILE_FULL, NULL, &o);
    hf_code rc = hf_store_open(dir, &o, &p->store, reterr);
    if (rc == HF_OK && !p->options->codec)
        rc = hf_codec_new(NULL, NULL, &p->plain, reterr);
    p->codec = p->plain ? p->plain : p->options->codec;
    if (rc == HF_OK)
        rc = hf_tables_open(p->store, HF_PROFILE_FULL, &p->tables, reterr);
    return rc == HF_OK ? hf_read_begin_all(p->store, &p->read, reterr) : rc;
}

hf_code hf_print(const char *dir, const char *what, const char *argument, const hf_print_options *options, FILE *out,
                 hf_err *reterr) {
    for (size_t i = 0; i < HF_ARRAY_LEN(prints); i++) {
        if (strcmp(what, prints[i].name) != 0)
            continue;
        if (prints[i].argument != (argument != NULL))
            return hf_fail(reterr, HF_E_USAGE,
                           prints[i].argument ? "print %s: of which?" : "print %s takes nothing more", what);
        printer p = {.options = options, .argument = argument, .out = out};
        hf_arena_init(&p.arena, HF_DECODE_ARENA_BYTES);
        hf_code rc = open_printer(&p, dir, reterr);
        if (rc == HF_OK)
            rc = prints[i].print(&p, reterr);
        if (rc == HF_OK && p.err.code != HF_OK)
            rc = hf_fail(reterr, p.err.code, "%s", p.err.detail);
        hf_read_end(p.read);
        hf_codec_free(p.plain);
        hf_store_close(p.store);
        hf_arena_done(&p.arena);
        return rc;
    }
    return hf_fail(
        reterr, HF_E_USAGE,
        "print what? jobs, job ID, events ID, offsets, counters, chain, orphans, schedule_runs or log TOPIC");
}
