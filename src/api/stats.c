/* SPDX-License-Identifier: MIT */
/*
 * `slimclr stats`: what the pictures are like that pretrain would read, as a text or one
 * JSON object: how many, how large, of which formats and classes, mean and deviation of
 * the channels, and settings that suit them. The numbers are made in data/tally.c.
 */
#include "api_int.h"

#include <jansson.h>
#include <math.h>

enum { TEXT_BYTES = 4 * 4096 + 1, BAR = 40 };

struct stats {
    const char *data;
    struct sl_conf *conf;
    struct sl_decode_options decode;
    const slim_hooks *hooks;
    /* Counted: whole parts. */
    int64_t count[2];
    int n_parts;
    int n_classes;
    int64_t *by_class;
    json_t *classes; /* name -> pictures of the train part */
    int least, most; /* classes */
    char kind[32];
    /* Looked at: the train part, or what --limit takes of it. */
    struct sl_source *source;
    int channels;
    struct sl_tally *tally;
    struct sl_tally_numbers numbers;
    struct api_suggestion suggestion;
};

/* ---- looking ----------------------------------------------------------------------- */

static enum sl_status count_classes(struct sl_error *err, struct stats *stats,
                                    const struct sl_source *source)
{
    stats->n_classes = sl_source_classes(source);
    stats->classes = json_object();
    if (stats->n_classes == 0) {
        return SL_OK;
    }
    SL_TRY(sl_heap_alloc(err, "classes", stats->n_classes, sizeof *stats->by_class,
                         &stats->by_class));
    for (int64_t i = 0; i < sl_source_count(source); i++) {
        int label = sl_source_label(source, i);
        if (label >= 0 && label < stats->n_classes) {
            stats->by_class[label]++;
        }
    }
    for (int c = 0; c < stats->n_classes; c++) {
        char name[TEXT_BYTES];
        json_t *text = api_path_json(sl_source_class_name(source, c));
        (void)sl_text_copy(name, sizeof name, json_string_value(text));
        json_decref(text);
        json_object_set_new(stats->classes, name, json_integer(stats->by_class[c]));
        stats->least =
            stats->by_class[c] < stats->by_class[stats->least] ? c : stats->least;
        stats->most = stats->by_class[c] > stats->by_class[stats->most] ? c : stats->most;
    }
    return SL_OK;
}

/* Both parts whole, for what can be counted without looking; then the pictures that are
 * looked at. */
static enum sl_status open_all(struct sl_error *err, struct stats *stats)
{
    struct sl_source *sources[2] = {NULL, NULL};
    enum sl_status status = SL_OK;
    char cache[4096];
    SL_TRY_OUT(api_decode_options(err, stats->conf, &stats->decode));
    SL_TRY_OUT(api_parts_open(err, stats->conf, stats->data, 0, &stats->decode, sources,
                              &stats->n_parts));
    for (int s = 0; s < stats->n_parts; s++) {
        stats->count[s] = sl_source_count(sources[s]);
    }
    (void)sl_text_copy(stats->kind, sizeof stats->kind, sl_source_kind(sources[0]));
    SL_TRY_OUT(count_classes(err, stats, sources[0]));
    stats->channels = stats->decode.channels;
    if (sl_conf_int(stats->conf, "limit") == 0) {
        stats->source = sources[0];
        sources[0] = NULL;
    } else {
        status = sl_source_open(
            err,
            &(struct sl_source_config){
                .data = stats->data,
                .part = SL_PART_TRAIN,
                .whole = true,
                .limit = sl_conf_int(stats->conf, "limit"),
                .seed = (uint64_t)sl_conf_int(stats->conf, "seed"),
                .decode = stats->decode,
                .cache_directory = api_cache_directory(stats->conf, cache, sizeof cache),
            },
            &stats->source);
    }
out:
    sl_source_close(sources[0]);
    sl_source_close(sources[1]);
    return status;
}

static enum sl_status each(struct sl_error *err, void *context, int64_t i,
                           const struct sl_look *look)
{
    struct stats *stats = context;
    (void)err;
    (void)i;
    sl_tally_add(stats->tally, look);
    return SL_OK;
}

