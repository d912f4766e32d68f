/* The codec table and the four libraries behind it. */
#include "consumer/pipeline/codec.h"

#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

#include "consumer/pipeline/codec_place.h"
#include "schemas/base/mem.h"

enum { WINDOW_4K_BITS = 12 };

#ifdef HF_HAVE_ISAL
#include <isa-l/igzip_lib.h>

/* The stream comes first: its place decides what it writes (codec_place.h). */
typedef struct isal_lane {
    struct isal_zstream stream;
    int level;
    uint16_t window_bits; /* 0: a zlib stream with the usual 32 KiB */
    /* Its size is that of a deflate block: 16 Ki tokens make 0.1 % less than the library's default of 64 Ki, as fast. */
    uint8_t level_buf[ISAL_DEF_LVL2_SMALL];
} isal_lane;

static void *isal_lane_new(int level) {
    isal_lane *lane = hf_place_alloc(sizeof *lane);
    if (lane)
        lane->level = level;
    return lane;
}

static void isal_lane_free(void *lane) { hf_place_free(lane, sizeof(isal_lane)); }

static void *isal_4k_lane_new(int level) {
    isal_lane *lane = isal_lane_new(level);
    if (lane)
        lane->window_bits = WINDOW_4K_BITS;
    return lane;
}

static size_t isal_compress(void *lane_, const void *in, size_t in_len, void *out, size_t out_cap) {
    isal_lane *lane = lane_;
    struct isal_zstream *s = &lane->stream;
    isal_deflate_stateless_init(s);
    s->level = (uint32_t)lane->level;
    s->level_buf = lane->level_buf;
    s->level_buf_size = sizeof lane->level_buf;
    s->gzip_flag = lane->window_bits ? IGZIP_DEFLATE : IGZIP_ZLIB;
    s->hist_bits = lane->window_bits;
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

static void *zlib_new(int level, int window_bits) {
    z_stream *z = hf_alloc(sizeof *z);
    if (z && deflateInit2(z, level, Z_DEFLATED, window_bits, MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(z);
        z = NULL;
    }
    return z;
}
static void *zlib_lane_new(int level) { return zlib_new(level, MAX_WBITS); }
static void *zlib_4k_lane_new(int level) { return zlib_new(level, -WINDOW_4K_BITS); }
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

static void zstd_lane_free(void *lane) { ZSTD_freeCCtx(lane); }
static size_t zstd_compress(void *lane, const void *in, size_t in_len, void *out, size_t out_cap) {
    size_t n = ZSTD_compress2(lane, out, out_cap, in, in_len);
    return ZSTD_isError(n) ? 0 : n;
}
/* The library allocates what a grain needs at the first one: here, so that no memory is a matter of the start. */
static void *zstd_lane_new(int level) {
    static const uint8_t grain[HF_GRAIN_BYTES];
    uint8_t out[1024];
    ZSTD_CCtx *lane = ZSTD_createCCtx();
    if (lane && (ZSTD_isError(ZSTD_CCtx_setParameter(lane, ZSTD_c_compressionLevel, level)) ||
                 zstd_compress(lane, grain, sizeof grain, out, sizeof out) == 0)) {
        ZSTD_freeCCtx(lane);
        lane = NULL;
    }
    return lane;
}

#define isal_4k_lane_free isal_lane_free
#define isal_4k_compress isal_compress
#define zlib_4k_lane_free zlib_lane_free
#define zlib_4k_compress zlib_compress
#define HF_CODEC(name_, lib_, level_, summary_)                                                                        \
    {name_, #lib_, summary_, HF_FORM_ZLIB, level_, lib_##_lane_new, lib_##_lane_free, lib_##_compress},
#define HF_CLUSTER_CODEC(...)
static const hf_codec codecs[] = {
#include "consumer/pipeline/codec.def"
};
#undef HF_CODEC
#undef HF_CLUSTER_CODEC
#define HF_CODEC(...)
#define HF_CLUSTER_CODEC(name_, lib_, form_, level_, summary_)                                                         \
    {name_, #lib_, summary_, HF_FORM_##form_, level_, lib_##_lane_new, lib_##_lane_free, lib_##_compress},
static const hf_codec cluster_codecs[] = {
#include "consumer/pipeline/codec.def"
};
#undef HF_CODEC
#undef HF_CLUSTER_CODEC

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

const hf_codec *hf_codec_for_clusters(const hf_codec *codec) {
    for (size_t i = 0; i < HF_ARRAY_LEN(cluster_codecs); i++)
        if (strcmp(cluster_codecs[i].name, codec->name) == 0)
            return &cluster_codecs[i];
    return NULL;
}
