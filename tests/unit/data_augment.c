/* SPDX-License-Identifier: MIT */
/*
 * Recipes: a view is a function of its key alone, crops are distributed as torchvision's,
 * each step happens as often as its probability says, and the evaluation view is the
 * centre.
 */
#include "data/data_int.h"
#include "unit/data_testkit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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

/* ---- the distribution of every number ---------------------------------------------- */

/* Draws are functions of fixed keys, so that these tests cannot flake: a bound is passed
 * for good or never. Bounds are those of chance one in a thousand or less. */
enum { DRAWS = 20000 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Kolmogorov and Smirnov: the largest distance from the uniform distribution on [low,
 * high), times the root of the number, is above 1.95 once in a thousand. */
static void assert_uniform(const char *what, double *values, int n, double low,
                           double high)
{
    double most = 0;
    qsort(values, (size_t)n, sizeof(*values), by_value);
    for (int i = 0; i < n; i++) {
        double at = (values[i] - low) / (high - low);
        assert_true(at >= 0 && at <= 1);
        most = fmax(most, fmax(fabs(at - (double)i / n), fabs(at - (i + 1.0) / n)));
    }
    if (most * sqrt((double)n) > 1.95) {
        fail_msg("%s is not uniform on [%g, %g): distance %g over %d draws", what, low,
                 high, most, n);
    }
}

/* Within four deviations of a binomial count. */
static void assert_share(const char *what, int count, int n, double p)
{
    double off = fabs(count - n * p), sd = sqrt(n * p * (1 - p));
    if (off > 4 * sd) {
        fail_msg("%s: %d of %d, expected %g", what, count, n, n * p);
    }
}

static struct sl_draw draw_of(const struct sl_recipe *recipe, int height, int width,
                              uint32_t key)
{
    return sl_draw_view(recipe, height, width, 11, key >> 8, key & 255, key % 3);
}

/* So large a picture, and such crops, that the first try always fits and rounding to
 * pixels hides nothing. */
static void test_crops_are_uniform(void **state)
{
    (void)state;
    enum { SIDE = 60000 };
    static double area[DRAWS], aspect[DRAWS], top[DRAWS], left[DRAWS];
    struct sl_recipe recipe = recipe_of("mocov2", 32);
    recipe.crop_max = 0.5f;
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct sl_box box = draw_of(&recipe, SIDE, SIDE, i).box;
        area[i] = (double)box.height * box.width / ((double)SIDE * SIDE);
        aspect[i] = log((double)box.width / box.height);
        top[i] = (box.top + 0.5) / (SIDE - box.height + 1);
        left[i] = (box.left + 0.5) / (SIDE - box.width + 1);
    }
    assert_uniform("area", area, DRAWS, 0.2 - 1e-4, 0.5 + 1e-4);
    assert_uniform("log of the aspect", aspect, DRAWS, log(0.75) - 1e-4,
                   log(4.0 / 3) + 1e-4);
    assert_uniform("top", top, DRAWS, 0, 1);
    assert_uniform("left", left, DRAWS, 0, 1);
}

static void test_jitter_is_uniform(void **state)
{
    (void)state;
    static double values[4][DRAWS], radius[DRAWS];
    static const char *const names[4] = {"brightness", "contrast", "saturation", "hue"};
    struct sl_recipe recipe = recipe_of("mocov2", 224);
    recipe.solarise_p = 0.2f;
    int orders[256] = {0}, jitter = 0, grey = 0, blur = 0, solarise = 0, flip = 0;
    int both = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct sl_draw draw = draw_of(&recipe, 300, 400, i);
        int code = 0;
        for (int k = 0; k < 4; k++) {
            values[k][i] = (double)draw.values[k];
            code = 4 * code + draw.order[k];
        }
        orders[code]++;
        radius[i] = (double)draw.radius;
        jitter += draw.has_jitter;
        grey += draw.has_grey;
        blur += draw.has_blur;
        solarise += draw.has_solarise;
        flip += draw.mirrored;
        both += draw.has_blur && draw.mirrored;
    }
    for (int k = 0; k < 3; k++) {
        assert_uniform(names[k], values[k], DRAWS, 0.6 - 1e-6, 1.4 + 1e-6);
    }
    assert_uniform(names[3], values[3], DRAWS, -0.1 - 1e-6, 0.1 + 1e-6);
    assert_uniform("blur radius", radius, DRAWS, 0.1 - 1e-6, 2.0 + 1e-6);
    assert_share("jitter", jitter, DRAWS, 0.8);
    assert_share("grey", grey, DRAWS, 0.2);
    assert_share("blur", blur, DRAWS, 0.5);
    assert_share("solarise", solarise, DRAWS, 0.2);
    assert_share("flip", flip, DRAWS, 0.5);
    assert_share("blur and flip", both, DRAWS, 0.25);
    int n_orders = 0;
    double chi = 0;
    for (int code = 0; code < 256; code++) {
        int a = code >> 6, b = code >> 4 & 3, c = code >> 2 & 3, d = code & 3;
        bool is_order = (1 << a | 1 << b | 1 << c | 1 << d) == 15;
        n_orders += is_order;
        chi += is_order ? pow(orders[code] - DRAWS / 24.0, 2) / (DRAWS / 24.0) : 0;
        assert_true(is_order || orders[code] == 0);
    }
    assert_int_equal(n_orders, 24);
    assert_true(chi < 49.7); /* 23 degrees of freedom, one in a thousand */
}

