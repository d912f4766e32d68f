#include "journal/replica/writer.h"

#include <errno.h>
#include <sys/eventfd.h>

static void *write_on(void *arg) {
    hf_writer *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->stop && (!w->batch || w->finished))
            pthread_cond_wait(&w->moved, &w->lock);
        if (!w->batch || w->finished)
            break;
        const hf_changes *batch = w->batch;
        pthread_mutex_unlock(&w->lock);
        hf_err err = {0};
        err.code = hf_store_commit(w->store, batch, &err);
        pthread_mutex_lock(&w->lock);
        w->err = err;
        w->finished = true;
        pthread_cond_broadcast(&w->moved);
        eventfd_write(w->wake_fd, 1);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

hf_code hf_writer_start(hf_writer *w, hf_store *store, int wake_fd, hf_err *reterr) {
    *w = (hf_writer){.store = store, .wake_fd = wake_fd};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->moved, NULL);
    int err = pthread_create(&w->thread, NULL, write_on, w);
    if (err)
        return hf_fail_errno(reterr, err, "the thread that writes the store");
    w->running = true;
    return HF_OK;
}

void hf_writer_stop(hf_writer *w) {
    if (!w->running)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->moved);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->moved);
    pthread_mutex_destroy(&w->lock);
    w->running = false;
}

void hf_writer_commit(hf_writer *w, const hf_changes *batch) {
    pthread_mutex_lock(&w->lock);
    w->batch = batch;
    w->finished = false;
    pthread_cond_broadcast(&w->moved);
    pthread_mutex_unlock(&w->lock);
}

bool hf_writer_finished(hf_writer *w, bool wait, hf_err *ret_err) {
    pthread_mutex_lock(&w->lock);
    while (wait && w->batch && !w->finished)
        pthread_cond_wait(&w->moved, &w->lock);
    bool finished = w->batch && w->finished;
    if (finished) {
        *ret_err = w->err;
        w->batch = NULL;
        w->finished = false;
    }
    pthread_mutex_unlock(&w->lock);
    return finished;
}
