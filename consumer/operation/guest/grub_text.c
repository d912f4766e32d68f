/* GRUB's files as text. */
#include "consumer/operation/guest/grub_text.h"

#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool of_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
static hf_str cut(hf_str s, uint32_t from, uint32_t to) { return (hf_str){from ? s.p + from : s.p, to - from}; }
static bool put(hf_buf *out, hf_str s) { return s.len == 0 || hf_buf_put(out, s.p, s.len); }

/* ---- assignments of a shell ------------------------------------------------------------------------------------------------- */
typedef struct assignment {
    hf_str name, value; /* value: within its quotes */
    char quote;         /* 0: without */
} assignment;

/* NAME=value, NAME="value", NAME+='value', with "export " in front or not. What goes on behind the line's end is none. */
static bool read_assignment(hf_str line, assignment *ret) {
    uint32_t at = 0;
    while (at < line.len && blank(line.p[at]))
        at++;
    if (hf_str_starts(cut(line, at, line.len), HF_STR("export ")))
        at += 7;
    uint32_t from = at;
    while (at < line.len && of_name(line.p[at]))
        at++;
    ret->name = cut(line, from, at);
    at += at < line.len && line.p[at] == '+';
    if (ret->name.len == 0 || at >= line.len || line.p[at] != '=')
        return false;
    at++;
    ret->quote = at < line.len && (line.p[at] == '"' || line.p[at] == '\'') ? line.p[at] : 0;
    at += ret->quote != 0;
    from = at;
    for (; at < line.len; at++) {
        if (ret->quote ? line.p[at] == ret->quote : blank(line.p[at]) || line.p[at] == ';' || line.p[at] == '#')
            break;
        if (line.p[at] == '\\' && ret->quote != '\'' && at + 1 < line.len)
            at++;
    }
    at = at < line.len ? at : line.len;
    ret->value = cut(line, from, at);
    return !ret->quote || at < line.len;
}

hf_str hf_shell_get(hf_str text, const char *name) {
    hf_str line, found = HF_STR_NONE;
    assignment a;
    for (uint32_t at = 0; hf_text_line(text, &at, &line);)
        if (read_assignment(line, &a) && hf_str_eqz(a.name, name))
            found = a.value.p ? a.value : HF_STR("");
    return found;
}

static bool end_line(hf_str text, hf_str line, hf_buf *out) {
    return line.p + line.len == text.p + text.len || hf_buf_puts(out, "\n");
}

bool hf_shell_edit(hf_str text, const char *prefix, hf_word_each *each, void *ctx, hf_buf *out) {
    hf_str line;
    assignment a;
    bool fine = true;
    for (uint32_t at = 0; fine && hf_text_line(text, &at, &line);) {
        if (read_assignment(line, &a) && hf_str_starts(a.name, hf_str_of(prefix))) {
            uint32_t from = (uint32_t)(a.value.p - line.p), to = from + a.value.len;
            fine = put(out, cut(line, 0, from)) && hf_cmdline_edit(a.value, each, ctx, out) &&
                   put(out, cut(line, to, line.len));
        } else
            fine = put(out, line);
        fine = fine && end_line(text, line, out);
    }
    return fine;
}

bool hf_shell_set(hf_str text, const char *name, const char *value, hf_buf *out) {
    hf_str line;
    assignment a;
    bool fine = !strpbrk(value, "\"\\$`\n\r"), found = false, ended = text.len == 0 || text.p[text.len - 1] == '\n';
    for (uint32_t at = 0; fine && hf_text_line(text, &at, &line);) {
        if (read_assignment(line, &a) && hf_str_eqz(a.name, name)) {
            uint32_t from = (uint32_t)(a.value.p - line.p) - (a.quote != 0),
                     to = from + a.value.len + (a.quote ? 2 : 0);
            bool bare = value[0] && strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz") == strlen(value);
            fine = put(out, cut(line, 0, from)) && hf_buf_printf(out, bare && !a.quote ? "%s" : "\"%s\"", value) &&
                   put(out, cut(line, to, line.len));
            found = true;
        } else
            fine = put(out, line);
        fine = fine && end_line(text, line, out);
    }
    return fine && (found || hf_buf_printf(out, "%s%s=\"%s\"\n", ended ? "" : "\n", name, value));
}

