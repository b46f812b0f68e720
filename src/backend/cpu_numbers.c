/* SPDX-License-Identifier: MIT */
/*
 * The numbers group of the cpu backend but for row losses: matrix product (oneDNN's),
 * row-wise operations on embeddings, the updates of flat memory and maps, and the split
 * of work among threads that all cpu files use.
 */
#include "backend/cpu_int.h"

#include <math.h>

/* The floor under ||z||: q = z / max(||z||, 1e-12). */
static const double norm_floor = 1e-12;

/* Elements below which waking other threads costs more than it saves. */
enum { SERIAL_BELOW = 16384 };

/* ---- threads ----------------------------------------------------------------------- */

size_t sl_cpu_round(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

struct sl_cpu_range sl_cpu_part(int64_t n, int parts, int i)
{
    const int64_t each = n / parts;
    const int64_t longer = n % parts; /* parts that have one more */
    const int64_t before = i < longer ? i : longer;
    const int64_t begin = each * i + before;
    return (struct sl_cpu_range){.begin = begin, .end = begin + each + (i < longer)};
}

/* What the team is given: work on the parts of [0, n). */
struct split {
    int64_t n;
    int parts;
    void (*work)(const void *context, struct sl_cpu_range range, int part);
    const void *context;
};

static void run_part(const void *context, int part)
{
    const struct split *split = context;
    split->work(split->context, sl_cpu_part(split->n, split->parts, part), part);
}

void sl_cpu_split_long(const struct sl_cpu_state *state, bool is_long, int64_t n,
                       void (*work)(const void *context, struct sl_cpu_range range,
                                    int part),
                       const void *context)
{
    const struct split split = {
        .n = n, .parts = state->threads, .work = work, .context = context};
    if (is_long) {
        sl_cpu_team_run(state->team, run_part, &split);
        return;
    }
    for (int part = 0; part < state->threads; part++) {
        run_part(&split, part);
    }
}

void sl_cpu_split(const struct sl_cpu_state *state, int64_t n,
                  void (*work)(const void *context, struct sl_cpu_range range, int part),
                  const void *context)
{
    sl_cpu_split_long(state, true, n, work, context);
}

/* Sum of the parts' results, in their order. */
static double join(const struct sl_cpu_state *state, const double *parts)
{
    double total = 0.0;
    for (int t = 0; t < state->threads; t++) {
        total += parts[t];
    }
    return total;
}

/* ---- matrix product ---------------------------------------------------------------- */

/* Multiply-adds below which a product is one thread's. */
static const int64_t product_serial_below = 1 << 18;

struct product {
    bool transpose_a, transpose_b, by_columns;
    int64_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    int64_t lda, ldb, ldc;
    float *c;
};

/* Some of the rows, or of the columns, of C. */
static void product_range(const void *context, struct sl_cpu_range range,
                          int part SL_UNUSED)
{
    const struct product *p = context;
    const int64_t count = range.end - range.begin;
    const int64_t row = p->by_columns ? 0 : range.begin;
    const int64_t column = p->by_columns ? range.begin : 0;
    if (count == 0) {
        return;
    }
    const int before = sl_cpu_openmp_alone();
    const dnnl_status_t status =
        dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N',
                   p->by_columns ? p->m : count, p->by_columns ? count : p->n, p->k,
                   p->alpha, p->a + row * (p->transpose_a ? 1 : p->lda), p->lda,
                   p->b + column * (p->transpose_b ? p->ldb : 1), p->ldb, p->beta,
                   p->c + row * p->ldc + column, p->ldc);
    sl_cpu_openmp_again(before);
    SL_ASSERT(status == dnnl_success);
}

void sl_cpu_gemm(void *state, bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                 int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc)
{
    const struct product product = {
        .transpose_a = transpose_a,
        .transpose_b = transpose_b,
        .by_columns = n >= m,
        .m = m,
        .n = n,
        .k = k,
        .alpha = alpha,
        .beta = beta,
        .a = a,
        .b = b,
        .lda = lda,
        .ldb = ldb,
        .ldc = ldc,
        .c = c,
    };
    sl_cpu_split_long(state, m * n * k >= product_serial_below,
                      product.by_columns ? n : m, product_range, &product);
}

