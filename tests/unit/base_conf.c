/* SPDX-License-Identifier: MIT */
/*
 * Configuration: types, ranges and choices are kept, stronger origins win, messages name
 * place, key, rule and value, and what is written reads back as the same settings.
 */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct sl_key keys[] = {
    {.name = "out", .letter = 'o', .type = SL_KEY_TEXT, .argument = "DIR"},
    {.name = "batch-size", .type = SL_KEY_INT, .initial = "256", .low = 1, .high = 65536},
    {.name = "lr",
     .type = SL_KEY_REAL,
     .initial = "auto",
     .auto_ok = true,
     .high = INFINITY},
    {.name = "seed", .type = SL_KEY_INT, .initial = "0"},
    {.name = "json", .type = SL_KEY_BOOL, .initial = "no"},
    {.name = "stem",
     .type = SL_KEY_CHOICE,
     .initial = "auto",
     .choices = "imagenet|small",
     .auto_ok = true},
    {.name = "widths", .type = SL_KEY_TEXT, .initial = "1,0.75,0.5,0.25"},
};

static struct sl_conf *make(void)
{
    struct sl_error err = {0};
    struct sl_conf *conf = NULL;
    assert_int_equal(sl_conf_create(&err, keys, SL_COUNT(keys), &conf), SL_OK);
    return conf;
}

static void set(struct sl_conf *conf, const char *name, const char *value)
{
    struct sl_error err = {0};
    assert_int_equal(sl_conf_set(&err, conf, name, value, SL_FROM_USER, name), SL_OK);
}

static void parse(struct sl_conf *conf, const char *text)
{
    struct sl_error err = {0};
    enum sl_status status = sl_conf_parse(&err, conf, text, "my.ini", SL_FROM_FILE);
    assert_string_equal(err.text, "");
    assert_int_equal(status, SL_OK);
}

/* The text is refused with exactly this message. */
static void refuse(const char *text, const char *message)
{
    struct sl_error err = {0};
    struct sl_conf *conf = make();
    assert_int_equal(sl_conf_parse(&err, conf, text, "my.ini", SL_FROM_FILE),
                     SL_ERROR_USAGE);
    assert_string_equal(err.text, message);
    sl_conf_destroy(conf);
}

static void defaults_are_read(void **state)
{
    (void)state;
    struct sl_conf *conf = make();
    assert_string_equal(sl_conf_text(conf, "out"), "");
    assert_int_equal(sl_conf_int(conf, "batch-size"), 256);
    assert_true(sl_conf_is_auto(conf, "lr"));
    assert_true(sl_conf_is_auto(conf, "stem"));
    assert_string_equal(sl_conf_text(conf, "stem"), "auto");
    assert_false(sl_conf_bool(conf, "json"));
    assert_string_equal(sl_conf_text(conf, "widths"), "1,0.75,0.5,0.25");
    assert_int_equal(sl_conf_origin(conf, "lr"), SL_FROM_DEFAULT);
    assert_true(sl_conf_has(conf, "json"));
    assert_false(sl_conf_has(conf, "jsom"));
    assert_int_equal(sl_conf_key_count(conf), SL_COUNT(keys));
    assert_ptr_equal(sl_conf_key(conf, 3), &keys[3]);
    sl_conf_destroy(conf);
    sl_conf_destroy(NULL);
}

static void bad_default_is_found(void **state)
{
    (void)state;
    static const struct sl_key bad[] = {
        {.name = "n", .type = SL_KEY_INT, .initial = "0", .low = 1, .high = 2}};
    struct sl_error err = {0};
    struct sl_conf *conf = NULL;
    assert_int_equal(sl_conf_create(&err, bad, 1, &conf), SL_ERROR_USAGE);
    assert_null(conf);
}

static void stronger_origins_win(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_conf *conf = make();
    set(conf, "lr", "0.25");
    assert_false(sl_conf_is_auto(conf, "lr"));
    parse(conf, "lr = 0.5\nbatch-size = 8\n");
    assert_true(sl_conf_real(conf, "lr") == 0.25);
    assert_int_equal(sl_conf_origin(conf, "lr"), SL_FROM_USER);
    assert_int_equal(sl_conf_int(conf, "batch-size"), 8);
    /* A weaker value is not stored but still checked. */
    assert_int_equal(sl_conf_set(&err, conf, "lr", "x", SL_FROM_RECIPE, "r:1"),
                     SL_ERROR_USAGE);
    sl_error_clear(&err);
    /* Of equally strong ones the later wins. */
    set(conf, "lr", "1");
    assert_true(sl_conf_real(conf, "lr") == 1.0);
    assert_int_equal(sl_conf_set(&err, conf, "lr", "2", SL_FROM_RESOLVED, NULL), SL_OK);
    assert_true(sl_conf_real(conf, "lr") == 2.0);
    assert_int_equal(sl_conf_origin(conf, "lr"), SL_FROM_RESOLVED);
    sl_conf_destroy(conf);
}

