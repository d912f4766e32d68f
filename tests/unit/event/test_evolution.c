/* Records of older and newer programs: fields added, left out and reordered, symbols and kinds of transition appended,
 * numbers promoted, strings optional. Writers here are avro-c with schemas made for the purpose. */
/* NOLINTBEGIN(clang-analyzer-core.*): avro-c calls through tables of functions the analyzer cannot see into. */
#include <avro.h>
#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/mem.h"
#include "schemas/event/codec_private.h"
#include "tests/unit/event/fixture.h"

/* ---- a writer with a schema of its own -------------------------------------------------------------- */
typedef struct other {
    avro_schema_t schema;
    avro_value_iface_t *class;
    avro_value_t value;
    char bytes[4096];
    size_t len;
} other;

static void other_init(other *o, const char *schema) {
    assert_int_equal(avro_schema_from_json_length(schema, strlen(schema), &o->schema), 0);
    o->class = avro_generic_class_from_schema(o->schema);
    assert_int_equal(avro_generic_value_new(o->class, &o->value), 0);
}

static void other_done(other *o) {
    avro_value_decref(&o->value);
    avro_value_iface_decref(o->class);
    avro_schema_decref(o->schema);
}

static avro_value_t field(avro_value_t record, const char *name) {
    avro_value_t value;
    if (avro_value_get_by_name(&record, name, &value, NULL))
        fail_msg("the writer has no %s", name);
    return value;
}
static avro_value_t branch(avro_value_t value, int index) {
    avro_value_t inner;
    assert_int_equal(avro_value_set_branch(&value, index, &inner), 0);
    return inner;
}
static avro_value_t append(avro_value_t array) {
    avro_value_t item;
    assert_int_equal(avro_value_append(&array, &item, NULL), 0);
    return item;
}
static void set_str(avro_value_t value, const char *text) { assert_int_equal(avro_value_set_string(&value, text), 0); }
static void set_int(avro_value_t value, int32_t n) { assert_int_equal(avro_value_set_int(&value, n), 0); }
static void set_long(avro_value_t value, int64_t n) { assert_int_equal(avro_value_set_long(&value, n), 0); }

static hf_str other_bytes(other *o) {
    avro_writer_t writer = avro_writer_memory(o->bytes, sizeof o->bytes);
    assert_int_equal(avro_value_write(writer, &o->value), 0);
    o->len = (size_t)avro_writer_tell(writer);
    avro_writer_free(writer);
    return (hf_str){o->bytes, (uint32_t)o->len};
}

static hf_code read_other(fixture *f, other *o, const char *schema, const hf_type *type, const char *reader,
                          void *ret) {
    hf_plan *plan;
    check_ok(f, hf_plan_new(schema, type, reader, &plan, &f->err));
    hf_code code = hf_plan_read(plan, other_bytes(o), 0, &f->out, ret, &f->err);
    hf_plan_free(plan);
    return code;
}

/* ---- tests --------------------------------------------------------------------------------------------- */
static void an_older_writer_lacks_fields(void **state) {
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"JobSubmission\",\"namespace\":\"io.hyperfleet.v1\",\"fields\":["
        "{\"name\":\"spec\",\"type\":{\"type\":\"record\",\"name\":\"JobSpec\",\"fields\":["
        "{\"name\":\"vm_path\",\"type\":\"string\"},{\"name\":\"execution_policy\",\"type\":{\"type\":\"record\","
        "\"name\":\"ExecutionPolicy\",\"fields\":[{\"name\":\"priority\",\"type\":\"int\"}]}}]}}]}";
    fixture *f = *state;
    other o;
    hf_submission got;
    other_init(&o, schema);
    set_str(field(field(o.value, "spec"), "vm_path"), "/dc/vm/web");
    set_int(field(field(field(o.value, "spec"), "execution_policy"), "priority"), 2);
    check_ok(f, read_other(f, &o, schema, &HF_TYPE_SUBMISSION, NULL, &got));
    assert_true(hf_str_eqz(got.spec.vm_path, "/dc/vm/web"));
    assert_int_equal(got.spec.policy.priority, 2);
    assert_int_equal(got.spec.policy.retry_count, 2);
    assert_int_equal(got.spec.policy.timeout_seconds, HF_TIMEOUT_MAX_S);
    assert_true(got.spec.policy.idempotent && got.spec.options.compress);
    assert_int_equal(got.job_id.len, 0);
    assert_int_equal(got.spec.disks.count, 0);
    other_done(&o);
}

