/* SPDX-License-Identifier: MIT */
/*
 * Three whole steps of MoCo v3, SimCLR and supervised training on a tiny net (resnet8-b8,
 * four widths) against PyTorch: tools/golden.py computed the files in tests/golden from
 * the same keyed start and batches. Every case crosses the end of slow start; together
 * they cover each form of distillation that a method has, on each backend. MoCo v2's are
 * in method.c. Per tensor max|a-b| <= 1e-4 max|b| + 1e-6. And the derivative of the whole
 * objective along the gradient, by finite differences, is the gradient's length.
 */
#include "learn/learn.h"
#include "netkit.h"

#include <math.h>
#include <stdlib.h>

enum { IMAGE = 8, DIM = 16, HIDDEN = 24, CLASSES = 5, BATCH = 8 };
enum { STEPS = 3, SLOW_START = 1, TOTAL_STEPS = 4 };
enum { PICTURES = BATCH * IMAGE * IMAGE * 3 };
enum { SAMPLES = 64, STRIDE = 7919 }; /* of large tensors: see tools/golden.py */

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

struct run {
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_named_list state;
    struct sl_step_numbers numbers[STEPS];
};

static struct sl_net *net_for(const struct sl_method_info *method)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_resnet_config config = {
        .arch = "resnet8-b8",
        .widths = kit_widths("1,0.75,0.5,0.25"),
        .image_size = IMAGE,
        .channels = 3,
        .head = method->head,
        .dim = method->has_labels ? CLASSES : DIM,
        .hidden = HIDDEN,
    };

    kit_ok(sl_resnet_build(&err, &config, &net), &err);
    return net;
}

static void run_start(struct run *run, const char *device, const struct golden_case *c,
                      uint64_t seed, bool differences)
{
    struct sl_error err = {0};
    const struct sl_method *method = sl_method_find(c->method);

    memset(run, 0, sizeof *run);
    run->device = kit_device(device);
    run->net = net_for(sl_method_info(method));
    struct sl_trainer_config config = {
        .method = method,
        .batch = BATCH,
        .seed = seed,
        .total_steps = TOTAL_STEPS,
        .slow_start_step = SLOW_START,
        .lr = {.schedule = SL_LR_COSINE,
               .peak = 0.02,
               .second_peak = 0.016,
               .second_from = SLOW_START,
               .total_steps = TOTAL_STEPS},
        .optim = {.momentum = 0.9, .weight_decay = 5e-4},
        .ema_momentum = 0.9,
        .ema_cosine = true,
        .temperature = 0.5,
        .distill = c->distill,
        .distill_weight = c->alpha,
        .distill_temperature = c->tau,
    };
    if (differences) {
        /* Keys that do not move with the parameters, and nothing but the gradient in the
         * slots. */
        config.ema_momentum = 1.0;
        config.slow_start_step = 0;
        config.optim.weight_decay = 0.0;
    }
    sl_width_weights_of(SL_WEIGHTS_DOMINANT, &run->net->widths, config.width_weights);
    kit_ok(sl_trainer_create(&err, &config, run->net, &run->device, &run->trainer), &err);
    kit_ok(sl_trainer_state(&err, run->trainer, &run->state), &err);
}

static void run_end(struct run *run)
{
    sl_named_finish(&run->state);
    sl_trainer_destroy(run->trainer);
    sl_net_destroy(run->net);
    sl_device_close(&run->device);
}

static void run_steps(struct run *run, uint64_t seed, int n)
{
    static float views[2][PICTURES];
    struct sl_error err = {0};
    int32_t labels[BATCH];

    for (int step = 0; step < n; step++) {
        for (uint32_t view = 0; view < 2; view++) {
            sl_rng_fill_normal(seed, SL_RNG_TEST, 2 * (uint32_t)step + view, 1.0f,
                               PICTURES, views[view]);
        }
        for (int i = 0; i < BATCH; i++) {
            labels[i] = (3 * i + step) % CLASSES;
        }
        const struct sl_batch batch = {
            .views = {views[0], views[1]}, .labels = labels, .rows = BATCH, .step = step};
        kit_ok(sl_trainer_step(&err, run->trainer, &batch, &run->numbers[step]), &err);
    }
}

/* ---- the comparison ---------------------------------------------------------------- */

static char *read_golden(const char *name, int64_t *size)
{
    struct sl_error err = {0};
    const char *source = getenv("SLIMCLR_SOURCE");
    unsigned char *bytes;
    char path[512];

    snprintf(path, sizeof path, "%s/tests/golden/%s", source == NULL ? "." : source,
             name);
    kit_ok(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &bytes, size), &err);
    return (char *)bytes;
}

