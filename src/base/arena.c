/* SPDX-License-Identifier: MIT */
/*
 * Memory: the counted heap, the bump allocator with marks, and texts that grow. This is
 * the only file outside the backends that calls the C library's allocator. Invariants:
 * memory is handed out zeroed and aligned to 64 bytes; an arena never gives a block back
 * before it is destroyed, so that repeating the same requests after a reset allocates
 * nothing. Under AddressSanitizer the free part of an arena and a red zone behind each
 * request are poisoned.
 */
#include "base/base.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISON_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_ON 1
#endif
#endif

#if defined(POISON_ON)
#include <sanitizer/asan_interface.h>
#endif

enum { ALIGNMENT = 64, BLOCK_MIN = 4096 };

#if defined(POISON_ON)
enum { RED_ZONE = ALIGNMENT };
static void poison(const void *memory, size_t bytes)
{
    __asan_poison_memory_region(memory, bytes);
}
static void unpoison(const void *memory, size_t bytes)
{
    __asan_unpoison_memory_region(memory, bytes);
}
#else
enum { RED_ZONE = 0 };
static void poison(const void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}
static void unpoison(const void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}
#endif

/* ---- the heap ---------------------------------------------------------------------- */

/* Stands in the 64 bytes before each piece of memory. */
struct heap_head {
    uint64_t magic;
    size_t bytes;
};

static const uint64_t heap_magic = UINT64_C(0x736c696d68656170);

static atomic_int_fast64_t heap_calls;
static atomic_int_fast64_t heap_bytes;
static atomic_int_fast64_t heap_peak;
static atomic_int_fast64_t heap_fail_countdown;

bool sl_mul_checked(int64_t a, int64_t b, int64_t *product)
{
    if (a < 0 || b < 0) {
        return false;
    }
    if (b != 0 && a > INT64_MAX / b) {
        return false;
    }
    *product = a * b;
    return true;
}

static bool heap_must_fail(void)
{
    if (atomic_load(&heap_fail_countdown) <= 0) {
        return false;
    }
    return atomic_fetch_sub(&heap_fail_countdown, 1) == 1;
}

static void heap_count(size_t bytes)
{
    int_fast64_t held = atomic_fetch_add(&heap_bytes, (int_fast64_t)bytes);
    held += (int_fast64_t)bytes;
    int_fast64_t peak = atomic_load(&heap_peak);
    while (held > peak) {
        if (atomic_compare_exchange_weak(&heap_peak, &peak, held)) {
            break;
        }
    }
    atomic_fetch_add(&heap_calls, 1);
}

/* Whole large pages (Linux's transparent huge ones) within the memory, where the system
 * gives them on request: maps are streamed, and in small pages a part of that time goes
 * into looking up addresses. All of it is written at once, so that nothing is held that
 * would not be held otherwise. */
static void ask_for_large_pages(void *raw, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t)2 << 20;
    const uintptr_t begin = ((uintptr_t)raw + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)raw + bytes) / page * page;
    if (begin < end) {
        const int before = errno; /* a refusal is nobody's business */
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
        errno = before;
    }
#else
    (void)raw;
    (void)bytes;
#endif
}

enum sl_status sl_heap_alloc(struct sl_error *err, const char *what, int64_t count,
                             size_t size, void *memory_pointer)
{
    void *raw = NULL;
    memcpy(memory_pointer, &raw, sizeof raw);
    int64_t bytes = 0;
    if (size > INT64_MAX / 2 || !sl_mul_checked(count, (int64_t)size, &bytes) ||
        bytes > INT64_MAX / 2) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "out of memory: %s needs %lld items of %zu bytes, more than any "
                       "machine has; check the sizes asked for",
                       what, (long long)count, size);
    }
    if (heap_must_fail() ||
        posix_memalign(&raw, ALIGNMENT, (size_t)bytes + (size_t)ALIGNMENT) != 0) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "out of memory: %s needs %lld bytes; make the batch, the network or "
            "the images smaller, or free memory",
            what, (long long)bytes);
    }
    ask_for_large_pages(raw, (size_t)bytes + (size_t)ALIGNMENT);
    memset(raw, 0, (size_t)bytes + (size_t)ALIGNMENT);
    struct heap_head head = {.magic = heap_magic, .bytes = (size_t)bytes};
    memcpy(raw, &head, sizeof head);
    heap_count((size_t)bytes);
    void *memory = (char *)raw + ALIGNMENT;
    memcpy(memory_pointer, &memory, sizeof memory);
    return SL_OK;
}

