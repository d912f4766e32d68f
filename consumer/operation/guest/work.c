/* A guest operation as a job: disks opened, overlays put in front of them, steps taken in the appliance, the result written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/operation/child_output.h"
#include "consumer/operation/guest/inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { QEMU_IMG_SECONDS = 60 };

/* ---- what the steps ask ------------------------------------------------------------------------------------------------------ */
guestfs_h *hf_guest_handle(hf_guest_session *x) { return x->g; }
hf_run *hf_guest_job(hf_guest_session *x) { return x->run; }
const hf_guest_os *hf_guest_os_of(const hf_guest_session *x) { return x->os.root ? &x->os : NULL; }
bool hf_guest_dry(const hf_guest_session *x) { return x->dry; }
const json_t *hf_guest_parameters(const hf_guest_session *x) { return x->parameters; }
void **hf_guest_own(hf_guest_session *x, hf_guest_part part) { return &x->own[part]; }
hf_arena *hf_guest_arena(hf_guest_session *x) { return &x->arena; }

/* ---- parameters -------------------------------------------------------------------------------------------------------------- */
static bool is_step(const hf_guest_plan *plan, const char *name) {
    for (const hf_guest_step *s = plan->steps; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return true;
    for (const hf_guest_plan *const *p = plan->after; p && *p; p++)
        if (strcmp((*p)->operation, name) == 0 || is_step(*p, name))
            return true;
    for (const hf_guest_plan *const *p = plan->rescue; p && *p; p++) /* by name alone: others' steps are named alike */
        if (strcmp((*p)->operation, name) == 0)
            return true;
    return false;
}

static hf_code prepare_plan(hf_guest_session *x, const hf_guest_plan *plan, hf_err *reterr) {
    hf_code rc = plan->prepare ? plan->prepare(x, x->parameters, reterr) : HF_OK;
    for (const hf_guest_plan *const *p = plan->rescue; rc == HF_OK && p && *p; p++)
        rc = prepare_plan(x, *p, reterr);
    for (const hf_guest_plan *const *p = plan->after; rc == HF_OK && p && *p; p++)
        rc = prepare_plan(x, *p, reterr);
    return rc;
}

static hf_code check_skip(const hf_guest_session *x, hf_err *reterr) {
    const json_t *skip = json_object_get(x->parameters, "skip"), *name = NULL;
    size_t i;
    if (skip && !json_is_array(skip))
        return hf_fail(reterr, HF_E_INVALID, "parameters.skip must be a list of steps' names");
    json_array_foreach(skip, i, name)
        if (!json_is_string(name) || !is_step(x->plan, json_string_value(name)))
            return hf_fail(reterr, HF_E_INVALID, "parameters.skip: %s has no step \"%s\"", x->plan->operation,
                           json_is_string(name) ? json_string_value(name) : "(not a string)");
    return HF_OK;
}

hf_code hf_guest_flag(const json_t *parameters, const char *name, bool *ret, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, name);
    if (value && !json_is_boolean(value))
        return hf_fail(reterr, HF_E_INVALID, "parameters.%s must be true or false", name);
    *ret = json_is_true(value);
    return HF_OK;
}

static hf_code read_parameters(hf_guest_session *x, hf_err *reterr) {
    x->parameters = hf_run_parameters(x->run, reterr);
    if (!x->parameters)
        return reterr ? reterr->code : HF_E_INVALID;
    const json_t *seconds = json_object_get(x->parameters, "step_seconds"),
                 *root = json_object_get(x->parameters, "root");
    x->step_seconds = seconds ? (int)json_integer_value(seconds) : HF_GUEST_STEP_SECONDS;
    hf_code rc = hf_guest_flag(x->parameters, "dry_run", &x->dry, reterr);
    if (rc == HF_OK)
        rc = hf_guest_flag(x->parameters, "in_place", &x->in_place, reterr);
    if (rc == HF_OK && seconds &&
        (!json_is_integer(seconds) || json_integer_value(seconds) < 10 || json_integer_value(seconds) > 7200))
        rc = hf_fail(reterr, HF_E_INVALID, "parameters.step_seconds must be a whole number from 10 to 7200");
    if (rc == HF_OK && root && !json_is_string(root))
        rc = hf_fail(reterr, HF_E_INVALID, "parameters.root must be the name of a device, such as /dev/sda1");
    if (rc == HF_OK && x->in_place && x->plan->read_only)
        rc = hf_fail(reterr, HF_E_INVALID, "%s changes nothing: leave in_place out", x->plan->operation);
    if (rc == HF_OK && x->in_place && x->run->spec->output_dir.len)
        rc = hf_fail(reterr, HF_E_INVALID, "in_place changes the image itself: leave output_dir out, or in_place");
    if (rc == HF_OK && !x->in_place && !x->dry && !x->plan->read_only && !x->run->spec->output_dir.len)
        rc = hf_fail(
            reterr, HF_E_INVALID,
            "%s writes a new image: give output_dir, or ask for \"in_place\": true or \"dry_run\": true in parameters",
            x->plan->operation);
    if (rc == HF_OK && (rc = check_skip(x, reterr)) == HF_OK)
        rc = prepare_plan(x, x->plan, reterr);
    return rc;
}

