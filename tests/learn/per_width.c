/* SPDX-License-Identifier: MIT */
/*
 * An update after each width: three steps against PyTorch (tools/golden_per_width.py: its
 * own SGD, a linear head, a width of weight 0, the end of slow start), on each backend;
 * and what looks on: measuring gradients changes no bit, a restored trainer goes on with
 * the same ones, and the watcher is called after each width.
 */
#include "goldenkit.h"
#include "trainkit.h"

enum { SEED = 8, IMAGE = 16, DIM = 16, BATCH = 8, QUEUE = 16, STEPS = 3 };
enum { PICTURES = BATCH * IMAGE * IMAGE * 3 };

static const char *const four = "1,0.75,0.5,0.25";

/* ---- against PyTorch --------------------------------------------------------------- */

struct run {
    struct sl_device device;
    struct sl_net *net;
    struct sl_trainer *trainer;
    struct sl_named_list state;
    struct sl_step_numbers numbers[STEPS];
    float keys[STEPS][BATCH * DIM];
};

static void get_state(const struct run *run, const char *name, int64_t count,
                      float *values)
{
    const struct sl_named *item = sl_named_find(&run->state, name);
    if (item == NULL) {
        fail_msg("the trainer's state has no \"%s\"", name);
        return;
    }
    assert_int_equal(sl_tensor_count(&item->tensor), count);
    run->device.table->get(run->device.state, values, item->tensor.data,
                           (size_t)count * sizeof *values);
}

static void run_steps(struct run *run)
{
    static float views[2][PICTURES];
    struct sl_error err = {0};
    float queue[QUEUE * DIM];
    for (int step = 0; step < STEPS; step++) {
        for (uint32_t view = 0; view < 2; view++) {
            sl_rng_fill_normal(SEED, SL_RNG_TEST, 2 * (uint32_t)step + view, 1.0f,
                               PICTURES, views[view]);
        }
        const struct sl_batch batch = {
            .views = {views[0], views[1]}, .rows = BATCH, .step = step};
        kit_ok(sl_trainer_step(&err, run->trainer, &batch, &run->numbers[step]), &err);
        get_state(run, "queue", QUEUE * DIM, queue);
        memcpy(run->keys[step], queue + step * BATCH % QUEUE * DIM,
               sizeof run->keys[step]);
    }
}

/* The value of ours that a golden name stands for. */
static void find_ours(const struct run *run, const char *name, int64_t count, float *ours)
{
    int step, used = 0;
    if (sscanf(name, "step%d.%n", &step, &used) != 1 || used == 0) {
        get_state(run, name, count, ours);
        return;
    }
    const struct sl_step_numbers *numbers = &run->numbers[step];
    const char *what = name + used;
    if (strcmp(what, "keys") == 0) {
        assert_int_equal(count, BATCH * DIM);
        memcpy(ours, run->keys[step], sizeof run->keys[step]);
    } else if (strcmp(what, "total") == 0) {
        ours[0] = (float)numbers->loss;
    } else {
        assert_int_equal(count, run->net->widths.n);
        for (int i = 0; i < count; i++) {
            const struct sl_width_numbers *width = &numbers->width[i];
            ours[i] = (float)(strcmp(what, "loss") == 0           ? width->loss
                              : strcmp(what, "contrast_acc") == 0 ? width->contrast_acc
                              : strcmp(what, "emb_std") == 0      ? width->emb_std
                              : strcmp(what, "grad_norm") == 0    ? width->grad_norm
                                                                  : NAN);
        }
    }
}

static void compare(const char *device)
{
    enum { LARGEST = 32 * 32 * 9 };
    static float golden[LARGEST], ours[LARGEST];
    struct run run = {.device = kit_device(device)};
    struct sl_error err = {0};
    int64_t size, names_size;
    char name[SL_NAME_MAX];
    double worst = 0;
    int n_tensors = 0;
    char *names = golden_read("per-width.txt", &names_size);
    char *bytes = golden_read("per-width.bin", &size);
    run.net = kit_resnet("resnet8-b8", four, IMAGE, SL_HEAD_LINEAR, DIM);
    struct sl_trainer_config config = tiny_config();
    config.batch = BATCH;
    config.seed = SEED;
    config.total_steps = config.lr.total_steps = 4;
    config.slow_start_step = config.lr.second_from = 1;
    config.lr.second_peak = 0.04;
    config.queue = QUEUE;
    config.distill = SL_DISTILL_NONE;
    config.update = SL_UPDATE_PER_WIDTH;
    static const double weights[4] = {1, 0.5, 0, 1};
    memcpy(config.width_weights, weights, sizeof weights);
    kit_ok(sl_trainer_create(&err, &config, run.net, &run.device, &run.trainer), &err);
    kit_ok(sl_trainer_state(&err, run.trainer, &run.state), &err);
    run_steps(&run);
    const char *at = bytes;
    for (const char *line = names; *line != '\0'; line = strchr(line, '\n') + 1) {
        int count;
        assert_int_equal(sscanf(line, "%127s %d", name, &count), 2);
        assert_in_range(count, 1, LARGEST);
        at = golden_tensor(at, count, golden);
        find_ours(&run, name, count, ours);
        worst = fmax(worst, golden_compare(device, name, count, golden, ours));
        n_tensors++;
    }
    assert_ptr_equal(at, bytes + size);
    /* Parameters and slots, statistics, the queue, and six of each step. */
    assert_int_equal(n_tensors,
                     2 * run.net->n_params + 2 * run.net->n_norms * 4 + 1 + STEPS * 6);
    print_message("%s: %d tensors, worst at %.2f of the tolerance\n", device, n_tensors,
                  worst);
    sl_named_finish(&run.state);
    sl_trainer_destroy(run.trainer);
    sl_net_destroy(run.net);
    sl_device_close(&run.device);
    sl_heap_free(names);
    sl_heap_free(bytes);
}

