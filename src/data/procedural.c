/* SPDX-License-Identifier: MIT */
/*
 * The built-in picture generator behind "synthetic:". Each picture shows one large
 * object: a shape filled with a texture, on a shaded ground with clutter. The class is
 * shape x texture; colours, contrast, place, scale, rotation, clutter and noise are drawn
 * without looking at it. Invariant: picture i is a function of (seed, part, i), made with
 * + - x / and sqrt on floats and with integers, all of which are exact or correctly
 * rounded everywhere: the bytes are the same on every machine.
 */
#include "data/data_int.h"

#include <math.h>
#include <string.h>

enum { N_TEXTURES = 5, N_SHAPES = 5, CLUTTER_MAX = 5, N_GLOWS = 2, NAME_MAX_BYTES = 32 };

static const char *const texture_names[N_TEXTURES] = {"plain", "striped", "dotted",
                                                      "checked", "speckled"};
static const char *const shape_names[N_SHAPES] = {"disc", "cross", "triangle", "ring",
                                                  "square"};

struct settings {
    int64_t size, n, test, classes, seed;
};

struct procedural {
    struct settings settings;
    uint32_t part;
    char names[N_TEXTURES * N_SHAPES][NAME_MAX_BYTES];
};

/* A turned and scaled frame: (u, v) = scale x rotation x (x - x0, y - y0). */
struct frame {
    float x0, y0, a, b; /* a = scale x cosine, b = scale x sine */
};

/* A soft light or shadow. */
struct glow {
    float x, y, radius, strength;
};

struct spot {
    float x, y, half_x, half_y;
    bool is_round;
    float colour[3];
};

/* All that is drawn from the random numbers, before any pixel is made. */
struct scene {
    int shape, texture;
    struct frame shape_frame, texture_frame;
    float edge; /* width of soft edges, in shape units */
    float ground[3], slope[2], one[3], two[3];
    struct glow glows[N_GLOWS];
    int n_spots;
    struct spot spots[CLUTTER_MAX];
    uint32_t speckle;
};

/* ---- drawing the scene ------------------------------------------------------------- */

static float between(struct sl_rng *rng, float low, float high)
{
    return low + (high - low) * sl_rng_uniform(rng);
}

/* A direction without sine and cosine: a point of the disc, pushed to its rim. */
static struct frame any_frame(struct sl_rng *rng, float x0, float y0, float scale)
{
    float x = 1, y = 0;
    for (int tries = 0; tries < 8; tries++) {
        float px = between(rng, -1, 1), py = between(rng, -1, 1);
        float square = px * px + py * py;
        if (square <= 1 && square > 0.01f) {
            float length = sqrtf(square);
            x = px / length;
            y = py / length;
            break;
        }
    }
    return (struct frame){x0, y0, scale * x, scale * y};
}

/* A colour around a grey level. */
static void any_colour(struct sl_rng *rng, float level, float colour[3])
{
    for (int c = 0; c < 3; c++) {
        colour[c] = level + between(rng, -15, 15);
    }
}

static void draw_spots(struct sl_rng *rng, struct scene *scene)
{
    scene->n_spots = 2 + (int)sl_rng_below(rng, CLUTTER_MAX - 1);
    for (int s = 0; s < scene->n_spots; s++) {
        struct spot *spot = &scene->spots[s];
        spot->x = between(rng, 0, 1);
        spot->y = between(rng, 0, 1);
        spot->half_x = between(rng, 0.04f, 0.12f);
        spot->half_y = between(rng, 0.04f, 0.12f);
        spot->is_round = sl_rng_below(rng, 2) == 0;
        any_colour(rng, between(rng, 20, 235), spot->colour);
    }
}

