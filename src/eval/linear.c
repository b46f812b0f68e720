/* SPDX-License-Identifier: MIT */
/*
 * Linear probes on frozen features, all widths and both kinds in one pass over the rows:
 * switchable, one private classifier a width, and slimmable, one whose leading columns
 * every width shares. A row stands as (1, x), so that column 0 of a classifier is its
 * bias and a slice of columns is a narrower classifier.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

enum { TOP5 = 5 };
static const double STD_FLOOR = 1e-6;
static const double NORMAL_START = 0.01; /* as the paper's code starts its probes */

/* One width's rows and how they are standardised. */
struct part {
    const struct sl_features *train, *test;
    float *mean, *scale; /* d each */
    int first;           /* of its features among the full width's */
    int columns;         /* 1 + first + d: columns before its own are zero */
    float *rows;         /* (batch, columns), staged on the host */
    void *batch;         /* the same in backend memory */
    double loss;         /* of the private classifier, summed over an epoch's rows */
    double shared_loss;  /* of the shared one */
};

/* One classifier: (classes, columns) with its gradient and momentum. */
struct classifier {
    void *weight, *diff, *slot;
    int columns;
};

struct probe {
    const struct sl_device *device;
    const struct sl_probe_config *config;
    int n_widths;
    struct part part[SL_WIDTHS_MAX];
    struct classifier own[SL_WIDTHS_MAX], shared;
    void *logits[SL_WIDTHS_MAX], *teacher, *diff_logits, *scratch; /* (batch, classes) */
    int32_t *labels, *order;
    float *host_logits;
    int64_t n_rows; /* labelled train rows, first in `order` */
};

static enum sl_status alloc(struct sl_error *err, const struct probe *probe,
                            int64_t count, void **memory)
{
    return probe->device->table->alloc(err, probe->device->state, "linear probe",
                                       (size_t)count * sizeof(float), memory);
}

static void release(const struct probe *probe, void *memory)
{
    if (memory != NULL) {
        probe->device->table->free(probe->device->state, memory);
    }
}

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status open_classifier(struct sl_error *err, const struct probe *probe,
                                      int columns, int number,
                                      struct classifier *classifier)
{
    int64_t count = (int64_t)probe->config->n_classes * columns;
    float *start = NULL;
    classifier->columns = columns;
    SL_TRY(alloc(err, probe, count, &classifier->weight));
    SL_TRY(alloc(err, probe, count, &classifier->diff));
    SL_TRY(alloc(err, probe, count, &classifier->slot));
    if (!probe->config->normal_start) {
        return SL_OK;
    }
    SL_TRY(sl_heap_alloc(err, "start of a probe", count, sizeof *start, &start));
    sl_rng_fill_normal(probe->config->seed, SL_RNG_INIT,
                       UINT32_C(0x10000) + (uint32_t)number, (float)NORMAL_START, count,
                       start);
    for (int c = 0; c < probe->config->n_classes; c++) {
        start[(int64_t)c * columns] = 0.0F; /* bias */
    }
    probe->device->table->put(probe->device->state, classifier->weight, start,
                              (size_t)count * sizeof *start);
    sl_heap_free(start);
    return SL_OK;
}

static enum sl_status open_part(struct sl_error *err, struct probe *probe,
                                struct part *part, const struct sl_features *train,
                                const struct sl_features *test)
{
    int d = train->d;
    part->train = train;
    part->test = test;
    part->first = train->first;
    part->columns = 1 + part->first + d;
    SL_TRY(sl_heap_alloc(err, "feature means", d, sizeof(float), &part->mean));
    SL_TRY(sl_heap_alloc(err, "feature scales", d, sizeof(float), &part->scale));
    SL_TRY(sl_heap_alloc(err, "rows", (int64_t)probe->config->batch * part->columns,
                         sizeof(float), &part->rows));
    SL_TRY(
        alloc(err, probe, (int64_t)probe->config->batch * part->columns, &part->batch));
    for (int c = 0; c < d; c++) {
        part->scale[c] = 1.0F;
    }
    for (int c = 0; probe->config->standardise && c < d; c++) {
        double sum = 0.0;
        double squares = 0.0;
        for (int64_t i = 0; i < train->n; i++) {
            sum += (double)train->values[i * d + c];
        }
        double mean = sum / (double)train->n;
        for (int64_t i = 0; i < train->n; i++) {
            double off = (double)train->values[i * d + c] - mean;
            squares += off * off;
        }
        double std = sqrt(squares / (double)train->n);
        part->mean[c] = (float)mean;
        part->scale[c] = (float)(1.0 / (std > STD_FLOOR ? std : STD_FLOOR));
    }
    return SL_OK;
}

