/* SPDX-License-Identifier: MIT */
/*
 * The table of op cases and its reader. Sizes are small and awkward on purpose: odd
 * pictures, channels that fill no vector, windows that do not reach the last pixels.
 */
#include "bench/cases.h"

#include <string.h>

static const char *const texts[] = {
    "conv n2 9x9 c3! o16 k3 s1 p1 first",
    "conv n2 33x33 c3! o64 k7 s2 p3 first",
    "conv n3 9x7 c16 o16 k3 s1 p1",
    "conv n5 5x18 c24 o16 k3 s1 p1",
    "conv n60 5x5 c8 o12 k3 s1 p1",
    "conv n7 4x8 c14 o8 k3 s1 p1",
    "conv n3 3x20 c20 o22 k3 s1 p1",
    "conv n5 2x2 c8 o4 k3 s1 p1",
    "conv n2 6x33 c22 o24 k3 s1 p1",
    "conv n2 7x7 c70 o40 k1 s1 p0",
    "conv n2 9x9 c16 o32 k3 s2 p1",
    "conv n2 8x8 c32 o32 k3 s2 p1",
    "conv n5 5x6 c48 o16 k3 s2 p1",
    "conv n2 49x100 c32 o32 k3 s2 p1", /* more than the gradient takes at a time */
    "conv n2 21x13 c16 o16 k3 s1 p1",
    "conv n3 11x10 c32 o32 k3 s1 p1",
    "conv n4 8x8 c16 o32 k1 s2 p0",
    "conv n2 7x7 c64 o64 k3 s1 p1",
    "conv n1 1x2 c32! o32! k3 s1 p1",
    "conv n13 1x3 c16! o16! k3 s1 p1",
    "conv n1 1x1 c16! o16! k3 s2 p1",
    "conv n2 7x7 c64 o16 k1 s1 p0",
    "conv n2 5x5 c24 o96 k1 s1 p0",
    "conv n1 5x5 c10 o6 k3 s1 p1",
    "conv n2 4x4 c128 o64 k3 s1 p1",
    "norm n4 8x8 c16",
    "norm n4 8x8 c16 relu",
    "norm n4 9x7 c16 add",
    "norm n6 5x5 c64 relu g2",
    "norm n8 3x3 c48 add g4",
    "norm n8 16x16 c12 relu g2",
    "norm n16 16x16 c64 add",
    "norm n8 16x16 c10 relu",
    "norm n3 4x4 c333",
    "norm n64 1x1 c128 relu",
    "norm n8 1x1 c40 bare",
    "norm n24 1x1 c33 bare g2",
    "norm n4 3x3 c20 relu bare",
    "norm n9 1x1 c64 bare running",
    "norm n4 8x8 c20 running",
    "norm n4 8x8 c32 relu running",
    "norm n4 7x7 c32 add running",
    "norm n4 8x8 c16 relu first",
    "maxpool n2 17x17 c64 k3 s2 p1",
    "maxpool n3 8x8 c20 k2 s2 p0",
    "maxpool n1 6x5 c80 k3 s1 p1",
    "avgpool n3 4x4 c64",
    "avgpool n2 7x7 c20",
    "linear n5 c64 o128!",
    "linear n16 c64 o64 bias",
    "linear n7 c33 o10! bias",
    "linear n3 c512 o10! bias first",
    "relu n4 5x5 c24",
    "relu n32 1x1 c64",
    "relu n3 9x7 c24 add",
    "relu n2 5x5 c16 add first",
};

const char *sl_case_text(int i)
{
    return i >= 0 && i < SL_COUNT(texts) ? texts[i] : NULL;
}

/* Each takes a way of ours more than once around. */
static const char *const large_texts[] = {
    "conv n2 61x60 c16! o16! k3 s1 p1",
    "conv n1 91x50 c64! o24! k3 s1 p1",
    "conv n1 39x40 c24! o648! k3 s1 p1", /* more weights than threads sum apart */
    "conv n2 14x15 c16! o1000! k1 s1 p0",
    "conv n1 23x23 c30! o4100! k1 s1 p0", /* the same */
};

const char *sl_case_large_text(int i)
{
    return i >= 0 && i < SL_COUNT(large_texts) ? large_texts[i] : NULL;
}

static const char *const kinds[SL_OP_KINDS] = {
    [SL_OP_CONV] = "conv",       [SL_OP_NORM] = "norm",     [SL_OP_MAXPOOL] = "maxpool",
    [SL_OP_AVGPOOL] = "avgpool", [SL_OP_LINEAR] = "linear", [SL_OP_RELU] = "relu",
};

static bool read_kind(const char *word, enum sl_op_kind *kind)
{
    for (int i = 0; i < SL_OP_KINDS; i++) {
        if (strcmp(word, kinds[i]) == 0) {
            *kind = (enum sl_op_kind)i;
            return true;
        }
    }
    return false;
}

