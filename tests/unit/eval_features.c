/* SPDX-License-Identifier: MIT */
/*
 * Features of a source: each row equals the forward pass of its picture alone, at every
 * width, whatever the batch and the number of workers; damaged pictures are left out; and
 * nothing about the model changes, probes included. Runs in a folder of its own.
 */
#include "eval/eval.h"
#include "netkit.h"
#include "unit/data_testkit.h"

#include <math.h>

enum { SIDE = 16, PICTURES = 21 };
static const char some_data[] = "synthetic:size=16,n=21,test=9,classes=3";
static const float mean[3] = {0.5F, 0.4F, 0.3F};
static const float deviation[3] = {0.2F, 0.25F, 0.3F};

struct frozen_kit {
    struct sl_device device;
    struct sl_net *net;
    struct sl_params *params;
    struct sl_stats *stats;
    struct sl_frozen model;
};

/* Every parameter and statistic is random, so that no width equals another. The parts
 * point to the device, so the kit stays where it is. */
static void open_kit(struct frozen_kit *kit)
{
    kit->device = kit_device("ref");
    kit->net = kit_resnet("resnet8-b8", "1,0.5,0.25", SIDE, SL_HEAD_MLP, 5);
    kit->params = kit_params(kit->net, &kit->device);
    kit->stats = kit_stats(kit->net, &kit->device);
    sl_rng_fill_normal(KIT_SEED, SL_RNG_TEST, 500, 0.3F, kit->net->stats_total,
                       kit->stats->mean);
    sl_rng_fill_uniform(KIT_SEED, SL_RNG_TEST, 501, 0.5, 2.0, kit->net->stats_total,
                        kit->stats->variance);
    kit->model = (struct sl_frozen){.device = &kit->device,
                                    .net = kit->net,
                                    .params = kit->params,
                                    .stats = kit->stats};
}

static void close_kit(struct frozen_kit *kit)
{
    sl_stats_destroy(kit->stats);
    sl_params_destroy(kit->params);
    sl_net_destroy(kit->net);
    sl_device_close(&kit->device);
}

static struct sl_features_config config_of(const struct sl_source *source)
{
    struct sl_error err = {0};
    struct sl_features_config config = {
        .source = source, .batch = 8, .n_workers = 1, .seed = 3};
    kit_ok(sl_recipe_named(&err, "eval", SIDE, mean, deviation, &config.recipe), &err);
    return config;
}

static int64_t compute(struct frozen_kit *kit, const struct sl_features_config *config,
                       const int *widths, int n_widths, struct sl_features *features)
{
    struct sl_error err = {0};
    int64_t n_bad = -1;
    kit_ok(sl_features_compute(&err, &kit->model, config, widths, n_widths, features,
                               &n_bad),
           &err);
    return n_bad;
}

static uint64_t model_hash(const struct frozen_kit *kit)
{
    uint64_t hash = SL_HASH_START;
    size_t values = (size_t)kit->net->stats_total * sizeof(float);
    hash = sl_hash(hash, kit->params->weight, (size_t)kit->net->total * sizeof(float));
    hash = sl_hash(hash, kit->stats->mean, values);
    return sl_hash(hash, kit->stats->variance, values);
}

/* The view of one picture, and its features by a plan of batch 1. */
static void assert_row(const struct frozen_kit *kit, const struct sl_source *source,
                       int width, int output, const struct sl_recipe *recipe,
                       const struct sl_features *features, int64_t row)
{
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image image;
    int32_t id = features->ids[row];
    float *view = kit_alloc(&kit->device, SIDE * SIDE * 3 * sizeof(float));
    kit_ok(sl_source_read(&err, source, id, arena, &image), &err);
    kit_ok(sl_augment(&err, recipe, &image, 3, 0, (uint32_t)id, 0, arena, view), &err);
    struct kit_run run = kit_run_config(&(struct sl_plan_config){.net = kit->net,
                                                                 .device = &kit->device,
                                                                 .width = width,
                                                                 .batch = 1,
                                                                 .role = SL_ROLE_INFER,
                                                                 .groups = 1,
                                                                 .output = output});
    sl_exec_refresh(run.plan, kit->params);
    const float *alone = sl_exec_forward(run.plan, kit->params, kit->stats, view);
    assert_int_equal(features->d, sl_plan_output_channels(run.plan));
    kit_same(features->values + row * features->d, alone, features->d);
    assert_int_equal(features->labels[row], sl_source_label(source, id));
    kit_run_end(&run);
    kit->device.table->free(kit->device.state, view);
    sl_arena_destroy(arena);
}

