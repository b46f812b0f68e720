/* SPDX-License-Identifier: MIT */
/*
 * Gradient diagnostics: how large each width's own gradient is in every ring of channels
 * and how well the widths agree, layer by layer; the published measure on nested blocks
 * of the summed gradient (figure 3 of arXiv 2209.15525); and the last head layer's
 * gradient with its two largest singular values (figure 4). It looks on and changes
 * nothing: it copies the sum of the gradients as it stands after each width and takes the
 * differences.
 *
 * A ring is what a block has and no narrower block has. Blocks are told by masks of
 * widths, so that nothing here asks whether they are nested.
 */
#include "learn/learn_int.h"

#include <math.h>
#include <string.h>

static const double CLAMP = 1000.0; /* of the published code */

/* ---- segments of a weight ---------------------------------------------------------- */

/* A weight (rows, cols, inner) and where each width's block lies in it. */
struct blocks {
    int n, rows, cols;
    int64_t inner; /* kernel^2 */
    struct sl_span out[SL_WIDTHS_MAX], in[SL_WIDTHS_MAX];
};

/* Neighbouring columns that lie in the same blocks. */
struct segment {
    int begin, count;
    unsigned mask;
};

static bool inside(struct sl_span span, int at)
{
    return at >= span.begin && at < span.begin + span.count;
}

/* Bit w is set where width w's span holds the place. */
static unsigned mask_at(const struct sl_span *spans, int n, int at)
{
    unsigned mask = 0;
    for (int w = 0; w < n; w++) {
        mask |= inside(spans[w], at) ? 1U << w : 0U;
    }
    return mask;
}

static int cut_columns(const struct blocks *blocks,
                       struct segment segments[2 * SL_WIDTHS_MAX + 1])
{
    int n = 0;
    for (int at = 0; at < blocks->cols; at++) {
        unsigned mask = mask_at(blocks->in, blocks->n, at);
        if (n == 0 || segments[n - 1].mask != mask) {
            segments[n++] = (struct segment){.begin = at, .mask = mask};
        }
        segments[n - 1].count++;
    }
    return n;
}

/* The narrowest width of a mask, whose ring the place belongs to. */
static int ring_of(unsigned mask)
{
    int ring = 0;
    for (int w = 0; w < SL_WIDTHS_MAX; w++) {
        ring = mask >> w & 1U ? w : ring;
    }
    return ring;
}

