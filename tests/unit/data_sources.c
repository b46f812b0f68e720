/* SPDX-License-Identifier: MIT */
/*
 * What a DATA argument opens: folders, CIFAR and IDX records, parts, the split of a
 * single part, the limit, several DATA, and one clear refusal for each kind of bad input.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_name(const struct sl_source *source, int64_t i, const char *name)
{
    char text[256];
    sl_source_name(source, i, text, sizeof(text));
    assert_string_equal(text, name);
}

/* ---- folders ----------------------------------------------------------------------- */

static void test_folder_parts_and_classes(void **state)
{
    (void)state;
    kit_write_ppm("parts/train/cat/b.ppm", 3, 4, 1);
    kit_write_ppm("parts/train/cat/deep/er/a.PPM", 3, 4, 2);
    kit_write_ppm("parts/train/dog/x.pnm", 5, 2, 3);
    kit_write_ppm("parts/train/loose.ppm", 2, 2, 4);
    kit_write_ppm("parts/val/ant/only.ppm", 2, 2, 5);
    kit_write_ppm("parts/val/dog/y.ppm", 2, 2, 6);
    kit_write_ppm("parts/other/ignored.ppm", 2, 2, 7);
    kit_write("parts/train/cat/notes.txt", "no picture", 10);
    kit_write("parts/train/cat/.hidden.ppm", "no picture", 10);
    struct sl_source *train = kit_open("parts", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("parts", SL_PART_TEST, false);
    assert_int_equal(sl_source_count(train), 4);
    assert_int_equal(sl_source_count(test), 2);
    assert_false(sl_source_was_split(test));
    assert_string_equal(sl_source_kind(train), "folder");
    expect_name(train, 0, "parts/train/cat/b.ppm");
    expect_name(train, 1, "parts/train/cat/deep/er/a.PPM");
    expect_name(train, 2, "parts/train/dog/x.pnm");
    expect_name(train, 3, "parts/train/loose.ppm");
    /* A class that only one part has still counts in both. */
    assert_int_equal(sl_source_classes(train), 3);
    assert_string_equal(sl_source_class_name(train, 0), "ant");
    assert_int_equal(sl_source_label(train, 0), 1);
    assert_int_equal(sl_source_label(train, 2), 2);
    assert_int_equal(sl_source_label(train, 3), -1);
    assert_int_equal(sl_source_label(test, 0), 0);
    assert_int_equal(sl_source_label(test, 1), 2);
    int height = 1, width = 1;
    assert_false(sl_source_side_fixed(train, &height, &width));
    assert_int_equal(height, 0);
    assert_int_not_equal(sl_source_fingerprint(train), sl_source_fingerprint(test));
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, train, 2, arena, &image), SL_OK);
    assert_int_equal(image.height, 5);
    assert_int_equal(image.width, 2);
    assert_int_equal(image.pixels[1], 3 * 37 + 5);
    sl_arena_destroy(arena);
    sl_source_close(train);
    sl_source_close(test);
}

/* Byte order of whole paths: "a.ppm" lies before "a/…", whatever the directory says. */
static void test_folder_order(void **state)
{
    (void)state;
    kit_write_ppm("order/b/1.ppm", 2, 2, 1);
    kit_write_ppm("order/a/2.ppm", 2, 2, 2);
    kit_write_ppm("order/a.ppm", 2, 2, 3);
    kit_write_ppm("order/B.ppm", 2, 2, 4);
    struct sl_source *source = kit_open("order", SL_PART_TRAIN, true);
    expect_name(source, 0, "order/B.ppm");
    expect_name(source, 1, "order/a.ppm");
    expect_name(source, 2, "order/a/2.ppm");
    expect_name(source, 3, "order/b/1.ppm");
    sl_source_close(source);
}

