/* Inside the operations export and convert: one job's state, and the writers of its formats. */
#pragma once
#include "consumer/operation/builtin.h"
#include "consumer/operation/export_resume.h"
#include "consumer/operation/export_stream.h"
#include "consumer/operation/stage.h"
#include "consumer/pipeline/ova_write.h"
#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/tar.h"

typedef struct hf_export hf_export;

/* Gives the VM that is to be exported, where that is not what the job's spec names as it stands. */
typedef hf_code (*hf_export_opener)(void *ctx, hf_vm *ret, hf_err *reterr);

typedef struct hf_export_format {
    const char *name, *suffix;
    /* Whether each disk is an entry of its own in output_dir; else there is one entry for all. */
    bool entry_per_disk;
    hf_code (*write)(hf_export *x, hf_err *reterr);
} hf_export_format;

typedef struct hf_export_disk {
    char file_name[HF_TAR_NAME_ROOM];
    int64_t populated_bytes, file_bytes;
    char sha256[HF_DIGEST_HEX_MAX];
    char manifest_hex[HF_DIGEST_HEX_MAX]; /* of the manifest's kind, where that is another */
    double seconds;                       /* from the first byte asked for to the last one written */
} hf_export_disk;

struct hf_export {
    hf_run *run;
    const hf_export_format *format;
    const hf_codec *codec;
    hf_digest_kind manifest;
    hf_reporter reporter;
    hf_flow flow;
    hf_vm vm;
    hf_stage stage;
    hf_pipeline *pipeline;
    hf_export_opener open; /* NULL: the spec's provider */
    void *open_ctx;
    hf_resume resume;
    hf_export_streams streams;
    double ovf_seconds;               /* writing the descriptor */
    char file_name[81], vm_name[256]; /* file_name: of outputs, without suffix */
    hf_machine machine;               /* as the descriptor says it; its name is vm_name */
    hf_machine_place places[HF_MAX_DISKS];
    hf_ovf_version ovf_version;
    char annotation[4097];
    json_t *guest; /* what was found in it, where the job asked; NULL */
    bool space_check;
    hf_export_disk disks[HF_MAX_DISKS];
    char entries[HF_MAX_DISKS][HF_TAR_NAME_ROOM]; /* what is published */
    uint32_t entry_count;
    hf_artifact artifacts[HF_MAX_DISKS + 2]; /* paths relative to output_dir until the job is done */
    uint32_t artifact_count;
};

/* An export as the job asks for it, of the VM that `open` gives (hf_vm_close is the export's). `default_format`: where the job names none. */
hf_code hf_export_opened(hf_run *run, const char *default_format, hf_export_opener open, void *open_ctx,
                         hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);
/* Runs disk i into sink, whose file is fd, and checks that the source did not change meanwhile. */
hf_code hf_export_run_disk(hf_export *x, uint32_t i, int fd, hf_sink *sink, hf_err *reterr);
/* Streams disk i, or what is left of it to do, as a VMDK into out. */
hf_code hf_export_stream_vmdk(hf_export *x, uint32_t i, hf_out *out, hf_err *reterr);
/* Records a finished file; strings are copied into the run's arena. */
hf_code hf_export_add(hf_export *x, const char *path, const char *kind, int64_t size_bytes, const char *sha256,
                      hf_err *reterr);
/* Makes a file durable; with sha256 not NULL also reads it back for its hash, while the disk is busy anyway. */
hf_code hf_export_seal(const hf_export *x, int fd, int64_t size_bytes, char *sha256, hf_err *reterr);
/* Where the job asks for it, looks into the guest for what the source did not say of the machine. */
hf_code hf_export_inspect_guest(hf_export *x, const json_t *parameters, hf_err *reterr);
/* Fills machine, places, ovf_version and annotation from the VM and the job's parameters (docs/jobs.md, "Hardware"). */
hf_code hf_export_choose_hardware(hf_export *x, const json_t *parameters, hf_err *reterr);
/* The descriptor's data, with the numbers known so far; disks must have room for x->vm.disk_count. */
void hf_export_ovf(const hf_export *x, hf_ovf_disk *disks, hf_ovf *ret);

hf_code hf_export_write_ova(hf_export *x, hf_err *reterr);
hf_code hf_export_write_ovf(hf_export *x, hf_err *reterr);
hf_code hf_export_write_vmdk(hf_export *x, hf_err *reterr);
hf_code hf_export_write_raw(hf_export *x, hf_err *reterr);
hf_code hf_export_write_qcow2(hf_export *x, hf_err *reterr);
hf_code hf_export_write_vdi(hf_export *x, hf_err *reterr);
hf_code hf_export_write_vhd(hf_export *x, hf_err *reterr);
hf_code hf_export_write_vhdx(hf_export *x, hf_err *reterr);
hf_code hf_export_write_vmdk_sparse(hf_export *x, hf_err *reterr);

/* Disk i written into fd, by the last five. */
hf_code hf_export_image_qcow2(hf_export *x, uint32_t i, int fd, hf_err *reterr);
hf_code hf_export_image_vdi(hf_export *x, uint32_t i, int fd, hf_err *reterr);
hf_code hf_export_image_vhd(hf_export *x, uint32_t i, int fd, hf_err *reterr);
hf_code hf_export_image_vhdx(hf_export *x, uint32_t i, int fd, hf_err *reterr);
hf_code hf_export_image_vmdk_sparse(hf_export *x, uint32_t i, int fd, hf_err *reterr);
