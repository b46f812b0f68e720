/* SPDX-License-Identifier: MIT */
/*
 * Decoding a part of a JPEG: the pixels of the box are those of the whole picture, for
 * every sampling and any box; damage behind the box is found; reduced pictures look like
 * the picture; and a batch is the same as from whole pictures.
 */
#include "data/data_int.h"
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct chosen {
    struct sl_box box;
    int eighths;
    int height, width; /* what the decoder said */
};

static void choose(void *context, int height, int width, struct sl_box *box, int *eighths)
{
    struct chosen *chosen = context;
    chosen->height = height;
    chosen->width = width;
    *box = chosen->box;
    *eighths = chosen->eighths;
}

static enum sl_status decode_part(struct sl_error *err, const unsigned char *bytes,
                                  int64_t size, struct chosen *chosen,
                                  struct sl_window *window, struct sl_arena *arena,
                                  struct sl_image *image)
{
    struct sl_part_wish wish = {.choose = choose, .context = chosen};
    struct sl_decode_options options = {.part = &wish};
    enum sl_status status =
        sl_decode(err, "part.jpg", bytes, size, &options, arena, image);
    *window = wish.window;
    return status;
}

static void check_box(const struct sl_image *whole, const unsigned char *bytes,
                      int64_t size, struct sl_box box)
{
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct chosen chosen = {.box = box, .eighths = 8};
    struct sl_window window;
    struct sl_image part;
    if (decode_part(&err, bytes, size, &chosen, &window, arena, &part) != SL_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(chosen.height, whole->height);
    assert_int_equal(chosen.width, whole->width);
    assert_int_equal(window.height, whole->height);
    assert_int_equal(window.width, whole->width);
    assert_int_equal(window.eighths, 8);
    assert_in_range(window.top, 0, box.top);
    assert_in_range(window.left, 0, box.left);
    assert_true(window.top + part.height >= box.top + box.height);
    assert_true(window.left + part.width >= box.left + box.width);
    for (int y = box.top; y < box.top + box.height; y++) {
        const unsigned char *want =
            whole->pixels + 3 * ((int64_t)y * whole->width + box.left);
        const unsigned char *got =
            part.pixels +
            3 * ((int64_t)(y - window.top) * part.width + box.left - window.left);
        if (memcmp(got, want, (size_t)box.width * 3) != 0) {
            fail_msg("box %d %d %d x %d: row %d differs", box.top, box.left, box.height,
                     box.width, y);
        }
    }
    sl_arena_destroy(arena);
}

static struct sl_box some_box(struct sl_rng *rng, int height, int width)
{
    struct sl_box box;
    box.height = 1 + (int)sl_rng_below(rng, (uint32_t)height);
    box.width = 1 + (int)sl_rng_below(rng, (uint32_t)width);
    box.top = (int)sl_rng_below(rng, (uint32_t)(height - box.height + 1));
    box.left = (int)sl_rng_below(rng, (uint32_t)(width - box.width + 1));
    return box;
}

static void check_file(const unsigned char *bytes, int64_t size, int n_boxes)
{
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct sl_image whole;
    struct sl_rng rng = sl_rng_at(2, SL_RNG_TEST, (uint32_t)size, 0);
    if (sl_decode(&err, "whole.jpg", bytes, size, NULL, arena, &whole) != SL_OK) {
        fail_msg("%s", err.text);
    }
    int h = whole.height, w = whole.width;
    check_box(&whole, bytes, size, (struct sl_box){0, 0, h, w});
    check_box(&whole, bytes, size, (struct sl_box){0, 0, 1, 1});
    check_box(&whole, bytes, size, (struct sl_box){h - 1, w - 1, 1, 1});
    for (int i = 0; i < n_boxes; i++) {
        check_box(&whole, bytes, size, some_box(&rng, h, w));
    }
    sl_arena_destroy(arena);
}

/* Calls a function with the bytes of each file of parts.txt. */
static void each_golden(void (*function)(const unsigned char *bytes, int64_t size))
{
    struct sl_error err = {0};
    char path[1024];
    unsigned char *listing = NULL, *bytes = NULL;
    int64_t size = 0;
    int n = 0;
    kit_golden_path("parts.txt", path, sizeof(path));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 4096, &listing, &size),
                     SL_OK);
    for (char *line = (char *)listing, *next = NULL; *line != '\0'; line = next, n++) {
        next = strchr(line, '\n');
        *next++ = '\0';
        kit_golden_path(line, path, sizeof(path));
        assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &bytes, &size),
                         SL_OK);
        function(bytes, size);
        sl_heap_free(bytes);
    }
    assert_int_equal(n, 6);
    sl_heap_free(listing);
}

