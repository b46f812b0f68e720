/* SPDX-License-Identifier: MIT */
/*
 * tensor: the values that pass between folders. A tensor is a small value that owns
 * nothing; a width is a fraction of integers; an axis is a named channel dimension with
 * one span (begin, count) per width; and state that must survive a restart is a list of
 * named tensors.
 */
#ifndef SRC_TENSOR_TENSOR_H
#define SRC_TENSOR_TENSOR_H

#include "base/base.h"

enum sl_dtype { SL_F32, SL_BF16, SL_U8, SL_I32, SL_I64 };
int64_t sl_dtype_bytes(enum sl_dtype dtype);
const char *sl_dtype_name(enum sl_dtype dtype); /* safetensors' words: "F32", "BF16",
                                                   "U8", "I32", "I64" */

enum { SL_DIMS_MAX = 4 };

/* A dense, row-major view of memory somebody else owns. Activations are NHWC. */
struct sl_tensor {
    void *data;
    enum sl_dtype dtype;
    int n_dims;
    int64_t dims[SL_DIMS_MAX];
};
/* Number of elements; checked against overflow when the tensor was made by
 * sl_tensor_make. */
int64_t sl_tensor_count(const struct sl_tensor *tensor);
size_t sl_tensor_bytes(const struct sl_tensor *tensor);
struct sl_tensor sl_tensor_make(void *data, enum sl_dtype dtype, int n_dims,
                                const int64_t *dims);

/* ---- widths ------------------------------------------------------------------------ */

enum { SL_WIDTHS_MAX = 8 };

/* A width multiplier as a reduced fraction in (0, 1]; never floating point, so that
 * channel counts cannot come out one too low. */
struct sl_multiplier {
    int num, den;
};
/* Kept descending, distinct; index 0 is the full width 1. */
struct sl_widths {
    int n;
    struct sl_multiplier at[SL_WIDTHS_MAX];
};
/* "1,0.75,0.5,0.25" in any order; decimals (up to 6 digits) or fractions "3/4". Fails
 * (SL_ERROR_USAGE) outside (0, 1], on duplicates, on more than SL_WIDTHS_MAX; `where`
 * names the option in messages. The full width 1 must be among them when need_full. */
enum sl_status sl_widths_parse(struct sl_error *err, const char *text, bool need_full,
                               const char *where, struct sl_widths *widths);
/* Index of a multiplier, or -1. */
int sl_widths_find(const struct sl_widths *widths, struct sl_multiplier multiplier);
/* floor(full * num / den) in integers (the reference truncates). */
int64_t sl_multiplier_of(struct sl_multiplier multiplier, int64_t full);
double sl_multiplier_value(struct sl_multiplier multiplier);
/* At least two decimals: "1.00", "0.75", "0.50", "0.125"; fractions without finite
 * decimals in six digits. Used in names ("@0.75" is sl_multiplier_key: no trailing zeros
 * beyond need: "1", "0.75", "0.5") and in metric keys ("w0.50"). */
void sl_multiplier_text(struct sl_multiplier multiplier, char *dst, size_t size);
void sl_multiplier_key(struct sl_multiplier multiplier, char *dst, size_t size);

/* ---- axes and spans ---------------------------------------------------------------- */

struct sl_span {
    int begin, count;
};
/* A channel dimension. A fixed axis (RGB, embedding) stores the same span for every
 * width. */
struct sl_axis {
    char name[48];
    int full;
    bool fixed;
    struct sl_span span[SL_WIDTHS_MAX];
};

/* ---- state ------------------------------------------------------------------------- */

enum { SL_NAME_MAX = 128 };
struct sl_named {
    char name[SL_NAME_MAX];
    struct sl_tensor tensor;
};
/* Zero-initialise; add grows it; finish frees the list (not the tensors). */
struct sl_named_list {
    struct sl_named *items;
    int n, capacity;
};
enum sl_status sl_named_add(struct sl_error *err, struct sl_named_list *list,
                            const char *name, struct sl_tensor tensor);
const struct sl_named *sl_named_find(const struct sl_named_list *list, const char *name);
void sl_named_finish(struct sl_named_list *list);

#endif
