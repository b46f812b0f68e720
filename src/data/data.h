/* SPDX-License-Identifier: MIT */
/*
 * data: bytes on disk become batches in host memory. A source names pictures by number
 * and decodes one on request; a recipe turns one picture and one random key into one
 * view; a sampler says which picture stands where in which epoch; a loader's workers put
 * it together and hand out batches in order.
 *
 * The batch is a function of (seed, epoch, sample, view) alone: never of the number of
 * workers, of timing, or of what was asked before. Nothing here knows a backend: batches
 * are float32 NHWC in host memory. Labels are read when they are there and never needed.
 */
#ifndef SRC_DATA_DATA_H
#define SRC_DATA_DATA_H

#include "base/base.h"
#include "tensor/tensor.h"

/* ---- image (decode.c and the decoders) --------------------------------------------- */

/* 8-bit interleaved pixels, `channels` 1 or 3, rows without padding. The pixels belong to
 * the arena they were decoded into. */
struct sl_image {
    unsigned char *pixels;
    int height, width, channels;
};

struct sl_box {
    int top, left, height, width;
};

/* Where decoded pixels lie in their picture, which is `height` x `width` and upright:
 * their first one is pixel (top, left) of the picture at `eighths` / 8 of its size. */
struct sl_window {
    int height, width;
    int top, left, eighths;
};

/* A wish for less than the whole picture. `choose` is told the picture's size as soon as
 * its header is read, and says which box of it will be looked at and to how many eighths
 * of its size it may be reduced (8, 4, 2 or 1). A decoder may give more than was asked
 * for, up to all of it; `window` says what it gave. The pixels of the box are those of
 * the whole picture, bit for bit, when it is not reduced; and a damaged file is an error
 * whichever part is wanted, unless it is reduced. */
struct sl_part_wish {
    void (*choose)(void *context, int height, int width, struct sl_box *box,
                   int *eighths);
    void *context;
    struct sl_window window; /* the answer */
};

/* What a file was before it became 8-bit opaque light. */
struct sl_file_facts {
    const char *format; /* as sl_decode_format names it; NULL = of no known one */
    bool is_deep;       /* more than 8 bit a channel */
    bool has_ink;       /* CMYK or YCCK */
    bool has_alpha;     /* some pixel is not opaque */
    bool is_grey;       /* of one channel; JPEG only */
};

/* How files become pixels. Everything zero = the defaults, as is a NULL pointer. */
struct sl_decode_options {
    int64_t max_pixels; /* height x width; 0 = 100 million */
    int64_t max_bytes;  /* of the compressed file; 0 = 256 MiB */
    int64_t max_side;   /* height and width; 0 = 65,535 */
    int channels;       /* of the pixels: 3, or 1 = grey; 0 = 3 */
    /* What stands behind transparent pixels: white unless `alpha_chosen`. With
     * `alpha_ignored` the stored colours are taken as if they were opaque. */
    bool alpha_ignored, alpha_chosen;
    unsigned char alpha_on[3];
    struct sl_part_wish *part;   /* NULL = the whole picture */
    struct sl_file_facts *facts; /* NULL, or where to tell them, of damaged files too */
};

/* Recognises the format by content, checks the limits before any pixel memory is taken,
 * and decodes into `channels` channels: grey becomes three equal channels, and colour
 * becomes grey by Pillow's luma; 16 bit is rounded to 8 (v x 255 / 65535); alpha is
 * composited; CMYK/YCCK is converted; an Exif orientation is applied. `name` is for
 * messages. A bad file is SL_ERROR_DATA, in words ("cut short", "not an image": …). */
enum sl_status sl_decode(struct sl_error *err, const char *name,
                         const unsigned char *bytes, int64_t size,
                         const struct sl_decode_options *options, struct sl_arena *arena,
                         struct sl_image *image);
/* The file formats, in the order they are tried: the name of format i, or NULL past the
 * end; whether this build reads it; and the names of all that it reads, "jpeg png …",
 * into dst. */
enum { SL_FORMATS_BYTES = 64 };
const char *sl_decode_format(int i, bool *is_built);
void sl_decode_formats(char *dst, size_t size);

