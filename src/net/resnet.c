/* SPDX-License-Identifier: MIT */
/*
 * Builders of the residual nets: the ImageNet family (18, 34: basic blocks; 50, 101, 152:
 * bottlenecks with the stride in the 3x3) and the CIFAR family of depth 6n+2 (three
 * stages of basic blocks), each with its head. Only architecture stands here; shape rules
 * and widths are the builder's (net.c).
 *
 * Order of ops in a block, which is also the order of parameters: the main path up to its
 * last conv, then the projection shortcut (downsample.conv, downsample.norm) where the
 * shape changes, then the last norm, which adds the shortcut; in SlimCLR's own CIFAR
 * block the norm has a ReLU and an op of its own adds the shortcut.
 */
#include "net/net_int.h"

#include <string.h>

enum { STAGES_MAX = 4, BASE_MAX = 1024, DEPTH_MAX = 1202 };

/* What a name stands for. */
struct arch {
    bool imagenet, bottleneck;
    int n_stages;
    int blocks[STAGES_MAX];
    int base; /* channels of the stem and of stage 1 before the bottleneck's expansion */
};

/* ---- names ------------------------------------------------------------------------- */

static const struct {
    int depth;
    bool bottleneck;
    int blocks[STAGES_MAX];
} imagenet_archs[] = {
    {18, false, {2, 2, 2, 2}},  {34, false, {3, 4, 6, 3}},  {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}}, {152, true, {3, 8, 36, 3}},
};

static const int cifar_depths[] = {20, 32, 44, 56, 110};

static const char *const names[] = {
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnet20", "resnet32", "resnet44", "resnet56",  "resnet110",
};

const char *sl_resnet_name(int i)
{
    return i >= 0 && i < SL_COUNT(names) ? names[i] : NULL;
}

/* Reads decimal digits without sign or leading zero, at most `limit`; 0 when there is no
 * such number. */
static int read_number(const char **text, int limit)
{
    const char *at = *text;
    int number = 0;

    if (*at == '0') {
        return 0;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (*at - '0');
        if (number > limit) {
            return 0;
        }
    }
    *text = at;
    return number;
}

static bool is_cifar_depth(int depth)
{
    for (int i = 0; i < SL_COUNT(cifar_depths); i++) {
        if (cifar_depths[i] == depth) {
            return true;
        }
    }
    return false;
}

static void set_cifar(struct arch *arch, int depth, int base)
{
    *arch = (struct arch){.n_stages = 3, .base = base};
    for (int s = 0; s < arch->n_stages; s++) {
        arch->blocks[s] = (depth - 2) / 6;
    }
}

/* What follows "resnetD": nothing, "xK" or "-bN". */
static bool parse_cifar(const char *rest, int depth, struct arch *arch)
{
    int number;

    if (strncmp(rest, "-b", 2) == 0) {
        rest += 2;
        number = read_number(&rest, BASE_MAX);
        set_cifar(arch, depth, number);
        return depth >= 8 && depth % 6 == 2 && number > 0 && *rest == '\0';
    }
    number = 1;
    if (*rest == 'x') {
        rest++;
        number = read_number(&rest, BASE_MAX / 16);
    }
    set_cifar(arch, depth, 16 * number);
    return is_cifar_depth(depth) && number > 0 && *rest == '\0';
}

static bool parse_arch(const char *name, struct arch *arch)
{
    if (strncmp(name, "resnet", 6) != 0) {
        return false;
    }
    const char *rest = name + 6;
    int depth = read_number(&rest, DEPTH_MAX);
    for (int i = 0; i < SL_COUNT(imagenet_archs); i++) {
        if (imagenet_archs[i].depth == depth && *rest == '\0') {
            *arch = (struct arch){.imagenet = true,
                                  .bottleneck = imagenet_archs[i].bottleneck,
                                  .n_stages = STAGES_MAX,
                                  .base = 64};
            memcpy(arch->blocks, imagenet_archs[i].blocks, sizeof arch->blocks);
            return true;
        }
    }
    return parse_cifar(rest, depth, arch);
}

