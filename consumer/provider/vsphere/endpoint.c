#include "consumer/provider/vsphere/endpoint.h"

#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { SECOND = 1000, HOUR = 3600 * 1000 };

typedef struct reading {
    const char *name;
    const json_t *json;
    hf_endpoint *to;
    hf_err *err;
} reading;

static hf_code bad(const reading *r, const char *member, const char *remedy) {
    return hf_fail(r->err, HF_E_CONFIG, "endpoints.%s.%s: %s", r->name, member, remedy);
}

/* ---- members by kind ---------------------------------------------------------------------------------------- */
static hf_code take_text(const reading *r, const char *member, char *to, size_t size) {
    const json_t *value = json_object_get(r->json, member);
    char remedy[80];
    if (!value)
        return HF_OK;
    snprintf(remedy, sizeof remedy, "must be a text of 1 to %zu bytes without control characters", size - 1);
    size_t len = json_string_length(value);
    const char *text = json_string_value(value);
    if (!text || len == 0 || len >= size || strlen(text) != len)
        return bad(r, member, remedy);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return bad(r, member, remedy);
    memcpy(to, text, len + 1);
    return HF_OK;
}

static hf_code take_number(const reading *r, const char *member, int32_t least, int32_t most, int32_t *to) {
    const json_t *value = json_object_get(r->json, member);
    char remedy[80];
    if (!value)
        return HF_OK;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < least || n > most) {
        snprintf(remedy, sizeof remedy, "must be a number from %" PRId32 " to %" PRId32, least, most);
        return bad(r, member, remedy);
    }
    *to = (int32_t)n;
    return HF_OK;
}

static hf_code take_duration(const reading *r, const char *member, int64_t least_ms, int64_t most_ms, int64_t *to) {
    const json_t *value = json_object_get(r->json, member);
    char remedy[96];
    int64_t ms = 0;
    if (!value)
        return HF_OK;
    if (!json_is_string(value) || !hf_duration_parse(hf_str_of(json_string_value(value)), &ms) || ms < least_ms ||
        ms > most_ms) {
        snprintf(remedy, sizeof remedy, "must be a duration such as 30s, from %" PRId64 "ms to %" PRId64 "s", least_ms,
                 most_ms / SECOND);
        return bad(r, member, remedy);
    }
    *to = ms;
    return HF_OK;
}

/* ---- the URL ------------------------------------------------------------------------------------------------------ */
/* curl's own parser: what it takes here is what it will connect to. */
static hf_code split_url(const reading *r, CURLU *u, const char *text) {
    hf_endpoint *e = r->to;
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *user = NULL, *query = NULL, *fragment = NULL;
    bool good = !curl_url_set(u, CURLUPART_URL, text, 0) && !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
                !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
                !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
                !curl_url_get(u, CURLUPART_PATH, &path, 0) && strcmp(scheme, "https") == 0;
    curl_url_get(u, CURLUPART_USER, &user, 0);
    curl_url_get(u, CURLUPART_QUERY, &query, 0);
    curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0);
    good = good && !user && !query && !fragment;
    if (good) {
        size_t n = strlen(host);
        bool v6 = host[0] == '[';
        e->port = (uint16_t)strtoul(port, NULL, 10);
        const char *where = strcmp(path, "/") == 0 ? "/sdk" : path;
        good = snprintf(e->host, sizeof e->host, "%.*s", (int)(v6 ? n - 2 : n), host + v6) < (int)sizeof e->host &&
               snprintf(e->authority, sizeof e->authority, "%s:%u", host, e->port) < (int)sizeof e->authority &&
               snprintf(e->url, sizeof e->url, "https://%s%s", e->authority, where) < (int)sizeof e->url;
    }
    curl_free(scheme), curl_free(host), curl_free(port), curl_free(path);
    curl_free(user), curl_free(query), curl_free(fragment);
    return good ? HF_OK : bad(r, "url", "must be https://HOST[:PORT][/sdk], without user, query or fragment");
}

static hf_code take_url(const reading *r) {
    char text[sizeof r->to->url] = "";
    hf_code code = take_text(r, "url", text, sizeof text - 16);
    if (code)
        return code;
    if (!*text)
        return bad(r, "url", "is missing: give https://HOST/sdk of the vCenter or ESX host");
    CURLU *u = curl_url();
    code = u ? split_url(r, u, text) : hf_fail(r->err, HF_E_NO_MEMORY, "endpoint %s", r->name);
    curl_url_cleanup(u);
    return code;
}

