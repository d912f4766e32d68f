/* GET /health, /status, /capabilities, /workers: the sidecar and the fleet at a glance. */
#include <stdio.h>

#include "journal/http/inside.h"
#include "journal/http/shapes.h"
#include "journal/replica/counters.h"
#include "schemas/event/json.h"

enum { ARENA_BYTES = 16 << 20, WORKERS_MAX = 10000 };

void hf_handle_health(hf_request *r) {
    hf_code log = (hf_code)atomic_load(&r->http->log_code);
    hf_read *read = NULL;
    hf_err err = {0};
    hf_code store = hf_read_begin(hf_http_store(r->http), &read, &err);
    hf_read_end(read);
    json_t *o = json_pack("{s:s,s:o}", "status", log == HF_OK && store == HF_OK ? "healthy" : "unhealthy", "timestamp",
                          hf_json_now());
    if (log != HF_OK)
        json_object_set_new(o, "log", json_string(hf_code_sentence(log)));
    if (store != HF_OK)
        json_object_set_new(o, "journal", json_string(err.detail));
    hf_reply_json(r, log == HF_OK && store == HF_OK ? 200 : 503, o);
}

static json_t *uptime_of(hf_request *r) {
    long long s = (long long)(hf_wall_ms(r->http->clock) - r->http->started_wall_ms) / 1000;
    if (s >= 3600)
        return json_sprintf("%lldh%lldm%llds", s / 3600, s / 60 % 60, s % 60);
    return s >= 60 ? json_sprintf("%lldm%llds", s / 60, s % 60) : json_sprintf("%llds", s);
}

void hf_handle_status(hf_request *r) {
    hf_err err;
    hf_counters counters;
    if (hf_http_counters(r->http, &counters, &err) != HF_OK) {
        hf_reply_err(r, &err);
        return;
    }
    json_int_t by_state[HF_STATE_COUNT], total = 0;
    json_t *states = json_object();
    for (uint32_t s = 0; s < HF_STATE_COUNT; s++) {
        total += by_state[s] = hf_counter_get(&counters, HF_N_JOBS_STATE, s, 0, 0);
        json_object_set_new(states, hf_state_name((hf_state)s), json_integer(by_state[s]));
    }
    hf_counters_done(&counters);
    hf_reply_json(r, 200,
                  json_pack("{s:s,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:s,s:o}", "version", HF_VERSION, "uptime",
                            uptime_of(r), "total_jobs", total, "pending_jobs",
                            by_state[HF_S_CREATED] + by_state[HF_S_VALIDATED] + by_state[HF_S_QUEUED] +
                                by_state[HF_S_ASSIGNED] + by_state[HF_S_RETRYING],
                            "running_jobs", by_state[HF_S_RUNNING] + by_state[HF_S_PROGRESSING], "completed_jobs",
                            by_state[HF_S_COMPLETED], "failed_jobs", by_state[HF_S_FAILED], "cancelled_jobs",
                            by_state[HF_S_CANCELLED], "jobs_by_state", states, "fleet",
                            hf_config_str(r->http->options.config, HF_C_FLEET), "timestamp", hf_json_now()));
}

/* ---- workers ------------------------------------------------------------------------------------------------------- */
typedef struct each_worker {
    hf_request *r;
    void (*each)(struct each_worker *e, const hf_heartbeat *beat);
    json_t *list;
    int64_t now;
    size_t alive;
} each_worker;

static bool is_alive(const each_worker *e, const hf_heartbeat *b) {
    return b->state != HF_W_STOPPED && e->now - b->at < b->lease_ms + b->interval_ms;
}

