/* fstab, crypttab and command lines as text. */
#include "consumer/operation/guest/boot_text.h"

#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool space(char c) { return blank(c) || c == '\n'; }
static bool digit(char c) { return c >= '0' && c <= '9'; }
static hf_str cut(hf_str s, uint32_t from, uint32_t to) { return (hf_str){from ? s.p + from : s.p, to - from}; }

static bool put(hf_buf *out, hf_str s) { return s.len == 0 || hf_buf_put(out, s.p, s.len); }

bool hf_text_line(hf_str text, uint32_t *at, hf_str *ret) {
    if (*at >= text.len)
        return false;
    const char *end = memchr(text.p + *at, '\n', text.len - *at);
    uint32_t stop = end ? (uint32_t)(end - text.p) : text.len;
    *ret = cut(text, *at, stop);
    *at = stop + (end != NULL);
    return true;
}

/* ---- names of devices ----------------------------------------------------------------------------------------------------- */
/* A number of at most three digits from 0 on that is all of s; -1: it is none. */
static int whole_number(hf_str s) {
    int n = 0;
    if (s.len == 0 || s.len > 3)
        return -1;
    for (uint32_t i = 0; i < s.len; i++) {
        if (!digit(s.p[i]))
            return -1;
        n = n * 10 + (s.p[i] - '0');
    }
    return n;
}

/* "a" is 0, "aa" 26; what follows must be a partition's number or nothing. */
static bool lettered(hf_str s, hf_device_word *ret) {
    uint32_t i = 0;
    int disk = 0;
    for (; i < s.len && i < 2 && s.p[i] >= 'a' && s.p[i] <= 'z'; i++)
        disk = disk * 26 + (s.p[i] - 'a') + 1;
    int partition = i == s.len ? 0 : whole_number(cut(s, i, s.len));
    if (i == 0 || partition < 0 || (partition == 0 && i < s.len))
        return false;
    *ret = (hf_device_word){.kind = HF_DEVICE_KERNEL, .disk = disk - 1, .partition = partition};
    return true;
}

/* "0n1p2" */
static bool nvme(hf_str s, hf_device_word *ret) {
    uint32_t n = 0, p = 0;
    while (n < s.len && digit(s.p[n]))
        n++;
    if (n + 1 >= s.len || s.p[n] != 'n' || s.p[n + 1] != '1')
        return false;
    p = n + 2;
    int disk = whole_number(cut(s, 0, n)), partition = p == s.len      ? 0
                                                       : s.p[p] == 'p' ? whole_number(cut(s, p + 1, s.len))
                                                                       : -1;
    if (disk < 0 || partition < 0 || (partition == 0 && p < s.len))
        return false;
    *ret = (hf_device_word){.kind = HF_DEVICE_KERNEL, .disk = disk, .partition = partition};
    return true;
}

static bool kernel_name(hf_str s, hf_device_word *ret) {
    static const char *const drivers[] = {"sd", "hd", "vd", "xvd"};
    if (hf_str_starts(s, HF_STR("nvme")))
        return nvme(cut(s, 4, s.len), ret);
    for (size_t i = 0; i < HF_ARRAY_LEN(drivers); i++)
        if (hf_str_starts(s, hf_str_of(drivers[i])) && lettered(cut(s, (uint32_t)strlen(drivers[i]), s.len), ret))
            return true;
    return false;
}

/* by-id and by-path: "…-part2". Names of LVM, RAID and the device mapper's own stay as they are. */
static hf_device_word bus_name(hf_str s) {
    static const char *const own[] = {"dm-", "md-", "lvm-"};
    uint32_t from = s.len;
    for (size_t i = 0; i < HF_ARRAY_LEN(own); i++)
        if (hf_str_starts(s, hf_str_of(own[i])))
            return (hf_device_word){.kind = HF_DEVICE_NONE};
    while (from > 0 && digit(s.p[from - 1]))
        from--;
    bool part = from >= 5 && from < s.len && memcmp(s.p + from - 5, "-part", 5) == 0;
    int partition = part ? whole_number(cut(s, from, s.len)) : 0;
    return (hf_device_word){.kind = partition >= 0 ? HF_DEVICE_BUS : HF_DEVICE_NONE, .partition = partition};
}