static void boxes_of(const unsigned char *bytes, int64_t size)
{
    check_file(bytes, size, 150);
}

static void test_boxes(void **state)
{
    (void)state;
    each_golden(boxes_of);
}

/* Cut off near its end, a file is damaged also for a box at its top. */
static void damage_of(const unsigned char *bytes, int64_t size)
{
    struct sl_error err = {0};
    struct sl_arena *arena = kit_arena();
    struct chosen chosen = {.box = {0, 0, 9, 9}, .eighths = 8};
    struct sl_window window;
    struct sl_image part;
    assert_int_equal(decode_part(&err, bytes, size - 60, &chosen, &window, arena, &part),
                     SL_ERROR_DATA);
    assert_non_null(strstr(err.text, "cut short"));
    sl_arena_destroy(arena);
}

static void test_damage_behind_the_box(void **state)
{
    (void)state;
    each_golden(damage_of);
}

/* A part of a reduced picture is that part of the whole reduced one, whose pixels are
 * near the mean of those they stand for (the picture has stripes a few pixels wide). */
static void reduced_of(const unsigned char *bytes, int64_t size)
{
    const struct sl_box box = {16, 24, 64, 80};
    for (int eighths = 4; eighths >= 1; eighths /= 2) {
        struct sl_error err = {0};
        struct sl_arena *arena = kit_arena();
        struct chosen chosen = {.box = box, .eighths = eighths};
        struct sl_window window;
        struct sl_image part, reduced, whole;
        double sum = 0;
        int side = 8 / eighths, h = box.height / side, w = box.width / side;
        assert_int_equal(decode_part(&err, bytes, size, &chosen, &window, arena, &part),
                         SL_OK);
        assert_int_equal(window.eighths, eighths);
        int top = box.top / side - window.top, left = box.left / side - window.left;
        assert_true(top >= 0 && left >= 0 && top + h <= part.height &&
                    left + w <= part.width);
        assert_int_equal(sl_decode(&err, "whole.jpg", bytes, size, NULL, arena, &whole),
                         SL_OK);
        chosen.box = (struct sl_box){0, 0, whole.height, whole.width};
        assert_int_equal(
            decode_part(&err, bytes, size, &chosen, &window, arena, &reduced), SL_OK);
        assert_int_equal(window.left, 0);
        assert_int_equal(reduced.height, (whole.height + side - 1) / side);
        assert_int_equal(reduced.width, (whole.width + side - 1) / side);
        for (int y = 0; y < h; y++) {
            int64_t from =
                (int64_t)(box.top / side + y) * reduced.width + box.left / side;
            const unsigned char *got =
                part.pixels + 3 * ((int64_t)(top + y) * part.width + left);
            assert_memory_equal(got, reduced.pixels + 3 * from, (size_t)w * 3);
        }
        for (int i = 0; i < h * w * 3; i++) {
            int y = i / 3 / w, x = i / 3 % w, c = i % 3, total = 0;
            for (int k = 0; k < side * side; k++) {
                int at = (box.top + y * side + k / side) * whole.width + box.left +
                         x * side + k % side;
                total += whole.pixels[3 * at + c];
            }
            double mean = (double)total / (side * side);
            double got = part.pixels[3 * ((top + y) * part.width + left + x) + c];
            sum += got > mean ? got - mean : mean - got;
        }
        if (sum / (h * w * 3) > 12) {
            fail_msg("at %d/8: %g levels off in the mean", eighths, sum / (h * w * 3));
        }
        sl_arena_destroy(arena);
    }
}

