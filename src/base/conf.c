/* SPDX-License-Identifier: MIT */
/*
 * Configuration: values for the keys of a caller's table, checked when they are set, from
 * defaults, recipes, files and the command line; and the strict number readers. Which
 * keys there are, and what "auto" becomes, is the caller's business. Invariant: every
 * stored text is the canonical form of its value, so that equal settings are equal texts,
 * and what sl_conf_write writes, sl_conf_parse reads back unchanged.
 */
#include "base/base.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONF_FILE_LIMIT = 1 << 20, KEY_LENGTH_MAX = 64, WHERE_MAX = 512, SHOWN_MAX = 80 };

struct value {
    char *text; /* heap, canonical */
    enum sl_conf_origin origin;
    bool is_auto;
    bool flag;
    int64_t integer;
    double real;
};

struct sl_conf {
    const struct sl_key *keys;
    int n_keys;
    struct value *values;
};

/* ---- numbers ----------------------------------------------------------------------- */

bool sl_parse_int(const char *text, int64_t *value)
{
    const char *at = text;
    if (*at == '+' || *at == '-') {
        at++;
    }
    if (*at == '\0') {
        return false;
    }
    for (; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
    }
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (errno != 0) {
        return false;
    }
    *value = number;
    return true;
}

/* digits [. digits] [e [sign] digits], with a digit before or behind the point. */
static bool is_real(const char *at)
{
    int n_digits = 0;
    if (*at == '+' || *at == '-') {
        at++;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        n_digits++;
    }
    if (*at == '.') {
        at++;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        n_digits++;
    }
    if (n_digits == 0) {
        return false;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-') {
            at++;
        }
        if (*at < '0' || *at > '9') {
            return false;
        }
        while (*at >= '0' && *at <= '9') {
            at++;
        }
    }
    return *at == '\0';
}

/* The C library reads and prints with the decimal point of the process's locale; ours is
 * '.'. */
static char decimal_point(void)
{
    const struct lconv *conventions = localeconv();
    return conventions->decimal_point[0] != '\0' ? conventions->decimal_point[0] : '.';
}

bool sl_parse_real(const char *text, double *value)
{
    char copy[512];
    if (!is_real(text) || !sl_text_copy(copy, sizeof copy, text)) {
        return false;
    }
    char *point = strchr(copy, '.');
    if (point != NULL) {
        *point = decimal_point();
    }
    char *end = copy;
    double number = strtod(copy, &end);
    if (*end != '\0' || !isfinite(number)) {
        return false;
    }
    *value = number;
    return true;
}

/* 100000 rather than 1e+05. */
static bool is_whole(double value)
{
    return fabs(value) < 1e15 && nearbyint(value) == value;
}

void sl_format_digits(char *dst, size_t size, double value, int digits)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.*g", digits, value);
    char *point = strchr(text, decimal_point());
    if (point != NULL) {
        *point = '.';
    }
    (void)sl_text_copy(dst, size, text);
}

/* The fewest digits that a reader into a double, or a float, makes the same of. */
static void format_shortest(char *dst, size_t size, double value, bool is_float)
{
    char text[64] = "";
    if (is_whole(value)) {
        (void)snprintf(text, sizeof text, "%.0f", value);
    }
    for (int digits = 1; !is_whole(value) && digits <= 17; digits++) {
        double back = 0.0;
        sl_format_digits(text, sizeof text, value, digits);
        bool is_read = sl_parse_real(text, &back);
        if (is_read && (is_float ? (float)back == (float)value : back == value)) {
            break;
        }
    }
    (void)sl_text_copy(dst, size, text);
}

void sl_format_real(char *dst, size_t size, double value)
{
    format_shortest(dst, size, value, false);
}

void sl_format_float(char *dst, size_t size, float value)
{
    format_shortest(dst, size, (double)value, true);
}

/* ---- checking one value ------------------------------------------------------------ */

static bool is_one_of(const char *value, const char *choices)
{
    size_t length = strlen(value);
    for (const char *at = choices; at != NULL && *at != '\0';) {
        const char *bar = strchr(at, '|');
        size_t n = bar != NULL ? (size_t)(bar - at) : strlen(at);
        if (n == length && memcmp(at, value, n) == 0) {
            return true;
        }
        at = bar != NULL ? bar + 1 : NULL;
    }
    return false;
}

