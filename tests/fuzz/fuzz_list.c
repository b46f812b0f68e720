/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of list files. What is accepted must keep every line's path, and its labels
 * within the classes.
 */
#include "data/index_int.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_error err = {0};
    struct sl_builder builder = {0};
    struct sl_index index = {0};
    char *text = NULL;
    SL_ASSERT(sl_heap_alloc(&err, "list", (int64_t)size + 1, 1, &text) == SL_OK);
    if (size > 0) {
        memcpy(text, bytes, size);
    }
    enum sl_status status = sl_list_parse(&err, "input", text, (int64_t)size, &builder);
    if (status == SL_OK) {
        status = sl_builder_freeze(&err, &builder, "list", &index);
    }
    if (status != SL_OK) {
        SL_ASSERT(status == SL_ERROR_DATA && err.text[0] != '\0');
    }
    for (int64_t i = 0; status == SL_OK && i < index.head->count; i++) {
        char path[SL_INDEX_PATH];
        int label = sl_index_label(&index, i);
        SL_ASSERT(sl_index_path(&index, i, path, sizeof(path)));
        SL_ASSERT(strlen(path) <= size && path[0] != '\0');
        SL_ASSERT(label >= -1 && label < index.head->n_classes);
    }
    sl_index_finish(&index);
    sl_builder_finish(&builder);
    sl_heap_free(text);
    return 0;
}
