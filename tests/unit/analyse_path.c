/* SPDX-License-Identifier: MIT */
/*
 * The path of a run: directions of snapshots that were laid out on a known plane,
 * whatever their vectors did; coordinates on it; filter-normalised random directions;
 * contour lines of known surfaces; names of snapshots.
 */
#include "analyse/analyse.h"
#include "netkit.h"

#include <math.h>

enum { MOMENTS = 6 };
/* Uncorrelated, the first spread wider; the last one is the end. */
static const double at[MOMENTS][2] = {{6, 1}, {-6, 1}, {3, -2}, {-3, -2}, {0, 2}, {0, 0}};

struct world {
    struct sl_device device;
    struct sl_net *net;
    struct sl_params *params;
    float *final, *u, *v; /* u, v: unit, at right angles, 0 on vectors */
};

static double inner(int64_t n, const float *a, const float *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static void unit_on_weights(const struct sl_net *net, uint32_t key, float *flat)
{
    memset(flat, 0, (size_t)net->total * sizeof *flat);
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        if (param->kind == SL_PARAM_WEIGHT) {
            sl_rng_fill_normal(3, SL_RNG_TEST, key + (uint32_t)i, 1.0F, param->count,
                               flat + param->offset);
        }
    }
}

static void scale_to_unit(int64_t n, float *flat)
{
    double length = sqrt(inner(n, flat, flat));
    for (int64_t i = 0; i < n; i++) {
        flat[i] = (float)(flat[i] / length);
    }
}

/* In place: what is made keeps a pointer to the device. */
static void world_open_head(struct world *world, enum sl_head head)
{
    *world = (struct world){.device = kit_device("ref")};
    world->net = kit_resnet("resnet8-b8", "1,0.5", 8, head, 8);
    world->params = kit_params(world->net, &world->device);
    int64_t n = world->net->total;
    float **arrays[] = {&world->final, &world->u, &world->v};
    for (int i = 0; i < SL_COUNT(arrays); i++) {
        *arrays[i] = kit_alloc(&world->device, (size_t)n * sizeof(float));
    }
    memcpy(world->final, world->params->weight, (size_t)n * sizeof(float));
    unit_on_weights(world->net, 100, world->u);
    unit_on_weights(world->net, 200, world->v);
    scale_to_unit(n, world->u);
    double along = inner(n, world->u, world->v);
    for (int64_t i = 0; i < n; i++) {
        world->v[i] -= (float)(along * world->u[i]);
    }
    scale_to_unit(n, world->v);
}

static void world_open(struct world *world)
{
    world_open_head(world, SL_HEAD_LINEAR);
}

static void world_close(struct world *world)
{
    float *arrays[] = {world->final, world->u, world->v};
    for (int i = 0; i < SL_COUNT(arrays); i++) {
        world->device.table->free(world->device.state, arrays[i]);
    }
    sl_params_destroy(world->params);
    sl_net_destroy(world->net);
    sl_device_close(&world->device);
}

/* Writes the snapshots of `at`, `sink` of them the same as the end; vectors are noise. */
static struct sl_snapshot_rows *rows_open(const struct world *world, int n)
{
    struct sl_error err = {0};
    struct sl_named_list list = {0};
    struct sl_snapshot_rows *rows = NULL;
    char paths[MOMENTS][64];
    const char *names[MOMENTS];
    const struct sl_net *net = world->net;
    kit_ok(sl_params_state(&err, net, world->params->weight, "", &list), &err);
    for (int t = 0; t < n; t++) {
        for (int64_t i = 0; i < net->total; i++) {
            world->params->weight[i] = (float)(world->final[i] + at[t][0] * world->u[i] +
                                               at[t][1] * world->v[i]);
        }
        for (int i = 0; i < net->n_params; i++) {
            const struct sl_param *param = &net->params[i];
            if (param->kind != SL_PARAM_WEIGHT) {
                world->params->weight[param->offset] = 100.0F * (float)(t * t + i);
            }
        }
        snprintf(paths[t], sizeof paths[t], "row%d.safetensors", t);
        names[t] = paths[t];
        kit_ok(sl_checkpoint_save(&err, paths[t], &world->device, &list, "test", NULL),
               &err);
    }
    kit_ok(sl_snapshot_rows_open(&err, net, names, n, &rows), &err);
    sl_named_finish(&list);
    return rows;
}

