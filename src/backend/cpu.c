/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend's table, memory and life: oneDNN for convolutions and matrix products,
 * vectorised loops of our own for the rest. What ops do is in cpu_conv.c, cpu_linear.c,
 * cpu_norm.c and cpu_pool.c; the numbers group in cpu_numbers.c and cpu_loss.c. The
 * meaning of an op is checked by ref's prepare, so that both backends refuse the same
 * things in the same words.
 */
#include "backend/cpu_int.h"

#include <string.h>

extern const struct sl_backend sl_backend_ref;
extern const struct sl_backend sl_backend_cpu;

/* ---- life -------------------------------------------------------------------------- */

static void cpu_close(void *opened)
{
    struct sl_cpu_state *state = opened;
    if (state == NULL) {
        return;
    }
    sl_cpu_engine_close(state);
    sl_cpu_team_destroy(state->team);
    sl_heap_free(state->staging);
    sl_heap_free(state);
}

static int threads_of(const struct sl_backend_options *options)
{
    int threads = options == NULL ? 0 : options->threads;
    if (threads <= 0) {
        threads = sl_cpu_count();
    }
    return threads < SL_CPU_THREADS_MAX ? threads : SL_CPU_THREADS_MAX;
}

static enum sl_status cpu_open(struct sl_error *err,
                               const struct sl_backend_options *options, void **opened)
{
    enum sl_status status = SL_OK;
    struct sl_cpu_state *state = NULL;
    *opened = NULL;
    SL_TRY(sl_heap_alloc(err, "the cpu backend", 1, sizeof(*state), &state));
    state->threads = threads_of(options);
    state->rows = sl_cpu_rows_at(0);
    state->has_bf16 = sl_cpu_features().avx512_bf16;
    SL_TRY_OUT(sl_cpu_team_create(err, state->threads, &state->team));
    SL_TRY_OUT(sl_cpu_engine_open(err, state));
    *opened = state;
    state = NULL;
out:
    cpu_close(state);
    return status;
}

/* oneDNN emulates bfloat16 on other machines, slower than float32. */
static bool cpu_computes(void *opened, enum sl_dtype type)
{
    const struct sl_cpu_state *state = opened;
    return type == SL_F32 || (type == SL_BF16 && state->has_bf16);
}

static void cpu_describe(void *opened, char *dst, size_t size)
{
    const struct sl_cpu_state *state = opened;
    char engine[96];
    sl_cpu_engine_describe(engine, sizeof(engine));
    (void)snprintf(dst, size, "cpu: %s, own loops %s, %d thread%s", engine,
                   state->rows->name, state->threads, state->threads == 1 ? "" : "s");
}

/* ---- memory ------------------------------------------------------------------------ */

static enum sl_status cpu_alloc(struct sl_error *err, void *state SL_UNUSED,
                                const char *what, size_t bytes, void **memory)
{
    return sl_heap_alloc(err, what, (int64_t)bytes, 1, memory);
}

static void cpu_free(void *state SL_UNUSED, void *memory)
{
    sl_heap_free(memory);
}

static void cpu_move(void *state SL_UNUSED, void *dst, const void *src, size_t bytes)
{
    if (bytes > 0) {
        memmove(dst, src, bytes);
    }
}

struct put {
    const struct sl_cpu_maps *maps;
    const float *host;
    char *dst;
    int64_t value_bytes;
};

static void put_range(const void *context, struct sl_cpu_range range, int part SL_UNUSED)
{
    const struct put *put = context;
    put->maps->put(range.end - range.begin, put->host + range.begin,
                   put->dst + range.begin * put->value_bytes);
}

static void cpu_put_map(void *opened, enum sl_dtype type, int64_t n, const float *host,
                        void *dst)
{
    const struct sl_cpu_state *state = opened;
    const struct put put = {.maps = state->rows->maps[type],
                            .host = host,
                            .dst = dst,
                            .value_bytes = sl_dtype_bytes(type)};
    sl_cpu_split(state, n, put_range, &put);
}

static void cpu_zero(void *state SL_UNUSED, void *dst, size_t bytes)
{
    if (bytes > 0) {
        memset(dst, 0, bytes);
    }
}

/* ---- ops --------------------------------------------------------------------------- */

static const struct sl_cpu_kind *const kinds[SL_OP_KINDS] = {
    [SL_OP_CONV] = &sl_cpu_conv,       [SL_OP_NORM] = &sl_cpu_norm,
    [SL_OP_MAXPOOL] = &sl_cpu_maxpool, [SL_OP_AVGPOOL] = &sl_cpu_avgpool,
    [SL_OP_LINEAR] = &sl_cpu_linear,   [SL_OP_RELU] = &sl_cpu_relu,
};

