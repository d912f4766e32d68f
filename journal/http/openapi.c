/* The API's own description and what it knows of its caller. */
#include "journal/http/inside.h"

/* docs/openapi.json, which ops/build/docs makes from routes.def and params.def. */
__asm__(".section .rodata\n"
        ".balign 16\n"
        "hf_openapi_text:\n"
        ".incbin \"" HF_SOURCE_DIR "/docs/openapi.json\"\n"
        "hf_openapi_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char hf_openapi_text[] __asm__("hf_openapi_text");
extern const char hf_openapi_end[] __asm__("hf_openapi_end");

void hf_handle_openapi(hf_request *r) {
    hf_buf_clear(&r->reply);
    if (!hf_buf_put(&r->reply, hf_openapi_text, (size_t)(hf_openapi_end - hf_openapi_text))) {
        hf_reply_error(r, 503, "no memory for the document");
        return;
    }
    r->status = 200;
    r->content_type = "application/json";
}

void hf_handle_v1_whoami(hf_request *r) {
    json_t *scopes = json_array();
    for (unsigned s = HF_SCOPE_READ; s <= HF_SCOPE_ADMIN; s <<= 1)
        if (r->who.scopes & s)
            json_array_append_new(scopes, json_string(hf_scope_name((hf_scope)s)));
    hf_reply_json(r, 200,
                  json_pack("{s:s, s:o, s:b, s:s, s:s}", "name", r->who.name, "scopes", scopes, "access_control",
                            hf_access_required(r->http->access), "fleet",
                            hf_config_str(r->http->options.config, HF_C_FLEET), "version", HF_VERSION));
}
