/* SPDX-License-Identifier: MIT */
/*
 * The tables of keys: made of parts, a command has each key and each letter once.
 */
#include "api/api_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect_once(const char *command)
{
    struct sl_error err = {0};
    struct api_table table = {0};
    assert_int_equal(api_table_create(&err, command, &table), SL_OK);
    for (int i = 0; i < table.n; i++) {
        const struct sl_key *key = &table.keys[i];
        for (int k = 0; k < i; k++) {
            if (strcmp(table.keys[k].name, key->name) == 0 ||
                (key->letter != 0 && table.keys[k].letter == key->letter)) {
                fail_msg("%s: '%s' and '%s' are one", command, table.keys[k].name,
                         key->name);
            }
        }
    }
    api_table_finish(&table);
}

static void test_once(void **state)
{
    static const char *const commands[] = {"pretrain",       "plan",
                                           "bench step",     "bench loader",
                                           "bench ops",      "check",
                                           "stats",          "views",
                                           "pack",           "report",
                                           "eval knn",       "eval linear",
                                           "eval finetune",  "eval classifier",
                                           "analyse probes", "analyse trajectory"};
    (void)state;
    for (int i = 0; i < SL_COUNT(commands); i++) {
        expect_once(commands[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
    };
    return cmocka_run_group_tests_name("api_keys", tests, NULL, NULL);
}