/* ---- source (source.c and the readers it picks from) ------------------------------- */

enum sl_part { SL_PART_TRAIN, SL_PART_TEST };

struct sl_source_config {
    const char *data; /* a DATA argument (README), or "synthetic:…" */
    enum sl_part part;
    bool whole; /* pre-training on a folder without train/: all of it; with parts: the
                   train part. false (evaluation): where only one part exists it is split
                   by test_fraction */
    double test_fraction; /* 0.1 */
    int64_t limit; /* only the first `limit` pictures of a fixed shuffled order; 0 = all
                    */
    uint64_t seed; /* of the limit's order and the split */
    struct sl_decode_options decode;
    /* Where indices of folders and archives are kept, and compressed archives unpacked;
     * NULL = nowhere */
    const char *cache_directory;
};

/* $XDG_CACHE_HOME/slimclr or ~/.cache/slimclr; false when neither is known. */
bool sl_cache_directory(char *dst, size_t size);

/* One opened part of one DATA. Immutable and safe to read from several threads. */
struct sl_source;
/* Errors: SL_ERROR_DATA for a missing path, no images, a truncated CIFAR or IDX file
 * (names the file, the size seen and the rule), a bad synthetic: text is SL_ERROR_USAGE.
 * Several DATA arguments are several sources joined by sl_source_open_all. */
enum sl_status sl_source_open(struct sl_error *err, const struct sl_source_config *config,
                              struct sl_source **source);
enum sl_status sl_source_open_all(struct sl_error *err,
                                  const struct sl_source_config *config,
                                  const char *const *data, int n_data,
                                  struct sl_source **source);
void sl_source_close(struct sl_source *source);

int64_t sl_source_count(const struct sl_source *source);
/* "cifar10", "cifar100", "idx", "folder", "list", "tar", "zip", "shards", "lmdb",
 * "synthetic" */
const char *sl_source_kind(const struct sl_source *source);
/* Height and width that all pictures share (fixed-size data), or 0. */
int sl_source_side_fixed(const struct sl_source *source, int *height, int *width);
/* True when the part was cut from the only part there is (say so). */
bool sl_source_was_split(const struct sl_source *source);
/* True when the (last) DATA has a train and a test part of its own. */
bool sl_source_has_parts(const struct sl_source *source);
/* Name of picture i: a path, or "data_batch_1.bin#17". Into dst, cut when too long. */
void sl_source_name(const struct sl_source *source, int64_t i, char *dst, size_t size);
/* Class of picture i, or -1; number of classes (0 = none known); a class's name. */
int sl_source_label(const struct sl_source *source, int64_t i);
int sl_source_classes(const struct sl_source *source);
const char *sl_source_class_name(const struct sl_source *source, int label);
/* Gives the classes other numbers, those of a model that knows them in another order:
 * class c becomes numbers[c], and there are n in all, called `names` (borrowed as long as
 * the source lives). No two classes get one number. The fingerprint becomes another.
 * Only before the source is read. */
enum sl_status sl_source_number_classes(struct sl_error *err, struct sl_source *source,
                                        const char *const *names, const int *numbers,
                                        int n);
/* A hash over names, labels and order, and over sizes where an archive lists them (not
 * over the content of pictures), for the run's record. */
uint64_t sl_source_fingerprint(const struct sl_source *source);
/* Published per-channel constants for this kind of data (CIFAR's, MNIST's, else
 * ImageNet's). */
void sl_source_mean_std(const struct sl_source *source, float mean[3], float std[3]);
/* Decodes picture i into `decode.channels` channels in the arena. SL_ERROR_DATA when it
 * is damaged. Thread-safe with an arena per thread. */
enum sl_status sl_source_read(struct sl_error *err, const struct sl_source *source,
                              int64_t i, struct sl_arena *arena, struct sl_image *image);
/* The same, or as much of it as the wish asks for. */
enum sl_status sl_source_read_part(struct sl_error *err, const struct sl_source *source,
                                   int64_t i, struct sl_part_wish *wish,
                                   struct sl_arena *arena, struct sl_image *image);