void sl_heap_free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    void *raw = (char *)memory - ALIGNMENT;
    struct heap_head head;
    memcpy(&head, raw, sizeof head);
    SL_ASSERT(head.magic == heap_magic); /* not ours, or freed before */
    memset(raw, 0, sizeof head);
    atomic_fetch_sub(&heap_bytes, (int_fast64_t)head.bytes);
    free(raw);
}

int64_t sl_heap_calls(void)
{
    return atomic_load(&heap_calls);
}

int64_t sl_heap_bytes(void)
{
    return atomic_load(&heap_bytes);
}

int64_t sl_heap_peak(void)
{
    return atomic_load(&heap_peak);
}

void sl_heap_fail_at(int64_t k)
{
    atomic_store(&heap_fail_countdown, k);
}

/* ---- the arena --------------------------------------------------------------------- */

struct block {
    struct block *next;
    char *memory;
    size_t capacity;
    size_t used;
    size_t dirty; /* bytes that were handed out once and have to be zeroed again */
};

struct sl_arena {
    struct block *first, *last, *current;
};

static enum sl_status block_append(struct sl_error *err, struct sl_arena *arena,
                                   size_t capacity)
{
    struct block *block = NULL;
    SL_TRY(sl_heap_alloc(err, "arena", 1, sizeof *block, &block));
    enum sl_status status =
        sl_heap_alloc(err, "arena", (int64_t)capacity, 1, &block->memory);
    if (status != SL_OK) {
        sl_heap_free(block);
        return status;
    }
    block->capacity = capacity;
    poison(block->memory, capacity);
    if (arena->last == NULL) {
        arena->first = block;
    } else {
        arena->last->next = block;
    }
    arena->last = block;
    return SL_OK;
}

enum sl_status sl_arena_create(struct sl_error *err, size_t first_block_bytes,
                               struct sl_arena **arena)
{
    enum sl_status status = SL_OK;
    struct sl_arena *made = NULL;
    *arena = NULL;
    SL_TRY(sl_heap_alloc(err, "arena", 1, sizeof *made, &made));
    size_t capacity = first_block_bytes < BLOCK_MIN ? BLOCK_MIN : first_block_bytes;
    SL_TRY_OUT(block_append(err, made, capacity));
    made->current = made->first;
    *arena = made;
    made = NULL;
out:
    sl_arena_destroy(made);
    return status;
}

void sl_arena_destroy(struct sl_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    struct block *block = arena->first;
    while (block != NULL) {
        struct block *next = block->next;
        unpoison(block->memory, block->capacity);
        sl_heap_free(block->memory);
        sl_heap_free(block);
        block = next;
    }
    sl_heap_free(arena);
}

/* The current block, or the next empty one of the chain that is large enough, or a new
 * one. */
static enum sl_status block_with_room(struct sl_error *err, struct sl_arena *arena,
                                      size_t bytes, struct block **found)
{
    struct block *block = arena->current;
    while (block != NULL && block->capacity - block->used < bytes) {
        block = block->next;
        if (block != NULL) {
            block->used = 0;
        }
    }
    if (block == NULL) {
        size_t capacity = arena->last->capacity;
        if (capacity < (size_t)1 << 30) {
            capacity *= 2;
        }
        if (capacity < bytes) {
            capacity = bytes;
        }
        SL_TRY(block_append(err, arena, capacity));
        block = arena->last;
    }
    *found = block;
    return SL_OK;
}

static enum sl_status take(struct sl_error *err, struct sl_arena *arena, int64_t count,
                           size_t size, bool is_cleared, void *memory_pointer)
{
    void *memory = NULL;
    memcpy(memory_pointer, &memory, sizeof memory);
    int64_t bytes = 0;
    if (size > INT64_MAX / 2 || !sl_mul_checked(count, (int64_t)size, &bytes) ||
        bytes > INT64_MAX / 2) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "out of memory: %lld items of %zu bytes are more than any machine has; "
            "check the sizes asked for",
            (long long)count, size);
    }
    size_t mask = (size_t)ALIGNMENT - 1;
    size_t rounded = ((size_t)bytes + mask) & ~mask;
    if (rounded == 0) {
        rounded = ALIGNMENT;
    }
    rounded += RED_ZONE;
    struct block *block = NULL;
    SL_TRY(block_with_room(err, arena, rounded, &block));
    memory = block->memory + block->used;
    unpoison(memory, (size_t)bytes);
    if (is_cleared && block->used < block->dirty) {
        size_t old = block->dirty - block->used;
        memset(memory, 0, old < (size_t)bytes ? old : (size_t)bytes);
    }
    block->used += rounded;
    if (block->dirty < block->used) {
        block->dirty = block->used;
    }
    arena->current = block;
    memcpy(memory_pointer, &memory, sizeof memory);
    return SL_OK;
}

