/* Answers: whatever a server sends, or whoever answers in its place. */
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <stdio.h>

#include "consumer/provider/vsphere/soap.h"

#define SOAP_NS "http://schemas.xmlsoap.org/soap/envelope/"
#define XSI_NS "http://www.w3.org/2001/XMLSchema-instance"

static bool is_named(const xmlNode *node, const char *ns, const char *name) {
    return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
           strcmp((const char *)node->ns->href, ns) == 0 && strcmp((const char *)node->name, name) == 0;
}

xmlNode *hf_xml_next(const xmlNode *node, const char *name, const xmlNode *after) {
    if (!node)
        return NULL;
    for (xmlNode *n = after ? after->next : node->children; n; n = n->next)
        if (n->type == XML_ELEMENT_NODE && (!name || strcmp((const char *)n->name, name) == 0))
            return n;
    return NULL;
}

hf_str hf_xml_text(const xmlNode *node) {
    for (const xmlNode *n = node ? node->children : NULL; n; n = n->next)
        if (n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE)
            return hf_str_of((const char *)n->content);
    return HF_STR_NONE;
}

bool hf_xml_copy(const xmlNode *node, char *to, size_t size) {
    hf_str text = hf_xml_text(node);
    size_t n = text.len < size ? text.len : size - 1;
    while (n < text.len && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--;
    if (n > 0)
        memcpy(to, text.p, n);
    to[n] = 0;
    return n == text.len;
}

int64_t hf_xml_int(const xmlNode *node, int64_t otherwise) {
    hf_str text = hf_xml_text(node);
    char digits[24], *end;
    if (text.len == 0 || text.len >= sizeof digits)
        return otherwise;
    memcpy(digits, text.p, text.len);
    digits[text.len] = 0;
    long long value = strtoll(digits, &end, 10);
    return *end ? otherwise : value;
}

bool hf_xml_bool(const xmlNode *node, bool otherwise) {
    hf_str text = hf_xml_text(node);
    bool yes = hf_str_eqz(text, "true") || hf_str_eqz(text, "1");
    return yes || hf_str_eqz(text, "false") || hf_str_eqz(text, "0") ? yes : otherwise;
}

/* The value of an attribute, borrowed: libxml2 keeps it as one text node where no entities are left in it. */
static const char *attribute(const xmlNode *node, const char *ns, const char *name) {
    for (const xmlAttr *a = node && node->type == XML_ELEMENT_NODE ? node->properties : NULL; a; a = a->next) {
        bool same_ns = ns ? a->ns && a->ns->href && strcmp((const char *)a->ns->href, ns) == 0 : !a->ns;
        if (same_ns && strcmp((const char *)a->name, name) == 0)
            return a->children && a->children->content ? (const char *)a->children->content : "";
    }
    return "";
}

const char *hf_xml_type(const xmlNode *node) {
    const char *type = attribute(node, XSI_NS, "type");
    const char *colon = strchr(type, ':');
    return colon ? colon + 1 : type;
}

bool hf_xml_ref(const xmlNode *node, hf_moref *ret) {
    const char *type = attribute(node, NULL, "type");
    hf_moref ref;
    if (!node || !*type || snprintf(ref.type, sizeof ref.type, "%s", type) >= (int)sizeof ref.type ||
        !hf_xml_copy(node, ref.value, sizeof ref.value) || !ref.value[0])
        return false;
    *ret = ref;
    return true;
}

/* ---- parsing ------------------------------------------------------------------------------------------------ */
/* A DTD is refused where it begins: nothing of it is read. */
static void refuse_doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system_id) {
    xmlParserCtxt *parser = ctx;
    (void)name, (void)external, (void)system_id;
    parser->_private = parser;
    xmlStopParser(parser);
}

static void be_silent(void *ctx, xmlError *error) { (void)ctx, (void)error; }

static hf_code complain(const xmlParserCtxt *parser, hf_err *reterr) {
    if (parser->_private)
        return hf_fail(reterr, HF_E_PROTOCOL,
                       "the answer has a DOCTYPE, which SOAP forbids: is this a vSphere server?");
    const char *why = parser->lastError.message ? parser->lastError.message : "no document";
    return hf_fail(reterr, HF_E_PROTOCOL, "the answer is no XML (line %d: %.*s): is this a vSphere server?",
                   parser->lastError.line, (int)strcspn(why, "\n"), why);
}

static hf_code parse(hf_str xml, xmlDoc **ret, hf_err *reterr) {
    xmlParserCtxt *parser = xmlNewParserCtxt();
    if (!parser)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the parser of an answer");
    parser->sax->internalSubset = refuse_doctype;
    parser->sax->externalSubset = refuse_doctype;
    parser->sax->initialized = XML_SAX2_MAGIC;
    parser->sax->serror = be_silent;
    xmlDoc *doc = xmlCtxtReadMemory(parser, xml.p ? xml.p : "", (int)xml.len, NULL, NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA |
                                        XML_PARSE_COMPACT);
    hf_code code = HF_OK;
    if (!doc || !parser->wellFormed || parser->_private) {
        code = complain(parser, reterr);
        xmlFreeDoc(doc);
    } else
        *ret = doc;
    xmlFreeParserCtxt(parser);
    return code;
}

hf_code hf_soap_parse(hf_str xml, size_t max_bytes, hf_soap_answer *ret, hf_err *reterr) {
    if (xml.len > max_bytes)
        return hf_fail(reterr, HF_E_LIMIT, "the answer has %u bytes; at most %zu are read", xml.len, max_bytes);
    hf_soap_answer a = {0};
    hf_code code = parse(xml, &a.doc, reterr);
    if (code)
        return code;
    xmlNode *root = xmlDocGetRootElement(a.doc), *body = NULL;
    for (xmlNode *n = root && is_named(root, SOAP_NS, "Envelope") ? root->children : NULL; n && !body; n = n->next)
        body = is_named(n, SOAP_NS, "Body") ? n : NULL;
    xmlNode *content = hf_xml_child(body, NULL);
    if (!code && !content)
        code = hf_fail(reterr, HF_E_PROTOCOL, "the answer is no SOAP envelope: is this a vSphere server?");
    if (code) {
        xmlFreeDoc(a.doc);
        return code;
    }
    if (is_named(content, SOAP_NS, "Fault"))
        a.fault = content;
    else
        a.response = content;
    *ret = a;
    return HF_OK;
}

void hf_soap_answer_done(hf_soap_answer *answer) {
    xmlFreeDoc(answer->doc);
    *answer = (hf_soap_answer){0};
}
