/* Opening a VM of a vSphere endpoint for export, and ending what that opened, on every path. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "consumer/provider/vsphere/export_inside.h"
#include "consumer/provider/vsphere/vsphere.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { BUSY_FIRST_MS = 1000, BUSY_MAX_MS = 8000, BUSY_TOTAL_MS = 60000, SLICE_MS = 100 };

void hf_vsphere_export_tell(const hf_vsphere_export *x, const char *level, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (x->opener.tell)
        x->opener.tell(x->opener.job, level, text);
}

/* ---- ending ------------------------------------------------------------------------------------------------- */
static void end_lease(hf_vsphere_export *x, bool ended_well) {
    hf_err err = {0};
    if (!x->leased)
        return;
    hf_code code = ended_well ? hf_lease_complete(x->v, &x->lease, &err)
                              : hf_lease_abort(x->v, &x->lease, "the export did not end well", &err);
    if (code != HF_OK && code != HF_E_NOT_FOUND && code != HF_E_EXPORT_LEASE_LOST)
        hf_vsphere_export_tell(x, "warn", "the export lease could not be ended and will time out by itself: %s",
                               err.detail);
    hf_lease_done(&x->lease);
    x->leased = false;
}

static void end_snapshot(hf_vsphere_export *x) {
    hf_err err = {0};
    if (!x->snapshot_tried)
        return;
    if (hf_snapshots_remove(x->v, &x->vm->ref, x->job_id, x->opener.attempt, NULL, &err) != HF_OK)
        hf_vsphere_export_tell(
            x, "warn",
            "%s: the next attempt removes it, or a job of operation sweep on endpoint %s once this one has ended",
            err.detail, x->endpoint.name);
}

static void end(hf_vsphere_export *x, bool ended_well) {
    if (!x)
        return;
    hf_lease_keeper_stop(x->keeper);
    if (x->v) {
        hf_vsphere_set_cancel(x->v, NULL); /* what cleans up after a cancel is not cancelled */
        end_lease(x, ended_well);
        end_snapshot(x);
    }
    hf_vsphere_close(x->v);
    free(x->vm);
    free(x);
}

static void release(hf_vm *vm, bool ended_well) {
    end(vm->ctx, ended_well);
    vm->ctx = NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */
static hf_code read_parameters(hf_vsphere_export *x, const hf_spec *spec, hf_err *reterr) {
    x->crash_consistent_allowed = x->endpoint.quiesce != HF_QUIESCE_REQUIRED;
    if (spec->parameters.len == 0)
        return HF_OK;
    json_t *parameters = hf_json_parse(spec->parameters, HF_MAX_JSON, reterr);
    if (!parameters)
        return reterr ? reterr->code : HF_E_PARSE;
    const json_t *allow = json_object_get(parameters, "allow_crash_consistent");
    hf_code code = HF_OK;
    if (allow && !json_is_boolean(allow))
        code = hf_fail(reterr, HF_E_INVALID, "parameters.allow_crash_consistent must be true or false");
    else if (json_is_false(allow) && x->endpoint.quiesce == HF_QUIESCE_NEVER)
        code = hf_fail(reterr, HF_E_CONFLICT,
                       "parameters.allow_crash_consistent is false, and endpoints.%s.quiesce is never: no quiesced "
                       "snapshot is made there",
                       x->endpoint.name);
    else if (json_is_false(allow))
        x->crash_consistent_allowed = false;
    json_decref(parameters);
    return code;
}

static hf_code find_endpoint(const hf_spec *spec, const hf_opener *opener, hf_endpoint *ret, hf_err *reterr) {
    if (!opener->config)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "provider vsphere is not to be had here: there is no configuration");
    if (spec->endpoint.len == 0)
        return hf_fail(reterr, HF_E_INVALID,
                       "the job names no endpoint: give \"endpoint\", a name of `endpoints` in the "
                       "worker's configuration");
    return hf_endpoint_find(opener->config, spec->endpoint, ret, reterr);
}

static hf_code find_vm(hf_vsphere_export *x, hf_str what, hf_err *reterr) {
    hf_moref ref;
    x->vm = hf_alloc(sizeof *x->vm);
    if (!x->vm)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VM");
    hf_code code = hf_vsphere_find_vm(x->v, what, &ref, reterr);
    return code == HF_OK ? hf_vsphere_read_vm(x->v, &ref, x->vm, reterr) : code;
}

static hf_code lease_once(hf_vsphere_export *x, hf_err *reterr) {
    hf_code code = HF_OK;
    if (x->vm->power == HF_POWER_OFF)
        code = hf_lease_export_vm(x->v, x->vm, &x->lease, reterr);
    else if (x->snapshot.value[0] || (code = hf_vsphere_export_snapshot(x, reterr)) == HF_OK)
        code = hf_lease_export_snapshot(x->v, x->vm, &x->snapshot, &x->lease, reterr);
    x->leased = code == HF_OK;
    return code;
}

