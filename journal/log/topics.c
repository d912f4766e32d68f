/* The fleet's topics: made where they are missing, checked where they exist. A broker that cannot make topics or
 * describe settings (librdkafka's mock cluster, or missing permission to describe) is taken as it is: the topics
 * must exist then. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "journal/log/inside.h"
#include "schemas/base/clock.h"

static const struct {
    const char *cleanup;
    int64_t retention_ms;
} def[HF_TOPIC_COUNT] = {
#define HF_TOPIC(id, suffix, cleanup, retention_ms, single, doc) {cleanup, retention_ms},
#include "journal/log/topics.def"
#undef HF_TOPIC
};

typedef struct topic_facts {
    hf_topic_settings settings[HF_TOPIC_COUNT];
    bool settled; /* every topic that exists has a leader for each partition */
} topic_facts;

/* ---- metadata ------------------------------------------------------------------------------ */
static void take_topic(hf_klog *log, const rd_kafka_metadata_topic_t *m, topic_facts *facts) {
    hf_topic topic = hf_topic_of(log, m->topic);
    if (topic == HF_TOPIC_COUNT || m->err || m->partition_cnt <= 0)
        return;
    atomic_store(&log->partition_counts[topic], m->partition_cnt);
    if (!facts)
        return;
    facts->settings[topic].partitions = m->partition_cnt;
    facts->settings[topic].replication = m->partitions[0].replica_cnt;
    for (int i = 0; i < m->partition_cnt; i++)
        if (m->partitions[i].leader < 0)
            facts->settled = false;
}

static hf_code read_metadata(hf_klog *log, int timeout_ms, topic_facts *facts, hf_err *reterr) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(log->admin, 1, NULL, &metadata, timeout_ms);
    if (err)
        return hf_fail(reterr, hf_log_code(err), "metadata from %s: %s", log->bootstrap, rd_kafka_err2str(err));
    for (int i = 0; i < metadata->topic_cnt; i++)
        take_topic(log, &metadata->topics[i], facts);
    rd_kafka_metadata_destroy(metadata);
    return HF_OK;
}

hf_code hf_topics_refresh(hf_klog *log, int timeout_ms, hf_err *reterr) {
    return read_metadata(log, timeout_ms, NULL, reterr);
}

/* ---- admin calls --------------------------------------------------------------------------- */
static rd_kafka_AdminOptions_t *options(hf_klog *log, rd_kafka_admin_op_t op, int timeout_ms) {
    char why[128];
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(log->admin, op);
    if (o) {
        rd_kafka_AdminOptions_set_request_timeout(o, timeout_ms, why, sizeof why);
        if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS)
            rd_kafka_AdminOptions_set_operation_timeout(o, timeout_ms, why, sizeof why);
    }
    return o;
}

/* Describes the resources and hands each entry to `take`. *ret_told stays false where the broker does not tell. */
typedef void (*take_entry)(void *ctx, const char *resource, const char *name, const char *value);
static hf_code describe_result(rd_kafka_event_t *event, take_entry take, void *ctx, bool *ret_told, hf_err *reterr) {
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    if (err == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE)
        return HF_OK;
    if (err)
        return hf_fail(reterr, hf_log_code(err), "settings of the topics: %s", rd_kafka_event_error_string(event));
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t count = 0, entries = 0;
    const rd_kafka_ConfigResource_t **res = rd_kafka_DescribeConfigs_result_resources(result, &count);
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_ConfigResource_error(res[i])) {
            HF_LOG(WARN, "topic-settings-unchecked", {"topic", HF_V_Z(rd_kafka_ConfigResource_name(res[i]))},
                   {"detail", HF_V_Z(rd_kafka_ConfigResource_error_string(res[i]))});
            continue;
        }
        *ret_told = true;
        const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(res[i], &entries);
        for (size_t e = 0; e < entries; e++)
            if (rd_kafka_ConfigEntry_value(entry[e]))
                take(ctx, rd_kafka_ConfigResource_name(res[i]), rd_kafka_ConfigEntry_name(entry[e]),
                     rd_kafka_ConfigEntry_value(entry[e]));
    }
    return HF_OK;
}

