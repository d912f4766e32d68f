#include "schemas/webhook/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"
#include "schemas/event/json.h"
#include "schemas/webhook/webhook_inside.h"

struct hf_secrets {
    char *path;
    bool credential;
    pthread_mutex_t lock; /* of what follows */
    json_t *webhooks;     /* id -> {secrets, headers, url} */
    struct stat seen;
    bool there;
};

/* ---- reading ----------------------------------------------------------------------------------------------- */
static hf_code check_mode(const hf_secrets *s, const struct stat *st, hf_err *reterr) {
    if (!S_ISREG(st->st_mode))
        return hf_fail(reterr, HF_E_PERMISSION, "%s is no regular file", s->path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return hf_fail(reterr, HF_E_PERMISSION, "%s belongs to uid %u; it must be root's or this program's: chown it",
                       s->path, (unsigned)st->st_uid);
    if (st->st_mode & (s->credential ? 0027 : 0077))
        return hf_fail(reterr, HF_E_PERMISSION, "%s has mode %04o, so others than its owner may use it: chmod 600 it",
                       s->path, (unsigned)(st->st_mode & 07777));
    return HF_OK;
}

static hf_code read_text(const hf_secrets *s, int fd, char *text, size_t *ret_len, hf_err *reterr) {
    size_t len = 0;
    for (ssize_t n; len <= HF_SECRETS_FILE_BYTES; len += (size_t)n) {
        n = read(fd, text + len, HF_SECRETS_FILE_BYTES + 1 - len);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n < 0)
            return hf_fail_errno(reterr, errno, "cannot read %s", s->path);
        else if (n == 0)
            break;
    }
    if (len > HF_SECRETS_FILE_BYTES)
        return hf_fail(reterr, HF_E_LIMIT, "%s is larger than %d bytes", s->path, HF_SECRETS_FILE_BYTES);
    *ret_len = len;
    return HF_OK;
}

