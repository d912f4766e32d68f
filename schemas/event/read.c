/* Walks the bytes of one record by its plan, once. Every length, count, index and block size is held against the
 * bytes left and the tables' bounds before it is believed; functions return where the next value begins, or NULL
 * after r->code and *r->err were set. */
#include <inttypes.h>

#include "schemas/event/plan.h"
#include "schemas/event/utf8.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

typedef const uint8_t *at_t;

typedef struct reader {
    at_t start, end;
    hf_arena *arena;
    hf_err *err;
    hf_code code;
} reader;

static at_t run(reader *r, at_t p, const hf_program *program, char *base);

#define REFUSE(r, p, name, format, ...)                                                                                \
    ((r)->code = hf_fail((r)->err, HF_E_RECORD_MALFORMED, "%s: " format " (byte %td)", name, __VA_ARGS__, (p) - (r)->start), \
     (at_t)NULL)

static __attribute__((noinline, cold)) at_t refuse(reader *r, at_t p, const char *name, const char *what) {
    return REFUSE(r, p, name, "%s", what);
}

static __attribute__((noinline, cold)) at_t no_memory(reader *r, const char *name) {
    r->code = hf_fail(r->err, HF_E_NO_MEMORY, "%s: no room in the arena of %zu bytes", name, r->arena->max_bytes);
    return NULL;
}

/* ---- numbers ------------------------------------------------------------------------------------- */
static __attribute__((noinline)) at_t long_of_many(reader *r, at_t p, const char *name, int64_t *ret) {
    uint64_t u = 0;
    at_t first = p;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == r->end)
            return refuse(r, first, name, "the bytes end within a number");
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            break;
        u |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
            return p;
        }
    }
    return refuse(r, first, name, "a number longer than 64 bits");
}

static inline at_t get_long(reader *r, at_t p, const char *name, int64_t *ret) {
    if (LIKELY(p < r->end && *p < 0x80)) {
        *ret = (int64_t)(*p >> 1) ^ -(int64_t)(*p & 1);
        return p + 1;
    }
    return long_of_many(r, p, name, ret);
}

static inline at_t get_int(reader *r, at_t p, const char *name, int32_t *ret) {
    int64_t n = 0;
    at_t next = get_long(r, p, name, &n);
    if (UNLIKELY(!next))
        return NULL;
    if (UNLIKELY(n != (int32_t)n))
        return REFUSE(r, p, name, "%" PRId64 " is no 32-bit number", n);
    *ret = (int32_t)n;
    return next;
}

/* A number in [0, count): a union's branch or an enum's symbol. */
static inline at_t get_index(reader *r, at_t p, const char *name, uint64_t count, uint32_t *ret) {
    int64_t n = 0;
    at_t next = get_long(r, p, name, &n);
    if (UNLIKELY(!next))
        return NULL;
    if (UNLIKELY(n < 0 || (uint64_t)n >= count))
        return REFUSE(r, p, name, "index %" PRId64 " where the schema has %" PRIu64, n, count);
    *ret = (uint32_t)n;
    return next;
}

static inline at_t get_bool(reader *r, at_t p, const char *name, bool *ret) {
    if (UNLIKELY(p == r->end))
        return refuse(r, p, name, "the bytes end here");
    if (UNLIKELY(*p > 1))
        return refuse(r, p, name, "a boolean that is neither 0 nor 1");
    *ret = *p;
    return p + 1;
}

static inline at_t get_fixed(reader *r, at_t p, const char *name, void *ret, size_t len) {
    if (UNLIKELY((size_t)(r->end - p) < len))
        return refuse(r, p, name, "the bytes end here");
    memcpy(ret, p, len);
    return p + len;
}

static at_t get_double(reader *r, at_t p, const hf_step *step, double *ret) {
    if (step->op == HF_OP_F64)
        return get_fixed(r, p, step->name, ret, sizeof *ret);
    if (step->op == HF_OP_F64_OF_FLOAT) {
        float f = 0;
        p = get_fixed(r, p, step->name, &f, sizeof f);
        if (p)
            *ret = (double)f;
        return p;
    }
    int64_t n = 0;
    p = get_long(r, p, step->name, &n);
    if (p)
        *ret = (double)n;
    return p;
}

