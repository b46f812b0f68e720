/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the readers of pictures: any bytes, decoded with a small pixel limit. A
 * refusal needs a message; a picture needs all its pixels within the limit. The bytes say
 * which reader it is, so each format is this target with a corpus of its own.
 */
#include "data/data.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

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
        sl_decode(&err, "input", bytes, (int64_t)size, &limits, arena, &image);
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
