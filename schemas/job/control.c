#include "schemas/job/control.h"

#include <stdio.h>

#include "schemas/job/fields.h"

static const char *const scope_symbols[] = {"fleet", "operation", "worker", "provider", "intake", NULL};
static const char *const action_symbols[] = {"resume", "pause", "quiet", "stop", "drain", NULL};
_Static_assert(sizeof scope_symbols / sizeof *scope_symbols == HF_CONTROL_SCOPES + 1, "a name for each scope");
_Static_assert(sizeof action_symbols / sizeof *action_symbols == HF_CONTROL_ACTIONS + 1, "a name for each action");

static const hf_field fields[] = {
    HF_STR_FIELD(hf_control, key, HF_CONTROL_KEY_BYTES), HF_ENUM_FIELD(hf_control, scope, scope_symbols),
    HF_ENUM_FIELD(hf_control, action, action_symbols),   HF_STR_FIELD(hf_control, by, HF_MAX_TEXT),
    HF_STR_FIELD(hf_control, reason, HF_MAX_TEXT),       HF_TIME_FIELD(hf_control, at),
    HF_STR_FIELD(hf_control, incarnation, 64),
};
HF_TYPE(HF_TYPE_CONTROL, "Control", hf_control, fields);

const char *hf_control_scope_name(int32_t scope) {
    return scope >= 0 && scope < HF_CONTROL_SCOPES ? scope_symbols[scope] : NULL;
}
const char *hf_control_action_name(int32_t action) {
    return action >= 0 && action < HF_CONTROL_ACTIONS ? action_symbols[action] : NULL;
}

static bool named(int32_t scope) {
    return scope == HF_SCOPE_OPERATION || scope == HF_SCOPE_PROVIDER || scope == HF_SCOPE_WORKER;
}

bool hf_control_applies(int32_t scope, int32_t action) {
    if (action == HF_CONTROL_RESUME)
        return true;
    return scope == HF_SCOPE_WORKER ? action != HF_CONTROL_PAUSE : action == HF_CONTROL_PAUSE;
}

bool hf_control_key(int32_t scope, hf_str name, char ret[HF_CONTROL_KEY_BYTES]) {
    const char *word = hf_control_scope_name(scope);
    if (!word || (named(scope) && !hf_id_valid(name)))
        return false;
    if (named(scope))
        snprintf(ret, HF_CONTROL_KEY_BYTES, "%s/%.*s", word, HF_STR_ARG(name));
    else
        snprintf(ret, HF_CONTROL_KEY_BYTES, "%s", word);
    return true;
}

/* The scope whose word stands before a slash, and what stands behind it. */
static bool split(hf_str key, int32_t *ret_scope, hf_str *ret_name) {
    for (int32_t scope = 0; scope < HF_CONTROL_SCOPES; scope++) {
        hf_str word = hf_str_of(scope_symbols[scope]);
        if (!named(scope) || key.len <= word.len + 1 || key.p[word.len] != '/' || !hf_str_starts(key, word))
            continue;
        *ret_scope = scope;
        *ret_name = (hf_str){key.p + word.len + 1, key.len - word.len - 1};
        return hf_id_valid(*ret_name);
    }
    return false;
}

bool hf_control_target(hf_str key, const hf_control *c, int32_t *ret_scope, hf_str *ret_name) {
    *ret_scope = c->scope;
    *ret_name = HF_STR_NONE;
    if (c->scope == HF_SCOPE_FLEET || c->scope == HF_SCOPE_INTAKE)
        return true;
    if (split(key, ret_scope, ret_name))
        return true;
    *ret_name = key;
    return named(c->scope) && hf_id_valid(key);
}

unsigned hf_control_scopes_of(hf_str key, hf_str *ret_name) {
    int32_t scope = 0;
    *ret_name = HF_STR_NONE;
    if (split(key, &scope, ret_name))
        return 1u << scope;
    if (hf_str_eqz(key, "intake"))
        return 1u << HF_SCOPE_INTAKE;
    if (!hf_id_valid(key))
        return 0;
    *ret_name = key;
    return 1u << HF_SCOPE_OPERATION | 1u << HF_SCOPE_WORKER | (hf_str_eqz(key, "fleet") ? 1u << HF_SCOPE_FLEET : 0);
}
