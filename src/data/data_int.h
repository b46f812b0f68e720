/* SPDX-License-Identifier: MIT */
/*
 * Private to src/data: what the readers (collection.c, raw.c, procedural.c) give to
 * source.c, and what the decoders (jpeg.c, png.c, …) give to decode.c. Never included
 * from outside.
 */
#ifndef SRC_DATA_DATA_INT_H
#define SRC_DATA_DATA_INT_H

#include "data/data.h"

/* ---- images and decoders (decode.c) ------------------------------------------------ */

/* Pixel memory of an image in the arena, all black; or not cleared, for a decoder that
 * writes every pixel or fails. */
enum sl_status sl_image_alloc(struct sl_error *err, struct sl_arena *arena, int height,
                              int width, int channels, struct sl_image *image);
enum sl_status sl_image_alloc_dirty(struct sl_error *err, struct sl_arena *arena,
                                    int height, int width, int channels,
                                    struct sl_image *image);

/* Planes in the arena, not cleared (pixels.c). */
enum sl_status sl_planes_alloc(struct sl_error *err, struct sl_arena *arena, int height,
                               int width, int channels, struct sl_planes *planes);

/* The window of a picture that was decoded whole. */
struct sl_window sl_window_whole(const struct sl_image *image);

/* One file's bytes, and what is wanted of them. */
struct sl_encoded {
    const char *name; /* for messages */
    const unsigned char *bytes;
    int64_t size;
    const struct sl_decode_options *options; /* every field filled in */
    struct sl_file_facts *facts;             /* never NULL; decoders add what they see */
};

/* Fails (SL_ERROR_DATA) when a header's sizes are not positive or above the limits.
 * Called by each decoder before any pixel memory is taken. */
enum sl_status sl_image_check(struct sl_error *err, const struct sl_encoded *encoded,
                              int64_t height, int64_t width);
/* Fails (SL_ERROR_DATA) when the file is larger than the limit. */
enum sl_status sl_bytes_check(struct sl_error *err, const char *name, int64_t size,
                              const struct sl_decode_options *options);
/* The two messages every format has: "NAME: damaged PNG: …". */
enum sl_status sl_fail_damaged(struct sl_error *err, const struct sl_encoded *encoded,
                               const char *format, const char *what);
enum sl_status sl_fail_cut_short(struct sl_error *err, const struct sl_encoded *encoded,
                                 const char *format);
/* What a message about a picture says behind the picture's name, or all of it. */
const char *sl_without_name(const char *message, const char *name);

/* One file format. `decode` may trust that `matches` said yes; it returns 1 or 3
 * channels, whichever is less work, upright. A format that was left out of the build
 * keeps its row, so that its files are named in the message. */
struct sl_decoder {
    const char *name;
    bool built;
    bool (*matches)(const unsigned char *bytes, int64_t size);
    enum sl_status (*decode)(struct sl_error *err, const struct sl_encoded *encoded,
                             struct sl_arena *arena, struct sl_image *image);
};
extern const struct sl_decoder sl_decoder_jpeg; /* jpeg.c or jpeg_none.c */
extern const struct sl_decoder sl_decoder_png;  /* png.c or png_none.c */
extern const struct sl_decoder sl_decoder_webp; /* webp.c or webp_none.c */
extern const struct sl_decoder sl_decoder_tiff; /* tiff.c or tiff_none.c */
extern const struct sl_decoder sl_decoder_bmp;  /* bmp.c */
extern const struct sl_decoder sl_decoder_pnm;  /* pnm.c */
/* By content only: shared by the real decoder and its stand-in. */
bool sl_is_jpeg(const unsigned char *bytes, int64_t size);
bool sl_is_png(const unsigned char *bytes, int64_t size);
bool sl_is_webp(const unsigned char *bytes, int64_t size);
bool sl_is_tiff(const unsigned char *bytes, int64_t size);

/* ---- looking (survey.c) ------------------------------------------------------------ */

