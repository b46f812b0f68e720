/* SPDX-License-Identifier: MIT */
/*
 * What the evaluations share: opening a model and the two parts of the data, features of
 * all widths in one pass each, the result as a JSON text and in RUN/eval/; and the
 * shortest of them, `slimclr eval knn`. Nothing of the model is written.
 */
#include "evaluate_int.h"

#include <string.h>

enum { PATH_LENGTH = 4096, EVAL_BATCH = 256 };

struct sl_frozen api_judge_frozen(const struct api_judge *judge)
{
    const struct api_model *model = &judge->model;
    return (struct sl_frozen){.device = &model->device,
                              .net = model->net,
                              .params = model->params,
                              .stats = model->stats,
                              .type = model->type};
}

struct sl_recipe api_judge_crops(const struct api_judge *judge, double crop_min)
{
    struct sl_recipe recipe = judge->model.view;
    recipe.random = true;
    recipe.crop_min = (float)crop_min;
    recipe.crop_max = 1.0F;
    recipe.flip_p = 0.5F;
    return recipe;
}

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status open_part(struct sl_error *err, const struct api_judge *judge,
                                const char *data, enum sl_part part,
                                const char *limit_key, bool whole,
                                struct sl_source **source)
{
    const struct sl_conf *conf = judge->conf;
    char cache[4096];
    struct sl_source_config config = {
        .data = data,
        .part = part,
        .whole = whole,
        .test_fraction = sl_conf_real(conf, "test-fraction"),
        .limit = limit_key != NULL ? sl_conf_int(conf, limit_key) : 0,
        .seed = (uint64_t)sl_conf_int(conf, "seed"),
        .cache_directory = api_cache_directory(conf, cache, sizeof cache),
    };
    /* Pictures become pixels as they did when the model was trained. */
    SL_TRY(api_decode_options(err, judge->model.conf, &config.decode));
    SL_TRY(sl_source_open(err, &config, source));
    if (sl_source_was_split(*source) && part == SL_PART_TEST) {
        sl_log(SL_LOG_INFO,
               "%s: only one part: %.0f %% of it, drawn by --seed, is the test part",
               data, 100.0 * sl_conf_real(conf, "test-fraction"));
    }
    return SL_OK;
}

/* The test part's classes are those of the train part, or some of them: its labels become
 * theirs. */
static enum sl_status match_parts(struct sl_error *err, struct api_judge *judge)
{
    struct sl_classes has = {0};
    int *numbers = NULL;
    enum sl_status status = SL_OK;
    SL_TRY_OUT(api_classes_of(err, judge->train, &has));
    SL_TRY_OUT(api_classes_find(err, &has, "the train part", judge->test, "the test part",
                                &numbers));
    if (numbers != NULL) {
        SL_TRY_OUT(sl_source_number_classes(err, judge->test, has.names, numbers, has.n));
    }
out:
    sl_heap_free(numbers);
    sl_classes_finish(&has);
    return status;
}

static enum sl_status open_data(struct sl_error *err, struct api_judge *judge,
                                const char *data)
{
    const char *train = judge->has_bank ? sl_conf_text(judge->conf, "train") : NULL;
    const char *test = sl_conf_text(judge->conf, "test");
    bool has_train = train != NULL && train[0] != '\0';
    bool has_test = test[0] != '\0';
    if (data == NULL && (!has_test || has_train != judge->has_bank)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "no DATA: name labelled pictures, or %s",
                       judge->has_bank ? "both --train and --test"
                                       : "those to judge by with --test");
    }
    if (data != NULL && (has_train || has_test)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "DATA and %s contradict each other; give one of them",
                       judge->has_bank ? "--train or --test" : "--test");
    }
    judge->data = data != NULL ? data : test;
    /* A DATA named for one role is taken whole in it: its own train part as bank, its
     * test part to judge by. */
    if (data != NULL || has_train) {
        SL_TRY(open_part(err, judge, data != NULL ? data : train, SL_PART_TRAIN,
                         judge->has_bank ? "limit" : NULL, data == NULL, &judge->train));
    }
    SL_TRY(open_part(err, judge, data != NULL ? data : test, SL_PART_TEST, "limit-test",
                     data == NULL, &judge->test));
    judge->classes = sl_source_classes(judge->train != NULL ? judge->train : judge->test);
    if (judge->classes < 2 || sl_source_classes(judge->test) < 1) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: evaluation needs labels; put pictures into one folder a class",
            data != NULL ? data
            : has_train  ? train
                         : test);
    }
    return judge->train != NULL ? match_parts(err, judge) : SL_OK;
}

