/* Deep copies of jobs and records: equal, their own, text NUL-terminated, and survivable without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/base/mem.h"
#include "schemas/job/job.h"

/* A record with all that can point somewhere: text, lists of text and of records, options, unions, empty ones of each. */
typedef struct sample {
    char text[64];
    hf_str tags[3];
    hf_disk disks[HF_MAX_DISKS];
    hf_artifact artifacts[2];
    hf_ev_created created;
    hf_ev_completed completed;
    hf_ev_queued queued;
    hf_variant transitions[4];
    hf_record record;
    hf_job job;
    hf_job_error error;
} sample;

static sample *make(void) {
    sample *s = hf_alloc(sizeof *s);
    assert_non_null(s);
    memset(s->text, 't', sizeof s->text);
    hf_str text = {s->text, 40}, empty = {s->text, 0};
    s->tags[0] = s->tags[2] = text;
    s->tags[1] = empty;
    for (size_t i = 0; i < HF_MAX_DISKS; i++)
        s->disks[i] = (hf_disk){.path = text, .format = empty, .checksum = text, .size_bytes = (int64_t)i};
    s->artifacts[1] = (hf_artifact){.path = text, .size_bytes = 7};
    hf_type_init(&HF_TYPE_SPEC, &s->created.spec);
    s->created.spec.name = text;
    s->created.spec.disks = (hf_list){s->disks, HF_MAX_DISKS};
    s->created.spec.audit.tags = (hf_list){s->tags, 3};
    s->created.spec.requested_actions = (hf_list){s->tags, 0};
    s->completed.result.artifacts = (hf_list){s->artifacts, 2};
    s->transitions[0] = (hf_variant){HF_EV_CREATED, &s->created};
    s->transitions[1] = (hf_variant){HF_EV_COMPLETED, &s->completed};
    s->transitions[2] = (hf_variant){-1, s->text};
    s->transitions[3] = (hf_variant){HF_EV_QUEUED, &s->queued};
    s->record = (hf_record){.job_id = text, .attempt = 3, .at = 5, .transitions = {s->transitions, 4}};
    s->error.message = text;
    s->job = (hf_job){.id = text, .attempt = 2, .worker = empty, .error = &s->error, .spec = &s->created.spec};
    return s;
}

/* Nothing of the copy lies in what it was made from: the source may go. */
static void check_own(const hf_type *type, void *copy, sample *s, const void *from) {
    assert_true(hf_type_equal(type, copy, from));
    hf_auto_free void *again = hf_type_clone(type, copy);
    memset(s, 0xa5, sizeof *s);
    free(s);
    assert_true(hf_type_equal(type, copy, again));
}

static void a_clone_of_a_record_is_its_own(void **state) {
    (void)state;
    sample *s = make();
    hf_auto_free hf_record *copy = hf_type_clone(&HF_TYPE_RECORD, &s->record);
    check_own(&HF_TYPE_RECORD, copy, s, &s->record);
    assert_null(HF_LIST_AT(copy->transitions, hf_variant, 2)->record);
    const hf_ev_created *created = HF_LIST_AT(copy->transitions, hf_variant, 0)->record;
    assert_null(created->spec.requested_actions.items);
    assert_int_equal(HF_LIST_AT(created->spec.disks, hf_disk, 63)->size_bytes, 63);
    assert_int_equal(HF_LIST_AT(created->spec.disks, hf_disk, 63)->checksum.p[40], 0);
    assert_null(HF_LIST_AT(created->spec.disks, hf_disk, 63)->format.p);
}

static void a_copy_of_a_job_lives_in_the_arena(void **state) {
    (void)state;
    hf_arena arena;
    hf_arena_init(&arena, 1 << 20);
    sample *s = make();
    hf_job *copy = hf_type_copy(&HF_TYPE_JOB, &s->job, &arena);
    assert_non_null(copy);
    check_own(&HF_TYPE_JOB, copy, s, &s->job);
    assert_int_equal(copy->id.p[40], 0);
    assert_null(copy->worker.p);
    assert_null(copy->result);
    hf_arena_done(&arena);
}

static void no_memory_is_survived(void **state) {
    (void)state;
    sample *s = make();
    int failures = 0;
    for (uint64_t n = 1; n < 10; n++) {
        hf_alloc_fail_after(n);
        hf_auto_free void *copy = hf_type_clone(&HF_TYPE_RECORD, &s->record);
        hf_alloc_fail_after(0);
        failures += !copy;
        assert_true(!copy || hf_type_equal(&HF_TYPE_RECORD, copy, copy));
    }
    assert_true(failures >= 2); /* room for the moves of 64 disks, and the block */
    hf_arena arena;
    hf_arena_init(&arena, 1000);
    assert_null(hf_type_copy(&HF_TYPE_RECORD, &s->record, &arena));
    hf_arena_done(&arena);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clone_of_a_record_is_its_own),
        cmocka_unit_test(a_copy_of_a_job_lives_in_the_arena),
        cmocka_unit_test(no_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
