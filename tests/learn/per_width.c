/* SPDX-License-Identifier: MIT */
/*
 * An update after each width: three steps against PyTorch (tools/golden_per_width.py: its
 * own SGD, a linear head, a width of weight 0, the end of slow start), on each backend;
 * and what looks on: measuring gradients changes no bit, a restored trainer goes on with
 * the same ones, and the watcher is called after each width.
 */
#include "stepkit.h"
#include "trainkit.h"

/* ---- against PyTorch --------------------------------------------------------------- */

static void compare(const char *device)
{
    struct golden_run run;
    int64_t size, names_size;
    char *names = golden_read("per-width.txt", &names_size);
    char *bytes = golden_read("per-width.bin", &size);
    struct sl_trainer_config config = golden_config("mocov2", 8);
    config.lr.peak = 0.05;
    config.lr.second_peak = 0.04;
    config.queue = GOLDEN_QUEUE;
    config.temperature = 0.2;
    config.bn_splits = 1;
    config.distill = SL_DISTILL_NONE;
    config.update = SL_UPDATE_PER_WIDTH;
    static const double weights[4] = {1, 0.5, 0, 1};
    memcpy(config.width_weights, weights, sizeof weights);
    golden_start(&run, device,
                 kit_resnet("resnet8-b8", golden_widths, 16, SL_HEAD_LINEAR, GOLDEN_DIM),
                 &config);
    golden_steps(&run, GOLDEN_STEPS);
    int n = golden_hold(&run, GOLDEN_WHOLE, device, names, bytes, bytes + size);
    /* Parameters and slots, statistics, the queue, and six of each step. */
    assert_int_equal(n, 2 * run.net->n_params + 2 * run.net->n_norms * 4 + 1 +
                            GOLDEN_STEPS * 6);
    golden_end(&run);
    sl_heap_free(names);
    sl_heap_free(bytes);
}

static void test_golden(void **state)
{
    (void)state;
    kit_each_backend(compare);
}

/* ---- who looks on ------------------------------------------------------------------ */

static void check_measured(const char *device, enum sl_update update)
{
    struct sl_trainer_config config = tiny_config();
    config.update = update;
    config.slow_start_step = 1;
    struct tiny *plain = tiny_start(device, golden_widths, &config);
    config.grad_every = 2;
    struct tiny *measured = tiny_start(device, golden_widths, &config);
    assert_true(sl_trainer_memory(measured->trainer).measure > 0);
    for (int step = 0; step < 4; step++) {
        (void)tiny_step(plain);
        struct sl_step_numbers numbers = tiny_step(measured);
        const struct sl_grad_record *record = sl_trainer_gradients(measured->trainer);
        assert_null(sl_trainer_gradients(plain->trainer));
        assert_int_equal(record != NULL, step % 2 == 1);
        for (int i = 0; record != NULL && i < 4; i++) {
            /* The same gradients as the step's own, but for the norms' and biases'. */
            double norm = sl_grad_norm(&record->total, i);
            assert_true(norm < numbers.width[i].grad_norm * (1 + 1e-5));
            assert_true(norm > 0);
        }
        unsigned char *copy = tiny_save(plain);
        tiny_same(measured, copy, NULL);
        sl_heap_free(copy);
    }
    tiny_end(plain);
    tiny_end(measured);
}

static void test_measuring_changes_nothing(void **state)
{
    (void)state;
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        check_measured(sl_backend_name(i), SL_UPDATE_JOINT);
        check_measured(sl_backend_name(i), SL_UPDATE_PER_WIDTH);
    }
}

/* From any step on, a trainer that was given the state goes on with the same bits. */
static void test_restored(void **state)
{
    (void)state;
    struct sl_trainer_config config = tiny_config();
    config.update = SL_UPDATE_PER_WIDTH;
    config.slow_start_step = 2;
    for (int stop = 1; stop < 4; stop++) {
        struct tiny *whole = tiny_start("ref", golden_widths, &config);
        struct tiny *later = tiny_start("ref", golden_widths, &config);
        for (int step = 0; step < stop; step++) {
            (void)tiny_step(whole);
        }
        unsigned char *copy = tiny_save(whole);
        tiny_load(later, copy);
        sl_heap_free(copy);
        for (int step = stop; step < 4; step++) {
            (void)tiny_step(whole);
            (void)tiny_step(later);
        }
        copy = tiny_save(whole);
        tiny_same(later, copy, NULL);
        sl_heap_free(copy);
        tiny_end(whole);
        tiny_end(later);
    }
}

struct watcher {
    struct tiny *tiny;
    int calls, widths[16];
    float value[16]; /* a shared weight as each call found it */
    bool refuses;
};

static enum sl_status watch(struct sl_error *err, void *context, int width)
{
    struct watcher *watcher = context;
    watcher->widths[watcher->calls] = width;
    watcher->value[watcher->calls++] =
        tiny_tensor(watcher->tiny, "encoder.conv1.weight")[0];
    return watcher->refuses ? SL_FAIL(err, SL_ERROR_RUN, "no room") : SL_OK;
}

static void test_watcher(void **state)
{
    (void)state;
    struct sl_trainer_config config = tiny_config();
    config.update = SL_UPDATE_PER_WIDTH;
    config.slow_start_step = 1;
    struct tiny *tiny = tiny_start("ref", "1,0.5", &config);
    struct watcher watcher = {.tiny = tiny};
    struct sl_error err = {0};
    struct sl_step_numbers numbers;
    sl_trainer_on_update(tiny->trainer, watch, &watcher);
    (void)tiny_step(tiny);
    assert_int_equal(watcher.calls, 1);
    (void)tiny_step(tiny);
    assert_int_equal(watcher.calls, 3);
    assert_int_equal(watcher.widths[1], 0);
    assert_int_equal(watcher.widths[2], 1);
    assert_true(watcher.value[1] != watcher.value[0]);
    assert_true(watcher.value[2] != watcher.value[1]);
    assert_true(watcher.value[2] == tiny_tensor(tiny, "encoder.conv1.weight")[0]);
    watcher.refuses = true;
    struct sl_batch batch = tiny_batch(tiny, 2);
    assert_int_equal(sl_trainer_step(&err, tiny->trainer, &batch, &numbers),
                     SL_ERROR_RUN);
    assert_int_equal(watcher.calls, 4);
    tiny_end(tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_measuring_changes_nothing),
        cmocka_unit_test(test_restored),
        cmocka_unit_test(test_watcher),
    };
    return cmocka_run_group_tests_name("per_width", tests, NULL, NULL);
}