static void draw_scene(struct sl_rng *rng, int label, int side, struct scene *scene)
{
    /* Ground, and the two colours of the object, lie in three bands of brightness, in any
     * order. */
    static const unsigned char orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                               {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const float lows[3] = {35, 112, 195}, highs[3] = {50, 138, 215};
    memset(scene, 0, sizeof(*scene));
    scene->texture = label % N_TEXTURES;
    scene->shape = label / N_TEXTURES;
    const unsigned char *order = orders[sl_rng_below(rng, 6)];
    float *colours[3] = {scene->ground, scene->one, scene->two};
    for (int k = 0; k < 3; k++) {
        any_colour(rng, between(rng, lows[order[k]], highs[order[k]]), colours[k]);
    }
    scene->slope[0] = between(rng, -60, 60);
    scene->slope[1] = between(rng, -60, 60);
    for (int g = 0; g < N_GLOWS; g++) {
        struct glow *glow = &scene->glows[g];
        glow->x = between(rng, 0, 1);
        glow->y = between(rng, 0, 1);
        glow->radius = between(rng, 0.4f, 0.7f);
        glow->strength = between(rng, -95, 95);
    }
    float radius = between(rng, 0.38f, 0.50f);
    float x0 = between(rng, 0.35f, 0.65f), y0 = between(rng, 0.35f, 0.65f);
    scene->shape_frame = any_frame(rng, x0, y0, 1 / radius);
    float period = between(rng, 0.145f, 0.165f);
    x0 = between(rng, 0, 1);
    y0 = between(rng, 0, 1);
    scene->texture_frame = any_frame(rng, x0, y0, 1 / period);
    scene->edge = 1 / (radius * (float)side);
    scene->speckle = sl_rng_u32(rng);
    draw_spots(rng, scene);
}

/* ---- making pixels ----------------------------------------------------------------- */

static float clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

static float size_of(float value)
{
    return value < 0 ? -value : value;
}

/* Positive inside, about the distance to the outline; the shape fills the unit disc. */
static float shape_at(int shape, float u, float v)
{
    float au = size_of(u), av = size_of(v);
    switch (shape) {
    case 0: /* disc */
        return 1 - sqrtf(u * u + v * v);
    case 1: /* cross */
        return larger(smaller(0.33f - au, 1.05f - av), smaller(0.33f - av, 1.05f - au));
    case 2: /* triangle */
        return 0.6f - larger(v, 0.8660254f * au - 0.5f * v);
    case 3: /* ring */
        return 0.24f - size_of(sqrtf(u * u + v * v) - 0.76f);
    default: /* square */
        return 0.8f - larger(au, av);
    }
}

/* u less the whole number below it. */
static float fraction(float u)
{
    float whole = (float)(int32_t)u;
    return u < whole ? u - whole + 1 : u - whole;
}

/* 0 in the middle of one half of the period, 1 in the middle of the other. */
static float wave(float u)
{
    return size_of(2 * fraction(u) - 1);
}

/* One of two values for a cell of the plane. */
static float cell_at(uint32_t key, float u, float v)
{
    uint32_t x = (uint32_t)(int32_t)(u - fraction(u));
    uint32_t y = (uint32_t)(int32_t)(v - fraction(v));
    uint32_t mixed = (x * 0x9e3779b1u) ^ (y * 0x85ebca77u) ^ key;
    mixed = (mixed ^ (mixed >> 15)) * 0x2c1b3c6du;
    mixed = (mixed ^ (mixed >> 12)) * 0x297a2d39u;
    return (mixed >> 31) != 0 ? 1.0f : 0.0f;
}

/* How much of the second colour shows, 0 to 1. */
static float texture_at(const struct scene *scene, float u, float v)
{
    switch (scene->texture) {
    case 0: /* plain */
        return 0;
    case 1: /* stripes */
        return clamp((wave(u * 0.7f) - 0.5f) * 6 + 0.5f, 0, 1);
    case 2: { /* dots */
        float du = fraction(u) - 0.5f, dv = fraction(v) - 0.5f;
        return clamp((0.24f - sqrtf(du * du + dv * dv)) * 5 + 0.5f, 0, 1);
    }
    case 3: /* checks */
        return clamp((wave(u * 0.8f) - 0.5f) * (wave(v * 0.8f) - 0.5f) * 14 + 0.5f, 0, 1);
    default: /* speckles */
        return cell_at(scene->speckle, u * 4, v * 4);
    }
}

static float spot_at(const struct spot *spot, float x, float y, float side)
{
    float du = size_of(x - spot->x), dv = size_of(y - spot->y);
    float inside = spot->is_round ? spot->half_x - sqrtf(du * du + dv * dv)
                                  : smaller(spot->half_x - du, spot->half_y - dv);
    return clamp(inside * side + 0.5f, 0, 1);
}

static void pixel_at(const struct scene *scene, float x, float y, float side,
                     float colour[3])
{
    float shade = scene->slope[0] * (x - 0.5f) + scene->slope[1] * (y - 0.5f);
    for (int g = 0; g < N_GLOWS; g++) {
        const struct glow *glow = &scene->glows[g];
        float gx = x - glow->x, gy = y - glow->y;
        float fall = 1 - (gx * gx + gy * gy) / (glow->radius * glow->radius);
        shade += glow->strength * larger(fall, 0);
    }
    for (int c = 0; c < 3; c++) {
        colour[c] = scene->ground[c] + shade;
    }
    const struct frame *f = &scene->shape_frame;
    float dx = x - f->x0, dy = y - f->y0;
    float inside = shape_at(scene->shape, f->a * dx + f->b * dy, f->a * dy - f->b * dx);
    float cover = clamp(inside / scene->edge + 0.5f, 0, 1);
    for (int s = 0; cover < 1 && s < scene->n_spots; s++) {
        float part = spot_at(&scene->spots[s], x, y, side);
        for (int c = 0; c < 3; c++) {
            colour[c] += part * (scene->spots[s].colour[c] - colour[c]);
        }
    }
    if (cover > 0) {
        f = &scene->texture_frame;
        dx = x - f->x0;
        dy = y - f->y0;
        float mix = texture_at(scene, f->a * dx + f->b * dy, f->a * dy - f->b * dx);
        for (int c = 0; c < 3; c++) {
            float object =
                scene->one[c] + 0.3f * shade + mix * (scene->two[c] - scene->one[c]);
            colour[c] += cover * (object - colour[c]);
        }
    }
}

static enum sl_status read_procedural(struct sl_error *err,
                                      const struct sl_reader *reader, int64_t i,
                                      struct sl_arena *arena, struct sl_image *image)
{
    const struct procedural *procedural = reader->state;
    int side = reader->height;
    struct scene scene;
    struct sl_rng rng = sl_rng_at((uint64_t)procedural->settings.seed, SL_RNG_SYNTHETIC,
                                  procedural->part, (uint32_t)i);
    draw_scene(&rng, (int)(i % procedural->settings.classes), side, &scene);
    SL_TRY(sl_image_alloc(err, arena, side, side, 3, image));
    unsigned char *dst = image->pixels;
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            float colour[3];
            uint32_t grain = sl_rng_u32(&rng);
            pixel_at(&scene, ((float)x + 0.5f) / (float)side,
                     ((float)y + 0.5f) / (float)side, (float)side, colour);
            for (int c = 0; c < 3; c++) {
                float noise = ((float)((grain >> (8 * c)) & 255u) - 127.5f) * 0.03125f;
                *dst++ = (unsigned char)clamp(colour[c] + noise + 0.5f, 0, 255);
            }
        }
    }
    return SL_OK;
}

