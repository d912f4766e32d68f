// LIBS: hf_notify
/* Webhooks as strangers may give them. What begins with { is the JSON of an API or a configuration file: it is refused with errors that can be
 * told, or it is a webhook that keeps its rules, can be written and read back, comes in as the same when it is sent back, and shows
 * no secret. All else is a row of records of the topics webhooks and webhook-deliveries (a byte of what, two of length, the body) put before the core
 * of the hook: whatever they say, it goes on, loses count of nothing, and stays within its bounds. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/notify/decide.h"
#include "schemas/base/mem.h"
#include "schemas/event/codec.h"
#include "schemas/event/json.h"
#include "schemas/webhook/webhook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_)) {                                                                                           \
            fprintf(stderr, "fuzz_webhook: not so: %s (line %d)\n", #condition_, __LINE__);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- JSON ------------------------------------------------------------------------------------------------------------------ */
typedef struct told {
    hf_intake_errors errors, warnings;
} told;

static void check_texts(const hf_intake_errors *list) {
    for (uint32_t i = 0; i < list->count && i < HF_MAX_ERRORS; i++)
        MUST(list->text[i].p && list->text[i].len);
}

static void check_written(const hf_webhook *webhook, const hf_webhook_secret *secret, hf_arena *arena) {
    hf_buf bytes;
    hf_webhook back;
    hf_buf_init(&bytes, HF_MAX_RECORD);
    MUST(hf_encode_body(HF_SCHEMA_WEBHOOK, webhook, &bytes, NULL) == HF_OK);
    MUST(hf_decode_body(HF_SCHEMA_WEBHOOK, hf_buf_str(&bytes), arena, &back, NULL) == HF_OK);
    MUST(hf_type_equal(&HF_TYPE_WEBHOOK, webhook, &back));
    if (secret->url.len) /* a part of it is secret: the whole is not on record */
        MUST(!memmem(bytes.data, bytes.len, secret->url.p, secret->url.len));
    hf_buf_done(&bytes);
}

static bool same_text(hf_str a, hf_str b) { return hf_str_eq(a, b); }

static void check_same_secret(const hf_webhook_secret *a, const hf_webhook_secret *b) {
    MUST(same_text(a->url, b->url) && a->secret_count == b->secret_count && a->header_count == b->header_count);
    for (uint32_t i = 0; i < a->secret_count; i++)
        MUST(same_text(a->secrets[i], b->secrets[i]));
    for (uint32_t i = 0; i < a->header_count; i++)
        MUST(same_text(a->headers[i].name, b->headers[i].name) && same_text(a->headers[i].value, b->headers[i].value));
}

/* As it is shown, with ***, it may be sent back over what is there; whole, it makes the same anew. */
static void check_again(const hf_webhook *webhook, const hf_webhook_secret *secret, hf_arena *arena) {
    hf_err err;
    hf_webhook again = *webhook, anew;
    hf_webhook_secret kept = *secret, made = {0};
    told *said = hf_arena_alloc(arena, 2 * sizeof *said);
    json_t *shown = hf_webhook_json(webhook), *whole = hf_webhook_json_whole(webhook, secret);
    MUST(said && shown && whole);
    MUST(hf_webhook_read(shown, 0, arena, &again, &kept, &said[0].errors, &said[0].warnings, &err) == HF_OK &&
         said[0].errors.count == 0);
    MUST(hf_type_equal(&HF_TYPE_WEBHOOK, webhook, &again));
    check_same_secret(secret, &kept);
    hf_type_init(&HF_TYPE_WEBHOOK, &anew);
    MUST(hf_webhook_read(whole, 0, arena, &anew, &made, &said[1].errors, &said[1].warnings, &err) == HF_OK &&
         said[1].errors.count == 0);
    MUST(hf_type_equal(&HF_TYPE_WEBHOOK, webhook, &anew));
    check_same_secret(secret, &made);
    json_decref(shown);
    json_decref(whole);
}

static void take_in(const json_t *json, unsigned flags, hf_arena *arena) {
    hf_err err = {0};
    hf_webhook webhook;
    hf_webhook_secret secret = {0};
    told *said = hf_arena_alloc(arena, sizeof *said);
    MUST(said);
    hf_type_init(&HF_TYPE_WEBHOOK, &webhook);
    if (hf_webhook_read(json, flags, arena, &webhook, &secret, &said->errors, &said->warnings, &err) != HF_OK) {
        MUST(err.detail[0]);
        return;
    }
    check_texts(&said->errors);
    check_texts(&said->warnings);
    if (said->errors.count || !webhook.endpoint_id.len) /* the API gives an id to what comes without one */
        return;
    hf_str url = hf_webhook_target(&webhook, &secret);
    MUST(url.len && !memmem(url.p, url.len, "***", 3));
    check_written(&webhook, &secret, arena);
    check_again(&webhook, &secret, arena);
}