/* The encoded bytes of picture i as they are stored, in the arena; NULL where pictures
 * are not stored encoded (records, built-in ones). Thread-safe as above. */
enum sl_status sl_source_bytes(struct sl_error *err, const struct sl_source *source,
                               int64_t i, struct sl_arena *arena, unsigned char **bytes,
                               int64_t *size);

/* ---- pixel functions (pixels.c, resize.c, blur.c): pure, 8 bit, as PIL computes ---- */

/* Pixels on their way to a view: 8 bit, `channels` (1 or 3) planes, rows without padding.
 * The memory belongs to the arena they were made in; a few bytes behind each plane are
 * scratch. */
struct sl_planes {
    unsigned char *at[3];
    int height, width, channels;
};
/* Crop, then resize, as torchvision's resized_crop: pixels outside of the box (which must
 * lie inside the picture) play no part. Antialiased bilinear as PIL's resize on 8-bit
 * pixels: triangle filter, support scaled when shrinking, 22-bit fixed-point
 * coefficients, horizontal pass first. Same bits as PIL. */
enum sl_status sl_pixels_resize(struct sl_error *err, struct sl_arena *arena,
                                const struct sl_image *src, struct sl_box box, int height,
                                int width, struct sl_planes *dst);
/* Gives the image 1 or 3 channels: grey to three equal ones, colour to one by the luma
 * below, which gives grey back unchanged. New pixels in the arena where the number
 * changes. */
enum sl_status sl_pixels_set_channels(struct sl_error *err, struct sl_arena *arena,
                                      struct sl_image *image, int channels);
/* A view of the planes' own size that begins at pixel (top, left) of them, black where
 * there is none: torchvision's crop of padded pixels. */
enum sl_status sl_pixels_shift(struct sl_error *err, struct sl_arena *arena,
                               const struct sl_planes *src, int top, int left,
                               struct sl_planes *dst);
void sl_pixels_flip(struct sl_planes *planes);
/* PIL's ImageEnhance / convert("L") arithmetic on 8 bit (L = (19595 R + 38470 G + 7471 B
 * + 0x8000) >> 16). On one channel grey, saturation and hue change nothing, as in
 * torchvision. */
void sl_pixels_grey(struct sl_planes *planes);
void sl_pixels_brightness(struct sl_planes *planes, float factor);
void sl_pixels_contrast(struct sl_planes *planes, float factor);
void sl_pixels_saturation(struct sl_planes *planes, float factor);
/* shift in turns, [-0.5, 0.5]: PIL's HSV round trip, H + uint8(shift * 255). */
void sl_pixels_hue(struct sl_planes *planes, float shift);
/* Pillow's GaussianBlur(radius): three passes of its extended box blur on 8-bit pixels.
 */
enum sl_status sl_pixels_blur(struct sl_error *err, struct sl_arena *arena,
                              struct sl_planes *planes, float radius);
void sl_pixels_solarise(struct sl_planes *planes, int threshold);
/* Adds a number of grey levels to each of red, green and blue, cuts off what is behind
 * the point and keeps within 0 .. 255: a little less than nothing is a whole level. On
 * one channel it changes nothing. */
void sl_pixels_light(struct sl_planes *planes, const float levels[3]);
/* (pixel/255 - mean) / std into NHWC float32 of the planes' own number of channels, left
 * and right exchanged if `mirrored`. */
void sl_pixels_normalise(const struct sl_planes *planes, const float mean[3],
                         const float std[3], bool mirrored, float *dst);

/* ---- recipe (augment.c) ------------------------------------------------------------ */

/* One view's augmentation with its parameters; probabilities of 0 switch a step off. The
 * order is: crop, colour jitter, greyscale, blur, solarise, lighting, flip, normalise. */