static int64_t count_labelled(const struct sl_features *features, int n_classes)
{
    int64_t n = 0;
    for (int64_t i = 0; i < features->n; i++) {
        n += features->labels[i] >= 0 && features->labels[i] < n_classes;
    }
    return n;
}

static enum sl_status check(struct sl_error *err, const struct sl_probe_config *config,
                            int n_widths, const struct sl_features *train,
                            const struct sl_features *test)
{
    if (config->n_classes < 2 || config->epochs < 1 || config->batch < 1) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "linear probe: %d classes, %d epochs, batch %d: at least 2, 1 and 1 are "
            "needed",
            config->n_classes, config->epochs, config->batch);
    }
    for (int i = 0; i < n_widths; i++) {
        if (train[i].n != train[0].n || test[i].n != test[0].n || train[i].n == 0 ||
            test[i].n == 0 || train[i].d != test[i].d || train[i].d > train[0].d) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "linear probe: widths must be descending and have the same rows");
        }
    }
    if (count_labelled(&train[0], config->n_classes) == 0 ||
        count_labelled(&test[0], config->n_classes) == 0) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "linear probe: no labelled picture in the train or in the test "
                       "part");
    }
    return SL_OK;
}

static enum sl_status open_probe(struct sl_error *err, struct probe *probe,
                                 struct sl_features *train, struct sl_features *test)
{
    int64_t logits = (int64_t)probe->config->batch * probe->config->n_classes;
    SL_TRY(sl_heap_alloc(err, "labels", probe->config->batch, sizeof *probe->labels,
                         &probe->labels));
    SL_TRY(sl_heap_alloc(err, "order", train[0].n, sizeof *probe->order, &probe->order));
    SL_TRY(sl_heap_alloc(err, "logits", logits, sizeof *probe->host_logits,
                         &probe->host_logits));
    SL_TRY(alloc(err, probe, logits, &probe->diff_logits));
    SL_TRY(alloc(err, probe, logits, &probe->teacher));
    SL_TRY(alloc(err, probe, (int64_t)probe->config->batch * 4, &probe->scratch));
    for (int i = 0; i < probe->n_widths; i++) {
        SL_TRY(open_part(err, probe, &probe->part[i], &train[i], &test[i]));
        SL_TRY(open_classifier(err, probe, probe->part[i].columns, i, &probe->own[i]));
        SL_TRY(alloc(err, probe, logits, &probe->logits[i]));
    }
    int columns = 0;
    for (int i = 0; i < probe->n_widths; i++) {
        columns = probe->part[i].columns > columns ? probe->part[i].columns : columns;
    }
    return open_classifier(err, probe, columns, SL_WIDTHS_MAX, &probe->shared);
}

static void close_probe(struct probe *probe)
{
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        sl_heap_free(probe->part[i].mean);
        sl_heap_free(probe->part[i].scale);
        sl_heap_free(probe->part[i].rows);
        release(probe, probe->part[i].batch);
        release(probe, probe->own[i].weight);
        release(probe, probe->own[i].diff);
        release(probe, probe->own[i].slot);
        release(probe, probe->logits[i]);
    }
    release(probe, probe->shared.weight);
    release(probe, probe->shared.diff);
    release(probe, probe->shared.slot);
    release(probe, probe->teacher);
    release(probe, probe->diff_logits);
    release(probe, probe->scratch);
    sl_heap_free(probe->labels);
    sl_heap_free(probe->order);
    sl_heap_free(probe->host_logits);
}

/* ---- one batch --------------------------------------------------------------------- */

/* Rows (1, standardised x) of a width, staged and put. `order` NULL: rows first …
 * first+n-1. */
static void stage(const struct probe *probe, struct part *part,
                  const struct sl_features *from, const int32_t *order, int64_t first,
                  int n)
{
    int d = from->d;
    for (int r = 0; r < n; r++) {
        int64_t index = order != NULL ? order[first + r] : first + r;
        const float *x = from->values + index * d;
        float *row = part->rows + (int64_t)r * part->columns;
        row[0] = 1.0F;
        for (int c = 0; c < d; c++) {
            row[1 + part->first + c] = (x[c] - part->mean[c]) * part->scale[c];
        }
    }
    probe->device->table->put(probe->device->state, part->batch, part->rows,
                              (size_t)n * (size_t)part->columns * sizeof(float));
}

static void classify(const struct probe *probe, const struct part *part,
                     const struct classifier *classifier, int n, void *logits)
{
    int classes = probe->config->n_classes;
    probe->device->table->gemm(
        probe->device->state, false, true, n, classes, part->columns, 1.0F, part->batch,
        part->columns, classifier->weight, classifier->columns, 0.0F, logits, classes);
}