/* Sum of products in double, in eight sums side by side. */
static double product(int64_t n, const float *a, const float *b)
{
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; k++) {
            sum[k] += (double)a[i + k] * (double)b[i + k];
        }
    }
    for (; i < n; i++) {
        sum[0] += (double)a[i] * (double)b[i];
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
           ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* ---- one layer --------------------------------------------------------------------- */

/* Adds a piece of a row that lies in the blocks of `mask`. */
static void add_piece(struct sl_grad_layer *layer, unsigned mask, int active, int64_t at,
                      int64_t count, const float *const *own, const float *sum)
{
    int ring = ring_of(mask);
    layer->ring_size[ring] += count;
    layer->sum_ring[ring] += product(count, sum + at, sum + at);
    for (int i = 0; i < active; i++) {
        if ((mask >> i & 1U) == 0) {
            continue;
        }
        double square = product(count, own[i] + at, own[i] + at);
        layer->own_ring[i][ring] += square;
        for (int j = 0; j < active; j++) {
            if (mask >> j & 1U) {
                layer->own_within[i][j] += square;
            }
        }
        for (int j = i + 1; j < active; j++) {
            if (mask >> j & 1U) {
                layer->inner[i][j] += product(count, own[i] + at, own[j] + at);
            }
        }
    }
}

static struct blocks blocks_of(const struct sl_net *net, int param)
{
    const struct sl_param *p = &net->params[param];
    const struct sl_axis *out = &net->axes[p->axis_out];
    const struct sl_axis *in = &net->axes[p->axis_in];
    struct blocks blocks = {.n = net->widths.n,
                            .rows = out->full,
                            .cols = in->full,
                            .inner = (int64_t)p->kernel * p->kernel};
    memcpy(blocks.out, out->span, sizeof blocks.out);
    memcpy(blocks.in, in->span, sizeof blocks.in);
    return blocks;
}

/* The blocks of the published measure: a prefix of rows and columns by the multiplier
 * alone, but all rows of the head's layers and all columns of the one that reads
 * pictures, as the published code has it. */
static struct blocks published_blocks(const struct sl_net *net, int param)
{
    const struct sl_param *p = &net->params[param];
    struct blocks blocks = blocks_of(net, param);
    bool head = strncmp(p->name, "head.", 5) == 0;
    bool stem = p->axis_in == net->values[net->input].axis;
    for (int w = 0; w < blocks.n; w++) {
        struct sl_multiplier multiplier = net->widths.at[w];
        blocks.out[w] = (struct sl_span){
            .count = head ? blocks.rows : (int)sl_multiplier_of(multiplier, blocks.rows)};
        blocks.in[w] = (struct sl_span){
            .count = stem ? blocks.cols : (int)sl_multiplier_of(multiplier, blocks.cols)};
    }
    return blocks;
}

static void measure_published(const struct blocks *blocks, const float *sum,
                              double published[SL_WIDTHS_MAX])
{
    struct segment segments[2 * SL_WIDTHS_MAX + 1];
    int n_segments = cut_columns(blocks, segments);
    double squares[SL_WIDTHS_MAX] = {0};
    for (int row = 0; row < blocks->rows; row++) {
        unsigned rows = mask_at(blocks->out, blocks->n, row);
        for (int s = 0; s < n_segments; s++) {
            unsigned mask = rows & segments[s].mask;
            const float *at =
                sum + ((int64_t)row * blocks->cols + segments[s].begin) * blocks->inner;
            double square =
                mask != 0 ? product(segments[s].count * blocks->inner, at, at) : 0.0;
            for (int w = 0; w < blocks->n; w++) {
                squares[w] += mask >> w & 1U ? square : 0.0;
            }
        }
    }
    for (int w = 0; w < blocks->n; w++) {
        published[w] = fmin(sqrt(squares[w]), CLAMP);
    }
}

void sl_grad_layer_measure(const struct sl_net *net, int param, int active,
                           const float *const *own, const float *sum,
                           struct sl_grad_layer *layer)
{
    const struct blocks blocks = blocks_of(net, param);
    const struct blocks published = published_blocks(net, param);
    struct segment segments[2 * SL_WIDTHS_MAX + 1];
    int n_segments = cut_columns(&blocks, segments);
    *layer = (struct sl_grad_layer){.param = param};
    for (int row = 0; row < blocks.rows; row++) {
        unsigned rows = mask_at(blocks.out, blocks.n, row);
        for (int s = 0; s < n_segments; s++) {
            int64_t at = ((int64_t)row * blocks.cols + segments[s].begin) * blocks.inner;
            add_piece(layer, rows & segments[s].mask, active, at,
                      segments[s].count * blocks.inner, own, sum);
        }
    }
    measure_published(&published, sum, layer->published);
}

double sl_grad_cosine(const struct sl_grad_layer *layer, int i, int j)
{
    double lengths = sqrt(layer->own_within[i][j]) * sqrt(layer->own_within[j][i]);
    double inner = i == j  ? layer->own_within[i][i]
                   : i < j ? layer->inner[i][j]
                           : layer->inner[j][i];
    return lengths > 0.0 ? inner / lengths : NAN;
}

double sl_grad_norm(const struct sl_grad_layer *layer, int width)
{
    return sqrt(layer->own_within[width][width]);
}

static void add_layer(struct sl_grad_layer *total, const struct sl_grad_layer *layer)
{
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        total->ring_size[i] += layer->ring_size[i];
        total->sum_ring[i] += layer->sum_ring[i];
        for (int j = 0; j < SL_WIDTHS_MAX; j++) {
            total->own_ring[i][j] += layer->own_ring[i][j];
            total->own_within[i][j] += layer->own_within[i][j];
            total->inner[i][j] += layer->inner[i][j];
        }
    }
}

