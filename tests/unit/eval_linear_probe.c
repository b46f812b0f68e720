/* SPDX-License-Identifier: MIT */
/*
 * Linear probes against an implementation in double written from the formulae, whose
 * gradient is held to finite differences: losses, both kinds of classifier, soft labels,
 * schedule, momentum, order of the rows. The same against losses by PyTorch. Then what
 * the formulae do not show: standardisation, which epoch is judged, rows without labels,
 * refusals.
 */
#include "eval/eval.h"
#include "golden/probe.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 6, WIDTHS = 3, D_MOST = 8, TRAIN = 50, TEST = 300 };
static const int dims[WIDTHS] = {8, 6, 4};

static struct sl_device device;

static int begin(void **state)
{
    struct sl_error err = {0};
    (void)state;
    return sl_device_open(&err, "ref", &(struct sl_backend_options){.threads = 1},
                          &device);
}

static int end(void **state)
{
    (void)state;
    sl_device_close(&device);
    return 0;
}

/* ---- features ---------------------------------------------------------------------- */

/* Rows of class i % CLASSES, `pull` towards their class, on odd scales. */
static struct sl_features make(int64_t n, int d, float pull, uint32_t key)
{
    struct sl_error err = {0};
    struct sl_features features = {.n = n, .d = d};
    assert_int_equal(sl_heap_alloc(&err, "t", n * d, sizeof(float), &features.values),
                     SL_OK);
    assert_int_equal(sl_heap_alloc(&err, "t", n, sizeof(int32_t), &features.labels),
                     SL_OK);
    assert_int_equal(sl_heap_alloc(&err, "t", n, sizeof(int32_t), &features.ids), SL_OK);
    sl_rng_fill_normal(3, SL_RNG_TEST, key, 1.0F, n * d, features.values);
    for (int64_t i = 0; i < n; i++) {
        int label = (int)(i % CLASSES);
        features.labels[i] = label;
        features.ids[i] = (int32_t)i;
        features.values[i * d + label % d] += pull;
        features.values[i * d + (label + 1) % d] -= pull * (float)(label / d);
        for (int c = 0; c < d; c++) {
            features.values[i * d + c] =
                features.values[i * d + c] * (0.5F + 0.1F * (float)c) + 0.3F;
        }
    }
    return features;
}

struct set {
    struct sl_features train[WIDTHS], test[WIDTHS];
};

static struct set make_set(float pull)
{
    struct set set;
    for (int w = 0; w < WIDTHS; w++) {
        set.train[w] = make(TRAIN, dims[w], pull, 10 + (uint32_t)w);
        set.test[w] = make(TEST, dims[w], pull, 20 + (uint32_t)w);
    }
    return set;
}

static void finish_set(struct set *set)
{
    for (int w = 0; w < WIDTHS; w++) {
        sl_features_finish(&set->train[w]);
        sl_features_finish(&set->test[w]);
    }
}

static struct sl_probe_config plain_config(void)
{
    return (struct sl_probe_config){.n_classes = CLASSES,
                                    .epochs = 3,
                                    .batch = 16,
                                    .lr = 0.1,
                                    .momentum = 0.9,
                                    .cosine = true,
                                    .seed = 5};
}

static struct sl_probe_result run(const struct sl_probe_config *config, struct set *set)
{
    struct sl_error err = {0};
    struct sl_probe_result result;
    if (sl_linear_probe(&err, &device, config, WIDTHS, set->train, set->test, &result) !=
        SL_OK) {
        fail_msg("%s", err.text);
    }
    return result;
}

/* ---- the same in double ------------------------------------------------------------ */

struct model {
    double weight[CLASSES][D_MOST + 1]; /* column 0: bias */
    double diff[CLASSES][D_MOST + 1], slot[CLASSES][D_MOST + 1];
};

