/* SPDX-License-Identifier: MIT */
/*
 * Private to packing: the record of what is packed already (pack_state.c), which lies
 * beside the shards as NAME.pack and is written anew after each.
 */
#ifndef SRC_DATA_PACK_INT_H
#define SRC_DATA_PACK_INT_H

#include "data/index_int.h"

struct sl_pack_shard {
    int64_t bytes, next, n_pictures; /* next: the first sample of the shard after it */
};

struct sl_pack_bad {
    int64_t sample;
    uint64_t text; /* "name<tab>reason", in `texts` */
};

struct sl_pack_state {
    struct sl_text settings; /* one line: what the shards are made of and how */
    struct sl_rows shards;   /* struct sl_pack_shard */
    struct sl_rows bad;      /* struct sl_pack_bad, by sample */
    struct sl_text texts;
    bool is_done;
};
/* Reads a record into a zeroed state; bytes[size] is NUL and the text is cut up. */
enum sl_status sl_pack_state_parse(struct sl_error *err, const char *name, char *bytes,
                                   int64_t size, struct sl_pack_state *state);
enum sl_status sl_pack_state_write(struct sl_error *err, const char *path,
                                   const struct sl_pack_state *state);
enum sl_status sl_pack_state_add_bad(struct sl_error *err, struct sl_pack_state *state,
                                     int64_t sample, const char *name,
                                     const char *reason);
/* Forgets all shards from number n on, and the damaged pictures they would hold. */
void sl_pack_state_cut(struct sl_pack_state *state, int64_t n_shards);
/* First sample after the last shard. */
int64_t sl_pack_state_next(const struct sl_pack_state *state);
void sl_pack_state_finish(struct sl_pack_state *state);

#endif
