/* SPDX-License-Identifier: MIT */
/*
 * Learning rates and momenta of the average at steps of the published recipes (with 1251
 * steps an epoch), worked out apart; lambdas of every mode; slow start as a step, and the
 * texts that name weights and slow starts, bad ones included.
 */
#include "learn/learn.h"
#include "netkit.h"

#include <math.h>

enum { PER_EPOCH = 1251 };

static struct sl_lr_config cosine(double peak, int epochs, double warmup_epochs)
{
    return (struct sl_lr_config){.schedule = SL_LR_COSINE,
                                 .peak = peak,
                                 .second_peak = peak,
                                 .second_from = INT64_MAX,
                                 .warmup_steps = warmup_epochs * PER_EPOCH,
                                 .total_steps = (int64_t)epochs * PER_EPOCH};
}

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.9g instead of %.9g", value, expected);
    }
}

/* ---- learning rates ---------------------------------------------------------------- */

static void test_lr_mocov2(void **state)
{
    (void)state;
    struct sl_lr_config config = cosine(0.2, 200, 10);

    near(sl_lr_at(&config, 0), 1e-8, 0);
    near(sl_lr_at(&config, 6255), 0.1, 1e-7);
    near(sl_lr_at(&config, 12510), 0.2, 0);
    near(sl_lr_at(&config, 62550), 0.17891, 5e-6);
    near(sl_lr_at(&config, 125100), 0.10826, 5e-6);
    near(sl_lr_at(&config, 187650), 0.03227, 5e-6);
    near(sl_lr_at(&config, 250199), 1e-8, 0);
    config = cosine(0.2, 800, 10);
    near(sl_lr_at(&config, 500400), 0.10199, 5e-6);
}

/* The jump of the second phase; the phase of the cosine goes on. */
static void test_lr_second_phase(void **state)
{
    (void)state;
    struct sl_lr_config config = cosine(1.2, 300, 9.9);
    config.second_peak = 3.2;
    config.second_from = 150 * PER_EPOCH;

    near(sl_lr_at(&config, 12384), 1.19991, 5e-6);
    near(sl_lr_at(&config, 187649), 0.63215, 5e-6);
    near(sl_lr_at(&config, 187650), 1.68573, 5e-6);
    near(sl_lr_at(&config, 281475), 0.49936, 5e-6);
}

static void test_lr_simclr(void **state)
{
    (void)state;
    struct sl_lr_config config = cosine(2.4, 100, 10);

    near(sl_lr_at(&config, 62550), 1.40838, 5e-6);
}

static void test_lr_edges(void **state)
{
    (void)state;
    struct sl_lr_config config = cosine(0.5, 1, 0);

    near(sl_lr_at(&config, 0), 0.5, 0); /* no warm-up */
    near(sl_lr_at(&config, 2 * PER_EPOCH), 1e-8, 0);
    config.schedule = SL_LR_CONSTANT;
    near(sl_lr_at(&config, 1000), 0.5, 0);
    config.warmup_steps = 10;
    near(sl_lr_at(&config, 5), 0.25, 1e-8);
    /* A warm-up of part of a step; one as long as the run. */
    config = cosine(0.5, 1, 0);
    config.warmup_steps = 0.5;
    near(sl_lr_at(&config, 0), 1e-8, 0);
    assert_true(sl_lr_at(&config, 1) < 0.5 && sl_lr_at(&config, 1) > 0.4999);
    config.warmup_steps = PER_EPOCH;
    near(sl_lr_at(&config, PER_EPOCH), 0.5, 0);
    assert_true(isfinite(sl_lr_at(&config, PER_EPOCH + 1)));
}