enum sl_status sl_arena_alloc(struct sl_error *err, struct sl_arena *arena, int64_t count,
                              size_t size, void *memory_pointer)
{
    return take(err, arena, count, size, true, memory_pointer);
}

enum sl_status sl_arena_alloc_dirty(struct sl_error *err, struct sl_arena *arena,
                                    int64_t count, size_t size, void *memory_pointer)
{
    return take(err, arena, count, size, false, memory_pointer);
}

enum sl_status sl_arena_text(struct sl_error *err, struct sl_arena *arena,
                             const char *text, const char **copy)
{
    char *made = NULL;
    *copy = NULL;
    size_t bytes = strlen(text) + 1;
    SL_TRY(sl_arena_alloc(err, arena, (int64_t)bytes, 1, &made));
    memcpy(made, text, bytes);
    *copy = made;
    return SL_OK;
}

struct sl_arena_mark sl_arena_mark_now(const struct sl_arena *arena)
{
    return (struct sl_arena_mark){.block = arena->current, .used = arena->current->used};
}

void sl_arena_reset(struct sl_arena *arena, struct sl_arena_mark mark)
{
    struct block *target = mark.block;
    SL_ASSERT(mark.used <= target->used);
    poison(target->memory + mark.used, target->capacity - mark.used);
    target->used = mark.used;
    for (struct block *block = target->next; block != NULL; block = block->next) {
        poison(block->memory, block->capacity);
        block->used = 0;
    }
    arena->current = target;
}

void sl_arena_reset_all(struct sl_arena *arena)
{
    sl_arena_reset(arena, (struct sl_arena_mark){.block = arena->first, .used = 0});
}

size_t sl_arena_capacity(const struct sl_arena *arena)
{
    size_t capacity = 0;
    for (const struct block *block = arena->first; block != NULL; block = block->next) {
        capacity += block->capacity;
    }
    return capacity;
}

/* ---- texts ------------------------------------------------------------------------- */

/* What a text points at when its first piece found no memory; never written. */
static char no_text[1];

/* Room for `more` bytes and the terminator; false when memory is out. */
static bool text_reserve(struct sl_text *text, size_t more)
{
    if (text->failed) {
        return false;
    }
    if (text->capacity > 0 && more < text->capacity - text->length) {
        return true;
    }
    if (more > SIZE_MAX / 4 - text->length) {
        text->failed = true;
    } else {
        size_t capacity = text->capacity < 128 ? 128 : text->capacity * 2;
        if (capacity < text->length + more + 1) {
            capacity = text->length + more + 1;
        }
        struct sl_error err = {0};
        char *grown = NULL;
        if (sl_heap_alloc(&err, "text", (int64_t)capacity, 1, &grown) == SL_OK) {
            if (text->capacity > 0) {
                memcpy(grown, text->text, text->length + 1);
                sl_heap_free(text->text);
            }
            text->text = grown;
            text->capacity = capacity;
            return true;
        }
        text->failed = true;
    }
    if (text->capacity == 0) {
        text->text = no_text;
    }
    return false;
}

void sl_text_add_bytes(struct sl_text *text, const void *bytes, size_t count)
{
    if (!text_reserve(text, count)) {
        return;
    }
    if (count > 0) {
        memcpy(text->text + text->length, bytes, count);
    }
    text->length += count;
    text->text[text->length] = '\0';
}

void sl_text_add(struct sl_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        (void)text_reserve(text, 0);
        text->failed = true;
    } else if (text_reserve(text, (size_t)length)) {
        (void)vsnprintf(text->text + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void sl_text_finish(struct sl_text *text)
{
    if (text->capacity > 0) {
        sl_heap_free(text->text);
    }
    *text = (struct sl_text){0};
}

bool sl_text_copy(char *dst, size_t size, const char *src)
{
    SL_ASSERT(size > 0);
    size_t length = strlen(src);
    size_t fits = length < size ? length : size - 1;
    memcpy(dst, src, fits);
    dst[fits] = '\0';
    return fits == length;
}

const char *sl_plural(double n)
{
    return n == 1.0 ? "" : "s";
}

uint64_t sl_hash(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}
