// LIBS: hf_event
/* Whatever bytes arrive as a submission: they are refused with an error, or intake makes a proposal of them that the
 * fold accepts as a new job and that can be written, read back and is the same. */
#include <stdint.h>
#include <stdlib.h>

#include "schemas/event/codec.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/fold.h"
#include "schemas/job/intake.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

static void check_written(const hf_record *record, hf_arena *arena) {
    hf_buf bytes;
    hf_record back;
    hf_buf_init(&bytes, HF_MAX_RECORD);
    MUST(hf_encode_body(HF_SCHEMA_RECORD, record, &bytes, NULL) == HF_OK);
    MUST(hf_decode_body(HF_SCHEMA_RECORD, hf_buf_str(&bytes), arena, &back, NULL) == HF_OK);
    MUST(hf_type_equal(&HF_TYPE_RECORD, record, &back));
    hf_buf_done(&bytes);
}

static void take_in(const json_t *json, hf_arena *arena) {
    hf_submission submission;
    hf_record record;
    hf_job job;
    hf_intake_errors errors;
    hf_err err = {0};
    if (hf_submission_from_json(json, arena, &submission, &err) != HF_OK) {
        MUST(err.detail[0]);
        return;
    }
    hf_str id = submission.job_id.len ? submission.job_id : HF_STR("made");
    MUST(hf_intake(&submission, id, HF_STR(""), HF_STR("fuzz"), 1, arena, &record, &errors, &err) == HF_OK);
    MUST(hf_fold(NULL, &record, (hf_position){0, 1}, &job, NULL) == HF_V_ACCEPTED);
    MUST(job.state == (errors.count ? HF_S_FAILED : HF_S_QUEUED));
    check_written(&record, arena);
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
    hf_arena_init(&arena, 16 << 20);
    take_in(json, &arena);
    hf_arena_done(&arena);
    json_decref(json);
    return 0;
}
