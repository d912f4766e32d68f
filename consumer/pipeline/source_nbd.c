/* The nbd source: a qemu-nbd of our own (qemu_nbd.h) reads the format; we see the guest's bytes and, by the base:allocation
 * context, its holes and zeros. There are several connections, because one handle of libnbd serves one call at a
 * time: a thread that reads takes a free one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/pipeline/probe.h"
#include "consumer/pipeline/qemu_nbd.h"
#include "consumer/pipeline/source.h"
#include "schemas/base/mem.h"

enum { EXTENTS_MAX = 4096 };
static const uint64_t status_bytes_max = 1ULL << 31; /* of one block status request */

typedef struct nbd_extent {
    int64_t end;
    bool data;
} nbd_extent;

typedef struct nbd_source {
    hf_source source;
    hf_qemu_nbd qemu;
    bool has_status;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct nbd_handle *free[HF_QEMU_NBD_CONNECTIONS_MAX]; /* the first free_count: under the lock */
    int free_count;
    /* what the last block status said, from `from` on */
    int64_t from;
    uint32_t count;
    nbd_extent extents[EXTENTS_MAX];
} nbd_source;

/* ---- connections ----------------------------------------------------------------------------------------- */
static struct nbd_handle *take(nbd_source *n) {
    pthread_mutex_lock(&n->lock);
    while (n->free_count == 0)
        pthread_cond_wait(&n->freed, &n->lock);
    struct nbd_handle *nbd = n->free[--n->free_count];
    pthread_mutex_unlock(&n->lock);
    return nbd;
}

static void give_back(nbd_source *n, struct nbd_handle *nbd) {
    pthread_mutex_lock(&n->lock);
    n->free[n->free_count++] = nbd;
    pthread_cond_signal(&n->freed);
    pthread_mutex_unlock(&n->lock);
}

/* With libnbd's words, and qemu-nbd's own where it said something. */
static hf_code fail_nbd(const nbd_source *n, const char *what, hf_err *reterr) {
    const char *text = nbd_get_error();
    char words[HF_QEMU_NBD_WORDS];
    int err = nbd_get_errno();
    hf_qemu_nbd_words(&n->qemu, words);
    if (err == ENOSPC || err == ENOMEM)
        return hf_fail_errno(reterr, err, "%s", what);
    if (words[0])
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s: %s", what, words);
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s: %s", what, text ? text : strerror(err));
}

/* ---- what the source is asked for -------------------------------------------------------------------------- */
static int on_extent(void *ctx, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error) {
    nbd_source *n = ctx;
    (void)error;
    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
        return 0;
    int64_t at = (int64_t)offset;
    for (size_t i = 0; i + 1 < count; i += 2) {
        at += entries[i];
        bool data = !(entries[i + 1] & LIBNBD_STATE_ZERO);
        if (at > n->source.size_bytes)
            at = n->source.size_bytes;
        if (n->count > 0 && n->extents[n->count - 1].data == data)
            n->extents[n->count - 1].end = at;
        else if (n->count < EXTENTS_MAX)
            n->extents[n->count++] = (nbd_extent){at, data};
        else
            break; /* asked for again from where we stopped */
    }
    return 0;
}

static hf_code nbd_fill(nbd_source *n, int64_t offset, hf_err *reterr) {
    uint64_t len = (uint64_t)(n->source.size_bytes - offset);
    n->count = 0;
    n->from = offset;
    nbd_extent_callback callback = {.callback = on_extent, .user_data = n};
    struct nbd_handle *nbd = take(n);
    int failed = nbd_block_status(nbd, len < status_bytes_max ? len : status_bytes_max, (uint64_t)offset, callback, 0);
    give_back(n, nbd);
    if (failed)
        return fail_nbd(n, "asking qemu-nbd for the image's holes", reterr);
    if (n->count == 0 || n->extents[0].end <= offset)
        return hf_fail(reterr, HF_E_PROTOCOL, "qemu-nbd answered a block status request with nothing");
    return HF_OK;
}

static hf_code nbd_extent_at(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    nbd_source *n = (nbd_source *)source;
    if (!n->has_status) {
        *ret_end = source->size_bytes;
        *ret_data = true;
        return HF_OK;
    }
    if (n->count == 0 || offset < n->from || offset >= n->extents[n->count - 1].end) {
        hf_code rc = nbd_fill(n, offset, reterr);
        if (rc != HF_OK)
            return rc;
    }
    uint32_t low = 0, high = n->count - 1; /* the first extent that ends behind offset */
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (n->extents[mid].end > offset)
            high = mid;
        else
            low = mid + 1;
    }
    *ret_end = n->extents[low].end;
    *ret_data = n->extents[low].data;
    return HF_OK;
}

