/* Dead letters: what could not be read, kept verbatim. Listed, looked at, put back onto `submissions`, or dropped. Both of the latter leave a
 * record on dead-letters that names the letter and who did it (header hf-handles): the log stays what happened, and every journal
 * shows the same list. */
#include <stdio.h>

#include "journal/http/v1/v1.h"
#include "schemas/base/mem.h"

enum { TEXT_MAX = 4096 };

static hf_str header_of(const hf_log_record *record, const char *name) {
    for (uint32_t i = 0; i < record->header_count; i++)
        if (hf_str_eqz(record->headers[i].name, name))
            return record->headers[i].value;
    return HF_STR_NONE;
}

/* Text where it is text, so that a person can read it; at most TEXT_MAX bytes unless `whole`. */
static json_t *value_of(hf_str value, bool whole) {
    uint32_t len = whole || value.len < TEXT_MAX ? value.len : TEXT_MAX;
    return value.p ? json_stringn(value.p, len) : NULL;
}

/* All that it carries, in the record's order: a value that is no text is shown as base64. */
static json_t *headers_of(const hf_log_record *letter) {
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < letter->header_count; i++) {
        hf_str name = letter->headers[i].name, value = letter->headers[i].value;
        json_t *text = value.p ? json_stringn(value.p, value.len) : json_string("");
        json_array_append_new(list, json_pack("{s:s%, s:o}", "name", name.p, (size_t)name.len,
                                              text ? "value" : "base64", text ? text : hf_v1_base64(value)));
    }
    return list;
}

static json_t *shape(const hf_log_record *letter, bool whole) {
    char at[HF_RFC3339_BYTES];
    json_t *o =
        json_pack("{s:i, s:I, s:s, s:I}", "partition", (int)letter->partition, "offset", (json_int_t)letter->offset,
                  "at", hf_time_format(letter->timestamp_ms, at), "size_bytes", (json_int_t)letter->value.len);
    static const char *const headers[][2] = {
        {"origin", "hf-origin"}, {"error", "hf-error"}, {"detail", "hf-detail"}, {"schema_id", "hf-schema-id"}};
    for (size_t i = 0; o && i < HF_ARRAY_LEN(headers); i++) {
        hf_str text = header_of(letter, headers[i][1]);
        json_t *value = text.len ? json_stringn(text.p, text.len) : NULL;
        if (value)
            json_object_set_new(o, headers[i][0], value);
    }
    json_t *key = letter->key.len ? json_stringn(letter->key.p, letter->key.len) : NULL,
           *text = value_of(letter->value, whole);
    if (key)
        json_object_set_new(o, "key", key);
    if (text)
        json_object_set_new(o, "text", text);
    if (whole) {
        json_object_set_new(o, "base64", hf_v1_base64(letter->value));
        json_object_set_new(o, "headers", headers_of(letter));
    }
    return o;
}

