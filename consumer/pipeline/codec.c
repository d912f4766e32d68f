/* The codec table and the three libraries behind it. */
#include "consumer/pipeline/codec.h"

#include <libdeflate.h>
#include <zlib.h>

#include "schemas/base/mem.h"

#ifdef HF_HAVE_ISAL
#include <isa-l/igzip_lib.h>

typedef struct isal_lane {
    struct isal_zstream stream;
    int level;
    uint8_t level_buf[ISAL_DEF_LVL2_DEFAULT];
} isal_lane;

static void *isal_lane_new(int level) {
    isal_lane *lane = hf_alloc(sizeof *lane);
    if (lane)
        lane->level = level;
    return lane;
}

static size_t isal_compress(void *lane_, const void *in, size_t in_len, void *out, size_t out_cap) {
    isal_lane *lane = lane_;
    struct isal_zstream *s = &lane->stream;
    isal_deflate_stateless_init(s);
    s->level = (uint32_t)lane->level;
    s->level_buf = lane->level_buf;
    s->level_buf_size = sizeof lane->level_buf;
    s->gzip_flag = IGZIP_ZLIB;
    s->flush = NO_FLUSH;
    s->end_of_stream = 1;
    union {
        const void *given;
        uint8_t *wanted; /* the library's struct is not const-correct; it only reads */
    } next = {.given = in};
    s->next_in = next.wanted;
    s->avail_in = (uint32_t)in_len;
    s->next_out = out;
    s->avail_out = (uint32_t)out_cap;
    if (isal_deflate_stateless(s) != COMP_OK || s->avail_in != 0)
        return 0;
    return s->total_out;
}
#endif

static void *libdeflate_lane_new(int level) { return libdeflate_alloc_compressor(level); }
static void libdeflate_lane_free(void *lane) { libdeflate_free_compressor(lane); }
static size_t libdeflate_compress(void *lane, const void *in, size_t in_len, void *out, size_t out_cap) {
    return libdeflate_zlib_compress(lane, in, in_len, out, out_cap);
}

static void *zlib_lane_new(int level) {
    z_stream *z = hf_alloc(sizeof *z);
    if (z && deflateInit(z, level) != Z_OK) {
        free(z);
        z = NULL;
    }
    return z;
}
static void zlib_lane_free(void *lane) {
    if (lane)
        deflateEnd(lane);
    free(lane);
}
static size_t zlib_compress(void *lane, const void *in, size_t in_len, void *out, size_t out_cap) {
    z_stream *z = lane;
    union {
        const void *given;
        Bytef *wanted;
    } next = {.given = in};
    if (deflateReset(z) != Z_OK)
        return 0;
    z->next_in = next.wanted;
    z->avail_in = (uInt)in_len;
    z->next_out = out;
    z->avail_out = (uInt)out_cap;
    return deflate(z, Z_FINISH) == Z_STREAM_END ? out_cap - z->avail_out : 0;
}

#define isal_lane_free free
#define HF_CODEC(name_, lib_, level_, summary_)                                                                        \
    {name_, #lib_, summary_, level_, lib_##_lane_new, lib_##_lane_free, lib_##_compress},
static const hf_codec codecs[] = {
#include "consumer/pipeline/codec.def"
};
#undef HF_CODEC

const hf_codec *hf_codecs(size_t *ret_count) {
    *ret_count = HF_ARRAY_LEN(codecs);
    return codecs;
}

const hf_codec *hf_codec_find(hf_str name) {
    if (name.len == 0)
        return &codecs[0];
    for (size_t i = 0; i < HF_ARRAY_LEN(codecs); i++)
        if (hf_str_eqz(name, codecs[i].name))
            return &codecs[i];
    return NULL;
}

const hf_codec *hf_codec_for_level(int level) {
    return hf_codec_find(level <= 3 ? HF_STR("fast") : level <= 6 ? HF_STR("balanced") : HF_STR("small"));
}
