/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: state comes back as it was, a file that does not fit is refused before
 * anything is written, a full disk leaves the previous checkpoint as it was, and pruning
 * keeps the newest. Runs in a folder of its own.
 */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char folder[] = "checkpoint.scratch";
static const char path[] = "checkpoint.scratch/some.safetensors";
static const char conf[] = "arch = resnet20\nlr = 0.06\n";

static struct sl_device device;
static const struct sl_classes *named; /* what `save` calls the classes */

static void empty_folder(const char *name)
{
    struct sl_error err = {0};
    struct sl_dir_list list;
    char inner[600];
    if (sl_path_kind(name) != SL_PATH_DIRECTORY) {
        return;
    }
    assert_int_equal(sl_dir_list(&err, SL_ERROR_RUN, name, &list), SL_OK);
    for (int64_t i = 0; i < list.n; i++) {
        assert_true(sl_path_join(inner, sizeof inner, name, list.names[i]));
        empty_folder(inner);
        if (!sl_file_remove(inner)) {
            (void)rmdir(inner);
        }
    }
    sl_dir_list_finish(&list);
}

static int begin(void **state)
{
    struct sl_error err = {0};
    (void)state;
    empty_folder(folder);
    if (sl_dir_create(&err, folder) != SL_OK) {
        return -1;
    }
    return sl_device_open(&err, "ref", &(struct sl_backend_options){.threads = 1},
                          &device);
}

static int end(void **state)
{
    (void)state;
    sl_file_fail_after(-1);
    empty_folder(folder);
    (void)rmdir(folder);
    sl_device_close(&device);
    return 0;
}

/* ---- a state ----------------------------------------------------------------------- */

struct state {
    float weight[2][3], scale[4];
    int64_t step;
};

static struct state state_of(int key)
{
    struct state state;
    sl_rng_fill_normal(1, SL_RNG_TEST, (uint32_t)key, 1.0F, 6, &state.weight[0][0]);
    sl_rng_fill_normal(2, SL_RNG_TEST, (uint32_t)key, 1.0F, 4, state.scale);
    state.step = 1000 + key;
    return state;
}

static void add(struct sl_named_list *list, const char *name, void *data,
                enum sl_dtype dtype, int64_t rows, int64_t columns)
{
    struct sl_error err = {0};
    const int64_t dims[] = {rows, columns};
    assert_int_equal(sl_named_add(&err, list, name,
                                  sl_tensor_make(data, dtype, columns > 0 ? 2 : 1, dims)),
                     SL_OK);
}

static struct sl_named_list list_of(struct state *state)
{
    struct sl_named_list list = {0};
    add(&list, "weight", state->weight, SL_F32, 2, 3);
    add(&list, "scale", state->scale, SL_F32, 4, 0);
    add(&list, "step", &state->step, SL_I64, 1, 0);
    return list;
}

static enum sl_status save(struct sl_error *err, int key)
{
    struct state state = state_of(key);
    struct sl_named_list list = list_of(&state);
    enum sl_status status = sl_checkpoint_save(err, path, &device, &list, conf, named);
    sl_named_finish(&list);
    return status;
}

static void save_ok(int key)
{
    struct sl_error err = {0};
    if (save(&err, key) != SL_OK) {
        fail_msg("%s", err.text);
    }
}

