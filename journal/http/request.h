/* One request on its way through the sidecar: parsed, bounded, routed; and the reply being made. */
#pragma once
#include <jansson.h>
#include <microhttpd.h>
#include <stdatomic.h>

#include "journal/http/access.h"
#include "journal/http/params.h"
#include "journal/http/server.h"
#include "schemas/base/buf.h"

typedef enum hf_route {
#define HF_ROUTE(method, path, handler, body, scope, params, answer, summary) HF_ROUTE_##method##_##handler,
#include "journal/http/routes.def"
#undef HF_ROUTE
    HF_ROUTE_COUNT
} hf_route;

enum { HF_PATH_PARAMS = 4, HF_STATUS_CLASSES = 600 };

typedef struct hf_write hf_write; /* write.h */

typedef struct hf_request {
    hf_http *http;
    struct MHD_Connection *connection;
    struct hf_watched *watched; /* the connection's bounds in time */
    const char *method;
    char *raw_path;         /* as sent, before any decoding, without the query */
    const char *target_end; /* behind the request's target, in libmicrohttpd's memory */
    hf_route route;
    bool v1; /* below /api/v1: problem details, strict about what it is asked */
    char params[HF_PATH_PARAMS][HF_ID_MAX_BYTES * 3 + 1]; /* decoded {x} segments */
    hf_param_value query[HF_PARAM_COUNT];                 /* those that routes.def lists for the route */
    hf_identity who;
    hf_buf body;
    bool body_too_large;
    int refused; /* a status decided before the body was read; 0 none */
    hf_err refused_why;
    int retry_after_s; /* 0: no Retry-After */
    int64_t begun_ns;
    hf_write *write; /* while suspended, and when resumed */
    /* the reply */
    int status;
    const char *content_type; /* default application/json */
    hf_buf reply;
    struct hf_answer *kept;      /* instead of `reply`: one rendered before */
    uint64_t keep_txn;           /* the reply may be kept for this transaction; 0: it may not */
    bool encoded;                /* the reply is compressed already */
    bool page;                   /* it is a file of the page */
    struct MHD_Response *stream; /* instead of `reply` */
    char allow[48];              /* of the path, where one was found */
} hf_request;

/* A parameter of the query: its text or NULL, its number or `otherwise`. */
static inline const char *hf_request_text(const hf_request *r, hf_param param) { return r->query[param].text; }
static inline int64_t hf_request_number(const hf_request *r, hf_param param, int64_t otherwise) {
    return r->query[param].text ? r->query[param].number : otherwise;
}
/* Header value or NULL. */
const char *hf_request_header(const hf_request *r, const char *name);
bool hf_request_wants_stream(const hf_request *r); /* Accept: text/event-stream */

/* The reply: takes over `json`. */
void hf_reply_json(hf_request *r, int status, json_t *json);
/* The reply is in r->reply as JSON text already. */
void hf_reply_text(hf_request *r, int status);
/* Below /api/v1 problem details (RFC 9457), with the error's wire name as `code`; else the older shape
 * {"error": text, "timestamp": …}. */
void hf_reply_error(hf_request *r, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void hf_reply_err(hf_request *r, const hf_err *err); /* status by the error table */
/* The same, with everything that is wrong: below /api/v1 as the member `errors` beside the detail, else in one text. */
struct hf_intake_errors;
void hf_reply_errors(hf_request *r, hf_code code, const struct hf_intake_errors *errors);
json_t *hf_json_now(void); /* RFC 3339 */

typedef void (*hf_handler)(hf_request *r);
#define HF_ROUTE(method, path, handler, body, scope, params, answer, summary) void hf_handle_##handler(hf_request *r);
#include "journal/http/routes.def"
#undef HF_ROUTE

typedef struct hf_route_row {
    const char *method, *path;
    hf_handler handler;
    const char *body; /* name of its schema; NULL: none */
    hf_scope scope;
    const char *params; /* names, separated by spaces */
    const char *answer; /* name of its schema, or Text, EventStream, Download, Page */
    const char *summary;
} hf_route_row;
extern const hf_route_row HF_ROUTES[HF_ROUTE_COUNT];
/* Reads the query's parameters into r->query. INVALID, naming the one that is wrong. */
hf_code hf_request_read_query(hf_request *r, hf_err *reterr);
/* Finds the row and fills params. 0, or the status to refuse with (404; 405 sets r->allow; 400 for a path that decodes badly). */
int hf_route_find(hf_request *r);
