/* SPDX-License-Identifier: MIT */
/*
 * Recipes: a view is a function of its key alone, crops are distributed as torchvision's,
 * each step happens as often as its probability says, and the evaluation view is the
 * centre.
 */
#include "unit/data_testkit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const float no_mean[3] = {0, 0, 0},
                   no_std[3] = {1.0f / 255, 1.0f / 255, 1.0f / 255};

/* Red is the column, green the row: what a crop shows tells where it was. */
static struct sl_image map_image(struct sl_arena *arena, int height, int width)
{
    struct sl_error err = {0};
    struct sl_image image = {NULL, height, width, 3};
    assert_int_equal(
        sl_arena_alloc(&err, arena, (int64_t)height * width * 3, 1, &image.pixels),
        SL_OK);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            unsigned char *p = image.pixels + 3 * (y * width + x);
            p[0] = (unsigned char)x;
            p[1] = (unsigned char)y;
            p[2] = 90;
        }
    }
    return image;
}

static struct sl_recipe recipe_of(const char *name, int size)
{
    struct sl_error err = {0};
    struct sl_recipe recipe;
    assert_int_equal(sl_recipe_named(&err, name, size, no_mean, no_std, &recipe), SL_OK);
    return recipe;
}

/* Everything off but the crop. */
static struct sl_recipe crop_only(int size)
{
    struct sl_recipe recipe = recipe_of("mocov2", size);
    recipe.jitter_p = recipe.grey_p = recipe.blur_p = recipe.flip_p = 0;
    return recipe;
}

static void view_of(const struct sl_recipe *recipe, const struct sl_image *image,
                    uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t view,
                    struct sl_arena *arena, float *dst)
{
    struct sl_error err = {0};
    assert_int_equal(
        sl_augment(&err, recipe, image, seed, epoch, sample, view, arena, dst), SL_OK);
}

static void test_recipes(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_recipe recipe = recipe_of("mocov2", 32);
    assert_float_equal(recipe.blur_p, 0, 0);
    assert_float_equal(recipe.crop_min, 0.2, 1e-7);
    assert_float_equal(recipe.hue, 0.1, 1e-7);
    assert_float_equal(recipe_of("mocov2", 65).blur_p, 0.5, 0);
    assert_int_equal(recipe_of("eval", 224).resize_short, 256);
    assert_int_equal(recipe_of("eval", 64).resize_short, 0);
    assert_false(recipe_of("none", 32).random);
    assert_int_equal(sl_recipe_named(&err, "mocov9", 32, no_mean, no_std, &recipe),
                     SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "mocov9"));
    sl_error_clear(&err);
    assert_int_equal(sl_recipe_named(&err, "eval", 0, no_mean, no_std, &recipe),
                     SL_ERROR_USAGE);
}

/* Same key, same bits, whatever was asked before; any other key, another view. */
static void test_keyed(void **state)
{
    (void)state;
    enum { SIZE = 20, FLOATS = SIZE * SIZE * 3 };
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    struct sl_recipe recipe = recipe_of("mocov2", SIZE);
    static float first[FLOATS], again[FLOATS], other[FLOATS];
    recipe.blur_p = 0.5f;
    recipe.solarise_p = 0.3f;
    kit_golden_image("picture.ppm", arena, &image);
    view_of(&recipe, &image, 7, 3, 41, 1, arena, first);
    view_of(&recipe, &image, 8, 3, 41, 1, arena, other);
    assert_memory_not_equal(first, other, sizeof(first));
    view_of(&recipe, &image, 7, 4, 41, 1, arena, other);
    assert_memory_not_equal(first, other, sizeof(first));
    view_of(&recipe, &image, 7, 3, 42, 1, arena, other);
    assert_memory_not_equal(first, other, sizeof(first));
    view_of(&recipe, &image, 7, 3, 41, 0, arena, other);
    assert_memory_not_equal(first, other, sizeof(first));
    view_of(&recipe, &image, 7, 3, 41, 1, arena, again);
    assert_memory_equal(first, again, sizeof(first));
    sl_arena_destroy(arena);
}

/* A step that is switched off must not change what the others draw. */
static void test_draws_do_not_move(void **state)
{
    (void)state;
    enum { SIZE = 16, FLOATS = SIZE * SIZE * 3 };
    struct sl_arena *arena = kit_arena();
    struct sl_image image = map_image(arena, 200, 200);
    struct sl_recipe plain = crop_only(SIZE), jittered = crop_only(SIZE);
    static float a[FLOATS], b[FLOATS];
    plain.flip_p = jittered.flip_p = 0.5f;
    jittered.jitter_p = jittered.blur_p = 1.0f;
    jittered.hue = jittered.saturation = jittered.contrast = jittered.brightness = 0;
    jittered.blur_min = jittered.blur_max = 0;
    for (uint32_t s = 0; s < 50; s++) {
        view_of(&plain, &image, 1, 0, s, 0, arena, a);
        view_of(&jittered, &image, 1, 0, s, 0, arena, b);
        assert_memory_equal(a, b, sizeof(a));
    }
    sl_arena_destroy(arena);
}