struct sl_recipe {
    int size;         /* output height = width */
    int channels;     /* of pictures and views: 3 or 1 */
    bool random;      /* false: the evaluation view */
    bool fast_decode; /* large pictures may be decoded at 1/2, 1/4 or 1/8 of their size,
                         as long as the crop stays larger than the view */
    float crop_min, crop_max; /* area fraction; log-uniform aspect 3/4..4/3; 10 tries,
                                 then torchvision's central fallback */
    bool padded; /* instead: the whole picture fitted to the size, crop_pad black pixels
                    around it, and a crop of the size anywhere in that */
    int crop_pad;
    float jitter_p, brightness, contrast, saturation, hue; /* the four in random order */
    float grey_p;
    float blur_p, blur_min, blur_max;
    float solarise_p;
    bool second; /* view 1 has its own two of these: */
    float second_blur_p, second_solarise_p;
    float lighting; /* deviation of the three coefficients, in grey levels; 0 = off */
    float flip_p;
    float mean[3], std[3];
    /* evaluation view: above 64 px short side to resize_short then centre crop; at or
     * below 64 px plain resize to size x size; pictures already of that size are taken as
     * they are */
    int resize_short;
};
/* `name`: a method's, "none" (crop without jitter… = plain resize, no randomness) or
 * "eval". Small pictures (size <= 64) go without blur. crop_min < 0 = the
 * recipe's own. Those published with SlimCLR, flip .5 and blur's sigma 0.1-2 in all:
 *   mocov2      RRC 0.2-1, CJ(.4,.4,.4,.1) p .8, grey .2, blur .5
 *   mocov3      RRC 0.2-1, CJ(.4,.4,.2,.1) p .8, grey .2, blur 1, second view blur .1 and
 *               solarise .2
 *   simclr      RRC 0.08-1, CJ(.8,.8,.8,.2) p .8, grey .2, blur .5
 *   supervised  RRC 0.08-1, CJ(.4,.4,.4,0) always, lighting .1
 *   padded      padded crop, by an eighth of the size, and flip; jitter has p 0
 * Three channels. SL_ERROR_USAGE for an unknown name. Caller may change fields after. */
enum sl_status sl_recipe_named(struct sl_error *err, const char *name, int size,
                               const float mean[3], const float std[3],
                               struct sl_recipe *recipe);
/* One view of one picture, which has the recipe's channels: a function of its arguments
 * alone. dst: (size, size, channels) float32. The random numbers are those of
 * sl_rng_at(seed, SL_RNG_AUGMENT | view << 16, epoch, sample), in the order of the steps;
 * each step draws a fixed number of them whether or not it applies (the crop's tries
 * excepted), as documented in augment.c. */
enum sl_status sl_augment(struct sl_error *err, const struct sl_recipe *recipe,
                          const struct sl_image *image, uint64_t seed, uint32_t epoch,
                          uint32_t sample, uint32_t view, struct sl_arena *arena,
                          float *dst);

/* What views 0 .. n_views - 1 of a picture of that size look at: the smallest box around
 * their crops, and how far the picture may be reduced (8 unless fast_decode). */
void sl_augment_part(const struct sl_recipe *recipe, int height, int width, uint64_t seed,
                     uint32_t epoch, uint32_t sample, int n_views, struct sl_box *box,
                     int *eighths);
/* sl_augment from a part of the picture that holds the view's crop. */
enum sl_status sl_augment_window(struct sl_error *err, const struct sl_recipe *recipe,
                                 const struct sl_image *image,
                                 const struct sl_window *window, uint64_t seed,
                                 uint32_t epoch, uint32_t sample, uint32_t view,
                                 struct sl_arena *arena, float *dst);

/* ---- picks (pick.c) ---------------------------------------------------------------- */

/* Number of pictures whose class is known. */
int64_t sl_source_labelled(const struct sl_source *source);
/* n labelled pictures, classes as even as the data allow: those that have fewer than
 * their share give all they have, and the others fill up. Keyed by the seed; a larger
 * pick of the same seed holds every smaller one, and that of all labelled pictures is all
 * of them. n from 1 to sl_source_labelled. */
struct sl_pick {
    int64_t n;
    int32_t *ids;       /* ascending */
    int64_t level;      /* of the largest class */
    int64_t smallest;   /* pictures of the class that gives fewest … */
    int smallest_class; /* … and which one that is */
};
enum sl_status sl_pick_create(struct sl_error *err, const struct sl_source *source,
                              int64_t n, uint64_t seed, struct sl_pick *pick);
void sl_pick_finish(struct sl_pick *pick);

/* ---- sampler (sampler.c) ----------------------------------------------------------- */

