/* SPDX-License-Identifier: MIT */
/*
 * Pictures in archives: tar and zip of several makers, compressed ones, WebDataset
 * shards, and every kind of damage. The golden archives hold pictures whose second byte
 * follows from a number (tools/golden_archives.py).
 */
#include "data/index_int.h"
#include "unit/data_testkit.h"

#include <dirent.h>
#include <fcntl.h>
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

/* Changes one byte of a file, so that nobody who only reads it on would see. */
static void damage_byte(const char *path, int64_t at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_true(fputc(byte ^ 1, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

/* Where text stands in a file, from `from` on; -1 for nowhere. */
static int64_t find_in(const char *path, const char *text, size_t length, int64_t from)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0, found = -1;
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &bytes, &size),
                     SL_OK);
    for (int64_t i = from; i + (int64_t)length <= size && found < 0; i++) {
        found = memcmp(bytes + i, text, length) == 0 ? i : -1;
    }
    sl_heap_free(bytes);
    return found;
}

/* A byte of a pixel that has changed still gives a picture: the zip's check sum knows. */
static void test_check_sums(void **state)
{
    static const char pixels[] = "P6\n3 2\n255\n";
    (void)state;
    int n_damaged = 0;
    struct sl_error err = {0};
    struct sl_image image;
    copy("mixed.zip", "sums/x.zip", -1);
    for (int64_t at = find_in("sums/x.zip", pixels, sizeof(pixels) - 1, 0); at >= 0;
         at = find_in("sums/x.zip", pixels, sizeof(pixels) - 1, at + 1)) {
        damage_byte("sums/x.zip", at + (int64_t)sizeof(pixels) + 3);
    }
    struct sl_source *source = kit_open("sums/x.zip", SL_PART_TRAIN, true);
    struct sl_arena *arena = kit_arena();
    for (int64_t i = 0; i < sl_source_count(source); i++) {
        err = (struct sl_error){0};
        if (sl_source_read(&err, source, i, arena, &image) != SL_OK) {
            assert_int_equal(err.status, SL_ERROR_DATA);
            assert_non_null(strstr(err.text, "x.zip/photos/train/"));
            assert_non_null(strstr(err.text, "check sum"));
            n_damaged++;
        }
    }
    /* Three stored ones, and one that deflate could not make smaller. */
    assert_int_equal(n_damaged, 4);
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* The sums are found behind what a program that unpacks itself has in front, and with a
 * comment behind, which may look like an end record itself. */
static void test_sums_are_found(void **state)
{
    (void)state;
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    copy("mixed.zip", "found/x.zip", -1);
    assert_int_equal(
        sl_file_read(&err, SL_ERROR_DATA, "found/x.zip", 1 << 20, &bytes, &size), SL_OK);
    const struct sl_archive_bytes archive = {.fd = -1, .bytes = bytes, .size = size};
    struct sl_rows sums = {0};
    assert_int_equal(sl_zip_sums_read(&err, &archive, &sums), SL_OK);
    assert_int_equal(sums.n, 10); /* all members, pictures or not */
    const struct sl_zip_sum *items = sums.items;
    for (int64_t i = 1; i < sums.n; i++) {
        assert_true(items[i].header > items[i - 1].header);
    }
    uint32_t sum = 0;
    assert_false(sl_zip_sum_of(&sums, items[0].header + 29, &sum));
    assert_true(sl_zip_sum_of(&sums, items[1].header + 30, &sum));
    assert_int_equal(sum, items[1].sum);
    assert_false(sl_zip_sum_of(&sums, items[9].header + 200000, &sum));
    /* The same file after a thousand other bytes. */
    unsigned char *longer = NULL;
    struct sl_rows moved = {0};
    assert_int_equal(sl_heap_alloc(&err, "zip", size + 1000, 1, &longer), SL_OK);
    memset(longer, 'x', 1000);
    memcpy(longer + 1000, bytes, (size_t)size);
    const struct sl_archive_bytes behind = {
        .fd = -1, .bytes = longer, .size = size + 1000};
    assert_int_equal(sl_zip_sums_read(&err, &behind, &moved), SL_OK);
    assert_int_equal(moved.n, 10);
    for (int64_t i = 0; i < moved.n; i++) {
        const struct sl_zip_sum *item = (const struct sl_zip_sum *)moved.items + i;
        assert_int_equal(item->header, items[i].header + 1000);
        assert_int_equal(item->sum, items[i].sum);
    }
    /* No directory: no sums, and no complaint. */
    const struct sl_archive_bytes cut = {.fd = -1, .bytes = bytes, .size = size - 30};
    moved.n = 0;
    assert_int_equal(sl_zip_sums_read(&err, &cut, &moved), SL_OK);
    assert_int_equal(moved.n, 0);
    sl_heap_free(moved.items);
    sl_heap_free(sums.items);
    sl_heap_free(longer);
    sl_heap_free(bytes);
}

static void put_number(unsigned char *at, uint64_t value, int n)
{
    for (int i = 0; i < n; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

/* A directory whose one entry has the longest name and the longest extra field, with the
 * position among the latter, read from a file as archives are. */
static void test_sum_of_longest_entry(void **state)
{
    enum { TEXT = 0xffff, ENTRY = 46, ALL = ENTRY + 2 * TEXT + 22 };
    (void)state;
    struct sl_error err = {0};
    struct sl_rows sums = {0};
    unsigned char *bytes = NULL;
    assert_int_equal(sl_heap_alloc(&err, "zip", ALL, 1, &bytes), SL_OK);
    memset(bytes, 'x', ALL);
    put_number(bytes, 0x02014b50, 4);
    put_number(bytes + 16, 0x12345678, 4); /* the sum */
    put_number(bytes + 20, 1, 4);
    put_number(bytes + 24, 1, 4);
    put_number(bytes + 28, TEXT, 2);
    put_number(bytes + 30, TEXT, 2);
    put_number(bytes + 32, 0, 2);
    put_number(bytes + 42, UINT32_MAX, 4);
    unsigned char *extra = bytes + ENTRY + TEXT; /* the large position stands last */
    put_number(extra, 2, 2);
    put_number(extra + 2, TEXT - 16, 2);
    put_number(extra + TEXT - 12, 1, 2);
    put_number(extra + TEXT - 10, 8, 2);
    put_number(extra + TEXT - 8, 77, 8);
    unsigned char *end = bytes + ENTRY + 2 * TEXT;
    memset(end, 0, 22);
    put_number(end, 0x06054b50, 4);
    put_number(end + 8, 1, 2);
    put_number(end + 10, 1, 2);
    put_number(end + 12, ENTRY + 2 * TEXT, 4);
    kit_write("longest/x.zip", bytes, ALL);
    int file = open("longest/x.zip", O_RDONLY);
    assert_true(file >= 0);
    const struct sl_archive_bytes archive = {.fd = file, .size = ALL};
    assert_int_equal(sl_zip_sums_read(&err, &archive, &sums), SL_OK);
    assert_int_equal(sums.n, 1);
    const struct sl_zip_sum *item = sums.items;
    assert_int_equal(item->header, 77);
    assert_int_equal(item->sum, 0x12345678);
    (void)close(file);
    sl_heap_free(sums.items);
    sl_heap_free(bytes);
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

/* The sum and the length at the end of gzipped bytes. */
static void test_gzip_trailer(void **state)
{
    (void)state;
    for (int back = 1; back <= 8; back += 4) { /* a byte of the length, of the sum */
        struct sl_error err = {0};
        unsigned char *bytes = NULL;
        int64_t size = 0;
        copy("photos.tar.gz", "trailer/photos.tar.gz", -1);
        assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, "trailer/photos.tar.gz",
                                      1 << 20, &bytes, &size),
                         SL_OK);
        sl_heap_free(bytes);
        damage_byte("trailer/photos.tar.gz", size - back);
        assert_int_equal(
            sl_gunzip_file(&err, "trailer/photos.tar.gz", "trailer/out.tar", 1 << 20),
            SL_ERROR_DATA);
        assert_non_null(strstr(err.text, "damaged gzip data"));
        assert_int_equal(sl_path_kind("trailer/out.tar"), SL_PATH_MISSING);
    }
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
        cmocka_unit_test(test_makers),
        cmocka_unit_test(test_same_as_folder),
        cmocka_unit_test(test_member_twice),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_shrinks_in_use),
        cmocka_unit_test(test_bad_deflate),
        cmocka_unit_test(test_check_sums),
        cmocka_unit_test(test_sums_are_found),
        cmocka_unit_test(test_sum_of_longest_entry),
        cmocka_unit_test(test_gzip_trailer),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_unpack_limit),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_braces),
        cmocka_unit_test(test_many_shards),
    };
    if (!sl_archive_built) {
        print_message("this build reads no archives: skipped\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
