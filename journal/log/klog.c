/* A connection to one fleet's topics: opening, closing, names, watermarks, health. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "journal/log/inside.h"
#include "schemas/base/clock.h"

static const char *const suffixes[HF_TOPIC_COUNT] = {
#define HF_TOPIC(id, suffix, cleanup, retention_ms, single, doc) suffix,
#include "journal/log/topics.def"
#undef HF_TOPIC
};

const char *hf_topic_suffix(hf_topic topic) { return suffixes[topic]; }

const char *hf_klog_topic_name(const hf_klog *log, hf_topic topic) { return log->topic_names[topic]; }

hf_topic hf_topic_of(const hf_klog *log, const char *full_name) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        if (strcmp(log->topic_names[t], full_name) == 0)
            return (hf_topic)t;
    return HF_TOPIC_COUNT;
}

static bool fleet_valid(const char *fleet) {
    size_t len = strlen(fleet);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)fleet[i]) && fleet[i] != '-' && fleet[i] != '_')
            return false;
    return len > 0 && len <= 64;
}

static hf_code name_topics(hf_klog *log, hf_err *reterr) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++) {
        char name[HF_LOG_FULL_NAME];
        int len = snprintf(name, sizeof name, "hyperfleet.%s.%s", log->fleet, suffixes[t]);
        log->topic_names[t] = hf_strndup(name, (size_t)len);
        if (!log->topic_names[t])
            return hf_fail(reterr, HF_E_NO_MEMORY, "names of topics");
    }
    return HF_OK;
}

static char *dup_z(const char *z) { return hf_strndup(z, strlen(z)); }

static hf_code take_config(hf_klog *log, const hf_config *config, const char *producer_name, hf_err *reterr) {
    const char *fleet = hf_config_str(config, HF_C_FLEET);
    if (!fleet_valid(fleet))
        return hf_fail(reterr, HF_E_CONFIG, "fleet \"%s\": 1 to 64 letters, digits, '-' or '_' are needed", fleet);
    const json_t *kafka = hf_config_kafka(config);
    hf_code code = hf_conf_check(kafka, rd_kafka_version(), reterr);
    if (code)
        return code;
    log->fleet = dup_z(fleet);
    log->bootstrap = dup_z(hf_config_str(config, HF_C_KAFKA_BOOTSTRAP));
    log->producer_name = dup_z(producer_name);
    log->kafka = kafka ? json_deep_copy(kafka) : json_object();
    if (!log->fleet || !log->bootstrap || !log->producer_name || !log->kafka)
        return hf_fail(reterr, HF_E_NO_MEMORY, "settings of the log");
    log->partitions_wanted = (int32_t)hf_config_int(config, HF_C_TOPIC_PARTITIONS);
    log->replication_wanted = (int32_t)hf_config_int(config, HF_C_TOPIC_REPLICATION);
    return name_topics(log, reterr);
}

static hf_code open_admin(hf_klog *log, hf_err *reterr) {
    rd_kafka_conf_t *conf;
    hf_code code = hf_conf_new(log, "admin", NULL, NULL, &conf, reterr);
    return code ? code : hf_handle_new(RD_KAFKA_CONSUMER, conf, &log->admin, reterr);
}

/* Serves the admin handle's callbacks; they only note trouble. */
void hf_klog_serve(hf_klog *log) { rd_kafka_poll(log->admin, 0); }

/* Any answer from any broker will do; what went wrong comes through the error callback meanwhile. */
static hf_code await_broker(hf_klog *log, int timeout_ms, hf_err *reterr) {
    int64_t until = hf_mono_ms(hf_clock_system()) + timeout_ms;
    for (;;) {
        int64_t left = until - hf_mono_ms(hf_clock_system());
        hf_code code = hf_topics_refresh(log, left < 1 ? 1 : left > 1000 ? 1000 : (int)left, reterr);
        hf_klog_serve(log);
        if (!code || code == HF_E_NO_MEMORY)
            return code;
        if (atomic_load(&log->trouble.code) == HF_E_UNAUTHORIZED || left <= 0)
            break;
    }
    char why[256];
    hf_trouble_text(&log->trouble, "no answer", why, sizeof why);
    if (atomic_load(&log->trouble.code) == HF_E_UNAUTHORIZED)
        return hf_fail(reterr, HF_E_UNAUTHORIZED, "Kafka at %s: %s", log->bootstrap, why);
    return hf_fail(reterr, HF_E_LOG_UNREACHABLE,
                   "no Kafka broker at %s within %d ms: %s; check kafka.bootstrap.servers and that the broker runs",
                   log->bootstrap, timeout_ms, why);
}

hf_code hf_klog_open(const hf_config *config, const char *producer_name, bool ensure_topics, int timeout_ms,
                     hf_klog **ret, hf_err *reterr) {
    hf_klog *log = hf_alloc(sizeof *log);
    if (!log)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the log");
    hf_trouble_init(&log->trouble);
    hf_code code = take_config(log, config, producer_name, reterr);
    if (!code)
        code = hf_producer_new(log, &log->producer, reterr);
    if (!code)
        code = open_admin(log, reterr);
    if (!code)
        code = await_broker(log, timeout_ms, reterr);
    if (!code && ensure_topics)
        code = hf_topics_ensure(log, timeout_ms, reterr);
    if (code) {
        hf_klog_close(log);
        return code;
    }
    hf_trouble_over(&log->trouble);
    *ret = log;
    return HF_OK;
}

