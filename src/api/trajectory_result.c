/* SPDX-License-Identifier: MIT */
/*
 * What `slimclr analyse trajectory` writes and says: the picture, its data, and the
 * result as JSON or as lines for a person.
 */
#include "trajectory_int.h"

#include <math.h>

enum { LEVEL_STEP = 5 }; /* between contour lines, in percent of error */

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

static void paths_csv(const struct api_trajectory *job, struct sl_text *text)
{
    sl_text_add(text, "width,epoch,step,x,y\n");
    for (int p = 0; p < job->n_paths; p++) {
        const struct api_path *path = &job->paths[p];
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

static void axis_label(const struct api_trajectory *job, int axis, char *dst, size_t size)
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
static struct sl_series path_series(const struct api_path *path, double *values)
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

static enum sl_status picture(struct sl_error *err, const struct api_trajectory *job,
                              struct sl_text *text)
{
    const struct sl_net *net = job->judge->model.net;
    const struct sl_contours contours = {
        .grid = &job->grid,
        .step = LEVEL_STEP,
        .n_levels = 100 / LEVEL_STEP,
        .name = api_trajectory_classifies(job) ? "test error, %" : "kNN error, %"};
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

static json_t *path_json(const struct api_path *path)
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

static json_t *surface_json(const struct api_trajectory *job)
{
    const struct api_judge *judge = job->judge;
    json_t *surface = json_object();
    double least = 0.0;
    double most = 0.0;
    extremes(&job->grid, &least, &most);
    json_object_set_new(
        surface, "width",
        json_real(sl_multiplier_value(judge->model.net->widths.at[job->surface_width])));
    json_object_set_new(
        surface, "judge",
        json_string(api_trajectory_classifies(job) ? "classifier" : "knn"));
    json_object_set_new(surface, "data", json_string(judge->data));
    json_object_set_new(surface, "n_train", json_integer(sl_source_count(judge->train)));
    json_object_set_new(surface, "n_test", json_integer(sl_source_count(judge->test)));
    json_object_set_new(surface, "nx", json_integer(job->grid.nx));
    json_object_set_new(surface, "ny", json_integer(job->grid.ny));
    json_object_set_new(surface, "least_error", json_real(least));
    json_object_set_new(surface, "most_error", json_real(most));
    return surface;
}

json_t *api_trajectory_json(const struct api_trajectory *job)
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

static enum sl_status write_file(struct sl_error *err, const struct api_trajectory *job,
                                 const char *name, struct sl_text *text)
{
    char path[API_PATH_LENGTH];
    enum sl_status status = api_trajectory_join(err, path, job->folder, name);
    if (status == SL_OK) {
        status = text->failed ? SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", path)
                              : sl_file_write(err, path, text->text, text->length);
    }
    sl_text_finish(text);
    *text = (struct sl_text){0};
    return status;
}

enum sl_status api_trajectory_write(struct sl_error *err,
                                    const struct api_trajectory *job)
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
    SL_TRY(api_json_add(err, &text, api_trajectory_json(job)));
    sl_text_add(&text, "\n");
    return write_file(err, job, "trajectory.json", &text);
}

void api_trajectory_text(const struct api_trajectory *job, struct sl_text *text)
{
    double least = 0.0;
    double most = 0.0;
    char labels[2][64];
    axis_label(job, 0, labels[0], sizeof labels[0]);
    axis_label(job, 1, labels[1], sizeof labels[1]);
    sl_text_add(text, "x: %s\ny: %s\n\n%-12s %9s %22s %22s\n", labels[0], labels[1],
                "path", "snapshots", "start", "end");
    for (int p = 0; p < job->n_paths; p++) {
        const struct api_path *path = &job->paths[p];
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