/* ---- secrets and trust ------------------------------------------------------------------------------------------------ */
static hf_code take_secret(const reading *r) {
    static const struct {
        const char *member;
        hf_secret_from from;
        bool token;
    } places[] = {{"password_file", HF_SECRET_FILE, false},
                  {"password_env", HF_SECRET_ENV, false},
                  {"credential", HF_SECRET_CREDENTIAL, false},
                  {"token_file", HF_SECRET_FILE, true}};
    hf_endpoint *e = r->to;
    int given = 0;
    hf_code code = take_text(r, "username", e->username, sizeof e->username);
    for (size_t i = 0; !code && i < HF_ARRAY_LEN(places); i++) {
        if (!json_object_get(r->json, places[i].member))
            continue;
        if (given++)
            return bad(r, places[i].member, "give one of password_file, password_env, credential and token_file");
        e->secret_from = places[i].from;
        e->token = places[i].token;
        code = take_text(r, places[i].member, e->secret_at, sizeof e->secret_at);
        if (!code && e->secret_from == HF_SECRET_FILE && e->secret_at[0] != '/')
            code = bad(r, places[i].member, "must be an absolute path");
        if (!code && e->secret_from == HF_SECRET_CREDENTIAL && strchr(e->secret_at, '/'))
            code = bad(r, places[i].member, "must be the name of a systemd credential, not a path");
    }
    if (!code && !given)
        code = bad(r, "password_file", "is missing: give password_file, password_env, credential or token_file");
    if (!code && !e->token && !e->username[0])
        code = bad(r, "username", "is missing");
    return code;
}