static bool parse_bool(const char *text, bool *value)
{
    if (is_one_of(text, "yes|true|on|1")) {
        *value = true;
        return true;
    }
    if (is_one_of(text, "no|false|off|0")) {
        *value = false;
        return true;
    }
    return false;
}

static bool has_range(const struct sl_key *key)
{
    return key->low != 0.0 || key->high != 0.0;
}

/* "a number from 0 to 1", "one of a, b, c", … */
static void describe_rule(const struct sl_key *key, char *rule, size_t size)
{
    char range[128] = "";
    char low[40];
    char high[40];
    sl_format_real(low, sizeof low, key->low);
    sl_format_real(high, sizeof high, key->high);
    if (has_range(key)) {
        if (isinf(key->high)) {
            (void)snprintf(range, sizeof range, " of at least %s", low);
        } else if (isinf(key->low)) {
            (void)snprintf(range, sizeof range, " of at most %s", high);
        } else {
            (void)snprintf(range, sizeof range, " from %s to %s", low, high);
        }
    }
    const char *or_auto = key->auto_ok ? " or auto" : "";
    switch (key->type) {
    case SL_KEY_TEXT:
        (void)snprintf(rule, size, "a text%s", or_auto);
        break;
    case SL_KEY_INT:
        (void)snprintf(rule, size, "a whole number%s%s", range, or_auto);
        break;
    case SL_KEY_REAL:
        (void)snprintf(rule, size, "a number%s%s", range, or_auto);
        break;
    case SL_KEY_BOOL:
        (void)snprintf(rule, size, "yes or no%s", or_auto);
        break;
    case SL_KEY_CHOICE:
        (void)snprintf(rule, size, "one of %s%s", key->choices, or_auto);
        for (char *at = rule; *at != '\0'; at++) {
            *at = *at == '|' ? ',' : *at;
        }
        break;
    }
}

/* A value as shown in a message: cut when it is long. */
static void show_value(const char *value, char shown[SHOWN_MAX + 4])
{
    if (!sl_text_copy(shown, SHOWN_MAX, value)) {
        (void)sl_text_copy(shown + SHOWN_MAX - 1, 4, "...");
    }
}

/* What is named at the head of a message: "--lr" says it all, "my.ini:12" needs the key
 * too. */
static void message_head(const char *where, const char *name, char head[WHERE_MAX])
{
    if (where == NULL || where[0] == '\0') {
        (void)sl_text_copy(head, WHERE_MAX, name);
    } else if (where[0] == '-') {
        (void)sl_text_copy(head, WHERE_MAX, where);
    } else {
        (void)snprintf(head, WHERE_MAX, "%s: %s", where, name);
    }
}

/* Whether the value keeps the key's rule; fills `parsed` but its text, and the canonical
 * text when that differs from the given one. */
static bool check_value(const struct sl_key *key, const char *value, struct value *parsed,
                        char *canonical, size_t size)
{
    canonical[0] = '\0';
    if (key->auto_ok && strcmp(value, "auto") == 0) {
        parsed->is_auto = true;
        return true;
    }
    double number = 0.0;
    switch (key->type) {
    case SL_KEY_TEXT:
        return true;
    case SL_KEY_INT:
        if (!sl_parse_int(value, &parsed->integer)) {
            return false;
        }
        (void)snprintf(canonical, size, "%lld", (long long)parsed->integer);
        number = (double)parsed->integer;
        break;
    case SL_KEY_REAL:
        if (!sl_parse_real(value, &parsed->real)) {
            return false;
        }
        sl_format_real(canonical, size, parsed->real);
        number = parsed->real;
        break;
    case SL_KEY_BOOL:
        if (!parse_bool(value, &parsed->flag)) {
            return false;
        }
        (void)sl_text_copy(canonical, size, parsed->flag ? "yes" : "no");
        return true;
    case SL_KEY_CHOICE:
        return is_one_of(value, key->choices);
    }
    return !has_range(key) || (number >= key->low && number <= key->high);
}

/* ---- keys -------------------------------------------------------------------------- */

