#include "journal/http/access.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <uthash.h>

#include "schemas/base/buf.h"
#include "schemas/base/id.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"

enum { HASH_BYTES = 32, FILE_MAX = 4 << 20, LOOK_EVERY_MS = 1000, SUBJECT_MAX = 512, TOKEN_MAX = 256 };

typedef struct entry {
    hf_identity who;
    uint8_t hash[HASH_BYTES];
    char *subject;      /* of a certificate; NULL: a token */
    int64_t expires_ms; /* 0: never */
} entry;

typedef struct table {
    entry *entries;
    size_t count;
    atomic_uint users; /* the access's own, and each request that is looking */
} table;

typedef struct bucket {
    UT_hash_handle hh;
    double left;
    int64_t at_ms;
    char client[HF_ACCESS_NAME_MAX + 8];
} bucket;

struct hf_access {
    const hf_clock *clock;
    char *path; /* NULL: no checks */
    int64_t rate, burst;
    pthread_mutex_t lock; /* of what follows; nothing is read or logged under it */
    table *table;
    struct timespec mtime;
    ino_t inode;
    int64_t looked_ms;
    bool looking;
    pthread_mutex_t rate_lock;
    bucket *buckets; /* in the order of their last use */
};

static const struct {
    const char *name;
    hf_scope scope;
} scopes[] = {
    {"read", HF_SCOPE_READ}, {"submit", HF_SCOPE_SUBMIT}, {"operate", HF_SCOPE_OPERATE}, {"admin", HF_SCOPE_ADMIN}};

const char *hf_scope_name(hf_scope scope) {
    for (size_t i = 0; i < HF_ARRAY_LEN(scopes); i++)
        if (scopes[i].scope == scope)
            return scopes[i].name;
    return "open";
}

bool hf_scope_parse(hf_str name, hf_scope *ret) {
    for (size_t i = 0; i < HF_ARRAY_LEN(scopes); i++)
        if (hf_str_eqz(name, scopes[i].name)) {
            *ret = scopes[i].scope;
            return true;
        }
    return false;
}

/* ---- hashes ------------------------------------------------------------------------------------------------- */
static bool hash_of(const char *token, size_t len, uint8_t hash[HASH_BYTES]) {
    unsigned n = 0;
    return EVP_Digest(token, len, hash, &n, EVP_sha256(), NULL) == 1 && n == HASH_BYTES;
}

static bool hash_parse(const char *hex, uint8_t hash[HASH_BYTES]) {
    if (!hex || strlen(hex) != (size_t)2 * HASH_BYTES ||
        strspn(hex, "0123456789abcdefABCDEF") != (size_t)2 * HASH_BYTES)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        hash[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

hf_code hf_token_new(char token[HF_TOKEN_BYTES], char hash[HF_TOKEN_HASH_BYTES], hf_err *reterr) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[33] = {0}, sum[HASH_BYTES];
    if (getrandom(random, HASH_BYTES, 0) != HASH_BYTES)
        return hf_fail_errno(reterr, errno, "random bytes");
    size_t n = (size_t)snprintf(token, HF_TOKEN_BYTES, "hft_");
    for (size_t i = 0; i < 43; i++) { /* 6 bits each; the last has 4 */
        size_t bit = i * 6;
        unsigned two = (unsigned)random[bit / 8] << 8 | random[bit / 8 + 1];
        token[n++] = digits[two >> (10 - bit % 8) & 63];
    }
    token[n] = 0;
    if (!hash_of(token, n, sum))
        return hf_fail(reterr, HF_E_INTERNAL, "SHA-256 failed");
    for (size_t i = 0; i < HASH_BYTES; i++)
        snprintf(hash + 2 * i, 3, "%02x", sum[i]);
    return HF_OK;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */
static void table_release(table *t) {
    if (!t || atomic_fetch_sub(&t->users, 1) != 1)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->entries[i].subject);
    OPENSSL_cleanse(t->entries, t->count * sizeof *t->entries);
    free(t->entries);
    free(t);
}

static hf_code read_scopes(const json_t *list, const char *where, unsigned *ret, hf_err *reterr) {
    size_t i;
    const json_t *item;
    hf_scope scope;
    *ret = 0;
    json_array_foreach(list, i, item) {
        if (!json_is_string(item) || !hf_scope_parse(hf_str_of(json_string_value(item)), &scope))
            return hf_fail(reterr, HF_E_CONFIG, "%s: a scope is one of read, submit, operate, admin", where);
        *ret |= scope;
    }
    if (*ret & HF_SCOPE_ADMIN)
        *ret = HF_SCOPES_ALL;
    return *ret ? HF_OK
                : hf_fail(reterr, HF_E_CONFIG, "%s: scopes must list at least one of read, submit, operate, admin",
                          where);
}

static hf_code check_members(const json_t *o, const char *const *known, const char *where, hf_err *reterr) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)o, key, value) {
        bool ok = false;
        for (const char *const *k = known; *k; k++)
            ok |= !strcmp(*k, key);
        if (!ok)
            return hf_fail(reterr, HF_E_CONFIG, "%s: \"%.64s\" is no member of it", where, key);
    }
    return HF_OK;
}

