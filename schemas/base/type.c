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

/* ---- deep copy --------------------------------------------------------------------------------- */
/* Jobs are copied with every accepted record, so the tables are walked once: the walk notes what must move where and
 * how large the whole is, then one loop moves it. Records and lists come first in the block, each where its
 * parent's pointer will say; all text is packed behind them. */
typedef struct move {
    const void *from;    /* NULL: the pointer becomes NULL */
    uint32_t len, to;    /* `to` counts from the start of the texts where is_text, else from the block's */
    uint32_t pointer_at; /* which pointer in the block leads there */
    bool is_text;
} move;

enum { ALIGN = 8, MOVES_AT_HAND = 128 };

typedef struct copy_plan {
    move *moves;
    uint32_t count, cap;
    uint32_t records_bytes, texts_bytes;
    bool failed; /* no memory for the moves of a record that has very many, or it is beyond 4 GiB */
    move at_hand[MOVES_AT_HAND];
} copy_plan;

static bool grow(copy_plan *p) {
    bool first = p->moves == p->at_hand;
    move *more = p->failed ? NULL : hf_realloc(first ? NULL : p->moves, sizeof *more * p->cap * 2);
    if (!more) {
        p->failed = true;
        return false;
    }
    if (first)
        memcpy(more, p->at_hand, sizeof p->at_hand);
    p->moves = more;
    p->cap *= 2;
    return true;
}

static uint32_t room(copy_plan *p, uint32_t *used, size_t bytes) {
    uint32_t at = *used;
    if (bytes > UINT32_MAX / 2 - at)
        p->failed = true;
    else
        *used += (uint32_t)bytes;
    return at;
}

/* The next move, to be filled in place: by value through the stack it costs a third of a clone. */
static inline move *note(copy_plan *p, const void *from, uint32_t pointer_at) {
    if (__builtin_expect(p->count == p->cap, 0) && !grow(p))
        p->count--; /* failed: the plan will not be carried out */
    move *m = &p->moves[p->count++];
    m->from = from;
    m->pointer_at = pointer_at;
    return m;
}

static inline void plan_text(copy_plan *p, const hf_str *s, uint32_t pointer_at) {
    if (s->len) {
        move *m = note(p, s->p, pointer_at);
        m->len = s->len;
        m->to = room(p, &p->texts_bytes, (size_t)s->len + 1);
        m->is_text = true;
    } else if (s->p) {
        note(p, NULL, pointer_at);
    }
}

/* Room for bytes that lie apart and hold pointers themselves; where they will be. */
static uint32_t plan_bytes(copy_plan *p, const void *from, size_t bytes, uint32_t pointer_at) {
    move *m = note(p, from, pointer_at);
    m->len = (uint32_t)bytes;
    m->to = room(p, &p->records_bytes, (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    m->is_text = false;
    return m->to;
}

static void plan_inside(copy_plan *p, const hf_type *type, const char *from, uint32_t at);

static void plan_option(copy_plan *p, const hf_type *type, const void *from, uint32_t pointer_at) {
    if (from)
        plan_inside(p, type, from, plan_bytes(p, from, type->size_bytes, pointer_at));
}

static void plan_variant(copy_plan *p, const hf_field *f, const hf_variant *v, uint32_t at) {
    uint32_t pointer_at = at + (uint32_t)offsetof(hf_variant, record);
    if (v->branch >= 0)
        plan_option(p, f->branches[v->branch], v->record, pointer_at);
    else
        note(p, NULL, pointer_at);
}

static void plan_list(copy_plan *p, const hf_field *f, const hf_list *list, uint32_t pointer_at) {
    if (list->count == 0) {
        if (list->items)
            note(p, NULL, pointer_at);
        return;
    }
    uint32_t each = (uint32_t)element_bytes(f);
    uint32_t to = plan_bytes(p, list->items, (size_t)each * list->count, pointer_at);
    for (uint32_t i = 0; i < list->count && !p->failed; i++) {
        const char *item = (const char *)list->items + (size_t)i * each;
        if (f->kind == HF_K_UNIONS)
            plan_variant(p, f, (const hf_variant *)(const void *)item, to + i * each);
        else if (f->sub)
            plan_inside(p, f->sub, item, to + i * each);
        else
            plan_text(p, (const hf_str *)(const void *)item, to + i * each);
    }
}

static void plan_inside(copy_plan *p, const hf_type *type, const char *from, uint32_t at) {
    for (const hf_field *f = type->fields, *end = f + type->field_count; f < end; f++) {
        const void *a = from + f->offset;
        uint32_t b = at + f->offset;
        switch (f->kind) {
        case HF_K_STR:
        case HF_K_RAW: plan_text(p, a, b); break;
        case HF_K_RECORD: plan_inside(p, f->sub, a, b); break;
        case HF_K_OPTION: plan_option(p, f->sub, *(const void *const *)a, b); break;
        case HF_K_LIST:
        case HF_K_UNIONS: plan_list(p, f, a, b); break;
        case HF_K_BOOL:
        case HF_K_I32:
        case HF_K_I64:
        case HF_K_TIME:
        case HF_K_F64:
        case HF_K_ENUM: break;
        }
    }
}

_Static_assert(offsetof(hf_str, p) == 0 && offsetof(hf_list, items) == 0, "a pointer is where its struct is");

/* A record's move comes before those of what it points to, so the pointer's place is filled already. */
static void carry_out(const copy_plan *p, char *block) {
    for (uint32_t i = 0; i < p->count; i++) {
        const move *m = &p->moves[i];
        char *to = NULL;
        if (m->from) {
            to = block + m->to + (m->is_text ? p->records_bytes : 0);
            memcpy(to, m->from, m->len);
            if (m->is_text)
                to[m->len] = 0;
        }
        if (i > 0) /* the first is the record itself */
            memcpy(block + m->pointer_at, &to, sizeof to);
    }
}

static void plan_init(copy_plan *p, const hf_type *type, const void *from) {
    p->moves = p->at_hand;
    p->count = p->records_bytes = p->texts_bytes = 0;
    p->cap = MOVES_AT_HAND;
    p->failed = false;
    plan_inside(p, type, from, plan_bytes(p, from, type->size_bytes, 0));
}

static void *plan_done(copy_plan *p, char *block) {
    if (block)
        carry_out(p, block);
    if (p->moves != p->at_hand)
        free(p->moves);
    return block;
}

void *hf_type_copy(const hf_type *type, const void *from, hf_arena *arena) {
    copy_plan p;
    plan_init(&p, type, from);
    return plan_done(&p, p.failed ? NULL : hf_arena_alloc(arena, (size_t)p.records_bytes + p.texts_bytes));
}

void *hf_type_clone(const hf_type *type, const void *from) {
    copy_plan p;
    plan_init(&p, type, from);
    return plan_done(&p, p.failed ? NULL : hf_realloc(NULL, (size_t)p.records_bytes + p.texts_bytes));
}

/* ---- equality ---------------------------------------------------------------------------------- */
static bool equal_list(const hf_field *f, const hf_list *a, const hf_list *b) {
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (f->kind == HF_K_UNIONS) {
            const hf_variant *x = HF_LIST_AT(*a, hf_variant, i), *y = HF_LIST_AT(*b, hf_variant, i);
            if (x->branch != y->branch ||
                (x->branch >= 0 && !hf_type_equal(f->branches[x->branch], x->record, y->record)))
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
