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
    ((r)->code =                                                                                                       \
         hf_fail((r)->err, HF_E_RECORD_MALFORMED, "%s: " format " (byte %td)", name, __VA_ARGS__, (p) - (r)->start),   \
     (at_t)NULL)

static __attribute__((noinline, cold)) at_t refuse(reader *r, at_t p, const char *name, const char *what) {
    return REFUSE(r, p, name, "%s", what);
}

static __attribute__((noinline, cold)) at_t no_memory(reader *r, const char *name) {
    r->code = hf_fail(r->err, HF_E_NO_MEMORY, "%s: no room in the arena of %zu bytes", name, r->arena->max_bytes);
    return NULL;
}

/* ---- numbers ------------------------------------------------------------------------------------- */
typedef struct number { /* returned in registers: an out-parameter would cost each caller a stack guard */
    at_t p;             /* NULL: refused */
    int64_t n;
} number;

static inline int64_t unzigzag(uint64_t u) { return (int64_t)(u >> 1) ^ -(int64_t)(u & 1); }

static __attribute__((noinline)) number long_near_end(reader *r, at_t p, const char *name) {
    uint64_t u = 0;
    at_t first = p;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == r->end)
            return (number){refuse(r, first, name, "the bytes end within a number"), 0};
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            break;
        u |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (number){p, unzigzag(u)};
    }
    return (number){refuse(r, first, name, "a number longer than 64 bits"), 0};
}

/* Up to eight bytes at once: the first byte without its top bit ends the number; then the 7-bit groups close up. */
static __attribute__((noinline)) number long_of_many(reader *r, at_t p, const char *name) {
    uint64_t word, stop;
    if (UNLIKELY(r->end - p < 8))
        return long_near_end(r, p, name);
    memcpy(&word, p, sizeof word);
    stop = ~word & 0x8080808080808080u;
    if (UNLIKELY(stop == 0))
        return long_near_end(r, p, name);
    word &= (stop ^ (stop - 1)) & 0x7f7f7f7f7f7f7f7fu;
    word = (word & 0x007f007f007f007fu) | (word & 0x7f007f007f007f00u) >> 1;
    word = (word & 0x00003fff00003fffu) | (word & 0x3fff00003fff0000u) >> 2;
    word = (word & 0x000000000fffffffu) | (word & 0x0fffffff00000000u) >> 4;
    return (number){p + __builtin_ctzll(stop) / 8 + 1, unzigzag(word)};
}

static inline number get_long(reader *r, at_t p, const char *name) {
    if (LIKELY(r->end - p >= 2)) {
        if (LIKELY(p[0] < 0x80))
            return (number){p + 1, unzigzag(p[0])};
        if (LIKELY(p[1] < 0x80))
            return (number){p + 2, unzigzag((uint64_t)p[1] << 7 | (p[0] & 0x7f))};
    }
    return long_of_many(r, p, name);
}

static inline at_t get_i64(reader *r, at_t p, const char *name, int64_t *ret) {
    number v = get_long(r, p, name);
    if (LIKELY(v.p != NULL))
        *ret = v.n;
    return v.p;
}

static inline at_t get_i32(reader *r, at_t p, const char *name, int32_t *ret) {
    number v = get_long(r, p, name);
    if (UNLIKELY(!v.p))
        return NULL;
    if (UNLIKELY(v.n != (int32_t)v.n))
        return REFUSE(r, p, name, "%" PRId64 " is no 32-bit number", v.n);
    *ret = (int32_t)v.n;
    return v.p;
}