/* What of a tensor of the state the file holds: all of it, or samples. */
static int get_state(const struct run *run, const char *name, int64_t count, float *ours)
{
    const struct sl_named *item = sl_named_find(&run->state, name);

    if (item == NULL) {
        fail_msg("the trainer's state has no \"%s\"", name);
        return 0;
    }
    assert_int_equal(sl_tensor_count(&item->tensor), count);
    int n = count > SAMPLES ? SAMPLES : (int)count;
    for (int i = 0; i < n; i++) {
        int64_t at = count > SAMPLES ? (int64_t)i * STRIDE % count : i;
        run->device.table->get(run->device.state, &ours[i],
                               (const float *)item->tensor.data + at, sizeof *ours);
    }
    return n;
}

/* The values of ours that a golden name stands for; gives their number. */
static int find_ours(const struct run *run, const char *name, int64_t count, float *ours)
{
    int step, used = 0;

    if (sscanf(name, "step%d.%n", &step, &used) != 1 || used == 0) {
        return get_state(run, name, count, ours);
    }
    const struct sl_step_numbers *numbers = &run->numbers[step];
    const char *what = name + used;
    if (strcmp(what, "total") == 0) {
        ours[0] = (float)numbers->loss;
        return 1;
    }
    assert_int_equal(count, run->net->widths.n);
    for (int i = 0; i < count; i++) {
        const struct sl_width_numbers *width = &numbers->width[i];
        ours[i] = (float)(strcmp(what, "loss") == 0           ? width->loss
                          : strcmp(what, "distill") == 0      ? width->distill
                          : strcmp(what, "contrast_acc") == 0 ? width->contrast_acc
                          : strcmp(what, "emb_std") == 0      ? width->emb_std
                          : strcmp(what, "grad_norm") == 0    ? width->grad_norm
                                                              : NAN);
    }
    return (int)count;
}

/* All parameters and statistics; of a target those that are ever used. */
static int tensors_expected(const struct run *run)
{
    int n = STEPS * 6;

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
    struct run run;
    char file[64], text[64], name[SL_NAME_MAX];
    float golden[SAMPLES], ours[SAMPLES];
    int64_t size, names_size;
    double worst = 0;
    int n_tensors = 0;

    snprintf(file, sizeof file, "%s-%s.bin", c->method, c->name);
    snprintf(text, sizeof text, "%s.txt", c->method);
    char *names = read_golden(text, &names_size);
    char *bytes = read_golden(file, &size);
    const char *at = bytes;
    memcpy(golden, at, sizeof *golden);
    at += sizeof *golden;
    const uint64_t seed = (uint64_t)golden[0];
    run_start(&run, device, c, seed, false);
    run_steps(&run, seed, STEPS);
    for (const char *line = names; *line != '\0'; line = strchr(line, '\n') + 1) {
        int count;
        assert_int_equal(sscanf(line, "%127s %d", name, &count), 2);
        int n = find_ours(&run, name, count, ours);
        assert_true(at + (size_t)n * sizeof *golden <= bytes + size);
        memcpy(golden, at, (size_t)n * sizeof *golden);
        at += (size_t)n * sizeof *golden;
        double largest = 0, difference = 0;
        for (int i = 0; i < n; i++) {
            largest = fmax(largest, fabs((double)golden[i]));
            double d = fabs((double)golden[i] - ours[i]);
            difference = d <= difference ? difference : d; /* a NaN sticks */
        }
        double tolerance = 1e-4 * largest + 1e-6;
        if (!(difference <= tolerance)) {
            fail_msg("%s on %s: %s differs by %g, allowed is %g", file, device, name,
                     difference, tolerance);
        }
        worst = fmax(worst, difference / tolerance);
        n_tensors++;
    }
    assert_ptr_equal(at, bytes + size);
    assert_int_equal(n_tensors, tensors_expected(&run));
    print_message("%s on %s: %d tensors, worst at %.2f of the tolerance\n", file, device,
                  n_tensors, worst);
    run_end(&run);
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
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        if (strcmp(sl_backend_name(i), "cpu") == 0) {
            compare_all("cpu");
            return;
        }
    }
    skip();
}

/* ---- finite differences ------------------------------------------------------------ */

/* The objective of the first step from parameters moved by `step` along a direction
 * (NULL: not moved); the step's gradient goes to `gradient` where it is wanted. */
static double objective_at(const struct golden_case *c, const float *direction,
                           double step, float *gradient)
{
    const uint64_t seed = 4;
    struct run run;

    run_start(&run, "ref", c, seed, true);
    float *weight = sl_trainer_params(run.trainer)->weight;
    for (int64_t i = 0; direction != NULL && i < run.net->total; i++) {
        weight[i] = (float)((double)weight[i] + step * (double)direction[i]);
    }
    run_steps(&run, seed, 1);
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
    run_end(&run);
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
