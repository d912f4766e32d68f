/* The JobSpec of worker protocol v1 that a program gets, with what is ours beside it (name, disks, retry_attempt). */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/external_private.h"
#include "consumer/pipeline/probe.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

/* The image's real path, after it was opened below the roots and its header was found to name no other file. */
static hf_code checked_path(const hf_run *run, hf_str path, char real[HF_MAX_PATH + 1], hf_probe *ret_probe,
                            hf_err *reterr) {
    hf_opener opener = hf_run_opener(run);
    hf_source_id id = {0};
    hf_auto_fd int fd = -1;
    hf_code rc = opener.open(opener.ctx, path, &fd, reterr);
    if (rc != HF_OK || (rc = hf_source_identify(fd, &id, reterr)) != HF_OK ||
        (rc = hf_probe_fd(fd, id.size_bytes, ret_probe, reterr)) != HF_OK)
        return rc;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, HF_MAX_PATH);
    if (n <= 0 || n == HF_MAX_PATH)
        return hf_fail(reterr, HF_E_LIMIT, "the image's path is longer than %d bytes", HF_MAX_PATH);
    real[n] = 0;
    return HF_OK;
}

static json_t *image_of(const hf_run *run, const hf_disk *disk, hf_err *reterr) {
    char real[HF_MAX_PATH + 1];
    hf_probe probe = {.format = HF_F_RAW};
    if (checked_path(run, disk->path, real, &probe, reterr) != HF_OK) {
        hf_context(reterr, "%.*s", HF_STR_ARG(disk->path));
        return NULL;
    }
    hf_str format = disk->format.len ? disk->format : hf_str_of(hf_format_name(probe.format));
    json_t *image = json_pack("{s:s, s:s%}", "path", real, "format", format.p, (size_t)format.len);
    if (image && disk->checksum.len)
        json_object_set_new(image, "checksum", json_stringn(disk->checksum.p, disk->checksum.len));
    if (image && disk->size_bytes)
        json_object_set_new(image, "size_bytes", json_integer(disk->size_bytes));
    if (!image)
        hf_fail(reterr, HF_E_NO_MEMORY, "the program's JobSpec");
    return image;
}

/* `image` for the first disk, `disks` for all of several. */
static hf_code put_images(const hf_run *run, json_t *out, hf_err *reterr) {
    const hf_spec *spec = run->spec;
    const hf_disk one = {.path = spec->vm_path};
    const hf_disk *disks = spec->disks.count ? spec->disks.items : &one;
    uint32_t count = spec->disks.count ? spec->disks.count : spec->vm_path.len ? 1 : 0;
    if (count > 0 && spec->provider.len > 0 &&
        !hf_str_eqz(spec->provider, "local")) { /* an inventory path, not a file */
        json_object_set_new(
            out, "image",
            json_pack("{s:s%}", "path", spec->vm_path.p ? spec->vm_path.p : "", (size_t)spec->vm_path.len));
        return HF_OK;
    }
    json_t *all = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *image = image_of(run, &disks[i], reterr);
        if (!image) {
            json_decref(all);
            return reterr ? reterr->code : HF_E_SOURCE_INVALID;
        }
        if (i == 0)
            json_object_set(out, "image", image);
        json_array_append_new(all, image);
    }
    if (count > 1)
        json_object_set(out, "disks", all);
    json_decref(all);
    return HF_OK;
}

char *hf_external_job_spec(const hf_run *run, const hf_stage *stage, hf_err *reterr) {
    static const char *const taken[] = {"name",
                                        "operation",
                                        "format",
                                        "requested_actions",
                                        "capability_requirements",
                                        "execution_policy",
                                        "options",
                                        "artifacts",
                                        "audit",
                                        "parameters",
                                        "metadata"};
    char cwd[2 * HF_MAX_PATH], at[HF_RFC3339_BYTES];
    json_t *whole = hf_json_of(&HF_TYPE_SPEC, run->spec, 0), *out = json_object();
    snprintf(cwd, sizeof cwd, "%s/%s", stage->out_path, stage->dir_name);
    json_object_set_new(out, "version", json_string("1.0"));
    json_object_set_new(out, "job_id", json_stringn(run->job_id.p, run->job_id.len));
    json_object_set_new(out, "created_at", json_string(hf_time_format(hf_wall_ms(hf_clock_system()), at)));
    json_object_set_new(out, "retry_attempt", json_integer(run->attempt));
    for (size_t i = 0; i < HF_ARRAY_LEN(taken); i++) {
        json_t *value = json_object_get(whole, taken[i]);
        if (value)
            json_object_set(out, taken[i], value);
    }
    json_t *artifacts = json_object_get(out, "artifacts");
    if (!artifacts) {
        artifacts = json_object();
        json_object_set_new(out, "artifacts", artifacts);
    }
    json_object_set_new(artifacts, "output_path", json_string(cwd));
    char *text = NULL;
    if (whole && put_images(run, out, reterr) == HF_OK) {
        text = json_dumps(out, JSON_COMPACT);
        if (!text)
            hf_fail(reterr, HF_E_NO_MEMORY, "the program's JobSpec");
    } else if (!whole)
        hf_fail(reterr, HF_E_NO_MEMORY, "the program's JobSpec");
    json_decref(whole);
    json_decref(out);
    return text;
}
