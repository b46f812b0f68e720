/* SPDX-License-Identifier: MIT */
/*
 * Packing: the bytes of shards whatever the workers and stops, what is refused, damaged
 * pictures, a full disk; and that a training run sees the same pictures in the same order
 * in a folder and in the shards made of it, each once an epoch, from any step on.
 */
#include "data/index_int.h"
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PICTURES = 26 };

static const char *const jpegs[] = {"420.jpg", "444.jpg", "grey.jpg", "progressive.jpg"};

static struct sl_error err;

static void ok(enum sl_status status)
{
    if (status != SL_OK) {
        fail_msg("%s", err.text);
    }
}

/* 26 JPEGs in three classes; sizes differ. */
static int make_photos(void **state)
{
    static const char *const outs[] = {"w1",    "w5",    "whole",  "parts",  "again",
                                       "mine",  "odd",   "roomy",  "full",   "same",
                                       "small", "both",  "healed", "stops",  "strict",
                                       "train", "names", "named",  "decoded"};
    (void)state;
    for (int i = 0; i < SL_COUNT(outs); i++) {
        kit_remove(outs[i]);
    }
    for (int i = 0; i < PICTURES; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "photos/%c/%02d.jpg", "abc"[i % 3], i);
        kit_copy_golden(jpegs[i % 4], path, -1);
    }
    return 0;
}

static struct sl_pack_config config_for(const struct sl_source *source, const char *out)
{
    return (struct sl_pack_config){.sources = {source},
                                   .n_sources = 1,
                                   .out = out,
                                   .shard_bytes = 12000,
                                   .n_workers = 2,
                                   .max_bad = 0.5};
}

static struct sl_pack_result pack(const struct sl_source *source, const char *out,
                                  int n_workers)
{
    struct sl_pack_config config = config_for(source, out);
    struct sl_pack_result result;
    config.n_workers = n_workers;
    err = (struct sl_error){0};
    ok(sl_pack(&err, &config, &result));
    return result;
}

static void same_file(const char *a, const char *b)
{
    unsigned char *left = NULL, *right = NULL;
    int64_t n_left = 0, n_right = 0;
    ok(sl_file_read(&err, SL_ERROR_RUN, a, 1 << 26, &left, &n_left));
    ok(sl_file_read(&err, SL_ERROR_RUN, b, 1 << 26, &right, &n_right));
    assert_int_equal(n_left, n_right);
    assert_memory_equal(left, right, (size_t)n_left);
    sl_heap_free(left);
    sl_heap_free(right);
}

static void same_shards(const char *a, const char *b, int64_t n)
{
    for (int64_t i = 0; i <= n; i++) {
        char left[64], right[64];
        (void)snprintf(left, sizeof(left), "%s-%06lld.tar", a, (long long)i);
        (void)snprintf(right, sizeof(right), "%s-%06lld.tar", b, (long long)i);
        if (i == n) {
            assert_int_equal(sl_path_kind(left), SL_PATH_MISSING);
            assert_int_equal(sl_path_kind(right), SL_PATH_MISSING);
        } else {
            same_file(left, right);
        }
    }
    char left[64], right[64];
    (void)snprintf(left, sizeof(left), "%s.pack", a);
    (void)snprintf(right, sizeof(right), "%s.pack", b);
    same_file(left, right);
}

static int count_files(const char *dir, const char *word)
{
    struct sl_dir_list list = {0};
    int n = 0;
    ok(sl_dir_list(&err, SL_ERROR_RUN, dir, &list));
    for (int64_t i = 0; i < list.n; i++) {
        n += strstr(list.names[i], word) != NULL;
    }
    sl_dir_list_finish(&list);
    return n;
}

/* ---- bytes ------------------------------------------------------------------------- */

static void test_workers_do_not_matter(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_pack_result one = pack(photos, "w1/p", 1);
    struct sl_pack_result many = pack(photos, "w5/p", 5);
    assert_int_equal(one.n_pictures, PICTURES);
    assert_true(one.n_shards > 2);
    assert_int_equal(one.n_shards, many.n_shards);
    same_shards("w1/p", "w5/p", one.n_shards);
    /* Done is done. */
    assert_int_equal(pack(photos, "w1/p", 2).n_kept, one.n_shards);
    sl_source_close(photos);
}

struct stop {
    int left;
};

static bool stop_later(void *context)
{
    struct stop *stop = context;
    return --stop->left <= 0;
}

