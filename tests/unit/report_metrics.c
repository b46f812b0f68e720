/* SPDX-License-Identifier: MIT */
/*
 * Metric lines: both files hold the same numbers, and on resume exactly the lines up to
 * the step, whatever a killed run left behind. Runs in a folder of its own.
 */
#include "report/report.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char json_path[] = "./metrics.jsonl";
static const char csv_path[] = "./metrics.csv";
static const char *const columns[] = {"step", "loss", "emb_std/w0.50"};

static int clean(void **state)
{
    (void)state;
    sl_file_fail_after(-1);
    (void)sl_file_remove(json_path);
    (void)sl_file_remove(csv_path);
    (void)rmdir(json_path);
    return 0;
}

static struct sl_metrics *open_at(int64_t keep_through)
{
    struct sl_error err = {0};
    struct sl_metrics *metrics = NULL;
    if (sl_metrics_open(&err, ".", columns, SL_COUNT(columns), keep_through, &metrics) !=
        SL_OK) {
        fail_msg("%s", err.text);
    }
    return metrics;
}

static void write_step(struct sl_metrics *metrics, int step, double loss)
{
    struct sl_error err = {0};
    const struct sl_metric values[] = {
        {"step", step}, {"loss", loss}, {"emb_std/w0.50", loss / 4}};
    assert_int_equal(sl_metrics_write(&err, metrics, values, SL_COUNT(values)), SL_OK);
}

static void assert_content(const char *path, const char *expected)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, 1 << 20, &bytes, &size),
                     SL_OK);
    assert_string_equal((const char *)bytes, expected);
    sl_heap_free(bytes);
}

static void put(const char *path, const char *text)
{
    struct sl_error err = {0};
    assert_int_equal(sl_file_write(&err, path, text, strlen(text)), SL_OK);
}

#define HEAD "step,loss,emb_std/w0.50\n"
#define JSON(step, loss, std)                                                            \
    "{\"step\":" #step ",\"loss\":" #loss ",\"emb_std/w0.50\":" #std "}\n"
#define CSV(step, loss, std) #step "," #loss "," #std "\n"

static void write_twenties(void)
{
    struct sl_metrics *metrics = open_at(-1);
    write_step(metrics, 20, 6.5);
    write_step(metrics, 40, 5);
    write_step(metrics, 60, 1.0 / 3);
    sl_metrics_close(metrics);
}

#define JSON_20_40 JSON(20, 6.5, 1.625) JSON(40, 5, 1.25)
#define CSV_20_40 HEAD CSV(20, 6.5, 1.625) CSV(40, 5, 1.25)

static void test_lines(void **state)
{
    (void)state;
    write_twenties();
    assert_content(json_path, JSON_20_40 JSON(60, 0.333333333, 0.0833333333));
    assert_content(csv_path, CSV_20_40 CSV(60, 0.333333333, 0.0833333333));
}

/* Any order, some missing, some not finite, some integers. */
static void test_values(void **state)
{
    struct sl_error err = {0};
    struct sl_metrics *metrics = open_at(-1);
    const struct sl_metric swapped[] = {{"loss", -3.0}, {"step", 1234567}};
    const struct sl_metric odd[] = {
        {"step", 2}, {"loss", NAN}, {"emb_std/w0.50", -INFINITY}};
    const struct sl_metric sizes[] = {
        {"step", 3}, {"loss", 1.25e-8}, {"emb_std/w0.50", 1e30}};
    (void)state;
    assert_int_equal(sl_metrics_write(&err, metrics, swapped, 2), SL_OK);
    assert_int_equal(sl_metrics_write(&err, metrics, odd, 3), SL_OK);
    assert_int_equal(sl_metrics_write(&err, metrics, sizes, 3), SL_OK);
    const char *json =
        "{\"step\":1234567,\"loss\":-3}\n" JSON(2, null, null) JSON(3, 1.25e-08, 1e+30);
    const char *csv = HEAD "1234567,-3,\n2,,\n3,1.25e-08,1e+30\n";
    assert_content(json_path, json);
    assert_content(csv_path, csv);
    sl_metrics_close(metrics);
    /* The table made anew says the same. */
    sl_metrics_close(open_at(INT64_MAX));
    assert_content(json_path, json);
    assert_content(csv_path, csv);
}

static void test_lines_are_there_at_once(void **state)
{
    struct sl_metrics *metrics = open_at(-1);
    (void)state;
    write_step(metrics, 20, 6.5);
    assert_content(json_path, JSON(20, 6.5, 1.625));
    assert_content(csv_path, HEAD CSV(20, 6.5, 1.625));
    sl_metrics_close(metrics);
}

static void test_new_run_begins_anew(void **state)
{
    (void)state;
    write_twenties();
    sl_metrics_close(open_at(-1));
    assert_content(json_path, "");
    assert_content(csv_path, HEAD);
}