static hf_code describe(hf_klog *log, rd_kafka_ConfigResource_t **resources, size_t count, int timeout_ms,
                        take_entry take, void *ctx, bool *ret_told, hf_err *reterr) {
    rd_kafka_AdminOptions_t *o = options(log, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->admin);
    rd_kafka_DescribeConfigs(log->admin, resources, count, o, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
    hf_code code = event ? describe_result(event, take, ctx, ret_told, reterr)
                         : hf_fail(reterr, HF_E_LOG_UNREACHABLE, "settings of the topics: no answer");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(o);
    return code;
}

/* ---- what replication a new topic will get -------------------------------------------------- */
static void take_replication(void *ctx, const char *resource, const char *name, const char *value) {
    (void)resource;
    if (strcmp(name, "default.replication.factor") == 0)
        *(int32_t *)ctx = (int32_t)strtol(value, NULL, 10);
}

/* -1 means the broker's default; it is asked for, because min.insync.replicas hangs on it. -1 when not told. */
static int32_t replication_of_new(hf_klog *log, int timeout_ms) {
    int32_t replication = log->replication_wanted;
    char id[16];
    bool told;
    int32_t controller = rd_kafka_controllerid(log->admin, timeout_ms);
    if (replication > 0 || controller < 0)
        return replication;
    snprintf(id, sizeof id, "%d", controller);
    rd_kafka_ConfigResource_t *broker = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, id);
    if (broker) {
        describe(log, &broker, 1, timeout_ms, take_replication, &replication, &told, NULL);
        rd_kafka_ConfigResource_destroy(broker);
    }
    return replication;
}

/* ---- creating ------------------------------------------------------------------------------ */
static void set_new(rd_kafka_NewTopic_t *new_topic, hf_topic topic, int32_t replication) {
    char number[24];
    rd_kafka_NewTopic_set_config(new_topic, "cleanup.policy", def[topic].cleanup);
    snprintf(number, sizeof number, "%" PRId64, def[topic].retention_ms);
    rd_kafka_NewTopic_set_config(new_topic, "retention.ms", number);
    rd_kafka_NewTopic_set_config(new_topic, "retention.bytes", "-1");
    if (replication > 0)
        rd_kafka_NewTopic_set_config(new_topic, "min.insync.replicas", replication >= 3 ? "2" : "1");
    if (replication > 1)
        rd_kafka_NewTopic_set_config(new_topic, "unclean.leader.election.enable", "false");
    if (topic == HF_TOPIC_DEAD_LETTERS) {
        snprintf(number, sizeof number, "%d", HF_LOG_DEAD_LETTER_BYTES);
        rd_kafka_NewTopic_set_config(new_topic, "max.message.bytes", number);
    }
}

static hf_code created(hf_klog *log, rd_kafka_event_t *event, hf_err *reterr) {
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    if (err == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE)
        return hf_fail(reterr, HF_E_NOT_FOUND,
                       "the fleet's topics do not exist at %s, and this broker cannot make them", log->bootstrap);
    if (err)
        return hf_fail(reterr, hf_log_code(err), "making the fleet's topics: %s", rd_kafka_event_error_string(event));
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    for (size_t i = 0; i < count; i++) {
        err = rd_kafka_topic_result_error(topics[i]);
        if (err && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) /* another program was quicker */
            return hf_fail(reterr, hf_log_code(err), "making topic %s: %s", rd_kafka_topic_result_name(topics[i]),
                           rd_kafka_topic_result_error_string(topics[i]));
    }
    return HF_OK;
}

static hf_code create(hf_klog *log, rd_kafka_NewTopic_t **topics, size_t count, int timeout_ms, hf_err *reterr) {
    rd_kafka_AdminOptions_t *o = options(log, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->admin);
    rd_kafka_CreateTopics(log->admin, topics, count, o, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
    hf_code code = event ? created(log, event, reterr)
                         : hf_fail(reterr, HF_E_LOG_UNREACHABLE, "making the fleet's topics: no answer");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(o);
    return code;
}

static hf_code create_missing(hf_klog *log, const topic_facts *facts, int timeout_ms, size_t *ret_count,
                              hf_err *reterr) {
    rd_kafka_NewTopic_t *topics[HF_TOPIC_COUNT];
    size_t count = 0;
    int32_t replication = 0;
    char why[256];
    hf_code code = HF_OK;
    for (int t = 0; t < HF_TOPIC_COUNT && !code; t++) {
        if (facts->settings[t].partitions)
            continue;
        if (!count)
            replication = replication_of_new(log, timeout_ms);
        int jobs = facts->settings[HF_TOPIC_JOB_EVENTS].partitions; /* limits has as many, or is of no use */
        int partitions = hf_topic_single((hf_topic)t)       ? 1
                         : t == HF_TOPIC_LIMITS && jobs > 0 ? jobs
                                                            : log->partitions_wanted;
        topics[count] =
            rd_kafka_NewTopic_new(log->topic_names[t], partitions, log->replication_wanted, why, sizeof why);
        if (!topics[count])
            code = hf_fail(reterr, HF_E_CONFIG, "topic %s: %s", log->topic_names[t], why);
        else
            set_new(topics[count++], (hf_topic)t, replication);
    }
    if (!code && count)
        code = create(log, topics, count, timeout_ms, reterr);
    if (!code && count)
        HF_LOG(INFO, "topics-created", {"fleet", HF_V_Z(log->fleet)}, {"count", HF_V_INT(count)},
               {"partitions", HF_V_INT(log->partitions_wanted)}, {"replication", HF_V_INT(replication)});
    rd_kafka_NewTopic_destroy_array(topics, count);
    *ret_count = count;
    return code;
}

/* ---- all together --------------------------------------------------------------------------- */
static void facts_init(topic_facts *facts) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        hf_topic_settings_init(&facts->settings[t]);
    facts->settled = true;
}

