/* SPDX-License-Identifier: MIT */
/*
 * The planner and the executor: no two things that live at once share a byte, everything
 * that is read is still what its writer wrote, and memory reuse, poison and shared blocks
 * change no bit. The numbers themselves are judged elsewhere (tests/op, tests/learn).
 */
#include "netkit.h"

#include <math.h>
#include <stdlib.h>

/* ---- the printed plan, by brute force ---------------------------------------------- */

struct row {
    char name[SL_NAME_MAX], what[16];
    char in[SL_NAME_MAX]; /* whose memory a gradient has, or "" */
    long long bytes, offset;
    int birth, death;
};

enum { ROWS_MAX = 4096 };

static struct row rows[ROWS_MAX];

static int read_rows(const struct sl_plan *plan)
{
    struct sl_text text = {0};
    int n = 0;

    sl_plan_print(plan, &text);
    const char *line = strchr(text.text, '\n') + 1; /* after the headline */
    for (; *line != '\0'; line = strchr(line, '\n') + 1) {
        struct row *row = &rows[n++];
        assert_true(n < ROWS_MAX);
        row->in[0] = '\0';
        const int found = sscanf(line, "%127s %15s %*s %lld %d %d %lld%*[ ]in %127s",
                                 row->name, row->what, &row->bytes, &row->birth,
                                 &row->death, &row->offset, row->in);
        assert_true(found == 6 || found == 7);
    }
    sl_text_finish(&text);
    return n;
}

static const struct sl_op *op_of(const struct sl_net *net, const char *name)
{
    for (int k = 0; k < net->n_ops; k++) {
        if (strcmp(net->ops[k].name, name) == 0) {
            return &net->ops[k];
        }
    }
    fail_msg("no op \"%s\"", name);
    return NULL;
}

static const struct row *gradient_row(const char *name, int n)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(rows[i].name, name) == 0 && strcmp(rows[i].what, "gradient") == 0) {
            return &rows[i];
        }
    }
    fail_msg("no gradient of \"%s\"", name);
    return NULL;
}

/* When an op's own gradient is read for the last time: as the op runs backward. */
static int last_read(const struct sl_net *net, const struct row *row)
{
    return 2 * net->n_ops - (int)(op_of(net, row->name) - net->ops);
}

/* Two gradients that may have the same memory at the same time: both lie in one of them
 * or in a third, and the later is born as the earlier is read for the last time or after.
 * Only the op that reads the one may write the other then, and only where it joins what
 * the other is the gradient of. */
static bool may_share(const struct sl_net *net, const struct row *a, const struct row *b)
{
    const char *root = a->in[0] != '\0' ? a->in : a->name;
    const struct row *early = a->birth <= b->birth ? a : b;
    const struct row *late = early == a ? b : a;
    const struct sl_op *op = op_of(net, early->name);

    if (strcmp(a->what, "gradient") != 0 || strcmp(b->what, "gradient") != 0 ||
        strcmp(b->in[0] != '\0' ? b->in : b->name, root) != 0) {
        return false;
    }
    return last_read(net, early) < late->birth ||
           (last_read(net, early) == late->birth && op->added >= 0 &&
            net->values[op->added].producer == op_of(net, late->name) - net->ops);
}

/* A gradient in another's memory has all of it and dies with it at the latest. Returns
 * how many there are. */
static int check_joins(int n)
{
    int joins = 0;

    for (int i = 0; i < n; i++) {
        if (rows[i].in[0] != '\0') {
            const struct row *root = gradient_row(rows[i].in, n);
            assert_string_equal(rows[i].what, "gradient");
            assert_string_equal(root->in, "");
            assert_true(rows[i].offset == root->offset);
            assert_true(rows[i].bytes == root->bytes);
            assert_true(rows[i].birth >= root->birth && rows[i].death <= root->death);
            joins++;
        }
    }
    return joins;
}

/* Every value and every gradient but the output's, whose memory is the caller's, has a
 * row of its own. */
