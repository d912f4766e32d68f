/* The text files that say what goes into an initramfs: of dracut, initramfs-tools and mkinitcpio. Pure functions: text in, text out; the texts
 * are the guest's, so every one is read to its length and no further. `before` NULL: there is no such file. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "schemas/base/buf.h"

enum { HF_INITRAMFS_NAMES_MAX = 64 };

/* Whether the text (modules.dep, modules.builtin) lists a module of that name; what another one depends on is not listed by it. */
bool hf_modules_list(const char *text, const char *name);

/* ---- which drivers are asked for already ---- */
bool hf_dracut_names(const char *text, const char *name);     /* add_drivers+=" … ", force_drivers */
bool hf_tools_names(const char *text, const char *name);      /* /etc/initramfs-tools/modules: one a line */
bool hf_mkinitcpio_names(const char *text, const char *name); /* MODULES=(…), MODULES+=(…), MODULES="…" */

/* ---- the text with them: as it was where nothing is missing. false: it cannot be put into `to`, or is not understood ---- */
/* A file of our own: the drivers that ours named before stay in it. */
bool hf_dracut_with(const char *before, const char *const *names, hf_buf *to);
/* Lines appended. */
bool hf_tools_with(const char *before, const char *const *names, hf_buf *to);
/* Words put into the last MODULES=(…). */
bool hf_mkinitcpio_with(const char *before, const char *const *names, hf_buf *to);

/* The image that a preset of mkinitcpio makes (default_image="/boot/…"); false: none, or no path that is plain. */
bool hf_mkinitcpio_image(const char *preset, char *to, size_t size);
/* A version of a kernel as it may stand in a path and a command. */
bool hf_kernel_version_ok(const char *version);