/* Fills in what follows from the pixels: sides, sums, one colour. Pure. */
void sl_look_at_pixels(const struct sl_image *image, struct sl_look *look);

/* ---- depth and transparency (flatten.c) -------------------------------------------- */

/* 16 bit to 8: v x 255 / 65535, rounded. */
void sl_narrow(const uint16_t *src, int64_t n, unsigned char *dst);
/* n pixels of red, green, blue, alpha to RGB, on the colour that the options name. True
 * when some pixel was not opaque. */
bool sl_flatten_8(const struct sl_decode_options *options, const unsigned char *rgba,
                  int64_t n, unsigned char *rgb);
bool sl_flatten_16(const struct sl_decode_options *options, const uint16_t *rgba,
                   int64_t n, unsigned char *rgb);
/* Ink to light as Pillow has it; the four channels are amounts of ink, 255 = all. */
void sl_from_cmyk(const unsigned char *cmyk, int64_t n, unsigned char *rgb);

/* ---- orientation (orient.c) -------------------------------------------------------- */

/* 1..8 out of an Exif block (which begins with a TIFF header, after any "Exif\0\0");
 * 1 = upright when it says nothing, or nothing valid. */
int sl_exif_orientation(const unsigned char *exif, int64_t size);
/* Turns stored pixels upright; new pixels in the arena unless the orientation is 1. */
enum sl_status sl_image_orient(struct sl_error *err, struct sl_arena *arena,
                               int orientation, struct sl_image *image);

/* ---- the numbers of a view (augment.c) --------------------------------------------- */

/* All that is random in a view, drawn before any pixel is touched. */
struct sl_draw {
    struct sl_box box; /* of the whole picture */
    int top, left;     /* where a padded crop begins in the fitted picture, -pad .. pad */
    bool has_jitter, has_grey, has_blur, has_solarise, mirrored;
    int order[4];    /* of brightness 0, contrast 1, saturation 2, hue 3 */
    float values[4]; /* three factors, a shift in turns */
    float radius;
    float light[3]; /* added to red, green and blue, in grey levels */
};
/* A function of its arguments alone. */
struct sl_draw sl_draw_view(const struct sl_recipe *recipe, int height, int width,
                            uint64_t seed, uint32_t epoch, uint32_t sample,
                            uint32_t view);

/* ---- readers (source.c) ------------------------------------------------------------ */

/* Which parts one DATA has. */
struct sl_parts {
    bool train, test;
};

/* The records of one part of one DATA, as its format sees them. `state` is the reader's
 * own. */
struct sl_reader {
    const struct sl_reader_kind *kind;
    void *state;
    int64_t count;
    int height, width; /* shared by all pictures, or 0 */
    int n_classes;
    uint64_t fingerprint;
};

struct sl_reader_kind {
    /* 1 or 3 channels, whichever is less work; source.c makes them as many as asked for
     */
    enum sl_status (*read)(struct sl_error *err, const struct sl_reader *reader,
                           int64_t i, struct sl_arena *arena, struct sl_image *image);
    /* The same with a wish; NULL where reading less saves nothing. */
    enum sl_status (*read_part)(struct sl_error *err, const struct sl_reader *reader,
                                int64_t i, struct sl_part_wish *wish,
                                struct sl_arena *arena, struct sl_image *image);
    /* The encoded bytes as they are stored, in the arena; NULL: none are. */
    enum sl_status (*bytes)(struct sl_error *err, const struct sl_reader *reader,
                            int64_t i, struct sl_arena *arena, unsigned char **bytes,
                            int64_t *size);
    void (*name)(const struct sl_reader *reader, int64_t i, char *dst, size_t size);
    int (*label)(const struct sl_reader *reader, int64_t i);
    const char *(*class_name)(const struct sl_reader *reader, int label);
    const char *(*word)(const struct sl_reader *reader); /* sl_source_kind */
    void (*mean_std)(const struct sl_reader *reader, float mean[3], float std[3]);
    void (*close)(struct sl_reader *reader); /* half-made ones too */
};

