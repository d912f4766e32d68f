/* A qemu-nbd of our own, which reads an image for us. It gets the image as /proc/self/fd/N of the descriptor that was opened and
 * checked, never as a path, and always a format; its socket lies in a directory of mode 0700 that is gone before the
 * program starts, with our connections already made. It ends when the last of them is closed, also when this
 * process dies. What it says on its standard error is kept (its first 4 KiB) for the job's error. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

#include "schemas/base/err.h"

enum { HF_QEMU_NBD_CONNECTIONS_MAX = 8, HF_QEMU_NBD_WORDS = 256 };

typedef struct hf_qemu_nbd {
    pid_t pid;
    int words_fd;
    int sockets[HF_QEMU_NBD_CONNECTIONS_MAX]; /* the caller takes them out, leaving -1 */
} hf_qemu_nbd;

void hf_qemu_nbd_init(hf_qemu_nbd *q);
/* CAPABILITY, naming the remedy, where there is no program qemu-nbd. `format` is qemu's name of it. */
hf_code hf_qemu_nbd_start(int image_fd, const char *format, int connections, hf_qemu_nbd *q, hf_err *reterr);
/* What it said so far, on one line; "" if nothing. */
void hf_qemu_nbd_words(const hf_qemu_nbd *q, char words[HF_QEMU_NBD_WORDS]);
/* Ends it and waits for it. */
void hf_qemu_nbd_stop(hf_qemu_nbd *q);
