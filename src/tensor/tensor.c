/* SPDX-License-Identifier: MIT */
/*
 * Sizes of tensors with overflow checks, width multipliers as integer fractions, and
 * lists of named tensors. No arithmetic on tensor contents happens here. Invariant: a
 * multiplier is reduced and within (0, 1], so that two of them are equal exactly when
 * their fields are, and a channel count never passes through floating point.
 */
#include "tensor/tensor.h"

#include <string.h>

/* ---- tensors ----------------------------------------------------------------------- */

int64_t sl_dtype_bytes(enum sl_dtype dtype)
{
    switch (dtype) {
    case SL_F32:
    case SL_I32:
        return 4;
    case SL_BF16:
        return 2;
    case SL_U8:
        return 1;
    case SL_I64:
        return 8;
    }
    SL_ASSERT(false);
    return 0;
}

const char *sl_dtype_name(enum sl_dtype dtype)
{
    switch (dtype) {
    case SL_F32:
        return "F32";
    case SL_BF16:
        return "BF16";
    case SL_U8:
        return "U8";
    case SL_I32:
        return "I32";
    case SL_I64:
        return "I64";
    }
    SL_ASSERT(false);
    return "";
}

struct sl_tensor sl_tensor_make(void *data, enum sl_dtype dtype, int n_dims,
                                const int64_t *dims)
{
    SL_ASSERT(n_dims >= 0 && n_dims <= SL_DIMS_MAX);
    struct sl_tensor tensor = {.data = data, .dtype = dtype, .n_dims = n_dims};
    int64_t bytes = sl_dtype_bytes(dtype);
    for (int i = 0; i < n_dims; i++) {
        bool fits = sl_mul_checked(bytes, dims[i], &bytes);
        SL_ASSERT(fits);
        tensor.dims[i] = dims[i];
    }
    return tensor;
}

int64_t sl_tensor_count(const struct sl_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        count *= tensor->dims[i];
    }
    return count;
}

size_t sl_tensor_bytes(const struct sl_tensor *tensor)
{
    return (size_t)(sl_tensor_count(tensor) * sl_dtype_bytes(tensor->dtype));
}

/* ---- widths ------------------------------------------------------------------------ */

enum {
    MILLION = 1000000, /* six decimals, and the largest denominator */
    WIDTH_TEXT_MAX = 40
};

static int gcd(int a, int b)
{
    while (b != 0) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Digits up to `end` into a number of at most a million. */
static bool parse_digits(const char *at, const char *end, int *value)
{
    if (at == end) {
        return false;
    }
    int number = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        number = number * 10 + (*at - '0');
        if (number > MILLION) {
            return false;
        }
    }
    *value = number;
    return true;
}

/* "0.75", ".5", "1", "3/4" up to the end of the text; not reduced, sign and size
 * unchecked. */
static bool parse_fraction(const char *text, struct sl_multiplier *fraction)
{
    const char *end = text + strlen(text);
    const char *slash = strchr(text, '/');
    if (slash != NULL) {
        return parse_digits(text, slash, &fraction->num) &&
               parse_digits(slash + 1, end, &fraction->den) && fraction->den > 0;
    }
    const char *point = strchr(text, '.');
    const char *whole_end = point != NULL ? point : end;
    int whole = 0;
    if (whole_end > text && !parse_digits(text, whole_end, &whole)) {
        return false;
    }
    if (whole > 1000) {
        whole = 1000; /* far outside (0, 1] already; keeps the product below small */
    }
    int decimals = 0;
    int den = 1;
    if (point != NULL) {
        ptrdiff_t n = end - (point + 1);
        if (n > 6 || !parse_digits(point + 1, end, &decimals)) {
            return false;
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            den *= 10;
        }
    } else if (whole_end == text) {
        return false;
    }
    fraction->num = whole * den + decimals;
    fraction->den = den;
    return true;
}

/* One word of the list into a reduced multiplier. */
static enum sl_status parse_width(struct sl_error *err, const char *word,
                                  const char *where, struct sl_multiplier *multiplier)
{
    struct sl_multiplier fraction = {0};
    if (!parse_fraction(word, &fraction)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: '%s' is not a width; write a decimal with at most six digits "
                       "(0.75) or a fraction (3/4)",
                       where, word);
    }
    if (fraction.num < 1 || fraction.num > fraction.den) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "%s: a width must be above 0 and at most 1, not '%s'; 1 is the full "
            "network, 0.5 half its channels",
            where, word);
    }
    int common = gcd(fraction.num, fraction.den);
    multiplier->num = fraction.num / common;
    multiplier->den = fraction.den / common;
    return SL_OK;
}

static bool is_larger(struct sl_multiplier a, struct sl_multiplier b)
{
    return (int64_t)a.num * b.den > (int64_t)b.num * a.den;
}

/* Puts a multiplier in its place in the descending list. Two that print alike count as
 * one, because names of parameters and files are made of the print. */