/* ---- all layers -------------------------------------------------------------------- */

/* Mean over the tensors that count, both ratios (docs/analyse.md). */
static void finish_published(struct sl_grad_record *record, int n)
{
    record->counted = 0;
    memset(record->mean, 0, sizeof record->mean);
    for (int i = 0; i < record->n_layers; i++) {
        const double *norm = record->layers[i].published;
        bool counts = true;
        for (int w = 0; w < n; w++) {
            counts = counts && norm[w] < CLAMP; /* nor one that is not a number */
        }
        for (int w = 0; counts && w < n; w++) {
            record->mean[w] += norm[w];
        }
        record->counted += counts;
    }
    for (int w = 0; w < n; w++) {
        record->mean[w] = record->counted > 0 ? record->mean[w] / record->counted : CLAMP;
    }
    double full = record->mean[0];
    double narrow = record->mean[n - 1];
    bool defined = n > 1 && narrow > 0.0;
    record->ratio_a = defined ? full / narrow : NAN;
    record->ratio_b =
        defined ? sqrt(fmax(full * full - narrow * narrow, 0.0)) / narrow : NAN;
}

/* M M' or M' M of M (rows, cols), whichever is smaller: (n, n) into `gram`. */
static void gram_of(int rows, int cols, const float *m, double *gram)
{
    if (rows <= cols) {
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j <= i; j++) {
                gram[(int64_t)i * rows + j] = gram[(int64_t)j * rows + i] =
                    product(cols, m + (int64_t)i * cols, m + (int64_t)j * cols);
            }
        }
        return;
    }
    memset(gram, 0, (size_t)cols * (size_t)cols * sizeof *gram);
    for (int r = 0; r < rows; r++) {
        const float *row = m + (int64_t)r * cols;
        for (int i = 0; i < cols; i++) {
            for (int j = 0; j < cols; j++) {
                gram[(int64_t)i * cols + j] += (double)row[i] * (double)row[j];
            }
        }
    }
}

enum sl_status sl_grad_singular(struct sl_error *err, int rows, int cols, const float *m,
                                double *gram, double *values, double singular[2])
{
    int n = rows < cols ? rows : cols;
    gram_of(rows, cols, m, gram);
    SL_TRY(sl_eigen_symmetric(err, n, gram, values, NULL));
    for (int i = 0; i < 2; i++) {
        singular[i] = i < n ? sqrt(fmax(values[i], 0.0)) : 0.0;
    }
    return SL_OK;
}

/* ---- the sketch -------------------------------------------------------------------- */

/* Which bucket a value of the head's gradient falls into, and with which sign: a function
 * of its place alone, so that runs can be compared. */
static enum sl_status make_sketch(struct sl_error *err, struct sl_graddiag *diag)
{
    int64_t count = (int64_t)diag->record.head_rows * diag->record.head_cols;
    diag->record.n_values = count < SL_GRAD_VALUES_MOST ? count : SL_GRAD_VALUES_MOST;
    diag->record.sketched = count > SL_GRAD_VALUES_MOST;
    SL_TRY(sl_heap_alloc(err, "gradient of the head", diag->record.n_values,
                         sizeof(float), &diag->record.values));
    if (!diag->record.sketched) {
        return SL_OK;
    }
    SL_TRY(sl_heap_alloc(err, "sketch of the head's gradient", count,
                         sizeof *diag->sketch, &diag->sketch));
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t word[4];
        sl_rng_block(0, SL_RNG_SKETCH, 0, (uint32_t)(i / 4), 0, word);
        for (int k = 0; k < 4 && i + k < count; k++) {
            diag->sketch[i + k] = word[k];
        }
    }
    return SL_OK;
}

