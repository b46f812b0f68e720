/* SPDX-License-Identifier: MIT */
/*
 * Files: what is read is what was written, a failed write leaves the target as it was and
 * no temporary behind, and every failure says in words what is wrong. Runs in an empty
 * folder of its own; may run as root, so nothing here relies on permissions.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char root[] = "base_file.scratch";

/* Removes the tree that an earlier run left. */
static void remove_tree(const char *path)
{
    if (sl_path_kind(path) != SL_PATH_DIRECTORY) {
        (void)sl_file_remove(path);
        return;
    }
    struct sl_error err = {0};
    struct sl_dir_list list;
    assert_int_equal(sl_dir_list(&err, SL_ERROR_RUN, path, &list), SL_OK);
    for (int64_t i = 0; i < list.n; i++) {
        char name[600];
        assert_true(sl_path_join(name, sizeof name, path, list.names[i]));
        remove_tree(name);
    }
    sl_dir_list_finish(&list);
    (void)rmdir(path);
}

static int begin(void **state)
{
    (void)state;
    struct sl_error err = {0};
    remove_tree(root);
    return sl_dir_create(&err, root) == SL_OK && chdir(root) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    if (chdir("..") != 0) {
        return -1;
    }
    remove_tree(root);
    return 0;
}

static void put(const char *path, const char *text)
{
    struct sl_error err = {0};
    assert_int_equal(sl_file_write(&err, path, text, strlen(text)), SL_OK);
}

static void assert_content(const char *path, const char *expected)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1000000, &bytes, &size),
                     SL_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal((const char *)bytes, expected);
    sl_heap_free(bytes);
}

/* The folder holds these names, in this order, separated by spaces. */
static void assert_names(const char *path, const char *expected)
{
    struct sl_error err = {0};
    struct sl_dir_list list;
    struct sl_text text = {0};
    assert_int_equal(sl_dir_list(&err, SL_ERROR_DATA, path, &list), SL_OK);
    for (int64_t i = 0; i < list.n; i++) {
        sl_text_add(&text, "%s%s", i > 0 ? " " : "", list.names[i]);
    }
    assert_string_equal(text.text != NULL ? text.text : "", expected);
    sl_text_finish(&text);
    sl_dir_list_finish(&list);
}

#define assert_says(err, words) assert_non_null(strstr((err).text, (words)))

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct sl_error err = {0};
    unsigned char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (unsigned char)i;
    }
    struct sl_file_writer *writer = NULL;
    assert_int_equal(sl_file_writer_begin(&err, "a.bin", &writer), SL_OK);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sl_file_writer_write(&err, writer, all, sizeof all), SL_OK);
    }
    assert_int_equal(sl_path_kind("a.bin"), SL_PATH_MISSING);
    assert_int_equal(sl_file_writer_commit(&err, writer), SL_OK);
    assert_names(".", "a.bin");

    unsigned char *bytes = NULL;
    int64_t size = 0;
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, "a.bin", 256000, &bytes, &size),
                     SL_OK);
    assert_int_equal(size, 256000);
    assert_int_equal(bytes[size], 0);
    struct sl_file_map map;
    assert_int_equal(sl_file_map_open(&err, SL_ERROR_DATA, "a.bin", &map), SL_OK);
    assert_int_equal(map.size, 256000);
    assert_memory_equal(map.bytes, bytes, 256000);
    for (int64_t i = 0; i < size; i++) {
        assert_int_equal(bytes[i], i % 256);
    }
    sl_file_map_close(&map);
    sl_heap_free(bytes);
}

static void empty_files_are_fine(void **state)
{
    (void)state;
    struct sl_error err = {0};
    put("empty", "");
    assert_content("empty", "");
    struct sl_file_map map;
    assert_int_equal(sl_file_map_open(&err, SL_ERROR_DATA, "empty", &map), SL_OK);
    assert_int_equal(map.size, 0);
    assert_non_null(map.bytes);
    sl_file_map_close(&map);
}