static enum sl_status pick_widths(struct sl_error *err, struct api_judge *judge)
{
    const struct sl_widths *there = &judge->model.net->widths;
    struct sl_widths asked = *there;
    if (!sl_conf_is_auto(judge->conf, "widths")) {
        SL_TRY(sl_widths_parse(err, sl_conf_text(judge->conf, "widths"), false,
                               "--widths", &asked));
    }
    for (int i = 0; i < asked.n; i++) {
        int found = sl_widths_find(there, asked.at[i]);
        if (found < 0) {
            struct sl_text known = {0};
            char one[16];
            for (int k = 0; k < there->n; k++) {
                sl_multiplier_text(there->at[k], one, sizeof one);
                sl_text_add(&known, " %s", one);
            }
            sl_multiplier_text(asked.at[i], one, sizeof one);
            enum sl_status status = SL_FAIL(
                err, SL_ERROR_USAGE, "--widths %s: not a width of this model; it has:%s",
                one, known.text != NULL ? known.text : "");
            sl_text_finish(&known);
            return status;
        }
        judge->widths[judge->n_widths++] = found;
    }
    return SL_OK;
}

/* Told of each batch of features: the progress of the whole evaluation. */
static bool go_on(void *context, int64_t done)
{
    const struct api_judge *judge = context;
    return api_passed(judge->hooks, judge->passed + done, judge->to_pass);
}

enum sl_status api_judge_open_model(struct sl_error *err, struct api_judge *judge,
                                    const slim_options *options, const char *model,
                                    const slim_hooks *hooks)
{
    judge->hooks = hooks;
    SL_TRY(api_conf_complete(err, options, &judge->conf));
    judge->has_bank = sl_conf_has(judge->conf, "train");
    int size = sl_conf_is_auto(judge->conf, "image-size")
                   ? 0
                   : (int)sl_conf_int(judge->conf, "image-size");
    SL_TRY(api_model_open(err, model, size, judge->conf, &judge->model));
    return pick_widths(err, judge);
}

enum sl_status api_judge_open_data(struct sl_error *err, struct api_judge *judge,
                                   const char *data)
{
    SL_TRY(open_data(err, judge, data));
    judge->train_config = (struct sl_features_config){
        .source = judge->train,
        .recipe = judge->model.view,
        .seed = (uint64_t)sl_conf_int(judge->conf, "seed"),
        .batch = sl_conf_has(judge->conf, "labels") /* its batches are of the training */
                     ? (int)EVAL_BATCH
                     : (int)sl_conf_int(judge->conf, "batch-size"),
        .n_workers = api_workers(judge->conf),
        .head = sl_conf_has(judge->conf, "features") &&
                strcmp(sl_conf_text(judge->conf, "features"), "head") == 0,
        .go_on = go_on,
        .go_on_context = judge,
    };
    judge->test_config = judge->train_config;
    judge->test_config.source = judge->test;
    judge->to_pass = sl_source_count(judge->test) +
                     (judge->has_bank ? sl_source_count(judge->train) : 0);
    return SL_OK;
}

enum sl_status api_judge_open(struct sl_error *err, struct api_judge *judge,
                              const slim_options *options, const char *model,
                              const char *data, const slim_hooks *hooks)
{
    SL_TRY(api_judge_open_model(err, judge, options, model, hooks));
    return api_judge_open_data(err, judge, data);
}