static void test_folder_links(void **state)
{
    (void)state;
    kit_write_ppm("links/real/1.ppm", 2, 2, 1);
    kit_write_ppm("elsewhere/2.ppm", 2, 2, 2);
    (void)unlink("links/real/loop");
    (void)unlink("links/real/away");
    (void)unlink("links/real/file.ppm");
    (void)unlink("links/real/nowhere.ppm");
    assert_int_equal(symlink("..", "links/real/loop"), 0);
    assert_int_equal(symlink("../../elsewhere", "links/real/away"), 0);
    assert_int_equal(symlink("../../elsewhere/2.ppm", "links/real/file.ppm"), 0);
    assert_int_equal(symlink("gone.ppm", "links/real/nowhere.ppm"), 0);
    struct sl_source *source = kit_open("links", SL_PART_TRAIN, true);
    /* file.ppm is away/2.ppm once more. */
    assert_int_equal(sl_source_count(source), 2);
    expect_name(source, 0, "links/real/1.ppm");
    expect_name(source, 1, "links/real/away/2.ppm");
    sl_source_close(source);
}

/* A real name goes before a link, whichever sorts first; of two links the first stays. A
 * file behind a link counts under the link's name when its own is not that of a picture,
 * as content-addressed stores have it. */
static void test_folder_links_once(void **state)
{
    (void)state;
    kit_write_ppm("once/real/1.ppm", 2, 2, 1);
    kit_write_ppm("store/blob", 2, 2, 2);
    const char *const links[][2] = {{"real", "once/a-dir"},
                                    {"real/1.ppm", "once/a.ppm"},
                                    {"../store/blob", "once/b.ppm"},
                                    {"../store/blob", "once/c.ppm"}};
    for (int i = 0; i < SL_COUNT(links); i++) {
        (void)unlink(links[i][1]);
        assert_int_equal(symlink(links[i][0], links[i][1]), 0);
    }
    struct sl_source *source = kit_open("once", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(source), 2);
    expect_name(source, 0, "once/b.ppm");
    expect_name(source, 1, "once/real/1.ppm");
    assert_int_equal(sl_source_label(source, 0), -1);
    assert_string_equal(sl_source_class_name(source, 0), "real");
    sl_source_close(source);
}

/* Neither recursion nor a path's length may end the process. */
static void test_folder_deep(void **state)
{
    (void)state;
    struct sl_text path = {0};
    sl_text_add(&path, "deep");
    for (int i = 0; i < 1500; i++) {
        sl_text_add(&path, "/d");
    }
    sl_text_add(&path, "/one.ppm");
    kit_write_ppm(path.text, 2, 2, 1);
    struct sl_source *source = kit_open("deep", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(source), 1);
    kit_hash(source, 0, 1);
    sl_source_close(source);
    sl_text_finish(&path);
}

/* ---- bad input --------------------------------------------------------------------- */

static void read_fails(const char *data, int64_t i, const char *word)
{
    struct sl_source *source = kit_open(data, SL_PART_TRAIN, true);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, source, i, arena, &image), SL_ERROR_DATA);
    if (strstr(err.text, word) == NULL || strstr(err.text, data) == NULL) {
        fail_msg("the message is: %s", err.text);
    }
    sl_arena_destroy(arena);
    sl_source_close(source);
}

static void test_bad_files_in_folder(void **state)
{
    (void)state;
    kit_copy_golden("rgb.ppm", "bad/half.ppm", 500);
    kit_write("bad/notes.png", "Dear diary, nothing to see here.\n", 33);
    kit_write("bad/empty.jpg", "", 0);
    if (kit_is_read("x.jpg")) {
        kit_copy_golden("420.jpg", "cut/half.jpg", 418);
        read_fails("cut", 0, "cut short");
    }
    read_fails("bad", 0, "empty file");
    read_fails("bad", 1, "cut short");
    read_fails("bad", 2, "text");
}

