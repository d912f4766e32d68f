#include "tests/unit/docs/openapi.h"

#include <jansson.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/job/delivery.h"
#include "schemas/job/job.h"

/* ---- schemas of the types that cross every boundary ----------------------------------------------------------- */
static json_t *reference(const char *name) { return json_pack("{s:s+}", "$ref", "#/components/schemas/", name); }

static json_t *schema_of_field(const hf_field *f) {
    json_t *names;
    switch (f->kind) {
    case HF_K_STR: return json_pack("{s:s, s:i}", "type", "string", "maxLength", (int)f->max);
    case HF_K_RAW: return json_object();
    case HF_K_BOOL: return json_pack("{s:s}", "type", "boolean");
    case HF_K_I32:
    case HF_K_I64: return json_pack("{s:s}", "type", "integer");
    case HF_K_TIME: return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    case HF_K_F64: return json_pack("{s:s}", "type", "number");
    case HF_K_ENUM:
        names = json_array();
        for (const char *const *s = f->symbols; *s; s++)
            json_array_append_new(names, json_string(*s));
        return json_pack("{s:o}", "enum", names);
    case HF_K_RECORD:
    case HF_K_OPTION: return reference(f->sub->name);
    case HF_K_LIST:
        return json_pack("{s:s, s:o}", "type", "array", "items",
                         f->sub ? reference(f->sub->name) : json_pack("{s:s}", "type", "string"));
    case HF_K_UNIONS: return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "object");
    }
    return NULL;
}

static void add_type(json_t *schemas, const hf_type *type) {
    if (json_object_get(schemas, type->name))
        return;
    json_t *properties = json_object();
    json_object_set_new(schemas, type->name, json_pack("{s:s, s:O}", "type", "object", "properties", properties));
    for (uint32_t i = 0; i < type->field_count; i++) {
        json_object_set_new(properties, type->fields[i].name, schema_of_field(&type->fields[i]));
        if (type->fields[i].sub)
            add_type(schemas, type->fields[i].sub);
    }
    json_decref(properties);
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */
enum { P_INT, P_BOOL, P_TEXT, P_TIME, P_STATES, P_ID };
static const struct {
    const char *name;
    int kind;
    long long min, max;
    const char *example, *doc;
} params[] = {
#define HF_PARAM(id, name, kind, min, max, example, doc) {name, P_##kind, min, max, example, doc},
#include "journal/http/params.def"
#undef HF_PARAM
};

#define STATES_PATTERN                                                                                                 \
    "^(created|validated|queued|assigned|running|progressing|retrying|completed|failed|cancelled|pending)"             \
    "(,(created|validated|queued|assigned|running|progressing|retrying|completed|failed|cancelled|pending))*$"

/* What a TEXT takes when it is not any text. */
static const struct {
    const char *name, *schema;
} narrower[] = {
    {"sort", "{\"enum\": [\"created\", \"-created\", \"updated\", \"-updated\"]}"},
    {"verdict", "{\"enum\": [\"accepted\", \"rejected\"]}"},
    {"format", "{\"enum\": [\"csv\", \"jsonl\"]}"},
    {"dst_policy", "{\"enum\": [\"vixie\", \"robfig\"]}"},
    {"topic", "{\"enum\": [\"schedules\", \"controls\", \"webhooks\", \"limits\"]}"},
    {"outcome", "{\"enum\": [\"delivered\", \"retrying\", \"failed\", \"disabled\", \"refused\", \"replay\"]}"},
    {"as_of", "{\"$ref\": \"#/components/schemas/Point\"}"},
    {"from", "{\"$ref\": \"#/components/schemas/Point\"}"},
    {"to", "{\"$ref\": \"#/components/schemas/Point\"}"},
};

static json_t *schema_of_text(size_t i) {
    for (size_t n = 0; n < HF_ARRAY_LEN(narrower); n++)
        if (strcmp(narrower[n].name, params[i].name) == 0)
            return json_loads(narrower[n].schema, 0, NULL);
    return json_pack("{s:s, s:I, s:I}", "type", "string", "minLength", (json_int_t)params[i].min, "maxLength",
                     (json_int_t)params[i].max);
}

static json_t *schema_of_param(size_t i) {
    switch (params[i].kind) {
    case P_INT:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)params[i].min, "maximum",
                         (json_int_t)params[i].max);
    case P_BOOL: return json_pack("{s:s}", "type", "boolean");
    case P_ID: return reference("Id");
    case P_STATES: return json_pack("{s:s, s:s}", "type", "string", "pattern", STATES_PATTERN);
    case P_TIME: return reference("TimeOrAgo");
    default: return schema_of_text(i);
    }
}

