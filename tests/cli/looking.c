/* SPDX-License-Identifier: MIT */
/*
 * Looking at data before hours are spent on it: what `check` finds in a folder whose
 * faults are known, what `stats` counts where the numbers are known, what `views` draws;
 * the same for any number of workers.
 */
#include "cli/clikit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Every kind of fault once, and one duplicate in another folder. */
static int make_faulty(void **state)
{
    static const unsigned char deep[] = "P5\n33 40\n65535\n";
    unsigned char grey[sizeof deep - 1 + (size_t)33 * 40 * 2] = {0};
    int64_t size = 0;
    (void)state;
    cli_remove("faulty");
    cli_write_noise("faulty/cat/a.ppm", 40, 40, 1);
    cli_write_noise("faulty/cat/b.ppm", 40, 50, 2);
    cli_write_noise("faulty/dog/c.ppm", 40, 40, 3);
    cli_copy("faulty/cat/a.ppm", "faulty/dog/same.ppm", -1);
    cli_copy("faulty/cat/a.ppm", "faulty/dog/third.ppm", -1);
    cli_write_noise("faulty/dog/tiny.ppm", 31, 40, 4);
    cli_write_noise("faulty/dog/long.ppm", 12, 60, 5);
    cli_write_noise("faulty/dog/named.png", 40, 40, 6);
    cli_write_ppm("faulty/dog/red.ppm", 40, 40, 200, 0, 0);
    memcpy(grey, deep, sizeof deep - 1);
    memset(grey + sizeof grey - 100, 77, 100);
    cli_write("faulty/dog/deep.pgm", grey, sizeof grey);
    cli_free(cli_read(cli_source("tests/golden/pixels/444.jpg"), &size));
    cli_copy(cli_source("tests/golden/pixels/444.jpg"), "faulty/cat/cut.jpg", size / 2);
    cli_write("faulty/dog/words.png", "these are words\n", 16);
    cli_write("faulty/dog/zero.jpg", "", 0);
    return 0;
}

static const char *text_of(json_t *root, const char *key)
{
    return json_string_value(json_object_get(root, key));
}

static int64_t number_of(json_t *root, const char *key)
{
    assert_true(json_is_integer(json_object_get(root, key)));
    return json_integer_value(json_object_get(root, key));
}

static json_t *checked(const struct cli_result *result)
{
    assert_int_equal(result->status, 3);
    assert_string_equal(result->err, "");
    json_t *root = json_loads(result->out, 0, NULL);
    assert_non_null(root);
    assert_string_equal(strchr(result->out, '\n'), "\n");
    return root;
}

static void expect_odd(json_t *root, const char *kind, int64_t count, const char *path)
{
    json_t *odd = json_object_get(json_object_get(root, "odd"), kind);
    assert_int_equal(number_of(odd, "count"), count);
    json_t *first = json_array_get(json_object_get(odd, "examples"), 0);
    if (path != NULL) {
        assert_string_equal(text_of(first, "path"), path);
    }
}

static void test_findings(void **state)
{
    static const char *const damaged[] = {"faulty/cat/cut.jpg", "faulty/dog/words.png",
                                          "faulty/dog/zero.jpg"};
    (void)state;
    json_t *root = checked(RUN("check", "faulty", "--json", "-q"));
    assert_int_equal(number_of(root, "pictures"), 13);
    assert_int_equal(number_of(root, "n_damaged"), 3);
    json_t *list = json_object_get(root, "damaged");
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(text_of(json_array_get(list, i), "path"), damaged[i]);
    }
    assert_non_null(strstr(text_of(json_array_get(list, 1), "reason"), "text"));
    assert_string_equal(text_of(json_array_get(list, 2), "reason"),
                        "empty file (0 bytes)");
    list = json_object_get(root, "duplicates");
    assert_int_equal(number_of(root, "n_duplicates"), 2);
    assert_string_equal(text_of(json_array_get(list, 0), "path"), "faulty/dog/same.ppm");
    assert_string_equal(text_of(json_array_get(list, 0), "of"), "faulty/cat/a.ppm");
    assert_string_equal(text_of(json_array_get(list, 1), "path"), "faulty/dog/third.ppm");
    assert_string_equal(text_of(json_array_get(list, 1), "of"), "faulty/cat/a.ppm");
    expect_odd(root, "tiny", 2, "faulty/dog/long.ppm");
    expect_odd(root, "long", 1, "faulty/dog/long.ppm");
    expect_odd(root, "one-colour", 1, "faulty/dog/red.ppm");
    expect_odd(root, "wrong-extension", 1, "faulty/dog/named.png");
    expect_odd(root, "deep", 1, "faulty/dog/deep.pgm");
    expect_odd(root, "cmyk", 0, NULL);
    expect_odd(root, "transparent", 0, NULL);
    json_decref(root);
    /* Limits as stated, to the pixel. */
    root = checked(
        RUN("check", "faulty", "--json", "-q", "--min-side", "31", "--max-aspect", "5"));
    expect_odd(root, "tiny", 1, "faulty/dog/long.ppm");
    expect_odd(root, "long", 0, NULL);
    json_decref(root);
}