static void logits_of(const struct model *model, const double *x, int d,
                      double out[CLASSES])
{
    for (int c = 0; c < CLASSES; c++) {
        out[c] = model->weight[c][0];
        for (int j = 0; j < d; j++) {
            out[c] += model->weight[c][1 + j] * x[j];
        }
    }
}

static void softmax(const double in[CLASSES], double out[CLASSES])
{
    double sum = 0.0;
    for (int c = 0; c < CLASSES; c++) {
        sum += exp(in[c]);
    }
    for (int c = 0; c < CLASSES; c++) {
        out[c] = exp(in[c]) / sum;
    }
}

/* One row: its loss, and its part of the batch's gradient. `soft` NULL: plain CE; else
 * 1/2 CE + 1/2 soft CE. */
static double slow_row(struct model *model, const double *x, int d, int label, int n,
                       const double *soft)
{
    double logits[CLASSES];
    double p[CLASSES];
    double loss = 0.0;
    logits_of(model, x, d, logits);
    softmax(logits, p);
    for (int c = 0; c < CLASSES; c++) {
        double hard = c == label ? 1.0 : 0.0;
        double target = soft != NULL ? 0.5 * hard + 0.5 * soft[c] : hard;
        loss -= target * log(p[c]);
        model->diff[c][0] += (p[c] - target) / n;
        for (int j = 0; j < d; j++) {
            model->diff[c][1 + j] += (p[c] - target) / n * x[j];
        }
    }
    return loss;
}

static void slow_update(struct model *model, const struct sl_probe_config *config,
                        double lr)
{
    for (int c = 0; c < CLASSES; c++) {
        for (int j = 0; j <= D_MOST; j++) {
            double g = model->diff[c][j] + config->weight_decay * model->weight[c][j];
            model->slot[c][j] = config->momentum * model->slot[c][j] + g;
            model->weight[c][j] -= lr * model->slot[c][j];
            model->diff[c][j] = 0.0;
        }
    }
}

struct slow {
    const struct sl_probe_config *config;
    const struct set *set;
    double mean[WIDTHS][D_MOST], scale[WIDTHS][D_MOST];
    struct model own[WIDTHS], shared;
    double loss[WIDTHS], shared_loss[WIDTHS];
};

static void row_of(const struct slow *slow, const struct sl_features *features, int w,
                   int64_t i, double x[D_MOST])
{
    for (int c = 0; c < dims[w]; c++) {
        x[c] = ((double)features->values[i * dims[w] + c] - slow->mean[w][c]) *
               slow->scale[w][c];
    }
}

static void slow_moments(struct slow *slow)
{
    for (int w = 0; w < WIDTHS; w++) {
        const struct sl_features *train = &slow->set->train[w];
        for (int c = 0; c < dims[w]; c++) {
            double sum = 0.0;
            double squares = 0.0;
            for (int64_t i = 0; i < train->n; i++) {
                double x = (double)train->values[i * dims[w] + c];
                sum += x;
                squares += x * x;
            }
            double mean = sum / (double)train->n;
            bool on = slow->config->standardise;
            slow->mean[w][c] = on ? mean : 0.0;
            slow->scale[w][c] =
                on ? 1.0 / sqrt(squares / (double)train->n - mean * mean) : 1.0;
        }
    }
}

/* The probabilities of the full width teach, taken before its update. */
static void slow_batch(struct slow *slow, const int32_t *rows, int n, double lr,
                       bool is_shared)
{
    double teacher[TRAIN][CLASSES];
    double x[D_MOST];
    double logits[CLASSES];
    for (int r = 0; r < n; r++) {
        row_of(slow, &slow->set->train[0], 0, rows[r], x);
        logits_of(is_shared ? &slow->shared : &slow->own[0], x, dims[0], logits);
        softmax(logits, teacher[r]);
    }
    for (int w = 0; w < WIDTHS; w++) {
        struct model *model = is_shared ? &slow->shared : &slow->own[w];
        for (int r = 0; r < n; r++) {
            row_of(slow, &slow->set->train[w], w, rows[r], x);
            double loss = slow_row(model, x, dims[w], slow->set->train[0].labels[rows[r]],
                                   n, slow->config->distill && w > 0 ? teacher[r] : NULL);
            *(is_shared ? &slow->shared_loss[w] : &slow->loss[w]) += loss;
        }
        if (!is_shared) {
            slow_update(model, slow->config, lr);
        }
    }
    if (is_shared) {
        slow_update(&slow->shared, slow->config, lr);
    }
}