/* ---- disks --------------------------------------------------------------------------------------------------------------------- */
/* libguestfs wants the overlays to have names while the appliance starts: they have them in a private directory, beside the result (or aside),
 * which is gone before the first step. What a kill leaves of it in that time, the next attempt removes. */
static hf_code begin_names(hf_guest_session *x, hf_err *reterr) {
    return x->run->spec->output_dir.len ? hf_stage_open(x->run, &x->stage, reterr) : HF_OK;
}

static void overlay_name(uint32_t i, char name[32]) { snprintf(name, 32, "overlay-%u.qcow2", (unsigned)i + 1); }

static void end_names(hf_guest_session *x) {
    hf_stage_close(&x->stage);
    for (uint32_t i = 0; x->aside_fd >= 0 && i < x->vm.disk_count; i++) {
        char name[32];
        overlay_name(i, name);
        unlinkat(x->aside_fd, name, 0);
    }
}

static hf_code make_overlay(hf_guest_session *x, const hf_vm_disk *disk, int fd, hf_err *reterr) {
    char work[64], behind[64], format[32];
    int status = 0;
    hf_format source = disk->probe.flat ? HF_F_RAW : disk->probe.format;
    snprintf(work, sizeof work, "/proc/%d/fd/%d", (int)getpid(), fd);
    snprintf(behind, sizeof behind, "/proc/%d/fd/%d", (int)getpid(), disk->source->fd);
    snprintf(format, sizeof format, "%s", hf_format_qemu(source));
    char *argv[] = {(char[]){"qemu-img"},
                    (char[]){"create"},
                    (char[]){"-q"},
                    (char[]){"-f"},
                    (char[]){"qcow2"},
                    (char[]){"-F"},
                    format,
                    (char[]){"-b"},
                    behind,
                    work,
                    NULL};
    char *envp[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"LANG=C.UTF-8"}, NULL};
    hf_auto_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    hf_child_options options = {.argv = argv, .envp = envp, .cwd_fd = root};
    hf_buf errors;
    hf_buf_init(&errors, 512);
    hf_code rc = hf_child_output(&options, QEMU_IMG_SECONDS, &x->flow, NULL, &errors, &status, reterr);
    hf_str words = hf_buf_str(&errors);
    if (rc == HF_OK && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        rc = hf_fail(reterr, HF_E_TOOL_FAILED, "qemu-img create: %.*s", HF_STR_ARG(words));
    hf_buf_done(&errors);
    return rc;
}

static hf_code open_in_place(hf_guest_session *x, uint32_t i, hf_err *reterr) {
    const hf_vm_disk *disk = &x->vm.disks[i];
    hf_source_id id = {0};
    if (disk->probe.flat || (disk->probe.format != HF_F_RAW && disk->probe.format != HF_F_QCOW2))
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "in_place works on raw and qcow2 images, and %.*s is %s: give output_dir instead",
                       HF_STR_ARG(disk->path), hf_format_name(disk->probe.format));
    hf_code rc =
        hf_roots_open_file(x->run->roots, disk->path, x->dry ? O_RDONLY : O_RDWR, 0, &x->disks[i].work_fd, reterr);
    if (rc == HF_OK)
        rc = hf_source_identify(x->disks[i].work_fd, &id, reterr);
    if (rc == HF_OK && (id.dev != disk->source->id.dev || id.ino != disk->source->id.ino))
        rc = hf_fail(reterr, HF_E_SOURCE_CHANGED, "%.*s is another file than a moment ago", HF_STR_ARG(disk->path));
    x->disks[i].format = disk->probe.format;
    return rc;
}

static hf_code prepare_disk(hf_guest_session *x, uint32_t i, hf_err *reterr) {
    if (!x->vm.disks[i].source)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "%s works on disk images: export the VM first", x->plan->operation);
    if (x->in_place) {
        hf_code rc = open_in_place(x, i, reterr);
        if (rc == HF_OK) { /* its reader holds QEMU's lock on a qcow2, which the appliance needs to write */
            hf_source_close(x->vm.disks[i].source);
            x->vm.disks[i].source = NULL;
        }
        return rc;
    }
    x->disks[i].format = HF_F_QCOW2;
    char name[32];
    overlay_name(i, name);
    hf_code rc =
        hf_stage_create(x->stage.dir_fd >= 0 ? x->stage.dir_fd : x->aside_fd, name, &x->disks[i].work_fd, reterr);
    return rc == HF_OK ? make_overlay(x, &x->vm.disks[i], x->disks[i].work_fd, reterr) : rc;
}

