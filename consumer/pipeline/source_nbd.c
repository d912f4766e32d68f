/* The nbd source: qemu-nbd, started by libnbd over socket activation, reads the format; we see the guest's bytes and, by
 * the base:allocation context, its holes and zeros. qemu-nbd gets the file as /proc/self/fd/N of the descriptor that was
 * opened and checked, never as a path. It ends with the connection, also when this process dies. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libnbd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/pipeline/probe.h"
#include "consumer/pipeline/source.h"
#include "schemas/base/mem.h"

enum { EXTENTS_MAX = 4096, INHERITED_FD_FROM = 64 };
static const uint64_t status_bytes_max = 1ULL << 31; /* of one block status request */

typedef struct nbd_extent {
    int64_t end;
    bool data;
} nbd_extent;

typedef struct nbd_source {
    hf_source source;
    struct nbd_handle *nbd;
    bool has_status;
    /* what the last block status said, from `from` on */
    int64_t from;
    uint32_t count;
    nbd_extent extents[EXTENTS_MAX];
} nbd_source;

static hf_code fail_nbd(hf_err *reterr, const char *what) {
    const char *text = nbd_get_error();
    int err = nbd_get_errno();
    if (err == ENOSPC || err == ENOMEM)
        return hf_fail_errno(reterr, err, "%s", what);
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s: %s", what, text ? text : strerror(err));
}

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
    if (nbd_block_status(n->nbd, len < status_bytes_max ? len : status_bytes_max, (uint64_t)offset, callback, 0) != 0)
        return fail_nbd(reterr, "asking qemu-nbd for the image's holes");
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
    if (nbd_pread(n->nbd, to, len, (uint64_t)offset, 0) != 0)
        return fail_nbd(reterr, "reading the image through qemu-nbd");
    return HF_OK;
}

static void nbd_source_close(hf_source *source) {
    nbd_source *n = (nbd_source *)source;
    nbd_close(n->nbd); /* also ends qemu-nbd and waits for it */
    hf_close_p(&source->fd);
    free(n);
}

static const hf_source_class nbd_class = {"nbd", nbd_extent_at, nbd_read, nbd_source_close};

static hf_code connect_qemu(nbd_source *n, int inherited_fd, const char *format, hf_err *reterr) {
    char path[64], format_arg[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", inherited_fd);
    snprintf(format_arg, sizeof format_arg, "%s", format);
    char *argv[] = {(char[]){"qemu-nbd"}, (char[]){"-r"}, (char[]){"-f"}, format_arg, (char[]){"--"}, path, NULL};
    if (nbd_add_meta_context(n->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_connect_systemd_socket_activation(n->nbd, argv) != 0) {
        hf_code rc = fail_nbd(reterr, "qemu-nbd");
        hf_context(reterr, "the image cannot be read as %s (qemu-nbd's own words are in the worker's log)", format);
        return rc;
    }
    int64_t size = nbd_get_size(n->nbd);
    if (size < 0)
        return fail_nbd(reterr, "size of the disk");
    n->source.size_bytes = size;
    n->has_status = nbd_can_meta_context(n->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    return HF_OK;
}

/* libnbd tells a missing program only as a connection that ended. */
static hf_code need_qemu_nbd(const char *format, hf_err *reterr) {
    const char *path = getenv("PATH");
    char file[4096];
    for (const char *dir = path ? path : "/usr/bin:/bin"; *dir;) {
        size_t n = strcspn(dir, ":");
        if (snprintf(file, sizeof file, "%.*s/qemu-nbd", (int)n, dir) < (int)sizeof file && access(file, X_OK) == 0)
            return HF_OK;
        dir += n + (dir[n] == ':');
    }
    return hf_fail(reterr, HF_E_CAPABILITY,
                   "images of format %s are read by the program qemu-nbd, which is not in PATH: install qemu-utils, or "
                   "convert the image to raw",
                   format);
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
    if ((rc = need_qemu_nbd(format, reterr)) != HF_OK)
        return rc;
    nbd_source *n = hf_alloc(sizeof *n);
    if (!n)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a disk source");
    n->source = (hf_source){.cls = &nbd_class, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), .id = id};
    n->nbd = nbd_create();
    /* The child's copy: without close-on-exec for the time of the start, and high, since socket activation takes 3. */
    hf_auto_fd int inherited = fcntl(fd, F_DUPFD, INHERITED_FD_FROM);
    if (!n->nbd || n->source.fd < 0 || inherited < 0)
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "a connection to qemu-nbd");
    if (rc == HF_OK)
        rc = connect_qemu(n, inherited, hf_format_qemu(known), reterr);
    if (rc == HF_OK)
        rc = count_allocated(n, reterr);
    if (rc != HF_OK) {
        nbd_source_close(&n->source);
        return rc;
    }
    *ret = &n->source;
    return HF_OK;
}
