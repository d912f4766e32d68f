/* hyperctl dev: the whole fleet on one machine, with an embedded broker. */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/dev/fleet.h"
#include "producer/ctl/dev/refill.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/base/ready.h"

/* ---- addresses ------------------------------------------------------------------------------------------ */
/* "host:port", "[::1]:port" or "http://host:port/" -> "host:port" into `to`. */
static hf_code read_address(const char *option, const char *text, char *to, size_t size, hf_err *reterr) {
    if (strncmp(text, "http://", 7) == 0)
        text += 7;
    snprintf(to, size, "%s", text);
    size_t len = strlen(to);
    if (len && to[len - 1] == '/')
        to[len - 1] = 0;
    const char *colon = strrchr(to, ':');
    char *end = NULL;
    long port = colon && colon > to ? strtol(colon + 1, &end, 10) : -1;
    if (strlen(text) >= size || port < 0 || port > 65535 || end == colon + 1 || *end)
        return hf_fail(reterr, HF_E_USAGE,
                       "--%s '%.100s': give HOST:PORT, for example 127.0.0.1:0 (port 0: a free one)", option, text);
    return HF_OK;
}

/* The program that will listen there says the same, but only after everything else was started. */
static hf_code check_free(const char *option, const char *address, hf_err *reterr) {
    char host[300];
    snprintf(host, sizeof host, "%s", address);
    char *colon = strrchr(host, ':');
    *colon = 0;
    char *name = host[0] == '[' ? host + 1 : host;
    name[strcspn(name, "]")] = 0;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int why = getaddrinfo(name, colon + 1, &hints, &found);
    if (why)
        return hf_fail(reterr, HF_E_USAGE, "--%s %s: %s", option, address, gai_strerror(why));
    hf_auto_fd int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int bound = fd < 0 ? -1 : bind(fd, found->ai_addr, found->ai_addrlen);
    if (bound == 0)
        bound = listen(fd, 1);
    int error = errno;
    freeaddrinfo(found);
    if (bound == 0)
        return HF_OK;
    return hf_fail(reterr, error == EADDRINUSE ? HF_E_EXISTS : HF_E_USAGE,
                   "--%s %s: %s; give another address, or port 0 for a free one", option, address, strerror(error));
}

static hf_code read_addresses(hf_dev *dev, hf_err *reterr) {
    const char *http = hf_args_get(&dev->ctl->args, HF_OPT_HTTP), *kafka = hf_args_get(&dev->ctl->args, HF_OPT_KAFKA);
    hf_code code = read_address("http", http ? http : "127.0.0.1:8080", dev->http, sizeof dev->http, reterr);
    if (!code)
        code = read_address("kafka", kafka ? kafka : "127.0.0.1:9092", dev->kafka, sizeof dev->kafka, reterr);
    if (!code)
        code = check_free("http", dev->http, reterr);
    return code ? code : check_free("kafka", dev->kafka, reterr);
}

static hf_code check_settings(const hf_ctl *ctl, hf_err *reterr) {
    static const struct {
        const char *key, *remedy;
    } ours[] = {{"fleet=", "the fleet of dev is `dev`"},
                {"kafka.bootstrap.servers=", "--kafka says where the embedded broker listens"},
                {"state_dir=", "give --state DIR"},
                {"http.listen=", "give --http ADDR"},
                {"worker.id=", "workers are worker-1, worker-2, ..."}};
    size_t cursor = 0;
    for (const char *set; (set = hf_args_next(&ctl->args, HF_OPT_SET, &cursor));)
        for (size_t i = 0; i < HF_ARRAY_LEN(ours); i++)
            if (strncmp(set, ours[i].key, strlen(ours[i].key)) == 0)
                return hf_fail(reterr, HF_E_USAGE, "--set %.*s is for dev itself to set: %s",
                               (int)strlen(ours[i].key) - 1, ours[i].key, ours[i].remedy);
    return HF_OK;
}

/* ---- the broker ------------------------------------------------------------------------------------------- */
static const bool single[HF_TOPIC_COUNT] = {
#define HF_TOPIC(id, suffix, cleanup, retention_ms, single_, doc) [HF_TOPIC_##id] = single_,
#include "journal/log/topics.def"
#undef HF_TOPIC
};

/* Partitions are never taken away from a log that has them. */
static int32_t partitions_of(const hf_dev *dev, const hf_dev_log *before, int topic) {
    int32_t wanted = single[topic] ? 1 : (int32_t)hf_config_int(dev->ctl->config, HF_C_TOPIC_PARTITIONS);
    return before->partitions[topic] > wanted ? before->partitions[topic] : wanted;
}

