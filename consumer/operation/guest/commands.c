/* Programs of the guest, run inside its root by the appliance's kernel. */
#include <ctype.h>
#include <stdio.h>

#include "consumer/operation/guest/inside.h"
#include "schemas/base/buf.h"
#include "schemas/base/mem.h"

bool hf_guest_has_program(hf_guest_session *x, const char *name) {
    static const char *const places[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin"};
    char path[256];
    for (size_t i = 0; i < HF_ARRAY_LEN(places); i++)
        if (snprintf(path, sizeof path, "%s/%s", places[i], name) < (int)sizeof path &&
            guestfs_is_file_opts(x->g, path, GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1) == 1)
            return true;
    return false;
}

/* One shell word. */
bool hf_guest_put_quoted(hf_buf *to, const char *word) {
    bool fine = hf_buf_puts(to, " '");
    for (const char *c = word; fine && *c; c++)
        fine = *c == '\'' ? hf_buf_puts(to, "'\\''") : hf_buf_put(to, c, 1);
    return fine && hf_buf_puts(to, "'");
}

char *hf_guest_take_output(hf_guest_session *x, char *all, int *ret_status) {
    size_t len = strlen(all);
    while (len > 0 && isspace((unsigned char)all[len - 1]))
        all[--len] = 0;
    char *last = strrchr(all, '\n');
    const char *mark = last ? last + 1 : all;
    *ret_status = strncmp(mark, "hf-status ", 10) == 0 ? (int)strtol(mark + 10, NULL, 10) : -1;
    if (*ret_status >= 0)
        all[mark - all] = 0;
    len = strlen(all);
    const char *from = len > HF_GUEST_OUTPUT_MAX ? all + len - HF_GUEST_OUTPUT_MAX : all;
    hf_str kept = hf_arena_str(&x->arena, hf_str_of(from));
    for (uint32_t i = 0; i < kept.len; i++)
        if ((unsigned char)kept.p[i] < 0x20 && kept.p[i] != '\n' && kept.p[i] != '\t')
            ((char *)(uintptr_t)kept.p)[i] = ' ';
    return (char *)(uintptr_t)kept.p;
}

/* The last few lines, for an error. */
static const char *tail_of(const char *output) {
    size_t len = strlen(output);
    return len > 600 ? output + len - 600 : output;
}

hf_code hf_guest_command(hf_guest_session *x, const char *const *argv, char **ret_output, hf_err *reterr) {
    if (x->dry)
        return hf_fail(reterr, HF_E_INTERNAL, "%s was to be run in a dry run", argv[0]);
    hf_buf line;
    hf_buf_init(&line, 64 * 1024);
    /* The output is bounded inside, so that no program of the guest's can fill our memory. */
    bool fine =
        hf_buf_puts(&line, "{ PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive");
    for (const char *const *a = argv; fine && *a; a++)
        fine = hf_guest_put_quoted(&line, *a);
    fine = fine && hf_buf_printf(&line, " </dev/null 2>&1; s=$?; echo; echo hf-status $s; } | tail -c %d",
                                 HF_GUEST_OUTPUT_MAX + 64);
    hf_str command = hf_buf_str(&line);
    hf_auto_free char *text = fine ? hf_strndup(command.p, command.len) : NULL;
    hf_buf_done(&line);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the command %s", argv[0]);
    hf_auto_free char *all = guestfs_sh(x->g, text);
    if (!all)
        return hf_guest_fail(x, reterr, "running the guest's %s", argv[0]);
    int status;
    char *output = hf_guest_take_output(x, all, &status);
    if (!output)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the output of %s", argv[0]);
    if (ret_output)
        *ret_output = output;
    if (status != 0)
        return hf_fail(reterr, HF_E_TOOL_FAILED, "the guest's %s ended with status %d: %s", argv[0], status,
                       tail_of(output));
    return HF_OK;
}
