/* SPDX-License-Identifier: MIT */
/*
 * Whole steps of a tiny net (resnet8-b8, four widths) beside what tools/golden*.py wrote
 * of the same keyed start and batches: a run, its numbers by their golden names, and the
 * comparison of all of them.
 */
#ifndef TESTS_LEARN_STEPKIT_H
#define TESTS_LEARN_STEPKIT_H

#include "goldenkit.h"
#include "learn/learn.h"

/* As in tools/golden.py. */
enum { GOLDEN_STEPS = 3, GOLDEN_BATCH = 8, GOLDEN_DIM = 16, GOLDEN_QUEUE = 16 };
enum { GOLDEN_CLASSES = 5, GOLDEN_PICTURES = GOLDEN_BATCH * 16 * 16 * 3 /* at most */ };
enum { GOLDEN_LARGEST = 32 * 32 * 9, GOLDEN_SAMPLES = 64, GOLDEN_STRIDE = 7919 };

static const char *const golden_widths = "1,0.75,0.5,0.25";

/* How a file holds tensors: whole, large ones rounded (golden_tensor), or as samples. */
enum golden_form { GOLDEN_WHOLE, GOLDEN_SAMPLED };

struct golden_run {
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_named_list state;
    uint64_t seed;
    struct sl_step_numbers numbers[GOLDEN_STEPS];
    float keys[GOLDEN_STEPS][GOLDEN_BATCH * GOLDEN_DIM]; /* with a queue: what went in */
};

/* What all cases have in common. */
static inline struct sl_trainer_config golden_config(const char *method, uint64_t seed)
{
    return (struct sl_trainer_config){
        .method = sl_method_find(method),
        .batch = GOLDEN_BATCH,
        .seed = seed,
        .total_steps = GOLDEN_STEPS + 1,
        .slow_start_step = 1,
        .lr = {.schedule = SL_LR_COSINE,
               .second_from = 1,
               .total_steps = GOLDEN_STEPS + 1},
        .optim = {.momentum = 0.9, .weight_decay = 5e-4},
        .ema_momentum = 0.9,
    };
}

/* The net becomes the run's. */
static inline void golden_start(struct golden_run *run, const char *device,
                                struct sl_net *net,
                                const struct sl_trainer_config *config)
{
    struct sl_error err = {0};

    memset(run, 0, sizeof *run);
    run->device = kit_device(device);
    run->net = net;
    run->seed = config->seed;
    kit_ok(sl_trainer_create(&err, config, net, &run->device, &run->trainer), &err);
    kit_ok(sl_trainer_state(&err, run->trainer, &run->state), &err);
}

static inline void golden_end(struct golden_run *run)
{
    sl_named_finish(&run->state);
    sl_trainer_destroy(run->trainer);
    sl_net_destroy(run->net);
    sl_device_close(&run->device);
}

/* `n` values of a tensor of the state, every stride-th, counted modulo its size. */
static inline void golden_state(const struct golden_run *run, const char *name,
                                int64_t count, int64_t n, int64_t stride, float *values)
{
    const struct sl_named *item = sl_named_find(&run->state, name);

    if (item == NULL) {
        fail_msg("the trainer's state has no \"%s\"", name);
        return;
    }
    assert_int_equal(sl_tensor_count(&item->tensor), count);
    for (int64_t i = 0; i < n; i++) {
        run->device.table->get(run->device.state, values + i,
                               (const float *)item->tensor.data + i * stride % count,
                               sizeof *values);
    }
}

/* The first n steps, on keyed pictures and labels. */
static inline void golden_steps(struct golden_run *run, int n)
{
    static float views[2][GOLDEN_PICTURES];
    struct sl_error err = {0};
    const struct sl_value *input = &run->net->values[run->net->input];
    const int64_t count = (int64_t)GOLDEN_BATCH * input->height * input->width * 3;
    bool has_queue = sl_named_find(&run->state, "queue") != NULL;
    int32_t labels[GOLDEN_BATCH];
    float queue[GOLDEN_QUEUE * GOLDEN_DIM];

    assert_in_range(count, 1, GOLDEN_PICTURES);
    for (int step = 0; step < n; step++) {
        for (uint32_t view = 0; view < 2; view++) {
            sl_rng_fill_normal(run->seed, SL_RNG_TEST, 2 * (uint32_t)step + view, 1.0f,
                               count, views[view]);
        }
        for (int i = 0; i < GOLDEN_BATCH; i++) {
            labels[i] = (3 * i + step) % GOLDEN_CLASSES;
        }
        const struct sl_batch batch = {.views = {views[0], views[1]},
                                       .labels = labels,
                                       .rows = GOLDEN_BATCH,
                                       .step = step};
        kit_ok(sl_trainer_step(&err, run->trainer, &batch, &run->numbers[step]), &err);
        if (has_queue) {
            golden_state(run, "queue", SL_COUNT(queue), SL_COUNT(queue), 1, queue);
            memcpy(run->keys[step],
                   queue + step * GOLDEN_BATCH % GOLDEN_QUEUE * GOLDEN_DIM,
                   sizeof run->keys[step]);
        }
    }
}

/* The values of ours that a golden name stands for; gives their number. */
static inline int64_t golden_ours(const struct golden_run *run, enum golden_form form,
                                  const char *name, int64_t count, float *ours)
{
    int step, used = 0;
    bool sampled = form == GOLDEN_SAMPLED && count > GOLDEN_SAMPLES;
    const int64_t n = sampled ? GOLDEN_SAMPLES : count;
    const int64_t stride = sampled ? GOLDEN_STRIDE : 1;

    if (sscanf(name, "step%d.%n", &step, &used) != 1 || used == 0) {
        golden_state(run, name, count, n, stride, ours);
        return n;
    }
    const struct sl_step_numbers *numbers = &run->numbers[step];
    const char *what = name + used;
    if (strcmp(what, "keys") == 0) {
        assert_int_equal(count, SL_COUNT(run->keys[step]));
        for (int64_t i = 0; i < n; i++) {
            ours[i] = run->keys[step][i * stride % count];
        }
        return n;
    }
    if (strcmp(what, "total") == 0) {
        assert_int_equal(count, 1);
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
    return count;
}

/* Holds the run to the tensors from `at` to `end` that the lines of `names` list; gives
 * their number. */
static inline int golden_hold(const struct golden_run *run, enum golden_form form,
                              const char *where, const char *names, const char *at,
                              const char *end)
{
    static float golden[GOLDEN_LARGEST], ours[GOLDEN_LARGEST];
    char name[SL_NAME_MAX];
    double worst = 0;
    int n_tensors = 0;

    for (const char *line = names; *line != '\0'; line = strchr(line, '\n') + 1) {
        int count;
        assert_int_equal(sscanf(line, "%127s %d", name, &count), 2);
        assert_in_range(count, 1, form == GOLDEN_WHOLE ? GOLDEN_LARGEST : 1 << 20);
        int64_t n = golden_ours(run, form, name, count, ours);
        assert_true(
            n * (int64_t)(form == GOLDEN_WHOLE ? sizeof(int16_t) : sizeof(float)) <=
            end - at);
        if (form == GOLDEN_WHOLE) {
            at = golden_tensor(at, n, golden);
        } else {
            memcpy(golden, at, (size_t)n * sizeof *golden);
            at += n * (int64_t)sizeof *golden;
        }
        worst = fmax(worst, golden_compare(where, name, n, golden, ours));
        n_tensors++;
    }
    assert_ptr_equal(at, end);
    print_message("%s: %d tensors, worst at %.2f of the tolerance\n", where, n_tensors,
                  worst);
    return n_tensors;
}

#endif