/* ---- the environment block ------------------------------------------------------------------------------------------------------ */
bool hf_grubenv_is(hf_str block) {
    return block.len == HF_GRUBENV_SIZE && hf_str_starts(block, HF_STR("# GRUB Environment Block\n"));
}

static bool is_variable(hf_str line, const char *name, hf_str *ret_value) {
    uint32_t len = (uint32_t)strlen(name);
    if (line.len <= len || memcmp(line.p, name, len) != 0 || line.p[len] != '=')
        return false;
    *ret_value = cut(line, len + 1, line.len);
    return true;
}

hf_str hf_grubenv_get(hf_str block, const char *name) {
    hf_str line, value, found = HF_STR_NONE;
    if (!hf_grubenv_is(block))
        return found;
    for (uint32_t at = 0; hf_text_line(block, &at, &line);)
        if (is_variable(line, name, &value))
            found = value;
    return found;
}

bool hf_grubenv_set(hf_str block, const char *name, hf_str value, char ret[HF_GRUBENV_SIZE]) {
    hf_str line, old;
    bool found = false;
    if (!hf_grubenv_is(block))
        return false;
    hf_buf out;
    hf_buf_init(&out, HF_GRUBENV_SIZE);
    while (block.len > 0 && block.p[block.len - 1] == '#')
        block.len--;
    bool fine = true;
    for (uint32_t at = 0; fine && hf_text_line(block, &at, &line);) {
        bool it = is_variable(line, name, &old);
        if (it && (found || !value.p))
            continue;
        fine = it ? hf_buf_printf(&out, "%s=", name) && put(&out, value) : put(&out, line);
        fine = fine && hf_buf_puts(&out, "\n");
        found |= it;
    }
    if (fine && !found && value.p)
        fine = hf_buf_printf(&out, "%s=", name) && put(&out, value) && hf_buf_puts(&out, "\n");
    if (fine) {
        memset(ret, '#', HF_GRUBENV_SIZE);
        memcpy(ret, out.data, out.len);
    }
    hf_buf_done(&out);
    return fine;
}

/* ---- grub.cfg ---------------------------------------------------------------------------------------------------------------------- */
enum { WORDS_MAX = 32 };

/* One word of GRUB's shell: quotes are taken off where they are around all of it. */
static bool next_word(hf_str line, uint32_t *at, hf_str *ret) {
    while (*at < line.len && blank(line.p[*at]))
        (*at)++;
    uint32_t from = *at;
    char quote = 0;
    for (; *at < line.len && (quote || !blank(line.p[*at])); (*at)++) {
        char c = line.p[*at];
        if (c == '\\' && quote != '\'' && *at + 1 < line.len)
            (*at)++;
        else if (!quote && (c == '\'' || c == '"'))
            quote = c;
        else if (c == quote)
            quote = 0;
    }
    *ret = cut(line, from, *at);
    if (ret->len >= 2 && (ret->p[0] == '\'' || ret->p[0] == '"') && ret->p[ret->len - 1] == ret->p[0])
        *ret = cut(*ret, 1, ret->len - 1);
    return *at > from;
}

static uint32_t words_of(hf_str line, hf_str words[WORDS_MAX]) {
    uint32_t n = 0, at = 0;
    while (n < WORDS_MAX && next_word(line, &at, &words[n]))
        n++;
    return n;
}

typedef struct reader {
    hf_grub_config *config;
    int32_t open[HF_GRUB_DEPTH_MAX]; /* entry whose braces are open; -1: those of something else */
    uint32_t depth;
} reader;

static int32_t innermost(const reader *r, bool submenu) {
    for (uint32_t i = r->depth; i-- > 0;)
        if (i < HF_GRUB_DEPTH_MAX && r->open[i] >= 0 && r->config->entries[r->open[i]].submenu == submenu)
            return r->open[i];
    return -1;
}

static void open_braces(reader *r, int32_t entry) {
    if (r->depth < HF_GRUB_DEPTH_MAX)
        r->open[r->depth] = entry;
    r->depth++;
}

static void begin_entry(reader *r, const hf_str *words, uint32_t n, bool submenu) {
    hf_grub_config *c = r->config;
    if (c->count == HF_GRUB_ENTRIES_MAX || r->depth >= HF_GRUB_DEPTH_MAX) {
        c->cut = true;
        open_braces(r, -1);
        return;
    }
    hf_grub_entry *e = &c->entries[c->count];
    *e = (hf_grub_entry){.title = n > 1 ? words[1] : HF_STR_NONE, .parent = innermost(r, true), .submenu = submenu};
    for (uint32_t i = 2; i + 1 < n; i++)
        if (hf_str_eqz(words[i], "$menuentry_id_option") || hf_str_eqz(words[i], "--id"))
            e->id = words[i + 1];
    open_braces(r, (int32_t)c->count++);
}

