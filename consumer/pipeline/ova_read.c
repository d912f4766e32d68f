/* Opening an appliance: its members, from an archive's headers or from a directory. */
#include "consumer/pipeline/ova_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "consumer/pipeline/ova_read_inside.h"
#include "consumer/pipeline/tar_read.h"
#include "schemas/base/mem.h"

enum { DIRECTORY_SCAN_MAX = 100000 };

const char *hf_member_role_name(hf_member_role role) {
    static const char *const names[] = {"other", "ovf", "manifest", "cert", "file"};
    return names[role];
}

bool hf_name_ends(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcasecmp(name + n - s, suffix) == 0;
}

void hf_chunk_name(const hf_ovf_file *file, int64_t chunk, char *to, size_t size) {
    snprintf(to, size, "%s.%0*" PRId64, file->href, HF_OVF_CHUNK_DIGITS, chunk);
}

/* ---- members --------------------------------------------------------------------------------------------- */
static bool has_control(const char *name, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return true;
    return false;
}

static bool has_parent(const char *name) {
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0))
            return true;
    }
    return false;
}

/* What is wrong with a name; HF_FIND_COUNT: nothing. */
static hf_finding_id fault_of_name(const char *name, size_t len) {
    if (len == 0)
        return HF_FIND_NAME_EMPTY;
    if (has_control(name, len))
        return HF_FIND_NAME_CONTROL;
    if (name[0] == '/')
        return HF_FIND_NAME_ABSOLUTE;
    if (has_parent(name))
        return HF_FIND_NAME_PARENT;
    if (strchr(name, '/') || strcmp(name, ".") == 0)
        return HF_FIND_NAME_DIRECTORY;
    if (strchr(name, '\\'))
        return HF_FIND_NAME_BACKSLASH;
    if (len > HF_MEMBER_NAME_MAX)
        return HF_FIND_NAME_LONG;
    return strncmp(name, ".hf-", 4) == 0 ? HF_FIND_NAME_RESERVED : HF_FIND_COUNT;
}

static hf_code grow(hf_appliance *a, hf_err *reterr) {
    if (a->member_count < a->member_room)
        return HF_OK;
    uint32_t room = a->member_room ? 2 * a->member_room : 16;
    hf_member *members = hf_realloc(a->members, room * sizeof *members);
    if (!members)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of members");
    a->members = members;
    a->member_room = room;
    return HF_OK;
}

hf_code hf_appliance_add(hf_appliance *a, const char *name, size_t name_len, hf_member **ret, hf_err *reterr) {
    char shown[HF_MEMBER_NAME_MAX + 1];
    hf_code rc = grow(a, reterr);
    if (rc != HF_OK)
        return rc;
    hf_member *m = &a->members[a->member_count++];
    *m = (hf_member){.file = -1, .chunk = -1, .line = -1};
    hf_printable(shown, sizeof shown, name, name_len);
    hf_finding_id fault = fault_of_name(name, name_len);
    if (fault != HF_FIND_COUNT) {
        m->refused = true;
        snprintf(m->name, sizeof m->name, "%s", shown);
        hf_finding_add(a->findings, fault, m->name, "the name \"%s\"", shown);
    } else {
        memcpy(m->name, name, name_len);
        if (strcmp(shown, m->name) != 0)
            hf_finding_add(a->findings, HF_FIND_NAME_ENCODING, shown, "the name \"%s\"", shown);
    }
    *ret = m;
    return HF_OK;
}

/* ---- an archive ---------------------------------------------------------------------------------------------- */
static const char *type_name(char type) {
    switch (type) {
    case '1': return "a hard link";
    case '2': return "a symbolic link";
    case '3': return "a character device";
    case '4': return "a block device";
    case '5': return "a directory";
    case '6': return "a FIFO";
    case 'S': return "a sparse file";
    default: return "of a type unknown to USTAR";
    }
}

static hf_code take_entry(hf_appliance *a, const hf_tar_entry *e, hf_err *reterr) {
    hf_member *m;
    hf_code rc = hf_appliance_add(a, e->name, e->name_len, &m, reterr);
    if (rc != HF_OK)
        return rc;
    m->header_at = e->header_at;
    m->base = e->base;
    m->size_bytes = e->size_bytes;
    if (e->type != '0') {
        m->refused = true;
        hf_finding_add(a->findings, HF_FIND_MEMBER_TYPE, m->name, "it is %s", type_name(e->type));
    }
    return HF_OK;
}

