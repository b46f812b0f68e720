/* SPDX-License-Identifier: MIT */
/*
 * Private to the files of `slimclr eval`: one evaluation with everything it holds.
 * evaluate.c opens it, computes features and writes the result; each kind of judging has
 * a file of its own.
 */
#ifndef SRC_API_EVALUATE_INT_H
#define SRC_API_EVALUATE_INT_H

#include "api_int.h"

#include <jansson.h>

struct api_judge {
    const slim_hooks *hooks; /* may be NULL */
    struct sl_conf *conf;
    struct api_model model;
    struct sl_source *train, *test;
    bool has_bank; /* the train part's features are wanted, not its class names alone */
    const char *data;
    struct sl_features_config train_config, test_config;
    struct sl_features train_features[SL_WIDTHS_MAX], test_features[SL_WIDTHS_MAX];
    int widths[SL_WIDTHS_MAX], n_widths; /* indices into the model's */
    int64_t n_bad;
    int classes;
    int64_t passed, to_pass; /* pictures, for the progress */
};

/* Opens model and data as the options say, in two halves or at once. `judge` is zeroed
 * memory of the heap; api_judge_close (NULL is fine) frees it, after a failure too. A
 * command without key "train" judges by the test part alone: `train` is then there for
 * its class names where one DATA is given, and NULL with --test. */
enum sl_status api_judge_open_model(struct sl_error *err, struct api_judge *judge,
                                    const slim_options *options, const char *model,
                                    const slim_hooks *hooks);
enum sl_status api_judge_open_data(struct sl_error *err, struct api_judge *judge,
                                   const char *data);
enum sl_status api_judge_open(struct sl_error *err, struct api_judge *judge,
                              const slim_options *options, const char *model,
                              const char *data, const slim_hooks *hooks);
void api_judge_close(struct api_judge *judge);
struct sl_frozen api_judge_frozen(const struct api_judge *judge);
/* The evaluation view with crops of at least that area and flips in its place. */
struct sl_recipe api_judge_crops(const struct api_judge *judge, double crop_min);
/* Features of both parts, or of the test part alone where there is no bank. */
enum sl_status api_judge_features(struct sl_error *err, struct api_judge *judge);

/* A model's own classifier can only say the classes that it was trained on: SL_ERROR_DATA
 * when the data have others. Data that have them in another order, or only some, get the
 * model's (evaluate_classifier.c). */
enum sl_status api_judge_match_classes(struct sl_error *err, struct api_judge *judge);

/* The method whose published rates `eval linear --as-paper` takes for a model of
 * `method`: its own, or those of the one it borrows from; NULL for a method without a
 * row. */
const char *api_linear_rates_of(const char *method);

/* The scores without any accuracy. */
void api_judge_fill(const struct api_judge *judge, slim_scores *scores);
json_t *api_judge_fraction(double value);
/* What every kind says: accuracies of the widths and what they were taken on. */
json_t *api_judge_json(const struct api_judge *judge, const char *kind,
                       const slim_scores *scores);
/* Writes a text without its end into RUN/eval/KIND.json where `model` is a run directory.
 */
enum sl_status api_judge_keep(struct sl_error *err, const char *kind, const char *model,
                              const char *text);
/* The JSON text of the scores, also kept. `root` is given away. */
enum sl_status api_judge_write(struct sl_error *err, const char *kind, const char *model,
                               json_t *root, slim_scores *scores);

/* ---- training on labels (tune.c) --------------------------------------------------- */

/* One network: its widths train together and are all of it. */
struct api_tune {
    struct sl_widths widths; /* some of the model's, descending */
    const struct sl_pick *pick;
    bool from_scratch; /* else the trunk starts as the model's */
    uint64_t seed;
    int epochs, batch; /* batch at most pick->n */
    double lr, weight_decay, warmup_epochs, crop_min;
    const char *save_path; /* checkpoint of the trained network, or NULL */
    /* Told of the widest width's loss after each step; what it fails with ends it. */
    enum sl_status (*after_step)(struct sl_error *err, void *context, double loss);
    void *context;
};
int64_t api_tune_steps(const struct api_tune *job);
/* Trains on pictures of judge->train and scores each width on judge->test. */
enum sl_status api_tune_run(struct sl_error *err, struct api_judge *judge,
                            const struct api_tune *job,
                            struct sl_score scores[SL_WIDTHS_MAX]);

#endif
