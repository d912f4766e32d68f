/* GET /api/v1/audit/changes: what of the whole fleet differs between two points. Jobs in the order of the log, a bounded number folded anew for a
 * page; its counts are of the jobs it looked at, so those of all pages together are the fleet's. */
#include "journal/http/shapes.h"
#include "journal/http/v1/v1.h"
#include "schemas/event/json.h"

enum { SCAN_MAX = 2000, CREATED, ENDED, CHANGED, DELETED, KINDS };
static const char *const kinds[] = {
    [CREATED] = "created", [ENDED] = "ended", [CHANGED] = "changed", [DELETED] = "deleted"};

typedef struct comparing {
    hf_asof from, to;
    json_t *items;
    size_t limit, scanned;
    uint64_t last; /* job key looked at last */
    bool more;
    int64_t states[2][HF_STATE_COUNT], totals[KINDS];
} comparing;

static bool is_there(const hf_job *job) { return job && !job->deleted; }
static bool is_over(const hf_job *job) { return job && hf_state_terminal((hf_state)job->state); }

static json_t *side_of(const hf_job *job) {
    if (!job)
        return json_null();
    json_t *o = json_pack("{s:s, s:s, s:i, s:b}", "state", hf_state_name((hf_state)job->state), "status",
                          hf_state_status((hf_state)job->state), "attempt", (int)job->attempt, "deleted", job->deleted);
    if (o && job->worker.len)
        json_object_set_new(o, "worker", hf_json_text(job->worker));
    if (o && job->error)
        json_object_set_new(o, "error", hf_json_text(job->error->message));
    json_object_set_new(o, "updated_at", hf_shape_time(job->updated_at));
    return o;
}

static void note(comparing *c, json_t *what, int kind) {
    c->totals[kind]++;
    json_array_append_new(what, json_string(kinds[kind]));
}

/* It differs when another record was the last to take effect. */
static void compare(comparing *c, const hf_job *from, const hf_job *to) {
    const hf_job *any = to ? to : from;
    if (!any || (from && to && hf_position_key(from->last) == hf_position_key(to->last)))
        return;
    json_t *what = json_array();
    if (!from)
        note(c, what, CREATED);
    if (is_over(to) && !is_over(from))
        note(c, what, ENDED);
    if (!is_there(to) && (is_there(from) || !from))
        note(c, what, DELETED);
    if (json_array_size(what) == 0)
        note(c, what, CHANGED);
    json_array_append_new(c->items, json_pack("{s:o, s:o, s:o, s:o, s:o}", "job_id", hf_json_text(any->id), "name",
                                              hf_json_text(any->spec->name), "what", what, "from", side_of(from), "to",
                                              side_of(to)));
}

static hf_code compare_one(hf_request *r, hf_look *l, comparing *c, uint64_t key) {
    hf_http *http = r->http;
    hf_job *from = NULL, *to = NULL;
    hf_code code = hf_asof_between(hf_http_store(http), l->read, &http->tables, http->options.codec, key, &c->from,
                                   &c->to, &from, &to, &l->err);
    c->scanned++;
    c->last = key;
    if (code == HF_OK) {
        compare(c, from, to);
        if (is_there(from))
            c->states[0][from->state]++;
        if (is_there(to))
            c->states[1][to->state]++;
    }
    free(from);
    free(to);
    return code;
}

static hf_code compare_page(hf_request *r, hf_look *l, comparing *c, uint64_t first) {
    hf_cursor *cursor = NULL;
    hf_str key = hf_key_u64(&first), value;
    hf_code code = hf_cursor_open(l->read, r->http->tables.of[HF_TB_JOBS], &cursor, &l->err);
    hf_move move = HF_SEEK;
    while (code == HF_OK && (code = hf_cursor_move(cursor, move, &key, &value, &l->err)) == HF_OK) {
        if (json_array_size(c->items) == c->limit || c->scanned == SCAN_MAX) {
            c->more = true;
            break;
        }
        code = compare_one(r, l, c, hf_u64_of(key));
        move = HF_NEXT;
    }
    hf_cursor_close(cursor);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

static json_t *states_of(const int64_t states[HF_STATE_COUNT]) {
    json_t *o = json_object();
    for (int s = 0; s < HF_STATE_COUNT; s++)
        json_object_set_new(o, hf_state_name((hf_state)s), json_integer(states[s]));
    return o;
}

static void reply(hf_request *r, const comparing *c) {
    json_t *totals = json_object();
    for (int k = CREATED; k < KINDS; k++)
        json_object_set_new(totals, kinds[k], json_integer(c->totals[k]));
    json_t *o = json_pack("{s:O, s:I, s:o, s:{s:o, s:o}}", "items", c->items, "scanned", (json_int_t)c->scanned,
                          "totals", totals, "states", "from", states_of(c->states[0]), "to", states_of(c->states[1]));
    if (c->more)
        json_object_set_new(o, "next_cursor", json_sprintf("%llx", (unsigned long long)c->last));
    hf_reply_json(r, 200, o);
}

static bool in_order(hf_request *r, const comparing *c) {
    bool wrong = c->from.by == c->to.by &&
                 (c->from.by == HF_ASOF_TIME ? c->from.time_ms > c->to.time_ms
                                             : c->from.partition == c->to.partition && c->from.offset > c->to.offset);
    if (wrong)
        hf_reply_error(r, 400, "from is later than to: the earlier point comes first");
    return !wrong;
}

void hf_handle_v1_audit_fleet(hf_request *r) {
    hf_look l;
    uint64_t first;
    comparing c = {.items = json_array(), .limit = (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT)};
    if (hf_v1_point_from(r, &c.from) && hf_v1_point(r, HF_P_TO, &c.to) && in_order(r, &c) &&
        hf_v1_audit_cursor(r, &first)) {
        if (hf_look_begin(r, &l)) {
            if (compare_page(r, &l, &c, first) == HF_OK)
                reply(r, &c);
            else
                hf_reply_err(r, &l.err);
        }
        hf_look_end(&l);
    }
    json_decref(c.items);
}
