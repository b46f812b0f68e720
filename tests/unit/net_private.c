/* SPDX-License-Identifier: MIT */
/*
 * Linear ops with a weight and a bias for each width: names and shapes, places in the
 * private blocks, where they start, and, width by width, the outputs and gradients of a
 * net that has this width alone.
 */
#include "netkit.h"

enum { CLASSES = 5 };

/* Copies every tensor of `to` from the one that has its name in `from`. */
static void copy_named(const struct sl_net *to_net, float *to,
                       const struct sl_net *from_net, float *from)
{
    struct sl_error err = {0};
    struct sl_named_list a = {0};
    struct sl_named_list b = {0};
    kit_ok(sl_params_state(&err, to_net, to, "", &a), &err);
    kit_ok(sl_params_state(&err, from_net, from, "", &b), &err);
    for (int i = 0; i < a.n; i++) {
        const struct sl_named *source = sl_named_find(&b, a.items[i].name);
        assert_non_null(source);
        assert_int_equal(sl_tensor_bytes(&source->tensor),
                         sl_tensor_bytes(&a.items[i].tensor));
        memcpy(a.items[i].tensor.data, source->tensor.data,
               sl_tensor_bytes(&source->tensor));
    }
    sl_named_finish(&a);
    sl_named_finish(&b);
}

static void assert_dims(const struct sl_named_list *list, const char *name, int n_dims,
                        int64_t first, int64_t second)
{
    const struct sl_named *item = sl_named_find(list, name);
    assert_non_null(item);
    assert_int_equal(item->tensor.n_dims, n_dims);
    assert_int_equal(item->tensor.dims[0], first);
    assert_true(n_dims < 2 || item->tensor.dims[1] == second);
}

static void test_names_and_places(void **state)
{
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_net *net =
        kit_resnet("resnet8-b8", "1,0.5", 16, SL_HEAD_CLASSIFIERS, CLASSES);
    struct sl_params *params = kit_params(net, &device);
    struct sl_named_list list = {0};
    int64_t params_full = 0, params_half = 0, trunk = 0, macs = 0;
    (void)state;
    kit_ok(sl_params_state(&err, net, params->weight, "", &list), &err);
    assert_dims(&list, "head.0@1.weight", 2, CLASSES, 32);
    assert_dims(&list, "head.0@0.5.weight", 2, CLASSES, 16);
    assert_dims(&list, "head.0@1.bias", 1, CLASSES, 0);
    assert_dims(&list, "head.0@0.5.bias", 1, CLASSES, 0);
    assert_null(sl_named_find(&list, "head.0.weight"));
    assert_int_equal(list.n, net->n_params);
    const struct sl_op *op = &net->ops[net->values[net->embedding].producer];
    for (int w = 0; w < 2; w++) {
        const struct sl_param *weight = &net->params[sl_op_weight(op, w)];
        const struct sl_param *bias = &net->params[sl_op_bias(op, w)];
        assert_int_equal(weight->owner, w);
        assert_int_equal(bias->owner, w);
        assert_true(weight->offset >= net->private_begin[w] &&
                    weight->offset + weight->count <= net->private_end[w]);
    }
    sl_net_cost(net, net->features, 0, &trunk, &macs);
    sl_net_cost(net, net->embedding, 0, &params_full, &macs);
    assert_int_equal(params_full - trunk, CLASSES * 33);
    sl_net_cost(net, net->features, 1, &trunk, &macs);
    sl_net_cost(net, net->embedding, 1, &params_half, &macs);
    assert_int_equal(params_half - trunk, CLASSES * 17);
    sl_named_finish(&list);
    sl_params_destroy(params);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* Every tensor has numbers of its own, within the bounds of its own width; those of the
 * shared ones are what they are under a shared head. */
static void test_start_of_a_private_head(void **state)
{
    static const char *const names[] = {
        "head.0@1.weight",   "head.0@1.bias",   "head.2@1.weight",   "head.2@1.bias",
        "head.0@0.5.weight", "head.0@0.5.bias", "head.2@0.5.weight", "head.2@0.5.bias"};
    static const int64_t dims[][2] = {{32, 32}, {32, 0}, {5, 32}, {5, 0},
                                      {16, 16}, {16, 0}, {5, 16}, {5, 0}};
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_named_list list = {0};
    struct sl_params *params[2];
    const struct sl_net *nets[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 16,
                                        i == 0 ? SL_HEAD_SWITCH : SL_HEAD_MLP, CLASSES);
        nets[i] = net;
        kit_ok(sl_params_create(&err, net, &device, false, &params[i]), &err);
        kit_ok(sl_params_init(&err, params[i], KIT_SEED), &err);
    }
    kit_ok(sl_params_state(&err, nets[0], params[0]->weight, "", &list), &err);
    for (int i = 0; i < SL_COUNT(names); i++) {
        assert_dims(&list, names[i], dims[i][1] > 0 ? 2 : 1, dims[i][0], dims[i][1]);
        const struct sl_tensor *tensor = &sl_named_find(&list, names[i])->tensor;
        const float *values = tensor->data;
        float largest = 0.0F;
        for (int64_t k = 0; k < sl_tensor_count(tensor); k++) {
            float size = values[k] < 0.0F ? -values[k] : values[k];
            largest = size > largest ? size : largest;
        }
        /* 1 / sqrt(32) and 1 / sqrt(16) */
        float bound = i < 4 ? 0.17678F : 0.25F;
        assert_true(largest <= bound && largest > 0.5F * bound);
        for (int j = i / 4 * 4; j < i; j++) {
            const float *other = sl_named_find(&list, names[j])->tensor.data;
            assert_true(values[0] != other[0]);
        }
    }
    int64_t trunk = nets[0]->shared;
    kit_same(params[0]->weight, params[1]->weight, trunk);
    sl_named_finish(&list);
    for (int i = 0; i < 2; i++) {
        sl_params_destroy(params[i]);
        sl_net_destroy((struct sl_net *)nets[i]);
    }
    sl_device_close(&device);
}

