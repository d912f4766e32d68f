#include "consumer/operation/child_output.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { TICK_MS = 50 };

static void drain(int *fd, hf_buf *to) {
    char block[4096];
    ssize_t n = read(*fd, block, sizeof block);
    if (n > 0 && to)
        hf_buf_put(to, block, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        hf_close_p(fd);
}

static void pump(hf_child *child, hf_buf *out, hf_buf *errors) {
    struct pollfd fds[2] = {{.fd = child->out, .events = POLLIN}, {.fd = child->err, .events = POLLIN}};
    if (poll(fds, 2, TICK_MS) <= 0)
        return;
    if (fds[0].revents && child->out >= 0)
        drain(&child->out, out);
    if (fds[1].revents && child->err >= 0)
        drain(&child->err, errors);
}

hf_code hf_child_output(const hf_child_options *options, int seconds, const hf_flow *flow, hf_buf *out, hf_buf *errors,
                        int *ret_status, hf_err *reterr) {
    hf_child child;
    int64_t deadline_ns = hf_mono_ns() + (int64_t)seconds * 1000000000;
    hf_code rc = hf_child_start(options, &child, reterr);
    if (rc != HF_OK)
        return rc;
    hf_close_p(&child.in);
    while (rc == HF_OK && (child.out >= 0 || child.err >= 0 || !hf_child_ended(&child))) {
        rc = hf_flow_check(flow, reterr);
        if (rc == HF_OK && hf_mono_ns() > deadline_ns)
            rc = hf_fail(reterr, HF_E_TIMEOUT, "%s did not end within %d s", options->argv[0], seconds);
        if (rc == HF_OK)
            pump(&child, out, errors);
    }
    *ret_status = hf_child_finish(&child);
    return rc;
}
