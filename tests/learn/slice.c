/* SPDX-License-Identifier: MIT */
/*
 * The property that pins widths down (docs/architecture.md, section 5), bit for bit on
 * the reference backend: a stand-alone net of the narrow size, loaded with copied slices,
 * computes what the shared net computes at that width, forward and backward; the shared
 * gradient is the sum over widths; and a width leaves the private state of the others
 * alone.
 */
#include "netkit.h"

#include <math.h>

static const char *const widths_text = "1,0.75,0.5,0.25";
/* Those whose narrow ones fit side by side. */
static const char *const apart_text = "1,0.5,0.25";

enum { BASE = 8, DIM = 5 };

/* The shapes of net under test, at any base width. */
enum shape { BASIC, BOTTLENECK, APART }; /* APART: basic, with disjoint slices */

static const char *widths_of(enum shape shape)
{
    return shape == APART ? apart_text : widths_text;
}

static struct sl_net *make_net(enum shape shape, const char *widths, int base)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    char arch[32];

    if (shape == BOTTLENECK) {
        return kit_all_ops(widths, base);
    }
    snprintf(arch, sizeof arch, "resnet8-b%d", base);
    const struct sl_resnet_config config = {.arch = arch,
                                            .widths = kit_widths(widths),
                                            .slices = shape == APART ? SL_SLICES_DISJOINT
                                                                     : SL_SLICES_NESTED,
                                            .image_size = 12,
                                            .channels = 3,
                                            .head = SL_HEAD_MLP,
                                            .dim = DIM};
    kit_ok(sl_resnet_build(&err, &config, &net), &err);
    return net;
}

/* ---- slices and copies ------------------------------------------------------------- */

/* Walks the elements of a weight's slice in order; `each` gets the element in the shared
 * array and the one in the dense array of the narrow net. */
typedef void (*pair_fn)(float *shared, float *dense);

/* Disjoint slices lie in ascending order of size from channel 0; the full width and fixed
 * axes take all. */
static int64_t first_of(const struct sl_net *net, int axis, int width)
{
    int64_t first = 0;

    for (int w = width + 1; w < net->widths.n && width > 0; w++) {
        first += sl_multiplier_of(net->widths.at[w], net->axes[axis].full);
    }
    return net->slices == SL_SLICES_NESTED || net->axes[axis].fixed ? 0 : first;
}

static void for_slice(const struct sl_net *net, int param, int width, float *flat,
                      float *dense, pair_fn each)
{
    /* By the words of net.h, not by sl_params_slice: W[0:out_w, 0:in_w, :, :], or from
     * where the narrower widths end. */
    const struct sl_param *p = &net->params[param];
    int64_t in_full = net->axes[p->axis_in].full;
    int64_t out = sl_multiplier_of(net->widths.at[width], net->axes[p->axis_out].full);
    int64_t in = sl_multiplier_of(net->widths.at[width], in_full);
    int64_t taps = (int64_t)p->kernel * p->kernel;

    int64_t first_out = first_of(net, p->axis_out, width);
    int64_t first_in = first_of(net, p->axis_in, width);
    out = net->axes[p->axis_out].fixed ? net->axes[p->axis_out].full : out;
    in = net->axes[p->axis_in].fixed ? in_full : in;
    for (int64_t o = 0; o < out; o++) {
        for (int64_t i = 0; i < in; i++) {
            int64_t place = (first_out + o) * in_full + first_in + i;
            for (int64_t t = 0; t < taps; t++) {
                each(&flat[p->offset + place * taps + t],
                     &dense[(o * in + i) * taps + t]);
            }
        }
    }
}

static void for_vector(float *shared, float *dense, int64_t count, pair_fn each)
{
    for (int64_t i = 0; i < count; i++) {
        each(&shared[i], &dense[i]);
    }
}

/* Walks all parameters that a width of the shared net uses, beside those of the narrow
 * net, op by op. */
