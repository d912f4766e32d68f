/* What a receiver says about when to come back: Retry-After, RFC 9110 section 10.2.3. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/str.h"

/* Seconds ("120") or a date in any of HTTP's three forms (RFC 9110 section 5.6.7). *ret_ms: from now on, never negative, at most
 * 100 years: the caller clamps it to what it is willing to wait. False: it is neither. */
bool hf_retry_after_parse(hf_str text, int64_t now_wall_ms, int64_t *ret_ms);