static void test_reduced(void **state)
{
    (void)state;
    each_golden(reduced_of);
}

/* The loader's batches are views of the whole pictures, whatever was decoded of them. */
static void test_batches(void **state)
{
    (void)state;
    enum { SIZE = 16, ROW = SIZE * SIZE * 3 };
    static const char *const names[6] = {"part-444.jpg",     "part-422.jpg",
                                         "part-420.jpg",     "part-progressive.jpg",
                                         "part-restart.jpg", "part-grey.jpg"};
    const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.3f, 0.4f};
    struct sl_error err = {0};
    for (int i = 0; i < 6; i++) {
        char to[64];
        snprintf(to, sizeof(to), "photos/%s", names[i]);
        kit_copy_golden(names[i], to, -1);
    }
    struct sl_source *source = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_loader_config config = {.source = source,
                                      .n_views = 2,
                                      .batch = 6,
                                      .n_workers = 2,
                                      .seed = 5,
                                      .end_step = 20};
    assert_int_equal(sl_recipe_named(&err, "mocov2", SIZE, mean, std, &config.recipe),
                     SL_OK);
    struct sl_loader *loader = NULL;
    struct sl_arena *arena = kit_arena();
    struct sl_loader_memory planned = sl_loader_plan_memory(&config);
    int64_t before = sl_heap_bytes();
    assert_int_equal(sl_loader_create(&err, &config, &loader), SL_OK);
    int64_t taken = sl_heap_bytes() - before;
    for (int step = 0; step < 20; step++) {
        struct sl_batch batch;
        float want[ROW];
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        for (int r = 0; r < 6; r++) {
            for (uint32_t v = 0; v < 2; v++) {
                struct sl_image image;
                sl_arena_reset_all(arena);
                assert_int_equal(
                    sl_source_read(&err, source, batch.ids[r], arena, &image), SL_OK);
                assert_int_equal(sl_augment(&err, &config.recipe, &image, 5,
                                            (uint32_t)batch.epoch, (uint32_t)batch.ids[r],
                                            v, arena, want),
                                 SL_OK);
                assert_memory_equal(batch.views[v] + r * ROW, want, sizeof(want));
            }
        }
        sl_loader_release(loader);
    }
    /* The ring is what it was planned to be, and a worker holds its first block still. */
    struct sl_loader_memory memory = sl_loader_memory(loader);
    size_t row = 2 * ROW * sizeof(float) + 2 * sizeof(int32_t);
    assert_int_equal(memory.ring, (size_t)memory.slots * 6 * row);
    assert_int_equal(memory.workers, 2 * (1024 * 1024 + 6 * sizeof(int32_t)));
    /* All of it was planned; what is taken besides is small. */
    assert_int_equal(planned.slots, memory.slots);
    assert_int_equal(planned.ring, memory.ring);
    assert_int_equal(planned.workers, memory.workers);
    assert_in_range(taken, planned.ring + planned.workers,
                    planned.ring + planned.workers + 128 * 1024);
    sl_loader_destroy(loader);
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* Reduced decoding: every crop lies inside of what was decoded, and the views are near
 * those of the whole. */
