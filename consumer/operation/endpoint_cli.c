#include "consumer/operation/endpoint_cli.h"

#include <stdio.h>
#include <string.h>

#include "consumer/provider/vsphere/check.h"

static const char *const STATUS[] = {"ok", "warn", "FAILED"};

static void print_step(void *ctx, const char *step, hf_check_status status, const char *text) {
    (void)ctx;
    printf("%-7s %-14s %s\n", STATUS[status], step, text);
    fflush(stdout);
}

static void add_step(void *ctx, const char *step, hf_check_status status, const char *text) {
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:s}", "check", step, "status",
                                         status == HF_CHECK_FAILED ? "failed" : STATUS[status], "text", text));
}

static hf_code print_json(json_t *json, hf_err *reterr) {
    bool good = json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0 && putchar('\n') >= 0;
    json_decref(json);
    return good ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the report");
}

static hf_code check_json(const hf_config *config, const char *name, hf_err *reterr) {
    json_t *steps = json_array();
    if (!steps)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    hf_code code = hf_endpoint_check(config, hf_str_of(name), add_step, steps, reterr);
    hf_code printed = print_json(json_pack("{s:s, s:b, s:s, s:o}", "endpoint", name, "usable", code == HF_OK, "code",
                                           hf_code_name(code), "checks", steps),
                                 code ? NULL : reterr);
    return code ? code : printed;
}

static const char *trust_of(const hf_endpoint *e) {
    return e->tls.pin_len ? "thumbprint" : e->tls.insecure ? "insecure" : e->tls.ca_file[0] ? "ca_file" : "system";
}

static hf_code list(const hf_config *config, bool json, hf_err *reterr) {
    hf_code code = hf_endpoints_check(config, reterr);
    if (code)
        return code;
    json_t *all = json_array(), *value;
    const char *name;
    union {
        const json_t *given;
        json_t *walk; /* jansson's iteration wants it not const; it only reads */
    } o = {.given = hf_config_json(config, HF_C_ENDPOINTS)};
    json_object_foreach(o.walk, name, value) {
        hf_endpoint e;
        if (!code && !(code = hf_endpoint_find(config, hf_str_of(name), &e, reterr)) && !json)
            printf("%-20s %-10s %s  user %s  trust %s\n", name, "vsphere", e.url, e.token ? "(token)" : e.username,
                   trust_of(&e));
        if (!code && json)
            json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "provider", "vsphere",
                                                 "url", e.url, "username", e.username, "trust", trust_of(&e)));
    }
    if (!code && json)
        return print_json(all, reterr);
    json_decref(all);
    return code;
}

hf_code hf_endpoint_command(const hf_config *config, const char *verb, const char *name, bool json, hf_err *reterr) {
    if (strcmp(verb, "list") == 0 && !name)
        return list(config, json, reterr);
    if (strcmp(verb, "check") != 0 || !name)
        return hf_fail(reterr, HF_E_USAGE, "give `endpoint check NAME` or `endpoint list`");
    return json ? check_json(config, name, reterr)
                : hf_endpoint_check(config, hf_str_of(name), print_step, NULL, reterr);
}
