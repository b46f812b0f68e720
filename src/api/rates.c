/* SPDX-License-Identifier: MIT */
/*
 * Settings of the update: rule, learning rate and its schedule, decay, slow start. What
 * is "auto" becomes the rule's own value; a setting that the chosen rule or schedule does
 * not have stays "auto", and is refused when somebody gives it.
 */
#include "api_int.h"

#include <math.h>
#include <string.h>

/* Defaults of a rule. Rates: MoCo v2's, as tuned for small pictures; MoCo v3's for
 * ResNet-50; PyTorch's own for AdamW. */
struct rule {
    const char *name;
    enum sl_optimizer optimizer;
    double base_lr;
    double decay_small, decay_large;
    bool exclude_vectors;
};
static const struct rule rules[] = {
    {"sgd", SL_OPTIMIZER_SGD, 0.06, 5e-4, 1e-4, false},
    {"lars", SL_OPTIMIZER_LARS, 0.3, 1e-6, 1e-6, true},
    {"adamw", SL_OPTIMIZER_ADAMW, 0.001, 0.01, 0.01, false},
};

/* What the published recipe of a method differs in (docs/methods.md); its rate belongs to
 * its own rule. */
struct own_rates {
    const char *method, *optimizer;
    double base_lr; /* 0 = the rule's */
    double decay;   /* 0 = the rule's */
    double warmup;  /* share of the run */
};
static const struct own_rates own_rates[] = {
    {"mocov2", "sgd", 0.0, 0.0, 0.05},
    {"mocov3", "lars", 0.0, 0.0, 0.033},
    {"simclr", "lars", 0.0, 0.0, 0.1},
    {"supervised", "sgd", 0.1, 1e-4, 0.05},
};

static const struct own_rates *own_rates_of(const struct sl_conf *conf)
{
    for (int i = 0; i < SL_COUNT(own_rates); i++) {
        if (strcmp(own_rates[i].method, sl_conf_text(conf, "method")) == 0) {
            return &own_rates[i];
        }
    }
    SL_ASSERT(false); /* the key's choices are the methods */
    return &own_rates[0];
}

/* The rate for 256 pictures; SimCLR's with its own rule goes by the root of the batch:
 * lr = 0.075 sqrt(B). */
static double base_rate(const struct sl_conf *conf, const struct rule *rule)
{
    const struct own_rates *own = own_rates_of(conf);
    double batch = (double)sl_conf_int(conf, "batch-size");
    if (strcmp(own->optimizer, rule->name) != 0) {
        return rule->base_lr;
    }
    if (strcmp(own->method, "simclr") == 0) {
        return 0.075 * sqrt(batch) * 256.0 / batch;
    }
    return own->base_lr > 0.0 ? own->base_lr : rule->base_lr;
}

static double default_decay(const struct sl_conf *conf, const struct rule *rule,
                            bool small)
{
    const struct own_rates *own = own_rates_of(conf);
    bool is_own = own->decay > 0.0 && strcmp(own->optimizer, rule->name) == 0;
    return is_own ? own->decay : small ? rule->decay_small : rule->decay_large;
}

/* ---- the rule ---------------------------------------------------------------------- */

/* Fills in a number that only some rules have. */
static enum sl_status number_of(struct sl_error *err, struct sl_conf *conf,
                                const struct rule *rule, const char *key, bool has,
                                double initial, double *value)
{
    if (has) {
        SL_TRY(api_default_real(err, conf, key, initial));
        *value = sl_conf_real(conf, key);
        return SL_OK;
    }
    if (!sl_conf_is_auto(conf, key)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--%s %s: --optimizer %s has no such number; leave one of them "
                       "out",
                       key, sl_conf_text(conf, key), rule->name);
    }
    return SL_OK;
}

static enum sl_status resolve_rule(struct sl_error *err, struct sl_conf *conf, bool small,
                                   const struct rule **found,
                                   struct sl_optim_config *optim)
{
    const struct rule *rule = &rules[0];
    if (strcmp(sl_conf_text(conf, "optimizer"), "auto") == 0) {
        SL_TRY(api_resolve(err, conf, "optimizer", own_rates_of(conf)->optimizer));
    }
    for (int i = 0; i < SL_COUNT(rules); i++) {
        if (strcmp(sl_conf_text(conf, "optimizer"), rules[i].name) == 0) {
            rule = &rules[i];
        }
    }
    *found = rule;
    *optim = (struct sl_optim_config){.optimizer = rule->optimizer};
    bool is_adamw = rule->optimizer == SL_OPTIMIZER_ADAMW;
    SL_TRY(number_of(err, conf, rule, "momentum", !is_adamw, 0.9, &optim->momentum));
    SL_TRY(number_of(err, conf, rule, "adam-beta1", is_adamw, 0.9, &optim->beta1));
    SL_TRY(number_of(err, conf, rule, "adam-beta2", is_adamw, 0.999, &optim->beta2));
    SL_TRY(number_of(err, conf, rule, "adam-epsilon", is_adamw, 1e-8, &optim->epsilon));
    SL_TRY(api_default_real(err, conf, "weight-decay", default_decay(conf, rule, small)));
    optim->weight_decay = sl_conf_real(conf, "weight-decay");
    if (strcmp(sl_conf_text(conf, "exclude-bias-n-norm-wd"), "auto") == 0) {
        SL_TRY(api_resolve(err, conf, "exclude-bias-n-norm-wd",
                           rule->exclude_vectors ? "yes" : "no"));
    }
    optim->exclude_vectors =
        strcmp(sl_conf_text(conf, "exclude-bias-n-norm-wd"), "yes") == 0;
    return SL_OK;
}

