/* SPDX-License-Identifier: MIT */
/*
 * Settings become what the folders below take. Every "auto" is replaced by a value here,
 * once, so that the written configuration says what was really done; nothing further down
 * has a default of its own.
 */
#include "api_int.h"

#include <math.h>
#include <string.h>

enum {
    LARGE_SIDE_DEFAULT = 224,
    MEAN_DIGITS = 6, /* of three channels' number for one */
    GRAD_EVERY = 100 /* as published (docs/analyse.md) */
};

int api_workers(const struct sl_conf *conf)
{
    return sl_conf_is_auto(conf, "workers") ? sl_cpu_count()
                                            : (int)sl_conf_int(conf, "workers");
}

const char *api_cache_directory(const struct sl_conf *conf, char *dst, size_t size)
{
    if (sl_conf_bool(conf, "no-cache")) {
        return NULL;
    }
    if (!sl_conf_is_auto(conf, "cache-dir")) {
        return sl_conf_text(conf, "cache-dir");
    }
    return sl_cache_directory(dst, size) ? dst : NULL;
}

enum sl_bad_policy api_bad_policy(const struct sl_conf *conf)
{
    const char *word = sl_conf_text(conf, "on-bad-image");
    if (strcmp(word, "stop") == 0) {
        return SL_BAD_STOP;
    }
    return strcmp(word, "grey") == 0 ? SL_BAD_GREY : SL_BAD_SKIP;
}

enum sl_status api_parse_fraction(struct sl_error *err, const char *text,
                                  const char *where, double *fraction)
{
    char number[32];
    size_t length = strlen(text);
    double scale = 1.0;
    if (length > 0 && text[length - 1] == '%') {
        scale = 0.01;
        length--;
    }
    if (length >= sizeof number) {
        length = 0;
    }
    memcpy(number, text, length);
    number[length] = '\0';
    if (!sl_parse_real(number, fraction) || !(*fraction * scale >= 0.0) ||
        *fraction * scale > 1.0) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s '%s': not a share; give 0 to 100 with a %% sign, or 0 to 1",
                       where, text);
    }
    *fraction *= scale;
    return SL_OK;
}

static int channels_of(const struct sl_conf *conf)
{
    return strcmp(sl_conf_text(conf, "channels"), "1") == 0 ? 1 : 3;
}

/* "white", "black", "grey", "ignore", or three numbers of 0..255. */
static enum sl_status parse_alpha_on(struct sl_error *err, const char *text,
                                     struct sl_decode_options *decode)
{
    static const struct {
        const char *name;
        unsigned char level;
    } names[] = {{"white", 255}, {"black", 0}, {"grey", 128}};
    int rgb[3] = {-1, -1, -1};
    char rest = '\0';
    decode->alpha_ignored = strcmp(text, "ignore") == 0;
    decode->alpha_chosen = true;
    for (int i = 0; i < SL_COUNT(names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            memset(decode->alpha_on, names[i].level, sizeof decode->alpha_on);
            return SL_OK;
        }
    }
    if (decode->alpha_ignored) {
        return SL_OK;
    }
    int n = sscanf(text, "%3d,%3d,%3d%c", &rgb[0], &rgb[1], &rgb[2], &rest);
    for (int c = 0; c < 3; c++) {
        if (n != 3 || rgb[c] < 0 || rgb[c] > 255) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--alpha-on '%s': not a colour; give white, black, grey, "
                           "R,G,B with numbers from 0 to 255, or ignore",
                           text);
        }
        decode->alpha_on[c] = (unsigned char)rgb[c];
    }
    return SL_OK;
}

enum sl_status api_decode_options(struct sl_error *err, const struct sl_conf *conf,
                                  struct sl_decode_options *decode)
{
    *decode = (struct sl_decode_options){
        .max_pixels = sl_conf_int(conf, "max-pixels"),
        .max_side = sl_conf_int(conf, "max-side"),
        .max_bytes = sl_conf_int(conf, "max-bytes"),
        .channels = channels_of(conf),
    };
    return parse_alpha_on(err, sl_conf_text(conf, "alpha-on"), decode);
}

enum sl_status api_device_open(struct sl_error *err, const struct sl_conf *conf,
                               struct sl_device *device)
{
    struct sl_backend_options options = {0};
    const char *name = "auto";
    if (conf != NULL) {
        if (!sl_conf_is_auto(conf, "threads")) {
            options.threads = (int)sl_conf_int(conf, "threads");
        }
        name = sl_conf_text(conf, "device");
    }
    return sl_device_open(err, name, &options, device);
}

