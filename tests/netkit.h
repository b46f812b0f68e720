/* SPDX-License-Identifier: MIT */
/*
 * What tests of nets share: a small net on the reference backend with random parameters,
 * and one plan of it with its own block. Failures to set up end the test at once. The
 * invariant: two kits made with the same arguments hold the same numbers.
 */
#ifndef TESTS_NETKIT_H
#define TESTS_NETKIT_H

#include "base/base.h"
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { KIT_BATCH = 4, KIT_SEED = 11 };

/* Ends the test with the message of a failure that was not meant to be. */
static inline void kit_ok(enum sl_status status, const struct sl_error *err)
{
    if (status != SL_OK) {
        fail_msg("%s", err->text);
    }
}

static inline struct sl_widths kit_widths(const char *text)
{
    struct sl_error err = {0};
    struct sl_widths widths;

    kit_ok(sl_widths_parse(&err, text, true, "widths", &widths), &err);
    return widths;
}

static inline struct sl_device kit_device(const char *name)
{
    struct sl_error err = {0};
    struct sl_device device;

    kit_ok(
        sl_device_open(&err, name, &(struct sl_backend_options){.threads = 1}, &device),
        &err);
    return device;
}

static inline bool kit_has_backend(const char *name)
{
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        if (strcmp(sl_backend_name(i), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Runs a check on each backend of this build. */
static inline void kit_each_backend(void (*check)(const char *device))
{
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        check(sl_backend_name(i));
    }
}

static inline void *kit_alloc(const struct sl_device *device, size_t bytes)
{
    struct sl_error err = {0};
    void *memory = NULL;

    kit_ok(device->table->alloc(&err, device->state, "test", bytes, &memory), &err);
    return memory;
}

static inline struct sl_net *kit_resnet(const char *arch, const char *widths,
                                        int image_size, enum sl_head head, int dim)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_resnet_config config = {.arch = arch,
                                            .widths = kit_widths(widths),
                                            .image_size = image_size,
                                            .channels = 3,
                                            .head = head,
                                            .dim = dim};

    kit_ok(sl_resnet_build(&err, &config, &net), &err);
    return net;
}

/* One bottleneck of the small net below. */
static inline int kit_bottleneck(struct sl_net *net, const char *block, int src, int mid,
                                 int out, int stride, bool project)
{
    char name[SL_NAME_MAX];
    int x = src;
    int added = src;

    snprintf(name, sizeof name, "%s.conv1", block);
    x = sl_net_conv(net, name, x, mid, 1, 1, 0);
    snprintf(name, sizeof name, "%s.norm1", block);
    x = sl_net_norm(net, name, x, SL_TAIL_RELU, -1, SL_INIT_ONE);
    snprintf(name, sizeof name, "%s.conv2", block);
    x = sl_net_conv(net, name, x, mid, 3, stride, 1);
    snprintf(name, sizeof name, "%s.norm2", block);
    x = sl_net_norm(net, name, x, SL_TAIL_RELU, -1, SL_INIT_ONE);
    snprintf(name, sizeof name, "%s.conv3", block);
    x = sl_net_conv(net, name, x, out, 1, 1, 0);
    if (project) {
        snprintf(name, sizeof name, "%s.downsample.conv", block);
        added = sl_net_conv(net, name, src, out, 1, stride, 0);
        snprintf(name, sizeof name, "%s.downsample.norm", block);
        added = sl_net_norm(net, name, added, SL_TAIL_NONE, -1, SL_INIT_ONE);
    }
    snprintf(name, sizeof name, "%s.norm3", block);
    return sl_net_norm(net, name, x, SL_TAIL_ADD_RELU, added, SL_INIT_ZERO);
}

/* A net with every kind of op, of `base` channels: 7x7 stem with max pooling, three
 * bottlenecks of which one keeps its shape, and a head of two linear ops, the second
 * without bias. Pictures of 16 px. */
static inline struct sl_net *kit_all_ops(const char *widths, int base)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    struct sl_widths list = kit_widths(widths);

    kit_ok(sl_net_create(&err, &list, &net), &err);
    int stem = sl_net_axis(net, "stem", base, false);
    int mid = sl_net_axis(net, "mid", base, false);
    int out = sl_net_axis(net, "out", 4 * base, false);
    int hidden = sl_net_axis(net, "hidden", 2 * base, false);
    int embedding = sl_net_axis(net, "embedding", 5, true);
    int x = sl_net_input(net, sl_net_axis(net, "picture", 3, true), 16, 16);
    x = sl_net_conv(net, "stem.conv", x, stem, 7, 2, 3);
    x = sl_net_norm(net, "stem.norm", x, SL_TAIL_RELU, -1, SL_INIT_ONE);
    x = sl_net_maxpool(net, "stem.pool", x, 3, 2, 1);
    x = kit_bottleneck(net, "a", x, mid, out, 1, true);
    x = kit_bottleneck(net, "b", x, mid, out, 1, false);
    x = kit_bottleneck(net, "c", x, mid, out, 2, true);
    int features = sl_net_avgpool(net, "pool", x);
    x = sl_net_linear(net, "head.0", features, hidden, true, SL_INIT_FAN_IN,
                      SL_INIT_FAN_IN);
    x = sl_net_relu(net, "head.1", x);
    x = sl_net_linear(net, "head.2", x, embedding, false, SL_INIT_FAN_IN, SL_INIT_ZERO);
    kit_ok(sl_net_finish(&err, net, features, x, x), &err);
    return net;
}

