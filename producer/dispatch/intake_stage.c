#include "producer/dispatch/intake_stage.h"

#include "schemas/base/fault.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/intake.h"

enum { WINDOWS = 64, ARENA_BYTES = 8 << 20, OWNED_MAX = 1024 };
#define TAG_BIT (1ull << 63)

/* One polled batch: done, for its partitions, when every record in it was acknowledged. */
typedef struct window {
    uint32_t open; /* proposals without a report */
    bool failed;
    uint32_t partition_count;
    struct {
        int32_t partition;
        int64_t next;
    } partitions[32];
} window;

struct hf_intake_stage {
    hf_klog *log;
    hf_codec *codec;
    hf_group *group;
    hf_str me;
    hf_arena arena;
    hf_buf out;
    window windows[WINDOWS]; /* ring: [head, head + used) */
    uint64_t head, used;
    uint32_t open;  /* over all windows */
    hf_batch batch; /* being worked on */
    size_t at;      /* next record in it */
    bool must_reopen, paused;
    uint64_t generation;
    hf_intake_stats stats;
};

hf_code hf_intake_stage_open(hf_klog *log, hf_codec *codec, hf_str me, hf_intake_stage **ret, hf_err *reterr) {
    hf_intake_stage *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "intake");
    s->log = log;
    s->codec = codec;
    s->me = me;
    hf_arena_init(&s->arena, ARENA_BYTES);
    hf_buf_init(&s->out, HF_MAX_RECORD);
    hf_code code = hf_group_open(log, HF_TOPIC_SUBMISSIONS, "intake", &s->group, reterr);
    if (code != HF_OK) {
        hf_intake_stage_close(s);
        return code;
    }
    s->paused = true;
    hf_group_pause(s->group, true);
    *ret = s;
    return HF_OK;
}

static void drop_batch(hf_intake_stage *s) {
    hf_batch_release(&s->batch);
    s->batch = (hf_batch){0};
    s->at = 0;
}

void hf_intake_stage_close(hf_intake_stage *s) {
    if (!s)
        return;
    drop_batch(s);
    hf_group_close(s->group);
    hf_arena_done(&s->arena);
    hf_buf_done(&s->out);
    free(s);
}

int hf_intake_stage_fd(hf_intake_stage *s) { return hf_group_fd(s->group); }
hf_intake_stats hf_intake_stage_stats(const hf_intake_stage *s) { return s->stats; }

/* ---- one submission ---------------------------------------------------------------------------------- */
static hf_str header_of(const hf_log_record *r, const char *name) {
    for (uint32_t i = 0; i < r->header_count; i++)
        if (hf_str_eqz(r->headers[i].name, name))
            return r->headers[i].value;
    return HF_STR_NONE;
}

static hf_code send_proposal(hf_intake_stage *s, const hf_log_record *from, const hf_record *record, hf_err *reterr) {
    hf_buf_clear(&s->out);
    hf_code code = hf_encode(s->codec, HF_SCHEMA_RECORD, record, &s->out, reterr);
    if (code != HF_OK)
        return code;
    hf_header headers[1];
    uint32_t count = 0;
    hf_str trace = header_of(from, "traceparent");
    if (trace.len)
        headers[count++] = (hf_header){HF_STR("traceparent"), trace};
    return hf_klog_produce(s->log, HF_TOPIC_JOB_EVENTS, -1, record->job_id, hf_buf_str(&s->out), "JobEvent", headers,
                           count, TAG_BIT | (s->head + s->used - 1), reterr);
}

