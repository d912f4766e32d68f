/* Inside the guest operations: one job's state, shared by work.c (the job), session.c (the appliance), console.c, report.c, files.c,
 * commands.c and aside.c. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "consumer/operation/export.h"
#include "consumer/operation/guest/guest.h"
#include "schemas/base/buf.h"

/* A disk that is worked on. */
typedef struct hf_guest_disk {
    int work_fd;      /* the overlay, or in place the image; -1 none */
    hf_format format; /* of work_fd */
} hf_guest_disk;

/* A file as a dry run would have written it. */
typedef struct hf_guest_would {
    struct hf_guest_would *next;
    const char *path, *text; /* text NULL: removed */
    size_t len;
} hf_guest_would;

struct hf_guest_session {
    hf_run *run;
    const hf_guest_plan *plan;
    const hf_guest_step *step; /* under way */
    json_t *parameters, *report, *steps, *changes, *findings, *notes;
    hf_arena arena;
    hf_reporter reporter;
    hf_flow flow;
    hf_vm vm;
    hf_guest_disk disks[HF_MAX_DISKS];
    hf_source *originals[HF_MAX_DISKS]; /* while their overlays are being read */
    hf_stage stage;                     /* while the overlays have names */
    char aside[32];                     /* the private directory, "" none */
    int aside_fd, aside_lock;
    bool dry, in_place, mounted, looked;
    hf_guest_would *would; /* the newest first; in the arena */
    uint32_t change_count;
    bool step_told; /* hf_guest_result was called */
    void *own[HF_GUEST_PARTS];
    int step_seconds;

    char own_names[HF_MAX_DISKS][32]; /* what the appliance itself calls the disks: "/dev/sdb"; "" not asked yet */

    guestfs_h *g;
    bool launched;      /* g's appliance was started, and is to be there */
    char console[8192]; /* the end of what its kernel and programs printed */
    size_t console_len;
    hf_guest_os os; /* root NULL: none */
    /* the watch */
    pthread_t watch;
    bool watching;
    atomic_bool done;
    atomic_int killed; /* hf_code for which the appliance was killed; HF_OK: it was not */
    atomic_llong deadline_ns;
};

/* ---- aside.c ---- */
/* Makes the private directory, and removes those of sessions that were killed. */
hf_code hf_guest_aside_open(hf_guest_session *guest, hf_err *reterr);
void hf_guest_aside_close(hf_guest_session *guest); /* when the appliance has ended */

/* ---- session.c ---- */
hf_code hf_guest_start(hf_guest_session *guest, hf_err *reterr);
/* Takes the file systems off and ends the appliance; an error says that what was written may not be on the disk. */
hf_code hf_guest_stop(hf_guest_session *guest, hf_err *reterr);
void hf_guest_kill(hf_guest_session *guest);               /* whatever state it is in; also frees */
void hf_guest_allow(hf_guest_session *guest, int seconds); /* what is under way may take so long */

/* ---- console.c ---- */
bool hf_guest_listen(
    hf_guest_session *guest); /* to the console of the appliance that is to be started; false: libguestfs said no */
/* The appliance that was started is not there any more: it was killed, or its kernel stopped. */
bool hf_guest_gone(const hf_guest_session *guest);
/* Nobody ended it: SOURCE_INVALID with the kernel's panic, or TOOL_FAILED where there was none. */
hf_code hf_guest_fail_gone(hf_guest_session *guest, const char *what, hf_err *reterr);
/* hf_guest_fail, with the last line of the console. */
hf_code hf_guest_fail_launch(hf_guest_session *guest, const char *what, hf_err *reterr);

/* ---- commands.c ---- */
/* Appends a blank and the word as the shell's one word. */
bool hf_guest_put_quoted(hf_buf *to, const char *word);
/* What a program printed, cut from the front, printable, in the arena; its status is on the last line of `all`: "hf-status N". */
char *hf_guest_take_output(hf_guest_session *guest, char *all, int *ret_status);

/* ---- appliance.c ---- */
enum { HF_GUEST_LABEL_BYTES = 8 };
void hf_guest_label(uint32_t disk, char label[HF_GUEST_LABEL_BYTES]);
/* Like hf_guest_put_quoted; a device is put as the appliance itself names it. */
bool hf_guest_put_word(hf_guest_session *guest, hf_buf *to, const char *word);

/* ---- report.c ---- */
hf_code hf_guest_report_begin(hf_guest_session *guest, hf_err *reterr);
void hf_guest_step_begin(hf_guest_session *guest, const hf_guest_step *step);
void hf_guest_step_end(hf_guest_session *guest, const char *result, double seconds);
/* The report as text into the result; its lists cut to what fits HF_MAX_JSON. */
hf_code hf_guest_report_end(hf_guest_session *guest, hf_result *result, hf_err *reterr);
void hf_guest_report_free(hf_guest_session *guest);
void hf_guest_change_diff(hf_guest_session *guest, const char *kind, const char *path, const char *before,
                          const char *after, const char *diff); /* diff may be NULL */

/* ---- files.c ---- */
/* Records that a program of the guest wrote a file: before (NUL-terminated, or NULL where there was none) and after. */
void hf_guest_change_text(hf_guest_session *guest, const char *path, const char *before, size_t before_len,
                          const char *after, size_t after_len);
