/* SPDX-License-Identifier: MIT */
/*
 * Contour lines of values on a grid, cell by cell: where a side of a cell crosses the
 * level the line crosses it, by linear interpolation; a cell whose four sides are crossed
 * is a saddle, and its middle decides which corners belong together. A cell with a value
 * that is not known has no line.
 */
#include "draw/draw.h"

#include <math.h>

double sl_grid_x(const struct sl_grid *grid, int i)
{
    return grid->nx > 1 ? grid->x[0] + (grid->x[1] - grid->x[0]) * i / (grid->nx - 1)
                        : grid->x[0];
}

double sl_grid_y(const struct sl_grid *grid, int j)
{
    return grid->ny > 1 ? grid->y[0] + (grid->y[1] - grid->y[0]) * j / (grid->ny - 1)
                        : grid->y[0];
}

/* A corner of a cell with its value above the level. */
struct corner {
    double x, y, above;
};

/* Where the line crosses the side between two corners. */
static void cross(const struct corner *a, const struct corner *b, double point[2])
{
    double t = a->above / (a->above - b->above);
    point[0] = a->x + t * (b->x - a->x);
    point[1] = a->y + t * (b->y - a->y);
}

static void trace_cell(const struct corner corner[4], sl_contour_fn piece, void *context)
{
    double point[4][2];
    int n = 0;
    bool up = corner[0].above >= 0.0;
    for (int side = 0; side < 4; side++) {
        const struct corner *a = &corner[side];
        const struct corner *b = &corner[(side + 1) % 4];
        if ((a->above >= 0.0) != (b->above >= 0.0)) {
            cross(a, b, point[n++]);
        }
    }
    if (n == 2) {
        piece(context, point[0][0], point[0][1], point[1][0], point[1][1]);
    } else if (n == 4) {
        double middle =
            corner[0].above + corner[1].above + corner[2].above + corner[3].above;
        /* Corner 0 lies between sides 3 and 0. It is cut off unless the middle is on its
         * side; then corners 1 and 3 are. */
        bool cut = (middle >= 0.0) != up;
        const double *a = cut ? point[3] : point[0];
        const double *b = cut ? point[0] : point[1];
        const double *c = cut ? point[1] : point[2];
        const double *d = cut ? point[2] : point[3];
        piece(context, a[0], a[1], b[0], b[1]);
        piece(context, c[0], c[1], d[0], d[1]);
    }
}

void sl_contour(const struct sl_grid *grid, double level, sl_contour_fn piece,
                void *context)
{
    static const int dx[4] = {0, 1, 1, 0};
    static const int dy[4] = {0, 0, 1, 1};
    for (int j = 0; j + 1 < grid->ny; j++) {
        for (int i = 0; i + 1 < grid->nx; i++) {
            struct corner corner[4];
            bool known = true;
            for (int k = 0; k < 4; k++) {
                double value = grid->value[(int64_t)(j + dy[k]) * grid->nx + i + dx[k]];
                known = known && isfinite(value);
                corner[k] = (struct corner){.x = sl_grid_x(grid, i + dx[k]),
                                            .y = sl_grid_y(grid, j + dy[k]),
                                            .above = value - level};
            }
            if (known) {
                trace_cell(corner, piece, context);
            }
        }
    }
}