static hf_code send_dead_letter(hf_intake_stage *s, const hf_log_record *from, const hf_err *why, hf_err *reterr) {
    char *origin = hf_arena_printf(&s->arena, "submissions/%d/%lld", from->partition, (long long)from->offset);
    char *schema =
        from->value.len >= 5 && from->value.p[0] == 0
            ? hf_arena_printf(&s->arena, "%u",
                              (unsigned)(uint8_t)from->value.p[1] << 24 | (unsigned)(uint8_t)from->value.p[2] << 16 |
                                  (unsigned)(uint8_t)from->value.p[3] << 8 | (unsigned)(uint8_t)from->value.p[4])
            : NULL;
    hf_header headers[HF_LOG_HEADERS_MAX] = {{HF_STR("hf-origin"), hf_str_of(origin)},
                                             {HF_STR("hf-error"), hf_str_of(hf_code_name(why->code))},
                                             {HF_STR("hf-detail"), hf_str_of(why->detail)},
                                             {HF_STR("hf-schema-id"), hf_str_of(schema)}};
    uint32_t count = schema ? 4 : 3;
    for (uint32_t i = 0; i < from->header_count && count < HF_LOG_HEADERS_MAX; i++)
        if (!hf_str_starts(from->headers[i].name, HF_STR("hf-")))
            headers[count++] = from->headers[i];
    hf_str value = why->code == HF_E_SECRET ? HF_STR("") : from->value;
    hf_code code = hf_klog_produce(s->log, HF_TOPIC_DEAD_LETTERS, -1, from->key, value, "DeadLetter", headers, count,
                                   TAG_BIT | (s->head + s->used - 1), reterr);
    if (code == HF_OK) {
        s->stats.dead_letters++;
        HF_LOG_ERR(WARN, "submission-unreadable", why, {"partition", HF_V_INT(from->partition)},
                   {"offset", HF_V_INT(from->offset)});
    }
    return code;
}

/* A JSON object that has an id but is no job: on record as a job that was rejected, so that whoever
 * sent it finds out where they look. False: it has no id. */
static bool submission_of_errors(hf_intake_stage *s, const json_t *json, hf_submission *ret) {
    const char *id = json_string_value(json_object_get(json, "job_id"));
    if (!id)
        id = json_string_value(json_object_get(json, "id"));
    if (!id || !hf_id_valid(hf_str_of(id)))
        return false;
    hf_type_init(&HF_TYPE_SUBMISSION, ret);
    ret->job_id = hf_arena_str(&s->arena, hf_str_of(id));
    ret->spec.name = ret->job_id;
    return ret->job_id.p != NULL;
}

static hf_code propose_rejected(hf_intake_stage *s, const hf_log_record *from, hf_submission *sub, const hf_err *why,
                                int64_t now, hf_err *reterr) {
    hf_ev_created created = {.spec = sub->spec};
    hf_str text = hf_str_of(why->detail);
    hf_ev_rejected rejected = {
        .errors = {&text, 1},
        .error = {.code = hf_str_of(hf_code_name(why->code)), .message = text, .phase = HF_STR("validate")}};
    hf_variant transitions[] = {{HF_EV_CREATED, &created}, {HF_EV_REJECTED, &rejected}};
    hf_record record = {.job_id = sub->job_id, .at = now, .by = s->me, .transitions = {transitions, 2}};
    s->stats.rejected++;
    return send_proposal(s, from, &record, reterr);
}

/* HF_OK with *ret, or what makes it unreadable in *why. *ret_named: *ret has at least the id. */
static hf_code read_submission(hf_intake_stage *s, const hf_log_record *from, hf_submission *ret, bool *ret_named,
                               hf_err *why) {
    *ret_named = false;
    if (!from->value.p || from->value.len == 0)
        return hf_fail(why, HF_E_FRAME_UNKNOWN, "the submission is empty");
    if (from->value.len > HF_MAX_SUBMISSION)
        return hf_fail(why, HF_E_LIMIT, "the submission has %u bytes; at most %d are allowed", from->value.len,
                       HF_MAX_SUBMISSION);
    if (from->value.p[0] != '{')
        return hf_decode(s->codec, HF_SCHEMA_SUBMISSION, from->value, &s->arena, ret, why);
    json_t *json = hf_json_parse(from->value, HF_MAX_SUBMISSION, why);
    if (!json)
        return why->code;
    hf_code code = hf_submission_from_json(json, &s->arena, ret, why);
    if (code != HF_OK)
        *ret_named = submission_of_errors(s, json, ret);
    json_decref(json);
    return code;
}