/* ---- the other questions ----------------------------------------------------------- */

static void name_procedural(const struct sl_reader *reader, int64_t i, char *dst,
                            size_t size)
{
    const struct procedural *procedural = reader->state;
    snprintf(dst, size, "synthetic-%s#%lld",
             procedural->part == SL_PART_TRAIN ? "train" : "test", (long long)i);
}

static int label_procedural(const struct sl_reader *reader, int64_t i)
{
    const struct procedural *procedural = reader->state;
    return (int)(i % procedural->settings.classes);
}

static const char *class_name_procedural(const struct sl_reader *reader, int label)
{
    const struct procedural *procedural = reader->state;
    return procedural->names[label];
}

static const char *word_procedural(const struct sl_reader *reader)
{
    (void)reader;
    return "synthetic";
}

static void close_procedural(struct sl_reader *reader)
{
    sl_heap_free(reader->state);
    reader->state = NULL;
}

static const struct sl_reader_kind procedural_kind = {
    .read = read_procedural,
    .name = name_procedural,
    .label = label_procedural,
    .class_name = class_name_procedural,
    .word = word_procedural,
    .mean_std = sl_mean_std_imagenet,
    .close = close_procedural,
};

/* ---- opening ----------------------------------------------------------------------- */

static const char prefix[] = "synthetic:";

