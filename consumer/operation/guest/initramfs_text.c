/* Configuration of dracut, initramfs-tools and mkinitcpio as text. All three are read by a shell; what is understood here is what people write:
 * one assignment a line, words between quotes or parentheses. */
#include "consumer/operation/guest/initramfs_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/initramfs_scan.h"

static const char space[] = " \t\r\n";

static const char *next_line(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

static bool word_is(const char *word, size_t len, const char *name) {
    if (len != strlen(name))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((word[i] == '-' ? '_' : word[i]) != name[i])
            return false;
    return true;
}

/* Whether name is one of the words in that run of text; # begins a comment. */
static bool among(const char *from, size_t len, const char *name) {
    const char *end = from + len;
    while (from < end) {
        while (from < end && (strchr(space, *from) || *from == '"' || *from == '\''))
            from++;
        const char *word = from;
        while (from < end && *from && !strchr(space, *from) && *from != '"' && *from != '\'')
            from++;
        if (word < from && *word == '#') {
            while (from < end && *from != '\n')
                from++;
        } else if (word_is(word, (size_t)(from - word), name))
            return true;
        if (from < end && !*from)
            return false;
    }
    return false;
}

bool hf_modules_list(const char *text, const char *name) {
    for (const char *line = text; line && *line; line = next_line(line))
        if (hf_is_module(line, strcspn(line, ": \t\r\n"), name))
            return true;
    return false;
}

bool hf_kernel_version_ok(const char *version) {
    size_t len = strlen(version);
    if (len == 0 || len > 128 || version[0] == '.' || version[0] == '-')
        return false;
    for (const char *c = version; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._+~-", *c))
            return false;
    return true;
}

/* ---- an assignment: NAME=value, NAME+=value ------------------------------------------------------------------------------------- */
typedef struct value {
    const char *from; /* behind the opening quote or parenthesis */
    size_t len;
    bool adds, whole; /* +=; it is closed */
} value;

static value value_at(const char *at) {
    value v = {.whole = true};
    char close = *at == '(' ? ')' : *at == '"' || *at == '\'' ? *at : 0;
    v.from = at + (close != 0);
    if (!close) {
        v.len = strcspn(v.from, " \t\r\n#;");
        return v;
    }
    const char *end = v.from;
    bool comment = false;
    for (; *end && (comment || *end != close); end++)
        comment = close == ')' && (comment ? *end != '\n' : *end == '#' && end > at && strchr(" \t\n(", end[-1]));
    v.len = (size_t)(end - v.from);
    v.whole = *end == close;
    return v;
}

/* The next assignment to that variable at or behind `line`; NULL: none. *ret_next is where to look on. */
static const char *assignment(const char *line, const char *name, value *ret, const char **ret_next) {
    size_t len = strlen(name);
    for (; *line; line = next_line(line)) {
        const char *at = line + strspn(line, " \t");
        if (strncmp(at, name, len) != 0)
            continue;
        bool adds = at[len] == '+';
        if (at[len + adds] != '=')
            continue;
        *ret = value_at(at + len + adds + 1);
        ret->adds = adds;
        *ret_next = next_line(ret->from + ret->len);
        return at;
    }
    return NULL;
}

/* Whether what the variable holds at the end has the word. */
static bool names(const char *text, const char *variable, const char *name) {
    bool has = false;
    value v;
    for (const char *line = text; line && *line && assignment(line, variable, &v, &line);)
        has = among(v.from, v.len, name) || (v.adds && has);
    return has;
}

/* ---- dracut ------------------------------------------------------------------------------------------------------------------------ */
bool hf_dracut_names(const char *text, const char *name) {
    return names(text, "add_drivers", name) || names(text, "force_drivers", name);
}

static bool is_one_of(const char *word, const char *const *list) {
    for (; *list; list++)
        if (word_is(word, strlen(word), *list))
            return true;
    return false;
}

bool hf_dracut_with(const char *before, const char *const *list, hf_buf *to) {
    bool missing = false;
    for (const char *const *name = list; *name; name++)
        missing |= !hf_dracut_names(before, *name);
    if (!missing)
        return hf_buf_puts(to, before ? before : "");
    value v = {.from = ""};
    const char *next;
    if (before)
        assignment(before, "add_drivers", &v, &next);
    bool fine = hf_buf_puts(to, "# What this guest boots with as a virtual machine on KVM.\nadd_drivers+=\"");
    for (const char *at = v.from, *end = at + v.len; fine && at < end;) {
        at += strspn(at, space);
        size_t n = strcspn(at, " \t\r\n\"");
        if (at >= end || n == 0 || n > (size_t)(end - at))
            break;
        char word[66];
        snprintf(word, sizeof word, " %.*s", (int)(n < 64 ? n : 64), at);
        if (hf_kernel_version_ok(word + 1) && !is_one_of(word + 1, list))
            fine = hf_buf_puts(to, word);
        at += n;
    }
    for (; fine && *list; list++)
        fine = hf_buf_puts(to, " ") && hf_buf_puts(to, *list);
    return fine && hf_buf_puts(to, " \"\n");
}

/* ---- initramfs-tools ---------------------------------------------------------------------------------------------------------------- */
bool hf_tools_names(const char *text, const char *name) {
    for (const char *line = text; line && *line; line = next_line(line)) {
        const char *word = line + strspn(line, " \t");
        if (word_is(word, strcspn(word, " \t\r\n#"), name))
            return true;
    }
    return false;
}

bool hf_tools_with(const char *before, const char *const *list, hf_buf *to) {
    size_t len = before ? strlen(before) : 0;
    bool fine = hf_buf_puts(to, before ? before : ""), ended = len == 0 || before[len - 1] == '\n';
    for (; fine && *list; list++) {
        if (hf_tools_names(before, *list))
            continue;
        fine = (ended || hf_buf_puts(to, "\n")) && hf_buf_puts(to, *list) && hf_buf_puts(to, "\n");
        ended = true;
    }
    return fine;
}

/* ---- mkinitcpio ------------------------------------------------------------------------------------------------------------------------ */
bool hf_mkinitcpio_names(const char *text, const char *name) { return names(text, "MODULES", name); }

static bool put_missing(hf_buf *to, const char *const *list, const char *text) {
    bool fine = true;
    for (; fine && *list; list++)
        if (!hf_mkinitcpio_names(text, *list))
            fine = hf_buf_puts(to, " ") && hf_buf_puts(to, *list);
    return fine;
}

bool hf_mkinitcpio_with(const char *before, const char *const *list, hf_buf *to) {
    const char *text = before ? before : "";
    value v = {0}, last = {0};
    bool missing = false;
    for (const char *line = text; *line && assignment(line, "MODULES", &v, &line);)
        if (!last.from || !v.adds)
            last = v;
    for (const char *const *name = list; *name; name++)
        missing |= !hf_mkinitcpio_names(text, *name);
    if (!missing)
        return hf_buf_puts(to, text);
    if (!last.from) {
        bool fine = hf_buf_puts(to, text) && (!*text || text[strlen(text) - 1] == '\n' || hf_buf_puts(to, "\n"));
        fine = fine && hf_buf_puts(to, "MODULES=(") && put_missing(to, list, text);
        return fine && hf_buf_puts(to, " )\n");
    }
    char before_value = last.from > text ? last.from[-1] : 0;
    if (!last.whole || !before_value || !strchr("(\"'", before_value) || memchr(last.from, '#', last.len))
        return false; /* no list that is known, or one with comments in it */
    return hf_buf_put(to, text, (size_t)(last.from + last.len - text)) && put_missing(to, list, text) &&
           hf_buf_puts(to, last.from + last.len);
}

bool hf_mkinitcpio_image(const char *preset, char *to, size_t size) {
    value v;
    const char *next;
    if (!preset || !*preset || !assignment(preset, "default_image", &v, &next) || !v.whole || v.len == 0 ||
        v.len >= size)
        return false;
    snprintf(to, size, "%.*s", (int)v.len, v.from);
    for (const char *c = to; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("/._+-", *c))
            return false;
    return to[0] == '/' && !strstr(to, "/.") && to[strlen(to) - 1] != '/';
}
