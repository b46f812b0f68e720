/* SPDX-License-Identifier: MIT */
/*
 * The beginning of a run: may it write where it was told to, and with which settings?
 * Nothing is written here, so that a refused run leaves no trace; only --overwrite, once
 * all was checked, removes what an earlier run wrote.
 */
#include "run_int.h"

#include <string.h>

/* The DATA arguments, or key "data" where a resumed run or a file names them. */
enum sl_status api_run_take_data(struct sl_error *err, struct api_run *run,
                                 const char *const *data, int n_data)
{
    struct sl_text joined = {0};
    enum sl_status status = SL_OK;
    if (n_data == 0) {
        sl_text_add(&joined, "%s", sl_conf_text(run->conf, "data"));
    }
    for (int i = 0; i < n_data; i++) {
        sl_text_add(&joined, "%s%s", i > 0 ? ";" : "", data[i]);
    }
    if (joined.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "out of memory for the names of the data");
        goto out;
    }
    if (joined.text == NULL || joined.text[0] == '\0') {
        status = SL_FAIL(err, SL_ERROR_USAGE,
                         "no DATA given; name a folder of pictures, or synthetic:");
        goto out;
    }
    SL_TRY_OUT(api_resolve(err, run->conf, "data", joined.text));
    SL_TRY_OUT(api_data_split(err, joined.text, &run->data));
out:
    sl_text_finish(&joined);
    return status;
}

static bool directory_is_empty(const char *path)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    bool empty = sl_dir_list(&ignored, SL_ERROR_RUN, path, &list) == SL_OK && list.n == 0;
    sl_dir_list_finish(&list);
    return empty;
}

/* --overwrite removes what a run writes, and nothing else. */
enum sl_status api_run_clear(struct sl_error *err, const struct api_run *run)
{
    static const char *const files[] = {
        "config.ini",       "train.log",          "metrics.jsonl",
        "metrics.csv",      "bad_files.txt",      "eval/knn.json",
        "eval/linear.json", "eval/finetune.json", "eval/classifier.json"};
    char path[RUN_PATH_LENGTH];
    for (int i = 0; i < SL_COUNT(files); i++) {
        if (sl_path_join(path, sizeof path, run->directory, files[i])) {
            (void)sl_file_remove(path);
        }
    }
    for (int i = 0; api_run_gradients_file(i) != NULL; i++) {
        if (sl_path_join(path, sizeof path, run->directory, api_run_gradients_file(i))) {
            (void)sl_file_remove(path);
        }
    }
    SL_TRY(api_run_snapshots_path(err, run, path));
    sl_snapshot_cut(path, -1);
    SL_TRY(sl_events_clear(err, run->directory));
    SL_TRY(api_report_clear(err, run->directory));
    if (sl_path_kind(run->checkpoints) != SL_PATH_DIRECTORY) {
        return SL_OK;
    }
    struct sl_dir_list list = {0};
    SL_TRY(sl_dir_list(err, SL_ERROR_RUN, run->checkpoints, &list));
    for (int64_t i = 0; i < list.n; i++) {
        if (strstr(list.names[i], ".safetensors") != NULL &&
            sl_path_join(path, sizeof path, run->checkpoints, list.names[i])) {
            (void)sl_file_remove(path);
        }
    }
    sl_dir_list_finish(&list);
    return SL_OK;
}

enum sl_status api_run_check_directory(struct sl_error *err, struct api_run *run)
{
    const char *out = sl_conf_text(run->conf, "out");
    if (out[0] == '\0') {
        return SL_FAIL(err, SL_ERROR_USAGE, "no run directory; name one with -o DIR");
    }
    if (!sl_text_copy(run->directory, sizeof run->directory, out) ||
        !sl_path_join(run->checkpoints, sizeof run->checkpoints, out, "checkpoints") ||
        !sl_path_join(run->last, sizeof run->last, run->checkpoints,
                      "last.safetensors")) {
        return SL_FAIL(err, SL_ERROR_USAGE, "-o: the path is longer than %d bytes",
                       RUN_PATH_LENGTH - 64);
    }
    enum sl_path_kind kind = sl_path_kind(run->directory);
    if (kind == SL_PATH_FILE || kind == SL_PATH_OTHER) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "-o %s: not a directory; name another run directory",
                       run->directory);
    }
    bool resume = sl_conf_text(run->conf, "resume")[0] != '\0';
    bool overwrite = sl_conf_bool(run->conf, "overwrite");
    if (resume && overwrite) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--resume and --overwrite contradict each other; give one of them");
    }
    if (kind == SL_PATH_DIRECTORY && !resume && !overwrite &&
        !directory_is_empty(run->directory)) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "-o %s: the directory is not empty; add --resume to go on, --overwrite to "
            "start afresh, or name another",
            run->directory);
    }
    return SL_OK;
}

