/* SPDX-License-Identifier: MIT */
/*
 * List files and LMDB, and the cache of indices: it is used while the data looks as it
 * did, and never otherwise, whatever lies in the cache directory.
 */
#include "data/index_int.h"
#include "unit/data_testkit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_name(const struct sl_source *source, int64_t i, const char *name)
{
    char text[512];
    sl_source_name(source, i, text, sizeof(text));
    assert_string_equal(text, name);
}

/* ---- lists ------------------------------------------------------------------------- */

static void write_list(const char *path, const char *text)
{
    kit_write(path, text, strlen(text));
}

static void test_list(void **state)
{
    (void)state;
    char cwd[2048], text[8192];
    kit_write_ppm("listed/z/1.ppm", 2, 2, 1);
    kit_write_ppm("listed/a/2.ppm", 2, 2, 2);
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    (void)snprintf(
        text, sizeof(text),
        "z/1.ppm\tdog\r\n\r\n  \n%s/listed/a/2.ppm\tcat\r\nz/1.ppm\na/gone.ppm", cwd);
    write_list("listed/files.txt", text);
    struct sl_source *source = kit_open("@listed/files.txt", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(source), 4);
    assert_string_equal(sl_source_kind(source), "list");
    expect_name(source, 0, "listed/z/1.ppm");
    expect_name(source, 2, "listed/z/1.ppm"); /* the order is the list's */
    (void)snprintf(text, sizeof(text), "%s/listed/a/2.ppm", cwd);
    expect_name(source, 1, text);
    assert_int_equal(sl_source_classes(source), 2);
    assert_string_equal(sl_source_class_name(source, 0), "cat");
    assert_int_equal(sl_source_label(source, 0), 1);
    assert_int_equal(sl_source_label(source, 1), 0);
    assert_int_equal(sl_source_label(source, 2), -1);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, source, 1, arena, &image), SL_OK);
    assert_int_equal(image.pixels[0], 2 * 37);
    assert_int_equal(sl_source_read(&err, source, 3, arena, &image), SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "listed/a/gone.ppm"));
    sl_arena_destroy(arena);
    sl_source_close(source);
}

static void test_list_numbers(void **state)
{
    (void)state;
    write_list("numbers.txt", "b.ppm\t4\na.ppm\t0\nc.ppm\n");
    struct sl_source *source = kit_open("@numbers.txt", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_classes(source), 5);
    assert_string_equal(sl_source_class_name(source, 4), "4");
    assert_int_equal(sl_source_label(source, 0), 4);
    assert_int_equal(sl_source_label(source, 2), -1);
    expect_name(source, 0, "b.ppm");
    sl_source_close(source);
}

/* A few bytes do not make a table of a million classes: numbers that large are names. */
static void test_large_numbers(void **state)
{
    (void)state;
    write_list("large.txt", "b.ppm\t400040\na.ppm\t7\n");
    struct sl_source *source = kit_open("@large.txt", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_classes(source), 2);
    assert_string_equal(sl_source_class_name(source, 0), "400040");
    assert_int_equal(sl_source_label(source, 0), 0);
    sl_source_close(source);
    assert_int_equal(sl_classes_most(3), 65536);
    assert_int_equal(sl_classes_most(100000), 100000);
    assert_int_equal(sl_classes_most(INT32_MAX), SL_INDEX_CLASSES_MAX);
    /* Where labels are numbers by definition they are refused. */
    static const char json[] = "{\"a.ppm\": 65536}";
    struct sl_builder builder = {0};
    struct sl_error err = {0};
    assert_int_equal(sl_lmdb_keys_parse(&err, "x_list.json", (const void *)json,
                                        sizeof(json) - 1, &builder),
                     SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "x_list.json: a label is 65536"));
    sl_builder_finish(&builder);
}

static void test_bad_lists(void **state)
{
    (void)state;
    struct sl_text text = {0};
    kit_open_fails("@none.txt", SL_PART_TRAIN, true, SL_ERROR_DATA, "none.txt");
    write_list("blank.txt", "\n \r\n");
    kit_open_fails("@blank.txt", SL_PART_TRAIN, true, SL_ERROR_DATA, "no images");
    kit_write("zero.txt", "a.ppm\n\0\n", 8);
    kit_open_fails("@zero.txt", SL_PART_TRAIN, true, SL_ERROR_DATA, "zero byte");
    write_list("tab.txt", "a.ppm\t1\n\t2\n");
    kit_open_fails("@tab.txt", SL_PART_TRAIN, true, SL_ERROR_DATA, "tab.txt:2");
    for (int i = 0; i < 5000; i++) {
        sl_text_add(&text, "x");
    }
    kit_write("long.txt", text.text, text.length);
    kit_open_fails("@long.txt", SL_PART_TRAIN, true, SL_ERROR_DATA, "long.txt:1");
    sl_text_finish(&text);
}