enum sl_status api_precision(struct sl_error *err, struct sl_conf *conf,
                             const struct sl_device *device, enum sl_dtype *type)
{
    const char *asked = sl_conf_text(conf, "precision");
    bool has_bf16 = device->table->computes(device->state, SL_BF16);

    if (strcmp(asked, "bf16") == 0 && !has_bf16) {
        char described[256];
        device->table->describe(device->state, described, sizeof described);
        sl_log(SL_LOG_WARNING,
               "--precision bf16: this device does not compute in bfloat16 (%s); using "
               "fp32",
               described);
    }
    *type = has_bf16 && strcmp(asked, "fp32") != 0 ? SL_BF16 : SL_F32;
    return api_resolve(err, conf, "precision", *type == SL_BF16 ? "bf16" : "fp32");
}

/* As many numbers as there are channels; one stands for all three places. */
static enum sl_status channel_numbers(struct sl_error *err, const struct sl_conf *conf,
                                      const char *key, bool positive, float out[3])
{
    const char *text = sl_conf_text(conf, key);
    const char *at = text;
    int n = channels_of(conf);
    for (int i = 0; i < n; i++) {
        char number[48];
        size_t length = strcspn(at, ",");
        double value = 0.0;
        bool last = at[length] == '\0';
        if (length >= sizeof number || last != (i == n - 1)) {
            return SL_FAIL(err, SL_ERROR_USAGE, "--%s '%s': %s needed for --channels %d",
                           key, text,
                           n == 1 ? "one number is" : "three numbers with commas are", n);
        }
        memcpy(number, at, length);
        number[length] = '\0';
        if (!sl_parse_real(number, &value) || (positive && value <= 0.0)) {
            return SL_FAIL(err, SL_ERROR_USAGE, "--%s '%s': '%s' is not a %snumber", key,
                           text, number, positive ? "positive " : "");
        }
        out[i] = (float)value;
        at += length + 1;
    }
    for (int i = n; i < 3; i++) {
        out[i] = out[0];
    }
    return SL_OK;
}

/* One channel takes the mean of the three published numbers. */
static enum sl_status resolve_numbers(struct sl_error *err, struct sl_conf *conf,
                                      const char *key, const float values[3])
{
    if (!sl_conf_is_auto(conf, key)) {
        return SL_OK;
    }
    char text[96];
    char one[3][32];
    double mean = ((double)values[0] + (double)values[1] + (double)values[2]) / 3.0;
    if (channels_of(conf) == 1) {
        sl_format_digits(text, sizeof text, mean, MEAN_DIGITS);
        return api_resolve(err, conf, key, text);
    }
    for (int i = 0; i < 3; i++) {
        sl_format_float(one[i], sizeof one[i], values[i]);
    }
    (void)snprintf(text, sizeof text, "%s,%s,%s", one[0], one[1], one[2]);
    return api_resolve(err, conf, key, text);
}

enum sl_status api_default_real(struct sl_error *err, struct sl_conf *conf,
                                const char *key, double value)
{
    return sl_conf_is_auto(conf, key) ? api_resolve_real(err, conf, key, value) : SL_OK;
}

/* ---- the net ----------------------------------------------------------------------- */

/* need_full: training wants the full width, a checkpoint may be of a narrow one alone. */
static enum sl_status fill_resnet(struct sl_error *err, const struct sl_conf *conf,
                                  bool need_full, struct sl_resnet_config *resnet)
{
    const char *stem = sl_conf_text(conf, "stem");
    const char *start = sl_conf_text(conf, "head-init");
    *resnet = (struct sl_resnet_config){
        .arch = sl_conf_text(conf, "arch"),
        .image_size = (int)sl_conf_int(conf, "image-size"),
        .channels = channels_of(conf),
        .stem = strcmp(stem, "small") == 0      ? SL_STEM_SMALL
                : strcmp(stem, "imagenet") == 0 ? SL_STEM_IMAGENET
                                                : SL_STEM_AUTO,
        .slices = strcmp(sl_conf_text(conf, "slices"), "disjoint") == 0
                      ? SL_SLICES_DISJOINT
                      : SL_SLICES_NESTED,
        .block = strcmp(sl_conf_text(conf, "block"), "slimclr-cifar") == 0
                     ? SL_BLOCK_SLIMCLR_CIFAR
                     : SL_BLOCK_BASIC,
        .head_init = strcmp(start, "paper") == 0    ? SL_HEAD_INIT_PAPER
                     : strcmp(start, "fan-in") == 0 ? SL_HEAD_INIT_FAN_IN
                                                    : SL_HEAD_INIT_AUTO,
    };
    api_settings_head(conf, resnet);
    return sl_widths_parse(err, sl_conf_text(conf, "widths"), need_full, "--widths",
                           &resnet->widths);
}

