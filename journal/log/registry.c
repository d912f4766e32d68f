#include "journal/log/registry.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"

enum { CONNECT_MS = 3000, URL_MAX = 2048, NAME_MAX_BYTES = 256 };

struct hf_registry {
    char *url;   /* without a slash at its end; may hold a password */
    char *shown; /* without user and password */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_begin(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* ---- opening --------------------------------------------------------------------------------------- */
static hf_code take_url(hf_registry *r, CURLU *parts, const char *url, hf_err *reterr) {
    char *scheme = NULL, *shown = NULL;
    bool ok = !curl_url_set(parts, CURLUPART_URL, url, 0) && !curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
              !curl_url_set(parts, CURLUPART_USER, NULL, 0) && !curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0) &&
              !curl_url_get(parts, CURLUPART_URL, &shown, 0);
    size_t len = strlen(url);
    while (len && url[len - 1] == '/')
        len--;
    if (ok) {
        r->url = hf_strndup(url, len);
        r->shown = hf_strndup(shown, strlen(shown));
    }
    curl_free(scheme);
    curl_free(shown);
    if (!ok)
        return hf_fail(reterr, HF_E_CONFIG, "schema_registry.url: an http or https URL is needed");
    return r->url && r->shown ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "schema registry");
}

hf_code hf_registry_open(const char *url, hf_registry **ret, hf_err *reterr) {
    pthread_once(&curl_once, curl_begin);
    hf_registry *r = hf_alloc(sizeof *r);
    CURLU *parts = r ? curl_url() : NULL;
    hf_code code = parts ? take_url(r, parts, url, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "schema registry");
    curl_url_cleanup(parts);
    if (code) {
        hf_registry_close(r);
        return code;
    }
    *ret = r;
    return HF_OK;
}

void hf_registry_close(hf_registry *r) {
    if (!r)
        return;
    free(r->url);
    free(r->shown);
    free(r);
}

/* ---- one exchange ------------------------------------------------------------------------------------ */
static size_t take_body(char *bytes, size_t size, size_t count, void *ctx) {
    return hf_buf_put(ctx, bytes, size * count) ? size * count : 0;
}

static struct curl_slist *set_up(CURL *curl, const char *url, const char *body, hf_buf *answer) {
    struct curl_slist *headers =
        curl_slist_append(NULL, "Accept: application/vnd.schemaregistry.v1+json, application/json");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)HF_REGISTRY_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (body) {
        headers = curl_slist_append(headers, "Content-Type: application/vnd.schemaregistry.v1+json");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    return headers;
}

static hf_code exchange(const hf_registry *r, const char *url, const char *body, hf_buf *answer, long *ret_status,
                        hf_err *reterr) {
    CURL *curl = curl_easy_init();
    if (!curl)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schema registry");
    struct curl_slist *headers = set_up(curl, url, body, answer);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (result == CURLE_OK)
        return HF_OK;
    if (answer->failed)
        return hf_fail(reterr, HF_E_LIMIT, "schema registry %s: an answer of more than %d bytes", r->shown,
                       HF_REGISTRY_BODY_MAX);
    return hf_fail(reterr, HF_E_UNREACHABLE, "schema registry %s: %s", r->shown, curl_easy_strerror(result));
}

/* What the registry says in its own words: {"error_code": 42201, "message": "..."}. */
static hf_code refused(const hf_registry *r, long status, const json_t *answer, const char *what, hf_err *reterr) {
    const char *message = json_string_value(json_object_get(answer, "message"));
    hf_code code = status == 401 || status == 403   ? HF_E_UNAUTHORIZED
                   : status == 404                  ? HF_E_SCHEMA_UNKNOWN
                   : status == 409 || status == 422 ? HF_E_INVALID
                                                    : HF_E_PROTOCOL;
    return hf_fail(reterr, code, "schema registry %s: %s: HTTP %ld%s%.200s", r->shown, what, status,
                   message ? ": " : "", message ? message : "");
}

