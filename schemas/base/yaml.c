#include "schemas/base/yaml.h"

#include <assert.h>
#include <yaml.h>

#include "schemas/base/mem.h"

typedef struct reader {
    yaml_parser_t parser;
    hf_arena *arena;
    hf_err *reterr;
} reader;

static hf_code fail_at(reader *r, yaml_mark_t mark, hf_code code, const char *what) {
    return hf_fail(r->reterr, code, "line %zu column %zu: %s", mark.line + 1, mark.column + 1, what);
}

static hf_code next_event(reader *r, yaml_event_t *ret) {
    if (yaml_parser_parse(&r->parser, ret))
        return HF_OK;
    if (r->parser.error == YAML_MEMORY_ERROR)
        return hf_fail(r->reterr, HF_E_NO_MEMORY, "no memory to read YAML");
    yaml_mark_t mark = r->parser.problem_mark;
    if (r->parser.error == YAML_READER_ERROR)
        return hf_fail(r->reterr, HF_E_PARSE, "byte %zu: %s", r->parser.problem_offset, r->parser.problem);
    return fail_at(r, mark, HF_E_PARSE, r->parser.problem ? r->parser.problem : "not YAML");
}

static hf_code read_node(reader *r, const yaml_event_t *event, int depth, hf_yaml_node **ret);

static hf_yaml_node *new_node(reader *r, hf_yaml_kind kind, yaml_mark_t mark) {
    hf_yaml_node *node = hf_arena_alloc(r->arena, sizeof *node);
    if (!node) {
        hf_fail(r->reterr, HF_E_NO_MEMORY, "no memory to read YAML");
        return NULL;
    }
    node->kind = kind;
    node->line = (uint32_t)mark.line + 1;
    node->column = (uint32_t)mark.column + 1;
    return node;
}

static hf_code check_tag(reader *r, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor)
        return fail_at(r, event->start_mark, HF_E_PARSE, "anchors (&name) are not supported: write the value out");
    if (tag && strcmp((const char *)tag, YAML_STR_TAG) != 0)
        return fail_at(r, event->start_mark, HF_E_PARSE, "tags (!type) are not supported: remove it");
    return HF_OK;
}

static hf_code read_scalar(reader *r, const yaml_event_t *event, hf_yaml_node **ret) {
    hf_code code = check_tag(r, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (code)
        return code;
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, 0, event->data.scalar.length))
        return fail_at(r, event->start_mark, HF_E_PARSE, "a text may not contain a NUL character");
    hf_yaml_node *node = new_node(r, HF_YAML_SCALAR, event->start_mark);
    if (!node)
        return HF_E_NO_MEMORY;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;
    node->text = hf_arena_str(r->arena, (hf_str){value, (uint32_t)event->data.scalar.length});
    if (!node->text.p)
        return hf_fail(r->reterr, HF_E_NO_MEMORY, "no memory to read YAML");
    *ret = node;
    return HF_OK;
}

/* Children up to the end event; for a map every other one is a key. */
static hf_code read_children(reader *r, hf_yaml_node *parent, yaml_event_type_t end, int depth) {
    const hf_yaml_node **link = &parent->first;
    for (unsigned n = 0;; n++) {
        yaml_event_t event;
        hf_code code = next_event(r, &event);
        if (code)
            return code;
        if (event.type == end) {
            yaml_event_delete(&event);
            return HF_OK;
        }
        hf_yaml_node *child = NULL;
        bool is_key = parent->kind == HF_YAML_MAP && n % 2 == 0;
        if (is_key && event.type != YAML_SCALAR_EVENT && event.type != YAML_ALIAS_EVENT)
            code = fail_at(r, event.start_mark, HF_E_PARSE, "a key must be a plain text");
        else
            code = read_node(r, &event, depth + 1, &child);
        yaml_event_delete(&event);
        if (code)
            return code;
        assert(child);
        *link = child;
        link = (const hf_yaml_node **)&child->next;
    }
}

static hf_code read_collection(reader *r, const yaml_event_t *event, int depth, hf_yaml_node **ret) {
    bool map = event->type == YAML_MAPPING_START_EVENT;
    hf_code code = map ? check_tag(r, event, event->data.mapping_start.anchor, event->data.mapping_start.tag)
                       : check_tag(r, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    if (code)
        return code;
    if (depth >= HF_YAML_DEPTH)
        return hf_fail(r->reterr, HF_E_LIMIT, "line %zu column %zu: nested deeper than %d levels",
                       event->start_mark.line + 1, event->start_mark.column + 1, HF_YAML_DEPTH);
    hf_yaml_node *node = new_node(r, map ? HF_YAML_MAP : HF_YAML_LIST, event->start_mark);
    if (!node)
        return HF_E_NO_MEMORY;
    *ret = node;
    return read_children(r, node, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth);
}

static hf_code read_node(reader *r, const yaml_event_t *event, int depth, hf_yaml_node **ret) {
    if (event->type == YAML_ALIAS_EVENT)
        return fail_at(r, event->start_mark, HF_E_PARSE, "aliases (*name) are not supported: write the value out");
    return event->type == YAML_SCALAR_EVENT ? read_scalar(r, event, ret) : read_collection(r, event, depth, ret);
}

/* Reads one event and throws it away; its type and place are told. */
static hf_code skip_event(reader *r, yaml_event_type_t *ret_type, yaml_mark_t *ret_mark) {
    yaml_event_t event;
    hf_code code = next_event(r, &event);
    if (code)
        return code;
    *ret_type = event.type;
    *ret_mark = event.start_mark;
    yaml_event_delete(&event);
    return HF_OK;
}

static hf_code read_document(reader *r, hf_yaml_node **ret) {
    yaml_event_type_t type;
    yaml_mark_t mark = {0};
    hf_code code = skip_event(r, &type, &mark); /* stream start */
    if (!code)
        code = skip_event(r, &type, &mark);
    if (code)
        return code;
    if (type == YAML_STREAM_END_EVENT) {
        *ret = new_node(r, HF_YAML_SCALAR, mark);
        if (!*ret)
            return HF_E_NO_MEMORY;
        (*ret)->plain = true;
        (*ret)->text = HF_STR("");
        return HF_OK;
    }
    yaml_event_t event;
    if ((code = next_event(r, &event)))
        return code;
    code = read_node(r, &event, 0, ret);
    yaml_event_delete(&event);
    if (!code)
        code = skip_event(r, &type, &mark); /* document end */
    if (!code)
        code = skip_event(r, &type, &mark);
    if (!code && type != YAML_STREAM_END_EVENT)
        code = fail_at(r, mark, HF_E_PARSE, "only one document is read: remove what follows \"---\"");
    return code;
}

hf_code hf_yaml_tree(hf_str text, hf_arena *arena, const hf_yaml_node **ret_root, hf_err *reterr) {
    reader r = {.arena = arena, .reterr = reterr};
    hf_yaml_node *root = NULL;
    if (!yaml_parser_initialize(&r.parser))
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory to read YAML");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
    hf_code code = read_document(&r, &root);
    yaml_parser_delete(&r.parser);
    if (!code)
        *ret_root = root;
    return code;
}