static void test_bad_data(void **state)
{
    (void)state;
    struct sl_error err = {0};
    assert_int_equal(sl_dir_create(&err, "nothing/below"), SL_OK);
    kit_write("nothing/readme.txt", "x", 1);
    kit_open_fails("nothing", SL_PART_TRAIN, true, SL_ERROR_DATA, "no images");
    kit_open_fails("not/there", SL_PART_TRAIN, true, SL_ERROR_DATA, "no such file");
    kit_open_fails("nothing/readme.txt", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "not a known kind of data");
    kit_write_ppm("single/one.ppm", 2, 2, 1);
    kit_open_fails("single", SL_PART_TEST, false, SL_ERROR_DATA, "cannot be split");
}

/* ---- CIFAR ------------------------------------------------------------------------- */

/* Records whose pixels and labels follow from their number. */
static void write_cifar(const char *path, int n, int label_bytes, int n_classes, int cut)
{
    int record = 3072 + label_bytes;
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    assert_int_equal(sl_heap_alloc(&err, "records", n, (size_t)record, &bytes), SL_OK);
    for (int i = 0; i < n; i++) {
        unsigned char *at = bytes + i * record;
        at[0] = 19;
        at[label_bytes - 1] = (unsigned char)(i % n_classes);
        for (int p = 0; p < 3072; p++) {
            at[label_bytes + p] = (unsigned char)(i + p / 1024 * 50 + p % 1024);
        }
    }
    kit_write(path, bytes, (size_t)(n * record - cut));
    sl_heap_free(bytes);
}

static void test_cifar10(void **state)
{
    (void)state;
    write_cifar("c10/data_batch_1.bin", 7, 1, 10, 0);
    write_cifar("c10/data_batch_2.bin", 5, 1, 10, 0);
    write_cifar("c10/test_batch.bin", 3, 1, 10, 0);
    struct sl_source *train = kit_open("c10", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("c10", SL_PART_TEST, false);
    struct sl_source *one = kit_open("c10/data_batch_2.bin", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(train), 12);
    assert_int_equal(sl_source_count(test), 3);
    assert_int_equal(sl_source_count(one), 5);
    assert_string_equal(sl_source_kind(train), "cifar10");
    expect_name(train, 8, "data_batch_2.bin#1");
    assert_int_equal(sl_source_label(train, 8), 1);
    assert_string_equal(sl_source_class_name(train, 1), "automobile");
    int height = 0, width = 0;
    assert_true(sl_source_side_fixed(train, &height, &width));
    assert_int_equal(height * 100 + width, 3232);
    float mean[3], std[3];
    sl_source_mean_std(train, mean, std);
    assert_float_equal(mean[1], .4822f, 1e-7);
    assert_float_equal(std[2], .2010f, 1e-7);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, train, 8, arena, &image), SL_OK);
    for (int p = 0; p < 1024; p++) {
        for (int c = 0; c < 3; c++) {
            assert_int_equal(image.pixels[3 * p + c], (unsigned char)(1 + 50 * c + p));
        }
    }
    sl_arena_destroy(arena);
    sl_source_close(train);
    sl_source_close(test);
    sl_source_close(one);
}

static void test_cifar100(void **state)
{
    (void)state;
    write_cifar("c100/train.bin", 120, 2, 100, 0);
    write_cifar("c100/test.bin", 4, 2, 100, 0);
    kit_write("c100/fine_label_names.txt", "apple\nbear\r\ncamel\n", 18);
    struct sl_source *train = kit_open("c100", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_count(train), 120);
    assert_string_equal(sl_source_kind(train), "cifar100");
    assert_int_equal(sl_source_classes(train), 100);
    assert_int_equal(sl_source_label(train, 103), 3); /* fine, not coarse */
    assert_string_equal(sl_source_class_name(train, 1), "bear");
    assert_string_equal(sl_source_class_name(train, 2), "camel");
    assert_string_equal(sl_source_class_name(train, 99), "99");
    sl_source_close(train);
}

