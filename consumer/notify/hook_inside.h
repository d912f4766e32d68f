/* What the files of the shell share: hook.c (opening, the loop), hook_feed.c (what the log says), hook_send.c (sending, and the records
 * of what came of it). */
#pragma once
#include "consumer/notify/configured.h"
#include "consumer/notify/decide.h"
#include "consumer/notify/hook.h"
#include "journal/log/registry_codec.h"
#include "journal/replica/follow.h"
#include "schemas/base/mem.h"
#include "schemas/webhook/secrets.h"

enum { NO_REPORT = UINT32_MAX };

/* A record that must be acknowledged before its delivery counts as told. */
typedef struct report {
    uint64_t tag; /* the core's; 0: of nothing that waits for it */
    char *bytes;
    uint32_t len, next; /* next: in the list of the free, or of the gathered */
    hf_topic topic;
    bool again; /* it could not be queued, or was not acknowledged: produce it again */
    char key[HF_ID_MAX_BYTES + 1];
} report;

/* What the record of an outcome needs and the core does not keep; by the low half of the tag. */
typedef struct flight {
    char job_id[HF_ID_MAX_BYTES + 1], delivery_id[HF_DELIVERY_ID_BYTES];
} flight;

typedef struct hook {
    const hf_config *config;
    const hf_clock *clock;
    hf_klog *log;
    hf_registry_link *registry;
    hf_codec *codec;
    hf_follow *follow;
    hf_group *group;
    hf_outbox *outbox;
    hf_decide *core;
    hf_sender *sender;
    hf_secrets *secrets;       /* NULL: none */
    hf_configured *configured; /* NULL: the configuration manages none */
    hf_table outbox_table, deliveries_table;
    hf_arena arena, side;
    hf_buf out, body, row;
    char me[256], source[128];
    flight *flights;
    uint32_t flight_room;
    report *reports;
    uint32_t report_room, free_reports, again;
    uint32_t unacknowledged;                          /* reports in use */
    uint32_t gathered, gathered_last, gathered_count; /* list of those that go out with the next burst */

    int32_t partitions;
    bool *pending;  /* given by the group, not owned yet: the deliveries are read to `until` first */
    int64_t *until; /* by partition of webhook-deliveries */
    int32_t until_count;
    uint64_t generation;
    bool ready, stopping;
    bool held; /* the sender has no room at all: what is due waits for it, not for its time */
    int64_t refreshed_ms, given_up_told;
    hf_code failed; /* set inside a hook, looked at after the step */
    hf_err err;
} hook;

static inline int64_t hook_mono(const hook *h) { return hf_mono_ms(h->clock); }
static inline int64_t hook_wall(const hook *h) { return hf_wall_ms(h->clock); }
void hook_fail_later(hook *h, hf_code code);

/* ---- hook_feed.c ------------------------------------------------------------------------------------------------------- */
void hook_on_change(void *ctx, const hf_change *change);
void hook_on_record(void *ctx, const hf_log_record *record);
bool hook_on_seal(void *ctx, hf_changes *changes);
/* Opens the two tables and takes in what they hold. */
hf_code hook_load(hook *h, hf_err *reterr);

/* ---- hook_send.c ------------------------------------------------------------------------------------------------------- */
void hook_on_done(void *ctx, uint64_t tag, const hf_post_outcome *outcome);
void hook_on_report(void *ctx, uint64_t tag, const hf_report *what);
/* Sends what the core says, as far as the bounds let it. */
void hook_send_due(hook *h);
void hook_tell_progress(hook *h, hf_position position, const hf_progress *progress);
/* Queues a record (and again, until it is acknowledged). tag 0: nobody waits for it. */
hf_code hook_publish(hook *h, hf_topic topic, hf_str key, hf_schema schema, const void *record, uint64_t tag,
                     hf_err *reterr);
void hook_publish_again(hook *h);
/* Hands what was queued to Kafka, as one burst, once the burst before is acknowledged. */
void hook_hand_over(hook *h);
