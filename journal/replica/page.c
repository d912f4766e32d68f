#include "journal/replica/page.h"

#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/mem.h"

/* A row of an index, as a place in the order: by_created has (time, key), by_state a state before them. */
typedef struct place {
    uint64_t time, key;
} place;

typedef struct walker {
    hf_cursor *cursor;
    int state; /* of by_state; -1: by_created */
    bool there;
    place at;
} walker;

typedef struct walk {
    walker walkers[HF_STATE_COUNT];
    int count;
    bool down;
} walk;

static const char *const sorts[] = {"-created", "created", "-updated", "updated"};

bool hf_page_sort_parse(hf_str text, hf_page_sort *ret) {
    for (size_t i = 0; i < HF_ARRAY_LEN(sorts); i++)
        if (hf_str_eqz(text, sorts[i])) {
            *ret = (hf_page_sort)i;
            return true;
        }
    return false;
}

/* ---- cursors ---------------------------------------------------------------------------------------------- */
static void cursor_write(hf_page_sort sort, place at, char text[HF_PAGE_CURSOR_BYTES]) {
    snprintf(text, HF_PAGE_CURSOR_BYTES, "%u-%" PRIx64 "-%" PRIx64, (unsigned)sort, at.time, at.key);
}

static hf_code cursor_read(hf_page_sort sort, hf_str text, place *ret, hf_err *reterr) {
    char copy[HF_PAGE_CURSOR_BYTES], again[HF_PAGE_CURSOR_BYTES];
    unsigned of = 0;
    snprintf(copy, sizeof copy, "%.*s", HF_STR_ARG(text));
    if (text.len >= sizeof copy || sscanf(copy, "%u-%" SCNx64 "-%" SCNx64, &of, &ret->time, &ret->key) != 3)
        return hf_fail(reterr, HF_E_INVALID, "cursor is not one that a page ended with");
    if (of != (unsigned)sort)
        return hf_fail(reterr, HF_E_INVALID, "cursor is of a list in the order %s: go on in that order",
                       of < HF_ARRAY_LEN(sorts) ? sorts[of] : "of another version");
    cursor_write(sort, *ret, again);
    return strcmp(copy, again) == 0 ? HF_OK : hf_fail(reterr, HF_E_INVALID, "cursor is not one that a page ended with");
}

/* ---- filters ------------------------------------------------------------------------------------------------ */
static bool is(hf_str wanted, hf_str has, const char *otherwise) {
    return wanted.len == 0 || (has.len ? hf_str_eq(wanted, has) : hf_str_eqz(wanted, otherwise));
}

static bool has_tag(const hf_spec *spec, hf_str tag) {
    for (uint32_t i = 0; i < spec->audit.tags.count; i++)
        if (hf_str_eq(*HF_LIST_AT(spec->audit.tags, hf_str, i), tag))
            return true;
    return tag.len == 0;
}

/* A job's worker is "id/incarnation". */
static bool is_worker(hf_str wanted, hf_str has) {
    return wanted.len == 0 || (hf_str_starts(has, wanted) && (has.len == wanted.len || has.p[wanted.len] == '/'));
}

bool hf_job_filter_takes(const hf_job_filter *f, const hf_job *job) {
    const hf_spec *spec = job->spec;
    return !job->deleted && (!f->states || f->states & 1u << job->state) &&
           is(f->operation, spec->operation, "export") && is(f->provider, spec->provider, "local") &&
           is(f->endpoint, spec->endpoint, "") && hf_str_starts(spec->vm_path, f->vm_path) && has_tag(spec, f->tag) &&
           is(f->requested_by, spec->audit.requested_by, "") && is(f->origin, spec->origin, "") &&
           is_worker(f->worker, job->worker) && job->created_at >= f->created_from_ms &&
           (!f->created_until_ms || job->created_at < f->created_until_ms);
}

/* ---- walking an index ------------------------------------------------------------------------------------------- */
static bool place_read(const walker *w, hf_str key, place *ret) {
    size_t lead = w->state >= 0 ? 1 : 0;
    if (key.len != lead + 16 || (lead && key.p[0] != (char)w->state))
        return false;
    memcpy(&ret->time, key.p + lead, 8);
    memcpy(&ret->key, key.p + lead + 8, 8);
    ret->time = be64toh(ret->time);
    ret->key = be64toh(ret->key);
    return true;
}

static hf_str place_write(const walker *w, place at, char key[17]) {
    size_t lead = w->state >= 0 ? 1 : 0;
    uint64_t time = htobe64(at.time), job = htobe64(at.key);
    if (lead)
        key[0] = (char)w->state;
    memcpy(key + lead, &time, 8);
    memcpy(key + lead + 8, &job, 8);
    return (hf_str){key, (uint32_t)(lead + 16)};
}

