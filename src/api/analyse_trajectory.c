/* SPDX-License-Identifier: MIT */
/*
 * `slimclr analyse trajectory`: the path that a run's parameters took, on the plane of
 * its two principal directions (or of two random ones), and the test error around its end
 * (spec section 13). Files go to RUN/analyse: the picture, its data, and the points of
 * the surface as they come, so that a surface that was interrupted goes on where it was.
 */
#include "analyse/analyse.h"
#include "draw/draw.h"
#include "evaluate_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_LENGTH = 4096 };
static const int64_t FILE_MOST = (int64_t)1 << 30;
static const double MARGIN = 0.2; /* of the path's extent, on each side */
enum { LEVEL_STEP = 5 };          /* between contour lines, in percent of error */

/* One width's path. */
struct path {
    char label[32], width[16];
    int colour;
    int n;
    const struct sl_snapshot **moments;
    double (*points)[2];
};

struct job {
    struct api_judge *judge; /* model and, with DATA, both parts */
    char run[PATH_LENGTH], snapshots[PATH_LENGTH], folder[PATH_LENGTH];
    struct sl_snapshot *list;
    int64_t n_list;
    float *final;
    int fit_width, surface_width; /* of the model's */
    struct sl_directions directions;
    int n_fit, n_paths;
    struct path paths[SL_WIDTHS_MAX];
    bool has_surface;
    struct sl_grid grid;
    struct sl_file_log *points; /* surface.jsonl */
};

