/* Configuration from the environment and from --set. */
#include <ctype.h>
#include <stdio.h>

#include "schemas/base/config_table.h"
#include "schemas/base/mem.h"

/* worker.slots -> HF_WORKER_SLOTS */
static void env_name(const char *key, char *text) {
    char *to = text + sprintf(text, "HF_");
    for (; *key; key++)
        *to++ = *key == '.' ? '_' : (char)toupper((unsigned char)*key);
    *to = 0;
}

static hf_code put_flow(hf_config *c, const char *prefix, hf_config_key key, hf_str text, const char *source,
                        hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, (size_t)text.len * 96 + 4096);
    const hf_yaml_node *root;
    hf_code code = hf_yaml_tree(text, &arena, &root, reterr);
    json_t *json = NULL;
    if (code == HF_OK && key == HF_CONFIG_COUNT)
        code = hf_config_put_tree(c, prefix, root, source, reterr);
    else if (code == HF_OK && (json = hf_yaml_json(root, reterr)))
        code = hf_config_put_json(c, key, json, source, reterr);
    else
        code = hf_config_fail_yaml(reterr);
    hf_arena_done(&arena);
    return code;
}

/* Does name begin like the variables of a section of ours? */
static bool in_our_section(const char *name) {
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        char known[HF_CONFIG_KEY_BYTES];
        const char *dot = strchr(hf_config_rows[i].key, '.');
        if (!dot)
            continue;
        env_name(hf_config_rows[i].key, known);
        size_t len = strlen("HF_") + (size_t)(dot - hf_config_rows[i].key) + 1;
        if (strncmp(name, known, len) == 0)
            return true;
    }
    return false;
}

static hf_code put_unknown_variable(hf_config *c, const char *name, hf_str value, hf_err *reterr) {
    static const char kafka[] = "HF_KAFKA_";
    if (strncmp(name, kafka, strlen(kafka)) == 0) {
        char property[HF_CONFIG_KEY_BYTES];
        snprintf(property, sizeof property, "%s", name + strlen(kafka));
        for (char *p = property; *p; p++)
            *p = *p == '_' ? '.' : (char)tolower((unsigned char)*p);
        return hf_config_put_kafka(c, property, value, name, reterr);
    }
    unsigned d;
    hf_config_key near = hf_config_nearest(name, env_name, &d);
    if (d > 2 && !in_our_section(name))
        return HF_OK;
    char known[HF_CONFIG_KEY_BYTES];
    env_name(hf_config_rows[near].key, known);
    return hf_fail(reterr, HF_E_CONFIG, "unknown environment variable %.100s; did you mean %s?", name, known);
}

static hf_code put_variable(hf_config *c, const char *name, hf_str value, hf_err *reterr) {
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        char known[HF_CONFIG_KEY_BYTES];
        env_name(hf_config_rows[i].key, known);
        if (strcmp(name, known) != 0)
            continue;
        hf_code code = hf_config_rows[i].kind == HF_CK_JSON
                           ? put_flow(c, "", (hf_config_key)i, value, name, reterr)
                           : hf_config_put_text(c, (hf_config_key)i, value, name, reterr);
        if (code && reterr)
            hf_context(reterr, "environment variable %s", name);
        return code;
    }
    return put_unknown_variable(c, name, value, reterr);
}

hf_code hf_config_load_env(hf_config *c, char *const *envp, hf_err *reterr) {
    for (; envp && *envp; envp++) {
        const char *equals = strchr(*envp, '=');
        char name[HF_CONFIG_KEY_BYTES];
        if (!equals || strncmp(*envp, "HF_", 3) != 0 || (size_t)(equals - *envp) >= sizeof name)
            continue;
        memcpy(name, *envp, (size_t)(equals - *envp));
        name[equals - *envp] = 0;
        hf_code code = put_variable(c, name, hf_str_of(equals + 1), reterr);
        if (code)
            return code;
    }
    return HF_OK;
}

/* A value in quotes is YAML's, so that --set worker.id='"a b"' can say what a shell cannot. */
static hf_code set_text(hf_config *c, const char *name, hf_config_key key, hf_str value, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, (size_t)value.len * 96 + 4096);
    const hf_yaml_node *root;
    bool quoted = value.len > 1 && (value.p[0] == '"' || value.p[0] == '\'') && value.p[value.len - 1] == value.p[0];
    if (quoted && hf_yaml_tree(value, &arena, &root, NULL) == HF_OK && root->kind == HF_YAML_SCALAR)
        value = root->text;
    hf_code code = key == HF_CONFIG_COUNT ? hf_config_put_kafka(c, name + strlen("kafka."), value, "--set", reterr)
                                          : hf_config_put_text(c, key, value, "--set", reterr);
    hf_arena_done(&arena);
    return code;
}

static hf_code set_pair(hf_config *c, const char *name, hf_str value, hf_err *reterr) {
    hf_config_key key = hf_config_find(hf_str_of(name));
    if (key != HF_CONFIG_COUNT && hf_config_rows[key].kind == HF_CK_JSON)
        return put_flow(c, "", key, value, "--set", reterr);
    if (key == HF_CONFIG_COUNT && hf_config_is_section(hf_str_of(name)))
        return put_flow(c, name, HF_CONFIG_COUNT, value, "--set", reterr);
    if (key == HF_CONFIG_COUNT && !hf_str_starts(hf_str_of(name), HF_STR("kafka.")))
        return hf_config_fail_unknown(reterr, name);
    return set_text(c, name, key, value, reterr);
}

hf_code hf_config_set(hf_config *c, const char *assignment, hf_err *reterr) {
    const char *equals = strchr(assignment, '=');
    char name[HF_CONFIG_KEY_BYTES];
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof name)
        return hf_fail(reterr, HF_E_CONFIG, "--set needs key=value, as in --set worker.slots=4");
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = 0;
    hf_code code = set_pair(c, name, hf_str_of(equals + 1), reterr);
    if (code && reterr)
        hf_context(reterr, "--set %s", name);
    return code;
}