bool sl_resnet_is_bottleneck(const char *name)
{
    struct arch arch;

    return parse_arch(name, &arch) && arch.bottleneck;
}

static enum sl_status find_arch(struct sl_error *err, const char *name, struct arch *arch)
{
    if (parse_arch(name, arch)) {
        return SL_OK;
    }
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; sl_resnet_name(i) != NULL && used < sizeof known; i++) {
        used +=
            (size_t)snprintf(known + used, sizeof known - used, " %s", sl_resnet_name(i));
    }
    return SL_FAIL(
        err, SL_ERROR_USAGE,
        "unknown architecture \"%s\"; known:%s (from resnet20 on also K times wider, as "
        "resnet20x4)",
        name, known);
}

/* ---- encoder ----------------------------------------------------------------------- */

/* What the parts of an encoder share while it is built. */
struct builder {
    struct sl_net *net;
    struct sl_init_pair {
        enum sl_init weight, bias;
    } head_init;
    bool bottleneck;
    bool relu_before_add;    /* SL_BLOCK_SLIMCLR_CIFAR */
    enum sl_init last_scale; /* start of the scale of a block's last norm */
};

static const char *join(char dst[SL_NAME_MAX], const char *block, const char *part)
{
    int length = snprintf(dst, SL_NAME_MAX, "%s.%s", block, part);

    SL_ASSERT(length > 0 && length < SL_NAME_MAX);
    return dst;
}

static int conv(struct builder *b, const char *block, const char *part, int src, int axis,
                int kernel, int stride)
{
    char name[SL_NAME_MAX];

    return sl_net_conv(b->net, join(name, block, part), src, axis, kernel, stride,
                       kernel / 2);
}

static int norm_relu(struct builder *b, const char *block, const char *part, int src)
{
    char name[SL_NAME_MAX];

    return sl_net_norm(b->net, join(name, block, part), src, SL_TAIL_RELU, -1,
                       SL_INIT_ONE);
}

/* The value a block adds to its main path: its input, or a projection where the shape
 * changes. */
static int shortcut(struct builder *b, const char *block, int src, int axis_out,
                    int stride)
{
    char name[SL_NAME_MAX];
    const struct sl_net *net = b->net;

    if (src < 0 || axis_out < 0) {
        return -1; /* the builder has failed before */
    }
    if (stride == 1 &&
        net->axes[net->values[src].axis].full == net->axes[axis_out].full) {
        return src;
    }
    int projected = conv(b, block, "downsample.conv", src, axis_out, 1, stride);
    return sl_net_norm(b->net, join(name, block, "downsample.norm"), projected,
                       SL_TAIL_NONE, -1, SL_INIT_ONE);
}

static int add_block(struct builder *b, const char *block, int src, int axis_mid,
                     int axis_out, int stride)
{
    char name[SL_NAME_MAX];
    const char *last;
    int x = src;

    if (b->bottleneck) {
        x = conv(b, block, "conv1", x, axis_mid, 1, 1);
        x = norm_relu(b, block, "norm1", x);
        x = conv(b, block, "conv2", x, axis_mid, 3, stride);
        x = norm_relu(b, block, "norm2", x);
        x = conv(b, block, "conv3", x, axis_out, 1, 1);
        last = "norm3";
    } else {
        x = conv(b, block, "conv1", x, axis_out, 3, stride);
        x = norm_relu(b, block, "norm1", x);
        x = conv(b, block, "conv2", x, axis_out, 3, 1);
        last = "norm2";
    }
    int added = shortcut(b, block, src, axis_out, stride);
    if (b->relu_before_add) {
        x = norm_relu(b, block, last, x);
        return sl_net_add_relu(b->net, join(name, block, "add"), x, added);
    }
    return sl_net_norm(b->net, join(name, block, last), x, SL_TAIL_ADD_RELU, added,
                       b->last_scale);
}

