/* SPDX-License-Identifier: MIT */
/*
 * What a run writes as its settings is what it used: read again, it gives the same texts
 * and the same numbers, bit for bit; and numbers look as a person would write them.
 */
#include "api/api_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct api_pictures pictures = {.count = 1230,
                                             .fixed_side = 32,
                                             .mean = {0.4914F, 0.4822F, 0.4465F},
                                             .std = {0.2023F, 0.1994F, 0.2010F},
                                             .n_classes = 7};

/* Settings in words and as they are used. */
struct resolved {
    struct api_table table;
    struct sl_conf *conf;
    struct api_settings settings;
    struct sl_text text;
};

static void open_conf(struct resolved *made)
{
    struct sl_error err = {0};
    memset(made, 0, sizeof *made);
    assert_int_equal(api_table_create(&err, "pretrain", &made->table), SL_OK);
    assert_int_equal(sl_conf_create(&err, made->table.keys, made->table.n, &made->conf),
                     SL_OK);
}

static void resolve(struct resolved *made)
{
    struct sl_error err = {0};
    struct sl_device device = {0};
    assert_int_equal(api_device_open(&err, made->conf, &device), SL_OK);
    if (api_settings_resolve(&err, made->conf, &pictures, &device, &made->settings) !=
            SL_OK ||
        api_conf_record(&err, made->conf, &made->text) != SL_OK) {
        fail_msg("%s", err.text);
    }
    sl_device_close(&device);
}

static void finish(struct resolved *made)
{
    sl_text_finish(&made->text);
    sl_conf_destroy(made->conf);
    api_table_finish(&made->table);
}

enum { REALS_MOST = 64 };

/* All numbers that are used, as doubles, which hold every float. */
static int list_reals(const struct api_settings *settings, double reals[REALS_MOST])
{
    const struct sl_recipe *recipe = &settings->recipe;
    const struct sl_trainer_config *trainer = &settings->trainer;
    const float floats[] = {
        recipe->crop_min,   recipe->crop_max,      recipe->jitter_p,
        recipe->brightness, recipe->contrast,      recipe->saturation,
        recipe->hue,        recipe->grey_p,        recipe->blur_p,
        recipe->blur_min,   recipe->blur_max,      recipe->solarise_p,
        recipe->lighting,   recipe->second_blur_p, recipe->second_solarise_p,
        recipe->flip_p,     recipe->mean[0],       recipe->mean[1],
        recipe->mean[2],    recipe->std[0],        recipe->std[1],
        recipe->std[2],
    };
    const double doubles[] = {
        trainer->lr.peak,
        trainer->lr.second_peak,
        trainer->lr.warmup_steps,
        trainer->optim.momentum,
        trainer->optim.beta1,
        trainer->optim.beta2,
        trainer->optim.epsilon,
        trainer->optim.weight_decay,
        trainer->ema_momentum,
        trainer->temperature,
        trainer->distill_weight,
        trainer->distill_temperature,
        (double)trainer->slow_start_step,
    };
    int n = 0;
    for (int i = 0; i < SL_COUNT(floats); i++) {
        reals[n++] = (double)floats[i];
    }
    for (int i = 0; i < SL_COUNT(doubles); i++) {
        reals[n++] = doubles[i];
    }
    for (int i = 0; i < settings->resnet.widths.n; i++) {
        reals[n++] = trainer->width_weights[i];
    }
    return n;
}

/* `line` is one of those that are written. */
static void check(const char *line, const char *const *words)
{
    struct sl_error err = {0};
    struct resolved said, again;
    double before[REALS_MOST];
    double after[REALS_MOST];
    open_conf(&said);
    for (; words[0] != NULL; words += 2) {
        assert_int_equal(
            sl_conf_set(&err, said.conf, words[0], words[1], SL_FROM_USER, ""), SL_OK);
    }
    resolve(&said);
    if (strstr(said.text.text, line) == NULL) {
        fail_msg("'%s' is not in\n%s", line, said.text.text);
    }
    open_conf(&again);
    if (sl_conf_parse(&err, again.conf, said.text.text, "config.ini", SL_FROM_FILE) !=
        SL_OK) {
        fail_msg("%s", err.text);
    }
    resolve(&again);
    assert_string_equal(again.text.text, said.text.text);
    int n = list_reals(&said.settings, before);
    assert_int_equal(list_reals(&again.settings, after), n);
    assert_memory_equal(after, before, (size_t)n * sizeof *before);
    finish(&said);
    finish(&again);
}
#define CHECK(line, ...) check("\n" line "\n", (const char *const[]){__VA_ARGS__, NULL})

static void test_methods(void **state)
{
    (void)state;
    CHECK("mean = 0.4914,0.4822,0.4465", "method", "mocov2");
    CHECK("aug-solarise-2 = 0.2", "method", "mocov3");
    CHECK("warmup-epochs = 20", "method", "simclr");
    CHECK("aug-lighting = 0.1", "method", "supervised");
}

static void test_words(void **state)
{
    (void)state;
    CHECK("mean = 0.473367", "channels", "1", "batch-size", "48");
    CHECK("warmup-epochs = 0.15", "optimizer", "adamw", "epochs", "3");
    CHECK("base-lr = 0.266666666667", "aug", "none", "lr", "0.1", "batch-size", "96");
    CHECK("lr = 0.43084219849", "method", "simclr", "batch-size", "33", "steps", "1001");
    CHECK("aug-hue = 0.123456789", "aug-hue", "0.123456789", "aug-grey", "0.30000001");
    CHECK("lr = 0.084765625", "method", "mocov3", "base-lr", "0.7", "batch-size", "31");
    CHECK("std = 0.4,0.5,0.60000002", "mean", "0.1,0.2,0.3", "std", "0.4,0.5,0.60000002");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("api_settings", tests, NULL, NULL);
}
