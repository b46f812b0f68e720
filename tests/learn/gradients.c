/* SPDX-License-Identifier: MIT */
/*
 * Gradient diagnostics against numpy (tools/golden_graddiag.py): norms on the published
 * blocks, rings, cosines, ratios and singular values, for sums that were kept one after
 * another and for gradients that were used up apart; of a real step, against PyTorch's
 * gradients; and what numpy cannot say: the
 * sketch keeps inner products, one width alone has no ratio.
 */
#include "goldenkit.h"
#include "learn/learn_int.h"

enum { SEED = 8, IMAGE = 16, DIM = 16, N = 4 };

/* ---- the golden file --------------------------------------------------------------- */

static struct sl_text golden_text;
static double tolerance; /* of every number, relative; a tenth of it absolute */

/* The numbers of a line of the golden file. */
static void golden_values(const char *name, int n, double *values)
{
    char start[SL_NAME_MAX + 24];
    snprintf(start, sizeof start, "\n%s ", name);
    const char *at = strstr(golden_text.text, start);
    if (at == NULL) {
        fail_msg("the golden file has no \"%s\"", name);
        return;
    }
    at += strlen(start);
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        values[i] = strtod(at, &end);
        assert_ptr_not_equal(at, end);
        at = end;
    }
    assert_int_equal(*at, '\n'); /* no number more */
}

static void read_golden(const char *name)
{
    int64_t size = 0;
    char *bytes = golden_read(name, &size);
    sl_text_add(&golden_text, "\n%s", bytes);
    sl_heap_free(bytes);
}

static void forget_golden(void)
{
    sl_text_finish(&golden_text);
    golden_text = (struct sl_text){0};
}

static void compare(const char *label, const char *what, int n, const double *ours)
{
    char name[SL_NAME_MAX + 20];
    double expected[N * N] = {0};
    snprintf(name, sizeof name, "%s%s", label, what);
    golden_values(name, n, expected);
    for (int i = 0; i < n; i++) {
        bool same = isnan(expected[i])
                        ? isnan(ours[i])
                        : fabs(ours[i] - expected[i]) <=
                              tolerance * fabs(expected[i]) + 0.1 * tolerance;
        if (!same) {
            fail_msg("%s: number %d is %.9g instead of %.9g", name, i, ours[i],
                     expected[i]);
        }
    }
}

static void compare_layer(const char *label, const struct sl_grad_layer *layer)
{
    double size[N], sum_ring[N], norm[N], own_ring[N * N], cosine[N * N];
    for (int i = 0; i < N; i++) {
        size[i] = (double)layer->ring_size[i];
        sum_ring[i] = sqrt(layer->sum_ring[i]);
        norm[i] = sl_grad_norm(layer, i);
        for (int j = 0; j < N; j++) {
            own_ring[i * N + j] = sqrt(layer->own_ring[i][j]);
            cosine[i * N + j] = sl_grad_cosine(layer, i, j);
        }
    }
    compare(label, ":size", N, size);
    compare(label, ":sum_ring", N, sum_ring);
    compare(label, ":norm", N, norm);
    compare(label, ":own_ring", N * N, own_ring);
    compare(label, ":cosine", N * N, cosine);
}

static void compare_record(const struct sl_net *net, const struct sl_grad_record *record)
{
    double counted = record->counted;
    assert_int_equal(record->n_layers, 11);
    for (int i = 0; i < record->n_layers; i++) {
        const struct sl_grad_layer *layer = &record->layers[i];
        const char *name = net->params[layer->param].name;
        compare(name, ":published", N, layer->published);
        compare_layer(name, layer);
    }
    compare_layer("total", &record->total);
    compare("mean", "", N, record->mean);
    compare("counted", "", 1, &counted);
    compare("ratio_a", "", 1, &record->ratio_a);
    compare("ratio_b", "", 1, &record->ratio_b);
    assert_string_equal(net->params[record->head].name, "head.2.weight");
    compare("singular", "", 2, record->singular);
    compare("head_norm", "", 1, &record->head_norm);
}

/* ---- keyed gradients --------------------------------------------------------------- */

static bool in_block(const struct sl_net *net, const struct sl_param *param, int width,
                     int64_t i)
{
    int64_t inner = (int64_t)param->kernel * param->kernel;
    int64_t cols = net->axes[param->axis_in].full;
    if (param->owner >= 0) {
        return param->owner == width;
    }
    return i / (cols * inner) < net->axes[param->axis_out].span[width].count &&
           i / inner % cols < net->axes[param->axis_in].span[width].count;
}

