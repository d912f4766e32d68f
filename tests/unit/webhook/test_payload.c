/* What is sent, byte by byte, for every event in every format; and that it is JSON whatever the facts hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/webhook/payload.h"

static const hf_str files[] = {HF_STR_INIT("/exports/web-01/vm.ovf"), HF_STR_INIT("/exports/web-01/vm-disk1.vmdk")};

static hf_webhook_facts facts_of(hf_webhook_event event) {
    return (hf_webhook_facts){
        .event = event,
        .at = 1768645800000,
        .job_id = HF_STR("abc123-def456"),
        .job_name = HF_STR("export-web-server"),
        .vm_path = HF_STR("/data/vm/web-01"),
        .output_path = HF_STR("/exports/web-01"),
        .duration_seconds = 1234.56,
        .ovf_path = HF_STR("/exports/web-01/vm.ovf"),
        .exported_files = {files, 2},
        .error = HF_STR("disk \"1\" <gone> & away"),
        .phase = HF_STR("exporting"),
        .percent_complete = 42.5,
        .files_done = 1,
        .files_total = 3,
        .bytes_done = 1073741824,
        .bytes_total = 9007199254740993,
        .provider = HF_STR("vsphere"),
        .vms = HF_STR("[{\"name\": \"web-01\", \"path\": \"/dc/vm/web-01\", \"power_state\": \"poweredOn\"}]"),
    };
}

static char *written(hf_payload_format format, const hf_webhook_facts *facts) {
    hf_buf out;
    hf_err err = {0};
    hf_buf_init(&out, HF_PAYLOAD_MAX_BYTES);
    assert_int_equal(hf_payload_write(&out, format, facts, HF_STR("msg_7"), HF_STR("/hyperfleet/main"), &err), HF_OK);
    char *text = hf_strndup((const char *)out.data, out.len);
    assert_non_null(text);
    hf_buf_done(&out);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    json_decref(json);
    return text;
}

static void expect(hf_payload_format format, const hf_webhook_facts *facts, const char *golden) {
    hf_auto_free char *text = written(format, facts);
    assert_string_equal(text, golden);
}

#define JOB "\"job_id\":\"abc123-def456\",\"job_name\":\"export-web-server\""
#define VM JOB ",\"vm_path\":\"/data/vm/web-01\""
static const char *const data[] = {
    [HF_WE_JOB_CREATED] = "{" VM ",\"output_path\":\"/exports/web-01\"}",
    [HF_WE_JOB_STARTED] = "{" VM "}",
    [HF_WE_JOB_PROGRESS] =
        "{" JOB ",\"phase\":\"exporting\",\"percent_complete\":42.50,\"files_done\":1,\"files_total\":3,"
        "\"bytes_done\":1073741824,\"bytes_total\":9007199254740993}",
    [HF_WE_JOB_COMPLETED] = "{" VM ",\"duration_seconds\":1234.560,\"ovf_path\":\"/exports/web-01/vm.ovf\","
                            "\"exported_files\":[\"/exports/web-01/vm.ovf\",\"/exports/web-01/vm-disk1.vmdk\"]}",
    [HF_WE_JOB_FAILED] = "{" VM ",\"error\":\"disk \\\"1\\\" <gone> & away\"}",
    [HF_WE_JOB_CANCELLED] = "{" VM "}",
    [HF_WE_VM_DISCOVERED] =
        "{\"provider\":\"vsphere\",\"vms\":[{\"name\":\"web-01\",\"path\":\"/dc/vm/web-01\",\"power_state\":\"poweredOn\"}]}",
    [HF_WE_TEST] = "{\"test\":true,\"message\":\"A trial delivery: no job is behind it.\"}",
};
static const char *const names[] = {
    [HF_WE_JOB_CREATED] = "job.created",     [HF_WE_JOB_STARTED] = "job.started",
    [HF_WE_JOB_PROGRESS] = "job.progress",   [HF_WE_JOB_COMPLETED] = "job.completed",
    [HF_WE_JOB_FAILED] = "job.failed",       [HF_WE_JOB_CANCELLED] = "job.cancelled",
    [HF_WE_VM_DISCOVERED] = "vm.discovered", [HF_WE_TEST] = "webhook.test",
};

static void the_older_body_with_type_beside_event(void **state) {
    (void)state;
    for (int event = 0; event <= HF_WE_TEST; event++) {
        char golden[2048];
        hf_webhook_facts facts = facts_of((hf_webhook_event)event);
        snprintf(golden, sizeof golden,
                 "{\"event\":\"%s\",\"type\":\"%s\",\"timestamp\":\"2026-01-17T10:30:00.000Z\",\"data\":%s}",
                 names[event], names[event], data[event]);
        expect(HF_PAYLOAD_STANDARD, &facts, golden);
    }
}

static void a_cloud_event(void **state) {
    (void)state;
    for (int event = 0; event <= HF_WE_TEST; event++) {
        char golden[2048];
        hf_webhook_facts facts = facts_of((hf_webhook_event)event);
        facts.at += 7;
        snprintf(
            golden, sizeof golden,
            "{\"specversion\":\"1.0\",\"id\":\"msg_7\",\"source\":\"/hyperfleet/main\",\"type\":\"io.hyperfleet.%s\","
            "\"time\":\"2026-01-17T10:30:00.007Z\",\"subject\":\"%s\",\"datacontenttype\":\"application/json\",\"data\":%s}",
            names[event], event == HF_WE_VM_DISCOVERED ? "vsphere" : "abc123-def456", data[event]);
        expect(HF_PAYLOAD_CLOUDEVENTS, &facts, golden);
    }
    hf_webhook_facts nobody = facts_of(HF_WE_TEST);
    nobody.job_id = HF_STR_NONE;
    hf_auto_free char *text = written(HF_PAYLOAD_CLOUDEVENTS, &nobody);
    assert_null(strstr(text, "subject")); /* it must not be empty: it is left out */
}

