#include "consumer/notify/trial.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "consumer/notify/send.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/webhook/secrets.h"

/* What a trial needs of a webhook, for as long as it lasts. */
typedef struct trial {
    hf_arena arena;
    hf_webhook webhook;
    hf_webhook_secret secret;
    hf_signing_key keys[HF_SIGNING_KEYS_MAX];
    hf_post_header headers[HF_WEBHOOK_HEADERS_MAX];
    uint32_t header_count;
    char id[HF_DELIVERY_ID_BYTES];
    hf_buf body;
    bool done;
    hf_post_outcome outcome;
} trial;

/* ---- the webhook ------------------------------------------------------------------------------------------------------ */
static hf_code tell(const hf_intake_errors *errors, hf_err *reterr) {
    if (errors->count == 0)
        return HF_OK;
    for (uint32_t i = errors->count < HF_MAX_ERRORS ? errors->count : HF_MAX_ERRORS; i > 1; i--)
        fprintf(stderr, "hyperhook: %.*s\n", HF_STR_ARG(errors->text[i - 1]));
    return hf_fail(reterr, HF_E_INVALID, "%.*s", HF_STR_ARG(errors->text[0]));
}

static hf_code read_over(trial *t, const json_t *json, hf_err *reterr) {
    hf_intake_errors *told = hf_arena_alloc(&t->arena, 2 * sizeof *told);
    if (!told)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a trial delivery");
    hf_type_init(&HF_TYPE_WEBHOOK, &t->webhook);
    if (t->secret.url.len) /* the store's: what the record shows of it stays */
        t->webhook.url = hf_str_of(json_string_value(json_object_get(json, "url")));
    hf_code code = hf_webhook_read(json, HF_WEBHOOK_LENIENT | HF_WEBHOOK_DERIVE_ID, &t->arena, &t->webhook, &t->secret,
                                   &told[0], &told[1], reterr);
    return code ? code : tell(&told[0], reterr);
}

/* What is masked in a record keeps the value the store has, so that is looked up first. */
static hf_code look_up(trial *t, const json_t *json, const hf_config *config, hf_err *reterr) {
    hf_secrets *secrets = NULL;
    const char *id = json_string_value(json_object_get(json, "id"));
    hf_code code = hf_secrets_open(hf_config_str(config, HF_C_WEBHOOK_SECRETS), &secrets, reterr);
    if (!code && id)
        hf_secrets_find(secrets, hf_str_of(id), &t->arena, &t->secret);
    hf_secrets_close(secrets);
    return code;
}

static hf_code read_webhook(trial *t, hf_str text, const hf_trial_options *options, hf_err *reterr) {
    json_t *json = hf_json_parse(text, HF_TRIAL_INPUT_BYTES, reterr);
    if (!json)
        return hf_context(reterr, "the webhook");
    hf_code code = options->stored ? look_up(t, json, options->config, reterr) : HF_OK;
    if (!code)
        code = read_over(t, json, reterr);
    json_decref(json);
    return code;
}

/* ---- the post ---------------------------------------------------------------------------------------------------------- */
static hf_code take_headers(trial *t, hf_err *reterr) {
    for (uint32_t i = 0; i < t->secret.header_count; i++)
        if (hf_str_eqz(t->secret.headers[i].value, HF_WEBHOOK_MASK))
            return hf_fail(reterr, HF_E_INVALID,
                           "the value of header %.*s is not known here: give it, or a webhook.secrets_file that has it",
                           HF_STR_ARG(t->secret.headers[i].name));
        else
            t->headers[t->header_count++] = (hf_post_header){t->secret.headers[i].name, t->secret.headers[i].value};
    if (t->webhook.header_names.count > t->header_count)
        return hf_fail(
            reterr, HF_E_INVALID,
            "the webhook has %u headers, of which the values of %u are known here: give them, or a webhook.secrets_file that has them",
            t->webhook.header_names.count, t->header_count);
    return HF_OK;
}

static hf_code take_keys(trial *t, hf_err *reterr) {
    hf_code code = HF_OK;
    for (uint32_t i = 0; !code && i < t->secret.secret_count; i++)
        code = hf_signing_key_parse(t->secret.secrets[i], &t->keys[i], reterr);
    return code;
}

