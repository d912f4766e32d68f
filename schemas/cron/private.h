/* What the files of schemas/cron share with each other only. */
#pragma once
#include "schemas/cron/cron.h"

/* A duration as Go's time.ParseDuration reads it, in nanoseconds; false: it is none, or does not fit. */
bool hf_cron_duration(hf_str text, int64_t *ret_ns);

bool hf_cron_has_day(const hf_cron *cron, int64_t days); /* since 1970 */
/* The way of robfig/cron, step by step; `after_s` is within bounds, and no set is empty. */
bool hf_cron_next_robfig(const hf_cron *cron, const hf_zone *zone, int64_t after_s, int64_t *ret_s);