static hf_code nbd_read(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr) {
    nbd_source *n = (nbd_source *)source;
    struct nbd_handle *nbd = take(n);
    int failed = nbd_pread(nbd, to, len, (uint64_t)offset, 0);
    give_back(n, nbd);
    if (failed)
        return fail_nbd(n, "reading the image through qemu-nbd", reterr);
    return HF_OK;
}

static void nbd_source_close(hf_source *source) {
    nbd_source *n = (nbd_source *)source;
    while (n->free_count > 0)
        nbd_close(n->free[--n->free_count]);
    hf_qemu_nbd_stop(&n->qemu);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->freed);
    hf_close_p(&source->fd);
    free(n);
}

static const hf_source_class nbd_class = {"nbd", nbd_extent_at, nbd_read, nbd_source_close};

/* ---- opening --------------------------------------------------------------------------------------------- */
static hf_code connect_one(nbd_source *n, int i, hf_err *reterr) {
    struct nbd_handle *nbd = nbd_create();
    if (!nbd)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a connection to qemu-nbd");
    n->free[n->free_count++] = nbd;
    int socket = n->qemu.sockets[i];
    n->qemu.sockets[i] = -1; /* libnbd closes it, whatever comes of this */
    if (nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || nbd_connect_socket(nbd, socket) != 0)
        return fail_nbd(n, "qemu-nbd", reterr);
    return HF_OK;
}

/* Threads that read are about as many as CPUs; more connections than some bring nothing, as qemu-nbd serves them in one thread. */
static int connections_wanted(void) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 2 ? 2 : cpus > HF_QEMU_NBD_CONNECTIONS_MAX ? HF_QEMU_NBD_CONNECTIONS_MAX : (int)cpus;
}

static hf_code connect_all(nbd_source *n, const char *format, hf_err *reterr) {
    int connections = connections_wanted();
    hf_code rc = hf_qemu_nbd_start(n->source.fd, format, connections, &n->qemu, reterr);
    for (int i = 0; rc == HF_OK && i < connections; i++)
        if ((rc = connect_one(n, i, reterr)) != HF_OK)
            hf_context(reterr, "the image cannot be read as %s", format);
    if (rc != HF_OK)
        return rc;
    int64_t size = nbd_get_size(n->free[0]);
    if (size < 0)
        return fail_nbd(n, "size of the disk", reterr);
    n->source.size_bytes = size;
    n->has_status = nbd_can_meta_context(n->free[0], LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    return HF_OK;
}

/* Sums what is allocated, for progress; few round trips, each covers up to 2 GiB. */
static hf_code count_allocated(nbd_source *n, hf_err *reterr) {
    int64_t end, size = n->source.size_bytes;
    bool data;
    for (int64_t at = 0; at < size; at = end) {
        hf_code rc = nbd_extent_at(&n->source, at, &end, &data, reterr);
        if (rc != HF_OK)
            return rc;
        if (data)
            n->source.allocated_bytes += end - at;
    }
    return HF_OK;
}

hf_code hf_source_open_nbd(int fd, const char *format, hf_source **ret, hf_err *reterr) {
    hf_source_id id;
    hf_format known;
    hf_code rc = hf_source_identify(fd, &id, reterr);
    if (rc != HF_OK)
        return rc;
    if (!hf_format_parse(hf_str_of(format), &known))
        return hf_fail(reterr, HF_E_UNSUPPORTED, "image format %s: use one of raw, qcow2, vmdk, vdi, vhd, vhdx",
                       format);
    nbd_source *n = hf_alloc(sizeof *n);
    if (!n)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a disk source");
    n->source = (hf_source){.cls = &nbd_class, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), .id = id};
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->freed, NULL);
    hf_qemu_nbd_init(&n->qemu);
    rc = n->source.fd < 0 ? hf_fail_errno(reterr, errno, "the image's descriptor")
                          : connect_all(n, hf_format_qemu(known), reterr);
    if (rc == HF_OK)
        rc = count_allocated(n, reterr);
    if (rc != HF_OK) {
        nbd_source_close(&n->source);
        return rc;
    }
    *ret = &n->source;
    return HF_OK;
}
