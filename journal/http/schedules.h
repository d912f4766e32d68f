/* Stored schedules, for both families of routes: how one is looked up and shown, and how it is changed. */
#pragma once
#include "journal/http/v1/v1.h"
#include "journal/replica/schedules.h"

enum { HF_VERSION_BYTES = 17 };

/* NOT_FOUND: "schedule not found: X". */
hf_code hf_schedule_find(hf_request *r, hf_look *look, hf_str id, hf_schedule_view *ret, hf_err *reterr);
/* What stands for the record as it is now: other bytes, another version. For If-Match. */
hf_code hf_schedule_version(hf_request *r, hf_look *look, hf_str id, char version[HF_VERSION_BYTES], hf_err *reterr);
/* Every schedule, in the order of their ids. */
hf_code hf_schedules_each(hf_request *r, hf_look *look, hf_query_each_schedule each, void *ctx, hf_err *reterr);

/* Of the older API: ScheduledJob. New references, as below. */
json_t *hf_shape_schedule(const hf_schedule_view *view, hf_zones *zones, int64_t now_ms);
/* Of /api/v1: the schedule's own members (schemas/event/json_schedule.h) with its runs. */
json_t *hf_v1_schedule(const hf_schedule_view *view, hf_zones *zones, int64_t now_ms);

typedef enum hf_schedule_change_kind {
    HF_SCHEDULE_CREATE,  /* of the body; EXISTS where there is one */
    HF_SCHEDULE_REPLACE, /* of the body; made where there is none */
    HF_SCHEDULE_MERGE,   /* what is given, over what is there */
    HF_SCHEDULE_ENABLE,
    HF_SCHEDULE_DISABLE,
    HF_SCHEDULE_DELETE
} hf_schedule_change_kind;
/* Reads, judges and writes; then calls `answer` on a thread of the server: once the journal has folded it, or it is late, or
 * nothing had to be changed. items[0].about is the schedule's id. What is refused is answered here. If-Match and If-None-Match: * are heeded. */
void hf_schedule_change(hf_request *r, hf_schedule_change_kind kind, void (*answer)(hf_request *r, hf_write *w));
/* Submits a run now, whatever the schedule's times, overlap and bounds say; the same way on. items[0].id is the job's. */
void hf_schedule_trigger(hf_request *r, void (*answer)(hf_request *r, hf_write *w));
/* Whether the write went well; else it is answered. */
bool hf_schedule_written(hf_request *r, const hf_write *w);