static hf_code pause_for(const hf_flow *flow, int64_t ms, hf_err *reterr) {
    hf_code code = HF_OK;
    for (int64_t end = hf_mono_ns() / 1000000 + ms; code == HF_OK && hf_mono_ns() / 1000000 < end;) {
        nanosleep(&(struct timespec){.tv_nsec = SLICE_MS * 1000000L}, NULL);
        code = hf_flow_check(flow, reterr);
    }
    return code;
}

/* Another task of the VM ends by itself; a VM that was switched on or off meanwhile is read again, once. */
static hf_code take_lease(hf_vsphere_export *x, hf_err *reterr) {
    bool read_again = false;
    int64_t waited = 0, wait = BUSY_FIRST_MS;
    for (;;) {
        hf_code code = lease_once(x, reterr), paused;
        bool switched = code == HF_E_CONFLICT && !read_again && !x->snapshot_tried;
        bool busy = code == HF_E_BUSY && waited < BUSY_TOTAL_MS;
        if (code == HF_OK || !(switched || busy))
            return code;
        if (switched) {
            hf_moref ref = x->vm->ref;
            read_again = true;
            if ((code = hf_vsphere_read_vm(x->v, &ref, x->vm, reterr)) != HF_OK)
                return code;
            continue;
        }
        hf_vsphere_export_tell(x, "info", "%s", reterr->detail);
        if ((paused = pause_for(x->flow, wait, reterr)) != HF_OK)
            return paused;
        waited += wait;
        wait = wait * 2 > BUSY_MAX_MS ? BUSY_MAX_MS : wait * 2;
    }
}

/* Some servers know sizes and hashes before anything is read, most do not. */
static hf_code read_manifest(hf_vsphere_export *x, hf_err *reterr) {
    return hf_lease_manifest(x->v, &x->lease, reterr) == HF_E_CANCELLED ? HF_E_CANCELLED : HF_OK;
}

static void say_how(const hf_vsphere_export *x, hf_vm *vm) {
    const char *power = hf_power_name(x->vm->power);
    if (x->vm->power == HF_POWER_OFF)
        snprintf(vm->note, sizeof vm->note, "%s %s (%s): read as it is", x->endpoint.name, x->vm->ref.value, power);
    else
        snprintf(vm->note, sizeof vm->note, "%s %s (%s): read through a %s snapshot", x->endpoint.name,
                 x->vm->ref.value, power,
                 x->crash_consistent                  ? "crash-consistent"
                 : x->vm->power == HF_POWER_SUSPENDED ? "suspended VM's"
                                                      : "quiesced");
}

static hf_code open_vm(hf_vsphere_export *x, const hf_spec *spec, hf_vm *vm, hf_err *reterr) {
    uint32_t removed = 0;
    hf_code code = read_parameters(x, spec, reterr);
    if (code != HF_OK || (code = hf_vsphere_open(&x->endpoint, x->flow->cancel, &x->v, reterr)) != HF_OK ||
        (code = find_vm(x, spec->vm_path, reterr)) != HF_OK)
        return code;
    /* what earlier attempts could not remove: before anything else of this one */
    if (hf_snapshots_remove(x->v, &x->vm->ref, x->job_id, x->opener.attempt, &removed, reterr) != HF_OK)
        return hf_context(reterr, "cleaning up after an earlier attempt");
    if (removed > 0)
        hf_vsphere_export_tell(x, "info", "%" PRIu32 " snapshots of earlier attempts were removed", removed);
    if ((code = take_lease(x, reterr)) != HF_OK ||
        (code = hf_lease_keep(x->v, &x->lease, &x->keeper, reterr)) != HF_OK ||
        (code = read_manifest(x, reterr)) != HF_OK || (code = hf_vsphere_export_disks(x, vm, reterr)) != HF_OK)
        return code;
    vm->machine = x->vm->machine;
    vm->streams_max = x->endpoint.max_disks;
    say_how(x, vm);
    return HF_OK;
}

hf_code hf_vsphere_vm_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret,
                           hf_err *reterr) {
    hf_err none = {0};
    hf_err *err = reterr ? reterr : &none;
    hf_vsphere_export *x = hf_alloc(sizeof *x);
    if (!x)
        return hf_fail(err, HF_E_NO_MEMORY, "an export from vSphere");
    hf_vm vm = {.provider = "vsphere", .release = release, .ctx = x, .verify = hf_vsphere_export_verify};
    x->opener = *opener;
    x->job_id = opener->job_id;
    x->flow = flow;
    hf_code code = find_endpoint(spec, opener, &x->endpoint, err);
    if (code == HF_OK)
        code = open_vm(x, spec, &vm, err);
    if (code != HF_OK) {
        hf_vm_close(&vm);
        return hf_context(err, "%.*s", HF_STR_ARG(spec->vm_path));
    }
    *ret = vm;
    return HF_OK;
}
