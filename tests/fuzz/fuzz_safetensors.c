/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as a tensor file. Besides not crashing: a refusal leaves a
 * message; every tensor of an accepted file lies within the bytes, and together they fill
 * the end of them; what passes with a checksum passes without; names of classes are
 * refused or can be written again; nothing stays allocated.
 */
#include "store/store.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_tensors(const struct sl_tensor_file *file, const uint8_t *bytes,
                          size_t size)
{
    const struct sl_named_list *list = sl_tensor_file_list(file);
    uint64_t hash = SL_HASH_START;
    size_t total = 0;
    for (int i = 0; i < list->n; i++) {
        const struct sl_tensor *tensor = &list->items[i].tensor;
        const uint8_t *data = tensor->data;
        size_t count = sl_tensor_bytes(tensor);
        SL_ASSERT(list->items[i].name[0] != '\0');
        SL_ASSERT(data >= bytes + 8 && data <= bytes + size);
        SL_ASSERT(count <= size - (size_t)(data - bytes));
        hash = sl_hash(hash, data, count); /* the sanitizer sees every byte read */
        total += count;
    }
    if (list->n > 0) {
        const struct sl_tensor *first = &list->items[0].tensor;
        const uint8_t *begin = first->data;
        SL_ASSERT(begin + total == bytes + size);
        SL_ASSERT(hash == sl_hash(SL_HASH_START, begin, total));
    }
}

/* Names that were read are written so that they read back the same. */
static void check_classes(const struct sl_tensor_file *file)
{
    struct sl_error err = {0};
    struct sl_classes classes;
    struct sl_text text = {0};
    enum sl_status status = sl_checkpoint_classes(&err, file, &classes);
    SL_ASSERT(status == SL_OK || (status == SL_ERROR_RUN && classes.n == 0));
    for (int i = 0; i < classes.n; i++) {
        SL_ASSERT(strlen(classes.names[i]) < SL_CLASSES_BYTES_MOST);
    }
    SL_ASSERT(sl_classes_write(&err, &classes, &text) == SL_OK);
    sl_text_finish(&text);
    sl_classes_finish(&classes);
}

static bool try_parse(const uint8_t *bytes, size_t size, bool need_checksum)
{
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    enum sl_status status =
        sl_tensor_file_parse(&err, "fuzz", bytes, (int64_t)size, need_checksum, &file);
    SL_ASSERT((status == SL_OK) == (file != NULL));
    if (status != SL_OK) {
        SL_ASSERT(status == SL_ERROR_RUN && strstr(err.text, "fuzz") == err.text);
        return false;
    }
    check_tensors(file, bytes, size);
    SL_ASSERT(strlen(sl_tensor_file_checksum(file)) == (need_checksum ? 16U : 0U) ||
              !need_checksum);
    (void)sl_tensor_file_meta(file, "conf");
    check_classes(file);
    sl_tensor_file_close(file);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int64_t held = sl_heap_bytes();
    bool sealed = try_parse(bytes, size, true);
    bool open = try_parse(bytes, size, false);
    SL_ASSERT(open || !sealed);
    SL_ASSERT(sl_heap_bytes() == held);
    return 0;
}
