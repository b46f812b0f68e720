/* SPDX-License-Identifier: MIT */
/*
 * `demo`: what `make demo` shows. Pre-trains four widths on the built-in pictures with
 * recipe `demo`, judges them before and after, times each on one picture, and prints one
 * table. Stands on the public library alone, and may be read as an example of its use.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char DATA[] = "synthetic:size=32,n=20000,test=2000,classes=10,seed=1";

enum { SIDE = 32, TIMED = 30, PATH_LENGTH = 4096 };

static int pretrain(const char *run, const char *epochs)
{
    slim_options *options = NULL;
    slim_error error = {0};
    const slim_hooks hooks = cli_hooks();
    const char *data[] = {DATA};
    slim_status status = slim_options_create("pretrain", &options, &error);
    if (status == SLIM_OK) {
        status = slim_options_set(options, "recipe", "demo", &error);
    }
    if (status == SLIM_OK) {
        status = slim_options_set(options, "out", run, &error);
    }
    if (status == SLIM_OK) {
        status = slim_options_set(options, "overwrite", "yes", &error);
    }
    if (status == SLIM_OK && epochs != NULL) {
        status = slim_options_set(options, "epochs", epochs, &error);
    }
    if (status == SLIM_OK) {
        status = slim_pretrain(options, data, 1, &hooks, &error);
    }
    slim_options_destroy(options);
    return status == SLIM_OK ? 0 : cli_fail("demo", &error);
}

static int judge(const char *command, const char *run, bool raw, slim_scores *scores)
{
    slim_options *options = NULL;
    slim_error error = {0};
    slim_status status = slim_options_create(command, &options, &error);
    if (status == SLIM_OK && raw) {
        status = slim_options_set(options, "raw", "yes", &error);
    }
    if (status == SLIM_OK) {
        status = raw || strcmp(command, "eval knn") == 0
                     ? slim_eval_knn(options, run, DATA, NULL, scores, &error)
                     : slim_eval_linear(options, run, DATA, NULL, scores, &error);
    }
    slim_options_destroy(options);
    return status == SLIM_OK ? 0 : cli_fail("demo", &error);
}

static double milliseconds(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e3 * (double)time.tv_sec + 1e-6 * (double)time.tv_nsec;
}

/* Best time of a single picture at each width. */
static int time_widths(const char *run, double best[SLIM_WIDTHS_MAX])
{
    static unsigned char picture[SIDE * SIDE * 3];
    static float features[65536];
    slim_model *model = NULL;
    slim_error error = {0};
    slim_status status = slim_model_open(run, &model, &error);
    for (size_t i = 0; i < sizeof picture; i++) {
        picture[i] = (unsigned char)(i * 7 % 256);
    }
    for (int i = 0; status == SLIM_OK && i < slim_model_widths(model); i++) {
        best[i] = 1e9;
        for (int k = 0; status == SLIM_OK && k < TIMED; k++) {
            double start = milliseconds();
            status = slim_model_embed(model, i, picture, 1, SIDE, SIDE, features, &error);
            double taken = milliseconds() - start;
            best[i] = taken < best[i] ? taken : best[i];
        }
    }
    slim_model_close(model);
    return status == SLIM_OK ? 0 : cli_fail("demo", &error);
}

/* "268.3 k", "40.6 M": a number a person can hold. */
static void short_count(char *dst, size_t size, int64_t count)
{
    if (count >= 1000000) {
        (void)snprintf(dst, size, "%.1f M", 1e-6 * (double)count);
    } else {
        (void)snprintf(dst, size, "%.1f k", 1e-3 * (double)count);
    }
}

/* The page about the run; its path is in `page` (empty where it could not be made). */
static int make_page(const char *run, char *page, size_t size)
{
    slim_options *options = NULL;
    slim_error error = {0};
    char *text = NULL;
    slim_status status = slim_options_create("report", &options, &error);
    if (status == SLIM_OK) {
        status = slim_report(options, run, false, &text, &error);
    }
    if (status == SLIM_OK) {
        (void)snprintf(page, size, "%s", text);
        page[strcspn(page, "\n")] = '\0';
    }
    slim_text_free(text);
    slim_options_destroy(options);
    return status == SLIM_OK ? 0 : cli_fail("demo", &error);
}

