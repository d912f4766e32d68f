#include "schemas/webhook/webhook.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "schemas/base/mem.h"
#include "schemas/webhook/webhook_inside.h"

void hf_webhook_say(hf_intake_errors *list, hf_arena *arena, const char *format, ...) {
    char text[HF_MAX_TEXT / 2];
    va_list args;
    if (list->count++ >= HF_MAX_ERRORS)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hf_str kept = hf_arena_str(arena, hf_str_of(text));
    list->text[list->count - 1] = kept.p ? kept : HF_STR_NONE;
}

/* ---- rules ------------------------------------------------------------------------------------------------- */
typedef struct judge {
    const hf_webhook *webhook;
    hf_arena *arena;
    hf_intake_errors *errors;
} judge;
#define SAY(j, ...) hf_webhook_say((j)->errors, (j)->arena, __VA_ARGS__)

static bool all_digits(hf_str s) {
    for (uint32_t i = 0; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.len > 0;
}

static void check_id(judge *j) {
    hf_str id = j->webhook->endpoint_id;
    if (!hf_id_valid(id) || id.len > HF_WEBHOOK_ID_MAX || memchr(id.p, '.', id.len))
        SAY(j, "id: %s 1 to %d of A-Z a-z 0-9 _ : @ + = ~ - and not begin with -", id.len ? "must be" : "required;",
            HF_WEBHOOK_ID_MAX);
    else if (hf_str_eqz(id, "test"))
        SAY(j, "id: \"test\" is the name of a page of the API; choose another");
    else if (all_digits(id))
        SAY(j, "id: a number means a place in the list (DELETE /webhooks/2); add a letter");
}

static void check_events(judge *j) {
    hf_webhook_event event;
    for (uint32_t i = 0; i < j->webhook->events.count; i++)
        if (!hf_webhook_event_from_name(*HF_LIST_AT(j->webhook->events, hf_str, i), &event))
            SAY(j,
                "events[%u]: no event has that name; give job.created, job.started, job.progress, job.completed, "
                "job.failed, job.cancelled, vm.discovered, or * for all",
                i);
}

static void check_number(judge *j, const char *member, const char *unit, int64_t value, int64_t min, int64_t max) {
    if (value < min || value > max)
        SAY(j, "%s: %lld%s is out of range; give %lld to %lld%s", member, (long long)value, unit, (long long)min,
            (long long)max, unit);
}

static void check_headers(judge *j) {
    hf_list names = j->webhook->header_names;
    for (uint32_t i = 0; i < names.count; i++) {
        hf_str name = *HF_LIST_AT(names, hf_str, i);
        const char *fault = hf_webhook_header_fault(name);
        if (fault)
            SAY(j, "headers[%u]: %s", i, fault);
        for (uint32_t k = 0; k < i; k++)
            if (hf_webhook_same_header(name, *HF_LIST_AT(names, hf_str, k)))
                SAY(j, "headers[%u]: is given twice; names are the same in any case", i);
    }
}

static void check_from(judge *j) {
    for (uint32_t i = 0; i < j->webhook->from.count; i++) {
        const hf_position *at = HF_LIST_AT(j->webhook->from, hf_position, i);
        if (at->partition < 0 || at->partition >= HF_WEBHOOK_PARTITIONS_MAX || at->offset < 0)
            SAY(j, "from[%u]: is no position of job-events", i);
    }
}

void hf_webhook_check(const hf_webhook *w, hf_arena *arena, hf_intake_errors *errors) {
    judge j = {w, arena, errors};
    const char *fault = hf_webhook_url_fault(w->url);
    check_id(&j);
    if (fault)
        SAY(&j, "url: %s", fault);
    check_events(&j);
    check_headers(&j);
    check_number(&j, "timeout", " ms", w->timeout_ms, HF_WEBHOOK_TIMEOUT_MIN_MS, HF_WEBHOOK_TIMEOUT_MAX_MS);
    check_number(&j, "retry", "", w->retry, 0, HF_WEBHOOK_RETRY_MAX);
    check_number(&j, "progress_interval", " ms", w->progress_interval_ms, HF_WEBHOOK_PROGRESS_MIN_MS,
                 HF_WEBHOOK_PROGRESS_MAX_MS);
    check_from(&j);
}

/* ---- headers ----------------------------------------------------------------------------------------------- */
bool hf_webhook_same_header(hf_str a, hf_str b) {
    return a.len == b.len && (a.len == 0 || strncasecmp(a.p, b.p, a.len) == 0);
}

const char *hf_webhook_header_fault(hf_str name) {
    static const char *const ours[] = {"host",
                                       "content-length",
                                       "content-type",
                                       "transfer-encoding",
                                       "connection",
                                       "keep-alive",
                                       "expect",
                                       "upgrade",
                                       "te",
                                       "trailer",
                                       "webhook-id",
                                       "proxy-connection",
                                       "webhook-timestamp",
                                       "webhook-signature",
                                       "proxy-authorization"};
    if (name.len == 0 || name.len > HF_WEBHOOK_HEADER_NAME_MAX)
        return "a header's name has 1 to 128 bytes";
    for (uint32_t i = 0; i < name.len; i++)
        if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= 'A' && name.p[i] <= 'Z') ||
              (name.p[i] >= '0' && name.p[i] <= '9') || (name.p[i] && strchr("!#$%&'*+-.^_`|~", name.p[i]))))
            return "is no header's name; it has letters, digits and !#$%&'*+-.^_`|~";
    for (size_t i = 0; i < HF_ARRAY_LEN(ours); i++)
        if (hf_webhook_same_header(name, hf_str_of(ours[i])))
            return "is a header that the delivery sets itself; remove it";
    return NULL;
}