static bool texts_only(const json_t *value) {
    const char *name;
    json_t *item;
    size_t i;
    json_array_foreach(value, i, item) {
        if (!json_is_string(item))
            return false;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item) {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

/* Names what is wrong by the endpoint, never by a value. */
static hf_code check_entry(const hf_secrets *s, const char *id, const json_t *entry, hf_err *reterr) {
    const json_t *secrets = json_object_get(entry, "secrets"), *headers = json_object_get(entry, "headers"),
                 *url = json_object_get(entry, "url"), *item;
    const char *name;
    hf_signing_key key;
    size_t i;
    hf_err err = {0};
    if (!json_is_object(entry) || (secrets && !json_is_array(secrets)) || (headers && !json_is_object(headers)) ||
        (url && !json_is_string(url)) || !texts_only(secrets) || !texts_only(headers))
        return hf_fail(reterr, HF_E_PARSE,
                       "%s: webhooks.%.64s must be {secrets: [texts], headers: {name: text}, url: text}", s->path, id);
    if (json_array_size(secrets) > HF_SIGNING_KEYS_MAX || json_object_size(headers) > HF_WEBHOOK_HEADERS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "%s: webhooks.%.64s has more than %d secrets or %d headers", s->path, id,
                       HF_SIGNING_KEYS_MAX, HF_WEBHOOK_HEADERS_MAX);
    json_array_foreach(secrets, i, item) {
        if (hf_signing_key_parse((hf_str){json_string_value(item), (uint32_t)json_string_length(item)}, &key, &err))
            return hf_fail(reterr, HF_E_INVALID, "%s: webhooks.%.64s.secrets[%zu]: %s", s->path, id, i, err.detail);
        hf_signing_key_wipe(&key);
    }
    json_object_foreach((json_t *)(uintptr_t)headers, name, item) {
        const char *fault = hf_webhook_header_fault(hf_str_of(name));
        if (!fault)
            fault = hf_webhook_value_fault((hf_str){json_string_value(item), (uint32_t)json_string_length(item)});
        if (fault)
            return hf_fail(reterr, HF_E_INVALID, "%s: webhooks.%.64s: a header %s", s->path, id, fault);
    }
    return HF_OK;
}

static hf_code parse(const hf_secrets *s, hf_str text, json_t **ret, hf_err *reterr) {
    const char *id;
    json_t *entry, *root = hf_yaml_parse(text, HF_SECRETS_FILE_BYTES, reterr);
    if (!root)
        return hf_context(reterr, "%s", s->path), reterr ? reterr->code : HF_E_PARSE;
    json_t *webhooks = json_object_get(root, "webhooks");
    hf_code code = HF_OK;
    if (!json_is_null(root) &&
        (!json_is_object(root) || (webhooks && !json_is_object(webhooks) && !json_is_null(webhooks))))
        code = hf_fail(reterr, HF_E_PARSE, "%s: must be a map with `webhooks:`, a map of endpoints' ids", s->path);
    else if (json_object_size(webhooks) > HF_SECRETS_MAX)
        code = hf_fail(reterr, HF_E_LIMIT, "%s: more than %d endpoints", s->path, HF_SECRETS_MAX);
    json_object_foreach(webhooks, id, entry)
        code = code ? code : check_entry(s, id, entry, reterr);
    if (!code && !(*ret = json_is_object(webhooks) ? json_incref(webhooks) : json_object()))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "%s: no memory", s->path);
    json_decref(root);
    return code;
}

static hf_code read_file(const hf_secrets *s, struct stat *ret_stat, bool *ret_there, json_t **ret, hf_err *reterr) {
    hf_auto_fd int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *ret_there = fd >= 0;
    if (fd < 0 && errno != ENOENT)
        return hf_fail_errno(reterr, errno, "cannot open %s", s->path);
    if (fd < 0) {
        *ret = json_object();
        return *ret ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "%s: no memory", s->path);
    }
    if (fstat(fd, ret_stat) != 0)
        return hf_fail_errno(reterr, errno, "%s", s->path);
    hf_code code = check_mode(s, ret_stat, reterr);
    char *text = code ? NULL : hf_alloc(HF_SECRETS_FILE_BYTES + 1);
    size_t len = 0;
    if (!code && !text)
        code = hf_fail(reterr, HF_E_NO_MEMORY, "%s: no memory", s->path);
    if (!code)
        code = read_text(s, fd, text, &len, reterr);
    if (!code)
        code = parse(s, (hf_str){text, (uint32_t)len}, ret, reterr);
    if (text)
        OPENSSL_cleanse(text, len);
    free(text);
    return code;
}

static hf_code take_in(hf_secrets *s, hf_err *reterr) {
    struct stat st = {0};
    bool there;
    json_t *webhooks = NULL;
    hf_code code = read_file(s, &st, &there, &webhooks, reterr);
    if (code)
        return code;
    json_decref(s->webhooks);
    s->webhooks = webhooks;
    s->seen = st;
    s->there = there;
    return HF_OK;
}

static bool is_other(const hf_secrets *s) {
    struct stat st;
    bool there = stat(s->path, &st) == 0;
    return there != s->there ||
           (there && (st.st_ino != s->seen.st_ino || st.st_size != s->seen.st_size || st.st_mode != s->seen.st_mode ||
                      st.st_mtim.tv_sec != s->seen.st_mtim.tv_sec || st.st_mtim.tv_nsec != s->seen.st_mtim.tv_nsec ||
                      st.st_ctim.tv_sec != s->seen.st_ctim.tv_sec || st.st_ctim.tv_nsec != s->seen.st_ctim.tv_nsec));
}

hf_code hf_secrets_refresh(hf_secrets *s, bool *ret_changed, hf_err *reterr) {
    hf_code code = HF_OK;
    pthread_mutex_lock(&s->lock);
    bool other = is_other(s);
    if (other)
        code = take_in(s, reterr);
    pthread_mutex_unlock(&s->lock);
    if (ret_changed)
        *ret_changed = other && code == HF_OK;
    return code;
}