static hf_str unquoted(hf_str s) {
    bool quoted = s.len >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.len - 1] == s.p[0];
    return quoted ? cut(s, 1, s.len - 1) : s;
}

static bool tagged(hf_str word, hf_device_word *ret) {
    static const struct {
        const char *tag, *folder;
    } tags[] = {{"UUID", "uuid"}, {"LABEL", "label"}, {"PARTUUID", "partuuid"}, {"PARTLABEL", "partlabel"}};
    char front[48];
    for (size_t i = 0; i < HF_ARRAY_LEN(tags); i++)
        for (int by = 0; by < 2; by++) {
            snprintf(front, sizeof front, by ? "/dev/disk/by-%s/" : "%s=", by ? tags[i].folder : tags[i].tag);
            if (!hf_str_starts(word, hf_str_of(front)))
                continue;
            hf_str value = unquoted(cut(word, (uint32_t)strlen(front), word.len));
            *ret = (hf_device_word){
                .kind = value.len ? HF_DEVICE_TAG : HF_DEVICE_NONE, .tag = tags[i].tag, .value = value};
            return true;
        }
    return false;
}

hf_device_word hf_device_word_of(hf_str word) {
    static const char *const folders[] = {"disk", "md", "pts", "shm", "loop", "zvol", "bus", "input", "cciss", "block"};
    hf_device_word ret = {0};
    word = unquoted(word);
    if (tagged(word, &ret) || !hf_str_starts(word, HF_STR("/dev/")))
        return ret;
    hf_str rest = cut(word, 5, word.len);
    if (kernel_name(rest, &ret))
        return ret;
    if (hf_str_starts(rest, HF_STR("disk/by-id/")))
        return bus_name(cut(rest, 11, rest.len));
    if (hf_str_starts(rest, HF_STR("disk/by-path/")))
        return bus_name(cut(rest, 13, rest.len));
    const char *slash = rest.len ? memchr(rest.p, '/', rest.len) : NULL;
    uint32_t first = slash ? (uint32_t)(slash - rest.p) : 0;
    if (first == 0 || first + 1 >= rest.len || memchr(slash + 1, '/', rest.len - first - 1))
        return ret;
    for (size_t i = 0; i < HF_ARRAY_LEN(folders); i++)
        if (hf_str_eqz(cut(rest, 0, first), folders[i]))
            return ret;
    return (hf_device_word){.kind = HF_DEVICE_MAPPER, .value = rest};
}

bool hf_device_changes(hf_str word) {
    hf_device_kind kind = hf_device_word_of(word).kind;
    return kind == HF_DEVICE_KERNEL || kind == HF_DEVICE_BUS;
}

bool hf_mapper_name(hf_str device, char *ret, size_t size) {
    hf_device_word word = hf_device_word_of(device);
    if (word.kind != HF_DEVICE_MAPPER)
        return false;
    if (hf_str_starts(word.value, HF_STR("mapper/")))
        return snprintf(ret, size, "%.*s", (int)word.value.len - 7, word.value.p + 7) < (int)size;
    size_t n = 0;
    for (uint32_t i = 0; i < word.value.len && n + 2 < size; i++) {
        char c = word.value.p[i];
        if (c == '-')
            ret[n++] = '-';
        ret[n++] = c == '/' ? '-' : c;
    }
    ret[n] = 0;
    return n + 2 < size;
}

