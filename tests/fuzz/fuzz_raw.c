/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the raw record formats: the first byte says which (IDX pictures, IDX
 * labels, the same gzipped, CIFAR-10, CIFAR-100), the rest is the file. What is accepted
 * must be sound: sizes that fit the bytes at hand, labels within the classes.
 */
#include "data/data_int.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void try_idx(const uint8_t *bytes, int64_t size, int n_dims)
{
    struct sl_error err = {0};
    struct sl_idx_header header;
    enum sl_status status = sl_idx_parse(&err, "input", bytes, size, n_dims, &header);
    if (status == SL_OK) {
        status = sl_idx_check_size(&err, "input", size, &header);
    }
    if (status != SL_OK) {
        SL_ASSERT(status == SL_ERROR_DATA && err.text[0] != '\0');
        return;
    }
    SL_ASSERT(header.dims[0] * header.dims[1] * header.dims[2] == header.payload_bytes);
    SL_ASSERT(header.header_bytes + header.payload_bytes == size);
}

static void try_gzip(const uint8_t *bytes, int64_t size, int n_dims)
{
    struct sl_error err = {0};
    unsigned char *content = NULL;
    int64_t content_size = 0;
    enum sl_status status =
        sl_gunzip_idx(&err, "input", bytes, size, n_dims, &content, &content_size);
    if (status == SL_OK) {
        try_idx(content, content_size, n_dims);
    } else {
        SL_ASSERT(content == NULL && err.text[0] != '\0');
    }
    sl_heap_free(content);
}

static void try_cifar(const uint8_t *bytes, int64_t size, int label_bytes, int n_classes)
{
    struct sl_error err = {0};
    int64_t count = 0;
    enum sl_status status =
        sl_cifar_check(&err, "input", bytes, size, label_bytes, n_classes, &count);
    if (status == SL_OK) {
        SL_ASSERT(count * (SL_CIFAR_PIXELS + label_bytes) == size);
    } else {
        SL_ASSERT(status == SL_ERROR_DATA && err.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1 || size > 1 << 20) {
        return 0;
    }
    const uint8_t *rest = bytes + 1;
    int64_t n = (int64_t)size - 1;
    switch (bytes[0] % 6) {
    case 0:
        try_idx(rest, n, 3);
        break;
    case 1:
        try_idx(rest, n, 1);
        break;
    case 2:
        try_gzip(rest, n, 3);
        break;
    case 3:
        try_gzip(rest, n, 1);
        break;
    case 4:
        try_cifar(rest, n, 1, 10);
        break;
    default:
        try_cifar(rest, n, 2, 100);
        break;
    }
    return 0;
}
