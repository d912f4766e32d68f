/* Sending a reply: headers, ETag, compression, CORS (reply.c). */
#pragma once
#include "journal/http/request.h"

/* Whether the Accept header lets the route's answer through; always on the older paths. */
bool hf_reply_acceptable(const hf_request *r);
/* Queues what the handler left in r->reply or r->stream. */
enum MHD_Result hf_reply_send(hf_request *r);
