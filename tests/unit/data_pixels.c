/* SPDX-License-Identifier: MIT */
/*
 * Pixel functions against what Pillow makes of the same picture (tests/golden/pixels,
 * written by tools/golden_pixels.py): the same bits, save one resize that Pillow does in
 * another order.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Resizing takes a picture, all else planes. */
static void apply(const char *operation, const double v[6], struct sl_arena *arena,
                  const struct sl_image *image, struct sl_planes *planes)
{
    struct sl_error err = {0};
    float value = (float)v[0];
    *planes = kit_split(arena, image);
    if (strcmp(operation, "resize") == 0) {
        struct sl_box box = {(int)v[0], (int)v[1], (int)v[2], (int)v[3]};
        assert_int_equal(
            sl_pixels_resize(&err, arena, image, box, (int)v[4], (int)v[5], planes),
            SL_OK);
    } else if (strcmp(operation, "brightness") == 0) {
        sl_pixels_brightness(planes, value);
    } else if (strcmp(operation, "contrast") == 0) {
        sl_pixels_contrast(planes, value);
    } else if (strcmp(operation, "saturation") == 0) {
        sl_pixels_saturation(planes, value);
    } else if (strcmp(operation, "hue") == 0) {
        sl_pixels_hue(planes, value);
    } else if (strcmp(operation, "blur") == 0) {
        assert_int_equal(sl_pixels_blur(&err, arena, planes, value), SL_OK);
    } else if (strcmp(operation, "grey") == 0) {
        sl_pixels_grey(planes);
    } else if (strcmp(operation, "solarise") == 0) {
        sl_pixels_solarise(planes, (int)v[0]);
    } else if (strcmp(operation, "light") == 0) {
        const float levels[3] = {(float)v[0], (float)v[1], (float)v[2]};
        sl_pixels_light(planes, levels);
    } else if (strcmp(operation, "flip") == 0) {
        sl_pixels_flip(planes);
    } else {
        fail_msg("no operation is called %s", operation);
    }
}

static void test_golden(void **state)
{
    (void)state;
    char path[1024];
    unsigned char *listing = NULL;
    int64_t size = 0;
    int n = 0;
    struct sl_error err = {0};
    kit_golden_path("cases.txt", path, sizeof(path));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 16, &listing, &size),
                     SL_OK);
    for (char *line = (char *)listing, *next = NULL; *line != '\0'; line = next) {
        char name[64], operation[16];
        int tolerance = 0;
        double v[6] = {0}, mean = 0;
        struct sl_image image, want;
        struct sl_arena *arena = kit_arena();
        next = strchr(line, '\n');
        *next++ = '\0';
        int fields =
            sscanf(line, "%63s %d %15s %lf %lf %lf %lf %lf %lf", name, &tolerance,
                   operation, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]);
        assert_true(fields >= 3);
        kit_golden_image("picture.ppm", arena, &image);
        kit_golden_image(name, arena, &want);
        struct sl_planes planes;
        apply(operation, v, arena, &image, &planes);
        struct sl_image done = kit_join(arena, &planes);
        int most = kit_largest_difference(&done, &want, &mean);
        if (most > tolerance) {
            fail_msg("%s: %d levels off (mean %g), %d allowed", name, most, mean,
                     tolerance);
        }
        sl_arena_destroy(arena);
        n++;
    }
    assert_int_equal(n, 19);
    sl_heap_free(listing);
}

static void test_resize_same_size_is_a_copy(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image image, copy;
    struct sl_planes planes;
    double mean = 0;
    kit_golden_image("picture.ppm", arena, &image);
    struct sl_box whole = {0, 0, image.height, image.width};
    assert_int_equal(
        sl_pixels_resize(&err, arena, &image, whole, image.height, image.width, &planes),
        SL_OK);
    copy = kit_join(arena, &planes);
    assert_int_equal(kit_largest_difference(&image, &copy, &mean), 0);
    sl_arena_destroy(arena);
}

/* One channel goes the same way as three. */
static void test_resize_one_channel(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image image, grey;
    struct sl_planes large, small;
    kit_golden_image("picture.ppm", arena, &image);
    struct sl_box box = {2, 3, 17, 21};
    assert_int_equal(sl_pixels_resize(&err, arena, &image, box, 9, 30, &large), SL_OK);
    grey = (struct sl_image){NULL, image.height, image.width, 1};
    int64_t n = (int64_t)image.height * image.width;
    assert_int_equal(sl_arena_alloc(&err, arena, n, 1, &grey.pixels), SL_OK);
    for (int64_t i = 0; i < n; i++) {
        grey.pixels[i] = image.pixels[3 * i + 1];
    }
    assert_int_equal(sl_pixels_resize(&err, arena, &grey, box, 9, 30, &small), SL_OK);
    assert_memory_equal(small.at[0], large.at[1], 9 * 30);
    sl_arena_destroy(arena);
}

