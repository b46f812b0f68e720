/* SPDX-License-Identifier: MIT */
/*
 * Texts and bytes of any origin as parts of an HTML page or an SVG: whatever a path or an
 * option holds, it stays text.
 */
#include "draw/draw.h"

#include <string.h>

/* Bytes of the UTF-8 character at `at`, or 0: it is none (overlong, a surrogate, beyond
 * the last one, cut off). */
static int character_bytes(const unsigned char *at)
{
    int n = at[0] < 0x80 ? 1 : at[0] < 0xC2 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    if (at[0] > 0xF4) {
        return 0;
    }
    for (int i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool is_bad = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
                  (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F) ||
                  /* U+FFFE, U+FFFF: no XML may hold them */
                  (at[0] == 0xEF && at[1] == 0xBF && at[2] >= 0xBE);
    return is_bad ? 0 : n;
}

void sl_markup_add(struct sl_text *text, const char *words)
{
    static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */
    for (const unsigned char *at = (const unsigned char *)words; *at != '\0';) {
        int n = character_bytes(at);
        if (*at == '&') {
            sl_text_add(text, "&amp;");
        } else if (*at == '<') {
            sl_text_add(text, "&lt;");
        } else if (*at == '>') {
            sl_text_add(text, "&gt;");
        } else if (*at == '"') {
            sl_text_add(text, "&quot;");
        } else if (*at == '\'') {
            sl_text_add(text, "&#39;");
        } else if (n == 0 || *at == 0x7F || (*at < 0x20 && *at != '\n' && *at != '\t')) {
            sl_text_add(text, "%s", REPLACEMENT);
        } else {
            sl_text_add_bytes(text, at, (size_t)n);
        }
        at += n > 0 ? n : 1;
    }
}

int sl_markup_columns(const char *words)
{
    int n = 0;
    for (const unsigned char *at = (const unsigned char *)words; *at != '\0'; at++) {
        n += (*at & 0xC0) != 0x80;
    }
    return n;
}

void sl_base64_add(struct sl_text *text, const void *bytes, size_t count)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i += 3) {
        unsigned int left = (unsigned int)(count - i);
        unsigned int value = (unsigned int)at[i] << 16 |
                             (left > 1 ? (unsigned int)at[i + 1] << 8 : 0U) |
                             (left > 2 ? (unsigned int)at[i + 2] : 0U);
        const char four[4] = {
            digits[value >> 18],
            digits[value >> 12 & 63U],
            left > 1 ? digits[value >> 6 & 63U] : '=',
            left > 2 ? digits[value & 63U] : '=',
        };
        sl_text_add_bytes(text, four, sizeof four);
    }
}
