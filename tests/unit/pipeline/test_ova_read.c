/* Each way in which an appliance can be wrong or odd is found, and nothing else is found with it; every row of findings.def is
 * provoked by one of the cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "appliance_made.h"
#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/ova_read.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/mem.h"

#define ID(name) HF_FIND_##name
enum { NONE = -1, FOUND_MAX = 8 };

typedef struct bend {
    const char *what;
    enum { IN_OVF, IN_MANIFEST, BY_CODE } where;
    const char *from, *to;           /* an edit of the descriptor, or of the manifest */
    void (*code)(made_appliance *a); /* or anything */
    int found[FOUND_MAX];            /* hf_finding_id + 1, so that the rest is 0 */
} bend;

/* ---- code of cases ---------------------------------------------------------------------------------------- */
static made_file *disk_file(made_appliance *a) { return &a->files[2]; }
static void set_vmdk(made_appliance *a) {
    char was[64], is[64];
    snprintf(was, sizeof was, "ovf:size=\"%zu\"", disk_file(a)->len);
    snprintf(is, sizeof is, "ovf:size=\"%zu\"", a->vmdk.len);
    if (disk_file(a)->len != a->vmdk.len)
        made_edit(a->ovf, was, is);
    disk_file(a)->bytes = a->vmdk.bytes;
    disk_file(a)->len = a->vmdk.len;
}
static void named(made_appliance *a, const char *name) { made_add(a, name, "x", 1); }
static void typed(made_appliance *a, char type) { made_add(a, "link", NULL, 0)->type = type; }

