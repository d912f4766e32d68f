/* SOAP 1.1 as vSphere speaks it: requests written into a buffer, answers read by libxml2.
 *
 * A request is <METHOD><_this type="T">V</_this> and its parameters, in the schema's order, inside the envelope:
 *
 *   hf_soap_begin(&body, "FindByInventoryPath", &search_index);
 *   hf_soap_text(&body, "inventoryPath", path);
 *   hf_soap_end(&body, "FindByInventoryPath");
 *
 * Text is escaped; text that is no UTF-8 or holds characters XML has no place for sets body.failed, which the call reports.
 * An answer is parsed without network, entities or DTD: a document with a DOCTYPE is refused, as is one over its byte limit or
 * over libxml2's own limits (depth, length of a text). Types in it are resolved by namespace, whatever the prefix. */
#pragma once
#include <libxml/tree.h>

#include "schemas/base/buf.h"
#include "schemas/base/err.h"

#define HF_VIM_NS "urn:vim25"
enum { HF_SOAP_REQUEST_MAX = 256 * 1024, HF_SOAP_ANSWER_MAX = 16 * 1024 * 1024, HF_SOAP_PAGE_MAX = 64 * 1024 * 1024 };

/* A managed object reference: ("VirtualMachine", "vm-123"). */
typedef struct hf_moref {
    char type[64], value[192];
} hf_moref;

/* ---- writing */
void hf_soap_begin(hf_buf *body, const char *method, const hf_moref *self);
void hf_soap_end(hf_buf *body, const char *method);
void hf_soap_text(hf_buf *body, const char *name, hf_str text);
void hf_soap_int(hf_buf *body, const char *name, int64_t value);
void hf_soap_bool(hf_buf *body, const char *name, bool value);
void hf_soap_ref(hf_buf *body, const char *name, const hf_moref *ref);
void hf_soap_open(hf_buf *body, const char *name, const char *xsi_type); /* xsi_type of the vim25 namespace, or NULL */
void hf_soap_close(hf_buf *body, const char *name);

/* ---- reading */
typedef struct hf_soap_answer {
    xmlDoc *doc;
    xmlNode *response; /* <METHODResponse>; NULL for a fault */
    xmlNode *fault;    /* soapenv:Fault */
} hf_soap_answer;

/* Parses an envelope; a fault is no error here. PROTOCOL for anything that is not one envelope, LIMIT past max_bytes. */
hf_code hf_soap_parse(hf_str xml, size_t max_bytes, hf_soap_answer *ret, hf_err *reterr);
void hf_soap_answer_done(hf_soap_answer *answer); /* takes an empty one too */
/* Makes an error of a fault: its type's name in *ret_name (static, of vsphere_faults.def, or "" for one not in the table),
 * code and remedy by that table, message of the server cut to what fits. */
hf_code hf_soap_fault(const hf_soap_answer *answer, const char **ret_name, hf_err *reterr);

/* The next element of that local name (NULL: any) among node's children, behind `after` (NULL: the first). */
xmlNode *hf_xml_next(const xmlNode *node, const char *name, const xmlNode *after);
static inline xmlNode *hf_xml_child(const xmlNode *node, const char *name) { return hf_xml_next(node, name, NULL); }
/* Text of an element (of its first text node; "" for NULL), borrowed from the document. */
hf_str hf_xml_text(const xmlNode *node);
bool hf_xml_copy(const xmlNode *node, char *to, size_t size); /* cut at a character's end; false when it was */
int64_t hf_xml_int(const xmlNode *node, int64_t otherwise);
bool hf_xml_bool(const xmlNode *node, bool otherwise);
/* Local name of xsi:type; "" where it has none. Borrowed. */
const char *hf_xml_type(const xmlNode *node);
/* false unless node names an object. */
bool hf_xml_ref(const xmlNode *node, hf_moref *ret);
