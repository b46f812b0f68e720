/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of cached indices. Length and checksum are put right first, so that the
 * checks behind them are reached. What is accepted may be followed everywhere.
 */
#include "data/index_int.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t follow(const struct sl_index *index)
{
    uint64_t hash = SL_HASH_START;
    const struct sl_index_head *head = index->head;
    for (int64_t i = 0; i < head->count; i++) {
        const char *dir = index->pool + sl_index_dir(index, i)->text;
        const char *name = sl_index_name(index, i);
        int label = sl_index_label(index, i);
        hash = sl_hash(hash, dir, strlen(dir));
        hash = sl_hash(hash, name, strlen(name));
        SL_ASSERT(label >= -1 && label < head->n_classes);
        if (label >= 0) {
            const char *class = index->pool + index->classes[label];
            hash = sl_hash(hash, class, strlen(class));
        }
        if (index->offset != NULL) {
            hash = sl_hash(hash, &index->size[i], sizeof(index->size[i]));
        }
    }
    for (int64_t p = 0; p < head->n_places; p++) {
        const char *text = index->pool + index->places[p].text;
        hash = sl_hash(hash, text, strlen(text));
    }
    return hash;
}

static void try_block(const uint8_t *bytes, size_t size, bool mend)
{
    struct sl_error err = {0};
    struct sl_index index = {0};
    unsigned char *block = NULL;
    SL_ASSERT(sl_heap_alloc(&err, "index", (int64_t)size, 1, &block) == SL_OK);
    memcpy(block, bytes, size);
    if (mend) {
        struct sl_index_head head;
        memcpy(&head, block, sizeof(head));
        head.total_bytes = size;
        memcpy(block, &head, sizeof(head));
        head.checksum = sl_index_checksum(block, (int64_t)size);
        memcpy(block, &head, sizeof(head));
    }
    if (sl_index_adopt(&err, block, (int64_t)size, &index) == SL_OK) {
        (void)follow(&index);
        sl_index_finish(&index);
    } else {
        SL_ASSERT(err.text[0] != '\0');
        sl_heap_free(block);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1 || size > 1 << 20) {
        return 0;
    }
    try_block(bytes, size, false);
    if (size >= sizeof(struct sl_index_head)) {
        try_block(bytes, size, true);
    }
    return 0;
}