/* Words that are one name. */
static bool read_name(const char *word, struct sl_op_desc *d)
{
    if (strcmp(word, "relu") == 0) {
        d->tail = SL_TAIL_RELU;
    } else if (strcmp(word, "add") == 0) {
        d->tail = SL_TAIL_ADD_RELU;
    } else if (strcmp(word, "running") == 0) {
        d->batch_statistics = false;
    } else if (strcmp(word, "bare") == 0) {
        d->no_affine = true;
    } else if (strcmp(word, "bias") == 0) {
        d->bias = true;
    } else if (strcmp(word, "first") == 0) {
        d->need_diff_src = false;
    } else {
        return false;
    }
    return true;
}

static bool is_count(int64_t value)
{
    return value >= 0 && value <= 1 << 20;
}

/* "9x7" */
static bool read_size(const char *word, struct sl_op_desc *d)
{
    char first[16];
    const char *cross = strchr(word, 'x');
    int64_t h = 0;
    int64_t w = 0;
    if (cross == NULL || cross - word >= (ptrdiff_t)sizeof(first)) {
        return false;
    }
    memcpy(first, word, (size_t)(cross - word));
    first[cross - word] = '\0';
    if (!sl_parse_int(first, &h) || !sl_parse_int(cross + 1, &w) || !is_count(h) ||
        !is_count(w)) {
        return false;
    }
    d->src_h = (int)h;
    d->src_w = (int)w;
    return true;
}

/* A letter and a number, with "!" behind fixed channels. */
static bool read_number(const char *word, struct sl_case *parsed)
{
    char digits[16];
    struct sl_op_desc *d = &parsed->desc;
    if (word[0] == '\0' || !sl_text_copy(digits, sizeof(digits), word + 1)) {
        return false;
    }
    const size_t length = strlen(digits);
    const bool fixed = length > 0 && digits[length - 1] == '!';
    if (fixed) {
        digits[length - 1] = '\0';
    }
    int64_t value = 0;
    if (!sl_parse_int(digits, &value) || !is_count(value)) {
        return false;
    }
    const struct {
        char letter;
        int *place;
    } numbers[] = {
        {'n', &d->n},      {'c', &d->src_c}, {'o', &d->dst_c},  {'k', &d->kernel},
        {'s', &d->stride}, {'p', &d->pad},   {'g', &d->groups},
    };
    for (int i = 0; i < SL_COUNT(numbers); i++) {
        if (numbers[i].letter == word[0]) {
            *numbers[i].place = (int)value;
            parsed->fixed_src = parsed->fixed_src || (fixed && word[0] == 'c');
            parsed->fixed_dst = parsed->fixed_dst || (fixed && word[0] == 'o');
            return true;
        }
    }
    return false;
}

enum sl_status sl_case_parse(struct sl_error *err, const char *text,
                             struct sl_case *parsed)
{
    *parsed = (struct sl_case){
        .desc = {.src_h = 1,
                 .src_w = 1,
                 .groups = 1,
                 .epsilon = 1e-5f,
                 .backward = true,
                 .need_diff_src = true},
    };
    bool has_kind = false;
    const char *at = text;
    while (*at != '\0') {
        char word[32];
        const size_t length = strcspn(at, " ");
        if (length >= sizeof(word)) {
            return SL_FAIL(err, SL_ERROR_USAGE, "op case '%s': a word is too long", text);
        }
        memcpy(word, at, length);
        word[length] = '\0';
        at += length + strspn(at + length, " ");
        if (!has_kind) {
            has_kind = read_kind(word, &parsed->desc.kind);
            parsed->desc.batch_statistics = parsed->desc.kind == SL_OP_NORM;
            if (has_kind) {
                continue;
            }
        } else if (read_name(word, &parsed->desc) || read_size(word, &parsed->desc) ||
                   read_number(word, parsed)) {
            continue;
        }
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "op case '%s': the word '%s' is not known (see bench/cases.h)",
                       text, word);
    }
    return has_kind ? SL_OK : SL_FAIL(err, SL_ERROR_USAGE, "op case '%s': no kind", text);
}

static int window_count(const struct sl_op_desc *d, int size)
{
    return (size + 2 * d->pad - d->kernel) / d->stride + 1;
}

struct sl_op_desc sl_case_at(const struct sl_case *parsed,
                             struct sl_multiplier multiplier)
{
    struct sl_op_desc d = parsed->desc;
    if (!parsed->fixed_src) {
        d.src_c = (int)sl_multiplier_of(multiplier, d.src_c);
    }
    if (d.dst_c == 0) {
        d.dst_c = d.src_c;
    } else if (!parsed->fixed_dst) {
        d.dst_c = (int)sl_multiplier_of(multiplier, d.dst_c);
    }
    d.dst_h = d.src_h;
    d.dst_w = d.src_w;
    if ((d.kind == SL_OP_CONV || d.kind == SL_OP_MAXPOOL) && d.stride > 0) {
        d.dst_h = window_count(&d, d.src_h);
        d.dst_w = window_count(&d, d.src_w);
    } else if (d.kind == SL_OP_AVGPOOL) {
        d.dst_h = 1;
        d.dst_w = 1;
    }
    return d;
}
