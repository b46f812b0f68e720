/* SPDX-License-Identifier: MIT */
/*
 * Architectures by their published sizes: parameters and multiply-adds per width and head
 * (SlimCLR's ResNet-50 and CIFAR nets), the layout of the flat arrays, and what the
 * builders refuse. No number is computed by an op here.
 */
#include "netkit.h"

#include <math.h>

static int64_t cost(const struct sl_net *net, int value, int width, int64_t *macs)
{
    int64_t params = 0;

    sl_net_cost(net, value, width, &params, macs);
    return params;
}

/* ---- item 1: ResNet-50 ------------------------------------------------------------- */

static void test_resnet50_widths(void **state)
{
    (void)state;
    static const struct {
        int64_t conv, affine, with_classifier, macs;
    } table[] = {
        {23454912, 53120, 25557032, 4089184256},
        {13195152, 39840, 14771992, 2322677760},
        {5866080, 26560, 6917640, 1052311552},
        {1467696, 13280, 1993976, 278085632},
    };
    struct sl_net *net =
        kit_resnet("resnet50", "0.25,1,0.5,0.75", 224, SL_HEAD_CLASSIFIER, 1000);

    for (int w = 0; w < SL_COUNT(table); w++) {
        int64_t macs = 0;
        assert_int_equal(cost(net, net->features, w, &macs),
                         table[w].conv + table[w].affine);
        assert_int_equal(net->private_end[w] - net->private_begin[w], table[w].affine);
        assert_int_equal(cost(net, net->embedding, w, &macs), table[w].with_classifier);
        assert_int_equal(macs, table[w].macs);
        assert_int_equal(sl_net_channels(net, net->features, w), 2048 * (4 - w) / 4);
    }
    assert_int_equal(net->stats_total, 132800 / 2);
    sl_net_destroy(net);
}

static void test_resnet50_shared(void **state)
{
    (void)state;
    static const struct {
        const char *widths;
        int64_t total;
    } table[] = {
        {"1,0.75,0.5,0.25", 23587712}, {"1,0.5,0.25", 23547872}, {"1,0.5", 23534592}};

    for (int i = 0; i < SL_COUNT(table); i++) {
        struct sl_net *net =
            kit_resnet("resnet50", table[i].widths, 224, SL_HEAD_NONE, 0);
        assert_int_equal(net->total, table[i].total);
        assert_int_equal(net->shared, 23454912);
        assert_int_equal(net->embedding, net->features);
        sl_net_destroy(net);
    }
}

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        enum sl_head head;
        int dim;
        int64_t params;
    } table[] = {
        {SL_HEAD_MLP, 128, 4458624},    /* mocov2_slim */
        {SL_HEAD_SWITCH, 128, 8525312}, /* mocov2_switch */
        {SL_HEAD_CLASSIFIER, 1000, 2049000},
        {SL_HEAD_LINEAR, 128, 2048 * 128 + 128},
        {SL_HEAD_MOCOV3, 256, 9457664 + 2117632}, /* projector and predictor */
        {SL_HEAD_SIMCLR, 128, 4469760},
    };

    for (int i = 0; i < SL_COUNT(table); i++) {
        struct sl_net *net =
            kit_resnet("resnet50", "1,0.75,0.5,0.25", 224, table[i].head, table[i].dim);
        int64_t macs = 0;
        assert_int_equal(net->total - 23587712, table[i].params);
        /* At half width: half the inputs, and half the hidden units of the MLP. */
        int64_t d = 1024;
        int64_t expected = d * table[i].dim + table[i].dim;
        if (table[i].head == SL_HEAD_MLP || table[i].head == SL_HEAD_SWITCH) {
            expected += d * d + d;
        } else if (table[i].head == SL_HEAD_MOCOV3) {
            expected = d * 2048 + 2 * 2048 + 2048 * 256; /* the last norm is bare */
            expected += 256 * 2048 + 2 * 2048 + 2048 * 256;
        } else if (table[i].head == SL_HEAD_SIMCLR) {
            expected = d * 1024 + 1024 + 2 * 1024 + 1024 * 128 + 2 * 128;
        }
        assert_int_equal(cost(net, net->embedding, 2, &macs) -
                             cost(net, net->features, 2, &macs),
                         expected);
        sl_net_destroy(net);
    }
}