/* ---- opening ----------------------------------------------------------------------------------------------- */
static char *credential_path(void) {
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[PATH_MAX];
    if (!dir || snprintf(path, sizeof path, "%s/webhooks", dir) >= (int)sizeof path || access(path, F_OK) != 0)
        return NULL;
    return hf_strndup(path, strlen(path));
}

hf_code hf_secrets_open(const char *path, hf_secrets **ret, hf_err *reterr) {
    hf_secrets *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the secrets of webhooks");
    pthread_mutex_init(&s->lock, NULL);
    s->credential = !path || !*path;
    s->path = s->credential ? credential_path() : hf_strndup(path, strlen(path));
    if (!s->path) {
        bool none = s->credential;
        hf_secrets_close(s);
        *ret = NULL;
        return none ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the secrets of webhooks");
    }
    hf_code code = take_in(s, reterr);
    if (code)
        hf_secrets_close(s);
    else
        *ret = s;
    return code;
}

void hf_secrets_close(hf_secrets *s) {
    if (!s)
        return;
    json_decref(s->webhooks);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

bool hf_secrets_writable(const hf_secrets *s) { return s && !s->credential; }
const char *hf_secrets_path(const hf_secrets *s) { return s->path; }

/* ---- finding ----------------------------------------------------------------------------------------------- */
static hf_str copy(const json_t *value, hf_arena *arena, bool *ret_all) {
    if (!value)
        return HF_STR_NONE;
    hf_str kept = hf_arena_str(arena, (hf_str){json_string_value(value), (uint32_t)json_string_length(value)});
    *ret_all &= kept.p != NULL || kept.len == 0;
    return kept;
}

static bool copy_entry(const json_t *entry, hf_arena *arena, hf_webhook_secret *ret) {
    const char *name;
    json_t *item;
    size_t i;
    bool all = true;
    *ret = (hf_webhook_secret){.url = copy(json_object_get(entry, "url"), arena, &all)};
    json_array_foreach(json_object_get(entry, "secrets"), i, item) {
        ret->secrets[ret->secret_count++] = copy(item, arena, &all);
    }
    json_object_foreach(json_object_get(entry, "headers"), name, item) {
        hf_str kept = hf_arena_str(arena, hf_str_of(name));
        all &= kept.p != NULL;
        ret->headers[ret->header_count++] = (hf_webhook_header){kept, copy(item, arena, &all)};
    }
    return all;
}

bool hf_secrets_find(hf_secrets *s, hf_str id, hf_arena *arena, hf_webhook_secret *ret) {
    char key[HF_ID_MAX_BYTES + 1];
    if (!s || !hf_id_valid(id))
        return false;
    snprintf(key, sizeof key, "%.*s", HF_STR_ARG(id));
    pthread_mutex_lock(&s->lock);
    const json_t *entry = json_object_get(s->webhooks, key);
    bool found = entry && copy_entry(entry, arena, ret);
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* ---- writing ----------------------------------------------------------------------------------------------- */
static json_t *entry_json(const hf_webhook_secret *secret) {
    json_t *o = json_object(), *secrets = json_array(), *headers = json_object();
    for (uint32_t i = 0; i < secret->secret_count; i++)
        json_array_append_new(secrets, json_stringn(secret->secrets[i].p, secret->secrets[i].len));
    for (uint32_t i = 0; i < secret->header_count; i++) {
        char name[HF_WEBHOOK_HEADER_NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", HF_STR_ARG(secret->headers[i].name));
        hf_str value = secret->headers[i].value;
        json_object_set_new(headers, name, json_stringn(value.p ? value.p : "", value.len));
    }
    json_object_set_new(o, "secrets", secrets);
    json_object_set_new(o, "headers", headers);
    if (secret->url.len)
        json_object_set_new(o, "url", json_stringn(secret->url.p, secret->url.len));
    bool whole = o && secrets && headers && json_array_size(secrets) == secret->secret_count &&
                 json_object_size(headers) == secret->header_count;
    if (!whole)
        json_decref(o);
    return whole ? o : NULL;
}

static hf_code write_all(int fd, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, text + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return HF_E_IO;
        at += (size_t)n;
    }
    return HF_OK;
}

static void sync_folder(const char *path) {
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    hf_auto_fd int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        fsync(fd);
}

/* What a link points to is replaced, not the link. */
static hf_code write_file(const hf_secrets *s, const char *text, hf_err *reterr) {
    char real[PATH_MAX], aside[PATH_MAX + 16];
    if (!realpath(s->path, real))
        snprintf(real, sizeof real, "%s", s->path);
    snprintf(aside, sizeof aside, "%s.new", real);
    unlink(aside);
    hf_auto_fd int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "cannot write %s", aside);
    if (fchmod(fd, 0600) != 0 || write_all(fd, text, strlen(text)) || fsync(fd) != 0 || rename(aside, real) != 0) {
        hf_code code = hf_fail_errno(reterr, errno, "cannot write %s", real);
        unlink(aside);
        return code;
    }
    sync_folder(real);
    return HF_OK;
}

static hf_code write_down(hf_secrets *s, const char *id, json_t *entry, hf_err *reterr) {
    json_t *root = json_pack("{s:i, s:O}", "version", 1, "webhooks", s->webhooks);
    json_t *webhooks = root ? json_copy(s->webhooks) : NULL;
    char *text = NULL;
    if (webhooks && (entry ? json_object_set(webhooks, id, entry) == 0 : (json_object_del(webhooks, id), true)) &&
        json_object_set(root, "webhooks", webhooks) == 0)
        text = json_dumps(root, JSON_INDENT(2));
    hf_code code = !text ? hf_fail(reterr, HF_E_NO_MEMORY, "the secrets of webhooks")
                   : json_object_size(webhooks) > HF_SECRETS_MAX || strlen(text) > HF_SECRETS_FILE_BYTES
                       ? hf_fail(reterr, HF_E_LIMIT, "%s holds at most %d endpoints and %d bytes", s->path,
                                 HF_SECRETS_MAX, HF_SECRETS_FILE_BYTES)
                       : write_file(s, text, reterr);
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
    json_decref(webhooks);
    json_decref(root);
    return code;
}

static hf_code lock_file(const hf_secrets *s, int *ret, hf_err *reterr) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s.lock", s->path) >= (int)sizeof path)
        return hf_fail(reterr, HF_E_LIMIT, "%s: the path is too long", s->path);
    *ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret < 0)
        return hf_fail_errno(reterr, errno, "cannot open %s", path);
    while (flock(*ret, LOCK_EX) != 0)
        if (errno != EINTR)
            return hf_fail_errno(reterr, errno, "cannot lock %s", path);
    return HF_OK;
}