/* CE with labels; for a sub-network with distill 1/2 CE + 1/2 soft CE with the full
 * width's probe, at temperature 1. Joins the gradient of the classifier's leading columns
 * and returns the loss. */
static double learn(const struct probe *probe, const struct part *part,
                    const struct classifier *classifier, bool student, int n,
                    const void *logits)
{
    const struct sl_backend *table = probe->device->table;
    int classes = probe->config->n_classes;
    struct sl_row_loss loss = {
        .kind = SL_LOSS_CLASS,
        .rows = n,
        .cols = classes,
        .stride = classes,
        .logits = logits,
        .labels = probe->labels,
        .temperature = 1.0F,
        .weight = student ? 0.5F : 1.0F,
        .diff = probe->diff_logits,
        .scratch = probe->scratch,
    };
    struct sl_row_loss_result hard = {0};
    struct sl_row_loss_result soft = {0};
    table->row_loss(probe->device->state, &loss, &hard);
    if (student) {
        loss.kind = SL_LOSS_SOFT;
        loss.labels = NULL;
        loss.teacher = probe->teacher;
        loss.teacher_temperature = 1.0F;
        loss.add = true;
        table->row_loss(probe->device->state, &loss, &soft);
    }
    table->gemm(probe->device->state, true, false, classes, part->columns, n, 1.0F,
                probe->diff_logits, classes, part->batch, part->columns, 1.0F,
                classifier->diff, classifier->columns);
    return student ? 0.5 * (hard.value + soft.value) : hard.value;
}

static void update(const struct probe *probe, const struct classifier *classifier,
                   double lr)
{
    int64_t count = (int64_t)probe->config->n_classes * classifier->columns;
    const struct sl_backend *table = probe->device->table;
    table->sgd(probe->device->state, count, (float)lr, (float)probe->config->momentum,
               (float)probe->config->weight_decay, classifier->diff, classifier->slot,
               classifier->weight);
    table->zero(probe->device->state, classifier->diff, (size_t)count * sizeof(float));
}

static void train_batch(struct probe *probe, int64_t first, int n, double lr)
{
    const struct sl_backend *table = probe->device->table;
    size_t bytes = (size_t)n * (size_t)probe->config->n_classes * sizeof(float);
    bool distill = probe->config->distill;
    for (int r = 0; r < n; r++) {
        probe->labels[r] = probe->part[0].train->labels[probe->order[first + r]];
    }
    for (int i = 0; i < probe->n_widths; i++) {
        stage(probe, &probe->part[i], probe->part[i].train, probe->order, first, n);
    }
    for (int i = 0; i < probe->n_widths; i++) {
        struct part *part = &probe->part[i];
        classify(probe, part, &probe->own[i], n, probe->logits[i]);
        if (i == 0) {
            table->copy(probe->device->state, probe->teacher, probe->logits[0], bytes);
        }
        part->loss +=
            n * learn(probe, part, &probe->own[i], distill && i > 0, n, probe->logits[i]);
    }
    for (int i = 0; i < probe->n_widths; i++) {
        update(probe, &probe->own[i], lr);
    }
    /* The losses of all widths are summed on the shared classifier, then one update. */
    for (int i = 0; i < probe->n_widths; i++) {
        struct part *part = &probe->part[i];
        classify(probe, part, &probe->shared, n, probe->logits[i]);
        if (i == 0) {
            table->copy(probe->device->state, probe->teacher, probe->logits[0], bytes);
        }
        part->shared_loss +=
            n * learn(probe, part, &probe->shared, distill && i > 0, n, probe->logits[i]);
    }
    update(probe, &probe->shared, lr);
}

/* ---- judging ----------------------------------------------------------------------- */

static struct sl_score judge(struct probe *probe, struct part *part,
                             const struct classifier *classifier)
{
    const struct sl_features *test = part->test;
    int classes = probe->config->n_classes;
    int64_t right1 = 0;
    int64_t right5 = 0;
    int64_t judged = 0;
    for (int64_t first = 0; first < test->n; first += probe->config->batch) {
        int n = test->n - first < probe->config->batch ? (int)(test->n - first)
                                                       : probe->config->batch;
        stage(probe, part, test, NULL, first, n);
        classify(probe, part, classifier, n, probe->logits[0]);
        probe->device->table->get(probe->device->state, probe->host_logits,
                                  probe->logits[0],
                                  (size_t)n * (size_t)classes * sizeof(float));
        for (int r = 0; r < n; r++) {
            int32_t label = test->labels[first + r];
            const float *row = probe->host_logits + (int64_t)r * classes;
            if (label < 0 || label >= classes) {
                continue;
            }
            int rank = sl_score_rank(row, classes, label);
            judged++;
            right1 += rank < 1;
            right5 += rank < TOP5;
        }
    }
    return (struct sl_score){.acc1 = (double)right1 / (double)judged,
                             .acc5 = (double)right5 / (double)judged};
}