static hf_code read_headers(hf_appliance *a, hf_err *reterr) {
    hf_tar_reader reader;
    bool more = true;
    hf_auto_free hf_tar_entry *entry = hf_alloc(sizeof *entry);
    hf_code rc = entry ? hf_tar_reader_init(&reader, a->fd, a->id.size_bytes, a->findings, reterr)
                       : hf_fail(reterr, HF_E_NO_MEMORY, "an archive's header");
    if (rc != HF_OK)
        return rc;
    while (rc == HF_OK && (rc = hf_tar_reader_next(&reader, entry, &more, reterr)) == HF_OK && more) {
        if (a->member_count == HF_APPLIANCE_MEMBERS_MAX) {
            hf_finding_add(a->findings, HF_FIND_TAR_MEMBERS, NULL, "at most %d are read", HF_APPLIANCE_MEMBERS_MAX);
            break;
        }
        rc = take_entry(a, entry, reterr);
    }
    hf_tar_reader_done(&reader);
    return rc;
}

static hf_code appliance_new(int fd, hf_findings *findings, hf_appliance **ret, hf_err *reterr) {
    hf_appliance *a = hf_alloc(sizeof *a);
    if (!a)
        return hf_fail(reterr, HF_E_NO_MEMORY, "an appliance");
    *a = (hf_appliance){
        .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), .findings = findings, .ovf_at = -1, .manifest_at = -1, .cert_at = -1};
    if (a->fd < 0) {
        free(a);
        return hf_fail_errno(reterr, errno, "duplicating a descriptor");
    }
    *ret = a;
    return HF_OK;
}

hf_code hf_appliance_open_archive(int fd, hf_findings *findings, hf_appliance **ret, hf_err *reterr) {
    hf_appliance *a = NULL;
    hf_source_id id = {0};
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "stat of the archive");
    if (!S_ISREG(st.st_mode))
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "an OVA is read at several places: give a regular file, not a pipe or device");
    hf_code rc = hf_source_identify(fd, &id, reterr);
    if (rc != HF_OK || (rc = appliance_new(fd, findings, &a, reterr)) != HF_OK)
        return rc;
    a->archive = true;
    a->id = id;
    if ((rc = read_headers(a, reterr)) != HF_OK || (rc = hf_appliance_judge(a, reterr)) != HF_OK) {
        hf_appliance_free(a);
        return rc;
    }
    *ret = a;
    return HF_OK;
}

/* ---- a directory ------------------------------------------------------------------------------------------------ */
static int open_beneath(int dir_fd, const char *name) {
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd;
    do
        fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return (int)fd;
}

hf_code hf_member_open(const hf_appliance *a, const hf_member *m, int *ret_fd, hf_err *reterr) {
    int fd = a->archive ? fcntl(a->fd, F_DUPFD_CLOEXEC, 3) : open_beneath(a->fd, m->name);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "%s", m->name);
    *ret_fd = fd;
    return HF_OK;
}

