/* SPDX-License-Identifier: MIT */
/*
 * Pictures in archives: tar and zip of several makers, compressed ones, WebDataset
 * shards, and every kind of damage. The golden archives hold pictures whose second byte
 * follows from a number (tools/golden_archives.py).
 */
#include "data/index_int.h"
#include "unit/data_testkit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void copy(const char *name, const char *to, int64_t bytes)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "../archives/%s", name);
    kit_copy_golden(path, to, bytes);
}

static int key_of(const struct sl_source *source, int64_t i)
{
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    if (sl_source_read(&err, source, i, arena, &image) != SL_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(image.height, 2);
    assert_int_equal(image.width, 3);
    int key = -1;
    for (int k = 0; k < 256 && key < 0; k++) {
        key = (unsigned char)(k * 37) == image.pixels[0] ? k : -1;
    }
    sl_arena_destroy(arena);
    return key;
}

static void expect_keys(const struct sl_source *source, int n, const int *keys)
{
    assert_int_equal(sl_source_count(source), n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(key_of(source, i), keys[i]);
    }
}

static void expect_name(const struct sl_source *source, int64_t i, const char *name)
{
    char text[512];
    sl_source_name(source, i, text, sizeof(text));
    assert_string_equal(text, name);
}

static struct sl_source *open_cached(const char *data, const char *cache)
{
    const struct sl_source_config config = {
        .data = data, .whole = true, .cache_directory = cache};
    struct sl_source *source = NULL;
    struct sl_error err = {0};
    if (sl_source_open(&err, &config, &source) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return source;
}

static int open_files(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL) {
        n++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

/* ---- tar and zip ------------------------------------------------------------------- */

static void expect_photos(const char *data, const char *kind)
{
    static const int train_keys[] = {1, 2, 3, 4, 5}, test_keys[] = {6, 7};
    struct sl_source *train = kit_open(data, SL_PART_TRAIN, true);
    struct sl_source *test = kit_open(data, SL_PART_TEST, false);
    expect_keys(train, 5, train_keys);
    expect_keys(test, 2, test_keys);
    assert_string_equal(sl_source_kind(train), kind);
    assert_false(sl_source_was_split(test));
    assert_true(sl_source_has_parts(train));
    assert_int_equal(sl_source_classes(train), 2);
    assert_string_equal(sl_source_class_name(test, 1), "dog");
    assert_int_equal(sl_source_label(train, 1), 0);
    assert_int_equal(sl_source_label(train, 4), 1);
    char name[256];
    (void)snprintf(name, sizeof(name), "%s/photos/train/dog/ü.ppm", data);
    expect_name(train, 4, name);
    sl_source_close(train);
    sl_source_close(test);
}

static void test_makers(void **state)
{
    (void)state;
    copy("gnu.tar", "made/gnu.tar", -1);
    copy("pax.tar", "made/pax.tar", -1);
    copy("mixed.zip", "made/mixed.zip", -1);
    expect_photos("made/gnu.tar", "tar");
    expect_photos("made/pax.tar", "tar");
    expect_photos("made/mixed.zip", "zip"); /* every other member is deflated */
}

/* A folder and the archive of it are the same pictures in the same order. */
static void test_same_as_folder(void **state)
{
    (void)state;
    kit_write_ppm("unpacked/train/cat/a.ppm", 2, 3, 1);
    kit_write_ppm("unpacked/train/cat/b.ppm", 2, 3, 2);
    kit_write_ppm("unpacked/train/dog/d.ppm", 2, 3, 3);
    kit_write_ppm("unpacked/val/cat/v.ppm", 2, 3, 6);
    copy("gnu.tar", "same/gnu.tar", -1);
    struct sl_source *folder = kit_open("unpacked", SL_PART_TRAIN, true);
    struct sl_source *archive = kit_open("same/gnu.tar", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(folder), 3);
    assert_int_equal(kit_hash(folder, 0, 3), kit_hash(archive, 0, 3));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sl_source_label(folder, i), sl_source_label(archive, i));
    }
    sl_source_close(folder);
    sl_source_close(archive);
}

static void test_member_twice(void **state)
{
    static const int keys[] = {30, 2};
    (void)state;
    copy("twice.tar", "twice/twice.tar", -1);
    struct sl_source *source = kit_open("twice/twice.tar", SL_PART_TRAIN, true);
    expect_keys(source, 2, keys);
    sl_source_close(source);
}

static void test_damage(void **state)
{
    (void)state;
    copy("gnu.tar", "hurt/head.tar", 300);
    kit_open_fails("hurt/head.tar", SL_PART_TRAIN, true, SL_ERROR_DATA, "head.tar");
    copy("gnu.tar", "hurt/body.tar", 512 + 20);
    kit_open_fails("hurt/body.tar", SL_PART_TRAIN, true, SL_ERROR_DATA, "cut short");
    copy("mixed.zip", "hurt/cut.zip", 1000);
    kit_open_fails("hurt/cut.zip", SL_PART_TRAIN, true, SL_ERROR_DATA, "cut.zip");
    kit_write("hurt/words.tar", "these are words and no archive\n", 31);
    kit_open_fails("hurt/words.tar", SL_PART_TRAIN, true, SL_ERROR_DATA, "words.tar");
    kit_write("hurt/empty.tar", "", 0);
    kit_open_fails("hurt/empty.tar", SL_PART_TRAIN, true, SL_ERROR_DATA, "empty.tar");
    kit_open_fails("hurt/none.tar", SL_PART_TRAIN, true, SL_ERROR_DATA, "no such file");
}

/* A member that is no longer there is a damaged picture, not a crash. */
static void test_shrinks_in_use(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_image image;
    copy("gnu.tar", "shrink/gnu.tar", -1);
    struct sl_source *source = kit_open("shrink/gnu.tar", SL_PART_TRAIN, true);
    assert_int_equal(truncate("shrink/gnu.tar", 600), 0);
    struct sl_arena *arena = kit_arena();
    assert_int_equal(sl_source_read(&err, source, 0, arena, &image), SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "ends before"));
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* Packed bytes that are wrong do not become a picture. */
static void test_bad_deflate(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_image image;
    copy("mixed.zip", "deflate/x.zip", -1);
    struct sl_source *source = kit_open("deflate/x.zip", SL_PART_TRAIN, true);
    FILE *file = fopen("deflate/x.zip", "r+b"); /* in place: the source has it open */
    assert_non_null(file);
    for (int i = 0; i < 900; i++) {
        assert_int_equal(fputc(0xff, file), 0xff);
    }
    assert_int_equal(fclose(file), 0);
    struct sl_arena *arena = kit_arena();
    for (int64_t i = 0; i < sl_source_count(source); i++) {
        err = (struct sl_error){0};
        assert_int_equal(sl_source_read(&err, source, i, arena, &image), SL_ERROR_DATA);
        bool was_deflated = i == 1 || i == 3;
        assert_int_equal(strstr(err.text, "does not unpack") != NULL, was_deflated);
    }
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* ---- compressed -------------------------------------------------------------------- */

static int files_in(const char *path)
{
    struct sl_error err = {0};
    struct sl_dir_list list = {0};
    assert_int_equal(sl_dir_list(&err, SL_ERROR_DATA, path, &list), SL_OK);
    int n = (int)list.n;
    sl_dir_list_finish(&list);
    return n;
}

static void test_compressed(void **state)
{
    static const int keys[] = {1, 2, 3, 4, 5};
    (void)state;
    kit_remove("gz");
    copy("photos.tar.gz", "gz/photos.tar.gz", -1);
    kit_open_fails("gz/photos.tar.gz", SL_PART_TRAIN, true, SL_ERROR_DATA, "--no-cache");
    for (int i = 0; i < 2; i++) {
        struct sl_source *source = open_cached("gz/photos.tar.gz", "gz/cache");
        expect_keys(source, 5, keys);
        expect_name(source, 0, "gz/photos.tar.gz/photos/train/cat/a.ppm");
        sl_source_close(source);
        assert_int_equal(files_in("gz/cache"), 1); /* too fresh for an index */
    }
    /* Another file of the name takes the place of the first. */
    copy("photos.tar.gz", "gz/photos.tar.gz", 500);
    const struct sl_source_config config = {
        .data = "gz/photos.tar.gz", .whole = true, .cache_directory = "gz/cache"};
    struct sl_source *source = NULL;
    struct sl_error err = {0};
    assert_int_equal(sl_source_open(&err, &config, &source), SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "cut short"));
    assert_int_equal(files_in("gz/cache"), 1);
    copy("photos.tar.gz", "gz/photos.tar.gz", -1);
    sl_source_close(open_cached("gz/photos.tar.gz", "gz/cache"));
    assert_int_equal(files_in("gz/cache"), 1);
}

static void test_unpack_limit(void **state)
{
    (void)state;
    struct sl_error err = {0};
    copy("photos.tar.gz", "limit/photos.tar.gz", -1);
    assert_int_equal(sl_gunzip_file(&err, "limit/photos.tar.gz", "limit/out.tar", 5000),
                     SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "more than 5000 bytes"));
    assert_int_equal(sl_path_kind("limit/out.tar"), SL_PATH_MISSING);
    assert_int_equal(files_in("limit"), 1);
}

