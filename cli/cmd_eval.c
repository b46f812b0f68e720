/* SPDX-License-Identifier: MIT */
/*
 * `eval knn`, `eval linear`, `eval classifier` and `eval finetune`: one table a person
 * can read, or one JSON object.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

/* role: of the train pictures; NULL where none took part. */
static void print_head(const slim_scores *scores, const char *role)
{
    (void)printf("model after %lld steps; ", (long long)scores->step);
    if (role != NULL) {
        (void)printf("%lld pictures %s, %lld", (long long)scores->n_train, role,
                     (long long)scores->n_test);
    } else {
        (void)printf("%lld pictures", (long long)scores->n_test);
    }
    (void)printf(" to judge by, %d classes (chance %.1f%%)\n\n", scores->classes,
                 100.0 / scores->classes);
}

static void print_rows(const slim_scores *scores)
{
    (void)printf("%6s %12s %14s %8s %8s\n", "width", "params", "MACs", "top-1", "top-5");
    for (int i = 0; i < scores->n_widths; i++) {
        const slim_width_score *row = &scores->width[i];
        (void)printf("%6.2f %12lld %14lld %7.1f%% %7.1f%%\n", row->width,
                     (long long)row->params, (long long)row->macs, 100.0 * row->acc1,
                     100.0 * row->acc5);
    }
}

static void print_knn(const slim_scores *scores)
{
    print_head(scores, "in the bank");
    print_rows(scores);
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

static void print_classifier(const slim_scores *scores)
{
    print_head(scores, NULL);
    print_rows(scores);
    (void)printf("\nby the classifier that the model was trained with\n");
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
        print_probe(
            scores,
            scores->n_widths > 1
                ? "as the paper: crops and flips anew in each epoch; sub-networks learn "
                  "1/2 from the full width's probe"
                : "as the paper: crops and flips anew in each epoch",
            true);
    }
    (void)printf(
        "\nprivate: one linear classifier a width (switchable); shared: one, sliced "
        "(slimmable)\n");
    if (scores->note[0] != '\0') {
        (void)printf("%s\n", scores->note);
    }
}

/* "45.3%", with several seeds "45.3% (44.1-46.0)". */
static void spread_text(char *dst, size_t size, const slim_spread *spread, int repeats)
{
    if (repeats > 1) {
        (void)snprintf(dst, size, "%.1f%% (%.1f-%.1f)", 100.0 * spread->mean,
                       100.0 * spread->low, 100.0 * spread->high);
    } else {
        (void)snprintf(dst, size, "%.1f%%", 100.0 * spread->mean);
    }
}

static void print_tuned_row(const slim_tuned *tuned, const slim_tuned_labels *at, int i)
{
    const slim_tuned_width *row = &at->width[i];
    const slim_spread *const spreads[] = {&row->knn, &row->probe, &row->tuned,
                                          &row->scratch};
    char labels[48] = "";
    if (i == 0) {
        (void)snprintf(labels, sizeof labels, "%lld (%.3g%%)", (long long)at->labels,
                       100.0 * at->share);
    }
    (void)printf("%16s %6.2f", labels, row->width);
    for (int k = 0; k < (tuned->has_scratch ? 4 : 3); k++) {
        char text[48];
        spread_text(text, sizeof text, spreads[k], tuned->repeats);
        (void)printf(" %*s", tuned->repeats > 1 ? 19 : 12, text);
    }
    (void)printf("\n");
}