static enum sl_status look(struct sl_error *err, struct stats *stats)
{
    int height = 0;
    int width = 0;
    bool is_fixed = sl_source_side_fixed(stats->source, &height, &width) != 0;
    SL_TRY(sl_tally_create(err, &stats->tally));
    SL_TRY(api_pass(err, stats->conf,
                    &(struct api_pass){
                        .source = stats->source,
                        .decode = &stats->decode,
                        .each = each,
                        .context = stats,
                        .hooks = stats->hooks,
                        .total = sl_source_count(stats->source),
                    }));
    stats->numbers = sl_tally_numbers(stats->tally);
    if (stats->numbers.n == 0) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: none of %lld pictures can be read; `slimclr check` says why",
                       stats->data, (long long)stats->numbers.n_damaged);
    }
    const struct api_outline outline = {
        .count = stats->count[0],
        .fixed_side = !is_fixed        ? 0
                      : height > width ? height
                                       : width,
        .low_side = sl_tally_side_at(stats->tally, 0.1),
    };
    return api_suggest(err, &outline, &stats->suggestion);
}

/* ---- words ------------------------------------------------------------------------- */

/* "0.4914,0.4822,0.4465", as --mean and --std take it. */
static void channel_text(char *dst, size_t size, const double values[3], int channels)
{
    (void)snprintf(dst, size, channels == 1 ? "%.4f" : "%.4f,%.4f,%.4f", values[0],
                   values[1], values[2]);
}

/* Deviations of nothing but one colour cannot be divided by. */
static bool is_flat(const struct stats *stats)
{
    bool flat = false;
    for (int c = 0; c < stats->channels; c++) {
        flat = flat || stats->numbers.std[c] < 5e-5;
    }
    return flat;
}

static void byte_text(char *dst, size_t size, double bytes)
{
    const char *unit = bytes < 1024 * 1024 ? "KB" : "MB";
    (void)snprintf(dst, size, "%.0f %s", bytes / (bytes < 1024 * 1024 ? 1024.0 : 1048576),
                   unit);
}

static void plain_text(char *dst, size_t size, double value)
{
    (void)snprintf(dst, size, "%g", value);
}

static void add_histogram(struct sl_text *text, const char *title,
                          const struct sl_histogram *histogram, int64_t n,
                          void (*show)(char *dst, size_t size, double value))
{
    sl_text_add(text, "\n%s\n", title);
    for (int b = 0; b <= histogram->n_edges; b++) {
        char low[32] = "";
        char high[32] = "";
        char range[80];
        double share = (double)histogram->counts[b] / (double)n;
        if (histogram->counts[b] == 0) {
            continue;
        }
        if (b > 0) {
            show(low, sizeof low, histogram->edges[b - 1]);
        }
        if (b < histogram->n_edges) {
            show(high, sizeof high, histogram->edges[b]);
        }
        (void)snprintf(range, sizeof range,
                       b == 0                   ? "%sbelow %s"
                       : b < histogram->n_edges ? "%s to %s"
                                                : "%s%s or more",
                       low, high);
        sl_text_add(text, "  %-18s %9lld %6.1f%%  %.*s\n", range,
                    (long long)histogram->counts[b], 100.0 * share,
                    (int)(share * BAR + 0.5), "########################################");
    }
}

static void add_formats(const struct stats *stats, struct sl_text *text)
{
    bool is_built = false;
    const char *before = "  ";
    sl_text_add(text, "formats     ");
    for (int i = 0; i < SL_TALLY_FORMATS && sl_decode_format(i, &is_built) != NULL; i++) {
        if (stats->numbers.formats[i] > 0) {
            sl_text_add(text, "%s%s %lld", before, sl_decode_format(i, &is_built),
                        (long long)stats->numbers.formats[i]);
            before = ", ";
        }
    }
    if (stats->numbers.formats[SL_TALLY_FORMATS] > 0) {
        sl_text_add(text, "%splain pixels %lld", before,
                    (long long)stats->numbers.formats[SL_TALLY_FORMATS]);
    }
    sl_text_add(text, "\n");
}

