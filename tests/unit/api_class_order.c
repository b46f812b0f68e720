/* SPDX-License-Identifier: MIT */
/*
 * Classes of data against those of a model, by their names: what number each gets, and
 * what is refused. (What follows from it for accuracies, tests/cli/classifier.c shows.)
 */
#include "api/api_int.h"
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 3 };

/* Three classes of any names: as a list of them would have it. */
static struct sl_source *make_source(const char *const names[CLASSES])
{
    static const int same[CLASSES] = {0, 1, 2};
    struct sl_error err = {0};
    kit_write_ppm("three/a/1.ppm", 2, 2, 1);
    kit_write_ppm("three/b/2.ppm", 2, 2, 2);
    kit_write_ppm("three/c/3.ppm", 2, 2, 3);
    struct sl_source *source = kit_open("three", SL_PART_TRAIN, true);
    assert_int_equal(sl_source_number_classes(&err, source, names, same, CLASSES), SL_OK);
    return source;
}

enum { MOST = 4 };

static enum sl_status find(struct sl_error *err, const char *const wants[CLASSES],
                           const char *const has[MOST], int **numbers)
{
    const char *names[MOST] = {has[0], has[1], has[2], has[3]};
    struct sl_classes classes = {.names = names};
    while (classes.n < MOST && has[classes.n] != NULL) {
        classes.n++;
    }
    struct sl_source *source = make_source(wants);
    enum sl_status status =
        api_classes_find(err, &classes, "model", source, "data", numbers);
    sl_source_close(source);
    return status;
}

static void test_numbers(void **state)
{
    static const struct {
        const char *wants[CLASSES], *has[MOST];
        bool is_moved;
        int numbers[CLASSES];
    } cases[] = {
        {{"a", "b", "c"}, {"a", "b", "c"}, false, {0}},
        {{"a", "b", "c"}, {"c", "a", "b"}, true, {1, 2, 0}},
        {{"10", "2", "1"}, {"1", "10", "2"}, true, {1, 2, 0}},
        {{"1", "2", "0"}, {"0", "1", "2"}, true, {1, 2, 0}},
        /* names against none, and against numbers in their place */
        {{"a", "b", "c"}, {NULL, NULL, NULL}, false, {0}},
        {{"a", "b", "c"}, {"0", "1", "2"}, false, {0}},
        {{"0", "1", "2"}, {"a", "b", "c"}, false, {0}},
        /* a name twice, where nothing has to be told apart */
        {{"a", "b", "a"}, {"a", "b", "a"}, false, {0}},
        /* some of the classes: the first ones, and others */
        {{"a", "b", "c"}, {"a", "b", "c", "d"}, false, {0}},
        {{"a", "b", "d"}, {"a", "b", "c", "d"}, true, {0, 1, 3}},
    };
    (void)state;
    for (int i = 0; i < SL_COUNT(cases); i++) {
        struct sl_error err = {0};
        int *numbers = NULL;
        assert_int_equal(find(&err, cases[i].wants, cases[i].has, &numbers), SL_OK);
        assert_int_equal(err.status, SL_OK);
        assert_int_equal(numbers != NULL, cases[i].is_moved);
        for (int c = 0; cases[i].is_moved && c < CLASSES; c++) {
            assert_int_equal(numbers[c], cases[i].numbers[c]);
        }
        sl_heap_free(numbers);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *wants[CLASSES], *has[MOST], *word;
    } cases[] = {
        {{"a", "b", "d"}, {"a", "b", "c"}, "class 'd' is none of those"},
        {{"1", "2", "3"}, {"a", "b", "c"}, "class '1' is none of those"},
        {{"a", "b", "c"}, {"a", "b", "a"}, "class 'c' is none of those"},
        {{"a", "a", "b"}, {"a", "b", "a"}, "two classes are called 'a'"},
        {{"a", "b", "e"}, {"a", "b", "c", "d"}, "class 'e' is none of those of model"},
        {{"a", "b", "c"}, {"0", "1", "2", "3"}, "class 'a' is none of those"},
        {{"a", "b", "c"}, {"a", "b"}, "class 'c' is none of those"},
        {{"a", "b\n", "c"}, {"a", "b", "c"}, "class 'b\\x0a' is none of those"},
    };
    (void)state;
    for (int i = 0; i < SL_COUNT(cases); i++) {
        struct sl_error err = {0};
        int *numbers = NULL;
        assert_int_equal(find(&err, cases[i].wants, cases[i].has, &numbers),
                         SL_ERROR_DATA);
        assert_non_null(strstr(err.text, cases[i].word));
        assert_null(numbers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("api_class_order", tests, NULL, NULL);
}
