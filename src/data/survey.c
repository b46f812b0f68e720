/* SPDX-License-Identifier: MIT */
/*
 * Reads and decodes every picture of a source once and tells what each is. Workers look,
 * a few pictures at a time; the caller's thread is told of them in order. Nothing is
 * judged or added up here. Invariant: what is told of a picture is a function of the
 * picture and the decode options alone, and the order is the source's.
 */
#include "data/data_int.h"

#include <string.h>

enum { CHUNK = 8, SLOTS_PER_WORKER = 3, BLOCK = 4096, NAME_BYTES = 4096 };

/* Some pictures in a row, as a worker saw them. */
struct slot {
    struct sl_arena *texts; /* of the reasons */
    struct sl_look looks[CHUNK];
    int n;
    enum sl_status status; /* of what is no picture's fault */
    struct sl_error error;
};

struct survey {
    const struct sl_survey_config *config;
    int64_t count;
    int n_slots;
    struct slot *slots;
    struct sl_arena **arenas; /* of the workers */
    struct sl_pool *pool;
};

/* ---- one picture ------------------------------------------------------------------- */

/* Sums in 32 bit over so few pixels that they fit, because those are vectorised. */
static void add_block(const unsigned char *src, int64_t n, int channels,
                      struct sl_look *look)
{
    for (int c = 0; c < channels; c++) {
        uint32_t sum = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) {
            uint32_t value = src[i * channels + c];
            sum += value;
            squares += value * value;
        }
        look->sums[c] += sum;
        look->squares[c] += squares;
    }
}

void sl_look_at_pixels(const struct sl_image *image, struct sl_look *look)
{
    int64_t n = (int64_t)image->height * image->width;
    int channels = image->channels;
    look->height = image->height;
    look->width = image->width;
    look->channels = channels;
    memset(look->sums, 0, sizeof(look->sums));
    memset(look->squares, 0, sizeof(look->squares));
    for (int64_t at = 0; at < n; at += BLOCK) {
        add_block(image->pixels + at * channels, n - at < BLOCK ? n - at : BLOCK,
                  channels, look);
    }
    /* Every pixel is the one before it. */
    look->is_one_colour = memcmp(image->pixels, image->pixels + channels,
                                 (size_t)((n - 1) * channels)) == 0;
}

static enum sl_status look_at(struct sl_error *err, const struct sl_survey_config *config,
                              int64_t i, const char *name, struct sl_arena *arena,
                              struct sl_look *look)
{
    struct sl_image image = {0};
    struct sl_decode_options decode = config->decode;
    unsigned char *bytes = NULL;
    SL_TRY(sl_source_bytes(err, config->source, i, arena, &bytes, &look->bytes));
    if (bytes != NULL) {
        look->hash = sl_hash(SL_HASH_START, bytes, (size_t)look->bytes);
        decode.facts = &look->facts;
        SL_TRY(sl_decode(err, name, bytes, look->bytes, &decode, arena, &image));
    } else {
        SL_TRY(sl_source_read(err, config->source, i, arena, &image));
        int sides[2] = {image.height, image.width};
        look->bytes = (int64_t)image.height * image.width * image.channels;
        look->hash = sl_hash(SL_HASH_START, sides, sizeof(sides));
        look->hash = sl_hash(look->hash, image.pixels, (size_t)look->bytes);
    }
    sl_look_at_pixels(&image, look);
    return SL_OK;
}

/* ---- a worker's part --------------------------------------------------------------- */

static enum sl_status fill_one(struct sl_error *err, const struct survey *survey,
                               struct sl_arena *arena, int64_t i, struct slot *slot)
{
    char name[NAME_BYTES];
    struct sl_error reason = {0};
    struct sl_look *look = &slot->looks[slot->n++];
    *look = (struct sl_look){0};
    sl_arena_reset_all(arena);
    sl_source_name(survey->config->source, i, name, sizeof(name));
    enum sl_status status = look_at(&reason, survey->config, i, name, arena, look);
    if (status == SL_ERROR_DATA) {
        return sl_arena_text(err, slot->texts, sl_without_name(reason.text, name),
                             &look->damage);
    }
    if (status != SL_OK) {
        *err = reason;
    }
    return status;
}

