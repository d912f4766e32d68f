#include "consumer/operation/guest/offline_text.h"

#include <ctype.h>
#include <string.h>

static const char *const modules[] = {"vmw_pvscsi",  "pvscsi",    "vmxnet",  "vmxnet3",
                                      "vmw_balloon", "vmmemctl",  "vmhgfs",  "vmblock",
                                      "vmci",        "vmw_vmci",  "vmwgfx",  "vmw_vsock_vmci_transport",
                                      "vmsync",      "vmdesched", "vmxdisp", "vmnet"};

bool hf_vmware_module(hf_str name) {
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (hf_str_eqz(name, modules[i]))
            return true;
    return false;
}

/* ---- lines and words ------------------------------------------------------------------------------------------------- */
/* The next line with its newline; false at the end. */
static bool next_line(hf_str text, uint32_t *at, hf_str *ret) {
    if (*at >= text.len)
        return false;
    const char *from = text.p + *at, *end = memchr(from, '\n', text.len - *at);
    ret->p = from;
    ret->len = end ? (uint32_t)(end - from) + 1 : text.len - *at;
    *at += ret->len;
    return true;
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The next word of a line; a comment ends it. */
static bool next_word(hf_str line, uint32_t *at, hf_str *ret) {
    while (*at < line.len && blank(line.p[*at]))
        ++*at;
    if (*at >= line.len || line.p[*at] == '#')
        return false;
    uint32_t from = *at;
    while (*at < line.len && !blank(line.p[*at]))
        ++*at;
    *ret = (hf_str){line.p + from, *at - from};
    return true;
}

static bool begins(hf_str text, const char *z) {
    size_t len = strlen(z);
    return text.len >= len && memcmp(text.p, z, len) == 0;
}

static hf_str behind(hf_str text, uint32_t n) { return (hf_str){text.p + n, text.len - n}; }

bool hf_vmware_out_of_lines(hf_str text, hf_buf *to) {
    hf_str line, word;
    bool fine = true;
    for (uint32_t at = 0; fine && next_line(text, &at, &line);) {
        uint32_t inside = 0;
        if (!next_word(line, &inside, &word) || !hf_vmware_module(word))
            fine = hf_buf_put(to, line.p, line.len);
    }
    return fine;
}

/* The nth word of a line (0 the first); empty where it has fewer. */
static hf_str word_of(hf_str line, int n) {
    hf_str word = HF_STR("");
    uint32_t at = 0;
    for (int i = 0; i <= n; i++)
        if (!next_word(line, &at, &word))
            return HF_STR("");
    return word;
}

bool hf_vmware_out_of_fstab(hf_str text, hf_buf *to) {
    hf_str line;
    bool fine = true;
    for (uint32_t at = 0; fine && next_line(text, &at, &line);) {
        hf_str type = word_of(line, 2);
        bool out = hf_str_eqz(type, "vmhgfs") || hf_str_eqz(type, "fuse.vmhgfs-fuse");
        fine = (!out || hf_buf_puts(to, "#")) && hf_buf_put(to, line.p, line.len);
    }
    return fine;
}

bool hf_vmware_out_of_aliases(hf_str text, hf_buf *to) {
    hf_str line;
    bool fine = true;
    for (uint32_t at = 0; fine && next_line(text, &at, &line);)
        if (!hf_str_eqz(word_of(line, 0), "alias") || !hf_vmware_module(word_of(line, 2)))
            fine = hf_buf_put(to, line.p, line.len);
    return fine;
}

uint32_t hf_net_rules_count(hf_str text) {
    hf_str line;
    uint32_t n = 0;
    for (uint32_t at = 0; next_line(text, &at, &line);)
        n +=
            word_of(line, 0).len && memmem(line.p, line.len, "{address}==", 11) && memmem(line.p, line.len, "NAME=", 5);
    return n;
}

static bool has_modules_words(hf_str line) {
    static const char *const names[] = {"add_drivers", "force_drivers", "drivers", "MODULES"};
    uint32_t at = 0;
    while (at < line.len && blank(line.p[at]))
        at++;
    hf_str rest = behind(line, at);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        if (begins(rest, names[i]) && rest.len > len && (rest.p[len] == '=' || rest.p[len] == '+'))
            return true;
    }
    return false;
}

