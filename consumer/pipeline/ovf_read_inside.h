/* Inside the OVF reader: the state of one reading, and bounded access to the tree. Texts come from text nodes alone. */
#pragma once
#include <libxml/tree.h>

#include "consumer/pipeline/ovf_read.h"

typedef struct hf_ovf_reading {
    const char *shown;
    hf_findings *findings;
    hf_ovf_document *document;
} hf_ovf_reading;

bool hf_ovf_read_is(const xmlNode *node, const char *name);
const xmlNode *hf_ovf_read_child(const xmlNode *parent, const char *name);
/* False when there is none, or it was cut. parent and node may be NULL. */
bool hf_ovf_read_text(const xmlNode *node, char *to, size_t size);
bool hf_ovf_read_attribute(const xmlNode *node, const char *name, char *to, size_t size);
bool hf_ovf_read_number(const char *text, int64_t *ret);
/* VirtualSystem: the machine, and where its disks hang. */
void hf_ovf_read_system(hf_ovf_reading *reading, const xmlNode *system);
