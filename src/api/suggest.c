/* SPDX-License-Identifier: MIT */
/*
 * Which recipe, image size and stem suit pictures of which sides and number are known,
 * with the reason of each. What a recipe says is read from the recipe.
 */
#include "api_int.h"

enum {
    SMALL_SIDE = 64,  /* as in settings.c: small stem and small-picture defaults */
    LARGE_SIDE = 224, /* nobody needs more to begin with */
    MANY = 100000     /* more pictures than photos-small is for */
};

/* Sizes that halve well: multiples of 16. */
static const int sizes[] = {32, 48, 64, 96, 112, 128, 160, 192, 224};

static int largest_size(int side, int most)
{
    int best = sizes[0];
    for (int i = 0; i < SL_COUNT(sizes); i++) {
        best = sizes[i] <= side && sizes[i] <= most ? sizes[i] : best;
    }
    return best;
}

/* What a recipe sets: 0 where it leaves the image size open. */
static enum sl_status read_recipe(struct sl_error *err, const char *name, int *image_size,
                                  int64_t *batch)
{
    struct api_table table = {0};
    struct sl_conf *conf = NULL;
    enum sl_status status = SL_OK;
    const char *text = api_recipe_text(name);
    SL_ASSERT(text != NULL);
    SL_TRY_OUT(api_table_create(err, "pretrain", &table));
    SL_TRY_OUT(sl_conf_create(err, table.keys, table.n, &conf));
    SL_TRY_OUT(sl_conf_parse(err, conf, text, name, SL_FROM_RECIPE));
    *image_size =
        sl_conf_is_auto(conf, "image-size") ? 0 : (int)sl_conf_int(conf, "image-size");
    *batch = sl_conf_int(conf, "batch-size");
out:
    sl_conf_destroy(conf);
    api_table_finish(&table);
    return status;
}

static void suggest_size(const struct api_outline *outline, int recipe_size,
                         struct api_suggestion *suggestion)
{
    char *why = suggestion->why_size;
    size_t size = sizeof suggestion->why_size;
    int fits = largest_size(outline->low_side, LARGE_SIDE);
    if (outline->fixed_side > 0 && outline->fixed_side <= LARGE_SIDE) {
        suggestion->image_size = outline->fixed_side;
        (void)snprintf(why, size, "all pictures are %d px: taken as they are",
                       outline->fixed_side);
    } else if (outline->low_side < sizes[0]) {
        suggestion->image_size = sizes[0];
        (void)snprintf(why, size,
                       "the smallest in use: a tenth of the pictures have a short side "
                       "of %d px or less",
                       outline->low_side);
    } else if (recipe_size > 0 && recipe_size < fits) {
        suggestion->image_size = recipe_size;
        (void)snprintf(why, size,
                       "the recipe's; nine of ten pictures would bear %d px, where a "
                       "step costs %.1f times as much",
                       fits, (double)fits * fits / ((double)recipe_size * recipe_size));
    } else {
        suggestion->image_size = fits;
        (void)snprintf(why, size,
                       "nine of ten pictures have a short side of %d px or more",
                       outline->low_side);
    }
}

enum sl_status api_suggest(struct sl_error *err, const struct api_outline *outline,
                           struct api_suggestion *suggestion)
{
    int recipe_size = 0;
    int64_t recipe_batch = 0;
    int side = outline->fixed_side > 0 ? outline->fixed_side
                                       : largest_size(outline->low_side, LARGE_SIDE);
    *suggestion = (struct api_suggestion){0};
    if (side <= SMALL_SIDE) {
        suggestion->recipe = "cifar10";
        (void)snprintf(suggestion->why_recipe, sizeof suggestion->why_recipe,
                       "a small net for small pictures");
    } else if (outline->count <= MANY) {
        suggestion->recipe = "photos-small";
        (void)snprintf(suggestion->why_recipe, sizeof suggestion->why_recipe,
                       "%lld picture%s work for one machine%s", (long long)outline->count,
                       outline->count == 1 ? " is" : "s are",
                       outline->count < 1000 ? "; some thousand would teach more" : "");
    } else {
        suggestion->recipe = "slimclr-mocov2-200ep";
        (void)snprintf(suggestion->why_recipe, sizeof suggestion->why_recipe,
                       "%lld pictures bear the published setting; photos-small with "
                       "--limit %d is a first look",
                       (long long)outline->count, (int)MANY);
    }
    SL_TRY(read_recipe(err, suggestion->recipe, &recipe_size, &recipe_batch));
    /* A photo recipe is smaller than photos for their cost's sake; small pictures of any
     * size are cheap, and are taken as they are. */
    suggest_size(outline, side <= SMALL_SIDE ? 0 : recipe_size, suggestion);
    bool is_small = suggestion->image_size <= SMALL_SIDE;
    suggestion->stem = is_small ? "small" : "imagenet";
    (void)snprintf(suggestion->why_stem, sizeof suggestion->why_stem,
                   is_small ? "3x3 without pooling keeps what %d px have"
                            : "7x7/2 and pooling, as %d px are enough for it",
                   suggestion->image_size);
    for (suggestion->batch = recipe_batch;
         suggestion->batch > 1 && suggestion->batch > outline->count;) {
        suggestion->batch /= 2;
    }
    if (suggestion->batch == recipe_batch) {
        suggestion->batch = 0;
    }
    return SL_OK;
}