static void check_complete(const struct sl_net *net, enum sl_role role, int n)
{
    int values = 0;
    int gradients = 0;

    for (int i = 0; i < n; i++) {
        values += strcmp(rows[i].what, "value") == 0;
        gradients += strcmp(rows[i].what, "gradient") == 0;
    }
    assert_int_equal(values, net->n_ops);
    assert_int_equal(gradients, role == SL_ROLE_TRAIN ? net->n_ops - 1 : 0);
}

/* The output is what the last op makes; the caller reads it when all ops have run. */
static void check_rows(const struct sl_plan *plan, const struct sl_plan_config *config)
{
    size_t packed = 0;
    size_t activations = 0;
    size_t scratch = 0;
    const struct sl_net *net = config->net;
    int n = read_rows(plan);
    int shared = 0;
    int outputs = 0;
    int joins = check_joins(n);

    check_complete(net, config->role, n);
    sl_plan_bytes_split(plan, &packed, &activations, &scratch);
    assert_true(packed + activations + scratch == sl_plan_bytes(plan));
    for (int i = 0; i < n; i++) {
        assert_true(rows[i].offset % 64 == 0);
        assert_true(rows[i].offset >= (long long)packed);
        assert_true(rows[i].offset + rows[i].bytes <= (long long)(packed + activations));
        if (rows[i].birth == net->n_ops - 1 && strcmp(rows[i].what, "value") == 0) {
            assert_true(rows[i].death >= net->n_ops);
            outputs++;
        }
        for (int j = 0; j < i; j++) {
            bool apart = rows[i].offset + rows[i].bytes <= rows[j].offset ||
                         rows[j].offset + rows[j].bytes <= rows[i].offset;
            bool together =
                rows[i].birth <= rows[j].death && rows[j].birth <= rows[i].death;
            if (together && !apart && !may_share(net, &rows[i], &rows[j])) {
                fail_msg("%s %s and %s %s live together and overlap", rows[i].name,
                         rows[i].what, rows[j].name, rows[j].what);
            }
            shared += !apart;
        }
    }
    assert_int_equal(outputs, 1);
    assert_true(config->reuse_off ? shared == 0 : shared > 0);
    assert_true((joins > 0) == (config->role == SL_ROLE_TRAIN && !config->reuse_off));
}

static void check_net_rows(const struct sl_net *net, const struct sl_device *device)
{
    static const enum sl_role roles[] = {SL_ROLE_TRAIN, SL_ROLE_TARGET, SL_ROLE_INFER};

    for (int w = 0; w < net->widths.n; w++) {
        for (int i = 0; i < 2 * SL_COUNT(roles); i++) {
            struct sl_error err = {0};
            struct sl_plan *plan = NULL;
            struct sl_plan_config config = {.net = net,
                                            .device = device,
                                            .width = w,
                                            .batch = KIT_BATCH,
                                            .role = roles[i / 2],
                                            .groups = 2,
                                            .output = net->embedding,
                                            .reuse_off = i % 2 != 0};
            kit_ok(sl_plan_create(&err, &config, &plan), &err);
            check_rows(plan, &config);
            sl_plan_destroy(plan);
        }
    }
}

/* One value is added in two places: only the one that comes first in backward may begin
 * its gradient in the sum's memory. */
static struct sl_net *added_twice(void)
{
    struct sl_error err = {0};
    struct sl_net *net = NULL;
    const struct sl_widths widths = kit_widths("1,0.5");

    kit_ok(sl_net_create(&err, &widths, &net), &err);
    const int axis = sl_net_axis(net, "channels", 8, false);
    const int embedding = sl_net_axis(net, "embedding", 5, true);
    int x = sl_net_input(net, sl_net_axis(net, "picture", 3, true), 8, 8);
    x = sl_net_conv(net, "stem.conv", x, axis, 3, 1, 1);
    const int added = sl_net_norm(net, "stem.norm", x, SL_TAIL_RELU, -1, SL_INIT_ONE);
    x = sl_net_conv(net, "a.conv", added, axis, 3, 1, 1);
    x = sl_net_norm(net, "a.norm", x, SL_TAIL_ADD_RELU, added, SL_INIT_ONE);
    x = sl_net_conv(net, "b.conv", x, axis, 3, 1, 1);
    x = sl_net_norm(net, "b.norm", x, SL_TAIL_ADD_RELU, added, SL_INIT_ONE);
    const int features = sl_net_avgpool(net, "pool", x);
    x = sl_net_linear(net, "head", features, embedding, true, SL_INIT_FAN_IN,
                      SL_INIT_FAN_IN);
    kit_ok(sl_net_finish(&err, net, features, x, x), &err);
    return net;
}