/* ---- the list ----------------------------------------------------------------------------------------------------- */
static hf_code list(hf_request *r, hf_look *l, uint64_t from, size_t limit, json_t *items, uint64_t *ret_next) {
    hf_cursor *cursor = NULL;
    hf_str key = hf_key_u64(&from), value;
    hf_code code = hf_cursor_open(l->read, r->http->tables.of[HF_TB_DEAD], &cursor, &l->err);
    *ret_next = 0;
    for (hf_move move = HF_SEEK; code == HF_OK && (code = hf_cursor_move(cursor, move, &key, &value, &l->err)) == HF_OK;
         move = HF_NEXT) {
        hf_position at = hf_position_of_key(hf_u64_of(key));
        hf_log_record letter;
        if (json_array_size(items) == limit) {
            *ret_next = hf_u64_of(key);
            break;
        }
        if (hf_query_log(hf_http_store(r->http), l->read, HF_TOPIC_DEAD_LETTERS, at.partition, at.offset, &letter,
                         NULL) == HF_OK)
            json_array_append_new(items, shape(&letter, false));
    }
    hf_cursor_close(cursor);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

void hf_handle_v1_dead(hf_request *r) {
    hf_look l;
    const char *text = hf_request_text(r, HF_P_CURSOR);
    char *end = NULL;
    uint64_t from = text ? strtoull(text, &end, 16) : 0, next = 0, total = 0;
    json_t *items = json_array();
    if (text && (end == text || *end || strlen(text) > 16))
        hf_reply_error(r, 400, "cursor is not one that a page ended with");
    else {
        if (hf_look_begin(r, &l)) {
            if (hf_read_count(l.read, r->http->tables.of[HF_TB_DEAD], &total, &l.err) != HF_OK ||
                list(r, &l, from, (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT), items, &next) != HF_OK)
                hf_reply_err(r, &l.err);
            else {
                json_t *o = json_pack("{s:O, s:I}", "items", items, "total", (json_int_t)total);
                if (next)
                    json_object_set_new(o, "next_cursor", json_sprintf("%llx", (unsigned long long)next));
                hf_reply_json(r, 200, o);
            }
        }
        hf_look_end(&l);
    }
    json_decref(items);
}

/* ---- one ------------------------------------------------------------------------------------------------------------- */
/* The letter of {partition}/{offset} that is still in the list; false: answered. Borrows from the look. */
static bool letter_of(hf_request *r, hf_look *l, hf_log_record *ret) {
    hf_position at;
    hf_str row;
    if (!hf_v1_position(r, &at))
        return false;
    hf_code code = hf_read_get_u64(l->read, r->http->tables.of[HF_TB_DEAD], hf_position_key(at), &row, &l->err);
    if (code == HF_OK)
        code =
            hf_query_log(hf_http_store(r->http), l->read, HF_TOPIC_DEAD_LETTERS, at.partition, at.offset, ret, &l->err);
    if (code == HF_OK)
        return true;
    if (code == HF_E_NOT_FOUND)
        hf_reply_error(r, 404, "there is no dead letter at %d/%lld, or it was replayed or dropped", (int)at.partition,
                       (long long)at.offset);
    else
        hf_reply_err(r, &l->err);
    return false;
}

void hf_handle_v1_dead_one(hf_request *r) {
    hf_look l;
    hf_log_record letter;
    if (hf_look_begin(r, &l) && letter_of(r, &l, &letter))
        hf_reply_json(r, 200, shape(&letter, true));
    hf_look_end(&l);
}

/* ---- handling ---------------------------------------------------------------------------------------------------------- */
static void answer(hf_request *r, hf_write *w) {
    if (w->late) {
        hf_reply_error(r, 504, "the journal did not fold it within %lld ms; look at the list before asking again",
                       (long long)r->http->write_wait_ms);
        return;
    }
    for (uint32_t i = 0; i < w->count; i++)
        if (w->items[i].code != HF_OK) {
            hf_err err;
            hf_fail(&err, w->items[i].code, "%s", w->items[i].error);
            hf_reply_err(r, &err);
            return;
        }
    json_t *o =
        json_pack("{s:s, s:s}", "handled", w->items[w->count - 1].about, "how", w->count == 2 ? "replayed" : "dropped");
    if (w->count == 2)
        json_object_set_new(o, "submission",
                            json_sprintf("submissions/%d/%lld", (int)w->items[0].position.partition,
                                         (long long)w->items[0].position.offset));
    hf_reply_json(r, 200, o);
}

static bool put_marker(hf_write *w, uint32_t index, const hf_log_record *letter, const char *how, hf_arena *arena) {
    char at[HF_ID_MAX_BYTES];
    snprintf(at, sizeof at, "%d/%lld", (int)letter->partition, (long long)letter->offset);
    memcpy(w->items[index].about, at, sizeof w->items[index].about - 1);
    const hf_header headers[] = {{HF_STR("hf-handles"), hf_str_of(at)},
                                 {HF_STR("hf-how"), hf_str_of(how)},
                                 {HF_STR("hf-by"), hf_request_proposer(w->request, arena)}};
    return hf_write_put_plain(w, index, HF_TOPIC_DEAD_LETTERS, letter->partition, letter->key, HF_STR_NONE,
                              "DeadLetterHandled", headers, HF_ARRAY_LEN(headers));
}

static hf_write *write_of(hf_request *r, hf_look *l, const hf_log_record *letter, bool replay) {
    hf_write *w = hf_write_new(r, replay ? 2 : 1, answer);
    bool ok = w != NULL;
    if (ok && replay)
        ok = hf_write_put_plain(w, 0, HF_TOPIC_SUBMISSIONS, -1, letter->key, letter->value, "JobSubmission", NULL, 0);
    if (ok)
        ok = put_marker(w, replay ? 1 : 0, letter, replay ? "replayed" : "dropped", &l->arena);
    if (!ok)
        hf_reply_error(r, 503, "no memory for the request");
    return ok ? w : NULL;
}

static void handle(hf_request *r, bool replay) {
    hf_look l;
    hf_log_record letter;
    hf_write *w = NULL;
    if (hf_look_begin(r, &l) && letter_of(r, &l, &letter)) {
        if (replay && !hf_str_starts(header_of(&letter, "hf-origin"), HF_STR("submissions/")))
            hf_reply_error(
                r, 409,
                "this record was no submission, so it cannot be submitted again: drop it once it has been looked at");
        else if (replay && letter.value.len == 0)
            hf_reply_error(
                r, 409,
                "the letter's bytes were not kept, because they held a secret: submit the job again without it");
        else
            w = write_of(r, &l, &letter, replay);
    }
    hf_look_end(&l);
    if (w)
        hf_write_begin(w);
}

void hf_handle_v1_dead_replay(hf_request *r) { handle(r, true); }
void hf_handle_v1_dead_drop(hf_request *r) { handle(r, false); }
