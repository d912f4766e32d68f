/* The appliance's console: what its kernel says when it stops, and QEMU when it does not start, goes into the error. A damaged file system can stop
 * the kernel that mounts it ("errors=panic" is the guest's to say). */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/inside.h"

/* Keeps the end. */
static void hear(guestfs_h *g, void *ctx, uint64_t event, int handle, int flags, const char *text, size_t len,
                 const uint64_t *array, size_t array_len) {
    (void)g, (void)event, (void)handle, (void)flags, (void)array, (void)array_len;
    hf_guest_session *x = ctx;
    size_t room = sizeof x->console - 1, skip = len > room ? len - room : 0;
    size_t keep = room - (len - skip);
    if (keep > x->console_len)
        keep = x->console_len;
    memmove(x->console, x->console + x->console_len - keep, keep);
    memcpy(x->console + keep, text + skip, len - skip);
    x->console_len = keep + len - skip;
    x->console[x->console_len] = 0;
}

/* A line of the console, printable and cut. */
enum { LINE_BYTES = 160 };
static void take_line(const char *from, char line[LINE_BYTES]) {
    size_t len = strcspn(from, "\r\n");
    snprintf(line, LINE_BYTES, "%.*s", (int)(len < LINE_BYTES ? len : LINE_BYTES - 1), from);
    for (char *c = line; *c; c++)
        *c = (unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e ? '?' : *c;
}

/* The last "Kernel panic"; "" there is none. */
static void take_panic(const hf_guest_session *x, char line[LINE_BYTES]) {
    static const char mark[] = "Kernel panic - not syncing: ";
    const char *at = "";
    for (const char *next = x->console; (next = strstr(next, mark)) != NULL;)
        at = next += sizeof mark - 1;
    take_line(at, line);
}

/* The last line that is not empty: why QEMU does not start, if it does not. */
static void take_last(const hf_guest_session *x, char line[LINE_BYTES]) {
    size_t end = x->console_len;
    while (end > 0 && (x->console[end - 1] == '\n' || x->console[end - 1] == '\r'))
        end--;
    while (end > 0 && x->console[end - 1] != '\n' && x->console[end - 1] != '\r')
        end--;
    take_line(x->console + end, line);
}

bool hf_guest_gone(const hf_guest_session *x) {
    return atomic_load(&x->killed) != HF_OK || (x->launched && guestfs_is_ready(x->g) != 1);
}

hf_code hf_guest_fail_gone(hf_guest_session *x, const char *what, hf_err *reterr) {
    char line[LINE_BYTES];
    take_panic(x, line);
    if (!*line)
        return hf_fail(reterr, HF_E_TOOL_FAILED, "%s: the appliance ended by itself, or was killed (short memory?)",
                       what);
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s: the kernel of the appliance stopped (%s)%s", what, line,
                   strcmp(x->plan->operation, "fs_repair") == 0
                       ? ""
                       : ": where a damaged file system of the guest's does that, run fs_repair first");
}

bool hf_guest_listen(hf_guest_session *x) {
    x->console[x->console_len = 0] = 0;
    return guestfs_set_event_callback(x->g, hear, GUESTFS_EVENT_APPLIANCE, 0, x) >= 0;
}

hf_code hf_guest_fail_launch(hf_guest_session *x, const char *what, hf_err *reterr) {
    char line[LINE_BYTES];
    take_last(x, line);
    return *line ? hf_guest_fail(x, reterr, "%s (%s)", what, line) : hf_guest_fail(x, reterr, "%s", what);
}
