/* SPDX-License-Identifier: MIT */
/*
 * `slimclr analyse trajectory`: the path that a run's parameters took, on the plane of
 * its two principal directions (or of two random ones), and the test error around its end
 * (docs/analyse.md, "The path and the surface"). Here: what is asked for, the rows,
 * directions and paths.
 */
#include "trajectory_int.h"

#include <math.h>
#include <string.h>

static const double MARGIN = 0.2; /* of the path's extent, on each side */

enum sl_status api_trajectory_join(struct sl_error *err, char path[API_PATH_LENGTH],
                                   const char *folder, const char *name)
{
    return sl_path_join(path, API_PATH_LENGTH, folder, name)
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", folder);
}

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status find_snapshots(struct sl_error *err, struct api_trajectory *job,
                                     const char *run)
{
    if (!sl_text_copy(job->run, sizeof job->run, run)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%.80s…: path too long", run);
    }
    SL_TRY(api_trajectory_join(err, job->snapshots, run, "snapshots"));
    SL_TRY(api_trajectory_join(err, job->folder, run, "analyse"));
    if (sl_path_kind(run) == SL_PATH_MISSING) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: no such run directory", run);
    }
    if (sl_path_kind(job->snapshots) == SL_PATH_DIRECTORY) {
        SL_TRY(sl_snapshot_list(err, job->snapshots, &job->list, &job->n_list));
    }
    return job->n_list > 0
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_USAGE,
                         "%s: holds no snapshots; a run keeps them when `pretrain` is "
                         "given --snapshots",
                         run);
}

bool api_trajectory_classifies(const struct api_trajectory *job)
{
    return api_model_classifies(&job->judge->model);
}

/* What is of the surface, where there are no pictures to take an error of. */
static enum sl_status refuse_surface(struct sl_error *err, const struct sl_conf *conf)
{
    static const char *const keys[] = {"grid",       "surface-width", "limit",
                                       "limit-test", "features",      "knn-k",
                                       "knn-t",      "image-size",    "test-fraction"};
    for (int i = 0; i < SL_COUNT(keys); i++) {
        if (sl_conf_origin(conf, keys[i]) == SL_FROM_USER) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--%s %s: without DATA there is no error surface, only the "
                           "paths; name labelled pictures, or leave it out",
                           keys[i], sl_conf_text(conf, keys[i]));
        }
    }
    return SL_OK;
}

static enum sl_status open_model(struct sl_error *err, struct api_trajectory *job,
                                 const slim_options *options, const char *data,
                                 const slim_hooks *hooks)
{
    char last[API_PATH_LENGTH];
    struct api_judge *judge = job->judge;
    struct sl_conf *conf = NULL;
    SL_TRY(
        api_trajectory_join(err, last, job->snapshots, job->list[job->n_list - 1].name));
    SL_TRY(api_conf_complete(err, options, &conf));
    job->has_surface = data != NULL || sl_conf_text(conf, "train")[0] != '\0' ||
                       sl_conf_text(conf, "test")[0] != '\0';
    if (job->has_surface) {
        sl_conf_destroy(conf);
        SL_TRY(api_judge_open(err, judge, options, last, data, hooks));
        SL_TRY(api_trajectory_classifies(job) ? api_judge_match_classes(err, judge)
                                              : SL_OK);
    } else {
        judge->hooks = hooks;
        judge->conf = conf;
        SL_TRY(refuse_surface(err, conf));
        SL_TRY(api_model_open(err, last, 0, conf, &judge->model));
    }
    const struct sl_params *params = judge->model.params;
    const struct sl_device *device = &judge->model.device;
    int64_t total = judge->model.net->total;
    SL_TRY(sl_heap_alloc(err, "final parameters", total, sizeof(float), &job->final));
    device->table->get(device->state, job->final, params->weight,
                       (size_t)total * sizeof(float));
    return SL_OK;
}

