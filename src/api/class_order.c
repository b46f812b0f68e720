/* SPDX-License-Identifier: MIT */
/*
 * Classes by name: those of data, as a checkpoint keeps them, and those of pictures to
 * judge by among those that were learned. Where a side knows its classes by number alone,
 * or not at all, their order is taken on trust, and that is said.
 */
#include "api_int.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN = 5 /* names in a message */ };

enum sl_status api_classes_of(struct sl_error *err, const struct sl_source *source,
                              struct sl_classes *classes)
{
    int n = sl_source_classes(source);
    *classes = (struct sl_classes){0};
    SL_TRY(sl_heap_alloc(err, "names of classes", n, sizeof(char *), &classes->names));
    for (classes->n = 0; classes->n < n; classes->n++) {
        classes->names[classes->n] = sl_source_class_name(source, classes->n);
    }
    return SL_OK;
}

/* Whether the names are the numbers that stand in for names. */
static bool are_numbers(const struct sl_classes *classes)
{
    for (int i = 0; i < classes->n; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", i);
        if (strcmp(classes->names[i], number) != 0) {
            return false;
        }
    }
    return true;
}

/* Whether the first of `all`, or all of them, are those of `first`, in their order. */
static bool begin_with(const struct sl_classes *all, const struct sl_classes *first)
{
    for (int i = 0; i < first->n && i < all->n; i++) {
        if (strcmp(all->names[i], first->names[i]) != 0) {
            return false;
        }
    }
    return first->n <= all->n;
}

bool api_classes_are_same(const struct sl_classes *a, const struct sl_classes *b)
{
    return a->n == b->n && begin_with(a, b);
}

struct place {
    const char *name;
    int at;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static enum sl_status sort(struct sl_error *err, const struct sl_classes *classes,
                           struct place **places)
{
    SL_TRY(sl_heap_alloc(err, "names of classes", classes->n, sizeof **places, places));
    for (int i = 0; i < classes->n; i++) {
        (*places)[i] = (struct place){classes->names[i], i};
    }
    qsort(*places, (size_t)classes->n, sizeof **places, compare_places);
    return SL_OK;
}

/* The first of the classes, for a person who has to compare them with others. */
static void list_names(const struct sl_classes *classes, char *dst, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < classes->n && i < SHOWN && at < size; i++) {
        char name[64];
        api_path_text(name, sizeof name, classes->names[i]);
        at += (size_t)snprintf(dst + at, size - at, "%s'%s'", i > 0 ? ", " : "", name);
    }
    if (classes->n > SHOWN && at < size) {
        (void)snprintf(dst + at, size - at, " and %d more", classes->n - SHOWN);
    }
}

/* Where in `has` each of `n` classes stands, both sorted; the first that is not there, or
 * that two of them are called, is told of. */
static enum sl_status pair(struct sl_error *err, const char *data, const char *owner,
                           const struct sl_classes *has, const struct place *theirs,
                           const struct place *ours, int n, int *numbers)
{
    char name[96];
    char names[480] = "";
    for (int i = 0; i < n; i++) {
        struct place *found =
            bsearch(&ours[i], theirs, (size_t)has->n, sizeof *theirs, compare_places);
        bool is_double = i > 0 && strcmp(ours[i].name, ours[i - 1].name) == 0;
        api_path_text(name, sizeof name, ours[i].name);
        if (found == NULL) {
            list_names(has, names, sizeof names);
            return SL_FAIL(err, SL_ERROR_DATA,
                           "%s: class '%s' is none of those of %s (%s); give data whose "
                           "classes are among them",
                           data, name, owner, names);
        }
        if (is_double) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "%s: two classes are called '%s', and the classes stand in "
                           "another order than in %s: which is which cannot be told; "
                           "give each its own name",
                           data, name, owner);
        }
        numbers[ours[i].at] = found->at;
    }
    return SL_OK;
}

enum sl_status api_classes_find(struct sl_error *err, const struct sl_classes *has,
                                const char *owner, const struct sl_source *source,
                                const char *data, int **numbers)
{
    enum sl_status status = SL_OK;
    struct sl_classes wants = {0};
    struct place *theirs = NULL;
    struct place *ours = NULL;
    *numbers = NULL;
    SL_TRY_OUT(api_classes_of(err, source, &wants));
    if (has->n == 0) {
        sl_log(SL_LOG_WARNING,
               "%s does not say what its classes are called: that those of %s stand in "
               "the same order is taken on trust",
               owner, data);
        goto out;
    }
    if (begin_with(has, &wants)) {
        goto out;
    }
    SL_TRY_OUT(
        sl_heap_alloc(err, "order of classes", wants.n, sizeof **numbers, numbers));
    SL_TRY_OUT(sort(err, has, &theirs));
    SL_TRY_OUT(sort(err, &wants, &ours));
    status = pair(err, data, owner, has, theirs, ours, wants.n, *numbers);
    if (status == SL_OK) {
        char have[48] = "them in another order than";
        if (wants.n < has->n) {
            (void)snprintf(have, sizeof have, "%d of the %d of", wants.n, has->n);
        }
        sl_log(SL_LOG_INFO, "classes: %s has %s %s; taken by their names", data, have,
               owner);
    } else if (wants.n == has->n && (are_numbers(has) || are_numbers(&wants))) {
        status = SL_OK;
        sl_error_clear(err);
        sl_heap_free(*numbers);
        *numbers = NULL;
        sl_log(SL_LOG_WARNING,
               "%s knows its classes by number alone: that they stand in the order of "
               "those of %s is taken on trust",
               are_numbers(has) ? owner : data, are_numbers(has) ? data : owner);
    }
out:
    if (status != SL_OK) {
        sl_heap_free(*numbers);
        *numbers = NULL;
    }
    sl_heap_free(theirs);
    sl_heap_free(ours);
    sl_classes_finish(&wants);
    return status;
}