static void linux_line(reader *r, hf_str line, bool initrd) {
    int32_t i = innermost(r, false);
    hf_str word, path = HF_STR_NONE;
    uint32_t at = 0;
    if (i < 0 || !next_word(line, &at, &word))
        return;
    uint32_t from = at;
    next_word(line, &at, &path);
    hf_grub_entry *e = &r->config->entries[i];
    if (initrd)
        e->initrd = cut(line, from, line.len);
    else {
        e->kernel = path;
        e->words = cut(line, at, line.len);
    }
}

/* The UUID that a line looks for; NONE: it does not look for one. */
static hf_str searched(const hf_str *words, uint32_t n) {
    bool by_uuid = false, called = n > 1 && hf_str_eqz(words[0], "search.fs_uuid");
    hf_str uuid = HF_STR_NONE;
    for (uint32_t i = 1; i < n; i++) {
        by_uuid |= hf_str_eqz(words[i], "--fs-uuid") || hf_str_eqz(words[i], "-u");
        if (words[i].len && words[i].p[0] != '-')
            uuid = words[i];
    }
    if (called)
        uuid = words[1];
    bool it = called || (by_uuid && hf_str_eqz(words[0], "search"));
    return it && uuid.len && !memchr(uuid.p, '$', uuid.len) ? uuid : HF_STR_NONE;
}

static void search_line(reader *r, const hf_str *words, uint32_t n) {
    hf_str uuid = searched(words, n);
    if (uuid.len && r->config->search_count < HF_GRUB_SEARCHES_MAX)
        r->config->searches[r->config->search_count++] = uuid;
}

static bool is_one(hf_str word, const char *a, const char *b, const char *c) {
    return hf_str_eqz(word, a) || hf_str_eqz(word, b) || hf_str_eqz(word, c);
}

static void set_line(reader *r, hf_str word) {
    if (!hf_str_starts(word, HF_STR("default=")))
        return;
    hf_str value = cut(word, 8, word.len);
    if (value.len >= 2 && (value.p[0] == '"' || value.p[0] == '\'') && value.p[value.len - 1] == value.p[0])
        value = cut(value, 1, value.len - 1);
    if (value.len && !memchr(value.p, '$', value.len))
        r->config->fallback = value;
}

static void one_line(reader *r, hf_str line) {
    hf_str words[WORDS_MAX];
    uint32_t n = words_of(line, words);
    if (n == 0 || words[0].len == 0 || words[0].p[0] == '#')
        return;
    bool opens = hf_str_eqz(words[n - 1], "{");
    if (hf_str_eqz(words[0], "}"))
        r->depth -= r->depth > 0;
    else if (hf_str_eqz(words[0], "menuentry") || hf_str_eqz(words[0], "submenu"))
        begin_entry(r, words, n, hf_str_eqz(words[0], "submenu"));
    else if (opens)
        open_braces(r, -1);
    else if (is_one(words[0], "linux", "linux16", "linuxefi"))
        linux_line(r, line, false);
    else if (is_one(words[0], "initrd", "initrd16", "initrdefi"))
        linux_line(r, line, true);
    else if (hf_str_eqz(words[0], "search") || hf_str_eqz(words[0], "search.fs_uuid"))
        search_line(r, words, n);
    else if (hf_str_eqz(words[0], "set") && n > 1)
        set_line(r, words[1]);
    else if (hf_str_eqz(words[0], "blscfg"))
        r->config->bls = true;
}

void hf_grub_read(hf_str text, hf_grub_config *ret) {
    hf_str line;
    reader r = {.config = ret};
    *ret = (hf_grub_config){0};
    for (uint32_t at = 0; hf_text_line(text, &at, &line);)
        one_line(&r, line);
}

/* ---- which entry is meant ------------------------------------------------------------------------------------------------------------ */
/* The part of "a>b" up to the next single '>'; *rest is what follows it, NONE nothing. ">>" is a '>' of a title. */
static hf_str first_part(hf_str value, hf_str *rest) {
    for (uint32_t i = 0; i < value.len; i++) {
        if (value.p[i] != '>')
            continue;
        if (i + 1 < value.len && value.p[i + 1] == '>') {
            i++;
            continue;
        }
        *rest = cut(value, i + 1, value.len);
        return cut(value, 0, i);
    }
    *rest = HF_STR_NONE;
    return value;
}

