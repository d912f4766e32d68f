#include "schemas/job/limit.h"

#include "schemas/base/mem.h"
#include "schemas/job/fields.h"

static const char *const kind_symbols[] = {"set", "taken", "freed", NULL};

static const hf_field fields[] = {
    HF_STR_FIELD(hf_limit_event, key, HF_LIMIT_KEY_MAX),
    HF_ENUM_FIELD(hf_limit_event, kind, kind_symbols),
    HF_TIME_FIELD(hf_limit_event, at),
    HF_STR_FIELD(hf_limit_event, by, HF_MAX_TEXT),
    HF_I32_FIELD(hf_limit_event, max, -1),
    HF_STR_FIELD(hf_limit_event, origin, 32),
    HF_STR_FIELD(hf_limit_event, job_id, HF_ID_MAX_BYTES),
    HF_I32_FIELD(hf_limit_event, attempt, 0),
    HF_I64_FIELD(hf_limit_event, ttl_ms, HF_GRANT_TTL_DEFAULT_MS),
    HF_I64_FIELD(hf_limit_event, grant, -1),
    HF_STR_FIELD(hf_limit_event, reason, HF_MAX_TEXT),
};
HF_TYPE(HF_TYPE_LIMIT_EVENT, "LimitEvent", hf_limit_event, fields);

static const char *const verdict_names[] = {
#define HF_LIMIT_VERDICT(id, name, sentence) [HF_LV_##id] = name,
#include "schemas/job/limit_verdicts.def"
#undef HF_LIMIT_VERDICT
};
static const char *const verdict_sentences[] = {
#define HF_LIMIT_VERDICT(id, name, sentence) [HF_LV_##id] = sentence,
#include "schemas/job/limit_verdicts.def"
#undef HF_LIMIT_VERDICT
};
const char *hf_limit_verdict_name(hf_limit_verdict v) { return v < HF_LIMIT_VERDICT_COUNT ? verdict_names[v] : "?"; }
const char *hf_limit_verdict_sentence(hf_limit_verdict v) {
    return v < HF_LIMIT_VERDICT_COUNT ? verdict_sentences[v] : "";
}

/* ---- the fold ------------------------------------------------------------------------------------------------ */
#ifndef HF_LIMIT_MUTATION
#define HF_LIMIT_MUTATION                                                                                              \
    0 /* the simulator's referee has to find each of them: 1 one grant too many, 2 any grant is freed */
#endif

static hf_limit_verdict fold_set(const hf_limit *before, const hf_limit_event *e, uint32_t others) {
    if (e->max < -1 || e->max > HF_LIMIT_GRANTS_MAX || !hf_limit_key_valid(e->key))
        return HF_LV_INVALID;
    if (!before && e->max < 0)
        return HF_LV_NO_SUCH;
    return !before && others >= HF_LIMITS_MAX ? HF_LV_TOO_MANY : HF_LV_ACCEPTED;
}

static hf_limit_verdict fold_taken(const hf_limit *before, const hf_limit_event *e) {
    if (!hf_id_valid(e->job_id) || e->attempt < 1 || e->by.len == 0 || e->ttl_ms < 1)
        return HF_LV_INVALID;
    if (!before || before->max < 0)
        return HF_LV_NO_SUCH;
    for (uint32_t i = 0; i < before->held; i++)
        if (before->grants[i]->attempt == e->attempt && hf_str_eq(before->grants[i]->job_id, e->job_id))
            return HF_LV_HELD;
    return before->held < (uint32_t)before->max + (HF_LIMIT_MUTATION == 1) ? HF_LV_ACCEPTED : HF_LV_FULL;
}

