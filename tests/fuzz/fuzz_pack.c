/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of the record of a packing. What is accepted runs forwards, and may be cut
 * anywhere.
 */
#include "data/pack_int.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look(struct sl_pack_state *state)
{
    const struct sl_pack_shard *shards = state->shards.items;
    for (int64_t i = 0; i < state->shards.n; i++) {
        SL_ASSERT(shards[i].bytes >= 0 && shards[i].next > 0);
        SL_ASSERT(i == 0 || shards[i].next > shards[i - 1].next);
    }
    sl_pack_state_cut(state, state->shards.n / 2);
    const struct sl_pack_bad *bad = state->bad.items;
    for (int64_t i = 0; i < state->bad.n; i++) {
        SL_ASSERT(state->is_done || bad[i].sample < sl_pack_state_next(state));
        SL_ASSERT(strchr(state->texts.text + bad[i].text, '\t') != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_error err = {0};
    struct sl_pack_state state = {0};
    char *text = NULL;
    SL_ASSERT(sl_heap_alloc(&err, "record", (int64_t)size + 1, 1, &text) == SL_OK);
    if (size > 0) {
        memcpy(text, bytes, size);
    }
    if (sl_pack_state_parse(&err, "input", text, (int64_t)size, &state) == SL_OK) {
        look(&state);
    } else {
        SL_ASSERT(err.text[0] != '\0');
    }
    sl_pack_state_finish(&state);
    sl_heap_free(text);
    return 0;
}
