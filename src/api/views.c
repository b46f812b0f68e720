/* SPDX-License-Identifier: MIT */
/*
 * `slimclr views`: the first pictures of a run's first epoch and what the net would see
 * of them, as one PNG. The views come from the loader that a run uses, with the same
 * settings, so that they are what training gets and no likeness of it.
 */
#include "api_int.h"

#include <jansson.h>

enum { VIEWS = 2, TEXT_BYTES = 4 * 4096 + 1 };

struct views {
    const char *const *data;
    int n_data;
    struct sl_conf *conf;
    const char *out;
    struct sl_source *source;
    struct sl_recipe recipe;
    struct sl_loader *loader;
    struct sl_arena *arena; /* of the sheet */
    struct sl_arena *work;  /* of one picture */
    struct sl_sheet sheet;
    int n_rows;
    int32_t *ids;
};

static enum sl_status open_all(struct sl_error *err, struct views *views)
{
    struct api_pictures pictures;
    /* A --config of a run names the run's own directory. */
    if (sl_conf_origin(views->conf, "out") != SL_FROM_USER) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "no file to write; give one with -o FILE.png");
    }
    views->out = sl_conf_text(views->conf, "out");
    if (!sl_png_is_written()) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: this build has no PNG writer; build it with libspng",
                       views->out);
    }
    SL_TRY(api_pictures_open(err, views->conf, views->data, views->n_data, &views->source,
                             &pictures));
    SL_TRY(api_settings_view(err, views->conf, &pictures, &views->recipe));
    int64_t n = sl_conf_int(views->conf, "n");
    views->n_rows = (int)(n < pictures.count ? n : pictures.count);
    SL_TRY(sl_heap_alloc(err, "rows", views->n_rows, sizeof *views->ids, &views->ids));
    SL_TRY(sl_arena_create(err, 1024 * 1024, &views->arena));
    SL_TRY(sl_arena_create(err, 1024 * 1024, &views->work));
    return sl_sheet_create(err, views->arena, views->n_rows, VIEWS, views->recipe.size,
                           &views->sheet);
}

enum sl_status api_views_open(struct sl_error *err, const struct sl_conf *conf,
                              const struct sl_source *source,
                              const struct sl_recipe *recipe, int n_rows,
                              struct sl_loader **loader, struct sl_batch *batch)
{
    SL_TRY(sl_loader_create(err,
                            &(struct sl_loader_config){
                                .source = source,
                                .recipe = *recipe,
                                .n_views = VIEWS,
                                .batch = n_rows,
                                .n_workers = api_workers(conf),
                                .seed = (uint64_t)sl_conf_int(conf, "seed"),
                                .end_step = 1,
                                .bad_policy = api_bad_policy(conf),
                                .max_bad = 1.0,
                            },
                            loader));
    return sl_loader_acquire(err, *loader, batch, NULL);
}

/* A picture that cannot be read has grey views (--on-bad-image grey), and no original. */
static enum sl_status draw_original(struct sl_error *err, const struct sl_source *source,
                                    int32_t id, int row, struct sl_arena *work,
                                    struct sl_sheet *sheet)
{
    struct sl_image image = {0};
    struct sl_error reason = {0};
    enum sl_status status = sl_source_read(&reason, source, id, work, &image);
    if (status == SL_OK) {
        return sl_sheet_original(err, sheet, row, &image, work);
    }
    if (status != SL_ERROR_DATA) {
        *err = reason;
        return status;
    }
    return SL_OK;
}

enum sl_status api_views_draw(struct sl_error *err, const struct sl_source *source,
                              const struct sl_recipe *recipe,
                              const struct sl_batch *batch, int first, int n_rows,
                              struct sl_arena *work, struct sl_sheet *sheet)
{
    size_t floats =
        (size_t)recipe->size * (size_t)recipe->size * (size_t)recipe->channels;
    for (int row = 0; row < n_rows; row++) {
        size_t of = (size_t)first + (size_t)row;
        sl_arena_reset_all(work);
        SL_TRY(draw_original(err, source, batch->ids[of], row, work, sheet));
        for (int v = 0; v < VIEWS; v++) {
            sl_arena_reset_all(work);
            SL_TRY(sl_sheet_view(err, sheet, row, v, batch->views[v] + of * floats,
                                 recipe, work));
        }
    }
    return SL_OK;
}