static bool facts_complete(const topic_facts *facts) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        if (!facts->settings[t].partitions)
            return false;
    return facts->settled;
}

/* A topic that was just made takes some milliseconds to have leaders everywhere. */
static hf_code await_topics(hf_klog *log, int timeout_ms, topic_facts *facts, hf_err *reterr) {
    int64_t until = hf_mono_ms(hf_clock_system()) + timeout_ms;
    for (int pause_ms = 5;; pause_ms = pause_ms < 200 ? pause_ms * 2 : 200) {
        facts_init(facts);
        hf_code code = read_metadata(log, timeout_ms, facts, reterr);
        if (code || facts_complete(facts))
            return code;
        if (hf_mono_ms(hf_clock_system()) >= until)
            return hf_fail(reterr, HF_E_LOG_UNREACHABLE, "the fleet's topics at %s have no leader yet", log->bootstrap);
        usleep((useconds_t)pause_ms * 1000);
    }
}

typedef struct take_ctx {
    hf_klog *log;
    topic_facts *facts;
} take_ctx;

static void take_setting(void *ctx, const char *resource, const char *name, const char *value) {
    const take_ctx *c = ctx;
    hf_topic topic = hf_topic_of(c->log, resource);
    if (topic != HF_TOPIC_COUNT)
        hf_topic_settings_put(&c->facts->settings[topic], name, value);
}

static hf_code check_all(hf_klog *log, int timeout_ms, topic_facts *facts, hf_err *reterr) {
    rd_kafka_ConfigResource_t *resources[HF_TOPIC_COUNT];
    size_t count = 0;
    bool told = false;
    take_ctx ctx = {log, facts};
    for (int t = 0; t < HF_TOPIC_COUNT; t++) {
        resources[count] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, log->topic_names[t]);
        count += resources[count] != NULL;
    }
    hf_code code = describe(log, resources, count, timeout_ms, take_setting, &ctx, &told, reterr);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    for (int t = 0; t < HF_TOPIC_COUNT && !code; t++)
        code = hf_topic_settings_check((hf_topic)t, log->topic_names[t], log->bootstrap, &facts->settings[t], reterr);
    return code;
}

/* librdkafka's mock cluster names no controller, and admin calls would wait for one until they time out. */
static bool is_mock(hf_klog *log, int timeout_ms) {
    char *id = rd_kafka_clusterid(log->admin, timeout_ms);
    bool mock = id && strncmp(id, "mockCluster", strlen("mockCluster")) == 0;
    rd_kafka_mem_free(log->admin, id);
    return mock;
}

static hf_code check_present(const hf_klog *log, const topic_facts *facts, hf_err *reterr) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        if (!facts->settings[t].partitions)
            return hf_fail(reterr, HF_E_NOT_FOUND,
                           "topic %s does not exist at %s, an embedded broker, which makes its topics "
                           "at its start: is it that of another fleet?",
                           log->topic_names[t], log->bootstrap);
    return HF_OK;
}

hf_code hf_topics_ensure(hf_klog *log, int timeout_ms, hf_err *reterr) {
    topic_facts facts;
    size_t made = 0;
    facts_init(&facts);
    hf_code code = read_metadata(log, timeout_ms, &facts, reterr);
    if (!code && is_mock(log, timeout_ms))
        return check_present(log, &facts, reterr);
    if (!code)
        code = create_missing(log, &facts, timeout_ms, &made, reterr);
    if (!code && (made || !facts_complete(&facts)))
        code = await_topics(log, timeout_ms, &facts, reterr);
    return code ? code : check_all(log, timeout_ms, &facts, reterr);
}
