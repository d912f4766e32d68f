/* HttpNfcLeaseInfo and HttpNfcLeaseManifestEntry. */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "consumer/provider/vsphere/hardware.h"
#include "consumer/provider/vsphere/lease_inside.h"

hf_code hf_lease_url(const hf_endpoint *e, hf_str url, char to[HF_LEASE_URL_MAX], hf_err *reterr) {
    hf_str scheme = HF_STR("https://");
    if (url.len <= scheme.len || strncasecmp(url.p, scheme.p, scheme.len) != 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "the lease has a URL that is not https: %.*s",
                       (int)(url.len < 100 ? url.len : 100), url.p ? url.p : "");
    hf_str rest = {url.p + scheme.len, url.len - scheme.len};
    int n;
    if (rest.p[0] != '*')
        n = snprintf(to, HF_LEASE_URL_MAX, "%.*s", HF_STR_ARG(url));
    else if (rest.len > 1 && rest.p[1] == ':')
        n = snprintf(to, HF_LEASE_URL_MAX, "https://%.*s%.*s", (int)(strrchr(e->authority, ':') - e->authority),
                     e->authority, (int)rest.len - 1, rest.p + 1);
    else
        n = snprintf(to, HF_LEASE_URL_MAX, "https://%s%.*s", e->authority, (int)rest.len - 1, rest.p + 1);
    return n > 0 && n < HF_LEASE_URL_MAX
               ? HF_OK
               : hf_fail(reterr, HF_E_LIMIT, "the lease has a URL of more than %d bytes", HF_LEASE_URL_MAX - 1);
}

/* The endpoint's own trust for the endpoint itself, where it verifies; for other hosts the thumbprint vSphere knows them by. */
static void choose_trust(const hf_endpoint *e, hf_str thumbprint, hf_lease_file *f) {
    char own[sizeof e->authority + 16];
    snprintf(own, sizeof own, "https://%s/", e->authority);
    f->tls = e->tls;
    if (!e->tls.insecure && strncasecmp(f->url, own, strlen(own)) == 0)
        return;
    hf_tls_trust pinned = {0};
    if (thumbprint.len && hf_tls_pin_parse(thumbprint, pinned.pin, &pinned.pin_len))
        f->tls = pinned;
}