static struct sl_tensor_file *open_ok(const char *name)
{
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    if (sl_checkpoint_open(&err, name, &file) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return file;
}

static void assert_holds(int key)
{
    struct sl_error err = {0};
    struct state expected = state_of(key);
    struct state got = state_of(key + 1000);
    struct sl_named_list list = list_of(&got);
    struct sl_tensor_file *file = open_ok(path);
    assert_int_equal(sl_checkpoint_restore(&err, file, &device, &list, true), SL_OK);
    assert_memory_equal(&got, &expected, sizeof got);
    sl_tensor_file_close(file);
    sl_named_finish(&list);
}

/* The folder holds these names, each followed by a blank. */
static void assert_names(const char *name, const char *expected)
{
    struct sl_error err = {0};
    struct sl_dir_list list;
    struct sl_text text = {0};
    sl_text_add(&text, "%s", "");
    assert_int_equal(sl_dir_list(&err, SL_ERROR_RUN, name, &list), SL_OK);
    for (int64_t i = 0; i < list.n; i++) {
        sl_text_add(&text, "%s ", list.names[i]);
    }
    assert_string_equal(text.text, expected);
    sl_text_finish(&text);
    sl_dir_list_finish(&list);
}

/* ---- saving and restoring ---------------------------------------------------------- */

static void test_round_trip(void **state)
{
    (void)state;
    save_ok(1);
    assert_holds(1);
    struct sl_tensor_file *file = open_ok(path);
    assert_string_equal(sl_checkpoint_conf(file), conf);
    assert_string_equal(sl_tensor_file_meta(file, "format"), "pt");
    sl_tensor_file_close(file);
    save_ok(2);
    assert_holds(2);
}

/* ---- names of classes -------------------------------------------------------------- */

static void assert_read_names(const char *const *names, int n)
{
    struct sl_error err = {0};
    struct sl_classes classes;
    struct sl_tensor_file *file = open_ok(path);
    assert_int_equal(sl_checkpoint_classes(&err, file, &classes), SL_OK);
    assert_int_equal(classes.n, n);
    for (int i = 0; i < n; i++) {
        assert_string_equal(classes.names[i], names[i]);
    }
    sl_classes_finish(&classes);
    sl_tensor_file_close(file);
}

static void save_named(const char **names, int n)
{
    const struct sl_classes classes = {.names = names, .n = n};
    named = &classes;
    save_ok(1);
    named = NULL;
    assert_holds(1);
}

/* Names of folders are any bytes: they come back as they were, in their order. */
static void test_names_of_classes(void **state)
{
    const char *names[] = {"zebra",   "ant",      "ca\xf1", "ca\\xf1", "Schl\xc3\xbcssel",
                           "a \"b\"", "\n\t\x7f", "",       "ant",     "\\xc3\xbc\xff"};
    const char *const *whole = names;
    (void)state;
    save_named(names, SL_COUNT(names));
    assert_read_names(whole, SL_COUNT(names));
    save_ok(1);
    assert_read_names(NULL, 0);
    save_named(names, 0);
    assert_read_names(NULL, 0);
}

/* A header has its limit: what would fill it is left out, and the file can be read. */
static void test_names_too_long_are_left_out(void **state)
{
    struct sl_error err = {0};
    const int64_t half = SL_CLASSES_BYTES_MOST / 2;
    char *text = NULL;
    (void)state;
    assert_int_equal(sl_heap_alloc(&err, "text", half + 2, 1, &text), SL_OK);
    memset(text, 'a', (size_t)half);
    const char *names[] = {text, text};
    save_named(names, SL_COUNT(names));
    const char *const *whole = names;
    assert_read_names(whole, SL_COUNT(names));
    text[half] = 'a';
    save_named(names, SL_COUNT(names));
    assert_read_names(NULL, 0);
    sl_heap_free(text);
}

static void test_damaged_names_are_refused(void **state)
{
    static const char *const texts[] = {"", "[\"a\", 1]", "{\"a\":\"b\"}", "[\"a\"",
                                        "[\"a\\u0000b\"]"};
    struct sl_named_list nothing = {0};
    (void)state;
    for (int i = 0; i < SL_COUNT(texts); i++) {
        struct sl_error err = {0};
        struct sl_classes classes;
        const struct sl_meta meta[] = {{"slimclr.format", "slimclr-checkpoint-1"},
                                       {"conf", conf},
                                       {"slimclr.classes", texts[i]}};
        assert_int_equal(sl_tensor_file_write(&err, path, &device, &nothing, meta, 3),
                         SL_OK);
        struct sl_tensor_file *file = open_ok(path);
        assert_int_equal(sl_checkpoint_classes(&err, file, &classes), SL_ERROR_RUN);
        assert_non_null(strstr(err.text, "slimclr.classes"));
        assert_int_equal(classes.n, 0);
        sl_tensor_file_close(file);
    }
}

/* Equal state and settings make equal bytes, whatever else differs. */
static void test_same_state_same_bytes(void **state)
{
    unsigned char *bytes[2];
    int64_t size[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sl_error err = {0};
        save_ok(3);
        assert_int_equal(
            sl_file_read(&err, SL_ERROR_RUN, path, 1 << 20, &bytes[i], &size[i]), SL_OK);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], (size_t)size[0]);
    sl_heap_free(bytes[0]);
    sl_heap_free(bytes[1]);
}

