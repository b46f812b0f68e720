/* SPDX-License-Identifier: MIT */
/*
 * Contour lines lie where the value is, and a figure of a plane holds them with paths:
 * the levels that the values reach, in the key too, and every path to its marked end.
 */
#include "draw/draw.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- contour lines ----------------------------------------------------------------- */

struct traced {
    int n;
    double length, worst; /* how far ends lie from where the line should be */
    double radius;        /* of a circle, or 0: the line x = 0.3 */
};

static void trace(void *context, double x0, double y0, double x1, double y1)
{
    struct traced *traced = context;
    const double ends[2][2] = {{x0, y0}, {x1, y1}};
    traced->n++;
    traced->length += hypot(x1 - x0, y1 - y0);
    for (int i = 0; i < 2; i++) {
        double off = traced->radius > 0 ? hypot(ends[i][0], ends[i][1]) - traced->radius
                                        : ends[i][0] - 0.3;
        traced->worst = fmax(traced->worst, fabs(off));
    }
}

static void test_contour(void **state)
{
    (void)state;
    enum { N = 41 };
    static double value[N * N];
    struct sl_grid grid = {.nx = N, .ny = N, .x = {-1, 1}, .y = {-1, 1}, .value = value};
    for (int j = 0; j < N; j++) {
        for (int i = 0; i < N; i++) {
            value[j * N + i] = sl_grid_x(&grid, i);
        }
    }
    struct traced line = {0};
    sl_contour(&grid, 0.3 - 1e-9, trace, &line);
    assert_int_equal(line.n, N - 1);
    assert_true(fabs(line.length - 2) < 1e-9 && line.worst < 1e-6);
    line = (struct traced){0};
    sl_contour(&grid, 1.5, trace, &line);
    assert_int_equal(line.n, 0);

    for (int j = 0; j < N; j++) {
        for (int i = 0; i < N; i++) {
            value[j * N + i] = hypot(sl_grid_x(&grid, i), sl_grid_y(&grid, j));
        }
    }
    struct traced circle = {.radius = 0.52};
    sl_contour(&grid, circle.radius, trace, &circle);
    assert_true(fabs(circle.length - 2 * acos(-1.0) * circle.radius) < 0.01);
    assert_true(circle.worst < 0.002);
    /* Cells with a value that is not known have no line. */
    value[(N / 2) * N + N / 2 + 10] = NAN;
    struct traced broken = {.radius = 0.52};
    sl_contour(&grid, circle.radius, trace, &broken);
    assert_true(broken.n < circle.n && broken.length < circle.length);

    /* A saddle: two corners above, two below; the middle says which pair is joined. */
    double saddle[4] = {1, -1, -1, 1.5};
    struct sl_grid cell = {.nx = 2, .ny = 2, .x = {0, 1}, .y = {0, 1}, .value = saddle};
    struct traced high = {.radius = 1};
    sl_contour(&cell, 0.0, trace, &high);
    assert_int_equal(high.n, 2);
    saddle[3] = 0.5; /* the middle falls below: the high corners are cut off instead */
    struct traced low = {.radius = 1};
    sl_contour(&cell, 0.0, trace, &low);
    assert_int_equal(low.n, 2);
    assert_true(fabs(low.length - high.length) > 0.01);
}

/* ---- a plane ----------------------------------------------------------------------- */

static int count_of(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

static void test_plane(void **state)
{
    static double value[] = {12, 12, 12, 27, 27, NAN, 27, 27, 27};
    static const double x[] = {0, 1, 1.5}, y[] = {0, 0.5, 9};
    const struct sl_grid grid = {
        .nx = 3, .ny = 3, .x = {0, 2}, .y = {0, 2}, .value = value};
    const struct sl_contours contours = {
        .grid = &grid, .step = 5, .n_levels = 20, .name = "error & more"};
    const struct sl_series series[] = {
        {.name = "a", .draw = SL_DRAW_PATH, .n = 3, .x = x, .y = y},
        {.name = "b", .colour = 1, .draw = SL_DRAW_PATH, .n = 2, .x = x, .y = y}};
    struct sl_plot plot = {.id = "plane",
                           .title = "A plane",
                           .x_name = "x",
                           .y_name = "y",
                           .has_x_range = true,
                           .has_y_range = true,
                           .x_high = 2,
                           .y_high = 2,
                           .series = series,
                           .n_series = 2,
                           .is_plane = true,
                           .contours = &contours};
    struct sl_text text = {0};
    (void)state;
    sl_plot_svg(&plot, true, &text);
    assert_false(text.failed);
    /* 15, 20 and 25 are reached: a line and a sample each, from low to high colour. */
    assert_int_equal(count_of(text.text, "class=\"v v0"), 2);
    assert_int_equal(count_of(text.text, "class=\"v v15"), 2);
    assert_int_equal(count_of(text.text, "class=\"v "), 6);
    assert_non_null(strstr(text.text, ">15</text>"));
    assert_non_null(strstr(text.text, ">25</text>"));
    assert_null(strstr(text.text, ">10</text>"));
    assert_non_null(strstr(text.text, ">error &amp; more</text>"));
    /* A mark a place, one in the legend, and the ring of the end; squares the second. */
    assert_int_equal(count_of(text.text, "<circle class=\"p c0\""), 4);
    assert_int_equal(count_of(text.text, "<rect class=\"p c1\""), 3);
    assert_int_equal(count_of(text.text, "class=\"paper\" cx"), 1);
    /* What lies outside is cut off, not moved to the frame. */
    assert_non_null(strstr(text.text, "clip-path=\"url(#box-plane)\""));
    assert_null(strstr(text.text, "nan"));
    sl_text_finish(&text);

    /* Where the highest value is a level itself, nothing lies above: no line, no key. */
    for (int i = 0; i < SL_COUNT(value); i++) {
        value[i] = i == 8 ? 25 : 12;
    }
    text = (struct sl_text){0};
    sl_plot_svg(&plot, true, &text);
    assert_int_equal(count_of(text.text, "class=\"v "), 4);
    assert_non_null(strstr(text.text, ">20</text>"));
    assert_null(strstr(text.text, ">25</text>"));
    sl_text_finish(&text);

    plot.contours = NULL;
    text = (struct sl_text){0};
    sl_plot_svg(&plot, false, &text);
    assert_int_equal(count_of(text.text, "class=\"v "), 0);
    assert_int_equal(count_of(text.text, "<?xml"), 0);
    sl_text_finish(&text);

    /* Nothing known: no line, no level. */
    plot.contours = &contours;
    text = (struct sl_text){0};
    for (int i = 0; i < SL_COUNT(value); i++) {
        value[i] = NAN;
    }
    sl_plot_svg(&plot, false, &text);
    assert_int_equal(count_of(text.text, "class=\"v "), 0);
    sl_text_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contour),
        cmocka_unit_test(test_plane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
