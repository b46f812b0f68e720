/* SPDX-License-Identifier: MIT */
/*
 * A tree of 10,000 pictures of which 500 are damaged in twenty ways, through the program:
 * `check` and a run find exactly those, and a run ends in the same bits with any number
 * of workers.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FILES = 10000, EVERY = 20, DAMAGED_AT = 7, DAMAGED = FILES / EVERY };

/* ---- twenty ways ------------------------------------------------------------------- */

enum what {
    CUT,     /* only `n` bytes are left; negative: all but so many; 0: half of them */
    PUT,     /* the bytes `with` stand `n` behind `mark` (the beginning when NULL) */
    REPLACE, /* `n` bytes of `with` are the file */
    AS_IS    /* the golden file itself is bad */
};

static const struct way {
    const char *from; /* below tests/golden */
    const char *extension;
    enum what what;
    int n;
    const char *mark, *with;
} ways[] = {
    {NULL, "jpg", REPLACE, 0, NULL, ""},
    {"pixels/420.jpg", "jpg", CUT, 20, NULL, NULL},
    {"pixels/420.jpg", "jpg", CUT, 0, NULL, NULL},
    {"pixels/420.jpg", "jpeg", CUT, -10, NULL, NULL},
    {"pixels/420.jpg", "jpg", PUT, 7, "\xff\xc0", "\1\1"}, /* 257 columns promised */
    {"pixels/420.jpg", "JPG", PUT, -40, NULL, "\xff\xd9"}, /* an end in the middle */
    {"pixels/420.jpg", "jpg", PUT, 5, "\xff\xc4", "\xff\xff\xff"}, /* Huffman table */
    {"formats/bomb.jpg", "jpg", AS_IS, 0, NULL, NULL},
    {"pixels/rgb.png", "png", CUT, 0, NULL, NULL},
    {"pixels/rgb.png", "png", PUT, 30, "IDAT", "?!"}, /* no longer its check sum */
    {"formats/bomb.png", "png", AS_IS, 0, NULL, NULL},
    {"formats/rgb24.bmp", "bmp", CUT, 0, NULL, NULL},
    {"formats/rgb24.bmp", "bmp", PUT, 28, NULL, "\7"}, /* bits a pixel */
    {"pixels/rgb.ppm", "ppm", CUT, -1, NULL, NULL},
    {"formats/bomb.ppm", "ppm", AS_IS, 0, NULL, NULL},
    {"formats/strips.tif", "tif", CUT, 0, NULL, NULL},
    {"formats/lossy.webp", "webp", CUT, 0, NULL, NULL},
    {NULL, "jpg", REPLACE, 30, NULL, "<!DOCTYPE html><html>404</html>"},
    {NULL, "png", REPLACE, 12, NULL, "GIF89a\1\0\1\0\0\0"},
    {NULL, "jpg", REPLACE, 64, NULL,
     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"},
};
enum { WAYS = (int)(sizeof ways / sizeof ways[0]) };

/* A golden file, once read. */
static unsigned char *golden(const char *name, int64_t *size)
{
    char path[128];
    (void)snprintf(path, sizeof path, "tests/golden/%s", name);
    return cli_read(cli_source(path), size);
}

/* Where the mark stands; it must. */
static int64_t find(const unsigned char *bytes, int64_t size, const char *mark)
{
    int64_t n = (int64_t)strlen(mark);
    for (int64_t at = 0; at + n <= size; at++) {
        if (memcmp(bytes + at, mark, (size_t)n) == 0) {
            return at;
        }
    }
    fail_msg("no such mark in the golden file");
    return 0;
}

static void write_damaged(const char *stem, const struct way *way)
{
    char path[128];
    int64_t size = 0;
    (void)snprintf(path, sizeof path, "%s.%s", stem, way->extension);
    if (way->what == REPLACE) {
        cli_write(path, way->with, (size_t)way->n);
        return;
    }
    unsigned char *bytes = golden(way->from, &size);
    if (way->what == CUT) {
        size = way->n > 0 ? way->n : way->n < 0 ? size + way->n : size / 2;
    } else if (way->what == PUT) {
        int64_t at = way->mark != NULL ? find(bytes, size, way->mark) : 0;
        at += way->n < 0 ? size + way->n : way->n;
        size_t n = strlen(way->with);
        assert_true(at + (int64_t)n <= size);
        memcpy(bytes + at, way->with, n);
    }
    cli_write(path, bytes, (size_t)size);
    cli_free(bytes);
}

static void write_good(const char *stem, uint32_t i)
{
    char path[128];
    const char *extension = i % 8 == 1 ? "jpg" : i % 8 == 3 ? "png" : "ppm";
    (void)snprintf(path, sizeof path, "%s.%s", stem, extension);
    if (extension[0] == 'p' && extension[1] == 'p') {
        cli_write_noise(path, 18, 20, i);
    } else {
        int64_t size = 0;
        unsigned char *bytes =
            golden(extension[0] == 'j' ? "pixels/420.jpg" : "pixels/rgb.png", &size);
        cli_write(path, bytes, (size_t)size);
        cli_free(bytes);
    }
}

static int make_tree(void **state)
{
    (void)state;
    cli_remove("tree");
    for (uint32_t i = 0; i < FILES; i++) {
        char stem[64];
        (void)snprintf(stem, sizeof stem, "tree/%02u/%u/%05u", i / 500, i % 3, i);
        if (i % EVERY == DAMAGED_AT) {
            write_damaged(stem, &ways[i / EVERY % WAYS]);
        } else {
            write_good(stem, i);
        }
    }
    return 0;
}

/* ---- what is found ----------------------------------------------------------------- */

/* Lines "path<tab>…" that hold `word` must be about all damaged files, each once, and
 * about no other. */
static void expect_damaged(const char *list, const char *word)
{
    static unsigned char seen[FILES];
    char *text = (char *)cli_read(list, NULL);
    int n = 0;
    memset(seen, 0, sizeof seen);
    for (char *line = text, *next = NULL; *line != '\0'; line = next) {
        size_t length = strcspn(line, "\n");
        next = line + length + (line[length] == '\n');
        line[length] = '\0';
        const char *tab = strchr(line, '\t');
        assert_non_null(tab);
        if (strstr(tab, word) == NULL) {
            continue;
        }
        const char *dot = tab;
        while (*dot != '.') {
            dot--;
        }
        long i = strtol(dot - 5, NULL, 10);
        assert_true(i >= 0 && i < FILES && i % EVERY == DAMAGED_AT);
        if (seen[i]) {
            fail_msg("twice: %s", line);
        }
        seen[i] = 1;
        n++;
    }
    cli_free(text);
    assert_int_equal(n, DAMAGED);
}

static void test_check(void **state)
{
    (void)state;
    const struct cli_result *result =
        RUN("check", "tree", "-o", "findings.txt", "-q", "--json", "-j", "3");
    assert_int_equal(result->status, 3);
    json_t *root = json_loads(result->out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "n_damaged")), DAMAGED);
    assert_int_equal(json_integer_value(json_object_get(root, "pictures")), FILES);
    json_decref(root);
    expect_damaged("findings.txt", "\tdamaged\t");
}

#define SMALL                                                                            \
    "tree", "-a", "resnet8-b8", "-w", "1,0.5", "-b", "100", "--image-size", "16", "-e",  \
        "1", "-q", "--threads", "1", "--slow-start", "0"

static void test_runs(void **state)
{
    static const char *const runs[] = {"run1", "run2", "run5", "run1again"};
    static const char *const workers[] = {"1", "2", "5", "1"};
    (void)state;
    for (int r = 0; r < 4; r++) {
        char path[64];
        cli_remove(runs[r]);
        cli_expect_done(RUN("pretrain", SMALL, "-o", runs[r], "-j", workers[r]));
        (void)snprintf(path, sizeof path, "%s/bad_files.txt", runs[r]);
        expect_damaged(path, "");
        cli_same_bytes("run1/bad_files.txt", path);
        (void)snprintf(path, sizeof path, "%s/checkpoints/last.safetensors", runs[r]);
        cli_same_bytes("run1/checkpoints/last.safetensors", path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_runs),
    };
    const struct cli_result *formats = RUN("list", "formats");
    if (strstr(formats->out, "(not") != NULL) {
        print_message("skipped: not all formats are in this build\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, make_tree, NULL);
}