/* The network of SlimCLR's CIFAR-10 experiments: 4,361,216 parameters, 647.7 and 162.4
 * million multiply-adds; a ReLU before the shortcut joins costs neither. */
static void test_slimclr_cifar(void **state)
{
    (void)state;
    static const double millions[] = {647.7, 162.4};
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_resnet_config config = {.arch = "resnet20x4",
                                            .widths = kit_widths("1,0.5"),
                                            .image_size = 32,
                                            .channels = 3,
                                            .block = SL_BLOCK_SLIMCLR_CIFAR,
                                            .head = SL_HEAD_LINEAR,
                                            .dim = 128};
    int added = 0;

    kit_ok(sl_resnet_build(&err, &config, &net), &err);
    assert_int_equal(net->total, 4361216);
    for (int w = 0; w < 2; w++) {
        int64_t macs = 0;
        (void)cost(net, net->embedding, w, &macs);
        assert_true(fabs((double)macs / 1e6 - millions[w]) < 0.05);
    }
    for (int i = 0; i < net->n_ops; i++) {
        const struct sl_op *op = &net->ops[i];
        assert_true(op->kind != SL_OP_NORM || op->tail != SL_TAIL_ADD_RELU);
        added += op->kind == SL_OP_RELU && op->added >= 0;
    }
    assert_int_equal(added, 9);
    sl_net_destroy(net);
}

/* Torchvision's counts of the others, with 1000 classes. */
static void test_imagenet_family(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        int64_t params, macs;
    } table[] = {
        {"resnet18", 11689512, 1814073344},
        {"resnet34", 21797672, 3663761408},
        {"resnet101", 44549160, 7801405440},
        {"resnet152", 60192808, 11513626624},
    };

    for (int i = 0; i < SL_COUNT(table); i++) {
        struct sl_net *net =
            kit_resnet(table[i].arch, "1", 224, SL_HEAD_CLASSIFIER, 1000);
        int64_t macs = 0;
        assert_int_equal(cost(net, net->embedding, 0, &macs), table[i].params);
        assert_int_equal(macs, table[i].macs);
        assert_int_equal(net->total, table[i].params);
        sl_net_destroy(net);
    }
}

/* ---- 19.18 and the CIFAR family ---------------------------------------------------- */

static void test_resnet20x4(void **state)
{
    (void)state;
    struct sl_net *net = kit_resnet("resnet20x4", "1,0.5", 32, SL_HEAD_LINEAR, 128);
    int64_t macs[2] = {0};

    assert_int_equal(net->total, 4361216);
    cost(net, net->embedding, 0, &macs[0]);
    cost(net, net->embedding, 1, &macs[1]);
    /* 647.7 M and 162.4 M */
    assert_int_equal((macs[0] + 50000) / 100000, 6477);
    assert_int_equal((macs[1] + 50000) / 100000, 1624);
    sl_net_destroy(net);
}

/* By hand for depth 8, base 8, pictures of 16 px, width 0.5: channels 4, 8, 16. */
static void test_resnet8(void **state)
{
    (void)state;
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 16, SL_HEAD_LINEAR, 10);
    const int64_t convs = 9 * (3 * 4 + 4 * 4 + 4 * 4) + (9 * (4 * 8 + 8 * 8) + 4 * 8) +
                          (9 * (8 * 16 + 16 * 16) + 8 * 16);
    const int64_t norms = 2 * (3 * 4 + 3 * 8 + 3 * 16);
    const int64_t expected_macs = 256 * 9 * (3 * 4 + 4 * 4 + 4 * 4) +
                                  64 * (9 * (4 * 8 + 8 * 8) + 4 * 8) +
                                  16 * (9 * (8 * 16 + 16 * 16) + 8 * 16) + 16 * 10;
    int64_t macs = 0;

    assert_int_equal(cost(net, net->embedding, 1, &macs), convs + norms + 16 * 10 + 10);
    assert_int_equal(macs, expected_macs);
    assert_int_equal(net->n_norms, 9);
    assert_int_equal(net->private_end[1] - net->private_begin[1], norms);
    sl_net_destroy(net);
}

/* Truncation in integers: 0.3 of 10 is 3, which floating point may miss; 1/3 of 64 is 21,
 * its middle too. */
