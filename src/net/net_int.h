/* SPDX-License-Identifier: MIT */
/*
 * Private to src/net: the constants of batch norm, small lookups that several files
 * share, and the inside of a plan, which plan.c fills once and exec.c only reads. All
 * offsets of a plan are bytes from the beginning of its block.
 */
#ifndef SRC_NET_NET_INT_H
#define SRC_NET_NET_INT_H

#include "net/net.h"

/* PyTorch's defaults, which the paper's nets have. */
#define NORM_EPSILON 1e-5f
#define NORM_MOMENTUM 0.1f

/* ---- net --------------------------------------------------------------------------- */

/* Channels of an axis at a width. */
struct sl_span sl_net_span(const struct sl_net *net, int axis, int width);
const char *sl_op_kind_name(enum sl_op_kind kind);
const char *sl_tail_name(enum sl_tail tail);

/* ---- parameters -------------------------------------------------------------------- */

/* A bias, scale or shift at a width inside `flat`, and how many values it has there. */
float *sl_params_vector(const struct sl_net *net, int param, int width, float *flat,
                        int64_t *count);

/* ---- plan -------------------------------------------------------------------------- */

/* One op of the net as the plan runs it: number k of n_calls. */
struct sl_call {
    const struct sl_op *op;
    struct sl_op_desc desc;
    struct sl_prepared *prepared;
    struct sl_op_sizes sizes;
    bool diff_src_add, diff_added_add; /* not the first writer in backward order */
    int64_t packed, workspace;
    int64_t scratch, packed_diff, vector_diff; /* all dead after the call */
};

/* Something that needs memory for a while: a value, its gradient or an op's workspace. */
struct sl_item {
    int64_t bytes;    /* 0: not in this plan */
    int birth, death; /* times of its first and last use, both inclusive; birth -1: never
                         used */
    int64_t offset;
    /* the item whose memory it has; NULL: memory of its own */
    struct sl_item *within;
};

struct sl_plan {
    struct sl_arena *arena;
    struct sl_plan_config config;
    int n_calls;
    struct sl_call *calls;
    int n_items;
    struct sl_item *items;          /* all of them: values, diffs, workspaces */
    struct sl_item *values, *diffs; /* by value id */
    struct sl_item *workspaces;     /* by call */
    int64_t packed_bytes, item_bytes, scratch_bytes;
    unsigned char *block;
    enum sl_dtype *types; /* by value id */
    const void *pictures; /* of the last forward */
    bool can_backward;    /* a forward whose backward has not run */
};

#endif
