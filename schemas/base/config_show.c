/* What is in force, and what there is to set. */
#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/config_table.h"
#include "schemas/base/mem.h"

enum { SHOW_BYTES = 4 << 20 };

/* A double-quoted YAML scalar; JSON's escapes are YAML's. */
static void put_quoted(hf_buf *b, hf_str s) {
    hf_buf_puts(b, "\"");
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            hf_buf_printf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            hf_buf_printf(b, "\\x%02x", c);
        else
            hf_buf_put(b, s.p + i, 1);
    }
    hf_buf_puts(b, "\"");
}

/* Text with the user part of a URL (https://user:password@host) left out. */
static void put_text(hf_buf *b, const char *text) {
    const char *host = strstr(text, "://");
    const char *at = host ? strchr(host + 3, '@') : NULL;
    if (!at || strcspn(host + 3, "/") < (size_t)(at - host - 3)) {
        put_quoted(b, hf_str_of(text));
        return;
    }
    hf_buf masked;
    hf_buf_init(&masked, SHOW_BYTES);
    hf_buf_printf(&masked, "%.*s***%s", (int)(host + 3 - text), text, at);
    put_quoted(b, hf_buf_str(&masked));
    b->failed |= masked.failed;
    hf_buf_done(&masked);
}

/* Webhooks have secrets where nothing else has: in the values of headers, and behind the host of a URL. */
static bool put_webhook_member(hf_buf *b, const char *key, const json_t *value) {
    const char *name, *gap = "", *url = json_string_value(value), *host = url ? strstr(url, "://") : NULL;
    json_t *item;
    if (strcmp(key, "url") == 0 && host) {
        size_t len = strcspn(host += 3, "/?#\"\\");
        const char *at = memrchr(host, '@', len), *from = at ? at + 1 : host;
        hf_buf_printf(b, "\"%.*s%.*s/***\"", (int)(host - url), url, (int)(host + len - from), from);
        return true;
    }
    if (strcmp(key, "headers") != 0 || !json_is_object(value))
        return false;
    hf_buf_puts(b, "{");
    json_object_foreach((json_t *)(uintptr_t)value, name, item) {
        hf_buf_puts(b, gap);
        put_quoted(b, hf_str_of(name));
        hf_buf_puts(b, ": \"***\"");
        gap = ", ";
    }
    hf_buf_puts(b, "}");
    return true;
}

static void put_json(hf_buf *b, const json_t *value, bool webhooks) {
    const char *key, *gap = "";
    json_t *item;
    size_t i;
    char number[40];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        hf_buf_puts(b, "{");
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            hf_buf_puts(b, gap);
            put_quoted(b, hf_str_of(key));
            hf_buf_puts(b, ": ");
            if (hf_config_name_is_secret(key))
                hf_buf_puts(b, "\"***\"");
            else if (!webhooks || !put_webhook_member(b, key, item))
                put_json(b, item, webhooks);
            gap = ", ";
        }
        hf_buf_puts(b, "}");
        return;
    case JSON_ARRAY:
        hf_buf_puts(b, "[");
        json_array_foreach(value, i, item) {
            hf_buf_puts(b, i ? ", " : "");
            put_json(b, item, webhooks);
        }
        hf_buf_puts(b, "]");
        return;
    case JSON_STRING: put_text(b, json_string_value(value)); return;
    case JSON_INTEGER: hf_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); return;
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
        hf_buf_puts(b, number);
        return;
    case JSON_TRUE: hf_buf_puts(b, "true"); return;
    case JSON_FALSE: hf_buf_puts(b, "false"); return;
    case JSON_NULL: hf_buf_puts(b, "null"); return;
    }
}

static void put_value(hf_buf *b, const hf_config_row *row, const hf_config_value *value) {
    hf_buf_printf(b, "%s: ", row->key);
    switch (row->kind) {
    case HF_CK_JSON:
        if (value->json)
            put_json(b, value->json, strcmp(row->key, "webhooks") == 0);
        else
            hf_buf_puts(b, "null");
        break;
    case HF_CK_SECRET: hf_buf_puts(b, value->text && *value->text ? "\"***\"" : "\"\""); break;
    case HF_CK_STR: put_text(b, value->text ? value->text : ""); break;
    case HF_CK_BOOL: hf_buf_puts(b, value->num ? "true" : "false"); break;
    case HF_CK_INT:
    case HF_CK_SIZE:
    case HF_CK_DURATION:
    case HF_CK_ENUM: hf_buf_puts(b, value->text); break;
    }
    hf_buf_printf(b, "  # %s\n", value->source ? value->source : "default");
}

