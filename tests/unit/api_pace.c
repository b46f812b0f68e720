/* SPDX-License-Identifier: MIT */
/*
 * The pace of a run from steps of known length: it is smoothed, it begins anew when the
 * sub-networks join, and the time left knows before that steps will get dearer. The steps
 * between two metric lines, as they were. And the pace of a pass over pictures, which
 * begins anew with the next pass.
 */
#include "../../cli/cli.h"
#include "api/run_int.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(double seen, double expected)
{
    assert_true(seen > expected - 1e-9 && seen < expected + 1e-9);
}

enum { JOIN = 10, TOTAL = 20, BATCH = 8 };

static double left(const struct api_pace *pace, int64_t step)
{
    return api_pace_left(pace, step, JOIN, TOTAL, BATCH);
}

static void test_run(void **state)
{
    struct api_pace pace = {.n_widths = 4, .join_factor = 3.0};
    (void)state;
    expect(left(&pace, 0), 0.0);
    api_pace_step(&pace, 1, BATCH, 2.0, 1.0);
    expect(pace.rate, 4.0);
    expect(pace.wait, 0.5);
    /* Nine steps of 2 s, then ten that are three times as dear. */
    expect(left(&pace, 1), 9 * 2.0 + 10 * 6.0);
    api_pace_step(&pace, 1, BATCH, 1.0, 0.1);
    expect(pace.rate, 0.95 * 4.0 + 0.05 * 8.0);
    expect(pace.wait, 0.95 * 0.5 + 0.05 * 0.1);
    expect(left(&pace, 12), 8 * 3.0 * BATCH / pace.rate);
    /* The first step of all widths is all that is known of such steps. */
    api_pace_step(&pace, 4, BATCH, 16.0, 0.0);
    expect(pace.rate, 0.5);
    expect(pace.wait, 0.0);
    expect(left(&pace, 11), 9 * 16.0);
    api_pace_step(&pace, 4, BATCH, 0.0, 0.0);
    expect(pace.rate, 0.475);
    expect(left(&pace, TOTAL), 0.0);
}

/* Nothing is known of a resumed run's steps but those of this process. */
static void test_resumed_run(void **state)
{
    struct api_pace pace = {.n_widths = 2, .join_factor = 2.0};
    (void)state;
    api_pace_step(&pace, 2, BATCH, 4.0, 0.0);
    expect(pace.rate, 2.0);
    expect(left(&pace, 15), 5 * 4.0);
    /* No widths but one: none joins. */
    pace = (struct api_pace){.n_widths = 1, .join_factor = 1.0};
    api_pace_step(&pace, 1, BATCH, 4.0, 0.0);
    expect(left(&pace, 1), 19 * 4.0);
}

/* Between two metric lines only steps count, each with its own length. */
static void test_window(void **state)
{
    struct api_window window = {0};
    (void)state;
    expect(api_window_rate(&window), 0.0);
    expect(api_window_wait(&window), 0.0);
    api_window_step(&window, BATCH, 1.0, 0.5);
    expect(api_window_rate(&window), 8.0);
    expect(api_window_wait(&window), 0.5);
    api_window_step(&window, BATCH, 3.0, 0.0);
    expect(api_window_rate(&window), 4.0);
    expect(api_window_wait(&window), 0.125);
}

static void test_pass(void **state)
{
    struct cli_pace pace;
    (void)state;
    cli_pace_begin(&pace, 1000.0);
    cli_pace_step(&pace, 0, 100, 1000.0);
    expect(pace.per_second, 0.0);
    expect(pace.left_s, 0.0);
    cli_pace_step(&pace, 20, 100, 1010.0);
    expect(pace.per_second, 2.0);
    expect(pace.left_s, 40.0);
    cli_pace_step(&pace, 100, 100, 1020.0);
    expect(pace.per_second, 5.0);
    expect(pace.left_s, 0.0);
    /* Another pass, whose pictures take another time each. */
    cli_pace_step(&pace, 10, 50, 1021.0);
    expect(pace.per_second, 10.0);
    expect(pace.left_s, 4.0);
    cli_pace_step(&pace, 20, 50, 1024.0);
    expect(pace.per_second, 5.0);
    expect(pace.left_s, 6.0);
    cli_pace_step(&pace, 5, 10, 1024.0);
    expect(pace.per_second, 0.0);
    expect(pace.left_s, 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_resumed_run),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_pass),
    };
    return cmocka_run_group_tests_name("api_pace", tests, NULL, NULL);
}