static void test_text_and_list(void **state)
{
    (void)state;
    const struct cli_result *result = RUN("check", "faulty", "-o", "list.txt", "-j", "1");
    assert_int_equal(result->status, 3);
    assert_non_null(strstr(result->out, "faulty: 13 pictures (folder)\n"));
    assert_non_null(strstr(result->out, "  faulty/dog/zero.jpg: empty file (0 bytes)\n"));
    assert_non_null(
        strstr(result->out, "  faulty/dog/same.ppm: the bytes of faulty/cat/a.ppm\n"));
    char *list = (char *)cli_read("list.txt", NULL);
    assert_ptr_equal(strstr(list, "faulty/cat/cut.jpg\tdamaged\t"), list);
    assert_non_null(strstr(list, "\nfaulty/dog/same.ppm\tduplicate\tfaulty/cat/a.ppm\n"));
    assert_non_null(
        strstr(list, "\nfaulty/dog/tiny.ppm\ttiny\t40 x 31 pixels, a side below 32\n"));
    cli_free(list);
    cli_no_torn_files(".");
}

/* What each decoder tells of the files it reads; those of a library that is not built are
 * left out. */
static void test_facts_of_formats(void **state)
{
    static const struct {
        const char *format, *name, *what;
        bool is;
    } facts[] = {
        {"pnm", "deep.ppm", "deep", true},
        {"pnm", "deep-plain.ppm", "deep", true},
        {"pnm", "twelve.pgm", "deep", true},
        {"bmp", "rgba-v56.bmp", "transparent", true},
        {"png", "rgba16.png", "transparent", true},
        {"png", "rgba16.png", "deep", true},
        {"png", "rgb-key.png", "transparent", true},
        {"png", "rgb8.png", "transparent", false},
        {"png", "rgb8.png", "deep", false},
        {"jpeg", "ycck.jpg", "cmyk", true},
        {"jpeg", "422.jpg", "cmyk", false},
        {"webp", "alpha.webp", "transparent", true},
        {"tiff", "alpha.tif", "transparent", true},
        {"tiff", "cmyk.tif", "cmyk", true},
        {"tiff", "grey16.tif", "deep", true},
        {"tiff", "grey16.tif", "transparent", false},
    };
    char line[256];
    (void)state;
    json_t *info = cli_json(RUN("info", "--json"));
    const struct cli_result *result =
        RUN("check", cli_source("tests/golden/formats"), "-o", "formats.txt", "-q");
    assert_int_equal(result->status, 3);
    char *list = (char *)cli_read("formats.txt", NULL);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        (void)snprintf(line, sizeof line, "/%s\t%s\t", facts[i].name, facts[i].what);
        bool is_read = strstr(text_of(info, "formats"), facts[i].format) != NULL;
        if (is_read && (strstr(list, line) != NULL) != facts[i].is) {
            fail_msg("%s: %s", facts[i].name, facts[i].what);
        }
    }
    cli_free(list);
    json_decref(info);
}

static void copy_out(const struct cli_result *result, const char *path)
{
    cli_write(path, result->out, strlen(result->out));
}