static hf_code take_trust(const reading *r) {
    hf_tls_trust *t = &r->to->tls;
    const json_t *insecure = json_object_get(r->json, "insecure");
    char pin[HF_TLS_PIN_TEXT + 1] = "";
    hf_code code = take_text(r, "ca_file", t->ca_file, sizeof t->ca_file);
    if (!code)
        code = take_text(r, "thumbprint", pin, sizeof pin);
    if (code)
        return code;
    if (insecure && !json_is_boolean(insecure))
        return bad(r, "insecure", "must be true or false");
    t->insecure = json_is_true(insecure);
    if ((t->ca_file[0] != 0) + (*pin != 0) + t->insecure > 1)
        return bad(r, t->insecure ? "insecure" : "thumbprint", "give one of ca_file, thumbprint and insecure");
    if (t->ca_file[0] && t->ca_file[0] != '/')
        return bad(r, "ca_file", "must be an absolute path");
    if (*pin && (!hf_tls_pin_parse(hf_str_of(pin), t->pin, &t->pin_len) || t->pin_len != 32))
        return bad(
            r, "thumbprint",
            "must be the SHA-256 of the server's certificate, 32 bytes in hex; `hyperctl endpoint check` shows it");
    return HF_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------- */
static hf_code check_members(const reading *r) {
    static const char *const known[] = {"provider",     "url",        "username",        "password_file",
                                        "password_env", "credential", "token_file",      "ca_file",
                                        "thumbprint",   "insecure",   "max_disks",       "max_downloads",
                                        "page_size",    "quiesce",    "connect_timeout", "call_timeout",
                                        "lease_wait",   "task_wait",  "stall_timeout",   "lease_keepalive"};
    const char *key;
    json_t *value;
    union {
        const json_t *given;
        json_t *walk; /* jansson's iteration wants it not const; it only reads */
    } o = {.given = r->json};
    json_object_foreach(o.walk, key, value) {
        bool found = false;
        for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
            found |= strcmp(key, known[i]) == 0;
        if (!found && (strcmp(key, "password") == 0 || strcmp(key, "token") == 0))
            return bad(r, key,
                       "secrets do not stand in the configuration: give password_file, password_env or credential");
        if (!found)
            return bad(
                r, key,
                "is not known; there are provider, url, username, password_file, password_env, credential, "
                "token_file, ca_file, thumbprint, insecure, quiesce, max_disks, max_downloads, page_size, connect_timeout, "
                "call_timeout, lease_wait, task_wait, stall_timeout, lease_keepalive");
    }
    return HF_OK;
}

static hf_code take_provider(const reading *r) {
    char provider[32] = "";
    hf_code code = take_text(r, "provider", provider, sizeof provider);
    if (code || strcmp(provider, "vsphere") == 0)
        return code;
    return bad(r, "provider",
               *provider ? "is not known: vsphere is the one with endpoints" : "is missing: give vsphere");
}

static hf_code take_quiesce(const reading *r) {
    static const char *const words[] = {"preferred", "required", "never"};
    char word[16] = "preferred";
    hf_code code = take_text(r, "quiesce", word, sizeof word);
    for (size_t i = 0; !code && i < HF_ARRAY_LEN(words); i++)
        if (strcmp(word, words[i]) == 0) {
            r->to->quiesce = (hf_quiesce)i;
            return HF_OK;
        }
    return code ? code : bad(r, "quiesce", "must be preferred, required or never");
}

static hf_code take_limits(const reading *r) {
    hf_endpoint *e = r->to;
    e->connect_timeout_ms = 10 * SECOND;
    e->call_timeout_ms = 120 * SECOND;
    e->lease_wait_ms = 300 * SECOND;
    e->task_wait_ms = 900 * SECOND;
    e->stall_timeout_ms = 60 * SECOND;
    e->keepalive_ms = 10 * SECOND;
    e->max_disks = HF_ENDPOINT_DISKS_MAX;
    e->max_downloads = 12;
    e->page_size = 100;
    hf_code code = take_duration(r, "connect_timeout", 100, 300 * SECOND, &e->connect_timeout_ms);
    if (!code)
        code = take_duration(r, "call_timeout", SECOND, HOUR, &e->call_timeout_ms);
    if (!code)
        code = take_duration(r, "lease_wait", SECOND, HOUR, &e->lease_wait_ms);
    if (!code)
        code = take_duration(r, "task_wait", SECOND, 24 * (int64_t)HOUR, &e->task_wait_ms);
    if (!code)
        code = take_duration(r, "stall_timeout", SECOND, HOUR, &e->stall_timeout_ms);
    if (!code)
        code = take_duration(r, "lease_keepalive", 100, 60 * SECOND, &e->keepalive_ms);
    if (!code)
        code = take_number(r, "max_disks", 1, HF_ENDPOINT_DISKS_MAX, &e->max_disks);
    if (!code)
        code = take_number(r, "max_downloads", 1, HF_ENDPOINT_DOWNLOADS_MAX, &e->max_downloads);
    return code ? code : take_number(r, "page_size", 1, HF_ENDPOINT_PAGE_MAX, &e->page_size);
}

static hf_code read_endpoint(const char *name, const json_t *json, hf_endpoint *ret, hf_err *reterr) {
    *ret = (hf_endpoint){0};
    const reading r = {name, json, ret, reterr};
    if (!hf_id_valid(hf_str_of(name)))
        return hf_fail(reterr, HF_E_CONFIG, "endpoints.%.140s: a name has 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -", name,
                       HF_ID_MAX_BYTES);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    if (!json_is_object(json))
        return hf_fail(reterr, HF_E_CONFIG, "endpoints.%s: must be {provider: vsphere, url: https://…, username: …}",
                       name);
    static hf_code (*const steps[])(const reading *) = {check_members, take_provider, take_url,   take_secret,
                                                        take_trust,    take_quiesce,  take_limits};
    hf_code code = HF_OK;
    for (size_t i = 0; !code && i < HF_ARRAY_LEN(steps); i++)
        code = steps[i](&r);
    return code;
}

static hf_code not_found(const json_t *all, hf_str name, hf_err *reterr) {
    char names[256] = "";
    size_t n = 0;
    const char *key;
    json_t *value;
    union {
        const json_t *given;
        json_t *walk;
    } o = {.given = all};
    json_object_foreach(o.walk, key, value) {
        if (n + strlen(key) + 3 < sizeof names)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", key);
    }
    return hf_fail(reterr, HF_E_NOT_FOUND, "endpoint \"%.*s\" is not in this worker's configuration; %s%s",
                   HF_STR_ARG(name), n ? "there are: " : "it has none: add it to `endpoints`", names);
}

hf_code hf_endpoint_find(const hf_config *config, hf_str name, hf_endpoint *ret, hf_err *reterr) {
    const json_t *all = hf_config_json(config, HF_C_ENDPOINTS);
    char key[HF_ID_MAX_BYTES + 1];
    if (name.len == 0)
        return hf_fail(reterr, HF_E_INVALID, "the job names no endpoint: set \"endpoint\" to one of the configuration");
    if (name.len > HF_ID_MAX_BYTES)
        return hf_fail(reterr, HF_E_INVALID, "an endpoint's name has at most %d bytes", HF_ID_MAX_BYTES);
    memcpy(key, name.p, name.len);
    key[name.len] = 0;
    const json_t *json = json_object_get(all, key);
    return json ? read_endpoint(key, json, ret, reterr) : not_found(all, name, reterr);
}

hf_code hf_endpoints_check(const hf_config *config, hf_err *reterr) {
    union {
        const json_t *given;
        json_t *walk;
    } o = {.given = hf_config_json(config, HF_C_ENDPOINTS)};
    if (o.given && !json_is_object(o.given))
        return hf_fail(reterr, HF_E_CONFIG, "endpoints: must be a section of names, each {provider: vsphere, url: …}");
    const char *name;
    json_t *json;
    hf_endpoint endpoint;
    hf_code code = HF_OK;
    json_object_foreach(o.walk, name, json)
        if (!code)
            code = read_endpoint(name, json, &endpoint, reterr);
    return code;
}
