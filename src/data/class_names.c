/* SPDX-License-Identifier: MIT */
/*
 * Names of classes beside shards, whose .cls members hold numbers: NAME.classes.txt for
 * NAME-000000.tar and so on, line k + 1 the name of class k. What would break a line is
 * written \xHH. Other readers of shards do not look at it. Invariant: a text that was
 * written reads back as the same names.
 */
#include "data/index_int.h"

#include <string.h>

static const int64_t BYTES_MAX = INT64_C(64) << 20;

bool sl_class_names_path(const char *shard, char *dst, size_t size)
{
    size_t n = strlen(shard);
    const char *end = ".tar";
    if (n < strlen(end) || strcmp(shard + n - strlen(end), end) != 0) {
        return false;
    }
    n -= strlen(end);
    while (n > 0 && shard[n - 1] >= '0' && shard[n - 1] <= '9') {
        n--;
    }
    n -= n > 0 && shard[n - 1] == '-' ? 1 : 0;
    int length = snprintf(dst, size, "%.*s.classes.txt", (int)n, shard);
    return length > 0 && (size_t)length < size;
}

/* ---- writing ----------------------------------------------------------------------- */

void sl_class_names_add(struct sl_text *text, const char *name)
{
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f || *c == '\\') {
            sl_text_add(text, "\\x%02x", (unsigned int)*c);
        } else {
            sl_text_add_bytes(text, (const char *)c, 1);
        }
    }
    sl_text_add(text, "\n");
}

/* ---- reading ----------------------------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Puts a line's \xHH back, in place; a backslash before anything else is itself. */
static void unescape(char *line)
{
    char *to = line;
    for (const char *from = line; *from != '\0'; to++) {
        bool is_code = from[0] == '\\' && from[1] == 'x' && digit(from[2]) >= 0 &&
                       digit(from[3]) >= 0 && (from[2] != '0' || from[3] != '0');
        *to = is_code ? (char)(digit(from[2]) * 16 + digit(from[3])) : *from;
        from += is_code ? 4 : 1;
    }
    *to = '\0';
}

enum sl_status sl_class_names_parse(struct sl_error *err, const char *name, char *bytes,
                                    int64_t size, struct sl_class_names *names)
{
    if (memchr(bytes, '\0', (size_t)size) != NULL) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: not a list of class names: it has a zero "
                       "byte",
                       name);
    }
    for (char *line = bytes; line < bytes + size;) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + 1;
        line[length] = '\0';
        if (length > 0 && line[length - 1] == '\r') {
            line[length - 1] = '\0';
        }
        if (names->lines.n == SL_INDEX_CLASSES_MAX) {
            return SL_FAIL(err, SL_ERROR_DATA, "%s: more than %d class names", name,
                           SL_INDEX_CLASSES_MAX);
        }
        unescape(line);
        SL_TRY(sl_rows_grow(err, &names->lines, sizeof(char *)));
        ((char **)names->lines.items)[names->lines.n++] = line;
        line = next;
    }
    return SL_OK;
}

enum sl_status sl_class_names_read(struct sl_error *err, const char *path,
                                   struct sl_class_names *names)
{
    unsigned char *bytes = NULL;
    int64_t size = 0;
    SL_TRY(sl_file_read(err, SL_ERROR_DATA, path, BYTES_MAX, &bytes, &size));
    names->text = (char *)bytes;
    return sl_class_names_parse(err, path, names->text, size, names);
}

const char *sl_class_names_at(const struct sl_class_names *names, int64_t i)
{
    return ((char *const *)names->lines.items)[i];
}

void sl_class_names_finish(struct sl_class_names *names)
{
    sl_heap_free(names->text);
    sl_heap_free(names->lines.items);
    *names = (struct sl_class_names){0};
}
