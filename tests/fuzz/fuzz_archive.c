/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the tar and zip index and of its members: the input is an archive. What
 * is accepted must be sound: every picture lies inside the input, every name and label
 * can be asked for, and what is fetched has the size and the check sum that were
 * promised.
 */
#define _GNU_SOURCE /* memfd_create */
#include "data/index_int.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { FETCHED_MOST = 16, PICTURE_MOST = 1 << 18 };

static void look(const struct sl_index *index, int64_t size)
{
    for (int64_t i = 0; i < index->head->count; i++) {
        char path[SL_INDEX_PATH];
        uint64_t at = SL_EXTENT_AT(index->offset[i]);
        bool is_deflated = (index->offset[i] & SL_EXTENT_DEFLATED) != 0;
        bool is_summed = (index->offset[i] & SL_EXTENT_SUMMED) != 0;
        int label = sl_index_label(index, i);
        SL_ASSERT(sl_index_path(index, i, path, sizeof(path)) && path[0] != '\0');
        SL_ASSERT(at <= (uint64_t)size);
        SL_ASSERT(is_deflated || index->size[i] <= (uint64_t)size - at);
        SL_ASSERT(!is_summed || index->sum != NULL);
        SL_ASSERT(label >= -1 && label < index->head->n_classes);
    }
}

static void fetch(const struct sl_index *index, int file)
{
    static struct sl_arena *arena;
    struct sl_error err = {0};
    if (arena == NULL && sl_arena_create(&err, 1 << 20, &arena) != SL_OK) {
        return;
    }
    for (int64_t i = 0; i < index->head->count && i < FETCHED_MOST; i++) {
        const struct sl_extent extent = {.offset = index->offset[i],
                                         .size = index->size[i],
                                         .sum = index->sum != NULL ? index->sum[i] : 0};
        unsigned char *picture = NULL;
        if (extent.size > PICTURE_MOST) {
            continue;
        }
        sl_arena_reset_all(arena);
        err = (struct sl_error){0};
        enum sl_status status =
            sl_archive_fetch(&err, file, "member", &extent, arena, &picture);
        if (status != SL_OK) {
            SL_ASSERT(status == SL_ERROR_DATA && err.text[0] != '\0');
        } else if ((extent.offset & SL_EXTENT_SUMMED) != 0) {
            SL_ASSERT(sl_crc32(picture, extent.size) == extent.sum);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int file = -1;
    struct sl_error err = {0};
    struct sl_builder builder = {0};
    struct sl_index index = {0};
    enum sl_status status =
        sl_archive_scan_bytes(&err, "input", bytes, (int64_t)size, &builder);
    builder.has_extents = true;
    if (status == SL_OK) {
        status = sl_archive_settle(&err, &builder);
    }
    if (status == SL_OK) {
        status = sl_builder_freeze(&err, &builder, "input", &index);
    }
    if (status == SL_OK) {
        look(&index, (int64_t)size);
        file = file < 0 ? memfd_create("archive", 0) : file;
        if (file >= 0 && index.head->count > 0 && ftruncate(file, 0) == 0 &&
            pwrite(file, bytes, size, 0) == (ssize_t)size) {
            fetch(&index, file);
        }
    } else {
        SL_ASSERT(err.text[0] != '\0');
    }
    sl_index_finish(&index);
    sl_builder_finish(&builder);
    return 0;
}