static void fill_values(struct sl_graddiag *diag, const float *gradient)
{
    struct sl_grad_record *record = &diag->record;
    int64_t count = (int64_t)record->head_rows * record->head_cols;
    if (!record->sketched) {
        memcpy(record->values, gradient, (size_t)count * sizeof *gradient);
        return;
    }
    memset(record->values, 0, (size_t)record->n_values * sizeof *record->values);
    for (int64_t i = 0; i < count; i++) {
        float *bucket = &record->values[diag->sketch[i] % SL_GRAD_VALUES_MOST];
        *bucket += diag->sketch[i] >> 31 != 0 ? -gradient[i] : gradient[i];
    }
}

/* ---- life -------------------------------------------------------------------------- */

/* What is measured: weights that all widths share. */
static bool is_layer(const struct sl_param *param)
{
    return param->kind == SL_PARAM_WEIGHT && param->owner < 0;
}

/* Weight of the last linear op that the embedding comes from, or -1; the full width's
 * where each width has one of its own. */
static int last_linear(const struct sl_net *net)
{
    int last = -1;
    for (int i = 0; i <= net->values[net->embedding].producer; i++) {
        last = net->ops[i].kind == SL_OP_LINEAR ? net->ops[i].weight : last;
    }
    return last;
}

/* What all sizes here follow from. */
struct extents {
    int n_layers, head; /* index of the head's last weight, or -1 */
    int rows, cols;     /* of that */
    int64_t largest;    /* values of the largest layer */
};

static struct extents extents_of(const struct sl_net *net)
{
    struct extents extents = {.head = last_linear(net)};
    for (int i = 0; i < net->n_params; i++) {
        bool is_measured = is_layer(&net->params[i]);
        int64_t count = net->params[i].count;
        extents.n_layers += is_measured;
        if ((is_measured || i == extents.head) && count > extents.largest) {
            extents.largest = count;
        }
    }
    if (extents.head >= 0) {
        const struct sl_param *param = &net->params[extents.head];
        extents.rows = net->axes[param->axis_out].full;
        extents.cols = net->axes[param->axis_in].full;
    }
    return extents;
}

/* Numbers for the products of the head's gradient. */
static int64_t gram_count(const struct extents *extents)
{
    int64_t side = extents->rows < extents->cols ? extents->rows : extents->cols;
    return side * (side + 1);
}

static enum sl_status make_record(struct sl_error *err, struct sl_graddiag *diag)
{
    struct sl_grad_record *record = &diag->record;
    struct extents extents = extents_of(diag->net);
    record->n_layers = extents.n_layers;
    record->head = extents.head;
    SL_TRY(sl_heap_alloc(err, "gradient diagnostics", record->n_layers,
                         sizeof *record->layers, &record->layers));
    SL_TRY(sl_heap_alloc(err, "gradients of one layer", extents.largest, sizeof(float),
                         &diag->sum));
    for (int w = 0; w < diag->net->widths.n; w++) {
        SL_TRY(sl_heap_alloc(err, "gradients of one layer", extents.largest,
                             sizeof(float), &diag->host[w]));
    }
    if (record->head < 0) {
        return SL_OK;
    }
    record->head_rows = extents.rows;
    record->head_cols = extents.cols;
    SL_TRY(sl_heap_alloc(err, "products of the head's gradient", gram_count(&extents),
                         sizeof *diag->gram, &diag->gram));
    return make_sketch(err, diag);
}

static size_t kept_bytes(const struct sl_net *net)
{
    return (size_t)net->widths.n * (size_t)net->total * sizeof(float);
}

size_t sl_graddiag_bytes(const struct sl_net *net)
{
    struct extents extents = extents_of(net);
    int64_t head = (int64_t)extents.rows * extents.cols;
    int64_t values = head < SL_GRAD_VALUES_MOST ? head : SL_GRAD_VALUES_MOST;
    size_t sketch = head > values ? (size_t)head * sizeof(uint32_t) : 0;
    return kept_bytes(net) +
           (size_t)(1 + net->widths.n) * (size_t)extents.largest * sizeof(float) +
           (size_t)gram_count(&extents) * sizeof(double) +
           (size_t)values * sizeof(float) + sketch;
}