static void test_pca(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct world world;
    world_open(&world);
    struct sl_snapshot_rows *rows = rows_open(&world, MOMENTS);
    struct sl_directions found = {0};
    double points[MOMENTS][2];
    int64_t n = world.net->total;
    double mean[2] = {0, 0};
    double variance[2] = {0, 0};
    double mixed = 0;
    for (int t = 0; t < MOMENTS; t++) {
        mean[0] += at[t][0] / MOMENTS;
        mean[1] += at[t][1] / MOMENTS;
    }
    for (int t = 0; t < MOMENTS; t++) {
        variance[0] += (at[t][0] - mean[0]) * (at[t][0] - mean[0]);
        variance[1] += (at[t][1] - mean[1]) * (at[t][1] - mean[1]);
        mixed += (at[t][0] - mean[0]) * (at[t][1] - mean[1]);
    }
    assert_true(fabs(mixed) < 1e-12 && variance[0] > variance[1]);
    assert_int_equal(sl_snapshot_rows_count(rows), MOMENTS);
    kit_ok(sl_directions_pca(&err, world.net, rows, world.final, &found), &err);
    assert_true(fabs(found.explained[0] - variance[0] / (variance[0] + variance[1])) <
                1e-5);
    assert_true(fabs(found.explained[0] + found.explained[1] - 1) < 1e-5);
    assert_true(fabs(fabs(inner(n, found.d[0], world.u)) - 1) < 1e-5);
    assert_true(fabs(fabs(inner(n, found.d[1], world.v)) - 1) < 1e-5);
    for (int k = 0; k < 2; k++) {
        assert_true(fabs(inner(n, found.d[k], found.d[k]) - 1) < 1e-5);
    }
    for (int i = 0; i < world.net->n_params; i++) { /* vectors are not part of it */
        const struct sl_param *param = &world.net->params[i];
        for (int64_t k = 0; param->kind != SL_PARAM_WEIGHT && k < param->count; k++) {
            assert_true(found.d[0][param->offset + k] == 0.0F);
        }
    }
    kit_ok(sl_directions_project(&err, world.net, rows, world.final, &found, points),
           &err);
    double sign[2] = {inner(n, found.d[0], world.u) > 0 ? 1 : -1,
                      inner(n, found.d[1], world.v) > 0 ? 1 : -1};
    for (int t = 0; t < MOMENTS; t++) {
        for (int k = 0; k < 2; k++) {
            assert_true(fabs(points[t][k] - sign[k] * at[t][k]) < 1e-4);
        }
    }
    sl_directions_finish(&found);
    sl_snapshot_rows_close(rows);
    world_close(&world);
}

static void test_no_plane(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct world world;
    world_open(&world);
    struct sl_snapshot_rows *rows = rows_open(&world, 2);
    struct sl_directions found = {0};
    assert_int_equal(sl_directions_pca(&err, world.net, rows, world.final, &found),
                     SL_ERROR_USAGE);
    assert_null(found.d[0]);
    sl_snapshot_rows_close(rows);
    /* Another net's snapshots. */
    const char *path = "row0.safetensors";
    struct sl_net *other = kit_resnet("resnet8-b8", "1,0.5", 8, SL_HEAD_LINEAR, 9);
    sl_error_clear(&err);
    assert_int_equal(sl_snapshot_rows_open(&err, other, &path, 1, &rows), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "head.0.weight"));
    sl_net_destroy(other);
    world_close(&world);
}

/* Filters as long as the final ones, other numbers for other directions, and points that
 * are the nearest of the plane although the directions are not unit. */