static json_t *one_param(size_t i) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:o}", "name", params[i].name, "in", "query", "description", params[i].doc,
                          "schema", schema_of_param(i));
    if (*params[i].example)
        json_object_set_new(o, "example",
                            params[i].kind == P_INT    ? json_integer(strtoll(params[i].example, NULL, 10))
                            : params[i].kind == P_BOOL ? json_true()
                                                       : json_string(params[i].example));
    static const char *const required[] = {"from", "expression", "topic"};
    for (size_t n = 0; n < HF_ARRAY_LEN(required); n++)
        if (strcmp(params[i].name, required[n]) == 0)
            json_object_set_new(o, "required", json_true());
    return o;
}

static void add_query_params(json_t *list, const char *names) {
    for (const char *at = names; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        for (size_t i = 0; i < HF_ARRAY_LEN(params); i++)
            if (strlen(params[i].name) == n && memcmp(params[i].name, at, n) == 0)
                json_array_append_new(list, one_param(i));
        at += n;
    }
}

/* {partition} and {offset} are numbers wherever they stand; the other segments are ids. */
static json_t *schema_of_segment(const char *name) {
    if (strcmp(name, "partition") == 0 || strcmp(name, "offset") == 0)
        return json_pack("{s:s, s:i, s:I}", "type", "integer", "minimum", 0, "maximum",
                         (json_int_t)(name[0] == 'p' ? 1023 : 281474976710655LL));
    return reference("Id");
}

static void add_path_params(json_t *list, const char *path) {
    for (const char *at = path; (at = strchr(at, '{')) != NULL; at++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", "path", "required", 1,
                                              "schema", schema_of_segment(name)));
    }
}

/* ---- operations ---------------------------------------------------------------------------------------------------- */
static json_t *content_of(const char *answer) {
    if (strcmp(answer, "Text") == 0)
        return json_pack("{s:{s:{s:s}}}", "text/plain", "schema", "type", "string");
    if (strcmp(answer, "EventStream") == 0)
        return json_pack("{s:{s:{s:s}}}", "text/event-stream", "schema", "type", "string");
    if (strcmp(answer, "Download") == 0)
        return json_pack("{s:{}}", "*/*");
    if (strcmp(answer, "Page") == 0)
        return json_pack("{s:{s:{s:s}}}", "text/html", "schema", "type", "string");
    return json_pack("{s:{s:o}}", "application/json", "schema", reference(answer));
}

static void add_answer(json_t *answers, const char *status, const char *text, json_t *content) {
    json_object_set_new(answers, status, json_pack("{s:s, s:o}", "description", text, "content", content));
}

static json_t *error_content(bool v1) {
    return v1 ? json_pack("{s:{s:o}}", "application/problem+json", "schema", reference("Problem"))
              : json_pack("{s:{s:o}}", "application/json", "schema", reference("OlderError"));
}

static bool ends_with(const char *text, const char *with) {
    size_t n = strlen(text), m = strlen(with);
    return n >= m && strcmp(text + n - m, with) == 0;
}

