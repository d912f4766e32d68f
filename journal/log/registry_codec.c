#include "journal/log/registry_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "journal/log/klog.h"
#include "schemas/base/buf.h"
#include "schemas/base/clock.h"
#include "schemas/base/host.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum {
    REFUSED_MAX = 64,
    REFUSED_MS = 30000,
    DOWN_MS = 1000,
    FIRST_PAUSE_MS = 500,
    PATH_BYTES = 4096,
    NAME_BYTES = 256
};

struct hf_registry_link {
    hf_registry *registry;        /* NULL: only what is kept */
    char *keep_dir;               /* NULL: nothing is kept */
    bool keeps;                   /* adds to it, not only reads it */
    int32_t own[HF_SCHEMA_COUNT]; /* -1: not registered by us */
    pthread_mutex_t lock;         /* of what follows */
    struct {
        int32_t id;
        int64_t until_ms;
    } refused[REFUSED_MAX]; /* a ring */
    uint32_t refused_next, kept;
    int64_t down_until_ms;
};

static const hf_topic topic_of[HF_SCHEMA_COUNT] = {
    [HF_SCHEMA_SUBMISSION] = HF_TOPIC_SUBMISSIONS, [HF_SCHEMA_RECORD] = HF_TOPIC_JOB_EVENTS,
    [HF_SCHEMA_JOB] = HF_TOPIC_JOB_STATES,         [HF_SCHEMA_PROGRESS] = HF_TOPIC_PROGRESS,
    [HF_SCHEMA_HEARTBEAT] = HF_TOPIC_WORKERS,      [HF_SCHEMA_SCHEDULE] = HF_TOPIC_SCHEDULES,
    [HF_SCHEMA_CONTROL] = HF_TOPIC_CONTROLS,       [HF_SCHEMA_DELIVERY] = HF_TOPIC_DELIVERIES,
    [HF_SCHEMA_WEBHOOK] = HF_TOPIC_WEBHOOKS,       [HF_SCHEMA_LIMIT] = HF_TOPIC_LIMITS};

/* ---- texts that are kept ---------------------------------------------------------------------------------- */
static hf_code kept_path(const hf_registry_link *l, int32_t id, const char *end, char path[PATH_BYTES],
                         hf_err *reterr) {
    int n = snprintf(path, PATH_BYTES, "%s/%" PRId32 ".avsc%s", l->keep_dir, id, end);
    return n < PATH_BYTES ? HF_OK : hf_fail(reterr, HF_E_LIMIT, "the path %.200s… is too long", l->keep_dir);
}

/* NOT_FOUND: it was not kept. */
static hf_code read_kept(const hf_registry_link *l, int32_t id, char **ret_text, hf_err *reterr) {
    char path[PATH_BYTES];
    struct stat st;
    if (!l->keep_dir)
        return HF_E_NOT_FOUND;
    hf_code code = kept_path(l, id, "", path, reterr);
    if (code)
        return code;
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    if (st.st_size <= 0 || st.st_size > HF_REGISTRY_BODY_MAX)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "%s has %" PRId64 " bytes, which is no schema's text", path,
                       (int64_t)st.st_size);
    hf_auto_free char *text = hf_alloc((size_t)st.st_size + 1);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%s", path);
    if (read(fd, text, (size_t)st.st_size) != st.st_size)
        return hf_fail(reterr, HF_E_IO, "%s could not be read whole", path);
    *ret_text = HF_TAKE(text);
    return HF_OK;
}

