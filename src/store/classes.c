/* SPDX-License-Identifier: MIT */
/*
 * What a classifier's outputs are called, as one text of a checkpoint's metadata: a JSON
 * array of strings, in the outputs' order. Names come from folders and files and may be
 * any bytes but zero: in one that is no UTF-8 every byte beyond ASCII is written \xHH,
 * and so is a backslash in any. Invariant: names that were written read back the same.
 */
#include "store/store.h"

#include <jansson.h>
#include <string.h>

static const char CLASSES_KEY[] = "slimclr.classes";

enum { CODE = 4 /* bytes of \xHH */ };

void sl_classes_finish(struct sl_classes *classes)
{
    sl_heap_free(classes->names);
    sl_heap_free(classes->text);
    *classes = (struct sl_classes){0};
}

/* ---- writing ----------------------------------------------------------------------- */

static enum sl_status out_of_memory(struct sl_error *err)
{
    return SL_FAIL(err, SL_ERROR_RUN, "out of memory for the names of classes");
}

static void escape(struct sl_text *text, const char *name, bool is_ascii)
{
    sl_text_add(text, "%s", "");
    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++) {
        if (*c == '\\' || (is_ascii && *c > 0x7f)) {
            sl_text_add(text, "\\x%02x", (unsigned int)*c);
        } else {
            sl_text_add_bytes(text, (const char *)c, 1);
        }
    }
}

static enum sl_status add_name(struct sl_error *err, json_t *array, const char *name)
{
    json_t *made = NULL;
    for (int is_ascii = 0; is_ascii < 2 && made == NULL; is_ascii++) {
        struct sl_text text = {0};
        escape(&text, name, is_ascii != 0);
        made = text.failed ? NULL : json_string(text.text); /* NULL: not UTF-8 */
        sl_text_finish(&text);
    }
    return json_array_append_new(array, made) == 0 ? SL_OK : out_of_memory(err);
}

static int append(const char *bytes, size_t count, void *context)
{
    sl_text_add_bytes(context, bytes, count);
    return ((struct sl_text *)context)->failed ? -1 : 0;
}

enum sl_status sl_classes_write(struct sl_error *err, const struct sl_classes *classes,
                                struct sl_text *text)
{
    enum sl_status status = SL_OK;
    size_t bytes = 0;
    json_t *array = NULL;
    for (int i = 0; i < classes->n; i++) {
        bytes += strlen(classes->names[i]);
    }
    if (classes->n == 0 || bytes > SL_CLASSES_BYTES_MOST) {
        return SL_OK;
    }
    array = json_array();
    for (int i = 0; i < classes->n; i++) {
        SL_TRY_OUT(add_name(err, array, classes->names[i]));
    }
    if (json_dump_callback(array, append, text, JSON_COMPACT) != 0) {
        status = out_of_memory(err);
    }
out:
    json_decref(array);
    return status;
}

const char *sl_classes_key(void)
{
    return CLASSES_KEY;
}

/* ---- reading ----------------------------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies a name with its codes put back; what is no code stays as it is. Returns where
 * the next one may begin. */
static char *unescape(char *to, const char *from)
{
    while (*from != '\0') {
        int high = from[0] == '\\' && from[1] == 'x' ? digit(from[2]) : -1;
        int low = high >= 0 ? digit(from[3]) : -1;
        bool is_code = low >= 0 && high + low > 0;
        *to++ = is_code ? (char)(high * 16 + low) : *from;
        from += is_code ? CODE : 1;
    }
    *to = '\0';
    return to + 1;
}

/* The bytes that the names take, or -1 when the text is no list of them. */
static int64_t measure(json_t *array)
{
    int64_t bytes = 0;
    if (!json_is_array(array) || json_array_size(array) > SL_CLASSES_MOST) {
        return -1;
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *name = json_array_get(array, i);
        if (!json_is_string(name)) {
            return -1;
        }
        bytes += (int64_t)json_string_length(name) + 1;
    }
    return bytes;
}

enum sl_status sl_checkpoint_classes(struct sl_error *err,
                                     const struct sl_tensor_file *file,
                                     struct sl_classes *classes)
{
    enum sl_status status = SL_OK;
    const char *text = sl_tensor_file_meta(file, CLASSES_KEY);
    *classes = (struct sl_classes){0};
    if (text == NULL) {
        return SL_OK;
    }
    json_t *array = json_loads(text, 0, NULL);
    int64_t bytes = measure(array);
    if (bytes < 0) {
        status = SL_FAIL(err, SL_ERROR_RUN,
                         "%s: %s in it is no list of at most %d names: damaged",
                         sl_tensor_file_name(file), CLASSES_KEY, (int)SL_CLASSES_MOST);
        goto out;
    }
    int n = (int)json_array_size(array);
    SL_TRY_OUT(
        sl_heap_alloc(err, "names of classes", n, sizeof(char *), &classes->names));
    SL_TRY_OUT(sl_heap_alloc(err, "names of classes", bytes, 1, &classes->text));
    char *to = classes->text;
    for (int i = 0; i < n; i++) {
        classes->names[i] = to;
        to = unescape(to, json_string_value(json_array_get(array, (size_t)i)));
    }
    classes->n = n;
out:
    json_decref(array);
    if (status != SL_OK) {
        sl_classes_finish(classes);
    }
    return status;
}