/* A width's gradient of every weight, as the golden file's maker draws it. */
static void keyed_gradient(const struct sl_net *net, int width, float *flat)
{
    uint32_t layer = 0;
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        if (param->kind != SL_PARAM_WEIGHT) {
            continue;
        }
        float *at = flat + param->offset;
        float scale = (float)((layer != 3 ? 0.01 : 100.0) * (1 + width));
        sl_rng_fill_normal(SEED, SL_RNG_TEST, 1000 + 8 * layer + (uint32_t)width, scale,
                           param->count, at);
        for (int64_t k = 0; k < param->count; k++) {
            at[k] = in_block(net, param, width, k) ? at[k] : 0.0f;
        }
        layer++;
    }
}

static void check_keyed(const char *device_name, bool apart)
{
    struct sl_error err = {0};
    struct sl_device device = kit_device(device_name);
    struct sl_net *net =
        kit_resnet("resnet8-b8", "1,0.75,0.5,0.25", IMAGE, SL_HEAD_MLP, DIM);
    struct sl_graddiag *diag = NULL;
    float *sum = kit_alloc(&device, (size_t)net->total * sizeof *sum);
    float *own = kit_alloc(&device, (size_t)net->total * sizeof *own);
    kit_ok(sl_graddiag_create(&err, net, &device, &diag), &err);
    for (int width = 0; width < N; width++) {
        keyed_gradient(net, width, own);
        (void)device.table->add(device.state, net->total, own, sum);
        sl_graddiag_keep(diag, width, apart ? own : sum);
    }
    kit_ok(sl_graddiag_finish(&err, diag, N, apart), &err);
    read_golden("graddiag-keyed.txt");
    tolerance = 2e-6;
    compare_record(net, &diag->record);
    forget_golden();
    /* Small enough to be kept as it is: the sum itself. */
    const struct sl_param *head = &net->params[diag->record.head];
    assert_false(diag->record.sketched);
    assert_int_equal(diag->record.n_values, head->count);
    for (int64_t i = 0; i < head->count; i++) {
        assert_true(fabs((double)diag->record.values[i] - sum[head->offset + i]) < 1e-6);
    }
    sl_graddiag_destroy(diag);
    device.table->free(device.state, sum);
    device.table->free(device.state, own);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_keyed(void **state)
{
    (void)state;
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        check_keyed(sl_backend_name(i), false);
        check_keyed(sl_backend_name(i), true);
    }
}

/* Of a head whose linears are private the layers are nobody's ring; the last one's
 * gradient is the full width's. */