static void unreadable_is_said_in_words(void **state)
{
    (void)state;
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    struct sl_file_map map;
    assert_int_equal(sl_file_read(&err, SL_ERROR_USAGE, "no/such", 10, &bytes, &size),
                     SL_ERROR_USAGE);
    assert_says(err, "no/such");
    assert_says(err, "no such file");
    assert_null(bytes);
    sl_error_clear(&err);
    assert_int_equal(sl_file_map_open(&err, SL_ERROR_DATA, ".", &map), SL_ERROR_DATA);
    assert_says(err, "is a directory");
    sl_error_clear(&err);
    put("file", "12345678901");
    int64_t calls = sl_heap_calls();
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, "file", 10, &bytes, &size),
                     SL_ERROR_DATA);
    assert_int_equal(sl_heap_calls(), calls);
    assert_says(err, "11 bytes");
    sl_error_clear(&err);
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, "file/x/y", 10, &bytes, &size),
                     SL_ERROR_DATA);
    assert_says(err, "file is not a directory");
    sl_error_clear(&err);
    /* A pipe without a writer must be refused, not waited for. */
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(sl_path_kind("pipe"), SL_PATH_OTHER);
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, "pipe", 10, &bytes, &size),
                     SL_ERROR_DATA);
    assert_says(err, "pipe");
    sl_error_clear(&err);
    assert_int_equal(sl_file_write(&err, "pipe", "x", 1), SL_ERROR_RUN);
    assert_int_equal(sl_path_kind("pipe"), SL_PATH_OTHER);
    struct sl_dir_list list;
    sl_error_clear(&err);
    assert_int_equal(sl_dir_list(&err, SL_ERROR_DATA, "nowhere", &list), SL_ERROR_DATA);
    assert_says(err, "nowhere");
    sl_dir_list_finish(&list);
}

static void abort_leaves_the_target(void **state)
{
    (void)state;
    struct sl_error err = {0};
    put("target", "old");
    struct sl_file_writer *writer = NULL;
    assert_int_equal(sl_file_writer_begin(&err, "target", &writer), SL_OK);
    assert_int_equal(sl_file_writer_write(&err, writer, "new", 3), SL_OK);
    char temporary[64];
    (void)snprintf(temporary, sizeof temporary, "target target.tmp.%ld", (long)getpid());
    assert_names(".", temporary);
    sl_file_writer_abort(writer);
    sl_file_writer_abort(NULL);
    assert_names(".", "target");
    assert_content("target", "old");
}

/* A temporary of a killed run with our process number does no harm. */
static void stale_temporary_is_taken_over(void **state)
{
    (void)state;
    char temporary[64];
    (void)snprintf(temporary, sizeof temporary, "target.tmp.%ld", (long)getpid());
    put(temporary, "much longer than what comes");
    put("target", "short");
    assert_content("target", "short");
    assert_names(".", "target");
}

static void full_disk_leaves_the_target(void **state)
{
    (void)state;
    put("target", "old");
    int64_t held = sl_heap_bytes();
    for (int64_t room = 0; room <= 6; room++) {
        struct sl_error err = {0};
        sl_file_fail_after(room);
        enum sl_status status = sl_file_write(&err, "target", "newer", 5);
        sl_file_fail_after(-1);
        assert_names(".", "target");
        if (room < 5) {
            assert_int_equal(status, SL_ERROR_RUN);
            assert_says(err, "target");
            assert_says(err, "disk full");
            assert_content("target", "old");
        } else {
            assert_int_equal(status, SL_OK);
            assert_content("target", "newer");
        }
    }
    assert_int_equal(sl_heap_bytes(), held);
}

/* The kernel's own full disk, where the machine has the device for it. */
static void real_full_disk_is_recognised(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_file_log *log = NULL;
    if (sl_path_kind("/dev/full") != SL_PATH_OTHER) {
        skip();
    }
    assert_int_equal(sl_file_log_open(&err, "/dev/full", &log), SL_OK);
    assert_int_equal(sl_file_log_line(&err, log, "x"), SL_ERROR_RUN);
    assert_says(err, "disk full");
    sl_file_log_close(log);
}

static void impossible_targets_are_refused(void **state)
{
    (void)state;
    struct sl_error err = {0};
    put("file", "content");
    assert_int_equal(sl_file_write(&err, "file/below", "x", 1), SL_ERROR_RUN);
    assert_says(err, "file is not a directory");
    sl_error_clear(&err);
    assert_int_equal(sl_file_write(&err, "missing/x", "x", 1), SL_ERROR_RUN);
    assert_says(err, "no such file or directory");
    sl_error_clear(&err);
    assert_int_equal(sl_file_write(&err, ".", "x", 1), SL_ERROR_RUN);
    assert_says(err, "is a directory");
    sl_error_clear(&err);
    assert_int_equal(sl_dir_create(&err, "file/run"), SL_ERROR_RUN);
    assert_says(err, "file/run");
    assert_says(err, "file is not a directory");
    sl_error_clear(&err);
    assert_int_equal(sl_dir_create(&err, "file"), SL_ERROR_RUN);
    assert_says(err, "file is not a directory");
    sl_error_clear(&err);
    assert_int_equal(sl_dir_create(&err, ""), SL_ERROR_RUN);
    char longest[400];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    sl_error_clear(&err);
    assert_int_equal(sl_file_write(&err, longest, "x", 1), SL_ERROR_RUN);
    assert_says(err, "too long");
    assert_names(".", "file");
    assert_content("file", "content");
}

