/* SPDX-License-Identifier: MIT */
/*
 * Workers put batches together, the caller takes them in order. A batch is cut into
 * chunks of rows, and a chunk is what one worker makes at a time: all workers work on the
 * next batch, and two or three batches of memory are enough. Invariant: what is in a row
 * follows from step and row number alone; a worker writes its own chunk and scratch and
 * nothing else; damaged pictures are counted by the caller's thread, in the order of
 * rows, so that no outcome depends on timing.
 */
#include "data/data_int.h"

#include <limits.h>
#include <string.h>

enum { CHUNKS_PER_WORKER = 4, SMALL_BATCH_BYTES = 64 * 1024 * 1024, GREY = 128 };
enum { WORKER_BYTES = 1024 * 1024 }; /* for pictures on their way, until one needs more */

/* A damaged picture as a worker met it. */
struct bad {
    int32_t id;
    const char *reason;
    struct bad *next;
};

/* The same as the caller counted it. */
struct known {
    const char *name, *reason;
};

/* Rows first..first+planned of one batch in the ring. */
struct chunk {
    struct sl_arena *arena; /* of the bad ones */
    struct bad *bad, **bad_end;
    int64_t n_bad;
    int first, kept; /* kept < planned where damaged pictures are left out */
    double decode_s, augment_s;
    int worker; /* who made it, and the memory it then held */
    size_t worker_bytes;
    struct sl_error error;
};

struct ring_batch {
    float *views[4];
    int32_t *labels, *ids;
};

struct worker {
    struct sl_arena *arena;
    int32_t *order; /* of an epoch */
    int64_t order_epoch;
};

struct sl_loader {
    struct sl_loader_config config;
    int64_t n_pictures, steps_per_epoch, n_batches;
    int64_t row_floats;
    int n_chunks; /* a batch */
    int n_ring;
    int64_t most_bad, bad_of; /* damaged ones of so many */
    struct ring_batch *ring;
    struct chunk *chunks; /* n_ring x n_chunks, as the pool's slots */
    struct worker *workers;
    struct sl_pool *pool;
    /* The caller's thread only. */
    int n_lent;
    struct sl_loader_work work;
    size_t *worker_bytes; /* by worker: the most seen */
    struct sl_arena *texts;
    unsigned char *is_known_bad; /* by picture */
    struct known *known;
    int64_t n_known, known_capacity;
};

/* ---- a worker's part --------------------------------------------------------------- */

static int32_t picture_at(const struct sl_loader *loader, const struct worker *worker,
                          int64_t position)
{
    const int32_t *subset = loader->config.subset;
    int32_t at = loader->config.sequential ? (int32_t)position
                                           : worker->order[position % loader->n_pictures];
    return subset != NULL ? subset[at] : at;
}

static enum sl_status note_bad(struct sl_error *err, struct chunk *chunk, int32_t id,
                               const char *reason)
{
    struct bad *bad = NULL;
    SL_TRY(sl_arena_alloc(err, chunk->arena, 1, sizeof(*bad), &bad));
    SL_TRY(sl_arena_text(err, chunk->arena, reason, &bad->reason));
    bad->id = id;
    *chunk->bad_end = bad;
    chunk->bad_end = &bad->next;
    chunk->n_bad++;
    return SL_OK;
}

static enum sl_status augment_views(struct sl_error *err, const struct sl_loader *loader,
                                    struct worker *worker, const struct sl_image *image,
                                    const struct sl_window *window, int64_t epoch,
                                    int32_t id, struct ring_batch *batch, int row)
{
    for (int v = 0; v < loader->config.n_views; v++) {
        SL_TRY(sl_augment_window(err, &loader->config.recipe, image, window,
                                 loader->config.seed, (uint32_t)epoch, (uint32_t)id,
                                 (uint32_t)v, worker->arena,
                                 batch->views[v] + row * loader->row_floats));
    }
    return SL_OK;
}

/* A row's key, for whoever asks what of its picture will be looked at. */
struct row_key {
    const struct sl_loader *loader;
    int64_t epoch;
    int32_t id;
};