/* By how much the published lighting moves red, green and blue: normal, with the
 * covariance of its three directions; half of the views are darker by a level. */
static void test_lighting(void **state)
{
    enum { SIZE = 4 };
    static const double spread[3] = {0.2175, 0.0188, 0.0045};
    static const double directions[3][3] = {{-0.5675, 0.7192, 0.4009},
                                            {-0.5808, -0.0045, -0.8140},
                                            {-0.5836, -0.6948, 0.4203}};
    static double normal[3][DRAWS];
    static float view[SIZE * SIZE * 3];
    double covariance[3][3] = {{0}};
    int darker[3] = {0}, n_views = 0;
    struct sl_recipe recipe = recipe_of("supervised", 224);
    (void)state;
    assert_float_equal(recipe.lighting, 0.1, 1e-7);
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct sl_draw draw = draw_of(&recipe, 300, 400, i);
        for (int a = 0; a < 3; a++) {
            double moved = (double)draw.light[a];
            normal[a][i] = moved;
            for (int b = 0; b < 3; b++) {
                covariance[a][b] += moved * (double)draw.light[b] / DRAWS;
            }
        }
    }
    for (int a = 0; a < 3; a++) {
        double want[3] = {0};
        for (int b = 0; b < 3; b++) {
            for (int j = 0; j < 3; j++) {
                want[b] += directions[a][j] * directions[b][j] * pow(0.1 * spread[j], 2);
            }
        }
        for (int b = 0; b < 3; b++) { /* a deviation of a variance is a hundredth */
            assert_true(fabs(covariance[a][b] - want[b]) < 0.04 * want[a]);
        }
        double sd = sqrt(want[a]);
        for (int i = 0; i < DRAWS; i++) {
            normal[a][i] = 0.5 + 0.5 * erf(normal[a][i] / (sd * sqrt(2.0)));
        }
        assert_uniform("lighting", normal[a], DRAWS, 0, 1);
    }
    struct sl_arena *arena = kit_arena();
    struct sl_image image = map_image(arena, SIZE, SIZE);
    memset(image.pixels, 90, SIZE * SIZE * 3);
    recipe = recipe_of("supervised", SIZE);
    recipe.jitter_p = 0;
    for (uint32_t i = 0; i < 2000; i++, n_views++) {
        view_of(&recipe, &image, 4, 0, i, 0, arena, view);
        for (int k = 0; k < SIZE * SIZE * 3; k++) {
            assert_int_equal(lrintf(view[k]), lrintf(view[k % 3]));
        }
        for (int c = 0; c < 3; c++) {
            darker[c] += lrintf(view[c]) == 89;
            assert_in_range(lrintf(view[c]), 89, 90);
        }
    }
    for (int c = 0; c < 3; c++) {
        assert_share("darker by a level", darker[c], n_views, 0.5);
    }
    assert_float_equal(recipe_of("mocov2", 224).lighting, 0, 0);
    sl_arena_destroy(arena);
}

/* Strengths above 1 do not make factors negative; two views differ. */
static void test_draw_bounds(void **state)
{
    (void)state;
    struct sl_recipe recipe = recipe_of("mocov2", 32);
    recipe.brightness = 1.0f;
    for (uint32_t i = 0; i < 2000; i++) {
        struct sl_draw draw = sl_draw_view(&recipe, 40, 50, 1, 0, i, 0);
        struct sl_draw other = sl_draw_view(&recipe, 40, 50, 1, 0, i, 1);
        assert_true(draw.values[0] >= 0 && draw.values[0] <= 2);
        assert_true(draw.values[0] != other.values[0]);
        assert_true(draw.box.top >= 0 && draw.box.top + draw.box.height <= 40);
        assert_true(draw.box.left >= 0 && draw.box.left + draw.box.width <= 50);
    }
}