static hf_code take_in(hf_intake_stage *s, const hf_log_record *from, int64_t now, hf_err *reterr) {
    hf_submission *sub = hf_arena_alloc(&s->arena, sizeof *sub);
    hf_record *record = hf_arena_alloc(&s->arena, sizeof *record);
    char *id = hf_arena_alloc(&s->arena, HF_UUID_BYTES);
    char *origin = hf_arena_printf(&s->arena, "submissions/%d/%lld", from->partition, (long long)from->offset);
    if (!sub || !record || !id || !origin)
        return hf_fail(reterr, HF_E_NO_MEMORY, "intake of a submission");
    hf_err why;
    bool named;
    hf_code code = read_submission(s, from, sub, &named, &why);
    if (code != HF_OK)
        return code == HF_E_UNREACHABLE ? hf_fail(reterr, code, "%s", why.detail) /* the schema registry: it waits */
               : named                  ? propose_rejected(s, from, sub, &why, now, reterr)
                                        : send_dead_letter(s, from, &why, reterr);
    sub->spec.scheduled_for = 0; /* a schedule's dispatcher alone says that */
    if (sub->job_id.len == 0) {
        hf_str topic = hf_str_of(hf_klog_topic_name(s->log, HF_TOPIC_SUBMISSIONS));
        sub->job_id = hf_str_of(hf_id_from_position(topic, from->partition, from->offset, from->timestamp_ms, id));
    } else if (!hf_id_valid(sub->job_id)) {
        hf_fail(&why, HF_E_INVALID,
                "job_id is not an id: 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -, not beginning with . or -",
                HF_ID_MAX_BYTES);
        return send_dead_letter(s, from, &why, reterr);
    }
    hf_intake_errors *errors = hf_arena_alloc(&s->arena, sizeof *errors);
    if (!errors)
        return hf_fail(reterr, HF_E_NO_MEMORY, "intake of a submission");
    code = hf_intake(sub, sub->job_id, hf_str_of(origin), s->me, now, &s->arena, record, errors, reterr);
    if (code != HF_OK)
        return code;
    s->stats.rejected += errors->count > 0;
    code = send_proposal(s, from, record, &why);
    if (code != HF_OK && hf_code_policy(code) == HF_POLICY_REJECT) /* over a bound of the wire */
        return send_dead_letter(s, from, &why, reterr);
    return code == HF_OK ? HF_OK : hf_fail(reterr, code, "%s", why.detail);
}

/* ---- windows: what is done, in order ------------------------------------------------------------------ */
static window *newest(hf_intake_stage *s) { return &s->windows[(s->head + s->used - 1) % WINDOWS]; }

static void note_partition(window *w, int32_t partition, int64_t next) {
    for (uint32_t i = 0; i < w->partition_count; i++)
        if (w->partitions[i].partition == partition) {
            w->partitions[i].next = next;
            return;
        }
    w->partitions[w->partition_count].partition = partition;
    w->partitions[w->partition_count++].next = next;
}

static bool note_fits(const window *w, int32_t partition) {
    for (uint32_t i = 0; i < w->partition_count; i++)
        if (w->partitions[i].partition == partition)
            return true;
    return w->partition_count < HF_ARRAY_LEN(w->partitions);
}

static void retire_windows(hf_intake_stage *s) {
    bool any = false;
    while (s->used && s->windows[s->head % WINDOWS].open == 0 && !(s->used == 1 && s->batch.count)) {
        window *w = &s->windows[s->head % WINDOWS];
        if (w->failed)
            s->must_reopen = true;
        for (uint32_t i = 0; !s->must_reopen && i < w->partition_count; i++)
            hf_group_done(s->group, w->partitions[i].partition, w->partitions[i].next);
        s->head++;
        s->used--;
        any = true;
    }
    hf_err err;
    if (any && !s->must_reopen && hf_group_commit(s->group, &err) != HF_OK)
        HF_LOG_ERR(WARN, "intake-commit", &err, {"open", HF_V_INT(s->open)});
}