static enum sl_status widths_insert(struct sl_error *err, struct sl_widths *widths,
                                    struct sl_multiplier multiplier, const char *where)
{
    char text[WIDTH_TEXT_MAX];
    sl_multiplier_key(multiplier, text, sizeof text);
    for (int i = 0; i < widths->n; i++) {
        char other[WIDTH_TEXT_MAX];
        sl_multiplier_key(widths->at[i], other, sizeof other);
        if (strcmp(text, other) == 0) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "%s: width %s is listed twice; list it once", where, text);
        }
    }
    if (widths->n == SL_WIDTHS_MAX) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%s: more than %d widths; list at most %d",
                       where, SL_WIDTHS_MAX, SL_WIDTHS_MAX);
    }
    int place = widths->n;
    while (place > 0 && is_larger(multiplier, widths->at[place - 1])) {
        widths->at[place] = widths->at[place - 1];
        place--;
    }
    widths->at[place] = multiplier;
    widths->n++;
    return SL_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

enum sl_status sl_widths_parse(struct sl_error *err, const char *text, bool need_full,
                               const char *where, struct sl_widths *widths)
{
    struct sl_widths found = {0};
    *widths = found;
    for (const char *at = text; at != NULL;) {
        const char *comma = strchr(at, ',');
        const char *end = comma != NULL ? comma : at + strlen(at);
        while (at < end && is_blank(*at)) {
            at++;
        }
        while (end > at && is_blank(end[-1])) {
            end--;
        }
        char word[WIDTH_TEXT_MAX];
        size_t length = (size_t)(end - at);
        if (length >= sizeof word) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "%s: '%.*s...' is not a width; write a decimal with at most six "
                "digits (0.75) or a fraction (3/4)",
                where, (int)sizeof word, at);
        }
        memcpy(word, at, length);
        word[length] = '\0';
        struct sl_multiplier multiplier = {0};
        SL_TRY(parse_width(err, word, where, &multiplier));
        SL_TRY(widths_insert(err, &found, multiplier, where));
        at = comma != NULL ? comma + 1 : NULL;
    }
    if (need_full && (found.at[0].num != 1 || found.at[0].den != 1)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: the full width 1 must be in the list, '%s' lacks it; add it",
                       where, text);
    }
    *widths = found;
    return SL_OK;
}

int sl_widths_find(const struct sl_widths *widths, struct sl_multiplier multiplier)
{
    for (int i = 0; i < widths->n; i++) {
        if (widths->at[i].num == multiplier.num && widths->at[i].den == multiplier.den) {
            return i;
        }
    }
    return -1;
}

int64_t sl_multiplier_of(struct sl_multiplier multiplier, int64_t full)
{
    int64_t product = 0;
    bool fits = sl_mul_checked(full, multiplier.num, &product);
    SL_ASSERT(fits && multiplier.den > 0);
    return product / multiplier.den;
}

double sl_multiplier_value(struct sl_multiplier multiplier)
{
    return (double)multiplier.num / (double)multiplier.den;
}

/* The value with at least `least` decimals and no trailing zero beyond them. */
static void multiplier_print(struct sl_multiplier multiplier, int least, char *dst,
                             size_t size)
{
    int64_t millionths = ((int64_t)multiplier.num * MILLION * 2 + multiplier.den) /
                         (2 * (int64_t)multiplier.den);
    char text[WIDTH_TEXT_MAX];
    int length =
        snprintf(text, sizeof text, "%lld.%06lld", (long long)(millionths / MILLION),
                 (long long)(millionths % MILLION));
    int decimals = 6;
    while (decimals > least && text[length - 1] == '0') {
        text[--length] = '\0';
        decimals--;
    }
    if (decimals == 0) {
        text[--length] = '\0'; /* the point */
    }
    (void)sl_text_copy(dst, size, text);
}

void sl_multiplier_text(struct sl_multiplier multiplier, char *dst, size_t size)
{
    multiplier_print(multiplier, 2, dst, size);
}

void sl_multiplier_key(struct sl_multiplier multiplier, char *dst, size_t size)
{
    multiplier_print(multiplier, 0, dst, size);
}

/* ---- state ------------------------------------------------------------------------- */

enum sl_status sl_named_add(struct sl_error *err, struct sl_named_list *list,
                            const char *name, struct sl_tensor tensor)
{
    if (name[0] == '\0' || strlen(name) >= SL_NAME_MAX) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "tensor '%.160s': a name must have 1 to %d bytes, this one has %zu", name,
            SL_NAME_MAX - 1, strlen(name));
    }
    if (sl_named_find(list, name) != NULL) {
        return SL_FAIL(err, SL_ERROR_RUN, "tensor '%s' is named twice in one state",
                       name);
    }
    if (list->n == list->capacity) {
        struct sl_named *grown = NULL;
        int capacity = list->capacity < 64 ? 64 : list->capacity * 2;
        SL_TRY(sl_heap_alloc(err, "list of tensors", capacity, sizeof *grown, &grown));
        if (list->n > 0) {
            memcpy(grown, list->items, (size_t)list->n * sizeof *grown);
        }
        sl_heap_free(list->items);
        list->items = grown;
        list->capacity = capacity;
    }
    struct sl_named *item = &list->items[list->n++];
    (void)sl_text_copy(item->name, sizeof item->name, name);
    item->tensor = tensor;
    return SL_OK;
}

const struct sl_named *sl_named_find(const struct sl_named_list *list, const char *name)
{
    for (int i = 0; i < list->n; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

void sl_named_finish(struct sl_named_list *list)
{
    sl_heap_free(list->items);
    *list = (struct sl_named_list){0};
}