static void check_each_width_alone(enum sl_head head)
{
    static const char *const alone[] = {"1", "0.5"};
    struct sl_error err = {0};
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 16, head, CLASSES);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    float *pictures = kit_alloc(&device, KIT_BATCH * 16 * 16 * 3 * sizeof(float));
    float *diff = kit_alloc(&device, KIT_BATCH * CLASSES * sizeof(float));
    sl_rng_fill_normal(KIT_SEED, SL_RNG_TEST, 900, 1.0F, (int64_t)KIT_BATCH * 16 * 16 * 3,
                       pictures);
    sl_rng_fill_normal(KIT_SEED, SL_RNG_TEST, 901, 1.0F, KIT_BATCH * CLASSES, diff);
    for (int w = 0; w < 2; w++) {
        struct sl_net *narrow = NULL;
        struct sl_resnet_config config = {.arch = "resnet8-b8",
                                          .image_size = 16,
                                          .channels = 3,
                                          .head = head,
                                          .dim = CLASSES};
        kit_ok(sl_widths_parse(&err, alone[w], false, "widths", &config.widths), &err);
        kit_ok(sl_resnet_build(&err, &config, &narrow), &err);
        struct sl_params *own = kit_params(narrow, &device);
        struct sl_stats *own_stats = kit_stats(narrow, &device);
        copy_named(narrow, own->weight, net, params->weight);
        struct sl_plan_config plan = {.net = net,
                                      .device = &device,
                                      .width = w,
                                      .batch = KIT_BATCH,
                                      .role = SL_ROLE_TRAIN,
                                      .groups = 1,
                                      .output = net->embedding};
        struct kit_run a = kit_run_config(&plan);
        plan.net = narrow;
        plan.width = 0;
        plan.output = narrow->embedding;
        struct kit_run b = kit_run_config(&plan);
        sl_exec_refresh(a.plan, params);
        sl_exec_refresh(b.plan, own);
        const float *x = sl_exec_forward(a.plan, params, stats, pictures);
        const float *y = sl_exec_forward(b.plan, own, own_stats, pictures);
        kit_same(x, y, KIT_BATCH * CLASSES);
        memset(params->diff, 0, (size_t)net->total * sizeof(float));
        memset(own->diff, 0, (size_t)narrow->total * sizeof(float));
        double squares = sl_exec_backward(a.plan, params, diff);
        assert_true(squares > 0.0 && squares == sl_exec_backward(b.plan, own, diff));
        /* The other width's own parameters got nothing. */
        for (int64_t i = net->private_begin[1 - w]; i < net->private_end[1 - w]; i++) {
            assert_true(params->diff[i] == 0.0F);
        }
        float *gradient = kit_alloc(&device, (size_t)narrow->total * sizeof(float));
        copy_named(narrow, gradient, net, params->diff);
        kit_same(gradient, own->diff, narrow->total);
        device.table->free(device.state, gradient);
        kit_run_end(&a);
        kit_run_end(&b);
        sl_stats_destroy(own_stats);
        sl_params_destroy(own);
        sl_net_destroy(narrow);
    }
    device.table->free(device.state, pictures);
    device.table->free(device.state, diff);
    sl_stats_destroy(stats);
    sl_params_destroy(params);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_a_width_is_a_net_of_its_own(void **state)
{
    (void)state;
    check_each_width_alone(SL_HEAD_CLASSIFIERS);
    check_each_width_alone(SL_HEAD_SWITCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_places),
        cmocka_unit_test(test_start_of_a_private_head),
        cmocka_unit_test(test_a_width_is_a_net_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
