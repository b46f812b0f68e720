/* SPDX-License-Identifier: MIT */
/*
 * The library as another program sees it, through slimclr.h alone: options, a short
 * pre-training with its hooks, the model it makes, and errors as records.
 */
#include <slimclr.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, PICTURES = 3, FEATURES_MOST = 256 };

static const char DATA[] = "synthetic:size=16,n=128,test=50";

struct seen {
    int64_t steps, stop_at;
    int lines;
};

static void on_progress(void *context, const slim_progress *progress)
{
    struct seen *seen = context;
    assert_int_equal(progress->step, seen->steps + 1);
    assert_true(progress->total_steps >= progress->step);
    assert_true(isfinite(progress->loss));
    seen->steps = progress->step;
}

static bool on_stop(void *context)
{
    const struct seen *seen = context;
    return seen->stop_at > 0 && seen->steps >= seen->stop_at;
}

static void on_line(void *context, slim_log_level level, const char *line)
{
    struct seen *seen = context;
    assert_true(level <= SLIM_LOG_DEBUG);
    assert_null(strchr(line, '\n'));
    seen->lines++;
}

static void set(slim_options *options, const char *key, const char *value)
{
    slim_error error;
    if (slim_options_set(options, key, value, &error) != SLIM_OK) {
        fail_msg("%s", error.text);
    }
}

static slim_options *small_run(const char *out)
{
    slim_options *options = NULL;
    slim_error error;
    assert_int_equal(slim_options_create("pretrain", &options, &error), SLIM_OK);
    set(options, "out", out);
    set(options, "arch", "resnet8-b16");
    set(options, "widths", "1,0.5");
    set(options, "batch-size", "16");
    set(options, "steps", "6");
    set(options, "slow-start", "0");
    return options;
}

static void pretrain(const slim_options *options, struct seen *seen, slim_status expected)
{
    const char *data[] = {DATA};
    const slim_hooks hooks = {
        .progress = on_progress, .stop_requested = on_stop, .context = seen};
    slim_error error;
    slim_status status = slim_pretrain(options, data, 1, &hooks, &error);
    if (status != expected) {
        fail_msg("status %d: %s", (int)status, error.text);
    }
    assert_int_equal(error.status, expected);
    assert_int_equal(error.text[0] == '\0', status == SLIM_OK);
}

static int make_model(void **state)
{
    struct seen seen = {0};
    (void)state;
    slim_options *options = small_run("library-run");
    set(options, "overwrite", "yes");
    slim_log_to(on_line, &seen);
    pretrain(options, &seen, SLIM_OK);
    slim_log_to(NULL, NULL);
    assert_int_equal(seen.steps, 6);
    assert_true(seen.lines > 0);
    slim_options_destroy(options);
    return 0;
}

static void test_stop_and_resume(void **state)
{
    struct seen seen = {.stop_at = 2};
    (void)state;
    slim_options *options = small_run("library-stopped");
    set(options, "overwrite", "yes");
    pretrain(options, &seen, SLIM_STOPPED);
    assert_int_equal(seen.steps, 2);
    slim_options_destroy(options);
    options = small_run("library-stopped");
    set(options, "resume", "auto");
    seen.stop_at = 0;
    pretrain(options, &seen, SLIM_OK);
    assert_int_equal(seen.steps, 6);
    slim_options_destroy(options);
}

static void test_options(void **state)
{
    slim_options *options = NULL;
    slim_option_info info;
    slim_error error;
    int flags = 0;
    (void)state;
    assert_int_equal(slim_options_create("fly", &options, &error), SLIM_ERROR_USAGE);
    assert_null(options);
    assert_non_null(strstr(error.text, "fly"));
    assert_int_equal(slim_options_create("eval linear", &options, NULL), SLIM_OK);
    for (int i = 0; slim_options_info(options, i, &info); i++) {
        assert_non_null(info.name);
        assert_non_null(info.help);
        flags += info.is_flag ? 1 : 0;
    }
    assert_true(flags > 0);
    assert_false(slim_options_info(options, -1, &info));
    assert_int_equal(slim_options_set(options, "probe-lr", "fast", &error),
                     SLIM_ERROR_USAGE);
    assert_non_null(strstr(error.text, "probe-lr"));
    assert_int_equal(slim_options_set(options, "probe-speed", "1", &error),
                     SLIM_ERROR_USAGE);
    assert_null(strchr(error.text, '\n'));
    slim_options_destroy(options);
    slim_options_destroy(NULL);
}