static hf_code read_token(const json_t *o, const char *where, entry *e, hf_err *reterr) {
    static const char *const known[] = {"name", "sha256", "scopes", "expires", NULL};
    const char *name = json_string_value(json_object_get(o, "name"));
    const json_t *expires = json_object_get(o, "expires");
    hf_code code = check_members(o, known, where, reterr);
    if (code != HF_OK)
        return code;
    if (!name || !hf_id_valid(hf_str_of(name)))
        return hf_fail(reterr, HF_E_CONFIG, "%s: name must be 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -", where,
                       HF_ACCESS_NAME_MAX);
    snprintf(e->who.name, sizeof e->who.name, "%s", name);
    if (!hash_parse(json_string_value(json_object_get(o, "sha256")), e->hash))
        return hf_fail(reterr, HF_E_CONFIG,
                       "%s (%s): sha256 must be the 64 hex digits that `hyperjournal token` printed", where, name);
    if (expires && (!json_is_string(expires) || !hf_time_parse(hf_str_of(json_string_value(expires)), &e->expires_ms)))
        return hf_fail(reterr, HF_E_CONFIG, "%s (%s): expires must be a time such as \"2027-01-01T00:00:00Z\"", where,
                       name);
    return read_scopes(json_object_get(o, "scopes"), where, &e->who.scopes, reterr);
}

static hf_code read_certificate(const json_t *o, const char *where, entry *e, hf_err *reterr) {
    static const char *const known[] = {"subject", "name", "scopes", NULL};
    const char *subject = json_string_value(json_object_get(o, "subject"));
    const char *name = json_string_value(json_object_get(o, "name"));
    hf_code code = check_members(o, known, where, reterr);
    if (code != HF_OK)
        return code;
    if (!subject || !*subject || strlen(subject) > SUBJECT_MAX)
        return hf_fail(reterr, HF_E_CONFIG, "%s: subject must be the certificate's subject, such as \"CN=ops\"", where);
    if (name && !hf_id_valid(hf_str_of(name)))
        return hf_fail(reterr, HF_E_CONFIG, "%s: name must be 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -", where,
                       HF_ACCESS_NAME_MAX);
    snprintf(e->who.name, sizeof e->who.name, "%.*s", HF_ACCESS_NAME_MAX, name ? name : subject);
    if (!(e->subject = hf_strndup(subject, strlen(subject))))
        return hf_fail(reterr, HF_E_NO_MEMORY, "%s", where);
    return read_scopes(json_object_get(o, "scopes"), where, &e->who.scopes, reterr);
}