/* Parameters in which every value is random: nothing hides behind a zero or a one. */
static inline struct sl_params *kit_params(const struct sl_net *net,
                                           const struct sl_device *device)
{
    struct sl_error err = {0};
    struct sl_params *params = NULL;

    kit_ok(sl_params_create(&err, net, device, true, &params), &err);
    kit_ok(sl_params_init(&err, params, KIT_SEED), &err);
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        float *at = params->weight + param->offset;
        if (param->kind == SL_PARAM_SCALE) {
            sl_rng_fill_uniform(KIT_SEED, SL_RNG_TEST, (uint32_t)i, 0.5, 1.5,
                                param->count, at);
        } else if (param->kind != SL_PARAM_WEIGHT) {
            sl_rng_fill_uniform(KIT_SEED, SL_RNG_TEST, (uint32_t)i, -0.5, 0.5,
                                param->count, at);
        }
    }
    return params;
}

static inline struct sl_stats *kit_stats(const struct sl_net *net,
                                         const struct sl_device *device)
{
    struct sl_error err = {0};
    struct sl_stats *stats = NULL;

    kit_ok(sl_stats_create(&err, net, device, &stats), &err);
    return stats;
}

/* Normal numbers; `key` tells one set from another. */
static inline float *kit_random(const struct sl_device *device, uint32_t key,
                                int64_t count)
{
    float *values = kit_alloc(device, (size_t)count * sizeof(float));

    sl_rng_fill_normal(KIT_SEED, SL_RNG_TEST, 1000000 + key, 1.0f, count, values);
    return values;
}

static inline float *kit_pictures(const struct sl_net *net,
                                  const struct sl_device *device)
{
    const struct sl_value *input = &net->values[net->input];

    return kit_random(device, 0,
                      (int64_t)KIT_BATCH * input->height * input->width *
                          sl_net_channels(net, net->input, 0));
}

/* A plan attached to a block of its own. */
struct kit_run {
    const struct sl_device *device;
    struct sl_plan *plan;
    unsigned char *block;
    size_t bytes;
};

static inline struct kit_run kit_run_config(const struct sl_plan_config *config)
{
    struct sl_error err = {0};
    struct kit_run run = {.device = config->device};

    kit_ok(sl_plan_create(&err, config, &run.plan), &err);
    run.bytes = sl_plan_bytes(run.plan);
    run.block = kit_alloc(run.device, run.bytes);
    sl_plan_attach(run.plan, run.block);
    return run;
}

static inline struct kit_run kit_run_at(const struct sl_net *net,
                                        const struct sl_device *device, int width,
                                        enum sl_role role)
{
    return kit_run_config(&(struct sl_plan_config){.net = net,
                                                   .device = device,
                                                   .width = width,
                                                   .batch = KIT_BATCH,
                                                   .role = role,
                                                   .groups = 1,
                                                   .output = net->embedding});
}

static inline void kit_run_end(struct kit_run *run)
{
    sl_plan_destroy(run->plan);
    run->device->table->free(run->device->state, run->block);
}

static inline void kit_same(const float *a, const float *b, int64_t count)
{
    assert_memory_equal(a, b, (size_t)count * sizeof(float));
}

#endif
