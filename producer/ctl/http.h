/* Requests to the sidecar: JSON in, JSON out, with libcurl. One handle, kept alive over requests; one thread.
 * Bounds: an answer of 256 MiB, 10 s to connect, 60 s without a byte. No redirects, proxies, netrc or cookies.
 * Errors: UNREACHABLE when no answer came (says where to and how to name another place); what the sidecar refused comes back as
 * the code of its HTTP status with its own words. */
#pragma once
#include <jansson.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"

typedef struct hf_http hf_http;
/* base_url is copied: "http://127.0.0.1:8080". hint: how the user can name another one; printed when it cannot be reached. */
hf_code hf_http_new(const char *base_url, const char *hint, hf_http **ret, hf_err *reterr);
/* Shows the token of http.client.token_file and trusts http.client.ca_file, where they are set. CONFIG for a token that others can read. */
hf_code hf_http_identify(hf_http *http, const hf_config *config, hf_err *reterr);
/* Shows the token of http.client.token_file and trusts http.client.ca_file, where they are set. CONFIG for a token that others can read. */
hf_code hf_http_identify(hf_http *http, const hf_config *config, hf_err *reterr);
void hf_http_free(hf_http *http); /* NULL is fine */
/* body NULL: none. *ret_answer: a new reference, an object. */
hf_code hf_http_call(hf_http *http, const char *method, const char *path, const json_t *body, json_t **ret_answer,
                     hf_err *reterr);
/* The code a status of 400 and above stands for. */
hf_code hf_http_code_of(long status);
struct hf_ctl;
/* The command's client, made at first use from hf_ctl_where. */
hf_code hf_ctl_http(struct hf_ctl *ctl, hf_http **ret, hf_err *reterr);