static void check_private_head(bool apart)
{
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_net *net =
        kit_resnet("resnet8-b8", "1,0.75,0.5,0.25", IMAGE, SL_HEAD_SWITCH, DIM);
    struct sl_graddiag *diag = NULL;
    size_t bytes = (size_t)net->total * sizeof(float);
    float *sum = kit_alloc(&device, bytes), *own = kit_alloc(&device, bytes);
    float *full = kit_alloc(&device, bytes);
    kit_ok(sl_graddiag_create(&err, net, &device, &diag), &err);
    for (int width = 0; width < N; width++) {
        keyed_gradient(net, width, own);
        if (width == 0) {
            memcpy(full, own, bytes);
        }
        (void)device.table->add(device.state, net->total, own, sum);
        sl_graddiag_keep(diag, width, apart ? own : sum);
    }
    kit_ok(sl_graddiag_finish(&err, diag, N, apart), &err);
    const struct sl_grad_record *record = &diag->record;
    assert_int_equal(record->n_layers, 9); /* the encoder's */
    const struct sl_param *head = &net->params[record->head];
    assert_string_equal(head->name, "head.2@1.weight");
    assert_int_equal(record->head_rows, DIM);
    assert_int_equal(record->head_cols, 32);
    assert_int_equal(record->n_values, head->count);
    kit_same(record->values, full + head->offset, head->count);
    assert_true(record->head_norm > 0.0 && record->singular[1] > 0.0);
    sl_graddiag_destroy(diag);
    device.table->free(device.state, sum);
    device.table->free(device.state, own);
    device.table->free(device.state, full);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_private_head(void **state)
{
    (void)state;
    check_private_head(false);
    check_private_head(true);
}

/* ---- a real step ------------------------------------------------------------------- */

/* The second step of golden case "seed" (method.c), in which all widths take part. */
static void check_step(const char *device_name)
{
    enum { BATCH = 8, PICTURES = BATCH * IMAGE * IMAGE * 3 };
    static float views[2][PICTURES];
    struct sl_error err = {0};
    struct sl_device device = kit_device(device_name);
    struct sl_net *net =
        kit_resnet("resnet8-b8", "1,0.75,0.5,0.25", IMAGE, SL_HEAD_MLP, DIM);
    struct sl_trainer *trainer = NULL;
    struct sl_trainer_config config = {
        .method = sl_method_find("mocov2"),
        .batch = BATCH,
        .seed = SEED,
        .total_steps = 4,
        .slow_start_step = 1,
        .lr = {.peak = 0.05, .second_peak = 0.04, .second_from = 1, .total_steps = 4},
        .optim = {.momentum = 0.9, .weight_decay = 5e-4},
        .queue = 16,
        .ema_momentum = 0.9,
        .temperature = 0.2,
        .bn_splits = 2,
        .distill = SL_DISTILL_SEED,
        .distill_weight = 0.5,
        .distill_temperature = 5.0,
        .grad_every = 2,
    };
    sl_width_weights_of(SL_WEIGHTS_DOMINANT, &net->widths, config.width_weights);
    kit_ok(sl_trainer_create(&err, &config, net, &device, &trainer), &err);
    for (uint32_t step = 0; step < 2; step++) {
        struct sl_step_numbers numbers;
        for (uint32_t view = 0; view < 2; view++) {
            sl_rng_fill_normal(SEED, SL_RNG_TEST, 2 * step + view, 1.0f, PICTURES,
                               views[view]);
        }
        const struct sl_batch batch = {
            .views = {views[0], views[1]}, .rows = BATCH, .step = step};
        assert_null(sl_trainer_gradients(trainer));
        kit_ok(sl_trainer_step(&err, trainer, &batch, &numbers), &err);
    }
    read_golden("graddiag-step.txt");
    tolerance = 1e-4;
    assert_non_null(sl_trainer_gradients(trainer));
    compare_record(net, sl_trainer_gradients(trainer));
    forget_golden();
    sl_trainer_destroy(trainer);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_step(void **state)
{
    (void)state;
    kit_each_backend(check_step);
}

/* ---- fewer widths ------------------------------------------------------------------ */

/* During slow start the narrow widths have no gradient: nested blocks of the full width's
 * are measured all the same, cosines are not defined. */
static void test_one_active(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", IMAGE, SL_HEAD_LINEAR, DIM);
    struct sl_graddiag *diag = NULL;
    float *own = kit_alloc(&device, (size_t)net->total * sizeof *own);
    kit_ok(sl_graddiag_create(&err, net, &device, &diag), &err);
    keyed_gradient(net, 0, own);
    sl_graddiag_keep(diag, 0, own);
    kit_ok(sl_graddiag_finish(&err, diag, 1, false), &err);
    const struct sl_grad_record *record = &diag->record;
    assert_int_equal(record->active, 1);
    assert_string_equal(net->params[record->head].name, "head.0.weight");
    for (int i = 0; i < record->n_layers; i++) {
        const struct sl_grad_layer *layer = &record->layers[i];
        double whole = sqrt(layer->sum_ring[0] + layer->sum_ring[1]);
        assert_true(fabs(sl_grad_norm(layer, 0) - whole) <= 1e-9 * whole);
        assert_true(fabs(layer->published[0] - fmin(whole, 1000.0)) <= 1e-9 * whole);
        assert_true(layer->published[1] > 0.0 && sl_grad_norm(layer, 1) == 0.0);
        assert_true(isnan(sl_grad_cosine(layer, 0, 1)));
        assert_true(fabs(sl_grad_cosine(layer, 0, 0) - 1.0) < 1e-12);
    }
    assert_true(record->ratio_a > 1.0);
    sl_graddiag_destroy(diag);
    sl_net_destroy(net);

    /* All too large: no tensor counts, and the mean is the clamp. A net of one width has
     * no ratio. */
    net = kit_resnet("resnet8-b8", "1", IMAGE, SL_HEAD_NONE, DIM);
    kit_ok(sl_graddiag_create(&err, net, &device, &diag), &err);
    for (int64_t i = 0; i < net->total; i++) {
        own[i] = 1e6f;
    }
    sl_graddiag_keep(diag, 0, own);
    kit_ok(sl_graddiag_finish(&err, diag, 1, false), &err);
    assert_int_equal(diag->record.counted, 0);
    assert_true(diag->record.mean[0] == 1000.0);
    assert_true(isnan(diag->record.ratio_a) && isnan(diag->record.ratio_b));
    assert_int_equal(diag->record.head, -1);
    sl_graddiag_destroy(diag);
    sl_net_destroy(net);
    device.table->free(device.state, own);
    sl_device_close(&device);
}

/* ---- the head's gradient ----------------------------------------------------------- */

/* The singular values of a matrix and of its transpose are those it was made with. */
static void test_singular(void **state)
{
    (void)state;
    enum { ROWS = 12, COLS = 30 };
    struct sl_error err = {0};
    float m[ROWS * COLS], transposed[COLS * ROWS];
    double gram[ROWS * ROWS], values[ROWS], singular[2];
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLS; j++) { /* 3 u v' + 2 x y', u and x, v and y orthogonal
                                          */
            double u = i < ROWS / 2 ? 1 : -1, x = i % 2 == 0 ? 1 : -1;
            double v = j < COLS / 2 ? 1 : -1, y = 1;
            double value = (3 * u * v + 2 * x * y) / sqrt((double)ROWS * COLS);
            m[i * COLS + j] = transposed[j * ROWS + i] = (float)value;
        }
    }
    kit_ok(sl_grad_singular(&err, ROWS, COLS, m, gram, values, singular), &err);
    assert_true(fabs(singular[0] - 3) < 1e-6 && fabs(singular[1] - 2) < 1e-6);
    kit_ok(sl_grad_singular(&err, COLS, ROWS, transposed, gram, values, singular), &err);
    assert_true(fabs(singular[0] - 3) < 1e-6 && fabs(singular[1] - 2) < 1e-6);
    kit_ok(sl_grad_singular(&err, 1, COLS, m, gram, values, singular), &err);
    assert_true(singular[0] > 0.1 && singular[1] == 0.0);
}