static void test_cifar_damage(void **state)
{
    (void)state;
    write_cifar("cut10/data_batch_1.bin", 4, 1, 10, 0);
    write_cifar("cut10/data_batch_2.bin", 4, 1, 10, 100);
    kit_open_fails("cut10", SL_PART_TRAIN, true, SL_ERROR_DATA, "truncated");
    kit_open_fails("cut10/data_batch_2.bin", SL_PART_TRAIN, true, SL_ERROR_DATA,
                   "data_batch_2.bin");
    write_cifar("label10/data_batch_1.bin", 30, 1, 11, 0);
    kit_open_fails("label10", SL_PART_TRAIN, true, SL_ERROR_DATA, "class 10");
    kit_write("empty10/data_batch_1.bin", "", 0);
    kit_open_fails("empty10", SL_PART_TRAIN, true, SL_ERROR_DATA, "empty file");
}

/* ---- IDX --------------------------------------------------------------------------- */

static size_t idx_bytes(unsigned char *dst, int n_dims, int n, int side)
{
    const int dims[3] = {n, side, side};
    size_t at = 4;
    size_t payload = (size_t)(n_dims == 1 ? n : n * side * side);
    memset(dst, 0, 4);
    dst[2] = 8;
    dst[3] = (unsigned char)n_dims;
    for (int d = 0; d < n_dims; d++, at += 4) {
        dst[at] = dst[at + 1] = 0;
        dst[at + 2] = (unsigned char)(dims[d] >> 8);
        dst[at + 3] = (unsigned char)dims[d];
    }
    for (size_t i = 0; i < payload; i++) {
        dst[at + i] = (unsigned char)(n_dims == 1 ? i % 4 : i);
    }
    return at + payload;
}

static void test_idx(void **state)
{
    (void)state;
    unsigned char images[16 + 6 * 25], labels[8 + 6];
    size_t n_images = idx_bytes(images, 3, 6, 5), n_labels = idx_bytes(labels, 1, 6, 0);
    kit_write("idx/train-images-idx3-ubyte", images, n_images);
    kit_write("idx/train-labels-idx1-ubyte", labels, n_labels);
    kit_write("bare/some-images-idx3-ubyte", images, n_images);
    struct sl_source *source = kit_open("idx", SL_PART_TRAIN, true);
    assert_string_equal(sl_source_kind(source), "idx");
    assert_int_equal(sl_source_count(source), 6);
    assert_int_equal(sl_source_classes(source), 4);
    assert_int_equal(sl_source_label(source, 5), 1);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, source, 2, arena, &image), SL_OK);
    assert_int_equal(image.height, 5);
    assert_int_equal(image.channels, 3);
    for (int i = 0; i < 75; i++) {
        assert_int_equal(image.pixels[i], 50 + i / 3);
    }
    sl_arena_destroy(arena);
    sl_source_close(source);
    source = kit_open("bare", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_classes(source), 0);
    assert_int_equal(sl_source_label(source, 0), -1);
    sl_source_close(source);
}

static void test_idx_damage(void **state)
{
    (void)state;
    unsigned char bytes[256];
    size_t n = idx_bytes(bytes, 3, 6, 5);
    kit_write("idxcut/train-images-idx3-ubyte", bytes, n - 1);
    kit_open_fails("idxcut", SL_PART_TRAIN, true, SL_ERROR_DATA, "truncated");
    kit_write("idxhead/train-images-idx3-ubyte", bytes, 9);
    kit_open_fails("idxhead", SL_PART_TRAIN, true, SL_ERROR_DATA, "truncated");
    kit_write("idxlong/train-images-idx3-ubyte", bytes, n + 1);
    kit_open_fails("idxlong", SL_PART_TRAIN, true, SL_ERROR_DATA, "promises only");
    bytes[3] = 1;
    kit_write("idxkind/train-images-idx3-ubyte", bytes, n);
    kit_open_fails("idxkind", SL_PART_TRAIN, true, SL_ERROR_DATA, "not an IDX file");
    n = idx_bytes(bytes, 3, 6, 5);
    kit_write("idxpair/train-images-idx3-ubyte", bytes, n);
    n = idx_bytes(bytes, 1, 7, 0);
    kit_write("idxpair/train-labels-idx1-ubyte", bytes, n);
    kit_open_fails("idxpair", SL_PART_TRAIN, true, SL_ERROR_DATA, "7 labels beside 6");
    kit_write("idxgz/train-images-idx3-ubyte.gz", bytes, n);
    kit_open_fails("idxgz", SL_PART_TRAIN, true, SL_ERROR_DATA, "gzip");
}

