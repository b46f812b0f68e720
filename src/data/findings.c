/* SPDX-License-Identifier: MIT */
/*
 * What may be wrong with a set of pictures: damage, the same bytes twice, and what is odd
 * about each. Kept as one small row a picture, so that a million of them take some 45 MB;
 * how it is shown is left to others. Invariant: the findings are a function of the looks
 * and their order.
 */
#include "data/data_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct row {
    uint64_t hash;
    int64_t of; /* the first picture of these bytes, or -1; or the place among `damages`
                 */
    const char *format;
    int height, width;
    unsigned int odd;
    bool is_damaged;
};

struct sl_findings {
    struct sl_findings_limits limits;
    struct row *rows;
    int64_t n, most;
    struct sl_arena *texts;
    int64_t n_damaged, n_duplicates, n_odd[SL_ODDITIES];
    const char **damages; /* texts in the arena */
    int64_t damages_most;
};

/* ---- one picture ------------------------------------------------------------------- */

/* False only when the name has an extension of another format than the content's. */
static bool is_named_rightly(const char *name, const char *format)
{
    static const char *const kinds[][2] = {
        {".jpg", "jpeg"}, {".jpeg", "jpeg"}, {".jpe", "jpeg"}, {".jfif", "jpeg"},
        {".png", "png"},  {".webp", "webp"}, {".bmp", "bmp"},  {".dib", "bmp"},
        {".tif", "tiff"}, {".tiff", "tiff"}, {".pbm", "pnm"},  {".pgm", "pnm"},
        {".ppm", "pnm"},  {".pnm", "pnm"}};
    const char *dot = strrchr(name, '.');
    for (int i = 0; i < SL_COUNT(kinds) && dot != NULL && format != NULL; i++) {
        if (strcasecmp(dot, kinds[i][0]) == 0) {
            return strcmp(format, kinds[i][1]) == 0;
        }
    }
    return true;
}

static unsigned int oddities(const struct sl_findings_limits *limits, const char *name,
                             const struct sl_look *look)
{
    int shorter = look->height < look->width ? look->height : look->width;
    int longer = look->height < look->width ? look->width : look->height;
    const bool is_odd[SL_ODDITIES] = {
        [SL_ODD_TINY] =
            shorter<limits->min_side, [SL_ODD_LONG] = (double)longer> limits->max_aspect *
            shorter,
        [SL_ODD_ONE_COLOUR] = look->is_one_colour,
        [SL_ODD_EXTENSION] = !is_named_rightly(name, look->facts.format),
        [SL_ODD_DEEP] = look->facts.is_deep,
        [SL_ODD_INK] = look->facts.has_ink,
        [SL_ODD_ALPHA] = look->facts.has_alpha,
    };
    unsigned int bits = 0;
    for (int kind = 0; kind < SL_ODDITIES; kind++) {
        bits |= is_odd[kind] ? 1u << kind : 0u;
    }
    return bits;
}

static enum sl_status add_damage(struct sl_error *err, struct sl_findings *findings,
                                 const char *damage)
{
    if (findings->n_damaged == findings->damages_most) {
        int64_t most = findings->damages_most > 0 ? findings->damages_most * 2 : 64;
        const char **grown = NULL;
        SL_TRY(sl_heap_alloc(err, "damaged pictures", most, sizeof(*grown), &grown));
        if (findings->n_damaged > 0) {
            memcpy(grown, findings->damages,
                   (size_t)findings->n_damaged * sizeof(*grown));
        }
        sl_heap_free(findings->damages);
        findings->damages = grown;
        findings->damages_most = most;
    }
    return sl_arena_text(err, findings->texts, damage,
                         &findings->damages[findings->n_damaged++]);
}

enum sl_status sl_findings_add(struct sl_error *err, struct sl_findings *findings,
                               const char *name, const struct sl_look *look)
{
    SL_ASSERT(findings->n < findings->most);
    struct row *row = &findings->rows[findings->n++];
    *row = (struct row){.hash = look->hash,
                        .of = -1,
                        .format = look->facts.format,
                        .height = look->height,
                        .width = look->width,
                        .is_damaged = look->damage != NULL};
    if (row->is_damaged) {
        row->of = findings->n_damaged;
        return add_damage(err, findings, look->damage);
    }
    row->odd = oddities(&findings->limits, name, look);
    for (int kind = 0; kind < SL_ODDITIES; kind++) {
        findings->n_odd[kind] += row->odd >> kind & 1u;
    }
    return SL_OK;
}

