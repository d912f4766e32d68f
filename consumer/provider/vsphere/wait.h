/* Waiting for an object's properties to become what is wanted: a property collector of its own, a filter, WaitForUpdatesEx. Long waits
 * are many short ones; a collector that is lost (the session ended, the connection broke) is made anew, a few times. */
#pragma once
#include "consumer/provider/vsphere/properties.h"

typedef struct hf_wait {
    const char *type;
    const char *const *paths;
    size_t path_count;
    int64_t timeout_ms;
    /* Gets each property as it comes, at first all that are set; val NULL: unset. */
    hf_code (*change)(void *ctx, const char *path, const xmlNode *val, hf_err *reterr);
    /* Behind each update; *ret_done ends the wait, an error as well. */
    hf_code (*judge)(void *ctx, bool *ret_done, hf_err *reterr);
    void *ctx;
} hf_wait;

/* TIMEOUT once timeout_ms is over. */
hf_code hf_wait_for(hf_vsphere *v, const hf_moref *object, const hf_wait *wait, hf_err *reterr);