static double slow_rate(const struct sl_probe_config *config, int epoch, double within)
{
    if (config->cosine) {
        return config->lr *
               (1.0 + cos(3.14159265358979324 * (epoch + within) / config->epochs)) / 2.0;
    }
    double lr = config->lr;
    lr *= 10 * epoch >= 6 * config->epochs ? 0.1 : 1.0;
    lr *= 10 * epoch >= 8 * config->epochs ? 0.1 : 1.0;
    return lr;
}

static struct sl_score slow_score(const struct slow *slow, int w,
                                  const struct model *model)
{
    const struct sl_features *test = &slow->set->test[w];
    double x[D_MOST];
    double logits[CLASSES];
    int right1 = 0;
    int right5 = 0;
    for (int64_t i = 0; i < test->n; i++) {
        int above = 0;
        row_of(slow, test, w, i, x);
        logits_of(model, x, dims[w], logits);
        for (int c = 0; c < CLASSES; c++) {
            above += logits[c] > logits[test->labels[i]];
        }
        right1 += above < 1;
        right5 += above < 5;
    }
    return (struct sl_score){(double)right1 / (double)test->n,
                             (double)right5 / (double)test->n};
}

/* Expects the start at zero and every train row labelled. */
static struct sl_probe_result slow_run(const struct sl_probe_config *config,
                                       const struct set *set)
{
    static struct slow slow;
    struct sl_probe_result result = {0};
    int64_t n_rows = set->train[0].n;
    slow = (struct slow){.config = config, .set = set};
    slow_moments(&slow);
    for (int epoch = 0; epoch < config->epochs; epoch++) {
        int32_t order[TRAIN];
        struct sl_rng rng = sl_rng_at(config->seed, SL_RNG_PROBE, (uint32_t)epoch, 0);
        for (int i = 0; i < n_rows; i++) {
            order[i] = i;
        }
        sl_rng_shuffle(&rng, order, n_rows);
        memset(slow.loss, 0, sizeof slow.loss);
        memset(slow.shared_loss, 0, sizeof slow.shared_loss);
        int64_t batches = (n_rows + config->batch - 1) / config->batch;
        for (int64_t b = 0; b < batches; b++) {
            int64_t first = b * config->batch;
            int n =
                (int)(n_rows - first < config->batch ? n_rows - first : config->batch);
            double lr = slow_rate(config, epoch, (double)b / (double)batches);
            slow_batch(&slow, order + first, n, lr, false);
            slow_batch(&slow, order + first, n, lr, true);
        }
    }
    for (int w = 0; w < WIDTHS; w++) {
        result.switchable_loss[w] = slow.loss[w] / (double)n_rows;
        result.slimmable_loss[w] = slow.shared_loss[w] / (double)n_rows;
        result.switchable[w] = slow_score(&slow, w, &slow.own[w]);
        result.slimmable[w] = slow_score(&slow, w, &slow.shared);
    }
    return result;
}

static void assert_near(const char *kind, int width, double loss, double expected)
{
    if (!(fabs(loss - expected) < 1e-5 * (1.0 + expected))) {
        fail_msg("%s loss of width %d: %.9g, expected %.9g", kind, width, loss, expected);
    }
}