/* ---- refusals ---------------------------------------------------------------------- */

/* Restoring into `list`, which views `got`, fails naming `tensor` and changes nothing. */
static void assert_misfit(struct sl_named_list *list, struct state *got, bool exact,
                          const char *tensor, const char *word)
{
    struct sl_error err = {0};
    struct state before = *got;
    struct sl_tensor_file *file = open_ok(path);
    assert_int_equal(sl_checkpoint_restore(&err, file, &device, list, exact),
                     SL_ERROR_USAGE);
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
    assert_non_null(strstr(err.text, tensor));
    assert_non_null(strstr(err.text, word));
    assert_memory_equal(got, &before, sizeof before);
    sl_tensor_file_close(file);
    sl_named_finish(list);
}

/* The tensor that does not fit always comes last, so that an early write would show. */
static void test_misfits_are_refused_before_anything_is_written(void **state)
{
    struct state got = state_of(50);
    float other[12] = {0};
    (void)state;
    save_ok(4);

    struct sl_named_list list = list_of(&got);
    add(&list, "head.0.bias", other, SL_F32, 4, 0);
    assert_misfit(&list, &got, false, "'head.0.bias'", "F32 [4]");

    const struct {
        enum sl_dtype dtype;
        int64_t rows, columns;
        const char *seen;
    } forms[] = {{SL_F32, 3, 2, "F32 [2, 3], and F32 [3, 2]"},
                 {SL_F32, 6, 0, "F32 [2, 3], and F32 [6]"},
                 {SL_F32, 2, 4, "F32 [2, 3], and F32 [2, 4]"},
                 {SL_I32, 2, 3, "F32 [2, 3], and I32 [2, 3]"}};
    for (int i = 0; i < SL_COUNT(forms); i++) {
        list = (struct sl_named_list){0};
        add(&list, "scale", got.scale, SL_F32, 4, 0);
        add(&list, "step", &got.step, SL_I64, 1, 0);
        add(&list, "weight", other, forms[i].dtype, forms[i].rows, forms[i].columns);
        assert_misfit(&list, &got, false, "'weight'", forms[i].seen);
    }
}

static void test_extra_tensors_are_refused_when_exact(void **state)
{
    struct sl_error err = {0};
    struct state got = state_of(50);
    struct state expected = state_of(5);
    struct sl_named_list list = {0};
    (void)state;
    save_ok(5);
    add(&list, "weight", got.weight, SL_F32, 2, 3);
    add(&list, "step", &got.step, SL_I64, 1, 0);
    assert_misfit(&list, &got, true, "'scale'", "lacks");

    list = (struct sl_named_list){0};
    add(&list, "weight", got.weight, SL_F32, 2, 3);
    struct sl_tensor_file *file = open_ok(path);
    assert_int_equal(sl_checkpoint_restore(&err, file, &device, &list, false), SL_OK);
    assert_memory_equal(got.weight, expected.weight, sizeof got.weight);
    assert_int_equal(got.step, 1050);
    sl_tensor_file_close(file);
    sl_named_finish(&list);
}

