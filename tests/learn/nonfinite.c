/* SPDX-License-Identifier: MIT */
/*
 * Numbers that are not finite: the step ends before the update, names itself, the width
 * and the first tensor, and leaves everything but the target's average as it was; a
 * number of such steps in a row may be discarded on request.
 */
#include "trainkit.h"

#include <math.h>

static const char *const four = "1,0.75,0.5,0.25";

/* A step whose query view holds one NaN. */
static enum sl_status poisoned_step(struct sl_error *err, struct tiny *tiny,
                                    struct sl_step_numbers *numbers)
{
    struct sl_batch batch = tiny_batch(tiny, sl_trainer_steps(tiny->trainer));

    tiny->views[0][17] = NAN;
    return sl_trainer_step(err, tiny->trainer, &batch, numbers);
}

static void check_nothing_is_updated(const char *device)
{
    struct sl_error err = {0};
    struct sl_trainer_config config = tiny_config();
    struct sl_step_numbers numbers;
    struct tiny *tiny = tiny_start(device, four, &config);

    (void)tiny_step(tiny);
    (void)tiny_step(tiny);
    unsigned char *before = tiny_save(tiny);
    assert_int_equal(poisoned_step(&err, tiny, &numbers), SL_ERROR_NUMBERS);
    assert_non_null(strstr(err.text, "step 2: width 1.00: "));
    assert_non_null(strstr(err.text, "is not finite"));
    tiny_same(tiny, before, "target.");
    /* The target's statistics went back too; nothing is left in the gradients. */
    for (int i = 0; i < tiny->state.n; i++) {
        const struct sl_named *item = &tiny->state.items[i];
        int64_t n = item->tensor.dtype == SL_F32 ? sl_tensor_count(&item->tensor) : 0;
        for (int64_t k = 0; k < n; k++) {
            assert_true(isfinite(((const float *)item->tensor.data)[k]));
        }
    }
    const float *diff = sl_trainer_params(tiny->trainer)->diff;
    for (int64_t i = 0; i < tiny->net->total; i++) {
        assert_true(diff[i] == 0.0f);
    }
    /* Training goes on from there. */
    struct sl_step_numbers after = tiny_step(tiny);
    assert_true(isfinite(after.loss));
    assert_int_equal(after.step, 2);
    sl_heap_free(before);
    tiny_end(tiny);
}

static void test_nothing_is_updated(void **state)
{
    (void)state;
    kit_each_backend(check_nothing_is_updated);
}

/* A parameter that is not finite is named, by the first width that has it. */
static void test_first_tensor_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *width;
    } rows[] = {
        {"encoder.layer2.0.conv1.weight", "width 1.00"},
        {"encoder.layer1.0.norm1@0.5.scale", "width 0.50"},
        {"head.2.bias", "width 1.00"},
    };

    for (int i = 0; i < SL_COUNT(rows); i++) {
        struct sl_error err = {0};
        struct sl_trainer_config config = tiny_config();
        struct sl_step_numbers numbers;
        struct tiny *tiny = tiny_start("ref", four, &config);
        tiny_tensor(tiny, rows[i].tensor)[0] = (float)INFINITY;
        struct sl_batch batch = tiny_batch(tiny, 0);
        assert_int_equal(sl_trainer_step(&err, tiny->trainer, &batch, &numbers),
                         SL_ERROR_NUMBERS);
        if (strstr(err.text, rows[i].tensor) == NULL ||
            strstr(err.text, rows[i].width) == NULL) {
            fail_msg("%s instead of %s", err.text, rows[i].tensor);
        }
        tiny_end(tiny);
    }
}

/* A wild learning rate ends in SL_ERROR_NUMBERS within a few steps, on every backend. */
static void test_wild_learning_rate(void **state)
{
    (void)state;
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        struct sl_trainer_config config = tiny_config();
        config.lr.peak = 1e30;
        struct tiny *tiny = tiny_start(sl_backend_name(i), four, &config);
        enum sl_status status = SL_OK;
        for (int step = 0; step < 10 && status == SL_OK; step++) {
            struct sl_error err = {0};
            struct sl_step_numbers numbers;
            struct sl_batch batch = tiny_batch(tiny, step);
            status = sl_trainer_step(&err, tiny->trainer, &batch, &numbers);
            if (status != SL_OK) {
                print_message("%s\n", err.text);
            }
        }
        assert_int_equal(status, SL_ERROR_NUMBERS);
        tiny_end(tiny);
    }
}

static int warnings;

static void count_warnings(void *context, enum sl_log_level level, const char *line)
{
    (void)context;
    warnings += level == SL_LOG_WARNING && strstr(line, "discarded") != NULL;
}

static void test_skip(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_trainer_config config = tiny_config();
    struct sl_step_numbers numbers;

    config.skip_nonfinite = 2;
    struct tiny *tiny = tiny_start("ref", four, &config);
    sl_log_set(count_warnings, NULL);
    (void)tiny_step(tiny);
    float weight = tiny_tensor(tiny, "encoder.conv1.weight")[0];
    for (int round = 0; round < 2; round++) { /* two in a row, twice: the count starts
                                                 anew */
        for (int i = 0; i < 2; i++) {
            assert_int_equal(poisoned_step(&err, tiny, &numbers), SL_OK);
            assert_true(numbers.skipped && err.status == SL_OK);
        }
        assert_true(tiny_tensor(tiny, "encoder.conv1.weight")[0] == weight);
        assert_false(tiny_step(tiny).skipped);
        assert_true(tiny_tensor(tiny, "encoder.conv1.weight")[0] != weight);
        weight = tiny_tensor(tiny, "encoder.conv1.weight")[0];
    }
    assert_int_equal(sl_trainer_steps(tiny->trainer), 7);
    assert_int_equal(poisoned_step(&err, tiny, &numbers), SL_OK);
    assert_int_equal(poisoned_step(&err, tiny, &numbers), SL_OK);
    assert_int_equal(poisoned_step(&err, tiny, &numbers), SL_ERROR_NUMBERS);
    assert_int_equal(sl_trainer_steps(tiny->trainer), 9);
    assert_int_equal(warnings, 6);
    sl_log_set(NULL, NULL);
    tiny_end(tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_updated),
        cmocka_unit_test(test_first_tensor_is_named),
        cmocka_unit_test(test_wild_learning_rate),
        cmocka_unit_test(test_skip),
    };
    return cmocka_run_group_tests_name("nonfinite", tests, NULL, NULL);
}