static void a_line_for_slack(void **state) {
    static const char *const lines[] = {
        [HF_WE_JOB_CREATED] = "Job created: export-web-server from /data/vm/web-01",
        [HF_WE_JOB_STARTED] = "Job started: export-web-server",
        [HF_WE_JOB_PROGRESS] = "Job in progress: export-web-server, exporting 42 %",
        [HF_WE_JOB_COMPLETED] = "Job completed: export-web-server (20 min 35 s)",
        [HF_WE_JOB_FAILED] = "Job failed: export-web-server: disk \\\"1\\\" &lt;gone&gt; &amp; away",
        [HF_WE_JOB_CANCELLED] = "Job cancelled: export-web-server",
        [HF_WE_VM_DISCOVERED] = "VMs discovered: vsphere has 1 of them",
        [HF_WE_TEST] = "A trial delivery of Hyperfleet: no job is behind it",
    };
    (void)state;
    for (int event = 0; event <= HF_WE_TEST; event++) {
        char golden[2048];
        hf_webhook_facts facts = facts_of((hf_webhook_event)event);
        snprintf(golden, sizeof golden,
                 "{\"text\":\"%s\",\"blocks\":[{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"%s\"}},"
                 "{\"type\":\"context\",\"elements\":[{\"type\":\"mrkdwn\",\"text\":\"%s of job abc123-def456\"}]}]}",
                 lines[event], lines[event], names[event]);
        expect(HF_PAYLOAD_SLACK, &facts, golden);
    }
}