/* order[0..n) = the permutation of an epoch: Fisher-Yates keyed by (seed, SL_RNG_EPOCH,
 * epoch). */
void sl_sampler_order(uint64_t seed, uint32_t epoch, int64_t n, int32_t *order);

/* ---- loader (loader.c) ------------------------------------------------------------- */

enum sl_bad_policy { SL_BAD_SKIP, SL_BAD_STOP, SL_BAD_GREY };

struct sl_loader_config {
    const struct sl_source *source; /* borrowed */
    struct sl_recipe recipe;        /* the same for every view (MoCo v2) */
    int n_views;
    int batch; /* rows a batch */
    int n_workers;
    int n_slots; /* 0 = n_workers + 2 */
    uint64_t seed;
    bool sequential;    /* evaluation: in order, once, the last batch may be partial */
    int64_t first_step; /* training: global step to begin at; epoch = step / (count /
                           batch) */
    int64_t end_step;   /* one past the last */
    enum sl_bad_policy bad_policy;
    double max_bad; /* fraction of the source (training: of the subset); more distinct
                       damaged pictures than that end the run with SL_ERROR_DATA, at the
                       same batch whatever the workers' timing */
    const int32_t *subset; /* only these pictures (n_subset of them), borrowed;
                              sequential: in this order; NULL = all */
    int64_t n_subset;
};

/* A batch is lent between acquire and release. */
struct sl_batch {
    const float *views[4]; /* (rows, size, size, channels) each */
    const int32_t *labels; /* -1 = none */
    const int32_t *ids; /* the sample each row shows (after replacement of damaged ones)
                         */
    int rows;
    int64_t step, epoch;
};

struct sl_loader;
enum sl_status sl_loader_create(struct sl_error *err,
                                const struct sl_loader_config *config,
                                struct sl_loader **loader);
void sl_loader_destroy(struct sl_loader *loader);
/* Next batch in order; batch->rows = 0 past the end. waited_s: seconds spent waiting. */
enum sl_status sl_loader_acquire(struct sl_error *err, struct sl_loader *loader,
                                 struct sl_batch *batch, double *waited_s);
void sl_loader_release(struct sl_loader *loader);
/* Seconds that workers spent on the rows handed out so far (n_workers of them at once).
 */
struct sl_loader_work {
    int64_t rows;
    double decode_s, augment_s;
};
struct sl_loader_work sl_loader_work(const struct sl_loader *loader);
/* Bytes held. The ring is there from the start and never grows; a worker holds an order
 * of the pictures, and what its largest picture needed, which is known from the start for
 * fixed-size data only. */
struct sl_loader_memory {
    int slots; /* batches in the ring */
    size_t ring, workers;
};
struct sl_loader_memory sl_loader_memory(const struct sl_loader *loader);
/* The same before a loader is made, with workers that met no large picture yet. The
 * source may be NULL: of no pictures. */
struct sl_loader_memory sl_loader_plan_memory(const struct sl_loader_config *config);
/* Distinct damaged pictures met so far in batch order, with the reason of each: for
 * bad_files.txt. A training picture that is damaged is replaced by the next readable one
 * of the epoch's permutation (skip), or shown as grey 128 (grey). In sequential mode
 * damaged ones are left out (skip): rows shrink. */
int64_t sl_loader_bad_count(const struct sl_loader *loader);
const char *sl_loader_bad_name(const struct sl_loader *loader, int64_t i);
const char *sl_loader_bad_reason(const struct sl_loader *loader, int64_t i);
/* Counts a picture that an earlier part of the same run met, before the first batch. */
enum sl_status sl_loader_recall_bad(struct sl_error *err, struct sl_loader *loader,
                                    int32_t id, const char *reason);

/* ---- packing (pack.c) -------------------------------------------------------------- */

/* Pictures into tar shards (WebDataset layout): members 00000012.jpg and, where a label
 * is known, 00000012.cls, by number. The bytes of the shards are a function of pictures
 * and settings, not of workers or of having been stopped in between. */