static void test_no_overlap(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        int image_size;
    } cases[] = {
        {"resnet8-b8", 16}, {"resnet20", 32}, {"resnet18", 96}, {"resnet50", 96}};
    struct sl_device device = kit_device("ref");

    for (int i = 0; i < SL_COUNT(cases); i++) {
        struct sl_net *net =
            kit_resnet(cases[i].arch, "1,0.5,0.25", cases[i].image_size, SL_HEAD_MLP, 16);
        check_net_rows(net, &device);
        sl_net_destroy(net);
    }
    struct sl_net *net = added_twice();
    check_net_rows(net, &device);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- a backend that watches the block ---------------------------------------------- */

/* Wraps the reference backend and keeps, for every 64 bytes of the block, what was last
 * written there. Each op is told by the order of preparation, which is the order of the
 * net; what it must find where it reads is worked out from the net alone, without the
 * planner. */
enum tag_kind { TAG_NONE, TAG_VALUE, TAG_DIFF, TAG_WORKSPACE, TAG_PACKED };

struct tag {
    enum tag_kind kind;
    int id, writes;
};

enum { LINES_MAX = 1 << 16, CALLS_MAX = 128 };

static struct watch {
    struct sl_backend table;
    const struct sl_backend *inner;
    const struct sl_net *net;
    int width, n_calls;
    struct sl_prepared *prepared[CALLS_MAX];
    struct sl_op_sizes sizes[CALLS_MAX];
    struct sl_op_desc desc[CALLS_MAX];
    const unsigned char *block;
    size_t bytes;
    struct tag tags[LINES_MAX];
    int64_t checked;
} watch;

static struct tag *tag_at(const void *memory)
{
    const unsigned char *at = memory;

    assert_true(at >= watch.block && at < watch.block + watch.bytes);
    return &watch.tags[(at - watch.block) / 64];
}

static void wrote(const void *memory, size_t bytes, enum tag_kind kind, int id,
                  int writes)
{
    struct tag *tag = tag_at(memory);

    for (size_t i = 0; i < (bytes + 63) / 64; i++) {
        tag[i] = (struct tag){.kind = kind, .id = id, .writes = writes};
    }
}

static void must_hold(const void *memory, size_t bytes, enum tag_kind kind, int id,
                      int writes)
{
    const struct tag *tag = tag_at(memory);

    for (size_t i = 0; i < (bytes + 63) / 64; i++) {
        if (tag[i].kind != kind || tag[i].id != id || tag[i].writes != writes) {
            fail_msg(
                "line %zu: wanted kind %d of %d written %d times, found kind %d of %d "
                "written %d times",
                i, (int)kind, id, writes, (int)tag[i].kind, tag[i].id, tag[i].writes);
        }
        watch.checked++;
    }
}

static size_t bytes_of(int value)
{
    const struct sl_value *v = &watch.net->values[value];

    return sizeof(float) * (size_t)KIT_BATCH * (size_t)v->height * (size_t)v->width *
           (size_t)sl_net_channels(watch.net, value, watch.width);
}

static bool in_block(int value)
{
    return value != watch.net->input;
}

static int number_of(const struct sl_prepared *op)
{
    for (int k = 0; k < watch.n_calls; k++) {
        if (watch.prepared[k] == op) {
            return k;
        }
    }
    fail_msg("an op that was never prepared");
    return -1;
}

/* How many ops write a value's gradient. */
static int readers_of(int value)
{
    int readers = 0;

    for (int i = 0; i < watch.net->n_ops; i++) {
        readers += watch.net->ops[i].src == value;
        readers += watch.net->ops[i].added == value;
    }
    return readers;
}

