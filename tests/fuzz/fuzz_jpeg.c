/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the JPEG reader: any bytes, decoded with a small pixel limit, whole and
 * in part. A refusal needs a message; a picture needs all its pixels within the limit; a
 * part holds its box, and when it is not reduced it is refused exactly when the whole is.
 * Bytes of other formats go to their own reader through the same door.
 */
#include "data/data.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct choice {
    struct sl_box box;
    int eighths;
};

/* The middle of the picture. */
static void choose(void *context, int height, int width, struct sl_box *box, int *eighths)
{
    struct choice *choice = context;
    choice->box = (struct sl_box){.top = height / 3,
                                  .left = width / 3,
                                  .height = (height + 2) / 3,
                                  .width = (width + 2) / 3};
    *box = choice->box;
    *eighths = choice->eighths;
}

static enum sl_status decode_part(const uint8_t *bytes, size_t size, int eighths,
                                  struct sl_decode_options limits, struct sl_arena *arena)
{
    struct sl_error err = {0};
    struct sl_image image;
    struct choice choice = {.eighths = eighths};
    struct sl_part_wish wish = {.choose = choose, .context = &choice};
    limits.part = &wish;
    enum sl_status status =
        sl_decode(&err, "input.jpeg", bytes, (int64_t)size, &limits, arena, &image);
    if (status != SL_OK) {
        SL_ASSERT(status == SL_ERROR_DATA && err.text[0] != '\0');
        return status;
    }
    int scale = wish.window.eighths;
    int bottom = (choice.box.top + choice.box.height) * scale / 8;
    int right = (choice.box.left + choice.box.width) * scale / 8;
    SL_ASSERT(wish.window.top <= choice.box.top * scale / 8);
    SL_ASSERT(wish.window.left <= choice.box.left * scale / 8);
    SL_ASSERT(wish.window.top + image.height >= bottom);
    SL_ASSERT(wish.window.left + image.width >= right);
    volatile uint64_t hash = sl_hash(SL_HASH_START, image.pixels,
                                     (size_t)image.height * (size_t)image.width * 3);
    (void)hash;
    return SL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct sl_arena *arena;
    struct sl_decode_options limits = {.max_pixels = 1 << 16, .max_bytes = 1 << 20};
    struct sl_error err = {0};
    struct sl_image image;
    if (arena == NULL && sl_arena_create(&err, 1 << 20, &arena) != SL_OK) {
        return 0;
    }
    sl_arena_reset_all(arena);
    enum sl_status status =
        sl_decode(&err, "input.jpeg", bytes, (int64_t)size, &limits, arena, &image);
    SL_ASSERT(decode_part(bytes, size, 8, limits, arena) == status);
    (void)decode_part(bytes, size, 2, limits, arena);
    if (status != SL_OK) {
        SL_ASSERT(status == SL_ERROR_DATA && err.text[0] != '\0');
        return 0;
    }
    int64_t n = (int64_t)image.height * image.width;
    SL_ASSERT(n >= 1 && n <= limits.max_pixels && image.channels == 3);
    volatile uint64_t hash = sl_hash(SL_HASH_START, image.pixels, (size_t)n * 3);
    (void)hash; /* every pixel was read */
    return 0;
}