static hf_code write_whole(const char *path, const char *text, hf_err *reterr) {
    hf_auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    size_t len = strlen(text);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    ssize_t n = write(fd, text, len);
    if (n < 0 || fsync(fd) != 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    return (size_t)n == len ? HF_OK
                            : hf_fail(reterr, HF_E_NO_SPACE, "%s: %zd of %zu bytes could be written", path, n, len);
}

static bool may_keep(hf_registry_link *l) {
    pthread_mutex_lock(&l->lock);
    bool may = l->kept < HF_REGISTRY_KEPT_MAX;
    l->kept += may;
    pthread_mutex_unlock(&l->lock);
    return may;
}

/* EXISTS: it is kept. An id that stands for another text than before would make history say something else. */
static hf_code compare_kept(const hf_registry_link *l, int32_t id, const char *text, hf_err *reterr) {
    hf_auto_free char *before = NULL;
    hf_code code = read_kept(l, id, &before, reterr);
    if (code)
        return code == HF_E_NOT_FOUND ? HF_OK : code;
    if (strcmp(before, text) == 0)
        return HF_E_EXISTS;
    return hf_fail(reterr, HF_E_CONFIG,
                   "schema id %" PRId32
                   " stood for another schema when it was kept in %s: the registry was emptied or is another "
                   "one. Point schema_registry.url at the one this fleet began with, or begin a new fleet",
                   id, l->keep_dir);
}

/* Two threads that keep the same id write the same text: whichever rename comes last changes nothing. */
static hf_code keep(hf_registry_link *l, int32_t id, const char *text, hf_err *reterr) {
    char path[PATH_BYTES], aside[PATH_BYTES], end[64];
    hf_code known = l->keeps ? compare_kept(l, id, text, reterr) : HF_E_EXISTS;
    if (known)
        return known == HF_E_EXISTS ? HF_OK : known;
    if (!may_keep(l))
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN,
                       "schema id %" PRId32 ": %d texts are kept already, which is the limit", id,
                       HF_REGISTRY_KEPT_MAX);
    snprintf(end, sizeof end, ".%lx", (unsigned long)pthread_self());
    hf_code code = kept_path(l, id, "", path, reterr);
    if (!code)
        code = kept_path(l, id, end, aside, reterr);
    if (!code)
        code = write_whole(aside, text, reterr);
    if (!code && rename(aside, path) != 0)
        code = hf_fail_errno(reterr, errno, "%s", path);
    return code;
}

/* ---- what the registry would not or could not say --------------------------------------------------------- */
static bool refused_before(hf_registry_link *l, int32_t id, int64_t now) {
    bool found = false;
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < REFUSED_MAX; i++)
        found |= l->refused[i].id == id && l->refused[i].until_ms > now;
    pthread_mutex_unlock(&l->lock);
    return found;
}

static void note_refused(hf_registry_link *l, int32_t id, int64_t now) {
    pthread_mutex_lock(&l->lock);
    l->refused[l->refused_next].id = id;
    l->refused[l->refused_next].until_ms = now + REFUSED_MS;
    l->refused_next = (l->refused_next + 1) % REFUSED_MAX;
    pthread_mutex_unlock(&l->lock);
}

static bool is_down(hf_registry_link *l, int64_t now) {
    pthread_mutex_lock(&l->lock);
    bool down = l->down_until_ms > now;
    pthread_mutex_unlock(&l->lock);
    return down;
}

static void note_down(hf_registry_link *l) {
    int64_t until = hf_mono_ms(hf_clock_system()) + DOWN_MS;
    pthread_mutex_lock(&l->lock);
    l->down_until_ms = until;
    pthread_mutex_unlock(&l->lock);
}

/* Only "there is no such schema" makes a record unreadable; whatever may be otherwise later lets it wait. */
static hf_code judge(hf_registry_link *l, int32_t id, hf_code code, int64_t now, hf_err *reterr) {
    if (code == HF_E_SCHEMA_UNKNOWN || code == HF_E_UNSUPPORTED || code == HF_E_LIMIT || code == HF_E_INVALID) {
        note_refused(l, id, now);
        code = HF_E_SCHEMA_UNKNOWN;
    } else if (code != HF_E_NO_MEMORY) {
        note_down(l);
        code = HF_E_UNREACHABLE;
    }
    if (reterr)
        reterr->code = code;
    return code;
}

static hf_code ask(hf_registry_link *l, int32_t id, char **ret_text, hf_err *reterr) {
    int64_t now = hf_mono_ms(hf_clock_system());
    if (refused_before(l, id, now))
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "the schema registry did not have it less than %d s ago",
                       REFUSED_MS / 1000);
    if (is_down(l, now))
        return hf_fail(reterr, HF_E_UNREACHABLE,
                       "the schema registry could not be asked a moment ago; it is asked again soon");
    hf_auto_free char *text = NULL;
    hf_code code = hf_registry_lookup(l->registry, id, &text, reterr);
    if (code)
        return judge(l, id, code, now, reterr);
    code = keep(l, id, text, reterr);
    if (!code)
        *ret_text = HF_TAKE(text);
    return code;
}

static hf_code look_up(void *ctx, int32_t id, char **ret_text, hf_err *reterr) {
    hf_registry_link *l = ctx;
    if (id < 0)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "ids of schemas are not negative");
    for (int s = 0; s < HF_SCHEMA_COUNT; s++)
        if (l->own[s] == id) {
            const char *own = hf_schema_text((hf_schema)s);
            *ret_text = hf_strndup(own, strlen(own));
            return *ret_text ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a schema's text");
        }
    hf_code code = read_kept(l, id, ret_text, reterr);
    if (code != HF_E_NOT_FOUND)
        return code;
    return l->registry ? ask(l, id, ret_text, reterr)
                       : hf_fail(reterr, HF_E_SCHEMA_UNKNOWN,
                                 "%s has no text of it, and no schema_registry.url is configured", l->keep_dir);
}

