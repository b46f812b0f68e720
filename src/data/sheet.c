/* SPDX-License-Identifier: MIT */
/*
 * A sheet of pictures in rows, for a person to look at: the picture itself, fitted into a
 * square, then its views as training gets them, turned back into pixels. Small views are
 * enlarged by whole numbers, so that their pixels can be seen. Only arithmetic on pixels
 * here; nothing is read or written.
 */
#include "data/data_int.h"

#include <string.h>

enum {
    CELL_LEAST = 128, /* smaller views are enlarged to so much, or a little more */
    MARGIN = 8,
    GAP = 4, /* between views */
    ROW_GAP = 8,
    COLUMN_GAP = 12, /* between the picture and its views */
    GROUND = 48      /* grey behind it all */
};
static const int64_t BYTES_MOST = INT64_C(256) << 20;

static int left_of(const struct sl_sheet *sheet, int column)
{
    int gaps = column == 0 ? 0 : COLUMN_GAP + (column - 1) * GAP;
    return MARGIN + column * sheet->cell + gaps;
}

static int top_of(const struct sl_sheet *sheet, int row)
{
    return MARGIN + row * (sheet->cell + ROW_GAP);
}

enum sl_status sl_sheet_create(struct sl_error *err, struct sl_arena *arena, int n_rows,
                               int n_views, int view_size, struct sl_sheet *sheet)
{
    SL_ASSERT(n_rows >= 1 && n_views >= 1 && view_size >= 1);
    *sheet = (struct sl_sheet){.view_size = view_size};
    sheet->scale = (CELL_LEAST + view_size - 1) / view_size;
    sheet->cell = view_size * sheet->scale;
    int64_t width = (int64_t)left_of(sheet, n_views) + sheet->cell + MARGIN;
    int64_t height = (int64_t)n_rows * (sheet->cell + ROW_GAP) - ROW_GAP + 2 * MARGIN;
    if (width * height > BYTES_MOST / 3) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "a sheet of %d pictures with views of %d px would be %lld x %lld "
                       "pixels; show fewer",
                       n_rows, view_size, (long long)width, (long long)height);
    }
    SL_TRY(sl_image_alloc(err, arena, (int)height, (int)width, 3, &sheet->image));
    memset(sheet->image.pixels, GROUND, (size_t)(width * height * 3));
    return SL_OK;
}

/* Puts a picture, `scale` times enlarged, into the middle of a cell. */
static void put(struct sl_sheet *sheet, int row, int column, int scale,
                const struct sl_planes *planes)
{
    int height = planes->height * scale, width = planes->width * scale;
    int64_t top = top_of(sheet, row) + (sheet->cell - height) / 2;
    int64_t left = left_of(sheet, column) + (sheet->cell - width) / 2;
    for (int64_t y = 0; y < height; y++) {
        unsigned char *dst =
            sheet->image.pixels + ((top + y) * sheet->image.width + left) * 3;
        for (int64_t x = 0; x < width; x++, dst += 3) {
            int64_t at = y / scale * planes->width + x / scale;
            for (int c = 0; c < 3; c++) {
                dst[c] = planes->at[planes->channels == 1 ? 0 : c][at];
            }
        }
    }
}

enum sl_status sl_sheet_original(struct sl_error *err, struct sl_sheet *sheet, int row,
                                 const struct sl_image *image, struct sl_arena *arena)
{
    struct sl_box whole = {0, 0, image->height, image->width};
    struct sl_planes planes;
    int longer = image->height > image->width ? image->height : image->width;
    int scale = sheet->cell / longer; /* 0: it must be shrunk */
    int height = image->height, width = image->width;
    if (scale == 0) {
        height = (int)((int64_t)height * sheet->cell / longer);
        width = (int)((int64_t)width * sheet->cell / longer);
        height = height > 0 ? height : 1;
        width = width > 0 ? width : 1;
        scale = 1;
    }
    SL_TRY(sl_pixels_resize(err, arena, image, whole, height, width, &planes));
    put(sheet, row, 0, scale, &planes);
    return SL_OK;
}

static unsigned char pixel_of(float value, float mean, float std)
{
    float level = (value * std + mean) * 255.0F + 0.5F;
    return (unsigned char)(level < 0.0F ? 0.0F : level > 255.0F ? 255.0F : level);
}

enum sl_status sl_sheet_view(struct sl_error *err, struct sl_sheet *sheet, int row,
                             int view, const float *pixels,
                             const struct sl_recipe *recipe, struct sl_arena *arena)
{
    struct sl_planes planes;
    int channels = recipe->channels;
    int64_t n = (int64_t)recipe->size * recipe->size;
    SL_ASSERT(recipe->size == sheet->view_size);
    SL_TRY(sl_planes_alloc(err, arena, recipe->size, recipe->size, channels, &planes));
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < channels; c++) {
            planes.at[c][i] =
                pixel_of(pixels[i * channels + c], recipe->mean[c], recipe->std[c]);
        }
    }
    put(sheet, row, 1 + view, sheet->scale, &planes);
    return SL_OK;
}

enum sl_status sl_thumbnail(struct sl_error *err, const struct sl_image *image, int side,
                            struct sl_arena *arena, struct sl_image *small)
{
    struct sl_planes planes;
    int shorter = image->height < image->width ? image->height : image->width;
    struct sl_box middle = {(image->height - shorter) / 2, (image->width - shorter) / 2,
                            shorter, shorter};
    side = side < shorter ? side : shorter;
    SL_TRY(sl_pixels_resize(err, arena, image, middle, side, side, &planes));
    SL_TRY(sl_image_alloc(err, arena, side, side, image->channels, small));
    for (int64_t i = 0; i < (int64_t)side * side; i++) {
        for (int c = 0; c < image->channels; c++) {
            small->pixels[i * image->channels + c] = planes.at[c][i];
        }
    }
    return SL_OK;
}
