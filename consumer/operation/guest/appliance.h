/* Programs of the appliance itself, and its devices, for operations that work below file systems. */
#pragma once
#include "consumer/operation/guest/guest.h"

/* Runs the appliance's own program, outside the guest's root: for what libguestfs has no call. Nothing of the guest's is executed; argv is
 * quoted word by word. *ret_status is its exit status, *ret_output (arena; the last HF_GUEST_OUTPUT_MAX bytes of stdout and stderr) may be NULL.
 * Allowed in a dry run, for programs that only look. */
hf_code hf_guest_tool(hf_guest_session *guest, const char *const *argv, int *ret_status, char **ret_output,
                      hf_err *reterr);
/* The same for a pipeline of the appliance's shell that the caller has put together of constant text and quoted words; only stdout is taken. */
hf_code hf_guest_tool_line(hf_guest_session *guest, const char *line, int *ret_status, char **ret_output,
                           hf_err *reterr);
/* A device's name as programs of the appliance print it, exchanged for the name libguestfs has for it; other words as they are. */
void hf_guest_device_name(hf_guest_session *guest, const char *printed, char *ret, size_t size);
/* The last `max` bytes of a text, as JSON, beginning with "… " where there was more. */
json_t *hf_guest_tail(const char *text, size_t max);
/* Strings as libguestfs gives them. */
void hf_guest_free_strings(char **list);
/* Device, type ("unknown": not known), device, type …, NULL, of all file systems; NULL: libguestfs said no. Where guestfs_list_filesystems gives none at all, for it
 * mounts each Btrfs and one cannot be mounted, devices are asked one by one. */
char **hf_guest_file_systems(hf_guest_session *guest);
/* Mounts a file system on "/" for a look: read-only, and going on past what is damaged, whatever its superblock says ("errors=panic" would stop
 * the appliance). type: as hf_guest_file_systems has it. false: libguestfs said no. */
bool hf_guest_mount_to_look(hf_guest_session *guest, const char *device, const char *type);
/* How often `word` is in text. */
int hf_count_words(const char *text, const char *word);
