/* SPDX-License-Identifier: MIT */
/*
 * Looking before spending: `plan`, `bench step`, `info` and `list`. Each makes one text;
 * nothing is trained or written.
 */
#include "api_build.h"
#include "api_int.h"
#include "bench/bench.h"

#include <jansson.h>
#include <string.h>

enum { BENCH_STEPS = 10 };

const char *slim_version(void)
{
    return api_build.version;
}

/* What plan and bench share: settings, mostly without data, and what they describe. */
struct outline {
    struct sl_conf *conf;
    struct sl_source *source; /* NULL: without data */
    struct api_settings settings;
    struct sl_device device;
    struct sl_net *net;
};

static enum sl_status open_outline(struct sl_error *err, const slim_options *options,
                                   bool with_data, const char *const *data, int n_data,
                                   struct outline *outline)
{
    struct api_pictures pictures = {
        .mean = {0.485F, 0.456F, 0.406F},
        .std = {0.229F, 0.224F, 0.225F},
    };
    SL_TRY(api_conf_complete(err, options, &outline->conf));
    if (with_data && (n_data > 0 || sl_conf_text(outline->conf, "data")[0] != '\0')) {
        SL_TRY(api_pictures_open(err, outline->conf, data, n_data, &outline->source,
                                 &pictures));
    }
    SL_TRY(api_device_open(err, outline->conf, &outline->device));
    SL_TRY(api_settings_resolve(err, outline->conf, &pictures, &outline->device,
                                &outline->settings));
    return sl_resnet_build(err, &outline->settings.resnet, &outline->net);
}

static void close_outline(struct outline *outline)
{
    sl_net_destroy(outline->net);
    sl_source_close(outline->source);
    sl_device_close(&outline->device);
    sl_conf_destroy(outline->conf);
}

static void megabytes(char *dst, size_t size, size_t bytes)
{
    (void)snprintf(dst, size, "%.1f MB", (double)bytes / 1e6);
}

static int add_bytes(const char *bytes, size_t count, void *text)
{
    sl_text_add_bytes(text, bytes, count);
    return 0;
}

enum sl_status api_json_add(struct sl_error *err, struct sl_text *text, json_t *root)
{
    bool is_good =
        root != NULL && json_dump_callback(root, add_bytes, text,
                                           JSON_COMPACT | JSON_REAL_PRECISION(7)) == 0;
    json_decref(root);
    return is_good && !text->failed
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_RUN, "out of memory for a text of the result");
}

/* ---- plan -------------------------------------------------------------------------- */

struct width_plan {
    char width[16];
    int64_t params, macs;
    size_t packed, activations, scratch;
};

/* What a run takes. This process is the program with its libraries as the run will be,
 * with the net's ops prepared and the data opened; what it holds is measured rather than
 * guessed, and all else is known to the byte. */
struct memory_plan {
    struct sl_trainer_memory trainer;
    struct sl_loader_memory loader;
    size_t judge; /* kNN while training, or 0 */
    size_t process, total;
};

static enum sl_status plan_judge(struct sl_error *err, const struct outline *outline,
                                 size_t *bytes)
{
    const char *data = sl_conf_text(outline->conf, "eval-data");
    struct sl_recipe view;
    *bytes = 0;
    if (data[0] == '\0') {
        return SL_OK;
    }
    SL_TRY(api_knn_check(err, outline->conf, data));
    SL_TRY(api_knn_view(err, &outline->settings, &view));
    return api_knn_plan_memory(
        err,
        &(struct sl_frozen){.device = &outline->device,
                            .net = outline->net,
                            .type = outline->settings.trainer.type},
        outline->conf, &view, data, outline->settings.workers, bytes);
}

static enum sl_status plan_memory(struct sl_error *err, const struct outline *outline,
                                  struct memory_plan *memory)
{
    const struct sl_trainer_config *trainer = &outline->settings.trainer;
    SL_TRY(sl_trainer_plan_memory(err, trainer, outline->net, &outline->device,
                                  &memory->trainer));
    memory->loader = sl_loader_plan_memory(&(struct sl_loader_config){
        .source = outline->source,
        .recipe = outline->settings.recipe,
        .n_views = sl_method_info(trainer->method)->n_views,
        .batch = trainer->batch,
        .n_workers = outline->settings.workers,
        .end_step = trainer->total_steps,
    });
    SL_TRY(plan_judge(err, outline, &memory->judge));
    memory->process = (size_t)sl_peak_rss();
    memory->total = memory->trainer.params + memory->trainer.block +
                    memory->trainer.method + memory->trainer.measure +
                    memory->loader.ring + memory->loader.workers + memory->judge +
                    memory->process;
    return SL_OK;
}