static at_t get_enum(reader *r, at_t p, const hf_step *step, int32_t *ret) {
    uint32_t index;
    at_t next = get_index(r, p, step->name, step->count, &index);
    if (!next)
        return NULL;
    if (step->symbols[index] < 0)
        return REFUSE(r, p, step->name, "symbol %" PRIu32 " of the writer's enum is not known here", index);
    *ret = step->symbols[index];
    return next;
}

/* ---- text ----------------------------------------------------------------------------------------- */
static inline at_t get_str(reader *r, at_t p, const char *name, uint32_t max, hf_str *ret) {
    int64_t len;
    at_t text = get_long(r, p, name, &len);
    if (UNLIKELY(!text))
        return NULL;
    if (UNLIKELY(len < 0 || len > r->end - text))
        return REFUSE(r, p, name, "a string of %" PRId64 " bytes where %td are left", len, r->end - text);
    if (UNLIKELY(len > max))
        return REFUSE(r, p, name, "a string of %" PRId64 " bytes, the limit is %" PRIu32, len, max);
    if (UNLIKELY(!hf_utf8_valid(text, (size_t)len)))
        return refuse(r, text, name, "a string that is not UTF-8, or holds a NUL");
    *ret = (hf_str){len ? (const char *)text : NULL, (uint32_t)len};
    return text + len;
}

/* ---- blocks of arrays and maps --------------------------------------------------------------------- */
/* Reads a block's header. *ret_stop is where the block must end when its writer said so, else NULL. */
static inline at_t get_block(reader *r, at_t p, const char *name, bool empty_items, uint64_t *ret_count, at_t *ret_stop) {
    int64_t n, size;
    at_t next = get_long(r, p, name, &n);
    *ret_stop = NULL;
    if (UNLIKELY(!next))
        return NULL;
    if (UNLIKELY(n < 0)) {
        next = get_long(r, next, name, &size);
        if (!next)
            return NULL;
        if (n == INT64_MIN || size < 0 || size > r->end - next)
            return REFUSE(r, p, name, "a block of %" PRId64 " bytes where %td are left", size, r->end - next);
        n = -n;
        *ret_stop = next + size;
    }
    if (UNLIKELY(!empty_items && n > r->end - next))
        return REFUSE(r, p, name, "%" PRId64 " elements where %td bytes are left", n, r->end - next);
    *ret_count = (uint64_t)n;
    return next;
}

static inline at_t end_block(reader *r, at_t p, const char *name, at_t stop) {
    return LIKELY(!stop || stop == p) ? p : refuse(r, p, name, "a block of another size than its writer said");
}

/* ---- walking over ----------------------------------------------------------------------------------- */
static at_t skip(reader *r, at_t p, const char *name, const hf_skip *s, int depth);

static at_t skip_bytes(reader *r, at_t p, const char *name, uint64_t len) {
    return len > (uint64_t)(r->end - p) ? refuse(r, p, name, "a length past the end") : p + len;
}

static at_t skip_blocks(reader *r, at_t p, const char *name, const hf_skip *s, int depth) {
    const hf_skip *item = s->children[0];
    bool map = s->kind == HF_SKIP_MAP;
    uint64_t count = 0;
    at_t stop = NULL;
    while ((p = get_block(r, p, name, item->empty && !map, &count, &stop)) && count) {
        int64_t len;
        for (uint64_t i = 0; p && i < count && (map || !item->empty); i++) {
            if (map && (p = get_long(r, p, name, &len)))
                p = skip_bytes(r, p, name, (uint64_t)len);
            if (p)
                p = skip(r, p, name, item, depth + 1);
        }
        if (!p || !(p = end_block(r, p, name, stop)))
            return NULL;
    }
    return p;
}

