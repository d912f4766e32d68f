/* The guest's generators of initramfs. Debian's update-initramfs writes where the old one is; so its parts are called: mkinitramfs, and then the
 * hooks that it runs. */
#include "consumer/operation/guest/initramfs_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/guest/initramfs_text.h"
#include "schemas/base/mem.h"

enum { WORDS_MAX = 512 };

static const char dracut_file[] = "/etc/dracut.conf.d/50-hyperfleet.conf",
                  tools_file[] = "/etc/initramfs-tools/modules", mkinitcpio_file[] = "/etc/mkinitcpio.conf",
                  tools_hooks[] = "/etc/initramfs/post-update.d";

/* dracut-core may be there beside initramfs-tools, and dracut brings an update-initramfs of its own: mkinitramfs tells them apart. */
hf_generator hf_initramfs_generator(hf_guest_session *x) {
    return hf_guest_has_program(x, "mkinitramfs")  ? HF_GENERATOR_TOOLS
           : hf_guest_has_program(x, "dracut")     ? HF_GENERATOR_DRACUT
           : hf_guest_has_program(x, "mkinitcpio") ? HF_GENERATOR_MKINITCPIO
                                                   : HF_GENERATOR_NONE;
}

const char *hf_generator_name(hf_generator generator) {
    static const char *const names[] = {"none", "mkinitramfs", "dracut", "mkinitcpio"};
    return names[generator];
}

typedef struct dialect {
    const char *file;
    bool (*has)(const char *text, const char *name);
    bool (*with)(const char *before, const char *const *names, hf_buf *to);
} dialect;

static const dialect dialects[] = {
    [HF_GENERATOR_TOOLS] = {tools_file, hf_tools_names, hf_tools_with},
    [HF_GENERATOR_DRACUT] = {dracut_file, hf_dracut_names, hf_dracut_with},
    [HF_GENERATOR_MKINITCPIO] = {mkinitcpio_file, hf_mkinitcpio_names, hf_mkinitcpio_with}};

bool hf_initramfs_asked(hf_guest_session *x, hf_generator generator, const char *driver) {
    char *text = NULL;
    size_t len = 0;
    if (generator == HF_GENERATOR_NONE || hf_guest_read(x, dialects[generator].file, &text, &len, NULL) != HF_OK)
        return false;
    return text && dialects[generator].has(text, driver);
}

static hf_code make_folder(hf_guest_session *x, const char *file, hf_err *reterr) {
    char folder[64];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(file, '/') - file), file);
    if (hf_guest_dry(x) || hf_guest_exists(x, folder) || guestfs_mkdir_p(hf_guest_handle(x), folder) == 0)
        return HF_OK;
    return hf_guest_fail(x, reterr, "making the guest's %s", folder);
}

hf_code hf_initramfs_configure(hf_guest_session *x, hf_generator generator, const char *const *drivers,
                               hf_err *reterr) {
    const dialect *d = &dialects[generator];
    char *text = NULL;
    size_t len = 0;
    hf_code rc = hf_guest_read(x, d->file, &text, &len, reterr);
    if (rc == HF_E_LIMIT) {
        hf_guest_finding(x, "warning", "not-persistent", "Add the drivers to it by hand.", "%s", reterr->detail);
        return HF_OK;
    }
    if (rc != HF_OK)
        return rc;
    hf_buf to;
    hf_buf_init(&to, 2 * HF_GUEST_TEXT_MAX);
    if (!d->with(text, drivers, &to) && !to.failed)
        hf_guest_finding(x, "warning", "not-persistent", "Add the drivers to its MODULES=() by hand.",
                         "%s is written in a way that is not edited here: the next initramfs that the guest makes by "
                         "itself may lack drivers",
                         d->file);
    else if (to.failed)
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", d->file);
    else if (to.len > 0 && (rc = make_folder(x, d->file, reterr)) == HF_OK)
        rc = hf_guest_write(x, d->file, (const char *)to.data, to.len, reterr);
    hf_buf_done(&to);
    return rc;
}

static const char *joined(const char *const *drivers, char words[WORDS_MAX]) {
    size_t at = 0;
    words[0] = 0;
    for (; *drivers && at < WORDS_MAX; drivers++)
        at += (size_t)snprintf(words + at, WORDS_MAX - at, "%s%s", at ? " " : "", *drivers);
    return words;
}

hf_code hf_initramfs_generate(hf_guest_session *x, hf_generator generator, const char *version, const char *path,
                              const char *const *drivers, hf_err *reterr) {
    char words[WORDS_MAX];
    joined(drivers, words);
    const char *const tools[] = {"mkinitramfs", "-o", path, version, NULL};
    const char *const dracut[] = {"dracut", "--force", "--add-drivers", words, path, version, NULL};
    const char *const dracut_plain[] = {"dracut", "--force", path, version, NULL};
    const char *const mkinitcpio[] = {"mkinitcpio", "-k", version, "-g", path, NULL};
    return hf_guest_command(x,
                            generator == HF_GENERATOR_TOOLS        ? tools
                            : generator == HF_GENERATOR_MKINITCPIO ? mkinitcpio
                            : *words                               ? dracut
                                                                   : dracut_plain,
                            NULL, reterr);
}

void hf_initramfs_announce(hf_guest_session *x, hf_generator generator, const char *version, const char *path) {
    char version_arg[160], path_arg[400];
    hf_err err = {0};
    if (generator != HF_GENERATOR_TOOLS || guestfs_is_dir(hf_guest_handle(x), tools_hooks) != 1 ||
        !hf_guest_has_program(x, "run-parts"))
        return;
    snprintf(version_arg, sizeof version_arg, "--arg=%s", version);
    snprintf(path_arg, sizeof path_arg, "--arg=%s", path);
    const char *const argv[] = {"run-parts", version_arg, path_arg, tools_hooks, NULL};
    if (hf_guest_command(x, argv, NULL, &err) != HF_OK)
        hf_guest_finding(x, "warning", "hooks-failed", NULL, "what %s runs for a new initramfs failed: %s", tools_hooks,
                         err.detail);
}