static enum sl_status plan_width(struct sl_error *err, const struct outline *outline,
                                 int width, struct sl_text *values,
                                 struct width_plan *row)
{
    struct sl_plan *plan = NULL;
    SL_TRY(sl_plan_create(err,
                          &(struct sl_plan_config){
                              .net = outline->net,
                              .device = &outline->device,
                              .width = width,
                              .batch = outline->settings.trainer.batch,
                              .role = SL_ROLE_TRAIN,
                              .groups = outline->settings.trainer.bn_splits,
                              .output = outline->net->embedding,
                              .type = outline->settings.trainer.type,
                          },
                          &plan));
    sl_multiplier_text(outline->net->widths.at[width], row->width, sizeof row->width);
    sl_net_cost(outline->net, outline->net->features, width, &row->params, &row->macs);
    sl_plan_bytes_split(plan, &row->packed, &row->activations, &row->scratch);
    if (width == 0 && values != NULL) {
        sl_plan_print(plan, values);
    }
    sl_plan_destroy(plan);
    return SL_OK;
}

static enum sl_status plan_json(struct sl_error *err, const struct outline *outline,
                                const struct width_plan *rows,
                                const struct memory_plan *memory, struct sl_text *text)
{
    json_t *root = json_object();
    json_t *widths = json_array();
    const struct sl_trainer_config *trainer = &outline->settings.trainer;
    json_object_set_new(root, "plan", json_string("pretrain"));
    json_object_set_new(root, "method",
                        json_string(sl_method_info(trainer->method)->name));
    json_object_set_new(root, "arch", json_string(sl_conf_text(outline->conf, "arch")));
    json_object_set_new(root, "image_size",
                        json_integer(outline->settings.resnet.image_size));
    json_object_set_new(root, "batch", json_integer(trainer->batch));
    json_object_set_new(root, "queue", json_integer(trainer->queue));
    for (int i = 0; i < outline->net->widths.n; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "width",
                            json_real(sl_multiplier_value(outline->net->widths.at[i])));
        json_object_set_new(one, "params", json_integer(rows[i].params));
        json_object_set_new(one, "macs", json_integer(rows[i].macs));
        json_object_set_new(one, "packed_bytes",
                            json_integer((json_int_t)rows[i].packed));
        json_object_set_new(one, "activation_bytes",
                            json_integer((json_int_t)rows[i].activations));
        json_object_set_new(one, "scratch_bytes",
                            json_integer((json_int_t)rows[i].scratch));
        json_array_append_new(widths, one);
    }
    json_object_set_new(root, "widths", widths);
    json_object_set_new(root, "params_total", json_integer(outline->net->total));
    const struct {
        const char *key;
        size_t bytes;
    } sizes[] = {
        {"params_bytes", memory->trainer.params},
        {"block_bytes", memory->trainer.block},
        {"method_bytes", memory->trainer.method},
        {"measure_bytes", memory->trainer.measure},
        {"loader_bytes", memory->loader.ring},
        {"workers_bytes", memory->loader.workers},
        {"eval_bytes", memory->judge},
        {"process_bytes", memory->process},
        {"total_bytes", memory->total},
    };
    for (int i = 0; i < SL_COUNT(sizes); i++) {
        json_object_set_new(root, sizes[i].key, json_integer((json_int_t)sizes[i].bytes));
    }
    return api_json_add(err, text, root);
}

