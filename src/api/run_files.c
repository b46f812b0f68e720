/* SPDX-License-Identifier: MIT */
/*
 * The files of a run's directory: config.ini, metrics, checkpoints, bad_files.txt. Each
 * is whole at every moment, or append-only by lines.
 */
#include "run_int.h"

#include <stdlib.h>
#include <string.h>

enum { BAD_FILES_MOST = 1 << 30 };

enum sl_status api_run_write_config(struct sl_error *err, struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    char described[256];
    struct sl_text text = {0};
    enum sl_status status = SL_OK;
    run->device.table->describe(run->device.state, described, sizeof described);
    sl_text_add(&text, "# slimclr %s; %s\n", slim_version(), described);
    sl_text_add(&text, "# every setting of this run, resolved; a valid --config\n");
    /* Relative words become absolute epochs, so that a longer schedule does not move what
     * has begun. */
    int n = sl_conf_key_count(run->conf);
    for (int i = 0; i < n; i++) {
        const char *name = sl_conf_key(run->conf, i)->name;
        if (strcmp(name, "resume") != 0 && strcmp(name, "overwrite") != 0 &&
            strcmp(name, "config") != 0 && strcmp(name, "recipe") != 0) {
            sl_text_add(&text, "%s = %s\n", name, sl_conf_text(run->conf, name));
        }
    }
    if (text.failed || !sl_path_join(path, sizeof path, run->directory, "config.ini")) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: cannot name or hold config.ini",
                         run->directory);
        goto out;
    }
    SL_TRY_OUT(sl_file_write(err, path, text.text, text.length));
out:
    sl_text_finish(&text);
    return status;
}

enum sl_status api_run_open_metrics(struct sl_error *err, struct api_run *run)
{
    static const char *const first[] = {"step",      "epoch", "lr",     "images_per_sec",
                                        "data_wait", "loss",  "chance", "knn_chance"};
    bool has_labels = sl_method_info(run->settings.trainer.method)->has_labels;
    static const char *const contrasted[] = {"loss",    "distill",   "contrast_acc",
                                             "emb_std", "grad_norm", "knn_acc1"};
    static const char *const classified[] = {"loss", "distill", "acc", "grad_norm",
                                             "knn_acc1"};
    const char *const *per_width = has_labels ? classified : contrasted;
    int n_per_width = has_labels ? SL_COUNT(classified) : SL_COUNT(contrasted);
    char names[SL_COUNT(first) + SL_WIDTHS_MAX * SL_COUNT(contrasted)][48];
    const char *columns[SL_COUNT(names)];
    int n = 0;
    for (int i = 0; i < SL_COUNT(first); i++) {
        (void)snprintf(names[n++], sizeof names[0], "%s", first[i]);
    }
    for (int k = 0; k < n_per_width; k++) {
        for (int w = 0; w < run->net->widths.n; w++) {
            char width[16];
            sl_multiplier_text(run->net->widths.at[w], width, sizeof width);
            (void)snprintf(names[n++], sizeof names[0], "%s/w%s", per_width[k], width);
        }
    }
    for (int i = 0; i < n; i++) {
        columns[i] = names[i];
    }
    int64_t through = run->resumed ? sl_trainer_steps(run->trainer) : -1;
    if (!sl_conf_bool(run->conf, "no-tensorboard")) {
        SL_TRY(sl_events_open(err, run->directory, through, &run->events));
    }
    return sl_metrics_open(err, run->directory, columns, n, through, &run->metrics);
}

double api_run_epoch(const struct api_run *run, int64_t step)
{
    return (double)step / (double)run->settings.steps_per_epoch;
}

enum sl_status api_run_save(struct sl_error *err, struct api_run *run, bool numbered)
{
    int64_t step = sl_trainer_steps(run->trainer);
    int keep = (int)sl_conf_int(run->conf, "keep");
    if (numbered && keep > 0) {
        char name[96];
        char path[RUN_PATH_LENGTH];
        sl_checkpoint_name(step / run->settings.steps_per_epoch, step, name, sizeof name);
        if (!sl_path_join(path, sizeof path, run->checkpoints, name)) {
            return SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", run->checkpoints);
        }
        SL_TRY(sl_checkpoint_save(err, path, &run->device, &run->state,
                                  run->checkpoint_conf.text, &run->classes));
    }
    SL_TRY(sl_checkpoint_save(err, run->last, &run->device, &run->state,
                              run->checkpoint_conf.text, &run->classes));
    sl_checkpoint_prune(run->checkpoints, keep);
    return SL_OK;
}

/* ---- bad_files.txt: a path, a tab and a reason a line ------------------------------ */

/* A path may hold any byte; in the list a line stays a line. */
static void add_field(struct sl_text *text, const char *field)
{
    for (const char *at = field; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte < 0x20 || byte == '\\') {
            sl_text_add(text, "\\x%02x", byte);
        } else {
            sl_text_add_bytes(text, at, 1);
        }
    }
}

static void add_bad(const struct api_run *run, int64_t i, struct sl_text *text)
{
    add_field(text, sl_loader_bad_name(run->loader, i));
    sl_text_add(text, "\t");
    add_field(text, sl_loader_bad_reason(run->loader, i));
}

