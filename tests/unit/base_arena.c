/* SPDX-License-Identifier: MIT */
/*
 * Memory: heap counters and the failing allocation, arenas with marks, texts that grow.
 * The two promises that others build on: memory comes zeroed and aligned to 64 bytes, and
 * a warm arena never allocates.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static bool is_zero(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool is_aligned(const void *memory)
{
    return (uintptr_t)memory % 64 == 0;
}

static void products_are_checked(void **state)
{
    (void)state;
    int64_t product = -1;
    assert_true(sl_mul_checked(3, 7, &product));
    assert_int_equal(product, 21);
    assert_true(sl_mul_checked(0, INT64_MAX, &product));
    assert_int_equal(product, 0);
    assert_true(sl_mul_checked(INT64_MAX, 1, &product));
    assert_true(product == INT64_MAX);
    assert_false(sl_mul_checked(INT64_C(1) << 32, INT64_C(1) << 31, &product));
    assert_false(sl_mul_checked(-1, 1, &product));
    assert_false(sl_mul_checked(1, -1, &product));
}

static void heap_is_zeroed_aligned_counted(void **state)
{
    (void)state;
    struct sl_error err = {0};
    int64_t calls = sl_heap_calls();
    int64_t bytes = sl_heap_bytes();
    for (int64_t n = 0; n < 300; n++) {
        unsigned char *memory = NULL;
        assert_int_equal(sl_heap_alloc(&err, "test", n, 3, &memory), SL_OK);
        assert_non_null(memory);
        assert_true(is_aligned(memory));
        assert_true(is_zero(memory, (size_t)n * 3));
        memset(memory, 0xff, (size_t)n * 3);
        assert_int_equal(sl_heap_bytes(), bytes + n * 3);
        assert_true(sl_heap_peak() >= bytes + n * 3);
        sl_heap_free(memory);
    }
    sl_heap_free(NULL);
    assert_int_equal(sl_heap_calls(), calls + 300);
    assert_int_equal(sl_heap_bytes(), bytes);
}

/* Memory that is not cleared leaves what is taken after it as clean as ever. */
static void dirty_memory_stays_apart(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = NULL;
    assert_int_equal(sl_arena_create(&err, 4096, &arena), SL_OK);
    for (int round = 0; round < 3; round++) {
        unsigned char *dirty = NULL, *clean = NULL;
        assert_int_equal(sl_arena_alloc_dirty(&err, arena, 1000, 1, &dirty), SL_OK);
        assert_int_equal(sl_arena_alloc(&err, arena, 20000, 1, &clean), SL_OK);
        assert_true(is_aligned(dirty));
        assert_true(is_zero(clean, 20000));
        memset(dirty, 0xff, 1000);
        memset(clean, 0xff, 20000);
        sl_arena_reset_all(arena);
    }
    unsigned char *big = NULL;
    assert_int_equal(sl_arena_alloc_dirty(&err, arena, INT64_MAX / 4, 8, &big),
                     SL_ERROR_RUN);
    assert_null(big);
    sl_arena_destroy(arena);
}

static void impossible_sizes_fail(void **state)
{
    (void)state;
    struct sl_error err = {0};
    char *memory = (char *)&err;
    assert_int_equal(sl_heap_alloc(&err, "the queue", INT64_MAX / 4, 8, &memory),
                     SL_ERROR_RUN);
    assert_null(memory);
    assert_non_null(strstr(err.text, "the queue"));
    sl_error_clear(&err);
    assert_int_equal(sl_heap_alloc(&err, "the queue", -1, 8, &memory), SL_ERROR_RUN);
    assert_null(memory);
}

static void kth_allocation_fails(void **state)
{
    (void)state;
    struct sl_error err = {0};
    char *memory = NULL;
    sl_heap_fail_at(2);
    assert_int_equal(sl_heap_alloc(&err, "one", 1, 1, &memory), SL_OK);
    sl_heap_free(memory);
    assert_int_equal(sl_heap_alloc(&err, "two", 1, 1, &memory), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "two"));
    assert_null(memory);
    sl_error_clear(&err);
    assert_int_equal(sl_heap_alloc(&err, "three", 1, 1, &memory), SL_OK);
    sl_heap_free(memory);
    sl_heap_fail_at(1);
    sl_heap_fail_at(0);
    assert_int_equal(sl_heap_alloc(&err, "four", 1, 1, &memory), SL_OK);
    sl_heap_free(memory);
}

/* Requests of many sizes; fills each, so that zeroing on reuse is seen. */
static void use_arena(struct sl_arena *arena)
{
    struct sl_error err = {0};
    unsigned char *last = NULL;
    size_t last_n = 0;
    for (int i = 0; i < 200; i++) {
        size_t n = (size_t)(i * 37 % 1000) + (i == 100 ? 100000 : 0);
        unsigned char *memory = NULL;
        assert_int_equal(sl_arena_alloc(&err, arena, (int64_t)n, 1, &memory), SL_OK);
        assert_true(is_aligned(memory));
        assert_true(is_zero(memory, n));
        memset(memory, 0xa5, n);
        if (last_n > 0) {
            assert_int_equal(last[last_n - 1], 0xa5);
            memset(last, 0x5a, last_n);
        }
        last = memory;
        last_n = n;
    }
}