static void assert_agree(const struct sl_probe_result *a, const struct sl_probe_result *b)
{
    for (int w = 0; w < WIDTHS; w++) {
        assert_near("private", w, a->switchable_loss[w], b->switchable_loss[w]);
        assert_near("shared", w, a->slimmable_loss[w], b->slimmable_loss[w]);
        assert_true(a->switchable[w].acc1 == b->switchable[w].acc1);
        assert_true(a->switchable[w].acc5 == b->switchable[w].acc5);
        assert_true(a->slimmable[w].acc1 == b->slimmable[w].acc1);
        assert_true(a->slimmable[w].acc5 == b->slimmable[w].acc5);
    }
}

/* ---- against it -------------------------------------------------------------------- */

static void test_one_batch_by_hand(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    config.epochs = 1;
    config.batch = TRAIN;
    for (int distill = 0; distill < 2; distill++) {
        /* The start is zero: whatever is mixed with what, the loss is ln CLASSES. */
        config.distill = distill != 0;
        struct sl_probe_result result = run(&config, &set);
        for (int w = 0; w < WIDTHS; w++) {
            assert_true(fabs(result.switchable_loss[w] - log(CLASSES)) < 1e-6);
        }
        struct sl_probe_result slow = slow_run(&config, &set);
        assert_agree(&result, &slow);
    }
    finish_set(&set);
}