static at_t skip(reader *r, at_t p, const char *name, const hf_skip *s, int depth) {
    uint32_t index = 0;
    int64_t n = 0;
    bool b;
    if (depth > HF_SCHEMA_MAX_DEPTH)
        return refuse(r, p, name, "a value nested too deeply");
    switch (s->kind) {
    case HF_SKIP_NOTHING: return p;
    case HF_SKIP_BOOL: return get_bool(r, p, name, &b);
    case HF_SKIP_LONG: return get_long(r, p, name, &n);
    case HF_SKIP_BYTES: return (p = get_long(r, p, name, &n)) ? skip_bytes(r, p, name, (uint64_t)n) : NULL;
    case HF_SKIP_FIXED: return skip_bytes(r, p, name, s->count);
    case HF_SKIP_ENUM: return get_index(r, p, name, s->count, &index);
    case HF_SKIP_ARRAY:
    case HF_SKIP_MAP: return skip_blocks(r, p, name, s, depth);
    case HF_SKIP_UNION:
        p = get_index(r, p, name, s->count, &index);
        return p ? skip(r, p, name, s->children[index], depth + 1) : NULL;
    case HF_SKIP_RECORD:
        for (uint64_t i = 0; p && i < s->count; i++)
            p = skip(r, p, name, s->children[i], depth + 1);
        return p;
    }
    return NULL;
}

/* ---- lists -------------------------------------------------------------------------------------------- */
static char *new_record(reader *r, const hf_program *program, const char *name) {
    char *record = hf_arena_alloc(r->arena, program->size_bytes);
    if (UNLIKELY(!record))
        no_memory(r, name);
    else if (!program->zeros_do)
        memcpy(record, program->blank, program->size_bytes);
    return record;
}

static at_t get_variant(reader *r, at_t p, const hf_step *step, hf_variant *ret) {
    uint32_t index = 0;
    if (!step->bare && !(p = get_index(r, p, step->name, step->count, &index)))
        return NULL;
    const hf_branch *branch = &step->branches[index];
    ret->branch = branch->branch;
    if (UNLIKELY(branch->branch < 0))
        return skip(r, p, step->name, branch->skip, 0);
    char *record = new_record(r, branch->program, step->name);
    ret->record = record;
    return record ? run(r, p, branch->program, record) : NULL;
}

static uint32_t element_bytes(const hf_step *step) {
    return step->op == HF_OP_STRINGS ? sizeof(hf_str) : step->op == HF_OP_VARIANTS ? sizeof(hf_variant) : step->program->size_bytes;
}

static at_t get_element(reader *r, at_t p, const hf_step *step, char *to) {
    if (step->op == HF_OP_STRINGS)
        return get_str(r, p, step->name, HF_MAX_ELEMENT_BYTES, (hf_str *)(void *)to);
    if (step->op == HF_OP_VARIANTS)
        return get_variant(r, p, step, (hf_variant *)(void *)to);
    if (!step->program->zeros_do)
        memcpy(to, step->program->blank, step->program->size_bytes);
    return run(r, p, step->program, to);
}

/* Room for `more` elements behind list->count. Most arrays are one block; of many small ones the room doubles, so
 * that what the arena loses to copies stays within twice the list. */
static char *grow(reader *r, const hf_step *step, hf_list *list, uint64_t more, uint64_t *room) {
    uint64_t wanted = list->count + more, twice = *room * 2;
    if (wanted <= *room)
        return (char *)(uintptr_t)list->items;
    *room = wanted > twice ? wanted : twice < step->max ? twice : step->max;
    char *items = hf_arena_alloc(r->arena, *room * element_bytes(step));
    if (UNLIKELY(!items))
        return no_memory(r, step->name), NULL;
    if (list->count)
        memcpy(items, list->items, (size_t)list->count * element_bytes(step));
    return items;
}

