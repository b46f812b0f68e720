/* SPDX-License-Identifier: MIT */
/*
 * `slimclr eval finetune`: what a pre-trained trunk is worth when few labels are there.
 * For each number of labels, an even pick of the train part is judged at every width by
 * neighbours, by a probe, by fine-tuning, and, as the honest baseline, by the same
 * network trained from scratch on the same labels for the same number of epochs.
 */
#include "evaluate_int.h"

#include <math.h>
#include <string.h>

enum { EPOCHS_MOST = 200, BATCH_LEAST = 32, BATCH_MOST = 128 };

/* Peak rate for 256 pictures, with a pre-trained trunk and without: what differs between
 * the two is the start. */
static const double BASE_LR = 0.4;

/* One number of labels and how it is trained on. */
struct stage {
    int64_t labels;
    double share;
    int epochs, batch;
    double lr, scratch_lr;
};

/* A value of several seeds. */
struct spread {
    double sum, low, high;
    int n;
};

struct row {
    struct spread knn, probe, tuned, tuned5, scratch, scratch5;
};

struct finetune {
    struct api_judge *judge;
    int64_t labelled;
    struct stage stage[SLIM_LABELS_MAX];
    int n_stages, repeats;
    bool joint, from_scratch;
    double weight_decay, crop_min;
    const char *save;
    struct row row[SLIM_LABELS_MAX][SL_WIDTHS_MAX];
    /* progress: cost in multiply-adds of all training, and what is done of it */
    double cost_all, cost_done, cost_step;
    int64_t step, steps; /* of all trainings */
    int64_t job_step, job_steps;
    int job_epochs, job_widths, job_batch;
    double trained, job_began; /* seconds of the trainings before, and this one's start */
};

/* ---- settings ---------------------------------------------------------------------- */

static double real_or(const struct sl_conf *conf, const char *key, double value)
{
    return sl_conf_is_auto(conf, key) ? value : sl_conf_real(conf, key);
}

/* "1%" or "500" of the labelled pictures. */
static enum sl_status parse_labels(struct sl_error *err, const struct finetune *tune,
                                   const char *word, struct stage *stage)
{
    size_t length = strlen(word);
    int64_t count = 0;
    double share = 0.0;
    char text[32];
    bool is_share = length > 0 && word[length - 1] == '%' && length < sizeof text;
    if (is_share) {
        memcpy(text, word, length - 1);
        text[length - 1] = '\0';
    }
    if (is_share && sl_parse_real(text, &share) && share > 0.0 && share <= 100.0) {
        count = llround(share / 100.0 * (double)tune->labelled);
    } else if (is_share || !sl_parse_int(word, &count) || count < 1) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--labels '%s': not a number of labels; give shares such as 1%% "
                       "or counts such as 500, with commas between",
                       word);
    }
    if (tune->labelled < tune->judge->classes) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: the train part has %lld labelled picture%s of %d classes; "
                       "every class needs one",
                       tune->judge->data, (long long)tune->labelled,
                       sl_plural((double)tune->labelled), tune->judge->classes);
    }
    if (count < tune->judge->classes) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--labels %s: %lld of %lld labelled pictures are fewer than the "
                       "%d classes; give at least %d",
                       word, (long long)count, (long long)tune->labelled,
                       tune->judge->classes, tune->judge->classes);
    }
    if (count > tune->labelled) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--labels %s: the train part has %lld labelled pictures; give at "
                       "most so many, or 100%%",
                       word, (long long)tune->labelled);
    }
    stage->labels = count;
    stage->share = (double)count / (double)tune->labelled;
    return SL_OK;
}

/* More epochs where there are fewer labels: 30 at a tenth of the data, growing with the
 * root of what is missing, so that steps shrink more slowly than labels do; and as many
 * as a small set needs, whatever its share. */
static int auto_epochs(const struct stage *stage)
{
    double by_share = 30.0 / sqrt(10.0 * stage->share);
    double by_count = 2125.0 / sqrt((double)stage->labels);
    double epochs = fmax(by_share, by_count);
    return epochs < EPOCHS_MOST ? (int)lround(epochs) : (int)EPOCHS_MOST;
}

/* The largest power of two that leaves eight steps an epoch, within bounds: norms want a
 * few pictures. */
static int auto_batch(int64_t labels)
{
    int batch = BATCH_LEAST;
    while (batch < BATCH_MOST && 2 * batch <= labels / 8) {
        batch *= 2;
    }
    return batch < labels ? batch : (int)labels;
}