static void test_plain_probes_equal_the_slow_ones(void **state)
{
    struct set set = make_set(2.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    for (int variant = 0; variant < 6; variant++) {
        config = plain_config();
        config.standardise = variant >= 1;
        config.epochs = variant == 2 ? 10 : 3;
        config.cosine = variant != 2;
        config.weight_decay = variant == 3 ? 0.01 : 0.0;
        config.momentum = variant == 4 ? 0.0 : 0.9;
        config.batch = variant == 5 ? 1000 : 16; /* larger than the rows */
        config.seed = 5 + (uint64_t)variant;
        struct sl_probe_result result = run(&config, &set);
        struct sl_probe_result slow = slow_run(&config, &set);
        assert_agree(&result, &slow);
        /* Trained, and neither at chance nor perfect: the comparison says something. */
        assert_true(result.switchable[0].acc1 > 0.3 && result.switchable[0].acc1 < 1.0);
        assert_true(result.switchable[0].acc5 > result.switchable[0].acc1);
    }
    finish_set(&set);
}

/* The loss of a sub-network's probe is 1/2 (CE + soft CE). */
static void test_sub_network_loss_is_half_ce_half_soft_ce(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    config.distill = true;
    for (int epochs = 1; epochs < 6; epochs += 2) {
        config.epochs = epochs;
        config.standardise = epochs > 1;
        struct sl_probe_result result = run(&config, &set);
        struct sl_probe_result slow = slow_run(&config, &set);
        assert_agree(&result, &slow);
    }
    /* The full width's own probe has no teacher. */
    struct sl_probe_result taught = run(&config, &set);
    config.distill = false;
    struct sl_probe_result alone = run(&config, &set);
    assert_true(taught.switchable_loss[0] == alone.switchable_loss[0]);
    assert_true(fabs(taught.switchable_loss[1] - alone.switchable_loss[1]) > 1e-3);
    finish_set(&set);
}

/* The gradient written above is the derivative of its loss, the teacher held constant. */
static void test_gradient_is_the_derivative(void **state)
{
    static const double h = 1e-6;
    struct set set = make_set(1.0F);
    struct model model = {0};
    double x[D_MOST];
    double soft[CLASSES];
    (void)state;
    for (int c = 0; c < CLASSES; c++) {
        soft[c] = (c + 1.0) / (CLASSES * (CLASSES + 1.0) / 2.0);
        for (int j = 0; j <= dims[1]; j++) {
            model.weight[c][j] = 0.1 * ((5 * c + 3 * j) % 7 - 3);
        }
    }
    for (int j = 0; j < dims[1]; j++) {
        x[j] = (double)set.train[1].values[j];
    }
    for (int taught = 0; taught < 2; taught++) {
        const double *teacher = taught != 0 ? soft : NULL;
        struct model at = model;
        (void)slow_row(&at, x, dims[1], 2, 1, teacher);
        for (int c = 0; c < CLASSES; c++) {
            for (int j = 0; j <= dims[1]; j++) {
                struct model moved = model;
                moved.weight[c][j] = model.weight[c][j] + h;
                double above = slow_row(&moved, x, dims[1], 2, 1, teacher);
                moved.weight[c][j] = model.weight[c][j] - h;
                double below = slow_row(&moved, x, dims[1], 2, 1, teacher);
                assert_true(fabs((above - below) / (2.0 * h) - at.diff[c][j]) < 1e-8);
            }
        }
    }
    finish_set(&set);
}

/* Features as PyTorch had them. */
static void golden_set(struct sl_features features[WIDTHS])
{
    static const float *const values[] = {golden_features_0, golden_features_1,
                                          golden_features_2};
    for (int w = 0; w < WIDTHS; w++) {
        features[w] = make(GOLDEN_ROWS, golden_dims[w], 0.0F, 1);
        memcpy(features[w].values, values[w],
               GOLDEN_ROWS * (size_t)golden_dims[w] * sizeof(float));
        for (int i = 0; i < GOLDEN_ROWS; i++) {
            features[w].labels[i] = i % GOLDEN_CLASSES;
        }
    }
}

static void test_losses_by_pytorch(void **state)
{
    struct sl_error err = {0};
    struct sl_features rows[WIDTHS];
    (void)state;
    golden_set(rows);
    for (int i = 0; i < SL_COUNT(golden_probes); i++) {
        const struct golden_probe *golden = &golden_probes[i];
        const struct sl_probe_config config = {.n_classes = GOLDEN_CLASSES,
                                               .epochs = golden->epochs,
                                               .batch = GOLDEN_ROWS,
                                               .lr = golden_lr,
                                               .momentum = golden_momentum,
                                               .weight_decay = golden_decay,
                                               .cosine = golden->cosine,
                                               .distill = golden->distill};
        struct sl_probe_result result;
        assert_int_equal(
            sl_linear_probe(&err, &device, &config, WIDTHS, rows, rows, &result), SL_OK);
        for (int w = 0; w < WIDTHS; w++) {
            assert_near("private", w, result.switchable_loss[w], golden->switchable[w]);
            assert_near("shared", w, result.slimmable_loss[w], golden->slimmable[w]);
        }
    }
    for (int w = 0; w < WIDTHS; w++) {
        sl_features_finish(&rows[w]);
    }
}

static void test_backends_agree(void **state)
{
    struct sl_error err = {0};
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    struct sl_probe_result other;
    struct sl_device fast;
    (void)state;
    config.distill = true;
    config.standardise = true;
    struct sl_probe_result result = run(&config, &set);
    assert_int_equal(
        sl_device_open(&err, "auto", &(struct sl_backend_options){.threads = 2}, &fast),
        SL_OK);
    assert_int_equal(
        sl_linear_probe(&err, &fast, &config, WIDTHS, set.train, set.test, &other),
        SL_OK);
    for (int w = 0; w < WIDTHS; w++) {
        assert_true(fabs(result.switchable_loss[w] - other.switchable_loss[w]) < 1e-5);
        assert_true(fabs(result.slimmable[w].acc1 - other.slimmable[w].acc1) <
                    2.5 / TEST);
    }
    sl_device_close(&fast);
    finish_set(&set);
}

/* ---- behaviour --------------------------------------------------------------------- */

static void test_separable_rows_are_learnt(void **state)
{
    struct set set = make_set(30.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    config.epochs = 40;
    config.standardise = true;
    struct sl_probe_result result = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        assert_true(result.switchable[w].acc1 == 1.0);
        assert_true(result.switchable[w].acc5 == 1.0);
        assert_true(result.switchable_loss[w] < 0.1);
    }
    finish_set(&set);
}

/* One weight serves all: widths whose leading features say opposite things cannot both be
 * right with it, while private classifiers can. */
static void test_slimmable_is_one_shared_weight(void **state)
{
    struct set set = make_set(0.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    for (int w = 0; w < WIDTHS; w++) {
        for (int part = 0; part < 2; part++) {
            struct sl_features *f = part == 0 ? &set.train[w] : &set.test[w];
            for (int64_t i = 0; i < f->n; i++) {
                f->labels[i] = (int32_t)(i % 2);
                for (int c = 0; c < f->d; c++) {
                    f->values[i * f->d + c] = 0.0F;
                }
                f->values[i * f->d] = ((i % 2 == 0) == (w == 0)) ? 1.0F : -1.0F;
            }
        }
    }
    config.n_classes = 2;
    config.epochs = 20;
    struct sl_probe_result result = run(&config, &set);
    /* Two narrow widths outvote the full one. */
    assert_true(result.switchable[0].acc1 == 1.0 && result.switchable[1].acc1 == 1.0 &&
                result.switchable[2].acc1 == 1.0);
    assert_true(result.slimmable[0].acc1 == 0.0 && result.slimmable[1].acc1 == 1.0 &&
                result.slimmable[2].acc1 == 1.0);
    finish_set(&set);
}

static void test_deterministic(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    for (int normal = 0; normal < 2; normal++) {
        config.normal_start = normal != 0;
        struct sl_probe_result a = run(&config, &set);
        struct sl_probe_result b = run(&config, &set);
        assert_memory_equal(&a, &b, sizeof a);
        config.seed++;
        struct sl_probe_result c = run(&config, &set);
        assert_true(a.switchable_loss[0] != c.switchable_loss[0]);
    }
    finish_set(&set);
}

/* N(0, 0.01) with bias 0: the first loss is near ln CLASSES, but not at it, and differs
 * between widths, whose classifiers start apart. */
static void test_normal_start(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    config.epochs = 1;
    config.batch = TRAIN;
    config.normal_start = true;
    struct sl_probe_result result = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        double off = fabs(result.switchable_loss[w] - log(CLASSES));
        assert_true(off > 1e-6 && off < 0.05);
    }
    /* Rows of zeros reach the biases alone. */
    for (int w = 0; w < WIDTHS; w++) {
        memset(set.train[w].values, 0, TRAIN * (size_t)dims[w] * sizeof(float));
    }
    result = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        assert_true(fabs(result.switchable_loss[w] - log(CLASSES)) < 1e-6);
    }
    finish_set(&set);
}