static void test_resume_cuts_later_steps(void **state)
{
    (void)state;
    for (int through = 40; through < 60; through += 19) {
        write_twenties();
        struct sl_metrics *metrics = open_at(through);
        assert_content(json_path, JSON_20_40);
        assert_content(csv_path, CSV_20_40);
        write_step(metrics, 60, 2);
        sl_metrics_close(metrics);
        assert_content(json_path, JSON_20_40 JSON(60, 2, 0.5));
        assert_content(csv_path, CSV_20_40 CSV(60, 2, 0.5));
    }
    sl_metrics_close(open_at(19));
    assert_content(json_path, "");
    assert_content(csv_path, HEAD);
}

/* A killed run leaves the last line in any state, in either file. */
static void test_resume_drops_what_is_torn(void **state)
{
    static const char *const json_tails[] = {
        "",   "{",   "{\"step\":60,\"loss\":1", "{\"step\":60}", "{\"step\":\n",
        "\n", "{}\n"};
    static const char *const csv_whole[] = {
        "", "st", HEAD, HEAD "20,6.", CSV_20_40, CSV_20_40 "60,0.3", "a,b\n1,2\n"};
    char json[400];
    (void)state;
    for (int i = 0; i < SL_COUNT(json_tails); i++) {
        for (int k = 0; k < SL_COUNT(csv_whole); k++) {
            snprintf(json, sizeof json, "%s%s", JSON_20_40, json_tails[i]);
            put(json_path, json);
            put(csv_path, csv_whole[k]);
            struct sl_metrics *metrics = open_at(40 + 20 * (i % 2));
            assert_content(json_path, JSON_20_40);
            assert_content(csv_path, CSV_20_40);
            write_step(metrics, 80, 4);
            sl_metrics_close(metrics);
            assert_content(json_path, JSON_20_40 JSON(80, 4, 1));
            assert_content(csv_path, CSV_20_40 CSV(80, 4, 1));
        }
    }
}

static void test_resume_without_files(void **state)
{
    (void)state;
    struct sl_metrics *metrics = open_at(100);
    write_step(metrics, 120, 4);
    sl_metrics_close(metrics);
    assert_content(json_path, JSON(120, 4, 1));
    assert_content(csv_path, HEAD CSV(120, 4, 1));
}

/* Never half a line, and the run hears of it. */
static void test_full_disk(void **state)
{
    const struct sl_metric values[] = {{"step", 40}, {"loss", 5}};
    (void)state;
    for (int room = 0; room < 34; room++) {
        struct sl_error err = {0};
        struct sl_metrics *metrics = open_at(-1);
        write_step(metrics, 20, 6.5);
        sl_file_fail_after(room);
        enum sl_status status = sl_metrics_write(&err, metrics, values, 2);
        sl_file_fail_after(-1);
        /* 21 bytes of JSON, then 6 of the table */
        assert_int_equal(status, room < 27 ? SL_ERROR_RUN : SL_OK);
        assert_content(json_path, room < 21
                                      ? JSON(20, 6.5, 1.625)
                                      : JSON(20, 6.5, 1.625) "{\"step\":40,\"loss\":5}"
                                                             "\n");
        assert_content(csv_path, room < 27 ? HEAD CSV(20, 6.5, 1.625)
                                           : HEAD CSV(20, 6.5, 1.625) "40,5,\n");
        sl_metrics_close(metrics);
    }
}

static void test_full_disk_when_opened(void **state)
{
    struct sl_error err = {0};
    struct sl_metrics *metrics = NULL;
    (void)state;
    write_twenties();
    int64_t held = sl_heap_bytes();
    sl_file_fail_after(10);
    assert_int_equal(
        sl_metrics_open(&err, ".", columns, SL_COUNT(columns), 100, &metrics),
        SL_ERROR_RUN);
    sl_file_fail_after(-1);
    assert_null(metrics);
    assert_int_equal(sl_heap_bytes(), held);
    assert_content(csv_path, CSV_20_40 CSV(60, 0.333333333, 0.0833333333));
}

static void test_what_cannot_be_opened(void **state)
{
    struct sl_error err = {0};
    struct sl_metrics *metrics = NULL;
    (void)state;
    assert_int_equal(sl_metrics_open(&err, "absent", columns, 3, -1, &metrics),
                     SL_ERROR_RUN);
    assert_null(metrics);
    sl_error_clear(&err);
    assert_int_equal(sl_dir_create(&err, json_path), SL_OK);
    assert_int_equal(sl_metrics_open(&err, ".", columns, 3, -1, &metrics), SL_ERROR_RUN);
    assert_null(metrics);
}

/* ---- metric lines read back -------------------------------------------------------- */