/* Ten times the faulty folder, so that several workers have several pieces each. */
static void test_workers(void **state)
{
    static const char *const workers[] = {"1", "2", "4"};
    char from[64];
    char to[64];
    (void)state;
    cli_remove("many");
    for (int i = 0; i < 60; i++) {
        static const char *const names[] = {"cat/a.ppm", "cat/cut.jpg", "dog/tiny.ppm",
                                            "dog/zero.jpg"};
        const char *name = names[i % 4];
        (void)snprintf(from, sizeof from, "faulty/%s", name);
        (void)snprintf(to, sizeof to, "many/%02d%s", i, strchr(name, '.'));
        cli_copy(from, to, -1);
    }
    for (size_t i = 0; i < 3; i++) {
        const struct cli_result *result =
            RUN("check", "many", "-j", workers[i], "-o", i == 0 ? "one.txt" : "more.txt");
        assert_int_equal(result->status, 3);
        copy_out(result, i == 0 ? "one.out" : "more.out");
        if (i > 0) {
            cli_same_bytes("one.out", "more.out");
            cli_same_bytes("one.txt", "more.txt");
        }
    }
}

/* A picture of the test part that the train part has as well is said so. */
static void test_parts(void **state)
{
    (void)state;
    cli_remove("parts");
    cli_write_noise("parts/train/a/1.ppm", 40, 40, 1);
    cli_write_noise("parts/train/a/2.ppm", 40, 40, 2);
    cli_copy("parts/train/a/1.ppm", "parts/val/a/3.ppm", -1);
    json_t *root = cli_json(RUN("check", "parts", "--json", "-q"));
    assert_int_equal(number_of(root, "n_test_in_train"), 1);
    assert_int_equal(number_of(json_object_get(root, "parts"), "train"), 2);
    assert_int_equal(number_of(json_object_get(root, "parts"), "test"), 1);
    json_decref(root);
    /* Records of one size have no files: their pixels count, and small is no finding. */
    root = cli_json(RUN("check", "synthetic:size=16,n=40,test=20", "--json", "-q"));
    assert_int_equal(number_of(root, "pictures"), 60);
    assert_int_equal(number_of(root, "n_duplicates"), 0);
    expect_odd(root, "tiny", 0, NULL);
    json_decref(root);
}

static void test_check_refuses(void **state)
{
    (void)state;
    cli_remove("empty");
    cli_folder("empty");
    cli_expect_refused(RUN("check"), 2, "DATA");
    cli_expect_refused(RUN("check", "not-there"), 3, "not-there");
    cli_expect_refused(RUN("check", "empty"), 3, "no images");
    cli_expect_refused(RUN("check", "parts", "-o", "no/such/list.txt"), 1, "list.txt");
    cli_expect_refused(RUN("check", "parts", "--max-aspect", "0.5"), 2, "--max-aspect");
}

static void expect_near(json_t *list, const double *want, double within)
{
    for (size_t c = 0; c < 3; c++) {
        double seen = json_number_value(json_array_get(list, c));
        if (fabs(seen - want[c]) > within) {
            fail_msg("channel %zu: %.6f, wanted %.6f", c, seen, want[c]);
        }
    }
}

/* Pixels counted in bin `from` of a histogram. */
static int64_t bin_of(json_t *histogram, double from)
{
    size_t i = 0;
    json_t *bin = NULL;
    json_array_foreach(histogram, i, bin)
    {
        if (json_number_value(json_object_get(bin, "from")) == from) {
            return number_of(bin, "count");
        }
    }
    fail_msg("no bin from %g", from);
    return 0;
}

/* Two pictures of one colour each, of different sizes, which count alike: mean (a + b) /
 * 2 and deviation |a - b| / 2. */