/* Shifted and scaled features are the same to a standardised probe; a constant column is
 * no trouble. */
static void test_standardise(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    config.standardise = true;
    config.epochs = 10;
    struct sl_probe_result before = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        for (int part = 0; part < 2; part++) {
            struct sl_features *f = part == 0 ? &set.train[w] : &set.test[w];
            for (int64_t i = 0; i < f->n * f->d; i++) {
                f->values[i] = f->values[i] * 512.0F + 1024.0F;
            }
        }
    }
    struct sl_probe_result after = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        assert_true(fabs(before.switchable_loss[w] - after.switchable_loss[w]) < 1e-3);
        assert_true(fabs(before.switchable[w].acc1 - after.switchable[w].acc1) <
                    2.5 / TEST);
    }
    for (int64_t i = 0; i < TRAIN; i++) {
        set.train[0].values[i * dims[0]] = 7.0F;
    }
    for (int64_t i = 0; i < TEST; i++) {
        set.test[0].values[i * dims[0]] = 7.0F;
    }
    struct sl_probe_result constant = run(&config, &set);
    assert_true(isfinite(constant.switchable_loss[0]) &&
                constant.switchable[0].acc1 > 0.3);
    finish_set(&set);
}

static void test_scores_of_logits(void **state)
{
    struct sl_error err = {0};
    float values[] = {3, 1, 2, 2, 2, 2, NAN, 0, 0, 5, 4, 3};
    int32_t labels[] = {0, 1, 0, -1};
    struct sl_features logits = {.n = 4, .d = 3, .values = values, .labels = labels};
    struct sl_score score;
    (void)state;
    assert_int_equal(sl_score_rank(values, 3, 2), 1);
    assert_int_equal(sl_score_rank(values + 3, 3, 0), 0);
    assert_int_equal(sl_score_rank(values + 3, 3, 2), 2);
    assert_int_equal(sl_score_rank(values + 6, 3, 0), 2);
    assert_int_equal(sl_score_logits(&err, &logits, &score), SL_OK);
    assert_true(score.acc1 == 1.0 / 3.0 && score.acc5 == 1.0);
    labels[0] = labels[1] = labels[2] = 7;
    assert_int_equal(sl_score_logits(&err, &logits, &score), SL_ERROR_DATA);
}