/* ---- LMDB -------------------------------------------------------------------------- */

static void read_key(const struct sl_source *source, int64_t i, int key)
{
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    if (sl_source_read(&err, source, i, arena, &image) != SL_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(image.pixels[0], (unsigned char)(key * 37));
    sl_arena_destroy(arena);
}

static void test_lmdb(void **state)
{
    (void)state;
    if (!sl_lmdb_built) {
        skip();
    }
    kit_copy_golden("../archives/train.lmdb", "lmdb/train_lmdb/train.lmdb", -1);
    struct sl_source *source =
        kit_open("lmdb/train_lmdb/train.lmdb", SL_PART_TRAIN, true);
    assert_string_equal(sl_source_class_name(source, 1), "dog"); /* of the keys */
    sl_source_close(source);
    /* The list may lie in the folder above. */
    kit_copy_golden("../archives/train_list.json", "lmdb/train_list.json", -1);
    source = kit_open("lmdb/train_lmdb/train.lmdb", SL_PART_TRAIN, true);
    assert_string_equal(sl_source_kind(source), "lmdb");
    assert_int_equal(sl_source_count(source), 3);
    assert_string_equal(sl_source_class_name(source, 1), "1");
    expect_name(source, 0, "lmdb/train_lmdb/train.lmdb/cat/a.ppm");
    for (int i = 0; i < 3; i++) {
        read_key(source, i, 20 + i);
        assert_int_equal(sl_source_label(source, i), i > 0);
    }
    sl_source_close(source);
    write_list("lmdb/train_lmdb/train_list.json", "[[\"cat/a.ppm\", 3], [\"no/x\", 0]]");
    source = kit_open("lmdb/train_lmdb/train.lmdb", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_label(source, 0), 3);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, source, 1, arena, &image), SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "no such key"));
    sl_arena_destroy(arena);
    sl_source_close(source);
}

static void test_bad_lmdb(void **state)
{
    (void)state;
    if (!sl_lmdb_built) {
        kit_copy_golden("../archives/train.lmdb", "nolmdb/train.lmdb", -1);
        kit_open_fails("nolmdb/train.lmdb", SL_PART_TRAIN, true, SL_ERROR_DATA, "LMDB");
        return;
    }
    kit_copy_golden("../archives/train.lmdb", "badlmdb/cut.lmdb", 8192 + 100);
    kit_open_fails("badlmdb/cut.lmdb", SL_PART_TRAIN, true, SL_ERROR_DATA, "cut short");
    kit_write("badlmdb/words.lmdb", "these are words", 15);
    kit_open_fails("badlmdb/words.lmdb", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "not a readable LMDB");
    kit_open_fails("badlmdb/none.lmdb", SL_PART_TRAIN, true, SL_ERROR_DATA, "no such");
    kit_copy_golden("../archives/train.lmdb", "badlmdb/x.lmdb", -1);
    write_list("badlmdb/x_list.json", "{\"cat/a.ppm\": -1}");
    kit_open_fails("badlmdb/x.lmdb", SL_PART_TRAIN, true, SL_ERROR_DATA, "a label must");
    write_list("badlmdb/x_list.json", "{\"cat/a.ppm\": ");
    kit_open_fails("badlmdb/x.lmdb", SL_PART_TRAIN, true, SL_ERROR_DATA, "damaged JSON");
}

/* ---- the cache --------------------------------------------------------------------- */

/* What the log said since it was last looked at. */
static struct sl_text said;

static void listen(void *context, enum sl_log_level level, const char *line)
{
    (void)context;
    (void)level;
    sl_text_add(&said, "%s\n", line);
}

static bool heard(const char *word)
{
    bool yes = said.text != NULL && strstr(said.text, word) != NULL;
    sl_text_finish(&said);
    return yes;
}

/* Directories and archives look as if they had been made long ago. */
static void age(const char *path)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_photos(void)
{
    kit_write_ppm("photos/train/cat/a.ppm", 2, 2, 1);
    kit_write_ppm("photos/train/cat/b.ppm", 2, 2, 2);
    kit_write_ppm("photos/train/dog/c.ppm", 2, 2, 3);
    kit_write_ppm("photos/val/dog/d.ppm", 2, 2, 4);
    static const char *const dirs[] = {"photos/train/cat", "photos/train/dog",
                                       "photos/val/dog",   "photos/val",
                                       "photos/train",     "photos"};
    for (int i = 0; i < SL_COUNT(dirs); i++) {
        age(dirs[i]);
    }
}

