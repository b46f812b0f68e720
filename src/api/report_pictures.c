/* SPDX-License-Identifier: MIT */
/*
 * What the page shows of pictures: those a run was trained on with their views, a map of
 * their embeddings at each width, and who is whose neighbour. Computed from the data and
 * the checkpoint that the run names; where one of them is gone, the section says so. The
 * pictures are the first ones of the run's first epoch: the same at every call.
 */
#include "report_int.h"

#include <math.h>
#include <string.h>

enum {
    SHEETS = 3,
    SHEET_ROWS = 4,
    MAP_SIDE = 40,     /* pixels of a picture on the map */
    GALLERY_SIDE = 72, /* and in the gallery */
    QUERIES = 6,
    NEIGHBOURS = 5,
    BATCH = 128
};

struct pictures {
    struct sl_source *source;
    struct api_pictures known;
    struct sl_arena *work;
};

/* Opens the data of the run; false with a gap on the page where that is not possible. */
static bool open_pictures(struct report *report, struct pictures *pictures)
{
    struct sl_error err = {0};
    char found[32];
    const char *expected = sl_conf_text(report->run_conf, "data-fingerprint");
    *pictures = (struct pictures){0};
    if (!sl_png_is_written()) {
        report_gap(report,
                   "This program was built without libspng and can write no "
                   "pictures.",
                   NULL);
        return false;
    }
    if (api_pictures_open(&err, report->run_conf, report->data.names, report->data.n,
                          &pictures->source, &pictures->known) != SL_OK ||
        sl_arena_create(&err, 1 << 20, &pictures->work) != SL_OK) {
        report_gap(report,
                   report_keep(report,
                               "The pictures are not where they were, so none "
                               "can be shown: %s",
                               err.text),
                   NULL);
        return false;
    }
    (void)snprintf(found, sizeof found, "%016llx",
                   (unsigned long long)sl_source_fingerprint(pictures->source));
    if (strcmp(expected, "auto") != 0 && strcmp(expected, found) != 0) {
        report_words(report, "The data have changed since this run: these are the "
                             "pictures that are there now.");
    }
    return true;
}

static void close_pictures(struct pictures *pictures)
{
    sl_source_close(pictures->source);
    sl_arena_destroy(pictures->work);
}

/* ---- pictures and their views ------------------------------------------------------ */

static enum sl_status add_image(struct sl_error *err, struct report *report,
                                const struct sl_image *image, const char *alt)
{
    struct sl_text png = {0};
    enum sl_status status = sl_png_encode(err, image, &png);
    if (status != SL_OK) {
        sl_text_finish(&png);
        return status;
    }
    sl_text_add(&report->page, "<img width=\"%d\" height=\"%d\" alt=\"", image->width,
                image->height);
    sl_markup_add(&report->page, alt);
    sl_text_add(&report->page, "\" src=\"data:image/png;base64,");
    sl_base64_add(&report->page, png.text, png.length);
    sl_text_add(&report->page, "\">\n");
    sl_text_finish(&png);
    return SL_OK;
}

static enum sl_status add_sheets(struct sl_error *err, struct report *report,
                                 struct pictures *pictures)
{
    enum sl_status status = SL_OK;
    struct sl_recipe recipe;
    struct sl_loader *loader = NULL;
    struct sl_batch batch;
    struct sl_arena *arena = NULL;
    int64_t count = sl_source_count(pictures->source);
    int n = count < SHEETS * SHEET_ROWS ? (int)count : SHEETS * SHEET_ROWS;
    SL_TRY_OUT(api_settings_view(err, report->run_conf, &pictures->known, &recipe));
    SL_TRY_OUT(api_views_open(err, report->run_conf, pictures->source, &recipe, n,
                              &loader, &batch));
    SL_TRY_OUT(sl_arena_create(err, 1 << 20, &arena));
    sl_text_add(&report->page, "<div class=\"sheets\">\n");
    for (int first = 0; first < n; first += SHEET_ROWS) {
        struct sl_sheet sheet;
        int rows = n - first < SHEET_ROWS ? n - first : SHEET_ROWS;
        sl_arena_reset_all(arena);
        SL_TRY_OUT(sl_sheet_create(err, arena, rows, 2, recipe.size, &sheet));
        SL_TRY_OUT(api_views_draw(err, pictures->source, &recipe, &batch, first, rows,
                                  pictures->work, &sheet));
        SL_TRY_OUT(add_image(err, report, &sheet.image,
                             "pictures, each beside two augmented views of it"));
    }
    sl_text_add(&report->page, "</div>\n");
    report_words(report,
                 report_is_supervised(report)
                     ? "A row: the picture as it is stored, then two augmented views of "
                       "it (%d px). Training took one such view of a picture an epoch, "
                       "and taught its class."
                     : "A row: the picture as it is stored, then the two views of it (%d "
                       "px) that the network is taught to recognise as one picture, as "
                       "the first epoch saw them.",
                 recipe.size);
out:
    sl_loader_destroy(loader);
    sl_arena_destroy(arena);
    return status;
}

