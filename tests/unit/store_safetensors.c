/* SPDX-License-Identifier: MIT */
/*
 * The tensor file: what is read is what was written, files of other writers load, and
 * bytes that are damaged in any way are refused before anything is trusted. Runs in a
 * folder of its own.
 */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char path[] = "some.safetensors";

enum { FILE_MOST = 1 << 20, N_TENSORS = 6 };

static struct sl_device device;

static int begin(void **state)
{
    struct sl_error err = {0};
    (void)state;
    return sl_device_open(&err, "ref", &(struct sl_backend_options){.threads = 1},
                          &device);
}

static int end(void **state)
{
    (void)state;
    sl_device_close(&device);
    (void)sl_file_remove(path);
    return 0;
}

/* ---- what the tests write ---------------------------------------------------------- */

static float matrix[2][3] = {{1.0F, -2.0F, 3.5F}, {0.0F, 1e-30F, -1e30F}};
static int64_t counter[1] = {INT64_C(0x0123456789abcdef)};
static unsigned char bytes3[3] = {0, 127, 255};
static float scalar = 0.25F;
static int32_t numbers[2] = {-7, 2147483647};
static unsigned char halves[2 * 4] = {0x80, 0x3f, 0x00, 0x40, 0x01, 0x80, 0xff, 0x7f};

static void fill_list(struct sl_named_list *list)
{
    struct sl_error err = {0};
    const struct {
        const char *name;
        void *data;
        enum sl_dtype dtype;
        int n_dims;
        int64_t dims[SL_DIMS_MAX];
    } tensors[N_TENSORS] = {
        {"encoder.conv1.weight", matrix, SL_F32, 2, {2, 3}},
        {"step", counter, SL_I64, 1, {1}},
        {"bytes", bytes3, SL_U8, 3, {1, 3, 1}},
        {"scalar \"quoted\" \xc3\xa9", &scalar, SL_F32, 0, {0}},
        {"numbers", numbers, SL_I32, 1, {2}},
        {"halves", halves, SL_BF16, 4, {1, 2, 2, 1}},
    };
    *list = (struct sl_named_list){0};
    for (int i = 0; i < N_TENSORS; i++) {
        assert_int_equal(sl_named_add(&err, list, tensors[i].name,
                                      sl_tensor_make(tensors[i].data, tensors[i].dtype,
                                                     tensors[i].n_dims, tensors[i].dims)),
                         SL_OK);
    }
}

static const struct sl_meta some_meta[] = {{"conf", "lr = 0.06\n# \xe2\x82\xac\n"},
                                           {"empty", ""}};

static void write_some(void)
{
    struct sl_error err = {0};
    struct sl_named_list list;
    fill_list(&list);
    assert_int_equal(
        sl_tensor_file_write(&err, path, &device, &list, some_meta, SL_COUNT(some_meta)),
        SL_OK);
    sl_named_finish(&list);
}

static unsigned char *read_some(int64_t *size)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, FILE_MOST, &bytes, size),
                     SL_OK);
    return bytes;
}

/* An exact copy on the heap, so that the address sanitizer sees one byte too far. */
static enum sl_status parse_copy(struct sl_error *err, const unsigned char *bytes,
                                 int64_t size, bool need_checksum)
{
    struct sl_tensor_file *file = NULL;
    unsigned char *copy = malloc((size_t)size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, (size_t)size);
    *err = (struct sl_error){0};
    enum sl_status status =
        sl_tensor_file_parse(err, "the file", copy, size, need_checksum, &file);
    assert_true((status == SL_OK) == (file != NULL));
    sl_tensor_file_close(file);
    free(copy);
    return status;
}

static void assert_refused(const unsigned char *bytes, int64_t size, bool need_checksum,
                           const char *what)
{
    struct sl_error err;
    if (parse_copy(&err, bytes, size, need_checksum) != SL_ERROR_RUN) {
        fail_msg("%s: was not refused as damaged", what);
    }
    assert_non_null(strstr(err.text, "the file"));
}