/* Values that show a receiver's author what the real ones look like. */
static hf_webhook_facts samples(hf_webhook_event event, int64_t now_ms) {
    static const hf_str files[] = {HF_STR_INIT("/exports/trial/trial.ovf"),
                                   HF_STR_INIT("/exports/trial/trial-disk1.vmdk")};
    return (hf_webhook_facts){
        .event = event,
        .test = true,
        .at = now_ms,
        .job_id = HF_STR("00000000-0000-0000-0000-000000000000"),
        .job_name = HF_STR("trial"),
        .vm_path = HF_STR("/trial/vm"),
        .output_path = HF_STR("/exports/trial"),
        .duration_seconds = 1,
        .ovf_path = files[0],
        .exported_files = {files, HF_ARRAY_LEN(files)},
        .error = HF_STR("a trial: nothing failed"),
        .phase = HF_STR("export"),
        .percent_complete = 50,
        .files_done = 1,
        .files_total = 2,
        .bytes_done = 1 << 20,
        .bytes_total = 2 << 20,
        .provider = HF_STR("trial"),
        .vms = HF_STR("[{\"name\":\"trial\",\"path\":\"/trial/vm\",\"power_state\":\"poweredOff\"}]")};
}

static hf_code compose(trial *t, const hf_trial_options *options, hf_err *reterr) {
    hf_webhook_event event = HF_WE_TEST;
    char source[128], uuid[HF_UUID_BYTES];
    const hf_clock *clock = hf_clock_system();
    if (options->event && *options->event && !hf_webhook_event_from_name(hf_str_of(options->event), &event))
        return hf_fail(reterr, HF_E_INVALID, "there is no event \"%.64s\"; docs/webhooks.md lists them",
                       options->event);
    snprintf(t->id, sizeof t->id, "test_%s", hf_id_new(clock, hf_random_system(), uuid));
    snprintf(source, sizeof source, "/hyperfleet/%s", hf_config_str(options->config, HF_C_FLEET));
    hf_webhook_facts facts = samples(event, hf_wall_ms(clock));
    return hf_payload_write(&t->body, (hf_payload_format)t->webhook.format, &facts, hf_str_of(t->id), hf_str_of(source),
                            reterr);
}

static void on_done(void *ctx, uint64_t tag, const hf_post_outcome *outcome) {
    trial *t = ctx;
    (void)tag;
    t->outcome = *outcome;
    t->done = true;
}

static hf_code wait_for_it(trial *t, hf_sender *sender, hf_err *reterr) {
    hf_code code = HF_OK;
    while (!code && !t->done) {
        struct pollfd fd = {.fd = hf_sender_fd(sender), .events = POLLIN};
        if (poll(&fd, 1, hf_sender_timeout_ms(sender)) < 0 && errno != EINTR)
            return hf_fail_errno(reterr, errno, "poll");
        code = hf_sender_step(sender, reterr);
    }
    return code;
}

/* What cannot even be sent is an outcome as well: the sender's own refusal. */
static void not_taken(trial *t, hf_code code, const hf_err *err) {
    t->outcome = (hf_post_outcome){.class = HF_POST_REFUSED, .code = code, .retry_after_ms = -1};
    snprintf(t->outcome.error, sizeof t->outcome.error, "%.*s", (int)sizeof t->outcome.error - 1, err->detail);
}

static hf_code send(trial *t, const hf_trial_options *options, hf_str target, hf_err *reterr) {
    hf_sender *sender = NULL;
    hf_sender_options how = hf_sender_options_of(options->config);
    hf_sender_hooks hooks = {.on_done = on_done, .ctx = t};
    hf_post post = {.endpoint = t->webhook.endpoint_id,
                    .url = target,
                    .content_type = hf_str_of(hf_payload_content_type((hf_payload_format)t->webhook.format)),
                    .body = hf_buf_str(&t->body),
                    .webhook_id = hf_str_of(t->id),
                    .keys = t->keys,
                    .key_count = t->secret.secret_count,
                    .headers = t->headers,
                    .header_count = t->header_count,
                    .timeout_ms = t->webhook.timeout_ms};
    hf_code code = hf_sender_new(&how, &hooks, &sender, reterr);
    if (code)
        return code;
    code = hf_sender_post(sender, &post, reterr);
    if (code == HF_E_INVALID || code == HF_E_PERMISSION || code == HF_E_LIMIT) {
        not_taken(t, code, reterr);
        code = HF_OK;
    } else if (!code)
        code = wait_for_it(t, sender, reterr);
    hf_sender_free(sender);
    return code;
}

