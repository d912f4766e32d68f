// LIBS: hf_operation
/* Whatever a guest has as fstab, command line, /etc/default/grub, environment block or grub.cfg: what is told to leave all as it is gives the
 * same bytes back, a second edit changes nothing that the first has not, and an entry's name leads to that entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include "consumer/operation/guest/grub_text.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

enum { SIZE_MAX_ = 64 * 1024 };

typedef struct task {
    bool changes;
} task;

static bool inside(hf_str all, hf_str part) {
    return part.len == 0 || (part.p >= all.p && part.p + part.len <= all.p + all.len);
}

static void table_line(void *ctx, const hf_tab_line *line, hf_tab_edit *ret) {
    const task *t = ctx;
    hf_device_word word = hf_device_word_of(line->fields[0]);
    char name[64];
    hf_mapper_name(line->fields[0], name, sizeof name);
    MUST(word.partition >= 0 && word.disk >= 0 && line->count <= HF_TAB_FIELDS);
    if (t->changes && (word.kind == HF_DEVICE_KERNEL || word.kind == HF_DEVICE_BUS))
        snprintf(ret->device, sizeof ret->device, "UUID=1");
    ret->nofail = t->changes && word.kind != HF_DEVICE_NONE && word.kind != HF_DEVICE_MAPPER;
}

static hf_word_fate one_word(void *ctx, hf_str key, hf_str value, char to[HF_WORD_MAX]) {
    const task *t = ctx;
    if (!t->changes || !value.p)
        return HF_WORD_STAYS;
    if (hf_str_eqz(key, "resume"))
        return HF_WORD_GOES;
    if (!hf_str_eqz(key, "root"))
        return HF_WORD_STAYS;
    snprintf(to, HF_WORD_MAX, "UUID=1");
    return HF_WORD_CHANGES;
}

static bool edit(int how, hf_str text, task *t, hf_buf *out) {
    switch (how) {
    case 0: return hf_tab_edit_text(text, 0, table_line, t, out);
    case 1: return hf_cmdline_edit(text, one_word, t, out);
    case 2: return hf_keyed_edit(text, "options", one_word, t, out);
    default: return hf_shell_edit(text, "GRUB_CMDLINE_", one_word, t, out);
    }
}

static void edits(int how, hf_str text) {
    hf_buf same, once, twice;
    task leaves = {0}, changes = {.changes = true};
    hf_buf_init(&same, SIZE_MAX_);
    hf_buf_init(&once, SIZE_MAX_);
    hf_buf_init(&twice, SIZE_MAX_);
    MUST(edit(how, text, &leaves, &same) && hf_str_eq(hf_buf_str(&same), text));
    if (edit(how, text, &changes, &once) && edit(how, hf_buf_str(&once), &changes, &twice))
        MUST(hf_str_eq(hf_buf_str(&once), hf_buf_str(&twice)));
    hf_buf_done(&same);
    hf_buf_done(&once);
    hf_buf_done(&twice);
}

static void menu(hf_str text) {
    static hf_grub_config c;
    char path[300];
    hf_grub_read(text, &c);
    MUST(c.count <= HF_GRUB_ENTRIES_MAX && c.search_count <= HF_GRUB_SEARCHES_MAX);
    for (uint32_t i = 0; i < c.count; i++) {
        const hf_grub_entry *e = &c.entries[i];
        MUST(e->parent < (int32_t)i && inside(text, e->title) && inside(text, e->id) && inside(text, e->kernel) &&
             inside(text, e->words) && inside(text, e->initrd));
        if (hf_grub_path(&c, i, path, sizeof path))
            MUST(hf_grub_find(&c, hf_str_of(path)) == (int32_t)i);
    }
}

static void block(hf_str text) {
    char all[HF_GRUBENV_SIZE] = "# GRUB Environment Block\n", made[HF_GRUBENV_SIZE];
    uint32_t room = HF_GRUBENV_SIZE - 25;
    memcpy(all + 25, text.p, text.len < room ? text.len : room);
    memset(all + 25 + (text.len < room ? text.len : room), '#', room - (text.len < room ? text.len : room));
    hf_str b = {all, HF_GRUBENV_SIZE}, m = {made, HF_GRUBENV_SIZE};
    if (hf_grubenv_set(b, "saved_entry", HF_STR("x"), made))
        MUST(hf_grubenv_is(m) && hf_str_eqz(hf_grubenv_get(m, "saved_entry"), "x"));
}

static void setting(hf_str text) {
    hf_buf out;
    hf_buf_init(&out, SIZE_MAX_);
    if (hf_shell_set(text, "GRUB_DEFAULT", "a>b", &out))
        MUST(hf_str_eqz(hf_shell_get(hf_buf_str(&out), "GRUB_DEFAULT"), "a>b"));
    hf_buf_clear(&out);
    if (hf_keyed_set(text, "default", "x", &out))
        MUST(hf_str_eqz(hf_keyed_get(hf_buf_str(&out), "default"), "x"));
    hf_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 8192)
        return 0;
    hf_str text = {(const char *)data, (uint32_t)size};
    for (int how = 0; how < 4; how++)
        edits(how, text);
    menu(text);
    block(text);
    setting(text);
    hf_grub_map_changes(text);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return data && size ? 0 : 0; }
#endif
