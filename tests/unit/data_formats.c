/* SPDX-License-Identifier: MIT */
/*
 * One picture in every encoding that the readers claim: the pixels that Pillow or the
 * rule itself gives, in colour and in grey; what is refused is refused by name; cut
 * files, small limits, promises that cannot be kept and failing allocations end in a
 * message.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FILES = 86, FILE_MOST = 1 << 20 };

/* A file of tests/golden/formats; free with sl_heap_free. */
static unsigned char *read_file(const char *name, int64_t *size)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    char path[1024], below[128];
    snprintf(below, sizeof(below), "../formats/%s", name);
    kit_golden_path(below, path, sizeof(path));
    if (sl_file_read(&err, SL_ERROR_DATA, path, FILE_MOST, &bytes, size) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return bytes;
}

static enum sl_status decode_file(struct sl_error *err, const char *name,
                                  const struct sl_decode_options *options,
                                  struct sl_arena *arena, struct sl_image *image)
{
    int64_t size = 0;
    unsigned char *bytes = read_file(name, &size);
    enum sl_status status = sl_decode(err, name, bytes, size, options, arena, image);
    sl_heap_free(bytes);
    return status;
}

static void must_decode(const char *name, const struct sl_decode_options *options,
                        struct sl_arena *arena, struct sl_image *image)
{
    struct sl_error err = {0};
    if (decode_file(&err, name, options, arena, image) != SL_OK) {
        fail_msg("%s", err.text);
    }
}

/* Calls for every line of formats.txt. */
static int each_file(void (*visit)(const char *name, const char *reference,
                                   int tolerance))
{
    int64_t size = 0;
    unsigned char *listing = read_file("formats.txt", &size);
    int n = 0;
    for (char *line = (char *)listing; *line != '\0'; line = strchr(line, '\n') + 1) {
        char name[64], reference[64];
        int tolerance = 0;
        assert_int_equal(sscanf(line, "%63s %63s %d", name, reference, &tolerance), 3);
        n++;
        if (kit_is_read(name)) {
            visit(name, reference, tolerance);
        }
    }
    sl_heap_free(listing);
    return n;
}

static void expect_close(const char *name, const struct sl_image *got,
                         const struct sl_image *want, int tolerance)
{
    double mean = 0;
    if (got->height != want->height || got->width != want->width) {
        fail_msg("%s is %d x %d, not %d x %d", name, got->width, got->height, want->width,
                 want->height);
    }
    int most = kit_largest_difference(got, want, &mean);
    if (most > tolerance) {
        fail_msg("%s: %d levels off, %d allowed", name, most, tolerance);
    }
}

static void visit_colour(const char *name, const char *reference, int tolerance)
{
    struct sl_arena *arena = kit_arena();
    struct sl_image got, want;
    must_decode(name, NULL, arena, &got);
    must_decode(reference, NULL, arena, &want);
    expect_close(name, &got, &want, tolerance);
    sl_arena_destroy(arena);
}

static void test_colour(void **state)
{
    (void)state;
    assert_int_equal(each_file(visit_colour), FILES);
}

/* Grey pixels are the luma of the colour ones, to the bit, by whatever way they come. */
static void visit_grey(const char *name, const char *reference, int tolerance)
{
    const struct sl_decode_options grey = {.channels = 1};
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image got, want;
    (void)reference;
    (void)tolerance;
    must_decode(name, &grey, arena, &got);
    must_decode(name, NULL, arena, &want);
    assert_int_equal(got.channels, 1);
    assert_int_equal(sl_pixels_set_channels(&err, arena, &want, 1), SL_OK);
    expect_close(name, &got, &want, 0);
    sl_arena_destroy(arena);
}

static void test_grey(void **state)
{
    (void)state;
    each_file(visit_grey);
}