static void plan_table(const struct outline *outline, const struct width_plan *rows,
                       const struct memory_plan *memory, struct sl_text *text)
{
    const struct sl_trainer_config *trainer = &outline->settings.trainer;
    char a[32];
    char b[32];
    char c[32];
    const struct sl_method_info *method = sl_method_info(trainer->method);
    sl_text_add(text, "%s, %s, %d px, %s stem, batch %d", method->name,
                sl_conf_text(outline->conf, "arch"), outline->settings.resnet.image_size,
                sl_conf_text(outline->conf, "stem"), trainer->batch);
    if (method->has_queue) {
        sl_text_add(text, ", queue %lld", (long long)trainer->queue);
    }
    sl_text_add(text, "\n\n");
    sl_text_add(text, "%6s %12s %14s %14s %14s %14s\n", "width", "params", "MACs",
                "packed", "activations", "scratch");
    for (int i = 0; i < outline->net->widths.n; i++) {
        megabytes(a, sizeof a, rows[i].packed);
        megabytes(b, sizeof b, rows[i].activations);
        megabytes(c, sizeof c, rows[i].scratch);
        sl_text_add(text, "%6s %12lld %14lld %14s %14s %14s\n", rows[i].width,
                    (long long)rows[i].params, (long long)rows[i].macs, a, b, c);
    }
    sl_text_add(text, "\nparameters and MACs are the trunk's (no head), for one picture; "
                      "1 multiply-add = 1.\n");
    megabytes(a, sizeof a, memory->trainer.params);
    sl_text_add(text,
                "weights, gradients, momentum%s: %s (%lld parameters, head and "
                "all widths' norms included)\n",
                method->has_target ? ", key encoder" : "", a,
                (long long)outline->net->total);
    megabytes(a, sizeof a, memory->trainer.block);
    sl_text_add(text, "activations of a step, used by all widths in turn: %s\n", a);
    megabytes(a, sizeof a, memory->trainer.method);
    sl_text_add(text, "%slogits, views: %s\n", method->has_queue ? "queue, " : "", a);
    if (memory->trainer.measure > 0) {
        megabytes(a, sizeof a, memory->trainer.measure);
        sl_text_add(text, "gradients of each width (--grad-diag): %s\n", a);
    }
    megabytes(a, sizeof a, memory->loader.ring);
    megabytes(b, sizeof b, memory->loader.workers);
    sl_text_add(text,
                "pictures, %d batches in turn: %s; %d loader workers: %s and what "
                "their largest picture takes\n",
                memory->loader.slots, a, outline->settings.workers, b);
    if (memory->judge > 0) {
        megabytes(a, sizeof a, memory->judge);
        sl_text_add(text, "kNN of every width while training (--eval-data): %s\n", a);
    }
    megabytes(a, sizeof a, memory->process);
    sl_text_add(text, "the program and its libraries%s: %s\n",
                outline->source != NULL ? ", the data's files or index"
                                        : " (with DATA: its files or index, too)",
                a);
    megabytes(a, sizeof a, memory->total);
    sl_text_add(text, "total: %s\n", a);
}

static enum sl_status make_plan(struct sl_error *err, const struct outline *outline,
                                bool json, struct sl_text *text)
{
    struct width_plan rows[SL_WIDTHS_MAX];
    struct memory_plan memory = {0};
    struct sl_text values = {0};
    enum sl_status status = SL_OK;
    memset(rows, 0, sizeof rows);
    bool with_values = sl_conf_bool(outline->conf, "values");
    for (int i = 0; i < outline->net->widths.n; i++) {
        SL_TRY_OUT(plan_width(err, outline, i, with_values ? &values : NULL, &rows[i]));
    }
    SL_TRY_OUT(plan_memory(err, outline, &memory));
    if (json) {
        status = plan_json(err, outline, rows, &memory, text);
        goto out;
    }
    plan_table(outline, rows, &memory, text);
    if (sl_conf_bool(outline->conf, "ops")) {
        sl_text_add(text, "\n");
        sl_net_print(outline->net, text);
    }
    if (values.text != NULL) {
        sl_text_add(text, "\n%s", values.text);
    }
out:
    sl_text_finish(&values);
    return status;
}

slim_status slim_plan(const slim_options *options, const char *const *data, int n_data,
                      bool json, char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct outline outline = {0};
    struct sl_text text = {0};
    *out = NULL;
    SL_TRY_OUT(open_outline(&err, options, true, data, n_data, &outline));
    api_say_uneven(outline.net, sl_conf_text(outline.conf, "arch"));
    SL_TRY_OUT(make_plan(&err, &outline, json, &text));
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    close_outline(&outline);
    return api_leave(&err, status, error);
}

/* ---- bench ------------------------------------------------------------------------- */