static char *take_text(hf_buf *b) {
    hf_buf_put(b, "", 1);
    if (b->failed) {
        hf_buf_done(b);
        return NULL;
    }
    return (char *)b->data;
}

char *hf_config_show(const hf_config *c) {
    hf_buf b;
    hf_buf_init(&b, SHOW_BYTES);
    for (int i = 0; i < HF_CONFIG_COUNT; i++)
        put_value(&b, &hf_config_rows[i], &c->values[i]);
    const char *name;
    json_t *text;
    json_object_foreach(c->kafka, name, text) {
        hf_buf_printf(&b, "kafka.%s: ", name);
        if (hf_config_name_is_secret(name))
            hf_buf_puts(&b, "\"***\"");
        else
            put_text(&b, json_string_value(text));
        hf_buf_printf(&b, "  # %s\n", json_string_value(json_object_get(c->kafka_sources, name)));
    }
    return take_text(&b);
}

/* ---- reference --------------------------------------------------------------------------------- */
static const char *kind_name(hf_config_kind kind) {
    switch (kind) {
    case HF_CK_STR: return "text";
    case HF_CK_SECRET: return "text, secret";
    case HF_CK_BOOL: return "true or false";
    case HF_CK_INT: return "number";
    case HF_CK_SIZE: return "size";
    case HF_CK_DURATION: return "duration";
    case HF_CK_ENUM: return "one of";
    case HF_CK_JSON: return "section";
    }
    return "";
}

static void put_limits(hf_buf *b, const hf_config_row *row) {
    switch (row->kind) {
    case HF_CK_STR:
    case HF_CK_SECRET: hf_buf_printf(b, "%" PRId64 " to %" PRId64 " bytes", row->min, row->max); break;
    case HF_CK_INT: hf_buf_printf(b, "%" PRId64 " to %" PRId64, row->min, row->max); break;
    case HF_CK_SIZE:
    case HF_CK_DURATION: hf_buf_printf(b, "%" PRId64 " to %" PRId64 " %s", row->min, row->max, row->unit); break;
    case HF_CK_JSON: hf_buf_printf(b, "at most %" PRId64 " entries", row->max); break;
    case HF_CK_ENUM:
        for (const char *p = row->def; *p; p += strcspn(p, "|"), p += *p == '|')
            hf_buf_printf(b, "%s`%.*s`", p == row->def ? "" : ", ", (int)strcspn(p, "|"), p);
        break;
    case HF_CK_BOOL: break;
    }
}

char *hf_config_reference(void) {
    hf_buf b;
    hf_buf_init(&b, SHOW_BYTES);
    hf_buf_puts(&b,
                "# Configuration reference\n\n"
                "Made from `schemas/base/config.def`. Later sources win: defaults, the YAML file, `HF_…` environment\n"
                "variables (`worker.slots` is `HF_WORKER_SLOTS`), `--set key=value`. Keys may be written nested or\n"
                "dotted. Any other `kafka.NAME` is handed to librdkafka as NAME.\n\n"
                "| Key | Kind | Default | Limits | What it does |\n|---|---|---|---|---|\n");
    for (int i = 0; i < HF_CONFIG_COUNT; i++) {
        const hf_config_row *row = &hf_config_rows[i];
        size_t len = !row->def ? 0 : row->kind == HF_CK_ENUM ? strcspn(row->def, "|") : strlen(row->def);
        hf_buf_printf(&b, "| `%s` | %s | ", row->key, kind_name(row->kind));
        if (len)
            hf_buf_printf(&b, "`%.*s`", (int)len, row->def);
        hf_buf_puts(&b, len ? " | " : "— | ");
        put_limits(&b, row);
        hf_buf_printf(&b, " | %s |\n", row->doc);
    }
    return take_text(&b);
}