/* Where the grant of that offset is, or would be. */
static uint32_t place_of(const hf_limit *limit, int64_t offset) {
    uint32_t low = 0, high = limit->held;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (limit->grants[middle]->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static hf_limit_verdict fold_freed(const hf_limit *before, const hf_limit_event *e, uint32_t *ret_index) {
    if (!before)
        return HF_LV_NO_SUCH;
    uint32_t i = place_of(before, e->grant);
    if (HF_LIMIT_MUTATION == 2 && before->held > 0)
        i = before->held - 1;
    else if (i >= before->held || before->grants[i]->offset != e->grant || before->grants[i]->attempt != e->attempt ||
             !hf_str_eq(before->grants[i]->job_id, e->job_id))
        return HF_LV_NOT_HELD;
    *ret_index = i;
    return HF_LV_ACCEPTED;
}

hf_limit_verdict hf_limit_fold(const hf_limit *before, const hf_limit_event *event, uint32_t others,
                               uint32_t *ret_index) {
    switch ((hf_limit_kind)event->kind) {
    case HF_LIMIT_SET: return fold_set(before, event, others);
    case HF_LIMIT_TAKEN: return fold_taken(before, event);
    case HF_LIMIT_FREED: return fold_freed(before, event, ret_index);
    }
    return HF_LV_INVALID;
}

const hf_grant *hf_limit_grant(const hf_limit *limit, int64_t offset) {
    uint32_t i = place_of(limit, offset);
    return i < limit->held && limit->grants[i]->offset == offset ? limit->grants[i] : NULL;
}

/* ---- making it so ------------------------------------------------------------------------------------------------ */
hf_limit *hf_limit_new(void) { return hf_alloc(sizeof(hf_limit)); }

void hf_limit_free(hf_limit *limit) {
    if (!limit)
        return;
    for (uint32_t i = 0; i < limit->held; i++)
        free(limit->grants[i]);
    free(limit->grants);
    free(limit->set);
    free(limit);
}

static hf_grant *grant_of(const hf_limit_event *e, int64_t offset) {
    hf_grant *g = hf_alloc(sizeof *g + e->job_id.len + e->by.len);
    if (!g)
        return NULL;
    g->offset = offset;
    g->at = e->at;
    g->ttl_ms = e->ttl_ms;
    g->attempt = e->attempt;
    memcpy(g->text, e->job_id.p, e->job_id.len);
    memcpy(g->text + e->job_id.len, e->by.p, e->by.len);
    g->job_id = (hf_str){g->text, e->job_id.len};
    g->worker = (hf_str){g->text + e->job_id.len, e->by.len};
    return g;
}

static bool reserve(hf_limit *limit) {
    if (limit->held < limit->room)
        return true;
    uint32_t room = limit->room ? limit->room * 2 : 8;
    hf_grant **grants = hf_realloc(limit->grants, room * sizeof(*grants));
    if (!grants)
        return false;
    limit->grants = grants;
    limit->room = room;
    return true;
}

bool hf_limit_prepare(hf_limit *limit, const hf_limit_event *event, int64_t offset, hf_limit_parts *ret) {
    *ret = (hf_limit_parts){0};
    if (event->kind == HF_LIMIT_SET)
        return (ret->set = hf_type_clone(&HF_TYPE_LIMIT_EVENT, event)) != NULL;
    return event->kind != HF_LIMIT_TAKEN || (reserve(limit) && (ret->grant = grant_of(event, offset)) != NULL);
}

void hf_limit_parts_free(hf_limit_parts *parts) {
    free(parts->set);
    free(parts->grant);
    *parts = (hf_limit_parts){0};
}

static void take_set(hf_limit *limit, hf_limit_event *set) {
    free(limit->set);
    limit->set = set;
    limit->key = set->key;
    limit->max = set->max;
    limit->set_at = set->at;
    limit->set_by = set->by;
    limit->reason = set->reason;
    limit->origin = set->origin;
}

void hf_limit_apply(hf_limit *limit, const hf_limit_event *event, uint32_t index, hf_limit_parts *parts,
                    hf_grant **ret_freed) {
    hf_grant *freed = NULL;
    if (event->kind == HF_LIMIT_SET)
        take_set(limit, parts->set);
    else if (event->kind == HF_LIMIT_TAKEN)
        limit->grants[limit->held++] = parts->grant;
    else {
        freed = limit->grants[index];
        memmove(&limit->grants[index], &limit->grants[index + 1], (--limit->held - index) * sizeof *limit->grants);
    }
    *parts = (hf_limit_parts){0};
    if (ret_freed)
        *ret_freed = freed;
    else
        free(freed);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */
bool hf_limit_key_valid(hf_str key) {
    static const char *const kinds[] = {"endpoint/", "provider/", "tag/"};
    if (key.len > HF_LIMIT_KEY_MAX)
        return false;
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (hf_str_starts(key, hf_str_of(kinds[i])))
            return key.len > strlen(kinds[i]);
    return false;
}

typedef struct {
    bool (*exists)(void *ctx, hf_str key);
    void *ctx;
    hf_limit_keys *keys;
} matching;

static int order_of(hf_str a, hf_str b) {
    int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Into its place, unless it is there. */
static void add(matching *m, const char *kind, hf_str name) {
    hf_limit_keys *k = m->keys;
    uint32_t len = (uint32_t)strlen(kind), i = k->count;
    if (name.len == 0 || len + name.len > HF_LIMIT_KEY_MAX || i == HF_LIMITS_OF_JOB)
        return;
    hf_str key = {k->room[i], len + name.len};
    memcpy(k->room[i], kind, len);
    memcpy(k->room[i] + len, name.p, name.len);
    if (!m->exists(m->ctx, key))
        return;
    while (i > 0 && order_of(key, k->of[i - 1]) < 0)
        i--;
    if (i > 0 && order_of(key, k->of[i - 1]) == 0)
        return;
    memmove(&k->of[i + 1], &k->of[i], (k->count - i) * sizeof k->of[0]);
    k->of[i] = key;
    k->count++;
}

uint32_t hf_limit_match(const hf_spec *spec, bool (*exists)(void *ctx, hf_str key), void *ctx, hf_limit_keys *ret) {
    matching m = {exists, ctx, ret};
    ret->count = 0;
    add(&m, "endpoint/", spec->endpoint);
    add(&m, "provider/", spec->provider);
    for (uint32_t i = 0; i < spec->audit.tags.count; i++)
        add(&m, "tag/", *HF_LIST_AT(spec->audit.tags, hf_str, i));
    return ret->count;
}