/* What the data or their pictures lack is said on the page; a lack of memory ends it. */
static enum sl_status settle(struct sl_error *err, struct report *report,
                             enum sl_status status, const struct sl_error *problem)
{
    if (status == SL_ERROR_RUN) {
        *err = *problem;
        return status;
    }
    if (status != SL_OK) {
        report_gap(report, problem->text, NULL);
    }
    return SL_OK;
}

enum sl_status report_views(struct sl_error *err, struct report *report)
{
    enum sl_status status = SL_OK;
    struct pictures pictures;
    struct sl_error problem = {0};
    sl_page_section(&report->page, "pictures", "What it was trained on");
    if (sl_conf_int(report->conf, "pictures") == 0) {
        report_gap(report, "Left out (--pictures 0).", NULL);
    } else if (open_pictures(report, &pictures)) {
        report_words(report, "%lld pictures (%s) of %s. %s",
                     (long long)pictures.known.count, sl_source_kind(pictures.source),
                     sl_conf_text(report->run_conf, "data"),
                     report_is_supervised(report)
                         ? "Training knew their labels."
                         : "Their labels, if there are any, were not used.");
        status = settle(err, report, add_sheets(&problem, report, &pictures), &problem);
        close_pictures(&pictures);
    } else {
        close_pictures(&pictures);
    }
    sl_page_section_end(&report->page);
    return status;
}

/* ---- embeddings -------------------------------------------------------------------- */

/* The pictures that could be read, with what is known of each. */
struct embedded {
    struct pictures pictures;
    struct sl_features features[SL_WIDTHS_MAX];
    int n_widths;
    int64_t n;
    const char **small;   /* data: addresses for the map */
    const char **names;   /* of files, with classes */
    int *groups;          /* classes, or NULL */
    const char **classes; /* names of them */
    int n_classes;
};

static enum sl_status compute(struct sl_error *err, struct report *report,
                              struct embedded *all)
{
    enum sl_status status = SL_OK;
    int32_t *order = NULL;
    int64_t count = sl_source_count(all->pictures.source);
    int64_t wanted = sl_conf_int(report->conf, "pictures");
    int widths[SL_WIDTHS_MAX];
    int64_t n_bad = 0;
    const struct api_model *model = &report->model;
    SL_TRY_OUT(sl_heap_alloc(err, "order of pictures", count, sizeof *order, &order));
    sl_sampler_order((uint64_t)sl_conf_int(report->run_conf, "seed"), 0, count, order);
    all->n_widths = model->net->widths.n;
    for (int i = 0; i < all->n_widths; i++) {
        widths[i] = i;
    }
    SL_TRY_OUT(sl_features_compute(
        err,
        &(struct sl_frozen){.device = &model->device,
                            .net = model->net,
                            .params = model->params,
                            .stats = model->stats,
                            .type = model->type},
        &(struct sl_features_config){.source = all->pictures.source,
                                     .recipe = model->view,
                                     .batch = BATCH,
                                     .n_workers = api_workers(report->conf),
                                     .subset = order,
                                     .n_subset = wanted < count ? wanted : count},
        widths, all->n_widths, all->features, &n_bad));
    all->n = all->features[0].n;
    for (int i = 0; i < all->n_widths; i++) {
        sl_features_normalise(&all->features[i]);
    }
out:
    sl_heap_free(order);
    return status;
}

