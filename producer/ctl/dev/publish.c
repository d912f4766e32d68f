#include <string.h>
#include <unistd.h>

#include "producer/ctl/dev/fleet.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static json_t *pids(const hf_dev *dev) {
    json_t *workers = json_array();
    for (size_t i = HF_DEV_WORKER; workers && i < dev->child_count; i++)
        json_array_append_new(workers, json_integer(dev->children[i].pid));
    return json_pack("{s:i,s:i,s:i,s:i,s:o}", "hyperctl", (int)getpid(), "hyperjournal",
                     (int)dev->children[HF_DEV_JOURNAL].pid, "hyperdispatch", (int)dev->children[HF_DEV_DISPATCH].pid,
                     "hyperhook", (int)dev->children[HF_DEV_HOOK].pid, "hyperworker", workers);
}

hf_code hf_dev_publish(hf_dev *dev, hf_err *reterr) {
    char url[400], known[512];
    snprintf(url, sizeof url, "http://%s", dev->http);
    json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "fleet", "dev", "kafka", dev->kafka, "http", dev->http,
                             "http_url", url, "state", dev->state.dir, "journal", dev->journal_dir, "pids", pids(dev));
    hf_auto_free char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(json);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "ready file");
    size_t len = strlen(text);
    text[len] = '\n'; /* in place of the NUL: the file is written by length */
    hf_code code = dev->ready_file ? hf_dev_write_file(dev->ready_file, text, len + 1, reterr) : HF_OK;
    if (code)
        return hf_context(reterr, "--ready-file");
    dev->published = true;
    hf_err err;
    if (hf_dev_write_file(hf_dev_file_path(known, sizeof known), text, len + 1, &err))
        fprintf(stderr, "hyperctl dev: %s: other commands need --http %s\n", err.detail, url);
    return HF_OK;
}

/* Another fleet may have put its own file there meanwhile. */
static bool is_ours(const char *path) {
    json_t *file = json_load_file(path, 0, NULL);
    bool ours = json_integer_value(json_object_get(json_object_get(file, "pids"), "hyperctl")) == getpid();
    json_decref(file);
    return ours;
}

void hf_dev_unpublish(hf_dev *dev) {
    char known[512];
    if (!dev->published)
        return;
    hf_dev_file_path(known, sizeof known);
    if (is_ours(known))
        unlink(known);
    if (dev->ready_file && is_ours(dev->ready_file))
        unlink(dev->ready_file);
    dev->published = false;
}

void hf_dev_banner(const hf_dev *dev) {
    FILE *out = dev->ctl->out;
    size_t workers = dev->child_count - HF_DEV_WORKER;
    fprintf(out, "Hyperfleet %s, fleet `dev`: journal, dispatcher, hook and %zu worker%s are ready after %.1f s.\n",
            HF_VERSION, workers, workers == 1 ? "" : "s",
            (double)(hf_mono_ms(hf_clock_system()) - dev->began_ms) / 1000);
    fprintf(out, "  HTTP   http://%s\n", dev->http);
    fprintf(out, "  Kafka  %s (topics hyperfleet.dev.*)\n", dev->kafka);
    fprintf(out, "  State  %s%s\n", dev->state.dir,
            dev->state.temporary ? " (temporary: removed at the end; --state DIR keeps one)" : "");
    fprintf(out, "  Logs   %s\n", dev->state.log_dir);
    fprintf(
        out,
        "The embedded broker is for trials on this machine: it keeps the newest 5 MB or 100,000 records of a partition in memory\n"
        "(the journal keeps all on disk), has no authentication, and its transactions are not real.\n");
    fprintf(
        out,
        "Try:  hyperctl submit disk.qcow2 --output-dir /tmp/exports --wait\n"
        "      hyperctl webhook add http://127.0.0.1:PORT/   (receivers on this machine may be called)\nCtrl-C stops it.\n");
    fflush(out);
}