/* ---- split, limit, several --------------------------------------------------------- */

static void test_split(void **state)
{
    (void)state;
    write_cifar("half/data_batch_1.bin", 50, 1, 10, 0);
    struct sl_source *whole = kit_open("half", SL_PART_TRAIN, true);
    struct sl_source *train = kit_open("half", SL_PART_TRAIN, false);
    struct sl_source *test = kit_open("half", SL_PART_TEST, false);
    bool seen[50] = {false};
    assert_int_equal(sl_source_count(whole), 50);
    assert_int_equal(sl_source_count(train), 45);
    assert_int_equal(sl_source_count(test), 5);
    assert_true(sl_source_was_split(test) && sl_source_was_split(train));
    assert_false(sl_source_was_split(whole));
    for (int64_t i = 0; i < 50; i++) {
        char name[64];
        sl_source_name(i < 45 ? train : test, i < 45 ? i : i - 45, name, sizeof(name));
        int number = (int)strtol(strchr(name, '#') + 1, NULL, 10);
        assert_false(seen[number]);
        seen[number] = true;
    }
    sl_source_close(whole);
    sl_source_close(train);
    sl_source_close(test);
}

static void test_limit(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *few = NULL, *more = NULL, *other = NULL;
    struct sl_source_config config = {.data = "synthetic:n=100,size=8", .whole = true};
    config.limit = 10;
    assert_int_equal(sl_source_open(&err, &config, &few), SL_OK);
    config.limit = 20;
    assert_int_equal(sl_source_open(&err, &config, &more), SL_OK);
    config.seed = 1;
    assert_int_equal(sl_source_open(&err, &config, &other), SL_OK);
    assert_int_equal(sl_source_count(few), 10);
    assert_int_equal(sl_source_count(more), 20);
    int n_same = 0, n_in_order = 0;
    for (int64_t i = 0; i < 10; i++) {
        char a[64], b[64], c[64], plain[64];
        sl_source_name(few, i, a, sizeof(a));
        sl_source_name(more, i, b, sizeof(b));
        sl_source_name(other, i, c, sizeof(c));
        snprintf(plain, sizeof(plain), "synthetic-train#%d", (int)i);
        assert_string_equal(a, b); /* a prefix of one fixed order */
        n_same += strcmp(a, c) == 0;
        n_in_order += strcmp(a, plain) == 0;
    }
    assert_true(n_same < 5 && n_in_order < 5);
    sl_source_close(few);
    sl_source_close(more);
    sl_source_close(other);
    config.limit = -1;
    assert_int_equal(sl_source_open(&err, &config, &few), SL_ERROR_USAGE);
}