/* A file cut in half is never a picture. */
static void visit_half(const char *name, const char *reference, int tolerance)
{
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    int64_t size = 0;
    unsigned char *bytes = read_file(name, &size);
    (void)reference;
    (void)tolerance;
    enum sl_status status = sl_decode(&err, name, bytes, size / 2, NULL, arena, &image);
    if (status != SL_ERROR_DATA || strstr(err.text, name) != err.text ||
        strchr(err.text, '\n') != NULL) {
        fail_msg("half of %s: status %d, '%s'", name, (int)status, err.text);
    }
    sl_heap_free(bytes);
    sl_arena_destroy(arena);
}

static void test_half(void **state)
{
    (void)state;
    each_file(visit_half);
}

/* Cut anywhere, down to the last byte that says something about a pixel. */
static void test_cut_everywhere(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int spare; /* bytes at the end whose loss no reader could see */
    } files[] = {
        {"rgb24.bmp", 0},    {"palette1.bmp", 1}, {"rgb565.bmp", 0}, {"lossless.webp", 0},
        {"alpha.webp", 0},   {"lossy.webp", 0},   {"tiles.tif", 0},  {"lzw.tif", 0},
        {"planar16.tif", 0}, {"packed.pbm", 0},   {"plain.pgm", 4},  {"deep.ppm", 0},
        {"restart.jpg", 2},
    };
    struct sl_arena *arena = kit_arena();
    for (int f = 0; f < SL_COUNT(files); f++) {
        int64_t size = 0;
        unsigned char *bytes = read_file(files[f].name, &size);
        for (int64_t n = 0; n < size - files[f].spare && kit_is_read(files[f].name);
             n++) {
            struct sl_error err = {0};
            struct sl_image image;
            unsigned char *cut = NULL;
            assert_int_equal(sl_heap_alloc(&err, "cut", n, 1, &cut), SL_OK);
            memcpy(cut, bytes, (size_t)n);
            sl_arena_reset_all(arena);
            if (sl_decode(&err, files[f].name, cut, n, NULL, arena, &image) !=
                SL_ERROR_DATA) {
                fail_msg("%s cut to %d of %d bytes is read", files[f].name, (int)n,
                         (int)size);
            }
            sl_heap_free(cut);
        }
        sl_heap_free(bytes);
    }
    sl_arena_destroy(arena);
}

static void refused(const char *name, const struct sl_decode_options *options,
                    const char *word)
{
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    enum sl_status status = decode_file(&err, name, options, arena, &image);
    if (status != SL_ERROR_DATA || strstr(err.text, word) == NULL) {
        fail_msg("%s: status %d, wanted '%s' in: %s", name, (int)status, word, err.text);
    }
    sl_arena_destroy(arena);
}

static void test_refused_by_name(void **state)
{
    (void)state;
    refused("rle8.bmp", NULL, "run-length");
    refused("float.tif", NULL, kit_is_read("x.tif") ? "32 bit" : "no TIFF reader");
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    if (kit_is_read("x.tif")) { /* CIE L 20.8 a -48 b -61 is about sRGB 0 70 142 */
        must_decode("lab.tif", NULL, arena, &image);
        assert_int_equal(image.pixels[0], 0);
        assert_in_range(image.pixels[1], 55, 85);
        assert_in_range(image.pixels[2], 125, 160);
    }
    sl_arena_destroy(arena);
}

static void test_limits(void **state)
{
    (void)state;
    static const char *const names[] = {"411.jpg",   "rgb8.png",  "lossless.webp",
                                        "rgb24.bmp", "plain.ppm", "tiles.tif"};
    const struct sl_decode_options exact = {.max_pixels = 20 * 17, .max_side = 20};
    const struct sl_decode_options few = {.max_pixels = 20 * 17 - 1};
    const struct sl_decode_options narrow = {.max_side = 19};
    for (int i = 0; i < SL_COUNT(names); i++) {
        if (!kit_is_read(names[i])) {
            continue;
        }
        struct sl_arena *arena = kit_arena();
        struct sl_image image;
        must_decode(names[i], &exact, arena, &image);
        sl_arena_destroy(arena);
        refused(names[i], &few, "limit of 339; raise --max-pixels");
        refused(names[i], &narrow, "limit of 19; raise --max-side");
    }
}