static void equal_values_become_equal_texts(void **state)
{
    (void)state;
    struct sl_conf *conf = make();
    set(conf, "lr", "+0.0600");
    assert_string_equal(sl_conf_text(conf, "lr"), "0.06");
    set(conf, "batch-size", "0064");
    assert_string_equal(sl_conf_text(conf, "batch-size"), "64");
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (int i = 0; i < 4; i++) {
        set(conf, "json", yes[i]);
        assert_true(sl_conf_bool(conf, "json"));
        assert_string_equal(sl_conf_text(conf, "json"), "yes");
        set(conf, "json", no[i]);
        assert_false(sl_conf_bool(conf, "json"));
        assert_string_equal(sl_conf_text(conf, "json"), "no");
    }
    sl_conf_destroy(conf);
}

static void file_syntax(void **state)
{
    (void)state;
    struct sl_conf *conf = make();
    parse(conf, "\xEF\xBB\xBF# comment\r\n"
                "; comment\n"
                "[training]\n"
                "\n"
                "  \t \n"
                "batch-size=32\r\n"
                "  seed\t=  -7   # the lucky one\n"
                "out = /data/run#1;x ; comment\n"
                "json = yes # \n"
                "widths = \" 1, 0.5 # \\\"all\\\" \\\\ \\x \" # comment\n"
                "lr = 1e-3");
    assert_int_equal(sl_conf_int(conf, "batch-size"), 32);
    assert_int_equal(sl_conf_int(conf, "seed"), -7);
    assert_string_equal(sl_conf_text(conf, "out"), "/data/run#1;x");
    assert_true(sl_conf_bool(conf, "json"));
    assert_string_equal(sl_conf_text(conf, "widths"), " 1, 0.5 # \"all\" \\ \\x ");
    assert_true(sl_conf_real(conf, "lr") == 1e-3);
    parse(conf, "out =\n");
    assert_string_equal(sl_conf_text(conf, "out"), "");
    parse(conf, "out = # nothing\n");
    assert_string_equal(sl_conf_text(conf, "out"), "");
    parse(conf, "out = a = b\n");
    assert_string_equal(sl_conf_text(conf, "out"), "a = b");
    parse(conf, "");
    sl_conf_destroy(conf);
}

static void messages_say_what_is_wrong(void **state)
{
    (void)state;
    refuse("\nbatchsize = 3\n",
           "my.ini:2: unknown key 'batchsize'; did you mean 'batch-size'?");
    refuse("jsno = 3\n", "my.ini:1: unknown key 'jsno'; did you mean 'json'?");
    refuse("with = 3\n", "my.ini:1: unknown key 'with'; did you mean 'widths'?");
    refuse("batch-size = 0\n",
           "my.ini:1: batch-size must be a whole number from 1 to 65536, not '0'");
    refuse("batch-size = auto\n",
           "my.ini:1: batch-size must be a whole number from 1 to 65536, not 'auto'");
    refuse("batch-size =\n",
           "my.ini:1: batch-size must be a whole number from 1 to 65536, not ''");
    refuse("seed = 1.5\n", "my.ini:1: seed must be a whole number, not '1.5'");
    refuse("lr = -1\n", "my.ini:1: lr must be a number of at least 0 or auto, not '-1'");
    refuse("json = maybe\n", "my.ini:1: json must be yes or no, not 'maybe'");
    refuse("stem = smal\n",
           "my.ini:1: stem must be one of imagenet,small or auto, not 'smal'");
    refuse("stem = imagenet|small\n",
           "my.ini:1: stem must be one of imagenet,small or auto, not 'imagenet|small'");
    refuse("hello world\n",
           "my.ini:1: a line must read 'key = value', not 'hello world'");
    refuse("= 3\n", "my.ini:1: a line must read 'key = value', not '= 3'");
    refuse("[sect\n", "my.ini:1: the section '[sect' has no closing bracket");
    refuse("out = \"open\n",
           "my.ini:1: the quoted value must end with one '\"' at the end of "
           "the line, not 'out = \"open'");
    refuse("out = \"a\" b\n",
           "my.ini:1: the quoted value must end with one '\"' at the end of "
           "the line, not 'out = \"a\" b'");
    struct sl_error err = {0};
    struct sl_conf *conf = make();
    assert_int_equal(
        sl_conf_set(&err, conf, "batch-size", "x", SL_FROM_USER, "--batch-size"),
        SL_ERROR_USAGE);
    assert_string_equal(err.text,
                        "--batch-size must be a whole number from 1 to 65536, not 'x'");
    assert_int_equal(sl_conf_int(conf, "batch-size"), 256);
    sl_conf_destroy(conf);
}

