#include "journal/replica/layout.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/event/codec.h"
#include "schemas/job/limit.h"

static const struct {
    const char *name;
    unsigned flags;
} rows[HF_TB_COUNT] = {
#define HF_STORE_TABLE(id, name_, flags_, doc) [HF_TB_##id] = {name_, flags_},
#include "journal/replica/tables.def"
#undef HF_STORE_TABLE
};
static bool live_has(int id) {
    return id == HF_TB_META || id == HF_TB_OFFSETS || id == HF_TB_IDS || id == HF_TB_JOBS ||
           id == HF_TB_SCHEDULE_RUNS || id == HF_TB_LIMITS || id == HF_TB_LIMIT_GRANTS;
}

void hf_layout_options(hf_profile profile, const char *fleet, hf_store_options *o) {
    o->kind = profile == HF_PROFILE_FULL ? "hyperfleet-journal" : "hyperfleet-live";
    o->fleet = fleet;
    o->version = HF_LAYOUT_VERSION * 1000000u + (HF_FOLD_VERSION + HF_LIMIT_FOLD_VERSION - 1) * 1000u +
                 (uint32_t)(hf_schema_fingerprint(HF_SCHEMA_JOB) % 1000);
}

hf_code hf_tables_open(hf_store *store, hf_profile profile, hf_tables *ret, hf_err *reterr) {
    for (int id = 0; id < HF_TB_COUNT; id++) {
        if (profile == HF_PROFILE_LIVE && !live_has(id))
            continue;
        hf_code rc = hf_store_table(store, rows[id].name, rows[id].flags, &ret->of[id], reterr);
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}

const char *hf_offsets_key(hf_topic topic, int32_t partition, char text[HF_PART_NAME_BYTES]) {
    snprintf(text, HF_PART_NAME_BYTES, "%s/%d", hf_topic_suffix(topic), (int)partition);
    return text;
}

const char *hf_logcopy_name(hf_topic topic, int32_t partition, char text[HF_PART_NAME_BYTES]) {
    snprintf(text, HF_PART_NAME_BYTES, "log/%s/%d", hf_topic_suffix(topic), (int)partition);
    return text;
}

bool hf_logcopy_parse(const char *name, hf_topic *ret_topic, int32_t *ret_partition) {
    const char *slash = strrchr(name, '/');
    if (strncmp(name, "log/", 4) != 0 || slash <= name + 3)
        return false;
    hf_str suffix = {name + 4, (uint32_t)(slash - name - 4)};
    char *end = NULL;
    long partition = strtol(slash + 1, &end, 10);
    if (end == slash + 1 || *end || partition < 0 || partition > INT16_MAX)
        return false;
    for (int topic = 0; topic < HF_TOPIC_COUNT; topic++)
        if (hf_str_eqz(suffix, hf_topic_suffix((hf_topic)topic))) {
            *ret_topic = (hf_topic)topic;
            *ret_partition = (int32_t)partition;
            return true;
        }
    return false;
}