static void choose_part(void *context, int height, int width, struct sl_box *box,
                        int *eighths)
{
    const struct row_key *key = context;
    const struct sl_loader_config *config = &key->loader->config;
    sl_augment_part(&config->recipe, height, width, config->seed, (uint32_t)key->epoch,
                    (uint32_t)key->id, config->n_views, box, eighths);
}

/* Decodes once, what any view needs, and makes every view of the row. Two decodes of a
 * part each would cost more whatever the crops: each goes through the whole file. */
static enum sl_status make_row(struct sl_error *err, const struct sl_loader *loader,
                               struct worker *worker, int64_t epoch, int32_t id,
                               struct chunk *chunk, struct ring_batch *batch, int row)
{
    struct sl_image image = {0};
    struct row_key key = {.loader = loader, .epoch = epoch, .id = id};
    struct sl_part_wish wish = {.choose = choose_part, .context = &key};
    double start = sl_clock();
    sl_arena_reset_all(worker->arena);
    SL_TRY(sl_source_read_part(err, loader->config.source, id, &wish, worker->arena,
                               &image));
    double decoded = sl_clock();
    SL_TRY(
        augment_views(err, loader, worker, &image, &wish.window, epoch, id, batch, row));
    chunk->decode_s += decoded - start;
    chunk->augment_s += sl_clock() - decoded;
    batch->ids[row] = id;
    batch->labels[row] = sl_source_label(loader->config.source, id);
    return SL_OK;
}

static enum sl_status make_grey_row(struct sl_error *err, const struct sl_loader *loader,
                                    struct worker *worker, int64_t epoch, int32_t id,
                                    struct ring_batch *batch, int row)
{
    int size = loader->config.recipe.size;
    int channels = loader->config.recipe.channels;
    struct sl_image image = {.height = size, .width = size, .channels = channels};
    int64_t bytes = (int64_t)size * size * channels;
    sl_arena_reset_all(worker->arena);
    SL_TRY(sl_arena_alloc(err, worker->arena, bytes, 1, &image.pixels));
    memset(image.pixels, GREY, (size_t)bytes);
    struct sl_window whole = {.height = size, .width = size, .eighths = 8};
    SL_TRY(augment_views(err, loader, worker, &image, &whole, epoch, id, batch, row));
    batch->ids[row] = id;
    batch->labels[row] = sl_source_label(loader->config.source, id);
    return SL_OK;
}

/* One row: the picture of its position, or what the policy puts there. *made is false
 * when the row is left out, or when so many were damaged that the run is about to end. */
static enum sl_status fill_row(struct sl_error *err, const struct sl_loader *loader,
                               struct worker *worker, int64_t epoch, int64_t position,
                               struct chunk *chunk, struct ring_batch *batch, int row,
                               bool *made)
{
    enum sl_bad_policy policy = loader->config.bad_policy;
    int64_t most = loader->config.sequential ? 1 : loader->n_pictures;
    int64_t n_bad_before = chunk->n_bad;
    *made = false;
    for (int64_t k = 0; k < most; k++) {
        struct sl_error reason = {0};
        int32_t id = picture_at(loader, worker, position + k);
        enum sl_status status =
            make_row(&reason, loader, worker, epoch, id, chunk, batch, row);
        *made = status == SL_OK;
        if (*made) {
            return SL_OK;
        }
        if (status != SL_ERROR_DATA || policy == SL_BAD_STOP) {
            *err = reason;
            return status;
        }
        SL_TRY(note_bad(err, chunk, id, reason.text));
        if (policy == SL_BAD_GREY) {
            *made = true;
            return make_grey_row(err, loader, worker, epoch, id, batch, row);
        }
        if (chunk->n_bad - n_bad_before > loader->most_bad) {
            return SL_OK; /* the caller's thread counts them and ends the run */
        }
    }
    return SL_OK;
}

/* Rows of a batch: all but the last of a sequential pass are full. */
static int rows_of(const struct sl_loader *loader, int64_t batch)
{
    int64_t left = loader->n_pictures - batch * loader->config.batch;
    bool is_short = loader->config.sequential && left < loader->config.batch;
    return is_short ? (int)left : loader->config.batch;
}