static enum sl_status settle_stage(struct sl_error *err, const struct finetune *tune,
                                   const char *word, struct stage *stage)
{
    const struct sl_conf *conf = tune->judge->conf;
    SL_TRY(parse_labels(err, tune, word, stage));
    stage->epochs = sl_conf_is_auto(conf, "epochs") ? auto_epochs(stage)
                                                    : (int)sl_conf_int(conf, "epochs");
    stage->batch = sl_conf_is_auto(conf, "batch-size")
                       ? auto_batch(stage->labels)
                       : (int)sl_conf_int(conf, "batch-size");
    if (stage->batch > stage->labels) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--batch-size %d: larger than the %lld labels of --labels %s; "
                       "lower it",
                       stage->batch, (long long)stage->labels, word);
    }
    stage->lr = real_or(conf, "lr", BASE_LR * stage->batch / 256.0);
    stage->scratch_lr = real_or(conf, "scratch-lr", stage->lr);
    return SL_OK;
}

/* Several numbers of labels with commas between. */
static enum sl_status settle_stages(struct sl_error *err, struct finetune *tune)
{
    const char *at = sl_conf_text(tune->judge->conf, "labels");
    while (at != NULL) {
        char word[64];
        size_t length = strcspn(at, ",");
        if (tune->n_stages == SLIM_LABELS_MAX || length >= sizeof word) {
            return SL_FAIL(err, SL_ERROR_USAGE, "--labels: more than %d numbers",
                           (int)SLIM_LABELS_MAX);
        }
        memcpy(word, at, length);
        word[length] = '\0';
        SL_TRY(settle_stage(err, tune, word, &tune->stage[tune->n_stages]));
        const struct stage *stage = &tune->stage[tune->n_stages];
        if (real_or(tune->judge->conf, "warmup-epochs", 0.0) >= stage->epochs) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--warmup-epochs %s: %lld labels are trained for %d epoch%s, "
                           "and the rate would rise all the way; give less",
                           sl_conf_text(tune->judge->conf, "warmup-epochs"),
                           (long long)stage->labels, stage->epochs,
                           sl_plural(stage->epochs));
        }
        for (int s = 0; s < tune->n_stages; s++) {
            if (tune->stage[s].labels == tune->stage[tune->n_stages].labels) {
                return SL_FAIL(err, SL_ERROR_USAGE,
                               "--labels %s: %lld labels are named twice; leave one out",
                               sl_conf_text(tune->judge->conf, "labels"),
                               (long long)tune->stage[s].labels);
            }
        }
        tune->n_stages++;
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    return SL_OK;
}

static bool is_empty(const char *directory)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    bool empty =
        sl_dir_list(&ignored, SL_ERROR_RUN, directory, &list) == SL_OK && list.n == 0;
    sl_dir_list_finish(&list);
    return empty;
}

static enum sl_status check_save(struct sl_error *err, const struct finetune *tune)
{
    enum sl_path_kind kind = sl_path_kind(tune->save);
    if (tune->save[0] == '\0') {
        return SL_OK;
    }
    if (tune->n_stages > 1) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--save keeps the models of one number of labels, and --labels "
                       "has %d; give one",
                       tune->n_stages);
    }
    if (kind != SL_PATH_MISSING && !(kind == SL_PATH_DIRECTORY && is_empty(tune->save))) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--save %s: not an empty directory; name another", tune->save);
    }
    return SL_OK;
}

static enum sl_status settle(struct sl_error *err, struct finetune *tune)
{
    const struct api_judge *judge = tune->judge;
    const struct sl_conf *conf = judge->conf;
    tune->labelled = sl_source_labelled(judge->train);
    if (tune->labelled == 0 || sl_source_labelled(judge->test) == 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: no labelled picture in the %s part",
                       judge->data, tune->labelled == 0 ? "train" : "test");
    }
    tune->repeats = (int)sl_conf_int(conf, "repeats");
    tune->joint = sl_conf_bool(conf, "joint");
    tune->from_scratch = sl_conf_bool(conf, "from-scratch");
    tune->weight_decay = sl_conf_real(conf, "weight-decay");
    tune->crop_min =
        real_or(conf, "crop-min", judge->model.view.size <= API_SMALL_SIDE ? 0.2 : 0.08);
    tune->save = sl_conf_text(conf, "save");
    if (!tune->from_scratch && !sl_conf_is_auto(conf, "scratch-lr")) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--scratch-lr %s: nothing is trained from scratch; add "
                       "--from-scratch, or leave it out",
                       sl_conf_text(conf, "scratch-lr"));
    }
    if (tune->joint && judge->n_widths == 1) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--joint: one width has no other to be trained with; leave it out, "
            "or judge more widths");
    }
    bool is_whole = tune->joint && judge->n_widths == judge->model.net->widths.n;
    if (judge->model.resnet.slices == SL_SLICES_DISJOINT && !is_whole) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: its widths are disjoint slices, which are no networks of "
                       "their own; take --joint with all of them",
                       judge->model.path);
    }
    SL_TRY(settle_stages(err, tune));
    return check_save(err, tune);
}

