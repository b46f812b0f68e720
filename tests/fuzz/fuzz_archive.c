/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the tar and zip index: the input is an archive. What is accepted must be
 * sound: every picture lies inside the input, every name and label can be asked for.
 */
#include "data/index_int.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look(const struct sl_index *index, int64_t size)
{
    for (int64_t i = 0; i < index->head->count; i++) {
        char path[SL_INDEX_PATH];
        uint64_t at = index->offset[i] & ~SL_EXTENT_DEFLATED;
        bool is_deflated = (index->offset[i] & SL_EXTENT_DEFLATED) != 0;
        int label = sl_index_label(index, i);
        SL_ASSERT(sl_index_path(index, i, path, sizeof(path)) && path[0] != '\0');
        SL_ASSERT(at <= (uint64_t)size);
        SL_ASSERT(is_deflated || index->size[i] <= (uint64_t)size - at);
        SL_ASSERT(label >= -1 && label < index->head->n_classes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
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
    } else {
        SL_ASSERT(err.text[0] != '\0');
    }
    sl_index_finish(&index);
    sl_builder_finish(&builder);
    return 0;
}