static hf_code try_it(trial *t, const hf_trial_options *options, hf_str text, hf_err *reterr) {
    hf_code code = read_webhook(t, text, options, reterr);
    hf_str target = code ? HF_STR_NONE : hf_webhook_target(&t->webhook, &t->secret);
    if (!code && !target.len)
        code = hf_fail(
            reterr, HF_E_INVALID,
            "a part of the webhook's URL is secret and not known here: give the whole URL, or a webhook.secrets_file that has it");
    if (!code)
        code = take_headers(t, reterr);
    if (!code)
        code = take_keys(t, reterr);
    if (!code)
        code = compose(t, options, reterr);
    return code ? code : send(t, options, target, reterr);
}

static json_t *outcome_json(const trial *t) {
    const hf_post_outcome *o = &t->outcome;
    return json_pack("{sb si sI ss ss si}", "delivered", o->class == HF_POST_DELIVERED, "status_code", o->status,
                     "duration_ms", (json_int_t)o->duration_ms, "error", o->error, "code", hf_code_name(o->code),
                     "attempts", t->done ? 1 : 0);
}

hf_code hf_trial_run(const hf_trial_options *options, hf_str text, json_t **ret_outcome, hf_code *ret_end,
                     hf_err *reterr) {
    trial *t = hf_alloc(sizeof *t);
    if (!t)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a trial delivery");
    hf_arena_init(&t->arena, 4u << 20);
    hf_buf_init(&t->body, HF_PAYLOAD_MAX_BYTES);
    hf_code code = try_it(t, options, text, reterr);
    json_t *outcome = code ? NULL : outcome_json(t);
    if (!code && !outcome)
        code = hf_fail(reterr, HF_E_NO_MEMORY, "the outcome of a trial delivery");
    if (!code) {
        *ret_outcome = outcome;
        *ret_end = t->outcome.code;
    }
    for (uint32_t i = 0; i < HF_SIGNING_KEYS_MAX; i++)
        hf_signing_key_wipe(&t->keys[i]);
    hf_buf_done(&t->body);
    hf_arena_done(&t->arena);
    free(t);
    return code;
}

/* ---- stdin to stdout ------------------------------------------------------------------------------------------------------ */
static hf_code read_all(hf_buf *text, hf_err *reterr) {
    for (;;) {
        uint8_t *to = hf_buf_reserve(text, 4096);
        if (!to)
            return hf_fail(reterr, HF_E_LIMIT, "stdin: a webhook has at most %d bytes", HF_TRIAL_INPUT_BYTES);
        ssize_t n = read(0, to, 4096);
        if (n < 0 && errno != EINTR)
            return hf_fail_errno(reterr, errno, "stdin");
        if (n == 0)
            return HF_OK;
        text->len += n > 0 ? (size_t)n : 0;
    }
}

hf_code hf_trial_command(const hf_trial_options *options, hf_err *reterr) {
    hf_buf text;
    json_t *outcome = NULL;
    hf_code end = HF_OK;
    hf_buf_init(&text, HF_TRIAL_INPUT_BYTES + 4096);
    hf_code code = read_all(&text, reterr);
    if (!code)
        code = hf_trial_run(options, hf_buf_str(&text), &outcome, &end, reterr);
    if (text.data)
        explicit_bzero(text.data, text.len);
    hf_buf_done(&text);
    if (!code && (json_dumpf(outcome, stdout, JSON_COMPACT) || putchar('\n') < 0 || fflush(stdout)))
        code = hf_fail_errno(reterr, errno, "stdout");
    if (!code && end)
        code = hf_fail(reterr, end, "%s", json_string_value(json_object_get(outcome, "error")));
    json_decref(outcome);
    return code;
}
