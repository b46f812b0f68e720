/* SPDX-License-Identifier: MIT */
/*
 * Pictures into tar shards. Workers read, shrink and encode; the caller's thread writes
 * what they made, in order. Invariant: a shard gets its name when it is complete, and
 * then its line in the record; what lies there under a shard's name after a kill is a
 * whole shard, and going on gives the bytes of a run that was never stopped.
 */
#include "data/pack_int.h"

#include <string.h>

enum { QUALITY = 95, SLOTS_PER_WORKER = 3, NAME_BYTES = 48 };
static const int64_t STATE_BYTES_MAX = INT64_C(1) << 30;

/* What a worker made of one sample. */
struct slot {
    struct sl_arena *arena;
    struct sl_text jpeg;
    const unsigned char *bytes; /* in the arena or the text */
    int64_t size;
    enum sl_status status;
    struct sl_error error;
};

struct packing {
    const struct sl_pack_config *config;
    int64_t n_samples, n_slots;
    struct slot *slots;
    struct sl_pool *pool;
    struct sl_pack_state state;
    char state_path[SL_INDEX_PATH], bad_path[SL_INDEX_PATH];
    char classes_path[SL_INDEX_PATH];
    int digits;
    /* The shard being written. */
    struct sl_file_writer *writer;
    int64_t shard_bytes, shard_pictures;
};

/* ---- a worker's part --------------------------------------------------------------- */

static const struct sl_source *source_of(const struct packing *packing, int64_t sample,
                                         int *part, int64_t *at)
{
    int64_t n_first = sl_source_count(packing->config->sources[0]);
    *part = sample < n_first ? 0 : 1;
    *at = *part == 0 ? sample : sample - n_first;
    return packing->config->sources[*part];
}

/* The planes of the pixel functions as one picture. */
static enum sl_status interleave(struct sl_error *err, struct sl_arena *arena,
                                 const struct sl_planes *planes, struct sl_image *image)
{
    int64_t n = (int64_t)planes->height * planes->width;
    SL_TRY(sl_image_alloc(err, arena, planes->height, planes->width, planes->channels,
                          image));
    for (int c = 0; c < planes->channels; c++) {
        for (int64_t i = 0; i < n; i++) {
            image->pixels[i * planes->channels + c] = planes->at[c][i];
        }
    }
    return SL_OK;
}

static enum sl_status shrink(struct sl_error *err, struct sl_arena *arena, int max_side,
                             struct sl_image *image)
{
    int longer = image->height > image->width ? image->height : image->width;
    struct sl_box all = {.height = image->height, .width = image->width};
    struct sl_planes small = {0};
    if (max_side == 0 || longer <= max_side) {
        return SL_OK;
    }
    int64_t height = ((int64_t)image->height * max_side + longer / 2) / longer;
    int64_t width = ((int64_t)image->width * max_side + longer / 2) / longer;
    SL_TRY(sl_pixels_resize(err, arena, image, all, height > 0 ? (int)height : 1,
                            width > 0 ? (int)width : 1, &small));
    return interleave(err, arena, &small, image);
}

/* Every picture is decoded, also one whose bytes stay as they are: a damaged one must not
 * get into a shard. */
static enum sl_status make_sample(struct sl_error *err, const struct packing *packing,
                                  int64_t sample, struct slot *slot)
{
    const struct sl_pack_config *config = packing->config;
    struct sl_image image = {0};
    struct sl_file_facts facts = {0};
    struct sl_decode_options decode = config->decode;
    unsigned char *bytes = NULL;
    int64_t size = 0, at = 0;
    int part = 0;
    char name[SL_INDEX_PATH];
    const struct sl_source *source = source_of(packing, sample, &part, &at);
    SL_TRY(sl_source_bytes(err, source, at, slot->arena, &bytes, &size));
    sl_source_name(source, at, name, sizeof(name));
    if (bytes != NULL) {
        decode.facts = &facts;
        SL_TRY(sl_decode(err, name, bytes, size, &decode, slot->arena, &image));
    } else {
        SL_TRY(sl_source_read(err, source, at, slot->arena, &image));
    }
    int longer = image.height > image.width ? image.height : image.width;
    bool fits = config->max_side == 0 || longer <= config->max_side;
    bool is_wanted = bytes != NULL && sl_is_jpeg(bytes, size) &&
                     (decode.channels != 1 || facts.is_grey);
    if (fits && config->quality == 0 && is_wanted) {
        slot->bytes = bytes;
        slot->size = size;
        return SL_OK;
    }
    SL_TRY(shrink(err, slot->arena, config->max_side, &image));
    SL_TRY(sl_jpeg_encode(err, &image, config->quality > 0 ? config->quality : QUALITY,
                          &slot->jpeg));
    slot->bytes = (const unsigned char *)slot->jpeg.text;
    slot->size = (int64_t)slot->jpeg.length;
    return SL_OK;
}

