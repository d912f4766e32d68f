/* Are a topic's settings safe? A pure comparison of what the broker describes with what topics.def wants:
 * only what could lose a record that Kafka acknowledged, or stop the fleet for ever, is a mismatch. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "journal/log/inside.h"

enum { NOT_TOLD = -2 };

static const struct {
    const char *cleanup;
    int64_t retention_ms;
    bool single;
} wanted[HF_TOPIC_COUNT] = {
#define HF_TOPIC(id, suffix, cleanup, retention_ms, single, doc) {cleanup, retention_ms, single},
#include "journal/log/topics.def"
#undef HF_TOPIC
};

bool hf_topic_single(hf_topic topic) { return wanted[topic].single; }

void hf_topic_settings_init(hf_topic_settings *s) {
    *s = (hf_topic_settings){
        .retention_ms = NOT_TOLD, .retention_bytes = NOT_TOLD, .min_insync = NOT_TOLD, .unclean_election = NOT_TOLD};
}

void hf_topic_settings_put(hf_topic_settings *s, const char *name, const char *value) {
    if (strcmp(name, "cleanup.policy") == 0)
        snprintf(s->cleanup, sizeof s->cleanup, "%s", value);
    else if (strcmp(name, "retention.ms") == 0)
        s->retention_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "retention.bytes") == 0)
        s->retention_bytes = strtoll(value, NULL, 10);
    else if (strcmp(name, "min.insync.replicas") == 0)
        s->min_insync = strtoll(value, NULL, 10);
    else if (strcmp(name, "unclean.leader.election.enable") == 0)
        s->unclean_election = strcmp(value, "true") == 0;
}

typedef struct check {
    const char *topic, *bootstrap;
    hf_err *reterr;
} check;

static hf_code mismatch(const check *c, const char *setting, const char *is, const char *want, const char *harm) {
    return hf_fail(c->reterr, HF_E_TOPIC_MISMATCH,
                   "topic %s has %s=%s, wanted %s: %s; mend it: kafka-configs --bootstrap-server %.100s --alter "
                   "--topic %s --add-config %s=%s",
                   c->topic, setting, is, want, harm, c->bootstrap, c->topic, setting, want);
}

static hf_code mismatch_int(const check *c, const char *setting, int64_t is, int64_t want, const char *harm) {
    char a[24], b[24];
    snprintf(a, sizeof a, "%" PRId64, is);
    snprintf(b, sizeof b, "%" PRId64, want);
    return mismatch(c, setting, a, b, harm);
}

static bool deletes(const char *cleanup) { return strstr(cleanup, "delete") != NULL; }
static bool compacts(const char *cleanup) { return strstr(cleanup, "compact") != NULL; }

static hf_code check_cleanup(const check *c, hf_topic topic, const hf_topic_settings *s) {
    const char *want = wanted[topic].cleanup;
    if (!s->cleanup[0])
        return HF_OK;
    if (compacts(s->cleanup) && !compacts(want))
        return mismatch(c, "cleanup.policy", s->cleanup, want, "compaction drops all but the last record of a key");
    if (deletes(s->cleanup) && !deletes(want))
        return mismatch(c, "cleanup.policy", s->cleanup, want, "old keys would be deleted");
    return HF_OK;
}

/* Topics both compacted and deleted (heartbeats) are said again all the time: nothing is lost with them. */
static hf_code check_retention(const check *c, hf_topic topic, const hf_topic_settings *s) {
    int64_t want = wanted[topic].retention_ms;
    if (compacts(wanted[topic].cleanup) || !deletes(s->cleanup[0] ? s->cleanup : "delete"))
        return HF_OK;
    bool shorter = s->retention_ms >= 0 && (want < 0 || s->retention_ms < want);
    if (shorter)
        return mismatch_int(c, "retention.ms", s->retention_ms, want, "records would be deleted too early");
    if (s->retention_bytes >= 0)
        return mismatch_int(c, "retention.bytes", s->retention_bytes, -1, "records would be deleted by size");
    return HF_OK;
}

static hf_code check_replicas(const check *c, const hf_topic_settings *s) {
    if (s->min_insync > 0 && s->replication > 0 && s->min_insync > s->replication)
        return mismatch_int(c, "min.insync.replicas", s->min_insync, s->replication > 2 ? 2 : 1,
                            "with fewer replicas than that nothing can be written");
    if (s->replication >= 3 && s->min_insync == 1)
        return mismatch_int(c, "min.insync.replicas", 1, 2, "what one broker alone has acknowledged dies with it");
    if (s->replication > 1 && s->unclean_election == 1)
        return mismatch(c, "unclean.leader.election.enable", "true", "false",
                        "a replica that lags behind could become leader");
    return HF_OK;
}

hf_code hf_topic_settings_check(hf_topic topic, const char *full_name, const char *bootstrap,
                                const hf_topic_settings *s, hf_err *reterr) {
    const check c = {.topic = full_name, .bootstrap = bootstrap, .reterr = reterr};
    if (wanted[topic].single && s->partitions > 1)
        return hf_fail(reterr, HF_E_TOPIC_MISMATCH,
                       "topic %s has %d partitions, wanted 1: its records would lose their order; mend it: delete the "
                       "topic (kafka-topics --bootstrap-server %.100s --delete --topic %s), it is made anew",
                       full_name, s->partitions, bootstrap, full_name);
    hf_code code = check_cleanup(&c, topic, s);
    if (!code)
        code = check_retention(&c, topic, s);
    return code ? code : check_replicas(&c, s);
}
