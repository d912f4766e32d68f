// LIBS: hf_cron
/* Whatever an expression says: it is refused with a place inside it, or its times move on, within the years that are searched, under both
 * policies. The first byte chooses the zone. */
#include <stdint.h>
#include <stdlib.h>

#include "schemas/base/mem.h"
#include "schemas/cron/civil.h"
#include "schemas/cron/cron.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const zones[] = {"", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia"};
static hf_zone *loaded[HF_ARRAY_LEN(zones)];

static void check_times(const hf_cron *cron, const hf_zone *zone, hf_dst_policy policy) {
    int64_t at = 1325160000000, next; /* the day before Samoa left one out */
    for (int i = 0; i < 5 && hf_cron_next(cron, zone, policy, at, &next); i++) {
        MUST(next > at && next % 1000 == 0);
        MUST(cron->every_s > 0 || hf_civil_of(next / 1000).year <= hf_civil_of(at / 1000).year + HF_CRON_YEARS + 1);
        at = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    size_t i = data[0] % HF_ARRAY_LEN(zones), at = 0;
    if (!loaded[i])
        MUST(hf_zone_load(hf_str_of(zones[i]), &loaded[i], NULL) == HF_OK);
    hf_cron cron;
    hf_err err = {0};
    if (hf_cron_parse((hf_str){(const char *)data + 1, (uint32_t)size - 1}, &cron, &at, &err)) {
        MUST(at <= size - 1 && err.detail[0]);
        return 0;
    }
    check_times(&cron, loaded[i], HF_DST_VIXIE);
    check_times(&cron, loaded[i], HF_DST_ROBFIG);
    return 0;
}