/* The index of the width that a key names; "auto" is the full one. */
static enum sl_status one_width(struct sl_error *err, const struct api_trajectory *job,
                                const char *key, int *width)
{
    const struct sl_conf *conf = job->judge->conf;
    const struct sl_widths *there = &job->judge->model.net->widths;
    struct sl_widths asked;
    char where[32];
    *width = 0;
    if (sl_conf_is_auto(conf, key)) {
        return SL_OK;
    }
    (void)snprintf(where, sizeof where, "--%s", key);
    SL_TRY(sl_widths_parse(err, sl_conf_text(conf, key), false, where, &asked));
    *width = asked.n == 1 ? sl_widths_find(there, asked.at[0]) : -1;
    return *width >= 0 ? SL_OK
                       : SL_FAIL(err, SL_ERROR_USAGE, "%s %s: not one width of this run",
                                 where, sl_conf_text(conf, key));
}

/* ---- rows -------------------------------------------------------------------------- */

static bool is_of(const struct sl_snapshot *snapshot, const char *width)
{
    return snapshot->width[0] == '\0' || width[0] == '\0' ||
           strcmp(snapshot->width, width) == 0;
}

/* Whether widths have ways of their own: an update after each. */
static bool is_apart(const struct api_trajectory *job)
{
    for (int64_t i = 0; i < job->n_list; i++) {
        if (job->list[i].width[0] != '\0') {
            return true;
        }
    }
    return false;
}

/* Widths that moved together cannot be told apart. */
static enum sl_status refuse_width(struct sl_error *err, const struct sl_conf *conf,
                                   const char *key)
{
    return sl_conf_is_auto(conf, key)
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_USAGE,
                         "--%s %s: this run made one update a batch (--update joint), so "
                         "that all widths have one path; leave it out",
                         key, sl_conf_text(conf, key));
}

/* The snapshots of a width: those taken after its update and those that are of all. */
static enum sl_status open_rows(struct sl_error *err, const struct api_trajectory *job,
                                const char *width, struct sl_snapshot_rows **rows)
{
    enum sl_status status = SL_OK;
    char(*paths)[API_PATH_LENGTH] = NULL;
    const char **texts = NULL;
    int n = 0;
    *rows = NULL;
    SL_TRY_OUT(sl_heap_alloc(err, "names", job->n_list, sizeof *paths, &paths));
    SL_TRY_OUT(sl_heap_alloc(err, "names", job->n_list, sizeof *texts, &texts));
    for (int64_t i = 0; i < job->n_list; i++) {
        if (is_of(&job->list[i], width)) {
            SL_TRY_OUT(
                api_trajectory_join(err, paths[n], job->snapshots, job->list[i].name));
            texts[n] = paths[n];
            n++;
        }
    }
    SL_TRY_OUT(sl_snapshot_rows_open(err, job->judge->model.net, texts, n, rows));
out:
    sl_heap_free(paths);
    sl_heap_free(texts);
    return status;
}

static enum sl_status find_directions(struct sl_error *err, struct api_trajectory *job)
{
    const struct sl_conf *conf = job->judge->conf;
    const struct sl_net *net = job->judge->model.net;
    char width[16];
    struct sl_snapshot_rows *rows = NULL;
    SL_TRY(one_width(err, job, "fit-width", &job->fit_width));
    if (!is_apart(job)) {
        SL_TRY(refuse_width(err, conf, "fit-width"));
    }
    if (strcmp(sl_conf_text(conf, "directions"), "random") == 0) {
        SL_TRY(api_refuse_idle(err, conf, "fit-width", "directions", "fit"));
        return sl_directions_random(
            err, net, job->final, (uint64_t)sl_conf_int(conf, "seed"), &job->directions);
    }
    sl_multiplier_text(net->widths.at[job->fit_width], width, sizeof width);
    SL_TRY(open_rows(err, job, width, &rows));
    job->n_fit = sl_snapshot_rows_count(rows);
    enum sl_status status =
        sl_directions_pca(err, net, rows, job->final, &job->directions);
    sl_snapshot_rows_close(rows);
    return status;
}

