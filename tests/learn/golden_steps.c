/* SPDX-License-Identifier: MIT */
/*
 * Three whole steps of MoCo v3, SimCLR and supervised training on a tiny net (resnet8-b8,
 * four widths) against PyTorch: tools/golden.py computed the files in tests/golden from
 * the same keyed start and batches. Every case crosses the end of slow start; together
 * they cover each form of distillation that a method has, on each backend. MoCo v2's are
 * in method.c. Per tensor max|a-b| <= 1e-4 max|b| + 1e-6. And the derivative of the whole
 * objective along the gradient, by finite differences, is the gradient's length.
 */
#include "stepkit.h"

enum { IMAGE = 8, HIDDEN = 24 };

struct golden_case {
    const char *method, *name;
    enum sl_distill distill;
    double alpha, tau;
};

static const struct golden_case cases[] = {
    {"mocov3", "seed", SL_DISTILL_SEED, 0.5, 1.0},
    {"mocov3", "inplace", SL_DISTILL_INPLACE, 0.5, 0.5},
    {"mocov3", "mse-embedding", SL_DISTILL_MSE_EMBEDDING, 0.75, 5.0},
    {"mocov3", "mse-logits", SL_DISTILL_MSE_LOGITS, 0.75, 5.0},
    {"mocov3", "atkd", SL_DISTILL_ATKD, 0.25, 5.0},
    {"mocov3", "dkd", SL_DISTILL_DKD, 0.5, 5.0},
    {"simclr", "seed", SL_DISTILL_SEED, 0.75, 0.5},
    {"simclr", "mse-embedding", SL_DISTILL_MSE_EMBEDDING, 0.75, 5.0},
    {"simclr", "mse-logits", SL_DISTILL_MSE_LOGITS, 0.75, 5.0},
    {"simclr", "atkd", SL_DISTILL_ATKD, 0.25, 5.0},
    {"simclr", "dkd", SL_DISTILL_DKD, 0.5, 5.0},
    {"supervised", "none", SL_DISTILL_NONE, 0.0, 1.0},
    {"supervised", "inplace", SL_DISTILL_INPLACE, 1.0, 1.0},
};

/* ---- a run ------------------------------------------------------------------------- */

static struct sl_net *net_for(const struct sl_method_info *method)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_resnet_config config = {
        .arch = "resnet8-b8",
        .widths = kit_widths(golden_widths),
        .image_size = IMAGE,
        .channels = 3,
        .head = method->head,
        .dim = method->has_labels ? GOLDEN_CLASSES : GOLDEN_DIM,
        .hidden = HIDDEN,
    };

    kit_ok(sl_resnet_build(&err, &config, &net), &err);
    return net;
}

static void start(struct golden_run *run, const char *device, const struct golden_case *c,
                  uint64_t seed, bool differences)
{
    struct sl_trainer_config config = golden_config(c->method, seed);
    struct sl_net *net = net_for(sl_method_info(config.method));

    config.lr.peak = 0.02;
    config.lr.second_peak = 0.016;
    config.ema_cosine = true;
    config.temperature = 0.5;
    config.distill = c->distill;
    config.distill_weight = c->alpha;
    config.distill_temperature = c->tau;
    if (differences) {
        /* Keys that do not move with the parameters, and nothing but the gradient in the
         * slots. */
        config.ema_momentum = 1.0;
        config.slow_start_step = 0;
        config.optim.weight_decay = 0.0;
    }
    sl_width_weights_of(SL_WEIGHTS_DOMINANT, &net->widths, config.width_weights);
    golden_start(run, device, net, &config);
}

/* ---- the comparison ---------------------------------------------------------------- */

/* All parameters and statistics; of a target those that are ever used. */
static int tensors_expected(const struct golden_run *run)
{
    int n = GOLDEN_STEPS * 6;

    for (int i = 0; i < run->state.n; i++) {
        const char *name = run->state.items[i].name;
        bool is_narrow = strstr(name, "@0.75.") != NULL ||
                         strstr(name, "@0.5.") != NULL || strstr(name, "@0.25.") != NULL;
        bool is_target = strncmp(name, "target.", 7) == 0;
        bool is_other = strncmp(name, "slot.", 5) == 0 || strcmp(name, "step") == 0;
        n += !is_other && !(is_target && is_narrow);
    }
    return n;
}

