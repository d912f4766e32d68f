// LIBS: hf_operation
/* An initramfs and the texts about it, as a hostile guest may have them: the walk ends, within what it may look at, and says one of three things;
 * what an edit of a text makes is taken as it is the next time. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "consumer/operation/guest/initramfs_scan.h"
#include "consumer/operation/guest/initramfs_text.h"
#include "consumer/operation/guest/selinux_text.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 4 << 20, ROOM = 1 << 20 };

static const char *const wanted[] = {"virtio_blk", "nvme", NULL};

typedef struct input {
    const uint8_t *data;
    size_t left;
} input;

static ssize_t take(void *ctx, void *to, size_t len) {
    input *in = ctx;
    size_t n = in->left < len ? in->left : len;
    memcpy(to, in->data, n);
    in->data += n;
    in->left -= n;
    return (ssize_t)n;
}

static void walk(const uint8_t *data, size_t size, bool whole) {
    hf_initramfs_scan scan;
    input in = {data, size};
    MUST(hf_initramfs_look(take, &in, "6.1.0", wanted, whole, MOST, &scan, NULL) == HF_OK);
    MUST(scan.state == HF_INITRAMFS_READ || scan.why[0]);
    MUST((scan.found & ~3U) == 0 && (!scan.found || scan.for_kernel));
}

typedef bool edit(const char *before, const char *const *names, hf_buf *to);

/* Once it was edited, it has the names, and editing it again leaves it alone. */
static void edit_twice(edit *with, bool (*has)(const char *text, const char *name), const char *text) {
    hf_buf once, twice;
    hf_buf_init(&once, ROOM);
    hf_buf_init(&twice, ROOM);
    if (with(text, wanted, &once) && hf_buf_put(&once, "", 1)) {
        const char *now = (const char *)once.data;
        MUST(has(now, wanted[0]) && has(now, wanted[1]));
        MUST(with(now, wanted, &twice) && twice.len + 1 == once.len && memcmp(once.data, twice.data, twice.len) == 0);
    }
    hf_buf_done(&once);
    hf_buf_done(&twice);
}

static void set_selinux(const char *text) {
    hf_selinux_config config;
    hf_buf to;
    hf_buf_init(&to, ROOM);
    hf_selinux_parse(text, &config);
    if (hf_selinux_set(text, "SELINUXTYPE", "targeted", &to) && hf_buf_put(&to, "", 1)) {
        hf_selinux_parse((const char *)to.data, &config);
        MUST(strcmp(config.type, "targeted") == 0 && config.type_ok);
    }
    hf_selinux_word(text, "selinux=0");
    hf_buf_done(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 64 * 1024)
        return 0;
    walk(data, size, true);
    walk(data, size, false);
    char *text = calloc(1, size + 1), image[64];
    MUST(text);
    memcpy(text, data, size);
    edit_twice(hf_tools_with, hf_tools_names, text);
    edit_twice(hf_dracut_with, hf_dracut_names, text);
    edit_twice(hf_mkinitcpio_with, hf_mkinitcpio_names, text);
    hf_modules_list(text, "nvme");
    MUST(!hf_mkinitcpio_image(text, image, sizeof image) || (image[0] == '/' && !strstr(image, "..")));
    set_selinux(text);
    free(text);
    return 0;
}