static struct sl_source *open_part(const char *cache, enum sl_part part)
{
    const struct sl_source_config config = {
        .data = "photos", .part = part, .whole = true, .cache_directory = cache};
    struct sl_source *source = NULL;
    struct sl_error err = {0};
    if (sl_source_open(&err, &config, &source) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return source;
}

static void expect_photos(const char *cache, int64_t n_train)
{
    struct sl_source *train = open_part(cache, SL_PART_TRAIN);
    struct sl_source *plain = open_part(NULL, SL_PART_TRAIN);
    struct sl_source *test = open_part(cache, SL_PART_TEST);
    assert_int_equal(sl_source_count(train), n_train);
    assert_int_equal(sl_source_count(test), 1);
    assert_int_equal(sl_source_fingerprint(train), sl_source_fingerprint(plain));
    assert_string_equal(sl_source_class_name(train, 1), "dog");
    for (int64_t i = 0; i < n_train; i++) {
        assert_int_equal(sl_source_label(train, i), sl_source_label(plain, i));
    }
    assert_int_equal(kit_hash(train, 0, n_train), kit_hash(plain, 0, n_train));
    expect_name(test, 0, "photos/val/dog/d.ppm");
    sl_source_close(train);
    sl_source_close(plain);
    sl_source_close(test);
}

static void cache_file(const char *cache, char *dst, size_t size)
{
    struct sl_error err = {0};
    struct sl_dir_list list = {0};
    assert_int_equal(sl_dir_list(&err, SL_ERROR_DATA, cache, &list), SL_OK);
    assert_int_equal(list.n, 1);
    assert_true(sl_path_join(dst, size, cache, list.names[0]));
    sl_dir_list_finish(&list);
}

static void test_cache_is_used(void **state)
{
    (void)state;
    make_photos();
    sl_source_close(open_part("used", SL_PART_TRAIN));
    assert_true(heard("made in"));
    sl_source_close(open_part("used", SL_PART_TRAIN));
    assert_true(heard("from the cache"));
    expect_photos("used", 3);
    (void)heard("");
    /* Another way to the same folder finds it, too. */
    const struct sl_source_config config = {
        .data = "used/../photos", .whole = true, .cache_directory = "used"};
    struct sl_source *source = NULL;
    struct sl_error err = {0};
    assert_int_equal(sl_source_open(&err, &config, &source), SL_OK);
    assert_true(heard("from the cache"));
    expect_name(source, 0, "used/../photos/train/cat/a.ppm");
    sl_source_close(source);
}

static void test_cache_sees_changes(void **state)
{
    (void)state;
    make_photos();
    expect_photos("seen", 3);
    kit_write_ppm("photos/train/dog/deeper/e.ppm", 2, 2, 5);
    age("photos/train/dog"); /* not even a date put back hides it */
    (void)heard("");
    expect_photos("seen", 4);
    assert_true(heard("made in"));
    assert_int_equal(unlink("photos/train/dog/deeper/e.ppm"), 0);
    expect_photos("seen", 3);
    assert_int_equal(rename("photos/train/cat/b.ppm", "photos/train/cat/B.ppm"), 0);
    struct sl_source *source = open_part("seen", SL_PART_TRAIN);
    expect_name(source, 0, "photos/train/cat/B.ppm");
    sl_source_close(source);
    assert_int_equal(unlink("photos/train/cat/B.ppm"), 0);
    assert_int_equal(rmdir("photos/train/dog/deeper"), 0);
}

/* What changed a moment ago may change again without looking different. */
static void test_cache_waits(void **state)
{
    (void)state;
    make_photos();
    kit_write_ppm("photos/train/cat/f.ppm", 2, 2, 6);
    sl_source_close(open_part("waits", SL_PART_TRAIN));
    assert_int_equal(sl_path_kind("waits"), SL_PATH_MISSING);
    assert_int_equal(unlink("photos/train/cat/f.ppm"), 0);
}

static void test_cache_is_not_trusted(void **state)
{
    (void)state;
    char path[512];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    struct sl_error err = {0};
    make_photos();
    expect_photos("hurt", 3);
    cache_file("hurt", path, sizeof(path));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &bytes, &size),
                     SL_OK);
    for (int64_t at = 0; at < size; at += 13) {
        bytes[at] ^= 0x10;
        kit_write(path, bytes, (size_t)size);
        (void)heard("");
        sl_source_close(open_part("hurt", SL_PART_TRAIN));
        assert_true(heard("made in"));
        bytes[at] ^= 0x10;
    }
    for (int64_t cut = 0; cut < size; cut += 29) {
        kit_write(path, bytes, (size_t)cut);
        (void)heard("");
        sl_source_close(open_part("hurt", SL_PART_TRAIN));
        assert_true(heard("made anew"));
    }
    /* The index of another folder under this one's name. */
    kit_write_ppm("other/x.ppm", 2, 2, 9);
    age("other");
    const struct sl_source_config config = {
        .data = "other", .whole = true, .cache_directory = "foreign"};
    struct sl_source *source = NULL;
    assert_int_equal(sl_source_open(&err, &config, &source), SL_OK);
    sl_source_close(source);
    sl_heap_free(bytes);
    char other[512];
    cache_file("foreign", other, sizeof(other));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, other, 1 << 20, &bytes, &size),
                     SL_OK);
    kit_write(path, bytes, (size_t)size);
    sl_heap_free(bytes);
    expect_photos("hurt", 3);
}

