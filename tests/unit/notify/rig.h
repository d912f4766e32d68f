/* The core of the hook with its outbox, a clock and a die in the test's hand. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "consumer/notify/decide.h"
#include "schemas/base/buf.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        hf_err err_ = {0};                                                                                             \
        hf_err *err = &err_;                                                                                           \
        if ((call) != HF_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, hf_code_name(err_.code), err_.detail);                                       \
    } while (0)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

typedef struct rig {
    hf_outbox *outbox;
    hf_decide *core;
    hf_buf row;
    int64_t wall, mono;
    uint64_t seed;
    hf_random random;
} rig;

/* options->random is the rig's. */
void rig_open(rig *r, hf_decide_options options);
void rig_close(rig *r);
void rig_pass(rig *r, int64_t ms); /* both clocks go on; and a turn */

hf_webhook rig_webhook(const char *id); /* all events, enabled, 3 retries */
void rig_hook(rig *r, const hf_webhook *webhook);
/* A row of facts, in r->row. */
hf_str rig_row(rig *r, hf_webhook_event event, const char *job, int64_t at, uint8_t nth);
void rig_event(rig *r, int32_t partition, int64_t offset, hf_webhook_event event, const char *job);

/* What is to be sent now; false: nothing. */
bool rig_next(rig *r, hf_decide_send *ret);
/* Fails the test where there is nothing. */
hf_decide_send rig_must(rig *r);
void rig_nothing(rig *r);
/* Its outcome: the record as it would be produced (acknowledged by nobody yet). */
hf_delivery rig_outcome(rig *r, const hf_decide_send *s, hf_post_class class, int32_t status, int64_t retry_after_ms,
                        bool *ret_final, bool *ret_off);
/* The same, acknowledged and read back. */
hf_delivery rig_answer(rig *r, const hf_decide_send *s, hf_post_class class, int32_t status, int64_t retry_after_ms);
void rig_read(rig *r, const hf_delivery *record);
static inline hf_delivery rig_deliver(rig *r, const hf_decide_send *s) {
    return rig_answer(r, s, HF_POST_DELIVERED, 200, -1);
}
static inline hf_delivery rig_fail(rig *r, const hf_decide_send *s) { return rig_answer(r, s, HF_POST_RETRY, 500, -1); }
/* Somebody asks for it again. */
void rig_replay(rig *r, const char *endpoint, int32_t partition, int64_t offset, hf_webhook_event event);
hf_decide_stat rig_stat(const rig *r);
