/* SPDX-License-Identifier: MIT */
/*
 * Whole steps with feature maps in bfloat16, on two nets wide enough that every kind of
 * our own convolution has a part in them, one of basic blocks and one of bottlenecks:
 * losses and gradients stay near those of float32, and what holds in float32 holds here:
 * the same bits again, with and without memory reuse, and after a restore. Skipped where
 * the machine does not compute in bfloat16.
 */
#include "trainkit.h"

#include <math.h>

enum { SIDE = 16, BATCH = 16, DIM = 16, STEPS = 3 };
enum { VIEW = BATCH * SIDE * SIDE * 3 };

struct run {
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_named_list state;
};

/* The nets. */
enum blocks { BASIC, BOTTLENECKS, NETS };

static const char widths[] = "1,0.75,0.5,0.25";

/* A strided stem and two bottlenecks, of which one keeps its shape. */
static struct sl_net *bottlenecks(void)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_widths list = kit_widths(widths);

    kit_ok(sl_net_create(&err, &list, &net), &err);
    const int stem = sl_net_axis(net, "stem", 32, false);
    const int mid = sl_net_axis(net, "mid", 32, false);
    const int out = sl_net_axis(net, "out", 128, false);
    const int embedding = sl_net_axis(net, "embedding", DIM, true);
    int x = sl_net_input(net, sl_net_axis(net, "picture", 3, true), SIDE, SIDE);
    x = sl_net_conv(net, "stem.conv", x, stem, 3, 2, 1);
    x = sl_net_norm(net, "stem.norm", x, SL_TAIL_RELU, -1, SL_INIT_ONE);
    x = kit_bottleneck(net, "a", x, mid, out, 1, true);
    x = kit_bottleneck(net, "b", x, mid, out, 1, false);
    const int features = sl_net_avgpool(net, "pool", x);
    x = sl_net_linear(net, "head", features, embedding, true, SL_INIT_FAN_IN,
                      SL_INIT_FAN_IN);
    kit_ok(sl_net_finish(&err, net, features, x, x), &err);
    return net;
}

static struct sl_net *make_net(enum blocks blocks)
{
    return blocks == BASIC ? kit_resnet("resnet8-b32", widths, SIDE, SL_HEAD_MLP, DIM)
                           : bottlenecks();
}

/* A block whose last scale begins at 0 would hide its convolutions from the first step.
 */
static void open_blocks(struct run *run)
{
    struct sl_error err = {0};
    const char suffix[] = ".scale";

    for (int i = 0; i < run->state.n; i++) {
        const char *name = run->state.items[i].name;
        const struct sl_tensor *tensor = &run->state.items[i].tensor;
        const size_t length = strlen(name);
        float *scale = tensor->data;
        if (strncmp(name, "slot.", 5) == 0 || length < sizeof suffix ||
            strcmp(name + length + 1 - sizeof suffix, suffix) != 0) {
            continue;
        }
        for (size_t c = 0; c < sl_tensor_bytes(tensor) / sizeof *scale; c++) {
            scale[c] = scale[c] == 0.0f ? 0.5f : scale[c];
        }
    }
    kit_ok(sl_trainer_restored(&err, run->trainer), &err);
}

static void run_start(struct run *run, enum blocks blocks, enum sl_dtype type,
                      bool reuse_off)
{
    struct sl_error err = {0};
    struct sl_trainer_config config = tiny_config();

    config.batch = BATCH;
    config.queue = 4 * BATCH;
    config.optim.weight_decay = 0;
    config.type = type;
    config.reuse_off = reuse_off;
    *run = (struct run){.device = kit_device("auto")};
    run->net = make_net(blocks);
    kit_ok(sl_trainer_create(&err, &config, run->net, &run->device, &run->trainer), &err);
    kit_ok(sl_trainer_state(&err, run->trainer, &run->state), &err);
    open_blocks(run);
}

static void run_end(struct run *run)
{
    sl_named_finish(&run->state);
    sl_trainer_destroy(run->trainer);
    sl_net_destroy(run->net);
    sl_device_close(&run->device);
}

static struct sl_step_numbers run_step(struct run *run)
{
    static float views[2][VIEW];
    struct sl_error err = {0};
    struct sl_step_numbers numbers;
    const int64_t step = sl_trainer_steps(run->trainer);

