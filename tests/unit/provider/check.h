/* What the tests of providers share: cmocka, and errors that say what went wrong. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/provider/vsphere/soap.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        hf_err e_ = {0};                                                                                               \
        hf_err *err = &e_;                                                                                             \
        (void)err;                                                                                                     \
        if ((call) != HF_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, hf_code_name(e_.code), e_.detail);                                           \
    } while (0)

/* The call fails with `code`, and its detail contains `text`. */
#define assert_fails(call, code_, text)                                                                                \
    do {                                                                                                               \
        hf_err e_ = {0};                                                                                               \
        hf_err *err = &e_;                                                                                             \
        hf_code c_ = (call);                                                                                           \
        if (c_ != (code_) || e_.code != c_ || !strstr(e_.detail, text))                                                \
            fail_msg("%s: %s: %s", #call, hf_code_name(c_), e_.detail);                                                \
    } while (0)

#define ENVELOPE(body)                                                                                                 \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/"     \
    "envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-"         \
    "instance\"><soapenv:Body>" body "</soapenv:Body></soapenv:Envelope>"

/* An answer from text; hf_soap_answer_done it. */
hf_soap_answer answer_of(const char *xml);
