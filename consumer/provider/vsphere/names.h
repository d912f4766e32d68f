/* Names and parents of inventory objects, asked for once each and kept: inventory paths, hosts, port groups. At most HF_NAMES_MAX are
 * kept; past that all are forgotten and asked for anew. Belongs to one hf_vsphere. */
#pragma once
#include "consumer/provider/vsphere/client.h"

enum { HF_NAMES_MAX = 20000, HF_NAMES_DEPTH_MAX = 64 };

typedef struct hf_names hf_names;

void hf_names_free(hf_names *names);
/* The object's name; "" in a text of size bytes where it may not be read. Fails where the server cannot be asked. */
hf_code hf_names_of(hf_vsphere *v, const hf_moref *ref, char *to, size_t size, hf_err *reterr);
/* "/DC0/vm/web/" + name: the path of an object below `parent`; "" where a parent may not be read or the path is too long. */
hf_code hf_names_path(hf_vsphere *v, const hf_moref *parent, const char *name, char *to, size_t size, hf_err *reterr);