static void compare_case(const char *device, const struct golden_case *c)
{
    struct golden_run run;
    char file[64], text[64], where[80];
    int64_t size, names_size;
    float seed;

    snprintf(file, sizeof file, "%s-%s.bin", c->method, c->name);
    snprintf(text, sizeof text, "%s.txt", c->method);
    snprintf(where, sizeof where, "%s on %s", file, device);
    char *names = golden_read(text, &names_size);
    char *bytes = golden_read(file, &size);
    memcpy(&seed, bytes, sizeof seed);
    start(&run, device, c, (uint64_t)seed, false);
    golden_steps(&run, GOLDEN_STEPS);
    int n = golden_hold(&run, GOLDEN_SAMPLED, where, names, bytes + sizeof seed,
                        bytes + size);
    assert_int_equal(n, tensors_expected(&run));
    golden_end(&run);
    sl_heap_free(names);
    sl_heap_free(bytes);
}

static void compare_all(const char *device)
{
    for (int i = 0; i < SL_COUNT(cases); i++) {
        compare_case(device, &cases[i]);
    }
}

static void test_golden_ref(void **state)
{
    (void)state;
    compare_all("ref");
}

static void test_golden_cpu(void **state)
{
    (void)state;
    if (!kit_has_backend("cpu")) {
        skip();
    }
    compare_all("cpu");
}

/* ---- finite differences ------------------------------------------------------------ */

/* The objective of the first step from parameters moved by `step` along a direction
 * (NULL: not moved); the step's gradient goes to `gradient` where it is wanted. */
static double objective_at(const struct golden_case *c, const float *direction,
                           double step, float *gradient)
{
    const uint64_t seed = 4;
    struct golden_run run;

    start(&run, "ref", c, seed, true);
    float *weight = sl_trainer_params(run.trainer)->weight;
    for (int64_t i = 0; direction != NULL && i < run.net->total; i++) {
        weight[i] = (float)((double)weight[i] + step * (double)direction[i]);
    }
    golden_steps(&run, 1);
    const struct sl_net *net = run.net;
    for (int i = 0; gradient != NULL && i < net->n_params; i++) {
        char name[SL_NAME_MAX + 8];
        snprintf(name, sizeof name, "slot.%s", net->params[i].name);
        const struct sl_named *item = sl_named_find(&run.state, name);
        assert_non_null(item);
        memcpy(gradient + net->params[i].offset, item->tensor.data,
               (size_t)net->params[i].count * sizeof *gradient);
    }
    double loss = run.numbers[0].loss;
    golden_end(&run);
    return loss;
}

static void test_finite_differences(void **state)
{
    static const char *const methods[] = {"mocov3", "simclr", "supervised"};
    static float gradient[1 << 16];
    (void)state;

    for (int m = 0; m < SL_COUNT(methods); m++) {
        const struct golden_case c = {.method = methods[m], .distill = SL_DISTILL_NONE};
        struct sl_net *net = net_for(sl_method_info(sl_method_find(c.method)));
        const int64_t n = net->total;
        assert_true(n <= SL_COUNT(gradient));
        sl_net_destroy(net);
        double squares = 0.0;
        (void)objective_at(&c, NULL, 0.0, gradient);
        for (int64_t i = 0; i < n; i++) {
            squares += (double)gradient[i] * (double)gradient[i];
        }
        const double length = sqrt(squares), step = 1e-4;
        assert_true(length > 1e-2);
        for (int64_t i = 0; i < n; i++) {
            gradient[i] = (float)((double)gradient[i] / length);
        }
        double slope = (objective_at(&c, gradient, step, NULL) -
                        objective_at(&c, gradient, -step, NULL)) /
                       (2.0 * step);
        print_message("%s: slope %.6g, gradient %.6g\n", c.method, slope, length);
        assert_true(fabs(slope - length) <= 5e-3 * length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ref),
        cmocka_unit_test(test_golden_cpu),
        cmocka_unit_test(test_finite_differences),
    };
    return cmocka_run_group_tests_name("golden_steps", tests, NULL, NULL);
}
