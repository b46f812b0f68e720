/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the names of classes beside shards. What is accepted is written, read
 * back and must be the same names.
 */
#include "data/index_int.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_round_trip(const struct sl_class_names *names)
{
    struct sl_error err = {0};
    struct sl_class_names again = {0};
    struct sl_text text = {0};
    for (int64_t i = 0; i < names->lines.n; i++) {
        sl_class_names_add(&text, sl_class_names_at(names, i));
    }
    SL_ASSERT(!text.failed);
    SL_ASSERT(text.length == 0 ||
              sl_class_names_parse(&err, "again", text.text, (int64_t)text.length,
                                   &again) == SL_OK);
    SL_ASSERT(again.lines.n == names->lines.n);
    for (int64_t i = 0; i < names->lines.n; i++) {
        SL_ASSERT(strcmp(sl_class_names_at(&again, i), sl_class_names_at(names, i)) == 0);
    }
    sl_class_names_finish(&again);
    sl_text_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_error err = {0};
    struct sl_class_names names = {0};
    char *text = NULL;
    SL_ASSERT(sl_heap_alloc(&err, "names", (int64_t)size + 1, 1, &text) == SL_OK);
    if (size > 0) {
        memcpy(text, bytes, size);
    }
    if (sl_class_names_parse(&err, "input", text, (int64_t)size, &names) == SL_OK) {
        check_round_trip(&names);
    } else {
        SL_ASSERT(err.status == SL_ERROR_DATA && err.text[0] != '\0');
    }
    sl_class_names_finish(&names);
    sl_heap_free(text);
    return 0;
}
