/* SPDX-License-Identifier: MIT */
/*
 * Private to src/data: the table of loops over runs of 8-bit pixels that pixels.c, blur.c
 * and resize.c are made of. The loops are plain C, written once (pixel_rows_body.h) and
 * compiled for several instruction sets (pixel_rows_*.c); only `split` and `resize` are
 * written for each by hand, because they move bytes in ways no compiler finds.
 * Invariant: every table gives the same bits, so that a batch does not depend on the
 * machine; nothing here allocates.
 */
#ifndef SRC_DATA_PIXEL_ROWS_INT_H
#define SRC_DATA_PIXEL_ROWS_INT_H

#include "base/base.h"

/* Bytes that may be read, and overwritten with anything, behind a line given to `resize`
 * and behind the line it writes. */
enum { SL_ROW_SLACK = 128 };

/* Weights are whole numbers in 22-bit fixed point; the shuffling variants split them into
 * a high part and 11 low bits, which fit the 16-bit multipliers, and the one with dot
 * products into three digits of -128 .. 127; neither loses anything. */
enum { SL_TAP_BITS = 22, SL_TAP_LOW_BITS = 11, SL_TAP_HALF = 1 << (SL_TAP_BITS - 1) };
enum { SL_TAP_DIGITS = 3, SL_TAP_DIGIT_BITS = 8 };

/* How a table wants its taps besides `weights`. */
enum sl_tap_packing { SL_TAPS_PLAIN, SL_TAPS_SHUFFLED, SL_TAPS_DOTTED };

/* For each of `to` output places of a line: the first input place and its weights. */
struct sl_taps {
    int to, n_most; /* n_most: weights per place, the row length of `weights` */
    int *first, *n;
    int32_t *weights;
    /* The same for four output places at a time, when the bytes they need lie within 16
     * (n_groups > 0). A quad begins at input place start[q]; group g holds the taps 4g to
     * 4g + 3 of its four places: which of the 16 bytes (0x80: none), in the order place
     * 0 1 2 3 with taps 0 and 1 in turn, then the same with taps 2 and 3; and their
     * weights: for taps 0 1 and taps 2 3, high and low parts, eight a quad. n_quads is a
     * multiple of 4; arrays are [n_groups][n_quads][16] and [n_groups][2][2][n_quads][8].
     */
    int n_groups, n_quads;
    int *start;
    unsigned char *pick;
    int16_t *parts;
    /* Where they do not, and wide is not NULL: for every place, blocks of 16 taps, as
     * many as its taps fill: the weights' high parts, then the low ones. Arrays are
     * [to][n_blocks][2][16]. */
    int n_blocks;
    int16_t *wide;
    /* For dot products of four bytes. Near (near_start not NULL): sixteen places at a
     * time, when the bytes they need lie within 128 (n_near_loads 1: within 64) from
     * place near_start[]; group g holds taps 4g to 4g + 3 of each: which bytes, and the
     * digits of their weights. Arrays are [sixteens][n_dots][64] and
     * [sixteens][n_dots][3][64]. Else four places at a time, each with sixteen
     * neighbouring bytes from first[] on a step: [fours][n_dots][3][64]. */
    int n_dots, n_near_loads;
    int *near_start;
    unsigned char *near_pick;
    signed char *digits;
};
/* The taps from a line of `from` places to one of `to` (resize.c). */
enum sl_status sl_taps_make(struct sl_error *err, struct sl_arena *arena,
                            enum sl_tap_packing packing, int from, int to,
                            struct sl_taps *taps);

/* An extended box: 2 radius + 1 pixels of weight `inner`, one more at each end of weight
 * `outer`, in 24-bit fixed point. */
struct sl_box_filter {
    int radius;
    uint32_t inner, outer;
};

struct sl_pixel_rows {
    const char *name;
    enum sl_tap_packing packing; /* of the taps for resize */
    /* n interleaved pixels to three planes */
    void (*split)(int64_t n, const unsigned char *rgb, unsigned char *r, unsigned char *g,
                  unsigned char *b);
    /* one line of one plane */
    void (*resize)(const struct sl_taps *taps, const unsigned char *src,
                   unsigned char *dst);
    /* dst[i] = sum of weights[k] src[k * stride + i]; n_taps >= 1 */
    void (*blend_lines)(int64_t n, const int32_t *weights, int n_taps,
                        const unsigned char *src, int64_t stride, unsigned char *dst);
    /* dst[i] from the 2 radius + 3 bytes lines[..][i]; dst is none of the lines */
    void (*box)(int64_t n, const struct sl_box_filter *box,
                const unsigned char *const *lines, unsigned char *dst);
    /* ITU-R 601 luma; its sum */
    void (*luma)(int64_t n, const unsigned char *r, const unsigned char *g,
                 const unsigned char *b, unsigned char *dst);
    int64_t (*luma_sum)(int64_t n, const unsigned char *r, const unsigned char *g,
                        const unsigned char *b);
    /* from + factor (x - from), clipped */
    void (*blend)(int64_t n, int from, float factor, unsigned char *x);
    /* the same from each pixel's luma */
    void (*saturate)(int64_t n, float factor, unsigned char *r, unsigned char *g,
                     unsigned char *b);
    /* adds `turn` (0..255) to the hue, through HSV of 8 bits */
    void (*hue)(int64_t n, int turn, unsigned char *r, unsigned char *g,
                unsigned char *b);
    void (*solarise)(int64_t n, int threshold, unsigned char *x);
    /* (x / 255 - mean) / std of n pixels into dst (n, 3); backwards: the last pixel
     * first. x / 255 and the whole are each rounded to float as divisions are. */
    void (*normalise)(int64_t n, const unsigned char *r, const unsigned char *g,
                      const unsigned char *b, bool backwards, const float mean[3],
                      const float std[3], float *dst);
};

/* The plain one is always there; the others where the compiler's target is x86-64. */
extern const struct sl_pixel_rows sl_pixel_rows_base;
extern const struct sl_pixel_rows sl_pixel_rows_avx2;
extern const struct sl_pixel_rows sl_pixel_rows_avx512;
extern const struct sl_pixel_rows sl_pixel_rows_avx512vnni;

/* Tables this machine can run, best first; NULL past the end. Tests go through all. */
const struct sl_pixel_rows *sl_pixel_rows_at(int i);

#endif
