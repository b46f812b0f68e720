/* SPDX-License-Identifier: MIT */
/*
 * What a set of pictures is like, in numbers: sides, shapes, bytes, formats, and mean and
 * deviation of the channels. Sums within a picture are exact integers; every picture then
 * counts alike, whatever its size, because training looks at each through a view of one
 * size. Invariant: the tally is a function of the looks and their order.
 */
#include "data/data_int.h"

#include <math.h>
#include <string.h>

/* Up to this short side each length has a counter of its own. */
enum { SIDES = 65536 };

static const double side_edges[] = {16,  32,  64,  96,   128,  224,
                                    320, 480, 640, 1024, 2048, 4096};
/* Between the usual shapes: square, 5:4, 4:3, 3:2, 16:9, 2:1, panorama. */
static const double aspect_edges[] = {1.05, 1.29, 1.42, 1.64, 1.89, 2.5, 4.0};
static const double byte_edges[] = {1024,       4 * 1024,    16 * 1024,   64 * 1024,
                                    256 * 1024, 1024 * 1024, 4096 * 1024, 16384 * 1024};

struct sl_tally {
    int64_t n, n_damaged, bytes;
    int64_t wide, tall, square;
    struct sl_histogram sides, aspects, sizes;
    int64_t formats[SL_TALLY_FORMATS + 1]; /* the last: not stored encoded */
    int64_t *by_side;                      /* pictures of each short side */
    double mean_sum[3], square_sum[3];     /* of the pictures' means, in 0 .. 255^2 */
};

static void count_in(struct sl_histogram *histogram, double value)
{
    int bin = 0;
    while (bin < histogram->n_edges && value >= histogram->edges[bin]) {
        bin++;
    }
    histogram->counts[bin]++;
}

static int format_place(const char *format)
{
    bool is_built = false;
    for (int i = 0; format != NULL && i < SL_TALLY_FORMATS; i++) {
        const char *name = sl_decode_format(i, &is_built);
        if (name != NULL && strcmp(name, format) == 0) {
            return i;
        }
    }
    return SL_TALLY_FORMATS;
}

void sl_tally_add(struct sl_tally *tally, const struct sl_look *look)
{
    if (look->damage != NULL) {
        tally->n_damaged++;
        return;
    }
    int height = look->height;
    int width = look->width;
    int shorter = height < width ? height : width;
    int longer = height < width ? width : height;
    double pixels = (double)height * width;
    tally->n++;
    tally->bytes += look->bytes;
    tally->wide += width > height;
    tally->tall += width < height;
    tally->square += width == height;
    count_in(&tally->sides, shorter);
    count_in(&tally->aspects, (double)longer / shorter);
    count_in(&tally->sizes, (double)look->bytes);
    tally->formats[format_place(look->facts.format)]++;
    tally->by_side[shorter < SIDES ? shorter : SIDES]++;
    for (int c = 0; c < look->channels; c++) {
        tally->mean_sum[c] += (double)look->sums[c] / pixels;
        tally->square_sum[c] += (double)look->squares[c] / pixels;
    }
}

/* ---- outside ----------------------------------------------------------------------- */

enum sl_status sl_tally_create(struct sl_error *err, struct sl_tally **tally)
{
    struct sl_tally *made = NULL;
    *tally = NULL;
    SL_TRY(sl_heap_alloc(err, "tally", 1, sizeof(*made), &made));
    enum sl_status status =
        sl_heap_alloc(err, "tally", SIDES + 1, sizeof(*made->by_side), &made->by_side);
    if (status != SL_OK) {
        sl_tally_destroy(made);
        return status;
    }
    made->sides = (struct sl_histogram){side_edges, SL_COUNT(side_edges), {0}};
    made->aspects = (struct sl_histogram){aspect_edges, SL_COUNT(aspect_edges), {0}};
    made->sizes = (struct sl_histogram){byte_edges, SL_COUNT(byte_edges), {0}};
    *tally = made;
    return SL_OK;
}

void sl_tally_destroy(struct sl_tally *tally)
{
    if (tally != NULL) {
        sl_heap_free(tally->by_side);
        sl_heap_free(tally);
    }
}

int sl_tally_side_at(const struct sl_tally *tally, double share)
{
    int64_t below = (int64_t)(share * (double)tally->n);
    int64_t seen = 0;
    for (int side = 0; side <= SIDES; side++) {
        seen += tally->by_side[side];
        if (seen > below) {
            return side;
        }
    }
    return 0;
}

struct sl_tally_numbers sl_tally_numbers(const struct sl_tally *tally)
{
    struct sl_tally_numbers numbers = {
        .n = tally->n,
        .n_damaged = tally->n_damaged,
        .bytes = tally->bytes,
        .wide = tally->wide,
        .tall = tally->tall,
        .square = tally->square,
        .sides = tally->sides,
        .aspects = tally->aspects,
        .sizes = tally->sizes,
    };
    memcpy(numbers.formats, tally->formats, sizeof(numbers.formats));
    for (int c = 0; c < 3 && tally->n > 0; c++) {
        double mean = tally->mean_sum[c] / (double)tally->n;
        double variance = tally->square_sum[c] / (double)tally->n - mean * mean;
        numbers.mean[c] = mean / 255.0;
        numbers.std[c] = sqrt(variance > 0.0 ? variance : 0.0) / 255.0;
    }
    return numbers;
}
