#include "check.h"

#include "schemas/base/mem.h"
#include "schemas/base/type.h"

/* One record with a field of every kind. */
typedef struct leaf {
    hf_str name;
    int64_t n;
} leaf;
static const hf_field leaf_fields[] = {
    {.name = "name", .kind = HF_K_STR, .offset = offsetof(leaf, name), .max = 100},
    {.name = "n", .kind = HF_K_I64, .offset = offsetof(leaf, n), .def = 42},
};
static const hf_type leaf_type = {"Leaf", sizeof(leaf), HF_ARRAY_LEN(leaf_fields), leaf_fields};

typedef struct other {
    bool yes;
} other;
static const hf_field other_fields[] = {{.name = "yes", .kind = HF_K_BOOL, .offset = offsetof(other, yes), .def = 1}};
static const hf_type other_type = {"Other", sizeof(other), 1, other_fields};

typedef struct tree {
    hf_str str, raw;
    bool yes;
    int32_t i32, colour;
    int64_t i64, time;
    double f64;
    leaf inner;
    leaf *option;
    hf_list leaves, texts, unions;
} tree;
static const char *const colours[] = {"red", "green", NULL};
static const hf_type *const branches[] = {&leaf_type, &other_type, NULL};
static const hf_field tree_fields[] = {
    {.name = "str", .kind = HF_K_STR, .offset = offsetof(tree, str), .max = 100},
    {.name = "raw", .kind = HF_K_RAW, .offset = offsetof(tree, raw), .max = 100},
    {.name = "yes", .kind = HF_K_BOOL, .offset = offsetof(tree, yes), .def = 1},
    {.name = "i32", .kind = HF_K_I32, .offset = offsetof(tree, i32), .def = -5},
    {.name = "colour", .kind = HF_K_ENUM, .offset = offsetof(tree, colour), .symbols = colours, .def = 1},
    {.name = "i64", .kind = HF_K_I64, .offset = offsetof(tree, i64), .def = INT64_C(1) << 40},
    {.name = "time", .kind = HF_K_TIME, .offset = offsetof(tree, time)},
    {.name = "f64", .kind = HF_K_F64, .offset = offsetof(tree, f64), .def = 3},
    {.name = "inner", .kind = HF_K_RECORD, .offset = offsetof(tree, inner), .sub = &leaf_type},
    {.name = "option", .kind = HF_K_OPTION, .offset = offsetof(tree, option), .sub = &leaf_type},
    {.name = "leaves", .kind = HF_K_LIST, .offset = offsetof(tree, leaves), .sub = &leaf_type, .max = 10},
    {.name = "texts", .kind = HF_K_LIST, .offset = offsetof(tree, texts), .max = 10},
    {.name = "unions", .kind = HF_K_UNIONS, .offset = offsetof(tree, unions), .branches = branches, .max = 10},
};
static const hf_type tree_type = {"Tree", sizeof(tree), HF_ARRAY_LEN(tree_fields), tree_fields};

/* A full record in memory that can be torn away under a copy. */
typedef struct store {
    tree t;
    leaf option, leaves[2], branch;
    other other;
    hf_str texts[3];
    hf_variant unions[3];
    char bytes[32];
} store;

static store *make(void) {
    store *s = hf_alloc(sizeof *s);
    assert_non_null(s);
    hf_type_init(&tree_type, &s->t);
    memcpy(s->bytes, "onetwothreefour{\"a\":1}", 23);
    hf_str one = {s->bytes, 3}, two = {s->bytes + 3, 3}, three = {s->bytes + 6, 5}, four = {s->bytes + 11, 4};
    s->t.str = one;
    s->t.raw = (hf_str){s->bytes + 15, 7};
    s->t.i32 = 7;
    s->t.time = 99;
    s->t.f64 = 0.25;
    s->t.inner = (leaf){two, 1};
    s->option = (leaf){three, 2};
    s->t.option = &s->option;
    s->leaves[0] = (leaf){four, 3};
    s->leaves[1] = (leaf){HF_STR_NONE, 4};
    s->t.leaves = (hf_list){s->leaves, 2};
    s->texts[0] = one;
    s->texts[2] = four;
    s->t.texts = (hf_list){s->texts, 3};
    s->branch = (leaf){two, 5};
    s->other.yes = true;
    s->unions[0] = (hf_variant){0, &s->branch};
    s->unions[1] = (hf_variant){1, &s->other};
    s->unions[2] = (hf_variant){-1, NULL};
    s->t.unions = (hf_list){s->unions, 3};
    return s;
}

