/* Inside the OVF writer: the document under construction, with one sticky failure, and the hardware's items. */
#pragma once
#include <libxml/tree.h>
#include <stdbool.h>

#include "consumer/pipeline/ovf.h"

typedef struct hf_ovf_builder {
    xmlNodePtr root;
    xmlNsPtr plain, ovf; /* the same name space: of elements, which have no prefix, and of attributes, which need one */
    xmlNsPtr rasd, vssd, vmw;
    xmlNsPtr sasd, epasd; /* 2.0; in 1.1 they are rasd */
    const hf_ovf *it;
    int64_t instance; /* the last InstanceID given */
    bool failed;      /* without memory; looked at once, at the end */
} hf_ovf_builder;

/* Text that XML cannot say (control characters, broken UTF-8) is replaced. text NULL: an empty element. */
xmlNodePtr hf_ovf_child(hf_ovf_builder *b, xmlNodePtr parent, xmlNsPtr ns, const char *name, const char *text);
void hf_ovf_attribute(hf_ovf_builder *b, xmlNodePtr node, xmlNsPtr ns, const char *name, const char *value);
/* vmw:Config, which readers that do not know it may skip. */
void hf_ovf_config(hf_ovf_builder *b, xmlNodePtr parent, const char *key, const char *value);
/* Every Item of VirtualHardwareSection. */
void hf_ovf_items(hf_ovf_builder *b, xmlNodePtr hardware);