static enum sl_status project(struct sl_error *err, struct api_trajectory *job,
                              struct api_path *path)
{
    enum sl_status status = SL_OK;
    struct sl_snapshot_rows *rows = NULL;
    SL_TRY_OUT(open_rows(err, job, path->width, &rows));
    int n = sl_snapshot_rows_count(rows);
    SL_TRY_OUT(sl_heap_alloc(err, "path", n, sizeof *path->points, &path->points));
    SL_TRY_OUT(sl_heap_alloc(err, "path", n, sizeof *path->moments, &path->moments));
    for (int64_t i = 0; i < job->n_list; i++) {
        if (is_of(&job->list[i], path->width)) {
            path->moments[path->n++] = &job->list[i];
        }
    }
    SL_TRY_OUT(sl_directions_project(err, job->judge->model.net, rows, job->final,
                                     &job->directions, path->points));
out:
    sl_snapshot_rows_close(rows);
    return status;
}

/* The snapshots of a path may be missing: of a run that began to keep them only when it
 * was resumed, or whose files were removed. */
static bool has_snapshot(const struct api_trajectory *job, const char *width)
{
    for (int64_t i = 0; i < job->n_list; i++) {
        if (is_of(&job->list[i], width)) {
            return true;
        }
    }
    return false;
}

/* A path for each width, or one for all where parameters moved once a batch. */
static enum sl_status find_paths(struct sl_error *err, struct api_trajectory *job)
{
    const struct sl_conf *conf = job->judge->conf;
    const struct sl_widths *there = &job->judge->model.net->widths;
    struct sl_widths asked = *there;
    bool apart = is_apart(job);
    if (!apart) {
        SL_TRY(refuse_width(err, conf, "widths"));
    }
    if (!sl_conf_is_auto(conf, "widths")) {
        SL_TRY(sl_widths_parse(err, sl_conf_text(conf, "widths"), false, "--widths",
                               &asked));
    }
    for (int i = 0; i < asked.n && (apart || i == 0); i++) {
        if (sl_widths_find(there, asked.at[i]) < 0) {
            return SL_FAIL(err, SL_ERROR_USAGE, "--widths %s: not widths of this run",
                           sl_conf_text(conf, "widths"));
        }
        char width[16];
        sl_multiplier_text(asked.at[i], width, sizeof width);
        if (apart && !has_snapshot(job, width)) {
            sl_log(SL_LOG_WARNING, "width %s: no snapshot of it; its path is left out",
                   width);
            continue;
        }
        struct api_path *path = &job->paths[job->n_paths++];
        (void)snprintf(path->label, sizeof path->label, "%s%s",
                       apart ? "width " : "all widths", apart ? width : "");
        (void)sl_text_copy(path->width, sizeof path->width, apart ? width : "");
        path->colour = sl_widths_find(there, asked.at[i]) % SL_COLOURS;
        SL_TRY(project(err, job, path));
    }
    return job->n_paths > 0
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_USAGE,
                         "--widths %s: %s holds no snapshot of any of them; name others",
                         sl_conf_text(conf, "widths"), job->snapshots);
}

/* ---- the grid ---------------------------------------------------------------------- */

/* "A,B" with A below B; "auto": the extent of the paths and of the origin, and a margin.
 */