/* ---- rows -------------------------------------------------------------------------- */

/* Rows (rows, d) that a part works on; each function says what a, b and c are. */
struct rows_call {
    const struct sl_cpu_rows *rows;
    int64_t n, d;
    const float *a, *b, *c;
    int64_t stride; /* of numbers that stand beside the rows */
    float *out, *out_norms;
    double *sums; /* of each part */
};

static void split_rows(const struct sl_cpu_state *state, const struct rows_call *call,
                       void (*work)(const void *context, struct sl_cpu_range range,
                                    int part))
{
    sl_cpu_split_long(state, call->n * call->d >= SERIAL_BELOW, call->n, work, call);
}

/* out = a / ||a|| */
static void normalize_range(const void *context, struct sl_cpu_range rows,
                            int part SL_UNUSED)
{
    const struct rows_call *call = context;
    const int64_t d = call->d;
    for (int64_t i = rows.begin; i < rows.end; i++) {
        const float *from = call->a + i * d;
        const double norm = sqrt(call->rows->dot(d, from, from));
        const float inverse = (float)(1.0 / fmax(norm, norm_floor));
        call->out_norms[i] = (float)norm;
        call->rows->combine(d, inverse, from, 0.0f, from, call->out + i * d);
    }
}

void sl_cpu_row_normalize(void *opened, int64_t rows, int64_t d, const float *z, float *q,
                          float *norms)
{
    const struct sl_cpu_state *state = opened;
    const struct rows_call call = {
        .rows = state->rows, .n = rows, .d = d, .a = z, .out = q, .out_norms = norms};
    split_rows(state, &call, normalize_range);
}

/* out = (b - (a b) a) / c, with a the normalised rows, b their gradient, c the norms */
static void normalize_backward_range(const void *context, struct sl_cpu_range rows,
                                     int part SL_UNUSED)
{
    const struct rows_call *call = context;
    const int64_t d = call->d;
    for (int64_t i = rows.begin; i < rows.end; i++) {
        const float *q = call->a + i * d;
        const float *g = call->b + i * d;
        const double inverse = 1.0 / fmax((double)call->c[i], norm_floor);
        const double along = call->rows->dot(d, g, q);
        call->rows->combine(d, (float)inverse, g, (float)(-along * inverse), q,
                            call->out + i * d);
    }
}

void sl_cpu_row_normalize_backward(void *opened, int64_t rows, int64_t d, const float *q,
                                   const float *norms, const float *g, float *diff_z)
{
    const struct sl_cpu_state *state = opened;
    const struct rows_call call = {.rows = state->rows,
                                   .n = rows,
                                   .d = d,
                                   .a = q,
                                   .b = g,
                                   .c = norms,
                                   .out = diff_z};
    split_rows(state, &call, normalize_backward_range);
}

/* out = a b, one number a row */
static void dot_range(const void *context, struct sl_cpu_range rows, int part SL_UNUSED)
{
    const struct rows_call *call = context;
    const int64_t d = call->d;
    for (int64_t i = rows.begin; i < rows.end; i++) {
        call->out[i * call->stride] =
            (float)call->rows->dot(d, call->a + i * d, call->b + i * d);
    }
}

void sl_cpu_row_dot(void *opened, int64_t rows, int64_t d, const float *a, const float *b,
                    float *out, int64_t out_stride)
{
    const struct sl_cpu_state *state = opened;
    const struct rows_call call = {.rows = state->rows,
                                   .n = rows,
                                   .d = d,
                                   .a = a,
                                   .b = b,
                                   .stride = out_stride,
                                   .out = out};
    split_rows(state, &call, dot_range);
}

