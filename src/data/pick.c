/* SPDX-License-Identifier: MIT */
/*
 * Which pictures keep their labels when only some may: a pick that takes classes evenly,
 * as judging with few labels wants it. A function of labels, number and seed alone; a
 * larger pick of the same seed holds every smaller one.
 */
#include "data/data_int.h"

#include <stdlib.h>

enum { PICK_ORDER = 2, PICK_CLASSES = 3 }; /* `a` of SL_RNG_LIMIT; others: source.c */

/* Labelled pictures sorted by class: those of class c stand from begin[c] to begin[c+1].
 */
struct classes {
    int n;
    int64_t *begin; /* n + 1 */
    int32_t *members;
    int32_t *order; /* of the classes: who takes one more */
};

static void finish_classes(struct classes *classes)
{
    sl_heap_free(classes->begin);
    sl_heap_free(classes->members);
    sl_heap_free(classes->order);
}

static int64_t size_of(const struct classes *classes, int c)
{
    return classes->begin[c + 1] - classes->begin[c];
}

int64_t sl_source_labelled(const struct sl_source *source)
{
    int64_t n = 0;
    for (int64_t i = 0; i < sl_source_count(source); i++) {
        n += sl_source_label(source, i) >= 0;
    }
    return n;
}

/* Each class's pictures in a keyed order, and the classes in one. */
static enum sl_status sort_classes(struct sl_error *err, const struct sl_source *source,
                                   uint64_t seed, struct classes *classes)
{
    int64_t count = sl_source_count(source);
    int64_t labelled = sl_source_labelled(source);
    int n = sl_source_classes(source);
    classes->n = n;
    SL_TRY(sl_heap_alloc(err, "sizes of classes", (int64_t)n + 2, sizeof(*classes->begin),
                         &classes->begin));
    SL_TRY(sl_heap_alloc(err, "members of classes", labelled, sizeof(*classes->members),
                         &classes->members));
    SL_TRY(sl_heap_alloc(err, "order of classes", n, sizeof(*classes->order),
                         &classes->order));
    /* begin[c + 2] counts class c, then begin[c + 1] is where its next member goes. */
    for (int64_t i = 0; i < count; i++) {
        int label = sl_source_label(source, i);
        classes->begin[label + 2] += label >= 0;
    }
    for (int c = 1; c <= n; c++) {
        classes->begin[c + 1] += classes->begin[c];
    }
    for (int64_t i = 0; i < count; i++) {
        int label = sl_source_label(source, i);
        if (label >= 0) {
            classes->members[classes->begin[label + 1]++] = (int32_t)i;
        }
    }
    for (int c = 0; c < n; c++) {
        struct sl_rng rng = sl_rng_at(seed, SL_RNG_LIMIT, PICK_ORDER, (uint32_t)c);
        sl_rng_shuffle(&rng, classes->members + classes->begin[c], size_of(classes, c));
        classes->order[c] = c;
    }
    struct sl_rng rng = sl_rng_at(seed, SL_RNG_LIMIT, PICK_CLASSES, 0);
    sl_rng_shuffle(&rng, classes->order, n);
    return SL_OK;
}

/* How many pictures all classes together give when none gives more than `level`. */
static int64_t taken_at(const struct classes *classes, int64_t level)
{
    int64_t taken = 0;
    for (int c = 0; c < classes->n; c++) {
        int64_t size = size_of(classes, c);
        taken += size < level ? size : level;
    }
    return taken;
}

/* The highest level that takes no more than n. */
static int64_t level_of(const struct classes *classes, int64_t n)
{
    int64_t low = 0;
    int64_t high = 0; /* of the largest class: beyond it nothing changes */
    for (int c = 0; c < classes->n; c++) {
        high = size_of(classes, c) > high ? size_of(classes, c) : high;
    }
    while (low < high) {
        int64_t middle = high - (high - low) / 2;
        if (taken_at(classes, middle) <= n) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

static int by_number(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

/* Every class gives as many as the level says, or all it has; what is left over comes one
 * by one from classes that have more, in their keyed order. */
static void take(const struct classes *classes, int64_t n, struct sl_pick *pick)
{
    int64_t level = level_of(classes, n);
    int64_t rest = n - taken_at(classes, level);
    pick->level = level + (rest > 0 ? 1 : 0);
    pick->smallest = INT64_MAX;
    for (int k = 0; k < classes->n; k++) {
        int c = classes->order[k];
        int64_t size = size_of(classes, c);
        int64_t give = size < level ? size : level;
        if (size > level && rest > 0) {
            give++;
            rest--;
        }
        for (int64_t i = 0; i < give; i++) {
            pick->ids[pick->n++] = classes->members[classes->begin[c] + i];
        }
        if (give < pick->smallest) {
            pick->smallest = give;
            pick->smallest_class = c;
        }
    }
    qsort(pick->ids, (size_t)pick->n, sizeof(*pick->ids), by_number);
}

enum sl_status sl_pick_create(struct sl_error *err, const struct sl_source *source,
                              int64_t n, uint64_t seed, struct sl_pick *pick)
{
    enum sl_status status = SL_OK;
    struct classes classes = {0};
    *pick = (struct sl_pick){0};
    SL_ASSERT(n >= 1 && n <= sl_source_labelled(source));
    SL_TRY_OUT(sort_classes(err, source, seed, &classes));
    SL_TRY_OUT(sl_heap_alloc(err, "pick", n, sizeof(*pick->ids), &pick->ids));
    take(&classes, n, pick);
out:
    finish_classes(&classes);
    return status;
}

void sl_pick_finish(struct sl_pick *pick)
{
    sl_heap_free(pick->ids);
    *pick = (struct sl_pick){0};
}
