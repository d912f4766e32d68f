#include "schemas/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name, *sentence;
    hf_policy policy;
    int http_status, exit_status;
} row;

static const row rows[HF_CODE_COUNT] = {
    [HF_OK] = {"ok", "No error.", HF_POLICY_RETRY, 200, 0},
#define HF_ERR(id, name_, policy_, http_, exit_, sentence_)                                                            \
    [HF_E_##id] = {name_, sentence_, HF_POLICY_##policy_, http_, exit_},
#include "schemas/base/errors.def"
#undef HF_ERR
};

static const row *row_of(hf_code code) { return &rows[(unsigned)code < HF_CODE_COUNT ? code : HF_E_INTERNAL]; }

const char *hf_code_name(hf_code code) { return row_of(code)->name; }
const char *hf_code_sentence(hf_code code) { return row_of(code)->sentence; }
hf_policy hf_code_policy(hf_code code) { return row_of(code)->policy; }
int hf_code_http_status(hf_code code) { return row_of(code)->http_status; }
int hf_code_exit_status(hf_code code) { return row_of(code)->exit_status; }

hf_code hf_code_from_name(const char *name, size_t len) {
    for (int code = 0; code < HF_CODE_COUNT; code++)
        if (strlen(rows[code].name) == len && memcmp(rows[code].name, name, len) == 0)
            return (hf_code)code;
    return HF_E_INTERNAL;
}

static void set_detail(hf_err *reterr, hf_code code, const char *format, va_list args) {
    if (!reterr)
        return;
    /* The arguments may point into reterr->detail itself, so print aside first. */
    char text[HF_ERR_DETAIL_BYTES];
    vsnprintf(text, sizeof text, format, args);
    memcpy(reterr->detail, text, sizeof text);
    reterr->code = code;
}

hf_code(hf_fail)(hf_err *reterr, hf_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set_detail(reterr, code, format, args);
    va_end(args);
    return code;
}

static hf_code code_of_errno(int err) {
    switch (err) {
    case ENOSPC:
    case EDQUOT: return HF_E_NO_SPACE;
    case EACCES:
    case EPERM: return HF_E_PERMISSION;
    case ENOENT: return HF_E_NOT_FOUND;
    case EEXIST: return HF_E_EXISTS;
    case ENOMEM: return HF_E_NO_MEMORY;
    default: return HF_E_IO;
    }
}

hf_code(hf_fail_errno)(hf_err *reterr, int err, const char *format, ...) {
    hf_code code = code_of_errno(err);
    va_list args;
    va_start(args, format);
    set_detail(reterr, code, format, args);
    va_end(args);
    if (reterr) {
        size_t used = strlen(reterr->detail);
        char text[128];
        snprintf(reterr->detail + used, sizeof reterr->detail - used, ": %s", strerror_r(err, text, sizeof text));
    }
    return code;
}

hf_code hf_context(hf_err *reterr, const char *format, ...) {
    if (!reterr)
        return HF_E_INTERNAL; /* callers with a NULL reterr return the code they hold */
    char front[HF_ERR_DETAIL_BYTES], both[2 * HF_ERR_DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(front, sizeof front, format, args);
    va_end(args);
    snprintf(both, sizeof both, "%.*s: %.*s", HF_ERR_DETAIL_BYTES - 3, front, HF_ERR_DETAIL_BYTES - 1, reterr->detail);
    both[HF_ERR_DETAIL_BYTES - 1] = 0;
    memcpy(reterr->detail, both, HF_ERR_DETAIL_BYTES);
    return reterr->code;
}
