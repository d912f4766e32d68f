/* The property collector: chosen properties of one object or of many, page by page. */
#pragma once
#include "consumer/provider/vsphere/client.h"

typedef struct hf_property_query {
    const char *type; /* of the objects, or what they all inherit: "ManagedEntity" */
    const char *const *paths;
    size_t path_count;
} hf_property_query;

/* Gets an <ObjectContent>: <obj/>, <propSet><name/><val/></propSet>… */
typedef hf_code (*hf_object_fn)(void *ctx, const xmlNode *object, hf_err *reterr);

/* Of these objects, at most endpoint.page_size in an answer. All of them exist, or it is NOT_FOUND (fault ManagedObjectNotFound). */
hf_code hf_properties_of(hf_vsphere *v, const hf_property_query *query, const hf_moref *objects, size_t count,
                         hf_object_fn each, void *ctx, hf_err *reterr);
/* The value of a property in an object's content; NULL where it is unset. */
xmlNode *hf_property(const xmlNode *object, const char *path);