static enum sl_status watch_prepare(struct sl_error *err, void *state,
                                    const struct sl_op_desc *desc,
                                    struct sl_prepared **op, struct sl_op_sizes *sizes)
{
    SL_TRY(watch.inner->prepare(err, state, desc, op, sizes));
    assert_true(watch.n_calls < CALLS_MAX);
    watch.prepared[watch.n_calls] = *op;
    watch.sizes[watch.n_calls] = *sizes;
    watch.desc[watch.n_calls] = *desc;
    watch.n_calls++;
    return SL_OK;
}

static void watch_pack(void *state, struct sl_prepared *op, const struct sl_slice *master,
                       void *packed)
{
    int k = number_of(op);

    watch.inner->pack(state, op, master, packed);
    wrote(packed, watch.sizes[k].packed, TAG_PACKED, k, 1);
}

/* What the op uses as scratch is scratch: nothing that anybody reads later. */
static void spoil_scratch(int k, const struct sl_op_args *args)
{
    if (watch.sizes[k].scratch > 0) {
        memset(args->scratch, 0xff, watch.sizes[k].scratch);
        wrote(args->scratch, watch.sizes[k].scratch, TAG_NONE, k, 0);
    }
}

static void watch_forward(void *state, struct sl_prepared *prepared,
                          const struct sl_op_args *args)
{
    int k = number_of(prepared);
    const struct sl_op *op = &watch.net->ops[k];

    spoil_scratch(k, args);
    if (in_block(op->src)) {
        must_hold(args->src, bytes_of(op->src), TAG_VALUE, op->src, 1);
    }
    if (op->added >= 0) {
        must_hold(args->added, bytes_of(op->added), TAG_VALUE, op->added, 1);
    }
    if (op->weight >= 0) {
        must_hold(args->packed, watch.sizes[k].packed, TAG_PACKED, k, 1);
    }
    watch.inner->forward(state, prepared, args);
    wrote(args->dst, bytes_of(op->dst), TAG_VALUE, op->dst, 1);
    if (watch.sizes[k].workspace > 0) {
        wrote(args->workspace, watch.sizes[k].workspace, TAG_WORKSPACE, k, 1);
    }
    /* Writing the results has not hurt what was read. */
    if (in_block(op->src)) {
        must_hold(args->src, bytes_of(op->src), TAG_VALUE, op->src, 1);
    }
}

/* A gradient that is added to must be there already; one that is written must be new. */
static void diff_written(const float *diff, int value, bool add)
{
    const struct tag *tag = tag_at(diff);
    int before = tag->kind == TAG_DIFF && tag->id == value ? tag->writes : 0;

    if (add) {
        assert_true(before > 0);
        must_hold(diff, bytes_of(value), TAG_DIFF, value, before);
    }
    wrote(diff, bytes_of(value), TAG_DIFF, value, add ? before + 1 : 1);
}

static void watch_backward(void *state, struct sl_prepared *prepared,
                           const struct sl_op_args *args)
{
    int k = number_of(prepared);
    const struct sl_op *op = &watch.net->ops[k];
    const struct sl_op_sizes *sizes = &watch.sizes[k];
    size_t vector = sizeof(float) * (size_t)watch.desc[k].dst_c;

    spoil_scratch(k, args);
    if (op->dst != watch.net->embedding) {
        must_hold(args->diff_dst, bytes_of(op->dst), TAG_DIFF, op->dst,
                  readers_of(op->dst));
    }
    if (sizes->backward_reads_src && in_block(op->src)) {
        must_hold(args->src, bytes_of(op->src), TAG_VALUE, op->src, 1);
    }
    if (sizes->backward_reads_dst) {
        must_hold(args->dst, bytes_of(op->dst), TAG_VALUE, op->dst, 1);
    }
    if (sizes->workspace > 0) {
        must_hold(args->workspace, sizes->workspace, TAG_WORKSPACE, k, 1);
    }
    if (op->weight >= 0) {
        must_hold(args->packed, sizes->packed, TAG_PACKED, k, 1);
        wrote(args->packed_diff, sizes->packed_diff, TAG_NONE, k, 0);
    }
    if (op->bias >= 0) {
        wrote(args->diff_bias, vector, TAG_NONE, k, 0);
    }
    if (op->norm >= 0) {
        wrote(args->diff_scale, vector, TAG_NONE, k, 0);
    }
    assert_true((args->diff_src != NULL) == in_block(op->src));
    if (args->diff_src != NULL) {
        diff_written(args->diff_src, op->src, args->diff_src_add);
    }
    if (op->added >= 0) {
        diff_written(args->diff_added, op->added, args->diff_added_add);
    }
    watch.inner->backward(state, prepared, args);
}

