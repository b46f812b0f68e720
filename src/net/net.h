/* SPDX-License-Identifier: MIT */
/*
 * net: the program, its parameters and its plans. A net is a list of ops in execution
 * order over values; widths live in its axes, so that no call site ever computes a
 * channel count. A plan is one net at one width, batch size and role, with every address
 * decided; the executor walks it forward and backward. Nothing here knows data, losses or
 * optimisers.
 */
#ifndef SRC_NET_NET_H
#define SRC_NET_NET_H

#include "backend/backend.h"
#include "base/base.h"
#include "tensor/tensor.h"

/* ---- net (net.c) ------------------------------------------------------------------- */

/* How a parameter starts. All draw from SL_RNG_INIT with a = the parameter's index (its
 * place in the order of creation, net.c) on the full tensor, so that a narrow width
 * starts as the slice of the full one. */
enum sl_init {
    SL_INIT_ZERO,
    SL_INIT_ONE,
    SL_INIT_KAIMING_FAN_OUT, /* N(0, sqrt(2 / (kernel^2 * out))), out at full width */
    SL_INIT_NORMAL_001,      /* N(0, 0.01) */
    SL_INIT_FAN_IN /* U(-1/sqrt(fan_in), +1/sqrt(fan_in)), fan_in of the weight */
};

enum sl_param_kind { SL_PARAM_WEIGHT, SL_PARAM_BIAS, SL_PARAM_SCALE, SL_PARAM_SHIFT };

/* One parameter tensor. Weights are stored (out, in, kernel, kernel) at full size, the
 * other kinds as vectors. A private (switchable) vector has exactly its width's channels.
 */
struct sl_param {
    char name[SL_NAME_MAX]; /* "encoder.layer1.0.conv1.weight",
                               "encoder.layer1.0.norm1@0.75.scale", "head.0.bias" */
    enum sl_param_kind kind;
    int axis_out, axis_in; /* axis_in -1 for vectors */
    int kernel;            /* 1 for linear and vectors */
    int owner;             /* width it is private to, or -1: shared */
    int64_t offset, count; /* in the flat arrays */
    enum sl_init init;
    int64_t fan_in; /* values in a row of the weight it belongs to: at full width of a
                       shared one, at its own of a private one */
};

struct sl_value {
    int axis, height, width; /* shape (n, height, width, axis) */
    int producer;            /* op, or -1 for the input */
};

struct sl_op {
    enum sl_op_kind kind;
    char name[SL_NAME_MAX];
    int src, added, dst; /* value ids; added -1 */
    int kernel, stride, pad;
    enum sl_tail tail;
    int weight, bias;                               /* parameter ids, or -1 */
    int scale[SL_WIDTHS_MAX], shift[SL_WIDTHS_MAX]; /* norm: parameter ids by width, or -1
                                                     */
    int norm;        /* norm: its number among the norms, or -1 */
    bool is_private; /* linear: each width has a weight and a bias of its own; `weight`
                        and `bias` are width 0's */
};
/* Parameter ids of weight and bias at a width, or -1. */
int sl_op_weight(const struct sl_op *op, int width);
int sl_op_bias(const struct sl_op *op, int width);

/* Which channels a narrow width takes. NESTED: the first ones, so that each width
 * contains all narrower ones. DISJOINT (an ablation of the published code): the
 * narrow widths lie one behind the other in ascending order of size, from channel 0, and
 * share nothing but the full width, which takes all. */
enum sl_slices { SL_SLICES_NESTED, SL_SLICES_DISJOINT };

/* Immutable once finished. Complete here because plans, stores and reports walk it. */
struct sl_net {
    struct sl_arena *arena;
    struct sl_error failure; /* the builder's first failure */
    struct sl_widths widths;
    enum sl_slices slices;
    struct sl_axis *axes;
    struct sl_value *values;
    struct sl_op *ops;
    struct sl_param *params;
    int n_axes, n_values, n_ops, n_params, n_norms;
    int axes_capacity, values_capacity, ops_capacity, params_capacity;
    int input;      /* value ids */
    int features;   /* pooled trunk output: what evaluation reads */
    int projection; /* head output, or = features without a head */
    int embedding;  /* what losses read: the predictor's output, or = projection without
                       one */
    int64_t total;  /* length of the flat arrays: shared parameters first, then width 0's
                       private  block, width 1's, … */
    int64_t shared; /* length of the shared part */
    int64_t private_begin[SL_WIDTHS_MAX], private_end[SL_WIDTHS_MAX];
    int64_t stats_total;   /* length of running_mean (= of running_variance), widths
                              contiguous */
    int64_t *stats_offset; /* [norm * SL_WIDTHS_MAX + width] */
};

