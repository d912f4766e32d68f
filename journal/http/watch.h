/* Absolute bounds on what a client may take its time for. libmicrohttpd closes a connection that is silent; one that sends or takes a
 * byte now and then is not silent and would stay for ever. So the loop's thread looks at each connection about once a second:
 *
 *   head     from its first byte (over TLS: the handshake's) it must be whole within http.head_timeout
 *   body     must be there within http.body_timeout, and a second more for every HF_WATCH_RATE bytes that came
 *   answer   what waits in the socket must be taken within http.answer_timeout, and a second more for every HF_WATCH_RATE bytes that
 *            were; the time begins anew whenever nothing waits: so a stream that is read stays, however long
 *
 * Past its bound the socket is shut down, and libmicrohttpd finds it closed. Who was slow with a head or a body is told so before, with
 * 408 and a problem's body (RFC 9110 section 15.5.9), and has HF_WATCH_LINGER_MS to read it; over TLS nothing is told, for only
 * libmicrohttpd's thread may use the session. Between what is told and a request that is whole at that moment an atomic word decides:
 * a request that was told 408 is not handled. A request that waits for its write is left alone (it has
 * http.write_wait). Connections beyond http.connections have HF_WATCH_OVER_MS in all.
 * Threads: hf_watch_step the loop's; the rest the server's. Lock: the watch's own, a leaf; held for a part of the connections at a time. */
#pragma once
#include <microhttpd.h>
#include <stdatomic.h>

#include "schemas/base/config.h"

enum { HF_WATCH_RATE = 16 * 1024, HF_WATCH_OVER_MS = 2000, HF_WATCH_TICK_MS = 250, HF_WATCH_LINGER_MS = 1000 };

typedef enum hf_watch_phase { HF_WATCH_HEAD, HF_WATCH_BODY, HF_WATCH_HANDLED, HF_WATCH_ANSWER } hf_watch_phase;

typedef struct hf_watch hf_watch;
typedef struct hf_watched hf_watched; /* a connection */

hf_watch *hf_watch_new(const hf_config *config); /* NULL without memory */
void hf_watch_free(hf_watch *watch);             /* after the daemon has stopped; NULL is fine */
/* As the connection comes and before its socket is closed. NULL without memory: the connection is shut down. */
hf_watched *hf_watch_add(hf_watch *watch, struct MHD_Connection *connection, bool over);
void hf_watch_remove(hf_watch *watch, hf_watched *watched); /* NULL is fine */
/* That of a connection, from libmicrohttpd's socket context; NULL: none. */
hf_watched *hf_watch_of(struct MHD_Connection *connection);
bool hf_watched_is_over(const hf_watched *watched); /* came when http.connections were open already */
/* Where its request has got to; HEAD: the last one is over. NULL is fine. False: its client was told 408, and nothing is to be done for
 * it any more. */
bool hf_watched_phase(hf_watched *watched, hf_watch_phase phase);
void hf_watched_received(hf_watched *watched, size_t body_bytes);
/* Shuts down those past their bound. Returns ms until it wants to be called again, -1: no connection is open. */
int hf_watch_step(hf_watch *watch, int64_t mono_ms);
/* Connections shut down because of that phase, since the start. Any thread. */
uint64_t hf_watch_cut(const hf_watch *watch, hf_watch_phase phase);
