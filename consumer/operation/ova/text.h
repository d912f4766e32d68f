/* What the ova commands print for people. */
#pragma once
#include <stdio.h>

#include "consumer/operation/ova/ova.h"

void hf_ova_print_findings(FILE *out, const hf_ova_work *work);
void hf_ova_print_verdict(FILE *out, const hf_ova_work *work);
void hf_ova_print_info(FILE *out, const hf_ova_work *work);
void hf_ova_print_members(FILE *out, const hf_ova_work *work);
void hf_ova_print_artifacts(FILE *out, hf_list artifacts);