/* On a thread of the broker. */
static void on_limit(void *ctx, const hf_broker_limit *limit) {
    (void)ctx;
    if (limit->dropped)
        fprintf(stderr,
                "hyperctl dev: the embedded broker dropped the head of %s/%d: it begins at offset %" PRId64
                " now. The journal has it all; whoever "
                "still has to read what is gone gets an error. Use a real Kafka for more\n",
                limit->topic, (int)limit->partition, limit->first_kept);
    else
        fprintf(stderr,
                "hyperctl dev: %s/%d nears what the embedded broker can keep (%" PRId64 " records, %" PRId64
                " bytes)\n",
                limit->topic, (int)limit->partition, limit->records, limit->bytes);
}

static hf_code start_broker(hf_dev *dev, hf_err *reterr) {
    char names[HF_TOPIC_COUNT][80];
    const char *pointers[HF_TOPIC_COUNT];
    hf_broker_topic topics[HF_TOPIC_COUNT];
    hf_dev_log before;
    hf_code code = hf_dev_log_read(dev->journal_dir, &before, reterr);
    for (int i = 0; !code && i < HF_TOPIC_COUNT; i++) {
        snprintf(names[i], sizeof names[i], "hyperfleet.dev.%s", hf_topic_suffix((hf_topic)i));
        pointers[i] = names[i];
        topics[i] = (hf_broker_topic){names[i], partitions_of(dev, &before, i)};
    }
    if (!code)
        code = hf_broker_start(dev->kafka, topics, HF_TOPIC_COUNT, &dev->broker, reterr);
    if (code)
        return hf_context(reterr, "embedded broker on %s", dev->kafka);
    snprintf(dev->kafka, sizeof dev->kafka, "%s", hf_broker_address(dev->broker));
    hf_broker_on_limit(dev->broker, on_limit, NULL);
    uint64_t records = 0;
    code = hf_dev_refill(dev->journal_dir, dev->broker, pointers, &records, reterr);
    if (code)
        return hf_context(reterr, "refill the broker from %.200s", dev->journal_dir);
    return hf_dev_drop_ahead(dev->state.dir, dev->journal_dir, reterr);
}

/* ---- the whole --------------------------------------------------------------------------------------------- */
/* Before any thread is made, so that all of them leave the signals to this one. */
static hf_code catch_signals(hf_dev *dev, hf_err *reterr) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0 ||
        (dev->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return hf_fail_errno(reterr, errno, "signals");
    return HF_OK;
}

static hf_code open_all(hf_dev *dev, hf_err *reterr) {
    long workers;
    hf_code code = hf_args_int(&dev->ctl->args, HF_OPT_WORKERS, 0, HF_DEV_WORKERS_MAX, 1, &workers, reterr);
    if (!code)
        code = check_settings(dev->ctl, reterr);
    if (!code)
        code = read_addresses(dev, reterr);
    if (!code)
        code = hf_dev_state_open(hf_args_get(&dev->ctl->args, HF_OPT_STATE), &dev->state, reterr);
    if (code)
        return code;
    snprintf(dev->journal_dir, sizeof dev->journal_dir, "%s/journal", dev->state.dir);
    if (!*hf_config_str(dev->ctl->config, HF_C_WEBHOOK_SECRETS))
        snprintf(dev->secrets_file, sizeof dev->secrets_file, "%s/webhook-secrets.json", dev->state.dir);
    code = catch_signals(dev, reterr);
    if (!code)
        code = start_broker(dev, reterr);
    return code ? code : hf_dev_make_children(dev, workers, reterr);
}

static void close_all(hf_dev *dev) {
    hf_dev_unpublish(dev);
    hf_dev_stop(dev);
    for (size_t i = 0; i < dev->child_count; i++)
        hf_child_done(&dev->children[i]);
    free(dev->children);
    hf_broker_stop(dev->broker);
    if (dev->signal_fd >= 0)
        close(dev->signal_fd);
    hf_dev_state_close(&dev->state);
}

hf_code hf_cmd_dev(hf_ctl *ctl, hf_err *reterr) {
    hf_dev dev = {.ctl = ctl,
                  .signal_fd = -1,
                  .state = {.lock_fd = -1},
                  .began_ms = hf_mono_ms(hf_clock_system()),
                  .ready_file = hf_args_get(&ctl->args, HF_OPT_READY_FILE)};
    hf_code code = open_all(&dev, reterr);
    if (!code)
        code = hf_dev_start(&dev, reterr);
    if (!code)
        code = hf_dev_publish(&dev, reterr);
    if (!code) {
        hf_dev_banner(&dev);
        hf_ready_notify();
        hf_dev_run(&dev);
        fprintf(ctl->out, "Stopping.\n");
        fflush(ctl->out);
    }
    close_all(&dev);
    return code;
}
