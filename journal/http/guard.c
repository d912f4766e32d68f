#include "journal/http/guard.h"

#include <pthread.h>

#include "schemas/base/id.h"
#include "schemas/base/mem.h"

struct hf_guard {
    hf_guards *home;
    hf_guard *next;
    hf_topic topic;
    uint32_t len;
    char key[];
};

struct hf_guards {
    pthread_mutex_t lock;
    hf_guard *held;
    unsigned count;
};

hf_guards *hf_guards_new(void) {
    hf_guards *guards = hf_alloc(sizeof *guards);
    if (guards)
        pthread_mutex_init(&guards->lock, NULL);
    return guards;
}

void hf_guards_free(hf_guards *guards) {
    if (!guards)
        return;
    while (guards->held)
        hf_guard_drop(guards->held);
    pthread_mutex_destroy(&guards->lock);
    free(guards);
}

static bool is_held(const hf_guards *guards, hf_topic topic, hf_str key) {
    for (const hf_guard *g = guards->held; g; g = g->next)
        if (g->topic == topic && hf_str_eq((hf_str){g->key, g->len}, key))
            return true;
    return false;
}

hf_code hf_guard_take(hf_guards *guards, hf_topic topic, hf_str key, hf_guard **ret, hf_err *reterr) {
    hf_guard *made = hf_alloc(sizeof *made + key.len + 1);
    if (!made)
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    *made = (hf_guard){.home = guards, .topic = topic, .len = key.len};
    if (key.len)
        memcpy(made->key, key.p, key.len);
    pthread_mutex_lock(&guards->lock);
    bool held = is_held(guards, topic, key), full = guards->count >= HF_GUARDS_MAX;
    if (!held && !full) {
        made->next = guards->held;
        guards->held = made;
        guards->count++;
    }
    pthread_mutex_unlock(&guards->lock);
    if (held || full) {
        free(made);
        return held ? hf_fail(reterr, HF_E_CONFLICT,
                              "another request changes %.*s at this moment: read it again, then repeat the change",
                              HF_STR_ARG(key))
                    : hf_fail(reterr, HF_E_BUSY, "%d records are being changed already; try again in a moment",
                              HF_GUARDS_MAX);
    }
    *ret = made;
    return HF_OK;
}

void hf_guard_drop(hf_guard *guard) {
    if (!guard)
        return;
    hf_guards *guards = guard->home;
    pthread_mutex_lock(&guards->lock);
    for (hf_guard **at = &guards->held; *at; at = &(*at)->next)
        if (*at == guard) {
            *at = guard->next;
            guards->count--;
            break;
        }
    pthread_mutex_unlock(&guards->lock);
    free(guard);
}