static void test_stats_of_two(void **state)
{
    static const double mean[3] = {0.5, 0.1, 0.2};
    static const double std[3] = {0.5, 0.1, 0.2};
    (void)state;
    cli_remove("two");
    cli_write_ppm("two/train/a/1.ppm", 20, 20, 255, 0, 0);
    cli_write_ppm("two/train/b/2.ppm", 40, 60, 0, 51, 102);
    cli_write("two/train/b/words.ppm", "these are words", 15);
    cli_write_ppm("two/val/a/3.ppm", 20, 20, 1, 2, 3);
    json_t *root = cli_json(RUN("stats", "two", "--json", "-q"));
    expect_near(json_object_get(root, "mean"), mean, 1e-6);
    expect_near(json_object_get(root, "std"), std, 1e-6);
    assert_int_equal(number_of(root, "pictures"), 2);
    assert_int_equal(number_of(root, "damaged"), 1);
    assert_int_equal(number_of(json_object_get(root, "parts"), "train"), 3);
    assert_int_equal(number_of(json_object_get(root, "parts"), "test"), 1);
    assert_int_equal(number_of(json_object_get(root, "classes"), "b"), 2);
    assert_int_equal(number_of(json_object_get(root, "formats"), "pnm"), 2);
    assert_int_equal(number_of(root, "square"), 1);
    assert_int_equal(number_of(root, "wide"), 1);
    assert_int_equal(number_of(root, "tall"), 0);
    /* 20 x 20 x 3 and 60 x 40 x 3 bytes behind headers of 13. */
    assert_int_equal(number_of(root, "bytes"), 1200 + 7200 + 26);
    assert_int_equal(bin_of(json_object_get(root, "short_side"), 16), 1);
    assert_int_equal(bin_of(json_object_get(root, "short_side"), 32), 1);
    assert_int_equal(bin_of(json_object_get(root, "short_side"), 64), 0);
    assert_int_equal(bin_of(json_object_get(root, "aspect"), 1.42), 1);
    json_decref(root);
}

/* What is suggested can be run as it stands. */
static void test_stats_suggests(void **state)
{
    char path[32];
    char size[32];
    char batch[32];
    (void)state;
    cli_remove("noise");
    for (uint32_t i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof path, "noise/%02u.ppm", i);
        cli_write_noise(path, 50, 60, i);
    }
    json_t *root = cli_json(RUN("stats", "noise", "--limit", "7", "--json", "-q"));
    json_t *suggested = json_object_get(root, "suggested");
    assert_int_equal(number_of(root, "pictures"), 7);
    assert_int_equal(number_of(json_object_get(root, "parts"), "train"), 20);
    assert_int_equal(number_of(suggested, "image_size"), 48);
    assert_int_equal(number_of(suggested, "batch_size"), 16);
    assert_string_equal(text_of(suggested, "stem"), "small");
    (void)snprintf(size, sizeof size, "%d", (int)number_of(suggested, "image_size"));
    (void)snprintf(batch, sizeof batch, "%d", (int)number_of(suggested, "batch_size"));
    cli_remove("run");
    cli_expect_done(RUN("pretrain", "noise", "-o", "run", "--recipe",
                        text_of(suggested, "recipe"), "--image-size", size, "--stem",
                        text_of(suggested, "stem"), "-b", batch, "-a", "resnet8-b16",
                        "-e", "2", "-q"));
    json_decref(root);
}

static void test_stats_workers(void **state)
{
    static const char *const workers[] = {"1", "2", "4"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct cli_result *result = RUN("stats", "many", "-j", workers[i], "-q");
        cli_expect_done(result);
        copy_out(result, i == 0 ? "one.out" : "more.out");
        if (i > 0) {
            cli_same_bytes("one.out", "more.out");
        }
    }
    assert_non_null(
        strstr(RUN("stats", "many", "-q")->out, "damaged       30, left out"));
}

/* The constants that everyone uses; the deviation is that of all pixels. */
static void test_stats_of_cifar(void **state)
{
    static const double mean[3] = {0.4914, 0.4822, 0.4465};
    static const double std[3] = {0.2470, 0.2435, 0.2616};
    (void)state;
    const char *cifar = cli_unpacked("cifar-10-batches-bin");
    if (cifar == NULL) {
        print_message("skipped: no cifar-10-batches-bin; set SLIMCLR_TEST_DATA\n");
        skip();
    }
    json_t *root = cli_json(RUN("stats", cifar, "--json", "-q"));
    expect_near(json_object_get(root, "mean"), mean, 6e-5);
    expect_near(json_object_get(root, "std"), std, 6e-5);
    assert_int_equal(number_of(json_object_get(root, "classes"), "frog"), 5000);
    assert_string_equal(text_of(json_object_get(root, "suggested"), "recipe"), "cifar10");
    json_decref(root);
}

