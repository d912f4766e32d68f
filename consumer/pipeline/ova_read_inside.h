/* Inside the reader of appliances: what its files share. */
#pragma once
#include "consumer/pipeline/ova_read.h"

/* Adds a member of that name (any bytes) and judges the name; *ret stays valid until the next one. */
hf_code hf_appliance_add(hf_appliance *a, const char *name, size_t name_len, hf_member **ret, hf_err *reterr);
/* In a directory: adds the file (all its chunks) if it is there. In an archive: nothing. */
hf_code hf_appliance_look_for_file(hf_appliance *a, const hf_ovf_file *file, hf_err *reterr);
/* Reads descriptor and manifest, gives members their roles, and finds all that can be found without the payloads. */
hf_code hf_appliance_judge(hf_appliance *a, hf_err *reterr);
bool hf_name_ends(const char *name, const char *suffix); /* without case */
/* "disk.vmdk" and chunk 3: "disk.vmdk.000000003". */
void hf_chunk_name(const hf_ovf_file *file, int64_t chunk, char *to, size_t size);
