/* SPDX-License-Identifier: MIT */
/*
 * Single ops, timed through the backend's table as the executor calls them: forward,
 * backward (both gradients at once, as the seam gives it), and the way between masters
 * and packed weights. Everything stands in memory of its own, and gradients are written.
 */
#include "bench/bench_int.h"
#include "bench/cases.h"

#include <string.h>

/* A case is refused above this, before anything is allocated. */
static const double bytes_most = 16e9;

/* What an op touches. */
enum block {
    SRC,
    ADDED,
    DST,
    DIFF_DST,
    DIFF_SRC,
    DIFF_ADDED,
    PACKED,
    PACKED_DIFF,
    MASTER,
    DIFF_MASTER,
    WORKSPACE,
    SCRATCH,
    BIAS,
    SCALE,
    SHIFT,
    RUNNING_MEAN,
    RUNNING_VARIANCE,
    DIFF_BIAS,
    DIFF_SCALE,
    DIFF_SHIFT,
    BLOCKS
};

struct op_bench {
    const struct sl_device *device;
    struct sl_op_desc desc;
    struct sl_prepared *op;
    struct sl_op_sizes sizes;
    void *memory[BLOCKS];
};

static bool has_weights(const struct sl_op_desc *d)
{
    return d->kind == SL_OP_CONV || d->kind == SL_OP_LINEAR;
}

static double weight_count(const struct sl_op_desc *d)
{
    int kernel = d->kind == SL_OP_LINEAR ? 1 : d->kernel;
    return has_weights(d) ? (double)d->dst_c * d->src_c * kernel * kernel : 0.0;
}

static double src_count(const struct sl_op_desc *d)
{
    return (double)d->n * d->src_h * d->src_w * d->src_c;
}

static double dst_count(const struct sl_op_desc *d)
{
    return (double)d->n * d->dst_h * d->dst_w * d->dst_c;
}

/* What a map's values are: of the op's type, but pooled features are float32. */
static enum sl_dtype map_type(const struct op_bench *b, enum block block)
{
    bool is_pooled = b->desc.kind == SL_OP_AVGPOOL && (block == DST || block == DIFF_DST);
    return is_pooled ? SL_F32 : b->desc.type;
}

/* Bytes of a block, in double: a case of absurd sizes must be seen, not wrap around. */
static double block_bytes(const struct op_bench *b, enum block block)
{
    const struct sl_op_desc *d = &b->desc;
    const double value = (double)sl_dtype_bytes(map_type(b, block));
    const bool adds = d->tail == SL_TAIL_ADD_RELU;
    switch (block) {
    case SRC:
        return src_count(d) * value;
    case DIFF_SRC:
        return d->need_diff_src ? src_count(d) * value : 0.0;
    case DST:
    case DIFF_DST:
        return dst_count(d) * value;
    case ADDED:
    case DIFF_ADDED:
        return adds ? dst_count(d) * value : 0.0;
    case PACKED:
        return (double)b->sizes.packed;
    case PACKED_DIFF:
        return (double)b->sizes.packed_diff;
    case MASTER:
    case DIFF_MASTER:
        return weight_count(d) * sizeof(float);
    case WORKSPACE:
        return (double)b->sizes.workspace;
    case SCRATCH:
        return (double)b->sizes.scratch;
    default: /* a value for each channel */
        return (double)d->dst_c * sizeof(float);
    }
}

static double sum_bytes(const struct op_bench *b, const enum block *blocks, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        sum += block_bytes(b, blocks[i]);
    }
    return sum;
}

static double forward_bytes(const struct op_bench *b)
{
    static const enum block blocks[] = {SRC, ADDED, DST, PACKED, WORKSPACE};
    return sum_bytes(b, blocks, SL_COUNT(blocks));
}

static double backward_bytes(const struct op_bench *b)
{
    static const enum block blocks[] = {DIFF_DST, DIFF_SRC,    DIFF_ADDED,
                                        PACKED,   PACKED_DIFF, WORKSPACE};
    return sum_bytes(b, blocks, SL_COUNT(blocks)) +
           (b->sizes.backward_reads_src ? block_bytes(b, SRC) : 0.0) +
           (b->sizes.backward_reads_dst ? block_bytes(b, DST) : 0.0);
}

static struct sl_slice slice_of(const struct op_bench *b, enum block master)
{
    const struct sl_op_desc *d = &b->desc;
    const int kernel = d->kind == SL_OP_LINEAR ? 1 : d->kernel;
    const int64_t taps = (int64_t)kernel * kernel;
    return (struct sl_slice){.data = b->memory[master],
                             .out = d->dst_c,
                             .in = d->src_c,
                             .kernel = kernel,
                             .out_stride = d->src_c * taps,
                             .in_stride = taps};
}