static void fill_pictures(unsigned char *pixels, size_t count)
{
    uint32_t value = 1;
    for (size_t i = 0; i < count; i++) {
        value = value * 1664525u + 1013904223u;
        pixels[i] = (unsigned char)(value >> 24);
    }
}

/* Widths with their cost; the same picture twice gives the same features at every width,
 * alone or among others, in any order of widths. */
static void test_model(void **state)
{
    static unsigned char pixels[PICTURES * SIDE * SIDE * 3];
    static float all[2][PICTURES * FEATURES_MOST], one[FEATURES_MOST];
    slim_model *model = NULL;
    slim_error error;
    double width[2];
    int dimension[2];
    int64_t params[2];
    int64_t macs[2];
    (void)state;
    assert_int_equal(slim_model_open("library-run", &model, &error), SLIM_OK);
    assert_int_equal(slim_model_widths(model), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            slim_model_width(model, i, &width[i], &dimension[i], &params[i], &macs[i]),
            SLIM_OK);
        assert_true(dimension[i] > 0 && dimension[i] <= FEATURES_MOST);
    }
    assert_true(width[0] == 1.0 && width[1] == 0.5);
    assert_int_equal(dimension[0], 2 * dimension[1]);
    assert_true(params[0] > params[1] && macs[0] > macs[1] && params[1] > 0);
    assert_int_equal(slim_model_width(model, 2, NULL, NULL, NULL, NULL),
                     SLIM_ERROR_USAGE);
    assert_int_equal(slim_model_width(model, 0, NULL, NULL, NULL, NULL), SLIM_OK);

    assert_int_equal(slim_model_pick(model, INT64_MAX), 0);
    assert_int_equal(slim_model_pick(model, macs[0]), 0);
    assert_int_equal(slim_model_pick(model, macs[0] - 1), 1);
    assert_int_equal(slim_model_pick(model, 0), 1);

    fill_pictures(pixels, sizeof pixels);
    for (int i = 1; i >= 0; i--) {
        assert_int_equal(
            slim_model_embed(model, i, pixels, PICTURES, SIDE, SIDE, all[i], &error),
            SLIM_OK);
    }
    for (int row = 0; row < PICTURES; row++) {
        for (int i = 0; i < 2; i++) {
            size_t n = (size_t)dimension[i];
            double sum = 0.0;
            assert_int_equal(slim_model_embed(model, i,
                                              pixels + (size_t)row * SIDE * SIDE * 3, 1,
                                              SIDE, SIDE, one, &error),
                             SLIM_OK);
            assert_memory_equal(one, all[i] + (size_t)row * n, n * sizeof one[0]);
            for (size_t k = 0; k < n; k++) {
                assert_true(isfinite(one[k]));
                sum += fabs((double)one[k]);
            }
            assert_true(sum > 0.0);
        }
    }
    assert_memory_not_equal(all[0], all[0] + dimension[0],
                            (size_t)dimension[0] * sizeof(float));
    /* Pictures of another size are brought to the model's. */
    assert_int_equal(slim_model_embed(model, 0, pixels, 1, 24, 20, one, &error), SLIM_OK);
    assert_int_equal(slim_model_embed(model, 0, pixels, 0, SIDE, SIDE, one, &error),
                     SLIM_OK);
    assert_int_equal(slim_model_embed(model, 2, pixels, 1, SIDE, SIDE, one, &error),
                     SLIM_ERROR_USAGE);
    assert_int_equal(slim_model_embed(model, 0, pixels, 1, 0, SIDE, one, &error),
                     SLIM_ERROR_USAGE);
    slim_model_close(model);
    slim_model_close(NULL);
}

