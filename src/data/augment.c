/* SPDX-License-Identifier: MIT */
/*
 * One picture and one random key become one view. A recipe is a record of parameters; the
 * order of the steps is fixed: crop (random resized, or padded), colour jitter,
 * greyscale, blur, solarise, lighting, flip, normalise, with torchvision's semantics.
 *
 * Random numbers of a view, in this order, whether or not a step applies (u = one 32-bit
 * number):
 *   crop, resized   per try 2 u (area, aspect); the try that fits 2 u more (top, left);
 *                   at most 10
 *   crop, padded    2 u (top, left)
 *   jitter          1 u apply, 1 u order, 4 u brightness, contrast, saturation, hue
 *   greyscale       1 u
 *   blur            1 u apply, 1 u radius
 *   solarise        1 u
 *   flip            1 u
 *   lighting        6 u; last, so that nobody misses them where it is off
 * Invariant: a view is a function of (recipe, picture, seed, epoch, sample, view) alone.
 */
#include "data/data_int.h"

#include <math.h>
#include <string.h>

enum { CROP_TRIES = 10, SMALL_SIDE = 64, SOLARISE_THRESHOLD = 128 };
/* Pixels of a picture whose short side was stretched; a line of pixels would need
 * gigabytes. */
enum { NARROW_MAX = 64 * 1024 * 1024 };

/* ---- recipes ----------------------------------------------------------------------- */

/* The published recipes of the methods, as SlimCLR takes them (arXiv 2209.15525), and
 * that of its supervised training on CIFAR-10, which moves and mirrors the pictures
 * (first in arXiv 1512.03385, section 4.2); its colours stay as they are until somebody
 * asks for jitter. */
static const struct method_recipe {
    const char *name;
    bool padded; /* the crop; else of a share of the area, crop_min or more */
    float crop_min, jitter_p, strengths[4], grey_p; /* brightness … hue */
    float blur_p[2], solarise_p[2];                 /* of the first and second view */
    float lighting;
} method_recipes[] = {
    {.name = "mocov2",
     .crop_min = 0.2F,
     .jitter_p = 0.8F,
     .strengths = {0.4F, 0.4F, 0.4F, 0.1F},
     .grey_p = 0.2F,
     .blur_p = {0.5F, 0.5F}},
    {.name = "mocov3",
     .crop_min = 0.2F,
     .jitter_p = 0.8F,
     .strengths = {0.4F, 0.4F, 0.2F, 0.1F},
     .grey_p = 0.2F,
     .blur_p = {1.0F, 0.1F},
     .solarise_p = {0.0F, 0.2F}},
    {.name = "simclr",
     .crop_min = 0.08F,
     .jitter_p = 0.8F,
     .strengths = {0.8F, 0.8F, 0.8F, 0.2F},
     .grey_p = 0.2F,
     .blur_p = {0.5F, 0.5F}},
    {.name = "supervised",
     .crop_min = 0.08F,
     .jitter_p = 1.0F,
     .strengths = {0.4F, 0.4F, 0.4F, 0.0F},
     .lighting = 0.1F},
    {.name = "padded", .padded = true, .strengths = {0.4F, 0.4F, 0.4F, 0.1F}},
};

static enum sl_status method_recipe(struct sl_error *err, const char *name, bool small,
                                    struct sl_recipe *recipe)
{
    const struct method_recipe *own = NULL;
    for (int i = 0; i < SL_COUNT(method_recipes); i++) {
        if (strcmp(method_recipes[i].name, name) == 0) {
            own = &method_recipes[i];
        }
    }
    if (own == NULL) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "aug: no augmentation is called '%s'; it is mocov2, mocov3, "
                       "simclr, supervised, padded or none",
                       name);
    }
    recipe->random = true;
    recipe->padded = own->padded;
    recipe->crop_pad = recipe->padded ? (recipe->size + 4) / 8 : 0;
    recipe->crop_min = own->crop_min;
    recipe->crop_max = 1.0F;
    recipe->jitter_p = own->jitter_p;
    recipe->brightness = own->strengths[0];
    recipe->contrast = own->strengths[1];
    recipe->saturation = own->strengths[2];
    recipe->hue = own->strengths[3];
    recipe->grey_p = own->grey_p;
    recipe->blur_p = small ? 0.0F : own->blur_p[0];
    recipe->second_blur_p = small ? 0.0F : own->blur_p[1];
    recipe->blur_min = 0.1F;
    recipe->blur_max = 2.0F;
    recipe->solarise_p = own->solarise_p[0];
    recipe->second_solarise_p = own->solarise_p[1];
    recipe->second =
        own->blur_p[0] != own->blur_p[1] || own->solarise_p[0] != own->solarise_p[1];
    recipe->lighting = own->lighting;
    recipe->flip_p = 0.5F;
    return SL_OK;
}

