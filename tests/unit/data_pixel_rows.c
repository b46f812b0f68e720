/* SPDX-License-Identifier: MIT */
/*
 * The loops over pixels: every table this machine can run gives the same bits, for runs
 * of any length, and the hue of every colour is what PIL's arithmetic, written down
 * literally here, makes of it.
 */
#include "data/pixel_rows_int.h"
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 1500 };

static const int lengths[] = {1,  2,  7,   15,  16,  17,   31,  33,
                              63, 64, 100, 127, 129, 1000, MOST};

/* Bytes with stretches of the extremes, so that clipping happens. */
static void fill(unsigned char *bytes, int64_t n, uint32_t key)
{
    struct sl_rng rng = sl_rng_at(17, SL_RNG_TEST, key, 0);
    for (int64_t i = 0; i < n; i++) {
        uint32_t x = sl_rng_u32(&rng);
        bytes[i] = (x & 0xf00) == 0 ? 0 : (x & 0xf00) == 0x100 ? 255 : (unsigned char)x;
    }
}

/* Three planes and room behind them. */
struct trio {
    unsigned char at[3][MOST + SL_ROW_SLACK];
};

static struct trio trio_of(uint32_t key)
{
    struct trio trio;
    for (uint32_t c = 0; c < 3; c++) {
        fill(trio.at[c], sizeof(trio.at[c]), 3 * key + c);
    }
    return trio;
}

/* One of the functions on three planes of n pixels; bytes behind must stay. */
static void run(const struct sl_pixel_rows *rows, int function, int64_t n, struct trio *x,
                struct trio *out)
{
    static const float factors[2] = {0.61f, 1.39f};
    switch (function) {
    case 0:
        rows->luma(n, x->at[0], x->at[1], x->at[2], out->at[0]);
        break;
    case 1: {
        int64_t sum = rows->luma_sum(n, x->at[0], x->at[1], x->at[2]);
        memcpy(out->at[0], &sum, sizeof(sum));
        break;
    }
    case 2:
    case 3:
        rows->blend(n, function == 2 ? 0 : 117, factors[function - 2], x->at[0]);
        break;
    case 4:
    case 5:
        rows->saturate(n, factors[function - 4], x->at[0], x->at[1], x->at[2]);
        break;
    case 6:
        rows->hue(n, 25, x->at[0], x->at[1], x->at[2]);
        break;
    case 7:
        rows->solarise(n, 128, x->at[1]);
        break;
    default:
        rows->split(n / 3, x->at[0], out->at[0], out->at[1], out->at[2]);
        break;
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int t = 0; sl_pixel_rows_at(t) != NULL; t++) {
        for (int function = 0; function <= 8; function++) {
            for (int l = 0; l < SL_COUNT(lengths); l++) {
                struct trio want = trio_of(1), got = want;
                struct trio want_out = trio_of(2), got_out = want_out;
                run(&sl_pixel_rows_base, function, lengths[l], &want, &want_out);
                run(sl_pixel_rows_at(t), function, lengths[l], &got, &got_out);
                assert_memory_equal(&got, &want, sizeof(got));
                assert_memory_equal(&got_out, &want_out, sizeof(got_out));
            }
        }
    }
}

static void test_lines(void **state)
{
    (void)state;
    static unsigned char lines[14 * MOST], want[MOST], got[MOST];
    int32_t weights[14];
    fill(lines, sizeof(lines), 50);
    for (int t = 0; sl_pixel_rows_at(t) != NULL; t++) {
        const struct sl_pixel_rows *rows = sl_pixel_rows_at(t);
        for (int n = 1; n <= 14; n++) {
            for (int l = 0; l < SL_COUNT(lengths); l++) {
                const unsigned char *taken[14];
                for (int k = 0; k < n; k++) {
                    weights[k] = (1 << SL_TAP_BITS) / n + (k == 0 ? 3 : 0);
                    taken[k] = lines + k * MOST;
                }
                memset(want, 7, sizeof(want));
                memset(got, 7, sizeof(got));
                sl_pixel_rows_base.blend_lines(lengths[l], weights, n, lines, MOST, want);
                rows->blend_lines(lengths[l], weights, n, lines, MOST, got);
                assert_memory_equal(got, want, sizeof(want));
                if (n >= 3 && n % 2 == 1) {
                    struct sl_box_filter box = {.radius = (n - 3) / 2,
                                                .inner =
                                                    (1U << 24) / (uint32_t)(n - 1) + 5};
                    box.outer = ((1U << 24) - (uint32_t)(n - 2) * box.inner) / 2;
                    sl_pixel_rows_base.box(lengths[l], &box, taken, want);
                    rows->box(lengths[l], &box, taken, got);
                    assert_memory_equal(got, want, sizeof(want));
                }
            }
        }
    }
}