bool hf_fs_type_fits(hf_str wanted, const char *has) {
    static const char *const groups[][5] = {
        {"ext2", "ext3", "ext4"}, {"vfat", "msdos", "fat", "umsdos"}, {"ntfs", "ntfs-3g", "ntfs3"}};
    if (wanted.len == 0 || hf_str_eqz(wanted, "auto") || hf_str_eqz(wanted, has))
        return true;
    for (size_t i = 0; i < HF_ARRAY_LEN(groups); i++) {
        bool a = false, b = false;
        for (size_t k = 0; k < HF_ARRAY_LEN(groups[i]) && groups[i][k]; k++) {
            a |= hf_str_eqz(wanted, groups[i][k]);
            b |= strcmp(has, groups[i][k]) == 0;
        }
        if (a && b)
            return true;
    }
    return false;
}

/* ---- tables ------------------------------------------------------------------------------------------------------------------ */
bool hf_tab_has_option(hf_str options, const char *option) {
    for (uint32_t at = 0; at < options.len;) {
        const char *comma = memchr(options.p + at, ',', options.len - at);
        uint32_t end = comma ? (uint32_t)(comma - options.p) : options.len;
        if (hf_str_eqz(cut(options, at, end), option))
            return true;
        at = end + 1;
    }
    return false;
}

static void split(hf_str line, hf_tab_line *ret) {
    *ret = (hf_tab_line){0};
    for (uint32_t at = 0; at < line.len && ret->count < HF_TAB_FIELDS;) {
        while (at < line.len && blank(line.p[at]))
            at++;
        uint32_t from = at;
        while (at < line.len && !blank(line.p[at]))
            at++;
        if (at == from || (ret->count == 0 && line.p[from] == '#'))
            break;
        ret->fields[ret->count++] = cut(line, from, at);
    }
}

/* The line with its device exchanged and "nofail" behind its options. */
static bool put_edited(hf_str line, const hf_tab_line *parsed, uint32_t device_field, const hf_tab_edit *edit,
                       hf_buf *out) {
    const char *from = line.p, *end = line.p + line.len;
    bool fine = true;
    for (uint32_t i = 0; fine && i < parsed->count; i++) {
        hf_str field = parsed->fields[i];
        const char *behind = field.p + field.len;
        if (i == device_field && edit->device[0]) {
            fine = put(out, (hf_str){from, (uint32_t)(field.p - from)}) && hf_buf_puts(out, edit->device);
            from = behind;
        } else if (i == 3 && edit->nofail && !hf_tab_has_option(field, "nofail")) {
            fine = put(out, (hf_str){from, (uint32_t)(behind - from)}) && hf_buf_puts(out, ",nofail");
            from = behind;
        }
    }
    return fine && put(out, (hf_str){from, (uint32_t)(end - from)});
}

bool hf_tab_edit_text(hf_str text, uint32_t device_field, void (*each)(void *ctx, const hf_tab_line *, hf_tab_edit *),
                      void *ctx, hf_buf *out) {
    hf_str line;
    for (uint32_t at = 0; hf_text_line(text, &at, &line);) {
        hf_tab_line parsed;
        hf_tab_edit edit = {0};
        split(line, &parsed);
        if (parsed.count > device_field)
            each(ctx, &parsed, &edit);
        if (!put_edited(line, &parsed, device_field, &edit, out))
            return false;
        if (line.p + line.len < text.p + text.len && !hf_buf_puts(out, "\n"))
            return false;
    }
    return true;
}

/* ---- command lines -------------------------------------------------------------------------------------------------------------- */
/* The word that begins at or behind *at; *at is then behind it. */
static bool next_word(hf_str line, uint32_t *at, hf_str *ret) {
    while (*at < line.len && space(line.p[*at]))
        (*at)++;
    uint32_t from = *at;
    bool quoted = false;
    for (; *at < line.len && (quoted || !space(line.p[*at])); (*at)++) {
        if (line.p[*at] == '\\' && *at + 1 < line.len && line.p[*at + 1] != '\n')
            (*at)++;
        else if (line.p[*at] == '"')
            quoted = !quoted;
    }
    if (*at > line.len)
        *at = line.len;
    *ret = cut(line, from, *at);
    return ret->len > 0;
}

