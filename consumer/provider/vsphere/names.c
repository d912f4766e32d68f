#include "consumer/provider/vsphere/names.h"

#include <stdio.h>
#include <uthash.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/properties.h"
#include "schemas/base/mem.h"

typedef struct entry {
    hf_moref ref; /* the key: zeroed before it is written */
    hf_moref parent;
    char name[256];
    UT_hash_handle hh;
} entry;

struct hf_names {
    entry *entries;
};

static void forget_all(hf_names *names) {
    entry *e, *next;
    HASH_ITER(hh, names->entries, e, next) {
        HASH_DEL(names->entries, e); /* NOLINT(clang-analyzer-unix.Malloc): of a list, not of what is freed */
        free(e);
    }
}

void hf_names_free(hf_names *names) {
    if (names)
        forget_all(names);
    free(names);
}

/* ---- asking ------------------------------------------------------------------------------------------------- */
static hf_code take(void *ctx, const xmlNode *object, hf_err *reterr) {
    entry *e = ctx;
    (void)reterr;
    hf_xml_copy(hf_property(object, "name"), e->name, sizeof e->name);
    if (!hf_xml_ref(hf_property(object, "parent"), &e->parent))
        hf_xml_ref(hf_property(object, "parentVApp"), &e->parent);
    return HF_OK;
}

/* One that may not be seen, or is gone, has no name. */
static hf_code ask(hf_vsphere *v, entry *e, hf_err *reterr) {
    static const char *const paths[] = {"name", "parent"};
    const hf_property_query query = {"ManagedEntity", paths, HF_ARRAY_LEN(paths)};
    const hf_property_query network = {e->ref.type, paths, 1};
    bool is_network = strstr(e->ref.type, "Network") || strstr(e->ref.type, "Portgroup");
    hf_code code = hf_properties_of(v, is_network ? &network : &query, &e->ref, 1, take, e, reterr);
    return code == HF_E_NOT_FOUND || code == HF_E_PERMISSION || code == HF_E_UNSUPPORTED ? HF_OK : code;
}

static hf_code find(hf_vsphere *v, const hf_moref *ref, const entry **ret, hf_err *reterr) {
    hf_moref key;
    memset(&key, 0, sizeof key);
    snprintf(key.type, sizeof key.type, "%s", ref->type);
    snprintf(key.value, sizeof key.value, "%s", ref->value);
    if (!v->names && !(v->names = hf_alloc(sizeof *v->names)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "names of the inventory");
    entry *e = NULL;
    HASH_FIND(hh, v->names->entries, &key, sizeof key, e);
    if (!e) {
        if (!(e = hf_alloc(sizeof *e)))
            return hf_fail(reterr, HF_E_NO_MEMORY, "names of the inventory");
        memcpy(&e->ref, &key, sizeof key);
        hf_code code = ask(v, e, reterr);
        if (code) {
            free(e);
            return code;
        }
        if (HASH_COUNT(v->names->entries) >= HF_NAMES_MAX)
            forget_all(v->names);
        HASH_ADD(hh, v->names->entries, ref, sizeof e->ref, e);
    }
    *ret = e;
    return HF_OK;
}

hf_code hf_names_of(hf_vsphere *v, const hf_moref *ref, char *to, size_t size, hf_err *reterr) {
    const entry *e = NULL;
    hf_code code = find(v, ref, &e, reterr);
    if (!code)
        snprintf(to, size, "%s", e->name);
    return code;
}

/* ---- paths -------------------------------------------------------------------------------------------------- */
/* Puts "/name" in front of what is in `to`; false where it does not fit. */
static bool put_in_front(const char *name, char *to, size_t size) {
    size_t n = strlen(name), have = strlen(to);
    if (n + have + 2 > size)
        return false;
    memmove(to + n + 1, to, have + 1);
    to[0] = '/';
    memcpy(to + 1, name, n);
    return true;
}

hf_code hf_names_path(hf_vsphere *v, const hf_moref *parent, const char *name, char *to, size_t size, hf_err *reterr) {
    hf_moref at = *parent;
    to[0] = 0;
    bool good = put_in_front(name, to, size);
    for (int depth = 0; good && at.value[0] && strcmp(at.value, v->session->content.root.value) != 0; depth++) {
        const entry *e = NULL;
        hf_code code = find(v, &at, &e, reterr);
        if (code)
            return code;
        good = e->name[0] && depth < HF_NAMES_DEPTH_MAX && put_in_front(e->name, to, size);
        at = e->parent;
    }
    if (!good || strcmp(at.value, v->session->content.root.value) != 0)
        to[0] = 0;
    return HF_OK;
}