static json_t *answers_of(const char *path, const char *handler, const char *scope, const char *params_,
                          const char *body, const char *answer, bool writes) {
    bool v1 = strncmp(path, "/api/v1/", 8) == 0, has_body = strcmp(body, "NONE") != 0;
    json_t *a = json_object();
    bool makes = ends_with(handler, "_create"),
         protocol = strcmp(handler, "job_create") == 0 || strstr(path, "/workers/");
    bool schedules = strstr(path, "/schedules") != NULL, webhooks = strstr(path, "/webhooks") != NULL;
    add_answer(a, makes ? "201" : "200", makes ? "It is made." : "What was asked for.", content_of(answer));
    if (strcmp(path, "/health") == 0)
        add_answer(a, "503", "The journal cannot be read, or the log not reached.", content_of("Health"));
    if (v1 && !writes)
        json_object_set_new(a, "304", json_pack("{s:s}", "description", "Not changed since that ETag."));
    if (*params_ || has_body || v1 || strchr(path, '{'))
        add_answer(a, "400", "A parameter or the body is not as it should be; the detail names it.", error_content(v1));
    if (strcmp(scope, "OPEN") != 0) {
        add_answer(a, "401", "The credentials are missing, unknown or expired.", error_content(v1));
        add_answer(a, "403", "The credentials do not allow this; the detail names the scope.", error_content(v1));
    }
    if (strchr(path, '{'))
        add_answer(a, "404", "There is no such thing.", error_content(v1));
    if (strcmp(handler, "v1_control") == 0)
        add_answer(a, "404", "There is no such worker.", error_content(v1));
    json_object_set_new(a, "414", json_pack("{s:s}", "description", "The address is longer than the sidecar reads."));
    if (v1)
        add_answer(a, "406", "Accept does not allow what this answers.", error_content(v1));
    if (schedules && v1 && writes && !ends_with(handler, "_trigger"))
        add_answer(a, "412", "It is not what If-Match or If-None-Match says.", error_content(v1));
    if (writes && (v1 || schedules || protocol || webhooks))
        add_answer(a, "409", "It exists already, or its state does not allow this.", error_content(v1));
    if (webhooks && ends_with(handler, "_test")) {
        add_answer(a, "501", "hyperhook is not beside the sidecar.", error_content(v1));
        add_answer(a, "502", "hyperhook ended without an outcome.", error_content(v1));
        if (!v1)
            add_answer(a, "404", "There is no such webhook.", error_content(v1));
    }
    if (webhooks && writes)
        add_answer(a, "422", "It has secrets, and the sidecar has no store for them.", error_content(v1));
    if (has_body) {
        add_answer(a, "408", "The body was not there within http.body_timeout (told where there is no TLS).",
                   error_content(true));
        add_answer(a, "413", "The body is larger than http.body_max, or has too many items.", error_content(v1));
        add_answer(a, "415", "The body is neither JSON nor YAML, or is compressed.", error_content(v1));
    }
    add_answer(a, "429", "More requests than access.rate allows; Retry-After says when to come again.",
               error_content(v1));
    if (writes)
        add_answer(a, "504", "Not folded within http.write_wait; it may still take effect.", error_content(v1));
    if (writes || has_body)
        add_answer(a, "503", "Too much waits already, or the log cannot be reached; try again.", error_content(v1));
    return a;
}

static bool is_optional(const char *body) {
    return strcmp(body, "JobQuery") == 0 || strcmp(body, "Reason") == 0 || strcmp(body, "WebhookReplay") == 0;
}

/* Whoever submitted a job goes on with its id: the links tell with what. */
static void add_links(json_t *answers, const char *from, const char *path, const char *handler) {
    static const char *const taken[] = {"/jobs/{id}", "/jobs/progress/{id}", "/jobs/logs/{id}", "/jobs/eta/{id}"};
    bool by_id = strncmp(path, "/api/v1/", 8) == 0 && strstr(path, "jobs/{id}");
    for (size_t i = 0; i < HF_ARRAY_LEN(taken); i++)
        by_id = by_id || strcmp(taken[i], path) == 0;
    if (!by_id)
        return;
    json_t *ok = json_object_get(answers, "200"), *links = json_object_get(ok, "links");
    if (!links)
        json_object_set_new(ok, "links", links = json_object());
    json_object_set_new(links, handler, json_pack("{s:s, s:{s:s}}", "operationId", handler, "parameters", "id", from));
}

