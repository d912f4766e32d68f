/* SOAP out is escaped, SOAP in is read by namespace and refused where it is hostile; faults become errors by one table. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "consumer/provider/vsphere/fault.h"
#include "schemas/base/mem.h"

/* ---- out ------------------------------------------------------------------------------------------------------ */
static void texts_are_escaped(void **state) {
    (void)state;
    hf_buf b;
    hf_buf_init(&b, 4096);
    const hf_moref self = {"SearchIndex", "a\"b"};
    hf_soap_begin(&b, "Find", &self);
    hf_soap_text(&b, "path", HF_STR("<a>&\"\r\xc3\xa4\xf0\x9f\x98\x80</a>"));
    hf_soap_open(&b, "fault", "SystemError");
    hf_soap_int(&b, "n", -5);
    hf_soap_bool(&b, "b", true);
    hf_soap_close(&b, "fault");
    hf_soap_end(&b, "Find");
    assert_false(b.failed);
    assert_true(hf_str_eqz(hf_buf_str(&b),
                           "<Find xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">a&quot;b</_this><path>"
                           "&lt;a&gt;&amp;&quot;&#13;\xc3\xa4\xf0\x9f\x98\x80&lt;/a&gt;</path><fault "
                           "xsi:type=\"v:SystemError\"><n>-5</n><b>true</b></fault></Find>"));
    hf_buf_done(&b);
}

static void texts_that_are_none_fail_the_request(void **state) {
    static const hf_str bad[] = {HF_STR_INIT("a\x01"),
                                 HF_STR_INIT("\x00"),
                                 HF_STR_INIT("\xff"),
                                 HF_STR_INIT("\xc0\x80"),
                                 HF_STR_INIT("\xc3"),
                                 HF_STR_INIT("\xed\xa0\x80"),
                                 HF_STR_INIT("\xf4\x90\x80\x80"),
                                 HF_STR_INIT("\xef\xbf\xbf"),
                                 HF_STR_INIT("\xe0\x80\x80")};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        hf_buf b;
        hf_buf_init(&b, 4096);
        hf_soap_text(&b, "t", bad[i]);
        if (!b.failed)
            fail_msg("text %zu was let through", i);
        hf_buf_done(&b);
    }
}

/* ---- in --------------------------------------------------------------------------------------------------------- */
static void types_are_known_by_namespace_whatever_the_prefix(void **state) {
    (void)state;
    hf_soap_answer a = answer_of(
        "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header/><e:Body>"
        "<XResponse xmlns=\"urn:vim25\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:q=\"urn:vim25\" "
        "xmlns:o=\"urn:other\"><returnval i:type=\"q:VirtualDisk\"><n> 12 </n><n>34</n><b>1</b></returnval>"
        "<returnval o:type=\"no\" i:type=\"VirtualCdrom\"/><ref type=\"Folder\">group-1</ref>"
        "<text>a&amp;b<![CDATA[<c>]]>&#x41;</text></XResponse></e:Body></e:Envelope>");
    const xmlNode *first = hf_xml_child(a.response, "returnval"), *second = hf_xml_next(a.response, "returnval", first);
    hf_moref ref;
    char text[32];
    assert_string_equal(hf_xml_type(first), "VirtualDisk");
    assert_string_equal(hf_xml_type(second), "VirtualCdrom");
    assert_string_equal(hf_xml_type(NULL), "");
    assert_null(hf_xml_next(a.response, "returnval", second));
    assert_int_equal(hf_xml_int(hf_xml_child(first, "n"), -1), -1); /* " 12 " is none of theirs */
    assert_int_equal(hf_xml_int(hf_xml_next(first, "n", hf_xml_child(first, "n")), -1), 34);
    assert_true(hf_xml_bool(hf_xml_child(first, "b"), false));
    assert_true(hf_xml_bool(hf_xml_child(first, "missing"), true));
    assert_true(hf_xml_ref(hf_xml_child(a.response, "ref"), &ref));
    assert_string_equal(ref.type, "Folder");
    assert_string_equal(ref.value, "group-1");
    assert_false(hf_xml_ref(first, &ref));
    assert_true(hf_xml_copy(hf_xml_child(a.response, "text"), text, sizeof text));
    assert_string_equal(text, "a&b<c>A");
    hf_soap_answer_done(&a);
}

