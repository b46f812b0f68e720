/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: the tables of its loops over rows and elements (losses,
 * embeddings, flat memory) and over feature maps. The loops are plain C, written once
 * (cpu_rows_body.h; cpu_maps_body.h, which is compiled for each type of the maps) and
 * compiled for several instruction sets (cpu_rows_*.c, cpu_maps_*.c); only what the
 * compiler cannot make is written by hand beside them (cpu_maps_bf16_avx512bf16.c). A
 * device picks one table with sl_cpu_rows_at(0) when it is opened. They are serial and
 * know nothing of threads: a caller gives each thread a range of its own, so that results
 * depend on the number of threads only.
 */
#ifndef SRC_BACKEND_CPU_ROWS_INT_H
#define SRC_BACKEND_CPU_ROWS_INT_H

#include "backend/backend.h"

/* Rows of c channels seen as one long vector: numbers that belong to a channel are
 * repeated over `length` floats, a multiple of c, so that few channels fill the vector
 * units as well as many. A range given to a norm loop begins at channel 0 and its `count`
 * is a multiple of c. */
struct sl_cpu_tile {
    int64_t c, length;
};

/* The two sums that batch norm needs per channel, in double, and 2 * length floats to
 * make them in. They are added to. */
struct sl_cpu_sums {
    double *first, *second;
    float *work;
};

/* Numbers of a norm per channel, each repeated over the tile. */
struct sl_cpu_norm_forward {
    const float *mean, *slope, *shift; /* y = (x - mean) slope + shift */
    enum sl_tail tail;
};
struct sl_cpu_norm_backward {
    struct sl_cpu_norm_forward forward; /* what forward did; its tail says which g pass,
                                           NONE where g has been masked already */
    const float *by_g, *by_x;           /* dx = slope g - by_g - (x - mean) by_x */
    bool add;                           /* to dx */
};

/* One row of a loss: softmax numbers of a row x at temperature T: log p_j =
 * (x_j - top) / T - log_sum. */
struct sl_cpu_softmax {
    float top, inverse_temperature;
    double log_sum;
};

/* Loops over feature maps of one type; their void pointers are to values of it. */
struct sl_cpu_maps {
    /* norm (cpu_norm.c): sums of (x - shift) and its square; shift repeated over the tile
     */
    void (*norm_sums)(const struct sl_cpu_tile *tile, int64_t count, const void *x,
                      const float *shift, const struct sl_cpu_sums *sums);
    /* added: SL_TAIL_ADD_RELU only */
    void (*norm_apply)(const struct sl_cpu_tile *tile, int64_t count, const void *x,
                       const void *added, const struct sl_cpu_norm_forward *norm,
                       void *y);
    /* sums of g and g (x - mean), where g is 0 unless the tail let something through: a
     * ReLU's output is worked out again from x, a sum's is read in dst. diff_added (NULL,
     * or g itself when not added to) gets that g behind each tile's sums */
    void (*norm_gradient_sums)(const struct sl_cpu_tile *tile, int64_t count,
                               const void *g, const void *x, const void *dst,
                               const struct sl_cpu_norm_forward *norm, void *diff_added,
                               bool diff_added_add, const struct sl_cpu_sums *sums);
    void (*norm_gradient_apply)(const struct sl_cpu_tile *tile, int64_t count,
                                const void *g, const void *x, const void *dst,
                                const struct sl_cpu_norm_backward *norm, void *diff);

    /* pooling and ReLU (cpu_pool.c), pictures begin .. end of the op */
    void (*maxpool)(const struct sl_op_desc *d, int64_t begin, int64_t end,
                    const void *src, void *dst, uint8_t *winner);
    void (*maxpool_backward)(const struct sl_op_desc *d, int64_t begin, int64_t end,
                             const uint8_t *winner, const void *diff_dst, bool add,
                             void *diff_src);
    void (*avgpool)(const struct sl_op_desc *d, int64_t begin, int64_t end,
                    const void *src, float *dst);
    void (*avgpool_backward)(const struct sl_op_desc *d, int64_t begin, int64_t end,
                             const float *diff_dst, bool add, void *diff_src);
    void (*relu)(int64_t n, const void *x, void *y);
    void (*add_relu)(int64_t n, const void *x, const void *added, void *y);
    void (*relu_backward)(int64_t n, const void *dst, const void *g, bool add,
                          void *diff);