static void as_json(hf_str text) {
    hf_err err = {0};
    hf_arena arena;
    json_t *json = hf_json_parse(text, HF_MAX_SUBMISSION, &err);
    MUST(json || err.detail[0]);
    if (!json)
        return;
    hf_arena_init(&arena, 32 << 20);
    take_in(json, 0, &arena);
    take_in(json, HF_WEBHOOK_LENIENT | HF_WEBHOOK_DERIVE_ID, &arena);
    hf_arena_done(&arena);
    json_decref(json);
}

/* ---- records ----------------------------------------------------------------------------------------------------------------- */
enum { ROUNDS = 4, STEPS = 64, PARTITIONS = 3 };

typedef struct world {
    hf_outbox *outbox;
    hf_decide *core;
    hf_arena arena;
    int64_t wall, mono, offsets[PARTITIONS];
} world;

static uint64_t not_random(void *self) { return (uint64_t)((world *)self)->mono * 0x9e3779b97f4a7c15u; }

static void take_event(world *w, uint8_t how) {
    hf_webhook_facts facts = {.event = (hf_webhook_event)(how >> 3 & 1), .at = w->wall, .job_id = HF_STR("j")};
    int32_t p = how % PARTITIONS;
    hf_buf row;
    hf_buf_init(&row, HF_OUTBOX_ROW_MAX);
    MUST(hf_facts_write(&facts, 0, hf_job_hash(facts.job_id), &row));
    MUST(hf_outbox_add(w->outbox, p, hf_place_of(w->offsets[p]++, facts.event), w->mono, hf_buf_str(&row), NULL) ==
         HF_OK);
    hf_buf_done(&row);
}

/* As hook_feed.c takes them. */
static void take_record(world *w, uint8_t what, hf_str body) {
    hf_webhook webhook;
    hf_delivery delivery;
    hf_arena_reset(&w->arena);
    if (what % 4 == 0 && hf_decode_body(HF_SCHEMA_WEBHOOK, body, &w->arena, &webhook, NULL) == HF_OK &&
        hf_id_valid(webhook.endpoint_id))
        MUST(hf_decide_webhook(w->core, &webhook, NULL) == HF_OK);
    if (what % 4 == 1 && hf_decode_body(HF_SCHEMA_DELIVERY, body, &w->arena, &delivery, NULL) == HF_OK)
        MUST(hf_decide_delivery(w->core, &delivery, w->wall, NULL) == HF_OK);
    if (what % 4 == 2)
        hf_decide_webhook_gone(w->core, body);
    if (what % 4 == 3)
        take_event(w, what);
}

static void send(world *w, uint8_t how) {
    hf_decide_send s;
    hf_delivery record;
    bool final = false, off = false;
    hf_decide_turn(w->core, w->wall, w->mono);
    for (int i = 0; i < STEPS && hf_decide_next(w->core, w->wall, w->mono, &s); i++) {
        hf_post_outcome o = {.class = s.expired ? HF_POST_REFUSED : (hf_post_class)((how + i) % (HF_POST_REFUSED + 1)),
                             .code = s.expired ? HF_E_TIMEOUT : HF_OK,
                             .status = 500,
                             .retry_after_ms = how & 0x40 ? INT64_MAX : -1};
        MUST(s.webhook || s.expired);
        hf_decide_outcome(w->core, s.tag, &o, w->wall, w->mono, &record, &final, &off);
        MUST(record.attempt >= 0 && record.at == w->wall && (record.next_at == 0 || record.next_at > w->wall));
        if (final)
            hf_decide_reported(w->core, s.tag);
        if (how & 0x80)
            MUST(hf_decide_delivery(w->core, &record, w->wall, NULL) == HF_OK);
    }
    hf_decide_stat stat;
    hf_decide_stats(w->core, &stat);
    MUST(stat.in_flight == 0 && stat.reporting == 0);
    MUST(hf_decide_next_ms(w->core) >= 0);
}

static void as_records(const uint8_t *data, size_t size) {
    world w = {.wall = 1780000000000, .mono = 1000000};
    hf_random die = {not_random, &w};
    hf_decide_options options = {.random = &die};
    hf_arena_init(&w.arena, 16 << 20);
    w.outbox = hf_outbox_new(1 << 12, 1 << 22);
    w.core = w.outbox ? hf_decide_new(&options, w.outbox) : NULL;
    MUST(w.core);
    for (int32_t p = 0; p < PARTITIONS; p++)
        hf_decide_own(w.core, p, true);
    hf_decide_caught_up(w.core);
    while (size >= 3) {
        uint8_t what = data[0];
        size_t len = (size_t)data[1] | (size_t)data[2] << 8;
        len = len < size - 3 ? len : size - 3;
        take_record(&w, what, (hf_str){(const char *)data + 3, (uint32_t)len});
        for (int i = 0; i < ROUNDS; i++, w.wall += 1500, w.mono += 1500)
            send(&w, what);
        hf_decide_tidy(w.core, w.wall, w.mono);
        data += 3 + len;
        size -= 3 + len;
    }
    hf_decide_free(w.core);
    hf_outbox_free(w.outbox);
    hf_arena_done(&w.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size && data[0] == '{')
        as_json((hf_str){(const char *)data, (uint32_t)size});
    else
        as_records(data, size);
    return 0;
}
