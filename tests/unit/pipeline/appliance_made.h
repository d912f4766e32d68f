/* Appliances made for the tests of what reads them: a sound one (vm.ovf, vm.mf, disk.vmdk), which a test then bends. */
#pragma once
#include "consumer/pipeline/digest.h"
#include "vmdk_made.h"

enum { MADE_FILES_MAX = 24, MADE_TEXT_MAX = 128 * 1024 };

typedef struct made_file {
    const char *name;  /* NULL: this place is empty */
    size_t name_len;   /* 0: strlen */
    const void *bytes; /* NULL: the descriptor's text for *.ovf, the manifest's for *.mf */
    size_t len;
    char type;                                   /* 0: '0' */
    int64_t declared;                            /* size in the header; 0: len */
    const char *pax;                             /* records of an extended header before it */
    bool long_name, base256, bad_sum, bare_size; /* bare_size: letters where the size should be */
    char extended_type;                          /* of the pax header; 0: 'x' */
} made_file;

typedef struct made_appliance {
    made_vmdk vmdk;
    char ovf[MADE_TEXT_MAX], manifest[MADE_TEXT_MAX];
    hf_digest_kind kind;
    const char *form; /* of a manifest's line; "%s(%s)= %s\n" */
    made_file files[MADE_FILES_MAX];
    int count;
    int64_t cut; /* bytes taken off at the end */
    const void *tail;
    size_t tail_len;
    bool no_end, one_zero;
} made_appliance;

void made_appliance_begin(made_appliance *a); /* the sound one */
void made_appliance_free(made_appliance *a);
made_file *made_add(made_appliance *a, const char *name, const void *bytes, size_t len);
/* Puts `to` in place of the only `from`. */
void made_edit(char *text, const char *from, const char *to);
/* Writes the manifest of all files but *.mf and *.cert; after it, it may be edited. Called by made_emit where it is still empty. */
void made_manifest(made_appliance *a);
/* The archive, in a memfd. */
int made_emit(made_appliance *a);
