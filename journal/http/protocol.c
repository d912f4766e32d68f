/* What worker protocol v1 has besides HyperSDK's paths: workers of other implementations announce themselves here.
 *
 * A registration is a heartbeat on the topic workers, of incarnation "registered" and state quiet: it is listed, counted and expires as
 * any other, but nobody leaves a job to it, for it claims none from this log. It holds for `lease_seconds` (300 where it does not say),
 * and is renewed by another registration or a heartbeat. The id of a worker that reports for itself cannot be registered. */
#include "journal/http/v1/v1.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { LEASE_S = 300, LEASE_MAX_S = 86400, SLOTS_MAX = 8192 };
#define REGISTERED "registered"

/* ---- what is known of a worker ------------------------------------------------------------------------------------ */
static hf_code worker_of(hf_request *r, hf_look *l, hf_str id, hf_heartbeat *ret) {
    hf_str row;
    hf_code code = id.len && id.len <= HF_ID_MAX_BYTES
                       ? hf_read_get(l->read, r->http->tables.of[HF_TB_WORKERS], id, &row, &l->err)
                       : HF_E_NOT_FOUND;
    return code == HF_OK ? hf_decode_body(HF_SCHEMA_HEARTBEAT, row, &l->arena, ret, &l->err) : code;
}

static bool is_registered(const hf_heartbeat *beat) { return hf_str_eqz(beat->incarnation, REGISTERED); }

/* False: answered, because a worker of this fleet has that id and reports. */
static bool may_register(hf_request *r, hf_look *l, hf_str id) {
    hf_heartbeat beat;
    hf_code code = worker_of(r, l, id, &beat);
    if (code == HF_E_NOT_FOUND)
        return true;
    if (code != HF_OK)
        hf_reply_err(r, &l->err);
    else if (is_registered(&beat) || beat.state == HF_W_STOPPED ||
             hf_wall_ms(r->http->clock) - beat.at >= beat.lease_ms + beat.interval_ms)
        return true;
    else
        hf_reply_error(r, 409, "worker %.*s reports for itself, it cannot be registered: choose another worker_id",
                       HF_STR_ARG(id));
    return false;
}

