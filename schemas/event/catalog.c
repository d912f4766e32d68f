#include "schemas/event/catalog.h"

#include <pthread.h>
#include <stdatomic.h>

#include "schemas/base/mem.h"

hf_code hf_catalog_new(const hf_schema_source *sources, size_t count, hf_catalog **ret, hf_err *reterr) {
    hf_catalog *catalog = hf_alloc(sizeof *catalog + count * sizeof *catalog->known);
    if (!catalog)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the catalogue of schemas");
    for (size_t i = 0; i < count; i++) {
        hf_schema schema = sources[i].schema;
        hf_known *known = &catalog->known[i];
        hf_code code =
            hf_plan_new(sources[i].text, hf_schema_type(schema), hf_schema_text(schema), &known->plan, reterr);
        if (code) {
            hf_catalog_free(catalog);
            return hf_context(reterr, "%s", hf_schema_name(schema)), code;
        }
        known->schema = schema;
        catalog->count = i + 1;
    }
    *ret = catalog;
    return HF_OK;
}

void hf_catalog_free(hf_catalog *catalog) {
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->count; i++)
        hf_plan_free(catalog->known[i].plan);
    free(catalog);
}

const hf_known *hf_catalog_find(const hf_catalog *catalog, uint64_t fingerprint) {
    for (size_t i = 0; i < catalog->count; i++)
        if (catalog->known[i].plan->fingerprint == fingerprint)
            return &catalog->known[i];
    return NULL;
}

hf_code hf_catalog_builtin(const hf_catalog **ret, hf_err *reterr) {
    static _Atomic(hf_catalog *) builtin;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    hf_catalog *catalog = atomic_load_explicit(&builtin, memory_order_acquire);
    hf_code code = HF_OK;
    if (!catalog) {
        pthread_mutex_lock(&lock);
        catalog = atomic_load_explicit(&builtin, memory_order_relaxed);
        if (!catalog) {
            size_t count;
            const hf_schema_source *sources = hf_schema_sources(&count);
            code = hf_catalog_new(sources, count, &catalog, reterr);
            if (code == HF_OK)
                atomic_store_explicit(&builtin, catalog, memory_order_release);
        }
        pthread_mutex_unlock(&lock);
    }
    if (code == HF_OK)
        *ret = catalog;
    return code;
}