static void test_goes_on(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_pack_result whole = pack(photos, "whole/p", 2), result;
    for (int n = 1; n < PICTURES; n += 4) {
        struct stop stop = {n};
        struct sl_pack_config config = config_for(photos, "parts/p");
        config.stop_requested = stop_later;
        config.context = &stop;
        err = (struct sl_error){0};
        assert_int_equal(sl_pack(&err, &config, &result), SL_STOPPED);
        assert_int_equal(count_files("parts", ".tmp."), 0);
        kit_write("parts/p-000001.tar.tmp.1", "torn", 4); /* as a kill leaves it */
        if (n > 12) { /* and a shard that lost its end */
            assert_int_equal(truncate("parts/p-000000.tar", 1000), 0);
        }
    }
    result = pack(photos, "parts/p", 2);
    same_shards("whole/p", "parts/p", whole.n_shards);
    assert_int_equal(count_files("parts", ".tmp."), 0);
    assert_int_equal(result.n_pictures, PICTURES);
    sl_source_close(photos);
}

static void expect_refused(const struct sl_pack_config *config, enum sl_status status,
                           const char *word)
{
    struct sl_pack_result result;
    err = (struct sl_error){0};
    assert_int_equal(sl_pack(&err, config, &result), status);
    if (strstr(err.text, word) == NULL) {
        fail_msg("the message is: %s", err.text);
    }
}

static void test_other_settings(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_pack_result first = pack(photos, "again/p", 2), result;
    struct sl_pack_config config = config_for(photos, "again/p");
    config.quality = 30;
    config.shard_bytes = 1 << 20;
    expect_refused(&config, SL_ERROR_USAGE, "other settings");
    config.overwrite = true;
    err = (struct sl_error){0};
    ok(sl_pack(&err, &config, &result));
    assert_true(first.n_shards > 1 && result.n_shards == 1);
    assert_int_equal(count_files("again", ".tar"), 1); /* the old ones would be read */
    kit_write("mine/p-000000.tar", "mine", 4);
    config = config_for(photos, "mine/p");
    expect_refused(&config, SL_ERROR_USAGE, "exists");
    kit_write("odd/p.pack", "slimclr-pack 1\nx\nshard 5 0 9\n", 29);
    config = config_for(photos, "odd/p");
    expect_refused(&config, SL_ERROR_USAGE, "odd/p.pack:3");
    sl_source_close(photos);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_pack_result whole = pack(photos, "roomy/p", 2);
    struct sl_pack_config config = config_for(photos, "full/p");
    config.overwrite = true; /* from the start each time */
    for (int64_t room = 0; room < whole.bytes; room += 4999) {
        sl_file_fail_after(room);
        expect_refused(&config, SL_ERROR_RUN, "disk full");
        sl_file_fail_after(-1);
        assert_int_equal(
            sl_path_kind("full") == SL_PATH_DIRECTORY ? count_files("full", ".tmp.") : 0,
            0);
    }
    (void)pack(photos, "full/p", 2);
    same_shards("roomy/p", "full/p", whole.n_shards);
    sl_source_close(photos);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_pack_config config = config_for(photos, "short/p");
    config.n_workers = 1;
    config.overwrite = true;
    config.shard_bytes = 1 << 20;
    for (int64_t k = 1; k < 200; k += 7) {
        struct sl_pack_result result;
        int64_t held = sl_heap_bytes();
        err = (struct sl_error){0};
        sl_heap_fail_at(k);
        enum sl_status status = sl_pack(&err, &config, &result);
        sl_heap_fail_at(0);
        assert_true(status == SL_OK || err.text[0] != '\0');
        assert_int_equal(sl_heap_bytes(), held);
        if (sl_path_kind("short") == SL_PATH_DIRECTORY) {
            assert_int_equal(count_files("short", ".tmp."), 0);
        }
    }
    sl_source_close(photos);
}

/* ---- pictures ---------------------------------------------------------------------- */

