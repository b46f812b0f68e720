/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint as a reader of others' making sees it: one tensor of every type, written
 * by store and read with Python's safetensors package (store_second_opinion.py, which
 * holds the same formulas). Without Python or the package it is skipped: exit status 77.
 */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SKIPPED = 77, NOT_STARTED = 127 };

static const char path[] = "second-opinion.safetensors";
static int reader_status;

static void add(struct sl_named_list *list, const char *name, void *data,
                enum sl_dtype dtype, int n_dims, const int64_t *dims)
{
    struct sl_error err = {0};
    assert_int_equal(
        sl_named_add(&err, list, name, sl_tensor_make(data, dtype, n_dims, dims)), SL_OK);
}

static void write_file(void)
{
    struct sl_error err = {0};
    struct sl_device device;
    struct sl_named_list list = {0};
    float weight[12];
    float scalar = 0.25F;
    uint16_t half[4];
    uint8_t bytes[5];
    int32_t labels[3];
    int64_t step[4];
    for (int i = 0; i < 12; i++) {
        weight[i] = 0.5F * (float)i - 2.0F;
    }
    for (int i = 0; i < 4; i++) {
        float value = -(float)i + 0.0F;
        uint32_t bits = 0;
        memcpy(&bits, &value, sizeof bits);
        half[i] = (uint16_t)(bits >> 16);
        step[i] = INT64_C(1000000000000) * i;
    }
    for (int i = 0; i < 5; i++) {
        bytes[i] = (uint8_t)(51 * i);
    }
    for (int i = 0; i < 3; i++) {
        labels[i] = 1000000 * i - 5;
    }
    assert_int_equal(
        sl_device_open(&err, "ref", &(struct sl_backend_options){.threads = 1}, &device),
        SL_OK);
    add(&list, "weight", weight, SL_F32, 4, (const int64_t[]){2, 3, 1, 2});
    add(&list, "scalar", &scalar, SL_F32, 0, NULL);
    add(&list, "half", half, SL_BF16, 1, (const int64_t[]){4});
    add(&list, "bytes", bytes, SL_U8, 1, (const int64_t[]){5});
    add(&list, "labels", labels, SL_I32, 1, (const int64_t[]){3});
    add(&list, "step", step, SL_I64, 2, (const int64_t[]){2, 2});
    if (sl_checkpoint_save(&err, path, &device, &list, "arch = resnet20\n", NULL) !=
        SL_OK) {
        fail_msg("%s", err.text);
    }
    sl_named_finish(&list);
    sl_device_close(&device);
}

/* Runs the script; its exit status, or that of a command that could not be started. */
static int run_reader(void)
{
    const char *source = getenv("SLIMCLR_SOURCE");
    char script[1024];
    int state = 0;
    if (source == NULL || !sl_path_join(script, sizeof script, source,
                                        "tests/unit/store_second_opinion.py")) {
        fail_msg("SLIMCLR_SOURCE is not set; run the tests by ctest");
    }
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("python3", "python3", script, path, (char *)NULL);
        _exit(NOT_STARTED);
    }
    assert_true(child > 0 && waitpid(child, &state, 0) == child && WIFEXITED(state));
    return WEXITSTATUS(state);
}

static void test_second_reader(void **state)
{
    (void)state;
    write_file();
    reader_status = run_reader();
    if (reader_status == SKIPPED || reader_status == NOT_STARTED) {
        skip();
    }
    assert_int_equal(reader_status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_second_reader)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed == 0 && reader_status != 0 ? SKIPPED : failed;
}