/* A picture as a data: address, in the arena of the page. */
static enum sl_status address_of(struct sl_error *err, struct report *report,
                                 struct embedded *all, int64_t id, int side,
                                 const char **address)
{
    struct sl_image image, small;
    struct sl_text png = {0}, text = {0};
    enum sl_status status = SL_OK;
    sl_arena_reset_all(all->pictures.work);
    SL_TRY_OUT(sl_source_read(err, all->pictures.source, id, all->pictures.work, &image));
    SL_TRY_OUT(sl_thumbnail(err, &image, side, all->pictures.work, &small));
    SL_TRY_OUT(sl_png_encode(err, &small, &png));
    sl_text_add(&text, "data:image/png;base64,");
    sl_base64_add(&text, png.text, png.length);
    if (text.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "out of memory for a picture of the page");
        goto out;
    }
    SL_TRY_OUT(sl_arena_text(err, report->arena, text.text, address));
out:
    sl_text_finish(&png);
    sl_text_finish(&text);
    return status;
}

static enum sl_status describe(struct sl_error *err, struct report *report,
                               struct embedded *all)
{
    const struct sl_source *source = all->pictures.source;
    int classes = sl_source_classes(source);
    int64_t n = all->n;
    SL_TRY(sl_arena_alloc(err, report->arena, n, sizeof *all->small, &all->small));
    SL_TRY(sl_arena_alloc(err, report->arena, n, sizeof *all->names, &all->names));
    if (classes > 1) {
        all->n_classes = classes;
        SL_TRY(sl_arena_alloc(err, report->arena, n, sizeof *all->groups, &all->groups));
        SL_TRY(sl_arena_alloc(err, report->arena, classes, sizeof *all->classes,
                              &all->classes));
        for (int i = 0; i < classes; i++) {
            const char *name = sl_source_class_name(source, i);
            all->classes[i] = report_keep(report, "%s", name != NULL ? name : "");
        }
    }
    for (int64_t i = 0; i < n; i++) {
        char name[REPORT_PATH];
        int64_t id = all->features[0].ids[i];
        int label = sl_source_label(source, id);
        bool has_class = all->groups != NULL && label >= 0 && label < classes;
        sl_source_name(source, id, name, sizeof name);
        all->names[i] = has_class
                            ? report_keep(report, "%s (%s)", name, all->classes[label])
                            : report_keep(report, "%s", name);
        if (all->groups != NULL) {
            all->groups[i] = has_class ? label : -1;
        }
        SL_TRY(address_of(err, report, all, id, MAP_SIDE, &all->small[i]));
    }
    return SL_OK;
}

/* ---- the map ----------------------------------------------------------------------- */

/* Of the two ways round, each axis takes the one that agrees with the full width's, so
 * that the maps can be compared. */
static void agree(int64_t n, const double *with, double *axis)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += with[i] * axis[i];
    }
    for (int64_t i = 0; sum < 0.0 && i < n; i++) {
        axis[i] = -axis[i];
    }
}

static enum sl_status add_map(struct sl_error *err, struct report *report,
                              const struct sl_map *map)
{
    struct sl_text svg = {0}, csv = {0};
    sl_text_add(&report->page, "<figure id=\"figure-%s\">\n", map->id);
    sl_map_svg(map, false, &report->page);
    sl_text_add(&report->page, "</figure>\n");
    sl_map_svg(map, true, &svg);
    sl_map_csv(map, &csv);
    enum sl_status status = report_files(err, report, map->id, &svg, &csv);
    sl_text_finish(&svg);
    sl_text_finish(&csv);
    return status;
}