/* ---- which disk it is -------------------------------------------------------------------------------------------- */
/* "/vm-49/VirtualLsiLogicController0:2": controller, its bus, the unit on it. */
static bool split_key(const char *key, hf_str *type, int32_t *bus, int32_t *unit) {
    const char *last = strrchr(key, '/');
    last = last ? last + 1 : key;
    const char *colon = strrchr(last, ':'), *digits = colon;
    while (digits && digits > last && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (!colon || digits == colon || digits == last || colon - digits > 4 || strlen(colon) > 5)
        return false;
    *type = (hf_str){last, (uint32_t)(digits - last)};
    *bus = (int32_t)strtol(digits, NULL, 10);
    *unit = (int32_t)strtol(colon + 1, NULL, 10);
    return true;
}

static int32_t disk_of_key(const hf_vsphere_vm *vm, const char *key) {
    hf_str type;
    int32_t bus = 0, unit = 0;
    if (!split_key(key, &type, &bus, &unit))
        return -1;
    hf_controller_kind kind = hf_hardware_controller(type);
    for (uint32_t i = 0; i < vm->disk_count; i++) {
        hf_machine_place p = vm->disks[i].place;
        const hf_machine_controller *c = p.controller >= 0 ? &vm->machine.controllers[p.controller] : NULL;
        if (c && c->kind == kind && c->bus == bus && p.unit == unit)
            return (int32_t)i;
    }
    return -1;
}

/* Where keys say nothing that fits the VM, the order does, if the numbers agree. */
static void match_disks(const hf_vsphere_vm *vm, hf_lease *lease) {
    uint32_t disks = 0, exported = 0, matched = 0;
    for (uint32_t i = 0; i < lease->file_count; i++) {
        hf_lease_file *f = &lease->files[i];
        f->device = f->disk ? disk_of_key(vm, f->key) : -1;
        disks += f->disk;
        matched += f->device >= 0;
    }
    for (uint32_t i = 0; i < vm->disk_count; i++)
        exported += !vm->disks[i].left_out;
    if (matched == disks || (disks != vm->disk_count && disks != exported))
        return;
    int32_t next = 0;
    for (uint32_t i = 0; i < lease->file_count; i++) {
        if (!lease->files[i].disk)
            continue;
        while (disks != vm->disk_count && next < (int32_t)vm->disk_count && vm->disks[next].left_out)
            next++;
        lease->files[i].device = next++;
    }
}

/* ---- the info ------------------------------------------------------------------------------------------------------ */
static hf_code read_file(const hf_endpoint *e, const xmlNode *node, hf_lease_file *f, hf_err *reterr) {
    *f = (hf_lease_file){.device = -1, .manifest_bytes = -1, .capacity_bytes = -1, .populated_bytes = -1};
    if (!hf_xml_copy(hf_xml_child(node, "key"), f->key, sizeof f->key) ||
        !hf_xml_copy(hf_xml_child(node, "importKey"), f->import_key, sizeof f->import_key))
        return hf_fail(reterr, HF_E_LIMIT, "the lease has a file whose key has more than %zu bytes", sizeof f->key - 1);
    hf_xml_copy(hf_xml_child(node, "targetId"), f->target_id, sizeof f->target_id);
    const xmlNode *disk = hf_xml_child(node, "disk");
    f->disk = hf_xml_bool(disk, true); /* a disk unless said otherwise */
    f->size_bytes = hf_xml_int(hf_xml_child(node, "fileSize"), 0);
    f->size_bytes = f->size_bytes < 0 ? 0 : f->size_bytes;
    hf_code code = hf_lease_url(e, hf_xml_text(hf_xml_child(node, "url")), f->url, reterr);
    if (!code)
        choose_trust(e, hf_xml_text(hf_xml_child(node, "sslThumbprint")), f);
    return code;
}

hf_code hf_lease_read_info(const hf_endpoint *e, const hf_vsphere_vm *vm, const xmlNode *info, hf_lease *lease,
                           hf_err *reterr) {
    int64_t kib = hf_xml_int(hf_xml_child(info, "totalDiskCapacityInKB"), 0);
    int64_t seconds = hf_xml_int(hf_xml_child(info, "leaseTimeout"), 300);
    hf_code code = HF_OK;
    lease->file_count = 0;
    lease->total_capacity_bytes = kib > 0 && kib < INT64_MAX / 1024 ? kib * 1024 : 0;
    lease->timeout_ms = (seconds < 1 ? 1 : seconds > 86400 ? 86400 : seconds) * 1000;
    for (xmlNode *n = hf_xml_child(info, "deviceUrl"); n && !code; n = hf_xml_next(info, "deviceUrl", n)) {
        if (lease->file_count == HF_LEASE_FILES_MAX)
            return hf_fail(reterr, HF_E_LIMIT, "the lease has more than %d files", HF_LEASE_FILES_MAX);
        code = read_file(e, n, &lease->files[lease->file_count++], reterr);
    }
    if (!code && lease->file_count == 0)
        code = hf_fail(reterr, HF_E_PROTOCOL, "the lease is ready, and has no files");
    if (!code)
        match_disks(vm, lease);
    return code;
}

/* ---- the manifest ---------------------------------------------------------------------------------------------------- */
static void copy_hex(hf_str text, char *to, size_t size) {
    bool good = text.len == size - 1;
    for (uint32_t i = 0; good && i < text.len; i++) {
        char c = text.p[i];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        to[i] = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    }
    to[good ? size - 1 : 0] = 0;
}

static void take_entry(hf_lease *lease, const xmlNode *entry) {
    hf_str key = hf_xml_text(hf_xml_child(entry, "key")), type = hf_xml_text(hf_xml_child(entry, "checksumType"));
    for (uint32_t i = 0; i < lease->file_count; i++) {
        hf_lease_file *f = &lease->files[i];
        if (!hf_str_eqz(key, f->key))
            continue;
        f->manifest_bytes = hf_xml_int(hf_xml_child(entry, "size"), -1);
        f->capacity_bytes = hf_xml_int(hf_xml_child(entry, "capacity"), -1);
        f->populated_bytes = hf_xml_int(hf_xml_child(entry, "populatedSize"), -1);
        copy_hex(hf_xml_text(hf_xml_child(entry, "sha1")), f->sha1, sizeof f->sha1);
        if (hf_str_eqz(type, "sha256"))
            copy_hex(hf_xml_text(hf_xml_child(entry, "checksum")), f->sha256, sizeof f->sha256);
    }
}

hf_code hf_lease_manifest(hf_vsphere *v, hf_lease *lease, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "HttpNfcLeaseGetManifest", &lease->ref);
    hf_soap_end(body, "HttpNfcLeaseGetManifest");
    hf_code code = hf_lease_error(v, lease, hf_vsphere_ask(v, HF_SOAP_ANSWER_MAX, &answer, reterr), reterr);
    const xmlNode *r = answer.response;
    for (xmlNode *n = hf_xml_child(r, "returnval"); n && !code; n = hf_xml_next(r, "returnval", n))
        take_entry(lease, n);
    hf_soap_answer_done(&answer);
    return code;
}