enum sl_status sl_recipe_named(struct sl_error *err, const char *name, int size,
                               const float mean[3], const float std[3],
                               struct sl_recipe *recipe)
{
    *recipe = (struct sl_recipe){.size = size, .channels = 3};
    memcpy(recipe->mean, mean, sizeof(recipe->mean));
    memcpy(recipe->std, std, sizeof(recipe->std));
    if (size < 1) {
        return SL_FAIL(err, SL_ERROR_USAGE, "image-size must be at least 1 (seen: %d)",
                       size);
    }
    if (strcmp(name, "none") == 0) {
        return SL_OK;
    }
    if (strcmp(name, "eval") == 0) {
        recipe->resize_short = size > SMALL_SIDE ? (8 * size + 3) / 7 : 0;
        return SL_OK;
    }
    return method_recipe(err, name, size <= SMALL_SIDE, recipe);
}

/* ---- the random view --------------------------------------------------------------- */

/* round() of Python: halves to the even side. */
static int64_t round_even(double value)
{
    double below = floor(value), rest = value - below;
    int64_t whole = (int64_t)below;
    return rest > 0.5 || (rest == 0.5 && whole % 2 != 0) ? whole + 1 : whole;
}

/* A whole number in 0..bound) from exactly one random number. */
static int below_one(struct sl_rng *rng, int bound)
{
    return (int)(((uint64_t)sl_rng_u32(rng) * (uint64_t)bound) >> 32);
}

