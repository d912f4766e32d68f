/* What the files of journal/log share; nobody else includes this. One hf_klog owns:
 *
 *   admin     a bare consumer handle for metadata, admin calls and watermarks: unlike a producer's it never
 *             makes the broker create a topic by asking for it
 *   producer  made with the log, its librdkafka handles only when first needed (producer.c)
 *   trouble   the last error librdkafka told through its error callback
 *
 * Locks: hf_trouble.lock and hf_producer.lock are leaves; no callback of the owner runs under either. */
#pragma once
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "journal/log/klog.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum {
    HF_LOG_STEP_MS = 10000, /* bound of one blocking step inside open calls */
    HF_LOG_FULL_NAME = 256, /* Kafka's topic names have at most 249 characters */
    HF_LOG_PARTITIONS_MAX = 4096,
    HF_LOG_DEAD_LETTER_BYTES = 2 * 1024 * 1024, /* a stranger's record may be larger than ours, and is kept verbatim */
};

typedef struct hf_producer hf_producer;

typedef struct hf_trouble {
    pthread_mutex_t lock;
    _Atomic int code; /* HF_OK while all is well */
    char detail[256];
    int64_t probed_ms;
} hf_trouble;

struct hf_klog {
    char *fleet, *bootstrap, *producer_name;
    json_t *kafka; /* pass-through settings, checked; a copy */
    char *topic_names[HF_TOPIC_COUNT];
    int32_t partitions_wanted, replication_wanted;
    _Atomic int32_t partition_counts[HF_TOPIC_COUNT]; /* 0: not known */
    _Atomic uint32_t clients;                         /* numbers client.ids */
    hf_trouble trouble;
    rd_kafka_t *admin;
    hf_producer *producer;
};

#if defined(__SANITIZE_THREAD__)
void hf_c11_tsan(void); /* c11_tsan.c: called so that the linker takes that file */
#endif

/* ---- conf.c: settings ---------------------------------------------------------------------- */
typedef struct hf_setting {
    const char *name, *value;
} hf_setting;
/* Refuses pass-through settings that would weaken what this layer promises, and SCRAM where it cannot work. */
hf_code hf_conf_check(const json_t *kafka, int librdkafka_version, hf_err *reterr);
/* Common defaults, then `soft` (role's defaults), then the pass-through, then `hard`. Lists end with a NULL name.
 * client.id becomes "<name>-<role><number>". error and log callbacks are set, the opaque is `log`. */
hf_code hf_conf_new(hf_klog *log, const char *role, const hf_setting *soft, const hf_setting *hard,
                    rd_kafka_conf_t **ret, hf_err *reterr);
/* rd_kafka_new that eats conf in any case. */
hf_code hf_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret, hf_err *reterr);

/* ---- trouble.c: what librdkafka complains about --------------------------------------------- */
void hf_trouble_init(hf_trouble *trouble);
void hf_trouble_done(hf_trouble *trouble);
void hf_trouble_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque);
void hf_trouble_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text);
/* A record was acknowledged or read: whatever it was is over. Cheap. */
void hf_trouble_over(hf_trouble *trouble);
/* The text of the last complaint, or `otherwise`. */
void hf_trouble_text(hf_trouble *trouble, const char *otherwise, char *text, size_t size);
hf_code hf_log_code(rd_kafka_resp_err_t err);

void hf_klog_serve(hf_klog *log); /* klog.c: the admin handle's callbacks */

/* ---- topics.c ------------------------------------------------------------------------------- */
/* Reads the partition counts of the fleet's topics that exist. */
hf_code hf_topics_refresh(hf_klog *log, int timeout_ms, hf_err *reterr);
hf_code hf_topics_ensure(hf_klog *log, int timeout_ms, hf_err *reterr);
bool hf_topic_single(hf_topic topic);
hf_topic hf_topic_of(const hf_klog *log, const char *full_name); /* HF_TOPIC_COUNT: none of ours */

/* ---- settings.c: are a topic's settings safe? Pure. --------------------------------------------- */
typedef struct hf_topic_settings { /* as the broker describes them; -2: not told */
    char cleanup[32];
    int64_t retention_ms, retention_bytes, min_insync;
    int unclean_election; /* 1: allowed */
    int32_t partitions, replication;
} hf_topic_settings;
void hf_topic_settings_init(hf_topic_settings *settings);
/* One "name = value" as described by the broker. */
void hf_topic_settings_put(hf_topic_settings *settings, const char *name, const char *value);
/* TOPIC_MISMATCH names the topic, the setting, its value, the wanted one, and the command that mends it. */
hf_code hf_topic_settings_check(hf_topic topic, const char *full_name, const char *bootstrap,
                                const hf_topic_settings *settings, hf_err *reterr);

/* ---- producer.c -------------------------------------------------------------------------------- */
hf_code hf_producer_new(hf_klog *log, hf_producer **ret, hf_err *reterr);
void hf_producer_free(hf_producer *producer); /* reports what is left as LOG_NOT_ACKED */

/* ---- message.c: librdkafka's messages as records ---------------------------------------------- */
typedef struct hf_topic_cache { /* topic handles seen in messages; pointer compare in the common case */
    const rd_kafka_topic_t *handles[HF_TOPIC_COUNT];
    hf_topic topics[HF_TOPIC_COUNT];
    uint32_t count;
} hf_topic_cache;
hf_topic hf_topic_cache_get(hf_topic_cache *cache, const hf_klog *log, rd_kafka_topic_t *handle);

/* A consumer handle that batches keep alive: messages must be gone before it is destroyed. */
typedef struct hf_client {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    _Atomic uint32_t refs;
} hf_client;
hf_code hf_client_new(rd_kafka_t *rk, int event_fd, hf_client **ret, hf_err *reterr);
void hf_client_silence(hf_client *client); /* no more events on the descriptor */
void hf_client_put(hf_client *client);     /* drops one reference; NULL is fine */

/* Turns `count` messages of one client into a batch, which takes them over (and a reference). */
typedef enum hf_headers { HF_HEADERS_TAKE, HF_HEADERS_SKIP } hf_headers;
hf_code hf_batch_make(hf_client *client, hf_topic_cache *cache, const hf_klog *log, hf_headers headers,
                      rd_kafka_message_t **messages, size_t count, hf_batch *ret, hf_err *reterr);
void hf_event_clear(int fd);
int hf_event_wait(int fd, int timeout_ms); /* poll(2), again after EINTR */

/* First and next offset of each partition in one request per leader; `partitions` is left as it was but for .offset. */
hf_code hf_log_ends(hf_klog *log, rd_kafka_topic_partition_list_t *partitions, int64_t which, int timeout_ms,
                    hf_err *reterr);
/* LOG_TRUNCATED in words: asks for the first kept offset. */
hf_code hf_log_truncated(hf_klog *log, const char *topic, int32_t partition, int64_t wanted, const char *remedy,
                         hf_err *reterr);