static void sound(made_appliance *a) { (void)a; }
static void bad_sum(made_appliance *a) { disk_file(a)->bad_sum = true; }
static void no_number(made_appliance *a) { disk_file(a)->bare_size = true; }
static void bad_pax(made_appliance *a) { disk_file(a)->pax = "99 path=disk.vmdk\n"; }
static void global_path(made_appliance *a) {
    disk_file(a)->pax = "14 path=other\n";
    disk_file(a)->extended_type = 'g';
}
static void cut_off(made_appliance *a) {
    a->no_end = true;
    a->cut = 700;
}
static void beyond(made_appliance *a) { disk_file(a)->declared = INT64_MAX - 4096; }
static void no_end(made_appliance *a) { a->no_end = true; }
static void one_zero(made_appliance *a) { a->one_zero = true; }
static void trailing(made_appliance *a) {
    static uint8_t tail[9000];
    tail[8999] = 1;
    a->tail = tail;
    a->tail_len = sizeof tail;
}
static void zeros_behind(made_appliance *a) {
    static const uint8_t tail[9000];
    a->tail = tail;
    a->tail_len = sizeof tail;
}
static void with_pax(made_appliance *a) { disk_file(a)->pax = "18 path=disk.vmdk\n23 mtime=1350244992.02\n"; }
static void with_pax_name(made_appliance *a) {
    disk_file(a)->pax = "18 path=disk.vmdk\n";
    disk_file(a)->name = "another.vmdk";
    made_manifest(a);
    made_edit(a->manifest, "another.vmdk", "disk.vmdk");
}
static void global_comment(made_appliance *a) {
    disk_file(a)->pax = "20 comment=all good\n";
    disk_file(a)->extended_type = 'g';
}
static void gnu_long(made_appliance *a) { disk_file(a)->long_name = true; }
static void base256(made_appliance *a) { disk_file(a)->base256 = true; }
static void pax_sparse(made_appliance *a) {
    named(a, "sparse");
    a->files[3].pax = "22 GNU.sparse.major=1\n";
}
static void hard_link(made_appliance *a) { typed(a, '1'); }
static void symbolic_link(made_appliance *a) { typed(a, '2'); }
static void character_device(made_appliance *a) { typed(a, '3'); }
static void block_device(made_appliance *a) { typed(a, '4'); }
static void directory(made_appliance *a) { typed(a, '5'); }
static void fifo(made_appliance *a) { typed(a, '6'); }
static void gnu_sparse(made_appliance *a) { typed(a, 'S'); }
static void volume(made_appliance *a) { typed(a, 'V'); }
static void contiguous(made_appliance *a) { disk_file(a)->type = '7'; }
static void empty_name(made_appliance *a) { named(a, ""); }
static void long_name(made_appliance *a) {
    static char name[300];
    memset(name, 'n', sizeof name - 1);
    named(a, name);
    a->files[3].long_name = true;
    made_manifest(a);
    *strstr(a->manifest, "SHA256(nnn") = 0;
}
static void absolute(made_appliance *a) { named(a, "/etc/passwd"); }
static void parent(made_appliance *a) { named(a, "../disk.vmdk"); }
static void parent_inside(made_appliance *a) { named(a, "a/../../b"); }
static void only_parent(made_appliance *a) { named(a, ".."); }
static void in_directory(made_appliance *a) { named(a, "./x.iso"); }
static void dot(made_appliance *a) { named(a, "."); }
static void backslash(made_appliance *a) { named(a, "..\\x.iso"); }
static void with_nul(made_appliance *a) {
    made_file *f = made_add(a, "x.iso\0.txt", "x", 1);
    f->name_len = 10;
}
static void with_escape(made_appliance *a) { named(a, "x\033[2J.iso"); }
static void latin(made_appliance *a) { named(a, "\xe4.iso"); }
static void reserved(made_appliance *a) { named(a, ".hf-x"); }
static void same_name(made_appliance *a) { made_add(a, "disk.vmdk", a->vmdk.bytes, a->vmdk.len); }
static void same_folded_name(made_appliance *a) { made_add(a, "DISK.vmdk", a->vmdk.bytes, a->vmdk.len); }
static void drop_line(made_appliance *a, const char *name) {
    made_manifest(a);
    char needle[64];
    snprintf(needle, sizeof needle, "(%s)", name);
    char *at = strstr(a->manifest, needle), *end;
    assert_non_null(at);
    while (at > a->manifest && at[-1] != '\n')
        at--;
    end = strchr(at, '\n') + 1;
    memmove(at, end, strlen(end) + 1);
}
static void extra(made_appliance *a) {
    named(a, "extra.txt");
    drop_line(a, "extra.txt");
}
static void named_by_manifest(made_appliance *a) { named(a, "notes.txt"); }
static void missing(made_appliance *a) { disk_file(a)->name = NULL; }
static void ovf_second(made_appliance *a) {
    made_file f = a->files[0];
    a->files[0] = a->files[2];
    a->files[2] = a->files[1]; /* disk, OVF, manifest */
    a->files[1] = f;
}
static void manifest_last(made_appliance *a) {
    made_file f = a->files[1];
    a->files[1] = a->files[2];
    a->files[2] = f;
}
static void second_disk(made_appliance *a) {
    made_edit(a->ovf, " </References>", "  <File ovf:href=\"d2.iso\" ovf:id=\"f2\" ovf:size=\"3\"/>\n </References>");
    made_add(a, "d2.iso", "iso", 3);
}
static void manifest_between(made_appliance *a) {
    second_disk(a);
    made_file f = a->files[1];
    a->files[1] = a->files[2];
    a->files[2] = f;
}
static void files_swapped(made_appliance *a) {
    second_disk(a);
    made_file f = a->files[3];
    a->files[3] = a->files[2];
    a->files[2] = f;
}
static void no_ovf(made_appliance *a) { a->files[0].name = NULL; }
static void two_ovfs(made_appliance *a) {
    made_add(a, "second.ovf", "<Envelope/>", 11);
    drop_line(a, "second.ovf");
}
static void huge_ovf(made_appliance *a) {
    static char text[HF_OVF_READ_MAX + 1];
    memset(text, ' ', sizeof text);
    a->files[0].bytes = text;
    a->files[0].len = sizeof text;
}
static void many_files(made_appliance *a) {
    size_t at = (size_t)(strstr(a->ovf, " </References>") - a->ovf);
    char rest[8192];
    snprintf(rest, sizeof rest, "%s", a->ovf + at);
    for (int i = 0; i < HF_OVF_FILES_MAX; i++)
        at += (size_t)sprintf(a->ovf + at, "<File href=\"x%d/\" id=\"x%d\" size=\"1\"/>\n", i, i);
    strcpy(a->ovf + at, rest);
}
static void another_root(made_appliance *a) {
    made_edit(a->ovf, "<Envelope", "<Envelop2");
    made_edit(a->ovf, "</Envelope>", "</Envelop2>");
}
static void no_system(made_appliance *a) {
    made_edit(a->ovf, "<VirtualSystem ", "<Other ");
    made_edit(a->ovf, "</VirtualSystem>", "</Other>");
}
static void collection(made_appliance *a) {
    made_edit(a->ovf, "<VirtualSystem ", "<VirtualSystemCollection ovf:id=\"c\"><VirtualSystem ");
    made_edit(a->ovf, "</VirtualSystem>", "</VirtualSystem></VirtualSystemCollection>");
}
static void property(made_appliance *a) {
    char was[64];
    snprintf(was, sizeof was, "capacity=\"%lld\"", (long long)a->vmdk.capacity_sectors);
    made_edit(a->ovf, was, "capacity=\"${disk}\"");
}
static void no_manifest(made_appliance *a) { a->files[1].name = NULL; }
static void two_manifests(made_appliance *a) { made_add(a, "other.mf", "", 0); }
static void huge_manifest(made_appliance *a) {
    static char text[HF_MANIFEST_READ_MAX + 1];
    memset(text, '\n', sizeof text);
    a->files[1].bytes = text;
    a->files[1].len = sizeof text;
}
static void other_manifest_name(made_appliance *a) { a->files[1].name = "manifest.mf"; }
static void crlf(made_appliance *a) { a->form = "%s(%s)= %s\r\n"; }
static void spaced(made_appliance *a) { a->form = "%s (%s) = %s\n"; }
static void sha1(made_appliance *a) { a->kind = HF_DIGEST_SHA1; }
static void sha512(made_appliance *a) { a->kind = HF_DIGEST_SHA512; }
static void mixed(made_appliance *a) {
    made_manifest(a);
    a->kind = HF_DIGEST_SHA512;
    made_manifest(a); /* both, for each file */
}
static void lines_twice(made_appliance *a) {
    made_manifest(a);
    made_manifest(a);
}
static void upper_case(made_appliance *a) {
    made_manifest(a);
    for (char *c = a->manifest; *c; c++)
        if (c > a->manifest && *c >= 'a' && *c <= 'f' && strchr("0123456789abcdefABCDEF ", c[-1]))
            *c = (char)(*c - 32);
}
static void certificate(made_appliance *a) {
    made_add(a, "vm.cert", "SHA256(vm.mf)= 00\n-----BEGIN CERTIFICATE-----\n", 45);
    made_file f = a->files[3];
    a->files[3] = a->files[2];
    a->files[2] = f;
}
static void two_certificates(made_appliance *a) {
    certificate(a);
    made_add(a, "b.cert", "x", 1);
}
static void changed_byte(made_appliance *a) {
    made_manifest(a);
    static uint8_t copy[MADE_STREAM_MAX];
    memcpy(copy, a->vmdk.bytes, a->vmdk.len);
    size_t grain = (size_t)a->vmdk.overhead * 512;
    copy[grain + 12 + hf_le32(copy + grain + 8)] ^= 1; /* padding behind a grain: no reader looks at it */
    disk_file(a)->bytes = copy;
}
static void not_vmdk(made_appliance *a) {
    static uint8_t other[65536];
    memcpy(other, "conectix", 8);
    a->vmdk.len = sizeof other;
    set_vmdk(a);
    disk_file(a)->bytes = other;
}
static void tiny_vmdk(made_appliance *a) {
    a->vmdk.len = 3;
    set_vmdk(a);
}
static uint8_t *first_grain(made_appliance *a) { return a->vmdk.bytes + (size_t)a->vmdk.overhead * 512; }
static void broken_vmdk(made_appliance *a) { memset(first_grain(a) + 12, 0xff, 2); /* the first grain's zlib header */ }
static void cut_vmdk(made_appliance *a) {
    a->vmdk.len -= 512;
    set_vmdk(a);
}
static void bad_grain(made_appliance *a) { /* its Adler-32 */
    first_grain(a)[12 + hf_le32(first_grain(a) + 8) - 1] ^= 0xff;
}
static void long_grain(made_appliance *a) { /* inside the sector's padding */
    uint32_t len = hf_le32(first_grain(a) + 8);
    assert_true((12 + len) % 512 != 0);
    hf_put_le32(first_grain(a) + 8, len + 1);
}
static void big_grains(made_appliance *a) { hf_put_le64(a->vmdk.bytes + HF_VMDK_AT_GRAIN_SIZE, 256); }
static void padded_vmdk(made_appliance *a) {
    memset(a->vmdk.bytes + a->vmdk.len, 0, 512);
    a->vmdk.len += 512;
    set_vmdk(a);
}
static void tables_first(made_appliance *a) {
    static uint8_t stream[MADE_STREAM_MAX];
    int disk = made_disk(1 << 20, 3), vmdk = made_by_qemu(disk, "raw", "vmdk", "subformat=streamOptimized");
    struct stat st;
    assert_int_equal(fstat(vmdk, &st), 0);
    assert_int_equal(pread(vmdk, stream, sizeof stream, 0), st.st_size);
    close(disk);
    close(vmdk);
    memcpy(a->vmdk.bytes, stream, (size_t)st.st_size);
    a->vmdk.len = (size_t)st.st_size;
    char was[64];
    snprintf(was, sizeof was, "capacity=\"%lld\"", (long long)a->vmdk.capacity_sectors);
    made_edit(a->ovf, was, "capacity=\"2048\"");
    set_vmdk(a);
}

