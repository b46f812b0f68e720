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
    const char *data;
    struct sl_features_config train_config, test_config;
    struct sl_features train_features[SL_WIDTHS_MAX], test_features[SL_WIDTHS_MAX];
    int widths[SL_WIDTHS_MAX], n_widths; /* indices into the model's */
    int64_t n_bad;
    int classes;
    int64_t passed, to_pass; /* pictures, for the progress */
};

/* Opens model and data as the options say. `judge` is zeroed memory of the heap;
 * api_judge_close (NULL is fine) frees it, after a failure too. */
enum sl_status api_judge_open(struct sl_error *err, struct api_judge *judge,
                              const slim_options *options, const char *model,
                              const char *data, const slim_hooks *hooks);
void api_judge_close(struct api_judge *judge);
bool api_judge_stopped(const struct api_judge *judge);
struct sl_frozen api_judge_frozen(const struct api_judge *judge);
/* Features of both parts. */
enum sl_status api_judge_features(struct sl_error *err, struct api_judge *judge);

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
/* The JSON text, and the same in RUN/eval/KIND.json where `model` is a run directory.
 * `root` is given away. */
enum sl_status api_judge_write(struct sl_error *err, const char *kind, const char *model,
                               json_t *root, slim_scores *scores);

#endif
