/* Finding a key, and the key that was meant. */
#include <stdio.h>
#include <strings.h>

#include "schemas/base/config_table.h"
#include "schemas/base/mem.h"

hf_config_key hf_config_find(hf_str key) {
    int i = 0;
    while (i < HF_CONFIG_COUNT && !hf_str_eqz(key, hf_config_rows[i].key))
        i++;
    return (hf_config_key)i;
}

bool hf_config_is_section(hf_str section) {
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        hf_str key = hf_str_of(hf_config_rows[i].key);
        if (key.len > section.len && hf_str_starts(key, section) && key.p[section.len] == '.')
            return true;
    }
    return false;
}

static unsigned min3(unsigned a, unsigned b, unsigned c) {
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance, one row at a time; texts past the bound count as far apart. */
static unsigned distance(const char *a, const char *b) {
    enum { MAX = 64 };
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[MAX + 1];
    if (la > MAX || lb > MAX)
        return MAX;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[lb];
}

hf_config_key hf_config_nearest(const char *name, void (*spell)(const char *key, char *text), unsigned *ret_distance) {
    hf_config_key best = (hf_config_key)0;
    *ret_distance = ~0u;
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        char text[HF_CONFIG_KEY_BYTES];
        if (spell)
            spell(hf_config_rows[i].key, text);
        else
            snprintf(text, sizeof text, "%s", hf_config_rows[i].key);
        unsigned d = distance(name, text);
        const char *last = strrchr(text, '.');
        if (last && strcasecmp(name, last + 1) == 0)
            d = 1; /* "slots" for "worker.slots": the section was forgotten */
        if (d < *ret_distance) {
            *ret_distance = d;
            best = (hf_config_key)i;
        }
    }
    return best;
}

hf_code hf_config_fail_unknown(hf_err *reterr, const char *key) {
    unsigned d;
    hf_config_key near = hf_config_nearest(key, NULL, &d);
    if (d <= strlen(key) / 2 + 1)
        return hf_fail(reterr, HF_E_CONFIG, "unknown key \"%.100s\"; did you mean \"%s\"?", key,
                       hf_config_rows[near].key);
    return hf_fail(reterr, HF_E_CONFIG,
                   "unknown key \"%.100s\"; `hyperctl config show` lists them all (nearest: \"%s\")", key,
                   hf_config_rows[near].key);
}

bool hf_config_name_is_secret(const char *name) {
    static const char *const words[] = {"password", "secret",     "token",      "jaas",          "oauthbearer.config",
                                        "key.pem",  "credential", "passphrase", "authorization", "basic.auth"};
    size_t len = strlen(name);
    if (len > 5 && strcasecmp(name + len - 5, "_file") == 0)
        return false; /* where a secret is, not what it is */
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}