static enum sl_status resolve_net(struct sl_error *err, struct sl_conf *conf,
                                  const struct api_pictures *pictures)
{
    if (sl_conf_is_auto(conf, "image-size")) {
        int side = pictures->fixed_side > 0 ? pictures->fixed_side : LARGE_SIDE_DEFAULT;
        SL_TRY(api_resolve_int(err, conf, "image-size", side));
    }
    const char *arch = sl_conf_text(conf, "arch");
    if (strcmp(sl_conf_text(conf, "stem"), "auto") == 0) {
        bool cifar_family =
            !(strcmp(arch, "resnet18") == 0 || strcmp(arch, "resnet34") == 0 ||
              sl_resnet_is_bottleneck(arch));
        bool small = cifar_family || sl_conf_int(conf, "image-size") <= API_SMALL_SIDE;
        SL_TRY(api_resolve(err, conf, "stem", small ? "small" : "imagenet"));
    }
    if (strcmp(sl_conf_text(conf, "head-init"), "auto") == 0) {
        SL_TRY(api_resolve(err, conf, "head-init",
                           sl_resnet_is_bottleneck(arch) ? "paper" : "fan-in"));
    }
    SL_TRY(resolve_numbers(err, conf, "mean", pictures->mean));
    return resolve_numbers(err, conf, "std", pictures->std);
}

/* ---- the views --------------------------------------------------------------------- */

/* As api_default_real, of a float. */
static enum sl_status default_float(struct sl_error *err, struct sl_conf *conf,
                                    const char *key, float value)
{
    char text[32];
    sl_format_float(text, sizeof text, value);
    return sl_conf_is_auto(conf, key) ? api_resolve(err, conf, key, text) : SL_OK;
}

/* What the second view has of its own; by default, unless the recipe says otherwise, what
 * the first has. */
static enum sl_status resolve_second_view(struct sl_error *err, struct sl_conf *conf,
                                          struct sl_recipe *recipe)
{
    const struct {
        const char *key;
        float first;
        float *field;
    } fields[] = {
        {"aug-blur-2", recipe->blur_p, &recipe->second_blur_p},
        {"aug-solarise-2", recipe->solarise_p, &recipe->second_solarise_p},
    };
    for (int i = 0; i < SL_COUNT(fields); i++) {
        if (!recipe->random) {
            if (!sl_conf_is_auto(conf, fields[i].key)) {
                return SL_FAIL(err, SL_ERROR_USAGE,
                               "--%s contradicts --aug none; leave one out",
                               fields[i].key);
            }
            continue;
        }
        SL_TRY(default_float(err, conf, fields[i].key,
                             recipe->second ? *fields[i].field : fields[i].first));
        *fields[i].field = (float)sl_conf_real(conf, fields[i].key);
    }
    recipe->second = recipe->random;
    return SL_OK;
}

/* A strength or probability of the random steps: the recipe's, or what was said. */
static enum sl_status resolve_strength(struct sl_error *err, struct sl_conf *conf,
                                       const struct sl_recipe *recipe, const char *key,
                                       float *field)
{
    if (!recipe->random) {
        return sl_conf_is_auto(conf, key)
                   ? SL_OK
                   : SL_FAIL(err, SL_ERROR_USAGE,
                             "--%s contradicts --aug none; leave one out", key);
    }
    SL_TRY(default_float(err, conf, key, *field));
    *field = (float)sl_conf_real(conf, key);
    return SL_OK;
}

/* What the crop is: a share of the area, or a place in the padded picture. */
static enum sl_status resolve_crop(struct sl_error *err, struct sl_conf *conf,
                                   struct sl_recipe *recipe)
{
    if (!recipe->padded) {
        SL_TRY(api_refuse_idle(err, conf, "crop-pad", "aug", "padding"));
        return resolve_strength(err, conf, recipe, "crop-min", &recipe->crop_min);
    }
    SL_TRY(api_refuse_idle(err, conf, "crop-min", "aug", "crop of a share of the area"));
    if (sl_conf_is_auto(conf, "crop-pad")) {
        SL_TRY(api_resolve_int(err, conf, "crop-pad", recipe->crop_pad));
    }
    recipe->crop_pad = (int)sl_conf_int(conf, "crop-pad");
    if (recipe->crop_pad >= recipe->size) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--crop-pad %d: a view of %d px could miss the picture; take less "
                       "than %d",
                       recipe->crop_pad, recipe->size, recipe->size);
    }
    return SL_OK;
}

