#include "producer/schedule/listed.h"

#include <stdlib.h>

#include "schemas/base/mem.h"
#include "schemas/event/json_schedule.h"

enum { ENTRY_ARENA = HF_DECODE_ARENA_BYTES };

struct hf_listed {
    hf_schedule **of; /* hf_type_clone */
    size_t count;
};

void hf_listed_free(hf_listed *l) {
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        free(l->of[i]);
    free(l->of);
    free(l);
}

/* All errors in one text, as far as it goes. */
static hf_code tell(size_t index, hf_str id, const hf_intake_errors *errors, hf_err *reterr) {
    char text[HF_ERR_DETAIL_BYTES];
    int at = 0;
    for (uint32_t i = 0; i < errors->count && i < HF_MAX_ERRORS && at < (int)sizeof text; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%.*s", i ? "; " : "", HF_STR_ARG(errors->text[i]));
    return hf_fail(reterr, HF_E_CONFIG, "schedules[%zu] (%.*s): %s", index, HF_STR_ARG(id), text);
}

static hf_code read_entry(const json_t *entry, size_t index, int64_t now_ms, hf_arena *arena, hf_schedule **ret,
                          hf_err *reterr) {
    hf_schedule s;
    hf_intake_errors *errors = hf_arena_alloc(arena, 2 * sizeof *errors);
    if (!errors)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedules[%zu]", index);
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    hf_code rc = hf_schedule_read(entry, 0, now_ms, arena, &s, errors, errors + 1, reterr);
    if (rc != HF_OK)
        return hf_fail(reterr, rc == HF_E_NO_MEMORY ? rc : HF_E_CONFIG, "schedules[%zu]: %s", index,
                       reterr ? reterr->detail : "");
    if (errors->count)
        return tell(index, s.schedule_id, errors, reterr);
    s.by = s.origin = HF_STR(HF_LISTED_ORIGIN);
    *ret = hf_type_clone(&HF_TYPE_SCHEDULE, &s);
    return *ret ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "schedules[%zu]", index);
}

static int by_id(const void *a, const void *b) {
    const hf_schedule *const *x = a, *const *y = b;
    return hf_str_cmp((*x)->schedule_id, (*y)->schedule_id);
}

static hf_code sort(hf_listed *l, hf_err *reterr) {
    if (l->count)
        qsort(l->of, l->count, sizeof *l->of, by_id);
    for (size_t i = 1; i < l->count; i++)
        if (by_id(&l->of[i - 1], &l->of[i]) == 0)
            return hf_fail(reterr, HF_E_CONFIG, "schedules: the id %.*s is there twice; give each its own",
                           HF_STR_ARG(l->of[i]->schedule_id));
    return HF_OK;
}

hf_code hf_listed_read(const hf_config *config, int64_t now_ms, hf_listed **ret, hf_err *reterr) {
    const json_t *list = hf_config_json(config, HF_C_SCHEDULES);
    *ret = NULL;
    if (!list)
        return HF_OK;
    if (!json_is_array(list))
        return hf_fail(reterr, HF_E_CONFIG, "schedules: must be a list");
    hf_listed *l = hf_alloc(sizeof *l);
    size_t size = json_array_size(list);
    if (!l || (size && !(l->of = hf_alloc(size * sizeof(*l->of))))) {
        free(l);
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedules");
    }
    hf_arena arena;
    hf_arena_init(&arena, ENTRY_ARENA);
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < size; i++) {
        hf_arena_reset(&arena);
        rc = read_entry(json_array_get(list, i), i, now_ms, &arena, &l->of[l->count], reterr);
        l->count += rc == HF_OK;
    }
    hf_arena_done(&arena);
    if (rc == HF_OK)
        rc = sort(l, reterr);
    if (rc == HF_OK)
        *ret = l;
    else
        hf_listed_free(l);
    return rc;
}

/* ---- against the topic ------------------------------------------------------------------------------------ */
static hf_code put_listed(const hf_schedule *wanted, const hf_ticker *kept, int64_t now_ms, hf_arena *arena,
                          hf_listed_publish publish, void *ctx, hf_err *reterr) {
    hf_schedule is, now = *wanted;
    hf_arena_reset(arena);
    now.created_at = now.updated_at = now_ms;
    if (hf_ticker_schedule(kept, wanted->schedule_id, arena, &is)) {
        now.created_at = is.created_at; /* what @every counts from */
        now.updated_at = is.updated_at;
        if (hf_type_equal(&HF_TYPE_SCHEDULE, &is, &now))
            return HF_OK;
        now.updated_at = now_ms;
    }
    return publish(ctx, now.schedule_id, &now, reterr);
}

typedef struct {
    const hf_listed *listed;
    hf_listed_publish publish;
    void *ctx;
    hf_arena *arena;
    const hf_ticker *kept;
    hf_code code;
    hf_err *err;
} takers;

static bool take_away(void *ctx, hf_str id) {
    takers *t = ctx;
    hf_schedule is, sought = {.schedule_id = id};
    const hf_schedule *key = &sought;
    hf_arena_reset(t->arena);
    if (t->listed->count && bsearch(&key, t->listed->of, t->listed->count, sizeof *t->listed->of, by_id))
        return true;
    if (hf_ticker_schedule(t->kept, id, t->arena, &is) && hf_str_eqz(is.origin, HF_LISTED_ORIGIN))
        t->code = t->publish(t->ctx, id, NULL, t->err);
    return t->code == HF_OK;
}

hf_code hf_listed_settle(const hf_listed *l, const hf_ticker *kept, int64_t now_ms, hf_listed_publish publish,
                         void *ctx, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, ENTRY_ARENA);
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < l->count; i++)
        rc = put_listed(l->of[i], kept, now_ms, &arena, publish, ctx, reterr);
    takers t = {l, publish, ctx, &arena, kept, rc, reterr};
    if (rc == HF_OK)
        hf_ticker_each(kept, take_away, &t);
    hf_arena_done(&arena);
    return t.code;
}
