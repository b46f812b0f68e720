/* SPDX-License-Identifier: MIT */
/*
 * slimclr: pre-trains slimmable image networks without labels. From pictures, one run
 * gives a family of vision models that share their weights, one for each width (1.0,
 * 0.75, 0.5, 0.25), each ready to use.
 *
 * Opaque handles and status codes. The library never prints, exits or installs signal
 * handlers, and keeps no state but the log sink. Every function that can fail returns a
 * status and writes one line into the error record it is given; texts are UTF-8. Handles
 * are not shared between threads without a lock.
 */
#ifndef SLIMCLR_H
#define SLIMCLR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The value of a status is also the program's exit status. */
typedef enum slim_status {
    SLIM_OK = 0,
    SLIM_ERROR_RUN = 1,   /* disk, memory, a damaged checkpoint */
    SLIM_ERROR_USAGE = 2, /* bad option or value, contradiction, batch larger than the
                             data */
    SLIM_ERROR_DATA = 3,  /* missing path, no images, truncated or too many damaged files
                           */
    SLIM_ERROR_NUMBERS = 4, /* a loss or gradient that is not finite; collapse on request
                             */
    SLIM_STOPPED = 75       /* stopped on request, a checkpoint was written */
} slim_status;

typedef struct slim_error {
    slim_status status;
    char text[1024]; /* one line without newline: object, rule, value seen, what to do */
} slim_error;

/* "0.1.0" */
const char *slim_version(void);

/* ---- log --------------------------------------------------------------------------- */

typedef enum slim_log_level {
    SLIM_LOG_ERROR,
    SLIM_LOG_WARNING,
    SLIM_LOG_INFO,
    SLIM_LOG_DEBUG
} slim_log_level;
typedef void (*slim_log_fn)(void *context, slim_log_level level, const char *line);
/* Where lines for people go; NULL (the start) drops them. May be called from any thread.
 */
void slim_log_to(slim_log_fn sink, void *context);

/* ---- options ----------------------------------------------------------------------- */

/* The settings of one command: a table of keys with type, range, default and help. */
typedef struct slim_options slim_options;

typedef struct slim_option_info {
    const char *name;     /* "batch-size": the key, and "--batch-size" */
    char letter;          /* 'b', or 0 */
    bool is_flag;         /* --name, --name=yes or --name=no */
    const char *argument; /* "N", "DIR" …; NULL for flags */
    const char *initial;  /* default as text */
    const char *choices;  /* "a|b|c", or NULL */
    const char *help;
} slim_option_info;

/* `command`: "pretrain", "eval knn", "eval linear", "eval classifier", "eval finetune",
 * "check", "stats", "views", "pack", "analyse trajectory", "analyse probes", "plan",
 * "bench step", "bench loader", "bench ops". */
slim_status slim_options_create(const char *command, slim_options **options,
                                slim_error *error);
void slim_options_destroy(slim_options *options);
/* Sets one key as the user's word. Recipes and files given with the keys "recipe" and
 * "config" are read when the command starts, under what is set here. */
slim_status slim_options_set(slim_options *options, const char *key, const char *value,
                             slim_error *error);
/* The i-th key of the table; false past the end. */
bool slim_options_info(const slim_options *options, int i, slim_option_info *info);

/* ---- pre-training ------------------------------------------------------------------ */

typedef struct slim_progress {
    int64_t step, total_steps;
    double epoch, epochs;
    double loss, chance; /* the objective of the full width's contrast and its chance
                            level */
    /* Of the steps alone, smoothed: pictures a second, seconds to the end, and the share
     * of the time in which a step waited for pictures. */
    double images_per_sec, eta_s, data_wait;
    int active_widths;
    bool logged; /* this step wrote a metric line */
} slim_progress;

typedef struct slim_hooks {
    void (*progress)(void *context, const slim_progress *progress); /* after each step;
                                                                       may be NULL */
    bool (*stop_requested)(void *context); /* asked after each step; true: checkpoint,
                                              SLIM_STOPPED; may be NULL */
    void *context;
    /* How many of all pictures were looked at (check, stats, eval); counts from the
     * start again with every pass of another kind. May be NULL. */
    void (*passed)(void *context, int64_t done, int64_t total);
} slim_hooks;

/* `slimclr pretrain`: n_data DATA arguments (one or more) into the run directory of key
 * "out". */
slim_status slim_pretrain(const slim_options *options, const char *const *data,
                          int n_data, const slim_hooks *hooks, slim_error *error);

/* ---- evaluation -------------------------------------------------------------------- */

enum { SLIM_WIDTHS_MAX = 8 };

/* Fractions of one kind of linear probe: private to the width (switchable), and one that
 * all widths share (slimmable). */
typedef struct slim_probe_score {
    double acc1, acc5;
    double slim_acc1, slim_acc5;
} slim_probe_score;