static void long_texts_are_cut_in_messages(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'k', sizeof text);
    text[sizeof text - 1] = '\0';
    struct sl_error err = {0};
    struct sl_conf *conf = make();
    assert_int_equal(sl_conf_set(&err, conf, text, "1", SL_FROM_USER, "x"),
                     SL_ERROR_USAGE);
    assert_true(strlen(err.text) < 200);
    sl_error_clear(&err);
    assert_int_equal(sl_conf_set(&err, conf, "lr", text, SL_FROM_USER, "x"),
                     SL_ERROR_USAGE);
    assert_true(strlen(err.text) < 200);
    assert_non_null(strstr(err.text, "kkk...'"));
    sl_error_clear(&err);
    set(conf, "out", text); /* a text may be as long as it likes */
    assert_string_equal(sl_conf_text(conf, "out"), text);
    sl_conf_destroy(conf);
}

static void written_settings_read_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",    "plain", "two words", " blanks ", "a # b",      "#a",
        "a;b", "\"q\"", "q\"q",      "\\",       "\"\\n\\",    "a\nb\r\nc",
        "[x]", "= =",   "\ttab\t",   "auto",     "C:\\new # x"};
    for (int i = 0; i < SL_COUNT(texts); i++) {
        struct sl_conf *conf = make();
        struct sl_conf *again = make();
        struct sl_text written = {0};
        struct sl_text twice = {0};
        set(conf, "out", texts[i]);
        set(conf, "lr", "0.1");
        set(conf, "seed", "-9223372036854775808");
        sl_conf_write(conf, &written);
        parse(again, written.text);
        assert_string_equal(sl_conf_text(again, "out"), texts[i]);
        assert_true(sl_conf_int(again, "seed") == INT64_MIN);
        assert_true(sl_conf_is_auto(again, "stem"));
        sl_conf_write(again, &twice);
        assert_string_equal(written.text, twice.text);
        sl_text_finish(&written);
        sl_text_finish(&twice);
        sl_conf_destroy(conf);
        sl_conf_destroy(again);
    }
    struct sl_conf *conf = make();
    struct sl_text written = {0};
    sl_conf_write(conf, &written);
    assert_string_equal(written.text,
                        "out = \nbatch-size = 256\nlr = auto\nseed = 0\njson = no\n"
                        "stem = auto\nwidths = 1,0.75,0.5,0.25\n");
    sl_text_finish(&written);
    sl_conf_destroy(conf);
}

static void copies_are_independent(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_conf *conf = make();
    struct sl_conf *copy = NULL;
    set(conf, "out", "one");
    assert_int_equal(sl_conf_copy(&err, conf, &copy), SL_OK);
    set(conf, "out", "two");
    assert_string_equal(sl_conf_text(copy, "out"), "one");
    assert_int_equal(sl_conf_origin(copy, "out"), SL_FROM_USER);
    sl_conf_destroy(conf);
    assert_int_equal(sl_conf_int(copy, "batch-size"), 256);
    sl_conf_destroy(copy);
}

static void files_are_loaded(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_conf *conf = make();
    const char path[] = "base_conf.scratch.ini";
    assert_int_equal(sl_conf_load(&err, conf, "missing.ini", SL_FROM_FILE),
                     SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "missing.ini"));
    sl_error_clear(&err);
    assert_int_equal(sl_file_write(&err, path, "seed = 3\n", 9), SL_OK);
    assert_int_equal(sl_conf_load(&err, conf, path, SL_FROM_FILE), SL_OK);
    assert_int_equal(sl_conf_int(conf, "seed"), 3);
    assert_int_equal(sl_file_write(&err, path, "seed = 4\n\0x", 11), SL_OK);
    assert_int_equal(sl_conf_load(&err, conf, path, SL_FROM_FILE), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "zero byte"));
    assert_int_equal(sl_conf_int(conf, "seed"), 3);
    assert_true(sl_file_remove(path));
    sl_conf_destroy(conf);
}

static void lack_of_memory_is_survived(void **state)
{
    (void)state;
    int64_t held = sl_heap_bytes();
    int n_failed = 0;
    for (int64_t k = 1; k < 100; k++) {
        struct sl_error err = {0};
        struct sl_conf *conf = NULL;
        struct sl_conf *copy = NULL;
        sl_heap_fail_at(k);
        enum sl_status status = sl_conf_create(&err, keys, SL_COUNT(keys), &conf);
        if (status == SL_OK) {
            status = sl_conf_parse(&err, conf, "out = x\nseed = 2\n", "f", SL_FROM_FILE);
        }
        if (status == SL_OK) {
            status = sl_conf_copy(&err, conf, &copy);
        }
        sl_heap_fail_at(0);
        sl_conf_destroy(conf);
        sl_conf_destroy(copy);
        assert_int_equal(sl_heap_bytes(), held);
        if (status == SL_OK) {
            break;
        }
        assert_int_equal(status, SL_ERROR_RUN);
        n_failed++;
    }
    /* settings and values twice, a text a key twice, the parser's copy and two new texts
     */
    assert_int_equal(n_failed, 4 + 2 * SL_COUNT(keys) + 3);
}