static void link_submissions(json_t *answers) {
#define HF_ROUTE(method, path, handler, body, scope, params, answer, summary)                                          \
    add_links(answers, "$response.body#/items/0/job_id", path, #handler);
#include "journal/http/routes.def"
#undef HF_ROUTE
}

static json_t *operation(const char *method, const char *path, const char *handler, const char *body, const char *scope,
                         const char *params_, const char *answer, const char *summary) {
    bool writes = strcmp(method, "GET") != 0 && strcmp(scope, "READ") != 0;
    json_t *list = json_array(), *scopes = json_array();
    add_path_params(list, path);
    add_query_params(list, params_);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:o, s:o}", "operationId", handler, "summary", summary, "x-scope", scope,
                  "parameters", list, "responses", answers_of(path, handler, scope, params_, body, answer, writes));
    if (strcmp(handler, "v1_submit") == 0)
        link_submissions(json_object_get(o, "responses"));
    json_object_set_new(o, "tags", json_pack("[s]", strncmp(path, "/api/v1/", 8) == 0 ? "v1" : "older paths"));
    if (strcmp(body, "NONE") != 0)
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b, s:{s:{s:o}, s:{s:o}}}", "required", !is_optional(body), "content",
                                      "application/json", "schema", reference(body), "application/yaml", "schema",
                                      reference(body)));
    json_object_set_new(o, "security",
                        strcmp(scope, "OPEN") == 0 ? json_pack("[{}]") : json_pack("[{s:o}]", "token", scopes));
    if (strcmp(scope, "OPEN") == 0)
        json_decref(scopes);
    return o;
}

static void add_route(json_t *paths, const char *method, const char *path, json_t *o) {
    json_t *at = json_object_get(paths, path);
    char name[8] = {0};
    for (size_t i = 0; method[i] && i < sizeof name - 1; i++)
        name[i] = (char)(method[i] + 32);
    if (!at)
        json_object_set_new(paths, path, at = json_object());
    json_object_set_new(at, name, o);
}

static json_t *document(json_t *schemas) {
    static const hf_type *const types[] = {&HF_TYPE_JOB,          &HF_TYPE_SPEC,   &HF_TYPE_PROGRESS,
                                           &HF_TYPE_HEARTBEAT,    &HF_TYPE_RESULT, &HF_TYPE_JOB_ERROR,
                                           &HF_TYPE_CAPABILITIES, &HF_TYPE_RECORD, &HF_TYPE_DELIVERY};
    json_t *paths = json_object();
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++)
        add_type(schemas, types[i]);
#define HF_ROUTE(method, path, handler, body, scope, params, answer, summary)                                          \
    add_route(paths, #method, path, operation(#method, path, #handler, #body, #scope, params, #answer, summary));
#include "journal/http/routes.def"
#undef HF_ROUTE
    return json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:o, s:{s:o, s:{s:{s:s, s:s, s:s}}}}", "openapi", "3.1.0",
        "info", "title", "Hyperfleet journal", "version", HF_VERSION, "description",
        "What the journal's sidecar answers. Paths below /api/v1 answer errors as problem details (RFC 9457); the older ones keep "
        "HyperSDK's shapes.",
        "license", "name", "Apache-2.0", "identifier", "Apache-2.0", "servers", "url", "/", "paths", paths,
        "components", "schemas", schemas, "securitySchemes", "token", "type", "http", "scheme", "bearer", "description",
        "A token of access.tokens_file; not needed where access control is off.");
}

bool hf_openapi_print(FILE *out) {
    json_t *schemas = json_load_file(HF_SOURCE_DIR "/journal/http/openapi/schemas.json", JSON_REJECT_DUPLICATES, NULL);
    json_t *doc = schemas ? document(schemas) : NULL;
    bool ok = doc && json_dumpf(doc, out, JSON_INDENT(1)) == 0 && fputc('\n', out) != EOF;
    json_decref(doc);
    return ok;
}