/* The constants of ImageNet, for everything that has none of its own. */
void sl_mean_std_imagenet(const struct sl_reader *reader, float mean[3], float std[3]);

/* raw.c: fixed-size records. probe: does the path hold such files (by name)? */
bool sl_raw_probe(const char *path, struct sl_parts *parts);
enum sl_status sl_raw_open(struct sl_error *err, const char *path, enum sl_part part,
                           struct sl_reader *reader);

/* records.c: the rules of the raw formats on bytes in memory, without files. */
enum { SL_CIFAR_SIDE = 32, SL_CIFAR_PLANE = 1024, SL_CIFAR_PIXELS = 3072 };
/* `label_bytes` 1 (CIFAR-10) or 2 (CIFAR-100: coarse, fine; the last one counts). *count
 * gets the records; every label is checked against n_classes. */
enum sl_status sl_cifar_check(struct sl_error *err, const char *name,
                              const unsigned char *bytes, int64_t size, int label_bytes,
                              int n_classes, int64_t *count);

struct sl_idx_header {
    int64_t dims[3]; /* unused ones are 1 */
    int64_t header_bytes, payload_bytes;
};
/* `size` is how many bytes of the file are at hand; 4 + 4 x n_dims are needed. Fails
 * (SL_ERROR_DATA) on another magic number and on sizes that are zero or absurd. */
enum sl_status sl_idx_parse(struct sl_error *err, const char *name,
                            const unsigned char *bytes, int64_t size, int n_dims,
                            struct sl_idx_header *header);
/* The whole file must be header and payload, neither more nor less. */
enum sl_status sl_idx_check_size(struct sl_error *err, const char *name, int64_t size,
                                 const struct sl_idx_header *header);

/* gunzip.c or gunzip_none.c: the content of a gzipped IDX file, on the heap. The sizes in
 * its header bound what is taken; more or less content than they say is an error. */
enum sl_status sl_gunzip_idx(struct sl_error *err, const char *name,
                             const unsigned char *packed, int64_t packed_size, int n_dims,
                             unsigned char **bytes, int64_t *size);

/* The same files: `size` bytes of a deflated zip member whose packed bytes begin at
 * position `at`; it must unpack to exactly so many. */
enum sl_status sl_inflate_at(struct sl_error *err, const char *name, int fd, int64_t at,
                             unsigned char *dst, int64_t size);
/* The same files: CRC 32 as zip has it. */
uint32_t sl_crc32(const unsigned char *bytes, int64_t size);
/* A gzipped file into another, written whole or not at all; at most `limit` bytes. */
#define SL_UNPACK_MAX (INT64_C(256) << 30)
enum sl_status sl_gunzip_file(struct sl_error *err, const char *path, const char *target,
                              int64_t limit);

/* jpeg_write.c or jpeg_write_none.c: RGB pixels as a baseline JPEG, appended to `out`. */
enum sl_status sl_jpeg_encode(struct sl_error *err, const struct sl_image *image,
                              int quality, struct sl_text *out);

/* tar_write.c: one member of a tar archive that is the same wherever and whenever it is
 * made; the name has at most 99 bytes. Then the end of the archive. */
enum { SL_TAR_BLOCK = 512 };
enum sl_status sl_tar_member(struct sl_error *err, struct sl_file_writer *writer,
                             const char *name, const void *bytes, int64_t size);
enum sl_status sl_tar_end(struct sl_error *err, struct sl_file_writer *writer);
/* Bytes that a member of this size takes, with its header. */
int64_t sl_tar_bytes(int64_t size);

/* procedural.c */
bool sl_procedural_is(const char *data);
enum sl_status sl_procedural_open(struct sl_error *err, const char *data,
                                  enum sl_part part, struct sl_reader *reader);

#endif