static hf_code read_entries(const json_t *root, const char *path, table *t, hf_err *reterr) {
    static const char *const known[] = {"tokens", "certificates", NULL};
    const json_t *lists[2] = {json_object_get(root, "tokens"), json_object_get(root, "certificates")};
    size_t total = json_array_size(lists[0]) + json_array_size(lists[1]);
    char where[64];
    if (!json_is_object(root) || check_members(root, known, "the file", reterr) != HF_OK ||
        (lists[0] && !json_is_array(lists[0])) || (lists[1] && !json_is_array(lists[1])))
        return hf_fail(reterr, HF_E_CONFIG,
                       "%s: it must have the lists \"tokens\" and \"certificates\", and nothing else", path);
    if (total > HF_ACCESS_ENTRIES_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "%s: %zu entries; at most %d", path, total, HF_ACCESS_ENTRIES_MAX);
    if (!(t->entries = hf_alloc((total + 1) * sizeof *t->entries)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "%s", path);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < json_array_size(lists[k]); i++) {
            entry *e = &t->entries[t->count++];
            snprintf(where, sizeof where, "%s %zu", k ? "certificate" : "token", i + 1);
            hf_code code = k ? read_certificate(json_array_get(lists[k], i), where, e, reterr)
                             : read_token(json_array_get(lists[k], i), where, e, reterr);
            if (code != HF_OK)
                return hf_context(reterr, "%s", path);
        }
    return HF_OK;
}

static hf_code read_text(int fd, const char *path, hf_buf *text, hf_err *reterr) {
    for (;;) {
        uint8_t *to = hf_buf_reserve(text, 65536);
        ssize_t n = to ? read(fd, to, 65536) : 0;
        if (!to)
            return hf_fail(reterr, HF_E_LIMIT, "%s: larger than %d bytes", path, FILE_MAX);
        if (n < 0)
            return hf_fail_errno(reterr, errno, "%s", path);
        if (n == 0)
            return HF_OK;
        text->len += (size_t)n;
    }
}

static hf_code load(const char *path, table **ret, struct stat *ret_st, hf_err *reterr) {
    hf_buf text;
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, ret_st) != 0)
        return hf_fail_errno(reterr, errno, "access.tokens_file %s", path);
    if (!S_ISREG(ret_st->st_mode) || ret_st->st_mode & (S_IWGRP | S_IWOTH))
        return hf_fail(reterr, HF_E_CONFIG,
                       "access.tokens_file %s: it must be a file that only its owner can write (chmod go-w)", path);
    hf_buf_init(&text, FILE_MAX);
    table *t = hf_alloc(sizeof *t);
    hf_code code = t ? read_text(fd, path, &text, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "%s", path);
    json_t *root = code == HF_OK ? hf_yaml_parse(hf_buf_str(&text), FILE_MAX, reterr) : NULL;
    if (t)
        atomic_init(&t->users, 1);
    if (code == HF_OK)
        if (code == HF_OK && !root)
            code = hf_context(reterr, "%s", path);
    if (code == HF_OK)
        code = read_entries(root, path, t, reterr);
    json_decref(root);
    hf_buf_done(&text);
    if (code == HF_OK)
        *ret = t;
    else
        table_release(t);
    return code;
}

static bool changed(const hf_access *a, const struct stat *st) {
    return st->st_ino != a->inode || st->st_mtim.tv_sec != a->mtime.tv_sec || st->st_mtim.tv_nsec != a->mtime.tv_nsec;
}

static void take_over(hf_access *a, table *t, const struct stat *st) {
    pthread_mutex_lock(&a->lock);
    table *old = a->table;
    a->table = t;
    a->mtime = st->st_mtim;
    a->inode = st->st_ino;
    pthread_mutex_unlock(&a->lock);
    table_release(old);
}

