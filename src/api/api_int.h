/* SPDX-License-Identifier: MIT */
/*
 * Private to the api folder: the key tables, how settings are resolved into what the
 * other folders take, and how errors and log lines leave the library. Nothing here
 * computes; it wires.
 */
#ifndef SRC_API_API_INT_H
#define SRC_API_API_INT_H

#include "backend/backend.h"
#include "base/base.h"
#include "data/data.h"
#include "eval/eval.h"
#include "learn/learn.h"
#include "net/net.h"
#include "slimclr.h"
#include "store/store.h"
#include "tensor/tensor.h"

/* ---- options (options.c, keys.c) --------------------------------------------------- */

/* The keys of one command, joined from its parts. */
struct api_table {
    struct sl_key *keys;
    int n;
};
/* An unknown command is SL_ERROR_USAGE. */
enum sl_status api_table_create(struct sl_error *err, const char *command,
                                struct api_table *table);
void api_table_finish(struct api_table *table);

struct slim_options {
    struct api_table table;
    struct sl_conf *conf; /* what the user said, over the defaults */
};

/* Keys of `pretrain` that do not determine the numbers: kept out of checkpoints, free to
 * change on resume. */
bool api_key_is_free(const char *name);
/* What a run did that was begun before `pretrain` had the key, where that is not the
 * key's default; NULL = the default. `began` holds the run's other settings. */
const char *api_key_before(const struct sl_conf *began, const char *name);

/* Reads a run's config.ini into settings that are all defaults. A key that it lacks is
 * younger than the run and gets what the run did. */
enum sl_status api_conf_load_run(struct sl_error *err, struct sl_conf *conf,
                                 const char *path);

/* A copy of the user's settings with recipe and configuration file read in under them. */
enum sl_status api_conf_complete(struct sl_error *err, const slim_options *options,
                                 struct sl_conf **conf);
/* What a checkpoint says of the settings of `pretrain`: only what determines the numbers.
 */
enum sl_status api_conf_record(struct sl_error *err, const struct sl_conf *conf,
                               struct sl_text *text);
/* Text of a recipe built into the library, or NULL; names by index, NULL past the end. */
const char *api_recipe_text(const char *name);
const char *api_recipe_name(int i);
/* Refuses the user's word for `key` where key `other`, as it stands, has no `what` (what
 * `key` is about), so that nobody waits for what the word cannot do. Recipes and files,
 * which hold the settings of runs of any kind, may name the key. */
enum sl_status api_refuse_idle(struct sl_error *err, const struct sl_conf *conf,
                               const char *key, const char *other, const char *what);
/* Writes a value the program found in place of "auto"; a real number as a person would,
 * with 12 digits, so that what is read from the key from then on may differ beyond them.
 */
enum sl_status api_resolve(struct sl_error *err, struct sl_conf *conf, const char *key,
                           const char *value);
enum sl_status api_resolve_real(struct sl_error *err, struct sl_conf *conf,
                                const char *key, double value);
enum sl_status api_resolve_int(struct sl_error *err, struct sl_conf *conf,
                               const char *key, int64_t value);
/* The same where "auto" stands; another value stays. */
enum sl_status api_default_real(struct sl_error *err, struct sl_conf *conf,
                                const char *key, double value);

/* Adds a command as a shell takes it: `slimclr COMMAND DATA... --key value ...` with what
 * the user said (command.c); and one word, quoted where it must be. */
void api_command_add(struct sl_text *text, const char *command,
                     const struct sl_conf *conf, const char *const *data, int n_data);
void api_shell_add(struct sl_text *text, const char *word);

/* Removes the page and the figures that `slimclr report` made of a run (report.c). */
enum sl_status api_report_clear(struct sl_error *err, const char *run);

/* Status and text out of the library. */
slim_status api_leave(const struct sl_error *err, enum sl_status status,
                      slim_error *error);