/* A word's own letters: what stands between blanks, quotes and brackets. */
static bool is_letter(char c) { return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.'; }

static bool put_without(hf_str line, hf_buf *to) {
    bool fine = true, value = false;
    for (uint32_t at = 0; fine && at < line.len;) {
        uint32_t from = at;
        if (!is_letter(line.p[at])) {
            value = value || line.p[at] == '=';
            fine = hf_buf_put(to, line.p + at++, 1);
            continue;
        }
        while (at < line.len && is_letter(line.p[at]))
            at++;
        hf_str word = {line.p + from, at - from};
        if (!value || !hf_vmware_module(word))
            fine = hf_buf_put(to, word.p, word.len);
        else if (at < line.len && line.p[at] == ' ')
            at++; /* one of the two blanks around it */
    }
    return fine;
}

bool hf_vmware_out_of_words(hf_str text, hf_buf *to) {
    hf_str line;
    bool fine = true;
    for (uint32_t at = 0; fine && next_line(text, &at, &line);)
        fine = has_modules_words(line) ? put_without(line, to) : hf_buf_put(to, line.p, line.len);
    return fine;
}

static bool put_driver(hf_str line, hf_buf *to) {
    static const struct {
        const char *old, *now;
    } drivers[] = {{"\"vmware\"", "\"modesetting\""}, {"\"vmmouse\"", "\"libinput\""}};
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
        const char *found = memmem(line.p, line.len, drivers[i].old, strlen(drivers[i].old));
        if (!found)
            continue;
        uint32_t before = (uint32_t)(found - line.p), after = before + (uint32_t)strlen(drivers[i].old);
        return hf_buf_put(to, line.p, before) && hf_buf_puts(to, drivers[i].now) &&
               hf_buf_put(to, line.p + after, line.len - after);
    }
    return hf_buf_put(to, line.p, line.len);
}

bool hf_vmware_out_of_xorg(hf_str text, hf_buf *to) {
    hf_str line, word;
    bool fine = true;
    for (uint32_t at = 0; fine && next_line(text, &at, &line);) {
        uint32_t inside = 0;
        bool driver = next_word(line, &inside, &word) && word.len == 6 && strncasecmp(word.p, "Driver", 6) == 0;
        fine = driver ? put_driver(line, to) : hf_buf_put(to, line.p, line.len);
    }
    return fine;
}

/* ---- interfaces ---------------------------------------------------------------------------------------------------------- */
bool hf_net_is_card(hf_str name) {
    static const char *const prefixes[] = {"eth", "ens", "enp", "eno", "enP", "enx", "em"};
    if (name.len == 0 || name.len >= HF_NET_NAME_BYTES)
        return false;
    for (uint32_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.p[i])) /* patterns, VLANs, aliases */
            return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t len = strlen(prefixes[i]);
        if (begins(name, prefixes[i]) && name.len > len && isxdigit((unsigned char)name.p[len]))
            return true;
    }
    return false;
}

static bool is_among(const hf_net_names *names, hf_str name) {
    for (uint32_t i = 0; i < names->count; i++)
        if (hf_str_eqz(name, names->all[i]))
            return true;
    return false;
}

void hf_net_add(hf_net_names *names, hf_str name) {
    if (!hf_net_is_card(name) || is_among(names, name))
        return;
    if (names->count == HF_NET_NAMES_MAX) {
        names->more = true;
        return;
    }
    memcpy(names->all[names->count], name.p, name.len);
    names->all[names->count++][name.len] = 0;
}

void hf_net_of_interfaces(hf_str text, hf_net_names *names) {
    hf_str line, word, name;
    for (uint32_t at = 0; next_line(text, &at, &line);) {
        uint32_t inside = 0;
        if (!next_word(line, &inside, &word))
            continue;
        bool many = hf_str_eqz(word, "auto") || begins(word, "allow-");
        if (!many && !hf_str_eqz(word, "iface"))
            continue;
        while (next_word(line, &inside, &name)) {
            hf_net_add(names, name);
            if (!many)
                break;
        }
    }
}

static uint32_t indent(hf_str line) {
    uint32_t n = 0;
    while (n < line.len && line.p[n] == ' ')
        n++;
    return n;
}

/* "name:" in quotes or not. */
static hf_str key_of(hf_str line) {
    hf_str key = behind(line, indent(line));
    const char *colon = memchr(key.p, ':', key.len);
    key.len = colon ? (uint32_t)(colon - key.p) : 0;
    if (key.len >= 2 && (*key.p == '"' || *key.p == '\'') && key.p[key.len - 1] == *key.p)
        key = (hf_str){key.p + 1, key.len - 2};
    return key;
}

void hf_net_of_netplan(hf_str text, hf_net_names *names) {
    hf_str line, card = HF_STR_NONE;
    uint32_t block = UINT32_MAX, level = 0; /* the indent of ethernets:, and of what is in it */
    for (uint32_t at = 0; next_line(text, &at, &line);) {
        uint32_t in = indent(line), inside = 0;
        hf_str word;
        if (!next_word(line, &inside, &word))
            continue;
        hf_str key = key_of(line);
        if (block != UINT32_MAX && in <= block)
            block = UINT32_MAX;
        if (block == UINT32_MAX) {
            if (card.p)
                hf_net_add(names, card);
            card = HF_STR_NONE;
            block = hf_str_eqz(key, "ethernets") ? in : UINT32_MAX;
            level = 0;
            continue;
        }
        level = level ? level : in;
        if (in == level) {
            if (card.p)
                hf_net_add(names, card);
            card = memmem(line.p, line.len, "match", 5) ? HF_STR_NONE : key; /* its own value may be in flow style */
        } else if (hf_str_eqz(key, "match")) {
            card = HF_STR_NONE; /* then its key is a label */
        }
    }
    if (card.p)
        hf_net_add(names, card);
}