/* ---- the learning rate ------------------------------------------------------------- */

static enum sl_status resolve_peak(struct sl_error *err, struct sl_conf *conf,
                                   const struct rule *rule)
{
    static const char *const keys[] = {"lr", "base-lr", "slow-start-lr"};
    double batch = (double)sl_conf_int(conf, "batch-size");
    for (int i = 0; i < SL_COUNT(keys); i++) {
        if (!sl_conf_is_auto(conf, keys[i]) && !(sl_conf_real(conf, keys[i]) > 0.0)) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--%s %s: at this rate nothing is learned; give more than 0",
                           keys[i], sl_conf_text(conf, keys[i]));
        }
    }
    if (!sl_conf_is_auto(conf, "lr") && !sl_conf_is_auto(conf, "base-lr") &&
        fabs(sl_conf_real(conf, "lr") - sl_conf_real(conf, "base-lr") * batch / 256.0) >
            1e-9 * sl_conf_real(conf, "lr")) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--lr and --base-lr contradict each other; give one of them");
    }
    if (sl_conf_is_auto(conf, "lr")) {
        SL_TRY(api_default_real(err, conf, "base-lr", base_rate(conf, rule)));
        SL_TRY(api_default_real(err, conf, "lr",
                                sl_conf_real(conf, "base-lr") * batch / 256.0));
    } else {
        SL_TRY(api_default_real(err, conf, "base-lr",
                                sl_conf_real(conf, "lr") * 256.0 / batch));
    }
    return api_default_real(err, conf, "slow-start-lr", sl_conf_real(conf, "lr"));
}

static enum sl_lr_schedule schedule_of(const char *word)
{
    return strcmp(word, "constant") == 0       ? SL_LR_CONSTANT
           : strcmp(word, "step") == 0         ? SL_LR_STEP
           : strcmp(word, "cosine-epoch") == 0 ? SL_LR_EPOCH_COSINE
                                               : SL_LR_COSINE;
}

/* The milestones of --lr-schedule step, which no other schedule has. */
static enum sl_status resolve_milestones(struct sl_error *err, const struct sl_conf *conf,
                                         const struct api_pictures *pictures,
                                         const struct api_settings *settings,
                                         struct sl_lr_config *lr)
{
    const char *text = sl_conf_text(conf, "lr-milestones");
    if (lr->schedule != SL_LR_STEP) {
        return text[0] == '\0'
                   ? SL_OK
                   : SL_FAIL(
                         err, SL_ERROR_USAGE,
                         "--lr-milestones %s: --lr-schedule %s has none; leave one of "
                         "them out",
                         text, sl_conf_text(conf, "lr-schedule"));
    }
    if (text[0] == '\0') {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--lr-schedule step needs --lr-milestones, the epochs from which "
                       "the rate is a tenth, as 60,80");
    }
    struct sl_lr_config parsed = *lr;
    if (pictures->count == 0 && !sl_conf_is_auto(conf, "steps")) {
        parsed.total_steps = 0; /* without data, --steps is no length in epochs */
    }
    SL_TRY(sl_milestones_parse(err, text, (double)settings->steps_per_epoch, &parsed));
    parsed.total_steps = lr->total_steps;
    *lr = parsed;
    return SL_OK;
}

/* Without data a run of --steps has no length in epochs. */
static bool is_length_known(const struct sl_conf *conf,
                            const struct api_pictures *pictures,
                            const struct api_settings *settings)
{
    return settings->trainer.total_steps > 0 &&
           (pictures->count > 0 || sl_conf_is_auto(conf, "steps"));
}

/* A rate that rises beyond the end of the run never comes near what was asked for. A
 * recipe's is for its own length, and a shorter trial of it may stay in its warm-up. */
