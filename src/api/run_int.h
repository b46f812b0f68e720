/* SPDX-License-Identifier: MIT */
/*
 * Private to the files of `slimclr pretrain`: one run with everything it holds.
 * run_begin.c decides whether and with which settings it may begin, run_weights.c with
 * which weights, run_files.c keeps its directory, run_words.c says what a person should
 * know, and train.c is the loop.
 */
#ifndef SRC_API_RUN_INT_H
#define SRC_API_RUN_INT_H

#include "api_int.h"
#include "report/report.h"

enum { RUN_PATH_LENGTH = 4096 };

/* How fast a run goes (run_pace.c). Before the first step: how many widths there are, and
 * the factor of a step's cost when all of them train. */
struct api_pace {
    int n_widths;
    double join_factor;
    int active;  /* widths of the last step */
    double rate; /* pictures a second, smoothed over steps of so many widths */
    double wait; /* share of the time without pictures, likewise */
};
void api_pace_step(struct api_pace *pace, int active, double pictures, double seconds,
                   double waited);
/* Seconds from step `step` to `total`, of so many pictures each; the sub-networks join at
 * step `join`. 0 before the first step. */
double api_pace_left(const struct api_pace *pace, int64_t step, int64_t join,
                     int64_t total, double pictures);

/* What the steps since the last metric line took: a sum over the steps alone, so that
 * what is done between them (evaluation, files) slows no speed. `waited` is the part of a
 * step's seconds in which it had no pictures. Starts as zeros, and again after a line. */
struct api_window {
    double pictures, seconds, waited;
};
void api_window_step(struct api_window *window, double pictures, double seconds,
                     double waited);
/* Pictures a second, and the share of the time that was waited; 0 of no time. */
double api_window_rate(const struct api_window *window);
double api_window_wait(const struct api_window *window);

struct api_run {
    const slim_hooks *hooks;
    struct sl_conf *conf;
    struct api_settings settings;
    char directory[RUN_PATH_LENGTH], checkpoints[RUN_PATH_LENGTH], last[RUN_PATH_LENGTH];
    struct api_data data;
    struct sl_source *source;
    uint64_t fingerprint;
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_loader *loader;
    /* the first batch, taken before anything is written: unreadable pictures leave no run
     * directory behind */
    struct sl_batch ahead;
    bool has_ahead;
    double ahead_waited;
    double seconds_left; /* an estimate made before the first step */
    struct sl_named_list state;
    struct sl_metrics *metrics;
    struct sl_events *events; /* NULL with --no-tensorboard */
    struct sl_file_log *log;
    struct sl_text checkpoint_conf;
    struct sl_classes classes; /* of a classifier; lent by the source */
    struct sl_text command;    /* as it was said, for the record */
    bool resumed;
    struct api_window window;
    struct api_pace pace;
    int collapse_lines;
    bool collapse_said;
    struct sl_file_log *bad_log; /* bad_files.txt, once there is something to write */
    int64_t bad_written;
    /* graddiag.jsonl and the files beside it; NULL until the first measure */
    struct sl_file_log *gradients, *gradients_text, *gradients_head;
    int64_t gradients_kept; /* records that were there when the run began */
    /* a snapshot's tensors; empty: no snapshots are kept */
    struct sl_named_list snapshot;
    int64_t snapshot_step;
    char snapshots[RUN_PATH_LENGTH];
};

/* run_begin.c: the DATA arguments or key "data"; the directory, refused when it may not
 * be written; settings of the run being resumed under what was said anew; with
 * --overwrite, what an earlier run wrote is removed. */
enum sl_status api_run_take_data(struct sl_error *err, struct api_run *run,
                                 const char *const *data, int n_data);
enum sl_status api_run_check_directory(struct sl_error *err, struct api_run *run);
enum sl_status api_run_settle(struct sl_error *err, struct api_run *run);
enum sl_status api_run_clear(struct sl_error *err, const struct api_run *run);

/* run_weights.c: the checkpoint that the run goes on from, whole, or with --init-from the
 * weights of another: its trunk must fit (SL_ERROR_USAGE), its head is taken where it
 * fits and, a classifier's, where the classes are called the same. Neither: nothing is
 * done. */
enum sl_status api_run_take_weights(struct sl_error *err, const struct api_run *run);

/* run_files.c */
enum sl_status api_run_write_config(struct sl_error *err, struct api_run *run);
enum sl_status api_run_open_metrics(struct sl_error *err, struct api_run *run);
enum sl_status api_run_save(struct sl_error *err, struct api_run *run, bool numbered);
/* bad_files.txt: the pictures that the loader has newly found damaged; what the file said
 * when the run stopped, counted again; no file, for a run that starts. */
enum sl_status api_run_write_bad_files(struct sl_error *err, struct api_run *run);
enum sl_status api_run_recall_bad_files(struct sl_error *err, struct api_run *run);
void api_run_forget_bad_files(const struct api_run *run);
/* The position in epochs after `step` steps. */
double api_run_epoch(const struct api_run *run, int64_t step);

/* run_gradients.c: graddiag.jsonl and the files beside it. Opening cuts back what was
 * written after the step that a run goes on from; writing does nothing after a step that
 * was not measured. */
enum sl_status api_run_open_gradients(struct sl_error *err, struct api_run *run);
enum sl_status api_run_write_gradients(struct sl_error *err, struct api_run *run);
void api_run_close_gradients(struct api_run *run);
/* The files' names, NULL past the end. */
const char *api_run_gradients_file(int i);

/* run_snapshots.c: with key "snapshots", the parameters at the start and at the end of
 * every epoch, each file whole; with an update after each width, one a width. What was
 * taken after the step that a run goes on from is removed. */
enum sl_status api_run_open_snapshots(struct sl_error *err, struct api_run *run);
enum sl_status api_run_take_snapshot(struct sl_error *err, struct api_run *run);
enum sl_status api_run_snapshots_path(struct sl_error *err, const struct api_run *run,
                                      char path[RUN_PATH_LENGTH]);

/* run_words.c */
void api_run_say_start(const struct api_run *run);
/* How much memory the loader holds, once it is open. */
void api_run_say_loader(const struct api_run *run);
/* Seconds of computation from here to the end, by timing a forward of each width. Sets
 * the pace's factor. */
double api_run_estimate(struct api_run *run);
/* The same with the loading of pictures, by the time that the first batch took. */
double api_run_with_loading(const struct api_run *run, double seconds);
void api_run_say_duration(const struct api_run *run);
void api_run_say_end(const struct api_run *run);
void api_run_say_epoch(const struct api_run *run, const struct sl_step_numbers *numbers,
                       const struct api_knn *knn);

#endif
