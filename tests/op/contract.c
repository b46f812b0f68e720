/* SPDX-License-Identifier: MIT */
/*
 * What the cpu backend's ops keep to besides being near ref's numbers (parity.c): the
 * ReLU mask that a norm works out again is that of its forward, what is not finite shows,
 * the same threads give the same bits, what means nothing or finds no memory is refused,
 * and what runs allocates nothing.
 */
#include "opkit.h"

/* Every other pixel is moved to where the norm's result is nearly 0, so that a mask that
 * is rounded in another way than the result shows. */
static void move_to_kink(struct given *g)
{
    const struct sl_op_desc *d = &g->desc;
    for (int64_t i = 0; i < g->n_src; i++) {
        const int64_t c = i % d->src_c;
        const int64_t pixel = i / d->src_c;
        if (pixel == 0 && !d->no_affine) {
            const float std = sqrtf(g->running_variance[c] + d->epsilon);
            g->running_mean[c] = g->src[c] + g->shift[c] * std / g->scale[c];
        } else if (pixel == 0) {
            g->running_mean[c] = g->src[c];
        } else if (pixel % 2 == 0) {
            g->src[i] = g->src[c];
        }
        for (int64_t k = 0; d->type == SL_F32 && pixel % 2 == 0 && k < pixel % 7; k++) {
            g->src[i] = nextafterf(g->src[i], c % 2 == 0 ? INFINITY : -INFINITY);
        }
    }
}

/* A norm with running statistics and a ReLU multiplies a gradient of 1 by its slope where
 * its forward let something through, and by 0 elsewhere. */
static void check_mask(const struct sl_device *device, const char *text,
                       const struct sl_op_desc *desc)
{
    struct given given;
    struct made cpu;
    given_init(&given, text, desc, false);
    if (desc->type == SL_BF16) {
        given_round(&given);
    }
    move_to_kink(&given);
    for (int64_t i = 0; i < given.n_dst; i++) {
        given.diff_dst[i] = 1.0f;
    }
    if (desc->type == SL_BF16) {
        sl_cpu_maps_bf16_base.put(given.n_src, given.src, given.src16);
        sl_cpu_maps_bf16_base.put(given.n_dst, given.diff_dst, given.diff_dst16);
    }
    made_init(&cpu, &given, *device);
    assert_false(cpu.sizes.backward_reads_dst);
    run_forward(&given, &cpu);
    run_backward(&given, &cpu, cpu.dst);
    int64_t n_passed = 0;
    for (int64_t i = 0; i < given.n_dst; i++) {
        if ((cpu.diff_src[i] != 0.0f) != (cpu.dst[i] > 0.0f)) {
            fail_msg("%s: %lld gives %g, and its gradient is %g", text, (long long)i,
                     (double)cpu.dst[i], (double)cpu.diff_src[i]);
        }
        n_passed += cpu.dst[i] > 0.0f;
    }
    assert_in_range(n_passed, 1, given.n_dst - 1);
    made_finish(&cpu);
    given_finish(&given);
}

static void test_norm_mask(void **state SL_UNUSED)
{
    const char *const texts[] = {"norm n4 8x8 c32 relu running",
                                 "norm n3 5x7 c20 relu running",
                                 "norm n4 8x8 c12 relu bare running"};
    const enum sl_dtype types[] = {SL_F32, SL_BF16};
    struct devices devices;
    devices_open(&devices);
    for (int i = 0; i < SL_COUNT(texts) * SL_COUNT(types); i++) {
        struct sl_error err = {0};
        struct sl_case parsed;
        const char *text = texts[i / SL_COUNT(types)];
        assert_int_equal(sl_case_parse(&err, text, &parsed), SL_OK);
        struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        desc.type = types[i % SL_COUNT(types)];
        for (int k = 1; k < devices.n; k++) {
            check_mask(&devices.at[k], text, &desc);
        }
    }
    devices_close(&devices);
}

/* Numbers that are not finite must be seen behind a norm and its ReLU. */
static void test_norm_shows_nonfinite(void **state SL_UNUSED)
{
    const float bad[] = {NAN, INFINITY, 1e30f};
    struct devices devices;
    struct sl_error err = {0};
    struct sl_case parsed;
    devices_open(&devices);
    assert_int_equal(sl_case_parse(&err, "norm n4 8x8 c16 relu", &parsed), SL_OK);
    const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
    for (int b = 0; b < SL_COUNT(bad); b++) {
        for (int i = 1; i < devices.n; i++) {
            const struct sl_device *device = &devices.at[i];
            struct given given;
            struct made cpu;
            given_init(&given, "not finite", &desc, false);
            given.src[given.n_src / 2] = bad[b];
            made_init(&cpu, &given, *device);
            run_forward(&given, &cpu);
            assert_true(
                device->table->find_nonfinite(device->state, given.n_dst, cpu.dst) >= 0);
            made_finish(&cpu);
            given_finish(&given);
        }
    }
    devices_close(&devices);
}

