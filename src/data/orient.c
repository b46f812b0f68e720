/* SPDX-License-Identifier: MIT */
/*
 * Cameras store pixels as the sensor has them and write beside them how the camera was
 * held. Here that number is found in an Exif block, and applied. Nothing else of Exif is
 * read. Invariant: a block that is damaged or says nonsense means "upright"; it never
 * makes a picture unreadable.
 */
#include "data/data_int.h"

#include <string.h>

enum {
    TAG_ORIENTATION = 0x0112,
    TYPE_SHORT = 3,
    TIFF_HEADER_BYTES = 8,
    FIELD_BYTES = 12,
    UPRIGHT = 1,
    MOST = 8
};

/* Numbers of a TIFF structure, in the byte order it declares. */
struct tiff_bytes {
    const unsigned char *bytes;
    int64_t size;
    bool is_big;
};

static int64_t number_at(const struct tiff_bytes *tiff, int64_t at, int n_bytes)
{
    int64_t value = 0;
    for (int i = 0; i < n_bytes; i++) {
        int64_t from = at + (tiff->is_big ? i : n_bytes - 1 - i);
        value = value << 8 | tiff->bytes[from];
    }
    return value;
}

static int orientation_of(const struct tiff_bytes *tiff)
{
    int64_t directory = number_at(tiff, 4, 4);
    if (number_at(tiff, 2, 2) != 42 || directory > tiff->size - 2) {
        return UPRIGHT;
    }
    int64_t n = number_at(tiff, directory, 2);
    for (int64_t i = 0; i < n; i++) {
        int64_t field = directory + 2 + i * FIELD_BYTES;
        if (field > tiff->size - FIELD_BYTES) {
            return UPRIGHT;
        }
        if (number_at(tiff, field, 2) == TAG_ORIENTATION) {
            int64_t value = number_at(tiff, field + 8, 2);
            bool is_valid = number_at(tiff, field + 2, 2) == TYPE_SHORT &&
                            number_at(tiff, field + 4, 4) == 1 && value >= UPRIGHT &&
                            value <= MOST;
            return is_valid ? (int)value : UPRIGHT;
        }
    }
    return UPRIGHT;
}

int sl_exif_orientation(const unsigned char *exif, int64_t size)
{
    if (size >= 6 && memcmp(exif, "Exif\0\0", 6) == 0) {
        exif += 6;
        size -= 6;
    }
    if (size < TIFF_HEADER_BYTES ||
        (memcmp(exif, "II", 2) != 0 && memcmp(exif, "MM", 2) != 0)) {
        return UPRIGHT;
    }
    struct tiff_bytes tiff = {.bytes = exif, .size = size, .is_big = exif[0] == 'M'};
    return orientation_of(&tiff);
}

/* Where the upright picture's first pixel lies in the stored one, and how far (in pixels)
 * it is from there to its neighbours below and to the right. */
struct road {
    int64_t first, down, right;
};

static struct road road_of(int orientation, int64_t height, int64_t width)
{
    int64_t last_row = (height - 1) * width, last_column = width - 1;
    switch (orientation) {
    case 2: /* mirrored */
        return (struct road){last_column, width, -1};
    case 3: /* upside down */
        return (struct road){last_row + last_column, -width, -1};
    case 4: /* upside down, mirrored */
        return (struct road){last_row, -width, 1};
    case 5: /* rows are columns */
        return (struct road){0, 1, width};
    case 6: /* to be turned to the right */
        return (struct road){last_row, 1, -width};
    case 7: /* to be turned to the right, mirrored */
        return (struct road){last_row + last_column, -1, -width};
    default: /* 8: to be turned to the left */
        return (struct road){last_column, -1, width};
    }
}

static void walk_1(const struct road *road, const struct sl_image *src,
                   struct sl_image *dst)
{
    unsigned char *to = dst->pixels;
    for (int64_t y = 0; y < dst->height; y++) {
        const unsigned char *from = src->pixels + road->first + y * road->down;
        for (int64_t x = 0; x < dst->width; x++, from += road->right) {
            *to++ = *from;
        }
    }
}

static void walk_3(const struct road *road, const struct sl_image *src,
                   struct sl_image *dst)
{
    unsigned char *to = dst->pixels;
    for (int64_t y = 0; y < dst->height; y++) {
        int64_t at = road->first + y * road->down;
        for (int64_t x = 0; x < dst->width; x++, at += road->right, to += 3) {
            const unsigned char *from = src->pixels + 3 * at;
            to[0] = from[0];
            to[1] = from[1];
            to[2] = from[2];
        }
    }
}

enum sl_status sl_image_orient(struct sl_error *err, struct sl_arena *arena,
                               int orientation, struct sl_image *image)
{
    if (orientation <= UPRIGHT || orientation > MOST) {
        return SL_OK;
    }
    struct sl_image upright;
    struct road road = road_of(orientation, image->height, image->width);
    bool is_turned = orientation >= 5;
    SL_TRY(sl_image_alloc(err, arena, is_turned ? image->width : image->height,
                          is_turned ? image->height : image->width, image->channels,
                          &upright));
    if (image->channels == 1) {
        walk_1(&road, image, &upright);
    } else {
        walk_3(&road, image, &upright);
    }
    *image = upright;
    return SL_OK;
}
