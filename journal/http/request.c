#include "journal/http/inside.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/job/intake.h"

#include <stdarg.h>
#include <stdio.h>

const hf_route_row HF_ROUTES[HF_ROUTE_COUNT] = {
#define HF_ROUTE(method, path, handler, body, scope, params, answer, summary)                                          \
    {#method, path, hf_handle_##handler, NAME_OF(body), HF_SCOPE_##scope, params, #answer, summary},
#define NAME_OF(body) (#body[0] == 'N' && #body[1] == 'O' ? NULL : #body)
#include "journal/http/routes.def"
#undef HF_ROUTE
#undef NAME_OF
};

/* ---- routing on the path as it was sent --------------------------------------------------------------- */
static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes one segment. %00, %2f and what is no %XX are refused: they would mean another path to somebody else. */
static bool decode_segment(const char *from, size_t len, char *to, size_t room) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)from[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(from[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(from[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || c == '/' || n + 1 >= room)
            return false;
        to[n++] = (char)c;
    }
    to[n] = 0;
    return n > 0;
}

static bool ends_segment(char c) { return c == 0 || c == '/'; }

/* Asked of every route for every request: nothing is decoded here. */
static bool matches(const char *template, const char *path) {
    while (*template == '/' && *path == '/') {
        bool param = *++template == '{';
        path++;
        if (param && ends_segment(*path))
            return false;
        while (!param && !ends_segment(*template) && *template == *path)
            template ++, path++;
        if (!param && !(ends_segment(*template) && ends_segment(*path)))
            return false;
        if (param) {
            template = strchrnul(template, '/');
            path = strchrnul(path, '/');
        }
    }
    return *template == 0 && *path == 0;
}

/* The segments of a path that matches. */
static bool decode_params(const char *template, const char *path, char params[][HF_ID_MAX_BYTES * 3 + 1]) {
    for (int param = 0; *template; template = strchrnul(template, '/'), path = strchrnul(path, '/')) {
        template ++, path++;
        if (*template == '{' && !decode_segment(path, strcspn(path, "/"), params[param++], HF_ID_MAX_BYTES * 3 + 1))
            return false;
    }
    return true;
}

/* A literal segment beats a parameter: /jobs/query is never the job "query". */
static bool more_literal(hf_route a, hf_route b) {
    const char *x = HF_ROUTES[a].path, *y = HF_ROUTES[b].path;
    while (*x && *x == *y)
        x++, y++;
    return *y == '{';
}

/* The methods that routes take, each a bit. */
static const char *const methods_taken[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

static unsigned method_bit(const char *method) {
    for (unsigned i = 0; i < HF_ARRAY_LEN(methods_taken); i++)
        if (strcmp(methods_taken[i], method) == 0)
            return 1u << i;
    return 0;
}

static void set_allow(hf_request *r, unsigned methods) {
    size_t used = 0;
    for (unsigned i = 0; i < HF_ARRAY_LEN(methods_taken); i++)
        if (methods & 1u << i)
            used += (size_t)snprintf(r->allow + used, sizeof r->allow - used, "%s, %s", methods_taken[i],
                                     i == 0 ? "HEAD, " : "");
    snprintf(r->allow + used, sizeof r->allow - used, "OPTIONS");
}

int hf_route_find(hf_request *r) {
    bool found = false, head = strcmp(r->method, "HEAD") == 0;
    hf_route best = HF_ROUTE_COUNT, any = HF_ROUTE_COUNT;
    unsigned methods = 0;
    for (int i = 0; i < HF_ROUTE_COUNT; i++) {
        if (!matches(HF_ROUTES[i].path, r->raw_path))
            continue;
        hf_route route = (hf_route)i;
        if (any == HF_ROUTE_COUNT || more_literal(route, any)) {
            any = route;
            methods = 0;
            found = false;
        } else if (more_literal(any, route))
            continue;
        methods |= method_bit(HF_ROUTES[i].method);
        if (strcmp(HF_ROUTES[i].method, head ? "GET" : r->method) == 0) {
            best = route;
            found = true;
        }
    }
    if (any == HF_ROUTE_COUNT)
        return 404;
    r->route = found ? best : any;
    if (!decode_params(HF_ROUTES[r->route].path, r->raw_path, r->params))
        return 400;
    set_allow(r, methods);
    return found ? 0 : 405;
}

/* ---- arguments ------------------------------------------------------------------------------------------ */
typedef struct query_reading {
    hf_request *r;
    int64_t now_ms;
    hf_code code;
    hf_err *err;
} query_reading;

static enum MHD_Result read_argument(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value) {
    query_reading *q = ctx;
    hf_param param = hf_param_find(name);
    bool known = param < HF_PARAM_COUNT && hf_param_listed(HF_ROUTES[q->r->route].params, param);
    (void)kind;
    if (!known && !q->r->v1)
        return MHD_YES;
    if (!known)
        q->code = hf_fail(q->err, HF_E_INVALID, "the parameter %.64s is not taken here%s%s", name,
                          *HF_ROUTES[q->r->route].params ? "; there are " : "", HF_ROUTES[q->r->route].params);
    else if (q->r->query[param].text && q->r->v1)
        q->code = hf_fail(q->err, HF_E_INVALID, "the parameter %s is there twice", name);
    else
        q->code = hf_param_read(param, value, q->now_ms, &q->r->query[param], q->err);
    return q->code == HF_OK ? MHD_YES : MHD_NO;
}

hf_code hf_request_read_query(hf_request *r, hf_err *reterr) {
    query_reading q = {.r = r, .now_ms = hf_wall_ms(r->http->clock), .err = reterr};
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, read_argument, &q);
    return q.code;
}

const char *hf_request_header(const hf_request *r, const char *name) {
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool hf_request_wants_stream(const hf_request *r) {
    const char *accept = hf_request_header(r, "Accept");
    return accept && strstr(accept, "text/event-stream") != NULL;
}

/* ---- replies -------------------------------------------------------------------------------------------- */
json_t *hf_json_now(void) {
    char text[HF_RFC3339_BYTES];
    return json_string(hf_time_format(hf_wall_ms(hf_clock_system()), text));
}

static int append(const char *bytes, size_t len, void *ctx) { return hf_buf_put(ctx, bytes, len) ? 0 : -1; }

void hf_reply_json(hf_request *r, int status, json_t *json) {
    r->status = status;
    r->content_type = "application/json";
    hf_buf_clear(&r->reply);
    if (!json || json_dump_callback(json, append, &r->reply, JSON_COMPACT | JSON_ENCODE_ANY) != 0 ||
        !hf_buf_puts(&r->reply, "\n")) {
        hf_buf_clear(&r->reply);
        r->status = 503;
        hf_buf_puts(&r->reply, "{\"error\":\"the answer does not fit into memory; ask for less with limit=\"}\n");
    }
    json_decref(json);
}

void hf_reply_text(hf_request *r, int status) {
    r->status = status;
    r->content_type = "application/json";
    if (r->reply.failed)
        hf_reply_json(r, 503, NULL);
}

/* RFC 9457. `type` stands for the error's row in docs/errors.md; clients should compare `code`. */
static void reply_problem(hf_request *r, int status, hf_code code, const char *text, json_t *errors) {
    json_t *detail = json_string(text);
    if (!detail) /* not UTF-8: it quotes the request */
        detail = json_string("the request contains bytes that are not UTF-8");
    json_t *o =
        json_pack("{s:o,s:s,s:i,s:o,s:s}", "type", json_sprintf("urn:hyperfleet:error:%s", hf_code_name(code)), "title",
                  hf_code_sentence(code), "status", status, "detail", detail, "code", hf_code_name(code));
    if (errors)
        json_object_set_new(o, "errors", errors);
    hf_reply_json(r, status, o);
    r->content_type = "application/problem+json";
}

/* The code that a bare status stands for. */
static hf_code code_of_status(int status) {
    static const struct {
        int status;
        hf_code code;
    } codes[] = {{400, HF_E_INVALID},     {401, HF_E_UNAUTHORIZED}, {403, HF_E_PERMISSION}, {404, HF_E_NOT_FOUND},
                 {405, HF_E_UNSUPPORTED}, {406, HF_E_UNSUPPORTED},  {409, HF_E_CONFLICT},   {412, HF_E_CONFLICT},
                 {413, HF_E_LIMIT},       {415, HF_E_UNSUPPORTED},  {422, HF_E_INVALID},    {429, HF_E_BUSY},
                 {431, HF_E_LIMIT},       {501, HF_E_NOT_BUILT},    {503, HF_E_BUSY},       {504, HF_E_TIMEOUT}};
    for (size_t i = 0; i < HF_ARRAY_LEN(codes); i++)
        if (codes[i].status == status)
            return codes[i].code;
    return status < 500 ? HF_E_INVALID : HF_E_INTERNAL;
}

static json_t *list_of(const hf_intake_errors *errors) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < errors->count && i < HF_MAX_ERRORS; i++) {
        json_t *text = hf_json_text(errors->text[i]);
        json_array_append_new(list, text ? text : json_string("no memory to say what"));
    }
    return list;
}

static void reply_older(hf_request *r, int status, const char *text) {
    json_t *message = json_string(text);
    if (!message)
        message = json_string("the request contains bytes that are not UTF-8");
    hf_reply_json(r, status, json_pack("{s:o,s:o}", "error", message, "timestamp", hf_json_now()));
}

void hf_reply_error(hf_request *r, int status, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (r->v1)
        reply_problem(r, status, code_of_status(status), text, NULL);
    else
        reply_older(r, status, text);
}

void hf_reply_err(hf_request *r, const hf_err *err) {
    if (r->v1)
        reply_problem(r, hf_code_http_status(err->code), err->code, err->detail, NULL);
    else
        reply_older(r, hf_code_http_status(err->code), err->detail);
}

void hf_reply_errors(hf_request *r, hf_code code, const hf_intake_errors *errors) {
    char text[4096];
    size_t used = 0;
    for (uint32_t i = 0; i < errors->count && i < HF_MAX_ERRORS && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", i ? "; " : "", HF_STR_ARG(errors->text[i]));
    if (r->v1)
        reply_problem(r, hf_code_http_status(code), code, text, list_of(errors));
    else
        reply_older(r, hf_code_http_status(code), text);
}
