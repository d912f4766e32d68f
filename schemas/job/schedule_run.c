#include "schemas/job/schedule_run.h"

#include <string.h>

#include "schemas/job/intake_parts.h"

#define SUFFIX " (scheduled)"

static bool has_tag(const hf_str *tags, uint32_t count, hf_str tag) {
    for (uint32_t i = 0; i < count; i++)
        if (hf_str_eq(tags[i], tag))
            return true;
    return false;
}

/* The template's tags, then the schedule's; what is past the bound of a job's is left out. */
static bool join_tags(const hf_schedule *s, hf_arena *arena, hf_list *ret) {
    const hf_list *from[] = {&s->job_template.audit.tags, &s->tags};
    uint32_t room = from[0]->count + from[1]->count, count = 0;
    hf_str *tags = room ? hf_arena_alloc(arena, room * sizeof *tags) : NULL;
    if (room && !tags)
        return false;
    for (size_t l = 0; l < 2; l++)
        for (uint32_t i = 0; i < from[l]->count && count < HF_MAX_TAGS; i++)
            if (!has_tag(tags, count, *HF_LIST_AT(*from[l], hf_str, i)))
                tags[count++] = *HF_LIST_AT(*from[l], hf_str, i);
    *ret = (hf_list){tags, count};
    return true;
}

bool hf_schedule_run(const hf_schedule *schedule, int64_t nominal_ms, hf_arena *arena, hf_submission *ret) {
    hf_spec spec = schedule->job_template, named = spec;
    hf_intake_fill(&named, arena); /* only for its name: the job is filled in when it is taken in */
    uint32_t most = HF_MAX_TEXT - (uint32_t)strlen(SUFFIX);
    hf_str name = named.name;
    name.len = name.len < most ? name.len : most;
    spec.name = hf_str_of(hf_arena_printf(arena, "%.*s" SUFFIX, HF_STR_ARG(name)));
    spec.origin = hf_str_of(hf_arena_printf(arena, "schedule:%.*s", HF_STR_ARG(schedule->schedule_id)));
    spec.scheduled_for = nominal_ms;
    if (!spec.name.p || !spec.origin.p || !join_tags(schedule, arena, &spec.audit.tags))
        return false;
    hf_type_init(&HF_TYPE_SUBMISSION, ret);
    ret->submitted_at = nominal_ms;
    ret->spec = spec;
    return true;
}