/* True when two texts of one key mean the same. */
static bool same_value(const char *a, const char *b)
{
    double x = 0.0;
    double y = 0.0;
    if (sl_parse_real(a, &x) && sl_parse_real(b, &y)) {
        return x == y;
    }
    return strcmp(a, b) == 0;
}

/* Keys that speak of this call of the program, not of the run. */
static bool is_of_this_call(const char *name)
{
    static const char *const keys[] = {"out",       "recipe", "config", "resume",
                                       "overwrite", "json",   "quiet",  "verbose"};
    for (int i = 0; i < SL_COUNT(keys); i++) {
        if (strcmp(keys[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Settings of a resumed run are those it began with. What the user says anew must agree,
 * but for the free keys and a larger number of epochs. */
static enum sl_status merge_resumed(struct sl_error *err, struct api_run *run,
                                    const char *path)
{
    enum sl_status status = SL_OK;
    struct sl_conf *began = NULL;
    struct api_table table = {0};
    SL_TRY_OUT(api_table_create(err, "pretrain", &table));
    SL_TRY_OUT(sl_conf_create(err, table.keys, table.n, &began));
    SL_TRY_OUT(api_conf_load_run(err, began, path));
    for (int i = 0; i < table.n; i++) {
        const char *name = table.keys[i].name;
        enum sl_conf_origin origin = sl_conf_origin(run->conf, name);
        const char *now = sl_conf_text(run->conf, name);
        const char *then = sl_conf_text(began, name);
        if (api_key_is_free(name)) {
            bool asked =
                origin != SL_FROM_DEFAULT && strcmp(name, "data-fingerprint") != 0;
            if (!asked && !is_of_this_call(name)) {
                SL_TRY_OUT(api_resolve(err, run->conf, name, then));
            }
            continue;
        }
        bool said = origin != SL_FROM_DEFAULT && strcmp(now, "auto") != 0;
        if (said && !same_value(now, then)) {
            bool longer = strcmp(name, "epochs") == 0 &&
                          sl_conf_int(run->conf, name) > sl_conf_int(began, name);
            bool percent = strchr(now, '%') != NULL && strcmp(name, "slow-start") == 0;
            bool list = strcmp(name, "widths") == 0;
            if (longer) {
                sl_log(SL_LOG_WARNING,
                       "resume: %s epochs instead of %s: the learning rate's schedule "
                       "changes "
                       "from here on",
                       now, then);
                continue;
            }
            struct sl_widths a;
            struct sl_widths b;
            struct sl_error ignored = {0};
            list = list && sl_widths_parse(&ignored, now, true, "", &a) == SL_OK &&
                   sl_widths_parse(&ignored, then, true, "", &b) == SL_OK &&
                   memcmp(&a, &b, sizeof a) == 0;
            if (!percent && !list) {
                status = SL_FAIL(
                    err, SL_ERROR_USAGE,
                    "--%s %s: the run being resumed has %s; leave it out, or begin "
                    "another run",
                    name, now, then);
                goto out;
            }
        }
        SL_TRY_OUT(api_resolve(err, run->conf, name, then));
    }
out:
    sl_conf_destroy(began);
    api_table_finish(&table);
    return status;
}

enum sl_status api_run_settle(struct sl_error *err, struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    const char *resume = sl_conf_text(run->conf, "resume");
    bool automatic = strcmp(resume, "auto") == 0;
    bool named = resume[0] != '\0' && !automatic;
    if (named && sl_path_kind(resume) == SL_PATH_MISSING) {
        return SL_FAIL(err, SL_ERROR_RUN, "--resume=%s: no such checkpoint", resume);
    }
    run->resumed = named || (automatic && sl_path_kind(run->last) == SL_PATH_FILE);
    if (automatic && !run->resumed) {
        sl_log(SL_LOG_INFO, "resume: no checkpoint in %s yet; starting afresh",
               run->directory);
    }
    if (!run->resumed) {
        return SL_OK;
    }
    if (!sl_path_join(path, sizeof path, run->directory, "config.ini")) {
        return SL_FAIL(err, SL_ERROR_USAGE, "-o: path too long");
    }
    if (sl_path_kind(path) != SL_PATH_FILE) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--resume: %s holds no config.ini; a run goes on in its own "
                       "directory (a new one may start with --init-from)",
                       run->directory);
    }
    return merge_resumed(err, run, path);
}