static enum sl_status find_range(struct sl_error *err, const struct api_trajectory *job,
                                 const char *key, int axis, double range[2])
{
    const struct sl_conf *conf = job->judge->conf;
    const char *text = sl_conf_text(conf, key);
    char first[48];
    size_t length = strcspn(text, ",");
    if (!sl_conf_is_auto(conf, key)) {
        if (length < sizeof first && text[length] == ',') {
            memcpy(first, text, length);
            first[length] = '\0';
            if (sl_parse_real(first, &range[0]) &&
                sl_parse_real(text + length + 1, &range[1]) && range[0] < range[1] &&
                isfinite(range[1] - range[0])) {
                return SL_OK;
            }
        }
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--%s '%s': not a range; give two numbers A,B with A below B", key,
                       text);
    }
    range[0] = range[1] = 0.0;
    for (int p = 0; p < job->n_paths; p++) {
        for (int i = 0; i < job->paths[p].n; i++) {
            range[0] = fmin(range[0], job->paths[p].points[i][axis]);
            range[1] = fmax(range[1], job->paths[p].points[i][axis]);
        }
    }
    double size = range[1] - range[0] > 0.0 ? range[1] - range[0] : 1.0;
    range[0] -= MARGIN * size;
    range[1] += MARGIN * size;
    return SL_OK;
}

/* "51" or "51x31". */
static enum sl_status find_grid(struct sl_error *err, struct api_trajectory *job)
{
    const char *text = sl_conf_text(job->judge->conf, "grid");
    int used = 0;
    struct sl_grid *grid = &job->grid;
    int n = sscanf(text, "%4d%nx%4d%n", &grid->nx, &used, &grid->ny, &used);
    grid->ny = n == 1 ? grid->nx : grid->ny;
    if (n < 1 || text[used] != '\0' || grid->nx < 2 || grid->ny < 2 || grid->nx > 1000 ||
        grid->ny > 1000) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--grid '%s': not a size; give N or NxM, each 2 to 1000", text);
    }
    SL_TRY(find_range(err, job, "x-range", 0, grid->x));
    SL_TRY(find_range(err, job, "y-range", 1, grid->y));
    SL_TRY(one_width(err, job, "surface-width", &job->surface_width));
    int64_t count = (int64_t)grid->nx * grid->ny;
    SL_TRY(sl_heap_alloc(err, "surface", count, sizeof *grid->value, &grid->value));
    for (int64_t i = 0; i < count; i++) {
        grid->value[i] = NAN;
    }
    return SL_OK;
}

/* ---- the whole --------------------------------------------------------------------- */

static enum sl_status run_job(struct sl_error *err, struct api_trajectory *job,
                              const slim_options *options, const char *run,
                              const char *data, const slim_hooks *hooks)
{
    SL_TRY(find_snapshots(err, job, run));
    SL_TRY(open_model(err, job, options, data, hooks));
    SL_TRY(find_directions(err, job));
    SL_TRY(find_paths(err, job));
    SL_TRY(find_grid(err, job));
    SL_TRY(sl_dir_create(err, job->folder));
    if (job->has_surface) {
        SL_TRY(api_trajectory_surface(err, job));
    }
    return api_trajectory_write(err, job);
}

static void close_job(struct api_trajectory *job)
{
    for (int p = 0; p < SL_WIDTHS_MAX; p++) {
        sl_heap_free(job->paths[p].points);
        sl_heap_free(job->paths[p].moments);
    }
    sl_file_log_close(job->points);
    sl_heap_free(job->grid.value);
    sl_directions_finish(&job->directions);
    sl_heap_free(job->final);
    sl_heap_free(job->list);
    api_judge_close(job->judge);
    sl_heap_free(job);
}

slim_status slim_analyse_trajectory(const slim_options *options, const char *run,
                                    const char *data, bool json, const slim_hooks *hooks,
                                    char **text, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct api_trajectory *job = NULL;
    struct sl_text out = {0};
    *text = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "trajectory", 1, sizeof *job, &job));
    SL_TRY_OUT(sl_heap_alloc(&err, "model", 1, sizeof *job->judge, &job->judge));
    SL_TRY_OUT(run_job(&err, job, options, run, data, hooks));
    if (json) {
        SL_TRY_OUT(api_json_add(&err, &out, api_trajectory_json(job)));
    } else {
        api_trajectory_text(job, &out);
    }
    SL_TRY_OUT(api_text_out(&err, &out, text));
out:
    sl_text_finish(&out);
    if (job != NULL) {
        close_job(job);
    }
    return api_leave(&err, status, error);
}
