/* SPDX-License-Identifier: MIT */
/*
 * Figures without eyes: axes whose ticks are round and within the range, texts of ticks,
 * where values land in the SVG, gaps, means of long lines, numbers in CSV; and that no
 * word of others' leaves the text it stands in.
 */
#include "draw/draw.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_ticks(double low, double high, int wanted, const double *at, int n)
{
    const struct sl_scale scale = {low, high, false};
    struct sl_ticks ticks = sl_scale_ticks(&scale, wanted);
    if (ticks.n != n) {
        fail_msg("[%g, %g]: %d ticks, wanted %d", low, high, ticks.n, n);
    }
    for (int i = 0; i < n; i++) {
        assert_true(fabs(ticks.at[i] - at[i]) <= 1e-9 * (high - low));
    }
}

static void test_ticks(void **state)
{
    (void)state;
    expect_ticks(0, 1, 5, (const double[]){0, 0.2, 0.4, 0.6, 0.8, 1}, 6);
    expect_ticks(0, 0.3, 3, (const double[]){0, 0.1, 0.2, 0.3}, 4);
    expect_ticks(-1.2, 1.2, 5, (const double[]){-1, -0.5, 0, 0.5, 1}, 5);
    expect_ticks(4.05, 5.3, 6, (const double[]){4.5, 5}, 2);
    expect_ticks(0, 252000, 6, (const double[]){0, 50000, 1e5, 1.5e5, 2e5, 2.5e5}, 6);
}

/* Whatever the range: some ticks, rising, all inside. */
static void test_ticks_of_any_range(void **state)
{
    (void)state;
    for (int i = 0; i < 4000; i++) {
        double low = (double)(sl_hash((uint64_t)i, "low", 3) % 2001) * 1e-3 - 1.0;
        double size = pow(10.0, (double)(sl_hash((uint64_t)i, "size", 4) % 25) - 12.0);
        double high =
            low + 0.001 + (double)(sl_hash((uint64_t)i, "high", 4) % 1000) * 0.01;
        bool is_log = i % 2 == 0 && low > 0.0;
        const struct sl_scale scale = sl_scale_make(low * size, high * size, is_log);
        struct sl_ticks ticks = sl_scale_ticks(&scale, 2 + i % 8);
        assert_true(scale.low <= low * size && scale.high >= high * size);
        assert_true(ticks.n >= 1 && ticks.n <= SL_TICKS_MOST);
        for (int k = 0; k < ticks.n; k++) {
            double place = sl_scale_place(&scale, ticks.at[k]);
            char text[64];
            assert_true(place >= -1e-6 && place <= 1.0 + 1e-6);
            assert_true(k == 0 || ticks.at[k] > ticks.at[k - 1]);
            sl_tick_text(ticks.at[k], ticks.step, false, text, sizeof text);
            assert_true(text[0] != '\0' && strlen(text) < 20);
        }
    }
}

static void test_scales(void **state)
{
    (void)state;
    struct sl_scale scale = sl_scale_make(0.2, 8, false); /* nearly from zero */
    assert_true(scale.low == 0.0 && scale.high > 8);
    scale = sl_scale_make(7, 8, false);
    assert_true(scale.low > 6.5 && scale.low < 7);
    scale = sl_scale_make(3, 3, false); /* one value lies in the middle */
    assert_true(fabs(sl_scale_place(&scale, 3) - 0.5) < 0.3);
    scale = sl_scale_make(INFINITY, -INFINITY, false); /* no value at all */
    assert_true(scale.low == 0.0 && scale.high == 1.0);
    scale = sl_scale_make(0, 10, true); /* no logarithm of nothing */
    assert_false(scale.is_log);
    scale = (struct sl_scale){1, 100, true};
    assert_true(fabs(sl_scale_place(&scale, 10) - 0.5) < 1e-12);
    assert_true(sl_scale_place(&scale, 0) < 0.0);
    struct sl_ticks ticks = sl_scale_ticks(&scale, 3);
    assert_true(ticks.n == 3 && ticks.at[0] == 1 && ticks.at[1] == 10);
}