static void absence_means_the_default(void **state) {
    (void)state;
    tree t;
    memset(&t, 0xff, sizeof t);
    hf_type_init(&tree_type, &t);
    assert_true(t.yes && t.i32 == -5 && t.colour == 1 && t.i64 == INT64_C(1) << 40 && t.time == 0);
    assert_true(t.f64 == 3 && t.inner.n == 42 && t.inner.name.len == 0 && t.inner.name.p == NULL);
    assert_true(t.str.len == 0 && t.option == NULL && t.leaves.count == 0 && t.unions.items == NULL);
}

static void check_copy(const tree *copy, const store *alike) {
    assert_true(hf_type_equal(&tree_type, copy, &alike->t));
    assert_string_equal(copy->str.p, "one"); /* ends with NUL, which the original did not */
    assert_string_equal(copy->option->name.p, "three");
    assert_string_equal(HF_LIST_AT(copy->leaves, leaf, 0)->name.p, "four");
    assert_null(HF_LIST_AT(copy->texts, hf_str, 1)->p);
    assert_string_equal(((const leaf *)HF_LIST_AT(copy->unions, hf_variant, 0)->record)->name.p, "two");
    assert_null(HF_LIST_AT(copy->unions, hf_variant, 2)->record);
}

static void a_copy_stands_alone(void **state) {
    (void)state;
    store *s = make(), *alike = make();
    hf_arena arena;
    hf_arena_init(&arena, 10000);
    tree *clone = hf_type_clone(&tree_type, &s->t), *copy = hf_type_copy(&tree_type, &s->t, &arena);
    assert_true(clone && copy);
    memset(s, 0xee, sizeof *s); /* whoever still points there is caught */
    free(s);
    check_copy(clone, alike);
    check_copy(copy, alike);
    free(clone);
    hf_arena_done(&arena);
    free(alike);
}

static void a_default_record_copies_too(void **state) {
    (void)state;
    tree t;
    hf_type_init(&tree_type, &t);
    tree *clone = hf_type_clone(&tree_type, &t);
    assert_true(hf_type_equal(&tree_type, clone, &t));
    free(clone);
}

static void without_memory_there_is_no_copy(void **state) {
    (void)state;
    store *s = make();
    hf_alloc_fail_after(1);
    assert_null(hf_type_clone(&tree_type, &s->t));
    hf_arena arena;
    hf_arena_init(&arena, 100); /* too small */
    assert_null(hf_type_copy(&tree_type, &s->t, &arena));
    hf_arena_done(&arena);
    free(s);
}

#define DIFFERS(change)                                                                                                \
    do {                                                                                                               \
        store *a = make(), *b = make();                                                                                \
        assert_true(hf_type_equal(&tree_type, &a->t, &b->t));                                                          \
        change;                                                                                                        \
        if (hf_type_equal(&tree_type, &a->t, &b->t) || hf_type_equal(&tree_type, &b->t, &a->t))                        \
            fail_msg("not seen: %s", #change);                                                                         \
        free(a);                                                                                                       \
        free(b);                                                                                                       \
    } while (0)

static void a_difference_in_any_field_is_seen(void **state) {
    (void)state;
    DIFFERS(b->t.str.len = 2);
    DIFFERS(b->bytes[16] = 'x'); /* the raw JSON */
    DIFFERS(b->t.yes = false);
    DIFFERS(b->t.i32++);
    DIFFERS(b->t.colour = 0);
    DIFFERS(b->t.i64--);
    DIFFERS(b->t.time = 0);
    DIFFERS(b->t.f64 = -b->t.f64);
    DIFFERS(b->t.inner.n++);
    DIFFERS(b->t.option = NULL);
    DIFFERS(b->option.n++);
    DIFFERS(b->t.leaves.count--);
    DIFFERS(b->leaves[1].n++);
    DIFFERS(b->t.texts.count = 0);
    DIFFERS(b->texts[2].len = 1);
    DIFFERS(b->branch.n++);
    DIFFERS(b->other.yes = false);
    DIFFERS(b->unions[1] = b->unions[0]);
    DIFFERS(b->t.unions.count--);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absence_means_the_default),         cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(a_default_record_copies_too),       cmocka_unit_test(without_memory_there_is_no_copy),
        cmocka_unit_test(a_difference_in_any_field_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