/* Lines of every kind of step: enlarged, halved, shrunk a little, by much, by thousands.
 */
static void test_resize(void **state)
{
    (void)state;
    static const int sizes[][2] = {
        {1, 1},      {1, 40},     {7, 33},     {40, 41},  {63, 31},   {100, 37},
        {173, 224},  {300, 99},   {1000, 67},  {997, 1},  {830, 224}, {1180, 224},
        {1600, 224}, {1650, 224}, {1700, 224}, {2000, 9}, {9000, 2},  {224, 225}};
    static unsigned char line[9000 + SL_ROW_SLACK];
    static unsigned char want[256 + SL_ROW_SLACK], got[256 + SL_ROW_SLACK];
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    for (int bright = 0; bright < 2; bright++) {
        fill(line, sizeof(line), 77);
        if (bright == 1) {
            memset(line, 255, sizeof(line));
        }
        for (int s = 0; s < SL_COUNT(sizes); s++) {
            struct sl_taps taps;
            size_t to = (size_t)sizes[s][1];
            assert_int_equal(
                sl_taps_make(&err, arena, SL_TAPS_PLAIN, sizes[s][0], sizes[s][1], &taps),
                SL_OK);
            sl_pixel_rows_base.resize(&taps, line, want);
            assert_true(bright == 0 || want[0] >= 254);
            for (int t = 0; sl_pixel_rows_at(t) != NULL; t++) {
                const struct sl_pixel_rows *rows = sl_pixel_rows_at(t);
                assert_int_equal(sl_taps_make(&err, arena, rows->packing, sizes[s][0],
                                              sizes[s][1], &taps),
                                 SL_OK);
                memset(got, 1, sizeof(got));
                rows->resize(&taps, line, got);
                if (memcmp(got, want, to) != 0) {
                    fail_msg("%s: from %d to %d differs", sl_pixel_rows_at(t)->name,
                             sizes[s][0], sizes[s][1]);
                }
            }
        }
    }
    sl_arena_destroy(arena);
}

/* A sum of many weights, each rounded up, is clipped and does not wrap. */
static void test_clipped(void **state)
{
    (void)state;
    enum { TAPS = 40 };
    static unsigned char lines[TAPS * 70], got[70];
    int32_t weights[TAPS];
    memset(lines, 255, sizeof(lines));
    for (int k = 0; k < TAPS; k++) {
        weights[k] = (1 << SL_TAP_BITS) / TAPS + (1 << 10);
    }
    for (int t = 0; sl_pixel_rows_at(t) != NULL; t++) {
        sl_pixel_rows_at(t)->blend_lines(70, weights, TAPS, lines, 70, got);
        for (int i = 0; i < 70; i++) {
            assert_int_equal(got[i], 255);
        }
    }
}

/* The divisions that are written as products round as divisions do. */
static void test_normalise(void **state)
{
    (void)state;
    static float want[3 * 256], got[3 * 256];
    static unsigned char x[256];
    for (int v = 0; v < 256; v++) {
        x[v] = (unsigned char)v;
    }
    for (uint32_t trial = 0; trial < 2000; trial++) {
        float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
        struct sl_rng rng = sl_rng_at(3, SL_RNG_TEST, trial, 0);
        for (int c = 0; trial > 0 && c < 3; c++) {
            mean[c] = sl_rng_uniform(&rng);
            std[c] = 0.01f + sl_rng_uniform(&rng);
        }
        for (int i = 0; i < 3 * 256; i++) {
            want[i] = ((float)(i / 3) / 255.0f - mean[i % 3]) / std[i % 3];
        }
        for (int t = 0; sl_pixel_rows_at(t) != NULL; t++) {
            const struct sl_pixel_rows *rows = sl_pixel_rows_at(t);
            rows->normalise(256, x, x, x, false, mean, std, got);
            assert_memory_equal(got, want, sizeof(want));
        }
    }
    for (int t = 0; sl_pixel_rows_at(t) != NULL; t++) {
        const float mean[3] = {0.5f, 0.25f, 0.0f}, std[3] = {0.5f, 0.25f, 2.0f};
        for (int l = 0; lengths[l] < 256; l++) {
            int n = lengths[l];
            sl_pixel_rows_at(t)->normalise(n, x, x + 1, x, false, mean, std, want);
            sl_pixel_rows_at(t)->normalise(n, x, x + 1, x, true, mean, std, got);
            for (int i = 0; i < 3 * n; i++) {
                assert_true(got[i] == want[3 * (n - 1 - i / 3) + i % 3]);
            }
        }
    }
}