static void test_several(void **state)
{
    (void)state;
    kit_write_ppm("one/train/cat/1.ppm", 2, 2, 1);
    kit_write_ppm("one/train/dog/2.ppm", 2, 2, 2);
    kit_write_ppm("two/train/bee/3.ppm", 2, 2, 3);
    kit_write_ppm("two/train/dog/4.ppm", 2, 2, 4);
    const char *const data[2] = {"one", "two"};
    struct sl_error err = {0};
    struct sl_source *source = NULL;
    struct sl_source_config config = {.part = SL_PART_TRAIN, .whole = true};
    assert_int_equal(sl_source_open_all(&err, &config, data, 2, &source), SL_OK);
    assert_int_equal(sl_source_count(source), 4);
    assert_int_equal(sl_source_classes(source), 3);
    expect_name(source, 2, "two/train/bee/3.ppm");
    const char *const want[4] = {"cat", "dog", "bee", "dog"};
    for (int64_t i = 0; i < 4; i++) {
        assert_string_equal(sl_source_class_name(source, sl_source_label(source, i)),
                            want[i]);
    }
    /* A model's numbers in the place of the data's, for a united source and a plain one.
     */
    const char *const names[5] = {"eel", "dog", "bee", "fox", "cat"};
    const int numbers[3] = {2, 4, 1};
    uint64_t fingerprint = sl_source_fingerprint(source);
    assert_int_equal(sl_source_number_classes(&err, source, names, numbers, 5), SL_OK);
    assert_int_equal(sl_source_classes(source), 5);
    for (int64_t i = 0; i < 4; i++) {
        assert_string_equal(names[sl_source_label(source, i)], want[i]);
        assert_string_equal(sl_source_class_name(source, sl_source_label(source, i)),
                            want[i]);
    }
    assert_true(sl_source_fingerprint(source) != fingerprint);
    sl_source_close(source);
    source = kit_open("one", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_label(source, 0), 0);
    assert_int_equal(sl_source_number_classes(&err, source, names, numbers + 1, 5),
                     SL_OK);
    assert_int_equal(sl_source_label(source, 0), 4);
    assert_int_equal(sl_source_label(source, 1), 1);
    sl_source_close(source);
    const char *const half[2] = {"one", "gone"};
    assert_int_equal(sl_source_open_all(&err, &config, half, 2, &source), SL_ERROR_DATA);
    assert_null(source);
}

/* ---- the public sets --------------------------------------------------------------- */

static void test_real_cifar10(void **state)
{
    (void)state;
    const char *dir = kit_unpacked("cifar-10-batches-bin");
    if (dir == NULL) {
        skip();
    }
    struct sl_source *test = kit_open(dir, SL_PART_TEST, false);
    int counts[10] = {0};
    assert_int_equal(sl_source_count(test), 10000);
    assert_int_equal(sl_source_classes(test), 10);
    for (int64_t i = 0; i < 10000; i++) {
        counts[sl_source_label(test, i)]++;
    }
    for (int c = 0; c < 10; c++) {
        assert_int_equal(counts[c], 1000);
    }
    /* The first test picture is the well-known cat; this is its top left pixel. */
    assert_int_equal(sl_source_label(test, 0), 3);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    struct sl_image image;
    assert_int_equal(sl_source_read(&err, test, 0, arena, &image), SL_OK);
    assert_int_equal(image.pixels[0], 158);
    assert_int_equal(image.pixels[1], 112);
    assert_int_equal(image.pixels[2], 49);
    sl_arena_destroy(arena);
    sl_source_close(test);
}

/* Whether zlib was compiled in: without it every .gz is refused in the same words. */
static bool reads_gzip(void)
{
    struct sl_error err = {0};
    struct sl_source *source = NULL;
    struct sl_source_config config = {.data = "probe", .whole = true};
    kit_write("probe/a-images-idx3-ubyte.gz", "x", 1);
    assert_int_equal(sl_source_open(&err, &config, &source), SL_ERROR_DATA);
    return strstr(err.text, "reads no gzip") == NULL;
}

