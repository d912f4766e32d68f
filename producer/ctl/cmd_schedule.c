/* `hyperctl schedule next`: when an expression is due, reckoned here, without a fleet. */
#include <stdio.h>
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/text.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/cron/cron.h"

enum { COUNT_DEFAULT = 5, COUNT_MAX = 10000 };

/* One word of an id's characters with a letter in it: no expression looks like that. */
static bool looks_like_id(const char *text) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", others[] = "0123456789._-";
    size_t n = 0;
    while (text[n] && (strchr(letters, text[n]) || strchr(others, text[n])))
        n++;
    return n > 0 && !text[n] && strpbrk(text, letters);
}

static hf_code read_policy(const hf_args *args, hf_dst_policy *ret, hf_err *reterr) {
    const char *said = hf_args_get(args, HF_OPT_DST);
    if (said && strcmp(said, "vixie") != 0 && strcmp(said, "robfig") != 0)
        return hf_fail(reterr, HF_E_USAGE, "--dst '%.32s': give vixie or robfig", said);
    *ret = said && strcmp(said, "robfig") == 0 ? HF_DST_ROBFIG : HF_DST_VIXIE;
    return HF_OK;
}

static hf_code read_from(const hf_args *args, int64_t *ret_ms, hf_err *reterr) {
    const char *said = hf_args_get(args, HF_OPT_FROM);
    *ret_ms = hf_wall_ms(hf_clock_system());
    if (said && !hf_time_parse(hf_str_of(said), ret_ms))
        return hf_fail(reterr, HF_E_USAGE, "--from '%.64s': give a time of RFC 3339, such as 2026-03-28T12:00:00Z",
                       said);
    return HF_OK;
}

/* The expression with a caret below the place, in front of the error itself. */
static void point_at(const char *text, size_t at) {
    char shown[HF_CRON_TEXT_MAX + 1], before[HF_CRON_TEXT_MAX + 1];
    if (strlen(text) > HF_CRON_TEXT_MAX || at > strlen(text))
        return;
    memcpy(before, text, at);
    before[at] = 0;
    char harmless[HF_CRON_TEXT_MAX + 1];
    hf_text_harmless(before, harmless, sizeof harmless);
    fprintf(stderr, "  %s\n  %*s^\n", hf_text_harmless(text, shown, sizeof shown), (int)hf_text_width(harmless), "");
}

static hf_code read_expression(const char *text, hf_cron *cron, hf_zone **zone, hf_err *reterr) {
    size_t at = 0;
    hf_code code = hf_cron_parse(hf_str_of(text), cron, &at, reterr);
    if (!code && (code = hf_cron_zone(cron, HF_STR_NONE, zone, reterr))) {
        at = (size_t)(strchr(text, '=') - text) + 1;
        hf_context(reterr, "column %zu", at + 1);
    }
    if (code)
        point_at(text, at);
    return code;
}

static hf_code print_times(hf_ctl *ctl, const hf_cron *cron, const hf_zone *zone, int64_t at_ms, long count,
                           hf_err *reterr) {
    hf_dst_policy policy = HF_DST_VIXIE;
    hf_code code = read_policy(&ctl->args, &policy, reterr);
    if (code)
        return code;
    char text[HF_ZONE_TIME_BYTES];
    long n = 0;
    json_t *list = ctl->json ? json_array() : NULL;
    for (; n < count && hf_cron_next(cron, zone, policy, at_ms, &at_ms); n++) {
        hf_zone_format(zone, at_ms / 1000, text);
        if (list)
            json_array_append_new(list, json_string(text));
        else
            fprintf(ctl->out, "%s\n", text);
    }
    if (ctl->json)
        code = list ? hf_ctl_print_json(ctl, list, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "times");
    json_decref(list);
    if (n < count)
        fprintf(stderr, "hyperctl schedule: not due %swithin %d years\n", n ? "again " : "", HF_CRON_YEARS);
    return code;
}

hf_code hf_cmd_schedule(hf_ctl *ctl, hf_err *reterr) {
    const char *what = ctl->args.rest[0], *text = ctl->args.rest_count > 1 ? ctl->args.rest[1] : NULL;
    if (strcmp(what, "next") != 0)
        return hf_fail(
            reterr, HF_E_NOT_BUILT,
            "`hyperctl schedule %.32s`: stored schedules are not part of version %s; `hyperctl schedule next EXPR` is",
            what, HF_VERSION);
    if (!text)
        return hf_fail(reterr, HF_E_USAGE, "name the schedule, in quotes: hyperctl schedule next '0 2 * * *'");
    if (looks_like_id(text))
        return hf_fail(
            reterr, HF_E_NOT_BUILT,
            "'%.64s' would be the id of a stored schedule, which are not part of version %s; give an expression, such as '0 2 * * *'",
            text, HF_VERSION);
    hf_cron cron;
    hf_auto(hf_zone_free_p) hf_zone *zone = NULL;
    int64_t from_ms;
    long count;
    hf_code code = hf_args_int(&ctl->args, HF_OPT_TIMES, 1, COUNT_MAX, COUNT_DEFAULT, &count, reterr);
    if (!code)
        code = read_from(&ctl->args, &from_ms, reterr);
    if (!code)
        code = read_expression(text, &cron, &zone, reterr);
    return code ? code : print_times(ctl, &cron, zone, from_ms, count, reterr);
}