static at_t get_list(reader *r, at_t p, const hf_step *step, hf_list *ret) {
    hf_list list = {0};
    uint64_t count = 0, room = 0;
    bool empty = step->op == HF_OP_RECORDS ? step->program->empty : step->op == HF_OP_VARIANTS && step->bare;
    at_t stop = NULL;
    while (LIKELY((p = get_block(r, p, step->name, empty, &count, &stop)) != NULL) && count) {
        if (UNLIKELY(count > step->max - list.count))
            return REFUSE(r, p, step->name, "%" PRIu64 " elements, the limit is %" PRIu32, list.count + count, step->max);
        char *items = grow(r, step, &list, count, &room);
        if (UNLIKELY(!items))
            return NULL;
        list.items = items;
        for (uint64_t i = 0; i < count; i++, list.count++) {
            p = get_element(r, p, step, items + (size_t)list.count * element_bytes(step));
            if (UNLIKELY(!p)) {
                hf_context(r->err, "%s[%" PRIu32 "]", step->name, list.count);
                return NULL;
            }
        }
        if (UNLIKELY(!(p = end_block(r, p, step->name, stop))))
            return NULL;
    }
    *ret = list;
    return p;
}

/* ---- a program ------------------------------------------------------------------------------------------ */
static at_t get_choice(reader *r, at_t p, const hf_step *step, char *base) {
    uint32_t index;
    at_t next = get_index(r, p, step->name, step->count, &index);
    if (!next)
        return NULL;
    if (!step->choices[index])
        return REFUSE(r, p, step->name, "branch %" PRIu32 " of the writer's union is of a type that cannot be read here", index);
    return run(r, next, step->choices[index], base);
}

static at_t get_option(reader *r, at_t p, const hf_step *step, void **ret) {
    char *record = new_record(r, step->program, step->name);
    if (!record)
        return NULL;
    p = run(r, p, step->program, record);
    if (!p)
        hf_context(r->err, "%s", step->name);
    *ret = record;
    return p;
}

static at_t run(reader *r, at_t p, const hf_program *program, char *base) {
    const hf_step *step = program->steps;
    for (const hf_step *stop = step + program->count; step < stop && LIKELY(p != NULL); step++) {
        void *to = base + step->offset;
        switch (step->op) {
        case HF_OP_STR: p = get_str(r, p, step->name, step->max, to); break;
        case HF_OP_BOOL: p = get_bool(r, p, step->name, to); break;
        case HF_OP_I32: p = get_int(r, p, step->name, to); break;
        case HF_OP_I64: p = get_long(r, p, step->name, to); break;
        case HF_OP_F64:
        case HF_OP_F64_OF_FLOAT:
        case HF_OP_F64_OF_LONG: p = get_double(r, p, step, to); break;
        case HF_OP_ENUM: p = get_enum(r, p, step, to); break;
        case HF_OP_STRINGS:
        case HF_OP_RECORDS:
        case HF_OP_VARIANTS: p = get_list(r, p, step, to); break;
        case HF_OP_OPTION: p = get_option(r, p, step, to); break;
        case HF_OP_CHOICE: p = get_choice(r, p, step, base); break;
        case HF_OP_SKIP: p = skip(r, p, step->name, step->skip, 0); break;
        }
    }
    return p;
}

hf_code hf_plan_read(const hf_plan *plan, hf_str body, uint32_t at, hf_arena *arena, void *ret_record, hf_err *reterr) {
    _Alignas(16) char record[HF_STRUCT_MAX_BYTES]; /* the caller's stays as it was unless all went well */
    at_t start = (at_t)body.p;
    reader r = {.start = start, .end = start + body.len, .arena = arena, .err = reterr};
    const hf_program *program = plan->program;
    memcpy(record, program->blank, program->size_bytes);
    at_t p = run(&r, start + at, program, record);
    if (p && p != r.end)
        p = REFUSE(&r, p, plan->type->name, "%td bytes too many", r.end - p);
    if (UNLIKELY(!p)) {
        hf_context(reterr, "%s", plan->type->name);
        return r.code;
    }
    memcpy(ret_record, record, program->size_bytes);
    return HF_OK;
}