static void test_tick_texts(void **state)
{
    static const struct {
        double value, step;
        bool is_percent;
        const char *text;
    } rows[] = {
        {0, 0.5, false, "0"},           {2.5, 0.5, false, "2.5"},
        {2, 0.5, false, "2.0"},         {1000, 500, false, "1000"},
        {12500, 2500, false, "12.5 k"}, {250000, 50000, false, "250 k"},
        {3e6, 1e6, false, "3 M"},       {0.4, 0.2, true, "40 %"},
        {0.005, 0.005, true, "0.5 %"},  {1, 0.5, true, "100 %"},
        {2e-5, 1e-5, false, "2×10⁻⁵"},  {-0.5, 0.05, false, "-0.50"},
        {10, 0, false, "10"},           {1e-12, 0, false, "1×10⁻¹²"},
    };
    (void)state;
    for (int i = 0; i < SL_COUNT(rows); i++) {
        char text[32];
        sl_tick_text(rows[i].value, rows[i].step, rows[i].is_percent, text, sizeof text);
        assert_string_equal(text, rows[i].text);
    }
}

/* ---- the figure -------------------------------------------------------------------- */

static int count_of(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

static char *svg_of(const struct sl_plot *plot, struct sl_text *text)
{
    sl_plot_svg(plot, false, text);
    assert_false(text->failed);
    return text->text;
}

/* The numbers "x y" of the last path of the given class. */
static int path_of(const char *svg, const char *classes, double *numbers, int most)
{
    char head[64];
    int n = 0;
    (void)snprintf(head, sizeof head, "class=\"%s\" d=\"", classes);
    const char *at = strstr(svg, head);
    assert_non_null(at);
    for (const char *next = at; next != NULL; next = strstr(at + 1, head)) {
        at = next; /* the first is the legend's */
    }
    for (at += strlen(head); *at != '"' && n < most;) {
        char *end = NULL;
        at += *at == 'M' || *at == 'L' || *at == ' ' || *at == 'Z';
        double value = strtod(at, &end);
        if (end == at) {
            break;
        }
        numbers[n++] = value;
        at = end;
    }
    return n;
}

static void test_line(void **state)
{
    static const double x[] = {0, 10, 20, 30, 40, 50}, y[] = {0, 1, NAN, 0.5, NAN, 1};
    const struct sl_series series = {
        .name = "one", .colour = 3, .n = 6, .x = x, .y = y, .draw = SL_DRAW_LINE};
    const struct sl_plot plot = {.id = "line",
                                 .title = "A line",
                                 .x_name = "step",
                                 .y_name = "value",
                                 .has_y_range = true,
                                 .y_high = 1,
                                 .series = &series,
                                 .n_series = 1};
    double at[16];
    struct sl_text text = {0};
    (void)state;
    const char *svg = svg_of(&plot, &text);
    assert_int_equal(path_of(svg, "l c3", at, 16), 8);
    assert_true(at[0] < at[2] && at[2] < at[4] && at[4] < at[6]);
    assert_true(fabs((at[6] - at[0]) - 5 * (at[2] - at[0])) < 0.6); /* x as 0:10:…:50 */
    assert_true(at[1] > at[3] && fabs(at[3] - at[7]) < 0.11);       /* up is more */
    assert_true(fabs(at[5] - (at[1] + at[3]) / 2) < 0.2);           /* 0.5 is half-way */
    assert_int_equal(count_of(svg, "<circle"), 4); /* few values show their points */
    assert_non_null(strstr(svg, ">one</text>"));
    assert_non_null(strstr(svg, ">step</text>"));
    sl_text_finish(&text);
}

/* A long line is a few hundred means; the file of numbers has all. */
static void test_long_line(void **state)
{
    enum { N = 5000 };
    static double x[N], y[N], at[4000];
    const struct sl_series series = {.n = N, .x = x, .y = y, .colour = -1};
    const struct sl_plot plot = {.id = "long",
                                 .title = "",
                                 .x_name = "x",
                                 .y_name = "y",
                                 .series = &series,
                                 .n_series = 1};
    struct sl_text text = {0}, csv = {0};
    (void)state;
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i % 2;
    }
    int n = path_of(svg_of(&plot, &text), "l g", at, 4000) / 2;
    assert_int_equal(sl_plot_bucket(N), 8);
    assert_int_equal(n, N / 8);
    for (int i = 0; i < n; i++) { /* the mean of 0 and 1, at every point */
        assert_true(at[2 * i + 1] == at[1]);
    }
    sl_plot_csv(&plot, &csv);
    assert_int_equal(count_of(csv.text, "\n"), N + 1);
    sl_text_finish(&text);
    sl_text_finish(&csv);
}