struct spoiler {
    int from, calls;
};

/* At one epoch the train rows turn into their opposite, and stay so. */
static enum sl_status spoil(struct sl_error *err, void *context, int epoch,
                            struct sl_features *features)
{
    struct spoiler *spoiler = context;
    (void)err;
    assert_int_equal(epoch, spoiler->calls);
    spoiler->calls++;
    for (int w = 0; w < WIDTHS && epoch == spoiler->from; w++) {
        for (int64_t i = 0; i < features[w].n * features[w].d; i++) {
            features[w].values[i] = -features[w].values[i];
        }
    }
    return SL_OK;
}

/* The last epoch is judged, not the best on the test part: probes whose later epochs
 * learn lies are reported as the liars they have become. */
static void test_last_epoch_is_judged(void **state)
{
    struct sl_probe_config config = plain_config();
    (void)state;
    for (int from = 3; from <= 100; from += 97) {
        struct set set = make_set(4.0F);
        struct spoiler spoiler = {.from = from};
        config.epochs = 12;
        config.cosine = false;
        config.lr = 0.5;
        config.before_epoch = spoil;
        config.context = &spoiler;
        struct sl_probe_result result = run(&config, &set);
        assert_int_equal(spoiler.calls, 12);
        for (int w = 0; w < WIDTHS; w++) {
            assert_true(from == 3 ? result.switchable[w].acc1 < 0.3
                                  : result.switchable[w].acc1 > 0.6);
            assert_true(from == 3 ? result.slimmable[w].acc1 < 0.3
                                  : result.slimmable[w].acc1 > 0.5);
        }
        finish_set(&set);
    }
}

static enum sl_status refuse(struct sl_error *err, void *context, int epoch,
                             struct sl_features *features)
{
    (void)context;
    (void)features;
    return epoch < 1 ? SL_OK : SL_FAIL(err, SL_ERROR_DATA, "no second view");
}

/* Rows without a label play no part on either side. */
static void test_unlabelled_rows_play_no_part(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    /* One batch an epoch, so that their order does not matter. */
    config.batch = TRAIN;
    for (int w = 0; w < WIDTHS; w++) {
        set.train[w].n = 40;
        set.test[w].n = 200;
    }
    struct sl_probe_result without = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        set.train[w].n = TRAIN;
        set.test[w].n = TEST;
        for (int i = 40; i < TRAIN; i++) {
            set.train[w].labels[i] = i % 2 == 0 ? -1 : CLASSES;
        }
        for (int i = 200; i < TEST; i++) {
            set.test[w].labels[i] = i % 2 == 0 ? -1 : CLASSES;
        }
    }
    struct sl_probe_result with = run(&config, &set);
    for (int w = 0; w < WIDTHS; w++) {
        assert_true(fabs(with.switchable_loss[w] - without.switchable_loss[w]) < 1e-6);
        assert_true(with.switchable[w].acc1 == without.switchable[w].acc1);
        assert_true(with.slimmable[w].acc5 == without.slimmable[w].acc5);
    }
    finish_set(&set);
}

