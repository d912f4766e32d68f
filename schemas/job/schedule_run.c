#include "schemas/job/schedule_run.h"

#include <string.h>

#include "schemas/base/clock.h"
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

/* ---- times in names ---------------------------------------------------------------------------------------------- */
static bool starts(hf_str text, uint32_t at, const char *word) {
    size_t n = strlen(word);
    return text.len - at >= n && memcmp(text.p + at, word, n) == 0;
}

static bool has_word(hf_str text) {
    for (uint32_t i = 0; i < text.len; i++)
        if (starts(text, i, "{date}") || starts(text, i, "{time}"))
            return true;
    return false;
}

bool hf_schedule_names_differ(const hf_spec *template) {
    return has_word(template->output_dir) || has_word(template->name);
}

/* "2026-11-22T02:30:00…" as 20261122T023000Z, and its first eight bytes. */
static void compact_time(int64_t at_ms, char text[17]) {
    char full[HF_RFC3339_BYTES];
    size_t n = 0;
    hf_time_format(at_ms, full);
    for (const char *c = full; *c && *c != '.' && *c != 'Z' && n < 15; c++)
        if (*c != '-' && *c != ':')
            text[n++] = *c;
    text[n++] = 'Z';
    text[n] = 0;
}

static bool put_times(hf_str *text, int64_t at_ms, hf_arena *arena) {
    char time[17];
    if (!has_word(*text))
        return true;
    compact_time(at_ms, time);
    char *made = hf_arena_alloc(arena, (size_t)text->len * 3 + 1); /* a word of six bytes becomes at most sixteen */
    uint32_t n = 0;
    for (uint32_t i = 0; made && i < text->len;) {
        uint32_t put = starts(*text, i, "{date}") ? 8 : starts(*text, i, "{time}") ? 16 : 0;
        memcpy(made + n, put ? time : text->p + i, put ? put : 1);
        n += put ? put : 1;
        i += put ? 6 : 1;
    }
    if (made)
        *text = (hf_str){made, n};
    return made != NULL;
}

bool hf_schedule_run(const hf_schedule *schedule, int64_t nominal_ms, int64_t at_ms, hf_arena *arena,
                     hf_submission *ret) {
    hf_spec spec = schedule->job_template, named;
    if (!put_times(&spec.name, at_ms, arena) || !put_times(&spec.output_dir, at_ms, arena))
        return false;
    named = spec;
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