static enum sl_status resolve_view(struct sl_error *err, struct sl_conf *conf,
                                   struct sl_recipe *recipe)
{
    float mean[3] = {0};
    float std[3] = {0};
    SL_TRY(api_settings_aug(err, conf));
    SL_TRY(channel_numbers(err, conf, "mean", false, mean));
    SL_TRY(channel_numbers(err, conf, "std", true, std));
    SL_TRY(sl_recipe_named(err, sl_conf_text(conf, "aug"),
                           (int)sl_conf_int(conf, "image-size"), mean, std, recipe));
    recipe->channels = channels_of(conf);
    recipe->fast_decode = sl_conf_bool(conf, "fast-decode");
    SL_TRY(resolve_crop(err, conf, recipe));
    const struct {
        const char *key;
        float *field;
    } fields[] = {
        {"aug-jitter", &recipe->jitter_p},   {"aug-brightness", &recipe->brightness},
        {"aug-contrast", &recipe->contrast}, {"aug-saturation", &recipe->saturation},
        {"aug-hue", &recipe->hue},           {"aug-grey", &recipe->grey_p},
        {"aug-blur", &recipe->blur_p},       {"aug-solarise", &recipe->solarise_p},
        {"aug-flip", &recipe->flip_p},       {"aug-lighting", &recipe->lighting},
    };
    for (int i = 0; i < SL_COUNT(fields); i++) {
        SL_TRY(resolve_strength(err, conf, recipe, fields[i].key, fields[i].field));
    }
    return resolve_second_view(err, conf, recipe);
}

/* ---- the run ----------------------------------------------------------------------- */

/* "off", "on", "every=N" or N, as steps between measures; 0 = none. */
static enum sl_status parse_grad_diag(struct sl_error *err, const char *text,
                                      int64_t *every)
{
    static const char prefix[] = "every=";
    const char *number =
        strncmp(text, prefix, strlen(prefix)) == 0 ? text + strlen(prefix) : text;
    bool off = strcmp(text, "off") == 0 || strcmp(text, "no") == 0;
    bool on = strcmp(text, "on") == 0 || strcmp(text, "yes") == 0;
    *every = on ? GRAD_EVERY : 0;
    if (!on && !off && (!sl_parse_int(number, every) || *every < 1)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--grad-diag '%s': not an interval; give every=N with N steps "
                       "between measures, on (every=%d) or off",
                       text, (int)GRAD_EVERY);
    }
    return SL_OK;
}

/* Words about something that the run does not do. */
static enum sl_status refuse_idle(struct sl_error *err, const struct sl_conf *conf)
{
    static const char *const colours[] = {"aug-grey", "aug-saturation", "aug-hue"};
    for (int i = 0; channels_of(conf) == 1 && i < SL_COUNT(colours); i++) {
        if (sl_conf_is_auto(conf, colours[i]) || sl_conf_real(conf, colours[i]) > 0.0) {
            SL_TRY(api_refuse_idle(err, conf, colours[i], "channels", "colour"));
        }
    }
    if (api_bad_policy(conf) == SL_BAD_STOP) {
        SL_TRY(api_refuse_idle(err, conf, "max-bad", "on-bad-image",
                               "share of damaged pictures"));
    }
    if (sl_conf_text(conf, "eval-data")[0] == '\0' &&
        sl_conf_origin(conf, "eval-every") == SL_FROM_USER) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--eval-every %s: nothing is evaluated without --eval-data; name "
                       "labelled pictures, or leave it out",
                       sl_conf_text(conf, "eval-every"));
    }
    return SL_OK;
}