/* 21 pictures in batches of 8: the last has five. Widths in an odd order. */
static void test_rows_equal_single_pictures(void **state)
{
    static const int widths[] = {2, 0, 1};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    struct sl_features features[3];
    (void)state;
    for (int head = 0; head < 2; head++) {
        config.head = head != 0;
        uint64_t before = model_hash(&kit);
        assert_int_equal(compute(&kit, &config, widths, 3, features), 0);
        assert_int_equal(model_hash(&kit), before);
        for (int i = 0; i < 3; i++) {
            int value = head != 0 ? kit.net->embedding : kit.net->features;
            assert_int_equal(features[i].n, PICTURES);
            assert_int_equal(features[i].d, head != 0 ? 5 : 32 >> widths[i]);
            for (int64_t row = 0; row < PICTURES; row++) {
                assert_int_equal(features[i].ids[row], row);
                assert_row(&kit, source, widths[i], value, &config.recipe, &features[i],
                           row);
            }
            sl_features_finish(&features[i]);
        }
    }
    sl_source_close(source);
    close_kit(&kit);
}

static void assert_same_features(const struct sl_features *a, const struct sl_features *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->d, b->d);
    kit_same(a->values, b->values, a->n * a->d);
    assert_memory_equal(a->labels, b->labels, (size_t)a->n * sizeof *a->labels);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
}

static void test_batch_and_workers_do_not_matter(void **state)
{
    static const int widths[] = {1};
    static const int batches[] = {1, 7, 21, 64};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    struct sl_features first;
    struct sl_features other;
    (void)state;
    (void)compute(&kit, &config, widths, 1, &first);
    for (int i = 0; i < SL_COUNT(batches); i++) {
        config.batch = batches[i];
        config.n_workers = 1 + i;
        (void)compute(&kit, &config, widths, 1, &other);
        assert_same_features(&first, &other);
        sl_features_finish(&other);
    }
    sl_features_finish(&first);
    sl_source_close(source);
    close_kit(&kit);
}

static void test_subset(void **state)
{
    static const int widths[] = {0};
    static const int32_t subset[] = {3, 7, 19, 20, 0};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    struct sl_features features;
    (void)state;
    config.batch = 2;
    config.subset = subset;
    config.n_subset = SL_COUNT(subset);
    (void)compute(&kit, &config, widths, 1, &features);
    assert_int_equal(features.n, SL_COUNT(subset));
    for (int i = 0; i < SL_COUNT(subset); i++) {
        assert_int_equal(features.ids[i], subset[i]);
        assert_row(&kit, source, 0, kit.net->features, &config.recipe, &features, i);
    }
    sl_features_finish(&features);
    sl_source_close(source);
    close_kit(&kit);
}

/* Random views are a function of seed and epoch. */
static void test_epochs_have_other_views(void **state)
{
    static const int widths[] = {0};
    static const struct {
        uint64_t seed;
        uint32_t epoch;
    } keys[] = {{3, 0}, {3, 1}, {4, 0}, {3, 0}};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    struct sl_features features[SL_COUNT(keys)];
    (void)state;
    config.recipe.random = true;
    config.recipe.crop_min = 0.3F;
    config.recipe.crop_max = 1.0F;
    config.recipe.flip_p = 0.5F;
    for (int i = 0; i < SL_COUNT(keys); i++) {
        config.seed = keys[i].seed;
        config.epoch = keys[i].epoch;
        (void)compute(&kit, &config, widths, 1, &features[i]);
    }
    size_t bytes = (size_t)(PICTURES * features[0].d) * sizeof(float);
    assert_same_features(&features[0], &features[3]);
    assert_memory_not_equal(features[0].values, features[1].values, bytes);
    assert_memory_not_equal(features[0].values, features[2].values, bytes);
    for (int i = 0; i < SL_COUNT(keys); i++) {
        sl_features_finish(&features[i]);
    }
    sl_source_close(source);
    close_kit(&kit);
}

