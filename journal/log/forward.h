/* A TCP forwarder: each connection that it accepts is joined to one that it makes to `port` on 127.0.0.1.
 * One thread, epoll, 64 KiB a direction, at most HF_FORWARD_CONNECTIONS at once (further ones wait in the
 * listen queue). Loopback only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"

enum { HF_FORWARD_CONNECTIONS = 256, HF_FORWARD_BUFFER = 65536, HF_FORWARD_ADDRESS = 80 };

typedef struct hf_forward hf_forward;
/* listen: "host:port" or "[v6]:port", a loopback address; port 0 takes a free one. */
hf_code hf_forward_start(const char *listen, uint16_t port, hf_forward **ret, hf_err *reterr);
void hf_forward_stop(hf_forward *forward); /* NULL is fine */
const char *hf_forward_address(const hf_forward *forward);
/* Closed: connections that come wait; those that are there go on. Any thread. */
void hf_forward_door(hf_forward *forward, bool open);
