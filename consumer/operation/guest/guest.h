/* Guest operations: the repair family. Each is a row in operations.def and a file here; what they share is this header.
 *
 *   hf_guest_run   opens the job's disks as any export does, puts a qcow2 overlay in front of each (a file that loses its name
 *                  before the first step), starts libguestfs's appliance on the overlays, calls the operation, and writes what came of
 *                  it through the export engine, in one pass, to output_dir. The source is opened read-only and its identity is
 *                  compared at the end. `"in_place": true` works on the image itself (raw or qcow2 without backing file) instead;
 *                  `"dry_run": true` writes nothing and reports what would be changed.
 *
 * The appliance is a small virtual machine (QEMU): the guest's file systems are mounted there, the guest's own programs run there, never
 * on this host. It is killed within 200 ms of a cancel, when a step's time is over, and when this process ends. Where hardware
 * virtualisation cannot start it, it is started again in emulation, which is said in the job's log, once.
 *
 * An operation is a list of steps. Each is announced in the job's log, may be left out by name (parameters.skip), and records what it
 * changed: hf_guest_change and the editing functions below are the only ways in which an operation writes to the guest without
 * hf_guest_changed_by. A second run over its own result records no change.
 *
 * Report (the result's `report`, docs/guest.md): {"operation", "guest": {…}, "dry_run", "changed", "steps": [{name, result, seconds, detail}],
 * "changes": [{step, kind, path, before, after, diff}], "findings": [{severity, code, message, remedy}]}.
 *
 * Threads: everything here belongs to the thread that runs the operation; a watch thread kills the appliance. Errors of libguestfs are
 * TOOL_FAILED with its words, or what the step makes of them. A build without libguestfs answers NOT_BUILT by name. */
#pragma once
#include <guestfs.h>
#include <jansson.h>

#include "consumer/operation/builtin.h"
#include "consumer/operation/guest/possible.h"
#include "schemas/base/buf.h"

enum {
    HF_GUEST_TEXT_MAX = 1 << 20,  /* bytes of a text file that is edited; larger ones are left alone, and said so */
    HF_GUEST_DIFF_MAX = 8 * 1024, /* bytes of a diff in the report; past it hashes alone */
    HF_GUEST_CHANGES_MAX = 256,   /* in the report; more are only counted */
    HF_GUEST_ROOTS_MAX = 8,
    HF_GUEST_MOUNTS_MAX = 64,        /* of the guest's file systems, by name of the mount point */
    HF_GUEST_STEP_SECONDS = 900,     /* longest time of one step; parameters.step_seconds, 10 to 7200 */
    HF_GUEST_OUTPUT_MAX = 16 * 1024, /* kept of what a guest's program prints */
};

typedef struct hf_guest_session hf_guest_session;

/* What inspection says of the operating system that is worked on. Strings live as long as the guest; "" where not known. */
typedef struct hf_guest_os {
    const char *root; /* device of its root file system, as the appliance names it */
    const char *type, *distro, *product, *arch, *hostname, *package_format;
    int major, minor;
    bool linux_guest, windows;
    bool uefi;          /* has an EFI system partition it boots from */
    const char *esp;    /* its device, "" none */
    char **mountpoints; /* path, device, path, device …, NULL; sorted, parents first */
} hf_guest_os;

typedef struct hf_guest_step {
    const char *name; /* stable: what parameters.skip names */
    const char *says; /* for the log: "checks file systems" */
    hf_code (*run)(hf_guest_session *guest, hf_err *reterr);
} hf_guest_step;

/* What an operation is to hf_guest_run. */
typedef struct hf_guest_plan hf_guest_plan;
struct hf_guest_plan {
    const char *operation;
    const hf_guest_step *steps; /* NULL-named last */
    bool needs_os;  /* an operating system must be found; its file systems are mounted before the first step */
    bool read_only; /* changes nothing: no output is written (inspection) */
    /* Reads the operation's own parameters (json: the job's), before anything is opened. May be NULL. */
    hf_code (*prepare)(hf_guest_session *guest, const json_t *parameters, hf_err *reterr);
    /* Others' steps, NULL last or NULL: those of `after` are taken after its own, those of `rescue` before them where no operating system is
     * found, which is looked for anew then. parameters.skip names their steps, or a whole operation. */
    const hf_guest_plan *const *rescue, *const *after;
};

/* What the operations are made of; offline_fix takes what it needs of them. */
extern const hf_guest_plan hf_fs_repair_plan, hf_lvm_repair_plan;
extern const hf_guest_plan hf_boot_repair_plan;
extern const hf_guest_plan hf_initramfs_plan, hf_selinux_plan;
extern const hf_guest_plan hf_offline_plan;

/* Runs a job. Its functions in operations.def are one line. */
hf_code hf_guest_run(hf_run *run, const hf_guest_plan *plan, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);