static void fill_slot(void *context, int worker, int index, int64_t sample)
{
    const struct packing *packing = context;
    struct slot *slot = &packing->slots[index];
    (void)worker;
    sl_arena_reset_all(slot->arena);
    slot->jpeg.length = 0;
    slot->error = (struct sl_error){0};
    slot->status = make_sample(&slot->error, packing, sample, slot);
}

/* ---- shards ------------------------------------------------------------------------ */

static bool shard_path(const struct packing *packing, int64_t number, char *dst)
{
    int length = snprintf(dst, SL_INDEX_PATH, "%s-%06lld.tar", packing->config->out,
                          (long long)number);
    return length > 0 && length < SL_INDEX_PATH;
}

static enum sl_status close_shard(struct sl_error *err, struct packing *packing,
                                  int64_t next)
{
    struct sl_pack_state *state = &packing->state;
    char path[SL_INDEX_PATH];
    SL_TRY(sl_tar_end(err, packing->writer));
    SL_TRY(sl_file_writer_commit(err, packing->writer));
    packing->writer = NULL;
    SL_TRY(sl_rows_grow(err, &state->shards, sizeof(struct sl_pack_shard)));
    ((struct sl_pack_shard *)state->shards.items)[state->shards.n++] =
        (struct sl_pack_shard){.bytes = packing->shard_bytes + 2 * (int64_t)SL_TAR_BLOCK,
                               .next = next,
                               .n_pictures = packing->shard_pictures};
    SL_TRY(sl_pack_state_write(err, packing->state_path, state));
    (void)shard_path(packing, state->shards.n - 1, path);
    sl_log(SL_LOG_INFO, "pack:   %s: %lld picture%s, %.1f MB; %lld of %lld seen", path,
           (long long)packing->shard_pictures, sl_plural((double)packing->shard_pictures),
           (double)packing->shard_bytes / 1e6, (long long)next,
           (long long)packing->n_samples);
    return SL_OK;
}

static enum sl_status open_shard(struct sl_error *err, struct packing *packing)
{
    char path[SL_INDEX_PATH];
    (void)shard_path(packing, packing->state.shards.n, path);
    packing->shard_bytes = 0;
    packing->shard_pictures = 0;
    return sl_file_writer_begin(err, path, &packing->writer);
}

static enum sl_status write_sample(struct sl_error *err, struct packing *packing,
                                   int64_t sample, const struct slot *slot)
{
    int part = 0;
    int64_t at = 0;
    char name[NAME_BYTES], text[16];
    const struct sl_source *source = source_of(packing, sample, &part, &at);
    const char *front = packing->config->n_sources == 1 ? ""
                        : part == 0                     ? "train/"
                                                        : "val/";
    int label = sl_source_label(source, at);
    int64_t need = sl_tar_bytes(slot->size) + (label >= 0 ? sl_tar_bytes(1) : 0);
    if (packing->writer != NULL &&
        packing->shard_bytes + need + 2 * (int64_t)SL_TAR_BLOCK >
            packing->config->shard_bytes) {
        SL_TRY(close_shard(err, packing, sample));
    }
    if (packing->writer == NULL) {
        SL_TRY(open_shard(err, packing));
    }
    (void)snprintf(name, sizeof(name), "%s%0*lld.jpg", front, packing->digits,
                   (long long)sample);
    SL_TRY(sl_tar_member(err, packing->writer, name, slot->bytes, slot->size));
    if (label >= 0) {
        (void)snprintf(name, sizeof(name), "%s%0*lld.cls", front, packing->digits,
                       (long long)sample);
        int length = snprintf(text, sizeof(text), "%d", label);
        SL_TRY(sl_tar_member(err, packing->writer, name, text, length));
    }
    packing->shard_bytes += need;
    packing->shard_pictures++;
    return SL_OK;
}

/* ---- damaged pictures -------------------------------------------------------------- */

