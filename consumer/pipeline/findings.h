/* Findings: what a check of an appliance brings to light, each one a row of findings.def, about a member (or the whole), with a
 * detail for people. A check goes on after a finding where it can, so that all of them are listed. Bounded: the first
 * HF_FINDINGS_MAX are kept, the rest are counted. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"

typedef enum hf_severity { HF_SEVERITY_INFO, HF_SEVERITY_WARNING, HF_SEVERITY_ERROR, HF_SEVERITY_COUNT } hf_severity;

typedef enum hf_finding_id {
#define HF_FINDING(id, name, severity, sentence) HF_FIND_##id,
#include "consumer/pipeline/findings.def"
#undef HF_FINDING
    HF_FIND_COUNT
} hf_finding_id;

enum { HF_FINDINGS_MAX = 1000, HF_FINDING_SUBJECT_BYTES = 256, HF_FINDING_DETAIL_BYTES = 320 };

typedef struct hf_finding {
    hf_finding_id id;
    char subject[HF_FINDING_SUBJECT_BYTES]; /* a member's name, printable; "" for the whole */
    char detail[HF_FINDING_DETAIL_BYTES];   /* printable UTF-8; cut at the bound */
} hf_finding;

typedef struct hf_findings {
    hf_finding *items;
    uint32_t count, room;
    uint32_t by_severity[HF_SEVERITY_COUNT]; /* all of them, those not kept included */
    uint32_t dropped;                        /* past the bound, or without memory */
} hf_findings;

const char *hf_finding_name(hf_finding_id id);     /* "tar-header" */
const char *hf_finding_sentence(hf_finding_id id); /* what it means */
hf_severity hf_finding_severity(hf_finding_id id);
const char *hf_severity_name(hf_severity severity); /* "error" */

void hf_findings_init(hf_findings *findings);
void hf_findings_done(hf_findings *findings);
/* subject may be NULL or hold any bytes: what is not printable becomes '?'. findings may be NULL. */
void hf_finding_add(hf_findings *findings, hf_finding_id id, const char *subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
uint32_t hf_findings_errors(const hf_findings *findings);
/* Whether one of that kind is among those kept. */
bool hf_findings_has(const hf_findings *findings, hf_finding_id id);
/* SOURCE_INVALID with the first error and the number of the others; OK where there is no error. */
hf_code hf_findings_verdict(const hf_findings *findings, hf_err *reterr);
/* Copies text into to (NUL-terminated, cut at size) with control characters and broken UTF-8 as '?'. */
void hf_printable(char *to, size_t size, const char *text, size_t len);
