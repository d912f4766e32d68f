/* Writes an OVA in one pass: a USTAR archive in the canonical order .ovf, .mf, disks. The OVF's and the manifest's
 * places are kept free while the disks stream in behind them, and are filled at the end: the manifest's length is known
 * beforehand, the OVF is padded with white space up to its place. The first disk begins at a multiple of 4,096 bytes, so
 * that a file system can share its blocks with a copy. */
#pragma once
#include "consumer/pipeline/manifest.h"
#include "consumer/pipeline/out.h"
#include "consumer/pipeline/ovf.h"

typedef struct hf_ova hf_ova;

/* Into the empty file fd (borrowed). `plan` has the disks with the largest numbers they can get: it fixes the OVF's room.
 * Strings and disks of plan must outlive the writer. */
hf_code hf_ova_new(int fd, const char *ovf_name, const char *mf_name, const hf_ovf *plan, hf_digest_kind manifest,
                   hf_flow *flow, hf_ova **ret, hf_err *reterr);
/* The next disk's payload goes through *ret_out until hf_ova_disk_end. */
hf_code hf_ova_disk_begin(hf_ova *ova, hf_out **ret_out, hf_err *reterr);
hf_code hf_ova_disk_end(hf_ova *ova, hf_err *reterr);
int64_t hf_ova_disk_bytes(const hf_ova *ova, uint32_t index); /* of a member that ended */
const char *hf_ova_disk_sha256(const hf_ova *ova, uint32_t index);
int64_t hf_ova_disk_base(const hf_ova *ova, uint32_t index);
/* `ovf` is plan with the real numbers. Returns the archive's size. */
hf_code hf_ova_finish(hf_ova *ova, const hf_ovf *ovf, int64_t *ret_bytes, hf_err *reterr);
void hf_ova_free(hf_ova *ova);
