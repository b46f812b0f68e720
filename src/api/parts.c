/* SPDX-License-Identifier: MIT */
/*
 * What the commands that read data share: opening the pictures of a run, or both parts of
 * a DATA, passing over its pictures, and paths as texts that harm no terminal and no JSON
 * reader. Nothing is judged here.
 */
#include "api_int.h"

#include <jansson.h>
#include <string.h>

enum { PATH_BYTES = 4096, ESCAPED = 4 /* bytes of \xHH for one */ };

enum sl_status api_data_split(struct sl_error *err, const char *named,
                              struct api_data *data)
{
    size_t size = strlen(named) + 1;
    *data = (struct api_data){0};
    SL_TRY(sl_heap_alloc(err, "names of the data", (int64_t)size, 1, &data->text));
    memcpy(data->text, named, size);
    for (char *at = size > 1 ? data->text : NULL, *next = NULL; at != NULL; at = next) {
        next = strchr(at, ';');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (at[0] == '\0') {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "DATA '%s': an empty name beside a ';'; leave the ';' out",
                           named);
        }
        if (data->n == API_DATA_MOST) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "DATA: more than %d names; put the pictures into fewer folders, "
                "or into a list @files.txt",
                (int)API_DATA_MOST);
        }
        data->names[data->n++] = at;
    }
    return SL_OK;
}

void api_data_finish(struct api_data *data)
{
    sl_heap_free(data->text);
    *data = (struct api_data){0};
}

/* The data that key "data" names. */
static enum sl_status open_named(struct sl_error *err,
                                 const struct sl_source_config *config, const char *named,
                                 struct sl_source **source)
{
    struct api_data data;
    enum sl_status status = api_data_split(err, named, &data);
    if (status == SL_OK) {
        status = sl_source_open_all(err, config, data.names, data.n, source);
    }
    api_data_finish(&data);
    return status;
}

enum sl_status api_pictures_open(struct sl_error *err, const struct sl_conf *conf,
                                 const char *const *data, int n_data,
                                 struct sl_source **source, struct api_pictures *pictures)
{
    int height = 0;
    int width = 0;
    char cache[PATH_BYTES];
    struct sl_source_config config = {
        .part = SL_PART_TRAIN,
        .whole = true,
        .limit = sl_conf_int(conf, "limit"),
        .seed = (uint64_t)sl_conf_int(conf, "seed"),
        .cache_directory = api_cache_directory(conf, cache, sizeof cache),
    };
    SL_TRY(api_decode_options(err, conf, &config.decode));
    if (n_data > 0) {
        SL_TRY(sl_source_open_all(err, &config, data, n_data, source));
    } else {
        SL_TRY(open_named(err, &config, sl_conf_text(conf, "data"), source));
    }
    *pictures = (struct api_pictures){.count = sl_source_count(*source)};
    if (sl_source_side_fixed(*source, &height, &width)) {
        pictures->fixed_side = height > width ? height : width;
    }
    sl_source_mean_std(*source, pictures->mean, pictures->std);
    pictures->n_classes = sl_source_classes(*source);
    const struct sl_method *method = sl_method_find(sl_conf_text(conf, "method"));
    if (method != NULL && sl_method_info(method)->has_labels) {
        for (int64_t i = 0; i < pictures->count; i++) {
            pictures->n_unlabelled += sl_source_label(*source, i) < 0 ? 1 : 0;
        }
    }
    return SL_OK;
}

enum sl_status api_parts_open(struct sl_error *err, const struct sl_conf *conf,
                              const char *data, int64_t limit,
                              const struct sl_decode_options *decode,
                              struct sl_source *sources[2], int *n)
{
    char cache[PATH_BYTES];
    struct sl_source_config config = {
        .data = data,
        .part = SL_PART_TRAIN,
        .whole = true,
        .limit = limit,
        .seed = limit > 0 ? (uint64_t)sl_conf_int(conf, "seed") : 0,
        .decode = *decode,
        .cache_directory = api_cache_directory(conf, cache, sizeof cache),
    };
    *n = 0;
    SL_TRY(sl_source_open(err, &config, &sources[0]));
    *n = 1;
    if (sl_source_has_parts(sources[0])) {
        config.part = SL_PART_TEST;
        SL_TRY(sl_source_open(err, &config, &sources[1]));
        *n = 2;
    }
    return SL_OK;
}

static bool go_on(void *context, int64_t done)
{
    const struct api_pass *pass = context;
    return api_passed(pass->hooks, pass->before + done, pass->total);
}

enum sl_status api_pass(struct sl_error *err, const struct sl_conf *conf,
                        const struct api_pass *pass)
{
    struct api_pass copy = *pass; /* a callback's context is not const */
    return sl_survey(err, &(struct sl_survey_config){
                              .source = pass->source,
                              .decode = *pass->decode,
                              .n_workers = api_workers(conf),
                              .each = pass->each,
                              .context = pass->context,
                              .go_on = go_on,
                              .go_on_context = &copy,
                          });
}

/* Bytes below 0x20, 0x7f and, if asked, those above it. */
static void escape(char *dst, size_t size, const char *path, bool is_ascii)
{
    size_t at = 0;
    for (const unsigned char *c = (const unsigned char *)path;
         *c != '\0' && at + ESCAPED < size; c++) {
        if (*c < 0x20 || *c == 0x7f || (is_ascii && *c > 0x7f)) {
            at += (size_t)snprintf(dst + at, size - at, "\\x%02x", (unsigned int)*c);
        } else {
            dst[at++] = (char)*c;
        }
    }
    dst[at] = '\0';
}

void api_path_text(char *dst, size_t size, const char *path)
{
    escape(dst, size, path, false);
}

struct json_t *api_path_json(const char *path)
{
    char text[ESCAPED * PATH_BYTES + 1];
    json_t *made = json_string(path); /* NULL when it is not UTF-8 */
    if (made == NULL) {
        escape(text, sizeof text, path, true);
        made = json_string(text);
    }
    return made;
}
