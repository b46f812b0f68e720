/* SPDX-License-Identifier: MIT */
/*
 * The queue of old keys, which a method remembers between steps. It is device memory
 * owned by the method; only the write position lives on the host. Batches divide the
 * capacity, so a push is one copy and never wraps inside a batch.
 */
#include "learn/learn_int.h"

#include <math.h>

enum sl_status sl_queue_fill(struct sl_error *err, struct sl_queue *queue, uint64_t seed)
{
    int64_t count;
    if (!sl_mul_checked(queue->capacity, queue->dim, &count)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "queue: %lld rows of %lld do not fit in memory; lower --moco-k",
                       (long long)queue->capacity, (long long)queue->dim);
    }
    float *rows = NULL;
    SL_TRY(sl_heap_alloc(err, "start of the queue", count, sizeof(float), &rows));
    sl_rng_fill_normal(seed, SL_RNG_QUEUE, 0, 1.0F, count, rows);
    for (int64_t i = 0; i < queue->capacity; i++) {
        float *row = rows + i * queue->dim;
        double squares = 0;
        for (int64_t j = 0; j < queue->dim; j++) {
            squares += (double)row[j] * row[j];
        }
        double length = fmax(sqrt(squares), 1e-12);
        for (int64_t j = 0; j < queue->dim; j++) {
            row[j] = (float)(row[j] / length);
        }
    }
    queue->device->table->put(queue->device->state, queue->rows, rows,
                              (size_t)count * sizeof(float));
    sl_heap_free(rows);
    queue->position = 0;
    return SL_OK;
}

void sl_queue_push(struct sl_queue *queue, const float *keys, int64_t n)
{
    SL_ASSERT(queue->position >= 0 && queue->position + n <= queue->capacity);
    queue->device->table->copy(queue->device->state,
                               queue->rows + queue->position * queue->dim, keys,
                               (size_t)(n * queue->dim) * sizeof(float));
    queue->position = (queue->position + n) % queue->capacity;
}
