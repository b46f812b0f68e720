/* SPDX-License-Identifier: MIT */
/*
 * Decoders: every encoding gives the pixels Pillow reads, and every kind of bad file is
 * refused with a message that says what is wrong. Formats that this build does not read
 * must be refused by name instead.
 */
#include "unit/data_testkit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum sl_status decode_bytes(struct sl_error *err, const void *bytes, int64_t size,
                                   const struct sl_decode_options *limits)
{
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    enum sl_status status = sl_decode(err, "x.png", bytes, size, limits, arena, &image);
    sl_arena_destroy(arena);
    return status;
}

static void refuses(const void *bytes, int64_t size, const char *word)
{
    struct sl_error err = {0};
    assert_int_equal(decode_bytes(&err, bytes, size, NULL), SL_ERROR_DATA);
    if (strstr(err.text, word) == NULL) {
        fail_msg("wanted '%s' in: %s", word, err.text);
    }
}

static void read_golden(const char *name, unsigned char **bytes, int64_t *size)
{
    struct sl_error err = {0};
    char path[1024];
    kit_golden_path(name, path, sizeof(path));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, bytes, size),
                     SL_OK);
}

static void test_golden(void **state)
{
    (void)state;
    unsigned char *listing = NULL;
    int64_t size = 0;
    int n = 0;
    read_golden("decode.txt", &listing, &size);
    for (char *line = (char *)listing; *line != '\0'; line = strchr(line, '\n') + 1) {
        char name[64], reference[64];
        int tolerance = 0;
        struct sl_image got, want;
        double mean = 0;
        assert_int_equal(sscanf(line, "%63s %63s %d", name, reference, &tolerance), 3);
        n++;
        if (!kit_is_read(name)) {
            continue;
        }
        struct sl_arena *arena = kit_arena();
        kit_golden_image(name, arena, &got);
        kit_golden_image(reference, arena, &want);
        int most = kit_largest_difference(&got, &want, &mean);
        if (most > tolerance) {
            fail_msg("%s: %d levels off, %d allowed", name, most, tolerance);
        }
        sl_arena_destroy(arena);
    }
    assert_int_equal(n, 12);
    sl_heap_free(listing);
}

/* Cut anywhere, a file is damaged: never a picture, never a crash. Only what follows the
 * last pixel's bits may be missing unnoticed (the end mark of a JPEG, the last check sum
 * of a PNG). */
static void test_cut_everywhere(void **state)
{
    (void)state;
    static const char *const names[] = {"420.jpg", "progressive.jpg", "rgb.png",
                                        "rgb.ppm"};
    for (int f = 0; f < SL_COUNT(names); f++) {
        unsigned char *bytes = NULL;
        int64_t size = 0;
        read_golden(names[f], &bytes, &size);
        int64_t spare = strstr(names[f], ".jpg") != NULL   ? 2
                        : strstr(names[f], ".png") != NULL ? 4
                                                           : 0;
        for (int64_t n = 0; n < size - spare; n++) {
            struct sl_error err = {0};
            unsigned char *cut = NULL;
            assert_int_equal(sl_heap_alloc(&err, "cut", n, 1, &cut), SL_OK);
            memcpy(cut, bytes, (size_t)n);
            enum sl_status status = decode_bytes(&err, cut, n, NULL);
            if (status != SL_ERROR_DATA) {
                fail_msg("%s cut to %d of %d bytes is read", names[f], (int)n, (int)size);
            }
            if (n == size / 2 && kit_is_read(names[f]) &&
                strstr(err.text, "cut short") == NULL) {
                fail_msg("%s cut in half: %s", names[f], err.text);
            }
            sl_heap_free(cut);
        }
        sl_heap_free(bytes);
    }
}

static void test_not_images(void **state)
{
    (void)state;
    static const unsigned char jxl[] = "\0\0\0\x0cJXL \r\n\x87\n";
    static const unsigned char noise[] = {1, 2, 3, 250, 7, 9, 0, 0, 0, 0, 0, 0};
    refuses("", 0, "empty file (0 bytes)");
    refuses("These are my holiday notes.\n", 28, "text");
    refuses(jxl, (int64_t)sizeof(jxl) - 1, "JPEG XL");
    refuses("GIF89a\x01\0\x01\0\0\0\0", 13, "GIF");
    refuses(noise, (int64_t)sizeof(noise), "not an image");
    refuses("P6\n2 2\n0\n", 9, "PNM");
    refuses("P6\n2", 4, "PNM");
    refuses("P6\n99999999999 2\n255\n", 21, "PNM");
    refuses("P5\n2 2\n255\nabc", 14, "cut short");
    refuses("P6\n0 7\n255\n", 11, "header says");
}