static enum sl_status add_maps(struct sl_error *err, struct report *report,
                               struct embedded *all)
{
    double *x[SL_WIDTHS_MAX] = {0}, *y[SL_WIDTHS_MAX] = {0};
    struct sl_map map = {.n = (int)all->n,
                         .groups = all->groups,
                         .group_names = all->classes,
                         .n_groups = all->n_classes,
                         .images = all->small,
                         .names = all->names};
    sl_map_images(&map, &report->page);
    report_words(report,
                 "%lld pictures of the training data, placed by the first two principal "
                 "components of their features (L2-normalised, encoder without head): "
                 "what the network holds to be alike lies together. Pictures that would "
                 "hide another are dots.%s Axes have no unit; their signs are chosen so "
                 "that the maps agree.",
                 (long long)all->n,
                 all->groups == NULL              ? ""
                 : all->n_classes > SL_MAP_GROUPS ? " (Too many classes for colours.)"
                 : report_is_supervised(report)
                     ? " Colours are the classes."
                     : " Colours are the classes, which training did not know.");
    sl_text_add(&report->page, "<div class=\"figures\">\n");
    for (int i = 0; i < all->n_widths; i++) {
        char width[16];
        double share[2];
        SL_TRY(sl_arena_alloc(err, report->arena, all->n, sizeof **x, &x[i]));
        SL_TRY(sl_arena_alloc(err, report->arena, all->n, sizeof **y, &y[i]));
        SL_TRY(sl_project(err, all->n, all->features[i].d, all->features[i].values, false,
                          x[i], y[i], share));
        agree(all->n, x[0], x[i]);
        agree(all->n, y[0], y[i]);
        sl_multiplier_text(report->model.net->widths.at[i], width, sizeof width);
        map.id = report_keep(report, "map-w%s", width);
        map.title = report_keep(report, "Embeddings at width %s", width);
        map.x_name = report_keep(
            report, "across: first component, %.0f %% of the spread; up: second, %.0f %%",
            100.0 * share[0], 100.0 * share[1]);
        map.x = x[i];
        map.y = y[i];
        SL_TRY(add_map(err, report, &map));
    }
    sl_text_add(&report->page, "</div>\n");
    return SL_OK;
}

/* ---- neighbours -------------------------------------------------------------------- */

static bool has_class_of(const struct embedded *all, const int64_t *queries, int n,
                         int64_t row)
{
    for (int i = 0; i < n && all->groups != NULL; i++) {
        if (all->groups[queries[i]] == all->groups[row]) {
            return true;
        }
    }
    return false;
}

/* The first picture of each class, then the first ones of all. */
static int pick_queries(const struct embedded *all, int64_t queries[QUERIES])
{
    int n = 0;
    for (int64_t i = 0; i < all->n && n < QUERIES; i++) {
        if (!has_class_of(all, queries, n, i)) {
            queries[n++] = i;
        }
    }
    for (int64_t i = 0; i < all->n && n < QUERIES; i++) {
        bool is_there = false;
        for (int k = 0; k < n; k++) {
            is_there = is_there || queries[k] == i;
        }
        if (!is_there) {
            queries[n++] = i;
        }
    }
    return n;
}

static enum sl_status add_shown(struct sl_error *err, struct report *report,
                                struct embedded *all, int64_t row, const char *classes,
                                const char *words)
{
    const char *address = NULL;
    SL_TRY(
        address_of(err, report, all, all->features[0].ids[row], GALLERY_SIDE, &address));
    sl_text_add(&report->page, "<img class=\"%s\" width=\"60\" height=\"60\" alt=\"",
                classes);
    sl_markup_add(&report->page, all->names[row]);
    sl_text_add(&report->page, "\" title=\"");
    sl_markup_add(&report->page, words);
    sl_text_add(&report->page, "\" src=\"%s\">", address);
    return SL_OK;
}

