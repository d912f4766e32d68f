#include <stdio.h>

#include "schemas/event/utf8.h"
#include "schemas/webhook/payload_inside.h"

typedef enum escape { ESCAPE_JSON, ESCAPE_SLACK } escape;

/* Bytes of the character at p (1 to 4) where it is sound UTF-8, else 0. */
static uint32_t character(const char *p, uint32_t left) {
    uint8_t c = (uint8_t)*p;
    uint32_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return len <= left && hf_utf8_valid(p, len) ? len : 0;
}

static const char *special(char c, escape how, char room[8]) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return how == ESCAPE_SLACK ? " " : "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '&': return how == ESCAPE_SLACK ? "&amp;" : NULL;
    case '<': return how == ESCAPE_SLACK ? "&lt;" : NULL;
    case '>': return how == ESCAPE_SLACK ? "&gt;" : NULL;
    default: break;
    }
    if ((uint8_t)c >= 0x20 && c != 0x7f)
        return NULL;
    snprintf(room, 8, "\\u%04x", (unsigned)(uint8_t)c);
    return room;
}

static void piece(hf_buf *out, hf_str value, escape how) {
    char room[8];
    uint32_t done = 0, at = 0; /* from done to at: as it stands */
    while (at < value.len) {
        uint32_t len = character(value.p + at, value.len - at);
        const char *instead = len == 0 ? "\xef\xbf\xbd" : len == 1 ? special(value.p[at], how, room) : NULL;
        if (instead) {
            hf_buf_put(out, value.p + done, at - done);
            hf_buf_puts(out, instead);
            done = at + 1;
        }
        at += len ? len : 1;
    }
    if (at > done)
        hf_buf_put(out, value.p + done, at - done);
}

void hf_payload_text(hf_buf *out, hf_str value) {
    hf_buf_puts(out, "\"");
    piece(out, value, ESCAPE_JSON);
    hf_buf_puts(out, "\"");
}

void hf_payload_slack_piece(hf_buf *out, hf_str value, uint32_t most) {
    hf_str shown = value;
    if (value.len > most) {
        shown.len = most;
        while (shown.len && ((uint8_t)value.p[shown.len] & 0xc0) == 0x80) /* not through a character */
            shown.len--;
    }
    piece(out, shown, ESCAPE_SLACK);
    hf_buf_puts(out, value.len > most ? "\xe2\x80\xa6" : "");
}
