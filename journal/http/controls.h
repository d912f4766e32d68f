/* What is paused, for the handlers: the journal's controls in force. */
#pragma once
#include "journal/http/request.h"

enum { HF_PAUSED_RETRY_S = 30 }; /* what Retry-After says while intake is paused */

/* False, and the request is answered with 503 and Retry-After: somebody paused intake. */
bool hf_intake_open(hf_request *r);
