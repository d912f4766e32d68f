/* A connection to a vCenter or ESX host: a session of one endpoint, and a curl handle that keeps its connection.
 *
 * Threads: one hf_vsphere, one thread. hf_vsphere_share gives another thread its own, with the same session; the session's lock is held
 * while somebody logs in (so that one does, not all) and is a leaf. The last one closed logs out.
 *
 * A call that faults with NotAuthenticated logs in anew and is made once more: objects that belonged to the old session (leases,
 * collectors, views) are gone then, and calls on them end in NOT_FOUND or EXPORT_LEASE_LOST. Nothing else is repeated by hf_vsphere_call. */
#pragma once
#include <stdatomic.h>

#include "consumer/provider/vsphere/endpoint.h"
#include "consumer/provider/vsphere/soap.h"

typedef struct hf_vsphere hf_vsphere;

typedef struct hf_vsphere_content { /* ServiceContent */
    hf_moref root, collector, views, sessions, search, ovf, authorization, licences;
    char api_version[32], full_name[128],
        api_type[32]; /* "8.0.1.0", "VMware vCenter Server …", "VirtualCenter" or "HostAgent" */
    char instance_uuid[64];
} hf_vsphere_content;

/* Connects, asks for the ServiceContent and logs in. cancel (may be NULL) ends any call within a second. */
hf_code hf_vsphere_open(const hf_endpoint *endpoint, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr);
/* One more handle on the same session, for another thread. */
hf_code hf_vsphere_share(hf_vsphere *from, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr);
/* Takes NULL. Logs out when it is the session's last, whatever the cancel flag says, within 10 s. */
void hf_vsphere_close(hf_vsphere *v);
/* Another flag, or none: what cleans up after a cancel must not be cancelled itself. */
void hf_vsphere_set_cancel(hf_vsphere *v, const atomic_bool *cancel);

const hf_endpoint *hf_vsphere_endpoint(const hf_vsphere *v);
const hf_vsphere_content *hf_vsphere_about(const hf_vsphere *v);
/* The fault the last call ended with: "TaskInProgress", a name of vsphere_faults.def; "" for none, or another. */
const char *hf_vsphere_fault(const hf_vsphere *v);

/* A request of this client to write into (cleared). */
hf_buf *hf_vsphere_request(hf_vsphere *v);
/* Sends that request. A fault becomes an error by vsphere_faults.def, a transport's error TIMEOUT, UNREACHABLE, PROTOCOL,
 * CANCELLED or CERTIFICATE. On success hf_soap_answer_done is due. */
hf_code hf_vsphere_call(hf_vsphere *v, hf_soap_answer *ret, hf_err *reterr);
/* The same with limits of its own: bytes of the answer, time of the call (0: the endpoint's). */
hf_code hf_vsphere_call_within(hf_vsphere *v, size_t max_bytes, int64_t timeout_ms, hf_soap_answer *ret,
                               hf_err *reterr);
/* The same for calls that may be made twice: transport errors and 5xx are tried again, three times in all, within a few seconds. */
hf_code hf_vsphere_ask(hf_vsphere *v, size_t max_bytes, hf_soap_answer *ret, hf_err *reterr);
/* What a curl code of a transfer means, with the endpoint's words; for downloads too. */
hf_code hf_vsphere_transport(const hf_endpoint *endpoint, CURLcode code, const hf_tls_seen *seen, const char *curl_text,
                             hf_err *reterr);