static void test_truncation(void **state)
{
    (void)state;
    struct sl_net *net = kit_resnet("resnet8-b10", "1,0.3", 16, SL_HEAD_NONE, 0);

    assert_int_equal(sl_net_channels(net, net->ops[0].dst, 1), 3);
    assert_int_equal(sl_net_channels(net, net->features, 1), 12);
    sl_net_destroy(net);
    net = kit_resnet("resnet50", "1,1/3", 64, SL_HEAD_NONE, 0);
    for (int i = 0; i < net->n_ops; i++) {
        const struct sl_op *op = &net->ops[i];
        if (strcmp(op->name, "encoder.layer1.0.conv3") == 0) {
            assert_int_equal(sl_net_channels(net, op->dst, 1), 85);
            assert_int_equal(sl_net_channels(net, op->src, 1), 85 / 4);
        }
    }
    sl_net_destroy(net);
}

/* ---- layout and names -------------------------------------------------------------- */

static void test_layout(void **state)
{
    (void)state;
    struct sl_net *net = kit_resnet("resnet20", "1,0.75,0.5,0.25", 32, SL_HEAD_MLP, 16);
    int64_t end[SL_WIDTHS_MAX + 1] = {0};

    for (int w = 0; w < net->widths.n; w++) {
        assert_int_equal(net->private_begin[w],
                         w == 0 ? net->shared : net->private_end[w - 1]);
        end[w + 1] = net->private_begin[w];
    }
    assert_int_equal(net->private_end[net->widths.n - 1], net->total);
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        assert_int_equal(param->offset, end[param->owner + 1]);
        end[param->owner + 1] += param->count;
    }
    assert_int_equal(end[0], net->shared);
    assert_string_equal(net->params[0].name, "encoder.conv1.weight");
    assert_string_equal(net->params[1].name, "encoder.norm1@1.scale");
    assert_string_equal(net->params[4].name, "encoder.norm1@0.75.shift");
    assert_string_equal(net->params[9].name, "encoder.layer1.0.conv1.weight");
    assert_string_equal(net->params[net->n_params - 1].name, "head.2.bias");
    sl_net_destroy(net);
}

