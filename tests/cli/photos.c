/* SPDX-License-Identifier: MIT */
/*
 * The same command on real files: a folder of JPEGs and gzipped IDX. A few steps each;
 * without the unpacked public data the tests are skipped, visibly.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *needed(const char *name)
{
    const char *path = cli_unpacked(name);
    if (path == NULL) {
        print_message("skipped: %s is not there; set SLIMCLR_TEST_DATA\n", name);
        skip();
    }
    return path;
}

static void expect_learning(const char *run, int64_t steps)
{
    cli_expect_steps(run, steps);
    cli_no_torn_files(run);
}

static void test_jpeg_folder(void **state)
{
    (void)state;
    const char *photos = needed("imagenette-224");
    cli_remove("photos");
    cli_expect_done(RUN("pretrain", photos, "-o", "photos", "-a", "resnet20", "-w",
                        "1,0.5", "--image-size", "64", "-b", "32", "--limit", "256", "-e",
                        "1", "--slow-start", "0", "-q", "--log-every", "1"));
    expect_learning("photos", 8);
    assert_false(cli_exists("photos/bad_files.txt"));
    json_t *root = cli_json(RUN("eval", "knn", "photos", photos, "--json", "-q",
                                "--limit", "200", "--limit-test", "100"));
    assert_int_equal(json_integer_value(json_object_get(root, "classes")), 10);
    assert_int_equal(json_integer_value(json_object_get(root, "n_bad")), 0);
    assert_int_equal(json_integer_value(json_object_get(root, "n_test")), 100);
    json_decref(root);
}

static void test_gzipped_idx(void **state)
{
    (void)state;
    const char *digits = needed("mnist");
    cli_remove("digits");
    cli_expect_done(RUN("pretrain", digits, "-o", "digits", "-a", "resnet8-b16", "-w",
                        "1,0.5", "-b", "32", "--limit", "256", "-e", "1", "-q",
                        "--log-every", "1"));
    expect_learning("digits", 8);
    char *config = (char *)cli_read("digits/config.ini", NULL);
    assert_non_null(strstr(config, "\nimage-size = 28\n"));
    assert_non_null(strstr(config, "\nmean = 0.1307,"));
    cli_free(config);
    json_t *root = cli_json(RUN("eval", "knn", "digits", digits, "--json", "-q",
                                "--limit", "1000", "--limit-test", "300"));
    json_t *row = json_array_get(json_object_get(root, "results"), 0);
    /* Even a hardly trained net tells digits apart far above the chance of 0.1. */
    assert_true(json_number_value(json_object_get(row, "acc1")) > 0.4);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_folder),
        cmocka_unit_test(test_gzipped_idx),
    };
    if (cli_unpacked("imagenette-224") == NULL && cli_unpacked("mnist") == NULL) {
        print_message("skipped: no unpacked public data; set SLIMCLR_TEST_DATA\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