void hf_intake_stage_report(hf_intake_stage *s, uint64_t tag, const hf_report *report) {
    uint64_t number = tag & ~TAG_BIT;
    if (number < s->head || number >= s->head + s->used)
        return; /* of a window that was given up */
    window *w = &s->windows[number % WINDOWS];
    w->open--;
    s->open--;
    if (report->error != HF_OK) {
        w->failed = true;
        HF_LOG(WARN, "proposal-not-acknowledged", {"error", HF_V_Z(hf_code_name(report->error))},
               {"detail", HF_V_Z(report->detail)});
    }
    if (w->open == 0)
        retire_windows(s);
}

/* A proposal was not acknowledged: read its submission again from the committed offset. */
static hf_code reopen(hf_intake_stage *s, hf_err *reterr) {
    drop_batch(s);
    s->head += s->used;
    s->used = 0;
    s->open = 0;
    hf_group_close(s->group);
    s->group = NULL;
    hf_code code = hf_group_open(s->log, HF_TOPIC_SUBMISSIONS, "intake", &s->group, reterr);
    if (code == HF_OK) {
        s->must_reopen = false;
        hf_group_pause(s->group, s->paused);
        s->stats.reopened++;
        HF_LOG(WARN, "intake-reopened",
               {"why", HF_V_Z("a proposal was not acknowledged; its submissions are read again")});
    }
    return code;
}

void hf_intake_stage_pause(hf_intake_stage *s, bool paused) {
    s->paused = paused;
    if (s->group)
        hf_group_pause(s->group, paused);
}

/* ---- the step ------------------------------------------------------------------------------------------ */
static hf_code next_batch(hf_intake_stage *s, hf_err *reterr) {
    if (s->used == WINDOWS || s->open >= HF_INTAKE_OPEN_MAX)
        return HF_OK;
    hf_code code = hf_group_poll(s->group, HF_INTAKE_BATCH_MAX, 0, &s->batch, reterr);
    if (code != HF_OK || s->batch.count == 0)
        return code;
    s->used++;
    *newest(s) = (window){0};
    return HF_OK;
}

static hf_code work_off(hf_intake_stage *s, const hf_clock *clock, hf_err *reterr) {
    for (; s->at < s->batch.count; s->at++) {
        const hf_log_record *from = &s->batch.records[s->at];
        if (!note_fits(newest(s), from->partition)) { /* more partitions than a window counts: begin another */
            if (s->used == WINDOWS)
                return hf_fail(reterr, HF_E_BUSY, "intake windows");
            s->used++;
            *newest(s) = (window){0};
        }
        hf_arena_reset(&s->arena);
        hf_code code = take_in(s, from, hf_wall_ms(clock), reterr);
        if (code != HF_OK)
            return code;
        hf_fault_point("intake-after-produce");
        window *w = newest(s);
        w->open++;
        s->open++;
        s->stats.taken++;
        note_partition(w, from->partition, from->offset + 1);
    }
    drop_batch(s);
    retire_windows(s); /* reports may have come while the batch was open */
    return HF_OK;
}

hf_code hf_intake_stage_step(hf_intake_stage *s, const hf_clock *clock, bool *ret_more, hf_err *reterr) {
    *ret_more = false;
    hf_code code = s->must_reopen ? reopen(s, reterr) : HF_OK;
    if (code == HF_OK && s->batch.count == 0)
        code = next_batch(s, reterr);
    if (code != HF_OK || s->batch.count == 0)
        return code;
    code = work_off(s, clock, reterr);
    if (code == HF_E_LOG_QUEUE_FULL || code == HF_E_BUSY)
        code = HF_OK; /* reports will make room: go on where we stopped */
    *ret_more = code == HF_OK && s->batch.count == 0;
    return code;
}

bool hf_intake_stage_owned(hf_intake_stage *s, uint64_t *bits, size_t words) {
    uint64_t generation = hf_group_generation(s->group) + s->stats.reopened * 1000003;
    if (generation == s->generation)
        return false;
    s->generation = generation;
    memset(bits, 0, words * sizeof *bits);
    for (int32_t p = 0; p < OWNED_MAX && (size_t)p / 64 < words; p++)
        if (hf_group_owns(s->group, p))
            bits[p / 64] |= 1ull << (p % 64);
    return true;
}
