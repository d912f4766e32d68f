/* worker.operations: {name: {command: [...], needs: [...], timeout: "60s", environment: {...}}}. */
#include <inttypes.h>

#include "consumer/operation/external_private.h"
#include "schemas/base/mem.h"

static hf_code bad(hf_err *reterr, const char *name, const char *what) {
    return hf_fail(reterr, HF_E_CONFIG, "worker.operations.%s: %s", name, what);
}

static bool strings_only(const json_t *list, size_t least) {
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < least || n > HF_EXTERNAL_ARGS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(json_array_get(list, i)))
            return false;
    return true;
}

static bool is_environment(const json_t *object) {
    const char *key;
    json_t *value;
    if (!json_is_object(object) || json_object_size(object) > HF_EXTERNAL_ARGS_MAX)
        return false;
    union {
        const json_t *given;
        json_t *walk; /* jansson's iteration wants it not const; it only reads */
    } o = {.given = object};
    json_object_foreach(o.walk, key, value)
        if (!json_is_string(value) || strchr(key, '=') || !*key)
            return false;
    return true;
}

static hf_code read_timeout(const json_t *value, const char *name, int64_t *ret_ms, hf_err *reterr) {
    if (!value)
        *ret_ms = 0;
    else if (json_is_integer(value) && json_integer_value(value) > 0 && json_integer_value(value) <= HF_TIMEOUT_MAX_S)
        *ret_ms = json_integer_value(value) * 1000;
    else if (!hf_duration_parse(hf_str_of(json_string_value(value)), ret_ms) || *ret_ms <= 0)
        return bad(reterr, name, "timeout must be a duration such as 60s, or a number of seconds up to 86400");
    return HF_OK;
}

static hf_code read_program(const char *name, const json_t *declared, hf_external *ret, hf_err *reterr) {
    static const char *const known[] = {"command", "needs", "timeout", "environment"};
    const char *key;
    json_t *value;
    union {
        const json_t *given;
        json_t *walk;
    } d = {.given = declared};
    if (!hf_id_valid(hf_str_of(name)))
        return bad(reterr, name, "a name has 1 to 128 of A-Z a-z 0-9 . _ : @ + = ~ -");
    if (hf_operation_find(hf_str_of(name)))
        return bad(reterr, name, "this operation is built in; give the program another name");
    if (!json_is_object(declared))
        return bad(reterr, name, "must be {command: [...], needs: [...], timeout: 60s, environment: {...}}");
    json_object_foreach(d.walk, key, value) {
        bool found = false;
        for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
            found |= strcmp(key, known[i]) == 0;
        if (!found)
            return hf_fail(reterr, HF_E_CONFIG,
                           "worker.operations.%s.%s is not known: there are command, needs, timeout and environment",
                           name, key);
    }
    *ret = (hf_external){.name = name,
                         .command = json_object_get(declared, "command"),
                         .needs = json_object_get(declared, "needs"),
                         .environment = json_object_get(declared, "environment")};
    if (!strings_only(ret->command, 1) || !*json_string_value(json_array_get(ret->command, 0)))
        return bad(reterr, name, "command must be a list of 1 to 64 strings, the program first");
    if (ret->needs && !strings_only(ret->needs, 0))
        return bad(reterr, name, "needs must be a list of capability names");
    if (ret->environment && !is_environment(ret->environment))
        return bad(reterr, name, "environment must be an object of at most 64 strings");
    return read_timeout(json_object_get(declared, "timeout"), name, &ret->timeout_ms, reterr);
}

hf_code hf_external_check(const hf_config *config, hf_err *reterr) {
    const json_t *all = hf_config_json(config, HF_C_WORKER_OPERATIONS);
    if (!all || json_is_null(all))
        return HF_OK;
    if (!json_is_object(all) || json_object_size(all) > HF_EXTERNAL_MAX)
        return hf_fail(reterr, HF_E_CONFIG,
                       "worker.operations must be an object of at most %d programs: {name: {command: [...]}}",
                       HF_EXTERNAL_MAX);
    union {
        const json_t *given;
        json_t *walk;
    } o = {.given = all};
    const char *name;
    json_t *declared;
    hf_external program;
    json_object_foreach(o.walk, name, declared) {
        hf_code rc = read_program(name, declared, &program, reterr);
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}

static const json_t *declared_of(const hf_config *config, hf_str name) {
    char key[HF_ID_MAX_BYTES + 1];
    if (name.len == 0 || name.len > HF_ID_MAX_BYTES)
        return NULL;
    memcpy(key, name.p, name.len);
    key[name.len] = 0;
    return json_object_get(hf_config_json(config, HF_C_WORKER_OPERATIONS), key);
}

bool hf_external_has(const hf_config *config, hf_str name) { return declared_of(config, name) != NULL; }

void hf_external_each(const hf_config *config, void (*each)(void *ctx, const char *name, const json_t *needs),
                      void *ctx) {
    union {
        const json_t *given;
        json_t *walk;
    } o = {.given = hf_config_json(config, HF_C_WORKER_OPERATIONS)};
    const char *name;
    json_t *declared;
    json_object_foreach(o.walk, name, declared)
        each(ctx, name, json_object_get(declared, "needs"));
}

hf_code hf_external_find(const hf_config *config, hf_str name, hf_external *ret, hf_err *reterr) {
    const json_t *declared = declared_of(config, name);
    if (!declared)
        return hf_fail(reterr, HF_E_OPERATION_UNKNOWN, "operation %.*s is not in worker.operations", HF_STR_ARG(name));
    union {
        const json_t *given;
        json_t *walk;
    } o = {.given = hf_config_json(config, HF_C_WORKER_OPERATIONS)};
    const char *key;
    json_t *value;
    json_object_foreach(o.walk, key, value)
        if (value == declared)
            return read_program(key, declared, ret, reterr);
    return hf_fail(reterr, HF_E_INTERNAL, "worker.operations changed while it was read");
}