static hf_code put_locked(hf_secrets *s, const char *id, json_t *entry, hf_err *reterr) {
    hf_auto_fd int lock = -1;
    hf_code code = lock_file(s, &lock, reterr);
    if (!code)
        code = take_in(s, reterr);
    if (!code && !entry && !json_object_get(s->webhooks, id))
        return HF_OK;
    if (!code)
        code = write_down(s, id, entry, reterr);
    return code ? code : take_in(s, reterr);
}

hf_code hf_secrets_put(hf_secrets *s, hf_str id, const hf_webhook_secret *secret, hf_err *reterr) {
    char key[HF_ID_MAX_BYTES + 1];
    bool empty = !secret || !hf_webhook_has_secret(secret);
    if (!hf_secrets_writable(s))
        return hf_fail(
            reterr, HF_E_UNSUPPORTED,
            "%s: secrets of webhooks cannot be stored; set webhook.secrets_file to a file that this program may write",
            s ? s->path : "webhook.secrets_file is not set");
    if (!hf_id_valid(id))
        return hf_fail(reterr, HF_E_INVALID, "no endpoint has such an id");
    snprintf(key, sizeof key, "%.*s", HF_STR_ARG(id));
    json_t *entry = empty ? NULL : entry_json(secret);
    if (!empty && !entry)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the secrets of webhooks");
    pthread_mutex_lock(&s->lock);
    hf_code code = put_locked(s, key, entry, reterr);
    pthread_mutex_unlock(&s->lock);
    json_decref(entry);
    return code;
}
