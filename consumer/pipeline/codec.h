/* Codecs: how 64 KiB become fewer. One table (codec.def) with two halves under the same names: the grains of a VMDK are zlib streams
 * (RFC 1950), the clusters of a qcow2 raw deflate with a window of 4 KiB (all that QEMU promises to inflate) or zstd
 * frames. The output is the same bytes for the same input whatever thread or order, so an export's bytes do not depend on how many
 * threads made it. For igzip that takes some care: codec_place.h. A lane is a codec's working memory: one thread each. */
#pragma once
#include <stddef.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

typedef enum hf_codec_form { HF_FORM_ZLIB, HF_FORM_DEFLATE_4K, HF_FORM_ZSTD } hf_codec_form;

typedef struct hf_codec {
    const char *name, *library, *summary;
    hf_codec_form form;
    int level;
    void *(*lane_new)(int level); /* NULL without memory */
    void (*lane_free)(void *lane);
    /* Length of the stream, 0 if it did not fit out_cap or the library failed. */
    size_t (*compress)(void *lane, const void *in, size_t in_len, void *out, size_t out_cap);
} hf_codec;

/* Room that every codec's output of one grain fits into. */
enum { HF_GRAIN_BYTES = 65536, HF_CODEC_BOUND = HF_GRAIN_BYTES + 1024 };

/* By name; "" is the default. NULL if there is none. */
const hf_codec *hf_codec_find(hf_str name);
/* By the 1–9 scale that people know from gzip: 0 the default, 1–3 fast, 4–6 balanced, 7 and above small. */
const hf_codec *hf_codec_for_level(int level);
const hf_codec *hf_codecs(size_t *ret_count);
/* What compresses the clusters of a qcow2 where `codec` compresses grains: the row of that name; NULL for none: they stay as they
 * are. */
const hf_codec *hf_codec_for_clusters(const hf_codec *codec);