/* Length, header and `n` counting bytes. */
static int64_t build(unsigned char *dst, const char *header, int n)
{
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) {
        dst[i] = (unsigned char)((uint64_t)length >> (8 * i) & 0xff);
    }
    memcpy(dst + 8, header, length);
    for (int i = 0; i < n; i++) {
        dst[8 + length + (size_t)i] = (unsigned char)i;
    }
    return (int64_t)length + 8 + n;
}

/* ---- reading what was written ------------------------------------------------------ */

static void test_round_trip(void **state)
{
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    struct sl_named_list wrote;
    (void)state;
    write_some();
    assert_int_equal(sl_tensor_file_open(&err, path, true, &file), SL_OK);
    const struct sl_named_list *list = sl_tensor_file_list(file);
    fill_list(&wrote);
    assert_int_equal(list->n, N_TENSORS);
    for (int i = 0; i < N_TENSORS; i++) {
        const struct sl_tensor *a = &wrote.items[i].tensor;
        const struct sl_tensor *b = &list->items[i].tensor;
        assert_string_equal(list->items[i].name, wrote.items[i].name);
        assert_int_equal(b->dtype, a->dtype);
        assert_int_equal(b->n_dims, a->n_dims);
        assert_memory_equal(b->dims, a->dims, sizeof a->dims);
        assert_memory_equal(b->data, a->data, sl_tensor_bytes(a));
    }
    assert_string_equal(sl_tensor_file_meta(file, "conf"), some_meta[0].value);
    assert_string_equal(sl_tensor_file_meta(file, "empty"), "");
    assert_null(sl_tensor_file_meta(file, "absent"));
    assert_int_equal(strlen(sl_tensor_file_checksum(file)), 16);
    assert_string_equal(sl_tensor_file_meta(file, "checksum"),
                        sl_tensor_file_checksum(file));
    sl_named_finish(&wrote);
    sl_tensor_file_close(file);
}

static void test_empty_list_round_trip(void **state)
{
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    struct sl_named_list nothing = {0};
    (void)state;
    assert_int_equal(sl_tensor_file_write(&err, path, &device, &nothing, NULL, 0), SL_OK);
    assert_int_equal(sl_tensor_file_open(&err, path, true, &file), SL_OK);
    assert_int_equal(sl_tensor_file_list(file)->n, 0);
    sl_tensor_file_close(file);
}

static void test_large_tensor_goes_in_pieces(void **state)
{
    enum { COUNT = 700001 };
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    struct sl_named_list list = {0};
    float *values = NULL;
    const int64_t dims[] = {COUNT};
    (void)state;
    assert_int_equal(sl_heap_alloc(&err, "t", COUNT, sizeof *values, &values), SL_OK);
    sl_rng_fill_normal(1, SL_RNG_TEST, 0, 1.0F, COUNT, values);
    assert_int_equal(
        sl_named_add(&err, &list, "large", sl_tensor_make(values, SL_F32, 1, dims)),
        SL_OK);
    assert_int_equal(sl_tensor_file_write(&err, path, &device, &list, NULL, 0), SL_OK);
    assert_int_equal(sl_tensor_file_open(&err, path, true, &file), SL_OK);
    assert_memory_equal(sl_tensor_file_list(file)->items[0].tensor.data, values,
                        COUNT * sizeof *values);
    sl_tensor_file_close(file);
    sl_named_finish(&list);
    sl_heap_free(values);
}

