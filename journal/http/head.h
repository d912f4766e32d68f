/* A request's head as it came: what libmicrohttpd lets through and we do not (RFC 9112), because two programs could read it as two
 * different requests. */
#pragma once
#include <microhttpd.h>

enum { HF_HEADERS_MAX = 100 };

/* target_end: behind the request's target. NULL: sound. Else why not, and in *ret_status what to answer: 400, or 431 for more than HF_HEADERS_MAX headers. */
const char *hf_head_unsound(struct MHD_Connection *connection, const char *method, const char *target_end,
                            const char *version, int *ret_status);
