/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as a configuration text. Besides not crashing: a refusal leaves
 * a message, and what was accepted is written, read back and written again as the same
 * text. The same bytes are also tried as a width list, whose words come from the same
 * files.
 */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct sl_key keys[] = {
    {.name = "out", .type = SL_KEY_TEXT},
    {.name = "batch-size", .type = SL_KEY_INT, .initial = "256", .low = 1, .high = 65536},
    {.name = "seed", .type = SL_KEY_INT, .initial = "0"},
    {.name = "lr",
     .type = SL_KEY_REAL,
     .initial = "auto",
     .auto_ok = true,
     .high = INFINITY},
    {.name = "json", .type = SL_KEY_BOOL, .initial = "no"},
    {.name = "stem",
     .type = SL_KEY_CHOICE,
     .initial = "small",
     .choices = "imagenet|small"},
    {.name = "widths", .type = SL_KEY_TEXT, .initial = "1,0.5"},
};

static void check_refusal(const struct sl_error *err, enum sl_status status)
{
    SL_ASSERT(status == SL_ERROR_USAGE && err->status == status && err->text[0] != '\0');
}

static void check_round_trip(const struct sl_conf *conf)
{
    struct sl_error err = {0};
    struct sl_conf *again = NULL;
    struct sl_text first = {0};
    struct sl_text second = {0};
    sl_conf_write(conf, &first);
    SL_ASSERT(!first.failed);
    SL_ASSERT(sl_conf_create(&err, keys, SL_COUNT(keys), &again) == SL_OK);
    SL_ASSERT(sl_conf_parse(&err, again, first.text, "again", SL_FROM_USER) == SL_OK);
    sl_conf_write(again, &second);
    SL_ASSERT(!second.failed && strcmp(first.text, second.text) == 0);
    for (int i = 0; i < SL_COUNT(keys); i++) {
        SL_ASSERT(strcmp(sl_conf_text(conf, keys[i].name),
                         sl_conf_text(again, keys[i].name)) == 0);
    }
    sl_text_finish(&first);
    sl_text_finish(&second);
    sl_conf_destroy(again);
}

static void check_widths(const char *text)
{
    struct sl_error err = {0};
    struct sl_widths widths;
    enum sl_status status = sl_widths_parse(&err, text, false, "widths", &widths);
    if (status != SL_OK) {
        check_refusal(&err, status);
        return;
    }
    for (int i = 0; i < widths.n; i++) {
        struct sl_multiplier at = widths.at[i];
        SL_ASSERT(at.num >= 1 && at.num <= at.den);
        SL_ASSERT(sl_multiplier_of(at, 2048) <= 2048);
        SL_ASSERT(sl_widths_find(&widths, at) == i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_error err = {0};
    struct sl_conf *conf = NULL;
    struct sl_text text = {0};
    sl_text_add_bytes(&text, bytes, size);
    SL_ASSERT(!text.failed);
    SL_ASSERT(sl_conf_create(&err, keys, SL_COUNT(keys), &conf) == SL_OK);
    enum sl_status status = sl_conf_parse(&err, conf, text.text, "fuzz", SL_FROM_FILE);
    if (status == SL_OK) {
        check_round_trip(conf);
    } else {
        check_refusal(&err, status);
    }
    check_widths(text.text);
    sl_conf_destroy(conf);
    sl_text_finish(&text);
    return 0;
}
