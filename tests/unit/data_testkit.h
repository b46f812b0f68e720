/* SPDX-License-Identifier: MIT */
/*
 * What the tests of src/data share: golden pictures, small image files, scratch folders.
 * Every function fails the running test when it cannot do its work. Not a test by itself.
 */
#ifndef TESTS_UNIT_DATA_TESTKIT_H
#define TESTS_UNIT_DATA_TESTKIT_H

#include "data/data.h"

/* "SOURCE/tests/golden/pixels/NAME" (the variable SLIMCLR_SOURCE). */
void kit_golden_path(const char *name, char *dst, size_t size);
/* Reads and decodes a golden file into the arena. */
void kit_golden_image(const char *name, struct sl_arena *arena, struct sl_image *image);
/* Does this build read files of this extension (.jpg .png .webp .tif; all others)? */
bool kit_is_read(const char *file);
/* Largest and mean difference of two pictures of one size; fails on another size. */
int kit_largest_difference(const struct sl_image *a, const struct sl_image *b,
                           double *mean);
/* Between interleaved pixels and planes. */
struct sl_planes kit_split(struct sl_arena *arena, const struct sl_image *image);
struct sl_image kit_join(struct sl_arena *arena, const struct sl_planes *planes);
struct sl_arena *kit_arena(void);

/* Writes a file, with its folders, below the test's own directory. */
void kit_write(const char *path, const void *bytes, size_t size);
/* Removes a file or a folder with all in it, if it is there: what an earlier run left. */
void kit_remove(const char *path);
/* A P6 picture whose pixels depend on `key` alone. */
void kit_write_ppm(const char *path, int height, int width, int key);
/* Copies `bytes` bytes of a golden file (all when negative). */
void kit_copy_golden(const char *name, const char *to, int64_t bytes);

struct sl_source *kit_open(const char *data, enum sl_part part, bool whole);
/* Opening must fail with the status, and the message must hold `word`. */
void kit_open_fails(const char *data, enum sl_part part, bool whole,
                    enum sl_status status, const char *word);
/* Hash of the pixels and sizes of pictures [first, end). */
uint64_t kit_hash(const struct sl_source *source, int64_t first, int64_t end);

/* A folder of the unpacked public data (SLIMCLR_TEST_UNPACKED), or NULL: then skip(). */
const char *kit_unpacked(const char *name);

#endif