/* The crop when no try fits: the largest centred one within the aspects. */
static struct sl_box central_box(int height, int width, double low, double high)
{
    double aspect = (double)width / height;
    struct sl_box box = {0, 0, height, width};
    if (aspect < low) {
        box.height = (int)round_even(width / low);
    } else if (aspect > high) {
        box.width = (int)round_even(height * high);
    }
    box.height = box.height < 1 ? 1 : box.height > height ? height : box.height;
    box.width = box.width < 1 ? 1 : box.width > width ? width : box.width;
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

static struct sl_box random_box(struct sl_rng *rng, const struct sl_recipe *recipe,
                                int height, int width)
{
    const double low = 3.0 / 4.0, high = 4.0 / 3.0;
    double area = (double)height * width;
    for (int i = 0; i < CROP_TRIES; i++) {
        double part =
            sl_rng_between(rng, (double)recipe->crop_min, (double)recipe->crop_max);
        double aspect = exp(sl_rng_between(rng, log(low), log(high)));
        int64_t w = round_even(sqrt(area * part * aspect));
        int64_t h = round_even(sqrt(area * part / aspect));
        if (w > 0 && w <= width && h > 0 && h <= height) {
            struct sl_box box = {.height = (int)h, .width = (int)w};
            box.top = below_one(rng, height - box.height + 1);
            box.left = below_one(rng, width - box.width + 1);
            return box;
        }
    }
    return central_box(height, width, low, high);
}

static bool chance(struct sl_rng *rng, float p)
{
    return sl_rng_uniform(rng) < p;
}

/* The factor of brightness, contrast or saturation. */
static float factor(struct sl_rng *rng, float strength)
{
    double low = 1.0 - (double)strength;
    return (float)sl_rng_between(rng, low < 0.0 ? 0.0 : low, 1.0 + (double)strength);
}

static void apply_colour(struct sl_planes *image, int step, const float values[4])
{
    switch (step) {
    case 0:
        sl_pixels_brightness(image, values[0]);
        break;
    case 1:
        sl_pixels_contrast(image, values[1]);
        break;
    case 2:
        sl_pixels_saturation(image, values[2]);
        break;
    default:
        sl_pixels_hue(image, values[3]);
        break;
    }
}

/* The k-th of the 24 orders of four steps. */
static void order_of(int k, int order[4])
{
    int left[4] = {0, 1, 2, 3};
    static const int blocks[4] = {6, 2, 1, 1};
    for (int i = 0; i < 4; i++) {
        int at = k / blocks[i];
        k %= blocks[i];
        order[i] = left[at];
        for (int j = at; j < 3; j++) {
            left[j] = left[j + 1];
        }
    }
}

/* What is added to red, green and blue: along the three directions in which the colours
 * of ImageNet's pixels vary, each a column, as far as they do so (Krizhevsky et al., NIPS
 * 2012, section 4.1; the numbers of SlimCLR's supervised training, arXiv 2209.15525). */
static void draw_light(struct sl_rng *rng, float lighting, float light[3])
{
    static const double spread[3] = {0.2175, 0.0188, 0.0045};
    static const double directions[3][3] = {{-0.5675, 0.7192, 0.4009},
                                            {-0.5808, -0.0045, -0.8140},
                                            {-0.5836, -0.6948, 0.4203}};
    double along[3];
    for (int j = 0; j < 3; j++) {
        along[j] = (double)lighting * spread[j] * sl_rng_normal(rng);
    }
    for (int c = 0; c < 3; c++) {
        light[c] = (float)(directions[c][0] * along[0] + directions[c][1] * along[1] +
                           directions[c][2] * along[2]);
    }
}

struct sl_draw sl_draw_view(const struct sl_recipe *recipe, int height, int width,
                            uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t view)
{
    struct sl_rng rng =
        sl_rng_at(seed, (uint32_t)SL_RNG_AUGMENT | view << 16, epoch, sample);
    struct sl_draw draw = {.box = {.height = height, .width = width}};
    if (recipe->padded) {
        draw.top = below_one(&rng, 2 * recipe->crop_pad + 1) - recipe->crop_pad;
        draw.left = below_one(&rng, 2 * recipe->crop_pad + 1) - recipe->crop_pad;
    } else {
        draw.box = random_box(&rng, recipe, height, width);
    }
    draw.has_jitter = chance(&rng, recipe->jitter_p);
    order_of(below_one(&rng, 24), draw.order);
    draw.values[0] = factor(&rng, recipe->brightness);
    draw.values[1] = factor(&rng, recipe->contrast);
    draw.values[2] = factor(&rng, recipe->saturation);
    draw.values[3] =
        (float)sl_rng_between(&rng, -(double)recipe->hue, (double)recipe->hue);
    draw.has_grey = chance(&rng, recipe->grey_p);
    bool own = recipe->second && view == 1;
    draw.has_blur = chance(&rng, own ? recipe->second_blur_p : recipe->blur_p);
    draw.radius =
        (float)sl_rng_between(&rng, (double)recipe->blur_min, (double)recipe->blur_max);
    draw.has_solarise =
        chance(&rng, own ? recipe->second_solarise_p : recipe->solarise_p);
    draw.mirrored = chance(&rng, recipe->flip_p);
    if (recipe->lighting > 0.0F) {
        draw_light(&rng, recipe->lighting, draw.light);
    }
    return draw;
}

static void jitter(const struct sl_recipe *recipe, const struct sl_draw *draw,
                   struct sl_planes *image)
{
    const float strengths[4] = {recipe->brightness, recipe->contrast, recipe->saturation,
                                recipe->hue};
    for (int k = 0; draw->has_jitter && k < 4; k++) {
        if (strengths[draw->order[k]] > 0) {
            apply_colour(image, draw->order[k], draw->values);
        }
    }
}

/* A box of the picture among the pixels that are there. */
static struct sl_box box_in_window(struct sl_box box, const struct sl_window *window,
                                   const struct sl_image *image)
{
    int64_t eighths = window->eighths;
    int64_t top = box.top * eighths / 8, left = box.left * eighths / 8;
    int64_t bottom = (box.top + box.height) * eighths / 8;
    int64_t right = (box.left + box.width) * eighths / 8;
    struct sl_box inside = {.top = (int)top - window->top,
                            .left = (int)left - window->left,
                            .height = (int)(bottom > top ? bottom - top : 1),
                            .width = (int)(right > left ? right - left : 1)};
    SL_ASSERT(inside.top >= 0 && inside.left >= 0 &&
              inside.top + inside.height <= image->height &&
              inside.left + inside.width <= image->width);
    return inside;
}

/* Applies all steps but the flip, which is done while normalising. */
static enum sl_status random_view(struct sl_error *err, const struct sl_recipe *recipe,
                                  const struct sl_image *image,
                                  const struct sl_window *window,
                                  const struct sl_draw *draw, struct sl_arena *arena,
                                  struct sl_planes *view)
{
    struct sl_box box = box_in_window(draw->box, window, image);
    SL_TRY(sl_pixels_resize(err, arena, image, box, recipe->size, recipe->size, view));
    if (recipe->padded) {
        struct sl_planes fitted = *view;
        SL_TRY(sl_pixels_shift(err, arena, &fitted, draw->top, draw->left, view));
    }
    jitter(recipe, draw, view);
    if (draw->has_grey) {
        sl_pixels_grey(view);
    }
    if (draw->has_blur) {
        SL_TRY(sl_pixels_blur(err, arena, view, draw->radius));
    }
    if (draw->has_solarise) {
        sl_pixels_solarise(view, SOLARISE_THRESHOLD);
    }
    if (recipe->lighting > 0.0F) {
        sl_pixels_light(view, draw->light);
    }
    return SL_OK;
}

/* ---- the fixed view ---------------------------------------------------------------- */

/* The middle of planes, of `size` x `size`; halves of a pixel go to the even side. */
static enum sl_status centre_of(struct sl_error *err, const struct sl_planes *planes,
                                int size, struct sl_arena *arena, struct sl_planes *view)
{
    int64_t top = round_even((planes->height - size) / 2.0);
    int64_t left = round_even((planes->width - size) / 2.0);
    SL_TRY(sl_planes_alloc(err, arena, size, size, planes->channels, view));
    for (int c = 0; c < planes->channels; c++) {
        for (int64_t y = 0; y < size; y++) {
            memcpy(view->at[c] + y * size,
                   planes->at[c] + (top + y) * planes->width + left, (size_t)size);
        }
    }
    return SL_OK;
}

/* The short side to `resize_short`, then the centre; or straight to the size. */
static enum sl_status fixed_view(struct sl_error *err, const struct sl_recipe *recipe,
                                 const struct sl_image *image, struct sl_arena *arena,
                                 struct sl_planes *view)
{
    struct sl_box whole = {0, 0, image->height, image->width};
    int size = recipe->size, to = recipe->resize_short;
    if (to == 0 || (image->height == size && image->width == size)) {
        return sl_pixels_resize(err, arena, image, whole, size, size, view);
    }
    to = to < size ? size : to;
    bool is_wide = image->width > image->height;
    int64_t shorter = is_wide ? image->height : image->width;
    int64_t longer = is_wide ? image->width : image->height;
    int64_t other = to * longer / shorter;
    if (other > NARROW_MAX / to) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "a picture of %d x %d pixels is too narrow for a short side of %d",
                       image->width, image->height, to);
    }
    int height = is_wide ? to : (int)other, width = is_wide ? (int)other : to;
    struct sl_planes middle;
    SL_TRY(sl_pixels_resize(err, arena, image, whole, height, width, &middle));
    return centre_of(err, &middle, size, arena, view);
}

