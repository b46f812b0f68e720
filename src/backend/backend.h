/* SPDX-License-Identifier: MIT */
/*
 * backend: the seam between what is computed and how. A backend is one const table of
 * functions; an opened one is a device. Ops speak meaning (sizes, strides, pads, tail,
 * epsilon); the layout of weights, the algorithm and the scratch memory are the backend's
 * own business, asked for by size only. Everything is chosen in prepare; afterwards an op
 * has no way to fail.
 *
 * `ref` is plain loops and the specification; `cpu` is oneDNN and our own vectorised
 * loops. Tensors are NHWC, dense, in memory obtained from the backend's alloc.
 *
 * Feature maps, from the pictures to the pooled features, and their gradients have the
 * op's compute type: float32, or bfloat16 where the backend computes it. Everything else
 * is float32: masters and their gradients, statistics, embeddings, losses and all of the
 * numbers group (sums in double where the result is a double).
 */
#ifndef SRC_BACKEND_BACKEND_H
#define SRC_BACKEND_BACKEND_H

#include "base/base.h"
#include "tensor/tensor.h"

/* ---- ops --------------------------------------------------------------------------- */

enum sl_op_kind {
    SL_OP_CONV,    /* square kernel, no bias (norm follows) */
    SL_OP_NORM,    /* batch norm over (n, h, w) per channel, with a tail */
    SL_OP_MAXPOOL, /* square window; padding never wins */
    SL_OP_AVGPOOL, /* global: (n, h, w, c) -> (n, 1, 1, c) */
    SL_OP_LINEAR,  /* on (n, 1, 1, c), with bias or without */
    SL_OP_RELU,    /* dst = relu(src), or relu(src + added) with SL_TAIL_ADD_RELU */
    SL_OP_KINDS
};

enum sl_tail {
    SL_TAIL_NONE,
    SL_TAIL_RELU,    /* dst = relu(norm(src)) */
    SL_TAIL_ADD_RELU /* dst = relu(norm(src) + added) */
};

/* The meaning of one op at one width and batch size. Fields that a kind does not use are
 * 0. */
struct sl_op_desc {
    enum sl_op_kind kind;
    enum sl_dtype type; /* SL_F32 or SL_BF16, of the feature maps the op reads and writes;
                           an avgpool's dst is float32 all the same, and a linear op is
                           float32 only */
    int n;              /* pictures */
    int src_h, src_w, src_c;
    int dst_h, dst_w, dst_c;
    int kernel, stride, pad; /* conv, maxpool */
    bool bias;               /* linear */
    enum sl_tail tail;       /* norm; relu: NONE or ADD_RELU */
    bool batch_statistics;   /* norm: those of the batch (training); else the running ones
                              */
    int groups;     /* norm with batch statistics: n rows fall into this many consecutive
                       groups,    each normalised by itself */
    float epsilon;  /* norm */
    bool no_affine; /* norm: scale is 1 and shift 0; neither they nor their gradients have
                       memory */
    bool backward;  /* false: forward only; nothing is kept */
    bool need_diff_src; /* backward: false for the op that reads the pictures */
};

/* What an op needs, in bytes. */
struct sl_op_sizes {
    size_t packed;      /* weights in the backend's layout (conv, linear); 0 = has none */
    size_t packed_diff; /* weight gradient in the backend's layout */
    size_t workspace; /* written by forward, read by backward: kept between them. For norm
                         with batch statistics it begins with float mean[groups][c],
                         inverse_std[groups][c], variance[groups][c] (biased), the same on
                         every backend */
    size_t scratch;   /* dead after each call; one block serves all ops */
    bool backward_reads_src; /* backward needs the forward's src kept */
    bool backward_reads_dst; /* … dst */
};

/* Memory for one call; all pointers are to backend memory. The void ones are maps of the
 * op's type, or packed weights in the backend's own form. */
struct sl_op_args {
    const void *src;
    const void *added;          /* SL_TAIL_ADD_RELU */
    void *dst;                  /* forward writes it; backward reads it when asked for */
    const void *packed;         /* conv, linear */
    const float *bias;          /* linear with bias: dst_c values */
    const float *scale, *shift; /* norm: src_c values; NULL with no_affine */
    const float *running_mean, *running_variance; /* norm without batch statistics */
    void *workspace, *scratch;
    /* backward only */
    const void *diff_dst;
    void *diff_src;    /* NULL when need_diff_src is false */
    bool diff_src_add; /* add to diff_src instead of writing it */
    void *diff_added;  /* SL_TAIL_ADD_RELU; may be diff_dst itself when not added to */
    bool diff_added_add;
    void *packed_diff;                          /* written (not added to) */
    float *diff_bias, *diff_scale, *diff_shift; /* written (not added to); the latter two
                                                   NULL with no_affine */
};