static void test_fast_decode(void **state)
{
    (void)state;
    enum { SIZE = 10, ROW = SIZE * SIZE * 3, STEPS = 30 };
    const float mean[3] = {0, 0, 0}, std[3] = {1.0f / 255, 1.0f / 255, 1.0f / 255};
    struct sl_error err = {0};
    kit_copy_golden("part-420.jpg", "fast/a.jpg", -1);
    kit_copy_golden("part-444.jpg", "fast/b.jpg", -1);
    struct sl_source *source = kit_open("fast", SL_PART_TRAIN, true);
    struct sl_loader_config config = {.source = source,
                                      .n_views = 2,
                                      .batch = 2,
                                      .n_workers = 1,
                                      .seed = 5,
                                      .end_step = STEPS};
    static float views[2][STEPS][2 * ROW];
    double sum = 0;
    assert_int_equal(sl_recipe_named(&err, "mocov2", SIZE, mean, std, &config.recipe),
                     SL_OK);
    config.recipe.jitter_p = 0;
    for (int fast = 0; fast < 2; fast++) {
        struct sl_loader *loader = NULL;
        config.recipe.fast_decode = fast == 1;
        assert_int_equal(sl_loader_create(&err, &config, &loader), SL_OK);
        for (int step = 0; step < STEPS; step++) {
            struct sl_batch batch;
            assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
            memcpy(views[fast][step], batch.views[1], sizeof(views[0][0]));
            sl_loader_release(loader);
        }
        sl_loader_destroy(loader);
    }
    assert_memory_not_equal(views[0], views[1], sizeof(views[0]));
    for (int i = 0; i < STEPS * 2 * ROW; i++) {
        float off = (&views[0][0][0])[i] - (&views[1][0][0])[i];
        sum += (double)(off < 0 ? -off : off);
    }
    assert_true(sum / (STEPS * 2 * ROW) < 8);
    sl_source_close(source);
}

/* How far a picture may be reduced follows from the smaller side of the smallest crop. */
static void test_how_far(void **state)
{
    (void)state;
    const float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
    struct sl_error err = {0};
    struct sl_recipe recipe;
    bool seen[9] = {false};
    assert_int_equal(sl_recipe_named(&err, "mocov2", 100, mean, std, &recipe), SL_OK);
    for (uint32_t s = 0; s < 500; s++) {
        struct sl_box box;
        int eighths = 0, least = 1000;
        recipe.fast_decode = false;
        sl_augment_part(&recipe, 700, 900, 1, 0, s, 2, &box, &eighths);
        assert_int_equal(eighths, 8);
        recipe.fast_decode = true;
        sl_augment_part(&recipe, 700, 900, 1, 0, s, 2, &box, &eighths);
        for (uint32_t v = 0; v < 2; v++) {
            struct sl_box one = sl_draw_view(&recipe, 700, 900, 1, 0, s, v).box;
            assert_true(one.top >= box.top && one.left >= box.left &&
                        one.top + one.height <= box.top + box.height &&
                        one.left + one.width <= box.left + box.width);
            least = one.height < least ? one.height : least;
            least = one.width < least ? one.width : least;
        }
        assert_true(least * eighths / 8 > 100);
        assert_true(eighths == 1 || least * eighths / 16 <= 100);
        seen[eighths] = true;
    }
    assert_true(seen[4] && seen[2]);
}

/* Real photographs, where the test data is there. */
static void test_real_photographs(void **state)
{
    (void)state;
    const char *folder = kit_unpacked("imagenette-224");
    if (folder == NULL) {
        skip();
    }
    struct sl_source *source = kit_open(folder, SL_PART_TRAIN, true);
    for (int64_t i = 0; i < 20; i++) {
        struct sl_error err = {0};
        char name[1024];
        unsigned char *bytes = NULL;
        int64_t size = 0;
        sl_source_name(source, i * 97 % sl_source_count(source), name, sizeof(name));
        assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, name, 1 << 24, &bytes, &size),
                         SL_OK);
        check_file(bytes, size, 15);
        sl_heap_free(bytes);
    }
    sl_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_damage_behind_the_box),
        cmocka_unit_test(test_reduced),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_fast_decode),
        cmocka_unit_test(test_how_far),
        cmocka_unit_test(test_real_photographs),
    };
    return cmocka_run_group_tests_name("data_part", tests, NULL, NULL);
}
