/* Named numbers folded with the jobs (counters.def). Sums of what each partition brought, or the latest by time, so the order in
 * which partitions are read does not show, and partitions may be counted apart and added up (rebuild). */
#pragma once
#include "journal/replica/layout.h"
#include "schemas/job/delivery.h"

enum { HF_PROVIDERS = 14, HF_OPERATIONS = 20, HF_OSES = 5, HF_SIZES = 5, HF_POWERS = 5 };
enum { HF_PRIORITIES = HF_PRIORITY_LOWEST + 1, HF_REQUIREMENTS = 4 + HF_PROVIDERS };

typedef enum hf_dim {
#define HF_DIM(id, count, label) HF_D_##id,
#include "journal/replica/counters.def"
    HF_DIM_COUNT
} hf_dim;
typedef enum hf_counter {
#define HF_COUNTER(id, family, a, b, c, labels, doc) HF_N_##id,
#include "journal/replica/counters.def"
    HF_COUNTER_FAMILIES
} hf_counter;

typedef struct hf_counters {
    int64_t *now, *stored;
    size_t cells;
} hf_counters;

hf_code hf_counters_init(hf_counters *counters, hf_err *reterr);
void hf_counters_done(hf_counters *counters);
/* Counts one job-event: its verdict, and what it changed. job before and after: NULL where there is none. */
void hf_counters_change(hf_counters *counters, const hf_record *record, hf_verdict verdict, const hf_job *before,
                        const hf_job *after);
void hf_counters_record(hf_counters *counters, hf_topic topic);
void hf_counters_delivery(hf_counters *counters, int32_t outcome);
void hf_counters_unreadable(hf_counters *counters, hf_topic topic);
/* Adds what `from` holds; of the latest, the later one stays. */
void hf_counters_add(hf_counters *counters, const hf_counters *from);
/* Bytes that hf_counters_put may take in a batch. */
size_t hf_counters_room(const hf_counters *counters);
/* Puts every cell that changed since hf_counters_mark. False: no room. */
bool hf_counters_put(const hf_counters *counters, hf_changes *changes, hf_table table);
void hf_counters_mark(hf_counters *counters);
hf_code hf_counters_load(hf_counters *counters, hf_read *read, hf_table table, hf_err *reterr);

/* ---- for those who show them ---------------------------------------------------------------------------- */
typedef struct hf_counter_family {
    const char *name, *labels, *doc;
    hf_dim dims[3];
} hf_counter_family;
const hf_counter_family *hf_counter_family_of(hf_counter counter);
uint32_t hf_dim_count(hf_dim dim);
/* Into text (at least 32 bytes); NULL text of a dimension ONE is "". */
const char *hf_dim_label(hf_dim dim, uint32_t index, char text[32]);
bool hf_dim_is_histogram(hf_dim dim);
/* Upper bound of a histogram's cell, +inf for the one above the last; the cell behind that is the sum. */
double hf_dim_bound(hf_dim dim, uint32_t index);
/* A job's end, as it counts in DURATION. */
typedef struct hf_counted_end {
    uint32_t status, provider, bucket;
    int64_t ms;
} hf_counted_end;
/* False: the job did not end between these two (before: NULL where there is none). */
bool hf_counters_end_of(const hf_job *before, const hf_job *after, hf_counted_end *ret);
/* Which index of its dimension something has; what is not in the list is `other`. */
uint32_t hf_counters_operation(hf_str operation);
uint32_t hf_counters_provider(hf_str provider);
uint32_t hf_counters_priority(int32_t priority);
/* Bits of the dimension REQUIREMENT: what the job asks of a worker; what a worker meets. */
uint32_t hf_counters_asked(const hf_spec *spec);
uint32_t hf_counters_met(const hf_capabilities *capabilities);
int64_t hf_counter_get(const hf_counters *counters, hf_counter counter, uint32_t a, uint32_t b, uint32_t c);