static void assert_not_opened(const char *name, const char *word)
{
    struct sl_error err = {0};
    struct sl_tensor_file *file = NULL;
    assert_int_equal(sl_checkpoint_open(&err, name, &file), SL_ERROR_RUN);
    assert_null(file);
    assert_non_null(strstr(err.text, word));
}

static void test_what_is_no_checkpoint_is_refused(void **state)
{
    static const struct sl_meta halves[][1] = {
        {{"conf", "a = 1"}},
        {{"slimclr.format", "slimclr-checkpoint-1"}},
        {{"slimclr.format", "slimclr-checkpoint-9"}}};
    static const char foreign[] = "\x02\0\0\0\0\0\0\0{}";
    struct sl_error err = {0};
    struct sl_named_list nothing = {0};
    (void)state;
    assert_not_opened("absent.safetensors", "absent.safetensors");
    assert_not_opened(folder, folder);
    assert_int_equal(sl_file_write(&err, path, foreign, sizeof foreign - 1), SL_OK);
    assert_not_opened(path, "no checksum");
    assert_int_equal(sl_file_write(&err, path, "GIF89a and so on", 16), SL_OK);
    assert_not_opened(path, path);
    for (int i = 0; i < SL_COUNT(halves); i++) {
        assert_int_equal(
            sl_tensor_file_write(&err, path, &device, &nothing, halves[i], 1), SL_OK);
        assert_not_opened(path, "not a checkpoint");
    }
}

static void test_damage_is_seen_when_opened(void **state)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    (void)state;
    save_ok(6);
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, 1 << 20, &bytes, &size),
                     SL_OK);
    bytes[size - 9] ^= 4;
    assert_int_equal(sl_file_write(&err, path, bytes, (size_t)size), SL_OK);
    assert_not_opened(path, "checksum differs");
    assert_int_equal(sl_file_write(&err, path, bytes, (size_t)size - 1), SL_OK);
    assert_not_opened(path, "cut short");
    sl_heap_free(bytes);
    assert_true(sl_file_remove(path));
}

/* ---- a full disk ------------------------------------------------------------------- */

static void test_full_disk_keeps_the_previous_checkpoint(void **state)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    (void)state;
    empty_folder(folder);
    save_ok(7);
    assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, path, 1 << 20, &bytes, &size),
                     SL_OK);
    sl_heap_free(bytes);
    for (int64_t room = 0; room < size; room += room < 16 || room > size - 16 ? 1 : 13) {
        sl_error_clear(&err);
        sl_file_fail_after(room);
        enum sl_status status = save(&err, 8);
        sl_file_fail_after(-1);
        assert_int_equal(status, SL_ERROR_RUN);
        assert_non_null(strstr(err.text, "disk full"));
        assert_names(folder, "some.safetensors ");
        assert_holds(7);
    }
    sl_error_clear(&err);
    sl_file_fail_after(size);
    assert_int_equal(save(&err, 8), SL_OK);
    sl_file_fail_after(-1);
    assert_holds(8);
}

/* ---- names ------------------------------------------------------------------------- */

static void touch(const char *name)
{
    struct sl_error err = {0};
    char where[600];
    assert_true(sl_path_join(where, sizeof where, folder, name));
    assert_int_equal(sl_file_write(&err, where, "x", 1), SL_OK);
}

static void test_names(void **state)
{
    char name[96];
    (void)state;
    sl_checkpoint_name(10, 1950, name, sizeof name);
    assert_string_equal(name, "epoch=0010-step=00001950.safetensors");
    sl_checkpoint_name(12345, 1234567890, name, sizeof name);
    assert_string_equal(name, "epoch=12345-step=1234567890.safetensors");
}