static void test_real_mnist(void **state)
{
    (void)state;
    const char *dir = kit_unpacked("mnist");
    if (dir == NULL) {
        skip();
    }
    char path[1024];
    if (!reads_gzip()) {
        kit_open_fails(dir, SL_PART_TEST, false, SL_ERROR_DATA,
                       "this build reads no gzip");
        skip();
    }
    struct sl_source *test = kit_open(dir, SL_PART_TEST, false);
    assert_int_equal(sl_source_count(test), 10000);
    assert_int_equal(sl_source_classes(test), 10);
    assert_int_equal(sl_source_label(test, 0), 7);
    assert_int_equal(sl_source_label(test, 1), 2);
    int height = 0, width = 0;
    assert_true(sl_source_side_fixed(test, &height, &width));
    assert_int_equal(height, 28);
    sl_source_close(test);
    /* The gzip file cut in half. */
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    dir = kit_unpacked("mnist");
    assert_true(sl_path_join(path, sizeof(path), dir, "t10k-images-idx3-ubyte.gz"));
    assert_int_equal(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 26, &bytes, &size),
                     SL_OK);
    kit_write("gzcut/t10k-images-idx3-ubyte.gz", bytes, (size_t)size / 2);
    kit_write("gzend/t10k-images-idx3-ubyte.gz", bytes, (size_t)size - 3);
    bytes[size / 2] ^= 0x10;
    kit_write("gzbad/t10k-images-idx3-ubyte.gz", bytes, (size_t)size);
    bytes[size / 2] ^= 0x10;
    bytes[size - 6] ^= 0x10; /* of the check sum */
    kit_write("gzsum/t10k-images-idx3-ubyte.gz", bytes, (size_t)size);
    bytes[size - 6] ^= 0x10;
    bytes[size - 1] ^= 0x10; /* of the length */
    kit_write("gzlength/t10k-images-idx3-ubyte.gz", bytes, (size_t)size);
    sl_heap_free(bytes);
    kit_open_fails("gzcut", SL_PART_TRAIN, true, SL_ERROR_DATA, "truncated");
    kit_open_fails("gzend", SL_PART_TRAIN, true, SL_ERROR_DATA, "truncated");
    kit_open_fails("gzbad", SL_PART_TRAIN, true, SL_ERROR_DATA, "t10k-images");
    kit_open_fails("gzsum", SL_PART_TRAIN, true, SL_ERROR_DATA, "damaged gzip data");
    kit_open_fails("gzlength", SL_PART_TRAIN, true, SL_ERROR_DATA, "damaged gzip data");
}

static void test_real_imagenette(void **state)
{
    (void)state;
    const char *dir = kit_unpacked("imagenette-224");
    if (dir == NULL || !kit_is_read("x.jpg")) {
        skip();
    }
    struct sl_source *train = kit_open(dir, SL_PART_TRAIN, true);
    struct sl_source *val = kit_open(dir, SL_PART_TEST, false);
    assert_int_equal(sl_source_count(train), 2800);
    assert_int_equal(sl_source_count(val), 800);
    assert_int_equal(sl_source_classes(train), 10);
    assert_string_equal(sl_source_class_name(val, 3), "n03000684");
    assert_int_equal(sl_source_label(val, 799), 9);
    struct sl_arena *arena = kit_arena();
    for (int64_t i = 0; i < 800; i += 40) {
        struct sl_error err = {0};
        struct sl_image image;
        sl_arena_reset_all(arena);
        assert_int_equal(sl_source_read(&err, val, i, arena, &image), SL_OK);
        assert_int_equal(image.height * 1000 + image.width, 224224);
    }
    sl_arena_destroy(arena);
    sl_source_close(train);
    sl_source_close(val);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder_parts_and_classes),
        cmocka_unit_test(test_folder_order),
        cmocka_unit_test(test_folder_links),
        cmocka_unit_test(test_folder_links_once),
        cmocka_unit_test(test_folder_deep),
        cmocka_unit_test(test_bad_files_in_folder),
        cmocka_unit_test(test_bad_data),
        cmocka_unit_test(test_cifar10),
        cmocka_unit_test(test_cifar100),
        cmocka_unit_test(test_cifar_damage),
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_damage),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_real_cifar10),
        cmocka_unit_test(test_real_mnist),
        cmocka_unit_test(test_real_imagenette),
    };
    return cmocka_run_group_tests_name("data_sources", tests, NULL, NULL);
}
