/* SPDX-License-Identifier: MIT */
/*
 * `eval knn` and `eval linear`: one table a person can read, or one JSON object.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static void print_head(const slim_scores *scores, const char *role)
{
    (void)printf("model after %lld steps; %lld pictures %s, %lld to judge by, %d classes "
                 "(chance %.1f%%)\n\n",
                 (long long)scores->step, (long long)scores->n_train, role,
                 (long long)scores->n_test, scores->classes, 100.0 / scores->classes);
}

static void print_knn(const slim_scores *scores)
{
    print_head(scores, "in the bank");
    (void)printf("%6s %12s %14s %8s %8s\n", "width", "params", "MACs", "top-1", "top-5");
    for (int i = 0; i < scores->n_widths; i++) {
        const slim_width_score *row = &scores->width[i];
        (void)printf("%6.2f %12lld %14lld %7.1f%% %7.1f%%\n", row->width,
                     (long long)row->params, (long long)row->macs, 100.0 * row->acc1,
                     100.0 * row->acc5);
    }
    if (scores->has_raw) {
        (void)printf("\nraw pixels at %d px: %.1f%%, mean-centred: %.1f%%\n",
                     scores->raw_side, 100.0 * scores->raw_acc1,
                     100.0 * scores->raw_centred_acc1);
    }
    (void)printf(
        "\nweighted vote of the %d nearest neighbour%s (at most half the smallest "
        "class) on frozen features\n",
        scores->k, scores->k == 1 ? "" : "s");
}

/* A further kind of probe, below the first. */
static void print_probe(const slim_scores *scores, const char *title, bool paper)
{
    (void)printf("\n%s\n%6s %27s   %8s %8s   %8s %8s\n", title, "width", "", "top-1",
                 "top-5", "top-1", "top-5");
    for (int i = 0; i < scores->n_widths; i++) {
        const slim_width_score *row = &scores->width[i];
        const slim_probe_score *at = paper ? &row->paper : &row->distill;
        (void)printf("%6.2f %27s   %7.1f%% %7.1f%%   %7.1f%% %7.1f%%\n", row->width, "",
                     100.0 * at->acc1, 100.0 * at->acc5, 100.0 * at->slim_acc1,
                     100.0 * at->slim_acc5);
    }
}

static void print_linear(const slim_scores *scores)
{
    print_head(scores, "to learn from");
    (void)printf("%6s %12s %14s   %-17s   %s\n", "", "", "", "private probe",
                 "shared probe");
    (void)printf("%6s %12s %14s   %8s %8s   %8s %8s\n", "width", "params", "MACs",
                 "top-1", "top-5", "top-1", "top-5");
    for (int i = 0; i < scores->n_widths; i++) {
        const slim_width_score *row = &scores->width[i];
        (void)printf("%6.2f %12lld %14lld   %7.1f%% %7.1f%%   %7.1f%% %7.1f%%\n",
                     row->width, (long long)row->params, (long long)row->macs,
                     100.0 * row->acc1, 100.0 * row->acc5, 100.0 * row->slim_acc1,
                     100.0 * row->slim_acc5);
    }
    if (scores->has_distill) {
        print_probe(scores,
                    "taught: sub-networks learn 1/2 from the labels, 1/2 from the "
                    "full width's probe",
                    false);
    }
    if (scores->has_paper) {
        print_probe(scores,
                    "as the paper: crops and flips in each epoch, taught as above", true);
    }
    (void)printf(
        "\nprivate: one linear classifier a width (switchable); shared: one, sliced "
        "(slimmable)\n");
    if (scores->note[0] != '\0') {
        (void)printf("%s\n", scores->note);
    }
}

int cmd_eval(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_scores scores;
    slim_error error;
    bool knn = argc >= 2 && strcmp(argv[1], "knn") == 0;
    if (!knn && (argc < 2 || strcmp(argv[1], "linear") != 0)) {
        return cli_usage("eval",
                         "say how: `slimclr eval knn RUN DATA` or `slimclr eval linear "
                         "RUN DATA`");
    }
    const char *command = knn ? "eval knn" : "eval linear";
    int code = cli_arguments_read(command, argc - 1, argv + 1, &arguments);
    if (code == 0 && (arguments.n_places < 1 || arguments.n_places > 2)) {
        code = cli_usage(command,
                         "wants a model (run directory or checkpoint) and one DATA, or "
                         "--train and --test");
    }
    if (code == 0) {
        const char *data = arguments.n_places == 2 ? arguments.places[1] : NULL;
        const slim_hooks hooks = cli_hooks();
        cli_log_open(&arguments);
        cli_signals();
        slim_status status =
            knn ? slim_eval_knn(arguments.options, arguments.places[0], data, &hooks,
                                &scores, &error)
                : slim_eval_linear(arguments.options, arguments.places[0], data, &hooks,
                                   &scores, &error);
        cli_progress_end();
        if (status != SLIM_OK) {
            code = cli_fail(command, &error);
        } else if (arguments.json) {
            (void)puts(scores.json);
        } else if (knn) {
            print_knn(&scores);
        } else {
            print_linear(&scores);
        }
    }
    cli_arguments_finish(&arguments);
    return code;
}
