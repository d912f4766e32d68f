#include "tests/unit/event/fill.h"

#include "tests/unit/event/cmocka_all.h"
#include <inttypes.h>

typedef struct {
    hf_arena *arena;
    uint64_t seed;
    uint32_t elements;
} filler;

static uint64_t next(filler *f) { /* splitmix64 */
    uint64_t z = f->seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void *take(filler *f, size_t size) {
    void *p = hf_arena_alloc(f->arena, size);
    assert_non_null(p);
    return p;
}

static hf_str text(filler *f, uint32_t max, const char *name) {
    static const char *const tails[] = {"", " \"q\"\\\n", " \xc3\xa9\xe2\x82\xac", " \xf0\x9f\x92\xbe", "\x7f\x01"};
    char *p = hf_arena_printf(f->arena, "%s-%" PRIu64 "%s", name, next(f) % 100000, tails[next(f) % 5]);
    assert_non_null(p);
    hf_str s = hf_str_of(p);
    return s.len <= max ? s : HF_STR("x");
}

static void fill(filler *f, const hf_type *type, char *record);

static void fill_list(filler *f, const hf_field *field, hf_list *list) {
    uint32_t count = f->elements < field->max ? f->elements : field->max;
    size_t each = field->sub ? field->sub->size_bytes : sizeof(hf_str);
    char *items = take(f, each * count + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (field->sub)
            fill(f, field->sub, items + i * each);
        else
            ((hf_str *)(void *)items)[i] = text(f, 64, field->name);
    }
    *list = (hf_list){count ? items : NULL, count};
}

static void fill_variants(filler *f, const hf_field *field, hf_list *list) {
    uint32_t kinds = 0;
    while (field->branches[kinds])
        kinds++;
    hf_variant *items = take(f, kinds * sizeof *items);
    for (uint32_t i = 0; i < kinds; i++) {
        char *record = take(f, field->branches[i]->size_bytes);
        fill(f, field->branches[i], record);
        items[i] = (hf_variant){(int32_t)i, record};
    }
    *list = (hf_list){items, kinds};
}

static void fill_field(filler *f, const hf_field *field, void *at) {
    uint32_t symbols = 0;
    switch (field->kind) {
    case HF_K_STR: *(hf_str *)at = text(f, field->max, field->name); break;
    case HF_K_RAW:
        *(hf_str *)at = hf_str_of(hf_arena_printf(f->arena, "{\"%s\":%" PRIu64 "}", field->name, next(f) % 1000));
        break;
    case HF_K_BOOL: *(bool *)at = !field->def; break;
    case HF_K_I32: *(int32_t *)at = (int32_t)(next(f) >> (32 + next(f) % 31)) | 1; break;
    case HF_K_I64: *(int64_t *)at = (int64_t)(next(f) >> (next(f) % 63)) | 1; break;
    case HF_K_TIME: *(int64_t *)at = (int64_t)(1700000000000u + next(f) % 100000000000u); break;
    case HF_K_F64: *(double *)at = (double)(next(f) % 100000) / 16 + 1; break;
    case HF_K_ENUM:
        while (field->symbols[symbols])
            symbols++;
        assert_true(symbols > 1);
        *(int32_t *)at = 1 + (int32_t)(next(f) % (symbols > 1 ? symbols - 1 : 1));
        break;
    case HF_K_RECORD: fill(f, field->sub, at); break;
    case HF_K_OPTION:
        *(void **)at = take(f, field->sub->size_bytes);
        fill(f, field->sub, *(void **)at);
        break;
    case HF_K_LIST: fill_list(f, field, at); break;
    case HF_K_UNIONS: fill_variants(f, field, at); break;
    }
}

static void fill(filler *f, const hf_type *type, char *record) {
    for (uint32_t i = 0; i < type->field_count; i++)
        fill_field(f, &type->fields[i], record + type->fields[i].offset);
}

void fill_record(const hf_type *type, void *record, hf_arena *arena, uint64_t seed, uint32_t elements) {
    filler f = {arena, seed, elements};
    fill(&f, type, record);
}
