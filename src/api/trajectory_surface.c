/* SPDX-License-Identifier: MIT */
/*
 * The error surface of `slimclr analyse trajectory`. Its points go to surface.jsonl as
 * they come, so that a surface that was interrupted goes on where it was.
 */
#include "trajectory_int.h"

#include <math.h>
#include <string.h>

static const int64_t FILE_MOST = (int64_t)1 << 30;

/* ---- points that are known --------------------------------------------------------- */

/* Everything that the value of a point depends on. */
static void surface_key(const struct api_trajectory *job, char key[32])
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
static enum sl_status recall_points(struct sl_error *err, struct api_trajectory *job,
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
    sl_text_add(text, "{\"i\":%d,\"j\":%d,\"error\":%.17g}", i, j, error);
}

/* The file as it is known so far, whole, then a log that grows by lines. */
static enum sl_status open_points(struct sl_error *err, struct api_trajectory *job,
                                  int64_t *known)
{
    enum sl_status status = SL_OK;
    struct sl_text text = {0};
    const struct sl_grid *grid = &job->grid;
    char path[API_PATH_LENGTH];
    char key[32];
    *known = 0;
    surface_key(job, key);
    SL_TRY(api_trajectory_join(err, path, job->folder, "surface.jsonl"));
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
    sl_log(SL_LOG_INFO, "surface: %lld point%s left, about %.1f minutes", (long long)left,
           sl_plural((double)left), seconds / 60.0);
}

static enum sl_status fill_grid(struct sl_error *err, struct api_trajectory *job,
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
                           "stopped with %lld point%s left; the same command goes on",
                           (long long)left, sl_plural((double)left));
        }
    }
    return SL_OK;
}

enum sl_status api_trajectory_surface(struct sl_error *err, struct api_trajectory *job)
{
    struct api_judge *judge = job->judge;
    struct sl_surface *surface = NULL;
    int64_t known = 0;
    SL_TRY(open_points(err, job, &known));
    if (known == (int64_t)job->grid.nx * job->grid.ny) {
        return SL_OK;
    }
    if (known > 0) {
        sl_log(SL_LOG_INFO, "surface: %lld point%s known from before", (long long)known,
               known == 1 ? " is" : "s are");
    }
    SL_TRY(sl_surface_open(
        err,
        &(struct sl_surface_config){.device = &judge->model.device,
                                    .net = judge->model.net,
                                    .params = judge->model.params,
                                    .stats = judge->model.stats,
                                    .type = judge->model.type,
                                    .width = job->surface_width,
                                    .classifier = api_trajectory_classifies(job),
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