/* A number in [0, count): a union's branch or an enum's symbol. */
static inline number get_index(reader *r, at_t p, const char *name, uint64_t count) {
    number v = get_long(r, p, name);
    if (LIKELY(v.p != NULL) && UNLIKELY(v.n < 0 || (uint64_t)v.n >= count))
        v.p = REFUSE(r, p, name, "index %" PRId64 " where the schema has %" PRIu64, v.n, count);
    return v;
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

static __attribute__((noinline)) at_t get_promoted(reader *r, at_t p, const hf_step *step, double *ret) {
    float f = 0;
    if (step->op == HF_OP_F64_OF_FLOAT) {
        p = get_fixed(r, p, step->name, &f, sizeof f);
        if (p)
            *ret = (double)f;
        return p;
    }
    number v = get_long(r, p, step->name);
    if (v.p)
        *ret = (double)v.n;
    return v.p;
}

static at_t get_enum(reader *r, at_t p, const hf_step *step, int32_t *ret) {
    number v = get_index(r, p, step->name, step->count);
    if (!v.p)
        return NULL;
    if (step->symbols[v.n] < 0)
        return REFUSE(r, p, step->name, "symbol %" PRId64 " of the writer's enum is not known here", v.n);
    *ret = step->symbols[v.n];
    return v.p;
}

/* ---- text ----------------------------------------------------------------------------------------- */
static inline __attribute__((always_inline)) at_t get_str(reader *r, at_t p, const char *name, uint32_t max,
                                                          hf_str *ret) {
    number len = get_long(r, p, name);
    if (UNLIKELY(!len.p))
        return NULL;
    if (len.n == 0) {
        *ret = HF_STR_NONE;
        return len.p;
    }
    if (UNLIKELY(len.n < 0 || len.n > r->end - len.p))
        return REFUSE(r, p, name, "a string of %" PRId64 " bytes where %td are left", len.n, r->end - len.p);
    if (UNLIKELY(len.n > max))
        return REFUSE(r, p, name, "a string of %" PRId64 " bytes, the limit is %" PRIu32, len.n, max);
    if (UNLIKELY(!hf_utf8_valid(len.p, (size_t)len.n)))
        return refuse(r, len.p, name, "a string that is not UTF-8, or holds a NUL");
    *ret = (hf_str){(const char *)len.p, (uint32_t)len.n};
    return len.p + len.n;
}

/* ---- blocks of arrays and maps --------------------------------------------------------------------- */
typedef struct block {
    at_t p;    /* its first element; NULL: refused */
    at_t stop; /* where it must end when its writer said so, else NULL */
    uint64_t count;
} block;

static inline block get_block(reader *r, at_t p, const char *name, bool empty_items) {
    number count = get_long(r, p, name);
    block b = {.p = count.p};
    if (UNLIKELY(count.p && count.n < 0)) {
        number size = get_long(r, count.p, name);
        b.p = size.p;
        if (size.p && (count.n == INT64_MIN || size.n < 0 || size.n > r->end - size.p))
            b.p = REFUSE(r, p, name, "a block of %" PRId64 " bytes where %td are left", size.n, r->end - size.p);
        if (!b.p)
            return b;
        count.n = -count.n;
        b.stop = b.p + size.n;
    }
    if (UNLIKELY(b.p && !empty_items && count.n > r->end - b.p))
        b.p = REFUSE(r, p, name, "%" PRId64 " elements where %td bytes are left", count.n, r->end - b.p);
    b.count = (uint64_t)count.n;
    return b;
}

static inline at_t end_block(reader *r, at_t p, const char *name, at_t stop) {
    return LIKELY(!stop || stop == p) ? p : refuse(r, p, name, "a block of another size than its writer said");
}

/* ---- walking over ----------------------------------------------------------------------------------- */
static at_t skip(reader *r, at_t p, const char *name, const hf_skip *s, int depth);

static at_t skip_bytes(reader *r, at_t p, const char *name, uint64_t len) {
    return len > (uint64_t)(r->end - p) ? refuse(r, p, name, "a length past the end") : p + len;
}

static at_t skip_text(reader *r, at_t p, const char *name) {
    number len = get_long(r, p, name);
    return len.p ? skip_bytes(r, len.p, name, (uint64_t)len.n) : NULL; /* below zero is past any end */
}

static at_t skip_blocks(reader *r, at_t p, const char *name, const hf_skip *s, int depth) {
    const hf_skip *item = s->children[0];
    bool map = s->kind == HF_SKIP_MAP, empty = item->empty && !map;
    for (block b = get_block(r, p, name, empty); b.p; b = get_block(r, p, name, empty)) {
        p = b.p;
        if (b.count == 0)
            return p;
        for (uint64_t i = 0; p && i < b.count && !empty; i++) {
            if (map)
                p = skip_text(r, p, name);
            if (p)
                p = skip(r, p, name, item, depth + 1);
        }
        if (!p || !(p = end_block(r, p, name, b.stop)))
            return NULL;
    }
    return NULL;
}

static at_t skip(reader *r, at_t p, const char *name, const hf_skip *s, int depth) {
    number index;
    bool b;
    if (depth > HF_SCHEMA_MAX_DEPTH)
        return refuse(r, p, name, "a value nested too deeply");
    switch (s->kind) {
    case HF_SKIP_NOTHING: return p;
    case HF_SKIP_BOOL: return get_bool(r, p, name, &b);
    case HF_SKIP_LONG: return get_long(r, p, name).p;
    case HF_SKIP_BYTES: return skip_text(r, p, name);
    case HF_SKIP_FIXED: return skip_bytes(r, p, name, s->count);
    case HF_SKIP_ENUM: return get_index(r, p, name, s->count).p;
    case HF_SKIP_ARRAY:
    case HF_SKIP_MAP: return skip_blocks(r, p, name, s, depth);
    case HF_SKIP_UNION:
        index = get_index(r, p, name, s->count);
        return index.p ? skip(r, index.p, name, s->children[index.n], depth + 1) : NULL;
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
    number index = step->bare ? (number){p, 0} : get_index(r, p, step->name, step->count);
    if (UNLIKELY(!index.p))
        return NULL;
    p = index.p;
    const hf_branch *branch = &step->branches[index.n];
    ret->branch = branch->branch;
    if (UNLIKELY(branch->branch < 0))
        return skip(r, p, step->name, branch->skip, 0);
    char *record = new_record(r, branch->program, step->name);
    ret->record = record;
    return record ? run(r, p, branch->program, record) : NULL;
}

static uint32_t element_bytes(const hf_step *step) {
    return step->op == HF_OP_STRINGS    ? sizeof(hf_str)
           : step->op == HF_OP_VARIANTS ? sizeof(hf_variant)
                                        : step->program->size_bytes;
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

static at_t get_elements(reader *r, at_t p, const hf_step *step, char *to, hf_list *list, uint64_t count) {
    uint32_t each = element_bytes(step);
    for (uint64_t i = 0; i < count; i++, list->count++, to += each) {
        p = get_element(r, p, step, to);
        if (UNLIKELY(!p)) {
            hf_context(r->err, "%s[%" PRIu32 "]", step->name, list->count);
            return NULL;
        }
    }
    return p;
}

static at_t get_list(reader *r, at_t p, const hf_step *step, hf_list *ret) {
    hf_list list = {0};
    uint64_t room = 0;
    bool empty = step->op == HF_OP_RECORDS ? step->program->empty : step->op == HF_OP_VARIANTS && step->bare;
    for (block b = get_block(r, p, step->name, empty); b.p; b = get_block(r, p, step->name, empty)) {
        p = b.p;
        if (b.count == 0) {
            *ret = list;
            return p;
        }
        if (UNLIKELY(b.count > step->max - list.count))
            return REFUSE(r, p, step->name, "%" PRIu64 " elements, the limit is %" PRIu32, list.count + b.count,
                          step->max);
        char *items = grow(r, step, &list, b.count, &room);
        if (UNLIKELY(!items))
            return NULL;
        list.items = items;
        p = get_elements(r, p, step, items + (size_t)list.count * element_bytes(step), &list, b.count);
        if (UNLIKELY(!p || !(p = end_block(r, p, step->name, b.stop))))
            return NULL;
    }
    return NULL;
}

/* Most lists are empty: one byte. */
static inline at_t get_list_fast(reader *r, at_t p, const hf_step *step, hf_list *ret) {
    if (p == r->end || *p)
        return get_list(r, p, step, ret);
    *ret = (hf_list){0};
    return p + 1;
}

/* ---- a program ------------------------------------------------------------------------------------------ */
static at_t get_choice(reader *r, at_t p, const hf_step *step, char *base) {
    number index = get_index(r, p, step->name, step->count);
    if (!index.p)
        return NULL;
    if (!step->choices[index.n])
        return REFUSE(r, p, step->name,
                      "branch %" PRId64 " of the writer's union is of a type that cannot be read here", index.n);
    return run(r, index.p, step->choices[index.n], base);
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
        case HF_OP_I32: p = get_i32(r, p, step->name, to); break;
        case HF_OP_I64: p = get_i64(r, p, step->name, to); break;
        case HF_OP_F64: p = get_fixed(r, p, step->name, to, sizeof(double)); break;
        case HF_OP_F64_OF_FLOAT:
        case HF_OP_F64_OF_LONG: p = get_promoted(r, p, step, to); break;
        case HF_OP_ENUM: p = get_enum(r, p, step, to); break;
        case HF_OP_STRINGS:
        case HF_OP_RECORDS:
        case HF_OP_VARIANTS: p = get_list_fast(r, p, step, to); break;
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
        p = REFUSE(&r, p, "end", "%td bytes too many", r.end - p);
    if (UNLIKELY(!p)) {
        hf_context(reterr, "%s", plan->type->name);
        return r.code;
    }
    memcpy(ret_record, record, program->size_bytes);
    return HF_OK;
}
