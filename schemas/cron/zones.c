#define HASH_NONFATAL_OOM 1
#include "schemas/cron/zones.h"

#include <stdlib.h>
#include <uthash.h>

#include "schemas/base/mem.h"

typedef struct known {
    UT_hash_handle hh;
    hf_zone *zone;
    char name[HF_ZONE_NAME_MAX + 1];
} known;
struct hf_zones {
    known *by_name;
};

hf_zones *hf_zones_new(void) { return hf_alloc(sizeof(hf_zones)); }

void hf_zones_free(hf_zones *zones) {
    known *one, *next;
    if (!zones)
        return;
    HASH_ITER(hh, zones->by_name, one, next) {
        HASH_DEL(zones->by_name, one);
        hf_zone_free(one->zone);
        free(one);
    }
    free(zones);
}

static hf_code learn(hf_zones *zones, hf_str name, const hf_zone **ret, hf_err *reterr) {
    hf_zone *zone = NULL;
    if (HASH_COUNT(zones->by_name) >= HF_ZONES_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "more than %d different time zones", HF_ZONES_MAX);
    hf_code rc = hf_zone_load(name, &zone, reterr);
    if (rc != HF_OK)
        return rc;
    known *one = hf_alloc(sizeof *one);
    if (one) {
        memcpy(one->name, name.p, name.len);
        one->zone = zone;
        HASH_ADD_KEYPTR(hh, zones->by_name, one->name, name.len, one);
    }
    if (!one || !one->hh.tbl) {
        hf_zone_free(zone);
        free(one);
        return hf_fail(reterr, HF_E_NO_MEMORY, "the time zone %.*s", HF_STR_ARG(name));
    }
    *ret = zone;
    return HF_OK;
}

hf_code hf_zones_of(hf_zones *zones, const hf_cron *cron, hf_str otherwise, const hf_zone **ret, hf_err *reterr) {
    hf_str name = cron->has_zone ? hf_str_of(cron->zone) : otherwise;
    known *one = NULL;
    if (name.len == 0 || hf_str_eqz(name, "UTC")) {
        *ret = NULL;
        return HF_OK;
    }
    if (name.len <= HF_ZONE_NAME_MAX)
        HASH_FIND(hh, zones->by_name, name.p, name.len, one);
    if (!one) /* a name too long is refused as none */
        return learn(zones, name, ret, reterr);
    *ret = one->zone;
    return HF_OK;
}