static void test_limits(void **state)
{
    (void)state;
    struct sl_decode_options limits = {.max_pixels = 20 * 17 - 1};
    static const char *const names[] = {"420.jpg", "rgb.png", "rgb.ppm"};
    for (int f = 0; f < SL_COUNT(names); f++) {
        struct sl_error err = {0};
        unsigned char *bytes = NULL;
        int64_t size = 0;
        read_golden(names[f], &bytes, &size);
        limits.max_pixels = 20 * 17 - 1;
        assert_int_equal(decode_bytes(&err, bytes, size, &limits), SL_ERROR_DATA);
        assert_true(!kit_is_read(names[f]) || strstr(err.text, "limit of 339") != NULL);
        sl_error_clear(&err);
        limits.max_pixels = 20 * 17;
        assert_int_equal(decode_bytes(&err, bytes, size, &limits),
                         kit_is_read(names[f]) ? SL_OK : SL_ERROR_DATA);
        sl_error_clear(&err);
        struct sl_decode_options few = {.max_bytes = size - 1};
        assert_int_equal(decode_bytes(&err, bytes, size, &few), SL_ERROR_DATA);
        assert_non_null(strstr(err.text, "limit"));
        sl_heap_free(bytes);
    }
    struct sl_error err = {0};
    /* A header that promises 10^9 pixels takes no memory. */
    int64_t peak = sl_heap_peak();
    assert_int_equal(decode_bytes(&err, "P6\n32000 32000\n255\n", 19, NULL),
                     SL_ERROR_DATA);
    assert_true(sl_heap_peak() - peak < 1 << 20);
}

static void test_pnm_depths(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    static const unsigned char shallow[] = "P5 # a comment\n2 1\n# another\n3\n\x01\x03";
    static const unsigned char deep[] = {'P', '5', '\n', '2',  ' ',  '1',  '\n', '6', '5',
                                         '5', '3', '5',  '\n', 0x80, 0x80, 0xff, 0xff};
    assert_int_equal(
        sl_decode(&err, "a", shallow, (int64_t)sizeof(shallow) - 1, NULL, arena, &image),
        SL_OK);
    assert_int_equal(image.pixels[0], 85);
    assert_int_equal(image.pixels[5], 255);
    assert_int_equal(sl_decode(&err, "b", deep, sizeof(deep), NULL, arena, &image),
                     SL_OK);
    assert_int_equal(image.pixels[0], 128);
    assert_int_equal(image.pixels[3], 255);
    sl_arena_destroy(arena);
}

/* Real files of many encodings: sizes and mean colours as listed beside them. */
static void test_photo_variants(void **state)
{
    (void)state;
    const char *dir = kit_unpacked("photo-variants");
    if (dir == NULL || !kit_is_read("x.jpg") || !kit_is_read("x.png")) {
        skip();
    }
    char root[1024], path[2048];
    struct sl_error err = {0};
    unsigned char *table = NULL;
    int64_t size = 0;
    int n_read = 0, n_refused = 0;
    assert_true(sl_text_copy(root, sizeof(root), dir));
    assert_true(sl_path_join(path, sizeof(path), root, "manifest.csv"));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &table, &size),
                     SL_OK);
    char *line = strchr((char *)table, '\n') + 1;
    while (line != NULL && *line != '\0') {
        char name[256], format[16], variant[64];
        int width = 0, height = 0;
        double mean[3];
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        assert_int_equal(sscanf(line, "%255[^,],%15[^,],%63[^,],%d,%d,%*[^,],%lf,%lf,%lf",
                                name, format, variant, &width, &height, &mean[0],
                                &mean[1], &mean[2]),
                         8);
        line = next;
        assert_true(sl_path_join(path, sizeof(path), root, name));
        unsigned char *bytes = NULL;
        struct sl_image image;
        struct sl_arena *arena = kit_arena();
        sl_error_clear(&err);
        assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 24, &bytes, &size),
                         SL_OK);
        enum sl_status status = sl_decode(&err, name, bytes, size, NULL, arena, &image);
        bool is_webp = size > 12 && memcmp(bytes + 8, "WEBP", 4) == 0;
        if (is_webp && !kit_is_read("x.webp")) { /* it is named .png */
            assert_int_equal(status, SL_ERROR_DATA);
            assert_non_null(strstr(err.text, "no WebP reader"));
            n_refused++;
        } else {
            if (status != SL_OK) {
                fail_msg("%s", err.text);
            }
            assert_int_equal(image.width, width);
            assert_int_equal(image.height, height);
            for (int c = 0; c < 3; c++) {
                double sum = 0;
                for (int64_t i = 0; i < (int64_t)width * height; i++) {
                    sum += image.pixels[3 * i + c];
                }
                if (fabs(sum / ((double)width * height) - mean[c]) > 1.0) {
                    fail_msg("%s: mean of channel %d is %g, not %g", name, c,
                             sum / ((double)width * height), mean[c]);
                }
            }
            n_read++;
        }
        sl_heap_free(bytes);
        sl_arena_destroy(arena);
    }
    assert_int_equal(n_read + n_refused, 54);
    assert_int_equal(n_refused, kit_is_read("x.webp") ? 0 : 1);
    sl_heap_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_not_images), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_pnm_depths), cmocka_unit_test(test_photo_variants),
    };
    return cmocka_run_group_tests_name("data_decode", tests, NULL, NULL);
}
