#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "schemas/base/config_table.h"
#include "schemas/base/mem.h"

/* One walk over one text. `seen` holds every path given so far, so that a key given twice is
 * found whether it was written nested, dotted or both. */
typedef struct walk {
    hf_config *config;
    const char *source;
    json_t *seen;
    hf_err *reterr;
} walk;

static hf_code put_entry(walk *w, const char *path, const hf_yaml_node *value);

/* Has an inner entry said where it is already? */
static bool is_placed(const walk *w) {
    size_t len = strlen(w->source);
    return strncmp(w->reterr->detail, w->source, len) == 0 && w->reterr->detail[len] == ':';
}

static hf_code put_map(walk *w, const char *prefix, const hf_yaml_node *map) {
    for (const hf_yaml_node *key = map->first; key; key = key->next->next) {
        char path[HF_CONFIG_KEY_BYTES];
        int len = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", key->text.p);
        hf_code code;
        if (len < 0 || (size_t)len >= sizeof path)
            code = hf_fail(w->reterr, HF_E_CONFIG, "a key longer than %zu bytes", sizeof path - 1);
        else if (json_object_get(w->seen, path))
            code = hf_fail(w->reterr, HF_E_CONFIG, "%s is given twice; remove one", path);
        else if (json_object_set_new(w->seen, path, json_true()) != 0)
            code = hf_fail(w->reterr, HF_E_NO_MEMORY, "no memory for the configuration");
        else
            code = put_entry(w, path, key->next);
        if (code == HF_OK)
            continue;
        if (w->reterr && !is_placed(w))
            hf_context(w->reterr, "%s:%u:%u", w->source, key->line, key->column);
        return code;
    }
    return HF_OK;
}

hf_code hf_config_fail_yaml(hf_err *reterr) {
    if (!reterr)
        return HF_E_CONFIG;
    if (reterr->code != HF_E_NO_MEMORY)
        reterr->code = HF_E_CONFIG;
    return reterr->code;
}

static hf_code put_json_entry(walk *w, hf_config_key key, const hf_yaml_node *value, const char *source) {
    json_t *json = hf_yaml_json(value, w->reterr);
    if (!json) {
        hf_context(w->reterr, "%s", hf_config_rows[key].key);
        return hf_config_fail_yaml(w->reterr);
    }
    return hf_config_put_json(w->config, key, json, source, w->reterr);
}

static hf_code put_scalar_entry(walk *w, const char *path, hf_config_key key, const hf_yaml_node *value,
                                const char *source) {
    if (value->kind != HF_YAML_SCALAR)
        return hf_fail(w->reterr, HF_E_CONFIG, "%s takes one value, not a %s", path,
                       value->kind == HF_YAML_MAP ? "section" : "list");
    if (hf_yaml_is_null(value))
        return hf_fail(w->reterr, HF_E_CONFIG, "%s has no value; give one, or remove the key (\"\" is the empty text)",
                       path);
    if (key != HF_CONFIG_COUNT)
        return hf_config_put_text(w->config, key, value->text, source, w->reterr);
    return hf_config_put_kafka(w->config, path + strlen("kafka."), value->text, source, w->reterr);
}

static hf_code put_entry(walk *w, const char *path, const hf_yaml_node *value) {
    char source[HF_CONFIG_KEY_BYTES];
    snprintf(source, sizeof source, "%s:%u", w->source, value->line);
    hf_str name = hf_str_of(path);
    hf_config_key key = hf_config_find(name);
    if (key != HF_CONFIG_COUNT && hf_config_rows[key].kind == HF_CK_JSON)
        return put_json_entry(w, key, value, source);
    if (key != HF_CONFIG_COUNT)
        return put_scalar_entry(w, path, key, value, source);
    bool kafka = hf_str_starts(name, HF_STR("kafka."));
    if (!kafka && !hf_config_is_section(name))
        return hf_config_fail_unknown(w->reterr, path);
    if (value->kind == HF_YAML_MAP)
        return put_map(w, path, value);
    if (kafka && !hf_config_is_section(name))
        return put_scalar_entry(w, path, HF_CONFIG_COUNT, value, source);
    if (hf_yaml_is_null(value))
        return HF_OK; /* a section whose lines are all commented out */
    return hf_fail(w->reterr, HF_E_CONFIG, "%s is a section: write its keys under it", path);
}

hf_code hf_config_put_tree(hf_config *c, const char *prefix, const hf_yaml_node *root, const char *source,
                           hf_err *reterr) {
    if (hf_yaml_is_null(root))
        return HF_OK;
    if (root->kind != HF_YAML_MAP)
        return hf_fail(reterr, HF_E_CONFIG, "%s:%u:%u: expected \"key: value\" lines", source, root->line,
                       root->column);
    walk w = {c, source, json_object(), reterr};
    if (!w.seen)
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the configuration");
    hf_code code = put_map(&w, prefix, root);
    json_decref(w.seen);
    return code;
}

hf_code hf_config_load_yaml(hf_config *c, hf_str text, const char *source, hf_err *reterr) {
    if (text.len > HF_CONFIG_FILE_BYTES)
        return hf_fail(reterr, HF_E_CONFIG, "%s has %u bytes; at most %d are read", source, text.len,
                       HF_CONFIG_FILE_BYTES);
    hf_arena arena;
    hf_arena_init(&arena, (size_t)text.len * 96 + 4096);
    const hf_yaml_node *root = NULL;
    hf_code code = hf_yaml_tree(text, &arena, &root, reterr);
    if (code == HF_OK) {
        code = hf_config_put_tree(c, "", root, source, reterr);
    } else {
        hf_context(reterr, "%s", source);
        code = hf_config_fail_yaml(reterr);
    }
    hf_arena_done(&arena);
    return code;
}

hf_code hf_config_load_file(hf_config *c, const char *path, hf_err *reterr) {
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "cannot open the configuration %s", path);
    hf_auto_free char *text = hf_alloc(HF_CONFIG_FILE_BYTES + 1);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the configuration");
    size_t len = 0;
    while (len <= HF_CONFIG_FILE_BYTES) {
        ssize_t n = read(fd, text + len, HF_CONFIG_FILE_BYTES + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_fail_errno(reterr, errno, "cannot read the configuration %s", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return hf_config_load_yaml(c, (hf_str){text, (uint32_t)len}, path, reterr);
}
