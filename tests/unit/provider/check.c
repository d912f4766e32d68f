#include "check.h"

hf_soap_answer answer_of(const char *xml) {
    hf_soap_answer answer = {0};
    assert_ok(hf_soap_parse(hf_str_of(xml), HF_SOAP_ANSWER_MAX, &answer, err));
    return answer;
}