/* The box of a crop-only view of a map image, from what its borders show: output pixel k
 * of n lies at (k + 0.5) size / n - 0.5 from the box's start. */
static void box_of_view(const float *view, int size, double *left, double *width,
                        double *top, double *height)
{
    int a = size / 4, b = size - 1 - size / 4;
    const float *p = view + 3 * (a * size + a), *q = view + 3 * (b * size + b);
    *width = (double)(q[0] - p[0]) * size / (b - a);
    *height = (double)(q[1] - p[1]) * size / (b - a);
    *left = (double)p[0] + 0.5 - (a + 0.5) * *width / size;
    *top = (double)p[1] + 0.5 - (a + 0.5) * *height / size;
}

/* Moments of torchvision's RandomResizedCrop.get_params((0.2, 1), (3/4, 4/3)), from
 * 20,000 draws of it; ours must agree within about four standard errors and the reading's
 * rounding. */
static void test_crop_distribution(void **state)
{
    (void)state;
    enum { SIZE = 32, N = 4000 };
    struct sl_arena *arena = kit_arena();
    struct sl_image image = map_image(arena, 256, 256);
    struct sl_recipe recipe = crop_only(SIZE);
    static float view[SIZE * SIZE * 3];
    double area = 0, area2 = 0, aspect = 0, aspect2 = 0, tops = 0, least = 1;
    for (uint32_t s = 0; s < N; s++) {
        double left = 0, width = 0, top = 0, height = 0;
        view_of(&recipe, &image, 5, 0, s, 0, arena, view);
        box_of_view(view, SIZE, &left, &width, &top, &height);
        assert_true(left > -3 && top > -3 && left + width < 259 && top + height < 259);
        double part = width * height / 65536, slope = log(width / height);
        area += part / N;
        area2 += part * part / N;
        aspect += slope / N;
        aspect2 += slope * slope / N;
        tops += top / N;
        least = part < least ? part : least;
        assert_true(fabs(slope) < log(4.0 / 3.0) + 0.04);
    }
    assert_float_equal(area, 0.5412, 0.014);
    assert_float_equal(sqrt(area2 - area * area), 0.2018, 0.01);
    assert_float_equal(aspect, 0.0, 0.012);
    assert_float_equal(sqrt(aspect2 - aspect * aspect), 0.1576, 0.008);
    assert_float_equal(tops, 35.4, 2.3);
    assert_true(least > 0.18 && least < 0.25);
    sl_arena_destroy(arena);
}

/* Too long for any try: the centred box of the nearest aspect, as torchvision's (0, 111,
 * 20, 27) of a 20 x 250 picture and (111, 0, 28, 21) of a 250 x 21 one. */
static void test_crop_fallback(void **state)
{
    (void)state;
    struct sl_arena *arena = kit_arena();
    struct sl_image wide = map_image(arena, 20, 250), tall = map_image(arena, 250, 21);
    struct sl_recipe recipe = crop_only(9);
    recipe.crop_min = 0.9f;
    static float view[9 * 9 * 3], want[9 * 9 * 3];
    struct sl_error err = {0};
    struct sl_planes done;
    view_of(&recipe, &wide, 1, 0, 0, 0, arena, view);
    assert_int_equal(sl_pixels_resize(&err, arena, &wide, (struct sl_box){0, 111, 20, 27},
                                      9, 9, &done),
                     SL_OK);
    sl_pixels_normalise(&done, no_mean, no_std, false, want);
    assert_memory_equal(view, want, sizeof(want));
    view_of(&recipe, &tall, 1, 0, 0, 0, arena, view);
    assert_int_equal(sl_pixels_resize(&err, arena, &tall, (struct sl_box){111, 0, 28, 21},
                                      9, 9, &done),
                     SL_OK);
    sl_pixels_normalise(&done, no_mean, no_std, false, want);
    assert_memory_equal(view, want, sizeof(want));
    sl_arena_destroy(arena);
}

