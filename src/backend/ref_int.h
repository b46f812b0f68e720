/* SPDX-License-Identifier: MIT */
/*
 * Private to the reference backend (ref.c, ref_ops.c, ref_numbers.c, ref_loss.c). These
 * files are compiled twice: as they are, where `real` is float, for the backend "ref";
 * and with SL_REF_DOUBLE defined, where `real` is double and every name gets another
 * prefix, for the gradient tests (ref_double.h). The door's structs say float in both; in
 * the double build each float pointer in them points at doubles, hence ref_in and ref_out
 * below: nothing may touch such a pointer without them. Scalars in the structs (epsilon,
 * temperatures) stay float.
 *
 * Order of sums: products of weights are added in `real`, one by one, in an order that
 * depends on the slice's own sizes only, so that a narrow net gives the same bits alone
 * and inside a wide one. Sums over rows that end in one number (statistics, losses,
 * norms) are in double.
 */
#ifndef SRC_BACKEND_REF_INT_H
#define SRC_BACKEND_REF_INT_H

#include "backend/backend.h"

#ifdef SL_REF_DOUBLE
typedef double real;
#define SL_REF(name) sl_ref_double_##name
#define SL_REF_TABLE sl_backend_ref_double
#define SL_REF_TITLE "ref-double"
#else
typedef float real;
#define SL_REF(name) sl_ref_##name
#define SL_REF_TABLE sl_backend_ref
#define SL_REF_TITLE "ref"
#endif

/* Reads a pointer of the door's structs as what it points at in this build. */
static inline const real *ref_in(const void *memory)
{
    return memory;
}
static inline real *ref_out(void *memory)
{
    return memory;
}

/* Writes a gradient, or adds it to what is there. */
static inline void ref_put(real *dst, bool add, real value)
{
    *dst = add ? *dst + value : value;
}

/* A prepared op is its meaning; linear's is written as a 1x1 convolution of 1x1 pictures.
 */
struct sl_prepared {
    struct sl_op_desc desc;
};

extern const struct sl_backend SL_REF_TABLE;

/* ops (ref_ops.c) */
void SL_REF(forward)(void *state, struct sl_prepared *op, const struct sl_op_args *args);
void SL_REF(backward)(void *state, struct sl_prepared *op, const struct sl_op_args *args);
void SL_REF(norm_update)(void *state, int channels, int groups, int64_t rows,
                         float momentum, const void *workspace, float *running_mean,
                         float *running_variance);

/* numbers (ref_numbers.c) */
void SL_REF(gemm)(void *state, bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                  int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                  int64_t ldb, float beta, float *c, int64_t ldc);
void SL_REF(row_normalize)(void *state, int64_t rows, int64_t d, const float *z, float *q,
                           float *norms);
void SL_REF(row_normalize_backward)(void *state, int64_t rows, int64_t d, const float *q,
                                    const float *norms, const float *g, float *diff_z);
void SL_REF(row_dot)(void *state, int64_t rows, int64_t d, const float *a, const float *b,
                     float *out, int64_t out_stride);
void SL_REF(row_axpy)(void *state, int64_t rows, int64_t d, const float *coefficients,
                      int64_t stride, const float *x, float *y);
double SL_REF(embedding_std)(void *state, int64_t rows, int64_t d, const float *q);
double SL_REF(sum_squares)(void *state, int64_t n, const float *x);
double SL_REF(add)(void *state, int64_t n, const float *x, float *y);
int64_t SL_REF(find_nonfinite)(void *state, int64_t n, const float *x);
void SL_REF(average)(void *state, int64_t n, float m, const float *online, float *target);
void SL_REF(sgd)(void *state, int64_t n, float lr, float momentum, float weight_decay,
                 const float *g, float *v, float *p);
void SL_REF(lars_norms)(void *state, int64_t n, float weight_decay, const float *g,
                        const float *p, double *squares_p, double *squares_g);
void SL_REF(lars)(void *state, int64_t n, float lr, float momentum, float weight_decay,
                  float ratio, const float *g, float *v, float *p);
void SL_REF(adamw)(void *state, int64_t n, const struct sl_adamw *rule, const float *g,
                   float *m, float *v, float *p);

/* row losses (ref_loss.c); other backends may call the float build for their rare kinds:
 * it reads host memory and uses no state. */
void SL_REF(row_loss)(void *state, const struct sl_row_loss *loss,
                      struct sl_row_loss_result *result);

#endif
