/* Secrets of endpoints: read when they are needed, wiped when they are not. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/stat.h>

#include "consumer/provider/vsphere/endpoint.h"
#include "schemas/base/mem.h"

void hf_secret_done(hf_secret *secret) {
    if (secret->text)
        OPENSSL_cleanse(secret->text, secret->len);
    free(secret->text);
    *secret = (hf_secret){0};
}

static const char *member_of(const hf_endpoint *e) {
    return e->token                                 ? "token_file"
           : e->secret_from == HF_SECRET_FILE       ? "password_file"
           : e->secret_from == HF_SECRET_CREDENTIAL ? "credential"
                                                    : "password_env";
}

static hf_code bad(const hf_endpoint *e, hf_err *reterr, const char *what) {
    return hf_fail(reterr, HF_E_CONFIG, "endpoints.%s.%s: %s %s", e->name, member_of(e), e->secret_at, what);
}

/* systemd hands credentials over in a directory of its own that only the service can enter; their mode is 0400 or 0440. */
static hf_code check_file(const hf_endpoint *e, int fd, hf_err *reterr) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "endpoints.%s.%s: %s", e->name, member_of(e), e->secret_at);
    if (!S_ISREG(st.st_mode))
        return bad(e, reterr, "is not a regular file");
    if (st.st_size > HF_ENDPOINT_SECRET_MAX)
        return bad(e, reterr, "has more than 64 KiB");
    if (e->secret_from == HF_SECRET_CREDENTIAL)
        return HF_OK;
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return bad(e, reterr, "can be read by others: chmod 0600 it");
    return st.st_uid == geteuid() || st.st_uid == 0 ? HF_OK
                                                    : bad(e, reterr, "belongs to another user: chown it to this one");
}

static hf_code read_fd(const hf_endpoint *e, int fd, hf_secret *ret, hf_err *reterr) {
    hf_secret s = {.text = hf_alloc(HF_ENDPOINT_SECRET_MAX + 2)};
    if (!s.text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a secret");
    ssize_t n = 0;
    while (s.len <= HF_ENDPOINT_SECRET_MAX && (n = read(fd, s.text + s.len, HF_ENDPOINT_SECRET_MAX + 1 - s.len)) > 0)
        s.len += (size_t)n;
    if (n < 0 || s.len > HF_ENDPOINT_SECRET_MAX) {
        hf_code code = n < 0 ? hf_fail_errno(reterr, errno, "endpoints.%s.%s: %s", e->name, member_of(e), e->secret_at)
                             : bad(e, reterr, "has more than 64 KiB");
        hf_secret_done(&s);
        return code;
    }
    *ret = s;
    return HF_OK;
}

static hf_code read_file(const hf_endpoint *e, const char *path, hf_secret *ret, hf_err *reterr) {
    hf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return bad(e, reterr,
                   errno == ENOENT   ? "does not exist"
                   : errno == EACCES ? "cannot be read by this user"
                                     : "cannot be opened");
    hf_code code = check_file(e, fd, reterr);
    return code ? code : read_fd(e, fd, ret, reterr);
}

static hf_code read_credential(const hf_endpoint *e, hf_secret *ret, hf_err *reterr) {
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[2048];
    if (!dir)
        return bad(e, reterr, "is wanted, but $CREDENTIALS_DIRECTORY is not set: add LoadCredential= to the unit");
    if (snprintf(path, sizeof path, "%s/%s", dir, e->secret_at) >= (int)sizeof path)
        return bad(e, reterr, "has too long a path");
    return read_file(e, path, ret, reterr);
}

static hf_code read_variable(const hf_endpoint *e, hf_secret *ret, hf_err *reterr) {
    const char *value = getenv(e->secret_at);
    if (!value || strlen(value) > HF_ENDPOINT_SECRET_MAX)
        return bad(e, reterr, value ? "has more than 64 KiB" : "is not set in the environment");
    ret->len = strlen(value);
    ret->text = hf_strndup(value, ret->len);
    return ret->text ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a secret");
}

hf_code hf_secret_read(const hf_endpoint *e, hf_secret *ret, hf_err *reterr) {
    hf_secret s = {0};
    hf_code code = e->secret_from == HF_SECRET_FILE         ? read_file(e, e->secret_at, &s, reterr)
                   : e->secret_from == HF_SECRET_CREDENTIAL ? read_credential(e, &s, reterr)
                                                            : read_variable(e, &s, reterr);
    if (code)
        return code;
    while (s.len > 0 && (s.text[s.len - 1] == '\n' || s.text[s.len - 1] == '\r'))
        s.text[--s.len] = 0;
    const char *wrong = s.len == 0 ? "is empty" : memchr(s.text, 0, s.len) ? "has a NUL in it" : NULL;
    if (wrong) {
        hf_secret_done(&s);
        return bad(e, reterr, wrong);
    }
    *ret = s;
    return HF_OK;
}