static int add_stem(struct builder *b, int input, int base, bool imagenet)
{
    int axis = sl_net_axis(b->net, "stem", base, false);
    int kernel = imagenet ? 7 : 3;
    int stride = imagenet ? 2 : 1;
    int x = conv(b, "encoder", "conv1", input, axis, kernel, stride);

    x = norm_relu(b, "encoder", "norm1", x);
    return imagenet ? sl_net_maxpool(b->net, "encoder.maxpool", x, 3, 2, 1) : x;
}

/* Stage s = 0, 1, … has base * 2^s channels, four times as many at a bottleneck's output.
 * The middle of a bottleneck is out/4 at each width: floor(floor(4 F w) / 4) = floor(F
 * w), so an axis of its own gives it. */
static int add_stage(struct builder *b, const struct arch *arch, int s, int src)
{
    char name[SL_NAME_MAX];
    int x = src;
    int full = arch->base << s;
    int axis_mid = -1;

    if (arch->bottleneck) {
        snprintf(name, sizeof name, "layer%d.mid", s + 1);
        axis_mid = sl_net_axis(b->net, name, full, false);
        full *= 4;
    }
    snprintf(name, sizeof name, "layer%d", s + 1);
    int axis_out = sl_net_axis(b->net, name, full, false);
    for (int i = 0; i < arch->blocks[s]; i++) {
        snprintf(name, sizeof name, "encoder.layer%d.%d", s + 1, i);
        x = add_block(b, name, x, axis_mid, axis_out, s > 0 && i == 0 ? 2 : 1);
    }
    return x;
}

/* ---- head -------------------------------------------------------------------------- */

/* What a head makes: the same value twice where there is no predictor. */
struct head {
    int projection, embedding;
};

static struct head one_output(int value)
{
    return (struct head){value, value};
}

/* Linear, norm, ReLU, Linear: the part that projectors and predictor share. */
static int hidden_layer(struct builder *b, const char *part, int src, int hidden,
                        bool bias, struct sl_init_pair start)
{
    char name[SL_NAME_MAX];
    int x = sl_net_linear(b->net, join(name, part, "0"), src, hidden, bias, start.weight,
                          start.bias);

    return sl_net_norm(b->net, join(name, part, "1"), x, SL_TAIL_RELU, -1, SL_INIT_ONE);
}

static int last_layer(struct builder *b, const char *part, int src, int out,
                      struct sl_init_pair start)
{
    char name[SL_NAME_MAX];

    return sl_net_linear(b->net, join(name, part, "3"), src, out, false, start.weight,
                         start.bias);
}

/* The predictor stands outside the encoder and starts as PyTorch's linear layers do,
 * whatever the head's start. */
static struct head mocov3_head(struct builder *b, const struct sl_resnet_config *config,
                               int features)
{
    enum { PUBLISHED_HIDDEN = 4096 };
    const struct sl_init_pair fan_in = {SL_INIT_FAN_IN, SL_INIT_FAN_IN};
    struct sl_net *net = b->net;
    int size = config->hidden > 0 ? config->hidden : PUBLISHED_HIDDEN;
    int hidden = sl_net_axis(net, "head.hidden", size, false);
    int out = sl_net_axis(net, "embedding", config->dim, true);
    struct head head;
    int x = hidden_layer(b, "head", features, hidden, false, b->head_init);

    x = last_layer(b, "head", x, out, b->head_init);
    head.projection = sl_net_norm_bare(net, "head.4", x);
    x = hidden_layer(b, "predictor", head.projection, hidden, false, fan_in);
    head.embedding = last_layer(b, "predictor", x, out, fan_in);
    return head;
}