static void test_stats_refuses(void **state)
{
    (void)state;
    cli_remove("bad");
    cli_write("bad/words.png", "these are words\n", 16);
    cli_expect_refused(RUN("stats"), 2, "DATA");
    cli_expect_refused(RUN("stats", "not-there"), 3, "not-there");
    cli_expect_refused(RUN("stats", "empty"), 3, "no images");
    cli_expect_refused(RUN("stats", "bad"), 3, "slimclr check");
    cli_expect_refused(RUN("stats", "bad", "--limit", "-1"), 2, "--limit");
}

static bool writes_png(void)
{
    json_t *info = cli_json(RUN("info", "--json"));
    bool has = strstr(text_of(info, "formats"), "png") != NULL;
    json_decref(info);
    return has;
}

static int64_t big_endian(const unsigned char *at)
{
    return (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void expect_png(const char *path, int64_t width, int64_t height)
{
    static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    int64_t size = 0;
    unsigned char *png = cli_read(path, &size);
    assert_true(size > 33);
    assert_memory_equal(png, magic, sizeof magic);
    assert_int_equal(big_endian(png + 16), width);
    assert_int_equal(big_endian(png + 20), height);
    cli_free(png);
}

/* One red picture of 16 px: three cells of 128 px on grey, 416 x 144 in all. Without
 * randomness its views are itself, so that the mean of the sheet is known. */
static void test_views_of_red(void **state)
{
    const double cells = 3.0 * 128 * 128;
    const double all = 416.0 * 144;
    const double ground = (all - cells) * 48;
    const double mean[3] = {(cells * 200 + ground) / all / 255,
                            (cells * 10 + ground) / all / 255,
                            (cells * 90 + ground) / all / 255};
    (void)state;
    if (!writes_png()) {
        cli_expect_refused(RUN("views", "noise", "-o", "no.png"), 2, "PNG");
        skip();
    }
    cli_remove("red");
    cli_remove("sheet");
    cli_folder("sheet");
    cli_write_ppm("red/one.ppm", 16, 16, 200, 10, 90);
    json_t *root = cli_json(RUN("views", "red", "-o", "sheet/a.png", "--aug", "none",
                                "--image-size", "16", "--json", "-q"));
    assert_int_equal(number_of(root, "width"), 416);
    assert_int_equal(number_of(root, "height"), 144);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(root, "rows"), 0)),
        "red/one.ppm");
    json_decref(root);
    expect_png("sheet/a.png", 416, 144);
    root = cli_json(RUN("stats", "sheet", "--json", "-q"));
    expect_near(json_object_get(root, "mean"), mean, 1e-6);
    json_decref(root);
    cli_expect_done(RUN("check", "sheet", "-q"));
    cli_no_torn_files("sheet");
}

/* The sheet is a function of pictures, settings and seed; damaged pictures are replaced.
 */
static void test_views_of_many(void **state)
{
    (void)state;
    if (!writes_png()) {
        skip();
    }
    cli_remove("sheet");
    cli_folder("sheet");
    cli_expect_done(RUN("views", "many", "-o", "sheet/a.png", "-n", "5", "--image-size",
                        "24", "-j", "1"));
    cli_expect_done(RUN("views", "many", "-o", "sheet/b.png", "-n", "5", "--image-size",
                        "24", "-j", "4"));
    cli_expect_done(RUN("views", "many", "-o", "sheet/c.png", "-n", "5", "--image-size",
                        "24", "--seed", "1"));
    cli_same_bytes("sheet/a.png", "sheet/b.png");
    assert_true(cli_hash("sheet/a.png") != cli_hash("sheet/c.png"));
    /* Cells of 6 x 24 px: margins 8, 12 before the views, 4 between, 8 between rows. */
    expect_png("sheet/a.png", 8 + 144 + 12 + 144 + 4 + 144 + 8, 5 * 144 + 4 * 8 + 16);
    /* More rows than pictures are as many as there are; grey views take channels 1. */
    cli_expect_done(RUN("views", "two", "-o", "sheet/d.png", "-n", "50", "--image-size",
                        "24", "--channels", "1", "--on-bad-image", "grey"));
    expect_png("sheet/d.png", 464, 3 * 144 + 2 * 8 + 16);
}

