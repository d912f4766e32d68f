/* The thread that commits: one batch at a time, handed over and asked about without waiting. */
#pragma once
#include <pthread.h>

#include "journal/store/store.h"

typedef struct hf_writer {
    hf_store *store;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    const hf_changes *batch; /* being committed; NULL: idle */
    bool running, stop, finished;
    hf_err err;  /* of the finished one; code HF_OK: it is in the store */
    int wake_fd; /* eventfd written when a commit has finished; the caller's */
} hf_writer;

hf_code hf_writer_start(hf_writer *writer, hf_store *store, int wake_fd, hf_err *reterr);
/* Waits for the batch under way. */
void hf_writer_stop(hf_writer *writer);
/* Only while idle: `batch` stays the caller's, untouched until it is told finished. */
void hf_writer_commit(hf_writer *writer, const hf_changes *batch);
/* True once for each batch: *ret_err says how it ended. wait: until it has. */
bool hf_writer_finished(hf_writer *writer, bool wait, hf_err *ret_err);