static uint8_t gzipped[MADE_STREAM_MAX];
static void gzip(made_appliance *a) {
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    made_edit(a->ovf, "ovf:id=\"f1\"", "ovf:id=\"f1\" ovf:compression=\"gzip\"");
    size_t len = libdeflate_gzip_compress(c, a->vmdk.bytes, a->vmdk.len, gzipped, sizeof gzipped);
    libdeflate_free_compressor(c);
    assert_true(len > 0);
    memcpy(a->vmdk.bytes, gzipped, len);
    a->vmdk.len = len;
    set_vmdk(a);
}
static void gzip_of_size_inflated(made_appliance *a) {
    char is[64], was[64];
    size_t plain = a->vmdk.len;
    gzip(a);
    snprintf(was, sizeof was, "ovf:size=\"%zu\"", a->vmdk.len);
    snprintf(is, sizeof is, "ovf:size=\"%zu\"", plain);
    made_edit(a->ovf, was, is);
}
static void gzip_cut(made_appliance *a) {
    gzip(a);
    a->vmdk.len -= 20;
    set_vmdk(a);
}
static void gzip_garbage(made_appliance *a) {
    gzip(a);
    a->vmdk.bytes[a->vmdk.len] = 'x';
    a->vmdk.len += 1;
    set_vmdk(a);
}

enum { CHUNK = 8192 };
static void chunk(made_appliance *a) {
    static char names[16][32];
    size_t count = (a->vmdk.len + CHUNK - 1) / CHUNK;
    assert_in_range(count, 2, 16);
    made_edit(a->ovf, "ovf:id=\"f1\"", "ovf:id=\"f1\" ovf:chunkSize=\"8192\"");
    a->count = 2;
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "disk.vmdk.%09zu", i);
        made_add(a, names[i], a->vmdk.bytes + i * CHUNK, i + 1 < count ? CHUNK : a->vmdk.len - i * CHUNK);
    }
}
static void chunk_missing(made_appliance *a) {
    chunk(a);
    a->files[a->count - 1].name = NULL;
}
static void chunks_moved(made_appliance *a) {
    chunk(a);
    made_file f = a->files[2];
    a->files[2] = a->files[3];
    a->files[3] = f;
}
static void chunk_short(made_appliance *a) {
    chunk(a);
    a->files[2].len -= 512;
    a->files[3].bytes = (const uint8_t *)a->files[3].bytes - 512;
    a->files[3].len += 512;
}