/* ---- the same bytes ---------------------------------------------------------------- */

struct key {
    uint64_t hash;
    int64_t i;
};

static int by_hash(const void *a, const void *b)
{
    const struct key *left = a, *right = b;
    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return left->i < right->i ? -1 : left->i > right->i ? 1 : 0;
}

/* The n pictures of one hash, in order: each is held against those of them that differ
 * from all before, which is one but for accidents and malice. */
static enum sl_status match_equals(struct sl_error *err, struct sl_findings *findings,
                                   const struct key *keys, int64_t n,
                                   const struct sl_comparer *comparer)
{
    for (int64_t k = 1; k < n; k++) {
        struct row *row = &findings->rows[keys[k].i];
        for (int64_t m = 0; m < k && row->of < 0; m++) {
            bool same = false;
            if (findings->rows[keys[m].i].of < 0) {
                SL_TRY(comparer->is_same(err, comparer->context, keys[k].i, keys[m].i,
                                         &same));
            }
            row->of = same ? keys[m].i : -1;
        }
        findings->n_duplicates += row->of >= 0;
    }
    return SL_OK;
}

enum sl_status sl_findings_match(struct sl_error *err, struct sl_findings *findings,
                                 const struct sl_comparer *comparer)
{
    struct key *keys = NULL;
    int64_t n = 0;
    enum sl_status status = SL_OK;
    SL_TRY(sl_heap_alloc(err, "hashes of pictures", findings->n, sizeof(*keys), &keys));
    for (int64_t i = 0; i < findings->n; i++) {
        if (!findings->rows[i].is_damaged) {
            keys[n++] = (struct key){findings->rows[i].hash, i};
        }
    }
    qsort(keys, (size_t)n, sizeof(*keys), by_hash);
    for (int64_t first = 0, end = 0; first < n && status == SL_OK; first = end) {
        while (end < n && keys[end].hash == keys[first].hash) {
            end++;
        }
        status = match_equals(err, findings, keys + first, end - first, comparer);
    }
    sl_heap_free(keys);
    return status;
}

/* ---- outside ----------------------------------------------------------------------- */

enum sl_status sl_findings_create(struct sl_error *err, int64_t n_pictures,
                                  const struct sl_findings_limits *limits,
                                  struct sl_findings **findings)
{
    struct sl_findings *made = NULL;
    *findings = NULL;
    SL_TRY(sl_heap_alloc(err, "findings", 1, sizeof(*made), &made));
    made->limits = *limits;
    made->most = n_pictures;
    enum sl_status status =
        sl_heap_alloc(err, "findings", n_pictures, sizeof(*made->rows), &made->rows);
    if (status == SL_OK) {
        status = sl_arena_create(err, 4096, &made->texts);
    }
    if (status != SL_OK) {
        sl_findings_destroy(made);
        return status;
    }
    *findings = made;
    return SL_OK;
}

void sl_findings_destroy(struct sl_findings *findings)
{
    if (findings != NULL) {
        sl_heap_free(findings->rows);
        sl_heap_free(findings->damages);
        sl_arena_destroy(findings->texts);
        sl_heap_free(findings);
    }
}

struct sl_finding sl_findings_at(const struct sl_findings *findings, int64_t i)
{
    SL_ASSERT(i >= 0 && i < findings->n);
    const struct row *row = &findings->rows[i];
    return (struct sl_finding){
        .damage = row->is_damaged ? findings->damages[row->of] : NULL,
        .of = row->is_damaged ? -1 : row->of,
        .format = row->format,
        .height = row->height,
        .width = row->width,
        .odd = row->odd,
    };
}

int64_t sl_findings_damaged(const struct sl_findings *findings)
{
    return findings->n_damaged;
}

int64_t sl_findings_duplicates(const struct sl_findings *findings)
{
    return findings->n_duplicates;
}

int64_t sl_findings_odd(const struct sl_findings *findings, enum sl_oddity kind)
{
    return findings->n_odd[kind];
}
