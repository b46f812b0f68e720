/* SPDX-License-Identifier: MIT */
/*
 * Properties of whole steps on a tiny four-width net: the sum of gradients over widths
 * slow start, the queue, the key shuffle, and what architecture asks of a trainer: no
 * allocation while it runs, the same bits with and without memory reuse, after a restore,
 * and beside another trainer. Values against PyTorch are method.c's.
 */
#include "trainkit.h"

#include <math.h>

static const char *const four = "1,0.75,0.5,0.25";

/* ---- 3: gradients of widths add up ------------------------------------------------- */

/* From zero slots and without decay, one step leaves the gradient in the slots. */
static struct tiny *gradient_of(const char *device, const double weights[4])
{
    struct sl_trainer_config config = tiny_config();

    config.distill = SL_DISTILL_NONE;
    config.optim.weight_decay = 0;
    memcpy(config.width_weights, weights, 4 * sizeof *weights);
    struct tiny *tiny = tiny_start(device, four, &config);
    (void)tiny_step(tiny);
    return tiny;
}

/* True when element i of a parameter lies in the block of a width. */
static bool in_block(const struct sl_net *net, int param, int width, int64_t i)
{
    const struct sl_param *p = &net->params[param];
    int64_t inner = (int64_t)p->kernel * p->kernel;
    int64_t in = p->axis_in < 0 ? 1 : net->axes[p->axis_in].full;
    int64_t row = i / (in * inner), column = i / inner % in;

    if (p->owner >= 0) {
        return p->owner == width;
    }
    return row < net->axes[p->axis_out].span[width].count &&
           (p->axis_in < 0 || column < net->axes[p->axis_in].span[width].count);
}

