/* A row of the log copy: one record as it was read, so that the log can be folded again, or put back into a broker.
 *
 *   timestamp   u64  wall ms, little-endian like all here
 *   key length  u32
 *   headers     u16  how many
 *   flags       u16  1: the value is a tombstone (absent, not empty)
 *   key bytes
 *   per header  u16 name length, u32 value length, name, value
 *   value       up to the end
 * The offset is the row's key. These bytes are also what the chain hashes (chain.h). */
#pragma once
#include "journal/log/klog.h"

uint32_t hf_logcopy_size(const hf_log_record *record);
/* Writes hf_logcopy_size bytes. */
void hf_logcopy_write(const hf_log_record *record, char *to);
/* Borrows from row. RECORD_MALFORMED when it is not one. */
hf_code hf_logcopy_read(hf_topic topic, int32_t partition, int64_t offset, hf_str row, hf_log_record *ret,
                        hf_err *reterr);