static void print_table(const char *run, const char *page, const slim_scores *before,
                        const slim_scores *after, const slim_scores *linear,
                        const double *best)
{
    char params[32];
    char macs[32];
    (void)printf("\n%26s  |  %s\n", "", "right answers on pictures that it never saw");
    (void)printf("%26s  |  %-23s  %12s  |\n", "cost of one picture",
                 "  nearest neighbours", "linear probe");
    (void)printf("%6s %9s %9s  |  %10s %12s  %12s  |  %s\n", "width", "params", "MACs",
                 "untrained", "pre-trained", "pre-trained", "ms/image");
    for (int i = 0; i < after->n_widths; i++) {
        const slim_width_score *row = &after->width[i];
        short_count(params, sizeof params, row->params);
        short_count(macs, sizeof macs, row->macs);
        (void)printf("%6.2f %9s %9s  |  %9.1f%% %11.1f%%  %11.1f%%  |  %8.2f\n",
                     row->width, params, macs, 100.0 * before->width[i].acc1,
                     100.0 * row->acc1, 100.0 * linear->width[i].acc1, best[i]);
    }
    (void)printf("%26s  |  %9.1f%%\n", "raw pixels", 100.0 * before->raw_acc1);
    (void)printf("%26s  |  %9.1f%%\n", "raw pixels, mean-centred",
                 100.0 * before->raw_centred_acc1);
    (void)printf("%26s  |  %9.1f%%\n", "guessing", 100.0 / after->classes);
    (void)printf(
        "\nThe rows are one network, used at full width or with the leading part of its\n"
        "channels: choose by what you can afford. It was pre-trained on %lld pictures\n"
        "without one label; labels only judge it here, by %d classes of shape and "
        "texture\nand %lld new pictures.\n\n"
        "run directory   %s\n"
        "report page     %s\n"
        "next            slimclr pretrain YOUR_PHOTOS -o runs/photos --recipe "
        "photos-small\n",
        (long long)after->n_train, after->classes, (long long)after->n_test, run, page);
}

int cmd_demo(int argc, char **argv)
{
    const char *run = "runs/demo";
    char untrained[PATH_LENGTH];
    char page[PATH_LENGTH] = "";
    slim_scores before = {0};
    slim_scores after = {0};
    slim_scores linear = {0};
    double best[SLIM_WIDTHS_MAX] = {0};
    const struct cli_arguments plain = {0};
    if (argc == 3 && strcmp(argv[1], "-o") == 0) {
        run = argv[2];
    } else if (argc != 1) {
        return cli_usage("demo", "takes nothing but -o DIR, and got '%s'", argv[1]);
    }
    if (snprintf(untrained, sizeof untrained, "%s/untrained", run) >=
        (int)sizeof untrained) {
        return cli_usage("demo", "-o: the path is too long");
    }
    cli_log_open(&plain);
    cli_signals();
    double start = milliseconds();
    int code = pretrain(run, NULL);
    cli_progress_end();
    if (code == 0) {
        (void)fprintf(stderr, "trained in %.0f s; now judging, untrained and trained\n",
                      1e-3 * (milliseconds() - start));
        slim_log_to(NULL, NULL);
        code = pretrain(untrained, "0");
    }
    code = code == 0 ? judge("eval knn", untrained, true, &before) : code;
    code = code == 0 ? judge("eval knn", run, false, &after) : code;
    code = code == 0 ? judge("eval linear", run, false, &linear) : code;
    code = code == 0 ? time_widths(run, best) : code;
    if (code == 0) {
        code = make_page(run, page, sizeof page);
        print_table(run, code == 0 ? page : "could not be made", &before, &after, &linear,
                    best);
    }
    return code;
}
