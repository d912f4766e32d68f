/* Are two stores the same, byte for byte? What `verify` rests on, and the tests of replay. */
#pragma once
#include "journal/replica/layout.h"

/* A snapshot with every table of the store open before it. */
hf_code hf_snapshot_begin(hf_store *store, hf_read **ret, hf_err *reterr);
/* VERIFY_FAILED: *reterr names the first difference by table and key, and says what each has. `skip` (may be NULL): tables that
 * are not compared. a_name, b_name: how the two are called in the text. Both reads come from hf_snapshot_begin. */
hf_code hf_stores_compare(hf_store *a, hf_read *ra, const char *a_name, hf_store *b, hf_read *rb, const char *b_name,
                          bool (*skip)(const char *table), hf_err *reterr);
/* A key as people can read it: text as it stands, a position as partition/offset, else hexadecimal. */
const char *hf_key_text(const char *table, hf_str key, char text[128]);
