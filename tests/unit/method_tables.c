/* SPDX-License-Identifier: MIT */
/*
 * Every method of the list has its row wherever defaults are kept by name: constants and
 * augmentation, rates, the probe's published rates. A method that was forgotten in one of
 * them fails here, whoever adds it.
 */
#include "api/evaluate_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct api_pictures unknown = {.mean = {0.5F, 0.5F, 0.5F},
                                            .std = {0.25F, 0.25F, 0.25F}};

/* Settings of a method with nothing else said; a lookup that finds no row ends the
 * program. */
static void resolve(const char *method, struct sl_conf *conf,
                    struct api_settings *settings)
{
    struct sl_error err = {0};
    struct sl_device device = {0};
    assert_int_equal(sl_conf_set(&err, conf, "method", method, SL_FROM_USER, ""), SL_OK);
    assert_int_equal(api_device_open(&err, conf, &device), SL_OK);
    if (api_settings_resolve(&err, conf, &unknown, &device, settings) != SL_OK) {
        fail_msg("%s: %s", method, err.text);
    }
    sl_device_close(&device);
}

static void with_settings(const char *method,
                          void (*check)(const char *method, const struct sl_conf *conf,
                                        const struct api_settings *settings))
{
    struct sl_error err = {0};
    struct api_table table = {0};
    struct sl_conf *conf = NULL;
    struct api_settings settings;
    assert_int_equal(api_table_create(&err, "plan", &table), SL_OK);
    assert_int_equal(sl_conf_create(&err, table.keys, table.n, &conf), SL_OK);
    resolve(method, conf, &settings);
    check(method, conf, &settings);
    sl_conf_destroy(conf);
    api_table_finish(&table);
}

static void check_defaults(const char *method, const struct sl_conf *conf,
                           const struct api_settings *settings)
{
    static const char *const settled[] = {"optimizer", "distill", "width-weights", "aug"};
    assert_string_equal(sl_method_info(settings->trainer.method)->name, method);
    for (int i = 0; i < SL_COUNT(settled); i++) {
        assert_string_not_equal(sl_conf_text(conf, settled[i]), "auto");
    }
    /* A method's own views go by its name, and are random. */
    assert_string_equal(sl_conf_text(conf, "aug"), method);
    assert_true(settings->recipe.random);
    assert_true(settings->trainer.lr.peak > 0);
    assert_true(settings->trainer.lr.warmup_steps > 0);
    assert_true(settings->resnet.dim > 0);
}

static void test_defaults(void **state)
{
    (void)state;
    for (int i = 0; sl_method_at(i) != NULL; i++) {
        with_settings(sl_method_info(sl_method_at(i))->name, check_defaults);
    }
}

static void test_probe_rates(void **state)
{
    (void)state;
    for (int i = 0; sl_method_at(i) != NULL; i++) {
        const char *method = sl_method_info(sl_method_at(i))->name;
        const char *of = api_linear_rates_of(method);
        assert_non_null(of);
        assert_non_null(sl_method_find(of));
    }
    assert_string_equal(api_linear_rates_of("mocov2"), "mocov2");
    assert_string_equal(api_linear_rates_of("supervised"), "mocov3");
    assert_null(api_linear_rates_of("none such"));
}

/* The key's choices are the list, no more and no less. */
static void test_choices(void **state)
{
    struct sl_error err = {0};
    struct api_table table = {0};
    char choices[256] = "";
    size_t at = 0;
    (void)state;
    for (int i = 0; sl_method_at(i) != NULL; i++) {
        at += (size_t)snprintf(choices + at, sizeof choices - at, "%s%s",
                               i > 0 ? "|" : "", sl_method_info(sl_method_at(i))->name);
    }
    assert_int_equal(api_table_create(&err, "pretrain", &table), SL_OK);
    bool found = false;
    for (int i = 0; i < table.n; i++) {
        if (strcmp(table.keys[i].name, "method") == 0) {
            assert_string_equal(table.keys[i].choices, choices);
            found = true;
        }
    }
    assert_true(found);
    api_table_finish(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_probe_rates),
        cmocka_unit_test(test_choices),
    };
    return cmocka_run_group_tests_name("method_tables", tests, NULL, NULL);
}
