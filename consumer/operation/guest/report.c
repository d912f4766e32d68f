/* What was done, step by step: for the job's log while it happens, for its report at the end. */
#include <stdarg.h>
#include <stdio.h>

#include "consumer/operation/guest/inside.h"
#include "consumer/operation/inspect.h"
#include "schemas/base/mem.h"

hf_code hf_guest_report_begin(hf_guest_session *x, hf_err *reterr) {
    x->steps = json_array();
    x->changes = json_array();
    x->findings = json_array();
    x->notes = json_object();
    x->report = json_pack("{s:s, s:b}", "operation", x->plan->operation, "dry_run", x->dry);
    if (!x->steps || !x->changes || !x->findings || !x->notes || !x->report)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    return HF_OK;
}

void hf_guest_report_free(hf_guest_session *x) {
    json_decref(x->report);
    json_decref(x->steps);
    json_decref(x->changes);
    json_decref(x->findings);
    json_decref(x->notes);
    json_decref(x->parameters);
}

static void say(hf_guest_session *x, const char *level, const char *format, va_list args) {
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    hf_report_line(&x->reporter, level, "%s", text);
}

void hf_guest_say(hf_guest_session *x, const char *level, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(x, level, format, args);
    va_end(args);
}

void hf_guest_finding(hf_guest_session *x, const char *severity, const char *code, const char *remedy,
                      const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (json_array_size(x->findings) >= HF_GUEST_CHANGES_MAX)
        return;
    json_t *o = json_pack("{s:s, s:s, s:o}", "severity", severity, "code", code, "message", hf_inspect_text(text));
    if (o && x->step)
        json_object_set_new(o, "step", json_string(x->step->name));
    if (o && remedy)
        json_object_set_new(o, "remedy", hf_inspect_text(remedy));
    json_array_append_new(x->findings, o);
    hf_report_line(&x->reporter, strcmp(severity, "warning") == 0 ? "warn" : severity, "%s", text);
}

/* Steals diff, which may be NULL. */
static void add_change(hf_guest_session *x, const char *kind, const char *path, const char *before, const char *after,
                       json_t *diff) {
    x->change_count++;
    hf_report_line(&x->reporter, "info", "%s%s %s: %s -> %s", x->dry ? "would change " : "", kind, path, before, after);
    json_t *o =
        json_array_size(x->changes) < HF_GUEST_CHANGES_MAX
            ? json_pack("{s:s, s:s, s:o, s:o, s:o}", "step", x->step ? x->step->name : "", "kind", kind, "path",
                        hf_inspect_text(path), "before", hf_inspect_text(before), "after", hf_inspect_text(after))
            : NULL;
    if (o && diff)
        json_object_set(o, "diff", diff);
    json_decref(diff);
    if (o)
        json_array_append_new(x->changes, o);
}

void hf_guest_change(hf_guest_session *x, const char *kind, const char *path, const char *before, const char *after) {
    add_change(x, kind, path, before, after, NULL);
}

void hf_guest_change_diff(hf_guest_session *x, const char *kind, const char *path, const char *before,
                          const char *after, const char *diff) {
    add_change(x, kind, path, before, after, diff ? hf_inspect_text(diff) : NULL);
}

uint32_t hf_guest_changes(const hf_guest_session *x) { return x->change_count; }

void hf_guest_note(hf_guest_session *x, const char *key, json_t *value) { json_object_set_new(x->notes, key, value); }

/* ---- steps ---------------------------------------------------------------------------------------------------------------- */
void hf_guest_step_begin(hf_guest_session *x, const hf_guest_step *step) {
    x->step = step;
    x->step_told = false;
    json_array_append_new(x->steps, json_pack("{s:s}", "name", step->name));
    hf_report_phase(&x->reporter, step->name);
}

static json_t *current(const hf_guest_session *x) { return json_array_get(x->steps, json_array_size(x->steps) - 1); }

void hf_guest_result(hf_guest_session *x, const char *result, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    x->step_told = true;
    json_object_set_new(current(x), "result", json_string(result));
    if (*text)
        json_object_set_new(current(x), "detail", hf_inspect_text(text));
    hf_report_line(&x->reporter, "info", "%s: %s%s%s", x->step->name, result, *text ? ": " : "", text);
}

void hf_guest_step_end(hf_guest_session *x, const char *result, double seconds) {
    if (!x->step_told)
        hf_guest_result(x, result, "%s", "");
    json_object_set_new(current(x), "seconds", json_real(seconds));
    x->step = NULL;
}

/* ---- the end -------------------------------------------------------------------------------------------------------------- */
static char *written(const hf_guest_session *x) {
    json_object_set(x->report, "guest", x->notes);
    json_object_set_new(x->report, "changed", json_integer(x->change_count));
    json_object_set(x->report, "steps", x->steps);
    json_object_set(x->report, "changes", x->changes);
    json_object_set(x->report, "findings", x->findings);
    return json_dumps(x->report, JSON_COMPACT);
}

hf_code hf_guest_report_end(hf_guest_session *x, hf_result *result, hf_err *reterr) {
    hf_auto_free char *text = written(x);
    size_t i;
    json_t *change;
    if (text && strlen(text) > HF_MAX_JSON) { /* diffs first */
        json_array_foreach(x->changes, i, change)
            json_object_del(change, "diff");
        json_object_set_new(x->report, "shortened", json_true());
        free(text);
        text = written(x);
    }
    while (text && strlen(text) > HF_MAX_JSON && json_array_size(x->changes) + json_array_size(x->findings) > 0) {
        json_array_remove(x->changes, json_array_size(x->changes) / 2);
        json_array_remove(x->findings, json_array_size(x->findings) - 1);
        free(text);
        text = written(x);
    }
    hf_str kept = text ? hf_arena_str(x->run->arena, hf_str_of(text)) : HF_STR_NONE;
    if (!kept.p || kept.len > HF_MAX_JSON)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    result->report = kept;
    return HF_OK;
}