    void (*put)(int64_t n, const float *x, void *y);       /* y = x */
    void (*accumulate)(int64_t n, const void *x, void *y); /* y += x */
    /* the first few values of a channel, row by row, for a shift: sums[c] += x[c] */
    void (*add_row)(int64_t n, const void *x, double *sums);
};

/* One AdamW step's numbers: keep = 1 - lr wd, pace = 1 - beta, rate = lr / (1 - beta1^t),
 * root = sqrt(1 - beta2^t). */
struct sl_cpu_adamw {
    float keep, pace1, beta2, pace2, rate, root, epsilon;
};

struct sl_cpu_rows {
    const char *name;
    const struct sl_cpu_maps *maps[SL_BF16 + 1]; /* by type: SL_F32, SL_BF16 */

    /* flat memory (cpu_numbers.c, cpu_conv.c) */
    double (*dot)(int64_t n, const float *a, const float *b);
    double (*add)(int64_t n, const float *x, float *y); /* y += x; sum of squares of x */
    void (*accumulate)(int64_t n, const float *x, float *y); /* y += x */
    void (*axpy)(int64_t n, float factor, const float *x, float *y);
    void (*combine)(int64_t n, float factor_x, const float *x, float factor_y,
                    const float *y, float *out);
    int64_t (*find_nonfinite)(int64_t n, const float *x);
    void (*average)(int64_t n, float pace, const float *online, float *target);
    void (*sgd)(int64_t n, float lr, float momentum, float weight_decay, const float *g,
                float *v, float *p);
    void (*lars_norms)(int64_t n, float weight_decay, const float *g, const float *p,
                       double *squares_p, double *squares_g);
    void (*lars)(int64_t n, float lr, float momentum, float weight_decay, float ratio,
                 const float *g, float *v, float *p);
    void (*adamw)(int64_t n, const struct sl_cpu_adamw *rule, const float *g, float *m,
                  float *v, float *p);

    /* one row of a loss (cpu_loss.c) */
    struct sl_cpu_softmax (*softmax)(int64_t n, const float *x, float temperature);
    int64_t (*count_below)(int64_t n, const float *x, float bound); /* x_j < bound */
    /* diff (=|+=) factor softmax(x)_j */
    void (*softmax_gradient)(int64_t n, const float *x, const struct sl_cpu_softmax *p,
                             float factor, bool add, float *diff);
    /* cross = -sum_j t_j log p_j, self = -sum_j t_j log t_j, t of the teacher's row u */
    void (*cross_entropy)(int64_t n, const float *x, const struct sl_cpu_softmax *p,
                          const float *u, const struct sl_cpu_softmax *t, double *cross,
                          double *self);
    /* diff (=|+=) factor (p_j - t_j) */
    void (*cross_gradient)(int64_t n, const float *x, const struct sl_cpu_softmax *p,
                           const float *u, const struct sl_cpu_softmax *t, float factor,
                           bool add, float *diff);
    /* sum of (x - u)^2; diff (may be NULL) (=|+=) factor (x - u) */
    double (*distance)(int64_t n, const float *x, const float *u, float factor, bool add,
                       float *diff);
};

/* The plain one is always there; the others where the compiler's target is x86-64. */
extern const struct sl_cpu_rows sl_cpu_rows_base;
extern const struct sl_cpu_rows sl_cpu_rows_avx2;
extern const struct sl_cpu_rows sl_cpu_rows_avx512;
extern const struct sl_cpu_rows sl_cpu_rows_avx512bf16;

extern const struct sl_cpu_maps sl_cpu_maps_f32_base, sl_cpu_maps_bf16_base;
extern const struct sl_cpu_maps sl_cpu_maps_f32_avx2, sl_cpu_maps_bf16_avx2;
extern const struct sl_cpu_maps sl_cpu_maps_f32_avx512, sl_cpu_maps_bf16_avx512;
/* By hand, for machines whose vector unit has bfloat16. */
extern const struct sl_cpu_maps sl_cpu_maps_bf16_avx512bf16;

/* Tables this machine can run, best first; NULL past the end. Tests go through all. */
const struct sl_cpu_rows *sl_cpu_rows_at(int i);

#endif