static void test_reads_find_writes(void **state)
{
    (void)state;
    struct sl_device ref = kit_device("ref");

    for (int i = 0; i < 2; i++) {
        struct sl_net *net = i == 0
                                 ? kit_all_ops("1,0.5", 4)
                                 : kit_resnet("resnet8-b8", "1,0.25", 12, SL_HEAD_MLP, 5);
        memset(&watch, 0, sizeof watch);
        watch.inner = ref.table;
        watch.table = *ref.table;
        watch.table.prepare = watch_prepare;
        watch.table.pack = watch_pack;
        watch.table.forward = watch_forward;
        watch.table.backward = watch_backward;
        watch.net = net;
        watch.width = 1;
        struct sl_device device = {.table = &watch.table, .state = ref.state};
        struct sl_params *params = kit_params(net, &device);
        struct sl_stats *stats = kit_stats(net, &device);
        float *pictures = kit_pictures(net, &device);
        float *seed = kit_random(&device, 1, (int64_t)KIT_BATCH * 5);
        struct kit_run run = kit_run_at(net, &device, watch.width, SL_ROLE_TRAIN);

        watch.block = run.block;
        watch.bytes = run.bytes;
        assert_true(run.bytes / 64 < LINES_MAX);
        assert_int_equal(watch.n_calls, net->n_ops);
        sl_exec_refresh(run.plan, params);
        sl_exec_forward(run.plan, params, stats, pictures);
        assert_true(sl_exec_backward(run.plan, params, seed) > 0.0);
        assert_true(watch.checked > 1000);
        kit_run_end(&run);
        ref.table->free(ref.state, pictures);
        ref.table->free(ref.state, seed);
        sl_params_destroy(params);
        sl_stats_destroy(stats);
        sl_net_destroy(net);
    }
    sl_device_close(&ref);
}

/* ---- same bits --------------------------------------------------------------------- */

/* One forward and backward; what came of it. */
struct outcome {
    float *output, *diff, *mean, *variance;
    double squares;
};

struct setting {
    bool reuse_off, poison;
    int groups;
};

/* Fills the block with NaN where nothing is live between forward and backward. */
static void poison_dead(const struct kit_run *run, int turn)
{
    size_t packed = 0;
    size_t activations = 0;
    size_t scratch = 0;
    int n = read_rows(run->plan);
    unsigned char *live = calloc(run->bytes, 1);

    assert_non_null(live);
    sl_plan_bytes_split(run->plan, &packed, &activations, &scratch);
    memset(live, 1, packed);
    for (int i = 0; i < n; i++) {
        if (rows[i].birth <= turn && rows[i].death > turn) {
            memset(live + rows[i].offset, 1, (size_t)rows[i].bytes);
        }
    }
    for (size_t i = 0; i < run->bytes; i++) {
        run->block[i] = live[i] ? run->block[i] : 0xff;
    }
    free(live);
}

