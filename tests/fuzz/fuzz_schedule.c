// LIBS: hf_event
/* Whatever JSON arrives as a schedule: it is refused with errors that can be told, or it is a schedule that can be written, read back
 * and given out, is the same when it comes in again, and whose run is a job that intake takes. */
#include <stdint.h>
#include <stdlib.h>

#include "schemas/event/codec.h"
#include "schemas/event/json.h"
#include "schemas/event/json_schedule.h"
#include "schemas/job/schedule_run.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

static const int64_t now_ms = 1780000000000;

static void check_texts(const hf_intake_errors *list) {
    for (uint32_t i = 0; i < list->count && i < HF_MAX_ERRORS; i++)
        MUST(list->text[i].p && list->text[i].len);
}

static void check_written(const hf_schedule *schedule, hf_arena *arena) {
    hf_buf bytes;
    hf_schedule back;
    hf_buf_init(&bytes, HF_MAX_RECORD);
    MUST(hf_encode_body(HF_SCHEMA_SCHEDULE, schedule, &bytes, NULL) == HF_OK);
    MUST(hf_decode_body(HF_SCHEMA_SCHEDULE, hf_buf_str(&bytes), arena, &back, NULL) == HF_OK);
    MUST(hf_type_equal(&HF_TYPE_SCHEDULE, schedule, &back));
    hf_buf_done(&bytes);
}

/* What goes out comes in as the same, but for names that nothing acts on. */
static void check_again(hf_schedule *schedule, hf_arena *arena) {
    hf_schedule again;
    hf_intake_errors errors = {.count = 0}, warnings = {.count = 0};
    hf_err err;
    json_t *json = hf_schedule_json(schedule);
    MUST(json);
    hf_type_init(&HF_TYPE_SCHEDULE, &again);
    MUST(hf_schedule_from_json(json, 0, arena, &again, &errors, &warnings, &err) == HF_OK && errors.count == 0);
    json_decref(json);
    schedule->job_template.options.unsupported = (hf_list){0};
    again.job_template.options.unsupported = (hf_list){0};
    MUST(hf_type_equal(&HF_TYPE_SCHEDULE, schedule, &again));
}

static void check_run(const hf_schedule *schedule, hf_arena *arena) {
    hf_submission run;
    hf_record record;
    hf_intake_errors errors;
    hf_err err;
    MUST(hf_schedule_run(schedule, now_ms, now_ms, arena, &run));
    MUST(hf_intake(&run, HF_STR("run"), HF_STR(""), HF_STR("fuzz"), now_ms, arena, &record, &errors, &err) == HF_OK);
    MUST(errors.count == 0);
}

static void take_in(const json_t *json, unsigned flags, hf_arena *arena) {
    hf_schedule schedule;
    hf_intake_errors errors = {.count = 0}, warnings = {.count = 0};
    hf_err err = {0};
    hf_type_init(&HF_TYPE_SCHEDULE, &schedule);
    if (hf_schedule_read(json, flags, now_ms, arena, &schedule, &errors, &warnings, &err) != HF_OK) {
        MUST(err.detail[0]);
        return;
    }
    check_texts(&errors);
    check_texts(&warnings);
    if (errors.count)
        return;
    check_written(&schedule, arena);
    check_run(&schedule, arena);
    check_again(&schedule, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_err err = {0};
    hf_arena arena;
    json_t *json = hf_json_parse((hf_str){(const char *)data, (uint32_t)size}, HF_MAX_SUBMISSION, &err);
    if (!json) {
        MUST(err.detail[0]);
        return 0;
    }
    hf_arena_init(&arena, 32 << 20);
    take_in(json, 0, &arena);
    take_in(json, HF_SCHEDULE_LENIENT, &arena);
    hf_arena_done(&arena);
    json_decref(json);
    return 0;
}
