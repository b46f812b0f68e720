/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: its state, what a prepared op looks like inside, the split
 * of work among threads, and the thin layer over oneDNN. Of the cpu files only
 * cpu_dnnl2.c depends on oneDNN's version (2.x): it makes primitives; another version is
 * another file with the same functions.
 *
 * Every loop is split into state->threads ranges (sl_cpu_split) and partial results are
 * combined in the order of the ranges: the same number of threads always gives the same
 * bits, whichever thread did what.
 */
#ifndef SRC_BACKEND_CPU_INT_H
#define SRC_BACKEND_CPU_INT_H

#include <dnnl.h>

#include "backend/cpu_rows_int.h"
#include "backend/cpu_team_int.h"

struct sl_cpu_state {
    dnnl_engine_t engine;
    int threads;
    struct sl_cpu_team *team; /* of as many */
    const struct sl_cpu_rows *rows;
    bool has_bf16; /* the vector unit computes in it */
    /* One dense convolution weight, between master and packed form; as large as the
     * largest slice of all ops prepared so far. */
    float *staging;
    size_t staging_bytes;
};

/* ---- ops --------------------------------------------------------------------------- */

/* What the kinds of ops do; entries a kind has no use for are NULL. */
struct sl_cpu_kind {
    enum sl_status (*prepare)(struct sl_error *err, struct sl_cpu_state *state,
                              struct sl_prepared *op, struct sl_op_sizes *sizes);
    void (*drop)(struct sl_prepared *op);
    void (*forward)(struct sl_cpu_state *state, struct sl_prepared *op,
                    const struct sl_op_args *args);
    void (*backward)(struct sl_cpu_state *state, struct sl_prepared *op,
                     const struct sl_op_args *args);
    void (*pack)(struct sl_cpu_state *state, struct sl_prepared *op,
                 const struct sl_slice *master, void *packed);
    double (*unpack_add)(struct sl_cpu_state *state, struct sl_prepared *op,
                         const void *packed_diff, const struct sl_slice *master);
};
extern const struct sl_cpu_kind sl_cpu_conv;   /* cpu_conv.c */
extern const struct sl_cpu_kind sl_cpu_linear; /* cpu_linear.c */
extern const struct sl_cpu_kind sl_cpu_planar; /* cpu_planar.c, for some of the convs */
extern const struct sl_cpu_kind sl_cpu_pointwise; /* cpu_pointwise.c, … */
extern const struct sl_cpu_kind sl_cpu_winograd;  /* cpu_winograd.c, for some of the convs
                                                   */
extern const struct sl_cpu_kind sl_cpu_norm;      /* cpu_norm.c */
extern const struct sl_cpu_kind sl_cpu_maxpool;   /* cpu_pool.c */
extern const struct sl_cpu_kind sl_cpu_avgpool;
extern const struct sl_cpu_kind sl_cpu_relu;

struct sl_prepared {
    struct sl_op_desc desc;
    const struct sl_cpu_kind *kind;
    struct sl_cpu_conv_op *conv; /* SL_OP_CONV, by the library */
    struct sl_cpu_planar_op *planar;
    struct sl_cpu_pointwise_op *pointwise;
    struct sl_cpu_winograd_op *winograd; /* SL_OP_CONV, ours */
    struct sl_cpu_tile tile;             /* SL_OP_NORM */
};

/* Whether these compute a convolution, or the gradient of its weights, faster than the
 * library. */
bool sl_cpu_conv_weights_suits(const struct sl_cpu_state *state,
                               const struct sl_op_desc *desc);
bool sl_cpu_planar_suits(const struct sl_cpu_state *state, const struct sl_op_desc *desc);
bool sl_cpu_pointwise_suits(const struct sl_cpu_state *state,
                            const struct sl_op_desc *desc);
bool sl_cpu_winograd_suits(const struct sl_cpu_state *state,
                           const struct sl_op_desc *desc);

/* Bytes rounded up so that what follows is aligned to 64. */
size_t sl_cpu_round(size_t bytes);

/* ---- threads ----------------------------------------------------------------------- */

/* Part i of `parts` of [0, n): begin .. end; parts differ by at most one. */
struct sl_cpu_range {
    int64_t begin, end;
};
struct sl_cpu_range sl_cpu_part(int64_t n, int parts, int i);

/* Does work(context, range, part) once for each part 0 … state->threads - 1, where range
 * is that part of [0, n), which may be empty. Parts run at the same time in any of the
 * team's threads; so each has scratch and sums of its own, found by its number. */
void sl_cpu_split(const struct sl_cpu_state *state, int64_t n,
                  void (*work)(const void *context, struct sl_cpu_range range, int part),
                  const void *context);
/* The same with all parts in the calling thread unless `is_long`: whether there is so
 * much to do that handing it to others pays. */
void sl_cpu_split_long(const struct sl_cpu_state *state, bool is_long, int64_t n,
                       void (*work)(const void *context, struct sl_cpu_range range,
                                    int part),
                       const void *context);

/* Around every call that leads into oneDNN: it computes in the calling thread alone,
 * since what it does is split into parts like everything else; and afterwards OpenMP has
 * as many threads again as the thread had before, which may be somebody else's.
 * cpu_openmp.c and cpu_openmp_none.c. */
int sl_cpu_openmp_alone(void);
void sl_cpu_openmp_again(int before);

/* The loops over maps of the op's type, and the address of a map's value. */
const struct sl_cpu_maps *sl_cpu_maps_of(const struct sl_cpu_state *state,
                                         const struct sl_op_desc *desc);
