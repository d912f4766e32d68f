/* Whether an endpoint can be used, step by step: the first that fails says what is wrong, the rest are not tried. */
#pragma once
#include "consumer/provider/vsphere/endpoint.h"

typedef enum hf_check_status { HF_CHECK_OK, HF_CHECK_WARN, HF_CHECK_FAILED } hf_check_status;

/* One step's outcome; text lives as long as the call. */
typedef void (*hf_check_fn)(void *ctx, const char *step, hf_check_status status, const char *text);

/* configuration, secret, name, tcp, tls, service, login, inventory, privileges. The code of the step that failed. */
hf_code hf_endpoint_check(const hf_config *config, hf_str name, hf_check_fn tell, void *ctx, hf_err *reterr);