static enum sl_status join(struct sl_error *err, char path[PATH_LENGTH],
                           const char *folder, const char *name)
{
    return sl_path_join(path, PATH_LENGTH, folder, name)
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", folder);
}

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status find_snapshots(struct sl_error *err, struct job *job,
                                     const char *run)
{
    if (!sl_text_copy(job->run, sizeof job->run, run)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%.80s…: path too long", run);
    }
    SL_TRY(join(err, job->snapshots, run, "snapshots"));
    SL_TRY(join(err, job->folder, run, "analyse"));
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

static bool is_classifier(const struct job *job)
{
    return api_model_classifies(&job->judge->model);
}

static enum sl_status open_model(struct sl_error *err, struct job *job,
                                 const slim_options *options, const char *data,
                                 const slim_hooks *hooks)
{
    char last[PATH_LENGTH];
    struct api_judge *judge = job->judge;
    struct sl_conf *conf = NULL;
    SL_TRY(join(err, last, job->snapshots, job->list[job->n_list - 1].name));
    SL_TRY(api_conf_complete(err, options, &conf));
    job->has_surface = data != NULL || sl_conf_text(conf, "train")[0] != '\0' ||
                       sl_conf_text(conf, "test")[0] != '\0';
    if (job->has_surface) {
        sl_conf_destroy(conf);
        SL_TRY(api_judge_open(err, judge, options, last, data, hooks));
        SL_TRY(is_classifier(job) ? api_judge_check_classes(err, judge) : SL_OK);
    } else {
        judge->hooks = hooks;
        judge->conf = conf;
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
static enum sl_status one_width(struct sl_error *err, const struct job *job,
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
static bool is_apart(const struct job *job)
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
static enum sl_status open_rows(struct sl_error *err, const struct job *job,
                                const char *width, struct sl_snapshot_rows **rows)
{
    enum sl_status status = SL_OK;
    char(*paths)[PATH_LENGTH] = NULL;
    const char **texts = NULL;
    int n = 0;
    *rows = NULL;
    SL_TRY_OUT(sl_heap_alloc(err, "names", job->n_list, sizeof *paths, &paths));
    SL_TRY_OUT(sl_heap_alloc(err, "names", job->n_list, sizeof *texts, &texts));
    for (int64_t i = 0; i < job->n_list; i++) {
        if (is_of(&job->list[i], width)) {
            SL_TRY_OUT(join(err, paths[n], job->snapshots, job->list[i].name));
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

static enum sl_status find_directions(struct sl_error *err, struct job *job)
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

static enum sl_status project(struct sl_error *err, struct job *job, struct path *path)
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
static bool has_snapshot(const struct job *job, const char *width)
{
    for (int64_t i = 0; i < job->n_list; i++) {
        if (is_of(&job->list[i], width)) {
            return true;
        }
    }
    return false;
}

/* A path for each width, or one for all where parameters moved once a batch. */
static enum sl_status find_paths(struct sl_error *err, struct job *job)
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
        struct path *path = &job->paths[job->n_paths++];
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
static enum sl_status find_range(struct sl_error *err, const struct job *job,
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
static enum sl_status find_grid(struct sl_error *err, struct job *job)
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

/* ---- points that are known --------------------------------------------------------- */

/* Everything that the value of a point depends on. */
static void surface_key(const struct job *job, char key[32])
{
    const struct api_judge *judge = job->judge;
    const struct sl_grid *grid = &job->grid;
    size_t bytes = (size_t)judge->model.net->total * sizeof(float);
    const double numbers[] = {grid->x[0],
                              grid->x[1],
                              grid->y[0],
                              grid->y[1],
                              grid->nx,
                              grid->ny,
                              job->surface_width,
                              judge->model.view.size,
                              (double)judge->model.type,
                              judge->train_config.head,
                              (double)sl_conf_int(judge->conf, "knn-k"),
                              sl_conf_real(judge->conf, "knn-t")};
    const uint64_t parts[] = {sl_source_fingerprint(judge->train),
                              sl_source_fingerprint(judge->test)};
    uint64_t hash = sl_hash(SL_HASH_START, job->final, bytes);
    hash = sl_hash(hash, job->directions.d[0], bytes);
    hash = sl_hash(hash, job->directions.d[1], bytes);
    hash = sl_hash(hash, numbers, sizeof numbers);
    hash = sl_hash(hash, parts, sizeof parts);
    (void)snprintf(key, 32, "%016llx", (unsigned long long)hash);
}

static void take_point(struct sl_grid *grid, json_t *line)
{
    int64_t i = json_integer_value(json_object_get(line, "i"));
    int64_t j = json_integer_value(json_object_get(line, "j"));
    json_t *error = json_object_get(line, "error");
    if (i >= 0 && i < grid->nx && j >= 0 && j < grid->ny && json_is_number(error)) {
        grid->value[j * grid->nx + i] = json_number_value(error);
    }
}

/* Points of an earlier call, if they are of the same surface. */
static enum sl_status recall_points(struct sl_error *err, struct job *job,
                                    const char *path, const char *key)
{
    unsigned char *bytes = NULL;
    int64_t size = 0;
    bool same = false;
    if (sl_path_kind(path) != SL_PATH_FILE) {
        return SL_OK;
    }
    SL_TRY(sl_file_read(err, SL_ERROR_RUN, path, FILE_MOST, &bytes, &size));
    for (int64_t at = 0; at < size;) {
        const char *line = (const char *)bytes + at;
        const char *end = memchr(line, '\n', (size_t)(size - at));
        json_t *root =
            end != NULL ? json_loadb(line, (size_t)(end - line), 0, NULL) : NULL;
        const char *theirs = json_string_value(json_object_get(root, "key"));
        same = same || (at == 0 && theirs != NULL && strcmp(theirs, key) == 0);
        if (root == NULL || !same) {
            json_decref(root);
            break;
        }
        take_point(&job->grid, root);
        json_decref(root);
        at += end - line + 1;
    }
    sl_heap_free(bytes);
    return SL_OK;
}

static void point_line(struct sl_text *text, int i, int j, double error)
{
    sl_text_add(text, "{\"i\":%d,\"j\":%d,\"error\":%.6g}", i, j, error);
}

/* The file as it is known so far, whole, then a log that grows by lines. */
static enum sl_status open_points(struct sl_error *err, struct job *job, int64_t *known)
{
    enum sl_status status = SL_OK;
    struct sl_text text = {0};
    const struct sl_grid *grid = &job->grid;
    char path[PATH_LENGTH];
    char key[32];
    *known = 0;
    surface_key(job, key);
    SL_TRY(join(err, path, job->folder, "surface.jsonl"));
    SL_TRY(recall_points(err, job, path, key));
    sl_text_add(&text,
                "{\"key\":\"%s\",\"grid\":[%d,%d],\"x\":[%.9g,%.9g],\"y\":[%.9g,%.9g]}\n",
                key, grid->nx, grid->ny, grid->x[0], grid->x[1], grid->y[0], grid->y[1]);
    for (int j = 0; j < grid->ny; j++) {
        for (int i = 0; i < grid->nx; i++) {
            double value = grid->value[(int64_t)j * grid->nx + i];
            if (!isnan(value)) {
                point_line(&text, i, j, value);
                sl_text_add(&text, "\n");
                ++*known;
            }
        }
    }
    if (text.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", path);
        goto out;
    }
    SL_TRY_OUT(sl_file_write(err, path, text.text, text.length));
    SL_TRY_OUT(sl_file_log_open(err, path, &job->points));
out:
    sl_text_finish(&text);
    return status;
}

/* ---- the surface ------------------------------------------------------------------- */

static void say_time(double start, int64_t done, int64_t left)
{
    double seconds = (sl_clock() - start) / (double)done * (double)left;
    sl_log(SL_LOG_INFO, "surface: %lld points left, about %.1f minutes", (long long)left,
           seconds / 60.0);
}

static enum sl_status fill_grid(struct sl_error *err, struct job *job,
                                struct sl_surface *surface, int64_t known)
{
    struct sl_grid *grid = &job->grid;
    int64_t count = (int64_t)grid->nx * grid->ny;
    int64_t done = 0;
    double start = sl_clock();
    for (int64_t at = 0; at < count; at++) {
        int i = (int)(at % grid->nx);
        int j = (int)(at / grid->nx);
        struct sl_text line = {0};
        if (!isnan(grid->value[at])) {
            continue;
        }
        SL_TRY(sl_surface_error(err, surface, job->final, &job->directions,
                                sl_grid_x(grid, i), sl_grid_y(grid, j),
                                &grid->value[at]));
        point_line(&line, i, j, grid->value[at]);
        enum sl_status status =
            line.failed ? SL_FAIL(err, SL_ERROR_RUN, "surface.jsonl: out of memory")
                        : sl_file_log_line(err, job->points, line.text);
        sl_text_finish(&line);
        SL_TRY(status);
        done++;
        int64_t left = count - known - done;
        if (left > 0 && (done == 3 || i == grid->nx - 1)) {
            say_time(start, done, left);
        }
        if (left > 0 && api_stop_requested(job->judge->hooks)) {
            return SL_FAIL(err, SL_STOPPED,
                           "stopped with %lld points left; the same command goes on",
                           (long long)left);
        }
    }
    return SL_OK;
}

static enum sl_status make_surface(struct sl_error *err, struct job *job)
{
    struct api_judge *judge = job->judge;
    struct sl_surface *surface = NULL;
    int64_t known = 0;
    SL_TRY(open_points(err, job, &known));
    if (known == (int64_t)job->grid.nx * job->grid.ny) {
        return SL_OK;
    }
    if (known > 0) {
        sl_log(SL_LOG_INFO, "surface: %lld points are known from before",
               (long long)known);
    }
    SL_TRY(sl_surface_open(
        err,
        &(struct sl_surface_config){.device = &judge->model.device,
                                    .net = judge->model.net,
                                    .params = judge->model.params,
                                    .stats = judge->model.stats,
                                    .type = judge->model.type,
                                    .width = job->surface_width,
                                    .classifier = is_classifier(job),
                                    .n_classes = judge->classes,
                                    .knn_k = (int)sl_conf_int(judge->conf, "knn-k"),
                                    .knn_t = sl_conf_real(judge->conf, "knn-t"),
                                    .bank = judge->train,
                                    .test = judge->test,
                                    .view = judge->model.view,
                                    .batch = judge->train_config.batch,
                                    .n_workers = judge->train_config.n_workers,
                                    .features = !judge->train_config.head},
        &surface));
    enum sl_status status = fill_grid(err, job, surface, known);
    sl_surface_close(surface);
    return status;
}

/* ---- what is written --------------------------------------------------------------- */

static void extremes(const struct sl_grid *grid, double *least, double *most)
{
    *least = INFINITY;
    *most = -INFINITY;
    for (int64_t i = 0; i < (int64_t)grid->nx * grid->ny; i++) {
        *least = fmin(*least, grid->value[i]);
        *most = fmax(*most, grid->value[i]);
    }
}

static void paths_csv(const struct job *job, struct sl_text *text)
{
    sl_text_add(text, "width,epoch,step,x,y\n");
    for (int p = 0; p < job->n_paths; p++) {
        const struct path *path = &job->paths[p];
        for (int i = 0; i < path->n; i++) {
            sl_text_add(text, "%s,%lld,%lld,%.9g,%.9g\n",
                        path->width[0] != '\0' ? path->width : "all",
                        (long long)path->moments[i]->epoch,
                        (long long)path->moments[i]->step, path->points[i][0],
                        path->points[i][1]);
        }
    }
}

static void surface_csv(const struct sl_grid *grid, struct sl_text *text)
{
    sl_text_add(text, "x,y,error\n");
    for (int j = 0; j < grid->ny; j++) {
        for (int i = 0; i < grid->nx; i++) {
            sl_text_add(text, "%.9g,%.9g,%.6g\n", sl_grid_x(grid, i), sl_grid_y(grid, j),
                        grid->value[(int64_t)j * grid->nx + i]);
        }
    }
}

static void axis_label(const struct job *job, int axis, char *dst, size_t size)
{
    if (job->n_fit > 0) {
        (void)snprintf(dst, size, "principal direction %d (%.1f %% of the variance)",
                       axis + 1, 100.0 * job->directions.explained[axis]);
    } else {
        (void)snprintf(dst, size, "random direction %d (filter-normalised)", axis + 1);
    }
}

/* The series of a path, in the colour that its width has in every figure; `values` takes
 * 2 n. */
static struct sl_series path_series(const struct path *path, double *values)
{
    for (int i = 0; i < path->n; i++) {
        values[i] = path->points[i][0];
        values[path->n + i] = path->points[i][1];
    }
    return (struct sl_series){.name = path->label,
                              .colour = path->colour,
                              .draw = SL_DRAW_PATH,
                              .n = path->n,
                              .x = values,
                              .y = values + path->n};
}

static enum sl_status picture(struct sl_error *err, const struct job *job,
                              struct sl_text *text)
{
    const struct sl_net *net = job->judge->model.net;
    const struct sl_contours contours = {.grid = &job->grid,
                                         .step = LEVEL_STEP,
                                         .n_levels = 100 / LEVEL_STEP,
                                         .name = is_classifier(job) ? "test error, %"
                                                                    : "kNN error, %"};
    struct sl_series series[SL_WIDTHS_MAX];
    double *values = NULL;
    int64_t n = 0;
    char labels[2][64];
    char title[160];
    char width[16];
    sl_multiplier_text(net->widths.at[job->surface_width], width, sizeof width);
    for (int p = 0; p < job->n_paths; p++) {
        n += job->paths[p].n;
    }
    SL_TRY(sl_heap_alloc(err, "points of the paths", 2 * n, sizeof *values, &values));
    for (int64_t p = 0, at = 0; p < job->n_paths; at += 2 * job->paths[p].n, p++) {
        series[p] = path_series(&job->paths[p], values + at);
    }
    axis_label(job, 0, labels[0], sizeof labels[0]);
    axis_label(job, 1, labels[1], sizeof labels[1]);
    (void)snprintf(title, sizeof title,
                   job->has_surface ? "Path of the parameters and test error "
                                      "of width %s around its end"
                                    : "Path of the parameters",
                   width);
    sl_plot_svg(&(struct sl_plot){.id = "trajectory",
                                  .title = title,
                                  .x_name = labels[0],
                                  .y_name = labels[1],
                                  .has_x_range = true,
                                  .has_y_range = true,
                                  .x_low = job->grid.x[0],
                                  .x_high = job->grid.x[1],
                                  .y_low = job->grid.y[0],
                                  .y_high = job->grid.y[1],
                                  .series = series,
                                  .n_series = job->n_paths,
                                  .is_plane = true,
                                  .contours = job->has_surface ? &contours : NULL},
                true, text);
    sl_heap_free(values);
    return SL_OK;
}

static json_t *pair(double a, double b)
{
    json_t *array = json_array();
    json_array_append_new(array, json_real(a));
    json_array_append_new(array, json_real(b));
    return array;
}

static json_t *path_json(const struct path *path)
{
    json_t *one = json_object();
    json_t *points = json_array();
    json_object_set_new(one, "width",
                        json_string(path->width[0] != '\0' ? path->width : "all"));
    for (int i = 0; i < path->n; i++) {
        json_t *point = json_object();
        json_object_set_new(point, "epoch", json_integer(path->moments[i]->epoch));
        json_object_set_new(point, "step", json_integer(path->moments[i]->step));
        json_object_set_new(point, "x", json_real(path->points[i][0]));
        json_object_set_new(point, "y", json_real(path->points[i][1]));
        json_array_append_new(points, point);
    }
    json_object_set_new(one, "points", points);
    return one;
}

static json_t *surface_json(const struct job *job)
{
    const struct api_judge *judge = job->judge;
    json_t *surface = json_object();
    double least = 0.0;
    double most = 0.0;
    extremes(&job->grid, &least, &most);
    json_object_set_new(
        surface, "width",
        json_real(sl_multiplier_value(judge->model.net->widths.at[job->surface_width])));
    json_object_set_new(surface, "judge",
                        json_string(is_classifier(job) ? "classifier" : "knn"));
    json_object_set_new(surface, "data", json_string(judge->data));
    json_object_set_new(surface, "n_train", json_integer(sl_source_count(judge->train)));
    json_object_set_new(surface, "n_test", json_integer(sl_source_count(judge->test)));
    json_object_set_new(surface, "nx", json_integer(job->grid.nx));
    json_object_set_new(surface, "ny", json_integer(job->grid.ny));
    json_object_set_new(surface, "least_error", json_real(least));
    json_object_set_new(surface, "most_error", json_real(most));
    return surface;
}

static json_t *result_json(const struct job *job)
{
    json_t *root = json_object();
    json_t *paths = json_array();
    const struct sl_widths *widths = &job->judge->model.net->widths;
    json_object_set_new(root, "analyse", json_string("trajectory"));
    json_object_set_new(root, "directions",
                        json_string(sl_conf_text(job->judge->conf, "directions")));
    if (job->n_fit > 0) {
        json_object_set_new(root, "fit_width",
                            json_real(sl_multiplier_value(widths->at[job->fit_width])));
        json_object_set_new(root, "fit_snapshots", json_integer(job->n_fit));
        json_object_set_new(
            root, "explained",
            pair(job->directions.explained[0], job->directions.explained[1]));
    }
    json_object_set_new(root, "final", json_string(job->list[job->n_list - 1].name));
    json_object_set_new(root, "x", pair(job->grid.x[0], job->grid.x[1]));
    json_object_set_new(root, "y", pair(job->grid.y[0], job->grid.y[1]));
    for (int p = 0; p < job->n_paths; p++) {
        json_array_append_new(paths, path_json(&job->paths[p]));
    }
    json_object_set_new(root, "paths", paths);
    if (job->has_surface) {
        json_object_set_new(root, "surface", surface_json(job));
    }
    return root;
}

static enum sl_status write_file(struct sl_error *err, const struct job *job,
                                 const char *name, struct sl_text *text)
{
    char path[PATH_LENGTH];
    enum sl_status status = join(err, path, job->folder, name);
    if (status == SL_OK) {
        status = text->failed ? SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", path)
                              : sl_file_write(err, path, text->text, text->length);
    }
    sl_text_finish(text);
    *text = (struct sl_text){0};
    return status;
}

static enum sl_status write_files(struct sl_error *err, const struct job *job)
{
    struct sl_text text = {0};
    paths_csv(job, &text);
    SL_TRY(write_file(err, job, "trajectory.csv", &text));
    if (job->has_surface) {
        surface_csv(&job->grid, &text);
        SL_TRY(write_file(err, job, "surface.csv", &text));
    }
    SL_TRY(picture(err, job, &text));
    SL_TRY(write_file(err, job, "trajectory.svg", &text));
    SL_TRY(api_json_add(err, &text, result_json(job)));
    sl_text_add(&text, "\n");
    return write_file(err, job, "trajectory.json", &text);
}

static void result_text(const struct job *job, struct sl_text *text)
{
    double least = 0.0;
    double most = 0.0;
    char labels[2][64];
    axis_label(job, 0, labels[0], sizeof labels[0]);
    axis_label(job, 1, labels[1], sizeof labels[1]);
    sl_text_add(text, "x: %s\ny: %s\n\n%-12s %9s %22s %22s\n", labels[0], labels[1],
                "path", "snapshots", "start", "end");
    for (int p = 0; p < job->n_paths; p++) {
        const struct path *path = &job->paths[p];
        char start[32];
        char end[32];
        (void)snprintf(start, sizeof start, "(%.4g, %.4g)", path->points[0][0],
                       path->points[0][1]);
        (void)snprintf(end, sizeof end, "(%.4g, %.4g)", path->points[path->n - 1][0],
                       path->points[path->n - 1][1]);
        sl_text_add(text, "%-12s %9d %22s %22s\n", path->label, path->n, start, end);
    }
    if (job->has_surface) {
        extremes(&job->grid, &least, &most);
        sl_text_add(text, "\nsurface: %d x %d points, error %.1f %% to %.1f %%\n",
                    job->grid.nx, job->grid.ny, least, most);
    } else {
        sl_text_add(text, "\nname labelled DATA to see the error around the end\n");
    }
    sl_text_add(text, "picture and data: %s/trajectory.svg .csv .json%s\n", job->folder,
                job->has_surface ? ", surface.csv" : "");
}

/* ---- the whole --------------------------------------------------------------------- */

static enum sl_status run_job(struct sl_error *err, struct job *job,
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
        SL_TRY(make_surface(err, job));
    }
    return write_files(err, job);
}

static void close_job(struct job *job)
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
    struct job *job = NULL;
    struct sl_text out = {0};
    *text = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "trajectory", 1, sizeof *job, &job));
    SL_TRY_OUT(sl_heap_alloc(&err, "model", 1, sizeof *job->judge, &job->judge));
    SL_TRY_OUT(run_job(&err, job, options, run, data, hooks));
    if (json) {
        SL_TRY_OUT(api_json_add(&err, &out, result_json(job)));
    } else {
        result_text(job, &out);
    }
    SL_TRY_OUT(api_text_out(&err, &out, text));
out:
    sl_text_finish(&out);
    if (job != NULL) {
        close_job(job);
    }
    return api_leave(&err, status, error);
}