static void prepare_order(const struct sl_loader *loader, struct worker *worker,
                          int64_t epoch)
{
    if (!loader->config.sequential && worker->order_epoch != epoch) {
        sl_sampler_order(loader->config.seed, (uint32_t)epoch, loader->n_pictures,
                         worker->order);
        worker->order_epoch = epoch;
    }
}

static void fill_chunk(void *context, int worker_index, int slot, int64_t number)
{
    struct sl_loader *loader = context;
    struct worker *worker = &loader->workers[worker_index];
    struct chunk *chunk = &loader->chunks[slot];
    struct ring_batch *batch = &loader->ring[slot / loader->n_chunks];
    int64_t index = number / loader->n_chunks, part = number % loader->n_chunks;
    int64_t step = loader->config.first_step + index;
    int64_t epoch = step / loader->steps_per_epoch;
    int64_t start = (step % loader->steps_per_epoch) * loader->config.batch;
    int rows = rows_of(loader, index);
    int end = (int)((part + 1) * rows / loader->n_chunks);
    sl_arena_reset_all(chunk->arena);
    *chunk = (struct chunk){.arena = chunk->arena};
    chunk->bad_end = &chunk->bad;
    chunk->first = (int)(part * rows / loader->n_chunks);
    prepare_order(loader, worker, epoch);
    for (int row = chunk->first; row < end; row++) {
        bool made = false;
        enum sl_status status =
            fill_row(&chunk->error, loader, worker, epoch, start + row, chunk, batch,
                     chunk->first + chunk->kept, &made);
        chunk->kept += made ? 1 : 0;
        if (status != SL_OK || (!made && !loader->config.sequential)) {
            break;
        }
    }
    chunk->worker = worker_index;
    chunk->worker_bytes = sl_arena_capacity(worker->arena);
}

/* ---- opening and closing ----------------------------------------------------------- */

static int64_t pictures_of(const struct sl_loader_config *config)
{
    return config->subset != NULL   ? config->n_subset
           : config->source != NULL ? sl_source_count(config->source)
                                    : 0;
}

static enum sl_status check_config(struct sl_error *err,
                                   const struct sl_loader_config *config)
{
    int64_t count = pictures_of(config);
    SL_ASSERT(config->n_views >= 1 && config->n_views <= 4 && config->n_workers >= 1);
    SL_ASSERT(config->recipe.size >= 1 && config->first_step >= 0);
    if (config->batch < 1) {
        return SL_FAIL(err, SL_ERROR_USAGE, "batch-size must be at least 1 (seen: %d)",
                       config->batch);
    }
    if (!config->sequential && config->batch > count) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "batch-size %d is larger than the data (%lld pictures); give at most "
            "--batch-size %lld",
            config->batch, (long long)count, (long long)count);
    }
    return SL_OK;
}

static enum sl_status make_ring(struct sl_error *err, struct sl_loader *loader)
{
    int64_t batch = loader->config.batch, floats = 0;
    if (!sl_mul_checked(batch, loader->row_floats, &floats)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "a batch of %lld pictures does not fit in memory",
                       (long long)batch);
    }
    SL_TRY(sl_heap_alloc(err, "batches", loader->n_ring, sizeof(*loader->ring),
                         &loader->ring));
    for (int r = 0; r < loader->n_ring; r++) {
        struct ring_batch *slot = &loader->ring[r];
        for (int v = 0; v < loader->config.n_views; v++) {
            SL_TRY(sl_heap_alloc(err, "batch", floats, sizeof(float), &slot->views[v]));
        }
        SL_TRY(sl_heap_alloc(err, "labels", batch, sizeof(int32_t), &slot->labels));
        SL_TRY(sl_heap_alloc(err, "ids", batch, sizeof(int32_t), &slot->ids));
    }
    int64_t n_slots = (int64_t)loader->n_ring * loader->n_chunks;
    SL_TRY(
        sl_heap_alloc(err, "chunks", n_slots, sizeof(*loader->chunks), &loader->chunks));
    for (int64_t s = 0; s < n_slots; s++) {
        SL_TRY(sl_arena_create(err, 1024, &loader->chunks[s].arena));
    }
    return SL_OK;
}

