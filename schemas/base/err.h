/* Errors: a code that drives policy, and a detail for people that the caller owns.
 *
 * A function that can fail returns hf_code (HF_OK is 0) and takes `hf_err *reterr` last. On
 * failure it fills *reterr through hf_fail(); a caller that knows more adds it in front with
 * hf_context(). Nothing is allocated, nothing is thread-local; reterr may be NULL where the
 * caller does not care. Outputs (`ret_…`) are set only on success.
 * Libraries return errors; only programs log them, once. No secret may enter a detail. */
#pragma once
#include <stdarg.h>
#include <stddef.h>

typedef enum hf_code {
    HF_OK = 0,
#define HF_ERR(id, name, policy, http, exit, sentence) HF_E_##id,
#include "schemas/base/errors.def"
#undef HF_ERR
    HF_CODE_COUNT
} hf_code;

/* What a program does about an error, whatever it was. */
typedef enum hf_policy { HF_POLICY_RETRY, HF_POLICY_REJECT, HF_POLICY_STOP } hf_policy;

#define HF_ERR_DETAIL_BYTES 512

typedef struct hf_err {
    hf_code code;
    char detail[HF_ERR_DETAIL_BYTES]; /* NUL-terminated; cut at the bound */
} hf_err;

/* Fills *reterr and returns `code`, so that `return hf_fail(reterr, HF_E_IO, "…")` reads well. */
hf_code hf_fail(hf_err *reterr, hf_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with ": strerror(errno)" behind; ENOSPC and EDQUOT become NO_SPACE, EACCES and EPERM
 * PERMISSION, ENOENT NOT_FOUND, EEXIST EXISTS, ENOMEM NO_MEMORY, anything else IO. */
hf_code hf_fail_errno(hf_err *reterr, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts "text: " in front of the detail; returns the code that is already in *reterr. */
hf_code hf_context(hf_err *reterr, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *hf_code_name(hf_code code);     /* "store-full"; "ok" */
const char *hf_code_sentence(hf_code code); /* the manual's sentence */
hf_policy hf_code_policy(hf_code code);
int hf_code_http_status(hf_code code);
int hf_code_exit_status(hf_code code);
/* The code of a wire name of `len` bytes; HF_E_INTERNAL for one that is not known. */
hf_code hf_code_from_name(const char *name, size_t len);

#ifdef __clang_analyzer__ /* it does not look into another file: they always return an error */
#define HF_NEVER_OK(call_)                                                                                             \
    ({                                                                                                                 \
        hf_code code_ = (call_);                                                                                       \
        if (code_ == HF_OK)                                                                                            \
            __builtin_unreachable();                                                                                   \
        code_;                                                                                                         \
    })
#define hf_fail(...) HF_NEVER_OK((hf_fail)(__VA_ARGS__))
#define hf_fail_errno(...) HF_NEVER_OK((hf_fail_errno)(__VA_ARGS__))
#endif