const char *hf_webhook_value_fault(hf_str value) {
    if (value.len > HF_WEBHOOK_VALUE_MAX)
        return "its value is longer than 4096 bytes";
    for (uint32_t i = 0; i < value.len; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return "its value has a control character";
    return NULL;
}

/* ---- what hooks ask ---------------------------------------------------------------------------------------- */
bool hf_webhook_wants(const hf_webhook *w, hf_webhook_event event) {
    if (w->events.count == 0)
        return true;
    for (uint32_t i = 0; i < w->events.count; i++) {
        hf_str name = *HF_LIST_AT(w->events, hf_str, i);
        if (hf_str_eqz(name, "*") || hf_str_eqz(name, hf_webhook_event_name(event)))
            return true;
    }
    return false;
}

bool hf_webhook_reaches(const hf_webhook *w, hf_position position) {
    for (uint32_t i = 0; i < w->from.count; i++) {
        const hf_position *from = HF_LIST_AT(w->from, hf_position, i);
        if (from->partition == position.partition)
            return position.offset >= from->offset;
    }
    return true;
}

hf_str hf_webhook_target(const hf_webhook *w, const hf_webhook_secret *secret) {
    if (!hf_webhook_url_is_masked(w->url))
        return w->url;
    return secret ? secret->url : HF_STR_NONE;
}

const char *hf_webhook_delivery_id(hf_str endpoint_id, hf_position position, char text[HF_DELIVERY_ID_BYTES]) {
    uint8_t numbers[12], digest[32];
    for (int i = 0; i < 4; i++)
        numbers[i] = (uint8_t)((uint32_t)position.partition >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        numbers[4 + i] = (uint8_t)((uint64_t)position.offset >> (56 - 8 * i));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, "hyperfleet webhook", sizeof "hyperfleet webhook") != 1 ||
        EVP_DigestUpdate(ctx, endpoint_id.p, endpoint_id.len) != 1 ||
        EVP_DigestUpdate(ctx, numbers, sizeof numbers) != 1 || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        abort(); /* SHA-256 of a few bytes fails only without memory */
    EVP_MD_CTX_free(ctx);
    memcpy(text, "msg_", 4);
    for (int i = 0; i < 16; i++)
        snprintf(text + 4 + 2 * i, 3, "%02x", digest[i]);
    return text;
}
