#include "producer/ctl/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"

enum { ANSWER_MAX = 256 << 20, URL_MAX_BYTES = 1024, TOKEN_ROOM = 512 };

struct hf_http {
    CURL *curl;
    struct curl_slist *headers;
    char base[URL_MAX_BYTES], hint[256];
    char error[CURL_ERROR_SIZE];
    hf_buf answer;
};

static size_t on_bytes(char *bytes, size_t one, size_t count, void *ctx) {
    return hf_buf_put(ctx, bytes, one * count) ? one * count : 0;
}

static void set_options(hf_http *h) {
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->error);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &h->answer);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "hyperctl/" HF_VERSION);
}

/* For the audit of a sidecar that asks nobody who they are; one that does takes the token's name. */
static void say_who(hf_http *h) {
    char header[128];
    const struct passwd *user = getpwuid(getuid());
    if (!user || snprintf(header, sizeof header, "X-Requested-By: %s", user->pw_name) >= (int)sizeof header)
        return;
    struct curl_slist *more = curl_slist_append(h->headers, header);
    h->headers = more ? more : h->headers;
}

hf_code hf_http_new(const char *base_url, const char *hint, hf_http **ret, hf_err *reterr) {
    if (strlen(base_url) >= URL_MAX_BYTES / 2)
        return hf_fail(reterr, HF_E_LIMIT, "the sidecar's URL is longer than %d bytes", URL_MAX_BYTES / 2);
    hf_http *h = hf_alloc(sizeof *h);
    if (!h)
        return hf_fail(reterr, HF_E_NO_MEMORY, "HTTP client");
    snprintf(h->base, sizeof h->base, "%s", base_url);
    snprintf(h->hint, sizeof h->hint, "%s", hint);
    hf_buf_init(&h->answer, ANSWER_MAX);
    h->curl = curl_easy_init();
    h->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (h->headers)
        say_who(h);
    if (!h->curl || !h->headers) {
        hf_http_free(h);
        return hf_fail(reterr, HF_E_NO_MEMORY, "HTTP client");
    }
    set_options(h);
    *ret = h;
    return HF_OK;
}

/* The file's one line. */
static hf_code read_token(const char *path, char token[TOKEN_ROOM], hf_err *reterr) {
    struct stat st;
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "http.client.token_file %s", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return hf_fail(reterr, HF_E_CONFIG, "http.client.token_file %s: others can read it; chmod 0600 it", path);
    ssize_t n = read(fd, token, TOKEN_ROOM - 1);
    token[n > 0 ? n : 0] = 0;
    token[strcspn(token, "\r\n")] = 0;
    if (!*token || token[strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=")])
        return hf_fail(reterr, HF_E_CONFIG, "http.client.token_file %s: it must hold one token and nothing else", path);
    return HF_OK;
}

hf_code hf_http_identify(hf_http *h, const hf_config *config, hf_err *reterr) {
    const char *path = hf_config_str(config, HF_C_HTTP_CLIENT_TOKEN), *ca = hf_config_str(config, HF_C_HTTP_CLIENT_CA);
    char token[TOKEN_ROOM] = "", header[TOKEN_ROOM + 32];
    if (*ca)
        curl_easy_setopt(h->curl, CURLOPT_CAINFO, ca);
    hf_code code = *path ? read_token(path, token, reterr) : HF_OK;
    if (code || !*token)
        return code;
    snprintf(header, sizeof header, "Authorization: Bearer %s", token);
    struct curl_slist *more = curl_slist_append(h->headers, header);
    explicit_bzero(token, sizeof token);
    explicit_bzero(header, sizeof header);
    if (!more)
        return hf_fail(reterr, HF_E_NO_MEMORY, "HTTP client");
    h->headers = more;
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers);
    return HF_OK;
}

void hf_http_free(hf_http *http) {
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->headers);
    hf_buf_done(&http->answer);
    free(http);
}

hf_code hf_http_code_of(long status) {
    switch (status) {
    case 400: return HF_E_INVALID;
    case 401: return HF_E_UNAUTHORIZED;
    case 403: return HF_E_PERMISSION;
    case 404: return HF_E_NOT_FOUND;
    case 409: return HF_E_CONFLICT;
    case 413: return HF_E_LIMIT;
    case 422: return HF_E_UNSUPPORTED;
    case 429:
    case 503: return HF_E_BUSY;
    case 501: return HF_E_NOT_BUILT;
    case 504: return HF_E_TIMEOUT;
    case 507: return HF_E_STORE_FULL;
    default: return status < 500 ? HF_E_INVALID : HF_E_PROTOCOL;
    }
}

static hf_code code_of_curl(CURLcode c) {
    if (c == CURLE_WRITE_ERROR)
        return HF_E_LIMIT;
    if (c == CURLE_URL_MALFORMAT || c == CURLE_UNSUPPORTED_PROTOCOL)
        return HF_E_USAGE;
    return c == CURLE_OUT_OF_MEMORY ? HF_E_NO_MEMORY : HF_E_UNREACHABLE;
}

/* What a refused request says: the sidecar's own words, with the error's wire name where it gave one. */
static hf_code refused(const json_t *answer, const char *method, const char *path, long status, hf_err *reterr) {
    const char *words = json_string_value(json_object_get(answer, "error"));
    if (!words) /* problem details */
        words = json_string_value(json_object_get(answer, "detail"));
    if (!words) /* a submission of which nothing was taken */
        words = json_string_value(json_array_get(json_object_get(answer, "errors"), 0));
    const char *name = json_string_value(json_object_get(answer, "code"));
    hf_code code = hf_http_code_of(status);
    if (name && hf_code_from_name(name, strlen(name)) != HF_E_INTERNAL)
        code = hf_code_from_name(name, strlen(name));
    if (words)
        return hf_fail(reterr, code, "%s", words);
    return hf_fail(reterr, code, "%s %.200s: the sidecar answered with status %ld", method, path, status);
}

static hf_code perform(hf_http *h, const char *method, const char *path, const char *body, long *ret_status,
                       hf_err *reterr) {
    char url[URL_MAX_BYTES * 2];
    snprintf(url, sizeof url, "%s%.*s", h->base, URL_MAX_BYTES, path);
    hf_buf_clear(&h->answer);
    h->error[0] = 0;
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    if (body) {
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    } else {
        curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode c = curl_easy_perform(h->curl);
    if (c != CURLE_OK)
        return hf_fail(reterr, code_of_curl(c), "%s %.300s: %s. %s", method, url,
                       *h->error ? h->error : curl_easy_strerror(c), h->hint);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, ret_status);
    return HF_OK;
}

hf_code hf_http_call(hf_http *h, const char *method, const char *path, const json_t *body, json_t **ret_answer,
                     hf_err *reterr) {
    hf_auto_free char *text = NULL;
    if (body && !(text = json_dumps(body, JSON_COMPACT)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "%s %s: request", method, path);
    long status = 0;
    hf_code code = perform(h, method, path, text, &status, reterr);
    if (code)
        return code;
    json_error_t why;
    json_t *answer = json_loadb((const char *)h->answer.data, h->answer.len, JSON_REJECT_DUPLICATES, &why);
    if (status >= 400) {
        code = refused(answer, method, path, status, reterr);
        json_decref(answer);
        return code;
    }
    if (!json_is_object(answer)) {
        json_decref(answer);
        return hf_fail(reterr, HF_E_PROTOCOL,
                       "%s %.200s: the answer is no JSON object (%s). Is a Hyperfleet sidecar listening at %s?", method,
                       path, why.text, h->base);
    }
    *ret_answer = answer;
    return HF_OK;
}