bool sl_procedural_is(const char *data)
{
    return strncmp(data, prefix, sizeof(prefix) - 1) == 0;
}

struct setting {
    const char *key;
    int64_t low, high;
};
static const struct setting known[] = {
    {"size", 8, 1024},
    {"n", 1, 100 * 1000 * 1000},
    {"test", 1, 100 * 1000 * 1000},
    {"classes", 2, N_TEXTURES *N_SHAPES},
    {"seed", 0, INT64_MAX},
};

/* One "key=value" of the list. */
static enum sl_status read_setting(struct sl_error *err, const char *data,
                                   const char *item, size_t length,
                                   struct settings *settings)
{
    int64_t *const targets[] = {&settings->size, &settings->n, &settings->test,
                                &settings->classes, &settings->seed};
    char text[64];
    if (length >= sizeof(text)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%s: a setting is longer than %d letters",
                       data, (int)sizeof(text) - 1);
    }
    memcpy(text, item, length);
    text[length] = '\0';
    char *equals = strchr(text, '=');
    if (equals != NULL) {
        *equals = '\0';
    }
    for (int k = 0; k < SL_COUNT(known) && equals != NULL; k++) {
        if (strcmp(text, known[k].key) != 0) {
            continue;
        }
        int64_t value = 0;
        if (!sl_parse_int(equals + 1, &value) || value < known[k].low ||
            value > known[k].high) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "%s: %s must be a whole number from %lld to %lld (seen: %s)",
                           data, text, (long long)known[k].low, (long long)known[k].high,
                           equals + 1);
        }
        *targets[k] = value;
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "%s: '%s' is not a setting; write synthetic:size=32,n=20000,test=2000,"
                   "classes=10,seed=1 or leave any of them out",
                   data, text);
}

static enum sl_status read_settings(struct sl_error *err, const char *data,
                                    struct settings *settings)
{
    *settings =
        (struct settings){.size = 32, .n = 20000, .test = 2000, .classes = 10, .seed = 1};
    const char *item = data + sizeof(prefix) - 1;
    while (*item != '\0') {
        size_t length = strcspn(item, ",");
        SL_TRY(read_setting(err, data, item, length, settings));
        item += length;
        item += *item == ',' ? 1 : 0;
    }
    return SL_OK;
}

enum sl_status sl_procedural_open(struct sl_error *err, const char *data,
                                  enum sl_part part, struct sl_reader *reader)
{
    struct procedural *procedural = NULL;
    *reader = (struct sl_reader){.kind = &procedural_kind};
    SL_TRY(sl_heap_alloc(err, "generator", 1, sizeof(*procedural), &procedural));
    reader->state = procedural;
    SL_TRY(read_settings(err, data, &procedural->settings));
    procedural->part = (uint32_t)part;
    reader->height = reader->width = (int)procedural->settings.size;
    reader->count =
        part == SL_PART_TRAIN ? procedural->settings.n : procedural->settings.test;
    reader->n_classes = (int)procedural->settings.classes;
    for (int c = 0; c < reader->n_classes; c++) {
        snprintf(procedural->names[c], NAME_MAX_BYTES, "%s %s",
                 texture_names[c % N_TEXTURES], shape_names[c / N_TEXTURES]);
    }
    uint64_t words[4] = {(uint64_t)procedural->settings.size,
                         (uint64_t)procedural->settings.classes,
                         (uint64_t)procedural->settings.seed, (uint64_t)part};
    reader->fingerprint = sl_hash(SL_HASH_START, words, sizeof(words));
    reader->fingerprint =
        sl_hash(reader->fingerprint, &reader->count, sizeof(reader->count));
    return SL_OK;
}
