/* SPDX-License-Identifier: MIT */
/*
 * `slimclr eval linear`: the quick probe on cached features, and beside it, when asked
 * for, the same taught by the full width's probe and the probe of the paper. Each is
 * reported under its own name, so that a number always means the same thing.
 */
#include "evaluate_int.h"

#include <math.h>
#include <string.h>

/* How a probe is trained. */
struct rates {
    int epochs, batch;
    double lr, momentum, weight_decay;
    bool cosine; /* else x 0.1 at 60 % and 80 % of the epochs */
};

static const struct rates quick_rates = {
    .epochs = 100, .batch = 256, .lr = 0.1, .momentum = 0.9, .cosine = true};

/* Of the scripts released with SlimCLR, by the method that trained the model. */
static const struct published {
    const char *method, *rates_of; /* another one's, where the method has none */
    struct rates rates;
} published[] = {
    {"mocov2", "mocov2", {.epochs = 100, .batch = 1024, .lr = 60.0, .momentum = 0.9}},
    {"mocov3",
     "mocov3",
     {.epochs = 90, .batch = 1024, .lr = 0.4, .momentum = 0.9, .cosine = true}},
    {"simclr",
     "simclr",
     {.epochs = 90,
      .batch = 1024,
      .lr = 0.4,
      .momentum = 0.9,
      .weight_decay = 1e-6,
      .cosine = true}},
    {"supervised", "mocov3", {0}},
};

static const double PAPER_CROP_MIN = 0.08;
static const char paper_note[] =
    "differs from the paper, which reports the epoch with the best full-width top-1 on "
    "the test part: here it is the last; its rates are for ResNet-50 on ImageNet, "
    "another net may want another --probe-lr";

struct linear {
    struct api_judge *judge;
    struct rates quick, paper;
    const char *paper_method;
    double seconds_a_picture; /* of the pass over the features, all widths */
};

/* ---- settings ---------------------------------------------------------------------- */

/* What the user says about the probe. */
static void override_rates(const struct sl_conf *conf, struct rates *rates)
{
    const struct {
        const char *key;
        double *field;
    } reals[] = {{"probe-lr", &rates->lr},
                 {"probe-momentum", &rates->momentum},
                 {"probe-weight-decay", &rates->weight_decay}};
    for (int i = 0; i < SL_COUNT(reals); i++) {
        if (!sl_conf_is_auto(conf, reals[i].key)) {
            *reals[i].field = sl_conf_real(conf, reals[i].key);
        }
    }
    if (!sl_conf_is_auto(conf, "probe-epochs")) {
        rates->epochs = (int)sl_conf_int(conf, "probe-epochs");
    }
    if (!sl_conf_is_auto(conf, "probe-batch")) {
        rates->batch = (int)sl_conf_int(conf, "probe-batch");
    }
    if (!sl_conf_is_auto(conf, "probe-schedule")) {
        rates->cosine = strcmp(sl_conf_text(conf, "probe-schedule"), "cosine") == 0;
    }
}

static const struct published *published_of(const char *method)
{
    for (int i = 0; i < SL_COUNT(published); i++) {
        if (strcmp(published[i].method, method) == 0) {
            return strcmp(published[i].rates_of, method) == 0
                       ? &published[i]
                       : published_of(published[i].rates_of);
        }
    }
    return NULL;
}

const char *api_linear_rates_of(const char *method)
{
    const struct published *found = published_of(method);
    return found != NULL ? found->method : NULL;
}

/* With --as-paper the user's words are for the paper's probe, and the quick one beside it
 * stays what it always is. */
static void settle(struct linear *linear)
{
    const struct sl_conf *conf = linear->judge->conf;
    const char *method = sl_conf_text(linear->judge->model.conf, "method");
    const struct published *own = published_of(method);
    SL_ASSERT(own != NULL); /* every method has a row: tests/unit/method_tables.c */
    linear->quick = quick_rates;
    linear->paper = own->rates;
    linear->paper_method = own->method;
    override_rates(conf,
                   sl_conf_bool(conf, "as-paper") ? &linear->paper : &linear->quick);
}

/* Teaching needs the full width's probe, and somebody to teach. The paper's probe of one
 * width alone is that of a plain network. */
static enum sl_status check_teacher(struct sl_error *err, const struct api_judge *judge)
{
    const struct sl_conf *conf = judge->conf;
    bool distill = sl_conf_bool(conf, "probe-distill");
    bool as_paper = sl_conf_bool(conf, "as-paper");
    if ((distill || as_paper) && judge->widths[0] != 0) {
        const char *option = as_paper ? "as-paper" : "probe-distill";
        char full[16];
        sl_multiplier_text(judge->model.net->widths.at[0], full, sizeof full);
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--widths %s: with --%s the probes learn from that of width %s; "
                       "list it too, or leave --%s out",
                       sl_conf_text(conf, "widths"), option, full, option);
    }
    if (distill && judge->n_widths == 1) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--probe-distill: one width has nobody to teach; leave it out, or "
                       "judge more widths");
    }
    return SL_OK;
}

