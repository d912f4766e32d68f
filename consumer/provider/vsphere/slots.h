/* How many downloads one host serves at a time, and one endpoint in all: hosts lend little memory to exports, and everybody's runner is a
 * process of its own. A slot is a lock on a small file below state_dir, so the bounds hold for all workers that share that directory
 * (all of one machine, as a rule), and the kernel gives a slot back whatever ends its process. */
#pragma once
#include "consumer/pipeline/flow.h"
#include "consumer/provider/vsphere/endpoint.h"

typedef struct hf_slots_held {
    int host_fd, endpoint_fd; /* -1: none */
} hf_slots_held;

/* Waits for a slot of the host and one of the endpoint; a cancel of the flow ends the wait. */
hf_code hf_slots_take(const hf_config *config, const hf_endpoint *endpoint, hf_str host, const hf_flow *flow,
                      hf_slots_held *ret, hf_err *reterr);
void hf_slots_give(hf_slots_held *held);