/* ---- progress ---------------------------------------------------------------------- */

/* Multiply-adds of a picture at these widths. */
static double cost_of(const struct finetune *tune, int first, int n)
{
    const struct sl_net *net = tune->judge->model.net;
    double cost = 0.0;
    for (int i = first; i < first + n; i++) {
        int64_t params = 0;
        int64_t macs = 0;
        sl_net_cost(net, net->features, tune->judge->widths[i], &params, &macs);
        cost += (double)macs;
    }
    return cost;
}

static void plan_progress(struct finetune *tune)
{
    int kinds = tune->from_scratch ? 2 : 1;
    int jobs = tune->joint ? 1 : tune->judge->n_widths;
    for (int s = 0; s < tune->n_stages; s++) {
        const struct stage *stage = &tune->stage[s];
        int64_t steps =
            stage->epochs * (stage->labels / stage->batch) * kinds * tune->repeats;
        tune->steps += steps * jobs;
        tune->cost_all +=
            (double)steps * stage->batch * cost_of(tune, 0, tune->judge->n_widths);
        tune->judge->to_pass += tune->repeats * stage->labels;
    }
    tune->judge->to_pass -= sl_source_count(tune->judge->train);
}

static enum sl_status after_step(struct sl_error *err, void *context, double loss)
{
    struct finetune *tune = context;
    const slim_hooks *hooks = tune->judge->hooks;
    tune->step++;
    tune->job_step++;
    tune->cost_done += tune->cost_step;
    if (hooks != NULL && hooks->progress != NULL) {
        double job_seconds = sl_clock() - tune->job_began;
        double seconds = tune->trained + job_seconds;
        const slim_progress progress = {
            .step = tune->step,
            .total_steps = tune->steps,
            .epoch = (double)tune->job_step * tune->job_epochs / (double)tune->job_steps,
            .epochs = tune->job_epochs,
            .loss = loss,
            .chance = log((double)tune->judge->classes),
            .images_per_sec = (double)(tune->job_step * tune->job_batch) / job_seconds,
            .eta_s = seconds / tune->cost_done * (tune->cost_all - tune->cost_done),
            .active_widths = tune->job_widths,
        };
        hooks->progress(hooks->context, &progress);
    }
    if (api_stop_requested(tune->judge->hooks)) {
        return SL_FAIL(err, SL_STOPPED,
                       "stopped at step %lld of %lld; no result was written",
                       (long long)tune->step, (long long)tune->steps);
    }
    return SL_OK;
}

/* ---- one pick of labels ------------------------------------------------------------ */

static void join(struct spread *spread, double value)
{
    spread->low = spread->n == 0 || value < spread->low ? value : spread->low;
    spread->high = spread->n == 0 || value > spread->high ? value : spread->high;
    spread->sum += value;
    spread->n++;
}

/* What one repeat of one stage holds. */
struct pick {
    const struct stage *stage;
    struct row *row; /* of each width */
    uint64_t seed;
    bool is_kept; /* --save is of this one */
    struct sl_pick pick;
    struct sl_features features[SL_WIDTHS_MAX];
};

static void finish_pick(struct pick *pick)
{
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        sl_features_finish(&pick->features[i]);
    }
    sl_pick_finish(&pick->pick);
}

static enum sl_status open_pick(struct sl_error *err, struct finetune *tune,
                                struct pick *pick)
{
    struct api_judge *judge = tune->judge;
    const struct sl_frozen model = api_judge_frozen(judge);
    struct sl_features_config config = judge->train_config;
    int64_t bad = 0;
    SL_TRY(
        sl_pick_create(err, judge->train, pick->stage->labels, pick->seed, &pick->pick));
    if (pick->pick.smallest + 1 < pick->pick.level &&
        pick->seed == (uint64_t)sl_conf_int(judge->conf, "seed")) {
        sl_log(SL_LOG_WARNING,
               "%lld labels: class '%s' has only %lld pictures; others give up to %lld",
               (long long)pick->stage->labels,
               sl_source_class_name(judge->train, pick->pick.smallest_class),
               (long long)pick->pick.smallest, (long long)pick->pick.level);
    }
    config.subset = pick->pick.ids;
    config.n_subset = pick->pick.n;
    SL_TRY(sl_features_compute(err, &model, &config, judge->widths, judge->n_widths,
                               pick->features, &bad));
    judge->passed += pick->pick.n;
    return SL_OK;
}

