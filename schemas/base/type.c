#include "schemas/base/type.h"

#include "schemas/base/mem.h"

/* Element size and alignment of a list. */
static size_t element_bytes(const hf_field *f) {
    if (f->kind == HF_K_UNIONS)
        return sizeof(hf_variant);
    return f->sub ? f->sub->size_bytes : sizeof(hf_str);
}

void hf_type_init(const hf_type *type, void *record) {
    memset(record, 0, type->size_bytes);
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        char *at = (char *)record + f->offset;
        switch (f->kind) {
        case HF_K_BOOL: *(bool *)at = f->def != 0; break;
        case HF_K_I32:
        case HF_K_ENUM: *(int32_t *)at = (int32_t)f->def; break;
        case HF_K_I64: *(int64_t *)at = f->def; break;
        case HF_K_F64: *(double *)at = (double)f->def; break;
        case HF_K_RECORD: hf_type_init(f->sub, at); break;
        case HF_K_STR:
        case HF_K_RAW:
        case HF_K_TIME:
        case HF_K_OPTION:
        case HF_K_LIST:
        case HF_K_UNIONS: break;
        }
    }
}

/* ---- deep copy: one walk that measures, and the same walk that copies ------------------------- */
typedef struct {
    char *next; /* NULL while measuring */
    size_t used;
} cursor;

enum { ALIGN = 8 };

static void *take(cursor *c, size_t size_bytes) {
    c->used += (size_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!c->next)
        return NULL;
    void *p = c->next;
    c->next += (size_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return p;
}

static void copy_str(cursor *c, const hf_str *from, hf_str *to) {
    if (from->len == 0) {
        if (to)
            *to = HF_STR_NONE;
        return;
    }
    char *p = take(c, (size_t)from->len + 1);
    if (!p)
        return;
    memcpy(p, from->p, from->len);
    p[from->len] = 0;
    *to = (hf_str){p, from->len};
}

static void copy_inside(const hf_type *type, cursor *c, const void *from, void *to);

static void *copy_record(const hf_type *type, cursor *c, const void *from) {
    void *to = take(c, type->size_bytes);
    if (to)
        memcpy(to, from, type->size_bytes);
    copy_inside(type, c, from, to);
    return to;
}

static void copy_list(const hf_field *f, cursor *c, const hf_list *from, hf_list *to) {
    if (from->count == 0) {
        if (to)
            *to = (hf_list){0};
        return;
    }
    size_t each = element_bytes(f);
    char *items = take(c, each * from->count);
    if (items)
        memcpy(items, from->items, each * from->count);
    for (uint32_t i = 0; i < from->count; i++) {
        const char *a = (const char *)from->items + i * each;
        char *b = items ? items + i * each : NULL;
        if (f->kind == HF_K_UNIONS) {
            const hf_variant *v = (const hf_variant *)(const void *)a;
            void *record = v->branch >= 0 && v->record ? copy_record(f->branches[v->branch], c, v->record) : NULL;
            if (b)
                ((hf_variant *)(void *)b)->record = record;
        } else if (f->sub) {
            copy_inside(f->sub, c, a, b);
        } else {
            copy_str(c, (const hf_str *)(const void *)a, (hf_str *)(void *)b);
        }
    }
    if (to)
        *to = (hf_list){items, from->count};
}

/* `to` holds a flat copy of `from` already (or is NULL while measuring): mend what points outside. */
static void copy_inside(const hf_type *type, cursor *c, const void *from, void *to) {
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        const char *a = (const char *)from + f->offset;
        char *b = to ? (char *)to + f->offset : NULL;
        switch (f->kind) {
        case HF_K_STR:
        case HF_K_RAW: copy_str(c, (const hf_str *)(const void *)a, (hf_str *)(void *)b); break;
        case HF_K_RECORD: copy_inside(f->sub, c, a, b); break;
        case HF_K_OPTION: {
            const void *inner = *(const void *const *)(const void *)a;
            void *copy = inner ? copy_record(f->sub, c, inner) : NULL;
            if (b)
                *(void **)(void *)b = copy;
            break;
        }
        case HF_K_LIST:
        case HF_K_UNIONS: copy_list(f, c, (const hf_list *)(const void *)a, (hf_list *)(void *)b); break;
        case HF_K_BOOL:
        case HF_K_I32:
        case HF_K_I64:
        case HF_K_TIME:
        case HF_K_F64:
        case HF_K_ENUM: break;
        }
    }
}

void *hf_type_copy(const hf_type *type, const void *from, hf_arena *arena) {
    cursor c = {0};
    copy_record(type, &c, from);
    c = (cursor){.next = hf_arena_alloc(arena, c.used)};
    return c.next ? copy_record(type, &c, from) : NULL;
}

void *hf_type_clone(const hf_type *type, const void *from) {
    cursor c = {0};
    copy_record(type, &c, from);
    char *block = hf_alloc(c.used);
    if (!block)
        return NULL;
    c = (cursor){.next = block};
    return copy_record(type, &c, from);
}

/* ---- equality ---------------------------------------------------------------------------------- */
static bool equal_list(const hf_field *f, const hf_list *a, const hf_list *b) {
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (f->kind == HF_K_UNIONS) {
            const hf_variant *x = HF_LIST_AT(*a, hf_variant, i), *y = HF_LIST_AT(*b, hf_variant, i);
            if (x->branch != y->branch || (x->branch >= 0 && !hf_type_equal(f->branches[x->branch], x->record, y->record)))
                return false;
        } else if (f->sub) {
            size_t at = i * (size_t)f->sub->size_bytes;
            if (!hf_type_equal(f->sub, (const char *)a->items + at, (const char *)b->items + at))
                return false;
        } else if (!hf_str_eq(*HF_LIST_AT(*a, hf_str, i), *HF_LIST_AT(*b, hf_str, i)))
            return false;
    }
    return true;
}

static bool equal_field(const hf_field *f, const void *a, const void *b) {
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW: return hf_str_eq(*(const hf_str *)a, *(const hf_str *)b);
    case HF_K_BOOL: return *(const bool *)a == *(const bool *)b;
    case HF_K_I32:
    case HF_K_ENUM: return *(const int32_t *)a == *(const int32_t *)b;
    case HF_K_I64:
    case HF_K_TIME: return *(const int64_t *)a == *(const int64_t *)b;
    case HF_K_F64: return memcmp(a, b, sizeof(double)) == 0;
    case HF_K_RECORD: return hf_type_equal(f->sub, a, b);
    case HF_K_OPTION: {
        const void *x = *(const void *const *)a, *y = *(const void *const *)b;
        return x && y ? hf_type_equal(f->sub, x, y) : x == y;
    }
    case HF_K_LIST:
    case HF_K_UNIONS: return equal_list(f, a, b);
    }
    return false;
}

bool hf_type_equal(const hf_type *type, const void *a, const void *b) {
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        if (!equal_field(f, (const char *)a + f->offset, (const char *)b + f->offset))
            return false;
    }
    return true;
}
