/* SPDX-License-Identifier: MIT */
/*
 * Settings of the method: its constants, head, distillation and weights of losses. What
 * is "auto" becomes the method's own value; a setting that the chosen method does not
 * have stays "auto", and is refused when somebody gives it. Values are those of the
 * published recipes (docs/methods.md), MoCo v2's as tuned for small pictures and short
 * runs. What values must be among each other the method itself checks (src/learn), before
 * a run begins.
 */
#include "api_int.h"

#include <string.h>

enum {
    SHORT_RUN_STEPS = 20000, /* below it MoCo v2's key encoder follows faster */
    QUEUE_MOST = 65536,
    CLASSES_UNKNOWN = 1000 /* of plan and bench, which have no data: ImageNet's */
};

/* What the published recipes differ in. 0 = has no such thing. */
struct constants {
    const char *method;
    int dim, hidden;
    double distill_temperature;
    const char *distill, *width_weights;
    const char *aug;
};
static const struct constants published[] = {
    {"mocov2", 128, 0, 5.0, "seed", "dominant", "mocov2"},
    {"mocov3", 256, 4096, 1.0, "seed", "dominant", "mocov3"},
    {"simclr", 128, 2048, 5.0, "seed", "dominant", "simclr"},
    {"supervised", 0, 0, 1.0, "none", "uniform", "supervised"},
};

static const struct constants *constants_of(const struct sl_conf *conf)
{
    const char *method = sl_conf_text(conf, "method");
    for (int i = 0; i < SL_COUNT(published); i++) {
        if (strcmp(published[i].method, method) == 0) {
            return &published[i];
        }
    }
    SL_ASSERT(false); /* the key's choices are the methods */
    return &published[0];
}

static bool is_auto(const struct sl_conf *conf, const char *key)
{
    return sl_conf_is_auto(conf, key) || strcmp(sl_conf_text(conf, key), "auto") == 0;
}

/* Fills in what the method has; refuses what it has not. */
static enum sl_status settle(struct sl_error *err, struct sl_conf *conf, const char *key,
                             bool has, const char *what, const char *initial)
{
    if (!has && !is_auto(conf, key)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--%s %s: --method %s has no %s; leave one of them out", key,
                       sl_conf_text(conf, key), sl_conf_text(conf, "method"), what);
    }
    return has && is_auto(conf, key) ? api_resolve(err, conf, key, initial) : SL_OK;
}

static enum sl_status settle_int(struct sl_error *err, struct sl_conf *conf,
                                 const char *key, bool has, const char *what,
                                 int64_t initial)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)initial);
    return settle(err, conf, key, has, what, text);
}

static enum sl_status settle_real(struct sl_error *err, struct sl_conf *conf,
                                  const char *key, bool has, const char *what,
                                  double initial, double *value)
{
    SL_TRY(settle(err, conf, key, has, what, "auto"));
    if (has) {
        SL_TRY(api_default_real(err, conf, key, initial));
        *value = sl_conf_real(conf, key);
    }
    return SL_OK;
}

/* ---- queue, target, temperature ---------------------------------------------------- */

/* The largest multiple of the batch up to min(65536, N/4), at least one batch. */
static int64_t queue_length(int64_t count, int64_t batch)
{
    int64_t most = count > 0 && count / 4 < QUEUE_MOST ? count / 4 : QUEUE_MOST;
    int64_t queue = most / batch * batch;
    return queue >= batch ? queue : batch;
}

static enum sl_status resolve_queue(struct sl_error *err, struct sl_conf *conf,
                                    const struct api_pictures *pictures,
                                    struct sl_trainer_config *trainer)
{
    const struct sl_method_info *info = sl_method_info(trainer->method);
    int64_t batch = sl_conf_int(conf, "batch-size");
    SL_TRY(settle_int(err, conf, "moco-k", info->has_queue, "queue",
                      queue_length(pictures->count, batch)));
    if (!info->has_queue) {
        return SL_OK;
    }
    trainer->queue = sl_conf_int(conf, "moco-k");
    if (pictures->count > 0 && trainer->queue > pictures->count) {
        sl_log(SL_LOG_WARNING,
               "--moco-k %lld: the queue is longer than the data (%lld picture%s), so "
               "that every picture meets its own older keys as negatives; auto takes a "
               "quarter of the data",
               (long long)trainer->queue, (long long)pictures->count,
               sl_plural((double)pictures->count));
    }
    return SL_OK;
}

