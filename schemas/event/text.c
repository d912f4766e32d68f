#include "schemas/event/text.h"

#include "schemas/base/mem.h"

/* The assembler puts the file in, so that the text is the file: no escaping, no length limit of literals. */
#define EMBED(symbol, file)                                                                                            \
    __asm__(".pushsection .rodata.avsc,\"a\",@progbits\n"                                                              \
            ".global " #symbol "\n"                                                                                    \
            ".type " #symbol ",@object\n" #symbol ":\n"                                                                \
            ".incbin \"" HF_AVRO_DIR "/" file "\"\n"                                                                   \
            ".byte 0\n"                                                                                                \
            ".size " #symbol ", . - " #symbol "\n"                                                                     \
            ".popsection\n");                                                                                          \
    extern const char symbol[]

#define HF_SCHEMA(id, name, type) EMBED(hf_avsc_##name, #name ".avsc");
#include "schemas/event/schemas.def"
#undef HF_SCHEMA
#define HF_HISTORY(name, version) EMBED(hf_avsc_##name##_##version, "history/" #name "." #version ".avsc");
#include "schemas/event/avro_history.def"
#undef HF_HISTORY

/* A row of the history names its schema by its Avro name. */
enum {
#define HF_SCHEMA(id, name, type) NAMED_##name = HF_SCHEMA_##id,
#include "schemas/event/schemas.def"
#undef HF_SCHEMA
};

static const hf_schema_source sources[] = {
#define HF_SCHEMA(id, name, type) {HF_SCHEMA_##id, hf_avsc_##name},
#include "schemas/event/schemas.def"
#undef HF_SCHEMA
#define HF_HISTORY(name, version) {(hf_schema)NAMED_##name, hf_avsc_##name##_##version},
#include "schemas/event/avro_history.def"
#undef HF_HISTORY
};

static const char *const names[] = {
#define HF_SCHEMA(id, name, type) #name,
#include "schemas/event/schemas.def"
#undef HF_SCHEMA
};

const hf_schema_source *hf_schema_sources(size_t *ret_count) {
    *ret_count = HF_ARRAY_LEN(sources);
    return sources;
}

const char *hf_schema_text(hf_schema schema) { return sources[schema].text; }
const char *hf_schema_name(hf_schema schema) { return names[schema]; }

const hf_type *hf_schema_type(hf_schema schema) {
    static const hf_type *const types[] = {
#define HF_SCHEMA(id, name, type) &type,
#include "schemas/event/schemas.def"
#undef HF_SCHEMA
    };
    return types[schema];
}