/* The registered worker of the path; false: answered. */
static bool registered(hf_request *r, hf_look *l, hf_heartbeat *ret) {
    hf_code code = worker_of(r, l, hf_str_of(r->params[0]), ret);
    if (code == HF_OK && is_registered(ret))
        return true;
    if (code == HF_OK)
        hf_reply_error(r, 409, "worker %s was not registered here: it reports for itself", r->params[0]);
    else if (code == HF_E_NOT_FOUND)
        hf_reply_error(r, 404, "Worker %s not found", r->params[0]);
    else
        hf_reply_err(r, &l->err);
    return false;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */
/* `beat` NULL: the record that takes it away. NULL: answered. */
static hf_write *write_of(hf_request *r, hf_str id, const hf_heartbeat *beat,
                          void (*answer)(hf_request *, hf_write *)) {
    hf_err err;
    hf_buf out;
    hf_buf_init(&out, HF_MAX_RECORD);
    hf_code code = beat ? hf_encode(r->http->options.codec, HF_SCHEMA_HEARTBEAT, beat, &out, &err) : HF_OK;
    hf_write *w = code == HF_OK ? hf_write_new(r, 1, answer) : NULL;
    if (code != HF_OK)
        hf_reply_err(r, &err);
    else if (!w || !hf_write_put_plain(w, 0, HF_TOPIC_WORKERS, -1, id, beat ? hf_buf_str(&out) : HF_STR_NONE,
                                       "WorkerHeartbeat", NULL, 0)) {
        hf_reply_error(r, 503, "no memory for the request");
        w = NULL;
    } else
        snprintf(w->items[0].about, sizeof w->items[0].about, "%.*s", HF_STR_ARG(id));
    hf_buf_done(&out);
    return w;
}

/* False: answered, because it was not written. */
static bool is_written(hf_request *r, const hf_write *w) {
    hf_err err;
    if (w->late)
        hf_reply_error(r, 504, "Kafka did not acknowledge it within %lld ms; look at GET /workers before asking again",
                       (long long)r->http->write_wait_ms);
    else if (w->items[0].code != HF_OK) {
        hf_fail(&err, w->items[0].code, "%s", w->items[0].error);
        hf_reply_err(r, &err);
    } else
        return true;
    return false;
}

static void answer_message(hf_request *r, const hf_write *w, const char *message) {
    if (is_written(r, w))
        hf_reply_json(r, 200,
                      json_pack("{s:s, s:s, s:o}", "worker_id", w->items[0].about, "message", message, "timestamp",
                                hf_json_now()));
}

static void answer_beat(hf_request *r, hf_write *w) { answer_message(r, w, "Heartbeat received"); }
static void answer_delete(hf_request *r, hf_write *w) { answer_message(r, w, "Worker unregistered successfully"); }

static void answer_create(hf_request *r, hf_write *w) {
    json_t *body = is_written(r, w) ? hf_request_json(r) : NULL;
    if (body) {
        json_t *capabilities = json_object_get(body, "capabilities");
        hf_reply_json(r, 201,
                      json_pack("{s:s, s:s, s:O, s:o}", "worker_id", w->items[0].about, "message",
                                "Worker registered successfully", "capabilities", capabilities, "registered_at",
                                hf_json_now()));
    }
    json_decref(body);
}

/* ---- reading WorkerCapabilities ---------------------------------------------------------------------------------- */
/* A member that is null is one that was left out: the protocol's clients write all they have a name for. */
static const json_t *given(const json_t *body, const char *name) {
    const json_t *value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

/* *ret stays as it is where it was not given. */
static hf_code read_number(const json_t *body, const char *name, int64_t max, int64_t *ret, hf_err *reterr) {
    const json_t *value = given(body, name);
    if (value && !hf_json_whole(value, 1, max, ret))
        return hf_fail(reterr, HF_E_INVALID, "%s must be a whole number from 1 to %lld", name, (long long)max);
    return HF_OK;
}

static hf_code check_amounts(const hf_capabilities *c, hf_err *reterr) {
    const struct {
        const char *name;
        double value, max;
    } amounts[] = {{"memory_gb", c->memory_gb, 1e6},
                   {"disk_space_gb", c->disk_space_gb, 1e9},
                   {"max_disk_size_tb", c->max_disk_size_tb, 1e6}};
    for (size_t i = 0; i < HF_ARRAY_LEN(amounts); i++)
        if (!(amounts[i].value >= 0 && amounts[i].value <= amounts[i].max))
            return hf_fail(reterr, HF_E_INVALID, "%s must be a number from 0 to %.0f", amounts[i].name, amounts[i].max);
    return HF_OK;
}

/* The protocol has some of them beside `capabilities`, a heartbeat has them in it. */
static hf_code read_capabilities(const json_t *body, hf_arena *arena, hf_capabilities *ret, hf_err *reterr) {
    static const char *const beside[] = {
        "memory_gb", "disk_space_gb", "max_disk_size_tb", "os_info",  "kernel_version", "execution_mode",
        "level",     "cpus",          "operations",       "providers"};
    const json_t *flags = json_object_get(body, "capabilities");
    if (!json_is_object(flags))
        return hf_fail(reterr, HF_E_INVALID,
                       "capabilities must be an object with some of: nbd, lvm, mount, selinux, qemu_img");
    json_t *all = json_copy((json_t *)(uintptr_t)flags);
    for (size_t i = 0; all && i < HF_ARRAY_LEN(beside); i++) {
        const json_t *value = given(body, beside[i]);
        if (value)
            json_object_set(all, beside[i], (json_t *)(uintptr_t)value);
    }
    hf_code code = all ? hf_json_to(&HF_TYPE_CAPABILITIES, all, arena, ret, reterr)
                       : hf_fail(reterr, HF_E_NO_MEMORY, "reading capabilities");
    json_decref(all);
    return code == HF_OK ? check_amounts(ret, reterr) : code;
}

static hf_code read_worker(hf_request *r, const json_t *body, hf_arena *arena, hf_heartbeat *ret, hf_err *reterr) {
    const char *id = json_string_value(json_object_get(body, "worker_id"));
    const json_t *host = given(body, "hostname");
    int64_t slots = 1, lease = LEASE_S;
    hf_type_init(&HF_TYPE_HEARTBEAT, ret);
    if (!id || !hf_id_valid(hf_str_of(id)))
        return hf_fail(reterr, HF_E_INVALID,
                       "worker_id must be 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -, not beginning with . or -",
                       HF_ID_MAX_BYTES);
    if (host && (!json_is_string(host) || json_string_length(host) > 256))
        return hf_fail(reterr, HF_E_INVALID, "hostname must be a text of at most 256 bytes");
    hf_code code = read_number(body, "max_concurrent_jobs", SLOTS_MAX, &slots, reterr);
    if (code == HF_OK)
        code = read_number(body, "lease_seconds", LEASE_MAX_S, &lease, reterr);
    if (code == HF_OK)
        code = read_capabilities(body, arena, &ret->capabilities, reterr);
    if (code != HF_OK)
        return code;
    ret->worker_id = hf_arena_str(arena, hf_str_of(id));
    ret->hostname = hf_arena_str(arena, hf_str_of(host ? json_string_value(host) : ""));
    ret->incarnation = HF_STR(REGISTERED);
    ret->state = HF_W_QUIET;
    ret->slots = (int32_t)slots;
    ret->lease_ms = lease * 1000;
    ret->at = ret->started_at = hf_wall_ms(r->http->clock);
    return HF_OK;
}

/* ---- handlers ---------------------------------------------------------------------------------------------------- */
void hf_handle_worker_create(hf_request *r) {
    hf_look l;
    hf_heartbeat beat;
    hf_write *w = NULL;
    json_t *body = hf_request_json(r);
    if (!body)
        return;
    if (hf_look_at_jobs(r, &l)) {
        if (read_worker(r, body, &l.arena, &beat, &l.err) != HF_OK)
            hf_reply_err(r, &l.err);
        else if (may_register(r, &l, beat.worker_id))
            w = write_of(r, beat.worker_id, &beat, answer_create);
    }
    hf_look_end(&l);
    json_decref(body);
    if (w)
        hf_write_begin(w);
}

static void renew(hf_request *r, bool away) {
    hf_look l;
    hf_heartbeat beat;
    hf_write *w = NULL;
    if (hf_look_at_jobs(r, &l) && registered(r, &l, &beat)) {
        beat.at = hf_wall_ms(r->http->clock);
        w = write_of(r, hf_str_of(r->params[0]), away ? NULL : &beat, away ? answer_delete : answer_beat);
    }
    hf_look_end(&l);
    if (w)
        hf_write_begin(w);
}

void hf_handle_worker_beat(hf_request *r) { renew(r, false); }
void hf_handle_worker_delete(hf_request *r) { renew(r, true); }