static void for_pairs(const struct sl_net *shared, int width, float *shared_flat,
                      const struct sl_net *narrow, float *narrow_flat, pair_fn each)
{
    assert_int_equal(shared->n_ops, narrow->n_ops);
    for (int i = 0; i < shared->n_ops; i++) {
        const struct sl_op *a = &shared->ops[i];
        const struct sl_op *b = &narrow->ops[i];
        const int vectors[][2] = {{a->bias, b->bias},
                                  {a->scale[width], b->scale[0]},
                                  {a->shift[width], b->shift[0]}};
        if (a->weight >= 0) {
            for_slice(shared, a->weight, width, shared_flat,
                      narrow_flat + narrow->params[b->weight].offset, each);
        }
        for (int v = 0; v < SL_COUNT(vectors); v++) {
            if (vectors[v][0] >= 0) {
                const struct sl_param *vector = &shared->params[vectors[v][0]];
                int64_t first =
                    vector->owner >= 0 ? 0 : first_of(shared, vector->axis_out, width);
                for_vector(shared_flat + vector->offset + first,
                           narrow_flat + narrow->params[vectors[v][1]].offset,
                           narrow->params[vectors[v][1]].count, each);
            }
        }
    }
}

static void copy_out(float *shared, float *dense)
{
    *dense = *shared;
}

static void add_in(float *shared, float *dense)
{
    *shared += *dense;
}

/* Random gradients for an output. */
static float *output_seed(const struct sl_device *device, int width)
{
    return kit_random(device, 10 + (uint32_t)width, (int64_t)KIT_BATCH * DIM);
}

/* ---- a narrow net alone ------------------------------------------------------------ */

struct alone {
    struct sl_net *net;
    struct sl_params *params;
    struct sl_stats *stats;
    float output[KIT_BATCH * DIM];
    double squares;
};

static struct sl_plan_config plan_config(const struct sl_net *net,
                                         const struct sl_device *device, int width,
                                         enum sl_role role, int groups)
{
    return (struct sl_plan_config){.net = net,
                                   .device = device,
                                   .width = width,
                                   .batch = KIT_BATCH,
                                   .role = role,
                                   .groups = groups,
                                   .output = net->embedding};
}

/* Forward, and backward when the role is TRAIN; gradients are added to params->diff. */
static double run_once(const struct sl_net *net, const struct sl_device *device,
                       int width, enum sl_role role, int groups, struct sl_params *params,
                       struct sl_stats *stats, int seed_of, float output[KIT_BATCH * DIM])
{
    const struct sl_plan_config config = plan_config(net, device, width, role, groups);
    struct kit_run run = kit_run_config(&config);
    float *pictures = kit_pictures(net, device);
    float *seed = output_seed(device, seed_of);
    double squares = 0.0;

    sl_exec_refresh(run.plan, params);
    memcpy(output, sl_exec_forward(run.plan, params, stats, pictures),
           sizeof(float) * KIT_BATCH * DIM);
    if (role == SL_ROLE_TRAIN) {
        squares = sl_exec_backward(run.plan, params, seed);
    }
    kit_run_end(&run);
    device->table->free(device->state, pictures);
    device->table->free(device->state, seed);
    return squares;
}

static struct alone run_alone(enum shape shape, const struct sl_net *shared,
                              const struct sl_params *from,
                              const struct sl_device *device, int width,
                              enum sl_role role, int groups)
{
    struct alone alone = {
        .net =
            make_net(shape, "1", (int)sl_multiplier_of(shared->widths.at[width], BASE))};

    alone.params = kit_params(alone.net, device);
    alone.stats = kit_stats(alone.net, device);
    for_pairs(shared, width, from->weight, alone.net, alone.params->weight, copy_out);
    alone.squares = run_once(alone.net, device, 0, role, groups, alone.params,
                             alone.stats, width, alone.output);
    return alone;
}

static void alone_end(struct alone *alone)
{
    sl_params_destroy(alone->params);
    sl_stats_destroy(alone->stats);
    sl_net_destroy(alone->net);
}

/* The statistics of one width are one range of the shared arrays. */
static int64_t stats_begin(const struct sl_net *net, int width)
{
    return net->stats_offset[width]; /* of norm 0 */
}

static int64_t stats_end(const struct sl_net *net, int width)
{
    return width + 1 < net->widths.n ? stats_begin(net, width + 1) : net->stats_total;
}

/* ---- items 2 and 3: the same bits, and the sum ------------------------------------- */

