/* An appliance: an OVA, or an OVF descriptor with its files beside it in a directory. Opening reads headers, descriptor and manifest and
 * finds what can be found without the payloads; one pass over the payloads then hashes each file against the manifest and walks its
 * VMDK, and gives the bytes to whoever wants them. Everything read is bounded and nothing is written. What is wrong is a
 * finding; an error is only what keeps us from reading. */
#pragma once
#include "consumer/pipeline/flow.h"
#include "consumer/pipeline/manifest_read.h"
#include "consumer/pipeline/ovf_read.h"
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/vmdk_walk.h"

enum { HF_APPLIANCE_MEMBERS_MAX = 4096, HF_MEMBER_NAME_MAX = 255 };

typedef enum hf_member_role {
    HF_ROLE_OTHER, /* not named by anything, or refused */
    HF_ROLE_OVF,
    HF_ROLE_MANIFEST,
    HF_ROLE_CERT,
    HF_ROLE_FILE, /* of References, or a chunk of one; or named by the manifest alone (file -1) */
} hf_member_role;

typedef struct hf_member {
    char name[HF_MEMBER_NAME_MAX + 1]; /* of a refused one: only for people */
    hf_member_role role;
    bool refused; /* for its name or type */
    int64_t header_at, base, size_bytes;
    int32_t file;  /* index in ovf->files; -1 */
    int64_t chunk; /* which one of that file; -1: it is whole */
    int32_t line;  /* index in manifest->lines of its first line; -1 */
    /* set by the pass: */
    char sha256[HF_DIGEST_HEX_MAX];
    bool hashed, verified; /* verified: the manifest has a line and its hash agrees */
} hf_member;

typedef struct hf_appliance {
    bool archive;          /* an OVA */
    hf_source_id id;       /* of the archive, or of the OVF file */
    int fd;                /* of the archive or the directory: its own descriptor */
    hf_findings *findings; /* borrowed */
    hf_member *members;
    uint32_t member_count, member_room;
    int32_t ovf_at, manifest_at, cert_at; /* indexes in members, -1: none */
    hf_ovf_document *ovf;                 /* NULL: none that can be read */
    hf_manifest *manifest;                /* NULL: none */
    uint32_t *by_name, by_name_count;     /* indexes of members not refused, sorted by name without case */
    int32_t *next_line;                   /* by line of the manifest: the next line about the same member; -1 */
    hf_vmdk_summary *summaries;           /* by disk of ovf; stream_bytes 0: not walked. Set by the pass */
} hf_appliance;

/* The archive in fd (duplicated): a regular file. */
hf_code hf_appliance_open_archive(int fd, hf_findings *findings, hf_appliance **ret, hf_err *reterr);
/* The directory dir_fd (duplicated), and the descriptor in it: by name, or NULL for the only *.ovf there. Files are opened below
 * it without following symbolic links. */
hf_code hf_appliance_open_dir(int dir_fd, const char *ovf_name, hf_findings *findings, hf_appliance **ret,
                              hf_err *reterr);
void hf_appliance_free(hf_appliance *appliance);

/* DEEP: inflate every grain. SHA256: of every member, whatever the manifest's kind. */
typedef enum hf_pass_flags { HF_PASS_DEEP = 1, HF_PASS_SHA256 = 2 } hf_pass_flags;

typedef struct hf_pass {
    unsigned flags;
    hf_flow *flow; /* cancel, bandwidth and progress; bytes_total is set by whoever runs it */
    /* What each member's bytes are given to, front to back. An error ends the pass with it. Each may be NULL. */
    hf_code (*begin)(void *ctx, const hf_member *member, hf_err *reterr);
    hf_code (*bytes)(void *ctx, const hf_member *member, const void *bytes, size_t len, hf_err *reterr);
    hf_code (*end)(void *ctx, const hf_member *member, hf_err *reterr);
    void *ctx;
} hf_pass;

/* Reads every member once (refused ones are left out): hashes, VMDK structure, sizes. SOURCE_CHANGED when the archive was written to
 * meanwhile. */
hf_code hf_appliance_pass(hf_appliance *appliance, const hf_pass *pass, hf_err *reterr);
/* A descriptor of its own for the file that holds the member's bytes, from member->base on. */
hf_code hf_member_open(const hf_appliance *appliance, const hf_member *member, int *ret_fd, hf_err *reterr);
/* The member of that name (as it is written), or NULL; refused ones are not found. */
hf_member *hf_appliance_find(const hf_appliance *appliance, const char *name);
/* Bytes that a pass reads. */
int64_t hf_appliance_bytes(const hf_appliance *appliance);
/* The member that holds all of disk i, or NULL: none, chunked, compressed or refused. */
const hf_member *hf_appliance_disk_member(const hf_appliance *appliance, uint32_t disk);
const char *hf_member_role_name(hf_member_role role);