enum sl_status sl_augment_window(struct sl_error *err, const struct sl_recipe *recipe,
                                 const struct sl_image *image,
                                 const struct sl_window *window, uint64_t seed,
                                 uint32_t epoch, uint32_t sample, uint32_t view,
                                 struct sl_arena *arena, float *dst)
{
    struct sl_arena_mark mark = sl_arena_mark_now(arena);
    struct sl_planes done = {0};
    struct sl_draw draw = {0};
    enum sl_status status = SL_OK;
    SL_ASSERT(image->channels == recipe->channels);
    if (recipe->random) {
        draw = sl_draw_view(recipe, window->height, window->width, seed, epoch, sample,
                            view);
        status = random_view(err, recipe, image, window, &draw, arena, &done);
    } else {
        status = fixed_view(err, recipe, image, arena, &done);
    }
    if (status == SL_OK) {
        sl_pixels_normalise(&done, recipe->mean, recipe->std, draw.mirrored, dst);
    }
    sl_arena_reset(arena, mark);
    return status;
}

enum sl_status sl_augment(struct sl_error *err, const struct sl_recipe *recipe,
                          const struct sl_image *image, uint64_t seed, uint32_t epoch,
                          uint32_t sample, uint32_t view, struct sl_arena *arena,
                          float *dst)
{
    struct sl_window whole = sl_window_whole(image);
    return sl_augment_window(err, recipe, image, &whole, seed, epoch, sample, view, arena,
                             dst);
}

/* ---- what a view needs ------------------------------------------------------------- */

/* The picture may be halved as long as a crop keeps more pixels than its view has. */
static int eighths_for(const struct sl_box *box, int size)
{
    int eighths = 8;
    int64_t shorter = box->height < box->width ? box->height : box->width;
    while (eighths > 1 && shorter * (eighths / 2) / 8 > size) {
        eighths /= 2;
    }
    return eighths;
}

void sl_augment_part(const struct sl_recipe *recipe, int height, int width, uint64_t seed,
                     uint32_t epoch, uint32_t sample, int n_views, struct sl_box *box,
                     int *eighths)
{
    int top = height, left = width, bottom = 0, right = 0;
    *box = (struct sl_box){.height = height, .width = width};
    *eighths = 8;
    if (!recipe->random) {
        return;
    }
    *eighths = recipe->fast_decode ? 1 : 8;
    for (int v = 0; v < n_views; v++) {
        struct sl_box one =
            sl_draw_view(recipe, height, width, seed, epoch, sample, (uint32_t)v).box;
        int needed = eighths_for(&one, recipe->size);
        top = one.top < top ? one.top : top;
        left = one.left < left ? one.left : left;
        bottom = one.top + one.height > bottom ? one.top + one.height : bottom;
        right = one.left + one.width > right ? one.left + one.width : right;
        *eighths = needed > *eighths ? needed : *eighths;
    }
    *box = (struct sl_box){
        .top = top, .left = left, .height = bottom - top, .width = right - left};
}