static void check_width(enum shape shape, const struct sl_device *device, int width,
                        int groups)
{
    struct sl_net *net = make_net(shape, widths_of(shape), BASE);
    struct sl_params *params = kit_params(net, device);
    struct sl_stats *stats = kit_stats(net, device);
    struct alone alone =
        run_alone(shape, net, params, device, width, SL_ROLE_TRAIN, groups);
    float output[KIT_BATCH * DIM];
    double squares =
        run_once(net, device, width, SL_ROLE_TRAIN, groups, params, stats, width, output);

    kit_same(output, alone.output, SL_COUNT(output));
    assert_memory_equal(&squares, &alone.squares, sizeof squares);
    /* Inside the block the same gradient, outside nothing. */
    float *expected = kit_alloc(device, (size_t)net->total * sizeof(float));
    for_pairs(net, width, expected, alone.net, alone.params->diff, add_in);
    kit_same(params->diff, expected, net->total);
    double sum = device->table->sum_squares(device->state, net->total, expected);
    assert_true(sum > 0.0 && fabs(squares - sum) < 1e-9 * sum);
    /* Running statistics: this width's like the narrow net's, the others' as they began.
     */
    int64_t begin = stats_begin(net, width);
    int64_t end = stats_end(net, width);
    assert_int_equal(end - begin, alone.net->stats_total);
    kit_same(stats->mean + begin, alone.stats->mean, end - begin);
    kit_same(stats->variance + begin, alone.stats->variance, end - begin);

    alone_end(&alone);
    device->table->free(device->state, expected);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
}

static void test_slice(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");

    for (int width = 0; width < 4; width++) {
        check_width(BASIC, &device, width, 1);
        check_width(BOTTLENECK, &device, width, 1);
        check_width(BOTTLENECK, &device, width, 2);
        if (width < 3) {
            check_width(APART, &device, width, 1);
        }
    }
    sl_device_close(&device);
}

/* Norms that are the identity but for epsilon: running statistics as they begin, scale 1,
 * shift 0. */
static void test_slice_identity_norm(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = make_net(BOTTLENECK, widths_text, BASE);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);

    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        for (int64_t j = 0; j < param->count && param->owner >= 0; j++) {
            params->weight[param->offset + j] =
                param->kind == SL_PARAM_SCALE ? 1.0f : 0.0f;
        }
    }
    for (int width = 0; width < net->widths.n; width++) {
        float output[KIT_BATCH * DIM];
        struct alone alone =
            run_alone(BOTTLENECK, net, params, &device, width, SL_ROLE_INFER, 1);
        run_once(net, &device, width, SL_ROLE_INFER, 1, params, stats, width, output);
        kit_same(output, alone.output, SL_COUNT(output));
        alone_end(&alone);
    }
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void check_sum(enum shape shape, const struct sl_device *device)
{
    struct sl_net *net = make_net(shape, widths_of(shape), BASE);
    struct sl_params *params = kit_params(net, device);
    struct sl_stats *stats = kit_stats(net, device);
    float *expected = kit_alloc(device, (size_t)net->total * sizeof(float));
    float output[KIT_BATCH * DIM];

    for (int width = 0; width < net->widths.n; width++) {
        struct alone alone =
            run_alone(shape, net, params, device, width, SL_ROLE_TRAIN, 1);
        for_pairs(net, width, expected, alone.net, alone.params->diff, add_in);
        alone_end(&alone);
        run_once(net, device, width, SL_ROLE_TRAIN, 1, params, stats, width, output);
    }
    kit_same(params->diff, expected, net->total);
    device->table->free(device->state, expected);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
}

static void test_gradient_sum(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");

    check_sum(BASIC, &device);
    check_sum(BOTTLENECK, &device);
    check_sum(APART, &device);
    sl_device_close(&device);
}

/* ---- disjoint slices --------------------------------------------------------------- */

/* The example of the published code: 128, 64 and 32 channels are [0,128), [32,96) and
 * [0,32). */
static void test_spans(void **state)
{
    (void)state;
    static const struct sl_span expected[] = {{0, 128}, {32, 64}, {0, 32}};
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    struct sl_widths widths = kit_widths("1,0.5,0.25");

    kit_ok(sl_net_create(&err, &widths, &net), &err);
    kit_ok(sl_net_slice(&err, net, SL_SLICES_DISJOINT), &err);
    int axis = sl_net_axis(net, "channels", 128, false);
    int fixed = sl_net_axis(net, "embedding", 128, true);
    for (int w = 0; w < 3; w++) {
        assert_memory_equal(&net->axes[axis].span[w], &expected[w], sizeof expected[w]);
        assert_memory_equal(&net->axes[fixed].span[w], &expected[0], sizeof expected[0]);
    }
    sl_net_destroy(net);
    widths = kit_widths("1,0.75,0.5");
    kit_ok(sl_net_create(&err, &widths, &net), &err);
    assert_int_equal(sl_net_slice(&err, net, SL_SLICES_DISJOINT), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "1.25"));
    sl_net_destroy(net);
}