typedef struct slim_width_score {
    double width;                /* 0.75 */
    double acc1, acc5;           /* fractions: kNN, the switchable probe, or the model's
                                    own classifier */
    double slim_acc1, slim_acc5; /* the slimmable probe; else 0 */
    int64_t params, macs;        /* of the trunk at the evaluated size */
    /* eval linear: taught by the full width's probe; trained as in the paper */
    slim_probe_score distill, paper;
} slim_width_score;

typedef struct slim_scores {
    int n_widths;
    slim_width_score width[SLIM_WIDTHS_MAX];
    int64_t n_train, n_test, n_bad; /* pictures; n_train is 0 for a classifier */
    int classes, k;                 /* k actually used (kNN) */
    bool has_raw; /* kNN with "raw": the same on pixels, plain and mean-centred */
    int raw_side; /* of the pictures it is taken on: the model's, at most 32 px */
    double raw_acc1, raw_centred_acc1;
    bool has_distill, has_paper; /* eval linear with "probe-distill", "as-paper" */
    int64_t epochs, step;        /* of the checkpoint */
    char note[320];              /* what a reader of `paper` must know, or "" */
    char json[8192];             /* the whole as one JSON object */
} slim_scores;

/* model: a run directory or a checkpoint. data: one DATA argument, or NULL with keys
 * "train" and "test". hooks: `passed` and `stop_requested` (SLIM_STOPPED, nothing is
 * written); may be NULL. */
slim_status slim_eval_knn(const slim_options *options, const char *model,
                          const char *data, const slim_hooks *hooks, slim_scores *scores,
                          slim_error *error);
slim_status slim_eval_linear(const slim_options *options, const char *model,
                             const char *data, const slim_hooks *hooks,
                             slim_scores *scores, slim_error *error);
/* Top-1 and top-5 of each width by the classifier that the model was itself trained with:
 * a run of method "supervised", or a checkpoint that slim_eval_finetune kept (key
 * "save"). Running statistics, the evaluation view; nothing is trained. data: one DATA,
 * of which the test part is judged, or NULL with key "test". The result is also written
 * to RUN/eval/classifier.json where `model` is a run directory. SLIM_ERROR_USAGE when the
 * model has no classifier; SLIM_ERROR_DATA when the pictures have no labels or other
 * classes than it; the same in another order are told apart by their names, and where one
 * side has none, or numbers in their place, the order is taken on trust with a warning;
 * SLIM_ERROR_NUMBERS when an output is not finite. */
slim_status slim_eval_classifier(const slim_options *options, const char *model,
                                 const char *data, const slim_hooks *hooks,
                                 slim_scores *scores, slim_error *error);

/* Over several seeds. */
typedef struct slim_spread {
    double mean, low, high;
} slim_spread;

/* Top-1 accuracies on the test part, from the same labels: nearest neighbours and a
 * linear probe on the frozen trunk, the trunk trained on with a classifier, and the
 * same network from scratch. */
typedef struct slim_tuned_width {
    double width;
    int64_t params, macs; /* of the trunk */
    slim_spread knn, probe, tuned, scratch;
    slim_spread tuned_acc5, scratch_acc5;
} slim_tuned_width;

enum { SLIM_LABELS_MAX = 6 };

typedef struct slim_tuned_labels {
    int64_t labels;
    double share; /* of the labelled train pictures */
    int epochs, batch;
    double lr, scratch_lr; /* peaks */
    slim_tuned_width width[SLIM_WIDTHS_MAX];
} slim_tuned_labels;

typedef struct slim_tuned {
    int n_labels, n_widths;
    slim_tuned_labels at[SLIM_LABELS_MAX];
    int64_t n_train, n_test, n_bad; /* labelled train pictures there are; test pictures */
    int classes, repeats;
    bool joint, has_scratch;
    int64_t step; /* of the checkpoint */
    char *json;   /* the whole as one JSON object; free with slim_text_free */
} slim_tuned;

/* As above; hooks->progress tells of the training. */
slim_status slim_eval_finetune(const slim_options *options, const char *model,
                               const char *data, const slim_hooks *hooks,
                               slim_tuned *tuned, slim_error *error);

/* ---- looking into a run ------------------------------------------------------------ */

/* `slimclr analyse trajectory`: the path that the parameters of a run took, from its
 * snapshots (key "snapshots" of pretrain), on the plane of two directions; with `data`,
 * or keys "train" and "test", also the test error around the path's end. Files go to
 * RUN/analyse. A text, or one JSON object; free it with slim_text_free. hooks may be
 * NULL; stop_requested is asked after each point of the surface (SLIM_STOPPED: the same
 * call goes on later). */
slim_status slim_analyse_trajectory(const slim_options *options, const char *run,
                                    const char *data, bool json, const slim_hooks *hooks,
                                    char **text, slim_error *error);
/* `slimclr analyse probes`: linear probes in closed form on frozen features, one a width
 * against one that all widths share; model and data as slim_eval_linear. */