static void fill_slot(void *context, int worker, int index, int64_t number)
{
    struct survey *survey = context;
    struct slot *slot = &survey->slots[index];
    int64_t first = number * CHUNK;
    int64_t end = first + CHUNK < survey->count ? first + CHUNK : survey->count;
    sl_arena_reset_all(slot->texts);
    slot->n = 0;
    slot->status = SL_OK;
    sl_error_clear(&slot->error);
    for (int64_t i = first; i < end && slot->status == SL_OK; i++) {
        slot->status = fill_one(&slot->error, survey, survey->arenas[worker], i, slot);
    }
}

/* ---- the caller's part ------------------------------------------------------------- */

static enum sl_status start(struct sl_error *err, struct survey *survey)
{
    int n_workers = survey->config->n_workers;
    survey->n_slots = n_workers * SLOTS_PER_WORKER;
    SL_TRY(sl_heap_alloc(err, "pictures being looked at", survey->n_slots,
                         sizeof(*survey->slots), &survey->slots));
    SL_TRY(sl_heap_alloc(err, "workers", n_workers, sizeof(*survey->arenas),
                         &survey->arenas));
    for (int s = 0; s < survey->n_slots; s++) {
        SL_TRY(sl_arena_create(err, 1024, &survey->slots[s].texts));
    }
    for (int w = 0; w < n_workers; w++) {
        SL_TRY(sl_arena_create(err, 1024 * 1024, &survey->arenas[w]));
    }
    struct sl_pool_config pool = {
        .n_workers = n_workers,
        .n_slots = survey->n_slots,
        .end = (survey->count + CHUNK - 1) / CHUNK,
        .fill = fill_slot,
        .context = survey,
    };
    return sl_pool_create(err, &pool, &survey->pool);
}

static void finish(struct survey *survey)
{
    sl_pool_destroy(survey->pool);
    for (int s = 0; survey->slots != NULL && s < survey->n_slots; s++) {
        sl_arena_destroy(survey->slots[s].texts);
    }
    for (int w = 0; survey->arenas != NULL && w < survey->config->n_workers; w++) {
        sl_arena_destroy(survey->arenas[w]);
    }
    sl_heap_free(survey->slots);
    sl_heap_free(survey->arenas);
}

static enum sl_status tell(struct sl_error *err, struct survey *survey)
{
    const struct sl_survey_config *config = survey->config;
    for (;;) {
        int64_t number = 0;
        int index = sl_pool_acquire(survey->pool, &number, NULL);
        if (index < 0) {
            return SL_OK;
        }
        const struct slot *slot = &survey->slots[index];
        if (slot->status != SL_OK) {
            *err = slot->error;
            return slot->status;
        }
        for (int k = 0; k < slot->n; k++) {
            SL_TRY(
                config->each(err, config->context, number * CHUNK + k, &slot->looks[k]));
        }
        int64_t done = number * CHUNK + slot->n;
        sl_pool_release(survey->pool);
        if (config->go_on != NULL && !config->go_on(config->go_on_context, done)) {
            return SL_FAIL(err, SL_STOPPED,
                           "stopped; %lld of %lld pictures were looked at",
                           (long long)done, (long long)survey->count);
        }
    }
}

enum sl_status sl_survey(struct sl_error *err, const struct sl_survey_config *config)
{
    struct survey survey = {.config = config, .count = sl_source_count(config->source)};
    SL_ASSERT(config->n_workers >= 1);
    enum sl_status status = start(err, &survey);
    if (status == SL_OK) {
        status = tell(err, &survey);
    }
    finish(&survey);
    return status;
}
