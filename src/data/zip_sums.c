/* SPDX-License-Identifier: MIT */
/*
 * The check sums of a zip archive's members, out of its central directory, because
 * libarchive keeps them to itself. Only that directory is read, and nothing of it is
 * trusted: what does not read as one ends the list. Which member a sum belongs to follows
 * from positions: a member's bytes come after its own local header and before the next.
 */
#include "data/index_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    END_BYTES = 22,     /* of the end record, without its comment */
    END64_BYTES = 56,   /* of the large one */
    LOCATOR_BYTES = 20, /* which stands in front of the end record and finds it */
    ENTRY_BYTES = 46,   /* of a member in the directory, without its texts */
    LOCAL_BYTES = 30,   /* of a local header, the same */
    TEXT_MOST = 0xffff, /* of one text */
    BLOCK = 256 * 1024  /* holds the end record with its text, or an entry with its three
                         */
};

/* Some bytes of the archive. */
struct view {
    const struct sl_archive_bytes *archive;
    unsigned char *block;
    int64_t at, n;
};

static uint32_t number(const unsigned char *bytes, int n)
{
    uint32_t value = 0;
    for (int i = n - 1; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static uint64_t long_number(const unsigned char *bytes)
{
    return (uint64_t)number(bytes + 4, 4) << 32 | number(bytes, 4);
}

/* A position that a field of 8 bytes holds; -1 when it is none. */
static int64_t position(const unsigned char *bytes)
{
    uint64_t value = long_number(bytes);
    return value <= INT64_MAX / 2 ? (int64_t)value : -1;
}

/* n bytes at a position, or NULL when they are not there. */
static const unsigned char *look(struct view *view, int64_t at, int64_t n)
{
    int64_t size = view->archive->size;
    if (at < 0 || n > size || at > size - n) {
        return NULL;
    }
    if (view->archive->fd < 0) {
        return view->archive->bytes + at;
    }
    if (at < view->at || at + n > view->at + view->n) {
        int64_t most = size - at < BLOCK ? size - at : BLOCK;
        view->at = at;
        view->n = sl_read_at(view->archive->fd, view->block, most, at) ? most : 0;
    }
    return n <= view->n ? view->block + (at - view->at) : NULL;
}

struct directory {
    int64_t at, end;
    int64_t shift; /* what stands in front of the archive, as in a program that unpacks
                      itself */
};

/* The large end record, where there is one, takes the place of the small one. */
static void find_large(struct view *view, int64_t end, struct directory *directory)
{
    const unsigned char *locator = look(view, end - LOCATOR_BYTES, LOCATOR_BYTES);
    if (locator == NULL || number(locator, 4) != 0x07064b50) {
        return;
    }
    int64_t at = position(locator + 8);
    const unsigned char *record = look(view, at, END64_BYTES);
    if (record == NULL || number(record, 4) != 0x06064b50) {
        return;
    }
    int64_t size = position(record + 40), begin = position(record + 48);
    if (size >= 0 && begin >= 0 && begin <= at && size <= at - begin) {
        *directory = (struct directory){.at = begin, .end = begin + size};
    }
}

static bool find_directory(struct view *view, struct directory *directory)
{
    int64_t size = view->archive->size;
    int64_t most = END_BYTES + TEXT_MOST;
    int64_t first = size > most ? size - most : 0;
    for (int64_t at = size - END_BYTES; at >= first; at--) {
        /* One look takes all of it in. */
        const unsigned char *tail = look(view, first, size - first);
        const unsigned char *record = tail != NULL ? tail + (at - first) : NULL;
        if (record == NULL) {
            return false;
        }
        if (number(record, 4) != 0x06054b50) {
            continue;
        }
        int64_t bytes = number(record + 12, 4), begin = number(record + 16, 4);
        *directory = (struct directory){0};
        if (bytes <= at && begin <= at - bytes) {
            directory->shift = at - bytes - begin;
            directory->at = at - bytes;
            directory->end = at;
        }
        find_large(view, at, directory);
        return true;
    }
    return false;
}

/* Where the local header lies when 32 bits do not say it: behind the sizes that they do
 * not say either. */
static int64_t large_position(const unsigned char *entry, const unsigned char *extra,
                              int64_t n)
{
    while (n >= 4) {
        int64_t size = number(extra + 2, 2);
        if (size > n - 4) {
            return -1;
        }
        if (number(extra, 2) == 1) {
            int64_t skip = (number(entry + 24, 4) == UINT32_MAX ? 8 : 0) +
                           (number(entry + 20, 4) == UINT32_MAX ? 8 : 0);
            return skip + 8 <= size ? position(extra + 4 + skip) : -1;
        }
        extra += 4 + size;
        n -= 4 + size;
    }
    return -1;
}

static int by_header(const void *first, const void *second)
{
    const struct sl_zip_sum *a = first, *b = second;
    return a->header < b->header ? -1 : a->header > b->header ? 1 : 0;
}

static enum sl_status read_entries(struct sl_error *err, struct view *view,
                                   const struct directory *directory,
                                   struct sl_rows *sums)
{
    int64_t at = directory->at;
    while (at + ENTRY_BYTES <= directory->end) {
        const unsigned char *entry = look(view, at, ENTRY_BYTES);
        if (entry == NULL || number(entry, 4) != 0x02014b50) {
            break;
        }
        int64_t n_name = number(entry + 28, 2), n_extra = number(entry + 30, 2);
        int64_t bytes = ENTRY_BYTES + n_name + n_extra + (int64_t)number(entry + 32, 2);
        int64_t header = number(entry + 42, 4);
        if (header == UINT32_MAX) {
            entry = look(view, at, ENTRY_BYTES + n_name + n_extra);
            header = entry != NULL
                         ? large_position(entry, entry + ENTRY_BYTES + n_name, n_extra)
                         : -1;
        }
        if (header >= 0 && entry != NULL) {
            SL_TRY(sl_rows_grow(err, sums, sizeof(struct sl_zip_sum)));
            ((struct sl_zip_sum *)sums->items)[sums->n++] = (struct sl_zip_sum){
                .header = header + directory->shift, .sum = number(entry + 16, 4)};
        }
        at += bytes;
    }
    if (sums->n > 1) {
        qsort(sums->items, (size_t)sums->n, sizeof(struct sl_zip_sum), by_header);
    }
    return SL_OK;
}

enum sl_status sl_zip_sums_read(struct sl_error *err,
                                const struct sl_archive_bytes *archive,
                                struct sl_rows *sums)
{
    struct view view = {.archive = archive};
    struct directory directory = {0};
    SL_TRY(sl_heap_alloc(err, "directory of a zip", BLOCK, 1, &view.block));
    enum sl_status status = find_directory(&view, &directory)
                                ? read_entries(err, &view, &directory, sums)
                                : SL_OK;
    sl_heap_free(view.block);
    return status;
}

bool sl_zip_sum_of(const struct sl_rows *sums, int64_t data, uint32_t *sum)
{
    const struct sl_zip_sum *items = sums->items;
    int64_t low = 0, high = sums->n;
    while (low < high) { /* the first that begins too late for it */
        int64_t middle = low + (high - low) / 2;
        if (items[middle].header + LOCAL_BYTES <= data) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0 || data - items[low - 1].header > LOCAL_BYTES + 2 * TEXT_MOST) {
        return false;
    }
    *sum = items[low - 1].sum;
    return true;
}