/* ---- the probes -------------------------------------------------------------------- */

static enum sl_status may_go_on(struct sl_error *err, void *context, int epoch,
                                struct sl_features *features)
{
    const struct linear *linear = context;
    (void)features;
    if (api_stop_requested(linear->judge->hooks)) {
        return SL_FAIL(err, SL_STOPPED,
                       "stopped after %d epochs of the probe; nothing was written",
                       epoch);
    }
    return SL_OK;
}

/* The rows of a width in place of the cached ones, as long as they are of the same
 * pictures in the same order: the probe goes on with the labels that it has. */
static enum sl_status take_fresh(struct sl_error *err, int epoch,
                                 const struct sl_features *fresh,
                                 struct sl_features *cached)
{
    size_t ids = (size_t)cached->n * sizeof *cached->ids;
    if (fresh->n != cached->n || memcmp(fresh->ids, cached->ids, ids) != 0) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "--as-paper: %lld of the %lld train pictures could be read in epoch "
            "%d of the probe; leave out those that `slimclr check` finds "
            "damaged, or let nothing change the data meanwhile",
            (long long)fresh->n, (long long)cached->n, epoch);
    }
    memcpy(cached->values, fresh->values,
           (size_t)(cached->n * cached->d) * sizeof *cached->values);
    return SL_OK;
}

/* As the paper, view "normal": each epoch sees other crops and flips of the train
 * pictures, all widths the same. Only those that gave cached features are read: one view
 * may refuse a picture that another takes. */
static enum sl_status fresh_views(struct sl_error *err, void *context, int epoch,
                                  struct sl_features *features)
{
    const struct linear *linear = context;
    struct api_judge *judge = linear->judge;
    const struct sl_frozen model = api_judge_frozen(judge);
    struct sl_features_config config = judge->train_config;
    struct sl_features fresh[SL_WIDTHS_MAX] = {{0}};
    enum sl_status status = SL_OK;
    int64_t bad = 0;
    config.epoch = (uint32_t)epoch;
    config.subset = features[0].ids;
    config.n_subset = features[0].n;
    config.recipe = api_judge_crops(judge, PAPER_CROP_MIN);
    SL_TRY(sl_features_compute(err, &model, &config, judge->widths, judge->n_widths,
                               fresh, &bad));
    judge->passed += sl_source_count(judge->train);
    for (int i = 0; i < judge->n_widths; i++) {
        status =
            status == SL_OK ? take_fresh(err, epoch, &fresh[i], &features[i]) : status;
        sl_features_finish(&fresh[i]);
    }
    return status;
}

static enum sl_status train(struct sl_error *err, struct linear *linear,
                            const struct rates *rates, bool distill, bool as_paper,
                            struct sl_probe_result *result)
{
    struct api_judge *judge = linear->judge;
    return sl_linear_probe(err, &judge->model.device,
                           &(struct sl_probe_config){
                               .n_classes = judge->classes,
                               .epochs = rates->epochs,
                               .batch = rates->batch,
                               .lr = rates->lr,
                               .momentum = rates->momentum,
                               .weight_decay = rates->weight_decay,
                               .cosine = rates->cosine,
                               .distill = distill,
                               .standardise = !as_paper,
                               .normal_start = as_paper,
                               .seed = (uint64_t)sl_conf_int(judge->conf, "seed"),
                               .before_epoch = as_paper ? fresh_views : may_go_on,
                               .context = linear,
                           },
                           judge->n_widths, judge->train_features, judge->test_features,
                           result);
}

static slim_probe_score probe_score(const struct sl_probe_result *result, int i)
{
    return (slim_probe_score){.acc1 = result->switchable[i].acc1,
                              .acc5 = result->switchable[i].acc5,
                              .slim_acc1 = result->slimmable[i].acc1,
                              .slim_acc5 = result->slimmable[i].acc5};
}

static void say_paper(const struct linear *linear)
{
    const struct api_judge *judge = linear->judge;
    const struct rates *paper = &linear->paper;
    const char *method = sl_conf_text(judge->model.conf, "method");
    double seconds =
        linear->seconds_a_picture * paper->epochs * (double)sl_source_count(judge->train);
    bool is_short = seconds < 120.0;
    double shown = fmax(1.0, rint(is_short ? seconds : seconds / 60.0));
    sl_log(SL_LOG_INFO,
           "probe:  as the paper: rates of %s%s: lr %g, %s over %d epochs, batch %d; "
           "crops of 8 to 100 %% and flips, anew in each epoch: about %.0f %s%s",
           linear->paper_method,
           strcmp(method, linear->paper_method) == 0 ? "" : " (the method has none)",
           paper->lr, paper->cosine ? "cosine" : "x 0.1 at 60 and 80 %", paper->epochs,
           paper->batch, shown, is_short ? "second" : "minute", sl_plural(shown));
}

