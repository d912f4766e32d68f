#include "producer/ctl/sibling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schemas/base/mem.h"

hf_code hf_sibling_path(const char *program, char *ret_path, size_t size, hf_err *reterr) {
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return hf_fail_errno(reterr, errno, "/proc/self/exe");
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return hf_fail(reterr, HF_E_INTERNAL, "/proc/self/exe is '%s'", self);
    *slash = 0;
    int len = snprintf(ret_path, size, "%s/%s", self, program);
    if (len < 0 || (size_t)len >= size)
        return hf_fail(reterr, HF_E_LIMIT, "the path of %s is too long", program);
    if (access(ret_path, X_OK) != 0)
        return hf_fail(reterr, HF_E_NOT_BUILT, "there is no program %s; install Hyperfleet's programs side by side",
                       ret_path);
    return HF_OK;
}

hf_code hf_sibling_exec(const char *program, char *const *arguments, hf_err *reterr) {
    char path[4200];
    hf_code code = hf_sibling_path(program, path, sizeof path, reterr);
    if (code)
        return code;
    size_t count = 0;
    while (arguments[count])
        count++;
    hf_auto_free char **argv = hf_alloc((count + 2) * sizeof *argv);
    if (!argv)
        return hf_fail(reterr, HF_E_NO_MEMORY, "arguments of %s", program);
    argv[0] = path;
    memcpy(argv + 1, arguments, count * sizeof *argv);
    execv(path, argv);
    return hf_fail_errno(reterr, errno, "run %s", path);
}
