/* What the steps of offline_fix share. */
#pragma once
#include "consumer/operation/guest/guest.h"
#include "consumer/operation/guest/offline_text.h"

typedef struct hf_offline {
    bool host_keys, machine_id; /* parameters reset_host_keys, reset_machine_id */
    const json_t *macs;         /* parameter: name -> address; NULL none */
} hf_offline;

/* false: it is no Linux system; the step has its result. The guest is mounted. */
hf_code hf_offline_begin(hf_guest_session *guest, bool *ret_linux, hf_err *reterr);

/* The steps. */
hf_code hf_offline_tools(hf_guest_session *guest, hf_err *reterr);
hf_code hf_offline_drivers(hf_guest_session *guest, hf_err *reterr);
hf_code hf_offline_names(hf_guest_session *guest, hf_err *reterr);
hf_code hf_offline_rules(hf_guest_session *guest, hf_err *reterr);
hf_code hf_offline_host_keys(hf_guest_session *guest, hf_err *reterr);
hf_code hf_offline_machine_id(hf_guest_session *guest, hf_err *reterr);
