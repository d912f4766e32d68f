/* A job as people write it, in JSON (or YAML turned into it): the shapes that are accepted on the
 * `submissions` topic, by POST /jobs/submit and by `hyperctl submit -f`.
 *
 *   - Hyperfleet's own: {"job_id"?, "name", "operation"?, "vm_path", "output_dir", "format"?, "provider"?, "endpoint"?,
 *     "disks"?: ["path" | {path, format, checksum, size_bytes}], "options"?, …}; `id` stands for job_id, `output_path` for output_dir
 *   - HyperSDK's JobDefinition (docs: legacy shapes; vcenter{server,…} is refused with the remedy: name an endpoint)
 *   - worker protocol v1's JobSpec ("version": "1.0", "image": {…}, "artifacts": {output_path …})
 * One table (json_submission.c) names every member of all three; they may be mixed. null and "" are as good as absent.
 *
 * A member that carries a secret (password, token, …, at any depth) makes the whole submission fail with HF_E_SECRET; its
 * value never reaches the error. Members nothing here acts on, of the job, of `options` and of the other groups, are listed
 * by name in options.unsupported, where intake finds them and warns. Bounds and wrong types are errors that name the
 * member; whether the job makes sense is intake's to say (schemas/job/intake.h). */
#pragma once
#include <jansson.h>

#include "schemas/base/err.h"
#include "schemas/job/job.h"

hf_code hf_submission_from_json(const json_t *json, hf_arena *arena, hf_submission *ret, hf_err *reterr);
/* "50MiB", "1 GB", "1000", with or without "/s"; decimal and binary units, no bare K, M or G. For bandwidth limits. */
bool hf_bytes_parse(hf_str text, int64_t *ret_bytes);
