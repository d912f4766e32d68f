/* The parts of `hyperctl schedule`: next (schedule_next.c), add (schedule_add.c) and the others, which ask the sidecar and tell. */
#pragma once
#include "producer/ctl/ctl.h"

enum { HF_SCHEDULE_PATH_BYTES = 256 };
/* /api/v1/schedules/ID and what follows; USAGE where it is no id. */
hf_code hf_schedule_path(const char *id, const char *after, char path[HF_SCHEDULE_PATH_BYTES], hf_err *reterr);

hf_code hf_schedule_add(hf_ctl *ctl, hf_err *reterr);
hf_code hf_schedule_next(hf_ctl *ctl, hf_err *reterr);
/* `next` of an expression: it has white space in it, or begins with @, TZ= or CRON_TZ=, or cannot be an id anyway. */
bool hf_schedule_is_expression(const char *text);
