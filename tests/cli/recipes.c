/* SPDX-License-Identifier: MIT */
/*
 * Every recipe: its plan is made as it stands, and a net of two thousand parameters makes
 * a few steps with it, in both phases of slow start where it has one. What a published
 * setting amounts to is checked where the paper says so.
 */
#include "cli/clikit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECIPES_MOST = 64 };

static char names[RECIPES_MOST][64];
static int n_names;

/* The files of recipes/, each of which the program must list. */
static int find_recipes(void **state)
{
    (void)state;
    const struct cli_result *list = RUN("list", "recipes");
    cli_expect_done(list);
    DIR *folder = opendir(cli_source("recipes"));
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *ending = strstr(entry->d_name, ".conf");
        if (ending == NULL) {
            continue;
        }
        assert_true(n_names < RECIPES_MOST);
        (void)snprintf(names[n_names], sizeof names[0], "%.*s",
                       (int)(ending - entry->d_name), entry->d_name);
        if (strstr(list->out, names[n_names]) == NULL) {
            fail_msg("`list recipes` lacks %s", names[n_names]);
        }
        n_names++;
    }
    closedir(folder);
    assert_true(n_names >= 4);
    return 0;
}

static double planned(const char *recipe, const char *key)
{
    json_t *plan = cli_json(RUN("plan", "--recipe", recipe, "--json"));
    double value = json_number_value(json_object_get(plan, key));
    json_decref(plan);
    return value;
}

/* Whether the recipe has a line that begins so. */
static bool recipe_says(const char *name, const char *line)
{
    char path[128];
    (void)snprintf(path, sizeof path, "recipes/%.63s.conf", name);
    char *text = (char *)cli_read(cli_source(path), NULL);
    bool says = strstr(text, line) != NULL;
    cli_free(text);
    return says;
}

static void test_plans(void **state)
{
    (void)state;
    for (int i = 0; i < n_names; i++) {
        assert_true(recipe_says(names[i], "\narch = "));
        /* else pictures of another size than the recipe is for would set it */
        assert_true(recipe_says(names[i], "\nimage-size = "));
        assert_true(planned(names[i], "params_total") > 1000.0);
    }
}

static void test_published_sizes(void **state)
{
    (void)state;
    assert_true(planned("cifar10-moco", "params_total") == 4361216.0);
    assert_true(planned("cifar10-trajectory", "params_total") == 4361216.0);
    assert_true(planned("cifar10-moco", "batch") == 512.0);
    /* A backbone with four widths, and the head. */
    assert_true(planned("slimclr-mocov2-200ep", "params_total") ==
                23587712.0 + 4458624.0);
    assert_true(planned("slimclr-mocov2-800ep", "params_total") ==
                23587712.0 + 4458624.0);
    assert_true(planned("slimclr-mocov3-300ep", "params_total") ==
                23587712.0 + 9457664.0 + 2117632.0);
    assert_true(planned("slimclr-simclr-100ep", "params_total") ==
                23587712.0 + 4469760.0);
    assert_true(planned("slimmable-supervised-100ep", "params_total") ==
                23587712.0 + 2049000.0);
}

static void test_steps(void **state)
{
    (void)state;
    for (int i = 0; i < n_names; i++) {
        bool has_queue =
            !recipe_says(names[i], "\nmethod = ") || recipe_says(names[i], "= mocov2\n");
        bool waits = !recipe_says(names[i], "\nslow-start = 0\n");
        cli_remove("run");
        cli_expect_done(RUN("pretrain", "synthetic:size=16,n=64,test=20", "-o", "run",
                            "--recipe", names[i], "-a", "resnet8-b16", "--image-size",
                            "16", "-b", "16", "--steps", "4", "--slow-start",
                            waits ? "50%" : "0", "-q", "--log-every", "1", "--threads",
                            "1", "-j", "1", has_queue ? "--moco-k" : "--seed", "32"));
        cli_expect_steps("run", 4);
        char *metrics = (char *)cli_read("run/metrics.jsonl", NULL);
        const char *first_narrow = strstr(metrics, "loss/w0.50");
        assert_non_null(first_narrow);
        bool in_first_line = first_narrow < strchr(metrics, '\n');
        assert_true(in_first_line != waits);
        cli_free(metrics);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_published_sizes),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests_name("recipes", tests, find_recipes, NULL);
}
