/* Are two stores the same, byte for byte? What `verify` rests on, and the tests of replay. */
#pragma once
#include "journal/replica/layout.h"

/* VERIFY_FAILED: *reterr names the first difference by table and key, and says what each has. `skip` (may be NULL): tables that
 * are not compared. a_name, b_name: how the two are called in the text. Both reads come from hf_read_begin_all. */
hf_code hf_stores_compare(hf_store *a, hf_read *ra, const char *a_name, hf_store *b, hf_read *rb, const char *b_name,
                          bool (*skip)(const char *table), hf_err *reterr);
/* A key as people can read it: text as it stands, a position as partition/offset, else hexadecimal. */
const char *hf_key_text(const char *table, hf_str key, char text[128]);