/* Builder: calls append in execution order and return ids; the first failure is
 * remembered and comes out of sl_net_finish, so that builders read as a list. Norms are
 * always switchable (private per width). */
enum sl_status sl_net_create(struct sl_error *err, const struct sl_widths *widths,
                             struct sl_net **net);
/* Before the first axis; SL_ERROR_USAGE where the narrow widths together are more than
 * the full one. */
enum sl_status sl_net_slice(struct sl_error *err, struct sl_net *net,
                            enum sl_slices slices);
int sl_net_axis(struct sl_net *net, const char *name, int full, bool fixed);
int sl_net_input(struct sl_net *net, int axis, int height, int width);
int sl_net_conv(struct sl_net *net, const char *name, int src, int axis_out, int kernel,
                int stride, int pad);
int sl_net_norm(struct sl_net *net, const char *name, int src, enum sl_tail tail,
                int added, enum sl_init scale_init);
/* Without scale and shift, and without a tail. */
int sl_net_norm_bare(struct sl_net *net, const char *name, int src);
int sl_net_maxpool(struct sl_net *net, const char *name, int src, int kernel, int stride,
                   int pad);
int sl_net_avgpool(struct sl_net *net, const char *name, int src);
int sl_net_linear(struct sl_net *net, const char *name, int src, int axis_out, bool bias,
                  enum sl_init weight_init, enum sl_init bias_init);
/* A weight and a bias for each width (switchable), "name@0.5.weight", of exactly the
 * width's shape. All widths draw from one row of numbers. */
int sl_net_linear_private(struct sl_net *net, const char *name, int src, int axis_out,
                          enum sl_init weight_init, enum sl_init bias_init);
int sl_net_relu(struct sl_net *net, const char *name, int src);
/* relu(src + added), two values of one shape. */
int sl_net_add_relu(struct sl_net *net, const char *name, int src, int added);
/* Checks, orders parameters into the flat layout and fixes the outputs. */
enum sl_status sl_net_finish(struct sl_error *err, struct sl_net *net, int features,
                             int projection, int embedding);
void sl_net_destroy(struct sl_net *net);

int sl_net_channels(const struct sl_net *net, int value, int width);
/* Which of the full width's channels is the first of them. */
int sl_net_first_channel(const struct sl_net *net, int value, int width);
/* Parameters (weights, biases, scales and shifts that width uses) and multiply-adds per
 * picture (conv and linear) of the ops up to and including the producer of `value`. */
void sl_net_cost(const struct sl_net *net, int value, int width, int64_t *params,
                 int64_t *macs);
/* True when some width's channels in some axis are not a multiple of eight, which vector
 * units work on: it runs slower than its size promises. The first such place, widest
 * width first. Nothing is rounded for it. */
bool sl_net_uneven(const struct sl_net *net, int *width, int *axis);
/* One line an op: name, kind, shapes at each width. */
void sl_net_print(const struct sl_net *net, struct sl_text *text);

/* ---- builders (resnet.c) ----------------------------------------------------------- */

enum sl_stem { SL_STEM_AUTO, SL_STEM_IMAGENET, SL_STEM_SMALL };
/* What a CIFAR net's blocks are. SLIMCLR_CIFAR: those of the SlimCLR reference, whose
 * second norm has a ReLU of its own before the shortcut joins: conv norm ReLU
 * conv norm ReLU, add, ReLU. */