/* Convolutions of ours where they are faster than the library's. */
static const struct sl_cpu_kind *kind_of(const struct sl_cpu_state *state,
                                         const struct sl_op_desc *desc)
{
    if (desc->kind == SL_OP_CONV) {
        if (sl_cpu_planar_suits(state, desc)) {
            return &sl_cpu_planar;
        }
        if (sl_cpu_winograd_suits(state, desc)) {
            return &sl_cpu_winograd;
        }
        if (sl_cpu_pointwise_suits(state, desc)) {
            return &sl_cpu_pointwise;
        }
    }
    return kinds[desc->kind];
}

static void cpu_drop(void *state SL_UNUSED, struct sl_prepared *op)
{
    if (op == NULL) {
        return;
    }
    if (op->kind->drop != NULL) {
        op->kind->drop(op);
    }
    sl_heap_free(op);
}

/* Whether the op means something; its sizes fit in memory. */
static enum sl_status check_meaning(struct sl_error *err, const struct sl_op_desc *desc)
{
    struct sl_prepared *probe = NULL;
    struct sl_op_sizes sizes;
    struct sl_op_desc meaning = *desc;
    if (desc->type == SL_BF16 && desc->kind != SL_OP_LINEAR) {
        meaning.type = SL_F32; /* which is all that ref knows */
    }
    SL_TRY(sl_backend_ref.prepare(err, NULL, &meaning, &probe, &sizes));
    sl_backend_ref.drop(NULL, probe);
    return SL_OK;
}

static enum sl_status cpu_prepare(struct sl_error *err, void *opened,
                                  const struct sl_op_desc *desc, struct sl_prepared **op,
                                  struct sl_op_sizes *sizes)
{
    enum sl_status status = SL_OK;
    struct sl_cpu_state *state = opened;
    struct sl_prepared *made = NULL;
    *op = NULL;
    *sizes = (struct sl_op_sizes){0};
    SL_TRY(check_meaning(err, desc));
    SL_TRY(sl_heap_alloc(err, "a prepared op", 1, sizeof(*made), &made));
    made->desc = *desc;
    made->kind = kind_of(state, desc);
    const int before = sl_cpu_openmp_alone();
    status = made->kind->prepare(err, state, made, sizes);
    sl_cpu_openmp_again(before);
    if (status == SL_OK) {
        *op = made;
        made = NULL;
    }
    cpu_drop(state, made);
    return status;
}

static void cpu_forward(void *state, struct sl_prepared *op,
                        const struct sl_op_args *args)
{
    op->kind->forward(state, op, args);
}

static void cpu_backward(void *state, struct sl_prepared *op,
                         const struct sl_op_args *args)
{
    SL_ASSERT(op->desc.backward);
    op->kind->backward(state, op, args);
}

/* ---- weights ----------------------------------------------------------------------- */

static void check_slice(const struct sl_prepared *op, const struct sl_slice *slice)
{
    const struct sl_op_desc *d = &op->desc;
    SL_ASSERT(d->kind == SL_OP_CONV || d->kind == SL_OP_LINEAR);
    SL_ASSERT(slice->out == d->dst_c && slice->in == d->src_c);
    SL_ASSERT(slice->kernel == (d->kind == SL_OP_LINEAR ? 1 : d->kernel));
}

static void cpu_pack(void *state, struct sl_prepared *op, const struct sl_slice *master,
                     void *packed)
{
    check_slice(op, master);
    op->kind->pack(state, op, master, packed);
}

static double cpu_unpack_add(void *state, struct sl_prepared *op, const void *packed_diff,
                             const struct sl_slice *master)
{
    check_slice(op, master);
    return op->kind->unpack_add(state, op, packed_diff, master);
}

/* ---- the table --------------------------------------------------------------------- */

const struct sl_backend sl_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .computes = cpu_computes,
    .describe = cpu_describe,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .put = cpu_move,
    .get = cpu_move,
    .copy = cpu_move,
    .put_map = cpu_put_map,
    .zero = cpu_zero,
    .prepare = cpu_prepare,
    .drop = cpu_drop,
    .forward = cpu_forward,
    .backward = cpu_backward,
    .pack = cpu_pack,
    .unpack_add = cpu_unpack_add,
    .norm_update = sl_cpu_norm_update,
    .gemm = sl_cpu_gemm,
    .row_normalize = sl_cpu_row_normalize,
    .row_normalize_backward = sl_cpu_row_normalize_backward,
    .row_dot = sl_cpu_row_dot,
    .row_axpy = sl_cpu_row_axpy,
    .row_loss = sl_cpu_row_loss,
    .embedding_std = sl_cpu_embedding_std,
    .sum_squares = sl_cpu_sum_squares,
    .add = sl_cpu_add,
    .find_nonfinite = sl_cpu_find_nonfinite,
    .average = sl_cpu_average,
    .sgd = sl_cpu_sgd,
    .lars_norms = sl_cpu_lars_norms,
    .lars = sl_cpu_lars,
    .adamw = sl_cpu_adamw,
};