static void test_untouched_or_smaller(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    (void)pack(photos, "same/p", 2);
    struct sl_source *same = kit_open("same/p-{000000..000001}.tar", SL_PART_TRAIN, true);
    struct sl_arena *arena = kit_arena();
    for (int64_t i = 0; i < sl_source_count(same); i++) {
        unsigned char *left = NULL, *right = NULL;
        int64_t n_left = 0, n_right = 0;
        ok(sl_source_bytes(&err, photos, i, arena, &left, &n_left));
        ok(sl_source_bytes(&err, same, i, arena, &right, &n_right));
        assert_int_equal(n_left, n_right);
        assert_memory_equal(left, right, (size_t)n_left);
    }
    struct sl_pack_config config = config_for(photos, "small/p");
    struct sl_pack_result result;
    config.max_side = 10;
    config.shard_bytes = 1 << 20;
    ok(sl_pack(&err, &config, &result));
    struct sl_source *small = kit_open("small/p-000000.tar", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(small), PICTURES);
    for (int64_t i = 0; i < PICTURES; i++) {
        struct sl_image before, after;
        ok(sl_source_read(&err, photos, i, arena, &before));
        ok(sl_source_read(&err, small, i, arena, &after));
        int longer = before.height > before.width ? before.height : before.width;
        assert_int_equal(after.height, (before.height * 10 + longer / 2) / longer);
        assert_int_equal(after.width, (before.width * 10 + longer / 2) / longer);
        assert_int_equal(sl_source_label(small, i), sl_source_label(photos, i));
    }
    sl_arena_destroy(arena);
    sl_source_close(photos);
    sl_source_close(same);
    sl_source_close(small);
}

/* Shards hold numbers; names lie beside them, whatever a folder may be called. */
static void test_class_names(void **state)
{
    static const char *const names[] = {"a \\x41", "b\nc\td", "z \xc3\xbc"};
    (void)state;
    for (int c = 0; c < SL_COUNT(names); c++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "named/%s/x.jpg", names[c]);
        kit_copy_golden("420.jpg", path, -1);
    }
    struct sl_source *folder = kit_open("named", SL_PART_TRAIN, true);
    (void)pack(folder, "names/p", 1);
    struct sl_source *shard = kit_open("names/p-000000.tar", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_classes(shard), SL_COUNT(names));
    for (int c = 0; c < SL_COUNT(names); c++) {
        assert_string_equal(sl_source_class_name(folder, c), names[c]);
        assert_string_equal(sl_source_class_name(shard, c), names[c]);
        assert_int_equal(sl_source_label(shard, c), c);
    }
    /* Shards that are packed again keep them. */
    (void)pack(shard, "names/q", 1);
    same_file("names/p.classes.txt", "names/q.classes.txt");
    /* A class without pictures here; too few; none; a set whose names are numbers. */
    kit_write("names/p.classes.txt", "a\r\nb\nc\nd", 8);
    struct sl_source *four = kit_open("names/p-000000.tar", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_classes(four), 4);
    assert_string_equal(sl_source_class_name(four, 0), "a");
    assert_string_equal(sl_source_class_name(four, 3), "d");
    kit_write("names/p.classes.txt", "a\nb\n", 4);
    kit_open_fails("names/p-000000.tar", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "p.classes.txt: 2 class names, and the shards have labels up to 2");
    kit_remove("names/p.classes.txt");
    struct sl_source *numbers = kit_open("names/p-000000.tar", SL_PART_TRAIN, true);
    assert_string_equal(sl_source_class_name(numbers, 2), "2");
    kit_write("names/r.classes.txt", "old", 3);
    (void)pack(numbers, "names/r", 1);
    assert_int_equal(sl_path_kind("names/r.classes.txt"), SL_PATH_MISSING);
    sl_source_close(folder);
    sl_source_close(shard);
    sl_source_close(four);
    sl_source_close(numbers);
}