struct sl_pack_config {
    /* As the sources have them; with one channel colour becomes grey, and a JPEG stays as
     * it is only if it is grey. */
    struct sl_decode_options decode;
    /* One source, or the train and the test part of one DATA, whose members then lie
     * under train/ and val/. Borrowed. */
    const struct sl_source *sources[2];
    int n_sources;
    /* "dir/name": dir/name-000000.tar …, beside them name.pack and, where classes have
     * names, name.classes.txt */
    const char *out;
    int max_side;        /* longer side at most so many pixels; 0 = as it is */
    int quality;         /* of JPEG, 1-100; 0 = JPEG that fits stays as it is, else 95 */
    int64_t shard_bytes; /* a shard ends before it would grow larger */
    int n_workers;
    enum sl_bad_policy bad_policy; /* SL_BAD_SKIP or SL_BAD_STOP */
    double max_bad;
    bool overwrite; /* begin afresh over shards of other settings */
    bool (*stop_requested)(void *context); /* may be NULL */
    void *context;
};
struct sl_pack_result {
    int64_t n_pictures, n_bad, n_shards, n_kept; /* shards that were there already */
    int64_t bytes;
};
/* Goes on after the shards that are finished, when name.pack says they are of the same
 * pictures and settings; SL_ERROR_USAGE when they are not. A shard has its name when it
 * is complete. SL_STOPPED when asked to stop. */
enum sl_status sl_pack(struct sl_error *err, const struct sl_pack_config *config,
                       struct sl_pack_result *result);

/* ---- looking at pictures before they are used (survey.c, findings.c) --------------- */

/* What one picture is, as far as it can be told without a person. */
struct sl_look {
    const char *damage; /* why it is damaged, or NULL; then only facts, bytes, hash count
                         */
    struct sl_file_facts facts; /* format NULL: not stored encoded, or of no known one */
    int64_t bytes;              /* as stored; of its pixels where they are not encoded */
    uint64_t hash;              /* over those bytes and, where not encoded, the sides */
    int height, width, channels;
    bool is_one_colour;
    uint64_t sums[3], squares[3]; /* over all pixels, of the 8-bit values: exact */
};

struct sl_survey_config {
    const struct sl_source *source; /* borrowed */
    struct sl_decode_options decode;
    int n_workers;
    /* Told of each picture on the caller's thread, in the order of the source. */
    enum sl_status (*each)(struct sl_error *err, void *context, int64_t i,
                           const struct sl_look *look);
    void *context;
    /* Asked now and then with the number of pictures told of; false = SL_STOPPED. */
    bool (*go_on)(void *context, int64_t done);
    void *go_on_context;
};
/* Reads and decodes every picture whole, in parallel, with bounded memory: a few pictures
 * for each worker. A damaged one is told of like any other. What `each` is told does not
 * depend on the number of workers. */
enum sl_status sl_survey(struct sl_error *err, const struct sl_survey_config *config);

/* What may be wrong with a picture that can be read. */
enum sl_oddity {
    SL_ODD_TINY,       /* a side below min_side */
    SL_ODD_LONG,       /* one side more than max_aspect times the other */
    SL_ODD_ONE_COLOUR, /* throughout */
    SL_ODD_EXTENSION,  /* its name says another format than its content */
    SL_ODD_DEEP,       /* more than 8 bit: rounded */
    SL_ODD_INK,        /* CMYK: converted */
    SL_ODD_ALPHA,      /* transparent pixels: laid on a colour, or taken as opaque */
    SL_ODDITIES
};

/* What a pass over one or several sources has found: pictures are numbered through. */
struct sl_findings;
struct sl_findings_limits {
    int min_side;
    double max_aspect;
};
enum sl_status sl_findings_create(struct sl_error *err, int64_t n_pictures,
                                  const struct sl_findings_limits *limits,
                                  struct sl_findings **findings);
void sl_findings_destroy(struct sl_findings *findings);
/* Picture i, called in order 0, 1, …; `name` is looked at for its extension. */
enum sl_status sl_findings_add(struct sl_error *err, struct sl_findings *findings,
                               const char *name, const struct sl_look *look);