static enum sl_status make_workers(struct sl_error *err, struct sl_loader *loader)
{
    SL_TRY(sl_heap_alloc(err, "workers", loader->config.n_workers,
                         sizeof(*loader->workers), &loader->workers));
    SL_TRY(sl_heap_alloc(err, "workers", loader->config.n_workers, sizeof(size_t),
                         &loader->worker_bytes));
    for (int w = 0; w < loader->config.n_workers; w++) {
        struct worker *worker = &loader->workers[w];
        worker->order_epoch = -1;
        SL_TRY(sl_arena_create(err, WORKER_BYTES, &worker->arena));
        loader->worker_bytes[w] = WORKER_BYTES;
        if (!loader->config.sequential) {
            SL_TRY(sl_heap_alloc(err, "order of pictures", loader->n_pictures,
                                 sizeof(int32_t), &worker->order));
        }
    }
    return SL_OK;
}

/* How many batches, of how many parts, from how many pictures. */
static void plan(struct sl_loader *loader)
{
    const struct sl_loader_config *config = &loader->config;
    int64_t count = pictures_of(config);
    loader->n_pictures = count;
    loader->row_floats =
        (int64_t)config->recipe.size * config->recipe.size * config->recipe.channels;
    if (config->sequential) {
        loader->config.first_step = 0;
        loader->n_batches = (loader->n_pictures + config->batch - 1) / config->batch;
        loader->steps_per_epoch = INT64_MAX;
    } else {
        int64_t steps = config->end_step - config->first_step;
        loader->n_batches = steps > 0 ? steps : 0;
        loader->steps_per_epoch = count / config->batch;
    }
    int chunks = CHUNKS_PER_WORKER * config->n_workers;
    loader->n_chunks = chunks < config->batch ? chunks : config->batch;
    bool is_small = (double)loader->row_floats * config->batch * config->n_views * 4 <=
                    SMALL_BATCH_BYTES;
    loader->n_ring = config->n_slots > 0 ? config->n_slots : is_small ? 3 : 2;
}

/* Training must find a readable picture for each row; a sequential pass need not. */
static void allow_bad(struct sl_loader *loader)
{
    const struct sl_loader_config *config = &loader->config;
    int64_t count = loader->n_pictures;
    loader->bad_of = config->sequential ? sl_source_count(config->source) : count;
    loader->most_bad = (int64_t)(config->max_bad * (double)loader->bad_of);
}

static enum sl_status build(struct sl_error *err, struct sl_loader *loader)
{
    plan(loader);
    allow_bad(loader);
    SL_TRY(make_ring(err, loader));
    SL_TRY(make_workers(err, loader));
    SL_TRY(sl_arena_create(err, 1024, &loader->texts));
    SL_TRY(sl_heap_alloc(err, "damage marks", sl_source_count(loader->config.source), 1,
                         &loader->is_known_bad));
    struct sl_pool_config pool = {
        .n_workers = loader->config.n_workers,
        .n_slots = loader->n_ring * loader->n_chunks,
        .first = 0,
        .end = loader->n_batches > INT64_MAX / loader->n_chunks
                   ? INT64_MAX
                   : loader->n_batches * loader->n_chunks,
        .fill = fill_chunk,
        .context = loader,
    };
    return sl_pool_create(err, &pool, &loader->pool);
}

enum sl_status sl_loader_create(struct sl_error *err,
                                const struct sl_loader_config *config,
                                struct sl_loader **loader)
{
    *loader = NULL;
    SL_TRY(check_config(err, config));
    SL_TRY(sl_heap_alloc(err, "loader", 1, sizeof(**loader), loader));
    (*loader)->config = *config;
    enum sl_status status = build(err, *loader);
    if (status != SL_OK) {
        sl_loader_destroy(*loader);
        *loader = NULL;
    }
    return status;
}