static enum sl_status note_bad(struct sl_error *err, struct packing *packing,
                               int64_t sample, const struct slot *slot)
{
    const struct sl_pack_config *config = packing->config;
    int part = 0;
    int64_t at = 0;
    char name[SL_INDEX_PATH];
    if (slot->status != SL_ERROR_DATA || config->bad_policy == SL_BAD_STOP) {
        *err = slot->error;
        return slot->status;
    }
    const struct sl_source *source = source_of(packing, sample, &part, &at);
    sl_source_name(source, at, name, sizeof(name));
    sl_log(SL_LOG_WARNING, "damaged picture: %s", slot->error.text);
    /* A line each: names may hold anything. */
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\t' ? ' ' : *c;
    }
    SL_TRY(sl_pack_state_add_bad(err, &packing->state, sample, name, slot->error.text));
    if ((double)packing->state.bad.n > config->max_bad * (double)packing->n_samples) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%lld of %lld pictures are damaged, more than max-bad allows "
                       "(%g %%); the last: %s",
                       (long long)packing->state.bad.n, (long long)packing->n_samples,
                       100 * config->max_bad, slot->error.text);
    }
    return SL_OK;
}

static enum sl_status write_bad_files(struct sl_error *err, const struct packing *packing)
{
    const struct sl_pack_bad *bad = packing->state.bad.items;
    struct sl_text text = {0};
    if (packing->state.bad.n == 0) {
        (void)sl_file_remove(packing->bad_path);
        return SL_OK;
    }
    for (int64_t i = 0; i < packing->state.bad.n; i++) {
        sl_text_add(&text, "%s\n", packing->state.texts.text + bad[i].text);
    }
    enum sl_status status =
        text.failed ? SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", packing->bad_path)
                    : sl_file_write(err, packing->bad_path, text.text, text.length);
    sl_text_finish(&text);
    return status;
}

/* ---- classes ----------------------------------------------------------------------- */

/* Is the name of every class its number? Then there is nothing to tell. */
static bool is_numbered(const struct sl_source *source)
{
    char number[24];
    bool is_same = true;
    for (int c = 0; c < sl_source_classes(source) && is_same; c++) {
        (void)snprintf(number, sizeof(number), "%d", c);
        is_same = strcmp(sl_source_class_name(source, c), number) == 0;
    }
    return is_same;
}

/* Both parts of a DATA number their classes alike. */
static enum sl_status write_classes(struct sl_error *err, const struct packing *packing)
{
    const struct sl_source *source = packing->config->sources[0];
    struct sl_text text = {0};
    if (is_numbered(source)) {
        (void)sl_file_remove(packing->classes_path);
        return SL_OK;
    }
    for (int c = 0; c < sl_source_classes(source); c++) {
        sl_class_names_add(&text, sl_source_class_name(source, c));
    }
    enum sl_status status =
        text.failed
            ? SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", packing->classes_path)
            : sl_file_write(err, packing->classes_path, text.text, text.length);
    sl_text_finish(&text);
    return status;
}

/* ---- beginning and going on -------------------------------------------------------- */

static void describe(const struct packing *packing, struct sl_text *text)
{
    const struct sl_pack_config *config = packing->config;
    for (int s = 0; s < config->n_sources; s++) {
        sl_text_add(text, "data=%016llx pictures=%lld ",
                    (unsigned long long)sl_source_fingerprint(config->sources[s]),
                    (long long)sl_source_count(config->sources[s]));
    }
    const struct sl_decode_options *decode = &config->decode;
    sl_text_add(text, "max-side=%d quality=%d shard-size=%lld", config->max_side,
                config->quality, (long long)config->shard_bytes);
    sl_text_add(text, " channels=%d max-pixels=%lld max-bytes=%lld", decode->channels,
                (long long)decode->max_pixels, (long long)decode->max_bytes);
    if (decode->alpha_ignored) {
        sl_text_add(text, " alpha-on=ignore");
    } else if (decode->alpha_chosen) {
        sl_text_add(text, " alpha-on=%d,%d,%d", decode->alpha_on[0], decode->alpha_on[1],
                    decode->alpha_on[2]);
    }
}

/* Shards that an earlier packing left; they would be read with the new ones. */
static void remove_shards(const struct packing *packing, int64_t first)
{
    char path[SL_INDEX_PATH];
    for (int64_t i = first; shard_path(packing, i, path) && sl_file_remove(path); i++) {
    }
}

static bool shard_is_whole(const struct packing *packing, int64_t number)
{
    const struct sl_pack_shard *shards = packing->state.shards.items;
    char path[SL_INDEX_PATH];
    struct sl_place look;
    return shard_path(packing, number, path) && sl_place_look(path, &look) &&
           look.size == shards[number].bytes && sl_path_kind(path) == SL_PATH_FILE;
}

