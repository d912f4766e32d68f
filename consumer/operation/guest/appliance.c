/* Programs of the appliance itself. */
#include "consumer/operation/guest/appliance.h"

#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/inside.h"
#include "consumer/operation/inspect.h"
#include "schemas/base/mem.h"

void hf_guest_free_strings(char **list) {
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

/* ---- names of disks ------------------------------------------------------------------------------------------------------
 * libguestfs's /dev/sda is the first disk of the job. The appliance's kernel may have found its own disk first; libguestfs exchanges the
 * names in its calls, and this does so in what is given to programs. */
void hf_guest_label(uint32_t disk, char label[HF_GUEST_LABEL_BYTES]) {
    snprintf(label, HF_GUEST_LABEL_BYTES, "hf%c%c", (int)('a' + disk / 26 % 26), (int)('a' + disk % 26));
}

static void api_name(uint32_t disk, char name[32]) {
    if (disk < 26)
        snprintf(name, 32, "/dev/sd%c", (int)('a' + disk));
    else
        snprintf(name, 32, "/dev/sd%c%c", (int)('a' + disk / 26 % 26 - 1), (int)('a' + disk % 26));
}

static const char *own_name(hf_guest_session *x, uint32_t disk) {
    if (x->own_names[disk][0])
        return x->own_names[disk];
    char line[96], label[HF_GUEST_LABEL_BYTES];
    hf_guest_label(disk, label);
    snprintf(line, sizeof line, "readlink -f /dev/disk/guestfs/%s", label);
    char *words[] = {line, NULL};
    hf_auto_free char *all = guestfs_debug(x->g, "sh", words);
    if (all && strncmp(all, "/dev/sd", 7) == 0)
        snprintf(x->own_names[disk], sizeof x->own_names[disk], "%.*s", (int)strcspn(all, "\n"), all);
    return x->own_names[disk][0] ? x->own_names[disk] : NULL;
}

/* Whether word is the disk `name` or one of its partitions; then what stands behind the disk's name. */
static const char *behind(const char *word, const char *name) {
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && strspn(word + len, "0123456789") == strlen(word + len) ? word + len : NULL;
}

bool hf_guest_put_word(hf_guest_session *x, hf_buf *to, const char *word) {
    for (uint32_t i = 0; strncmp(word, "/dev/sd", 7) == 0 && i < x->vm.disk_count; i++) {
        char name[32], full[64];
        api_name(i, name);
        const char *rest = behind(word, name), *own = rest ? own_name(x, i) : NULL;
        if (rest && !own)
            return false;
        if (rest && snprintf(full, sizeof full, "%s%s", own, rest) < (int)sizeof full)
            return hf_guest_put_quoted(to, full);
    }
    return hf_guest_put_quoted(to, word);
}

void hf_guest_device_name(hf_guest_session *x, const char *printed, char *ret, size_t size) {
    snprintf(ret, size, "%s", printed);
    for (uint32_t i = 0; strncmp(printed, "/dev/sd", 7) == 0 && i < x->vm.disk_count; i++) {
        char name[32];
        const char *own = own_name(x, i), *rest = own ? behind(printed, own) : NULL;
        api_name(i, name);
        if (!rest)
            continue;
        snprintf(ret, size, "%s%s", name, rest);
        return;
    }
}

/* ---- programs --------------------------------------------------------------------------------------------------------------- */
/* guestfs_debug "sh" runs the appliance's shell: libguestfs has no call for checking without repairing, nor for LVM's metadata. */
static hf_code run_line(hf_guest_session *x, const char *line, int *ret_status, char **ret_output, hf_err *reterr) {
    char *words[] = {(char *)(uintptr_t)line, NULL};
    hf_auto_free char *all = guestfs_debug(x->g, "sh", words);
    if (!all)
        return hf_guest_fail(x, reterr, "running a program of the appliance");
    char *output = hf_guest_take_output(x, all, ret_status);
    if (!output)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the output of a program of the appliance");
    if (ret_output)
        *ret_output = output;
    return HF_OK;
}

static hf_code run_buf(hf_guest_session *x, hf_buf *line, bool fine, int *ret_status, char **ret_output,
                       hf_err *reterr) {
    hf_str text = hf_buf_str(line);
    hf_auto_free char *copy = fine ? hf_strndup(text.p, text.len) : NULL;
    hf_buf_done(line);
    return copy ? run_line(x, copy, ret_status, ret_output, reterr)
                : hf_fail(reterr, HF_E_NO_MEMORY, "a command for the appliance");
}

hf_code hf_guest_tool(hf_guest_session *x, const char *const *argv, int *ret_status, char **ret_output,
                      hf_err *reterr) {
    hf_buf line;
    hf_buf_init(&line, 128 * 1024);
    bool fine = hf_buf_puts(&line, "{ LC_ALL=C");
    for (const char *const *a = argv; fine && *a; a++)
        fine = hf_guest_put_word(x, &line, *a);
    fine = fine && hf_buf_printf(&line, " </dev/null 2>&1; s=$?; echo; echo hf-status $s; } | tail -c %d",
                                 HF_GUEST_OUTPUT_MAX + 64);
    hf_code rc = run_buf(x, &line, fine, ret_status, ret_output, reterr);
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", argv[0]);
}

hf_code hf_guest_tool_line(hf_guest_session *x, const char *text, int *ret_status, char **ret_output, hf_err *reterr) {
    hf_buf line;
    hf_buf_init(&line, 128 * 1024);
    bool fine = hf_buf_printf(&line, "{ export LC_ALL=C; %s; s=$?; echo; echo hf-status $s; } 2>/dev/null | tail -c %d",
                              text, HF_GUEST_OUTPUT_MAX + 64);
    return run_buf(x, &line, fine, ret_status, ret_output, reterr);
}

json_t *hf_guest_tail(const char *text, size_t max) {
    char kept[2100];
    size_t len = strlen(text);
    max = max < 2048 ? max : 2048;
    snprintf(kept, sizeof kept, "%s%s", len > max ? "… " : "", len > max ? text + len - max : text);
    return hf_inspect_text(kept);
}

int hf_count_words(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

/* ---- file systems --------------------------------------------------------------------------------------------------------------- */
static size_t count_of(char **list) {
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

static bool has_partition(char **partitions, const char *disk) {
    size_t len = strlen(disk);
    for (char **p = partitions; *p; p++)
        if (strncmp(*p, disk, len) == 0 && ((*p)[len] == 'p' || ((*p)[len] >= '0' && (*p)[len] <= '9')))
            return true;
    return false;
}

/* What belongs to LVM, RAID or a Btrfs of several devices is none by itself. */
static void add_system(hf_guest_session *x, const char *device, char **list, size_t *count) {
    hf_auto_free char *type = guestfs_vfs_type(x->g, device);
    const char *word = type && *type ? type : "unknown";
    size_t len = strlen(word);
    if (len > 7 && strcmp(word + len - 7, "_member") == 0)
        return;
    char *name = hf_strndup(device, strlen(device)), *copy = hf_strndup(word, len);
    if (name && copy) {
        list[(*count)++] = name;
        list[(*count)++] = copy;
        return;
    }
    free(name);
    free(copy);
}

static char **one_by_one(hf_guest_session *x) {
    char **partitions = guestfs_list_partitions(x->g), **disks = guestfs_list_devices(x->g),
         **volumes = guestfs_lvs(x->g);
    size_t n = 0, most = count_of(partitions) + count_of(disks) + count_of(volumes);
    char **list = partitions && disks ? hf_alloc((2 * most + 1) * sizeof *list) : NULL;
    for (char **d = disks; list && *d; d++)
        if (!has_partition(partitions, *d))
            add_system(x, *d, list, &n);
    for (char **p = partitions; list && *p; p++)
        add_system(x, *p, list, &n);
    for (char **v = volumes; list && v && *v; v++)
        add_system(x, *v, list, &n);
    hf_guest_free_strings(partitions);
    hf_guest_free_strings(disks);
    hf_guest_free_strings(volumes);
    return list;
}

char **hf_guest_file_systems(hf_guest_session *x) {
    char **list = guestfs_list_filesystems(x->g);
    return list ? list : one_by_one(x);
}

bool hf_guest_mount_to_look(hf_guest_session *x, const char *device, const char *type) {
    bool ext = strcmp(type, "ext2") == 0 || strcmp(type, "ext3") == 0 || strcmp(type, "ext4") == 0;
    return guestfs_mount_options(x->g, ext ? "ro,errors=continue" : "ro", device, "/") == 0;
}