static void log_lines_are_appended_whole(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_file_log *log = NULL;
    char longest[20000];
    memset(longest, 'y', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    put("log", "first\n");
    assert_int_equal(sl_file_log_open(&err, "log", &log), SL_OK);
    assert_int_equal(sl_file_log_line(&err, log, "second"), SL_OK);
    assert_content("log", "first\nsecond\n"); /* at once, not when closed */
    sl_file_fail_after(3);
    assert_int_equal(sl_file_log_line(&err, log, "never there"), SL_ERROR_RUN);
    sl_file_fail_after(-1);
    assert_says(err, "disk full");
    assert_content("log", "first\nsecond\n");
    sl_error_clear(&err);
    assert_int_equal(sl_file_log_line(&err, log, longest), SL_OK);
    assert_int_equal(sl_file_log_line(&err, log, ""), SL_OK);
    sl_file_log_close(log);
    sl_file_log_close(NULL);
    struct sl_text expected = {0};
    sl_text_add(&expected, "first\nsecond\n%s\n\n", longest);
    assert_content("log", expected.text);
    sl_text_finish(&expected);
    assert_int_equal(sl_file_truncate(&err, "log", 6), SL_OK);
    assert_content("log", "first\n");
    assert_int_equal(sl_file_truncate(&err, "log", 1000), SL_OK);
    assert_content("log", "first\n");
    assert_int_equal(sl_file_truncate(&err, "no log", 0), SL_ERROR_RUN);
}

static void directories_and_paths(void **state)
{
    (void)state;
    struct sl_error err = {0};
    assert_int_equal(sl_dir_create(&err, "a//b/c/"), SL_OK);
    assert_int_equal(sl_dir_create(&err, "a/b/c"), SL_OK);
    assert_int_equal(sl_dir_create(&err, "./a/b"), SL_OK);
    assert_int_equal(sl_path_kind("a/b/c"), SL_PATH_DIRECTORY);
    put("a/Z", "");
    put("a/\xc3\xa9", "");
    put("a/.hidden", "");
    put("a/aa", "");
    assert_names("a", ".hidden Z aa b \xc3\xa9");
    assert_names("a/b/c", "");
    assert_int_equal(sl_path_kind("a/Z"), SL_PATH_FILE);
    assert_int_equal(sl_path_kind("a/q"), SL_PATH_MISSING);
    assert_true(sl_file_remove("a/Z"));
    assert_false(sl_file_remove("a/Z"));

    char path[8];
    assert_true(sl_path_join(path, sizeof path, "dir", "nam"));
    assert_string_equal(path, "dir/nam");
    assert_false(sl_path_join(path, sizeof path, "dir", "name"));
    assert_true(sl_path_join(path, sizeof path, "dir/", "nam"));
    assert_string_equal(path, "dir/nam");
    assert_true(sl_path_join(path, sizeof path, "", "nam"));
    assert_string_equal(path, "nam");
}

/* Each allocation on the way fails once; nothing is left behind, in memory or on disk. */
static void lack_of_memory_leaves_nothing(void **state)
{
    (void)state;
    put("target", "old");
    int64_t held = sl_heap_bytes();
    int n_failed = 0;
    for (int64_t k = 1; k < 20; k++) {
        struct sl_error err = {0};
        sl_heap_fail_at(k);
        enum sl_status status = sl_file_write(&err, "target", "new", 3);
        sl_heap_fail_at(0);
        assert_names(".", "target");
        assert_int_equal(sl_heap_bytes(), held);
        if (status == SL_OK) {
            break;
        }
        assert_content("target", "old");
        n_failed++;
    }
    assert_int_equal(n_failed, 4);
    assert_content("target", "new");
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(what_is_written_is_read),
        in_folder(empty_files_are_fine),
        in_folder(unreadable_is_said_in_words),
        in_folder(abort_leaves_the_target),
        in_folder(stale_temporary_is_taken_over),
        in_folder(full_disk_leaves_the_target),
        in_folder(real_full_disk_is_recognised),
        in_folder(impossible_targets_are_refused),
        in_folder(log_lines_are_appended_whole),
        in_folder(directories_and_paths),
        in_folder(lack_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
