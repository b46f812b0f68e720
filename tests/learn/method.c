/* SPDX-License-Identifier: MIT */
/*
 * Three whole SlimCLR-MoCo v2 steps of a tiny net (resnet8-b8, four widths) against
 * PyTorch: tools/golden.py computed the files in tests/golden from the same keyed start
 * and batches. Every case crosses the end of slow start; together they cover each form of
 * distillation and one and two norm groups, on each backend. Per tensor max|a-b| <= 1e-4
 * max|b| + 1e-6.
 */
#include "goldenkit.h"
#include "learn/learn.h"

enum { SEED = 8, IMAGE = 16, DIM = 16, BATCH = 8, QUEUE = 16, STEPS = 3, SLOW_START = 1 };
enum { PICTURES = BATCH * IMAGE * IMAGE * 3 };

struct golden_case {
    const char *name;
    enum sl_distill distill;
    enum sl_teachers teachers;
    int groups;
    double alpha, tau;
    enum sl_block block;
};

static const struct golden_case cases[] = {
    {"seed", SL_DISTILL_SEED, SL_TEACHERS_FULL, 2, 0.5, 5.0, SL_BLOCK_BASIC},
    {"inplace", SL_DISTILL_INPLACE, SL_TEACHERS_FULL, 1, 0.5, 0.5, SL_BLOCK_BASIC},
    {"mse-embedding", SL_DISTILL_MSE_EMBEDDING, SL_TEACHERS_FULL, 2, 0.75, 5.0,
     SL_BLOCK_BASIC},
    {"mse-logits", SL_DISTILL_MSE_LOGITS, SL_TEACHERS_FULL, 1, 0.75, 5.0, SL_BLOCK_BASIC},
    {"atkd", SL_DISTILL_ATKD, SL_TEACHERS_FULL, 2, 0.5, 5.0, SL_BLOCK_BASIC},
    {"dkd", SL_DISTILL_DKD, SL_TEACHERS_FULL, 1, 0.5, 5.0, SL_BLOCK_BASIC},
    {"all-larger", SL_DISTILL_SEED, SL_TEACHERS_ALL_LARGER, 1, 0.75, 0.25,
     SL_BLOCK_BASIC},
    {"slimclr-cifar", SL_DISTILL_SEED, SL_TEACHERS_FULL, 1, 0.5, 5.0,
     SL_BLOCK_SLIMCLR_CIFAR},
};

/* ---- a run ------------------------------------------------------------------------- */

struct run {
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_named_list state;
    struct sl_step_numbers numbers[STEPS];
    float keys[STEPS][BATCH * DIM];
};

static void run_start(struct run *run, const char *device, const struct golden_case *c)
{
    struct sl_error err = {0};

    memset(run, 0, sizeof *run);
    run->device = kit_device(device);
    const struct sl_resnet_config net_config = {.arch = "resnet8-b8",
                                                .widths = kit_widths("1,0.75,0.5,0.25"),
                                                .image_size = IMAGE,
                                                .channels = 3,
                                                .block = c->block,
                                                .head = SL_HEAD_MLP,
                                                .dim = DIM};
    kit_ok(sl_resnet_build(&err, &net_config, &run->net), &err);
    struct sl_trainer_config config = {
        .method = sl_method_find("mocov2"),
        .batch = BATCH,
        .seed = SEED,
        .total_steps = 4,
        .slow_start_step = SLOW_START,
        .lr = {.schedule = SL_LR_COSINE,
               .peak = 0.05,
               .second_peak = 0.04,
               .second_from = SLOW_START,
               .total_steps = 4},
        .optim = {.momentum = 0.9, .weight_decay = 5e-4},
        .queue = QUEUE,
        .ema_momentum = 0.9,
        .temperature = 0.2,
        .bn_splits = c->groups,
        .distill = c->distill,
        .teachers = c->teachers,
        .distill_weight = c->alpha,
        .distill_temperature = c->tau,
    };
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

/* A tensor of the state in host memory. */
static void get_state(const struct run *run, const char *name, int64_t count,
                      float *values)
{
    const struct sl_named *item = sl_named_find(&run->state, name);

    if (item == NULL) {
        fail_msg("the trainer's state has no \"%s\"", name);
        return;
    }
    assert_int_equal(sl_tensor_count(&item->tensor), count);
    run->device.table->get(run->device.state, values, item->tensor.data,
                           (size_t)count * sizeof *values);
}

static void run_steps(struct run *run)
{
    static float views[2][PICTURES];
    struct sl_error err = {0};
    float queue[QUEUE * DIM];

    for (int step = 0; step < STEPS; step++) {
        for (uint32_t view = 0; view < 2; view++) {
            sl_rng_fill_normal(SEED, SL_RNG_TEST, 2 * (uint32_t)step + view, 1.0f,
                               PICTURES, views[view]);
        }
        const struct sl_batch batch = {
            .views = {views[0], views[1]}, .rows = BATCH, .step = step};
        kit_ok(sl_trainer_step(&err, run->trainer, &batch, &run->numbers[step]), &err);
        /* The step's keys are what it put into the queue. */
        get_state(run, "queue", QUEUE * DIM, queue);
        memcpy(run->keys[step], queue + step * BATCH % QUEUE * DIM,
               sizeof run->keys[step]);
    }
}

/* The value of ours that a golden name stands for. */
static void find_ours(const struct run *run, const char *name, int64_t count, float *ours)
{
    int step, used = 0;

    if (sscanf(name, "step%d.%n", &step, &used) != 1 || used == 0) {
        get_state(run, name, count, ours);
        return;
    }
    const struct sl_step_numbers *numbers = &run->numbers[step];
    const char *what = name + used;
    if (strcmp(what, "keys") == 0) {
        assert_int_equal(count, BATCH * DIM);
        memcpy(ours, run->keys[step], sizeof run->keys[step]);
        return;
    }
    if (strcmp(what, "total") == 0) {
        ours[0] = (float)numbers->loss;
        return;
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
}

static void compare_case(const char *device, const struct golden_case *c)
{
    enum { LARGEST = 32 * 32 * 9 };
    static float golden[LARGEST], ours[LARGEST];
    struct run run;
    char file[64], where[80], name[SL_NAME_MAX];
    int64_t size, names_size;
    double worst = 0;
    int n_tensors = 0;

    snprintf(file, sizeof file, "mocov2-%s-g%d.bin", c->name, c->groups);
    snprintf(where, sizeof where, "%s on %s", file, device);
    char *names = golden_read("mocov2.txt", &names_size);
    char *bytes = golden_read(file, &size);
    run_start(&run, device, c);
    run_steps(&run);
    const char *at = bytes;
    for (const char *line = names; *line != '\0'; line = strchr(line, '\n') + 1) {
        int count;
        assert_int_equal(sscanf(line, "%127s %d", name, &count), 2);
        assert_in_range(count, 1, LARGEST);
        at = golden_tensor(at, count, golden);
        find_ours(&run, name, count, ours);
        worst = fmax(worst, golden_compare(where, name, count, golden, ours));
        n_tensors++;
    }
    assert_ptr_equal(at, bytes + size);
    /* Nothing was left out: all parameters, all statistics, the queue. */
    assert_int_equal(n_tensors, run.net->n_params +
                                    2 * run.net->n_norms * run.net->widths.n +
                                    2 * run.net->n_norms + 1 + STEPS * 7);
    print_message("%s: %d tensors, worst at %.2f of the tolerance\n", where, n_tensors,
                  worst);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ref),
        cmocka_unit_test(test_golden_cpu),
    };
    return cmocka_run_group_tests_name("method", tests, NULL, NULL);
}