/* Small files that promise 9984 x 9984 pixels, which is within the limits: refused for
 * what they lack, before memory is taken for it. */
static void test_bombs(void **state)
{
    (void)state;
    static const char *const names[] = {"bomb.jpg", "bomb.png", "bomb.tif", "bomb.bmp",
                                        "bomb.ppm"};
    for (int i = 0; i < SL_COUNT(names); i++) {
        struct sl_error err = {0};
        struct sl_arena *arena = kit_arena();
        struct sl_image image;
        int64_t peak = sl_heap_peak();
        enum sl_status status = decode_file(&err, names[i], NULL, arena, &image);
        if (status != SL_ERROR_DATA ||
            (kit_is_read(names[i]) && strstr(err.text, "cut short") == NULL)) {
            fail_msg("%s: status %d, '%s'", names[i], (int)status, err.text);
        }
        assert_true(sl_heap_peak() - peak < 1 << 20);
        sl_arena_destroy(arena);
    }
}

/* What lies behind transparent pixels is the caller's choice, white without one. */
static void test_alpha_on(void **state)
{
    (void)state;
    static const char *const names[] = {"rgba8.png",         "rgba16.png",
                                        "palette-alpha.png", "alpha.webp",
                                        "rgba-v124.bmp",     "alpha.tif"};
    const struct sl_decode_options blue = {.alpha_chosen = true,
                                           .alpha_on = {10, 20, 200}};
    const struct sl_decode_options opaque = {.alpha_ignored = true};
    for (int i = 0; i < SL_COUNT(names); i++) {
        struct sl_arena *arena = kit_arena();
        struct sl_image image;
        if (!kit_is_read(names[i])) {
            sl_arena_destroy(arena);
            continue;
        }
        must_decode(names[i], &blue, arena, &image);
        bool is_palette = strstr(names[i], "palette") != NULL;
        if (!is_palette) { /* the first column is wholly transparent */
            assert_int_equal(image.pixels[0], 10);
            assert_int_equal(image.pixels[1], 20);
            assert_int_equal(image.pixels[2], 200);
        }
        must_decode(names[i], NULL, arena, &image);
        assert_true(is_palette || image.pixels[2] == 255);
        must_decode(names[i], &opaque, arena, &image);
        struct sl_image want;
        must_decode("rgb24.bmp", NULL, arena, &want);
        if (!is_palette) {
            /* 16 bit has low bytes that may round up */
            expect_close(names[i], &image, &want, strstr(names[i], "16") != NULL ? 1 : 0);
        }
        sl_arena_destroy(arena);
    }
}

/* The k-th allocation fails: an error of the run, never of the file, and no leak. */
static void visit_torture(const char *name, const char *reference, int tolerance)
{
    int64_t held = sl_heap_bytes();
    (void)reference;
    (void)tolerance;
    for (int64_t k = 1; k < 20; k++) {
        struct sl_error err = {0};
        struct sl_arena *arena = NULL;
        struct sl_image image;
        int64_t size = 0;
        unsigned char *bytes = read_file(name, &size);
        assert_int_equal(sl_arena_create(&err, 64, &arena), SL_OK);
        sl_heap_fail_at(k);
        enum sl_status status = sl_decode(&err, name, bytes, size, NULL, arena, &image);
        sl_heap_fail_at(0);
        if (status != SL_OK && status != SL_ERROR_RUN) {
            fail_msg("%s, allocation %d: %s", name, (int)k, err.text);
        }
        sl_arena_destroy(arena);
        sl_heap_free(bytes);
        assert_int_equal(sl_heap_bytes(), held);
        if (status == SL_OK) {
            break;
        }
    }
}

static void test_failing_allocations(void **state)
{
    (void)state;
    each_file(visit_torture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_refused_by_name),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_alpha_on),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests_name("data_formats", tests, NULL, NULL);
}