static enum sl_status draw(struct sl_error *err, struct views *views)
{
    struct sl_batch batch;
    SL_TRY(api_views_open(err, views->conf, views->source, &views->recipe, views->n_rows,
                          &views->loader, &batch));
    for (int row = 0; row < views->n_rows; row++) {
        views->ids[row] = batch.ids[row];
    }
    SL_TRY(api_views_draw(err, views->source, &views->recipe, &batch, 0, views->n_rows,
                          views->work, &views->sheet));
    return sl_png_write(err, views->out, &views->sheet.image);
}

/* ---- words ------------------------------------------------------------------------- */

static void add_text(const struct views *views, struct sl_text *text)
{
    char name[4096];
    char path[TEXT_BYTES];
    api_path_text(path, sizeof path, views->out);
    sl_text_add(text,
                "%s: %d x %d px; a row: the picture, and its two views of epoch 0 "
                "(--aug %s, %d px, seed %lld)\n",
                path, views->sheet.image.width, views->sheet.image.height,
                sl_conf_text(views->conf, "aug"), views->recipe.size,
                (long long)sl_conf_int(views->conf, "seed"));
    for (int row = 0; row < views->n_rows; row++) {
        sl_source_name(views->source, views->ids[row], name, sizeof name);
        api_path_text(path, sizeof path, name);
        sl_text_add(text, "%4d  %s\n", row + 1, path);
    }
    if (sl_loader_bad_count(views->loader) > 0) {
        sl_text_add(text, "%lld damaged picture%s met; `slimclr check` names them\n",
                    (long long)sl_loader_bad_count(views->loader),
                    sl_loader_bad_count(views->loader) == 1 ? " was" : "s were");
    }
}

static enum sl_status add_json(struct sl_error *err, const struct views *views,
                               struct sl_text *text)
{
    char name[4096];
    json_t *root = json_object();
    json_t *rows = json_array();
    for (int row = 0; row < views->n_rows; row++) {
        sl_source_name(views->source, views->ids[row], name, sizeof name);
        json_array_append_new(rows, api_path_json(name));
    }
    json_object_set_new(root, "views", api_path_json(views->out));
    json_object_set_new(root, "width", json_integer(views->sheet.image.width));
    json_object_set_new(root, "height", json_integer(views->sheet.image.height));
    json_object_set_new(root, "cell", json_integer(views->sheet.cell));
    json_object_set_new(root, "aug", json_string(sl_conf_text(views->conf, "aug")));
    json_object_set_new(root, "image_size", json_integer(views->recipe.size));
    json_object_set_new(root, "seed", json_integer(sl_conf_int(views->conf, "seed")));
    json_object_set_new(root, "damaged",
                        json_integer(sl_loader_bad_count(views->loader)));
    json_object_set_new(root, "rows", rows);
    return api_json_add(err, text, root);
}

slim_status slim_views(const slim_options *options, const char *const *data, int n_data,
                       bool json, char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct views views = {.data = data, .n_data = n_data};
    struct sl_text text = {0};
    *out = NULL;
    SL_TRY_OUT(api_conf_complete(&err, options, &views.conf));
    SL_TRY_OUT(open_all(&err, &views));
    SL_TRY_OUT(draw(&err, &views));
    if (json) {
        SL_TRY_OUT(add_json(&err, &views, &text));
    } else {
        add_text(&views, &text);
    }
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    sl_loader_destroy(views.loader);
    sl_source_close(views.source);
    sl_arena_destroy(views.arena);
    sl_arena_destroy(views.work);
    sl_heap_free(views.ids);
    sl_conf_destroy(views.conf);
    return api_leave(&err, status, error);
}
