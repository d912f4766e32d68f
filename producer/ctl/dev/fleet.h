/* The fleet that `hyperctl dev` runs: its children, in the order they are stopped last: the journal first. */
#pragma once
#include "journal/log/broker.h"
#include "producer/ctl/ctl.h"
#include "producer/ctl/dev/child.h"
#include "producer/ctl/dev/state.h"

enum { HF_DEV_WORKERS_MAX = 64, HF_DEV_JOURNAL = 0, HF_DEV_HOOK = 1, HF_DEV_DISPATCH = 2, HF_DEV_WORKER = 3 };

typedef struct hf_dev {
    hf_ctl *ctl;
    hf_dev_state state;
    char journal_dir[2100];
    char secrets_file[2100]; /* of webhooks: the sidecar writes it, the hook reads it; "": the user named another */
    hf_broker *broker;
    char http[300], kafka[300]; /* where they really listen, "host:port" */
    hf_child *children;
    size_t child_count;
    int signal_fd;
    int signals; /* how many asked for the end */
    int64_t began_ms;
    const char *ready_file; /* --ready-file or NULL */
    bool published;         /* the ready files stand */
} hf_dev;

/* Fills dev->children (not started). */
hf_code hf_dev_make_children(hf_dev *dev, long workers, hf_err *reterr);
/* Starts all and waits until each said that it is ready. Fails with the last words of one that cannot start. */
hf_code hf_dev_start(hf_dev *dev, hf_err *reterr);
/* Watches, restarts and says so, until a signal asks for the end. */
void hf_dev_run(hf_dev *dev);
/* Ends the hook, the dispatcher and the workers, lets the journal take what they said last, ends it; kills whoever does not. */
void hf_dev_stop(hf_dev *dev);

/* ---- publish.c: where the fleet is found --------------------------------------------------------------- */
hf_code hf_dev_publish(hf_dev *dev, hf_err *reterr);
void hf_dev_unpublish(hf_dev *dev);
void hf_dev_banner(const hf_dev *dev);
