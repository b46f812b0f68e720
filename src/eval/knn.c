/* SPDX-License-Identifier: MIT */
/*
 * Weighted nearest neighbours on normalised features (Wu et al., arXiv 1805.01978):
 * similarities by one matrix product a block, then the k largest of each row, then
 * exp(cos / T) votes a class.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

/* A block of the bank is laid out anew for each block of queries, so that many queries
 * make the product quick; a block of similarities stays at 4 MiB. */
enum { QUERY_BLOCK = 512, BANK_BLOCK = 2048, SCAN_STEP = 32, TOP5 = 5 };

static const double NORM_FLOOR = 1e-12;

/* The k largest so far as a heap whose root is the smallest; equal similarities prefer
 * the lower index. */
struct nearest {
    float *cosine;
    int32_t *index;
    int n, k;
};

static bool below(const struct nearest *heap, int a, int b)
{
    return heap->cosine[a] < heap->cosine[b] ||
           (heap->cosine[a] == heap->cosine[b] && heap->index[a] > heap->index[b]);
}

static void swap(struct nearest *heap, int a, int b)
{
    float cosine = heap->cosine[a];
    int32_t index = heap->index[a];
    heap->cosine[a] = heap->cosine[b];
    heap->index[a] = heap->index[b];
    heap->cosine[b] = cosine;
    heap->index[b] = index;
}

static void sift_down(struct nearest *heap)
{
    int at = 0;
    for (;;) {
        int least = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2 && child < heap->n; child++) {
            least = below(heap, child, least) ? child : least;
        }
        if (least == at) {
            return;
        }
        swap(heap, at, least);
        at = least;
    }
}

