/* SPDX-License-Identifier: MIT */
/*
 * The loops over pixels compiled for any machine: the twin that is always there and that
 * the others must equal. The shared loops are in pixel_rows_body.h.
 */
#include "data/pixel_rows_int.h"

static void split_run(int64_t n, const unsigned char *restrict rgb,
                      unsigned char *restrict r, unsigned char *restrict g,
                      unsigned char *restrict b)
{
    for (int64_t i = 0; i < n; i++) {
        r[i] = rgb[3 * i];
        g[i] = rgb[3 * i + 1];
        b[i] = rgb[3 * i + 2];
    }
}

static void resize_line(const struct sl_taps *taps, const unsigned char *src,
                        unsigned char *dst)
{
    for (int x = 0; x < taps->to; x++) {
        const unsigned char *p = src + taps->first[x];
        const int32_t *w = taps->weights + (int64_t)x * taps->n_most;
        int32_t sum = SL_TAP_HALF;
        for (int k = 0; k < taps->n[x]; k++) {
            sum += p[k] * w[k];
        }
        sum >>= SL_TAP_BITS;
        dst[x] = (unsigned char)(sum > 255 ? 255 : sum);
    }
}

#define SL_PIXEL_ROWS sl_pixel_rows_base
#define SL_PIXEL_ROWS_NAME "base"
#define SL_PIXEL_ROWS_PACKING SL_TAPS_PLAIN
#include "data/pixel_rows_body.h"
