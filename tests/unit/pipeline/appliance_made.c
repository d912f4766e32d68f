#include "appliance_made.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/tar.h"

static const char ovf_text[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
    "  xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\"\n"
    "  xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData\"\n"
    "  xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n"
    " <References>\n"
    "  <File ovf:href=\"disk.vmdk\" ovf:id=\"f1\" ovf:size=\"%zu\"/>\n"
    " </References>\n"
    " <DiskSection><Info>Disks</Info>\n"
    "  <Disk ovf:capacity=\"%" PRId64
    "\" ovf:capacityAllocationUnits=\"byte * 2^9\" ovf:diskId=\"d1\" ovf:fileRef=\"f1\" "
    "ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>\n"
    " </DiskSection>\n"
    " <NetworkSection><Info>Networks</Info><Network ovf:name=\"lan\"/></NetworkSection>\n"
    " <VirtualSystem ovf:id=\"vm\"><Info>A machine</Info><Name>Web &amp; more</Name>\n"
    "  <OperatingSystemSection ovf:id=\"96\" vmw:osType=\"debian12_64Guest\"><Info/><Description>Debian 12</Description>"
    "</OperatingSystemSection>\n"
    "  <VirtualHardwareSection><Info/>\n"
    "   <System><vssd:ElementName>x</vssd:ElementName><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>\n"
    "   <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>"
    "<rasd:VirtualQuantity>4</rasd:VirtualQuantity><vmw:CoresPerSocket>2</vmw:CoresPerSocket></Item>\n"
    "   <Item><rasd:AllocationUnits>byte * 2^30</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>"
    "<rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>8</rasd:VirtualQuantity></Item>\n"
    "   <Item><rasd:AddressOnParent>3</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource>"
    "<rasd:InstanceID>9</rasd:InstanceID><rasd:Parent>5</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>\n"
    "   <Item><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceType>5</rasd:ResourceType></Item>\n"
    "   <Item><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>"
    "<rasd:ResourceType>6</rasd:ResourceType></Item>\n"
    "   <Item><rasd:Address>00:50:56:00:00:01</rasd:Address><rasd:Connection>lan</rasd:Connection>"
    "<rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>"
    "<rasd:ResourceType>10</rasd:ResourceType></Item>\n"
    "   <Item><rasd:InstanceID>8</rasd:InstanceID><rasd:ResourceType>15</rasd:ResourceType></Item>\n"
    "   <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>\n"
    "   <vmw:Config ovf:required=\"false\" vmw:key=\"bootOptions.efiSecureBootEnabled\" vmw:value=\"true\"/>\n"
    "  </VirtualHardwareSection>\n"
    " </VirtualSystem>\n"
    "</Envelope>\n";

void made_appliance_begin(made_appliance *a) {
    memset(a, 0, sizeof *a);
    made_small(&a->vmdk);
    a->kind = HF_DIGEST_SHA256;
    a->form = "%s(%s)= %s\n";
    snprintf(a->ovf, sizeof a->ovf, ovf_text, a->vmdk.len, a->vmdk.capacity_sectors);
    made_add(a, "vm.ovf", NULL, 0);
    made_add(a, "vm.mf", NULL, 0);
    made_add(a, "disk.vmdk", a->vmdk.bytes, a->vmdk.len);
}

void made_appliance_free(made_appliance *a) { made_free(&a->vmdk); }

made_file *made_add(made_appliance *a, const char *name, const void *bytes, size_t len) {
    assert_true(a->count < MADE_FILES_MAX);
    made_file *f = &a->files[a->count++];
    *f = (made_file){.name = name, .bytes = bytes, .len = len};
    return f;
}

void made_edit(char *text, const char *from, const char *to) {
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_null(strstr(at + 1, from));
    size_t rest = strlen(at + strlen(from));
    assert_true(strlen(text) + strlen(to) < MADE_TEXT_MAX);
    memmove(at + strlen(to), at + strlen(from), rest + 1);
    memcpy(at, to, strlen(to));
}

static bool ends(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n >= s && strcasecmp(name + n - s, suffix) == 0;
}

static void contents(const made_appliance *a, const made_file *f, const void **ret_bytes, size_t *ret_len) {
    bool ovf = !f->bytes && ends(f->name, ".ovf"), mf = !f->bytes && ends(f->name, ".mf");
    *ret_bytes = ovf ? a->ovf : mf ? a->manifest : f->bytes;
    *ret_len = ovf ? strlen(a->ovf) : mf ? strlen(a->manifest) : f->len;
}

void made_manifest(made_appliance *a) {
    for (int i = 0; i < a->count; i++) {
        const made_file *f = &a->files[i];
        const void *bytes;
        size_t len, had = strlen(a->manifest);
        char hex[HF_DIGEST_HEX_MAX];
        if (!f->name || ends(f->name, ".mf") || ends(f->name, ".cert"))
            continue;
        contents(a, f, &bytes, &len);
        assert_int_equal(hf_digest_bytes(a->kind, bytes ? bytes : "", len, hex, NULL), HF_OK);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(a->manifest + had, sizeof a->manifest - had, a->form, hf_digest_label(a->kind), f->name, hex);
#pragma GCC diagnostic pop
    }
}

static void put(int fd, const void *bytes, size_t len) {
    for (const char *p = bytes; len > 0;) {
        ssize_t n = write(fd, p, len);
        assert_true(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

static void put_padded(int fd, const void *bytes, size_t len) {
    static const char zeros[HF_TAR_BLOCK];
    put(fd, bytes, len);
    put(fd, zeros, (HF_TAR_BLOCK - len % HF_TAR_BLOCK) % HF_TAR_BLOCK);
}

static void put_header(int fd, const char *name, size_t name_len, char type, int64_t size, const made_file *f) {
    uint8_t block[HF_TAR_BLOCK];
    assert_int_equal(hf_tar_header("x", size, block, NULL), HF_OK);
    memset(block, 0, 100);
    memcpy(block, name, name_len < 100 ? name_len : 100);
    block[156] = (uint8_t)type;
    if (f && f->base256) {
        memset(block + 124, 0, 12);
        block[124] = 0x80;
        hf_put_be64(block + 128, (uint64_t)size);
    }
    if (f && f->bare_size)
        memcpy(block + 124, "twelve bytes", 12);
    memset(block + 148, ' ', 8);
    unsigned sum = f && f->bad_sum ? 1 : 0;
    for (int i = 0; i < HF_TAR_BLOCK; i++)
        sum += block[i];
    char text[8];
    snprintf(text, sizeof text, "%06o", sum & 0777777);
    memcpy(block + 148, text, 7);
    put(fd, block, sizeof block);
}

static void put_file(const made_appliance *a, int fd, const made_file *f) {
    const void *bytes;
    size_t len, name_len = f->name_len ? f->name_len : strlen(f->name);
    contents(a, f, &bytes, &len);
    if (f->pax) {
        put_header(fd, "PaxHeaders/x", 12, f->extended_type ? f->extended_type : 'x', (int64_t)strlen(f->pax), NULL);
        put_padded(fd, f->pax, strlen(f->pax));
    }
    if (f->long_name) {
        put_header(fd, "././@LongLink", 13, 'L', (int64_t)name_len + 1, NULL);
        put_padded(fd, f->name, name_len + 1);
    }
    put_header(fd, f->name, name_len, f->type ? f->type : '0', f->declared ? f->declared : (int64_t)len, f);
    put_padded(fd, bytes, len);
}

int made_emit(made_appliance *a) {
    static const char zeros[2 * HF_TAR_BLOCK];
    int fd = memfd_create("ova", MFD_CLOEXEC);
    assert_true(fd >= 0);
    if (!a->manifest[0])
        made_manifest(a);
    for (int i = 0; i < a->count; i++)
        if (a->files[i].name)
            put_file(a, fd, &a->files[i]);
    if (!a->no_end)
        put(fd, zeros, a->one_zero ? HF_TAR_BLOCK : sizeof zeros);
    put(fd, a->tail, a->tail_len);
    off_t size = lseek(fd, 0, SEEK_CUR);
    assert_int_equal(ftruncate(fd, size - a->cut), 0);
    return fd;
}
