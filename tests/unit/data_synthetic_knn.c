/* SPDX-License-Identifier: MIT */
/*
 * The built-in pictures must not be told apart by plain pixels: weighted nearest
 * neighbours (k 200, T 0.1) on mean-centred raw pixels of the default 20,000 pictures
 * stay at or below 25 %, yet above chance, since the pictures do show their class.
 */
#include "backend/backend.h"
#include "unit/data_testkit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    N_TRAIN = 20000,
    N_TEST = 500,
    DIM = 32 * 32 * 3,
    BLOCK = 25,
    K = 200,
    CLASSES = 10
};

static float *pixels_of(const struct sl_source *source, int n)
{
    float *all = NULL;
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    assert_int_equal(sl_heap_alloc(&err, "pixels", (int64_t)n * DIM, sizeof(float), &all),
                     SL_OK);
    for (int i = 0; i < n; i++) {
        struct sl_image image;
        sl_arena_reset_all(arena);
        assert_int_equal(sl_source_read(&err, source, i, arena, &image), SL_OK);
        for (int d = 0; d < DIM; d++) {
            all[(int64_t)i * DIM + d] = image.pixels[d];
        }
    }
    sl_arena_destroy(arena);
    return all;
}

static void centre(float *rows, int n, const float *mean)
{
    for (int i = 0; i < n; i++) {
        float *row = rows + (int64_t)i * DIM;
        double squares = 0.0;
        for (int d = 0; d < DIM; d++) {
            row[d] -= mean[d];
            squares += (double)row[d] * (double)row[d];
        }
        float scale = (float)(1.0 / sqrt(squares));
        for (int d = 0; d < DIM; d++) {
            row[d] *= scale;
        }
    }
}

static int descending(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return left > right ? -1 : left < right ? 1 : 0;
}

/* Votes of all neighbours at least as near as the K-th. */
static int vote(const float *cosines, const int *labels)
{
    static float sorted[N_TRAIN];
    double scores[CLASSES] = {0};
    int best = 0;
    memcpy(sorted, cosines, sizeof(sorted));
    qsort(sorted, N_TRAIN, sizeof(float), descending);
    for (int i = 0; i < N_TRAIN; i++) {
        if (cosines[i] >= sorted[K - 1]) {
            scores[labels[i]] += exp((double)cosines[i] / 0.1);
        }
    }
    for (int c = 1; c < CLASSES; c++) {
        best = scores[c] > scores[best] ? c : best;
    }
    return best;
}

static void test_raw_pixels(void **state)
{
    (void)state;
    struct sl_source *train = kit_open("synthetic:", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("synthetic:", SL_PART_TEST, false);
    static float mean[DIM], cosines[BLOCK][N_TRAIN];
    static int labels[N_TRAIN];
    float *bank = pixels_of(train, N_TRAIN), *queries = pixels_of(test, N_TEST);
    struct sl_error err = {0};
    struct sl_device device; /* for the products, which sanitizers would slow tenfold */
    int n_right = 0;
    assert_int_equal(sl_device_open(&err, "auto", NULL, &device), SL_OK);
    for (int i = 0; i < N_TRAIN; i++) {
        labels[i] = sl_source_label(train, i);
        for (int d = 0; d < DIM; d++) {
            mean[d] += bank[(int64_t)i * DIM + d] / N_TRAIN;
        }
    }
    centre(bank, N_TRAIN, mean);
    centre(queries, N_TEST, mean);
    for (int first = 0; first < N_TEST; first += BLOCK) {
        device.table->gemm(device.state, false, true, BLOCK, N_TRAIN, DIM, 1.0F,
                           queries + (int64_t)first * DIM, DIM, bank, DIM, 0.0F,
                           &cosines[0][0], N_TRAIN);
        for (int q = 0; q < BLOCK; q++) {
            n_right += vote(cosines[q], labels) == sl_source_label(test, first + q);
        }
    }
    print_message("raw pixels: %.1f %%\n", 100.0 * n_right / N_TEST);
    assert_in_range(n_right, N_TEST / 10, N_TEST / 4);
    sl_device_close(&device);
    sl_heap_free(bank);
    sl_heap_free(queries);
    sl_source_close(train);
    sl_source_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_raw_pixels)};
    return cmocka_run_group_tests_name("data_synthetic_knn", tests, NULL, NULL);
}