/* Frozen features: neighbours and the quick probe. */
static enum sl_status judge_frozen(struct sl_error *err, struct finetune *tune,
                                   struct pick *pick)
{
    struct api_judge *judge = tune->judge;
    const struct sl_probe_config config = {.n_classes = judge->classes,
                                           .epochs = 100,
                                           .batch = 256,
                                           .lr = 0.1,
                                           .momentum = 0.9,
                                           .cosine = true,
                                           .standardise = true,
                                           .seed = pick->seed};
    const struct sl_knn_config knn = {
        .n_classes = judge->classes, .k = 200, .temperature = 0.1};
    struct sl_probe_result result;
    for (int i = 0; i < judge->n_widths; i++) {
        struct sl_score score;
        int used = 0;
        SL_TRY(sl_knn(err, &judge->model.device, &knn, &pick->features[i],
                      &judge->test_features[i], &score, &used));
        join(&pick->row[i].knn, score.acc1);
    }
    SL_TRY(sl_linear_probe(err, &judge->model.device, &config, judge->n_widths,
                           pick->features, judge->test_features, &result));
    for (int i = 0; i < judge->n_widths; i++) {
        join(&pick->row[i].probe, result.switchable[i].acc1);
    }
    return SL_OK;
}

static void save_path(const struct finetune *tune, int first, char *dst, size_t size)
{
    char width[16];
    sl_multiplier_text(tune->judge->model.net->widths.at[tune->judge->widths[first]],
                       width, sizeof width);
    (void)snprintf(dst, size, "%s/%s%s.safetensors", tune->save,
                   tune->joint ? "joint" : "w", tune->joint ? "" : width);
}

/* Trains widths first … first+n-1 as one network. */
static enum sl_status train_widths(struct sl_error *err, struct finetune *tune,
                                   struct pick *pick, int first, int n, bool scratch)
{
    struct api_judge *judge = tune->judge;
    const struct stage *stage = pick->stage;
    struct sl_score scores[SL_WIDTHS_MAX];
    char path[4096 + 64];
    struct api_tune job = {
        .pick = &pick->pick,
        .from_scratch = scratch,
        .seed = pick->seed,
        .epochs = stage->epochs,
        .batch = stage->batch,
        .lr = scratch ? stage->scratch_lr : stage->lr,
        .weight_decay = tune->weight_decay,
        .warmup_epochs = real_or(judge->conf, "warmup-epochs", 0.05 * stage->epochs),
        .crop_min = tune->crop_min,
        .after_step = after_step,
        .context = tune,
    };
    for (int i = 0; i < n; i++) {
        job.widths.at[i] = judge->model.net->widths.at[judge->widths[first + i]];
    }
    job.widths.n = n;
    if (pick->is_kept && !scratch) {
        save_path(tune, first, path, sizeof path);
        job.save_path = path;
    }
    tune->job_step = 0;
    tune->job_steps = api_tune_steps(&job);
    tune->job_epochs = stage->epochs;
    tune->job_batch = stage->batch;
    tune->job_widths = n;
    tune->cost_step = stage->batch * cost_of(tune, first, n);
    tune->job_began = sl_clock();
    SL_TRY(api_tune_run(err, judge, &job, scores));
    tune->trained += sl_clock() - tune->job_began;
    for (int i = 0; i < n; i++) {
        struct row *row = &pick->row[first + i];
        char width[16];
        sl_multiplier_text(job.widths.at[i], width, sizeof width);
        join(scratch ? &row->scratch : &row->tuned, scores[i].acc1);
        join(scratch ? &row->scratch5 : &row->tuned5, scores[i].acc5);
        sl_log(SL_LOG_INFO, "tune:   %lld labels, seed %llu, width %s: %.1f%% %s",
               (long long)stage->labels, (unsigned long long)pick->seed, width,
               100.0 * scores[i].acc1, scratch ? "from scratch" : "fine-tuned");
    }
    return SL_OK;
}