/* ---- shards ------------------------------------------------------------------------ */

static void expect_samples(const struct sl_source *source)
{
    static const int keys[] = {10, 11, 12, 13, 14, 15};
    static const int labels[] = {1, 0, 3, -1, 2, 1};
    expect_keys(source, 6, keys);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(sl_source_label(source, i), labels[i]);
    }
    assert_string_equal(sl_source_kind(source), "shards");
    assert_int_equal(sl_source_classes(source), 4);
    assert_string_equal(sl_source_class_name(source, 3), "3");
}

static void test_shards(void **state)
{
    (void)state;
    copy("shard-000000.tar", "web/shard-000000.tar", -1);
    copy("shard-000001.tar", "web/shard-000001.tar", -1);
    struct sl_source *braces =
        kit_open("web/shard-{000000..000001}.tar", SL_PART_TRAIN, true);
    struct sl_source *folder = kit_open("web", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("web", SL_PART_TEST, false);
    expect_samples(braces);
    expect_samples(folder);
    assert_true(sl_source_was_split(test)); /* no parts in there */
    expect_name(braces, 2, "web/shard-000001.tar/2.ppm");
    assert_int_equal(sl_source_fingerprint(braces), sl_source_fingerprint(folder));
    sl_source_close(braces);
    sl_source_close(folder);
    sl_source_close(test);
    kit_open_fails("web/shard-{000000..000002}.tar", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "shard-000002.tar");
    kit_open_fails("web/shard-{000001..000000}.tar", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "backwards");
    kit_open_fails("web/shard-{0..999999}.tar", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "more than 100000");
}

static void test_braces(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_shards shards = {0};
    assert_int_equal(sl_shards_expand(&err, "a{08..10}-{1..2}.tar", &shards), SL_OK);
    assert_int_equal(shards.n, 6);
    assert_string_equal(shards.paths[0], "a08-1.tar");
    assert_string_equal(shards.paths[1], "a08-2.tar");
    assert_string_equal(shards.paths[5], "a10-2.tar");
    sl_shards_finish(&shards);
    assert_int_equal(sl_shards_expand(&err, "odd{x}{1..}.tar", &shards), SL_OK);
    assert_int_equal(shards.n, 1);
    assert_string_equal(shards.paths[0], "odd{x}{1..}.tar");
    sl_shards_finish(&shards);
}

/* More shards than files may be open: each picture opens its own, and nothing leaks. */
static void test_many_shards(void **state)
{
    (void)state;
    struct rlimit before, small;
    char path[64];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(path, sizeof(path), "many/%02d.tar", i);
        copy("shard-000000.tar", path, -1);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int held = open_files();
    struct sl_source *source = kit_open("many/{00..11}.tar", SL_PART_TRAIN, true);
    assert_int_equal(open_files(), held + 12);
    sl_source_close(source);
    assert_int_equal(open_files(), held);
    small = before;
    small.rlim_cur = 128 + 20; /* ten may stay open */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    source = kit_open("many/{00..11}.tar", SL_PART_TRAIN, true);
    assert_int_equal(open_files(), held);
    assert_int_equal(sl_source_count(source), 24);
    for (int i = 0; i < 24; i++) {
        assert_int_equal(key_of(source, i), 10 + i % 2);
    }
    assert_int_equal(open_files(), held);
    sl_source_close(source);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_makers),         cmocka_unit_test(test_same_as_folder),
        cmocka_unit_test(test_member_twice),   cmocka_unit_test(test_damage),
        cmocka_unit_test(test_shrinks_in_use), cmocka_unit_test(test_bad_deflate),
        cmocka_unit_test(test_compressed),     cmocka_unit_test(test_unpack_limit),
        cmocka_unit_test(test_shards),         cmocka_unit_test(test_braces),
        cmocka_unit_test(test_many_shards),
    };
    if (!sl_archive_built) {
        print_message("this build reads no archives: skipped\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