/* eta x 0.1 from each milestone on, after the warm-up. */
static void test_lr_step(void **state)
{
    (void)state;
    struct sl_lr_config config = cosine(0.5, 100, 0);
    config.schedule = SL_LR_STEP;
    config.milestones[0] = 60 * PER_EPOCH;
    config.milestones[1] = 80 * PER_EPOCH;
    config.n_milestones = 2;

    near(sl_lr_at(&config, 0), 0.5, 0);
    near(sl_lr_at(&config, 60 * PER_EPOCH - 1), 0.5, 0);
    near(sl_lr_at(&config, 60 * PER_EPOCH), 0.05, 1e-12);
    near(sl_lr_at(&config, 80 * PER_EPOCH - 1), 0.05, 1e-12);
    near(sl_lr_at(&config, 80 * PER_EPOCH), 0.005, 1e-12);
    config.warmup_steps = 10;
    near(sl_lr_at(&config, 5), 0.25, 1e-8);
}

/* The published CIFAR loop: lr of epoch e = 1 … 100 is 0.03 (1 + cos(pi (e - 1) / 101)).
 */
static void test_lr_epoch_cosine(void **state)
{
    (void)state;
    enum { BATCHES = 97 };
    const struct sl_lr_config config = {.schedule = SL_LR_EPOCH_COSINE,
                                        .peak = 0.06,
                                        .second_from = INT64_MAX,
                                        .total_steps = 100 * BATCHES,
                                        .epoch_steps = BATCHES};

    for (int epoch = 1; epoch <= 100; epoch++) {
        double expected = 0.03 * (1 + cos(3.14159265358979323846 * (epoch - 1) / 101));
        near(sl_lr_at(&config, (int64_t)(epoch - 1) * BATCHES), expected, 1e-15);
        near(sl_lr_at(&config, (int64_t)epoch * BATCHES - 1), expected, 1e-15);
    }
}

/* ---- momentum of the average ------------------------------------------------------- */

/* MoCo v3's at epochs 0, 75, 150, 225 and 300 of 300. */
static void test_average_momentum(void **state)
{
    (void)state;
    static const double expected[] = {0.99, 0.991464, 0.995, 0.998536, 1.0};
    struct sl_average_config config = {
        .momentum = 0.99, .cosine = true, .total_steps = (int64_t)300 * PER_EPOCH};

    for (int i = 0; i < SL_COUNT(expected); i++) {
        near(sl_average_momentum_at(&config, (int64_t)75 * i * PER_EPOCH), expected[i],
             5e-7);
    }
    near(sl_average_momentum_at(&config, (int64_t)301 * PER_EPOCH), 1.0, 0);
    config.cosine = false;
    near(sl_average_momentum_at(&config, 1000), 0.99, 0);
}

/* ---- weights of the widths --------------------------------------------------------- */

static void test_weights_table(void **state)
{
    (void)state;
    static const struct {
        enum sl_width_weights mode;
        double two[2], three[3], four[4];
    } rows[] = {
        {SL_WEIGHTS_UNIFORM, {1, 1}, {1, 1, 1}, {1, 1, 1, 1}},
        {SL_WEIGHTS_SHARE, {.667, .333}, {.571, .286, .143}, {.4, .3, .2, .1}},
        {SL_WEIGHTS_WIDTH, {1, .5}, {1, .5, .25}, {1, .75, .5, .25}},
        {SL_WEIGHTS_WIDTH_MEAN, {1.333, .667}, {1.714, .857, .429}, {1.6, 1.2, .8, .4}},
        {SL_WEIGHTS_DOMINANT, {1.5, 1}, {1.75, 1, 1}, {2.5, 1, 1, 1}},
        {SL_WEIGHTS_CUMULATIVE,
         {1.2, .8},
         {1.312, .938, .75},
         {1.538, 1.077, .769, .615}},
        {SL_WEIGHTS_DOMINANT_MAX, {1.5, 1}, {1.5, 1, 1}, {1.75, 1, 1, 1}},
    };
    static const char *const lists[] = {"1,0.5", "1,0.5,0.25", "1,0.75,0.5,0.25"};

    for (int r = 0; r < SL_COUNT(rows); r++) {
        const double *expected[] = {rows[r].two, rows[r].three, rows[r].four};
        for (int l = 0; l < SL_COUNT(lists); l++) {
            struct sl_widths widths = kit_widths(lists[l]);
            double weights[SL_WIDTHS_MAX];
            sl_width_weights_of(rows[r].mode, &widths, weights);
            for (int i = 0; i < widths.n; i++) {
                near(weights[i], expected[l][i], 1e-12);
            }
        }
    }
}