static bool not_after(void *context, int64_t done)
{
    int64_t *asked = context;
    *asked = done;
    return done < 16;
}

/* Whoever asks for a stop gets it after the batch, and no features. */
static void test_a_pass_can_be_stopped(void **state)
{
    static const int widths[] = {0, 1};
    struct sl_error err = {0};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    struct sl_features features[2];
    int64_t asked = 0;
    int64_t n_bad = 0;
    (void)state;
    config.go_on = not_after;
    config.go_on_context = &asked;
    assert_int_equal(
        sl_features_compute(&err, &kit.model, &config, widths, 2, features, &n_bad),
        SL_STOPPED);
    assert_int_equal(asked, 16);
    assert_null(features[0].values);
    assert_null(features[1].values);
    sl_source_close(source);
    close_kit(&kit);
}

/* ---- damaged pictures -------------------------------------------------------------- */

static void test_damaged_pictures_are_left_out(void **state)
{
    static const int widths[] = {1, 0};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_features features[2];
    char name[64];
    (void)state;
    /* Two whole batches in a row are damaged, and the very last picture. */
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "features.some/class/%02d.ppm", i);
        if ((i >= 2 && i < 6) || i == 9) {
            kit_write(name, "P6\n16 16\n255\nshort", 17);
        } else {
            kit_write_ppm(name, SIDE, SIDE, i);
        }
    }
    struct sl_source *source = kit_open("features.some", SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    config.batch = 2;
    assert_int_equal(compute(&kit, &config, widths, 2, features), 5);
    static const int32_t good[] = {0, 1, 6, 7, 8};
    for (int w = 0; w < 2; w++) {
        assert_int_equal(features[w].n, SL_COUNT(good));
        for (int i = 0; i < SL_COUNT(good); i++) {
            assert_int_equal(features[w].ids[i], good[i]);
            assert_row(&kit, source, widths[w], kit.net->features, &config.recipe,
                       &features[w], i);
        }
        sl_features_finish(&features[w]);
    }
    sl_source_close(source);
    close_kit(&kit);
}