/* The extremes: one pixel, blown up, shrunk, blurred. */
static void test_tiny(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    unsigned char one[3] = {10, 200, 77};
    struct sl_image image = {one, 1, 1, 3};
    struct sl_planes done;
    struct sl_box box = {0, 0, 1, 1};
    assert_int_equal(sl_pixels_resize(&err, arena, &image, box, 5, 7, &done), SL_OK);
    for (int i = 0; i < 35 * 3; i++) {
        assert_int_equal(done.at[i % 3][i / 3], one[i % 3]);
    }
    assert_int_equal(sl_pixels_blur(&err, arena, &done, 30.0f), SL_OK);
    assert_int_equal(done.at[1][20], 200);
    done = kit_split(arena, &image);
    sl_pixels_flip(&done);
    assert_int_equal(done.at[0][0], 10);
    sl_arena_destroy(arena);
}

static void test_normalise(void **state)
{
    (void)state;
    const float mean[3] = {0.5f, 0.25f, 0.0f}, std[3] = {0.5f, 0.25f, 2.0f};
    unsigned char pixels[6] = {0, 255, 51, 255, 0, 102}, grey[1] = {51};
    struct sl_arena *arena = kit_arena();
    struct sl_image image = {pixels, 1, 2, 3}, single = {grey, 1, 1, 1};
    struct sl_planes planes = kit_split(arena, &image);
    float dst[6];
    sl_pixels_normalise(&planes, mean, std, false, dst);
    const float want[6] = {-1.0f, 3.0f, 0.1f, 1.0f, -1.0f, 0.2f};
    for (int i = 0; i < 6; i++) {
        assert_float_equal(dst[i], want[i], 1e-6);
    }
    sl_pixels_normalise(&planes, mean, std, true, dst);
    for (int i = 0; i < 6; i++) {
        assert_float_equal(dst[i], want[(i + 3) % 6], 1e-6);
    }
    planes = kit_split(arena, &single);
    sl_pixels_normalise(&planes, mean, std, false, dst);
    assert_float_equal(dst[0], -0.6f, 1e-6);
    assert_float_equal(dst[1], want[4], 1e-6); /* one channel: one number */
    sl_arena_destroy(arena);
}

/* Every colour step on one channel is the same step on three equal ones. */
static void test_one_channel(void **state)
{
    (void)state;
    const float mean[3] = {0.3f, 0.3f, 0.3f}, std[3] = {0.5f, 0.5f, 0.5f};
    const float none[3] = {0.9f, 0.9f, 0.9f};
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image images[2];
    struct sl_planes planes[2];
    static float numbers[2][24 * 32 * 3];
    kit_golden_image("picture.ppm", arena, &images[0]);
    assert_int_equal(sl_pixels_set_channels(&err, arena, &images[0], 1), SL_OK);
    images[1] = images[0];
    assert_int_equal(sl_pixels_set_channels(&err, arena, &images[1], 3), SL_OK);
    for (int i = 0; i < 2; i++) {
        planes[i] = kit_split(arena, &images[i]);
        sl_pixels_brightness(&planes[i], 1.2f);
        sl_pixels_contrast(&planes[i], 0.7f);
        sl_pixels_saturation(&planes[i], 1.4f);
        sl_pixels_hue(&planes[i], 0.1f);
        assert_int_equal(sl_pixels_blur(&err, arena, &planes[i], 1.3f), SL_OK);
        sl_pixels_solarise(&planes[i], 128);
        sl_pixels_grey(&planes[i]);
        sl_pixels_light(&planes[i], none);
        sl_pixels_flip(&planes[i]);
        sl_pixels_normalise(&planes[i], mean, std, true, numbers[i]);
    }
    size_t n = (size_t)planes[0].height * (size_t)planes[0].width;
    for (int c = 0; c < 3; c++) {
        assert_memory_equal(planes[1].at[c], planes[0].at[0], n);
    }
    for (size_t i = 0; i < 3 * n; i++) {
        assert_true(numbers[1][i] == numbers[0][i / 3]);
    }
    sl_arena_destroy(arena);
}

/* Mirroring while normalising is flipping before it, for every row. */
static void test_mirrored(void **state)
{
    (void)state;
    const float mean[3] = {0.1f, 0.2f, 0.3f}, std[3] = {0.5f, 0.6f, 0.7f};
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    static float mirrored[24 * 32 * 3], flipped[24 * 32 * 3];
    kit_golden_image("picture.ppm", arena, &image);
    struct sl_planes planes = kit_split(arena, &image);
    sl_pixels_normalise(&planes, mean, std, true, mirrored);
    sl_pixels_flip(&planes);
    sl_pixels_normalise(&planes, mean, std, false, flipped);
    assert_memory_equal(mirrored, flipped, sizeof(flipped));
    sl_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_resize_same_size_is_a_copy),
        cmocka_unit_test(test_resize_one_channel),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_one_channel),
        cmocka_unit_test(test_mirrored),
    };
    return cmocka_run_group_tests_name("data_pixels", tests, NULL, NULL);
}
