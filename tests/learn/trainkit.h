/* SPDX-License-Identifier: MIT */
/*
 * What tests of the trainer share: a tiny four-width net, a configuration, keyed batches
 * and a copy of the whole state. Batches are normal numbers, a function of the step
 * alone.
 */
#ifndef TESTS_LEARN_TRAINKIT_H
#define TESTS_LEARN_TRAINKIT_H

#include "learn/learn.h"
#include "netkit.h"

enum { TINY_BATCH = 8, TINY_IMAGE = 8, TINY_QUEUE = 24, TINY_DIM = 8 };
enum {
    TINY_PICTURE = TINY_IMAGE * TINY_IMAGE * 3,
    TINY_VIEW = TINY_BATCH * TINY_PICTURE
};

struct tiny {
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_named_list state;
    int64_t state_bytes;
    float views[2][TINY_VIEW];
};

static inline struct sl_trainer_config tiny_config(void)
{
    struct sl_trainer_config config = {
        .method = sl_method_find("mocov2"),
        .batch = TINY_BATCH,
        .seed = 5,
        .total_steps = 100,
        .lr = {.schedule = SL_LR_COSINE,
               .peak = 0.05,
               .second_from = INT64_MAX,
               .total_steps = 100},
        .optim = {.momentum = 0.9, .weight_decay = 5e-4},
        .queue = TINY_QUEUE,
        .ema_momentum = 0.9,
        .temperature = 0.2,
        .bn_splits = 1,
        .distill = SL_DISTILL_SEED,
        .distill_weight = 0.5,
        .distill_temperature = 5.0,
        .width_weights = {2.5, 1, 1, 1},
    };
    return config;
}

static inline struct tiny *tiny_start_head(const char *device, const char *widths,
                                           enum sl_head head,
                                           const struct sl_trainer_config *config)
{
    struct sl_error err = {0};
    struct tiny *tiny = NULL;

    kit_ok(sl_heap_alloc(&err, "tiny", 1, sizeof *tiny, &tiny), &err);
    tiny->device = kit_device(device);
    tiny->net = kit_resnet("resnet8-b8", widths, TINY_IMAGE, head, TINY_DIM);
    kit_ok(sl_trainer_create(&err, config, tiny->net, &tiny->device, &tiny->trainer),
           &err);
    kit_ok(sl_trainer_state(&err, tiny->trainer, &tiny->state), &err);
    for (int i = 0; i < tiny->state.n; i++) {
        tiny->state_bytes += (int64_t)sl_tensor_bytes(&tiny->state.items[i].tensor);
    }
    return tiny;
}

static inline struct tiny *tiny_start(const char *device, const char *widths,
                                      const struct sl_trainer_config *config)
{
    return tiny_start_head(device, widths, SL_HEAD_MLP, config);
}

static inline void tiny_end(struct tiny *tiny)
{
    sl_named_finish(&tiny->state);
    sl_trainer_destroy(tiny->trainer);
    sl_net_destroy(tiny->net);
    sl_device_close(&tiny->device);
    sl_heap_free(tiny);
}

/* All slots of a trainer's state, which lie as the parameters do. */
static inline const float *slots_of(const struct sl_named_list *state,
                                    const struct sl_net *net)
{
    char name[SL_NAME_MAX + 8];

    (void)snprintf(name, sizeof name, "slot.%s", net->params[0].name);
    const struct sl_named *first = sl_named_find(state, name);
    assert_non_null(first);
    return (const float *)first->tensor.data - net->params[0].offset;
}

/* The views of a step, into tiny->views. */
static inline struct sl_batch tiny_batch(struct tiny *tiny, int64_t step)
{
    for (uint32_t view = 0; view < 2; view++) {
        sl_rng_fill_normal(5, SL_RNG_TEST, 2 * (uint32_t)step + view, 1.0f, TINY_VIEW,
                           tiny->views[view]);
    }
    return (struct sl_batch){
        .views = {tiny->views[0], tiny->views[1]}, .rows = TINY_BATCH, .step = step};
}

/* The next step, which must succeed. */
static inline struct sl_step_numbers tiny_step(struct tiny *tiny)
{
    struct sl_error err = {0};
    struct sl_step_numbers numbers;
    struct sl_batch batch = tiny_batch(tiny, sl_trainer_steps(tiny->trainer));

    kit_ok(sl_trainer_step(&err, tiny->trainer, &batch, &numbers), &err);
    return numbers;
}

/* A copy of the whole state, tensor behind tensor; free with sl_heap_free. */
static inline unsigned char *tiny_save(const struct tiny *tiny)
{
    struct sl_error err = {0};
    unsigned char *copy = NULL;

    kit_ok(sl_heap_alloc(&err, "copy", tiny->state_bytes, 1, &copy), &err);
    unsigned char *at = copy;
    for (int i = 0; i < tiny->state.n; i++) {
        const struct sl_tensor *tensor = &tiny->state.items[i].tensor;
        memcpy(at, tensor->data, sl_tensor_bytes(tensor));
        at += sl_tensor_bytes(tensor);
    }
    return copy;
}

static inline void tiny_load(struct tiny *tiny, const unsigned char *copy)
{
    struct sl_error err = {0};

    for (int i = 0; i < tiny->state.n; i++) {
        const struct sl_tensor *tensor = &tiny->state.items[i].tensor;
        memcpy(tensor->data, copy, sl_tensor_bytes(tensor));
        copy += sl_tensor_bytes(tensor);
    }
    kit_ok(sl_trainer_restored(&err, tiny->trainer), &err);
}

/* Fails, naming the tensor, unless the state has the copy's bits. Tensors whose name
 * begins with `except` (NULL: none) are left out. */
static inline void tiny_same(const struct tiny *tiny, const unsigned char *copy,
                             const char *except)
{
    for (int i = 0; i < tiny->state.n; i++) {
        const struct sl_named *item = &tiny->state.items[i];
        size_t bytes = sl_tensor_bytes(&item->tensor);
        bool left_out =
            except != NULL && strncmp(item->name, except, strlen(except)) == 0;
        if (!left_out && memcmp(item->tensor.data, copy, bytes) != 0) {
            fail_msg("\"%s\" differs", item->name);
        }
        copy += bytes;
    }
}

static inline float *tiny_tensor(const struct tiny *tiny, const char *name)
{
    const struct sl_named *item = sl_named_find(&tiny->state, name);

    assert_non_null(item);
    return item->tensor.data;
}

#endif