static struct outcome pass(const struct sl_net *net, const struct sl_device *device,
                           int width, const struct setting *setting)
{
    const struct sl_plan_config config = {.net = net,
                                          .device = device,
                                          .width = width,
                                          .batch = KIT_BATCH,
                                          .role = SL_ROLE_TRAIN,
                                          .groups = setting->groups,
                                          .output = net->embedding,
                                          .reuse_off = setting->reuse_off};
    struct kit_run run = kit_run_config(&config);
    struct sl_params *params = kit_params(net, device);
    struct sl_stats *stats = kit_stats(net, device);
    float *pictures = kit_pictures(net, device);
    int64_t n_output = (int64_t)KIT_BATCH * sl_plan_output_channels(run.plan);
    float *seed = kit_random(device, 1, n_output);
    struct outcome outcome = {0};

    outcome.output = kit_alloc(device, (size_t)n_output * sizeof(float));
    if (setting->poison) {
        memset(run.block, 0xff, run.bytes);
    }
    sl_exec_refresh(run.plan, params);
    const float *output = sl_exec_forward(run.plan, params, stats, pictures);
    memcpy(outcome.output, output, (size_t)n_output * sizeof(float));
    if (setting->poison) {
        poison_dead(&run, net->n_ops);
    }
    outcome.squares = sl_exec_backward(run.plan, params, seed);
    outcome.diff = params->diff;
    params->diff = NULL;
    outcome.mean = stats->mean;
    outcome.variance = stats->variance;
    stats->mean = stats->variance = NULL;
    kit_run_end(&run);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    device->table->free(device->state, pictures);
    device->table->free(device->state, seed);
    return outcome;
}

static void outcome_end(const struct sl_device *device, struct outcome *outcome)
{
    device->table->free(device->state, outcome->output);
    device->table->free(device->state, outcome->diff);
    device->table->free(device->state, outcome->mean);
    device->table->free(device->state, outcome->variance);
}

static void check_same_bits(const struct sl_net *net, const struct sl_device *device,
                            int width, int groups)
{
    static const struct setting settings[] = {
        {.reuse_off = true}, {.poison = true}, {.reuse_off = true, .poison = true}};
    struct outcome first = pass(net, device, width, &(struct setting){.groups = groups});

    assert_true(first.squares > 0.0);
    assert_true(device->table->find_nonfinite(device->state, net->total, first.diff) < 0);
    for (int i = 0; i < SL_COUNT(settings); i++) {
        struct setting setting = settings[i];
        setting.groups = groups;
        struct outcome other = pass(net, device, width, &setting);
        assert_memory_equal(&first.squares, &other.squares, sizeof first.squares);
        kit_same(first.output, other.output,
                 (int64_t)KIT_BATCH * sl_net_channels(net, net->embedding, width));
        kit_same(first.diff, other.diff, net->total);
        kit_same(first.mean, other.mean, net->stats_total);
        kit_same(first.variance, other.variance, net->stats_total);
        outcome_end(device, &other);
    }
    outcome_end(device, &first);
}

/* On every backend there is: their layouts and scratch differ, and padding may be read.
 */
static void test_same_bits(void **state)
{
    (void)state;
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        struct sl_device device = kit_device(sl_backend_name(i));
        struct sl_net *net =
            kit_resnet("resnet8-b8", "1,0.75,0.5,0.25", 12, SL_HEAD_MLP, 6);
        for (int w = 0; w < net->widths.n; w++) {
            check_same_bits(net, &device, w, 1 + w % 2);
        }
        sl_net_destroy(net);
        net = kit_all_ops("1,0.5", 4);
        check_same_bits(net, &device, 1, 2);
        sl_net_destroy(net);
        net = added_twice();
        check_same_bits(net, &device, 1, 2);
        sl_net_destroy(net);
        sl_device_close(&device);
    }
}

/* |a - b| <= tolerance * max |b| */
static void check_close(const char *what, const float *a, const float *b, int64_t count,
                        double tolerance)
{
    double most = 0.0;
    double apart = 0.0;

    for (int64_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)b[i]));
        apart = fmax(apart, fabs((double)a[i] - (double)b[i]));
    }
    if (!(apart <= tolerance * most)) {
        fail_msg("%s: %g apart, largest value %g", what, apart, most);
    }
}

/* A whole pass on each backend against ref. Ops are compared one by one in tests/op; here
 * it is flags, slices and statistics that could be used in another way. */