/* A slice of a shared weight inside its float32 master, which is stored (out, in, kernel,
 * kernel) at full width. Element (o, i, y, x) stands at data[o*out_stride + i*in_stride +
 * y*kernel + x]; `data` points at the slice's first element. */
struct sl_slice {
    float *data;
    int out, in, kernel; /* linear: kernel 1 */
    int64_t out_stride, in_stride;
};

/* ---- row losses -------------------------------------------------------------------- */

/* Formulae and derivatives: ref_loss.c. s = logits (rows, cols), u = teacher logits
 * (constant). N = rows. */
enum sl_row_loss_kind {
    SL_LOSS_CLASS, /* CE(s / T, label); label 0 for every row when labels is NULL
                      (InfoNCE) */
    SL_LOSS_SOFT,  /* -T^2 (1/N) sum softmax(u/T_u) log softmax(s/T)   (SEED) */
    SL_LOSS_MSE,   /* mean over all elements of (s - u)^2 */
    SL_LOSS_ATKD,  /* rows standardised (eps 1e-5) x 2, KL(teacher/4 || student/4) x 16,
                      mean over rows */
    SL_LOSS_DKD    /* 1.0 TCKD + 0.5 NCKD, target column = label, T = 1, both / N */
};

struct sl_row_loss {
    enum sl_row_loss_kind kind;
    int64_t rows, cols, stride; /* stride: elements between rows of logits, teacher and
                                   diff */
    const float *logits;
    const float *teacher;      /* all kinds but CLASS */
    const int32_t *labels;     /* CLASS, DKD; NULL = column 0 */
    float temperature;         /* CLASS, SOFT: T; > 0 */
    float teacher_temperature; /* SOFT: T_u */
    float weight;              /* multiplies the gradient (not the value) */
    bool add;       /* add weight * d value / d logits to diff instead of writing it */
    float *diff;    /* NULL: value only. May not alias logits */
    float *scratch; /* 4 * rows floats */
};
struct sl_row_loss_result {
    double value;           /* the loss, mean over rows, not multiplied by weight */
    double teacher_entropy; /* SOFT: T^2 (1/N) sum of the teacher's entropies: value -
                               this = T^2 KL; else 0 */
    int64_t first; /* CLASS: rows whose target is strictly greater than every other
                      column; else 0 */
};

/* ---- updates ----------------------------------------------------------------------- */

/* Constants of one AdamW step; step t = 1 is a parameter's first. */
struct sl_adamw {
    double lr, beta1, beta2, epsilon, weight_decay;
    int64_t step;
};

/* ---- the table --------------------------------------------------------------------- */

/* A prepared op of a backend. */
struct sl_prepared;

struct sl_backend_options {
    int threads; /* 0 = all cores */
};