static void test_missing_model(void **state)
{
    slim_model *model = NULL;
    slim_error error;
    (void)state;
    assert_int_equal(slim_model_open("not-there", &model, &error), SLIM_ERROR_RUN);
    assert_null(model);
    assert_int_equal(error.status, SLIM_ERROR_RUN);
    assert_non_null(strstr(error.text, "not-there"));
    assert_int_equal(slim_model_open("not-there", &model, NULL), SLIM_ERROR_RUN);
}

struct stopper {
    int asked, stop_at;
};

static bool stop_now(void *context)
{
    struct stopper *stopper = context;
    return ++stopper->asked == stopper->stop_at;
}

static void test_scores_and_texts(void **state)
{
    slim_options *options = NULL;
    slim_scores scores;
    slim_error error;
    char *text = NULL;
    (void)state;
    assert_int_equal(slim_options_create("eval knn", &options, &error), SLIM_OK);
    assert_int_equal(slim_eval_knn(options, "library-run", DATA, NULL, &scores, &error),
                     SLIM_OK);
    assert_int_equal(scores.n_widths, 2);
    assert_int_equal(scores.n_train, 128);
    assert_int_equal(scores.n_test, 50);
    assert_int_equal(scores.step, 6);
    assert_true(scores.json[0] == '{');
    slim_options_destroy(options);

    /* Whoever asks for a stop gets it: at the first batch of features, between two epochs
     * of a probe, and in a pass of the paper's. */
    for (int stop_at = 1; stop_at <= 5; stop_at += 2) {
        struct stopper stopper = {.stop_at = stop_at};
        const slim_hooks hooks = {.stop_requested = stop_now, .context = &stopper};
        assert_int_equal(slim_options_create("eval linear", &options, &error), SLIM_OK);
        assert_int_equal(slim_options_set(options, "as-paper", "yes", &error), SLIM_OK);
        assert_int_equal(
            slim_eval_linear(options, "library-run", DATA, &hooks, &scores, &error),
            SLIM_STOPPED);
        assert_int_equal(stopper.asked, stop_at);
        assert_non_null(strstr(error.text, "nothing was written"));
        slim_options_destroy(options);
    }

    /* Of kNN: in each pass over a part, in the search at each of two widths, and the same
     * once more for raw pixels, which are searched twice. */
    for (int stop_at = 1; stop_at <= 9; stop_at++) {
        struct stopper stopper = {.stop_at = stop_at};
        const slim_hooks hooks = {.stop_requested = stop_now, .context = &stopper};
        assert_int_equal(slim_options_create("eval knn", &options, &error), SLIM_OK);
        assert_int_equal(slim_options_set(options, "raw", "yes", &error), SLIM_OK);
        assert_int_equal(
            slim_eval_knn(options, "library-run", DATA, &hooks, &scores, &error),
            stop_at <= 8 ? SLIM_STOPPED : SLIM_OK);
        assert_int_equal(stopper.asked, stop_at <= 8 ? stop_at : 8);
        slim_options_destroy(options);
    }

    for (int stop_at = 1; stop_at <= 4; stop_at++) {
        struct stopper stopper = {.stop_at = stop_at};
        const slim_hooks hooks = {.stop_requested = stop_now, .context = &stopper};
        slim_tuned tuned;
        assert_int_equal(slim_options_create("eval finetune", &options, &error), SLIM_OK);
        assert_int_equal(slim_options_set(options, "labels", "50%", &error), SLIM_OK);
        assert_int_equal(
            slim_eval_finetune(options, "library-run", DATA, &hooks, &tuned, &error),
            SLIM_STOPPED);
        assert_int_equal(stopper.asked, stop_at);
        assert_null(tuned.json);
        slim_options_destroy(options);
    }

    assert_int_equal(slim_info(true, &text, &error), SLIM_OK);
    assert_true(text[0] == '{');
    slim_text_free(text);
    assert_int_equal(slim_list("archs", &text, &error), SLIM_OK);
    assert_non_null(strstr(text, "resnet50"));
    slim_text_free(text);
    assert_int_equal(slim_list("colours", &text, &error), SLIM_ERROR_USAGE);
    assert_null(text);
    slim_text_free(NULL);
    assert_true(strlen(slim_version()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_and_resume),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_missing_model),
        cmocka_unit_test(test_scores_and_texts),
    };
    return cmocka_run_group_tests(tests, make_model, NULL);
}