/* One pass over one part. */
static enum sl_status pass_part(struct sl_error *err, struct api_judge *judge,
                                const struct sl_features_config *config,
                                struct sl_features *features)
{
    const struct sl_frozen model = api_judge_frozen(judge);
    int64_t bad = 0;
    SL_TRY(sl_features_compute(err, &model, config, judge->widths, judge->n_widths,
                               features, &bad));
    judge->n_bad += bad;
    judge->passed += sl_source_count(config->source);
    return SL_OK;
}

enum sl_status api_judge_features(struct sl_error *err, struct api_judge *judge)
{
    char bank[32] = "";
    if (judge->has_bank) {
        (void)snprintf(bank, sizeof bank, "%lld + ",
                       (long long)sl_source_count(judge->train));
    }
    sl_log(SL_LOG_INFO, "eval:   %s of %s%lld pictures of %d px at %d width%s",
           judge->has_bank ? "features" : "outputs", bank,
           (long long)sl_source_count(judge->test), judge->model.view.size,
           judge->n_widths, judge->n_widths == 1 ? "" : "s");
    if (judge->has_bank) {
        SL_TRY(pass_part(err, judge, &judge->train_config, judge->train_features));
    }
    SL_TRY(pass_part(err, judge, &judge->test_config, judge->test_features));
    if (judge->n_bad > 0) {
        sl_log(SL_LOG_WARNING, "eval: %lld damaged pictures were left out",
               (long long)judge->n_bad);
    }
    return SL_OK;
}

void api_judge_close(struct api_judge *judge)
{
    if (judge == NULL) {
        return;
    }
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        sl_features_finish(&judge->train_features[i]);
        sl_features_finish(&judge->test_features[i]);
    }
    sl_source_close(judge->train);
    sl_source_close(judge->test);
    api_model_close(&judge->model);
    sl_conf_destroy(judge->conf);
    sl_heap_free(judge);
}

/* ---- results ----------------------------------------------------------------------- */

void api_judge_fill(const struct api_judge *judge, slim_scores *scores)
{
    const struct sl_net *net = judge->model.net;
    *scores = (slim_scores){.n_widths = judge->n_widths,
                            .n_train = judge->train_features[0].n,
                            .n_test = judge->test_features[0].n,
                            .n_bad = judge->n_bad,
                            .classes = judge->classes,
                            .step = judge->model.step};
    for (int i = 0; i < judge->n_widths; i++) {
        slim_width_score *row = &scores->width[i];
        row->width = sl_multiplier_value(net->widths.at[judge->widths[i]]);
        sl_net_cost(net, net->features, judge->widths[i], &row->params, &row->macs);
    }
}

/* Accuracies with four decimals more than anyone can use, so that the text stays
 * readable. */
json_t *api_judge_fraction(double value)
{
    return json_real((double)(int64_t)(value * 1e6 + 0.5) / 1e6);
}

json_t *api_judge_json(const struct api_judge *judge, const char *kind,
                       const slim_scores *scores)
{
    json_t *root = json_object();
    json_t *results = json_array();
    json_object_set_new(root, "eval", json_string(kind));
    json_object_set_new(root, "data", json_string(judge->data));
    json_object_set_new(root, "step", json_integer(scores->step));
    if (judge->has_bank) {
        json_object_set_new(root, "features",
                            json_string(sl_conf_text(judge->conf, "features")));
        json_object_set_new(root, "n_train", json_integer(scores->n_train));
    }
    json_object_set_new(root, "n_test", json_integer(scores->n_test));
    json_object_set_new(root, "n_bad", json_integer(scores->n_bad));
    json_object_set_new(root, "classes", json_integer(scores->classes));
    for (int i = 0; i < scores->n_widths; i++) {
        const slim_width_score *row = &scores->width[i];
        json_t *one = json_object();
        json_object_set_new(one, "width", api_judge_fraction(row->width));
        json_object_set_new(one, "acc1", api_judge_fraction(row->acc1));
        json_object_set_new(one, "acc5", api_judge_fraction(row->acc5));
        json_object_set_new(one, "params", json_integer(row->params));
        json_object_set_new(one, "macs", json_integer(row->macs));
        json_array_append_new(results, one);
    }
    json_object_set_new(root, "results", results);
    return root;
}