/* The thread that finds a second gone looks at the file; the others go on with what there is. */
static void look_again(hf_access *a) {
    int64_t now = hf_mono_ms(a->clock);
    struct stat st;
    hf_err err;
    pthread_mutex_lock(&a->lock);
    bool mine = !a->looking && now - a->looked_ms >= LOOK_EVERY_MS;
    if (mine) {
        a->looking = true;
        a->looked_ms = now;
    }
    pthread_mutex_unlock(&a->lock);
    if (!mine)
        return;
    if (stat(a->path, &st) == 0 && changed(a, &st)) {
        table *t = NULL;
        if (load(a->path, &t, &st, &err) == HF_OK) {
            take_over(a, t, &st);
            HF_LOG(INFO, "access-reloaded", {"file", HF_V_Z(a->path)});
        } else {
            HF_LOG_ERR(WARN, "access-not-reloaded", &err, {"file", HF_V_Z(a->path)});
            pthread_mutex_lock(&a->lock); /* said once, until it changes again */
            a->mtime = st.st_mtim;
            a->inode = st.st_ino;
            pthread_mutex_unlock(&a->lock);
        }
    }
    pthread_mutex_lock(&a->lock);
    a->looking = false;
    pthread_mutex_unlock(&a->lock);
}

/* ---- open and close --------------------------------------------------------------------------------------------- */
hf_code hf_access_open(const hf_config *config, bool loopback, const hf_clock *clock, hf_access **ret, hf_err *reterr) {
    const char *path = hf_config_str(config, HF_C_ACCESS_TOKENS);
    struct stat st;
    if (!*path && !loopback)
        return hf_fail(reterr, HF_E_CONFIG,
                       "http.listen is %s, where others can reach it, and nobody would be asked who they are: set "
                       "access.tokens_file (`hyperjournal token NAME` makes a token), or listen on 127.0.0.1",
                       hf_config_str(config, HF_C_HTTP_LISTEN));
    hf_access *a = hf_alloc(sizeof *a);
    if (!a)
        return hf_fail(reterr, HF_E_NO_MEMORY, "access control");
    a->clock = clock;
    a->rate = hf_config_int(config, HF_C_ACCESS_RATE);
    a->burst = hf_config_int(config, HF_C_ACCESS_BURST);
    pthread_mutex_init(&a->lock, NULL);
    pthread_mutex_init(&a->rate_lock, NULL);
    hf_code code = HF_OK;
    if (*path && !(a->path = hf_strndup(path, strlen(path))))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "access control");
    if (code == HF_OK && a->path && (code = load(path, &a->table, &st, reterr)) == HF_OK) {
        a->mtime = st.st_mtim;
        a->inode = st.st_ino;
        a->looked_ms = hf_mono_ms(clock);
    }
    if (code == HF_OK)
        *ret = a;
    else
        hf_access_close(a);
    return code;
}

void hf_access_close(hf_access *a) {
    if (!a)
        return;
    bucket *b, *next;
    HASH_ITER(hh, a->buckets, b, next) {
        HASH_DEL(a->buckets, b);
        free(b);
    }
    table_release(a->table);
    pthread_mutex_destroy(&a->lock);
    pthread_mutex_destroy(&a->rate_lock);
    free(a->path);
    free(a);
}

bool hf_access_required(const hf_access *a) { return a->path != NULL; }

/* ---- who -------------------------------------------------------------------------------------------------------------- */
static table *borrow(hf_access *a) {
    pthread_mutex_lock(&a->lock);
    table *t = a->table;
    atomic_fetch_add(&t->users, 1);
    pthread_mutex_unlock(&a->lock);
    return t;
}

/* Every entry is compared, and none earlier than another is told by time. */
static const entry *find_token(const table *t, const uint8_t hash[HASH_BYTES]) {
    const entry *found = NULL;
    for (size_t i = 0; i < t->count; i++)
        if (!t->entries[i].subject && CRYPTO_memcmp(t->entries[i].hash, hash, HASH_BYTES) == 0)
            found = &t->entries[i];
    return found;
}

static const entry *find_subject(const table *t, const char *subject) {
    for (size_t i = 0; i < t->count; i++)
        if (t->entries[i].subject && strcmp(t->entries[i].subject, subject) == 0)
            return &t->entries[i];
    return NULL;
}

/* The token of a Bearer header; its length 0 when there is none. */
static size_t token_of(const char *authorization, const char **ret) {
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return 0;
    *ret = authorization + 7 + strspn(authorization + 7, " ");
    size_t n = strlen(*ret);
    return n <= TOKEN_MAX ? n : 0;
}