/* The two views of MoCo v3: one is always blurred, the other seldom, but solarised at
 * times; of the other recipes both views have the same chances. */
static void test_second_view(void **state)
{
    enum { N = 4000 };
    static const struct {
        const char *name;
        double blur[2], solarise[2];
    } cases[] = {{"mocov3", {1.0, 0.1}, {0.0, 0.2}},
                 {"simclr", {0.5, 0.5}, {0.0, 0.0}},
                 {"supervised", {0.0, 0.0}, {0.0, 0.0}}};
    (void)state;
    for (int c = 0; c < SL_COUNT(cases); c++) {
        struct sl_recipe recipe = recipe_of(cases[c].name, 224);
        for (uint32_t view = 0; view < 2; view++) {
            double blurred = 0, solarised = 0;
            for (uint32_t i = 0; i < N; i++) {
                struct sl_draw draw = sl_draw_view(&recipe, 240, 250, 1, 0, i, view);
                blurred += draw.has_blur ? 1.0 / N : 0.0;
                solarised += draw.has_solarise ? 1.0 / N : 0.0;
            }
            assert_true(fabs(blurred - cases[c].blur[view]) < 0.03);
            assert_true(fabs(solarised - cases[c].solarise[view]) < 0.03);
        }
    }
    assert_float_equal(recipe_of("mocov3", 224).saturation, 0.2, 1e-7);
    assert_float_equal(recipe_of("mocov3", 32).second_blur_p, 0, 0);
    assert_float_equal(recipe_of("simclr", 224).crop_min, 0.08, 1e-7);
    assert_float_equal(recipe_of("simclr", 224).hue, 0.2, 1e-7);
    assert_float_equal(recipe_of("supervised", 224).jitter_p, 1, 0);
    assert_float_equal(recipe_of("supervised", 224).hue, 0, 0);
}

/* ---- whole views against torchvision ----------------------------------------------- */

enum { VIEW_FLOATS_MOST = 32 * 32 * 3 };

/* LISTING: FILE MAX SAMPLE VIEW a line: what torchvision makes of picture.ppm with the
 * numbers of that key (tools/golden_pixels.py draws them again in Python). */
static int check_views(const char *listed, const struct sl_recipe *recipe)
{
    char path[1024];
    unsigned char *listing = NULL;
    int64_t size = 0;
    int n = 0, floats = recipe->size * recipe->size * 3;
    struct sl_error err = {0};
    assert_true(floats <= VIEW_FLOATS_MOST);
    kit_golden_path(listed, path, sizeof(path));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 16, &listing, &size),
                     SL_OK);
    for (char *line = (char *)listing, *next = NULL; *line != '\0'; line = next, n++) {
        char name[64];
        int most = 0, worst = 0;
        unsigned int sample = 0, view = 0;
        double sum = 0;
        static float got[VIEW_FLOATS_MOST];
        struct sl_arena *arena = kit_arena();
        struct sl_image image, want;
        next = strchr(line, '\n');
        *next++ = '\0';
        assert_int_equal(sscanf(line, "%63s %d %u %u", name, &most, &sample, &view), 4);
        kit_golden_image("picture.ppm", arena, &image);
        kit_golden_image(name, arena, &want);
        assert_int_equal(want.width, recipe->size);
        view_of(recipe, &image, 5, 2, sample, view, arena, got);
        for (int i = 0; i < floats; i++) {
            int off = abs((int)lrintf(got[i]) - want.pixels[i]);
            worst = off > worst ? off : worst;
            sum += off;
        }
        if (worst > most || sum / floats > 0.5) {
            fail_msg("%s: %d levels off (%d allowed), %g in the mean (0.5 allowed)", name,
                     worst, most, sum / floats);
        }
        sl_arena_destroy(arena);
    }
    sl_heap_free(listing);
    return n;
}