/* The same text, where part has ">>" for each '>'. */
static bool same_title(hf_str part, hf_str title) {
    uint32_t k = 0;
    for (uint32_t i = 0; i < part.len; i++, k++) {
        if (k >= title.len || part.p[i] != title.p[k])
            return false;
        i += part.p[i] == '>' && i + 1 < part.len && part.p[i + 1] == '>';
    }
    return k == title.len;
}

static int32_t find_in(const hf_grub_config *c, int32_t parent, hf_str part) {
    int32_t number = 0, place = 0;
    bool counts = part.len > 0 && part.len < 4;
    for (uint32_t i = 0; i < part.len && counts; i++) {
        counts = part.p[i] >= '0' && part.p[i] <= '9';
        number = number * 10 + (part.p[i] - '0');
    }
    for (uint32_t i = 0; i < c->count; i++) {
        const hf_grub_entry *e = &c->entries[i];
        if (e->parent != parent)
            continue;
        if ((counts && place == number) ||
            (!counts && ((e->id.len && hf_str_eq(e->id, part)) || same_title(part, e->title))))
            return (int32_t)i;
        place++;
    }
    return -1;
}

int32_t hf_grub_find(const hf_grub_config *c, hf_str value) {
    int32_t at = -1;
    for (int depth = 0; value.len > 0 && depth < HF_GRUB_DEPTH_MAX; depth++) {
        hf_str rest, part = first_part(value, &rest);
        at = find_in(c, at, part);
        if (at < 0 || !rest.p)
            return at;
        value = rest;
    }
    return at;
}

bool hf_grub_path(const hf_grub_config *c, uint32_t entry, char *ret, size_t size) {
    uint32_t chain[HF_GRUB_DEPTH_MAX], n = 0;
    for (int32_t i = (int32_t)entry; i >= 0 && n < HF_GRUB_DEPTH_MAX; i = c->entries[i].parent)
        chain[n++] = (uint32_t)i;
    hf_buf out;
    hf_buf_init(&out, size - 1);
    bool fine = true;
    while (fine && n-- > 0) {
        const hf_grub_entry *e = &c->entries[chain[n]];
        hf_str name = e->id.len ? e->id : e->title;
        for (uint32_t k = 0; fine && k < name.len; k++)
            fine = hf_buf_put(&out, name.p + k, 1) && (e->id.len || name.p[k] != '>' || hf_buf_puts(&out, ">"));
        fine = fine && name.len > 0 && (n == 0 || hf_buf_puts(&out, ">"));
    }
    hf_str made = hf_buf_str(&out);
    if (fine)
        snprintf(ret, size, "%.*s", HF_STR_ARG(made));
    hf_buf_done(&out);
    return fine && hf_grub_find(c, hf_str_of(ret)) == (int32_t)entry;
}

/* ---- small files on the EFI system partition ------------------------------------------------------------------------------------------- */
bool hf_grub_edit_searches(hf_str text, bool (*wrong)(void *ctx, hf_str uuid), void *ctx, const char *uuid,
                           hf_buf *out) {
    hf_str line;
    bool fine = true;
    for (uint32_t at = 0; fine && hf_text_line(text, &at, &line);) {
        hf_str words[WORDS_MAX], old = HF_STR_NONE;
        uint32_t n = words_of(line, words);
        if (n > 0)
            old = searched(words, n);
        if (old.len && wrong(ctx, old)) {
            uint32_t from = (uint32_t)(old.p - line.p);
            fine =
                put(out, cut(line, 0, from)) && hf_buf_puts(out, uuid) && put(out, cut(line, from + old.len, line.len));
        } else
            fine = put(out, line);
        fine = fine && end_line(text, line, out);
    }
    return fine;
}

bool hf_grub_map_changes(hf_str text) {
    hf_str line;
    for (uint32_t at = 0; hf_text_line(text, &at, &line);) {
        hf_str words[WORDS_MAX];
        uint32_t n = words_of(line, words);
        if (n == 2 && words[0].len && words[0].p[0] == '(' && hf_device_changes(words[1]))
            return true;
    }
    return false;
}