/* out += c a, with c one number a row */
static void axpy_range(const void *context, struct sl_cpu_range rows, int part SL_UNUSED)
{
    const struct rows_call *call = context;
    const int64_t d = call->d;
    for (int64_t i = rows.begin; i < rows.end; i++) {
        call->rows->axpy(d, call->c[i * call->stride], call->a + i * d,
                         call->out + i * d);
    }
}

void sl_cpu_row_axpy(void *opened, int64_t rows, int64_t d, const float *coefficients,
                     int64_t stride, const float *x, float *y)
{
    const struct sl_cpu_state *state = opened;
    const struct rows_call call = {.rows = state->rows,
                                   .n = rows,
                                   .d = d,
                                   .a = x,
                                   .c = coefficients,
                                   .stride = stride,
                                   .out = y};
    split_rows(state, &call, axpy_range);
}

/* Standard deviation of column j over the rows, biased. */
static double column_std(int64_t rows, int64_t d, const float *q, int64_t j)
{
    double mean = 0.0;
    for (int64_t i = 0; i < rows; i++) {
        mean += (double)q[i * d + j];
    }
    mean /= (double)rows;
    double squares = 0.0;
    for (int64_t i = 0; i < rows; i++) {
        const double distance = (double)q[i * d + j] - mean;
        squares += distance * distance;
    }
    return sqrt(squares / (double)rows);
}

static void std_range(const void *context, struct sl_cpu_range columns, int part)
{
    const struct rows_call *call = context;
    double sum = 0.0;
    for (int64_t j = columns.begin; j < columns.end; j++) {
        sum += column_std(call->n, call->d, call->a, j);
    }
    call->sums[part] = sum;
}

double sl_cpu_embedding_std(void *opened, int64_t rows, int64_t d, const float *q)
{
    const struct sl_cpu_state *state = opened;
    double sums[SL_CPU_THREADS_MAX];
    const struct rows_call call = {.n = rows, .d = d, .a = q, .sums = sums};
    sl_cpu_split_long(state, rows * d >= SERIAL_BELOW, d, std_range, &call);
    return join(state, sums) / (double)d * sqrt((double)d);
}

/* ---- flat memory ------------------------------------------------------------------- */

/* Flat memory that a part works on: x is read, y is updated. */
struct flat_call {
    const struct sl_cpu_rows *rows;
    const float *x;
    float *y;
    double *sums;   /* of each part */
    int64_t *found; /* by each part, -1: nothing */
};

static void split_flat(const struct sl_cpu_state *state, int64_t n,
                       void (*work)(const void *context, struct sl_cpu_range range,
                                    int part),
                       const void *context)
{
    sl_cpu_split_long(state, n >= SERIAL_BELOW, n, work, context);
}

static void squares_range(const void *context, struct sl_cpu_range range, int part)
{
    const struct flat_call *call = context;
    const float *x = call->x + range.begin;
    call->sums[part] = call->rows->dot(range.end - range.begin, x, x);
}

double sl_cpu_sum_squares(void *opened, int64_t n, const float *x)
{
    const struct sl_cpu_state *state = opened;
    double sums[SL_CPU_THREADS_MAX];
    const struct flat_call call = {.rows = state->rows, .x = x, .sums = sums};
    split_flat(state, n, squares_range, &call);
    return join(state, sums);
}

static void add_range(const void *context, struct sl_cpu_range range, int part)
{
    const struct flat_call *call = context;
    call->sums[part] = call->rows->add(range.end - range.begin, call->x + range.begin,
                                       call->y + range.begin);
}

double sl_cpu_add(void *opened, int64_t n, const float *x, float *y)
{
    const struct sl_cpu_state *state = opened;
    double sums[SL_CPU_THREADS_MAX];
    const struct flat_call call = {.rows = state->rows, .x = x, .y = y, .sums = sums};
    split_flat(state, n, add_range, &call);
    return join(state, sums);
}

