/* SPDX-License-Identifier: MIT */
/*
 * One network trained on labelled pictures: its trunk starts from a checkpoint's or at
 * random, its classifiers at random, and it is judged on the test part. The step is
 * learn's supervised method; here stands only what feeds it. The checkpoint is read,
 * never changed.
 */
#include "evaluate_int.h"

#include <string.h>

static const char *const METHOD = "supervised";

/* Everything one training holds. */
struct tune {
    struct api_judge *judge;
    const struct api_tune *job;
    struct sl_resnet_config resnet;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_loader *loader;
};

/* ---- start ------------------------------------------------------------------------- */

static enum sl_status open_net(struct sl_error *err, struct tune *tune)
{
    const struct api_judge *judge = tune->judge;
    tune->resnet = judge->model.resnet;
    tune->resnet.widths = tune->job->widths;
    tune->resnet.head = SL_HEAD_CLASSIFIERS;
    tune->resnet.dim = judge->classes;
    return sl_resnet_build(err, &tune->resnet, &tune->net);
}

static struct sl_trainer_config trainer_config(const struct tune *tune)
{
    const struct api_tune *job = tune->job;
    int64_t steps = api_tune_steps(job);
    struct sl_trainer_config config = {
        .method = sl_method_find(METHOD),
        .batch = job->batch,
        .seed = job->seed,
        .total_steps = steps,
        .lr = {.schedule = SL_LR_COSINE,
               .peak = job->lr,
               .second_peak = job->lr,
               .second_from = INT64_MAX,
               .warmup_steps = job->warmup_epochs * (double)(steps / job->epochs),
               .total_steps = steps},
        .optim = {.optimizer = SL_OPTIMIZER_SGD,
                  .momentum = 0.9,
                  .weight_decay = job->weight_decay},
        .bn_splits = 1,
        .distill = SL_DISTILL_NONE,
        .type = tune->judge->model.type,
    };
    for (int i = 0; i < job->widths.n; i++) {
        config.width_weights[i] = 1.0; /* losses are added, as in supervised training */
    }
    return config;
}

/* Same names, same shapes: a width keeps its own norms, and shared weights are whole at
 * any list of widths. */
static enum sl_status copy_trunk(struct sl_error *err, struct tune *tune)
{
    const struct api_model *model = &tune->judge->model;
    const struct sl_device *device = &model->device;
    struct sl_named_list from = {0};
    struct sl_named_list to = {0};
    enum sl_status status = SL_OK;
    SL_TRY_OUT(sl_params_state(err, model->net, model->params->weight, "", &from));
    SL_TRY_OUT(sl_stats_state(err, model->stats, "", &from));
    SL_TRY_OUT(sl_params_state(err, tune->net, sl_trainer_params(tune->trainer)->weight,
                               "", &to));
    SL_TRY_OUT(sl_stats_state(err, sl_trainer_stats(tune->trainer), "", &to));
    for (int i = 0; i < to.n; i++) {
        const struct sl_named *item = &to.items[i];
        if (api_is_of_trunk(item->name)) {
            const struct sl_named *source = sl_named_find(&from, item->name);
            SL_ASSERT(source != NULL &&
                      sl_tensor_bytes(&source->tensor) == sl_tensor_bytes(&item->tensor));
            device->table->copy(device->state, item->tensor.data, source->tensor.data,
                                sl_tensor_bytes(&item->tensor));
        }
    }
out:
    sl_named_finish(&from);
    sl_named_finish(&to);
    return status;
}

static enum sl_status start(struct sl_error *err, struct tune *tune)
{
    const struct sl_trainer_config config = trainer_config(tune);
    SL_TRY(sl_trainer_create(err, &config, tune->net, &tune->judge->model.device,
                             &tune->trainer));
    return tune->job->from_scratch ? SL_OK : copy_trunk(err, tune);
}

/* ---- the loop ---------------------------------------------------------------------- */

static enum sl_status open_loader(struct sl_error *err, struct tune *tune)
{
    const struct api_judge *judge = tune->judge;
    const struct api_tune *job = tune->job;
    return sl_loader_create(err,
                            &(struct sl_loader_config){
                                .source = judge->train,
                                .recipe = api_judge_crops(judge, job->crop_min),
                                .n_views = 1,
                                .batch = job->batch,
                                .n_workers = judge->train_config.n_workers,
                                .seed = job->seed,
                                .end_step = api_tune_steps(job),
                                .bad_policy = SL_BAD_SKIP,
                                .max_bad = 0.5,
                                .subset = job->pick->ids,
                                .n_subset = job->pick->n,
                            },
                            &tune->loader);
}

static enum sl_status train(struct sl_error *err, struct tune *tune)
{
    const struct api_tune *job = tune->job;
    int64_t steps = api_tune_steps(job);
    while (sl_trainer_steps(tune->trainer) < steps) {
        struct sl_batch batch;
        struct sl_step_numbers numbers;
        SL_TRY(sl_loader_acquire(err, tune->loader, &batch, NULL));
        enum sl_status status = sl_trainer_step(err, tune->trainer, &batch, &numbers);
        sl_loader_release(tune->loader);
        SL_TRY(status);
        SL_TRY(job->after_step(err, job->context, numbers.width[0].loss));
    }
    return SL_OK;
}

/* ---- judging, keeping -------------------------------------------------------------- */