static hf_code open_disks(hf_guest_session *x, hf_err *reterr) {
    hf_opener opener = hf_run_opener(x->run);
    hf_report_phase(&x->reporter, "prepare");
    hf_code rc = hf_vm_open(x->run->spec, &opener, &x->flow, &x->vm, reterr);
    if (rc == HF_OK)
        rc = hf_guest_aside_open(x, reterr);
    if (rc == HF_OK && !x->in_place)
        rc = begin_names(x, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < x->vm.disk_count; i++)
        rc = prepare_disk(x, i, reterr);
    return rc;
}

/* ---- steps -------------------------------------------------------------------------------------------------------------------- */
static bool is_skipped(const hf_guest_session *x, const char *name) {
    const json_t *skipped = NULL;
    size_t i;
    json_array_foreach(json_object_get(x->parameters, "skip"), i, skipped)
        if (json_is_string(skipped) && strcmp(json_string_value(skipped), name) == 0)
            return true;
    return false;
}

static hf_code take_step(hf_guest_session *x, const hf_guest_plan *plan, const hf_guest_step *step, hf_err *reterr) {
    int64_t began = hf_mono_ns();
    uint32_t before = x->change_count;
    hf_guest_step_begin(x, step);
    if (is_skipped(x, step->name) || (plan != x->plan && is_skipped(x, plan->operation))) {
        hf_guest_step_end(x, "skipped", 0);
        return HF_OK;
    }
    hf_guest_say(x, "info", "%s", step->says);
    hf_guest_allow(x, x->step_seconds);
    hf_code rc = step->run(x, reterr);
    hf_guest_allow(x, 0);
    if (rc == HF_OK && hf_guest_gone(x))
        rc = hf_guest_fail(x, reterr, "the appliance was ended");
    double seconds = (double)(hf_mono_ns() - began) * 1e-9;
    hf_guest_step_end(x,
                      rc != HF_OK                ? "failed"
                      : x->change_count > before ? (x->dry ? "would change" : "done")
                                                 : "nothing to do",
                      seconds);
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", step->name);
}

static hf_code take_steps(hf_guest_session *x, const hf_guest_plan *plan, hf_str *ret_phase, hf_err *reterr) {
    hf_code rc = HF_OK;
    for (const hf_guest_step *s = plan->steps; rc == HF_OK && s->name; s++) {
        *ret_phase = hf_str_of(s->name);
        rc = take_step(x, plan, s, reterr);
    }
    for (const hf_guest_plan *const *p = plan->after; rc == HF_OK && p && *p; p++)
        rc = take_steps(x, *p, ret_phase, reterr);
    return rc;
}

/* What is looked at and mounted is the guest's to say: it has the time of a step. */
static hf_code in_time(hf_guest_session *x, hf_code (*what)(hf_guest_session *x, hf_err *reterr), hf_err *reterr) {
    hf_guest_allow(x, x->step_seconds);
    hf_code rc = what(x, reterr);
    hf_guest_allow(x, 0);
    if (rc == HF_OK && hf_guest_gone(x))
        rc = hf_guest_fail(x, reterr, "the appliance was ended");
    return rc == HF_OK ? HF_OK : hf_context(reterr, "looking for the guest's system");
}

/* The operating system, its file systems mounted; where there is none, what may bring it back is tried. */
static hf_code find_system(hf_guest_session *x, hf_str *ret_phase, hf_err *reterr) {
    hf_code rc = in_time(x, hf_guest_look, reterr);
    if (rc == HF_OK && !x->os.root && x->plan->rescue) {
        hf_guest_say(x, "warning", "no operating system was found: volumes and file systems are looked at first");
        for (const hf_guest_plan *const *p = x->plan->rescue; rc == HF_OK && *p; p++)
            rc = take_steps(x, *p, ret_phase, reterr);
        if (rc == HF_OK)
            rc = in_time(x, hf_guest_look, reterr);
    }
    return rc == HF_OK ? in_time(x, hf_guest_mount, reterr) : rc;
}