static void find_range(const void *context, struct sl_cpu_range range, int part)
{
    const struct flat_call *call = context;
    const int64_t at =
        call->rows->find_nonfinite(range.end - range.begin, call->x + range.begin);
    call->found[part] = at < 0 ? -1 : range.begin + at;
}

int64_t sl_cpu_find_nonfinite(void *opened, int64_t n, const float *x)
{
    const struct sl_cpu_state *state = opened;
    int64_t found[SL_CPU_THREADS_MAX];
    const struct flat_call call = {.rows = state->rows, .x = x, .found = found};
    split_flat(state, n, find_range, &call);
    for (int t = 0; t < state->threads; t++) {
        if (found[t] >= 0) {
            return found[t];
        }
    }
    return -1;
}

struct average_call {
    const struct sl_cpu_rows *rows;
    float share;
    const float *online;
    float *target;
};

static void average_range(const void *context, struct sl_cpu_range range,
                          int part SL_UNUSED)
{
    const struct average_call *call = context;
    call->rows->average(range.end - range.begin, call->share, call->online + range.begin,
                        call->target + range.begin);
}

void sl_cpu_average(void *opened, int64_t n, float m, const float *online, float *target)
{
    const struct sl_cpu_state *state = opened;
    const struct average_call call = {
        .rows = state->rows, .share = 1.0f - m, .online = online, .target = target};
    split_flat(state, n, average_range, &call);
}

struct sgd_call {
    const struct sl_cpu_rows *rows;
    float lr, momentum, weight_decay;
    const float *g;
    float *v, *p;
};

static void sgd_range(const void *context, struct sl_cpu_range range, int part SL_UNUSED)
{
    const struct sgd_call *call = context;
    call->rows->sgd(range.end - range.begin, call->lr, call->momentum, call->weight_decay,
                    call->g + range.begin, call->v + range.begin, call->p + range.begin);
}

void sl_cpu_sgd(void *opened, int64_t n, float lr, float momentum, float weight_decay,
                const float *g, float *v, float *p)
{
    const struct sl_cpu_state *state = opened;
    const struct sgd_call call = {.rows = state->rows,
                                  .lr = lr,
                                  .momentum = momentum,
                                  .weight_decay = weight_decay,
                                  .g = g,
                                  .v = v,
                                  .p = p};
    split_flat(state, n, sgd_range, &call);
}

/* Parts of a sum whose order must not depend on the number of threads. */
enum { FIXED_PARTS = 64 };

struct lars_norms_call {
    const struct sl_cpu_rows *rows;
    int64_t n;
    float weight_decay;
    const float *g, *p;
    double *squares_p, *squares_g; /* (FIXED_PARTS) */
};

static void lars_norms_parts(const void *context, struct sl_cpu_range fixed,
                             int part SL_UNUSED)
{
    const struct lars_norms_call *call = context;
    for (int i = (int)fixed.begin; i < fixed.end; i++) {
        const struct sl_cpu_range range = sl_cpu_part(call->n, FIXED_PARTS, i);
        call->rows->lars_norms(range.end - range.begin, call->weight_decay,
                               call->g + range.begin, call->p + range.begin,
                               &call->squares_p[i], &call->squares_g[i]);
    }
}

void sl_cpu_lars_norms(void *opened, int64_t n, float weight_decay, const float *g,
                       const float *p, double *squares_p, double *squares_g)
{
    const struct sl_cpu_state *state = opened;
    double of_p[FIXED_PARTS] = {0};
    double of_g[FIXED_PARTS] = {0};
    const struct lars_norms_call call = {.rows = state->rows,
                                         .n = n,
                                         .weight_decay = weight_decay,
                                         .g = g,
                                         .p = p,
                                         .squares_p = of_p,
                                         .squares_g = of_g};
    sl_cpu_split_long(state, n >= SERIAL_BELOW, FIXED_PARTS, lars_norms_parts, &call);
    *squares_p = 0.0;
    *squares_g = 0.0;
    for (int t = 0; t < FIXED_PARTS; t++) {
        *squares_p += of_p[t];
        *squares_g += of_g[t];
    }
}