slim_status slim_analyse_probes(const slim_options *options, const char *model,
                                const char *data, bool json, const slim_hooks *hooks,
                                char **text, slim_error *error);

/* ---- data -------------------------------------------------------------------------- */

typedef struct slim_packed {
    int64_t pictures, damaged; /* in the shards; left out */
    int64_t shards, kept;      /* all; those that were finished before */
    int64_t bytes;
} slim_packed;
/* `slimclr pack`: one DATA into tar shards (WebDataset layout) named by key "out".
 * Finished shards of the same command are kept. hooks->stop_requested is asked after each
 * picture; hooks may be NULL. */
slim_status slim_pack(const slim_options *options, const char *data,
                      const slim_hooks *hooks, slim_packed *packed, slim_error *error);

typedef struct slim_checked {
    int64_t pictures; /* of all parts */
    int64_t damaged, duplicates, tiny, odd;
} slim_checked;
/* `slimclr check`: reads and decodes every picture of one DATA and says what may be wrong
 * with them, as a text for people or, with `json`, one object; free it with
 * slim_text_free. Damaged pictures are a finding, not a failure. hooks may be NULL. */
slim_status slim_check(const slim_options *options, const char *data, bool json,
                       const slim_hooks *hooks, slim_checked *checked, char **text,
                       slim_error *error);

/* `slimclr stats`: what the pictures of one DATA that pretrain would read are like, and
 * settings that suit them. A text, or one JSON object, as above. */
slim_status slim_stats(const slim_options *options, const char *data, bool json,
                       const slim_hooks *hooks, char **text, slim_error *error);

/* `slimclr views`: the first pictures that a pretrain command with these options and
 * n_data DATA arguments would see, and their two views, into the PNG file of key "out".
 * The text says which row shows what. SLIM_ERROR_USAGE in a build without a PNG library.
 */
slim_status slim_views(const slim_options *options, const char *const *data, int n_data,
                       bool json, char **text, slim_error *error);

/* ---- report ------------------------------------------------------------------------ */

/* `slimclr report`: one HTML page about a run directory, into key "out" or
 * RUN/report.html, and its figures into RUN/plots. Works on a run that is still going and
 * on one of which parts are missing: the page says which. The text is the page's path, or
 * one JSON object. */
slim_status slim_report(const slim_options *options, const char *run, bool json,
                        char **text, slim_error *error);

/* ---- models ------------------------------------------------------------------------ */

/* A trained family, opened for use. */
typedef struct slim_model slim_model;
slim_status slim_model_open(const char *run_or_file, slim_model **model,
                            slim_error *error);
void slim_model_close(slim_model *model);
int slim_model_widths(const slim_model *model);
/* Width i, descending: multiplier, feature dimension, parameters and multiply-adds per
 * picture at the model's image size. Any pointer may be NULL. */
slim_status slim_model_width(const slim_model *model, int i, double *width,
                             int *dimension, int64_t *params, int64_t *macs);
/* Index of the largest width whose multiply-adds fit, or of the smallest. */
int slim_model_pick(const slim_model *model, int64_t max_macs);
/* Embeds n pictures of height x width 8-bit RGB pixels, one after another in `pixels`, at
 * width i: the evaluation view of the model is taken, then the pooled trunk features, (n,
 * dimension) floats. A model of grey pictures (channels 1) takes the colours' luma. The
 * width may change at every call. */
slim_status slim_model_embed(slim_model *model, int i, const unsigned char *pixels, int n,
                             int height, int width, float *features, slim_error *error);

/* ---- looking before spending ------------------------------------------------------- */

/* Texts below are made with malloc; free with slim_text_free. */
void slim_text_free(char *text);
/* `slimclr plan`: parameters, MACs, memory and, with key "ops", the op list. n_data DATA
 * arguments, which may be none: settings and memory that hang on the pictures are then
 * those of this data. json: one JSON object instead. */
slim_status slim_plan(const slim_options *options, const char *const *data, int n_data,
                      bool json, char **text, slim_error *error);
/* `slimclr bench step`: one JSON line. */
slim_status slim_bench_step(const slim_options *options, char **text, slim_error *error);
/* `slimclr bench ops`: a JSON line for each case, without its end, given to `line` as
 * soon as it is known. */
typedef void (*slim_line_fn)(void *context, const char *text);
slim_status slim_bench_ops(const slim_options *options, slim_line_fn line, void *context,
                           slim_error *error);
/* `slimclr bench loader`: n_data DATA arguments; one JSON line. */
slim_status slim_bench_loader(const slim_options *options, const char *const *data,
                              int n_data, char **text, slim_error *error);
/* What was compiled in, and this machine. */
slim_status slim_info(bool json, char **text, slim_error *error);
/* "archs", "methods", "recipes", "formats", "commands": a line each. */
slim_status slim_list(const char *what, char **text, slim_error *error);

#ifdef __cplusplus
}
#endif

#endif