/* Adds the file `name` of the directory, if there is one. */
static hf_code look(hf_appliance *a, const char *name, hf_err *reterr) {
    struct stat st;
    hf_member *m;
    if (hf_appliance_find(a, name) || a->member_count == HF_APPLIANCE_MEMBERS_MAX ||
        fstatat(a->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return HF_OK; /* not there: what should be is found missing later */
    hf_code rc = hf_appliance_add(a, name, strlen(name), &m, reterr);
    if (rc != HF_OK)
        return rc;
    m->size_bytes = st.st_size;
    if (!S_ISREG(st.st_mode)) {
        m->refused = true;
        hf_finding_add(a->findings, HF_FIND_MEMBER_TYPE, m->name, "it is %s",
                       S_ISLNK(st.st_mode)   ? "a symbolic link"
                       : S_ISDIR(st.st_mode) ? "a directory"
                                             : "no regular file");
    }
    return HF_OK;
}

/* The only *.ovf of the directory. */
static hf_code choose_ovf(hf_appliance *a, char *to, size_t size, hf_err *reterr) {
    int fd = openat(a->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    int scanned = 0;
    if (!dir) {
        hf_code rc = hf_fail_errno(reterr, errno, "reading the directory");
        hf_close_p(&fd);
        return rc;
    }
    to[0] = 0;
    for (struct dirent *e; scanned++ < DIRECTORY_SCAN_MAX && (e = readdir(dir)) != NULL;) {
        if (!hf_name_ends(e->d_name, ".ovf") || strlen(e->d_name) >= size)
            continue;
        if (*to)
            hf_finding_add(a->findings, HF_FIND_OVF_MANY, e->d_name, "beside %s: name the one that is meant", to);
        else
            snprintf(to, size, "%s", e->d_name);
    }
    closedir(dir);
    return HF_OK;
}

/* "web.ovf" -> "web.mf" */
static void sibling(const char *ovf_name, const char *suffix, char *to, size_t size) {
    int stem = (int)strlen(ovf_name) - (hf_name_ends(ovf_name, ".ovf") ? 4 : 0);
    snprintf(to, size, "%.*s%s", stem, ovf_name, suffix);
}

static hf_code look_for_all(hf_appliance *a, const char *ovf_name, hf_err *reterr) {
    char name[HF_OVF_ID_MAX + 16];
    static const char *const suffixes[] = {".mf", ".cert"};
    hf_code rc = look(a, ovf_name, reterr);
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(suffixes); i++) {
        sibling(ovf_name, suffixes[i], name, sizeof name);
        rc = look(a, name, reterr);
    }
    return rc;
}

hf_code hf_appliance_look_for_file(hf_appliance *a, const hf_ovf_file *file, hf_err *reterr) {
    char name[HF_OVF_ID_MAX + 32];
    uint32_t before;
    if (!file->plain_name || a->archive)
        return HF_OK;
    if (file->chunk_bytes == 0)
        return look(a, file->href, reterr);
    hf_code rc = HF_OK;
    int64_t chunk = 0;
    do {
        before = a->member_count;
        hf_chunk_name(file, chunk++, name, sizeof name);
        rc = look(a, name, reterr);
    } while (rc == HF_OK && a->member_count > before);
    return rc;
}

hf_code hf_appliance_open_dir(int dir_fd, const char *ovf_name, hf_findings *findings, hf_appliance **ret,
                              hf_err *reterr) {
    hf_appliance *a = NULL;
    char chosen[HF_MEMBER_NAME_MAX + 1];
    hf_code rc = appliance_new(dir_fd, findings, &a, reterr);
    if (rc != HF_OK)
        return rc;
    if (!ovf_name)
        rc = choose_ovf(a, chosen, sizeof chosen, reterr);
    else
        snprintf(chosen, sizeof chosen, "%s", ovf_name);
    if (rc == HF_OK && *chosen)
        rc = look_for_all(a, chosen, reterr);
    if (rc != HF_OK || (rc = hf_appliance_judge(a, reterr)) != HF_OK) {
        hf_appliance_free(a);
        return rc;
    }
    *ret = a;
    return HF_OK;
}

void hf_appliance_free(hf_appliance *a) {
    if (!a)
        return;
    hf_close_p(&a->fd);
    hf_ovf_document_free(a->ovf);
    hf_manifest_free(a->manifest);
    free(a->members);
    free(a->by_name);
    free(a->next_line);
    free(a->summaries);
    free(a);
}

/* ---- lookups ------------------------------------------------------------------------------------------------------ */
int64_t hf_appliance_bytes(const hf_appliance *a) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (!a->members[i].refused && __builtin_add_overflow(sum, a->members[i].size_bytes, &sum))
            return INT64_MAX;
    return sum;
}

const hf_member *hf_appliance_disk_member(const hf_appliance *a, uint32_t disk) {
    int32_t file = a->ovf && disk < a->ovf->disk_count ? a->ovf->disks[disk].file : -1;
    if (file < 0 || a->ovf->files[file].gzip || a->ovf->files[file].chunk_bytes > 0)
        return NULL;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (a->members[i].file == file && !a->members[i].refused)
            return &a->members[i];
    return NULL;
}