static void judge_all(struct probe *probe, struct sl_probe_result *result)
{
    for (int i = 0; i < probe->n_widths; i++) {
        result->switchable[i] = judge(probe, &probe->part[i], &probe->own[i]);
        result->slimmable[i] = judge(probe, &probe->part[i], &probe->shared);
    }
}

/* ---- the run ----------------------------------------------------------------------- */

static double rate_of(const struct sl_probe_config *config, double epoch)
{
    double at = epoch / config->epochs;
    if (config->cosine) {
        return 0.5 * config->lr * (1.0 + cos(acos(-1.0) * at));
    }
    return config->lr * (at >= 0.8 ? 0.01 : at >= 0.6 ? 0.1 : 1.0);
}

static void order_rows(struct probe *probe, int epoch)
{
    const struct sl_features *train = probe->part[0].train;
    probe->n_rows = 0;
    for (int64_t i = 0; i < train->n; i++) {
        if (train->labels[i] >= 0 && train->labels[i] < probe->config->n_classes) {
            probe->order[probe->n_rows++] = (int32_t)i;
        }
    }
    struct sl_rng rng = sl_rng_at(probe->config->seed, SL_RNG_PROBE, (uint32_t)epoch, 0);
    sl_rng_shuffle(&rng, probe->order, probe->n_rows);
}

static void train_epoch(struct probe *probe, int epoch)
{
    const struct sl_probe_config *config = probe->config;
    int64_t batches = (probe->n_rows + config->batch - 1) / config->batch;
    for (int i = 0; i < probe->n_widths; i++) {
        probe->part[i].loss = 0.0;
        probe->part[i].shared_loss = 0.0;
    }
    for (int64_t b = 0; b < batches; b++) {
        int64_t first = b * config->batch;
        int n = probe->n_rows - first < config->batch ? (int)(probe->n_rows - first)
                                                      : config->batch;
        double within = config->cosine ? (double)b / (double)batches : 0.0;
        train_batch(probe, first, n, rate_of(config, epoch + within));
    }
}

/* Both kinds at every width: logits that are not numbers must not be judged. */
static enum sl_status check_losses(struct sl_error *err, const struct probe *probe,
                                   int epoch)
{
    for (int i = 0; i < probe->n_widths; i++) {
        const struct part *part = &probe->part[i];
        bool own = isfinite(part->loss);
        if (!own || !isfinite(part->shared_loss)) {
            return SL_FAIL(
                err, SL_ERROR_NUMBERS,
                "linear probe: the loss of the %s classifier at %d features is "
                "not finite in epoch %d; lower --probe-lr (%g)",
                own ? "slimmable" : "switchable", part->train->d, epoch + 1,
                probe->config->lr);
        }
    }
    return SL_OK;
}

static enum sl_status run_probe(struct sl_error *err, struct probe *probe,
                                struct sl_features *train, struct sl_probe_result *result)
{
    const struct sl_probe_config *config = probe->config;
    for (int epoch = 0; epoch < config->epochs; epoch++) {
        if (config->before_epoch != NULL) {
            SL_TRY(config->before_epoch(err, config->context, epoch, train));
        }
        order_rows(probe, epoch);
        train_epoch(probe, epoch);
        SL_TRY(check_losses(err, probe, epoch));
    }
    judge_all(probe, result);
    for (int i = 0; i < probe->n_widths; i++) {
        result->switchable_loss[i] = probe->part[i].loss / (double)probe->n_rows;
        result->slimmable_loss[i] = probe->part[i].shared_loss / (double)probe->n_rows;
    }
    return SL_OK;
}

enum sl_status sl_linear_probe(struct sl_error *err, const struct sl_device *device,
                               const struct sl_probe_config *config, int n_widths,
                               struct sl_features *train, struct sl_features *test,
                               struct sl_probe_result *result)
{
    enum sl_status status = SL_OK;
    struct probe probe = {.device = device, .config = config, .n_widths = n_widths};
    *result = (struct sl_probe_result){0};
    SL_TRY_OUT(check(err, config, n_widths, train, test));
    SL_TRY_OUT(open_probe(err, &probe, train, test));
    SL_TRY_OUT(run_probe(err, &probe, train, result));
out:
    close_probe(&probe);
    return status;
}