static void test_cache_cannot_be_written(void **state)
{
    (void)state;
    make_photos();
    kit_write("plain", "x", 1);
    (void)heard("");
    expect_photos("plain/cache", 3);
    assert_true(heard("not kept"));
    sl_file_fail_after(100);
    expect_photos("full", 3);
    sl_file_fail_after(-1);
    assert_true(heard("disk full"));
    expect_photos("full", 3);
}

static void test_archives_are_cached(void **state)
{
    (void)state;
    if (!sl_archive_built) {
        skip();
    }
    kit_copy_golden("../archives/gnu.tar", "arch/a.tar", -1);
    age("arch/a.tar");
    struct sl_source_config config = {
        .data = "arch/a.tar", .whole = true, .cache_directory = "arch/cache"};
    struct sl_error err = {0};
    uint64_t hash[3] = {0};
    for (int i = 0; i < 3; i++) {
        struct sl_source *source = NULL;
        if (i == 2) { /* the same name, other contents, another date */
            kit_copy_golden("../archives/twice.tar", "arch/a.tar", -1);
        }
        (void)heard("");
        assert_int_equal(sl_source_open(&err, &config, &source), SL_OK);
        assert_int_equal(heard("from the cache"), i == 1);
        hash[i] = kit_hash(source, 0, sl_source_count(source));
        sl_source_close(source);
    }
    assert_int_equal(hash[0], hash[1]);
    assert_int_not_equal(hash[0], hash[2]);
}

/* Whatever allocation fails, opening ends with one line and gives all back; where only
 * the cache suffers it goes on. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    static const char *const data[] = {"photos", "@numbers.txt", "short/gnu.tar",
                                       "short/train.lmdb"};
    make_photos();
    write_list("numbers.txt", "b.ppm\t4\na.ppm\t0\nc.ppm\n");
    kit_copy_golden("../archives/gnu.tar", "short/gnu.tar", -1);
    kit_copy_golden("../archives/train.lmdb", "short/train.lmdb", -1);
    for (int d = 0; d < 2 + (sl_archive_built ? 1 : 0) + (sl_lmdb_built ? 1 : 0); d++) {
        const char *name = data[d == 2 && !sl_archive_built ? 3 : d];
        bool is_done = false;
        for (int64_t k = 1; !is_done; k++) {
            struct sl_source_config config = {
                .data = name, .whole = true, .cache_directory = "short/cache"};
            struct sl_source *source = NULL;
            struct sl_error err = {0};
            sl_text_finish(&said);
            kit_remove("short/cache");
            sl_log_set(NULL, NULL);
            int64_t held = sl_heap_bytes();
            int64_t calls = sl_heap_calls();
            sl_heap_fail_at(k);
            enum sl_status status = sl_source_open(&err, &config, &source);
            sl_heap_fail_at(0);
            assert_true(status == SL_OK || (source == NULL && err.text[0] != '\0'));
            is_done = status == SL_OK && sl_heap_calls() - calls < k;
            sl_source_close(source);
            assert_int_equal(sl_heap_bytes(), held);
        }
        sl_log_set(listen, NULL);
    }
}

static int listen_up(void **state)
{
    static const char *const left[] = {"used", "seen", "waits", "hurt",   "foreign",
                                       "full", "lmdb", "arch",  "photos", "badlmdb"};
    (void)state;
    for (int i = 0; i < SL_COUNT(left); i++) {
        kit_remove(left[i]);
    }
    sl_log_set(listen, NULL);
    return 0;
}

static int listen_no_more(void **state)
{
    (void)state;
    sl_log_set(NULL, NULL);
    sl_text_finish(&said);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_numbers),
        cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_lmdb),
        cmocka_unit_test(test_bad_lmdb),
        cmocka_unit_test(test_cache_is_used),
        cmocka_unit_test(test_cache_sees_changes),
        cmocka_unit_test(test_cache_waits),
        cmocka_unit_test(test_cache_is_not_trusted),
        cmocka_unit_test(test_cache_cannot_be_written),
        cmocka_unit_test(test_archives_are_cached),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, listen_up, listen_no_more);
}
