#include "consumer/provider/provider.h"

#include "consumer/provider/local.h"
#include "consumer/provider/vsphere/vsphere.h"
#include "schemas/base/mem.h"

static const hf_provider providers[] = {
#define HF_PROVIDER(name, function) {name, function},
#include "consumer/provider/providers.def"
#undef HF_PROVIDER
};

const hf_provider *hf_providers(size_t *ret_count) {
    *ret_count = HF_ARRAY_LEN(providers);
    return providers;
}

const hf_provider *hf_provider_find(hf_str name) {
    if (name.len == 0)
        return &providers[0];
    for (size_t i = 0; i < HF_ARRAY_LEN(providers); i++)
        if (hf_str_eqz(name, providers[i].name))
            return &providers[i];
    return NULL;
}

hf_code hf_vm_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret, hf_err *reterr) {
    const hf_provider *provider = hf_provider_find(spec->provider);
    if (!provider)
        return hf_fail(reterr, HF_E_NOT_BUILT, "provider %.*s: this build has local and vsphere",
                       HF_STR_ARG(spec->provider));
    return provider->open(spec, opener, flow, ret, reterr);
}

void hf_vm_close(hf_vm *vm) {
    if (vm->release)
        vm->release(vm, vm->ended_well);
    vm->release = NULL;
    for (uint32_t i = 0; vm->disks && i < vm->disk_count; i++)
        hf_source_close(vm->disks[i].source);
    free(vm->disks);
    vm->disks = NULL;
    vm->disk_count = 0;
}
