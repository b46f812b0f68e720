/* SPDX-License-Identifier: MIT */
/*
 * Three whole SlimCLR-MoCo v2 steps of a tiny net (resnet8-b8, four widths) against
 * PyTorch: tools/golden.py computed the files in tests/golden from the same keyed start
 * and batches. Every case crosses the end of slow start; together they cover each form of
 * distillation from the full width and from all larger ones, the MLP shared and of each
 * width's own, and one and two norm groups, on each backend. Per tensor max|a-b| <= 1e-4
 * max|b| + 1e-6.
 */
#include "stepkit.h"

enum { SEED = 8, IMAGE = 16 };

struct golden_case {
    const char *name;
    enum sl_distill distill;
    enum sl_teachers teachers;
    int groups;
    double alpha, tau;
    enum sl_block block;
    enum sl_head head;
};

static const struct golden_case cases[] = {
    {"seed", SL_DISTILL_SEED, SL_TEACHERS_FULL, 2, 0.5, 5.0, SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"inplace", SL_DISTILL_INPLACE, SL_TEACHERS_FULL, 1, 0.5, 0.5, SL_BLOCK_BASIC,
     SL_HEAD_MLP},
    {"mse-embedding", SL_DISTILL_MSE_EMBEDDING, SL_TEACHERS_FULL, 2, 0.75, 5.0,
     SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"mse-logits", SL_DISTILL_MSE_LOGITS, SL_TEACHERS_FULL, 1, 0.75, 5.0, SL_BLOCK_BASIC,
     SL_HEAD_MLP},
    {"atkd", SL_DISTILL_ATKD, SL_TEACHERS_FULL, 2, 0.5, 5.0, SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"dkd", SL_DISTILL_DKD, SL_TEACHERS_FULL, 1, 0.5, 5.0, SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"all-larger", SL_DISTILL_SEED, SL_TEACHERS_ALL_LARGER, 1, 0.75, 0.25, SL_BLOCK_BASIC,
     SL_HEAD_MLP},
    {"slimclr-cifar", SL_DISTILL_SEED, SL_TEACHERS_FULL, 1, 0.5, 5.0,
     SL_BLOCK_SLIMCLR_CIFAR, SL_HEAD_MLP},
};

/* Those whose files are samples and say their seed. */
static const struct golden_case more[] = {
    {"switch", SL_DISTILL_SEED, SL_TEACHERS_FULL, 1, 0.75, 0.5, SL_BLOCK_BASIC,
     SL_HEAD_SWITCH},
    {"all-larger-inplace", SL_DISTILL_INPLACE, SL_TEACHERS_ALL_LARGER, 1, 0.5, 0.5,
     SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"all-larger-mse-embedding", SL_DISTILL_MSE_EMBEDDING, SL_TEACHERS_ALL_LARGER, 2,
     0.75, 5.0, SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"all-larger-mse-logits", SL_DISTILL_MSE_LOGITS, SL_TEACHERS_ALL_LARGER, 1, 0.75, 5.0,
     SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"all-larger-atkd", SL_DISTILL_ATKD, SL_TEACHERS_ALL_LARGER, 2, 0.5, 5.0,
     SL_BLOCK_BASIC, SL_HEAD_MLP},
    {"all-larger-dkd", SL_DISTILL_DKD, SL_TEACHERS_ALL_LARGER, 1, 0.5, 5.0,
     SL_BLOCK_BASIC, SL_HEAD_MLP},
};

/* ---- a run ------------------------------------------------------------------------- */

static void start(struct golden_run *run, const char *device, const struct golden_case *c,
                  uint64_t seed)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_resnet_config net_config = {.arch = "resnet8-b8",
                                                .widths = kit_widths(golden_widths),
                                                .image_size = IMAGE,
                                                .channels = 3,
                                                .block = c->block,
                                                .head = c->head,
                                                .dim = GOLDEN_DIM};
    kit_ok(sl_resnet_build(&err, &net_config, &net), &err);
    struct sl_trainer_config config = golden_config("mocov2", seed);
    config.lr.peak = 0.05;
    config.lr.second_peak = 0.04;
    config.queue = GOLDEN_QUEUE;
    config.temperature = 0.2;
    config.bn_splits = c->groups;
    config.distill = c->distill;
    config.teachers = c->teachers;
    config.distill_weight = c->alpha;
    config.distill_temperature = c->tau;
    sl_width_weights_of(SL_WEIGHTS_DOMINANT, &net->widths, config.width_weights);
    golden_start(run, device, net, &config);
}

static void compare_case(const char *device, const struct golden_case *c,
                         enum golden_form form)
{
    struct golden_run run;
    char file[64], where[80], groups[16] = "";
    int64_t size, names_size;
    float seed = SEED;

    if (form == GOLDEN_WHOLE) {
        snprintf(groups, sizeof groups, "-g%d", c->groups);
    }
    snprintf(file, sizeof file, "mocov2-%s%s.bin", c->name, groups);
    snprintf(where, sizeof where, "%s on %s", file, device);
    char *names = golden_read(
        c->head == SL_HEAD_SWITCH ? "mocov2-switch.txt" : "mocov2.txt", &names_size);
    char *bytes = golden_read(file, &size);
    const char *at = bytes;
    if (form == GOLDEN_SAMPLED) {
        memcpy(&seed, at, sizeof seed);
        at += sizeof seed;
    }
    start(&run, device, c, (uint64_t)seed);
    golden_steps(&run, GOLDEN_STEPS);
    int n = golden_hold(&run, form, where, names, at, bytes + size);
    /* Nothing was left out: all parameters, all statistics, the queue. */
    assert_int_equal(n, run.net->n_params + 2 * run.net->n_norms * run.net->widths.n +
                            2 * run.net->n_norms + 1 + GOLDEN_STEPS * 7);
    golden_end(&run);
    sl_heap_free(names);
    sl_heap_free(bytes);
}

static void compare_all(const char *device)
{
    for (int i = 0; i < SL_COUNT(cases); i++) {
        compare_case(device, &cases[i], GOLDEN_WHOLE);
    }
    for (int i = 0; i < SL_COUNT(more); i++) {
        compare_case(device, &more[i], GOLDEN_SAMPLED);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ref),
        cmocka_unit_test(test_golden_cpu),
    };
    return cmocka_run_group_tests_name("method", tests, NULL, NULL);
}
