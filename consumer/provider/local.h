/* Provider local: disk images that are files of this machine. */
#pragma once
#include "consumer/provider/provider.h"

hf_code hf_local_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret, hf_err *reterr);