enum sl_block { SL_BLOCK_BASIC, SL_BLOCK_SLIMCLR_CIFAR };
enum sl_head {
    SL_HEAD_NONE,
    SL_HEAD_MLP,
    SL_HEAD_SWITCH, /* an MLP a width, of which nothing is shared (switchable) */
    SL_HEAD_LINEAR,
    SL_HEAD_CLASSIFIER,
    SL_HEAD_CLASSIFIERS, /* one a width (switchable) */
    SL_HEAD_MOCOV3,      /* a projector and a predictor, both with norms */
    SL_HEAD_SIMCLR       /* a projector with norms */
};
enum sl_head_init { SL_HEAD_INIT_AUTO, SL_HEAD_INIT_FAN_IN, SL_HEAD_INIT_PAPER };

struct sl_resnet_config {
    const char *arch; /* resnet18 34 50 101 152; resnet20 32 44 56 110, each with xK
                         ("resnet20x4"); for tests any depth 6n+2 and base width as
                         "resnet8-b8" */
    struct sl_widths widths;
    enum sl_slices slices;
    int image_size;      /* square pictures */
    int channels;        /* 3 */
    enum sl_stem stem;   /* AUTO: small up to 64 px. The CIFAR family has only the small
                            stem (asking for imagenet is an error) */
    enum sl_block block; /* SLIMCLR_CIFAR with another family is an error */
    enum sl_head head;
    int dim;    /* embedding size, or number of classes (CLASSIFIER, CLASSIFIERS) */
    int hidden; /* of projector and predictor (MOCOV3, SIMCLR) at full width; 0 = the
                   published 4096 and 2048 */
    enum sl_head_init head_init; /* AUTO: PAPER for bottleneck nets, FAN_IN for all others
                                  */
};
/* Unknown arch: SL_ERROR_USAGE listing the known ones. A picture too small for the net's
 * strides likewise; a width that leaves an axis without channels is SL_ERROR_USAGE.
 * Head axes: MLP is Linear(d w -> d w) ReLU Linear(d w -> dim), MoCo v2's; SWITCH has
 * the same shapes with linears of their own for each width; LINEAR is Linear(d w -> dim);
 * CLASSIFIER the same with N(0, 0.01), CLASSIFIERS that for each width; MOCOV3 (projector
 * and predictor) and SIMCLR have norms (docs/methods.md). Names: "encoder.conv1",
 * "encoder.norm1", "encoder.layer1.0.conv1", "….downsample.conv", "….downsample.norm",
 * "….add" (SLIMCLR_CIFAR), "head.0", "head.2" (MLP, SWITCH), "head.0" (LINEAR), "head.0",
 * "head.1", "head.3", "head.4", "predictor.0", "predictor.1", "predictor.3" (MOCOV3;
 * SIMCLR has no predictor). */
enum sl_status sl_resnet_build(struct sl_error *err,
                               const struct sl_resnet_config *config,
                               struct sl_net **net);
/* True for bottleneck nets (50, 101, 152). Names for `list archs`: NULL past the end. */
bool sl_resnet_is_bottleneck(const char *arch);
const char *sl_resnet_name(int i);

/* ---- parameters (params.c) --------------------------------------------------------- */

/* Flat float32 arrays of net->total values in backend memory. */
struct sl_params {
    const struct sl_net *net;
    const struct sl_device *device;
    float *weight, *diff; /* diff NULL for a target or an evaluation copy */
};
enum sl_status sl_params_create(struct sl_error *err, const struct sl_net *net,
                                const struct sl_device *device, bool trainable,
                                struct sl_params **params);
void sl_params_destroy(struct sl_params *params);
/* The keyed start: every parameter by its init rule. A shared parameter's is a function
 * of seed, its place among the shared ones and its full shape, so that it does not depend
 * on the list of widths; a private one's of its place among its width's linears, the
 * number of shared ones before it and its own shape. */
enum sl_status sl_params_init(struct sl_error *err, struct sl_params *params,
                              uint64_t seed);
/* A weight's slice at a width inside `flat` (params->weight or ->diff). */
struct sl_slice sl_params_slice(const struct sl_net *net, int param, int width,
                                float *flat);
/* Adds each parameter to the list under prefix + name, viewing `flat`. */
enum sl_status sl_params_state(struct sl_error *err, const struct sl_net *net,
                               float *flat, const char *prefix,
                               struct sl_named_list *list);