static enum sl_status run_pick(struct sl_error *err, struct finetune *tune,
                               struct pick *pick)
{
    int n_widths = tune->judge->n_widths;
    int n = tune->joint ? n_widths : 1;
    SL_TRY(open_pick(err, tune, pick));
    SL_TRY(judge_frozen(err, tune, pick));
    for (int first = 0; first < n_widths; first += n) {
        SL_TRY(train_widths(err, tune, pick, first, n, false));
    }
    for (int first = 0; tune->from_scratch && first < n_widths; first += n) {
        SL_TRY(train_widths(err, tune, pick, first, n, true));
    }
    return SL_OK;
}

static enum sl_status run_stage(struct sl_error *err, struct finetune *tune, int s)
{
    const struct stage *stage = &tune->stage[s];
    int64_t steps = stage->labels / stage->batch;
    sl_log(SL_LOG_INFO,
           "tune:   %lld labels (%.3g %%): %d epoch%s of %lld step%s of %d pictures, lr "
           "%.4g%s",
           (long long)stage->labels, 100.0 * stage->share, stage->epochs,
           sl_plural(stage->epochs), (long long)steps, sl_plural((double)steps),
           stage->batch, stage->lr,
           tune->joint ? "; all widths together" : "; each width by itself");
    for (int r = 0; r < tune->repeats; r++) {
        struct pick pick = {
            .stage = stage,
            .row = tune->row[s],
            .seed = (uint64_t)sl_conf_int(tune->judge->conf, "seed") + (uint64_t)r,
            .is_kept = r == 0 && tune->save[0] != '\0',
        };
        enum sl_status status = run_pick(err, tune, &pick);
        finish_pick(&pick);
        SL_TRY(status);
    }
    return SL_OK;
}

static enum sl_status run_finetune(struct sl_error *err, struct finetune *tune)
{
    struct api_judge *judge = tune->judge;
    const struct sl_frozen model = api_judge_frozen(judge);
    SL_TRY(settle(err, tune));
    plan_progress(tune);
    sl_log(SL_LOG_INFO, "eval:   features of %lld test pictures of %d px at %d width%s",
           (long long)sl_source_count(judge->test), judge->model.view.size,
           judge->n_widths, judge->n_widths == 1 ? "" : "s");
    SL_TRY(sl_features_compute(err, &model, &judge->test_config, judge->widths,
                               judge->n_widths, judge->test_features, &judge->n_bad));
    judge->passed += sl_source_count(judge->test);
    if (tune->save[0] != '\0') {
        SL_TRY(sl_dir_create(err, tune->save));
    }
    for (int s = 0; s < tune->n_stages; s++) {
        SL_TRY(run_stage(err, tune, s));
    }
    return SL_OK;
}

/* ---- the result -------------------------------------------------------------------- */

static slim_spread spread_of(const struct spread *spread)
{
    return (slim_spread){.mean = spread->n > 0 ? spread->sum / spread->n : 0.0,
                         .low = spread->low,
                         .high = spread->high};
}

static void fill(const struct finetune *tune, slim_tuned *tuned)
{
    const struct api_judge *judge = tune->judge;
    const struct sl_net *net = judge->model.net;
    *tuned = (slim_tuned){.n_labels = tune->n_stages,
                          .n_widths = judge->n_widths,
                          .n_train = tune->labelled,
                          .n_test = judge->test_features[0].n,
                          .n_bad = judge->n_bad,
                          .classes = judge->classes,
                          .repeats = tune->repeats,
                          .joint = tune->joint,
                          .has_scratch = tune->from_scratch,
                          .step = judge->model.step};
    for (int s = 0; s < tune->n_stages; s++) {
        const struct stage *stage = &tune->stage[s];
        slim_tuned_labels *at = &tuned->at[s];
        *at = (slim_tuned_labels){.labels = stage->labels,
                                  .share = stage->share,
                                  .epochs = stage->epochs,
                                  .batch = stage->batch,
                                  .lr = stage->lr,
                                  .scratch_lr = stage->scratch_lr};
        for (int i = 0; i < judge->n_widths; i++) {
            const struct row *row = &tune->row[s][i];
            slim_tuned_width *to = &at->width[i];
            to->width = sl_multiplier_value(net->widths.at[judge->widths[i]]);
            sl_net_cost(net, net->features, judge->widths[i], &to->params, &to->macs);
            to->knn = spread_of(&row->knn);
            to->probe = spread_of(&row->probe);
            to->tuned = spread_of(&row->tuned);
            to->tuned_acc5 = spread_of(&row->tuned5);
            to->scratch = spread_of(&row->scratch);
            to->scratch_acc5 = spread_of(&row->scratch5);
        }
    }
}