static struct sl_op_args args_of(const struct op_bench *b)
{
    const struct sl_op_desc *d = &b->desc;
    void *const *m = b->memory;
    const bool adds = d->tail == SL_TAIL_ADD_RELU;
    return (struct sl_op_args){
        .src = m[SRC],
        .added = adds ? m[ADDED] : NULL,
        .dst = m[DST],
        .packed = m[PACKED],
        .bias = d->bias ? m[BIAS] : NULL,
        .scale = b->desc.no_affine ? NULL : m[SCALE],
        .shift = b->desc.no_affine ? NULL : m[SHIFT],
        .running_mean = d->batch_statistics ? NULL : m[RUNNING_MEAN],
        .running_variance = d->batch_statistics ? NULL : m[RUNNING_VARIANCE],
        .workspace = m[WORKSPACE],
        .scratch = m[SCRATCH],
        .diff_dst = m[DIFF_DST],
        .diff_src = d->need_diff_src ? m[DIFF_SRC] : NULL,
        .diff_added = adds ? m[DIFF_ADDED] : NULL,
        .packed_diff = m[PACKED_DIFF],
        .diff_bias = m[DIFF_BIAS],
        .diff_scale = b->desc.no_affine ? NULL : m[DIFF_SCALE],
        .diff_shift = b->desc.no_affine ? NULL : m[DIFF_SHIFT],
    };
}

/* ---- the calls --------------------------------------------------------------------- */

static void run_pack(void *context)
{
    struct op_bench *b = context;
    const struct sl_slice slice = slice_of(b, MASTER);
    b->device->table->pack(b->device->state, b->op, &slice, b->memory[PACKED]);
}

static void run_forward(void *context)
{
    struct op_bench *b = context;
    const struct sl_op_args args = args_of(b);
    b->device->table->forward(b->device->state, b->op, &args);
}

static void run_backward(void *context)
{
    struct op_bench *b = context;
    const struct sl_op_args args = args_of(b);
    b->device->table->backward(b->device->state, b->op, &args);
}

static void run_unpack(void *context)
{
    struct op_bench *b = context;
    const struct sl_slice slice = slice_of(b, DIFF_MASTER);
    (void)b->device->table->unpack_add(b->device->state, b->op, b->memory[PACKED_DIFF],
                                       &slice);
}

static void time_part(struct op_bench *b, const char *name, void (*run)(void *context),
                      double macs, double bytes, double seconds,
                      struct sl_bench_case *result)
{
    struct sl_bench_part *part = &result->parts[result->n_parts++];
    *part = (struct sl_bench_part){.name = name, .macs = macs, .bytes = bytes};
    sl_bench_time(seconds, run, b, part);
}

/* ---- a case ------------------------------------------------------------------------ */

static enum sl_status take_memory(struct sl_error *err, const char *text,
                                  struct op_bench *b)
{
    const struct sl_backend *table = b->device->table;
    double sum = 0.0;
    for (int i = 0; i < BLOCKS; i++) {
        sum += block_bytes(b, (enum block)i);
    }
    if (sum > bytes_most) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "op case '%s': takes %.0f GB, but a case may have %.0f; make it "
                       "smaller",
                       text, sum / 1e9, bytes_most / 1e9);
    }
    for (int i = 0; i < BLOCKS; i++) {
        size_t bytes = (size_t)block_bytes(b, (enum block)i);
        SL_TRY(table->alloc(err, b->device->state, "an op case", bytes, &b->memory[i]));
    }
    return SL_OK;
}

static void fill_map(const struct op_bench *b, enum block block, uint32_t draw)
{
    int64_t n = (int64_t)block_bytes(b, block) / sl_dtype_bytes(map_type(b, block));
    sl_bench_fill(b->device, map_type(b, block), draw, 1.0F, n, b->memory[block]);
}

static void fill_channels(const struct op_bench *b, enum block block, float value)
{
    for (int c = 0; c < b->desc.dst_c; c++) {
        b->device->table->put(b->device->state, (float *)b->memory[block] + c, &value,
                              sizeof value);
    }
}

static void fill(const struct op_bench *b)
{
    fill_map(b, SRC, 1);
    fill_map(b, ADDED, 2);
    fill_map(b, DIFF_DST, 3);
    sl_bench_fill(b->device, SL_F32, 4, 0.1F, (int64_t)weight_count(&b->desc),
                  b->memory[MASTER]);
    fill_channels(b, SCALE, 1.0F);
    fill_channels(b, RUNNING_VARIANCE, 1.0F);
}

