#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"

static bool is_one_of(hf_str s, const char *a, const char *b, const char *c) {
    return hf_str_eqz(s, a) || hf_str_eqz(s, b) || hf_str_eqz(s, c);
}

bool hf_yaml_is_null(const hf_yaml_node *node) {
    return node->kind == HF_YAML_SCALAR && node->plain &&
           (node->text.len == 0 || hf_str_eqz(node->text, "~") || is_one_of(node->text, "null", "Null", "NULL"));
}

static json_t *fail_node(const hf_yaml_node *node, hf_err *reterr, hf_code code, const char *what) {
    hf_fail(reterr, code, "line %u column %u: %s", node->line, node->column, what);
    return NULL;
}

static json_t *or_no_memory(json_t *value, hf_err *reterr) {
    if (!value)
        hf_fail(reterr, HF_E_NO_MEMORY, "no memory for a value read from YAML");
    return value;
}

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ ; 0 when it is not an integer, else its base. */
static int integer_base(hf_str s) {
    static const char *const digits[] = {"0123456789", "01234567", "0123456789abcdefABCDEF"};
    int which = 0;
    uint32_t at = 0;
    if (s.len > 2 && s.p[0] == '0' && (s.p[1] == 'o' || s.p[1] == 'x')) {
        which = s.p[1] == 'o' ? 1 : 2;
        at = 2;
    } else if (s.len > 1 && (s.p[0] == '-' || s.p[0] == '+')) {
        at = 1;
    }
    if (at == s.len || strspn(s.p + at, digits[which]) != s.len - at)
        return 0;
    return which == 0 ? 10 : which == 1 ? 8 : 16;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ (\.[0-9]*)? ) ([eE][-+]?[0-9]+)? */
static bool is_float(hf_str s) {
    const char *p = s.p;
    if (*p == '-' || *p == '+')
        p++;
    size_t before = strspn(p, "0123456789"), after = 0;
    p += before;
    if (*p == '.') {
        after = strspn(p + 1, "0123456789");
        p += 1 + after;
    }
    if (before + after == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+')
            p++;
        size_t exponent = strspn(p, "0123456789");
        if (exponent == 0)
            return false;
        p += exponent;
    }
    return p == s.p + s.len;
}

static bool is_infinite(hf_str s) {
    if (s.len > 1 && (s.p[0] == '-' || s.p[0] == '+'))
        s = (hf_str){s.p + 1, s.len - 1};
    return is_one_of(s, ".inf", ".Inf", ".INF") || is_one_of(s, ".nan", ".NaN", ".NAN");
}

static json_t *number_json(const hf_yaml_node *node, int base, hf_err *reterr) {
    errno = 0;
    if (base) {
        long long value = strtoll(node->text.p + (base == 10 ? 0 : 2), NULL, base);
        if (errno)
            return fail_node(node, reterr, HF_E_LIMIT, "the number does not fit 64 bits: quote it if it is a text");
        return or_no_memory(json_integer(value), reterr);
    }
    double value = strtod(node->text.p, NULL);
    if (!isfinite(value))
        return fail_node(node, reterr, HF_E_LIMIT, "the number is too large: quote it if it is a text");
    return or_no_memory(json_real(value), reterr);
}

static json_t *scalar_json(const hf_yaml_node *node, hf_err *reterr) {
    hf_str s = node->text;
    if (node->plain) {
        if (hf_yaml_is_null(node))
            return json_null();
        if (is_one_of(s, "true", "True", "TRUE"))
            return json_true();
        if (is_one_of(s, "false", "False", "FALSE"))
            return json_false();
        if (is_infinite(s))
            return fail_node(node, reterr, HF_E_INVALID, "infinity and NaN are not numbers here");
        int base = integer_base(s);
        if (base || is_float(s))
            return number_json(node, base, reterr);
    }
    /* libyaml has checked the encoding: what is left to fail is memory. */
    return or_no_memory(json_stringn(s.p, s.len), reterr);
}

static json_t *list_json(const hf_yaml_node *node, hf_err *reterr) {
    json_t *list = or_no_memory(json_array(), reterr);
    for (const hf_yaml_node *item = node->first; list && item; item = item->next) {
        json_t *value = hf_yaml_json(item, reterr);
        if (!value || json_array_append_new(list, value) != 0) {
            if (value)
                or_no_memory(NULL, reterr);
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *map_json(const hf_yaml_node *node, hf_err *reterr) {
    json_t *map = or_no_memory(json_object(), reterr);
    for (const hf_yaml_node *key = node->first; map && key; key = key->next->next) {
        json_t *value = NULL;
        if (json_object_get(map, key->text.p))
            hf_fail(reterr, HF_E_PARSE, "line %u column %u: the key \"%.100s\" is given twice", key->line, key->column,
                    key->text.p);
        else
            value = hf_yaml_json(key->next, reterr);
        if (!value || json_object_set_new(map, key->text.p, value) != 0) {
            if (value)
                or_no_memory(NULL, reterr);
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

json_t *hf_yaml_json(const hf_yaml_node *node, hf_err *reterr) {
    switch (node->kind) {
    case HF_YAML_SCALAR: return scalar_json(node, reterr);
    case HF_YAML_LIST: return list_json(node, reterr);
    case HF_YAML_MAP: return map_json(node, reterr);
    }
    return NULL;
}

static bool too_deep(const json_t *value, int depth) {
    const char *key;
    json_t *item;
    size_t i;
    if (depth >= HF_YAML_DEPTH)
        return json_is_array(value) || json_is_object(value);
    if (json_is_array(value)) {
        json_array_foreach(value, i, item)
            if (too_deep(item, depth + 1))
                return true;
    } else if (json_is_object(value)) {
        /* The macro wants a pointer that is not const; nothing is changed through it. */
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
            if (too_deep(item, depth + 1))
                return true;
    }
    return false;
}

/* JSON proper is read by jansson: libyaml refuses \ud83d\ude00 and reads six times slower. */
static json_t *json_proper(hf_str text) {
    uint32_t at = 0;
    while (at < text.len && isspace((unsigned char)text.p[at]))
        at++;
    if (at == text.len || (text.p[at] != '{' && text.p[at] != '['))
        return NULL;
    json_t *value = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (value && too_deep(value, 0)) {
        json_decref(value);
        return NULL; /* libyaml's reader says where */
    }
    return value;
}

json_t *hf_yaml_parse(hf_str text, size_t max_bytes, hf_err *reterr) {
    if (text.len > max_bytes) {
        hf_fail(reterr, HF_E_LIMIT, "the text has %u bytes; at most %zu are read", text.len, max_bytes);
        return NULL;
    }
    json_t *value = json_proper(text);
    if (value)
        return value;
    hf_arena arena;
    /* A node is 64 bytes and stands for one byte at the least ("[a,b]"). */
    hf_arena_init(&arena, (size_t)text.len * 96 + 4096);
    const hf_yaml_node *root;
    if (hf_yaml_tree(text, &arena, &root, reterr) == HF_OK)
        value = hf_yaml_json(root, reterr);
    hf_arena_done(&arena);
    return value;
}