static void test_views_are_torchvisions(void **state)
{
    (void)state;
    struct sl_recipe recipe = recipe_of("mocov2", 28), padded = recipe_of("padded", 32);
    recipe.blur_p = 0.5f;
    recipe.solarise_p = 0.2f;
    assert_int_equal(check_views("views.txt", &recipe), 12);
    assert_int_equal(check_views("padded.txt", &padded), 4);
}

/* ---- padded crops ------------------------------------------------------------------ */

/* What is drawn is one of the 81 places of a picture of 32 px, each as often, and half of
 * the views are mirrored, wherever they lie. */
static void test_padded_places(void **state)
{
    (void)state;
    int counts[9][9] = {{0}}, flips = 0, low_flips = 0, low = 0;
    double chi = 0;
    struct sl_recipe recipe = recipe_of("padded", 32);
    assert_int_equal(recipe.crop_pad, 4);
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct sl_draw draw = draw_of(&recipe, 32, 32, i);
        assert_in_range(draw.top + 4, 0, 8);
        assert_in_range(draw.left + 4, 0, 8);
        counts[draw.top + 4][draw.left + 4]++;
        flips += draw.mirrored;
        low += draw.left < 0;
        low_flips += draw.left < 0 && draw.mirrored;
        assert_false(draw.has_jitter || draw.has_grey || draw.has_blur ||
                     draw.has_solarise);
        assert_int_equal(draw.box.height * 100 + draw.box.width, 3232);
    }
    for (int place = 0; place < 81; place++) {
        double expected = DRAWS / 81.0, off = counts[place / 9][place % 9] - expected;
        chi += off * off / expected;
    }
    assert_true(chi < 124.8); /* 80 degrees of freedom, one in a thousand */
    assert_share("flip", flips, DRAWS, 0.5);
    assert_share("to the left and flip", low_flips, low, 0.5);
    assert_int_equal(recipe_of("padded", 64).crop_pad, 8);
    assert_int_equal(recipe_of("padded", 28).crop_pad, 4);
}

/* Every pixel of every view is the picture's at its place, or black beside it; a picture
 * of another size is fitted first, whole. */
static void test_padded_pixels(void **state)
{
    (void)state;
    enum { SIZE = 8, PAD = 3 };
    struct sl_arena *arena = kit_arena();
    struct sl_image image = map_image(arena, SIZE, SIZE);
    struct sl_image larger = map_image(arena, 20, 30);
    struct sl_recipe recipe = recipe_of("padded", SIZE);
    struct sl_planes fitted;
    struct sl_error err = {0};
    static float view[SIZE * SIZE * 3];
    recipe.crop_pad = PAD;
    recipe.flip_p = 0;
    assert_int_equal(sl_pixels_resize(&err, arena, &larger, (struct sl_box){0, 0, 20, 30},
                                      SIZE, SIZE, &fitted),
                     SL_OK);
    for (uint32_t key = 0; key < 200; key++) {
        struct sl_draw draw = sl_draw_view(&recipe, SIZE, SIZE, 3, 0, key, 0);
        struct sl_draw wide = sl_draw_view(&recipe, 20, 30, 3, 0, key, 0);
        view_of(&recipe, key % 2 == 0 ? &image : &larger, 3, 0, key, 0, arena, view);
        assert_int_equal(draw.top, wide.top);
        assert_int_equal(draw.left, wide.left);
        for (int i = 0; i < SIZE * SIZE; i++) {
            int y = i / SIZE + draw.top, x = i % SIZE + draw.left;
            bool inside = y >= 0 && y < SIZE && x >= 0 && x < SIZE;
            int want[3] = {0};
            for (int c = 0; c < 3 && inside; c++) {
                const int place[3] = {x, y, 90};
                want[c] = key % 2 == 0 ? place[c] : fitted.at[c][y * SIZE + x];
            }
            for (int c = 0; c < 3; c++) {
                assert_int_equal(lrintf(view[3 * i + c] * 1000.0F), want[c] * 1000);
            }
        }
    }
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
        cmocka_unit_test(test_crops_are_uniform),
        cmocka_unit_test(test_jitter_is_uniform),
        cmocka_unit_test(test_lighting),
        cmocka_unit_test(test_draw_bounds),
        cmocka_unit_test(test_second_view),
        cmocka_unit_test(test_views_are_torchvisions),
        cmocka_unit_test(test_padded_places),
        cmocka_unit_test(test_padded_pixels),
        cmocka_unit_test(test_eval_views),
        cmocka_unit_test(test_sampler),
    };
    return cmocka_run_group_tests_name("data_augment", tests, NULL, NULL);
}