static void copies_are_cut_between_characters(void **state) {
    (void)state;
    hf_soap_answer a = answer_of(ENVELOPE("<R xmlns=\"urn:vim25\"><t>ab\xc3\xa4\xe2\x82\xac</t></R>"));
    const xmlNode *t = hf_xml_child(a.response, "t");
    char text[16];
    static const char *const cut[] = {
        "", "", "a", "ab", "ab", "ab\xc3\xa4", "ab\xc3\xa4", "ab\xc3\xa4", "ab\xc3\xa4\xe2\x82\xac"};
    for (size_t size = 1; size < HF_ARRAY_LEN(cut); size++) {
        assert_int_equal(hf_xml_copy(t, text, size), size == 8);
        assert_string_equal(text, cut[size]);
    }
    hf_soap_answer_done(&a);
}

static void refuse(const char *what, const char *xml, hf_code code, const char *says) {
    hf_soap_answer a = {0};
    hf_err err = {0};
    hf_code got = hf_soap_parse(hf_str_of(xml), HF_SOAP_ANSWER_MAX, &a, &err);
    if (got != code || !strstr(err.detail, says) || a.doc)
        fail_msg("%s: %s: %s", what, hf_code_name(got), err.detail);
}

static void hostile_documents_are_refused(void **state) {
    (void)state;
    refuse(
        "bomb",
        "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;"
        "\">]>" ENVELOPE("<R>&c;</R>"),
        HF_E_PROTOCOL, "DOCTYPE");
    refuse("bomb behind a declaration",
           "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"x\">]><e:Envelope "
           "xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><R>&a;</R></e:Body></e:Envelope>",
           HF_E_PROTOCOL, "DOCTYPE");
    refuse("external entity", "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r>&x;</r>", HF_E_PROTOCOL,
           "DOCTYPE");
    refuse("external DTD", "<!DOCTYPE r SYSTEM \"http://127.0.0.1:1/x.dtd\"><r/>", HF_E_PROTOCOL, "DOCTYPE");
    refuse("parameter entity", "<!DOCTYPE r [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]><r/>", HF_E_PROTOCOL,
           "DOCTYPE");
    refuse("unknown entity", ENVELOPE("<R>&nope;</R>"), HF_E_PROTOCOL, "no XML");
    refuse("empty", "", HF_E_PROTOCOL, "no XML");
    refuse("html", "<html><body>Bad Gateway<br></body></html>", HF_E_PROTOCOL, "vSphere");
    refuse("cut", "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><R>",
           HF_E_PROTOCOL, "no XML");
    refuse("other namespace", "<Envelope xmlns=\"urn:x\"><Body><R/></Body></Envelope>", HF_E_PROTOCOL,
           "no SOAP envelope");
    refuse("empty body", ENVELOPE(""), HF_E_PROTOCOL, "no SOAP envelope");
    refuse("text behind it", ENVELOPE("<R/>") "more", HF_E_PROTOCOL, "no XML");
}