static void push(struct nearest *heap, float cosine, int32_t index)
{
    if (heap->n == heap->k) {
        /* Indices come ascending, so an equal cosine never replaces. */
        heap->cosine[0] = cosine;
        heap->index[0] = index;
        sift_down(heap);
        return;
    }
    int at = heap->n++;
    heap->cosine[at] = cosine;
    heap->index[at] = index;
    while (at > 0 && below(heap, at, (at - 1) / 2)) {
        swap(heap, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

/* Whether any of SCAN_STEP similarities is above the least of a full heap: most often
 * none is, and this loop is one the compiler makes wide. */
static bool any_above(const float *row, float least)
{
    int above = 0;
    for (int i = 0; i < SCAN_STEP; i++) {
        above |= row[i] > least;
    }
    return above != 0;
}

static void scan(struct nearest *heap, const float *row, int64_t n, int64_t first)
{
    for (int64_t i = 0; i < n;) {
        if (heap->n == heap->k && n - i >= SCAN_STEP &&
            !any_above(row + i, heap->cosine[0])) {
            i += SCAN_STEP;
            continue;
        }
        int64_t end = n - i < SCAN_STEP ? n : i + SCAN_STEP;
        for (; i < end; i++) {
            if (heap->n < heap->k || row[i] > heap->cosine[0]) {
                push(heap, row[i], (int32_t)(first + i));
            }
        }
    }
}

/* Rows with a label, normalised, in backend memory. */
struct unit_rows {
    void *values;
    int32_t *labels;
    int64_t n;
};

static enum sl_status make_unit_rows(struct sl_error *err, const struct sl_device *device,
                                     const struct sl_features *features, int n_classes,
                                     struct unit_rows *rows)
{
    float *unit = NULL;
    enum sl_status status = SL_OK;
    int d = features->d;
    SL_TRY_OUT(sl_heap_alloc(err, "normalised features", d, sizeof *unit, &unit));
    SL_TRY_OUT(
        sl_heap_alloc(err, "labels", features->n, sizeof *rows->labels, &rows->labels));
    SL_TRY_OUT(device->table->alloc(err, device->state, "normalised features",
                                    (size_t)features->n * (size_t)d * sizeof *unit,
                                    &rows->values));
    for (int64_t i = 0; i < features->n; i++) {
        if (features->labels[i] < 0 || features->labels[i] >= n_classes) {
            continue;
        }
        double sum = 0.0;
        for (int c = 0; c < d; c++) {
            double value = (double)features->values[i * d + c];
            sum += value * value;
        }
        if (!isfinite(sum)) {
            status = SL_FAIL(err, SL_ERROR_NUMBERS,
                             "kNN: the features of picture %d are not finite; is the "
                             "model damaged, or did its training diverge?",
                             (int)features->ids[i]);
            goto out;
        }
        double norm = sqrt(sum) > NORM_FLOOR ? sqrt(sum) : NORM_FLOOR;
        for (int c = 0; c < d; c++) {
            unit[c] = (float)((double)features->values[i * d + c] / norm);
        }
        device->table->put(device->state, (float *)rows->values + rows->n * d, unit,
                           (size_t)d * sizeof *unit);
        rows->labels[rows->n++] = features->labels[i];
    }
out:
    sl_heap_free(unit);
    return status;
}

static void free_unit_rows(const struct sl_device *device, struct unit_rows *rows)
{
    if (rows->values != NULL) {
        device->table->free(device->state, rows->values);
    }
    sl_heap_free(rows->labels);
}

/* At most half the smallest class of the bank, and at least one. */
static enum sl_status clamp_k(struct sl_error *err, const struct unit_rows *bank,
                              int n_classes, int k, int *used)
{
    int64_t *count = NULL;
    SL_TRY(sl_heap_alloc(err, "class counts", n_classes, sizeof *count, &count));
    for (int64_t i = 0; i < bank->n; i++) {
        count[bank->labels[i]]++;
    }
    int64_t smallest = INT64_MAX;
    for (int c = 0; c < n_classes; c++) {
        smallest = count[c] > 0 && count[c] < smallest ? count[c] : smallest;
    }
    sl_heap_free(count);
    int64_t most = smallest / 2 > 1 ? smallest / 2 : 1;
    *used = k < most ? k : (int)most;
    return SL_OK;
}

/* Rank of the label among the classes' votes. exp is taken relative to the nearest, which
 * changes no ratio and cannot make all votes vanish when the temperature is small. */
static int vote(const struct nearest *heap, const int32_t *labels, int n_classes,
                double temperature, int32_t label, double *votes)
{
    double top = (double)heap->cosine[0];
    for (int i = 1; i < heap->n; i++) {
        top = (double)heap->cosine[i] > top ? (double)heap->cosine[i] : top;
    }
    memset(votes, 0, sizeof *votes * (size_t)n_classes);
    for (int i = 0; i < heap->n; i++) {
        votes[labels[heap->index[i]]] +=
            exp(((double)heap->cosine[i] - top) / temperature);
    }
    int rank = 0;
    for (int c = 0; c < n_classes; c++) {
        rank += votes[c] > votes[label] || (c < label && votes[c] == votes[label]);
    }
    return rank;
}

struct search {
    float *similar; /* host copy of one block */
    void *product;  /* (QUERY_BLOCK, BANK_BLOCK) in backend memory */
    float *cosine;
    int32_t *index;
    double *votes;
};

static enum sl_status search_block(struct sl_error *err, const struct sl_device *device,
                                   const struct sl_knn_config *config,
                                   const struct search *search,
                                   const struct unit_rows *bank,
                                   const struct unit_rows *query, int d, int64_t first,
                                   int rows, struct nearest *heaps)
{
    for (int64_t at = 0; at < bank->n; at += BANK_BLOCK) {
        int64_t n = bank->n - at < BANK_BLOCK ? bank->n - at : BANK_BLOCK;
        device->table->gemm(device->state, false, true, rows, n, d, 1.0F,
                            (const float *)query->values + first * d, d,
                            (const float *)bank->values + at * d, d, 0.0F,
                            search->product, n);
        device->table->get(device->state, search->similar, search->product,
                           (size_t)rows * (size_t)n * sizeof(float));
        for (int r = 0; r < rows; r++) {
            scan(&heaps[r], search->similar + r * n, n, at);
        }
        /* The last queries count as done with the last of the bank. */
        int64_t done = first + rows * (at + n) / bank->n;
        if (config->go_on != NULL && !config->go_on(config->go_on_context, done)) {
            return SL_FAIL(err, SL_STOPPED, "stopped; nothing was written");
        }
    }
    return SL_OK;
}

enum sl_status sl_knn(struct sl_error *err, const struct sl_device *device,
                      const struct sl_knn_config *config, const struct sl_features *bank,
                      const struct sl_features *query, struct sl_score *score,
                      int *k_used)
{
    enum sl_status status = SL_OK;
    struct unit_rows in_bank = {0};
    struct unit_rows asked = {0};
    struct search search = {0};
    struct nearest heaps[QUERY_BLOCK];
    int64_t right1 = 0;
    int64_t right5 = 0;
    size_t block = (size_t)QUERY_BLOCK * BANK_BLOCK;

    SL_ASSERT(bank->d == query->d);
    if (config->k < 1 || !(config->temperature > 0.0)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "kNN: k %d and temperature %g: both must be above 0", config->k,
                       config->temperature);
    }
    SL_TRY_OUT(make_unit_rows(err, device, bank, config->n_classes, &in_bank));
    SL_TRY_OUT(make_unit_rows(err, device, query, config->n_classes, &asked));
    if (in_bank.n == 0 || asked.n == 0) {
        status = SL_FAIL(err, SL_ERROR_DATA,
                         "kNN: no labelled picture on one of the two sides");
        goto out;
    }
    SL_TRY_OUT(clamp_k(err, &in_bank, config->n_classes, config->k, k_used));
    SL_TRY_OUT(sl_heap_alloc(err, "similarities", (int64_t)block, sizeof(float),
                             &search.similar));
    SL_TRY_OUT(device->table->alloc(err, device->state, "similarities",
                                    block * sizeof(float), &search.product));
    int64_t places = (int64_t)QUERY_BLOCK * *k_used;
    SL_TRY_OUT(sl_heap_alloc(err, "neighbours", places, sizeof(float), &search.cosine));
    SL_TRY_OUT(sl_heap_alloc(err, "neighbours", places, sizeof(int32_t), &search.index));
    SL_TRY_OUT(
        sl_heap_alloc(err, "votes", config->n_classes, sizeof(double), &search.votes));
    for (int64_t first = 0; first < asked.n; first += QUERY_BLOCK) {
        int rows = asked.n - first < QUERY_BLOCK ? (int)(asked.n - first) : QUERY_BLOCK;
        for (int r = 0; r < rows; r++) {
            heaps[r] = (struct nearest){.cosine = search.cosine + (int64_t)r * *k_used,
                                        .index = search.index + (int64_t)r * *k_used,
                                        .k = *k_used};
        }
        SL_TRY_OUT(search_block(err, device, config, &search, &in_bank, &asked, bank->d,
                                first, rows, heaps));
        for (int r = 0; r < rows; r++) {
            int rank = vote(&heaps[r], in_bank.labels, config->n_classes,
                            config->temperature, asked.labels[first + r], search.votes);
            right1 += rank < 1;
            right5 += rank < TOP5;
        }
    }
    *score = (struct sl_score){.acc1 = (double)right1 / (double)asked.n,
                               .acc5 = (double)right5 / (double)asked.n};
out:
    free_unit_rows(device, &in_bank);
    free_unit_rows(device, &asked);
    if (search.product != NULL) {
        device->table->free(device->state, search.product);
    }
    sl_heap_free(search.similar);
    sl_heap_free(search.cosine);
    sl_heap_free(search.index);
    sl_heap_free(search.votes);
    return status;
}

size_t sl_knn_plan_memory(const struct sl_knn_config *config, int64_t n_bank,
                          int64_t n_query, int d)
{
    size_t rows = (size_t)(n_bank + n_query) *
                  ((size_t)d * sizeof(float) + sizeof(int32_t)); /* normalised */
    size_t blocks = (size_t)2 * QUERY_BLOCK * BANK_BLOCK * sizeof(float);
    size_t places =
        (size_t)QUERY_BLOCK * (size_t)config->k * (sizeof(float) + sizeof(int32_t));
    return rows + blocks + places + (size_t)config->n_classes * sizeof(double);
}
