/* A plan: how bytes written with one schema fill one of our structs. Made once from the writer's schema
 * and the reader's table (hf_type), then walked for each record (read.c).
 *
 * Records inside records are flattened: a program is the steps of all of them, in the writer's order, each with
 * the offset from the outermost struct. What the writer has and the reader has not becomes a step that walks
 * over it; what the reader has and the writer has not stays as the blank image says.
 * Resolution follows the Avro 1.11 specification, "Schema Resolution": fields by name, int -> long -> float ->
 * double, string <-> bytes, enums by symbol, unions by branch. Two things are more lenient: a null where the
 * reader has a plain value means absent, and names of records that stand in a field need not agree.
 * A plan is immutable and may be shared by threads. */
#pragma once
#include "schemas/base/arena.h"
#include "schemas/base/err.h"
#include "schemas/base/type.h"

enum {
    HF_SCHEMA_MAX_BYTES = 1 << 20, /* of a schema's text */
    HF_SCHEMA_MAX_NAMED = 512,     /* records, enums and fixed in one schema */
    HF_SCHEMA_MAX_DEPTH = 64,      /* of a schema, and of a value that is walked over */
    HF_SCHEMA_MAX_STEPS = 4096,    /* of one program */
    HF_STRUCT_MAX_BYTES = 1024,    /* of a record's struct */
    HF_MAX_ELEMENT_BYTES = 4096,   /* of a string in a list, HF_MAX_PATH: the table bounds only the list */
};

typedef enum hf_op {
    HF_OP_STR,
    HF_OP_BOOL,
    HF_OP_I32,
    HF_OP_I64, /* from int or long */
    HF_OP_F64,
    HF_OP_F64_OF_FLOAT,
    HF_OP_F64_OF_LONG, /* from int or long */
    HF_OP_ENUM,        /* symbols[writer's index] */
    HF_OP_STRINGS,
    HF_OP_RECORDS,  /* each by program */
    HF_OP_VARIANTS, /* each by branches[writer's index] */
    HF_OP_OPTION,   /* a record of its own, by program */
    HF_OP_CHOICE,   /* the writer's union in place of a value: choices[index] */
    HF_OP_SKIP,     /* skip */
} hf_op;

typedef struct hf_skip hf_skip;
typedef struct hf_program hf_program;
typedef struct hf_branch {     /* of a union whose records land in a list of variants */
    int32_t branch;            /* the reader's index; -1: not known, walked over */
    const hf_program *program; /* where it is known */
    const hf_skip *skip;       /* where it is not */
} hf_branch;

typedef struct hf_step {
    hf_op op;
    uint32_t offset;  /* in the struct */
    uint32_t max;     /* bytes of a string, elements of a list */
    uint32_t count;   /* entries of symbols, branches or choices */
    bool bare;        /* VARIANTS: the writer's elements are records, not a union */
    const char *name; /* dotted path from the program's struct, for errors */
    union {
        const int32_t *symbols; /* the reader's index; -1: refused */
        const hf_program *program;
        const hf_branch *branches;
        const hf_program *const *choices; /* each fills the same struct; NULL: refused */
        const hf_skip *skip;
    };
} hf_step;

struct hf_program {
    const hf_step *steps;
    uint32_t count;
    uint32_t size_bytes; /* of the struct */
    const void *blank;   /* the struct with every default */
    bool zeros_do;       /* zeroed memory is as good as the blank */
    bool empty;          /* reads no byte, whatever the value */
};

typedef enum hf_skip_kind {
    HF_SKIP_NOTHING,
    HF_SKIP_BOOL,
    HF_SKIP_LONG,
    HF_SKIP_BYTES,
    HF_SKIP_FIXED,
    HF_SKIP_ENUM,
    HF_SKIP_ARRAY,
    HF_SKIP_MAP,
    HF_SKIP_UNION,
    HF_SKIP_RECORD
} hf_skip_kind;
struct hf_skip {
    hf_skip_kind kind;
    bool empty;                     /* reads no byte, whatever the value */
    uint64_t count;                 /* FIXED: bytes; ENUM: symbols; UNION, RECORD: children */
    const hf_skip *const *children; /* ARRAY, MAP: one */
};

typedef struct hf_plan {
    hf_arena arena;
    uint64_t fingerprint; /* of the writer's schema */
    const hf_type *type;
    const hf_program *program;
} hf_plan;

/* Compiles `writer_text`, a schema in JSON. `reader_text` is the schema of `type` itself, asked for the
 * default of an enum whose symbols the writer has outgrown; NULL: there is none. SCHEMA_UNKNOWN: the text is no
 * schema, or none that can be read as `type`; the detail names the field. */
hf_code hf_plan_new(const char *writer_text, const hf_type *type, const char *reader_text, hf_plan **ret,
                    hf_err *reterr);
void hf_plan_free(hf_plan *plan);
static inline void hf_plan_free_p(hf_plan **plan) { hf_plan_free(*plan); }

/* Walks `body` from its byte `at` to its end and fills *ret_record (read.c). */
hf_code hf_plan_read(const hf_plan *plan, hf_str body, uint32_t at, hf_arena *arena, void *ret_record, hf_err *reterr);
