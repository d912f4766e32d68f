/* Which controls are in force (schemas/job/control.h): of each target the last one that was given, unless it resumed. A stop is in
 * force until the worker process it was for has ended.
 * `read` is from hf_read_begin; what is returned borrows from it or lives in the arena. */
#pragma once
#include "journal/replica/layout.h"
#include "schemas/event/codec.h"
#include "schemas/job/control.h"

/* NOT_FOUND: nothing is in force there. */
hf_code hf_query_control(hf_read *read, const hf_tables *tables, int32_t scope, hf_str name, hf_arena *arena,
                         hf_control *ret, hf_err *reterr);
/* All of them, in the order of their keys; control->key is the target's. Stops when the callback returns false. The arena is not
 * reset: whoever calls bounds it. */
typedef bool (*hf_query_each_control)(void *ctx, const hf_control *control);
hf_code hf_query_controls(hf_read *read, const hf_tables *tables, hf_arena *arena, hf_query_each_control each,
                          void *ctx, hf_err *reterr);
/* The worker's last heartbeat; NOT_FOUND: no such worker ever reported. */
hf_code hf_query_worker(hf_read *read, const hf_tables *tables, hf_str id, hf_arena *arena, hf_heartbeat *ret,
                        hf_err *reterr);
