#include "schemas/base/host.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void hf_producer_name(const char *program, const char *incarnation, char *text, size_t size) {
    char host[64];
    snprintf(text, size, "%s@%s/%s", program, hf_host_name(host, sizeof host), incarnation);
}

const char *hf_host_name(char *text, size_t size) {
    char name[HOST_NAME_MAX + 1];
    if (gethostname(name, sizeof name) != 0)
        name[0] = 0;
    name[HOST_NAME_MAX] = 0;
    name[strcspn(name, ".")] = 0;
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p))
            *p = '-';
    /* An id may not begin with '-' (hf_id_valid), and a worker is named after its host. */
    const char *start = name + strspn(name, "-");
    snprintf(text, size, "%s", *start ? start : "localhost");
    return text;
}

static hf_code make_dir(const char *path, unsigned mode, hf_err *reterr) {
    struct stat st;
    if (mkdir(path, (mode_t)mode) == 0)
        return HF_OK;
    int err = errno;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? HF_OK : hf_fail(reterr, HF_E_EXISTS, "%s exists and is not a directory", path);
    return hf_fail_errno(reterr, err, "cannot create the directory %s", path);
}

hf_code hf_make_dirs(const char *path, unsigned mode, hf_err *reterr) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return hf_fail(reterr, HF_E_INVALID, "a path of %zu bytes: it must have 1 to %d", len, PATH_MAX - 1);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = 0;
        hf_code code = make_dir(part, mode, reterr);
        if (code)
            return code;
        part[i] = '/';
    }
    return make_dir(part, mode, reterr);
}
