/* An export that asks what is in the guest ("inspect_guest": true), for the descriptor's operating system and firmware and the result's os_type. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/export.h"
#include "consumer/operation/guest/inspect.h"
#include "schemas/base/mem.h"

static const char *text(const json_t *guest, const char *name) {
    const char *value = json_string_value(json_object_get(guest, name));
    return value ? value : "";
}

static int number(const json_t *guest, const char *name) {
    return (int)json_integer_value(json_object_get(json_object_get(guest, "version"), name));
}

/* What the source did not know; what it knew stays. */
static void fill(hf_machine *m, const json_t *guest) {
    hf_guest_facts facts = {.type = text(guest, "type"),
                            .distro = text(guest, "distribution"),
                            .product = text(guest, "product"),
                            .arch = text(guest, "architecture"),
                            .major = number(guest, "major"),
                            .minor = number(guest, "minor")};
    if (!m->os_type[0] && hf_guest_id(&facts, m->os_type))
        snprintf(m->os_name, sizeof m->os_name, "%s", facts.product);
    if (m->firmware == HF_FIRMWARE_UNKNOWN && facts.type[0])
        m->firmware = strcmp(text(guest, "firmware"), "uefi") == 0 ? HF_FIRMWARE_EFI : HF_FIRMWARE_BIOS;
}

/* Of the guest's description what fits beside the disks'. */
static json_t *brief(const json_t *guest) {
    static const char *const names[] = {"type",         "distribution", "product",  "version",
                                        "architecture", "host_name",    "firmware", "kvm"};
    json_t *o = json_object();
    for (size_t i = 0; o && i < HF_ARRAY_LEN(names); i++)
        if (json_object_get(guest, names[i]))
            json_object_set(o, names[i], json_object_get(guest, names[i]));
    return o;
}

hf_code hf_export_inspect_guest(hf_export *x, const json_t *parameters, hf_err *reterr) {
    const json_t *asked = json_object_get(parameters, "inspect_guest");
    hf_result inside = {0};
    hf_str phase;
    if (asked && !json_is_boolean(asked))
        return hf_fail(reterr, HF_E_INVALID, "parameters.inspect_guest must be true or false");
    if (!json_is_true(asked) || x->open)
        return HF_OK;
    if (x->streams.on || (x->vm.disk_count > 0 && !x->vm.disks[0].source))
        return hf_fail(
            reterr, HF_E_UNSUPPORTED,
            "parameters.inspect_guest looks into disk images; of this VM its endpoint says what system it has");
    hf_report_phase(&x->reporter, "inspect");
    hf_code rc = hf_guest_inspect(x->run, &inside, &phase, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "parameters.inspect_guest");
    json_t *all = json_loadb(inside.report.p, inside.report.len, 0, NULL);
    const json_t *guest = json_object_get(all, "guest");
    fill(&x->vm.machine, guest);
    x->guest = brief(guest);
    json_decref(all);
    hf_report_phase(&x->reporter, "prepare");
    return x->guest ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "what is known of the guest");
}