static void add_spread(json_t *row, const char *name, const slim_spread *spread,
                       bool range)
{
    const struct {
        const char *suffix;
        double value;
    } fields[] = {{"", spread->mean}, {"_low", spread->low}, {"_high", spread->high}};
    for (int i = 0; i < (range ? SL_COUNT(fields) : 1); i++) {
        char key[40];
        (void)snprintf(key, sizeof key, "%s%s", name, fields[i].suffix);
        json_object_set_new(row, key, api_judge_fraction(fields[i].value));
    }
}

static json_t *width_json(const slim_tuned *tuned, const slim_tuned_labels *at, int i)
{
    const slim_tuned_width *width = &at->width[i];
    bool range = tuned->repeats > 1;
    json_t *row = json_object();
    json_object_set_new(row, "labels", json_integer(at->labels));
    json_object_set_new(row, "share", api_judge_fraction(at->share));
    json_object_set_new(row, "width", api_judge_fraction(width->width));
    add_spread(row, "acc1", &width->tuned, range);
    add_spread(row, "acc5", &width->tuned_acc5, false);
    add_spread(row, "knn_acc1", &width->knn, range);
    add_spread(row, "probe_acc1", &width->probe, range);
    if (tuned->has_scratch) {
        add_spread(row, "scratch_acc1", &width->scratch, range);
        add_spread(row, "scratch_acc5", &width->scratch_acc5, false);
    }
    json_object_set_new(row, "epochs", json_integer(at->epochs));
    json_object_set_new(row, "batch", json_integer(at->batch));
    json_object_set_new(row, "lr", json_real(at->lr));
    if (tuned->has_scratch) {
        json_object_set_new(row, "scratch_lr", json_real(at->scratch_lr));
    }
    json_object_set_new(row, "params", json_integer(width->params));
    json_object_set_new(row, "macs", json_integer(width->macs));
    return row;
}

static json_t *tuned_json(const struct finetune *tune, const slim_tuned *tuned)
{
    json_t *root = json_object();
    json_t *results = json_array();
    json_object_set_new(root, "eval", json_string("finetune"));
    json_object_set_new(root, "data", json_string(tune->judge->data));
    json_object_set_new(root, "step", json_integer(tuned->step));
    json_object_set_new(root, "joint", json_boolean(tuned->joint));
    json_object_set_new(root, "from_scratch", json_boolean(tuned->has_scratch));
    json_object_set_new(root, "repeats", json_integer(tuned->repeats));
    json_object_set_new(root, "weight_decay", json_real(tune->weight_decay));
    json_object_set_new(root, "crop_min", json_real(tune->crop_min));
    json_object_set_new(root, "n_train", json_integer(tuned->n_train));
    json_object_set_new(root, "n_test", json_integer(tuned->n_test));
    json_object_set_new(root, "n_bad", json_integer(tuned->n_bad));
    json_object_set_new(root, "classes", json_integer(tuned->classes));
    for (int s = 0; s < tuned->n_labels; s++) {
        for (int i = 0; i < tuned->n_widths; i++) {
            json_array_append_new(results, width_json(tuned, &tuned->at[s], i));
        }
    }
    json_object_set_new(root, "results", results);
    return root;
}

slim_status slim_eval_finetune(const slim_options *options, const char *model,
                               const char *data, const slim_hooks *hooks,
                               slim_tuned *tuned, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct finetune *tune = NULL;
    struct sl_text text = {0};
    *tuned = (slim_tuned){0};
    SL_TRY_OUT(sl_heap_alloc(&err, "fine-tuning", 1, sizeof *tune, &tune));
    SL_TRY_OUT(sl_heap_alloc(&err, "evaluation", 1, sizeof *tune->judge, &tune->judge));
    SL_TRY_OUT(api_judge_open(&err, tune->judge, options, model, data, hooks));
    SL_TRY_OUT(run_finetune(&err, tune));
    fill(tune, tuned);
    SL_TRY_OUT(api_json_add(&err, &text, tuned_json(tune, tuned)));
    SL_TRY_OUT(api_judge_keep(&err, "finetune", model, text.text));
    SL_TRY_OUT(api_text_out(&err, &text, &tuned->json));
out:
    if (tune != NULL) {
        api_judge_close(tune->judge);
    }
    sl_heap_free(tune);
    sl_text_finish(&text);
    return api_leave(&err, status, error);
}