static void expect_weights(const char *text, double first, double last)
{
    struct sl_error err = {0};
    struct sl_widths widths = kit_widths("1,0.75,0.5,0.25");
    double weights[SL_WIDTHS_MAX];

    kit_ok(sl_width_weights_parse(&err, text, &widths, weights), &err);
    near(weights[0], first, 1e-12);
    near(weights[3], last, 1e-12);
}

static void test_weights_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "8",         "heavy",       "1,2,3",
                                      "1,,1,1",  "1,1,1,1,1", "1,-1,1,1",    "0,0,0,0",
                                      "1,x,1,1", "1,1,1,nan", "1,1,1,1e999", "1,1,1,"};

    expect_weights("dominant", 2.5, 1);
    expect_weights("5", 2.5, 1);
    expect_weights("4", 1, 1);
    expect_weights("share", .4, .1);
    expect_weights("dominant-max", 1.75, 1);
    expect_weights("3,1,1,0.5", 3, 0.5);
    expect_weights("1,0,0,0", 1, 0);
    for (int i = 0; i < SL_COUNT(bad); i++) {
        struct sl_error err = {0};
        struct sl_widths widths = kit_widths("1,0.75,0.5,0.25");
        double weights[SL_WIDTHS_MAX];
        assert_int_equal(sl_width_weights_parse(&err, bad[i], &widths, weights),
                         SL_ERROR_USAGE);
        assert_non_null(strstr(err.text, "--width-weights"));
    }
}

/* ---- slow start -------------------------------------------------------------------- */

static int64_t slow_start(const char *text, double epochs, double per_epoch)
{
    struct sl_error err = {0};
    int64_t step = -1;

    kit_ok(sl_slow_start_parse(&err, text, epochs, per_epoch, &step), &err);
    return step;
}

static void test_slow_start(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "%",   "half", "-1",    "-5%",
                                      "101%", "nan", "inf",  "1e300", "5 %%"};

    assert_int_equal(slow_start("50%", 200, 1251), 125100);
    assert_int_equal(slow_start("50%", 3, 195), 293); /* 292.5, rounded up */
    assert_int_equal(slow_start("0", 3, 195), 0);
    assert_int_equal(slow_start("0%", 3, 195), 0);
    assert_int_equal(slow_start("100%", 3, 195), 585);
    assert_int_equal(slow_start("2.5", 3, 10), 25);
    assert_int_equal(slow_start("3", 100, 195), 585);
    /* 0.07 * 100 is 7.000000000000001 in doubles; it must stay 7 epochs. */
    assert_int_equal(slow_start("7%", 100, 1000), 7000);
    for (int i = 0; i < SL_COUNT(bad); i++) {
        struct sl_error err = {0};
        int64_t step;
        assert_int_equal(sl_slow_start_parse(&err, bad[i], 10, 10, &step),
                         SL_ERROR_USAGE);
        assert_non_null(strstr(err.text, "--slow-start"));
    }
}

static void test_active(void **state)
{
    (void)state;
    struct sl_widths widths = kit_widths("1,0.75,0.5,0.25");

    assert_int_equal(sl_widths_active(&widths, 10, 0), 1);
    assert_int_equal(sl_widths_active(&widths, 10, 9), 1);
    assert_int_equal(sl_widths_active(&widths, 10, 10), 4);
    assert_int_equal(sl_widths_active(&widths, 0, 0), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lr_mocov2),        cmocka_unit_test(test_lr_second_phase),
        cmocka_unit_test(test_lr_simclr),        cmocka_unit_test(test_lr_edges),
        cmocka_unit_test(test_lr_step),          cmocka_unit_test(test_lr_epoch_cosine),
        cmocka_unit_test(test_average_momentum), cmocka_unit_test(test_weights_table),
        cmocka_unit_test(test_weights_text),     cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_active),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