static enum sl_status judge_linear(struct sl_error *err, struct linear *linear,
                                   slim_scores *scores)
{
    struct api_judge *judge = linear->judge;
    const struct sl_conf *conf = judge->conf;
    struct sl_probe_result result;
    bool as_paper = sl_conf_bool(conf, "as-paper");
    settle(linear);
    if (as_paper) {
        judge->to_pass += linear->paper.epochs * sl_source_count(judge->train);
    }
    double start = sl_clock();
    SL_TRY(api_judge_features(err, judge));
    linear->seconds_a_picture =
        judge->passed > 0 ? (sl_clock() - start) / (double)judge->passed : 0.0;
    api_judge_fill(judge, scores);
    SL_TRY(train(err, linear, &linear->quick, false, false, &result));
    for (int i = 0; i < judge->n_widths; i++) {
        slim_probe_score score = probe_score(&result, i);
        scores->width[i].acc1 = score.acc1;
        scores->width[i].acc5 = score.acc5;
        scores->width[i].slim_acc1 = score.slim_acc1;
        scores->width[i].slim_acc5 = score.slim_acc5;
    }
    if (sl_conf_bool(conf, "probe-distill")) {
        SL_TRY(train(err, linear, &linear->quick, true, false, &result));
        scores->has_distill = true;
        for (int i = 0; i < judge->n_widths; i++) {
            scores->width[i].distill = probe_score(&result, i);
        }
    }
    if (as_paper) { /* last: it writes over the cached features */
        say_paper(linear);
        SL_TRY(train(err, linear, &linear->paper, true, true, &result));
        scores->has_paper = true;
        (void)sl_text_copy(scores->note, sizeof scores->note, paper_note);
        for (int i = 0; i < judge->n_widths; i++) {
            scores->width[i].paper = probe_score(&result, i);
        }
    }
    return SL_OK;
}

/* ---- the result -------------------------------------------------------------------- */

static json_t *rates_json(const struct rates *rates)
{
    json_t *object = json_object();
    json_object_set_new(object, "epochs", json_integer(rates->epochs));
    json_object_set_new(object, "batch", json_integer(rates->batch));
    json_object_set_new(object, "lr", json_real(rates->lr));
    json_object_set_new(object, "momentum", json_real(rates->momentum));
    json_object_set_new(object, "weight_decay", json_real(rates->weight_decay));
    json_object_set_new(object, "schedule",
                        json_string(rates->cosine ? "cosine" : "step"));
    return object;
}

static void add_score(json_t *row, const char *prefix, const slim_probe_score *score)
{
    const struct {
        const char *name;
        double value;
    } fields[] = {{"acc1", score->acc1},
                  {"acc5", score->acc5},
                  {"slim_acc1", score->slim_acc1},
                  {"slim_acc5", score->slim_acc5}};
    for (int i = 0; i < SL_COUNT(fields); i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s%s", prefix, fields[i].name);
        json_object_set_new(row, key, api_judge_fraction(fields[i].value));
    }
}

static json_t *linear_json(const struct linear *linear, const slim_scores *scores)
{
    json_t *root = api_judge_json(linear->judge, "linear", scores);
    json_object_set_new(root, "epochs", json_integer(linear->quick.epochs));
    json_object_set_new(root, "lr", json_real(linear->quick.lr));
    json_object_set_new(root, "probe_distill", json_boolean(scores->has_distill));
    json_object_set_new(root, "as_paper", json_boolean(scores->has_paper));
    if (scores->has_paper) {
        json_t *paper = rates_json(&linear->paper);
        json_object_set_new(paper, "rates_of", json_string(linear->paper_method));
        json_object_set_new(paper, "note", json_string(scores->note));
        json_object_set_new(root, "paper", paper);
    }
    for (int i = 0; i < scores->n_widths; i++) {
        const slim_width_score *score = &scores->width[i];
        json_t *row = json_array_get(json_object_get(root, "results"), (size_t)i);
        json_object_set_new(row, "slim_acc1", api_judge_fraction(score->slim_acc1));
        json_object_set_new(row, "slim_acc5", api_judge_fraction(score->slim_acc5));
        if (scores->has_distill) {
            add_score(row, "distill_", &score->distill);
        }
        if (scores->has_paper) {
            add_score(row, "paper_", &score->paper);
        }
    }
    return root;
}

slim_status slim_eval_linear(const slim_options *options, const char *model,
                             const char *data, const slim_hooks *hooks,
                             slim_scores *scores, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct linear linear = {0};
    SL_TRY_OUT(sl_heap_alloc(&err, "evaluation", 1, sizeof *linear.judge, &linear.judge));
    SL_TRY_OUT(api_judge_open(&err, linear.judge, options, model, data, hooks));
    SL_TRY_OUT(check_teacher(&err, linear.judge));
    SL_TRY_OUT(judge_linear(&err, &linear, scores));
    SL_TRY_OUT(
        api_judge_write(&err, "linear", model, linear_json(&linear, scores), scores));
out:
    api_judge_close(linear.judge);
    return api_leave(&err, status, error);
}