    for (uint32_t view = 0; view < 2; view++) {
        sl_rng_fill_normal(5, SL_RNG_TEST, 2 * (uint32_t)step + view, 1.0f, VIEW,
                           views[view]);
    }
    const struct sl_batch batch = {
        .views = {views[0], views[1]}, .rows = BATCH, .step = step};
    kit_ok(sl_trainer_step(&err, run->trainer, &batch, &numbers), &err);
    return numbers;
}

static bool has_bf16(void)
{
    struct sl_device device = kit_device("auto");
    const bool has = device.table->computes(device.state, SL_BF16);

    sl_device_close(&device);
    return has;
}

static void expect_same(const struct run *a, const struct run *b)
{
    for (int i = 0; i < a->state.n; i++) {
        const struct sl_tensor *mine = &a->state.items[i].tensor;
        if (memcmp(mine->data, b->state.items[i].tensor.data, sl_tensor_bytes(mine)) !=
            0) {
            fail_msg("\"%s\" differs", a->state.items[i].name);
        }
    }
}

/* From zero slots and without decay, one step leaves the gradient in the slots. */
static void near_float32(enum blocks blocks)
{
    struct run wide;
    struct run half;
    double apart = 0.0;
    double size = 0.0;

    run_start(&wide, blocks, SL_F32, false);
    run_start(&half, blocks, SL_BF16, false);
    const struct sl_step_numbers expected = run_step(&wide);
    const struct sl_step_numbers got = run_step(&half);
    for (int w = 0; w < 4; w++) {
        const struct sl_width_numbers *a = &got.width[w];
        const struct sl_width_numbers *b = &expected.width[w];
        print_message("  width %d: loss %.4f and %.4f, gradient %.4f and %.4f\n", w,
                      a->loss, b->loss, a->grad_norm, b->grad_norm);
        assert_true(fabs(a->loss - b->loss) <= 0.02 * b->loss);
        assert_true(fabs(a->grad_norm - b->grad_norm) <= 0.05 * b->grad_norm);
    }
    const float *mine = slots_of(&half.state, half.net);
    const float *theirs = slots_of(&wide.state, wide.net);
    for (int64_t i = 0; i < wide.net->total; i++) {
        apart += pow((double)mine[i] - (double)theirs[i], 2);
        size += pow((double)theirs[i], 2);
    }
    print_message("  gradients %.3f apart\n", sqrt(apart / size));
    assert_true(sqrt(apart / size) <= 0.1);
    run_end(&wide);
    run_end(&half);
}

static void same_bits(enum blocks blocks)
{
    struct run first;
    struct run again;
    struct run apart;

    run_start(&first, blocks, SL_BF16, false);
    run_start(&again, blocks, SL_BF16, false);
    run_start(&apart, blocks, SL_BF16, true);
    for (int i = 0; i < STEPS; i++) {
        (void)run_step(&first);
        (void)run_step(&again);
        (void)run_step(&apart);
    }
    expect_same(&first, &again);
    expect_same(&first, &apart);
    run_end(&first);
    run_end(&again);
    run_end(&apart);
}

static void restored(enum blocks blocks)
{
    struct sl_error err = {0};
    struct run whole;
    struct run cut;

    run_start(&whole, blocks, SL_BF16, false);
    run_start(&cut, blocks, SL_BF16, false);
    (void)run_step(&whole);
    for (int i = 0; i < whole.state.n; i++) {
        const struct sl_tensor *from = &whole.state.items[i].tensor;
        memcpy(cut.state.items[i].tensor.data, from->data, sl_tensor_bytes(from));
    }
    kit_ok(sl_trainer_restored(&err, cut.trainer), &err);
    (void)run_step(&whole);
    (void)run_step(&cut);
    expect_same(&whole, &cut);
    run_end(&whole);
    run_end(&cut);
}

static void each_net(void (*check)(enum blocks blocks))
{
    for (int i = 0; i < NETS; i++) {
        check((enum blocks)i);
    }
}

static void test_near_float32(void **state SL_UNUSED)
{
    each_net(near_float32);
}

static void test_same_bits(void **state SL_UNUSED)
{
    each_net(same_bits);
}

static void test_restored(void **state SL_UNUSED)
{
    each_net(restored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_float32),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_restored),
    };
    enum { SKIPPED = 77 };

    if (!has_bf16()) {
        (void)printf("skipped: no bfloat16 on this machine\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