static const bend bends[] = {
    {"sound", BY_CODE, .code = sound},
    /* the archive */
    {"a wrong sum", BY_CODE, .code = bad_sum,
     .found = {ID(TAR_HEADER) + 1, ID(MEMBER_MISSING) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"a size of letters", BY_CODE, .code = no_number,
     .found = {ID(TAR_HEADER) + 1, ID(MEMBER_MISSING) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"pax records that lie", BY_CODE, .code = bad_pax,
     .found = {ID(TAR_HEADER) + 1, ID(MEMBER_MISSING) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"a name for all", BY_CODE, .code = global_path,
     .found = {ID(TAR_HEADER) + 1, ID(MEMBER_MISSING) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"cut off", BY_CODE, .code = cut_off,
     .found = {ID(TAR_TRUNCATED) + 1, ID(MEMBER_MISSING) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"a size beyond", BY_CODE, .code = beyond,
     .found = {ID(TAR_TRUNCATED) + 1, ID(MEMBER_MISSING) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"no end", BY_CODE, .code = no_end, .found = {ID(TAR_NO_END) + 1}},
    {"half an end", BY_CODE, .code = one_zero, .found = {ID(TAR_NO_END) + 1}},
    {"data behind the end", BY_CODE, .code = trailing, .found = {ID(TAR_TRAILING) + 1}},
    {"zeros behind the end", BY_CODE, .code = zeros_behind},
    {"pax headers", BY_CODE, .code = with_pax, .found = {ID(TAR_EXTENDED) + 1}},
    {"a name in pax", BY_CODE, .code = with_pax_name, .found = {ID(TAR_EXTENDED) + 1}},
    {"a global comment", BY_CODE, .code = global_comment, .found = {ID(TAR_EXTENDED) + 1}},
    {"GNU long name", BY_CODE, .code = gnu_long, .found = {ID(TAR_EXTENDED) + 1}},
    {"base-256 size", BY_CODE, .code = base256},
    {"contiguous", BY_CODE, .code = contiguous},
    /* members */
    {"sparse by pax", BY_CODE, .code = pax_sparse,
     .found = {ID(TAR_EXTENDED) + 1, ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"hard link", BY_CODE, .code = hard_link, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"symbolic link", BY_CODE, .code = symbolic_link, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"character device", BY_CODE, .code = character_device, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"block device", BY_CODE, .code = block_device, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"directory", BY_CODE, .code = directory, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"FIFO", BY_CODE, .code = fifo, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"GNU sparse", BY_CODE, .code = gnu_sparse, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"volume", BY_CODE, .code = volume, .found = {ID(MEMBER_TYPE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"no name", BY_CODE, .code = empty_name, .found = {ID(NAME_EMPTY) + 1, ID(MANIFEST_SYNTAX) + 1}},
    {"long name", BY_CODE, .code = long_name, .found = {ID(NAME_LONG) + 1, ID(TAR_EXTENDED) + 1}},
    {"absolute", BY_CODE, .code = absolute, .found = {ID(NAME_ABSOLUTE) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"..", BY_CODE, .code = only_parent, .found = {ID(NAME_PARENT) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"../", BY_CODE, .code = parent, .found = {ID(NAME_PARENT) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"/../", BY_CODE, .code = parent_inside, .found = {ID(NAME_PARENT) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"./", BY_CODE, .code = in_directory, .found = {ID(NAME_DIRECTORY) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {".", BY_CODE, .code = dot, .found = {ID(NAME_DIRECTORY) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"\\", BY_CODE, .code = backslash, .found = {ID(NAME_BACKSLASH) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"NUL", BY_CODE, .code = with_nul, .found = {ID(NAME_CONTROL) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"escape", BY_CODE, .code = with_escape, .found = {ID(NAME_CONTROL) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"not UTF-8", BY_CODE, .code = latin, .found = {ID(NAME_ENCODING) + 1}},
    {"reserved", BY_CODE, .code = reserved, .found = {ID(NAME_RESERVED) + 1, ID(MANIFEST_UNKNOWN) + 1}},
    {"twice", BY_CODE, .code = same_name,
     .found = {ID(NAME_DUPLICATE) + 1, ID(MEMBER_EXTRA) + 1, ID(MANIFEST_TWICE) + 1}},
    {"twice but for case", BY_CODE, .code = same_folded_name, .found = {ID(NAME_DUPLICATE) + 1}},
    {"a stranger", BY_CODE, .code = extra, .found = {ID(MEMBER_EXTRA) + 1}},
    {"named by the manifest", BY_CODE, .code = named_by_manifest},
    {"a file less", BY_CODE, .code = missing, .found = {ID(MEMBER_MISSING) + 1}},
    {"OVF second", BY_CODE, .code = ovf_second, .found = {ID(ORDER_OVF) + 1}},
    {"manifest last", BY_CODE, .code = manifest_last},
    {"manifest between", BY_CODE, .code = manifest_between, .found = {ID(ORDER_MANIFEST) + 1, ID(FILE_UNUSED) + 1}},
    {"files swapped", BY_CODE, .code = files_swapped, .found = {ID(ORDER_FILES) + 1, ID(FILE_UNUSED) + 1}},
    /* the descriptor */
    {"no OVF", BY_CODE, .code = no_ovf, .found = {ID(OVF_MISSING) + 1}},
    {"two OVFs", BY_CODE, .code = two_ovfs, .found = {ID(OVF_MANY) + 1}},
    {"huge OVF", BY_CODE, .code = huge_ovf, .found = {ID(OVF_SIZE) + 1}},
    {"not XML", IN_OVF, "</Envelope>", "</Envelop>", .found = {ID(OVF_PARSE) + 1}},
    {"doctype", IN_OVF, "<Envelope", "<!DOCTYPE Envelope [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<Envelope",
     .found = {ID(OVF_DOCTYPE) + 1}},
    {"another root", BY_CODE, .code = another_root, .found = {ID(OVF_ROOT) + 1}},
    {"no system", BY_CODE, .code = no_system, .found = {ID(OVF_SYSTEM) + 1}},
    {"a collection", BY_CODE, .code = collection, .found = {ID(OVF_COLLECTION) + 1}},
    {"many files", BY_CODE, .code = many_files, .found = {ID(OVF_LIMIT) + 1, ID(FILE_HREF) + 1, ID(FILE_UNUSED) + 1}},
    {"a section unknown", IN_OVF, "<NetworkSection>", "<BrandNewSection/><NetworkSection>",
     .found = {ID(OVF_SECTION) + 1}},
    {"a section not required", IN_OVF, "<NetworkSection>", "<NewSection ovf:required=\"false\"/><NetworkSection>",
     .found = {0}},
    {"a path", IN_OVF, "href=\"disk.vmdk\"", "href=\"../disk.vmdk\"", .found = {ID(FILE_HREF) + 1}},
    {"a URL", IN_OVF, "href=\"disk.vmdk\"", "href=\"http://a/disk.vmdk\"", .found = {ID(FILE_HREF) + 1}},
    {"no id", IN_OVF, "ovf:id=\"f1\" ", "", .found = {ID(FILE_ID) + 1, ID(DISK_FILE) + 1, ID(FILE_UNUSED) + 1}},
    {"an id twice", IN_OVF, "<References>", "<References><File href=\"a:/\" id=\"f1\" size=\"1\"/>",
     .found = {ID(FILE_ID) + 1, ID(FILE_HREF) + 1, ID(FILE_UNUSED) + 1}},
    {"a name twice", IN_OVF, "<References>", "<References><File href=\"Disk.vmdk\" id=\"f0\"/>",
     .found = {ID(FILE_HREF_TWICE) + 1, ID(FILE_SIZE_UNKNOWN) + 1, ID(MEMBER_MISSING) + 1, ID(FILE_UNUSED) + 1}},
    {"a size of letters", IN_OVF, "ovf:size=\"", "ovf:size=\"x",
     .found = {ID(FILE_ATTRIBUTE) + 1, ID(FILE_SIZE_UNKNOWN) + 1}},
    {"another size", IN_OVF, "ovf:size=\"", "ovf:size=\"1", .found = {ID(MEMBER_SIZE) + 1}},
    {"bzip2", IN_OVF, "ovf:id=\"f1\"", "ovf:id=\"f1\" ovf:compression=\"bzip2\"", .found = {ID(FILE_ATTRIBUTE) + 1}},
    {"a fileRef to nothing", IN_OVF, "fileRef=\"f1\"", "fileRef=\"f9\"",
     .found = {ID(DISK_FILE) + 1, ID(FILE_UNUSED) + 1}},
    {"capacity of letters", IN_OVF, "ovf:capacity=\"", "ovf:capacity=\"-", .found = {ID(DISK_CAPACITY) + 1}},
    {"capacity of all", IN_OVF, "ovf:capacity=\"", "ovf:capacity=\"99999999", .found = {ID(DISK_CAPACITY) + 1}},
    {"capacity in miles", IN_OVF, "byte * 2^9", "miles", .found = {ID(DISK_CAPACITY) + 1}},
    {"another capacity", IN_OVF, "ovf:capacity=\"", "ovf:capacity=\"1", .found = {ID(VMDK_CAPACITY) + 1}},
    {"a property", BY_CODE, .code = property, .found = {ID(DISK_PROPERTY) + 1}},
    {"a parent", IN_OVF, "ovf:diskId=\"d1\"", "ovf:diskId=\"d1\" ovf:parentRef=\"d0\"", .found = {ID(DISK_PARENT) + 1}},
    {"another format", IN_OVF, "vmdk.html#streamOptimized", "vmdk.html#sparse", .found = {ID(DISK_FORMAT) + 1}},
    /* manifest and certificate */
    {"no manifest", BY_CODE, .code = no_manifest, .found = {ID(MANIFEST_MISSING) + 1}},
    {"two manifests", BY_CODE, .code = two_manifests, .found = {ID(MANIFEST_MANY) + 1}},
    {"huge manifest", BY_CODE, .code = huge_manifest, .found = {ID(MANIFEST_SIZE) + 1}},
    {"another stem", BY_CODE, .code = other_manifest_name, .found = {ID(MANIFEST_NAME) + 1}},
    {"no sense", IN_MANIFEST, "(vm.ovf)=", "(vm.ovf):", .found = {ID(MANIFEST_SYNTAX) + 1, ID(MANIFEST_UNCOVERED) + 1}},
    {"short hash", IN_MANIFEST, "SHA256(vm.ovf)= ", "SHA256(vm.ovf)= 0",
     .found = {ID(MANIFEST_SYNTAX) + 1, ID(MANIFEST_UNCOVERED) + 1}},
    {"MD5", IN_MANIFEST, "SHA256(vm.ovf)", "MD5(vm.ovf)", .found = {ID(MANIFEST_KIND) + 1, ID(MANIFEST_UNCOVERED) + 1}},
    {"a name not there", IN_MANIFEST, "(disk.vmdk)", "(Disk.vmdk)",
     .found = {ID(MANIFEST_UNKNOWN) + 1, ID(MANIFEST_UNCOVERED) + 1}},
    {"another byte", BY_CODE, .code = changed_byte, .found = {ID(MANIFEST_DIGEST) + 1}},
    {"every line twice", BY_CODE, .code = lines_twice, .found = {ID(MANIFEST_TWICE) + 1}},
    {"CR LF", BY_CODE, .code = crlf, .found = {ID(MANIFEST_CRLF) + 1}},
    {"OpenSSL's form", BY_CODE, .code = spaced, .found = {ID(MANIFEST_FORM) + 1}},
    {"SHA-1", BY_CODE, .code = sha1, .found = {ID(MANIFEST_WEAK) + 1}},
    {"SHA-512", BY_CODE, .code = sha512},
    {"two kinds", BY_CODE, .code = mixed, .found = {ID(MANIFEST_MIXED) + 1}},
    {"capital hex", BY_CODE, .code = upper_case},
    {"a certificate", BY_CODE, .code = certificate, .found = {ID(CERT_UNVERIFIED) + 1}},
    {"two certificates", BY_CODE, .code = two_certificates, .found = {ID(CERT_UNVERIFIED) + 1, ID(CERT_MANY) + 1}},
    /* files and disks */
    {"gzip", BY_CODE, .code = gzip, .found = {ID(FILE_GZIP) + 1}},
    {"gzip, its size inflated", BY_CODE, .code = gzip_of_size_inflated, .found = {ID(FILE_GZIP) + 1}},
    {"gzip cut", BY_CODE, .code = gzip_cut, .found = {ID(FILE_GZIP) + 1, ID(GZIP_DAMAGED) + 1}},
    {"gzip and garbage", BY_CODE, .code = gzip_garbage, .found = {ID(FILE_GZIP) + 1, ID(GZIP_DAMAGED) + 1}},
    {"chunks", BY_CODE, .code = chunk, .found = {ID(FILE_CHUNKED) + 1}},
    {"chunks in another order", BY_CODE, .code = chunks_moved, .found = {ID(FILE_CHUNKED) + 1, ID(ORDER_FILES) + 1}},
    {"a chunk less", BY_CODE, .code = chunk_missing,
     .found = {ID(FILE_CHUNKED) + 1, ID(MEMBER_MISSING) + 1, ID(MEMBER_SIZE) + 1, ID(VMDK_TRUNCATED) + 1}},
    {"a short chunk", BY_CODE, .code = chunk_short, .found = {ID(FILE_CHUNKED) + 1, ID(CHUNK_SIZE) + 1}},
    {"not a VMDK", BY_CODE, .code = not_vmdk, .found = {ID(VMDK_KIND) + 1}},
    {"three bytes", BY_CODE, .code = tiny_vmdk, .found = {ID(VMDK_KIND) + 1}},
    {"a broken VMDK", BY_CODE, .code = broken_vmdk, .found = {ID(VMDK_STRUCTURE) + 1}},
    {"a cut VMDK", BY_CODE, .code = cut_vmdk, .found = {ID(VMDK_TRUNCATED) + 1}},
    {"a damaged grain", BY_CODE, .code = bad_grain, .found = {ID(VMDK_GRAIN) + 1}},
    {"a grain's size lies", BY_CODE, .code = long_grain, .found = {ID(VMDK_GRAIN_SIZE) + 1}},
    {"grains of 128 KiB", BY_CODE, .code = big_grains, .found = {ID(VMDK_UNREAD) + 1}},
    {"zeros behind the VMDK", BY_CODE, .code = padded_vmdk, .found = {ID(VMDK_PADDING) + 1}},
    {"qemu's VMDK", BY_CODE, .code = tables_first, .found = {ID(VMDK_TABLES_FIRST) + 1, ID(VMDK_PADDING) + 1}},
};

/* ---- running them --------------------------------------------------------------------------------------------- */
static void look(int fd, hf_findings *findings, hf_appliance **ret) {
    hf_flow flow;
    hf_err err = {0};
    hf_flow_init(&flow);
    hf_findings_init(findings);
    assert_int_equal(hf_appliance_open_archive(fd, findings, ret, &err), HF_OK);
    hf_code rc = hf_appliance_pass(*ret, &(hf_pass){.flags = HF_PASS_DEEP, .flow = &flow}, &err);
    if (rc != HF_OK)
        print_error("%s\n", err.detail);
    assert_int_equal(rc, HF_OK);
    hf_flow_done(&flow);
}

static bool expected(const bend *b, int id) {
    for (int i = 0; i < FOUND_MAX; i++)
        if (b->found[i] == id + 1)
            return true;
    return false;
}

static int run_bend(const bend *b, bool *provoked) {
    static made_appliance a;
    hf_appliance *appliance = NULL;
    hf_findings findings;
    int wrong = 0;
    made_appliance_begin(&a);
    if (b->where == IN_OVF)
        made_edit(a.ovf, b->from, b->to);
    else if (b->where == IN_MANIFEST) {
        made_manifest(&a);
        made_edit(a.manifest, b->from, b->to);
    } else
        b->code(&a);
    int fd = made_emit(&a);
    look(fd, &findings, &appliance);
    for (uint32_t i = 0; i < findings.count; i++)
        if (!expected(b, (int)findings.items[i].id)) {
            wrong++;
            print_error("%s: not expected: %s: %s: %s\n", b->what, hf_finding_name(findings.items[i].id),
                        findings.items[i].subject, findings.items[i].detail);
        }
    for (int i = 0; i < FOUND_MAX && b->found[i]; i++) {
        provoked[b->found[i] - 1] = true;
        if (!hf_findings_has(&findings, (hf_finding_id)(b->found[i] - 1))) {
            wrong++;
            print_error("%s: not found: %s\n", b->what, hf_finding_name((hf_finding_id)(b->found[i] - 1)));
        }
    }
    hf_appliance_free(appliance);
    hf_findings_done(&findings);
    close(fd);
    made_appliance_free(&a);
    return wrong;
}

static void too_many_members(bool *provoked) {
    static made_appliance a;
    static char names[16][16];
    hf_appliance *appliance = NULL;
    hf_findings findings;
    made_appliance_begin(&a);
    a.no_end = true;
    for (int i = 0; i < 16; i++) {
        snprintf(names[i], sizeof names[i], "m%02d", i);
        made_add(&a, names[i], "", 0);
    }
    int fd = made_emit(&a);
    struct stat st;
    uint8_t headers[16 * 512];
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, headers, sizeof headers, st.st_size - (off_t)sizeof headers), sizeof headers);
    for (int i = 0; i < HF_APPLIANCE_MEMBERS_MAX / 16; i++)
        assert_int_equal(pwrite(fd, headers, sizeof headers, st.st_size + i * (off_t)sizeof headers), sizeof headers);
    look(fd, &findings, &appliance);
    assert_true(hf_findings_has(&findings, HF_FIND_TAR_MEMBERS));
    assert_int_equal(appliance->member_count, HF_APPLIANCE_MEMBERS_MAX);
    assert_int_equal(findings.count, HF_FINDINGS_MAX);
    assert_true(findings.dropped > 0);
    provoked[HF_FIND_TAR_MEMBERS] = true;
    hf_appliance_free(appliance);
    hf_findings_done(&findings);
    close(fd);
    made_appliance_free(&a);
}

static void each_fault_is_found_and_nothing_else(void **state) {
    (void)state;
    bool provoked[HF_FIND_COUNT] = {false};
    int wrong = 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(bends); i++)
        wrong += run_bend(&bends[i], provoked);
    too_many_members(provoked);
    for (int i = 0; i < HF_FIND_COUNT; i++)
        if (!provoked[i]) {
            wrong++;
            print_error("no case provokes %s\n", hf_finding_name((hf_finding_id)i));
        }
    assert_int_equal(wrong, 0);
}

static void what_a_descriptor_says(void **state) {
    (void)state;
    static made_appliance a;
    hf_appliance *appliance = NULL;
    hf_findings findings;
    made_appliance_begin(&a);
    int fd = made_emit(&a);
    look(fd, &findings, &appliance);
    const hf_machine *m = &appliance->ovf->machine;
    assert_string_equal(m->name, "Web & more");
    assert_string_equal(m->os_type, "debian12_64Guest");
    assert_string_equal(m->os_name, "Debian 12");
    assert_int_equal(m->cpus, 4);
    assert_int_equal(m->cores_per_socket, 2);
    assert_int_equal(m->memory_mb, 8192);
    assert_int_equal(m->firmware, HF_FIRMWARE_EFI);
    assert_true(m->secure_boot && m->cdrom && !m->floppy);
    assert_int_equal(m->hardware_version, 13);
    assert_int_equal(m->controller_count, 2);
    assert_int_equal(m->controllers[0].kind, HF_CTL_IDE);
    assert_int_equal(m->controllers[1].kind, HF_CTL_PVSCSI);
    assert_int_equal(m->nic_count, 1);
    assert_string_equal(m->nics[0].model, "VmxNet3");
    assert_string_equal(m->nics[0].network, "lan");
    assert_string_equal(m->nics[0].mac, "00:50:56:00:00:01");
    assert_int_equal(appliance->ovf->disk_count, 1);
    assert_int_equal(appliance->ovf->disks[0].capacity_bytes, a.vmdk.capacity_sectors * 512);
    assert_int_equal(appliance->ovf->disks[0].place.controller, 1);
    assert_int_equal(appliance->ovf->disks[0].place.unit, 3);
    assert_int_equal(appliance->summaries[0].grains, 4);
    assert_string_equal(appliance->ovf->sections,
                        "DiskSection NetworkSection OperatingSystemSection VirtualHardwareSection ");
    for (uint32_t i = 0; i < appliance->member_count; i++)
        assert_true(appliance->members[i].hashed && appliance->members[i].verified == (i != 1));
    hf_appliance_free(appliance);
    hf_findings_done(&findings);
    close(fd);
    made_appliance_free(&a);
}

static void a_long_name_is_cut_between_characters(void **state) {
    (void)state;
    char text[1024] = "<Envelope><VirtualSystem><Name>x";
    hf_ovf_document *d = NULL;
    for (int i = 0; i < 200; i++)
        strcat(text, "\xc3\xa9");
    strcat(text, "</Name></VirtualSystem></Envelope>");
    assert_int_equal(hf_ovf_read(hf_str_of(text), "x.ovf", NULL, &d, NULL), HF_OK);
    assert_int_equal(strlen(d->machine.name), 255);
    hf_ovf_document_free(d);
    memmove(strstr(text, "x\xc3"), strstr(text, "x\xc3") + 1, strlen(strstr(text, "x\xc3")));
    assert_int_equal(hf_ovf_read(hf_str_of(text), "x.ovf", NULL, &d, NULL), HF_OK);
    assert_int_equal(strlen(d->machine.name), 254);
    hf_ovf_document_free(d);
}

static void units_of_capacity(void **state) {
    (void)state;
    static const struct {
        const char *units;
        int64_t bytes;
    } cases[] = {{"", 1},
                 {"byte", 1},
                 {"bytes", 1},
                 {"byte * 2^20", 1 << 20},
                 {"byte*2^30", 1 << 30},
                 {"byte * 10^6", 1000000},
                 {"byte * 1024", 1024},
                 {"byte * 2 ^ 10", 1024},
                 {"MegaBytes", 1 << 20},
                 {"GigaBytes", 1 << 30},
                 {"gb", 1 << 30},
                 {"hertz * 10^6", 0},
                 {"2^20", 0},
                 {"byte * 2^99", 0},
                 {"byte * 0", 0},
                 {"byte * 9999^99", 0}};
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++)
        assert_int_equal(hf_ovf_unit_bytes(cases[i].units), cases[i].bytes);
}

/* A file past 8 GiB, in a sparse archive: sizes in base-256 and by pax; nothing behind it is mistaken. */
static void nine_gibibytes(void **state) {
    (void)state;
    const int64_t size = (int64_t)9 << 30;
    static made_appliance a;
    made_appliance_begin(&a);
    a.no_end = true;
    made_add(&a, "big.iso", "", 0)->declared = size;
    a.files[3].base256 = true;
    int fd = made_emit(&a);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(ftruncate(fd, st.st_size + size + 1024), 0);
    hf_findings findings;
    hf_appliance *appliance = NULL;
    hf_findings_init(&findings);
    assert_int_equal(hf_appliance_open_archive(fd, &findings, &appliance, NULL), HF_OK);
    assert_int_equal(appliance->member_count, 4);
    assert_int_equal(appliance->members[3].size_bytes, size);
    assert_int_equal(hf_findings_errors(&findings), 0);
    assert_false(hf_findings_has(&findings, HF_FIND_TAR_NO_END));
    hf_appliance_free(appliance);
    hf_findings_done(&findings);
    close(fd);
    made_appliance_free(&a);
}

/* Any allocation may fail: an error, and nothing leaks. */
static void memory_runs_out(void **state) {
    (void)state;
    static made_appliance a;
    made_appliance_begin(&a);
    chunk(&a);
    int fd = made_emit(&a), succeeded = 0;
    for (uint64_t n = 1; n < 200 && !succeeded; n++) {
        hf_findings findings;
        hf_appliance *appliance = NULL;
        hf_flow flow;
        hf_err err = {0};
        hf_flow_init(&flow);
        hf_findings_init(&findings);
        hf_alloc_fail_after(n);
        hf_code rc = hf_appliance_open_archive(fd, &findings, &appliance, &err);
        if (rc == HF_OK)
            rc = hf_appliance_pass(appliance, &(hf_pass){.flow = &flow}, &err);
        hf_alloc_fail_after(0);
        assert_true(rc == HF_OK || rc == HF_E_NO_MEMORY);
        succeeded = rc == HF_OK && findings.dropped == 0;
        hf_appliance_free(appliance);
        hf_findings_done(&findings);
        hf_flow_done(&flow);
    }
    assert_true(succeeded);
    close(fd);
    made_appliance_free(&a);
}

static void a_pipe_is_refused(void **state) {
    (void)state;
    int ends[2];
    hf_findings findings;
    hf_appliance *appliance = NULL;
    hf_err err = {0};
    assert_int_equal(pipe(ends), 0);
    hf_findings_init(&findings);
    assert_int_equal(hf_appliance_open_archive(ends[0], &findings, &appliance, &err), HF_E_UNSUPPORTED);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_found_and_nothing_else),
        cmocka_unit_test(what_a_descriptor_says),
        cmocka_unit_test(a_long_name_is_cut_between_characters),
        cmocka_unit_test(units_of_capacity),
        cmocka_unit_test(nine_gibibytes),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(a_pipe_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
