/* SPDX-License-Identifier: MIT */
/*
 * Bodies of data_testkit.h. Linked into each test of src/data; holds no test.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct sl_error err;

static void must(enum sl_status status)
{
    if (status != SL_OK) {
        fail_msg("%s", err.text);
    }
}

void kit_golden_path(const char *name, char *dst, size_t size)
{
    const char *source = getenv("SLIMCLR_SOURCE");
    if (source == NULL) {
        fail_msg("SLIMCLR_SOURCE is not set; run the tests by ctest");
    }
    snprintf(dst, size, "%s/tests/golden/pixels/%s", source, name);
}

void kit_golden_image(const char *name, struct sl_arena *arena, struct sl_image *image)
{
    char path[1024];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    kit_golden_path(name, path, sizeof(path));
    err = (struct sl_error){0};
    must(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &bytes, &size));
    must(sl_decode(&err, name, bytes, size, NULL, arena, image));
    sl_heap_free(bytes);
}

bool kit_is_read(const char *file)
{
    static const char *const needs[][2] = {
        {".jpg", "jpeg"}, {".png", "png"}, {".webp", "webp"}, {".tif", "tiff"}};
    char formats[SL_FORMATS_BYTES];
    const char *dot = strrchr(file, '.');
    sl_decode_formats(formats, sizeof(formats));
    for (int i = 0; i < SL_COUNT(needs); i++) {
        if (strcmp(dot, needs[i][0]) == 0) {
            return strstr(formats, needs[i][1]) != NULL;
        }
    }
    return true;
}

int kit_largest_difference(const struct sl_image *a, const struct sl_image *b,
                           double *mean)
{
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->channels, b->channels);
    int64_t n = (int64_t)a->height * a->width * a->channels, sum = 0;
    int most = 0;
    for (int64_t i = 0; i < n; i++) {
        int d = abs(a->pixels[i] - b->pixels[i]);
        most = d > most ? d : most;
        sum += d;
    }
    *mean = (double)sum / (double)n;
    return most;
}

struct sl_planes kit_split(struct sl_arena *arena, const struct sl_image *image)
{
    struct sl_planes planes = {
        .height = image->height, .width = image->width, .channels = image->channels};
    int64_t n = (int64_t)image->height * image->width;
    for (int c = 0; c < image->channels; c++) {
        must(sl_arena_alloc(&err, arena, n + 64, 1, &planes.at[c]));
        for (int64_t i = 0; i < n; i++) {
            planes.at[c][i] = image->pixels[i * image->channels + c];
        }
    }
    return planes;
}

struct sl_image kit_join(struct sl_arena *arena, const struct sl_planes *planes)
{
    struct sl_image image = {NULL, planes->height, planes->width, planes->channels};
    int64_t n = (int64_t)planes->height * planes->width;
    must(sl_arena_alloc(&err, arena, n * planes->channels, 1, &image.pixels));
    for (int64_t i = 0; i < n * planes->channels; i++) {
        image.pixels[i] = planes->at[i % planes->channels][i / planes->channels];
    }
    return image;
}

struct sl_arena *kit_arena(void)
{
    struct sl_arena *arena = NULL;
    err = (struct sl_error){0};
    must(sl_arena_create(&err, 1 << 16, &arena));
    return arena;
}

void kit_write(const char *path, const void *bytes, size_t size)
{
    char dir[4096];
    err = (struct sl_error){0};
    assert_true(sl_text_copy(dir, sizeof(dir), path));
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
        must(sl_dir_create(&err, dir));
    }
    must(sl_file_write(&err, path, bytes, size));
}

void kit_remove(const char *path)
{
    struct sl_dir_list list = {0};
    struct sl_error ignored = {0};
    if (unlink(path) == 0 || sl_path_kind(path) == SL_PATH_MISSING) {
        return;
    }
    must(sl_dir_list(&ignored, SL_ERROR_RUN, path, &list));
    for (int64_t i = 0; i < list.n; i++) {
        char below[4096];
        assert_true(sl_path_join(below, sizeof(below), path, list.names[i]));
        kit_remove(below);
    }
    sl_dir_list_finish(&list);
    assert_int_equal(rmdir(path), 0);
}

void kit_write_ppm(const char *path, int height, int width, int key)
{
    struct sl_text text = {0};
    sl_text_add(&text, "P6\n%d %d\n255\n", width, height);
    for (int i = 0; i < height * width * 3; i++) {
        unsigned char value = (unsigned char)(key * 37 + i * 5);
        sl_text_add_bytes(&text, &value, 1);
    }
    assert_false(text.failed);
    kit_write(path, text.text, text.length);
    sl_text_finish(&text);
}

void kit_copy_golden(const char *name, const char *to, int64_t bytes)
{
    char path[1024];
    unsigned char *content = NULL;
    int64_t size = 0;
    kit_golden_path(name, path, sizeof(path));
    err = (struct sl_error){0};
    must(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &content, &size));
    assert_true(bytes <= size);
    kit_write(to, content, (size_t)(bytes < 0 ? size : bytes));
    sl_heap_free(content);
}

struct sl_source *kit_open(const char *data, enum sl_part part, bool whole)
{
    struct sl_source_config config = {
        .data = data, .part = part, .whole = whole, .test_fraction = 0.1};
    struct sl_source *source = NULL;
    err = (struct sl_error){0};
    must(sl_source_open(&err, &config, &source));
    return source;
}

void kit_open_fails(const char *data, enum sl_part part, bool whole,
                    enum sl_status status, const char *word)
{
    struct sl_source_config config = {
        .data = data, .part = part, .whole = whole, .test_fraction = 0.1};
    struct sl_source *source = NULL;
    int64_t held = sl_heap_bytes();
    err = (struct sl_error){0};
    assert_int_equal(sl_source_open(&err, &config, &source), status);
    assert_null(source);
    assert_int_equal(sl_heap_bytes(), held);
    if (strstr(err.text, word) == NULL || strchr(err.text, '\n') != NULL) {
        fail_msg("the message is: %s", err.text);
    }
}

uint64_t kit_hash(const struct sl_source *source, int64_t first, int64_t end)
{
    struct sl_arena *arena = kit_arena();
    uint64_t hash = SL_HASH_START;
    for (int64_t i = first; i < end; i++) {
        struct sl_image image;
        sl_arena_reset_all(arena);
        err = (struct sl_error){0};
        must(sl_source_read(&err, source, i, arena, &image));
        int sizes[2] = {image.height, image.width};
        hash = sl_hash(hash, sizes, sizeof(sizes));
        hash = sl_hash(hash, image.pixels, (size_t)(image.height * image.width * 3));
    }
    sl_arena_destroy(arena);
    return hash;
}

const char *kit_unpacked(const char *name)
{
    static char path[1024];
    const char *root = getenv("SLIMCLR_TEST_UNPACKED");
    if (root == NULL || !sl_path_join(path, sizeof(path), root, name) ||
        sl_path_kind(path) != SL_PATH_DIRECTORY) {
        print_message("no %s in SLIMCLR_TEST_UNPACKED (%s): skipped\n", name,
                      root == NULL ? "not set" : root);
        return NULL;
    }
    return path;
}