/* A copy made with malloc for the caller of the public functions. */
enum sl_status api_text_out(struct sl_error *err, const struct sl_text *text,
                            char **copy);

/* Appends a JSON value, which is given away, as one line without its end (inspect.c). */
struct json_t;
enum sl_status api_json_add(struct sl_error *err, struct sl_text *text,
                            struct json_t *root);

/* Lines also go to `log` until called with NULL. */
void api_log_tee(struct sl_file_log *log);

/* ---- settings (settings.c) --------------------------------------------------------- */

/* What is known about the pictures before settings are resolved. */
struct api_pictures {
    int64_t count;  /* 0 = unknown (plan, bench) */
    int fixed_side; /* side of fixed-size data, else 0 */
    float mean[3], std[3];
    int n_classes;        /* 0 = unknown, or none */
    int64_t n_unlabelled; /* counted for a method that learns from labels */
};

/* One run's settings in the terms of the folders below. */
struct api_settings {
    struct sl_resnet_config resnet;
    struct sl_trainer_config trainer;
    struct sl_recipe recipe;
    int64_t steps_per_epoch;
    double epochs;
    int log_every;
    int threads, workers;
};
/* Up to this side the defaults for small pictures hold. */
enum { API_SMALL_SIDE = 64 };
/* Resolves every "auto" in `conf` by what docs/methods.md and the keys' help say, and
 * fills `settings`, whose texts borrow from `conf`; the device says what it can compute
 * in. */
enum sl_status api_settings_resolve(struct sl_error *err, struct sl_conf *conf,
                                    const struct api_pictures *pictures,
                                    const struct sl_device *device,
                                    struct api_settings *settings);
/* The part of it that says how parameters are updated: rule, rates, schedule, slow start
 * (rates.c). Net, batch size and length must have been resolved before. */
enum sl_status api_settings_rates(struct sl_error *err, struct sl_conf *conf,
                                  const struct api_pictures *pictures,
                                  struct api_settings *settings);
/* The method's part of it: resolves its keys and fills in what trainer->method reads;
 * the length of the run is known. Pictures without labels are SL_ERROR_DATA for a method
 * that learns from them (method_keys.c). */
enum sl_status api_settings_method(struct sl_error *err, struct sl_conf *conf,
                                   const struct api_pictures *pictures,
                                   struct sl_trainer_config *trainer);
/* The head that a run or a checkpoint has, and its sizes, from resolved settings. */
void api_settings_head(const struct sl_conf *conf, struct sl_resnet_config *resnet);
/* Resolves key "aug". */
enum sl_status api_settings_aug(struct sl_error *err, struct sl_conf *conf);
/* The part of it that views are made by. */
enum sl_status api_settings_view(struct sl_error *err, struct sl_conf *conf,
                                 const struct api_pictures *pictures,
                                 struct sl_recipe *recipe);
/* The compute type that key "precision" means on this device: "auto" takes bfloat16
 * where the device computes it; asked for where it does not, a warning says so and it is
 * float32. Resolves the key. */
enum sl_status api_precision(struct sl_error *err, struct sl_conf *conf,
                             const struct sl_device *device, enum sl_dtype *type);
/* The part of it that a checkpoint needs to be used: the net at `image_size` (0 = the
 * checkpoint's) and the evaluation view. `conf` is a checkpoint's. */
enum sl_status api_settings_frozen(struct sl_error *err, const struct sl_conf *conf,
                                   int image_size, struct sl_resnet_config *resnet,
                                   struct sl_recipe *view);
/* How pictures become pixels, from the settings of a run or of a checkpoint. */
enum sl_status api_decode_options(struct sl_error *err, const struct sl_conf *conf,
                                  struct sl_decode_options *decode);
/* "10%" or "0.1" as a fraction in [0, 1]. */
enum sl_status api_parse_fraction(struct sl_error *err, const char *text,
                                  const char *where, double *fraction);