static void add_classes(const struct stats *stats, struct sl_text *text)
{
    if (stats->n_classes == 0) {
        sl_text_add(text, "classes       none known; none are needed\n");
        return;
    }
    char name[TEXT_BYTES];
    api_path_text(name, sizeof name, sl_source_class_name(stats->source, stats->least));
    sl_text_add(text, "classes       %d; fewest %s: %lld", stats->n_classes, name,
                (long long)stats->by_class[stats->least]);
    api_path_text(name, sizeof name, sl_source_class_name(stats->source, stats->most));
    sl_text_add(text, "; most %s: %lld", name, (long long)stats->by_class[stats->most]);
    sl_text_add(text, "\n");
}

static void add_suggestion(const struct stats *stats, struct sl_text *text)
{
    const struct api_suggestion *suggestion = &stats->suggestion;
    char batch[32] = "";
    if (suggestion->batch > 0) {
        (void)snprintf(batch, sizeof batch, " -b %lld", (long long)suggestion->batch);
    }
    sl_text_add(text,
                "\nsuggested: slimclr pretrain DATA -o RUN --recipe %s --image-size %d "
                "--stem %s%s\n"
                "  recipe      %s\n  image size  %s\n  stem        %s\n",
                suggestion->recipe, suggestion->image_size, suggestion->stem, batch,
                suggestion->why_recipe, suggestion->why_size, suggestion->why_stem);
    if (suggestion->batch > 0) {
        sl_text_add(text, "  batch       no larger than the data\n");
    }
}

static void add_text(const struct stats *stats, struct sl_text *text)
{
    const struct sl_tally_numbers *numbers = &stats->numbers;
    char path[TEXT_BYTES];
    char mean[64];
    char std[64];
    int64_t looked = numbers->n + numbers->n_damaged;
    api_path_text(path, sizeof path, stats->data);
    channel_text(mean, sizeof mean, numbers->mean, stats->channels);
    channel_text(std, sizeof std, numbers->std, stats->channels);
    sl_text_add(text, "%s (%s)\npictures      %lld", path, stats->kind,
                (long long)stats->count[0]);
    if (stats->n_parts == 2) {
        sl_text_add(text, " to train, %lld to test; below: those to train",
                    (long long)stats->count[1]);
    }
    if (looked < stats->count[0]) {
        sl_text_add(text, "; below: %lld of them, drawn by seed", (long long)looked);
    }
    sl_text_add(text, "\n");
    if (numbers->n_damaged > 0) {
        sl_text_add(text, "damaged       %lld, left out; `slimclr check` names them\n",
                    (long long)numbers->n_damaged);
    }
    add_classes(stats, text);
    add_formats(stats, text);
    sl_text_add(text, "bytes         %.1f MB, %.1f KB a picture\n",
                (double)numbers->bytes / 1048576.0,
                (double)numbers->bytes / 1024.0 / (double)numbers->n);
    sl_text_add(text,
                "shape         %lld wide, %lld tall, %lld square; median short side "
                "%d px\n",
                (long long)numbers->wide, (long long)numbers->tall,
                (long long)numbers->square, sl_tally_side_at(stats->tally, 0.5));
    sl_text_add(text, "normalising   --mean %s --std %s%s\n", mean, std,
                is_flat(stats) ? "   (a deviation of 0: not for use)"
                               : "   (every picture counts alike)");
    add_histogram(text, "short side, px", &numbers->sides, numbers->n, plain_text);
    add_histogram(text, "long side : short side", &numbers->aspects, numbers->n,
                  plain_text);
    add_histogram(text, "bytes", &numbers->sizes, numbers->n, byte_text);
    add_suggestion(stats, text);
}

/* ---- for machines ------------------------------------------------------------------ */

static json_t *histogram_json(const struct sl_histogram *histogram)
{
    json_t *bins = json_array();
    for (int b = 0; b <= histogram->n_edges; b++) {
        json_t *bin = json_object();
        json_object_set_new(bin, "from",
                            b > 0 ? json_real(histogram->edges[b - 1]) : json_null());
        json_object_set_new(bin, "below",
                            b < histogram->n_edges ? json_real(histogram->edges[b])
                                                   : json_null());
        json_object_set_new(bin, "count", json_integer(histogram->counts[b]));
        json_array_append_new(bins, bin);
    }
    return bins;
}

