/* SPDX-License-Identifier: MIT */
/*
 * kNN while training takes what `plan` says of it: at its peak, which is the search for
 * neighbours where pictures are small and many, and else a pass over pictures. Peaks of a
 * process only rise, so that the cases stand in the order of theirs.
 */
#include "api/api_int.h"
#include "netkit.h"

static const float mean[3] = {0.5F, 0.4F, 0.3F};
static const float deviation[3] = {0.2F, 0.25F, 0.3F};

struct world {
    struct api_table table;
    struct sl_conf *conf;
    struct sl_device device;
    struct sl_net *net;
    struct sl_params *params;
    struct sl_stats *stats;
    struct sl_recipe view;
    struct sl_frozen model;
};

static void open_world(struct world *world, int side)
{
    struct sl_error err = {0};
    kit_ok(api_table_create(&err, "pretrain", &world->table), &err);
    kit_ok(sl_conf_create(&err, world->table.keys, world->table.n, &world->conf), &err);
    world->device = kit_device("ref");
    world->net = kit_resnet("resnet8-b8", "1,0.5", side, SL_HEAD_MLP, 8);
    world->params = kit_params(world->net, &world->device);
    world->stats = kit_stats(world->net, &world->device);
    kit_ok(sl_recipe_named(&err, "eval", side, mean, deviation, &world->view), &err);
    world->model = (struct sl_frozen){.device = &world->device,
                                      .net = world->net,
                                      .params = world->params,
                                      .stats = world->stats};
}

static void close_world(struct world *world)
{
    sl_stats_destroy(world->stats);
    sl_params_destroy(world->params);
    sl_net_destroy(world->net);
    sl_device_close(&world->device);
    sl_conf_destroy(world->conf);
    api_table_finish(&world->table);
}

/* neighbours: that the search takes of the 200 it was planned for, where it counts. */
static void check(int side, const char *data, int neighbours)
{
    struct sl_error err = {0};
    struct world world;
    struct api_knn knn;
    size_t planned = 0;
    open_world(&world, side);
    kit_ok(api_knn_plan_memory(&err, &world.model, world.conf, &world.view, data, 1,
                               &planned),
           &err);
    int64_t before = sl_heap_bytes();
    /* The peaks of planning and of earlier cases lie below this one's. */
    assert_true(sl_heap_peak() < before + (int64_t)planned);
    kit_ok(api_knn_widths(&err, &world.model, world.conf, &world.view, data, 1, &knn),
           &err);
    size_t taken = (size_t)(sl_heap_peak() - before);
    planned -= (size_t)(200 - neighbours) * 512 * 8;
    assert_in_range(taken, planned, planned + 256 * 1024);
    close_world(&world);
}

static void test_peaks(void **state)
{
    (void)state;
    check(8, "synthetic:size=8,n=2500,test=4000,classes=25", 50);
    check(16, "synthetic:size=16,n=400,test=400,classes=2", 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_peaks)};
    return cmocka_run_group_tests_name("api_knn_memory", tests, NULL, NULL);
}
