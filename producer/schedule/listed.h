/* The `schedules:` of hyperdispatch's configuration against what the topic has: which records make the two agree. Entries have the shape
 * of the API's (schemas/event/json_schedule.h). One that differs from what is kept under its id replaces it, whoever made that; one that
 * the configuration made before and no longer has is taken away. Without the key nothing is touched. Dispatchers of one fleet should
 * have the same list: each makes the topic agree with its own when it starts. */
#pragma once
#include "producer/schedule/ticker.h"
#include "schemas/base/config.h"

#define HF_LISTED_ORIGIN "config"
enum { HF_LISTED_MAX = 10000 };

typedef struct hf_listed hf_listed;
/* *ret NULL: the configuration has no such key. CONFIG names the entry and every error of it. */
hf_code hf_listed_read(const hf_config *config, int64_t now_ms, hf_listed **ret, hf_err *reterr);
void hf_listed_free(hf_listed *l); /* NULL is fine */
/* Calls publish(ctx, id, schedule) for each record that is to be written, schedule NULL to take one away; stops at the first that fails.
 * `schedule` is valid during the call. */
typedef hf_code (*hf_listed_publish)(void *ctx, hf_str id, const hf_schedule *schedule, hf_err *reterr);
hf_code hf_listed_settle(const hf_listed *l, const hf_ticker *kept, int64_t now_ms, hf_listed_publish publish,
                         void *ctx, hf_err *reterr);