static void depth_and_size_have_bounds(void **state) {
    enum { DEEP = 400 };
    (void)state;
    hf_buf b;
    hf_soap_answer a = {0};
    hf_buf_init(&b, 1 << 20);
    hf_buf_puts(&b, "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body>");
    for (int i = 0; i < DEEP; i++)
        hf_buf_puts(&b, "<d>");
    for (int i = 0; i < DEEP; i++)
        hf_buf_puts(&b, "</d>");
    hf_buf_puts(&b, "</e:Body></e:Envelope>");
    assert_fails(hf_soap_parse(hf_buf_str(&b), HF_SOAP_ANSWER_MAX, &a, err), HF_E_PROTOCOL, "depth");
    assert_fails(hf_soap_parse(hf_buf_str(&b), b.len - 1, &a, err), HF_E_LIMIT, "at most");
    hf_buf_done(&b);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */
#define FAULT(detail)                                                                                                  \
    ENVELOPE("<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>It did not work.</faultstring>"        \
             "<detail>" detail "</detail></soapenv:Fault>")

static void fault_is(const char *xml, const char *name, hf_code code, const char *says) {
    hf_soap_answer a = answer_of(xml);
    hf_err err = {0};
    const char *got = NULL;
    assert_non_null(a.fault);
    assert_null(a.response);
    hf_code c = hf_soap_fault(&a, &got, &err);
    if (c != code || err.code != code || strcmp(got, name) != 0 || !strstr(err.detail, says))
        fail_msg("%s: %s %s: %s", name, got, hf_code_name(c), err.detail);
    hf_soap_answer_done(&a);
}

static void faults_become_errors_by_the_table(void **state) {
    (void)state;
    fault_is(FAULT("<InvalidLoginFault xmlns=\"urn:vim25\" xsi:type=\"InvalidLogin\"></InvalidLoginFault>"),
             "InvalidLogin", HF_E_UNAUTHORIZED, "It did not work.: check username and password");
    fault_is(FAULT("<x:NoPermissionFault xmlns:x=\"urn:vim25\"><x:object type=\"VirtualMachine\">vm-1</x:object>"
                   "<x:privilegeId>VApp.Export</x:privilegeId></x:NoPermissionFault>"),
             "NoPermission", HF_E_PERMISSION, "NoPermission (privilegeId VApp.Export)");
    fault_is(FAULT("<Fault xmlns:q=\"urn:vim25\" xsi:type=\"q:InvalidPowerState\"><requestedState>poweredOff"
                   "</requestedState><existingState>poweredOn</existingState></Fault>"),
             "InvalidPowerState", HF_E_CONFLICT, "existingState poweredOn");
    fault_is(FAULT("<Fault xsi:type=\"TaskInProgress\"/>"), "TaskInProgress", HF_E_BUSY, "try again");
    fault_is(FAULT("<Fault xsi:type=\"DasConfigFault\"/>"), "", HF_E_PROVIDER_FAULT, "vSphere fault DasConfigFault");
    fault_is(FAULT(""), "", HF_E_PROVIDER_FAULT, "fault without a type: It did not work.");
    fault_is(ENVELOPE("<soapenv:Fault/>"), "", HF_E_PROVIDER_FAULT, "without a type");
}

static void faults_inside_answers_are_told_alike(void **state) {
    (void)state;
    hf_soap_answer a =
        answer_of(ENVELOPE("<R xmlns=\"urn:vim25\"><error><fault xsi:type=\"FilesystemQuiesceFault\"/>"
                           "<localizedMessage>An error occurred while quiescing.</localizedMessage></error></R>"));
    const char *name = NULL;
    assert_fails(hf_vsphere_localized_fault(hf_xml_child(a.response, "error"), &name, err), HF_E_TOOL_FAILED,
                 "An error occurred while quiescing.: the guest");
    assert_string_equal(name, "FilesystemQuiesceFault");
    hf_soap_answer_done(&a);
}

static void policies_of_faults_are_as_promised(void **state) {
    static const struct {
        const char *name;
        hf_policy policy;
    } promised[] = {{"InvalidLogin", HF_POLICY_REJECT},      {"NoPermission", HF_POLICY_REJECT},
                    {"NotFound", HF_POLICY_REJECT},          {"ManagedObjectNotFound", HF_POLICY_REJECT},
                    {"TaskInProgress", HF_POLICY_RETRY},     {"Timedout", HF_POLICY_RETRY},
                    {"HostNotConnected", HF_POLICY_RETRY},   {"RequestCanceled", HF_POLICY_RETRY},
                    {"NotAuthenticated", HF_POLICY_RETRY},   {"SystemError", HF_POLICY_RETRY},
                    {"RestrictedVersion", HF_POLICY_REJECT}, {"MethodNotFound", HF_POLICY_REJECT}};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(promised); i++) {
        const hf_vsphere_fault_row *row = hf_vsphere_fault_find(promised[i].name);
        assert_non_null(row);
        if (hf_code_policy(row->code) != promised[i].policy)
            fail_msg("%s", row->name);
        assert_ptr_equal(hf_vsphere_fault_find(row->name), row);
    }
    assert_null(hf_vsphere_fault_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_are_escaped),
                                       cmocka_unit_test(texts_that_are_none_fail_the_request),
                                       cmocka_unit_test(types_are_known_by_namespace_whatever_the_prefix),
                                       cmocka_unit_test(copies_are_cut_between_characters),
                                       cmocka_unit_test(hostile_documents_are_refused),
                                       cmocka_unit_test(depth_and_size_have_bounds),
                                       cmocka_unit_test(faults_become_errors_by_the_table),
                                       cmocka_unit_test(faults_inside_answers_are_told_alike),
                                       cmocka_unit_test(policies_of_faults_are_as_promised)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
