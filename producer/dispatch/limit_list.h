/* The `limits:` of hyperdispatch's configuration ({endpoint/vc1: 3, tag/gold: 10}) against what the topic has: which `set` records make
 * the two agree. One that differs from what is set replaces it, whoever set that; one that the configuration set before and no longer
 * has is taken away (max -1). Without the key nothing is touched. Dispatchers of one fleet should have the same: each makes the topic
 * agree with its own when it starts. */
#pragma once
#include "schemas/base/config.h"
#include "schemas/job/limit.h"

#define HF_LIMIT_LIST_ORIGIN "config"

typedef struct hf_limit_list hf_limit_list;
/* *ret NULL: the configuration has no such key. CONFIG names every entry that is wrong, as far as an error's text goes. The list borrows
 * from config. */
hf_code hf_limit_list_read(const hf_config *config, hf_limit_list **ret, hf_err *reterr);
void hf_limit_list_free(hf_limit_list *l); /* NULL is fine */
size_t hf_limit_list_count(const hf_limit_list *l);

/* One round: hf_limit_list_seen for each limit there is, then hf_limit_list_rest; `publish` is called for each record that is to be
 * written (key, max, origin and by are set). The first that fails ends the round; the next one begins with hf_limit_list_begin. */
typedef hf_code (*hf_limit_list_publish)(void *ctx, hf_limit_event *set, hf_err *reterr);
void hf_limit_list_begin(hf_limit_list *l);
hf_code hf_limit_list_seen(hf_limit_list *l, const hf_limit *limit, hf_limit_list_publish publish, void *ctx,
                           hf_err *reterr);
hf_code hf_limit_list_rest(hf_limit_list *l, hf_limit_list_publish publish, void *ctx, hf_err *reterr);
