/* Sending a reply: headers, ETag, compression, CORS (reply.c). */
#pragma once
#include "journal/http/request.h"

/* Whether the Accept header lets the route's answer through; always on the older paths. */
bool hf_reply_acceptable(const hf_request *r);
/* For answers that depend on nothing but the snapshot `txn` (hf_read_txn), the route and the query: true when one that was rendered
 * before goes out instead (answers.h); else what the handler renders now is kept for the next one who asks the same. */
bool hf_reply_kept(hf_request *r, uint64_t txn);
/* Queues what the handler left in r->reply, r->kept or r->stream. */
enum MHD_Result hf_reply_send(hf_request *r);