static void a_slack_message_stays_short_and_rings_nobody(void **state) {
    (void)state;
    char text[2000];
    for (size_t i = 0; i + 2 <= sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[0] = 'x'; /* the bound falls into a character */
    text[1] = '<';
    hf_webhook_facts facts = facts_of(HF_WE_JOB_FAILED);
    facts.error = (hf_str){text, sizeof text};
    facts.job_name = HF_STR("<!channel> <@U1> \n> quoted");
    hf_auto_free char *body = written(HF_PAYLOAD_SLACK, &facts);
    assert_true(strlen(body) < 2000);
    assert_null(strchr(body, '<'));
    assert_null(strchr(body, '>'));
    assert_non_null(strstr(body, "&lt;!channel&gt; &lt;@U1&gt;  &gt; quoted: x&lt;\xc3\xa4"));
    assert_non_null(strstr(body, "\xc3\xa4\xe2\x80\xa6\""));
}

static void numbers_that_are_none(void **state) {
    (void)state;
    hf_webhook_facts facts = facts_of(HF_WE_JOB_PROGRESS);
    static const struct {
        double percent;
        const char *shown;
    } cases[] = {{-1, ":null,"}, {NAN, ":null,"},  {INFINITY, ":null,"}, {0, ":0,"},
                 {100, ":100,"}, {250.5, ":100,"}, {33.333, ":33.33,"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        char wanted[64];
        facts.percent_complete = cases[i].percent;
        snprintf(wanted, sizeof wanted, "\"percent_complete\"%s", cases[i].shown);
        hf_auto_free char *text = written(HF_PAYLOAD_STANDARD, &facts);
        assert_non_null(strstr(text, wanted));
        hf_auto_free char *slack = written(HF_PAYLOAD_SLACK, &facts);
    }
    facts = facts_of(HF_WE_JOB_COMPLETED);
    facts.duration_seconds = NAN;
    hf_auto_free char *text = written(HF_PAYLOAD_STANDARD, &facts);
    assert_non_null(strstr(text, "\"duration_seconds\":0.000,"));
    facts.duration_seconds = 60;
    hf_auto_free char *whole = written(HF_PAYLOAD_STANDARD, &facts);
    assert_non_null(strstr(whole, "\"duration_seconds\":60,"));
}

static void texts_that_are_no_text(void **state) {
    (void)state;
    hf_webhook_facts facts = facts_of(HF_WE_JOB_STARTED);
    static const char odd[] = "a\0b\x01\x1f\x7f\t\r\n\\\"\xff\xc3\xed\xa0\x80\xf0\x9f\x98\x80\xe2\x82";
    facts.vm_path = (hf_str){odd, sizeof odd - 1};
    hf_auto_free char *text = written(HF_PAYLOAD_STANDARD, &facts);
    assert_non_null(strstr(
        text, "\"a\xef\xbf\xbd"
              "b\\u0001\\u001f\\u007f\\t\\r\\n\\\\\\\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
              "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\""));
    static const char *const lists[] = {"", "{}", "[", "[1,]", "null", "[{\"a\":1,\"a\":2}]", "[\"\xff\"]"};
    facts = facts_of(HF_WE_VM_DISCOVERED);
    for (size_t i = 0; i < HF_ARRAY_LEN(lists); i++) {
        facts.vms = hf_str_of(lists[i]);
        hf_auto_free char *none = written(HF_PAYLOAD_STANDARD, &facts);
        assert_non_null(strstr(none, "\"vms\":[]"));
    }
}

static void a_trial_says_so_first(void **state) {
    (void)state;
    hf_webhook_facts facts = facts_of(HF_WE_JOB_STARTED);
    facts.test = true;
    hf_auto_free char *text = written(HF_PAYLOAD_STANDARD, &facts), *slack = written(HF_PAYLOAD_SLACK, &facts);
    assert_non_null(strstr(text, "\"data\":{\"test\":true,\"job_id\":"));
    assert_non_null(strstr(slack, "\"text\":\"Trial: Job started"));
}

static void a_body_is_bounded_and_the_largest_record_fits(void **state) {
    (void)state;
    hf_buf out;
    hf_err err;
    hf_webhook_facts facts = facts_of(HF_WE_JOB_COMPLETED);
    hf_auto_free char *bytes = hf_alloc(HF_MAX_RECORD);
    memset(bytes, 1, HF_MAX_RECORD); /* six characters each */
    hf_str whole = {bytes, HF_MAX_RECORD};
    facts.exported_files = (hf_list){&whole, 1};
    hf_buf_init(&out, HF_PAYLOAD_MAX_BYTES);
    assert_int_equal(hf_payload_write(&out, HF_PAYLOAD_CLOUDEVENTS, &facts, HF_STR("msg_7"), HF_STR("/"), &err), HF_OK);
    assert_true(out.len > 6 * HF_MAX_RECORD);
    hf_buf_done(&out);
    hf_buf_init(&out, 65536);
    assert_int_equal(hf_payload_write(&out, HF_PAYLOAD_STANDARD, &facts, HF_STR("msg_7"), HF_STR("/"), &err),
                     HF_E_LIMIT);
    assert_non_null(strstr(err.detail, "65536"));
    assert_int_equal(out.len, 0);
    hf_buf_done(&out);
}

static void without_memory_it_says_so(void **state) {
    (void)state;
    hf_webhook_facts facts = facts_of(HF_WE_JOB_COMPLETED);
    for (int format = 0; format <= HF_PAYLOAD_SLACK; format++)
        for (uint64_t n = 1;; n++) {
            hf_buf out;
            hf_err err = {0};
            hf_buf_init(&out, HF_PAYLOAD_MAX_BYTES);
            hf_alloc_fail_after(n);
            hf_code code =
                hf_payload_write(&out, (hf_payload_format)format, &facts, HF_STR("msg_7"), HF_STR("/"), &err);
            hf_alloc_fail_after(0);
            hf_buf_done(&out);
            if (code == HF_OK)
                break;
            assert_int_equal(code, HF_E_NO_MEMORY);
            assert_true(n < 100);
        }
}

static void names_both_ways(void **state) {
    (void)state;
    hf_webhook_event event;
    hf_payload_format format;
    for (int i = 0; i < HF_WEBHOOK_EVENT_COUNT; i++) {
        assert_string_equal(hf_webhook_event_name((hf_webhook_event)i), names[i]);
        assert_true(hf_webhook_event_from_name(hf_str_of(names[i]), &event) && (int)event == i);
    }
    assert_false(hf_webhook_event_from_name(HF_STR("webhook.test"), &event)); /* nobody can ask for it */
    assert_false(hf_webhook_event_from_name(HF_STR("job.Created"), &event));
    for (int i = 0; i <= HF_PAYLOAD_SLACK; i++)
        assert_true(hf_payload_format_from_name(hf_str_of(hf_payload_format_name((hf_payload_format)i)), &format) &&
                    (int)format == i);
    assert_false(hf_payload_format_from_name(HF_STR("teams"), &format));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_older_body_with_type_beside_event),
        cmocka_unit_test(a_cloud_event),
        cmocka_unit_test(a_line_for_slack),
        cmocka_unit_test(a_slack_message_stays_short_and_rings_nobody),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(texts_that_are_no_text),
        cmocka_unit_test(a_trial_says_so_first),
        cmocka_unit_test(a_body_is_bounded_and_the_largest_record_fits),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(names_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
