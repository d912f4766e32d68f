/* What a disk holds, as far as a few reads of its first and of each partition's first bytes tell: MBR and GPT (UEFI 2.10, chapter 5)
 * partition tables, and file systems by their magic. Never more than 128 partitions, never an allocation that the disk controls. */
#pragma once
#include <jansson.h>

#include "consumer/pipeline/source.h"

/* A new object {"partition_table": "gpt"|"mbr"|"none", "partitions": [...], "filesystem"?: ...}; NULL on an error. */
json_t *hf_partitions_report(hf_source *source, hf_err *reterr);
