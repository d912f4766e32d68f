/* What librdkafka complains about: kept for /health, said in errors, and logged without a flood. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "journal/log/inside.h"
#include "schemas/base/clock.h"

void hf_trouble_init(hf_trouble *trouble) {
    pthread_mutex_init(&trouble->lock, NULL);
    atomic_store(&trouble->code, HF_OK);
}

void hf_trouble_done(hf_trouble *trouble) { pthread_mutex_destroy(&trouble->lock); }

hf_code hf_log_code(rd_kafka_resp_err_t err) {
    int code = err; /* the enum has 150 members and each release adds some */
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return HF_OK;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE: return HF_E_LOG_UNREACHABLE;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: return HF_E_UNAUTHORIZED;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return HF_E_PERMISSION;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return HF_E_NOT_FOUND;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return HF_E_LIMIT;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: return HF_E_LOG_QUEUE_FULL;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED: return HF_E_LOG_FATAL;
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG: return HF_E_CONFIG;
    default: return HF_E_PROTOCOL;
    }
}

/* One broker of several going away is no trouble; all of them, refused credentials, or a fatal error are. */
static bool is_trouble(int err) {
    return err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || err == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
           err == RD_KAFKA_RESP_ERR__SSL || err == RD_KAFKA_RESP_ERR__FATAL;
}

void hf_trouble_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque) {
    hf_klog *log = opaque;
    char fatal[200] = "";
    if (err == RD_KAFKA_RESP_ERR__FATAL && rd_kafka_fatal_error(rk, fatal, sizeof fatal))
        reason = fatal;
    pthread_mutex_lock(&log->trouble.lock);
    /* "all brokers are down" says less than the transport error before it: keep that text */
    if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !log->trouble.detail[0])
        snprintf(log->trouble.detail, sizeof log->trouble.detail, "%s", reason ? reason : rd_kafka_err2str(err));
    if (is_trouble(err))
        atomic_store(&log->trouble.code, (int)hf_log_code(err));
    pthread_mutex_unlock(&log->trouble.lock);
}

void hf_trouble_over(hf_trouble *trouble) {
    if (atomic_load_explicit(&trouble->code, memory_order_relaxed) == HF_OK)
        return;
    pthread_mutex_lock(&trouble->lock);
    atomic_store(&trouble->code, HF_OK);
    trouble->detail[0] = '\0';
    pthread_mutex_unlock(&trouble->lock);
}

void hf_trouble_text(hf_trouble *trouble, const char *otherwise, char *text, size_t size) {
    pthread_mutex_lock(&trouble->lock);
    snprintf(text, size, "%s", trouble->detail[0] ? trouble->detail : otherwise);
    pthread_mutex_unlock(&trouble->lock);
}

/* While a broker is down librdkafka logs each try to connect: say each facility at most once in so long. */
enum { LOG_QUIET_MS = 5000, LOG_FACILITIES = 8 };
static bool said_lately(const char *facility) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        char name[16];
        int64_t at_ms;
    } said[LOG_FACILITIES];
    static uint32_t next;
    int64_t now = hf_mono_ms(hf_clock_system());
    bool lately = false, found = false;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < LOG_FACILITIES && !found; i++) {
        if (strncmp(said[i].name, facility, sizeof said[i].name - 1) != 0)
            continue;
        found = true;
        lately = now - said[i].at_ms < LOG_QUIET_MS;
        if (!lately)
            said[i].at_ms = now;
    }
    if (!found) {
        snprintf(said[next].name, sizeof said[next].name, "%s", facility);
        said[next].at_ms = now;
        next = (next + 1) % LOG_FACILITIES;
    }
    pthread_mutex_unlock(&lock);
    return lately;
}

void hf_trouble_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
    /* CONFWARN: "is a producer property", as we pass all to all. GETPID: tried again until it works */
    bool usual = strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "GETPID") == 0;
    if (usual || level >= 6) {
        HF_LOG(DEBUG, "kafka", {"client", HF_V_Z(rk ? rd_kafka_name(rk) : "")}, {"facility", HF_V_Z(facility)},
               {"text", HF_V_Z(text)});
        return;
    }
    if (said_lately(facility))
        return;
    HF_LOG(WARN, "kafka", {"client", HF_V_Z(rk ? rd_kafka_name(rk) : "")}, {"facility", HF_V_Z(facility)},
           {"text", HF_V_Z(text)});
}
