// LIBS: hf_cron
/* Whatever a TZif file says: it is refused, or each instant lies in one span, and schedules reckoned in it end. */
#include <stdint.h>
#include <stdlib.h>

#include "schemas/cron/cron.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_schedule(const hf_zone *zone, const char *text, hf_dst_policy policy) {
    hf_cron cron;
    MUST(hf_cron_parse(hf_str_of(text), &cron, NULL, NULL) == HF_OK);
    int64_t at = 1774656000000, next;
    for (int i = 0; i < 3 && hf_cron_next(&cron, zone, policy, at, &next); i++) {
        MUST(next > at);
        at = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t times[] = {-62167219200, -5000000000, 0, 1774746000, 4102444800, 253402300799};
    hf_zone *zone;
    hf_err err = {0};
    if (hf_zone_parse(data, size, &zone, &err)) {
        MUST(err.detail[0]);
        return 0;
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        hf_zone_span span = hf_zone_at(zone, times[i]);
        MUST(span.start_s <= times[i] && times[i] < span.end_s);
        char text[HF_ZONE_TIME_BYTES];
        hf_zone_format(zone, times[i], text);
        hf_zone_first(zone, times[i]);
    }
    check_schedule(zone, "30 2 * * *", HF_DST_VIXIE);
    check_schedule(zone, "*/15 0-3 * * *", HF_DST_VIXIE);
    check_schedule(zone, "30 2 * * 0", HF_DST_ROBFIG);
    hf_zone_free(zone);
    return 0;
}