/* ---- hue --------------------------------------------------------------------------- */

static int largest(const unsigned char *rgb)
{
    int most = rgb[0] > rgb[1] ? rgb[0] : rgb[1];
    return most > rgb[2] ? most : rgb[2];
}

static int smallest(const unsigned char *rgb)
{
    int least = rgb[0] < rgb[1] ? rgb[0] : rgb[1];
    return least < rgb[2] ? least : rgb[2];
}

/* As PIL converts to HSV: single precision where it has it, double where C promotes. */
static int hue_of(const unsigned char *rgb, int most, float spread)
{
    float red = (float)(most - rgb[0]) / spread;
    float green = (float)(most - rgb[1]) / spread;
    float blue = (float)(most - rgb[2]) / spread;
    float sixths = rgb[0] == most   ? blue - green
                   : rgb[1] == most ? (float)(2.0 + (double)red - (double)blue)
                                    : (float)(4.0 + (double)green - (double)red);
    double turns = (double)sixths / 6.0 + 1.0;
    turns = turns >= 1.0 ? turns - 1.0 : turns;
    return (int)((double)(float)turns * 255.0);
}

static unsigned char round_up(double value)
{
    return (unsigned char)(int)(value + 0.5);
}

/* As PIL converts from HSV. */
static void from_hsv(int hue, int saturation, int value, unsigned char *rgb)
{
    int sixth = (int)((double)hue * 6.0 / 255.0);
    float part = (float)((double)hue * 6.0 / 255.0 - (double)sixth);
    float strength = (float)((double)saturation / 255.0);
    unsigned char v = (unsigned char)value;
    unsigned char p = round_up((double)value * (1.0 - (double)strength));
    unsigned char q = round_up((double)value * (1.0 - (double)(strength * part)));
    unsigned char t =
        round_up((double)value * (1.0 - (double)strength * (1.0 - (double)part)));
    const unsigned char rows[6][3] = {{v, t, p}, {q, v, p}, {p, v, t},
                                      {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(rgb, rows[sixth % 6], 3);
}

static void turn_literally(int turn, unsigned char *rgb)
{
    int most = largest(rgb), least = smallest(rgb);
    if (most == least) {
        return;
    }
    float spread = (float)(most - least);
    int saturation = (int)((double)(spread / (float)most) * 255.0);
    int hue = (hue_of(rgb, most, spread) + turn) & 255;
    if (saturation == 0) {
        memset(rgb, most, 3);
    } else {
        from_hsv(hue, saturation, most, rgb);
    }
}

/* All 2^24 colours, each turned by one of the 256 shifts (which one depends on the
 * colour, so that every way back is met from somewhere). */
static void test_hue_of_every_colour(void **state)
{
    (void)state;
    static unsigned char planes[3][256];
    int n_tables = 0;
    while (sl_pixel_rows_at(n_tables) != NULL) {
        n_tables++;
    }
    for (int red = 0; red < 256; red++) {
        for (int green = 0; green < 256; green++) {
            int turn = (37 * red + 101 * green) & 255;
            const struct sl_pixel_rows *rows = sl_pixel_rows_at((red + green) % n_tables);
            for (int blue = 0; blue < 256; blue++) {
                planes[0][blue] = (unsigned char)red;
                planes[1][blue] = (unsigned char)green;
                planes[2][blue] = (unsigned char)blue;
            }
            rows->hue(256, turn, planes[0], planes[1], planes[2]);
            for (int blue = 0; blue < 256; blue++) {
                unsigned char want[3] = {(unsigned char)red, (unsigned char)green,
                                         (unsigned char)blue};
                turn_literally(turn, want);
                if (planes[0][blue] != want[0] || planes[1][blue] != want[1] ||
                    planes[2][blue] != want[2]) {
                    fail_msg("%s: (%d, %d, %d) turned by %d is (%d, %d, %d), not (%d, "
                             "%d, %d)",
                             rows->name, red, green, blue, turn, planes[0][blue],
                             planes[1][blue], planes[2][blue], want[0], want[1], want[2]);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_resize),    cmocka_unit_test(test_clipped),
        cmocka_unit_test(test_normalise), cmocka_unit_test(test_hue_of_every_colour),
    };
    return cmocka_run_group_tests_name("data_pixel_rows", tests, NULL, NULL);
}