static void test_read_back(void **state)
{
    static const char lines[] =
        "{\"step\":1,\"loss\":2.5,\"x/w0.50\":null}\n"
        "words\n"
        "{\"step\":2,\"loss\":1e400}\n" /* no number that can be held */
        "{\"step\":3,\"new\":7}\n"
        "[1,2]\n"
        "{\"loss\":1}\n"
        "{\"step\":3,\"loss\":9}\n" /* a step that does not rise */
        "{\"step\":2,\"loss\":9}\n"
        "\n"
        "{\"step\":\"4\"}\n"
        "{\"step\":4,\"a-key-that-is-longer-than-any-quantity-of-a-run-ever-was\":1}\n"
        "{\"step\":5,\"loss\":-1}\n"
        "{\"step\":6,\"loss\":";
    struct sl_error err = {0};
    struct sl_metric_table table;
    (void)state;
    assert_int_equal(sl_metric_table_parse(&err, lines, sizeof lines - 1, 100, &table),
                     SL_OK);
    assert_int_equal(table.n_rows, 3);
    assert_int_equal(table.n_left_out, 9);
    assert_true(table.n_lines == 3 && table.stride == 1);
    const double *loss = sl_metric_table_column(&table, "loss");
    const double *fresh = sl_metric_table_column(&table, "new");
    assert_true(loss[0] == 2.5 && isnan(loss[1]) && loss[2] == -1);
    assert_true(isnan(fresh[0]) && fresh[1] == 7 && isnan(fresh[2]));
    assert_true(isnan(sl_metric_table_column(&table, "x/w0.50")[0]));
    assert_null(sl_metric_table_column(&table, "y"));
    sl_metric_table_finish(&table);
    assert_int_equal(sl_metric_table_parse(&err, "", 0, 100, &table), SL_OK);
    assert_int_equal(table.n_rows, 0);
    sl_metric_table_finish(&table);
}

/* 21 lines where 8 rows are wanted: four lines a row, and one in the last. */
static void test_thinned(void **state)
{
    struct sl_error err = {0};
    struct sl_metric_table table;
    struct sl_text text = {0};
    (void)state;
    for (int i = 1; i <= 21; i++) {
        /* A value a line, one on one line in eight, and one that begins late. */
        sl_text_add(&text, "{\"step\":%d,\"epoch\":%.1f,\"loss\":%d", 10 * i, 0.5 * i, i);
        if (i % 8 == 0) {
            sl_text_add(&text, ",\"knn\":%d", i);
        }
        sl_text_add(&text, i > 10 ? ",\"late\":1}\n" : "}\n");
    }
    assert_int_equal(
        sl_metric_table_parse(&err, text.text, (int64_t)text.length, 8, &table), SL_OK);
    assert_int_equal(table.n_lines, 21);
    assert_int_equal(table.stride, 4);
    assert_int_equal(table.n_rows, 6);
    const double *step = sl_metric_table_column(&table, "step");
    const double *epoch = sl_metric_table_column(&table, "epoch");
    const double *loss = sl_metric_table_column(&table, "loss");
    const double *knn = sl_metric_table_column(&table, "knn");
    const double *late = sl_metric_table_column(&table, "late");
    for (int row = 0; row < 6; row++) {
        int last = row < 5 ? 4 * row + 4 : 21;
        assert_true(step[row] == 10 * last && epoch[row] == 0.5 * last);
        assert_true(loss[row] == (row < 5 ? last - 1.5 : 21));
        assert_true(last % 8 == 0 ? knn[row] == last : isnan(knn[row]));
        assert_true(row > 1 ? late[row] == 1 : isnan(late[row]));
    }
    sl_metric_table_finish(&table);
    /* As many lines as rows: none is put together with another. */
    assert_int_equal(
        sl_metric_table_parse(&err, text.text, (int64_t)text.length, 22, &table), SL_OK);
    assert_true(table.stride == 1 && table.n_rows == 21);
    sl_metric_table_finish(&table);
    sl_text_finish(&text);
}

/* A large file, most of it one damaged line: memory that is taken does not grow with it.
 */
static void test_large_file(void **state)
{
    static const char head[] = "{\"step\":1,\"loss\":2}\n";
    static const char tail[] = "\n{\"step\":2,\"loss\":3}\n";
    struct sl_error err = {0};
    struct sl_metric_table table;
    (void)state;
    int file = open(json_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, head, sizeof head - 1), sizeof head - 1);
    assert_true(lseek(file, (off_t)64 << 20, SEEK_END) > 0); /* a hole */
    assert_int_equal(write(file, tail, sizeof tail - 1), sizeof tail - 1);
    assert_int_equal(close(file), 0);
    int64_t before = sl_heap_peak();
    assert_int_equal(sl_metric_table_read(&err, json_path, 100, &table), SL_OK);
    assert_true(sl_heap_peak() - before < 8 << 20);
    assert_int_equal(table.n_rows, 2);
    assert_int_equal(table.n_left_out, 1);
    assert_true(sl_metric_table_column(&table, "loss")[1] == 3);
    sl_metric_table_finish(&table);
}

#define CLEAN_TEST(name) cmocka_unit_test_setup_teardown(name, clean, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN_TEST(test_lines),
        CLEAN_TEST(test_values),
        CLEAN_TEST(test_lines_are_there_at_once),
        CLEAN_TEST(test_new_run_begins_anew),
        CLEAN_TEST(test_resume_cuts_later_steps),
        CLEAN_TEST(test_resume_drops_what_is_torn),
        CLEAN_TEST(test_resume_without_files),
        CLEAN_TEST(test_full_disk),
        CLEAN_TEST(test_full_disk_when_opened),
        CLEAN_TEST(test_what_cannot_be_opened),
        CLEAN_TEST(test_read_back),
        CLEAN_TEST(test_thinned),
        CLEAN_TEST(test_large_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
