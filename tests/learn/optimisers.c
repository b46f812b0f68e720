/* SPDX-License-Identifier: MIT */
/*
 * The rules of the optimiser against PyTorch (tools/golden_optim.py) on each backend,
 * with widths that join, leave and come back; what a width that did not take part keeps;
 * and that LARS' step depends on the number of threads as little as the others.
 */
#include "golden/optim.h"
#include "netkit.h"

#include <math.h>

/* conv, switchable norm and linear of 4 and 2 channels: the net of the golden numbers. */
static struct sl_net *small_net(void)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    struct sl_widths widths = kit_widths("1,0.5");

    kit_ok(sl_net_create(&err, &widths, &net), &err);
    int channels = sl_net_axis(net, "channels", 4, false);
    int classes = sl_net_axis(net, "classes", 3, true);
    int x = sl_net_input(net, sl_net_axis(net, "picture", 3, true), 8, 8);
    x = sl_net_conv(net, "conv", x, channels, 3, 1, 1);
    x = sl_net_norm(net, "norm", x, SL_TAIL_RELU, -1, SL_INIT_ONE);
    int features = sl_net_avgpool(net, "pool", x);
    x = sl_net_linear(net, "linear", features, classes, true, SL_INIT_FAN_IN,
                      SL_INIT_FAN_IN);
    kit_ok(sl_net_finish(&err, net, features, x, x), &err);
    assert_int_equal(net->total, GOLDEN_TOTAL);
    return net;
}

static float lattice(int i, int a, int b, int n, int scale)
{
    return (float)((i * a + b) % n - n / 2) / (float)scale;
}

struct bench {
    struct sl_device device;
    struct sl_net *net;
    struct sl_params *params;
    struct sl_optim *optim;
    struct sl_named_list state;
};

static void bench_start(struct bench *bench, const struct sl_device *device,
                        const struct golden_optim *golden)
{
    struct sl_error err = {0};
    float start[GOLDEN_TOTAL];
    const struct sl_optim_config config = {
        .optimizer = golden->optimizer,
        .momentum = 0.9,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = golden->weight_decay,
        .exclude_vectors = golden->exclude_vectors,
    };

    *bench = (struct bench){.device = *device, .net = small_net()};
    kit_ok(sl_params_create(&err, bench->net, &bench->device, true, &bench->params),
           &err);
    kit_ok(sl_optim_create(&err, &config, bench->params, &bench->optim), &err);
    kit_ok(sl_optim_state(&err, bench->optim, &bench->state), &err);
    for (int i = 0; i < GOLDEN_TOTAL; i++) {
        bool no_length = i >= 108 && i < 120;
        start[i] = no_length ? 0.0f : lattice(i, 37, 11, 127, 64);
    }
    device->table->put(device->state, bench->params->weight, start, sizeof start);
}

static void bench_end(struct bench *bench)
{
    sl_named_finish(&bench->state);
    sl_optim_destroy(bench->optim);
    sl_params_destroy(bench->params);
    sl_net_destroy(bench->net);
}

/* Gradients of a step, of the shared parameters and the widths that take part. */
static void update(struct bench *bench, const struct golden_optim *golden, int step)
{
    const struct sl_device *device = &bench->device;
    const int first = golden_active[step][0], end = golden_active[step][1];
    float gradient[GOLDEN_TOTAL];

    for (int i = 0; i < GOLDEN_TOTAL; i++) {
        bool has = i < bench->net->shared;
        for (int width = first; width < end; width++) {
            has = has || (i >= bench->net->private_begin[width] &&
                          i < bench->net->private_end[width]);
        }
        gradient[i] = has ? lattice(i, 53, 29 * step + 7, 113, 128) : 0.0f;
    }
    device->table->put(device->state, bench->params->diff, gradient, sizeof gradient);
    sl_optim_update(bench->optim, golden->lr * (1.0 - step / 8.0), first, end);
    device->table->get(device->state, gradient, bench->params->diff, sizeof gradient);
    for (int i = 0; i < GOLDEN_TOTAL; i++) {
        assert_true(gradient[i] == 0.0f);
    }
}

static void get_weights(const struct bench *bench, float weight[GOLDEN_TOTAL])
{
    bench->device.table->get(bench->device.state, weight, bench->params->weight,
                             GOLDEN_TOTAL * sizeof *weight);
}

/* Runs a check on each backend there is. */
static void on_each_backend(void (*check)(const struct sl_device *device))
{
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        struct sl_device device = kit_device(sl_backend_name(i));
        check(&device);
        sl_device_close(&device);
    }
}

/* ---- values ------------------------------------------------------------------------ */