static void test_nothing_readable_is_an_error(void **state)
{
    static const int widths[] = {0, 1};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_features features[2];
    struct sl_error err = {0};
    int64_t n_bad = 0;
    (void)state;
    kit_write("features.none/a.ppm", "P6\n16 16\n255\nshort", 17);
    kit_write("features.none/b.ppm", "P6\n16 16\n255\nshort", 17);
    struct sl_source *source = kit_open("features.none", SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    int64_t held = sl_heap_bytes();
    assert_int_equal(
        sl_features_compute(&err, &kit.model, &config, widths, 2, features, &n_bad),
        SL_ERROR_DATA);
    assert_null(features[0].values);
    assert_null(features[1].values);
    assert_int_equal(sl_heap_bytes(), held);
    sl_source_close(source);
    close_kit(&kit);
}

static void test_lack_of_memory(void **state)
{
    static const int widths[] = {0, 1};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    enum sl_status status = SL_ERROR_RUN;
    int failures = 0;
    (void)state;
    int64_t held = sl_heap_bytes();
    for (int k = 1; status != SL_OK; k += 3) {
        struct sl_error err = {0};
        struct sl_features features[2];
        int64_t n_bad = 0;
        sl_heap_fail_at(k);
        status =
            sl_features_compute(&err, &kit.model, &config, widths, 2, features, &n_bad);
        sl_heap_fail_at(0);
        failures += status != SL_OK;
        sl_features_finish(&features[0]);
        sl_features_finish(&features[1]);
        assert_int_equal(sl_heap_bytes(), held);
        assert_true(k < 10000);
    }
    assert_true(failures > 3);
    sl_source_close(source);
    close_kit(&kit);
}

/* ---- frozen tensors ---------------------------------------------------------------- */

struct refresh {
    struct frozen_kit *kit;
    struct sl_features_config config;
};

/* As the paper's probe: other crops and flips in each epoch. */
static enum sl_status fresh_views(struct sl_error *err, void *context, int epoch,
                                  struct sl_features *features)
{
    static const int widths[] = {0, 1, 2};
    struct refresh *refresh = context;
    (void)err;
    refresh->config.epoch = (uint32_t)epoch;
    for (int i = 0; i < 3; i++) {
        sl_features_finish(&features[i]);
    }
    (void)compute(refresh->kit, &refresh->config, widths, 3, features);
    return SL_OK;
}

/* kNN and probes, those with views of their own as well, leave every frozen tensor as it
 * was, to the bit. */
static void test_frozen_tensors_stay(void **state)
{
    static const int widths[] = {0, 1, 2};
    struct sl_error err = {0};
    struct frozen_kit kit;
    open_kit(&kit);
    struct sl_source *train = kit_open(some_data, SL_PART_TRAIN, false);
    struct sl_source *test = kit_open(some_data, SL_PART_TEST, false);
    struct sl_features_config train_config = config_of(train);
    struct sl_features_config test_config = config_of(test);
    struct sl_features rows[2][3];
    struct sl_probe_result result;
    struct sl_score score;
    int used = 0;
    (void)state;
    const struct sl_knn_config knn = {.n_classes = 3, .k = 5, .temperature = 0.1};
    uint64_t before = model_hash(&kit);
    (void)compute(&kit, &train_config, widths, 3, rows[0]);
    (void)compute(&kit, &test_config, widths, 3, rows[1]);
    assert_int_equal(rows[1][0].n, 9);
    for (int i = 0; i < 3; i++) {
        kit_ok(sl_knn(&err, &kit.device, &knn, &rows[0][i], &rows[1][i], &score, &used),
               &err);
    }
    struct refresh refresh = {&kit, train_config};
    refresh.config.recipe.random = true;
    refresh.config.recipe.crop_min = 0.08F;
    refresh.config.recipe.crop_max = 1.0F;
    refresh.config.recipe.flip_p = 0.5F;
    const struct sl_probe_config config = {.n_classes = 3,
                                           .epochs = 2,
                                           .batch = 4,
                                           .lr = 1.0,
                                           .momentum = 0.9,
                                           .weight_decay = 0.1,
                                           .distill = true,
                                           .before_epoch = fresh_views,
                                           .context = &refresh};
    kit_ok(sl_linear_probe(&err, &kit.device, &config, 3, rows[0], rows[1], &result),
           &err);
    assert_int_equal(model_hash(&kit), before);
    for (int i = 0; i < 3; i++) {
        sl_features_finish(&rows[0][i]);
        sl_features_finish(&rows[1][i]);
    }
    sl_source_close(train);
    sl_source_close(test);
    close_kit(&kit);
}

/* ---- raw pixels -------------------------------------------------------------------- */

static void test_raw_pixels(void **state)
{
    struct sl_error err = {0};
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_features_config config = config_of(source);
    struct sl_features features;
    struct sl_arena *arena = kit_arena();
    (void)state;
    kit_ok(sl_features_raw(&err, &config, &features), &err);
    assert_int_equal(features.n, PICTURES);
    assert_int_equal(features.d, SIDE * SIDE * 3);
    for (int64_t i = 0; i < features.n; i++) {
        struct sl_image image;
        kit_ok(sl_source_read(&err, source, i, arena, &image), &err);
        for (int c = 0; c < features.d; c++) {
            float pixel = (float)image.pixels[c] / 255.0F;
            assert_true(fabsf(features.values[i * features.d + c] - pixel) < 1e-6F);
        }
        assert_int_equal(features.labels[i], sl_source_label(source, i));
    }
    sl_features_finish(&features);
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* Large views are shrunk: twice the side by means of four pixels; where a pixel lies
 * below two new ones it counts in each by its part, and none is lost. */
static void test_raw_pixels_of_large_views(void **state)
{
    static const int sizes[] = {64, 80};
    struct sl_error err = {0};
    struct sl_source *source = kit_open(some_data, SL_PART_TRAIN, true);
    struct sl_arena *arena = kit_arena();
    static float view[80 * 80 * 3];
    (void)state;
    for (int s = 0; s < SL_COUNT(sizes); s++) {
        struct sl_features_config config = config_of(source);
        struct sl_features features;
        const float zeros[3] = {0.0F, 0.0F, 0.0F};
        const float ones[3] = {1.0F, 1.0F, 1.0F};
        int side = sizes[s];
        kit_ok(sl_recipe_named(&err, "eval", side, zeros, ones, &config.recipe), &err);
        kit_ok(sl_features_raw(&err, &config, &features), &err);
        assert_int_equal(features.n, PICTURES);
        assert_int_equal(features.d, 32 * 32 * 3);
        struct sl_image image;
        kit_ok(sl_source_read(&err, source, 1, arena, &image), &err);
        kit_ok(sl_augment(&err, &config.recipe, &image, 0, 0, 1, 0, arena, view), &err);
        const float *row = features.values + features.d;
        double sum[2] = {0.0, 0.0};
        for (int i = 0; i < side * side * 3; i++) {
            sum[0] += (double)view[i] / (side * side);
        }
        for (int i = 0; i < features.d; i++) {
            sum[1] += (double)row[i] / (32 * 32);
        }
        assert_true(fabs(sum[0] - sum[1]) < 1e-4);
        /* The pixel of row 3, column 5: rows 6 and 7 by columns 10 and 11 at twice the
         * side; at 2.5 times, half of row 7, rows 8 and 9 by half of column 12, columns
         * 13 and 14. */
        double expected = 0.0;
        if (side == 64) {
            for (int y = 6; y < 8; y++) {
                for (int x = 10; x < 12; x++) {
                    expected += 0.25 * (double)view[(y * side + x) * 3];
                }
            }
        } else {
            for (int y = 7; y < 10; y++) {
                for (int x = 12; x < 15; x++) {
                    double part = (y == 7 ? 0.5 : 1.0) * (x == 12 ? 0.5 : 1.0);
                    expected += part * (double)view[(y * side + x) * 3] / 6.25;
                }
            }
        }
        assert_true(fabs((double)row[(3 * 32 + 5) * 3] - expected) < 1e-6);
        sl_features_finish(&features);
    }
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* More columns than the blocks it works in. */
static void test_centre(void **state)
{
    enum { D = 1100 };
    struct sl_features train = {.n = 3, .d = D};
    struct sl_features test = {.n = 2, .d = D};
    struct sl_error err = {0};
    (void)state;
    kit_ok(sl_heap_alloc(&err, "t", (int64_t)3 * D, sizeof(float), &train.values), &err);
    kit_ok(sl_heap_alloc(&err, "t", (int64_t)2 * D, sizeof(float), &test.values), &err);
    for (int c = 0; c < D; c++) {
        for (int i = 0; i < 3; i++) {
            train.values[i * D + c] = (float)(c + i * i); /* mean c + 5/3 */
        }
        test.values[c] = (float)c;
        test.values[D + c] = 0.0F;
    }
    sl_features_centre(&train, &test);
    for (int c = 0; c < D; c++) {
        for (int i = 0; i < 3; i++) {
            double expected = (double)(i * i) - 5.0 / 3.0;
            assert_true(fabs((double)train.values[i * D + c] - expected) < 1e-3);
        }
        assert_true(fabs((double)test.values[c] + 5.0 / 3.0) < 1e-3);
        assert_true(fabs((double)test.values[D + c] + c + 5.0 / 3.0) < 1e-3);
    }
    sl_features_finish(&train);
    sl_features_finish(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_equal_single_pictures),
        cmocka_unit_test(test_batch_and_workers_do_not_matter),
        cmocka_unit_test(test_subset),
        cmocka_unit_test(test_epochs_have_other_views),
        cmocka_unit_test(test_a_pass_can_be_stopped),
        cmocka_unit_test(test_damaged_pictures_are_left_out),
        cmocka_unit_test(test_nothing_readable_is_an_error),
        cmocka_unit_test(test_lack_of_memory),
        cmocka_unit_test(test_frozen_tensors_stay),
        cmocka_unit_test(test_raw_pixels),
        cmocka_unit_test(test_raw_pixels_of_large_views),
        cmocka_unit_test(test_centre),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