enum { FLOW_MAX = 16 }; /* as many mappings are looked at */

/* Where the value of a key that ends there begins; 0: it is no key. */
static uint32_t flow_value(hf_str text, uint32_t at) {
    at += at < text.len && (text.p[at] == '"' || text.p[at] == '\'');
    while (at < text.len && blank(text.p[at]))
        at++;
    if (at >= text.len || text.p[at] != ':')
        return 0;
    while (++at < text.len && blank(text.p[at]))
        ;
    return at;
}

/* The first such card behind the bracket that opens the mapping. */
static hf_str flow_card(hf_str text, uint32_t at, const hf_net_names *names) {
    hf_str card = HF_STR("");
    for (uint32_t depth = 1; at < text.len && depth > 0;) {
        char c = text.p[at++];
        uint32_t from = at - 1;
        if (is_letter(c)) {
            while (at < text.len && is_letter(text.p[at]))
                at++;
            hf_str word = {text.p + from, at - from};
            if (depth == 1 && flow_value(text, at))
                card = word;
            else if (depth == 2 && hf_str_eqz(word, "match"))
                card = HF_STR(""); /* then its key is a label */
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth == 0 || (depth == 1 && c == ',')) {
            if (hf_net_is_card(card) && !is_among(names, card))
                return card;
            card = HF_STR("");
        }
    }
    return HF_STR("");
}

hf_str hf_net_of_flow(hf_str text, const hf_net_names *names) {
    static const char key[] = "ethernets";
    const uint32_t key_len = sizeof key - 1;
    hf_str card = HF_STR("");
    uint32_t at = 0;
    for (int i = 0; i < FLOW_MAX && card.len == 0 && at < text.len; i++) {
        const char *found = memmem(text.p + at, text.len - at, key, key_len);
        if (!found)
            break;
        at = (uint32_t)(found - text.p) + key_len;
        const char *line = memrchr(text.p, '\n', (size_t)(found - text.p));
        line = line ? line : text.p;
        uint32_t value = flow_value(text, at);
        if (value && value < text.len && text.p[value] == '{' && !memchr(line, '#', (size_t)(found - line)))
            card = flow_card(text, value + 1, names);
    }
    return card;
}

static hf_str value_of(hf_str line, uint32_t from) {
    hf_str value = behind(line, from);
    while (value.len && blank(value.p[value.len - 1]))
        value.len--;
    while (value.len && blank(*value.p))
        value = behind(value, 1);
    return value;
}

void hf_net_of_keyfile(hf_str text, hf_net_names *names) {
    hf_str line;
    bool match = false;
    for (uint32_t at = 0; next_line(text, &at, &line);) {
        if (line.len && *line.p == '[')
            match = begins(line, "[Match]");
        if (begins(line, "interface-name="))
            hf_net_add(names, value_of(line, 15));
        if (match && begins(line, "Name=")) {
            hf_str value = value_of(line, 5), word;
            for (uint32_t inside = 0; next_word(value, &inside, &word);)
                hf_net_add(names, word);
        }
    }
}

bool hf_net_pins_address(hf_str text) {
    static const char *const keys[] = {
        "HWADDR=", "hwaddress", "hwaddr=", "macaddress:", "mac-address=", "MACAddress=", "ATTR{address}=="};
    hf_str line, word;
    for (uint32_t at = 0; next_line(text, &at, &line);) {
        for (uint32_t inside = 0; next_word(line, &inside, &word);)
            for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
                if (begins(word, keys[i]))
                    return true;
    }
    return false;
}

bool hf_net_kernel_names(hf_str command_line) {
    return memmem(command_line.p ? command_line.p : "", command_line.len, "net.ifnames=0", 13) != NULL;
}

bool hf_net_address_ok(hf_str address) {
    if (address.len != 17)
        return false;
    for (uint32_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? address.p[i] != ':' : !isxdigit((unsigned char)address.p[i]))
            return false;
    return true;
}

bool hf_net_link(const char *name, const char *address, hf_buf *to) {
    return hf_buf_puts(
               to,
               "# Keeps the name that the network's configuration has, behind another card (hyperfleet, offline_fix).\n[Match]\n") &&
           (*address ? hf_buf_printf(to, "MACAddress=%s\n", address)
                     : hf_buf_puts(to, "Driver=virtio_net e1000 e1000e\n")) &&
           hf_buf_printf(to, "\n[Link]\nName=%s\n", name);
}
