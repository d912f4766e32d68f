#include "journal/http/answers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "schemas/base/mem.h"

typedef struct shard {
    pthread_mutex_t lock;
    hf_answer *of[HF_ANSWERS_WAYS];
    uint64_t uses; /* a clock of its own */
} shard;

struct hf_answers {
    shard shards[HF_ANSWERS_SHARDS];
};

hf_answers *hf_answers_new(void) {
    hf_answers *answers = hf_alloc(sizeof *answers);
    for (int i = 0; answers && i < HF_ANSWERS_SHARDS; i++)
        pthread_mutex_init(&answers->shards[i].lock, NULL);
    return answers;
}

void hf_answer_drop(void *answer) {
    hf_answer *a = answer;
    if (a && atomic_fetch_sub(&a->holders, 1) == 1)
        free(a);
}

void hf_answers_free(hf_answers *answers) {
    if (!answers)
        return;
    for (int i = 0; i < HF_ANSWERS_SHARDS; i++) {
        for (int n = 0; n < HF_ANSWERS_WAYS; n++)
            hf_answer_drop(answers->shards[i].of[n]);
        pthread_mutex_destroy(&answers->shards[i].lock);
    }
    free(answers);
}

/* FNV-1a */
static shard *shard_of(hf_answers *answers, hf_str key) {
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < key.len; i++)
        hash = (hash ^ (uint8_t)key.p[i]) * 16777619u;
    return &answers->shards[hash % HF_ANSWERS_SHARDS];
}

static bool is_of(const hf_answer *a, hf_str key) { return a && hf_str_eq((hf_str){a->key, a->key_len}, key); }

hf_answer *hf_answers_find(hf_answers *answers, hf_str key, uint64_t txn) {
    shard *s = shard_of(answers, key);
    hf_answer *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < HF_ANSWERS_WAYS && !found; i++)
        if (is_of(s->of[i], key) && s->of[i]->txn == txn)
            found = s->of[i];
    if (found) {
        found->used = ++s->uses;
        atomic_fetch_add(&found->holders, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The same key's place, else a free one, else that of the one used longest ago. */
static int place_for(const shard *s, hf_str key) {
    int best = 0;
    for (int i = 0; i < HF_ANSWERS_WAYS; i++)
        if (is_of(s->of[i], key))
            return i;
    for (int i = 0; i < HF_ANSWERS_WAYS; i++) {
        if (!s->of[i])
            return i;
        if (s->of[i]->used < s->of[best]->used)
            best = i;
    }
    return best;
}

void hf_answers_keep(hf_answers *answers, hf_str key, uint64_t txn, const char *etag, bool compressed,
                     const uint8_t *bytes, size_t len) {
    hf_answer *a = len <= HF_ANSWER_MAX_BYTES && key.len <= HF_ANSWER_KEY_MAX ? hf_alloc(sizeof *a + len) : NULL;
    if (!a)
        return;
    a->holders = 1;
    a->txn = txn;
    a->compressed = compressed;
    snprintf(a->etag, sizeof a->etag, "%s", etag);
    memcpy(a->key, key.p, key.len);
    a->key_len = key.len;
    memcpy(a->bytes, bytes, len);
    a->len = len;
    shard *s = shard_of(answers, key);
    pthread_mutex_lock(&s->lock);
    int at = place_for(s, key);
    hf_answer *before = s->of[at];
    if (is_of(before, key) && before->txn > txn) { /* somebody with a later snapshot was faster */
        before = a;
    } else {
        a->used = ++s->uses;
        s->of[at] = a;
    }
    pthread_mutex_unlock(&s->lock);
    hf_answer_drop(before);
}