enum sl_status api_judge_keep(struct sl_error *err, const char *kind, const char *model,
                              const char *text)
{
    char path[PATH_LENGTH];
    char name[32];
    struct sl_text line = {0};
    enum sl_status status = SL_OK;
    if (sl_path_kind(model) != SL_PATH_DIRECTORY) {
        return SL_OK;
    }
    (void)snprintf(name, sizeof name, "eval/%s.json", kind);
    if (!sl_path_join(path, sizeof path, model, name)) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", model);
    }
    char *end = strrchr(path, '/');
    *end = '\0';
    SL_TRY(sl_dir_create(err, path));
    *end = '/';
    sl_text_add(&line, "%s\n", text);
    status = line.failed ? SL_FAIL(err, SL_ERROR_RUN, "out of memory for the result")
                         : sl_file_write(err, path, line.text, line.length);
    sl_text_finish(&line);
    return status;
}

enum sl_status api_judge_write(struct sl_error *err, const char *kind, const char *model,
                               json_t *root, slim_scores *scores)
{
    size_t length = root != NULL ? json_dumpb(root, scores->json, sizeof scores->json - 1,
                                              JSON_COMPACT | JSON_REAL_PRECISION(10))
                                 : 0;
    json_decref(root);
    if (length == 0 || length >= sizeof scores->json) {
        return SL_FAIL(err, SL_ERROR_RUN, "eval: the result does not fit into its text");
    }
    scores->json[length] = '\0';
    return api_judge_keep(err, kind, model, scores->json);
}

/* ---- nearest neighbours ------------------------------------------------------------ */

/* A further pass, whose pictures take another time each. */
static void begin_pass(struct api_judge *judge, int64_t pictures)
{
    judge->passed = 0;
    judge->to_pass = pictures;
}

static void say_search(const char *what, int64_t n_train, int64_t n_test)
{
    sl_log(SL_LOG_INFO, "eval:   neighbours %s: %lld pictures among %lld", what,
           (long long)n_test, (long long)n_train);
}

static enum sl_status search(struct sl_error *err, struct api_judge *judge,
                             const struct sl_features *train,
                             const struct sl_features *test, struct sl_score *score,
                             int *k_used)
{
    SL_TRY(sl_knn(err, &judge->model.device,
                  &(struct sl_knn_config){
                      .n_classes = judge->classes,
                      .k = (int)sl_conf_int(judge->conf, "knn-k"),
                      .temperature = sl_conf_real(judge->conf, "knn-t"),
                      .go_on = go_on,
                      .go_on_context = judge,
                  },
                  train, test, score, k_used));
    judge->passed += test->n;
    return SL_OK;
}

static enum sl_status raw_pixels(struct sl_error *err, struct api_judge *judge,
                                 slim_scores *scores)
{
    enum sl_status status = SL_OK;
    struct sl_features train = {0};
    struct sl_features test = {0};
    struct sl_score plain = {0};
    struct sl_score centred = {0};
    int used = 0;
    sl_log(SL_LOG_INFO, "eval:   raw pixels of the same pictures");
    begin_pass(judge, sl_source_count(judge->train) + sl_source_count(judge->test));
    SL_TRY_OUT(sl_features_raw(err, &judge->train_config, &train));
    judge->passed += sl_source_count(judge->train);
    SL_TRY_OUT(sl_features_raw(err, &judge->test_config, &test));
    say_search("of raw pixels, plain and mean-centred", train.n, test.n);
    begin_pass(judge, 2 * test.n);
    SL_TRY_OUT(search(err, judge, &train, &test, &plain, &used));
    sl_features_centre(&train, &test);
    SL_TRY_OUT(search(err, judge, &train, &test, &centred, &used));
    scores->has_raw = true;
    scores->raw_side = sl_raw_side(judge->train_config.recipe.size);
    scores->raw_acc1 = plain.acc1;
    scores->raw_centred_acc1 = centred.acc1;
out:
    sl_features_finish(&train);
    sl_features_finish(&test);
    return status;
}

