/* SPDX-License-Identifier: MIT */
/*
 * The layout of a frozen index in its block, and the check of a block that came from
 * outside. Invariant: whoever uses an adopted index may follow every position and number
 * in it without a further look.
 */
#include "data/index_int.h"

#include <string.h>

/* The next table of n rows; false when the sum does not fit. */
static bool take(int64_t n, size_t size, int64_t *at, int64_t *begins)
{
    int64_t bytes = 0;
    *begins = *at;
    if (n < 0 || !sl_mul_checked(n, (int64_t)size, &bytes) ||
        bytes > INT64_MAX - 8 - *at) {
        return false;
    }
    *at += (bytes + 7) / 8 * 8; /* every table begins at a multiple of 8 */
    return true;
}

bool sl_index_lay_out(struct sl_index *index, int64_t *total)
{
    const struct sl_index_head *head = index->head;
    bool has_labels = (head->flags & SL_INDEX_LABELS) != 0;
    bool has_extents = (head->flags & SL_INDEX_EXTENTS) != 0;
    bool has_sums = has_extents && (head->flags & SL_INDEX_SUMS) != 0;
    int64_t n = head->count;
    if (n < 0 || n > INT32_MAX) {
        return false;
    }
    int64_t at = (int64_t)sizeof(*head), begin[11];
    int64_t n_extents = has_extents ? n : 0;
    if (!take(head->n_places, sizeof(struct sl_place), &at, &begin[0]) ||
        !take(head->n_dirs, sizeof(struct sl_index_dir), &at, &begin[1]) ||
        !take(head->n_classes, sizeof(uint64_t), &at, &begin[2]) ||
        !take((n + SL_INDEX_CHUNK - 1) / SL_INDEX_CHUNK, sizeof(uint64_t), &at,
              &begin[3]) ||
        !take(n_extents, sizeof(uint64_t), &at, &begin[4]) ||
        !take(n_extents, sizeof(uint32_t), &at, &begin[5]) ||
        !take(n, sizeof(uint32_t), &at, &begin[6]) ||
        !take(n, sizeof(uint32_t), &at, &begin[7]) ||
        !take(has_labels ? n : 0, sizeof(int32_t), &at, &begin[8]) ||
        !take(has_sums ? n : 0, sizeof(uint32_t), &at, &begin[9]) ||
        !take(head->pool_bytes, 1, &at, &begin[10])) {
        return false;
    }
    *total = at;
    if (index->block == NULL) {
        return true;
    }
    const unsigned char *block = index->block;
    index->places = (const void *)(block + begin[0]);
    index->dirs = (const void *)(block + begin[1]);
    index->classes = (const void *)(block + begin[2]);
    index->base = (const void *)(block + begin[3]);
    index->offset = has_extents ? (const void *)(block + begin[4]) : NULL;
    index->size = has_extents ? (const void *)(block + begin[5]) : NULL;
    index->name = (const void *)(block + begin[6]);
    index->dir = (const void *)(block + begin[7]);
    index->label = has_labels ? (const void *)(block + begin[8]) : NULL;
    index->sum = has_sums ? (const void *)(block + begin[9]) : NULL;
    index->pool = (const void *)(block + begin[10]);
    return true;
}

/* FNV-1a over words instead of bytes: eight times as fast, and blocks are whole words. */
uint64_t sl_index_checksum(const unsigned char *block, int64_t size)
{
    uint64_t hash = SL_HASH_START;
    int64_t from = (int64_t)(offsetof(struct sl_index_head, checksum) + sizeof(uint64_t));
    for (int64_t at = from; at + 8 <= size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, block + at, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
    }
    return hash;
}

static enum sl_status fail_index(struct sl_error *err, const char *what)
{
    return SL_FAIL(err, SL_ERROR_DATA, "not an index of this version: %s", what);
}

static bool is_text(const struct sl_index_head *head, uint64_t at)
{
    return at < (uint64_t)head->pool_bytes; /* the pool ends with a NUL */
}

static enum sl_status check_head(struct sl_error *err, const struct sl_index_head *head,
                                 int64_t size)
{
    static const char magic[8] = "SLIDX02";
    if (size < (int64_t)sizeof(*head) || memcmp(head->magic, magic, 8) != 0) {
        return fail_index(err, "its beginning");
    }
    if (head->order_mark != UINT64_C(0x0102030405060708)) {
        return fail_index(err, "its byte order");
    }
    if (head->total_bytes != (uint64_t)size) {
        return fail_index(err, "its length");
    }
    if (head->n_train < 0 || head->n_train > head->count ||
        head->n_classes > SL_INDEX_CLASSES_MAX || head->pool_bytes < 1) {
        return fail_index(err, "its counts");
    }
    return SL_OK;
}

static enum sl_status check_tables(struct sl_error *err, const struct sl_index *index)
{
    const struct sl_index_head *head = index->head;
    if (index->pool[head->pool_bytes - 1] != '\0' || !is_text(head, head->key)) {
        return fail_index(err, "its texts");
    }
    for (int64_t p = 0; p < head->n_places; p++) {
        if (!is_text(head, index->places[p].text)) {
            return fail_index(err, "a place");
        }
    }
    for (int64_t d = 0; d < head->n_dirs; d++) {
        const struct sl_index_dir *dir = &index->dirs[d];
        bool has_place = dir->place == 0 || (int64_t)dir->place < head->n_places;
        if (!is_text(head, dir->text) || !has_place || dir->label < -1 ||
            dir->label >= head->n_classes) {
            return fail_index(err, "a directory");
        }
    }
    for (int64_t c = 0; c < head->n_classes; c++) {
        if (!is_text(head, index->classes[c])) {
            return fail_index(err, "a class");
        }
    }
    return SL_OK;
}

static enum sl_status check_entries(struct sl_error *err, const struct sl_index *index)
{
    const struct sl_index_head *head = index->head;
    for (int64_t i = 0; i < head->count; i++) {
        uint64_t base = index->base[i / SL_INDEX_CHUNK];
        bool is_good = is_text(head, base) && is_text(head, base + index->name[i]) &&
                       (int64_t)index->dir[i] < head->n_dirs;
        if (is_good && index->label != NULL) {
            is_good = index->label[i] >= -1 && index->label[i] < head->n_classes;
        }
        if (is_good && index->offset != NULL) {
            bool is_summed = (index->offset[i] & SL_EXTENT_SUMMED) != 0;
            is_good = SL_EXTENT_AT(index->offset[i]) <= INT64_MAX / 2 &&
                      (!is_summed || index->sum != NULL);
        }
        if (!is_good) {
            return fail_index(err, "a picture");
        }
    }
    return SL_OK;
}

enum sl_status sl_index_adopt(struct sl_error *err, unsigned char *block, int64_t size,
                              struct sl_index *index)
{
    struct sl_index_head head;
    *index = (struct sl_index){0};
    if (size < (int64_t)sizeof(head)) {
        return fail_index(err, "its length");
    }
    memcpy(&head, block, sizeof(head));
    SL_TRY(check_head(err, &head, size));
    struct sl_index made = {.block = block, .head = (const void *)block};
    int64_t total = 0;
    if (!sl_index_lay_out(&made, &total) || total != size) {
        return fail_index(err, "its tables");
    }
    if (sl_index_checksum(block, size) != head.checksum) {
        return fail_index(err, "its checksum");
    }
    SL_TRY(check_tables(err, &made));
    SL_TRY(check_entries(err, &made));
    *index = made;
    return SL_OK;
}