static hf_code work(hf_guest_session *x, hf_str *ret_phase, hf_err *reterr) {
    *ret_phase = HF_STR("prepare");
    hf_code rc = read_parameters(x, reterr);
    if (rc == HF_OK && (rc = hf_guest_report_begin(x, reterr)) == HF_OK && (rc = open_disks(x, reterr)) == HF_OK) {
        *ret_phase = HF_STR("appliance");
        rc = hf_guest_start(x, reterr);
        end_names(x);
    }
    if (rc == HF_OK && x->plan->needs_os)
        rc = find_system(x, ret_phase, reterr);
    if (rc == HF_OK)
        rc = take_steps(x, x->plan, ret_phase, reterr);
    if (rc == HF_OK)
        rc = hf_guest_stop(x, reterr);
    return rc;
}

/* ---- the result ------------------------------------------------------------------------------------------------------------------ */
/* The disks as they are now, handed to the export engine: the VM that was opened, with each source exchanged for its overlay. */
static hf_code take_over(void *ctx, hf_vm *ret, hf_err *reterr) {
    hf_guest_session *x = ctx;
    for (uint32_t i = 0; i < x->vm.disk_count; i++) {
        hf_vm_disk *disk = &x->vm.disks[i];
        hf_source *work_source = NULL;
        hf_code rc = hf_source_unchanged(disk->source, reterr);
        if (rc == HF_OK)
            rc = hf_source_open_nbd(x->disks[i].work_fd, "qcow2", &work_source, reterr);
        if (rc != HF_OK)
            return hf_context(reterr, "%.*s", HF_STR_ARG(disk->path));
        x->originals[i] = disk->source; /* the overlay stands on its descriptor */
        disk->source = work_source;
    }
    *ret = x->vm;
    x->vm = (hf_vm){0};
    return HF_OK;
}

static const char *same_format(const hf_guest_session *x) {
    return x->vm.disk_count > 0 && !x->vm.disks[0].probe.flat && x->vm.disks[0].probe.format != HF_F_VMDK
               ? hf_format_name(x->vm.disks[0].probe.format)
               : "qcow2";
}

static hf_code write_result(hf_guest_session *x, hf_result *result, hf_str *ret_phase, hf_err *reterr) {
    if (x->dry || x->plan->read_only)
        return HF_OK;
    if (x->in_place) {
        for (uint32_t i = 0; i < x->vm.disk_count; i++)
            if (fsync(x->disks[i].work_fd) != 0)
                return hf_fail_errno(reterr, errno, "%.*s", HF_STR_ARG(x->vm.disks[i].path));
        return HF_OK;
    }
    return hf_export_opened(x->run, same_format(x), take_over, x, result, ret_phase, reterr);
}

static void close_all(hf_guest_session *x) {
    hf_guest_kill(x);
    end_names(x);
    hf_guest_aside_close(x);
    for (uint32_t i = 0; i < HF_MAX_DISKS; i++) {
        hf_close_p(&x->disks[i].work_fd);
        hf_source_close(x->originals[i]);
    }
    hf_vm_close(&x->vm);
    hf_flow_done(&x->flow);
    hf_guest_report_free(x);
    hf_arena_done(&x->arena);
    for (int i = 0; i < HF_GUEST_PARTS; i++)
        free(x->own[i]);
    free(x);
}

hf_code hf_guest_run(hf_run *run, const hf_guest_plan *plan, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    const char *why;
    int64_t start = hf_mono_ns();
    *ret_phase = HF_STR("prepare");
    if (!hf_guest_possible(&why))
        return hf_fail(reterr, HF_E_CAPABILITY, "%s needs libguestfs's appliance: %s", plan->operation, why);
    hf_guest_session *x = hf_alloc(sizeof *x);
    if (!x)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
    x->run = run;
    x->plan = plan;
    x->aside_fd = x->aside_lock = -1;
    x->stage = (hf_stage){.out_fd = -1, .dir_fd = -1};
    for (uint32_t i = 0; i < HF_MAX_DISKS; i++)
        x->disks[i].work_fd = -1;
    hf_arena_init(&x->arena, 64 << 20);
    x->reporter = (hf_reporter){.run = run, .phase = "prepare", .current = ""};
    hf_reporter_flow(&x->reporter, &x->flow);
    hf_result result = {0};
    hf_code rc = work(x, ret_phase, reterr);
    if (rc == HF_OK)
        rc = write_result(x, &result, ret_phase, reterr);
    if (rc == HF_OK)
        rc = hf_guest_report_end(x, &result, reterr);
    if (rc == HF_OK && x->os.root) {
        result.os_type = hf_arena_str(run->arena, hf_str_of(x->os.distro[0] ? x->os.distro : x->os.type));
        if (!result.os_type.p)
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "the result");
    }
    close_all(x);
    result.duration_ms = (hf_mono_ns() - start) / 1000000;
    if (rc == HF_OK)
        *ret_result = result;
    return rc;
}