/* Transparency, channels and limits are the caller's. */
static void test_decode_options(void **state)
{
    (void)state;
    kit_copy_golden("../formats/palette-alpha.png", "decoded/in/1.png", -1);
    kit_copy_golden("420.jpg", "decoded/in/2.jpg", -1);
    kit_copy_golden("grey.jpg", "decoded/in/3.jpg", -1);
    struct sl_source *source = kit_open("decoded/in", SL_PART_TRAIN, true);
    struct sl_pack_config config = config_for(source, "decoded/white");
    struct sl_pack_result result;
    struct sl_arena *arena = kit_arena();
    struct sl_image white, black;
    config.quality = 100;
    ok(sl_pack(&err, &config, &result));
    config.out = "decoded/black";
    config.decode.alpha_chosen = true; /* black */
    ok(sl_pack(&err, &config, &result));
    struct sl_source *a = kit_open("decoded/white-000000.tar", SL_PART_TRAIN, true);
    struct sl_source *b = kit_open("decoded/black-000000.tar", SL_PART_TRAIN, true);
    ok(sl_source_read(&err, a, 0, arena, &white));
    ok(sl_source_read(&err, b, 0, arena, &black));
    double mean = 0;
    assert_true(kit_largest_difference(&white, &black, &mean) > 100);
    sl_source_close(a);
    sl_source_close(b);
    config.decode.alpha_on[0] = 1;
    expect_refused(&config, SL_ERROR_USAGE, "other settings");
    /* One channel: colour is encoded anew, a grey JPEG stays as it is. */
    config = config_for(source, "decoded/grey");
    config.decode.channels = 1;
    ok(sl_pack(&err, &config, &result));
    a = kit_open("decoded/grey-000000.tar", SL_PART_TRAIN, true);
    for (int64_t i = 0; i < 3; i++) {
        struct sl_file_facts facts;
        struct sl_image image;
        const struct sl_decode_options options = {.facts = &facts};
        unsigned char *bytes = NULL, *before = NULL;
        int64_t size = 0, size_before = 0;
        ok(sl_source_bytes(&err, a, i, arena, &bytes, &size));
        ok(sl_decode(&err, "packed", bytes, size, &options, arena, &image));
        assert_true(facts.is_grey);
        ok(sl_source_bytes(&err, source, i, arena, &before, &size_before));
        bool is_same = size == size_before && memcmp(bytes, before, (size_t)size) == 0;
        assert_int_equal(is_same, i == 2);
    }
    sl_source_close(a);
    /* A picture above the limit is a damaged one. */
    config = config_for(source, "decoded/small");
    config.decode.max_bytes = 300;
    config.max_bad = 1;
    err = (struct sl_error){0};
    (void)sl_pack(&err, &config, &result);
    assert_true(result.n_bad > 0);
    sl_arena_destroy(arena);
    sl_source_close(source);
}