/* *ret_answer is the JSON object of a 200; the caller drops it. */
static hf_code call(const hf_registry *r, const char *url, const char *body, const char *what, json_t **ret_answer,
                    hf_err *reterr) {
    hf_buf answer;
    long status = 0;
    hf_buf_init(&answer, HF_REGISTRY_BODY_MAX);
    hf_code code = exchange(r, url, body, &answer, &status, reterr);
    json_t *json = code || !answer.len ? NULL : json_loadb((const char *)answer.data, answer.len, 0, NULL);
    hf_buf_done(&answer);
    if (!code && status != 200)
        code = refused(r, status, json, what, reterr);
    else if (!code && !json_is_object(json))
        code =
            hf_fail(reterr, HF_E_PROTOCOL, "schema registry %s: %s: the answer is not a JSON object", r->shown, what);
    if (code)
        json_decref(json);
    else
        *ret_answer = json;
    return code;
}

/* ---- the two calls --------------------------------------------------------------------------------------- */
static hf_code post_schema(const hf_registry *r, const char *topic, const char *body, int32_t *ret_id, hf_err *reterr) {
    char url[URL_MAX], what[NAME_MAX_BYTES + 32];
    json_t *answer;
    if ((size_t)snprintf(url, sizeof url, "%s/subjects/%s-value/versions", r->url, topic) >= sizeof url)
        return hf_fail(reterr, HF_E_LIMIT, "schema registry: the URL has more than %d bytes", URL_MAX);
    snprintf(what, sizeof what, "registering %.*s-value", NAME_MAX_BYTES, topic);
    hf_code code = call(r, url, body, what, &answer, reterr);
    if (code)
        return code;
    json_int_t id = json_integer_value(json_object_get(answer, "id"));
    json_decref(answer);
    if (id <= 0 || id > INT32_MAX)
        return hf_fail(reterr, HF_E_PROTOCOL, "schema registry %s: %s: the answer has no id", r->shown, what);
    *ret_id = (int32_t)id;
    return HF_OK;
}

hf_code hf_registry_register(hf_registry *r, const char *topic, const char *schema_text, int32_t *ret_id,
                             hf_err *reterr) {
    json_t *request = json_pack("{s:s}", "schema", schema_text);
    char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    hf_code code = body ? post_schema(r, topic, body, ret_id, reterr)
                        : hf_fail(reterr, HF_E_NO_MEMORY, "schema registry: a schema for %s", topic);
    free(body);
    return code;
}

hf_code hf_registry_lookup(void *registry, int32_t id, char **ret_text, hf_err *reterr) {
    const hf_registry *r = registry;
    char url[URL_MAX], what[64];
    json_t *answer;
    if ((size_t)snprintf(url, sizeof url, "%s/schemas/ids/%d", r->url, id) >= sizeof url)
        return hf_fail(reterr, HF_E_LIMIT, "schema registry: the URL has more than %d bytes", URL_MAX);
    snprintf(what, sizeof what, "schema %d", id);
    hf_code code = call(r, url, NULL, what, &answer, reterr);
    if (code)
        return code;
    const char *text = json_string_value(json_object_get(answer, "schema"));
    const char *type = json_string_value(json_object_get(answer, "schemaType"));
    char *copy = NULL;
    if (type && strcmp(type, "AVRO") != 0)
        code = hf_fail(reterr, HF_E_UNSUPPORTED, "schema registry %s: %s is of type %.40s, not AVRO", r->shown, what,
                       type);
    else if (!text)
        code = hf_fail(reterr, HF_E_PROTOCOL, "schema registry %s: %s: the answer has no schema", r->shown, what);
    else if (!(copy = hf_strndup(text, strlen(text))))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "schema registry: %s", what);
    json_decref(answer);
    if (!code)
        *ret_text = copy;
    return code;
}