static struct head simclr_head(struct builder *b, const struct sl_resnet_config *config,
                               int features)
{
    enum { PUBLISHED_HIDDEN = 2048 };
    struct sl_net *net = b->net;
    int size = config->hidden > 0 ? config->hidden : PUBLISHED_HIDDEN;
    int hidden = sl_net_axis(net, "head.hidden", size, false);
    int out = sl_net_axis(net, "embedding", config->dim, true);
    int x = hidden_layer(b, "head", features, hidden, true, b->head_init);

    x = last_layer(b, "head", x, out, b->head_init);
    return one_output(sl_net_norm(net, "head.4", x, SL_TAIL_NONE, -1, SL_INIT_ONE));
}

/* MoCo v2's, whose linears are sliced or, one a width, private. */
static struct head mlp_head(struct builder *b, int features, int dim, bool is_private)
{
    struct sl_net *net = b->net;
    enum sl_init weight = b->head_init.weight;
    enum sl_init bias = b->head_init.bias;
    int d = net->axes[net->values[features].axis].full;
    int hidden = sl_net_axis(net, "head.hidden", d, false);
    int out = sl_net_axis(net, "embedding", dim, true);
    int x = features;

    x = is_private ? sl_net_linear_private(net, "head.0", x, hidden, weight, bias)
                   : sl_net_linear(net, "head.0", x, hidden, true, weight, bias);
    x = sl_net_relu(net, "head.1", x);
    x = is_private ? sl_net_linear_private(net, "head.2", x, out, weight, bias)
                   : sl_net_linear(net, "head.2", x, out, true, weight, bias);
    return one_output(x);
}

/* The heads of net.h: docs/methods.md has them by method. */
static struct head add_head(struct builder *b, const struct sl_resnet_config *config,
                            int features)
{
    struct sl_net *net = b->net;
    enum sl_init weight = b->head_init.weight;
    enum sl_init bias = b->head_init.bias;

    if (config->head == SL_HEAD_NONE || features < 0) {
        return one_output(features);
    }
    if (config->head == SL_HEAD_MOCOV3) {
        return mocov3_head(b, config, features);
    }
    if (config->head == SL_HEAD_SIMCLR) {
        return simclr_head(b, config, features);
    }
    if (config->head == SL_HEAD_MLP || config->head == SL_HEAD_SWITCH) {
        return mlp_head(b, features, config->dim, config->head == SL_HEAD_SWITCH);
    }
    if (config->head == SL_HEAD_CLASSIFIERS) {
        int classes = sl_net_axis(net, "classes", config->dim, true);
        return one_output(sl_net_linear_private(net, "head.0", features, classes,
                                                SL_INIT_NORMAL_001, SL_INIT_ZERO));
    }
    bool classifier = config->head == SL_HEAD_CLASSIFIER;
    int out = sl_net_axis(net, classifier ? "classes" : "embedding", config->dim, true);
    return one_output(sl_net_linear(net, "head.0", features, out, true, weight, bias));
}

/* The published start suits the bottleneck nets it was published with; with it a small
 * net collapses (tests/learn/collapse.c). A classifier always takes it. */
static struct sl_init_pair head_init(const struct sl_resnet_config *config,
                                     bool bottleneck)
{
    enum sl_head_init init = config->head_init;

    if (init == SL_HEAD_INIT_AUTO) {
        init = bottleneck ? SL_HEAD_INIT_PAPER : SL_HEAD_INIT_FAN_IN;
    }
    if (init == SL_HEAD_INIT_PAPER || config->head == SL_HEAD_CLASSIFIER) {
        return (struct sl_init_pair){SL_INIT_NORMAL_001, SL_INIT_ZERO};
    }
    return (struct sl_init_pair){SL_INIT_FAN_IN, SL_INIT_FAN_IN};
}

/* ---- the whole --------------------------------------------------------------------- */