static void check_golden(const struct sl_device *device)
{
    for (int c = 0; c < SL_COUNT(golden_optim); c++) {
        const struct golden_optim *golden = &golden_optim[c];
        struct bench bench;
        float weight[GOLDEN_TOTAL];
        double worst = 0;

        bench_start(&bench, device, golden);
        for (int step = 0; step < GOLDEN_UPDATES; step++) {
            update(&bench, golden, step);
        }
        get_weights(&bench, weight);
        for (int i = 0; i < GOLDEN_TOTAL; i++) {
            double apart = fabs((double)weight[i] - (double)golden->weight[i]);
            worst = apart <= worst ? worst : apart; /* a NaN sticks */
        }
        if (!(worst <= 1e-6)) {
            fail_msg("%s: case %d is off by %g", device->table->name, c, worst);
        }
        bench_end(&bench);
    }
}

static void test_golden(void **state SL_UNUSED)
{
    on_each_backend(check_golden);
}

/* ---- widths that take no part ------------------------------------------------------ */

/* The first two updates are the full width's alone: nothing of the narrow one has moved,
 * slots and counts included. */
static void check_untouched(const struct sl_device *device)
{
    for (int c = 0; c < SL_COUNT(golden_optim); c++) {
        const struct golden_optim *golden = &golden_optim[c];
        struct bench bench;
        float before[GOLDEN_TOTAL], after[GOLDEN_TOTAL];
        int slots = 0;

        bench_start(&bench, device, golden);
        const int64_t begin = bench.net->private_begin[1];
        const size_t bytes = (size_t)(bench.net->private_end[1] - begin) * sizeof *before;
        get_weights(&bench, before);
        update(&bench, golden, 0);
        update(&bench, golden, 1);
        get_weights(&bench, after);
        assert_memory_equal(before + begin, after + begin, bytes);
        assert_memory_not_equal(before, after, (size_t)begin * sizeof *before);
        for (int i = 0; i < bench.state.n; i++) {
            const struct sl_named *item = &bench.state.items[i];
            float value[2];
            if (strstr(item->name, "@0.5.") != NULL) {
                device->table->get(device->state, value, item->tensor.data, sizeof value);
                assert_true(value[0] == 0.0f && value[1] == 0.0f);
                slots++;
            }
        }
        bool is_adamw = golden->optimizer == SL_OPTIMIZER_ADAMW;
        assert_int_equal(slots, is_adamw ? 4 : 2); /* scale, shift */
        const struct sl_named *steps = sl_named_find(&bench.state, "slot.steps");
        assert_int_equal(steps != NULL, is_adamw);
        if (is_adamw) {
            const int64_t expected[] = {2, 2, 0};
            assert_memory_equal(steps->tensor.data, expected, sizeof expected);
        }
        bench_end(&bench);
    }
}

static void test_untouched(void **state SL_UNUSED)
{
    on_each_backend(check_untouched);
}

static void test_restored(void **state SL_UNUSED)
{
    struct sl_device device = kit_device("ref");
    struct sl_error err = {0};
    struct bench bench;

    bench_start(&bench, &device, &golden_optim[4]);
    int64_t *steps = sl_named_find(&bench.state, "slot.steps")->tensor.data;
    kit_ok(sl_optim_restored(&err, bench.optim), &err);
    steps[2] = -1;
    assert_int_equal(sl_optim_restored(&err, bench.optim), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "slot.steps"));
    bench_end(&bench);
    sl_device_close(&device);
}

/* ---- threads ----------------------------------------------------------------------- */

/* Norms of a tensor that all threads share are added in one order. */
static void test_norms_of_any_threads(void **state SL_UNUSED)
{
    enum { N = 100003, THREADS = 4 };
    double squares[THREADS][2];

    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        for (int t = 0; t < THREADS; t++) {
            const struct sl_backend_options options = {.threads = 1 + t};
            struct sl_error err = {0};
            struct sl_device device;
            kit_ok(sl_device_open(&err, sl_backend_name(i), &options, &device), &err);
            float *p = kit_random(&device, 1, N);
            float *g = kit_random(&device, 2, N);
            device.table->lars_norms(device.state, N, 0.1f, g, p, &squares[t][0],
                                     &squares[t][1]);
            device.table->free(device.state, p);
            device.table->free(device.state, g);
            sl_device_close(&device);
            assert_memory_equal(squares[t], squares[0], sizeof squares[0]);
        }
        assert_true(fabs(squares[0][0] / N - 1.0) < 0.02);
        assert_true(fabs(squares[0][1] / N - 1.01) < 0.02);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_restored),
        cmocka_unit_test(test_norms_of_any_threads),
    };
    return cmocka_run_group_tests_name("optimisers", tests, NULL, NULL);
}
