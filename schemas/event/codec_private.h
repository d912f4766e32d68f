/* A codec over another catalogue than the one compiled in: for tests of what older and newer programs wrote. */
#pragma once
#include "schemas/event/catalog.h"
#include "schemas/event/codec.h"

/* `catalog` must outlive the codec. */
hf_code hf_codec_new_with(const hf_catalog *catalog, hf_schema_lookup lookup, void *ctx, hf_codec **ret,
                          hf_err *reterr);
