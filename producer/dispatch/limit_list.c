#include "producer/dispatch/limit_list.h"

#include <stdlib.h>

#include "schemas/base/mem.h"

typedef struct entry {
    hf_str key;
    int32_t max;
    bool as_is; /* the topic has it so; in the round under way */
} entry;

struct hf_limit_list {
    size_t count;
    entry of[]; /* by key */
};

void hf_limit_list_free(hf_limit_list *l) { free(l); }
size_t hf_limit_list_count(const hf_limit_list *l) { return l ? l->count : 0; }

static int by_key(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return hf_str_cmp(x->key, y->key);
}

/* ---- reading --------------------------------------------------------------------------------------------- */
typedef struct complaints {
    char text[HF_ERR_DETAIL_BYTES];
    size_t at;
} complaints;

static void complain(complaints *c, const char *key, const char *what) {
    int n = c->at < sizeof c->text
                ? snprintf(c->text + c->at, sizeof c->text - c->at, "%slimits.%.64s: %s", c->at ? "; " : "", key, what)
                : 0;
    c->at += n > 0 ? (size_t)n : 0;
}

static void read_entry(hf_limit_list *l, const char *key, const json_t *value, complaints *c) {
    char what[96];
    json_int_t max = json_is_integer(value) ? json_integer_value(value) : -1;
    hf_str name = hf_str_of(key);
    if (!hf_limit_key_valid(name))
        complain(c, key, "name it endpoint/NAME, provider/NAME or tag/NAME");
    if (max < 0 || max > HF_LIMIT_GRANTS_MAX) {
        snprintf(what, sizeof what, "must be a number from 0 to %d", HF_LIMIT_GRANTS_MAX);
        complain(c, key, what);
    }
    l->of[l->count++] = (entry){.key = name, .max = (int32_t)max};
}

hf_code hf_limit_list_read(const hf_config *config, hf_limit_list **ret, hf_err *reterr) {
    const json_t *map = hf_config_json(config, HF_C_LIMITS);
    complaints c = {.at = 0};
    *ret = NULL;
    if (!map)
        return HF_OK;
    if (!json_is_object(map))
        return hf_fail(reterr, HF_E_CONFIG, "limits: must be a map of names to numbers, as {endpoint/vc1: 3}");
    size_t size = json_object_size(map);
    if (size > HF_LIMITS_MAX)
        return hf_fail(reterr, HF_E_CONFIG, "limits: %zu entries, and %d are allowed: take some away", size,
                       HF_LIMITS_MAX);
    hf_limit_list *l = hf_alloc(sizeof *l + size * sizeof *l->of);
    if (!l)
        return hf_fail(reterr, HF_E_NO_MEMORY, "limits");
    json_t *walked = (json_t *)(uintptr_t)map; /* only read: jansson's walk takes no const */
    for (void *at = json_object_iter(walked); at; at = json_object_iter_next(walked, at))
        read_entry(l, json_object_iter_key(at), json_object_iter_value(at), &c);
    if (c.at) {
        free(l);
        return hf_fail(reterr, HF_E_CONFIG, "%s", c.text);
    }
    if (l->count)
        qsort(l->of, l->count, sizeof *l->of, by_key);
    *ret = l;
    return HF_OK;
}

/* ---- against the topic ------------------------------------------------------------------------------------ */
static hf_code set(hf_str key, int32_t max, hf_limit_list_publish publish, void *ctx, hf_err *reterr) {
    hf_limit_event e;
    hf_type_init(&HF_TYPE_LIMIT_EVENT, &e);
    e.key = key;
    e.kind = HF_LIMIT_SET;
    e.max = max;
    e.by = e.origin = HF_STR(HF_LIMIT_LIST_ORIGIN);
    return publish(ctx, &e, reterr);
}

void hf_limit_list_begin(hf_limit_list *l) {
    for (size_t i = 0; i < l->count; i++)
        l->of[i].as_is = false;
}

hf_code hf_limit_list_seen(hf_limit_list *l, const hf_limit *limit, hf_limit_list_publish publish, void *ctx,
                           hf_err *reterr) {
    const entry sought = {.key = limit->key};
    bool ours = hf_str_eqz(limit->origin, HF_LIMIT_LIST_ORIGIN);
    entry *found = l->count ? bsearch(&sought, l->of, l->count, sizeof *l->of, by_key) : NULL;
    if (found)
        found->as_is = ours && limit->max == found->max;
    else if (ours && limit->max >= 0)
        return set(limit->key, -1, publish, ctx, reterr);
    return HF_OK;
}

hf_code hf_limit_list_rest(hf_limit_list *l, hf_limit_list_publish publish, void *ctx, hf_err *reterr) {
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < l->count; i++)
        if (!l->of[i].as_is)
            rc = set(l->of[i].key, l->of[i].max, publish, ctx, reterr);
    return rc;
}