static enum sl_status resolve_length(struct sl_error *err, struct sl_conf *conf,
                                     const struct api_pictures *pictures,
                                     struct api_settings *settings)
{
    int64_t batch = sl_conf_int(conf, "batch-size");
    /* Steps are said instead of epochs, by whoever says both; not by a file that the user
     * means to overrule. */
    if (sl_conf_origin(conf, "epochs") == SL_FROM_USER &&
        !sl_conf_is_auto(conf, "steps") &&
        sl_conf_origin(conf, "steps") != SL_FROM_USER) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--epochs %s: the file's steps = %s would go before it; add "
                       "--steps auto, or give --steps instead",
                       sl_conf_text(conf, "epochs"), sl_conf_text(conf, "steps"));
    }
    if (pictures->count > 0 && batch > pictures->count) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--batch-size %lld: larger than the data (%lld picture%s); lower it",
            (long long)batch, (long long)pictures->count,
            sl_plural((double)pictures->count));
    }
    settings->steps_per_epoch = pictures->count > 0 ? pictures->count / batch : 1;
    if (sl_conf_is_auto(conf, "steps")) {
        settings->trainer.total_steps =
            sl_conf_int(conf, "epochs") * settings->steps_per_epoch;
    } else {
        settings->trainer.total_steps = sl_conf_int(conf, "steps");
    }
    settings->epochs =
        (double)settings->trainer.total_steps / (double)settings->steps_per_epoch;
    return SL_OK;
}

enum sl_status api_settings_view(struct sl_error *err, struct sl_conf *conf,
                                 const struct api_pictures *pictures,
                                 struct sl_recipe *recipe)
{
    SL_TRY(resolve_net(err, conf, pictures));
    return resolve_view(err, conf, recipe);
}

enum sl_status api_settings_resolve(struct sl_error *err, struct sl_conf *conf,
                                    const struct api_pictures *pictures,
                                    const struct sl_device *device,
                                    struct api_settings *settings)
{
    *settings = (struct api_settings){0};
    struct sl_trainer_config *trainer = &settings->trainer;
    SL_TRY(api_precision(err, conf, device, &trainer->type));
    SL_TRY(resolve_net(err, conf, pictures));
    SL_TRY(resolve_length(err, conf, pictures, settings));
    SL_TRY(refuse_idle(err, conf));
    SL_TRY(api_settings_method(err, conf, pictures, trainer));
    SL_TRY(fill_resnet(err, conf, true, &settings->resnet));
    SL_TRY(resolve_view(err, conf, &settings->recipe));
    SL_TRY(api_settings_rates(err, conf, pictures, settings));

    trainer->batch = (int)sl_conf_int(conf, "batch-size");
    trainer->seed = (uint64_t)sl_conf_int(conf, "seed");
    trainer->skip_nonfinite = (int)sl_conf_int(conf, "skip-nonfinite");
    trainer->update = strcmp(sl_conf_text(conf, "update"), "per-width") == 0
                          ? SL_UPDATE_PER_WIDTH
                          : SL_UPDATE_JOINT;
    SL_TRY(parse_grad_diag(err, sl_conf_text(conf, "grad-diag"), &trainer->grad_every));
    SL_TRY(sl_width_weights_parse(err, sl_conf_text(conf, "width-weights"),
                                  &settings->resnet.widths, trainer->width_weights));
    if (!(trainer->width_weights[0] > 0.0)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--width-weights %s: the full width would never be trained; give "
                       "it more than 0",
                       sl_conf_text(conf, "width-weights"));
    }
    if (trainer->grad_every > trainer->total_steps && trainer->total_steps > 0) {
        sl_log(SL_LOG_WARNING,
               "--grad-diag %s: the run ends after %lld step%s, and nothing is measured; "
               "take a smaller interval",
               sl_conf_text(conf, "grad-diag"), (long long)trainer->total_steps,
               sl_plural((double)trainer->total_steps));
    }
    settings->log_every = (int)sl_conf_int(conf, "log-every");
    settings->workers = api_workers(conf);
    settings->threads = sl_conf_is_auto(conf, "threads")
                            ? sl_cpu_count()
                            : (int)sl_conf_int(conf, "threads");
    return SL_OK;
}

enum sl_status api_settings_frozen(struct sl_error *err, const struct sl_conf *conf,
                                   int image_size, struct sl_resnet_config *resnet,
                                   struct sl_recipe *view)
{
    float mean[3] = {0};
    float std[3] = {0};
    SL_TRY(fill_resnet(err, conf, false, resnet));
    if (image_size > 0) {
        resnet->image_size = image_size;
    }
    SL_TRY(channel_numbers(err, conf, "mean", false, mean));
    SL_TRY(channel_numbers(err, conf, "std", true, std));
    SL_TRY(sl_recipe_named(err, "eval", resnet->image_size, mean, std, view));
    view->channels = resnet->channels;
    return SL_OK;
}
