/* Answers what test_cron.py asks, line by line, as go_cron does with the library it is compared with: an expression in hexadecimal, a
 * time zone and a time in milliseconds, apart by tabs; "invalid", "never", or seconds since 1970. Argument: robfig or vixie. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/cron/cron.h"

enum { LINE_MAX_BYTES = 8192, ZONES_MAX = 1024 };

static struct {
    char name[HF_ZONE_NAME_MAX + 1];
    hf_zone *zone; /* NULL: cannot be loaded */
} zones[ZONES_MAX];
static size_t zone_count;

static hf_zone *zone_named(const char *name) {
    for (size_t i = 0; i < zone_count; i++)
        if (strcmp(zones[i].name, name) == 0)
            return zones[i].zone;
    if (zone_count == ZONES_MAX || strlen(name) > HF_ZONE_NAME_MAX)
        abort();
    strcpy(zones[zone_count].name, name);
    if (hf_zone_load(hf_str_of(name), &zones[zone_count].zone, NULL))
        zones[zone_count].zone = NULL;
    return zones[zone_count++].zone;
}

static hf_str unhex(const char *text, char *to) {
    uint32_t len = 0;
    for (unsigned byte; sscanf(text, "%2x", &byte) == 1; text += 2)
        to[len++] = (char)byte;
    return (hf_str){to, len};
}

static void answer(hf_str expression, const char *zone_name, int64_t after_ms, hf_dst_policy policy) {
    hf_cron cron;
    int64_t next_ms;
    if (hf_cron_parse(expression, &cron, NULL, NULL)) {
        puts("invalid");
        return;
    }
    hf_zone *zone = zone_named(cron.has_zone ? cron.zone : zone_name);
    if (!zone)
        puts("invalid");
    else if (!hf_cron_next(&cron, zone, policy, after_ms, &next_ms))
        puts("never");
    else
        printf("%" PRId64 "\n", next_ms / 1000);
}

int main(int argc, char **argv) {
    static char line[LINE_MAX_BYTES], bytes[LINE_MAX_BYTES];
    hf_dst_policy policy = argc == 2 && strcmp(argv[1], "robfig") == 0 ? HF_DST_ROBFIG : HF_DST_VIXIE;
    while (fgets(line, sizeof line, stdin)) {
        char *zone = strchr(line, '\t'), *ms = zone ? strchr(zone + 1, '\t') : NULL;
        if (!ms)
            return 64;
        *zone++ = *ms++ = 0;
        answer(unhex(line, bytes), zone, strtoll(ms, NULL, 10), policy);
    }
    for (size_t i = 0; i < zone_count; i++)
        hf_zone_free(zones[i].zone);
    return fflush(stdout) != 0;
}