static void test_state_names(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet20", "1,0.75", 32, SL_HEAD_MLP, 16);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    struct sl_named_list list = {0};
    int64_t count = 0;

    kit_ok(sl_params_state(&err, net, params->weight, "target.", &list), &err);
    for (int i = 0; i < list.n; i++) {
        count += sl_tensor_count(&list.items[i].tensor);
    }
    assert_int_equal(list.n, net->n_params);
    assert_int_equal(count, net->total);
    const struct sl_named *conv =
        sl_named_find(&list, "target.encoder.layer2.0.downsample.conv.weight");
    assert_non_null(conv);
    assert_int_equal(conv->tensor.n_dims, 4);
    assert_int_equal(conv->tensor.dims[0], 32);
    assert_int_equal(conv->tensor.dims[1], 16);
    assert_int_equal(conv->tensor.dims[3], 1);
    const struct sl_named *linear = sl_named_find(&list, "target.head.2.weight");
    assert_non_null(linear);
    assert_int_equal(linear->tensor.n_dims, 2);
    assert_int_equal(linear->tensor.dims[0], 16);
    assert_int_equal(linear->tensor.dims[1], 64);
    kit_ok(sl_stats_state(&err, stats, "", &list), &err);
    assert_int_equal(list.n, net->n_params + 2 * 2 * net->n_norms);
    const struct sl_named *mean = sl_named_find(&list, "encoder.norm1@0.75.running_mean");
    const struct sl_named *variance =
        sl_named_find(&list, "encoder.layer3.2.norm2@1.running_variance");
    assert_non_null(mean);
    assert_non_null(variance);
    assert_int_equal(mean->tensor.dims[0], 12);
    assert_int_equal(variance->tensor.dims[0], 64);
    assert_true(*(const float *)mean->tensor.data == 0.0f);
    assert_true(*(const float *)variance->tensor.data == 1.0f);
    sl_named_finish(&list);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_print(void **state)
{
    (void)state;
    struct sl_net *net = kit_resnet("resnet20", "1,0.5", 32, SL_HEAD_MLP, 16);
    struct sl_text text = {0};
    int lines = 0;

    sl_net_print(net, &text);
    for (const char *at = text.text; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    assert_int_equal(lines, net->n_ops);
    assert_non_null(strstr(text.text, "encoder.conv1"));
    assert_non_null(strstr(text.text, "conv 3x3/2"));
    assert_non_null(strstr(text.text, "32x32x16,8 -> 16x16x32,16"));
    assert_non_null(strstr(text.text, "1x1x64,32 -> 1x1x16\n"));
    sl_text_finish(&text);
    sl_net_destroy(net);
}

/* ---- the keyed start --------------------------------------------------------------- */

static struct sl_params *started(const struct sl_net *net, const struct sl_device *device)
{
    struct sl_error err = {0};
    struct sl_params *params = NULL;

    kit_ok(sl_params_create(&err, net, device, false, &params), &err);
    kit_ok(sl_params_init(&err, params, 3), &err);
    return params;
}

static const struct sl_param *param_named(const struct sl_net *net, const char *name)
{
    for (int i = 0; i < net->n_params; i++) {
        if (strcmp(net->params[i].name, name) == 0) {
            return &net->params[i];
        }
    }
    fail_msg("no parameter %s", name);
    return NULL;
}

/* Mean square and largest absolute value. */
static void moments(const struct sl_params *params, const char *name, double *square,
                    double *most)
{
    const struct sl_param *param = param_named(params->net, name);
    const float *at = params->weight + param->offset;

    *square = *most = 0.0;
    for (int64_t i = 0; i < param->count; i++) {
        double value = at[i] < 0.0f ? -(double)at[i] : (double)at[i];
        *square += value * value / (double)param->count;
        *most = value > *most ? value : *most;
    }
}

static void check_square(const struct sl_params *params, const char *name,
                         double expected)
{
    double square = 0.0;
    double most = 0.0;

    moments(params, name, &square, &most);
    if (square < 0.95 * expected || square > 1.05 * expected) {
        fail_msg("%s: mean square %g, expected %g", name, square, expected);
    }
}

static void check_all(const struct sl_params *params, const char *name, float expected)
{
    const struct sl_param *param = param_named(params->net, name);

    for (int64_t i = 0; i < param->count; i++) {
        assert_true(params->weight[param->offset + i] == expected);
    }
}

static void test_start(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *small = kit_resnet("resnet20", "1,0.5", 32, SL_HEAD_MLP, 128);
    struct sl_params *params = started(small, &device);
    double square = 0.0;
    double most = 0.0;

    assert_null(params->diff);
    check_square(params, "encoder.layer3.1.conv1.weight", 2.0 / (9 * 64));
    check_square(params, "head.2.weight", 1.0 / (3 * 64)); /* U(-1/8, 1/8) */
    moments(params, "head.2.weight", &square, &most);
    assert_true(most <= 0.125 && most > 0.12);
    moments(params, "head.2.bias", &square, &most);
    assert_true(most <= 0.125 && most > 0.1);
    check_all(params, "encoder.layer1.0.norm2@0.5.scale", 1.0f); /* no zero start here */
    check_all(params, "encoder.layer1.0.norm2@1.shift", 0.0f);
    /* A function of the seed: again the same, with another seed another. */
    struct sl_params *again = started(small, &device);
    struct sl_error err = {0};
    kit_same(params->weight, again->weight, small->total);
    kit_ok(sl_params_init(&err, again, 4), &err);
    assert_true(params->weight[0] != again->weight[0]);
    /* And not of the list of widths: shared parameters, which come first in the flat
     * array, start from the same bits whatever is trained besides the full width. */
    const char *const lists[] = {"1", "1,0.75,0.5,0.25"};
    for (int i = 0; i < SL_COUNT(lists); i++) {
        struct sl_net *other = kit_resnet("resnet20", lists[i], 32, SL_HEAD_MLP, 128);
        struct sl_params *theirs = started(other, &device);
        assert_true(other->n_params != small->n_params);
        assert_int_equal(other->shared, small->shared);
        kit_same(params->weight, theirs->weight, small->shared);
        sl_params_destroy(theirs);
        sl_net_destroy(other);
    }
    sl_params_destroy(params);
    sl_params_destroy(again);
    sl_net_destroy(small);

    struct sl_net *large = kit_resnet("resnet50", "1,0.5", 224, SL_HEAD_MLP, 128);
    params = started(large, &device);
    check_square(params, "encoder.conv1.weight", 2.0 / (49 * 64));
    check_square(params, "encoder.layer2.0.downsample.conv.weight", 2.0 / 512);
    check_square(params, "head.0.weight", 1e-4);
    check_all(params, "head.0.bias", 0.0f);
    check_all(params, "encoder.layer1.0.norm3@0.5.scale", 0.0f);
    check_all(params, "encoder.layer1.0.norm2@0.5.scale", 1.0f);
    check_all(params, "encoder.layer1.0.downsample.norm@1.scale", 1.0f);
    sl_params_destroy(params);
    sl_net_destroy(large);
    sl_device_close(&device);
}

/* ---- what is refused --------------------------------------------------------------- */

static void refused(struct sl_resnet_config config, const char *word)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    int64_t held = sl_heap_bytes();

    assert_int_equal(sl_resnet_build(&err, &config, &net), SL_ERROR_USAGE);
    assert_null(net);
    assert_int_equal(sl_heap_bytes(), held);
    if (strstr(err.text, word) == NULL) {
        fail_msg("\"%s\" does not say %s", err.text, word);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const unknown[] = {"resnet",
                                          "resnet19",
                                          "resnet20x0",
                                          "resnet20x",
                                          "resnet20x4x",
                                          "resnet50x2",
                                          "resnet9-b8",
                                          "resnet8-b0",
                                          "resnet8-b",
                                          "resnet8",
                                          "resnet020",
                                          "vgg16",
                                          "resnet20x99",
                                          "resnet18 ",
                                          "resnet2-b8",
                                          "resnet8-b+8",
                                          "resnet20x-1",
                                          "",
                                          "resnet99999999999999999999",
                                          "resnet20x4-b8"};
    const struct sl_resnet_config good = {.arch = "resnet18",
                                          .widths = kit_widths("1,0.5"),
                                          .image_size = 224,
                                          .channels = 3,
                                          .head = SL_HEAD_MLP,
                                          .dim = 128};
    struct sl_resnet_config config = good;

    for (int i = 0; i < SL_COUNT(unknown); i++) {
        config.arch = unknown[i];
        refused(config, "resnet110");
    }
    config = good;
    config.arch = "resnet20";
    config.stem = SL_STEM_IMAGENET;
    refused(config, "small stem");
    config = good;
    config.stem = SL_STEM_IMAGENET;
    config.image_size = 31;
    refused(config, "at least 32 px");
    config = good;
    config.image_size = 7;
    refused(config, "at least 8 px");
    config = good;
    config.arch = "resnet8-b2";
    config.image_size = 16;
    config.widths = kit_widths("1,0.25");
    refused(config, "width 0.25 leaves axis stem");
    config = good;
    config.block = SL_BLOCK_SLIMCLR_CIFAR;
    refused(config, "--block slimclr-cifar");
    config = good;
    config.dim = 0;
    refused(config, "outputs");
    config = good;
    config.channels = 0;
    refused(config, "channels");
}

static void test_known(void **state)
{
    (void)state;
    int n = 0;

    for (; sl_resnet_name(n) != NULL; n++) {
        struct sl_net *net = kit_resnet(sl_resnet_name(n), "1,0.5", 32, SL_HEAD_MLP, 8);
        sl_net_destroy(net);
    }
    assert_int_equal(n, 10);
    assert_null(sl_resnet_name(-1));
    assert_true(sl_resnet_is_bottleneck("resnet50"));
    assert_false(sl_resnet_is_bottleneck("resnet34"));
    assert_false(sl_resnet_is_bottleneck("resnet56"));
    assert_false(sl_resnet_is_bottleneck("nonsense"));
}

/* ---- the builder's own rules ------------------------------------------------------- */

typedef int (*append_fn)(struct sl_net *net, int input, int conv);

static int bad_window(struct sl_net *net, int input, int conv)
{
    (void)conv;
    return sl_net_conv(net, "bad", input, 0, 9, 1, 0);
}

static int bad_pad(struct sl_net *net, int input, int conv)
{
    (void)conv;
    return sl_net_maxpool(net, "bad", input, 2, 2, 2);
}

static int bad_linear(struct sl_net *net, int input, int conv)
{
    (void)input;
    return sl_net_linear(net, "bad", conv, 0, true, SL_INIT_ZERO, SL_INIT_ZERO);
}

static int bad_added(struct sl_net *net, int input, int conv)
{
    (void)input;
    return sl_net_norm(net, "bad", conv, SL_TAIL_ADD_RELU, conv, SL_INIT_ONE);
}

static int bad_added_shape(struct sl_net *net, int input, int conv)
{
    int other = sl_net_conv(net, "other", input, 0, 3, 2, 1);

    return sl_net_norm(net, "bad", other, SL_TAIL_ADD_RELU, conv, SL_INIT_ONE);
}

static int bad_tail(struct sl_net *net, int input, int conv)
{
    (void)input;
    return sl_net_norm(net, "bad", conv, SL_TAIL_RELU, conv, SL_INIT_ONE);
}

static int bad_name(struct sl_net *net, int input, int conv)
{
    (void)input;
    return sl_net_relu(net, "conv", conv);
}

static int bad_value(struct sl_net *net, int input, int conv)
{
    (void)input;
    (void)conv;
    return sl_net_relu(net, "bad", 17);
}

static int bad_axis(struct sl_net *net, int input, int conv)
{
    (void)conv;
    return sl_net_conv(net, "bad", input, 5, 3, 1, 1);
}

static int second_input(struct sl_net *net, int input, int conv)
{
    (void)input;
    (void)conv;
    return sl_net_input(net, 0, 8, 8);
}

static void test_builder_rules(void **state)
{
    (void)state;
    static const append_fn appends[] = {
        bad_window, bad_pad,  bad_linear, bad_added, bad_added_shape,
        bad_tail,   bad_name, bad_value,  bad_axis,  second_input};
    struct sl_widths widths = kit_widths("1,0.5");

    for (int i = 0; i < SL_COUNT(appends); i++) {
        struct sl_error err = {0};
        struct sl_net *net = NULL;
        kit_ok(sl_net_create(&err, &widths, &net), &err);
        int axis = sl_net_axis(net, "axis", 8, false);
        int input = sl_net_input(net, axis, 8, 8);
        int conv = sl_net_conv(net, "conv", input, axis, 3, 1, 1);
        int bad = appends[i](net, input, conv);
        assert_int_equal(bad, -1);
        /* What follows a failure is silent, and the first message survives. */
        int pool = sl_net_avgpool(net, "pool", bad);
        assert_int_equal(pool, -1);
        assert_int_equal(sl_net_finish(&err, net, pool, pool, pool), SL_ERROR_USAGE);
        assert_true(strstr(err.text, "pool:") == NULL);
        sl_net_destroy(net);
    }
}

/* Every allocation of a builder may fail; nothing leaks. */
static void test_out_of_memory(void **state)
{
    (void)state;
    const struct sl_resnet_config config = {.arch = "resnet110",
                                            .widths = kit_widths("1,0.5"),
                                            .image_size = 32,
                                            .channels = 3,
                                            .head = SL_HEAD_MLP,
                                            .dim = 128};
    int64_t held = sl_heap_bytes();
    enum sl_status status = SL_ERROR_RUN;
    int k = 0;

    while (status != SL_OK) {
        struct sl_error err = {0};
        struct sl_net *net = NULL;
        sl_heap_fail_at(++k);
        status = sl_resnet_build(&err, &config, &net);
        sl_heap_fail_at(0);
        assert_true(status == SL_OK || status == SL_ERROR_RUN);
        sl_net_destroy(net);
        assert_int_equal(sl_heap_bytes(), held);
    }
    assert_true(k > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet50_widths), cmocka_unit_test(test_resnet50_shared),
        cmocka_unit_test(test_heads),           cmocka_unit_test(test_slimclr_cifar),
        cmocka_unit_test(test_imagenet_family), cmocka_unit_test(test_resnet20x4),
        cmocka_unit_test(test_resnet8),         cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_layout),          cmocka_unit_test(test_state_names),
        cmocka_unit_test(test_print),           cmocka_unit_test(test_start),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_known),
        cmocka_unit_test(test_builder_rules),   cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