/* How often each step applies, told from pictures on which only that step shows. */
static void test_frequencies(void **state)
{
    (void)state;
    enum { SIZE = 8, N = 3000 };
    struct sl_arena *arena = kit_arena();
    struct sl_image image = map_image(arena, 64, 64);
    static float view[SIZE * SIZE * 3];
    int flips = 0, greys = 0, jitters = 0, solarised = 0;
    for (uint32_t s = 0; s < N; s++) {
        struct sl_recipe recipe = crop_only(SIZE);
        recipe.flip_p = 0.5f;
        view_of(&recipe, &image, 2, 0, s, 0, arena, view);
        flips += view[0] > view[3 * (SIZE - 1)];
        recipe = crop_only(SIZE);
        recipe.grey_p = 0.2f;
        view_of(&recipe, &image, 2, 0, s, 0, arena, view);
        greys += fabsf(view[0] - view[1]) + fabsf(view[1] - view[2]) < 0.5f;
        recipe = crop_only(SIZE);
        recipe.jitter_p = 0.8f;
        view_of(&recipe, &image, 2, 0, s, 0, arena, view);
        jitters += fabsf(view[2] - 90.0f) > 0.5f;
        recipe = crop_only(SIZE);
        recipe.solarise_p = 0.3f;
        struct sl_image bright = map_image(arena, 4, 4);
        memset(bright.pixels, 200, 4 * 4 * 3);
        view_of(&recipe, &bright, 2, 0, s, 0, arena, view);
        solarised += fabsf(view[0] - 55.0f) < 0.5f;
    }
    assert_in_range(flips, N / 2 - 120, N / 2 + 120);
    assert_in_range(greys, N / 5 - 100, N / 5 + 100);
    assert_in_range(jitters, 2220, 2520); /* 0.8, less the few that change nothing */
    assert_in_range(solarised, 900 - 110, 900 + 110);
    sl_arena_destroy(arena);
}

/* Short side to 8/7, then the centre; smaller sizes straight; the size itself untouched.
 */
static void test_eval_views(void **state)
{
    (void)state;
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image = map_image(arena, 150, 201);
    struct sl_planes middle, centre;
    struct sl_recipe recipe = recipe_of("eval", 70);
    static float view[150 * 150 * 3], want[150 * 150 * 3];
    assert_int_equal(recipe.resize_short, 80);
    view_of(&recipe, &image, 1, 0, 0, 0, arena, view);
    struct sl_box whole = {0, 0, 150, 201};
    /* 80 x 107; the centre starts at round(18.5) = 18 (halves to even) and 5. */
    assert_int_equal(sl_pixels_resize(&err, arena, &image, whole, 80, 107, &middle),
                     SL_OK);
    struct sl_image joined = kit_join(arena, &middle);
    struct sl_box box = {5, 18, 70, 70};
    assert_int_equal(sl_pixels_resize(&err, arena, &joined, box, 70, 70, &centre), SL_OK);
    sl_pixels_normalise(&centre, no_mean, no_std, false, want);
    assert_memory_equal(view, want, 70 * 70 * 3 * sizeof(float));

    recipe = recipe_of("eval", 32);
    view_of(&recipe, &image, 1, 0, 0, 0, arena, view);
    assert_int_equal(sl_pixels_resize(&err, arena, &image, whole, 32, 32, &centre),
                     SL_OK);
    sl_pixels_normalise(&centre, no_mean, no_std, false, want);
    assert_memory_equal(view, want, 32 * 32 * 3 * sizeof(float));

    recipe = recipe_of("eval", 150);
    image = map_image(arena, 150, 150);
    view_of(&recipe, &image, 1, 0, 0, 0, arena, view);
    centre = kit_split(arena, &image);
    sl_pixels_normalise(&centre, no_mean, no_std, false, want);
    assert_memory_equal(view, want, sizeof(want));

    image = map_image(arena, 1, 60000);
    recipe = recipe_of("eval", 224);
    assert_int_equal(sl_augment(&err, &recipe, &image, 1, 0, 0, 0, arena, view),
                     SL_ERROR_DATA);
    sl_arena_destroy(arena);
}

static void test_sampler(void **state)
{
    (void)state;
    enum { N = 1000 };
    static int32_t first[N], again[N], other[N], seed[N];
    static bool seen[N];
    int n_same = 0, n_fixed = 0;
    sl_sampler_order(9, 4, N, first);
    sl_sampler_order(9, 5, N, other);
    sl_sampler_order(10, 4, N, seed);
    sl_sampler_order(9, 4, N, again);
    assert_memory_equal(first, again, sizeof(first));
    for (int i = 0; i < N; i++) {
        assert_in_range(first[i], 0, N - 1);
        assert_false(seen[first[i]]);
        seen[first[i]] = true;
        n_same += (first[i] == other[i]) + (first[i] == seed[i]);
        n_fixed += first[i] == i;
    }
    assert_true(n_same < 15 && n_fixed < 10); /* 2 and 1 are expected */
    sl_sampler_order(1, 1, 1, first);
    assert_int_equal(first[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_keyed),
        cmocka_unit_test(test_draws_do_not_move),
        cmocka_unit_test(test_crop_distribution),
        cmocka_unit_test(test_crop_fallback),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_eval_views),
        cmocka_unit_test(test_sampler),
    };
    return cmocka_run_group_tests_name("data_augment", tests, NULL, NULL);
}