static void assert_fails(const struct sl_probe_config *config, struct set *set,
                         enum sl_status status)
{
    struct sl_error err = {0};
    struct sl_probe_result result;
    int64_t held = sl_heap_bytes();
    assert_int_equal(
        sl_linear_probe(&err, &device, config, WIDTHS, set->train, set->test, &result),
        status);
    assert_true(err.text[0] != '\0');
    assert_int_equal(sl_heap_bytes(), held);
}

static void test_refusals(void **state)
{
    struct set set = make_set(1.0F);
    struct sl_probe_config config = plain_config();
    (void)state;
    config.n_classes = 1;
    assert_fails(&config, &set, SL_ERROR_USAGE);
    config = plain_config();
    config.epochs = 0;
    assert_fails(&config, &set, SL_ERROR_USAGE);
    config = plain_config();
    config.batch = 0;
    assert_fails(&config, &set, SL_ERROR_USAGE);
    config = plain_config();
    config.before_epoch = refuse;
    assert_fails(&config, &set, SL_ERROR_DATA);
    config = plain_config();
    set.train[1].n--;
    assert_fails(&config, &set, SL_ERROR_USAGE);
    set.train[1].n++;
    struct sl_features keep = set.train[0];
    set.train[0] = set.train[2];
    assert_fails(&config, &set, SL_ERROR_USAGE);
    set.train[0] = keep;
    config.lr = 1e38; /* weights overflow */
    assert_fails(&config, &set, SL_ERROR_NUMBERS);
    config.lr = 0.1;
    set.train[2].values[5] = NAN;
    assert_fails(&config, &set, SL_ERROR_NUMBERS);
    set.train[2].values[5] = 0.0F;
    /* A test row whose logits are not numbers is wrong, and the others stay. */
    struct sl_probe_result whole = run(&config, &set);
    for (int i = 0; i < TEST / 2; i++) {
        set.test[1].values[i * dims[1]] = NAN;
    }
    struct sl_probe_result holed = run(&config, &set);
    assert_true(holed.switchable[1].acc5 <= 0.5 && holed.slimmable[1].acc5 <= 0.5);
    assert_true(holed.switchable[0].acc1 == whole.switchable[0].acc1);
    for (int i = 0; i < TEST; i++) {
        set.test[0].labels[i] = -1;
    }
    assert_fails(&config, &set, SL_ERROR_DATA);
    finish_set(&set);
}

/* Sizes of the probes on a ResNet-50 at four widths, from integer widths. */
static void test_probe_sizes(void **state)
{
    struct sl_error err = {0};
    struct sl_widths widths;
    int64_t switchable = 0;
    (void)state;
    assert_int_equal(sl_widths_parse(&err, "1,0.75,0.5,0.25", true, "widths", &widths),
                     SL_OK);
    for (int w = 0; w < widths.n; w++) {
        switchable += (sl_multiplier_of(widths.at[w], 2048) + 1) * 1000;
    }
    assert_int_equal(switchable, 5124000);
    assert_int_equal((sl_multiplier_of(widths.at[0], 2048) + 1) * 1000, 2049000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_batch_by_hand),
        cmocka_unit_test(test_plain_probes_equal_the_slow_ones),
        cmocka_unit_test(test_sub_network_loss_is_half_ce_half_soft_ce),
        cmocka_unit_test(test_gradient_is_the_derivative),
        cmocka_unit_test(test_losses_by_pytorch),
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_separable_rows_are_learnt),
        cmocka_unit_test(test_slimmable_is_one_shared_weight),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_normal_start),
        cmocka_unit_test(test_standardise),
        cmocka_unit_test(test_scores_of_logits),
        cmocka_unit_test(test_last_epoch_is_judged),
        cmocka_unit_test(test_unlabelled_rows_play_no_part),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_probe_sizes),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