static void test_backends_agree(void **state)
{
    (void)state;
    struct sl_device ref = kit_device("ref");
    struct sl_net *net = kit_all_ops("1,0.75,0.5", 8);

    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        struct sl_device device = kit_device(sl_backend_name(i));
        for (int w = 0; w < net->widths.n; w++) {
            const struct setting setting = {.groups = 1 + w % 2};
            struct outcome expected = pass(net, &ref, w, &setting);
            struct outcome seen = pass(net, &device, w, &setting);
            check_close("output", seen.output, expected.output, (int64_t)KIT_BATCH * 5,
                        1e-4);
            check_close("gradient", seen.diff, expected.diff, net->total, 1e-4);
            check_close("mean", seen.mean, expected.mean, net->stats_total, 1e-5);
            check_close("variance", seen.variance, expected.variance, net->stats_total,
                        1e-5);
            assert_true(fabs(seen.squares / expected.squares - 1.0) < 1e-4);
            outcome_end(&device, &seen);
            outcome_end(&ref, &expected);
        }
        sl_device_close(&device);
    }
    sl_net_destroy(net);
    sl_device_close(&ref);
}

/* ---- one block for several plans --------------------------------------------------- */

static void test_shared_block(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 12, SL_HEAD_MLP, 6);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    float *pictures = kit_pictures(net, &device);
    struct kit_run own = kit_run_at(net, &device, 1, SL_ROLE_TRAIN);
    struct kit_run large = kit_run_at(net, &device, 0, SL_ROLE_TRAIN);
    struct kit_run guest = kit_run_at(net, &device, 1, SL_ROLE_TRAIN);

    assert_true(large.bytes > guest.bytes);
    sl_plan_attach(guest.plan, large.block);
    sl_exec_refresh(own.plan, params);
    sl_exec_refresh(large.plan, params);
    sl_exec_forward(large.plan, params, stats, pictures);
    sl_exec_refresh(guest.plan, params);
    int64_t n = (int64_t)KIT_BATCH * 6;
    kit_same(sl_exec_forward(own.plan, params, stats, pictures),
             sl_exec_forward(guest.plan, params, stats, pictures), n);
    kit_run_end(&own);
    kit_run_end(&large);
    kit_run_end(&guest);
    device.table->free(device.state, pictures);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- sizes, roles, outputs --------------------------------------------------------- */

static size_t activations_of(const struct sl_plan_config *config)
{
    struct sl_error err = {0};
    struct sl_plan *plan = NULL;
    size_t packed = 0;
    size_t activations = 0;
    size_t scratch = 0;

    kit_ok(sl_plan_create(&err, config, &plan), &err);
    sl_plan_bytes_split(plan, &packed, &activations, &scratch);
    sl_plan_destroy(plan);
    return activations;
}

static void test_memory(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet20", "1,0.5", 32, SL_HEAD_MLP, 16);
    struct sl_plan_config config = {.net = net,
                                    .device = &device,
                                    .batch = KIT_BATCH,
                                    .role = SL_ROLE_TRAIN,
                                    .output = net->embedding};
    size_t train = activations_of(&config);
    config.reuse_off = true;
    size_t apart = activations_of(&config);
    config.reuse_off = false;
    config.role = SL_ROLE_TARGET;
    size_t target = activations_of(&config);
    config.width = 1;
    size_t narrow = activations_of(&config);

    /* A forward pass without backward holds about three values at a time. */
    size_t value = sizeof(float) * KIT_BATCH * 32 * 32 * 16;
    assert_true(target < 4 * value);
    assert_true(narrow < target);
    assert_true(target < train / 4);
    assert_true(train < apart * 3 / 4);
    sl_net_destroy(net);
    sl_device_close(&device);
}

static void test_output_of_trunk(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 12, SL_HEAD_MLP, 6);
    struct sl_net *trunk = kit_resnet("resnet8-b8", "1,0.5", 12, SL_HEAD_NONE, 0);
    struct sl_params *params = kit_params(net, &device);
    struct sl_params *trunk_params = kit_params(trunk, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    struct sl_stats *trunk_stats = kit_stats(trunk, &device);
    float *pictures = kit_pictures(net, &device);
    struct sl_plan_config config = {.net = net,
                                    .device = &device,
                                    .width = 1,
                                    .batch = KIT_BATCH,
                                    .role = SL_ROLE_INFER,
                                    .output = net->features};
    struct kit_run part = kit_run_config(&config);
    struct kit_run whole = kit_run_at(trunk, &device, 1, SL_ROLE_INFER);

    assert_int_equal(part.bytes, whole.bytes); /* the head takes nothing */
    assert_int_equal(sl_plan_output_channels(part.plan), 16);
    sl_exec_refresh(part.plan, params);
    sl_exec_refresh(whole.plan, trunk_params);
    kit_same(sl_exec_forward(part.plan, params, stats, pictures),
             sl_exec_forward(whole.plan, trunk_params, trunk_stats, pictures),
             (int64_t)KIT_BATCH * 16);
    kit_run_end(&part);
    kit_run_end(&whole);
    device.table->free(device.state, pictures);
    sl_params_destroy(params);
    sl_params_destroy(trunk_params);
    sl_stats_destroy(stats);
    sl_stats_destroy(trunk_stats);
    sl_net_destroy(net);
    sl_net_destroy(trunk);
    sl_device_close(&device);
}