/* The same for what makes `value`: the parameters of ops up to its producer. */
enum sl_status sl_params_state_of(struct sl_error *err, const struct sl_net *net,
                                  int value, float *flat, const char *prefix,
                                  struct sl_named_list *list);

/* Running statistics of every norm and width. */
struct sl_stats {
    const struct sl_net *net;
    const struct sl_device *device;
    float *mean, *variance; /* net->stats_total values each; start 0 and 1 */
};
enum sl_status sl_stats_create(struct sl_error *err, const struct sl_net *net,
                               const struct sl_device *device, struct sl_stats **stats);
void sl_stats_destroy(struct sl_stats *stats);
/* Names prefix + "encoder.norm1@0.75.running_mean" / ".running_variance". */
enum sl_status sl_stats_state(struct sl_error *err, struct sl_stats *stats,
                              const char *prefix, struct sl_named_list *list);
/* The same for the norms among the ops up to the producer of `value`. */
enum sl_status sl_stats_state_of(struct sl_error *err, struct sl_stats *stats, int value,
                                 const char *prefix, struct sl_named_list *list);

/* ---- plan (plan.c) ----------------------------------------------------------------- */

enum sl_role {
    SL_ROLE_TRAIN,  /* batch statistics; keeps what backward needs */
    SL_ROLE_TARGET, /* batch statistics, running statistics updated; keeps nothing */
    SL_ROLE_INFER   /* running statistics; keeps nothing */
};

struct sl_plan_config {
    const struct sl_net *net;
    const struct sl_device *device;
    int width, batch;
    enum sl_role role;
    int groups;     /* norm groups (0 or 1 = the whole batch) */
    int output;     /* value id to compute: net->embedding or net->features; later ops are
                       left out */
    bool reuse_off; /* every value its own memory; a test demands equal bits */
    enum sl_dtype type; /* of feature maps: SL_F32 or SL_BF16 (backend.h) */
};

/* Several plans share one block of memory: attach each to the block of the largest. A
 * plan never allocates after it is created. Block layout: packed weights; then values,
 * gradients and workspaces, each placed for its lifetime; then scratch. */
struct sl_plan;
enum sl_status sl_plan_create(struct sl_error *err, const struct sl_plan_config *config,
                              struct sl_plan **plan);
void sl_plan_destroy(struct sl_plan *plan);
size_t sl_plan_bytes(const struct sl_plan *plan);
/* The same, split: packed weights, activations and their gradients, scratch. */
void sl_plan_bytes_split(const struct sl_plan *plan, size_t *packed, size_t *activations,
                         size_t *scratch);
void sl_plan_attach(struct sl_plan *plan, void *block);
/* A headline, then one line a value, gradient or workspace: name, what, shape, bytes,
 * birth, death (in ops; see plan.c), offset in the block; a gradient that lies in the
 * memory of another's ends with "in" and that one's name, and the other lives until both
 * are dead. */
void sl_plan_print(const struct sl_plan *plan, struct sl_text *text);
int sl_plan_output_channels(const struct sl_plan *plan);
/* The type in which the plan's forward wants its pictures. */
enum sl_dtype sl_plan_type(const struct sl_plan *plan);

/* ---- executor (exec.c) ------------------------------------------------------------- */

/* Packs the weights of the plan's width; to be called after an update, and after another
 * plan used the block. */
void sl_exec_refresh(struct sl_plan *plan, const struct sl_params *params);
/* pictures (batch, h, w, 3) in backend memory and of the plan's type (backend's put_map);
 * returns the output (batch, channels), always float32, inside the block, valid until the
 * block is used again. TRAIN and TARGET update `stats`
 * of the plan's width (momentum 0.1, after the norm ran); INFER reads them. `pictures`
 * must stay as it is until backward is done. */
const float *sl_exec_forward(struct sl_plan *plan, const struct sl_params *params,
                             struct sl_stats *stats, const void *pictures);
/* From d loss / d output (batch, channels) to the gradients: adds this pass's gradient to
 * params->diff and returns the sum of its squares (this width's own gradient, before the
 * sum over widths). Once per forward. */
double sl_exec_backward(struct sl_plan *plan, const struct sl_params *params,
                        const float *diff_output);

#endif