/* ---- for the steps ------------------------------------------------------------------------------------------------- */
guestfs_h *hf_guest_handle(hf_guest_session *guest);
hf_run *hf_guest_job(hf_guest_session *guest);
const hf_guest_os *hf_guest_os_of(const hf_guest_session *guest); /* NULL: none was found */
bool hf_guest_dry(const hf_guest_session *guest);                 /* the job asks for a dry run */
const json_t *hf_guest_parameters(const hf_guest_session *guest);
/* A parameter that is true or false, and false where it is not given. INVALID, by its name, for anything else. */
hf_code hf_guest_flag(const json_t *parameters, const char *name, bool *ret, hf_err *reterr);
/* An operation's own state, freed by free() at the end. Each has a place of its own, for offline_fix plays the others' steps. */
typedef enum hf_guest_part {
    HF_GUEST_FS,
    HF_GUEST_LVM,
    HF_GUEST_INSPECT,
    HF_GUEST_BOOT,
    HF_GUEST_INITRAMFS,
    HF_GUEST_SELINUX,
    HF_GUEST_OFFLINE,
    HF_GUEST_PARTS
} hf_guest_part;
void **hf_guest_own(hf_guest_session *guest, hf_guest_part part);
hf_arena *hf_guest_arena(hf_guest_session *guest); /* lives as long as the guest */

/* Mounts the guest's file systems (writable unless dry), or takes them all off; both may be called in any state. A file system that cannot
 * be mounted is a finding, the root one an error. */
hf_code hf_guest_mount(hf_guest_session *guest, hf_err *reterr);
hf_code hf_guest_unmount(hf_guest_session *guest, hf_err *reterr);
/* Looks for operating systems anew (after file systems or volumes were put right). */
hf_code hf_guest_look(hf_guest_session *guest, hf_err *reterr);

/* libguestfs said no: TOOL_FAILED with its words, or CANCELLED, TIMEOUT where the appliance was killed for it. Always returns an error. */
hf_code hf_guest_fail(hf_guest_session *guest, hf_err *reterr, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A line of the job's log. */
void hf_guest_say(hf_guest_session *guest, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something a person should know. severity: info, warning, error. code: stable, lower-case-with-hyphens. remedy may be NULL. */
void hf_guest_finding(hf_guest_session *guest, const char *severity, const char *code, const char *remedy,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The step did something that is no text file: path (or device, package, boot entry …), state before and after in words. */
void hf_guest_change(hf_guest_session *guest, const char *kind, const char *path, const char *before,
                     const char *after);
/* How many changes were recorded so far. */
uint32_t hf_guest_changes(const hf_guest_session *guest);
/* The step ends with that word in the report: "done", "nothing to do", "not possible" (with detail) … Without it: by whether it changed anything. */
void hf_guest_result(hf_guest_session *guest, const char *result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts a value into the report's "guest" object (steals value). */
void hf_guest_note(hf_guest_session *guest, const char *key, json_t *value);

/* ---- files of the guest: paths as it sees them; symlinks are followed inside its root alone, by the appliance -------------- */
/* Its text (NUL-terminated, in the arena), or *ret NULL where it does not exist or is no regular file. LIMIT past HF_GUEST_TEXT_MAX. */
hf_code hf_guest_read(hf_guest_session *guest, const char *path, char **ret, size_t *ret_len, hf_err *reterr);
/* Writes it anew (mode and owner of an existing one are kept, new ones are 0644 root), atomically, and records the change with a diff; nothing happens
 * where it has that text already. In a dry run it is only recorded. */
hf_code hf_guest_write(hf_guest_session *guest, const char *path, const char *text, size_t len, hf_err *reterr);
/* Removes a file or (tree) a directory that exists, and records it. */
hf_code hf_guest_remove(hf_guest_session *guest, const char *path, bool tree, hf_err *reterr);
bool hf_guest_exists(hf_guest_session *guest, const char *path);
/* hf_guest_read for configuration: one that is too large is a finding, and as if it were not there (p NULL). */
hf_code hf_guest_text(hf_guest_session *guest, const char *path, hf_str *ret, hf_err *reterr);
/* hf_guest_write of what an edit made, whose memory is taken; fine: what the edit said. */
hf_code hf_guest_write_buf(hf_guest_session *guest, const char *path, bool fine, hf_buf *text, hf_err *reterr);
/* Calls each for every file of a folder whose name ends so, in order, at most 64 of them. */
hf_code hf_guest_each_file(hf_guest_session *guest, const char *folder, const char *ending,
                           hf_code (*each)(hf_guest_session *, const char *path, void *ctx, hf_err *), void *ctx,
                           hf_err *reterr);
/* Unified diff of two texts with three lines of context, at most HF_GUEST_DIFF_MAX bytes; NULL: too large, or no memory. free() it. */
char *hf_text_diff(const char *before, const char *after);

/* ---- programs of the guest, run by the appliance's kernel inside its root ----------------------------------------------------- */
/* argv NULL-terminated. Network is off. *ret_output (arena; stdout and stderr, cut to HF_GUEST_OUTPUT_MAX, printable) may be NULL. A status that
 * is not 0 is TOOL_FAILED with the last lines. Not called in a dry run (then it is an INTERNAL error to try). */
hf_code hf_guest_command(hf_guest_session *guest, const char *const *argv, char **ret_output, hf_err *reterr);
bool hf_guest_has_program(hf_guest_session *guest, const char *name); /* in /usr/sbin, /usr/bin, /sbin or /bin */