static hf_code take(walker *w, hf_code rc, hf_str key) {
    w->there = rc == HF_OK && place_read(w, key, &w->at);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

static hf_code walker_step(walker *w, bool down, hf_err *reterr) {
    hf_str key, value;
    hf_code rc = hf_cursor_move(w->cursor, down ? HF_PREV : HF_NEXT, &key, &value, reterr);
    return take(w, rc, key);
}

/* To the first row behind `from` in the walk's direction; from: exclusive. */
static hf_code walker_seek(walker *w, bool down, place from, hf_err *reterr) {
    char bytes[17];
    hf_str key = place_write(w, from, bytes), value;
    hf_code rc = hf_cursor_move(w->cursor, HF_SEEK, &key, &value, reterr); /* the first that is not before it */
    if (down) {
        if (rc == HF_E_NOT_FOUND)
            rc = hf_cursor_move(w->cursor, HF_LAST, &key, &value, reterr);
        else if (rc == HF_OK)
            rc = hf_cursor_move(w->cursor, HF_PREV, &key, &value, reterr);
        return take(w, rc, key);
    }
    rc = take(w, rc, key);
    bool same = rc == HF_OK && w->there && w->at.time == from.time && w->at.key == from.key;
    return same ? walker_step(w, false, reterr) : rc;
}

static void walk_close(walk *k) {
    for (int i = 0; i < k->count; i++)
        hf_cursor_close(k->walkers[i].cursor);
}

static hf_code walk_add(walk *k, hf_read *read, hf_table table, int state, place from, hf_err *reterr) {
    walker *w = &k->walkers[k->count];
    *w = (walker){.state = state};
    hf_code rc = hf_cursor_open(read, table, &w->cursor, reterr);
    if (rc != HF_OK)
        return rc;
    k->count++;
    return walker_seek(w, k->down, from, reterr);
}

static hf_code walk_open(walk *k, hf_read *read, const hf_tables *tables, const hf_job_filter *f, const hf_page *page,
                         place from, hf_err *reterr) {
    k->down = page->sort == HF_SORT_CREATED_DOWN || page->sort == HF_SORT_UPDATED_DOWN;
    if (page->sort == HF_SORT_CREATED_DOWN || page->sort == HF_SORT_CREATED_UP)
        return walk_add(k, read, tables->of[HF_TB_BY_CREATED], -1, from, reterr);
    hf_code rc = HF_OK;
    for (int s = 0; rc == HF_OK && s < HF_STATE_COUNT; s++)
        if (!f->states || f->states & 1u << s)
            rc = walk_add(k, read, tables->of[HF_TB_BY_STATE], s, from, reterr);
    return rc;
}

static walker *walk_next(walk *k) {
    walker *best = NULL;
    for (int i = 0; i < k->count; i++) {
        walker *w = &k->walkers[i];
        if (!w->there)
            continue;
        bool before = best && (w->at.time < best->at.time || (w->at.time == best->at.time && w->at.key < best->at.key));
        if (!best || before != k->down)
            best = w;
    }
    return best;
}

/* Where the first page begins: by creation, where the filter's times do. */
static place start_of(const hf_job_filter *f, hf_page_sort sort) {
    if (sort == HF_SORT_CREATED_DOWN)
        return (place){f->created_until_ms > 0 ? (uint64_t)f->created_until_ms : UINT64_MAX, 0};
    if (sort == HF_SORT_CREATED_UP && f->created_from_ms > 0)
        return (place){(uint64_t)f->created_from_ms - 1, UINT64_MAX};
    return sort == HF_SORT_UPDATED_DOWN ? (place){UINT64_MAX, UINT64_MAX} : (place){0, 0};
}

/* Whether nothing behind `at` can pass: the list is in the order of the filter's times. */
static bool beyond(const hf_job_filter *f, hf_page_sort sort, place at) {
    return (sort == HF_SORT_CREATED_DOWN && f->created_from_ms > 0 && at.time < (uint64_t)f->created_from_ms) ||
           (sort == HF_SORT_CREATED_UP && f->created_until_ms > 0 && at.time >= (uint64_t)f->created_until_ms);
}

static hf_code walk_page(walk *k, hf_read *read, const hf_tables *tables, const hf_job_filter *f, hf_page *page,
                         hf_arena *arena, hf_query_each_job each, void *ctx, hf_err *reterr) {
    place last = {0};
    for (walker *w; (w = walk_next(k)) != NULL && !beyond(f, page->sort, w->at);) {
        hf_job job;
        if (page->found == page->limit || page->scanned == HF_PAGE_SCAN_MAX) {
            cursor_write(page->sort, last, page->next);
            return HF_OK;
        }
        hf_arena_reset(arena);
        hf_code rc = hf_query_job_at(read, tables, w->at.key, arena, &job, reterr);
        if (rc != HF_OK)
            return rc;
        last = w->at;
        page->scanned++;
        if (hf_job_filter_takes(f, &job)) {
            page->found++;
            if (!each(ctx, &job)) {
                cursor_write(page->sort, last, page->next);
                return HF_OK;
            }
        }
        if ((rc = walker_step(w, k->down, reterr)) != HF_OK)
            return rc;
    }
    return HF_OK;
}

hf_code hf_query_page(hf_read *read, const hf_tables *tables, const hf_job_filter *filter, hf_page *page,
                      hf_arena *arena, hf_query_each_job each, void *ctx, hf_err *reterr) {
    walk k = {0};
    place from = start_of(filter, page->sort);
    hf_code rc = page->cursor.len ? cursor_read(page->sort, page->cursor, &from, reterr) : HF_OK;
    page->found = page->scanned = 0;
    page->next[0] = 0;
    if (rc == HF_OK)
        rc = walk_open(&k, read, tables, filter, page, from, reterr);
    if (rc == HF_OK)
        rc = walk_page(&k, read, tables, filter, page, arena, each, ctx, reterr);
    walk_close(&k);
    return rc;
}