/* Opens the device that keys "device" and "threads" ask for. */
enum sl_status api_device_open(struct sl_error *err, const struct sl_conf *conf,
                               struct sl_device *device);
int api_workers(const struct sl_conf *conf);
enum sl_bad_policy api_bad_policy(const struct sl_conf *conf);
/* What keys "cache-dir" and "no-cache" say, in dst, or NULL: nothing is kept. */
const char *api_cache_directory(const struct sl_conf *conf, char *dst, size_t size);

/* What is worth knowing of a net before hours are spent on it, as a line of the log
 * (run_words.c). */
void api_say_uneven(const struct sl_net *net, const char *arch);

/* ---- asking the caller (hooks.c) --------------------------------------------------- */

/* `hooks` may be NULL. Whether to stop; the progress of a pass over pictures, and whether
 * to go on. */
bool api_stop_requested(const slim_hooks *hooks);
bool api_passed(const slim_hooks *hooks, int64_t done, int64_t total);

/* ---- reading data (parts.c) -------------------------------------------------------- */

enum { API_DATA_MOST = 256 };

/* The names in a text of key "data", apart at ';'. */
struct api_data {
    char *text; /* what the names point into */
    const char *names[API_DATA_MOST];
    int n;
};
/* Takes a copy of `named`; an empty text has no names. More than API_DATA_MOST names, or
 * an empty one among them: SL_ERROR_USAGE. Finished by the caller, after a failure too.
 */
enum sl_status api_data_split(struct sl_error *err, const char *named,
                              struct api_data *data);
void api_data_finish(struct api_data *data);
/* Opens the pictures that `pretrain` learns from, those of key "data" where no DATA is
 * given, and says what is known of them. */
enum sl_status api_pictures_open(struct sl_error *err, const struct sl_conf *conf,
                                 const char *const *data, int n_data,
                                 struct sl_source **source,
                                 struct api_pictures *pictures);
/* Opens one DATA as `pretrain` does: its train part, or all of it, and the test part
 * where it has one of its own. *n is 1 or 2; both are the caller's to close, after a
 * failure too. `limit` pictures of
 * each at most, drawn by key "seed"; 0 = all. */
enum sl_status api_parts_open(struct sl_error *err, const struct sl_conf *conf,
                              const char *data, int64_t limit,
                              const struct sl_decode_options *decode,
                              struct sl_source *sources[2], int *n);
/* Looks at every picture of a source on as many workers as the settings say; `hooks` are
 * told of it, `before` and `total` being the pictures of a longer pass. */
struct api_pass {
    const struct sl_source *source;
    const struct sl_decode_options *decode;
    enum sl_status (*each)(struct sl_error *err, void *context, int64_t i,
                           const struct sl_look *look);
    void *context;
    const slim_hooks *hooks;
    int64_t before, total;
};
enum sl_status api_pass(struct sl_error *err, const struct sl_conf *conf,
                        const struct api_pass *pass);
/* A path for a line of text: control characters become \\xHH. Cut when too long. */
void api_path_text(char *dst, size_t size, const char *path);
/* The same as a JSON string, in which bytes that are no UTF-8 are escaped as well. */
struct json_t *api_path_json(const char *path);

/* ---- views to look at (views.c) ---------------------------------------------------- */

/* The first n_rows pictures of a run's first epoch and their views, as training gets
 * them: the loader, which is the caller's to destroy, lends the batch. */
enum sl_status api_views_open(struct sl_error *err, const struct sl_conf *conf,
                              const struct sl_source *source,
                              const struct sl_recipe *recipe, int n_rows,
                              struct sl_loader **loader, struct sl_batch *batch);
/* Pictures first … first + n_rows - 1 of it into the rows of a sheet; `work` is reset. */
enum sl_status api_views_draw(struct sl_error *err, const struct sl_source *source,
                              const struct sl_recipe *recipe,
                              const struct sl_batch *batch, int first, int n_rows,
                              struct sl_arena *work, struct sl_sheet *sheet);