/* A run's own settings show what that run sees. */
static void test_views_of_a_run(void **state)
{
    (void)state;
    if (!writes_png()) {
        skip();
    }
    cli_remove("run");
    cli_expect_done(RUN("pretrain", "noise", "-o", "run", CLI_NET, "--image-size", "32",
                        "-b", "16", "-e", "0", "--aug-grey", "1", "--seed", "3"));
    cli_expect_done(RUN("views", "noise", "-o", "a.png", "--config", "run/config.ini"));
    cli_expect_done(RUN("views", "noise", "-o", "b.png", "--image-size", "32",
                        "--aug-grey", "1", "--seed", "3"));
    cli_same_bytes("a.png", "b.png");
    cli_expect_refused(RUN("views", "noise", "--config", "run/config.ini"), 2, "-o FILE");
}

/* Padded crops: no pad and no flip is the picture itself; a pad shows. */
static void test_views_padded(void **state)
{
    (void)state;
    if (!writes_png()) {
        skip();
    }
#define PADDED(out, ...)                                                                 \
    cli_expect_done(RUN("views", "noise", "-o", out, "--image-size", "32", __VA_ARGS__))
    PADDED("a.png", "--aug", "none");
    PADDED("b.png", "--aug", "padded", "--crop-pad", "0", "--aug-flip", "0");
    cli_same_bytes("a.png", "b.png");
    PADDED("b.png", "--aug", "padded", "--aug-flip", "0");
    PADDED("c.png", "--aug", "padded", "--crop-pad", "4", "--aug-flip", "0");
    cli_same_bytes("b.png", "c.png");
    assert_true(cli_hash("a.png") != cli_hash("b.png"));
    cli_expect_refused(RUN("views", "noise", "-o", "no.png", "--image-size", "32",
                           "--aug", "padded", "--crop-pad", "32"),
                       2, "--crop-pad 32: a view of 32 px");
}

static void test_views_refuses(void **state)
{
    (void)state;
    if (!writes_png()) {
        skip();
    }
    cli_expect_refused(RUN("views", "noise"), 2, "-o FILE");
    cli_expect_refused(RUN("views", "-o", "no.png"), 2, "DATA");
    cli_expect_refused(RUN("views", "not-there", "-o", "no.png"), 3, "not-there");
    cli_expect_refused(RUN("views", "empty", "-o", "no.png"), 3, "no images");
    cli_expect_refused(RUN("views", "bad", "-o", "no.png"), 3, "no readable picture");
    cli_expect_refused(RUN("views", "noise", "-o", "no/such.png"), 1, "no/such.png");
    cli_expect_refused(RUN("views", "noise", "-o", "no.png", "-n", "0"), 2, "--n");
    cli_expect_refused(RUN("views", "synthetic:n=1000", "-o", "no.png", "-n", "1000",
                           "--image-size", "1024"),
                       2, "show fewer");
    /* No folder: whether its index is kept, and so hits the limit too, hangs on its age.
     */
    cli_limit_files(200);
    cli_expect_refused(RUN("views", "synthetic:n=9", "-o", "no.png"), 1, "no.png");
    cli_limit_files(0);
    assert_false(cli_exists("no.png"));
    cli_no_torn_files(".");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_text_and_list),
        cmocka_unit_test(test_facts_of_formats),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_check_refuses),
        cmocka_unit_test(test_stats_of_two),
        cmocka_unit_test(test_stats_suggests),
        cmocka_unit_test(test_stats_workers),
        cmocka_unit_test(test_stats_of_cifar),
        cmocka_unit_test(test_stats_refuses),
        cmocka_unit_test(test_views_of_red),
        cmocka_unit_test(test_views_of_many),
        cmocka_unit_test(test_views_of_a_run),
        cmocka_unit_test(test_views_padded),
        cmocka_unit_test(test_views_refuses),
    };
    return cmocka_run_group_tests(tests, make_faulty, NULL);
}