static json_t *bench_json(const struct outline *outline,
                          const struct sl_bench_step_result *result)
{
    json_t *root = json_object();
    json_t *widths = json_object();
    const struct sl_trainer_config *trainer = &outline->settings.trainer;
    json_object_set_new(root, "bench", json_string("step"));
    json_object_set_new(root, "method",
                        json_string(sl_method_info(trainer->method)->name));
    json_object_set_new(root, "arch", json_string(sl_conf_text(outline->conf, "arch")));
    json_object_set_new(root, "device", json_string(outline->device.table->name));
    json_object_set_new(root, "precision",
                        json_string(sl_conf_text(outline->conf, "precision")));
    json_object_set_new(root, "image_size",
                        json_integer(outline->settings.resnet.image_size));
    json_object_set_new(root, "batch", json_integer(trainer->batch));
    json_object_set_new(root, "queue", json_integer(trainer->queue));
    json_object_set_new(root, "steps", json_integer(result->steps));
    json_object_set_new(root, "best_s", json_real(result->best_s));
    json_object_set_new(root, "median_s", json_real(result->median_s));
    json_object_set_new(root, "first_s", json_real(result->first_s));
    json_object_set_new(root, "start_to_first_step_s", json_real(result->since_start_s));
    json_object_set_new(root, "images_per_sec", json_real(result->images_per_sec));
    json_object_set_new(root, "gflops", json_real(result->gflops));
    json_object_set_new(root, "peak_rss_mb", json_real((double)result->peak_rss / 1e6));
    json_object_set_new(root, "keys_s", json_real(result->keys_s));
    json_object_set_new(root, "update_s", json_real(result->update_s));
    for (int i = 0; i < outline->net->widths.n; i++) {
        char key[16];
        sl_multiplier_text(outline->net->widths.at[i], key, sizeof key);
        json_object_set_new(widths, key, json_real(result->width_s[i]));
    }
    json_object_set_new(root, "per_width_s", widths);
    return root;
}

slim_status slim_bench_step(const slim_options *options, char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct outline outline = {0};
    struct sl_text text = {0};
    struct sl_bench_step_result result;
    *out = NULL;
    SL_TRY_OUT(open_outline(&err, options, false, NULL, 0, &outline));
    struct sl_trainer_config trainer = outline.settings.trainer;
    int steps = sl_conf_is_auto(outline.conf, "steps")
                    ? BENCH_STEPS
                    : (int)sl_conf_int(outline.conf, "steps");
    /* All widths from the first step on: the dear phase is what is timed. */
    trainer.slow_start_step = 0;
    trainer.lr.second_from = INT64_MAX;
    SL_TRY_OUT(
        sl_bench_step(&err, &trainer, outline.net, &outline.device, steps, &result));
    SL_TRY_OUT(api_json_add(&err, &text, bench_json(&outline, &result)));
    sl_text_add(&text, "\n");
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    close_outline(&outline);
    return api_leave(&err, status, error);
}

/* ---- info and list ----------------------------------------------------------------- */

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

static enum sl_status make_info(struct sl_error *err, bool json, struct sl_text *text)
{
    struct sl_device device = {0};
    char described[256] = "none";
    char formats[SL_FORMATS_BYTES];
    struct sl_cpu_features cpu = sl_cpu_features();
    const struct sl_backend_options options = {0};
    SL_TRY(sl_device_open(err, "auto", &options, &device));
    device.table->describe(device.state, described, sizeof described);
    sl_decode_formats(formats, sizeof formats);
    sl_device_close(&device);
    if (json) {
        json_t *root = json_object();
        json_object_set_new(root, "version", json_string(api_build.version));
        json_object_set_new(root, "build", json_string(api_build.type));
        json_object_set_new(root, "compiler", json_string(api_build.compiler));
        json_object_set_new(root, "device", json_string(described));
        json_object_set_new(root, "onednn", json_boolean(api_build.onednn));
        json_object_set_new(root, "formats", json_string(formats));
        json_object_set_new(root, "archives", json_boolean(api_build.archive));
        json_object_set_new(root, "lmdb", json_boolean(api_build.lmdb));
        json_object_set_new(root, "cores", json_integer(sl_cpu_count()));
        json_object_set_new(root, "avx2", json_boolean(cpu.avx2));
        json_object_set_new(root, "avx512", json_boolean(cpu.avx512));
        json_object_set_new(root, "avx512_bf16", json_boolean(cpu.avx512_bf16));
        SL_TRY(api_json_add(err, text, root));
        sl_text_add(text, "\n");
        return SL_OK;
    }
    sl_text_add(text, "slimclr   %s (%s, %s%s%s)\n", api_build.version, api_build.type,
                api_build.compiler, api_build.sanitize[0] != '\0' ? ", sanitizers: " : "",
                api_build.sanitize);
    sl_text_add(text, "device    %s\n", described);
    sl_text_add(text, "cores     %d; avx2 %s, avx512 %s, avx512_bf16 %s\n",
                sl_cpu_count(), yes_no(cpu.avx2), yes_no(cpu.avx512),
                yes_no(cpu.avx512_bf16));
    sl_text_add(text, "backends ");
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        sl_text_add(text, " %s", sl_backend_name(i));
    }
    sl_text_add(text, "\npictures  %s; gzipped IDX: %s\n", formats,
                yes_no(api_build.zlib));
    sl_text_add(
        text,
        "compiled  oneDNN %s, OpenMP %s, JPEG %s, PNG %s, WebP %s, TIFF %s, archives %s, "
        "LMDB %s\n",
        yes_no(api_build.onednn), yes_no(api_build.openmp), yes_no(api_build.jpeg),
        yes_no(api_build.png), yes_no(api_build.webp), yes_no(api_build.tiff),
        yes_no(api_build.archive), yes_no(api_build.lmdb));
    return SL_OK;
}

