/* SELinux's configuration as text. */
#include "consumer/operation/guest/selinux_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *next_line(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

/* The value of VARIABLE= at the beginning of the line (blanks before it are passed over), without blanks behind it. */
static bool value_of(const char *line, const char *variable, char *to, size_t size) {
    size_t len = strlen(variable);
    line += strspn(line, " \t");
    if (strncmp(line, variable, len) != 0 || line[len] != '=')
        return false;
    const char *from = line + len + 1;
    size_t n = strcspn(from, "\r\n");
    while (n > 0 && isspace((unsigned char)from[n - 1]))
        n--;
    snprintf(to, size, "%.*s", (int)(n < size ? n : size - 1), from);
    return true;
}

/* By its beginning and without regard to case, as libselinux does. */
static hf_selinux_mode mode_of(const char *word) {
    return strncasecmp(word, "enforcing", 9) == 0     ? HF_SELINUX_ENFORCING
           : strncasecmp(word, "permissive", 10) == 0 ? HF_SELINUX_PERMISSIVE
           : strncasecmp(word, "disabled", 8) == 0    ? HF_SELINUX_DISABLED
                                                      : HF_SELINUX_BAD;
}

const char *hf_selinux_mode_name(hf_selinux_mode mode) {
    switch (mode) {
    case HF_SELINUX_ENFORCING: return "enforcing";
    case HF_SELINUX_PERMISSIVE: return "permissive";
    case HF_SELINUX_DISABLED: return "disabled";
    case HF_SELINUX_BAD: return "unknown";
    case HF_SELINUX_UNSET:
    default: return "not set";
    }
}

static bool is_name(const char *word) {
    if (!*word || *word == '.')
        return false;
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && !strchr("._-", *word))
            return false;
    return true;
}

void hf_selinux_parse(const char *text, hf_selinux_config *ret) {
    *ret = (hf_selinux_config){0};
    for (const char *line = text; *line; line = next_line(line)) {
        char word[sizeof ret->type];
        if (value_of(line, "SELINUXTYPE", word, sizeof word))
            memcpy(ret->type, word, sizeof word);
        else if (ret->mode != HF_SELINUX_ENFORCING && ret->mode != HF_SELINUX_PERMISSIVE &&
                 ret->mode != HF_SELINUX_DISABLED && value_of(line, "SELINUX", word, sizeof word)) {
            ret->mode = mode_of(word);
            memcpy(ret->mode_word, word, sizeof word);
        }
    }
    ret->type_ok = !*ret->type || is_name(ret->type);
}

bool hf_selinux_set(const char *text, const char *variable, const char *value, hf_buf *to) {
    bool found = false, fine = true;
    char word[8];
    for (const char *line = text, *next; fine && *line; line = next) {
        next = next_line(line);
        size_t end = strcspn(line, "\r\n");
        if (value_of(line, variable, word, sizeof word)) {
            found = true;
            fine = hf_buf_puts(to, variable) && hf_buf_puts(to, "=") && hf_buf_puts(to, value) &&
                   hf_buf_put(to, line + end, (size_t)(next - line) - end);
        } else
            fine = hf_buf_put(to, line, (size_t)(next - line));
    }
    size_t len = strlen(text);
    if (fine && !found && len && text[len - 1] != '\n')
        fine = hf_buf_puts(to, "\n");
    if (fine && !found)
        fine = hf_buf_puts(to, variable) && hf_buf_puts(to, "=") && hf_buf_puts(to, value) && hf_buf_puts(to, "\n");
    return fine;
}

bool hf_selinux_word(const char *text, const char *word) {
    size_t len = strlen(word);
    for (const char *line = text; *line; line = next_line(line)) {
        const char *at = line + strspn(line, " \t"), *end = line + strcspn(line, "\n");
        if (*at == '#')
            continue;
        for (; (at = memmem(at, (size_t)(end - at), word, len)) != NULL; at += len)
            if ((at == line || strchr(" \t\"'=", at[-1])) && (!at[len] || strchr(" \t\r\n\"'", at[len])))
                return true;
    }
    return false;
}