/* ---- suggestions (suggest.c) ------------------------------------------------------- */

/* What is known of pictures that a run is to be planned for. */
struct api_outline {
    int64_t count;
    int fixed_side; /* of fixed-size data, else 0 */
    int low_side;   /* nine of ten pictures have a short side of so much, or more */
};
struct api_suggestion {
    const char *recipe, *stem;
    int image_size;
    int64_t batch; /* 0 = the recipe's */
    char why_size[192], why_stem[96], why_recipe[192];
};
enum sl_status api_suggest(struct sl_error *err, const struct api_outline *outline,
                           struct api_suggestion *suggestion);

/* ---- names of classes (class_order.c) ---------------------------------------------- */

/* Those of the data, lent by the source; to be finished by the caller, after a failure
 * too. */
enum sl_status api_classes_of(struct sl_error *err, const struct sl_source *source,
                              struct sl_classes *classes);
bool api_classes_are_same(const struct sl_classes *a, const struct sl_classes *b);
/* What number each class of the data has among those `has` of `owner`, a model or other
 * data: *numbers, one a class of the data, for sl_source_number_classes, freed with
 * sl_heap_free; NULL where they stand in the same order, or a side has no names (and then
 * as many), which a warning says. A class that is not among them is SL_ERROR_DATA. */
enum sl_status api_classes_find(struct sl_error *err, const struct sl_classes *has,
                                const char *owner, const struct sl_source *source,
                                const char *data, int **numbers);

/* ---- models (model.c) -------------------------------------------------------------- */

/* A checkpoint opened for use. */
struct api_model {
    struct api_table table;
    struct sl_conf *conf; /* the checkpoint's */
    struct sl_resnet_config resnet;
    struct sl_recipe view;
    struct sl_device device;
    struct sl_net *net;
    struct sl_params *params;
    struct sl_stats *stats;
    enum sl_dtype type; /* compute type of feature maps */
    int64_t step;
    struct sl_classes classes; /* of its classifier, where it has one and says them */
    char path[4096];
};
/* device_conf: where keys "device", "threads" and "precision" are; NULL = the automatic
 * device in float32. */
enum sl_status api_model_open(struct sl_error *err, const char *run_or_file,
                              int image_size, struct sl_conf *device_conf,
                              struct api_model *model);
/* Whether a parameter or statistic of that name is the trunk's. The others are of what a
 * method puts on it: another method or other settings have another. */
bool api_is_of_trunk(const char *name);
/* Whether its head is a classifier, one or one a width: the outputs are classes. */
bool api_model_classifies(const struct api_model *model);
void api_model_close(struct api_model *model);

/* ---- evaluation while training (evaluate.c) ---------------------------------------- */

/* Can `data` be evaluated on at all: both parts are there, and labelled. `conf` says
 * where indices are kept. */
enum sl_status api_knn_check(struct sl_error *err, const struct sl_conf *conf,
                             const char *data);
/* The view it is done on. */
enum sl_status api_knn_view(struct sl_error *err, const struct api_settings *settings,
                            struct sl_recipe *view);
/* What it takes at its peak, in bytes, beside the data's files or indices, which are
 * opened for it and closed again; of the model, device, net and type are looked at. */
enum sl_status api_knn_plan_memory(struct sl_error *err, const struct sl_frozen *model,
                                   const struct sl_conf *conf,
                                   const struct sl_recipe *view, const char *data,
                                   int n_workers, size_t *bytes);
/* What it finds: of each width, and among how many classes. */
struct api_knn {
    struct sl_score width[SL_WIDTHS_MAX];
    int classes;
};
/* kNN at every width of `model` between the train and test part of `data`, decoded as the
 * settings of `conf` say. */
enum sl_status api_knn_widths(struct sl_error *err, const struct sl_frozen *model,
                              const struct sl_conf *conf, const struct sl_recipe *view,
                              const char *data, int n_workers, struct api_knn *knn);

#endif