/* The container's own rules, read from the bytes and not by our reader. */
static void test_layout_is_that_of_the_format(void **state)
{
    int64_t size = 0;
    uint64_t length = 0;
    (void)state;
    write_some();
    unsigned char *bytes = read_some(&size);
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | bytes[i];
    }
    assert_int_equal(length % 8, 0);
    assert_int_equal(bytes[8], '{');
    /* 24 + 8 + 3 + 4 + 8 + 8 bytes of tensors */
    assert_int_equal((int64_t)length + 8 + 55, size);
    assert_memory_equal(bytes + 8 + length, matrix, sizeof matrix);
    char *header = calloc(1, (size_t)length + 1);
    assert_non_null(header);
    memcpy(header, bytes + 8, (size_t)length);
    assert_non_null(strstr(header,
                           "\"encoder.conv1.weight\":{\"dtype\":\"F32\",\"shape\":"
                           "[2,3],\"data_offsets\":[0,24]}"));
    assert_non_null(strstr(header, "\"step\":{\"dtype\":\"I64\",\"shape\":[1],"
                                   "\"data_offsets\":[24,32]}"));
    free(header);
    sl_heap_free(bytes);
}

/* As the Python package writes it: metadata of its own, no checksum, largest type first;
 * and with the header's entries in another order than the bytes, as older versions did.
 */
static void test_files_of_others_load(void **state)
{
    static const char *const headers[] = {
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[8,12]}}   ",
        "{\"a\":{\"data_offsets\":[8,12],\"shape\":[2,2],\"dtype\":\"U8\"},"
        "\"nothing\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]},"
        "\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
    };
    static const unsigned char first[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const unsigned char second[4] = {8, 9, 10, 11};
    unsigned char bytes[1024];
    (void)state;
    for (int i = 0; i < SL_COUNT(headers); i++) {
        struct sl_error err = {0};
        struct sl_tensor_file *file = NULL;
        int64_t size = build(bytes, headers[i], 12);
        assert_int_equal(sl_tensor_file_parse(&err, "py", bytes, size, false, &file),
                         SL_OK);
        const struct sl_named *a = sl_named_find(sl_tensor_file_list(file), "a");
        const struct sl_named *b = sl_named_find(sl_tensor_file_list(file), "b");
        assert_non_null(a);
        assert_non_null(b);
        assert_memory_equal(b->tensor.data, first, sizeof first);
        assert_memory_equal(a->tensor.data, second, sizeof second);
        assert_int_equal(a->tensor.dims[1], 2);
        assert_string_equal(sl_tensor_file_checksum(file), "");
        sl_tensor_file_close(file);
        /* Where a checksum is needed they are not enough. */
        assert_refused(bytes, size, true, "no checksum");
    }
}

/* ---- damage ------------------------------------------------------------------------ */

static void test_cut_short_at_every_length(void **state)
{
    int64_t size = 0;
    char what[64];
    (void)state;
    write_some();
    unsigned char *bytes = read_some(&size);
    for (int64_t n = 0; n < size; n++) {
        snprintf(what, sizeof what, "%d of %d bytes", (int)n, (int)size);
        assert_refused(bytes, n, true, what);
        assert_refused(bytes, n, false, what);
    }
    sl_heap_free(bytes);
}

static void test_longer_is_refused(void **state)
{
    unsigned char bytes[1024];
    (void)state;
    int64_t size = build(
        bytes, "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 5);
    assert_refused(bytes, size, false, "one byte more");
    struct sl_error err;
    assert_int_equal(parse_copy(&err, bytes, size - 1, false), SL_OK);
}

static void test_every_bit_flip_is_refused(void **state)
{
    int64_t size = 0;
    char what[64];
    struct sl_error err;
    (void)state;
    write_some();
    unsigned char *bytes = read_some(&size);
    for (int64_t bit = 0; bit < size * 8; bit++) {
        unsigned char mask = (unsigned char)(1 << bit % 8);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ mask);
        snprintf(what, sizeof what, "bit %d of byte %d", (int)(bit % 8), (int)(bit / 8));
        assert_refused(bytes, size, true, what);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ mask);
    }
    assert_int_equal(parse_copy(&err, bytes, size, true), SL_OK);
    sl_heap_free(bytes);
}

