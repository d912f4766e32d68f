#include "schemas/event/codec.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "schemas/base/mem.h"
#include "schemas/event/catalog.h"
#include "schemas/event/codec_private.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/event/write.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "doubles and fingerprints are copied as they lie in memory");

enum { SINGLE_OBJECT_BYTES = 10, CONFLUENT_BYTES = 5, MAX_REGISTRY_SCHEMAS = 256 };
static const uint8_t single_object_mark[2] = {0xc3, 0x01};

typedef struct registered {
    int32_t id;
    hf_schema schema;
    hf_plan *plan;
} registered;

struct hf_codec {
    const hf_catalog *catalog;
    hf_schema_lookup lookup;
    void *lookup_ctx;
    int32_t write_ids[HF_SCHEMA_COUNT]; /* -1: single-object encoding */
    pthread_mutex_t lock;               /* who adds to `registered` */
    _Atomic uint32_t registered_count;  /* entries below it never change */
    registered registered[MAX_REGISTRY_SCHEMAS];
};

uint64_t hf_schema_fingerprint(hf_schema schema) {
    const hf_catalog *catalog;
    return hf_catalog_builtin(&catalog, NULL) ? 0 : catalog->known[schema].plan->fingerprint;
}

/* ---- life ----------------------------------------------------------------------------------------- */
hf_code hf_codec_new_with(const hf_catalog *catalog, hf_schema_lookup lookup, void *ctx, hf_codec **ret,
                          hf_err *reterr) {
    hf_codec *codec = hf_alloc(sizeof *codec);
    if (!codec)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a codec");
    codec->catalog = catalog;
    codec->lookup = lookup;
    codec->lookup_ctx = ctx;
    for (int i = 0; i < HF_SCHEMA_COUNT; i++)
        codec->write_ids[i] = -1;
    pthread_mutex_init(&codec->lock, NULL);
    *ret = codec;
    return HF_OK;
}

hf_code hf_codec_new(hf_schema_lookup lookup, void *ctx, hf_codec **ret, hf_err *reterr) {
    const hf_catalog *catalog;
    hf_code code = hf_catalog_builtin(&catalog, reterr);
    return code ? code : hf_codec_new_with(catalog, lookup, ctx, ret, reterr);
}

void hf_codec_free(hf_codec *codec) {
    if (!codec)
        return;
    for (uint32_t i = 0; i < atomic_load(&codec->registered_count); i++)
        hf_plan_free(codec->registered[i].plan);
    pthread_mutex_destroy(&codec->lock);
    free(codec);
}

void hf_codec_use_registry_id(hf_codec *codec, hf_schema schema, int32_t id) { codec->write_ids[schema] = id; }

/* ---- writing --------------------------------------------------------------------------------------- */
static hf_code put_frame(const hf_codec *codec, hf_schema schema, hf_buf *out, hf_err *reterr) {
    uint8_t frame[SINGLE_OBJECT_BYTES] = {0};
    size_t len = CONFLUENT_BYTES;
    uint32_t id = (uint32_t)codec->write_ids[schema];
    if (codec->write_ids[schema] >= 0) {
        for (int i = 0; i < 4; i++)
            frame[1 + i] = (uint8_t)(id >> (24 - 8 * i));
    } else {
        const hf_catalog *builtin;
        hf_code code = hf_catalog_builtin(&builtin, reterr);
        if (code)
            return code;
        memcpy(frame, single_object_mark, sizeof single_object_mark);
        memcpy(frame + sizeof single_object_mark, &builtin->known[schema].plan->fingerprint, 8);
        len = SINGLE_OBJECT_BYTES;
    }
    if (hf_buf_put(out, frame, len))
        return HF_OK;
    return hf_fail(reterr, out->len + len > out->max_bytes ? HF_E_LIMIT : HF_E_NO_MEMORY,
                   "a buffer bounded to %zu bytes", out->max_bytes);
}

/* What was appended since `from` must be a record others will take. */
static hf_code check_size(hf_schema schema, hf_buf *out, size_t from, hf_err *reterr) {
    size_t len = out->len - from;
    if (len <= HF_MAX_RECORD)
        return HF_OK;
    out->len = from;
    return hf_fail(reterr, HF_E_LIMIT, "%s: a record of %zu bytes, the limit is %d", hf_schema_name(schema), len,
                   HF_MAX_RECORD);
}

hf_code hf_encode_body(hf_schema schema, const void *record, hf_buf *out, hf_err *reterr) {
    size_t from = out->len;
    hf_code code = hf_avro_write(hf_schema_type(schema), record, out, reterr);
    return code ? code : check_size(schema, out, from, reterr);
}

hf_code hf_encode(const hf_codec *codec, hf_schema schema, const void *record, hf_buf *out, hf_err *reterr) {
    size_t from = out->len;
    hf_code code = put_frame(codec, schema, out, reterr);
    if (code == HF_OK)
        code = hf_avro_write(hf_schema_type(schema), record, out, reterr);
    if (code == HF_OK)
        return check_size(schema, out, from, reterr);
    out->len = from;
    return code;
}