slim_status slim_info(bool json, char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct sl_text text = {0};
    *out = NULL;
    SL_TRY_OUT(make_info(&err, json, &text));
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    return api_leave(&err, status, error);
}

enum { RECIPE_COLUMN = 28, LINE_COLUMNS = 100 };

/* The first sentence of a recipe's comment says what it is for. */
static void add_recipe(struct sl_text *text, const char *name)
{
    const char *at = api_recipe_text(name);
    int column = RECIPE_COLUMN - 1;
    bool is_over = false;
    while (strncmp(at, "# SPDX", 6) == 0) {
        at = strchr(at, '\n') + 1;
    }
    sl_text_add(text, "%-*s", RECIPE_COLUMN - 1, name);
    for (; at[0] == '#' && !is_over; at += strcspn(at, "\n"), at += *at == '\n' ? 1 : 0) {
        for (at++; *at != '\n' && *at != '\0' && !is_over;) {
            at += strspn(at, " ");
            int n = (int)strcspn(at, " \n");
            if (column + 1 + n > LINE_COLUMNS) {
                sl_text_add(text, "\n%*s", RECIPE_COLUMN - 1, "");
                column = RECIPE_COLUMN - 1;
            }
            sl_text_add(text, " %.*s", n, at);
            column += 1 + n;
            at += n;
            is_over = n > 0 && at[-1] == '.';
        }
    }
    sl_text_add(text, "\n");
}

static const char *left_out(bool built)
{
    return built ? "" : " (not in this build)";
}

static void add_formats(struct sl_text *text)
{
    bool is_built = false;
    sl_text_add(text, "folder     a directory of any depth with pictures:\n");
    for (int i = 0; sl_decode_format(i, &is_built) != NULL; i++) {
        sl_text_add(text, "             %s%s\n", sl_decode_format(i, &is_built),
                    is_built ? "" : "   (not in this build)");
    }
    sl_text_add(text,
                "list       @files.txt: a path a line, optional tab and label\n"
                "tar, zip   .tar, .zip%s: members as the files of a folder%s\n"
                "shards     name-{000000..000123}.tar, or a folder of .tar files "
                "(WebDataset)%s\n"
                "lmdb       *.lmdb: encoded pictures under class/file, labels in "
                "*_list.json%s\n"
                "cifar      data_batch_*.bin (CIFAR-10), train.bin (CIFAR-100)\n"
                "idx        IDX files, *-images-idx3-ubyte%s\n"
                "synthetic: the built-in generator; synthetic:size=32,n=20000,seed=1\n",
                api_build.zlib ? ", .tar.gz" : "", left_out(api_build.archive),
                left_out(api_build.archive), left_out(api_build.lmdb),
                api_build.zlib ? ", plain or .gz" : "");
}

static enum sl_status make_list(struct sl_error *err, const char *what,
                                struct sl_text *text)
{
    if (strcmp(what, "archs") == 0) {
        for (int i = 0; sl_resnet_name(i) != NULL; i++) {
            sl_text_add(text, "%s\n", sl_resnet_name(i));
        }
        sl_text_add(text,
                    "resnet20 32 44 56 110 also with xK, K times wider: resnet20x4\n");
        return SL_OK;
    }
    if (strcmp(what, "methods") == 0) {
        for (int i = 0; sl_method_at(i) != NULL; i++) {
            const struct sl_method_info *info = sl_method_info(sl_method_at(i));
            sl_text_add(text, "%-10s %s\n", info->name, info->about);
        }
        return SL_OK;
    }
    if (strcmp(what, "recipes") == 0) {
        for (int i = 0; api_recipe_name(i) != NULL; i++) {
            add_recipe(text, api_recipe_name(i));
        }
        return SL_OK;
    }
    if (strcmp(what, "formats") == 0) {
        add_formats(text);
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "'%s': there are archs, methods, recipes and formats", what);
}

slim_status slim_list(const char *what, char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct sl_text text = {0};
    *out = NULL;
    SL_TRY_OUT(make_list(&err, what, &text));
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    return api_leave(&err, status, error);
}
