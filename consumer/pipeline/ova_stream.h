/* A disk of an appliance as a stream, where it does not lie in one piece: chunks one after another, gunzipped where the file is
 * compressed. Nothing is verified here but gzip's own sums: a pass proves the rest. */
#pragma once
#include "consumer/pipeline/ova_read.h"
#include "consumer/pipeline/stream.h"

/* Of disk `disk`, whose file must be there whole. The appliance and the flow (charged with what is read) are borrowed until close. */
hf_code hf_appliance_open_stream(const hf_appliance *appliance, uint32_t disk, hf_flow *flow, hf_stream **ret,
                                 hf_err *reterr);