static void test_impossible_headers_are_refused(void **state)
{
    /* All but the first ask for something that eight bytes cannot hold. */
    static const char *const headers[] = {
        "",
        "[]",
        "7",
        "{",
        "{} {}",
        "{}", /* eight bytes that no tensor owns */
        "{\"a\":1}",
        "{\"a\":{}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0.0,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[null,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":\"0,8\"}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8.0],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,8],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"U9\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":8,\"shape\":[8],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[-8],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[-2,-4],\"data_offsets\":[0,8]}}",
        /* past the end, before the start, backwards */
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[1,9]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[-8,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,0]}}",
        /* overlap, hole, twice the same place */
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        /* sizes whose product wraps around to eight */
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,8],"
        "\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387906],"
        "\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],"
        "\"data_offsets\":[0,9223372036854775807]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],"
        "\"data_offsets\":[0,8]}}",
        /* names */
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}",
        "{\"\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        "{\"0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567890123\":"
        "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
        "{\"__metadata__\":3,\"a\":{\"dtype\":\"U8\",\"shape\":[8],"
        "\"data_offsets\":[0,8]}}",
        "{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
    };
    static const char good[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}";
    unsigned char bytes[1024];
    struct sl_error err;
    int64_t held = sl_heap_bytes();
    (void)state;
    assert_int_equal(parse_copy(&err, bytes, build(bytes, good, 8), false), SL_OK);
    for (int i = 0; i < SL_COUNT(headers); i++) {
        assert_refused(bytes, build(bytes, headers[i], 8), false, headers[i]);
    }
    assert_int_equal(sl_heap_bytes(), held);
}

/* Lengths that the file does not have are refused by arithmetic alone. */
static void test_header_lengths_are_not_believed(void **state)
{
    static const uint64_t lengths[] = {9,
                                       100000000,
                                       100000001,
                                       UINT64_C(0x7fffffffffffffff),
                                       UINT64_C(0x8000000000000000),
                                       UINT64_C(0xfffffffffffffff8),
                                       UINT64_MAX};
    unsigned char bytes[16] = {0};
    (void)state;
    int64_t calls = sl_heap_peak();
    for (int i = 0; i < SL_COUNT(lengths); i++) {
        for (int b = 0; b < 8; b++) {
            bytes[b] = (unsigned char)(lengths[i] >> (8 * b) & 0xff);
        }
        memcpy(bytes + 8, "{}      ", 8);
        assert_refused(bytes, sizeof bytes, false, "a length beyond the file");
    }
    assert_true(sl_heap_peak() - calls < 4096);
}

static void test_deep_nesting_is_refused(void **state)
{
    enum { DEEP = 200000 };
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        char *header = calloc(1, DEEP * 6 + 1);
        unsigned char *bytes = malloc(DEEP * 6 + 8);
        assert_non_null(header);
        assert_non_null(bytes);
        for (size_t i = 0; i < DEEP; i++) {
            memcpy(header + i * (kind == 0 ? 1 : 5),
                   kind == 0 ? "[" : "{\"a\":", kind == 0 ? 1 : 5);
        }
        assert_refused(bytes, build(bytes, header, 0), false, "deep nesting");
        free(header);
        free(bytes);
    }
}

