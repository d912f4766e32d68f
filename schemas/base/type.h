/* Types as tables: every record that crosses a boundary is described once, as an array of
 * fields, and five things follow from the description: Avro in, Avro out, JSON in, JSON out, and
 * deep copies. A new field is a line in schemas/job/types.def and one in its .avsc; a test holds
 * the two together.
 *
 * C representation by kind:
 *   STR     hf_str, borrowed                       Avro string
 *   RAW     hf_str holding JSON text               Avro string; in JSON the value itself
 *   BOOL    bool                                   boolean
 *   I32     int32_t                                int
 *   I64     int64_t                                long
 *   TIME    int64_t, wall ms; 0 = none             long (timestamp-millis); in JSON RFC 3339, left out when 0
 *   F64     double                                 double
 *   ENUM    int32_t index into .symbols            enum, matched by symbol, never by index
 *   RECORD  struct in place, .sub                  record
 *   OPTION  pointer to .sub, or NULL               ["null", record]
 *   LIST    hf_list of .sub; of hf_str where .sub is NULL     array of records; of strings
 *   UNIONS  hf_list of hf_variant (index into .branches, pointer to that record)
 *                                                  array of a union of records, matched by record name
 * Absent in the bytes means: zero, the empty string, or the field's `def`. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/arena.h"
#include "schemas/base/str.h"

typedef enum hf_kind {
    HF_K_STR,
    HF_K_RAW,
    HF_K_BOOL,
    HF_K_I32,
    HF_K_I64,
    HF_K_TIME,
    HF_K_F64,
    HF_K_ENUM,
    HF_K_RECORD,
    HF_K_OPTION,
    HF_K_LIST,
    HF_K_UNIONS
} hf_kind;

typedef struct hf_type hf_type;
typedef struct hf_field {
    const char *name; /* in Avro and in JSON */
    hf_kind kind;
    uint32_t offset;
    const hf_type *sub;             /* RECORD, OPTION, LIST */
    const char *const *symbols;     /* ENUM: NULL-terminated */
    const hf_type *const *branches; /* UNIONS: NULL-terminated */
    uint32_t max;                   /* STR, RAW: bytes; LIST, UNIONS: elements */
    int64_t def;                    /* numbers, booleans and enums: what absence means */
} hf_field;
struct hf_type {
    const char *name; /* Avro record name, without namespace */
    uint32_t size_bytes;
    uint32_t field_count;
    const hf_field *fields;
};
typedef struct hf_list {
    const void *items; /* array of the element type, in the same arena as the record */
    uint32_t count;
} hf_list;
typedef struct hf_variant {
    int32_t branch; /* index into branches; -1: one this reader does not know (a newer writer's) */
    const void *record;
} hf_variant;

#define HF_LIST_AT(list, type, i) (&((const type *)(list).items)[i])

/* Fills *record with what absence means for each field. */
void hf_type_init(const hf_type *type, void *record);
/* Deep copy of `from` into arena (strings, lists, options and union records included); NULL
 * without memory. Strings are NUL-terminated in the copy. */
void *hf_type_copy(const hf_type *type, const void *from, hf_arena *arena);
/* Deep copy into one malloc'd block that begins with the record; free() it. NULL without memory. */
void *hf_type_clone(const hf_type *type, const void *from);
bool hf_type_equal(const hf_type *type, const void *a, const void *b);
