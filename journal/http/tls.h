/* TLS for the sidecar (http.tls.*): versions 1.2 and 1.3, the certificate and key taken anew when their files change (looked at once a
 * second, on a handshake), client certificates checked against http.tls.client_ca where it is set. GnuTLS is what
 * libmicrohttpd speaks. Any thread. */
#pragma once
#include <microhttpd.h>

#include "schemas/base/clock.h"
#include "schemas/base/config.h"

typedef struct hf_tls hf_tls;

/* *ret NULL when http.tls.certificate is empty: no TLS. CONFIG for files that cannot be used, and for a key others can read. */
hf_code hf_tls_open(const hf_config *config, const hf_clock *clock, hf_tls **ret, hf_err *reterr);
void hf_tls_close(hf_tls *tls); /* after the daemon has stopped; NULL is fine */
enum { HF_TLS_OPTIONS = 6 };
/* Options of MHD_start_daemon besides MHD_USE_TLS; MHD_OPTION_END last. They borrow from tls. */
void hf_tls_options(hf_tls *tls, struct MHD_OptionItem options[HF_TLS_OPTIONS]);
/* The subject (RFC 4514) of the connection's client certificate, if one came and is good; else "". */
enum { HF_TLS_SUBJECT_MAX = 512 };
void hf_tls_subject(hf_tls *tls, struct MHD_Connection *connection, char subject[HF_TLS_SUBJECT_MAX + 1]);