static void check_gradient_sum(const char *device)
{
    static const double all[4] = {2.5, 1, 1, 1};
    static const double single[4][4] = {
        {2.5, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    struct tiny *sum = gradient_of(device, all);
    struct tiny *part[4];

    for (int width = 0; width < 4; width++) {
        part[width] = gradient_of(device, single[width]);
    }
    const struct sl_net *net = sum->net;
    int64_t ring = 0, outside = 0;
    for (int p = 0; p < net->n_params; p++) {
        const struct sl_param *param = &net->params[p];
        double largest = 0, worst = 0;
        for (int64_t i = 0; i < param->count; i++) {
            int64_t at = param->offset + i;
            float whole = slots_of(&sum->state, net)[at];
            double expected = 0;
            bool full_only = true;
            for (int width = 0; width < 4; width++) {
                float mine = slots_of(&part[width]->state, net)[at];
                if (in_block(net, p, width, i)) {
                    full_only = full_only && width == 0;
                } else {
                    assert_true(mine == 0.0f); /* nothing from a net that has no such
                                                  entry */
                    outside++;
                }
                expected += mine;
            }
            if (full_only) { /* the ring: the full width's gradient and nothing else */
                assert_true(whole == slots_of(&part[0]->state, net)[at]);
                ring++;
            }
            largest = fmax(largest, fabs(expected));
            worst = fmax(worst, fabs(whole - expected));
        }
        if (!(worst <= 1e-5 * largest + 1e-9)) {
            fail_msg("%s: sum of widths off by %g of %g", param->name, worst, largest);
        }
    }
    assert_true(ring > net->shared / 4 && outside > net->shared);
    tiny_end(sum);
    for (int width = 0; width < 4; width++) {
        tiny_end(part[width]);
    }
}

static void test_gradient_sum(void **state)
{
    (void)state;
    kit_each_backend(check_gradient_sum);
}

/* ---- 5: slow start ----------------------------------------------------------------- */

/* Whether a tensor belongs to a narrower width alone. */
static bool is_narrow(const char *name)
{
    return strstr(name, "@0.75.") != NULL || strstr(name, "@0.5.") != NULL ||
           strstr(name, "@0.25.") != NULL;
}

/* What of a narrow width stays as it is. The key encoder runs at full width alone: the
 * average of narrow heads with themselves, whose last bits may move, is read by nobody.
 */
static bool stays(const char *name)
{
    return is_narrow(name) && strncmp(name, "target.head.", 12) != 0;
}

static void check_slow_start_of(const char *device, enum sl_head head, int n_private)
{
    struct sl_trainer_config config = tiny_config();
    enum { S = 3 };

    config.slow_start_step = S;
    struct tiny *tiny = tiny_start_head(device, four, head, &config);
    unsigned char *start = tiny_save(tiny);
    for (int step = 0; step < S; step++) {
        struct sl_step_numbers numbers = tiny_step(tiny);
        assert_int_equal(numbers.active, 1);
        assert_true(numbers.loss == numbers.width[0].loss); /* weight 1, not lambda_1 */
        assert_true(numbers.width[1].loss == 0 && numbers.width[3].emb_std == 0);
    }
    int narrow = 0, moved = 0;
    const unsigned char *at = start;
    for (int i = 0; i < tiny->state.n; i++) {
        const struct sl_named *item = &tiny->state.items[i];
        size_t bytes = sl_tensor_bytes(&item->tensor);
        bool same = memcmp(item->tensor.data, at, bytes) == 0;
        if (stays(item->name)) {
            narrow++; /* scale, shift, mean, variance, slot; online and target */
            if (!same) {
                fail_msg("\"%s\" moved during slow start", item->name);
            }
        } else {
            moved += !same;
        }
        at += bytes;
    }
    /* 9 norms, 3 narrow widths; (scale, shift) online, target and slot, (mean, variance)
     * online and target. Of a head online and slot. */
    assert_int_equal(narrow, 9 * 3 * (2 * 3 + 2 * 2) + n_private * 3 * 2);
    assert_true(moved > 50);
    sl_heap_free(start);
    /* From S on all take part, with lambda_1 and with distillation. */
    struct sl_step_numbers numbers = tiny_step(tiny);
    assert_int_equal(numbers.active, 4);
    double expected = 2.5 * numbers.width[0].loss;
    for (int i = 1; i < 4; i++) {
        expected += 0.5 * numbers.width[i].loss + 0.5 * numbers.width[i].distill;
        assert_true(numbers.width[i].distill > 0);
    }
    assert_true(fabs(numbers.loss - expected) < 1e-9);
    assert_true(tiny_tensor(tiny, "slot.encoder.norm1@0.5.scale")[0] != 0);
    assert_true(tiny_tensor(tiny, "encoder.norm1@0.5.running_mean")[0] != 0);
    if (n_private > 0) {
        assert_true(tiny_tensor(tiny, "slot.head.0@0.5.weight")[0] != 0);
        assert_true(tiny_tensor(tiny, "slot.head.2@0.25.bias")[0] != 0);
    }
    /* The target never runs narrow. */
    assert_true(tiny_tensor(tiny, "target.encoder.norm1@0.5.running_mean")[0] == 0);
    tiny_end(tiny);
}

static void check_slow_start(const char *device)
{
    check_slow_start_of(device, SL_HEAD_MLP, 0);
    check_slow_start_of(device, SL_HEAD_SWITCH, 4);
}

static void test_slow_start(void **state)
{
    (void)state;
    kit_each_backend(check_slow_start);
}

/* A narrow width that joins late starts its momentum at its first gradient: v = g + wd p.
 * A run in which it took part from the start gives that g, as v_3 - 0.9 v_2; the learning
 * rate is so small that both runs have the same parameters. */
static void test_late_width_starts_afresh(void **state)
{
    (void)state;
    static const char *const name = "slot.encoder.layer1.0.norm1@0.5.scale";
    struct sl_trainer_config config = tiny_config();
    config.slow_start_step = 2;
    config.lr.peak = 1e-8;
    struct tiny *late = tiny_start("ref", four, &config);
    config.slow_start_step = 0;
    struct tiny *early = tiny_start("ref", four, &config);
    float two_steps[4];

    for (int step = 0; step < 3; step++) {
        memcpy(two_steps, tiny_tensor(early, name), sizeof two_steps);
        (void)tiny_step(late);
        (void)tiny_step(early);
    }
    const float *first = tiny_tensor(late, name), *third = tiny_tensor(early, name);
    for (int i = 0; i < 4; i++) {
        double expected = third[i] - 0.9 * two_steps[i];
        assert_true(fabs(first[i] - expected) <= 1e-3 * fabs(expected) + 1e-6);
        assert_true(fabs(two_steps[i]) > 1e-4); /* momentum that would show */
    }
    tiny_end(late);
    tiny_end(early);
}

/* ---- 9: queue ---------------------------------------------------------------------- */

static void check_queue(const char *device)
{
    enum {
        ROW = TINY_DIM,
        BLOCK = TINY_BATCH * TINY_DIM,
        BLOCKS = TINY_QUEUE / TINY_BATCH
    };
    struct sl_trainer_config config = tiny_config();
    struct tiny *tiny = tiny_start(device, four, &config);
    const float *queue = tiny_tensor(tiny, "queue");
    const struct sl_named *item = sl_named_find(&tiny->state, "queue.position");
    const int64_t *position = item->tensor.data;
    float before[TINY_QUEUE * ROW];

    for (int i = 0; i < TINY_QUEUE; i++) {
        double squares = 0;
        for (int j = 0; j < ROW; j++) {
            squares += (double)queue[i * ROW + j] * queue[i * ROW + j];
        }
        assert_true(fabs(squares - 1) < 1e-5);
    }
    for (int step = 0; step < 2 * BLOCKS + 1; step++) {
        int at = step % BLOCKS; /* wraps */
        assert_int_equal(*position, at * TINY_BATCH);
        memcpy(before, queue, sizeof before);
        struct sl_step_numbers numbers = tiny_step(tiny);
        for (int block = 0; block < BLOCKS; block++) {
            bool same = memcmp(queue + block * BLOCK, before + block * BLOCK,
                               BLOCK * sizeof *queue) == 0;
            assert_int_equal(same, block != at);
        }
        assert_true(isfinite(numbers.loss));
    }
    tiny_end(tiny);
}

static void test_queue(void **state)
{
    (void)state;
    kit_each_backend(check_queue);
}

/* With both views equal and a fresh target, key i is query i, so the positive is exactly
 * 1 and every row's first: unless the step's keys were already among its negatives. */
static void check_own_keys(const char *device)
{
    struct sl_trainer_config config = tiny_config();
    struct tiny *tiny = tiny_start(device, four, &config);
    struct sl_error err = {0};
    struct sl_step_numbers numbers;
    struct sl_batch batch = tiny_batch(tiny, 0);

    batch.views[1] = batch.views[0];
    kit_ok(sl_trainer_step(&err, tiny->trainer, &batch, &numbers), &err);
    assert_true(numbers.width[0].contrast_acc == 1.0);
    /* The same pictures again: now their old keys are negatives, nearly as close. */
    double first = numbers.width[0].loss;
    kit_ok(sl_trainer_step(&err, tiny->trainer, &batch, &numbers), &err);
    assert_true(numbers.width[0].loss > first);
    tiny_end(tiny);
}

static void test_own_keys_are_no_negatives(void **state)
{
    (void)state;
    kit_each_backend(check_own_keys);
}

static void expect_refused(struct sl_trainer_config config, const char *word)
{
    struct sl_error err = {0};
    struct sl_trainer *trainer = NULL;
    struct sl_device device = kit_device("ref");
    struct sl_net *net =
        kit_resnet("resnet8-b8", four, TINY_IMAGE, SL_HEAD_MLP, TINY_DIM);

    assert_int_equal(sl_trainer_create(&err, &config, net, &device, &trainer),
                     SL_ERROR_USAGE);
    assert_null(trainer);
    assert_non_null(strstr(err.text, word));
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_refused(void **state)
{
    (void)state;
    struct sl_trainer_config config = tiny_config();
    config.queue = TINY_BATCH * 3 + 1;
    expect_refused(config, "--moco-k");
    config = tiny_config();
    config.queue = 0;
    expect_refused(config, "--moco-k");
    config = tiny_config();
    config.bn_splits = 3;
    expect_refused(config, "--bn-splits");
    config = tiny_config();
    config.temperature = 0;
    expect_refused(config, "--moco-t");
    config = tiny_config();
    config.distill_weight = 1.5;
    expect_refused(config, "--distill-weight");

    struct sl_error err = {0};
    struct sl_trainer *trainer = NULL;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", four, TINY_IMAGE, SL_HEAD_NONE, 0);
    config = tiny_config();
    assert_int_equal(sl_trainer_create(&err, &config, net, &device, &trainer),
                     SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "head"));
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- 10: key shuffle --------------------------------------------------------------- */

enum { KEYS = TINY_BATCH * TINY_DIM };

/* Keys of step 0 with the pictures of rows i and j of the key view exchanged. */
static void keys_swapped(int i, int j, float keys[KEYS])
{
    struct sl_trainer_config config = tiny_config();
    struct sl_error err = {0};
    struct sl_step_numbers numbers;
    float picture[TINY_PICTURE];

    config.bn_splits = 2;
    struct tiny *tiny = tiny_start("ref", "1", &config);
    struct sl_batch batch = tiny_batch(tiny, 0);
    float *a = tiny->views[1] + i * TINY_PICTURE, *b = tiny->views[1] + j * TINY_PICTURE;
    memcpy(picture, a, sizeof picture);
    memmove(a, b, sizeof picture);
    memcpy(b, picture, sizeof picture);
    kit_ok(sl_trainer_step(&err, tiny->trainer, &batch, &numbers), &err);
    memcpy(keys, tiny_tensor(tiny, "queue"), KEYS * sizeof *keys);
    tiny_end(tiny);
}

static bool rows_near(const float *a, const float *b)
{
    for (int j = 0; j < TINY_DIM; j++) {
        if (!(fabsf(a[j] - b[j]) <= 1e-4f)) {
            return false;
        }
    }
    return true;
}

/* Key i belongs to picture i: exchanging two pictures of one norm group exchanges exactly
 * their two keys. Exchanging pictures of different groups changes the statistics of both
 * and with them every key. So the exchanges find the groups, which must be two of four
 * rows, each pair whole, and not simply the first and the second half. */
static void test_key_shuffle(void **state)
{
    (void)state;
    float plain[KEYS], swapped[KEYS];
    int partners[TINY_BATCH] = {0}, across_halves = 0;

    keys_swapped(0, 0, plain);
    for (int i = 0; i < TINY_BATCH; i++) {
        for (int j = i + 1; j < TINY_BATCH; j++) {
            keys_swapped(i, j, swapped);
            int right = 0;
            for (int row = 0; row < TINY_BATCH; row++) {
                int from = row == i ? j : row == j ? i : row;
                right += rows_near(swapped + row * TINY_DIM, plain + from * TINY_DIM);
            }
            if (right == TINY_BATCH) {
                partners[i]++;
                partners[j]++;
                across_halves += i < TINY_BATCH / 2 && j >= TINY_BATCH / 2;
            } else {
                assert_int_equal(right, 0);
            }
        }
    }
    for (int i = 0; i < TINY_BATCH; i++) {
        assert_int_equal(partners[i], TINY_BATCH / 2 - 1);
    }
    assert_true(across_halves > 0);
}

/* ---- architecture: memory, bits, restore ------------------------------------------- */

static void check_no_allocation(const char *device)
{
    struct sl_trainer_config config = tiny_config();

    config.slow_start_step = 4; /* its end lies in between */
    config.bn_splits = 2;
    struct tiny *tiny = tiny_start(device, four, &config);
    (void)tiny_step(tiny);
    (void)tiny_step(tiny);
    int64_t calls = sl_heap_calls(), bytes = sl_heap_bytes();
    for (int step = 2; step < 8; step++) {
        struct sl_step_numbers numbers = tiny_step(tiny);
        assert_int_equal(numbers.active, step < 4 ? 1 : 4);
    }
    assert_int_equal(sl_heap_calls(), calls);
    assert_int_equal(sl_heap_bytes(), bytes);
    tiny_end(tiny);
}

static void test_no_allocation(void **state)
{
    (void)state;
    kit_each_backend(check_no_allocation);
}

static void check_reuse(const char *device)
{
    struct sl_trainer_config config = tiny_config();

    config.slow_start_step = 1;
    config.bn_splits = 2;
    struct tiny *on = tiny_start(device, four, &config);
    config.reuse_off = true;
    struct tiny *off = tiny_start(device, four, &config);
    assert_true(sl_trainer_memory(off->trainer).block >
                sl_trainer_memory(on->trainer).block);
    for (int step = 0; step < 3; step++) { /* interleaved: two trainers in one process */
        struct sl_step_numbers a = tiny_step(on);
        struct sl_step_numbers b = tiny_step(off);
        assert_memory_equal(&a.loss, &b.loss, sizeof a.loss);
    }
    unsigned char *copy = tiny_save(off);
    tiny_same(on, copy, NULL);
    sl_heap_free(copy);
    tiny_end(off);
    tiny_end(on);
}

static void test_reuse(void **state)
{
    (void)state;
    kit_each_backend(check_reuse);
}

static void check_restore_with(const char *device, const struct sl_optim_config *optim)
{
    struct sl_trainer_config config = tiny_config();

    config.optim = *optim;
    config.slow_start_step = 3;
    config.bn_splits = 2;
    struct tiny *whole = tiny_start(device, four, &config);
    unsigned char *middle = NULL;
    for (int step = 0; step < 5; step++) {
        if (step == 2) {
            middle = tiny_save(whole);
        }
        (void)tiny_step(whole);
    }
    struct tiny *second = tiny_start(device, four, &config);
    tiny_load(second, middle);
    assert_int_equal(sl_trainer_steps(second->trainer), 2);
    while (sl_trainer_steps(second->trainer) < 5) {
        (void)tiny_step(second);
    }
    unsigned char *end = tiny_save(whole);
    tiny_same(second, end, NULL);
    sl_heap_free(middle);
    sl_heap_free(end);
    tiny_end(whole);
    tiny_end(second);
}

/* Whatever a rule remembers is part of the state. */
static void check_restore(const char *device)
{
    const struct sl_optim_config rules[] = {
        tiny_config().optim,
        {.optimizer = SL_OPTIMIZER_LARS,
         .momentum = 0.9,
         .weight_decay = 1e-6,
         .exclude_vectors = true},
        {.optimizer = SL_OPTIMIZER_ADAMW,
         .beta1 = 0.9,
         .beta2 = 0.999,
         .epsilon = 1e-8,
         .weight_decay = 0.01},
    };

    for (int i = 0; i < SL_COUNT(rules); i++) {
        check_restore_with(device, &rules[i]);
    }
}

static void test_restore(void **state)
{
    (void)state;
    kit_each_backend(check_restore);
}

static void test_restore_checks(void **state)
{
    (void)state;
    static const int64_t bad[] = {-8, 3, TINY_QUEUE, INT64_MAX};
    struct sl_trainer_config config = tiny_config();
    struct tiny *tiny = tiny_start("ref", four, &config);
    const struct sl_named *position = sl_named_find(&tiny->state, "queue.position");
    const struct sl_named *step = sl_named_find(&tiny->state, "step");
    const int64_t zero = 0, negative = -1;

    for (int i = 0; i < SL_COUNT(bad); i++) {
        struct sl_error err = {0};
        memcpy(position->tensor.data, &bad[i], sizeof bad[i]);
        assert_int_equal(sl_trainer_restored(&err, tiny->trainer), SL_ERROR_RUN);
        assert_non_null(strstr(err.text, "queue.position"));
    }
    struct sl_error err = {0};
    memcpy(position->tensor.data, &zero, sizeof zero);
    memcpy(step->tensor.data, &negative, sizeof negative);
    assert_int_equal(sl_trainer_restored(&err, tiny->trainer), SL_ERROR_RUN);
    tiny_end(tiny);
}

static void test_memory_is_planned(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_trainer_config config = tiny_config();
    struct sl_trainer_memory planned;
    struct tiny *tiny = tiny_start("ref", four, &config);
    struct sl_trainer_memory taken = sl_trainer_memory(tiny->trainer);

    kit_ok(sl_trainer_plan_memory(&err, &config, tiny->net, &tiny->device, &planned),
           &err);
    assert_int_equal(planned.params, taken.params);
    assert_int_equal(planned.block, taken.block);
    assert_int_equal(planned.method, taken.method);
    config.optim.optimizer = SL_OPTIMIZER_ADAMW; /* a second slot of every parameter */
    kit_ok(sl_trainer_plan_memory(&err, &config, tiny->net, &tiny->device, &planned),
           &err);
    assert_int_equal(planned.params,
                     taken.params + (size_t)tiny->net->total * sizeof(float));
    tiny_end(tiny);
}

/* What a backend is asked for, beside what it gives. */
static struct {
    enum sl_status (*alloc)(struct sl_error *err, void *state, const char *what,
                            size_t bytes, void **memory);
    size_t bytes;
} counted;

static enum sl_status counting_alloc(struct sl_error *err, void *state, const char *what,
                                     size_t bytes, void **memory)
{
    counted.bytes += bytes;
    return counted.alloc(err, state, what, bytes, memory);
}

/* Every method takes from the backend what was planned, to the byte. Gradients that are
 * measured stand in the host's memory too; whatever else it takes is small. */
static void test_plan_is_what_is_taken(void **state)
{
    static const char *const methods[] = {"mocov2", "mocov3", "simclr", "supervised"};
    (void)state;
    for (int i = 0; i < SL_COUNT(methods); i++) {
        for (int with_grads = 0; with_grads < 2; with_grads++) {
            struct sl_error err = {0};
            struct sl_device device = kit_device("ref");
            struct sl_backend table = *device.table;
            struct sl_trainer_config config = tiny_config();
            struct sl_trainer *trainer = NULL;
            struct sl_trainer_memory planned;
            config.method = sl_method_find(methods[i]);
            const struct sl_method_info *info = sl_method_info(config.method);
            config.queue = info->has_queue ? TINY_QUEUE : 0;
            config.distill = info->has_labels ? SL_DISTILL_NONE : SL_DISTILL_SEED;
            config.distill_weight = info->has_labels ? 0.0 : 0.5;
            config.grad_every = with_grads;
            struct sl_net *net =
                kit_resnet("resnet8-b8", four, TINY_IMAGE, info->head, TINY_DIM);
            counted.alloc = table.alloc;
            counted.bytes = 0;
            table.alloc = counting_alloc;
            device.table = &table;
            kit_ok(sl_trainer_plan_memory(&err, &config, net, &device, &planned), &err);
            assert_int_equal(counted.bytes, 0);
            int64_t before = sl_heap_bytes();
            kit_ok(sl_trainer_create(&err, &config, net, &device, &trainer), &err);
            size_t sum =
                planned.params + planned.block + planned.method + planned.measure;
            assert_true((planned.measure > 0) == (with_grads > 0));
            if (!with_grads) {
                assert_int_equal(sum, counted.bytes);
            }
            assert_in_range(sl_heap_bytes() - before, sum, sum + 1024 * 1024);
            sl_trainer_destroy(trainer);
            sl_net_destroy(net);
            sl_device_close(&device);
        }
    }
}

static void test_batch_of_another_size(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_trainer_config config = tiny_config();
    struct sl_step_numbers numbers;
    struct tiny *tiny = tiny_start("ref", four, &config);
    struct sl_batch batch = tiny_batch(tiny, 0);

    batch.rows = TINY_BATCH - 1;
    assert_int_equal(sl_trainer_step(&err, tiny->trainer, &batch, &numbers),
                     SL_ERROR_RUN);
    assert_int_equal(sl_trainer_steps(tiny->trainer), 0);
    tiny_end(tiny);
}

/* Lack of memory at every allocation of the start: an error each time, and nothing lost.
 */
static void test_out_of_memory(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net =
        kit_resnet("resnet8-b8", four, TINY_IMAGE, SL_HEAD_MLP, TINY_DIM);
    struct sl_trainer_config config = tiny_config();
    int64_t before = sl_heap_bytes();
    int failures = 0;

    for (int64_t k = 1; k < 1000; k++) {
        struct sl_error err = {0};
        struct sl_trainer *trainer = NULL;
        sl_heap_fail_at(k);
        enum sl_status status = sl_trainer_create(&err, &config, net, &device, &trainer);
        sl_heap_fail_at(0);
        if (status == SL_OK) {
            sl_trainer_destroy(trainer);
            break;
        }
        assert_int_equal(status, SL_ERROR_RUN);
        assert_null(trainer);
        assert_int_equal(sl_heap_bytes(), before);
        failures++;
    }
    assert_true(failures > 10 && failures < 999);
    sl_net_destroy(net);
    sl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_sum),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_late_width_starts_afresh),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_own_keys_are_no_negatives),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_key_shuffle),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_restore_checks),
        cmocka_unit_test(test_memory_is_planned),
        cmocka_unit_test(test_plan_is_what_is_taken),
        cmocka_unit_test(test_batch_of_another_size),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