/* The same number of threads gives the same bits, from one opened device to the next. */
static void test_same_bits(void **state SL_UNUSED)
{
    const char *const texts[] = {"conv n8 16x16 c16 o32 k3 s2 p1",
                                 "norm n16 16x16 c16 add g2", "linear n16 c64 o64 bias",
                                 "maxpool n4 17x17 c16 k3 s2 p1"};
    for (int i = 0; i < SL_COUNT(texts); i++) {
        struct sl_error err = {0};
        struct sl_case parsed;
        struct given given;
        struct made made[2];
        struct sl_device device[2];
        assert_int_equal(sl_case_parse(&err, texts[i], &parsed), SL_OK);
        const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        given_init(&given, texts[i], &desc, true);
        for (int k = 0; k < 2; k++) {
            const struct sl_backend_options options = {.threads = 3};
            assert_int_equal(sl_device_open(&err, "cpu", &options, &device[k]), SL_OK);
            made_init(&made[k], &given, device[k]);
            run_forward(&given, &made[k]);
            run_backward(&given, &made[k], made[k].dst);
        }
        const size_t float_bytes = sizeof(float);
        assert_memory_equal(made[0].dst, made[1].dst, (size_t)given.n_dst * float_bytes);
        assert_memory_equal(made[0].diff_src, made[1].diff_src,
                            (size_t)given.n_src * float_bytes);
        assert_memory_equal(made[0].diff_master, made[1].diff_master,
                            (size_t)given.n_master * float_bytes);
        assert_memory_equal(made[0].diff_scale, made[1].diff_scale,
                            (size_t)desc.dst_c * float_bytes);
        assert_true(made[0].squares == made[1].squares);
        for (int k = 0; k < 2; k++) {
            made_finish(&made[k]);
            sl_device_close(&device[k]);
        }
        given_finish(&given);
    }
}

/* What means nothing is refused by prepare in a line of words. */
static void test_refused(void **state SL_UNUSED)
{
    const char *const texts[] = {"conv n1 4x4 c4 o4 k9 s1 p0", "norm n5 4x4 c4 g2",
                                 "maxpool n1 8x8 c4 k3 s0 p1", "relu n0 4x4 c4"};
    struct sl_device device;
    struct sl_error err = {0};
    assert_int_equal(sl_device_open(&err, "cpu", NULL, &device), SL_OK);
    for (int i = 0; i < SL_COUNT(texts); i++) {
        struct sl_case parsed;
        struct sl_op_sizes sizes;
        struct sl_prepared *op = NULL;
        assert_int_equal(sl_case_parse(&err, texts[i], &parsed), SL_OK);
        const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        assert_int_not_equal(
            device.table->prepare(&err, device.state, &desc, &op, &sizes), SL_OK);
        assert_null(op);
        assert_true(strlen(err.text) > 10);
        sl_error_clear(&err);
    }
    sl_device_close(&device);
}

/* Every allocation of prepare may fail: one line of words, nothing left behind, and the
 * device works on. (The address sanitizer sees leaks.) */
static void test_prepare_out_of_memory(void **state SL_UNUSED)
{
    struct sl_device device;
    struct sl_error err = {0};
    struct sl_case parsed;
    assert_int_equal(sl_device_open(&err, "cpu", NULL, &device), SL_OK);
    assert_int_equal(sl_case_parse(&err, "conv n1 5x5 c16 o64 k3 s1 p1", &parsed), SL_OK);
    const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
    int failures = 0;
    for (int k = 1; k < 100; k++) {
        struct sl_op_sizes sizes;
        struct sl_prepared *op = NULL;
        sl_heap_fail_at(k);
        const enum sl_status status =
            device.table->prepare(&err, device.state, &desc, &op, &sizes);
        sl_heap_fail_at(0);
        if (status == SL_OK) {
            device.table->drop(device.state, op);
            break;
        }
        assert_int_equal(status, SL_ERROR_RUN);
        assert_null(op);
        sl_error_clear(&err);
        failures++;
    }
    assert_in_range(failures, 3, 50);
    sl_device_close(&device);
}

/* Once prepared, nothing of ours allocates. */
static void test_running_allocates_nothing(void **state SL_UNUSED)
{
    struct sl_device device;
    struct sl_error err = {0};
    assert_int_equal(sl_device_open(&err, "cpu", NULL, &device), SL_OK);
    for (int i = 0; sl_case_text(i) != NULL; i++) {
        struct sl_case parsed;
        struct given given;
        struct made made;
        assert_int_equal(sl_case_parse(&err, sl_case_text(i), &parsed), SL_OK);
        const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        given_init(&given, sl_case_text(i), &desc, true);
        made_init(&made, &given, device);
        const int64_t before = sl_heap_calls();
        run_forward(&given, &made);
        run_backward(&given, &made, made.dst);
        assert_int_equal(sl_heap_calls(), before);
        made_finish(&made);
        given_finish(&given);
    }
    sl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_mask),
        cmocka_unit_test(test_norm_shows_nonfinite),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_prepare_out_of_memory),
        cmocka_unit_test(test_running_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
