#include "schemas/job/secret.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

/* Compared with the end of a member's name, lower-case and without separators. */
static const char *const names[] = {"password",   "passwd",      "passphrase",   "pwd",       "secret",
                                    "token",      "apikey",      "privatekey",   "accesskey", "secretkey",
                                    "credential", "credentials", "authorization"};

static bool is_secret_name(const char *name) {
    char plain[128];
    size_t len = 0, total = strlen(name);
    /* the end decides, so of a very long name only the end is looked at */
    for (const char *p = total >= sizeof plain ? name + total - (sizeof plain - 1) : name; *p; p++)
        if (*p != '_' && *p != '-' && *p != '.' && *p != ' ')
            plain[len++] = (char)tolower((unsigned char)*p);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (len >= n && memcmp(plain + len - n, names[i], n) == 0)
            return true;
    }
    return false;
}

/* Is `rest`, what follows "://", of the form user:password@host? */
static bool has_userinfo_password(const char *rest, const char *end) {
    const char *colon = NULL, *p = rest;
    for (; p < end && *p != '/' && *p != '?' && *p != '#' && !isspace((unsigned char)*p); p++) {
        if (*p == ':' && !colon)
            colon = p;
        if (*p == '@')
            return colon && p > colon + 1;
    }
    return false;
}

bool hf_secret_in_text(hf_str text) {
    static const char pem[] = "PRIVATE KEY-----";
    if (text.len == 0)
        return false;
    const char *end = text.p + text.len, *at = text.p;
    if (memmem(text.p, text.len, pem, sizeof pem - 1))
        return true;
    while ((at = memmem(at, (size_t)(end - at), "://", 3)) != NULL) {
        at += 3;
        if (has_userinfo_password(at, end))
            return true;
    }
    return false;
}

static bool is_empty(const json_t *json, int depth) {
    const char *name;
    json_t *member;
    size_t i;
    if (depth > MAX_DEPTH)
        return false;
    switch (json_typeof(json)) {
    case JSON_STRING: return json_string_length(json) == 0;
    case JSON_OBJECT:
        json_object_foreach((json_t *)(uintptr_t)json, name, member) {
            if (!is_empty(member, depth + 1))
                return false;
        }
        return true;
    case JSON_ARRAY:
        json_array_foreach(json, i, member) {
            if (!is_empty(member, depth + 1))
                return false;
        }
        return true;
    case JSON_INTEGER:
    case JSON_REAL: return false;
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL: break;
    }
    return true; /* {"token": true} asks for something, it holds nothing */
}

static bool find(const json_t *json, int depth, char *path, size_t used);

static size_t append(char *path, size_t used, const char *format, const char *name, size_t index) {
    size_t room = HF_SECRET_PATH_BYTES - used;
    int n = name ? snprintf(path + used, room, "%s%.100s", format, name) : snprintf(path + used, room, "[%zu]", index);
    size_t end = used + (n > 0 ? (size_t)n : 0);
    return end < HF_SECRET_PATH_BYTES ? end : HF_SECRET_PATH_BYTES - 1;
}

static bool find_in_object(const json_t *json, int depth, char *path, size_t used) {
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)json, name, member) {
        if (hf_secret_in_text(hf_str_of(name)))
            return true;
        size_t end = append(path, used, used ? "." : "", name, 0);
        if (is_secret_name(name) && !is_empty(member, depth + 1))
            return true;
        if (find(member, depth + 1, path, end))
            return true;
        path[used] = 0;
    }
    return false;
}

static bool find_in_array(const json_t *json, int depth, char *path, size_t used) {
    json_t *member;
    size_t i;
    json_array_foreach(json, i, member) {
        size_t end = append(path, used, NULL, NULL, i);
        if (find(member, depth + 1, path, end))
            return true;
        path[used] = 0;
    }
    return false;
}

static bool find(const json_t *json, int depth, char *path, size_t used) {
    if (depth > MAX_DEPTH)
        return true;
    if (json_is_object(json))
        return find_in_object(json, depth, path, used);
    if (json_is_array(json))
        return find_in_array(json, depth, path, used);
    return json_is_string(json) &&
           hf_secret_in_text((hf_str){json_string_value(json), (uint32_t)json_string_length(json)});
}

bool hf_secret_in_json(const json_t *json, char path[HF_SECRET_PATH_BYTES]) {
    path[0] = 0;
    return find(json, 0, path, 0);
}