static void strict_integers(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(sl_parse_int("9223372036854775807", &value));
    assert_true(value == INT64_MAX);
    assert_true(sl_parse_int("-12", &value));
    assert_int_equal(value, -12);
    assert_true(sl_parse_int("+012", &value));
    assert_int_equal(value, 12);
    static const char *const bad[] = {"",     " 1",   "1 ",  "1x",
                                      "0x10", "1.0",  "1e3", "--1",
                                      "+",    "auto", "1,",  "9223372036854775808"};
    for (int i = 0; i < SL_COUNT(bad); i++) {
        assert_false(sl_parse_int(bad[i], &value));
    }
    assert_int_equal(value, 12);
}

static void strict_reals(void **state)
{
    (void)state;
    double value = 0.0;
    static const char *const good[] = {"1",    "1.",   ".5",     "-0.25",
                                       "+1e3", "1E-3", "5e-324", "0"};
    static const double expected[] = {1, 1, 0.5, -0.25, 1000, 0.001, 5e-324, 0};
    for (int i = 0; i < SL_COUNT(good); i++) {
        assert_true(sl_parse_real(good[i], &value));
        assert_true(value == expected[i]);
    }
    static const char *const bad[] = {"",      ".",   " 1",  "1 ",    "0x1p3",
                                      "inf",   "nan", "1e",  "1e+",   "e5",
                                      "1e400", "1,5", "--1", "1.2.3", "50%"};
    for (int i = 0; i < SL_COUNT(bad); i++) {
        assert_false(sl_parse_real(bad[i], &value));
    }
}

static void assert_format(double value, const char *expected)
{
    char text[40];
    sl_format_real(text, sizeof text, value);
    assert_string_equal(text, expected);
}

static void assert_digits(double value, int digits, const char *expected)
{
    char text[40];
    sl_format_digits(text, sizeof text, value, digits);
    assert_string_equal(text, expected);
}

static void assert_float(float value, const char *expected)
{
    char text[40];
    sl_format_float(text, sizeof text, value);
    assert_string_equal(text, expected);
}

static void floats_read_back(void **state)
{
    (void)state;
    assert_float(0.2F, "0.2");
    assert_float(0.4914F, "0.4914");
    assert_float(1.0F / 3.0F, "0.33333334");
    assert_float(16777216.0F, "16777216");
    assert_float(3e-42F, "3e-42");
    struct sl_rng rng = sl_rng_at(3, SL_RNG_TEST, 0, 0);
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = sl_rng_u32(&rng);
        float value = 0.0F;
        double back = 0.0;
        char text[40];
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            sl_format_float(text, sizeof text, value);
            assert_true(sl_parse_real(text, &back) && (float)back == value);
            assert_true(strlen(text) <= strlen("-999999986991104"));
        }
    }
    assert_digits(0.1 + 0.2, 12, "0.3");
    assert_digits(2.0 / 3.0, 3, "0.667");
    assert_digits(1e6 + 0.25, 7, "1000000");
}

static void reals_read_back(void **state)
{
    (void)state;
    assert_format(0.0, "0");
    assert_format(0.1, "0.1");
    assert_format(100000.0, "100000");
    assert_format(-2.5, "-2.5");
    assert_format(1.0 / 3.0, "0.3333333333333333");
    assert_format(5e-324, "5e-324");
    assert_format(1e300, "1e+300");
    struct sl_rng rng = sl_rng_at(2, SL_RNG_TEST, 0, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = (uint64_t)sl_rng_u32(&rng) << 32;
        bits |= sl_rng_u32(&rng);
        double value = 0.0;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        char text[40];
        double back = 0.0;
        sl_format_real(text, sizeof text, value);
        assert_true(sl_parse_real(text, &back));
        assert_true(back == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_read),
        cmocka_unit_test(bad_default_is_found),
        cmocka_unit_test(stronger_origins_win),
        cmocka_unit_test(equal_values_become_equal_texts),
        cmocka_unit_test(file_syntax),
        cmocka_unit_test(messages_say_what_is_wrong),
        cmocka_unit_test(long_texts_are_cut_in_messages),
        cmocka_unit_test(written_settings_read_back),
        cmocka_unit_test(copies_are_independent),
        cmocka_unit_test(files_are_loaded),
        cmocka_unit_test(lack_of_memory_is_survived),
        cmocka_unit_test(strict_integers),
        cmocka_unit_test(strict_reals),
        cmocka_unit_test(reals_read_back),
        cmocka_unit_test(floats_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