const void *sl_cpu_at(const struct sl_op_desc *desc, const void *map, int64_t i);
void *sl_cpu_at_out(const struct sl_op_desc *desc, void *map, int64_t i);

/* y += x over long maps of the op's type, all threads. */
void sl_cpu_accumulate(const struct sl_cpu_state *state, const struct sl_op_desc *desc,
                       int64_t n, const void *x, void *y);

/* ---- slices of masters (cpu_slices.c) ---------------------------------------------- */

/* slice -> dense (out, in, kernel, kernel) */
void sl_cpu_gather(const struct sl_cpu_state *state, const struct sl_slice *slice,
                   float *dense);
/* slice += dense, whose output channels are `channel` values apart; sum of squares of
 * what was added */
double sl_cpu_scatter(const struct sl_cpu_state *state, const struct sl_slice *slice,
                      const float *dense, int64_t channel);

/* ---- matrix product (cpu_numbers.c) ------------------------------------------------ */

void sl_cpu_gemm(void *state, bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                 int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc);

/* ---- the numbers group (cpu_numbers.c, cpu_loss.c, cpu_norm.c), see backend.h ------ */

void sl_cpu_row_normalize(void *state, int64_t rows, int64_t d, const float *z, float *q,
                          float *norms);
void sl_cpu_row_normalize_backward(void *state, int64_t rows, int64_t d, const float *q,
                                   const float *norms, const float *g, float *diff_z);
void sl_cpu_row_dot(void *state, int64_t rows, int64_t d, const float *a, const float *b,
                    float *out, int64_t out_stride);
void sl_cpu_row_axpy(void *state, int64_t rows, int64_t d, const float *coefficients,
                     int64_t stride, const float *x, float *y);
double sl_cpu_embedding_std(void *state, int64_t rows, int64_t d, const float *q);
double sl_cpu_sum_squares(void *state, int64_t n, const float *x);
double sl_cpu_add(void *state, int64_t n, const float *x, float *y);
int64_t sl_cpu_find_nonfinite(void *state, int64_t n, const float *x);
void sl_cpu_average(void *state, int64_t n, float m, const float *online, float *target);
void sl_cpu_sgd(void *state, int64_t n, float lr, float momentum, float weight_decay,
                const float *g, float *v, float *p);
void sl_cpu_lars_norms(void *state, int64_t n, float weight_decay, const float *g,
                       const float *p, double *squares_p, double *squares_g);
void sl_cpu_lars(void *state, int64_t n, float lr, float momentum, float weight_decay,
                 float ratio, const float *g, float *v, float *p);
void sl_cpu_adamw(void *state, int64_t n, const struct sl_adamw *rule, const float *g,
                  float *m, float *v, float *p);
void sl_cpu_row_loss(void *state, const struct sl_row_loss *loss,
                     struct sl_row_loss_result *result);
void sl_cpu_norm_update(void *state, int channels, int groups, int64_t rows,
                        float momentum, const void *workspace, float *running_mean,
                        float *running_variance);

/* ---- oneDNN (cpu_dnnl2.c) ---------------------------------------------------------- */

/* A primitive with memory objects whose addresses are set at each call. Zeroed = none.
 * One thread at a time runs it; it computes in that thread. */
struct sl_cpu_primitive {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    dnnl_exec_arg_t args[4]; /* the operands in the order of run, then the scratch */
    int n_operands;
    size_t scratch_bytes;
};

/* How a primitive wants its weights, a layout of oneDNN's choosing. */
struct sl_cpu_layout {
    dnnl_memory_desc_t desc;
    size_t bytes;
};
bool sl_cpu_layout_equal(const struct sl_cpu_layout *a, const struct sl_cpu_layout *b);

enum sl_cpu_direction {
    SL_CPU_FORWARD,         /* operands: src, weights, dst */
    SL_CPU_BACKWARD_DATA,   /* operands: diff_dst, weights, diff_src */
    SL_CPU_BACKWARD_WEIGHTS /* operands: src, diff_dst, diff_weights */
};

enum sl_status sl_cpu_engine_open(struct sl_error *err, struct sl_cpu_state *state);
void sl_cpu_engine_close(struct sl_cpu_state *state);
/* "oneDNN 2.6.3 (avx512_core_bf16)" */
void sl_cpu_engine_describe(char *dst, size_t size);

/* Makes the convolution. Weights (or their gradient) have the layout `weights`; where
 * that is zeroed, the library chooses one and says it there. */
enum sl_status sl_cpu_conv_make(struct sl_error *err, const struct sl_cpu_state *state,
                                const struct sl_op_desc *desc,
                                enum sl_cpu_direction direction,
                                struct sl_cpu_primitive *primitive,
                                struct sl_cpu_layout *weights);
/* Makes the way from dense (out, in, kernel, kernel) to the layout, or back. Operands:
 * from, to. */
enum sl_status sl_cpu_reorder_make(struct sl_error *err, const struct sl_cpu_state *state,
                                   const struct sl_op_desc *desc,
                                   const struct sl_cpu_layout *layout, bool to_dense,
                                   struct sl_cpu_primitive *primitive);
void sl_cpu_primitive_finish(struct sl_cpu_primitive *primitive);
/* Runs it to its end; scratch may be NULL when scratch_bytes is 0. */
void sl_cpu_run(struct sl_cpu_primitive *primitive, const void *const operands[],
                void *scratch);

#endif