static json_t *channels_json(const double values[3], int channels)
{
    json_t *list = json_array();
    for (int c = 0; c < channels; c++) {
        json_array_append_new(list, json_real(values[c]));
    }
    return list;
}

static json_t *suggestion_json(const struct api_suggestion *suggestion)
{
    json_t *root = json_object();
    json_object_set_new(root, "recipe", json_string(suggestion->recipe));
    json_object_set_new(root, "image_size", json_integer(suggestion->image_size));
    json_object_set_new(root, "stem", json_string(suggestion->stem));
    if (suggestion->batch > 0) {
        json_object_set_new(root, "batch_size", json_integer(suggestion->batch));
    }
    json_object_set_new(root, "why_recipe", json_string(suggestion->why_recipe));
    json_object_set_new(root, "why_image_size", json_string(suggestion->why_size));
    json_object_set_new(root, "why_stem", json_string(suggestion->why_stem));
    return root;
}

static enum sl_status add_json(struct sl_error *err, const struct stats *stats,
                               struct sl_text *text)
{
    const struct sl_tally_numbers *numbers = &stats->numbers;
    json_t *root = json_object();
    json_t *parts = json_object();
    json_t *formats = json_object();
    bool is_built = false;
    json_object_set_new(parts, "train", json_integer(stats->count[0]));
    json_object_set_new(parts, "test", json_integer(stats->count[1]));
    for (int i = 0; i < SL_TALLY_FORMATS && sl_decode_format(i, &is_built) != NULL; i++) {
        json_object_set_new(formats, sl_decode_format(i, &is_built),
                            json_integer(numbers->formats[i]));
    }
    json_object_set_new(formats, "pixels",
                        json_integer(numbers->formats[SL_TALLY_FORMATS]));
    json_object_set_new(root, "stats", api_path_json(stats->data));
    json_object_set_new(root, "kind", json_string(stats->kind));
    json_object_set_new(root, "parts", parts);
    json_object_set_new(root, "pictures", json_integer(numbers->n));
    json_object_set_new(root, "damaged", json_integer(numbers->n_damaged));
    json_object_set(root, "classes", stats->classes);
    json_object_set_new(root, "formats", formats);
    json_object_set_new(root, "bytes", json_integer(numbers->bytes));
    json_object_set_new(root, "wide", json_integer(numbers->wide));
    json_object_set_new(root, "tall", json_integer(numbers->tall));
    json_object_set_new(root, "square", json_integer(numbers->square));
    json_object_set_new(root, "median_short_side",
                        json_integer(sl_tally_side_at(stats->tally, 0.5)));
    json_object_set_new(root, "mean", channels_json(numbers->mean, stats->channels));
    json_object_set_new(root, "std", channels_json(numbers->std, stats->channels));
    json_object_set_new(root, "short_side", histogram_json(&numbers->sides));
    json_object_set_new(root, "aspect", histogram_json(&numbers->aspects));
    json_object_set_new(root, "file_bytes", histogram_json(&numbers->sizes));
    json_object_set_new(root, "suggested", suggestion_json(&stats->suggestion));
    return api_json_add(err, text, root);
}

/* ---- the door ---------------------------------------------------------------------- */

static enum sl_status run(struct sl_error *err, struct stats *stats, bool json,
                          struct sl_text *text)
{
    SL_TRY(open_all(err, stats));
    SL_TRY(look(err, stats));
    if (json) {
        return add_json(err, stats, text);
    }
    add_text(stats, text);
    return SL_OK;
}

slim_status slim_stats(const slim_options *options, const char *data, bool json,
                       const slim_hooks *hooks, char **out, slim_error *error)
{
    struct sl_error err = {0};
    struct stats stats = {.data = data, .conf = options->conf, .hooks = hooks};
    struct sl_text text = {0};
    *out = NULL;
    enum sl_status status = run(&err, &stats, json, &text);
    if (status == SL_OK) {
        status = api_text_out(&err, &text, out);
    }
    sl_text_finish(&text);
    json_decref(stats.classes);
    sl_heap_free(stats.by_class);
    sl_tally_destroy(stats.tally);
    sl_source_close(stats.source);
    return api_leave(&err, status, error);
}