void sl_loader_destroy(struct sl_loader *loader)
{
    if (loader == NULL) {
        return;
    }
    sl_pool_destroy(loader->pool);
    for (int r = 0; loader->ring != NULL && r < loader->n_ring; r++) {
        for (int v = 0; v < 4; v++) {
            sl_heap_free(loader->ring[r].views[v]);
        }
        sl_heap_free(loader->ring[r].labels);
        sl_heap_free(loader->ring[r].ids);
    }
    for (int s = 0; loader->chunks != NULL && s < loader->n_ring * loader->n_chunks;
         s++) {
        sl_arena_destroy(loader->chunks[s].arena);
    }
    for (int w = 0; loader->workers != NULL && w < loader->config.n_workers; w++) {
        sl_arena_destroy(loader->workers[w].arena);
        sl_heap_free(loader->workers[w].order);
    }
    sl_heap_free(loader->ring);
    sl_heap_free(loader->chunks);
    sl_heap_free(loader->workers);
    sl_heap_free(loader->worker_bytes);
    sl_heap_free(loader->is_known_bad);
    sl_heap_free(loader->known);
    sl_arena_destroy(loader->texts);
    sl_heap_free(loader);
}

/* ---- the caller's part ------------------------------------------------------------- */

static enum sl_status grow_known(struct sl_error *err, struct sl_loader *loader)
{
    if (loader->n_known < loader->known_capacity) {
        return SL_OK;
    }
    int64_t capacity = loader->known_capacity > 0 ? loader->known_capacity * 2 : 64;
    struct known *known = NULL;
    SL_TRY(sl_heap_alloc(err, "damaged pictures", capacity, sizeof(*known), &known));
    if (loader->n_known > 0) {
        memcpy(known, loader->known, (size_t)loader->n_known * sizeof(*known));
    }
    sl_heap_free(loader->known);
    loader->known = known;
    loader->known_capacity = capacity;
    return SL_OK;
}

static enum sl_status add_known(struct sl_error *err, struct sl_loader *loader,
                                int32_t id, const char *reason)
{
    char name[4096];
    SL_TRY(grow_known(err, loader));
    struct known *known = &loader->known[loader->n_known];
    sl_source_name(loader->config.source, id, name, sizeof(name));
    SL_TRY(sl_arena_text(err, loader->texts, name, &known->name));
    SL_TRY(
        sl_arena_text(err, loader->texts, sl_without_name(reason, name), &known->reason));
    loader->is_known_bad[id] = 1;
    loader->n_known++;
    return SL_OK;
}

enum sl_status sl_loader_recall_bad(struct sl_error *err, struct sl_loader *loader,
                                    int32_t id, const char *reason)
{
    SL_ASSERT(id >= 0 && id < sl_source_count(loader->config.source));
    return loader->is_known_bad[id] ? SL_OK : add_known(err, loader, id, reason);
}

/* Counts what a chunk met; the first picture too many ends the run. */
static enum sl_status count_bad(struct sl_error *err, struct sl_loader *loader,
                                const struct chunk *chunk)
{
    for (const struct bad *bad = chunk->bad; bad != NULL; bad = bad->next) {
        if (loader->is_known_bad[bad->id]) {
            continue;
        }
        SL_TRY(add_known(err, loader, bad->id, bad->reason));
        if (loader->n_known > loader->most_bad) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "%lld of %lld pictures are damaged, more than max-bad allows "
                           "(%g %%); the first: %s: %s",
                           (long long)loader->n_known, (long long)loader->bad_of,
                           100 * loader->config.max_bad, loader->known[0].name,
                           loader->known[0].reason);
        }
    }
    return SL_OK;
}

/* Puts a chunk's rows behind those before it, where damaged ones left a gap. */
static void close_gap(const struct sl_loader *loader, const struct chunk *chunk,
                      struct ring_batch *batch, int rows)
{
    size_t n = (size_t)chunk->kept;
    if (chunk->first == rows || n == 0) {
        return;
    }
    for (int v = 0; v < loader->config.n_views; v++) {
        memmove(batch->views[v] + rows * loader->row_floats,
                batch->views[v] + chunk->first * loader->row_floats,
                n * (size_t)loader->row_floats * sizeof(float));
    }
    memmove(batch->labels + rows, batch->labels + chunk->first, n * sizeof(int32_t));
    memmove(batch->ids + rows, batch->ids + chunk->first, n * sizeof(int32_t));
}