static enum sl_status load_state(struct sl_error *err, struct packing *packing)
{
    struct sl_pack_state *state = &packing->state;
    struct sl_text settings = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0, n = 0;
    char first[SL_INDEX_PATH];
    enum sl_status status = SL_OK;
    bool is_there = sl_path_kind(packing->state_path) != SL_PATH_MISSING;
    describe(packing, &settings);
    if (settings.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "out of memory for the record of a packing");
        goto out;
    }
    if (packing->config->overwrite) {
        remove_shards(packing, 0);
        (void)sl_file_remove(packing->state_path);
    } else if (is_there) {
        SL_TRY_OUT(sl_file_read(err, SL_ERROR_RUN, packing->state_path, STATE_BYTES_MAX,
                                &bytes, &size));
        SL_TRY_OUT(
            sl_pack_state_parse(err, packing->state_path, (char *)bytes, size, state));
        if (strcmp(state->settings.text, settings.text) != 0) {
            status = SL_FAIL(err, SL_ERROR_USAGE,
                             "%s: was packed from other pictures or with other settings "
                             "(%s, now %s); name another -o, or --overwrite",
                             packing->state_path, state->settings.text, settings.text);
            goto out;
        }
        while (n < state->shards.n && shard_is_whole(packing, n)) {
            n++;
        }
        sl_pack_state_cut(state, n);
        goto out;
    } else if (shard_path(packing, 0, first) && sl_path_kind(first) != SL_PATH_MISSING) {
        status = SL_FAIL(err, SL_ERROR_USAGE,
                         "%s: exists, and %s, which would say what it is, does not; name "
                         "another -o, or --overwrite",
                         first, packing->state_path);
        goto out;
    }
    state->settings = settings;
    settings = (struct sl_text){0};
    /* Written before any shard, so that a shard never lies there unexplained. */
    SL_TRY_OUT(sl_pack_state_write(err, packing->state_path, state));
out:
    sl_text_finish(&settings);
    sl_heap_free(bytes);
    return status;
}

/* What a killed packing of this name was writing. */
static void remove_torn(const char *folder, const char *name)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    if (sl_dir_list(&ignored, SL_ERROR_RUN, folder, &list) != SL_OK) {
        return;
    }
    for (int64_t i = 0; i < list.n; i++) {
        char path[SL_INDEX_PATH];
        const char *rest = list.names[i] + strlen(name);
        bool is_ours = strncmp(list.names[i], name, strlen(name)) == 0 &&
                       ((rest[0] == '-' && strstr(rest, ".tar.tmp.") != NULL) ||
                        strncmp(rest, ".pack.tmp.", 10) == 0);
        if (is_ours && sl_path_join(path, sizeof(path), folder, list.names[i])) {
            (void)sl_file_remove(path);
        }
    }
    sl_dir_list_finish(&list);
}

static enum sl_status make_folder(struct sl_error *err, const char *out)
{
    struct sl_text folder = {0};
    const char *slash = strrchr(out, '/');
    sl_text_add_bytes(&folder, slash != NULL ? out : ".",
                      slash == NULL  ? 1
                      : slash == out ? 1
                                     : (size_t)(slash - out));
    enum sl_status status = folder.failed
                                ? SL_FAIL(err, SL_ERROR_RUN, "out of memory for a path")
                                : sl_dir_create(err, folder.text);
    if (status == SL_OK) {
        remove_torn(folder.text, slash != NULL ? slash + 1 : out);
    }
    sl_text_finish(&folder);
    return status;
}

static enum sl_status begin(struct sl_error *err, struct packing *packing)
{
    const struct sl_pack_config *config = packing->config;
    char path[SL_INDEX_PATH];
    for (int s = 0; s < config->n_sources; s++) {
        packing->n_samples += sl_source_count(config->sources[s]);
    }
    packing->digits = 8;
    for (int64_t n = packing->n_samples / 100000000; n > 0; n /= 10) {
        packing->digits++;
    }
    int length =
        snprintf(packing->bad_path, SL_INDEX_PATH, "%s.bad_files.txt", config->out);
    if (length < 0 || length >= SL_INDEX_PATH || !shard_path(packing, 0, path)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "-o: the path is longer than %d bytes",
                       SL_INDEX_PATH - 32);
    }
    /* Shorter than the list of bad ones, which fits. */
    (void)snprintf(packing->classes_path, SL_INDEX_PATH, "%s.classes.txt", config->out);
    (void)snprintf(packing->state_path, SL_INDEX_PATH, "%s.pack", config->out);
    SL_TRY(make_folder(err, config->out));
    SL_TRY(load_state(err, packing));
    return write_classes(err, packing);
}