static enum sl_status describe(struct sl_error *err, const char *text, enum sl_dtype type,
                               struct op_bench *b)
{
    struct sl_case parsed;
    SL_TRY(sl_case_parse(err, text, &parsed));
    b->desc = sl_case_at(&parsed, (struct sl_multiplier){1, 1});
    b->desc.type = b->desc.kind == SL_OP_LINEAR ? SL_F32 : type;
    if (src_count(&b->desc) * sizeof(float) > bytes_most ||
        dst_count(&b->desc) * sizeof(float) > bytes_most ||
        weight_count(&b->desc) * sizeof(float) > bytes_most) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "op case '%s': takes more than %.0f GB; make it smaller", text,
                       bytes_most / 1e9);
    }
    return SL_OK;
}

static enum sl_status time_op(struct sl_error *err, const char *text, enum sl_dtype type,
                              const struct sl_device *device, double seconds,
                              struct sl_bench_case *result)
{
    enum sl_status status = SL_OK;
    struct op_bench b = {.device = device};
    SL_TRY(describe(err, text, type, &b));
    SL_TRY_OUT(device->table->prepare(err, device->state, &b.desc, &b.op, &b.sizes));
    SL_TRY_OUT(take_memory(err, text, &b));
    fill(&b);

    const struct sl_op_desc *d = &b.desc;
    const double taps = d->kind == SL_OP_LINEAR ? 1.0 : (double)d->kernel * d->kernel;
    const double macs = has_weights(d) ? dst_count(d) * d->src_c * taps : 0.0;
    const double masters = block_bytes(&b, MASTER);
    result->type = d->type;
    if (has_weights(d)) {
        time_part(&b, "pack", run_pack, 0.0, masters + block_bytes(&b, PACKED), seconds,
                  result);
    }
    time_part(&b, "forward", run_forward, macs, forward_bytes(&b), seconds, result);
    if (d->kind != SL_OP_NORM || d->batch_statistics) {
        time_part(&b, "backward", run_backward, d->need_diff_src ? 2.0 * macs : macs,
                  backward_bytes(&b), seconds, result);
    }
    if (has_weights(d)) {
        time_part(&b, "unpack", run_unpack, 0.0,
                  2.0 * masters + block_bytes(&b, PACKED_DIFF), seconds, result);
    }
out:
    for (int i = 0; i < BLOCKS; i++) {
        if (b.memory[i] != NULL) {
            device->table->free(device->state, b.memory[i]);
        }
    }
    if (b.op != NULL) {
        device->table->drop(device->state, b.op);
    }
    return status;
}

/* ---- the ceiling ------------------------------------------------------------------- */

/* Large products of matrices: 1x1 convolutions, where nothing but the product is left. A
 * larger kernel would overstate the machine: multiply-adds on padding are counted and not
 * done, and an algorithm may need fewer of them. */
static const char *const large[] = {
    "conv n64 14x14 c1024 o1024 k1 s1 p0",
    "conv n64 7x7 c2048 o2048 k1 s1 p0",
    "conv n64 28x28 c512 o512 k1 s1 p0",
    "conv n64 56x56 c256 o256 k1 s1 p0",
};

static double rate(const struct sl_bench_case *result)
{
    return result->parts[0].macs / result->parts[0].best_s;
}

/* The fastest forward or backward of them all, as the one part "run". */
static enum sl_status time_peak(struct sl_error *err, enum sl_dtype type,
                                const struct sl_device *device, double seconds,
                                struct sl_bench_case *result)
{
    result->n_parts = 1;
    result->parts[0] = (struct sl_bench_part){.name = "run", .best_s = 1.0};
    for (int i = 0; i < SL_COUNT(large); i++) {
        struct sl_bench_case one = {0};
        SL_TRY(time_op(err, large[i], type, device, seconds, &one));
        for (int p = 0; p < one.n_parts; p++) {
            if (one.parts[p].macs / one.parts[p].best_s > rate(result)) {
                result->parts[0] = one.parts[p];
                result->parts[0].name = "run";
                result->type = one.type;
                (void)sl_text_copy(result->shape, sizeof result->shape, large[i]);
            }
        }
    }
    return SL_OK;
}

enum sl_status sl_bench_ops(struct sl_error *err, const char *text, enum sl_dtype type,
                            const struct sl_device *device, double seconds,
                            struct sl_bench_case *result)
{
    *result = (struct sl_bench_case){.type = SL_F32};
    if (!sl_text_copy(result->text, sizeof result->text, text)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "op case '%.40s…': longer than %d characters",
                       text, SL_BENCH_TEXT - 1);
    }
    if (strcmp(text, "peak") == 0) {
        return time_peak(err, type, device, seconds, result);
    }
    return sl_bench_is_numbers(text)
               ? sl_bench_numbers(err, text, device, seconds, result)
               : time_op(err, text, type, device, seconds, result);
}