/* ---- the registry's schemas -------------------------------------------------------------------------- */
static const registered *find_registered(hf_codec *codec, int32_t id) {
    uint32_t count = atomic_load_explicit(&codec->registered_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (codec->registered[i].id == id)
            return &codec->registered[i];
    return NULL;
}

/* Keeps the plan, or frees it where another thread was quicker. */
static hf_code keep(hf_codec *codec, int32_t id, hf_schema schema, hf_plan *plan, const registered **ret,
                    hf_err *reterr) {
    hf_code code = HF_OK;
    pthread_mutex_lock(&codec->lock);
    const registered *known = find_registered(codec, id);
    uint32_t count = atomic_load_explicit(&codec->registered_count, memory_order_relaxed);
    if (!known && count < MAX_REGISTRY_SCHEMAS) {
        codec->registered[count] = (registered){.id = id, .schema = schema, .plan = HF_TAKE(plan)};
        known = &codec->registered[count];
        atomic_store_explicit(&codec->registered_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&codec->lock);
    hf_plan_free(plan);
    if (known)
        *ret = known;
    else
        code = hf_fail(reterr, HF_E_SCHEMA_UNKNOWN,
                       "registry schema id %" PRId32
                       ": %d others are held already, which is the limit; restart to forget those out of use",
                       id, MAX_REGISTRY_SCHEMAS);
    return code;
}

static hf_code learn(hf_codec *codec, hf_schema schema, int32_t id, const registered **ret, hf_err *reterr) {
    hf_auto_free char *text = NULL;
    if (!codec->lookup)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN,
                       "registry schema id %" PRId32 ": no schema_registry.url is configured", id);
    hf_code code = codec->lookup(codec->lookup_ctx, id, &text, reterr);
    if (code)
        return hf_context(reterr, "registry schema id %" PRId32, id), code;
    hf_plan *plan = NULL;
    code = hf_plan_new(text, hf_schema_type(schema), hf_schema_text(schema), &plan, reterr);
    if (code)
        return hf_context(reterr, "registry schema id %" PRId32, id), code;
    return keep(codec, id, schema, plan, ret, reterr);
}

/* ---- reading ------------------------------------------------------------------------------------------ */
static hf_code wrong_schema(hf_schema is, hf_schema wanted, hf_err *reterr) {
    return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "the record is a %s, a %s is read here", hf_schema_name(is),
                   hf_schema_name(wanted));
}

static hf_code plan_of_fingerprint(hf_codec *codec, hf_schema schema, hf_str bytes, const hf_plan **ret,
                                   hf_err *reterr) {
    uint64_t fingerprint;
    memcpy(&fingerprint, bytes.p + sizeof single_object_mark, sizeof fingerprint);
    const hf_known *known = hf_catalog_find(codec->catalog, fingerprint);
    if (!known)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN,
                       "fingerprint %016" PRIx64 " is of no version of %s this build knows; a newer program wrote it",
                       fingerprint, hf_schema_name(schema));
    if (known->schema != schema)
        return wrong_schema(known->schema, schema, reterr);
    *ret = known->plan;
    return HF_OK;
}

static hf_code plan_of_id(hf_codec *codec, hf_schema schema, hf_str bytes, const hf_plan **ret, hf_err *reterr) {
    const uint8_t *p = (const uint8_t *)bytes.p + 1;
    int32_t id = (int32_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
    const registered *known = find_registered(codec, id);
    hf_code code = known ? HF_OK : learn(codec, schema, id, &known, reterr);
    if (code || !known)
        return code;
    if (known->schema != schema)
        return wrong_schema(known->schema, schema, reterr);
    *ret = known->plan;
    return HF_OK;
}

static hf_code check_bytes(hf_schema schema, hf_str bytes, hf_err *reterr) {
    if (bytes.len > HF_MAX_RECORD)
        return hf_fail(reterr, HF_E_RECORD_MALFORMED, "%s: a record of %" PRIu32 " bytes, the limit is %d",
                       hf_schema_name(schema), bytes.len, HF_MAX_RECORD);
    return HF_OK;
}

/* A person with kcat. */
static hf_code read_json(hf_str bytes, hf_arena *arena, hf_submission *ret, hf_err *reterr) {
    json_t *json = hf_json_parse(bytes, HF_MAX_SUBMISSION, reterr);
    if (!json)
        return reterr ? reterr->code : HF_E_PARSE;
    hf_submission submission; /* the caller's stays as it was unless all went well */
    hf_code code = hf_submission_from_json(json, arena, &submission, reterr);
    json_decref(json);
    if (code == HF_OK)
        *ret = submission;
    return code;
}

hf_code hf_decode(hf_codec *codec, hf_schema schema, hf_str bytes, hf_arena *arena, void *ret_record, hf_err *reterr) {
    const hf_plan *plan = NULL;
    uint32_t frame = 0;
    hf_code code = check_bytes(schema, bytes, reterr);
    if (code)
        return code;
    if (schema == HF_SCHEMA_SUBMISSION && bytes.len && bytes.p[0] == '{')
        return read_json(bytes, arena, ret_record, reterr);
    if (bytes.len >= SINGLE_OBJECT_BYTES && memcmp(bytes.p, single_object_mark, sizeof single_object_mark) == 0) {
        frame = SINGLE_OBJECT_BYTES;
        code = plan_of_fingerprint(codec, schema, bytes, &plan, reterr);
    } else if (bytes.len >= CONFLUENT_BYTES && bytes.p[0] == 0) {
        frame = CONFLUENT_BYTES;
        code = plan_of_id(codec, schema, bytes, &plan, reterr);
    } else {
        code = hf_fail(reterr, HF_E_FRAME_UNKNOWN,
                       "%s: %" PRIu32 " bytes that begin with neither C3 01 and a fingerprint nor 00 and a schema id",
                       hf_schema_name(schema), bytes.len);
    }
    return code ? code : hf_plan_read(plan, bytes, frame, arena, ret_record, reterr);
}

hf_code hf_decode_body(hf_schema schema, hf_str bytes, hf_arena *arena, void *ret_record, hf_err *reterr) {
    const hf_catalog *catalog;
    hf_code code = check_bytes(schema, bytes, reterr);
    if (code == HF_OK)
        code = hf_catalog_builtin(&catalog, reterr);
    return code ? code : hf_plan_read(catalog->known[schema].plan, bytes, 0, arena, ret_record, reterr);
}