static hf_code walk_workers(each_worker *e, hf_err *reterr) {
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_arena arena;
    hf_str key, value;
    hf_arena_init(&arena, ARENA_BYTES);
    e->now = hf_wall_ms(e->r->http->clock);
    hf_code code = hf_read_begin(hf_http_store(e->r->http), &read, reterr);
    if (code == HF_OK)
        code = hf_cursor_open(read, e->r->http->tables.of[HF_TB_WORKERS], &cursor, reterr);
    hf_move move = HF_FIRST;
    for (size_t n = 0; code == HF_OK && n < WORKERS_MAX; n++, move = HF_NEXT) {
        hf_heartbeat beat;
        code = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (code == HF_OK)
            code = hf_decode_body(HF_SCHEMA_HEARTBEAT, value, &arena, &beat, reterr);
        if (code == HF_OK)
            e->each(e, &beat);
        hf_arena_reset(&arena);
    }
    hf_cursor_close(cursor);
    hf_read_end(read);
    hf_arena_done(&arena);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

/* Where worker protocol v1 has them. */
static void add_protocol_members(json_t *o, const hf_heartbeat *beat) {
    const hf_capabilities *c = &beat->capabilities;
    json_object_set_new(o, "max_concurrent_jobs", json_integer(beat->slots));
    json_object_set_new(o, "max_disk_size_tb", json_real(c->max_disk_size_tb));
    json_object_set_new(o, "memory_gb", json_real(c->memory_gb));
    json_object_set_new(o, "disk_space_gb", json_real(c->disk_space_gb));
    json_object_set_new(o, "os_info", hf_shape_str(c->os_info));
    json_object_set_new(o, "kernel_version", hf_shape_str(c->kernel_version));
    json_object_set_new(o, "registered", json_boolean(hf_str_eqz(beat->incarnation, "registered")));
}

static void list_worker(each_worker *e, const hf_heartbeat *beat) {
    json_t *o = hf_json_of(&HF_TYPE_HEARTBEAT, beat, 0);
    add_protocol_members(o, beat);
    json_object_set_new(o, "last_heartbeat", hf_shape_time(beat->at));
    json_object_set_new(o, "alive", json_boolean(is_alive(e, beat)));
    e->alive += is_alive(e, beat);
    json_array_append_new(e->list, o);
}

void hf_handle_workers(hf_request *r) {
    hf_err err;
    each_worker e = {.r = r, .each = list_worker, .list = json_array()};
    if (walk_workers(&e, &err) != HF_OK) {
        json_decref(e.list);
        hf_reply_err(r, &err);
        return;
    }
    json_int_t total = (json_int_t)json_array_size(e.list);
    hf_reply_json(r, 200,
                  json_pack("{s:o,s:I,s:I,s:I,s:o}", "workers", e.list, "total", total, "alive", (json_int_t)e.alive,
                            "active", (json_int_t)e.alive, "timestamp", hf_json_now()));
}

void hf_handle_v1_workers(hf_request *r) {
    hf_err err;
    each_worker e = {.r = r, .each = list_worker, .list = json_array()};
    if (walk_workers(&e, &err) == HF_OK)
        hf_reply_json(r, 200, json_pack("{s:O, s:I}", "items", e.list, "alive", (json_int_t)e.alive));
    else
        hf_reply_err(r, &err);
    json_decref(e.list);
}

static void join_names(json_t *into, const hf_list *names) {
    for (uint32_t i = 0; i < names->count; i++) {
        char name[HF_ID_MAX_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", HF_STR_ARG(*HF_LIST_AT(*names, hf_str, i)));
        json_object_set_new(into, name, json_true());
    }
}

static void join_worker(each_worker *e, const hf_heartbeat *beat) {
    const hf_capabilities *c = &beat->capabilities;
    if (!is_alive(e, beat) || hf_str_eqz(beat->incarnation, "registered"))
        return; /* what another implementation's worker can do is of no use to this fleet's jobs */
    e->alive++;
    const struct {
        const char *name;
        bool has;
    } flags[] = {{"nbd", c->nbd},
                 {"lvm", c->lvm},
                 {"mount", c->mount},
                 {"selinux", c->selinux_tools},
                 {"qemu_img", c->qemu_img}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].has || !json_object_get(e->list, flags[i].name))
            json_object_set_new(e->list, flags[i].name, json_boolean(flags[i].has));
    join_names(json_object_get(e->list, "operations"), &c->operations);
    join_names(json_object_get(e->list, "providers"), &c->providers);
}

void hf_handle_capabilities(hf_request *r) {
    hf_err err;
    each_worker e = {.r = r, .each = join_worker, .list = json_pack("{s:{},s:{}}", "operations", "providers")};
    if (walk_workers(&e, &err) != HF_OK) {
        json_decref(e.list);
        hf_reply_err(r, &err);
        return;
    }
    hf_reply_json(r, 200,
                  json_pack("{s:o,s:s,s:I,s:o}", "capabilities", e.list, "default_method", "stream", "workers",
                            (json_int_t)e.alive, "timestamp", hf_json_now()));
}