static void test_both_parts(void **state)
{
    (void)state;
    kit_copy_golden("420.jpg", "parted/train/x/1.jpg", -1);
    kit_copy_golden("444.jpg", "parted/train/y/2.jpg", -1);
    kit_copy_golden("grey.jpg", "parted/val/y/3.jpg", -1);
    struct sl_source *train = kit_open("parted", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("parted", SL_PART_TEST, true);
    struct sl_pack_config config = config_for(train, "both/p");
    struct sl_pack_result result;
    config.sources[1] = test;
    config.n_sources = 2;
    ok(sl_pack(&err, &config, &result));
    assert_int_equal(result.n_pictures, 3);
    struct sl_source *train2 = kit_open("both", SL_PART_TRAIN, false);
    struct sl_source *test2 = kit_open("both", SL_PART_TEST, false);
    assert_false(sl_source_was_split(test2));
    assert_int_equal(kit_hash(train, 0, 2), kit_hash(train2, 0, 2));
    assert_int_equal(kit_hash(test, 0, 1), kit_hash(test2, 0, 1));
    assert_int_equal(sl_source_label(test2, 0), 1);
    assert_int_equal(sl_source_classes(test2), 2);
    assert_string_equal(sl_source_class_name(test2, 1), "y");
    sl_source_close(train);
    sl_source_close(test);
    sl_source_close(train2);
    sl_source_close(test2);
}

static void test_damaged(void **state)
{
    (void)state;
    kit_copy_golden("420.jpg", "hurt/1.jpg", -1);
    kit_copy_golden("420.jpg", "hurt/2.jpg", 418);
    kit_copy_golden("444.jpg", "hurt/3.jpg", -1);
    struct sl_source *photos = kit_open("hurt", SL_PART_TRAIN, true);
    struct sl_pack_result result = pack(photos, "healed/p", 2);
    assert_int_equal(result.n_pictures, 2);
    assert_int_equal(result.n_bad, 1);
    unsigned char *bytes = NULL;
    int64_t size = 0;
    ok(sl_file_read(&err, SL_ERROR_RUN, "healed/p.bad_files.txt", 4096, &bytes, &size));
    assert_non_null(strstr((char *)bytes, "hurt/2.jpg\thurt/2.jpg: damaged JPEG"));
    sl_heap_free(bytes);
    struct sl_source *healed = kit_open("healed", SL_PART_TRAIN, true);
    char name[128];
    sl_source_name(healed, 1, name, sizeof(name));
    assert_string_equal(name, "healed/p-000000.tar/00000002.jpg"); /* by sample */
    struct sl_pack_config config = config_for(photos, "stops/p");
    config.bad_policy = SL_BAD_STOP;
    expect_refused(&config, SL_ERROR_DATA, "hurt/2.jpg");
    config = config_for(photos, "strict/p");
    config.max_bad = 0.1;
    expect_refused(&config, SL_ERROR_DATA, "max-bad");
    assert_int_equal(count_files("strict", ".tar"), 0);
    sl_source_close(photos);
    sl_source_close(healed);
}

/* ---- training from shards ---------------------------------------------------------- */

static struct sl_loader *load(const struct sl_source *source, int64_t first, int64_t end,
                              int n_workers)
{
    static const float mean[3] = {.5f, .5f, .5f}, std[3] = {.25f, .25f, .25f};
    struct sl_loader_config config = {.source = source,
                                      .n_views = 2,
                                      .batch = 4,
                                      .n_workers = n_workers,
                                      .seed = 7,
                                      .first_step = first,
                                      .end_step = end,
                                      .max_bad = 0.1};
    struct sl_loader *loader = NULL;
    ok(sl_recipe_named(&err, "mocov2", 8, mean, std, &config.recipe));
    ok(sl_loader_create(&err, &config, &loader));
    return loader;
}

static void same_batch(struct sl_loader *left, struct sl_loader *right, int *seen)
{
    struct sl_batch a, b;
    ok(sl_loader_acquire(&err, left, &a, NULL));
    ok(sl_loader_acquire(&err, right, &b, NULL));
    assert_int_equal(a.step, b.step);
    assert_int_equal(a.rows, 4);
    assert_int_equal(b.rows, 4);
    assert_memory_equal(a.ids, b.ids, sizeof(int32_t) * 4);
    assert_memory_equal(a.labels, b.labels, sizeof(int32_t) * 4);
    for (int v = 0; v < 2; v++) {
        assert_memory_equal(a.views[v], b.views[v], sizeof(float) * 4 * 8 * 8 * 3);
    }
    for (int r = 0; r < 4; r++) {
        seen[a.ids[r]]++;
    }
    sl_loader_release(left);
    sl_loader_release(right);
}

/* Shards of unequal size neither hang nor skew an epoch: pictures are drawn by one
 * permutation over the whole index. 26 pictures, batches of 4: an epoch is 6 batches, two
 * pictures sit out. */
static void test_epochs_from_shards(void **state)
{
    (void)state;
    struct sl_source *photos = kit_open("photos", SL_PART_TRAIN, true);
    struct sl_pack_result packed = pack(photos, "train/p", 2);
    struct sl_source *shards = kit_open("train", SL_PART_TRAIN, true);
    assert_true(packed.n_shards > 2);
    assert_int_equal(sl_source_count(shards), PICTURES);
    struct sl_loader *left = load(photos, 0, 18, 1), *right = load(shards, 0, 18, 3);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[PICTURES] = {0}, n = 0;
        for (int step = 0; step < 6; step++) {
            same_batch(left, right, seen);
        }
        for (int i = 0; i < PICTURES; i++) {
            assert_true(seen[i] <= 1);
            n += seen[i];
        }
        assert_int_equal(n, 24);
    }
    sl_loader_destroy(left);
    sl_loader_destroy(right);
    /* From the middle of an epoch on, as a resumed run. */
    for (int64_t first = 1; first < 12; first += 3) {
        int seen[PICTURES] = {0};
        left = load(photos, first, 14, 2);
        right = load(shards, first, 14, 2);
        for (int64_t step = first; step < 14; step++) {
            same_batch(left, right, seen);
        }
        sl_loader_destroy(left);
        sl_loader_destroy(right);
    }
    sl_source_close(photos);
    sl_source_close(shards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_do_not_matter),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_other_settings),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_untouched_or_smaller),
        cmocka_unit_test(test_both_parts),
        cmocka_unit_test(test_class_names),
        cmocka_unit_test(test_decode_options),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_epochs_from_shards),
    };
    char formats[SL_FORMATS_BYTES];
    sl_decode_formats(formats, sizeof(formats));
    if (!sl_archive_built || strstr(formats, "jpeg") == NULL) {
        print_message("this build reads no archives or no JPEG: skipped\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, make_photos, NULL);
}