/* Decides the stem; checks picture and stem against the net. */
static enum sl_status check_picture(struct sl_error *err,
                                    const struct sl_resnet_config *config,
                                    const struct arch *arch, bool *imagenet_stem)
{
    enum { SMALL_UP_TO = 64 };
    bool small = config->stem == SL_STEM_SMALL ||
                 (config->stem == SL_STEM_AUTO &&
                  (!arch->imagenet || config->image_size <= SMALL_UP_TO));

    if (!small && !arch->imagenet) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "%s has the small stem only; leave out --stem imagenet or choose resnet18",
            config->arch);
    }
    if (config->block == SL_BLOCK_SLIMCLR_CIFAR && arch->imagenet) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--block slimclr-cifar: %s is no CIFAR net; choose resnet20, 32, "
                       "44, 56 or 110, or leave it out",
                       config->arch);
    }
    int stride = (small ? 1 : 4) << (arch->n_stages - 1);
    if (config->image_size < stride) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "pictures of %d px are too small for %s with the %s stem, which divides them "
            "by %d; use at least %d px%s",
            config->image_size, config->arch, small ? "small" : "imagenet", stride,
            stride, small ? "" : " or --stem small");
    }
    *imagenet_stem = !small;
    return SL_OK;
}

static enum sl_status check_counts(struct sl_error *err,
                                   const struct sl_resnet_config *config)
{
    enum { SIZE_LIMIT = 1 << 14, DIM_LIMIT = 1 << 20 };

    if (config->image_size > SIZE_LIMIT || config->channels < 1 || config->channels > 4) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "pictures must have 1 to 4 channels and at most %d px; seen %d "
                       "channels, %d px",
                       (int)SIZE_LIMIT, config->channels, config->image_size);
    }
    if (config->head != SL_HEAD_NONE && (config->dim < 1 || config->dim > DIM_LIMIT)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "a head needs 1 to %d outputs, not %d",
                       (int)DIM_LIMIT, config->dim);
    }
    if (config->hidden < 0 || config->hidden > DIM_LIMIT) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "a head's hidden layer has 1 to %d channels, not %d",
                       (int)DIM_LIMIT, config->hidden);
    }
    return SL_OK;
}

static enum sl_status build(struct sl_error *err, const struct sl_resnet_config *config,
                            const struct arch *arch, bool imagenet_stem,
                            struct sl_net *net)
{
    struct builder b = {.net = net,
                        .head_init = head_init(config, arch->bottleneck),
                        .bottleneck = arch->bottleneck,
                        .relu_before_add = config->block == SL_BLOCK_SLIMCLR_CIFAR,
                        .last_scale = arch->imagenet ? SL_INIT_ZERO : SL_INIT_ONE};
    int axis = sl_net_axis(net, "picture", config->channels, true);
    int x = sl_net_input(net, axis, config->image_size, config->image_size);

    x = add_stem(&b, x, arch->base, imagenet_stem);
    for (int s = 0; s < arch->n_stages; s++) {
        x = add_stage(&b, arch, s, x);
    }
    int features = sl_net_avgpool(net, "encoder.avgpool", x);
    struct head head = add_head(&b, config, features);
    return sl_net_finish(err, net, features, head.projection, head.embedding);
}

enum sl_status sl_resnet_build(struct sl_error *err,
                               const struct sl_resnet_config *config, struct sl_net **net)
{
    enum sl_status status = SL_OK;
    struct sl_net *made = NULL;
    struct arch arch;
    bool imagenet_stem = false;

    *net = NULL;
    SL_TRY(find_arch(err, config->arch, &arch));
    SL_TRY(check_picture(err, config, &arch, &imagenet_stem));
    SL_TRY(check_counts(err, config));
    SL_TRY_OUT(sl_net_create(err, &config->widths, &made));
    SL_TRY_OUT(sl_net_slice(err, made, config->slices));
    SL_TRY_OUT(build(err, config, &arch, imagenet_stem, made));
    *net = made;
    made = NULL;
out:
    sl_net_destroy(made);
    return status;
}