static void test_no_allocation(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 12, SL_HEAD_MLP, 6);
    struct sl_params *params = kit_params(net, &device);
    struct sl_stats *stats = kit_stats(net, &device);
    float *pictures = kit_pictures(net, &device);
    float *seed = kit_random(&device, 1, (int64_t)KIT_BATCH * 6);
    struct kit_run run = kit_run_at(net, &device, 0, SL_ROLE_TRAIN);
    int64_t calls = sl_heap_calls();

    for (int step = 0; step < 2; step++) {
        sl_exec_refresh(run.plan, params);
        sl_exec_forward(run.plan, params, stats, pictures);
        sl_exec_backward(run.plan, params, seed);
    }
    assert_int_equal(sl_heap_calls(), calls);
    kit_run_end(&run);
    device.table->free(device.state, pictures);
    device.table->free(device.state, seed);
    sl_params_destroy(params);
    sl_stats_destroy(stats);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* ---- what is refused --------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 4, SL_HEAD_MLP, 6);
    struct sl_plan *plan = NULL;
    struct sl_plan_config config = {.net = net,
                                    .device = &device,
                                    .batch = 6,
                                    .role = SL_ROLE_TRAIN,
                                    .groups = 4,
                                    .output = net->embedding};
    struct sl_error err = {0};

    assert_int_equal(sl_plan_create(&err, &config, &plan), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "4 equal norm groups"));
    assert_null(plan);
    /* The last stage has 1x1 pixels: one picture a group leaves nothing to normalise
     * over. */
    config.groups = 6;
    sl_error_clear(&err);
    assert_int_equal(sl_plan_create(&err, &config, &plan), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "encoder.layer3.0.norm1"));
    config.role = SL_ROLE_INFER;
    sl_error_clear(&err);
    kit_ok(sl_plan_create(&err, &config, &plan), &err);
    sl_plan_destroy(plan);
    sl_net_destroy(net);
    sl_device_close(&device);
}

/* Every allocation of a plan may fail; nothing leaks and the next try works. */
static void test_out_of_memory(void **state)
{
    (void)state;
    struct sl_device device = kit_device("ref");
    struct sl_net *net = kit_resnet("resnet8-b8", "1,0.5", 12, SL_HEAD_MLP, 6);
    const struct sl_plan_config config = {.net = net,
                                          .device = &device,
                                          .batch = KIT_BATCH,
                                          .role = SL_ROLE_TRAIN,
                                          .output = net->embedding};
    int64_t held = sl_heap_bytes();
    enum sl_status status = SL_ERROR_RUN;
    int64_t k = 0;

    while (status != SL_OK) {
        struct sl_error err = {0};
        struct sl_plan *plan = NULL;
        sl_heap_fail_at(++k);
        status = sl_plan_create(&err, &config, &plan);
        sl_heap_fail_at(0);
        assert_true(status == SL_OK || status == SL_ERROR_RUN);
        sl_plan_destroy(plan);
        assert_int_equal(sl_heap_bytes(), held);
    }
    assert_true(k > 10); /* each op prepared is one allocation at least */
    sl_net_destroy(net);
    sl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_overlap),      cmocka_unit_test(test_reads_find_writes),
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_shared_block),    cmocka_unit_test(test_memory),
        cmocka_unit_test(test_output_of_trunk), cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