enum sl_status sl_graddiag_create(struct sl_error *err, const struct sl_net *net,
                                  const struct sl_device *device,
                                  struct sl_graddiag **diag)
{
    enum sl_status status = SL_OK;
    struct sl_graddiag *made = NULL;
    *diag = NULL;
    SL_TRY(sl_heap_alloc(err, "gradient diagnostics", 1, sizeof *made, &made));
    made->net = net;
    made->device = device;
    SL_TRY_OUT(device->table->alloc(err, device->state, "gradients of each width",
                                    kept_bytes(net), &made->block));
    for (int w = 0; w < net->widths.n; w++) {
        made->kept[w] = (float *)made->block + w * net->total;
    }
    SL_TRY_OUT(make_record(err, made));
    *diag = made;
    made = NULL;
out:
    sl_graddiag_destroy(made);
    return status;
}

void sl_graddiag_destroy(struct sl_graddiag *diag)
{
    if (diag == NULL) {
        return;
    }
    if (diag->block != NULL) {
        diag->device->table->free(diag->device->state, diag->block);
    }
    for (int w = 0; w < SL_WIDTHS_MAX; w++) {
        sl_heap_free(diag->host[w]);
    }
    sl_heap_free(diag->sum);
    sl_heap_free(diag->gram);
    sl_heap_free(diag->sketch);
    sl_heap_free(diag->record.values);
    sl_heap_free(diag->record.layers);
    sl_heap_free(diag);
}

/* ---- a measured step --------------------------------------------------------------- */

void sl_graddiag_keep(struct sl_graddiag *diag, int width, const float *diff)
{
    diag->device->table->copy(diag->device->state, diag->kept[width], diff,
                              (size_t)diag->net->total * sizeof(float));
}

/* One layer's gradients to the host: what was kept after a width is the sum over the
 * widths so far, or with `apart` that width's own. */
static void fetch_layer(const struct sl_graddiag *diag, const struct sl_param *param,
                        int active, bool apart)
{
    const struct sl_device *device = diag->device;
    size_t bytes = (size_t)param->count * sizeof(float);
    for (int w = 0; w < active; w++) {
        device->table->get(device->state, diag->host[w], diag->kept[w] + param->offset,
                           bytes);
    }
    memcpy(diag->sum, diag->host[active - 1], bytes);
    for (int w = active - 1; w > 0; w--) {
        for (int64_t i = 0; i < param->count; i++) {
            if (apart) {
                diag->sum[i] += diag->host[w - 1][i];
            } else {
                diag->host[w][i] -= diag->host[w - 1][i];
            }
        }
    }
}

static enum sl_status measure_head(struct sl_error *err, struct sl_graddiag *diag,
                                   int64_t count)
{
    struct sl_grad_record *record = &diag->record;
    int rows = record->head_rows;
    int cols = record->head_cols;
    int64_t side = rows < cols ? rows : cols;
    record->head_norm = sqrt(product(count, diag->sum, diag->sum));
    fill_values(diag, diag->sum);
    return sl_grad_singular(err, rows, cols, diag->sum, diag->gram,
                            diag->gram + side * side, record->singular);
}

enum sl_status sl_graddiag_finish(struct sl_error *err, struct sl_graddiag *diag,
                                  int active, bool apart)
{
    const struct sl_net *net = diag->net;
    struct sl_grad_record *record = &diag->record;
    const float *own[SL_WIDTHS_MAX];
    int n = 0;
    for (int w = 0; w < SL_WIDTHS_MAX; w++) {
        own[w] = diag->host[w];
    }
    record->total = (struct sl_grad_layer){.param = -1};
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        if (is_layer(param) || i == record->head) {
            fetch_layer(diag, param, active, apart);
        }
        if (is_layer(param)) {
            sl_grad_layer_measure(net, i, active, own, diag->sum, &record->layers[n]);
            add_layer(&record->total, &record->layers[n]);
            n++;
        }
        if (i == record->head) {
            SL_TRY(measure_head(err, diag, param->count));
        }
    }
    finish_published(record, net->widths.n);
    record->active = active;
    return SL_OK;
}