static void halves(hf_str word, hf_str *ret_key, hf_str *ret_value) {
    const char *equals = word.len ? memchr(word.p, '=', word.len) : NULL;
    uint32_t n = equals ? (uint32_t)(equals - word.p) : word.len;
    *ret_key = cut(word, 0, n);
    *ret_value = equals ? cut(word, n + 1, word.len) : HF_STR_NONE;
}

hf_str hf_cmdline_get(hf_str line, const char *key) {
    hf_str word, found = HF_STR_NONE;
    for (uint32_t at = 0; next_word(line, &at, &word);) {
        hf_str name, value;
        halves(word, &name, &value);
        if (value.p && hf_str_eqz(name, key))
            found = value;
    }
    return found;
}

bool hf_cmdline_edit(hf_str line, hf_word_each *each, void *ctx, hf_buf *out) {
    hf_str word;
    uint32_t done = 0; /* what of the line is written */
    bool fine = true, first = true;
    for (uint32_t at = 0; fine && next_word(line, &at, &word);) {
        hf_str key, value;
        char to[HF_WORD_MAX] = "";
        uint32_t from = (uint32_t)(word.p - line.p);
        halves(word, &key, &value);
        hf_word_fate fate = each(ctx, key, value, to);
        if (fate == HF_WORD_CHANGES)
            fine = put(out, cut(line, done, from)) && put(out, key) && hf_buf_printf(out, "=%s", to);
        else if (fate == HF_WORD_STAYS)
            fine = put(out, cut(line, done, at));
        else { /* it goes with the blanks in front of it; the first one with those behind it */
            if (first)
                fine = put(out, cut(line, done, from));
            while (first && at < line.len && blank(line.p[at]))
                at++;
        }
        first = first && fate == HF_WORD_GOES;
        done = at;
    }
    return fine && put(out, cut(line, done, line.len));
}

/* ---- lines with a key ---------------------------------------------------------------------------------------------------------------- */
/* Where the value of a line "key value" begins; 0: it is another line. */
static uint32_t behind_key(hf_str line, const char *key) {
    uint32_t at = 0, len = (uint32_t)strlen(key);
    while (at < line.len && blank(line.p[at]))
        at++;
    if (line.len - at < len || memcmp(line.p + at, key, len) != 0)
        return 0;
    at += len;
    if (at >= line.len || !blank(line.p[at]))
        return 0;
    while (at < line.len && blank(line.p[at]))
        at++;
    return at;
}

hf_str hf_keyed_get(hf_str text, const char *key) {
    hf_str line;
    for (uint32_t at = 0; hf_text_line(text, &at, &line);) {
        uint32_t from = behind_key(line, key);
        if (!from)
            continue;
        while (line.len > from && blank(line.p[line.len - 1]))
            line.len--;
        return cut(line, from, line.len);
    }
    return HF_STR_NONE;
}

bool hf_keyed_edit(hf_str text, const char *key, hf_word_each *each, void *ctx, hf_buf *out) {
    hf_str line;
    bool fine = true;
    for (uint32_t at = 0; fine && hf_text_line(text, &at, &line);) {
        uint32_t from = behind_key(line, key);
        fine = put(out, cut(line, 0, from)) &&
               (from ? hf_cmdline_edit(cut(line, from, line.len), each, ctx, out) : put(out, line));
        if (fine && line.p + line.len < text.p + text.len)
            fine = hf_buf_puts(out, "\n");
    }
    return fine;
}

bool hf_keyed_set(hf_str text, const char *key, const char *value, hf_buf *out) {
    hf_str line;
    bool fine = true, found = hf_keyed_get(text, key).p != NULL, done = !found;
    if (!found)
        fine = hf_buf_printf(out, "%s %s\n", key, value);
    for (uint32_t at = 0; fine && hf_text_line(text, &at, &line);) {
        uint32_t from = done ? 0 : behind_key(line, key);
        fine = from ? put(out, cut(line, 0, from)) && hf_buf_puts(out, value) : put(out, line);
        done |= from > 0;
        if (fine && line.p + line.len < text.p + text.len)
            fine = hf_buf_puts(out, "\n");
    }
    return fine;
}