static enum sl_status add_row(struct sl_error *err, struct report *report,
                              struct embedded *all, int64_t query)
{
    sl_text_add(&report->page, "<tr><td>");
    SL_TRY(add_shown(err, report, all, query, "big", all->names[query]));
    if (all->groups != NULL && all->groups[query] >= 0) {
        sl_text_add(&report->page, "<span class=\"quiet small\">");
        sl_markup_add(&report->page, all->classes[all->groups[query]]);
        sl_text_add(&report->page, "</span>");
    }
    sl_text_add(&report->page, "</td>");
    for (int w = 0; w < all->n_widths; w++) {
        int64_t rows[NEIGHBOURS];
        double cosines[NEIGHBOURS];
        int same = 0;
        int n = sl_features_nearest(&all->features[w], query, NEIGHBOURS, rows, cosines);
        bool has_class = all->groups != NULL && all->groups[query] >= 0;
        sl_text_add(&report->page, "<td><div class=\"row\">");
        for (int k = 0; k < n; k++) {
            bool is_same = has_class && all->groups[rows[k]] == all->groups[query];
            same += is_same;
            SL_TRY(add_shown(
                err, report, all, rows[k], is_same ? "same" : "other",
                report_keep(report, "%s, cosine %.3f", all->names[rows[k]], cosines[k])));
        }
        sl_text_add(&report->page, "</div><span class=\"quiet small\">");
        if (has_class) {
            sl_text_add(&report->page, "%d of %d of its class; ", same, n);
        }
        if (n > 0) {
            sl_text_add(&report->page, "cosine %.2f … %.2f", cosines[0], cosines[n - 1]);
        }
        sl_text_add(&report->page, "</span></td>");
    }
    sl_text_add(&report->page, "</tr>\n");
    return SL_OK;
}

static enum sl_status add_gallery(struct sl_error *err, struct report *report,
                                  struct embedded *all)
{
    int64_t queries[QUERIES];
    int n = pick_queries(all, queries);
    report_words(report,
                 "At the left a picture, in each column the %d that the network at that "
                 "width holds to be most like it, among the %lld of the map; most alike "
                 "first.%s",
                 (int)NEIGHBOURS, (long long)all->n,
                 all->groups != NULL ? " Those of its class are framed." : "");
    sl_text_add(&report->page,
                "<div class=\"table\"><table class=\"gallery\">\n<tr><th>picture</th>");
    for (int i = 0; i < all->n_widths; i++) {
        char width[16];
        sl_multiplier_text(report->model.net->widths.at[i], width, sizeof width);
        sl_text_add(&report->page, "<th><span class=\"dot k%d\"></span>width %s</th>",
                    i % SL_COLOURS, width);
    }
    sl_text_add(&report->page, "</tr>\n");
    for (int i = 0; i < n; i++) {
        SL_TRY(add_row(err, report, all, queries[i]));
    }
    sl_text_add(&report->page, "</table></div>\n");
    return SL_OK;
}

/* ---- both sections ----------------------------------------------------------------- */

static enum sl_status add_both(struct sl_error *err, struct report *report,
                               struct embedded *all)
{
    SL_TRY(compute(err, report, all));
    if (all->n < 2) {
        report_gap(report, "Fewer than two pictures could be read: there is no map.",
                   NULL);
        return SL_OK;
    }
    SL_TRY(describe(err, report, all));
    SL_TRY(add_maps(err, report, all));
    sl_page_section_end(&report->page);
    sl_page_section(&report->page, "neighbours", "Who is like whom");
    return add_gallery(err, report, all);
}

enum sl_status report_embeddings(struct sl_error *err, struct report *report)
{
    struct embedded *all = NULL;
    struct sl_error problem = {0};
    enum sl_status status = SL_OK;
    sl_page_section(&report->page, "map", "How pictures lie to one another");
    if (sl_conf_int(report->conf, "pictures") == 0) {
        report_gap(report, "Left out (--pictures 0).", NULL);
        goto out;
    }
    if (!report->has_model) {
        report_gap(report, report->model_problem, NULL);
        goto out;
    }
    SL_TRY_OUT(sl_heap_alloc(err, "pictures", 1, sizeof *all, &all));
    if (open_pictures(report, &all->pictures)) {
        status = settle(err, report, add_both(&problem, report, all), &problem);
    }
out:
    sl_page_section_end(&report->page);
    if (all != NULL) {
        for (int i = 0; i < SL_WIDTHS_MAX; i++) {
            sl_features_finish(&all->features[i]);
        }
        close_pictures(&all->pictures);
        sl_heap_free(all);
    }
    return status;
}
