/* Text for people: sizes, rates, durations, tables. Everything that came from outside is made harmless for a terminal
 * (control characters become '?'). */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "schemas/base/err.h"

enum { HF_TEXT_BYTES = 48 };
/* "512 B", "1.5 GiB" */
const char *hf_text_bytes(double bytes, char text[HF_TEXT_BYTES]);
/* "350ms", "12s", "3m05s", "2h07m", "3d04h" */
const char *hf_text_duration(int64_t ms, char text[HF_TEXT_BYTES]);
/* "[#####.....]": width characters between the brackets; percent is clamped, negative: "[?????]". */
const char *hf_text_bar(double percent, int width, char text[128]);
/* Columns a terminal shows for UTF-8 text (one per character). */
size_t hf_text_width(const char *text);
/* Copies with control characters and broken UTF-8 replaced by '?'. Returns `to`. */
const char *hf_text_harmless(const char *from, char *to, size_t size);

/* A table: a row of headings, then rows. Cells are copied, made harmless, cut at 200 characters. Bounded: 10 million cells. */
typedef struct hf_table hf_table;
hf_table *hf_table_new(const char *const *headings, size_t columns); /* NULL without memory */
void hf_table_free(hf_table *table);
/* The next cell, left to right, row by row; NULL is "-". */
void hf_table_put(hf_table *table, const char *cell);
void hf_table_putf(hf_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* NO_MEMORY when a cell could not be kept; prints nothing then. */
hf_code hf_table_print(const hf_table *table, FILE *out, hf_err *reterr);