static void a_newer_writer_has_fields_of_every_kind(void **state) {
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"Control\",\"fields\":["
        "{\"name\":\"n0\",\"type\":\"null\"},{\"name\":\"n1\",\"type\":\"boolean\"},{\"name\":\"n2\",\"type\":\"int\"},{\"name\":\"n3\",\"type\":\"long\"},"
        "{\"name\":\"reason\",\"type\":\"string\"},"
        "{\"name\":\"n4\",\"type\":\"float\"},{\"name\":\"n5\",\"type\":\"double\"},{\"name\":\"n6\",\"type\":\"bytes\"},{\"name\":\"n7\",\"type\":\"string\"},"
        "{\"name\":\"n8\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":5}},{\"name\":\"n9\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a\",\"b\"]}},"
        "{\"name\":\"key\",\"type\":\"string\"},"
        "{\"name\":\"n10\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":[\"null\",\"F\",\"E\"]}}},"
        "{\"name\":\"n11\",\"type\":{\"type\":\"record\",\"name\":\"N\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"F\"]},{\"name\":\"x\",\"type\":\"E\"}]}},"
        "{\"name\":\"by\",\"type\":\"bytes\"}]}";
    fixture *f = *state;
    other o;
    hf_control got;
    other_init(&o, schema);
    avro_value_t n;
    n = field(o.value, "n0"), avro_value_set_null(&n);
    n = field(o.value, "n1"), avro_value_set_boolean(&n, 1);
    set_int(field(o.value, "n2"), -70000);
    set_long(field(o.value, "n3"), INT64_MIN);
    n = field(o.value, "n4"), avro_value_set_float(&n, 1.5f);
    n = field(o.value, "n5"), avro_value_set_double(&n, 1e300);
    n = field(o.value, "n6"), avro_value_set_bytes(&n, (void *)(uintptr_t) "\xff\x00", 2);
    set_str(field(o.value, "n7"), "skipped");
    n = field(o.value, "n8"), avro_value_set_fixed(&n, (void *)(uintptr_t) "\xff\xff\xff\xff\xff", 5);
    n = field(o.value, "n9"), avro_value_set_enum(&n, 1);
    for (int i = 0; i < 3; i++) {
        avro_value_t map = append(field(o.value, "n10")), entry;
        for (int k = 0; k < 3; k++) {
            char key[4] = {(char)('a' + k)};
            assert_int_equal(avro_value_add(&map, key, &entry, NULL, NULL), 0);
            avro_value_t in = branch(entry, k);
            if (k == 1)
                avro_value_set_fixed(&in, (void *)(uintptr_t) "12345", 5);
            else if (k == 2)
                avro_value_set_enum(&in, 0);
        }
    }
    n = field(field(o.value, "n11"), "x"), avro_value_set_enum(&n, 1);
    n = branch(field(field(o.value, "n11"), "next"), 1), avro_value_set_fixed(&n, (void *)(uintptr_t) "54321", 5);
    set_str(field(o.value, "reason"), "because");
    set_str(field(o.value, "key"), "fleet");
    n = field(o.value, "by"), avro_value_set_bytes(&n, (void *)(uintptr_t) "alice", 5);
    check_ok(f, read_other(f, &o, schema, &HF_TYPE_CONTROL, NULL, &got));
    assert_true(hf_str_eqz(got.key, "fleet") && hf_str_eqz(got.reason, "because") && hf_str_eqz(got.by, "alice"));
    assert_int_equal(got.at, 0);
    other_done(&o);
}

static void numbers_are_promoted(void **state) {
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"ProgressEvent\",\"fields\":[{\"name\":\"bytes_per_second\",\"type\":\"long\"},"
        "{\"name\":\"percent\",\"type\":\"float\"},{\"name\":\"bytes_done\",\"type\":\"int\"},{\"name\":\"at\",\"type\":\"int\"}]}";
    fixture *f = *state;
    other o;
    hf_progress got;
    other_init(&o, schema);
    avro_value_t percent = field(o.value, "percent");
    avro_value_set_float(&percent, 12.5f);
    set_long(field(o.value, "bytes_per_second"), 1LL << 40);
    set_int(field(o.value, "bytes_done"), -5);
    set_int(field(o.value, "at"), INT32_MAX);
    check_ok(f, read_other(f, &o, schema, &HF_TYPE_PROGRESS, NULL, &got));
    assert_true(got.percent == 12.5 && got.bytes_per_second == 1099511627776.0);
    assert_int_equal(got.bytes_done, -5);
    assert_int_equal(got.at, INT32_MAX);
    assert_int_equal(got.eta_seconds, -1);
    other_done(&o);
}

static void symbols_are_matched_by_name(void **state) {
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"WorkerHeartbeat\",\"fields\":[{\"name\":\"state\",\"type\":{\"type\":\"enum\",\"name\":\"S\","
        "\"symbols\":[\"draining\",\"hibernating\",\"active\"]}}]}";
    fixture *f = *state;
    other o;
    hf_heartbeat got;
    const int32_t wanted[] = {HF_W_DRAINING, HF_W_ACTIVE /* the schema's default */, HF_W_ACTIVE};
    other_init(&o, schema);
    avro_value_t value = field(o.value, "state");
    for (int i = 0; i < 3; i++) {
        avro_value_set_enum(&value, i);
        check_ok(f, read_other(f, &o, schema, &HF_TYPE_HEARTBEAT, hf_schema_text(HF_SCHEMA_HEARTBEAT), &got));
        assert_int_equal(got.state, wanted[i]);
    }
    avro_value_set_enum(&value, 1); /* a reader without a default refuses what it does not know */
    assert_int_equal(read_other(f, &o, schema, &HF_TYPE_HEARTBEAT, NULL, &got), HF_E_RECORD_MALFORMED);
    assert_non_null(strstr(f->err.detail, "state: symbol 1"));
    other_done(&o);
}

static const char newer_event[] =
    "{\"type\":\"record\",\"name\":\"JobEvent\",\"namespace\":\"io.hyperfleet.v1\",\"fields\":["
    "{\"name\":\"transitions\",\"type\":{\"type\":\"array\",\"items\":["
    "{\"type\":\"record\",\"name\":\"Suspended\",\"fields\":[{\"name\":\"why\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}]},"
    "{\"type\":\"record\",\"name\":\"Started\",\"fields\":[{\"name\":\"host\",\"type\":\"string\"},{\"name\":\"runner\",\"type\":\"string\"}]},"
    "{\"type\":\"record\",\"name\":\"Queued\",\"fields\":[]}]}},"
    "{\"name\":\"job_id\",\"type\":\"string\"}]}";

static void make_newer_event(other *o) {
    avro_value_t entry, transitions = field(o->value, "transitions");
    avro_value_t why = field(branch(append(transitions), 0), "why");
    assert_int_equal(avro_value_add(&why, "k", &entry, NULL, NULL), 0);
    set_str(entry, "v");
    avro_value_t started = branch(append(transitions), 1);
    set_str(field(started, "host"), "h");
    set_str(field(started, "runner"), "runner-1");
    branch(append(transitions), 2);
    set_str(field(o->value, "job_id"), "j");
}

static void check_newer_event(const hf_record *got) {
    assert_int_equal(got->transitions.count, 3);
    assert_int_equal(HF_LIST_AT(got->transitions, hf_variant, 0)->branch, -1);
    assert_int_equal(hf_record_event(got, 1), HF_EV_STARTED);
    const hf_ev_started *started = HF_LIST_AT(got->transitions, hf_variant, 1)->record;
    assert_true(hf_str_eqz(started->runner, "runner-1"));
    assert_int_equal(hf_record_event(got, 2), HF_EV_QUEUED);
    const hf_ev_queued *queued = HF_LIST_AT(got->transitions, hf_variant, 2)->record;
    assert_int_equal(queued->not_before, 0);
    assert_true(hf_str_eqz(got->job_id, "j"));
}

static void kinds_of_transition_are_matched_by_name(void **state) {
    fixture *f = *state;
    other o;
    hf_record got;
    other_init(&o, newer_event);
    make_newer_event(&o);
    check_ok(f, read_other(f, &o, newer_event, &HF_TYPE_RECORD, NULL, &got));
    check_newer_event(&got);
    other_done(&o);
}

static void optional_fields_of_others(void **state) {
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"Job\",\"fields\":[{\"name\":\"worker\",\"type\":[\"null\",\"string\"]},{\"name\":\"lease_ms\",\"type\":[\"int\",\"long\",\"string\"]},"
        "{\"name\":\"last\",\"type\":[{\"type\":\"record\",\"name\":\"P\",\"fields\":[{\"name\":\"offset\",\"type\":\"int\"}]},\"null\"]},"
        "{\"name\":\"error\",\"type\":{\"type\":\"record\",\"name\":\"JobError\",\"fields\":[{\"name\":\"code\",\"type\":\"string\"}]}},"
        "{\"name\":\"spec\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"JobSpec\",\"fields\":[{\"name\":\"name\",\"type\":\"string\"}]}]}]}";
    fixture *f = *state;
    other o;
    hf_job got;
    other_init(&o, schema);
    branch(field(o.value, "worker"), 0);
    set_long(branch(field(o.value, "lease_ms"), 1), 1LL << 33);
    set_int(field(branch(field(o.value, "last"), 0), "offset"), 9);
    set_str(field(field(o.value, "error"), "code"), "io");
    branch(field(o.value, "spec"), 0);
    check_ok(f, read_other(f, &o, schema, &HF_TYPE_JOB, NULL, &got));
    assert_true(got.worker.len == 0 && got.lease_ms == 1LL << 33 && got.last.offset == 9 &&
                hf_str_eqz(got.error->code, "io") && !got.spec);
    set_str(branch(field(o.value, "worker"), 1), "w");
    set_int(branch(field(o.value, "lease_ms"), 0), 7);
    branch(field(o.value, "last"), 1);
    set_str(field(branch(field(o.value, "spec"), 1), "name"), "n");
    check_ok(f, read_other(f, &o, schema, &HF_TYPE_JOB, NULL, &got));
    assert_true(hf_str_eqz(got.worker, "w") && got.lease_ms == 7 && got.last.offset == 0 &&
                hf_str_eqz(got.spec->name, "n"));
    assert_true(got.spec->options.compress);
    set_str(branch(field(o.value, "lease_ms"), 2), "7");
    assert_int_equal(read_other(f, &o, schema, &HF_TYPE_JOB, NULL, &got), HF_E_RECORD_MALFORMED);
    assert_non_null(strstr(f->err.detail, "lease_ms: branch 2"));
    other_done(&o);
}

static void what_narrows_is_refused(void **state) {
    fixture *f = *state;
    hf_plan *plan;
    assert_int_equal(
        hf_plan_new("{\"type\":\"record\",\"name\":\"JobEvent\",\"fields\":[{\"name\":\"attempt\",\"type\":\"long\"}]}",
                    &HF_TYPE_RECORD, NULL, &plan, &f->err),
        HF_E_SCHEMA_UNKNOWN);
    assert_string_equal(f->err.detail, "field attempt is written as long, int is read here");
}

/* ---- schemas of the past, by fingerprint; others' through a registry ------------------------------------- */
static const char older_control[] =
    "{\"type\":\"record\",\"name\":\"Control\",\"namespace\":\"io.hyperfleet.v1\",\"fields\":["
    "{\"name\":\"reason\",\"type\":\"string\"},{\"name\":\"key\",\"type\":\"string\"}]}";

static void a_schema_of_the_past_stays_readable(void **state) {
    fixture *f = *state;
    const hf_schema_source sources[] = {{HF_SCHEMA_CONTROL, hf_schema_text(HF_SCHEMA_CONTROL)},
                                        {HF_SCHEMA_CONTROL, older_control}};
    hf_catalog *catalog;
    hf_codec *codec;
    hf_control got;
    other o;
    check_ok(f, hf_catalog_new(sources, 2, &catalog, &f->err));
    check_ok(f, hf_codec_new_with(catalog, NULL, NULL, &codec, &f->err));
    other_init(&o, older_control);
    set_str(field(o.value, "reason"), "old");
    set_str(field(o.value, "key"), "fleet");
    hf_str body = other_bytes(&o);
    hf_buf_put(&f->buf, "\xc3\x01", 2);
    hf_buf_put(&f->buf, &catalog->known[1].plan->fingerprint, 8);
    hf_buf_put(&f->buf, body.p, body.len);
    check_ok(f, hf_decode(codec, HF_SCHEMA_CONTROL, hf_buf_str(&f->buf), &f->out, &got, &f->err));
    assert_true(hf_str_eqz(got.reason, "old") && hf_str_eqz(got.key, "fleet"));
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_CONTROL, hf_buf_str(&f->buf), &f->out, &got, &f->err),
                     HF_E_SCHEMA_UNKNOWN);
    other_done(&o);
    hf_codec_free(codec);
    hf_catalog_free(catalog);
}

