/* librdkafka's settings: ours, the user's `kafka.*`, and which of the user's are refused, with the reason. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "journal/log/inside.h"

/* Settings that carry a promise of klog.h. `value` is the one that may be given anyway. */
static const struct {
    const char *name, *value, *reason;
} reserved[] = {
    {"acks", "all", "a record counts as published only when all in-sync replicas have it"},
    {"request.required.acks", "all", "a record counts as published only when all in-sync replicas have it"},
    {"enable.idempotence", "true", "without it a retry can double or reorder records"},
    {"partitioner", "murmur2_random", "a key must go where Java's producers put it"},
    {"enable.auto.commit", "false", "a record is committed only when it is dealt with"},
    {"enable.auto.offset.store", "false", "a record is committed only when it is dealt with"},
    {"auto.offset.reset", "error", "a truncated log must fail loudly"},
    {"enable.partition.eof", "true", "readiness rests on it"},
    {"partition.assignment.strategy", "cooperative-sticky", "members of one group must agree"},
    {"transactional.id", NULL, "the log decides without transactions"},
    {"group.id", NULL, "groups are named after the fleet"},
    {"plugin.library.paths", NULL, "it loads foreign code into the program"},
    {"test.mock.num.brokers", NULL, "it would keep the log in this process's memory"},
};

/* Evidence: reference figures in docs/PERFORMANCE.md. */
static const hf_setting common[] = {
    {"reconnect.backoff.max.ms", "500"}, /* 10 s by default: a cut of 2 s stalled for 11 s */
    {"socket.timeout.ms", "10000"},      /* 60 s by default: a frozen leader stalled its partitions that long */
    {"log.connection.close", "false"},
    {NULL, NULL},
};

static bool is_acks(const char *name) {
    return strcmp(name, "acks") == 0 || strcmp(name, "request.required.acks") == 0;
}

static hf_code check_reserved(const char *name, const char *value, hf_err *reterr) {
    for (size_t i = 0; i < HF_ARRAY_LEN(reserved); i++) {
        if (strcmp(reserved[i].name, name) != 0)
            continue;
        if (reserved[i].value && strcasecmp(value, reserved[i].value) == 0)
            return HF_OK;
        if (is_acks(name) && strcmp(value, "-1") == 0)
            return HF_OK;
        return hf_fail(reterr, HF_E_CONFIG, "kafka.%s cannot be set here: %s; remove it", name, reserved[i].reason);
    }
    return HF_OK;
}

static hf_code check_scram(const char *name, const char *value, int version, hf_err *reterr) {
    bool mechanism = strcmp(name, "sasl.mechanism") == 0 || strcmp(name, "sasl.mechanisms") == 0;
    if (!mechanism || strncasecmp(value, "SCRAM", 5) != 0 || version >= 0x02060100)
        return HF_OK;
    return hf_fail(reterr, HF_E_CONFIG,
                   "kafka.%s is %s, but librdkafka %d.%d.%d builds a wrong SCRAM nonce (mended in 2.6.1) that Kafka 4 "
                   "refuses: use PLAIN over SASL_SSL, client certificates, or a newer librdkafka",
                   name, value, version >> 24 & 0xff, version >> 16 & 0xff, version >> 8 & 0xff);
}

hf_code hf_conf_check(const json_t *kafka, int librdkafka_version, hf_err *reterr) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)kafka, name, value) {
        if (!json_is_string(value))
            return hf_fail(reterr, HF_E_CONFIG, "kafka.%s: a single value is needed", name);
        hf_code code = check_reserved(name, json_string_value(value), reterr);
        if (!code)
            code = check_scram(name, json_string_value(value), librdkafka_version, reterr);
        if (code)
            return code;
    }
    return HF_OK;
}

/* librdkafka's own message quotes the value: not for these. */
static bool may_be_secret(const char *name) {
    return strstr(name, "password") || strstr(name, "secret") || strstr(name, ".key") || strstr(name, "pem") ||
           strstr(name, "token") || strstr(name, "oauthbearer");
}

static hf_code put(rd_kafka_conf_t *conf, const char *name, const char *value, hf_err *reterr) {
    char why[256];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, why, sizeof why);
    if (result == RD_KAFKA_CONF_OK)
        return HF_OK;
    if (result == RD_KAFKA_CONF_UNKNOWN)
        return hf_fail(reterr, HF_E_CONFIG, "kafka.%s: librdkafka %s has no such setting", name,
                       rd_kafka_version_str());
    return hf_fail(reterr, HF_E_CONFIG, "kafka.%s: %s", name, may_be_secret(name) ? "the value is not allowed" : why);
}

static hf_code put_list(rd_kafka_conf_t *conf, const hf_setting *list, hf_err *reterr) {
    for (; list && list->name; list++) {
        hf_code code = put(conf, list->name, list->value, reterr);
        if (code)
            return code;
    }
    return HF_OK;
}

static hf_code put_users(rd_kafka_conf_t *conf, const hf_klog *log, hf_err *reterr) {
    const char *name;
    json_t *value;
    json_object_foreach(log->kafka, name, value) {
        if (strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "client.id") == 0)
            continue;
        hf_code code = put(conf, name, json_string_value(value), reterr);
        if (code)
            return code;
    }
    return HF_OK;
}

/* Unique for each client: two of one id in a cooperative-sticky group never settle before librdkafka 2.6.1. */
static hf_code put_names(rd_kafka_conf_t *conf, hf_klog *log, const char *role, hf_err *reterr) {
    const char *given = json_string_value(json_object_get(log->kafka, "client.id"));
    char id[512];
    snprintf(id, sizeof id, "%s%s%s-%s%u", given ? given : "", given ? "/" : "", log->producer_name, role,
             atomic_fetch_add(&log->clients, 1));
    hf_code code = put(conf, "client.id", id, reterr);
    return code ? code : put(conf, "bootstrap.servers", log->bootstrap, reterr);
}

hf_code hf_conf_new(hf_klog *log, const char *role, const hf_setting *soft, const hf_setting *hard,
                    rd_kafka_conf_t **ret, hf_err *reterr) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!conf)
        return hf_fail(reterr, HF_E_NO_MEMORY, "settings of a Kafka client");
    hf_code code = put_list(conf, common, reterr);
    if (!code)
        code = put_list(conf, soft, reterr);
    if (!code)
        code = put_users(conf, log, reterr);
    if (!code)
        code = put_list(conf, hard, reterr);
    if (!code)
        code = put_names(conf, log, role, reterr);
    if (code) {
        rd_kafka_conf_destroy(conf);
        return code;
    }
    rd_kafka_conf_set_opaque(conf, log);
    rd_kafka_conf_set_error_cb(conf, hf_trouble_on_error);
    rd_kafka_conf_set_log_cb(conf, hf_trouble_on_log);
    *ret = conf;
    return HF_OK;
}

hf_code hf_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret, hf_err *reterr) {
    char why[256] = "";
#if defined(__SANITIZE_THREAD__)
    hf_c11_tsan();
#endif
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return hf_fail(reterr, HF_E_CONFIG, "librdkafka refuses the kafka.* settings: %s", why);
    }
    *ret = rk;
    return HF_OK;
}