static double inner(int64_t n, const float *a, const float *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * b[i];
    }
    return sum;
}

/* A head of more values than a record holds: the sketch of two gradients has their inner
 * product and their norms. */
static void test_sketch(void **state)
{
    (void)state;
    enum { WIDE = 520, FEATURES = 128 };
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b32", "1", 8, SL_HEAD_LINEAR, WIDE);
    struct sl_graddiag *diag = NULL;
    float *flat = kit_alloc(&device, (size_t)net->total * sizeof *flat);
    float *sketches = kit_alloc(&device, 2 * SL_GRAD_VALUES_MOST * sizeof *sketches);
    float *wholes = kit_alloc(&device, 2 * sizeof *wholes * WIDE * FEATURES);
    kit_ok(sl_graddiag_create(&err, net, &device, &diag), &err);
    const struct sl_param *head = &net->params[diag->record.head];
    assert_int_equal(head->count, WIDE * FEATURES);
    assert_true(diag->record.sketched);
    assert_int_equal(diag->record.n_values, SL_GRAD_VALUES_MOST);
    for (uint32_t i = 0; i < 2; i++) {
        float *at = flat + head->offset;
        /* Half of each is common to both. */
        sl_rng_fill_normal(SEED, SL_RNG_TEST, 5, 0.1f, head->count / 2, at);
        sl_rng_fill_normal(SEED, SL_RNG_TEST, 6 + i, 0.1f, head->count - head->count / 2,
                           at + head->count / 2);
        sl_graddiag_keep(diag, 0, flat);
        kit_ok(sl_graddiag_finish(&err, diag, 1, false), &err);
        memcpy(sketches + i * SL_GRAD_VALUES_MOST, diag->record.values,
               SL_GRAD_VALUES_MOST * sizeof *sketches);
        memcpy(wholes + i * head->count, at, (size_t)head->count * sizeof *wholes);
        assert_true(fabs(diag->record.head_norm - sqrt(inner(head->count, at, at))) <
                    1e-6);
    }
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            double whole =
                inner(head->count, wholes + i * head->count, wholes + j * head->count);
            double sketch = inner(SL_GRAD_VALUES_MOST, sketches + i * SL_GRAD_VALUES_MOST,
                                  sketches + j * SL_GRAD_VALUES_MOST);
            assert_true(fabs(whole - sketch) <
                        0.03 * inner(head->count, wholes, wholes)); /* 4 deviations */
        }
    }
    sl_graddiag_destroy(diag);
    device.table->free(device.state, flat);
    device.table->free(device.state, sketches);
    device.table->free(device.state, wholes);
    sl_net_destroy(net);
    sl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keyed),        cmocka_unit_test(test_step),
        cmocka_unit_test(test_private_head), cmocka_unit_test(test_one_active),
        cmocka_unit_test(test_singular),     cmocka_unit_test(test_sketch),
    };
    return cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
}