hf_code hf_access_identify(hf_access *a, const char *authorization, const char *subject, hf_identity *ret,
                           hf_err *reterr) {
    const char *token = NULL;
    uint8_t hash[HASH_BYTES];
    *ret = (hf_identity){.scopes = HF_SCOPES_ALL};
    if (!a->path)
        return HF_OK;
    look_again(a);
    *ret = (hf_identity){.scopes = 0};
    size_t len = token_of(authorization, &token);
    table *t = borrow(a);
    const entry *e = len && hash_of(token, len, hash) ? find_token(t, hash) : subject ? find_subject(t, subject) : NULL;
    hf_code code = HF_OK;
    if (e && e->expires_ms && hf_wall_ms(a->clock) >= e->expires_ms)
        code = hf_fail(reterr, HF_E_UNAUTHORIZED, "the token %s has expired: ask for a new one", e->who.name);
    else if (e)
        *ret = e->who;
    else if (authorization)
        code = hf_fail(reterr, HF_E_UNAUTHORIZED, "the token is not one of those known here");
    else if (subject)
        code = hf_fail(reterr, HF_E_UNAUTHORIZED,
                       "the client certificate's subject %.200s is not one of those known here", subject);
    else
        code = hf_fail(reterr, HF_E_UNAUTHORIZED, "this needs a token: send the header `Authorization: Bearer TOKEN`");
    table_release(t);
    return code;
}

hf_code hf_access_allow(const hf_identity *who, hf_scope needed, hf_err *reterr) {
    if (needed == HF_SCOPE_OPEN || who->scopes & needed)
        return HF_OK;
    return hf_fail(reterr, HF_E_PERMISSION, "%s may not do this: it needs the scope %s",
                   *who->name ? who->name : "the caller", hf_scope_name(needed));
}

/* ---- how often --------------------------------------------------------------------------------------------------------- */
static bucket *bucket_of(hf_access *a, const char *client, int64_t now) {
    bucket *b = NULL;
    size_t len = strlen(client);
    HASH_FIND(hh, a->buckets, client, len, b);
    if (b) { /* to the end: the first is the one unused for longest */
        HASH_DEL(a->buckets, b);
        HASH_ADD_KEYPTR(hh, a->buckets, b->client, len, b);
        return b;
    }
    if (HASH_COUNT(a->buckets) >= HF_ACCESS_CLIENTS_MAX) {
        bucket *oldest = a->buckets;
        HASH_DEL(a->buckets, oldest);
        free(oldest);
    }
    if (!(b = hf_alloc(sizeof *b)))
        return NULL;
    b->left = (double)a->burst;
    b->at_ms = now;
    memcpy(b->client, client, len);
    HASH_ADD_KEYPTR(hh, a->buckets, b->client, len, b);
    return b;
}

hf_code hf_access_rate(hf_access *a, const char *client, int *ret_wait_s, hf_err *reterr) {
    char name[HF_ACCESS_NAME_MAX + 8];
    if (a->rate <= 0)
        return HF_OK;
    int64_t now = hf_mono_ms(a->clock);
    snprintf(name, sizeof name, "%s", client);
    pthread_mutex_lock(&a->rate_lock);
    bucket *b = bucket_of(a, name, now);
    bool pass = true; /* without memory nobody is counted, and nobody refused */
    if (b) {
        b->left += (double)(now - b->at_ms) / 1000 * (double)a->rate;
        b->left = b->left > (double)a->burst ? (double)a->burst : b->left;
        b->at_ms = now;
        pass = b->left >= 1;
        b->left -= pass;
    }
    double missing = b ? 1 - b->left : 0;
    pthread_mutex_unlock(&a->rate_lock);
    if (pass)
        return HF_OK;
    *ret_wait_s = 1 + (int)(missing / (double)a->rate);
    return hf_fail(reterr, HF_E_BUSY, "more than %" PRId64 " requests a second (access.rate); wait %d s", a->rate,
                   *ret_wait_s);
}