static void test_prune_keeps_the_newest(void **state)
{
    static const struct {
        int64_t epoch, step;
    } saved[] = {{9998, 99980}, {9999, 99990}, {9999, 99995}, {10000, 100000}, {2, 20}};
    static const char *const others[] = {
        "last.safetensors",
        "last.safetensors.tmp.4711",
        "epoch=0002-step=00000020.safetensors.tmp.99",
        "epoch=best.safetensors",
        "epoch=0001-step=00000010.safetensors.bak",
        "epoch=0001-step=.safetensors",
        "last.safetensors.tmp.mine",
        "notes.tmp.12",
    };
    char name[96];
    (void)state;
    empty_folder(folder);
    for (int i = 0; i < SL_COUNT(saved); i++) {
        sl_checkpoint_name(saved[i].epoch, saved[i].step, name, sizeof name);
        touch(name);
    }
    for (int i = 0; i < SL_COUNT(others); i++) {
        touch(others[i]);
    }
    sl_checkpoint_prune(folder, 2);
    assert_names(folder, "epoch=0001-step=.safetensors "
                         "epoch=0001-step=00000010.safetensors.bak "
                         "epoch=10000-step=00100000.safetensors "
                         "epoch=9999-step=00099995.safetensors "
                         "epoch=best.safetensors "
                         "last.safetensors "
                         "last.safetensors.tmp.mine "
                         "notes.tmp.12 ");
    sl_checkpoint_prune(folder, 5);
    sl_checkpoint_prune(folder, 1);
    assert_names(folder, "epoch=0001-step=.safetensors "
                         "epoch=0001-step=00000010.safetensors.bak "
                         "epoch=10000-step=00100000.safetensors "
                         "epoch=best.safetensors "
                         "last.safetensors "
                         "last.safetensors.tmp.mine "
                         "notes.tmp.12 ");
    sl_checkpoint_prune(folder, 0);
    sl_checkpoint_name(10000, 100000, name, sizeof name);
    char where[600];
    assert_true(sl_path_join(where, sizeof where, folder, name));
    assert_int_equal(sl_path_kind(where), SL_PATH_MISSING);
    sl_checkpoint_prune("no such folder", 1);
}

static void test_find(void **state)
{
    struct sl_error err = {0};
    char found[600];
    char tight[20];
    (void)state;
    empty_folder(folder);
    assert_int_equal(sl_checkpoint_find(&err, "absent", found, sizeof found),
                     SL_ERROR_RUN);
    sl_error_clear(&err);
    assert_int_equal(sl_checkpoint_find(&err, folder, found, sizeof found), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "no checkpoint"));
    sl_error_clear(&err);
    assert_int_equal(sl_dir_create(&err, "checkpoint.scratch/checkpoints"), SL_OK);
    touch("checkpoints/last.safetensors");
    assert_int_equal(sl_checkpoint_find(&err, folder, found, sizeof found), SL_OK);
    assert_string_equal(found, "checkpoint.scratch/checkpoints/last.safetensors");
    touch("mine.safetensors");
    assert_int_equal(sl_checkpoint_find(&err, "checkpoint.scratch/mine.safetensors",
                                        found, sizeof found),
                     SL_OK);
    assert_string_equal(found, "checkpoint.scratch/mine.safetensors");
    assert_int_equal(sl_checkpoint_find(&err, folder, tight, sizeof tight), SL_ERROR_RUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_names_of_classes),
        cmocka_unit_test(test_names_too_long_are_left_out),
        cmocka_unit_test(test_damaged_names_are_refused),
        cmocka_unit_test(test_same_state_same_bytes),
        cmocka_unit_test(test_misfits_are_refused_before_anything_is_written),
        cmocka_unit_test(test_extra_tensors_are_refused_when_exact),
        cmocka_unit_test(test_what_is_no_checkpoint_is_refused),
        cmocka_unit_test(test_damage_is_seen_when_opened),
        cmocka_unit_test(test_full_disk_keeps_the_previous_checkpoint),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_prune_keeps_the_newest),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
