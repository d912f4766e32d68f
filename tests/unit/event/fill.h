/* Records with every field set, made from the tables alone, so that a new field is tested the day it is added. */
#pragma once
#include "schemas/base/type.h"

/* Every field of *record gets a value that is not its default; lists get `elements` of them, lists of variants one of each
 * kind. The same seed gives the same record. Strings hold what JSON and UTF-8 make interesting. */
void fill_record(const hf_type *type, void *record, hf_arena *arena, uint64_t seed, uint32_t elements);