static enum sl_status resolve_constants(struct sl_error *err, struct sl_conf *conf,
                                        const struct api_pictures *pictures,
                                        struct sl_trainer_config *trainer)
{
    const struct sl_method_info *info = sl_method_info(trainer->method);
    bool small = sl_conf_int(conf, "image-size") <= API_SMALL_SIDE;
    bool is_short = trainer->total_steps < SHORT_RUN_STEPS && pictures->count > 0;
    bool is_mocov2 = info->has_queue;
    double temperature = info->head == SL_HEAD_SIMCLR ? 0.1
                         : !is_mocov2                 ? 1.0
                         : small                      ? 0.1
                                                      : 0.2;
    SL_TRY(resolve_queue(err, conf, pictures, trainer));
    SL_TRY(settle_real(err, conf, "moco-m", info->has_target, "key encoder",
                       is_mocov2 && !is_short ? 0.999 : 0.99, &trainer->ema_momentum));
    SL_TRY(settle(err, conf, "moco-m-cos", info->has_target, "key encoder",
                  is_mocov2 ? "no" : "yes"));
    trainer->ema_cosine = strcmp(sl_conf_text(conf, "moco-m-cos"), "yes") == 0;
    SL_TRY(settle_real(err, conf, "moco-t", !info->has_labels, "temperature", temperature,
                       &trainer->temperature));
    trainer->bn_splits = (int)sl_conf_int(conf, "bn-splits");
    return SL_OK;
}

/* ---- the head ---------------------------------------------------------------------- */

static enum sl_status resolve_classes(struct sl_error *err, struct sl_conf *conf,
                                      const struct api_pictures *pictures, bool has)
{
    if (has && pictures->count > 0 &&
        (pictures->n_classes == 0 || pictures->n_unlabelled > 0)) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "--method supervised: %lld of %lld pictures have no label; give "
                       "data with a directory for each class, or labels in its list",
                       (long long)(pictures->n_classes == 0 ? pictures->count
                                                            : pictures->n_unlabelled),
                       (long long)pictures->count);
    }
    SL_TRY(settle_int(err, conf, "classes", has, "classifier",
                      pictures->n_classes > 0 ? pictures->n_classes : CLASSES_UNKNOWN));
    if (has && sl_conf_int(conf, "classes") < pictures->n_classes) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--classes %lld: the data has %d; leave it out",
                       (long long)sl_conf_int(conf, "classes"), pictures->n_classes);
    }
    return SL_OK;
}

static enum sl_status resolve_head(struct sl_error *err, struct sl_conf *conf,
                                   const struct api_pictures *pictures,
                                   const struct constants *own,
                                   const struct sl_method_info *info)
{
    if (strcmp(sl_conf_text(conf, "head"), "classifiers") == 0) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--head classifiers is of fine-tuned checkpoints; `pretrain` takes "
            "mlp, switch or linear");
    }
    SL_TRY(
        settle(err, conf, "head", info->head == SL_HEAD_MLP, "choice of heads", "mlp"));
    SL_TRY(settle_int(err, conf, "moco-dim", own->dim > 0, "embedding", own->dim));
    SL_TRY(settle_int(err, conf, "moco-mlp-dim", own->hidden > 0,
                      "projector with a hidden size, nor a predictor", own->hidden));
    return resolve_classes(err, conf, pictures, info->has_labels);
}

void api_settings_head(const struct sl_conf *conf, struct sl_resnet_config *resnet)
{
    const struct sl_method_info *info =
        sl_method_info(sl_method_find(sl_conf_text(conf, "method")));
    const char *head = sl_conf_text(conf, "head");
    const char *dim = info->has_labels ? "classes" : "moco-dim";
    resnet->head = strcmp(head, "linear") == 0        ? SL_HEAD_LINEAR
                   : strcmp(head, "switch") == 0      ? SL_HEAD_SWITCH
                   : strcmp(head, "classifiers") == 0 ? SL_HEAD_CLASSIFIERS
                                                      : info->head;
    resnet->dim = (int)sl_conf_int(conf, dim);
    if (!sl_conf_is_auto(conf, "moco-mlp-dim")) {
        resnet->hidden = (int)sl_conf_int(conf, "moco-mlp-dim");
    }
}

/* ---- distillation and weights ------------------------------------------------------ */

static enum sl_distill distill_of(const char *word)
{
    static const struct {
        const char *word;
        enum sl_distill kind;
    } kinds[] = {
        {"seed", SL_DISTILL_SEED},
        {"inplace", SL_DISTILL_INPLACE},
        {"mse-embedding", SL_DISTILL_MSE_EMBEDDING},
        {"mse-logits", SL_DISTILL_MSE_LOGITS},
        {"atkd", SL_DISTILL_ATKD},
        {"dkd", SL_DISTILL_DKD},
    };
    for (int i = 0; i < SL_COUNT(kinds); i++) {
        if (strcmp(kinds[i].word, word) == 0) {
            return kinds[i].kind;
        }
    }
    return SL_DISTILL_NONE;
}

