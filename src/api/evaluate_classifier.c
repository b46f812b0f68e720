/* SPDX-License-Identifier: MIT */
/*
 * `slimclr eval classifier`: the test part judged by the classifier that the model itself
 * was trained with, of a supervised run or of a network that `eval finetune --save` kept.
 * Nothing is trained. The data's classes are those of the classifier by their names,
 * where both sides have names.
 */
#include "evaluate_int.h"

enum sl_status api_judge_match_classes(struct sl_error *err, struct api_judge *judge)
{
    const struct api_model *model = &judge->model;
    const struct sl_classes *classes = &model->classes;
    int outputs = model->resnet.dim;
    /* By name some of the classes will do; by number alone it must be all. */
    if (judge->classes > outputs || (classes->n == 0 && judge->classes != outputs)) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %d classes, but the classifier of %s has %d; give data with "
                       "the classes that it was trained on",
                       judge->data, judge->classes, model->path, outputs);
    }
    enum sl_status status = SL_OK;
    int *numbers = NULL;
    /* The test part's numbers are those of the train part, where there is one. */
    SL_TRY_OUT(api_classes_find(err, classes, model->path,
                                judge->train != NULL ? judge->train : judge->test,
                                judge->data, &numbers));
    if (numbers != NULL && judge->train != NULL) {
        SL_TRY_OUT(sl_source_number_classes(err, judge->train, classes->names, numbers,
                                            classes->n));
    }
    if (numbers != NULL) {
        SL_TRY_OUT(sl_source_number_classes(err, judge->test, classes->names, numbers,
                                            classes->n));
    }
    judge->classes = outputs;
out:
    sl_heap_free(numbers);
    return status;
}

static enum sl_status check_model(struct sl_error *err, const struct api_judge *judge)
{
    const struct api_model *model = &judge->model;
    if (api_model_classifies(model)) {
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "%s: --method %s trains no classifier; judge its features with `eval "
                   "linear` or `eval knn`",
                   model->path, sl_conf_text(model->conf, "method"));
}

/* Whether pictures that are split here were learned from, no checkpoint says: `pretrain`
 * learns from all of a DATA that has one part, and what `eval finetune` keeps has not
 * seen a test part of its own draw. */
static void warn_of_split(const struct api_judge *judge)
{
    if (!sl_source_was_split(judge->test)) {
        return;
    }
    if (judge->model.resnet.head == SL_HEAD_CLASSIFIER) {
        sl_log(SL_LOG_WARNING,
               "%s: if the run learned from these pictures, it has seen all of them; "
               "name others with --test",
               judge->data);
    } else {
        sl_log(SL_LOG_WARNING,
               "%s: if the network was fine-tuned on these pictures, it has not seen the "
               "test part only with the --seed and --test-fraction of then; give those, "
               "or name others with --test",
               judge->data);
    }
}

/* The outputs of a width that diverged would make accuracies that mean nothing. */
static enum sl_status check_outputs(struct sl_error *err, const struct api_judge *judge,
                                    int i)
{
    const struct sl_features *logits = &judge->test_features[i];
    int64_t row = sl_features_first_nonfinite(logits);
    if (row < 0) {
        return SL_OK;
    }
    char width[16];
    sl_multiplier_text(judge->model.net->widths.at[judge->widths[i]], width,
                       sizeof width);
    return SL_FAIL(err, SL_ERROR_NUMBERS,
                   "width %s: the classifier's outputs for picture %d are not finite; is "
                   "the model damaged, or did its training diverge?",
                   width, (int)logits->ids[row]);
}

static enum sl_status judge_classifier(struct sl_error *err, struct api_judge *judge,
                                       slim_scores *scores)
{
    judge->test_config.head = true;
    warn_of_split(judge);
    SL_TRY(api_judge_features(err, judge));
    api_judge_fill(judge, scores);
    for (int i = 0; i < judge->n_widths; i++) {
        struct sl_score score = {0};
        SL_TRY(check_outputs(err, judge, i));
        SL_TRY(sl_score_logits(err, &judge->test_features[i], &score));
        scores->width[i].acc1 = score.acc1;
        scores->width[i].acc5 = score.acc5;
    }
    return SL_OK;
}

slim_status slim_eval_classifier(const slim_options *options, const char *model,
                                 const char *data, const slim_hooks *hooks,
                                 slim_scores *scores, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct api_judge *judge = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "evaluation", 1, sizeof *judge, &judge));
    SL_TRY_OUT(api_judge_open_model(&err, judge, options, model, hooks));
    SL_TRY_OUT(check_model(&err, judge));
    SL_TRY_OUT(api_judge_open_data(&err, judge, data));
    SL_TRY_OUT(api_judge_match_classes(&err, judge));
    SL_TRY_OUT(judge_classifier(&err, judge, scores));
    SL_TRY_OUT(api_judge_write(&err, "classifier", model,
                               api_judge_json(judge, "classifier", scores), scores));
out:
    api_judge_close(judge);
    return api_leave(&err, status, error);
}