static void test_golden(void **state)
{
    (void)state;
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        compare(sl_backend_name(i));
    }
}

/* ---- who looks on ------------------------------------------------------------------ */

static void check_measured(const char *device, enum sl_update update)
{
    struct sl_trainer_config config = tiny_config();
    config.update = update;
    config.slow_start_step = 1;
    struct tiny *plain = tiny_start(device, four, &config);
    config.grad_every = 2;
    struct tiny *measured = tiny_start(device, four, &config);
    assert_true(sl_trainer_memory(measured->trainer).measure > 0);
    for (int step = 0; step < 4; step++) {
        (void)tiny_step(plain);
        struct sl_step_numbers numbers = tiny_step(measured);
        const struct sl_grad_record *record = sl_trainer_gradients(measured->trainer);
        assert_null(sl_trainer_gradients(plain->trainer));
        assert_int_equal(record != NULL, step % 2 == 1);
        for (int i = 0; record != NULL && i < 4; i++) {
            /* The same gradients as the step's own, but for the norms' and biases'. */
            double norm = sl_grad_norm(&record->total, i);
            assert_true(norm < numbers.width[i].grad_norm * (1 + 1e-5));
            assert_true(norm > 0);
        }
        unsigned char *copy = tiny_save(plain);
        tiny_same(measured, copy, NULL);
        sl_heap_free(copy);
    }
    tiny_end(plain);
    tiny_end(measured);
}

static void test_measuring_changes_nothing(void **state)
{
    (void)state;
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        check_measured(sl_backend_name(i), SL_UPDATE_JOINT);
        check_measured(sl_backend_name(i), SL_UPDATE_PER_WIDTH);
    }
}

/* From any step on, a trainer that was given the state goes on with the same bits. */
static void test_restored(void **state)
{
    (void)state;
    struct sl_trainer_config config = tiny_config();
    config.update = SL_UPDATE_PER_WIDTH;
    config.slow_start_step = 2;
    for (int stop = 1; stop < 4; stop++) {
        struct tiny *whole = tiny_start("ref", four, &config);
        struct tiny *later = tiny_start("ref", four, &config);
        for (int step = 0; step < stop; step++) {
            (void)tiny_step(whole);
        }
        unsigned char *copy = tiny_save(whole);
        tiny_load(later, copy);
        sl_heap_free(copy);
        for (int step = stop; step < 4; step++) {
            (void)tiny_step(whole);
            (void)tiny_step(later);
        }
        copy = tiny_save(whole);
        tiny_same(later, copy, NULL);
        sl_heap_free(copy);
        tiny_end(whole);
        tiny_end(later);
    }
}

struct watcher {
    struct tiny *tiny;
    int calls, widths[16];
    float value[16]; /* a shared weight as each call found it */
    bool refuses;
};

static enum sl_status watch(struct sl_error *err, void *context, int width)
{
    struct watcher *watcher = context;
    watcher->widths[watcher->calls] = width;
    watcher->value[watcher->calls++] =
        tiny_tensor(watcher->tiny, "encoder.conv1.weight")[0];
    return watcher->refuses ? SL_FAIL(err, SL_ERROR_RUN, "no room") : SL_OK;
}

static void test_watcher(void **state)
{
    (void)state;
    struct sl_trainer_config config = tiny_config();
    config.update = SL_UPDATE_PER_WIDTH;
    config.slow_start_step = 1;
    struct tiny *tiny = tiny_start("ref", "1,0.5", &config);
    struct watcher watcher = {.tiny = tiny};
    struct sl_error err = {0};
    struct sl_step_numbers numbers;
    sl_trainer_on_update(tiny->trainer, watch, &watcher);
    (void)tiny_step(tiny);
    assert_int_equal(watcher.calls, 1);
    (void)tiny_step(tiny);
    assert_int_equal(watcher.calls, 3);
    assert_int_equal(watcher.widths[1], 0);
    assert_int_equal(watcher.widths[2], 1);
    assert_true(watcher.value[1] != watcher.value[0]);
    assert_true(watcher.value[2] != watcher.value[1]);
    assert_true(watcher.value[2] == tiny_tensor(tiny, "encoder.conv1.weight")[0]);
    watcher.refuses = true;
    struct sl_batch batch = tiny_batch(tiny, 2);
    assert_int_equal(sl_trainer_step(&err, tiny->trainer, &batch, &numbers),
                     SL_ERROR_RUN);
    assert_int_equal(watcher.calls, 4);
    tiny_end(tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_measuring_changes_nothing),
        cmocka_unit_test(test_restored),
        cmocka_unit_test(test_watcher),
    };
    return cmocka_run_group_tests_name("per_width", tests, NULL, NULL);
}
