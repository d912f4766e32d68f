/* /etc/selinux/config, and the words of a kernel's command line that concern SELinux, as text. Pure functions; the texts are the guest's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "schemas/base/buf.h"

typedef enum hf_selinux_mode {
    HF_SELINUX_UNSET, /* no SELINUX= */
    HF_SELINUX_ENFORCING,
    HF_SELINUX_PERMISSIVE,
    HF_SELINUX_DISABLED,
    HF_SELINUX_BAD, /* a word that is none of them: libselinux takes no mode from it */
} hf_selinux_mode;

typedef struct hf_selinux_config {
    hf_selinux_mode mode;
    char mode_word[64], type[64]; /* as they stand there; type "": not said, libselinux takes "targeted" */
    bool type_ok;                 /* may be a directory's name */
} hf_selinux_config;

/* libselinux's reading: the last SELINUX= that counts is the first one with a mode it knows; the last SELINUXTYPE=. */
void hf_selinux_parse(const char *text, hf_selinux_config *ret);
/* The text with every SELINUX= (variable "SELINUX") or SELINUXTYPE= line set to value; appended where there is none. */
bool hf_selinux_set(const char *text, const char *variable, const char *value, hf_buf *to);
const char *hf_selinux_mode_name(hf_selinux_mode mode);

/* Whether the word (selinux=0, enforcing=0) stands in the text by itself, in a line that is no comment. */
bool hf_selinux_word(const char *text, const char *word);