static void print_tuned(const slim_tuned *tuned)
{
    static const char *const heads[] = {"kNN", "probe", "fine-tuned", "from scratch"};
    (void)printf(
        "model after %lld steps; %lld labelled pictures to take labels from, %lld "
        "to judge by, %d classes (chance %.1f%%)\n\n%16s %6s",
        (long long)tuned->step, (long long)tuned->n_train, (long long)tuned->n_test,
        tuned->classes, 100.0 / tuned->classes, "labels", "width");
    for (int k = 0; k < (tuned->has_scratch ? 4 : 3); k++) {
        (void)printf(" %*s", tuned->repeats > 1 ? 19 : 12, heads[k]);
    }
    (void)printf("\n");
    for (int s = 0; s < tuned->n_labels; s++) {
        for (int i = 0; i < tuned->n_widths; i++) {
            print_tuned_row(tuned, &tuned->at[s], i);
        }
    }
    (void)printf("\ntop-1; kNN and probe: frozen trunk; fine-tuned: a classifier and all "
                 "weights, %s\n",
                 tuned->joint ? "all widths together as one slimmable network"
                              : "each width as a network of its own");
    if (tuned->has_scratch) {
        (void)printf("from scratch: the same network, labels, epochs and views from a "
                     "random start\n");
    }
    if (tuned->repeats > 1) {
        (void)printf("mean of %d seeds, which draw labels, start and order (lowest to "
                     "highest)\n",
                     tuned->repeats);
    }
}

/* A kind of judging, as it is typed; all but `finetune` give scores of frozen models. */
struct kind {
    const char *command;
    slim_status (*judge)(const slim_options *options, const char *model, const char *data,
                         const slim_hooks *hooks, slim_scores *scores, slim_error *error);
    void (*print)(const slim_scores *scores);
    const char *places; /* what stands for DATA */
};
static const struct kind kinds[] = {
    {"eval knn", slim_eval_knn, print_knn, "--train and --test"},
    {"eval linear", slim_eval_linear, print_linear, "--train and --test"},
    {"eval classifier", slim_eval_classifier, print_classifier, "--test"},
    {"eval finetune", NULL, NULL, "--train and --test"},
};

static slim_status run_frozen(const struct cli_arguments *arguments,
                              const struct kind *kind, const char *data,
                              const slim_hooks *hooks, slim_error *error)
{
    slim_scores scores;
    slim_status status = kind->judge(arguments->options, arguments->places[0], data,
                                     hooks, &scores, error);
    cli_progress_end();
    if (status != SLIM_OK) {
        return status;
    }
    if (arguments->json) {
        (void)puts(scores.json);
    } else {
        kind->print(&scores);
    }
    return SLIM_OK;
}

static slim_status run_finetune(const struct cli_arguments *arguments, const char *data,
                                const slim_hooks *hooks, slim_error *error)
{
    slim_tuned tuned;
    slim_status status = slim_eval_finetune(arguments->options, arguments->places[0],
                                            data, hooks, &tuned, error);
    cli_progress_end();
    if (status == SLIM_OK) {
        if (arguments->json) {
            (void)puts(tuned.json);
        } else {
            print_tuned(&tuned);
        }
    }
    slim_text_free(tuned.json);
    return status;
}

int cmd_eval(int argc, char **argv)
{
    struct cli_arguments arguments;
    slim_error error;
    const struct kind *kind = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (argc > 1 && strcmp(argv[1], kinds[i].command + strlen("eval ")) == 0) {
            kind = &kinds[i];
        }
    }
    if (kind == NULL) {
        return cli_usage("eval", "say how: `slimclr eval knn RUN DATA`, or `linear`, "
                                 "`classifier` or `finetune` in the place of `knn`");
    }
    int code = cli_arguments_read(kind->command, argc - 1, argv + 1, &arguments);
    if (code == 0 && (arguments.n_places < 1 || arguments.n_places > 2)) {
        code = cli_usage(kind->command,
                         "wants a model (run directory or checkpoint) and one DATA, or "
                         "%s",
                         kind->places);
    }
    if (code == 0) {
        const char *data = arguments.n_places == 2 ? arguments.places[1] : NULL;
        const slim_hooks hooks = cli_hooks();
        cli_log_open(&arguments);
        cli_signals();
        slim_status status = kind->judge == NULL
                                 ? run_finetune(&arguments, data, &hooks, &error)
                                 : run_frozen(&arguments, kind, data, &hooks, &error);
        if (status != SLIM_OK) {
            code = cli_fail(kind->command, &error);
        }
    }
    cli_arguments_finish(&arguments);
    return code;
}
