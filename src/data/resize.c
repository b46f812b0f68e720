/* SPDX-License-Identifier: MIT */
/*
 * Crop and resize of 8-bit pixels: the antialiased bilinear that PIL and torchvision
 * compute. Two passes, along the rows and down the columns, each rounded to 8 bits; the
 * coefficients are whole numbers in 22-bit fixed point. Interleaved pixels come in,
 * planes go out. Invariant: nothing outside of the box is read; a pass that would change
 * nothing is left out.
 */
#include "data/data_int.h"
#include "data/pixel_rows_int.h"

#include <string.h>

/* What a shuffle of 16 bytes can reach, and places it makes. */
enum { WINDOW = 16, QUAD = 4, GROUP = 4, NO_BYTE = 0x80 };
/* Taps side by side; more taps than MOST would not fit the sums of the low parts. */
enum { WIDE = 16, WIDE_MOST = 4096 };
/* Dot products are of four bytes: of sixteen places within two loads of 64, or sixteen
 * bytes of four places. */
enum { DOT = 4, NEAR = 16, NEAR_LOAD = 64, FAR = 4, DOT_BYTES = 64 };

static double triangle(double x)
{
    x = x < 0.0 ? -x : x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Weights of one output place whose centre is `centre` in input places. */
static void place_taps(double centre, double inverse, int first, int n, double *shares,
                       int32_t *weights)
{
    double sum = 0.0;
    for (int k = 0; k < n; k++) {
        shares[k] = triangle((k + first - centre + 0.5) * inverse);
        sum += shares[k];
    }
    for (int k = 0; k < n; k++) {
        double share = sum != 0.0 ? shares[k] / sum : shares[k];
        weights[k] = (int32_t)(share * (1 << SL_TAP_BITS) + 0.5);
    }
}

static enum sl_status make_taps(struct sl_error *err, struct sl_arena *arena, int from,
                                int to, struct sl_taps *taps)
{
    double step = (double)from / to;
    double scale = step < 1.0 ? 1.0 : step; /* also the triangle's half width */
    double inverse = 1.0 / scale;
    double *shares = NULL;
    *taps = (struct sl_taps){.to = to};
    taps->n_most = 2 * ((int)scale + ((double)(int)scale < scale ? 1 : 0)) + 1;
    SL_TRY(sl_arena_alloc(err, arena, to, sizeof(int), &taps->first));
    SL_TRY(sl_arena_alloc(err, arena, to, sizeof(int), &taps->n));
    SL_TRY(sl_arena_alloc(err, arena, (int64_t)to * taps->n_most, sizeof(int32_t),
                          &taps->weights));
    SL_TRY(sl_arena_alloc(err, arena, taps->n_most, sizeof(double), &shares));
    for (int i = 0; i < to; i++) {
        double centre = (i + 0.5) * step;
        int first = (int)(centre - scale + 0.5), end = (int)(centre + scale + 0.5);
        first = centre - scale + 0.5 < 0.0 ? 0 : first;
        end = end > from ? from : end;
        taps->first[i] = first;
        taps->n[i] = end - first;
        place_taps(centre, inverse, first, end - first, shares,
                   taps->weights + (int64_t)i * taps->n_most);
    }
    return SL_OK;
}

/* ---- the same, packed for shuffles of 16 bytes ------------------------------------- */

/* Does every quad of places need at most 16 neighbouring bytes? */
static bool fits_windows(const struct sl_taps *taps)
{
    for (int x = 0; x < taps->to; x++) {
        if (taps->first[x] + taps->n[x] - taps->first[x - x % QUAD] > WINDOW) {
            return false;
        }
    }
    return true;
}

/* Place x's tap k at its byte and its words. */
static void pack_tap(const struct sl_taps *taps, int x, int k)
{
    int64_t quad = x / QUAD, part = (int64_t)taps->n_quads * 8;
    int group = k / GROUP, half = k % GROUP / 2;
    int at = 2 * (x % QUAD) + k % 2; /* of eight */
    int32_t weight = taps->weights[(int64_t)x * taps->n_most + k];
    int byte = taps->first[x] + k - taps->start[quad];
    unsigned char *pick = taps->pick + (group * (int64_t)taps->n_quads + quad) * WINDOW;
    int16_t *parts = taps->parts + (4 * group + 2 * half) * part + quad * 8;
    pick[8 * half + at] = (unsigned char)byte;
    parts[at] = (int16_t)(weight >> SL_TAP_LOW_BITS);
    parts[part + at] = (int16_t)(weight & ((1 << SL_TAP_LOW_BITS) - 1));
}

/* The same for shrinking by so much that a quad's bytes lie far apart. */
static enum sl_status pack_wide(struct sl_error *err, struct sl_arena *arena,
                                struct sl_taps *taps)
{
    if (taps->n_most > WIDE_MOST) {
        return SL_OK;
    }
    taps->n_blocks = (taps->n_most + WIDE - 1) / WIDE;
    SL_TRY(sl_arena_alloc(err, arena, (int64_t)taps->to * taps->n_blocks * 2 * WIDE,
                          sizeof(int16_t), &taps->wide));
    for (int64_t x = 0; x < taps->to; x++) {
        for (int k = 0; k < taps->n[x]; k++) {
            int32_t weight = taps->weights[x * taps->n_most + k];
            int16_t *block =
                taps->wide + (x * taps->n_blocks + k / WIDE) * 2 * (int64_t)WIDE;
            block[k % WIDE] = (int16_t)(weight >> SL_TAP_LOW_BITS);
            block[WIDE + k % WIDE] = (int16_t)(weight & ((1 << SL_TAP_LOW_BITS) - 1));
        }
    }
    return SL_OK;
}

static enum sl_status pack_taps(struct sl_error *err, struct sl_arena *arena,
                                struct sl_taps *taps)
{
    int n_most = 0;
    if (!fits_windows(taps)) {
        return pack_wide(err, arena, taps);
    }
    for (int x = 0; x < taps->to; x++) {
        n_most = taps->n[x] > n_most ? taps->n[x] : n_most;
    }
    taps->n_quads = (taps->to + 4 * QUAD - 1) / (4 * QUAD) * 4;
    taps->n_groups = (n_most + GROUP - 1) / GROUP;
    int64_t n = (int64_t)taps->n_groups * taps->n_quads;
    SL_TRY(sl_arena_alloc(err, arena, taps->n_quads, sizeof(int), &taps->start));
    SL_TRY(sl_arena_alloc(err, arena, n, WINDOW, &taps->pick));
    SL_TRY(sl_arena_alloc(err, arena, n * 32, sizeof(int16_t), &taps->parts));
    memset(taps->pick, NO_BYTE, (size_t)n * WINDOW);
    for (int x = 0; x < taps->to; x++) {
        taps->start[x / QUAD] = taps->first[x - x % QUAD];
        for (int k = 0; k < taps->n[x]; k++) {
            pack_tap(taps, x, k);
        }
    }
    return SL_OK;
}

/* ---- the same, packed for dot products --------------------------------------------- */

/* The most bytes that sixteen neighbouring places need. */
static int near_bytes(const struct sl_taps *taps)
{
    int most = 0;
    for (int x = 0; x < taps->to; x++) {
        int bytes = taps->first[x] + taps->n[x] - taps->first[x - x % NEAR];
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* A weight as digits of -128 .. 127, each DOT_BYTES behind the one before. */
static void put_digits(int32_t weight, signed char *at)
{
    for (int d = 0; d < SL_TAP_DIGITS; d++) {
        int32_t digit = ((weight + 128) & 255) - 128;
        at[(int64_t)d * DOT_BYTES] = (signed char)digit;
        weight = (weight - digit) >> SL_TAP_DIGIT_BITS;
    }
}

static enum sl_status pack_near(struct sl_error *err, struct sl_arena *arena, int n_most,
                                struct sl_taps *taps)
{
    int64_t n_blocks = (taps->to + NEAR - 1) / NEAR;
    taps->n_dots = (n_most + DOT - 1) / DOT;
    int64_t n = n_blocks * taps->n_dots;
    SL_TRY(sl_arena_alloc(err, arena, n_blocks, sizeof(int), &taps->near_start));
    SL_TRY(sl_arena_alloc(err, arena, n, DOT_BYTES, &taps->near_pick));
    SL_TRY(sl_arena_alloc(err, arena, n, SL_TAP_DIGITS * DOT_BYTES, &taps->digits));
    for (int x = 0; x < taps->to; x++) {
        int64_t block = x / NEAR;
        int start = taps->first[x - x % NEAR];
        taps->near_start[block] = start;
        for (int k = 0; k < taps->n[x]; k++) {
            int64_t group = block * taps->n_dots + k / DOT;
            int at = DOT * (x % NEAR) + k % DOT;
            taps->near_pick[group * DOT_BYTES + at] =
                (unsigned char)(taps->first[x] + k - start);
            put_digits(taps->weights[(int64_t)x * taps->n_most + k],
                       taps->digits + group * SL_TAP_DIGITS * DOT_BYTES + at);
        }
    }
    return SL_OK;
}

static enum sl_status pack_far(struct sl_error *err, struct sl_arena *arena, int n_most,
                               struct sl_taps *taps)
{
    int64_t n_blocks = (taps->to + FAR - 1) / FAR;
    taps->n_dots = (n_most + WIDE - 1) / WIDE;
    SL_TRY(sl_arena_alloc(err, arena, n_blocks * taps->n_dots, SL_TAP_DIGITS * DOT_BYTES,
                          &taps->digits));
    for (int x = 0; x < taps->to; x++) {
        for (int k = 0; k < taps->n[x]; k++) {
            int64_t group = x / FAR * (int64_t)taps->n_dots + k / WIDE;
            put_digits(taps->weights[(int64_t)x * taps->n_most + k],
                       taps->digits + group * SL_TAP_DIGITS * DOT_BYTES +
                           WIDE * (x % FAR) + k % WIDE);
        }
    }
    return SL_OK;
}

static enum sl_status pack_dots(struct sl_error *err, struct sl_arena *arena,
                                struct sl_taps *taps)
{
    int n_most = 0, bytes = near_bytes(taps);
    for (int x = 0; x < taps->to; x++) {
        n_most = taps->n[x] > n_most ? taps->n[x] : n_most;
    }
    taps->n_near_loads = bytes <= NEAR_LOAD ? 1 : 2;
    return bytes <= 2 * NEAR_LOAD ? pack_near(err, arena, n_most, taps)
                                  : pack_far(err, arena, n_most, taps);
}

enum sl_status sl_taps_make(struct sl_error *err, struct sl_arena *arena,
                            enum sl_tap_packing packing, int from, int to,
                            struct sl_taps *taps)
{
    SL_TRY(make_taps(err, arena, from, to, taps));
    switch (packing) {
    case SL_TAPS_SHUFFLED:
        return pack_taps(err, arena, taps);
    case SL_TAPS_DOTTED:
        return pack_dots(err, arena, taps);
    default:
        return SL_OK;
    }
}

/* ---- the two passes ---------------------------------------------------------------- */

/* The box's rows at the new width, as planes of the box's height. */
static enum sl_status resize_rows(struct sl_error *err, struct sl_arena *arena,
                                  const struct sl_image *src, struct sl_box box,
                                  struct sl_planes *dst)
{
    const struct sl_pixel_rows *rows = sl_pixel_rows_at(0);
    int channels = src->channels, width = dst->width;
    int64_t stride = (int64_t)src->width * channels;
    const unsigned char *from =
        src->pixels + box.top * stride + (int64_t)box.left * channels;
    bool is_copy = width == box.width;
    struct sl_taps taps = {0};
    struct sl_planes line;
    SL_TRY(sl_planes_alloc(err, arena, 1, box.width, channels, &line));
    if (!is_copy) {
        SL_TRY(sl_taps_make(err, arena, rows->packing, box.width, width, &taps));
    }
    for (int y = 0; y < box.height; y++) {
        unsigned char *to[3] = {NULL};
        for (int c = 0; c < channels; c++) {
            to[c] = dst->at[c] + (int64_t)y * width;
        }
        unsigned char *const *apart = is_copy ? to : line.at;
        if (channels == 3) {
            rows->split(box.width, from + y * stride, apart[0], apart[1], apart[2]);
        } else {
            memcpy(apart[0], from + y * stride, (size_t)box.width);
        }
        for (int c = 0; c < channels && !is_copy; c++) {
            rows->resize(&taps, line.at[c], to[c]);
        }
    }
    return SL_OK;
}

static enum sl_status resize_columns(struct sl_error *err, struct sl_arena *arena,
                                     const struct sl_planes *src,
                                     const struct sl_planes *dst)
{
    const struct sl_pixel_rows *rows = sl_pixel_rows_at(0);
    int64_t width = dst->width;
    struct sl_taps taps;
    SL_TRY(make_taps(err, arena, src->height, dst->height, &taps));
    for (int c = 0; c < dst->channels; c++) {
        for (int y = 0; y < dst->height; y++) {
            rows->blend_lines(width, taps.weights + (int64_t)y * taps.n_most, taps.n[y],
                              src->at[c] + taps.first[y] * width, width,
                              dst->at[c] + y * width);
        }
    }
    return SL_OK;
}

enum sl_status sl_pixels_resize(struct sl_error *err, struct sl_arena *arena,
                                const struct sl_image *src, struct sl_box box, int height,
                                int width, struct sl_planes *dst)
{
    SL_ASSERT(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
              box.top <= src->height - box.height && box.left <= src->width - box.width);
    SL_ASSERT(height > 0 && width > 0 && (src->channels == 1 || src->channels == 3));
    struct sl_planes between;
    SL_TRY(sl_planes_alloc(err, arena, height, width, src->channels, dst));
    struct sl_arena_mark mark = sl_arena_mark_now(arena);
    if (height == box.height) {
        SL_TRY(resize_rows(err, arena, src, box, dst));
    } else {
        SL_TRY(sl_planes_alloc(err, arena, box.height, width, src->channels, &between));
        SL_TRY(resize_rows(err, arena, src, box, &between));
        SL_TRY(resize_columns(err, arena, &between, dst));
    }
    sl_arena_reset(arena, mark);
    return SL_OK;
}
