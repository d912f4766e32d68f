/* libmicrohttpd's callbacks: the life of a request (exchange.c). */
#pragma once
#include <microhttpd.h>

void *hf_exchange_begin(void *http, const char *uri, struct MHD_Connection *connection);
size_t hf_exchange_unescape(void *cls, struct MHD_Connection *connection, char *text);
enum MHD_Result hf_exchange_step(void *http, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload, size_t *upload_len, void **request);
void hf_exchange_end(void *cls, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode why);