static enum sl_status resolve_distill(struct sl_error *err, struct sl_conf *conf,
                                      const struct constants *own,
                                      struct sl_trainer_config *trainer)
{
    const struct sl_method_info *info = sl_method_info(trainer->method);
    SL_TRY(settle(err, conf, "distill", true, "", own->distill));
    trainer->distill = distill_of(sl_conf_text(conf, "distill"));
    bool all_larger = strcmp(sl_conf_text(conf, "teachers"), "all-larger") == 0;
    trainer->teachers = all_larger ? SL_TEACHERS_ALL_LARGER : SL_TEACHERS_FULL;
    /* In supervised training the full width's soft-max stands instead of the labels. */
    SL_TRY(api_default_real(err, conf, "distill-weight", info->has_labels ? 1.0 : 0.5));
    SL_TRY(api_default_real(err, conf, "distill-temp", own->distill_temperature));
    bool is_none = trainer->distill == SL_DISTILL_NONE;
    bool is_soft =
        trainer->distill == SL_DISTILL_SEED || trainer->distill == SL_DISTILL_INPLACE;
    if (is_none) {
        SL_TRY(api_refuse_idle(err, conf, "teachers", "distill", "teachers"));
        SL_TRY(api_refuse_idle(err, conf, "distill-weight", "distill", "weight"));
    }
    if (!is_soft) { /* the other forms have no temperature, or a fixed one */
        SL_TRY(api_refuse_idle(err, conf, "distill-temp", "distill",
                               "temperature to choose"));
    }
    trainer->distill_weight = is_none ? 0.0 : sl_conf_real(conf, "distill-weight");
    trainer->distill_temperature = sl_conf_real(conf, "distill-temp");
    return SL_OK;
}

/* What is there whatever the method, but changes nothing in this one. */
static enum sl_status refuse_idle(struct sl_error *err, const struct sl_conf *conf,
                                  const struct sl_method_info *info)
{
    if (info->has_labels) {
        SL_TRY(api_refuse_idle(err, conf, "stop-on-collapse", "method",
                               "contrast that could collapse"));
    }
    if (info->n_views < 2) {
        SL_TRY(api_refuse_idle(err, conf, "aug-blur-2", "method", "second view"));
        SL_TRY(api_refuse_idle(err, conf, "aug-solarise-2", "method", "second view"));
    }
    return SL_OK;
}

/* What a network of one width has nothing to do with; a word that asks for nothing may
 * stand, as in "--distill none". */
static enum sl_status refuse_company(struct sl_error *err, const struct sl_conf *conf)
{
    static const struct {
        const char *key, *nothing;
    } keys[] = {
        {"slow-start", "0"},          {"slow-start-lr", ""},
        {"distill", "none"},          {"teachers", ""},
        {"distill-weight", "0"},      {"distill-temp", ""},
        {"width-weights", "uniform"}, {"update", "joint"},
        {"slices", "nested"},
    };
    for (int i = 0; i < SL_COUNT(keys); i++) {
        if (strcmp(sl_conf_text(conf, keys[i].key), keys[i].nothing) != 0) {
            SL_TRY(api_refuse_idle(err, conf, keys[i].key, "widths", "narrower width"));
        }
    }
    return SL_OK;
}

/* ---- all of it --------------------------------------------------------------------- */

enum sl_status api_settings_method(struct sl_error *err, struct sl_conf *conf,
                                   const struct api_pictures *pictures,
                                   struct sl_trainer_config *trainer)
{
    const struct constants *own = constants_of(conf);
    trainer->method = sl_method_find(own->method);
    const struct sl_method_info *info = sl_method_info(trainer->method);
    SL_TRY(resolve_head(err, conf, pictures, own, info));
    SL_TRY(resolve_constants(err, conf, pictures, trainer));
    SL_TRY(resolve_distill(err, conf, own, trainer));
    SL_TRY(refuse_idle(err, conf, info));
    if (strchr(sl_conf_text(conf, "widths"), ',') == NULL) {
        SL_TRY(refuse_company(err, conf));
    }
    SL_TRY(settle(err, conf, "width-weights", true, "", own->width_weights));
    /* The control trains all widths from the start. */
    if (info->has_labels && sl_conf_origin(conf, "slow-start") == SL_FROM_DEFAULT) {
        SL_TRY(api_resolve(err, conf, "slow-start", "0"));
    }
    return SL_OK;
}

enum sl_status api_settings_aug(struct sl_error *err, struct sl_conf *conf)
{
    return settle(err, conf, "aug", true, "", constants_of(conf)->aug);
}
