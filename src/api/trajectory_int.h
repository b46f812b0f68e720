/* SPDX-License-Identifier: MIT */
/*
 * What the files of `slimclr analyse trajectory` share: one record of the job. The rest
 * of api does not know it.
 */
#ifndef SRC_API_TRAJECTORY_INT_H
#define SRC_API_TRAJECTORY_INT_H

#include "analyse/analyse.h"
#include "draw/draw.h"
#include "evaluate_int.h"

enum { API_PATH_LENGTH = 4096 };

/* One width's path. */
struct api_path {
    char label[32], width[16]; /* width: "" of all widths together */
    int colour;
    int n;
    const struct sl_snapshot **moments;
    double (*points)[2];
};

struct api_trajectory {
    struct api_judge *judge; /* model and, with DATA, both parts */
    char run[API_PATH_LENGTH], snapshots[API_PATH_LENGTH], folder[API_PATH_LENGTH];
    struct sl_snapshot *list;
    int64_t n_list;
    float *final;
    int fit_width, surface_width; /* of the model's */
    struct sl_directions directions;
    int n_fit, n_paths; /* n_fit: snapshots that the directions were fitted to, or 0 */
    struct api_path paths[SL_WIDTHS_MAX];
    bool has_surface;
    struct sl_grid grid;
    struct sl_file_log *points; /* surface.jsonl */
};

/* ---- analyse_trajectory.c ---------------------------------------------------------- */

/* A file of a folder; SL_ERROR_RUN when its path is too long. */
enum sl_status api_trajectory_join(struct sl_error *err, char path[API_PATH_LENGTH],
                                   const char *folder, const char *name);
/* Points are judged by the model's own classifier, not by neighbours. */
bool api_trajectory_classifies(const struct api_trajectory *job);

/* ---- trajectory_surface.c ---------------------------------------------------------- */

/* Fills job->grid, point by point, each kept as it comes; what an earlier call kept of
 * the same surface is taken. SL_STOPPED when asked to. */
enum sl_status api_trajectory_surface(struct sl_error *err, struct api_trajectory *job);

/* ---- trajectory_result.c ----------------------------------------------------------- */

/* The picture and its data, to job->folder. */
enum sl_status api_trajectory_write(struct sl_error *err,
                                    const struct api_trajectory *job);
/* The same for a program, and for a person. The caller owns what is returned. */
json_t *api_trajectory_json(const struct api_trajectory *job);
void api_trajectory_text(const struct api_trajectory *job, struct sl_text *text);

#endif