/* ---- item 4: isolation ------------------------------------------------------------- */

static void test_norm_isolation(void **state)
{
    (void)state;
    enum { WIDTH = 2 }; /* 0.5 */
    struct sl_device device = kit_device("ref");
    struct sl_net *net = make_net(BASIC, widths_text, BASE);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    struct sl_stats *before = kit_stats(net, &device);
    float output[KIT_BATCH * DIM];

    run_once(net, &device, WIDTH, SL_ROLE_TRAIN, 1, params, stats, WIDTH, output);
    for (int width = 0; width < net->widths.n; width++) {
        int64_t begin = stats_begin(net, width);
        size_t bytes = (size_t)(stats_end(net, width) - begin) * sizeof(float);
        int64_t private = net->private_begin[width];
        double moved = device.table->sum_squares(
            device.state, net->private_end[width] - private, params->diff + private);
        bool same = memcmp(stats->mean + begin, before->mean + begin, bytes) == 0 &&
                    memcmp(stats->variance + begin, before->variance + begin, bytes) == 0;
        assert_true(same == (width != WIDTH));
        assert_true((moved > 0.0) == (width == WIDTH));
    }
    /* Evaluation reads statistics and moves none. */
    memcpy(before->mean, stats->mean, (size_t)net->stats_total * sizeof(float));
    memcpy(before->variance, stats->variance, (size_t)net->stats_total * sizeof(float));
    run_once(net, &device, WIDTH, SL_ROLE_INFER, 1, params, stats, WIDTH, output);
    kit_same(stats->mean, before->mean, net->stats_total);
    kit_same(stats->variance, before->variance, net->stats_total);

    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_stats_destroy(before);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- running statistics ------------------------------------------------------------ */

/* PyTorch's rule: new = 0.9 old + 0.1 batch, the batch's being the mean over groups of
 * mean and unbiased variance. */
static void test_running_statistics(void **state)
{
    (void)state;
    enum { GROUPS = 2, CHANNELS = 3, SIDE = 2, ROWS = KIT_BATCH / GROUPS * SIDE * SIDE };
    struct sl_device device = kit_device("ref");
    struct sl_error err = {0};
    struct sl_widths widths = kit_widths("1");
    struct sl_net *net = NULL;

    kit_ok(sl_net_create(&err, &widths, &net), &err);
    int x = sl_net_input(net, sl_net_axis(net, "picture", CHANNELS, true), SIDE, SIDE);
    x = sl_net_norm(net, "norm", x, SL_TAIL_NONE, -1, SL_INIT_ONE);
    x = sl_net_avgpool(net, "pool", x);
    kit_ok(sl_net_finish(&err, net, x, x, x), &err);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    float *pictures = kit_pictures(net, &device);
    const struct sl_plan_config config =
        plan_config(net, &device, 0, SL_ROLE_TARGET, GROUPS);
    struct kit_run run = kit_run_config(&config);

    sl_exec_refresh(run.plan, params);
    sl_exec_forward(run.plan, params, stats, pictures);
    for (int c = 0; c < CHANNELS; c++) {
        double running_mean = 0.0;
        double running_variance = 0.9;
        for (int g = 0; g < GROUPS; g++) {
            const float *at = pictures + g * ROWS * CHANNELS + c;
            double mean = 0.0;
            double squares = 0.0;
            for (int i = 0; i < ROWS; i++) {
                mean += (double)at[i * CHANNELS] / ROWS;
            }
            for (int i = 0; i < ROWS; i++) {
                squares +=
                    ((double)at[i * CHANNELS] - mean) * ((double)at[i * CHANNELS] - mean);
            }
            running_mean += 0.1 / GROUPS * mean;
            running_variance += 0.1 / GROUPS * squares / (ROWS - 1);
        }
        assert_true(fabs((double)stats->mean[c] - running_mean) < 1e-6);
        assert_true(fabs((double)stats->variance[c] - running_variance) < 1e-6);
    }
    kit_run_end(&run);
    device.table->free(device.state, pictures);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- roles ------------------------------------------------------------------------- */

/* TARGET computes what TRAIN computes and moves statistics alike. */
static void test_target_is_train(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = make_net(BOTTLENECK, widths_text, BASE);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats[2];
    float output[2][KIT_BATCH * DIM];
    static const enum sl_role roles[] = {SL_ROLE_TRAIN, SL_ROLE_TARGET};

    for (int i = 0; i < 2; i++) {
        stats[i] = kit_stats(net, &device);
        run_once(net, &device, 1, roles[i], 2, params, stats[i], 1, output[i]);
    }
    kit_same(output[0], output[1], SL_COUNT(output[0]));
    kit_same(stats[0]->mean, stats[1]->mean, net->stats_total);
    kit_same(stats[0]->variance, stats[1]->variance, net->stats_total);
    sl_stats_destroy(stats[0]);
    sl_stats_destroy(stats[1]);
    sl_params_destroy(params);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- the whole net against differences --------------------------------------------- */

/* The loss sum(output * seed) along a step from the parameters in one tensor's direction.
 */
struct slope {
    struct sl_net *net;
    const struct sl_device *device;
    struct kit_run run;
    struct sl_params *params;
    struct sl_stats *stats;
    float *pictures, *seed;
};

static double loss_at(struct slope *s)
{
    double loss = 0.0;

    sl_exec_refresh(s->run.plan, s->params);
    const float *output = sl_exec_forward(s->run.plan, s->params, s->stats, s->pictures);
    for (int i = 0; i < KIT_BATCH * DIM; i++) {
        loss += (double)output[i] * (double)s->seed[i];
    }
    return loss;
}

/* Moves one parameter by `step` along its unit gradient, away from the copy it began
 * with. */
static double loss_beside(struct slope *s, const struct sl_param *param,
                          const float *start, double norm, double step)
{
    float *weight = s->params->weight + param->offset;
    const float *diff = s->params->diff + param->offset;

    for (int64_t i = 0; i < param->count; i++) {
        weight[i] = (float)((double)start[i] + step * (double)diff[i] / norm);
    }
    double loss = loss_at(s);
    memcpy(weight, start, (size_t)param->count * sizeof(float));
    return loss;
}

/* Along its own gradient a parameter's slope is the gradient's length. In float and
 * across kinks that holds within a few percent; a wrong writer order, a lost branch or a
 * wrong slice is off by far more. */
static void check_slopes(enum shape shape, const struct sl_device *device, int width)
{
    enum { START_MAX = 1 << 14 };
    static float start[START_MAX];
    const double step = 1e-4;
    struct slope s = {.net = make_net(shape, widths_of(shape), BASE), .device = device};
    const struct sl_plan_config config =
        plan_config(s.net, device, width, SL_ROLE_TRAIN, 1);
    int checked = 0;

    s.run = kit_run_config(&config);
    s.params = kit_params(s.net, device);
    s.stats = kit_stats(s.net, device);
    s.pictures = kit_pictures(s.net, device);
    s.seed = output_seed(device, width);
    loss_at(&s);
    sl_exec_backward(s.run.plan, s.params, s.seed);
    for (int i = 0; i < s.net->n_params; i++) {
        const struct sl_param *param = &s.net->params[i];
        double norm = sqrt(device->table->sum_squares(device->state, param->count,
                                                      s.params->diff + param->offset));
        if (norm == 0.0) {
            assert_true(param->owner >= 0 && param->owner != width);
            continue;
        }
        assert_true(param->count <= START_MAX);
        memcpy(start, s.params->weight + param->offset,
               (size_t)param->count * sizeof(float));
        double slope = (loss_beside(&s, param, start, norm, step) -
                        loss_beside(&s, param, start, norm, -step)) /
                       (2.0 * step);
        if (fabs(slope - norm) > 0.08 * norm + 0.01) {
            fail_msg("%s: slope %g, gradient %g", param->name, slope, norm);
        }
        checked++;
    }
    assert_true(checked > 3 * s.net->n_norms);
    kit_run_end(&s.run);
    device->table->free(device->state, s.pictures);
    device->table->free(device->state, s.seed);
    sl_params_destroy(s.params);
    sl_stats_destroy(s.stats);
    sl_net_destroy(s.net);
}

static void test_slopes(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");

    check_slopes(BASIC, &device, 0);
    check_slopes(BASIC, &device, 2);
    check_slopes(BOTTLENECK, &device, 1);
    sl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice),          cmocka_unit_test(test_slice_identity_norm),
        cmocka_unit_test(test_gradient_sum),   cmocka_unit_test(test_spans),
        cmocka_unit_test(test_norm_isolation), cmocka_unit_test(test_target_is_train),
        cmocka_unit_test(test_slopes),         cmocka_unit_test(test_running_statistics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