static enum sl_status check_warmup(struct sl_error *err, const struct sl_conf *conf,
                                   const struct api_pictures *pictures,
                                   const struct api_settings *settings)
{
    double warmup = sl_conf_real(conf, "warmup-epochs");
    if (!is_length_known(conf, pictures, settings) || warmup < settings->epochs) {
        return SL_OK;
    }
    if (sl_conf_origin(conf, "warmup-epochs") == SL_FROM_RECIPE) {
        sl_log(SL_LOG_WARNING,
               "the recipe's warm-up of %g epochs is longer than the run (%.4g): the "
               "rate stays below %g; for a shorter run give --warmup-epochs too",
               warmup, settings->epochs, sl_conf_real(conf, "lr"));
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "--warmup-epochs %s: the run ends at epoch %.4g, and the rate would "
                   "rise all the way; give less",
                   sl_conf_text(conf, "warmup-epochs"), settings->epochs);
}

static enum sl_status resolve_schedule(struct sl_error *err, struct sl_conf *conf,
                                       const struct api_pictures *pictures,
                                       struct api_settings *settings)
{
    struct sl_trainer_config *trainer = &settings->trainer;
    double per_epoch = (double)settings->steps_per_epoch;
    enum sl_lr_schedule schedule = schedule_of(sl_conf_text(conf, "lr-schedule"));
    bool by_epoch = schedule == SL_LR_EPOCH_COSINE;
    SL_TRY(
        api_default_real(err, conf, "warmup-epochs",
                         by_epoch ? 0.0 : own_rates_of(conf)->warmup * settings->epochs));
    double warmup = sl_conf_real(conf, "warmup-epochs");
    if (by_epoch && warmup > 0.0) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--warmup-epochs %s: --lr-schedule cosine-epoch has no warm-up; "
                       "leave it out, or take --lr-schedule cosine",
                       sl_conf_text(conf, "warmup-epochs"));
    }
    SL_TRY(check_warmup(err, conf, pictures, settings));
    trainer->lr = (struct sl_lr_config){
        .schedule = schedule,
        .peak = sl_conf_real(conf, "lr"),
        .second_peak = sl_conf_real(conf, "slow-start-lr"),
        .second_from =
            trainer->slow_start_step > 0 ? trainer->slow_start_step : INT64_MAX,
        .warmup_steps = warmup * per_epoch,
        .total_steps = trainer->total_steps,
        .epoch_steps = settings->steps_per_epoch,
    };
    return resolve_milestones(err, conf, pictures, settings, &trainer->lr);
}

/* ---- slow start -------------------------------------------------------------------- */

/* Narrow widths that join at the end of the run, or after it, are never trained. */
static enum sl_status check_slow_start(struct sl_error *err, const struct sl_conf *conf,
                                       const struct api_pictures *pictures,
                                       struct api_settings *settings)
{
    struct sl_trainer_config *trainer = &settings->trainer;
    if (!is_length_known(conf, pictures, settings) ||
        trainer->slow_start_step < trainer->total_steps) {
        return SL_OK;
    }
    if (sl_conf_origin(conf, "slow-start") == SL_FROM_DEFAULT) {
        trainer->slow_start_step = 0; /* a run of one step has no half */
        return SL_OK;
    }
    return SL_FAIL(
        err, SL_ERROR_USAGE,
        "--slow-start %s: the narrow widths would join after step %lld, but the run ends "
        "after step %lld and never trains them; give less (50%% is half of the run, 0 "
        "trains all widths from the start)",
        sl_conf_text(conf, "slow-start"), (long long)trainer->slow_start_step,
        (long long)trainer->total_steps);
}

enum sl_status api_settings_rates(struct sl_error *err, struct sl_conf *conf,
                                  const struct api_pictures *pictures,
                                  struct api_settings *settings)
{
    struct sl_trainer_config *trainer = &settings->trainer;
    bool small = settings->resnet.image_size <= API_SMALL_SIDE;
    const struct rule *rule = NULL;
    SL_TRY(resolve_rule(err, conf, small, &rule, &trainer->optim));
    SL_TRY(resolve_peak(err, conf, rule));
    SL_TRY(sl_slow_start_parse(err, sl_conf_text(conf, "slow-start"), settings->epochs,
                               (double)settings->steps_per_epoch,
                               &trainer->slow_start_step));
    if (settings->resnet.widths.n == 1) {
        trainer->slow_start_step = 0; /* nobody joins, and the rate has no second part */
    } else if (trainer->slow_start_step == 0 && trainer->total_steps > 0) {
        SL_TRY(api_refuse_idle(err, conf, "slow-start-lr", "slow-start", "second rate"));
    }
    SL_TRY(check_slow_start(err, conf, pictures, settings));
    return resolve_schedule(err, conf, pictures, settings);
}