static enum sl_status judge_knn(struct sl_error *err, struct api_judge *judge,
                                slim_scores *scores)
{
    SL_TRY(api_judge_features(err, judge));
    api_judge_fill(judge, scores);
    say_search("at each width", scores->n_train, scores->n_test);
    begin_pass(judge, judge->n_widths * scores->n_test);
    for (int i = 0; i < judge->n_widths; i++) {
        struct sl_score score = {0};
        SL_TRY(search(err, judge, &judge->train_features[i], &judge->test_features[i],
                      &score, &scores->k));
        scores->width[i].acc1 = score.acc1;
        scores->width[i].acc5 = score.acc5;
    }
    return sl_conf_bool(judge->conf, "raw") ? raw_pixels(err, judge, scores) : SL_OK;
}

static json_t *knn_json(const struct api_judge *judge, const slim_scores *scores)
{
    json_t *root = api_judge_json(judge, "knn", scores);
    json_object_set_new(root, "k", json_integer(scores->k));
    json_object_set_new(root, "temperature",
                        api_judge_fraction(sl_conf_real(judge->conf, "knn-t")));
    if (scores->has_raw) {
        json_object_set_new(root, "raw_side", json_integer(scores->raw_side));
        json_object_set_new(root, "raw_acc1", api_judge_fraction(scores->raw_acc1));
        json_object_set_new(root, "raw_centred_acc1",
                            api_judge_fraction(scores->raw_centred_acc1));
    }
    return root;
}

slim_status slim_eval_knn(const slim_options *options, const char *model,
                          const char *data, const slim_hooks *hooks, slim_scores *scores,
                          slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct api_judge *judge = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "evaluation", 1, sizeof *judge, &judge));
    SL_TRY_OUT(api_judge_open(&err, judge, options, model, data, hooks));
    SL_TRY_OUT(judge_knn(&err, judge, scores));
    SL_TRY_OUT(api_judge_write(&err, "knn", model, knn_json(judge, scores), scores));
out:
    api_judge_close(judge);
    return api_leave(&err, status, error);
}

static enum sl_status open_knn_part(struct sl_error *err, const struct sl_conf *conf,
                                    const char *data, enum sl_part part,
                                    const struct sl_decode_options *decode,
                                    struct sl_source **source)
{
    char cache[4096];
    return sl_source_open(
        err,
        &(struct sl_source_config){
            .data = data,
            .part = part,
            .test_fraction = 0.1,
            .decode = *decode,
            .cache_directory = api_cache_directory(conf, cache, sizeof cache),
        },
        source);
}

enum sl_status api_knn_check(struct sl_error *err, const struct sl_conf *conf,
                             const char *data)
{
    const struct sl_decode_options any = {0}; /* no picture is decoded here */
    for (int part = 0; part < 2; part++) {
        struct sl_source *source = NULL;
        SL_TRY(open_knn_part(err, conf, data, part == 0 ? SL_PART_TRAIN : SL_PART_TEST,
                             &any, &source));
        int classes = sl_source_classes(source);
        sl_source_close(source);
        if (classes < (part == 0 ? 2 : 1)) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "--eval-data %s: evaluation needs labels; put pictures into "
                           "one folder a class",
                           data);
        }
    }
    return SL_OK;
}

/* Both parts: what to look among, and what to judge by. Closed by the caller, after a
 * failure too. */
static enum sl_status open_knn_parts(struct sl_error *err, const struct sl_conf *conf,
                                     const char *data, struct sl_source *sources[2])
{
    struct sl_decode_options decode;
    SL_TRY(api_decode_options(err, conf, &decode));
    SL_TRY(open_knn_part(err, conf, data, SL_PART_TRAIN, &decode, &sources[0]));
    return open_knn_part(err, conf, data, SL_PART_TEST, &decode, &sources[1]);
}