static void test_band_and_references(void **state)
{
    static const double x[] = {0, 1, 2}, low[] = {0, 0, 0}, high[] = {1, 0.5, NAN};
    const struct sl_series series = {.name = "band",
                                     .colour = 1,
                                     .draw = SL_DRAW_BAND,
                                     .n = 3,
                                     .x = x,
                                     .y = high,
                                     .base = low};
    const struct sl_reference lines[] = {{0.25, "quarter"}, {99, "not in sight"}};
    const struct sl_plot plot = {.id = "band",
                                 .title = "Bands",
                                 .x_name = "x",
                                 .y_name = "y",
                                 .has_y_range = true,
                                 .y_high = 1,
                                 .series = &series,
                                 .n_series = 1,
                                 .across = lines,
                                 .n_across = 2,
                                 .up = lines,
                                 .n_up = 2};
    double at[16];
    struct sl_text text = {0}, csv = {0};
    (void)state;
    const char *svg = svg_of(&plot, &text);
    assert_int_equal(path_of(svg, "b c1", at, 16), 8); /* there and back */
    assert_true(at[4] == at[2] && at[6] == at[0] && at[5] > at[3]);
    assert_int_equal(count_of(svg, ">quarter</text>"), 2);
    assert_int_equal(count_of(svg, "sight"), 0);
    /* The line across is named in the legend, before the axes, not on the data. */
    assert_true(strstr(svg, ">quarter</text>") < strstr(svg, "class=\"grid\""));
    sl_plot_csv(&plot, &csv);
    assert_string_equal(csv.text,
                        "series,\"x\",\"y\",base\n\"band\",0,1,0\n\"band\",1,0.5,0\n");
    sl_text_finish(&text);
    sl_text_finish(&csv);
}

static void test_no_data(void **state)
{
    static const double x[] = {1, 2}, y[] = {NAN, NAN};
    const struct sl_series series = {.name = "none", .n = 2, .x = x, .y = y};
    const struct sl_plot plot = {.id = "none",
                                 .title = "None",
                                 .x_name = "x",
                                 .y_name = "y",
                                 .series = &series,
                                 .n_series = 1};
    struct sl_text text = {0};
    (void)state;
    const char *svg = svg_of(&plot, &text);
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
    assert_non_null(strstr(svg, "</svg>"));
    sl_text_finish(&text);
}

/* ---- words of others --------------------------------------------------------------- */

static void expect_markup(const char *words, const char *expected)
{
    struct sl_text text = {0};
    sl_markup_add(&text, words);
    assert_string_equal(text.text != NULL ? text.text : "", expected);
    sl_text_finish(&text);
}

static void test_markup(void **state)
{
    (void)state;
    expect_markup("plain, 50 % – ü", "plain, 50 % – ü");
    expect_markup("<script>alert(\"1\" & '2')</script>",
                  "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
    expect_markup("a\x01"
                  "b\x7f\n\t",
                  "a\xEF\xBF\xBD"
                  "b\xEF\xBF\xBD\n\t");
    /* cut off, overlong, a surrogate, beyond the last, a lone tail, U+FFFE */
    static const char *const bad[] = {
        "\xC3",         "\xC0\xAF", "\xED\xA0\x80",     "\xF5\x80\x80\x80", "\x80",
        "\xEF\xBF\xBE", "\xE2\x82", "\xF4\x90\x80\x80", "\xE0\x80\xAF"};
    for (int i = 0; i < SL_COUNT(bad); i++) {
        struct sl_text text = {0};
        sl_markup_add(&text, bad[i]);
        assert_true(text.length % 3 == 0);
        assert_memory_equal(text.text, "\xEF\xBF\xBD", 3);
        sl_text_finish(&text);
    }
}

static void test_base64(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},        {"f", "Zg=="},          {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"}};
    (void)state;
    for (int i = 0; i < SL_COUNT(pairs); i++) {
        struct sl_text text = {0};
        sl_text_add(&text, "%s", "");
        sl_base64_add(&text, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text.text, pairs[i][1]);
        sl_text_finish(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_ticks_of_any_range),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_tick_texts),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_band_and_references),
        cmocka_unit_test(test_no_data),
        cmocka_unit_test(test_markup),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