static void check_random(enum sl_head head)
{
    struct sl_error err = {0};
    struct world world;
    world_open_head(&world, head);
    struct sl_directions random = {0};
    kit_ok(sl_directions_random(&err, world.net, world.final, 7, &random), &err);
    for (int i = 0; i < world.net->n_params; i++) {
        const struct sl_param *param = &world.net->params[i];
        const float *d[2] = {random.d[0] + param->offset, random.d[1] + param->offset};
        if (param->kind != SL_PARAM_WEIGHT) {
            assert_true(d[0][0] == 0.0F && d[1][param->count - 1] == 0.0F);
            continue;
        }
        const struct sl_axis *out = &world.net->axes[param->axis_out];
        int filters = param->owner < 0 ? out->full : out->span[param->owner].count;
        int64_t size = param->count / filters;
        for (int f = 0; f < filters; f++) {
            const float *w = world.final + param->offset + f * size;
            double length = inner(size, w, w);
            for (int k = 0; k < 2; k++) {
                double mine = inner(size, d[k] + f * size, d[k] + f * size);
                assert_true(fabs(mine - length) < 1e-4 * length);
            }
        }
        assert_true(memcmp(d[0], d[1], (size_t)param->count * sizeof(float)) != 0);
    }
    int64_t n = world.net->total;
    memcpy(world.u, random.d[0], (size_t)n * sizeof(float));
    memcpy(world.v, random.d[1], (size_t)n * sizeof(float));
    struct sl_snapshot_rows *rows = rows_open(&world, MOMENTS);
    double points[MOMENTS][2];
    kit_ok(sl_directions_project(&err, world.net, rows, world.final, &random, points),
           &err);
    for (int t = 0; t < MOMENTS; t++) {
        assert_true(fabs(points[t][0] - at[t][0]) < 1e-4);
        assert_true(fabs(points[t][1] - at[t][1]) < 1e-4);
    }
    sl_snapshot_rows_close(rows);
    sl_directions_finish(&random);
    world_close(&world);
}

static void test_random(void **state)
{
    (void)state;
    check_random(SL_HEAD_LINEAR);
    check_random(SL_HEAD_SWITCH);
}

/* ---- names ------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_snapshot *list = NULL;
    int64_t n = 0;
    static const char *const widths[] = {"0.50", "1.00", ""};
    kit_ok(sl_dir_create(&err, "moments"), &err);
    sl_snapshot_cut("moments", -1);
    for (int i = 0; i < 6; i++) {
        char name[96];
        char path[128];
        sl_snapshot_name(i < 3 ? 12 : 9, i < 3 ? 12000 : 9000, widths[i % 3], name,
                         sizeof name);
        snprintf(path, sizeof path, "moments/%s", name);
        kit_ok(sl_file_write(&err, path, "x", 1), &err);
    }
    static const char *const others[] = {
        "moments/epoch=0001.safetensors", "moments/note.txt",
        "moments/epoch=0001-step=00000001-w.safetensors",
        "moments/epoch=0001-step=00000001-wide.safetensors"};
    for (int i = 0; i < SL_COUNT(others); i++) {
        kit_ok(sl_file_write(&err, others[i], "x", 1), &err);
    }
    kit_ok(sl_snapshot_list(&err, "moments", &list, &n), &err);
    assert_int_equal(n, 6);
    assert_string_equal(list[0].name, "epoch=0009-step=00009000-w1.00.safetensors");
    assert_string_equal(list[0].width, "1.00");
    assert_string_equal(list[1].width, "0.50");
    assert_string_equal(list[2].width, "");
    assert_true(list[3].step == 12000 && list[3].epoch == 12);
    sl_heap_free(list);
    kit_ok(sl_file_write(&err, "moments/a.safetensors.tmp.17", "x", 1), &err);
    sl_snapshot_cut("moments", 9000);
    kit_ok(sl_snapshot_list(&err, "moments", &list, &n), &err);
    assert_int_equal(n, 3);
    sl_heap_free(list);
    assert_int_equal(sl_path_kind("moments/a.safetensors.tmp.17"), SL_PATH_MISSING);
    assert_int_equal(sl_path_kind("moments/note.txt"), SL_PATH_FILE);
    sl_snapshot_cut("nowhere", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pca),
        cmocka_unit_test(test_no_plane),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