enum { CLOSE_FLUSH_MS = 5000 };

void hf_klog_close(hf_klog *log) {
    if (!log)
        return;
    if (log->producer) {
        hf_klog_flush(log, CLOSE_FLUSH_MS, NULL);
        hf_producer_free(log->producer);
    }
    if (log->admin)
        rd_kafka_destroy_flags(log->admin, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        free(log->topic_names[t]);
    json_decref(log->kafka);
    free(log->fleet);
    free(log->bootstrap);
    free(log->producer_name);
    hf_trouble_done(&log->trouble);
    free(log);
}

hf_code hf_klog_partitions(hf_klog *log, hf_topic topic, int32_t *ret_count, hf_err *reterr) {
    int32_t count = atomic_load(&log->partition_counts[topic]);
    if (!count) {
        hf_code code = hf_topics_refresh(log, HF_LOG_STEP_MS, reterr);
        if (code)
            return code;
        count = atomic_load(&log->partition_counts[topic]);
    }
    if (!count)
        return hf_fail(reterr, HF_E_NOT_FOUND, "topic %s does not exist at %s", log->topic_names[topic],
                       log->bootstrap);
    *ret_count = count;
    return HF_OK;
}

/* Answers of a cluster whose leaders move, or that has just made a topic: the next one will be better. */
static bool passes(rd_kafka_resp_err_t err) {
    int code = err;
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH || code == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH ||
           code == RD_KAFKA_RESP_ERR__TRANSPORT;
}

enum { ENDS_PAUSE_MS = 20 };

/* librdkafka asks the leaders it knows, and does not look for new ones by itself. */
static void pause_and_refresh(hf_klog *log) {
    usleep(ENDS_PAUSE_MS * 1000);
    hf_topics_refresh(log, HF_LOG_STEP_MS / 10, NULL);
}

hf_code hf_klog_watermarks(hf_klog *log, hf_topic topic, int32_t partition, int timeout_ms, int64_t *ret_low,
                           int64_t *ret_high, hf_err *reterr) {
    int64_t low, high, until = hf_mono_ms(hf_clock_system()) + timeout_ms;
    const char *name = log->topic_names[topic];
    rd_kafka_resp_err_t err;
    while ((err = rd_kafka_query_watermark_offsets(log->admin, name, partition, &low, &high, timeout_ms)) &&
           passes(err) && hf_mono_ms(hf_clock_system()) < until)
        pause_and_refresh(log);
    if (err)
        return hf_fail(reterr, hf_log_code(err), "offsets of %s [%d]: %s", name, partition, rd_kafka_err2str(err));
    *ret_low = low;
    *ret_high = high;
    return HF_OK;
}

static rd_kafka_resp_err_t ask_ends(hf_klog *log, rd_kafka_topic_partition_list_t *partitions, int64_t which,
                                    int timeout_ms) {
    for (int i = 0; i < partitions->cnt; i++)
        partitions->elems[i].offset = which;
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(log->admin, partitions, timeout_ms);
    for (int i = 0; !err && i < partitions->cnt; i++)
        err = partitions->elems[i].err;
    return err;
}

/* offsets_for_times with the special times -1 (end) and -2 (beginning): ListOffsets as the protocol has it. */
hf_code hf_log_ends(hf_klog *log, rd_kafka_topic_partition_list_t *partitions, int64_t which, int timeout_ms,
                    hf_err *reterr) {
    int64_t until = hf_mono_ms(hf_clock_system()) + timeout_ms;
    rd_kafka_resp_err_t err;
    while ((err = ask_ends(log, partitions, which, timeout_ms)) && passes(err) && hf_mono_ms(hf_clock_system()) < until)
        pause_and_refresh(log);
    return err ? hf_fail(reterr, hf_log_code(err), "offsets of the topics at %s: %s", log->bootstrap,
                         rd_kafka_err2str(err))
               : HF_OK;
}

enum { PROBE_MS = 200, PROBE_EVERY_MS = 1000 };

/* An idle client hears nothing when the broker is back, so ask. */
static bool probe_due(hf_trouble *trouble) {
    int64_t now = hf_mono_ms(hf_clock_system());
    pthread_mutex_lock(&trouble->lock);
    bool due = now - trouble->probed_ms >= PROBE_EVERY_MS;
    if (due)
        trouble->probed_ms = now;
    pthread_mutex_unlock(&trouble->lock);
    return due;
}

hf_code hf_klog_health(hf_klog *log, hf_err *reterr) {
    hf_klog_serve(log);
    hf_code code = (hf_code)atomic_load(&log->trouble.code);
    if (code && probe_due(&log->trouble) && hf_topics_refresh(log, PROBE_MS, NULL) == HF_OK)
        hf_trouble_over(&log->trouble);
    code = (hf_code)atomic_load(&log->trouble.code);
    if (!code)
        return HF_OK;
    char why[256];
    hf_trouble_text(&log->trouble, hf_code_sentence(code), why, sizeof why);
    return hf_fail(reterr, code, "Kafka at %s: %s", log->bootstrap, why);
}