/* Every function takes the opened state first. Functions without a status cannot fail. */
struct sl_backend {
    const char *name;
    /* life */
    enum sl_status (*open)(struct sl_error *err, const struct sl_backend_options *options,
                           void **state);
    void (*close)(void *state);
    /* whether ops of this type run at the machine's speed: SL_F32 always, SL_BF16 where
     * the hardware has it */
    bool (*computes)(void *state, enum sl_dtype type);
    /* one line for people: engine, version, instruction set, threads */
    void (*describe)(void *state, char *dst, size_t size);
    /* memory: zeroed, aligned to 64 bytes */
    enum sl_status (*alloc)(struct sl_error *err, void *state, const char *what,
                            size_t bytes, void **memory);
    void (*free)(void *state, void *memory);
    void (*put)(void *state, void *dst, const void *host, size_t bytes);
    void (*get)(void *state, void *host, const void *src, size_t bytes);
    /* n host floats to dst in the given type, rounded to nearest */
    void (*put_map)(void *state, enum sl_dtype type, int64_t n, const float *host,
                    void *dst);
    void (*copy)(void *state, void *dst, const void *src, size_t bytes);
    void (*zero)(void *state, void *dst, size_t bytes);
    /* ops */
    enum sl_status (*prepare)(struct sl_error *err, void *state,
                              const struct sl_op_desc *desc, struct sl_prepared **op,
                              struct sl_op_sizes *sizes);
    void (*drop)(void *state, struct sl_prepared *op);
    void (*forward)(void *state, struct sl_prepared *op, const struct sl_op_args *args);
    void (*backward)(void *state, struct sl_prepared *op, const struct sl_op_args *args);
    /* weights: slice of the master -> the op's layout; and its gradient joins the
     * master's gradient: master += packed_diff. Returns the sum of squares of the
     * gradient that was added. */
    void (*pack)(void *state, struct sl_prepared *op, const struct sl_slice *master,
                 void *packed);
    double (*unpack_add)(void *state, struct sl_prepared *op, const void *packed_diff,
                         const struct sl_slice *master);
    /* running statistics from a norm's workspace after forward: running = (1-momentum)
     * running + momentum * mean over groups of (mean, unbiased variance); rows = n*h*w of
     * one group */
    void (*norm_update)(void *state, int channels, int groups, int64_t rows,
                        float momentum, const void *workspace, float *running_mean,
                        float *running_variance);
    /* numbers. Row-major; C (m, n) = alpha op(A) op(B) + beta C; beta 0 never reads C */
    void (*gemm)(void *state, bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                 int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc);
    /* q = z / max(||z||, 1e-12) by rows of d; norms[rows] kept for backward */
    void (*row_normalize)(void *state, int64_t rows, int64_t d, const float *z, float *q,
                          float *norms);
    /* diff_z = (g - (g.q) q) / max(||z||, 1e-12) */
    void (*row_normalize_backward)(void *state, int64_t rows, int64_t d, const float *q,
                                   const float *norms, const float *g, float *diff_z);
    /* out[i*out_stride] = a_i . b_i */
    void (*row_dot)(void *state, int64_t rows, int64_t d, const float *a, const float *b,
                    float *out, int64_t out_stride);
    /* y_i += coefficients[i*stride] * x_i */
    void (*row_axpy)(void *state, int64_t rows, int64_t d, const float *coefficients,
                     int64_t stride, const float *x, float *y);
    void (*row_loss)(void *state, const struct sl_row_loss *loss,
                     struct sl_row_loss_result *result);
    /* mean over columns of the rows' standard deviation (biased, over rows), times
     * sqrt(d): 1 = spread on the sphere, 0 = collapsed */
    double (*embedding_std)(void *state, int64_t rows, int64_t d, const float *q);
    double (*sum_squares)(void *state, int64_t n, const float *x);
    /* y += x, returning the sum of squares of x */
    double (*add)(void *state, int64_t n, const float *x, float *y);
    /* index of the first value that is not finite, or -1 */
    int64_t (*find_nonfinite)(void *state, int64_t n, const float *x);
    /* target += (1 - m) (online - target): exact identity where both are equal */
    void (*average)(void *state, int64_t n, float m, const float *online, float *target);
    /* g += wd p; v = momentum v + g; p -= lr v */
    void (*sgd)(void *state, int64_t n, float lr, float momentum, float weight_decay,
                const float *g, float *v, float *p);
    /* the sums of squares of p and of g + wd p, added in an order that depends on n
     * alone, never on threads: LARS' ratio is part of what training computes */
    void (*lars_norms)(void *state, int64_t n, float weight_decay, const float *g,
                       const float *p, double *squares_p, double *squares_g);
    /* v = momentum v + ratio (g + wd p); p -= lr v   (arXiv 1708.03888) */
    void (*lars)(void *state, int64_t n, float lr, float momentum, float weight_decay,
                 float ratio, const float *g, float *v, float *p);
    /* p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
     * p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps), as PyTorch's AdamW */
    void (*adamw)(void *state, int64_t n, const struct sl_adamw *rule, const float *g,
                  float *m, float *v, float *p);
};

/* An opened backend. */
struct sl_device {
    const struct sl_backend *table;
    void *state;
};

/* "cpu", "ref" or "auto" (cpu when it was compiled in). Unknown or absent: SL_ERROR_USAGE
 * listing those there are. */
enum sl_status sl_device_open(struct sl_error *err, const char *name,
                              const struct sl_backend_options *options,
                              struct sl_device *device);
void sl_device_close(struct sl_device *device);
/* Names compiled in, in order of preference; NULL past the end. */
const char *sl_backend_name(int i);

/* The reference backend computed in double (ref.c built a second time) for gradient
 * tests: the same functions with every float of this header read as double. Declared in
 * ref_double.h. */

#endif