/* The last update may have spoilt what the last loss still had. */
static enum sl_status check_logits(struct sl_error *err, const struct tune *tune,
                                   int width, const struct sl_features *logits)
{
    char text[16];
    if (sl_features_first_nonfinite(logits) < 0) {
        return SL_OK;
    }
    sl_multiplier_text(tune->net->widths.at[width], text, sizeof text);
    return SL_FAIL(
        err, SL_ERROR_NUMBERS,
        "width %s: outputs are not finite after training on %lld labels; lower "
        "%s (%g)",
        text, (long long)tune->job->pick->n,
        tune->job->from_scratch ? "--scratch-lr" : "--lr", tune->job->lr);
}

static enum sl_status judge_test(struct sl_error *err, const struct tune *tune,
                                 struct sl_score scores[SL_WIDTHS_MAX])
{
    const struct api_judge *judge = tune->judge;
    struct sl_features logits[SL_WIDTHS_MAX] = {{0}};
    struct sl_features_config config = judge->test_config;
    int widths[SL_WIDTHS_MAX];
    enum sl_status status = SL_OK;
    int64_t bad = 0;
    const struct sl_frozen model = {.device = &judge->model.device,
                                    .net = tune->net,
                                    .params = sl_trainer_params(tune->trainer),
                                    .stats = sl_trainer_stats(tune->trainer),
                                    .type = judge->model.type};
    config.head = true;
    config.go_on = NULL; /* a part of the training: its progress is told by steps */
    for (int i = 0; i < tune->net->widths.n; i++) {
        widths[i] = i;
    }
    SL_TRY_OUT(sl_features_compute(err, &model, &config, widths, tune->net->widths.n,
                                   logits, &bad));
    for (int i = 0; i < tune->net->widths.n; i++) {
        SL_TRY_OUT(check_logits(err, tune, i, &logits[i]));
        SL_TRY_OUT(sl_score_logits(err, &logits[i], &scores[i]));
    }
out:
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        sl_features_finish(&logits[i]);
    }
    return status;
}

/* What the file says of itself: the checkpoint's settings, with this network's widths and
 * classifier. */
static enum sl_status saved_conf(struct sl_error *err, const struct tune *tune,
                                 struct sl_text *text)
{
    struct sl_conf *conf = NULL;
    struct sl_text widths = {0};
    enum sl_status status = SL_OK;
    SL_TRY_OUT(sl_conf_copy(err, tune->judge->model.conf, &conf));
    for (int i = 0; i < tune->net->widths.n; i++) {
        char one[16];
        sl_multiplier_key(tune->net->widths.at[i], one, sizeof one);
        sl_text_add(&widths, "%s%s", i > 0 ? "," : "", one);
    }
    if (widths.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "out of memory for the settings' text");
        goto out;
    }
    SL_TRY_OUT(api_resolve(err, conf, "widths", widths.text));
    SL_TRY_OUT(api_resolve(err, conf, "method", METHOD));
    SL_TRY_OUT(api_resolve(err, conf, "head", "classifiers"));
    SL_TRY_OUT(api_resolve_int(err, conf, "classes", tune->judge->classes));
    SL_TRY_OUT(api_resolve_int(err, conf, "image-size", tune->resnet.image_size));
    SL_TRY_OUT(api_conf_record(err, conf, text));
out:
    sl_text_finish(&widths);
    sl_conf_destroy(conf);
    return status;
}

static enum sl_status save(struct sl_error *err, const struct tune *tune)
{
    struct sl_named_list state = {0};
    struct sl_text conf = {0};
    struct sl_classes classes = {0};
    enum sl_status status = SL_OK;
    int64_t step = sl_trainer_steps(tune->trainer);
    const int64_t one = 1;
    SL_TRY_OUT(saved_conf(err, tune, &conf));
    SL_TRY_OUT(api_classes_of(err, tune->judge->train, &classes));
    SL_TRY_OUT(sl_params_state(err, tune->net, sl_trainer_params(tune->trainer)->weight,
                               "", &state));
    SL_TRY_OUT(sl_stats_state(err, sl_trainer_stats(tune->trainer), "", &state));
    SL_TRY_OUT(sl_named_add(err, &state, "step", sl_tensor_make(&step, SL_I64, 1, &one)));
    SL_TRY_OUT(sl_checkpoint_save(err, tune->job->save_path, &tune->judge->model.device,
                                  &state, conf.text, &classes));
    sl_log(SL_LOG_INFO, "saved:  %s", tune->job->save_path);
out:
    sl_classes_finish(&classes);
    sl_named_finish(&state);
    sl_text_finish(&conf);
    return status;
}

/* ---- the whole --------------------------------------------------------------------- */

int64_t api_tune_steps(const struct api_tune *job)
{
    return job->epochs * (job->pick->n / job->batch);
}

enum sl_status api_tune_run(struct sl_error *err, struct api_judge *judge,
                            const struct api_tune *job,
                            struct sl_score scores[SL_WIDTHS_MAX])
{
    struct tune tune = {.judge = judge, .job = job};
    enum sl_status status = SL_OK;
    SL_TRY_OUT(open_net(err, &tune));
    SL_TRY_OUT(start(err, &tune));
    SL_TRY_OUT(open_loader(err, &tune));
    SL_TRY_OUT(train(err, &tune));
    SL_TRY_OUT(judge_test(err, &tune, scores));
    if (job->save_path != NULL) {
        SL_TRY_OUT(save(err, &tune));
    }
out:
    sl_loader_destroy(tune.loader);
    sl_trainer_destroy(tune.trainer);
    sl_net_destroy(tune.net);
    return status;
}
