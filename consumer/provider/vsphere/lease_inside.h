/* Inside of lease.c (its life), lease_info.c (what it says) and lease_keeper.c (keeping it alive). */
#pragma once
#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/lease.h"

/* EXPORT_LEASE_LOST for the faults that say that the lease is no more; other codes stay. */
hf_code hf_lease_error(const hf_vsphere *v, const hf_lease *lease, hf_code code, hf_err *reterr);
/* Fills lease from an <HttpNfcLeaseInfo>; its files are read anew. */
hf_code hf_lease_read_info(const hf_endpoint *endpoint, const hf_vsphere_vm *vm, const xmlNode *info, hf_lease *lease,
                           hf_err *reterr);
/* A lease URL with `*` as its host: with the endpoint's host, and its port where the URL has none. */
hf_code hf_lease_url(const hf_endpoint *endpoint, hf_str url, char to[HF_LEASE_URL_MAX], hf_err *reterr);