/* Very many tensors of no size cost their header and no more. */
static void test_many_tensors_cost_no_more_than_the_header(void **state)
{
    enum { MANY = 30000 };
    struct sl_text text = {0};
    struct sl_error err = {0};
    (void)state;
    for (int i = 0; i < MANY; i++) {
        sl_text_add(&text,
                    "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                    i == 0 ? "{" : ",", i);
    }
    sl_text_add(&text, "}");
    unsigned char *bytes = malloc(text.length + 8);
    assert_non_null(bytes);
    int64_t size = build(bytes, text.text, 0);
    struct sl_tensor_file *file = NULL;
    assert_int_equal(sl_tensor_file_parse(&err, "many", bytes, size, false, &file),
                     SL_OK);
    assert_int_equal(sl_tensor_file_list(file)->n, MANY);
    sl_tensor_file_close(file);
    sl_text_finish(&text);
    free(bytes);
}

/* ---- writing ----------------------------------------------------------------------- */

static void test_what_cannot_be_read_back_is_not_written(void **state)
{
    static const struct sl_meta twice[] = {{"a", "1"}, {"a", "2"}};
    static const struct sl_meta odd[] = {{"a", "\xff\xfe"}};
    static const struct sl_meta taken[] = {{"checksum", "0"}};
    struct sl_named_list nothing = {0};
    struct sl_named_list odd_name = {0};
    struct sl_error err = {0};
    const int64_t dims[] = {3};
    (void)state;
    (void)sl_file_remove(path);
    assert_int_equal(
        sl_named_add(&err, &odd_name, "\xc3", sl_tensor_make(bytes3, SL_U8, 1, dims)),
        SL_OK);
    assert_int_equal(sl_tensor_file_write(&err, path, &device, &nothing, twice, 2),
                     SL_ERROR_RUN);
    sl_error_clear(&err);
    assert_int_equal(sl_tensor_file_write(&err, path, &device, &nothing, odd, 1),
                     SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "UTF-8"));
    sl_error_clear(&err);
    assert_int_equal(sl_tensor_file_write(&err, path, &device, &nothing, taken, 1),
                     SL_ERROR_RUN);
    sl_error_clear(&err);
    assert_int_equal(sl_tensor_file_write(&err, path, &device, &odd_name, NULL, 0),
                     SL_ERROR_RUN);
    assert_int_equal(sl_path_kind(path), SL_PATH_MISSING);
    sl_named_finish(&odd_name);
}

/* Each allocation of reading and writing fails once: an error, nothing leaks, and the
 * file that was there stays. */
static void test_lack_of_memory(void **state)
{
    struct sl_named_list list;
    (void)state;
    write_some();
    fill_list(&list);
    int64_t held = sl_heap_bytes();
    for (int kind = 0; kind < 2; kind++) {
        enum sl_status status = SL_ERROR_RUN;
        for (int k = 1; status != SL_OK; k++) {
            struct sl_error err = {0};
            struct sl_tensor_file *file = NULL;
            assert_true(k < 100);
            sl_heap_fail_at(k);
            status = kind == 0
                         ? sl_tensor_file_open(&err, path, true, &file)
                         : sl_tensor_file_write(&err, path, &device, &list, NULL, 0);
            sl_heap_fail_at(0);
            sl_tensor_file_close(file);
            assert_true(status == SL_OK || status == SL_ERROR_RUN);
            assert_int_equal(sl_heap_bytes(), held);
            assert_int_equal(sl_path_kind(path), SL_PATH_FILE);
            assert_true(k > 1 || status != SL_OK);
        }
    }
    sl_named_finish(&list);
}

static void test_paths_that_cannot_be_read(void **state)
{
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    (void)state;
    assert_int_equal(sl_tensor_file_open(&err, "absent.safetensors", true, &file),
                     SL_ERROR_RUN);
    assert_null(file);
    sl_error_clear(&err);
    assert_int_equal(sl_tensor_file_open(&err, ".", true, &file), SL_ERROR_RUN);
    sl_error_clear(&err);
    assert_int_equal(sl_file_write(&err, path, "", 0), SL_OK);
    assert_int_equal(sl_tensor_file_open(&err, path, true, &file), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "cut short"));
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty_list_round_trip),
        cmocka_unit_test(test_large_tensor_goes_in_pieces),
        cmocka_unit_test(test_layout_is_that_of_the_format),
        cmocka_unit_test(test_files_of_others_load),
        cmocka_unit_test(test_cut_short_at_every_length),
        cmocka_unit_test(test_longer_is_refused),
        cmocka_unit_test(test_every_bit_flip_is_refused),
        cmocka_unit_test(test_impossible_headers_are_refused),
        cmocka_unit_test(test_header_lengths_are_not_believed),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_many_tensors_cost_no_more_than_the_header),
        cmocka_unit_test(test_what_cannot_be_read_back_is_not_written),
        cmocka_unit_test(test_lack_of_memory),
        cmocka_unit_test(test_paths_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