static void warm_arena_never_allocates(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = NULL;
    int64_t bytes = sl_heap_bytes();
    assert_int_equal(sl_arena_create(&err, 5000, &arena), SL_OK);
    use_arena(arena);
    struct sl_arena_mark mark = sl_arena_mark_now(arena);
    use_arena(arena);
    int64_t calls = sl_heap_calls();
    size_t capacity = sl_arena_capacity(arena);
    for (int i = 0; i < 5; i++) {
        sl_arena_reset(arena, mark);
        use_arena(arena);
    }
    sl_arena_reset_all(arena);
    use_arena(arena);
    use_arena(arena);
    assert_int_equal(sl_heap_calls(), calls);
    assert_int_equal(sl_arena_capacity(arena), capacity);
    sl_arena_destroy(arena);
    sl_arena_destroy(NULL);
    assert_int_equal(sl_heap_bytes(), bytes);
}

static void mark_keeps_what_is_below(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_arena *arena = NULL;
    assert_int_equal(sl_arena_create(&err, 0, &arena), SL_OK);
    const char *kept = NULL;
    assert_int_equal(sl_arena_text(&err, arena, "kept", &kept), SL_OK);
    struct sl_arena_mark mark = sl_arena_mark_now(arena);
    use_arena(arena);
    sl_arena_reset(arena, mark);
    use_arena(arena);
    assert_string_equal(kept, "kept");
    sl_arena_destroy(arena);
}

static void arena_survives_failed_allocations(void **state)
{
    (void)state;
    struct sl_error err = {0};
    int64_t bytes = sl_heap_bytes();
    for (int64_t k = 1; k <= 3; k++) {
        struct sl_arena *arena = NULL;
        sl_heap_fail_at(k);
        assert_int_equal(sl_arena_create(&err, 100, &arena), SL_ERROR_RUN);
        assert_null(arena);
        sl_error_clear(&err);
    }
    struct sl_arena *arena = NULL;
    char *memory = NULL;
    assert_int_equal(sl_arena_create(&err, 100, &arena), SL_OK);
    for (int64_t k = 1; k <= 2; k++) {
        sl_heap_fail_at(k);
        assert_int_equal(sl_arena_alloc(&err, arena, 50000, 1, &memory), SL_ERROR_RUN);
        assert_null(memory);
        sl_error_clear(&err);
    }
    assert_int_equal(sl_arena_alloc(&err, arena, -1, 1, &memory), SL_ERROR_RUN);
    sl_error_clear(&err);
    use_arena(arena);
    sl_arena_destroy(arena);
    assert_int_equal(sl_heap_bytes(), bytes);
}

static void texts_grow(void **state)
{
    (void)state;
    struct sl_text text = {0};
    int64_t bytes = sl_heap_bytes();
    for (int i = 0; i < 1000; i++) {
        sl_text_add(&text, "%d,", i % 10);
    }
    sl_text_add_bytes(&text, "a\0b", 3);
    sl_text_add(&text, "%s", "");
    assert_false(text.failed);
    assert_int_equal(text.length, 2003);
    assert_memory_equal(text.text, "0,1,2,3,4,5,6,7,8,9,0,", 22);
    assert_memory_equal(text.text + 1998, "9,a\0b", 6);
    sl_text_finish(&text);
    assert_null(text.text);
    sl_text_add(&text, "%s", "");
    assert_string_equal(text.text, "");
    sl_text_finish(&text);
    assert_int_equal(sl_heap_bytes(), bytes);
}

static void text_without_memory_stops(void **state)
{
    (void)state;
    struct sl_text text = {0};
    sl_heap_fail_at(1);
    sl_text_add(&text, "lost");
    assert_true(text.failed);
    assert_string_equal(text.text, "");
    sl_text_add(&text, "also lost");
    assert_string_equal(text.text, "");
    sl_text_finish(&text);

    char big[1000] = {0};
    memset(big, 'x', sizeof big - 1);
    sl_text_add(&text, "kept");
    sl_heap_fail_at(1);
    sl_text_add(&text, "%s", big);
    assert_true(text.failed);
    assert_string_equal(text.text, "kept");
    sl_text_finish(&text);
}

static void copy_terminates(void **state)
{
    (void)state;
    char dst[5] = "????";
    assert_true(sl_text_copy(dst, sizeof dst, "four"));
    assert_string_equal(dst, "four");
    assert_false(sl_text_copy(dst, sizeof dst, "fives"));
    assert_string_equal(dst, "five");
}

/* Published FNV-1a values. */
static void hash_is_fnv(void **state)
{
    (void)state;
    assert_true(sl_hash(SL_HASH_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(sl_hash(SL_HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(sl_hash(SL_HASH_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    uint64_t parts = sl_hash(sl_hash(SL_HASH_START, "foo", 3), "bar", 3);
    assert_true(parts == UINT64_C(0x85944171f73967e8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_checked),
        cmocka_unit_test(heap_is_zeroed_aligned_counted),
        cmocka_unit_test(dirty_memory_stays_apart),
        cmocka_unit_test(impossible_sizes_fail),
        cmocka_unit_test(kth_allocation_fails),
        cmocka_unit_test(warm_arena_never_allocates),
        cmocka_unit_test(mark_keeps_what_is_below),
        cmocka_unit_test(arena_survives_failed_allocations),
        cmocka_unit_test(texts_grow),
        cmocka_unit_test(text_without_memory_stops),
        cmocka_unit_test(copy_terminates),
        cmocka_unit_test(hash_is_fnv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