static int key_find(const struct sl_conf *conf, const char *name)
{
    for (int i = 0; i < conf->n_keys; i++) {
        if (strcmp(conf->keys[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Edit distance with swaps of neighbours as one edit; of longer texts the beginnings
 * count. */
static int edit_distance(const char *a, const char *b)
{
    int rows[3][KEY_LENGTH_MAX + 1];
    int n_a = min_int((int)strnlen(a, KEY_LENGTH_MAX), KEY_LENGTH_MAX);
    int n_b = min_int((int)strnlen(b, KEY_LENGTH_MAX), KEY_LENGTH_MAX);
    for (int j = 0; j <= n_b; j++) {
        rows[0][j] = j;
    }
    for (int i = 1; i <= n_a; i++) {
        const int *above = rows[(i - 1) % 3];
        const int *above2 = rows[(i + 1) % 3]; /* row i - 2 */
        int *row = rows[i % 3];
        row[0] = i;
        for (int j = 1; j <= n_b; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = min_int(best, min_int(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = min_int(best, above2[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return rows[n_a % 3][n_b];
}

static const char *key_nearest(const struct sl_conf *conf, const char *name)
{
    const char *nearest = "";
    int least = 0;
    for (int i = 0; i < conf->n_keys; i++) {
        int distance = edit_distance(name, conf->keys[i].name);
        if (i == 0 || distance < least) {
            least = distance;
            nearest = conf->keys[i].name;
        }
    }
    return nearest;
}

/* ---- the table of values ----------------------------------------------------------- */

static enum sl_status text_duplicate(struct sl_error *err, const char *text, char **copy)
{
    size_t bytes = strlen(text) + 1;
    SL_TRY(sl_heap_alloc(err, "setting", (int64_t)bytes, 1, copy));
    memcpy(*copy, text, bytes);
    return SL_OK;
}

enum sl_status sl_conf_create(struct sl_error *err, const struct sl_key *keys, int n_keys,
                              struct sl_conf **conf)
{
    enum sl_status status = SL_OK;
    struct sl_conf *made = NULL;
    *conf = NULL;
    SL_TRY(sl_heap_alloc(err, "settings", 1, sizeof *made, &made));
    SL_TRY_OUT(
        sl_heap_alloc(err, "settings", n_keys, sizeof *made->values, &made->values));
    made->keys = keys;
    made->n_keys = n_keys;
    for (int i = 0; i < n_keys; i++) {
        const char *initial = keys[i].initial != NULL ? keys[i].initial : "";
        SL_TRY_OUT(sl_conf_set(err, made, keys[i].name, initial, SL_FROM_DEFAULT,
                               "built-in default"));
    }
    *conf = made;
    made = NULL;
out:
    sl_conf_destroy(made);
    return status;
}

void sl_conf_destroy(struct sl_conf *conf)
{
    if (conf == NULL) {
        return;
    }
    for (int i = 0; i < conf->n_keys; i++) {
        sl_heap_free(conf->values[i].text);
    }
    sl_heap_free(conf->values);
    sl_heap_free(conf);
}

enum sl_status sl_conf_copy(struct sl_error *err, const struct sl_conf *from,
                            struct sl_conf **copy)
{
    enum sl_status status = SL_OK;
    struct sl_conf *made = NULL;
    *copy = NULL;
    SL_TRY(sl_heap_alloc(err, "settings", 1, sizeof *made, &made));
    SL_TRY_OUT(sl_heap_alloc(err, "settings", from->n_keys, sizeof *made->values,
                             &made->values));
    made->keys = from->keys;
    made->n_keys = from->n_keys;
    for (int i = 0; i < from->n_keys; i++) {
        made->values[i] = from->values[i];
        made->values[i].text = NULL;
        SL_TRY_OUT(text_duplicate(err, from->values[i].text, &made->values[i].text));
    }
    *copy = made;
    made = NULL;
out:
    sl_conf_destroy(made);
    return status;
}

enum sl_status sl_conf_set(struct sl_error *err, struct sl_conf *conf, const char *name,
                           const char *value, enum sl_conf_origin origin,
                           const char *where)
{
    char shown[SHOWN_MAX + 4];
    int i = key_find(conf, name);
    if (i < 0) {
        bool has_where = where != NULL && where[0] != '\0';
        show_value(name, shown);
        return SL_FAIL(err, SL_ERROR_USAGE, "%s%sunknown key '%s'; did you mean '%s'?",
                       has_where ? where : "", has_where ? ": " : "", shown,
                       key_nearest(conf, name));
    }
    const struct sl_key *key = &conf->keys[i];
    struct value parsed = {.origin = origin};
    char canonical[64];
    if (!check_value(key, value, &parsed, canonical, sizeof canonical)) {
        char rule[400];
        char head[WHERE_MAX];
        message_head(where, name, head);
        describe_rule(key, rule, sizeof rule);
        show_value(value, shown);
        return SL_FAIL(err, SL_ERROR_USAGE, "%s must be %s, not '%s'", head, rule, shown);
    }
    struct value *stored = &conf->values[i];
    if (origin < stored->origin) {
        return SL_OK;
    }
    SL_TRY(text_duplicate(err, canonical[0] != '\0' ? canonical : value, &parsed.text));
    sl_heap_free(stored->text);
    *stored = parsed;
    return SL_OK;
}

/* ---- files ------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static char *skip_blanks(char *at)
{
    while (is_blank(*at)) {
        at++;
    }
    return at;
}

static bool is_comment(char c)
{
    return c == '#' || c == ';';
}

/* The value in double quotes that begins at `at`, rewritten in place without quotes and
 * escapes; NULL when the closing quote is missing or followed by something. */
static char *read_quoted(char *at)
{
    char *begin = at + 1;
    char *write = begin;
    for (at = begin; *at != '"'; at++) {
        if (*at == '\0') {
            return NULL;
        }
        char c = *at;
        if (c == '\\' &&
            (at[1] == '"' || at[1] == '\\' || at[1] == 'n' || at[1] == 'r')) {
            at++;
            c = *at == 'n' ? '\n' : *at;
            c = *at == 'r' ? '\r' : c;
        }
        *write++ = c;
    }
    at = skip_blanks(at + 1);
    if (*at != '\0' && !is_comment(*at)) {
        return NULL;
    }
    *write = '\0';
    return begin;
}

/* A bare value ends at the end of the line or at a comment that a blank precedes. */
static char *read_bare(char *begin)
{
    char *end = begin;
    for (char *at = begin; *at != '\0'; at++) {
        if (is_comment(*at) && (at == begin || is_blank(at[-1]))) {
            break;
        }
        if (!is_blank(*at)) {
            end = at + 1;
        }
    }
    *end = '\0';
    return begin;
}

/* One line, which it may change. */
static enum sl_status parse_line(struct sl_error *err, struct sl_conf *conf, char *line,
                                 const char *where, enum sl_conf_origin origin)
{
    char *key = skip_blanks(line);
    if (*key == '\0' || is_comment(*key)) {
        return SL_OK;
    }
    char shown[SHOWN_MAX + 4];
    show_value(key, shown);
    if (*key == '[') {
        if (strchr(key, ']') == NULL) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "%s: the section '%s' has no closing bracket", where, shown);
        }
        return SL_OK;
    }
    char *equals = strchr(key, '=');
    if (equals == NULL || equals == key) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: a line must read 'key = value', not '%s'", where, shown);
    }
    char *end = equals;
    while (end > key && is_blank(end[-1])) {
        end--;
    }
    *end = '\0';
    char *value = skip_blanks(equals + 1);
    value = *value == '"' ? read_quoted(value) : read_bare(value);
    if (value == NULL) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "%s: the quoted value must end with one '\"' at the end of the line, "
            "not '%s'",
            where, shown);
    }
    return sl_conf_set(err, conf, key, value, origin, where);
}

enum sl_status sl_conf_parse(struct sl_error *err, struct sl_conf *conf, const char *text,
                             const char *name, enum sl_conf_origin origin)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    enum sl_status status = SL_OK;
    char *copy = NULL;
    if (strncmp(text, byte_order_mark, 3) == 0) {
        text += 3;
    }
    SL_TRY(text_duplicate(err, text, &copy));
    int number = 0;
    for (char *line = copy; line != NULL;) {
        char where[WHERE_MAX];
        char *newline = strchr(line, '\n');
        if (newline != NULL) {
            *newline = '\0';
        }
        number++;
        (void)snprintf(where, sizeof where, "%s:%d", name, number);
        SL_TRY_OUT(parse_line(err, conf, line, where, origin));
        line = newline != NULL ? newline + 1 : NULL;
    }
out:
    sl_heap_free(copy);
    return status;
}

enum sl_status sl_conf_load(struct sl_error *err, struct sl_conf *conf, const char *path,
                            enum sl_conf_origin origin)
{
    enum sl_status status = SL_OK;
    unsigned char *bytes = NULL;
    int64_t size = 0;
    SL_TRY(sl_file_read(err, SL_ERROR_USAGE, path, CONF_FILE_LIMIT, &bytes, &size));
    if (strlen((const char *)bytes) != (size_t)size) {
        status =
            SL_FAIL(err, SL_ERROR_USAGE,
                    "%s: not a text file (it holds a zero byte); give a configuration "
                    "file of 'key = value' lines",
                    path);
        goto out;
    }
    SL_TRY_OUT(sl_conf_parse(err, conf, (const char *)bytes, path, origin));
out:
    sl_heap_free(bytes);
    return status;
}

static bool needs_quotes(const char *text)
{
    size_t length = strlen(text);
    if (length == 0) {
        return false;
    }
    if (is_blank(text[0]) || is_blank(text[length - 1]) || text[0] == '"') {
        return true;
    }
    return strpbrk(text, "#;\n\r") != NULL;
}

void sl_conf_write(const struct sl_conf *conf, struct sl_text *text)
{
    for (int i = 0; i < conf->n_keys; i++) {
        const char *value = conf->values[i].text;
        if (!needs_quotes(value)) {
            sl_text_add(text, "%s = %s\n", conf->keys[i].name, value);
            continue;
        }
        sl_text_add(text, "%s = \"", conf->keys[i].name);
        for (; *value != '\0'; value++) {
            if (*value == '"' || *value == '\\') {
                sl_text_add(text, "\\%c", *value);
            } else if (*value == '\n' || *value == '\r') {
                sl_text_add(text, "%s", *value == '\n' ? "\\n" : "\\r");
            } else {
                sl_text_add_bytes(text, value, 1);
            }
        }
        sl_text_add(text, "\"\n");
    }
}

/* ---- readers ----------------------------------------------------------------------- */

static int key_index(const struct sl_conf *conf, const char *name)
{
    int i = key_find(conf, name);
    SL_ASSERT(i >= 0); /* the program asks for a key that its table does not hold */
    return i;
}

static const struct value *value_of(const struct sl_conf *conf, const char *name,
                                    enum sl_key_type type)
{
    int i = key_index(conf, name);
    SL_ASSERT(conf->keys[i].type == type);
    SL_ASSERT(!conf->values[i].is_auto);
    return &conf->values[i];
}

bool sl_conf_is_auto(const struct sl_conf *conf, const char *name)
{
    return conf->values[key_index(conf, name)].is_auto;
}

const char *sl_conf_text(const struct sl_conf *conf, const char *name)
{
    return conf->values[key_index(conf, name)].text;
}

int64_t sl_conf_int(const struct sl_conf *conf, const char *name)
{
    return value_of(conf, name, SL_KEY_INT)->integer;
}

double sl_conf_real(const struct sl_conf *conf, const char *name)
{
    return value_of(conf, name, SL_KEY_REAL)->real;
}

bool sl_conf_bool(const struct sl_conf *conf, const char *name)
{
    return value_of(conf, name, SL_KEY_BOOL)->flag;
}

enum sl_conf_origin sl_conf_origin(const struct sl_conf *conf, const char *name)
{
    return conf->values[key_index(conf, name)].origin;
}

bool sl_conf_has(const struct sl_conf *conf, const char *name)
{
    return key_find(conf, name) >= 0;
}

int sl_conf_key_count(const struct sl_conf *conf)
{
    return conf->n_keys;
}

const struct sl_key *sl_conf_key(const struct sl_conf *conf, int i)
{
    SL_ASSERT(i >= 0 && i < conf->n_keys);
    return &conf->keys[i];
}
