/* The parts of intake, for intake.c and schedule_*.c alone: what is left out is filled in, then each field is judged by what it means
 * (rules), then every text by what it is made of (texts). In that order: texts empties what it refuses, and an emptied
 * field must not be called missing. */
#pragma once
#include "schemas/job/intake.h"

/* What intake knows of an operation by its name; a name that is not in the table is an external program's, of which
 * nothing is asked. */
typedef struct hf_intake_operation {
    const char *name;
    bool needs_source, needs_output;
    const char
        *formats; /* of the result: " ova ovf …", the default first; NULL: has none; two blanks in front: no default */
    bool guest;   /* of the repair family: output_dir unless in_place or dry_run is asked for */
} hf_intake_operation;
const hf_intake_operation *hf_intake_operation_find(hf_str name);

/* Adds one error (or warning); beyond the bound it is only counted. */
void hf_intake_add(hf_intake_errors *list, hf_arena *arena, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void hf_intake_fill(hf_spec *spec, hf_arena *arena);
void hf_intake_rules(const hf_spec *spec, hf_arena *arena, hf_intake_errors *errors, hf_intake_errors *warnings);
void hf_intake_texts(hf_spec *spec, hf_arena *arena, hf_intake_errors *errors);
/* The texts of any record whose tables hold no OPTION and no UNIONS, like a schedule; errors name "job_template.vm_path". */
void hf_intake_texts_of(const hf_type *type, void *record, hf_arena *arena, hf_intake_errors *errors);