/* Takes the chunks of the next batch; *rows is 0 past the end, with *is_end set. */
static enum sl_status take(struct sl_error *err, struct sl_loader *loader,
                           struct sl_batch *lent, double *waited_s, bool *is_end)
{
    for (int c = 0; c < loader->n_chunks; c++) {
        int64_t number = 0;
        double waited = 0;
        int slot = sl_pool_acquire(loader->pool, &number, &waited);
        *waited_s += waited;
        if (slot < 0) {
            *is_end = true;
            return SL_OK;
        }
        struct chunk *chunk = &loader->chunks[slot];
        struct ring_batch *batch = &loader->ring[slot / loader->n_chunks];
        SL_TRY(count_bad(err, loader, chunk));
        if (chunk->error.status != SL_OK) {
            *err = chunk->error;
            return chunk->error.status;
        }
        close_gap(loader, chunk, batch, lent->rows);
        lent->rows += chunk->kept;
        if (chunk->worker_bytes > loader->worker_bytes[chunk->worker]) {
            loader->worker_bytes[chunk->worker] = chunk->worker_bytes;
        }
        loader->work.rows += chunk->kept;
        loader->work.decode_s += chunk->decode_s;
        loader->work.augment_s += chunk->augment_s;
        for (int v = 0; v < loader->config.n_views; v++) {
            lent->views[v] = batch->views[v];
        }
        lent->labels = batch->labels;
        lent->ids = batch->ids;
        lent->step = loader->config.first_step + number / loader->n_chunks;
        lent->epoch = lent->step / loader->steps_per_epoch;
    }
    loader->n_lent++;
    return SL_OK;
}

enum sl_status sl_loader_acquire(struct sl_error *err, struct sl_loader *loader,
                                 struct sl_batch *batch, double *waited_s)
{
    double waited = 0;
    bool is_end = false;
    enum sl_status status = SL_OK;
    bool is_empty = true;
    while (status == SL_OK && !is_end && is_empty) {
        *batch = (struct sl_batch){0};
        status = take(err, loader, batch, &waited, &is_end);
        is_empty = loader->config.sequential && batch->rows == 0;
        if (status == SL_OK && !is_end && is_empty) {
            sl_loader_release(loader); /* every picture of it was left out */
        }
    }
    if (waited_s != NULL) {
        *waited_s = waited;
    }
    if (status == SL_OK && !is_end && !loader->config.sequential &&
        batch->rows < loader->config.batch) {
        status =
            SL_FAIL(err, SL_ERROR_DATA, "no readable picture is left; the first: %s: %s",
                    loader->known[0].name, loader->known[0].reason);
    }
    return status;
}

void sl_loader_release(struct sl_loader *loader)
{
    SL_ASSERT(loader->n_lent > 0);
    loader->n_lent--;
    for (int c = 0; c < loader->n_chunks; c++) {
        sl_pool_release(loader->pool);
    }
}

struct sl_loader_work sl_loader_work(const struct sl_loader *loader)
{
    return loader->work;
}

struct sl_loader_memory sl_loader_memory(const struct sl_loader *loader)
{
    const struct sl_loader_config *config = &loader->config;
    size_t row = (size_t)loader->row_floats * (size_t)config->n_views * sizeof(float) +
                 2 * sizeof(int32_t);
    struct sl_loader_memory memory = {.slots = loader->n_ring};
    memory.ring = (size_t)loader->n_ring * (size_t)config->batch * row;
    size_t order = config->sequential ? 0 : (size_t)loader->n_pictures * sizeof(int32_t);
    for (int w = 0; w < config->n_workers; w++) {
        memory.workers += order + (loader->worker_bytes != NULL ? loader->worker_bytes[w]
                                                                : WORKER_BYTES);
    }
    return memory;
}

struct sl_loader_memory sl_loader_plan_memory(const struct sl_loader_config *config)
{
    struct sl_loader outline = {.config = *config};
    plan(&outline);
    return sl_loader_memory(&outline);
}

int64_t sl_loader_bad_count(const struct sl_loader *loader)
{
    return loader->n_known;
}

const char *sl_loader_bad_name(const struct sl_loader *loader, int64_t i)
{
    SL_ASSERT(i >= 0 && i < loader->n_known);
    return loader->known[i].name;
}

const char *sl_loader_bad_reason(const struct sl_loader *loader, int64_t i)
{
    SL_ASSERT(i >= 0 && i < loader->n_known);
    return loader->known[i].reason;
}