struct lars_call {
    const struct sl_cpu_rows *rows;
    float lr, momentum, weight_decay, ratio;
    const float *g;
    float *v, *p;
};

static void lars_range(const void *context, struct sl_cpu_range range, int part SL_UNUSED)
{
    const struct lars_call *call = context;
    call->rows->lars(range.end - range.begin, call->lr, call->momentum,
                     call->weight_decay, call->ratio, call->g + range.begin,
                     call->v + range.begin, call->p + range.begin);
}

void sl_cpu_lars(void *opened, int64_t n, float lr, float momentum, float weight_decay,
                 float ratio, const float *g, float *v, float *p)
{
    const struct sl_cpu_state *state = opened;
    const struct lars_call call = {.rows = state->rows,
                                   .lr = lr,
                                   .momentum = momentum,
                                   .weight_decay = weight_decay,
                                   .ratio = ratio,
                                   .g = g,
                                   .v = v,
                                   .p = p};
    split_flat(state, n, lars_range, &call);
}

struct adamw_call {
    const struct sl_cpu_rows *rows;
    const struct sl_cpu_adamw *factors;
    const float *g;
    float *m, *v, *p;
};

static void adamw_range(const void *context, struct sl_cpu_range range,
                        int part SL_UNUSED)
{
    const struct adamw_call *call = context;
    call->rows->adamw(range.end - range.begin, call->factors, call->g + range.begin,
                      call->m + range.begin, call->v + range.begin,
                      call->p + range.begin);
}

void sl_cpu_adamw(void *opened, int64_t n, const struct sl_adamw *rule, const float *g,
                  float *m, float *v, float *p)
{
    const struct sl_cpu_state *state = opened;
    const double unbias1 = 1.0 - pow(rule->beta1, (double)rule->step);
    const double unbias2 = 1.0 - pow(rule->beta2, (double)rule->step);
    const struct sl_cpu_adamw factors = {
        .keep = (float)(1.0 - rule->lr * rule->weight_decay),
        .pace1 = (float)(1.0 - rule->beta1),
        .beta2 = (float)rule->beta2,
        .pace2 = (float)(1.0 - rule->beta2),
        .rate = (float)(rule->lr / unbias1),
        .root = (float)sqrt(unbias2),
        .epsilon = (float)rule->epsilon,
    };
    const struct adamw_call call = {
        .rows = state->rows, .factors = &factors, .g = g, .m = m, .v = v, .p = p};
    split_flat(state, n, adamw_range, &call);
}

/* ---- maps -------------------------------------------------------------------------- */

const struct sl_cpu_maps *sl_cpu_maps_of(const struct sl_cpu_state *state,
                                         const struct sl_op_desc *desc)
{
    return state->rows->maps[desc->type];
}

const void *sl_cpu_at(const struct sl_op_desc *desc, const void *map, int64_t i)
{
    return (const char *)map + i * sl_dtype_bytes(desc->type);
}

void *sl_cpu_at_out(const struct sl_op_desc *desc, void *map, int64_t i)
{
    return (char *)map + i * sl_dtype_bytes(desc->type);
}

struct accumulate_call {
    const struct sl_cpu_maps *maps;
    const struct sl_op_desc *desc;
    const void *x;
    void *y;
};

static void accumulate_range(const void *context, struct sl_cpu_range range,
                             int part SL_UNUSED)
{
    const struct accumulate_call *call = context;
    call->maps->accumulate(range.end - range.begin,
                           sl_cpu_at(call->desc, call->x, range.begin),
                           sl_cpu_at_out(call->desc, call->y, range.begin));
}

void sl_cpu_accumulate(const struct sl_cpu_state *state, const struct sl_op_desc *desc,
                       int64_t n, const void *x, void *y)
{
    const struct accumulate_call call = {
        .maps = sl_cpu_maps_of(state, desc), .desc = desc, .x = x, .y = y};
    split_flat(state, n, accumulate_range, &call);
}
