/* One change at a time: whoever reads a record, changes it and writes it back holds its guard meanwhile, from before the read until the
 * write is folded, or two changes at once would lose one of them. Within this sidecar; between several, `If-Match` finds
 * what was changed before it was read, and the last of two at the same moment wins.
 * Threads: any. */
#pragma once
#include "journal/log/klog.h"

enum { HF_GUARDS_MAX = 1024 };

typedef struct hf_guards hf_guards;
typedef struct hf_guard hf_guard;

hf_guards *hf_guards_new(void); /* NULL without memory */
void hf_guards_free(hf_guards *guards);
/* CONFLICT: another request changes that record at this moment; BUSY: as many are under way as may be. */
hf_code hf_guard_take(hf_guards *guards, hf_topic topic, hf_str key, hf_guard **ret, hf_err *reterr);
void hf_guard_drop(hf_guard *guard); /* NULL is fine */
