#include "journal/log/mock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "journal/log/inside.h"

/* ---- knocking ------------------------------------------------------------------------------------ */
enum { KNOCK_EVERY_US = 2000, BROKER = 1 };

typedef struct knocker {
    pthread_t thread;
    bool runs;
    _Atomic bool done;
    uint16_t port;
} knocker;

static void *knock(void *arg) {
    knocker *k = arg;
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(k->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    while (!atomic_load(&k->done)) {
        hf_auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0)
            connect(fd, (const struct sockaddr *)&to, sizeof to);
        usleep(KNOCK_EVERY_US);
    }
    return NULL;
}

/* Without the thread all works, only slower. */
static void knock_begin(knocker *k, uint16_t port) {
    k->port = port;
    atomic_store(&k->done, false);
    k->runs = port && !pthread_create(&k->thread, NULL, knock, k);
}

static void knock_end(knocker *k) {
    atomic_store(&k->done, true);
    if (k->runs)
        pthread_join(k->thread, NULL);
}

/* ---- the cluster ------------------------------------------------------------------------------------ */
static hf_code open_handle(hf_mock *m, hf_err *reterr) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, hf_trouble_on_log);
    return hf_handle_new(RD_KAFKA_PRODUCER, conf, &m->rk, reterr);
}

static hf_code create_topics(hf_mock *m, const hf_broker_topic *topics, size_t count, hf_err *reterr) {
    for (size_t t = 0; t < count; t++) {
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(m->cluster, topics[t].name, topics[t].partitions, 1);
        if (err)
            return hf_fail(reterr, HF_E_INVALID, "embedded broker: topic %s: %s", topics[t].name,
                           rd_kafka_err2str(err));
    }
    return HF_OK;
}

hf_code hf_mock_start(hf_mock *m, const hf_broker_topic *topics, size_t count, hf_err *reterr) {
    knocker k;
    hf_code code = open_handle(m, reterr);
    if (code)
        return code;
    m->cluster = rd_kafka_mock_cluster_new(m->rk, BROKER);
    if (!m->cluster)
        return hf_fail(reterr, HF_E_IO, "the embedded broker does not start: no free port on 127.0.0.1?");
    m->port = (uint16_t)strtoul(strrchr(hf_mock_bootstraps(m), ':') + 1, NULL, 10);
    knock_begin(&k, m->port);
    code = create_topics(m, topics, count, reterr);
    knock_end(&k);
    return code;
}

void hf_mock_stop(hf_mock *m) {
    knocker k;
    knock_begin(&k, m->port);
    if (m->cluster)
        rd_kafka_mock_cluster_destroy(m->cluster);
    knock_end(&k);
    if (m->rk)
        rd_kafka_destroy(m->rk);
    *m = (hf_mock){0};
}

const char *hf_mock_bootstraps(const hf_mock *m) { return rd_kafka_mock_cluster_bootstraps(m->cluster); }

void hf_mock_set_down(hf_mock *m, bool down) {
    knocker k;
    knock_begin(&k, m->port);
    if (down)
        rd_kafka_mock_broker_set_down(m->cluster, BROKER);
    else
        rd_kafka_mock_broker_set_up(m->cluster, BROKER);
    knock_end(&k);
}

void hf_mock_set_delay(hf_mock *m, int delay_ms) {
    knocker k;
    knock_begin(&k, m->port);
    rd_kafka_mock_broker_set_rtt(m->cluster, BROKER, delay_ms);
    knock_end(&k);
}
