#include "consumer/provider/vsphere/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "schemas/base/host.h"
#include "schemas/base/mem.h"

enum { WAIT_MS = 50, PATH_ROOM = 2048 };

/* Names of hosts become names of files: letters, digits, dots and dashes as they are, all else (IPv6, ports) as '_'. */
static void file_name(hf_str host, char name[260]) {
    size_t n = 0;
    for (uint32_t i = 0; i < host.len && n < 255; i++) {
        char c = host.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     (c == '.' && n > 0);
        name[n++] = plain ? c : '_';
    }
    name[n] = 0;
}

/* *ret_fd -1 when that slot is taken. */
static hf_code try_slot(const char *path, int *ret_fd, hf_err *reterr) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    *ret_fd = -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "the download slot %s", path);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        *ret_fd = fd;
        return HF_OK;
    }
    int err = errno;
    close(fd);
    return err == EAGAIN || err == EACCES ? HF_OK : hf_fail_errno(reterr, err, "locking the download slot %s", path);
}

static hf_code take_one(const char *dir, const char *name, int max, const hf_flow *flow, int *ret_fd, hf_err *reterr) {
    char path[PATH_ROOM + 300];
    for (;;) {
        hf_code code = hf_flow_check(flow, reterr);
        for (int i = 0; code == HF_OK && i < max; i++) {
            snprintf(path, sizeof path, "%s/%s.%d", dir, name, i + 1);
            code = try_slot(path, ret_fd, reterr);
            if (*ret_fd >= 0)
                return HF_OK;
        }
        if (code != HF_OK)
            return code;
        nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
    }
}

hf_code hf_slots_take(const hf_config *config, const hf_endpoint *endpoint, hf_str host, const hf_flow *flow,
                      hf_slots_held *ret, hf_err *reterr) {
    char dir[PATH_ROOM], name[260];
    hf_slots_held held = {-1, -1};
    snprintf(dir, sizeof dir, "%s/downloads/%s", hf_config_str(config, HF_C_STATE_DIR), endpoint->name);
    file_name(host, name);
    hf_code code = hf_make_dirs(dir, 0750, reterr);
    if (code != HF_OK)
        return hf_context(reterr, "the places of downloads are counted below state_dir, which has to be writable");
    /* The host's first, always: whoever holds one of the endpoint's waits for nothing. No host is called "+all". */
    code = take_one(dir, name[0] ? name : "_", endpoint->max_disks, flow, &held.host_fd, reterr);
    if (code == HF_OK)
        code = take_one(dir, "+all", endpoint->max_downloads, flow, &held.endpoint_fd, reterr);
    if (code != HF_OK) {
        hf_slots_give(&held);
        return hf_context(reterr, "endpoint %s", endpoint->name);
    }
    *ret = held;
    return HF_OK;
}

void hf_slots_give(hf_slots_held *held) {
    if (held->endpoint_fd >= 0)
        close(held->endpoint_fd);
    if (held->host_fd >= 0)
        close(held->host_fd);
    *held = (hf_slots_held){-1, -1};
}