/* Who can compare the bytes of pictures i and j < i. */
struct sl_comparer {
    enum sl_status (*is_same)(struct sl_error *err, void *context, int64_t i, int64_t j,
                              bool *same);
    void *context;
};
/* After the last: finds pictures of the same bytes. Only those of one hash are put before
 * the comparer: all others differ. */
enum sl_status sl_findings_match(struct sl_error *err, struct sl_findings *findings,
                                 const struct sl_comparer *comparer);

/* One picture of the findings. `of`: the first picture with the same bytes, or -1;
 * damaged ones are not compared. */
struct sl_finding {
    const char *damage;
    int64_t of;
    const char *format; /* of its content, as in sl_file_facts */
    int height, width;
    unsigned int odd; /* bits 1 << enum sl_oddity */
};
struct sl_finding sl_findings_at(const struct sl_findings *findings, int64_t i);
int64_t sl_findings_damaged(const struct sl_findings *findings);
int64_t sl_findings_duplicates(const struct sl_findings *findings);
int64_t sl_findings_odd(const struct sl_findings *findings, enum sl_oddity kind);

/* ---- what pictures are like (tally.c) ---------------------------------------------- */

enum { SL_BINS_MOST = 16, SL_TALLY_FORMATS = 8 };

/* Bin b counts values from edges[b - 1] up to, but without, edges[b]; the first and the
 * last are open. n_edges + 1 bins. */
struct sl_histogram {
    const double *edges;
    int n_edges;
    int64_t counts[SL_BINS_MOST];
};

struct sl_tally_numbers {
    int64_t n, n_damaged; /* damaged pictures count nowhere else */
    int64_t bytes;        /* as stored */
    int64_t wide, tall, square;
    struct sl_histogram sides;   /* short side in pixels */
    struct sl_histogram aspects; /* long side : short side */
    struct sl_histogram sizes;   /* bytes */
    /* By sl_decode_format; the last: not stored encoded. */
    int64_t formats[SL_TALLY_FORMATS + 1];
    double mean[3], std[3]; /* of pixels in [0, 1]; every picture counts alike */
};

struct sl_tally;
enum sl_status sl_tally_create(struct sl_error *err, struct sl_tally **tally);
void sl_tally_destroy(struct sl_tally *tally);
void sl_tally_add(struct sl_tally *tally, const struct sl_look *look);
/* The short side that this share of the pictures stays below: 0.5 = the median. */
int sl_tally_side_at(const struct sl_tally *tally, double share);
struct sl_tally_numbers sl_tally_numbers(const struct sl_tally *tally);

/* ---- pictures for people (sheet.c, png_write.c) ------------------------------------ */

/* Rows of square cells: a picture, then its views. The pixels belong to the arena. */
struct sl_sheet {
    struct sl_image image; /* RGB */
    int view_size, scale, cell;
};
/* SL_ERROR_USAGE when it would be too large. */
enum sl_status sl_sheet_create(struct sl_error *err, struct sl_arena *arena, int n_rows,
                               int n_views, int view_size, struct sl_sheet *sheet);
/* Draws into a row's cells; `arena` is for scratch. */
enum sl_status sl_sheet_original(struct sl_error *err, struct sl_sheet *sheet, int row,
                                 const struct sl_image *image, struct sl_arena *arena);
/* `pixels`: (size, size, channels) as the recipe has normalised them. */
enum sl_status sl_sheet_view(struct sl_error *err, struct sl_sheet *sheet, int row,
                             int view, const float *pixels,
                             const struct sl_recipe *recipe, struct sl_arena *arena);

/* False in a build without a PNG library; writing is then SL_ERROR_USAGE. */
bool sl_png_is_written(void);
/* The file is complete, or as it was. */
enum sl_status sl_png_write(struct sl_error *err, const char *path,
                            const struct sl_image *image);
/* Adds the file's bytes. */
enum sl_status sl_png_encode(struct sl_error *err, const struct sl_image *image,
                             struct sl_text *bytes);
/* The middle square of a picture at side x side pixels, with its number of channels; a
 * smaller picture is not enlarged. In the arena. */
enum sl_status sl_thumbnail(struct sl_error *err, const struct sl_image *image, int side,
                            struct sl_arena *arena, struct sl_image *small);

#endif