/* Of kNN while training. */
static struct sl_features_config knn_features(const struct sl_source *source,
                                              const struct sl_recipe *view, int n_workers)
{
    return (struct sl_features_config){
        .source = source, .recipe = *view, .batch = EVAL_BATCH, .n_workers = n_workers};
}

static struct sl_knn_config knn_config(const struct sl_source *bank)
{
    return (struct sl_knn_config){
        .n_classes = sl_source_classes(bank), .k = 200, .temperature = 0.1};
}

enum sl_status api_knn_view(struct sl_error *err, const struct api_settings *settings,
                            struct sl_recipe *view)
{
    const struct sl_recipe *recipe = &settings->recipe;
    SL_TRY(sl_recipe_named(err, "eval", settings->resnet.image_size, recipe->mean,
                           recipe->std, view));
    view->channels = recipe->channels;
    return SL_OK;
}

enum sl_status api_knn_plan_memory(struct sl_error *err, const struct sl_frozen *model,
                                   const struct sl_conf *conf,
                                   const struct sl_recipe *view, const char *data,
                                   int n_workers, size_t *bytes)
{
    enum sl_status status = SL_OK;
    struct sl_source *sources[2] = {NULL, NULL};
    struct sl_features_memory memory[2];
    int widths[SL_WIDTHS_MAX];
    int n = model->net->widths.n;
    *bytes = 0;
    for (int i = 0; i < n; i++) {
        widths[i] = i;
    }
    SL_TRY_OUT(open_knn_parts(err, conf, data, sources));
    for (int part = 0; part < 2; part++) {
        const struct sl_features_config config =
            knn_features(sources[part], view, n_workers);
        SL_TRY_OUT(
            sl_features_plan_memory(err, model, &config, widths, n, &memory[part]));
    }
    /* The pass over the second part beside the first part's features, or the search. */
    const struct sl_knn_config config = knn_config(sources[0]);
    size_t features = memory[0].features + memory[1].features;
    size_t search = sl_knn_plan_memory(
        &config, sl_source_count(sources[0]), sl_source_count(sources[1]),
        sl_net_channels(model->net, model->net->features, 0));
    *bytes = features + (memory[1].pass > search ? memory[1].pass : search);
out:
    sl_source_close(sources[0]);
    sl_source_close(sources[1]);
    return status;
}

enum sl_status api_knn_widths(struct sl_error *err, const struct sl_frozen *model,
                              const struct sl_conf *conf, const struct sl_recipe *view,
                              const char *data, int n_workers, struct api_knn *knn)
{
    enum sl_status status = SL_OK;
    struct sl_source *sources[2] = {NULL, NULL};
    struct sl_features features[2][SL_WIDTHS_MAX] = {{{0}}};
    int widths[SL_WIDTHS_MAX];
    int n = model->net->widths.n;
    int64_t bad = 0;
    int used = 0;
    for (int i = 0; i < n; i++) {
        widths[i] = i;
    }
    SL_TRY_OUT(open_knn_parts(err, conf, data, sources));
    for (int part = 0; part < 2; part++) {
        const struct sl_features_config config =
            knn_features(sources[part], view, n_workers);
        SL_TRY_OUT(
            sl_features_compute(err, model, &config, widths, n, features[part], &bad));
    }
    const struct sl_knn_config config = knn_config(sources[0]);
    for (int i = 0; i < n; i++) {
        SL_TRY_OUT(sl_knn(err, model->device, &config, &features[0][i], &features[1][i],
                          &knn->width[i], &used));
    }
    knn->classes = config.n_classes;
out:
    for (int part = 0; part < 2; part++) {
        for (int i = 0; i < n; i++) {
            sl_features_finish(&features[part][i]);
        }
        sl_source_close(sources[part]);
    }
    return status;
}