/* ---- at start -------------------------------------------------------------------------------------------- */
static hf_code register_patiently(hf_registry_link *l, const char *topic, hf_schema schema, int32_t *ret_id,
                                  hf_err *reterr) {
    hf_err err = {0};
    int pause_ms = FIRST_PAUSE_MS;
    for (int tries = 1;; tries++, pause_ms *= 2) {
        hf_code code = hf_registry_register(l->registry, topic, hf_schema_text(schema), ret_id, &err);
        if (code == HF_OK)
            return code;
        bool again = code == HF_E_UNREACHABLE || code == HF_E_PROTOCOL;
        if (!again)
            return hf_fail(reterr, code, "%s", err.detail);
        if (tries == HF_REGISTRY_TRIES)
            return hf_fail(reterr, code, "tried %d times: %s; is schema_registry.url right, and the registry up?",
                           tries, err.detail);
        HF_LOG_ERR(WARN, "registry-not-reached", &err, {"try", HF_V_INT(tries)}, {"of", HF_V_INT(HF_REGISTRY_TRIES)});
        nanosleep(&(struct timespec){pause_ms / 1000, pause_ms % 1000 * 1000000L}, NULL);
    }
}

static hf_code register_one(hf_registry_link *l, const hf_config *config, hf_schema schema, hf_codec *codec,
                            hf_err *reterr) {
    char topic[NAME_BYTES];
    int32_t id = -1;
    snprintf(topic, sizeof topic, "hyperfleet.%s.%s", hf_config_str(config, HF_C_FLEET),
             hf_topic_suffix(topic_of[schema]));
    hf_code code = register_patiently(l, topic, schema, &id, reterr);
    if (!code)
        code = keep(l, id, hf_schema_text(schema), reterr);
    if (code)
        return code;
    l->own[schema] = id;
    hf_codec_use_registry_id(codec, schema, id);
    return HF_OK;
}

static hf_code register_all(hf_registry_link *l, const hf_config *config, uint32_t writes, hf_codec *codec,
                            hf_err *reterr) {
    l->keeps = writes && l->keep_dir;
    hf_code code = l->keeps ? hf_make_dirs(l->keep_dir, 0750, reterr) : HF_OK;
    for (int s = 0; !code && s < HF_SCHEMA_COUNT; s++)
        if (writes & 1u << s)
            code = register_one(l, config, (hf_schema)s, codec, reterr);
    return code;
}

static hf_code link_new(const char *url, const char *keep_dir, hf_registry_link **ret, hf_err *reterr) {
    hf_registry_link *l = hf_alloc(sizeof *l);
    if (!l)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schema registry");
    pthread_mutex_init(&l->lock, NULL);
    for (int s = 0; s < HF_SCHEMA_COUNT; s++)
        l->own[s] = -1;
    hf_code code = HF_OK;
    if (keep_dir && !(l->keep_dir = hf_strndup(keep_dir, strlen(keep_dir))))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "schema registry");
    if (!code && *url)
        code = hf_registry_open(url, &l->registry, reterr);
    if (code)
        hf_registry_link_free(l);
    else
        *ret = l;
    return code;
}

void hf_registry_link_free(hf_registry_link *l) {
    if (!l)
        return;
    hf_registry_close(l->registry);
    pthread_mutex_destroy(&l->lock);
    free(l->keep_dir);
    free(l);
}

hf_code hf_registry_codec(const hf_config *config, uint32_t writes, const char *keep_dir, hf_registry_link **ret_link,
                          hf_codec **ret_codec, hf_err *reterr) {
    const char *url = hf_config_str(config, HF_C_SCHEMA_REGISTRY);
    hf_registry_link *link = NULL;
    hf_codec *codec = NULL;
    *ret_link = NULL;
    if (!*url && (!keep_dir || access(keep_dir, F_OK) != 0))
        return hf_codec_new(NULL, NULL, ret_codec, reterr);
    hf_code code = link_new(url, keep_dir, &link, reterr);
    if (!code)
        code = hf_codec_new(look_up, link, &codec, reterr);
    if (!code && link && link->registry)
        code = register_all(link, config, writes, codec, reterr);
    if (code) {
        hf_codec_free(codec);
        hf_registry_link_free(link);
        return code;
    }
    *ret_link = link;
    *ret_codec = codec;
    return HF_OK;
}