static bool bad_files_path(const struct api_run *run, char path[RUN_PATH_LENGTH])
{
    return sl_path_join(path, RUN_PATH_LENGTH, run->directory, "bad_files.txt");
}

void api_run_forget_bad_files(const struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    if (bad_files_path(run, path)) {
        (void)sl_file_remove(path);
    }
}

/* The file as it stands so far, whole, and then a log that grows by lines. */
static enum sl_status begin_bad_files(struct sl_error *err, struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    struct sl_text text = {0};
    enum sl_status status = SL_OK;
    for (int64_t i = 0; i < run->bad_written; i++) {
        add_bad(run, i, &text);
        sl_text_add(&text, "\n");
    }
    if (text.failed || !bad_files_path(run, path)) {
        status =
            SL_FAIL(err, SL_ERROR_RUN, "%s: cannot hold bad_files.txt", run->directory);
        goto out;
    }
    SL_TRY_OUT(sl_file_write(err, path, text.text, text.length));
    SL_TRY_OUT(sl_file_log_open(err, path, &run->bad_log));
out:
    sl_text_finish(&text);
    return status;
}

enum sl_status api_run_write_bad_files(struct sl_error *err, struct api_run *run)
{
    int64_t n = sl_loader_bad_count(run->loader);
    if (n > run->bad_written && run->bad_log == NULL) {
        SL_TRY(begin_bad_files(err, run));
    }
    for (; run->bad_written < n; run->bad_written++) {
        struct sl_text line = {0};
        sl_log(SL_LOG_WARNING, "damaged picture: %s: %s",
               sl_loader_bad_name(run->loader, run->bad_written),
               sl_loader_bad_reason(run->loader, run->bad_written));
        add_bad(run, run->bad_written, &line);
        enum sl_status status =
            line.failed ? SL_FAIL(err, SL_ERROR_RUN, "bad_files.txt: out of memory")
                        : sl_file_log_line(err, run->bad_log, line.text);
        sl_text_finish(&line);
        SL_TRY(status);
    }
    return SL_OK;
}

/* One line of the list, cut in two. */
struct line {
    char *name, *reason;
    int64_t number; /* of the line */
    int32_t id;     /* of the picture, or -1: it is no longer there */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->name, ((const struct line *)b)->name);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = ((const struct line *)a)->number, y = ((const struct line *)b)->number;
    return x < y ? -1 : x > y ? 1 : 0;
}

/* Cuts the text into lines; a last one that has no end is left out. */
static int64_t cut_lines(char *text, struct line *lines)
{
    int64_t n = 0;
    for (char *end = strchr(text, '\n'); end != NULL; end = strchr(text, '\n')) {
        char *tab = strchr(text, '\t');
        *end = '\0';
        if (tab != NULL && tab < end) {
            *tab = '\0';
            lines[n] = (struct line){text, tab + 1, n, -1};
            n++;
        }
        text = end + 1;
    }
    return n;
}

/* Finds the lines' pictures by their names, with one pass over all names. */
static enum sl_status find_pictures(struct sl_error *err, const struct sl_source *source,
                                    struct line *lines, int64_t n)
{
    qsort(lines, (size_t)n, sizeof *lines, by_name);
    for (int64_t i = 0; i < sl_source_count(source); i++) {
        char name[RUN_PATH_LENGTH];
        struct sl_text field = {0};
        sl_source_name(source, i, name, sizeof name);
        add_field(&field, name);
        if (field.failed) {
            sl_text_finish(&field);
            return SL_FAIL(err, SL_ERROR_RUN, "bad_files.txt: out of memory");
        }
        const struct line key = {.name = field.text};
        struct line *found = bsearch(&key, lines, (size_t)n, sizeof *lines, by_name);
        if (found != NULL) {
            found->id = (int32_t)i;
        }
        sl_text_finish(&field);
    }
    qsort(lines, (size_t)n, sizeof *lines, by_number);
    return SL_OK;
}

enum sl_status api_run_recall_bad_files(struct sl_error *err, struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    unsigned char *bytes = NULL;
    int64_t size = 0, n = 0;
    struct line *lines = NULL;
    enum sl_status status = SL_OK;
    if (!bad_files_path(run, path) || sl_path_kind(path) != SL_PATH_FILE) {
        return SL_OK;
    }
    SL_TRY_OUT(sl_file_read(err, SL_ERROR_RUN, path, BAD_FILES_MOST, &bytes, &size));
    for (int64_t i = 0; i < size; i++) {
        n += bytes[i] == '\n';
    }
    SL_TRY_OUT(sl_heap_alloc(err, "bad_files.txt", n + 1, sizeof *lines, &lines));
    n = cut_lines((char *)bytes, lines);
    SL_TRY_OUT(find_pictures(err, run->source, lines, n));
    for (int64_t i = 0; i < n; i++) {
        if (lines[i].id >= 0) {
            SL_TRY_OUT(
                sl_loader_recall_bad(err, run->loader, lines[i].id, lines[i].reason));
        }
    }
    run->bad_written = sl_loader_bad_count(run->loader);
out:
    sl_heap_free(lines);
    sl_heap_free(bytes);
    return status;
}
