/* SPDX-License-Identifier: MIT */
/*
 * A map of pictures: each at its place of the plane, as itself where it hides no other,
 * else as a dot. Groups (classes) have colours of their own, apart from those of widths.
 */
#include "draw/draw.h"

#include <math.h>

enum { WIDTH = 640, HEIGHT = 560, SIDE = 30, EDGE = 26, TOP_TITLE = 22, LEGEND_ROW = 20 };
static const double LETTER = 7.2;

/* Brewer's and Tol's muted families: quiet enough not to be taken for widths. */
static const char *const groups[SL_MAP_GROUPS] = {
    "#cc6677", "#6a5acd", "#ddaa33", "#117733", "#88ccee",
    "#882255", "#44aa99", "#999933", "#aa4499", "#777777"};

void sl_map_style(struct sl_text *text)
{
    for (int i = 0; i < SL_MAP_GROUPS; i++) {
        sl_text_add(text, ".f%d{fill:%s}.o%d{stroke:%s}", i, groups[i], i, groups[i]);
    }
    sl_text_add(text, ".fn{fill:#888}.on{stroke:#888}.o{fill:none;stroke-width:3}\n");
}

static void group_class(const struct sl_map *map, int i, char dst[8])
{
    int group =
        map->groups != NULL && map->n_groups <= SL_MAP_GROUPS ? map->groups[i] : -1;
    if (group >= 0 && group < map->n_groups) {
        (void)snprintf(dst, 8, "%c", '0' + group);
    } else {
        (void)snprintf(dst, 8, "n");
    }
}

/* The legend; its height. */
static double add_legend(const struct sl_map *map, struct sl_text *text)
{
    double at = 4.0;
    double y = TOP_TITLE + 20.0;
    if (map->groups == NULL || map->n_groups > SL_MAP_GROUPS || map->n_groups < 1) {
        return 0.0;
    }
    for (int i = 0; i < map->n_groups; i++) {
        double wide = 38.0 + LETTER * sl_markup_columns(map->group_names[i]);
        if (at > 4.0 && at + wide > WIDTH) {
            at = 4.0;
            y += LEGEND_ROW;
        }
        sl_text_add(text,
                    "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"11\" "
                    "height=\"11\"/>",
                    i, at, y - 10);
        sl_svg_text(text, at + 16, y, NULL, NULL, map->group_names[i]);
        at += wide;
    }
    return y - TOP_TITLE + 8.0;
}

static void add_name(const struct sl_map *map, int i, struct sl_text *text)
{
    if (map->names != NULL) {
        sl_text_add(text, "<title>");
        sl_markup_add(text, map->names[i]);
        sl_text_add(text, "</title>");
    }
}

static void add_picture(const struct sl_map *map, int i, double x, double y, bool alone,
                        struct sl_text *text)
{
    char group[8];
    double left = x - SIDE / 2.0;
    double top = y - SIDE / 2.0;
    group_class(map, i, group);
    sl_text_add(text, "<g>");
    add_name(map, i, text);
    if (alone) {
        sl_text_add(
            text, "<image x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" href=\"%s\"/>",
            left, top, (int)SIDE, (int)SIDE, map->images[i]);
    } else {
        sl_text_add(text,
                    "<use href=\"#p%d\" transform=\"translate(%.1f %.1f) scale(%d)\"/>",
                    i, left, top, (int)SIDE);
    }
    sl_text_add(text,
                "<rect class=\"o o%s\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" "
                "height=\"%d\"/></g>\n",
                group, left, top, (int)SIDE, (int)SIDE);
}

void sl_map_svg(const struct sl_map *map, bool alone, struct sl_text *text)
{
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    char group[8];
    sl_svg_open(text, WIDTH, HEIGHT, map->title, alone);
    if (alone) {
        sl_text_add(text, "<style>\n");
        sl_map_style(text);
        sl_text_add(text, "</style>\n");
    }
    sl_svg_text(text, 4, TOP_TITLE - 4, "t", NULL, map->title);
    double top = TOP_TITLE + 12.0 + add_legend(map, text);
    double bottom = HEIGHT - 32.0;
    sl_text_add(
        text, "<rect class=\"axis\" x=\"1\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>\n",
        top, (int)WIDTH - 2, bottom - top);
    sl_svg_text(text, WIDTH / 2.0, HEIGHT - 10, "q", "middle", map->x_name);
    for (int i = 0; i < map->n; i++) {
        x_low = fmin(x_low, map->x[i]);
        x_high = fmax(x_high, map->x[i]);
        y_low = fmin(y_low, map->y[i]);
        y_high = fmax(y_high, map->y[i]);
    }
    double across = x_high > x_low ? (WIDTH - 2.0 * EDGE) / (x_high - x_low) : 0.0;
    double up = y_high > y_low ? (bottom - top - 2.0 * EDGE) / (y_high - y_low) : 0.0;
    /* Few pictures: looking at all pairs is no work. */
    struct sl_text pictures = {0};
    for (int i = 0; i < map->n; i++) {
        double x = EDGE + (map->x[i] - x_low) * across;
        double y = bottom - EDGE - (map->y[i] - y_low) * up;
        bool is_free = true;
        for (int k = 0; k < i && is_free; k++) {
            double dx = (map->x[i] - map->x[k]) * across;
            double dy = (map->y[i] - map->y[k]) * up;
            is_free = fabs(dx) >= SIDE + 2 || fabs(dy) >= SIDE + 2;
        }
        if (is_free) {
            add_picture(map, i, x, y, alone, &pictures);
            continue;
        }
        group_class(map, i, group);
        sl_text_add(text, "<circle class=\"p f%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\">",
                    group, x, y);
        add_name(map, i, text);
        sl_text_add(text, "</circle>\n");
    }
    if (pictures.length > 0) {
        sl_text_add_bytes(text, pictures.text, pictures.length);
    }
    text->failed = text->failed || pictures.failed;
    sl_text_finish(&pictures);
    sl_text_add(text, "</svg>\n");
}

void sl_map_images(const struct sl_map *map, struct sl_text *text)
{
    sl_text_add(text, "<svg width=\"0\" height=\"0\" class=\"store\" "
                      "aria-hidden=\"true\"><defs>\n");
    for (int i = 0; i < map->n; i++) {
        sl_text_add(text, "<image id=\"p%d\" width=\"1\" height=\"1\" href=\"%s\"/>\n", i,
                    map->images[i]);
    }
    sl_text_add(text, "</defs></svg>\n");
}

void sl_map_csv(const struct sl_map *map, struct sl_text *text)
{
    sl_text_add(text, "picture,x,y,group\n");
    for (int i = 0; i < map->n; i++) {
        sl_text_add(text, "%d,%.9g,%.9g,%d\n", i, map->x[i], map->y[i],
                    map->groups != NULL ? map->groups[i] : -1);
    }
}