static hf_code give_newer_event(void *ctx, int32_t id, char **ret_text, hf_err *reterr) {
    *(int *)ctx += 1;
    if (id > 0x100000)
        return hf_fail(reterr, HF_E_UNREACHABLE, "the registry is away");
    *ret_text = hf_strndup(newer_event, strlen(newer_event));
    return *ret_text ? HF_OK : HF_E_NO_MEMORY;
}

static void a_registry_is_asked_once_per_id_and_again_after_it_failed(void **state) {
    fixture *f = *state;
    int asked = 0;
    hf_codec *codec;
    hf_record got;
    other o;
    check_ok(f, hf_codec_new(give_newer_event, &asked, &codec, &f->err));
    other_init(&o, newer_event);
    make_newer_event(&o);
    hf_str body = other_bytes(&o);
    hf_buf_put(&f->buf, "\x00\x00\x01\x02\x03", 5);
    hf_buf_put(&f->buf, body.p, body.len);
    for (int i = 0; i < 3; i++) {
        check_ok(f, hf_decode(codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &f->out, &got, &f->err));
        check_newer_event(&got);
    }
    assert_int_equal(asked, 1);
    f->buf.data[1] = 1;
    for (int i = 0; i < 2; i++)
        assert_int_equal(hf_decode(codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &f->out, &got, &f->err),
                         HF_E_UNREACHABLE);
    assert_int_equal(asked, 3);
    f->buf.data[1] = 0;
    for (int id = 0; id < 300; id++) { /* the codec holds 256 and says so, those it has stay */
        f->buf.data[3] = (uint8_t)(id >> 8), f->buf.data[4] = (uint8_t)id;
        hf_code code = hf_decode(codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &f->out, &got, &f->err);
        hf_arena_reset(&f->out);
        assert_int_equal(code, id < 255 ? HF_OK : HF_E_SCHEMA_UNKNOWN);
    }
    assert_non_null(strstr(f->err.detail, "256 others"));
    other_done(&o);
    hf_codec_free(codec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(an_older_writer_lacks_fields),
        WITH_FIXTURE(a_newer_writer_has_fields_of_every_kind),
        WITH_FIXTURE(numbers_are_promoted),
        WITH_FIXTURE(symbols_are_matched_by_name),
        WITH_FIXTURE(kinds_of_transition_are_matched_by_name),
        WITH_FIXTURE(optional_fields_of_others),
        WITH_FIXTURE(what_narrows_is_refused),
        WITH_FIXTURE(a_schema_of_the_past_stays_readable),
        WITH_FIXTURE(a_registry_is_asked_once_per_id_and_again_after_it_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
/* NOLINTEND(clang-analyzer-core.*) */