static enum sl_status start_workers(struct sl_error *err, struct packing *packing)
{
    const struct sl_pack_config *config = packing->config;
    packing->n_slots = (int64_t)config->n_workers * SLOTS_PER_WORKER;
    SL_TRY(sl_heap_alloc(err, "slots", packing->n_slots, sizeof(*packing->slots),
                         &packing->slots));
    for (int64_t s = 0; s < packing->n_slots; s++) {
        SL_TRY(sl_arena_create(err, 1024 * 1024, &packing->slots[s].arena));
    }
    struct sl_pool_config pool = {
        .n_workers = config->n_workers,
        .n_slots = (int)packing->n_slots,
        .first = sl_pack_state_next(&packing->state),
        .end = packing->n_samples,
        .fill = fill_slot,
        .context = packing,
    };
    return sl_pool_create(err, &pool, &packing->pool);
}

static enum sl_status write_all(struct sl_error *err, struct packing *packing)
{
    const struct sl_pack_config *config = packing->config;
    for (;;) {
        int64_t sample = 0;
        int index = sl_pool_acquire(packing->pool, &sample, NULL);
        if (index < 0) {
            return SL_OK;
        }
        const struct slot *slot = &packing->slots[index];
        SL_TRY(slot->status == SL_OK ? write_sample(err, packing, sample, slot)
                                     : note_bad(err, packing, sample, slot));
        sl_pool_release(packing->pool);
        if (config->stop_requested != NULL && config->stop_requested(config->context)) {
            return SL_FAIL(err, SL_STOPPED,
                           "stopped; %lld shards are finished, and the same command goes "
                           "on after them",
                           (long long)packing->state.shards.n);
        }
    }
}

static enum sl_status finish(struct sl_error *err, struct packing *packing)
{
    if (packing->writer != NULL) {
        SL_TRY(close_shard(err, packing, packing->n_samples));
    }
    if (packing->state.shards.n == 0) {
        const struct sl_pack_bad *bad = packing->state.bad.items;
        return SL_FAIL(err, SL_ERROR_DATA, "no readable picture is left%s%s",
                       packing->state.bad.n > 0 ? "; the first: " : "",
                       packing->state.bad.n > 0 ? packing->state.texts.text + bad[0].text
                                                : "");
    }
    SL_TRY(write_bad_files(err, packing));
    remove_shards(packing, packing->state.shards.n);
    packing->state.is_done = true;
    return sl_pack_state_write(err, packing->state_path, &packing->state);
}

static enum sl_status work(struct sl_error *err, struct packing *packing)
{
    if (packing->state.is_done) {
        return SL_OK;
    }
    SL_TRY(start_workers(err, packing));
    SL_TRY(write_all(err, packing));
    return finish(err, packing);
}

enum sl_status sl_pack(struct sl_error *err, const struct sl_pack_config *config,
                       struct sl_pack_result *result)
{
    struct packing *packing = NULL;
    SL_ASSERT(config->n_sources >= 1 && config->n_sources <= 2 && config->n_workers >= 1);
    *result = (struct sl_pack_result){0};
    SL_TRY(sl_heap_alloc(err, "packing", 1, sizeof(*packing), &packing));
    packing->config = config;
    enum sl_status status = begin(err, packing);
    if (status == SL_OK) {
        result->n_kept = packing->state.shards.n;
        status = work(err, packing);
    }
    const struct sl_pack_shard *shards = packing->state.shards.items;
    for (int64_t i = 0; i < packing->state.shards.n; i++) {
        result->n_pictures += shards[i].n_pictures;
        result->bytes += shards[i].bytes;
    }
    result->n_shards = packing->state.shards.n;
    result->n_bad = packing->state.bad.n;
    sl_pool_destroy(packing->pool);
    sl_file_writer_abort(packing->writer);
    for (int64_t s = 0; packing->slots != NULL && s < packing->n_slots; s++) {
        sl_arena_destroy(packing->slots[s].arena);
        sl_text_finish(&packing->slots[s].jpeg);
    }
    sl_heap_free(packing->slots);
    sl_pack_state_finish(&packing->state);
    sl_heap_free(packing);
    return status;
}
